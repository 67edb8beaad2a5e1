package archive

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"

	"github.com/corecheck/corecheck/btfinfo"
)

// Derived is a kernel that is like another one but for some definitions of its vmlinux. Archives of thousands of kernels
// are made of such to measure what a question to them costs: docs/simulation.md.
type Derived struct {
	Kernel
	From  string // ID of the kernel that it is like: one in the Writer, or one that stands before it in the list
	Edits []Edit // one after the other
}

// Edit is a change of one definition, the first of its kind and name. What it does depends on its seed and on the definition
// as it is, so that kernels with the same definition have the same one again after the same edit. What can't be done, for
// example to a definition that the kernel does not have, is left undone.
type Edit struct {
	Kind btfinfo.Kind
	Name string
	Op   EditOp
	Seed uint32
}

// EditOp says what an edit does.
type EditOp uint8

const (
	// EditChange adds, removes, renames or retypes a member, an enumerator or a parameter of a struct, union, enum or function.
	EditChange EditOp = iota
	// EditRemove takes a function away, or a type that nothing in the Writer refers to.
	EditRemove
	// EditRestore brings back what EditRemove took away, as the kernel that all started from had it.
	EditRestore
	// EditCopy adds a definition like this one, with the name CopyName(Name, Seed).
	EditCopy
)

// CopyName is the name that EditCopy gives.
func CopyName(name string, seed uint32) string {
	return name + "_" + strconv.FormatUint(uint64(seed), 36)
}

// Definition is what a Writer has under one kind and name.
type Definition struct {
	Kind     btfinfo.Kind
	Name     string
	Variants int  // different definitions of it
	Listed   bool // EditChange works on its kind
	Free     bool // EditRemove works on it
}

// Definitions lists what vmlinux of some of the kernels has, as definitions that Derive can edit: sorted by kind and name.
func (w *Writer) Definitions(ids []string) ([]Definition, error) {
	var among runs
	for _, id := range ids {
		i, ok := w.byID[id]
		if !ok {
			return nil, fmt.Errorf("no kernel %s", id)
		}
		among = among.add(uint32(i))
	}
	in := make([]bool, len(w.sets.list))
	for i, s := range w.sets.list {
		for k := 0; k < len(among) && !in[i]; k += 2 {
			for x := among[k]; x < among[k+1] && !in[i]; x++ {
				in[i] = s.has(x)
			}
		}
	}
	free := w.free()
	var out []Definition
	for i := range w.entries {
		e := &w.entries[i]
		d := Definition{Kind: e.kind, Name: w.in.list[e.name], Free: free[i]}
		for j := range e.variants {
			v := &e.variants[j]
			if len(v.at) == 0 || v.at[0].home != 0 || v.at[0].ord != 0 || !in[v.at[0].set] {
				continue
			}
			d.Variants++
			if d.Variants == 1 {
				_, d.Listed = readShape(v.content)
			}
		}
		if d.Variants > 0 && d.Name != "" {
			out = append(out, d)
		}
	}
	slices.SortFunc(out, func(a, b Definition) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
	})
	return out, nil
}

// free tells of each entry whether it can be taken away: where nothing refers to it, and no other one of its name would
// lose the ordinal before its own.
func (w *Writer) free() []bool {
	free := make([]bool, len(w.entries))
	for i := range w.entries {
		free[i] = w.entries[i].name != 0 && classOf(w.entries[i].kind) != classVar
	}
	for i := range w.entries {
		for j := range w.entries[i].variants {
			v := &w.entries[i].variants[j]
			for _, p := range v.at {
				free[i] = free[i] && p.ord == 0 && p.home == 0
			}
			s := source{b: v.content, ref: func(op byte, name uint64, _ int64) {
				if n, ok := w.byName[entryKey{btfinfo.Kind(op & opKind), uint32(name)}]; ok {
					free[n] = false
				}
			}}
			skip(&s)
		}
	}
	return free
}

// Derive adds kernels that differ from others in single definitions. It works on the sets alone: no BTF is put together or
// read. All of them must have BTF, and none may be in the Writer yet.
func (w *Writer) Derive(list []Derived) error {
	d := deriver{w: w, first: uint32(len(w.kernels))}
	if err := d.number(list); err != nil {
		return err
	}
	for i := range list {
		if err := checkKernel(&list[i].Kernel); err != nil {
			return err
		}
		if _, ok := w.byID[list[i].ID]; ok {
			return fmt.Errorf("kernel %s is in the archive already", list[i].ID)
		}
		if list[i].NoBTF != "" {
			return fmt.Errorf("kernel %s: one without BTF derives from nothing", list[i].ID)
		}
	}
	// Numbered in preorder, a kernel and all that are derived from it are one run.
	w.kernels = append(w.kernels, make([]kernelRecord, len(list))...)
	for i, x := range d.order {
		k := d.first + uint32(i)
		rec := w.kernels[d.nodes[x].root]
		rec.Kernel = list[x].Kernel
		w.kernels[k] = rec
		w.byID[rec.ID] = int(k)
	}

	// Most definitions are not edited: their sets get all kernels derived from those that they have.
	d.edits(list)
	free := w.free()
	grown := make([]uint32, len(w.sets.list))
	for i := range grown {
		grown[i] = w.sets.id(w.sets.list[i].union(d.under(w.sets.list[i])))
	}
	n := len(w.entries)
	for i := range n {
		e := &w.entries[i]
		edited := d.byEntry[int32(i)] != nil
		for j := range e.variants {
			for p := range e.variants[j].at {
				if at := &e.variants[j].at[p]; !edited || at.home != 0 || at.ord != 0 {
					at.set = grown[at.set]
				}
			}
		}
	}
	for i := range n {
		if events := d.byEntry[int32(i)]; events != nil {
			d.entry(i, events, free[i])
		}
	}
	d.copies()
	return nil
}

// deriver is one call of Derive.
type deriver struct {
	w       *Writer
	first   uint32 // number of the first new kernel
	nodes   []deriveNode
	order   []int      // the list in preorder
	roots   []rootSpan // by start
	byEntry map[int32][]event
	byCopy  map[entryKey][]event // edits of copies
	made    map[entryKey][]event // the copies themselves
	keys    []entryKey           // of made, in the order in which they were made
}

type deriveNode struct {
	root     int // in Writer.kernels
	children []int
	start    uint32 // new number
	end      uint32 // of the last one derived from it, plus 1
}

// rootSpan are the new kernels that descend from one that the Writer had.
type rootSpan struct{ root, start, end uint32 }

// event is an edit in one kernel, or with content the arrival of a copy.
type event struct {
	start, end uint32 // the kernel and those derived from it
	seq        int    // among the kernel's edits
	edit       *Edit
	content    []byte
}

// number finds the order of the new kernels.
func (d *deriver) number(list []Derived) error {
	w := d.w
	d.nodes = make([]deriveNode, len(list))
	byID := make(map[string]int, len(list))
	roots := make(map[int][]int)
	for i := range list {
		if p, ok := byID[list[i].From]; ok {
			d.nodes[i].root = d.nodes[p].root
			d.nodes[p].children = append(d.nodes[p].children, i)
		} else if k, ok := w.byID[list[i].From]; ok && w.kernels[k].hasBTF {
			d.nodes[i].root = k
			roots[k] = append(roots[k], i)
		} else {
			return fmt.Errorf("kernel %s derives from %q, which is no kernel with BTF before it", list[i].ID, list[i].From)
		}
		if _, ok := byID[list[i].ID]; ok {
			return fmt.Errorf("kernel %s stands twice in the list", list[i].ID)
		}
		byID[list[i].ID] = i
	}
	var visit func(int)
	visit = func(i int) {
		n := &d.nodes[i]
		n.start = d.first + uint32(len(d.order))
		d.order = append(d.order, i)
		for _, c := range n.children {
			visit(c)
		}
		n.end = d.first + uint32(len(d.order))
	}
	for k := range w.kernels {
		if roots[k] == nil {
			continue
		}
		span := rootSpan{root: uint32(k), start: d.first + uint32(len(d.order))}
		for _, i := range roots[k] {
			visit(i)
		}
		span.end = d.first + uint32(len(d.order))
		d.roots = append(d.roots, span)
	}
	return nil
}

// under are the new kernels that descend from those of a set.
func (d *deriver) under(s runs) runs {
	var out runs
	for _, r := range d.roots {
		if s.has(r.root) {
			out = appendRun(out, r.start, r.end)
		}
	}
	return out
}

// appendRun adds a run that starts where the last one ends, or later.
func appendRun(r runs, start, end uint32) runs {
	if start >= end {
		return r
	}
	if n := len(r); n > 0 && r[n-1] == start {
		r[n-1] = end
		return r
	}
	return append(r, start, end)
}

// edits sorts the edits by what they edit, and those of one definition by the number of their kernel.
func (d *deriver) edits(list []Derived) {
	w := d.w
	d.byEntry, d.byCopy, d.made = make(map[int32][]event), make(map[entryKey][]event), make(map[entryKey][]event)
	copied := make(map[entryKey]bool)
	for _, x := range d.order {
		for j := range list[x].Edits {
			if e := &list[x].Edits[j]; e.Op == EditCopy {
				copied[entryKey{e.Kind, w.in.id(CopyName(e.Name, e.Seed))}] = true
			}
		}
	}
	for _, x := range d.order {
		for j := range list[x].Edits {
			e := &list[x].Edits[j]
			name, ok := w.in.ids[e.Name]
			if !ok || e.Name == "" {
				continue
			}
			key := entryKey{e.Kind, name}
			ev := event{d.nodes[x].start, d.nodes[x].end, j, e, nil}
			if i, ok := w.byName[key]; ok {
				d.byEntry[i] = append(d.byEntry[i], ev)
			} else if copied[key] {
				d.byCopy[key] = append(d.byCopy[key], ev)
			}
		}
	}
}

// level is a definition while the kernels that have it are walked: what holds up to a kernel's number.
type level struct {
	end     uint32
	content []byte // nil: not there
	root    []byte // as the kernel that all started from has it
}

// walk follows one definition through the kernels in the order of their numbers: it calls have with each content and each
// run of kernels that have it.
func (d *deriver) walk(stack []level, at uint32, events []event, have func(content []byte, start, end uint32), apply func(event, *level) []byte) {
	until := func(end uint32) {
		for len(stack) > 0 && at < end {
			top := stack[len(stack)-1]
			to := min(top.end, end)
			if top.content != nil && at < to {
				have(top.content, at, to)
			}
			if at = max(at, to); to == top.end {
				stack = stack[:len(stack)-1]
			}
		}
		for len(stack) > 0 && stack[len(stack)-1].end <= at {
			stack = stack[:len(stack)-1]
		}
		at = max(at, end)
	}
	for _, ev := range events {
		until(ev.start)
		top := &level{}
		if len(stack) > 0 {
			top = &stack[len(stack)-1]
		}
		stack = append(stack, level{ev.end, apply(ev, top), top.root})
	}
	for len(stack) > 0 {
		until(stack[len(stack)-1].end)
	}
}

// entry walks one definition that the Writer had.
func (d *deriver) entry(i int, events []event, free bool) {
	w := d.w
	key := w.entries[i].entryKey
	var own contentRuns
	apply := func(ev event, top *level) []byte {
		switch ev.edit.Op {
		case EditRemove:
			if free {
				return nil
			}
		case EditRestore:
			if top.content == nil {
				return top.root
			}
		case EditCopy:
			if top.content != nil {
				c := entryKey{key.kind, w.in.id(CopyName(ev.edit.Name, ev.edit.Seed))}
				if d.made[c] == nil {
					d.keys = append(d.keys, c)
				}
				d.made[c] = append(d.made[c], event{ev.start, ev.end, ev.seq, nil, top.content})
			}
		case EditChange:
			if top.content != nil {
				return d.change(top.content, ev.edit.Seed)
			}
		}
		return top.content
	}
	before := make([]uint32, 0, 4) // sets of vmlinux's first, by variant
	for _, v := range w.entries[i].variants {
		if len(v.at) > 0 && v.at[0].home == 0 && v.at[0].ord == 0 {
			before = append(before, v.at[0].set)
		} else {
			before = append(before, 0)
		}
	}
	for _, r := range d.roots {
		var root []byte
		for v, set := range before {
			if w.sets.list[set].has(r.root) {
				root = w.entries[i].variants[v].content
			}
		}
		n, _ := slices.BinarySearchFunc(events, r.end, func(e event, end uint32) int { return cmp.Compare(e.start, end) })
		d.walk([]level{{r.end, root, root}}, r.start, events[:n], own.add, apply)
		events = events[n:]
	}
	d.join(key, &own)
}

// contentRuns are the kernels that have each of some contents.
type contentRuns struct {
	index map[string]int
	list  []struct {
		content []byte
		in      runs
	}
}

func (c *contentRuns) add(content []byte, start, end uint32) {
	i, ok := c.index[string(content)]
	if !ok {
		if c.index == nil {
			c.index = make(map[string]int)
		}
		i = len(c.list)
		c.index[string(content)] = i
		c.list = append(c.list, struct {
			content []byte
			in      runs
		}{content: content})
	}
	c.list[i].in = appendRun(c.list[i].in, start, end)
}

// join notes that kernels have definitions, as vmlinux's first of their name.
func (d *deriver) join(key entryKey, own *contentRuns) {
	for _, x := range own.list {
		v := d.w.variant(key, x.content)
		if len(v.at) == 0 || v.at[0].home != 0 || v.at[0].ord != 0 {
			v.at = slices.Insert(v.at, 0, presence{})
		}
		v.at[0].set = d.w.sets.id(d.w.sets.list[v.at[0].set].union(x.in))
	}
}

// copies walks the definitions that were added.
func (d *deriver) copies() {
	for _, key := range d.keys {
		events := slices.Concat(d.made[key], d.byCopy[key])
		slices.SortFunc(events, func(a, b event) int { return cmp.Or(cmp.Compare(a.start, b.start), cmp.Compare(a.seq, b.seq)) })
		var own contentRuns
		d.walk(nil, d.first, events, own.add, func(ev event, top *level) []byte {
			switch {
			case ev.content != nil:
				return ev.content
			case ev.edit.Op == EditRemove:
				return nil
			case ev.edit.Op == EditChange && top.content != nil:
				return d.change(top.content, ev.edit.Seed)
			}
			return top.content
		})
		d.join(key, &own)
	}
}

// How a struct, union, enum or function changes, in percent: docs/simulation.md has the figures that these are from.
const (
	memberAdded   = 52
	memberRemoved = 25
	memberRetyped = 18 // the rest is renamed

	valueAdded = 70 // the rest is removed

	paramAdded   = 20
	paramRemoved = 20
	paramRetyped = 20 // the rest is renamed
)

// change is what EditChange makes of a content. What it puts in refers to nothing that the content did not refer to.
func (d *deriver) change(content []byte, seed uint32) []byte {
	sh, ok := readShape(content)
	if !ok {
		return content
	}
	r := rand.New(rand.NewPCG(uint64(seed), uint64(len(sh.parts))))
	name := func() uint64 { return uint64(d.w.in.id("x" + strconv.FormatUint(uint64(r.Uint32()), 36))) }
	n, dice := len(sh.parts), r.IntN(100)
	switch sh.kind {
	case btfinfo.KindStruct, btfinfo.KindUnion:
		switch {
		case n == 0 || dice < memberAdded:
			sh.addMember(r, name())
		case dice < memberAdded+memberRemoved && n > 1 && !sh.tagged:
			sh.removeMember(r.IntN(n))
		default:
			p := &sh.parts[r.IntN(n)]
			if dice < memberAdded+memberRemoved+memberRetyped && isPointer(p.typ) {
				p.typ = voidPointer
			} else {
				p.name = name()
			}
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		if n > 1 && dice >= valueAdded {
			i := r.IntN(n)
			sh.parts = slices.Delete(sh.parts, i, i+1)
			break
		}
		// New enumerators come before the last, which often says how many there are.
		i := max(n-1, 0)
		p := shapePart{name: name()}
		if n > 0 {
			p.value = sh.parts[i].value
			if p.value >= sh.maxValue() {
				return content
			}
			sh.parts[i].value++
		}
		sh.parts = slices.Insert(sh.parts, i, p)
	case btfinfo.KindFunc:
		switch {
		case n == 0 || dice < paramAdded && !sh.tagged:
			typ := voidPointer
			if n > 0 {
				typ = sh.parts[r.IntN(n)].typ
			}
			sh.parts = slices.Insert(sh.parts, r.IntN(n+1), shapePart{name: name(), typ: typ})
		case dice < paramAdded+paramRemoved && !sh.tagged:
			i := r.IntN(n)
			sh.parts = slices.Delete(sh.parts, i, i+1)
		default:
			p := &sh.parts[r.IntN(n)]
			if dice < paramAdded+paramRemoved+paramRetyped && isPointer(p.typ) {
				p.typ = voidPointer
			} else if p.name != 0 { // one without a name is "…"
				p.name = name()
			}
		}
	}
	out := sh.content()
	if len(sh.parts) > 1<<15 || len(out) > maxContent {
		return content
	}
	return out
}

// voidPointer is the type void *.
var voidPointer = []byte{opBody | byte(btfinfo.KindPtr), opBody | byte(btfinfo.KindVoid)}

func isPointer(typ []byte) bool { return len(typ) > 0 && typ[0] == opBody|byte(btfinfo.KindPtr) }

// maxValue is the largest value that an enum of this size has in either sign.
func (sh *shape) maxValue() uint64 {
	if sh.size >= 8 {
		return 1<<63 - 1
	}
	return 1<<(8*sh.size-1) - 1
}

// addMember adds a pointer; what follows it in a struct moves by its 8 bytes. Where DECL_TAGs count members, it is the last.
func (sh *shape) addMember(r *rand.Rand, name uint64) {
	p := shapePart{name: name, typ: voidPointer}
	var pointers []int
	for i := range sh.parts {
		if isPointer(sh.parts[i].typ) {
			pointers = append(pointers, i)
		}
	}
	if len(pointers) > 0 {
		p.typ = sh.parts[pointers[r.IntN(len(pointers))]].typ
	}
	const word = 64 // bits
	if sh.kind == btfinfo.KindUnion {
		sh.size = max(sh.size, word/8)
		sh.parts = append(sh.parts, p)
		return
	}
	i := len(sh.parts)
	if i > 0 && !sh.tagged {
		i = r.IntN(i + 1)
	}
	// Bitfields share a unit with their neighbours: the new member goes before a whole one at a multiple of its size.
	for i < len(sh.parts) && (sh.parts[i].off%word != 0 || sh.parts[i].bits != 0 || i > 0 && sh.parts[i-1].off >= sh.parts[i].off) {
		i++
	}
	if i == len(sh.parts) {
		at := (sh.size*8 + word - 1) / word * word
		if at > 1<<31 {
			return
		}
		p.off = uint32(at)
		sh.size = at/8 + word/8
		sh.parts = append(sh.parts, p)
		return
	}
	if sh.size > 1<<28 {
		return
	}
	p.off = sh.parts[i].off
	for j := i; j < len(sh.parts); j++ {
		sh.parts[j].off += word
	}
	sh.size += word / 8
	sh.parts = slices.Insert(sh.parts, i, p)
}

// removeMember takes a member away; where it was a pointer, what follows it in a struct moves down.
func (sh *shape) removeMember(i int) {
	p := sh.parts[i]
	sh.parts = slices.Delete(sh.parts, i, i+1)
	const word = 64
	if sh.kind == btfinfo.KindStruct && isPointer(p.typ) && i < len(sh.parts) && sh.parts[i].off == p.off+word {
		for j := i; j < len(sh.parts); j++ {
			sh.parts[j].off -= min(word, sh.parts[j].off)
		}
		sh.size -= min(word/8, sh.size)
	}
}
