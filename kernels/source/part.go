package source

import (
	"github.com/corecheck/corecheck/btfinfo"
)

// piece is what one input says of one kernel.
type piece struct {
	uname string // "" where the input does not tell
	arch  string // in BTFHub's names, "" where the input does not tell

	info *packageInfo // of the package; nil where it is none

	// What a path in BTFHub's layout says, "" elsewhere.
	distro, release string

	image   *btfinfo.File // of a kernel's image or of raw BTF; BTF is nil where the image has none
	path    string        // of the image inside the input
	config  *config       // nil: not there
	modules *modules      // nil: no module was seen
	links   []string      // images that are links to what the input does not have: "boot/vmlinuz-6.1 is a link to …"
}

// moduleList returns p.modules, made if need be.
func (p *piece) moduleList() *modules {
	if p.modules == nil {
		p.modules = &modules{}
	}
	return p.modules
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
	// uname is that of the kernel it was built for, from its vermagic; "" where that is not there.
	uname string
}

// config is what is taken from a kernel's configuration.
type config struct {
	lines    []string // see configLines
	pahole   string
	compiler string
	version  string // of the line "# Linux/x86 6.1.176 Kernel Configuration"
}
