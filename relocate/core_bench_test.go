package relocate

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// BenchmarkResolve resolves every record of all libbpf-tools against one kernel that is already read, here and by
// cilium/ebpf's CORERelocate. One iteration is all objects.
func BenchmarkResolve(b *testing.B) {
	objs, data := toolObjects(b)
	kernels := embeddedKernels(b)
	kernel := kernels[len(kernels)-1]
	relos := 0
	for _, o := range objs {
		relos += len(o.Relos)
	}
	perRelo := func(b *testing.B) {
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*relos), "ns/record")
	}
	b.Run("corecheck", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, o := range objs {
				NewResolver(o, &Target{Vmlinux: kernel.btf}).ResolveAll(nil)
			}
		}
		perRelo(b)
	})
	b.Run("corecheck-explained", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			for _, o := range objs {
				all := NewResolver(o, &Target{Vmlinux: kernel.btf}).ResolveAll(nil)
				for i := range all {
					all[i].Explain()
				}
			}
		}
		perRelo(b)
	})
	b.Run("cilium", func(b *testing.B) {
		spec, err := btf.LoadSpecFromReader(bytes.NewReader(kernel.raw))
		if err != nil {
			b.Fatal(err)
		}
		var groups [][]*btf.CORERelocation
		n := 0
		for i, o := range objs {
			var g []*btf.CORERelocation
			for _, f := range ciliumRelos(b, o, data[i]) {
				for _, r := range f {
					g = append(g, r)
				}
			}
			n += len(g)
			groups = append(groups, g)
		}
		local := func(btf.Type) (btf.TypeID, error) { return 0, fmt.Errorf("no local ids are asked for") }
		b.ReportAllocs()
		for b.Loop() {
			for i, g := range groups {
				if _, err := btf.CORERelocate(g, []*btf.Spec{spec}, objs[i].ByteOrder, local); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
	})
}
