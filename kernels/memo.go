package kernels

// Memo keeps the answers to one question, each with the kernels that it holds for, so that questions which share it
// don't ask again. It is used with one View. Values must not hold on to types or a BTF: those are one representative's,
// and the value is handed to others.
type Memo[T any] struct {
	entries []memoEntry[T]
	last    int // that was used last: the next question is mostly about the same kernel
}

type memoEntry[T any] struct {
	set   Set
	value T
}

// Get returns the answer for the representative of v: a kept one, or that of compute, which may ask v. What depends on the
// answer holds for the kernels that it holds for.
func (m *Memo[T]) Get(v *View, compute func() T) T {
	if m.last < len(m.entries) && m.entries[m.last].set.Has(v.cur) {
		v.Depend(m.entries[m.last].set)
		return m.entries[m.last].value
	}
	for i := range m.entries {
		if e := &m.entries[i]; e.set.Has(v.cur) {
			m.last = i
			v.Depend(e.set)
			return e.value
		}
	}
	f := &frame{set: Full(len(v.pool.kernels)), below: v.frame}
	v.frame = f
	value := compute()
	v.frame = f.below
	m.last = len(m.entries)
	m.entries = append(m.entries, memoEntry[T]{f.set, value})
	v.Depend(f.set)
	return value
}
