// Package kernels holds the kernels that are asked: the embedded ones, BTF files and folders given by the user, the
// running kernel; the ranges that select among them, and what a range asks for that is not there.
//
// A kernel's version is what selects it, and it is upstream's: 6.1.176, not the 6.1.0-50 that Debian's uname -r says.
// It comes from the package or the banner; where neither is at hand it is guessed from the name, and
// Kernel.VersionFrom says so.
package kernels

import (
	"cmp"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
)

// Kernel is one build: distro, release, arch and uname -r.
type Kernel struct {
	ID      string  // "debian/12/x86_64/6.1.0-50-cloud-amd64"; parts that are not known are "unknown"
	Distro  string  // "debian"
	Release string  // "12"
	Arch    string  // in BTFHub's names: "x86_64", "arm64", "s390x"
	Uname   string  // "6.1.0-50-cloud-amd64"
	Version Version // upstream: 6.1.176
	Package string  // name and version of the package it came from, "" where unknown
	Source  string  // where its BTF is read from, for people: "embedded", a path, "/sys/kernel/btf"

	VersionFrom VersionSource // what Version was read from, "" where it is not known
	// ModulesPartial: the BTF of some modules is known and that of others not, so that what they don't have may be in one of those.
	ModulesPartial bool
	// NoBTF says why the kernel has no BTF, as a clause; "" where it has.
	NoBTF string

	facts  []string
	load   func() (*btfinfo.BTF, []Module, error)
	source source // that answers for many kernels at once, nil where load is all that there is
	index  int    // in source
}

// Module is the split BTF of one module of a kernel.
type Module struct {
	Name string
	BTF  *btfinfo.BTF
}

// Facts lists what is known of the kernel: "btf", "modules" (the BTF of modules: of a running kernel of those that are
// loaded, of an archive's of those that it has), "no_btf" (that it has none).
func (k *Kernel) Facts() []string {
	if k.NoBTF != "" {
		return append([]string{"no_btf"}, k.facts...)
	}
	return append([]string{"btf"}, k.facts...)
}

// Load reads the kernel's BTF. It is read anew at each call; keep the result where it is asked more than once.
func (k *Kernel) Load() (*btfinfo.BTF, []Module, error) { return k.load() }

// New returns a kernel whose BTF is at hand, for tests and for callers with sources of their own. id has four parts:
// distro/release/arch/uname.
func New(id string, v Version, btf *btfinfo.BTF, modules ...Module) *Kernel {
	k := &Kernel{ID: id, Version: v, Source: "memory"}
	part := strings.SplitN(id, "/", 4)
	for i, p := range []*string{&k.Distro, &k.Release, &k.Arch, &k.Uname} {
		*p = unknownPart
		if i < len(part) {
			*p = part[i]
		}
	}
	if len(modules) > 0 {
		k.facts = []string{"modules"}
	}
	k.load = func() (*btfinfo.BTF, []Module, error) { return btf, modules, nil }
	return k
}

// setID composes the ID from its parts, empty ones as "unknown".
func (k *Kernel) setID() {
	for _, p := range []*string{&k.Distro, &k.Release, &k.Arch, &k.Uname} {
		if *p == "" {
			*p = unknownPart
		}
	}
	k.ID = strings.Join([]string{k.Distro, k.Release, k.Arch, k.Uname}, "/")
}

// Compare orders kernels: by version, then distro, release, arch, uname, where numbers inside names count as numbers.
// Kernels with different IDs are never equal.
func Compare(a, b *Kernel) int {
	return cmp.Or(a.Version.Compare(b.Version), archive.CompareIDs(a.Distro, b.Distro), archive.CompareIDs(a.Release, b.Release),
		archive.CompareIDs(a.Arch, b.Arch), archive.CompareIDs(a.Uname, b.Uname), cmp.Compare(a.ID, b.ID))
}

// Union makes one sorted list of several. Of kernels with one ID the first stays: pass what the user named first.
func Union(lists ...[]*Kernel) []*Kernel {
	seen := map[string]bool{}
	var all []*Kernel
	for _, list := range lists {
		for _, k := range list {
			if !seen[k.ID] {
				seen[k.ID] = true
				all = append(all, k)
			}
		}
	}
	slices.SortFunc(all, Compare)
	return all
}
