package compat_test

import (
	"bytes"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"github.com/klauspost/compress/zstd"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/kernelstest"
	"github.com/corecheck/corecheck/relocate"
)

const benchObject = "../testdata/demo/blkstate.bpf.o"

// packedKernels are the BTFs of ten embedded kernels, each as a zstd frame: as one would store them without an archive.
func packedKernels(tb testing.TB) [][]byte {
	tb.Helper()
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		tb.Fatal(err)
	}
	defer enc.Close()
	var packed [][]byte
	for _, id := range kernelstest.IDs {
		packed = append(packed, enc.EncodeAll(kernelstest.Raw(tb, id), nil))
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

// BenchmarkObject is the main job: the demo object over ten kernels, from what is stored of them on: the embedded archive,
// opened anew each time, and compressed BTF. cilium/ebpf resolves the relocations only; it answers no other need.
func BenchmarkObject(b *testing.B) {
	packed := packedKernels(b)
	objs, err := relocate.Open(benchObject)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("corecheck", func(b *testing.B) {
		stored, err := os.ReadFile("../kernels/embedded/kernels.ccar")
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			a, err := archive.OpenBytes("embedded", stored)
			if err != nil {
				b.Fatal(err)
			}
			ks := kernels.FromArchive(a, "embedded")
			ks = slices.DeleteFunc(ks, func(k *kernels.Kernel) bool { return !slices.Contains(kernelstest.IDs, k.ID) })
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
