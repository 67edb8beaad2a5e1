package relocate

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
)

// allObjects are all objects that there are to try: those of the tests and, where they were fetched, libbpf-tools.
func allObjects(t testing.TB) []*Object {
	t.Helper()
	files, err := filepath.Glob("../testdata/*/*.o")
	if err != nil {
		t.Fatal(err)
	}
	if dir := os.Getenv("CORECHECK_TOOLS_DIR"); dir != "" {
		tools, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range tools {
			if f.Type()&os.ModeSymlink == 0 {
				files = append(files, filepath.Join(dir, f.Name()))
			}
		}
	}
	var objs []*Object
	for _, f := range files {
		list, err := Open(f)
		if err != nil {
			continue // those that other tests break on purpose
		}
		objs = append(objs, list...)
	}
	if len(objs) < 40 {
		t.Fatalf("%d objects, want at least those of testdata", len(objs))
	}
	return objs
}

// TestExported resolves the records of the whole corpus in kernels as they are, and in what an archive gives back of them.
// The numbers of types are the only thing that may differ: they say nothing beyond their file.
func TestExported(t *testing.T) {
	t.Parallel()
	objs := allObjects(t)
	w := archive.NewWriter()
	var originals []*btfinfo.BTF
	var ids []string
	add := func(name string, b *btfinfo.BTF) {
		k := archive.Kernel{Distro: "test", Release: "1", Arch: "any", Uname: strings.ReplaceAll(name, "/", "-")}
		k.ID = strings.Join([]string{k.Distro, k.Release, k.Arch, k.Uname}, "/")
		if _, err := w.Add(&archive.Build{Kernel: k, BTF: b}); err != nil {
			t.Fatal(err)
		}
		originals, ids = append(originals, b), append(ids, k.ID)
	}
	for _, name := range []string{"k1", "k2"} {
		for _, order := range coreOrders {
			b, _ := coreBTF(t, name, order)
			add(name+"."+order, b)
		}
	}
	const hub = "../../shared/btfhub"
	if _, err := os.Stat(hub); err != nil {
		t.Logf("no ../shared/btfhub beside the checkout: only the kernels of testdata are tried")
	} else if err := filepath.WalkDir(hub, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.Contains(path, ".btf") || testing.Short() && len(originals) > 8 {
			return err
		}
		f, err := btfinfo.Open(path, nil)
		if err != nil {
			return err
		}
		add(filepath.Base(filepath.Dir(path))+"-"+filepath.Base(path), f.BTF)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	data, err := w.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.OpenBytes("test", data)
	if err != nil {
		t.Fatal(err)
	}
	records, values := 0, 0
	for n, original := range originals {
		i, ok := a.Index(ids[n])
		if !ok {
			t.Fatalf("no %s", ids[n])
		}
		b, err := a.Build(i)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objs {
			want := NewResolver(o, &Target{Vmlinux: original}).ResolveAll(nil)
			got := NewResolver(o, &Target{Vmlinux: b.BTF}).ResolveAll(nil)
			if len(got) != len(want) {
				t.Fatalf("%s, %s: %d records, want %d", ids[n], o.File, len(got), len(want))
			}
			for j := range want {
				g, w := &got[j], &want[j]
				records++
				values += int(min(w.Value, 1))
				same := g.Outcome == w.Outcome && g.Reason == w.Reason && g.MemSize == w.MemSize && g.Mismatch == w.Mismatch && g.NoCandidates == w.NoCandidates &&
					(g.Value == w.Value || w.Relo.Kind == TypeIDTarget && min(g.Value, 1) == min(w.Value, 1))
				if !same {
					t.Errorf("%s, %s, record %d (%s): exported %v %v %d, want %v %v %d", ids[n], o.File, j, w.Relo.Kind, g.Outcome, g.Reason, g.Value, w.Outcome, w.Reason, w.Value)
				}
			}
		}
		// What candidates there are, with those of one name and kind in the order in which libbpf takes them.
		for _, name := range []string{"task_struct", "request", "foo", "sk_buff", "atomic_t"} {
			sizes := func(b *btfinfo.BTF) (out []uint32) {
				b.OwnEssential(name, func(t btfinfo.Type) bool {
					out = append(out, t.Size(), uint32(t.Vlen()))
					return true
				}, btfinfo.KindStruct)
				return out
			}
			if g, w := sizes(b.BTF), sizes(original); !slices.Equal(g, w) {
				t.Errorf("%s: structs %s have sizes and members %v, want %v", ids[n], name, g, w)
			}
		}
	}
	t.Logf("%d kernels, %d records, %d of them with a value other than 0", len(originals), records, values)
	if values < 100 {
		t.Errorf("%d records have a value, want more", values)
	}
}
