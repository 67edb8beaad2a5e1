package btfinfo

import "fmt"

// Kind is a BTF kind, numbered as in include/uapi/linux/btf.h.
type Kind uint8

const (
	KindVoid Kind = iota // BTF_KIND_UNKN: only type 0 has it
	KindInt
	KindPtr
	KindArray
	KindStruct
	KindUnion
	KindEnum
	KindFwd
	KindTypedef
	KindVolatile
	KindConst
	KindRestrict
	KindFunc
	KindFuncProto
	KindVar
	KindDatasec
	KindFloat
	KindDeclTag
	KindTypeTag
	KindEnum64
)

var kindNames = [...]string{
	"VOID", "INT", "PTR", "ARRAY", "STRUCT", "UNION", "ENUM", "FWD", "TYPEDEF", "VOLATILE", "CONST", "RESTRICT",
	"FUNC", "FUNC_PROTO", "VAR", "DATASEC", "FLOAT", "DECL_TAG", "TYPE_TAG", "ENUM64",
}

// String returns the name as bpftool prints it: "STRUCT", "FUNC_PROTO".
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("KIND(%d)", uint8(k))
}

// Tag is the word that C writes before the name of a type of this kind, with a space: "struct ", "union ", "enum ", or "".
func (k Kind) Tag() string {
	switch k {
	case KindStruct:
		return "struct "
	case KindUnion:
		return "union "
	case KindEnum, KindEnum64:
		return "enum "
	}
	return ""
}

// IsEnum tells an ENUM or ENUM64.
func (k Kind) IsEnum() bool { return k == KindEnum || k == KindEnum64 }

// IsComposite tells a STRUCT or UNION.
func (k Kind) IsComposite() bool { return k == KindStruct || k == KindUnion }

// IsModifier tells CONST, VOLATILE, RESTRICT and TYPE_TAG: btf_is_mod of libbpf. A TYPEDEF is none.
func (k Kind) IsModifier() bool {
	return k == KindConst || k == KindVolatile || k == KindRestrict || k == KindTypeTag
}

// Type is a view of one type: small, without allocation, decoded as it is asked. Its accessors are meaningful for the
// kinds that their comments name, and return zero values for others.
type Type struct {
	b  *BTF
	id ID
	w  []uint32 // struct btf_type and what follows; nil for void
}

// Type returns the type with this id. It panics where id is not below NumTypes, as an index out of range does; ids
// found in a parsed BTF are always valid in it.
func (b *BTF) Type(id ID) Type {
	if id == 0 {
		return Type{b: b}
	}
	return Type{b: b, id: id, w: b.at(id)}
}

// BTF returns the BTF through which the type was looked up. (For a base type reached through a split BTF: the split.)
func (t Type) BTF() *BTF { return t.b }

// ID of the type.
func (t Type) ID() ID { return t.id }

// Kind of the type; KindVoid for type 0.
func (t Type) Kind() Kind {
	if t.w == nil {
		return KindVoid
	}
	return Kind(t.w[1] >> 24 & 0x1f)
}

// KindFlag is the top bit of info. STRUCT, UNION: member offsets hold bitfield sizes. ENUM, ENUM64: values are signed.
// FWD: of a union. DECL_TAG, TYPE_TAG: an attribute.
func (t Type) KindFlag() bool { return t.w != nil && t.w[1]>>31 != 0 }

// Name of the type, "" where it has none.
func (t Type) Name() string {
	if t.w == nil {
		return ""
	}
	return t.b.str(t.w[0])
}

// Vlen is the number of members, enumerators, parameters or variables. For FUNC it is the linkage (btf_func_linkage).
func (t Type) Vlen() int {
	if t.w == nil {
		return 0
	}
	return int(t.w[1] & btfMaxVlen)
}

// Size in bytes as stored: INT, STRUCT, UNION, ENUM, ENUM64, FLOAT, DATASEC. See (*BTF).SizeOf for any type.
func (t Type) Size() uint32 {
	switch t.Kind() {
	case KindInt, KindStruct, KindUnion, KindEnum, KindEnum64, KindFloat, KindDatasec:
		return t.w[2]
	}
	return 0
}

// Ref is the type that this one refers to: PTR, TYPEDEF, the modifiers, FUNC (its prototype), FUNC_PROTO (its result),
// VAR, DECL_TAG, and ARRAY (its element).
func (t Type) Ref() ID {
	switch t.Kind() {
	case KindPtr, KindTypedef, KindVolatile, KindConst, KindRestrict, KindFunc, KindFuncProto, KindVar, KindDeclTag, KindTypeTag:
		return ID(t.w[2])
	case KindArray:
		return ID(t.w[3])
	}
	return 0
}

// Member is one member of a STRUCT or UNION.
type Member struct {
	Name string // "" for an anonymous struct or union, and for padding bitfields
	Type ID
	Off  Bits // from the start of the struct
	Size Bits // of a bitfield stored with kind_flag, else 0: see (*BTF).MemberBits
}

// Member returns the i-th member, 0 <= i < Vlen, of a STRUCT or UNION.
func (t Type) Member(i int) Member {
	m := t.w[3+3*i : 6+3*i]
	r := Member{Name: t.b.str(m[0]), Type: ID(m[1]), Off: Bits(m[2])}
	if t.KindFlag() {
		r.Off, r.Size = Bits(m[2]&0xffffff), Bits(m[2]>>24)
	}
	return r
}

// Enumerator is one value of an ENUM or ENUM64.
type Enumerator struct {
	Name  string
	Value uint64 // sign-extended to 64 bits where the enum is signed
}

// Enumerator returns the i-th enumerator, 0 <= i < Vlen, of an ENUM or ENUM64.
func (t Type) Enumerator(i int) Enumerator {
	if t.Kind() == KindEnum64 {
		m := t.w[3+3*i : 6+3*i]
		return Enumerator{t.b.str(m[0]), uint64(m[1]) | uint64(m[2])<<32}
	}
	m := t.w[3+2*i : 5+2*i]
	if t.KindFlag() {
		return Enumerator{t.b.str(m[0]), uint64(int64(int32(m[1])))}
	}
	return Enumerator{t.b.str(m[0]), uint64(m[1])}
}

// Param is one parameter of a FUNC_PROTO. A last one without name and type stands for "...".
type Param struct {
	Name string
	Type ID
}

// Param returns the i-th parameter, 0 <= i < Vlen, of a FUNC_PROTO.
func (t Type) Param(i int) Param {
	m := t.w[3+2*i : 5+2*i]
	return Param{t.b.str(m[0]), ID(m[1])}
}

// Array is the shape of an ARRAY.
type Array struct {
	Elem, Index ID
	Nelems      uint32
}

// Array returns the shape of an ARRAY.
func (t Type) Array() Array {
	if t.Kind() != KindArray {
		return Array{}
	}
	return Array{ID(t.w[3]), ID(t.w[4]), t.w[5]}
}

// Int is the encoding of an INT.
type Int struct {
	Signed, Char, Bool bool
	Off                Bits // from the start of the storage; not 0 only in old bitfields
	Bits               Bits // 0 to 128; fewer than 8*Size in old bitfields
}

// Int returns the encoding of an INT.
func (t Type) Int() Int {
	if t.Kind() != KindInt {
		return Int{}
	}
	v := t.w[3]
	e := v >> 24 & 0xf
	return Int{Signed: e&1 != 0, Char: e&2 != 0, Bool: e&4 != 0, Off: Bits(v >> 16 & 0xff), Bits: Bits(v & 0xff)}
}

// Var is one variable of a DATASEC.
type Var struct {
	Type ID     // a VAR (a FUNC in .ksyms)
	Off  uint32 // bytes from the start of the section
	Size uint32 // bytes
}

// Var returns the i-th variable, 0 <= i < Vlen, of a DATASEC.
func (t Type) Var(i int) Var {
	m := t.w[3+3*i : 6+3*i]
	return Var{ID(m[0]), m[1], m[2]}
}

// Linkage of a FUNC or VAR: 0 static, 1 global, 2 extern.
func (t Type) Linkage() uint32 {
	switch t.Kind() {
	case KindFunc:
		return t.w[1] & btfMaxVlen
	case KindVar:
		return t.w[3]
	}
	return 0
}

// Component is what a DECL_TAG is on: -1 the type itself, else the index of the member or parameter.
func (t Type) Component() int {
	if t.Kind() != KindDeclTag {
		return -1
	}
	return int(int32(t.w[3]))
}

// MaxChain is how many modifiers, typedefs, pointers and arrays follow each other at most. Parse refuses longer chains; where
// types are put in as they are asked for (Lazy), a damaged source could make one that never ends, and what follows it stops
// after so many and takes void for its end. A split BTF may go on where its base ends, hence twice the depth of one.
const MaxChain = 2 * maxChainDepth

// Skip follows modifiers and typedefs from id: skip_mods_and_typedefs of libbpf.
func (b *BTF) Skip(id ID) Type {
	for range MaxChain {
		t := b.Type(id)
		if k := t.Kind(); !k.IsModifier() && k != KindTypedef {
			return t
		}
		id = t.Ref()
	}
	return b.Type(0)
}

// SkipModifiers follows modifiers, but not typedefs, from id.
func (b *BTF) SkipModifiers(id ID) Type {
	for range MaxChain {
		t := b.Type(id)
		if !t.Kind().IsModifier() {
			return t
		}
		id = t.Ref()
	}
	return b.Type(0)
}

// PointerSize is the size of a pointer in bytes, guessed as libbpf's btf__pointer_size does from the size of "long" and
// its synonyms; 8 where no such type is found, which is right for every kernel that has BTF in numbers.
func (b *BTF) PointerSize() uint32 {
	root := b
	for root.base != nil {
		root = root.base
	}
	for _, name := range []string{"long int", "long unsigned int", "unsigned long", "long"} {
		for _, id := range root.Named(name, KindInt) {
			if s := root.Type(id).Size(); s == 4 || s == 8 {
				return s
			}
		}
	}
	return 8
}

// SizeOf is the size of type id in bytes: btf__resolve_size of libbpf. ok is false for types without one (void,
// functions, FWD) and for arrays of which the size does not fit 32 bits.
func (b *BTF) SizeOf(id ID) (size uint32, ok bool) {
	n := uint64(1)
	for range MaxChain {
		t := b.Type(id)
		switch t.Kind() {
		case KindInt, KindStruct, KindUnion, KindEnum, KindEnum64, KindFloat, KindDatasec:
			n *= uint64(t.Size())
			return uint32(n), n <= 1<<32-1
		case KindPtr:
			n *= uint64(b.PointerSize())
			return uint32(n), n <= 1<<32-1
		case KindTypedef, KindVolatile, KindConst, KindRestrict, KindTypeTag, KindVar, KindDeclTag:
			id = t.Ref()
		case KindArray:
			a := t.Array()
			n *= uint64(a.Nelems)
			if n > 1<<32-1 {
				return 0, false
			}
			id = a.Elem
		default:
			return 0, false
		}
	}
	return 0, false
}

// MemberBits returns the bit offset and, for a bitfield of either encoding, the bit size of a member; size is 0 where
// the member is no bitfield. Old bitfields (without kind_flag) are INTs with an offset or with fewer bits than bytes.
// libbpf's relocation knows bitfields with kind_flag only (btf_member_bitfield_size); this is for printing layouts.
func (b *BTF) MemberBits(m Member) (off, size Bits) {
	if m.Size != 0 {
		return m.Off, m.Size
	}
	if t := b.Skip(m.Type); t.Kind() == KindInt {
		if i := t.Int(); i.Off != 0 || i.Bits != Bits(8*t.Size()) {
			return m.Off + i.Off, i.Bits
		}
	}
	return m.Off, 0
}
