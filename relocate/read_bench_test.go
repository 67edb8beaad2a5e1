package relocate

import (
	"bytes"
	"os"
	"testing"

	"github.com/cilium/ebpf"
)

// BenchmarkRead reads the demo object, a tool of the usual size, beside cilium/ebpf doing the same. Ours also reads
// source lines, externs and needs; cilium/ebpf also links subprograms.
func BenchmarkRead(b *testing.B) {
	data, err := os.ReadFile("../testdata/demo/blkstate.bpf.o")
	if err != nil {
		b.Fatal(err)
	}
	b.Run("corecheck", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			objs, err := Read(bytes.NewReader(data), int64(len(data)), "blkstate.bpf.o")
			if err != nil {
				b.Fatal(err)
			}
			objs[0].Needs()
		}
	})
	b.Run("cilium-ebpf", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			if _, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(data)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkCarve looks for objects in 16 MB that have one at the end.
func BenchmarkCarve(b *testing.B) {
	data := append(make([]byte, 16<<20), readFixture(b, "maps.clang-14.el.o")...)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Read(bytes.NewReader(data), int64(len(data)), "tool"); err != nil {
			b.Fatal(err)
		}
	}
}
