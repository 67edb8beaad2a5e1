// Package images gets what a kernel needs to boot: its image, its configuration, and modules with all that they depend on,
// out of the packages that the archive says it came in, or out of files that the user names.
//
// # Where packages come from
//
// In this order: files and folders that the user names; the folder of downloads, which corecheck kernels pull has as well; the
// URI that the archive has of the package, where it is one of a server; Debian's repositories, as this machine's apt is
// configured for them. Which suites are asked follows from the kernel's release and version, and a suite that the configuration
// lacks is asked of the repositories that it has: a machine with bookworm gets the kernels of bullseye and of experimental.
// A package is taken by its SHA-256, which the archive has. Packages that the archive does not know (Debian's
// linux-modules of a kernel that was stored without them) are taken by exact name and version from a list that a key of the
// keyring signed, and that may be old: it says nothing but what the digest of this one version is.
//
// # What is kept
//
// The cache is $XDG_CACHE_HOME/corecheck, or ~/.cache/corecheck: packages in pull, what was taken out of them in images. It is kept
// below Options.MaxCache, 8 GiB where nothing else is said: what was not used for longest goes first, and nothing that a process
// is using: locks say what is. It may be removed as a whole at any time when no corecheck runs. Everything is read and hashed again
// when it is used, packages as they are unpacked, and made anew where it is not what it was. Processes share the cache; a package is downloaded and unpacked by one of
// them, and the others wait.
//
// A package is read once: the modules pass into a file that goes again, since which of them are needed is known only when
// what they say of themselves was read of all. Measured with Debian's kernels on 2 busy processors, download included, and seven
// modules with their dependencies wanted: 2 to 7 s for a cloud kernel (25 to 40 MB of packages), 5 to 20 s for one with 4,200
// modules (70 to 180 MB); the second time 30 to 50 ms.
//
// # Modules
//
// What a module needs is what its .modinfo says, as modprobe has it from depmod: "depends", and the "pre" part of "softdep"
// by name or by alias. Those come before it, marked as what it could do without. Aliases of devices ("pci:…", "platform:…") are
// left out: there are no such devices in a guest, and softdeps by them are none.
//
// # What is believed
//
// Nothing in a package but its digest. No name out of it is used on the disk, links are not followed, and sizes are bounded: an
// image 1 GiB, a module 256 MiB expanded, 65,536 modules. No script of a package is run.
package images

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/corecheck/corecheck/btfinfo"
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
	Package string // file name of the package; suite and architecture of Indexing
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
	// NoConfig is why the package that has the configuration could not be had. It is nil where Config is there, and where no
	// package is known that would have one.
	NoConfig error
	// Modules are those that were asked for with all that they need, each after what it needs.
	Modules []Module
	// Builtin and Missing are modules that were asked for, or that one of them needs, and that the kernel has built in, or does
	// not have; sorted.
	Builtin, Missing []string
	// NoModules is why no module could be looked for, though some were asked for: all that are not built in are Missing then.
	NoModules error
	// Packages are the packages that they came from; empty where the files are the user's own.
	Packages []archive.Source

	entries []*entry
	temp    string // a folder of files of its own
}

// Module is a module's file.
type Module struct {
	Name   string // as in /sys/module, with underscores
	Path   string // of the .ko, uncompressed
	Wanted bool   // asked for by name; else another one needs it
	// Soft: another one only likes to have it before itself (MODULE_SOFTDEP), and loads without. Such modules may well
	// refuse to load: those for instructions that the processor lacks.
	Soft bool
}

// Close lets the cache forget the files, once it needs the room.
func (f *Files) Close() error {
	var errs []error
	for _, e := range f.entries {
		errs = append(errs, e.close())
	}
	f.entries = nil
	if f.temp != "" {
		errs = append(errs, os.RemoveAll(f.temp))
	}
	return errors.Join(errs...)
}

// Finder finds files of kernels. Its methods may be called from several goroutines.
type Finder struct {
	opt      Options
	packages string // the folder of downloads, which kernels pull has as well
	store    string
	passes   chan struct{} // holds one for each package that is being expanded
	loading  chan struct{} // and for each that is being downloaded
	grown    atomic.Bool   // the cache has more than when it was last looked at

	kernels *pull.Lists // of packages with kernels
	all     *pull.Lists // of all packages

	folders userFolders

	reporting sync.Mutex // held while Options.Progress runs
	mu        sync.Mutex // of kernels, all and held
	held      []*entry   // of trees
}

// defaultMaxCache has room for some fifty kernels and their packages.
const defaultMaxCache = 8 << 30

// New checks the options.
func New(opt Options) (*Finder, error) {
	if opt.CacheDir == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return nil, &btfinfo.Error{Off: -1, Msg: "there is no folder for downloads", Err: err, Hint: "set XDG_CACHE_HOME to one"}
		}
		opt.CacheDir = filepath.Join(dir, "corecheck")
	}
	if opt.MaxCache == 0 {
		opt.MaxCache = defaultMaxCache
	}
	if opt.Parallel <= 0 {
		opt.Parallel = 4
	}
	f := &Finder{
		opt: opt, packages: filepath.Join(opt.CacheDir, "pull"), store: filepath.Join(opt.CacheDir, "images"),
		passes: make(chan struct{}, runtime.GOMAXPROCS(0)), loading: make(chan struct{}, opt.Parallel),
	}
	var err error
	if f.folders, err = newUserFolders(opt.Folders); err != nil {
		return nil, err
	}
	return f, nil
}

// Close lets the cache forget what trees have, once it needs the room, and gives up the connections to servers. The files of kernels
// are closed by themselves. It may be called again, and while nothing else of the Finder runs.
func (f *Finder) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, l := range []*pull.Lists{f.kernels, f.all} {
		if l != nil {
			l.Close()
		}
	}
	var errs []error
	for _, e := range f.held {
		errs = append(errs, e.close())
	}
	f.held = nil
	return errors.Join(errs...)
}

// hold keeps an entry until Close.
func (f *Finder) hold(e *entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held = append(f.held, e)
}

// lists are made when they are first needed: they ask apt for its configuration.
func (f *Finder) lists(ctx context.Context, to **pull.Lists, want func(string) bool) *pull.Lists {
	f.mu.Lock()
	defer f.mu.Unlock()
	if *to == nil {
		opt := f.opt.Apt
		// A package of one exact version is wanted, of which the digest is known or the list is signed. A list that is older
		// than it should be hides newer versions, and changes nothing of this one.
		opt.AllowExpired = true
		*to = pull.NewLists(ctx, opt, want)
		(*to).Reading = func(suite, arch string) { f.tell(Event{Phase: Indexing, Package: suite + " " + arch, Total: -1}) }
	}
	return *to
}

func (f *Finder) tell(e Event) {
	if f.opt.Progress != nil {
		f.reporting.Lock()
		defer f.reporting.Unlock()
		f.opt.Progress(e)
	}
}

// Find gets a kernel's files, downloading and unpacking what is not there yet.
//
// Packages that the archive does not know, with modules or the configuration alone, may be missing: NoModules and NoConfig say so
// where no repository has them, or where servers don't answer or give something else, which is thrown away. A cache that
// can't be read or written, a full disk, and a package that is there and is damaged or changes while it is read are errors of any
// package: nothing but this machine is wrong, and the next run would have other files.
func (f *Finder) Find(ctx context.Context, k *kernels.Kernel, modules []string) (*Files, error) {
	refs, err := packagesOf(k, len(modules) > 0)
	if err != nil {
		return nil, err
	}
	files := &Files{Uname: k.Uname, Arch: k.Arch}
	if err := f.find(ctx, k, refs, modules, files); err != nil {
		files.Close()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, err
	}
	if f.grown.Swap(false) {
		f.prune()
	}
	return files, nil
}

func (f *Finder) find(ctx context.Context, k *kernels.Kernel, refs []*ref, modules []string, files *Files) error {
	w := &work{f: f, ctx: ctx, id: k.ID, modules: modules, files: files}
	var gone, noConfig error // why modules, and the configuration, could not be had
	for _, r := range refs {
		p, err := f.opener(ctx, k, r)
		if err == nil {
			err = w.take(p)
		}
		var absent *absentError
		switch {
		case err == nil:
			files.Packages = append(files.Packages, archive.Source{URI: r.uri, SHA256: p.sha256})
		case ctx.Err() != nil || !r.extra || !errors.As(err, &absent):
			return err
		case r.part == modulePart:
			gone = absent.err
		default: // without the configuration a kernel boots as well
			noConfig = absent.err
		}
	}
	if err := files.pickImage(k.ID); err != nil {
		return err
	}
	if files.Config == "" {
		files.NoConfig = noConfig
	}
	return w.finish(gone)
}

// work is the way to a kernel's files.
type work struct {
	f       *Finder
	ctx     context.Context
	id      string // of the kernel
	modules []string
	files   *Files
	taken   []taken
}

// taken is a package that was gone through.
type taken struct {
	*opener
	*entry
}

// take goes through a package. What is built in has to be known before modules are put in order: it is in the same package, or
// in one that was taken before.
func (w *work) take(p *opener) error {
	e, err := w.f.take(w.ctx, w.id, p, &need{boot: true, modules: len(w.modules) > 0, files: w.chosenOf})
	if err != nil {
		return err
	}
	w.files.entries = append(w.files.entries, e)
	w.taken = append(w.taken, taken{p, e})
	return nil
}

// catalog is what is known of the kernel's modules, with what another manifest says.
func (w *work) catalog(m *manifest) *catalog {
	var lists, builtins [][]info
	for _, t := range w.taken {
		lists, builtins = append(lists, t.m.List), append(builtins, t.m.Builtin)
	}
	if m != nil {
		lists, builtins = append(lists, m.List), append(builtins, m.Builtin)
	}
	return newCatalog(w.files.Uname, lists, builtins)
}

// chosenOf are the paths of the modules that are needed of one package.
func (w *work) chosenOf(m *manifest) []string {
	list, _, _ := w.catalog(m).order(w.modules)
	own := map[string]bool{}
	for _, i := range m.List {
		own[i.Path] = true
	}
	var paths []string
	for _, c := range list {
		if own[c.Path] {
			paths = append(paths, c.Path)
		}
	}
	return paths
}

// finish puts the modules in order. gone is why a package with modules is not there.
func (w *work) finish(gone error) error {
	if len(w.modules) == 0 {
		return nil
	}
	list, builtin, missing := w.catalog(nil).order(w.modules)
	w.files.Builtin, w.files.Missing = builtin, missing
	if len(missing) > 0 {
		w.files.NoModules = gone
	}
	for _, c := range list {
		for i, t := range w.taken {
			if !slices.ContainsFunc(t.m.List, func(i info) bool { return i.Path == c.Path && i.Name == c.Name }) {
				continue
			}
			if _, ok := t.m.Files[c.Path]; !ok {
				// A module in a later package needs it, as in Ubuntu's linux-modules-extra.
				again, err := w.f.take(w.ctx, w.id, t.opener, &need{modules: true, files: w.chosenOf})
				if err != nil {
					return err
				}
				w.files.entries = append(w.files.entries, again)
				w.taken[i].entry, t.entry = again, again
			}
			w.files.Modules = append(w.files.Modules, Module{Name: c.Name, Path: t.file(c.Path), Wanted: c.wanted, Soft: c.soft})
			break
		}
	}
	return nil
}

// pickImage finds image and configuration among what was taken out.
func (f *Files) pickImage(name string) error {
	var images, others []string
	vmlinux := ""
	for _, e := range f.entries {
		for _, p := range e.m.Images {
			switch {
			case p.Uname != f.Uname:
				others = append(others, p.Uname)
			case strings.HasPrefix(path.Base(p.Path), "vmlinux"): // beside a vmlinuz it is there for debuggers
				vmlinux = e.file(p.Path)
			default:
				images = append(images, e.file(p.Path))
			}
		}
		for _, p := range e.m.Configs {
			if p.Uname == f.Uname && f.Config == "" {
				f.Config = e.file(p.Path)
			}
		}
	}
	if vmlinux != "" {
		images = append(images, vmlinux)
	}
	if len(images) == 0 {
		e := &btfinfo.Error{File: name, Off: -1, Msg: fmt.Sprintf("its packages have no boot image of %s", f.Uname), Hint: "name an image with --image"}
		if len(others) > 0 {
			e.Msg += ", but of " + strings.Join(sorted(others), ", ")
		}
		return e
	}
	f.Image = images[0]
	return nil
}
