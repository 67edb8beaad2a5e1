package btfinfo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"strings"
	"sync"
	"unsafe"
)

// Constants of the BTF format, with the names of the specification.
//
// Sources: Documentation/bpf/btf.rst and include/uapi/linux/btf.h of Linux v6.12; the layout section of the header is
// from libbpf v1.7's copy of the same header.
const (
	btfMagic      = 0xeb9f
	btfVersion    = 1
	btfHeaderLen  = 24 // struct btf_header up to str_len, in bytes
	btfTypeLen    = 12 // struct btf_type, in bytes
	btfMaxVlen    = math.MaxUint16
	maxChainDepth = 64 // more modifiers in a row than any compiler emits; the kernel stops at 32 (MAX_RESOLVE_DEPTH)

	// maxName is the longest string in bytes. The kernel takes names of up to 511 (KSYM_NAME_LEN in btf_name_valid_identifier
	// and its like, kernel/bpf/btf.c of Linux v6.12).
	maxName = 4096
	// maxFlat is how many members a struct has at most, those of its anonymous structs and unions included. A struct alone
	// can have 65535; the largest of real kernels have some hundreds.
	maxFlat = 1 << 17
)

// ID is a BTF type id. Id 0 is void.
type ID uint32

// Bits is an offset or a size in bits. Offsets of members are bits in BTF, sizes of types are bytes.
type Bits uint32

// Bytes returns the whole bytes in b, rounded down.
func (b Bits) Bytes() uint32 { return uint32(b / 8) }

// BTF is the type information of one kernel, module or object, parsed and checked: every id, string offset and size in
// it was held against the input before Parse returned, so the accessors can't fail.
//
// A split BTF (a module's) continues the ids and strings of its base; the accessors take ids of either.
// A BTF is safe for concurrent use.
type BTF struct {
	order binary.ByteOrder
	base  *BTF
	first ID     // id of the first own type: 1, or the number of types of the base
	start uint32 // string offset at which the own strings start: 0, or the length of the base's strings
	strs  string // own strings
	words []uint32
	pos   []uint32 // pos[i]: index in words of type first+i

	namesOnce sync.Once
	names     nameIndex

	lazy *Lazy // nil for a BTF that is all there
}

// header is struct btf_header. Offsets are bytes from the end of the header.
type header struct {
	order                            binary.ByteOrder
	flags                            uint8
	hdrLen                           uint32
	typeOff, typeLen, strOff, strLen uint32
}

// end is the number of bytes that the header and the sections that it names take.
func (h header) end() uint64 { return uint64(h.hdrLen) + uint64(h.strOff) + uint64(h.strLen) }

// parseHeader reads and checks struct btf_header, after libbpf v1.7's btf_parse_hdr. data holds the start of the BTF, of
// which there are size bytes in all.
func parseHeader(data []byte, size uint64) (header, error) {
	var h header
	if len(data) < btfHeaderLen {
		return h, formatErr(0, "the BTF header needs %d bytes, have %d", btfHeaderLen, len(data))
	}
	switch {
	case binary.LittleEndian.Uint16(data) == btfMagic:
		h.order = binary.LittleEndian
	case binary.BigEndian.Uint16(data) == btfMagic:
		h.order = binary.BigEndian
	default:
		return h, formatErr(0, "no BTF: magic is %#04x, want %#04x", binary.LittleEndian.Uint16(data), btfMagic)
	}
	if data[2] != btfVersion {
		return h, formatErr(2, "BTF version %d is not known, want %d", data[2], btfVersion)
	}
	h.flags = data[3]
	if h.flags != 0 {
		return h, formatErr(3, "BTF header flags are %#x, want 0", h.flags)
	}
	h.hdrLen = h.order.Uint32(data[4:])
	h.typeOff = h.order.Uint32(data[8:])
	h.typeLen = h.order.Uint32(data[12:])
	h.strOff = h.order.Uint32(data[16:])
	h.strLen = h.order.Uint32(data[20:])
	if h.hdrLen < btfHeaderLen {
		return h, formatErr(4, "BTF header length is %d, want at least %d", h.hdrLen, btfHeaderLen)
	}
	if uint64(h.hdrLen) > size {
		return h, formatErr(4, "BTF header length is %d, have %d bytes", h.hdrLen, size)
	}
	left := size - uint64(h.hdrLen)
	if end := uint64(h.strOff) + uint64(h.strLen); end > left {
		return h, formatErr(16, "BTF strings end at byte %d after the header, have %d", end, left)
	}
	if end := uint64(h.typeOff) + uint64(h.typeLen); end > uint64(h.strOff) {
		return h, formatErr(8, "BTF types end at byte %d after the header, but the strings start at %d", end, h.strOff)
	}
	if h.typeOff%4 != 0 || h.typeLen%4 != 0 {
		return h, formatErr(8, "BTF type section at %d, length %d: both must be multiples of 4", h.typeOff, h.typeLen)
	}
	return h, nil
}

// Parse reads raw BTF of either byte order. data is not kept.
//
// Errors are *Error values: what is wrong, at which byte, and the two numbers that disagree.
func Parse(data []byte) (*BTF, error) { return ParseSplit(data, nil) }

// ParseSplit reads raw BTF whose ids and strings continue those of base, as a module's .BTF section does. A nil base
// means that the BTF stands alone.
func ParseSplit(data []byte, base *BTF) (*BTF, error) {
	return parseOwned(bytes.Clone(data), base)
}

// parseOwned is ParseSplit for data that is not changed any more: the BTF shares its memory where the machine can read
// it as it stands.
func parseOwned(data []byte, base *BTF) (*BTF, error) {
	h, err := parseHeader(data, uint64(len(data)))
	if err != nil {
		return nil, err
	}
	b := &BTF{order: h.order, base: base, first: 1}
	if base != nil {
		if base.order != h.order {
			return nil, formatErr(0, "split BTF is %s, its base is %s", orderName(h.order), orderName(base.order))
		}
		b.first = ID(base.NumTypes())
		b.start = base.strEnd()
	}
	strOff := h.hdrLen + h.strOff
	strs := data[strOff : strOff+h.strLen]
	switch {
	case len(strs) == 0 && base != nil:
	case len(strs) == 0:
		return nil, formatErr(int64(strOff), "the BTF string section is empty, want at least 1 byte")
	case strs[len(strs)-1] != 0:
		return nil, formatErr(int64(strOff)+int64(len(strs))-1, "the BTF string section ends in byte %#x, want 0", strs[len(strs)-1])
	case base == nil && strs[0] != 0:
		return nil, formatErr(int64(strOff), "the BTF string section starts with byte %#x, want 0", strs[0])
	}
	if uint64(b.start)+uint64(len(strs)) > math.MaxUint32 {
		return nil, formatErr(20, "base and split strings together are %d bytes, the format holds %d", uint64(b.start)+uint64(len(strs)), uint32(math.MaxUint32))
	}
	if err := checkStrings(strs, int64(strOff)); err != nil {
		return nil, err
	}
	b.strs = unsafe.String(unsafe.SliceData(strs), len(strs))

	typeOff := h.hdrLen + h.typeOff
	raw := data[typeOff : typeOff+h.typeLen]
	b.words = words(raw, h.order)
	if err := b.index(int64(typeOff)); err != nil {
		return nil, err
	}
	if err := b.check(int64(typeOff)); err != nil {
		return nil, err
	}
	return b, nil
}

// words returns raw as numbers of the given byte order: raw itself where that is the machine's order.
func words(raw []byte, order binary.ByteOrder) []uint32 {
	n := len(raw) / 4
	if n == 0 {
		return nil
	}
	native := binary.NativeEndian.Uint16([]byte{1, 0}) == 1 == (order == binary.LittleEndian)
	if p := unsafe.Pointer(unsafe.SliceData(raw)); native && uintptr(p)%unsafe.Alignof(uint32(0)) == 0 {
		return unsafe.Slice((*uint32)(p), n)
	}
	w := make([]uint32, n)
	for i := range w {
		w[i] = order.Uint32(raw[4*i:])
	}
	return w
}

// checkStrings refuses strings longer than maxName: types may share one, and to read it for each would take for ever.
func checkStrings(strs []byte, off int64) error {
	for start := 0; start < len(strs); { // start is where a string starts; jump to the last one that starts within reach
		w := strs[start:min(len(strs), start+maxName+1)]
		n := bytes.LastIndexByte(w, 0)
		if n < 0 {
			return formatErr(off+int64(start), "a string of more than %d bytes, the limit", maxName)
		}
		start += n + 1
	}
	return nil
}

// extraWords is the number of 32-bit words that follow struct btf_type, by kind: fixed + vlen*each.
// Source: btf_type_size in libbpf v1.7's btf.c.
var extraWords = [...]struct{ fixed, each uint8 }{
	KindInt:       {1, 0},
	KindPtr:       {0, 0},
	KindArray:     {3, 0},
	KindStruct:    {0, 3},
	KindUnion:     {0, 3},
	KindEnum:      {0, 2},
	KindFwd:       {0, 0},
	KindTypedef:   {0, 0},
	KindVolatile:  {0, 0},
	KindConst:     {0, 0},
	KindRestrict:  {0, 0},
	KindFunc:      {0, 0},
	KindFuncProto: {0, 2},
	KindVar:       {1, 0},
	KindDatasec:   {0, 3},
	KindFloat:     {0, 0},
	KindDeclTag:   {1, 0},
	KindTypeTag:   {0, 0},
	KindEnum64:    {0, 3},
}

// index finds where each type starts. off is the byte offset of the type section in the input, for messages.
func (b *BTF) index(off int64) error {
	// A type has at least 3 words; kernels average 8, and growing from there is cheaper than counting first.
	b.pos = make([]uint32, 0, len(b.words)/8+1)
	n := uint32(len(b.words))
	for p := uint32(0); p < n; {
		id := b.first + ID(len(b.pos))
		if n-p < btfTypeLen/4 {
			return formatErr(off+4*int64(p), "type [%d] needs %d bytes, have %d", id, btfTypeLen, 4*(n-p))
		}
		info := b.words[p+1]
		kind := Kind(info >> 24 & 0x1f)
		if kind == KindVoid || kind > KindEnum64 {
			e := formatErr(off+4*int64(p), "type [%d] has kind %d, known are 1 to %d", id, kind, KindEnum64)
			e.Hint = "this BTF is damaged, or newer than this corecheck"
			return e
		}
		x := extraWords[kind]
		need := btfTypeLen/4 + uint32(x.fixed) + (info&btfMaxVlen)*uint32(x.each)
		if need > n-p {
			return formatErr(off+4*int64(p), "type [%d] %s needs %d bytes, have %d", id, kind, 4*need, 4*(n-p))
		}
		b.pos = append(b.pos, p)
		p += need
	}
	if uint64(b.first)+uint64(len(b.pos)) > math.MaxInt32 {
		return formatErr(off, "%d types, the format holds %d", uint64(b.first)+uint64(len(b.pos)), math.MaxInt32)
	}
	return nil
}

// check holds every id and every string offset against what there is, and refuses chains that never end.
// It follows btf_validate_type of libbpf v1.7; libbpf leaves cycles to the kernel, which refuses them too.
func (b *BTF) check(off int64) error {
	numTypes := uint32(b.NumTypes())
	strEnd := b.strEnd()
	for i, p := range b.pos {
		w := b.words[p:]
		kind := Kind(w[1] >> 24 & 0x1f)
		bad := func(what string, have, limit uint32) error {
			return formatErr(off+4*int64(p), "type [%d] %s: %s is %d, there are %d", b.first+ID(i), kind, what, have, limit)
		}
		if w[0] >= strEnd {
			return bad("string offset of the name", w[0], strEnd)
		}
		vlen := w[1] & btfMaxVlen
		switch kind {
		case KindInt:
			if bits, o := w[3]&0xff, w[3]>>16&0xff; bits > 128 || bits+o > 8*16 {
				return formatErr(off+4*int64(p), "type [%d] INT: %d bits at bit %d, an integer holds 128", b.first+ID(i), bits, o)
			}
		case KindPtr, KindTypedef, KindVolatile, KindConst, KindRestrict, KindVar, KindDeclTag, KindTypeTag, KindFunc:
			if w[2] >= numTypes {
				return bad("type id", w[2], numTypes)
			}
		case KindArray:
			if w[3] >= numTypes {
				return bad("type id of the elements", w[3], numTypes)
			}
			if w[4] >= numTypes {
				return bad("type id of the index", w[4], numTypes)
			}
		case KindStruct, KindUnion:
			for m := w[3 : 3+3*vlen]; len(m) > 0; m = m[3:] {
				if m[0] >= strEnd {
					return bad("string offset of a member", m[0], strEnd)
				}
				if m[1] >= numTypes {
					return bad("type id of a member", m[1], numTypes)
				}
			}
		case KindEnum:
			for m := w[3 : 3+2*vlen]; len(m) > 0; m = m[2:] {
				if m[0] >= strEnd {
					return bad("string offset of an enumerator", m[0], strEnd)
				}
			}
		case KindEnum64:
			for m := w[3 : 3+3*vlen]; len(m) > 0; m = m[3:] {
				if m[0] >= strEnd {
					return bad("string offset of an enumerator", m[0], strEnd)
				}
			}
		case KindFuncProto:
			if w[2] >= numTypes {
				return bad("type id of the result", w[2], numTypes)
			}
			for m := w[3 : 3+2*vlen]; len(m) > 0; m = m[2:] {
				if m[0] >= strEnd {
					return bad("string offset of a parameter", m[0], strEnd)
				}
				if m[1] >= numTypes {
					return bad("type id of a parameter", m[1], numTypes)
				}
			}
		case KindDatasec:
			for m := w[3 : 3+3*vlen]; len(m) > 0; m = m[3:] {
				if m[0] >= numTypes {
					return bad("type id of a variable", m[0], numTypes)
				}
			}
		}
	}
	return b.checkChains(off)
}

// checkChains refuses types that lead back to themselves through pointers, modifiers, typedefs, array elements or
// anonymous members: the ways that relocation and layout walk without a name to stop at. It also bounds how long and how
// wide such a walk can get, because anonymous structs that share others make a small input a walk without end.
func (b *BTF) checkChains(off int64) error {
	c := chainCheck{b: b, off: off, state: make([]uint32, len(b.pos))}
	for i := range b.pos {
		if c.state[i] == 0 {
			if _, err := c.visit(uint32(i), 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// chainCheck walks each type once. state of a type is 0 before, chainOpen while what it contains is walked, and then the
// depth of the walk from it (shifted by chainDepthShift) and its number of members.
type chainCheck struct {
	b     *BTF
	off   int64
	state []uint32
}

const (
	chainOpen       = 1<<32 - 1
	chainDepthShift = 24
	chainFlatMask   = 1<<chainDepthShift - 1
)

// visit returns the state of own type i, which is at the given level of the walk.
func (c *chainCheck) visit(i uint32, level int) (uint32, error) {
	b := c.b
	w := b.words[b.pos[i]:]
	kind := Kind(w[1] >> 24 & 0x1f)
	depth, flat := uint32(1), uint32(0)
	switch kind {
	case KindPtr, KindTypedef, KindVolatile, KindConst, KindRestrict, KindTypeTag, KindVar, KindDeclTag, KindArray:
		to := w[2]
		if kind == KindArray {
			to = w[3]
		}
		if to < uint32(b.first) { // the base was checked by itself and can't point here
			break
		}
		c.state[i] = chainOpen
		s, err := c.step(to-uint32(b.first), i, level)
		if err != nil {
			return 0, err
		}
		depth = s>>chainDepthShift + 1
		if kind != KindPtr {
			flat = s & chainFlatMask
		}
	case KindStruct, KindUnion:
		vlen := w[1] & btfMaxVlen
		flat = vlen
		c.state[i] = chainOpen
		for m := w[3 : 3+3*vlen]; len(m) > 0; m = m[3:] {
			if m[0] != 0 && !b.isEmpty(m[0]) || m[1] < uint32(b.first) { // named members are where walks stop
				continue
			}
			s, err := c.step(m[1]-uint32(b.first), i, level)
			if err != nil {
				return 0, err
			}
			depth = max(depth, s>>chainDepthShift+1)
			if flat += s & chainFlatMask; flat > maxFlat {
				return 0, formatErr(c.off+4*int64(b.pos[i]), "type [%d] %s has more than %d members, those of anonymous members included, the limit", b.first+ID(i), kind, maxFlat)
			}
		}
	}
	if depth > maxChainDepth {
		return 0, c.tooDeep(i, depth)
	}
	c.state[i] = depth<<chainDepthShift | flat
	return c.state[i], nil
}

// step goes from own type from to own type i.
func (c *chainCheck) step(i, from uint32, level int) (uint32, error) {
	b := c.b
	switch s := c.state[i]; {
	case s == chainOpen:
		return 0, formatErr(c.off+4*int64(b.pos[i]), "type [%d] %s leads back to itself through type [%d]", b.first+ID(i), b.Type(b.first+ID(i)).Kind(), b.first+ID(from))
	case s != 0:
		return s, nil
	case level == maxChainDepth:
		return 0, c.tooDeep(i, uint32(level)+1)
	}
	return c.visit(i, level+1)
}

func (c *chainCheck) tooDeep(i, depth uint32) error {
	return formatErr(c.off+4*int64(c.b.pos[i]), "type [%d] %s is nested %d deep, the limit is %d", c.b.first+ID(i), c.b.Type(c.b.first+ID(i)).Kind(), depth, maxChainDepth)
}

// ByteOrder is the byte order of the input.
func (b *BTF) ByteOrder() binary.ByteOrder { return b.order }

// Base is the BTF that b continues, nil where it stands alone.
func (b *BTF) Base() *BTF { return b.base }

// FirstID is the id of b's first own type: 1, or for split BTF the number of types of its base.
func (b *BTF) FirstID() ID { return b.first }

// NumTypes is one more than the largest id of b, void and the base's types included.
func (b *BTF) NumTypes() int { return int(b.first) + len(b.pos) }

func (b *BTF) strEnd() uint32 { return b.start + uint32(len(b.strs)) }

// str returns the string at offset off, which check has held against strEnd. The result shares memory with b.
func (b *BTF) str(off uint32) string {
	for off < b.start {
		b = b.base
	}
	s := b.strs[off-b.start:]
	return s[:strings.IndexByte(s, 0)]
}

// isEmpty tells whether the string at offset off is "".
func (b *BTF) isEmpty(off uint32) bool {
	for off < b.start {
		b = b.base
	}
	return b.strs[off-b.start] == 0
}

// at returns the words of type id and all that follow; id must not be 0.
func (b *BTF) at(id ID) []uint32 {
	for id < b.first {
		b = b.base
	}
	p := b.pos[id-b.first]
	if p&slotBit != 0 {
		p = b.lazy.owner.Slot(p &^ slotBit)
	}
	return b.words[p:]
}

func orderName(o binary.ByteOrder) string {
	if o == binary.BigEndian {
		return "big endian"
	}
	return "little endian"
}

// Error says what is wrong with an input and where.
type Error struct {
	File    string // as the user named it, with the steps inside: "linux.deb: data.tar: vmlinuz"
	Section string // such as ".BTF"
	Off     int64  // bytes from the start of the section, or of the file where there is no section; -1: nowhere
	Msg     string
	Hint    string // what to do about it, may be empty
	Err     error  // the cause, may be nil

	// Found is what an input without BTF says of itself beside: banner, architecture, name of the module. nil where the error is
	// another one, so that it tells "has none" from "can't be read".
	Found *File
}

// Error is one line: file, section, offset, what disagrees.
func (e *Error) Error() string {
	var s strings.Builder
	if e.File != "" {
		s.WriteString(e.File)
		s.WriteString(": ")
	}
	if e.Section != "" {
		s.WriteString(e.Section)
		s.WriteString(": ")
	}
	if e.Off >= 0 {
		fmt.Fprintf(&s, "at %#x: ", e.Off)
	}
	s.WriteString(e.Msg)
	if e.Err != nil {
		s.WriteString(": ")
		s.WriteString(e.Err.Error())
	}
	return s.String()
}

func (e *Error) Unwrap() error { return e.Err }

func formatErr(off int64, format string, args ...any) *Error {
	return &Error{Off: off, Msg: fmt.Sprintf(format, args...)}
}
