package archive

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// FuzzArchive reads archives of which the input gives the parts: checksums, sizes and compression are put right around
// them, so that what is behind is reached. The input is the number of parts of each section, a byte each, and then the
// parts: length in 16 bits, content.
func FuzzArchive(f *testing.F) {
	pack := func(l *loose) []byte {
		var out []byte
		for _, s := range l.sections {
			out = append(out, byte(len(s.parts)))
		}
		for _, s := range l.sections {
			for _, p := range s.parts {
				out = binary.LittleEndian.AppendUint16(out, uint16(len(p)))
				out = append(out, p...)
			}
		}
		return out
	}
	list := smallKernels(f)
	none := *list[0]
	none.BTF, none.Modules, none.ModulesRead, none.NoBTF = nil, nil, false, "none"
	for _, k := range [][]*Build{list, list[:1], {&none}, nil} {
		f.Add(pack(takeApart(f, encodeBytes(f, k...))))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		whole := data
		if len(data) < len(sections) {
			return
		}
		l := &loose{version: version}
		counts := data[:len(sections)]
		data = data[len(sections):]
		for i, tag := range sections {
			s := looseSection{tag: tag, flags: sectRequired}
			for range counts[i] {
				if len(data) < 2 {
					break
				}
				n := min(int(binary.LittleEndian.Uint16(data)), len(data)-2)
				s.parts = append(s.parts, data[2:2+n])
				data = data[2+n:]
			}
			l.sections = append(l.sections, s)
		}
		for _, bytes := range [][]byte{whole, l.bytes()} {
			a, err := OpenBytes("fuzz", bytes)
			if err == nil {
				err = readAll(a)
			}
			if e := (*btfinfo.Error)(nil); err != nil && !errors.As(err, &e) {
				t.Errorf("%v is a %T, want a *btfinfo.Error", err, err)
			}
		}
	})
}
