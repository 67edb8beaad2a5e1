package btfbuild_test

import (
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// every adds one type of each kind.
func every(b *btfbuild.Builder) {
	k := b.Kernelish(8)
	i := k["int"]
	p := b.Ptr(i)
	b.Array(i, i, 3)
	s := b.Struct("s", 8, btfbuild.Member{Name: "a", Type: i}, btfbuild.Member{Name: "b", Type: i, Off: 32, Bits: 3})
	b.Union("u", 8, btfbuild.Member{Name: "p", Type: p})
	b.Enum("e", 4, btfbuild.Value{Name: "NEG", Value: -1})
	b.Fwd("f", true)
	b.Typedef("t", i)
	b.Volatile(i)
	b.Const(i)
	b.Restrict(p)
	proto := b.FuncProto(i, btfbuild.Param{Name: "x", Type: p}, btfbuild.Param{})
	b.Func("fn", proto, btfbuild.Global)
	v := b.Var("v", s, btfbuild.Static)
	b.Datasec(".data", 8, btfbuild.Sec{Type: v, Size: 8})
	b.Float("double", 8)
	b.DeclTag("tag", s, 1)
	b.TypeTag("user", i)
	b.Enum64("e64", 8, true, btfbuild.Value{Name: "BIG", Value: -1 << 40})
}

func TestEveryKindParses(t *testing.T) {
	for name, order := range btfbuild.Orders() {
		base := btfbuild.New()
		every(base)
		parsed, err := btfinfo.Parse(base.Bytes(order))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		seen := map[btfinfo.Kind]bool{}
		for id := btfinfo.ID(1); int(id) < parsed.NumTypes(); id++ {
			seen[parsed.Type(id).Kind()] = true
		}
		if len(seen) != btfbuild.KindEnum64 {
			t.Errorf("%s: %d kinds, want %d", name, len(seen), btfbuild.KindEnum64)
		}
		e := parsed.Type(parsed.Named("e64")[0]).Enumerator(0)
		if int64(e.Value) != -1<<40 || e.Name != "BIG" {
			t.Errorf("%s: enumerator %+v", name, e)
		}
		if m := parsed.Type(parsed.Named("s")[0]).Member(1); m.Off != 32 || m.Size != 3 || m.Name != "b" {
			t.Errorf("%s: member %+v", name, m)
		}

		split := btfbuild.NewSplit(base)
		id := split.Struct("mod", 8, btfbuild.Member{Name: "a", Type: 2})
		both, err := btfinfo.ParseSplit(split.Bytes(order), parsed)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		mod := both.Type(btfinfo.ID(id))
		if mod.Name() != "mod" || both.Type(mod.Member(0).Type).Name() != "int" || mod.Member(0).Name != "a" {
			t.Errorf("%s: split struct %q, member %+v", name, mod.Name(), mod.Member(0))
		}
	}
}

func TestDamage(t *testing.T) {
	tests := []struct {
		name string
		edit func(b *btfbuild.Builder)
		ok   bool
	}{
		{"sound", func(*btfbuild.Builder) {}, true},
		{"longer header", func(b *btfbuild.Builder) { b.HeaderTail = make([]byte, 8) }, true},
		{"type id", func(b *btfbuild.Builder) { b.Patch(b.Ptr(1), 2, 1000) }, false},
		{"magic", func(b *btfbuild.Builder) { b.EditHeader = func(h *btfbuild.Header) { h.Magic = 1 } }, false},
		{"strings", func(b *btfbuild.Builder) { b.EditStrings = func(s []byte) []byte { return s[:len(s)-1] } }, false},
	}
	for _, tt := range tests {
		for name, order := range btfbuild.Orders() {
			b := btfbuild.New()
			every(b)
			tt.edit(b)
			if _, err := btfinfo.Parse(b.Bytes(order)); (err == nil) != tt.ok {
				t.Errorf("%s, %s: %v, want success %v", tt.name, name, err, tt.ok)
			}
		}
	}
}
