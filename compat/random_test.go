package compat

import (
	"encoding/binary"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/relocate"
)

var (
	randomCases = flag.Int("random.cases", 3000, "random lists of kernels that TestRandomArchives makes")
	randomSeed  = flag.Uint64("random.seed", 0, "the one archive of TestRandomArchives to run, as a failure names it; 0: all of today's")
)

// perArchive is how many cases share an archive: each asks for a part of its kernels.
const perArchive = 12

// randomCase is a list of random kernels, and objects to hold against them.
type randomCase struct {
	objs   []*relocate.Object
	whole  []*kernels.Kernel
	builds []*archive.Build // the same kernels for an archive
}

// newCase makes a case from objects. release tells its kernels from those of other cases.
func newCase(t testing.TB, rng *rand.Rand, release string, all []*relocate.Object) *randomCase {
	t.Helper()
	c := new(randomCase)
	for range 1 + rng.IntN(3) {
		c.objs = append(c.objs, all[rng.IntN(len(all))])
	}
	n := 1 + rng.IntN(8)
	if rng.IntN(40) == 0 {
		n = 60 + rng.IntN(20) // more than a word of a set
	}
	history := []*world{firstWorld(c.objs)}
	for i := range n {
		w := history[len(history)-1]
		if rng.IntN(8) == 0 {
			w = history[rng.IntN(len(history))] // an older series goes on
		}
		w = w.clone()
		for range rng.IntN(1 + rng.IntN(12)) {
			if next := w.clone(); next.change(rng) {
				w = next
			}
		}
		history = append(history, w)
		order := binary.ByteOrder(binary.LittleEndian)
		arch := []string{"x86_64", "x86_64", "arm64", "s390x"}[rng.IntN(4)]
		if arch == "s390x" {
			order = binary.BigEndian
		}
		version := kernels.Version{Major: 5 + i/4, Minor: 4 * (i % 4), Patch: rng.IntN(3) - 1}
		if rng.IntN(16) == 0 {
			version = kernels.Version{}
		}
		btf, mods := w.build(t, rng, order)
		id := fmt.Sprintf("test/%s/%s/k%02d", release, arch, i)
		k := kernels.New(id, version, btf, mods...)
		k.ModulesPartial = len(mods) > 0 && !w.looked
		c.whole = append(c.whole, k)
		b := &archive.Build{Kernel: archive.Kernel{ID: id, Distro: k.Distro, Release: k.Release, Arch: k.Arch, Uname: k.Uname}, BTF: btf,
			ModulesRead: len(mods) > 0 || w.looked, AllModules: w.looked}
		if !version.IsZero() {
			b.Version, b.VersionFrom = version.String(), string(kernels.FromPackage)
		}
		for _, m := range mods {
			b.Modules = append(b.Modules, archive.Module(m))
		}
		c.builds = append(c.builds, b)
	}
	slices.SortFunc(c.whole, kernels.Compare)
	return c
}

// pack returns kernels out of an archive of them.
func pack(t testing.TB, builds []*archive.Build) []*kernels.Kernel {
	t.Helper()
	w := archive.NewWriter()
	for _, b := range builds {
		if _, err := w.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	data, err := w.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.OpenBytes("random", data)
	if err != nil {
		t.Fatal(err)
	}
	return kernels.FromArchive(a, "memory")
}

// On random kernels, asked out of an archive by sets and one by one as they were before, all reports are equal.
func TestRandomArchives(t *testing.T) {
	t.Parallel()
	objs := fixtures(t)
	for i, o := range fixtures(t) { // once more, with some programs that are not loaded
		for j, p := range o.Programs {
			p.Sec.Autoload = p.Sec.Autoload && (i+j)%3 != 0
		}
		objs = append(objs, o)
	}
	if *randomSeed != 0 {
		randomArchive(t, *randomSeed, objs)
		return
	}
	first := uint64(time.Now().UnixNano())
	n := *randomCases / perArchive
	t.Logf("%d archives of %d cases each, seeds from %d", n, perArchive, first)
	for i := range n {
		if randomArchive(t, first+uint64(i), objs); t.Failed() {
			return
		}
	}
}

func randomArchive(t *testing.T, seed uint64, objs []*relocate.Object) {
	defer func() {
		if t.Failed() {
			t.Errorf("to repeat: go test ./compat -run TestRandomArchives -random.seed=%d", seed)
		}
	}()
	rng := rand.New(rand.NewPCG(seed, 0xc0de))
	var cases []*randomCase
	var builds []*archive.Build
	for i := range perArchive {
		c := newCase(t, rng, fmt.Sprint(i), objs)
		cases = append(cases, c)
		builds = append(builds, c.builds...)
	}
	all := pack(t, builds)
	for i, c := range cases {
		packed := slices.DeleteFunc(slices.Clone(all), func(k *kernels.Kernel) bool { return k.Release != fmt.Sprint(i) })
		sameValues(t, fmt.Sprintf("seed %d, case %d", seed, i), c.objs, packed, c.whole)
		sameReport(t, fmt.Sprintf("seed %d, case %d", seed, i), c.objs, packed, c.whole, Options{AnyArch: true})
	}
	// Some by themselves, the others out of two archives, with more at hand that are not asked.
	c, more := cases[0], pack(t, cases[0].builds)
	var mixed, ref []*kernels.Kernel
	for _, k := range c.whole {
		from := [][]*kernels.Kernel{c.whole, all, more}[rng.IntN(3)]
		mixed = append(mixed, from[slices.IndexFunc(from, func(x *kernels.Kernel) bool { return x.ID == k.ID })])
	}
	ref = append(ref, cases[1].whole[:rng.IntN(len(cases[1].whole)+1)]...)
	for _, k := range all {
		if k.Release == "2" && rng.IntN(2) == 0 {
			ref = append(ref, k)
		}
	}
	sameReport(t, fmt.Sprintf("seed %d, mixed", seed), c.objs, mixed, c.whole, Options{AnyArch: true, Reference: ref})
}

// An archive that is damaged where a question touches it gives errors, once each, and answers for the kernels that the
// damage leaves alone.
func TestDamagedArchive(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 4))
	c := newCase(t, rng, "1", fixtures(t))
	for len(c.builds) < 4 {
		c = newCase(t, rng, "1", fixtures(t))
	}
	w := archive.NewWriter()
	for _, b := range c.builds {
		if _, err := w.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	data, err := w.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	opened, damaged := 0, 0
	for range 400 {
		bad := slices.Clone(data)
		bad[rng.IntN(len(bad))] ^= 1 << rng.IntN(8)
		a, err := archive.OpenBytes("damaged", bad)
		if err != nil {
			continue
		}
		opened++
		rep := Check(c.objs, kernels.FromArchive(a, "memory"), Options{AnyArch: true})
		if len(rep.Errors) > 0 {
			damaged++
		}
		if n := len(rep.Kernels); len(rep.Errors) == 0 && n != len(c.builds) || n > len(c.builds) {
			t.Errorf("%d kernels of %d, and %d errors", n, len(c.builds), len(rep.Errors))
		}
		for i, e := range rep.Errors {
			if slices.Contains(rep.Errors[:i], e) {
				t.Errorf("said twice: %+v", e)
			}
		}
		checkReport(t, rep)
	}
	if opened == 0 || damaged == 0 {
		t.Errorf("of 400 damaged archives %d could be opened, %d had errors", opened, damaged)
	}
	t.Logf("of 400 damaged archives %d could be opened, %d had errors", opened, damaged)
}
