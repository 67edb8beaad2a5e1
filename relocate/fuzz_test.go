package relocate

import (
	"bytes"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// checkObject holds an object against what readers of it rely on.
func checkObject(t *testing.T, o *Object) {
	t.Helper()
	if len(dump(o)) == 0 {
		t.Error("nothing to print")
	}
	for i, f := range o.Funcs {
		if f.index != i || len(f.Insns) == 0 {
			t.Fatalf("function %d has index %d and %d instructions", i, f.index, len(f.Insns))
		}
		in := func(what string, insn int) {
			if insn < 0 || insn >= len(f.Insns) {
				t.Fatalf("function %s: %s at instruction %d, there are %d", f.Name, what, insn, len(f.Insns))
			}
		}
		for _, c := range f.Calls {
			in("call", c.Insn)
			if o.Funcs[c.To.index] != c.To {
				t.Fatalf("function %s calls %s, which is not of the object", f.Name, c.To.Name)
			}
		}
		for _, h := range f.Helpers {
			in("helper", h.Insn)
		}
		for _, r := range f.Kfuncs {
			in("extern", r.Insn)
		}
		for _, r := range f.MapRefs {
			in("map", r.Insn)
		}
		for _, l := range f.Lines {
			in("line", l.Insn)
		}
		for _, r := range f.Relos {
			in("record", r.Insn)
			if o.Relos[r.Index] != r || r.Func != f {
				t.Fatalf("function %s: record %d is not where it says", f.Name, r.Index)
			}
		}
	}
	for _, p := range o.Programs {
		if len(p.Funcs) == 0 || p.Funcs[0] != p.Entry {
			t.Fatalf("program %s does not begin with its entry", p.Name)
		}
		seen := map[*Func]bool{}
		for _, f := range p.Funcs {
			if seen[f] {
				t.Fatalf("program %s has function %s twice", p.Name, f.Name)
			}
			seen[f] = true
		}
	}
}

// checkError wants a *btfinfo.Error, which is one line.
func checkError(t *testing.T, err error) {
	t.Helper()
	var e *btfinfo.Error
	if !errors.As(err, &e) {
		t.Errorf("the error is a %T: %v", err, err)
	}
}

func seeds(f *testing.F, patterns ...string) (data [][]byte) {
	f.Helper()
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds %s: %v", p, err)
		}
		for _, path := range files {
			b, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			data = append(data, b)
		}
	}
	return data
}

// FuzzObject: whatever is in a file that starts as an object, there is an object or an error, and an object can be
// printed and asked for its needs.
func FuzzObject(f *testing.F) {
	for _, b := range seeds(f, "../testdata/objects/[lmop]*.o", "../testdata/demo/*.o") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := readObject(bytes.NewReader(data), 0, int64(len(data)), "fuzz.o")
		if (o == nil) == (err == nil) {
			t.Fatalf("object %v, error %v", o, err)
		}
		if err != nil {
			checkError(t, err)
			return
		}
		checkObject(t, o)
	})
}

// FuzzExt: .BTF.ext beside sound BTF is read or refused.
func FuzzExt(f *testing.F) {
	for _, name := range fixtures[:3] {
		for _, order := range []string{".el.o", ".eb.o"} {
			e := edit(f, name+order)
			s := e.f.secs[e.section(".BTF.ext")]
			f.Add(e.data[s.off:s.off+s.size], order == ".eb.o")
		}
	}
	load := func(order string) (*btfinfo.BTF, *edited) {
		e := edit(f, "programs.clang-14"+order)
		s := e.f.secs[e.section(".BTF")]
		b, err := btfinfo.Parse(e.data[s.off : s.off+s.size])
		if err != nil {
			f.Fatal(err)
		}
		return b, e
	}
	el, little := load(".el.o")
	eb, big := load(".eb.o")
	f.Fuzz(func(t *testing.T, data []byte, bigEndian bool) {
		btf, e, order := el, little, binary.ByteOrder(binary.LittleEndian)
		if bigEndian {
			btf, e, order = eb, big, binary.BigEndian
		}
		info, err := parseExt(data, order, btf)
		if (info == nil) == (err == nil) {
			t.Fatalf("info %v, error %v", info, err)
		}
		if err != nil {
			checkError(t, err)
			return
		}
		// The same bytes in the object.
		whole := append(bytes.Clone(e.data), data...)
		x := &edited{t, whole, e.f}
		x.put64(x.header(".BTF.ext", shOffset), uint64(len(e.data)))
		x.put64(x.header(".BTF.ext", shSize), uint64(len(data)))
		o, err := readObject(bytes.NewReader(whole), 0, int64(len(whole)), "fuzz.o")
		if (o == nil) == (err == nil) {
			t.Fatalf("object %v, error %v", o, err)
		}
		if err != nil {
			checkError(t, err)
			return
		}
		checkObject(t, o)
	})
}

// FuzzCarve: objects that are found in a file lie in it and don't overlap.
func FuzzCarve(f *testing.F) {
	small := seeds(f, "../testdata/objects/legacy*.o", "../testdata/objects/ops*.o")
	for _, b := range small {
		f.Add(append([]byte("in front "), b...))
		f.Add(container(b, map[string]uint64{"_binary_a_bpf_o_start": 0, "main._ABytes": 8}))
	}
	f.Add(append(bytes.Clone(small[0]), small[1]...))
	f.Fuzz(func(t *testing.T, data []byte) {
		objs, err := carve(bytes.NewReader(data), int64(len(data)), "fuzz")
		if (len(objs) == 0) == (err == nil) {
			t.Fatalf("%d objects, error %v", len(objs), err)
		}
		if err != nil {
			checkError(t, err)
			return
		}
		end := int64(0)
		for _, o := range objs {
			if o.Offset < end || o.Size <= 0 || o.Offset+o.Size > int64(len(data)) || o.Name == "" {
				t.Fatalf("object %q: %d bytes at %d, the one before ends at %d, the file at %d", o.Name, o.Size, o.Offset, end, len(data))
			}
			end = o.Offset + o.Size
			checkObject(t, o)
		}
	})
}
