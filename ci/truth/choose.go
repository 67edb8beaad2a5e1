package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/kernels"
)

// experimental is the release of Debian that has what no other has yet.
const experimental = "experimental"

// someSeries are those whose newest cloud kernel for amd64 CI boots: the releases of Debian that are supported, and the
// newest. The others are between them.
var someSeries = []string{"5.10", "6.1", "6.12", "7.2"}

// choose returns the kernels to boot, of those that come with corecheck: of each series (5.10, 6.1 …) the newest kernel for
// amd64, in the flavour for clouds, which is small; the newest one that has all drivers; and for arm64 the newest for
// clouds and the newest of all. With some it is what CI has time for.
func choose(all []*kernels.Kernel, some bool) ([]*kernels.Kernel, error) {
	newest := make(map[string]*kernels.Kernel)
	put := func(key string, k *kernels.Kernel) {
		old := newest[key]
		if old == nil || cmp.Or(k.Version.Compare(old.Version), strings.Compare(k.ID, old.ID)) > 0 {
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
		case k.Arch == "arm64" && cloud:
			put("arm64 cloud", k)
		case k.Arch == "arm64" && k.Release != experimental:
			put("arm64", k)
		}
	}
	var keys []string
	if some {
		for _, s := range someSeries {
			keys = append(keys, "amd64 "+s)
		}
		keys = append(keys, "arm64 cloud")
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
