package relocate

import (
	"fmt"

	"github.com/corecheck/corecheck/btfinfo"
)

// resolverState is the candidate cache of one resolver: cand_cache of bpf_object__relocate_core.
type resolverState struct {
	roots   map[btfinfo.ID]*rootCands
	scratch []cand
	ptrSize uint32 // of the kernel, in bytes
	taken   int    // steps of the last evaluation
}

// rootCands are the candidates of one local root type.
type rootCands struct {
	all   []cand // as they were found
	live  []cand // those that the records before have left; a pruned list is a new one, results keep the old
	steps int    // of work that are left for the records of the root
}

// cand is one type of the kernel.
type cand struct {
	btf    *btfinfo.BTF
	id     btfinfo.ID
	module string // "vmlinux" or the module's name
}

// trail is what a Result needs to tell its story later.
type trail struct {
	resolver  *Resolver
	all, live []cand
}

// NewResolver returns a resolver for one object and one kernel. It looks at nothing yet: the first record of each root
// type searches the kernel for it.
func NewResolver(obj *Object, target *Target) *Resolver {
	ptrSize := target.PointerSize
	if ptrSize == 0 {
		ptrSize = PointerSize(target.Vmlinux)
	}
	return &Resolver{obj: obj, target: target, resolverState: resolverState{roots: make(map[btfinfo.ID]*rootCands), ptrSize: ptrSize}}
}

// longNames are the spellings of long that determine_ptr_size of libbpf's btf.c knows.
var longNames = [...]string{
	"long", "long int", "int long", "unsigned long", "long unsigned", "unsigned long int", "unsigned int long",
	"long unsigned int", "long int unsigned", "int unsigned long", "int long unsigned",
}

// PointerSize guesses the size of a kernel's pointers in bytes, as determine_ptr_size does: it is that of the integer with
// the smallest id that has 4 or 8 bytes and is called long; 8 where there is none. The names are looked up, because
// recent kernels sort their types by name, and have most of them before "long". A kernel out of an archive has no ids of
// its own: of integers called long in several ways there, which all have one size, any may be the first.
func PointerSize(b *btfinfo.BTF) uint32 {
	for b.Base() != nil {
		b = b.Base()
	}
	first, size := btfinfo.ID(0), uint32(8)
	for _, name := range longNames {
		b.OwnEssential(name, func(t btfinfo.Type) bool {
			if (first == 0 || t.ID() < first) && t.Kind() == btfinfo.KindInt && (t.Size() == 4 || t.Size() == 8) && t.Name() == name {
				first, size = t.ID(), t.Size()
			}
			return true
		}, btfinfo.KindInt)
	}
	return size
}

// Resolve resolves one record, without the texts: see (*Result).Explain.
//
// Records are to be given in the order of Object.Relos, without those that libbpf does not apply: those of programs
// that are not loaded, and those without function. A record that libbpf fails on (Ambiguous, Fatal) ends its load; here
// the records behind it are resolved as if it had not been there.
func (r *Resolver) Resolve(relo *Relo) *Result {
	res := new(Result)
	r.resolve(relo, res)
	return res
}

// ResolveAll resolves all records of the object in order, without the texts, but those without function and those that
// skip, which may be nil, tells to leave out.
func (r *Resolver) ResolveAll(skip func(*Relo) bool) []Result {
	out := make([]Result, 0, len(r.obj.Relos))
	for _, relo := range r.obj.Relos {
		if relo.Func == nil || skip != nil && skip(relo) {
			continue
		}
		out = append(out, Result{})
		r.resolve(relo, &out[len(out)-1])
	}
	return out
}

func (r *Resolver) resolve(relo *Relo, res *Result) {
	res.Relo = relo
	res.trail.resolver = r
	spec, bad := r.obj.spec(relo)
	if bad.reason != ReasonNone {
		res.fatal(bad)
		return
	}
	if relo.Kind == TypeIDLocal {
		r.evaluate(spec, res, false)
		return
	}
	root := r.roots[spec.Root]
	if root == nil {
		root = &rootCands{steps: r.obj.rootSteps()}
		root.all = r.candidates(spec)
		root.live = root.all
		r.roots[spec.Root] = root
	}
	res.trail.all, res.trail.live = root.all, root.live
	res.NoCandidates = len(root.all) == 0 && spec.EssentialName() != ""
	if root.steps < 0 {
		res.trail.resolver = nil
		res.fatal(malformed("comparing the records of %s takes more than %d steps", spec.RootString(), r.obj.rootSteps()))
		return
	}
	left := r.evaluate(spec, res, false)
	root.steps -= r.taken
	if res.Outcome <= Poisoned && len(left) > 0 && len(left) < len(root.live) {
		root.live = append([]cand(nil), left...)
	}
}

// candidates is bpf_core_find_cands: types of the same kind and essential name in vmlinux, and only where it has none,
// in the modules.
func (r *Resolver) candidates(spec *Spec) []cand {
	name := spec.EssentialName()
	if name == "" {
		return nil
	}
	var out []cand
	kind := spec.RootKind()
	add := func(module string, t btfinfo.Type) bool {
		if coreKinds(t.Kind(), kind) {
			out = append(out, cand{t.BTF(), t.ID(), module})
		}
		return true
	}
	kinds := []btfinfo.Kind{kind}
	if kind.IsEnum() {
		kinds = []btfinfo.Kind{btfinfo.KindEnum, btfinfo.KindEnum64}
	}
	r.target.Vmlinux.OwnEssential(name, func(t btfinfo.Type) bool { return add("vmlinux", t) }, kinds...)
	if len(out) == 0 {
		r.target.moduleTypes(name, add)
	}
	return out
}

func (res *Result) fatal(p problem) {
	res.Outcome, res.Reason, res.Detail = Fatal, p.reason, p.detail
}

// evaluate is bpf_core_calc_relo_insn and bpf_core_patch_insn on the candidates that res.trail.live holds. It returns
// those that matched, which is only valid until the next call. With explain it changes nothing but res, so that it can be
// called again for the texts.
func (r *Resolver) evaluate(spec *Spec, res *Result, explain bool) (left []cand) {
	relo := res.Relo
	res.Orig = spec.calc.val
	if spec.Kind == TypeIDLocal {
		res.Value = spec.calc.val
		r.finish(res, spec.calc, spec.calc, false, explain)
		return nil
	}
	if spec.btf.Type(spec.Root).Name() == "" {
		res.fatal(explained(explain, ReasonAnonymousRoot, "the root type [%d] %s has no name, so that no kernel can be searched for it", spec.Root, spec.RootKind()))
		return nil
	}

	var (
		m     = matcher{spec: spec, ptrSize: r.ptrSize, explain: explain, steps: maxSteps}
		first struct {
			calc   calcResult
			bitOff uint32
			cand   cand
			number int // among the candidates, from 1
		}
		bad       problem
		ambiguous problem
	)
	if !explain {
		left = r.scratch[:0]
	}
	for i, c := range res.trail.live {
		m.target = c.btf
		f := m.matchSpec(c.id)
		if explain {
			res.Candidates = append(res.Candidates, candidate(c, m.why))
		}
		if f == failed {
			bad = m.why
			break
		}
		if f == no {
			continue
		}
		if bad = spec.bad; bad.reason != ReasonNone {
			break
		}
		calc, p := r.calcTarget(&m, c)
		if explain {
			last := &res.Candidates[len(res.Candidates)-1]
			last.Value, last.Reason, last.Detail = calc.val, p.reason, p.detail
		}
		if bad = p; bad.reason != ReasonNone {
			break
		}
		left = append(left, c)
		if len(left) == 1 {
			first.calc, first.bitOff, first.cand, first.number = calc, m.bitOff, c, i+1
			continue
		}
		switch {
		case ambiguous.reason != ReasonNone:
		case m.bitOff != first.bitOff:
			ambiguous = explained(explain, ReasonAmbiguous, "%s is at bit %d in candidate %d (%s) and at bit %d in candidate %d (%s)",
				spec.Path(), first.bitOff, first.number, first.cand.module, m.bitOff, i+1, c.module)
		case relo.Kind == TypeIDTarget:
			// Differs from libbpf where types of two modules have the same id by chance: ids say nothing beyond their file.
			ambiguous = explained(explain, ReasonAmbiguous, "candidates %d (%s) and %d (%s) both are %s",
				first.number, first.cand.module, i+1, c.module, spec.Path())
		case calc.val != first.calc.val:
			ambiguous = explained(explain, ReasonAmbiguous, "%s of %s is %d by candidate %d (%s) and %d by candidate %d (%s)",
				spec.Kind, spec.Path(), first.calc.val, first.number, first.cand.module, calc.val, i+1, c.module)
		}
		if ambiguous.reason != ReasonNone && !explain {
			break
		}
	}
	if !explain {
		r.scratch = left[:0]
		r.taken = maxSteps - m.steps
	}
	switch {
	case bad.reason != ReasonNone && ambiguous.reason == ReasonNone:
		res.fatal(bad)
	case ambiguous.reason != ReasonNone:
		res.Outcome, res.Reason, res.Detail = Ambiguous, ambiguous.reason, ambiguous.detail
	case len(left) > 0:
		res.Value = first.calc.val
		mismatch := false
		if o, n := spec.calc, first.calc; relo.Kind == FieldByteOffset && o.size != n.size {
			mismatch = !canResize(spec.btf, o.typ, first.cand.btf, n.typ)
		}
		r.finish(res, spec.calc, first.calc, mismatch, explain)
	case spec.bad.reason != ReasonNone:
		res.fatal(spec.bad)
	case relo.Kind == FieldExists || relo.Kind == EnumvalExists || relo.Kind.IsType():
		r.finish(res, spec.calc, calcResult{}, false, explain)
		if res.Outcome == Resolved {
			res.Outcome = Answered
		}
	default:
		res.Outcome = Poisoned
	}
	if explain && res.Detail == "" && len(left) == 0 && len(res.trail.all) == 0 {
		res.Detail = r.missing(spec)
	}
	return left
}

func (r *Resolver) calcTarget(m *matcher, c cand) (calcResult, problem) {
	spec := m.spec
	switch {
	case spec.Kind.IsType():
		return calcType(spec.Kind, m.target, c.id, r.ptrSize, m.explain)
	case spec.Kind.IsEnumval():
		return calcEnumval(spec.Kind, m.target.Type(m.last.Type), int(m.last.Index)), problem{}
	}
	return calcField(spec.Kind, m.target, m.last, m.bitOff, r.ptrSize, r.obj.bigEndian(), m.explain)
}

// finish holds a value against the instruction that is to get it.
func (r *Resolver) finish(res *Result, orig, now calcResult, mismatch, explain bool) {
	if res.Relo.Func == nil {
		return
	}
	size, poison, bad := checkInsn(res.Relo.Func.Insns, res.Relo.Insn, orig, now, mismatch, explain)
	switch {
	case poison:
		res.Outcome, res.Mismatch, res.Reason, res.Detail = Poisoned, true, bad.reason, bad.detail
	case bad.reason != ReasonNone:
		res.fatal(bad)
	default:
		res.MemSize = size
	}
}

func candidate(c cand, why problem) Candidate {
	t := c.btf.Type(c.id)
	return Candidate{BTF: c.module, ID: c.id, Kind: t.Kind(), Name: t.Name(), Reason: why.reason, Detail: why.detail}
}

// missing says that there are no candidates, and what there is instead: libbpf only takes types of the same kind.
func (r *Resolver) missing(spec *Spec) string {
	text := "no " + spec.RootString()
	if spec.RootKind() == btfinfo.KindTypedef {
		text = "no typedef " + spec.RootString()
	}
	// Of several the one of the lowest kind is named, a declaration last.
	other := btfinfo.KindVoid
	r.target.Vmlinux.OwnEssential(spec.EssentialName(), func(t btfinfo.Type) bool {
		switch k := t.Kind(); k {
		case btfinfo.KindStruct, btfinfo.KindUnion, btfinfo.KindEnum, btfinfo.KindEnum64, btfinfo.KindTypedef, btfinfo.KindInt:
			if other == btfinfo.KindVoid || other == btfinfo.KindFwd || k < other {
				other = k
			}
		case btfinfo.KindFwd:
			if other == btfinfo.KindVoid {
				other = k
			}
		}
		return true
	})
	switch other {
	case btfinfo.KindVoid:
		return text
	case btfinfo.KindFwd:
		return fmt.Sprintf("%s, it is only declared", text)
	}
	return fmt.Sprintf("%s, only a %s of that name", text, other)
}

// Explain fills in Detail and Candidates, which a resolver leaves empty: the texts cost more than the answers, and most
// are never read. It returns r. A Result keeps its kernel's BTF alive until it was explained. Results of one resolver may
// be explained at the same time.
func (r *Result) Explain() *Result {
	t := r.trail
	if t.resolver == nil {
		return r
	}
	r.trail.resolver = nil
	spec, bad := t.resolver.obj.spec(r.Relo)
	if bad.reason == ReasonNone {
		t.resolver.evaluate(spec, r, true)
	}
	live := make(map[cand]bool, len(t.live))
	for _, c := range t.live {
		live[c] = true
	}
	for _, c := range t.all {
		if !live[c] {
			r.Candidates = append(r.Candidates, candidate(c, problem{ReasonPruned, "an earlier record of the same type matched other candidates only"}))
		}
	}
	r.trail = trail{}
	return r
}
