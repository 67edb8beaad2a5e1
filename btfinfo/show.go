package btfinfo

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// cacheLine is the length in bytes by which Show counts: that of x86-64 and of most arm64. pahole takes it from the
// machine that it runs on; a report here must not depend on that.
const cacheLine = 64

// Show writes types as pahole does: C, with the offset and size in bytes behind every member, holes, the boundaries of
// cache lines, and a summary. A bitfield has "byte:bit size": where its storage starts, its first bit there, and the
// size of the storage. Anonymous structs and unions are expanded in place, with offsets from the outermost struct.
//
// A function is written as its prototype, an enum with its values. Where several types have one name, all are written,
// each under a comment that numbers them.
func Show(w io.Writer, b *BTF, names []string) error {
	ids, err := b.Select(names)
	if err != nil {
		return err
	}
	lw := limitText(w, b)
	count := map[string]int{}
	for _, id := range ids {
		count[b.Type(id).Name()]++
	}
	seen := map[string]int{}
	s := &shower{b: b, tags: declTags(b)}
	s.w = cWriter{
		b: b, ptrSize: b.PointerSize(), budget: declBudget(b), tags: false,
		name: func(t Type) string { return shown(t.Name()) }, inline: s.body, intOf: s.scalar, param: shown,
	}
	for i, id := range ids {
		t := b.Type(id)
		if i > 0 {
			s.w.str("\n")
		}
		if name := t.Name(); count[name] > 1 {
			seen[name]++
			s.w.str(fmt.Sprintf("/* %d of %d: type [%d] */\n", seen[name], count[name], id))
		}
		s.show(t)
		if s.w.err != nil {
			return s.w.err
		}
		if _, err := lw.Write(s.w.out); err != nil {
			return err
		}
		s.w.out = s.w.out[:0]
	}
	return nil
}

type shower struct {
	b    *BTF
	w    cWriter
	tags map[ID][]Type

	base uint64 // bit offset of the anonymous body that is written next
	line uint64 // number of the last cache line whose start was written
}

func (s *shower) scalar(t Type) string {
	if name := t.Name(); name != "" {
		return shown(name)
	}
	return cBytes(t.Size())
}

// show writes one type of the top level.
func (s *shower) show(t Type) {
	c := &s.w
	for _, tag := range s.tags[t.ID()] {
		if tag.Component() < 0 {
			c.str("/* tag " + cQuote(tag.Name()) + " */\n")
		}
	}
	s.base, s.line = 0, 0
	switch k := t.Kind(); k {
	case KindStruct, KindUnion, KindEnum, KindEnum64:
		s.body(t, 0)
		c.str(";\n")
	case KindFwd:
		c.str(tagWord(t) + shown(t.Name()) + "; /* declared only */\n")
	case KindTypedef:
		c.str("typedef ")
		c.declare(t.Ref(), shown(t.Name()), 0)
		c.str(";")
		s.size(t.ID())
	case KindFunc:
		if t.Linkage() == 0 {
			c.str("static ")
		}
		c.declare(t.Ref(), shown(t.Name()), 0)
		c.str(";\n")
	case KindVar:
		c.str(map[uint32]string{0: "static ", 2: "extern "}[t.Linkage()])
		c.declare(t.Ref(), shown(t.Name()), 0)
		c.str(";")
		s.size(t.ID())
	case KindInt:
		i := t.Int()
		c.str(fmt.Sprintf("%s; /* size: %d, bits: %d, encoding: %s */\n", shown(t.Name()), t.Size(), i.Bits, i.encoding()))
	case KindFloat:
		c.str(fmt.Sprintf("%s; /* size: %d */\n", shown(t.Name()), t.Size()))
	case KindDatasec:
		c.str(fmt.Sprintf("/* section %s: %d bytes, %d variables */\n", cQuote(t.Name()), t.Size(), t.Vlen()))
		for i, n := 0, t.Vlen(); i < n && c.err == nil; i++ {
			v := t.Var(i)
			of := s.b.Type(v.Type)
			start := len(c.out)
			c.declare(of.Ref(), shown(of.Name()), 0)
			if c.flush(); c.err != nil {
				return
			}
			c.str(";")
			s.comment(start, 0, fmt.Sprintf("%5d %5d", v.Off, v.Size))
		}
	default: // tags
		c.str(fmt.Sprintf("/* %s %s on type [%d] %s, component %d */\n",
			k, cQuote(t.Name()), t.Ref(), cQuote(s.b.Type(t.Ref()).Name()), t.Component()))
	}
}

func (s *shower) size(id ID) {
	if n, ok := s.b.SizeOf(id); ok {
		s.w.str(fmt.Sprintf(" /* size: %d */", n))
	}
	s.w.str("\n")
}

// shown is a name as it stands, with what could disturb a terminal escaped.
func shown(name string) string {
	if isCIdent(name) {
		return name
	}
	return printable(name)
}

func (s *shower) body(t Type, lvl int) {
	c := &s.w
	if !c.spend(t.ID(), t.Vlen()) {
		return
	}
	c.str(strings.TrimSuffix(tagWord(t)+shown(t.Name()), " "))
	c.str(" {\n")
	if t.Kind().IsEnum() {
		s.values(t, lvl)
	} else {
		s.members(t, lvl)
	}
	c.tabs(lvl)
	c.str("}")
}

func (s *shower) values(t Type, lvl int) {
	c := &s.w
	for i, n := 0, t.Vlen(); i < n; i++ {
		if c.flush(); c.err != nil {
			return
		}
		e := t.Enumerator(i)
		c.tabs(lvl + 1)
		c.str(shown(e.Name) + " = " + enumValue(t, e) + ",\n")
	}
	if lvl == 0 {
		c.str(fmt.Sprintf("\n\t/* size: %d, values: %d, %s */\n", t.Size(), t.Vlen(), strings.ToLower(enumEncoding(t))))
	}
}

// showSums are the numbers of the summary below a struct.
type showSums struct {
	bytes, bits                          uint64 // of members, of bitfields
	holes, holeBytes, bitHoles, holeBits uint64
	padded, padding                      uint64 // members whose own type ends in padding, and its bytes
}

func (s *shower) members(t Type, lvl int) {
	c := &s.w
	base := s.base
	isStruct := t.Kind() == KindStruct
	var sum showSums
	end := uint64(0) // bit behind the last member, from the start of t
	for i, n := 0, t.Vlen(); i < n; i++ {
		if c.flush(); c.err != nil {
			return
		}
		m := t.Member(i)
		off, bits := s.b.MemberBits(m)
		size, sized := s.b.SizeOf(m.Type)
		at := uint64(off)
		if isStruct && at > end {
			s.hole(end, at, lvl, &sum)
		}
		s.boundary(base+at, lvl)

		c.tabs(lvl + 1)
		start := len(c.out)
		s.base = base + at
		if s.behindPointer(m.Type) {
			s.base = 0
		}
		lines := s.line
		c.declare(m.Type, "\x00"+shown(m.Name), lvl+1)
		if c.err != nil {
			return
		}
		if s.behindPointer(m.Type) {
			s.line = lines
		}
		pos := base + at
		var text string
		if bits != 0 {
			c.str(":" + strconv.Itoa(int(bits)))
			unit := 8 * uint64(max(size, 1))
			byteOff, bit := pos/unit*uint64(size), pos%unit
			if bit+uint64(bits) > unit {
				byteOff, bit = pos/8, pos%8
			}
			text = fmt.Sprintf("%5d:%2d %2d", byteOff, bit, size)
			sum.bits += uint64(bits)
			end = max(end, at+uint64(bits))
		} else {
			text = fmt.Sprintf("%5d %5d", pos/8, size)
			if !sized {
				text = fmt.Sprintf("%5d     ?", pos/8)
			}
			sum.bytes += uint64(size)
			end = max(end, at+8*uint64(size))
		}
		c.str(";")
		for _, tag := range s.tags[t.ID()] {
			if tag.Component() == i {
				text += " tag " + cQuote(tag.Name())
			}
		}
		s.comment(start, lvl, text)
		if n := s.padding(m.Type); n > 0 && bits == 0 && m.Name != "" {
			sum.padded++
			sum.padding += n
			s.blank()
			c.tabs(lvl + 1)
			c.str(fmt.Sprintf("/* XXX last struct has %s of padding */\n\n", count(n, "byte")))
		}
	}
	s.base = base
	whole := 8 * uint64(t.Size())
	if isStruct && lvl > 0 && end < whole && t.Vlen() > 0 {
		s.hole(end, whole, lvl, &sum)
	}
	if lvl == 0 && c.err == nil {
		s.summary(t, sum, end)
	}
}

// padding is the number of bytes behind the last member of a named struct.
func (s *shower) padding(id ID) uint64 {
	t := s.b.Skip(id)
	if t.Kind() != KindStruct || t.Vlen() == 0 {
		return 0
	}
	end := uint64(0)
	for i, n := 0, t.Vlen(); i < n; i++ {
		m := t.Member(i)
		off, bits := s.b.MemberBits(m)
		if bits == 0 {
			size, _ := s.b.SizeOf(m.Type)
			end = max(end, uint64(off)+8*uint64(size))
		} else {
			end = max(end, uint64(off)+uint64(bits))
		}
	}
	if whole := 8 * uint64(t.Size()); end < whole {
		return (whole - end) / 8
	}
	return 0
}

// count writes a number with its unit: "1 byte", "2 bytes".
func count(n uint64, unit string) string {
	if n == 1 {
		return "1 " + unit
	}
	return strconv.FormatUint(n, 10) + " " + unit + "s"
}

// behindPointer tells a member whose type is reached through a pointer: offsets inside start again at 0.
func (s *shower) behindPointer(id ID) bool {
	for {
		t := s.b.Type(id)
		switch k := t.Kind(); {
		case k == KindPtr, k == KindFuncProto:
			return true
		case k == KindArray || k.IsModifier():
			id = t.Ref()
		default:
			return false
		}
	}
}

// comment lines up the declaration that was written at start, which has a 0 byte before its name, and puts text behind.
// The columns are those of pahole: 26 characters of type, then a name of 21, both narrower by a tab on each level.
func (s *shower) comment(start, lvl int, text string) {
	c := &s.w
	decl := string(c.out[start:])
	c.out = c.out[:start]
	if at := strings.LastIndexByte(decl, '\n'); at >= 0 { // an expanded body: its last line counts
		c.str(decl[:at+1])
		decl = decl[at+1:]
		indent := len(decl) - len(strings.TrimLeft(decl, "\t"))
		c.str(decl[:indent])
		decl = strings.Replace(decl[indent:], "\x00", "", 1)
		decl = strings.Replace(decl, " ;", ";", 1)
		c.str(decl)
		c.str(strings.Repeat(" ", max(1, 49-8*lvl-len(decl))))
	} else {
		typ, name, _ := strings.Cut(decl, "\x00")
		typ = strings.TrimRight(typ, " ")
		width := max(26-8*lvl, 0)
		if at := strings.Index(typ, " (*"); at >= 0 { // a pointer to a function or an array
			typ, name = typ[:at], typ[at+1:]+name
		}
		c.str(typ)
		c.str(strings.Repeat(" ", max(width-len(typ), 0)))
		if name != ";" {
			c.str(" ")
		}
		c.str(name)
		width = max(width, len(typ)) + 1 + len(name)
		c.str(strings.Repeat(" ", max(1, 49-8*lvl-width)))
	}
	c.str("/* " + text + " */\n")
}

// boundary writes a line where a member lies on another cache line than the one before it.
func (s *shower) boundary(at uint64, lvl int) {
	n := at / 8 / cacheLine
	if n <= s.line {
		return
	}
	s.line = n
	ago := ""
	if d := at/8 - n*cacheLine; d > 0 {
		ago = fmt.Sprintf(" was %d bytes ago", d)
	}
	s.w.tabs(lvl + 1)
	s.w.str(fmt.Sprintf("/* --- cacheline %d boundary (%d bytes)%s --- */\n", n, n*cacheLine, ago))
}

// blank writes an empty line where there is none yet.
func (s *shower) blank() {
	if n := len(s.w.out); n < 2 || s.w.out[n-1] != '\n' || s.w.out[n-2] != '\n' {
		s.w.str("\n")
	}
}

// hole writes and counts the unused bits from bit a to bit z: the rest of a byte, then whole bytes, then bits before a
// bitfield.
func (s *shower) hole(a, z uint64, lvl int, sum *showSums) {
	bits := min(z-a, (8-a%8)%8)
	bytes := (z - a - bits) / 8
	bits += (z - a - bits) % 8
	line := func(n uint64, unit string) {
		if n == 0 {
			return
		}
		s.blank()
		s.w.tabs(lvl + 1)
		s.w.str(fmt.Sprintf("/* XXX %s hole, try to pack */\n", count(n, unit)))
	}
	line(bits, "bit")
	line(bytes, "byte")
	s.blank()
	if bits > 0 {
		sum.bitHoles++
		sum.holeBits += bits
	}
	if bytes > 0 {
		sum.holes++
		sum.holeBytes += bytes
	}
}

func (s *shower) summary(t Type, sum showSums, end uint64) {
	c := &s.w
	size := uint64(t.Size())
	line := func(parts ...string) {
		if len(parts) > 0 {
			c.str("\t/* " + strings.Join(parts, ", ") + " */\n")
		}
	}
	s.blank()
	line(fmt.Sprintf("size: %d", size), fmt.Sprintf("cachelines: %d", (size+cacheLine-1)/cacheLine), fmt.Sprintf("members: %d", t.Vlen()))
	if t.Kind() == KindStruct {
		var parts []string
		if sum.holes > 0 || sum.bits > 0 {
			parts = append(parts, fmt.Sprintf("sum members: %d", sum.bytes))
		}
		if sum.holes > 0 {
			parts = append(parts, fmt.Sprintf("holes: %d, sum holes: %d", sum.holes, sum.holeBytes))
		}
		line(parts...)
		parts = nil
		if sum.bits > 0 {
			n := fmt.Sprintf("sum bitfield members: %d bits", sum.bits)
			if sum.bits%8 == 0 {
				n += " (" + count(sum.bits/8, "byte") + ")"
			}
			parts = append(parts, n)
		}
		if sum.bitHoles > 0 {
			parts = append(parts, fmt.Sprintf("bit holes: %d, sum bit holes: %d bits", sum.bitHoles, sum.holeBits))
		}
		line(parts...)
		parts = nil
		switch {
		case end > 8*size:
			parts = append(parts, fmt.Sprintf("members reach %d bits beyond the size", end-8*size))
		default:
			if n := (8*size - end) / 8; n > 0 {
				parts = append(parts, fmt.Sprintf("padding: %d", n))
			}
			if n := (8*size - end) % 8; n > 0 {
				parts = append(parts, fmt.Sprintf("bit_padding: %d bits", n))
			}
		}
		line(parts...)
		if sum.padded > 0 {
			line(fmt.Sprintf("paddings: %d, sum paddings: %d", sum.padded, sum.padding))
		}
	}
	if n := size % cacheLine; n > 0 {
		line(fmt.Sprintf("last cacheline: %d bytes", n))
	}
}
