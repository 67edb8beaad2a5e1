package relocate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// edited is an object whose bytes are changed.
type edited struct {
	t    testing.TB
	data []byte
	f    *elfFile
}

func edit(t testing.TB, name string) *edited {
	t.Helper()
	data, err := os.ReadFile(fixture(name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := openELF(bytes.NewReader(data), int64(len(data)), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.loadSymbols(); err != nil {
		t.Fatal(err)
	}
	return &edited{t, data, f}
}

func (e *edited) section(name string) int {
	i := slices.IndexFunc(e.f.secs, func(s elfSection) bool { return s.name == name })
	if i < 1 {
		e.t.Fatalf("no section %s", name)
	}
	return i
}

// Offsets in Elf64_Shdr.
const (
	shName, shType, shFlags, shOffset, shSize, shLink, shInfo, shEntsize = 0, 4, 8, 24, 32, 40, 44, 56
)

// header returns the place of a field of a section's header.
func (e *edited) header(section string, field int) []byte {
	return e.data[int(e.f.order.Uint64(e.data[40:]))+e.section(section)*elfShdrLen+field:]
}

// at returns the contents of a section from a byte on.
func (e *edited) at(section string, off int) []byte {
	return e.data[int(e.f.secs[e.section(section)].off)+off:]
}

func (e *edited) put16(b []byte, v uint16) { e.f.order.PutUint16(b, v) }
func (e *edited) put32(b []byte, v uint32) { e.f.order.PutUint32(b, v) }
func (e *edited) put64(b []byte, v uint64) { e.f.order.PutUint64(b, v) }

// symbol returns the bytes of a symbol.
func (e *edited) symbol(name string) []byte {
	for i := range e.f.numSyms() {
		if n, err := e.f.symName(i, e.f.sym(i)); err == nil && n == name {
			return e.at(e.f.secs[e.f.symtab].name, i*elfSymLen)
		}
	}
	e.t.Fatalf("no symbol %s", name)
	return nil
}

// ext returns where a part of .BTF.ext starts: 0 func_info, 1 line_info, 2 core_relo.
func (e *edited) ext(part int) int {
	b := e.at(".BTF.ext", 0)
	return int(e.f.order.Uint32(b[4:]) + e.f.order.Uint32(b[8+8*part:]))
}

// Every sort of damage gives one line: the file, the section, the offset and the two numbers that disagree.
func TestBadObjects(t *testing.T) {
	t.Parallel()
	const obj = "programs.clang-14.el.o"
	for _, c := range []struct {
		name string
		from string
		edit func(e *edited)
		want string
	}{
		{"cut in the section table", obj, func(e *edited) { e.data = e.data[:len(e.data)-100] },
			"bad.o: at 0x3c: 34 section headers at 0x2d60, the file has room for 32"},
		{"cut before the section table", obj, func(e *edited) { e.data = e.data[:1000] },
			"bad.o: at 0x28: the section table starts at byte 11616, the file has 1000"},
		{"no section table", obj, func(e *edited) { e.put64(e.data[40:], 0) },
			"bad.o: at 0x28: there is no section table"},
		{"size of section headers", obj, func(e *edited) { e.put16(e.data[58:], 40) },
			"bad.o: at 0x3a: section headers have 40 bytes, want 64"},
		{"number of sections", obj, func(e *edited) { e.put16(e.data[60:], 0xfeff) },
			"bad.o: at 0x3c: 65279 section headers at 0x2d60, the file has room for 34"},
		{"section of names", obj, func(e *edited) { e.put16(e.data[62:], 77) },
			"bad.o: at 0x3e: the section names are in section 77, there are 34"},
		{"section beyond the file", obj, func(e *edited) { e.put64(e.header(".BTF", shSize), 1<<40) },
			"bad.o: at 0x3478: section 28 is 1099511627776 bytes at 0x5a0, the file has 13792"},
		{"section that wraps around", obj, func(e *edited) { e.put64(e.header(".BTF", shOffset), 1<<64-8) },
			"bad.o: at 0x3478: section 28 is 4233 bytes at 0xfffffffffffffff8, the file has 13792"},
		{"name of a section", obj, func(e *edited) { e.put32(e.header(".BTF", shName), 1<<30) },
			"bad.o: at 0x3460: the name of section 28 is at 1073741824 of the names, which have 708 bytes"},
		{"sections that overlap", obj, func(e *edited) {
			for _, s := range []string{".BTF", ".BTF.ext", ".rodata", ".data", "license"} {
				e.put64(e.header(s, shOffset), 0)
				e.put64(e.header(s, shSize), 13000)
			}
		}, "bad.o: license: at 0x0: sections overlap: this one has 13000 bytes, of the file's 13792 only 9824 were not in another"},
		{"no symbols", obj, func(e *edited) { e.put32(e.header(".symtab", shType), shtProgbits) },
			"bad.o: there is no symbol table"},
		{"two symbol tables", obj, func(e *edited) { e.put32(e.header(".BTF", shType), shtSymtab) },
			"bad.o: .symtab: section 33 is a second symbol table, the first is section 28"},
		{"size of symbols", obj, func(e *edited) { e.put64(e.header(".symtab", shEntsize), 16) }, "bad.o: .symtab: 1296 bytes of symbols, 16 each: want a whole number of them with 24 each"},
		{"names of symbols", obj, func(e *edited) { e.put32(e.header(".symtab", shLink), 99) }, "bad.o: .symtab: the names of symbols are in section 99, there are 34"},
		{"name of a symbol", obj, func(e *edited) { e.put32(e.symbol("weigh"), 1<<20) }, "bad.o: .symtab: at 0x228: the name of symbol 23 is at 1048576 of the names, which have 708 bytes"},
		{"half an instruction", obj, func(e *edited) { e.put64(e.header(".text", shSize), 20) }, "bad.o: .text: at 0x14: 20 bytes of instructions, want a multiple of 8"},
		{"function beyond its section", obj, func(e *edited) { e.put64(e.symbol("weigh")[16:], 1<<20) }, "bad.o: .text: function weigh is 1048576 bytes at 0x0, the section has 376"},
		{"function that wraps around", obj, func(e *edited) { e.put64(e.symbol("weigh")[8:], 1<<64-8) }, "bad.o: .text: function weigh is 80 bytes at 0xfffffffffffffff8, the section has 376"},
		{"empty function", obj, func(e *edited) { e.put64(e.symbol("weigh")[16:], 0) }, "bad.o: .text: at 0x0: function weigh has 0 bytes at offset 0, want multiples of 8, and at least one instruction"},
		{"functions that overlap", obj, func(e *edited) {
			for _, n := range []string{"weigh", "unused", "weak_one"} {
				e.put64(e.symbol(n)[8:], 0)
				e.put64(e.symbol(n)[16:], e.f.secs[e.section(".text")].size)
			}
		}, "bad.o: .text: at 0x0: functions overlap: they add up to 960 bytes, the section has 376"},
		{"size of relocations", obj, func(e *edited) { e.put64(e.header(".rel.text", shEntsize), 24) }, "bad.o: .rel.text: 80 bytes of relocations, 24 each: want a whole number of them with 16 each"},
		{"relocation beyond its section", obj, func(e *edited) { e.put64(e.at(".rel.text", 0), 0x10000) }, "bad.o: .rel.text: at 0x0: record 0 is for byte 65536, section .text has 376"},
		{"relocation inside an instruction", obj, func(e *edited) { e.put64(e.at(".rel.text", 0), 4) }, "bad.o: .rel.text: at 0x0: record 0 is for byte 4, section .text has 376"},
		{"relocation without symbol", obj, func(e *edited) { e.put64(e.at(".rel.text", 8), 999<<32) }, "bad.o: .rel.text: at 0x8: record 0 has symbol 999, there are 54"},
		{"symbol without section", obj, func(e *edited) { e.put16(e.symbol("counts")[6:], 500) }, "bad.o: .rel.text: at 0x8: record 0 has symbol 24 in section 500, there are 34"},

		{"type of .BTF", obj, func(e *edited) { e.put32(e.header(".BTF", shType), shtNobits) }, "bad.o: .BTF: the section has type 8, want 1 (PROGBITS)"},
		{"magic of .BTF", obj, func(e *edited) { e.put16(e.at(".BTF", 0), 0x1234) }, "bad.o: .BTF: at 0x0: no BTF: magic is 0x1234, want 0xeb9f"},
		{"byte order of .BTF", obj, func(e *edited) {
			other := edit(e.t, "programs.clang-14.eb.o")
			copy(e.at(".BTF", 0), other.at(".BTF", 0)[:other.f.secs[other.section(".BTF")].size])
		}, "bad.o: .BTF: at 0x0: the BTF is big endian, the object is little endian"},
		{"maps without BTF", obj, func(e *edited) { e.put32(e.header(".BTF", shName), 0) }, "bad.o: .maps: there is no BTF that describes the maps"},
		{"struct_ops without BTF", "ops.clang-14.eb.o", func(e *edited) { e.put32(e.header(".BTF", shName), 0) }, "bad.o: .struct_ops: there is no BTF that describes the struct_ops"},
		{"map beyond its section", obj, func(e *edited) { e.put64(e.symbol("events")[8:], 1<<33) }, "bad.o: .maps: map events is 16 bytes at 0x200000000, the section has 64"},
		{"struct_ops map beyond its section", "ops.clang-14.el.o", func(e *edited) { e.put64(e.symbol("plain")[8:], 8) }, "bad.o: .struct_ops: plain is 48 bytes at 0x8, the section has 48"},
		{"struct_ops record outside maps", "ops.clang-14.el.o", func(e *edited) { e.put64(e.at(".rel.struct_ops", 0), 48) }, "bad.o: .rel.struct_ops: at 0x0: record 0 is for byte 48 of .struct_ops, where no map is"},
		{"legacy map beyond its section", "legacy.clang-14.el.o", func(e *edited) { e.put64(e.symbol("old_hash")[8:], 40) }, "bad.o: maps: map old_hash needs 28 bytes at 0x28, the section has 56"},

		{"short .BTF.ext", obj, func(e *edited) { e.put64(e.header(".BTF.ext", shSize), 12) }, "bad.o: .BTF.ext: at 0x0: the header needs 24 bytes, have 12"},
		{"magic of .BTF.ext", obj, func(e *edited) { e.put16(e.at(".BTF.ext", 0), 0x1234) }, "bad.o: .BTF.ext: at 0x0: magic is 0x1234, want 0xeb9f"},
		{"version of .BTF.ext", obj, func(e *edited) { e.at(".BTF.ext", 0)[2] = 9 }, "bad.o: .BTF.ext: at 0x2: version 9 is not known, want 1"},
		{"flags of .BTF.ext", obj, func(e *edited) { e.at(".BTF.ext", 0)[3] = 1 }, "bad.o: .BTF.ext: at 0x3: flags are 0x1, want 0"},
		{"header of .BTF.ext", obj, func(e *edited) { e.put32(e.at(".BTF.ext", 4), 8) }, "bad.o: .BTF.ext: at 0x4: the header says that it has 8 bytes, want 24 to 1716"},
		{"part beyond .BTF.ext", obj, func(e *edited) { e.put32(e.at(".BTF.ext", 20), 1<<31) }, "bad.o: .BTF.ext: at 0x10: line_info ends at byte 2147483916, the section at 1716"},
		{"part off the grid", obj, func(e *edited) { e.put32(e.at(".BTF.ext", 24), 2) }, "bad.o: .BTF.ext: at 0x18: core_relo starts at byte 34, want a multiple of 4"},
		{"part without records' size", obj, func(e *edited) { e.put32(e.at(".BTF.ext", 28), 2) }, "bad.o: .BTF.ext: at 0x5d0: core_relo needs 4 bytes for the size of records, have 2"},
		{"records' size", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(2)), 8) }, "bad.o: .BTF.ext: at 0x5d0: records of core_relo have 8 bytes, want a multiple of 4 from 16 to 1024"},
		{"cut section of records", obj, func(e *edited) { e.put32(e.at(".BTF.ext", 28), 8) }, "bad.o: .BTF.ext: at 0x5d4: a section of core_relo needs 8 bytes, have 4"},
		{"records for no section", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(2)+4), 1<<24) }, "bad.o: .BTF.ext: at 0x5d4: the name of a section of core_relo is at string offset 16777216, which holds none"},
		{"no records", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(2)+8), 0) }, "bad.o: .BTF.ext: at 0x5d8: 0 records of core_relo for section .text need 0 bytes, have 216"},
		{"number of records", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(1)+8), 1<<28) }, "bad.o: .BTF.ext: at 0x114: 268435456 records of line_info for section .text need 4294967296 bytes, have 1208"},
		{"line inside an instruction", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(1)+12), 4) }, "bad.o: .BTF.ext: at 0x118: a record is for byte 4 of section .text, want a multiple of 8"},
		{"line beyond the code", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(1)+12), 1<<20) }, "bad.o: .BTF.ext: at 0x118: a record is for byte 1048576 of section .text, which has 376"},
		{"line without file", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(1)+16), 1<<24) }, "bad.o: .BTF.ext: at 0x11c: a file name is at string offset 16777216, beyond the strings of .BTF"},
		{"line without text", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(1)+20), 1<<24) }, "bad.o: .BTF.ext: at 0x120: a source line is at string offset 16777216, beyond the strings of .BTF"},
		{"record inside an instruction", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(2)+12), 3) }, "bad.o: .BTF.ext: at 0x5dc: a record is for byte 3 of section .text, want a multiple of 8"},
		{"record of no type", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(2)+16), 1<<24) }, "bad.o: .BTF.ext: at 0x5e0: a CO-RE record has type id 16777216, there are 102"},
		{"record without path", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(2)+20), 1<<24) }, "bad.o: .BTF.ext: at 0x5e4: an access path is at string offset 16777216, beyond the strings of .BTF"},
		{"record of unknown kind", obj, func(e *edited) { e.put32(e.at(".BTF.ext", e.ext(2)+24), 13) }, "bad.o: .BTF.ext: at 0x5e8: a CO-RE record has kind 13, known are 0 to 12"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := edit(t, c.from)
			c.edit(e)
			objs, err := Read(bytes.NewReader(e.data), int64(len(e.data)), "bad.o")
			if err == nil {
				t.Fatalf("%d objects, want the error %q", len(objs), c.want)
			}
			if err.Error() != c.want {
				t.Errorf("\ngot  %s\nwant %s", err, c.want)
			}
			var be *btfinfo.Error
			if !errors.As(err, &be) {
				t.Errorf("the error is a %T, want a *btfinfo.Error", err)
			}
			if objs != nil {
				t.Errorf("%d objects beside the error", len(objs))
			}
		})
	}
}

// Files that are no objects at all.
func TestNoObjects(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	x86 := edit(t, "legacy.clang-14.el.o")
	x86.put16(x86.data[18:], 62)
	header := edit(t, "legacy.clang-14.el.o").data[:elfEhdrLen]
	const hint = "give an object of clang -target bpf, or a program that has one embedded; a compressed one must be unpacked first"
	for _, c := range []struct{ path, want, hint string }{
		{filepath.Join(dir, "missing"), "can't be opened: no such file or directory", "check the path"},
		{dir, "is a directory, want a BPF object or a file that has one embedded", "name a file in it"},
		{"/dev/null", "is no regular file, want a BPF object or a file that has one embedded", "copy it to a file first"},
		{write("empty", nil), "the file is empty", "compile the object again: a build that failed may leave an empty file"},
		{write("text", []byte("int main(void)\n")), "searched 15 bytes: no BPF object", hint},
		{write("x86", x86.data), "searched 1280 bytes: no BPF object", hint},
		{write("magic", []byte("\x7fELF")), "searched 4 bytes: no BPF object", hint},
		// A header inside a file is no object; programs that write objects have one.
		{write("header", append([]byte("12345678"), header...)), "searched 72 bytes: no BPF object", hint},
	} {
		objs, err := Open(c.path)
		if err == nil {
			t.Errorf("%s: %d objects, want an error", c.path, len(objs))
			continue
		}
		if want := c.path + ": " + c.want; err.Error() != want {
			t.Errorf("\ngot  %s\nwant %s", err, want)
		}
		var be *btfinfo.Error
		if !errors.As(err, &be) || be.Hint != c.hint {
			t.Errorf("%s: hint %q, want %q", c.path, be.Hint, c.hint)
		}
	}
}

// A file that is damaged in any one byte, or cut at any place, gives an object or an error, and takes no more memory than
// 64 MB beyond its size.
func TestDamagedObjects(t *testing.T) {
	for _, name := range []string{"programs.clang-14.el.o", "maps.clang-14.eb.o", "ops.clang-14.el.o", "legacy.clang-14.el.o"} {
		orig := edit(t, name).data
		try := func(data []byte) {
			objs, err := Read(bytes.NewReader(data), int64(len(data)), name)
			if (err == nil) == (objs == nil) {
				t.Fatalf("%s: %d objects and error %v", name, len(objs), err)
			}
			for _, o := range objs {
				o.Needs()
			}
		}
		for i := range orig {
			for _, v := range []byte{0, 0xff, orig[i] ^ 1} {
				data := bytes.Clone(orig)
				data[i] = v
				try(data)
			}
			if i%7 == 0 {
				try(orig[:i+1])
			}
		}
	}
}

// Bombs: little input that asks for much. None may take more than 64 MB.
func TestBombs(t *testing.T) {
	code := func(insn []byte, n int, e *edited) {
		// The code goes behind the file, and one function over all of it, twice.
		off := len(e.data)
		e.data = append(e.data, bytes.Repeat(insn, n)...)
		e.put64(e.header("xdp", shOffset), uint64(off))
		e.put64(e.header("xdp", shSize), uint64(8*n))
		for _, s := range []string{"drop", "helper"} {
			e.put64(e.symbol(s)[8:], 0)
			e.put64(e.symbol(s)[16:], uint64(8*n))
		}
	}
	const million = 1 << 20
	for _, c := range []struct {
		name string
		edit func(e *edited)
		want string // "" where the object is read
	}{
		{"helper calls", func(e *edited) { code([]byte{insnCall, 0, 0, 0, 1, 0, 0, 0}, million, e) }, ""},
		{"calls", func(e *edited) { code([]byte{insnCall, 0x10, 0, 0, 0xff, 0xff, 0xff, 0xff}, million, e) }, ""},
		{"too much code", func(e *edited) { code([]byte{insnCall, 0, 0, 0, 1, 0, 0, 0}, million+1, e) },
			"bomb.o: xdp: 8388616 bytes of instructions, the limit is 8388608"},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := edit(t, "legacy.clang-14.el.o")
			c.edit(e)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			objs, err := Read(bytes.NewReader(e.data), int64(len(e.data)), "bomb.o")
			for _, o := range objs {
				o.Needs()
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			got := ""
			if err != nil {
				got = err.Error()
			}
			if !strings.HasPrefix(got, c.want) || c.want == "" && got != "" {
				t.Errorf("got %q, want %q", got, c.want)
			}
			held := int64(after.HeapAlloc) - int64(before.HeapAlloc)
			t.Logf("%d bytes of input, %d held", len(e.data), held)
			if limit := int64(len(e.data)) + 64<<20; held > limit {
				t.Errorf("%d bytes of memory held for %d bytes of input, the limit is %d", held, len(e.data), limit)
			}
			runtime.KeepAlive(objs)
		})
	}
}

// An object of the other byte order is read by its header, whatever the machine.
func TestByteOrder(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]binary.ByteOrder{"maps.clang-14.el.o": binary.LittleEndian, "maps.clang-14.eb.o": binary.BigEndian} {
		if got := openOne(t, fixture(name)).ByteOrder; got != want {
			t.Errorf("%s: %v, want %v", name, got, want)
		}
	}
}
