package source

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

// Read reads kernels from files and folders, puts together what belongs to one kernel, and hands the builds on, in an order that
// depends on the paths and on what is there alone. Kernels are read as many at once as there are CPUs.
//
// A file is a package, an image, a module, a configuration, or BTF. Of a folder, whatever depth, those files are taken that
// are one of these by name and content: packages, images and configurations as they are named in /boot and
// /lib/modules/UNAME, modules, and files named *.btf, *.btf.tar.xz and the like; docs/kernels.md says how the path of those gives
// the ID.
//
// Files that can't be read are named in the error, which is kernels.FileErrors then, and the others go on. An error of
// yield ends it, and is returned as it is.
func Read(ctx context.Context, paths []string, opt *Options, yield func(*archive.Build) error) error {
	if opt == nil {
		opt = &Options{}
	}
	if report := opt.Progress; report != nil {
		var mu sync.Mutex
		o := *opt
		o.Progress = func(e Event) {
			mu.Lock()
			defer mu.Unlock()
			report(e)
		}
		opt = &o
	}
	s := &scan{ctx: ctx, opt: opt, known: map[string]bool{}}
	for _, path := range paths {
		s.path(path)
	}
	problems := s.problems
	groups := s.groups()

	type result struct {
		builds []*archive.Build
		errs   []error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make([]chan result, len(groups))
	for i := range results {
		results[i] = make(chan result, 1)
	}
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Add(1)
	go func() {
		defer wg.Done()
		for i, items := range groups {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				builds, errs := load(ctx, items, opt)
				results[i] <- result{builds, errs}
			}()
		}
	}()
	from := map[string]*archive.Build{} // by ID
	for i := range groups {
		var r result
		select {
		case r = <-results[i]:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		problems = append(problems, r.errs...)
		for _, b := range r.builds {
			if first := from[b.ID]; first != nil {
				problems = append(problems, &btfinfo.Error{
					File: b.Sources[0].URI, Off: -1, Msg: fmt.Sprintf("has the ID %s, which %s has already", b.ID, packageOrSource(first)),
					Hint: "add it by itself with another ID",
				})
				continue
			}
			from[b.ID] = &archive.Build{Kernel: b.Kernel} // without its BTF
			if err := yield(b); err != nil {
				cancel()
				return err
			}
		}
		<-slots
	}
	if len(problems) == 0 {
		return nil
	}
	return kernels.FileErrors(problems)
}

// load reads the items of one kernel.
func load(ctx context.Context, items []*item, opt *Options) ([]*archive.Build, []error) {
	var parts []*Part
	var errs, empty []error
	for _, it := range items {
		part, err := it.load(ctx)
		switch {
		case err != nil:
			errs = append(errs, err)
		case part.empty() && it.key == "":
			errs = append(errs, part.emptyErr())
		case part.empty():
			empty = append(empty, part.emptyErr())
		default:
			parts = append(parts, part)
		}
	}
	if len(parts) == 0 { // else it is the one that depends on the others: Debian's linux-image-* since 6.19, Fedora's kernel
		errs = append(errs, empty...)
	}
	builds, err := Join(parts, opt)
	var list kernels.FileErrors
	if errors.As(err, &list) {
		if len(errs) > 0 && len(builds) == 0 { // what is missing is what could not be read
			return nil, errs
		}
		errs = append(errs, list...)
	} else if err != nil {
		errs = append(errs, err)
	}
	return builds, errs
}

// item is something to be read, of which it is known already what kernel it belongs to.
type item struct {
	key  string // its uname; "" where that is not known
	load func(context.Context) (*Part, error)
}

// scan finds what there is to be read.
type scan struct {
	ctx      context.Context
	opt      *Options
	items    []*item
	known    map[string]bool // real paths of files that were taken
	problems kernels.FileErrors
}

func (s *scan) fail(err error) { s.problems = append(s.problems, err) }

// groups puts together the items of one kernel, in the order in which kernels appear. BTF files are kernels by
// themselves, unless something else has the same uname.
func (s *scan) groups() [][]*item {
	var groups [][]*item
	index := map[string]int{}
	var loose []*item
	for _, it := range s.items {
		if it.key == "" {
			loose = append(loose, it)
			continue
		}
		i, ok := index[it.key]
		if !ok {
			i = len(groups)
			index[it.key] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], it)
	}
	if len(groups) == 1 {
		groups[0] = append(groups[0], loose...)
		return groups
	}
	for _, it := range loose {
		groups = append(groups, []*item{it})
	}
	return groups
}

// hintFile is what to do about a file that can't be opened.
const hintFile = "is the name right, and may you read it?"

func fileErr(path, msg string, err error) *btfinfo.Error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if path == "" { // the line begins with it
		path = `""`
	}
	return &btfinfo.Error{File: path, Off: -1, Msg: msg, Err: err, Hint: hintFile}
}

// path looks at what the user named.
func (s *scan) path(path string) {
	st, err := os.Stat(path)
	switch {
	case err != nil:
		s.fail(fileErr(path, "can't be opened", err))
	case st.IsDir():
		s.dir(path)
	case !st.Mode().IsRegular():
		e := fileErr(path, "is neither a file nor a folder", nil)
		e.Hint = "copy what it gives into a file, and name that"
		s.fail(e)
	case s.first(path):
		s.file(path, path)
	}
}

// first tells that a file was not taken yet, under any name.
func (s *scan) first(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		real = path
	}
	if s.known[real] {
		return false
	}
	s.known[real] = true
	return true
}

// readHead reads what tells packages and configurations.
func readHead(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	head := make([]byte, 1024)
	n, err := io.ReadFull(f, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return head[:n], err
}

// isPackage tells the start of a .deb, whose first member is debian-binary, or of a .rpm.
func isPackage(head []byte) bool {
	return strings.HasPrefix(string(head), arMagic+"debian-binary") || strings.HasPrefix(string(head), rpmMagic)
}

// file looks at one file; root is the folder in which it was found, or the file itself.
func (s *scan) file(path, root string) {
	head, err := readHead(path)
	switch {
	case err != nil:
		s.fail(fileErr(path, "can't be read", err))
	case isPackage(head) || strings.HasPrefix(string(head), arMagic) && path == root:
		s.pkg(path)
	case isConfig(head):
		s.config(path)
	case kernels.IsBTFName(path):
		s.btf(path, root)
	default:
		s.kernel(path, root)
	}
}

// pkg takes a package. What kernel it belongs to, its metadata tell.
func (s *scan) pkg(path string) {
	key, err := packageKey(s.ctx, path)
	if err != nil {
		s.fail(inside(err, path))
		return
	}
	s.items = append(s.items, &item{key, func(ctx context.Context) (*Part, error) { return s.loadPackage(ctx, path) }})
}

// packageKey reads the metadata of a package.
func packageKey(ctx context.Context, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fileErr(path, "can't be opened", err)
	}
	defer f.Close()
	in := newCounted(ctx, f, nil)
	var info *packageInfo
	if head, err := in.r.Peek(len(arMagic)); err == nil && string(head) == arMagic {
		info, _, _, err = readDeb(in)
		if err != nil {
			return "", err
		}
	} else if info, _, err = readRPM(in); err != nil {
		return "", err
	}
	for _, name := range info.files {
		if p, ok := placeOf(name); ok && p.role != roleNone {
			return p.uname, nil
		}
	}
	// Without a list of files: linux-image-UNAME, linux-image-unsigned-UNAME, linux-image-UNAME-dbg.
	if m := debNameRE.FindStringSubmatch(info.name); m != nil {
		return m[1], nil
	}
	return "", nil
}

// loadPackage reads a package on disk, and its digest.
func (s *scan) loadPackage(ctx context.Context, path string) (*Part, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fileErr(path, "can't be opened", err)
	}
	defer f.Close()
	size := int64(-1)
	if st, err := f.Stat(); err == nil {
		size = st.Size()
	}
	sum := sha256.New()
	whole := io.TeeReader(f, sum)
	part, err := readPackage(ctx, archive.Source{URI: filepath.Base(path)}, whole, size, s.opt)
	if err != nil {
		return nil, named(err, path)
	}
	// The rest is not expanded, but the digest is that of the whole.
	if _, err := io.Copy(io.Discard, bufio.NewReaderSize(whole, 1<<20)); err != nil {
		return nil, fileErr(path, "can't be read", err)
	}
	part.Source.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return part, nil
}

// named gives an error the path that the user named, in place of the file's name that sources have.
func named(err error, path string) error {
	var e *btfinfo.Error
	if !errors.As(err, &e) {
		return err
	}
	c := *e
	c.File = filepath.Dir(path) + "/" + e.File
	if filepath.Dir(path) == "." {
		c.File = e.File
	}
	return &c
}

// emptyErr is the error about a package that has nothing of a kernel.
func (p *Part) emptyErr() error {
	e := fileErr(p.Source.URI, fmt.Sprintf("the package %s has neither an image nor modules nor a configuration of a kernel", p.Package), nil)
	e.Hint = "in Debian the image is in linux-image-UNAME or, since 6.19, in linux-binary-UNAME, the modules in linux-modules-UNAME; in Fedora in kernel-core and kernel-modules-core"
	return e
}

// empty tells that nothing of a kernel was found.
func (p *Part) empty() bool {
	for _, pc := range p.pieces {
		if pc.image != nil || pc.config != nil || pc.modules != nil || len(pc.links) > 0 {
			return false
		}
	}
	return true
}

// source describes a file on disk.
func fileSource(path string) (archive.Source, error) {
	src := archive.Source{URI: filepath.Base(path)}
	f, err := os.Open(path)
	if err != nil {
		return src, fileErr(path, "can't be opened", err)
	}
	defer f.Close()
	if st, err := f.Stat(); err == nil {
		src.Date = st.ModTime().UTC().Format(time.DateOnly)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return src, fileErr(path, "can't be read", err)
	}
	src.SHA256 = hex.EncodeToString(sum.Sum(nil))
	return src, nil
}

// config takes a configuration. Its name tells the kernel, as in /boot and in /lib/modules/UNAME.
func (s *scan) config(path string) {
	uname := ""
	if u, ok := strings.CutPrefix(filepath.Base(path), "config-"); ok {
		uname = u
	} else {
		uname = unameOfFolder(path)
	}
	s.items = append(s.items, &item{uname, func(context.Context) (*Part, error) {
		st, err := os.Stat(path)
		if err == nil && st.Size() > maxConfig {
			return nil, errAtFile(path, "%d bytes, the limit for a configuration is %d", st.Size(), maxConfig)
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, fileErr(path, "can't be read", err)
		}
		conf, err := parseConfig(text)
		if err != nil {
			return nil, inside(err, path)
		}
		src, err := fileSource(path)
		if err != nil {
			return nil, err
		}
		return &Part{Source: src, Kind: "config", Read: int64(len(text)), Expanded: int64(len(text)), pieces: []*piece{{uname: uname, config: conf}}}, nil
	}})
}

func errAtFile(path, format string, args ...any) *btfinfo.Error {
	e := errAt(-1, nil, format, args...)
	e.File = path
	return e
}

// unameOfFolder is the folder below lib/modules that a path is in, "" where it is in none.
func unameOfFolder(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	parts := strings.Split(filepath.ToSlash(path), "/")
	for i := len(parts) - 3; i > 0; i-- {
		if parts[i] == "modules" && parts[i-1] == "lib" {
			return parts[i+1]
		}
	}
	return ""
}

// btf takes a file that is named like BTF of BTFHub, and is opened only when its turn comes.
func (s *scan) btf(path, root string) {
	s.items = append(s.items, &item{kernels.Describe(path, root).Uname, func(context.Context) (*Part, error) { return s.open(path, root) }})
}

// kernel takes an image, a module, or BTF of any name. It is opened now, because only its content tells the kernel.
func (s *scan) kernel(path, root string) {
	if err := s.ctx.Err(); err != nil {
		return
	}
	part, err := s.open(path, root)
	if err != nil {
		s.fail(err)
		return
	}
	s.add(part)
}

// add takes a part that is read already.
func (s *scan) add(part *Part) {
	key := ""
	if len(part.pieces) > 0 {
		key = part.pieces[0].uname
	}
	s.items = append(s.items, &item{key, func(context.Context) (*Part, error) { return part, nil }})
}

// open reads an image, a module, or BTF.
func (s *scan) open(path, root string) (*Part, error) {
	src, err := fileSource(path)
	if err != nil {
		return nil, err
	}
	part := &Part{Source: src}
	if st, err := os.Stat(path); err == nil {
		part.Read = st.Size()
	}
	report := func(err error) {
		if s.opt.Progress != nil {
			s.opt.Progress(Event{Name: path, Read: part.Read, Size: part.Read, Done: true, Err: err})
		}
	}
	f, err := btfinfo.Open(path, &btfinfo.Options{Unparsed: true})
	var e *btfinfo.Error
	if errors.As(err, &e) {
		if e.Found == nil || e.Found.Arch == "bpf" || e.Found.Banner.Uname == "" {
			report(err)
			return nil, err
		}
		f = e.Found
	}
	switch {
	case f.Code:
		err := fileErr(path, "is a BPF program, want a kernel", nil)
		err.Hint = "objects are checked with: corecheck object " + filepath.Base(path)
		report(err)
		return nil, err
	case f.Module != "":
		part.Kind = "modules"
		pc := &piece{uname: f.Banner.Uname}
		m := pc.moduleList()
		m.seen, m.wanted = 1, 1
		if f.Raw == nil {
			m.none = 1
		} else {
			m.raw = []rawModule{{name: ModuleName(f.Module), path: filepath.Base(path), btf: f.Raw, own: f.BTF != nil, uname: f.Banner.Uname}}
		}
		pc.arch, _ = kernels.Arch(f.Arch)
		part.pieces = []*piece{pc}
	case f.BTF == nil && f.Raw != nil:
		err := fileErr(path, "is the BTF of a module, which does not tell the kernel that it belongs to", nil)
		err.Hint = "name the module itself, the .ko file"
		report(err)
		return nil, err
	case f.Banner.Uname != "":
		part.Kind = "image"
		f.Raw = nil
		pc := &piece{uname: f.Banner.Uname, image: f, path: filepath.Base(path)}
		pc.arch, _ = kernels.Arch(f.Arch)
		part.pieces = []*piece{pc}
	default:
		part.Kind = "btf"
		f.Raw = nil
		k := kernels.Describe(path, root)
		pc := &piece{uname: k.Uname, image: f, path: filepath.Base(path), distro: known(k.Distro), release: known(k.Release), arch: known(k.Arch)}
		if arch, ok := kernels.Arch(f.Arch); ok {
			pc.arch = arch
		}
		if id := strings.Split(s.opt.ID, "/"); len(id) == 4 {
			pc.uname = id[3]
		}
		part.pieces = []*piece{pc}
	}
	report(nil)
	return part, nil
}

// known is "" for a part of an ID that is not known.
func known(part string) string {
	if part == "unknown" {
		return ""
	}
	return part
}
