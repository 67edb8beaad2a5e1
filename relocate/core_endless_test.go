package relocate

import (
	"path/filepath"
	"slices"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// maze is a kernel in which every name that is asked for is there, and leads back to itself: what a damaged archive can
// show, of which types are put in as they are asked for. In a BTF that was parsed there is no such thing.
type maze struct {
	lazy    *btfinfo.Lazy
	at      []uint32 // by slot
	names   []string // of members
	member  btfinfo.ID
	itself  bool // members are of the struct's own type
	wide    int  // anonymous members that each hold the struct again
	entries map[string]btfinfo.ID
}

func (z *maze) Slot(n uint32) uint32 { return z.at[n] }

// slot adds an id, of which the words may refer to itself.
func (z *maze) slot(words func(self uint32) []uint32) btfinfo.ID {
	n := len(z.at)
	z.at = append(z.at, 0)
	id := z.lazy.NewSlot(uint32(n))
	z.at[n] = z.lazy.Put(words(uint32(id)))
	return id
}

func (z *maze) Essential(name string, kinds []btfinfo.Kind, yield func(btfinfo.Type) bool) {
	if len(kinds) == 0 {
		return
	}
	k := kinds[0]
	key := k.String() + name
	id, ok := z.entries[key]
	if !ok {
		id = z.slot(func(self uint32) []uint32 {
			info := uint32(k) << 24
			n := z.lazy.String(name)
			switch k {
			case btfinfo.KindStruct, btfinfo.KindUnion:
				w := []uint32{n, info, 64}
				for range z.wide {
					w = append(w, 0, self, 0)
				}
				for _, m := range z.names {
					to := uint32(z.member)
					if z.itself {
						to = self
					}
					w = append(w, z.lazy.String(m), to, 0)
				}
				w[1] |= uint32(len(w)/3 - 1)
				return w
			case btfinfo.KindEnum, btfinfo.KindEnum64:
				return []uint32{n, info, 4}
			case btfinfo.KindInt:
				return []uint32{n, info, 4, 32}
			}
			return []uint32{n, info, uint32(z.member)}
		})
		z.entries[key] = id
	}
	yield(z.lazy.BTF().Type(id))
}

// TestEndlessTypes resolves every record of every object in kernels of which the types never end.
func TestEndlessTypes(t *testing.T) {
	files, err := filepath.Glob("../testdata/*/*.o")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d objects, %v", len(files), err)
	}
	var objs []*Object
	var names []string
	for _, f := range files {
		list, err := Open(f)
		if err != nil {
			continue // those that other tests break on purpose
		}
		objs = append(objs, list...)
		for _, o := range list {
			for _, r := range o.Relos {
				if s, bad := o.spec(r); bad.reason == ReasonNone {
					for _, st := range s.Steps {
						names = append(names, st.Name)
					}
				}
			}
		}
	}
	slices.Sort(names)
	names = slices.Compact(names)
	names = slices.DeleteFunc(names, func(s string) bool { return s == "" })
	if len(objs) < 10 || len(names) < 10 {
		t.Fatalf("%d objects with %d names of members", len(objs), len(names))
	}
	ref := func(k btfinfo.Kind) func(uint32) []uint32 {
		return func(self uint32) []uint32 {
			if k == btfinfo.KindArray {
				return []uint32{0, uint32(k) << 24, 0, self, self, 1}
			}
			return []uint32{0, uint32(k) << 24, self}
		}
	}
	for _, test := range []struct {
		name   string
		member func(uint32) []uint32
		wide   int
		itself bool
	}{
		{"typedef", ref(btfinfo.KindTypedef), 0, false},
		{"modifier", ref(btfinfo.KindVolatile), 0, false},
		{"array", ref(btfinfo.KindArray), 0, false},
		{"pointer", ref(btfinfo.KindPtr), 0, false},
		{"prototype", func(self uint32) []uint32 {
			return []uint32{0, uint32(btfinfo.KindFuncProto)<<24 | 2, self, 0, self, 0, self}
		}, 0, false},
		{"itself", nil, 0, true},
		{"anonymous", ref(btfinfo.KindTypedef), 1, true},
		{"many anonymous", ref(btfinfo.KindArray), 8, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			count := 0
			for _, o := range objs {
				z := &maze{names: names, wide: test.wide, itself: test.itself, entries: make(map[string]btfinfo.ID)}
				z.lazy = btfinfo.NewLazy(z)
				if test.member != nil {
					z.member = z.slot(test.member)
				}
				r := NewResolver(o, &Target{Vmlinux: z.lazy.BTF(), PointerSize: 8})
				for _, relo := range o.Relos {
					res := r.Resolve(relo)
					res.Explain()
					count++
				}
				for id := btfinfo.ID(1); o.BTF != nil && int(id) < o.BTF.NumTypes(); id++ {
					if test.member != nil {
						TypesCompatible(o.BTF, id, z.lazy.BTF(), z.member)
					}
				}
			}
			if count < 100 {
				t.Errorf("%d records resolved, want at least 100", count)
			}
		})
	}
}
