package relocate

import (
	"fmt"
	"math"

	"github.com/corecheck/corecheck/btfinfo"
)

// maxSteps bounds the work on one record. The largest that could sensibly be asked for, TYPE_MATCHES of the whole of
// struct task_struct of Linux 7.2, takes 40,000; types made to be exponential would keep libbpf busy for ever.
const maxSteps = 1 << 20

// maxTotalSteps bounds the work of one resolver: about a second. The 510 records of libbpf-tools take 13,000 on Linux 7.2.
// Each root type has its share and at least minRootSteps, so that no record depends on those of other root types, and
// each root type can be asked of another set of kernels.
const (
	maxTotalSteps = 1 << 24
	minRootSteps  = 1 << 12
)

// rootSteps are the steps that the records of one root type may take.
func (o *Object) rootSteps() int {
	n := o.roots.Load()
	if n == 0 {
		seen := make(map[btfinfo.ID]bool)
		for _, r := range o.Relos {
			seen[r.Type] = true
		}
		n = int32(max(len(seen), 1))
		o.roots.Store(n)
	}
	return max(maxTotalSteps/int(n), minRootSteps)
}

// maxTypeDepth is the depth to which types are compared: the numbers in bpf_core_types_are_compat and bpf_core_types_match.
const maxTypeDepth = 32

// matcher compares one record with one type of a kernel. It is struct bpf_core_spec of the target, cut down to what the
// values are calculated from.
type matcher struct {
	spec    *Spec
	target  *btfinfo.BTF
	ptrSize uint32
	explain bool
	steps   int // that are left of maxSteps

	last   Step
	bitOff uint32
	rawLen int

	// why is the reason of a rejection, or of an error; failStep the step of the path that it is about, failAt the type
	// in which that was looked for.
	why      problem
	failStep int
	failAt   btfinfo.ID
}

// found is the outcome of a comparison: libbpf's 1, 0 and negative numbers.
type found int8

const (
	no found = iota
	yes
	failed
)

func (m *matcher) reject(reason Reason, format string, args ...any) found {
	m.why = explained(m.explain, reason, format, args...)
	return no
}

func (m *matcher) fail(format string, args ...any) found {
	m.why = explained(m.explain, ReasonMalformed, format, args...)
	return failed
}

// step counts a step of work; false means that there were too many.
func (m *matcher) step() bool {
	m.steps--
	if m.steps < 0 {
		m.why = explained(m.explain, ReasonMalformed, "comparing the types takes more than %d steps", maxSteps)
		return false
	}
	return true
}

// matchSpec is bpf_core_spec_match: does type id of the target stand for the root of the record.
func (m *matcher) matchSpec(id btfinfo.ID) found {
	s := m.spec
	m.last, m.bitOff, m.rawLen, m.why = Step{}, 0, 0, problem{}
	if !m.step() {
		return failed
	}
	switch {
	case s.Kind == TypeMatches:
		return m.typesMatch(s.Root, id, false, maxTypeDepth)
	case s.Kind.IsType():
		return m.typesCompat(s.Root, id, maxTypeDepth)
	case s.Kind.IsEnumval():
		return m.matchEnumerator(id)
	}
	for i := range s.Steps {
		st := &s.Steps[i]
		m.failStep, m.failAt = i, id
		if st.Name != "" {
			next := btfinfo.ID(0)
			if f := m.matchMember(st, id, &next); f != yes {
				if f == no && m.why.reason == ReasonNone {
					m.rejectMember(i, id)
				}
				return f
			}
			id = next
			continue
		}
		t := m.target.Skip(id)
		if i > 0 {
			if t.Kind() != btfinfo.KindArray {
				return m.reject(ReasonNotComposite, "%s is %s, no array", s.path(i), typeString(m.target, id))
			}
			a := t.Array()
			if !isFlexArray(m.target, m.last, a) && uint32(st.Index) >= a.Nelems {
				return m.reject(ReasonArrayIndex, "%s has %d elements, index is %d", s.path(i), a.Nelems, st.Index)
			}
			t = m.target.Skip(a.Elem)
		}
		if m.rawLen == maxSpecLen {
			return m.fail("the path is more than %d steps long here", maxSpecLen)
		}
		m.rawLen++
		id = t.ID()
		m.last = Step{Type: id, Index: st.Index}
		size, ok := sizeOf(m.target, id, m.ptrSize)
		if !ok || size > math.MaxInt32 {
			return m.fail("%s has no size that an array could be made of", typeString(m.target, id))
		}
		m.bitOff += uint32(st.Index) * size * 8
	}
	return yes
}

// rejectMember says why step i was not found in type id.
func (m *matcher) rejectMember(i int, id btfinfo.ID) {
	name := m.spec.Steps[i].Name
	t := m.target.Skip(id)
	switch {
	case t.Kind().IsComposite():
		m.reject(ReasonNoMember, "no member '%s' in %s (%d members, %d bytes)", name, typeString(m.target, id), t.Vlen(), t.Size())
	case t.Kind() == btfinfo.KindFwd:
		m.reject(ReasonNotComposite, "%s is only declared, so that '%s' can't be found", typeString(m.target, id), name)
	default:
		m.reject(ReasonNotComposite, "%s is %s, without members", m.spec.path(i), typeString(m.target, id))
	}
}

// matchEnumerator is the part of bpf_core_spec_match for enumerators.
func (m *matcher) matchEnumerator(id btfinfo.ID) found {
	t := m.target.Skip(id)
	if !t.Kind().IsEnum() {
		return m.reject(ReasonNotComposite, "%s is %s, no enum", m.spec.RootString(), typeString(m.target, t.ID()))
	}
	want := btfinfo.EssentialName(m.spec.Steps[0].Name)
	for i, n := 0, t.Vlen(); i < n; i++ {
		if !m.step() {
			return failed
		}
		if e := t.Enumerator(i).Name; e == want || len(e) > len(want) && btfinfo.EssentialName(e) == want {
			m.last = Step{Type: t.ID(), Index: int32(i), Name: e}
			m.rawLen++
			return yes
		}
	}
	return m.reject(ReasonNoEnumerator, "no enumerator '%s' in %s (%d enumerators)", want, typeString(m.target, id), t.Vlen())
}

// matchMember is bpf_core_match_member: it finds the member of step local in type id of the target, depth first through
// anonymous members, and leaves its type in next.
//
// As in libbpf, a member of the right name and a wrong type ends the search in its struct, and where that is an anonymous
// member, the search goes on behind it with the offset of the wrong member still added. C has no struct in which that
// shows, since the members of anonymous ones share their names with those around them.
func (m *matcher) matchMember(local *Step, id btfinfo.ID, next *btfinfo.ID) found {
	t := m.target.Skip(id)
	if !t.Kind().IsComposite() {
		return no
	}
	for i, n := 0, t.Vlen(); i < n; i++ {
		if !m.step() {
			return failed
		}
		if m.rawLen == maxSpecLen {
			return m.fail("members are nested more than %d deep here", maxSpecLen)
		}
		is, anonymous := t.MemberIs(i, local.Name)
		if !is && !anonymous {
			continue
		}
		mem := t.Member(i)
		m.bitOff += uint32(mem.Off)
		m.rawLen++
		if anonymous {
			if f := m.matchMember(local, mem.Type, next); f != no {
				return f
			}
		} else {
			*next = mem.Type
			if !m.fieldsCompat(local.Field, mem.Type) {
				return m.reject(ReasonIncompatible, "'%s' is %s here, was %s", mem.Name, typeString(m.target, mem.Type), typeString(m.spec.btf, local.Field))
			}
			m.last = Step{Type: t.ID(), Index: int32(i), Name: mem.Name, Field: mem.Type}
			m.why = problem{}
			return yes
		}
		m.bitOff -= uint32(mem.Off)
		m.rawLen--
	}
	return no
}

// coreKinds is btf_kind_core_compat: the same kind, or an ENUM and an ENUM64.
func coreKinds(a, b btfinfo.Kind) bool { return a == b || a.IsEnum() && b.IsEnum() }

// fieldsCompat is bpf_core_fields_are_compat. It ends with the local type's chain of arrays: btfinfo refuses those that don't
// end.
func (m *matcher) fieldsCompat(local, target btfinfo.ID) bool {
	for {
		l, t := m.spec.btf.Skip(local), m.target.Skip(target)
		if l.Kind().IsComposite() && t.Kind().IsComposite() {
			return true
		}
		if !coreKinds(l.Kind(), t.Kind()) {
			return false
		}
		switch l.Kind() {
		case btfinfo.KindPtr, btfinfo.KindFloat:
			return true
		case btfinfo.KindFwd, btfinfo.KindEnum, btfinfo.KindEnum64:
			ln, tn := l.Name(), t.Name()
			return ln == "" || tn == "" || ln == tn || btfinfo.EssentialName(ln) == btfinfo.EssentialName(tn)
		case btfinfo.KindInt:
			return l.Int().Off == 0 && t.Int().Off == 0
		case btfinfo.KindArray:
			local, target = l.Ref(), t.Ref()
		default:
			return false
		}
	}
}

// typesCompat is __bpf_core_types_are_compat, which answers TYPE_EXISTS, TYPE_SIZE and TYPE_ID_TARGET. Names count at the
// root only.
func (m *matcher) typesCompat(local, target btfinfo.ID, level int) found {
	if !coreKinds(m.spec.btf.Type(local).Kind(), m.target.Type(target).Kind()) {
		return m.mismatch(local, target)
	}
	for depth := maxTypeDepth; ; {
		if depth--; depth < 0 {
			return m.fail("types are nested more than %d deep", maxTypeDepth)
		}
		if !m.step() {
			return failed
		}
		l, t := m.spec.btf.Skip(local), m.target.Skip(target)
		local, target = l.ID(), t.ID()
		if !coreKinds(l.Kind(), t.Kind()) {
			return m.mismatch(local, target)
		}
		switch l.Kind() {
		case btfinfo.KindVoid, btfinfo.KindStruct, btfinfo.KindUnion, btfinfo.KindEnum, btfinfo.KindEnum64, btfinfo.KindFwd:
			return yes
		case btfinfo.KindInt:
			if l.Int().Off != 0 || t.Int().Off != 0 {
				return m.mismatch(local, target)
			}
			return yes
		case btfinfo.KindPtr, btfinfo.KindArray:
			local, target = l.Ref(), t.Ref()
		case btfinfo.KindFuncProto:
			if l.Vlen() != t.Vlen() {
				return m.reject(ReasonTypeMismatch, "the function takes %d arguments here, took %d", t.Vlen(), l.Vlen())
			}
			for i, n := 0, l.Vlen(); i < n; i++ {
				if level <= 0 {
					return m.fail("functions are nested more than %d deep", maxTypeDepth)
				}
				lp, tp := m.spec.btf.Skip(l.Param(i).Type), m.target.Skip(t.Param(i).Type)
				if f := m.typesCompat(lp.ID(), tp.ID(), level-1); f != yes {
					return f
				}
			}
			local, target = m.spec.btf.Skip(l.Ref()).ID(), m.target.Skip(t.Ref()).ID()
		default: // FLOAT, FUNC, VAR …: "unexpected kind"
			return m.reject(ReasonTypeMismatch, "types of kind %s are never compatible", l.Kind())
		}
	}
}

// mismatch rejects two types, naming both.
func (m *matcher) mismatch(local, target btfinfo.ID) found {
	if !m.explain {
		return m.reject(ReasonTypeMismatch, "")
	}
	l, t := typeString(m.spec.btf, local), typeString(m.target, target)
	if l == t {
		l, t = fmt.Sprintf("%s (%s)", l, m.spec.btf.Skip(local).Kind()), fmt.Sprintf("%s (%s)", t, m.target.Skip(target).Kind())
	}
	return m.reject(ReasonTypeMismatch, "%s here, was %s", t, l)
}

// namesMatch is bpf_core_names_match.
func namesMatch(local, target string) bool {
	return local == target || target != "" && btfinfo.EssentialName(local) == btfinfo.EssentialName(target)
}

// typesMatch is __bpf_core_types_match, which answers TYPE_MATCHES.
func (m *matcher) typesMatch(local, target btfinfo.ID, behindPtr bool, level int) found {
	if level <= 0 {
		return m.fail("types are nested more than %d deep", maxTypeDepth)
	}
	for depth := maxTypeDepth; ; {
		if depth--; depth < 0 {
			return m.fail("types are nested more than %d deep", maxTypeDepth)
		}
		if !m.step() {
			return failed
		}
		l, t := m.spec.btf.Skip(local), m.target.Skip(target)
		local, target = l.ID(), t.ID()
		lk, tk := l.Kind(), t.Kind()
		if !namesMatch(l.Name(), t.Name()) {
			return m.mismatch(local, target)
		}
		switch lk {
		case btfinfo.KindVoid:
			return m.matchIf(lk == tk, local, target)
		case btfinfo.KindFwd:
			ok := lk == tk && l.KindFlag() == t.KindFlag()
			if behindPtr && lk != tk {
				ok = tk == btfinfo.KindStruct && !l.KindFlag() || tk == btfinfo.KindUnion && l.KindFlag()
			}
			return m.matchIf(ok, local, target)
		case btfinfo.KindEnum, btfinfo.KindEnum64:
			if !tk.IsEnum() {
				return m.mismatch(local, target)
			}
			return m.enumsMatch(l, t)
		case btfinfo.KindStruct, btfinfo.KindUnion:
			if behindPtr {
				ok := lk == tk || tk == btfinfo.KindFwd && (lk == btfinfo.KindUnion) == t.KindFlag()
				return m.matchIf(ok, local, target)
			}
			if lk != tk {
				return m.mismatch(local, target)
			}
			return m.compositesMatch(l, t, level)
		case btfinfo.KindInt:
			ok := lk == tk && l.Size() == t.Size() && l.Int().Signed == t.Int().Signed
			if !ok && lk == tk {
				return m.reject(ReasonTypeMismatch, "%s is %s here, was %s", nameOr(l.Name(), "an integer"), intString(t), intString(l))
			}
			return m.matchIf(ok, local, target)
		case btfinfo.KindPtr:
			if lk != tk {
				return m.mismatch(local, target)
			}
			behindPtr = true
			local, target = l.Ref(), t.Ref()
		case btfinfo.KindArray:
			if lk != tk {
				return m.mismatch(local, target)
			}
			if la, ta := l.Array(), t.Array(); la.Nelems != ta.Nelems {
				return m.reject(ReasonTypeMismatch, "an array has %d elements here, had %d", ta.Nelems, la.Nelems)
			}
			local, target = l.Ref(), t.Ref()
		case btfinfo.KindFuncProto:
			if lk != tk {
				return m.mismatch(local, target)
			}
			if l.Vlen() != t.Vlen() {
				return m.reject(ReasonTypeMismatch, "a function takes %d arguments here, took %d", t.Vlen(), l.Vlen())
			}
			for i, n := 0, l.Vlen(); i < n; i++ {
				if f := m.typesMatch(l.Param(i).Type, t.Param(i).Type, behindPtr, level-1); f != yes {
					return f
				}
			}
			local, target = l.Ref(), t.Ref()
		default: // FLOAT, FUNC, VAR …: "unexpected kind"
			return m.reject(ReasonTypeMismatch, "types of kind %s never match", lk)
		}
	}
}

func (m *matcher) matchIf(ok bool, local, target btfinfo.ID) found {
	if ok {
		return yes
	}
	return m.mismatch(local, target)
}

func intString(t btfinfo.Type) string {
	sign := "unsigned"
	if t.Int().Signed {
		sign = "signed"
	}
	return fmt.Sprintf("%s, %s", sign, bytesString(t.Size()))
}

// enumsMatch is bpf_core_enums_match: sizes are equal, and every local enumerator is there, of whatever value.
func (m *matcher) enumsMatch(l, t btfinfo.Type) found {
	if l.Size() != t.Size() {
		return m.reject(ReasonTypeMismatch, "%s has %s here, had %s", typeString(m.target, t.ID()), bytesString(t.Size()), bytesString(l.Size()))
	}
	if l.Vlen() > t.Vlen() {
		return m.reject(ReasonTypeMismatch, "%s has %d enumerators here, had %d", typeString(m.target, t.ID()), t.Vlen(), l.Vlen())
	}
	for i, n := 0, l.Vlen(); i < n; i++ {
		name, ok := l.Enumerator(i).Name, false
		for j, n := 0, t.Vlen(); j < n && !ok; j++ {
			if !m.step() {
				return failed
			}
			ok = namesMatch(name, t.Enumerator(j).Name)
		}
		if !ok {
			return m.reject(ReasonTypeMismatch, "no enumerator '%s' in %s", btfinfo.EssentialName(name), typeString(m.target, t.ID()))
		}
	}
	return yes
}

// compositesMatch is bpf_core_composites_match: every local member is there and matches. Anonymous members are looked for
// by their empty name, so that a member that moved into one is not found.
func (m *matcher) compositesMatch(l, t btfinfo.Type, level int) found {
	if l.Vlen() > t.Vlen() {
		return m.reject(ReasonTypeMismatch, "%s has %d members here, had %d", typeString(m.target, t.ID()), t.Vlen(), l.Vlen())
	}
	for i, n := 0, l.Vlen(); i < n; i++ {
		lm, ok, seen := l.Member(i), no, false
		for j, n := 0, t.Vlen(); j < n && ok == no; j++ {
			if !m.step() {
				return failed
			}
			tm := t.Member(j)
			if !namesMatch(lm.Name, tm.Name) {
				continue
			}
			seen = true
			ok = m.typesMatch(lm.Type, tm.Type, false, level-1)
		}
		switch {
		case ok == failed:
			return failed
		case ok == no && !seen:
			return m.reject(ReasonTypeMismatch, "no member '%s' in %s", nameOr(lm.Name, "(anonymous)"), typeString(m.target, t.ID()))
		case ok == no && m.explain:
			return m.reject(ReasonTypeMismatch, "member '%s': %s", nameOr(lm.Name, "(anonymous)"), m.why.detail)
		case ok == no:
			return no
		}
	}
	return yes
}
