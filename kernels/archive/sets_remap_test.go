package archive

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// TestRemap holds the three ways of translating a set against a fourth one.
func TestRemap(t *testing.T) {
	t.Parallel()
	const seed = 11
	r := rand.New(rand.NewPCG(seed, 0))
	for range 2000 {
		n := 1 + r.IntN(300)
		to := make([]int32, n)
		room := n + r.IntN(2)*r.IntN(500) // what the indices become may be more than there are
		for i, k := range r.Perm(room)[:n] {
			if to[i] = int32(k); r.IntN(10) == 0 {
				to[i] = -1
			}
		}
		if r.IntN(2) == 0 { // as where few kernels come and go
			slices.Sort(to)
			for range r.IntN(4) {
				i, k := r.IntN(n), r.IntN(n)
				to[i], to[k] = to[k], to[i]
			}
		}
		var set, want []uint32
		density := r.IntN(11)
		for k := range n {
			if r.IntN(10) < density {
				set = append(set, uint32(k))
				if to[k] >= 0 {
					want = append(want, uint32(to[k]))
				}
			}
		}
		slices.Sort(want)
		if got := newRemapper(to).remap(runsOf(set)); !slices.Equal(got, runsOf(want)) {
			t.Fatalf("seed %d: %v by %v is %v in pieces, want %v", seed, set, to, got, runsOf(want))
		}
		if got := runsOf(set).remap(to); !slices.Equal(got, runsOf(want)) {
			t.Fatalf("seed %d: %v by %v is %v, want %v", seed, set, to, got, runsOf(want))
		}
		if got := runsOf(set).remapBits(to, int32(room)); !slices.Equal(got, runsOf(want)) {
			t.Fatalf("seed %d: %v by %v is %v in bits, want %v", seed, set, to, got, runsOf(want))
		}
	}
}
