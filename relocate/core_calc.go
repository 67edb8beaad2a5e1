package relocate

import (
	"fmt"
	"math"

	"github.com/corecheck/corecheck/btfinfo"
)

// calcResult is what a record comes to in one BTF: half of struct bpf_core_relo_res.
type calcResult struct {
	val  uint64
	size uint32     // of the field in bytes, where a load or store may have to be resized to it; else 0
	typ  btfinfo.ID // its type, modifiers and typedefs skipped; 0 where size is
	// validate: the instruction must hold the value of the object's own BTF. Not for bitfields, where the compiler may
	// have chosen another load, nor for type ids, which change when objects are linked.
	validate bool
	id       bool // val is the id of a type in the kernel, which says nothing beyond that build's file
}

// calcField is bpf_core_calc_field_relo where the field was found. last is the last step of the named path and bitOff the
// offset of the field in its root, in bits.
//
// A bitfield is read with the smallest naturally aligned load that covers it, at least as large as its declared type:
//
//	bits    0       8       16      24      32
//	        |.......|..bbbbb|bbbb...|.......|      unsigned int b:9 at bit 10: bit_sz 9, bit_off 10
//	load    |<------------- 4 bytes ------->|      byte_off 0, byte_sz 4
//	LE      lshift 64-(10+9) moves its top bit to bit 63, rshift 64-9 brings it down
//	BE      bits are counted from the other end: lshift (8-4)*8 + 10
func calcField(kind ReloKind, b *btfinfo.BTF, last Step, bitOff, ptrSize uint32, bigEndian, explain bool) (calcResult, problem) {
	if kind == FieldExists {
		return calcResult{val: 1, validate: true}, problem{}
	}
	if last.Name == "" {
		return calcElement(kind, b, last, bitOff, ptrSize, explain)
	}
	m := b.Type(last.Type).Member(int(last.Index))
	mt := b.Skip(m.Type)
	bitSize, bitfield := uint32(m.Size), m.Size != 0
	var byteSize, byteOff uint32
	if bitfield {
		byteSize = mt.Size()
		if byteSize == 0 {
			return calcResult{}, explained(explain, ReasonMalformed, "bitfield '%s' is %s, which has no size", m.Name, typeString(b, m.Type))
		}
		byteOff = bitOff / 8 / byteSize * byteSize
		for bitOff+bitSize-byteOff*8 > byteSize*8 {
			if byteSize >= 8 {
				return calcResult{}, explained(explain, ReasonBitfield,
					"bitfield '%s' takes bits %d to %d, which no aligned load of 8 bytes covers", m.Name, bitOff, bitOff+bitSize-1)
			}
			byteSize *= 2
			byteOff = bitOff / 8 / byteSize * byteSize
		}
	} else {
		size, ok := sizeOf(b, mt.ID(), ptrSize)
		if !ok {
			return calcResult{}, explained(explain, ReasonMalformed, "member '%s' is %s, which has no size", m.Name, typeString(b, m.Type))
		}
		byteSize, byteOff, bitSize = size, bitOff/8, size*8
	}

	r := calcResult{validate: !bitfield}
	switch kind {
	case FieldByteOffset:
		r.val = uint64(byteOff)
		if !bitfield {
			// For an array the size of an element counts: libbpf commit d7a4ab15 of 2025, in v1.6.
			size, ok := elementSize(b, mt.ID(), ptrSize)
			if !ok {
				return calcResult{}, explained(explain, ReasonMalformed, "the elements of member '%s', %s, have no size", m.Name, typeString(b, m.Type))
			}
			r.size, r.typ = size, mt.ID()
		}
	case FieldByteSize:
		r.val = uint64(byteSize)
	case FieldSigned:
		if mt.Kind().IsEnum() && mt.KindFlag() || mt.Int().Signed {
			r.val = 1
		}
		r.validate = true
	case FieldLShiftU64:
		// libbpf asks for the byte order that it was built for, which is that of every object it loads.
		if bigEndian {
			r.val = uint64((8-byteSize)*8 + (bitOff - byteOff*8))
		} else {
			r.val = uint64(64 - (bitOff + bitSize - byteOff*8))
		}
	case FieldRShiftU64:
		r.val = uint64(64 - bitSize)
		r.validate = true
	}
	return r, problem{}
}

// calcElement is the part of bpf_core_calc_field_relo for paths that end in an array element, or at the root.
func calcElement(kind ReloKind, b *btfinfo.BTF, last Step, bitOff, ptrSize uint32, explain bool) (calcResult, problem) {
	r := calcResult{validate: true}
	size, ok := uint32(0), false
	switch kind {
	case FieldByteOffset:
		size, ok = elementSize(b, last.Type, ptrSize)
		r.val, r.size, r.typ = uint64(bitOff/8), size, last.Type
	case FieldByteSize:
		size, ok = sizeOf(b, last.Type, ptrSize)
		r.val = uint64(size)
	default:
		return calcResult{}, explained(explain, ReasonMalformed, "%s can't be asked of an array element or of a whole type", kind)
	}
	if !ok {
		return calcResult{}, explained(explain, ReasonMalformed, "%s has no size", typeString(b, last.Type))
	}
	return r, problem{}
}

// elementSize is the size in bytes of a type, or of the innermost element of an array.
func elementSize(b *btfinfo.BTF, id btfinfo.ID, ptrSize uint32) (uint32, bool) {
	t := b.Skip(id)
	for i := 0; t.Kind() == btfinfo.KindArray && i < btfinfo.MaxChain; i++ {
		t = b.Skip(t.Ref())
	}
	return sizeOf(b, t.ID(), ptrSize)
}

// calcType is bpf_core_calc_type_relo where the type was found.
func calcType(kind ReloKind, b *btfinfo.BTF, id btfinfo.ID, ptrSize uint32, explain bool) (calcResult, problem) {
	switch kind {
	case TypeIDLocal, TypeIDTarget:
		return calcResult{val: uint64(id), id: kind == TypeIDTarget}, problem{}
	case TypeSize:
		size, ok := sizeOf(b, id, ptrSize)
		if !ok {
			return calcResult{}, explained(explain, ReasonMalformed, "%s has no size", typeString(b, id))
		}
		return calcResult{val: uint64(size), validate: true}, problem{}
	}
	return calcResult{val: 1, validate: true}, problem{}
}

// calcEnumval is bpf_core_calc_enumval_relo where the enumerator was found.
func calcEnumval(kind ReloKind, t btfinfo.Type, i int) calcResult {
	r := calcResult{val: 1, validate: true}
	if kind == EnumvalValue {
		r.val = t.Enumerator(i).Value
		if t.Kind() == btfinfo.KindEnum {
			// The value is an __s32 in struct btf_enum, so that libbpf extends the sign of unsigned ones, too.
			r.val = uint64(int64(int32(r.val)))
		}
	}
	return r
}

func explained(explain bool, reason Reason, format string, args ...any) problem {
	p := problem{reason: reason}
	if explain {
		p.detail = fmt.Sprintf(format, args...)
	}
	return p
}

// canResize tells whether a load or store keeps its meaning with another size: pointers, and integers neither of which
// is signed, since loads extend with zeroes. It is the test in bpf_core_calc_relo, which compares the whole encoding with
// BTF_INT_SIGNED: an integer that is signed and also a char or bool passes.
func canResize(lb *btfinfo.BTF, local btfinfo.ID, tb *btfinfo.BTF, target btfinfo.ID) bool {
	l, t := lb.Type(local), tb.Type(target)
	if l.Kind() == btfinfo.KindPtr && t.Kind() == btfinfo.KindPtr {
		return true
	}
	signed := btfinfo.Int{Signed: true}
	enc := func(x btfinfo.Type) btfinfo.Int {
		i := x.Int()
		return btfinfo.Int{Signed: i.Signed, Char: i.Char, Bool: i.Bool}
	}
	return l.Kind() == btfinfo.KindInt && t.Kind() == btfinfo.KindInt && enc(l) != signed && enc(t) != signed
}

// Parts of the code of an instruction: include/uapi/linux/bpf_common.h and bpf.h.
const (
	classMask = 0x07
	classLD   = 0x00
	classLDX  = 0x01
	classST   = 0x02
	classSTX  = 0x03
	classALU  = 0x04
	classALU6 = 0x07 // BPF_ALU64
	srcReg    = 0x08 // BPF_X
	sizeMask  = 0x18
	codeLdImm = 0x18 // BPF_LD | BPF_IMM | BPF_DW
	codeCall  = 0x85 // BPF_JMP | BPF_CALL
)

// PoisonHelper is the number of the helper that a poisoned instruction calls: 0xbad2310 in bpf_core_poison_insn.
const PoisonHelper = 195896080

// memSize is the number of bytes that a load or store moves.
func memSize(code uint8) uint32 {
	return [...]uint32{4, 2, 1, 8}[code&sizeMask>>3]
}

// memCode is the size part of a code for a number of bytes.
func memCode(size uint32) (code uint8, ok bool) {
	switch size {
	case 4:
		return 0x00, true
	case 2:
		return 0x08, true
	case 1:
		return 0x10, true
	case 8:
		return 0x18, true
	}
	return 0, false
}

// checkInsn is bpf_core_patch_insn without the writing: it holds the instruction against the value of the object's own
// BTF, and what it is to get against what it can hold. mismatch tells that sizes differ and can't be adapted.
func checkInsn(insns []Insn, i int, orig, now calcResult, mismatch, explain bool) (memSz uint8, poison bool, bad problem) {
	if i < 0 || i >= len(insns) {
		return 0, false, explained(explain, ReasonMalformed, "the record is for instruction %d of a function that has %d", i, len(insns))
	}
	in := insns[i]
	switch in.Code & classMask {
	case classALU, classALU6:
		if in.Code&srcReg != 0 {
			return 0, false, explained(explain, ReasonInstruction, "instruction %d (code %#02x) has no immediate to patch", i, in.Code)
		}
		if orig.validate && uint64(int64(in.Imm)) != orig.val {
			return 0, false, explained(explain, ReasonInstruction, "instruction %d holds %d, the object's BTF says %d", i, in.Imm, int64(orig.val))
		}
		return 0, false, problem{}
	case classLDX, classST, classSTX:
		if orig.validate && uint64(int64(in.Off)) != orig.val {
			return 0, false, explained(explain, ReasonInstruction, "instruction %d has offset %d, the object's BTF says %d", i, in.Off, int64(orig.val))
		}
		// No compiler puts a type id into a load or store. Whether it fits would be the chance of one build.
		if now.val > math.MaxInt16 && !now.id {
			return 0, false, explained(explain, ReasonRange, "offset %d does not fit a load or store, which holds up to %d", now.val, math.MaxInt16)
		}
		if mismatch {
			return 0, true, explained(explain, ReasonLoadSize,
				"instruction %d reads or writes a field of %s that has %s here, and only pointers and unsigned integers can be resized", i, bytesString(orig.size), bytesString(now.size))
		}
		if orig.size == now.size {
			return 0, false, problem{}
		}
		if have := memSize(in.Code); have != orig.size {
			return 0, false, explained(explain, ReasonInstruction, "instruction %d moves %s, the field has %s in the object's BTF", i, bytesString(have), bytesString(orig.size))
		}
		if _, ok := memCode(now.size); !ok {
			return 0, false, explained(explain, ReasonLoadSize, "the field has %s here, loads and stores have 1, 2, 4 or 8", bytesString(now.size))
		}
		return uint8(now.size), false, problem{}
	case classLD:
		if in.Code != codeLdImm || in.Src != 0 || in.Off != 0 || i+1 >= len(insns) || !isLdImmTail(insns[i+1]) {
			return 0, false, explained(explain, ReasonInstruction, "instruction %d (code %#02x) is no load of a 64-bit constant", i, in.Code)
		}
		if imm := uint64(uint32(in.Imm)) | uint64(insns[i+1].Imm)<<32; orig.validate && imm != orig.val {
			return 0, false, explained(explain, ReasonInstruction, "instruction %d holds %d, the object's BTF says %d", i, int64(imm), int64(orig.val))
		}
		return 0, false, problem{}
	}
	return 0, false, explained(explain, ReasonInstruction, "instruction %d (code %#02x) is none that can be patched", i, in.Code)
}

func isLdImmTail(in Insn) bool { return in.Code == 0 && in.Dst == 0 && in.Src == 0 && in.Off == 0 }

func bytesString(n uint32) string {
	switch n {
	case 0:
		return "no size of its own (a bitfield)"
	case 1:
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// Patch writes the result into the instruction of its record, as libbpf does before it hands the program to the kernel:
// insns is a copy of those of the function. It leaves them alone where libbpf fails the load.
func (r *Result) Patch(insns []Insn) {
	i := r.Relo.Insn
	if i < 0 || i >= len(insns) {
		return
	}
	in := &insns[i]
	switch r.Outcome {
	case Ambiguous, Fatal:
		return
	case Poisoned:
		poison := Insn{Code: codeCall, Imm: PoisonHelper}
		if in.Code == codeLdImm && i+1 < len(insns) {
			insns[i+1] = poison
		}
		*in = poison
		return
	}
	switch in.Code & classMask {
	case classALU, classALU6:
		in.Imm = int32(r.Value)
	case classLDX, classST, classSTX:
		in.Off = int16(r.Value)
		if code, ok := memCode(uint32(r.MemSize)); ok {
			in.Code = in.Code&^sizeMask | code
		}
	case classLD:
		in.Imm = int32(r.Value)
		if i+1 < len(insns) {
			insns[i+1].Imm = int32(r.Value >> 32)
		}
	}
}
