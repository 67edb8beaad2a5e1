package btfinfo

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// walk reads everything that b holds through its accessors. What parses must be readable without a panic.
func walk(b *BTF) {
	for id := range ID(b.NumTypes()) {
		t := b.Type(id)
		name := t.Name()
		_, _, _, _, _ = t.Size(), t.KindFlag(), t.Linkage(), t.Component(), t.Int()
		b.Type(t.Ref())
		b.Skip(id)
		b.SkipModifiers(id)
		b.SizeOf(id)
		if len(name) < 1000 {
			b.Named(name, t.Kind())
		}
		switch t.Kind() {
		case KindStruct, KindUnion:
			for i := range t.Vlen() {
				m := t.Member(i)
				b.MemberBits(m)
				b.Type(m.Type)
			}
		case KindEnum, KindEnum64:
			for i := range t.Vlen() {
				t.Enumerator(i)
			}
		case KindFuncProto:
			for i := range t.Vlen() {
				b.Type(t.Param(i).Type)
			}
		case KindDatasec:
			for i := range t.Vlen() {
				b.Type(t.Var(i).Type)
			}
		case KindArray:
			a := t.Array()
			b.Type(a.Elem)
			b.Type(a.Index)
		}
	}
}

// allKinds is BTF with every kind, a bitfield and a signed 64-bit enum.
func allKinds() *btfbuild.Builder {
	b := kernelBuilder()
	i, u := btfbuild.ID(2), btfbuild.ID(3)
	b.Array(i, u, 4)
	b.Union("u", 4, btfbuild.Member{Name: "a", Type: i}, btfbuild.Member{Name: "b", Type: u})
	b.Struct("bits", 4, btfbuild.Member{Name: "x", Type: u, Bits: 3}, btfbuild.Member{Name: "y", Type: u, Off: 3, Bits: 5})
	b.Enum("e", 4, btfbuild.Value{Name: "E_A"})
	b.Enum64("e64", 8, true, btfbuild.Value{Name: "E64_A"})
	b.Fwd("f", true)
	b.Typedef("t", b.Volatile(b.Const(b.Restrict(b.Ptr(0)))))
	v := b.Var("v", i, btfbuild.Global)
	b.Datasec(".data", 4, btfbuild.Sec{Type: v, Size: 4})
	b.Float("double", 8)
	b.DeclTag("tag", v, -1)
	b.TypeTag("rcu", i)
	b.IntBits("old", 4, 0, 3, 7)
	return b
}

func FuzzParse(f *testing.F) {
	kernel := kernelBuilder()
	for _, order := range btfbuild.Orders() {
		f.Add(allKinds().Bytes(order), false)
		f.Add(kernel.Bytes(order), false)
		f.Add(moduleBuilder(kernel).Bytes(order), true)
	}
	bases := map[binary.ByteOrder]*BTF{}
	for _, order := range btfbuild.Orders() {
		b, err := Parse(kernel.Bytes(order))
		if err != nil {
			f.Fatal(err)
		}
		bases[order] = b
	}
	f.Fuzz(func(t *testing.T, data []byte, split bool) {
		var base *BTF
		if split {
			base = bases[binary.LittleEndian]
			if len(data) > 0 && data[0] == 0xeb {
				base = bases[binary.BigEndian]
			}
		}
		b, err := ParseSplit(data, base)
		if (b == nil) == (err == nil) {
			t.Fatalf("BTF %v, error %v", b, err)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%T %q, want one line of an *Error", err, err)
			}
			return
		}
		walk(b)
	})
}

func FuzzOpen(f *testing.F) {
	raw := kernelBuilder().Bytes(le)
	small := testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{
		{name: ".rodata", data: kernelText()}, {name: ".modinfo", data: []byte("name=x\x00")},
		{name: ".BTF", data: raw}, {name: ".BTF.base", data: raw}}}.build()
	for _, seed := range [][]byte{
		raw, allKinds().Bytes(binary.BigEndian), moduleBuilder(kernelBuilder()).Bytes(le), small,
		testELF{class: elfClass32, order: binary.BigEndian, machine: 8, sections: []testSection{{name: ".BTF", data: kernelBuilder().Bytes(binary.BigEndian)}}}.build(),
		testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{
			{name: ".BTF", flags: shfCompressed, data: append([]byte("\x02\x00\x00\x00\x00\x00\x00\x00\xff\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"), zstdOf(raw)...)}}}.build(),
		tarred(tarFile{"a.btf", raw}), gzipped(raw), zstdOf(small), gzipped(tarred(tarFile{"a.btf", raw})),
		testBzImage(gzipped(small)), testZboot(gzipped(raw), "gzip"), testImage(arm64Magic, kernelText(), raw),
	} {
		f.Add(seed)
	}
	for _, p := range payloads {
		data, err := os.ReadFile(filepath.Join("testdata", p.file))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	kernel, err := Parse(raw)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, opt := range []*Options{nil, {Base: kernel, Member: "a.btf"}} {
			file, err := openBytes(data, opt)
			if (file == nil) == (err == nil) {
				t.Fatalf("file %v, error %v", file, err)
			}
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.File == "" || strings.Contains(err.Error(), "\n") {
					t.Fatalf("%T %q, want one line of an *Error with the file's name", err, err)
				}
				continue
			}
			if file.BTF == nil || file.Path != "in" {
				t.Fatalf("file %+v without BTF or path", file)
			}
			walk(file.BTF)
		}
	})
}
