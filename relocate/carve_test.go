package relocate

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func readFixture(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(fixture(name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// container is a 64-bit ELF executable with data at offset 0x1000 and at address 0x401000, and symbols there.
func container(data []byte, symbols map[string]uint64) []byte {
	le := binary.LittleEndian
	const base, addr = 0x1000, 0x401000
	b := make([]byte, base, base+len(data)+4096)
	copy(b, elfMagic+"\x02\x01\x01")
	le.PutUint16(b[16:], 2)  // ET_EXEC
	le.PutUint16(b[18:], 62) // EM_X86_64
	le.PutUint64(b[32:], elfEhdrLen)
	le.PutUint16(b[54:], 56)
	le.PutUint16(b[56:], 1)
	ph := b[elfEhdrLen:]
	le.PutUint32(ph, 1) // PT_LOAD
	le.PutUint64(ph[8:], base)
	le.PutUint64(ph[16:], addr)
	le.PutUint64(ph[32:], uint64(len(data)))
	b = append(b, data...)
	strs := []byte("\x00.symtab\x00.strtab\x00")
	syms := make([]byte, elfSymLen)
	names := make([]string, 0, len(symbols))
	for n := range symbols {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		s := make([]byte, elfSymLen)
		le.PutUint32(s, uint32(len(strs)))
		s[4] = stbGlobal<<4 | sttObject
		le.PutUint16(s[6:], 1)
		le.PutUint64(s[8:], addr+symbols[n])
		syms = append(syms, s...)
		strs = append(strs, n...)
		strs = append(strs, 0)
	}
	section := func(name, typ uint32, off, size int, link uint32, entsize uint64) []byte {
		s := make([]byte, elfShdrLen)
		le.PutUint32(s, name)
		le.PutUint32(s[4:], typ)
		le.PutUint64(s[24:], uint64(off))
		le.PutUint64(s[32:], uint64(size))
		le.PutUint32(s[40:], link)
		le.PutUint64(s[56:], entsize)
		return s
	}
	symOff := len(b)
	b = append(b, syms...)
	strOff := len(b)
	b = append(b, strs...)
	le.PutUint64(b[40:], uint64(len(b)))
	le.PutUint16(b[58:], elfShdrLen)
	le.PutUint16(b[60:], 3)
	le.PutUint16(b[62:], 2)
	b = append(b, make([]byte, elfShdrLen)...)
	b = append(b, section(1, shtSymtab, symOff, len(syms), 2, elfSymLen)...)
	return append(b, section(9, shtStrtab, strOff, len(strs), 0, 0)...)
}

// Objects are found wherever they lie in a file, of either byte order, each once, and named by what names them.
func TestCarve(t *testing.T) {
	t.Parallel()
	el, eb := readFixture(t, "maps.clang-14.el.o"), readFixture(t, "maps.clang-14.eb.o")
	ops := readFixture(t, "ops.clang-14.el.o")
	fill := func(n int) []byte { return bytes.Repeat([]byte("\x7fEL"), n/3+1)[:n] }
	join := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	for _, c := range []struct {
		name string
		data []byte
		want []string // name@offset of each object
	}{
		{"one at an odd place", join(fill(77), el, fill(10)), []string{"file@0x4d"}},
		{"one at the end", join(fill(77), el), []string{"file@0x4d"}},
		{"two", join(fill(3), el, fill(9), ops), []string{"file@0x3@0x3", fmt.Sprintf("file@%#x@%#x", 12+len(el), 12+len(el))}},
		{"both byte orders, one behind the other", join([]byte("x"), el, eb), []string{"file@0x1@0x1", fmt.Sprintf("file@%#x@%#x", 1+len(el), 1+len(el))}},
		{"the same twice", join(fill(3), el, el), []string{"file@0x3"}},
		{"across the edge of a chunk", join(fill(carveChunk-5), el), []string{fmt.Sprintf("file@%#x", carveChunk-5)}},
		{"behind the first chunk", join(fill(carveChunk+elfEhdrLen), el), []string{fmt.Sprintf("file@%#x", carveChunk+elfEhdrLen)}},
		{"a header that leads nowhere", join([]byte("x"), el[:elfEhdrLen], el[:2000], el), []string{fmt.Sprintf("file@%#x", 2065)}},
		{"an executable without symbols", container(join(fill(8), el), nil), []string{"file@0x1008"}},
		{"ld -r -b binary", container(join(fill(8), el), map[string]uint64{"_binary_biosnoop_bpf_o_start": 8, "other": 9}), []string{"biosnoop@0x1008"}},
		{"a libbpf skeleton", container(join(fill(8), el), map[string]uint64{"data.0": 8}), []string{"file@0x1008"}},
		// A Go string header of bpf2go points to the object, which lies behind it.
		{"bpf2go", container(join([]byte{0x10, 0x10, 0x40, 0, 0, 0, 0, 0}, fill(8), el), map[string]uint64{"main._ProbeBytes": 0, "main..gobytes.1": 16}),
			[]string{"probe@0x1010"}},
		{"two named", container(join(el, ops), map[string]uint64{"first_bpf": 0, "second": uint64(len(el))}),
			[]string{"first@0x1000", fmt.Sprintf("second@%#x", 0x1000+len(el))}},
	} {
		objs, err := Read(bytes.NewReader(c.data), int64(len(c.data)), "dir/file.bin")
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		var got []string
		for _, o := range objs {
			got = append(got, fmt.Sprintf("%s@%#x", o.Name, o.Offset))
			if o.File != "dir/file.bin" || len(o.Programs) == 0 || int64(len(c.data)) < o.Offset+o.Size {
				t.Errorf("%s: object %s of %s: %d bytes at %d, %d programs", c.name, o.Name, o.File, o.Size, o.Offset, len(o.Programs))
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
	}
}

// An embedded object that is damaged is an error that tells where it lies, not silence.
func TestCarveDamaged(t *testing.T) {
	t.Parallel()
	e := edit(t, "maps.clang-14.el.o")
	e.put16(e.at(".BTF", 0), 0)
	data := append([]byte("1234"), e.data...)
	_, err := Read(bytes.NewReader(data), int64(len(data)), "tool")
	if want := "tool@0x4: .BTF: at 0x0: no BTF: magic is 0x0000, want 0xeb9f"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// A file of nothing but headers must not take time that grows with the square of its size.
func TestCarveBomb(t *testing.T) {
	t.Parallel()
	e := edit(t, "legacy.clang-14.el.o")
	head := bytes.Clone(e.data[:elfEhdrLen])
	e.put64(head[40:], elfEhdrLen)
	e.put16(head[60:], 0xfeff)
	data := append(append([]byte{0}, bytes.Repeat(head, 200_000)...), bytes.Repeat([]byte{0xff}, 5<<20)...)
	_, err := Read(bytes.NewReader(data), int64(len(data)), "bomb")
	if want := "bomb: at 0x501: too many headers of objects that are none: their section tables are more than 85151745 bytes"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// The object that is carved is the one that was put in: same bytes, same dump.
func TestCarveSame(t *testing.T) {
	t.Parallel()
	for _, name := range fixtures {
		name += ".eb.o"
		whole := openOne(t, fixture(name))
		data := append([]byte("#!/bin/false\n"), readFixture(t, name)...)
		objs, err := Read(bytes.NewReader(data), int64(len(data)), whole.File)
		if err != nil || len(objs) != 1 {
			t.Errorf("%s: %d objects, %v", name, len(objs), err)
			continue
		}
		if objs[0].SHA256 != whole.SHA256 || objs[0].Size != whole.Size {
			t.Errorf("%s: %d bytes %s, want %d bytes %s", name, objs[0].Size, objs[0].SHA256, whole.Size, whole.SHA256)
		}
		if a, b := dump(whole), dump(objs[0]); a != b {
			t.Errorf("%s:\n%s", name, diff(a, b))
		}
	}
}

// Debian's libbpf-tools: each has one object, and its programs are the functions that llvm-readelf sees outside .text.
func TestCarveTools(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("CORECHECK_TOOLS_DIR")
	if dir == "" {
		t.Skip("CORECHECK_TOOLS_DIR is not set: no libbpf-tools to read")
	}
	readelf := ""
	for _, name := range []string{"llvm-readelf-16", "llvm-readelf-14", "llvm-readelf"} {
		if path, err := exec.LookPath(name); err == nil {
			readelf = path
			break
		}
	}
	if readelf == "" {
		t.Skip("llvm-readelf is not installed")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tools in %s: %v", dir, err)
	}
	programs, relos, lines := 0, 0, 0
	for _, path := range files {
		o := openOne(t, path)
		if o.Name != filepath.Base(path) || o.License == "" || len(o.Refused) > 0 {
			t.Errorf("%s: name %q, license %q, refused %q", path, o.Name, o.License, o.Refused)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		carved := filepath.Join(t.TempDir(), "carved.o")
		if err := os.WriteFile(carved, data[o.Offset:o.Offset+o.Size], 0o644); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(readelf, "-sW", carved).Output()
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		var want, got []string
		for l := range strings.Lines(string(out)) {
			if f := strings.Fields(l); len(f) == 8 && f[3] == "FUNC" {
				want = append(want, f[7])
			}
		}
		for _, f := range o.Funcs {
			got = append(got, f.Name)
			lines += len(f.Lines)
		}
		slices.Sort(want)
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: functions %q, llvm-readelf has %q", path, got, want)
		}
		for _, r := range o.Relos {
			if r.Func == nil {
				t.Errorf("%s: record %d at %#x of %s is in no function", path, r.Index, r.Off, r.Section)
			} else if _, ok := r.Func.Source(r.Insn); !ok {
				t.Errorf("%s: record %d at %#x of %s has no source line", path, r.Index, r.Off, r.Section)
			}
		}
		programs += len(o.Programs)
		relos += len(o.Relos)
	}
	t.Logf("read %d tools: %d programs, %d CO-RE records, %d lines", len(files), programs, relos, lines)
}
