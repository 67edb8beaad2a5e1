package main

import (
	"bufio"
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/source"
)

// listHead is the comment that packages.list begins with.
const listHead = `# The packages that the embedded kernels are made of, one on a line; those of one kernel have the same release,
# architecture and uname -r. "make kernels" reads them; "make kernels NEWEST=1" first adds what Debian has newer.
#
# RELEASE SUITE ARCHITECTURE PACKAGE VERSION SHA256
`

// pkg is one line of packages.list.
type pkg struct {
	release string // of Debian as IDs have it: "12", "experimental"
	suite   string // where apt finds it: "bookworm-security"
	arch    string // as Debian calls it: "amd64"
	name    string // "linux-image-6.1.0-50-amd64"
	version string // "6.1.176-1"
	sum     string // SHA-256 of the file, in hex
}

// packageName splits the names of Debian's kernel packages. Up to 6.18 linux-image-* has all of a kernel; from 6.19 on
// its image is in linux-binary-*, its modules in linux-modules-*, its configuration in linux-base-*.
var packageName = regexp.MustCompile(`^linux-(image|binary|modules|base)-([0-9][A-Za-z0-9.+~-]*)$`)

func (p pkg) part() string  { return packageName.FindStringSubmatch(p.name)[1] }
func (p pkg) uname() string { return packageName.FindStringSubmatch(p.name)[2] }

// image tells packages that hold the kernel's image.
func (p pkg) image() bool { return p.part() == "image" || p.part() == "binary" }

// id is the ID of the kernel that the package belongs to.
func (p pkg) id() string {
	arch, _ := kernels.Arch(p.arch)
	return "debian/" + p.release + "/" + arch + "/" + p.uname()
}

func (p pkg) String() string {
	return strings.Join([]string{p.release, p.suite, p.arch, p.name, p.version, p.sum}, " ")
}

// flavour is what tells builds of one source apart: "amd64", "cloud-amd64", "rt-amd64", "arm64-16k".
func (p pkg) flavour() string {
	i := strings.Index(p.uname(), p.arch)
	for _, f := range []string{"cloud-", "rt-"} {
		if strings.HasSuffix(p.uname()[:i], "-"+f) {
			i -= len(f)
		}
	}
	return p.uname()[i:]
}

// generic tells the flavour of which modules are embedded, too: those of the others hardly differ.
func (p pkg) generic() bool { return p.flavour() == p.arch }

// series is the release of kernel.org that the package is of: "6.12".
func (p pkg) series() string {
	v, _ := kernels.VersionFromDebian(p.version)
	return v.MinorRelease().String()
}

// check tells whether a line can be believed.
func (p pkg) check() error {
	if !packageName.MatchString(p.name) {
		return fmt.Errorf("%s is no name of a kernel package", p.name)
	}
	if _, ok := kernels.Arch(p.arch); !ok {
		return fmt.Errorf("there is no architecture %q", p.arch)
	}
	if !strings.Contains(p.uname(), "-") || !strings.Contains(p.uname(), p.arch) {
		return fmt.Errorf("%s does not name the architecture %s", p.name, p.arch)
	}
	if _, err := kernels.VersionFromDebian(p.version); err != nil {
		return fmt.Errorf("%s: %w", p.name, err)
	}
	if sum, err := hex.DecodeString(p.sum); err != nil || len(sum) != 32 {
		return fmt.Errorf("%s: %q is no SHA-256", p.name, p.sum)
	}
	return nil
}

// readList reads packages.list.
func readList(r io.Reader, name string) ([]pkg, error) {
	var list []pkg
	seen := map[string]int{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		f := strings.Fields(text)
		if len(f) != 6 {
			return nil, fmt.Errorf("%s:%d: %d words, want RELEASE SUITE ARCHITECTURE PACKAGE VERSION SHA256", name, n, len(f))
		}
		p := pkg{f[0], f[1], f[2], f[3], f[4], f[5]}
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		key := p.part() + " " + p.id()
		if seen[key] != 0 {
			return nil, fmt.Errorf("%s:%d: the %s of %s is in line %d, too", name, n, p.part(), p.id(), seen[key])
		}
		seen[key] = n
		list = append(list, p)
	}
	return list, lines.Err()
}

// writeList is the text of packages.list, sorted by suite, architecture and kernel.
func writeList(list []pkg) string {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b pkg) int {
		return cmp.Or(
			archive.CompareIDs(a.release, b.release), strings.Compare(a.suite, b.suite), strings.Compare(a.arch, b.arch),
			archive.CompareIDs(a.uname(), b.uname()), strings.Compare(a.name, b.name),
		)
	})
	var b strings.Builder
	b.WriteString(listHead)
	for _, p := range list {
		fmt.Fprintln(&b, p)
	}
	return b.String()
}

// readModules reads modules.list: names with blanks between them, and comments from # to the end of the line.
func readModules(text, name string) (source.ModuleFilter, error) {
	var names []string
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		for _, n := range strings.Fields(line) {
			if seen[n] {
				return source.ModuleFilter{}, fmt.Errorf("%s: %s is there twice", name, n)
			}
			seen[n] = true
			names = append(names, n)
		}
	}
	if len(names) == 0 {
		return source.ModuleFilter{}, fmt.Errorf("%s is empty", name)
	}
	return source.ParseModules(strings.Join(names, ","))
}

// place is where packages come from: each is asked once.
type place struct{ suite, arch string }

// kernel is the packages of one kernel.
type kernel struct {
	id       string
	packages []pkg
}

// group sorts a list by place and kernel.
func group(list []pkg) (places []place, of map[place][]*kernel, err error) {
	of = map[place][]*kernel{}
	byID := map[string]*kernel{}
	for _, p := range list {
		at := place{p.suite, p.arch}
		k := byID[p.id()]
		switch {
		case k == nil:
			k = &kernel{id: p.id()}
			byID[k.id] = k
			if of[at] == nil {
				places = append(places, at)
			}
			of[at] = append(of[at], k)
		case k.packages[0].suite != p.suite:
			return nil, nil, fmt.Errorf("%s: %s is of %s, %s of %s",
				k.id, k.packages[0].name, k.packages[0].suite, p.name, p.suite)
		case k.packages[0].version != p.version:
			return nil, nil, fmt.Errorf("%s: %s has version %s, %s has %s",
				k.id, k.packages[0].name, k.packages[0].version, p.name, p.version)
		}
		k.packages = append(k.packages, p)
	}
	for _, ks := range of {
		for _, k := range ks {
			if !slices.ContainsFunc(k.packages, pkg.image) {
				return nil, nil, fmt.Errorf("%s: there is no linux-image or linux-binary package of it", k.id)
			}
		}
	}
	return places, of, nil
}

// newest returns the packages of kernels that Debian has at a place and that are newer than what the list has: of each
// flavour that the list has from there the newest of each series. have is what the place has, as PACKAGE VERSION
// SHA256 lines; older is whether Debian holds version a for older than b.
func newest(list []pkg, at place, have string, older func(a, b string) (bool, error)) ([]pkg, error) {
	type class struct{ flavour, series string }
	classOf := func(p pkg) class { return class{p.flavour(), p.series()} }
	best := map[class]string{} // version
	improve := func(p pkg) (bool, error) {
		c := classOf(p)
		if best[c] != "" {
			if better, err := older(best[c], p.version); err != nil || !better {
				return false, err
			}
		}
		best[c] = p.version
		return true, nil
	}

	flavours := map[string]bool{}
	release := ""
	for _, p := range list {
		if p.arch == at.arch && p.suite == at.suite {
			flavours[p.flavour()] = true
			release = p.release
		}
	}
	for _, p := range list {
		// A release has several suites, as bookworm and bookworm-security.
		if p.arch == at.arch && p.release == release {
			if _, err := improve(p); err != nil {
				return nil, err
			}
		}
	}
	var all []pkg
	found := map[class]string{}
	for line := range strings.Lines(have) {
		f := strings.Fields(line)
		if len(f) != 3 {
			return nil, fmt.Errorf("%s %s: %q, want PACKAGE VERSION SHA256", at.suite, at.arch, line)
		}
		p := pkg{release, at.suite, at.arch, f[0], f[1], f[2]}
		if p.check() != nil || !flavours[p.flavour()] {
			continue // linux-image-6.12-amd64-signed-template, and flavours nobody asked for
		}
		all = append(all, p)
		if p.image() {
			better, err := improve(p)
			if err != nil {
				return nil, err
			}
			if better {
				found[classOf(p)] = p.version
			}
		}
	}
	var more []pkg
	for _, p := range all {
		if found[classOf(p)] == p.version && (p.part() != "modules" || p.generic()) {
			more = append(more, p)
		}
	}
	return more, nil
}
