package btfinfo

import (
	"hash/maphash"
	"math/bits"
	"strings"
)

// EssentialName is the name without its flavour: everything before the last "___" that has a character other than '_'
// on both sides. Source: bpf_core_essential_name_len in libbpf v1.7's relo_core.c.
func EssentialName(name string) string {
	if !strings.Contains(name, "___") { // nearly always, and faster than searching from the end
		return name
	}
	// libbpf tests i = n-5 down to 0 for name[i] != '_', "___" at i+1, name[i+4] != '_'.
	for end := len(name); ; {
		i := strings.LastIndex(name[:end], "___")
		if i < 0 {
			return name
		}
		if i > 0 && name[i-1] != '_' && i+3 < len(name) && name[i+3] != '_' {
			return name[:i]
		}
		end = i + 2
	}
}

// nameIndex finds own types by essential name: a hash table of chains through the types, in ascending order of ids.
type nameIndex struct {
	shift uint8
	head  []uint32 // index of the first type of the bucket, plus 1
	next  []uint32 // next[i]: index of the next type of i's bucket, plus 1
}

var nameSeed = maphash.MakeSeed()

func (b *BTF) buildNames() {
	n := len(b.pos)
	logSize := max(bits.Len(uint(n)), 4)
	x := nameIndex{shift: uint8(64 - logSize), head: make([]uint32, 1<<logSize), next: make([]uint32, n)}
	for i := n - 1; i >= 0; i-- { // backwards, so that each chain ascends
		off := b.words[b.pos[i]]
		if off == 0 {
			continue
		}
		name := b.str(off)
		if name == "" {
			continue
		}
		h := maphash.String(nameSeed, EssentialName(name)) >> x.shift
		x.next[i] = x.head[h]
		x.head[h] = uint32(i) + 1
	}
	b.names = x
}

// OwnEssential calls yield for every own type (not the base's) whose essential name is name, in ascending order of ids,
// until yield returns false; where kinds are given, for those of these kinds. This is the candidate search of CO-RE.
func (b *BTF) OwnEssential(name string, yield func(Type) bool, kinds ...Kind) {
	if b.lazy != nil {
		b.lazy.owner.Essential(name, kinds, func(t Type) bool {
			return !oneOf(t.Kind(), kinds) || yield(t)
		})
		return
	}
	b.namesOnce.Do(b.buildNames)
	h := maphash.String(nameSeed, name) >> b.names.shift
	for i := b.names.head[h]; i != 0; i = b.names.next[i-1] {
		w := b.words[b.pos[i-1]:]
		if EssentialName(b.str(w[0])) != name || !oneOf(Kind(w[1]>>24&0x1f), kinds) {
			continue
		}
		if !yield(Type{b: b, id: b.first + ID(i-1), w: w}) {
			return
		}
	}
}

// Named returns the ids of all types with exactly this name and one of these kinds (any kind where none is given), the
// base's first, in ascending order.
func (b *BTF) Named(name string, kinds ...Kind) []ID {
	var ids []ID
	if b.base != nil {
		ids = b.base.Named(name, kinds...)
	}
	b.OwnEssential(EssentialName(name), func(t Type) bool {
		if t.Name() == name {
			ids = append(ids, t.ID())
		}
		return true
	}, kinds...)
	return ids
}

func oneOf(k Kind, kinds []Kind) bool {
	for _, x := range kinds {
		if x == k {
			return true
		}
	}
	return len(kinds) == 0
}
