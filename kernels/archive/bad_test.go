package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// loose is an archive taken apart, to be put together with something changed and all checksums right.
type loose struct {
	version, flags uint32
	sections       []looseSection
	// editDirectory, where set, changes the entries of the directory; editHeader the header before its checksum.
	editDirectory func([]section)
	editHeader    func([]byte)
}

type looseSection struct {
	tag   string
	flags uint64
	parts [][]byte
}

func takeApart(t testing.TB, data []byte) *loose {
	t.Helper()
	a, err := OpenBytes("whole", data)
	if err != nil {
		t.Fatal(err)
	}
	l := &loose{version: version}
	for _, s := range a.sections {
		x := looseSection{tag: s.tag, flags: s.flags}
		for _, p := range s.parts {
			b, err := a.read(p)
			if err != nil {
				t.Fatal(err)
			}
			x.parts = append(x.parts, b)
		}
		l.sections = append(l.sections, x)
	}
	return l
}

func (l *loose) find(tag string) *looseSection {
	for i := range l.sections {
		if l.sections[i].tag == tag {
			return &l.sections[i]
		}
	}
	return nil
}

// frame makes a zstd frame that stores its content as it is: RFC 8878, 3.1.1. What a test changes stands in the archive
// so, and a fuzzer sees through it.
func frame(b []byte) []byte {
	out := []byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0} // single segment, size in 4 bytes
	out = binary.LittleEndian.AppendUint32(out, uint32(len(b)))
	for first := true; first || len(b) > 0; first = false {
		n := min(len(b), 1<<17)
		head := uint32(n) << 3
		if n == len(b) {
			head |= 1 // the last block
		}
		out = append(out, byte(head), byte(head>>8), byte(head>>16))
		out = append(out, b[:n]...)
		b = b[n:]
	}
	return out
}

func (l *loose) bytes() []byte {
	var list []section
	var stored []byte
	for _, s := range l.sections {
		x := section{tag: s.tag, flags: s.flags}
		for _, p := range s.parts {
			f := frame(p)
			x.parts = append(x.parts, part{stored: len(f), raw: len(p), sum: checksum(f)})
			stored = append(stored, f...)
		}
		list = append(list, x)
	}
	if l.editDirectory != nil {
		l.editDirectory(list)
	}
	raw := appendDirectory(nil, list)
	dir := frame(raw)
	out := append([]byte(nil), magic...)
	le := binary.LittleEndian
	out = le.AppendUint32(out, l.version)
	out = le.AppendUint32(out, l.flags)
	out = le.AppendUint64(out, uint64(headerSize+len(dir)+len(stored)))
	out = le.AppendUint32(out, uint32(len(dir)))
	out = le.AppendUint32(out, uint32(len(raw)))
	out = le.AppendUint32(out, checksum(dir))
	out = le.AppendUint64(out, 0)
	if l.editHeader != nil {
		l.editHeader(out)
	}
	out = le.AppendUint32(out, checksum(out))
	out = append(out, dir...)
	return append(out, stored...)
}

// smallKernels are three kernels with a module, with something of everything that an archive holds.
func smallKernels(t testing.TB) []*Build {
	t.Helper()
	var out []*Build
	for i, uname := range []string{"5.10.0-1", "5.10.0-2", "6.1.0-1"} {
		base := btfbuild.New()
		k := base.Kernelish(8)
		list := base.NextID()
		base.Struct("list_head", 16, btfbuild.Member{Name: "next", Type: list + 1}, btfbuild.Member{Name: "prev", Type: list + 1, Off: 64})
		base.Ptr(list)
		base.Struct("task", uint32(16+8*i), btfbuild.Member{Name: "pid", Type: k["int"]}, btfbuild.Member{Name: "list", Type: list, Off: uint32(64 + 64*i)})
		base.Struct("task", 4, btfbuild.Member{Name: "other", Type: k["int"]})
		base.Typedef("task_t", base.NextID()-1)
		f := base.Func("do_it", base.FuncProto(k["int"], btfbuild.Param{Name: "l", Type: list + 1}), btfbuild.Static)
		base.DeclTag("bpf_kfunc", f, -1)
		base.Enum("", 4, btfbuild.Value{Name: "A", Value: int64(i)})
		v := base.Var("cpu", k["int"], btfbuild.Global)
		base.Datasec(".percpu", 4, btfbuild.Sec{Type: v, Size: 4})
		b, err := btfinfo.Parse(base.Bytes(binary.LittleEndian))
		if err != nil {
			t.Fatal(err)
		}
		mod := btfbuild.NewSplit(base)
		s := mod.Struct("task", 4, btfbuild.Member{Name: "mine", Type: k["int"]})
		mod.Typedef("mine_t", s)
		m, err := btfinfo.ParseSplit(mod.Bytes(binary.LittleEndian), b)
		if err != nil {
			t.Fatal(err)
		}
		d := Kernel{Distro: "debian", Release: "12", Arch: "x86_64", Uname: uname, Sources: []Source{{URI: "a.deb", Date: "2026-01-01"}},
			Missing: []Missing{{"config", "gone"}}}
		d.ID = strings.Join([]string{d.Distro, d.Release, d.Arch, d.Uname}, "/")
		out = append(out, &Build{Kernel: d, BTF: b, Modules: []Module{{"ext4", m}}, ModulesRead: true, AllModules: i == 1})
	}
	return out
}

// readAll reads everything that is in an archive, in every way, and returns the first error.
func readAll(a *Archive) error {
	var first error
	note := func(err error) {
		if first == nil {
			first = err
		}
	}
	note(a.Verify())
	for i := range a.Len() {
		if _, err := a.Build(i); err != nil {
			note(err)
		}
	}
	note(lensAll(a))
	w := NewWriter()
	err := w.Merge(a)
	note(err)
	if err == nil {
		data, err := w.Encode(a)
		note(err)
		if err == nil {
			_, err = OpenBytes("merged", data)
			note(err)
		}
	}
	return first
}

// lensAll asks a Lens of every kernel for every name that the archive has.
func lensAll(a *Archive) (err error) {
	type stop struct{ err error }
	defer func() {
		if p := recover(); p != nil {
			s, ok := p.(stop)
			if !ok {
				panic(p)
			}
			err = s.err
		}
	}()
	to := make([]int32, a.Len())
	for i := range to {
		to[i] = int32(i)
	}
	if a.Len() == 0 {
		return nil
	}
	names := make(map[string]bool)
	for i := range a.blocks {
		b, err := a.block(i)
		if err != nil {
			return err
		}
		for _, e := range b.entries {
			names[btfinfo.EssentialName(e.name)] = true
		}
	}
	l := a.Join(to, a.Len()).NewLens(func(Bitmap) {}, func(err error) { panic(stop{err}) })
	for k := range min(a.Len(), 4) {
		l.Enter(k)
		l.HasBTF()
		l.HasModule("ext4")
		for _, name := range slices.Sorted(maps.Keys(names)) {
			steps := 0
			walk := func(t btfinfo.Type) bool {
				look(l, t.ID(), &steps, 0)
				l.Tagged(t, "bpf_kfunc")
				return steps < 1000
			}
			l.BTF().OwnEssential(name, walk)
			l.ModuleTypes(name, func(_ string, t btfinfo.Type) bool { return walk(t) })
			l.HasLike(btfinfo.KindFunc, name+"*", name, true, func(string) bool { return false })
		}
		l.EnumsWith("", func(btfinfo.Type) {}) // all of them
	}
	return nil
}

// look follows a type as those who resolve do, for a number of steps.
func look(l *Lens, id btfinfo.ID, steps *int, depth int) {
	b := l.BTF()
	if *steps++; *steps > 1000 || depth > 20 {
		return
	}
	t := b.Skip(id)
	b.SkipModifiers(id)
	b.SizeOf(id)
	t.Name()
	for i := range min(t.Vlen(), 50) {
		switch t.Kind() {
		case btfinfo.KindStruct, btfinfo.KindUnion:
			m := t.Member(i)
			b.MemberBits(m)
			t.MemberIs(i, "x")
			look(l, m.Type, steps, depth+1)
		case btfinfo.KindFuncProto:
			look(l, t.Param(i).Type, steps, depth+1)
		case btfinfo.KindDatasec:
			look(l, t.Var(i).Type, steps, depth+1)
		case btfinfo.KindEnum, btfinfo.KindEnum64:
			t.Enumerator(i)
		}
	}
	if to := t.Ref(); to != 0 {
		look(l, to, steps, depth+1)
	}
}

// wantError holds that an error is one for users: of the type that has file, section, offset and hint.
func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	var e *btfinfo.Error
	switch {
	case err == nil:
		t.Errorf("%s: no error, want %q", what, text)
	case !errors.As(err, &e):
		t.Errorf("%s: %v is a %T, want a *btfinfo.Error", what, err, err)
	case !strings.Contains(err.Error(), text):
		t.Errorf("%s: %v, want %q", what, err, text)
	}
}

func TestTruncated(t *testing.T) {
	t.Parallel()
	data := encodeBytes(t, smallKernels(t)...)
	for n := range data {
		_, err := OpenBytes("cut", data[:n])
		wantError(t, fmt.Sprintf("%d bytes of %d", n, len(data)), err, "cut: ")
		if t.Failed() {
			return
		}
	}
	_, err := OpenBytes("more", append(slices.Clone(data), 0))
	wantError(t, "a byte more", err, fmt.Sprintf("the archive has %d bytes, the file %d: it is cut off or something was appended", len(data), len(data)+1))
}

// TestBitFlips: no bit of an archive can change without being found.
func TestBitFlips(t *testing.T) {
	t.Parallel()
	data := encodeBytes(t, smallKernels(t)...)
	for i := range 8 * len(data) {
		bad := slices.Clone(data)
		bad[i/8] ^= 1 << (i % 8)
		a, err := OpenBytes("flipped", bad)
		if err == nil {
			err = a.Verify()
		}
		wantError(t, fmt.Sprintf("bit %d of byte %#x", i%8, i/8), err, "flipped: ")
		if t.Failed() {
			return
		}
	}
}

// TestBadArchives asserts what is said of archives that are wrong behind right checksums.
func TestBadArchives(t *testing.T) {
	t.Parallel()
	data := encodeBytes(t, smallKernels(t)...)
	if err := func() error {
		a, err := OpenBytes("same", takeApart(t, data).bytes())
		if err == nil {
			err = readAll(a)
		}
		return err
	}(); err != nil {
		t.Fatalf("put together without a change: %v", err)
	}
	const kern, defs, pres = sectKernels, sectDefs, sectPresence
	edit := func(tag string, f func([]byte) []byte) func(*loose) {
		return func(l *loose) { p := l.find(tag).parts; p[0] = f(slices.Clone(p[0])) }
	}
	replace := func(tag, from, to string) func(*loose) {
		return edit(tag, func(b []byte) []byte {
			if !bytes.Contains(b, []byte(from)) {
				t.Fatalf("%s has no %q", tag, from)
			}
			return bytes.Replace(b, []byte(from), []byte(to), 1)
		})
	}
	huge := func(b []byte) []byte { // in place of the number that the part starts with
		_, n := binary.Uvarint(b)
		return append(binary.AppendUvarint(nil, 1<<40), b[n:]...)
	}
	for _, test := range []struct {
		name string
		edit func(*loose)
		want string
	}{
		{"version", func(l *loose) { l.version = 2 }, "header: at 0x8: the archive has format version 2, this corecheck knows 1"},
		{"flags", func(l *loose) { l.flags = 4 }, "header: at 0xc: flags are 0x4, this corecheck knows none"},
		{"header size of the directory", func(l *loose) { l.editHeader = func(b []byte) { b[27] = 0xff } }, "directory: at 0x30: "},
		{"header says a longer directory", func(l *loose) { l.editHeader = func(b []byte) { b[28]++ } }, "the directory says"},
		{"unknown required section", func(l *loose) {
			l.sections = append(l.sections, looseSection{"NEWS", sectRequired, [][]byte{{1}}})
		}, `directory: at 0x30: section "NEWS" has to be understood, and this corecheck does not know it`},
		{"missing section", func(l *loose) { l.sections = l.sections[:5] }, `there is no section "PRES"`},
		{"section twice", func(l *loose) { l.sections = append(l.sections, l.sections[0]) }, `section "KERN" stands there twice`},
		{"sections in another order", func(l *loose) { l.sections[0], l.sections[1] = l.sections[1], l.sections[0] }, `section "HOME" is the 1. one`},
		{"unknown section first", func(l *loose) {
			l.sections = slices.Insert(l.sections, 0, looseSection{"NEWS", 0, [][]byte{{1}}})
		}, `section "KERN" is the 2. one`},
		{"two parts of kernels", func(l *loose) { s := l.find(kern); s.parts = append(s.parts, s.parts[0]) }, "KERN: has 2 parts, want 1"},
		{"a part less of presence", func(l *loose) { s := l.find(pres); s.parts = s.parts[1:] }, "INDX: the index names 3 parts, there are 3 of definitions and 2 of where they are"},
		{"parts of definitions swapped", func(l *loose) { p := l.find(defs).parts; p[0], p[1] = p[1], p[0] }, "DEFS: "},
		{"parts of presence swapped", func(l *loose) { p := l.find(pres).parts; p[0], p[1] = p[1], p[0] }, "DEFS: "},
		{"a part longer than it says", func(l *loose) { l.editDirectory = func(s []section) { s[0].parts[0].raw-- } }, "when decompressed, the directory says"},
		{"a part shorter than it says", func(l *loose) { l.editDirectory = func(s []section) { s[4].parts[0].raw++ } }, "when decompressed, the directory says"},
		{"an empty part", func(l *loose) { l.editDirectory = func(s []section) { s[0].parts[0].stored = 0 } }, "want 1 to"},
		{"a part of gigabytes", func(l *loose) { l.editDirectory = func(s []section) { s[4].parts[0].raw = 1 << 30 } }, "1073741824 when decompressed; want 1 to 67108864"},
		{"parts of gigabytes together", func(l *loose) {
			l.editDirectory = func(s []section) {
				for i := range s {
					for j := range s[i].parts {
						s[i].parts[j].raw = maxPart
					}
				}
			}
		}, "bytes when decompressed, the limit for a file of"},
		{"parts behind the end", func(l *loose) { l.editDirectory = func(s []section) { s[5].parts[2].stored = 1 << 20 } }, "the file at"},
		{"checksum of a part", func(l *loose) { l.editDirectory = func(s []section) { s[0].parts[0].sum++ } }, "the checksum of the part is"},
		{"kernels out of order", func(l *loose) {
			p := l.find(kern).parts
			p[0] = bytes.Replace(bytes.Replace(bytes.Replace(p[0], []byte("5.10.0-1"), []byte("5.10.0-X"), 1), []byte("5.10.0-2"), []byte("5.10.0-1"), 1), []byte("5.10.0-X"), []byte("5.10.0-2"), 1)
		}, "KERN: kernel debian/12/x86_64/5.10.0-1 stands after debian/12/x86_64/5.10.0-2"},
		{"a kernel twice", replace(kern, "5.10.0-2", "5.10.0-1"), "stands after debian/12/x86_64/5.10.0-1"},
		{"an ID with three parts", replace(kern, "debian/12/x86_64/5.10.0-1", "debian/12/x86_64-5.10.0-1"), `kernel ID "debian/12/x86_64-5.10.0-1": want distro/release/arch/uname`},
		{"an ID with control characters", replace(kern, "debian", "deb\x1ban"), "has control characters"},
		{"number of kernels", edit(kern, huge), "KERN: 1099511627776 kernels in"},
		{"length of a record", edit(kern, func(b []byte) []byte { b[1]--; return b }), "KERN: "},
		{"records behind the last", edit(kern, func(b []byte) []byte { return append(b, 0) }), "1 bytes are left after 3 kernels"},
		{"number of modules", edit(sectHomes, huge), "HOME: at "},
		{"modules without a name", replace(sectHomes, "ext4", "\x00xt4"), "HOME: at "},
		{"index", edit(sectIndex, huge), "INDX: at "},
		{"names in the index", replace(sectIndex, "do_it", "do_xx"), `the first entry is "do_it", the index says "do_xx"`},
		{"sets of nothing", edit(sectSets, func(b []byte) []byte { return append([]byte{b[0] + 1}, append(b[1:], 0)...) }), "SETS: "},
		{"number of sets", edit(sectSets, huge), "SETS: at "},
		{"fewer sets than are used", edit(sectSets, func([]byte) []byte { return []byte{1, 1, 0, 2} }), "SETS: set "},
		{"a set of kernels that are not there", edit(sectSets, func(b []byte) []byte { b[3] = 3; return b }), "SETS: at "},
		{"number of entries", edit(defs, huge), "its head speaks of 1099511627776"},
		{"entries in too few bytes", edit(defs, func(b []byte) []byte { b[0] = 127; return b }), "127 entries and"},
		{"names of entries", replace(defs, "list_head\x00", "list_heap\x00"), "DEFS: "},
		{"entries out of order", replace(defs, "list_head\x00", "aist_head\x00"), "stands after"},
		{"number of definitions", edit(pres, func(b []byte) []byte { return b[:len(b)-1] }), "is found is damaged"},
		{"a set's number", edit(pres, func(b []byte) []byte { b[0] = 100; return b }), "SETS: set 50, the last part has"},
		{"presence of nothing", edit(pres, func(b []byte) []byte { b[0] = 1; return b }), "is found is damaged"},
		{"strings", edit(defs, func(b []byte) []byte { return bytes.Replace(b, []byte("next\x00"), []byte("nex\x00\x00"), 1) }), "DEFS: "},
		{"contents", edit(defs, func(b []byte) []byte { return b[:len(b)-1] }), "DEFS: "},
		{"contents left", edit(defs, func(b []byte) []byte { return append(b, 0) }), "1 bytes are left after the last definition"},
	} {
		l := takeApart(t, data)
		test.edit(l)
		a, err := OpenBytes("bad", l.bytes())
		if err == nil {
			err = readAll(a)
		}
		wantError(t, test.name, err, test.want)
	}
}

// TestNewer: what a later version adds is passed over, and not lost.
func TestNewer(t *testing.T) {
	t.Parallel()
	data := encodeBytes(t, smallKernels(t)...)
	for name, edit := range map[string]func(*loose){
		`section "NEWS"`: func(l *loose) {
			l.sections = append(l.sections, looseSection{"NEWS", 0, [][]byte{[]byte("later"), []byte("and more")}})
		},
		"facts of kernels": func(l *loose) {
			p := l.find(sectKernels).parts
			b := slices.Clone(p[0])
			b[1] += 4 // the first record's length
			p[0] = slices.Insert(b, 2+int(b[1])-4, 100, 2, 'h', 'i')
		},
	} {
		l := takeApart(t, data)
		edit(l)
		newer := l.bytes()
		path := filepath.Join(t.TempDir(), "a.ccar")
		if err := os.WriteFile(path, newer, 0o644); err != nil {
			t.Fatal(err)
		}
		a, err := Open(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		defer a.Close()
		if err := a.Verify(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := a.Build(1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want := "has " + name + " that this corecheck does not know and would lose"
		wantError(t, name, NewWriter().Merge(a), want)
		err = Update(path, UpdateOptions{}, func(w *Writer) error {
			w.Remove(a.Kernel(0).ID)
			return nil
		})
		wantError(t, name, err, want)
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, newer) {
			t.Errorf("%s: the file was changed (%v)", name, err)
		}
	}
}

// TestMemory: files of some kilobytes that speak of gigabytes don't take them.
func TestMemory(t *testing.T) {
	data := encodeBytes(t, smallKernels(t)...)
	bomb := make([]byte, 1<<20)
	for name, edit := range map[string]func(*loose){
		"directory": func(l *loose) {
			l.editDirectory = func(s []section) {
				for range 200000 {
					s[4].parts = append(s[4].parts, part{stored: 1, raw: 1})
				}
			}
		},
		"kernels": func(l *loose) { l.find(sectKernels).parts[0] = append(binary.AppendUvarint(nil, 1<<19), bomb[:100]...) },
		"entries": func(l *loose) {
			head := binary.AppendUvarint(nil, 1<<18) // entries in as many bytes of names as there are
			head = binary.AppendUvarint(head, 1<<20)
			l.find(sectDefs).parts[0] = append(append(head, 0, 0, 0), bomb...)
		},
		"presence": func(l *loose) {
			p := l.find(sectPresence).parts
			p[0] = append(binary.AppendUvarint(nil, 1<<40|1), bomb[:100]...)
		},
		"names": func(l *loose) {
			// Each name is the one before it and a letter more: 6 bytes an entry, and the square of that in memory.
			const n = 40000
			var names []byte
			for i := range n {
				names = append(binary.AppendUvarint(names, uint64(max(0, i-1))), "a"[:min(i, 1)]...)
				names = append(names, 0, byte(btfinfo.KindFwd), 1)
			}
			var head []byte
			for _, x := range []int{n, len(names), 0, 0, (n - 1) / step} {
				head = binary.AppendUvarint(head, uint64(x))
			}
			steps := bytes.Repeat([]byte{step}, (n-1)/step)
			l.find(sectDefs).parts[0] = slices.Concat(head, names, steps, bytes.Repeat([]byte{byte(btfinfo.KindFwd)}, n))
			l.find(sectPresence).parts[0] = make([]byte, n)
		},
	} {
		l := takeApart(t, data)
		edit(l)
		bad := l.bytes()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		a, err := OpenBytes("bad", bad)
		if err == nil {
			err = readAll(a)
		}
		runtime.ReadMemStats(&after)
		wantError(t, name, err, "bad: ")
		if n := after.TotalAlloc - before.TotalAlloc; n > 200<<20 {
			t.Errorf("%s: reading %d bytes took %d", name, len(bad), n)
		}
	}
}

// TestManyPlaces: a definition that stands in very many places is written once in an archive, and as often as it stands there when a
// kernel is put together.
func TestManyPlaces(t *testing.T) {
	t.Parallel()
	l := takeApart(t, encodeBytes(t, smallKernels(t)...))
	const places, values = 200_000, 100 // of 12 + 8 bytes a value each
	enum := byte(btfinfo.KindEnum)
	names := []byte{0, 0, enum, 1, 0, 'a', 0, enum, 1}
	content := append([]byte{enum, 4, 0, enum, 4, values}, make([]byte, 2*values)...)
	var head []byte
	for _, n := range []int{2, len(names), 0, 0, 0} {
		head = binary.AppendUvarint(head, uint64(n))
	}
	at := binary.AppendUvarint([]byte{0}, places<<1|1)
	for i := range places {
		at = append(at, 0, byte(min(i, 1)), 0)
	}
	l.find(sectDefs).parts[0] = slices.Concat(head, names, content)
	l.find(sectPresence).parts[0] = at
	a, err := OpenBytes("bad", l.bytes())
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.Vmlinux(0)
	wantError(t, "many places", err, "the types of the kernel and its modules take more than 134217728 bytes, the limit")
}

// TestHostile reads random archives in which bytes were changed behind the checksums: nothing panics, nothing goes on for
// ever, and what is wrong is said as an error that users can read.
func TestHostile(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	found := 0
	for c := range 1500 {
		rng := rand.New(rand.NewPCG(seed, uint64(c)))
		if testing.Short() && c > 200 {
			break
		}
		l := takeApart(t, encodeBytes(t, append(randomKernels(rng, 1+rng.IntN(3)), smallKernels(t)[0])...))
		for range 1 + rng.IntN(4) {
			s := &l.sections[rng.IntN(len(l.sections))]
			if rng.IntN(2) == 0 {
				s = l.find(sectDefs)
			}
			if len(s.parts) == 0 {
				continue
			}
			p := &s.parts[rng.IntN(len(s.parts))]
			at := rng.IntN(len(*p))
			switch rng.IntN(4) {
			case 0:
				(*p)[at] = byte(rng.Uint32())
			case 1:
				(*p)[at] ^= 1 << rng.IntN(8)
			case 2:
				*p = slices.Insert(*p, at, (*p)[rng.IntN(len(*p))])
			case 3:
				*p = slices.Insert(slices.Clone(*p), at, binary.AppendUvarint(nil, rng.Uint64()>>rng.IntN(64))...)
			}
		}
		a, err := OpenBytes("hostile", l.bytes())
		if err == nil {
			err = readAll(a)
		}
		if err == nil {
			continue
		}
		found++
		wantError(t, fmt.Sprintf("seed %d, case %d", seed, c), err, "")
	}
	if !testing.Short() && found < 1000 {
		t.Errorf("%d of 1500 were found, want more", found)
	}
}
