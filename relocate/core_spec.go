package relocate

import (
	"encoding/binary"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// maxSpecLen is the number of steps that an access path may have, and that a walk in the kernel's types may take:
// BPF_CORE_SPEC_MAX_LEN in libbpf v1.7's relo_core.h.
const maxSpecLen = 64

// localPointerSize is the size of a pointer in an object's own types, in bytes. libbpf's bpf_object__init_btf sets it for
// every object; that of a kernel is guessed from its BTF.
const localPointerSize = 8

// Spec is a CO-RE record read against the object's own BTF: what the program means.
//
// Two paths are kept. Raw has every step, those into anonymous members included. Steps has the root, the named members
// and the array elements only; it is the one that is looked up in a kernel.
type Spec struct {
	Kind   ReloKind
	Root   btfinfo.ID // as in the record, before modifiers and typedefs are skipped
	Raw    []int32    // the access path in numbers; empty for kinds that ask about a type
	Steps  []Step     // empty for kinds that ask about a type; one, the enumerator, for those that ask about an enumerator
	BitOff uint32     // of the field from the start of the root, in bits

	btf  *btfinfo.BTF
	calc calcResult // the value in the object's own BTF
	bad  problem    // why there is no value
}

// Step is one turn of a named path.
type Step struct {
	Type  btfinfo.ID // the struct or union that has the member, the enum, or the type of the array's elements
	Index int32      // of the member, the enumerator or the element
	Name  string     // of the member or enumerator; "" for the root and for elements
	Field btfinfo.ID // the member's type, as declared; 0 where Name is ""
}

// problem is a reason with its text, which is written only where somebody asked for it.
type problem struct {
	reason Reason
	detail string
}

// RootName is the name of the root type, with its flavour: "task_struct___old".
func (s *Spec) RootName() string { return s.btf.Type(s.Root).Name() }

// EssentialName is the name of the root type in the kernel: "task_struct".
func (s *Spec) EssentialName() string { return btfinfo.EssentialName(s.RootName()) }

// RootKind is the kind of the root type, before typedefs are skipped.
func (s *Spec) RootKind() btfinfo.Kind { return s.btf.Type(s.Root).Kind() }

// RootString names the root type as C does, without its flavour: "struct task_struct", "atomic_t".
func (s *Spec) RootString() string {
	return s.RootKind().Tag() + nameOr(s.EssentialName(), "(anonymous)")
}

// Path is the record as a kernel developer writes it, without the flavour: "struct task_struct.comm[3]",
// "enum bpf_func_id.BPF_FUNC_loop", "struct task_struct".
func (s *Spec) Path() string { return s.path(len(s.Steps)) }

// path is Path up to the first n steps.
func (s *Spec) path(n int) string {
	var b strings.Builder
	b.WriteString(s.RootString())
	b.WriteString(s.tail(0, n))
	return b.String()
}

// tail writes the steps from index i up to n: ".comm[3]".
func (s *Spec) tail(i, n int) string {
	var b strings.Builder
	for ; i < n; i++ {
		st := s.Steps[i]
		switch {
		case s.Kind.IsEnumval():
			b.WriteByte('.')
			b.WriteString(btfinfo.EssentialName(st.Name))
		case st.Name != "":
			b.WriteByte('.')
			b.WriteString(st.Name)
		case i > 0 || st.Index != 0:
			fmt.Fprintf(&b, "[%d]", st.Index)
		}
	}
	return b.String()
}

// Member is the last named member of the path, "" for kinds that ask about a type and for paths without a member; for
// kinds that ask about an enumerator its name, without flavour.
func (s *Spec) Member() string {
	for i := len(s.Steps) - 1; i >= 0; i-- {
		if n := s.Steps[i].Name; n != "" {
			if s.Kind.IsEnumval() {
				return btfinfo.EssentialName(n)
			}
			return n
		}
	}
	return ""
}

// FieldType is the type, in the object's own BTF, of the field that the path leads to: that of the last member as it is
// declared, or of the array element. It is the root for paths without steps and for kinds that ask about a type.
func (s *Spec) FieldType() btfinfo.ID {
	if len(s.Steps) == 0 || !s.Kind.IsField() {
		return s.Root
	}
	if st := s.Steps[len(s.Steps)-1]; st.Name != "" {
		return st.Field
	} else {
		return st.Type
	}
}

// Orig is the value of the record in the object's own BTF, which is the one that the compiler put into the instruction
// (but for bitfields and type ids, where the two may differ).
func (s *Spec) Orig() uint64 { return s.calc.val }

// Spec reads a record against the object's BTF, once; later calls return the same *Spec. A record that makes no sense
// there gives a *btfinfo.Error: libbpf refuses to load such an object.
//
// It is bpf_core_parse_spec of libbpf v1.7.
func (o *Object) Spec(r *Relo) (*Spec, error) {
	s, bad := o.spec(r)
	if bad.reason != ReasonNone {
		return nil, o.reloError(r, bad.detail)
	}
	return s, nil
}

func (o *Object) reloError(r *Relo, msg string) error {
	return &btfinfo.Error{
		File: o.File, Section: ".BTF.ext", Off: -1,
		Msg:  fmt.Sprintf("CO-RE record %d (%s, type [%d], access %q, instruction at %#x of %s): %s", r.Index, r.Kind, r.Type, r.Access, r.Off, r.Section, msg),
		Hint: "the object is damaged, or was changed after it was compiled; build it again",
	}
}

// parsedSpec is what parseSpec returned.
type parsedSpec struct {
	spec *Spec
	bad  problem
}

func (o *Object) spec(r *Relo) (*Spec, problem) {
	if p := r.parsed.Load(); p != nil {
		return p.spec, p.bad
	}
	s, bad := parseSpec(o.BTF, r, o.bigEndian())
	r.parsed.Store(&parsedSpec{s, bad})
	return s, bad
}

func (o *Object) bigEndian() bool { return o.ByteOrder == binary.BigEndian }

func malformed(format string, args ...any) problem {
	return problem{ReasonMalformed, fmt.Sprintf(format, args...)}
}

// parseSpec is bpf_core_parse_spec, and the half of bpf_core_calc_relo that concerns the object's own types.
func parseSpec(b *btfinfo.BTF, r *Relo, bigEndian bool) (*Spec, problem) {
	if b == nil {
		return nil, malformed("the object has no BTF")
	}
	if uint64(r.Type) >= uint64(b.NumTypes()) {
		return nil, malformed("root type is [%d], there are %d types", r.Type, b.NumTypes())
	}
	if r.Kind >= numReloKinds {
		return nil, malformed("kind is %d, known are 0 to %d", uint32(r.Kind), uint32(numReloKinds-1))
	}
	if r.Off%8 != 0 {
		return nil, malformed("the instruction is at byte %d, want a multiple of 8", r.Off)
	}
	s := &Spec{Kind: r.Kind, Root: r.Type, btf: b}
	if r.Kind.IsType() {
		if r.Access != "0" {
			return nil, malformed("a record about a type has the access path %q, want \"0\"", r.Access)
		}
		s.calc, s.bad = calcType(r.Kind, b, r.Type, localPointerSize, true)
		return s, problem{}
	}
	if bad := s.parsePath(r.Access); bad.reason != ReasonNone {
		return nil, bad
	}
	root := b.Skip(r.Type)
	first := s.Raw[0]
	if r.Kind.IsEnumval() {
		switch {
		case !root.Kind().IsEnum():
			return nil, malformed("root type [%d] is a %s, want an enum", r.Type, root.Kind())
		case len(s.Raw) > 1:
			return nil, malformed("the access path of an enumerator has %d steps, want 1", len(s.Raw))
		case int(first) >= root.Vlen():
			return nil, malformed("enumerator %d of type [%d], which has %d", first, root.ID(), root.Vlen())
		}
		e := root.Enumerator(int(first))
		s.Steps = []Step{{Type: root.ID(), Index: first, Name: e.Name}}
		s.calc = calcEnumval(r.Kind, root, int(first))
		return s, problem{}
	}

	steps := make([]Step, 1, len(s.Raw))
	steps[0] = Step{Type: root.ID(), Index: first}
	size, ok := sizeOf(b, root.ID(), localPointerSize)
	if !ok {
		return nil, malformed("root type [%d] %s has no size", root.ID(), root.Kind())
	}
	s.BitOff = uint32(first) * size * 8
	id := root.ID()
	for i, idx := range s.Raw[1:] {
		t := b.Skip(id)
		switch {
		case t.Kind().IsComposite():
			if int(idx) >= t.Vlen() {
				return nil, malformed("step %d of the access path is member %d of type [%d], which has %d", i+1, idx, t.ID(), t.Vlen())
			}
			m := t.Member(int(idx))
			s.BitOff += uint32(m.Off)
			if m.Name != "" {
				steps = append(steps, Step{Type: t.ID(), Index: idx, Name: m.Name, Field: m.Type})
			}
			id = m.Type
		case t.Kind() == btfinfo.KindArray:
			a := t.Array()
			elem := b.Skip(a.Elem)
			if !isFlexArray(b, steps[len(steps)-1], a) && uint32(idx) >= a.Nelems {
				return nil, malformed("step %d of the access path is element %d of array [%d], which has %d", i+1, idx, t.ID(), a.Nelems)
			}
			steps = append(steps, Step{Type: elem.ID(), Index: idx})
			size, ok := sizeOf(b, elem.ID(), localPointerSize)
			if !ok {
				return nil, malformed("the elements of array [%d] are %s, which has no size", t.ID(), elem.Kind())
			}
			s.BitOff += uint32(idx) * size * 8
			id = elem.ID()
		default:
			return nil, malformed("step %d of the access path leads into type [%d], a %s", i+1, t.ID(), t.Kind())
		}
	}
	s.Steps = steps
	s.calc, s.bad = calcField(r.Kind, b, steps[len(steps)-1], s.BitOff, localPointerSize, bigEndian, true)
	return s, problem{}
}

// parsePath reads "0:1:2". libbpf reads each number with sscanf("%d"), which also takes blanks, signs and numbers that
// overflow; no compiler writes them. Differs from libbpf 1.7: a negative index is refused, as it is since libbpf commit
// 5ca5801a (before, it was used as it stood and read memory in front of the members).
func (s *Spec) parsePath(access string) problem {
	if access == "" {
		return malformed("the access path is empty")
	}
	n := strings.Count(access, ":") + 1
	if n > maxSpecLen {
		return malformed("the access path has %d steps, the limit is %d", n, maxSpecLen)
	}
	s.Raw = make([]int32, 0, n)
	for rest := access; ; {
		num, tail, more := strings.Cut(rest, ":")
		v, err := strconv.ParseUint(num, 10, 32)
		if err != nil || v > math.MaxInt32 {
			return malformed("step %d of the access path is %q, want a number from 0 to %d", len(s.Raw), num, math.MaxInt32)
		}
		s.Raw = append(s.Raw, int32(v))
		if !more {
			return problem{}
		}
		rest = tail
	}
}

// isFlexArray tells an array that any index may be taken of: without elements, and the last member of a struct. prev is
// the step that leads to it. is_flex_arr of relo_core.c.
func isFlexArray(b *btfinfo.BTF, prev Step, a btfinfo.Array) bool {
	return prev.Name != "" && a.Nelems == 0 && int(prev.Index) == b.Type(prev.Type).Vlen()-1
}

// sizeOf is btf__resolve_size: the size of a type in bytes. (*btfinfo.BTF).SizeOf looks the size of pointers up at every
// call, and in the wrong BTF for an object's own types.
func sizeOf(b *btfinfo.BTF, id btfinfo.ID, ptrSize uint32) (uint32, bool) {
	n := uint64(1)
	for range btfinfo.MaxChain {
		t := b.Type(id)
		switch t.Kind() {
		case btfinfo.KindInt, btfinfo.KindStruct, btfinfo.KindUnion, btfinfo.KindEnum, btfinfo.KindEnum64, btfinfo.KindFloat, btfinfo.KindDatasec:
			n *= uint64(t.Size())
			return uint32(n), n <= math.MaxUint32
		case btfinfo.KindPtr:
			n *= uint64(ptrSize)
			return uint32(n), n <= math.MaxUint32
		case btfinfo.KindArray:
			n *= uint64(t.Array().Nelems)
			if n > math.MaxUint32 {
				return 0, false
			}
			id = t.Ref()
		case btfinfo.KindTypedef, btfinfo.KindVolatile, btfinfo.KindConst, btfinfo.KindRestrict, btfinfo.KindVar, btfinfo.KindDeclTag, btfinfo.KindTypeTag:
			id = t.Ref()
		default:
			return 0, false
		}
	}
	return 0, false
}

func nameOr(name, other string) string {
	if name == "" {
		return other
	}
	return name
}

// typeString names a type for people, as C would in a cast: "struct gendisk *", "unsigned int", "char[16]".
func typeString(b *btfinfo.BTF, id btfinfo.ID) string {
	suffix := ""
	for depth := 0; depth < 8; depth++ {
		t := b.Type(id)
		switch k := t.Kind(); k {
		case btfinfo.KindVoid:
			return "void" + suffix
		case btfinfo.KindPtr:
			to := b.SkipModifiers(t.Ref())
			if to.Kind() == btfinfo.KindFuncProto {
				return "function pointer" + suffix
			}
			if suffix == "" || suffix[0] != '*' {
				suffix = " *" + suffix
			} else {
				suffix = " *" + strings.TrimPrefix(suffix, " ")
			}
			id = to.ID()
			continue
		case btfinfo.KindArray:
			suffix = fmt.Sprintf("[%d]", t.Array().Nelems) + suffix
			id = t.Ref()
			continue
		case btfinfo.KindConst, btfinfo.KindVolatile, btfinfo.KindRestrict, btfinfo.KindTypeTag:
			id = t.Ref()
			continue
		case btfinfo.KindFuncProto:
			return "function" + suffix
		case btfinfo.KindFwd:
			w := "struct "
			if t.KindFlag() {
				w = "union "
			}
			return w + nameOr(t.Name(), "(anonymous)") + suffix
		default:
			return k.Tag() + nameOr(t.Name(), "(anonymous)") + suffix
		}
	}
	return "…" + suffix
}
