package relocate

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Suggestion is something in a kernel that may be what a record meant: a guess by names and types.
type Suggestion struct {
	Path string // "struct task_struct.__state", "struct request.q->disk", "struct trace_event_raw_block_rq_completion"
	Why  string // "same name but for underscores"
}

// maxSuggestions is how many are worth reading.
const maxSuggestions = 3

// guess is a Suggestion with its rank: the lower the better.
type guess struct {
	Suggestion
	rank int
}

// Suggest looks for what a record that found nothing may have meant: a member of a similar name, or one that moved into
// a struct that the old one embeds or points to; a similar or moved enumerator; a type of a similar name. The result is
// sorted, best first, and empty where nothing is near. For types and enumerators it looks through the whole kernel, which
// takes milliseconds, and it does not touch the candidate cache.
func (r *Resolver) Suggest(relo *Relo) []Suggestion {
	spec, bad := r.obj.spec(relo)
	if bad.reason != ReasonNone || relo.Kind == TypeIDLocal || spec.EssentialName() == "" {
		return nil
	}
	cands := r.candidates(spec)
	var all []guess
	switch {
	case len(cands) == 0:
		all = suggestTypes(spec, r.target)
	case spec.Kind.IsEnumval():
		all = suggestEnumerators(spec, r.target)
	case spec.Kind.IsField():
		all = r.suggestMembers(spec, cands)
	}
	slices.SortStableFunc(all, func(a, b guess) int {
		return cmp.Or(cmp.Compare(a.rank, b.rank), cmp.Compare(len(a.Path), len(b.Path)), cmp.Compare(a.Path, b.Path))
	})
	var out []Suggestion
	for _, g := range all {
		if len(out) == maxSuggestions {
			break
		}
		if !slices.ContainsFunc(out, func(s Suggestion) bool { return s.Path == g.Path }) {
			out = append(out, g.Suggestion)
		}
	}
	return out
}

// suggestTypes finds types of the same kind with a similar name.
func suggestTypes(spec *Spec, target *Target) (all []guess) {
	want, kind := spec.EssentialName(), spec.RootKind()
	b := target.Vmlinux
	add := func(t btfinfo.Type) {
		if !coreKinds(t.Kind(), kind) {
			return
		}
		name := t.Name()
		if name == "" || name == want {
			return
		}
		if d, ok := near(want, btfinfo.EssentialName(name)); ok {
			all = append(all, guess{Suggestion{t.Kind().Tag() + btfinfo.EssentialName(name), "similar name"}, d})
		}
	}
	if target.Near == nil {
		for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
			add(b.Type(id))
		}
		return all
	}
	for k := btfinfo.KindInt; k <= btfinfo.KindEnum64; k++ {
		if !coreKinds(k, kind) {
			continue
		}
		for _, name := range target.Near(k, want) {
			for _, id := range b.Named(name, k) {
				add(b.Type(id))
			}
		}
	}
	return all
}

// suggestEnumerators finds the enumerator in other enums, and similar ones in the right one.
func suggestEnumerators(spec *Spec, target *Target) (all []guess) {
	b, want := target.Vmlinux, btfinfo.EssentialName(spec.Steps[0].Name)
	own := make(map[btfinfo.ID]bool)
	b.OwnEssential(spec.EssentialName(), func(t btfinfo.Type) bool {
		enum := b.Skip(t.ID())
		if !coreKinds(t.Kind(), spec.RootKind()) || !enum.Kind().IsEnum() || own[enum.ID()] {
			return true
		}
		own[enum.ID()] = true
		for i := range enum.Vlen() {
			name := btfinfo.EssentialName(enum.Enumerator(i).Name)
			if d, ok := near(want, name); ok && name != want {
				all = append(all, guess{Suggestion{typeString(b, enum.ID()) + "." + name, "similar name"}, 1 + d})
			}
		}
		return true
	})
	target.enumsWith(want, func(t btfinfo.Type) {
		if own[t.ID()] {
			return
		}
		for i := range t.Vlen() {
			if btfinfo.EssentialName(t.Enumerator(i).Name) == want {
				all = append(all, guess{Suggestion{typeString(b, t.ID()) + "." + want, "in another enum"}, 1})
				break // another would say the same
			}
		}
	})
	return all
}

// suggestMembers looks around the place at which the path ends in each candidate.
func (r *Resolver) suggestMembers(spec *Spec, cands []cand) (all []guess) {
	for _, c := range cands {
		m := matcher{spec: spec, target: c.btf, ptrSize: r.ptrSize, steps: maxSteps}
		if m.matchSpec(c.id) != no || m.failStep >= len(spec.Steps) || m.why.reason != ReasonNoMember {
			continue
		}
		s := searcher{spec: spec, step: spec.Steps[m.failStep], b: m.target, left: maxSteps / 64}
		s.typ = typeString(spec.btf, s.step.Field)
		s.look(m.failAt, spec.path(m.failStep)+".", 0)
		all = append(all, s.found...)
	}
	return all
}

// searcher walks a struct and those near it for a member.
type searcher struct {
	spec  *Spec
	step  Step
	typ   string // the member's type as text
	b     *btfinfo.BTF
	left  int // members to look at
	found []guess
}

// look visits the members of type id, those of anonymous members as its own, then one level of structs that it embeds or
// points to. path is what to write before a member.
func (s *searcher) look(id btfinfo.ID, path string, level int) {
	t := s.b.Skip(id)
	if !t.Kind().IsComposite() {
		return
	}
	for i, n := 0, t.Vlen(); i < n; i++ {
		if s.left--; s.left < 0 {
			return
		}
		m := t.Member(i)
		if m.Name == "" {
			s.look(m.Type, path, level)
			continue
		}
		s.judge(m, path, level)
		if level > 0 {
			continue
		}
		mt := s.b.Skip(m.Type)
		switch {
		case mt.Kind().IsComposite():
			s.look(mt.ID(), path+m.Name+".", level+1)
		case mt.Kind() == btfinfo.KindPtr:
			s.look(mt.Ref(), path+m.Name+"->", level+1)
		}
	}
}

func (s *searcher) judge(m btfinfo.Member, path string, level int) {
	want := s.step.Name
	sameType := typeString(s.b, m.Type) == s.typ
	// A type says something only where it is not one that every struct has.
	telling := sameType && strings.HasPrefix(s.typ, "struct ")
	add := func(rank int, why string) {
		s.found = append(s.found, guess{Suggestion{path + m.Name, why}, rank})
	}
	d, isNear := near(want, m.Name)
	switch {
	case level == 0 && strings.Trim(m.Name, "_") == strings.Trim(want, "_"):
		add(0, "same name but for underscores")
	case level == 0 && isNear:
		add(1+d, "similar name")
	case level == 0 && telling:
		add(4, fmt.Sprintf("the same type, %s", s.typ))
	case level == 1 && m.Name == want && sameType:
		add(2, "same name and type in a struct nearby")
	case level == 1 && telling && (strings.HasSuffix(want, "_"+m.Name) || strings.HasSuffix(m.Name, "_"+want) || lastWord(want) == lastWord(m.Name)):
		add(3, fmt.Sprintf("similar name and the same type, %s", s.typ))
	}
}

func lastWord(name string) string { return name[strings.LastIndexByte(name, '_')+1:] }

// Near tells whether two names without flavours differ by so few letters that one may be the other renamed.
func Near(a, b string) bool {
	_, ok := near(a, b)
	return ok
}

// near tells whether two names differ by so few letters that one may be the other renamed: at most 3, and at most a
// quarter of the longer one.
func near(a, b string) (distance int, ok bool) {
	limit := min(3, max(len(a), len(b))/4)
	if limit == 0 || len(a)-len(b) > limit || len(b)-len(a) > limit || len(a) > 128 || len(b) > 128 {
		return 0, false
	}
	// Levenshtein's distance, one row at a time.
	var row [129]int
	for j := range b {
		row[j+1] = j + 1
	}
	for i := range a {
		diag, best := row[0], i+1
		row[0] = i + 1
		for j := range b {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(row[j+1]+1, row[j]+1, diag+cost)
			best = min(best, row[j+1])
		}
		if best > limit {
			return 0, false
		}
	}
	return row[len(b)], row[len(b)] <= limit
}
