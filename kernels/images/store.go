package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/flock"
	"github.com/corecheck/corecheck/kernels/source"
)

// The store is a folder with an entry for each package that something was taken out of: KEY, a folder with a manifest and
// files, and beside it KEY.lock, held by the process that changes the entry, and KEY.use, held by those that use its files.
// KEY is the start of the package's SHA-256. A file is named by its own SHA-256, so that no name out of a package is ever used
// on the disk, and so that the name tells whether the file is still what it was.

// storeFormat is of the manifests; entries of another one are made anew.
const storeFormat = 1

const (
	keyLength    = 32 // hex digits of a digest in names: 128 bits
	manifestName = "manifest.json"
	maxManifest  = 64 << 20 // bytes; that of 4,000 modules has 700 kB
	// Bounds of what is taken out of a package.
	maxImage   = 1 << 30   // bytes of an image; vmlinux with its debug information has 400 MB
	maxText    = 16 << 20  // of a configuration, or of a list of what is built in
	maxModule  = 256 << 20 // of a module, expanded
	maxModules = 1 << 16   // modules in a package
	maxFile    = 256 << 20 // of another file, for a tree
	maxFiles   = 1 << 16   // that are taken of one package
)

// manifest is what is known of a package, and what was taken out of it.
type manifest struct {
	Format  int    `json:"format"`
	SHA256  string `json:"sha256"` // of the package
	Package string `json:"package"`
	Version string `json:"version"`
	Arch    string `json:"arch"` // in the package's words

	// What was looked for, so that what is not here is not there.
	Boot    bool `json:"boot,omitempty"`    // images, configurations
	Modules bool `json:"modules,omitempty"` // the lists of modules, and of what is built in
	All     bool `json:"all,omitempty"`     // all files and links, for a tree

	Images  []place  `json:"images,omitempty"`
	Configs []place  `json:"configs,omitempty"`
	Builtin []info   `json:"builtin,omitempty"` // modules that are in the image
	List    []info   `json:"list,omitempty"`    // modules, by path
	Links   []link   `json:"links,omitempty"`
	Tree    []placed `json:"tree,omitempty"`

	// Files were taken out, by their paths in the package.
	Files map[string]stored `json:"files"`
}

// place is a file of a kernel.
type place struct {
	Uname string `json:"uname"`
	Path  string `json:"path"`
}

// placed is a file of a tree.
type placed struct {
	Path string `json:"path"`
	Mode uint32 `json:"mode"`
}

// link is a symbolic link.
type link struct {
	Path   string `json:"path"`
	Target string `json:"target"`
}

// stored is a file of the entry.
type stored struct {
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

// entry is one package's part of the store, which stays there until it is closed.
type entry struct {
	dir string // of the entry
	use *os.File
	m   *manifest
}

func (e *entry) close() error { return e.use.Close() }

// file is the path of something that was taken out.
func (e *entry) file(name string) string { return filepath.Join(e.dir, e.m.Files[name].name()) }

func (s stored) name() string { return s.SHA256[:keyLength] }

// need is what is to be there of a package.
type need struct {
	boot, modules, all bool
	// files are modules to be taken out, by their paths, once the list of modules is known.
	files func(*manifest) []string
}

// met tells whether a manifest has all of it.
func (n *need) met(m *manifest) bool {
	return m != nil && (!n.boot || m.Boot) && (!n.modules || m.Modules) && (!n.all || m.All)
}

// opener is a package that is there or can be had: path is called where its content is needed.
type opener struct {
	name   string // for messages: the file's name
	sha256 string
	path   func(context.Context) (string, error)
}

// take gets what is needed out of a package, unless it is there.
func (f *Finder) take(ctx context.Context, kernel string, p *opener, n *need) (*entry, error) {
	key := p.sha256[:keyLength]
	base := filepath.Join(f.store, key)
	if err := os.MkdirAll(f.store, 0o755); err != nil {
		return nil, f.storeErr(err)
	}
	use, err := flock.Open(ctx, base+".use", flock.Shared, true)
	if err != nil {
		return nil, f.storeErr(err)
	}
	e := &entry{dir: base, use: use}
	if err := f.fill(ctx, kernel, p, n, e); err != nil {
		e.close()
		return nil, err
	}
	// For who looks what was not used for longest.
	now := time.Now()
	_ = os.Chtimes(filepath.Join(e.dir, manifestName), now, now)
	return e, nil
}

// fill brings an entry to what is needed.
func (f *Finder) fill(ctx context.Context, kernel string, p *opener, n *need, e *entry) error {
	e.m = readManifest(e.dir, p.sha256)
	if n.met(e.m) && len(e.lacking(n)) == 0 {
		return nil
	}
	lock, err := flock.Open(ctx, e.dir+".lock", flock.Exclusive, true)
	if err != nil {
		return f.storeErr(err)
	}
	defer lock.Close()
	// Another process may have done it meanwhile, or have died over it.
	e.m = readManifest(e.dir, p.sha256)
	if e.m == nil {
		e.m = &manifest{Format: storeFormat, SHA256: p.sha256, Files: map[string]stored{}}
	}
	if err := os.MkdirAll(e.dir, 0o755); err != nil {
		return f.storeErr(err)
	}
	if err := removeUnfinished(e.dir); err != nil {
		return f.storeErr(err)
	}
	lacking := e.lacking(n)
	if n.met(e.m) && len(lacking) == 0 {
		return nil
	}
	for _, name := range lacking {
		delete(e.m.Files, name)
	}
	in, err := f.open(ctx, p)
	if err != nil {
		return err
	}
	defer in.Close()
	select {
	case f.passes <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	defer func() { <-f.passes }()
	f.tell(Event{Phase: Extracting, Kernel: kernel, Package: p.name, Total: -1})
	pass := &pass{ctx: ctx, name: p.name, need: n, lacking: lacking, e: e}
	if err := pass.run(in); err != nil {
		return f.storeErr(err)
	}
	f.grown.Store(true)
	return f.storeErr(e.m.write(e.dir))
}

const (
	openTries = 5 // to open a download that others remove
	openWait  = 100 * time.Millisecond
)

// open finds or downloads a package, and opens it. A download is locked until it is closed, so that nobody removes it to make room.
// One that went before the lock was there is had once more.
func (f *Finder) open(ctx context.Context, p *opener) (*os.File, error) {
	for try := 1; ; try++ {
		name, err := p.path(ctx)
		if err != nil {
			return nil, err
		}
		download := filepath.Dir(name) == f.packages
		in, err := os.Open(name)
		if err == nil && download {
			if err = flock.Try(in, flock.Shared); err != nil {
				in.Close()
			}
		}
		gone := errors.Is(err, fs.ErrNotExist) || errors.Is(err, flock.ErrBusy)
		switch {
		case err == nil:
			return in, nil
		case !download:
			return nil, fileErr(name, err)
		case !gone || try == openTries:
			return nil, f.storeErr(err)
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(openWait):
		}
	}
}

// lacking are the files that are needed and not there as they were taken out. Files that somebody changed are removed.
func (e *entry) lacking(n *need) []string {
	if e.m == nil {
		return nil
	}
	var want []string
	if n.boot && e.m.Boot {
		for _, p := range slices.Concat(e.m.Images, e.m.Configs) {
			want = append(want, p.Path)
		}
	}
	if n.all && e.m.All {
		for _, p := range e.m.Tree {
			want = append(want, p.Path)
		}
	}
	if n.files != nil && e.m.Modules {
		want = append(want, n.files(e.m)...)
	}
	return slices.DeleteFunc(want, func(name string) bool {
		s, ok := e.m.Files[name]
		return ok && s.intact(e.dir)
	})
}

// intact reads a file of the store: disks and people change files.
func (s stored) intact(dir string) bool {
	f, err := os.Open(filepath.Join(dir, s.name()))
	if err != nil {
		return false
	}
	defer f.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, f)
	return err == nil && n == s.Size && hex.EncodeToString(sum.Sum(nil)) == s.SHA256
}

// readManifest is nil where there is none that can be used: then all is taken out anew.
func readManifest(dir, sha256 string) *manifest {
	in, err := os.Open(filepath.Join(dir, manifestName))
	if err != nil {
		return nil
	}
	defer in.Close()
	m := &manifest{}
	if err := json.NewDecoder(io.LimitReader(in, maxManifest)).Decode(m); err != nil || m.Format != storeFormat || m.SHA256 != sha256 {
		return nil
	}
	for _, s := range m.Files {
		if _, err := hex.DecodeString(s.SHA256); err != nil || len(s.SHA256) != 64 {
			return nil
		}
	}
	if m.Files == nil {
		m.Files = map[string]stored{}
	}
	return m
}

// unfinished begins the names of files that have no name of their own yet.
const unfinished = "new-"

func (m *manifest) write(dir string) error {
	t, err := os.CreateTemp(dir, unfinished+"*")
	if err != nil {
		return err
	}
	defer os.Remove(t.Name())
	defer t.Close()
	if err := json.NewEncoder(t).Encode(m); err != nil {
		return err
	}
	if err := t.Sync(); err != nil {
		return err
	}
	return os.Rename(t.Name(), filepath.Join(dir, manifestName))
}

// removeUnfinished removes what a process left that was killed.
func removeUnfinished(dir string) error {
	left, err := filepath.Glob(filepath.Join(dir, unfinished+"*"))
	if err != nil {
		return err
	}
	for _, name := range left {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// storeErr says what can be done about a store that can't be written or read.
func (f *Finder) storeErr(err error) error {
	var p *fs.PathError
	var known *btfinfo.Error
	if err == nil || errors.As(err, &known) || !errors.As(err, &p) {
		return err
	}
	return &btfinfo.Error{File: p.Path, Off: -1, Msg: "the cache can't be used: " + p.Op, Err: p.Err,
		Hint: fmt.Sprintf("it is in %s, and may be removed as a whole; XDG_CACHE_HOME puts it elsewhere", f.opt.CacheDir)}
}

// pass is one walk through a package.
type pass struct {
	ctx     context.Context
	name    string // of the package, for errors
	need    *need
	lacking []string
	e       *entry

	todo  map[string]bool // files that are looked for, where the package lists its files
	again map[string]bool // lacking
	spool *spool
	files int
}

// run takes out what is needed. What it reads is hashed: the file may be another one, or have other content, than when its digest
// was looked at, and the entry is that of a digest.
func (p *pass) run(in io.Reader) (err error) {
	sum := sha256.New()
	in = io.TeeReader(&untilDone{p.ctx, in}, sum)
	pkg, err := source.OpenPackage(p.ctx, p.name, in)
	if err != nil {
		return err
	}
	m := p.e.m
	m.Package, m.Version, m.Arch = pkg.Name, pkg.Version, pkg.Arch
	p.again = map[string]bool{}
	for _, name := range p.lacking {
		p.again[name] = true
	}
	if p.boot() {
		m.Images, m.Configs = nil, nil
	}
	if p.modules() {
		m.List, m.Builtin = nil, nil
	}
	if p.all() {
		m.Links, m.Tree = nil, nil
	}
	if pkg.Listed && !p.all() {
		p.todo = map[string]bool{}
		for _, name := range pkg.Files {
			if name = strings.TrimPrefix(strings.TrimPrefix(name, "."), "/"); p.wants(name, source.PlaceOf(name)) {
				p.todo[name] = true
			}
		}
	}
	if p.todo == nil || len(p.todo) > 0 {
		if p.spool, err = newSpool(p.e.dir, p.name, p.modules()); err != nil {
			return err
		}
		defer p.spool.close()
		if err := pkg.Walk(p.file); err != nil {
			return err
		}
		list, err := p.spool.finish()
		if err != nil {
			return err
		}
		if p.modules() {
			m.List = list
		}
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	if have := digest(sum); have != m.SHA256 {
		return &btfinfo.Error{File: p.name, Off: -1, Msg: fmt.Sprintf("the package is not what it was before it was read: its SHA-256 is %s, it was %s", have, m.SHA256),
			Hint: "does somebody write to it? once that is over, try again"}
	}
	done := *m // what was looked for counts only once all is there
	done.Boot, done.Modules, done.All = m.Boot || p.need.boot, m.Modules || p.need.modules, m.All || p.need.all
	if p.need.files != nil && done.Modules {
		for _, name := range p.need.files(&done) {
			if _, ok := m.Files[name]; ok {
				continue
			}
			if err := p.expand(name); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(done.Images, comparePlaces)
	slices.SortFunc(done.Configs, comparePlaces)
	*m = done
	return nil
}

func comparePlaces(a, b place) int { return strings.Compare(a.Path, b.Path) }

// What this pass is for the first time.
func (p *pass) boot() bool    { return p.need.boot && !p.e.m.Boot }
func (p *pass) modules() bool { return p.need.modules && !p.e.m.Modules }
func (p *pass) all() bool     { return p.need.all && !p.e.m.All }

// builtinOf tells the uname of a list of what is built in, whose name is that of kbuild's: modules.builtin and
// modules.builtin.modinfo in lib/modules/UNAME.
func builtinOf(name string) (uname string, ok bool) {
	dir, base := path.Split(strings.TrimPrefix(name, "usr/"))
	if base != "modules.builtin" && base != "modules.builtin.modinfo" {
		return "", false
	}
	uname, ok = strings.CutPrefix(strings.TrimSuffix(dir, "/"), "lib/modules/")
	return uname, ok && uname != "" && !strings.Contains(uname, "/")
}

// debugFolder is where packages with debug information have images that don't boot.
const debugFolder = "usr/lib/debug/"

// wants tells whether a file is to be taken out.
func (p *pass) wants(name string, at source.FilePlace) bool {
	if p.again[name] {
		return true
	}
	if p.all() {
		return inTree(name)
	}
	switch at.Kind {
	case source.ImageFile:
		return p.boot() && !strings.HasPrefix(name, debugFolder)
	case source.ConfigFile:
		return p.boot()
	case source.ModuleFile:
		return p.modules()
	}
	_, builtin := builtinOf(name)
	return builtin && p.modules()
}

// file takes one file.
func (p *pass) file(f *source.PackageFile, r io.Reader) error {
	if f.Link == "" && p.wants(f.Path, f.FilePlace) || f.Link != "" && p.all() && inTree(f.Path) {
		if p.files++; p.files > maxFiles {
			return p.errorf("", "more than %d files are wanted of it", maxFiles)
		}
		if err := p.take(f, r); err != nil {
			return err
		}
	}
	if p.todo != nil {
		if delete(p.todo, f.Path); len(p.todo) == 0 {
			return fs.SkipAll
		}
	}
	return nil
}

func (p *pass) take(f *source.PackageFile, r io.Reader) error {
	m := p.e.m
	uname, builtin := builtinOf(f.Path)
	switch {
	case f.Link != "":
		if !f.Hard {
			m.Links = append(m.Links, link{f.Path, f.Link})
			return nil
		}
		s, ok := m.Files[strings.TrimPrefix(path.Clean("/"+f.Link), "/")]
		if !ok {
			return nil // to something that a tree leaves out
		}
		m.Files[f.Path] = s
		m.Tree = append(m.Tree, placed{f.Path, f.Mode})
		return nil
	case p.all():
		if err := p.keep(f, r, maxFile); err != nil {
			return err
		}
		m.Tree = append(m.Tree, placed{f.Path, f.Mode})
		return nil
	case f.Kind == source.ModuleFile:
		return p.spool.add(f, r)
	case f.Kind == source.ImageFile:
		if !p.again[f.Path] {
			m.Images = append(m.Images, place{f.Uname, f.Path})
		}
		return p.keep(f, r, maxImage)
	case f.Kind == source.ConfigFile:
		if !p.again[f.Path] {
			m.Configs = append(m.Configs, place{f.Uname, f.Path})
		}
		return p.keep(f, r, maxText)
	case builtin:
		if f.Size > maxText {
			return p.errorf(f.Path, "%d bytes, the limit is %d", f.Size, maxText)
		}
		text, err := io.ReadAll(io.LimitReader(r, f.Size))
		if err != nil {
			return err
		}
		m.Builtin = append(m.Builtin, parseBuiltin(uname, path.Base(f.Path), text)...)
		return nil
	}
	return p.keep(f, r, maxFile) // of a tree, again
}

// keep puts a file into the store as it is.
func (p *pass) keep(f *source.PackageFile, r io.Reader, limit int64) error {
	if f.Size > limit {
		return p.errorf(f.Path, "%d bytes, the limit is %d", f.Size, limit)
	}
	s, err := p.put(r, limit)
	if err != nil {
		return err
	}
	if s.Size != f.Size {
		return p.errorf(f.Path, "%d of %d bytes are there", s.Size, f.Size)
	}
	p.e.m.Files[f.Path] = s
	return nil
}

// put writes a new file of the store, of at most limit bytes.
func (p *pass) put(r io.Reader, limit int64) (s stored, err error) {
	t, err := os.CreateTemp(p.e.dir, unfinished+"*")
	if err != nil {
		return s, err
	}
	defer os.Remove(t.Name())
	defer t.Close()
	sum := sha256.New()
	n, err := io.Copy(io.MultiWriter(t, sum), io.LimitReader(r, limit+1))
	if err == nil && n > limit {
		err = p.errorf("", "a file in it has more than %d bytes, the limit", limit)
	}
	if err == nil {
		err = t.Sync()
	}
	if err != nil {
		return s, err
	}
	s = stored{digest(sum), n}
	return s, os.Rename(t.Name(), filepath.Join(p.e.dir, s.name()))
}

func digest(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }

// expand puts a module that was spooled into the store, uncompressed.
func (p *pass) expand(name string) error {
	if p.spool == nil {
		return p.errorf(name, "the package's list of files does not have it")
	}
	at, ok := p.spool.at[name]
	if !ok {
		return p.errorf(name, "it is not in the package any more")
	}
	var x btfinfo.Expander
	defer x.Close()
	if err := x.Reset(io.NewSectionReader(p.spool.f, at.off, at.size)); err != nil {
		return inFile(err, p.name, name)
	}
	s, err := p.put(&x, moduleLimit(at.size))
	if err != nil {
		return inFile(err, p.name, name)
	}
	p.e.m.Files[name] = s
	return nil
}

// moduleLimit is what a module of size bytes may expand to; Debian's expand by 3 to 6.
func moduleLimit(size int64) int64 { return min(16<<20+64*size, maxModule) }

func (p *pass) errorf(member, format string, args ...any) error {
	name := p.name
	if member != "" {
		name += ": " + member
	}
	return &btfinfo.Error{File: name, Off: -1, Msg: fmt.Sprintf(format, args...), Hint: "no tool that builds packages makes this: where does the file come from?"}
}

// inFile puts the way to an error of a package's content before it.
func inFile(err error, steps ...string) error {
	var e *btfinfo.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	if c.File != "" {
		steps = append(steps, c.File)
	}
	c.File = strings.Join(steps, ": ")
	return &c
}
