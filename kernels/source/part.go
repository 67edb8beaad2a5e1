package source

import (
	"github.com/corecheck/corecheck/btfinfo"
)

// piece is what one input says of one kernel.
type piece struct {
	uname string // "" where the input does not tell
	arch  string // in BTFHub's names, "" where the input does not tell

	image   *btfinfo.File // of a kernel's image or of raw BTF; BTF is nil where the image has none
	noBTF   string        // why, with image.BTF nil
	path    string        // of the image inside the input
	config  *config       // nil: not there
	modules *modules      // nil: no module was seen
	links   []string      // images that are links to what the input does not have: "boot/vmlinuz-6.1 is a link to …"
}

// modules is what came out of a folder of modules, before the kernel's BTF is known.
type modules struct {
	seen   int         // files of modules, wanted or not
	wanted int         // of them
	none   int         // of the wanted those without BTF
	raw    []rawModule // those with BTF, in no order
	errs   []error     // modules that can't be read
}

// rawModule is the .BTF of a module, not parsed because the kernel's is needed for that.
type rawModule struct {
	name string // as in /sys/module
	path string // in the input
	btf  []byte
	own  bool // it brings its own base, a distilled one
}

// config is what is taken from a kernel's configuration.
type config struct {
	lines    []string // see configLines
	pahole   string
	compiler string
	version  string // of the line "# Linux/x86 6.1.176 Kernel Configuration"
}
