package compat

import (
	"cmp"
	"slices"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// answer is what kernels say to one program.
type answer struct {
	load, attach, verdict Status
	findings              []int
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

// cell is a set of kernels that have the same findings, with what these come to.
type cell struct {
	set kernels.Set
	answer
}

// cells splits all kernels by the findings that concerns tells of, in the order of their first kernels. start is the
// answer without any.
func (r *reporter) cells(list []*merged, first int, start answer, concerns func(m *merged) bool) []cell {
	// Most findings share their kernels with others.
	bySet := make(map[string][]int)
	var sets []string
	for i, m := range list {
		if !concerns(m) {
			continue
		}
		key := m.hit.set.Key()
		if bySet[key] == nil {
			sets = append(sets, key)
		}
		bySet[key] = append(bySet[key], i)
	}
	type split struct {
		set  kernels.Set
		with []int // indexes in sets
	}
	parts := []split{{set: r.all.Clone()}}
	if r.all.Empty() {
		parts = nil
	}
	for i, key := range sets {
		set := list[bySet[key][0]].hit.set
		for j := range parts {
			p := &parts[j]
			if !p.set.Intersects(set) {
				continue
			}
			in := p.set.Clone()
			in.And(set)
			if p.set.AndNot(set); p.set.Empty() {
				p.set, p.with = in, append(p.with, i)
			} else {
				parts = append(parts, split{in, append(slices.Clip(slices.Clone(p.with)), i)})
			}
		}
	}
	out := make([]cell, len(parts))
	for j, p := range parts {
		var findings []int
		for _, i := range p.with {
			findings = append(findings, bySet[sets[i]]...)
		}
		slices.Sort(findings)
		x := cell{set: p.set, answer: start}
		for _, i := range findings {
			x.apply(list[i], first+i)
		}
		out[j] = x
	}
	slices.SortFunc(out, func(a, b cell) int { return cmp.Compare(a.set.First(), b.set.First()) })
	return out
}

func (r *reporter) objectReport(o *relocate.Object, list []*merged, first int) ObjectReport {
	rep := ObjectReport{File: o.File, Name: o.Name, SHA256: o.SHA256, Programs: []ProgramReport{}, Results: []ObjectResult{}}
	// What concerns the object as a whole, and then each program: which it comes to on which kernels.
	whole := verdicts(r.cells(list, first, answer{load: OK, attach: None}, func(m *merged) bool { return m.key.program < 0 }))
	type state struct {
		set      kernels.Set
		object   answer
		programs []answer
	}
	var states []state
	for _, c := range whole {
		states = append(states, state{set: c.set, object: c.answer})
	}
	for p, prog := range o.Programs {
		cells := r.cells(list, first, answer{load: OK, attach: attachable(prog)}, func(m *merged) bool { return m.key.program < 0 || m.key.program == p })
		pr := ProgramReport{Name: prog.Name, Section: prog.Section, Type: prog.Sec.ProgType, AttachTo: attachTo(prog), Autoload: prog.Sec.Autoload,
			Results: []ProgramResult{}}
		for i := range cells {
			c := &cells[i]
			fs := c.findings
			if fs == nil {
				fs = []int{}
			}
			pr.Results = append(pr.Results, ProgramResult{Kernels: r.idsOf(c.set), Load: c.load, Attach: c.attach, Verdict: c.verdictOf(), Findings: fs,
				set: r.keep(c.set)})
		}
		rep.Programs = append(rep.Programs, pr)
		var next []state
		for _, v := range verdicts(cells) {
			for _, s := range states {
				if s.set.Intersects(v.set) {
					set := s.set.Clone()
					set.And(v.set)
					next = append(next, state{set, s.object, append(slices.Clip(s.programs), v.answer)})
				}
			}
		}
		states = next
	}
	var results []objectCell
	for _, s := range states {
		results = addResult(results, objectResult(o, s.object, s.programs), s.set)
	}
	slices.SortFunc(results, func(a, b objectCell) int { return cmp.Compare(a.set.First(), b.set.First()) })
	for _, c := range results {
		c.result.Kernels, c.result.set = r.idsOf(c.set), r.keep(c.set)
		rep.Results = append(rep.Results, c.result)
	}
	return rep
}

// verdicts puts cells of the same load and verdict together, without their findings.
func verdicts(cells []cell) []cell {
	var out []cell
	for i := range cells {
		a := answer{load: cells[i].load, attach: None, verdict: cells[i].verdictOf()}
		j := slices.IndexFunc(out, func(c cell) bool { return c.load == a.load && c.verdict == a.verdict })
		if j < 0 {
			out = append(out, cell{set: cells[i].set.Clone(), answer: a})
			continue
		}
		out[j].set.Or(cells[i].set)
	}
	return out
}

// objectCell is what an object comes to on a set of kernels.
type objectCell struct {
	set    kernels.Set
	result ObjectResult
}

func addResult(list []objectCell, x ObjectResult, set kernels.Set) []objectCell {
	for i := range list {
		if list[i].result.Load == x.Load && list[i].result.Verdict == x.Verdict {
			list[i].set.Or(set)
			return list
		}
	}
	return append(list, objectCell{set.Clone(), x})
}
