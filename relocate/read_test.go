package relocate

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var updateGolden = flag.Bool("update", false, "rewrite golden files")

// fixtures are the objects of testdata/objects, without the byte order.
var fixtures = []string{"programs.clang-14", "maps.clang-14", "ops.clang-14", "legacy.clang-14"}

func fixture(name string) string { return filepath.Join("../testdata/objects", name) }

func openOne(t testing.TB, path string) *Object {
	t.Helper()
	objs, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(objs) != 1 {
		t.Fatalf("%s: %d objects, want 1", path, len(objs))
	}
	return objs[0]
}

// dump writes an object as text: all that is read of it, and its needs.
func dump(o *Object) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("object %s: license %q, version %#x, BTF %t", o.Name, o.License, o.Version, o.BTF != nil)
	for _, r := range o.Refused {
		line("refused: %s", r)
	}
	for _, p := range o.Programs {
		line("program %s, section %q", p.Name, p.Section)
		line("  %s", secString(p.Sec))
		names := make([]string, len(p.Funcs))
		for i, f := range p.Funcs {
			names[i] = f.Name
		}
		line("  functions: %s", strings.Join(names, " "))
	}
	for _, f := range o.Funcs {
		line("function %s at %s+%#x: %d instructions, %d lines", f.Name, f.Section, f.Off, len(f.Insns), len(f.Lines))
		for _, c := range f.Calls {
			what := "calls"
			if c.Ref {
				what = "takes the address of"
			}
			line("  %d %s %s", c.Insn, what, c.To.Name)
		}
		for _, h := range f.Helpers {
			line("  %d calls helper %s", h.Insn, HelperName(h.ID))
		}
		for _, r := range f.Kfuncs {
			line("  %d uses %s %s", r.Insn, r.Extern.Kind, r.Extern.Name)
		}
		for _, r := range f.MapRefs {
			if r.Value {
				line("  %d uses %s at %d", r.Insn, r.Map.Name, r.Off)
			} else {
				line("  %d uses map %s", r.Insn, r.Map.Name)
			}
		}
		for _, r := range f.Relos {
			line("  %d record %s %s of type [%d] %s", r.Insn, r.Kind, r.Access, r.Type, o.BTF.Type(r.Type).Name())
		}
	}
	for _, m := range o.Maps {
		line("%s", mapString(m))
	}
	for _, e := range o.Externs {
		line("extern %s %s weak=%t typed=%t", e.Kind, e.Name, e.Weak, e.Typed)
	}
	for _, n := range o.Needs() {
		names := make([]string, len(n.Programs))
		for i, p := range n.Programs {
			names[i] = p.Name
		}
		src := "no line"
		if l, ok := n.Source(); ok {
			src = fmt.Sprintf("%s:%d %s", filepath.Base(l.File), l.Line, l.Text)
		}
		line("need %s (%s) value=%d weak=%t by [%s] at %s", n, n.Detail, n.Value, n.Weak, strings.Join(names, " "), src)
	}
	return b.String()
}

func secString(d SecDef) string {
	var b strings.Builder
	fmt.Fprintf(&b, "name=%q type=%s", d.Name, d.ProgType)
	for _, f := range []struct{ name, value string }{
		{"attach", d.AttachType}, {"hook", string(d.Hook)}, {"target", d.Target}, {"func", d.Func}, {"module", d.Module},
		{"binary", d.Binary}, {"err", d.Err},
	} {
		if f.value != "" {
			fmt.Fprintf(&b, " %s=%q", f.name, f.value)
		}
	}
	if d.Offset != 0 {
		fmt.Fprintf(&b, " offset=%d", d.Offset)
	}
	for _, f := range []struct {
		name string
		set  bool
	}{
		{"return", d.Return}, {"sleepable", d.Sleepable}, {"frags", d.XDPFrags}, {"btf-id", d.NeedsBTFID},
		{"auto-attach", d.AutoAttach}, {"attach-opt", d.AttachTypeOpt}, {"off", !d.Autoload},
	} {
		if f.set {
			b.WriteString(" " + f.name)
		}
	}
	return b.String()
}

func mapString(m *Map) string {
	s := fmt.Sprintf("map %s in %s: %s key=%d value=%d entries=%d flags=%#x", m.Name, m.Section, MapTypeName(m.Type), m.KeySize, m.ValueSize, m.MaxEntries, m.Flags)
	if m.Extra != 0 || m.NumaNode != 0 {
		s += fmt.Sprintf(" extra=%d node=%d", m.Extra, m.NumaNode)
	}
	if m.Pinned {
		s += " pinned"
	}
	if m.Data {
		s += fmt.Sprintf(" data, %d bytes given", len(m.Content))
	}
	if m.Inner != nil {
		s += "\n  inner " + mapString(m.Inner)
	}
	if m.StructOps != "" {
		s += fmt.Sprintf(" struct %s autoload=%t programs=%v", m.StructOps, m.Autoload, m.Progs)
		for _, f := range m.Members {
			s += "\n  member " + f.Name
			switch {
			case f.Program != nil:
				s += ": " + f.Program.Name
			case f.Zero:
				s += ": zero"
			}
		}
	}
	return s
}

// Both byte orders of a fixture give the same object: the compiler's output differs in byte order alone. The dump of it
// is kept beside the source; -update rewrites it.
func TestObjects(t *testing.T) {
	t.Parallel()
	for _, name := range fixtures {
		t.Run(name, func(t *testing.T) {
			el := dump(openOne(t, fixture(name+".el.o")))
			eb := dump(openOne(t, fixture(name+".eb.o")))
			if el != eb {
				t.Errorf("little and big endian differ:\n%s", diff(el, eb))
			}
			golden := fixture(strings.TrimSuffix(name, ".clang-14") + ".golden")
			if *updateGolden {
				if err := os.WriteFile(golden, []byte(el), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, []byte(el)) {
				t.Errorf("%s has changed (-update rewrites it):\n%s", golden, diff(string(want), el))
			}
		})
	}
}

// A function whose symbol the linker dropped (a weak one that another file overrides) leaves its code, lines and records
// behind. Nothing of it counts: libbpf skips it (bpf_object__relocate_core of v1.7).
func TestDroppedFunction(t *testing.T) {
	t.Parallel()
	e := edit(t, "programs.clang-14.el.o")
	e.symbol("unused")[4] = stbWeak<<4 | sttNotype
	objs, err := Read(bytes.NewReader(e.data), int64(len(e.data)), "dropped.o")
	if err != nil {
		t.Fatal(err)
	}
	o, whole := objs[0], openOne(t, fixture("programs.clang-14.el.o"))
	if len(o.Funcs) != len(whole.Funcs)-1 || len(o.Relos) != len(whole.Relos) {
		t.Errorf("%d functions and %d records, want %d and %d", len(o.Funcs), len(o.Relos), len(whole.Funcs)-1, len(whole.Relos))
	}
	for i, r := range whole.Relos {
		if (r.Func.Name == "unused") != (o.Relos[i].Func == nil) {
			t.Errorf("record %d of %s: function %v", i, r.Func.Name, o.Relos[i].Func)
		}
	}
	for _, n := range o.Needs() {
		if n.Name == "struct request.tags[2]" {
			t.Errorf("need %s is of the dropped function", n)
		}
	}
}

// diff lists the lines that only one of two texts has.
func diff(a, b string) string {
	var out strings.Builder
	only := func(sign, a, b string) {
		has := map[string]int{}
		for l := range strings.Lines(b) {
			has[l]++
		}
		for l := range strings.Lines(a) {
			if has[l]--; has[l] < 0 {
				out.WriteString(sign + l)
			}
		}
	}
	only("-", a, b)
	only("+", b, a)
	return out.String()
}
