package btfinfo

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// TestParseBad asserts the line that each lie in BTF gives. Offsets are those of the type; the header has 24 bytes.
func TestParseBad(t *testing.T) {
	t.Parallel()
	build := func(f func(b *btfbuild.Builder)) *btfbuild.Builder {
		b := btfbuild.New()
		b.Int("int", 4, btfbuild.Signed) // type 1, 16 bytes; the strings are "", "int": 5 bytes
		f(b)
		return b
	}
	patched := func(f func(b *btfbuild.Builder), word int, v uint32) *btfbuild.Builder {
		return build(func(b *btfbuild.Builder) { f(b); b.Patch(2, word, v) })
	}
	for _, test := range []struct {
		name string
		b    *btfbuild.Builder
		want string
	}{
		{"name", patched(func(b *btfbuild.Builder) { b.Ptr(1) }, 0, 99), "at 0x28: type [2] PTR: string offset of the name is 99, there are 5"},
		{"kind 0", build(func(b *btfbuild.Builder) { b.AddRaw(0, 0, 0) }), "at 0x28: type [2] has kind 0, known are 1 to 19"},
		{"kind 20", build(func(b *btfbuild.Builder) { b.AddRaw(0, 20<<24, 0) }), "at 0x28: type [2] has kind 20, known are 1 to 19"},
		{"cut", build(func(b *btfbuild.Builder) { b.AddRaw(0, 2<<24) }), "at 0x28: type [2] needs 12 bytes, have 8"},
		{"members cut", build(func(b *btfbuild.Builder) { b.AddRaw(0, 4<<24|2, 8, 0, 1, 0) }), "at 0x28: type [2] STRUCT needs 36 bytes, have 24"},
		{"most members", build(func(b *btfbuild.Builder) { b.AddRaw(0, 4<<24|0xffff, 8) }), "at 0x28: type [2] STRUCT needs 786432 bytes, have 12"},
		{"int", patched(func(b *btfbuild.Builder) { b.Int("int", 4, 0) }, 3, 129), "at 0x28: type [2] INT: 129 bits at bit 0, an integer holds 128"},
		{"int offset", patched(func(b *btfbuild.Builder) { b.Int("int", 4, 0) }, 3, 100<<16|32), "at 0x28: type [2] INT: 32 bits at bit 100, an integer holds 128"},
		{"ptr", build(func(b *btfbuild.Builder) { b.Ptr(3) }), "at 0x28: type [2] PTR: type id is 3, there are 3"},
		{"func", build(func(b *btfbuild.Builder) { b.Func("int", 1<<31, 0) }), "at 0x28: type [2] FUNC: type id is 2147483648, there are 3"},
		{"array element", build(func(b *btfbuild.Builder) { b.Array(7, 1, 1) }), "at 0x28: type [2] ARRAY: type id of the elements is 7, there are 3"},
		{"array index", build(func(b *btfbuild.Builder) { b.Array(1, 7, 1) }), "at 0x28: type [2] ARRAY: type id of the index is 7, there are 3"},
		{"member", build(func(b *btfbuild.Builder) { b.Struct("", 4, btfbuild.Member{Name: "int", Type: 9}) }), "at 0x28: type [2] STRUCT: type id of a member is 9, there are 3"},
		{"member name", patched(func(b *btfbuild.Builder) { b.Union("", 4, btfbuild.Member{Type: 1}) }, 3, 5), "at 0x28: type [2] UNION: string offset of a member is 5, there are 5"},
		{"enumerator", patched(func(b *btfbuild.Builder) { b.Enum("", 4, btfbuild.Value{Name: "int"}) }, 3, 6), "at 0x28: type [2] ENUM: string offset of an enumerator is 6, there are 5"},
		{"enumerator of 64 bits", patched(func(b *btfbuild.Builder) { b.Enum64("", 8, false, btfbuild.Value{Name: "int"}) }, 3, 7), "at 0x28: type [2] ENUM64: string offset of an enumerator is 7, there are 5"},
		{"result", build(func(b *btfbuild.Builder) { b.FuncProto(8) }), "at 0x28: type [2] FUNC_PROTO: type id of the result is 8, there are 3"},
		{"parameter", build(func(b *btfbuild.Builder) { b.FuncProto(0, btfbuild.Param{Type: 8}) }), "at 0x28: type [2] FUNC_PROTO: type id of a parameter is 8, there are 3"},
		{"parameter name", patched(func(b *btfbuild.Builder) { b.FuncProto(0, btfbuild.Param{Type: 1}) }, 3, 8), "at 0x28: type [2] FUNC_PROTO: string offset of a parameter is 8, there are 5"},
		{"variable", build(func(b *btfbuild.Builder) { b.Datasec("int", 4, btfbuild.Sec{Type: 4, Size: 4}) }), "at 0x28: type [2] DATASEC: type id of a variable is 4, there are 3"},

		{"pointer to itself", build(func(b *btfbuild.Builder) { b.Ptr(2) }), "at 0x28: type [2] PTR leads back to itself through type [2]"},
		{"typedef circle", build(func(b *btfbuild.Builder) { b.Typedef("int", 3); b.Const(4); b.Typedef("int", 2) }), "at 0x28: type [2] TYPEDEF leads back to itself through type [4]"},
		{"array of itself", build(func(b *btfbuild.Builder) { b.Array(2, 1, 1) }), "at 0x28: type [2] ARRAY leads back to itself through type [2]"},
		{"struct in itself", build(func(b *btfbuild.Builder) { b.Struct("", 4, btfbuild.Member{Type: 2}) }), "at 0x28: type [2] STRUCT leads back to itself through type [2]"},
		{"chain forwards", build(func(b *btfbuild.Builder) {
			for i := range btfbuild.ID(100) {
				b.Const(i + 3)
			}
			b.Float("int", 4)
		}), "at 0x328: type [66] CONST is nested 65 deep, the limit is 64"},
		{"chain backwards", build(func(b *btfbuild.Builder) {
			for i := range btfbuild.ID(100) {
				b.Const(i + 1)
			}
		}), "at 0x31c: type [65] CONST is nested 65 deep, the limit is 64"},
		{"wide without end", build(func(b *btfbuild.Builder) {
			b.Struct("", 4, btfbuild.Member{Name: "int", Type: 1}, btfbuild.Member{Name: "int", Type: 1})
			for i := range btfbuild.ID(40) { // each has the one before twice: 2^40 members
				b.Struct("", 4, btfbuild.Member{Type: i + 2}, btfbuild.Member{Type: i + 2})
			}
		}), "at 0x268: type [18] STRUCT has more than 131072 members, those of anonymous members included, the limit"},
		{"long string", build(func(b *btfbuild.Builder) { b.Float(strings.Repeat("x", maxName+1), 4) }), "at 0x39: a string of more than 4096 bytes, the limit"},
		{"strings empty", editStrings(build(func(*btfbuild.Builder) {}), ""), "at 0x28: the BTF string section is empty, want at least 1 byte"},
		{"strings without end", editStrings(build(func(*btfbuild.Builder) {}), "\x00int"), "at 0x2b: the BTF string section ends in byte 0x74, want 0"},
		{"strings without start", editStrings(build(func(*btfbuild.Builder) {}), "xint\x00"), "at 0x28: the BTF string section starts with byte 0x78, want 0"},
	} {
		for order, o := range btfbuild.Orders() {
			t.Run(test.name+" "+order, func(t *testing.T) {
				b, err := Parse(test.b.Bytes(o))
				if err == nil || b != nil {
					t.Fatalf("BTF %v, error %v, want %s", b, err, test.want)
				}
				if err.Error() != test.want {
					t.Errorf("\n got %s\nwant %s", err, test.want)
				}
			})
		}
	}
}

func editStrings(b *btfbuild.Builder, s string) *btfbuild.Builder {
	b.EditStrings = func([]byte) []byte { return []byte(s) }
	return b
}

// What is just within the limits is read, and read in little time.
func TestParseLimits(t *testing.T) {
	t.Parallel()
	b := btfbuild.New()
	b.Int("int", 4, btfbuild.Signed)
	for i := range btfbuild.ID(maxChainDepth - 1) { // the INT is the end of the chain
		b.Const(i + 1)
	}
	members := make([]btfbuild.Member, 0xffff)
	for i := range members {
		members[i] = btfbuild.Member{Name: fmt.Sprint("m", i), Type: 1}
	}
	wide := b.Struct(strings.Repeat("x", maxName), 4, members...)
	b.Union("both", 4, btfbuild.Member{Type: wide}, btfbuild.Member{Type: wide})
	start := time.Now()
	p, err := Parse(b.Bytes(le))
	if err != nil {
		t.Fatal(err)
	}
	walk(p)
	if d := time.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// Parse does not keep its input: what the caller does with it later is not seen.
func TestParseKeepsNothing(t *testing.T) {
	t.Parallel()
	data := kernelBuilder().Bytes(le)
	b, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	if len(b.Named("task_struct", KindStruct)) != 1 {
		t.Error("BTF changed with the bytes that it was parsed from")
	}
}
