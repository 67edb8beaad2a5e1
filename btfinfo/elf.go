package btfinfo

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Constants of ELF, with the names of the specification.
//
// Source: System V gABI, "Object Files", and include/uapi/linux/elf.h and elf-em.h of Linux v6.12.
const (
	elfClass32     = 1
	elfClass64     = 2
	elfDataLSB     = 1
	elfDataMSB     = 2
	emBPF          = 247
	shtNobits      = 8
	shfCompressed  = 0x800
	shnXindex      = 0xffff
	elfcompressZ   = 1
	elfcompressZst = 2

	// maxSections is how many sections are read: modules built with -ffunction-sections have some thousands.
	maxSections = 1 << 18
	// maxNames is the longest table of section names that is read, in bytes.
	maxNames = 16 << 20
)

// elfArch is BTFHub's name of an e_machine.
func elfArch(machine uint16, class byte, order binary.ByteOrder) string {
	switch machine {
	case 3:
		return "i386"
	case 8:
		if order == binary.BigEndian {
			return "mips"
		}
		return "mipsel"
	case 20:
		return "ppc"
	case 21:
		if order == binary.BigEndian {
			return "ppc64"
		}
		return "ppc64le"
	case 22:
		return "s390x"
	case 40:
		return "arm"
	case 62:
		return "x86_64"
	case 183:
		return "arm64"
	case 243:
		if class == elfClass32 {
			return "riscv32"
		}
		return "riscv64"
	case emBPF:
		return "bpf"
	case 258:
		return "loongarch64"
	}
	return ""
}

// elfSection is what is needed of a section header.
type elfSection struct {
	name            string
	nameOff         uint32
	kind, link      uint32
	flags, off, len uint64
}

// elfFile reads the section headers of an ELF file. It is our own rather than debug/elf because that declares itself not
// hardened against hostile input, and reads in an order that costs compressed inputs many passes.
type elfFile struct {
	in       *input
	order    binary.ByteOrder
	class    byte
	machine  uint16
	sections []elfSection
	shoff    uint64
	shentry  int
	shnum    uint64
	shstrndx uint32
}

// elfHeader reads the file header: where the section headers are.
func elfHeader(in *input, head []byte) (*elfFile, error) {
	f := &elfFile{in: in}
	if len(head) < 16 {
		return nil, formatErr(0, "the ELF identification needs 16 bytes, have %d", len(head))
	}
	f.class = head[4]
	size := 64
	switch f.class {
	case elfClass32:
		size, f.shentry = 52, 40
	case elfClass64:
		f.shentry = 64
	default:
		return nil, formatErr(4, "ELF class is %d, known are 1 (32 bits) and 2 (64 bits)", f.class)
	}
	switch head[5] {
	case elfDataLSB:
		f.order = binary.LittleEndian
	case elfDataMSB:
		f.order = binary.BigEndian
	default:
		return nil, formatErr(5, "ELF byte order is %d, known are 1 (little) and 2 (big endian)", head[5])
	}
	if len(head) < size {
		return nil, formatErr(0, "the ELF header needs %d bytes, have %d", size, len(head))
	}
	f.machine = f.order.Uint16(head[18:])
	at := 0x3a // of e_shentsize
	if f.class == elfClass32 {
		at = 0x2e
		f.shoff = uint64(f.order.Uint32(head[0x20:]))
	} else {
		f.shoff = f.order.Uint64(head[0x28:])
	}
	if n := int(f.order.Uint16(head[at:])); f.shoff != 0 && n != f.shentry {
		return nil, formatErr(int64(at), "a section header is said to have %d bytes, want %d", n, f.shentry)
	}
	f.shnum = uint64(f.order.Uint16(head[at+2:]))
	f.shstrndx = uint32(f.order.Uint16(head[at+4:]))
	if f.shoff > 1<<62 {
		return nil, formatErr(0x28, "the section headers are said to start at byte %d", f.shoff)
	}
	return f, nil
}

// readSections reads the section headers and their names.
func (f *elfFile) readSections() error {
	first, err := f.in.read(int64(f.shoff), f.shentry, "the first section header")
	if err != nil {
		return err
	}
	s0 := f.section(first)
	if f.shnum == 0 { // more than 0xff00 sections: the number is in the first
		f.shnum = s0.len
	}
	if f.shstrndx == shnXindex {
		f.shstrndx = s0.link
	}
	if f.shnum > maxSections {
		return formatErr(int64(f.shoff), "%d sections, the limit is %d", f.shnum, maxSections)
	}
	table, err := f.in.read(int64(f.shoff), int(f.shnum)*f.shentry, fmt.Sprintf("the table of %d sections", f.shnum))
	if err != nil {
		return err
	}
	f.sections = make([]elfSection, f.shnum)
	for i := range f.sections {
		f.sections[i] = f.section(table[i*f.shentry:])
	}
	if uint64(f.shstrndx) >= f.shnum {
		return formatErr(int64(f.shoff), "the section names are said to be in section %d, there are %d", f.shstrndx, f.shnum)
	}
	n := f.sections[f.shstrndx]
	if n.len > maxNames {
		return formatErr(int64(n.off), "the section names are %d bytes, the limit is %d", n.len, maxNames)
	}
	names, err := f.in.read(int64(n.off), int(n.len), "the table of section names")
	if err != nil {
		return err
	}
	for i := range f.sections {
		s := &f.sections[i]
		if uint64(s.nameOff) >= n.len {
			return formatErr(int64(f.shoff)+int64(i*f.shentry), "the name of section %d is at %d, the names are %d bytes", i, s.nameOff, n.len)
		}
		name, _, ok := bytes.Cut(names[s.nameOff:min(n.len, uint64(s.nameOff)+64)], []byte{0})
		if ok { // the names that are looked for are short
			s.name = string(name)
		}
	}
	return nil
}

// section decodes one section header.
func (f *elfFile) section(b []byte) elfSection {
	s := elfSection{nameOff: f.order.Uint32(b), kind: f.order.Uint32(b[4:])}
	if f.class == elfClass32 {
		s.flags, s.off = uint64(f.order.Uint32(b[8:])), uint64(f.order.Uint32(b[16:]))
		s.len, s.link = uint64(f.order.Uint32(b[20:])), f.order.Uint32(b[24:])
	} else {
		s.flags, s.off = f.order.Uint64(b[8:]), f.order.Uint64(b[24:])
		s.len, s.link = f.order.Uint64(b[32:]), f.order.Uint32(b[40:])
	}
	// Larger offsets than any file has would overflow sums; the first read refuses this one.
	s.off = min(s.off, 1<<62)
	return s
}

// find returns the first section of that name that has content in the file.
func (f *elfFile) find(name string) (elfSection, bool) {
	for _, s := range f.sections {
		if s.name == name && s.kind != shtNobits {
			return s, true
		}
	}
	return elfSection{}, false
}

// data reads a section's content, expanded where the section is compressed.
func (f *elfFile) data(s elfSection, limit uint64) ([]byte, error) {
	inSection := func(e *Error) error {
		e.Section = s.name
		return e
	}
	if s.len > limit {
		return nil, inSection(formatErr(-1, "the section is %d bytes, the limit is %d", s.len, limit))
	}
	b, err := f.in.readUpTo(int64(s.off), int(s.len))
	if err != nil {
		return nil, err
	}
	if uint64(len(b)) < s.len {
		return nil, inSection(formatErr(-1, "the section is said to be %d bytes at %#x of the file, which has %d of them", s.len, s.off, len(b)))
	}
	if s.flags&shfCompressed == 0 {
		return b, nil
	}
	// struct Elf32_Chdr, Elf64_Chdr: ch_type, (ch_reserved,) ch_size, ch_addralign
	hdr, sizeAt := 24, 8
	if f.class == elfClass32 {
		hdr, sizeAt = 12, 4
	}
	if len(b) < hdr {
		return nil, inSection(formatErr(0, "the header of a compressed section needs %d bytes, have %d", hdr, len(b)))
	}
	size := uint64(f.order.Uint32(b[sizeAt:]))
	if f.class == elfClass64 {
		size = f.order.Uint64(b[sizeAt:])
	}
	if size > limit {
		return nil, inSection(formatErr(int64(sizeAt), "the section is said to expand to %d bytes, the limit is %d", size, limit))
	}
	var r io.Reader
	switch kind := f.order.Uint32(b); kind {
	case elfcompressZ:
		r, err = zlib.NewReader(bytes.NewReader(b[hdr:]))
	case elfcompressZst:
		var d *zstd.Decoder
		d, err = zstd.NewReader(bytes.NewReader(b[hdr:]), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			defer d.Close()
			r = d
		}
	default:
		return nil, inSection(formatErr(0, "compression %d of the section is not known, known are 1 (zlib) and 2 (zstd)", kind))
	}
	var out bytes.Buffer
	if err == nil {
		_, err = io.Copy(&out, io.LimitReader(r, int64(size)+1))
	}
	if err != nil {
		e := formatErr(int64(hdr), "the compressed section is damaged after %d expanded bytes", out.Len())
		e.Err = err
		return nil, inSection(e)
	}
	if uint64(out.Len()) != size {
		return nil, inSection(formatErr(int64(sizeAt), "the section is said to expand to %d bytes, but does to %s%d", size, moreThan(uint64(out.Len()) > size), min(uint64(out.Len()), size)))
	}
	return out.Bytes(), nil
}

func moreThan(b bool) string {
	if b {
		return "more than "
	}
	return ""
}

// openELF reads the .BTF of vmlinux, a module or a BPF object.
func (o *opener) openELF(in *input, head []byte) (*File, error) {
	o.step("ELF")
	f, err := elfHeader(in, head)
	if err != nil {
		return nil, err
	}
	if arch := elfArch(f.machine, f.class, f.order); arch != "" {
		o.arch = arch
	}
	if f.shoff == 0 { // stripped of section headers: a kernel can still be known by its look
		return o.openFlat(in, int64(len(head)&^3&(headLen-1)))
	}
	var s survey
	if in.size < 0 && f.shoff > inflatedHead {
		// The section headers come last. See what there is on the way there, so that one pass suffices.
		if s, err = surveyInput(in, 0, int64(f.shoff)); err != nil {
			return nil, err
		}
		if s.btf != nil && s.banner.Text != "" { // a kernel's; what else is in it need not be expanded
			o.step(".BTF")
			return &File{BTF: s.btf, Raw: s.raw, Banner: s.banner, Arch: o.arch}, nil
		}
	}
	if err := f.readSections(); err != nil {
		return nil, err
	}
	file := &File{Arch: o.arch}
	if mod, ok := f.find(".modinfo"); ok {
		if b, err := f.data(mod, maxModinfo); err == nil {
			info := ParseModuleInfo(b)
			file.Module, file.Banner.Uname = info.Value("name"), firstWord(info.Value("vermagic"))
		}
	}
	if file.Module == "" && o.arch != "bpf" {
		if ro, ok := f.find(".rodata"); ok && s.banner.Text == "" {
			// The banner is a gift: a kernel without one, or whose text can't be read, still has its BTF.
			if t, err := surveyInput(in, int64(ro.off), int64(min(ro.off+min(ro.len, 1<<62), 1<<62))); err == nil {
				s.banner = t.banner
			}
		}
		file.Banner = s.banner
	}
	_, file.Code = f.find(".BTF.ext")
	btf, ok := f.find(".BTF")
	if !ok {
		e := &Error{Off: -1, Msg: fmt.Sprintf("no .BTF among %d sections", f.shnum), Found: file}
		switch {
		case o.arch == "bpf":
			e.Hint = "was the object compiled with -g?"
		case file.Module != "":
			e.Hint = "was the kernel built with CONFIG_DEBUG_INFO_BTF_MODULES, and the module not stripped of it?"
		case s.banner.Uname != "":
			e.Msg += " of the kernel " + s.banner.Uname
			e.Hint = "was the kernel built with CONFIG_DEBUG_INFO_BTF?"
		default:
			e.Hint = "this is an ELF file, but neither a kernel (vmlinux), nor a module, nor a BPF object"
		}
		return nil, e
	}
	passed := s.raw != nil && s.off == int64(btf.off) && uint64(len(s.raw)) <= btf.len && btf.flags&shfCompressed == 0
	if passed && s.btf != nil {
		file.BTF, file.Raw = s.btf, s.raw
		o.step(".BTF")
		return file, nil
	}
	var own *BTF
	if base, ok := f.find(".BTF.base"); ok {
		raw, err := f.data(base, maxBTF)
		if err != nil {
			return nil, err
		}
		if own, err = parseOwned(raw, nil); err != nil {
			return nil, atSection(err, ".BTF.base", false)
		}
	}
	if passed { // the survey met it, but it is no kernel's, or damaged
		file.Raw = s.raw
	} else if file.Raw, err = f.data(btf, maxBTF); err != nil {
		return nil, err
	}
	if err := o.parse(file, ".BTF", own); err != nil {
		return nil, err
	}
	o.step(".BTF")
	return file, nil
}

func firstWord(s string) string {
	w, _, _ := bytes.Cut([]byte(s), []byte{' '})
	return string(w)
}
