package archive

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/corecheck/corecheck/btfinfo"
)

// How long a definition is at most, and all definitions of one BTF, in bytes. The longest of real kernels have some tens of
// thousands, all together 4 million; types without names that share others could otherwise make a small BTF a content
// without end.
const (
	maxContent  = 8 << 20
	maxContents = 256 << 20
)

// interner numbers strings. Number 0 is the empty string.
type interner struct {
	ids  map[string]uint32
	list []string
}

func newInterner() *interner {
	return &interner{ids: map[string]uint32{"": 0}, list: []string{""}}
}

func (in *interner) id(s string) uint32 {
	if id, ok := in.ids[s]; ok {
		return id
	}
	id := uint32(len(in.list))
	in.ids[s] = id
	in.list = append(in.list, s)
	return id
}

// definition is one type with a name as it is in one BTF, or one without a name that nothing refers to.
type definition struct {
	kind btfinfo.Kind
	name uint32 // interned
	ord  uint32 // among the types of that kind and name, by ascending id; 0 for those without a name
	at   [2]int // of the content, in decomposed.content
}

// decomposed is one BTF, without its base, as definitions.
type decomposed struct {
	btf     *btfinfo.BTF
	base    *decomposed // nil for vmlinux
	defs    []definition
	content []byte
	ords    []uint32 // ords[i]: ordinal of own type i
	// tagNames are the names of the DECL_TAGs in the definitions, interned, ascending.
	tagNames []uint32
}

// decompose takes a BTF apart. base is what its base was taken apart to, nil where it has none.
func decompose(b *btfinfo.BTF, base *decomposed, in *interner) (*decomposed, error) {
	first, n := b.FirstID(), b.NumTypes()-int(b.FirstID())
	d := &decomposed{btf: b, base: base, ords: make([]uint32, n), content: make([]byte, 0, 16*n)}
	c := composer{d: d, in: in, tags: make(map[btfinfo.ID][]tag)}

	type kindName struct {
		kind btfinfo.Kind
		name string
	}
	seen := make(map[kindName]uint32, n/2)
	used := make([]bool, n) // that own types refer to
	use := func(id btfinfo.ID) {
		if id >= first {
			used[id-first] = true
		}
	}
	for i := range n {
		t := b.Type(first + btfinfo.ID(i))
		k := t.Kind()
		switch k {
		case btfinfo.KindDeclTag:
			if t.Ref() < first {
				continue // a module that tags a type of vmlinux: no compiler does, and the type is vmlinux's
			}
			c.tags[t.Ref()] = append(c.tags[t.Ref()], tag{in.id(t.Name()), t.KindFlag(), t.Component()})
			continue
		case btfinfo.KindStruct, btfinfo.KindUnion:
			for j := range t.Vlen() {
				use(t.Member(j).Type)
			}
		case btfinfo.KindFuncProto:
			for j := range t.Vlen() {
				use(t.Param(j).Type)
			}
		case btfinfo.KindDatasec:
			for j := range t.Vlen() {
				use(t.Var(j).Type)
			}
		case btfinfo.KindArray:
			use(t.Array().Index)
		}
		use(t.Ref())
		if !hasName(t) {
			continue
		}
		key := kindName{k, t.Name()}
		d.ords[i] = seen[key]
		seen[key]++
	}
	for _, list := range c.tags {
		slices.SortFunc(list, func(a, b tag) int {
			return cmp.Or(cmp.Compare(a.component, b.component), cmp.Compare(in.list[a.name], in.list[b.name]), boolCompare(a.flag, b.flag))
		})
	}
	for i := range n {
		t := b.Type(first + btfinfo.ID(i))
		named := hasName(t)
		if !named && (used[i] || !t.Kind().IsComposite() && !t.Kind().IsEnum()) {
			continue
		}
		def := definition{kind: t.Kind(), name: in.id(t.Name()), ord: d.ords[i]}
		def.at[0] = len(d.content)
		c.own, c.start = def.ord, def.at[0]
		if err := c.body(t, 0); err != nil {
			return nil, err
		}
		def.at[1] = len(d.content)
		if def.at[1] > maxContents {
			return nil, &btfinfo.Error{Section: ".BTF", Off: -1, Msg: fmt.Sprintf("the definitions up to type [%d] %s take %d bytes, the limit is %d", t.ID(), t.Kind(), def.at[1], maxContents)}
		}
		d.defs = append(d.defs, def)
	}
	slices.Sort(d.tagNames)
	d.tagNames = slices.Compact(d.tagNames)
	return d, nil
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// hasName tells the types that others name in place of holding them: those with a name that is the type's own.
// The name of a TYPE_TAG is its text.
func hasName(t btfinfo.Type) bool {
	switch t.Kind() {
	case btfinfo.KindInt, btfinfo.KindStruct, btfinfo.KindUnion, btfinfo.KindEnum, btfinfo.KindEnum64, btfinfo.KindFwd, btfinfo.KindTypedef,
		btfinfo.KindFunc, btfinfo.KindVar, btfinfo.KindDatasec, btfinfo.KindFloat:
		return t.Name() != ""
	}
	return false
}

type tag struct {
	name      uint32
	flag      bool
	component int // -1: the type itself
}

// composer writes contents.
type composer struct {
	d     *decomposed
	in    *interner
	tags  map[btfinfo.ID][]tag
	own   uint32 // ordinal of the definition
	start int    // where its content starts
}

func (c *composer) num(n uint64) { c.d.content = appendNum(c.d.content, n) }
func (c *composer) op(b byte)    { c.d.content = append(c.d.content, b) }
func (c *composer) str(s string) { c.num(uint64(c.in.id(s))) }
func (c *composer) zig(n int64)  { c.num(zigzag(n)) }

// expr writes the type as others hold it.
func (c *composer) expr(id btfinfo.ID, depth int) error {
	t := c.d.btf.Type(id)
	if !hasName(t) {
		return c.body(t, depth)
	}
	owner, plain, other := c.d, byte(opOwn), byte(opOwnX)
	for owner.base != nil && id < owner.btf.FirstID() {
		owner = owner.base
	}
	if owner.base == nil {
		plain, other = opRef, opRefX
	}
	ord := owner.ords[id-owner.btf.FirstID()]
	if ord == 0 {
		c.op(plain | byte(t.Kind()))
		c.str(t.Name())
		return nil
	}
	c.op(other | byte(t.Kind()))
	c.str(t.Name())
	c.zig(int64(ord) - int64(c.own))
	return nil
}

// body writes the type itself.
func (c *composer) body(t btfinfo.Type, depth int) error {
	k := t.Kind()
	if depth > maxNesting || len(c.d.content)-c.start > maxContent {
		return &btfinfo.Error{Section: ".BTF", Off: -1, Msg: fmt.Sprintf("type [%d] %s: types without names in it are nested more than %d deep, or take more than %d bytes, the limits",
			t.ID(), k, maxNesting, maxContent)}
	}
	if tags := c.tags[t.ID()]; t.ID() != 0 && tags != nil {
		c.op(opTagged | byte(k))
		c.num(boolNum(t.KindFlag() && flagged(k)))
		c.num(uint64(len(tags)))
		for _, g := range tags {
			c.d.tagNames = append(c.d.tagNames, g.name)
			c.num(uint64(g.name))
			c.num(boolNum(g.flag))
			c.num(uint64(g.component + 1))
		}
	} else if t.KindFlag() && flagged(k) {
		c.op(opFlagged | byte(k))
	} else {
		c.op(opBody | byte(k))
	}
	switch k {
	case btfinfo.KindInt:
		i := t.Int()
		c.num(uint64(t.Size()))
		c.num(boolNum(i.Signed) | boolNum(i.Char)<<1 | boolNum(i.Bool)<<2 | uint64(i.Off)<<3 | uint64(i.Bits)<<11)
	case btfinfo.KindFloat:
		c.num(uint64(t.Size()))
	case btfinfo.KindPtr, btfinfo.KindConst, btfinfo.KindVolatile, btfinfo.KindRestrict, btfinfo.KindTypedef:
		return c.expr(t.Ref(), depth+1)
	case btfinfo.KindTypeTag:
		c.str(t.Name())
		return c.expr(t.Ref(), depth+1)
	case btfinfo.KindArray:
		a := t.Array()
		c.num(uint64(a.Nelems))
		if err := c.expr(a.Elem, depth+1); err != nil {
			return err
		}
		return c.expr(a.Index, depth+1)
	case btfinfo.KindStruct, btfinfo.KindUnion:
		c.num(uint64(t.Size()))
		c.num(uint64(t.Vlen()))
		before := uint32(0)
		for i := range t.Vlen() {
			m := t.Member(i)
			c.str(m.Name)
			c.num(offsetToken(uint32(m.Off), before))
			before = uint32(m.Off)
			if t.KindFlag() {
				c.num(uint64(m.Size))
			}
			if err := c.expr(m.Type, depth+1); err != nil {
				return err
			}
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		c.num(uint64(t.Size()))
		c.num(uint64(t.Vlen()))
		before := uint64(0)
		for i := range t.Vlen() {
			e := t.Enumerator(i)
			c.str(e.Name)
			c.zig(int64(e.Value - before))
			before = e.Value
		}
	case btfinfo.KindFunc, btfinfo.KindVar:
		c.num(uint64(t.Linkage()))
		return c.expr(t.Ref(), depth+1)
	case btfinfo.KindFuncProto:
		c.num(uint64(t.Vlen()))
		if err := c.expr(t.Ref(), depth+1); err != nil {
			return err
		}
		for i := range t.Vlen() {
			p := t.Param(i)
			c.str(p.Name)
			if err := c.expr(p.Type, depth+1); err != nil {
				return err
			}
		}
	case btfinfo.KindDatasec:
		c.num(uint64(t.Size()))
		c.num(uint64(t.Vlen()))
		before := uint32(0)
		for i := range t.Vlen() {
			v := t.Var(i)
			if err := c.expr(v.Type, depth+1); err != nil {
				return err
			}
			c.num(zigzag(int64(v.Off) - int64(before)))
			before = v.Off
			c.num(uint64(v.Size))
		}
	case btfinfo.KindDeclTag: // goes with the type that it is on; the kernel refuses BTF that refers to one
		return &btfinfo.Error{Section: ".BTF", Off: -1, Msg: fmt.Sprintf("a type refers to [%d] DECL_TAG, which is none", t.ID())}
	}
	return nil
}

// flagged tells the kinds of which kind_flag says something: Documentation/bpf/btf.rst of Linux v6.12 (TYPE_TAG since v6.14).
func flagged(k btfinfo.Kind) bool {
	return k.IsComposite() || k.IsEnum() || k == btfinfo.KindFwd || k == btfinfo.KindTypeTag
}

func boolNum(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
