package compat

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// A world is all types of one random kernel and its modules. Worlds change as kernels do from release to release: most of
// it stays, so that the kernels of one case share many definitions.
type world struct {
	types   []worldType // references are indexes; 0 is void
	modules int
	looked  bool // at all modules
}

// worldType is one type. Which fields count depends on its kind.
type worldType struct {
	kind    btfinfo.Kind
	name    string
	home    int // 0 is vmlinux, then modules; -1 is nowhere, unless something refers to it
	size    uint32
	flag    bool // KindFlag
	to      int
	vlen    int // of FUNC its linkage
	extra   uint32
	members []worldMember
	values  []btfinfo.Enumerator
	params  []worldMember
}

type worldMember struct {
	name string
	typ  int
	bits uint32
}

func (w *world) clone() *world {
	c := *w
	c.types = slices.Clone(w.types)
	for i := range c.types {
		t := &c.types[i]
		t.members, t.values, t.params = slices.Clone(t.members), slices.Clone(t.values), slices.Clone(t.params)
	}
	return &c
}

func (w *world) add(t worldType) int {
	w.types = append(w.types, t)
	return len(w.types) - 1
}

// named finds the first type of a kind and name, 0 where there is none.
func (w *world) named(kind btfinfo.Kind, name string) int {
	for i := range w.types {
		if w.types[i].kind == kind && w.types[i].name == name {
			return i
		}
	}
	return 0
}

// firstWorld is a kernel in which the objects find much of what they need.
func firstWorld(objs []*relocate.Object) *world {
	w := &world{types: make([]worldType, 1), modules: 2, looked: true}
	long := w.add(worldType{kind: btfinfo.KindInt, name: "long int", size: 8, extra: 1<<24 | 64})
	w.add(worldType{kind: btfinfo.KindInt, name: "unsigned int", size: 4, extra: 32})
	proto := w.add(worldType{kind: btfinfo.KindFuncProto, to: long, params: []worldMember{{name: "a", typ: long}}})
	ptr := w.add(worldType{kind: btfinfo.KindPtr, to: proto})
	enums := map[string]map[string]uint64{}
	value := func(enum, name string, v uint64) {
		if enums[enum] == nil {
			enums[enum] = map[string]uint64{}
		}
		enums[enum][name] = v
	}
	put := func(kind btfinfo.Kind, name string, to int) {
		if name != "" && w.named(kind, name) == 0 {
			w.add(worldType{kind: kind, name: name, to: to})
		}
	}
	var convert []worldMember
	for _, o := range objs {
		seen := make(map[btfinfo.ID]int)
		for _, n := range o.Needs() {
			switch n.Kind {
			case relocate.NeedField, relocate.NeedType, relocate.NeedEnumValue:
				w.learn(o.BTF, n.Relo.Type, seen)
			case relocate.NeedHelper:
				value("bpf_func_id", "BPF_FUNC_"+n.Name, uint64(n.Value))
			case relocate.NeedMapType:
				value("bpf_map_type", n.Name, uint64(n.Value))
			case relocate.NeedProgType:
				value("bpf_prog_type", n.Name, uint64(len(convert)))
				convert = append(convert, worldMember{name: n.Name + "_prog", typ: long})
			case relocate.NeedAttachType:
				value("bpf_attach_type", n.Name, uint64(len(enums["bpf_attach_type"])))
			case relocate.NeedKfunc:
				f := w.learn(o.BTF, n.Extern.Type, seen)
				put(btfinfo.KindFunc, btfinfo.EssentialName(n.Extern.Name), f)
			case relocate.NeedKsym:
				if n.Extern.Typed {
					put(btfinfo.KindVar, n.Extern.Name, w.learn(o.BTF, n.Extern.Type, seen))
				}
			case relocate.NeedStructOps:
				name := btfinfo.EssentialName(n.Map.StructOps)
				var ms []worldMember
				for _, m := range n.Map.Members {
					ms = append(ms, worldMember{name: m.Name, typ: w.learn(o.BTF, m.Type, seen)})
				}
				if w.named(btfinfo.KindStruct, name) == 0 {
					s := w.add(worldType{kind: btfinfo.KindStruct, name: name, members: ms})
					w.add(worldType{kind: btfinfo.KindStruct, name: "bpf_struct_ops_" + name, members: []worldMember{{name: "data", typ: s}}})
				}
			case relocate.NeedAttachTarget:
				switch sec := n.Programs[0].Sec; sec.Hook {
				case relocate.HookFunction, relocate.HookBTFFunc:
					put(btfinfo.KindFunc, sec.Func, proto)
				case relocate.HookSyscall:
					put(btfinfo.KindFunc, "__x64_sys_"+sec.Func, proto)
				case relocate.HookTracepoint, relocate.HookRawTP, relocate.HookBTFTP:
					put(btfinfo.KindTypedef, "btf_trace_"+sec.Func, ptr)
				case relocate.HookLSM:
					put(btfinfo.KindFunc, "bpf_lsm_"+sec.Func, proto)
				case relocate.HookIter:
					put(btfinfo.KindFunc, "bpf_iter_"+sec.Func, proto)
				}
			}
		}
	}
	for _, name := range []string{"within_error_injection_list", "register_fprobe_ips", "bpf_kprobe_multi_link_attach", "sys_openat"} {
		put(btfinfo.KindFunc, name, proto)
	}
	for _, s := range []worldType{{name: "bpf_ctx_convert", members: convert}, {name: "bpf_prog_aux", members: []worldMember{{name: "xdp_has_frags", typ: long}}},
		{name: "btf_func_model", members: []worldMember{{name: "arg_flags", typ: long}}}, {name: "module", members: []worldMember{{name: "btf_data", typ: ptr}}},
		{name: "ei_entry"}, {name: "syscall_trace_enter"}} {
		if i := w.named(btfinfo.KindStruct, s.name); i != 0 {
			w.types[i].members = append(w.types[i].members, s.members...)
		} else {
			s.kind = btfinfo.KindStruct
			w.add(s)
		}
	}
	for _, enum := range slices.Sorted(maps.Keys(enums)) {
		values := enums[enum]
		i := w.named(btfinfo.KindEnum, enum)
		if i == 0 {
			i = w.add(worldType{kind: btfinfo.KindEnum, name: enum, size: 4})
		}
		for name, v := range values {
			if !slices.ContainsFunc(w.types[i].values, func(e btfinfo.Enumerator) bool { return e.Name == name }) {
				w.types[i].values = append(w.types[i].values, btfinfo.Enumerator{Name: name, Value: v})
			}
		}
		slices.SortFunc(w.types[i].values, func(a, b btfinfo.Enumerator) int { return strings.Compare(a.Name, b.Name) })
	}
	return w
}

// learn takes a type of an object into the kernel, without flavours; of structs of one name the members are put together.
func (w *world) learn(b *btfinfo.BTF, id btfinfo.ID, seen map[btfinfo.ID]int) int {
	if id == 0 {
		return 0
	}
	if i, ok := seen[id]; ok {
		return i
	}
	t := b.Type(id)
	name := btfinfo.EssentialName(t.Name())
	i := 0
	switch t.Kind() {
	case btfinfo.KindStruct, btfinfo.KindUnion, btfinfo.KindEnum, btfinfo.KindEnum64, btfinfo.KindTypedef, btfinfo.KindInt:
		if name != "" {
			i = w.named(t.Kind(), name)
		}
	}
	old := i != 0
	if !old {
		i = w.add(worldType{kind: t.Kind(), name: name, flag: t.KindFlag(), size: t.Size()})
	}
	seen[id] = i
	switch t.Kind() {
	case btfinfo.KindStruct, btfinfo.KindUnion:
		for j := range t.Vlen() {
			m := t.Member(j)
			if m.Name != "" && slices.ContainsFunc(w.types[i].members, func(x worldMember) bool { return x.name == m.Name }) {
				continue
			}
			to := w.learn(b, m.Type, seen)
			if m.Size == 0 && w.types[to].kind.IsComposite() && w.types[to].name != "" { // put together, structs of two objects may hold each other
				if w.types[i].members = append(w.types[i].members, worldMember{m.Name, to, 0}); !w.sound() {
					w.types[i].members[len(w.types[i].members)-1].typ = w.add(worldType{kind: btfinfo.KindPtr, to: to})
				}
				continue
			}
			w.types[i].members = append(w.types[i].members, worldMember{m.Name, to, uint32(m.Size)})
		}
		w.types[i].flag = false // set where a member is a bitfield
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		for j := range t.Vlen() {
			e := t.Enumerator(j)
			e.Name = btfinfo.EssentialName(e.Name)
			if !slices.ContainsFunc(w.types[i].values, func(x btfinfo.Enumerator) bool { return x.Name == e.Name }) {
				w.types[i].values = append(w.types[i].values, e)
			}
		}
	case btfinfo.KindInt:
		n := t.Int()
		enc := uint32(0)
		if n.Signed {
			enc |= btfbuild.Signed
		}
		if n.Char {
			enc |= btfbuild.Char
		}
		if n.Bool {
			enc |= btfbuild.Bool
		}
		w.types[i].extra = enc<<24 | uint32(n.Off)<<16 | uint32(n.Bits)
	case btfinfo.KindFuncProto:
		var ps []worldMember
		for j := range t.Vlen() {
			p := t.Param(j)
			ps = append(ps, worldMember{name: p.Name, typ: w.learn(b, p.Type, seen)})
		}
		to := w.learn(b, t.Ref(), seen)
		w.types[i].params, w.types[i].to = ps, to
	case btfinfo.KindArray:
		a := t.Array()
		to := w.learn(b, a.Elem, seen)
		index := w.learn(b, a.Index, seen)
		w.types[i].to, w.types[i].vlen, w.types[i].extra = to, index, a.Nelems
	default:
		if !old {
			to := w.learn(b, t.Ref(), seen)
			w.types[i].to = to
		}
	}
	return i
}

// sizeOf is the size of a type in bytes, roughly: what has none counts as 8.
func (w *world) sizeOf(i, depth int) uint32 {
	t := &w.types[i]
	switch {
	case depth > 12 || i == 0:
		return 8
	case t.kind == btfinfo.KindArray:
		return min(t.extra, 1<<10) * w.sizeOf(t.to, depth+1)
	case t.kind == btfinfo.KindStruct || t.kind == btfinfo.KindUnion:
		size, _ := w.layout(i, depth+1)
		return size
	case t.size != 0:
		return t.size
	case t.kind == btfinfo.KindTypedef || t.kind.IsModifier():
		return w.sizeOf(t.to, depth+1)
	}
	return 8
}

// layout places the members of a struct or union one behind the other: its size in bytes, and their offsets in bits.
func (w *world) layout(i, depth int) (size uint32, offs []uint32) {
	t := &w.types[i]
	at := uint32(0)
	for _, m := range t.members {
		n := 8 * w.sizeOf(m.typ, depth)
		if m.bits != 0 {
			n = m.bits
		} else {
			at = (at + 7) / 8 * 8
		}
		if t.kind == btfinfo.KindUnion {
			offs = append(offs, 0)
			at = max(at, n)
			continue
		}
		offs = append(offs, at)
		at += n
	}
	return (at + 7) / 8, offs
}

// pick returns the index of a random type that fits, 0 where none does.
func (w *world) pick(rng *rand.Rand, fits func(t *worldType) bool) int {
	var list []int
	for i := 1; i < len(w.types); i++ {
		if fits(&w.types[i]) {
			list = append(list, i)
		}
	}
	if len(list) == 0 {
		return 0
	}
	return list[rng.IntN(len(list))]
}

func ofKind(kinds ...btfinfo.Kind) func(*worldType) bool {
	return func(t *worldType) bool { return slices.Contains(kinds, t.kind) }
}

func isNamed(t *worldType) bool { return t.name != "" && t.home >= 0 }

// change makes one random change, as kernels see them and as they don't; false where nothing sound came of it.
func (w *world) change(rng *rand.Rand) bool {
	composite := w.pick(rng, func(t *worldType) bool { return t.kind.IsComposite() && len(t.members) > 0 })
	member := 0
	if composite != 0 {
		member = rng.IntN(len(w.types[composite].members))
	}
	any := w.pick(rng, isNamed)
	enum := w.pick(rng, func(t *worldType) bool { return t.kind.IsEnum() && len(t.values) > 0 })
	fun := w.pick(rng, ofKind(btfinfo.KindFunc))
	value := w.pick(rng, ofKind(btfinfo.KindInt, btfinfo.KindPtr, btfinfo.KindStruct, btfinfo.KindEnum, btfinfo.KindTypedef, btfinfo.KindArray))
	if composite == 0 || any == 0 || enum == 0 || fun == 0 || value == 0 {
		return false
	}
	s := &w.types[composite]
	m := &s.members[member]
	switch rng.IntN(30) {
	case 0: // something in front
		s.members = slices.Insert(s.members, rng.IntN(len(s.members)+1), worldMember{name: fmt.Sprint("pad", rng.IntN(4)), typ: w.named(btfinfo.KindInt, "long int")})
	case 1:
		s.members = slices.Delete(s.members, member, member+1)
	case 2:
		m.name = "__" + m.name
	case 3:
		m.typ, m.bits = value, 0
	case 4: // into an anonymous struct or union
		n := 1 + rng.IntN(len(s.members)-member)
		inner := w.add(worldType{kind: []btfinfo.Kind{btfinfo.KindStruct, btfinfo.KindUnion}[rng.IntN(2)], home: -1, members: slices.Clone(s.members[member : member+n])})
		s = &w.types[composite]
		s.members = slices.Replace(s.members, member, member+n, worldMember{typ: inner})
		if rng.IntN(3) == 0 {
			s.members[member].name = "named"
		}
	case 5: // out of one
		if in := w.types[m.typ]; m.name == "" && in.kind.IsComposite() {
			s.members = slices.Replace(s.members, member, member+1, in.members...)
		}
	case 6:
		i := rng.IntN(len(s.members))
		s.members[i], s.members[member] = s.members[member], s.members[i]
	case 7: // a bitfield, or none any more
		if k := w.types[m.typ].kind; k == btfinfo.KindInt || k.IsEnum() {
			if m.bits = uint32(1 + rng.IntN(12)); rng.IntN(2) == 0 {
				m.bits = 0
			}
		}
	case 8: // another integer
		if i := w.pick(rng, ofKind(btfinfo.KindInt)); w.types[m.typ].kind == btfinfo.KindInt {
			m.typ, m.bits = i, 0
		}
	case 9:
		w.types[any].name += []string{"2", "___v2", "_old"}[rng.IntN(3)]
	case 10:
		w.types[any].home = -1
	case 11, 27, 28: // a second one of the name, perhaps another
		t := w.types[any]
		if s.name != "" && rng.IntN(3) > 0 {
			t = *s
		}
		t.members, t.values, t.params = slices.Clone(t.members), slices.Clone(t.values), slices.Clone(t.params)
		switch {
		case len(t.members) > 1 && rng.IntN(2) == 0:
			i := rng.IntN(len(t.members))
			t.members = slices.Delete(t.members, i, i+1)
		case len(t.members) > 0:
			t.members = append([]worldMember{{name: "before", typ: w.named(btfinfo.KindInt, "long int")}}, t.members...)
		case len(t.values) > 0:
			t.values[rng.IntN(len(t.values))].Value++
		}
		if rng.IntN(3) == 0 {
			t.home = rng.IntN(w.modules + 1)
		}
		w.add(t)
	case 12: // struct and union, enum and 64-bit enum
		switch s.kind {
		case btfinfo.KindStruct:
			s.kind = btfinfo.KindUnion
		default:
			s.kind = btfinfo.KindStruct
		}
	case 13:
		e := &w.types[enum]
		if e.kind == btfinfo.KindEnum {
			e.kind, e.size = btfinfo.KindEnum64, 8
		} else {
			e.kind, e.size = btfinfo.KindEnum, 4
		}
	case 14: // a typedef of an anonymous struct
		if s.name != "" {
			inner := *s
			inner.name, inner.home = "", -1
			inner.members = slices.Clone(s.members)
			i := w.add(inner)
			w.types[composite] = worldType{kind: btfinfo.KindTypedef, name: w.types[composite].name, home: w.types[composite].home, to: i}
		}
	case 15: // only declared
		if s.name != "" {
			w.types[composite] = worldType{kind: btfinfo.KindFwd, name: s.name, home: s.home, flag: s.kind == btfinfo.KindUnion}
		}
	case 16:
		e := &w.types[enum]
		i := rng.IntN(len(e.values))
		e.values = slices.Delete(e.values, i, i+1)
	case 29: // an enumerator, into an enum without a name that a member is of
		e := w.types[enum]
		i := rng.IntN(len(e.values))
		inner := w.add(worldType{kind: e.kind, home: -1, size: e.size, values: []btfinfo.Enumerator{e.values[i]}})
		if rng.IntN(2) == 0 {
			w.types[enum].values = slices.Delete(e.values, i, i+1)
		}
		w.types[composite].members = append(w.types[composite].members, worldMember{name: fmt.Sprint("kind", rng.IntN(3)), typ: inner})
	case 17:
		e := &w.types[enum]
		e.values[rng.IntN(len(e.values))].Value += uint64(rng.IntN(3))
	case 18:
		e := &w.types[enum]
		e.values = append(e.values, btfinfo.Enumerator{Name: fmt.Sprint("NEW_", rng.IntN(3)), Value: uint64(rng.IntN(300))})
	case 19: // another prototype
		p := w.types[w.types[fun].to]
		if p.kind == btfinfo.KindFuncProto {
			p.params = append(slices.Clone(p.params), worldMember{name: "more", typ: value})
			if rng.IntN(4) == 0 {
				p.params = append(p.params, worldMember{})
			}
			w.types[fun].to = w.add(p)
		}
	case 20:
		w.add(worldType{kind: btfinfo.KindDeclTag, name: "bpf_kfunc", home: w.types[fun].home, to: fun, extra: ^uint32(0)})
	case 21: // to a module, or back
		w.types[any].home = rng.IntN(w.modules + 1)
	case 22:
		w.modules = rng.IntN(4)
		w.looked = rng.IntN(2) == 0 // else there are more that were not seen
	case 23: // a struct by value
		if p := w.types[w.types[fun].to]; p.kind == btfinfo.KindFuncProto && len(p.params) > 0 {
			p.params = slices.Clone(p.params)
			p.params[rng.IntN(len(p.params))].typ = composite
			w.types[fun].to = w.add(p)
		}
	case 24:
		w.types[fun].vlen = rng.IntN(2)
	case 25: // a tag of another kind, and one on a member
		name := []string{"other", "bpf_kfunc"}[rng.IntN(2)]
		w.add(worldType{kind: btfinfo.KindDeclTag, name: name, home: s.home, to: composite, extra: uint32(rng.IntN(2)) - 1})
	case 26: // 32 bits, or 64 again
		for i := range w.types {
			// All at once: which of several says what a pointer has depends on ids, which an archive does not keep.
			if t := &w.types[i]; t.kind == btfinfo.KindInt && strings.Contains(t.name, "long") && !strings.Contains(t.name, "long long") {
				t.size = 12 - t.size
				t.extra = t.extra&^0xff | 8*t.size
			}
		}
	}
	return w.sound()
}

// sound tells whether no type holds itself by value, nor leads back to itself over types without names: C has neither.
func (w *world) sound() bool {
	for _, follows := range []func(t *worldType) bool{
		func(t *worldType) bool {
			return t.kind.IsComposite() || t.kind == btfinfo.KindArray || t.kind == btfinfo.KindTypedef || t.kind.IsModifier()
		},
		func(t *worldType) bool { return t.name == "" || t.kind == btfinfo.KindTypedef },
	} {
		state := make([]int8, len(w.types)) // 1: on the way, 2: done
		var visit func(i int) bool
		visit = func(i int) bool {
			if i == 0 || state[i] == 2 || !follows(&w.types[i]) {
				return true
			}
			if state[i] == 1 {
				return false
			}
			state[i] = 1
			ok := true
			w.types[i].refs(func(r *int) { ok = ok && visit(*r) })
			state[i] = 2
			return ok
		}
		for i := range w.types {
			if !visit(i) {
				return false
			}
		}
	}
	return true
}

// refs calls f with every reference of a type.
func (t *worldType) refs(f func(i *int)) {
	f(&t.to)
	if t.kind == btfinfo.KindArray {
		f(&t.vlen)
	}
	for i := range t.members {
		f(&t.members[i].typ)
	}
	for i := range t.params {
		f(&t.params[i].typ)
	}
}

// emission writes one BTF of a world after the other.
type emission struct {
	w   *world
	ids map[int]btfbuild.ID // of vmlinux, and then of the module at hand as well
}

// build writes the world as a kernel's BTF, its types in a random order.
func (w *world) build(t testing.TB, rng *rand.Rand, order binary.ByteOrder) (*btfinfo.BTF, []kernels.Module) {
	t.Helper()
	w = w.clone()
	e := &emission{w: w, ids: map[int]btfbuild.ID{0: 0}}
	base := btfbuild.New()
	e.emit(base, rng, 0)
	vmlinux, err := btfinfo.Parse(base.Bytes(order))
	if err != nil {
		t.Fatal(err)
	}
	var modules []kernels.Module
	known := e.ids
	for m := 1; m <= w.modules; m++ {
		e.ids = make(map[int]btfbuild.ID, len(known))
		for i, id := range known {
			e.ids[i] = id
		}
		split := btfbuild.NewSplit(base)
		e.emit(split, rng, m)
		own, err := btfinfo.ParseSplit(split.Bytes(order), vmlinux)
		if err != nil {
			t.Fatal(err)
		}
		modules = append(modules, kernels.Module{Name: fmt.Sprint("mod_", m), BTF: own})
	}
	return vmlinux, modules
}

// emit writes the types that are at home in one BTF, and what they refer to.
func (e *emission) emit(b *btfbuild.Builder, rng *rand.Rand, home int) {
	var list []int
	var visit func(i int)
	chosen := make(map[int]bool)
	visit = func(i int) {
		if _, ok := e.ids[i]; ok || chosen[i] {
			return
		}
		chosen[i] = true
		t := &e.w.types[i]
		t.refs(func(r *int) {
			// vmlinux only knows the name of what a module has.
			if x := e.w.types[*r]; home == 0 && x.home > 0 && x.kind.IsComposite() && x.name != "" && t.kind == btfinfo.KindPtr {
				*r = e.w.add(worldType{kind: btfinfo.KindFwd, name: x.name, home: -1, flag: x.kind == btfinfo.KindUnion})
				t = &e.w.types[i]
			}
			visit(*r)
			t = &e.w.types[i]
		})
		list = append(list, i)
	}
	for i, n := 1, len(e.w.types); i < n; i++ {
		if x := &e.w.types[i]; x.home == home && (x.name != "" || x.kind == btfinfo.KindDeclTag) {
			visit(i)
		}
	}
	// Types of one name and kind may trade places, since their order counts. That of a type and its flavours an archive
	// does not keep.
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	family := make(map[string][]int) // places in list by essential name
	for at, i := range list {
		if name := e.w.types[i].name; name != "" {
			family[btfinfo.EssentialName(name)] = append(family[btfinfo.EssentialName(name)], at)
		}
	}
	for _, places := range family {
		var types []int
		for _, at := range places {
			types = append(types, list[at])
		}
		slices.SortStableFunc(types, func(i, j int) int {
			a, b := &e.w.types[i], &e.w.types[j]
			return cmp.Or(strings.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
		})
		for n, at := range places {
			list[at] = types[n]
		}
	}
	for n, i := range list {
		e.ids[i] = b.NextID() + btfbuild.ID(n)
	}
	for _, i := range list {
		e.write(b, i)
	}
}

func (e *emission) write(b *btfbuild.Builder, i int) {
	t := &e.w.types[i]
	id := func(i int) uint32 { return e.ids[i] }
	switch t.kind {
	case btfinfo.KindInt:
		b.Add(btfbuild.KindInt, false, t.name, 0, t.size, t.extra)
	case btfinfo.KindStruct, btfinfo.KindUnion:
		size, offs := e.w.layout(i, 0)
		var ms []btfbuild.Member
		for j, m := range t.members {
			ms = append(ms, btfbuild.Member{Name: m.name, Type: id(m.typ), Off: offs[j], Bits: m.bits})
		}
		if t.kind == btfinfo.KindStruct {
			b.Struct(t.name, size, ms...)
		} else {
			b.Union(t.name, size, ms...)
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		var vs []btfbuild.Value
		for _, v := range t.values {
			vs = append(vs, btfbuild.Value{Name: v.Name, Value: int64(v.Value)})
		}
		if t.kind == btfinfo.KindEnum {
			b.Enum(t.name, max(t.size, 1), vs...)
		} else {
			b.Enum64(t.name, 8, t.flag, vs...)
		}
	case btfinfo.KindFuncProto:
		var ps []btfbuild.Param
		for _, p := range t.params {
			ps = append(ps, btfbuild.Param{Name: p.name, Type: id(p.typ)})
		}
		b.FuncProto(id(t.to), ps...)
	case btfinfo.KindArray:
		b.Array(id(t.to), id(t.vlen), t.extra)
	case btfinfo.KindVar:
		b.Var(t.name, id(t.to), 1)
	case btfinfo.KindDeclTag:
		b.Add(btfbuild.KindDeclTag, false, t.name, 0, id(t.to), t.extra)
	case btfinfo.KindFwd:
		b.Fwd(t.name, t.flag)
	case btfinfo.KindFloat:
		b.Float(t.name, t.size)
	default:
		b.Add(int(t.kind), false, t.name, t.vlen, id(t.to))
	}
}
