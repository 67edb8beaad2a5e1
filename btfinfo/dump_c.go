package btfinfo

import (
	"fmt"
	"io"
	"strconv"
)

// DumpOptions choose what is dumped.
type DumpOptions struct {
	// Names are the types to dump, with all that they need; none means everything. See (*BTF).Select.
	Names []string
}

// maxTypeDepth is how many definitions may need each other in a row: struct in struct, typedef in struct. Kernels have
// fewer than 100.
const maxTypeDepth = 4096

// DumpC writes the types of b as C that compiles: definitions in the order in which C needs them, with forward
// declarations between them, and with the layout that the BTF describes, kept by padding and packing where the
// compiler would not arrive at it by itself.
//
// The C is for compilers whose pointers have b.PointerSize() bytes and that align integers naturally: clang for BPF
// where the pointers have 8. Types of one name are told apart as NAME___2, NAME___3 in the order of their ids, which
// CO-RE takes for flavours. What C can't express (overlapping members, bitfields wider than their type) stands as a
// comment, and the bytes are padded. Functions and variables are written only where they are asked for by name.
//
// Types that need themselves by value, or through a typedef without a name to stop at, are an *Error: C has no way to
// write them. Split BTF is written with the base's types that it needs.
func DumpC(w io.Writer, b *BTF, opts DumpOptions) error {
	n, err := newCNames(b)
	if err != nil {
		return err
	}
	d := &cDump{b: b, n: n, state: make([]cState, b.NumTypes()), geoms: map[ID]cGeom{}}
	roots, err := d.roots(opts.Names)
	if err != nil {
		return err
	}
	for _, id := range roots {
		d.root(id)
		if d.err != nil {
			return d.err
		}
	}
	d.w = cWriter{
		b: b, w: limitText(w, b), ptrSize: b.PointerSize(), budget: declBudget(b), tags: true,
		name: d.nameOf, inline: func(t Type, lvl int) { d.body(t, lvl, "") }, intOf: d.scalar, param: d.paramName,
	}
	return d.write()
}

// cState is how far the ordering of a type has come.
type cState uint8

const (
	cDeclared cState = 1 << iota // the tag may be used behind a pointer
	cOpen                        // its needs are being collected
	cDefined                     // in the queue with its body
	cComplete                    // a typedef: what it stands for is defined, too
)

// cItem is one declaration of the output: a forward declaration, or a definition.
type cItem struct {
	id  ID
	fwd bool
}

type cDump struct {
	b      *BTF
	n      *cNames
	state  []cState
	queue  []cItem
	outer  ID // the named struct of which the members are being looked at: inside its braces its tag is declared
	depth  int
	err    error
	tagged bool // something that is written has a tag

	w     cWriter
	geoms map[ID]cGeom
	pads  int // names given to padding in the struct that is being written
	tags  map[ID][]Type
}

// roots are the types to write, in ascending order.
func (d *cDump) roots(names []string) ([]ID, error) {
	if len(names) > 0 {
		return d.b.Select(names)
	}
	used := d.referenced()
	var ids []ID
	for id := d.b.FirstID(); int(id) < d.b.NumTypes(); id++ {
		t := d.b.Type(id)
		switch t.Kind() {
		case KindStruct, KindUnion, KindFwd, KindTypedef:
			if t.Name() != "" {
				ids = append(ids, id)
			}
		case KindEnum, KindEnum64:
			// An anonymous enum that nothing refers to declares constants.
			if t.Name() != "" || !used[id] && t.Vlen() > 0 {
				ids = append(ids, id)
			}
		}
	}
	return ids, nil
}

// referenced marks the types that another type refers to.
func (d *cDump) referenced() []bool {
	used := make([]bool, d.b.NumTypes())
	for id := ID(1); int(id) < d.b.NumTypes(); id++ {
		d.b.Type(id).refs(func(to ID) { used[to] = true })
	}
	return used
}

// refs calls yield for every type that t names in its record.
func (t Type) refs(yield func(ID)) {
	switch t.Kind() {
	case KindPtr, KindTypedef, KindVolatile, KindConst, KindRestrict, KindFunc, KindVar, KindDeclTag, KindTypeTag:
		yield(t.Ref())
	case KindArray:
		a := t.Array()
		yield(a.Elem)
		yield(a.Index)
	case KindStruct, KindUnion:
		for i, n := 0, t.Vlen(); i < n; i++ {
			yield(ID(t.w[4+3*i]))
		}
	case KindFuncProto:
		yield(t.Ref())
		for i, n := 0, t.Vlen(); i < n; i++ {
			yield(ID(t.w[4+2*i]))
		}
	case KindDatasec:
		for i, n := 0, t.Vlen(); i < n; i++ {
			yield(ID(t.w[3+3*i]))
		}
	}
}

func (d *cDump) fail(format string, args ...any) {
	if d.err == nil {
		e := formatErr(-1, format, args...)
		e.Hint = "no compiler writes such types: the BTF is damaged or hostile"
		d.err = e
	}
}

// root puts a type that is asked for, and what it needs, into the queue.
func (d *cDump) root(id ID) {
	t := d.n.target(d.b.Type(id))
	switch t.Kind() {
	case KindStruct, KindUnion, KindEnum, KindEnum64, KindTypedef:
		d.need(t.ID(), true)
		if t.Name() == "" { // an enum of constants
			d.queue = append(d.queue, cItem{id: t.ID()})
		}
	case KindFwd:
		d.need(t.ID(), false)
	case KindFunc, KindVar:
		d.need(t.Ref(), false)
		d.state[id] |= cDefined
		d.queue = append(d.queue, cItem{id: id})
	}
}

// need puts into the queue what must be written before a declaration that uses type id.
//
// full says that the size must be known: for members and elements. Where it isn't, a struct only has to be declared;
// a typedef always has to be defined first, for C has no declaration of one, and an anonymous struct is written in
// place with all that its members need, even behind a pointer.
func (d *cDump) need(id ID, full bool) {
	if d.err != nil {
		return
	}
	if d.depth++; d.depth > maxTypeDepth {
		d.fail("type [%d]: more than %d types contain each other in a row", id, maxTypeDepth)
		return
	}
	defer func() { d.depth-- }()
	for {
		t := d.n.target(d.b.Type(id))
		switch t.Kind() {
		case KindPtr:
			id, full = t.Ref(), false
			continue
		case KindTypeTag:
			d.tagged = true
			id = t.Ref()
			continue
		case KindConst, KindVolatile, KindRestrict:
			id = t.Ref()
			continue
		case KindArray:
			id, full = t.Ref(), true
			continue
		case KindFuncProto:
			d.needProto(t)
		case KindTypedef:
			d.needTypedef(t, full)
		case KindFwd:
			d.declareTag(t)
		case KindEnum, KindEnum64:
			d.needEnum(t)
		case KindStruct, KindUnion:
			if t.Name() != "" && !full {
				d.declareTag(t)
				break
			}
			d.needBody(t)
		}
		return
	}
}

func (d *cDump) declareTag(t Type) {
	id := t.ID()
	if id != d.outer && d.state[id]&(cDeclared|cDefined) == 0 {
		d.state[id] |= cDeclared
		d.queue = append(d.queue, cItem{id: id, fwd: true})
	}
}

func (d *cDump) needEnum(t Type) {
	if id := t.ID(); d.state[id]&cDefined == 0 {
		d.state[id] |= cDefined
		if t.Name() != "" {
			d.queue = append(d.queue, cItem{id: id})
		}
	}
}

func (d *cDump) needProto(t Type) {
	id := t.ID()
	switch {
	case d.state[id]&cDefined != 0:
		return
	case d.state[id]&cOpen != 0:
		d.fail("type [%d] FUNC_PROTO: its result or a parameter leads back to it without a name in between", id)
		return
	}
	outer := d.outer
	d.state[id], d.outer = d.state[id]|cOpen, 0
	d.need(t.Ref(), false)
	for i, n := 0, t.Vlen(); i < n; i++ {
		d.need(t.Param(i).Type, false)
	}
	d.outer = outer
	d.state[id] = d.state[id]&^cOpen | cDefined
}

func (d *cDump) needTypedef(t Type, full bool) {
	id := t.ID()
	builtin := t.Name() == "__builtin_va_list"
	switch {
	case d.state[id]&cOpen != 0:
		d.fail("type [%d] TYPEDEF %q leads back to itself without the name of a struct in between", id, t.Name())
		return
	case d.state[id]&cDefined == 0 && !builtin:
		outer := d.outer
		d.state[id], d.outer = d.state[id]|cOpen, 0
		d.need(t.Ref(), false)
		d.outer = outer
		d.state[id] = d.state[id]&^cOpen | cDefined
		d.queue = append(d.queue, cItem{id: id})
	}
	if full && d.state[id]&cComplete == 0 {
		d.need(t.Ref(), true)
		d.state[id] |= cComplete
	}
}

// needBody defines a struct or union: the needs of its members, then itself where it has a name.
func (d *cDump) needBody(t Type) {
	id := t.ID()
	switch {
	case d.state[id]&cDefined != 0:
		return
	case d.state[id]&cOpen != 0:
		what := "contains itself"
		if t.Name() == "" {
			what = "has no name, but leads back to itself"
		}
		d.fail("type [%d] %s %q %s", id, t.Kind(), t.Name(), what)
		return
	}
	d.state[id] |= cOpen
	outer := d.outer
	if t.Name() != "" {
		d.outer = id
	}
	for i, n := 0, t.Vlen(); i < n && d.err == nil; i++ {
		d.need(t.Member(i).Type, true)
	}
	d.outer = outer
	d.state[id] = d.state[id]&^cOpen | cDefined
	if t.Name() != "" {
		d.queue = append(d.queue, cItem{id: id})
	}
}

// cHead and cTail enclose the C. Accesses to the fields of these types are recorded for CO-RE, as by bpftool's header.
const cHead = `#ifndef __VMLINUX_H__
#define __VMLINUX_H__

#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute push (__attribute__((preserve_access_index)), apply_to = record)
#endif

`

const cTail = `#ifndef BPF_NO_PRESERVE_ACCESS_INDEX
#pragma clang attribute pop
#endif

#endif /* __VMLINUX_H__ */
`

// cTagMacros come before the first type where the BTF has tags: only clang 14 and later knows them.
const cTagMacros = `#ifndef __has_attribute
#define __has_attribute(x) 0
#endif
#if __has_attribute(btf_decl_tag)
#define __btf_decl_tag(x) __attribute__((btf_decl_tag(x)))
#else
#define __btf_decl_tag(x)
#endif
#if __has_attribute(btf_type_tag)
#define __btf_type_tag(x) __attribute__((btf_type_tag(x)))
#else
#define __btf_type_tag(x)
#endif
#ifdef __bpf__
#define __btf_attribute(x) __attribute__((x))
#else
#define __btf_attribute(x)
#endif

`

func (d *cDump) write() error {
	d.tags = declTags(d.b)
	for id := range d.tags {
		d.tagged = d.tagged || d.state[id]&cDefined != 0
	}
	c := &d.w
	c.str(cHead)
	if d.tagged {
		c.str(cTagMacros)
	}
	for _, it := range d.queue {
		t := d.b.Type(it.id)
		if it.fwd {
			c.str(tagWord(t))
			c.str(d.n.of(t))
			c.str(";\n\n")
		} else {
			d.define(t)
		}
		if c.flush(); c.err != nil {
			return c.err
		}
	}
	c.str(cTail)
	_, err := c.w.Write(c.out)
	return err
}

// declTags finds the DECL_TAGs by what they are on.
func declTags(b *BTF) map[ID][]Type {
	m := map[ID][]Type{}
	for id := ID(1); int(id) < b.NumTypes(); id++ {
		if t := b.Type(id); t.Kind() == KindDeclTag {
			m[t.Ref()] = append(m[t.Ref()], t)
		}
	}
	return m
}

// declTag writes the tags on member or parameter n of type id, -1 for the type itself.
func (d *cDump) declTag(id ID, n int) {
	if len(d.tags) == 0 {
		return
	}
	for _, t := range d.tags[id] {
		if t.Component() != n {
			continue
		}
		switch name := t.Name(); {
		case !t.KindFlag():
			d.w.str(" __btf_decl_tag(" + cQuote(name) + ")")
		case isCAttribute(name):
			d.w.str(" __btf_attribute(" + name + ")")
		default:
			d.w.str(" /* attribute " + cQuote(name) + " */")
		}
	}
}

// define writes one definition of the top level.
func (d *cDump) define(t Type) {
	c := &d.w
	switch t.Kind() {
	case KindStruct, KindUnion:
		d.original(t)
		d.body(t, 0, d.n.of(t))
		d.declTag(t.ID(), -1)
		c.str(";\n\n")
	case KindEnum, KindEnum64:
		d.original(t)
		guard := t.Name() == "" && onlyBools(t)
		if guard {
			c.str(cGuard)
		}
		d.body(t, 0, d.n.of(t))
		c.str(";\n")
		if guard {
			c.str("#endif\n")
		}
		c.str("\n")
	case KindTypedef:
		d.original(t)
		guard := t.Name() == "bool"
		if guard {
			c.str(cGuard)
		}
		c.str("typedef ")
		if t.Ref() == 0 && t.Name() == "__gnuc_va_list" {
			// Old gcc writes it as void. Source: btf_dump_emit_typedef_def of libbpf v1.7.
			c.str("__builtin_va_list __gnuc_va_list")
		} else {
			c.declare(t.Ref(), d.n.of(t), 0)
		}
		d.declTag(t.ID(), -1)
		c.str(";\n")
		if guard {
			c.str("#endif\n")
		}
		c.str("\n")
	case KindFunc, KindVar:
		c.str("extern ")
		c.declare(t.Ref(), d.ident(t.Name()), 0)
		d.declTag(t.ID(), -1)
		c.str(";\n\n")
	}
}

// cGuard hides what C23 has as keywords.
const cGuard = "#if !defined(__STDC_VERSION__) || __STDC_VERSION__ < 202311L\n"

// onlyBools tells the kernel's "enum { false, true }".
func onlyBools(t Type) bool {
	for i, n := 0, t.Vlen(); i < n; i++ {
		if name := t.Enumerator(i).Name; name != "false" && name != "true" {
			return false
		}
	}
	return true
}

// original writes a comment with the name of t where C can't have it.
func (d *cDump) original(t Type) {
	if name := t.Name(); name != "" && !isCIdent(name) {
		d.w.str("/* " + cQuote(name) + " */\n")
	}
}

func (d *cDump) nameOf(t Type) string { return d.n.of(d.n.target(t)) }

// scalar is the C type of an INT or FLOAT.
func (d *cDump) scalar(t Type) string {
	var name string
	var ok bool
	if t.Kind() == KindInt {
		name, ok = cInt(t, d.w.ptrSize)
	} else {
		name, ok = cFloat(t.Size())
	}
	if !ok {
		return cBytes(t.Size())
	}
	return name
}

// ident claims an identifier for an enumerator, a function or a variable.
func (d *cDump) ident(name string) string {
	s, err := d.n.newIdent(name)
	if err != nil {
		d.w.fail(err)
	}
	return s
}

// paramName keeps the names of parameters from hiding a type that a later parameter needs.
func (d *cDump) paramName(name string) string {
	c := cIdent(name)
	if d.n.idents[c] != 0 {
		return c + "_"
	}
	return c
}

// body writes a struct, union or enum with its braces, under this name.
func (d *cDump) body(t Type, lvl int, name string) {
	if t.Kind().IsEnum() {
		d.enumBody(t, lvl, name)
		return
	}
	c := &d.w
	g := d.geom(t.ID())
	if !c.spend(t.ID(), t.Vlen()) {
		return
	}
	word := tagWord(t)
	if name != "" {
		d.pads = 0
		c.str(word)
		c.str(name)
	} else {
		c.str(word[:len(word)-1])
	}
	c.str(" {")
	if t.Kind() == KindUnion {
		d.unionMembers(t, g, lvl)
	} else {
		d.structMembers(t, g, lvl)
	}
	if t.Vlen() > 0 || t.Size() > 0 {
		c.str("\n")
		c.tabs(lvl)
	}
	c.str("}")
	if g.packed {
		c.str(" __attribute__((packed))")
	}
	if g.aligned > 1 {
		c.str(" __attribute__((aligned(")
		c.num(uint64(g.aligned))
		c.str(")))")
	}
}

func (d *cDump) structMembers(t Type, g cGeom, lvl int) {
	d.place(t, g.packed, func(p cPlaced) bool {
		if p.pad != 0 {
			d.pad(p.at, p.pad, lvl+1)
			return d.w.err == nil
		}
		if p.index >= 0 {
			d.member(t, p.index, p, lvl+1)
		}
		return d.w.err == nil
	})
}

func (d *cDump) unionMembers(t Type, g cGeom, lvl int) {
	for i, n := 0, t.Vlen(); i < n && d.w.err == nil; i++ {
		m := t.Member(i)
		off, size := d.b.MemberBits(m)
		_, _, lost := d.fitUnion(t, m, off, size)
		d.member(t, i, cPlaced{lost: lost}, lvl+1)
	}
	if g.fill > 0 {
		d.w.str("\n")
		d.w.tabs(lvl + 1)
		d.w.str("struct {")
		d.pad(0, 8*g.fill, lvl+2)
		d.w.str("\n")
		d.w.tabs(lvl + 1)
		d.w.str("};")
	}
}

// member writes the i-th member of t on a line of its own, or a comment where p says that C can't have it.
func (d *cDump) member(t Type, i int, p cPlaced, lvl int) {
	c := &d.w
	if c.flush(); c.err != nil {
		return
	}
	m := t.Member(i)
	off, bits := d.b.MemberBits(m)
	c.str("\n")
	c.tabs(lvl)
	name := m.Name
	if name != "" {
		name = cIdent(name)
	}
	if p.lost != "" {
		c.str(fmt.Sprintf("/* %s: type [%d] at bit %d, size %d bits: %s */", cQuote(m.Name), m.Type, off, bits, p.lost))
		return
	}
	if inner := d.b.Skip(m.Type); name == "" && inner.Name() != "" && inner.Kind().IsComposite() {
		// "struct tag;" as a member is a dialect of C (-fms-extensions) that kernels use; elsewhere it declares nothing.
		d.body(inner, lvl, "")
	} else {
		c.declare(d.memberType(m.Type), name, lvl)
	}
	if bits != 0 {
		c.str(": ")
		c.num(uint64(bits))
	}
	if p.aligned != 0 {
		c.str(" __attribute__((aligned(" + strconv.Itoa(int(p.aligned)) + ")))")
	}
	d.declTag(t.ID(), i)
	c.str(";")
	if name != m.Name {
		c.str(" /* " + cQuote(m.Name) + " */")
	}
}

// memberType is the type that a member is written with: id itself, but for a va_list by value. The compiler has its own
// idea of that type, other than the kernel's compiler had.
func (d *cDump) memberType(id ID) ID {
	for at := id; ; {
		t := d.b.Type(at)
		switch k := t.Kind(); {
		case k == KindTypedef && t.Name() == "__builtin_va_list":
			return t.Ref()
		case k == KindTypedef || k.IsModifier():
			at = t.Ref()
		default:
			return id
		}
	}
}

// pad writes unnamed bitfields for the bits from at to at+n: they need no names, and don't align the struct. A hole of
// more than maxPadLines of them is an array.
func (d *cDump) pad(at, n uint64, lvl int) {
	c := &d.w
	line := func(typ string, bits uint64) {
		c.str("\n")
		c.tabs(lvl)
		c.str(typ)
		c.str(": ")
		c.num(bits)
		c.str(";")
		at, n = at+bits, n-bits
	}
	for n > 0 {
		switch {
		case at%8 != 0:
			line("char", min(n, 8-at%8))
		case n/8 > 8*maxPadLines:
			d.pads++
			c.str("\n")
			c.tabs(lvl)
			c.str("unsigned char __pad" + strconv.Itoa(d.pads) + "[")
			c.num(n / 8)
			c.str("];")
			at, n = at+n/8*8, n%8
		case at%64 == 0 && n >= 64 && c.ptrSize == 8:
			line("long", 64)
		case at%32 == 0 && n >= 32:
			line("int", 32)
		case at%16 == 0 && n >= 16:
			line("short", 16)
		default:
			line("char", min(n, 8))
		}
	}
}

// maxPadLines is how many lines of unnamed bitfields a hole may take: 512 bytes, more than any cache line.
const maxPadLines = 64

func (d *cDump) enumBody(t Type, lvl int, name string) {
	c := &d.w
	n := t.Vlen()
	if n == 0 && name == "" {
		// C has no enum without enumerators; nobody can tell it from an integer.
		if s, ok := cIntOf(t.Size(), t.KindFlag()); ok {
			c.str(s)
		} else {
			c.str(cBytes(t.Size()))
		}
		return
	}
	if !c.spend(t.ID(), n) {
		return
	}
	c.str("enum ")
	if name != "" {
		c.str(name)
		c.str(" ")
	}
	c.str("{")
	for i := 0; i < n; i++ {
		if c.flush(); c.err != nil {
			return
		}
		e := t.Enumerator(i)
		c.str("\n")
		c.tabs(lvl + 1)
		if e.Name == "" {
			e.Name = "__unnamed"
		}
		c.str(d.ident(e.Name))
		c.str(" = ")
		c.enumValue(t, e.Value)
		c.str(",")
		if cIdent(e.Name) != e.Name {
			c.str(" /* " + cQuote(e.Name) + " */")
		}
	}
	if n == 0 { // a declaration whose definition the BTF lacks; C wants one enumerator
		c.str("\n")
		c.tabs(lvl + 1)
		c.str(d.ident("__empty_enum_" + name))
		c.str(" = 0,")
	}
	c.str("\n")
	c.tabs(lvl)
	c.str("}")
	if _, mode := enumSize(t); mode != "" {
		c.str(" __attribute__((mode(" + mode + ")))")
	}
}

// enumValue writes a value with the suffix that its size needs.
func (c *cWriter) enumValue(t Type, v uint64) {
	wide := t.Kind() == KindEnum64
	switch s := int64(v); {
	case !t.KindFlag():
		c.num(v)
		if wide && v > 1<<32-1 {
			c.str("ULL")
		}
	case s == -1<<63:
		c.str("(-9223372036854775807LL - 1)") // the number without its sign fits no type
	default:
		c.out = strconv.AppendInt(c.out, s, 10)
		if wide && s != int64(int32(s)) {
			c.str("LL")
		}
	}
}

// enumSize is the size in bytes that an enum has in our C, and the mode attribute that gives it that size where the
// compiler would choose another: 4 bytes where the values fit, else 8.
func enumSize(t Type) (size uint32, mode string) {
	signed := t.KindFlag()
	fits := func(bits uint) bool {
		for i, n := 0, t.Vlen(); i < n; i++ {
			v := t.Enumerator(i).Value
			if signed {
				if s := int64(v); s>>(bits-1) != 0 && s>>(bits-1) != -1 {
					return false
				}
			} else if v>>bits != 0 {
				return false
			}
		}
		return true
	}
	size = 8
	if t.Kind() == KindEnum || fits(32) {
		size = 4
	}
	switch want := t.Size(); {
	case want == size:
	case want == 1 && fits(8):
		return 1, "QI"
	case want == 2 && fits(16):
		return 2, "HI"
	case want == 8:
		return 8, "DI"
	}
	return size, ""
}
