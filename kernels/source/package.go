package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

// expanders keeps decompressors and their windows between uses.
var expanders = sync.Pool{New: func() any { return new(btfinfo.Expander) }}

// ReadPackage reads a .deb or .rpm package from a stream, as far as something in it is wanted: see Part. What it is, its first
// bytes say. src.URI names it in errors and in what is made of it.
//
// A caller that checks a digest of the stream reads the rest itself, and throws the part away where the digest is wrong. Packages
// that hold nothing of a kernel are no error; their part is empty. Errors are *btfinfo.Error values, or the context's.
func ReadPackage(ctx context.Context, src archive.Source, r io.Reader, opt *Options) (*Part, error) {
	if opt == nil {
		opt = &Options{}
	}
	return readPackage(ctx, src, r, -1, opt)
}

// readPackage is ReadPackage for a stream of size bytes.
func readPackage(ctx context.Context, src archive.Source, r io.Reader, size int64, opt *Options) (*Part, error) {
	in := newCounted(ctx, r, nil)
	if opt.Progress != nil {
		in.progress = func(n int64) { opt.Progress(Event{Name: src.URI, Read: n, Size: size}) }
	}
	part, err := packageOf(ctx, src, in, opt)
	if err != nil {
		part = nil
		err = ofPackage(ctx, err, src.URI)
	}
	if opt.Progress != nil {
		opt.Progress(Event{Name: src.URI, Read: in.n, Size: size, Done: true, Err: err})
	}
	return part, err
}

func packageOf(ctx context.Context, src archive.Source, in *counted, opt *Options) (*Part, error) {
	p, err := openPackage(in)
	if err != nil {
		return nil, err
	}
	if src.Date == "" {
		src.Date = p.info.date
	}
	part := &Part{Source: src, Kind: p.info.kind, Package: p.info.name, Version: p.info.version}
	c := newCollector(ctx, opt, p.info)
	if c.failed != nil {
		return nil, c.failed
	}
	if !c.finished() {
		part.Expanded, err = p.walk(c.file)
		if err := c.close(err); err != nil {
			return nil, inside(err, p.step)
		}
	}
	part.Read = in.n
	part.pieces = c.result()
	return part, nil
}

// collector takes what is wanted from the files of a package as they pass.
type collector struct {
	ctx    context.Context
	opt    *Options
	info   *packageInfo
	pieces []*piece        // by order of appearance
	todo   map[string]role // what the list of files has of what is wanted, by path
	others int             // how much of it is no image
	seen   map[string]bool // paths of what was taken
	images map[string]*imageJob
	last   *imageJob // the one that was begun last
	pool   *modulePool
	failed error // why the package can't be read on
}

// maxKernels is how many kernels a package may hold; distributions put one into each.
const maxKernels = 64

// imageJob is an image that is read beside what comes after it.
type imageJob struct {
	done chan struct{}
	file *btfinfo.File
	err  error
}

func newCollector(ctx context.Context, opt *Options, info *packageInfo) *collector {
	c := &collector{ctx: ctx, opt: opt, info: info, todo: map[string]role{}, seen: map[string]bool{}, images: map[string]*imageJob{}}
	for _, path := range info.files {
		p, ok := placeOf(path)
		if !ok || p.role == roleNone {
			continue
		}
		if p.role == roleModule {
			c.count(p)
			if !opt.Modules.Wants(p.module) {
				continue
			}
		}
		if _, twice := c.todo[p.path]; twice {
			continue
		}
		c.todo[p.path] = p.role
		if p.role != roleImage {
			c.others++
		}
	}
	return c
}

// piece returns the piece of a kernel, made if need be.
func (c *collector) piece(uname string) *piece {
	for _, p := range c.pieces {
		if p.uname == uname {
			return p
		}
	}
	p := &piece{uname: uname}
	if arch, ok := kernels.Arch(c.info.arch); ok {
		p.arch = arch
	}
	if len(c.pieces) >= maxKernels {
		e := errAt(-1, nil, "more than %d kernels are in the package", maxKernels)
		e.Hint = checkHostile
		c.failed = e
		return p
	}
	c.pieces = append(c.pieces, p)
	return p
}

// count counts a module among those of its kernel.
func (c *collector) count(p place) {
	m := c.piece(p.uname).moduleList()
	m.seen++
	if c.opt.Modules.Wants(p.module) {
		m.wanted++
	}
}

// finished tells that nothing more is wanted. Without a list of files that is known only where no module is wanted and an
// image and a configuration are out.
func (c *collector) finished() bool {
	if !c.info.listed {
		if !c.opt.Modules.None() || len(c.pieces) == 0 {
			return false
		}
		for _, p := range c.pieces {
			if p.config == nil || !c.haveImage(p.uname) {
				return false
			}
		}
		return true
	}
	if c.others > 0 {
		return false
	}
	for path := range c.todo {
		if p, _ := placeOf(path); !c.haveImage(p.uname) {
			return false
		}
	}
	return true
}

// haveImage tells that the BTF of a kernel's image is out. It waits for the image where it is being read.
func (c *collector) haveImage(uname string) bool {
	j := c.images[uname]
	if j == nil {
		return false
	}
	<-j.done
	return j.file != nil && j.file.BTF != nil
}

// file takes one file of the package, whose content r has. It returns errEnough where it is the last one that is wanted.
func (c *collector) file(m *member, r io.Reader) error {
	p, err := m.place()
	if err != nil || p.role == roleNone {
		return err
	}
	if m.link != "" {
		if p.role == roleImage {
			pc := c.piece(p.uname)
			pc.links = append(pc.links, fmt.Sprintf("%s is a link to %q", p.path, m.link))
		}
		return nil
	}
	if c.seen[p.path] {
		return twice(p.path)
	}
	c.seen[p.path] = true
	size := m.size
	switch p.role {
	case roleImage:
		err = c.image(p, size, r)
	case roleConfig:
		err = c.config(p, size, r)
	case roleModule:
		if !c.info.listed {
			c.count(p)
		}
		if !c.opt.Modules.Wants(p.module) {
			return nil
		}
		err = c.module(p, size, r)
	}
	if err == nil {
		err = c.failed
	}
	if err != nil {
		return err
	}
	if r, listed := c.todo[p.path]; listed {
		delete(c.todo, p.path)
		if r != roleImage {
			c.others--
		}
	}
	if c.finished() {
		return errEnough
	}
	return nil
}

func (c *collector) config(p place, size int64, r io.Reader) error {
	if size > maxConfig {
		return inside(errAt(-1, nil, "%d bytes, the limit is %d", size, maxConfig), p.path)
	}
	text, err := readAll(r, size)
	if err != nil {
		return inside(err, p.path)
	}
	conf, err := parseConfig(text)
	if err != nil {
		return inside(err, p.path)
	}
	if pc := c.piece(p.uname); pc.config == nil {
		pc.config = conf
	}
	return nil
}

// image reads a kernel's image. Of several of one kernel (SUSE has vmlinuz and vmlinux.xz) the first with BTF counts.
func (c *collector) image(p place, size int64, r io.Reader) error {
	pc := c.piece(p.uname) // so that the order of kernels is that of the package
	if c.haveImage(p.uname) {
		return nil
	}
	if c.last != nil {
		<-c.last.done // one at a time is held
	}
	before := c.images[p.uname]
	j := &imageJob{done: make(chan struct{})}
	read := func(f *btfinfo.File, err error) {
		defer close(j.done)
		if j.file, j.err = kernelImage(f, err); j.err == nil {
			pc.path = p.path
		} else if before != nil && before.err == nil {
			j.file, j.err = before.file, nil // without BTF, but an answer
		}
	}
	if size > maxHeldImage {
		read(btfinfo.ReadStream(r, size, p.path, nil))
	} else {
		data, err := readAll(r, size)
		if err != nil {
			return inside(err, p.path)
		}
		go func() { read(btfinfo.Read(bytes.NewReader(data), size, p.path, nil)) }()
	}
	c.images[p.uname], c.last = j, j
	return nil
}

// kernelImage is what was read of an image: a file without BTF where the image has none.
func kernelImage(f *btfinfo.File, err error) (*btfinfo.File, error) {
	var e *btfinfo.Error
	switch {
	case errors.As(err, &e) && e.Found != nil && e.Found.Module == "" && e.Found.Arch != "bpf" && e.Found.Banner.Uname != "":
		return e.Found, nil
	case err != nil:
		return nil, err
	case f.Module != "" || f.Code || f.Split():
		return nil, &btfinfo.Error{File: f.Path, Off: -1, Msg: "is no image of a kernel, but a module or a BPF program", Hint: checkHostile}
	}
	f.Raw = nil // BTF has it where the machine can read it as it stands
	return f, nil
}

// module gives a module's file to the workers.
func (c *collector) module(p place, size int64, r io.Reader) error {
	if c.pool == nil {
		c.pool = newModulePool()
	}
	m := c.piece(p.uname).moduleList()
	j := moduleJob{to: func(string) *modules { return m }, name: p.module, path: p.path}
	if size > maxModule {
		c.pool.fail(j, errAt(-1, nil, "%d bytes, the limit is %d", size, maxModule))
		return nil
	}
	buf := c.pool.buffer()
	buf.Reset()
	if n, err := io.CopyN(buf, r, size); err != nil {
		c.pool.release(buf)
		if err == io.EOF {
			err = errAt(-1, errors.New("the package ends too early"), "%d of %d bytes are there", n, size)
		}
		return inside(err, p.path)
	}
	j.data = buf
	c.pool.add(j)
	return nil
}

// close waits for what is being read. err is what ended the walk.
func (c *collector) close(err error) error {
	if c.pool != nil {
		c.pool.close()
	}
	for _, pc := range c.pieces {
		j := c.images[pc.uname]
		if j == nil {
			continue
		}
		<-j.done
		if j.err != nil {
			if err == nil {
				err = j.err
			}
			continue
		}
		pc.image = j.file
		if pc.arch == "" {
			pc.arch = j.file.Arch
		}
		if u := j.file.Banner.Uname; u != "" && u != pc.uname && err == nil {
			err = &btfinfo.Error{
				File: pc.path, Off: -1, Msg: fmt.Sprintf("the kernel in it calls itself %q, its name says %q", u, pc.uname),
				Hint: "was the package put together by hand? name the image and the folder of modules themselves",
			}
		}
	}
	return err
}

// result gives the pieces what the package says of all of them.
func (c *collector) result() []*piece {
	for _, pc := range c.pieces {
		pc.info = c.info
		if pc.modules != nil {
			slices.SortFunc(pc.modules.raw, func(a, b rawModule) int { return strings.Compare(a.path, b.path) })
			slices.SortFunc(pc.modules.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		}
	}
	return c.pieces
}
