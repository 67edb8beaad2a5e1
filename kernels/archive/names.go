package archive

import (
	"bytes"
	"runtime"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
)

// Names calls yield with each name that types of this kind have in any kernel or module, in the order of the archive. It reads
// all parts of the kind's class, several at once, and keeps none of them.
func (a *Archive) Names(kind btfinfo.Kind, yield func(name string)) error {
	c := classOf(kind)
	n := len(a.firsts[c])
	type result struct {
		names string // each ended by a 0 byte
		err   error
	}
	results := make([]result, n)
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), n) {
		wg.Go(func() {
			var raw, names []byte
			for i := range next {
				var err error
				raw, err = a.readTo(raw[:0], sectDefs, a.parts[sectDefs][a.start[c]+i])
				if err == nil {
					names, err = a.namesOf(names[:0], raw, kind, a.start[c]+i)
				}
				results[i] = result{string(names), err}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, r := range results {
		if r.err != nil {
			return r.err
		}
		for names := r.names; names != ""; {
			end := 0
			for names[end] != 0 {
				end++
			}
			yield(names[:end])
			names = names[end+1:]
		}
	}
	return nil
}

// namesOf adds the names of one kind in a part of DEFS to dst, each ended by a 0 byte. It reads nothing else of the part.
func (a *Archive) namesOf(dst, raw []byte, kind btfinfo.Kind, index int) ([]byte, error) {
	b := block{a: a, index: index}
	s := source{b: raw}
	entries, size := s.num(), s.num()
	for range 3 { // how much there is of the rest
		s.num()
	}
	if s.bad || size > uint64(len(s.b)) || entries > size/minEntry {
		return dst, b.errorf("%d entries in %d bytes of names, the part has %d", entries, size, len(raw))
	}
	s.b = s.b[:size]
	var name []byte
	total := 0 // bytes of all names
	for n := range entries {
		shared := s.num()
		end := bytes.IndexByte(s.b, 0)
		if s.bad || shared > uint64(len(name)) || end < 0 {
			return dst, b.errorf("the name of entry %d is damaged", n)
		}
		name = append(name[:shared], s.b[:end]...)
		s.b = s.b[end+1:]
		if total += len(name); total > maxNames {
			return dst, b.errorf("the names up to entry %d take more than %d bytes, the limit", n, maxNames)
		}
		k := btfinfo.Kind(s.op())
		if s.num(); s.bad {
			return dst, b.errorf("entry %q is damaged", name)
		}
		if k == kind && len(name) > 0 {
			dst = append(append(dst, name...), 0)
		}
	}
	return dst, nil
}
