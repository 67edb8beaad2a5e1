package source

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

// debNameRE finds the uname in the names of Debian's and Ubuntu's packages.
var debNameRE = regexp.MustCompile(`^linux-(?:image(?:-unsigned)?|binary|base|modules(?:-extra)?)-(\d.*?)(?:-unsigned)?(?:-dbg)?$`)

// dir takes what a folder has of kernels.
func (s *scan) dir(dir string) {
	root, err := filepath.EvalSymlinks(dir) // WalkDir itself does not follow a link
	if err != nil {
		s.fail(fileErr(dir, "can't be opened", err))
		return
	}
	before, problems := len(s.items), len(s.problems)
	var modules, btfs, others []string
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		shown := dir
		if rel, err := filepath.Rel(root, path); err == nil {
			shown = filepath.Join(dir, rel)
		}
		name := filepath.Base(path)
		switch {
		case s.ctx.Err() != nil:
			return fs.SkipAll
		case err != nil:
			s.fail(fileErr(shown, "can't be read", err))
			if d != nil && d.IsDir() {
				return fs.SkipDir
			}
		case path == root:
		case d.IsDir():
			if strings.HasPrefix(name, ".") {
				return fs.SkipDir
			}
		case moduleRE.MatchString(name):
			// Links are to other kernels' modules (weak-updates) or to modules that are met anyway.
			if d.Type().IsRegular() {
				modules = append(modules, shown)
			}
		case !isFile(shown, d):
		case kernels.IsBTFName(name) && !strings.HasPrefix(name, "."):
			btfs = append(btfs, shown)
		default:
			others = append(others, shown)
		}
		return nil
	})
	s.packagesAndImages(others)
	s.btfs(btfs, dir)
	s.modules(modules, dir)
	if len(s.items) == before && len(s.problems) == problems && s.ctx.Err() == nil {
		s.fail(&btfinfo.Error{
			File: dir, Off: -1, Msg: "holds nothing of a kernel: no package, no image, no module, no file named *.btf or *.btf.tar.xz",
			Hint: "images are known by names like vmlinuz and vmlinuz-UNAME; name a file of another name by itself",
		})
	}
}

// isFile tells files, and links to files.
func isFile(path string, d fs.DirEntry) bool {
	if d.Type()&fs.ModeSymlink == 0 {
		return d.Type().IsRegular()
	}
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// packagesAndImages takes packages by their content, images and configurations by name and content.
func (s *scan) packagesAndImages(paths []string) {
	for _, path := range paths {
		name := filepath.Base(path)
		image := imageRE.MatchString(name)
		config := name == "config" || name == ".config" || strings.HasPrefix(name, "config-")
		head, err := readHead(path)
		switch {
		case err != nil && (image || config):
			s.fail(fileErr(path, "can't be read", err))
		case err != nil:
		case isPackage(head):
			if s.first(path) {
				s.pkg(path)
			}
		case config && isConfig(head):
			if s.first(path) {
				s.config(path)
			}
		case image && isBinary(head) && s.first(path):
			s.kernel(path, path)
		}
	}
}

// isBinary tells a file from a text: images have zeros in their first bytes.
func isBinary(head []byte) bool { return slices.Contains(head, 0) }

// btfs takes files that are named like BTF of BTFHub. Where a kernel is there plain and compressed the plain one is
// taken: the shorter name.
func (s *scan) btfs(paths []string, dir string) {
	slices.SortFunc(paths, func(a, b string) int {
		return strings.Compare(stem(a)+"\x00"+a, stem(b)+"\x00"+b)
	})
	for i, path := range paths {
		if i > 0 && stem(paths[i-1]) == stem(path) {
			continue
		}
		if s.first(path) {
			s.btf(path, dir)
		}
	}
}

// stem is a path up to what IsBTFName looks at.
func stem(path string) string {
	dir, name := filepath.Split(path)
	for i := range name {
		if name[i] == '.' && kernels.IsBTFName("x"+name[i:]) && strings.HasPrefix(name[i:], ".btf") {
			return dir + name[:i]
		}
	}
	return path
}

// modules takes the modules of a folder, those of each folder of lib/modules by themselves.
func (s *scan) modules(paths []string, dir string) {
	byFolder := map[string][]string{}
	var order []string
	for _, path := range paths {
		folder := unameOfFolder(path)
		if byFolder[folder] == nil {
			order = append(order, folder)
		}
		byFolder[folder] = append(byFolder[folder], path)
	}
	for _, folder := range order {
		uri := folder
		if uri == "" {
			uri = filepath.Base(dir)
			if abs, err := filepath.Abs(dir); err == nil {
				uri = filepath.Base(abs)
			}
		}
		for _, part := range s.moduleFiles(byFolder[folder], uri) {
			s.add(part)
		}
	}
}

// moduleFiles reads the modules of a folder: a part for each kernel that they were built for.
func (s *scan) moduleFiles(paths []string, uri string) []*Part {
	byUname := map[string]*modules{}
	to := func(uname string) *modules {
		if byUname[uname] == nil {
			byUname[uname] = &modules{}
		}
		return byUname[uname]
	}
	pool := newModulePool()
	unwanted := 0
	for _, path := range paths {
		if s.ctx.Err() != nil {
			break
		}
		name := ModuleName(moduleRE.FindStringSubmatch(filepath.Base(path))[1])
		if !s.opt.Modules.Wants(name) {
			unwanted++
			continue
		}
		pool.add(moduleJob{to: to, name: name, path: path, file: path})
	}
	pool.close()
	var unames []string
	for uname, m := range byUname {
		unames = append(unames, uname)
		m.wanted = len(m.raw) + m.none + len(m.errs)
		m.seen = m.wanted
	}
	slices.Sort(unames)
	// Those that can't be read don't tell their kernel; where the others are of one, neither do they need to.
	if lost := byUname[""]; lost != nil && len(unames) == 2 {
		m := byUname[unames[1]]
		m.errs, m.none, m.raw = append(m.errs, lost.errs...), m.none+lost.none, append(m.raw, lost.raw...)
		m.wanted, m.seen = m.wanted+lost.wanted, m.seen+lost.seen
		unames = unames[1:]
	}
	if len(unames) == 0 && unwanted > 0 { // none was wanted: the folder's name has to tell
		unames, byUname[uri] = []string{uri}, &modules{}
	}
	var parts []*Part
	for i, uname := range unames {
		m := byUname[uname]
		if i == 0 {
			m.seen += unwanted
		}
		slices.SortFunc(m.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		parts = append(parts, &Part{Source: archive.Source{URI: uri}, Kind: "modules", pieces: []*piece{{uname: uname, modules: m}}})
	}
	return parts
}
