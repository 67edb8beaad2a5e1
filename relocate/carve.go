package relocate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// carveChunk is how much of a file is looked at in one piece, in bytes.
const carveChunk = 1 << 20

// carve finds the BPF objects in a file that is none itself: programs with libbpf skeletons (bpftool gen skeleton puts
// the object into .rodata), Go programs with bpf2go objects, archives that don't compress. The object has no length
// there, but its section table says where it ends.
func carve(r io.ReaderAt, size int64, name string) ([]*Object, error) {
	var objs []*Object
	seen := map[string]bool{}
	sc := scanner{r: r, size: size, name: name, budget: size + scanBudget}
	for {
		at, end, err := sc.next()
		if err != nil {
			return nil, err
		}
		if at < 0 {
			break
		}
		o, err := readObject(r, at, end-at, fmt.Sprintf("%s@%#x", name, at))
		if err != nil {
			return nil, err
		}
		o.File = name
		if !seen[o.SHA256] {
			seen[o.SHA256] = true
			objs = append(objs, o)
		}
	}
	if len(objs) == 0 {
		return nil, &btfinfo.Error{
			File: name, Off: -1, Msg: fmt.Sprintf("searched %d bytes", size), Err: ErrNoObject,
			Hint: "give an object of clang -target bpf, or a program that has one embedded; a compressed one must be unpacked first",
		}
	}
	symbols := containerSymbols(r, size, name, objs)
	for i, o := range objs {
		switch {
		case symbols[i] != "":
			o.Name = symbols[i]
		case len(objs) == 1:
			o.Name = objectName(name)
		default:
			o.Name = fmt.Sprintf("%s@%#x", objectName(name), o.Offset)
		}
	}
	return objs, nil
}

// ErrNoObject is the cause of an error that a file, sound or not, has no BPF object in it.
var ErrNoObject = errors.New("no BPF object")

// scanBudget is how many bytes of section tables a file may make us look at in vain, beside its own size. Real files have
// a few headers that lead nowhere; one made of them would take time that grows with the square of its size.
const scanBudget = 64 << 20

// scanner goes through a file that may have objects in it.
type scanner struct {
	r      io.ReaderAt
	size   int64
	name   string
	buf    []byte // a chunk of the file, and one header more
	start  int64  // of buf in the file
	off    int64  // where to look on
	budget int64
}

// next finds the next ELF header of a BPF object with a section table that makes sense, and returns where the object
// starts and ends; at is -1 where there is none.
func (s *scanner) next() (at, end int64, err error) {
	for s.off+elfEhdrLen <= s.size {
		if err := s.fill(); err != nil {
			return 0, 0, err
		}
		b := s.buf[s.off-s.start:]
		i := bytes.Index(b, []byte(elfMagic))
		if i < 0 || len(b)-i < elfEhdrLen {
			s.off = max(s.off, s.start+int64(len(s.buf))-elfEhdrLen) + 1 // the next chunk has the rest whole
			continue
		}
		at := s.off + int64(i)
		n, err := s.objectLen(at, b[i:i+elfEhdrLen])
		if err != nil {
			return 0, 0, err
		}
		if n > 0 {
			s.off = at + n
			return at, at + n, nil
		}
		s.off = at + 1
	}
	return -1, 0, nil
}

// fill makes buf hold a header at off and as much as there is behind it.
func (s *scanner) fill() error {
	if s.off >= s.start && s.off+elfEhdrLen <= s.start+int64(len(s.buf)) {
		return nil
	}
	n := min(s.size-s.off, carveChunk)
	if int64(cap(s.buf)) < n {
		s.buf = make([]byte, n)
	}
	s.buf, s.start = s.buf[:n], s.off
	return s.read(s.buf, s.off)
}

func (s *scanner) read(b []byte, off int64) error {
	n, err := s.r.ReadAt(b, off)
	switch {
	case n == len(b):
		return nil
	case err == io.EOF:
		return &btfinfo.Error{File: s.name, Off: off + int64(n), Msg: "the file ends before its size"}
	}
	return &btfinfo.Error{File: s.name, Off: off, Msg: "reading failed", Err: err}
}

// objectLen returns the length in bytes of the BPF object with this header at off, 0 where it is none: the end of the
// section table or of the last section. A header alone is no object: programs that handle BPF have such bytes.
func (s *scanner) objectLen(off int64, head []byte) (int64, error) {
	order, ok := elfOrder(head)
	if !ok || order.Uint16(head[16:]) != etRel || order.Uint16(head[18:]) != emBPF {
		return 0, nil
	}
	room := s.size - off
	shoff := order.Uint64(head[40:])
	num := int64(order.Uint16(head[60:]))
	if order.Uint16(head[58:]) != elfShdrLen || num < 2 || shoff < elfEhdrLen || shoff > uint64(room) || num*elfShdrLen > room-int64(shoff) {
		return 0, nil
	}
	if s.budget -= num * elfShdrLen; s.budget < 0 {
		return 0, &btfinfo.Error{File: s.name, Off: off, Msg: fmt.Sprintf("too many headers of objects that are none: their section tables are more than %d bytes", s.size+scanBudget)}
	}
	table := make([]byte, num*elfShdrLen)
	if err := s.read(table, off+int64(shoff)); err != nil {
		return 0, err
	}
	// An object has symbols, and names of sections where the header says.
	names, symbols := int64(order.Uint16(head[62:])), false
	if names >= num || order.Uint32(table[names*elfShdrLen+4:]) != shtStrtab {
		return 0, nil
	}
	end := int64(shoff) + num*elfShdrLen
	for i := range num {
		h := table[i*elfShdrLen:]
		switch order.Uint32(h[4:]) {
		case shtNobits, shtNull:
			continue
		case shtSymtab:
			symbols = true
		}
		o, n := order.Uint64(h[24:]), order.Uint64(h[32:])
		if o > uint64(room) || n > uint64(room)-o {
			return 0, nil
		}
		end = max(end, int64(o+n))
	}
	if !symbols {
		return 0, nil
	}
	return end, nil
}

// containerSymbols names objects by the symbols of the ELF file around them; "" where none does. The container's
// mistakes are not the object's: whatever can't be read gives no name.
func containerSymbols(r io.ReaderAt, size int64, name string, objs []*Object) []string {
	names := make([]string, len(objs))
	f, err := openELF(r, size, name)
	if err != nil || f.loadSymbols() != nil || f.symtab == 0 {
		return names
	}
	segs := f.segments()
	at := map[uint64]int{} // address of each object
	for i, o := range objs {
		for _, s := range segs {
			if off := uint64(o.Offset); off >= s.off && off-s.off < s.size {
				at[off-s.off+s.addr] = i
			}
		}
	}
	for i := range f.numSyms() {
		s := f.sym(i)
		if s.kind() != sttObject && s.kind() != sttNotype || s.shndx == shnUndef {
			continue
		}
		n, err := f.symName(i, s)
		if err != nil {
			continue
		}
		k, ok := at[s.value]
		if ok {
			n = skeletonName(n)
		} else if n, ok = bpf2goName(n); ok {
			k, ok = at[f.pointer(segs, s.value)]
		}
		if ok && names[k] == "" {
			names[k] = n
		}
	}
	return names
}

// segment is what is loaded from the file to an address: Elf64_Phdr of type PT_LOAD.
type segment struct{ off, addr, size uint64 }

// segments returns the loaded segments of an executable; nil where its program headers can't be read.
func (f *elfFile) segments() []segment {
	head := make([]byte, elfEhdrLen)
	if f.readAt(head, 0) != nil {
		return nil
	}
	const phdrLen = 56 // sizeof(Elf64_Phdr)
	phoff, n := f.order.Uint64(head[32:]), uint64(f.order.Uint16(head[56:]))
	if f.order.Uint16(head[54:]) != phdrLen || phoff > uint64(f.size) || n*phdrLen > uint64(f.size)-phoff {
		return nil
	}
	table := make([]byte, n*phdrLen)
	if f.readAt(table, int64(phoff)) != nil {
		return nil
	}
	var segs []segment
	for ; len(table) > 0; table = table[phdrLen:] {
		s := segment{off: f.order.Uint64(table[8:]), addr: f.order.Uint64(table[16:]), size: f.order.Uint64(table[32:])}
		if f.order.Uint32(table) == 1 && s.off <= uint64(f.size) && s.size <= uint64(f.size)-s.off {
			segs = append(segs, s)
		}
	}
	return segs
}

// pointer returns the 8 bytes at an address, 0 where nothing is loaded there.
func (f *elfFile) pointer(segs []segment, addr uint64) uint64 {
	for _, s := range segs {
		if addr >= s.addr && addr-s.addr < s.size && s.size-(addr-s.addr) >= 8 {
			b := make([]byte, 8)
			if f.readAt(b, int64(s.off+addr-s.addr)) == nil {
				return f.order.Uint64(b)
			}
		}
	}
	return 0
}

// bpf2goName makes an object's name of a Go variable's: bpf2go embeds the object of ident "counter" as _CounterBytes, a
// string or slice, which begins with the address of the bytes.
func bpf2goName(symbol string) (string, bool) {
	ident, ok := strings.CutSuffix(symbol[strings.LastIndexByte(symbol, '.')+1:], "Bytes")
	if !ok || len(ident) < 2 || ident[0] != '_' {
		return "", false
	}
	return strings.ToLower(ident[1:2]) + ident[2:], true
}

// skeletonName makes an object's name of a symbol's: "_binary_biosnoop_bpf_o_start" (ld -r -b binary) is "biosnoop".
// In libbpf skeletons the symbol is a static variable "data" of a function, and Go calls embedded bytes
// "main..gobytes.1", which names nothing.
func skeletonName(symbol string) string {
	symbol = strings.TrimSuffix(strings.TrimPrefix(symbol, "_binary_"), "_start")
	symbol = strings.TrimSuffix(strings.TrimSuffix(symbol, "_o"), "_bpf")
	if strings.Contains(symbol, ".") || symbol == "data" {
		return ""
	}
	return symbol
}
