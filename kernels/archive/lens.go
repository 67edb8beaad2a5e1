package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
)

// Bitmap is a set of kernels by the indices of someone who asks several archives at once; kernels.Set is one.
type Bitmap = []uint64

// Join translates the sets of an archive to the indices of someone who asks. It is safe for concurrent use.
type Join struct {
	a    *Archive
	to   []int32 // by index in the archive; -1: not asked
	from []int32 // by index of who asks; -1: not of this archive
	n    int     // of words of a bitmap
	all  Bitmap  // the kernels of this archive that are asked

	mu   sync.Mutex
	sets map[uint32]Bitmap
}

// Join prepares to ask about some of the archive's kernels. to has, by index in the archive, the index that stands for the
// kernel in bitmaps of n bits, or -1 where it is not asked.
func (a *Archive) Join(to []int32, n int) *Join {
	j := &Join{a: a, to: to, n: (n + 63) / 64, from: make([]int32, n), sets: make(map[uint32]Bitmap)}
	j.all = make(Bitmap, j.n)
	for i := range j.from {
		j.from[i] = -1
	}
	for i, k := range to {
		if k >= 0 {
			j.from[k] = int32(i)
			j.all[k/64] |= 1 << (k % 64)
		}
	}
	return j
}

// bitmap makes a bitmap of a set.
func (j *Join) bitmap(r runs) Bitmap {
	b := make(Bitmap, j.n)
	for i := 0; i < len(r); i += 2 {
		for k := r[i]; k < r[i+1]; k++ {
			if n := j.to[k]; n >= 0 {
				b[n/64] |= 1 << (n % 64)
			}
		}
	}
	return b
}

// set returns the bitmap of a set by its number; it must not be changed.
func (j *Join) set(n uint32) (Bitmap, error) {
	j.mu.Lock()
	b, ok := j.sets[n]
	j.mu.Unlock()
	if ok {
		return b, nil
	}
	r, err := j.a.set(n)
	if err != nil {
		return nil, err
	}
	b = j.bitmap(r)
	j.mu.Lock()
	j.sets[n] = b
	j.mu.Unlock()
	return b, nil
}

// without returns the asked kernels of the archive that are not in b.
func (j *Join) without(b Bitmap) Bitmap {
	out := slices.Clone(j.all)
	for i, w := range b {
		out[i] &^= w
	}
	return out
}

func has(b Bitmap, k int) bool { return b[k/64]>>(k%64)&1 != 0 }

func or(b, o Bitmap) {
	for i, w := range o {
		b[i] |= w
	}
}

func isEmpty(b Bitmap) bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

// Having returns the kernels of which vmlinux has a type of this kind and name.
func (j *Join) Having(kind btfinfo.Kind, name string) (Bitmap, error) {
	out := make(Bitmap, j.n)
	err := j.entries(classOf(kind), btfinfo.EssentialName(name), func(b *block, e *blockEntry) error {
		if e.kind != kind || e.name != name {
			return nil
		}
		return j.presences(b, e, func(p presence, set Bitmap) {
			if p.home == 0 {
				or(out, set)
			}
		})
	})
	return out, err
}

// ModulesHaving names the modules of which any asked kernel's has a type of this kind and name.
func (j *Join) ModulesHaving(kind btfinfo.Kind, name string) (modules []string, err error) {
	err = j.entries(classOf(kind), btfinfo.EssentialName(name), func(b *block, e *blockEntry) error {
		if e.kind != kind || e.name != name {
			return nil
		}
		return j.presences(b, e, func(p presence, set Bitmap) {
			if p.home != 0 && !isEmpty(set) && !slices.Contains(modules, j.a.homes[p.home].name) {
				modules = append(modules, j.a.homes[p.home].name)
			}
		})
	})
	slices.Sort(modules)
	return modules, err
}

// HavingModule returns the asked kernels of which the archive has the BTF of this module.
func (j *Join) HavingModule(name string) Bitmap {
	for _, h := range j.a.homes[1:] {
		if h.name == name {
			return j.bitmap(h.set)
		}
	}
	return make(Bitmap, j.n)
}

// entries calls f with the entries of one class and essential name.
func (j *Join) entries(c class, essential string, f func(*block, *blockEntry) error) error {
	i, ok := j.a.find(c, essential)
	if !ok {
		return nil
	}
	b, err := j.a.block(i)
	if err != nil {
		return err
	}
	n, _ := slices.BinarySearchFunc(b.entries, essential, func(e blockEntry, name string) int { return strings.Compare(btfinfo.EssentialName(e.name), name) })
	for ; n < len(b.entries) && btfinfo.EssentialName(b.entries[n].name) == essential; n++ {
		if err := f(b, &b.entries[n]); err != nil {
			return err
		}
	}
	return nil
}

// presences calls f with all places of an entry's definitions, and the asked kernels that have them there.
func (j *Join) presences(b *block, e *blockEntry, f func(presence, Bitmap)) error {
	s := source{b: e.presence}
	var list []presence
	for range e.variants {
		list = s.presence(list[:0])
		for _, p := range list {
			if int(p.home) >= len(j.a.homes) {
				return b.errorf("%s %q is in module %d, there are %d", e.kind, e.name, p.home, len(j.a.homes)-1)
			}
			set, err := j.set(p.set)
			if err != nil {
				return err
			}
			f(p, set)
		}
	}
	if s.bad {
		return b.errorf("where %s %q is found is damaged", e.kind, e.name)
	}
	return nil
}

// Lens shows one kernel after the other of an archive as a BTF, and tells for each read which kernels would have shown
// the same. It is one goroutine's.
type Lens struct {
	j      *Join
	lazy   *btfinfo.Lazy
	narrow func(Bitmap)
	fail   func(error) // does not return
	cur    int

	entries map[entryName]*lensEntry
	slots   []slot
	slotIDs map[slotKey]uint32
	slotOf  map[btfinfo.ID]uint32
	strings map[*block][]uint32         // offsets in the Lazy, less 1; 0: not there yet
	tags    map[uint32][]lensTag        // by place of a type's words
	liked   map[likeKey]Bitmap          // kernels that have something like it
	homes   []Bitmap                    // kernels that have the module; nil: not asked yet
	words   [maxNesting + 2][]uint32    // that are being put together, by depth
	absent  map[string]Bitmap           // by module or tag: kernels without it
	essence map[essenceKey][]*lensEntry // entries by essential name
	with    map[string][]int            // parts of definitions by what is in them
}

type essenceKey struct {
	class class
	name  string
}

type entryName struct {
	kind btfinfo.Kind
	name string
}

type likeKey struct {
	kind    btfinfo.Kind
	pattern string
	modules bool
}

type lensTag struct {
	name      string
	component int
}

// lensEntry is all definitions of one kind and name, as far as asked kernels have them.
type lensEntry struct {
	entryName
	b        *block
	variants []blockVariant
	places   []place // sorted by home and ordinal
}

// place is one name in one home under one ordinal, which the kernels fill with different definitions.
type place struct {
	home, ord uint32
	slot      uint32 // plus 1; 0: none yet
	alts      []alt
	none      Bitmap // the kernels that have nothing there; nil: not computed yet
}

// alt is a definition that some kernels have in a place.
type alt struct {
	set     Bitmap
	variant int
	at      uint32     // in the Lazy, plus 1; 0: not put there yet
	id      btfinfo.ID // of one without a name; 0: none yet
}

type slotKey struct {
	entryName
	home, ord uint32
}

// slot is an id of the Lazy that stands for a place.
type slot struct {
	key   slotKey
	id    btfinfo.ID
	entry *lensEntry // nil until it is asked
	place int        // index in the entry's
	last  int        // alt that was found last
}

type moduleSlot struct {
	home, ord uint32
	entry     *lensEntry
	place     int
}

// NewLens returns a Lens. narrow is called with the kernels, of those joined, that would have answered a read as the current
// one did; it must not keep or change them. fail is called where the archive turns out to be damaged, and must not return.
func (j *Join) NewLens(narrow func(Bitmap), fail func(error)) *Lens {
	l := &Lens{j: j, narrow: narrow, fail: fail, entries: make(map[entryName]*lensEntry), slotIDs: make(map[slotKey]uint32), slotOf: make(map[btfinfo.ID]uint32),
		strings: make(map[*block][]uint32), tags: make(map[uint32][]lensTag), liked: make(map[likeKey]Bitmap), homes: make([]Bitmap, len(j.a.homes)),
		absent: make(map[string]Bitmap), essence: make(map[essenceKey][]*lensEntry), with: make(map[string][]int)}
	l.lazy = btfinfo.NewLazy(l)
	return l
}

// Enter makes kernel k, an index of who asks, the current one.
func (l *Lens) Enter(k int) {
	l.cur = k
	var order binary.ByteOrder = binary.LittleEndian
	if l.j.a.kernels[l.j.from[k]].big {
		order = binary.BigEndian
	}
	l.lazy.SetByteOrder(order)
}

// BTF is the current kernel's vmlinux, and stays the same for all kernels. The types of modules have their ids in it too.
func (l *Lens) BTF() *btfinfo.BTF { return l.lazy.BTF() }

func (l *Lens) check(err error) {
	if err != nil {
		l.fail(err)
	}
}

// essential returns the entries of a class with an essential name.
func (l *Lens) essential(c class, name string) []*lensEntry {
	key := essenceKey{c, name}
	list, ok := l.essence[key]
	if !ok {
		l.check(l.j.entries(c, name, func(b *block, e *blockEntry) error {
			x, err := l.load(b, e)
			list = append(list, x)
			return err
		}))
		l.essence[key] = list
	}
	return list
}

// load prepares an entry.
func (l *Lens) load(b *block, e *blockEntry) (*lensEntry, error) {
	key := entryName{e.kind, e.name}
	if x := l.entries[key]; x != nil {
		return x, nil
	}
	x := &lensEntry{entryName: key, b: b}
	var err error
	if x.variants, err = b.variants(e.n); err != nil {
		return nil, err
	}
	for i := range x.variants {
		for _, p := range x.variants[i].at {
			set, err := l.j.set(p.set)
			if err != nil {
				return nil, err
			}
			if isEmpty(set) {
				continue
			}
			n, found := slices.BinarySearchFunc(x.places, p, func(q place, p presence) int {
				return cmp.Or(cmp.Compare(q.home, p.home), cmp.Compare(q.ord, p.ord))
			})
			if !found {
				x.places = slices.Insert(x.places, n, place{home: p.home, ord: p.ord})
			}
			x.places[n].alts = append(x.places[n].alts, alt{set: set, variant: i})
		}
	}
	l.entries[key] = x
	return x, nil
}

// alt finds what the current kernel has in a place: the index of the alt, -1 for nothing. What it found is narrowed to.
func (l *Lens) alt(p *place, hint int) int {
	if hint < len(p.alts) && has(p.alts[hint].set, l.cur) {
		l.narrow(p.alts[hint].set)
		return hint
	}
	for i := range p.alts {
		if has(p.alts[i].set, l.cur) {
			l.narrow(p.alts[i].set)
			return i
		}
	}
	if p.none == nil {
		any := make(Bitmap, l.j.n)
		for i := range p.alts {
			or(any, p.alts[i].set)
		}
		p.none = l.j.without(any)
	}
	l.narrow(p.none)
	return -1
}

// slotFor returns the slot of a place.
func (l *Lens) slotFor(key slotKey) uint32 {
	n, ok := l.slotIDs[key]
	if !ok {
		n = uint32(len(l.slots))
		id := l.lazy.NewSlot(n)
		l.slots = append(l.slots, slot{key: key, id: id})
		l.slotIDs[key] = n
		l.slotOf[id] = n
	}
	return n
}

// Slot returns where the words are of what the current kernel has in slot n. It is btfinfo.LazyOwner's.
func (l *Lens) Slot(n uint32) uint32 {
	s := &l.slots[n]
	if s.entry == nil {
		l.bind(s)
	}
	p := &s.entry.places[s.place]
	i := l.alt(p, s.last)
	if i < 0 {
		l.fail(l.dangling(s.key))
	}
	s.last = i
	if p.alts[i].at == 0 {
		at := l.put(s.entry, s.key.home, s.key.ord, p.alts[i].variant)
		// put may have moved the slots, not the places.
		p.alts[i].at = at + 1
	}
	return p.alts[i].at - 1
}

func (l *Lens) dangling(key slotKey) error {
	return l.j.a.errorf(sectDefs, -1, "kernel %s has no %s %s, which something in it refers to", l.j.a.kernels[l.j.from[l.cur]].ID, key.kind, key.name)
}

// bind finds the entry of a slot.
func (l *Lens) bind(s *slot) {
	key := s.key
	e := l.entries[key.entryName]
	if e == nil {
		for _, x := range l.essential(classOf(key.kind), btfinfo.EssentialName(key.name)) {
			if x.entryName == key.entryName {
				e = x
			}
		}
	}
	if e != nil {
		for i := range e.places {
			if e.places[i].home == key.home && e.places[i].ord == key.ord {
				s.entry, s.place = e, i
				e.places[i].slot = l.slotIDs[key] + 1
				return
			}
		}
	}
	l.fail(l.dangling(key))
}

// typeAt is the type that the current kernel has in a place.
func (l *Lens) typeAt(e *lensEntry, i int) btfinfo.Type {
	p := &e.places[i]
	if p.slot == 0 {
		n := l.slotFor(slotKey{e.entryName, p.home, p.ord})
		p.slot = n + 1
		l.slots[n].entry, l.slots[n].place = e, i
	}
	return l.lazy.BTF().Type(l.slots[p.slot-1].id)
}

// Essential yields vmlinux's types of an essential name. It is btfinfo.LazyOwner's.
func (l *Lens) Essential(name string, kinds []btfinfo.Kind, yield func(btfinfo.Type) bool) {
	l.narrow(l.j.all)
	if name == "" {
		return // as in any BTF: types without a name can't be looked up
	}
	for c := range numClasses {
		if !wanted(c, kinds) {
			continue
		}
		for _, e := range l.essential(c, name) {
			if len(kinds) > 0 && !slices.Contains(kinds, e.kind) {
				continue
			}
			for i := range e.places {
				if e.places[i].home != 0 || l.alt(&e.places[i], 0) < 0 {
					break // ordinals have no gaps
				}
				if !yield(l.typeAt(e, i)) {
					return
				}
			}
		}
	}
}

func wanted(c class, kinds []btfinfo.Kind) bool {
	return len(kinds) == 0 || slices.ContainsFunc(kinds, func(k btfinfo.Kind) bool { return classOf(k) == c })
}

// ModuleTypes yields the modules' own types of an essential name, module by module.
func (l *Lens) ModuleTypes(name string, yield func(module string, t btfinfo.Type) bool) {
	l.narrow(l.j.all)
	if name == "" {
		return
	}
	var found []moduleSlot
	for c := range numClasses {
		for _, e := range l.essential(c, name) {
			gap := uint32(0) // the module that has no more of this name
			for i := range e.places {
				p := &e.places[i]
				if p.home == 0 || p.home == gap {
					continue
				}
				if l.alt(p, 0) < 0 {
					gap = p.home
					continue
				}
				found = append(found, moduleSlot{p.home, p.ord, e, i})
			}
		}
	}
	slices.SortStableFunc(found, func(a, b moduleSlot) int { return int(a.home) - int(b.home) })
	for _, f := range found {
		if !yield(l.j.a.homes[f.home].name, l.typeAt(f.entry, f.place)) {
			return
		}
	}
}

// either narrows to the kernels in set or to those that are not, as the current one is, and tells which.
func (l *Lens) either(what string, set func() Bitmap) bool {
	b, ok := l.absent["+"+what]
	if !ok {
		b = set()
		l.absent["+"+what] = b
		l.absent["-"+what] = l.j.without(b)
	}
	if has(b, l.cur) {
		l.narrow(b)
		return true
	}
	l.narrow(l.absent["-"+what])
	return false
}

func (l *Lens) having(f func(*kernelRecord) bool) Bitmap {
	b := make(Bitmap, l.j.n)
	for i := range l.j.a.kernels {
		if n := l.j.to[i]; n >= 0 && f(&l.j.a.kernels[i]) {
			b[n/64] |= 1 << (n % 64)
		}
	}
	return b
}

// HasBTF tells whether the current kernel has BTF.
func (l *Lens) HasBTF() bool {
	return l.either("btf", func() Bitmap { return l.having(func(r *kernelRecord) bool { return r.hasBTF }) })
}

// AllModules tells whether the BTF of all of the current kernel's modules is in the archive. Of a kernel of which no module has
// BTF it is not: what is in these is not known.
func (l *Lens) AllModules() bool {
	return l.either("modules", func() Bitmap {
		some := make(Bitmap, l.j.n)
		for _, h := range l.j.a.homes[1:] {
			or(some, l.j.bitmap(h.set))
		}
		all := l.having(func(r *kernelRecord) bool { return r.allModules })
		for i := range all {
			all[i] &= some[i]
		}
		return all
	})
}

// HasModule tells whether the BTF of this module of the current kernel is in the archive.
func (l *Lens) HasModule(name string) bool {
	return l.either("module "+name, func() Bitmap {
		for _, h := range l.j.a.homes[1:] {
			if h.name == name {
				return l.j.bitmap(h.set)
			}
		}
		return make(Bitmap, l.j.n)
	})
}

// Modules names the modules of which the archive has the BTF of the current kernel. What depends on it holds for this kernel
// alone; narrow is not called.
func (l *Lens) Modules() []string {
	names, _, _ := l.j.a.Modules(int(l.j.from[l.cur]))
	return names
}

// AnyTagged tells whether vmlinux has a DECL_TAG of this name.
func (l *Lens) AnyTagged(tag string) bool {
	return l.either("tag "+tag, func() Bitmap {
		for _, t := range l.j.a.tags {
			if t.name == tag {
				return l.j.bitmap(t.set)
			}
		}
		return make(Bitmap, l.j.n)
	})
}

// Tagged tells whether a type of the current kernel has a DECL_TAG of this name on itself.
func (l *Lens) Tagged(t btfinfo.Type, tag string) bool {
	n, ok := l.slotOf[t.ID()]
	if !ok {
		return false
	}
	return slices.Contains(l.tags[l.Slot(n)], lensTag{tag, -1})
}

// HasLike tells whether vmlinux, or with modules any module, has a type of this kind of which the name has this prefix and
// for which match is true. match must be a function of the pattern.
func (l *Lens) HasLike(kind btfinfo.Kind, pattern, prefix string, modules bool, match func(name string) bool) bool {
	key := likeKey{kind, pattern, modules}
	if b, ok := l.liked[key]; ok {
		return l.either("like "+kind.String()+" "+pattern+" "+[]string{"vmlinux", "anywhere"}[bits.Len(uint(boolNum(modules)))], func() Bitmap { return b })
	}
	any := make(Bitmap, l.j.n)
	var found Bitmap // of one that the current kernel has
	c := classOf(kind)
	// A name with the prefix has an essential name with it, or, where it is a flavour, one that ends at an underscore in it.
	from := prefix
	if i := strings.Index(prefix, "___"); i >= 0 {
		from = prefix[:i]
	}
	from = strings.TrimRight(from, "_")
	i, ok := l.j.a.find(c, from)
	if !ok {
		i = l.j.a.start[c]
	}
	for ; found == nil && i < l.j.a.start[c]+len(l.j.a.firsts[c]); i++ {
		if first := l.j.a.firsts[c][i-l.j.a.start[c]]; first > prefix && !strings.HasPrefix(first, prefix) {
			break
		}
		b, err := l.j.a.block(i)
		l.check(err)
		for n := range b.entries {
			e := &b.entries[n]
			if e.kind != kind || e.name == "" || !strings.HasPrefix(e.name, prefix) || !match(e.name) {
				continue
			}
			l.check(l.j.presences(b, e, func(p presence, set Bitmap) {
				if p.home != 0 && !modules {
					return
				}
				if has(set, l.cur) {
					found = set
				}
				or(any, set)
			}))
			if found != nil {
				break
			}
		}
	}
	if found != nil {
		l.narrow(found)
		return true
	}
	l.liked[key] = any
	l.narrow(l.j.without(any))
	return false
}

// EnumsWith calls yield with vmlinux's enums that have an enumerator of this name, and perhaps with others. Those without a name
// are among them, also where they stand in another type. It looks through all parts for the name, once.
func (l *Lens) EnumsWith(enumerator string, yield func(btfinfo.Type)) {
	l.narrow(l.j.all)
	for _, i := range l.blocksWith(enumerator) {
		b, err := l.j.a.block(i)
		l.check(err)
		for n := range b.entries {
			x, err := l.load(b, &b.entries[n])
			l.check(err)
			for p := range x.places {
				switch {
				case x.places[p].home != 0:
				case x.name != "":
					if l.alt(&x.places[p], 0) >= 0 {
						l.enumsIn(l.typeAt(x, p), yield)
					}
				default:
					// Types without a name share their place.
					for q := range x.places[p].alts {
						alt := &x.places[p].alts[q]
						if !has(alt.set, l.cur) {
							l.narrow(l.j.without(alt.set))
							continue
						}
						l.narrow(alt.set)
						if alt.id == 0 {
							alt.id = l.lazy.Type(l.put(x, 0, 0, alt.variant))
						}
						l.enumsIn(l.lazy.BTF().Type(alt.id), yield)
					}
				}
			}
		}
	}
}

// enumsIn calls yield with the type, if it is an enum, and with those without a name in it.
func (l *Lens) enumsIn(t btfinfo.Type, yield func(btfinfo.Type)) {
	in := func(id btfinfo.ID) {
		if _, named := l.slotOf[id]; !named && id != 0 {
			l.enumsIn(l.lazy.BTF().Type(id), yield)
		}
	}
	switch t.Kind() {
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		yield(t)
	case btfinfo.KindStruct, btfinfo.KindUnion:
		for i := range t.Vlen() {
			in(t.Member(i).Type)
		}
	case btfinfo.KindFuncProto:
		in(t.Ref())
		for i := range t.Vlen() {
			in(t.Param(i).Type)
		}
	case btfinfo.KindDatasec:
		for i := range t.Vlen() {
			in(t.Var(i).Type)
		}
	case btfinfo.KindArray:
		in(t.Array().Elem)
		in(t.Array().Index)
	case btfinfo.KindPtr, btfinfo.KindConst, btfinfo.KindVolatile, btfinfo.KindRestrict, btfinfo.KindTypeTag, btfinfo.KindTypedef,
		btfinfo.KindFunc, btfinfo.KindVar:
		in(t.Ref())
	}
}

// blocksWith lists the parts of definitions in which a string occurs, be it as part of another.
func (l *Lens) blocksWith(text string) []int {
	list, ok := l.with[text]
	if !ok {
		var raw []byte
		for i, p := range l.j.a.parts[sectDefs] {
			var err error
			raw, err = l.j.a.readTo(raw[:0], sectDefs, p)
			l.check(err)
			if bytes.Contains(raw, []byte(text)) {
				list = append(list, i)
			}
		}
		l.with[text] = list
	}
	return list
}

// put writes the words of a definition, and of the types without names in it, and returns where they are.
func (l *Lens) put(e *lensEntry, home, ord uint32, variant int) uint32 {
	m := lensReader{l: l, e: e, s: source{b: e.variants[variant].content}, home: home, ord: ord, strs: l.strings[e.b]}
	if m.strs == nil {
		m.strs = make([]uint32, len(e.b.strs))
		l.strings[e.b] = m.strs
	}
	w, tags := m.body(m.s.op(), l.lazy.String(e.name))
	if m.s.bad {
		l.fail(e.b.errorf("the definition of %s %s is damaged", e.kind, e.name))
	}
	at := l.lazy.Put(w)
	if tags != nil {
		l.tags[at] = tags
	}
	return at
}

// lensReader makes words of a content.
type lensReader struct {
	l         *Lens
	e         *lensEntry
	s         source
	home, ord uint32
	depth     int // of types without names in each other
	strs      []uint32
}

func (m *lensReader) name() uint32 {
	n := m.s.num()
	switch {
	case n == 0:
		return 0
	case n >= uint64(len(m.strs)):
		m.s.bad = true
		return 0
	case m.strs[n] == 0:
		m.strs[n] = m.l.lazy.String(m.e.b.strs[n]) + 1
	}
	return m.strs[n] - 1
}

func (m *lensReader) text() string {
	n := m.s.num()
	if n >= uint64(len(m.e.b.strs)) {
		m.s.bad = true
		return ""
	}
	return m.e.b.strs[n]
}

// ref reads a type and returns its id.
func (m *lensReader) ref() uint32 {
	op := m.s.op()
	if m.s.bad || op == 0 {
		return 0
	}
	key := slotKey{home: m.home}
	switch op & opClass {
	case opRef, opRefX:
		key.home = 0
	case opOwn, opOwnX:
	default:
		if m.depth >= maxNesting {
			m.s.bad = true
			return 0
		}
		m.depth++
		w, _ := m.body(op, 0)
		m.depth--
		if m.s.bad {
			return 0
		}
		return uint32(m.l.lazy.Type(m.l.lazy.Put(w)))
	}
	key.kind = btfinfo.Kind(op & opKind)
	key.name = m.text()
	if c := op & opClass; c == opRefX || c == opOwnX {
		ord := int64(m.ord) + unzigzag(m.s.num())
		if ord < 0 || ord > 1<<31 {
			m.s.bad = true
		}
		key.ord = uint32(ord)
	}
	if m.s.bad || key.name == "" || !hasOwnName(key.kind) {
		m.s.bad = true
		return 0
	}
	return uint32(m.l.slots[m.l.slotFor(key)].id)
}

// body reads a type after its operator, and returns its words, which are valid until the next of that depth.
func (m *lensReader) body(op byte, name uint32) (w []uint32, tags []lensTag) {
	s := &m.s
	kind := btfinfo.Kind(op & opKind)
	flag := op&opClass == opFlagged
	if op&opClass == opTagged {
		flag = s.num() != 0
		for range s.vlen() {
			t := lensTag{name: m.text()}
			s.num()
			t.component = int(s.num32()) - 1
			tags = append(tags, t)
		}
	}
	depth := m.depth // ref goes deeper, and comes back
	w = s.words(m.l.words[depth][:0], kind, flag, name, m)
	m.l.words[depth] = w
	return w, tags
}
