package compat_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/klauspost/compress/zstd"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

const benchObject = "../testdata/demo/blkstate.bpf.o"

// packedKernels are the files of the embedded kernels: what both sides start from.
func packedKernels(tb testing.TB) [][]byte {
	tb.Helper()
	files, err := filepath.Glob("../kernels/embedded/*.btf.zst")
	if err != nil || len(files) == 0 {
		tb.Fatal("no embedded kernels", err)
	}
	var packed [][]byte
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			tb.Fatal(err)
		}
		packed = append(packed, b)
	}
	return packed
}

func unpack(tb testing.TB, dec *zstd.Decoder, packed []byte) []byte {
	raw, err := dec.DecodeAll(packed, nil)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// BenchmarkObject is the main job: the demo object over all embedded kernels, from the compressed BTF on. cilium/ebpf
// resolves the relocations only; it answers no other need.
func BenchmarkObject(b *testing.B) {
	packed := packedKernels(b)
	objs, err := relocate.Open(benchObject)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("corecheck", func(b *testing.B) {
		ks, err := kernels.Embedded()
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if r := compat.Check(objs, ks, compat.Options{}); r.Worst() != compat.Break {
				b.Fatal(r.Worst())
			}
		}
	})
	b.Run("cilium-ebpf", func(b *testing.B) {
		dec, err := zstd.NewReader(nil)
		if err != nil {
			b.Fatal(err)
		}
		spec, err := ebpf.LoadCollectionSpec(benchObject)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			for _, p := range packed {
				target, err := btf.LoadSpecFromReader(bytes.NewReader(unpack(b, dec, p)))
				if err != nil {
					b.Fatal(err)
				}
				for _, p := range spec.Programs {
					var relos []*btf.CORERelocation
					for i := range p.Instructions {
						if r := btf.CORERelocationMetadata(&p.Instructions[i]); r != nil {
							relos = append(relos, r)
						}
					}
					builder, err := btf.NewBuilder(nil, nil)
					if err != nil {
						b.Fatal(err)
					}
					// What does not resolve is an error of one relocation, which is part of the job.
					_, _ = btf.CORERelocate(relos, []*btf.Spec{target}, spec.ByteOrder, builder.Add)
				}
			}
		}
	})
}
