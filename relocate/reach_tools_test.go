package relocate_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/kernels/kernelstest"
	"github.com/corecheck/corecheck/relocate"
)

// reachedInTools are the programs of Debian's libbpf-tools in which the verifier gets to a poisoned instruction, with the
// versions of the embedded kernels on which it does. All were loaded with libbpf 1.7 on 5.10, 6.1, 6.12, 6.18 and 7.2:
// these fail with EINVAL there, and no other with a poisoned instruction fails because of it.
var reachedInTools = map[string]string{
	"bindsnoop ipv4_bind_exit": "6.12 6.16 6.17 6.18 6.19 7.0 7.1 7.2", // inet_sock.freebind and other bits
	"bindsnoop ipv6_bind_exit": "6.12 6.16 6.17 6.18 6.19 7.0 7.1 7.2",
	"runqlen do_sample":        "6.16 6.17 6.18 6.19 7.0 7.1 7.2", // cfs_rq.nr_running
}

// TestReachTools walks every program with a poisoned instruction of the tools on every embedded kernel.
func TestReachTools(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("CORECHECK_TOOLS_DIR")
	if dir == "" {
		t.Skip("CORECHECK_TOOLS_DIR is not set: no tools to walk")
	}
	ks := kernelstest.Ten(t)
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tools in %s: %v", dir, err)
	}
	reached := make(map[string]string)
	for _, k := range ks {
		vmlinux, _, err := k.Load()
		if err != nil {
			t.Fatal(err)
		}
		target := &relocate.Target{Vmlinux: vmlinux}
		version := relocate.KernelVersion(k.Version.Major<<16 | k.Version.Minor<<8)
		programs, records, behind := 0, 0, 0
		for _, file := range files {
			objs, err := relocate.Open(file)
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			for _, o := range objs {
				for _, p := range o.Programs {
					// Each program alone, as a loader does that switches the others off.
					results := make([]relocate.Result, len(o.Relos))
					poisoned := 0
					for _, r := range relocate.NewResolver(o, target).ResolveAll(func(r *relocate.Relo) bool { return !slices.Contains(p.Funcs, r.Func) }) {
						results[r.Relo.Index] = r
						if r.Outcome == relocate.Poisoned {
							poisoned++
						}
					}
					if poisoned == 0 {
						continue
					}
					programs++
					records += poisoned
					reach, any := p.Reach(results, relocate.ReachOptions{Version: version}), false
					for _, r := range results {
						switch {
						case r.Relo == nil || r.Outcome != relocate.Poisoned:
						case reach.Reached(r.Relo.Func, r.Relo.Insn):
							any = true
						default:
							behind++
						}
					}
					if any {
						name := o.Name + " " + p.Name
						reached[name] = strings.TrimSpace(fmt.Sprintf("%s %d.%d", reached[name], k.Version.Major, k.Version.Minor))
					}
				}
			}
		}
		t.Logf("%s: %d programs with %d poisoned records, %d of them never reached", k.ID, programs, records, behind)
	}
	for _, name := range slices.Sorted(maps.Keys(reached)) {
		if reached[name] != reachedInTools[name] {
			t.Errorf("%s: reached on %s, want %q", name, reached[name], reachedInTools[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(reachedInTools)) {
		if reached[name] == "" {
			t.Errorf("%s: never reached, want on %s", name, reachedInTools[name])
		}
	}
}

// TestReachLoads walks the programs of loads.bpf.c, of which the kernels' own answers are known, on the embedded kernels.
func TestReachLoads(t *testing.T) {
	t.Parallel()
	objs, err := relocate.Open("../testdata/reach/loads.clang-16.el.o")
	if err != nil {
		t.Fatal(err)
	}
	o := objs[0]
	ks := kernelstest.Ten(t)
	for _, k := range ks {
		vmlinux, _, err := k.Load()
		if err != nil {
			t.Fatal(err)
		}
		results := relocate.NewResolver(o, &relocate.Target{Vmlinux: vmlinux}).ResolveAll(nil)
		if len(results) != len(o.Relos) {
			t.Fatalf("%d results of %d records", len(results), len(o.Relos))
		}
		for _, p := range o.Programs {
			reach := p.Reach(results, relocate.ReachOptions{Version: relocate.KernelVersion(k.Version.Major<<16 | k.Version.Minor<<8)})
			got, poisoned := false, 0
			for _, r := range results {
				if r.Outcome == relocate.Poisoned && slices.Contains(p.Funcs, r.Relo.Func) {
					poisoned++
					got = got || reach.Reached(r.Relo.Func, r.Relo.Insn)
				}
			}
			if poisoned != 1 {
				t.Errorf("%s has %d poisoned records on %s, want 1", p.Name, poisoned, k.ID)
			}
			want := !strings.HasPrefix(p.Name, "ok_")
			var major, minor int
			if n, _ := fmt.Sscanf(p.Name, "before_%d_%d_", &major, &minor); n == 2 {
				want = k.Version.Major < major || k.Version.Major == major && k.Version.Minor < minor
			}
			if got != want {
				t.Errorf("%s on %s: reached %t, want %t", p.Name, k.ID, got, want)
			}
		}
	}
}
