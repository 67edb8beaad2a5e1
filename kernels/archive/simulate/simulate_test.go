package simulate_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/archive/simulate"
)

// base is a Writer with some of the embedded kernels.
func base(t *testing.T, n int) *archive.Writer {
	t.Helper()
	all, err := kernels.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	w := archive.NewWriter()
	for i := range n {
		k := all[i*(len(all)-1)/max(n-1, 1)]
		btf, _, err := k.Load()
		if err != nil {
			continue // one without BTF
		}
		b := archive.Build{Kernel: archive.Kernel{ID: k.ID, Distro: k.Distro, Release: k.Release, Arch: k.Arch, Uname: k.Uname, Version: k.Version.String()}, BTF: btf}
		if _, err := w.Add(&b); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// TestArchive simulates a small archive: the same twice, consistent in itself, and of kernels that others can read.
func TestArchive(t *testing.T) {
	t.Parallel()
	const n = 150
	data, err := simulate.Archive(base(t, 3), n, simulate.Seed)
	if err != nil {
		t.Fatal(err)
	}
	again, err := simulate.Archive(base(t, 3), n, simulate.Seed)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(data, again) {
		t.Errorf("two archives of seed %d differ", simulate.Seed)
	}
	a, err := archive.OpenBytes("simulated", data)
	if err != nil {
		t.Fatal(err)
	}
	if a.Len() <= n {
		t.Fatalf("%d kernels, want more than %d", a.Len(), n)
	}
	if err := a.Verify(); err != nil {
		t.Fatal(err)
	}
	bpftool, err := exec.LookPath("bpftool")
	if err != nil {
		t.Log("bpftool is not installed: what was derived is not shown to it")
	}
	for i := 0; i < a.Len(); i += a.Len()/4 + 1 {
		raw, _, err := a.Raw(i)
		if err != nil {
			t.Fatal(err)
		}
		btf, err := btfinfo.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if n := btf.NumTypes(); n < 40000 || len(btf.Named("task_struct")) == 0 {
			t.Errorf("%s: %d types", a.Kernel(i).ID, n)
		}
		if bpftool == "" {
			continue
		}
		file := filepath.Join(t.TempDir(), "vmlinux.btf")
		if err := os.WriteFile(file, raw, 0o666); err != nil {
			t.Fatal(err)
		}
		for _, format := range []string{"raw", "c"} {
			var stderr strings.Builder
			cmd := exec.Command(bpftool, "btf", "dump", "file", file, "format", format)
			cmd.Stderr = &stderr
			if out, err := cmd.Output(); err != nil || len(out) < 1<<20 || stderr.Len() > 0 {
				t.Errorf("%s: bpftool's %s: %d bytes, %v: %s", a.Kernel(i).ID, format, len(out), err, stderr.String())
			}
		}
	}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	if _, err := simulate.Plan(archive.NewWriter(), 10, 1); err == nil {
		t.Error("a plan from no kernel")
	}
	w := base(t, 2)
	for _, n := range []int{0, 1, 43, 4300} {
		p, err := simulate.Plan(w, n, simulate.Seed)
		if err != nil {
			t.Fatal(err)
		}
		ids := make(map[string]bool)
		distros := make(map[string]int)
		for _, d := range p {
			ids[d.ID] = true
			distros[d.Distro]++
		}
		if len(p) != n || len(ids) != n {
			t.Errorf("%d kernels with %d IDs, want %d", len(p), len(ids), n)
		}
		// The share of each distribution is BTFHub's.
		if n == 4300 {
			for distro, of := range map[string]int{"ubuntu": 1856, "ol": 1101, "amzn": 389, "sles": 304, "debian": 153, "rhel": 141, "centos": 120, "fedora": 24} {
				if want := of * n / 4088; distros[distro] < want-2 || distros[distro] > want+2 {
					t.Errorf("%d kernels of %s, want %d", distros[distro], distro, want)
				}
			}
		}
	}
}
