package archive

import (
	"bytes"
	"slices"

	"github.com/corecheck/corecheck/btfinfo"
)

// shape is a content taken apart: what a struct, union, enum or function lists, and the bytes around it.
type shape struct {
	kind   btfinfo.Kind
	flag   bool   // kind_flag
	tagged bool   // has DECL_TAGs, which name members and parameters by their number
	head   []byte // operator, DECL_TAGs, the linkage of a function and the operator of its prototype
	size   uint64 // of a struct, union or enum in bytes
	ret    []byte // type that a function returns
	parts  []shapePart
}

// shapePart is a member, an enumerator or a parameter.
type shapePart struct {
	name  uint64 // a string as contents number them
	off   uint32 // of a member, in bits
	bits  uint64 // of a member where kind_flag is set: its width, 0 for those that are no bitfield
	value uint64 // of an enumerator
	typ   []byte // of a member or parameter
}

// readShape takes a content apart. ok is false for kinds that list nothing, and for damaged contents.
func readShape(content []byte) (sh shape, ok bool) {
	s := &source{b: content}
	op := s.op()
	sh.kind = btfinfo.Kind(op & opKind)
	switch op & opClass {
	case opBody:
	case opFlagged:
		sh.flag = true
	case opTagged:
		sh.tagged = true
		sh.flag = s.num() != 0
		for range s.vlen() {
			s.num()
			s.num()
			s.num()
		}
	default:
		return sh, false
	}
	part := func() []byte {
		b := s.b
		skip(s)
		return b[:len(b)-len(s.b)]
	}
	head := func() { sh.head = content[:len(content)-len(s.b)] }
	switch sh.kind {
	case btfinfo.KindStruct, btfinfo.KindUnion:
		head()
		sh.size = s.num()
		off := uint32(0)
		for range s.vlen() {
			p := shapePart{name: s.num()}
			if off, ok = offsetOf(s.num(), off); !ok {
				return sh, false
			}
			p.off = off
			if sh.flag {
				p.bits = s.num()
			}
			p.typ = part()
			sh.parts = append(sh.parts, p)
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		head()
		sh.size = s.num()
		value := uint64(0)
		for range s.vlen() {
			p := shapePart{name: s.num()}
			value += uint64(unzigzag(s.num()))
			p.value = value
			sh.parts = append(sh.parts, p)
		}
	case btfinfo.KindFunc:
		s.num() // linkage
		if s.op() != opBody|byte(btfinfo.KindFuncProto) {
			return sh, false
		}
		head()
		n := s.vlen()
		sh.ret = part()
		for range n {
			sh.parts = append(sh.parts, shapePart{name: s.num(), typ: part()})
		}
	default:
		return sh, false
	}
	return sh, !s.bad && len(s.b) == 0
}

// content is the opposite of readShape.
func (sh *shape) content() []byte {
	b := slices.Clone(sh.head)
	switch sh.kind {
	case btfinfo.KindStruct, btfinfo.KindUnion:
		b = appendNum(b, sh.size)
		b = appendNum(b, uint64(len(sh.parts)))
		before := uint32(0)
		for _, p := range sh.parts {
			b = appendNum(b, p.name)
			b = appendNum(b, offsetToken(p.off, before))
			before = p.off
			if sh.flag {
				b = appendNum(b, p.bits)
			}
			b = append(b, p.typ...)
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		b = appendNum(b, sh.size)
		b = appendNum(b, uint64(len(sh.parts)))
		before := uint64(0)
		for _, p := range sh.parts {
			b = appendNum(b, p.name)
			b = appendNum(b, zigzag(int64(p.value-before)))
			before = p.value
		}
	case btfinfo.KindFunc:
		b = appendNum(b, uint64(len(sh.parts)))
		b = append(b, sh.ret...)
		for _, p := range sh.parts {
			b = appendNum(b, p.name)
			b = append(b, p.typ...)
		}
	}
	return b
}

// Churn is how two BTFs differ, counted in definitions: a name of one kind, under one ordinal.
type Churn struct {
	Types, Funcs, Vars Counts

	// Within the structs and unions that changed: what has a name is found again by it, the rest by its type.
	Members Counts
	Moved   int // members found again at another offset
	Retyped int // members found again with another type
	// Within the functions that changed.
	Params, Returns Counts
	// Within the enums that changed.
	Values Counts

	Names []string // of the definitions that changed, "struct task_struct", in the order of the second BTF
}

// Counts of what is in the first BTF, what only the second has, what only the first has, and what both have differently.
type Counts struct{ Before, Added, Removed, Changed int }

// Compare counts how b differs from a.
func Compare(a, b *btfinfo.BTF) (*Churn, error) {
	in := newInterner()
	x, err := decompose(a, nil, in)
	if err != nil {
		return nil, err
	}
	y, err := decompose(b, nil, in)
	if err != nil {
		return nil, err
	}
	type key struct {
		kind      btfinfo.Kind
		name, ord uint32
	}
	c := &Churn{}
	of := func(k btfinfo.Kind) *Counts {
		switch classOf(k) {
		case classFunc:
			return &c.Funcs
		case classVar:
			return &c.Vars
		}
		return &c.Types
	}
	old := make(map[key][]byte, len(x.defs))
	for _, d := range x.defs {
		if d.name != 0 {
			old[key{d.kind, d.name, d.ord}] = x.content[d.at[0]:d.at[1]]
			of(d.kind).Before++
		}
	}
	for _, d := range y.defs {
		if d.name == 0 {
			continue
		}
		k := key{d.kind, d.name, d.ord}
		was, ok := old[k]
		if !ok {
			of(d.kind).Added++
			continue
		}
		delete(old, k)
		if is := y.content[d.at[0]:d.at[1]]; !bytes.Equal(was, is) {
			of(d.kind).Changed++
			c.Names = append(c.Names, d.kind.String()+" "+in.list[d.name])
			c.within(was, is)
		}
	}
	for k := range old {
		of(k.kind).Removed++
	}
	return c, nil
}

// within counts what changed in a definition.
func (c *Churn) within(was, is []byte) {
	x, ok1 := readShape(was)
	y, ok2 := readShape(is)
	if !ok1 || !ok2 || x.kind != y.kind {
		return
	}
	n := &c.Members
	switch x.kind {
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		n = &c.Values
	case btfinfo.KindFunc:
		n = &c.Params
		c.Returns.Before++
		if !bytes.Equal(x.ret, y.ret) {
			c.Returns.Changed++
		}
	}
	n.Before += len(x.parts)
	left := slices.Clone(x.parts)
	for _, p := range y.parts {
		i := slices.IndexFunc(left, func(q shapePart) bool {
			return p.name == q.name && (p.name != 0 || bytes.Equal(p.typ, q.typ))
		})
		if i < 0 {
			n.Added++
			continue
		}
		q := left[i]
		left = slices.Delete(left, i, i+1)
		moved, retyped := p.off != q.off, !bytes.Equal(p.typ, q.typ)
		if n == &c.Members {
			c.Moved += int(boolNum(moved))
			c.Retyped += int(boolNum(retyped))
		}
		if moved || retyped || p.bits != q.bits || p.value != q.value {
			n.Changed++
		}
	}
	n.Removed += len(left)
}
