package archive

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"unsafe"

	"github.com/corecheck/corecheck/btfinfo"
)

// RawModule is the BTF of a module as its bytes.
type RawModule struct {
	Name string
	BTF  []byte // continues the kernel's BTF
}

// Raw returns the BTF of kernel i as bytes: that of vmlinux, and those of its modules by name. nil where it has none.
//
// Types have other ids than in the BTF that was added, the same content: named types come first, by name and, of one name,
// in the order they had; types without names, of which each stands there once, follow.
func (a *Archive) Raw(i int) (vmlinux []byte, modules []RawModule, err error) { return a.raw(i, true) }

// raw is Raw, with the modules or without.
func (a *Archive) raw(i int, all bool) (vmlinux []byte, modules []RawModule, err error) {
	rec := &a.kernels[i]
	if !rec.hasBTF {
		return nil, nil, nil
	}
	homes := make([]*rebuild, len(a.homes))
	order := binary.ByteOrder(binary.LittleEndian)
	if rec.big {
		order = binary.BigEndian
	}
	room := maxRebuilt
	base := newRebuild(nil, 0, &room)
	homes[0] = base
	for h := 1; h < len(a.homes); h++ {
		if all && a.homes[h].set.has(uint32(i)) {
			homes[h] = newRebuild(base, uint32(h), &room)
		}
	}
	known := make(map[uint32]bool)
	err = a.eachBlock(func(b *block) error {
		return b.each(func(e *blockEntry, v *blockVariant) error {
			for _, p := range v.at {
				if p.home != 0 && !all {
					continue
				}
				has, ok := known[p.set]
				if !ok {
					s, err := a.set(p.set)
					if err != nil {
						return err
					}
					has = s.has(uint32(i))
					known[p.set] = has
				}
				if !has {
					continue
				}
				if homes[p.home] == nil {
					return b.errorf("%s %s of kernel %s is in module %s, which the kernel has not", e.kind, e.name, rec.ID, a.homes[p.home].name)
				}
				if err := homes[p.home].add(b, e, p.ord, v.content); err != nil {
					return b.errorf("kernel %s, %s: %v", rec.ID, a.homes[p.home].name, err)
				}
			}
			return nil
		})
	})
	if err != nil {
		return nil, nil, err
	}
	for h, r := range homes {
		if r == nil {
			continue
		}
		data, err := r.bytes(order)
		if err != nil {
			return nil, nil, &btfinfo.Error{File: a.name, Off: -1, Msg: fmt.Sprintf("kernel %s, %s can't be put together", rec.ID, a.homes[h].name), Err: err}
		}
		if h == 0 {
			vmlinux = data
		} else {
			modules = append(modules, RawModule{a.homes[h].name, data})
		}
	}
	return vmlinux, modules, nil
}

// Vmlinux returns the BTF of kernel i without its modules; nil where it has none.
func (a *Archive) Vmlinux(i int) (*btfinfo.BTF, error) {
	raw, _, err := a.raw(i, false)
	if err != nil || raw == nil {
		return nil, err
	}
	b, err := btfinfo.Parse(raw)
	if err != nil {
		return nil, &btfinfo.Error{File: a.name, Off: -1, Msg: "kernel " + a.kernels[i].ID, Err: err}
	}
	return b, nil
}

// Build returns kernel i with its BTF.
func (a *Archive) Build(i int) (*Build, error) {
	b := &Build{Kernel: a.kernels[i].Kernel, ModulesRead: a.kernels[i].modulesRead, AllModules: a.kernels[i].allModules}
	raw, modules, err := a.Raw(i)
	if err != nil || raw == nil {
		return b, err
	}
	if b.BTF, err = btfinfo.Parse(raw); err != nil {
		return nil, &btfinfo.Error{File: a.name, Off: -1, Msg: "kernel " + b.ID, Err: err}
	}
	for _, m := range modules {
		s, err := btfinfo.ParseSplit(m.BTF, b.BTF)
		if err != nil {
			return nil, &btfinfo.Error{File: a.name, Off: -1, Msg: "kernel " + b.ID + ", module " + m.Name, Err: err}
		}
		b.Modules = append(b.Modules, Module{m.Name, s})
	}
	return b, nil
}

// rebuild puts the BTF of one home of one kernel together.
type rebuild struct {
	base *rebuild
	home uint32
	room *int // bytes that the types of the kernel may still take
	defs []rebuiltDef
	ids  map[kindName][]uint32 // of the named types, by ordinal

	strs    []byte
	strOff  map[string]uint32
	words   []uint32 // of the named types
	more    []uint32 // of those without names, which have the ids after them
	next    uint32   // id of the next of these
	derived map[string]uint32
	tags    []uint32 // DECL_TAGs, which come last

	// of the definition that is being written
	b     *block
	s     source
	ord   uint32
	depth int
	err   error
}

type kindName struct {
	kind btfinfo.Kind
	name string
}

type rebuiltDef struct {
	b       *block
	kind    btfinfo.Kind
	name    string
	ord     uint32
	content []byte
}

func newRebuild(base *rebuild, home uint32, room *int) *rebuild {
	r := &rebuild{base: base, home: home, room: room, ids: make(map[kindName][]uint32), strOff: make(map[string]uint32), derived: make(map[string]uint32)}
	if base == nil {
		r.strs = []byte{0}
		r.strOff[""] = 0
	}
	return r
}

func (r *rebuild) add(b *block, e *blockEntry, ord uint32, content []byte) error {
	r.defs = append(r.defs, rebuiltDef{b, e.kind, e.name, ord, content})
	return r.take(3) // what any type has
}

// take notes that words are written.
func (r *rebuild) take(words int) error {
	if *r.room -= 4 * words; *r.room < 0 {
		return fmt.Errorf("the types of the kernel and its modules take more than %d bytes, the limit", maxRebuilt)
	}
	return nil
}

// first is the id of the first own type, start the offset of the first own string.
func (r *rebuild) first() uint32 {
	if r.base == nil {
		return 1
	}
	return r.base.next + uint32(len(r.base.tags)/4)
}

func (r *rebuild) start() uint32 {
	if r.base == nil {
		return 0
	}
	return uint32(len(r.base.strs))
}

// str returns the offset of a string.
func (r *rebuild) str(s string) uint32 {
	if r.base != nil {
		if off, ok := r.base.strOff[s]; ok {
			return off
		}
	}
	off, ok := r.strOff[s]
	if !ok {
		off = r.start() + uint32(len(r.strs))
		r.strs = append(r.strs, s...)
		r.strs = append(r.strs, 0)
		r.strOff[s] = off
	}
	return off
}

// bytes writes the BTF.
func (r *rebuild) bytes(order binary.ByteOrder) ([]byte, error) {
	// Definitions come by name; those of one name get the order they had.
	slices.SortStableFunc(r.defs, func(a, b rebuiltDef) int {
		if a.kind == b.kind && a.name == b.name {
			return cmp.Compare(a.ord, b.ord)
		}
		return 0
	})
	id := r.first()
	for i := range r.defs {
		d := &r.defs[i]
		if d.name != "" {
			key := kindName{d.kind, d.name}
			if int(d.ord) != len(r.ids[key]) {
				return nil, fmt.Errorf("%s %s: the %d. of that name has ordinal %d", d.kind, d.name, len(r.ids[key])+1, d.ord)
			}
			r.ids[key] = append(r.ids[key], id)
		}
		id++
	}
	r.next = id
	for i := range r.defs {
		d := &r.defs[i]
		r.b, r.s, r.ord = d.b, source{b: d.content}, d.ord
		w, tags := r.body(r.s.op(), r.str(d.name))
		if r.s.bad || r.err != nil {
			if r.err == nil {
				r.err = fmt.Errorf("its content is damaged")
			}
			return nil, fmt.Errorf("%s %s: %w", d.kind, d.name, r.err)
		}
		if err := r.take(len(w) - 3 + 4*len(tags)/3); err != nil {
			return nil, err
		}
		r.words = append(r.words, w...)
		r.tag(r.first()+uint32(i), tags)
	}
	types := 4 * (len(r.words) + len(r.more) + len(r.tags))
	out := make([]byte, 24, 24+types+len(r.strs))
	order.PutUint16(out, 0xeb9f)
	out[2] = 1
	order.PutUint32(out[4:], 24)
	order.PutUint32(out[12:], uint32(types))
	order.PutUint32(out[16:], uint32(types))
	order.PutUint32(out[20:], uint32(len(r.strs)))
	for _, list := range [][]uint32{r.words, r.more, r.tags} {
		for _, w := range list {
			out = append(out, 0, 0, 0, 0)
			order.PutUint32(out[len(out)-4:], w)
		}
	}
	return append(out, r.strs...), nil
}

// name reads a string and returns its offset.
func (r *rebuild) name() uint32 { return r.str(r.text()) }

func (r *rebuild) text() string {
	n := r.s.num()
	if n >= uint64(len(r.b.strs)) {
		r.s.bad = true
		return ""
	}
	return r.b.strs[n]
}

// ref reads a type and returns its id.
func (r *rebuild) ref() uint32 {
	op := r.s.op()
	if r.s.bad || r.err != nil {
		return 0
	}
	kind := btfinfo.Kind(op & opKind)
	owner, ord := r, int64(0)
	switch op & opClass {
	case opRef, opRefX:
		for owner.base != nil {
			owner = owner.base
		}
	case opOwn, opOwnX:
	default:
		if op == 0 {
			return 0
		}
		if r.depth++; r.depth > maxNesting {
			r.s.bad = true
			return 0
		}
		w, tags := r.body(op, 0)
		r.depth--
		return r.derive(w, tags)
	}
	name := r.text()
	if c := op & opClass; c == opRefX || c == opOwnX {
		ord = int64(r.ord) + unzigzag(r.s.num())
	}
	ids := owner.ids[kindName{kind, name}]
	if ord < 0 || ord >= int64(len(ids)) {
		if r.err == nil {
			r.err = fmt.Errorf("refers to the %d. %s %s, there are %d", ord+1, kind, name, len(ids))
		}
		return 0
	}
	return ids[ord]
}

// derive returns the id of a type without a name, which is written once.
func (r *rebuild) derive(w []uint32, tags []uint32) uint32 {
	if r.s.bad || r.err != nil {
		return 0
	}
	key := wordsKey(append(slices.Clone(w), tags...))
	if r.base != nil {
		if id, ok := r.base.derived[key]; ok {
			return id
		}
	}
	if id, ok := r.derived[key]; ok {
		return id
	}
	if r.err = r.take(len(w) + 4*len(tags)/3); r.err != nil {
		return 0
	}
	id := r.next
	r.next++
	r.derived[key] = id
	r.more = append(r.more, w...)
	r.tag(id, tags)
	return id
}

func wordsKey(w []uint32) string {
	if len(w) == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(unsafe.Pointer(&w[0])), 4*len(w)))
}

// tag adds the DECL_TAGs of a type.
func (r *rebuild) tag(id uint32, tags []uint32) {
	for ; len(tags) > 0; tags = tags[3:] {
		r.tags = append(r.tags, tags[0], uint32(btfinfo.KindDeclTag)<<24|tags[1]<<31, id, tags[2]-1)
	}
}

// body reads a type that stands in place, after its operator, and returns its words and its tags: name, flag, component + 1 each.
func (r *rebuild) body(op byte, name uint32) (w, tags []uint32) {
	s := &r.s
	kind := btfinfo.Kind(op & opKind)
	flag := op&opClass == opFlagged
	if op&opClass == opTagged {
		flag = s.num() != 0
		for range s.vlen() {
			tags = append(tags, r.name(), s.num32()&1, s.num32())
		}
	}
	return s.words(nil, kind, flag, name, r), tags
}
