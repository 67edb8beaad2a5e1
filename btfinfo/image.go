package btfinfo

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"strings"
)

// Marks of kernel boot images, and where they are.
//
// Sources, all of Linux v6.12: Documentation/arch/x86/boot.rst (bzImage), Documentation/arch/arm64/booting.rst and
// Documentation/arch/riscv/boot-image-header.rst (Image), drivers/firmware/efi/libstub/zboot-header.S (EFI zboot),
// arch/s390/boot/head.S (s390x).
const (
	bzImageMagic = "HdrS"    // at 0x202
	zbootMagic   = "zimg"    // at 4, after "MZ"
	arm64Magic   = "ARM\x64" // at 0x38
	riscvMagic   = "RSC\x05" // at 0x38
	s390Magic    = 0x10008   // where "S390EP" is
	bzImageHead  = 0x250     // end of payload_length in the setup header
	zbootHead    = 0x40      // end of the offset of the PE header
	imageHead    = 0x40      // of arm64 and riscv
	bzImageMin   = 0x0208    // first boot protocol with payload_offset
	s390Kernel   = 1 << 20   // what expands to more is the kernel: chance does not come that far
	s390Search   = 16 << 20  // the payload of an s390x image starts within these first bytes
)

// openBzImage opens the compressed vmlinux in an x86 boot image.
func (o *opener) openBzImage(in *input, head []byte, depth int) (*File, error) {
	o.step("bzImage")
	if len(head) < bzImageHead {
		return nil, formatErr(0, "the setup header needs %d bytes, have %d", bzImageHead, len(head))
	}
	version := binary.LittleEndian.Uint16(head[0x206:])
	if version < bzImageMin {
		e := formatErr(0x206, "boot protocol %d.%02d does not tell where the kernel is, want 2.08 or newer", version>>8, version&0xff)
		e.Hint = "kernels before 2.6.26 have no BTF"
		return nil, e
	}
	sectors := int64(head[0x1f1])
	if sectors == 0 {
		sectors = 4 // "for backwards compatibility", boot.rst
	}
	off := (sectors+1)*512 + int64(binary.LittleEndian.Uint32(head[0x248:]))
	size := int64(binary.LittleEndian.Uint32(head[0x24c:]))
	o.arch = "x86_64"
	return o.openPayload(in, off, size, 0x248, true, depth)
}

// openZboot opens the compressed Image in an EFI zboot image.
func (o *opener) openZboot(in *input, head []byte, depth int) (*File, error) {
	o.step("zboot")
	if len(head) < zbootHead {
		return nil, formatErr(0, "the zboot header needs %d bytes, have %d", zbootHead, len(head))
	}
	off := int64(binary.LittleEndian.Uint32(head[8:]))
	size := int64(binary.LittleEndian.Uint32(head[12:]))
	o.arch = peArch(in, head)
	return o.openPayload(in, off, size, 8, false, depth)
}

// peArch reads the machine from the PE header of an EFI image. Source: Microsoft PE/COFF, "Machine types".
func peArch(in *input, head []byte) string {
	off := int64(binary.LittleEndian.Uint32(head[0x3c:]))
	pe, err := in.readUpTo(off, 6)
	if err != nil || len(pe) < 6 || string(pe[:4]) != "PE\x00\x00" {
		return ""
	}
	switch binary.LittleEndian.Uint16(pe[4:]) {
	case 0xaa64:
		return "arm64"
	case 0x8664:
		return "x86_64"
	case 0x5064:
		return "riscv64"
	case 0x6264:
		return "loongarch64"
	}
	return ""
}

// openPayload opens the compressed kernel of size bytes at off; the two were read from the header at offset at. With
// sized, the 4 bytes of the expanded size follow the data, except with gzip, which ends in them itself
// (size_append in scripts/Makefile.lib of Linux v6.12).
func (o *opener) openPayload(in *input, off, size, at int64, sized bool, depth int) (*File, error) {
	if in.size >= 0 && off+size > in.size {
		return nil, formatErr(at, "the compressed kernel ends at %d, the file has %d bytes", off+size, in.size)
	}
	p := in.section(off, size)
	head, err := p.readUpTo(0, headLen)
	if err != nil {
		return nil, err
	}
	f := sniff(head)
	switch {
	case f == formatELF: // uncompressed: x86 has CONFIG_KERNEL_UNCOMPRESSED in some trees
		return o.open(p, depth+1)
	case f < formatGzip:
		e := formatErr(off, "the compressed kernel starts with % x, which no known compression does", head[:min(len(head), 8)])
		e.Hint = "known are gzip, xz, zstd, bzip2, lz4, lzma and lzop"
		return nil, e
	}
	if sized && f != formatGzip {
		p.size = max(0, p.size-4)
		p.r = in.section(off, p.size).r
	}
	p.once = true
	return o.open(p, depth+1)
}

// openImage finds the BTF in the flat image of arm64 and riscv, which has no sections: it is known by its look.
func (o *opener) openImage(in *input, head []byte) (*File, error) {
	o.step("Image")
	o.arch = "arm64"
	if string(head[0x38:0x3c]) == riscvMagic {
		o.arch = "riscv64"
	}
	return o.openFlat(in, imageHead)
}

// openFlat finds the BTF in an input that has no table of its parts.
func (o *opener) openFlat(in *input, from int64) (*File, error) {
	s, err := surveyInput(in, from, -1)
	if err != nil && s.btf == nil {
		return nil, err
	}
	if s.btf == nil {
		return nil, &Error{
			Off: -1, Msg: strings.TrimSpace("no BTF in the kernel " + s.banner.Uname),
			Hint:  "was the kernel built with CONFIG_DEBUG_INFO_BTF?",
			Found: &File{Banner: s.banner, Arch: o.arch},
		}
	}
	o.step("BTF at %#x", s.off)
	return &File{BTF: s.btf, Raw: s.raw, Banner: s.banner, Arch: o.arch}, nil
}

// openS390 opens the compressed kernel in an s390x boot image. Its header does not tell where that is, so every place
// that starts like compressed data is tried.
func (o *opener) openS390(in *input, depth int) (*File, error) {
	o.step("s390x image")
	o.arch = "s390x"
	if file, err := o.openFlat(in, s390Magic); err == nil { // CONFIG_KERNEL_UNCOMPRESSED
		return file, nil
	}
	steps := len(o.steps)
	// Of all that is tried, what expands to most is the kernel, and its error the one to report.
	var worst error
	var worstStep string
	most := int64(-1)
	buf := make([]byte, surveyWindow)
	last := map[format]*inflated{}
	defer func() {
		for _, z := range last {
			z.close()
		}
	}()
	for off, tries := int64(s390Magic), 0; tries < surveyTries; tries++ {
		var f format
		var err error
		if off, f, err = nextCompressed(in, off, buf); err != nil {
			return nil, err
		}
		if f == formatNone {
			break
		}
		z := newInflated(&input{r: in.section(off, max(0, in.size-off)).r, size: -1, once: true}, f, o.limit, &o.windows)
		o.step("%s", f)
		if l := last[f]; l != nil {
			z.inherit(l)
		}
		last[f] = z
		file, err := o.openFlat(&input{r: z, size: -1}, 0)
		if err == nil {
			return file, nil
		}
		if z.pos > most {
			worst, worstStep, most = err, f.String(), z.pos
		}
		o.steps = o.steps[:steps]
		if z.pos > s390Kernel {
			break
		}
		off++
	}
	if worst == nil {
		return nil, &Error{Off: -1, Msg: fmt.Sprintf("no compressed kernel in the first %d bytes", min(in.size, s390Search))}
	}
	o.step("%s", worstStep)
	return nil, worst
}

// nextCompressed finds the next place from off on that starts like compressed data. buf is room for a window.
func nextCompressed(in *input, off int64, buf []byte) (int64, format, error) {
	magics := []string{gzipMagic, xzMagic, zstdMagic, bzip2Magic, lz4LegacyMagic, lzopMagic}
	for off < s390Search {
		n, err := in.r.ReadAt(buf, off)
		if err != nil && err != io.EOF {
			return 0, formatNone, err
		}
		w := buf[:n]
		best := -1
		for _, m := range magics {
			if i := bytes.Index(w, []byte(m)); i >= 0 && (best < 0 || i < best) {
				best = i
			}
		}
		switch {
		case best >= 0:
			if f := sniff(w[best:]); f >= formatGzip {
				return off + int64(best), f, nil
			}
			off += int64(best) + 1
		case len(w) < surveyWindow:
			return 0, formatNone, nil
		default:
			off += surveyWindow - surveyOverlap
		}
	}
	return 0, formatNone, nil
}
