package compat

import (
	"slices"
	"testing"
)

// checkReport tests what holds of every report: each kernel in exactly one entry of each results, groups in the order
// of their first kernels, indexes that lead to findings of the program, and everything sorted.
func checkReport(t *testing.T, rep *Report) {
	t.Helper()
	index := make(map[string]int)
	for i, k := range rep.Kernels {
		if _, ok := index[k.ID]; ok {
			t.Errorf("kernel %s is listed twice", k.ID)
		}
		index[k.ID] = i
	}
	// partition tests groups of kernels, and that each is sorted.
	partition := func(what string, groups [][]string) {
		seen := make(map[string]bool)
		last := -1
		for _, g := range groups {
			if len(g) == 0 {
				t.Errorf("%s: an entry without kernels", what)
				continue
			}
			if first := index[g[0]]; first <= last {
				t.Errorf("%s: entries are not in the order of their first kernels", what)
			} else {
				last = first
			}
			checkKernels(t, what, g, index)
			for _, id := range g {
				if seen[id] {
					t.Errorf("%s: kernel %s is in two entries", what, id)
				}
				seen[id] = true
			}
		}
		if len(seen) != len(rep.Kernels) {
			t.Errorf("%s: %d kernels, want %d", what, len(seen), len(rep.Kernels))
		}
	}
	used := make([]bool, len(rep.Findings))
	for _, o := range rep.Objects {
		var groups [][]string
		for _, r := range o.Results {
			groups = append(groups, r.Kernels)
			if !slices.Contains([]Status{OK, Break, Unknown}, r.Load) {
				t.Errorf("%s: load is %q", o.Name, r.Load)
			}
			if !slices.Contains([]Status{OK, Warn, Break, Unknown}, r.Verdict) {
				t.Errorf("%s: verdict is %q", o.Name, r.Verdict)
			}
			if r.Load.rank() > r.Verdict.rank() {
				t.Errorf("%s: load is %s and the verdict %s", o.Name, r.Load, r.Verdict)
			}
		}
		partition(o.Name, groups)
		for _, p := range o.Programs {
			what := o.Name + ": " + p.Name
			groups = nil
			for _, r := range p.Results {
				groups = append(groups, r.Kernels)
				if !slices.Contains([]Status{OK, Break, Unknown}, r.Load) {
					t.Errorf("%s: load is %q", what, r.Load)
				}
				if !slices.Contains([]Status{OK, Break, Unknown, None}, r.Attach) {
					t.Errorf("%s: attach is %q", what, r.Attach)
				}
				// The verdict is the worst of load, attach and what is found, and has a finding where it is not ok.
				want := worse(worse(OK, r.Load), r.Attach)
				for _, i := range r.Findings {
					if i < 0 || i >= len(rep.Findings) {
						t.Errorf("%s: finding %d of %d", what, i, len(rep.Findings))
						continue
					}
					used[i] = true
					f := &rep.Findings[i]
					want = worse(want, f.Verdict)
					if f.Object != o.Name || f.Program != "" && f.Program != p.Name {
						t.Errorf("%s: finding %d is of %s %s", what, i, f.Object, f.Program)
					}
					for _, id := range r.Kernels {
						if !slices.Contains(f.Kernels, id) {
							t.Errorf("%s: finding %d is not on %s", what, i, id)
						}
					}
				}
				if r.Verdict != want {
					t.Errorf("%s: verdict %s, want %s", what, r.Verdict, want)
				}
				if r.Verdict != OK && len(r.Findings) == 0 {
					t.Errorf("%s: %s without a finding", what, r.Verdict)
				}
				if !slices.IsSorted(r.Findings) {
					t.Errorf("%s: findings %v are not sorted", what, r.Findings)
				}
			}
			partition(what, groups)
		}
	}
	programs := make(map[[2]string]int)
	for i, o := range rep.Objects {
		programs[[2]string{o.Name, ""}] = i << 16
		for j, p := range o.Programs {
			programs[[2]string{o.Name, p.Name}] = i<<16 + j + 1
		}
	}
	for i := range rep.Findings {
		f := &rep.Findings[i]
		if !used[i] && len(rep.Objects) > 0 {
			t.Errorf("finding %d (%s in %s) is in no result", i, f.Code, f.Object)
		}
		checkKernels(t, f.Code+" "+f.Need.Name, f.Kernels, index)
		if len(f.Kernels) == 0 {
			t.Errorf("%s %s: on no kernel", f.Code, f.Need.Name)
		}
		if ruleByCode(f.Code) == nil || ruleByCode(f.Code).Title != f.Title {
			t.Errorf("%s %q is no rule", f.Code, f.Title)
		}
		if f.Message == "" || f.Hint == "" || f.Need.Kind == "" || f.Need.Name == "" || f.Object == "" {
			t.Errorf("%s: something is empty in %+v", f.Code, f)
		}
		if f.Stage != "load" && f.Stage != "attach" {
			t.Errorf("%s: stage is %q", f.Code, f.Stage)
		}
		if i == 0 {
			continue
		}
		g := &rep.Findings[i-1]
		a, b := programs[[2]string{g.Object, g.Program}], programs[[2]string{f.Object, f.Program}]
		if a > b || a == b && g.compare(f) > 0 {
			t.Errorf("finding %d (%s %s) stands behind %s %s", i, f.Code, f.Need.Name, g.Code, g.Need.Name)
		}
	}
}

// checkKernels tests that kernels are known, sorted, and each there once.
func checkKernels(t *testing.T, what string, ids []string, index map[string]int) {
	t.Helper()
	last := -1
	for _, id := range ids {
		i, ok := index[id]
		if !ok {
			t.Errorf("%s: kernel %s is not in the report", what, id)
		}
		if i <= last {
			t.Errorf("%s: kernel %s is not in order", what, id)
		}
		last = i
	}
}
