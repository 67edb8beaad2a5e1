package compat

import (
	"fmt"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/kernelstest"
	"github.com/corecheck/corecheck/relocate"
)

// BenchmarkObjectsByKernels holds one object and many against kernels of the embedded archive: ten of them and all, asked by
// sets, and beside it the ten one by one, as the oracle does, each parsed from the bytes of its BTF and asked by itself.
func BenchmarkObjectsByKernels(b *testing.B) {
	many := append(fixtures(b), openTools(b)...)
	all, err := kernels.Embedded()
	if err != nil {
		b.Fatal(err)
	}
	ten := kernelstest.Ten(b)
	raw := make([][]byte, len(ten))
	for i, k := range ten {
		raw[i] = kernelstest.Raw(b, k.ID)
	}
	for _, objs := range [][]*relocate.Object{openFiles(b, benchDemo), many} {
		run := func(way string, n int, check func() *Report) {
			b.Run(fmt.Sprintf("%dx%d/%s", len(objs), n, way), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if rep := check(); len(rep.Kernels) != n {
						b.Fatalf("%d kernels of %d", len(rep.Kernels), n)
					}
				}
			})
		}
		run("sets", len(all), func() *Report { return Check(objs, all, Options{}) })
		run("sets", len(ten), func() *Report { return Check(objs, ten, Options{}) })
		run("single", len(ten), func() *Report {
			ks := make([]*kernels.Kernel, len(ten))
			for i, k := range ten {
				btf, err := btfinfo.Parse(raw[i])
				if err != nil {
					b.Fatal(err)
				}
				ks[i] = kernels.New(k.ID, k.Version, btf)
			}
			return oracle(b, objs, ks, Options{})
		})
	}
}

const benchDemo = "../testdata/demo/blkstate.bpf.o"
