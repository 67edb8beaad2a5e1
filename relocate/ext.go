package relocate

import (
	"cmp"
	"encoding/binary"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// The section .BTF.ext.
//
// Sources: Documentation/bpf/btf.rst, "4. ELF File Format Interface", of Linux v6.12; struct btf_ext_header and struct
// btf_ext_info_sec of libbpf v1.7's libbpf_internal.h; btf_ext_parse and btf_ext_parse_sec_info of its btf.c.
const (
	extMagic      = 0xeb9f
	extHeaderLen  = 24 // up to line_info_len: what every writer fills
	extHeaderCore = 32 // up to core_relo_len
	extSecLen     = 8  // sec_name_off, num_info
	extFuncLen    = 8  // struct bpf_func_info
	extLineLen    = 16 // struct bpf_line_info
	extCoreLen    = 16 // struct bpf_core_relo
)

// extInfo is .BTF.ext, checked.
type extInfo struct {
	funcs, lines, relos []extSection
}

// extSection is the records about one ELF section.
type extSection struct {
	name    string
	off     int64 // of the first record in .BTF.ext
	recLen  int
	records []byte
}

func (s *extSection) count() int { return len(s.records) / s.recLen }

// record returns record i as 32-bit words.
func (s *extSection) record(order binary.ByteOrder, i int) (w [4]uint32) {
	p := s.records[i*s.recLen:]
	for k := range w {
		w[k] = order.Uint32(p[4*k:])
	}
	return w
}

// parseExt checks .BTF.ext against itself and its strings, which are those of the BTF beside it.
//
// Differs from libbpf, which goes on without a .BTF.ext that it can't read: then no relocation would be seen, and the
// answer would be wrong.
func parseExt(data []byte, order binary.ByteOrder, btf *btfinfo.BTF) (*extInfo, error) {
	bad := func(off int64, format string, args ...any) (*extInfo, error) {
		return nil, (&elfFile{}).errorf(".BTF.ext", off, format, args...)
	}
	if len(data) > maxExt {
		return bad(0, "%d bytes, the limit is %d", len(data), maxExt)
	}
	if len(data) < extHeaderLen {
		return bad(0, "the header needs %d bytes, have %d", extHeaderLen, len(data))
	}
	if m := order.Uint16(data); m != extMagic {
		return bad(0, "magic is %#04x, want %#04x", m, extMagic)
	}
	if data[2] != 1 {
		return bad(2, "version %d is not known, want 1", data[2])
	}
	if data[3] != 0 {
		return bad(3, "flags are %#x, want 0", data[3])
	}
	hdr := order.Uint32(data[4:])
	if hdr < extHeaderLen || uint64(hdr) > uint64(len(data)) {
		return bad(4, "the header says that it has %d bytes, want %d to %d", hdr, extHeaderLen, len(data))
	}
	info := &extInfo{}
	parts := []struct {
		what string
		at   int // of offset and length in the header
		min  uint32
		to   *[]extSection
	}{
		{"func_info", 8, extFuncLen, &info.funcs},
		{"line_info", 16, extLineLen, &info.lines},
		{"core_relo", 24, extCoreLen, &info.relos},
	}
	for _, p := range parts {
		if uint32(p.at)+8 > hdr {
			continue // an old header, without core_relo
		}
		off, n := uint64(hdr)+uint64(order.Uint32(data[p.at:])), uint64(order.Uint32(data[p.at+4:]))
		if n == 0 {
			continue
		}
		if off+n > uint64(len(data)) {
			return bad(int64(p.at), "%s ends at byte %d, the section at %d", p.what, off+n, len(data))
		}
		if off%4 != 0 {
			return bad(int64(p.at), "%s starts at byte %d, want a multiple of 4", p.what, off)
		}
		if n < 4 {
			return bad(int64(off), "%s needs 4 bytes for the size of records, have %d", p.what, n)
		}
		rec := order.Uint32(data[off:])
		if rec < p.min || rec%4 != 0 || rec > 1024 {
			return bad(int64(off), "records of %s have %d bytes, want a multiple of 4 from %d to 1024", p.what, rec, p.min)
		}
		for at, end := off+4, off+n; at < end; {
			if end-at < extSecLen {
				return bad(int64(at), "a section of %s needs %d bytes, have %d", p.what, extSecLen, end-at)
			}
			nameOff, num := order.Uint32(data[at:]), order.Uint32(data[at+4:])
			name, ok := btf.Str(nameOff)
			if !ok || name == "" {
				return bad(int64(at), "the name of a section of %s is at string offset %d, which holds none", p.what, nameOff)
			}
			need := uint64(num) * uint64(rec)
			if num == 0 || need > end-at-extSecLen {
				return bad(int64(at)+4, "%d records of %s for section %s need %d bytes, have %d", num, p.what, name, need, end-at-extSecLen)
			}
			at += extSecLen
			*p.to = append(*p.to, extSection{name: name, off: int64(at), recLen: int(rec), records: data[at : at+need]})
			at += need
		}
	}
	return info, nil
}

// readExt reads .BTF.ext and hangs lines and CO-RE records on the functions.
func (d *objReader) readExt() error {
	i := d.names[".BTF.ext"]
	if i == 0 || d.secs[i].size == 0 || d.o.BTF == nil {
		return nil // bpf_object__init_btf: .BTF.ext without .BTF is ignored
	}
	data, err := d.data(i)
	if err != nil {
		return err
	}
	if len(data) == extHeaderCore || len(data) == extHeaderLen {
		return nil // a header without records: llvm-strip leaves it
	}
	info, err := parseExt(data, d.order, d.o.BTF)
	if err == nil {
		err = d.useExt(info)
	}
	if e, ok := err.(*btfinfo.Error); ok {
		e.File = d.file
	}
	return err
}

func (d *objReader) useExt(info *extInfo) error {
	str := func(at int64, what string, off uint32) (string, error) {
		s, ok := d.o.BTF.Str(off)
		if !ok {
			return "", d.errorf(".BTF.ext", at, "%s is at string offset %d, beyond the strings of .BTF", what, off)
		}
		return s, nil
	}
	insnOff := func(s *extSection, sec int, at int64, off uint32) error {
		if off%8 != 0 {
			return d.errorf(".BTF.ext", at, "a record is for byte %d of section %s, want a multiple of 8", off, s.name)
		}
		if n := 8 * len(d.code[sec]); sec != 0 && uint64(off) >= uint64(n) {
			return d.errorf(".BTF.ext", at, "a record is for byte %d of section %s, which has %d", off, s.name, n)
		}
		return nil
	}
	for k := range info.lines {
		s := &info.lines[k]
		sec := d.codeSection(s.name)
		for i := range s.count() {
			w, at := s.record(d.order, i), s.off+int64(i*s.recLen)
			if err := insnOff(s, sec, at, w[0]); err != nil {
				return err
			}
			file, err := str(at+4, "a file name", w[1])
			if err != nil {
				return err
			}
			text, err := str(at+8, "a source line", w[2])
			if err != nil {
				return err
			}
			f := d.funcAt(sec, int(w[0]/8))
			if f == nil {
				continue
			}
			// line_col: BPF_LINE_INFO_LINE_NUM and BPF_LINE_INFO_LINE_COL.
			f.Lines = append(f.Lines, Line{
				Insn: int(w[0]/8 - f.Off/8), File: file, Line: int(w[3] >> 10), Col: int(w[3] & 0x3ff), Text: strings.TrimSpace(text),
			})
		}
	}
	for _, f := range d.o.Funcs {
		slices.SortStableFunc(f.Lines, func(a, b Line) int { return cmp.Compare(a.Insn, b.Insn) })
	}
	d.o.FuncInfoSize = d.rawInfo(info.funcs, func(f *Func) *[]byte { return &f.FuncInfo })
	d.o.LineInfoSize = d.rawInfo(info.lines, func(f *Func) *[]byte { return &f.LineInfo })
	for k := range info.relos {
		s := &info.relos[k]
		sec := d.codeSection(s.name)
		for i := range s.count() {
			w, at := s.record(d.order, i), s.off+int64(i*s.recLen)
			if err := insnOff(s, sec, at, w[0]); err != nil {
				return err
			}
			if uint64(w[1]) >= uint64(d.o.BTF.NumTypes()) {
				return d.errorf(".BTF.ext", at+4, "a CO-RE record has type id %d, there are %d", w[1], d.o.BTF.NumTypes())
			}
			access, err := str(at+8, "an access path", w[2])
			if err != nil {
				return err
			}
			if ReloKind(w[3]) >= numReloKinds {
				e := d.errorf(".BTF.ext", at+12, "a CO-RE record has kind %d, known are 0 to %d", w[3], numReloKinds-1)
				e.Hint = "the object is damaged, or newer than this corecheck"
				return e
			}
			r := &Relo{
				Index: len(d.o.Relos), Kind: ReloKind(w[3]), Type: btfinfo.ID(w[1]), Access: access, Section: s.name, Off: w[0],
				Func: d.funcAt(sec, int(w[0]/8)),
			}
			if r.Func != nil {
				r.Insn = int(w[0]/8 - r.Func.Off/8)
				r.Func.Relos = append(r.Func.Relos, r)
			}
			d.o.Relos = append(d.o.Relos, r)
		}
	}
	return nil
}

// rawInfo gives each function the records that are about it, from the first that lies in it up to the first behind it, of
// the first section of the right name: adjust_prog_btf_ext_info of libbpf v1.7. It returns the size of a record, 0 where
// there is none.
func (d *objReader) rawInfo(info []extSection, to func(*Func) *[]byte) (size int) {
	seen := map[int]bool{}
	for k := range info {
		s := &info[k]
		size = s.recLen
		sec := d.codeSection(s.name)
		if seen[sec] {
			continue
		}
		seen[sec] = true
		at := func(i int) uint64 { return uint64(d.order.Uint32(s.records[i*s.recLen:])) }
		start := 0
		for _, f := range d.funcs[sec] { // by offset; two names of one function get the same records
			for start < s.count() && at(start) < uint64(f.Off) {
				start++
			}
			i := start
			for i < s.count() && at(i) < uint64(f.Off)+8*uint64(len(f.Insns)) {
				i++
			}
			if i > start {
				*to(f) = s.records[start*s.recLen : i*s.recLen : i*s.recLen]
			}
		}
	}
	return size
}

// codeSection returns the index of the first section of this name if it is code, else 0. Records about other sections
// are skipped, as bpf_object__init_btf of libbpf v1.7 does.
func (d *objReader) codeSection(name string) int {
	i := d.names[name]
	if _, ok := d.code[i]; !ok {
		return 0
	}
	return i
}
