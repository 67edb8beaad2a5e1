package compat

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// Options of a check.
type Options struct {
	Version  string // of corecheck, for the report
	Coverage Coverage
	// Reference are further kernels at hand that are not asked. They serve to tell code that is built in from code
	// that may be in a module.
	Reference []*kernels.Kernel
	// Workers is the number of kernels looked at at once; 0: one per CPU.
	Workers int
}

// Check holds objects against kernels. The kernels must be in the order of versions. A kernel whose BTF can't be read is
// reported in Report.Errors and left out; the others are asked all the same.
func Check(objs []*relocate.Object, ks []*kernels.Kernel, opt Options) *Report {
	answers, errs := askAll(objs, ks, opt)
	rep := &Report{
		Schema:   Schema,
		Version:  opt.Version,
		Kernels:  []KernelInfo{},
		Objects:  []ObjectReport{},
		Findings: []Finding{},
		Coverage: opt.Coverage,
	}
	if rep.Coverage.Missing == nil {
		rep.Coverage.Missing = []string{}
	}
	// A kernel that could not be read has no answers.
	var asked []*kernelAnswers
	var readable []*kernels.Kernel
	for i, a := range answers {
		if errs[i] != nil {
			rep.Errors = append(rep.Errors, inputError(errs[i]))
			continue
		}
		k := ks[i]
		rep.Kernels = append(rep.Kernels, KernelInfo{ID: k.ID, Version: k.Version.String(), Uname: k.Uname, Arch: k.Arch,
			Distro: k.Distro, Release: k.Release, Facts: k.Facts()})
		asked = append(asked, a)
		readable = append(readable, k)
	}
	rep.Coverage.Matched = len(rep.Kernels)
	var open []suggestion
	for i, o := range objs {
		open = rep.addObject(i, o, asked, open)
	}
	rep.suggest(open, readable)
	rep.NotChecked = notChecked(objs)
	return rep
}

// inputError turns an error into what reports show.
func inputError(err error) InputError {
	e := InputError{Message: err.Error()}
	var b *btfinfo.Error
	if errors.As(err, &b) {
		e.File, e.Hint = b.File, b.Hint
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		e.Hint = h.Hint()
	}
	return e
}

// AddError records an input that could not be read.
func (r *Report) AddError(err error) {
	r.Errors = append(r.Errors, inputError(err))
}

// kernelAnswers is what the rules found for each object on one kernel.
type kernelAnswers struct {
	objects [][]raw
}

// askAll looks at every kernel, each by itself; results and errors are in the order of ks.
func askAll(objs []*relocate.Object, ks []*kernels.Kernel, opt Options) ([]*kernelAnswers, []error) {
	plans := make([]*plan, len(objs))
	for i, o := range objs {
		plans[i] = newPlan(o)
	}
	// What is asked is looked at anyway, and need not be read again.
	ref := &reference{extra: slices.DeleteFunc(slices.Clone(opt.Reference), func(r *kernels.Kernel) bool {
		return slices.ContainsFunc(ks, func(k *kernels.Kernel) bool { return k.ID == r.ID })
	})}
	answers, errs := make([]*kernelAnswers, len(ks)), make([]error, len(ks))
	workers := opt.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(workers, len(ks)) {
		wg.Go(func() {
			for i := range next {
				f, err := newFacts(ks[i], ref)
				if err != nil {
					errs[i] = err
					continue
				}
				a := &kernelAnswers{}
				for _, p := range plans {
					a.objects = append(a.objects, p.ask(f))
				}
				answers[i] = a
			}
		})
	}
	for i := range ks {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, a := range answers {
		if a != nil {
			a.settle(ref)
		}
	}
	return answers, errs
}

// settle decides the findings on names that the kernel's vmlinux does not have and a module might, now that all kernels
// were looked at: what any vmlinux has is built-in code, and gone here; of a name that none has a module may be the owner
// if it begins as names in modules do; and what no kernel at hand has, nor is like a module's, is not there.
func (a *kernelAnswers) settle(ref *reference) {
	for _, raws := range a.objects {
		for i := range raws {
			r := &raws[i]
			if r.pending == "" {
				continue
			}
			_, name, _ := strings.Cut(r.pending, " ")
			switch {
			case ref.builtIn(r.pending):
				*r = *r.settled
			case !likeModules(name):
				*r = *r.settled
				r.hint = "no kernel at hand has it, and it is not named like something of a module: check the spelling; otherwise " + r.hint
			}
		}
	}
}

// plan is what can be prepared of an object before any kernel is asked.
type plan struct {
	obj    *relocate.Object
	needs  []*relocate.Need
	guards *guards
	skip   map[*relocate.Func]bool // functions of programs that are not loaded by default only
}

func newPlan(o *relocate.Object) *plan {
	p := &plan{obj: o, needs: o.Needs(), guards: findGuards(o), skip: make(map[*relocate.Func]bool)}
	for _, prog := range o.Programs {
		if !prog.Sec.Autoload {
			p.skip[prog.Entry] = true
		}
	}
	return p
}

// ask runs all rules over all needs of the object on one kernel.
func (p *plan) ask(f *facts) []raw {
	c := &check{facts: f, obj: p.obj, guards: p.guards, results: p.resolve(f)}
	for _, n := range p.needs {
		for _, r := range rulesByNeed[n.Kind] {
			c.rule = r
			r.check(c, n)
		}
	}
	return c.out
}

// resolve resolves the object's relocations as libbpf does: those of programs that it does not load are left out, since
// what they match would prune the candidates of later ones. They are then resolved as if everything were loaded.
func (p *plan) resolve(f *facts) []relocate.Result {
	skipped := func(r *relocate.Relo) bool { return r.Func != nil && p.skip[r.Func] }
	results := make([]relocate.Result, len(p.obj.Relos))
	put := func(list []relocate.Result) {
		for i := range list {
			if x := &results[list[i].Relo.Index]; x.Relo == nil {
				*x = list[i]
			}
		}
	}
	put(relocate.NewResolver(p.obj, &f.target).ResolveAll(skipped))
	if len(p.skip) > 0 {
		put(relocate.NewResolver(p.obj, &f.target).ResolveAll(nil))
	}
	return results
}

// findingKey is what makes raw findings of several kernels, instructions and needs one finding.
type findingKey struct {
	rule    *Rule
	program int
	stage   stage
	verdict Status
	need    NeedRef
	source  SourceRef
	message string
	hint    string
}

// merged is a finding that grows as kernels are added.
type merged struct {
	key     findingKey
	kernels kernelSet
	finding Finding
	relo    *relocate.Relo // to look for something similar with, or nil
}

// addObject puts the answers of all kernels to one object into the report.
func (r *Report) addObject(index int, o *relocate.Object, asked []*kernelAnswers, open []suggestion) []suggestion {
	n := len(asked)
	byKey := make(map[findingKey]*merged)
	var list []*merged
	for k, a := range asked {
		for i := range a.objects[index] {
			x := &a.objects[index][i]
			key := findingKey{rule: x.rule, program: x.program, stage: x.stage, verdict: x.verdict,
				need: NeedRef{Kind: string(x.need.Kind), Name: x.need.Name}, message: x.message, hint: x.hint}
			line, hasLine := x.need.Source()
			if hasLine {
				key.source = SourceRef{File: line.File, Line: line.Line, Text: line.Text}
			}
			m := byKey[key]
			if m == nil {
				m = &merged{key: key, kernels: newKernelSet(n)}
				m.finding = Finding{Code: x.rule.Code, Title: x.rule.Title, Verdict: x.verdict, Stage: x.stage.String(),
					Object: o.Name, Need: key.need, Message: x.message, Hint: x.hint}
				if x.program >= 0 {
					m.finding.Program = o.Programs[x.program].Name
				}
				if hasLine {
					m.finding.Source = &key.source
				}
				if x.suggest {
					m.relo = x.need.Relo
				}
				byKey[key] = m
				list = append(list, m)
			}
			m.kernels.add(k)
			m.finding.Candidates = x.candidates // the newest kernel's stand for all: kernels come in order
		}
	}
	slices.SortFunc(list, func(a, b *merged) int {
		return cmp.Or(cmp.Compare(a.key.program, b.key.program), a.finding.compare(&b.finding))
	})
	first := len(r.Findings)
	for _, m := range list {
		m.finding.Kernels = m.kernels.ids(r.Kernels)
		if m.relo != nil {
			newest := 0
			m.kernels.each(func(k int) { newest = k })
			open = append(open, suggestion{finding: len(r.Findings), object: o, relo: m.relo, kernel: newest})
		}
		r.Findings = append(r.Findings, m.finding)
	}
	r.Objects = append(r.Objects, r.objectReport(o, list, first, n))
	return open
}

// suggestion is a finding of which the hint may name something similar in the newest kernel that has the finding.
type suggestion struct {
	finding int
	object  *relocate.Object
	relo    *relocate.Relo
	kernel  int
}

// suggest improves hints, kernel by kernel: a kernel is read once more for all its suggestions.
func (r *Report) suggest(open []suggestion, ks []*kernels.Kernel) {
	slices.SortStableFunc(open, func(a, b suggestion) int { return cmp.Compare(a.kernel, b.kernel) })
	var target relocate.Target
	read := -1
	for _, s := range open {
		if s.kernel != read {
			b, mods, err := ks[s.kernel].Load()
			if err != nil {
				continue // it was readable a moment ago; the hint stays as it is
			}
			target = relocate.Target{Vmlinux: b}
			for _, m := range mods {
				target.Modules = append(target.Modules, relocate.Module{Name: m.Name, BTF: m.BTF})
			}
			read = s.kernel
		}
		var found []string
		for _, x := range relocate.NewResolver(s.object, &target).Suggest(s.relo) {
			found = append(found, x.Path+" ("+x.Why+")")
		}
		if len(found) > 0 {
			f := &r.Findings[s.finding]
			f.Hint = r.Kernels[s.kernel].Version + " has " + strings.Join(found, ", ") + "; otherwise " + f.Hint
		}
	}
}

// answer is what one kernel says to one program.
type answer struct {
	load, attach, verdict Status
	findings              []int
}

func (r *Report) objectReport(o *relocate.Object, list []*merged, first, n int) ObjectReport {
	rep := ObjectReport{File: o.File, Name: o.Name, SHA256: o.SHA256, Programs: []ProgramReport{}, Results: []ObjectResult{}}
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
		m.kernels.each(func(k int) {
			if m.key.program < 0 {
				object[k].apply(m, first+i)
				for p := range answers[k] {
					answers[k][p].apply(m, first+i)
				}
				return
			}
			answers[k][m.key.program].apply(m, first+i)
		})
	}
	for p, prog := range o.Programs {
		pr := ProgramReport{Name: prog.Name, Section: prog.Section, Type: prog.Sec.ProgType, AttachTo: attachTo(prog), Autoload: prog.Sec.Autoload}
		pr.Results = groupKernels(r.Kernels, func(k int) string {
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
	rep.Results = groupKernels(r.Kernels, func(k int) string {
		return fmt.Sprint(whole[k].Load, whole[k].Verdict)
	}, func(ids []string, k int) ObjectResult {
		return ObjectResult{Kernels: ids, Load: whole[k].Load, Verdict: whole[k].Verdict}
	})
	return rep
}

// apply adds a finding to an answer.
func (a *answer) apply(m *merged, index int) {
	a.findings = append(a.findings, index)
	switch {
	case m.key.verdict == Warn:
		a.verdict = worse(a.verdict, Warn)
	case m.key.stage == stageAttach:
		a.attach = worse(a.attach, m.key.verdict)
	default:
		a.load = worse(a.load, m.key.verdict)
	}
}

// verdictOf is the worst of load, attach and warnings: break, unknown, warn, ok.
func (a *answer) verdictOf() Status { return worse(worse(a.load, a.attach), a.verdict) }

// attachTo is the target as the section names it: "vfs_read+4", "block/block_rq_issue", "nf_tables:nft_do_chain".
func attachTo(p *relocate.Program) string { return p.Sec.Target }

// attachable tells whether a program has an attach that the kernel decides: ok until a rule says otherwise, or none.
// Targets in user space, and programs that are attached to devices, sockets and cgroups of the loader's choice, have none.
func attachable(p *relocate.Program) Status {
	if !p.Sec.AutoAttach && p.Sec.Err == "" {
		return None // lsm_cgroup: the loader gives the cgroup
	}
	if p.Sec.Hook == relocate.HookIter && ofOneThing[p.Sec.Func] {
		return None
	}
	switch p.Sec.Hook {
	case relocate.HookFunction, relocate.HookFunctions, relocate.HookSyscall, relocate.HookTracepoint, relocate.HookRawTP,
		relocate.HookBTFTP, relocate.HookBTFFunc, relocate.HookLSM, relocate.HookIter:
		return OK
	}
	return None
}

// ofOneThing are iterators over one map or cgroup, which the loader gives when it attaches the program: union
// bpf_iter_link_info in include/uapi/linux/bpf.h. That of tasks may be given one and needs none.
var ofOneThing = map[string]bool{"bpf_map_elem": true, "bpf_sk_storage_map": true, "sockmap": true, "cgroup": true}

// objectResult is the object loaded whole: with its autoload programs, as libbpf does. Where it has none, the loader
// chooses: the object fails where all its programs do, and where only some do it depends on the choice.
func objectResult(o *relocate.Object, object answer, programs []answer) ObjectResult {
	load, verdict := object.load, object.verdictOf()
	loaded := 0
	for p := range o.Programs {
		if !o.Programs[p].Sec.Autoload {
			continue
		}
		loaded++
		load = worse(load, programs[p].load)
		verdict = worse(verdict, programs[p].verdictOf())
	}
	if loaded == 0 && len(programs) > 0 {
		best := Break
		for p := range programs {
			if v := programs[p].verdictOf(); v.rank() < best.rank() {
				best = v
			}
		}
		if best == Break {
			load, verdict = Break, Break
		} else {
			for p := range programs {
				if v := programs[p].verdictOf(); v.rank() > OK.rank() {
					verdict = worse(verdict, Unknown)
				}
			}
		}
	}
	if verdict == None {
		verdict = OK
	}
	return ObjectResult{Load: load, Verdict: verdict}
}

// groupKernels groups kernels by key, in the order of each group's first kernel.
func groupKernels[T any](ks []KernelInfo, key func(k int) string, make func(ids []string, first int) T) []T {
	type group struct {
		first int
		ids   []string
	}
	var order []*group
	byKey := map[string]*group{}
	for i := range ks {
		x := key(i)
		g := byKey[x]
		if g == nil {
			g = &group{first: i}
			byKey[x] = g
			order = append(order, g)
		}
		g.ids = append(g.ids, ks[i].ID)
	}
	out := []T{}
	for _, g := range order {
		out = append(out, make(g.ids, g.first))
	}
	return out
}

// gplCompatible is license_is_gpl_compatible of include/linux/license.h. Which helpers ask for it is not in BTF.
var gplCompatible = map[string]bool{"GPL": true, "GPL v2": true, "GPL and additional rights": true, "Dual BSD/GPL": true,
	"Dual MIT/GPL": true, "Dual MPL/GPL": true}

// notChecked says what a clean report on these objects does not prove.
func notChecked(objs []*relocate.Object) []string {
	var functions, events, guarded, userspace, unlicensed int
	for _, o := range objs {
		if !gplCompatible[o.License] {
			unlicensed++
		}
		for _, p := range o.Programs {
			switch p.Sec.Hook {
			case relocate.HookFunction, relocate.HookFunctions, relocate.HookSyscall, relocate.HookBTFFunc:
				functions++
			case relocate.HookTracepoint:
				events++
			case relocate.HookUser, relocate.HookUSDT:
				userspace++
			}
		}
		for _, r := range o.Relos {
			if r.Kind.IsQuestion() {
				guarded++
			}
		}
	}
	var out []string
	add := func(n int, one, many string) {
		if n == 1 {
			out = append(out, one)
		} else if n > 1 {
			out = append(out, fmt.Sprintf(many, n))
		}
	}
	add(functions, "1 target of kprobe or fentry programs was looked up in BTF only: no symbol tables, no list of what can't be traced",
		"%d targets of kprobe and fentry programs were looked up in BTF only: no symbol tables, no list of what can't be traced")
	add(events, "1 tracepoint was looked up by name only: not its category, nor the layout of its record",
		"%d tracepoints were looked up by name only: not their category, nor the layout of their records")
	add(userspace, "1 program is attached in user space, which no kernel's BTF tells about",
		"%d programs are attached in user space, which no kernel's BTF tells about")
	add(guarded, "1 question to the kernel (exists, matches) was not followed through the program",
		"%d questions to the kernel (exists, matches) were not followed through the programs")
	add(unlicensed, "1 object has no license that the kernel takes for compatible with the GPL: LSM programs, kfuncs and many helpers are refused to it",
		"%d objects have no license that the kernel takes for compatible with the GPL: LSM programs, kfuncs and many helpers are refused to them")
	return append(out, "the verifier was not run: complexity, program size, helpers that a program type may not call",
		"fields that changed type or size under a raw read, and arguments that moved")
}
