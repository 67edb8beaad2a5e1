package archive

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// firsts are the contents of what Derive edits, of one kernel.
func (w *Writer) firsts(k uint32) map[entryKey]string {
	out := make(map[entryKey]string)
	w.each(func(e *entry, v *variant, p *presence) {
		if p.home == 0 && p.ord == 0 && e.name != 0 && w.sets.list[p.set].has(k) {
			out[e.entryKey] = string(v.content)
		}
	})
	return out
}

// TestDerive holds Derive against the same edits made kernel by kernel, and what comes of it against Verify.
func TestDerive(t *testing.T) {
	t.Parallel()
	rounds := 60
	if testing.Short() {
		rounds = 10
	}
	for seed := range rounds {
		rng := rand.New(rand.NewPCG(uint64(seed), 43))
		w := NewWriter()
		var ids []string
		for _, b := range randomKernels(rng, 1+rng.IntN(4)) {
			if _, err := w.Add(b); err != nil {
				t.Fatal(err)
			}
			if b.BTF != nil {
				ids = append(ids, b.ID)
			}
		}
		if len(ids) == 0 {
			continue
		}
		defs, err := w.Definitions(ids)
		if err != nil {
			t.Fatal(err)
		}
		free := w.free()
		want := make(map[string]map[entryKey]string) // by ID
		root := make(map[string]string)
		for _, id := range ids {
			want[id], root[id] = w.firsts(uint32(w.byID[id])), id
		}
		isFree := make(map[entryKey]bool)
		for i := range w.entries {
			isFree[w.entries[i].entryKey] = free[i]
		}

		var list []Derived
		var copies []Edit
		for i := range 1 + rng.IntN(30) {
			d := Derived{From: ids[rng.IntN(len(ids))]}
			d.Distro, d.Release, d.Arch, d.Uname = "derived", "1", "x86_64", fmt.Sprint(i)
			d.ID = "derived/1/x86_64/" + d.Uname
			for range rng.IntN(12) {
				if len(defs) == 0 {
					break
				}
				x := defs[rng.IntN(len(defs))]
				e := Edit{Kind: x.Kind, Name: x.Name, Op: EditOp(rng.IntN(4)), Seed: uint32(rng.IntN(5))}
				switch {
				case e.Op == EditCopy && x.Kind != btfinfo.KindFunc && x.Kind != btfinfo.KindStruct:
					e.Op = EditChange
				case e.Op == EditCopy:
					copies = append(copies, e)
				case len(copies) > 0 && rng.IntN(4) == 0: // of one that was made before
					c := copies[rng.IntN(len(copies))]
					e.Kind, e.Name = c.Kind, CopyName(c.Name, c.Seed)
				}
				d.Edits = append(d.Edits, e)
			}
			list = append(list, d)
			ids = append(ids, d.ID)
		}

		dv := deriver{w: w}
		for _, d := range list {
			is := maps.Clone(want[d.From])
			root[d.ID] = root[d.From]
			for _, e := range d.Edits {
				key := entryKey{e.Kind, w.in.id(e.Name)}
				now, here := is[key]
				_, inWriter := w.byName[key]
				switch e.Op {
				case EditChange:
					if here {
						is[key] = string(dv.change([]byte(now), e.Seed))
					}
				case EditRemove:
					if isFree[key] || !inWriter {
						delete(is, key)
					}
				case EditRestore:
					if was, ok := want[root[d.From]][key]; ok && !here {
						is[key] = was
					}
				case EditCopy:
					if here && inWriter {
						is[entryKey{e.Kind, w.in.id(CopyName(e.Name, e.Seed))}] = now
					}
				}
			}
			want[d.ID] = is
		}

		if err := w.Derive(list); err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			got := w.firsts(uint32(w.byID[id]))
			if !maps.Equal(got, want[id]) {
				t.Fatalf("seed %d: %s, from %s: %d definitions, want %d; or others", seed, id, root[id], len(got), len(want[id]))
			}
		}
		data, err := w.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := OpenBytes("derived", data)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Verify(); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		for i := range a.Len() {
			if _, err := a.Build(i); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
	}
}

func TestDeriveErrors(t *testing.T) {
	t.Parallel()
	w := NewWriter()
	rng := rand.New(rand.NewPCG(5, 5))
	list := randomKernels(rng, 6)
	i := slices.IndexFunc(list, func(b *Build) bool { return b.BTF != nil })
	if _, err := w.Add(list[i]); err != nil {
		t.Fatal(err)
	}
	kernel := func(uname string) Kernel {
		return Kernel{ID: "derived/1/x86_64/" + uname, Distro: "derived", Release: "1", Arch: "x86_64", Uname: uname}
	}
	from := list[i].ID
	none := kernel("a")
	none.NoBTF = "it was not asked for"
	for name, list := range map[string][]Derived{
		"from none":   {{Kernel: kernel("a"), From: "x/1/x86_64/1"}},
		"from itself": {{Kernel: kernel("a"), From: "derived/1/x86_64/a"}},
		"from later":  {{Kernel: kernel("a"), From: "derived/1/x86_64/b"}, {Kernel: kernel("b"), From: from}},
		"twice":       {{Kernel: kernel("a"), From: from}, {Kernel: kernel("a"), From: from}},
		"again":       {{Kernel: list[i].Kernel, From: from}},
		"without BTF": {{Kernel: none, From: from}},
		"without ID":  {{From: from}},
	} {
		if err := w.Derive(list); err == nil {
			t.Errorf("%s: no error", name)
		}
		if n := len(w.Kernels()); n != 1 {
			t.Fatalf("%s: left %d kernels, want 1", name, n)
		}
	}
	if _, err := w.Definitions([]string{"x/1/x86_64/1"}); err == nil {
		t.Error("the definitions of a kernel that is not there")
	}
}
