package source

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// opened is a package of which the metadata were read, and the files come next.
type opened struct {
	in    *counted
	info  *packageInfo
	step  string // what holds the files, for errors
	data  io.Reader
	files []rpmFile // of the header of a .rpm
}

// openPackage reads a package up to its files. What it is, its first bytes say.
func openPackage(in *counted) (*opened, error) {
	head, err := in.r.Peek(len(arMagic))
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case string(head) == arMagic:
		info, ar, m, err := readDeb(in)
		return &opened{in: in, info: info, step: m.name, data: ar}, err
	case strings.HasPrefix(string(head), rpmMagic):
		info, files, err := readRPM(in)
		return &opened{in: in, info: info, step: "payload", data: in, files: files}, err
	case len(head) == 0:
		return nil, &btfinfo.Error{Off: -1, Msg: "is empty", Hint: checkNoPackage}
	}
	return nil, &btfinfo.Error{Off: 0, Msg: fmt.Sprintf("no package: starts with % x", head), Hint: checkNoPackage}
}

// member is one file of a package, or one link.
type member struct {
	name string // as the package has it
	size int64
	mode uint32 // permissions
	link string // the target of a link; "" for a file
	hard bool   // link is the path of another file of the package
}

// place reads the member's path, and refuses one that leads out of the package.
func (m *member) place() (place, error) {
	p, ok := placeOf(m.name)
	if !ok {
		e := errAt(-1, nil, "the path %q leads out of the package", m.name)
		e.Hint = checkHostile
		return p, e
	}
	return p, nil
}

// twice is the error of two files of one path.
func twice(path string) error {
	e := errAt(-1, nil, "%s is in the package twice", path)
	e.Hint = checkHostile
	return e
}

// visit gets the members of a package, one after the other, with their content. errEnough ends the walk.
type visit func(m *member, r io.Reader) error

// errEnough ends the walk through a package: everything that is wanted is out.
var errEnough = errors.New("enough")

// walk hands over the members, and returns how many bytes came out of the package's compression.
func (p *opened) walk(f visit) (expanded int64, err error) {
	x := expanders.Get().(*btfinfo.Expander)
	defer expanders.Put(x)
	out := &bounded{r: x, in: p.in}
	if err = x.Reset(p.data); err == nil {
		if p.info.kind == "deb" {
			err = walkTar(f, out)
		} else {
			err = walkCpio(f, out, p.files)
		}
	}
	if err == errEnough {
		err = nil
	}
	return out.out, err
}

// walkTar hands over the files and links of a tar archive.
func walkTar(f visit, r io.Reader) error {
	tr := tar.NewReader(r)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			return nil
		}
		if err == nil && n >= maxMembers {
			err = errAt(-1, nil, "more than %d files", maxMembers)
		}
		if err != nil {
			return tarErr(err, n)
		}
		m := &member{name: h.Name, size: h.Size, mode: uint32(h.Mode) & modePermissions}
		switch h.Typeflag {
		case tar.TypeReg:
			if isSparse(h) {
				continue // stored in pieces; nothing that makes packages makes holes
			}
		case tar.TypeSymlink, tar.TypeLink:
			m.link, m.hard = h.Linkname, h.Typeflag == tar.TypeLink
		default:
			continue
		}
		err = f(m, tr)
		if err == errEnough {
			return err
		}
		if err != nil {
			return tarErr(err, n)
		}
	}
}

// isSparse tells a file with holes. Formats before 1.0 need not tell their version: archive/tar takes a map for one.
func isSparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return false
}

// walkCpio hands over the files and links of an RPM package's archive.
func walkCpio(f visit, r io.Reader, files []rpmFile) error {
	cr := &cpioReader{in: r, files: files}
	shared := map[uint64]string{} // by inode: a path that is looked for, of files whose content comes with the last of them
	for n := 0; ; n++ {
		m, err := cr.next()
		if err == io.EOF {
			return nil
		}
		if err == nil && n >= maxMembers {
			err = errAt(-1, nil, "more than %d files", maxMembers)
		}
		if err != nil {
			return err
		}
		to := &member{size: m.size, mode: m.mode & modePermissions}
		switch m.mode & modeType {
		case modeRegular:
			if m.links < 2 {
				break
			}
			if p, ok := placeOf(m.path); m.size == 0 && ok && p.role != roleNone {
				shared[m.inode] = m.path
				continue
			}
			if path, ok := shared[m.inode]; ok && m.size > 0 {
				delete(shared, m.inode)
				if p, ok := placeOf(m.path); ok && p.role == roleNone {
					m.path = path
				}
			}
		case modeLink:
			target, err := readAll(cr, min(m.size, maxPath))
			if err != nil {
				return err
			}
			to.link = string(target)
		default:
			continue
		}
		to.name = m.path
		if err := f(to, cr); err != nil {
			return err
		}
	}
}

// Package is a .deb or .rpm package that is read as a stream: first what it says of itself, then its files.
type Package struct {
	Kind          string // "deb", "rpm"
	Name, Version string
	Arch          string // as the package has it: "amd64", "x86_64"
	// Listed: the package has a list of its files, in Files. Links are in it in a .rpm only.
	Listed bool
	Files  []string

	ctx  context.Context
	uri  string
	open *opened
}

// FileKind is what the path of a file says that it is of a kernel.
type FileKind string

// The kinds. Whether a file is that, its content decides.
const (
	OtherFile  FileKind = ""
	ImageFile  FileKind = "image"
	ConfigFile FileKind = "config"
	ModuleFile FileKind = "module" // in one of the compressions that modules have, too
)

var fileKinds = [...]FileKind{roleNone: OtherFile, roleImage: ImageFile, roleConfig: ConfigFile, roleModule: ModuleFile}

// PackageFile is a file or a link of a package.
type PackageFile struct {
	Path string // inside the package, without what begins every path: "boot/vmlinuz-6.1.0-50-cloud-amd64"
	Size int64
	Mode uint32 // permissions
	Link string // the target of a link; "" for a file
	Hard bool   // Link is the path of another file of the package
	FilePlace
}

// FilePlace is what the path of a file says.
type FilePlace struct {
	Kind   FileKind
	Uname  string // of the kernel
	Module string // name of the module, with underscores
}

// PlaceOf reads a path, as in packages; of one that leads out of the package it says nothing.
func PlaceOf(path string) FilePlace {
	p, _ := placeOf(path)
	return p.exported()
}

func (p place) exported() FilePlace { return FilePlace{fileKinds[p.role], p.uname, p.module} }

// IsPackage tells a .deb or a .rpm by its first 8 bytes.
func IsPackage(head []byte) bool {
	return strings.HasPrefix(string(head), arMagic) || strings.HasPrefix(string(head), rpmMagic)
}

// OpenPackage reads a package up to its files. uri names it in errors, which are *btfinfo.Error values or the context's.
func OpenPackage(ctx context.Context, uri string, r io.Reader) (*Package, error) {
	in := newCounted(ctx, r, nil)
	open, err := openPackage(in)
	if err != nil {
		return nil, ofPackage(ctx, err, uri)
	}
	i := open.info
	return &Package{Kind: i.kind, Name: i.name, Version: i.version, Arch: i.arch, Listed: i.listed, Files: i.files, ctx: ctx, uri: uri, open: open}, nil
}

// ofPackage is what went wrong with a package: the error of the caller who gave up, or one that names the package.
func ofPackage(ctx context.Context, err error, uri string) error {
	if ctxErr := ctx.Err(); ctxErr != nil && errors.Is(err, ctxErr) {
		return ctxErr
	}
	return inside(err, uri)
}

// Walk hands over the package's files and links, in its order, with their content. A path that leads out of the package, and a
// path that is there twice, end it. So does an error of f: fs.SkipAll ends it well, and any other is returned as it is, unless it is
// that of the package's content which f read.
func (p *Package) Walk(f func(file *PackageFile, content io.Reader) error) error {
	seen := map[string]bool{}
	var own error
	_, err := p.open.walk(func(m *member, r io.Reader) error {
		at, err := m.place()
		if err != nil {
			return err
		}
		if seen[at.path] {
			return twice(at.path)
		}
		seen[at.path] = true
		content := &watched{r: r}
		own = f(&PackageFile{Path: at.path, Size: m.size, Mode: m.mode, Link: m.link, Hard: m.hard, FilePlace: at.exported()}, content)
		switch {
		case own == nil:
			return nil
		case own == fs.SkipAll:
			own = nil
			return errEnough
		case content.err != nil && errors.Is(own, content.err):
			own = nil
			return content.err
		}
		return errEnough
	})
	if own != nil {
		return own
	}
	if err != nil {
		return ofPackage(p.ctx, inside(err, p.open.step), p.uri)
	}
	return nil
}

// watched keeps the error that reading ended with.
type watched struct {
	r   io.Reader
	err error
}

func (w *watched) Read(b []byte) (int, error) {
	n, err := w.r.Read(b)
	if err != nil && err != io.EOF {
		w.err = err
	}
	return n, err
}
