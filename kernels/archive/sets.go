package archive

import (
	"cmp"
	"encoding/binary"
	"hash/maphash"
	"math"
	"math/bits"
	"slices"
)

// runs is a set of kernels as runs of consecutive indices: start, end (exclusive), start, end …, ascending and never
// touching each other. Definitions live from one kernel of a series to another, so that sets are a few runs.
type runs []uint32

// add returns the set with k in it.
func (r runs) add(k uint32) runs {
	i, _ := slices.BinarySearch(r, k+1) // the first boundary past k
	if i%2 == 1 {
		return r
	}
	left, right := i > 0 && r[i-1] == k, i < len(r) && r[i] == k+1
	out := slices.Clone(r)
	switch {
	case left && right:
		return slices.Delete(out, i-1, i+1)
	case left:
		out[i-1] = k + 1
	case right:
		out[i] = k
	default:
		out = slices.Insert(out, i, k, k+1)
	}
	return out
}

// remap returns the set with each index i as to[i]; those that are negative there are left out.
func (r runs) remap(to []int32) runs {
	n, last := 0, int32(-1)
	for i := 0; i < len(r); i += 2 {
		for _, k := range to[r[i]:r[i+1]] {
			if k >= 0 {
				n, last = n+1, max(last, k)
			}
		}
	}
	// Sorting what the indices become takes most of the time of writing thousands of kernels; a bit for each does it for all
	// but sets of few.
	if n > int(last)/64 {
		return r.remapBits(to, last)
	}
	list := make([]uint32, 0, n)
	for i := 0; i < len(r); i += 2 {
		for _, k := range to[r[i]:r[i+1]] {
			if k >= 0 {
				list = append(list, uint32(k))
			}
		}
	}
	slices.Sort(list)
	return runsOf(list)
}

// remapBits is remap by a bit for each index up to the last that the set gets.
func (r runs) remapBits(to []int32, last int32) (out runs) {
	words := make([]uint64, (last+1)/64+1)
	for i := 0; i < len(r); i += 2 {
		for _, k := range to[r[i]:r[i+1]] {
			if k >= 0 {
				words[k/64] |= 1 << (k % 64)
			}
		}
	}
	in := false // the last run goes on
	for i, w := range words {
		for at := 0; at < 64; {
			// The distance to the next bit that is different.
			x := w >> at
			if in {
				x = ^x
			}
			at += min(bits.TrailingZeros64(x), 64-at)
			if at < 64 {
				out = append(out, uint32(i*64+at))
				in = !in
			}
		}
	}
	return out // the last word has no bit beyond the last index
}

// runsOf makes a set of an ascending list, in which an index may stand more than once.
func runsOf(list []uint32) runs {
	var out runs
	for _, k := range list {
		if n := len(out); n > 0 && out[n-1] >= k {
			out[n-1] = k + 1
		} else {
			out = append(out, k, k+1)
		}
	}
	return out
}

// union returns the set of what is in either.
func (r runs) union(o runs) runs {
	if len(r) == 0 {
		return o
	}
	var out runs
	for len(r) > 0 || len(o) > 0 {
		if len(r) == 0 || len(o) > 0 && o[0] < r[0] {
			r, o = o, r
		}
		if n := len(out); n > 0 && out[n-1] >= r[0] {
			out[n-1] = max(out[n-1], r[1])
		} else {
			out = append(out, r[0], r[1])
		}
		r = r[2:]
	}
	return out
}

func (r runs) has(k uint32) bool {
	i, _ := slices.BinarySearch(r, k+1)
	return i%2 == 1
}

// covers tells whether all of o is in r.
func (r runs) covers(o runs) bool {
	for ; len(o) > 0; o = o[2:] {
		for len(r) > 0 && r[1] <= o[0] {
			r = r[2:]
		}
		if len(r) == 0 || r[0] > o[0] || r[1] < o[1] {
			return false
		}
	}
	return true
}

// size is the number of kernels in the set.
func (r runs) size() (n int) {
	for i := 0; i < len(r); i += 2 {
		n += int(r[i+1] - r[i])
	}
	return n
}

// append writes the number of runs and, of each, the gap before it and its length, less 1 where they can't be 0.
func (r runs) append(b []byte) []byte {
	b = appendNum(b, uint64(len(r)/2))
	at := uint32(0)
	for i := 0; i < len(r); i += 2 {
		gap := r[i] - at
		if i > 0 {
			gap--
		}
		b = appendNum(b, uint64(gap))
		b = appendNum(b, uint64(r[i+1]-r[i]-1))
		at = r[i+1]
	}
	return b
}

// runs reads a set of n kernels in all.
func (s *source) runs(n int) runs {
	count := s.num()
	if count > uint64(len(s.b))/2 {
		s.bad = true
		return nil
	}
	out := make(runs, 0, 2*count)
	at := uint64(0)
	for i := range count {
		gap, length := s.num(), s.num()
		if gap > math.MaxUint32 || length > math.MaxUint32 {
			s.bad = true
			return nil
		}
		if i > 0 {
			gap++
		}
		start := at + gap
		at = start + length + 1
		if at > uint64(n) {
			s.bad = true
			return nil
		}
		out = append(out, uint32(start), uint32(at))
	}
	return out
}

// remapper is runs.remap for many sets. Most writers change little: indices that follow each other do so afterwards, and a run
// needs not be looked at kernel by kernel.
type remapper struct {
	to      []int32
	ends    []uint32 // by index: where the stretch around it ends that stays together, or is left out as a whole
	same    bool     // no index changes
	scratch runs
}

func newRemapper(to []int32) *remapper {
	m := &remapper{to: to, ends: make([]uint32, len(to)), same: true}
	end := uint32(len(to))
	for i := len(to) - 1; i >= 0; i-- {
		if i+1 < len(to) && !(to[i] >= 0 && to[i+1] == to[i]+1 || to[i] < 0 && to[i+1] < 0) {
			end = uint32(i + 1)
		}
		m.ends[i] = end
		m.same = m.same && to[i] == int32(i)
	}
	return m
}

// maxPieces is how many pieces of a set are sorted; sets of more get a bit for each kernel.
const maxPieces = 64

// remap is r.remap(m.to). Sets are never changed, so that it may be r itself.
func (m *remapper) remap(r runs) runs {
	if m.same {
		return r
	}
	out, sorted := m.scratch[:0], true
	for i := 0; i < len(r); i += 2 {
		for at := r[i]; at < r[i+1]; {
			end := min(m.ends[at], r[i+1])
			if k := m.to[at]; k >= 0 {
				if n := len(out); n > 0 && out[n-1] == uint32(k) {
					out[n-1] += end - at
				} else {
					sorted = sorted && (n == 0 || out[n-1] < uint32(k))
					out = append(out, uint32(k), uint32(k)+end-at)
				}
				if !sorted && len(out) > 2*maxPieces {
					m.scratch = out
					return r.remap(m.to)
				}
			}
			at = end
		}
	}
	m.scratch = out
	if sorted {
		return slices.Clone(out)
	}
	pieces := make([][2]uint32, 0, maxPieces)
	for ; len(out) > 0; out = out[2:] {
		pieces = append(pieces, [2]uint32{out[0], out[1]})
	}
	slices.SortFunc(pieces, func(a, b [2]uint32) int { return cmp.Compare(a[0], b[0]) })
	for _, p := range pieces {
		if n := len(out); n > 0 && out[n-1] == p[0] {
			out[n-1] = p[1]
		} else {
			out = append(out, p[0], p[1])
		}
	}
	return slices.Clone(out)
}

// setPool numbers sets. Set 0 is the empty one.
type setPool struct {
	list  []runs
	next  []uint32          // by number: another set of the same hash, 0 for none
	first map[uint64]uint32 // by hash
	seed  maphash.Seed
	key   []byte
}

func newSetPool() *setPool {
	return &setPool{list: []runs{nil}, next: []uint32{0}, first: make(map[uint64]uint32), seed: maphash.MakeSeed()}
}

func (p *setPool) id(r runs) uint32 {
	if len(r) == 0 {
		return 0
	}
	p.key = p.key[:0]
	for _, x := range r {
		p.key = binary.LittleEndian.AppendUint32(p.key, x)
	}
	sum := maphash.Bytes(p.seed, p.key)
	first := p.first[sum]
	for id := first; id != 0; id = p.next[id] {
		if slices.Equal(p.list[id], r) {
			return id
		}
	}
	id := uint32(len(p.list))
	p.first[sum] = id
	p.next = append(p.next, first)
	p.list = append(p.list, r)
	return id
}

// CompareIDs orders kernels in an archive: names as people sort them, numbers in them by value (5.10.0-9 before 5.10.0-46), and
// by their bytes where that makes no difference. The kernels of a series stand together so, and sets are few runs.
func CompareIDs(a, b string) int {
	x, y := a, b
	for x != "" && y != "" {
		if isDigit(x[0]) && isDigit(y[0]) {
			var n, m string
			n, x = number(x)
			m, y = number(y)
			if c := cmp.Or(cmp.Compare(len(n), len(m)), cmp.Compare(n, m)); c != 0 {
				return c
			}
			continue
		}
		if x[0] != y[0] {
			return cmp.Compare(x[0], y[0])
		}
		x, y = x[1:], y[1:]
	}
	return cmp.Or(cmp.Compare(len(x), len(y)), cmp.Compare(a, b))
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number splits the digits off the start of s, without leading zeros.
func number(s string) (digits, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	j := 0
	for j < i-1 && s[j] == '0' {
		j++
	}
	return s[j:i], s[i:]
}
