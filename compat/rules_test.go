package compat

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/kernelstest"
	"github.com/corecheck/corecheck/relocate"
)

var update = flag.Bool("update", false, "write the goldens of testdata/rules anew")

const fixtureDir = "../testdata/rules"

// embeddedKernels are ten of the kernels that come with corecheck.
func embeddedKernels(t testing.TB) []*kernels.Kernel { return kernelstest.Ten(t) }

// synthetic makes a kernel from BTF that fill builds on top of what every kernel here has: a module loader that knows
// BTF, so that what is missing may be in a module, and no modules.
func synthetic(t testing.TB, name, version string, fill func(b *btfbuild.Builder)) *kernels.Kernel {
	t.Helper()
	b := btfbuild.New()
	ptr := b.Ptr(0)
	b.Struct("module", 8, btfbuild.Member{Name: "btf_data", Type: ptr})
	if fill != nil {
		fill(b)
	}
	return kernels.New("corecheck/test/x86_64/"+name, parseVersion(t, version), parseBTF(t, b))
}

func parseBTF(t testing.TB, b *btfbuild.Builder) *btfinfo.BTF {
	t.Helper()
	parsed, err := btfinfo.Parse(b.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func parseVersion(t testing.TB, s string) kernels.Version {
	t.Helper()
	v, err := kernels.ParseVersion(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// enums adds the enums that kernels with BPF have, with what the fixtures of synthetic kernels use of them.
func enums(b *btfbuild.Builder) {
	b.Enum("bpf_func_id", 4, btfbuild.Value{Name: "BPF_FUNC_get_current_task", Value: 35},
		btfbuild.Value{Name: "BPF_FUNC_probe_read_kernel", Value: 113}, btfbuild.Value{Name: "__BPF_FUNC_MAX_ID", Value: 114})
	b.Enum("bpf_map_type", 4, btfbuild.Value{Name: "BPF_MAP_TYPE_HASH", Value: 1}, btfbuild.Value{Name: "__MAX_BPF_MAP_TYPE", Value: 2})
	b.Enum("bpf_prog_type", 4, btfbuild.Value{Name: "BPF_PROG_TYPE_RAW_TRACEPOINT", Value: 17})
	b.Enum("bpf_attach_type", 4, btfbuild.Value{Name: "BPF_CGROUP_INET_INGRESS", Value: 0})
}

// fixtureKernels are the kernels that a fixture names. None of them has typedefs of tracepoints.
func fixtureKernels(t *testing.T, name string) *kernels.Kernel {
	t.Helper()
	switch name {
	case "two-structs": // that disagree on a, agree on same; only one of them has only
		return synthetic(t, name, "4.1", func(b *btfbuild.Builder) {
			enums(b)
			i := b.Int("int", 4, btfbuild.Signed)
			b.Struct("pair", 8, btfbuild.Member{Name: "a", Type: i}, btfbuild.Member{Name: "same", Type: i, Off: 32})
			b.Struct("pair", 12, btfbuild.Member{Name: "only", Type: i}, btfbuild.Member{Name: "same", Type: i, Off: 32},
				btfbuild.Member{Name: "a", Type: i, Off: 64})
		})
	case "one-struct":
		return synthetic(t, name, "4.2", func(b *btfbuild.Builder) {
			enums(b)
			i := b.Int("int", 4, btfbuild.Signed)
			b.Struct("pair", 12, btfbuild.Member{Name: "only", Type: i}, btfbuild.Member{Name: "same", Type: i, Off: 32},
				btfbuild.Member{Name: "a", Type: i, Off: 64})
		})
	case "no-xdp-links": // before BPF_XDP came with them
		return synthetic(t, name, "5.8", func(b *btfbuild.Builder) {
			b.Enum("bpf_prog_type", 4, btfbuild.Value{Name: "BPF_PROG_TYPE_XDP", Value: 6})
			b.Enum("bpf_attach_type", 4, btfbuild.Value{Name: "BPF_CGROUP_INET_INGRESS", Value: 0})
		})
	case "no-btf":
		w := archive.NewWriter()
		_, err := w.Add(&archive.Build{Kernel: archive.Kernel{ID: "corecheck/test/x86_64/no-btf", Distro: "corecheck", Release: "test", Arch: "x86_64",
			Uname: "no-btf", Version: "4.0", VersionFrom: string(kernels.FromPackage), NoBTF: "CONFIG_DEBUG_INFO_BTF is not set"}})
		if err != nil {
			t.Fatal(err)
		}
		data, err := w.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := archive.OpenBytes("memory", data)
		if err != nil {
			t.Fatal(err)
		}
		return kernels.FromArchive(a, "memory")[0]
	case "big-endian":
		k := synthetic(t, name, "4.4", enums)
		k.Arch = "s390x"
		return k
	case "three-bytes":
		return synthetic(t, name, "4.3", func(b *btfbuild.Builder) {
			enums(b)
			three, two := b.Int("u24", 3, 0), b.Int("short unsigned int", 2, 0)
			b.Struct("odd", 8, btfbuild.Member{Name: "v", Type: three}, btfbuild.Member{Name: "w", Type: two, Off: 32})
		})
	}
	t.Fatalf("no test kernel is called %q", name)
	return nil
}

// fixture is one object of testdata/rules and what is to be found in it.
type fixture struct {
	name    string // "load_size.odd"
	rule    string // "load_size"
	obj     *relocate.Object
	kernels []*kernels.Kernel
	want    []string // "12: CC001 break 6.1..7.2"; line 0: a finding without a source line
	lines   []string // of the source
}

// want is a comment on what is to be found at its line.
var wantComment = regexp.MustCompile(`// want( object)?: (.+)$`)

func readFixtures(t *testing.T) []*fixture {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(fixtureDir, "*.bpf.c"))
	if err != nil || len(sources) == 0 {
		t.Fatalf("no fixtures in %s (%v)", fixtureDir, err)
	}
	var out []*fixture
	for _, source := range sources {
		f := &fixture{name: strings.TrimSuffix(filepath.Base(source), ".bpf.c")}
		f.rule, _, _ = strings.Cut(f.name, ".")
		text, err := os.ReadFile(source)
		if err != nil {
			t.Fatal(err)
		}
		f.lines = strings.Split(string(text), "\n")
		for i, l := range f.lines {
			if names, ok := strings.CutPrefix(l, "// kernels: "); ok {
				for _, n := range strings.Split(names, ", ") {
					f.kernels = append(f.kernels, fixtureKernels(t, n))
				}
			}
			m := wantComment.FindStringSubmatch(l)
			if m == nil {
				continue
			}
			line := i + 1
			if m[1] != "" {
				line = 0
			}
			for _, w := range strings.Split(m[2], "; ") {
				f.want = append(f.want, fmt.Sprintf("%d: %s", line, w))
			}
		}
		slices.Sort(f.want)
		if f.kernels == nil {
			f.kernels = embeddedKernels(t)
		}
		f.obj = openFixture(t, f.name)
		out = append(out, f)
	}
	return out
}

// openFixture reads the object of a fixture. Its file is named as from the root of the repository, for the goldens.
func openFixture(t testing.TB, name string) *relocate.Object {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(fixtureDir, name+".bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	objs, err := relocate.Read(bytes.NewReader(data), int64(len(data)), "testdata/rules/"+name+".bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	if len(objs) != 1 {
		t.Fatalf("%s: %d objects, want 1", name, len(objs))
	}
	return objs[0]
}

// check holds the fixture's object against its kernels.
func (f *fixture) check() *Report {
	return Check([]*relocate.Object{f.obj}, f.kernels, Options{Version: "test"})
}

// found lists findings in the form of fixture.want: by line, code and verdict, with the kernels of all of them.
func found(rep *Report) []string {
	type key struct {
		line    int
		need    string // of findings without a line
		code    string
		verdict Status
	}
	sets := make(map[key][]string)
	for _, f := range rep.Findings {
		k := key{code: f.Code, verdict: f.Verdict}
		if f.Source != nil {
			k.line = f.Source.Line
		} else {
			k.need = f.Need.Name
		}
		sets[k] = append(sets[k], f.Kernels...)
	}
	ranges := NewRanges(rep.Kernels)
	var out []string
	for k, ids := range sets {
		out = append(out, fmt.Sprintf("%d: %s %s %s", k.line, k.code, k.verdict, ranges.Of(ids)))
	}
	slices.Sort(out)
	return out
}

// Every rule runs on every fixture and finds what the fixture's comments say, no more and no less.
func TestRules(t *testing.T) {
	t.Parallel()
	fixtures := readFixtures(t)
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			rep := f.check()
			if got := found(rep); !slices.Equal(got, f.want) {
				for _, g := range got {
					if !slices.Contains(f.want, g) {
						t.Errorf("found, not wanted: %s", g)
					}
				}
				for _, w := range f.want {
					if !slices.Contains(got, w) {
						t.Errorf("wanted, not found: %s", w)
					}
				}
			}
			for _, x := range rep.Findings {
				if x.Source == nil {
					continue
				}
				if want := strings.TrimSpace(f.lines[x.Source.Line-1]); x.Source.Text != want {
					t.Errorf("line %d is %q in the report, and in the source %q", x.Source.Line, x.Source.Text, want)
				}
				if want := "testdata/rules/" + f.name + ".bpf.c"; !strings.HasSuffix(x.Source.File, want) {
					t.Errorf("the source is %q, want %q", x.Source.File, want)
				}
			}
			checkReport(t, rep)
			checkGolden(t, f.name, rep)
		})
	}
}

// checkGolden compares what people read of a report with the golden of that name.
func checkGolden(t *testing.T, name string, rep *Report) {
	t.Helper()
	var buf bytes.Buffer
	if err := rep.WriteTable(&buf, TableOptions{Verbose: true}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(fixtureDir, name+".golden")
	if *update {
		if err := os.WriteFile(file, buf.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buf.Bytes(), want) {
		t.Errorf("%s: run 'go test ./compat -update' and read the difference; now it is\n%s", file, &buf)
	}
}

// One rule, one file, one name everywhere, in the order of codes.
func TestRuleNames(t *testing.T) {
	t.Parallel()
	code := regexp.MustCompile(`^CC[0-9]{3}$`)
	name := regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
	seen := make(map[string]string)
	for i, r := range Rules() {
		if !code.MatchString(r.Code) {
			t.Errorf("%s: code %q is not CC and three digits", r.Name, r.Code)
		}
		if !name.MatchString(r.Name) {
			t.Errorf("%s: name %q is not words in lower case", r.Code, r.Name)
		}
		for _, k := range []string{r.Code, r.Name, r.Title} {
			if other, ok := seen[k]; ok {
				t.Errorf("%s: %q is also of %s", r.Code, k, other)
			}
			seen[k] = r.Code
		}
		if i > 0 && Rules()[i-1].Code >= r.Code {
			t.Errorf("%s stands behind %s", r.Code, Rules()[i-1].Code)
		}
		text, err := os.ReadFile(r.Name + ".go")
		if err != nil {
			t.Errorf("%s: %v", r.Code, err)
		} else if !bytes.Contains(text, []byte(`"`+r.Code+`"`)) {
			t.Errorf("%s.go does not have the rule of code %s", r.Name, r.Code)
		}
		for _, ext := range []string{".bpf.c", ".bpf.o", ".golden"} {
			if _, err := os.Stat(filepath.Join(fixtureDir, r.Name+ext)); err != nil {
				t.Errorf("%s: %v", r.Code, err)
			}
		}
	}
	// No fixture without a rule.
	files, err := filepath.Glob(filepath.Join(fixtureDir, "*.*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		base := filepath.Base(f)
		if base == "rules.h" || base == "README.md" {
			continue
		}
		rule, _, _ := strings.Cut(base, ".")
		if _, ok := seen[rule]; !ok {
			t.Errorf("%s: no rule has this name", f)
		}
	}
}

// A rule's text says what it means, what to do, and where that is known from.
func TestRuleDocs(t *testing.T) {
	t.Parallel()
	for _, r := range Rules() {
		if r.Title == "" || strings.HasSuffix(r.Title, ".") || len(r.Title) > 60 {
			t.Errorf("%s: title %q: want a few words without a period", r.Code, r.Title)
		}
		if len(r.needs) == 0 || r.check == nil {
			t.Errorf("%s looks at nothing", r.Code)
		}
		doc := strings.TrimSpace(r.Doc)
		if doc != r.Doc {
			t.Errorf("%s: text has space around it", r.Code)
		}
		paragraphs := strings.Split(doc, "\n\n")
		if len(paragraphs) < 2 {
			t.Errorf("%s: text has no paragraph on what to do", r.Code)
		}
		if !regexp.MustCompile(`(?m)^(Source|Measured)\b.*\.`).MatchString(paragraphs[len(paragraphs)-1]) {
			t.Errorf("%s: the last paragraph cites no source", r.Code)
		}
		for _, l := range strings.Split(doc, "\n") {
			if len(l) > 120 {
				t.Errorf("%s: line of %d columns", r.Code, len(l))
			}
		}
	}
}

// Every rule has a witness: a program of its fixture in which it finds something, and a twin in which no rule does.
func TestEveryRuleFires(t *testing.T) {
	t.Parallel()
	fired := make(map[string]bool)
	for _, f := range readFixtures(t) {
		rep := f.check()
		bad := make(map[string]bool)
		for _, x := range rep.Findings {
			bad[x.Program] = true
			if r := ruleByCode(x.Code); r != nil && r.Name == f.rule {
				fired[f.rule] = true
			}
		}
		// Where a rule fails the object as a whole, or another rule has to say something on the same field, there is no
		// program without a finding.
		twin := slices.Contains([]string{"struct_ops_missing", "relocation_ambiguous", "load_size", "kernel_btf_missing", "byte_order"}, f.rule)
		for _, p := range f.obj.Programs {
			if strings.HasPrefix(p.Name, "twin") && !bad[p.Name] {
				twin = true
			}
		}
		if !twin {
			t.Errorf("%s: no program twin without a finding of its own", f.name)
		}
	}
	for _, r := range Rules() {
		if !fired[r.Name] {
			t.Errorf("%s finds nothing in the fixture %s", r.Code, r.Name)
		}
	}
}

func ruleByCode(code string) *Rule {
	for _, r := range Rules() {
		if r.Code == code {
			return r
		}
	}
	return nil
}

// Nothing changed, nothing found: a kernel that has exactly the object's own types gives no finding on a relocation,
// except for those that fail on every kernel.
func TestNothingChanged(t *testing.T) {
	t.Parallel()
	needs := 0
	objs := 0
	for _, f := range readFixtures(t) {
		own := kernels.New("corecheck/test/x86_64/own", parseVersion(t, "4.9"), f.obj.BTF)
		rep := Check([]*relocate.Object{f.obj}, []*kernels.Kernel{own}, Options{Version: "test"})
		objs++
		for _, n := range f.obj.Needs() {
			if n.Relo != nil {
				needs++
			}
		}
		for _, x := range rep.Findings {
			if x.Code >= "CC010" {
				continue
			}
			if f.rule == "anonymous_root" && x.Code == "CC006" {
				continue
			}
			// Flavours are several kernel types of one name here: each lacks what the others have, or disagrees.
			if len(x.Candidates) > 1 {
				continue
			}
			t.Errorf("%s: %s %s: %s", f.name, x.Code, x.Need.Name, x.Message)
		}
	}
	if needs < objs {
		t.Errorf("%d relocations in %d objects: the fixtures don't test this", needs, objs)
	}
}
