package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/kernels"
)

// experimental is the release of Debian that has what no other has yet.
const experimental = "experimental"

// someSeries are those whose newest cloud kernel for amd64 CI boots: the releases of Debian that are supported, and the
// newest. The others are between them.
var someSeries = []string{"5.10", "6.1", "6.12", "7.2"}

// suitesOf reads the suites that packages are from: kernels/embedded/packages.list below the root of the repository. Keys
// are name, version and architecture.
func suitesOf(root string) (map[string]string, error) {
	data, err := os.ReadFile(filepath.Join(root, "kernels/embedded/packages.list"))
	if err != nil {
		return nil, err
	}
	out := make(map[string]string)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 6 && f[0] != "#" {
			out[f[3]+" "+f[4]+" "+f[2]] = f[1]
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("kernels/embedded/packages.list lists nothing")
	}
	return out, nil
}

// someARM is the series of which CI boots a kernel for arm64: the first that has all that tracing needs there.
const someARM = "6.12"

// choose returns the kernels to boot, of those that come with corecheck: of each series (5.10, 6.1 …) the newest kernel for
// amd64, in the flavour for clouds, which is small; the newest one that has all drivers; and for arm64 the newest of 6.12
// and the newest of all. With some it is what CI has time for.
//
// A kernel of a point release goes before a newer one of a suite for security updates: those keep the newest version only,
// and not every machine's apt is told of them.
func choose(all []*kernels.Kernel, suites map[string]string, some bool) ([]*kernels.Kernel, error) {
	lasts := func(k *kernels.Kernel) int {
		arch := map[string]string{"x86_64": "amd64"}[k.Arch]
		if suite := suites[k.Package+" "+cmp.Or(arch, k.Arch)]; suite == "" || strings.HasSuffix(suite, "-security") {
			return 0
		}
		return 1
	}
	newest := make(map[string]*kernels.Kernel)
	put := func(key string, k *kernels.Kernel) {
		old := newest[key]
		if old == nil || cmp.Or(lasts(k)-lasts(old), k.Version.Compare(old.Version), strings.Compare(k.ID, old.ID)) > 0 {
			newest[key] = k
		}
	}
	for _, k := range all {
		cloud := strings.Contains(k.Uname, "-cloud-")
		switch {
		case k.Arch == "x86_64" && cloud:
			put("amd64 "+k.Version.MinorRelease().String(), k)
		case k.Arch == "x86_64" && strings.HasSuffix(k.Uname, "-amd64") && !strings.Contains(k.Uname, "-rt-") && k.Release != experimental:
			put("generic", k)
		case k.Arch == "arm64" && strings.HasSuffix(k.Uname, "-arm64") && !cloud && k.Release != experimental:
			if k.Version.MinorRelease().String() == someARM {
				put("arm64 "+someARM, k)
			} else {
				put("arm64", k)
			}
		}
	}
	var keys []string
	if some {
		for _, s := range someSeries {
			keys = append(keys, "amd64 "+s)
		}
		keys = append(keys, "arm64 "+someARM)
	} else {
		for key := range newest {
			keys = append(keys, key)
		}
	}
	var out []*kernels.Kernel
	for _, key := range keys {
		k := newest[key]
		if k == nil {
			return nil, fmt.Errorf("no kernel for %q comes with corecheck", key)
		}
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b *kernels.Kernel) int {
		return cmp.Or(a.Version.Compare(b.Version), strings.Compare(a.ID, b.ID))
	})
	return out, nil
}
