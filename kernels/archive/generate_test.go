package archive

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// modelKernel is a kernel as the tests make and change it: types by index, those of modules continue vmlinux's.
type modelKernel struct {
	desc    Kernel
	big     bool
	types   []modelType
	modules []modelModule
	all     bool
	noBTF   bool
}

type modelModule struct {
	name  string
	types []modelType
}

type modelType struct {
	kind    int
	name    string
	flag    bool
	size    uint32
	to      int // index of a type plus 1; 0: void
	index   int // of an array
	extra   uint32
	members []modelMember
}

// modelMember is a member, parameter, enumerator or variable.
type modelMember struct {
	name      string
	to        int
	off, bits uint32
	value     int64
}

func (k *modelKernel) clone() *modelKernel {
	c := *k
	copied := func(list []modelType) []modelType {
		list = slices.Clone(list)
		for i := range list {
			list[i].members = slices.Clone(list[i].members)
		}
		return list
	}
	c.types = copied(k.types)
	c.modules = slices.Clone(k.modules)
	for i := range c.modules {
		c.modules[i].types = copied(k.modules[i].types)
	}
	c.desc.Sources, c.desc.Config, c.desc.Missing = slices.Clone(k.desc.Sources), slices.Clone(k.desc.Config), slices.Clone(k.desc.Missing)
	return &c
}

var modelNames = strings.Fields("task_struct inode file sk_buff page net device list_head int long atomic_t u32 kuid_t spinlock_t bpf_prog ext4_inode nf_conn foo foo___old foo___v2 foo___old___x bar_ bar___ _")

func pickName(rng *rand.Rand, list []string) string { return list[rng.IntN(len(list))] }

// randomType makes type number i of list, which may refer to types before it, and to later ones where no chain without
// names comes of it. base is what a module continues.
func randomType(rng *rand.Rand, base, list []modelType, i int) modelType {
	at := func(j int) *modelType {
		if j < len(base) {
			return &base[j]
		}
		return &list[j-len(base)]
	}
	before := len(base) + i
	earlier := func() int { // plus 1: 0 is void
		if j := rng.IntN(before + 1); j == 0 || at(j-1).kind != btfbuild.KindDeclTag {
			return j
		}
		return 0
	}
	// any is for places where walks stop: a type before, or one with a name anywhere.
	any := func() int {
		j := rng.IntN(len(base) + len(list))
		if j < before && at(j).kind != btfbuild.KindDeclTag || at(j).name != "" && at(j).kind != btfbuild.KindTypeTag && at(j).kind != btfbuild.KindDeclTag {
			return j + 1
		}
		return earlier()
	}
	flat := func() int { // what a pointer may lead to
		j := rng.IntN(len(base) + len(list))
		if t := at(j); j >= before && (t.kind == btfbuild.KindStruct || t.kind == btfbuild.KindUnion) && t.name != "" &&
			!slices.ContainsFunc(t.members, func(m modelMember) bool { return m.name == "" }) {
			return j + 1
		}
		return earlier()
	}
	t := modelType{kind: 1 + rng.IntN(btfbuild.KindEnum64)}
	if rng.IntN(3) == 0 {
		t.kind = btfbuild.KindStruct
	}
	named := rng.IntN(4) > 0
	if named {
		t.name = pickName(rng, modelNames)
	}
	word := func() string { return pickName(rng, strings.Fields("a b next prev len flags refcnt x1 x2 x3 data")) }
	switch t.kind {
	case btfbuild.KindInt:
		t.size, t.extra = uint32(1)<<rng.IntN(5), uint32(rng.IntN(8))<<24|uint32(rng.IntN(8))<<16|uint32(rng.IntN(65))
	case btfbuild.KindFloat:
		t.size = uint32(4 << rng.IntN(3))
	case btfbuild.KindPtr, btfbuild.KindConst, btfbuild.KindVolatile, btfbuild.KindRestrict:
		t.name, t.to = "", flat()
	case btfbuild.KindTypedef:
		t.name, t.to = pickName(rng, modelNames), earlier()
	case btfbuild.KindTypeTag:
		t.name, t.to, t.flag = pickName(rng, []string{"user", "rcu", "percpu"}), earlier(), rng.IntN(4) == 0
	case btfbuild.KindDeclTag:
		t.name, t.to, t.extra, t.flag = pickName(rng, []string{"bpf_kfunc", "bpf_fastcall", "tag"}), earlier(), uint32(rng.IntN(4)-1), rng.IntN(4) == 0
		if at := t.to; at == 0 {
			t.kind, t.name, t.flag = btfbuild.KindPtr, "", false
		}
	case btfbuild.KindArray:
		t.name, t.to, t.index, t.extra = "", earlier(), any(), uint32(rng.IntN(5))
	case btfbuild.KindStruct, btfbuild.KindUnion:
		t.size, t.flag = uint32(rng.IntN(200)), rng.IntN(4) == 0
		for range rng.IntN(6) {
			m := modelMember{name: word(), off: uint32(8 * rng.IntN(100))}
			if rng.IntN(4) == 0 {
				m.off = uint32(rng.IntN(1 << 12))
			}
			if t.flag {
				m.bits = uint32(rng.IntN(20))
			}
			if m.to = any(); rng.IntN(5) == 0 {
				m.name, m.to = "", earlier()
			}
			t.members = append(t.members, m)
		}
	case btfbuild.KindEnum, btfbuild.KindEnum64:
		t.size, t.flag = uint32(1)<<rng.IntN(4), rng.IntN(2) == 0
		for range rng.IntN(5) {
			v := int64(rng.Int32())
			if t.kind == btfbuild.KindEnum64 {
				v = int64(rng.Uint64())
			} else if t.flag {
				v = -v
			}
			t.members = append(t.members, modelMember{name: strings.ToUpper(word()), value: v})
		}
	case btfbuild.KindFwd:
		t.name, t.flag = pickName(rng, modelNames), rng.IntN(2) == 0
	case btfbuild.KindFunc:
		t.name, t.to, t.extra = "f_"+pickName(rng, modelNames), earlier(), uint32(rng.IntN(3))
	case btfbuild.KindFuncProto:
		t.name, t.to = "", any()
		for range rng.IntN(4) {
			t.members = append(t.members, modelMember{name: word(), to: any()})
		}
	case btfbuild.KindVar:
		t.name, t.to, t.extra = "v_"+pickName(rng, modelNames), any(), uint32(rng.IntN(3))
	case btfbuild.KindDatasec:
		t.name, t.size = "."+pickName(rng, []string{"data", "bss", "percpu"}), uint32(rng.IntN(999))
		for range rng.IntN(3) {
			t.members = append(t.members, modelMember{to: any(), off: uint32(rng.IntN(99)), value: int64(rng.IntN(16))})
		}
	}
	return t
}

func randomTypes(rng *rand.Rand, base []modelType, n int) []modelType {
	list := make([]modelType, n)
	for i := range list { // those behind are void until they are made: their kind 0 is not referred to
		list[i] = randomType(rng, base, list, i)
	}
	return list
}

// change edits a random type, in place: as compilers and patches do, a member more, another offset, another name.
func (k *modelKernel) change(rng *rand.Rand) {
	list, base := k.types, []modelType(nil)
	if len(k.modules) > 0 && rng.IntN(4) == 0 {
		list, base = k.modules[rng.IntN(len(k.modules))].types, k.types
	}
	if len(list) == 0 {
		return
	}
	i := rng.IntN(len(list))
	t := &list[i]
	switch rng.IntN(6) {
	case 0:
		t.size++
	case 1:
		if len(t.members) > 0 {
			j := rng.IntN(len(t.members))
			t.members = slices.Delete(t.members, j, j+1)
		}
	case 2:
		if t.name != "" && t.kind != btfbuild.KindTypeTag && t.kind != btfbuild.KindDeclTag {
			t.name = pickName(rng, modelNames)
		}
	case 3:
		if len(t.members) > 0 && t.members[0].name != "" {
			t.members[0].name += "2"
		}
	case 4:
		if len(t.members) > 0 {
			t.members[len(t.members)-1].off += 8
			t.members[len(t.members)-1].value++
		}
	case 5:
		// Something else stands there. What follows may refer to it: only a struct with plain members can't do harm.
		n := modelType{kind: btfbuild.KindStruct, name: pickName(rng, modelNames), size: uint32(rng.IntN(99))}
		if rng.IntN(2) == 0 && t.kind != btfbuild.KindStruct {
			n = modelType{kind: btfbuild.KindInt, name: pickName(rng, modelNames), size: 4, extra: 32}
		}
		*t = n
	}
	_ = base
}

// write puts a list of types into a builder.
func writeModel(b *btfbuild.Builder, list []modelType) {
	for i := range list {
		t := &list[i]
		n := len(t.members)
		var extra []uint32
		size := uint32(t.to)
		switch t.kind {
		case btfbuild.KindInt:
			size, extra = t.size, []uint32{t.extra}
		case btfbuild.KindFloat, btfbuild.KindFwd:
			size, n = t.size, 0
		case btfbuild.KindArray:
			size, extra = 0, []uint32{uint32(t.to), uint32(t.index), t.extra}
		case btfbuild.KindStruct, btfbuild.KindUnion:
			size = t.size
			for _, m := range t.members {
				extra = append(extra, b.Str(m.name), uint32(m.to), m.bits<<24|m.off)
			}
		case btfbuild.KindEnum:
			size = t.size
			for _, m := range t.members {
				extra = append(extra, b.Str(m.name), uint32(m.value))
			}
		case btfbuild.KindEnum64:
			size = t.size
			for _, m := range t.members {
				extra = append(extra, b.Str(m.name), uint32(m.value), uint32(m.value>>32))
			}
		case btfbuild.KindFunc:
			n = int(t.extra)
		case btfbuild.KindFuncProto:
			for _, m := range t.members {
				extra = append(extra, b.Str(m.name), uint32(m.to))
			}
		case btfbuild.KindVar, btfbuild.KindDeclTag:
			extra = []uint32{t.extra}
		case btfbuild.KindDatasec:
			size = t.size
			for _, m := range t.members {
				extra = append(extra, uint32(m.to), m.off, uint32(m.value))
			}
		}
		b.Add(t.kind, t.flag, t.name, n, size, extra...)
	}
}

// build makes what is added to an archive. ok is false where the random types make no BTF: a chain of anonymous structs
// that is too long, say.
func (k *modelKernel) build() (b *Build, ok bool) {
	b = &Build{Kernel: k.desc, ModulesRead: len(k.modules) > 0 || k.all, AllModules: k.all}
	if k.noBTF {
		b.NoBTF, b.ModulesRead, b.AllModules = "its image has no .BTF section", false, false
		return b, true
	}
	var order binary.ByteOrder = binary.LittleEndian
	if k.big {
		order = binary.BigEndian
	}
	base := btfbuild.New()
	writeModel(base, k.types)
	var err error
	if b.BTF, err = btfinfo.Parse(base.Bytes(order)); err != nil {
		return nil, false
	}
	for _, m := range k.modules {
		s := btfbuild.NewSplit(base)
		writeModel(s, m.types)
		btf, err := btfinfo.ParseSplit(s.Bytes(order), b.BTF)
		if err != nil {
			return nil, false
		}
		b.Modules = append(b.Modules, Module{m.name, btf})
	}
	return b, true
}

// describe gives kernel number i an ID and facts.
func describe(rng *rand.Rand, i int) Kernel {
	distro, release, arch := pickName(rng, []string{"debian", "ubuntu"}), fmt.Sprint(10+rng.IntN(3)), pickName(rng, []string{"x86_64", "arm64"})
	k := Kernel{Distro: distro, Release: release, Arch: arch, Uname: fmt.Sprintf("%d.%d.0-%d-cloud", 4+rng.IntN(3), rng.IntN(12), i)}
	k.ID = strings.Join([]string{k.Distro, k.Release, k.Arch, k.Uname}, "/")
	if rng.IntN(2) == 0 {
		k.Version, k.VersionFrom, k.Package, k.PackageVersion = "5.10.1", "banner", "linux-image-x", "5.10.1-1"
		k.Sources = []Source{{"a.deb", strings.Repeat("0a", 32), "2026-01-02"}, {URI: "b.deb"}}
		k.Pahole, k.Compiler = "1.24", "gcc-12"
		k.Config = []string{"CONFIG_BPF=y", "CONFIG_DEBUG_INFO_BTF=y"}
		k.Missing = []Missing{{"modules", "the package is gone"}}
	}
	return k
}

// randomKernels makes related kernels: a first one, and others that differ by some edits.
func randomKernels(rng *rand.Rand, n int) []*Build {
	var out []*Build
	var last *modelKernel
	for len(out) < n {
		k := &modelKernel{}
		if last == nil || rng.IntN(8) == 0 {
			k.types = randomTypes(rng, nil, rng.IntN(60))
			for i := range rng.IntN(3) {
				k.modules = append(k.modules, modelModule{[]string{"ext4", "nf_tables", "kvm"}[i], randomTypes(rng, k.types, rng.IntN(12))})
			}
			k.all = rng.IntN(2) == 0
			k.big = rng.IntN(5) == 0
		} else {
			k = last.clone()
			for range rng.IntN(6) {
				k.change(rng)
			}
			if rng.IntN(6) == 0 && len(k.modules) > 0 {
				k.modules = k.modules[1:]
			}
			if rng.IntN(6) == 0 {
				k.all = !k.all
			}
		}
		k.desc = describe(rng, len(out))
		k.noBTF = rng.IntN(12) == 0
		if b, ok := k.build(); ok {
			if _, err := NewWriter().Add(b); err != nil {
				continue // types without names that hold each other
			}
			out = append(out, b)
			k.noBTF = false
			last = k
		}
	}
	return out
}

// encode writes kernels to an archive and opens it.
func encode(t testing.TB, list ...*Build) *Archive {
	t.Helper()
	a, err := OpenBytes("test.ccar", encodeBytes(t, list...))
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func encodeBytes(t testing.TB, list ...*Build) []byte {
	t.Helper()
	w := NewWriter()
	for _, b := range list {
		if _, err := w.Add(b); err != nil {
			t.Fatal(err)
		}
	}
	data, err := w.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// renderer writes types as text, through nothing but the accessors of btfinfo. It numbers types of one name, and knows of
// tags, once it has learned of a BTF.
type renderer struct {
	ords map[*btfinfo.BTF]map[btfinfo.ID]int
	tags map[*btfinfo.BTF]map[btfinfo.ID][]string
}

// learn numbers the types of one kind and name of a BTF, and finds its tags.
func (r *renderer) learn(b *btfinfo.BTF) {
	if r.ords == nil {
		r.ords, r.tags = make(map[*btfinfo.BTF]map[btfinfo.ID]int), make(map[*btfinfo.BTF]map[btfinfo.ID][]string)
	}
	if r.ords[b] != nil {
		return
	}
	ords, tags, seen := make(map[btfinfo.ID]int), make(map[btfinfo.ID][]string), make(map[string]int)
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		t := b.Type(id)
		if t.Kind() == btfinfo.KindDeclTag {
			tags[t.Ref()] = append(tags[t.Ref()], fmt.Sprint(t.Name(), t.KindFlag(), t.Component()))
			continue
		}
		key := t.Kind().String() + " " + t.Name()
		ords[id] = seen[key]
		seen[key]++
	}
	for id := range tags {
		slices.Sort(tags[id])
	}
	r.ords[b], r.tags[b] = ords, tags
}

// standsAlone tells types that others refer to by name.
func standsAlone(t btfinfo.Type) bool {
	return t.Name() != "" && t.Kind() != btfinfo.KindTypeTag && t.Kind() != btfinfo.KindDeclTag
}

// ref writes a type as others see it: named ones by home, kind, name and number, others in whole.
func (r *renderer) ref(s *strings.Builder, b *btfinfo.BTF, id btfinfo.ID) {
	t := b.Type(id)
	if !standsAlone(t) {
		r.body(s, b, id)
		return
	}
	if r.ords == nil { // a Lens has the types of vmlinux and of modules in one BTF
		fmt.Fprintf(s, "<%s %s>", t.Kind(), t.Name())
		return
	}
	home := b
	for id < home.FirstID() {
		home = home.Base()
	}
	where := "module"
	if home.Base() == nil {
		where = "vmlinux"
	}
	r.learn(home)
	fmt.Fprintf(s, "<%s %s %s %d>", where, t.Kind(), t.Name(), r.ords[home][id])
}

// body writes a type itself.
func (r *renderer) body(s *strings.Builder, b *btfinfo.BTF, id btfinfo.ID) {
	t := b.Type(id)
	fmt.Fprintf(s, "%s %q", t.Kind(), t.Name())
	if r.tags != nil {
		home := b
		for id != 0 && id < home.FirstID() {
			home = home.Base()
		}
		if home == b { // a module has its base's types without names, but not their tags
			r.learn(home)
			if tags := r.tags[home][id]; tags != nil {
				fmt.Fprintf(s, " tags %q", tags)
			}
		}
	}
	switch k := t.Kind(); k {
	case btfinfo.KindStruct, btfinfo.KindUnion:
		fmt.Fprintf(s, " %d %v {", t.Size(), t.KindFlag())
		for i := range t.Vlen() {
			m := t.Member(i)
			fmt.Fprintf(s, " %q@%d:%d ", m.Name, m.Off, m.Size)
			r.ref(s, b, m.Type)
		}
		s.WriteString("}")
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		fmt.Fprintf(s, " %d %v {", t.Size(), t.KindFlag())
		for i := range t.Vlen() {
			e := t.Enumerator(i)
			fmt.Fprintf(s, " %q=%d", e.Name, int64(e.Value))
		}
		s.WriteString("}")
	case btfinfo.KindFuncProto:
		s.WriteString("(")
		for i := range t.Vlen() {
			p := t.Param(i)
			fmt.Fprintf(s, "%q ", p.Name)
			r.ref(s, b, p.Type)
		}
		s.WriteString(") ")
		r.ref(s, b, t.Ref())
	case btfinfo.KindDatasec:
		fmt.Fprintf(s, " %d {", t.Size())
		for i := range t.Vlen() {
			v := t.Var(i)
			fmt.Fprintf(s, " @%d:%d ", v.Off, v.Size)
			r.ref(s, b, v.Type)
		}
		s.WriteString("}")
	case btfinfo.KindArray:
		a := t.Array()
		fmt.Fprintf(s, " [%d] ", a.Nelems)
		r.ref(s, b, a.Elem)
		s.WriteString(" by ")
		r.ref(s, b, a.Index)
	case btfinfo.KindInt:
		fmt.Fprintf(s, " %d %+v", t.Size(), t.Int())
	case btfinfo.KindFloat:
		fmt.Fprintf(s, " %d", t.Size())
	case btfinfo.KindFwd:
		fmt.Fprintf(s, " %v", t.KindFlag())
	case btfinfo.KindVoid:
	default:
		fmt.Fprintf(s, " %d ", t.Linkage())
		if k == btfinfo.KindTypeTag {
			fmt.Fprint(s, t.KindFlag(), " ")
		}
		r.ref(s, b, t.Ref())
	}
}

// everything lists the types of a BTF that have a name, by kind and name and in the order of ids, and those without one
// that nothing refers to.
func (r *renderer) everything(b *btfinfo.BTF) map[string][]string {
	out := make(map[string][]string)
	r.learn(b)
	used := make(map[btfinfo.ID]bool)
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		t := b.Type(id)
		if t.Kind() == btfinfo.KindDeclTag {
			continue
		}
		used[t.Ref()] = true
		used[t.Array().Index] = true
		for i := range t.Vlen() {
			switch t.Kind() {
			case btfinfo.KindStruct, btfinfo.KindUnion:
				used[t.Member(i).Type] = true
			case btfinfo.KindFuncProto:
				used[t.Param(i).Type] = true
			case btfinfo.KindDatasec:
				used[t.Var(i).Type] = true
			}
		}
	}
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		t := b.Type(id)
		root := !used[id] && (t.Kind().IsComposite() || t.Kind().IsEnum())
		if !standsAlone(t) && !root {
			continue
		}
		var s strings.Builder
		r.body(&s, b, id)
		key := t.Kind().String() + " " + t.Name()
		out[key] = append(out[key], s.String())
	}
	for key, list := range out {
		if strings.HasSuffix(key, " ") { // their order and number says nothing
			slices.Sort(list)
			out[key] = slices.Compact(list)
		}
	}
	return out
}
