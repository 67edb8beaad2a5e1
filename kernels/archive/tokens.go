package archive

import (
	"encoding/binary"
	"math"

	"github.com/corecheck/corecheck/btfinfo"
)

// A definition's content is a string of bytes: an operator, and what belongs to its kind after it, where types that have a
// name are named and those that have none stand in place. docs/archive-format.md has the grammar. Numbers are unsigned
// LEB128 varints, strings are varints too: indices into a table of strings that the context gives.
//
// An operator is a kind of BTF in the low five bits and one of these classes in the upper three.
const (
	opBody    = 0 << 5 // a type that stands here: what follows is its body
	opRef     = 1 << 5 // the first type of that kind and name in vmlinux: a string follows
	opRefX    = 2 << 5 // another one of that name: string, and ordinal relative to the one of the definition (zigzag)
	opOwn     = 3 << 5 // as opRef, in the module that the definition is of
	opOwnX    = 4 << 5 // as opRefX, in the module that the definition is of
	opFlagged = 5 << 5 // opBody with kind_flag set
	opTagged  = 6 << 5 // opBody with DECL_TAGs: kind_flag and the tags stand before the body

	opClass = 7 << 5
	opKind  = 1<<5 - 1
)

// maxNesting is how deep types without names stand in each other at most. btfinfo allows chains of 64.
const maxNesting = 200

func appendNum(b []byte, n uint64) []byte { return binary.AppendUvarint(b, n) }

func zigzag(n int64) uint64   { return uint64(n<<1) ^ uint64(n>>63) }
func unzigzag(n uint64) int64 { return int64(n>>1) ^ -int64(n&1) }

// offsetToken is a member's offset relative to the one before it, both in bits: whole bytes forward, which nearly all are,
// get the short numbers.
func offsetToken(off, before uint32) uint64 {
	d := int64(off) - int64(before)
	if d >= 0 && d%8 == 0 {
		return uint64(d/8) << 1
	}
	return zigzag(d)<<1 | 1
}

func offsetOf(token uint64, before uint32) (off uint32, ok bool) {
	var d int64
	if token&1 == 0 {
		if token>>1 > math.MaxUint32/8 {
			return 0, false
		}
		d = int64(token>>1) * 8
	} else {
		d = unzigzag(token >> 1)
	}
	n := int64(before) + d
	return uint32(n), d >= -math.MaxUint32 && d <= math.MaxUint32 && n >= 0 && n <= math.MaxUint32
}

// source reads a content token by token. Reading past the end or what can't be a token sets bad, and gives zeros from
// then on, so that a walk ends and is found out once.
type source struct {
	b   []byte
	bad bool
	// ref, where it is set, is called by skip with each reference: its operator, name and relative ordinal.
	ref func(op byte, name uint64, ord int64)
}

func (s *source) op() byte {
	if len(s.b) == 0 {
		s.bad = true
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *source) num() uint64 {
	if len(s.b) > 0 && s.b[0] < 0x80 {
		c := s.b[0]
		s.b = s.b[1:]
		return uint64(c)
	}
	n, size := binary.Uvarint(s.b)
	if size <= 0 {
		s.bad, s.b = true, nil
		return 0
	}
	s.b = s.b[size:]
	return n
}

// num32 is a number that must fit 32 bits.
func (s *source) num32() uint32 {
	n := s.num()
	if n > math.MaxUint32 {
		s.bad = true
		return 0
	}
	return uint32(n)
}

// vlen is a number of members, which BTF holds in 16 bits and which each take a byte at least.
func (s *source) vlen() int {
	n := s.num()
	if n > math.MaxUint16 || n > uint64(len(s.b)) {
		s.bad = true
		return 0
	}
	return int(n)
}

// translate copies the content at s to dst with its strings renamed.
func translate(dst []byte, s *source, str func(uint64) uint64) []byte {
	t := translator{dst: dst, s: s, str: str}
	t.expr(0)
	return t.dst
}

// skip passes over one content.
func skip(s *source) { walkExpr(s, 0) }

// walkExpr passes over one type.
func walkExpr(s *source, depth int) {
	if depth > maxNesting {
		s.bad = true
	}
	op := s.op()
	if s.bad {
		return
	}
	kind := btfinfo.Kind(op & opKind)
	flag := false
	switch op & opClass {
	case opRef, opOwn:
		if name := s.num(); s.ref != nil {
			s.ref(op, name, 0)
		}
		return
	case opRefX, opOwnX:
		if name, ord := s.num(), unzigzag(s.num()); s.ref != nil {
			s.ref(op, name, ord)
		}
		return
	case opFlagged:
		flag = true
	case opTagged:
		flag = s.num() != 0
		for range s.vlen() {
			s.num()
			s.num()
			s.num()
		}
	case opBody:
	default:
		s.bad = true
		return
	}
	switch kind {
	case btfinfo.KindVoid, btfinfo.KindFwd:
	case btfinfo.KindInt:
		s.num()
		s.num()
	case btfinfo.KindFloat:
		s.num()
	case btfinfo.KindPtr, btfinfo.KindConst, btfinfo.KindVolatile, btfinfo.KindRestrict, btfinfo.KindTypedef:
		walkExpr(s, depth+1)
	case btfinfo.KindTypeTag, btfinfo.KindFunc, btfinfo.KindVar:
		s.num()
		walkExpr(s, depth+1)
	case btfinfo.KindArray:
		s.num()
		walkExpr(s, depth+1)
		walkExpr(s, depth+1)
	case btfinfo.KindStruct, btfinfo.KindUnion:
		s.num()
		for range s.vlen() {
			s.num()
			s.num()
			if flag {
				s.num()
			}
			walkExpr(s, depth+1)
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		s.num()
		for range s.vlen() {
			s.num()
			s.num()
		}
	case btfinfo.KindFuncProto:
		n := s.vlen()
		walkExpr(s, depth+1)
		for range n {
			s.num()
			walkExpr(s, depth+1)
		}
	case btfinfo.KindDatasec:
		s.num()
		for range s.vlen() {
			walkExpr(s, depth+1)
			s.num()
			s.num()
		}
	default:
		s.bad = true
	}
}

type translator struct {
	dst []byte
	s   *source
	str func(uint64) uint64
}

func (t *translator) num() uint64 {
	n := t.s.num()
	t.dst = appendNum(t.dst, n)
	return n
}

func (t *translator) string() { t.dst = appendNum(t.dst, t.str(t.s.num())) }

func (t *translator) vlen() int {
	n := t.s.vlen()
	t.dst = appendNum(t.dst, uint64(n))
	return n
}

func (t *translator) expr(depth int) {
	s := t.s
	if depth > maxNesting {
		s.bad = true
	}
	op := s.op()
	if s.bad {
		return
	}
	t.dst = append(t.dst, op)
	kind := btfinfo.Kind(op & opKind)
	flag := false
	switch op & opClass {
	case opRef, opOwn:
		t.string()
		return
	case opRefX, opOwnX:
		t.string()
		t.num()
		return
	case opFlagged:
		flag = true
	case opTagged:
		flag = t.num() != 0
		for range t.vlen() {
			t.string()
			t.num()
			t.num()
		}
	case opBody:
	default:
		s.bad = true
		return
	}
	switch kind {
	case btfinfo.KindVoid, btfinfo.KindFwd:
	case btfinfo.KindInt:
		t.num()
		t.num()
	case btfinfo.KindFloat:
		t.num()
	case btfinfo.KindPtr, btfinfo.KindConst, btfinfo.KindVolatile, btfinfo.KindRestrict, btfinfo.KindTypedef:
		t.expr(depth + 1)
	case btfinfo.KindTypeTag:
		t.string()
		t.expr(depth + 1)
	case btfinfo.KindArray:
		t.num()
		t.expr(depth + 1)
		t.expr(depth + 1)
	case btfinfo.KindStruct, btfinfo.KindUnion:
		t.num()
		for range t.vlen() {
			t.string()
			t.num()
			if flag {
				t.num()
			}
			t.expr(depth + 1)
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		t.num()
		for range t.vlen() {
			t.string()
			t.num()
		}
	case btfinfo.KindFunc, btfinfo.KindVar:
		t.num()
		t.expr(depth + 1)
	case btfinfo.KindFuncProto:
		n := t.vlen()
		t.expr(depth + 1)
		for range n {
			t.string()
			t.expr(depth + 1)
		}
	case btfinfo.KindDatasec:
		t.num()
		for range t.vlen() {
			t.expr(depth + 1)
			t.num()
			t.num()
		}
	default:
		s.bad = true
	}
}
