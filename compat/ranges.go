package compat

import (
	"math/bits"
	"strings"
)

// kernelSet is a set of kernels of one report: a bitmap over Report.Kernels.
type kernelSet []uint64

func newKernelSet(n int) kernelSet { return make(kernelSet, (n+63)/64) }

func (s kernelSet) add(i int)      { s[i/64] |= 1 << (i % 64) }
func (s kernelSet) has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

func (s kernelSet) len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// each calls f with the members in ascending order.
func (s kernelSet) each(f func(i int)) {
	for w, x := range s {
		for ; x != 0; x &= x - 1 {
			f(64*w + bits.TrailingZeros64(x))
		}
	}
}

func (s kernelSet) ids(ks []KernelInfo) []string {
	ids := make([]string, 0, s.len())
	s.each(func(i int) { ids = append(ids, ks[i].ID) })
	return ids
}

// Ranges describes a set of kernels as people do, in the words of the selector: "6.1..6.12", "5.10, 7.0..7.2". It is
// relative to the kernels that were asked: "6.1..6.12" means every kernel asked between the two, and says nothing of
// releases that were not. A kernel is named by its minor release where all kernels of that release are in the set, by
// its full version, by version and arch, by uname -r, or by its ID where nothing shorter tells it from one outside.
type Ranges struct {
	kernels []KernelInfo
	index   map[string]int // by ID
	minors  []string       // minors[i]: "6.1" of kernel i
	groups  [][]int        // kernels by distro and arch, each in the order of kernels
}

// NewRanges prepares descriptions of subsets of ks, which must be in the order of versions.
func NewRanges(ks []KernelInfo) *Ranges {
	r := &Ranges{kernels: ks, index: make(map[string]int, len(ks)), minors: make([]string, len(ks))}
	byPlace := make(map[string]int)
	for i, k := range ks {
		r.index[k.ID] = i
		r.minors[i] = minorOf(k.Version)
		place := k.Distro + "/" + k.Arch
		g, ok := byPlace[place]
		if !ok {
			g = len(r.groups)
			byPlace[place] = g
			r.groups = append(r.groups, nil)
		}
		r.groups[g] = append(r.groups[g], i)
	}
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
func (r *Ranges) Of(ids []string) string {
	in := newKernelSet(len(r.kernels))
	for _, id := range ids {
		if i, ok := r.index[id]; ok {
			in.add(i)
		}
	}
	if in.len() == 0 {
		return "no kernel"
	}
	all := make([]int, len(r.kernels))
	for i := range all {
		all[i] = i
	}
	flat := r.runs(all, in)
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
func (r *Ranges) runs(order []int, in kernelSet) []string {
	var out []string
	for i := 0; i < len(order); i++ {
		if !in.has(order[i]) {
			continue
		}
		j := i
		for j+1 < len(order) && in.has(order[j+1]) {
			j++
		}
		first, last := r.label(order, order[i], in), r.label(order, order[j], in)
		if first == last {
			out = append(out, first)
		} else {
			out = append(out, first+".."+last)
		}
		i = j
	}
	return out
}

// label is the shortest name of kernel i that no kernel of order outside the set shares.
func (r *Ranges) label(order []int, i int, in kernelSet) string {
	k := r.kernels[i]
	unique := func(same func(j int) bool) bool {
		for _, j := range order {
			if !in.has(j) && same(j) {
				return false
			}
		}
		return true
	}
	switch {
	case unique(func(j int) bool { return r.minors[j] == r.minors[i] }):
		return r.minors[i]
	case unique(func(j int) bool { return r.kernels[j].Version == k.Version }):
		return k.Version
	case unique(func(j int) bool { return r.kernels[j].Version == k.Version && r.kernels[j].Arch == k.Arch }):
		return k.Version + " " + k.Arch
	case unique(func(j int) bool { return r.kernels[j].Uname == k.Uname }):
		return k.Uname
	}
	return k.ID
}
