package compat

import (
	"strings"

	"github.com/corecheck/corecheck/kernels"
)

// Ranges describes a set of kernels as people do, in the words of the selector: "6.1..6.12", "5.10, 7.0..7.2". It is
// relative to the kernels that were asked: "6.1..6.12" means every kernel asked between the two, and says nothing of
// releases that were not. A kernel is named by its minor release where all kernels of that release are in the set, by
// its full version, by version and arch, by version and release, by uname -r, or by its ID where nothing shorter tells it
// from one outside.
// It is for one goroutine.
type Ranges struct {
	kernels []KernelInfo
	index   map[string]int // by ID
	names   [][5]int32     // by kernel: its names, numbered; the short one first
	numbers int32          // of names
	all     []int          // every kernel
	groups  [2]grouping    // by distro and arch, by distro and release
	outside *marks
}

// marks are the names that kernels outside of a set have; those of the last question only.
type marks struct {
	at       []uint32 // by number of the name: the question that it was marked for
	question uint32
}

// grouping is kernels by what they have in common, each in the order of kernels.
type grouping []group

type group struct {
	name    string // "debian arm64", "debian 12"
	kernels []int
}

// NewRanges prepares descriptions of subsets of ks, which must be in the order of versions.
func NewRanges(ks []KernelInfo) *Ranges {
	r := &Ranges{kernels: ks, index: make(map[string]int, len(ks)), names: make([][5]int32, len(ks)), all: make([]int, len(ks))}
	numbers := make(map[[2]string]int32)
	for i, k := range ks {
		r.index[k.ID] = i
		r.all[i] = i
		for j, name := range [...][2]string{{minorOf(k.Version), "minor"}, {k.Version, "version"}, {k.Version + " " + k.Arch, "arch"},
			{k.Version + " " + k.Distro + " " + k.Release, "release"}, {k.Uname, "uname"}} {
			n, ok := numbers[name]
			if !ok {
				n = int32(len(numbers))
				numbers[name] = n
			}
			r.names[i][j] = n
		}
	}
	r.numbers = int32(len(numbers))
	r.outside = &marks{at: make([]uint32, r.numbers)}
	r.group()
	return r
}

func (r *Ranges) group() {
	for i, of := range []func(*KernelInfo) string{func(k *KernelInfo) string { return k.Arch }, func(k *KernelInfo) string { return k.Release }} {
		index := make(map[string]int)
		r.groups[i] = nil
		for _, k := range r.all {
			name := strings.Trim(r.kernels[k].Distro+" "+of(&r.kernels[k]), " ")
			g, ok := index[name]
			if !ok {
				g = len(r.groups[i])
				index[name] = g
				r.groups[i] = append(r.groups[i], group{name: name})
			}
			r.groups[i][g].kernels = append(r.groups[i][g].kernels, k)
		}
	}
}

// within describes sets relative to some of the kernels only, of which it gets the indexes in ascending order.
func (r *Ranges) within(asked []int) *Ranges {
	if len(asked) == len(r.all) {
		return r
	}
	x := *r
	x.all = asked
	x.group()
	return &x
}

func minorOf(version string) string {
	major, rest, ok := strings.Cut(version, ".")
	if !ok {
		return version
	}
	end := strings.IndexFunc(rest, func(c rune) bool { return c < '0' || c > '9' })
	if end < 0 {
		end = len(rest)
	}
	return major + "." + rest[:end]
}

// Of describes the kernels with these IDs.
func (r *Ranges) Of(ids []string) string { return r.of(r.set(ids)) }

// set is the set of the kernels with these IDs.
func (r *Ranges) set(ids []string) kernels.Set {
	in := kernels.NewSet(len(r.kernels))
	for _, id := range ids {
		if i, ok := r.index[id]; ok {
			in.Add(i)
		}
	}
	return in
}

func (r *Ranges) of(in kernels.Set) string {
	if in.Empty() {
		return "no kernel"
	}
	best := r.runs(r.all, in)
	n := len(best)
	// Kernels of several places interleave by version; grouped by place the same set may be fewer runs.
	for _, g := range r.groups {
		if n == 1 || len(g) == 1 {
			continue
		}
		var parts []string
		total := 0
		for _, p := range g {
			if runs := r.runs(p.kernels, in); len(runs) > 0 {
				total += len(runs)
				parts = append(parts, strings.Join(runs, ", ")+" ("+p.name+")")
			}
		}
		if total < n {
			best, n = parts, total
		}
	}
	return strings.Join(best, ", ")
}

// runs describes the stretches of order whose kernels are all in the set.
func (r *Ranges) runs(order []int, in kernels.Set) []string {
	outside := r.outside
	outside.question++
	for _, i := range order {
		if !in.Has(i) {
			for _, n := range r.names[i] {
				outside.at[n] = outside.question
			}
		}
	}
	var out []string
	for i := 0; i < len(order); i++ {
		if !in.Has(order[i]) {
			continue
		}
		j := i
		for j+1 < len(order) && in.Has(order[j+1]) {
			j++
		}
		first, last := r.label(order[i]), r.label(order[j])
		if first == last {
			out = append(out, first)
		} else {
			out = append(out, first+".."+last)
		}
		i = j
	}
	return out
}

// label is the shortest name of kernel i that is not outside.
func (r *Ranges) label(i int) string {
	k, names := r.kernels[i], r.names[i]
	outside := func(n int) bool { return r.outside.at[names[n]] == r.outside.question }
	switch {
	case !outside(0):
		return minorOf(k.Version)
	case !outside(1):
		return k.Version
	case !outside(2):
		return k.Version + " " + k.Arch
	case !outside(3):
		return k.Version + " " + k.Distro + " " + k.Release
	case !outside(4):
		return k.Uname
	}
	return k.ID
}
