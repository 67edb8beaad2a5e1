package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/source"
)

// FromFile is Find for an image that the user names: a boot image (vmlinuz, bzImage, Image), or a kernel's package.
// modulesFrom is a package, or a folder that is lib/modules/UNAME or has it below; "" is for a package that package, and for an
// image the folder lib/modules/UNAME beside the image's folder, or beside it.
func (f *Finder) FromFile(ctx context.Context, image, modulesFrom string, modules []string) (*Files, error) {
	files := &Files{}
	if err := f.fromFile(ctx, image, modulesFrom, modules, files); err != nil {
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

func (f *Finder) fromFile(ctx context.Context, image, modulesFrom string, modules []string, files *Files) error {
	isPackage, err := isPackageFile(image)
	if err != nil {
		return err
	}
	w := &work{f: f, ctx: ctx, id: filepath.Base(image), modules: modules, files: files}
	if isPackage {
		p, err := userPackage(ctx, image)
		if err != nil {
			return err
		}
		if err := w.takeNamed(image, p); err != nil {
			return err
		}
	} else if err := files.readImage(image); err != nil {
		return err
	}
	if len(modules) == 0 {
		return nil
	}
	if isPackage && modulesFrom == "" {
		return w.finish(noModules(w.taken[0].m, files.Uname, image))
	}
	folder := modulesFrom
	if folder == "" {
		if folder = files.folderBeside(image); folder == "" {
			files.Missing = sorted(slices.Clone(modules))
			files.NoModules = &btfinfo.Error{File: image, Off: -1, Msg: fmt.Sprintf("there is no folder lib/modules/%s beside it", files.Uname), Hint: "name the folder with modules, or a package"}
			return nil
		}
	} else if is, err := isPackageFile(folder); err == nil && is {
		p, err := userPackage(ctx, folder)
		if err != nil {
			return err
		}
		if err := w.take(p); err != nil {
			return err
		}
		return w.finish(noModules(w.taken[len(w.taken)-1].m, files.Uname, folder))
	}
	return files.fromFolder(folder, modules)
}

// isPackageFile tells a .deb or a .rpm by its first bytes; a folder is none.
func isPackageFile(name string) (bool, error) {
	st, err := os.Stat(name)
	if err != nil {
		return false, fileErr(name, err)
	}
	if st.IsDir() {
		return false, nil
	}
	if !st.Mode().IsRegular() { // a pipe would block in open(2)
		return false, fileErr(name, errors.New("it is no regular file"))
	}
	in, err := os.Open(name)
	if err != nil {
		return false, fileErr(name, err)
	}
	defer in.Close()
	head := make([]byte, 8)
	n, err := io.ReadFull(in, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return false, fileErr(name, err)
	}
	return source.IsPackage(head[:n]), nil
}

// userPackage is a package that the user named.
func userPackage(ctx context.Context, path string) (*opener, error) {
	sum, err := sumOf(ctx, path)
	if err != nil {
		return nil, err
	}
	return &opener{path, sum, func(context.Context) (string, error) { return path, nil }}, nil
}

// takeNamed goes through a package that has an image, and learns from it which kernel it is.
func (w *work) takeNamed(path string, p *opener) error {
	e, err := w.f.take(w.ctx, w.id, p, &need{boot: true})
	if err != nil {
		return err
	}
	w.files.entries = append(w.files.entries, e)
	var unames []string
	for _, i := range e.m.Images {
		unames = append(unames, i.Uname)
	}
	if unames = sorted(unames); len(unames) != 1 {
		err := &btfinfo.Error{File: path, Off: -1, Msg: fmt.Sprintf("the package %s has no boot image", e.m.Package),
			Hint: "in Debian the image is in linux-image-UNAME or, since 6.19, in linux-binary-UNAME; in Fedora in kernel-core"}
		if len(unames) > 1 {
			err.Msg = fmt.Sprintf("the package %s has images of %s", e.m.Package, strings.Join(unames, ", "))
			err.Hint = "unpack it, and name one of them"
		}
		return err
	}
	w.files.Uname = unames[0]
	w.files.Arch, _ = kernels.Arch(e.m.Arch)
	w.files.Packages = append(w.files.Packages, archive.Source{URI: filepath.Base(path), SHA256: p.sha256})
	if err := w.files.pickImage(path); err != nil {
		return err
	}
	if len(w.modules) == 0 {
		return nil
	}
	return w.take(p)
}

// noModules is an error where a package has no module of a kernel.
func noModules(m *manifest, uname, path string) error {
	if slices.ContainsFunc(m.List, func(i info) bool { return i.Uname == uname }) {
		return nil
	}
	return &btfinfo.Error{File: path, Off: -1, Msg: fmt.Sprintf("the package %s has no modules of %s", m.Package, uname), Hint: "name a folder with modules, or another package"}
}

// readImage learns from an image which kernel it is. The configuration lies beside it, as in /boot, or with the modules.
func (f *Files) readImage(image string) error {
	in, err := btfinfo.Open(image, &btfinfo.Options{Unparsed: true})
	var e *btfinfo.Error
	if errors.As(err, &e) && e.Found != nil { // without BTF it boots as well
		in, err = e.Found, nil
	}
	if err != nil {
		return err
	}
	if in.Code || in.Module != "" || in.Banner.Uname == "" {
		return &btfinfo.Error{File: image, Off: -1, Msg: "is no image of a kernel: it does not say which version it is", Hint: "name a boot image such as vmlinuz, or a kernel's package"}
	}
	f.Image, f.Uname, f.Arch = image, in.Banner.Uname, in.Arch
	if !isWord(f.Uname) {
		return &btfinfo.Error{File: image, Off: -1, Msg: fmt.Sprintf("the kernel calls itself %q, which no kernel does", f.Uname), Hint: "is the image damaged?"}
	}
	for _, config := range []string{filepath.Join(filepath.Dir(image), "config-"+f.Uname), filepath.Join(filepath.Dir(image), "config")} {
		if st, err := os.Stat(config); err == nil && st.Mode().IsRegular() {
			f.Config = config
			break
		}
	}
	return nil
}

// folderBeside finds lib/modules/UNAME near an image: in its own folder, in that above it (boot/vmlinuz-UNAME beside lib), or the
// image's own folder, where it is that.
func (f *Files) folderBeside(image string) string {
	dir, err := filepath.Abs(filepath.Dir(image))
	if err != nil {
		return ""
	}
	for _, d := range []string{
		filepath.Join(dir, "lib/modules", f.Uname), filepath.Join(dir, "usr/lib/modules", f.Uname),
		filepath.Join(dir, "../lib/modules", f.Uname), filepath.Join(dir, "../usr/lib/modules", f.Uname),
	} {
		if isDir(d) {
			return d
		}
	}
	if filepath.Base(dir) == f.Uname && isDir(filepath.Join(dir, "kernel")) {
		return dir
	}
	return ""
}

func isDir(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.IsDir()
}

// fromFolder finds modules in a folder, which is lib/modules/UNAME or has it.
func (f *Files) fromFolder(folder string, wanted []string) error {
	root := folder
	for _, below := range []string{filepath.Join("lib/modules", f.Uname), filepath.Join("usr/lib/modules", f.Uname), filepath.Join("modules", f.Uname), f.Uname} {
		if d := filepath.Join(folder, below); isDir(d) {
			root = d
			break
		}
	}
	if !isDir(root) {
		return &btfinfo.Error{File: folder, Off: -1, Msg: "is neither a folder nor a package", Hint: "name lib/modules/UNAME, or a folder that has it, or a package"}
	}
	if root, err := filepath.EvalSymlinks(root); err == nil && f.Config == "" { // WalkDir does not follow a link at its start
		if config := filepath.Join(root, "config"); isFile(config) {
			f.Config = config
		}
	}
	dir, err := openFolder(root)
	if err != nil {
		return err
	}
	list, builtin, missing := dir.catalog().order(wanted)
	if len(dir.errs) > 0 {
		return dir.errs[0]
	}
	f.Builtin, f.Missing = builtin, missing
	if len(dir.paths) == 0 {
		f.NoModules = &btfinfo.Error{File: folder, Off: -1, Msg: fmt.Sprintf("has no modules of %s", f.Uname), Hint: "name lib/modules/UNAME, or a folder that has it, or a package"}
	}
	for _, c := range list {
		if c.Uname != "" && c.Uname != f.Uname {
			return &btfinfo.Error{File: c.Path, Off: -1, Msg: fmt.Sprintf("the module is for the kernel %s, the image is %s", c.Uname, f.Uname), Hint: "name the modules of the same kernel"}
		}
		path, err := f.expanded(c.Path, c.Name)
		if err != nil {
			return err
		}
		f.Modules = append(f.Modules, Module{Name: c.Name, Path: path, Wanted: c.wanted, Soft: c.soft})
	}
	return nil
}

func isFile(name string) bool {
	st, err := os.Stat(name)
	return err == nil && st.Mode().IsRegular()
}

// expanded is the path of a module as it stands, or of a copy that is expanded.
func (f *Files) expanded(path, name string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", fileErr(path, err)
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return "", fileErr(path, err)
	}
	var x btfinfo.Expander
	defer x.Close()
	if err := x.Reset(in); err != nil {
		return "", inFile(err, path)
	}
	if x.Format() == "" {
		return path, nil
	}
	if f.temp == "" {
		if f.temp, err = os.MkdirTemp("", "corecheck-modules-"); err != nil {
			return "", err
		}
	}
	out, err := os.Create(filepath.Join(f.temp, name+".ko")) // a name of a module is a word
	if err != nil {
		return "", err
	}
	limit := moduleLimit(st.Size())
	n, err := io.Copy(out, io.LimitReader(&x, limit+1))
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil && n > limit {
		err = &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("%d bytes expand to more than %d", st.Size(), limit)}
	}
	return out.Name(), inFile(err, path)
}

// folder is lib/modules/UNAME on disk. A module is read when it is asked for.
type folder struct {
	paths   map[string]string // by name
	read    map[string]*info
	builtin []info
	aliases map[string][]string // of depmod's modules.alias
	errs    []error
}

// openFolder lists the modules of a folder.
func openFolder(root string) (*folder, error) {
	d := &folder{paths: map[string]string{}, read: map[string]*info{}, aliases: map[string][]string{}}
	real, err := filepath.EvalSymlinks(root)
	if err != nil {
		return nil, fileErr(root, err)
	}
	err = filepath.WalkDir(real, func(path string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err // links are to modules of other kernels, or to ones that are met anyway
		}
		if name, ok := moduleOfPath(path); ok {
			if before, twice := d.paths[name]; !twice || isUpdate(path) && !isUpdate(before) {
				d.paths[name] = path
			}
		}
		return nil
	})
	if err != nil {
		return nil, fileErr(root, err)
	}
	for _, base := range []string{"modules.builtin", "modules.builtin.modinfo"} {
		text, err := readText(filepath.Join(real, base))
		if err != nil {
			return nil, err
		}
		d.builtin = append(d.builtin, parseBuiltin("", base, text)...)
	}
	text, err := readText(filepath.Join(real, "modules.alias"))
	if err != nil {
		return nil, err
	}
	// "alias NAME MODULE" lines: output_aliases in tools/depmod.c of kmod 33.
	for line := range strings.Lines(string(text)) {
		if w := strings.Fields(line); len(w) == 3 && w[0] == "alias" && isWord(w[1]) && isWord(w[2]) {
			name := source.ModuleName(w[1])
			d.aliases[name] = append(d.aliases[name], source.ModuleName(w[2]))
		}
	}
	return d, nil
}

// readText reads a list, which need not be there.
func readText(name string) ([]byte, error) {
	in, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fileErr(name, err)
	}
	defer in.Close()
	text, err := io.ReadAll(io.LimitReader(in, maxText+1))
	if err != nil {
		return nil, fileErr(name, err)
	}
	if len(text) > maxText {
		return nil, fileErr(name, fmt.Errorf("more than %d bytes, the limit", maxText))
	}
	return text, nil
}

func (d *folder) catalog() *catalog {
	c := newCatalog("", nil, [][]info{d.builtin})
	c.module = d.module
	c.alias = func(name string) []string { return d.aliases[name] }
	return c
}

// module reads a module's .modinfo.
func (d *folder) module(name string) *info {
	if m, ok := d.read[name]; ok {
		return m
	}
	path, ok := d.paths[name]
	if !ok {
		return nil
	}
	d.read[name] = nil
	m, err := readModule(path)
	if err != nil {
		d.errs = append(d.errs, err)
		return nil
	}
	m.Name, m.Path = name, path
	d.read[name] = &m
	return &m
}

func readModule(path string) (info, error) {
	in, err := os.Open(path)
	if err != nil {
		return info{}, fileErr(path, err)
	}
	defer in.Close()
	st, err := in.Stat()
	if err != nil {
		return info{}, fileErr(path, err)
	}
	if st.Size() > maxModule {
		return info{}, fileErr(path, fmt.Errorf("%d bytes, the limit for a module is %d", st.Size(), maxModule))
	}
	var x btfinfo.Expander
	defer x.Close()
	m, err := readInfo(io.NewSectionReader(in, 0, st.Size()), st.Size(), &x, new(bytes.Buffer))
	return m, inFile(err, path)
}
