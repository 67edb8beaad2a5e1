package btfinfo

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// everyKind builds one type of each kind, and one of each form that prints differently.
func everyKind(b *btfbuild.Builder) {
	k := b.Kernelish(8)
	i := k["int"]
	p := b.Ptr(i)
	b.Array(i, i, 3)
	s := b.Struct("request", 24, mem("flags", i, 0, 3), mem("", i, 3, 29), mem("next", p, 64, 0), mem("tail", i, 128, 0))
	b.Union("u", 8, mem("p", p, 0, 0), mem("n", i, 0, 0))
	b.Enum("neg", 4, val("NEG", -1), val("POS", 2))
	b.Enum("", 4, val("CONST", 1<<32-1))
	b.Fwd("f", false)
	b.Fwd("g", true)
	b.Typedef("t", i)
	b.Volatile(i)
	b.Const(i)
	b.Restrict(p)
	proto := b.FuncProto(i, par("x", p), par("", 0))
	fn := b.Func("fn", proto, btfbuild.Global)
	v := b.Var("v", s, btfbuild.Static)
	b.Datasec(".data..percpu", 24, btfbuild.Sec{Type: v, Size: 24})
	b.Float("double", 8)
	b.DeclTag("bpf_kfunc", fn, -1)
	b.DeclTag("member", s, 2)
	b.TypeTag("user", i)
	b.Enum64("e64", 8, true, val("LOW", -1<<40))
	b.Enum64("u64", 8, false, val("HIGH", -1))
	b.IntBits("old", 4, btfbuild.Signed, 2, 5)
	b.Struct("request", 4, mem("other", i, 0, 0))
}

func everyKindBTF(t testing.TB, order binary.ByteOrder) *BTF {
	t.Helper()
	b := btfbuild.New()
	everyKind(b)
	parsed, err := Parse(b.Bytes(order))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func rawText(t testing.TB, b *BTF, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := DumpRaw(&out, b, DumpOptions{Names: names}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestDumpRaw(t *testing.T) {
	t.Parallel()
	want := `[12] STRUCT 'request' size=24 vlen=4
	'flags' type_id=2 bits_offset=0 bitfield_size=3
	'(anon)' type_id=2 bits_offset=3 bitfield_size=29
	'next' type_id=10 bits_offset=64
	'tail' type_id=2 bits_offset=128
[33] STRUCT 'request' size=4 vlen=1
	'other' type_id=2 bits_offset=0
`
	for _, order := range btfbuild.Orders() {
		if got := rawText(t, everyKindBTF(t, order), "request"); got != want {
			t.Errorf("have\n%s\nwant\n%s", got, want)
		}
	}
	b := btfbuild.New()
	b.Struct("it's\x1b[31m", 0)
	parsed, err := Parse(b.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	if got := rawText(t, parsed); got != `[1] STRUCT 'it's\x1b[31m' size=0 vlen=0`+"\n" {
		t.Errorf("have %q", got)
	}
}

// The list is bpftool's, line by line.
func TestDumpRawBpftool(t *testing.T) {
	t.Parallel()
	needTool(t, "bpftool")
	all := map[string]*BTF{"every kind": everyKindBTF(t, binary.LittleEndian)}
	if !testing.Short() {
		for name, b := range wholeKernels(t) {
			all[name] = b
		}
	}
	for name, b := range all {
		path := filepath.Join(t.TempDir(), "x.btf")
		if err := os.WriteFile(path, rawOf(b), 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("bpftool", "btf", "dump", "file", path, "format", "raw").Output()
		if err != nil {
			t.Fatal(err)
		}
		want, got := strings.Split(string(out), "\n"), strings.Split(rawText(t, b), "\n")
		if len(want) != len(got) {
			t.Errorf("%s: %d lines, want %d", name, len(got), len(want))
		}
		bad := 0
		for i := range min(len(want), len(got)) {
			if want[i] != got[i] && bad < 5 {
				bad++
				t.Errorf("%s: line %d is %q, want %q", name, i+1, got[i], want[i])
			}
		}
	}
}

func TestDumpJSON(t *testing.T) {
	t.Parallel()
	for name, order := range btfbuild.Orders() {
		b := everyKindBTF(t, order)
		var out bytes.Buffer
		if err := DumpJSON(&out, b, DumpOptions{}); err != nil {
			t.Fatal(err)
		}
		var doc struct {
			JSONHeader
			Types []JSONType `json:"types"`
		}
		dec := json.NewDecoder(bytes.NewReader(out.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		if doc.Schema != "corecheck.btf/v1" || doc.ByteOrder != name || doc.PointerSize != 8 || doc.NumTypes != b.NumTypes() {
			t.Errorf("header %+v", doc.JSONHeader)
		}
		if len(doc.Types) != b.NumTypes()-1 {
			t.Fatalf("%d types, want %d", len(doc.Types), b.NumTypes()-1)
		}
		s := doc.Types[11]
		m := (*s.Members)[0]
		if s.ID != 12 || s.Kind != "STRUCT" || *s.Name != "request" || *s.Size != 24 || m != (JSONMember{"flags", 2, 0, 3}) {
			t.Errorf("struct %+v", s)
		}
	}
	// One type a line, fields in a fixed order: the lines are the documentation's examples.
	var out bytes.Buffer
	if err := DumpJSON(&out, everyKindBTF(t, binary.LittleEndian), DumpOptions{Names: []string{"neg", "u", "fn", "bpf_kfunc", "old", "e64"}}); err != nil {
		t.Fatal(err)
	}
	want := `{"schema":"corecheck.btf/v1","byte_order":"little","pointer_size":8,"first_id":1,"num_types":34,"split":false,"types":[
{"id":13,"kind":"UNION","name":"u","size":8,"members":[{"name":"p","type":10,"bits_offset":0},{"name":"n","type":2,"bits_offset":0}]}
,{"id":14,"kind":"ENUM","name":"neg","size":4,"encoding":"SIGNED","enumerators":[{"name":"NEG","value":"-1"},{"name":"POS","value":"2"}]}
,{"id":23,"kind":"FUNC","name":"fn","type":22,"linkage":"global"}
,{"id":27,"kind":"DECL_TAG","name":"bpf_kfunc","type":23,"component":-1,"attribute":false}
,{"id":30,"kind":"ENUM64","name":"e64","size":8,"encoding":"SIGNED","enumerators":[{"name":"LOW","value":"-1099511627776"}]}
,{"id":32,"kind":"INT","name":"old","size":4,"bits":5,"bits_offset":2,"encoding":"SIGNED"}
]}
`
	if got := out.String(); got != want {
		t.Errorf("have\n%s\nwant\n%s", got, want)
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	b := everyKindBTF(t, binary.LittleEndian)
	tests := []struct {
		names []string
		ids   []ID
		hint  string
	}{
		{names: []string{"request"}, ids: []ID{12, 33}},
		{names: []string{"struct request", "request"}, ids: []ID{12, 33}},
		{names: []string{"f"}, ids: []ID{16}},
		{names: []string{"union g"}, ids: []ID{17}},
		{names: []string{"fn", "u"}, ids: []ID{13, 23}},
		{names: []string{"unsigned int"}, ids: []ID{3}},
		{names: []string{"union request"}},
		{names: []string{"struct g"}},
		{names: []string{"reqest"}, hint: "did you mean request?"},
		{names: []string{"struct rqeuest"}, hint: "did you mean request?"},
		{names: []string{""}},
		{names: []string{"nothing like it"}},
	}
	for _, tt := range tests {
		ids, err := b.Select(tt.names)
		if tt.ids == nil {
			var e *Error
			if !errors.As(err, &e) || tt.hint != "" && e.Hint != tt.hint {
				t.Errorf("%q: ids %v, error %+v, want one with hint %q", tt.names, ids, err, tt.hint)
			}
			continue
		}
		if err != nil || !equalIDs(ids, tt.ids) {
			t.Errorf("%q: ids %v, error %v, want %v", tt.names, ids, err, tt.ids)
		}
	}
}

func equalIDs(a, b []ID) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

func TestEditDistance(t *testing.T) {
	t.Parallel()
	tests := []struct {
		a, b string
		want int
	}{{"", "", 0}, {"a", "", 1}, {"task", "task", 0}, {"tsak", "task", 1}, {"tak", "task", 1}, {"tusk", "task", 1}, {"ab", "cd", 2}}
	for _, tt := range tests {
		if d := editDistance(tt.a, tt.b, 3); d != tt.want {
			t.Errorf("%q, %q: %d, want %d", tt.a, tt.b, d, tt.want)
		}
		if d := editDistance(tt.b, tt.a, 3); d != tt.want {
			t.Errorf("%q, %q: %d, want %d", tt.b, tt.a, d, tt.want)
		}
	}
	if d := editDistance("abcdef", "uvwxyz", 2); d <= 2 {
		t.Errorf("far strings: %d", d)
	}
}

func TestStat(t *testing.T) {
	t.Parallel()
	s := NewStat(everyKindBTF(t, binary.BigEndian))
	if s.ByteOrder != "big" || s.Types != 33 || s.Functions != 1 || s.Kfuncs != 1 || s.PercpuVars != 1 || s.Duplicates != 1 ||
		len(s.TopDuplicates) != 1 || s.TopDuplicates[0] != (Duplicate{"struct request", 2}) || s.Split {
		t.Errorf("%+v", s)
	}
	count, bytesOf := 0, 0
	for _, k := range s.Kinds {
		count += k.Count
		bytesOf += k.Bytes
	}
	if count != s.Types || bytesOf != s.TypeBytes || len(s.Kinds) != 19 {
		t.Errorf("%d kinds sum up to %d types in %d bytes, want %d in %d", len(s.Kinds), count, bytesOf, s.Types, s.TypeBytes)
	}
	var out bytes.Buffer
	if err := s.Write(&out); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{"stands alone; big endian, 8-byte pointers", "STRUCT               2         84          0", "     2  struct request"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("lacks %q:\n%s", line, out.String())
		}
	}

	base := btfbuild.New()
	everyKind(base)
	mod := btfbuild.NewSplit(base)
	mod.Typedef("btf_trace_x", 2)
	split, err := ParseSplit(mod.Bytes(binary.BigEndian), everyKindBTF(t, binary.BigEndian))
	if err != nil {
		t.Fatal(err)
	}
	if s := NewStat(split); !s.Split || s.Types != 1 || s.BaseTypes != 33 || s.Tracepoints != 1 || s.FirstID != 34 {
		t.Errorf("split: %+v", s)
	}
}

func showText(t testing.TB, b *BTF, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := Show(&out, b, names); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestShow(t *testing.T) {
	t.Parallel()
	bld := btfbuild.New()
	everyKind(bld)
	i, p := uint32(2), uint32(10)
	in := bld.Struct("", 24, mem("lru", p, 0, 0), mem("idx", i, 64, 0), mem("tail", i, 128, 0))
	un := bld.Union("", 24, mem("", in, 0, 0), mem("raw", p, 0, 0))
	proto := bld.FuncProto(0, par("n", i))
	bld.Struct("page", 184, mem("flags", i, 0, 0), mem("", un, 64, 0), mem("free", bld.Ptr(proto), 256, 0), mem("pad", bld.Array(i, i, 9), 320, 0),
		mem("wide", un, 640, 0), mem("a", i, 832, 3), mem("b", i, 840, 0x10), mem("req", 12, 864, 0), mem("tags", p, 1088, 0))
	enum := bld.Enum("mode", 4, val("A", 1))
	bld.Typedef("mode_t", enum)
	bld.Typedef("anon_t", in)
	b, err := Parse(bld.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	got := showText(t, b, "page", "request", "u", "neg", "fn", "v", "mode_t", "anon_t", "f", "int", "double", ".data..percpu", "bpf_kfunc")
	golden := filepath.Join("testdata", "show.golden")
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("differs from %s (UPDATE_GOLDEN=1 rewrites it):\n%s", golden, got)
	}
}

// What parses is printed, or refused with an error, in time and without a panic.
func FuzzDump(f *testing.F) {
	for _, order := range btfbuild.Orders() {
		b := btfbuild.New()
		everyKind(b)
		f.Add(b.Bytes(order), []byte{})
		all := btfbuild.New()
		k := all.Kernelish(8)
		for _, trap := range cTraps {
			b := btfbuild.New()
			trap.build(b, b.Kernelish(8))
			f.Add(b.Bytes(order), []byte{0, 0, 0, 0})
			trap.build(all, k)
		}
		f.Add(all.Bytes(order), []byte{1, 0, 4, 1})
	}
	f.Fuzz(func(t *testing.T, data, edits []byte) {
		// An edit puts one byte into a word of the types: most other changes don't get past Parse. It is where (2 bytes),
		// which byte of the word, and the new value.
		if len(data) > btfHeaderLen && len(edits)%4 == 0 {
			data = bytes.Clone(data)
			words := data[btfHeaderLen : btfHeaderLen+(len(data)-btfHeaderLen)/4*4]
			for ; len(edits) > 0 && len(words) > 0; edits = edits[4:] {
				at := 4 * (int(binary.LittleEndian.Uint16(edits)) % (len(words) / 4))
				words[at+int(edits[2]%4)] = edits[3]
			}
		}
		b, err := Parse(data)
		if err != nil {
			return
		}
		dumpAll(t, b, len(data))
	})
}

// dumpAll prints b in all ways and holds time, errors and the form of the output against what is promised.
func dumpAll(t *testing.T, b *BTF, size int) {
	t.Helper()
	start := time.Now()
	refused := func(err error) {
		var e *Error
		if err != nil && (!errors.As(err, &e) || e.Msg == "") {
			t.Fatalf("an error of another kind: %v", err)
		}
	}
	var names []string
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		if name := b.Type(id).Name(); name != "" && !strings.Contains(name, " ") && len(names) < 100 {
			names = append(names, name)
		}
	}
	var out bytes.Buffer
	refused(DumpC(&out, b, DumpOptions{}))
	refused(DumpC(&out, b, DumpOptions{Names: names}))
	refused(DumpRaw(&out, b, DumpOptions{}))
	refused(Show(&out, b, names))
	refused(NewStat(b).Write(&out))
	out.Reset()
	err := DumpJSON(&out, b, DumpOptions{})
	refused(err)
	if err == nil && !json.Valid(out.Bytes()) {
		t.Fatal("no valid JSON")
	}
	_, err = b.Select([]string{"no such name"})
	refused(err)
	if d := time.Since(start); d > 10*time.Second {
		t.Fatalf("took %v for %d bytes", d, size)
	}
}

// Damage in one to six bytes of sound types, many times over.
func TestDumpDamaged(t *testing.T) {
	t.Parallel()
	bld := btfbuild.New()
	everyKind(bld)
	k := bld.Kernelish(8)
	for _, trap := range cTraps {
		trap.build(bld, k)
	}
	sound := bld.Bytes(binary.LittleEndian)
	words := int(binary.LittleEndian.Uint32(sound[12:])) / 4
	rnd := rand.New(rand.NewPCG(1, 2))
	parsed := 0
	for range 3000 {
		data := bytes.Clone(sound)
		for range 1 + rnd.IntN(6) {
			// The low bytes of ids and sizes are where damage stays valid most often.
			data[btfHeaderLen+4*rnd.IntN(words)+min(rnd.IntN(4), rnd.IntN(4))] = byte(rnd.Uint32())
		}
		if b, err := Parse(data); err == nil {
			parsed++
			dumpAll(t, b, len(data))
		}
	}
	if parsed < 100 {
		t.Errorf("%d of 3000 got past Parse: the test tests nothing", parsed)
	}
}

// One long name that many types share must not become a long text, nor much memory.
func TestDumpLimits(t *testing.T) {
	t.Parallel()
	bld := btfbuild.New()
	i := bld.Int("int", 4, btfbuild.Signed)
	long := strings.Repeat("x", maxName)
	var members []btfbuild.Member
	for range 60000 {
		members = append(members, mem(long, i, 0, 0))
	}
	bld.Union("u", 4, members...)
	b, err := Parse(bld.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	var e *Error
	for name, f := range map[string]func(io.Writer) error{
		"c":    func(w io.Writer) error { return DumpC(w, b, DumpOptions{}) },
		"raw":  func(w io.Writer) error { return DumpRaw(w, b, DumpOptions{}) },
		"json": func(w io.Writer) error { return DumpJSON(w, b, DumpOptions{}) },
		"show": func(w io.Writer) error { return Show(w, b, []string{"u"}) },
	} {
		if err := f(io.Discard); !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("%s: error %v, want one with a hint", name, err)
		}
	}
	bld.Str(long + "x")
	if _, err := Parse(bld.Bytes(binary.LittleEndian)); !errors.As(err, &e) || !strings.Contains(e.Msg, "a string of more than 4096 bytes") {
		t.Errorf("a longer string: %v", err)
	}
}

func BenchmarkDump(b *testing.B) {
	for name, btf := range wholeKernels(b) {
		for format, f := range map[string]func(io.Writer, *BTF, DumpOptions) error{"c": DumpC, "raw": DumpRaw, "json": DumpJSON} {
			b.Run(name+"/"+format, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f(io.Discard, btf, DumpOptions{}); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		if _, err := exec.LookPath("bpftool"); err == nil {
			path := filepath.Join(b.TempDir(), "x.btf")
			if err := os.WriteFile(path, rawOf(btf), 0o666); err != nil {
				b.Fatal(err)
			}
			for _, format := range []string{"c", "raw"} {
				b.Run(name+"/bpftool-"+format, func(b *testing.B) {
					for b.Loop() {
						if err := exec.Command("bpftool", "btf", "dump", "file", path, "format", format).Run(); err != nil {
							b.Fatal(err)
						}
					}
				})
			}
		}
	}
}

// pahole and Show agree on sizes, offsets and holes of real structs.
func TestShowPahole(t *testing.T) {
	t.Parallel()
	needTool(t, "pahole")
	for name, b := range wholeKernels(t) {
		path := filepath.Join(t.TempDir(), "x.btf")
		if err := os.WriteFile(path, rawOf(b), 0o666); err != nil {
			t.Fatal(err)
		}
		for _, typ := range []string{"inet_sock", "page", "request", "sk_buff", "task_struct", "file", "net_device", "bio"} {
			if ids := b.Named(typ, KindStruct); len(ids) != 1 {
				continue
			}
			cmd := exec.Command("pahole", "-C", typ, path)
			out, err := cmd.Output()
			if err != nil {
				t.Fatal(err)
			}
			want, got := paholeLines(string(out)), paholeLines(showText(t, b, "struct "+typ))
			if want != got {
				w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
				for i := 0; i < min(len(w), len(g)); i++ {
					if w[i] != g[i] {
						t.Errorf("%s: %s: line %d is %q, want %q", name, typ, i, g[i], w[i])
						break
					}
				}
			}
		}
	}
}

// paholeLines keeps of a struct what both say in the same words: members with their offsets, and the size.
func paholeLines(s string) string {
	var out strings.Builder
	for _, line := range strings.Split(s, "\n") {
		line = strings.Join(strings.Fields(line), " ")
		line = strings.NewReplacer("* *", "**", "[];", "[0];").Replace(line) // ways of writing the same
		switch {
		case strings.Contains(line, "; /* ") && !strings.HasPrefix(line, "/*"), strings.HasPrefix(line, "/* size: "):
			if at := strings.Index(line, " __attribute__("); at >= 0 {
				line = line[:at] + line[strings.LastIndex(line, ";"):]
			}
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}
