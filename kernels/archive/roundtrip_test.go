package archive

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// sameTypes compares what two BTFs have of each name.
func sameTypes(t *testing.T, what string, got, want *btfinfo.BTF) {
	t.Helper()
	var r renderer
	x, y := r.everything(got), r.everything(want)
	for _, key := range slices.Sorted(maps.Keys(y)) {
		if !slices.Equal(x[key], y[key]) {
			t.Errorf("%s: %s:\n got %d %q\nwant %d %q", what, key, len(x[key]), x[key], len(y[key]), y[key])
			return
		}
	}
	for key := range x {
		if y[key] == nil {
			t.Errorf("%s: %s was not there", what, key)
			return
		}
	}
}

// sameBuild compares a kernel out of an archive with the one that was added.
func sameBuild(t *testing.T, got, want *Build) {
	t.Helper()
	if g, w := appendKernel(nil, &got.Kernel), appendKernel(nil, &want.Kernel); !bytes.Equal(g, w) {
		t.Errorf("%s: description\n got %q\nwant %q", want.ID, g, w)
	}
	if got.ModulesRead != want.ModulesRead || got.AllModules != want.AllModules || len(got.Modules) != len(want.Modules) {
		t.Fatalf("%s: %d modules (read %v, all %v), want %d (%v, %v)", want.ID, len(got.Modules), got.ModulesRead, got.AllModules,
			len(want.Modules), want.ModulesRead, want.AllModules)
	}
	if (got.BTF == nil) != (want.BTF == nil) {
		t.Fatalf("%s: BTF %v, want %v", want.ID, got.BTF != nil, want.BTF != nil)
	}
	if want.BTF == nil {
		return
	}
	if got.BTF.ByteOrder() != want.BTF.ByteOrder() {
		t.Errorf("%s: byte order %v, want %v", want.ID, got.BTF.ByteOrder(), want.BTF.ByteOrder())
	}
	sameTypes(t, want.ID, got.BTF, want.BTF)
	mods := slices.Clone(want.Modules)
	slices.SortFunc(mods, func(a, b Module) int { return cmp.Compare(a.Name, b.Name) })
	for i, m := range mods {
		if got.Modules[i].Name != m.Name {
			t.Fatalf("%s: module %q, want %q", want.ID, got.Modules[i].Name, m.Name)
		}
		sameTypes(t, want.ID+" "+m.Name, got.Modules[i].BTF, m.BTF)
	}
}

// TestRoundTripRandom: random kernels come out as they went in, and going in again makes the same archive.
func TestRoundTripRandom(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	for i := range 500 {
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		list := randomKernels(rng, 1+rng.IntN(8))
		data := encodeBytes(t, list...)
		a, err := OpenBytes("random", data)
		if err != nil {
			t.Fatalf("seed %d, case %d: %v", seed, i, err)
		}
		if err := a.Verify(); err != nil {
			t.Fatalf("seed %d, case %d: %v", seed, i, err)
		}
		w := NewWriter()
		for _, want := range list {
			n, ok := a.Index(want.ID)
			if !ok {
				t.Fatalf("seed %d, case %d: no %s", seed, i, want.ID)
			}
			got, err := a.Build(n)
			if err != nil {
				t.Fatalf("seed %d, case %d: %v", seed, i, err)
			}
			sameBuild(t, got, want)
			if _, err := w.Add(got); err != nil {
				t.Fatalf("seed %d, case %d: %v", seed, i, err)
			}
		}
		again, err := w.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(again, data) {
			t.Errorf("seed %d, case %d: what was exported makes another archive", seed, i)
		}
		if t.Failed() {
			t.Fatalf("seed %d, case %d", seed, i)
		}
	}
}

func testSeed(t testing.TB) uint64 {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return seed
}

// embeddedArchive is the archive that corecheck carries.
func embeddedArchive(t testing.TB) *Archive {
	t.Helper()
	a, err := Open("../embedded/kernels.ccar")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	return a
}

// embeddedKernels are some of the embedded kernels, by their place in the archive; those below 0 count from its end.
func embeddedKernels(t testing.TB, at ...int) []*Build {
	t.Helper()
	a := embeddedArchive(t)
	var out []*Build
	for _, i := range at {
		if i < 0 {
			i += a.Len()
		}
		b, err := a.Build(i)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b)
	}
	return out
}

// TestRoundTripEmbedded puts embedded kernels together and into another archive, which has to be the same in the end as one that
// they are merged into. Every third is taken, which gives some of each series: all of them take two cores most of a minute.
func TestRoundTripEmbedded(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("not with -short: all embedded kernels are put together")
	}
	a := embeddedArchive(t)
	w := NewWriter()
	const every = 3
	taken := make(map[string]bool)
	for i := 0; i < a.Len(); i += every {
		taken[a.Kernel(i).ID] = true
	}
	var mu sync.Mutex // of w
	var wg sync.WaitGroup
	for first := range 2 {
		wg.Go(func() {
			for i := every * first; i < a.Len(); i += 2 * every {
				b, err := a.Build(i)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				_, err = w.Add(b)
				mu.Unlock()
				if err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	if wg.Wait(); t.Failed() {
		return
	}
	for i := 0; i < a.Len(); i += 5 * every { // bpftool takes most of a second for each
		bpftoolReads(t, a, i, t.TempDir())
	}
	got, err := w.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	merged := NewWriter()
	if err := merged.MergeOnly(a, func(k *Kernel) bool { return taken[k.ID] }); err != nil {
		t.Fatal(err)
	}
	want, err := merged.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("what was exported makes another archive: %d bytes, want %d", len(got), len(want))
	}
}

// TestRoundTripBTFHub: real kernels, from 4.18 of Debian's cousins to Android's 5.10, little and big endian, come out of an
// archive as they went in.
func TestRoundTripBTFHub(t *testing.T) {
	const root = "../../../shared/btfhub"
	if _, err := os.Stat(root); err != nil {
		t.Skip("no ../shared/btfhub beside the checkout: kernels of BTFHub are not tried")
	}
	t.Parallel()
	type source struct {
		Kernel
		raw []byte
	}
	var list []source
	w := NewWriter()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, ".btf") || testing.Short() && len(list) == 3 {
			return err
		}
		f, err := btfinfo.Open(path, nil)
		if err != nil {
			return err
		}
		k := Kernel{Distro: "btfhub", Release: filepath.Base(filepath.Dir(path)), Arch: "any", Uname: strings.TrimSuffix(filepath.Base(path), ".btf.tar.xz")}
		k.ID = strings.Join([]string{k.Distro, k.Release, k.Arch, k.Uname}, "/")
		if _, err := w.Add(&Build{Kernel: k, BTF: f.BTF}); err != nil {
			return err
		}
		list = append(list, source{k, f.Raw})
		return nil
	})
	if err != nil || len(list) == 0 {
		t.Fatalf("%d kernels in %s: %v", len(list), root, err)
	}
	data, err := w.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := OpenBytes("btfhub", data)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Verify(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d kernels in %d bytes", len(list), len(data))
	for n, src := range list {
		t.Run(src.Uname, func(t *testing.T) {
			t.Parallel()
			i, ok := a.Index(src.ID)
			if !ok {
				t.Fatalf("no %s", src.ID)
			}
			b, err := btfinfo.Parse(src.raw)
			if err != nil {
				t.Fatal(err)
			}
			got, err := a.Build(i)
			if err != nil {
				t.Fatal(err)
			}
			sameBuild(t, got, &Build{Kernel: src.Kernel, BTF: b})
			if n%8 != 0 { // C and bpftool take a second each
				return
			}
			if g, w := sortedC(t, got.BTF), sortedC(t, b); !slices.Equal(g, w) {
				t.Errorf("the C of the export differs: %s", firstDifference(g, w))
			}
			bpftoolReads(t, a, i, t.TempDir())
		})
	}
}

// isDeclaration finds lines that only say that there is a struct: which are needed depends on the order of types.
var isDeclaration = regexp.MustCompile(`^(struct|union|enum) \w+;$`)

// isNumber finds what the second of one name is called beside it: which is the second depends on that order, too.
var isNumber = regexp.MustCompile(`___\d+\b`)

// sortedC are the lines of a BTF in C, sorted: the order of types is another one in an export.
func sortedC(t testing.TB, b *btfinfo.BTF) []string {
	t.Helper()
	var s bytes.Buffer
	if err := btfinfo.DumpC(&s, b, btfinfo.DumpOptions{}); err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(s.String(), "\n"), func(line string) bool { return line == "" || isDeclaration.MatchString(line) })
	for i := range lines {
		lines[i] = isNumber.ReplaceAllString(lines[i], "")
	}
	slices.Sort(lines)
	return lines
}

func firstDifference(a, b []string) string {
	i := 0
	for i < min(len(a), len(b)) && a[i] == b[i] {
		i++
	}
	return fmt.Sprintf("%d lines, want %d, from %q, want %q", len(a), len(b), a[i:min(i+2, len(a))], b[i:min(i+2, len(b))])
}

// bpftoolReads holds bpftool's parser, libbpf's, against an export: it has to take it, and see as many types.
func bpftoolReads(t *testing.T, a *Archive, i int, dir string) {
	t.Helper()
	bpftool := "/usr/sbin/bpftool"
	if _, err := os.Stat(bpftool); err != nil {
		t.Log("no /usr/sbin/bpftool: it is not asked what it thinks of exports")
		return
	}
	raw, modules, err := a.Raw(i)
	if err != nil {
		t.Fatal(err)
	}
	if raw == nil {
		return // a kernel without BTF
	}
	base := filepath.Join(dir, "vmlinux.btf")
	if err := os.WriteFile(base, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	check := func(what string, want int, args ...string) {
		out, err := exec.Command(bpftool, args...).Output()
		if err != nil {
			t.Errorf("%s: bpftool %s: %v", what, strings.Join(args, " "), err)
			return
		}
		if n := bytes.Count(out, []byte("\n[")) + boolInt(bytes.HasPrefix(out, []byte("["))); n != want {
			t.Errorf("%s: bpftool sees %d types, want %d", what, n, want)
		}
	}
	b, err := btfinfo.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	check(a.Kernel(i).ID, b.NumTypes()-1, "btf", "dump", "file", base, "format", "raw")
	for _, m := range modules[:min(len(modules), 3)] {
		s, err := btfinfo.ParseSplit(m.BTF, b)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "module.btf")
		if err := os.WriteFile(path, m.BTF, 0o644); err != nil {
			t.Fatal(err)
		}
		check(a.Kernel(i).ID+" "+m.Name, s.NumTypes()-b.NumTypes(), "-B", base, "btf", "dump", "file", path, "format", "raw")
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
