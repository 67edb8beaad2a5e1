package btfinfo

import (
	"encoding/binary"
	"unsafe"
)

// Lazy is a BTF into which types are put as they are asked for, by someone who has them in another form. Some of its ids
// are slots: names of which the owner says, each time anew, which type stands there. So one Lazy can stand for many
// kernels, one after the other.
//
// The accessors of its BTF work as on any other, as far as types are looked up by name or by the ids of types; there
// is no walk over all ids. Neither is safe for concurrent use.
type Lazy struct {
	btf   BTF
	owner LazyOwner
	strs  []byte
}

// LazyOwner answers for a Lazy.
type LazyOwner interface {
	// Slot returns what Put returned for the type that slot n stands for now.
	Slot(n uint32) (at uint32)
	// Essential calls yield with the types of this essential name until it returns false, those of one kind and name in
	// the order of the kernel's ids. Where kinds are given, others may be left out.
	Essential(name string, kinds []Kind, yield func(Type) bool)
}

// slotBit marks the entries of pos that are slots. A type's place is an index of 32-bit words in a section of at most
// 4 GiB, and so has not that bit.
const slotBit = 1 << 31

// NewLazy returns a Lazy with no types but void.
func NewLazy(owner LazyOwner) *Lazy {
	l := &Lazy{owner: owner, strs: make([]byte, 1, 1<<12)}
	l.btf = BTF{order: binary.NativeEndian, first: 1, lazy: l}
	l.share()
	return l
}

// BTF is what is read.
func (l *Lazy) BTF() *BTF { return &l.btf }

// share makes the strings those of the BTF. Bytes that were shared before are not written again.
func (l *Lazy) share() { l.btf.strs = unsafe.String(unsafe.SliceData(l.strs), len(l.strs)) }

// String adds a string, which has no 0 byte, and returns its offset.
func (l *Lazy) String(s string) uint32 {
	off := uint32(len(l.strs))
	l.strs = append(l.strs, s...)
	l.strs = append(l.strs, 0)
	l.share()
	return off
}

// Put adds the words of a type, as they stand in BTF, and returns where they are, for Slot. Only what Parse would have
// accepted may be put.
func (l *Lazy) Put(words []uint32) (at uint32) {
	at = uint32(len(l.btf.words))
	l.btf.words = append(l.btf.words, words...)
	return at
}

// Type adds an id for words that were put.
func (l *Lazy) Type(at uint32) ID {
	l.btf.pos = append(l.btf.pos, at)
	return ID(len(l.btf.pos))
}

// NewSlot adds an id that is slot n.
func (l *Lazy) NewSlot(n uint32) ID { return l.Type(n | slotBit) }

// SetByteOrder says of which byte order the current kernel's BTF was.
func (l *Lazy) SetByteOrder(o binary.ByteOrder) { l.btf.order = o }
