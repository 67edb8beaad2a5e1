package btfinfo

import (
	"bytes"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// largeBTF is real BTF of about 5 MB, of a kernel that comes with corecheck.
func largeBTF(b *testing.B) []byte {
	b.Helper()
	return embeddedBTF(b, "debian/13/x86_64/7.2.12+deb13-cloud-amd64")
}

// BenchmarkOpen opens the same BTF with corecheck and with cilium/ebpf, and asks both for one type, as the first
// relocation does: cilium/ebpf decodes types when they are asked for.
func BenchmarkOpen(b *testing.B) {
	raw := largeBTF(b)
	b.Run("corecheck", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			f, err := Read(bytes.NewReader(raw), int64(len(raw)), "raw", nil)
			if err != nil {
				b.Fatal(err)
			}
			if len(f.BTF.Named("task_struct", KindStruct)) == 0 {
				b.Fatal("no task_struct")
			}
		}
	})
	b.Run("corecheck-parse", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Parse(raw); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cilium", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			spec, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
			if err != nil {
				b.Fatal(err)
			}
			var s *btf.Struct
			if err := spec.TypeByName("task_struct", &s); err != nil {
				b.Fatal(err)
			}
		}
	})
}
