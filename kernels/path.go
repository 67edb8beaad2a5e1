package kernels

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
)

// FileErrors lists what could not be read, each error with its file. The kernels that came with it are good.
type FileErrors []error

// Error is one line for each error.
func (e FileErrors) Error() string {
	lines := make([]string, len(e))
	for i, err := range e {
		lines[i] = err.Error()
	}
	return strings.Join(lines, "\n")
}

func (e FileErrors) Unwrap() []error { return e }

// asError is e as an error: nil where it is empty.
func (e FileErrors) asError() error {
	if len(e) == 0 {
		return nil
	}
	return e
}

// knownDistros are the folders at the top of BTFHub. In a path outside the folder that the user named, only these are
// taken for a distro: the parents of /home/me/x86_64/my.btf are none.
var knownDistros = []string{
	"alinux", "almalinux", "amzn", "android", "arch", "bclinux", "centos", "debian", "fedora", "kylin", "ol", "openeuler",
	"opensuse-leap", "opensuse-tumbleweed", "rhel", "rocky", "sles", "ubuntu",
}

// btfNameRE tells the files that are taken from a folder, and where what follows the kernel's name begins.
var btfNameRE = regexp.MustCompile(`\.btf(\.tar)?(\.(gz|xz|zst|bz2|lz4|lzma|lzo))?$`)

// FromPath returns the kernel of a file, or those of a folder in BTFHub's layout, distro/release/arch/UNAME.btf.tar.xz.
// docs/kernels.md says how names become IDs where the layout is incomplete.
//
// A file may be anything that btfinfo.Open reads, and is opened here. Of a folder the files named *.btf, *.btf.tar and
// these compressed are taken, and read only when they are loaded; of one kernel that is there plain and compressed the
// plain file is taken. Kernels whose names give the same ID get ~2, ~3 behind it.
//
// Where files of a folder can't be read the error is FileErrors, and the kernels of the others are returned with it.
func FromPath(path string) ([]*Kernel, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fileErr(path, "can't be opened", err, "name a file with BTF, or a folder in the layout distro/release/arch/UNAME.btf")
	}
	if st.IsDir() {
		return fromDir(path)
	}
	k, err := fromFile(path)
	if err != nil {
		return nil, err
	}
	return []*Kernel{k}, nil
}

// checkFile is the hint of errors about files that were found in a folder.
const checkFile = "may you read it, and is it what its name says? take it away, or let its name begin with a dot, to leave it out"

// fileErr is an error about a file, without the operation and the path that those of package os repeat.
func fileErr(path, msg string, err error, hint string) *btfinfo.Error {
	var p *fs.PathError
	if errors.As(err, &p) {
		err = p.Err
	}
	if path == "" { // the line begins with it
		path = `""`
	}
	return &btfinfo.Error{File: path, Off: -1, Msg: msg, Err: err, Hint: hint}
}

// fromFile opens one file. What its banner says is better than what its name says.
func fromFile(path string) (*Kernel, error) {
	f, err := openKernel(path)
	if err != nil {
		return nil, err
	}
	k := describe(path, path)
	if f.Banner.Uname != "" {
		k.Uname = f.Banner.Uname
		k.Version, k.VersionFrom = versionFromBanner(f.Banner)
	}
	if arch, ok := Arch(f.Arch); ok {
		k.Arch = arch
	}
	k.setID()
	// The first load takes what was opened here, so that a file is read once where it is asked once.
	var once sync.Once
	k.load = func() (*btfinfo.BTF, []Module, error) {
		var first *btfinfo.BTF
		once.Do(func() { first, f = f.BTF, nil })
		if first != nil {
			return first, nil, nil
		}
		return loadFile(path)
	}
	return k, nil
}

// openKernel opens a file whose BTF is a kernel's: not a module's, which has a part of the types, nor that of a program,
// in which every question to a kernel would be answered with no.
func openKernel(path string) (*btfinfo.File, error) {
	f, err := btfinfo.Open(path, nil)
	var e *btfinfo.Error
	switch {
	case errors.Is(err, btfinfo.ErrNoBase) && errors.As(err, &e):
		e.Hint = "this is a module, or its BTF; name the kernel that it belongs to"
		return nil, e
	case err != nil:
		return nil, err
	case f.Split() || f.Module != "":
		return nil, fileErr(path, "is a kernel module, want a kernel", nil, "name the kernel that it belongs to")
	case f.Code:
		return nil, fileErr(path, "is a BPF program, want a kernel", nil, "objects are named without a flag: corecheck object "+filepath.Base(path))
	}
	return f, nil
}

func loadFile(path string) (*btfinfo.BTF, []Module, error) {
	f, err := openKernel(path)
	if err != nil {
		return nil, nil, err
	}
	return f.BTF, nil, nil
}

func fromDir(dir string) ([]*Kernel, error) {
	var all []*Kernel
	var problems FileErrors
	plain := map[string]bool{} // files without what btfNameRE matches, of which one was taken
	var found []string
	// Walk what dir points to: WalkDir itself does not follow a link.
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil, fileErr(dir, "can't be opened", err, checkFile)
	}
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		rel, relErr := filepath.Rel(root, path)
		if relErr != nil {
			rel = path
		}
		shown := filepath.Join(dir, rel)
		switch {
		case err != nil:
			problems = append(problems, fileErr(shown, "can't be read", err, checkFile))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case path != root && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case !d.IsDir() && btfNameRE.MatchString(d.Name()):
			found = append(found, shown)
		}
		return nil
	})
	// Plain before compressed, which is also shorter before longer; then in the order of the folder.
	slices.SortStableFunc(found, func(a, b string) int { return len(btfNameRE.FindString(a)) - len(btfNameRE.FindString(b)) })
	for _, path := range found {
		stem := strings.TrimSuffix(path, btfNameRE.FindString(path))
		if plain[stem] {
			continue
		}
		if err := readable(path); err != nil {
			problems = append(problems, err)
			continue
		}
		plain[stem] = true
		k := describe(path, dir)
		k.setID()
		k.load = func() (*btfinfo.BTF, []Module, error) { return loadFile(path) }
		all = append(all, k)
	}
	if len(all) == 0 && len(problems) == 0 {
		return nil, &btfinfo.Error{File: dir, Off: -1, Msg: "holds no file named *.btf, *.btf.tar.xz or the like",
			Hint: "the layout is distro/release/arch/UNAME.btf; name a file of another name by itself"}
	}
	slices.SortFunc(all, Compare)
	return distinct(all), problems.asError()
}

// readable looks whether a file can be opened and has anything in it, without reading it.
func readable(path string) error {
	st, err := os.Stat(path) // a link may lead anywhere, and opening a pipe would wait
	if err != nil {
		return fileErr(path, "can't be opened", err, checkFile)
	}
	if !st.Mode().IsRegular() {
		return fileErr(path, "is no regular file", nil, checkFile)
	}
	f, err := os.Open(path)
	if err != nil {
		return fileErr(path, "can't be opened", err, checkFile)
	}
	defer f.Close()
	if _, err := f.Read(make([]byte, 1)); err == io.EOF {
		return fileErr(path, "is empty", nil, "a copy or a build that failed may leave an empty file: make it anew, or take it away")
	} else if err != nil {
		return fileErr(path, "can't be read", err, checkFile)
	}
	return nil
}

// distinct gives kernels with one ID different ones: the second gets ~2. The same file named twice is one kernel.
func distinct(all []*Kernel) []*Kernel {
	source := map[string]string{} // by ID
	var r []*Kernel
	for _, k := range all {
		id := k.ID
		for n := 2; ; n++ {
			s, taken := source[k.ID]
			if !taken {
				source[k.ID] = realPath(k.Source)
				r = append(r, k)
				break
			}
			if s == realPath(k.Source) {
				break
			}
			k.ID = fmt.Sprintf("%s~%d", id, n)
		}
	}
	return r
}

func realPath(path string) string {
	if p, err := filepath.EvalSymlinks(path); err == nil {
		path = p
	}
	if p, err := filepath.Abs(path); err == nil {
		path = p
	}
	return path
}

// describe says what a path tells about a kernel; root is the folder that the user named, or the file itself.
//
// Folders inside root are believed by their place: [distro/][release/][arch/]UNAME. Folders above it only where that
// makes the distro one that is known, so that --btf btfhub/centos/8 and --btf btfhub give the same IDs.
func describe(path, root string) *Kernel {
	k := &Kernel{Source: path}
	name := filepath.Base(path)
	k.Uname = strings.TrimSuffix(name, btfNameRE.FindString(name))

	abs, absErr := filepath.Abs(path)
	absRoot, rootErr := filepath.Abs(root)
	if absErr != nil || rootErr != nil {
		abs, absRoot = path, root
	}
	folders := split(filepath.Dir(abs))
	outside := len(split(absRoot)) // how many of them are the user's own business
	last := func(n int) (name string, inside bool) {
		if i := len(folders) - n; i >= 0 {
			return folders[i], i >= outside
		}
		return "", false
	}

	archFolder := false
	if name, _ := last(1); name != "" {
		if arch, ok := Arch(name); ok {
			k.Arch, archFolder = arch, true
			folders = folders[:len(folders)-1]
		}
	}
	if !archFolder {
		k.Arch, _ = archInName(k.Uname)
	}
	up1, in1 := last(1)
	up2, in2 := last(2)
	switch {
	case slices.Contains(knownDistros, up1):
		k.Distro = up1
	case in1 && in2, slices.Contains(knownDistros, up2):
		k.Distro, k.Release = up2, up1
	case in1:
		k.Distro = up1
	}
	if v, ok := VersionFromUname(k.Uname); ok {
		k.Version, k.VersionFrom = v, FromUname
	}
	return k
}

// split takes a path apart into the names of its folders.
func split(path string) []string {
	return strings.FieldsFunc(filepath.ToSlash(path), func(r rune) bool { return r == '/' })
}

// versionFromBanner reads the upstream version from a kernel's banner; both are zero where it has none.
func versionFromBanner(b btfinfo.Banner) (Version, VersionSource) {
	// Past the " #" comes utsname.version; before it a compiler that may be Debian's too.
	if _, build, found := strings.Cut(b.Text, " #"); found {
		if v, ok := versionFromBuild(build); ok {
			return v, FromBanner
		}
	}
	// What the banner says beside the uname, as Ubuntu's does, is its own word. The rest is the uname again, and
	// 4.18.0-147.el8 is no 4.18.0.
	if b.Upstream != "" && !strings.HasPrefix(b.Uname, b.Upstream) {
		if v, err := ParseVersion(b.Upstream); err == nil {
			return v, FromBanner
		}
	}
	if v, ok := VersionFromUname(b.Uname); ok {
		return v, FromUname
	}
	return Version{}, ""
}
