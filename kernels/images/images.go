// Package images gets what a kernel needs to boot: its image, its configuration, and modules with all that they depend on,
// out of the packages that the archive says it came in, or out of files that the user names.
package images

import (
	"context"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/pull"
)

// Options of a Finder.
type Options struct {
	// CacheDir is where packages and what was taken out of them are kept; "" is corecheck in the user's cache folder.
	CacheDir string
	// Folders are folders with packages, and packages, that the user has; they are looked in first.
	Folders []string
	// Offline asks no server: what is neither in Folders nor in the cache can't be had.
	Offline bool
	// MaxCache bounds the cache, in bytes: what was not used for longest goes first, and nothing that is in use. 0 is 8 GiB,
	// negative is no bound.
	MaxCache int64
	// Parallel is how many packages are downloaded at once; 0 is 4.
	Parallel int
	// Progress, where not nil, is told what happens. Calls come from several goroutines, but never at once.
	Progress func(Event)
	// Apt says where repositories are and how they are read; the zero value is this machine's configuration. Suites, Arch
	// and what chooses kernels follow from the kernels.
	Apt pull.AptOptions
}

// Event is a step on the way to a kernel's files.
type Event struct {
	Phase   Phase
	Kernel  string // its ID; "" for what is for all: lists of packages, trees
	Package string // file name of the package, or suite of Indexing
	// Done and Total are bytes of Downloading; Total is -1 where it is not known.
	Done, Total int64
}

// Phase is what happens.
type Phase string

// The phases.
const (
	Indexing    Phase = "indexing"    // a suite's list of packages is read
	Downloading Phase = "downloading" // a package comes
	Extracting  Phase = "extracting"  // files are taken out of a package
)

// Files are what a kernel boots with. They stay in the cache at least until Close.
type Files struct {
	Uname string // uname -r
	Arch  string // in BTFHub's names: "x86_64", "arm64"
	Image string // path of the file that a bootloader gets
	// Config is the path of the kernel's configuration, "" where none came with it.
	Config string
	// Modules are those that were asked for with all that they need, each after what it needs.
	Modules []Module
	// Builtin and Missing are modules that were asked for and that the kernel has built in, or does not have; sorted.
	Builtin, Missing []string
	// Packages are the packages that they came from; empty where the files are the user's own.
	Packages []archive.Source
}

// Module is a module's file.
type Module struct {
	Name   string // as in /sys/module, with underscores
	Path   string // of the .ko, uncompressed
	Wanted bool   // asked for by name; else another one needs it
}

// Close lets the cache forget the files.
func (f *Files) Close() error { return nil }

// Want is a kernel with the modules that are asked for, by name, with '-' or '_'.
type Want struct {
	Kernel  *kernels.Kernel
	Modules []string
}

// Finder finds files of kernels. Its methods may be called from several goroutines.
type Finder struct{ opt Options }

// New checks the options.
func New(opt Options) (*Finder, error) { return &Finder{opt}, nil }

// Find gets a kernel's files, downloading and unpacking what is not there yet.
func (f *Finder) Find(ctx context.Context, k *kernels.Kernel, modules []string) (*Files, error) {
	panic("not yet")
}

// Prefetch does what Find would for several kernels at once, so that their packages are downloaded side by side. What
// fails here fails in Find again, which says why. The error is the context's.
func (f *Finder) Prefetch(ctx context.Context, wants []Want) error { panic("not yet") }

// FromFile is Find for an image that the user names: a boot image (vmlinuz, bzImage, Image), or a kernel's package.
// modulesFrom is "" (for a package: that package; for an image: lib/modules/UNAME beside or above it, else the system's), a folder
// (lib/modules/UNAME, or one that has it), or a package.
func (f *Finder) FromFile(ctx context.Context, image, modulesFrom string, modules []string) (*Files, error) {
	panic("not yet")
}

// File is one file for a guest's root.
type File struct {
	Path   string // in the guest: "/usr/sbin/bpftool"
	Mode   uint32 // permissions: 0o755
	Link   string // the target of a symbolic link; "" for a file
	Source string // the file on this machine; "" for a link
}

// Tree gets Debian packages and all that they depend on for an architecture, in BTFHub's names, and returns their files
// without documentation.
func (f *Finder) Tree(ctx context.Context, arch string, packages []string) ([]File, error) {
	panic("not yet")
}

// Closure lists what a program of this machine needs to run on arch (in BTFHub's names) beside itself: its ELF interpreter
// and its libraries, at their paths here. A static program needs nothing.
func Closure(program, arch string) ([]File, error) { panic("not yet") }

// CacheSize is how many bytes the cache has, packages and what was taken out of them.
func (f *Finder) CacheSize() (int64, error) { panic("not yet") }
