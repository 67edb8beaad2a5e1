package compat

import (
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// This file asks all needs of all objects of a pool of kernels. What is asked at once, and of the same kernels:
//
//   - The relocations of one root type of an object. What one matches prunes the candidates of the next (see package
//     relocate), so they are one question; root types don't touch each other.
//   - The rules over one need. They read the answers to its relocation, which by then is a few sets of kernels, and facts
//     that are kept from need to need.
//
// The classes of each are put together again where the answers are equal.

// plan is what can be prepared of an object before any kernel is asked.
type plan struct {
	obj    *relocate.Object
	needs  []*relocate.Need
	guards *guards
	roots  []*root
	names  []builtName // of which the absence from vmlinux may mean that a module has them
	// leftOut are kernels of the pool that the object is not asked on.
	leftOut []LeftOut
}

// root is the relocations of one root type, in the order in which libbpf applies them.
type root struct {
	relos []*relocate.Relo
	// loaded are those of programs that are loaded by default, nil where that is all: libbpf leaves the others out, since
	// what they match would prune the candidates of later ones. They are then resolved as if everything were loaded.
	loaded []*relocate.Relo
}

func newPlan(o *relocate.Object) *plan {
	p := &plan{obj: o, needs: o.Needs(), guards: findGuards(o)}
	skip := make(map[*relocate.Func]bool)
	for _, prog := range o.Programs {
		if !prog.Sec.Autoload {
			skip[prog.Entry] = true
		}
	}
	byType := make(map[btfinfo.ID]*root)
	for _, r := range o.Relos {
		if r.Func == nil {
			continue // libbpf skips it
		}
		x := byType[r.Type]
		if x == nil {
			x = &root{loaded: []*relocate.Relo{}}
			byType[r.Type] = x
			p.roots = append(p.roots, x)
		}
		x.relos = append(x.relos, r)
		if !skip[r.Func] {
			x.loaded = append(x.loaded, r)
		}
	}
	for _, x := range p.roots {
		if len(x.loaded) == len(x.relos) {
			x.loaded = nil
		}
	}
	p.findNames()
	return p
}

// findNames lists the names that a finding may wait for: see raw.pending.
func (p *plan) findNames() {
	seen := make(map[builtName]bool)
	add := func(kind btfinfo.Kind, name string) {
		n := builtName{kind, name}
		if name != "" && !seen[n] {
			seen[n] = true
			p.names = append(p.names, n)
		}
	}
	for _, n := range p.needs {
		switch {
		case n.Relo != nil:
			t := p.obj.BTF.Type(n.Relo.Type)
			add(t.Kind(), btfinfo.EssentialName(t.Name()))
		case n.Kind == relocate.NeedKfunc:
			add(btfinfo.KindFunc, btfinfo.EssentialName(n.Extern.Name))
		case n.Kind == relocate.NeedKsym:
			add(btfinfo.KindVar, n.Extern.Name)
		case n.Kind == relocate.NeedStructOps:
			add(btfinfo.KindStruct, "bpf_struct_ops_"+btfinfo.EssentialName(n.Map.StructOps))
		case n.Kind == relocate.NeedAttachTarget:
			switch sec := n.Programs[0].Sec; sec.Hook {
			case relocate.HookBTFFunc:
				add(btfinfo.KindFunc, sec.Func)
			case relocate.HookBTFTP, relocate.HookRawTP, relocate.HookTracepoint:
				add(btfinfo.KindTypedef, "btf_trace_"+sec.Func)
			case relocate.HookIter:
				add(btfinfo.KindFunc, "bpf_iter_"+sec.Func)
			}
		}
	}
}

// evaluation is one check of objects on a pool.
type evaluation struct {
	pool  *kernels.Pool
	plans []*plan
	ref   *reference

	mu   sync.Mutex
	hits [][]*hit      // by object
	errs map[int]error // by kernel
}

// job is a part of the pool and the objects to hold against it.
type job struct {
	part    int
	set     kernels.Set
	objects []int
}

func newEvaluation(objs []*relocate.Object, ks []*kernels.Kernel, opt Options) *evaluation {
	// What is asked is looked at anyway, and need not be read again.
	asked := make(map[string]bool, len(ks))
	for _, k := range ks {
		asked[k.ID] = true
	}
	extra := slices.DeleteFunc(slices.Clone(opt.Reference), func(k *kernels.Kernel) bool { return asked[k.ID] })
	e := &evaluation{pool: kernels.NewPool(ks), hits: make([][]*hit, len(objs)), errs: make(map[int]error)}
	e.ref = newReference(e.pool, kernels.NewPool(extra))
	for _, o := range objs {
		p := newPlan(o)
		e.ref.expect(p.names)
		if !opt.AnyArch {
			p.leftOut = leftOut(o, ks)
		}
		e.plans = append(e.plans, p)
	}
	return e
}

// run asks all parts of the pool. A kernel by itself is read once, and asked for all objects; an archive's objects are
// asked side by side.
func (e *evaluation) run(workers int) {
	all := make([]int, len(e.plans))
	for i := range all {
		all[i] = i
	}
	var jobs []job
	for i, set := range e.pool.Parts() {
		if set.Len() == 1 || len(all) == 0 {
			jobs = append(jobs, job{i, set, all})
			continue
		}
		for _, o := range all {
			jobs = append(jobs, job{i, set, all[o : o+1]})
		}
	}
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	next := make(chan job)
	var wg sync.WaitGroup
	for range min(workers, len(jobs)) {
		wg.Go(func() {
			part := -1
			var f *facts
			for j := range next {
				if j.part != part {
					part, f = j.part, nil // what was read of the last part is let go before
					f = newFacts(e.pool.NewView())
				}
				e.do(j, f)
			}
		})
	}
	for _, j := range jobs {
		next <- j
	}
	close(next)
	wg.Wait()
}

// do asks one part of the pool.
func (e *evaluation) do(j job, f *facts) {
	f.v.Classes(j.set, func() {
		if j.set.Len() == 1 {
			e.ref.note(f.v)
		} else {
			f.v.BTF() // whether it can be read
		}
	}, func(kernels.Set) {})
	for _, o := range j.objects {
		hits := e.plans[o].ask(f, j.set)
		e.mu.Lock()
		e.hits[o] = append(e.hits[o], hits...)
		e.mu.Unlock()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	j.set.Each(func(k int) {
		if err := f.v.Err(k); err != nil {
			e.errs[k] = err
		}
	})
}

// ask runs all rules over all needs of the object on a set of kernels.
func (p *plan) ask(f *facts, set kernels.Set) []*hit {
	if set = notLeftOut(set, p.leftOut); set.Empty() {
		return nil
	}
	c := newCheck(p, f)
	p.resolve(c, set)
	var hits hitList
	for i, n := range p.needs {
		f.v.Classes(set, func() { c.look(n) }, func(class kernels.Set) {
			for j := range c.out {
				hits.add(&c.out[j], class, i<<16|j)
			}
		})
	}
	return hits.list
}

func newCheck(p *plan, f *facts) *check {
	return &check{facts: f, obj: p.obj, guards: p.guards, answers: make([]reloAnswers, len(p.obj.Relos)),
		walks: make([][2]kernels.Memo[*relocate.Reach], len(p.obj.Programs)), results: make([]relocate.Result, len(p.obj.Relos))}
}

// look runs the rules over one need and leaves what they find in c.out.
func (c *check) look(n *relocate.Need) {
	c.out = c.out[:0]
	if _, ok := c.btf(); !ok && n.Kind != relocate.NeedBTF {
		return // kernelBTFMissing says so, once
	}
	for _, r := range rulesByNeed[n.Kind] {
		c.rule = r
		r.check(c, n)
	}
}

// reloAnswers is what became of one relocation, twice: as the rules are told, and as the walk through a program is.
type reloAnswers struct{ told, values answerSets }

// answerSets are distinct answers, each with its kernels.
type answerSets []answerSet

type answerSet struct {
	key    answerKey
	set    kernels.Set
	result relocate.Result
}

// answerKey is what makes two answers one.
type answerKey struct {
	outcome  relocate.Outcome
	value    uint64
	memSize  uint8
	mismatch bool
	reason   relocate.Reason
	text     string // what is for people
}

// of is the answer of the kernel that v is at; nil where there is none.
func (s answerSets) of(v *kernels.View) *relocate.Result {
	for i := range s {
		if s[i].set.Has(v.Index()) {
			v.Depend(s[i].set)
			return &s[i].result
		}
	}
	return nil
}

func (s *answerSets) add(key answerKey, r *relocate.Result, class kernels.Set) {
	for i := range *s {
		if x := &(*s)[i]; x.key == key {
			x.set.Or(class)
			return
		}
	}
	// The trail of the resolver, which would keep the kernel's types, is left behind.
	*s = append(*s, answerSet{key, class.Clone(), relocate.Result{Relo: r.Relo, Outcome: r.Outcome, Value: key.value, Orig: r.Orig,
		MemSize: key.memSize, Mismatch: r.Mismatch, Reason: r.Reason, Detail: r.Detail, Candidates: r.Candidates}})
}

// add puts the result for a class of kernels to those of others.
func (a *reloAnswers) add(r *relocate.Result, class kernels.Set) {
	values := answerKey{outcome: r.Outcome}
	switch {
	case r.Outcome > relocate.Answered: // the walk only sees that there is no value
		values.outcome = relocate.Poisoned
	case r.Relo.Kind != relocate.TypeIDTarget:
		values.value, values.memSize = r.Value, r.MemSize
	}
	a.values.add(values, r, class)
	told := answerKey{outcome: r.Outcome, mismatch: r.Mismatch, reason: r.Reason}
	if isTold(r) {
		told.text = r.Detail + "\n" + strings.Join(candidateLines(r), "\n")
	}
	a.told.add(told, r, class)
}

// isTold tells whether a rule reads the texts of a result.
func isTold(r *relocate.Result) bool {
	return r.Outcome != relocate.Resolved && !(r.Outcome == relocate.Answered && r.Relo.Kind.IsQuestion())
}

// resolve resolves the object's relocations on a set of kernels.
func (p *plan) resolve(c *check, set kernels.Set) {
	for _, x := range p.roots {
		var results []relocate.Result
		c.v.Classes(set, func() { results = x.resolve(p.obj, c.target(), results[:0]) }, func(class kernels.Set) {
			for i := range results {
				c.answers[results[i].Relo.Index].add(&results[i], class)
			}
		})
	}
}

// resolve resolves the relocations of one root type on one kernel, as libbpf does.
func (x *root) resolve(o *relocate.Object, target *relocate.Target, results []relocate.Result) []relocate.Result {
	if x.loaded != nil {
		r := relocate.NewResolver(o, target)
		for _, relo := range x.loaded {
			results = append(results, *r.Resolve(relo))
		}
	}
	r := relocate.NewResolver(o, target)
	i := 0
	for _, relo := range x.relos {
		if i < len(x.loaded) && x.loaded[i] == relo { // resolved above; here it only prunes
			r.Resolve(relo)
			i++
			continue
		}
		results = append(results, *r.Resolve(relo))
	}
	for i := range results {
		if isTold(&results[i]) {
			results[i].Explain()
		}
	}
	return results
}
