package pull

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Source is where kernels can be pulled from.
type Source interface {
	// Plan reads the indexes and says what there is to fetch. It downloads no package.
	Plan(ctx context.Context) (*Plan, error)
}

// Plan is what Fetch would fetch.
type Plan struct {
	Kernels []*Kernel // sorted by name, then version
	// IndexBytes is what was read of indexes for the plan.
	IndexBytes int64
	// Problems are suites and indexes that could not be read while others could.
	Problems []error

	// Unsigned is why nothing but the transport vouches for what comes; "" where something does.
	Unsigned string

	client *client
}

// Kernel is one kernel that can be fetched.
type Kernel struct {
	Name    string // what the user asks for: the package of the image, "linux-image-6.1.0-50-amd64"
	Version string // of the package; "" where there are no versions
	Arch    string // in the repository's words: "amd64", "x86_64"
	Uname   string // as far as the name tells
	Distro  string // for its ID; "" where the repository does not tell
	Release string
	// ID is the whole ID where the repository's layout gives it (BTFHub); "" else.
	ID       string
	Packages []Package // the files to fetch, that of the image first
	// Gone are packages that belong to the kernel, and that the repository does not have.
	Gone []string
}

// Bytes is the size of the files to fetch, as far as it is known.
func (k *Kernel) Bytes() int64 {
	var n int64
	for _, p := range k.Packages {
		n += max(p.Size, 0)
	}
	return n
}

// Package is a file to fetch.
type Package struct {
	Name, Version string
	URI           string // without credentials
	Size          int64  // bytes, -1 where it is not known
	Digest        Digest

	url *url.URL
}

// Bytes is the size of all files, each counted once, as far as it is known.
func (p *Plan) Bytes() int64 {
	var n int64
	seen := map[string]bool{}
	for _, k := range p.Kernels {
		for _, f := range k.Packages {
			if !seen[f.URI] {
				seen[f.URI] = true
				n += max(f.Size, 0)
			}
		}
	}
	return n
}

// Files is the number of files, each counted once.
func (p *Plan) Files() int {
	seen := map[string]bool{}
	for _, k := range p.Kernels {
		for _, f := range k.Packages {
			seen[f.URI] = true
		}
	}
	return len(seen)
}

// Close gives up the connections that the plan's source opened, for a plan that is not fetched.
func (p *Plan) Close() {
	if p.client != nil {
		p.client.close()
	}
}

// matchers are globs on names: a name is taken where it matches one of them.
type matchers []string

// newMatchers checks the globs. They are those of path.Match, but "*" goes over slashes, as in selectors of kernels.
func newMatchers(globs []string) (matchers, error) {
	var m matchers
	for _, g := range globs {
		if _, err := path.Match(g, ""); err != nil {
			return nil, &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("%q is no pattern: * stands for any characters, ? for one, [a-z] for one of these", g)}
		}
		m = append(m, withoutSlashes(g))
	}
	return m, nil
}

func (m matchers) match(name string) bool {
	name = withoutSlashes(name)
	return slices.ContainsFunc(m, func(g string) bool {
		ok, err := path.Match(g, name)
		return ok && err == nil
	})
}

// withoutSlashes makes slashes characters like others for path.Match.
func withoutSlashes(s string) string { return strings.ReplaceAll(s, "/", "\x01") }

var seriesRE = regexp.MustCompile(`^(?:\d+:)?(\d+\.\d+)`)

// series is the minor release of a package's version: "6.1" of 6.1.176-1.
func series(version string) string {
	if m := seriesRE.FindStringSubmatch(version); m != nil {
		return m[1]
	}
	return version
}

// The number that Debian and Ubuntu give a binary interface, behind the version in unames: 46 of 5.10.0-46-amd64,
// 0.deb11.48 of 6.1.0-0.deb11.48-amd64, rc5 of 6.7-rc5-amd64, trunk of 6.19-trunk-amd64.
var abiRE = regexp.MustCompile(`^(?:\d+(?:\.[a-z0-9]+)*|rc\d+|trunk)$`)

// flavour is what is left of a uname without version and ABI: "cloud-amd64" of 6.1.0-50-cloud-amd64 and of
// 7.2.12+deb13-cloud-amd64, "aws" of 5.15.0-1034-aws.
func flavour(uname string) string {
	version, rest, ok := strings.Cut(uname, "-")
	if !ok {
		return ""
	}
	// Names with "+" have no ABI number (Debian since 6.12). The last word is never one: "686" is a flavour.
	if abi, after, ok := strings.Cut(rest, "-"); ok && !strings.Contains(version, "+") && abiRE.MatchString(abi) {
		return after
	}
	return rest
}

// latest keeps the newest kernel of every series and flavour, by architecture and distro's release.
func latest(kernels []*Kernel, compare func(a, b *Kernel) int, flavourOf func(*Kernel) string) []*Kernel {
	best := map[string]*Kernel{}
	for _, k := range kernels {
		key := strings.Join([]string{k.Distro, k.Release, k.Arch, series(k.Version), flavourOf(k)}, "\x00")
		if b := best[key]; b == nil || compare(k, b) > 0 {
			best[key] = k
		}
	}
	keep := map[*Kernel]bool{}
	for _, k := range best {
		keep[k] = true
	}
	return slices.DeleteFunc(kernels, func(k *Kernel) bool { return !keep[k] })
}

// sortKernels brings kernels into a total order, whatever order the indexes had.
func sortKernels(kernels []*Kernel, compare func(a, b string) int) {
	slices.SortFunc(kernels, func(a, b *Kernel) int {
		return cmp.Or(strings.Compare(a.Distro, b.Distro), strings.Compare(a.Release, b.Release), strings.Compare(a.Arch, b.Arch),
			compare(a.Version, b.Version), strings.Compare(a.Name, b.Name), strings.Compare(a.ID, b.ID))
	})
}
