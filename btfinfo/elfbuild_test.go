package btfinfo

import (
	"bytes"
	"encoding/binary"
)

// testSection is a section of an ELF file that a test builds.
type testSection struct {
	name  string
	kind  uint32 // SHT_PROGBITS where 0
	flags uint64
	data  []byte
	edit  func(hdr []byte) // changes the section header as written
}

// testELF describes an ELF file for tests. edit, where set, changes the file header as written.
type testELF struct {
	class    byte
	order    binary.ByteOrder
	machine  uint16
	sections []testSection
	edit     func(hdr []byte)
}

// build writes header, contents, section names and section headers, in this order, as objcopy does.
func (e testELF) build() []byte {
	ehsize, shsize := 64, 64
	if e.class == elfClass32 {
		ehsize, shsize = 52, 40
	}
	out := make([]byte, ehsize)
	names := []byte{0}
	type placed struct {
		testSection
		nameOff, off int
	}
	all := []placed{{testSection: testSection{kind: 0xffffffff}}} // the null section
	for _, s := range append(e.sections, testSection{name: ".shstrtab", kind: 3}) {
		p := placed{testSection: s, nameOff: len(names)}
		names = append(append(names, s.name...), 0)
		if s.name == ".shstrtab" {
			p.data = names
		}
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
		p.off = len(out)
		if s.kind != shtNobits {
			out = append(out, p.data...)
		}
		all = append(all, p)
	}
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	shoff := len(out)
	for _, s := range all {
		h := make([]byte, shsize)
		kind := s.kind
		switch kind {
		case 0:
			kind = 1
		case 0xffffffff:
			kind = 0
		}
		e.order.PutUint32(h, uint32(s.nameOff))
		e.order.PutUint32(h[4:], kind)
		if e.class == elfClass32 {
			e.order.PutUint32(h[8:], uint32(s.flags))
			e.order.PutUint32(h[16:], uint32(s.off))
			e.order.PutUint32(h[20:], uint32(len(s.data)))
		} else {
			e.order.PutUint64(h[8:], s.flags)
			e.order.PutUint64(h[24:], uint64(s.off))
			e.order.PutUint64(h[32:], uint64(len(s.data)))
		}
		if s.edit != nil {
			s.edit(h)
		}
		out = append(out, h...)
	}
	copy(out, elfMagic)
	out[4], out[6] = e.class, 1
	out[5] = elfDataLSB
	if e.order == binary.BigEndian {
		out[5] = elfDataMSB
	}
	e.order.PutUint16(out[16:], 2) // ET_EXEC
	e.order.PutUint16(out[18:], e.machine)
	at := 0x34
	if e.class == elfClass32 {
		e.order.PutUint32(out[0x20:], uint32(shoff))
		at = 0x28
	} else {
		e.order.PutUint64(out[0x28:], uint64(shoff))
	}
	e.order.PutUint16(out[at:], uint16(ehsize))
	e.order.PutUint16(out[at+6:], uint16(shsize))
	e.order.PutUint16(out[at+8:], uint16(len(all)))
	e.order.PutUint16(out[at+10:], uint16(len(all)-1))
	if e.edit != nil {
		e.edit(out[:ehsize])
	}
	return out
}

// testBzImage wraps a compressed kernel in an x86 boot image of protocol 2.15.
func testBzImage(payload []byte) []byte {
	const sectors, before, after = 3, 700, 512
	out := make([]byte, (sectors+1)*512+before)
	copy(out, "MZ")
	out[0x1f1] = sectors
	copy(out[0x1fe:], "\x55\xaa")
	copy(out[0x202:], bzImageMagic)
	binary.LittleEndian.PutUint16(out[0x206:], 0x20f)
	binary.LittleEndian.PutUint32(out[0x248:], before)
	binary.LittleEndian.PutUint32(out[0x24c:], uint32(len(payload)))
	return append(append(out, payload...), bytes.Repeat([]byte{0xcc}, after)...)
}

// testZboot wraps a compressed Image in an EFI zboot image of an arm64 machine.
func testZboot(payload []byte, name string) []byte {
	out := make([]byte, 4096)
	copy(out, "MZ")
	copy(out[4:], zbootMagic)
	binary.LittleEndian.PutUint32(out[8:], uint32(len(out)))
	binary.LittleEndian.PutUint32(out[12:], uint32(len(payload)))
	copy(out[0x18:], name)
	binary.LittleEndian.PutUint32(out[0x3c:], 0x40)
	copy(out[0x40:], "PE\x00\x00\x64\xaa")
	return append(append(out, payload...), bytes.Repeat([]byte{0xcc}, 512)...)
}

// testImage is a flat kernel with its text and BTF, marked as arm64 (or, with riscvMagic, as riscv).
func testImage(magic string, text, btf []byte) []byte {
	out := make([]byte, 4096)
	copy(out[0x38:], magic)
	out = append(out, text...)
	for len(out)%4 != 0 {
		out = append(out, 0)
	}
	return append(append(out, btf...), make([]byte, 3000)...)
}

// testS390 is a flat s390x boot image: code, in which the mark of zstd occurs as a constant, then a compressed kernel.
func testS390(payload []byte) []byte {
	out := make([]byte, 0x12000)
	copy(out[s390Magic:], "S390EP")
	copy(out[0x11000:], zstdMagic+"\x00\x01")
	return append(append(out, payload...), make([]byte, 512)...)
}
