package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Writer holds kernels on their way into an archive. What it writes depends on the kernels in it, not on the order in
// which they came.
type Writer struct {
	in      *interner
	kernels []kernelRecord
	byID    map[string]int
	gone    int // removed kernels, still numbered

	homes   []string // homes[0] is vmlinux
	homeIDs map[string]uint32
	entries []entry
	byName  map[entryKey]int32
	sets    *setPool
	byHash  map[uint64]variantRef // the variant last added of each hash
	seed    maphash.Seed

	grown map[uint32]uint32 // while a kernel is added: sets before and after
}

// kernelRecord is a kernel in a Writer or an archive.
type kernelRecord struct {
	Kernel
	removed     bool
	big         bool // byte order of its BTF
	hasBTF      bool
	modulesRead bool
	allModules  bool
	modules     []uint32 // homes, ascending
	tags        []uint32 // names of DECL_TAGs in vmlinux, interned, ascending by id
}

type entryKey struct {
	kind btfinfo.Kind
	name uint32
}

// entry is all definitions of one kind and name.
type entry struct {
	entryKey
	variants []variant
}

// variant is one definition in one exact shape, and where it is.
type variant struct {
	content []byte
	at      []presence // sorted by home and ordinal
	next    variantRef // of the same hash
}

// presence says which kernels have a definition in one home under one ordinal.
type presence struct {
	home, ord uint32
	set       uint32
}

type variantRef struct{ entry, variant int32 } // both plus 1; 0: none

// NewWriter returns a Writer without kernels.
func NewWriter() *Writer {
	w := &Writer{in: newInterner(), byID: make(map[string]int), homes: []string{"vmlinux"}, homeIDs: map[string]uint32{"vmlinux": 0},
		byName: make(map[entryKey]int32), sets: newSetPool(), byHash: make(map[uint64]variantRef), seed: maphash.MakeSeed()}
	return w
}

// Kernels are the kernels in the Writer, sorted.
func (w *Writer) Kernels() []Kernel {
	var out []Kernel
	for i := range w.kernels {
		if !w.kernels[i].removed {
			out = append(out, w.kernels[i].Kernel)
		}
	}
	slices.SortFunc(out, func(a, b Kernel) int { return CompareIDs(a.ID, b.ID) })
	return out
}

// Add puts a kernel into the Writer. One of the same ID is replaced; changed is false where it was the same in all.
// On an error, a BTF that can't be stored, the Writer is as before.
func (w *Writer) Add(b *Build) (changed bool, err error) {
	if err := checkKernel(&b.Kernel); err != nil {
		return false, err
	}
	if (b.BTF == nil) != (b.NoBTF != "") {
		return false, fmt.Errorf("%s: a kernel has either BTF or a reason why it has none", b.ID)
	}
	var vmlinux *decomposed
	var parts []*decomposed
	rec := kernelRecord{Kernel: sorted(b.Kernel), modulesRead: b.ModulesRead, allModules: b.AllModules}
	if b.BTF != nil {
		rec.hasBTF, rec.big = true, b.BTF.ByteOrder() == binary.BigEndian
		if vmlinux, err = decompose(b.BTF, nil, w.in); err != nil {
			return false, fmt.Errorf("%s: %w", b.ID, err)
		}
		if len(vmlinux.defs) == 0 {
			return false, &btfinfo.Error{File: b.ID, Section: ".BTF", Off: -1, Msg: "has no type with a name"}
		}
		rec.tags = vmlinux.tagNames
	}
	homes := make(map[uint32]bool)
	for i := range b.Modules {
		m := &b.Modules[i]
		if m.Name == "" || strings.Contains(m.Name, "\x00") {
			return false, fmt.Errorf("%s: a module has the name %q", b.ID, m.Name)
		}
		if vmlinux == nil || m.BTF.Base() != b.BTF {
			return false, fmt.Errorf("%s: the BTF of module %s is not based on this kernel's", b.ID, m.Name)
		}
		h := w.home(m.Name)
		if h == 0 || homes[h] {
			return false, fmt.Errorf("%s: two modules are named %s", b.ID, m.Name)
		}
		homes[h] = true
		rec.modules = append(rec.modules, h)
		d, err := decompose(m.BTF, vmlinux, w.in)
		if err != nil {
			return false, fmt.Errorf("%s: module %s: %w", b.ID, m.Name, err)
		}
		parts = append(parts, d)
	}
	slices.Sort(rec.modules)

	old := -1
	if i, ok := w.byID[b.ID]; ok {
		old = i
	}
	k := uint32(len(w.kernels))
	w.kernels = append(w.kernels, rec)
	w.byID[b.ID] = int(k)
	w.grown = make(map[uint32]uint32)
	same := old >= 0 && w.kernels[old].equal(&rec)
	note := func(home uint32, d *decomposed) {
		for i := range d.defs {
			def := &d.defs[i]
			before := w.put(entryKey{def.kind, def.name}, d.content[def.at[0]:def.at[1]], home, def.ord, k)
			same = same && w.sets.list[before].has(uint32(old))
		}
	}
	if vmlinux != nil {
		note(0, vmlinux)
	}
	for i := range parts {
		note(w.homeIDs[b.Modules[i].Name], parts[i])
	}
	w.grown = nil
	if old >= 0 {
		// What the old one had beyond the new one shows only when it is counted.
		same = same && w.count(uint32(old)) == w.count(k)
		w.kernels[old].removed = true
		w.gone++
	}
	return !same, nil
}

// sorted returns a kernel with copies of its lists, in the order in which an archive has them.
func sorted(k Kernel) Kernel {
	k.Sources, k.Config, k.Missing = slices.Clone(k.Sources), slices.Clone(k.Config), slices.Clone(k.Missing)
	slices.SortFunc(k.Sources, func(a, b Source) int {
		return cmp.Or(strings.Compare(a.URI, b.URI), strings.Compare(a.SHA256, b.SHA256), strings.Compare(a.Date, b.Date))
	})
	slices.Sort(k.Config)
	slices.SortStableFunc(k.Missing, func(a, b Missing) int { return strings.Compare(a.Fact, b.Fact) }) // reasons tell a story
	return k
}

// equal compares what is not definitions.
func (r *kernelRecord) equal(o *kernelRecord) bool {
	return bytes.Equal(appendKernel(nil, &r.Kernel), appendKernel(nil, &o.Kernel)) && r.big == o.big && r.hasBTF == o.hasBTF && r.modulesRead == o.modulesRead && r.allModules == o.allModules &&
		slices.Equal(r.modules, o.modules)
}

// count is the number of definitions of a kernel.
func (w *Writer) count(k uint32) (n int) {
	has := make([]bool, len(w.sets.list))
	for i, s := range w.sets.list {
		has[i] = s.has(k)
	}
	w.each(func(_ *entry, _ *variant, p *presence) {
		if has[p.set] {
			n++
		}
	})
	return n
}

func (w *Writer) each(f func(*entry, *variant, *presence)) {
	for i := range w.entries {
		for j := range w.entries[i].variants {
			v := &w.entries[i].variants[j]
			for p := range v.at {
				f(&w.entries[i], v, &v.at[p])
			}
		}
	}
}

func (w *Writer) home(name string) uint32 {
	h, ok := w.homeIDs[name]
	if !ok {
		h = uint32(len(w.homes))
		w.homes = append(w.homes, name)
		w.homeIDs[name] = h
	}
	return h
}

// put notes that kernel k has a definition. It returns the set of kernels that were known to have it there before.
func (w *Writer) put(key entryKey, content []byte, home, ord, k uint32) (before uint32) {
	v := w.variant(key, content)
	i, found := slices.BinarySearchFunc(v.at, presence{home: home, ord: ord}, func(a, b presence) int {
		return cmp.Or(cmp.Compare(a.home, b.home), cmp.Compare(a.ord, b.ord))
	})
	if !found {
		v.at = slices.Insert(v.at, i, presence{home: home, ord: ord})
	}
	p := &v.at[i]
	before = p.set
	to, ok := w.grown[before]
	if !ok {
		to = w.sets.id(w.sets.list[before].add(k))
		w.grown[before] = to
	}
	p.set = to
	return before
}

// variant finds or makes the variant of this content.
func (w *Writer) variant(key entryKey, content []byte) *variant {
	var h maphash.Hash
	h.SetSeed(w.seed)
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:], key.name)
	head[4] = byte(key.kind)
	h.Write(head[:])
	h.Write(content)
	sum := h.Sum64()
	first := w.byHash[sum]
	for r := first; r.entry != 0; {
		e := &w.entries[r.entry-1]
		v := &e.variants[r.variant-1]
		if e.entryKey == key && bytes.Equal(v.content, content) {
			return v
		}
		r = v.next
	}
	i, ok := w.byName[key]
	if !ok {
		i = int32(len(w.entries))
		w.entries = append(w.entries, entry{entryKey: key})
		w.byName[key] = i
	}
	e := &w.entries[i]
	e.variants = append(e.variants, variant{content: bytes.Clone(content), next: first})
	w.byHash[sum] = variantRef{i + 1, int32(len(e.variants))}
	return &e.variants[len(e.variants)-1]
}

// Remove takes a kernel out; it tells whether there was one of that ID.
func (w *Writer) Remove(id string) bool {
	i, ok := w.byID[id]
	if !ok {
		return false
	}
	w.kernels[i].removed = true
	w.gone++
	delete(w.byID, id)
	return true
}

// Merge adds the kernels of an archive. Of a kernel that is in the Writer already, the Writer's stays.
func (w *Writer) Merge(a *Archive) error {
	return w.MergeOnly(a, func(*Kernel) bool { return true })
}

// MergeOnly is Merge for the kernels for which keep is true. After an error, of an archive that is damaged or that has
// what this version does not know and would lose, the Writer must not be used any more.
func (w *Writer) MergeOnly(a *Archive, keep func(*Kernel) bool) error {
	if a.newer != "" {
		return &btfinfo.Error{File: a.name, Off: -1, Msg: fmt.Sprintf("has %s that this corecheck does not know and would lose", a.newer),
			Hint: "use the corecheck that wrote it, or a newer one"}
	}
	to := make([]int32, len(a.kernels)) // their indices here
	homes := make([]uint32, len(a.homes))
	for i, h := range a.homes {
		homes[i] = w.home(h.name)
	}
	any := false
	for i := range a.kernels {
		to[i] = -1
		if _, ok := w.byID[a.kernels[i].ID]; ok || !keep(&a.kernels[i].Kernel) {
			continue
		}
		any = true
		rec := a.kernels[i]
		rec.modules, rec.tags = nil, nil
		for h := range a.homes[1:] {
			if a.homes[h+1].set.has(uint32(i)) {
				rec.modules = append(rec.modules, homes[h+1])
			}
		}
		slices.Sort(rec.modules)
		for _, t := range a.tags {
			if t.set.has(uint32(i)) {
				rec.tags = append(rec.tags, w.in.id(t.name))
			}
		}
		slices.Sort(rec.tags)
		to[i] = int32(len(w.kernels))
		w.byID[rec.ID] = len(w.kernels)
		w.kernels = append(w.kernels, rec)
	}
	if !any {
		return nil
	}
	sets := make(map[uint32]uint32) // numbers here, by number there
	remap := newRemapper(to)
	byPlace := func(a, b presence) int { return cmp.Or(cmp.Compare(a.home, b.home), cmp.Compare(a.ord, b.ord)) }
	joined := make(map[[2]uint32]uint32)
	return a.eachBlock(func(b *block) error {
		names := make([]uint32, len(b.strs))
		for i := range b.strs {
			names[i] = w.in.id(b.strs[i])
		}
		var content []byte
		var at []presence
		return b.each(func(e *blockEntry, v *blockVariant) error {
			at = at[:0]
			for _, p := range v.at {
				s, ok := sets[p.set]
				if !ok {
					r, err := a.set(p.set)
					if err != nil {
						return err
					}
					s = w.sets.id(remap.remap(r))
					sets[p.set] = s
				}
				if s != 0 { // the empty set
					at = append(at, presence{homes[p.home], p.ord, s})
				}
			}
			if len(at) == 0 {
				return nil
			}
			src := source{b: v.content}
			content = translate(content[:0], &src, func(n uint64) uint64 {
				if n >= uint64(len(names)) {
					src.bad = true
					return 0
				}
				return uint64(names[n])
			})
			if src.bad {
				return b.errorf("the definition of %s %s is damaged", e.kind, e.name)
			}
			x := w.variant(entryKey{e.kind, w.in.id(e.name)}, content)
			if len(x.at) == 0 && slices.IsSortedFunc(at, byPlace) {
				x.at = slices.Clone(at)
				return nil
			}
			for _, p := range at {
				i, found := slices.BinarySearchFunc(x.at, p, byPlace)
				if !found {
					x.at = slices.Insert(x.at, i, p)
					continue
				}
				pair := [2]uint32{x.at[i].set, p.set}
				id, ok := joined[pair]
				if !ok {
					id = w.sets.id(w.sets.list[pair[0]].union(w.sets.list[pair[1]]))
					joined[pair] = id
				}
				x.at[i].set = id
			}
			return nil
		})
	})
}

// checkKernel refuses what an archive can't hold.
func checkKernel(k *Kernel) error {
	parts := strings.Split(k.ID, "/")
	if len(parts) != 4 || slices.Contains(parts, "") {
		return fmt.Errorf("kernel ID %q: want distro/release/arch/uname", k.ID)
	}
	if want := strings.Join([]string{k.Distro, k.Release, k.Arch, k.Uname}, "/"); want != k.ID {
		return fmt.Errorf("kernel ID %q does not agree with its parts %q", k.ID, want)
	}
	if len(appendKernel(nil, k)) > maxRecord {
		return fmt.Errorf("%s: the description takes more than %d bytes, the limit", k.ID, maxRecord)
	}
	if strings.ContainsFunc(k.ID, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return fmt.Errorf("kernel ID %q has control characters", k.ID)
	}
	ends := func(text ...string) bool {
		return slices.ContainsFunc(text, func(s string) bool { return strings.Contains(s, "\x00") })
	}
	if slices.ContainsFunc(k.Sources, func(s Source) bool { return ends(s.URI, s.SHA256, s.Date) }) ||
		slices.ContainsFunc(k.Missing, func(m Missing) bool { return ends(m.Fact, m.Reason) }) {
		return fmt.Errorf("%s: a source or a missing fact has a 0 byte, which ends it in an archive", k.ID)
	}
	return nil
}
