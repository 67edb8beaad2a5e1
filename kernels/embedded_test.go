package kernels

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf/btf"
)

// TestEmbedded reads every embedded kernel and holds it against what the manifest says.
func TestEmbedded(t *testing.T) {
	t.Parallel()
	all, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	var series []string
	for _, k := range all {
		series = append(series, k.Version.MinorRelease().String())
	}
	if want := []string{"5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2"}; !slices.Equal(series, want) {
		t.Errorf("the series are %q, want %q", series, want)
	}
	for _, k := range all {
		pkg, version, _ := strings.Cut(k.Package, " ")
		v, err := VersionFromDebian(version)
		if err != nil || v != k.Version || k.VersionFrom != FromPackage || !strings.HasSuffix(pkg, k.Uname) {
			t.Errorf("%s: version %s from %s; the package is %s (%v)", k.ID, k.Version, k.VersionFrom, k.Package, err)
		}
		if k.Distro != "debian" || k.Arch != "x86_64" || k.Source != "embedded" || k.Release == unknownPart {
			t.Errorf("%s: %+v", k.ID, k)
		}
		btf, modules, err := k.Load()
		if err != nil || btf.NumTypes() < 50000 || modules != nil || len(btf.Named("task_struct")) == 0 {
			t.Errorf("%s: %v", k.ID, err)
		}
	}

	manifest, err := readManifest()
	if err != nil {
		t.Fatal(err)
	}
	listed := map[string]bool{"manifest.json": true}
	for _, e := range manifest {
		listed[e.File] = true
		raw, err := e.read()
		if err != nil {
			t.Error(err)
			continue
		}
		if sum := sha256.Sum256(raw); len(raw) != e.Size || hex.EncodeToString(sum[:]) != e.SHA256 {
			t.Errorf("%s: %d bytes with digest %x, the manifest says %d, %s", e.ID, len(raw), sum, e.Size, e.SHA256)
		}
	}
	var size int64
	files, err := fs.ReadDir(embedded, "embedded")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if !listed[f.Name()] {
			t.Errorf("embedded/%s is not in the manifest", f.Name())
		}
		if info, err := f.Info(); err == nil {
			size += info.Size()
		}
	}
	if size > 16_000_000 || len(files) != len(listed) {
		t.Errorf("%d files with %d bytes are embedded, want %d files with at most 16000000 bytes", len(files), size, len(listed))
	}
}

// TestEmbeddedList: what was made is what kernels.list asks for.
func TestEmbeddedList(t *testing.T) {
	t.Parallel()
	list, err := os.ReadFile("embedded/kernels.list")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for line := range strings.Lines(string(list)) {
		release, pkg, _ := strings.Cut(strings.TrimSpace(line), " ")
		want = append(want, release+" "+pkg)
	}
	all, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range all {
		got = append(got, k.Release+" "+k.Package)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("embedded are\n%s\nkernels.list has\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// BenchmarkLoad reads one embedded kernel, then the same bytes with cilium/ebpf, decompressed beforehand.
func BenchmarkLoad(b *testing.B) {
	manifest, err := readManifest()
	if err != nil {
		b.Fatal(err)
	}
	all, err := Embedded()
	if err != nil {
		b.Fatal(err)
	}
	newest := all[len(all)-1]
	i := slices.IndexFunc(manifest, func(e manifestEntry) bool { return e.ID == newest.ID })
	raw, err := manifest[i].read()
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
	b.Run("decompress", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := manifest[i].read(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("cilium", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := btf.LoadSpecFromReader(bytes.NewReader(raw)); err != nil {
				b.Fatal(err)
			}
		}
	})
}
