package compat

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// infos makes kernels from IDs that carry their version: "debian/12/x86_64/6.1.0-50=6.1.176".
func infos(list ...string) []KernelInfo {
	var out []KernelInfo
	for _, s := range list {
		id, version, _ := strings.Cut(s, "=")
		part := strings.SplitN(id, "/", 4)
		out = append(out, KernelInfo{ID: id, Version: version, Distro: part[0], Release: part[1], Arch: part[2], Uname: part[3]})
	}
	return out
}

func TestRanges(t *testing.T) {
	t.Parallel()
	plain := infos("debian/11/x86_64/a=5.10.262", "debian/12/x86_64/b=6.1.176", "debian/13/x86_64/c=6.12.107",
		"debian/sid/x86_64/d=7.1.13", "debian/sid/x86_64/e=7.2")
	// Two builds of one minor release, and of one version.
	twice := infos("debian/12/x86_64/a=6.1.100", "debian/12/x86_64/b=6.1.176", "debian/13/x86_64/c=6.12.1", "debian/13/x86_64/d=6.12.1",
		"debian/13/arm64/e=6.12.1")
	// Two places, whose kernels interleave.
	places := infos("debian/11/x86_64/a=5.10.1", "ubuntu/20/x86_64/b=5.11.1", "debian/11/x86_64/c=5.12.1", "ubuntu/20/x86_64/d=5.13.1",
		"debian/11/x86_64/e=5.14.1", "ubuntu/20/x86_64/f=5.15.1")
	arches := infos("debian/11/arm64/a=5.10.1", "debian/11/x86_64/b=5.10.1", "debian/12/arm64/c=6.1.1", "debian/12/x86_64/d=6.1.1")
	tests := []struct {
		name string
		ks   []KernelInfo
		in   string // last parts of IDs
		want string
	}{
		{"none", plain, "", "no kernel"},
		{"one", plain, "b", "6.1"},
		{"one without a patch", plain, "e", "7.2"},
		{"neighbours", plain, "bc", "6.1..6.12"},
		{"all", plain, "abcde", "5.10..7.2"},
		{"with a gap", plain, "abd", "5.10..6.1, 7.1"},
		{"every other", plain, "ace", "5.10, 6.12, 7.2"},
		{"order does not matter", plain, "eca", "5.10, 6.12, 7.2"},
		{"not known", plain, "x", "no kernel"},
		{"one of a minor release", twice, "a", "6.1.100"},
		{"all of a minor release", twice, "ab", "6.1"},
		{"from the middle of one", twice, "bcde", "6.1.176..6.12"},
		{"one of several of a version", twice, "c", "c"},
		{"one of several of a version and uname", infos("debian/12/x86_64/a=6.1.1", "debian/13/x86_64/a=6.1.1"), "1", "6.1.1 debian 13"},
		{"one of several of a version, uname and release", infos("debian/12/arm64/a=6.1.1", "debian/12/x86_64/a=6.1.1", "ubuntu/12/x86_64/a=6.1.1"), "1", "debian/12/x86_64/a"},
		{"one arch of a version", twice, "e", "6.12.1 arm64"},
		{"both of an arch", twice, "cd", "6.12.1 x86_64"},
		{"one place of two", places, "ace", "5.10..5.14 (debian x86_64)"},
		{"one place and a bit", places, "aceb", "5.10..5.12, 5.14"},
		{"all places", places, "abcdef", "5.10..5.15"},
		{"one arch", arches, "ac", "5.10..6.1 (debian arm64)"},
		{"one of each arch", arches, "ad", "5.10.1 arm64, 6.1.1 x86_64"},
		{"both arches", arches, "abcd", "5.10..6.1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var ids []string
			for _, c := range tt.in {
				id := "debian/0/x86_64/" + string(c)
				if c == '1' {
					id = tt.ks[1].ID
				}
				for _, k := range tt.ks {
					if k.Uname == string(c) {
						id = k.ID
					}
				}
				ids = append(ids, id)
			}
			if got := NewRanges(tt.ks).Of(ids); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// Different sets of kernels never have the same description: a range that stands for too much would be a lie.
func TestRangesTellApart(t *testing.T) {
	t.Parallel()
	lists := map[string][]KernelInfo{
		"minors":   infos("d/1/x86_64/a=5.10.1", "d/1/x86_64/b=5.10.2", "d/1/x86_64/c=5.11.1", "d/1/x86_64/d=5.12.1", "d/1/x86_64/e=5.12.1"),
		"places":   infos("d/1/x86_64/a=5.10.1", "u/1/x86_64/b=5.10.1", "d/1/arm64/c=5.10.1", "u/1/x86_64/d=5.11.1", "d/1/x86_64/e=5.12.1"),
		"releases": infos("d/1/x86_64/a=5.10.1", "d/2/x86_64/a=5.10.1", "d/2/x86_64/b=5.10.1", "d/3/x86_64/b=5.10.1", "d/3/x86_64/c=5.10.2"),
	}
	for name, ks := range lists {
		r := NewRanges(ks)
		seen := make(map[string]int)
		for set := range 1 << len(ks) {
			var ids []string
			for i := range ks {
				if set>>i&1 != 0 {
					ids = append(ids, ks[i].ID)
				}
			}
			text := r.Of(ids)
			if other, ok := seen[text]; ok {
				t.Errorf("%s: sets %05b and %05b are both %q", name, other, set, text)
			}
			seen[text] = set
		}
	}
}

func TestMinorOf(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"6.1.176": "6.1", "7.2": "7.2", "7.3-rc7": "7.3", "6": "6", "": "", "6.": "6."} {
		if got := minorOf(in); got != want {
			t.Errorf("minorOf(%q) = %q, want %q", in, got, want)
		}
	}
}

// Grouping is a partition whatever the answers: each kernel in exactly one group, groups in the order of first kernels,
// and two kernels in one group if and only if their keys are equal.
func TestGroupKernels(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 500 {
		ks := make([]KernelInfo, rng.IntN(80))
		keys := make([]string, len(ks))
		for i := range ks {
			ks[i].ID = fmt.Sprint("k", i)
			keys[i] = fmt.Sprint(rng.IntN(1 + rng.IntN(10)))
		}
		type group struct {
			ids   []string
			first int
		}
		groups := groupKernels(ks, allOf(ks), func(k int) string { return keys[k] }, func(ids []string, first int) group { return group{ids, first} })
		if groups == nil {
			t.Fatal("no groups must be an empty list: it is [] in JSON")
		}
		n, last := 0, -1
		used := make(map[string]bool)
		for _, g := range groups {
			if g.first <= last || g.ids[0] != ks[g.first].ID {
				t.Fatalf("group of %v has first %d, behind %d", g.ids, g.first, last)
			}
			last = g.first
			if used[keys[g.first]] {
				t.Fatalf("key %s has two groups", keys[g.first])
			}
			used[keys[g.first]] = true
			var want []string
			for i := range ks {
				if keys[i] == keys[g.first] {
					want = append(want, ks[i].ID)
				}
			}
			if !slices.Equal(g.ids, want) {
				t.Fatalf("group %v, want %v", g.ids, want)
			}
			n += len(g.ids)
		}
		if n != len(ks) {
			t.Fatalf("%d kernels in groups, want %d", n, len(ks))
		}
	}
}

func allOf(ks []KernelInfo) []int {
	all := make([]int, len(ks))
	for i := range all {
		all[i] = i
	}
	return all
}
