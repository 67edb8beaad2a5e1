package kernels

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"

	"github.com/corecheck/corecheck/kernels/archive"
)

// TestEmbedded holds the embedded kernels against what the README promises of them.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	all, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	have := make(map[string]map[string]int) // by series and architecture: kernels
	for _, k := range all {
		s := k.Version.MinorRelease().String()
		if have[s] == nil {
			have[s] = make(map[string]int)
		}
		have[s][k.Arch]++
		pkg, version, _ := strings.Cut(k.Package, " ")
		v, err := VersionFromDebian(version)
		if err != nil || v != k.Version || k.VersionFrom != FromPackage || !strings.HasSuffix(pkg, k.Uname) {
			t.Errorf("%s: version %s from %s; the package is %s (%v)", k.ID, k.Version, k.VersionFrom, k.Package, err)
		}
		if k.Distro != "debian" || k.Source != "embedded" || k.Release == unknownPart {
			t.Errorf("%s: %+v", k.ID, k)
		}
		if noBTF := k.Arch == "s390x" && s == "6.1"; noBTF != (k.NoBTF != "") {
			t.Errorf("%s: no BTF because %q", k.ID, k.NoBTF)
		}
	}
	if len(all) < 60 {
		t.Errorf("%d kernels are embedded, want 60", len(all))
	}
	for _, s := range []string{"5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2"} {
		if have[s]["x86_64"] == 0 {
			t.Errorf("no x86_64 kernel of %s", s)
		}
	}
	for _, s := range []string{"5.10", "6.1", "6.12"} {
		if have[s]["x86_64"] < 3 || have[s]["arm64"] == 0 {
			t.Errorf("%d stable updates of %s, want several; arm64: %d", have[s]["x86_64"], s, have[s]["arm64"])
		}
	}
	if n := len(embedded); n > 8_000_000 {
		t.Errorf("%d bytes are embedded, the limit is 8000000", n)
	}
}

// TestEmbeddedSound reads all of the archive: every definition, and what it refers to in every kernel that has it.
func TestEmbeddedSound(t *testing.T) {
	t.Parallel()
	a, err := EmbeddedArchive()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(); err != nil {
		t.Fatal(err)
	}
	w := archive.NewWriter()
	if err := w.Merge(a); err != nil {
		t.Fatal(err)
	}
	again, err := w.Encode(a)
	if err != nil {
		t.Fatal(err)
	}
	if string(again) != embedded {
		t.Errorf("written again it has %d bytes, and %d before", len(again), len(embedded))
	}
}

// TestEmbeddedModules: generic kernels of series whose packages Debian still has come with the modules that are traced.
func TestEmbeddedModules(t *testing.T) {
	t.Parallel()
	a, err := EmbeddedArchive()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"debian/13/x86_64/6.12.107+deb13-amd64", "debian/13/x86_64/7.2.12+deb13-amd64"} {
		i, ok := a.Index(id)
		if !ok {
			t.Errorf("%s is not embedded", id)
			continue
		}
		names, read, all := a.Modules(i)
		if !read || all {
			t.Errorf("%s: modules were read: %t, all of them: %t", id, read, all)
		}
		for _, want := range []string{"ext4", "xfs", "btrfs", "f2fs", "nfs", "nfsd", "cifs", "cuse", "overlay", "kvm", "nf_conntrack", "nf_tables", "nvme",
			"scsi_mod", "bridge", "tun", "wireguard", "tls", "dm_mod", "md_mod"} {
			if !slices.Contains(names, want) {
				t.Errorf("%s: no module %s", id, want)
			}
		}
	}
}

// TestEmbeddedList: what was made is what packages.list asks for.
func TestEmbeddedList(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile(filepath.Join("embedded", "packages.list"))
	if err != nil {
		t.Fatal(err)
	}
	listed := make(map[string]bool)
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) == 6 && f[0] != "#" {
			listed[f[3]+" "+f[4]] = true
		}
	}
	all, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if !listed[k.Package] {
			t.Errorf("%s is of %s, which packages.list does not have", k.ID, k.Package)
		}
	}
}

// BenchmarkLoad puts the BTF of one embedded kernel together, beside reading it from its bytes.
func BenchmarkLoad(b *testing.B) {
	all, err := Embedded()
	if err != nil {
		b.Fatal(err)
	}
	newest := all[len(all)-1]
	a, err := EmbeddedArchive()
	if err != nil {
		b.Fatal(err)
	}
	i, _ := a.Index(newest.ID)
	raw, _, err := a.Raw(i)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("corecheck", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := newest.Load(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cilium-from-bytes", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := btf.LoadSpecFromReader(bytes.NewReader(raw)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
