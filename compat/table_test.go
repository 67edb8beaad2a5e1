package compat

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/corecheck/corecheck/compat/internal/page"
	"github.com/corecheck/corecheck/relocate"
)

// tableText is a report as people read it.
func tableText(t testing.TB, write func(w *bytes.Buffer) error) string {
	t.Helper()
	var buf bytes.Buffer
	if err := write(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

// checkText tests that a text keeps to the page, is plain, and ends no line with a space.
func checkText(t *testing.T, what, text string) {
	t.Helper()
	for i, l := range strings.Split(text, "\n") {
		if n := twwidth.Width(l); n > page.Width {
			t.Errorf("%s: line %d has %d columns, the limit is %d: %s", what, i+1, n, page.Width, l)
		}
		if strings.TrimRight(l, " \t\r") != l {
			t.Errorf("%s: line %d ends with space: %q", what, i+1, l)
		}
	}
	if strings.ContainsRune(text, '\x1b') {
		t.Errorf("%s: an escape sequence in plain text", what)
	}
	if !strings.HasSuffix(text, "\n") {
		t.Errorf("%s: no line end at the end", what)
	}
}

// strip takes the ANSI styles out.
func strip(s string) string {
	for {
		i := strings.Index(s, "\x1b[")
		if i < 0 {
			return s
		}
		j := strings.IndexByte(s[i:], 'm')
		s = s[:i] + s[i+j+1:]
	}
}

// checkTables writes a report and its objects' needs in every way and tests the pages.
func checkTables(t *testing.T, what string, objs []*relocate.Object, rep *Report) {
	t.Helper()
	for _, verbose := range []bool{false, true} {
		plain := tableText(t, func(w *bytes.Buffer) error { return rep.WriteTable(w, TableOptions{Verbose: verbose}) })
		checkText(t, what, plain)
		// Colours change nothing but colours.
		colored := tableText(t, func(w *bytes.Buffer) error { return rep.WriteTable(w, TableOptions{Verbose: verbose, Color: true}) })
		if len(rep.Objects) > 0 && colored == plain {
			t.Errorf("%s: no colours", what)
		}
		if strip(colored) != plain {
			t.Errorf("%s: without its colours the text is\n%s\nand the plain one\n%s", what, strip(colored), plain)
		}
	}
	needs := ListNeeds(objs)
	plain := tableText(t, func(w *bytes.Buffer) error { return needs.WriteTable(w, TableOptions{}) })
	if len(objs) > 0 {
		checkText(t, what+": needs", plain)
	}
	if len(objs) == 0 {
		return
	}
	if colored := tableText(t, func(w *bytes.Buffer) error { return needs.WriteTable(w, TableOptions{Color: true}) }); strip(colored) != plain {
		t.Errorf("%s: needs differ beyond colours", what)
	}
}

func TestTablesOfFixtures(t *testing.T) {
	t.Parallel()
	for _, f := range readFixtures(t) {
		checkTables(t, f.name, []*relocate.Object{f.obj}, f.check())
	}
}

// Every program, finding code and kernel range of a report is in its text, for each of several objects.
func TestTableSaysAll(t *testing.T) {
	t.Parallel()
	objs := allFixtures(t)
	rep := Check(objs, embeddedKernels(t), Options{})
	text := tableText(t, func(w *bytes.Buffer) error { return rep.WriteTable(w, TableOptions{Verbose: true}) })
	checkText(t, "all fixtures", text)
	for _, o := range rep.Objects {
		if !strings.Contains(text, o.Name+" ("+o.File+"): ") {
			t.Errorf("%s is not named", o.Name)
		}
		for _, p := range o.Programs {
			if !strings.Contains(text, "\n"+p.Name+" ") {
				t.Errorf("%s: program %s has no line", o.Name, p.Name)
			}
		}
	}
	flat := strings.Join(strings.Fields(text), " ")
	for _, f := range rep.Findings {
		for _, part := range []string{string(f.Verdict) + " " + f.Code + " ", f.Title, f.Message, f.Hint} {
			if !strings.Contains(flat, strings.Join(strings.Fields(part), " ")) {
				t.Errorf("%s of %s: %q is not in the text", f.Code, f.Object, part)
			}
		}
	}
	want := fmt.Sprintf("%d objects, ", len(rep.Objects))
	if !strings.Contains(text, want) {
		t.Errorf("the summary does not say %q", want)
	}
}

// many is a report on n kernels that all answer differently: kernel i lacks what program i needs.
func many(n int) *Report {
	rep := &Report{Objects: []ObjectReport{{File: "tool.o", Name: "tool"}}}
	o := &rep.Objects[0]
	for i := range n {
		rep.Kernels = append(rep.Kernels, infos(fmt.Sprintf("debian/13/x86_64/%d=%d.%d.1", i, 4+i/20, i%20))...)
	}
	for i := range n {
		bad, good := []string{rep.Kernels[i].ID}, []string{}
		for j := range n {
			if j != i {
				good = append(good, rep.Kernels[j].ID)
			}
		}
		name := fmt.Sprintf("program_%d", i)
		rep.Findings = append(rep.Findings, Finding{Code: "CC020", Title: functionMissing.Title, Verdict: Break, Stage: "load", Object: "tool",
			Program: name, Need: NeedRef{"attach_target", fmt.Sprintf("function_%d", i)}, Kernels: bad, Message: "it is not there", Hint: "do without"})
		p := ProgramReport{Name: name, Section: "fentry/" + name, Autoload: true}
		first := ProgramResult{Kernels: good, Load: OK, Attach: OK, Verdict: OK, Findings: []int{}}
		second := ProgramResult{Kernels: bad, Load: Break, Attach: OK, Verdict: Break, Findings: []int{i}}
		if i == 0 {
			first, second = second, first
		}
		p.Results = append(p.Results, first)
		if len(second.Kernels) > 0 {
			p.Results = append(p.Results, second)
		}
		o.Programs = append(o.Programs, p)
	}
	var all []string
	for _, k := range rep.Kernels {
		all = append(all, k.ID)
	}
	o.Results = []ObjectResult{{Kernels: all, Load: Break, Verdict: Break}}
	return rep
}

// Where kernels answer in too many ways for columns, the answers are words beside the needs, and still fit the page.
func TestTableManyColumns(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 5, 20, 100} {
		rep := many(n)
		checkReport(t, rep)
		checkTables(t, fmt.Sprint(n, " kernels"), nil, rep)
		text := tableText(t, func(w *bytes.Buffer) error { return rep.WriteTable(w, TableOptions{}) })
		if list := strings.Contains(text, "not fine on"); list != (n >= 20) {
			t.Errorf("%d kernels that differ: answers in words: %v\n%s", n, list, text)
		}
		for i, k := range rep.Kernels {
			row := fmt.Sprintf("  attach target function_%d ", i)
			line := ""
			for l := range strings.Lines(text) {
				if strings.HasPrefix(l, row) {
					line = l
				}
			}
			if minor := minorOf(k.Version); n >= 20 && !strings.Contains(line, "break "+minor) {
				t.Errorf("%d kernels: %q does not say that it breaks on %s", n, line, minor)
			}
		}
	}
}

// A stranger's object may name things with escape sequences and very long words; the page holds.
func TestTableHostileNames(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 300)
	rep := &Report{
		Kernels: infos("debian/11/x86_64/a=5.10.1", "debian/12/x86_64/b=6.1.1"),
		Objects: []ObjectReport{{File: "dir/" + long, Name: "n\x1b[31m", Programs: []ProgramReport{{Name: long, Section: "kprobe/" + long,
			Results: []ProgramResult{
				{Kernels: []string{"debian/11/x86_64/a"}, Load: Break, Attach: OK, Verdict: Break, Findings: []int{0}},
				{Kernels: []string{"debian/12/x86_64/b"}, Load: OK, Attach: OK, Verdict: OK, Findings: []int{}}}}},
			Results: []ObjectResult{{Kernels: []string{"debian/11/x86_64/a"}, Load: Break, Verdict: Break}, {Kernels: []string{"debian/12/x86_64/b"}, Load: OK, Verdict: OK}}}},
		Findings: []Finding{{Code: "CC001", Title: "title", Verdict: Break, Stage: "load", Object: "n", Program: long, Need: NeedRef{"field", "\x1b[1m" + long},
			Source: &SourceRef{File: "/a/" + long, Line: 12, Text: "\x1b]0;title\x07" + long}, Kernels: []string{"debian/11/x86_64/a"},
			Message: long + " and " + long, Hint: long, Candidates: []string{long}}},
	}
	for _, verbose := range []bool{false, true} {
		text := tableText(t, func(w *bytes.Buffer) error { return rep.WriteTable(w, TableOptions{Verbose: verbose}) })
		checkText(t, "hostile names", text)
		if strings.ContainsAny(text, "\a\x1b") {
			t.Error("control characters are in the text")
		}
		if strings.Contains(text, `\x1b[0m`) {
			t.Error("the table took a name's escape sequence for a style")
		}
	}
}

// Needs are listed by program, its own first and those of its subprograms behind; what one line needs twice is one row.
func TestNeedsTable(t *testing.T) {
	t.Parallel()
	src := func(line int) *SourceRef { return &SourceRef{File: "src/a.bpf.c", Line: line} }
	r := &NeedsReport{Objects: []ObjectNeeds{{File: "a.o", Name: "a", Programs: []ProgramInfo{{Name: "one", Section: "kprobe/x"}, {Name: "two", Section: "tc"}},
		Maps: []MapInfo{{Name: "m"}},
		Needs: []NeedInfo{
			{Kind: "field", Name: "struct s.in_sub", Detail: "byte_off", Programs: []string{"one", "two"}, Function: "sub", Source: src(3)},
			{Kind: "prog_type", Name: "BPF_PROG_TYPE_KPROBE", Programs: []string{"one"}, Function: "one", Source: src(7)},
			{Kind: "field", Name: "struct s.f", Detail: "field_exists", Weak: true, Programs: []string{"one"}, Function: "one", Source: src(8)},
			{Kind: "field", Name: "struct s.f", Detail: "field_exists", Weak: true, Programs: []string{"one"}, Function: "one", Source: src(8)},
			{Kind: "kfunc", Name: "bpf_k", Weak: true, Programs: []string{"two"}, Function: "two"},
			{Kind: "map_type", Name: "BPF_MAP_TYPE_HASH", Detail: "map m", Programs: []string{"one"}},
		}}}}
	want := `a (a.o): 2 programs, 1 map, 6 needs

the object as a whole
  map type   BPF_MAP_TYPE_HASH     map m
one  kprobe/x
  prog type  BPF_PROG_TYPE_KPROBE                          a.bpf.c:7
  field      struct s.f            field_exists, optional  a.bpf.c:8
  field      struct s.in_sub       byte_off                a.bpf.c:3
two  tc
  kfunc      bpf_k                 optional
  field      struct s.in_sub       byte_off                a.bpf.c:3

`
	if got := tableText(t, func(w *bytes.Buffer) error { return r.WriteTable(w, TableOptions{}) }); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A line that very many programs share is not buried below their names.
func TestTableManyPrograms(t *testing.T) {
	t.Parallel()
	rep := &Report{Kernels: infos("debian/11/x86_64/a=5.10.1")}
	o := ObjectReport{File: "o", Name: "o"}
	for i := range 600 {
		name := fmt.Sprintf("p%d", i)
		rep.Findings = append(rep.Findings, Finding{Code: "CC001", Verdict: Break, Object: "o", Program: name, Need: NeedRef{"field", "f"},
			Source: &SourceRef{File: "f.c", Line: 1, Text: "line"}, Kernels: []string{"debian/11/x86_64/a"}})
		o.Programs = append(o.Programs, ProgramReport{Name: name, Results: []ProgramResult{
			{Kernels: []string{"debian/11/x86_64/a"}, Load: Break, Attach: None, Verdict: Break, Findings: []int{i}}}})
	}
	rep.Objects = []ObjectReport{o}
	for _, tt := range []struct {
		verbose bool
		want    string
	}{{false, "p7, 592 more programs\n"}, {true, "p8, p9"}} {
		text := tableText(t, func(w *bytes.Buffer) error { return rep.WriteTable(w, TableOptions{Verbose: tt.verbose}) })
		if !strings.Contains(text, tt.want) {
			t.Errorf("verbose %v: no %q in the text", tt.verbose, tt.want)
		}
	}
}
