package kernels

import (
	"math/bits"
	"unsafe"
)

// Set is a set of kernels of one Pool: a bitmap over their indexes. Sets of one pool have the same length; And, AndNot and
// Or change the set that they are called on.
type Set []uint64

// NewSet returns the empty set for a pool of n kernels.
func NewSet(n int) Set { return make(Set, (n+63)/64) }

// Full returns the set of all n kernels of a pool.
func Full(n int) Set {
	s := NewSet(n)
	for i := range s {
		s[i] = ^uint64(0)
	}
	if r := n % 64; r != 0 {
		s[len(s)-1] = 1<<r - 1
	}
	return s
}

// Add puts kernel i into the set.
func (s Set) Add(i int) { s[i/64] |= 1 << (i % 64) }

// Remove takes kernel i out of the set.
func (s Set) Remove(i int) { s[i/64] &^= 1 << (i % 64) }

// Has tells whether kernel i is in the set.
func (s Set) Has(i int) bool { return s[i/64]>>(i%64)&1 != 0 }

// And keeps what is in t too.
func (s Set) And(t Set) {
	for i, w := range t[:len(s)] {
		s[i] &= w
	}
}

// AndNot takes out what is in t.
func (s Set) AndNot(t Set) {
	for i, w := range t[:len(s)] {
		s[i] &^= w
	}
}

// Or adds what is in t.
func (s Set) Or(t Set) {
	for i, w := range t[:len(s)] {
		s[i] |= w
	}
}

// Clone returns a copy.
func (s Set) Clone() Set { return append(Set(nil), s...) }

// Empty tells whether no kernel is in the set.
func (s Set) Empty() bool {
	for _, w := range s {
		if w != 0 {
			return false
		}
	}
	return true
}

// Intersects tells whether a kernel is in both sets.
func (s Set) Intersects(t Set) bool {
	for i, w := range t[:len(s)] {
		if s[i]&w != 0 {
			return true
		}
	}
	return false
}

// Equal tells whether both sets have the same kernels.
func (s Set) Equal(t Set) bool {
	for i, w := range t[:len(s)] {
		if s[i] != w {
			return false
		}
	}
	return true
}

// Len is the number of kernels in the set.
func (s Set) Len() int {
	n := 0
	for _, w := range s {
		n += bits.OnesCount64(w)
	}
	return n
}

// First is the lowest kernel in the set, -1 where it is empty.
func (s Set) First() int {
	for i, w := range s {
		if w != 0 {
			return 64*i + bits.TrailingZeros64(w)
		}
	}
	return -1
}

// Last is the highest kernel in the set, -1 where it is empty.
func (s Set) Last() int {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] != 0 {
			return 64*i + 63 - bits.LeadingZeros64(s[i])
		}
	}
	return -1
}

// Each calls f with the kernels of the set in ascending order.
func (s Set) Each(f func(i int)) {
	for i, w := range s {
		for ; w != 0; w &= w - 1 {
			f(64*i + bits.TrailingZeros64(w))
		}
	}
}

// Key is the set as a string, for use as a key of maps: equal sets of one pool have equal keys.
func (s Set) Key() string {
	if len(s) == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(unsafe.Pointer(&s[0])), 8*len(s)))
}
