package kernels

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Sets behave as maps do.
func TestSet(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 63, 64, 65, 128, 1000} {
		full := Full(n)
		if full.Len() != n || full.First() != 0 || full.Last() != n-1 {
			t.Fatalf("Full(%d) has %d, from %d to %d", n, full.Len(), full.First(), full.Last())
		}
		empty := NewSet(n)
		if !empty.Empty() || empty.First() != -1 || empty.Last() != -1 || empty.Len() != 0 {
			t.Fatalf("NewSet(%d) is not empty", n)
		}
		for range 50 {
			random := func() (Set, map[int]bool) {
				s, m := NewSet(n), make(map[int]bool)
				for range rng.IntN(n + 1) {
					i := rng.IntN(n)
					s.Add(i)
					m[i] = true
					if rng.IntN(4) == 0 {
						s.Remove(i)
						delete(m, i)
					}
				}
				return s, m
			}
			a, am := random()
			b, bm := random()
			check := func(what string, got Set, want func(i int) bool) {
				t.Helper()
				var list []int
				for i := range n {
					if want(i) {
						list = append(list, i)
					}
				}
				var each []int
				got.Each(func(i int) { each = append(each, i) })
				if !slices.Equal(each, list) {
					t.Fatalf("%s of %d: %v, want %v", what, n, each, list)
				}
				if got.Len() != len(list) || got.Empty() != (len(list) == 0) {
					t.Fatalf("%s of %d: %d long, empty %v", what, n, got.Len(), got.Empty())
				}
				if len(list) > 0 && (got.First() != list[0] || got.Last() != list[len(list)-1]) {
					t.Fatalf("%s of %d: from %d to %d, want %v", what, n, got.First(), got.Last(), list)
				}
			}
			and, or, not := a.Clone(), a.Clone(), a.Clone()
			and.And(b)
			or.Or(b)
			not.AndNot(b)
			check("a", a, func(i int) bool { return am[i] })
			check("and", and, func(i int) bool { return am[i] && bm[i] })
			check("or", or, func(i int) bool { return am[i] || bm[i] })
			check("and not", not, func(i int) bool { return am[i] && !bm[i] })
			if a.Intersects(b) == and.Empty() {
				t.Fatalf("Intersects is %v, the intersection has %d", a.Intersects(b), and.Len())
			}
			same := not.Empty() && and.Len() == b.Len()
			if a.Equal(b) != same || (a.Key() == b.Key()) != same {
				t.Fatalf("Equal is %v, equal keys %v, want %v", a.Equal(b), a.Key() == b.Key(), same)
			}
		}
	}
	if Full(0).Key() != "" || !Full(0).Empty() {
		t.Error("a set of no kernels is not empty")
	}
}
