package archive

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// read is something that can be asked of a kernel, of a Lens and of BTF that was put together.
type read struct {
	what string
	lens func(l *Lens) string
	full func(b *Build) string
}

// shown writes types as a walker sees them: in whole, and the types that they name two steps deep.
func shown(s *strings.Builder, b *btfinfo.BTF, id btfinfo.ID, depth int) {
	var r renderer
	r.body(s, b, id)
	if depth == 0 {
		return
	}
	t := b.Type(id)
	follow := func(to btfinfo.ID) {
		for range 8 {
			u := b.Type(to)
			if standsAlone(u) || u.Ref() == 0 {
				break
			}
			to = u.Ref()
		}
		if standsAlone(b.Type(to)) {
			s.WriteString(" -> ")
			shown(s, b, to, depth-1)
		}
	}
	switch t.Kind() {
	case btfinfo.KindStruct, btfinfo.KindUnion:
		for i := range t.Vlen() {
			follow(t.Member(i).Type)
		}
	case btfinfo.KindFuncProto:
		for i := range t.Vlen() {
			follow(t.Param(i).Type)
		}
	case btfinfo.KindDatasec:
		for i := range t.Vlen() {
			follow(t.Var(i).Type)
		}
	}
	if t.Ref() != 0 {
		follow(t.Ref())
	}
	if size, ok := b.SizeOf(id); ok {
		fmt.Fprintf(s, " size %d", size)
	}
}

// lookup reads all types of an essential name.
func lookup(name string, kinds ...btfinfo.Kind) read {
	list := func(b *btfinfo.BTF) string {
		var s strings.Builder
		b.OwnEssential(name, func(t btfinfo.Type) bool {
			if !standsAlone(t) {
				return true // tags can't be looked up in an archive
			}
			shown(&s, b, t.ID(), 2)
			s.WriteString("\n")
			return true
		}, kinds...)
		return s.String()
	}
	return read{fmt.Sprint("types ", name, kinds), func(l *Lens) string { return list(l.BTF()) }, func(b *Build) string {
		if b.BTF == nil {
			return ""
		}
		return list(b.BTF)
	}}
}

// named reads the ids of one name: the first of them, in whole.
func named(name string, kind btfinfo.Kind) read {
	first := func(b *btfinfo.BTF) string {
		ids := b.Named(name, kind)
		var s strings.Builder
		fmt.Fprint(&s, len(ids))
		if len(ids) > 0 {
			shown(&s, b, ids[0], 1)
		}
		return s.String()
	}
	return read{"first " + kind.String() + " " + name, func(l *Lens) string { return first(l.BTF()) }, func(b *Build) string {
		if b.BTF == nil {
			return "0"
		}
		return first(b.BTF)
	}}
}

// inModules reads the modules' own types of an essential name.
func inModules(name string) read {
	return read{"modules' " + name, func(l *Lens) string {
		var s strings.Builder
		l.ModuleTypes(name, func(module string, t btfinfo.Type) bool {
			fmt.Fprint(&s, module, " ")
			shown(&s, l.BTF(), t.ID(), 1)
			s.WriteString("\n")
			return true
		})
		return s.String()
	}, func(b *Build) string {
		var s strings.Builder
		for _, m := range b.Modules {
			m.BTF.OwnEssential(name, func(t btfinfo.Type) bool {
				if !standsAlone(t) {
					return true
				}
				fmt.Fprint(&s, m.Name, " ")
				shown(&s, m.BTF, t.ID(), 1)
				s.WriteString("\n")
				return true
			})
		}
		return s.String()
	}}
}

func like(kind btfinfo.Kind, prefix string, modules bool) read {
	match := func(name string) bool { return strings.HasPrefix(name, prefix) && len(name)%2 == 0 }
	return read{fmt.Sprint("like ", kind, " ", prefix, modules), func(l *Lens) string {
		return fmt.Sprint(l.HasLike(kind, prefix+"*", prefix, modules, match))
	}, func(b *Build) string {
		found := false
		look := func(x *btfinfo.BTF) {
			for id := x.FirstID(); int(id) < x.NumTypes(); id++ {
				t := x.Type(id)
				found = found || t.Kind() == kind && t.Name() != "" && match(t.Name())
			}
		}
		if b.BTF != nil {
			look(b.BTF)
		}
		for _, m := range b.Modules {
			if modules {
				look(m.BTF)
			}
		}
		return fmt.Sprint(found)
	}}
}

// tagged reads whether any type of a name has a tag.
func tagged(name, tag string) read {
	return read{"tag " + tag + " of " + name, func(l *Lens) string {
		var s strings.Builder
		fmt.Fprint(&s, l.AnyTagged(tag))
		l.BTF().OwnEssential(name, func(t btfinfo.Type) bool {
			fmt.Fprint(&s, " ", l.Tagged(t, tag))
			return true
		})
		return s.String()
	}, func(b *Build) string {
		if b.BTF == nil {
			return "false"
		}
		any := false
		on := make(map[btfinfo.ID]bool)
		for id := b.BTF.FirstID(); int(id) < b.BTF.NumTypes(); id++ {
			if t := b.BTF.Type(id); t.Kind() == btfinfo.KindDeclTag && t.Name() == tag {
				any = true
				on[t.Ref()] = on[t.Ref()] || t.Component() < 0
			}
		}
		var s strings.Builder
		fmt.Fprint(&s, any)
		b.BTF.OwnEssential(name, func(t btfinfo.Type) bool {
			if !standsAlone(t) {
				return true
			}
			fmt.Fprint(&s, " ", on[t.ID()])
			return true
		})
		return s.String()
	}}
}

// enumsWith reads all enums that have an enumerator of a name: every one of them in BTF, those in other types included.
func enumsWith(name string) read {
	list := func(b *btfinfo.BTF, types func(yield func(btfinfo.Type))) string {
		var list []string
		types(func(t btfinfo.Type) {
			for i := range t.Vlen() {
				if t.Enumerator(i).Name == name {
					var s strings.Builder
					shown(&s, b, t.ID(), 1)
					list = append(list, s.String())
					break
				}
			}
		})
		slices.Sort(list)
		return strings.Join(slices.Compact(list), "\n") // of types without a name one of each is kept
	}
	return read{"enums with " + name, func(l *Lens) string {
		return list(l.BTF(), func(yield func(btfinfo.Type)) { l.EnumsWith(name, yield) })
	}, func(b *Build) string {
		if b.BTF == nil {
			return ""
		}
		return list(b.BTF, func(yield func(btfinfo.Type)) {
			for id := b.BTF.FirstID(); int(id) < b.BTF.NumTypes(); id++ {
				if t := b.BTF.Type(id); t.Kind().IsEnum() {
					yield(t)
				}
			}
		})
	}}
}

func facts(module string) read {
	return read{"facts, module " + module, func(l *Lens) string {
		return fmt.Sprint(l.HasBTF(), l.AllModules(), l.HasModule(module))
	}, func(b *Build) string {
		return fmt.Sprint(b.BTF != nil, b.AllModules && len(b.Modules) > 0, slices.ContainsFunc(b.Modules, func(m Module) bool { return m.Name == module }))
	}}
}

// randomRead picks something to ask, mostly of names that are there.
func randomRead(rng *rand.Rand, names []string) read {
	name := pickName(rng, names)
	if rng.IntN(10) == 0 {
		name += "_none"
	}
	kind := btfinfo.Kind(1 + rng.IntN(int(btfinfo.KindEnum64)))
	if !hasOwnName(kind) {
		kind = btfinfo.KindStruct
	}
	switch rng.IntN(10) {
	case 0, 1:
		return lookup(name)
	case 2:
		return lookup(name, kind)
	case 3:
		return lookup(name, btfinfo.KindEnum, btfinfo.KindEnum64)
	case 4:
		return named(name, kind)
	case 5:
		return inModules(name)
	case 6:
		return like(kind, name[:rng.IntN(len(name)+1)], rng.IntN(2) == 0)
	case 7:
		return enumsWith(pickName(rng, []string{"A", "NEXT", "LEN", "X1", "NONE"}))
	case 8:
		return tagged(name, pickName(rng, []string{"bpf_kfunc", "bpf_fastcall", "tag", "none"}))
	}
	return facts(pickName(rng, []string{"ext4", "nf_tables", "kvm", "none"}))
}

// TestLens asks a Lens about random archives, and the BTF of each kernel, put together, the same. Of every kernel to which
// an answer was narrowed, the BTF has to give the same answer.
func TestLens(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	cases, narrowed, shared := 0, 0, 0
	for c := range 600 {
		rng := rand.New(rand.NewPCG(seed, uint64(c)))
		a := encode(t, randomKernels(rng, 1+rng.IntN(12))...)
		full := make([]*Build, a.Len())
		var names []string
		for i := range full {
			var err error
			if full[i], err = a.Build(i); err != nil {
				t.Fatal(err)
			}
			for _, b := range bothBTF(full[i]) {
				for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
					names = append(names, btfinfo.EssentialName(b.Type(id).Name()))
				}
			}
		}
		slices.Sort(names)
		if names = slices.DeleteFunc(slices.Compact(names), func(s string) bool { return s == "" }); len(names) == 0 {
			continue
		}
		// Who asks numbers kernels otherwise, has others between them, and does not ask about all.
		n := a.Len() + rng.IntN(100)
		places := rng.Perm(n)
		to := make([]int32, a.Len())
		asked := make(map[int]int) // by index of who asks: the archive's
		for i := range to {
			if to[i] = -1; rng.IntN(8) > 0 {
				to[i] = int32(places[i])
				asked[places[i]] = i
			}
		}
		if len(asked) == 0 {
			continue
		}
		join := a.Join(to, n)
		var set Bitmap
		narrow := func(b Bitmap) {
			if len(b) != len(set) {
				t.Fatalf("seed %d, case %d: narrowed to %d words, want %d", seed, c, len(b), len(set))
			}
			for i := range set {
				set[i] &= b[i]
			}
		}
		l := join.NewLens(narrow, func(err error) { t.Fatalf("seed %d, case %d: %v", seed, c, err) })
		order := slices.Sorted(maps.Keys(asked))
		for range 60 {
			r := randomRead(rng, names)
			k := order[rng.IntN(len(order))]
			set = make(Bitmap, (n+63)/64)
			for i := range set {
				set[i] = ^uint64(0)
			}
			l.Enter(k)
			got := r.lens(l)
			if !has(set, k) {
				t.Fatalf("seed %d, case %d: %s: narrowed to kernels without the one that was asked", seed, c, r.what)
			}
			for _, o := range order {
				if !has(set, o) {
					continue
				}
				cases++
				if o != k {
					shared++
				}
				if want := r.full(full[asked[o]]); got != want {
					t.Fatalf("seed %d, case %d: %s: kernel %s, asked by way of %s\n got %s\nwant %s", seed, c, r.what,
						full[asked[o]].ID, full[asked[k]].ID, got, want)
				}
			}
			for o := range n {
				if _, ok := asked[o]; !ok && has(set, o) {
					t.Fatalf("seed %d, case %d: %s: narrowed to a kernel that is not asked", seed, c, r.what)
				}
			}
			narrowed++
		}
		for _, name := range names[:min(len(names), 20)] {
			for _, kind := range []btfinfo.Kind{btfinfo.KindStruct, btfinfo.KindFunc, btfinfo.KindTypedef} {
				have, err := join.Having(kind, name)
				if err != nil {
					t.Fatal(err)
				}
				for o, i := range asked {
					want := full[i].BTF != nil && len(full[i].BTF.Named(name, kind)) > 0
					if has(have, o) != want {
						t.Fatalf("seed %d, case %d: %s has %s %s: %v, want %v", seed, c, full[i].ID, kind, name, has(have, o), want)
					}
				}
			}
		}
	}
	t.Logf("%d reads, %d answers held against BTF, %d of them of kernels that were not asked themselves", narrowed, cases, shared)
	if shared < 1000 {
		t.Errorf("%d answers of kernels that were not asked, want thousands", shared)
	}
}

func bothBTF(b *Build) (out []*btfinfo.BTF) {
	if b.BTF != nil {
		out = append(out, b.BTF)
	}
	for _, m := range b.Modules {
		out = append(out, m.BTF)
	}
	return out
}
