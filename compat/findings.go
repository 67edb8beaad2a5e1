package compat

import (
	"cmp"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// hit is what rules found alike on a set of kernels.
type hit struct {
	raw
	set kernels.Set
	// A finding is put together from several needs and kernels. Of these the first need on the first kernel stands for all
	// where something similar is looked for, and the last need on the newest kernel for the candidates.
	first, last hitPlace
}

// hitPlace is where a hit was found: on which kernel of the pool, and as the how many-th.
type hitPlace struct {
	kernel, order int
	relo          *relocate.Relo // first: to look for something similar with, nil where that is not wanted
	candidates    []string       // last
}

func (p hitPlace) compare(q hitPlace) int {
	return cmp.Or(cmp.Compare(p.kernel, q.kernel), cmp.Compare(p.order, q.order))
}

// join adds the same finding on other kernels, or of another need.
func (h *hit) join(set kernels.Set, first, last hitPlace) {
	h.set.Or(set)
	if first.compare(h.first) < 0 {
		h.first = first
	}
	if last.compare(h.last) > 0 {
		h.last = last
	}
}

// hitKey is what makes raw findings of several classes and needs one hit.
type hitKey struct {
	findingKey
	pending builtName
	settled string // what takes its place
}

// hitList collects the hits of one object on one part of the kernels.
type hitList struct {
	list  []*hit
	byKey map[hitKey]*hit
}

func (l *hitList) add(r *raw, class kernels.Set, order int) {
	key := hitKey{findingKey: keyOf(r), pending: r.pending}
	if r.settled != nil {
		key.settled = string(r.settled.verdict) + "\n" + r.settled.message + "\n" + r.settled.hint
	}
	first := hitPlace{kernel: class.First(), order: order}
	if r.suggest {
		first.relo = r.need.Relo
	}
	last := hitPlace{kernel: class.Last(), order: order, candidates: r.candidates}
	if h := l.byKey[key]; h != nil {
		h.join(class, first, last)
		return
	}
	if l.byKey == nil {
		l.byKey = make(map[hitKey]*hit)
	}
	h := &hit{raw: *r, set: class.Clone(), first: first, last: last}
	l.byKey[key] = h
	l.list = append(l.list, h)
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

func keyOf(r *raw) findingKey {
	key := findingKey{rule: r.rule, program: r.program, stage: r.stage, verdict: r.verdict,
		need: NeedRef{Kind: string(r.need.Kind), Name: r.need.Name}, message: r.message, hint: r.hint}
	if line, ok := r.need.Source(); ok {
		key.source = SourceRef{File: line.File, Line: line.Line, Text: line.Text}
	}
	return key
}

// merged is a finding with its kernels.
type merged struct {
	key     findingKey
	hit     hit
	finding Finding
}

// suggestion is a finding of which the hint may name something similar in the newest kernel that has the finding.
type suggestion struct {
	finding int
	object  *relocate.Object
	relo    *relocate.Relo
	kernel  int // in the pool
}

// reporter makes a report of what was found. Sets are those of the pool.
type reporter struct {
	*Report
	pool  *kernels.Pool
	ref   *reference
	all   kernels.Set // the kernels that could be read
	index []int       // by kernel of the pool: in Report.Kernels
	ids   map[string][]string
	open  []suggestion
}

// idsOf lists the kernels of a set. Equal sets share a list.
func (r *reporter) idsOf(set kernels.Set) []string {
	key := set.Key()
	ids, ok := r.ids[key]
	if !ok {
		ids = make([]string, 0, set.Len())
		set.Each(func(k int) { ids = append(ids, r.Kernels[r.index[k]].ID) })
		r.ids[key] = ids
	}
	return ids
}

// keep returns a set for later use with Report.Kernels; nil where kernels that could not be read make other indexes.
func (r *reporter) keep(set kernels.Set) kernels.Set {
	if len(r.Kernels) != len(r.index) {
		return nil
	}
	return set
}

// settle decides a finding on a name that the kernel's vmlinux does not have and a module might, now that all kernels
// were looked at. Where other kernels have it in a module, it is not known of kernels without the BTF of that module, and
// not in those with it. Otherwise, what any vmlinux has is built-in code, and gone here; but of a name that begins as names in
// modules do a module may be the owner, unless a kernel of the same distro and architecture has it built in. What no kernel
// at hand has, nor is like a module's, is not there.
func (ref *reference) settle(h *hit) []*hit {
	if h.pending == (builtName{}) {
		return []*hit{h}
	}
	if mods := ref.modulesWith(h.pending); len(mods) > 0 {
		with := h.set.Clone()
		for _, m := range mods {
			with.And(ref.havingModule(m))
		}
		var out []*hit
		if !with.Empty() {
			out = append(out, h.on(with, *h.settled))
		}
		if h.set.AndNot(with); !h.set.Empty() {
			out = append(out, h.on(h.set, inModule(h.raw, mods)))
		}
		return out
	}
	lines := ref.builtIn(h.pending)
	switch {
	case likeModules(h.pending.name):
		// Of another line's kernels it may be that what is built into them is in modules here.
		gone := h.set.Clone()
		if gone.And(ref.builtInOf(lines)); gone.Empty() {
			break
		}
		rest := h.set.Clone()
		if rest.AndNot(gone); rest.Empty() {
			h.raw = *h.settled
			break
		}
		return []*hit{h.on(gone, *h.settled), h.on(rest, h.raw)}
	case len(lines) > 0:
		h.raw = *h.settled
	default:
		h.raw = *h.settled
		h.hint = "no kernel at hand has it, and it is not named like something of a module: check the spelling; otherwise " + h.hint
	}
	return []*hit{h}
}

// on is another finding in place of this one, on some of its kernels.
func (h *hit) on(set kernels.Set, r raw) *hit {
	x := &hit{raw: r, set: set, first: h.first, last: h.last}
	if !set.Has(x.first.kernel) {
		x.first.kernel = set.First()
	}
	if !set.Has(x.last.kernel) {
		x.last.kernel = set.Last()
	}
	return x
}

// inModule is a finding that waited, on a name that other kernels have in modules.
func inModule(r raw, mods []string) raw {
	list := "module " + mods[0]
	if len(mods) > 1 {
		list = "modules " + strings.Join(mods[:len(mods)-1], ", ") + " and " + mods[len(mods)-1]
	}
	r.message = strings.Replace(r.message, inNoVmlinux, " is in "+list+" of other kernels, and the BTF of that is not known of this one", 1)
	return r
}

// addObject puts the hits of an object into the report.
func (r *reporter) addObject(o *relocate.Object, hits []*hit) {
	byKey := make(map[findingKey]*merged)
	var list []*merged
	var settled []*hit
	for _, h := range hits {
		if h.set.And(r.all); !h.set.Empty() {
			settled = append(settled, r.ref.settle(h)...)
		}
	}
	for _, h := range settled {
		x := h.raw
		if x.suggest && h.first.relo == nil {
			h.first.relo = x.need.Relo
		} else if !x.suggest {
			h.first.relo = nil
		}
		key := keyOf(&x)
		if m := byKey[key]; m != nil {
			m.hit.join(h.set, h.first, h.last)
			continue
		}
		m := &merged{key: key, hit: *h}
		m.finding = Finding{Code: x.rule.Code, Title: x.rule.Title, Verdict: x.verdict, Stage: x.stage.String(),
			Object: o.Name, Need: key.need, Message: x.message, Hint: x.hint}
		if x.program >= 0 {
			m.finding.Program = o.Programs[x.program].Name
		}
		if key.source != (SourceRef{}) {
			m.finding.Source = &m.key.source
		}
		byKey[key] = m
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b *merged) int {
		return cmp.Or(cmp.Compare(a.key.program, b.key.program), a.finding.compare(&b.finding))
	})
	first := len(r.Findings)
	for _, m := range list {
		m.finding.Kernels, m.finding.set = r.idsOf(m.hit.set), r.keep(m.hit.set)
		m.finding.Candidates = m.hit.last.candidates // the newest kernel's stand for all
		if m.hit.first.relo != nil {
			r.open = append(r.open, suggestion{finding: len(r.Findings), object: o, relo: m.hit.first.relo, kernel: m.hit.set.Last()})
		}
		r.Findings = append(r.Findings, m.finding)
	}
	r.Objects = append(r.Objects, r.objectReport(o, list, first))
}

// suggest improves hints, kernel by kernel: a kernel is read once more for all its suggestions.
func (r *reporter) suggest() {
	slices.SortStableFunc(r.open, func(a, b suggestion) int { return cmp.Compare(a.kernel, b.kernel) })
	v := r.pool.NewView()
	near := newNearNames(v)
	for len(r.open) > 0 {
		k, n := r.open[0].kernel, 0
		for n < len(r.open) && r.open[n].kernel == k {
			n++
		}
		one := kernels.NewSet(len(r.pool.Kernels()))
		one.Add(k)
		v.Classes(one, func() { // of one that can't be read any more the hints stay as they are
			target := newFacts(v).target()
			target.EnumsWith, target.Near = v.EnumsWith, near.of
			for _, s := range r.open[:n] {
				r.improve(&s, target)
			}
		}, func(kernels.Set) {})
		r.open = r.open[n:]
	}
}

// nearNames finds names that are near others, in names that are read once for all kernels of one part of the pool.
type nearNames struct {
	v     *kernels.View
	part  []int // by kernel
	cur   int
	names map[btfinfo.Kind][]string
	found map[nearKey][]string
}

type nearKey struct {
	kind btfinfo.Kind
	want string
}

func newNearNames(v *kernels.View) *nearNames {
	n := &nearNames{v: v, part: make([]int, len(v.Pool().Kernels())), cur: -1}
	for i, set := range v.Pool().Parts() {
		set.Each(func(k int) { n.part[k] = i })
	}
	return n
}

func (n *nearNames) of(kind btfinfo.Kind, want string) []string {
	if p := n.part[n.v.Index()]; p != n.cur {
		n.cur, n.names, n.found = p, make(map[btfinfo.Kind][]string), make(map[nearKey][]string)
	}
	found, ok := n.found[nearKey{kind, want}]
	if ok {
		return found
	}
	names, ok := n.names[kind]
	if !ok {
		n.v.Names(kind, func(name string) { names = append(names, strings.Clone(name)) })
		n.names[kind] = names
	}
	for _, name := range names {
		if relocate.Near(want, btfinfo.EssentialName(name)) {
			found = append(found, name)
		}
	}
	n.found[nearKey{kind, want}] = found
	return found
}

// improve adds what may have been meant to the hint of a finding.
func (r *reporter) improve(s *suggestion, target *relocate.Target) {
	var found []string
	for _, x := range relocate.NewResolver(s.object, target).Suggest(s.relo) {
		found = append(found, x.Path+" ("+x.Why+")")
	}
	if len(found) > 0 {
		f := &r.Findings[s.finding]
		f.Hint = r.Kernels[r.index[s.kernel]].Version + " has " + strings.Join(found, ", ") + "; otherwise " + f.Hint
	}
}
