package btfinfo

import "sort"

// The layout that a C compiler gives to what DumpC writes, so that padding and packing can bring it to the offsets and
// sizes that the BTF has. The rules are those of the System V ABI for naturally aligned targets, which clang follows
// for BPF (RecordLayoutBuilder.cpp):
//
//   - a member starts at the next multiple of its alignment; in a packed struct, at the next byte;
//   - a bitfield starts at the next bit, but moves to the next unit of its type where it would cross the end of one;
//     in a packed struct it starts at the next bit always;
//   - the struct has the largest alignment of its named members, and its size is a multiple of that. Unnamed
//     bitfields align nothing.
//
//	bit      0        8        16       24       32
//	         |u8 a    |u32 b:3 |        |        |      b starts at bit 8: its unit is bits 0 to 31
//	         |u8 a    |  :8    |short:16|u32 b:3 |      b starts at bit 32: three lines of padding, here in two units

// cGeom is what our C of a struct or union comes to.
type cGeom struct {
	size    uint64 // bytes
	align   uint32 // bytes
	packed  bool   // needs the attribute
	aligned uint32 // needs this alignment as an attribute; 0: none
	fill    uint64 // bytes of an anonymous struct that makes a union large enough
}

// cPlaced is one step through a struct: padding of pad bits at bit at, or member index; lost says why C can't have that
// member, which then takes no room. aligned is the attribute in bytes that brings the member to its place, or the end of
// the struct (index -1); 0: none.
type cPlaced struct {
	at, pad uint64
	index   int
	lost    string
	aligned uint32
}

// maxCSize is the largest type in bytes that is laid out: more than the size of any struct, which has 32 bits.
const maxCSize = 1 << 40

// cSizeOf is the size and alignment in bytes of type id as our C writes it. ok is false for what has no size, or one
// that no struct can hold.
func (d *cDump) cSizeOf(id ID) (size uint64, align uint32, ok bool) {
	n := uint64(1)
	id = d.memberType(id)
	for {
		t := d.n.target(d.b.Type(id))
		switch t.Kind() {
		case KindInt:
			size, align = uint64(t.Size()), 1
			if _, ok := cInt(t, d.w.ptrSize); ok {
				align = t.Size()
			}
		case KindFloat:
			size, align = uint64(t.Size()), 1
			if _, ok := cFloat(t.Size()); ok {
				align = t.Size()
			}
		case KindPtr:
			size, align = uint64(d.w.ptrSize), d.w.ptrSize
		case KindEnum, KindEnum64:
			if t.Vlen() == 0 && t.Name() == "" {
				size, align = uint64(t.Size()), 1
				if _, ok := cIntOf(t.Size(), false); ok {
					align = t.Size()
				}
				break
			}
			s, _ := enumSize(t)
			size, align = uint64(s), s
		case KindStruct, KindUnion:
			g := d.geom(t.ID())
			size, align = g.size, g.align
		case KindTypedef, KindConst, KindVolatile, KindRestrict, KindTypeTag:
			id = t.Ref()
			continue
		case KindArray:
			if n *= uint64(t.Array().Nelems); n > maxCSize {
				return 0, 0, false
			}
			id = t.Ref()
			continue
		default:
			return 0, 0, false
		}
		size *= n
		return size, align, size <= maxCSize
	}
}

// geom lays out a struct or union. It is called for types that need has been through, which contain no cycles.
func (d *cDump) geom(id ID) cGeom {
	if g, ok := d.geoms[id]; ok {
		return g
	}
	t := d.b.Type(id)
	var g cGeom
	if t.Kind() == KindUnion {
		g = d.unionGeom(t)
	} else {
		var ok bool
		if g, ok = d.structGeom(t, false); !ok {
			g, _ = d.structGeom(t, true)
		}
	}
	d.geoms[id] = g
	return g
}

// structGeom lays out a struct with or without packing. ok is false where some member can't be brought to its place.
func (d *cDump) structGeom(t Type, packed bool) (g cGeom, ok bool) {
	g = cGeom{size: uint64(t.Size()), align: 1, packed: packed}
	ok = d.place(t, packed, func(p cPlaced) bool {
		g.align = max(g.align, p.aligned)
		if p.index < 0 {
			g.aligned = p.aligned
			return true
		}
		if p.pad == 0 && p.lost == "" && !packed {
			m := t.Member(p.index)
			_, bits := d.b.MemberBits(m)
			if _, align, ok := d.cSizeOf(m.Type); ok && (bits == 0 || m.Name != "") {
				g.align = max(g.align, align)
			}
		}
		return true
	})
	if g.size%uint64(g.align) != 0 {
		ok = false
	}
	return g, ok
}

// place walks the members of a struct in the order of their offsets, with the padding that brings each to its place,
// and the padding behind the last. It reports whether every member that C can have gets there.
func (d *cDump) place(t Type, packed bool, yield func(cPlaced) bool) bool {
	n := t.Vlen()
	end := 8 * uint64(t.Size())
	var order []int // only where the BTF isn't in order already: Rust's fields
	last := Bits(0)
	for i := 0; i < n; i++ {
		off, _ := d.b.MemberBits(t.Member(i))
		if off < last && order == nil {
			order = make([]int, n)
			for j := range order {
				order[j] = j
			}
			sort.SliceStable(order, func(x, y int) bool {
				ox, _ := d.b.MemberBits(t.Member(order[x]))
				oy, _ := d.b.MemberBits(t.Member(order[y]))
				return ox < oy
			})
			break
		}
		last = off
	}
	cur, align := uint64(0), uint32(1) // cur: the next free bit
	all := true
	for k := 0; k < n; k++ {
		i := k
		if order != nil {
			i = order[k]
		}
		m := t.Member(i)
		off, bits := d.b.MemberBits(m)
		size, a, lost := d.fit(m, off, bits)
		at := uint64(off)
		switch {
		case lost != "":
		case at < cur:
			lost = "overlaps the member before it"
		case at+size > end:
			lost = "reaches beyond the end of the struct"
		}
		if lost != "" {
			if !yield(cPlaced{index: i, lost: lost}) {
				return false
			}
			continue
		}
		if packed {
			a = 1
		} else {
			if bits == 0 || m.Name != "" {
				align = max(align, a)
			}
			unit := 8 * uint64(a)
			if bits == 0 && at%unit != 0 || bits != 0 && at%unit+size > unit {
				all = false // packing is the way, and the rest of this walk is of no use
				break
			}
		}
		natural := cur
		switch unit := 8 * uint64(a); {
		case bits == 0:
			natural = roundUp(cur, unit)
		case !packed && cur%unit+size > unit:
			natural = roundUp(cur, unit)
		}
		p := cPlaced{index: i}
		if natural != at {
			if bits == 0 && !packed {
				p.aligned = alignFor(cur, at, end)
				align = max(align, p.aligned)
			}
			if p.aligned == 0 && !yield(cPlaced{at: cur, pad: at - cur}) {
				return false
			}
		}
		if !yield(p) {
			return false
		}
		cur = at + size
	}
	if all && cur < end && roundUp(cur, 8*uint64(align)) != end {
		p := cPlaced{at: cur, pad: end - cur}
		if a := alignFor(cur, end, end); a != 0 && !packed {
			p = cPlaced{index: -1, aligned: a}
		}
		if !yield(p) {
			return false
		}
	}
	return all
}

// alignFor is the alignment in bytes that explains a hole from bit cur to bit at, of a struct that ends at bit end; 0
// where none does, or where the hole is small enough for lines of padding. BTF doesn't have the alignment that the
// source asked for, but a hole up to a page is nothing else.
func alignFor(cur, at, end uint64) uint32 {
	if at-cur <= 64*maxPadLines {
		return 0
	}
	for a := uint64(8 * maxPadLines); a <= maxAlign; a *= 2 {
		if roundUp(cur, 8*a) == at && end%(8*a) == 0 {
			return uint32(a)
		}
	}
	return 0
}

// maxAlign is the largest alignment in bytes that is written as an attribute: a huge page of 64-bit targets.
const maxAlign = 1 << 21

// fit gives the size in bits and the alignment in bytes of a member, or the reason why C can't have it.
func (d *cDump) fit(m Member, off, bits Bits) (size uint64, align uint32, lost string) {
	s, align, ok := d.cSizeOf(m.Type)
	if !ok {
		return 0, 1, "its type has no size in C"
	}
	if bits == 0 {
		switch {
		case off%8 != 0:
			return 0, 1, "not at a byte"
		case m.Name == "" && !d.b.Skip(m.Type).Kind().IsComposite():
			return 0, 1, "has no name"
		}
		return 8 * s, align, ""
	}
	base := d.n.target(d.b.Skip(m.Type))
	limit := 8 * s
	switch {
	case base.Kind() == KindInt && base.Name() == "_Bool" && s == 1:
		limit = 1
	case base.Kind() == KindInt:
		if _, ok := cInt(base, d.w.ptrSize); !ok {
			limit = 0
		}
	case !base.Kind().IsEnum():
		limit = 0
	}
	if uint64(bits) > limit {
		return 0, 1, "a bitfield that its type can't hold"
	}
	return uint64(bits), align, ""
}

// fitUnion is fit for a member of a union.
func (d *cDump) fitUnion(t Type, m Member, off, bits Bits) (size uint64, align uint32, lost string) {
	size, align, lost = d.fit(m, off, bits)
	switch {
	case lost != "":
	case off != 0:
		lost = "not at the start of the union"
	case size > 8*uint64(t.Size()):
		lost = "larger than the union"
	}
	return size, align, lost
}

// unionGeom lays out a union: packed where it is smaller than C would have it, aligned where it is larger, and filled
// up where its size is a multiple of nothing.
func (d *cDump) unionGeom(t Type) cGeom {
	g := cGeom{align: 1}
	var bytes uint64
	for i, n := 0, t.Vlen(); i < n; i++ {
		m := t.Member(i)
		off, bits := d.b.MemberBits(m)
		size, align, lost := d.fitUnion(t, m, off, bits)
		if lost != "" {
			continue
		}
		bytes = max(bytes, (size+7)/8)
		if bits == 0 || m.Name != "" {
			g.align = max(g.align, align)
		}
	}
	want := uint64(t.Size())
	g.size = roundUp(bytes, uint64(g.align))
	if g.size > want {
		g.packed, g.align, g.size = true, 1, bytes
	}
	for a := g.align; g.size < want && a < maxAlign; {
		a *= 2
		if roundUp(bytes, uint64(a)) == want {
			g.aligned, g.align, g.size = a, a, want
		}
	}
	if g.size < want {
		if want%uint64(g.align) != 0 {
			g.packed, g.align = true, 1
		}
		g.fill, g.size = want, want
	}
	return g
}

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }
