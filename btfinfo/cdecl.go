package btfinfo

import (
	"io"
	"strconv"
)

// Limits of what is printed for one declaration. They are far above what any compiler writes, and keep hostile BTF from
// growing without end: a prototype whose parameter is a pointer to itself, or anonymous types that each contain the
// next one twice.
const (
	maxDeclChain = 256 // pointers, arrays and prototypes from a name to its base type
	maxDeclDepth = 64  // anonymous types and prototypes inside each other
)

// maxShown is how much text Show holds at once, in bytes.
const maxShown = 32 << 20

// textLimit bounds the text that is written for b: many types can share one long name, so that a small BTF could fill a
// disk. A kernel's JSON is 6 times as long as its BTF.
func textLimit(b *BTF) int64 {
	n := int64(64 << 20)
	for ; b != nil; b = b.base {
		n += 32 * int64(4*len(b.words)+len(b.strs))
	}
	return n
}

// limitedWriter refuses text beyond a limit.
type limitedWriter struct {
	w    io.Writer
	left int64
}

func limitText(w io.Writer, b *BTF) *limitedWriter { return &limitedWriter{w: w, left: textLimit(b)} }

func (l *limitedWriter) Write(p []byte) (int, error) {
	if l.left -= int64(len(p)); l.left < 0 {
		return 0, textErr()
	}
	return l.w.Write(p)
}

func textErr() *Error {
	e := formatErr(-1, "the text of this BTF would be many times as long as the BTF")
	e.Hint = "many of its types share one long name: it is damaged or hostile"
	return e
}

// cWriter writes C declarations. The first error stays in err; what is written after it doesn't count.
type cWriter struct {
	b       *BTF
	w       io.Writer // where out goes when it is long; nil: it stays, and maxShown is its limit
	out     []byte
	ptrSize uint32
	depth   int
	budget  int // members, enumerators and parameters that may still be written
	err     error

	name   func(t Type) string      // of a tag or typedef
	inline func(t Type, lvl int)    // writes the body of an anonymous struct, union or enum
	intOf  func(t Type) string      // an INT or FLOAT
	param  func(name string) string // the name of a parameter
	tags   bool                     // write type tags
	stack  []declPart
}

// declPart is one step from a name to its base: a pointer, an array or a prototype, with the modifiers before it.
type declPart struct {
	t    Type
	mods declMods
}

// declMods are the modifiers of one step; tags are the TYPE_TAGs in the order of the BTF.
type declMods struct {
	isConst, isVolatile, isRestrict bool
	tags                            []Type
}

func (c *cWriter) str(s string) { c.out = append(c.out, s...) }

func (c *cWriter) num(v uint64) { c.out = strconv.AppendUint(c.out, v, 10) }

func (c *cWriter) tabs(n int) {
	for ; n > 0; n-- {
		c.out = append(c.out, '\t')
	}
}

// flush empties a long out but for the last bytes, at which space and blank look.
func (c *cWriter) flush() {
	const keep = 2
	switch {
	case c.w == nil && len(c.out) > maxShown:
		c.fail(textErr())
		c.out = c.out[:0]
	case c.w != nil && len(c.out) > 1<<16:
		n := len(c.out) - keep
		if _, err := c.w.Write(c.out[:n]); err != nil && c.err == nil {
			c.err = err
		}
		c.out = c.out[:copy(c.out, c.out[n:])]
	}
}

func (c *cWriter) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// spend takes n from the budget and reports whether there is any left.
func (c *cWriter) spend(id ID, n int) bool {
	c.budget -= n
	if c.budget < 0 {
		e := formatErr(-1, "type [%d]: its anonymous types unfold to more text than the BTF can mean", id)
		e.Hint = "the BTF is damaged or hostile: no compiler writes such types"
		c.fail(e)
	}
	return c.err == nil
}

// declBudget is how many members, enumerators and parameters a print of b may have: many times what it has, because
// anonymous types are written wherever they are used.
func declBudget(b *BTF) int {
	n := 1 << 16
	for ; b != nil; b = b.base {
		n += 16 * len(b.words)
	}
	return n
}

// declare writes the declaration of name as type id: "int (*name)(void)". An empty name gives an abstract declarator.
// lvl is the indentation of anonymous bodies.
//
// C writes declarations inside out: the base type first, then from the base to the name the pointers, then from the
// name back the arrays and parameters, with parentheses where a pointer (nearer the name) meets one of these.
func (c *cWriter) declare(id ID, name string, lvl int) {
	if c.err != nil {
		return
	}
	if c.depth++; c.depth > maxDeclDepth {
		c.fail(formatErr(-1, "type [%d]: prototypes or anonymous types are nested more than %d deep", id, maxDeclDepth))
		return
	}
	defer func() { c.depth-- }()
	start := len(c.stack)
	defer func() { c.stack = c.stack[:start] }()
	var mods declMods
	var base Type
chain:
	for {
		t := c.b.Type(id)
		switch t.Kind() {
		case KindConst:
			mods.isConst = true
		case KindVolatile:
			mods.isVolatile = true
		case KindRestrict:
			mods.isRestrict = true
		case KindTypeTag:
			mods.tags = append(mods.tags, t)
		case KindPtr, KindArray, KindFuncProto:
			if len(c.stack)-start >= maxDeclChain {
				c.fail(formatErr(-1, "type [%d]: a declaration of more than %d pointers, arrays and prototypes", id, maxDeclChain))
				return
			}
			c.stack = append(c.stack, declPart{t, mods})
			mods = declMods{}
		default:
			base = t
			break chain
		}
		id = t.Ref()
	}
	c.base(base, mods, lvl)
	parts := c.stack[start:]
	n := len(parts)
	space := name != ""
	for i := n - 1; i >= 0; i-- {
		switch {
		case parts[i].t.Kind() == KindPtr:
			c.space()
			c.str("*")
			space = c.mods(parts[i].mods) && name != ""
		case i > 0 && parts[i-1].t.Kind() == KindPtr:
			c.space()
			c.str("(")
		}
	}
	if space {
		c.space()
	}
	c.str(name)
	for i := 0; i < n && c.err == nil; i++ {
		t := c.stack[start+i].t
		switch t.Kind() {
		case KindArray:
			c.str("[")
			c.num(uint64(t.Array().Nelems))
			c.str("]")
		case KindFuncProto:
			c.params(t, lvl)
		default:
			if i+1 < n && c.stack[start+i+1].t.Kind() != KindPtr {
				c.str(")")
			}
		}
	}
}

// space writes one where the last character is neither a space, nor a parenthesis or asterisk that needs none.
func (c *cWriter) space() {
	if len(c.out) == 0 {
		return // only after an error
	}
	switch c.out[len(c.out)-1] {
	case ' ', '(', '*', '\t':
	default:
		c.out = append(c.out, ' ')
	}
}

// mods writes the modifiers of a pointer behind its asterisk, each with a space before it. It reports whether it wrote
// any.
func (c *cWriter) mods(m declMods) bool {
	n := len(c.out)
	if m.isConst {
		c.str(" const")
	}
	if m.isVolatile {
		c.str(" volatile")
	}
	if m.isRestrict {
		c.str(" restrict")
	}
	c.typeTags(m.tags)
	return len(c.out) != n
}

func (c *cWriter) typeTags(tags []Type) {
	if !c.tags {
		return
	}
	// The BTF lists them from the outside, C from the inside.
	for i := len(tags) - 1; i >= 0; i-- {
		name := tags[i].Name()
		switch {
		case !tags[i].KindFlag():
			c.str(" __btf_type_tag(" + cQuote(name) + ")")
		case isCAttribute(name):
			c.str(" __btf_attribute(" + name + ")")
		default:
			c.str(" /* attribute " + cQuote(name) + " */")
		}
	}
}

// isCAttribute tells whether s, the text of an attribute, is a word or a word with a number: address_space(1).
func isCAttribute(s string) bool {
	word := s
	if n := len(s); n > 2 && s[n-1] == ')' {
		for i := n - 2; ; i-- {
			if i <= 0 {
				return false
			}
			if s[i] == '(' {
				word = s[:i]
				break
			}
			if s[i] < '0' || s[i] > '9' {
				return false
			}
		}
	}
	return isCIdent(word)
}

// base writes the base type of a declaration with its modifiers. The modifiers of arrays and prototypes are not written:
// gcc repeats on an array those of its elements, and marks a noreturn function volatile (GCC bug 8354).
func (c *cWriter) base(t Type, m declMods, lvl int) {
	if m.isConst {
		c.str("const ")
	}
	if m.isVolatile {
		c.str("volatile ")
	}
	switch k := t.Kind(); k {
	case KindVoid:
		c.str("void")
	case KindInt, KindFloat:
		c.str(c.intOf(t))
	case KindStruct, KindUnion, KindEnum, KindEnum64:
		if t.Name() == "" {
			c.inline(t, lvl)
			break
		}
		c.str(tagWord(t))
		c.str(c.name(t))
	case KindFwd:
		c.str(tagWord(t))
		c.str(c.name(t))
	case KindTypedef:
		c.str(c.name(t))
		// restrict is for pointers only, and a typedef may hide one.
		if m.isRestrict && c.b.Skip(t.ID()).Kind() == KindPtr {
			c.str(" restrict")
		}
	default: // FUNC, VAR, DATASEC and DECL_TAG are no types of C
		c.str("void /* " + k.String() + " " + cQuote(t.Name()) + " */")
	}
	c.typeTags(m.tags)
}

// tagWord is the keyword before the tag of a struct, union, enum or FWD, with a space.
func tagWord(t Type) string {
	switch {
	case t.Kind() == KindUnion, t.Kind() == KindFwd && t.KindFlag():
		return "union "
	case t.Kind().IsEnum():
		return "enum "
	}
	return "struct "
}

// params writes the parameters of a prototype. A last one without name and type is "...", and one alone is written by
// clang for "(void)".
func (c *cWriter) params(t Type, lvl int) {
	n := t.Vlen()
	if n == 0 || n == 1 && t.Param(0).Type == 0 {
		c.str("(void)")
		return
	}
	if !c.spend(t.ID(), n) {
		return
	}
	c.str("(")
	for i := 0; i < n; i++ {
		if c.flush(); c.err != nil {
			return
		}
		p := t.Param(i)
		if i > 0 {
			c.str(", ")
		}
		if i == n-1 && p.Type == 0 {
			c.str("...")
			break
		}
		name := p.Name
		if name != "" {
			name = c.param(name)
		}
		c.declare(p.Type, name, lvl)
	}
	c.str(")")
}
