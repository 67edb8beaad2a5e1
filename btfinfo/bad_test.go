package btfinfo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// edited returns a copy of data with the bytes at off replaced.
func edited(data []byte, off int, b ...byte) []byte {
	data = bytes.Clone(data)
	copy(data[off:], b)
	return data
}

// TestOpenBad asserts the whole line that each kind of bad input gives.
func TestOpenBad(t *testing.T) {
	raw := kernelBuilder().Bytes(le)
	kernel := kernelELF()
	mod := moduleBuilder(kernelBuilder()).Bytes(le)
	kernelBTF, err := Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	otherKernel := func() *BTF {
		b := btfbuild.New()
		b.Int("int", 4, 0)
		p, err := Parse(b.Bytes(le))
		if err != nil {
			t.Fatal(err)
		}
		return p
	}()
	header := func(edit func(*btfbuild.Header)) []byte {
		b := kernelBuilder()
		b.EditHeader = edit
		return b.Bytes(le)
	}
	withBTF := func(s testSection, more ...testSection) []byte {
		s.name = ".BTF"
		return testELF{class: elfClass64, order: le, machine: 62, sections: append([]testSection{s}, more...)}.build()
	}
	put32 := func(at int, v uint32) func([]byte) {
		return func(h []byte) { le.PutUint32(h[at:], v) }
	}
	put64 := func(at int, v uint64) func([]byte) {
		return func(h []byte) { le.PutUint64(h[at:], v) }
	}
	elfWith := func(edit func([]byte)) []byte {
		return testELF{class: elfClass64, order: le, machine: 62, edit: edit, sections: []testSection{{name: ".BTF", data: raw}}}.build()
	}
	gz := payloads[0].read(t)
	xz := payloads[3].read(t)
	bz := testBzImage(payloads[3].inImage(xz, len(kernel)))
	bomb := zstdOf(append(testImage(arm64Magic, nil, nil), make([]byte, 48<<20)...))
	chdr := func(kind uint32, size uint64, data ...byte) []byte {
		b := make([]byte, 24, 24+len(data))
		le.PutUint32(b, kind)
		le.PutUint64(b[8:], size)
		return append(b, data...)
	}

	tests := []struct {
		name string
		data []byte
		opt  *Options
		want string
		hint string // part of it; none may be empty
	}{
		{"empty", nil, nil, "in: is empty", "want raw BTF"},
		{"text", []byte("hello, world\n"), nil, "in: at 0x0: neither BTF nor anything known to hold it: starts with 68 65 6c 6c 6f 2c 20 77", "want raw BTF"},
		{"one byte", []byte{0x9f}, nil, "in: at 0x0: neither BTF nor anything known to hold it: starts with 9f", ""},
		{"Debian package", []byte("!<arch>\ndebian-binary   "), nil, "in: at 0x0: neither BTF nor anything known to hold it: starts with 21 3c 61 72 63 68 3e 0a", "dpkg-deb -x"},
		{"RPM package", []byte("\xed\xab\xee\xdb\x03\x00\x00\x00"), nil, "in: at 0x0: neither BTF nor anything known to hold it: starts with ed ab ee db 03 00 00 00", "rpm2cpio"},

		{"BTF header cut", raw[:20], nil, "in: at 0x0: the BTF header needs 24 bytes, have 20", ""},
		{"BTF cut", raw[:300], nil, fmt.Sprintf("in: at 0x10: BTF strings end at byte %d after the header, have 276", len(raw)-24), ""},
		{"BTF version", edited(raw, 2, 2), nil, "in: at 0x2: BTF version 2 is not known, want 1", ""},
		{"BTF flags", edited(raw, 3, 1), nil, "in: at 0x3: BTF header flags are 0x1, want 0", ""},
		{"BTF header length small", header(func(h *btfbuild.Header) { h.HdrLen = 23 }), nil, "in: at 0x4: BTF header length is 23, want at least 24", ""},
		{"BTF header length large", header(func(h *btfbuild.Header) { h.HdrLen = 1 << 30 }), nil, fmt.Sprintf("in: at 0x4: BTF header length is 1073741824, have %d bytes", len(raw)), ""},
		{"BTF string length overflows", header(func(h *btfbuild.Header) { h.StrLen = 0xffffffff }), nil,
			fmt.Sprintf("in: at 0x10: BTF strings end at byte %d after the header, have %d", uint64(le.Uint32(raw[16:]))+0xffffffff, len(raw)-24), ""},
		{"BTF types over strings", header(func(h *btfbuild.Header) { h.TypeLen += 4 }), nil,
			fmt.Sprintf("in: at 0x8: BTF types end at byte %d after the header, but the strings start at %d", le.Uint32(raw[12:])+4, le.Uint32(raw[16:])), ""},
		{"BTF in gzip, longer than it is", gzipped(header(func(h *btfbuild.Header) { h.StrLen += 100 })), nil,
			fmt.Sprintf("in: gzip: at 0x10: BTF strings end at byte %d after the header, have %d", len(raw)+76, len(raw)-24), ""},
		{"BTF in gzip, said to be huge", gzipped(header(func(h *btfbuild.Header) { h.StrLen = 0xffffff00 })), nil,
			fmt.Sprintf("in: gzip: at 0x0: the BTF is %d bytes, the limit is 33554432", 24+uint64(le.Uint32(raw[16:]))+0xffffff00), ""},
		{"split BTF alone", mod, nil, "in: can't be read alone: this BTF continues that of the kernel it was built for, which is not given", "--base vmlinux"},
		{"split BTF of another kernel", mod, &Options{Base: otherKernel}, "in: at 0x18: type [2] STRUCT: string offset of the name is 176, there are 24", "the very build"},
		{"split BTF of the other byte order", moduleBuilder(kernelBuilder()).Bytes(binary.BigEndian), &Options{Base: kernelBTF}, "in: at 0x0: split BTF is big endian, its base is little endian", ""},

		{"ELF identification", []byte("\x7fELF\x02\x01\x01"), nil, "in: ELF: at 0x0: the ELF identification needs 16 bytes, have 7", ""},
		{"ELF header cut", kernel[:63], nil, "in: ELF: at 0x0: the ELF header needs 64 bytes, have 63", ""},
		{"ELF class", edited(kernel, 4, 3), nil, "in: ELF: at 0x4: ELF class is 3, known are 1 (32 bits) and 2 (64 bits)", ""},
		{"ELF byte order", edited(kernel, 5, 0), nil, "in: ELF: at 0x5: ELF byte order is 0, known are 1 (little) and 2 (big endian)", ""},
		{"ELF section header size", elfWith(func(h []byte) { h[0x3a] = 63 }), nil, "in: ELF: at 0x3a: a section header is said to have 63 bytes, want 64", ""},
		{"ELF section headers beyond the end", elfWith(put64(0x28, 1<<40)), nil, "in: ELF: at 0x10000000000: the first section header needs 64 bytes, have 0", ""},
		{"ELF section headers beyond all", elfWith(put64(0x28, 1<<63)), nil, "in: ELF: at 0x28: the section headers are said to start at byte 9223372036854775808", ""},
		{"ELF cut", kernel[:len(kernel)-1], nil, fmt.Sprintf("in: ELF: at %#x: the table of 5 sections needs 320 bytes, have 319", len(kernel)-320), ""},
		{"ELF section names", elfWith(func(h []byte) { h[0x3e] = 9 }), nil, fmt.Sprintf("in: ELF: at %#x: the section names are said to be in section 9, there are 3", len(elfWith(nil))-192), ""},
		{"ELF name beyond the names", withBTF(testSection{data: raw, edit: put32(0, 999)}), nil, fmt.Sprintf("in: ELF: at %#x: the name of section 1 is at 999, the names are 16 bytes", len(elfWith(nil))-128), ""},
		{"ELF too many sections", testELF{class: elfClass64, order: le, sections: []testSection{{name: ".BTF", data: raw}}, edit: func(h []byte) { h[0x3c] = 0 }}.build(), nil,
			fmt.Sprintf("in: ELF: at %#x: the section names are said to be in section 2, there are 0", len(elfWith(nil))-192), ""},
		{"ELF without BTF", testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{{name: ".text", data: raw}}}.build(), nil, "in: ELF: no .BTF among 3 sections", "neither a kernel"},
		{"ELF of a kernel without BTF", testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{{name: ".rodata", data: kernelText()}}}.build(), nil,
			"in: ELF: no .BTF among 3 sections of the kernel 6.1.0-50-cloud-amd64", "CONFIG_DEBUG_INFO_BTF"},
		{"BPF object without BTF", testELF{class: elfClass64, order: le, machine: emBPF}.build(), nil, "in: ELF: no .BTF among 2 sections", "-g"},
		{"module without BTF", testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{{name: ".modinfo", data: []byte("name=x\x00")}}}.build(), nil,
			"in: ELF: no .BTF among 3 sections", "CONFIG_DEBUG_INFO_BTF_MODULES"},
		{".BTF without content", withBTF(testSection{data: raw, kind: shtNobits}), nil, "in: ELF: no .BTF among 3 sections", ""},
		{".BTF empty", withBTF(testSection{}), nil, "in: ELF: .BTF: at 0x0: the BTF header needs 24 bytes, have 0", ""},
		{".BTF beyond the end", withBTF(testSection{data: raw, edit: put64(24, 1<<33)}), nil,
			fmt.Sprintf("in: ELF: .BTF: the section is said to be %d bytes at 0x200000000 of the file, which has 0 of them", len(raw)), ""},
		{".BTF at an offset that overflows", withBTF(testSection{data: raw, edit: put64(24, 1<<64-8)}), nil,
			fmt.Sprintf("in: ELF: .BTF: the section is said to be %d bytes at 0x4000000000000000 of the file, which has 0 of them", len(raw)), ""},
		{".BTF larger than the file", withBTF(testSection{data: raw, edit: put64(32, 1<<20)}), nil,
			fmt.Sprintf("in: ELF: .BTF: the section is said to be 1048576 bytes at 0x40 of the file, which has %d of them", len(elfWith(nil))-64), ""},
		{".BTF huge", withBTF(testSection{data: raw, edit: put64(32, 1<<60)}), nil, "in: ELF: .BTF: the section is 1152921504606846976 bytes, the limit is 33554432", ""},
		{".BTF damaged", withBTF(testSection{data: edited(raw, 24+7, 0x1f)}), nil, "in: ELF: .BTF: at 0x18: type [1] has kind 31, known are 1 to 19", "newer than this"},
		{".BTF damaged in a large vmlinux", zstdOf(withBTF(testSection{data: edited(raw, 24+7, 0x1f)}, testSection{name: ".tail", data: make([]byte, inflatedHead+2*inflatedTail)})), nil,
			"in: zstd: ELF: .BTF: at 0x18: type [1] has kind 31, known are 1 to 19", "newer than this"},
		{".BTF.base damaged", withBTF(testSection{data: mod}, testSection{name: ".BTF.base", data: raw[:30]}), nil,
			fmt.Sprintf("in: ELF: .BTF.base: at 0x10: BTF strings end at byte %d after the header, have 6", len(raw)-24), ""},
		{".BTF of a module alone", withBTF(testSection{data: mod}), nil, "in: ELF: .BTF: can't be read alone: this BTF continues that of the kernel it was built for, which is not given", "--base vmlinux"},
		{"compressed section header", withBTF(testSection{flags: shfCompressed, data: make([]byte, 20)}), nil, "in: ELF: .BTF: at 0x0: the header of a compressed section needs 24 bytes, have 20", ""},
		{"compressed section kind", withBTF(testSection{flags: shfCompressed, data: chdr(7, 10)}), nil, "in: ELF: .BTF: at 0x0: compression 7 of the section is not known, known are 1 (zlib) and 2 (zstd)", ""},
		{"compressed section huge", withBTF(testSection{flags: shfCompressed, data: chdr(1, 1<<40)}), nil, "in: ELF: .BTF: at 0x8: the section is said to expand to 1099511627776 bytes, the limit is 33554432", ""},
		{"compressed section damaged", withBTF(testSection{flags: shfCompressed, data: chdr(1, 10, 1, 2, 3, 4)}), nil, "in: ELF: .BTF: at 0x18: the compressed section is damaged after 0 expanded bytes: zlib: invalid header", ""},
		{"compressed section too long", withBTF(testSection{flags: shfCompressed, data: chdr(2, 10, zstdOf(raw)...)}), nil, "in: ELF: .BTF: at 0x8: the section is said to expand to 10 bytes, but does to more than 10", ""},
		{"compressed section too short", withBTF(testSection{flags: shfCompressed, data: chdr(2, 9999, zstdOf(raw)...)}), nil, fmt.Sprintf("in: ELF: .BTF: at 0x8: the section is said to expand to 9999 bytes, but does to %d", len(raw)), ""},

		{"zstd bomb", bomb, nil, fmt.Sprintf("in: zstd: Image: zstd expands to more than %d bytes, the limit for an input of this size", expandLimit(int64(len(bomb)))), "expand this file yourself"},
		{"gzip cut", gz[:len(gz)/2], nil, "in: gzip: gzip data is damaged after 17159 expanded bytes: the data ends too early", "complete"},
		{"gzip of nothing", gzipped(nil), nil, "in: gzip: is empty", ""},
		{"gzip of text", gzipped([]byte("hello, world\n")), nil, "in: gzip: at 0x0: neither BTF nor anything known to hold it: starts with 68 65 6c 6c 6f 2c 20 77", ""},
		{"gzip header", gz[:5], nil, "in: gzip: gzip data is damaged after 0 expanded bytes: the data ends too early", ""},
		{"xz damaged", edited(xz, 2000, 1, 2, 3, 4), nil, "in: xz: xz data is damaged after 0 expanded bytes: xz: data is corrupt", ""},
		{"xz filter", xzOptions(payloads[1].read(t)), nil, "in: xz: xz data that needs a filter or a dictionary that is not supported: xz: compression options not supported", "xz -d"},
		{"lzop block", edited(payloads[10].read(t), 50, 0xff, 0xff, 0xff, 0xff), nil, "in: lzop: lzop data is damaged after 0 expanded bytes: LZO data is damaged", ""},
		{"lzop Adler-32", edited(payloads[10].read(t), 47, 0), nil, "in: lzop: lzop data is damaged after 0 expanded bytes: an lzop block has the Adler-32 checksum 0xd220d32d, want 0xd200d32d", ""},
		{"lzop CRC-32", edited(payloads[11].read(t), 47, 0), nil, "in: lzop: lzop data is damaged after 0 expanded bytes: an lzop block has the CRC-32 checksum 0x037ff5b9, want 0x0300f5b9", ""},
		{"lzop method", edited(payloads[10].read(t), 15, 9), nil, "in: lzop: lzop data is damaged after 0 expanded bytes: lzop method 9 is not known, known are 1 to 3 (LZO1X)", ""},
		{"lzop filter", edited(payloads[10].read(t), 19, 8), nil, "in: lzop: lzop data is damaged after 0 expanded bytes: lzop flags 0x300080d (a filter or an extra field) are not known", ""},
		{"lzop sizes", edited(payloads[10].read(t), 38, 0xff), nil, "in: lzop: lzop data is damaged after 0 expanded bytes: an lzop block of 4278224184 bytes in 18212, the limits are 8388608 and the same", ""},
		{"lz4 legacy block", []byte(lz4LegacyMagic + "\xff\xff\xff\x7f"), nil, "in: lz4: lz4 data is damaged after 0 expanded bytes: a block of 2147483647 bytes, the limit is 8421520", ""},
		{"lz4 legacy block cut", []byte(lz4LegacyMagic + "\x00\x01\x00\x00abc"), nil, "in: lz4: lz4 data is damaged after 0 expanded bytes: a block of 256 bytes ends after 3", ""},
		{"lzma dictionary", []byte(lzmaMagic + "\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff"), nil, "in: lzma: lzma data is damaged after 0 expanded bytes: lzma: header dictionary size 4278190080 exceeds configured dictionary capacity 134217728", ""},

		{"tar of nothing known", tarred(tarFile{"README", []byte("text")}, tarFile{"b", nil}), nil, "in: tar: none of the 2 files in the archive holds BTF", ""},
		{"tar of several", tarred(tarFile{"5.10.btf", raw}, tarFile{"6.1.btf", raw}), nil, `in: tar: 2 files in the archive hold BTF: "5.10.btf", "6.1.btf"`, "name one"},
		{"tar of many", tarred(repeat(tarFile{"a\nb.btf", raw}, 7)...), nil, `in: tar: 7 files in the archive hold BTF: "a\nb.btf", "a\nb.btf", "a\nb.btf", "a\nb.btf", "a\nb.btf", 2 more`, ""},
		{"tar without the member", tarred(tarFile{"5.10.btf", raw}), &Options{Member: "6.1.btf"}, `in: tar: none of the 1 files in the archive is "6.1.btf" and holds BTF`, ""},
		{"tar of a sparse file", func() []byte {
			data := tarred(tarFile{"5.10.btf", raw})
			data[156] = 'S' // GNU's type of it, with GNU's mark and the file's size without its holes
			copy(data[257:], "ustar  \x00")
			copy(data[345:512], make([]byte, 167))
			copy(data[483:], "00000000000")
			return checksummed(data)
		}(), nil, "in: tar: none of the 0 files in the archive holds BTF", "unpack it"},
		{"tar cut", tarred(tarFile{"5.10.btf", raw})[:700], nil, "in: tar: at 0x2bc: the tar archive is damaged after 1 files: it ends too early", ""},
		{"tar of a damaged member", tarred(tarFile{"5.10.btf", raw[:100]}), nil, fmt.Sprintf("in: tar: 5.10.btf: at 0x10: BTF strings end at byte %d after the header, have 76", len(raw)-24), ""},

		{"bzImage header cut", bz[:0x240], nil, "in: bzImage: at 0x0: the setup header needs 592 bytes, have 576", ""},
		{"bzImage protocol", edited(bz, 0x206, 7, 2), nil, "in: bzImage: at 0x206: boot protocol 2.07 does not tell where the kernel is, want 2.08 or newer", "2.6.26"},
		{"bzImage cut", bz[:5000], nil, fmt.Sprintf("in: bzImage: at 0x248: the compressed kernel ends at %d, the file has 5000 bytes", 2748+len(xz)+4), ""},
		{"bzImage payload length", edited(bz, 0x24c, 0xff, 0xff, 0xff, 0xff), nil, fmt.Sprintf("in: bzImage: at 0x248: the compressed kernel ends at %d, the file has %d bytes", 2748+uint64(0xffffffff), len(bz)), ""},
		{"bzImage payload unknown", edited(bz, 2748, 1, 2, 3), nil, "in: bzImage: at 0xabc: the compressed kernel starts with 01 02 03 58 5a 00 00 01, which no known compression does", "gzip, xz, zstd"},
		{"bzImage payload empty", edited(bz, 0x24c, 0, 0, 0, 0), nil, "in: bzImage: at 0xabc: the compressed kernel starts with , which no known compression does", ""},
		{"bzImage payload damaged", edited(bz, 2748+2000, 1, 2, 3, 4), nil, "in: bzImage: xz: xz data is damaged after 0 expanded bytes: xz: data is corrupt", ""},
		{"zboot header cut", testZboot(gz, "gzip")[:0x30], nil, "in: zboot: at 0x0: the zboot header needs 64 bytes, have 48", ""},
		{"zboot cut", testZboot(gz, "gzip")[:5000], nil, fmt.Sprintf("in: zboot: at 0x8: the compressed kernel ends at %d, the file has 5000 bytes", 4096+len(gz)), ""},
		{"Image without BTF", testImage(arm64Magic, kernelText(), nil), nil, "in: Image: no BTF in the kernel 6.1.0-50-cloud-amd64", "CONFIG_DEBUG_INFO_BTF"},
		{"Image with BTF cut", testImage(arm64Magic, kernelText(), raw)[:5000], nil, "in: Image: no BTF in the kernel 6.1.0-50-cloud-amd64", ""},
		{"s390x without payload", testS390(nil), nil, "in: s390x image: zstd: zstd data is damaged after 0 expanded bytes: the data ends too early", ""},
		{"s390x without BTF", testS390(zstdOf(kernelText()))[:0x12000+len(zstdOf(kernelText()))], nil, "in: s390x image: zstd: no BTF in the kernel 6.1.0-50-cloud-amd64", ""},
		{"nested", nested(raw, maxNesting+1), nil, "in" + strings.Repeat(": gzip", maxNesting+1) + ": more than 8 containers in one another", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f, err := openBytes(test.data, test.opt)
			if err == nil {
				t.Fatalf("opened: %d types by %q", f.BTF.NumTypes(), f.Steps)
			}
			if f != nil {
				t.Error("both a file and an error")
			}
			if err.Error() != test.want {
				t.Errorf("\n got %s\nwant %s", err, test.want)
			}
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("more than one line: %q", err)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("a %T, want an *Error", err)
			}
			if e.Hint == "" || !strings.Contains(e.Hint, test.hint) {
				t.Errorf("hint %q, want %q in it", e.Hint, test.hint)
			}
		})
	}
}

// xzOptions makes of xz data one whose block asks for a filter that does not exist.
func xzOptions(data []byte) []byte {
	// After the stream header (12 bytes): block header size, flags, filter id, size of its properties … and a CRC-32.
	data = edited(data, 14, 0x3e)
	size := (int(data[12]) + 1) * 4
	le.PutUint32(data[12+size-4:], crc32.ChecksumIEEE(data[12:12+size-4]))
	return data
}

// checksummed sets the checksum of a tar archive's first header.
func checksummed(data []byte) []byte {
	copy(data[148:156], "        ")
	sum := 0
	for _, c := range data[:512] {
		sum += int(c)
	}
	copy(data[148:], fmt.Sprintf("%06o\x00", sum))
	return data
}

func repeat(f tarFile, n int) (fs []tarFile) {
	for range n {
		fs = append(fs, f)
	}
	return fs
}

func nested(data []byte, n int) []byte {
	for range n {
		data = gzipped(data)
	}
	return data
}

// TestOpenBadPath covers what is no regular file. A pipe must not block.
func TestOpenBadPath(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	empty := filepath.Join(dir, "empty")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir:                        "is a directory, want a regular file",
		fifo:                       "is a named pipe, want a regular file",
		"/dev/null":                "is a device, want a regular file",
		empty:                      "is empty",
		filepath.Join(dir, "none"): "can't be opened: no such file or directory",
	} {
		f, err := Open(path, nil)
		var e *Error
		if f != nil || !errors.As(err, &e) || e.Error() != path+": "+want || e.Hint == "" {
			t.Errorf("file %v, error %v, want %s: %s and a hint", f, err, path, want)
		}
	}
}

// TestOpenTruncated opens every kind of input at every length: none may panic, and all must say where it ends.
func TestOpenTruncated(t *testing.T) {
	t.Parallel()
	raw := kernelBuilder().Bytes(le)
	for name, data := range map[string][]byte{
		"raw":     raw,
		"ELF":     testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{{name: ".BTF", data: raw}}}.build(),
		"ELF32":   testELF{class: elfClass32, order: le, machine: 40, sections: []testSection{{name: ".BTF", data: raw}}}.build(),
		"gzip":    gzipped(raw),
		"zstd":    zstdOf(raw),
		"tar":     tarred(tarFile{"a", raw})[:512+len(raw)],
		"bzImage": testBzImage(zstdOf(raw))[:2748+len(zstdOf(raw))],
		"zboot":   testZboot(gzipped(raw), "gzip")[:4096+len(gzipped(raw))],
	} {
		t.Run(name, func(t *testing.T) {
			for n := range len(data) {
				f, err := openBytes(data[:n], nil)
				if err == nil || f != nil {
					t.Fatalf("%d of %d bytes: file %v, error %v", n, len(data), f, err)
				}
				if strings.Contains(err.Error(), "\n") {
					t.Fatalf("%d of %d bytes: more than one line: %q", n, len(data), err)
				}
			}
		})
	}
	for _, p := range payloads {
		t.Run(p.file, func(t *testing.T) {
			data := p.read(t)
			for n := 0; n < len(data)-64; n += 61 {
				if f, err := openBytes(data[:n], nil); err == nil || f != nil {
					t.Fatalf("%d of %d bytes: file %v, error %v", n, len(data), f, err)
				}
			}
		})
	}
}

// TestOpenMemory opens bombs in processes of their own and holds the most memory that they took against the promise:
// 64 MB over the input's size.
func TestOpenMemory(t *testing.T) {
	const env = "CORECHECK_TEST_OPEN"
	if path := os.Getenv(env); path != "" {
		_, err := Open(path, nil)
		if err == nil {
			t.Fatal("opened")
		}
		fmt.Println("error:", err)
		fmt.Println("peak:", peakMemory(t))
		return
	}
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("no /proc/self/status on this system")
	}
	t.Parallel()
	zeros := func(head []byte, size int) []byte { return append(bytes.Clone(head), make([]byte, size-len(head))...) }
	raw := kernelBuilder().Bytes(le)
	hugeHeader := func(size uint32) []byte {
		b := btfbuild.New()
		b.EditHeader = func(h *btfbuild.Header) { h.TypeLen, h.StrOff, h.StrLen = size, size, 1 }
		return b.Bytes(le)
	}
	elf := testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{{name: ".BTF", data: raw}},
		edit: func(h []byte) { le.PutUint64(h[0x28:], 1<<40) }}.build()
	const big = 128 << 20 // twice what may be taken
	// What does not compress, again and again: the window has to hold it all, and the input's size allows for it.
	noise := make([]byte, 13<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	far := zstdWindow(append(testImage(arm64Magic, nil, nil), bytes.Repeat(noise, 9)...), maxWindow)
	for name, data := range map[string][]byte{
		"gzip":                     gzipped(make([]byte, big)),
		"zstd":                     zstdOf(make([]byte, big)),
		"zstd of ELF":              zstdOf(zeros(elf, big)),
		"zstd of Image":            zstdOf(zeros(testImage(arm64Magic, nil, nil), big)),
		"gzip of tar":              gzipped(zeros(tarred(tarFile{"a", nil})[:512], big)),
		"gzip of gzip":             gzipped(gzipped(make([]byte, big))),
		"zstd of BTF":              zstdOf(zeros(hugeHeader(1<<30), big)),
		"zstd of BTF in the limit": zstdOf(zeros(hugeHeader(maxBTF-64), big)),
		"zstd with a large window": far,
		"bzImage of zstd":          testBzImage(append(zstdOf(zeros(elf, big)), 0, 0, 0, 0)),
		"section table": testELF{class: elfClass64, order: le, machine: 62,
			sections: []testSection{{name: ".BTF", data: raw, edit: func(h []byte) { le.PutUint64(h[32:], maxBTF) }}}}.build(),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bomb")
			if err := os.WriteFile(path, data, 0o644); err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestOpenMemory$", "-test.v")
			cmd.Env = append(os.Environ(), env+"="+path)
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			peak := -1
			for _, line := range strings.Split(string(out), "\n") {
				if v, ok := strings.CutPrefix(line, "peak: "); ok {
					fmt.Sscan(v, &peak)
				}
			}
			limit := len(data) + 64<<20
			if peak < 0 || peak > limit && !raceEnabled {
				t.Errorf("took %d bytes of memory, the limit is %d: %s", peak, limit, out)
			}
			t.Logf("%s", strings.ReplaceAll(string(out), path, "bomb"))
		})
	}
}

// raceEnabled tells that the race detector is on, which takes memory of its own.
var raceEnabled bool

// peakMemory is the most memory that this process had resident, in bytes.
func peakMemory(t *testing.T) int {
	debug.FreeOSMemory()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range strings.Split(string(b), "\n") {
		if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			var kb int
			fmt.Sscan(v, &kb)
			return kb << 10
		}
	}
	t.Fatal("no VmHWM in /proc/self/status")
	return 0
}
