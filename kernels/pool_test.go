package kernels

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// twins is a source that answers for all kernels with the same BTF at once.
type twins struct{ name string }

func (s *twins) join(p *Pool, set Set) answers { return &twinAnswers{p, set} }

type twinAnswers struct {
	pool *Pool
	set  Set
}

func (a *twinAnswers) asker(narrow func(Set)) asker {
	return &twinAsker{looseAsker: looseAsker{pool: a.pool, cur: -1, self: NewSet(len(a.pool.kernels)), depend: func(Set) {}}, twins: a, depend: narrow}
}

func (a *twinAnswers) modulesHaving(btfinfo.Kind, string) []string { return nil }
func (a *twinAnswers) havingModule(string) Set                     { return nil }

func (a *twinAnswers) having(kind btfinfo.Kind, name string) Set {
	s := NewSet(len(a.pool.kernels))
	a.set.Each(func(k int) {
		if b, _, err := a.pool.kernels[k].Load(); err == nil && len(b.Named(name, kind)) > 0 {
			s.Add(k)
		}
	})
	return s
}

// twinAsker tells the kernels with the same BTF apart from the others at each read of BTF, and those with modules from
// those without.
type twinAsker struct {
	looseAsker
	twins  *twinAnswers
	depend func(Set)
}

func (a *twinAsker) same(f func(*btfinfo.BTF, []Module) bool) {
	s := NewSet(len(a.pool.kernels))
	a.twins.set.Each(func(k int) {
		if b, mods, err := a.pool.kernels[k].Load(); err == nil && f(b, mods) {
			s.Add(k)
		}
	})
	a.depend(s)
}

func (a *twinAsker) btf() *btfinfo.BTF {
	a.same(func(b *btfinfo.BTF, _ []Module) bool { return b == a.vmlinux })
	return a.looseAsker.btf()
}

func (a *twinAsker) hasModules() bool {
	a.same(func(_ *btfinfo.BTF, mods []Module) bool { return len(mods) > 0 == (len(a.modules) > 0) })
	return a.looseAsker.hasModules()
}

// shape is a kernel's BTF that can be told by the size of struct s.
func shape(t testing.TB, size uint32) *btfinfo.BTF {
	t.Helper()
	b := btfbuild.New()
	b.Struct("s", size)
	parsed, err := btfinfo.Parse(b.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func sizeOfS(v *View) uint32 {
	ids := v.BTF().Named("s", btfinfo.KindStruct)
	return v.BTF().Type(ids[0]).Size()
}

// testPool has ten kernels of three sources: 0 to 3 of one archive with shapes 8 8 16 8, 4 to 7 of another with shapes 8 24
// 24 8, 8 and 9 loose ones with shapes 8 and 16.
func testPool(t testing.TB) *Pool {
	t.Helper()
	shapes := map[uint32]*btfinfo.BTF{8: shape(t, 8), 16: shape(t, 16), 24: shape(t, 24)}
	one, two := &twins{"one"}, &twins{"two"}
	var ks []*Kernel
	for i, x := range []struct {
		size uint32
		src  source
	}{{8, one}, {8, one}, {16, one}, {8, one}, {8, two}, {24, two}, {24, two}, {8, two}, {8, nil}, {16, nil}} {
		k := New(fmt.Sprintf("test/1/x86_64/k%d", i), Version{Major: 5, Minor: i / 5}, shapes[x.size])
		k.source = x.src
		ks = append(ks, k)
	}
	return NewPool(ks)
}

func members(s Set) (out []int) {
	s.Each(func(i int) { out = append(out, i) })
	return out
}

// classes asks f of all kernels, and returns what it said with the classes.
func classes[T any](v *View, f func() T) (out []string) {
	var got T
	v.Classes(Full(len(v.pool.kernels)), func() { got = f() }, func(class Set) {
		out = append(out, fmt.Sprintf("%v%v", got, members(class)))
	})
	return out
}

func TestClasses(t *testing.T) {
	t.Parallel()
	p := testPool(t)
	v := p.NewView()
	minor := func() string {
		return v.By("minor", func(k *Kernel) string { return strconv.Itoa(k.Version.Minor) })
	}
	for _, tt := range []struct {
		name string
		ask  func() any
		want []string
	}{
		{"nothing is read", func() any { return "x" }, []string{"x[0 1 2 3 4 5 6 7 8 9]"}},
		{"the version only", func() any { return minor() }, []string{"0[0 1 2 3 4]", "1[5 6 7 8 9]"}},
		{"BTF", func() any { return sizeOfS(v) }, []string{"8[0 1 3]", "16[2]", "8[4 7]", "24[5 6]", "8[8]", "16[9]"}},
		{"one depends on the other", func() any {
			if minor() == "0" {
				return 0
			}
			return sizeOfS(v)
		}, []string{"0[0 1 2 3 4]", "24[5 6]", "8[7]", "8[8]", "16[9]"}},
		{"both", func() any { return fmt.Sprintf("%v %v", minor(), sizeOfS(v)) }, []string{"0 8[0 1 3]", "0 16[2]", "0 8[4]", "1 24[5 6]", "1 8[7]", "1 8[8]", "1 16[9]"}},
	} {
		// Kernels are asked anew by each question, so the order of questions is of no matter.
		for range 2 {
			if got := classes(v, tt.ask); !slices.Equal(got, tt.want) {
				t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
			}
		}
	}
	having, known := p.Having(btfinfo.KindStruct, "s")
	if fmt.Sprint(members(having), members(known)) != "[0 1 2 3 4 5 6 7] [0 1 2 3 4 5 6 7]" {
		t.Errorf("having s: %v of %v", members(having), members(known))
	}
	var parts []string
	for _, s := range p.Parts() {
		parts = append(parts, fmt.Sprint(members(s)))
	}
	if want := []string{"[0 1 2 3]", "[4 5 6 7]", "[8]", "[9]"}; !slices.Equal(parts, want) {
		t.Errorf("parts: %v, want %v", parts, want)
	}
}

// A memo computes once per class, whoever asks, and what asks it depends on what it read.
func TestMemo(t *testing.T) {
	t.Parallel()
	v := testPool(t).NewView()
	var sizes, sums Memo[uint32]
	computed := 0
	size := func() uint32 {
		return sizes.Get(v, func() uint32 {
			computed++
			return sizeOfS(v)
		})
	}
	sum := func() uint32 {
		return sums.Get(v, func() uint32 { return size() + uint32(len(v.By("", func(*Kernel) string { return "x" }))) })
	}
	want := []string{"9[0 1 3]", "17[2]", "9[4 7]", "25[5 6]", "9[8]", "17[9]"}
	for range 2 {
		if got := classes(v, sum); !slices.Equal(got, want) {
			t.Errorf("sums: %v, want %v", got, want)
		}
	}
	if got, want := classes(v, size), []string{"8[0 1 3]", "16[2]", "8[4 7]", "24[5 6]", "8[8]", "16[9]"}; !slices.Equal(got, want) {
		t.Errorf("sizes: %v, want %v", got, want)
	}
	if computed != 6 {
		t.Errorf("computed %d times, want 6", computed)
	}
}

// A question inside a question leaves the outer one as it was.
func TestNestedClasses(t *testing.T) {
	t.Parallel()
	v := testPool(t).NewView()
	var inner []string
	got := classes(v, func() uint32 {
		inner = classes(v, func() uint32 { return sizeOfS(v) })
		return sizeOfS(v)
	})
	if want := []string{"8[0 1 3]", "16[2]", "8[4 7]", "24[5 6]", "8[8]", "16[9]"}; !slices.Equal(got, want) || !slices.Equal(inner, want) {
		t.Errorf("%v, inside %v, want %v", got, inner, want)
	}
}

// A kernel that can't be read has an error, and the others are asked all the same: also where a read fails midway.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	p := testPool(t)
	bad := errors.New("no such file")
	for _, k := range []int{0, 8} {
		p.kernels[k].load = func() (*btfinfo.BTF, []Module, error) { return nil, nil, bad }
	}
	v := p.NewView()
	var memo Memo[uint32]
	ask := func() uint32 {
		return memo.Get(v, func() uint32 {
			if v.Index() == 5 {
				panic(&readError{fmt.Errorf("block 3: %w", bad)})
			}
			return sizeOfS(v)
		})
	}
	for range 2 {
		if got, want := classes(v, ask), []string{"8[1 3]", "16[2]", "8[4 7]", "24[6]", "16[9]"}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		for k := range p.kernels {
			if wrong := k == 0 || k == 5 || k == 8; wrong != errors.Is(v.Err(k), bad) {
				t.Errorf("kernel %d: %v", k, v.Err(k))
			}
		}
	}
}

// A read that is recorded for other kernels than the one that was read is a bug that must not go unnoticed.
func TestWrongRecord(t *testing.T) {
	t.Parallel()
	v := testPool(t).NewView()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	v.Classes(Full(10), func() { v.Depend(NewSet(10)) }, func(Set) {})
}

// Loose kernels answer as their BTF does.
func TestLooseAsker(t *testing.T) {
	t.Parallel()
	b := btfbuild.New()
	i := b.Int("int", 4, btfbuild.Signed)
	proto := b.FuncProto(i)
	f := b.Func("tagged_func", proto, btfbuild.Static)
	b.Func("plain_func", proto, btfbuild.Static)
	b.DeclTag("bpf_kfunc", f, -1)
	base, err := btfinfo.Parse(b.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	split := btfbuild.NewSplit(b)
	g := split.Func("mod_func", proto, btfbuild.Static)
	split.DeclTag("bpf_kfunc", g, -1)
	split.Struct("mod_struct___v2", 4)
	own, err := btfinfo.ParseSplit(split.Bytes(binary.LittleEndian), base)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPool([]*Kernel{New("a/1/x86_64/with", Version{}, base, Module{"mod", own}), New("a/1/x86_64/without", Version{}, base)})
	v := p.NewView()
	ask := func() string {
		s := fmt.Sprint(v.HasModules(), v.HasModule("mod"), v.HasModule("other"), v.HasPrefix(btfinfo.KindFunc, "tagged_"),
			v.HasPrefix(btfinfo.KindFunc, "mod_"), v.HasLike(btfinfo.KindFunc, "mod_*"), v.HasLike(btfinfo.KindFunc, "pl??n_func"),
			v.HasLike(btfinfo.KindStruct, "*"), v.AnyTagged("bpf_kfunc"), v.AnyTagged("other"))
		for _, name := range []string{"tagged_func", "plain_func"} {
			s += fmt.Sprint(" ", v.Tagged(v.BTF().Type(v.BTF().Named(name)[0]), "bpf_kfunc"))
		}
		for _, name := range []string{"mod_func", "mod_struct", "int"} {
			v.ModuleTypes(name, func(module string, t btfinfo.Type) bool {
				s += fmt.Sprint(" ", module, ".", t.Name(), " ", v.Tagged(t, "bpf_kfunc"))
				return true
			})
		}
		return s
	}
	want := []string{
		"true true false true false true true true true false true false mod.mod_func true mod.mod_struct___v2 false[0]",
		"false false false true false false true false true false true false[1]",
	}
	if got := classes(v, ask); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestGlobNames(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		pattern, name string
		want          bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"*", "", true}, {"**", "abc", true}, {"a*", "a", true},
		{"a*c", "abbc", true}, {"a*c", "abcb", false}, {"a?c", "abc", true}, {"a?c", "ac", false}, {"*b*", "abc", true},
		{"*ab", "aab", true}, {"*a*a", "a", false}, {"?", "*", true}, {"a*b?d", "axxbbcd", true}, {"vfs_*", "vfs", false},
	} {
		if got := Glob(tt.pattern, tt.name); got != tt.want {
			t.Errorf("Glob(%q, %q) = %v, want %v", tt.pattern, tt.name, got, tt.want)
		}
	}
}
