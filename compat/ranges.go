package compat

import (
	"strings"

	"github.com/corecheck/corecheck/kernels"
)

// Ranges describes a set of kernels as people do, in the words of the selector: "6.1..6.12", "5.10, 7.0..7.2". It is
// relative to the kernels that were asked: "6.1..6.12" means every kernel asked between the two, and says nothing of
// releases that were not. A kernel is named by its minor release where all kernels of that release are in the set, by
// its full version, by version and arch, by uname -r, or by its ID where nothing shorter tells it from one outside.
type Ranges struct {
	kernels []KernelInfo
	index   map[string]int // by ID
	names   [][4]int32     // by kernel: its names, numbered; the short one first
	numbers int32          // of names
	all     []int          // every kernel
	groups  [][]int        // kernels by distro and arch, each in the order of kernels
}

// NewRanges prepares descriptions of subsets of ks, which must be in the order of versions.
func NewRanges(ks []KernelInfo) *Ranges {
	r := &Ranges{kernels: ks, index: make(map[string]int, len(ks)), names: make([][4]int32, len(ks)), all: make([]int, len(ks))}
	byPlace := make(map[string]int)
	numbers := make(map[[2]string]int32)
	for i, k := range ks {
		r.index[k.ID] = i
		r.all[i] = i
		for j, name := range [...][2]string{{minorOf(k.Version), "minor"}, {k.Version, "version"}, {k.Version + " " + k.Arch, "arch"}, {k.Uname, "uname"}} {
			n, ok := numbers[name]
			if !ok {
				n = int32(len(numbers))
				numbers[name] = n
			}
			r.names[i][j] = n
		}
		place := k.Distro + "/" + k.Arch
		g, ok := byPlace[place]
		if !ok {
			g = len(r.groups)
			byPlace[place] = g
			r.groups = append(r.groups, nil)
		}
		r.groups[g] = append(r.groups[g], i)
	}
	r.numbers = int32(len(numbers))
	return r
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
	flat := r.runs(r.all, in)
	if len(r.groups) == 1 || len(flat) == 1 {
		return strings.Join(flat, ", ")
	}
	// Kernels of several places interleave by version; grouped by place the same set may be fewer runs.
	var parts []string
	n := 0
	for _, g := range r.groups {
		runs := r.runs(g, in)
		if len(runs) == 0 {
			continue
		}
		n += len(runs)
		k := r.kernels[g[0]]
		parts = append(parts, strings.Join(runs, ", ")+" ("+strings.Trim(k.Distro+" "+k.Arch, " ")+")")
	}
	if n < len(flat) {
		return strings.Join(parts, ", ")
	}
	return strings.Join(flat, ", ")
}

// runs describes the stretches of order whose kernels are all in the set.
func (r *Ranges) runs(order []int, in kernels.Set) []string {
	outside := make([]bool, r.numbers) // names that kernels of order outside the set have
	for _, i := range order {
		if !in.Has(i) {
			for _, n := range r.names[i] {
				outside[n] = true
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
		first, last := r.label(order[i], outside), r.label(order[j], outside)
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
func (r *Ranges) label(i int, outside []bool) string {
	k, names := r.kernels[i], r.names[i]
	switch {
	case !outside[names[0]]:
		return minorOf(k.Version)
	case !outside[names[1]]:
		return k.Version
	case !outside[names[2]]:
		return k.Version + " " + k.Arch
	case !outside[names[3]]:
		return k.Uname
	}
	return k.ID
}
