package compat

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/corecheck/corecheck/compat/internal/page"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// TableOptions say how people want to read a report.
type TableOptions struct {
	Color   bool // ANSI colours
	Verbose bool // every candidate with its rejection, every place
}

// maxPlaces is how many places of one finding are listed without Verbose.
const maxPlaces = 3

// maxPrograms is how many programs of one place are listed without Verbose.
const maxPrograms = 8

// WriteTable writes the report for people: per object a table of the needs that are not fine everywhere, a line for
// each program, what to do about each finding, and a summary.
func (r *Report) WriteTable(w io.Writer, opt TableOptions) error {
	p := &printer{Page: page.New(w, opt.Color), report: r, every: NewRanges(r.Kernels), opt: opt}
	for i := range r.Objects {
		p.object(i)
	}
	p.summary()
	return p.Flush()
}

type printer struct {
	*page.Page
	report *Report
	every  *Ranges // relative to all kernels
	ranges *Ranges // relative to those that the present object was asked on
	opt    TableOptions
	asked  []int // indexes in the report of the kernels that the present object was asked on
}

// set is the set of the kernels with these IDs, which may be at hand.
func (p *printer) set(ids []string, set kernels.Set) kernels.Set {
	if set == nil {
		set = p.every.set(ids)
	}
	return set
}

func (p *printer) status(s Status) string {
	switch s {
	case Break:
		return p.Style(page.Red, string(s))
	case Unknown, Warn:
		return p.Style(page.Yellow, string(s))
	}
	return p.Style(page.Green, string(s))
}

// notAsked stands in a table where a kernel has no BTF to be asked; CC011 says what follows from that.
const notAsked Status = "-"

// row is one need of one program that is not fine everywhere.
type row struct {
	program string // "" for the whole object
	source  *SourceRef
	need    NeedRef
	status  []Status // by kernel, in the order of the report: the worst of the findings on it
}

// object writes what was found in one object.
func (p *printer) object(index int) {
	o := &p.report.Objects[index]
	p.askOf(o)
	p.Title(fmt.Sprintf("%s: %s, %s", titleOf(o.Name, o.File), page.Count(len(o.Programs), "program"), p.kernelsText()))
	for _, l := range o.LeftOut {
		p.Para("left out: ", "          ", p.archsOf(l.Kernels)+": "+l.Reason)
	}
	p.Line("")
	if len(p.asked) == 0 {
		return
	}
	findings := p.findingsOf(o)
	if len(findings) > 0 {
		p.matrix(o, p.rowsOf(findings))
		p.Line("")
	}
	p.programs(o)
	p.Line("")
	if len(findings) > 0 {
		p.findings(findings)
	}
}

// titleOf names an object and the file it is from.
func titleOf(name, file string) string {
	if file == name {
		return name
	}
	return name + " (" + file + ")"
}

func (p *printer) kernelsText() string {
	ks, asked := p.report.Kernels, p.asked
	switch len(asked) {
	case 0:
		return "no kernel"
	case 1:
		return "kernel " + ks[asked[0]].Version + " (" + ks[asked[0]].ID + ")"
	}
	return fmt.Sprintf("%d kernels from %s to %s", len(asked), ks[asked[0]].Version, ks[asked[len(asked)-1]].Version)
}

// leftOut is the set of kernels that an object was not asked on.
func (p *printer) leftOut(o *ObjectReport) kernels.Set {
	out := kernels.NewSet(len(p.report.Kernels))
	for _, l := range o.LeftOut {
		out.Or(p.set(l.Kernels, l.set))
	}
	return out
}

// askOf finds the kernels that an object was asked on.
func (p *printer) askOf(o *ObjectReport) {
	out := p.leftOut(o)
	p.asked = p.asked[:0]
	for i := range p.report.Kernels {
		if !out.Has(i) {
			p.asked = append(p.asked, i)
		}
	}
	p.ranges = p.every.within(p.asked)
}

// archsOf counts kernels by architecture: "18 kernels of arm64, 8 kernels of s390x".
func (p *printer) archsOf(ids []string) string {
	n := make(map[string]int)
	for _, id := range ids {
		n[p.report.Kernels[p.every.index[id]].Arch]++
	}
	var out []string
	for _, arch := range slices.Sorted(maps.Keys(n)) {
		out = append(out, page.Count(n[arch], "kernel")+" of "+arch)
	}
	return strings.Join(out, ", ")
}

// findingsOf returns the findings that the object's programs have, in the order of the report.
func (p *printer) findingsOf(o *ObjectReport) []*Finding {
	seen := make(map[int]bool)
	for i := range o.Programs {
		for _, res := range o.Programs[i].Results {
			for _, f := range res.Findings {
				seen[f] = true
			}
		}
	}
	var out []*Finding
	for i := range p.report.Findings {
		if seen[i] {
			out = append(out, &p.report.Findings[i])
		}
	}
	return out
}

func (p *printer) rowsOf(findings []*Finding) []*row {
	type key struct {
		program string
		source  SourceRef
		need    NeedRef
	}
	byKey := make(map[key]*row)
	var rows []*row
	for _, f := range findings {
		k := key{program: f.Program, need: f.Need}
		if f.Source != nil {
			k.source = *f.Source
		}
		x := byKey[k]
		if x == nil {
			x = &row{program: f.Program, source: f.Source, need: f.Need, status: make([]Status, len(p.report.Kernels))}
			for i, kernel := range p.report.Kernels {
				x.status[i] = OK
				if f.Need.Kind != string(relocate.NeedBTF) && slices.Contains(kernel.Facts, "no_btf") {
					x.status[i] = notAsked
				}
			}
			byKey[k] = x
			rows = append(rows, x)
		}
		p.set(f.Kernels, f.set).Each(func(i int) { x.status[i] = worse(x.status[i], f.Verdict) })
	}
	return rows
}

// column is a group of kernels with equal answers in every row.
type column struct {
	ids    []string
	label  []string // nil where there are too many columns for a page
	status []Status
}

// groupKernels groups those kernels of ks that were asked by key, in the order of each group's first kernel.
func groupKernels[T any](ks []KernelInfo, asked []int, key func(k int) string, make func(ids []string, first int) T) []T {
	type group struct {
		first int
		ids   []string
	}
	var order []*group
	byKey := map[string]*group{}
	for _, i := range asked {
		x := key(i)
		g := byKey[x]
		if g == nil {
			g = &group{first: i}
			byKey[x] = g
			order = append(order, g)
		}
		g.ids = append(g.ids, ks[i].ID)
	}
	out := []T{}
	for _, g := range order {
		out = append(out, make(g.ids, g.first))
	}
	return out
}

// matrix writes the table: rows are needs, columns are groups of kernels.
func (p *printer) matrix(o *ObjectReport, rows []*row) {
	key := make([]byte, len(rows))
	cols := groupKernels(p.report.Kernels, p.asked, func(k int) string {
		for i, x := range rows {
			key[i] = x.status[k][0] // no two begin alike
		}
		return string(key)
	}, func(ids []string, first int) column {
		c := column{ids: ids}
		for _, x := range rows {
			c.status = append(c.status, x.status[first])
		}
		return c
	})
	if len(cols) <= page.Width/len("unknown  ") {
		for i := range cols {
			cols[i].label = page.Wrap(p.ranges.Of(cols[i].ids), 16)
		}
	}
	width := 0
	for _, c := range cols {
		n := len("unknown")
		for _, l := range c.label {
			n = max(n, twwidth.Width(l))
		}
		width += n + 2
	}
	left := page.Width - width
	wide := left >= 44
	if !wide {
		left = 60
	}
	sections := make(map[string]string)
	for _, pr := range o.Programs {
		sections[pr.Name] = pr.Section
	}
	var out [][]string
	last := "\x00"
	for i, x := range rows {
		if x.program != last {
			last = x.program
			name := "the object as a whole"
			if x.program != "" {
				name = x.program + "  " + sections[x.program]
			}
			out = append(out, []string{p.Style(page.Bold, page.Cut(name, left))})
		}
		cells := []string{p.needText(x, left)}
		if wide {
			for _, c := range cols {
				cells = append(cells, p.status(c.status[i]))
			}
		} else {
			cells = append(cells, strings.Join(page.Wrap(p.answersText(x), page.Width-left-2), "\n"))
		}
		out = append(out, cells)
	}
	header := []string{""}
	if wide {
		for _, c := range cols {
			header = append(header, strings.Join(c.label, "\n"))
		}
	} else {
		header = append(header, "not fine on")
	}
	p.Table(header, out)
}

// needText names a need behind its source line, on lines of at most width columns.
func (p *printer) needText(x *row, width int) string {
	at := ""
	if x.source != nil {
		at = page.Cut(fmt.Sprintf("%s:%d", baseName(x.source.File), x.source.Line), width/2) + "  "
	}
	lines := page.Wrap(page.Printable(needWord(x.need), false), width-4-twwidth.Width(at))
	for i := range lines {
		if i == 0 {
			lines[i] = "  " + p.Style(page.Dim, at) + lines[i]
		} else {
			lines[i] = strings.Repeat(" ", 4+twwidth.Width(at)) + lines[i]
		}
	}
	return strings.Join(lines, "\n")
}

// needWord names a need with what it is, unless its name says so.
func needWord(n NeedRef) string {
	switch n.Kind {
	case "field", "type", "enum_value":
		return n.Name
	}
	return strings.ReplaceAll(n.Kind, "_", " ") + " " + n.Name
}

// answersText is a row's answers in words: "break 6.1..7.2, unknown 5.10".
func (p *printer) answersText(x *row) string {
	var parts []string
	for _, s := range []Status{Break, Unknown, Warn} {
		in := kernels.NewSet(len(x.status))
		for i := range x.status {
			if x.status[i] == s {
				in.Add(i)
			}
		}
		if !in.Empty() {
			parts = append(parts, string(s)+" "+p.ranges.of(in))
		}
	}
	return strings.Join(parts, "; ")
}

// programs writes a line for each program and one for the object.
func (p *printer) programs(o *ObjectReport) {
	const whole = "as a whole"
	width := len(whole)
	for i := range o.Programs {
		width = max(width, twwidth.Width(o.Programs[i].Name))
	}
	width = min(width, 32)
	for i := range o.Programs {
		pr := &o.Programs[i]
		text := p.programText(pr)
		if !pr.Autoload {
			text += " (not loaded by default)"
		}
		indent := strings.Repeat(" ", width+2)
		name := page.Printable(pr.Name, false)
		if n := twwidth.Width(name); n <= width {
			p.Para(p.Style(page.Bold, name)+indent[n:], indent, text)
		} else { // a line of its own
			p.Line("%s", p.Style(page.Bold, page.Cut(name, page.Width)))
			p.Para(indent, indent, text)
		}
	}
	parts := newParts(p)
	for _, res := range o.Results {
		switch res.Load {
		case OK:
			parts.add("loads on", p.set(res.Kernels, res.set))
		case Break:
			parts.add("does not load on", p.set(res.Kernels, res.set))
		default:
			parts.add("unknown on", p.set(res.Kernels, res.set))
		}
	}
	lead := whole + strings.Repeat(" ", width-len(whole)) + "  "
	p.Para(lead, strings.Repeat(" ", twwidth.Width(lead)), parts.text())
}

// programText is one program's answers in words.
func (p *printer) programText(pr *ProgramReport) string {
	parts := newParts(p)
	for _, res := range pr.Results {
		switch {
		case res.Verdict == Break && res.Load == Break:
			parts.add("does not load on", p.set(res.Kernels, res.set))
		case res.Verdict == Break:
			parts.add("does not attach on", p.set(res.Kernels, res.set))
		case res.Verdict == Unknown:
			parts.add("unknown on", p.set(res.Kernels, res.set))
		case res.Verdict == Warn:
			parts.add("loads with a warning on", p.set(res.Kernels, res.set))
		default:
			parts.add("works on", p.set(res.Kernels, res.set))
		}
	}
	return parts.text()
}

// parts collects "works on …, breaks on …".
type parts struct {
	p    *printer
	word []string
	sets map[string]kernels.Set
}

func newParts(p *printer) *parts { return &parts{p: p, sets: make(map[string]kernels.Set)} }

func (x *parts) add(word string, set kernels.Set) {
	if x.sets[word] == nil {
		x.word = append(x.word, word)
		x.sets[word] = kernels.NewSet(len(x.p.report.Kernels))
	}
	x.sets[word].Or(set)
}

func (x *parts) text() string {
	if len(x.word) == 1 {
		if n := len(x.p.asked); n > 1 {
			if strings.HasPrefix(x.word[0], "does not") {
				return x.word[0] + fmt.Sprintf(" any of the %d kernels", n)
			}
			return x.word[0] + fmt.Sprintf(" all %d kernels", n)
		}
	}
	var out []string
	for _, w := range []string{"works on", "loads on", "loads with a warning on", "unknown on", "does not attach on", "does not load on"} {
		if set := x.sets[w]; set != nil {
			out = append(out, w+" "+x.p.ranges.of(set))
		}
	}
	return strings.Join(out, "; ")
}

// findings writes each finding with its places, the reason and the hint. Findings that differ in their place only are
// written once.
func (p *printer) findings(list []*Finding) {
	type key struct {
		code, stage, message, hint string
		verdict                    Status
		need                       NeedRef
	}
	groups := make(map[key][]*Finding)
	var order []key
	for _, f := range list {
		k := key{f.Code, f.Stage, f.Message, f.Hint, f.Verdict, f.Need}
		if groups[k] == nil {
			order = append(order, k)
		}
		groups[k] = append(groups[k], f)
	}
	// What breaks comes first; within it the order of the report.
	slices.SortStableFunc(order, func(a, b key) int { return b.verdict.rank() - a.verdict.rank() })
	for _, k := range order {
		fs := groups[k]
		p.Para(fmt.Sprintf("%s %s  ", p.status(k.verdict), k.code), "    ", needWord(k.need)+": "+fs[0].Title)
		in := kernels.NewSet(len(p.report.Kernels))
		for _, f := range fs {
			in.Or(p.set(f.Kernels, f.set))
		}
		p.places(fs)
		p.Para("    ", "    ", "on "+p.ranges.of(in)+": "+k.message)
		if k.hint != "" {
			p.Para("    hint: ", "          ", k.hint)
		}
		if p.opt.Verbose {
			for _, c := range fs[0].Candidates {
				p.Para("    candidate ", "              ", c)
			}
		}
		p.Line("")
	}
}

// places lists where findings are: each source line once, with the programs that it is in.
func (p *printer) places(fs []*Finding) {
	type place struct {
		source   SourceRef
		programs []string
	}
	var list []*place
	byLine := make(map[SourceRef]*place)
	for _, f := range fs {
		var at SourceRef // stays empty where there is no line info
		if f.Source != nil {
			at = *f.Source
		}
		x := byLine[at]
		if x == nil {
			x = &place{source: at}
			byLine[at] = x
			list = append(list, x)
		}
		if !slices.Contains(x.programs, f.Program) {
			x.programs = append(x.programs, f.Program)
		}
	}
	n := len(list)
	if !p.opt.Verbose && n > maxPlaces {
		n = maxPlaces
	}
	for i, x := range list[:n] {
		who := "in the object as a whole"
		if x.programs[0] != "" {
			names := x.programs
			if !p.opt.Verbose && len(names) > maxPrograms+1 {
				names = append(slices.Clone(names[:maxPrograms]), page.Count(len(names)-maxPrograms, "more program"))
			}
			who = "in " + page.Plural(len(x.programs), "program") + " " + strings.Join(names, ", ")
		}
		if x.source == (SourceRef{}) {
			p.Para("    ", "    ", who+" (no line info)")
			continue
		}
		p.Line("    %s", page.Cut(fmt.Sprintf("%s:%d  %s", baseName(x.source.File), x.source.Line, x.source.Text), page.Width-4))
		if i+1 == n || !slices.Equal(x.programs, list[i+1].programs) {
			for _, l := range page.Wrap(page.Printable(who, false), page.Width-4) {
				p.Line("    %s", p.Style(page.Dim, l))
			}
		}
	}
	if n < len(list) {
		p.Line("    and %s (--verbose lists them)", page.Count(len(list)-n, "more line"))
	}
}

// summary counts, and says what was not there and what was not checked.
func (p *printer) summary() {
	r := p.report
	n := make(map[Status]int)
	programs := 0
	asked := kernels.NewSet(len(r.Kernels)) // by some object
	for i := range r.Objects {
		out := p.leftOut(&r.Objects[i])
		for k := range r.Kernels {
			if !out.Has(k) {
				asked.Add(k)
			}
		}
		programs += len(r.Objects[i].Programs)
		for j := range r.Objects[i].Programs {
			for _, res := range r.Objects[i].Programs[j].Results {
				n[res.Verdict] += len(res.Kernels)
			}
		}
	}
	p.Para("", "", fmt.Sprintf("%s, %s, %s: %d ok, %d warn, %d break, %d unknown", page.Count(len(r.Objects), "object"),
		page.Count(programs, "program"), page.Count(asked.Len(), "kernel"), n[OK], n[Warn], n[Break], n[Unknown]))
	if len(r.Findings) > 0 {
		p.Para("", "", "what a code means: corecheck explain "+r.Findings[0].Code)
	}
	if asked.Empty() {
		p.Para("", "", "no kernel was asked: nothing is known")
	}
	if r.Coverage.Text != "" {
		p.Para("", "", r.Coverage.Text)
	}
	if n := len(r.Errors); n > 0 {
		p.Para("", "", fmt.Sprintf("%s could not be read (see the errors) and left no mark on these numbers", page.Count(n, "input")))
	}
	for i, s := range r.NotChecked {
		if i == 0 {
			p.Para("not checked: ", "             ", s)
		} else {
			p.Para("             ", "             ", s)
		}
	}
}

func baseName(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }
