package btfinfo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// mem is a member at bit off; bits is not 0 for bitfields.
func mem(name string, typ btfbuild.ID, off, bits uint32) btfbuild.Member {
	return btfbuild.Member{Name: name, Type: typ, Off: off, Bits: bits}
}

func val(name string, value int64) btfbuild.Value { return btfbuild.Value{Name: name, Value: value} }

func par(name string, typ btfbuild.ID) btfbuild.Param { return btfbuild.Param{Name: name, Type: typ} }

// cTrap is BTF that is easy to write wrong as C.
type cTrap struct {
	name  string
	build func(b *btfbuild.Builder, k map[string]btfbuild.ID)
	// has are pieces of the C; hasNot must not be in it.
	has, hasNot []string
	// differs lists the types whose compiled BTF can't equal the original, and why.
	differs map[string]string
	// bpftool says what bpftool 7.1 gets wrong here; "": nothing. "fails" where its C does not compile.
	bpftool string
	// extra is C behind the dump, such as assertions.
	extra string
}

var cTraps = []cTrap{
	{name: "natural layout needs no padding", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Struct("s", 16, mem("a", k["char"], 0, 0), mem("b", k["int"], 32, 0), mem("c", k["long int"], 64, 0))
	}, has: []string{"struct s {\n\tchar a;\n\tint b;\n\tlong int c;\n};"}},
	{name: "holes", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Struct("inner_hole", 16, mem("a", k["char"], 0, 0), mem("b", k["char"], 64, 0), mem("c", k["short int"], 96, 0))
		b.Struct("end_hole", 24, mem("a", k["int"], 0, 0))
		b.Struct("first_hole", 24, mem("a", k["int"], 64, 0), mem("b", k["long int"], 128, 0))
		b.Struct("only_hole", 7)
		b.Struct("odd_end", 3, mem("a", k["char"], 0, 0))
	}},
	{name: "packed", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Struct("misaligned", 5, mem("a", k["char"], 0, 0), mem("b", k["int"], 8, 0))
		b.Struct("odd_size", 5, mem("a", k["int"], 0, 0), mem("b", k["char"], 32, 0))
		in := b.Struct("in", 6, mem("a", k["int"], 0, 0), mem("b", k["short int"], 32, 0))
		b.Struct("out", 16, mem("a", k["char"], 0, 0), mem("b", in, 8, 0), mem("c", k["long int"], 64, 0))
		b.Struct("holes_too", 12, mem("a", k["char"], 0, 0), mem("b", k["int"], 24, 0), mem("c", k["int"], 56, 0))
	}},
	{name: "aligned", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		line := b.Struct("line", 64, mem("a", k["int"], 0, 0))
		b.Struct("lines", 192, mem("a", k["char"], 0, 0), mem("b", line, 512, 0), mem("c", k["char"], 1024, 0))
		page := b.Struct("page", 4096, mem("a", k["int"], 0, 0))
		data := b.Array(k["char"], k["int"], 0)
		b.Struct("pages", 8192, mem("a", k["int"], 0, 0), mem("b", k["char"], 4096*8, 0), mem("d", data, 8192*8, 0))
		b.Struct("unaligned_pages", 4096+8, mem("h", k["long int"], 0, 0), mem("p", page, 64, 0))
	}, has: []string{"__attribute__((aligned(4096)))"}, hasNot: []string{"__pad"}},
	{name: "a hole that no alignment explains", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Struct("far", 100001, mem("a", k["char"], 0, 0), mem("b", k["char"], 800000, 0))
	}, has: []string{"unsigned char __pad1[99999];"}, differs: map[string]string{"struct far": "the hole is a member, too"}},
	{name: "bitfields", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		u, u64, bl := k["unsigned int"], k["long long unsigned int"], k["_Bool"]
		e := b.Enum("color", 4, val("RED", 0), val("BLUE", 1))
		td := b.Typedef("u32", u)
		b.Struct("plain", 8, mem("a", u, 0, 3), mem("b", u, 3, 5), mem("c", k["int"], 8, 24), mem("d", u, 32, 32))
		b.Struct("zero_length", 8, mem("a", u, 0, 3), mem("b", u, 32, 3))
		b.Struct("in_unit", 4, mem("a", u, 0, 3), mem("b", u, 8, 3), mem("c", u, 20, 12))
		b.Struct("after_char", 8, mem("a", k["char"], 0, 0), mem("b", u, 8, 3), mem("c", u, 32, 1))
		b.Struct("then_char", 4, mem("a", u, 0, 3), mem("b", k["char"], 8, 0), mem("c", k["char"], 24, 0))
		b.Struct("wide", 16, mem("a", u64, 0, 40), mem("b", u64, 40, 24), mem("c", u64, 64, 64))
		b.Struct("kinds", 8, mem("a", bl, 0, 1), mem("b", e, 8, 2), mem("c", td, 10, 7), mem("d", td, 32, 32))
		b.Struct("crossing", 5, mem("a", u, 0, 30), mem("b", u, 30, 6))
		b.Struct("bytes", 3, mem("a", k["unsigned char"], 0, 4), mem("b", k["unsigned char"], 4, 4), mem("c", k["unsigned char"], 16, 1))
		b.Union("u", 4, mem("a", u, 0, 3), mem("b", u, 0, 32))
		b.Struct("first_hole_bits", 4, mem("a", u, 5, 3))
		b.Struct("unnamed", 8, mem("a", u, 0, 3), mem("", u, 3, 5), mem("b", u, 8, 8), mem("c", u, 32, 0))
	}, differs: map[string]string{"struct unnamed": "clang writes no unnamed bitfields"}},
	{name: "old bitfields", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		three := b.IntBits("unsigned int", 4, 0, 0, 3)
		five := b.IntBits("unsigned int", 4, 0, 3, 5)
		b.Struct("old", 8, mem("a", three, 0, 0), mem("b", five, 0, 0), mem("c", k["int"], 32, 0))
	}, bpftool: "it ignores the width of the INT"},
	{name: "anonymous members", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		in := b.Struct("", 8, mem("x", k["int"], 0, 0), mem("y", k["char"], 32, 0))
		un := b.Union("", 8, mem("l", k["long int"], 0, 0), mem("", in, 0, 0))
		arr := b.Array(in, k["int"], 3)
		ptr := b.Ptr(in)
		cin := b.Const(in)
		b.Struct("outer", 56, mem("", un, 0, 0), mem("named", in, 64, 0), mem("arr", arr, 128, 0),
			mem("ptr", ptr, 320, 0), mem("c", cin, 384, 0))
		b.Typedef("anon_t", b.Struct("", 4, mem("v", k["int"], 0, 0)))
	}},
	{name: "named type as an anonymous member", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		hdr := b.Struct("hdr", 8, mem("len", k["int"], 0, 0), mem("id", k["int"], 32, 0))
		b.Struct("msg", 16, mem("", hdr, 0, 0), mem("body", k["long int"], 64, 0))
	}, has: []string{"struct msg {\n\tstruct {\n\t\tint len;"}, bpftool: "it writes \"struct hdr;\", which declares no member without -fms-extensions"},
	{name: "arrays", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		i := k["int"]
		row := b.Array(i, i, 3)
		two := b.Array(row, i, 2)
		ptrs := b.Array(b.Ptr(i), i, 4)
		toArr := b.Ptr(row)
		cArr := b.Array(b.Const(i), i, 2)
		flex := b.Array(b.Struct("elem", 4, mem("v", i, 0, 0)), i, 0)
		b.Struct("arrays", 80, mem("two", two, 0, 0), mem("ptrs", ptrs, 192, 0), mem("to", toArr, 448, 0),
			mem("c", cArr, 512, 0), mem("cc", b.Const(cArr), 576, 0), mem("flex", flex, 640, 0))
		b.Typedef("row_t", row)
	}, has: []string{"int two[2][3];", "int *ptrs[4];", "int (*to)[3];"}},
	{name: "functions", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		i := k["int"]
		fv := b.FuncProto(i)
		va := b.FuncProto(0, par("fmt", b.Ptr(b.Const(k["char"]))), par("", 0))
		pfv := b.Ptr(fv)
		ret := b.FuncProto(pfv, par("", i))
		arr := b.Array(pfv, i, 2)
		cb := b.FuncProto(0, par("f", pfv), par("data", b.Ptr(0)))
		fn := b.Typedef("fn_t", va)
		retArr := b.FuncProto(b.Ptr(b.Array(i, i, 3)))
		b.Struct("ops", 72, mem("f", pfv, 0, 0), mem("va", b.Ptr(va), 64, 0), mem("ret", b.Ptr(ret), 128, 0),
			mem("arr", arr, 192, 0), mem("cb", b.Ptr(cb), 320, 0), mem("fn", b.Ptr(fn), 384, 0),
			mem("cf", b.Const(b.Ptr(cb)), 448, 0), mem("ra", b.Ptr(retArr), 512, 0))
	}, has: []string{"int (*f)(void);", "void (*va)(const char *fmt, ...);", "int (*(*ret)(int))(void);", "int (*arr[2])(void);",
		"fn_t *fn;", "(* const cf)(", "int (*(*ra)(void))[3];"}},
	{name: "modifiers", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		c := k["char"]
		p := b.Ptr(b.Const(b.Volatile(c)))
		b.Struct("mods", 32, mem("a", p, 0, 0), mem("b", b.Const(b.Ptr(c)), 64, 0), mem("c", b.Restrict(b.Ptr(c)), 128, 0),
			mem("d", b.Volatile(b.Const(b.Ptr(b.Const(b.Ptr(c))))), 192, 0))
	}, has: []string{"const volatile char *a;", "char * const b;", "char * restrict c;", "char * const * const volatile d;"}},
	{name: "order and forward declarations", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		// struct a needs b by value, which comes later; both point at each other, and a prototype names c first.
		base := b.NextID()
		pa, pc := base+1, base+2
		b.Struct("a", 24, mem("b", base+3, 0, 0), mem("f", base+5, 128, 0))
		b.Ptr(base)
		b.Ptr(base + 6)
		b.Struct("b", 16, mem("up", pa, 0, 0), mem("n", k["int"], 64, 0))
		proto := b.FuncProto(0, par("c", pc))
		b.Ptr(proto)
		b.Struct("c", 8, mem("self", pc, 0, 0))
	}},
	{name: "typedef loops", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		base := b.NextID()
		b.Typedef("xp", base+1)
		b.Ptr(base + 2)
		b.Struct("x", 16, mem("next", base, 0, 0), mem("prev", base+4, 64, 0))
		b.Typedef("x_t", base+2)
		b.Ptr(base + 3)
		b.Struct("holder", 16, mem("x", base+3, 0, 0))
		// typedef void (*h_t)(struct h *); struct h { h_t f; };
		h := b.NextID()
		b.Typedef("h_t", h+1)
		b.Ptr(h + 2)
		b.FuncProto(0, par("h", h+3))
		b.Ptr(h + 4)
		b.Struct("h", 8, mem("f", h, 0, 0))
		// A typedef of an anonymous struct that points at a struct which points at the typedef.
		t := b.NextID()
		b.Typedef("node_t", t+1)
		b.Struct("", 8, mem("owner", t+2, 0, 0))
		b.Ptr(t + 3)
		b.Struct("owner", 16, mem("first", t, 0, 0), mem("list", t+4, 64, 0))
		b.Ptr(t)
	}},
	{name: "duplicated names", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		first := b.Struct("dup", 4, mem("a", k["int"], 0, 0))
		second := b.Struct("dup", 8, mem("b", k["long int"], 0, 0))
		third := b.Union("dup", 2, mem("c", k["short int"], 0, 0))
		b.Struct("dup___2", 1, mem("d", k["char"], 0, 0))
		b.Struct("user", 24, mem("x", b.Ptr(first), 0, 0), mem("y", b.Ptr(second), 64, 0), mem("z", b.Ptr(third), 128, 0))
		b.Typedef("td", k["int"])
		b.Typedef("td", k["char"])
		b.Enum("e1", 4, val("SAME", 1), val("td", 2))
		b.Enum("e2", 4, val("SAME", 3))
		b.Struct("tagged", 4, mem("v", k["int"], 0, 0))
		b.Typedef("tagged", k["int"])
	}, has: []string{"struct dup {", "struct dup___3 {", "union dup___4 {", "struct dup___2 {", "SAME___2 = 3", "typedef char td___2;", "td___3 = 2"},
		bpftool: "fails: it gives a name that is taken"},
	{name: "enums", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Enum("neg", 4, val("NEG", -1), val("NEG_MIN", -1<<31), val("POS", 1<<31-1))
		b.Enum("max", 4, val("UMAX", 1<<32-1))
		e1 := b.Enum("one", 1, val("ONE", 200))
		e1s := b.Enum("one_signed", 1, val("ONES", -100))
		e2 := b.Enum("two", 2, val("TWO", 60000))
		e8 := b.Enum("eight", 8, val("EIGHT", 1))
		x8 := b.Enum64("x_eight", 8, false, val("X_SMALL", 1))
		big := b.Enum64("big", 8, false, val("BIG", -1), val("BIG_SMALL", 1)) // 1<<64 - 1
		low := b.Enum64("low", 8, true, val("LOW", -1<<63), val("LOWER", -1<<40), val("HIGH", 1<<63-1))
		b.Struct("all", 40, mem("a", e1, 0, 0), mem("as", e1s, 8, 0), mem("b", e2, 16, 0), mem("c", e8, 64, 0),
			mem("d", x8, 128, 0), mem("e", big, 192, 0), mem("f", low, 256, 0))
		b.Enum("", 4, val("CONSTANT", 7))
		in := b.Enum("", 4, val("INLINE", 8))
		b.Struct("shares", 8, mem("a", in, 0, 0), mem("b", in, 32, 0))
		b.Enum("", 4, val("false", 0), val("true", 1))
	}, extra: `_Static_assert(NEG == -1 && NEG_MIN == -2147483648LL && POS == 2147483647, "signed");
_Static_assert(UMAX == 4294967295U && BIG == 18446744073709551615ULL && ONE == 200 && ONES == -100 && TWO == 60000, "unsigned");
_Static_assert(LOW == (-9223372036854775807LL - 1) && LOWER == -(1LL << 40) && HIGH == 9223372036854775807LL, "64 bits");
_Static_assert(CONSTANT == 7 && INLINE == 8 && INLINE___2 == 8, "anonymous");
`, bpftool: "fails: it writes the smallest 64-bit number, and gives enums of 1, 2 and 8 bytes the size of an int"},
	{name: "enum without definition", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		e := b.Enum("nowhere", 4)
		b.Struct("s", 16, mem("p", b.Ptr(e), 0, 0), mem("v", e, 64, 0))
		d := b.Enum("defined", 4)
		b.Struct("t", 4, mem("v", d, 0, 0))
		b.Enum("defined", 4, val("DEFINED", 1))
	}, bpftool: "fails: a member of an enum without definition"},
	{name: "empty types", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		e := b.Struct("empty", 0)
		b.Struct("has_empty", 8, mem("a", k["int"], 0, 0), mem("e", e, 32, 0), mem("b", k["int"], 32, 0))
		b.Union("empty_union", 0)
		b.Typedef("opaque_t", b.Union("", 8))
		b.Typedef("nothing_t", b.Struct("", 0))
	}, bpftool: "a union is as large as its members"},
	{name: "scalars", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		i128 := b.Int("__int128", 16, btfbuild.Signed)
		u128 := b.Int("__int128 unsigned", 16, 0)
		d := b.Float("double", 8)
		f := b.Float("float", 4)
		rust := b.Int("u8", 1, 0)
		poly := b.Int("__Poly16_t", 2, 0)
		b.Struct("scalars", 64, mem("a", k["_Bool"], 0, 0), mem("b", i128, 128, 0), mem("c", u128, 256, 0),
			mem("d", d, 384, 0), mem("f", f, 448, 0), mem("r", rust, 480, 0), mem("p", poly, 496, 0))
		b.Typedef("u8", k["unsigned char"])
	}, bpftool: "fails: it writes the names of integers that C does not know"},
	{name: "scalars that C lacks", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		ld := b.Float("long double", 16)
		odd := b.Int("i24", 3, btfbuild.Signed)
		b.Struct("odd", 32, mem("a", ld, 0, 0), mem("b", odd, 128, 0), mem("c", k["int"], 160, 0), mem("d", ld, 192, 0))
	}, has: []string{"struct { unsigned char bytes[16]; } a;"}, hasNot: []string{"packed"},
		differs: map[string]string{"struct odd": "a long double of 16 bytes is no type of BPF"}, bpftool: "fails: long double of BPF has 8 bytes, i24 is no type"},
	{name: "va_list", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		tag := b.Struct("__va_list_tag", 24, mem("gp_offset", k["unsigned int"], 0, 0), mem("fp_offset", k["unsigned int"], 32, 0),
			mem("overflow_arg_area", b.Ptr(0), 64, 0), mem("reg_save_area", b.Ptr(0), 128, 0))
		builtin := b.Typedef("__builtin_va_list", b.Array(tag, k["int"], 1))
		gnu := b.Typedef("__gnuc_va_list", builtin)
		va := b.Typedef("va_list", gnu)
		b.Struct("va_format", 16, mem("fmt", b.Ptr(k["char"]), 0, 0), mem("va", b.Ptr(va), 64, 0))
		b.Struct("by_value", 32, mem("n", k["int"], 0, 0), mem("va", va, 64, 0))
	}, hasNot: []string{"__builtin_va_list;"}, has: []string{"typedef __builtin_va_list __gnuc_va_list;", "struct __va_list_tag va[1];"},
		differs: map[string]string{"struct by_value": "the compiler's va_list has another size than the kernel's"},
		bpftool: "struct by_value: it takes the compiler's va_list"},
	{name: "void va_list of old gcc", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Typedef("__gnuc_va_list", 0)
	}, has: []string{"typedef __builtin_va_list __gnuc_va_list;"},
		differs: map[string]string{"typedef __gnuc_va_list": "the original is void"}},
	{name: "declared only", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		s, u := b.Fwd("nobody", false), b.Fwd("nounion", true)
		late := b.Fwd("late", false)
		b.Struct("user", 24, mem("s", b.Ptr(s), 0, 0), mem("u", b.Ptr(u), 64, 0), mem("l", b.Ptr(late), 128, 0))
		b.Struct("late", 4, mem("v", k["int"], 0, 0))
		b.Typedef("nobody_t", s)
		b.Union("clash", 4, mem("v", k["int"], 0, 0))
		b.Struct("clashes", 8, mem("p", b.Ptr(b.Fwd("clash", false)), 0, 0))
	}, has: []string{"struct nobody;", "union nounion;", "struct clash___2;"}, bpftool: "fails: it declares a struct with the tag of a union"},
	{name: "names that are no identifiers", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Struct("for", 4, mem("int", k["int"], 0, 0))
		b.Struct("core::option::Option<u32>", 4, mem("0", k["int"], 0, 0))
		b.Struct("core__option__Option_u32_", 8, mem("a", k["long int"], 0, 0))
		b.Typedef("*/ int x; /*", k["int"])
		b.Enum("e", 4, val("default", 1), val("a b", 2), val("9", 3))
		b.Struct("new", 4, mem("class", k["int"], 0, 0)) // words of C++ only
	}, has: []string{"struct for___kw {\n\tint int___kw; /* \"int\" */", "default___kw = 1", "struct new {\n\tint class;"},
		bpftool: "fails: names are written as they are"},
	{name: "unions", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		five := b.Array(k["char"], k["int"], 5)
		b.Union("padded", 8, mem("a", five, 0, 0))
		b.Union("line", 64, mem("a", k["int"], 0, 0))
		b.Union("packed", 5, mem("a", k["int"], 0, 0), mem("b", five, 0, 0))
		b.Union("odd", 7, mem("a", k["int"], 0, 0), mem("b", five, 0, 0))
		in := b.Union("odd12", 12, mem("a", k["char"], 0, 0))
		b.Struct("out", 16, mem("c", k["char"], 0, 0), mem("u", in, 8, 0), mem("d", k["char"], 104, 0))
	}, bpftool: "a union is as large as its members"},
	{name: "members out of order", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Struct("rust", 16, mem("small", k["char"], 96, 0), mem("big", k["long int"], 0, 0), mem("mid", k["int"], 64, 0))
	}, bpftool: "it takes the order of the BTF for that of the offsets"},
	{name: "what C can't express", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		b.Struct("overlap", 8, mem("a", k["long int"], 0, 0), mem("b", k["int"], 32, 0))
		b.Struct("beyond", 4, mem("a", k["int"], 0, 0), mem("b", k["int"], 32, 0))
		b.Struct("bits", 8, mem("a", k["int"], 0, 40), mem("b", k["_Bool"], 40, 3))
		b.Struct("sizeless", 8, mem("a", b.Fwd("nobody", false), 0, 0), mem("b", k["int"], 32, 0))
		b.Struct("half", 8, mem("f", k["int"], 4, 0), mem("b", k["int"], 32, 0))
		b.Union("shifted", 8, mem("f", k["int"], 32, 0), mem("b", k["int"], 0, 0), mem("l", b.Array(k["long int"], k["int"], 9), 0, 0))
		b.Struct("huge", 8, mem("a", b.Array(b.Array(k["int"], k["int"], 1<<31), k["int"], 1<<31), 0, 0))
	}, has: []string{"overlaps the member before it", "reaches beyond the end", "bitfield that its type can't hold", "no size in C",
		"not at a byte", "not at the start of the union", "larger than the union"},
		differs: map[string]string{"struct overlap": "", "struct beyond": "", "struct bits": "", "struct sizeless": "", "struct half": "",
			"union shifted": "", "struct huge": ""},
		bpftool: "fails: such members are written as if they could be"},
	{name: "tags", build: func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
		up := b.Ptr(b.TypeTag("user", k["char"]))
		rcu := b.Ptr(b.TypeTag("b", b.TypeTag("a", b.Ptr(k["int"]))))
		s := b.Struct("tagged", 16, mem("u", up, 0, 0), mem("r", rcu, 64, 0))
		b.DeclTag("whole", s, -1)
		b.DeclTag("member", s, 1)
		t := b.Typedef("tagged_t", s)
		b.DeclTag(`quote"d`, t, -1)
	}, has: []string{`char __btf_type_tag("user") *u;`, `int * __btf_type_tag("a") __btf_type_tag("b") *r __btf_decl_tag("member");`},
		bpftool: "decl tags: it does not write them"},
}

func TestDumpCTraps(t *testing.T) {
	t.Parallel()
	for _, trap := range cTraps {
		t.Run(trap.name, func(t *testing.T) {
			t.Parallel()
			for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
				bld := btfbuild.New()
				trap.build(bld, bld.Kernelish(8))
				raw := bld.Bytes(order)
				b, err := Parse(raw)
				if err != nil {
					t.Fatal(err)
				}
				c := dumpC(t, b)
				for _, s := range trap.has {
					if !strings.Contains(c, s) {
						t.Errorf("lacks %q:\n%s", s, c)
					}
				}
				for _, s := range trap.hasNot {
					if strings.Contains(c, s) {
						t.Errorf("has %q:\n%s", s, c)
					}
				}
				got := clang(t, useAll(c)+trap.extra, order)
				want := original(b).all()
				diff := diffShapes(want, cShapes{b: got, name: Type.Name}.all())
				for name, d := range diff {
					if _, ok := trap.differs[name]; !ok {
						t.Errorf("%s: %s %s\n%s", orderName(order), name, d, c)
					}
				}
				for name := range trap.differs {
					if _, ok := diff[name]; !ok {
						t.Errorf("%s: %s is listed as different, but is equal", orderName(order), name)
					}
				}
				checkSizes(t, b, got)
				if order == binary.LittleEndian {
					againstBpftool(t, trap, raw, got)
				}
			}
		})
	}
}

// checkSizes holds the size of every struct and union against the original, also of those that can't be equal.
func checkSizes(t *testing.T, b, got *BTF) {
	t.Helper()
	names := original(b)
	for id := ID(1); int(id) < b.NumTypes(); id++ {
		typ := b.Type(id)
		if !typ.Kind().IsComposite() || typ.Name() == "" {
			continue
		}
		ids := got.Named(names.name(typ), typ.Kind())
		if len(ids) != 1 || got.Type(ids[0]).Size() != typ.Size() {
			t.Errorf("%s: %d of its kind compiled, want 1 of %d bytes", names.name(typ), len(ids), typ.Size())
		}
	}
}

// againstBpftool compiles what bpftool makes of the same BTF and compares that with what ours became.
func againstBpftool(t *testing.T, trap cTrap, raw []byte, ours *BTF) {
	t.Helper()
	if _, err := exec.LookPath("bpftool"); err != nil {
		t.Log("needs bpftool for the comparison with it")
		return
	}
	if strings.HasPrefix(trap.bpftool, "fails: ") {
		return
	}
	if _, ok := trap.differs["struct far"]; ok {
		return // a hole of 100 kB is 12,500 lines there
	}
	theirs := clang(t, useAll(bpftoolC(t, raw)), binary.LittleEndian)
	diff := diffShapes(cShapes{b: theirs, name: essential}.all(), cShapes{b: ours, name: essential}.all())
	if (len(diff) != 0) != (trap.bpftool != "") {
		t.Errorf("differs from bpftool: %v, expected %q", diff, trap.bpftool)
	}
}

func bpftoolC(t testing.TB, raw []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.btf")
	if err := os.WriteFile(path, raw, 0o666); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("bpftool", "btf", "dump", "file", path, "format", "c").Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Structs and unions that nobody thought of: any members at any places, as packed, aligned and bitfields give them.
func TestDumpCRandom(t *testing.T) {
	t.Parallel()
	const seeds, perSeed = 6, 400
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		bld := btfbuild.New()
		k := bld.Kernelish(8)
		i := k["int"]
		type sized struct {
			id          btfbuild.ID
			size, align uint32 // bytes
		}
		plain := []sized{{k["char"], 1, 1}, {k["short int"], 2, 2}, {i, 4, 4}, {k["long int"], 8, 8}, {bld.Ptr(i), 8, 8},
			{bld.Array(k["char"], i, 5), 5, 1}, {bld.Array(i, i, 3), 12, 4}, {bld.Enum("tiny", 1, val("TINY", 1)), 1, 1},
			{bld.Int("__int128", 16, btfbuild.Signed), 16, 16}}
		ints := []sized{{k["unsigned char"], 1, 1}, {k["short int"], 2, 2}, {k["unsigned int"], 4, 4}, {k["long long unsigned int"], 8, 8}}
		for n := range perSeed {
			var members []btfbuild.Member
			at := uint32(0) // bits
			packed := rnd.IntN(3) == 0
			align := uint32(1)
			vlen := rnd.IntN(9)
			for m := range vlen {
				name := fmt.Sprintf("m%d", m)
				if rnd.IntN(6) == 0 {
					at += uint32(rnd.IntN(200))
				}
				if rnd.IntN(3) == 0 {
					typ := ints[rnd.IntN(len(ints))]
					bits := 1 + uint32(rnd.IntN(int(8*typ.size)))
					if unit := 8 * typ.align; !packed && at%unit+bits > unit {
						at = (at + unit - 1) / unit * unit
					}
					members = append(members, mem(name, typ.id, at, bits))
					at += bits
					align = max(align, typ.align)
					continue
				}
				typ := plain[rnd.IntN(len(plain))]
				unit := 8 * typ.align
				if packed {
					unit = 8
				}
				at = (at + unit - 1) / unit * unit
				members = append(members, mem(name, typ.id, at, 0))
				at += 8 * typ.size
				align = max(align, typ.align)
			}
			size := (at + 7) / 8
			if !packed {
				size = (size + align - 1) / align * align
			}
			if rnd.IntN(5) == 0 {
				size += uint32(rnd.IntN(40))
			}
			name := fmt.Sprintf("r%d", n)
			var id btfbuild.ID
			if rnd.IntN(8) == 0 && vlen > 0 {
				for m := range members {
					members[m].Off = 0
				}
				id = bld.Union(name, max(size, 16), members...)
				size = max(size, 16)
			} else {
				id = bld.Struct(name, size, members...)
			}
			if rnd.IntN(4) == 0 {
				// Whoever contains it can't know its alignment: any place does.
				plain = append(plain, sized{id, size, 1 << rnd.IntN(5)})
			}
		}
		b, err := Parse(bld.Bytes(binary.LittleEndian))
		if err != nil {
			t.Fatal(err)
		}
		c := dumpC(t, b)
		got := clang(t, useAll(c), binary.LittleEndian)
		diff := diffShapes(original(b).all(), cShapes{b: got, name: Type.Name}.all())
		for name, d := range diff {
			if strings.Contains(d, "__pad") {
				continue // a hole too large for unnamed bitfields
			}
			_, text, _ := strings.Cut(c, name+" {")
			text, _, _ = strings.Cut(text, "\n\n")
			t.Errorf("seed %d: %s %s\n%s {%s", seed, name, d, name, text)
			if len(diff) > 3 {
				break
			}
		}
	}
}

// Pointers and longs of 4 bytes can't be compiled for BPF; assertions for arm say whether the layout is right.
func TestDumpC32(t *testing.T) {
	t.Parallel()
	needTool(t, "clang")
	bld := btfbuild.New()
	k := bld.Kernelish(4)
	list := bld.NextID()
	bld.Struct("list_head", 8, mem("next", list+1, 0, 0), mem("prev", list+1, 32, 0))
	bld.Ptr(list)
	bld.Struct("s", 40, mem("l", k["long int"], 0, 0), mem("q", k["long long unsigned int"], 64, 0), mem("list", list, 128, 0),
		mem("c", k["char"], 192, 0), mem("d", k["char"], 256, 0))
	bld.Struct("end", 24, mem("a", k["long long unsigned int"], 0, 0))
	b, err := Parse(bld.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	c := dumpC(t, b) + `_Static_assert(sizeof(struct s) == 40 && __builtin_offsetof(struct s, q) == 8, "");
_Static_assert(__builtin_offsetof(struct s, list) == 16 && __builtin_offsetof(struct s, c) == 24, "");
_Static_assert(__builtin_offsetof(struct s, d) == 32 && sizeof(struct end) == 24, "");
`
	path := filepath.Join(t.TempDir(), "x.c")
	if err := os.WriteFile(path, []byte(c), 0o666); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("clang", "-target", "arm-linux-gnueabi", "-DBPF_NO_PRESERVE_ACCESS_INDEX", "-fsyntax-only", "-Werror", path).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, c)
	}
}

func TestDumpCNames(t *testing.T) {
	t.Parallel()
	bld := btfbuild.New()
	k := bld.Kernelish(8)
	in := bld.Struct("in", 4, mem("v", k["int"], 0, 0))
	far := bld.Struct("far", 4, mem("v", k["int"], 0, 0))
	tt := bld.Typedef("in_t", in)
	bld.Struct("out", 16, mem("i", tt, 0, 0), mem("p", bld.Ptr(far), 64, 0))
	bld.Struct("other", 4, mem("v", k["int"], 0, 0))
	proto := bld.FuncProto(k["int"], par("in_t", bld.Ptr(tt)), par("n", k["int"]))
	bld.Func("do_it", proto, btfbuild.Static)
	bld.Var("counter", in, btfbuild.Global)
	b, err := Parse(bld.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	body := func(names ...string) string {
		c := strings.TrimPrefix(dumpC(t, b, names...), cHead)
		return strings.ReplaceAll(strings.TrimSuffix(c, cTail), "\n\n", "\n")
	}
	want := "struct in;\ntypedef struct in in_t;\nstruct in {\n\tint v;\n};\nstruct far;\nstruct out {\n\tin_t i;\n\tstruct far *p;\n};\n"
	if got := body("struct out"); got != want {
		t.Errorf("have\n%s\nwant\n%s", got, want)
	}
	want = "struct in;\ntypedef struct in in_t;\nextern int do_it(in_t *in_t_, int n);\n"
	if got := body("do_it"); got != want {
		t.Errorf("have\n%s\nwant\n%s", got, want)
	}
	if got := body("var counter"); !strings.HasSuffix(got, "extern struct in counter;\n") {
		t.Errorf("have\n%s", got)
	}
	err = DumpC(&bytes.Buffer{}, b, DumpOptions{Names: []string{"othr"}})
	var e *Error
	if !errors.As(err, &e) || e.Hint != "did you mean other?" {
		t.Errorf("have %v, %+v", err, e)
	}
}

// Types that can't be are errors, soon.
func TestDumpCRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, msg string
		build     func(b *btfbuild.Builder, k map[string]btfbuild.ID)
	}{
		{"struct in itself", `STRUCT "s" contains itself`, func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
			b.Struct("s", 8, mem("s", b.NextID(), 0, 0))
		}},
		{"structs in each other", "contains itself", func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
			id := b.NextID()
			b.Struct("a", 8, mem("b", id+1, 0, 0))
			b.Union("b", 8, mem("a", id+2, 0, 0))
			b.Typedef("a_t", id)
		}},
		{"anonymous struct that leads to itself", "has no name, but leads back to itself", func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
			id := b.NextID()
			b.Struct("", 8, mem("next", id+1, 0, 0))
			b.Ptr(id)
			b.Struct("s", 8, mem("a", id, 0, 0))
		}},
		{"prototype of itself", "leads back to it without a name", func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
			id := b.NextID()
			b.FuncProto(0, par("f", id+1))
			b.Ptr(id)
			b.Struct("s", 8, mem("f", id+1, 0, 0))
		}},
		{"prototype that returns itself", "leads back to it without a name", func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
			id := b.NextID()
			b.FuncProto(id + 1)
			b.Ptr(id)
			b.Typedef("t", id)
		}},
		{"typedef of its own function", "leads back to itself", func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
			id := b.NextID()
			b.Typedef("t", id+1)
			b.FuncProto(0, par("f", id))
		}},
		{"anonymous types that double", "unfold", func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
			in := b.Struct("", 1, mem("v", k["char"], 0, 0))
			for i := uint32(1); i <= 30; i++ {
				in = b.Struct("", 1<<i, mem("a", in, 0, 0), mem("b", in, 8<<(i-1), 0))
			}
			b.Struct("s", 1<<30, mem("a", in, 0, 0))
		}},
		{"deep nesting", "in a row", func(b *btfbuild.Builder, k map[string]btfbuild.ID) {
			in := k["char"]
			for i := 0; i < maxTypeDepth+1; i++ {
				id := b.NextID()
				b.Struct(fmt.Sprintf("s%d", maxTypeDepth-i), 1, mem("a", id+1, 0, 0))
			}
			b.Typedef("last", in)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			bld := btfbuild.New()
			tt.build(bld, bld.Kernelish(8))
			b, err := Parse(bld.Bytes(binary.LittleEndian))
			if err != nil {
				t.Fatal(err)
			}
			var e *Error
			err = DumpC(&bytes.Buffer{}, b, DumpOptions{})
			if !errors.As(err, &e) || !strings.Contains(e.Msg, tt.msg) || e.Hint == "" {
				t.Errorf("error %v, want one with %q and a hint", err, tt.msg)
			}
		})
	}
}

// A module's types come with those of the kernel that they need.
func TestDumpCSplit(t *testing.T) {
	t.Parallel()
	base := btfbuild.New()
	k := base.Kernelish(8)
	dev := base.Struct("device", 8, mem("id", k["long int"], 0, 0))
	base.Struct("unused", 8, mem("id", k["long int"], 0, 0))
	parsed, err := Parse(base.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	mod := btfbuild.NewSplit(base)
	mod.Struct("card", 16, mem("dev", dev, 0, 0), mem("n", k["int"], 64, 0))
	b, err := ParseSplit(mod.Bytes(binary.LittleEndian), parsed)
	if err != nil {
		t.Fatal(err)
	}
	c := dumpC(t, b)
	if !strings.Contains(c, "struct device {") || !strings.Contains(c, "struct card {") || strings.Contains(c, "unused") {
		t.Error(c)
	}
}

// embeddedBTF is the BTF of a kernel that comes with corecheck. The packages that know of these are above this one, so
// that the command is asked.
func embeddedBTF(t testing.TB, id string) []byte {
	t.Helper()
	cmd := exec.Command("go", "run", "../cmd/corecheck", "kernels", "export", id, "-o", "-")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	raw, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.String())
	}
	return raw
}

// wholeKernels are BTFs of real kernels: those that come with corecheck, and one that clang built where it is at hand.
func wholeKernels(t testing.TB) map[string]*BTF {
	t.Helper()
	all := map[string]*BTF{}
	for name, id := range map[string]string{"5.10.0-46-cloud-amd64": "debian/11/x86_64/5.10.0-46-cloud-amd64",
		"7.2.12+deb13-cloud-amd64": "debian/13/x86_64/7.2.12+deb13-cloud-amd64"} {
		b, err := Parse(embeddedBTF(t, id))
		if err != nil {
			t.Fatal(err)
		}
		all[name] = b
	}
	var paths []string
	hub := "../../shared/btfhub/android/common-android13-5.10/a13-5.10-arm64.btf.tar.xz"
	if _, err := os.Stat(hub); err == nil {
		paths = append(paths, hub)
	} else {
		t.Log("an arm64 kernel of BTFHub's archive is not at hand")
	}
	for _, p := range paths {
		f, err := Open(p, nil)
		if err != nil {
			t.Fatal(err)
		}
		all[strings.SplitN(filepath.Base(p), ".btf", 2)[0]] = f.BTF
	}
	return all
}

// The C of a whole kernel, compiled, gives each type the same members at the same places as the kernel has, and is the
// same as bpftool's but where bpftool's differs from the kernel, too.
func TestDumpCKernels(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("compiles whole kernels' headers")
	}
	needTool(t, "clang")
	for name, b := range wholeKernels(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ours := compileParts(t, dumpC(t, b), b.ByteOrder())
			want := original(b).all()
			wrong := diffShapes(want, shapesOf(ours, Type.Name))
			reason := reasonsOf(b)
			for typ, d := range wrong {
				if reason(typ) != reasonVaList {
					t.Errorf("%s %s", typ, d)
				}
			}
			t.Logf("%d types as in the kernel, %d not", len(want)-len(wrong), len(wrong))

			needTool(t, "bpftool")
			theirs := shapesOf(compileParts(t, bpftoolC(t, rawOf(b)), b.ByteOrder()), essential)
			diff := diffShapes(theirs, shapesOf(ours, essential))
			why := map[string][]string{}
			for typ, d := range diff {
				r := reason(typ)
				if r == "" {
					t.Errorf("differs from bpftool: %s %s", typ, d)
				}
				why[r] = append(why[r], typ)
			}
			t.Logf("%d types as bpftool has them, %d not", len(theirs)-len(diff), len(diff))
			for r, list := range why {
				slices.Sort(list)
				t.Logf("bpftool: %s: %s", r, strings.Join(list, ", "))
			}
		})
	}
}

// rawOf writes the raw BTF of b again.
func rawOf(b *BTF) []byte {
	bld := btfbuild.New()
	bld.AddRaw(b.words...)
	bld.EditStrings = func([]byte) []byte { return []byte(b.strs) }
	return bld.Bytes(b.order)
}

// Why bpftool's C of a type compiles to something else than the type. All are of libbpf v1.1 in bpftool 7.1; later ones
// write the size of an enum.
const (
	reasonEnum   = "enum that has not the size of an int (libbpf v1.1 does not write it)"
	reasonMember = "named type as an anonymous member (libbpf writes a declaration)"
	reasonVaList = "va_list by value (the compiler's has another size)"
	reasonUnion  = "union that needs packing or padding (libbpf writes neither)"
	reasonInt    = "floating point number that the BTF has as an INT (its name makes it a float)"
)

// reasonsOf finds, for a type by name, the reason why bpftool can't write it, in the type itself or in one that it
// contains by value.
func reasonsOf(b *BTF) func(name string) string {
	memo := map[ID]string{}
	names, err := newCNames(b)
	if err != nil {
		panic(err)
	}
	layout := &cDump{b: b, n: names, geoms: map[ID]cGeom{}, w: cWriter{ptrSize: b.PointerSize()}}
	var byValue func(id ID) string
	byValue = func(id ID) string {
		if r, ok := memo[id]; ok {
			return r
		}
		memo[id] = ""
		t := b.Type(id)
		r := ""
		switch k := t.Kind(); {
		case k == KindTypedef && t.Name() == "__builtin_va_list":
			r = reasonVaList
		case k == KindTypedef, k == KindArray, k.IsModifier():
			r = byValue(t.Ref())
		case k.IsEnum():
			if t.Vlen() > 0 && t.Size() != 4 {
				r = reasonEnum
			}
		case k == KindInt:
			if c, _ := cInt(t, b.PointerSize()); c != t.Name() {
				r = reasonInt
			}
		case k.IsComposite():
			if g := layout.geom(id); k == KindUnion && (g.packed || g.aligned != 0 || g.fill != 0) {
				r = reasonUnion
			}
			for i := 0; i < t.Vlen() && r == ""; i++ {
				m := t.Member(i)
				if inner := b.Skip(m.Type); m.Name == "" && inner.Name() != "" && inner.Kind().IsComposite() {
					r = reasonMember
				} else {
					r = byValue(m.Type)
				}
			}
		}
		memo[id] = r
		return r
	}
	return func(name string) string {
		word, name, _ := strings.Cut(name, " ")
		kinds := selectWords[word]
		r := ""
		for _, k := range kinds {
			b.OwnEssential(name, func(t Type) bool {
				if t.Kind() == k && r == "" {
					r = byValue(t.ID())
				}
				return true
			})
		}
		return r
	}
}
