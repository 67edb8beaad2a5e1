package kernels

import (
	_ "embed"
	"sync"
	"unsafe"

	"github.com/corecheck/corecheck/kernels/archive"
)

// The embedded kernels are one archive. `make kernels` makes it of the packages in embedded/packages.list.
//
//go:embed embedded/kernels.ccar
var embedded string

// EmbeddedArchive is the archive that is built into the program.
var EmbeddedArchive = sync.OnceValues(func() (*archive.Archive, error) {
	// The program's own text, which nobody changes, is not copied.
	return archive.OpenBytes("embedded", unsafe.Slice(unsafe.StringData(embedded), len(embedded)))
})

// Embedded returns the kernels that are built into the program, oldest first. Only their descriptions are read here.
func Embedded() ([]*Kernel, error) {
	a, err := EmbeddedArchive()
	if err != nil {
		return nil, err
	}
	return FromArchive(a, "embedded"), nil
}
