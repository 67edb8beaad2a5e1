package compat

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// oracle is Check without sets: each kernel is read whole and asked by itself for everything, relocations are resolved
// object by object, and the report is put together kernel by kernel. The rules and the resolver are the same; all that
// decides for how many kernels an answer holds, and what is made of that, is not.
func oracle(t testing.TB, objs []*relocate.Object, ks []*kernels.Kernel, opt Options) *Report {
	t.Helper()
	rep := &Report{Schema: Schema, Version: opt.Version, Kernels: []KernelInfo{}, Objects: []ObjectReport{}, Findings: []Finding{}, Coverage: opt.Coverage}
	if rep.Coverage.Missing == nil {
		rep.Coverage.Missing = []string{}
	}
	var plans []*plan
	for _, o := range objs {
		plans = append(plans, newPlan(o))
	}
	builtIn := make(map[builtName]map[string]bool) // lines of kernels
	var mu sync.Mutex
	inModules := make(map[builtName]map[string]bool) // modules that have the name
	note := func(line string, b *btfinfo.BTF, mods []kernels.Module) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range plans {
			for _, n := range p.names {
				if n.in(b) {
					if builtIn[n] == nil {
						builtIn[n] = make(map[string]bool)
					}
					builtIn[n][line] = true
				}
				for _, m := range mods {
					if n.in(m.BTF) {
						if inModules[n] == nil {
							inModules[n] = make(map[string]bool)
						}
						inModules[n][m.Name] = true
					}
				}
			}
		}
	}
	modules := make([]map[string]bool, len(ks))                       // of each kernel
	answers, errs := make([][][]raw, len(ks)), make([]error, len(ks)) // answers by kernel and object
	var wg sync.WaitGroup
	next := make(chan int)
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				alone, target := ks[i], (*relocate.Target)(nil)
				if alone.NoBTF == "" {
					b, mods, err := ks[i].Load()
					if err != nil {
						errs[i] = err
						continue
					}
					note(lineOf(ks[i]), b, mods)
					modules[i] = make(map[string]bool)
					for _, m := range mods {
						modules[i][m.Name] = true
					}
					alone, target = kernels.New(ks[i].ID, ks[i].Version, b, mods...), wholeTarget(b, mods)
					alone.Arch, alone.ModulesPartial = ks[i].Arch, ks[i].ModulesPartial
				}
				v := kernels.NewPool([]*kernels.Kernel{alone}).NewView()
				for _, p := range plans {
					answers[i] = append(answers[i], naiveAsk(p, v, target))
				}
			}
		})
	}
	for i := range ks {
		next <- i
	}
	close(next)
	wg.Wait()
	var asked [][][]raw
	var readableModules []map[string]bool
	var readable []*kernels.Kernel
	for i, k := range ks {
		if errs[i] != nil {
			rep.Errors = append(rep.Errors, inputError(errs[i]))
			continue
		}
		rep.Kernels = append(rep.Kernels, KernelInfo{ID: k.ID, Version: k.Version.String(), Uname: k.Uname, Arch: k.Arch,
			Distro: k.Distro, Release: k.Release, Facts: k.Facts()})
		asked = append(asked, answers[i])
		readableModules = append(readableModules, modules[i])
		readable = append(readable, k)
	}
	for _, k := range opt.Reference {
		if b, mods, err := k.Load(); err == nil {
			note(lineOf(k), b, mods)
		}
	}
	for k, raws := range asked {
		for _, list := range raws {
			for i := range list {
				naiveSettle(&list[i], lineOf(readable[k]), builtIn, inModules, readableModules[k])
			}
		}
	}
	rep.Coverage.Matched = len(rep.Kernels)
	var open []naiveSuggestion
	for i, o := range objs {
		var raws [][]raw
		for _, a := range asked {
			raws = append(raws, a[i])
		}
		open = append(open, naiveObject(rep, o, raws)...)
	}
	naiveSuggest(t, rep, open, readable)
	rep.NotChecked = notChecked(objs)
	return rep
}

func wholeTarget(b *btfinfo.BTF, mods []kernels.Module) *relocate.Target {
	target := &relocate.Target{Vmlinux: b}
	for _, m := range mods {
		target.Modules = append(target.Modules, relocate.Module{Name: m.Name, BTF: m.BTF})
	}
	return target
}

// naiveResolve resolves the relocations of an object on one kernel, with their texts; by index, those without function are
// empty.
func naiveResolve(p *plan, target *relocate.Target) []relocate.Result {
	skip := make(map[*relocate.Func]bool)
	for _, prog := range p.obj.Programs {
		if !prog.Sec.Autoload {
			skip[prog.Entry] = true
		}
	}
	results := make([]relocate.Result, len(p.obj.Relos))
	for _, pass := range []func(*relocate.Relo) bool{func(r *relocate.Relo) bool { return skip[r.Func] }, nil} {
		for _, r := range relocate.NewResolver(p.obj, target).ResolveAll(pass) {
			if x := &results[r.Relo.Index]; x.Relo == nil {
				*x = r
				x.Explain()
			}
		}
	}
	return results
}

// naiveAsk runs all rules over all needs of an object on one kernel.
func naiveAsk(p *plan, v *kernels.View, target *relocate.Target) (out []raw) {
	var results []relocate.Result
	if target != nil {
		results = naiveResolve(p, target)
	}
	one := kernels.Full(1)
	c := newCheck(p, newFacts(v))
	for i := range results {
		if results[i].Relo != nil {
			all := answerSets{{set: one, result: results[i]}}
			c.answers[i] = reloAnswers{told: all, values: all}
		}
	}
	for _, n := range p.needs {
		v.Classes(one, func() { c.look(n) }, func(kernels.Set) { out = append(out, c.out...) })
	}
	return out
}

func naiveSettle(r *raw, line string, builtIn map[builtName]map[string]bool, inModules map[builtName]map[string]bool, modules map[string]bool) {
	if r.pending == (builtName{}) {
		return
	}
	if mods := slices.Sorted(maps.Keys(inModules[r.pending])); len(mods) > 0 {
		for _, m := range mods {
			if !modules[m] {
				*r = inModule(*r, mods)
				return
			}
		}
		*r = *r.settled
		return
	}
	if builtIn[r.pending][line] || len(builtIn[r.pending]) > 0 && !likeModules(r.pending.name) {
		*r = *r.settled
	} else if !likeModules(r.pending.name) {
		*r = *r.settled
		r.hint = "no kernel at hand has it, and it is not named like something of a module: check the spelling; otherwise " + r.hint
	}
}

type naiveFinding struct {
	key     findingKey
	kernels []int
	finding Finding
	relo    *relocate.Relo
}

type naiveSuggestion struct {
	finding int
	object  *relocate.Object
	relo    *relocate.Relo
	kernel  int
}

// naiveObject puts the answers of all kernels to one object into the report.
func naiveObject(r *Report, o *relocate.Object, asked [][]raw) (open []naiveSuggestion) {
	byKey := make(map[findingKey]*naiveFinding)
	var list []*naiveFinding
	for k, raws := range asked {
		for i := range raws {
			x := &raws[i]
			key := keyOf(x)
			m := byKey[key]
			if m == nil {
				m = &naiveFinding{key: key}
				m.finding = Finding{Code: x.rule.Code, Title: x.rule.Title, Verdict: x.verdict, Stage: x.stage.String(),
					Object: o.Name, Need: key.need, Message: x.message, Hint: x.hint}
				if x.program >= 0 {
					m.finding.Program = o.Programs[x.program].Name
				}
				if _, ok := x.need.Source(); ok {
					m.finding.Source = &key.source
				}
				if x.suggest {
					m.relo = x.need.Relo
				}
				byKey[key] = m
				list = append(list, m)
			}
			if !slices.Contains(m.kernels, k) {
				m.kernels = append(m.kernels, k)
				m.finding.Kernels = append(m.finding.Kernels, r.Kernels[k].ID)
			}
			m.finding.Candidates = x.candidates // the newest kernel's stand for all: kernels come in order
		}
	}
	slices.SortFunc(list, func(a, b *naiveFinding) int {
		return cmp.Or(cmp.Compare(a.key.program, b.key.program), a.finding.compare(&b.finding))
	})
	first := len(r.Findings)
	for _, m := range list {
		if m.relo != nil {
			open = append(open, naiveSuggestion{len(r.Findings), o, m.relo, m.kernels[len(m.kernels)-1]})
		}
		r.Findings = append(r.Findings, m.finding)
	}
	r.Objects = append(r.Objects, naiveResults(r, o, list, first))
	return open
}

func naiveSuggest(t testing.TB, r *Report, open []naiveSuggestion, ks []*kernels.Kernel) {
	slices.SortStableFunc(open, func(a, b naiveSuggestion) int { return cmp.Compare(a.kernel, b.kernel) })
	var target *relocate.Target
	for i, s := range open {
		if i == 0 || open[i-1].kernel != s.kernel {
			b, mods, err := ks[s.kernel].Load()
			if err != nil {
				t.Fatal(err)
			}
			target = wholeTarget(b, mods)
		}
		var found []string
		for _, x := range relocate.NewResolver(s.object, target).Suggest(s.relo) {
			found = append(found, x.Path+" ("+x.Why+")")
		}
		if len(found) > 0 {
			f := &r.Findings[s.finding]
			f.Hint = r.Kernels[s.kernel].Version + " has " + strings.Join(found, ", ") + "; otherwise " + f.Hint
		}
	}
}

func naiveResults(r *Report, o *relocate.Object, list []*naiveFinding, first int) ObjectReport {
	rep := ObjectReport{File: o.File, Name: o.Name, SHA256: o.SHA256, Programs: []ProgramReport{}, Results: []ObjectResult{}}
	n := len(r.Kernels)
	// answers[k][p]: kernel k to program p; object[k]: to what concerns the object as a whole
	answers, object := make([][]answer, n), make([]answer, n)
	for k := range answers {
		object[k] = answer{load: OK, attach: None}
		answers[k] = make([]answer, len(o.Programs))
		for p, prog := range o.Programs {
			answers[k][p] = answer{load: OK, attach: attachable(prog)}
		}
	}
	for i, m := range list {
		x := &merged{key: m.key}
		for _, k := range m.kernels {
			if m.key.program < 0 {
				object[k].apply(x, first+i)
				for p := range answers[k] {
					answers[k][p].apply(x, first+i)
				}
				continue
			}
			answers[k][m.key.program].apply(x, first+i)
		}
	}
	for p, prog := range o.Programs {
		pr := ProgramReport{Name: prog.Name, Section: prog.Section, Type: prog.Sec.ProgType, AttachTo: attachTo(prog), Autoload: prog.Sec.Autoload}
		pr.Results = naiveGroups(r.Kernels, func(k int) string {
			a := &answers[k][p]
			return fmt.Sprint(a.load, a.attach, a.verdictOf(), a.findings)
		}, func(ids []string, k int) ProgramResult {
			a := &answers[k][p]
			slices.Sort(a.findings)
			fs := a.findings
			if fs == nil {
				fs = []int{}
			}
			return ProgramResult{Kernels: ids, Load: a.load, Attach: a.attach, Verdict: a.verdictOf(), Findings: fs}
		})
		rep.Programs = append(rep.Programs, pr)
	}
	whole := make([]ObjectResult, n)
	for k := range whole {
		whole[k] = objectResult(o, object[k], answers[k])
	}
	rep.Results = naiveGroups(r.Kernels, func(k int) string {
		return fmt.Sprint(whole[k].Load, whole[k].Verdict)
	}, func(ids []string, k int) ObjectResult {
		return ObjectResult{Kernels: ids, Load: whole[k].Load, Verdict: whole[k].Verdict}
	})
	return rep
}

// naiveGroups groups kernels by key, in the order of each group's first kernel.
func naiveGroups[T any](ks []KernelInfo, key func(k int) string, make func(ids []string, first int) T) []T {
	out := []T{}
	var order []string
	ids, first := map[string][]string{}, map[string]int{}
	for i := range ks {
		x := key(i)
		if ids[x] == nil {
			order = append(order, x)
			first[x] = i
		}
		ids[x] = append(ids[x], ks[i].ID)
	}
	for _, x := range order {
		out = append(out, make(ids[x], first[x]))
	}
	return out
}

// sameReport holds the report of Check against the oracle's, byte by byte, object by object and all together.
func sameReport(t testing.TB, what string, objs []*relocate.Object, ks, whole []*kernels.Kernel, opt Options) {
	t.Helper()
	want, got := oracle(t, objs, whole, opt), Check(objs, ks, opt)
	var a, b bytes.Buffer
	if err := want.WriteJSON(&a); err != nil {
		t.Fatal(err)
	}
	if err := got.WriteJSON(&b); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(a.Bytes(), b.Bytes()) {
		return
	}
	x, y := strings.Split(a.String(), "\n"), strings.Split(b.String(), "\n")
	i := 0
	for i < len(x) && i < len(y) && x[i] == y[i] {
		i++
	}
	from := max(0, i-12)
	t.Errorf("%s: line %d of the report differs; by single kernels\n%s\nby sets\n%s", what, i+1,
		strings.Join(x[from:min(i+4, len(x))], "\n"), strings.Join(y[from:min(i+4, len(y))], "\n"))
}

// sameValues holds what becomes of each relocation on each kernel against the same: value, size and texts, which the
// report only tells of as far as something is wrong. ks are the kernels to be asked by sets, whole the same to be read.
func sameValues(t testing.TB, what string, objs []*relocate.Object, ks, whole []*kernels.Kernel) {
	t.Helper()
	pool := kernels.NewPool(ks)
	var targets []*relocate.Target
	for _, k := range whole {
		b, mods, err := k.Load()
		if err != nil {
			t.Fatal(err)
		}
		targets = append(targets, wholeTarget(b, mods))
	}
	for _, o := range objs {
		p := newPlan(o)
		c := newCheck(p, newFacts(pool.NewView()))
		for _, set := range pool.Parts() {
			p.resolve(c, set)
		}
		for k, target := range targets {
			for i, want := range naiveResolve(p, target) {
				if want.Relo == nil {
					continue
				}
				told, values := c.answers[i].told.at(k), c.answers[i].values.at(k)
				if told == nil || values == nil {
					t.Fatalf("%s: %s: no answer to relocation %d on %s", what, o.Name, i, ks[k].ID)
				}
				isValue := want.Outcome <= relocate.Answered
				if want.Relo.Kind == relocate.TypeIDTarget {
					want.Value, want.MemSize = 0, 0
				}
				if isValue != (values.Outcome <= relocate.Answered) || isValue && (values.Value != want.Value || values.MemSize != want.MemSize) {
					t.Errorf("%s: %s: relocation %d on %s is %d in %d bytes, by itself %d in %d", what, o.Name, i, ks[k].ID, values.Value, values.MemSize, want.Value, want.MemSize)
				}
				if told.Outcome != want.Outcome || told.Reason != want.Reason || told.Mismatch != want.Mismatch ||
					isTold(&want) && (told.Detail != want.Detail || !slices.Equal(candidateLines(told), candidateLines(&want))) {
					t.Errorf("%s: %s: relocation %d on %s: outcome %d, %s, %q, by itself %d, %s, %q", what, o.Name, i, ks[k].ID,
						told.Outcome, told.Detail, candidateLines(told), want.Outcome, want.Detail, candidateLines(&want))
				}
			}
		}
	}
}

// at is the answer of kernel k.
func (s answerSets) at(k int) *relocate.Result {
	for i := range s {
		if s[i].set.Has(k) {
			return &s[i].result
		}
	}
	return nil
}

// fixtures are the objects that the repository has: of the rules, the demo, and of relocate's tests in the byte order of
// x86_64.
func fixtures(t testing.TB) []*relocate.Object {
	t.Helper()
	var objs []*relocate.Object
	for _, r := range Rules() {
		objs = append(objs, openFixture(t, r.Name))
	}
	return append(objs, openFiles(t, "../testdata/demo/*.bpf.o", "../testdata/core/*.el.o", "../testdata/objects/*.el.o", "../testdata/reach/*.el.o")...)
}

// Every object of the corpus on every embedded kernel: sets and single kernels agree on the whole report.
func TestOracle(t *testing.T) {
	t.Parallel()
	objs := append(fixtures(t), openTools(t)...)
	ks, err := kernels.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	sameReport(t, "the corpus on the embedded kernels", objs, ks, ks, Options{AnyArch: true})
	t.Logf("%d objects on %d kernels", len(objs), len(ks))

	// The same kernels, each by itself; and one of them, with the others at hand.
	few := embeddedKernels(t)
	sameReport(t, "the corpus on kernels of memory", objs, few, few, Options{AnyArch: true})
	sameReport(t, "the corpus on the newest kernel", objs, few[len(few)-1:], few[len(few)-1:], Options{Reference: few, AnyArch: true})
}
