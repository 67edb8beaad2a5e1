package relocate

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/corecheck/corecheck/btfinfo"
)

// BenchmarkResolveFresh reads a kernel's BTF and resolves the records of one object, biosnoop, against it, once: what a
// check of one object on one kernel costs.
func BenchmarkResolveFresh(b *testing.B) {
	objs, data := toolObjects(b)
	kernels := embeddedKernels(b)
	kernel := kernels[len(kernels)-1]
	i := slices.IndexFunc(objs, func(o *Object) bool { return strings.HasPrefix(o.Name, "biosnoop") })
	if i < 0 {
		b.Fatal("no biosnoop in libbpf-tools")
	}
	o := objs[i]
	b.Run("corecheck", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			target, err := btfinfo.Parse(kernel.raw)
			if err != nil {
				b.Fatal(err)
			}
			NewResolver(o, &Target{Vmlinux: target}).ResolveAll(nil)
		}
	})
	b.Run("cilium", func(b *testing.B) {
		group := flatten(ciliumRelos(b, o, data[i]))
		b.ReportAllocs()
		for b.Loop() {
			spec, err := btf.LoadSpecFromReader(bytes.NewReader(kernel.raw))
			if err != nil {
				b.Fatal(err)
			}
			if _, err := btf.CORERelocate(group, []*btf.Spec{spec}, o.ByteOrder, noLocalIDs); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func flatten(relos map[string]map[int]*btf.CORERelocation) (all []*btf.CORERelocation) {
	for _, f := range relos {
		for _, r := range f {
			all = append(all, r)
		}
	}
	return all
}

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
			g := flatten(ciliumRelos(b, o, data[i]))
			n += len(g)
			groups = append(groups, g)
		}
		b.ReportAllocs()
		for b.Loop() {
			for i, g := range groups {
				if _, err := btf.CORERelocate(g, []*btf.Spec{spec}, objs[i].ByteOrder, noLocalIDs); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/record")
	})
}
