package archive

import (
	"fmt"

	"github.com/corecheck/corecheck/btfinfo"
)

// Verify reads the whole archive and holds it against itself: the checksum of every part; that each definition can be read
// and its strings are there;
// that of one name in one place no kernel has two, and that ordinals have no gaps; that what a kernel's definitions refer
// to is in that kernel; that modules' definitions are in kernels that have the module. The error is of the first thing
// that is wrong.
func (a *Archive) Verify() error {
	if err := a.checkSums(); err != nil {
		return err
	}
	v := verifier{a: a, places: make(map[placeKey]runs)}
	for i := range a.kernels {
		if a.kernels[i].hasBTF {
			v.withBTF = v.withBTF.add(uint32(i))
		}
	}
	if err := a.eachBlock(v.collect); err != nil {
		return err
	}
	for key, s := range v.places {
		if key.ord > 0 && !v.places[placeKey{key.home, key.kind, key.name, key.ord - 1}].covers(s) {
			return a.errorf(sectPresence, -1, "a kernel has %s %s with ordinal %d and none with %d", key.kind, key.name, key.ord, key.ord-1)
		}
	}
	if err := a.eachBlock(v.references); err != nil {
		return err
	}
	for i := range a.kernels {
		if a.kernels[i].hasBTF && !v.any.has(uint32(i)) {
			return a.errorf(sectPresence, -1, "kernel %s says that it has BTF, and has no definition", a.kernels[i].ID)
		}
	}
	for i := range a.parts[sectSets] {
		if _, err := a.set(uint32(i * setsPerPart)); err != nil {
			return err
		}
	}
	return nil
}

// placeKey is where a definition can be.
type placeKey struct {
	home uint32
	kind btfinfo.Kind
	name string
	ord  uint32
}

type verifier struct {
	a       *Archive
	places  map[placeKey]runs // the kernels that have something there
	withBTF runs
	any     runs // the kernels that have any definition
}

func (v *verifier) collect(b *block) error {
	return b.each(func(e *blockEntry, x *blockVariant) error {
		for _, p := range x.at {
			s, err := v.a.set(p.set)
			if err != nil {
				return err
			}
			if !v.withBTF.covers(s) || p.home > 0 && !v.a.homes[p.home].set.covers(s) {
				return b.errorf("%s %s is in %s of kernels that have no such BTF", e.kind, e.name, v.a.homes[p.home].name)
			}
			if !v.any.covers(s) {
				v.any = v.any.union(s)
			}
			if e.name == "" {
				if p.ord != 0 {
					return b.errorf("a %s without a name has ordinal %d, want 0", e.kind, p.ord)
				}
				continue
			}
			key := placeKey{p.home, e.kind, e.name, p.ord}
			have := v.places[key]
			both := have.union(s)
			if both.size() != have.size()+s.size() {
				return b.errorf("a kernel has two definitions of %s %s, ordinal %d, in %s", e.kind, e.name, p.ord, v.a.homes[p.home].name)
			}
			v.places[key] = both
		}
		return nil
	})
}

func (v *verifier) references(b *block) error {
	var wrong error
	var scratch []byte
	return b.each(func(e *blockEntry, x *blockVariant) error {
		for _, p := range x.at {
			s, err := v.a.set(p.set)
			if err != nil {
				return err
			}
			src := source{b: x.content, ref: func(op byte, name uint64, ord int64) {
				if name >= uint64(len(b.strs)) {
					wrong = fmt.Errorf("refers to string %d, there are %d", name, len(b.strs))
					return
				}
				key := placeKey{home: p.home, kind: btfinfo.Kind(op & opKind), name: b.strs[name]}
				if c := op & opClass; c == opRef || c == opRefX {
					key.home = 0
				}
				if c := op & opClass; c == opRefX || c == opOwnX {
					if ord += int64(p.ord); ord < 0 || ord > 1<<31 {
						wrong = fmt.Errorf("refers to ordinal %d of %s", ord, key.name)
						return
					}
					key.ord = uint32(ord)
				}
				if !v.places[key].covers(s) {
					wrong = fmt.Errorf("refers to %s %s, ordinal %d, which a kernel that has it has not", key.kind, key.name, key.ord)
				}
			}}
			if skip(&src); wrong != nil {
				return b.errorf("%s %s: %v", e.kind, e.name, wrong)
			}
		}
		src := source{b: x.content}
		scratch = translate(scratch[:0], &src, func(n uint64) uint64 {
			if n >= uint64(len(b.strs)) {
				wrong = fmt.Errorf("has string %d, there are %d", n, len(b.strs))
			}
			return n
		})
		if wrong != nil {
			return b.errorf("%s %s: %v", e.kind, e.name, wrong)
		}
		return nil
	})
}
