package btfinfo

import (
	"fmt"
	"strconv"
	"strings"
)

// cKeywords are the words that no C identifier may be: those of C17 with the GNU spellings that clang and gcc reserve.
// "bool", "true" and "false" are keywords in C23 only, and every kernel has types of these names: see cGuard.
// Source: ISO/IEC 9899:2018 6.4.1; clang's TokenKinds.def.
var cKeywords = map[string]bool{}

func init() {
	for _, w := range strings.Fields(`auto break case char const continue default do double else enum extern float for
		goto if inline int long register restrict return short signed sizeof static struct switch typedef union unsigned
		void volatile while _Alignas _Alignof _Atomic _Bool _Complex _Generic _Imaginary _Noreturn _Static_assert
		_Thread_local _Float16 _BitInt asm typeof __int128 __float128 __attribute __attribute__ __asm __asm__
		__builtin_va_list __builtin_offsetof __extension__ __inline __inline__ __const __volatile__ __restrict
		__signed__ __typeof __typeof__ __alignof __alignof__ __auto_type __label__ __thread`) {
		cKeywords[w] = true
	}
}

// isCIdent tells whether s can be written as an identifier.
func isCIdent(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9' || i == 0) {
			return false
		}
	}
	return s != "" && !cKeywords[s]
}

// cIdent makes an identifier of s. A keyword gets a suffix that CO-RE takes for a flavour, so that a type or enumerator
// is still found under its own name; other characters (C++ and Rust names) become '_'.
func cIdent(s string) string {
	if isCIdent(s) || s == "" {
		return s
	}
	if cKeywords[s] {
		return s + "___kw"
	}
	out := []byte(s)
	for i, c := range out {
		if c != '_' && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			out[i] = '_'
		}
	}
	if out[0] >= '0' && out[0] <= '9' {
		return "_" + string(out)
	}
	return string(out)
}

// cQuote writes a stranger's string so that it can stand in a comment or a string literal of C.
func cQuote(s string) string {
	q := strconv.QuoteToASCII(s)
	return strings.ReplaceAll(strings.ReplaceAll(q, "*/", `*\/`), "/*", `/\*`)
}

// cInts are the spellings of integers that a compiler writes into debug info, with their size in bytes where pointers
// have 8; "long" has the size of a pointer.
var cInts = map[string]uint32{
	"char": 1, "signed char": 1, "unsigned char": 1, "_Bool": 1,
	"short": 2, "short int": 2, "unsigned short": 2, "short unsigned int": 2,
	"int": 4, "unsigned int": 4, "unsigned": 4,
	"long": 8, "long int": 8, "unsigned long": 8, "long unsigned int": 8,
	"long long": 8, "long long int": 8, "unsigned long long": 8, "long long unsigned int": 8,
	"__int128": 16, "__int128 unsigned": 16, "unsigned __int128": 16,
}

// cInt is the C type for an INT: its own name where that is a C type of its size, else one of the same size and sign
// (Rust's u8, or arm's __Poly8_t). ok is false where C has no integer of that size.
func cInt(t Type, ptrSize uint32) (name string, ok bool) {
	name = t.Name()
	size, known := cInts[name]
	if known && strings.Contains(name, "long") && !strings.Contains(name, "long long") {
		size = ptrSize
	}
	if known && size == t.Size() {
		return name, true
	}
	return cIntOf(t.Size(), t.Int().Signed)
}

func cIntOf(size uint32, signed bool) (name string, ok bool) {
	switch size {
	case 1:
		name = "char"
	case 2:
		name = "short int"
	case 4:
		name = "int"
	case 8:
		name = "long long int"
	case 16:
		name = "__int128"
	default:
		return "", false
	}
	switch {
	case !signed:
		name = "unsigned " + name
	case size == 1:
		name = "signed char"
	}
	return name, true
}

// cFloat is the C type for a FLOAT. Only these two have the same size for every target; a long double of x86 has not
// the size of BPF's.
func cFloat(size uint32) (name string, ok bool) {
	switch size {
	case 4:
		return "float", true
	case 8:
		return "double", true
	}
	return "", false
}

// cBytes is a type of size bytes for what C has no type for.
func cBytes(size uint32) string {
	if size == 0 {
		return "struct {}"
	}
	return fmt.Sprintf("struct { unsigned char bytes[%d]; }", size)
}

// cNames gives every type the name under which C can know it. Tags (struct, union, enum) share one name space, typedefs
// and enumerators another. Types of one name become NAME, NAME___2, NAME___3 in the order of their ids; the suffix is a
// flavour, so CO-RE finds them all under their own name. Names in the BTF are never given a second time.
type cNames struct {
	b       *BTF
	renamed map[ID]string // where it is not the type's own name
	fwd     map[ID]ID     // a FWD or an empty enum, to the type that it declares
	idents  map[string]int
	left    int // bytes that names of our own may still take
}

// maxOwnNames is how much room names that are not in the BTF may take, in bytes. A kernel needs a few thousand.
const maxOwnNames = 16 << 20

// own takes the room for a name that is not the type's own.
func (n *cNames) own(name string) error {
	if n.left -= len(name) + 64; n.left < 0 {
		e := formatErr(-1, "the names of its types that C can't have take more than %d bytes", maxOwnNames)
		e.Hint = "the BTF is damaged or hostile"
		return e
	}
	return nil
}

type cNameKey struct {
	kind Kind
	name string
}

func newCNames(b *BTF) (*cNames, error) {
	n := &cNames{b: b, renamed: map[ID]string{}, fwd: map[ID]ID{}, idents: map[string]int{}, left: maxOwnNames}
	var err error
	full := map[cNameKey]ID{}
	var fwds, enums []ID
	tags := map[string]ID{}
	var dupTags, dupIdents []ID
	claim := func(id ID, name string, first map[string]ID) bool {
		c := cIdent(name)
		if _, ok := first[c]; ok {
			return false
		}
		first[c] = id
		if c != name {
			n.renamed[id] = c
			if e := n.own(c); e != nil {
				err = e
			}
		}
		return true
	}
	typedefs := map[string]ID{}
	for id := ID(1); int(id) < b.NumTypes() && err == nil; id++ {
		t := b.Type(id)
		k := t.Kind()
		switch k {
		case KindStruct, KindUnion, KindEnum, KindEnum64, KindFwd, KindTypedef:
		default:
			continue
		}
		name := t.Name()
		switch {
		case name == "":
		case k == KindTypedef:
			if name == "__builtin_va_list" { // the compiler's own
				continue
			}
			if !claim(id, name, typedefs) {
				dupIdents = append(dupIdents, id)
			}
		case k == KindFwd:
			fwds = append(fwds, id)
		case k.IsEnum() && t.Vlen() == 0:
			enums = append(enums, id)
		default:
			if k == KindEnum64 {
				k = KindEnum
			}
			key := cNameKey{k, name}
			if _, ok := full[key]; !ok {
				full[key] = id
			}
			if !claim(id, name, tags) {
				dupTags = append(dupTags, id)
			}
		}
	}
	// Declarations without a body mean the first type of that name, and stand for themselves where there is none.
	for _, id := range append(fwds, enums...) {
		t := b.Type(id)
		key := cNameKey{KindStruct, t.Name()}
		if t.Kind() == KindFwd && t.KindFlag() {
			key.kind = KindUnion
		} else if t.Kind() != KindFwd {
			key.kind = KindEnum
		}
		if to, ok := full[key]; ok {
			n.fwd[id] = to
			continue
		}
		full[key] = id
		if !claim(id, key.name, tags) {
			dupTags = append(dupTags, id)
		}
	}
	rename := func(ids []ID, first map[string]ID) {
		next := map[string]int{}
		for _, id := range ids {
			base := cIdent(b.Type(id).Name())
			for i := max(next[base], 2); err == nil; i++ {
				c := base + "___" + strconv.Itoa(i)
				if _, ok := first[c]; !ok {
					first[c], next[base], n.renamed[id] = id, i+1, c
					err = n.own(c)
					break
				}
			}
		}
	}
	rename(dupTags, tags)
	rename(dupIdents, typedefs)
	for name := range typedefs {
		n.idents[name] = 1
	}
	return n, err
}

// of is the tag of a struct, union or enum, or the name of a typedef.
func (n *cNames) of(t Type) string {
	if c, ok := n.renamed[t.ID()]; ok {
		return c
	}
	return t.Name()
}

// target is the type that t declares where t is a mere declaration of another, else t.
func (n *cNames) target(t Type) Type {
	if to, ok := n.fwd[t.ID()]; ok {
		return n.b.Type(to)
	}
	return t
}

// newIdent claims name, or name___2 …, in the name space of enumerators, typedefs, functions and variables.
func (n *cNames) newIdent(name string) (string, error) {
	c := cIdent(name)
	if n.idents[c] == 0 {
		n.idents[c] = 1
		if c != name {
			return c, n.own(c)
		}
		return c, nil
	}
	for {
		n.idents[c]++
		d := c + "___" + strconv.Itoa(n.idents[c])
		if n.idents[d] == 0 {
			n.idents[d] = 1
			return d, n.own(d)
		}
	}
}
