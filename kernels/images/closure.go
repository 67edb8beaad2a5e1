package images

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Closure lists what a program of this machine needs beside itself to run in a guest of an architecture, in BTFHub's names: its
// ELF interpreter and its libraries, each at the path where the interpreter finds it here, and the interpreter's cache of paths
// where one was found through that only. A static program needs nothing. The program has to be at the same path in the guest if
// it finds libraries by its own ($ORIGIN). What it opens while it runs (dlopen: plugins, name services) is not known.
//
// Source: ld.so(8) of man-pages 6.9: DT_RPATH unless there is DT_RUNPATH, DT_RUNPATH, the cache, the standard folders.
func Closure(program, arch string) ([]File, error) {
	c := &closure{root: "/", arch: arch, seen: map[string]bool{}}
	if err := c.read(); err != nil {
		return nil, err
	}
	abs, err := filepath.Abs(program)
	if err != nil {
		return nil, err
	}
	if err := c.program(abs, program); err != nil {
		return nil, err
	}
	slices.SortFunc(c.files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return c.files, nil
}

// closure is the way through libraries.
type closure struct {
	root       string // of the file system, for tests
	arch       string
	conf       []string // folders that ldconfig makes its cache of
	seen       map[string]bool
	files      []File
	needsCache bool
}

// maxLibraries is how many libraries a program may need.
const maxLibraries = 1000

// object is what is read of a program or a library.
type object struct {
	path        string // where the interpreter finds it
	interpreter string
	needed      []string
	rpath       []string
	runpath     []string
	machine     elf.Machine
	class       elf.Class
}

func (c *closure) read() error {
	dirs, err := readLdConf(c.root, "/etc/ld.so.conf", 0)
	c.conf = dirs
	return err
}

// readLdConf reads the folders of ldconfig's configuration: one a line, and "include PATTERN" (ldconfig(8), parse_conf in
// elf/ldconfig.c of glibc 2.40).
func readLdConf(root, name string, depth int) ([]string, error) {
	in, err := os.Open(filepath.Join(root, name))
	if errors.Is(err, os.ErrNotExist) || depth > 8 {
		return nil, nil
	}
	if err != nil {
		return nil, fileErr(name, err)
	}
	defer in.Close()
	var dirs []string
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		line, _, _ := strings.Cut(lines.Text(), "#")
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "hwcap" {
			continue
		}
		if words[0] != "include" {
			dir, _, _ := strings.Cut(words[0], "=") // an old type of library behind it
			dirs = append(dirs, dir)
			continue
		}
		for _, pattern := range words[1:] {
			if !path.IsAbs(pattern) {
				pattern = path.Join(path.Dir(name), pattern)
			}
			found, err := filepath.Glob(filepath.Join(root, pattern))
			if err != nil {
				return nil, fileErr(name, err)
			}
			for _, f := range found {
				rel, err := filepath.Rel(root, f)
				if err != nil {
					return nil, err
				}
				more, err := readLdConf(root, "/"+rel, depth+1)
				if err != nil {
					return nil, err
				}
				dirs = append(dirs, more...)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fileErr(name, err)
	}
	return dirs, nil
}

// program reads the program, and all that it needs.
func (c *closure) program(abs, shown string) error {
	p, err := readObject(abs, shown)
	if err != nil {
		return err
	}
	p.path = abs
	if arch := elfArch(p.machine); arch != c.arch {
		return &btfinfo.Error{File: shown, Off: -1, Msg: fmt.Sprintf("the program is for %s, the guest is %s", arch, c.arch), Hint: "build it for the guest"}
	}
	if p.interpreter == "" && len(p.needed) == 0 {
		return nil // static
	}
	if p.interpreter != "" {
		if !path.IsAbs(p.interpreter) {
			return &btfinfo.Error{File: shown, Off: -1, Msg: fmt.Sprintf("its interpreter is %q, want an absolute path", p.interpreter)}
		}
		if err := c.add(p.interpreter, shown); err != nil {
			return err
		}
	}
	type step struct {
		o   *object
		way []string // folders of DT_RPATH of those that need it, in the order in which they are looked through
	}
	for todo := []step{{p, nil}}; len(todo) > 0; todo = todo[1:] {
		o := todo[0].o
		// What the program's DT_RPATH names holds for its libraries' libraries, too; DT_RUNPATH for its own only.
		way := slices.Concat(o.rpath, todo[0].way)
		if len(o.runpath) > 0 {
			way = todo[0].way
		}
		for _, name := range o.needed {
			lib, err := c.find(name, o, way)
			if err != nil {
				return err
			}
			if lib == "" {
				return &btfinfo.Error{File: shown, Off: -1, Msg: fmt.Sprintf("the library %s that %s needs is not on this machine", name, o.path), Hint: "does it run here? a static program needs none"}
			}
			if c.seen[lib] {
				continue
			}
			if err := c.add(lib, shown); err != nil {
				return err
			}
			next, err := readObject(filepath.Join(c.root, lib), lib)
			if err != nil {
				return err
			}
			next.path = lib
			todo = append(todo, step{next, way})
		}
	}
	if cache := filepath.Join(c.root, "/etc/ld.so.cache"); c.needsCache && isFile(cache) {
		return c.add("/etc/ld.so.cache", shown)
	}
	return nil
}

// add takes a file of this machine, by the path where it is looked for. Links on its way are followed here.
func (c *closure) add(name, program string) error {
	if c.seen[name] {
		return nil
	}
	c.seen[name] = true
	if len(c.files) >= maxLibraries {
		return &btfinfo.Error{File: program, Off: -1, Msg: fmt.Sprintf("needs more than %d libraries, the limit", maxLibraries)}
	}
	real := filepath.Join(c.root, name)
	st, err := os.Stat(real)
	if err != nil {
		return fileErr(name, err)
	}
	if !st.Mode().IsRegular() {
		return fileErr(name, errors.New("it is no regular file"))
	}
	c.files = append(c.files, File{Path: name, Mode: uint32(st.Mode().Perm()), Source: real})
	return nil
}

// find looks for a library as the interpreter does; "" where it is not there.
func (c *closure) find(name string, o *object, rpath []string) (string, error) {
	if strings.Contains(name, "/") {
		if name = expandOrigin(name, o.path); path.IsAbs(name) {
			return path.Clean(name), nil
		}
		return "", &btfinfo.Error{File: o.path, Off: -1, Msg: fmt.Sprintf("it needs the library %q by a relative path, which depends on where it is started", name)}
	}
	standard := standardFolders(o)
	for _, dirs := range []struct {
		of    []string
		cache bool
	}{{rpath, false}, {o.runpath, false}, {c.conf, true}, {standard, false}} {
		for _, dir := range dirs.of {
			if dir = expandOrigin(dir, o.path); !path.IsAbs(dir) {
				continue // an empty one, or one that depends on where it is started
			}
			lib := path.Join(dir, name)
			if c.fits(lib, o) {
				c.needsCache = c.needsCache || dirs.cache && !slices.Contains(standard, path.Clean(dir))
				return lib, nil
			}
		}
	}
	return "", nil
}

// fits tells a library that is for the same machine: folders of several machines are looked through one after the other.
func (c *closure) fits(lib string, o *object) bool {
	l, err := readObject(filepath.Join(c.root, lib), lib)
	return err == nil && l.machine == o.machine && l.class == o.class
}

// expandOrigin puts in the folder of the file for $ORIGIN; other words of that kind ($LIB, $PLATFORM) are of the interpreter's own
// making, and stay.
func expandOrigin(dir, file string) string {
	dir = strings.ReplaceAll(dir, "${ORIGIN}", path.Dir(file))
	return strings.ReplaceAll(dir, "$ORIGIN", path.Dir(file))
}

// standardFolders are those that interpreters look through last: of glibc, of Debian's glibc, and of musl.
func standardFolders(o *object) []string {
	var dirs []string
	if triplet := map[elf.Machine]string{
		elf.EM_X86_64: "x86_64-linux-gnu", elf.EM_AARCH64: "aarch64-linux-gnu", elf.EM_S390: "s390x-linux-gnu", elf.EM_RISCV: "riscv64-linux-gnu",
		elf.EM_PPC64: "powerpc64le-linux-gnu", elf.EM_386: "i386-linux-gnu", elf.EM_ARM: "arm-linux-gnueabihf",
	}[o.machine]; triplet != "" {
		dirs = append(dirs, "/lib/"+triplet, "/usr/lib/"+triplet)
	}
	if o.class == elf.ELFCLASS64 {
		dirs = append(dirs, "/lib64", "/usr/lib64")
	}
	return append(dirs, "/lib", "/usr/lib", "/usr/local/lib")
}

// elfArch is BTFHub's name of a machine.
func elfArch(m elf.Machine) string {
	switch m {
	case elf.EM_X86_64:
		return "x86_64"
	case elf.EM_AARCH64:
		return "arm64"
	case elf.EM_S390:
		return "s390x"
	case elf.EM_RISCV:
		return "riscv64"
	case elf.EM_PPC64:
		return "ppc64le"
	case elf.EM_386:
		return "x86"
	case elf.EM_ARM:
		return "arm"
	}
	return strings.ToLower(strings.TrimPrefix(m.String(), "EM_"))
}

// readObject reads what a program or a library needs. debug/elf declares itself not hardened; what it is given here is
// the user's own, and a panic of its is an error all the same.
func readObject(name, shown string) (o *object, err error) {
	defer func() {
		if p := recover(); p != nil {
			o, err = nil, &btfinfo.Error{File: shown, Off: -1, Msg: "the ELF file is damaged", Err: fmt.Errorf("%v", p)}
		}
	}()
	st, err := os.Stat(name)
	if err != nil {
		return nil, fileErr(shown, err)
	}
	if !st.Mode().IsRegular() { // a pipe would block in open(2)
		return nil, fileErr(shown, errors.New("it is no regular file"))
	}
	f, err := elf.Open(name)
	var format *elf.FormatError
	if errors.As(err, &format) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, &btfinfo.Error{File: shown, Off: -1, Msg: "is no ELF program", Err: err, Hint: "name a program, not a script: what runs it would have to be in the guest, too"}
	}
	if err != nil {
		return nil, fileErr(shown, err)
	}
	defer f.Close()
	o = &object{machine: f.Machine, class: f.Class}
	if f.Type != elf.ET_EXEC && f.Type != elf.ET_DYN {
		return nil, &btfinfo.Error{File: shown, Off: -1, Msg: fmt.Sprintf("is an ELF file of type %s, want a program", f.Type)}
	}
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		if p.Filesz > 4096 {
			return nil, &btfinfo.Error{File: shown, Off: -1, Msg: fmt.Sprintf("the path of its interpreter has %d bytes, the limit is 4096", p.Filesz)}
		}
		b := make([]byte, p.Filesz)
		if _, err := p.ReadAt(b, 0); err != nil {
			return nil, fileErr(shown, err)
		}
		o.interpreter, _, _ = strings.Cut(string(b), "\x00")
	}
	for tag, to := range map[elf.DynTag]*[]string{elf.DT_NEEDED: &o.needed, elf.DT_RPATH: &o.rpath, elf.DT_RUNPATH: &o.runpath} {
		all, err := f.DynString(tag)
		if err != nil {
			return nil, &btfinfo.Error{File: shown, Off: -1, Msg: "the ELF file is damaged", Err: err}
		}
		for _, s := range all {
			if tag == elf.DT_NEEDED {
				*to = append(*to, s)
			} else {
				*to = append(*to, strings.Split(s, ":")...)
			}
		}
	}
	return o, nil
}
