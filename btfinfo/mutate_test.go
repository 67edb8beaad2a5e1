package btfinfo

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// TestMutations changes a few bytes of sound inputs at a time, with small values and those near the limits more often
// than chance would: a fuzzer takes long to find its way past the headers. The sequence is the same in every run.
func TestMutations(t *testing.T) {
	t.Parallel()
	const rounds = 3000
	raw := kernelBuilder().Bytes(le)
	elf := testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{
		{name: ".rodata", data: kernelText()}, {name: ".modinfo", data: []byte("name=x\x00")},
		{name: ".BTF", data: raw}, {name: ".BTF.base", data: raw}}}.build()
	elf32 := testELF{class: elfClass32, order: binary.BigEndian, machine: 8, sections: []testSection{
		{name: ".BTF", data: kernelBuilder().Bytes(binary.BigEndian)}}}.build()
	for i, test := range []struct {
		name string
		data []byte
	}{
		{"BTF", allKinds().Bytes(le)},
		{"BTF big endian", allKinds().Bytes(binary.BigEndian)},
		{"split BTF", moduleBuilder(kernelBuilder()).Bytes(le)},
		{"ELF", elf},
		{"ELF32", elf32},
		{"tar", tarred(tarFile{"a.btf", raw})},
		{"gzip", gzipped(raw)},
		{"zstd", zstdOf(elf)},
		{"lzo", payloads[10].read(t)},
		{"bzImage", testBzImage(gzipped(elf))},
		{"zboot", testZboot(gzipped(raw), "gzip")[:4096+400]},
		{"Image", testImage(arm64Magic, kernelText(), raw)},
	} {
		t.Run(test.name, func(t *testing.T) {
			kernel, err := Parse(raw)
			if err != nil {
				t.Fatal(err)
			}
			rng := rand.New(rand.NewPCG(1, uint64(i)))
			values := []uint32{0, 1, 2, 3, 4, 8, 0x7f, 0x80, 0xff, 0x100, 0xffff, 0x10000, 1 << 24, 1 << 31, 0xfffffffe, 0xffffffff}
			for range rounds {
				data := append([]byte(nil), test.data...)
				for range 1 + rng.IntN(4) {
					at := rng.IntN(len(data))
					switch rng.IntN(4) {
					case 0:
						data[at] = byte(rng.Uint32())
					case 1:
						if at &^= 3; at+4 <= len(data) {
							le.PutUint32(data[at:], values[rng.IntN(len(values))])
						}
					case 2:
						if at &^= 3; at+4 <= len(data) {
							binary.BigEndian.PutUint32(data[at:], values[rng.IntN(len(values))])
						}
					case 3:
						data[at] += byte(rng.IntN(9)) - 4
					}
				}
				f, err := openBytes(data, &Options{Base: kernel})
				if (f == nil) == (err == nil) {
					t.Fatalf("file %v, error %v", f, err)
				}
				if f != nil {
					walk(f.BTF)
				}
			}
		})
	}
}

// Mutations of types that keep the header intact reach the checks of types; see TestMutations for the rest.
func TestMutatedTypes(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(2, 0))
	parsed := 0
	for range 30000 {
		b := allKinds()
		n := int(b.NextID())
		for range 1 + rng.IntN(3) {
			id := btfbuild.ID(1 + rng.IntN(n-1))
			switch word := rng.IntN(5); word {
			case 1: // kind, flag and number of members
				b.Patch(id, 1, b.Word(id, 1)^1<<rng.IntN(32))
			default:
				if b.Offset(id)+4*word+4 > len(b.Bytes(le))-int(b.StrEnd())-24 {
					continue
				}
				b.Patch(id, word, uint32(rng.IntN(n+4)))
			}
		}
		p, err := Parse(b.Bytes(le))
		if (p == nil) == (err == nil) {
			t.Fatalf("BTF %v, error %v", p, err)
		}
		if p != nil {
			parsed++
			walk(p)
		}
	}
	if parsed < 300 {
		t.Errorf("only %d of the changed inputs parse, too few to test the accessors", parsed)
	}
}
