package relocate

import (
	"encoding/binary"
	"fmt"
	"io"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Constants of ELF, with the names of the specification.
//
// Sources: System V ABI, chapter 4 (gabi 4.1); EM_BPF from include/uapi/linux/elf-em.h of Linux v6.12. BPF objects are
// always 64-bit relocatable files: bpf_object__elf_init of libbpf v1.7 refuses everything else.
const (
	elfMagic     = "\x7fELF"
	elfEhdrLen   = 64 // sizeof(Elf64_Ehdr), in bytes
	elfShdrLen   = 64 // sizeof(Elf64_Shdr)
	elfSymLen    = 24 // sizeof(Elf64_Sym)
	elfRelLen    = 16 // sizeof(Elf64_Rel)
	elfClass64   = 2  // ELFCLASS64
	elfData2LSB  = 1  // ELFDATA2LSB
	elfData2MSB  = 2  // ELFDATA2MSB
	etRel        = 1  // ET_REL
	emNone       = 0  // EM_NONE: what clang wrote before EM_BPF was assigned
	emBPF        = 247
	shtNull      = 0
	shtProgbits  = 1
	shtSymtab    = 2
	shtStrtab    = 3
	shtNobits    = 8
	shtRel       = 9
	shfExecinstr = 4
	shnUndef     = 0
	shnLoreserve = 0xff00
	shnXindex    = 0xffff
	sttNotype    = 0
	sttObject    = 1
	sttFunc      = 2
	sttSection   = 3
	stbLocal     = 0
	stbGlobal    = 1
	stbWeak      = 2
	stvInternal  = 1
	stvHidden    = 2
)

// elfFile is a 64-bit ELF file: its section table, and its contents on demand. Every offset and size was held against
// the file when the file was opened; the contents that it hands out are together no larger than the file.
type elfFile struct {
	r       io.ReaderAt
	size    int64
	file    string // for messages
	order   binary.ByteOrder
	typ     uint16
	machine uint16
	secs    []elfSection // secs[0] is the null section
	left    int64        // bytes that sections may still hand out
	symtab  int          // index of the SHT_SYMTAB section, 0 where there is none
	syms    []byte
	strs    string // names of symbols
}

type elfSection struct {
	name      string
	typ       uint32
	link      uint32
	info      uint32
	flags     uint64
	off, size uint64 // bytes in the file; off is meaningless for SHT_NOBITS
	entsize   uint64
}

type elfSym struct {
	name  uint32
	info  uint8
	other uint8
	shndx uint16
	value uint64
	size  uint64
}

func (s elfSym) bind() uint8 { return s.info >> 4 }
func (s elfSym) kind() uint8 { return s.info & 0xf }

// hidden tells a symbol with STV_HIDDEN or STV_INTERNAL, which others can't refer to.
func (s elfSym) hidden() bool { return s.other&3 == stvHidden || s.other&3 == stvInternal }

func (f *elfFile) errorf(section string, off int64, format string, args ...any) *btfinfo.Error {
	return &btfinfo.Error{File: f.file, Section: section, Off: off, Msg: fmt.Sprintf(format, args...)}
}

// elfOrder tells the byte order of an ELF64 header; ok is false where head does not start one.
func elfOrder(head []byte) (order binary.ByteOrder, ok bool) {
	if len(head) < elfEhdrLen || string(head[:4]) != elfMagic || head[4] != elfClass64 || head[6] != 1 {
		return nil, false
	}
	switch head[5] {
	case elfData2LSB:
		return binary.LittleEndian, true
	case elfData2MSB:
		return binary.BigEndian, true
	}
	return nil, false
}

// isBPFObject tells whether head is the ELF header of a BPF object, as bpf_object__elf_init of libbpf v1.7 decides it.
func isBPFObject(head []byte) bool {
	order, ok := elfOrder(head)
	if !ok {
		return false
	}
	m := order.Uint16(head[18:])
	return order.Uint16(head[16:]) == etRel && (m == emBPF || m == emNone)
}

// openELF reads the header and the section table of the ELF64 file in the first size bytes of r.
func openELF(r io.ReaderAt, size int64, file string) (*elfFile, error) {
	f := &elfFile{r: r, size: size, file: file, left: size}
	if size < elfEhdrLen {
		return nil, f.errorf("", 0, "the ELF header needs %d bytes, have %d", elfEhdrLen, size)
	}
	head := make([]byte, elfEhdrLen)
	if err := f.readAt(head, 0); err != nil {
		return nil, err
	}
	order, ok := elfOrder(head)
	if !ok {
		return nil, f.errorf("", 0, "no 64-bit ELF file: it starts with % x", head[:8])
	}
	f.order = order
	f.typ, f.machine = order.Uint16(head[16:]), order.Uint16(head[18:])
	shoff := order.Uint64(head[40:])
	shentsize := order.Uint16(head[58:])
	shnum := uint64(order.Uint16(head[60:]))
	shstrndx := uint32(order.Uint16(head[62:]))
	if shoff == 0 {
		return nil, f.errorf("", 40, "there is no section table")
	}
	if shentsize != elfShdrLen {
		return nil, f.errorf("", 58, "section headers have %d bytes, want %d", shentsize, elfShdrLen)
	}
	room := uint64(0)
	if shoff < uint64(size) {
		room = (uint64(size) - shoff) / elfShdrLen
	}
	if room == 0 {
		return nil, f.errorf("", 40, "the section table starts at byte %d, the file has %d", shoff, size)
	}
	if shnum == 0 || shstrndx == shnXindex { // more than 0xff00 sections: the numbers are in section 0
		b := make([]byte, elfShdrLen)
		if err := f.readAt(b, int64(shoff)); err != nil {
			return nil, err
		}
		if shnum == 0 {
			shnum = order.Uint64(b[32:])
		}
		if shstrndx == shnXindex {
			shstrndx = order.Uint32(b[40:])
		}
	}
	if shnum > room {
		return nil, f.errorf("", 60, "%d section headers at %#x, the file has room for %d", shnum, shoff, room)
	}
	if uint64(shstrndx) >= shnum {
		return nil, f.errorf("", 62, "the section names are in section %d, there are %d", shstrndx, shnum)
	}
	raw := make([]byte, shnum*elfShdrLen)
	err := f.readAt(raw, int64(shoff))
	if err != nil {
		return nil, err
	}
	f.secs = make([]elfSection, shnum)
	names := make([]uint32, shnum)
	for i := range f.secs {
		b := raw[i*elfShdrLen:]
		names[i] = order.Uint32(b)
		s := &f.secs[i]
		s.typ = order.Uint32(b[4:])
		s.flags = order.Uint64(b[8:])
		s.off = order.Uint64(b[24:])
		s.size = order.Uint64(b[32:])
		s.link = order.Uint32(b[40:])
		s.info = order.Uint32(b[44:])
		s.entsize = order.Uint64(b[56:])
		if i == 0 {
			*s = elfSection{} // size and link of section 0 are the extended numbers above
			continue
		}
		if s.typ == shtNobits {
			continue
		}
		if s.off > uint64(size) || s.size > uint64(size)-s.off {
			return nil, f.errorf("", int64(shoff)+int64(i)*elfShdrLen+24, "section %d is %d bytes at %#x, the file has %d", i, s.size, s.off, size)
		}
	}
	if raw, err = f.data(int(shstrndx)); err != nil {
		return nil, err
	}
	strs := string(raw)
	for i := 1; i < len(f.secs); i++ {
		name, ok := cString(strs, names[i])
		if !ok {
			return nil, f.errorf("", int64(shoff)+int64(i)*elfShdrLen, "the name of section %d is at %d of the names, which have %d bytes", i, names[i], len(strs))
		}
		f.secs[i].name = name
	}
	return f, nil
}

// loadSymbols reads the symbol table, of which a relocatable file has one. Without one, f.symtab stays 0.
func (f *elfFile) loadSymbols() error {
	for i, s := range f.secs {
		if s.typ != shtSymtab {
			continue
		}
		if f.symtab != 0 {
			return f.errorf(s.name, -1, "section %d is a second symbol table, the first is section %d", i, f.symtab)
		}
		f.symtab = i
	}
	if f.symtab == 0 {
		return nil
	}
	s := f.secs[f.symtab]
	if s.entsize != elfSymLen || s.size%elfSymLen != 0 {
		return f.errorf(s.name, -1, "%d bytes of symbols, %d each: want a whole number of them with %d each", s.size, s.entsize, elfSymLen)
	}
	if s.link == 0 || int64(s.link) >= int64(len(f.secs)) {
		return f.errorf(s.name, -1, "the names of symbols are in section %d, there are %d", s.link, len(f.secs))
	}
	var err error
	if f.syms, err = f.data(f.symtab); err != nil {
		return err
	}
	strs, err := f.data(int(s.link))
	f.strs = string(strs)
	return err
}

func (f *elfFile) numSyms() int { return len(f.syms) / elfSymLen }

// sym returns symbol i, i < numSyms.
func (f *elfFile) sym(i int) elfSym {
	b := f.syms[i*elfSymLen : (i+1)*elfSymLen]
	return elfSym{
		name: f.order.Uint32(b), info: b[4], other: b[5], shndx: f.order.Uint16(b[6:]),
		value: f.order.Uint64(b[8:]), size: f.order.Uint64(b[16:]),
	}
}

// symName returns the name of symbol i.
func (f *elfFile) symName(i int, s elfSym) (string, error) {
	name, ok := cString(f.strs, s.name)
	if !ok {
		return "", f.errorf(f.secs[f.symtab].name, int64(i)*elfSymLen, "the name of symbol %d is at %d of the names, which have %d bytes", i, s.name, len(f.strs))
	}
	return name, nil
}

// data returns the contents of section i. Sections of a sound file don't overlap: where they are together larger than
// the file, the table lies, and reading on could take any amount of memory.
func (f *elfFile) data(i int) ([]byte, error) {
	s := f.secs[i]
	if s.typ == shtNobits || s.size == 0 {
		return nil, nil
	}
	if int64(s.size) > f.left {
		return nil, f.errorf(s.name, int64(s.off), "sections overlap: this one has %d bytes, of the file's %d only %d were not in another", s.size, f.size, f.left)
	}
	f.left -= int64(s.size)
	b := make([]byte, s.size)
	return b, f.readAt(b, int64(s.off))
}

func (f *elfFile) readAt(b []byte, off int64) error {
	n, err := f.r.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == io.EOF {
		return f.errorf("", off, "need %d bytes, have %d", len(b), n)
	}
	return &btfinfo.Error{File: f.file, Off: off, Msg: "reading failed", Err: err}
}

// cString returns the zero-terminated string at off; it shares memory with strs.
func cString(strs string, off uint32) (string, bool) {
	if off == 0 && strs == "" {
		return "", true
	}
	if uint64(off) >= uint64(len(strs)) {
		return "", false
	}
	n := strings.IndexByte(strs[off:], 0)
	if n < 0 {
		return "", false
	}
	return strs[off : uint64(off)+uint64(n)], true
}

// isDWARF tells debug sections, which nothing here reads: is_sec_name_dwarf of libbpf v1.7.
func isDWARF(name string) bool { return strings.HasPrefix(name, ".debug_") }
