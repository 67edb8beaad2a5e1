package btfinfo

import (
	"encoding/binary"
	"slices"
	"testing"
)

// wheel owns a Lazy in which chains lead back to where they start: no Parse looked at them.
type wheel struct {
	lazy  *Lazy
	at    []uint32 // by slot
	named map[string][]uint32
}

func (w *wheel) Slot(n uint32) uint32 { return w.at[n] }

func (w *wheel) Essential(name string, kinds []Kind, yield func(Type) bool) {
	for _, slot := range w.named[name] {
		if !yield(w.lazy.BTF().Type(ID(slot) + 1)) {
			return
		}
	}
}

// newWheel makes types of the given kinds of which each refers to the next one, and the last to the first. They are called a, b, c …
func newWheel(kinds ...Kind) *wheel {
	w := &wheel{named: make(map[string][]uint32)}
	w.lazy = NewLazy(w)
	for i := range kinds {
		w.lazy.NewSlot(uint32(i))
	}
	for i, k := range kinds {
		name := string(rune('a' + i))
		next := uint32((i+1)%len(kinds)) + 1
		words := []uint32{w.lazy.String(name), uint32(k) << 24, next}
		switch k {
		case KindArray:
			words = append(words[:2], 0, next, next, 1)
		case KindStruct:
			words[1] |= 1
			words = append(words[:2], 8, 0, next, 0)
		}
		w.at = append(w.at, w.lazy.Put(words))
		w.named[name] = append(w.named[name], uint32(i))
	}
	return w
}

func TestLazyChainsEnd(t *testing.T) {
	for _, kinds := range [][]Kind{
		{KindTypedef},
		{KindTypedef, KindTypedef},
		{KindConst, KindVolatile, KindRestrict, KindTypeTag},
		{KindArray},
		{KindArray, KindTypedef, KindConst},
		{KindVar, KindTypedef},
	} {
		b := newWheel(kinds...).lazy.BTF()
		if size, ok := b.SizeOf(1); ok {
			t.Errorf("%v: size %d of a type that holds itself", kinds, size)
		}
		if !slices.Contains(kinds, KindArray) && !slices.Contains(kinds, KindVar) {
			if got := b.Skip(1).Kind(); got != KindVoid {
				t.Errorf("%v: Skip ends at %s, want void", kinds, got)
			}
			if off, size := b.MemberBits(Member{Type: 1, Off: 8}); off != 8 || size != 0 {
				t.Errorf("%v: MemberBits %d, %d", kinds, off, size)
			}
		}
		if !slices.Contains(kinds, KindTypedef) && kinds[0].IsModifier() {
			if got := b.SkipModifiers(1).Kind(); got != KindVoid {
				t.Errorf("%v: SkipModifiers ends at %s, want void", kinds, got)
			}
		}
	}
}

// TestMaxChain: the longest chain that Parse takes, through a split BTF and its base, is followed to its end.
func TestMaxChain(t *testing.T) {
	chain := func(first, to uint32, n int, strs string) []byte {
		var words []uint32
		for i := range n {
			words = append(words, 0, uint32(KindConst)<<24, to)
			to = first + uint32(i)
		}
		out := make([]byte, 24)
		binary.LittleEndian.PutUint16(out, btfMagic)
		out[2] = btfVersion
		binary.LittleEndian.PutUint32(out[4:], 24)
		binary.LittleEndian.PutUint32(out[12:], uint32(4*len(words)))
		binary.LittleEndian.PutUint32(out[16:], uint32(4*len(words)))
		binary.LittleEndian.PutUint32(out[20:], uint32(len(strs)))
		for _, w := range words {
			out = binary.LittleEndian.AppendUint32(out, w)
		}
		return append(out, strs...)
	}
	// A float, and 63 modifiers before it: types 1 and 2 to 64. Then 64 more.
	base := chain(2, 1, maxChainDepth-1, "\x00f\x00")
	float := []uint32{1, uint32(KindFloat) << 24, 8}
	var head []byte
	for _, w := range float {
		head = binary.LittleEndian.AppendUint32(head, w)
	}
	base = slices.Insert(base, 24, head...)
	for _, off := range []int{12, 16} {
		binary.LittleEndian.PutUint32(base[off:], binary.LittleEndian.Uint32(base[off:])+12)
	}
	b, err := Parse(base)
	if err != nil {
		t.Fatal(err)
	}
	split, err := ParseSplit(chain(uint32(b.NumTypes()), uint32(b.NumTypes()-1), maxChainDepth, ""), b)
	if err != nil {
		t.Fatal(err)
	}
	last := ID(split.NumTypes() - 1)
	if got := split.Skip(last).Name(); got != "f" {
		t.Errorf("Skip ends at %q, want f", got)
	}
	if got := split.SkipModifiers(last).Name(); got != "f" {
		t.Errorf("SkipModifiers ends at %q, want f", got)
	}
	if size, ok := split.SizeOf(last); !ok || size != 8 {
		t.Errorf("SizeOf: %d, %v, want 8", size, ok)
	}
}
