package relocate

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const reachDir = "../testdata/reach"

// reachVersions are those at which the verifier learned something, and the ends.
var reachVersions = []KernelVersion{
	0, reachSpills, reachReadOnly, reachXor, reachNarrowSpills, reachStoreImm, reachLazyGlobals, 0x070200,
}

// reachResults are the results of an object by index, on a kernel with this BTF.
func reachResults(obj *Object, target *Target) []Result {
	out := make([]Result, len(obj.Relos))
	for _, r := range NewResolver(obj, target).ResolveAll(nil) {
		out[r.Relo.Index] = r
	}
	return out
}

// TestReachFixtures holds every poisoned record of the fixtures against the name of what it reads: see reach.h.
func TestReachFixtures(t *testing.T) {
	t.Parallel()
	for _, order := range coreOrders {
		kernel := openOne(t, filepath.Join(reachDir, "kernel.clang-16."+order+".o")).BTF
		for _, cpu := range []string{"v2", "v3"} {
			obj := openOne(t, filepath.Join(reachDir, fmt.Sprintf("guards.clang-16.%s.%s.o", cpu, order)))
			results := reachResults(obj, &Target{Vmlinux: kernel})
			poisoned := 0
			for _, p := range obj.Programs {
				for _, v := range reachVersions {
					if v < reachSpills && strings.HasPrefix(p.Name, "spilled") {
						continue
					}
					r := p.Reach(results, ReachOptions{Version: v})
					for _, f := range p.Funcs {
						for _, relo := range f.Relos {
							if results[relo.Index].Outcome != Poisoned {
								continue
							}
							poisoned++
							spec, err := obj.Spec(relo)
							if err != nil {
								t.Fatal(err)
							}
							path := spec.Path()
							name := path[strings.LastIndexAny(path, ".: ")+1:]
							want := name == "live"
							if before, ok := strings.CutPrefix(name, "before_"); ok {
								want = v < reachVersion(t, before)
							} else if !want && name != "dead" && name != "GONE" {
								t.Fatalf("%s: a record of %s, which the kernel lacks and which says nothing", p.Name, path)
							}
							if got := r.Reached(f, relo.Insn); got != want {
								t.Errorf("%s.%s: %s on version %#x: instruction %d of %s reads %s: reached %t, want %t", cpu, order, p.Name, v, relo.Insn, f.Name, path, got, want)
							}
						}
					}
				}
			}
			t.Logf("%s.%s: %d poisoned records of %d programs × %d versions", cpu, order, poisoned, len(obj.Programs), len(reachVersions))
		}
	}
}

// reachVersion reads "5_10".
func reachVersion(t *testing.T, s string) KernelVersion {
	t.Helper()
	major, minor, _ := strings.Cut(s, "_")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if err1 != nil || err2 != nil {
		t.Fatalf("%q is no version", s)
	}
	return KernelVersion(a<<16 | b<<8)
}
