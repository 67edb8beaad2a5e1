package archive

import "github.com/corecheck/corecheck/btfinfo"

// Names calls yield with each name that types of this kind have in any kernel or module. It reads all parts of the kind's
// class, and keeps none of them that was not kept before; a name that is to be kept must be copied.
func (a *Archive) Names(kind btfinfo.Kind, yield func(name string)) error {
	c := classOf(kind)
	for i := range a.firsts[c] {
		b, err := a.readBlock(a.start[c] + i)
		if err != nil {
			return err
		}
		for n := range b.entries {
			if e := &b.entries[n]; e.kind == kind && e.name != "" {
				yield(e.name)
			}
		}
	}
	return nil
}
