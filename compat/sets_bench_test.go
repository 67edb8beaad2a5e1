package compat

import (
	"fmt"
	"testing"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// BenchmarkObjectsByKernels holds one object and many against all embedded kernels, from the archive in memory on: asked
// by sets, and beside it each kernel put together, parsed and asked by itself, as the oracle does.
func BenchmarkObjectsByKernels(b *testing.B) {
	many := append(fixtures(b), openTools(b)...)
	for _, objs := range [][]*relocate.Object{openFiles(b, "../testdata/demo/blkstate.bpf.o"), many} {
		ks, err := kernels.Embedded()
		if err != nil {
			b.Fatal(err)
		}
		name := fmt.Sprintf("%dx%d", len(objs), len(ks))
		run := func(way string, check func() *Report) {
			b.Run(name+"/"+way, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if rep := check(); len(rep.Kernels) != len(ks) {
						b.Fatalf("%d kernels of %d", len(rep.Kernels), len(ks))
					}
				}
			})
		}
		run("sets", func() *Report { return Check(objs, ks, Options{AnyArch: true}) })
		run("single", func() *Report { return oracle(b, objs, ks, Options{AnyArch: true}) })
	}
}
