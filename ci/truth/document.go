package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot"
)

// maxReason is how much of a reason the document shows, in characters.
const maxReason = 160

// write writes docs/truth.md. But for the date and the times it is the same for the same observations.
func (t *table) write(w io.Writer) {
	p := func(format string, args ...any) { fmt.Fprintf(w, format, args...) }
	p(`# The truth test

<!-- Written by make truth. -->

What corecheck predicts of programs, held against what kernels do. Each kernel was booted in QEMU by ` + "`corecheck boot`" + `;
each object was loaded whole and each of its programs alone, and attached. Where prediction and kernel disagree, that is a
defect of corecheck, and it is listed here. [ci/truth/known.json](../ci/truth/known.json) holds the same for CI, which boots
some of these kernels at each change and fails where anything is new, or gone.

`)
	t.head(p)
	t.kernels(p)
	t.disagreements(p)
	t.classTables(p)
	t.ruleTable(p)
	t.leftOut(p)
}

type printf func(format string, args ...any)

// rows writes a table; columns that begin with "#" are right-aligned.
func (p printf) rows(columns []string, rows [][]string) {
	var head, line []string
	for _, c := range columns {
		name, number := strings.CutPrefix(c, "#")
		head = append(head, name)
		if number {
			line = append(line, "---:")
		} else {
			line = append(line, "---")
		}
	}
	p("| %s |\n| %s |\n", strings.Join(head, " | "), strings.Join(line, " | "))
	for _, r := range rows {
		p("| %s |\n", strings.Join(r, " | "))
	}
	p("\n")
}

// cell makes text of strangers fit into a table.
func cell(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > maxReason {
		s = string(r[:maxReason-1]) + "…"
	}
	return strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "*", `\*`, "_", `\_`, "`", "'").Replace(s)
}

func (t *table) head(p printf) {
	total := boot.Counts{}
	booted, qemu, accel := 0, map[string]bool{}, map[string]bool{}
	for i := range t.rep.Runs {
		r := &t.rep.Runs[i]
		total.Add(r.Count())
		if r.Status == boot.Booted {
			booted++
		}
		if r.QEMU != "" {
			qemu[r.QEMU] = true
		}
		if r.Accel != "" {
			accel[r.Accel] = true
		}
	}
	took := ""
	if !t.recorded {
		took = fmt.Sprintf(", in %.0f minutes", t.took.Minutes())
	}
	p.rows([]string{"", ""}, [][]string{
		{"date", t.date.UTC().Format("2006-01-02 15:04 UTC") + took},
		{"corecheck", cell(t.rep.Version)},
		{"QEMU", cell(strings.Join(sorted(qemu), ", ")) + " (" + cell(strings.Join(sorted(accel), ", ")) + ")"},
		{"libbpf-tools", fmt.Sprintf("%s, %d files", cell(t.corpus.tools), t.corpus.counts["libbpf-tools"])},
		{"fixtures", fmt.Sprintf("%d of testdata/rules, %d of testdata/truth, %d of testdata/demo", t.corpus.counts["testdata/rules"],
			t.corpus.counts["testdata/truth"], t.corpus.counts["testdata/demo"])},
		{"bundled tools", t.bundled()},
		{"kernels", fmt.Sprintf("%d booted of %d", booted, len(t.rep.Runs))},
		{"programs", fmt.Sprintf("%d predictions: %d agree, **%d disagree**, %d left open, %d need a target that only user space knows",
			total.Programs, total.Agree, total.Disagree, total.Unknown, total.NeedsTarget)},
	})
}

func (t *table) bundled() string {
	if t.corpus.bundled == 0 {
		return "none yet: tools/ has no objects"
	}
	return fmt.Sprintf("%d objects", t.corpus.bundled)
}

func sorted(set map[string]bool) []string {
	var out []string
	for s := range set {
		out = append(out, s)
	}
	slices.Sort(out)
	return out
}

func (t *table) kernels(p printf) {
	p("## Kernels\n\nA program is counted once on each kernel: as predicted, not as predicted, left open by the prediction, or in need of a " +
		"target. In “whole” are objects loaded with all their programs, and how many of them came out other than predicted.\n\n")
	var rows [][]string
	for i := range t.rep.Runs {
		r := &t.rep.Runs[i]
		row := []string{cell(r.Kernel), cell(version(t.sources[r.Kernel]))}
		if r.Status == boot.Failed {
			rows = append(rows, append(row, "**not booted**", "", "", "", "", "", "", ""))
			continue
		}
		whole, wholeWrong := 0, 0
		for j := range r.Objects {
			whole++
			if a := r.Objects[j].Agrees; a != nil && !*a {
				wholeWrong++
			}
		}
		c := r.Count()
		booted := fmt.Sprintf("%.1f s", float64(r.BootMillis)/1000)
		if r.Status == boot.CutShort {
			booted += ", **cut short**"
		}
		rows = append(rows, append(row, booted, fmt.Sprintf("%.0f s", float64(r.Millis)/1000), fmt.Sprint(c.Programs), fmt.Sprint(c.Agree),
			bold(c.Disagree), fmt.Sprint(c.Unknown), fmt.Sprint(c.NeedsTarget), fmt.Sprintf("%d, %s", whole, bold(wholeWrong))))
	}
	p.rows([]string{"kernel", "package", "#booted in", "#took", "#programs", "#agree", "#disagree", "#unknown", "#needs target", "#whole"}, rows)
	// What went wrong beside, once for all kernels that it was alike on.
	var notes []string
	of := make(map[string][]string)
	note := func(kernel, text string) {
		if of[text] == nil {
			notes = append(notes, text)
		}
		of[text] = append(of[text], kernel)
	}
	for i := range t.rep.Runs {
		r := &t.rep.Runs[i]
		if r.Status != boot.Booted {
			note(r.Kernel, r.Error)
		}
		for _, line := range r.Oops {
			note(r.Kernel, "the kernel reported a fault of its own: "+line)
		}
		for _, problem := range r.Problems {
			note(r.Kernel, problem)
		}
	}
	for _, text := range notes {
		p("- %s: %s\n", t.ranges.Of(of[text]), cell(text))
	}
	if len(notes) > 0 {
		p("\n")
	}
}

// version is that of a package: what follows its name.
func version(pkg string) string {
	_, v, _ := strings.Cut(pkg, " ")
	return cmp.Or(v, pkg)
}

func bold(n int) string {
	if n == 0 {
		return "0"
	}
	return fmt.Sprintf("**%d**", n)
}

func (t *table) disagreements(p printf) {
	p("## Disagreements\n\n")
	if len(t.wrong) == 0 {
		p("There are none.\n\n")
		return
	}
	var programs, whole [][]string
	for _, w := range t.wrong {
		expected := w.predicted
		if w.expected != "" {
			expected += ": " + w.expected
		}
		observed := w.observed
		if w.reason != "" {
			observed += ": " + w.reason
		}
		row := []string{t.ranges.Of(w.kernels), w.stage, cell(expected), cell(observed), kind(w.class, w.rule)}
		if w.program == "" {
			whole = append(whole, append([]string{cell(w.object)}, row...))
		} else {
			programs = append(programs, append([]string{cell(w.object) + ": " + cell(w.program) + ", " + cell(w.section)}, row...))
		}
	}
	columns := []string{"kernels", "stage", "predicted", "observed", "class"}
	if len(programs) > 0 {
		p("Each is an open defect. The reason observed is that on the first of the kernels.\n\n")
		p.rows(append([]string{"program"}, columns...), programs)
	}
	if len(whole) > 0 {
		p("### Whole objects\n\nWhere a program of an object disagrees, the whole of it mostly does, too.\n\n")
		p.rows(append([]string{"object"}, columns...), whole)
	}
}

// kind names the class of a failure and the rule for such, in code.
func kind(c boot.Class, rule string) string {
	switch {
	case c == "":
		return ""
	case rule == "":
		return cell(string(c))
	}
	return cell(string(c)) + " (" + rule + ")"
}

func (t *table) classTables(p printf) {
	p("## Failures by class\n\nWhy programs failed, as the kernel or the loader says, and what had been predicted.\n\n")
	var rows [][]string
	var sum class
	for _, c := range t.classes {
		rows = append(rows, []string{cell(string(c.name)), fmt.Sprint(c.all()), fmt.Sprint(c.broken), bold(c.fine), fmt.Sprint(c.unknown),
			fmt.Sprint(c.whole), bold(c.wholeFine)})
		sum.broken += c.broken
		sum.fine += c.fine
		sum.unknown += c.unknown
		sum.whole += c.whole
		sum.wholeFine += c.wholeFine
	}
	rows = append(rows, []string{"all", fmt.Sprint(sum.all()), fmt.Sprint(sum.broken), bold(sum.fine), fmt.Sprint(sum.unknown),
		fmt.Sprint(sum.whole), bold(sum.wholeFine)})
	p.rows([]string{"class", "#failed", "#predicted to break", "#predicted to work", "#left open", "#whole objects failed", "#predicted to work"}, rows)

	p("## Predictions by reason\n\nThe rule that gave the reason, and what became of what it said. “Same reason” are failures that were put into the class " +
		"of that rule; a program may have several things wrong with it, and fails for the first.\n\n")
	rows = nil
	for _, r := range t.rules {
		if r.broken+r.open > 0 {
			rows = append(rows, []string{r.Code + " " + cell(r.Name), fmt.Sprint(r.broken), fmt.Sprint(r.failed), fmt.Sprint(r.same), bold(r.broken - r.failed), fmt.Sprint(r.open), fmt.Sprint(r.openFailed)})
		}
	}
	p.rows([]string{"rule", "#predicted to break", "#failed", "#same reason", "#worked", "#left open", "#of these failed"}, rows)
}

func (t *table) ruleTable(p printf) {
	p("## Rules and their witnesses\n\nFor each rule the smallest program that breaks, and its twin that does not " +
		"([testdata/truth](../testdata/truth/README.md) says where they are, and why some rules have none).\n\n")
	var rows [][]string
	for _, r := range t.rules {
		row := []string{r.Code + " " + cell(r.Name)}
		switch {
		case !r.fixtures:
			row = append(row, "no kernel can show it", "", "")
		case len(r.witness) == 0:
			row = append(row, "not seen", t.some(r.otherwise), twins(r))
		default:
			row = append(row, t.some(r.witness), t.some(r.otherwise), twins(r))
		}
		rows = append(rows, row)
	}
	p.rows([]string{"rule", "witness fails for its reason on", "for another on", "twin works"}, rows)
}

// some describes kernels; nothing where there are none.
func (t *table) some(ids []string) string {
	if len(ids) == 0 {
		return ""
	}
	return t.ranges.Of(ids)
}

// twins says on how many kernels all twins of a rule worked.
func twins(r rule) string {
	if r.twinPredicted == 0 {
		return ""
	}
	if len(r.twin) == r.twinPredicted {
		return fmt.Sprintf("on all %d", len(r.twin))
	}
	return fmt.Sprintf("**on %d of %d**", len(r.twin), r.twinPredicted)
}

func (t *table) leftOut(p printf) {
	p("## Left open\n\nWhere corecheck says that it does not know, by the rule that says so, and what then happened.\n\n")
	var rows [][]string
	for _, u := range t.unknown {
		name := u.code
		if r := compat.RuleByName(u.code); r != nil {
			name += " " + r.Name
		}
		rows = append(rows, []string{cell(cmp.Or(name, "no reason")), fmt.Sprint(u.fine), fmt.Sprint(u.fail)})
	}
	p.rows([]string{"reason", "#worked", "#failed"}, rows)
	if len(t.corpus.leftOut) > 0 {
		p("## Left out\n\nFixtures that are not loaded.\n\n")
		rows = nil
		for _, l := range t.corpus.leftOut {
			rows = append(rows, []string{cell(l.name), cell(l.reason)})
		}
		p.rows([]string{"fixture", "why"}, rows)
	}
	if len(t.rep.LeftOut) > 0 {
		p("## Not tried\n\n")
		rows = nil
		for _, l := range t.rep.LeftOut {
			rows = append(rows, []string{cell(t.corpus.label(l.File, l.Object)), t.ranges.Of(l.Kernels), cell(l.Reason)})
		}
		p.rows([]string{"object", "kernels", "why"}, rows)
	}
}

// demo writes testdata/demo/observed.txt: a line for each program of the demo object on each kernel.
func (t *table) demo(w io.Writer) {
	fmt.Fprint(w, "# What real kernels did with each program of blkstate.bpf.o, loaded alone and attached: written by make truth.\n"+
		"# Columns: uname -r, program, load, attach (-: not tried).\n")
	for i := range t.rep.Runs {
		r := &t.rep.Runs[i]
		for j := range r.Programs {
			p := &r.Programs[j]
			if t.corpus.label(p.File, p.Object) != "demo/blkstate" {
				continue
			}
			loaded, attached := "ok", "-"
			switch {
			case p.Load == boot.LoadFail:
				loaded = "break"
			case p.Attach == boot.AttachFail:
				attached = "break"
			case p.Attach != boot.AttachNeedsTarget:
				attached = string(p.Attach)
			}
			fmt.Fprintf(w, "%-30s %-11s %-7s %s\n", r.Uname, p.Program, loaded, attached)
		}
	}
}
