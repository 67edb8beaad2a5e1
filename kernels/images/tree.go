package images

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/pull"
)

// File is one file for a guest's root.
type File struct {
	Path   string // in the guest: "/usr/sbin/bpftool"
	Mode   uint32 // permissions: 0o755
	Link   string // the target of a symbolic link; "" for a file
	Source string // the file on this machine; "" for a link
}

// treeAge is how long the answer of repositories, which packages a tree is made of, is taken again.
const treeAge = 30 * 24 * time.Hour

// maxTree is how many packages a tree may be made of; bpftool needs about ten.
const maxTree = 200

// Tree gets Debian packages with all that they depend on, for an architecture in BTFHub's names, from the newest stable release
// that this machine's apt has, and returns their files without documentation, translations and conversions of character sets, sorted
// by path. No script of a package is run. The files stay in the cache at least until the Finder is closed.
func (f *Finder) Tree(ctx context.Context, arch string, packages []string) ([]File, error) {
	debian := debianArch(arch)
	if debian == "" {
		return nil, &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("Debian has no packages for %s", arch)}
	}
	files, err := f.tree(ctx, debian, packages)
	if err != nil {
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

// debianArch is Debian's name for an architecture of BTFHub's, "" for one that Debian does not boot in a virtual machine.
func debianArch(arch string) string {
	for _, debian := range []string{"amd64", "arm64", "s390x", "ppc64el", "riscv64", "i386", "armhf", "loong64"} {
		if a, _ := kernels.Arch(debian); a == arch {
			return debian
		}
	}
	return ""
}

// treePackage is a package of a tree, as its repository lists it.
type treePackage struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Arch    string `json:"arch"`
	File    string `json:"file"`
	SHA256  string `json:"sha256"`
	listed  *pull.Package
}

func (f *Finder) tree(ctx context.Context, arch string, packages []string) ([]File, error) {
	sum := sha256.Sum256([]byte("tree\x00" + arch + "\x00" + strings.Join(packages, "\x00")))
	answers := filepath.Join(f.store, hex.EncodeToString(sum[:])[:keyLength]+".listed")
	list, fresh := readTree(answers)
	if !fresh && !f.opt.Offline {
		now, err := f.closure(ctx, arch, packages)
		switch {
		case err == nil:
			list = now
			writeAnswer(answers, list)
		case ctx.Err() != nil || list == nil: // an old answer is better than none
			return nil, err
		}
	}
	if list == nil {
		return nil, &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("Debian's %s for %s is not in the cache, and nothing is downloaded offline", strings.Join(packages, ", "), arch)}
	}
	paths := map[string]bool{}
	var files []File
	for _, p := range list {
		e, err := f.take(ctx, "", f.treeOpener(arch, packages, &p), &need{all: true})
		if err != nil {
			return nil, err
		}
		f.hold(e)
		for _, file := range e.m.Tree {
			if !paths[file.Path] {
				paths[file.Path] = true
				files = append(files, File{Path: "/" + file.Path, Mode: file.Mode, Source: e.file(file.Path)})
			}
		}
		for _, l := range e.m.Links {
			if !paths[l.Path] {
				paths[l.Path] = true
				files = append(files, File{Path: "/" + l.Path, Mode: 0o777, Link: l.Target})
			}
		}
	}
	files = append(files, interpreters(paths)...)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files, nil
}

// interpreters are links to the dynamic linkers where programs ask for them: since trixie libc6 has them below usr, and lib
// is a link to usr/lib on a system that was installed.
func interpreters(paths map[string]bool) []File {
	var links []File
	for p := range paths {
		rest, usr := strings.CutPrefix(p, "usr/")
		base := path.Base(p)
		if usr && !paths[rest] && strings.HasPrefix(rest, "lib") && path.Dir(path.Dir(rest)) == "." && (strings.HasPrefix(base, "ld-linux") || strings.HasPrefix(base, "ld64.so")) {
			links = append(links, File{Path: "/" + rest, Mode: 0o777, Link: "/" + p})
		}
	}
	return links
}

// treeOpener finds a package of a tree in the user's folders, in the cache, or in its repository.
func (f *Finder) treeOpener(arch string, packages []string, p *treePackage) *opener {
	r := &ref{uri: p.File, sha256: p.SHA256, name: p.Name, version: p.Version, arch: p.Arch}
	return &opener{p.File, p.SHA256, func(ctx context.Context) (string, error) {
		known, err := pull.NewPackage(p.File, p.SHA256)
		if err != nil {
			return "", err
		}
		if path, err := f.cachedPackage(ctx, &known); path != "" || err != nil {
			return path, err
		}
		if p.listed == nil && !f.opt.Offline { // the answer is of an earlier run
			list, err := f.closure(ctx, arch, packages)
			if err != nil {
				return "", err
			}
			if i := slices.IndexFunc(list, func(q treePackage) bool { return q.SHA256 == p.SHA256 }); i >= 0 {
				p.listed = list[i].listed
			}
		}
		if p.listed == nil {
			return "", f.notFound(r, []string{"not in the cache", "not in its suite any more"}, "")
		}
		return f.download(ctx, "", r, p.listed)
	}}
}

func readTree(name string) (list []treePackage, fresh bool) {
	st, err := os.Stat(name)
	if err != nil {
		return nil, false
	}
	data, err := os.ReadFile(name)
	if err != nil || json.Unmarshal(data, &list) != nil {
		return nil, false
	}
	for _, p := range list {
		if sum, err := hex.DecodeString(p.SHA256); err != nil || len(sum) != sha256.Size {
			return nil, false
		}
	}
	return list, len(list) > 0 && time.Since(st.ModTime()) < treeAge
}

// closure finds the packages, and those that they depend on, in the newest stable release of the configuration.
func (f *Finder) closure(ctx context.Context, arch string, packages []string) ([]treePackage, error) {
	l := f.lists(ctx, &f.all, nil)
	suites := f.opt.Apt.Suites
	if len(suites) == 0 {
		configured, err := l.Suites()
		if err != nil {
			return nil, err
		}
		if suites = stableOf(configured); suites == nil {
			return nil, &btfinfo.Error{Off: -1, Msg: "apt's configuration has no stable release of Debian, whose packages run in the guest",
				Hint: "add one to apt's sources, or load with corecheck's own loader"}
		}
	}
	index := map[string][]*pull.Listed{}
	for _, suite := range suites {
		list, err := l.Suite(ctx, suite, arch)
		if errors.Is(err, pull.ErrNoSuite) && suite != suites[0] {
			continue
		}
		if err != nil {
			return nil, err
		}
		for _, p := range list {
			index[p.Name] = append(index[p.Name], p)
			for _, d := range dependencies(p.Provides) {
				for _, name := range d {
					if name != p.Name {
						index[name] = append(index[name], p)
					}
				}
			}
		}
	}
	return follow(index, packages, arch, suites[0])
}

// stableOf are the suites of the newest stable release among those that are configured, the release's own first.
func stableOf(configured []string) []string {
	for _, n := range []string{"15", "14", "13", "12", "11"} {
		code := debianCodes[n]
		if slices.Contains(configured, code) && (n <= "13" || slices.Contains(configured, code+"-updates")) {
			var suites []string
			for _, s := range []string{code, code + "-security", code + "-updates"} {
				if s == code || slices.Contains(configured, s) {
					suites = append(suites, s)
				}
			}
			return suites
		}
	}
	return nil
}

// follow collects packages with what they depend on. Of a name the package of that name comes before those that provide it, and
// newer ones before older ones; of alternatives the first that there is is taken. Versions in dependencies are left to the
// suite: within one they hold.
func follow(index map[string][]*pull.Listed, packages []string, arch, suite string) ([]treePackage, error) {
	pick := func(name string) *pull.Listed {
		list := index[name]
		if len(list) == 0 {
			return nil
		}
		return slices.MaxFunc(list, func(a, b *pull.Listed) int {
			own := func(p *pull.Listed) int {
				if p.Name == name {
					return 1
				}
				return 0
			}
			return cmp.Or(own(a)-own(b), strings.Compare(b.Name, a.Name)*(1-min(own(a), own(b))), pull.CompareDebian(a.Version, b.Version))
		})
	}
	seen := map[string]bool{}
	var list []treePackage
	type step struct {
		alternatives []string
		by           string
	}
	var todo []step
	for _, name := range packages {
		todo = append(todo, step{[]string{name}, ""})
	}
	for len(todo) > 0 {
		s := todo[0]
		todo = todo[1:]
		var p *pull.Listed
		for _, name := range s.alternatives {
			if p = pick(name); p != nil {
				break
			}
		}
		if p == nil {
			msg := fmt.Sprintf("package %s for %s is not in %s", strings.Join(s.alternatives, " or "), arch, suite)
			if s.by != "" {
				msg += ", and " + s.by + " needs it"
			}
			return nil, &btfinfo.Error{Off: -1, Msg: msg}
		}
		if seen[p.Name] {
			continue
		}
		seen[p.Name] = true
		if len(list) >= maxTree {
			return nil, &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("%s need more than %d packages, the limit", strings.Join(packages, ", "), maxTree)}
		}
		if p.Digest.Algorithm != "sha256" {
			return nil, &btfinfo.Error{File: path.Base(p.URI), Off: -1, Msg: fmt.Sprintf("its repository has a %s of it and no SHA256, which the cache needs", p.Digest.Algorithm)}
		}
		list = append(list, treePackage{p.Name, p.Version, p.Arch, path.Base(p.URI), p.Digest.Hex, &p.Package})
		for _, field := range []string{p.PreDepends, p.Depends} {
			for _, alternatives := range dependencies(field) {
				todo = append(todo, step{alternatives, p.Name})
			}
		}
	}
	return list, nil
}

// dependencies reads a field such as Depends: for each dependency its alternatives, by name. Source: deb-control(5).
func dependencies(field string) [][]string {
	var all [][]string
	for part := range strings.SplitSeq(field, ",") {
		var names []string
		for alternative := range strings.SplitSeq(part, "|") {
			name, _, _ := strings.Cut(strings.TrimSpace(alternative), " ")
			name, _, _ = strings.Cut(name, "(")
			name, _, _ = strings.Cut(name, ":") // an architecture, or "any"
			if name != "" {
				names = append(names, name)
			}
		}
		if len(names) > 0 {
			all = append(all, names)
		}
	}
	return all
}

// leftOut are folders of packages that no program in a guest needs.
var leftOut = []string{
	"usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/", "usr/share/bug/",
	"usr/share/bash-completion/", "usr/share/doc-base/",
}

// inTree tells whether a file of a package is for a tree.
func inTree(name string) bool {
	return !strings.Contains(name, "/gconv/") && !slices.ContainsFunc(leftOut, func(dir string) bool { return strings.HasPrefix(name, dir) })
}
