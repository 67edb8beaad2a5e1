package relocate

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// types adds the types of one side of a case to a builder that has "long", and returns the root.
type types func(b *btfbuild.Builder) btfbuild.ID

func build(t testing.TB, order binary.ByteOrder, add types) (*btfinfo.BTF, btfinfo.ID) {
	t.Helper()
	b := btfbuild.New()
	b.Int("long", 8, btfbuild.Signed)
	id := add(b)
	parsed, err := btfinfo.Parse(b.Bytes(order))
	if err != nil {
		t.Fatal(err)
	}
	return parsed, btfinfo.ID(id)
}

// one is an object with one record, on no instruction.
func one(b *btfinfo.BTF, kind ReloKind, root btfinfo.ID, access string) (*Object, *Relo) {
	r := &Relo{Kind: kind, Type: root, Access: access}
	return &Object{Name: "test", ByteOrder: b.ByteOrder(), BTF: b, Relos: []*Relo{r}}, r
}

// Words of coreWord.
const (
	poison = "poison"
	absent = "no"
)

// member is a struct with one member, behind pad bytes.
func member(name string, pad uint32, field func(b *btfbuild.Builder) btfbuild.ID) types {
	return func(b *btfbuild.Builder) btfbuild.ID {
		return b.Struct(name, 64, btfbuild.Member{Name: "f", Type: field(b), Off: 8 * pad})
	}
}

func intType(size, enc uint32) types {
	return func(b *btfbuild.Builder) btfbuild.ID { return b.Int("int", size, enc) }
}

func ptrTo(to types) types {
	return func(b *btfbuild.Builder) btfbuild.ID { return b.Ptr(to(b)) }
}

func arrayOf(n uint32, elem types) types {
	return func(b *btfbuild.Builder) btfbuild.ID { e := elem(b); return b.Array(e, e, n) }
}

func enumType(name string, size uint32, values ...btfbuild.Value) types {
	return func(b *btfbuild.Builder) btfbuild.ID { return b.Enum(name, size, values...) }
}

func fwdType(name string, union bool) types {
	return func(b *btfbuild.Builder) btfbuild.ID { return b.Fwd(name, union) }
}

func void(*btfbuild.Builder) btfbuild.ID { return 0 }

func chain(n int, to types) types {
	return func(b *btfbuild.Builder) btfbuild.ID {
		id := to(b)
		for range n {
			id = b.Ptr(id)
		}
		return id
	}
}

func typedef(name string, to types) types {
	return func(b *btfbuild.Builder) btfbuild.ID { return b.Typedef(name, to(b)) }
}

// TestCoreRelations resolves records of a in b and of b in a: compatibility is not symmetric everywhere. Each side is
// also resolved in itself, which must give its own value, but where the case says otherwise.
func TestCoreRelations(t *testing.T) {
	two := func(x, y btfbuild.ID) []btfbuild.Member {
		return []btfbuild.Member{{Name: "x", Type: x}, {Name: "y", Type: y, Off: 64}}
	}
	tests := []struct {
		name             string
		kind             ReloKind
		a, b             types
		accessA, accessB string // "0:0" where empty for fields, "0" for others
		ab, ba           string // value, or one of the words above
		self             string // in itself, where that is not its own value
	}{
		{name: "ints of any size and sign", a: member("s", 0, intType(4, 0)), b: member("s", 8, intType(8, btfbuild.Signed)), ab: "8", ba: "0"},
		{name: "int and pointer", a: member("s", 0, intType(8, 0)), b: member("s", 8, ptrTo(void)), ab: poison, ba: poison},
		{name: "pointers to anything", a: member("s", 0, ptrTo(void)), b: member("s", 8, ptrTo(intType(4, 0))), ab: "8", ba: "0"},
		{name: "int and enum", a: member("s", 0, intType(4, 0)), b: member("s", 8, enumType("e", 4)), ab: poison, ba: poison},
		{name: "int with an offset", a: member("s", 0, intType(4, 0)), b: member("s", 8, func(b *btfbuild.Builder) btfbuild.ID { return b.IntBits("int", 4, 0, 3, 5) }), ab: poison, ba: poison, self: "b " + poison},
		{name: "enum and enum64", a: member("s", 0, enumType("e", 4)), b: member("s", 8, func(b *btfbuild.Builder) btfbuild.ID { return b.Enum64("e___2", 8, false) }), ab: "8", ba: "0"},
		{name: "enums of two names", a: member("s", 0, enumType("e", 4)), b: member("s", 8, enumType("g", 4)), ab: poison, ba: poison},
		{name: "enum without name", a: member("s", 0, enumType("e", 4)), b: member("s", 8, enumType("", 4)), ab: "8", ba: "0"},
		{name: "struct and union members", a: member("s", 0, func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("m", 4) }), b: member("s", 8, func(b *btfbuild.Builder) btfbuild.ID { return b.Union("n", 8) }), ab: "8", ba: "0"},
		{name: "floats", a: member("s", 0, func(b *btfbuild.Builder) btfbuild.ID { return b.Float("float", 4) }), b: member("s", 8, func(b *btfbuild.Builder) btfbuild.ID { return b.Float("double", 8) }), ab: "8", ba: "0"},
		{name: "fwds of two names", kind: FieldExists, a: member("s", 0, fwdType("x", false)), b: member("s", 8, fwdType("y", false)), ab: absent, ba: absent},
		{name: "fwds of one name", kind: FieldExists, a: member("s", 0, fwdType("x", false)), b: member("s", 8, fwdType("x___2", true)), ab: "1", ba: "1"},
		{name: "arrays by element", a: member("s", 0, arrayOf(2, intType(4, 0))), b: member("s", 8, arrayOf(7, intType(8, 0))), ab: "8", ba: "0"},
		{name: "array and element", a: member("s", 0, arrayOf(2, intType(4, 0))), b: member("s", 8, intType(4, 0)), ab: poison, ba: poison},
		{name: "index in a shorter array", a: member("s", 0, arrayOf(4, intType(4, 0))), b: member("s", 8, arrayOf(2, intType(4, 0))), accessA: "0:0:3", accessB: "0:0:1", ab: poison, ba: "4"},
		{name: "index in a flexible array", a: member("s", 0, arrayOf(9, intType(4, 0))), b: member("s", 8, arrayOf(0, intType(4, 0))), accessA: "0:0:5", accessB: "0:0:5", ab: "28", ba: "20"},
		{name: "index in an array within an array", a: member("s", 0, arrayOf(2, arrayOf(3, intType(4, 0)))), b: member("s", 0, arrayOf(2, arrayOf(5, intType(4, 0)))), accessA: "0:0:1:2", accessB: "0:0:1:1", ab: "28", ba: "16"},
		{name: "no array", a: member("s", 0, arrayOf(2, intType(4, 0))), b: member("s", 0, arrayOf(2, arrayOf(2, intType(4, 0)))), accessA: "0:0:1", accessB: "0:0:1:1", ab: poison, ba: poison},
		{name: "index of the root", a: member("s", 0, intType(4, 0)), b: func(b *btfbuild.Builder) btfbuild.ID {
			return b.Struct("s", 16, btfbuild.Member{Name: "f", Type: b.Int("int", 4, 0), Off: 32})
		}, accessA: "2:0", accessB: "3:0", ab: "36", ba: "192"},
		{name: "struct and union roots", a: member("s", 0, intType(4, 0)), b: func(b *btfbuild.Builder) btfbuild.ID {
			return b.Union("s", 4, btfbuild.Member{Name: "f", Type: b.Int("int", 4, 0)})
		}, ab: poison, ba: poison},
		{name: "root that is only declared", kind: TypeExists, a: member("s", 0, intType(4, 0)), b: fwdType("s", false), ab: absent, ba: absent},
		{name: "flavours on both sides", a: member("s___mine", 0, intType(4, 0)), b: member("s___2", 8, intType(4, 0)), ab: "8", ba: "0"},
		{name: "flavour without a name before it", a: member("___s", 0, intType(4, 0)), b: member("s", 8, intType(4, 0)), ab: poison, ba: poison},

		{name: "moved into an anonymous union", a: func(b *btfbuild.Builder) btfbuild.ID {
			i := b.Int("int", 4, 0)
			return b.Struct("s", 16, two(i, i)...)
		}, b: func(b *btfbuild.Builder) btfbuild.ID {
			i := b.Int("int", 4, 0)
			in := b.Struct("", 16, btfbuild.Member{Name: "z", Type: i}, btfbuild.Member{Name: "y", Type: i, Off: 32})
			u := b.Union("", 16, btfbuild.Member{Name: "w", Type: i}, btfbuild.Member{Type: in})
			return b.Struct("s", 32, btfbuild.Member{Name: "pad", Type: i}, btfbuild.Member{Type: u, Off: 64}, btfbuild.Member{Name: "x", Type: i, Off: 192})
		}, accessA: "0:1", accessB: "0:1:1:1", ab: "12", ba: "8"},
		{name: "anonymous padding", a: member("s", 8, intType(4, 0)), b: func(b *btfbuild.Builder) btfbuild.ID {
			i := b.Int("int", 4, 0)
			return b.Struct("s", 16, btfbuild.Member{Type: i, Bits: 3}, btfbuild.Member{Name: "f", Type: i, Off: 64})
		}, accessB: "0:1", ab: "8", ba: "8"},

		{name: "type_exists of a struct of any members", kind: TypeExists, a: member("s", 0, intType(4, 0)), b: func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("s", 0) }, ab: "1", ba: "1"},
		{name: "type_exists of typedefs of two kinds", kind: TypeExists, a: typedef("d", intType(4, 0)), b: typedef("d", ptrTo(void)), ab: absent, ba: absent},
		{name: "type_exists of functions", kind: TypeExists, a: typedef("fn", func(b *btfbuild.Builder) btfbuild.ID {
			return b.FuncProto(0, btfbuild.Param{Name: "a", Type: b.Int("int", 4, 0)})
		}), b: typedef("fn", func(b *btfbuild.Builder) btfbuild.ID {
			return b.FuncProto(0, btfbuild.Param{Name: "b", Type: b.Int("short", 2, 0)})
		}), ab: "1", ba: "1"},
		{name: "type_exists of functions of other results", kind: TypeExists, a: typedef("fn", func(b *btfbuild.Builder) btfbuild.ID { return b.FuncProto(0) }), b: typedef("fn", func(b *btfbuild.Builder) btfbuild.ID { return b.FuncProto(b.Ptr(0)) }), ab: absent, ba: absent},
		{name: "type_exists of a float", kind: TypeExists, a: typedef("d", func(b *btfbuild.Builder) btfbuild.ID { return b.Float("float", 4) }), b: typedef("d", func(b *btfbuild.Builder) btfbuild.ID { return b.Float("float", 4) }), ab: absent, ba: absent, self: "ab " + absent},
		{name: "type_exists behind 31 pointers", kind: TypeExists, a: typedef("d", chain(31, intType(4, 0))), b: typedef("d", chain(31, intType(8, 0))), ab: "1", ba: "1"},
		{name: "type_exists behind 32 pointers", kind: TypeExists, a: typedef("d", chain(32, intType(4, 0))), b: typedef("d", chain(32, intType(8, 0))), ab: "fatal:malformed", ba: "fatal:malformed", self: "ab fatal:malformed"},
		{name: "type_size", kind: TypeSize, a: member("s", 0, intType(4, 0)), b: func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("s", 12) }, ab: "12", ba: "64"},
		{name: "type_size of a typedef of an array", kind: TypeSize, a: typedef("d", arrayOf(2, intType(4, 0))), b: typedef("d", arrayOf(5, intType(8, 0))), ab: "40", ba: "8"},
		{name: "type_size of what has none", kind: TypeSize, a: fwdType("s", false), b: fwdType("s", true), ab: "fatal:malformed", ba: "fatal:malformed", self: "ab fatal:malformed"},

		{name: "type_matches: fewer members", kind: TypeMatches, a: member("s", 0, intType(4, 0)), b: func(b *btfbuild.Builder) btfbuild.ID {
			i := b.Int("int", 4, 0)
			return b.Struct("s", 16, btfbuild.Member{Name: "g", Type: i}, btfbuild.Member{Name: "f", Type: i, Off: 64})
		}, ab: "1", ba: absent},
		{name: "type_matches: sign", kind: TypeMatches, a: member("s", 0, intType(4, 0)), b: member("s", 0, intType(4, btfbuild.Signed)), ab: absent, ba: absent},
		{name: "type_matches: a declaration behind a pointer", kind: TypeMatches, a: member("s", 0, ptrTo(fwdType("x", false))), b: member("s", 0, ptrTo(func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("x", 8) })), ab: "1", ba: "1"},
		{name: "type_matches: a declaration of a union", kind: TypeMatches, a: member("s", 0, ptrTo(fwdType("x", true))), b: member("s", 0, ptrTo(func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("x", 8) })), ab: absent, ba: absent},
		{name: "type_matches: other members behind a pointer", kind: TypeMatches, a: member("s", 0, ptrTo(member("x", 0, intType(4, 0)))), b: member("s", 0, ptrTo(func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("x", 8) })), ab: "1", ba: "1"},
		{name: "type_matches: other members in a member", kind: TypeMatches, a: member("s", 0, member("x", 0, intType(4, 0))), b: member("s", 0, func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("x", 8) }), ab: absent, ba: "1"},
		{name: "type_matches: array lengths", kind: TypeMatches, a: member("s", 0, arrayOf(2, intType(4, 0))), b: member("s", 0, arrayOf(3, intType(4, 0))), ab: absent, ba: absent},
		{name: "type_matches: enumerators", kind: TypeMatches, a: enumType("e", 4, btfbuild.Value{Name: "A", Value: 1}), b: enumType("e", 4, btfbuild.Value{Name: "B", Value: 1}, btfbuild.Value{Name: "A___x", Value: 5}), ab: "1", ba: absent},
		{name: "type_matches: enum sizes", kind: TypeMatches, a: enumType("e", 4), b: enumType("e", 1), ab: absent, ba: absent},
		{name: "type_matches: a float", kind: TypeMatches, a: member("s", 0, func(b *btfbuild.Builder) btfbuild.ID { return b.Float("float", 4) }), b: member("s", 0, func(b *btfbuild.Builder) btfbuild.ID { return b.Float("float", 4) }), ab: absent, ba: absent, self: "ab " + absent},

		{name: "enumerators", kind: EnumvalValue, a: enumType("e", 4, btfbuild.Value{Name: "A", Value: 1}, btfbuild.Value{Name: "B___x", Value: 2}), b: enumType("e", 4, btfbuild.Value{Name: "B", Value: -7}), accessA: "1", accessB: "0", ab: "-7", ba: "2"},
		{name: "enumerator of a 64-bit enum", kind: EnumvalValue, a: enumType("e", 4, btfbuild.Value{Name: "A", Value: 1}), b: func(b *btfbuild.Builder) btfbuild.ID {
			return b.Enum64("e", 8, false, btfbuild.Value{Name: "A", Value: 1 << 40})
		}, ab: "1099511627776", ba: "1"},
		{name: "enumerator that is not there", kind: EnumvalValue, a: enumType("e", 4, btfbuild.Value{Name: "A"}), b: enumType("e", 4, btfbuild.Value{Name: "B"}), ab: poison, ba: poison},
		{name: "unsigned enumerator above 31 bits", kind: EnumvalValue, a: enumType("e", 4, btfbuild.Value{Name: "A", Value: 0xfffffff0}), b: enumType("e", 4, btfbuild.Value{Name: "A", Value: 1}), ab: "1", ba: "-16"},
	}
	for _, tt := range tests {
		for name, order := range btfbuild.Orders() {
			t.Run(tt.name+"/"+name, func(t *testing.T) {
				a, rootA := build(t, order, tt.a)
				b, rootB := build(t, order, tt.b)
				access := func(s string) string {
					switch {
					case s != "":
						return s
					case tt.kind.IsField():
						return "0:0"
					}
					return "0"
				}
				check := func(what string, local *btfinfo.BTF, root btfinfo.ID, path string, target *btfinfo.BTF, want string) {
					t.Helper()
					o, r := one(local, tt.kind, root, access(path))
					res := NewResolver(o, &Target{Vmlinux: target}).Resolve(r)
					if want == "" {
						want = fmt.Sprint(int64(res.Orig))
					}
					got := coreWord(res)
					if res.Explain(); got != want || coreWord(res) != want {
						t.Errorf("%s: %s, want %s (%s) %+v", what, got, want, res.Detail, res.Candidates)
					}
				}
				check("a in b", a, rootA, tt.accessA, b, tt.ab)
				check("b in a", b, rootB, tt.accessB, a, tt.ba)
				sides, self, _ := strings.Cut(tt.self, " ")
				selfOf := func(side string) string {
					if strings.Contains(sides, side) {
						return self
					}
					return ""
				}
				check("a in a", a, rootA, tt.accessA, a, selfOf("a"))
				check("b in b", b, rootB, tt.accessB, b, selfOf("b"))
			})
		}
	}
}

// TestCoreSelf resolves every fixture and every object of libbpf-tools in its own types: each record must find itself.
func TestCoreSelf(t *testing.T) {
	self := func(t *testing.T, o *Object) {
		if o.BTF == nil {
			return
		}
		for _, relo := range o.Relos {
			// A resolver for each: records that prune would hide what the next one finds.
			res := NewResolver(o, &Target{Vmlinux: o.BTF}).Resolve(relo).Explain()
			spec, err := o.Spec(relo)
			if err != nil {
				t.Fatal(err)
			}
			switch {
			case spec.RootName() == "" && relo.Kind != TypeIDLocal:
				if res.Reason != ReasonAnonymousRoot || res.NoCandidates {
					t.Errorf("%s: %s %s: %+v", o.Name, relo.Kind, spec.Path(), res)
				}
			case len(res.Candidates) > 1:
				// Flavours of one name stand for each other: the right one is among them.
				found := false
				for _, c := range res.Candidates {
					found = found || c.ID == relo.Type && c.Reason == ReasonNone && c.Value == res.Orig
				}
				if !found && res.Reason != ReasonLoadSize {
					t.Errorf("%s: %s %s: %+v", o.Name, relo.Kind, spec.Path(), res)
				}
			case res.Outcome != Resolved || res.Value != res.Orig || res.MemSize != 0:
				// A kernel's name that has a flavour in it is no candidate for a longer one: fields.bpf.c.
				if spec.EssentialName() != btfinfo.EssentialName(spec.EssentialName()) {
					continue
				}
				t.Errorf("%s: %s %s: %+v", o.Name, relo.Kind, spec.Path(), res)
			}
		}
	}
	for _, order := range coreOrders {
		for _, name := range coreFixtures {
			self(t, coreObject(t, name, order))
		}
	}
	t.Run("tools", func(t *testing.T) {
		objs, _ := toolObjects(t)
		for _, o := range objs {
			self(t, o)
		}
	})
}

// TestCoreModules: modules are asked where vmlinux has no candidate at all, and all of them together.
func TestCoreModules(t *testing.T) {
	local, root := build(t, binary.LittleEndian, member("s", 0, intType(4, 0)))
	type def struct {
		name string
		off  uint32 // of f, in bytes
	}
	const none = ^uint32(0) // a struct without f
	kernel := func(vmlinux []def, modules ...[]def) *Target {
		add := func(b *btfbuild.Builder, defs []def) {
			i := b.Int("int", 4, 0)
			for _, d := range defs {
				m := btfbuild.Member{Name: "f", Type: i, Off: 8 * d.off}
				if d.off == none {
					m = btfbuild.Member{Name: "g", Type: i}
				}
				b.Struct(d.name, 64, m)
			}
		}
		parse := func(b *btfbuild.Builder, base *btfinfo.BTF) *btfinfo.BTF {
			p, err := btfinfo.ParseSplit(b.Bytes(binary.LittleEndian), base)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		base := btfbuild.New()
		base.Int("long", 8, btfbuild.Signed)
		add(base, vmlinux)
		target := &Target{Vmlinux: parse(base, nil)}
		for i, defs := range modules {
			b := btfbuild.NewSplit(base)
			add(b, defs)
			target.Modules = append(target.Modules, Module{fmt.Sprintf("mod%d", i), parse(b, target.Vmlinux)})
		}
		return target
	}
	tests := []struct {
		name   string
		target *Target
		want   string
		from   string // the candidates and their homes
	}{
		{"vmlinux only", kernel([]def{{"s", 4}}), "4", "vmlinux"},
		{"vmlinux before modules", kernel([]def{{"s", 4}}, []def{{"s", 8}}), "4", "vmlinux"},
		{"module", kernel(nil, []def{{"other", 4}}, []def{{"s___x", 8}}), "8", "mod1"},
		{"modules that agree", kernel(nil, []def{{"s", 8}}, []def{{"s", 8}}), "8", "mod0 mod1"},
		{"modules that differ", kernel(nil, []def{{"s", 4}}, []def{{"s", 8}}), "ambiguous", "mod0 mod1"},
		{"one of two modules", kernel(nil, []def{{"s", none}}, []def{{"s", 8}}), "8", "mod0 mod1"},
		{"vmlinux has another s", kernel([]def{{"s", none}}, []def{{"s", 8}}), "poison", "vmlinux"},
		{"nobody", kernel(nil, []def{{"other", 4}}), "poison", ""},
		{"two in vmlinux that agree", kernel([]def{{"s", 4}, {"s", 4}}), "4", "vmlinux vmlinux"},
		{"two in vmlinux that differ", kernel([]def{{"s", 4}, {"s", 8}}), "ambiguous", "vmlinux vmlinux"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, r := one(local, FieldByteOffset, root, "0:0")
			res := NewResolver(o, tt.target).Resolve(r)
			got := coreWord(res)
			var from []string
			for _, c := range res.Explain().Candidates {
				from = append(from, c.BTF)
			}
			if f := strings.Join(from, " "); got != tt.want || f != tt.from {
				t.Errorf("%s from %q, want %s from %q", got, f, tt.want, tt.from)
			}
			if res.NoCandidates != (tt.from == "") {
				t.Errorf("NoCandidates is %t", res.NoCandidates)
			}
		})
	}

	o, r := one(local, TypeIDTarget, root, "0")
	target := kernel(nil, []def{{"s", 8}})
	if res := NewResolver(o, target).Resolve(r); res.Value != uint64(target.Modules[0].BTF.Named("s")[0]) {
		t.Errorf("type id of a module's type is %d", res.Value)
	}
}

// TestCoreInsns: what libbpf accepts of an instruction, and what it writes.
func TestCoreInsns(t *testing.T) {
	// The field is 4 bytes at offset 8 in the object, and 8 bytes at offset 16 in the kernel.
	local, root := build(t, binary.LittleEndian, member("s", 8, intType(4, 0)))
	kernel, _ := build(t, binary.LittleEndian, member("s", 16, intType(8, 0)))
	signed, _ := build(t, binary.LittleEndian, member("s", 16, intType(8, btfbuild.Signed)))
	missing, _ := build(t, binary.LittleEndian, func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("s", 4) })
	dead := Insn{Code: codeCall, Imm: PoisonHelper}
	tests := []struct {
		name   string
		insns  []Insn
		kernel *btfinfo.BTF
		want   string
		after  []Insn // nil: as before
	}{
		{"alu64 add", []Insn{{Code: 0x07, Imm: 8}}, kernel, "16", []Insn{{Code: 0x07, Imm: 16}}},
		{"alu mov", []Insn{{Code: 0xb4, Dst: 2, Imm: 8}}, kernel, "16", []Insn{{Code: 0xb4, Dst: 2, Imm: 16}}},
		{"alu of a register", []Insn{{Code: 0x0f, Imm: 8}}, kernel, "fatal:insn", nil},
		{"alu of another value", []Insn{{Code: 0x07, Imm: 9}}, kernel, "fatal:insn", nil},
		{"load", []Insn{{Code: 0x61, Dst: 1, Src: 2, Off: 8}}, kernel, "16/8", []Insn{{Code: 0x79, Dst: 1, Src: 2, Off: 16}}},
		{"load with sign", []Insn{{Code: 0x81, Off: 8}}, kernel, "16/8", []Insn{{Code: 0x99, Off: 16}}},
		{"load of a signed field", []Insn{{Code: 0x61, Off: 8}}, signed, "mismatch", []Insn{dead}},
		{"load of another size", []Insn{{Code: 0x69, Off: 8}}, kernel, "fatal:insn", nil},
		{"load at another offset", []Insn{{Code: 0x61, Off: 4}}, kernel, "fatal:insn", nil},
		{"store", []Insn{{Code: 0x63, Off: 8}}, kernel, "16/8", []Insn{{Code: 0x7b, Off: 16}}},
		{"store of a constant", []Insn{{Code: 0x62, Off: 8, Imm: 5}}, kernel, "16/8", []Insn{{Code: 0x7a, Off: 16, Imm: 5}}},
		{"constant of 64 bits", []Insn{{Code: 0x18, Imm: 8}, {}}, kernel, "16", []Insn{{Code: 0x18, Imm: 16}, {}}},
		{"constant of a map", []Insn{{Code: 0x18, Src: 1, Imm: 8}, {}}, kernel, "fatal:insn", nil},
		{"constant cut off", []Insn{{Code: 0x18, Imm: 8}}, kernel, "fatal:insn", nil},
		{"constant with a wrong second half", []Insn{{Code: 0x18, Imm: 8}, {Code: 1}}, kernel, "fatal:insn", nil},
		{"constant of another value", []Insn{{Code: 0x18, Imm: 8}, {Imm: 1}}, kernel, "fatal:insn", nil},
		{"packet load", []Insn{{Code: 0x20, Imm: 8}}, kernel, "fatal:insn", nil},
		{"jump", []Insn{{Code: 0x15, Imm: 8}}, kernel, "fatal:insn", nil},
		{"no instruction", nil, kernel, "fatal:malformed", nil},
		{"poison", []Insn{{Code: 0x61, Off: 8}}, missing, "poison", []Insn{dead}},
		{"poison of a constant", []Insn{{Code: 0x18, Imm: 8}, {}}, missing, "poison", []Insn{dead, dead}},
		{"poison of anything", []Insn{{Code: 0x15}}, missing, "poison", []Insn{dead}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, r := one(local, FieldByteOffset, root, "0:0")
			r.Func = &Func{Name: "f", Insns: tt.insns}
			res := NewResolver(o, &Target{Vmlinux: tt.kernel}).Resolve(r)
			if got := coreWord(res); got != tt.want {
				t.Errorf("%s, want %s (%s)", got, tt.want, res.Explain().Detail)
			}
			after := slices.Clone(tt.insns)
			res.Patch(after)
			want := tt.after
			if want == nil {
				want = tt.insns
			}
			if !slices.Equal(after, want) {
				t.Errorf("patched to %+v, want %+v", after, want)
			}
		})
	}
}

// TestCoreMalformed: records that make no sense in the object's own types fail, with the numbers that disagree.
func TestCoreMalformed(t *testing.T) {
	b, root := build(t, binary.LittleEndian, func(b *btfbuild.Builder) btfbuild.ID {
		i := b.Int("int", 4, 0)
		b.Fwd("fwd", false)                                  // root-4
		b.Struct("", 4, btfbuild.Member{Name: "f", Type: i}) // root-3
		b.Enum("e", 4, btfbuild.Value{Name: "A"})            // root-2
		arr := b.Array(i, i, 3)                              // root-1
		return b.Struct("s", 64, btfbuild.Member{Name: "a", Type: arr}, btfbuild.Member{Name: "i", Type: i, Off: 96},
			btfbuild.Member{Name: "p", Type: 0, Off: 128})
	})
	tests := []struct {
		name   string
		kind   ReloKind
		root   btfinfo.ID
		access string
		off    uint32
		want   string // part of the text
	}{
		{"no path", FieldByteOffset, root, "", 0, "access path is empty"},
		{"no number", FieldByteOffset, root, "0:x", 0, `step 1 of the access path is "x"`},
		{"two colons", FieldByteOffset, root, "0::1", 0, `step 1 of the access path is ""`},
		{"colon at the end", FieldByteOffset, root, "0:1:", 0, `step 2 of the access path is ""`},
		{"negative", FieldByteOffset, root, "0:-1", 0, `"-1", want a number from 0`},
		{"too large", FieldByteOffset, root, "4294967296", 0, `"4294967296", want a number from 0 to 2147483647`},
		{"too long", FieldByteOffset, root, strings.Repeat("0:", 64) + "0", 0, "65 steps, the limit is 64"},
		{"no such member", FieldByteOffset, root, "0:3", 0, "is member 3 of type"},
		{"no such element", FieldByteOffset, root, "0:0:3", 0, "is element 3 of array"},
		{"into an int", FieldByteOffset, root, "0:1:0", 0, "leads into type"},
		{"root without size", FieldByteOffset, root - 4, "0", 0, "has no size"},
		{"field without size", FieldByteOffset, root, "0:2", 0, "has no size"},
		{"sign of an element", FieldSigned, root, "0:0:1", 0, "can't be asked of an array element"},
		{"void", FieldExists, 0, "0:0", 0, "has no size"},
		{"no such type", TypeExists, 1 << 30, "0", 0, "root type is [1073741824], there are"},
		{"no such kind", numReloKinds, root, "0", 0, "kind is 13"},
		{"path of a type", TypeExists, root, "0:1", 0, `has the access path "0:1", want "0"`},
		{"no enum", EnumvalValue, root, "0", 0, "want an enum"},
		{"enumerator with steps", EnumvalValue, root - 2, "0:0", 0, "has 2 steps, want 1"},
		{"no such enumerator", EnumvalValue, root - 2, "1", 0, "enumerator 1 of type"},
		{"instruction between two", TypeExists, root, "0", 12, "at byte 12, want a multiple of 8"},
		{"no name", FieldByteOffset, root - 3, "0:0", 0, "has no name"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			o, r := one(b, tt.kind, tt.root, tt.access)
			o.File, r.Off, r.Section = "x.o", tt.off, "kprobe/x"
			res := NewResolver(o, &Target{Vmlinux: b}).Resolve(r).Explain()
			if res.Outcome != Fatal || !strings.Contains(res.Detail, tt.want) {
				t.Errorf("%v %q, want %q in it", res.Outcome, res.Detail, tt.want)
			}
			if spec, err := o.Spec(r); (spec == nil) == (err == nil) {
				t.Errorf("Spec: %v and %v", spec, err)
			} else if err != nil && !strings.Contains(err.Error(), "x.o: .BTF.ext: CO-RE record 0") {
				t.Errorf("Spec: %v", err)
			}
		})
	}
	o, r := one(b, FieldExists, root, "0:0")
	o.BTF = nil
	if res := NewResolver(o, &Target{Vmlinux: b}).Resolve(r); res.Reason != ReasonMalformed {
		t.Errorf("object without BTF: %+v", res)
	}
}

// TestCoreBounded: types that would take libbpf for ever fail in a bounded number of steps.
func TestCoreBounded(t *testing.T) {
	deep := func(b *btfbuild.Builder) btfbuild.ID {
		id := b.FuncProto(0)
		for range 30 { // 4 to the power of 30 paths
			p := btfbuild.Param{Type: b.Ptr(id)}
			id = b.FuncProto(0, p, p, p, p)
		}
		return b.Typedef("fn", id)
	}
	for _, kind := range []ReloKind{TypeExists, TypeMatches} {
		b, root := build(t, binary.LittleEndian, deep)
		o, r := one(b, kind, root, "0")
		if res := NewResolver(o, &Target{Vmlinux: b}).Resolve(r).Explain(); res.Outcome != Fatal || !strings.Contains(res.Detail, "more than") {
			t.Errorf("%s of functions: %+v", kind, res)
		}
	}

	// Members of anonymous members, 4 to the power of 7 of them: one record is fine, many are too many.
	target, _ := build(t, binary.LittleEndian, func(b *btfbuild.Builder) btfbuild.ID {
		id := b.Struct("", 4, btfbuild.Member{Name: "g", Type: b.Int("int", 4, 0)})
		for range 7 {
			m := btfbuild.Member{Type: id}
			id = b.Struct("", 4, m, m, m, m)
		}
		return b.Struct("s", 4, btfbuild.Member{Type: id})
	})
	local, root := build(t, binary.LittleEndian, member("s", 0, intType(4, 0)))
	o, r := one(local, FieldExists, root, "0:0")
	resolver := NewResolver(o, &Target{Vmlinux: target})
	if res := resolver.Resolve(r); res.Outcome != Answered {
		t.Fatalf("members of members: %+v", res)
	}
	var res *Result
	for range maxTotalSteps / (1 << 14) {
		res = resolver.Resolve(r)
	}
	if want := fmt.Sprintf("more than %d steps", maxTotalSteps); res.Outcome != Fatal || !strings.Contains(res.Detail, want) {
		t.Errorf("%+v, want %q in it", res, want)
	}
}

// TestCorePath: records as kernel developers write them.
func TestCorePath(t *testing.T) {
	want := []string{
		"struct plain.a", "struct plain[3].b", "struct anon.t[3]", "struct notflex.in.data[7]", "struct outer.in[1].v[2]",
		"struct outer.in[1]", "union un.l", "cnt_t.counter", "struct width.mat[1]", "struct a___b.v",
	}
	have := make(map[string]bool)
	for _, o := range []*Object{coreObject(t, "fields", "el"), coreObject(t, "types", "el"), coreObject(t, "enums", "el")} {
		for _, r := range o.Relos {
			s, err := o.Spec(r)
			if err != nil {
				t.Fatal(err)
			}
			have[s.Path()] = true
		}
	}
	want = append(want, "struct plain", "fn_t", "enum color", "enum mode.MODE_B", "td_enum_t.TD_A")
	for _, w := range want {
		if !have[w] {
			t.Errorf("no record is %q", w)
		}
	}
}

// TestCoreSuggest looks for what became of members and types that real kernels have lost.
func TestCoreSuggest(t *testing.T) {
	kernels := embeddedKernels(t)
	latest := &Target{Vmlinux: kernels[len(kernels)-1].btf}
	structPtr := func(name string) func(b *btfbuild.Builder) btfbuild.ID {
		return func(b *btfbuild.Builder) btfbuild.ID { return b.Ptr(b.Fwd(name, false)) }
	}
	field := func(name, field string, typ types) types {
		return func(b *btfbuild.Builder) btfbuild.ID {
			return b.Struct(name, 64, btfbuild.Member{Name: field, Type: typ(b)})
		}
	}
	tests := []struct {
		kind  ReloKind
		local types
		want  string // among the suggestions; "" for none
	}{
		{FieldByteOffset, field("task_struct", "state", intType(8, 0)), "struct task_struct.__state"},
		{FieldByteOffset, field("request", "rq_disk", structPtr("gendisk")), "struct request.q->disk"},
		{FieldByteOffset, field("trace_event_raw_block_rq_complete", "sector", intType(8, 0)), "struct trace_event_raw_block_rq_completion"},
		{EnumvalValue, enumType("bpf_func_id", 4, btfbuild.Value{Name: "BPF_FUNC_get_curent_task"}), "enum bpf_func_id.BPF_FUNC_get_current_task"},
		{EnumvalValue, enumType("bpf_map_type", 4, btfbuild.Value{Name: "BPF_PROG_TYPE_XDP"}), "enum bpf_prog_type.BPF_PROG_TYPE_XDP"},
		{TypeExists, func(b *btfbuild.Builder) btfbuild.ID { return b.Struct("task_struckt", 4) }, "struct task_struct"},
		{FieldByteOffset, field("task_struct", "nothing_of_the_kind", intType(8, 0)), ""},
		{FieldByteOffset, field("nothing_of_the_kind", "x", intType(8, 0)), ""},
		{FieldByteOffset, field("task_struct", "pid", intType(4, 0)), ""},
	}
	for _, tt := range tests {
		local, root := build(t, binary.LittleEndian, tt.local)
		access := "0"
		if tt.kind.IsField() {
			access = "0:0"
		}
		o, r := one(local, tt.kind, root, access)
		got := NewResolver(o, latest).Suggest(r)
		spec, err := o.Spec(r)
		if err != nil {
			t.Fatal(err)
		}
		if tt.want == "" && len(got) != 0 || len(got) > maxSuggestions ||
			tt.want != "" && !slices.ContainsFunc(got, func(s Suggestion) bool { return s.Path == tt.want && s.Why != "" }) {
			t.Errorf("%s: %+v, want %q", spec.Path(), got, tt.want)
		}
	}
}

// TestCoreConcurrent: several kernels are asked about one object at once, each by a resolver of its own.
func TestCoreConcurrent(t *testing.T) {
	o := coreObject(t, "fields", "el")
	k1, _ := coreBTF(t, "k1", "el")
	k2, _ := coreBTF(t, "k2", "el")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			b := []*btfinfo.BTF{k1, k2}[i%2]
			all := NewResolver(o, &Target{Vmlinux: b}).ResolveAll(nil)
			if len(all) != len(o.Relos) {
				t.Errorf("%d results of %d records", len(all), len(o.Relos))
			}
			for i := range all {
				wg.Go(func() { all[i].Explain() })
			}
		})
	}
	wg.Wait()
	program := o.Programs[0]
	some := NewResolver(o, &Target{Vmlinux: k1}).ResolveAll(func(r *Relo) bool { return r.Func != program.Entry })
	if len(some) != len(program.Entry.Relos) || len(some) == 0 {
		t.Errorf("%d results of %d records of %s", len(some), len(program.Entry.Relos), program.Name)
	}
}
