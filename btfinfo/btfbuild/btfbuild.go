// Package btfbuild builds raw BTF for tests, in both byte orders: sound BTF of every kind, and BTF that is damaged in
// one chosen place.
//
// It knows the format by itself and imports nothing of corecheck, so that a mistake in the parser can't hide in the
// tests' inputs. Nothing is checked: what a caller asks for is written, valid or not.
//
// Source of the format: Documentation/bpf/btf.rst and include/uapi/linux/btf.h of Linux v6.12.
package btfbuild

import (
	"encoding/binary"
)

// ID is a BTF type id; 0 is void.
type ID = uint32

// Kinds, numbered as BTF_KIND_* of include/uapi/linux/btf.h.
const (
	KindInt = iota + 1
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

// Encoding bits of an INT: BTF_INT_SIGNED, BTF_INT_CHAR, BTF_INT_BOOL.
const (
	Signed = 1 << iota
	Char
	Bool
)

// Linkage of FUNC and VAR: enum btf_func_linkage, BTF_VAR_*.
const (
	Static = iota
	Global
	Extern
)

// Member is a member of a struct or union. Off and Bits are in bits; Bits is not 0 for a bitfield only.
type Member struct {
	Name string
	Type ID
	Off  uint32
	Bits uint32
}

// Value is an enumerator.
type Value struct {
	Name  string
	Value int64
}

// Param is a parameter of a function prototype; the zero Param is "...".
type Param struct {
	Name string
	Type ID
}

// Sec is a variable of a DATASEC: a VAR at Off, both numbers in bytes.
type Sec struct {
	Type      ID
	Off, Size uint32
}

// Header is struct btf_header, in bytes.
type Header struct {
	Magic                            uint16
	Version, Flags                   uint8
	HdrLen                           uint32
	TypeOff, TypeLen, StrOff, StrLen uint32
}

// Builder collects types. Ids are given in the order of the calls; a type that refers to a later one uses the id that
// NextID will be by then.
type Builder struct {
	// EditHeader, where set, changes the header that Bytes computed. The rest of the output stays as it is.
	EditHeader func(*Header)
	// EditStrings, where set, replaces the string section. The header follows the new length.
	EditStrings func([]byte) []byte
	// HeaderTail is written behind the known header and counted in its length, as a later format would.
	HeaderTail []byte

	first ID
	start uint32
	words []uint32
	pos   []int // index in words, by id - first
	strs  []byte
	offs  map[string]uint32
}

// New returns an empty builder of BTF that stands alone.
func New() *Builder {
	return &Builder{first: 1, strs: []byte{0}, offs: map[string]uint32{"": 0}}
}

// NewSplit returns a builder of split BTF that continues base as it is now: types added to base later collide with it.
// Strings of the base are shared, as in a module's BTF.
func NewSplit(base *Builder) *Builder {
	b := &Builder{first: base.NextID(), start: base.start + uint32(len(base.strs)), offs: map[string]uint32{}}
	for s, off := range base.offs {
		b.offs[s] = off
	}
	return b
}

// NewSplitAt returns a builder of split BTF whose first type has id first and whose strings start at offset start:
// for a base that comes from elsewhere.
func NewSplitAt(first ID, start uint32) *Builder {
	return &Builder{first: first, start: start, offs: map[string]uint32{"": 0}}
}

// NextID is the id of the type that is added next.
func (b *Builder) NextID() ID { return b.first + ID(len(b.pos)) }

// StrEnd is the offset behind the last string, the base's strings included.
func (b *Builder) StrEnd() uint32 { return b.start + uint32(len(b.strs)) }

// Str adds a string where it is not yet there, and returns its offset.
func (b *Builder) Str(s string) uint32 {
	off, ok := b.offs[s]
	if !ok {
		off = b.StrEnd()
		b.offs[s] = off
		b.strs = append(append(b.strs, s...), 0)
	}
	return off
}

// Add adds a type from its raw parts: struct btf_type, then the words of extra.
func (b *Builder) Add(kind int, flag bool, name string, vlen int, sizeOrType uint32, extra ...uint32) ID {
	info := uint32(kind)<<24 | uint32(vlen)&0xffff
	if flag {
		info |= 1 << 31
	}
	return b.AddRaw(append([]uint32{b.Str(name), info, sizeOrType}, extra...)...)
}

// AddRaw adds the words of one type as they are.
func (b *Builder) AddRaw(words ...uint32) ID {
	id := b.NextID()
	b.pos = append(b.pos, len(b.words))
	b.words = append(b.words, words...)
	return id
}

// Patch overwrites the n-th word of type id: 0 is the name, 1 info, 2 size or type, then what follows struct btf_type.
func (b *Builder) Patch(id ID, n int, value uint32) {
	b.words[b.pos[id-b.first]+n] = value
}

// Word returns the n-th word of type id.
func (b *Builder) Word(id ID, n int) uint32 { return b.words[b.pos[id-b.first]+n] }

// Offset is where type id starts, in bytes from the start of the type section.
func (b *Builder) Offset(id ID) int { return 4 * b.pos[id-b.first] }

// Int adds an INT of size bytes that uses all its bits.
func (b *Builder) Int(name string, size, encoding uint32) ID {
	return b.IntBits(name, size, encoding, 0, 8*size)
}

// IntBits adds an INT that uses bits bits at bit off of its storage, as bitfields were written before kind_flag.
func (b *Builder) IntBits(name string, size, encoding, off, bits uint32) ID {
	return b.Add(KindInt, false, name, 0, size, encoding<<24|off<<16|bits)
}

// Ptr adds a pointer.
func (b *Builder) Ptr(to ID) ID { return b.Add(KindPtr, false, "", 0, to) }

// Array adds an array of n elements.
func (b *Builder) Array(elem, index ID, n uint32) ID {
	return b.Add(KindArray, false, "", 0, 0, elem, index, n)
}

// Struct adds a struct of size bytes. kind_flag is set where a member is a bitfield; then every offset must fit 24 bits.
func (b *Builder) Struct(name string, size uint32, members ...Member) ID {
	return b.composite(KindStruct, name, size, members)
}

// Union adds a union of size bytes, as Struct does.
func (b *Builder) Union(name string, size uint32, members ...Member) ID {
	return b.composite(KindUnion, name, size, members)
}

func (b *Builder) composite(kind int, name string, size uint32, members []Member) ID {
	flag := false
	var extra []uint32
	for _, m := range members {
		flag = flag || m.Bits != 0
		extra = append(extra, b.Str(m.Name), m.Type, m.Bits<<24|m.Off)
	}
	return b.Add(kind, flag, name, len(members), size, extra...)
}

// Enum adds an ENUM of size bytes; kind_flag is set where a value is negative.
func (b *Builder) Enum(name string, size uint32, values ...Value) ID {
	flag := false
	var extra []uint32
	for _, v := range values {
		flag = flag || v.Value < 0
		extra = append(extra, b.Str(v.Name), uint32(v.Value))
	}
	return b.Add(KindEnum, flag, name, len(values), size, extra...)
}

// Enum64 adds an ENUM64 of size bytes.
func (b *Builder) Enum64(name string, size uint32, signed bool, values ...Value) ID {
	var extra []uint32
	for _, v := range values {
		extra = append(extra, b.Str(v.Name), uint32(v.Value), uint32(v.Value>>32))
	}
	return b.Add(KindEnum64, signed, name, len(values), size, extra...)
}

// Fwd adds a forward declaration of a struct, or of a union.
func (b *Builder) Fwd(name string, union bool) ID { return b.Add(KindFwd, union, name, 0, 0) }

// Typedef adds a typedef.
func (b *Builder) Typedef(name string, to ID) ID { return b.Add(KindTypedef, false, name, 0, to) }

// Volatile adds the modifier.
func (b *Builder) Volatile(to ID) ID { return b.Add(KindVolatile, false, "", 0, to) }

// Const adds the modifier.
func (b *Builder) Const(to ID) ID { return b.Add(KindConst, false, "", 0, to) }

// Restrict adds the modifier.
func (b *Builder) Restrict(to ID) ID { return b.Add(KindRestrict, false, "", 0, to) }

// Func adds a function with the prototype proto.
func (b *Builder) Func(name string, proto ID, linkage int) ID {
	return b.Add(KindFunc, false, name, linkage, proto)
}

// FuncProto adds a prototype that returns ret.
func (b *Builder) FuncProto(ret ID, params ...Param) ID {
	var extra []uint32
	for _, p := range params {
		extra = append(extra, b.Str(p.Name), p.Type)
	}
	return b.Add(KindFuncProto, false, "", len(params), ret, extra...)
}

// Var adds a variable.
func (b *Builder) Var(name string, typ ID, linkage uint32) ID {
	return b.Add(KindVar, false, name, 0, typ, linkage)
}

// Datasec adds a section of size bytes.
func (b *Builder) Datasec(name string, size uint32, vars ...Sec) ID {
	var extra []uint32
	for _, v := range vars {
		extra = append(extra, v.Type, v.Off, v.Size)
	}
	return b.Add(KindDatasec, false, name, len(vars), size, extra...)
}

// Float adds a floating point type of size bytes.
func (b *Builder) Float(name string, size uint32) ID { return b.Add(KindFloat, false, name, 0, size) }

// DeclTag tags type to: component -1 is the type itself, else the index of a member or parameter.
func (b *Builder) DeclTag(tag string, to ID, component int) ID {
	return b.Add(KindDeclTag, false, tag, 0, to, uint32(component))
}

// TypeTag adds a type tag before to.
func (b *Builder) TypeTag(tag string, to ID) ID { return b.Add(KindTypeTag, false, tag, 0, to) }

// Bytes writes the BTF in the given byte order.
func (b *Builder) Bytes(order binary.ByteOrder) []byte {
	strs := b.strs
	if b.EditStrings != nil {
		strs = b.EditStrings(append([]byte(nil), strs...))
	}
	h := Header{
		Magic: 0xeb9f, Version: 1, HdrLen: 24 + uint32(len(b.HeaderTail)),
		TypeLen: 4 * uint32(len(b.words)), StrOff: 4 * uint32(len(b.words)), StrLen: uint32(len(strs)),
	}
	if b.EditHeader != nil {
		b.EditHeader(&h)
	}
	out := make([]byte, 24, 24+len(b.HeaderTail)+4*len(b.words)+len(strs))
	order.PutUint16(out, h.Magic)
	out[2], out[3] = h.Version, h.Flags
	for i, v := range []uint32{h.HdrLen, h.TypeOff, h.TypeLen, h.StrOff, h.StrLen} {
		order.PutUint32(out[4+4*i:], v)
	}
	out = append(out, b.HeaderTail...)
	for _, w := range b.words {
		out = append(out, 0, 0, 0, 0)
		order.PutUint32(out[len(out)-4:], w)
	}
	return append(out, strs...)
}

// Orders are both byte orders, by name, for tests that run over both.
func Orders() map[string]binary.ByteOrder {
	return map[string]binary.ByteOrder{"little": binary.LittleEndian, "big": binary.BigEndian}
}

// Kernelish adds the INTs that every kernel has and returns their ids by name: char, int, unsigned int, long int,
// long unsigned int, short int, unsigned char, _Bool, long long unsigned int. longSize is the size of "long int" in
// bytes, from which the size of a pointer is guessed.
func (b *Builder) Kernelish(longSize uint32) map[string]ID {
	ids := map[string]ID{}
	for _, t := range []struct {
		name      string
		size, enc uint32
	}{
		{"char", 1, Signed}, {"int", 4, Signed}, {"unsigned int", 4, 0}, {"long int", longSize, Signed},
		{"long unsigned int", longSize, 0}, {"short int", 2, Signed}, {"unsigned char", 1, 0}, {"_Bool", 1, Bool},
		{"long long unsigned int", 8, 0},
	} {
		ids[t.name] = b.Int(t.name, t.size, t.enc)
	}
	return ids
}
