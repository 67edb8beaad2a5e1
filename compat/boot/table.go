package boot

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/compat/internal/page"
)

// maxTail is how many of a console's last lines are shown without Verbose.
const maxTail = 12

// maxNamed is how many programs the last lines name.
const maxNamed = 8

// WriteTable writes the report for people: a line for each kernel, what came out other than predicted with both reasons, what
// breaks, what went wrong on the way, and the counts.
func (r *Report) WriteTable(w io.Writer, opt compat.TableOptions) error {
	p := &printer{Page: page.New(w, opt.Color), report: r, ranges: compat.NewRanges(r.Kernels), opt: opt}
	p.kernels()
	p.outcomes()
	p.notes()
	p.trouble()
	p.summary()
	return p.Flush()
}

type printer struct {
	*page.Page
	report *Report
	ranges *compat.Ranges
	opt    compat.TableOptions
}

// kernels writes a line for each kernel.
func (p *printer) kernels() {
	if len(p.report.Runs) == 0 {
		return
	}
	what := "programs"
	if p.report.Loader == guest.Command {
		what = "commands"
	}
	var rows [][]string
	for i := range p.report.Runs {
		run := &p.report.Runs[i]
		boot := fmt.Sprintf("%.1f s %s", float64(run.BootMillis)/1000, run.Accel)
		switch run.Status {
		case Failed:
			rows = append(rows, []string{page.Cut(run.Kernel, 46), p.Style(page.Red, "not booted"), "-", "-", "-", "-", "-"})
			continue
		case CutShort:
			boot = p.Style(page.Red, "cut short")
		}
		c := run.Count()
		wrong := fmt.Sprint(c.Wrong())
		if c.Wrong() > 0 {
			wrong = p.Style(page.Red, wrong)
		}
		rows = append(rows, []string{page.Cut(run.Kernel, 46), boot, fmt.Sprint(c.Programs), fmt.Sprint(c.Agree), wrong, fmt.Sprint(c.Unknown), fmt.Sprint(c.NeedsTarget)})
	}
	p.Table([]string{"kernel", "booted in", what, "agree", "disagree", "unknown", "target"}, rows)
	p.Line("")
}

// outcome is what programs, or objects as a whole, did alike on some kernels.
type outcome struct {
	file, object, program string // program "" for the object as a whole
	section               string
	load                  Load
	attach                Attach
	errno                 int
	class                 Class
	rule                  string
	predicted             string // in words
	agrees                int    // disagrees, agrees, leftOpen
	autoload              bool
}

// The agreements, in the order in which they are written.
const (
	disagrees = iota
	agrees
	leftOpen
)

func agreement(a *bool) int {
	switch {
	case a == nil:
		return leftOpen
	case *a:
		return agrees
	}
	return disagrees
}

// group is an outcome with its kernels; texts are those of the newest.
type group struct {
	outcome
	kernels            []string
	observed, expected string
	log                []string
}

// groups are the outcomes that are not fine, in the order of objects and programs, as far as they are of the kind.
func (p *printer) groups() []*group {
	var list []*group
	index := make(map[outcome]*group)
	place := make(map[[3]string]int) // of objects and programs in the reports
	at := func(file, object, program string) {
		if k := [3]string{file, object, program}; place[k] == 0 {
			place[k] = len(place) + 1
		}
	}
	add := func(o outcome, kernel, observed, expected string, log []string) {
		g := index[o]
		if g == nil {
			g = &group{outcome: o}
			index[o] = g
			list = append(list, g)
		}
		g.kernels = append(g.kernels, kernel)
		g.observed, g.expected, g.log = observed, expected, log
	}
	for i := range p.report.Runs {
		run := &p.report.Runs[i]
		for j := range run.Objects {
			at(run.Objects[j].File, run.Objects[j].Object, "")
		}
		for j := range run.Programs {
			x := &run.Programs[j]
			at(x.File, x.Object, x.Program)
			if !x.Breaks() && !wrong(x.Agrees) {
				continue
			}
			errno, reason := x.LoadErrno, x.LoadReason
			if x.Load == LoadOK {
				errno, reason = x.AttachErrno, x.AttachReason
			}
			o := outcome{file: x.File, object: x.Object, program: x.Program, section: x.Section, load: x.Load, attach: x.Attach, errno: errno,
				class: x.Class, rule: x.Rule, predicted: predicted(x.PredictedLoad, x.PredictedAttach),
				agrees: agreement(x.Agrees), autoload: x.Autoload}
			add(o, run.Kernel, observedText(x.Load, x.Attach, errno, reason, x.Class, x.Rule), x.ExpectedReason, x.Log)
		}
		by := run.told()
		for j := range run.Objects {
			x := &run.Objects[j]
			if !x.byItself(by[objectRef{x.File, x.Object}]) {
				continue
			}
			attach, errno, reason := cmp.Or(x.Attach, AttachNone), x.Errno, x.Reason
			if x.Load == LoadOK {
				errno, reason = x.AttachErrno, x.AttachReason
			}
			o := outcome{file: x.File, object: x.Object, load: x.Load, attach: attach, errno: errno, class: x.Class, rule: x.Rule,
				predicted: predicted(x.PredictedLoad, compat.None), agrees: agreement(x.Agrees), autoload: true}
			add(o, run.Kernel, observedText(x.Load, attach, errno, reason, x.Class, x.Rule), "", x.Log)
		}
		if x := run.Command; x != nil && x.Exit > 0 {
			o := outcome{object: strings.Join(x.Args, " "), load: LoadFail, errno: x.Exit, predicted: "verdict of the objects: " + string(x.Predicted), agrees: agreement(x.Agrees), autoload: true}
			add(o, run.Kernel, commandText(x), "", x.Output)
		}
	}
	slices.SortStableFunc(list, func(a, b *group) int {
		return cmp.Or(cmp.Compare(place[[3]string{a.file, a.object, ""}], place[[3]string{b.file, b.object, ""}]),
			cmp.Compare(place[[3]string{a.file, a.object, a.program}], place[[3]string{b.file, b.object, b.program}]))
	})
	return list
}

// predicted is a prediction in words.
func predicted(load, attach compat.Status) string {
	switch {
	case load == compat.Break:
		return "does not load"
	case load == compat.Unknown:
		return "not known whether it loads"
	case attach == compat.Break:
		return "loads, does not attach"
	case attach == compat.Unknown:
		return "loads, not known whether it attaches"
	case attach == compat.None:
		return "loads"
	}
	return "loads and attaches"
}

// observedText is what was observed, with the reason.
func observedText(load Load, attach Attach, errno int, reason string, class Class, rule string) string {
	text := "loads and attaches"
	switch {
	case load == LoadFail:
		text = "does not load"
	case attach == AttachFail:
		text = "loads, does not attach"
	case attach == AttachNone, attach == AttachNeedsTarget:
		return "loads"
	default:
		return text
	}
	var why []string
	if errno != 0 {
		why = append(why, ErrnoName(errno))
	}
	if reason != "" {
		why = append(why, reason)
	}
	if len(why) > 0 {
		text += ", " + strings.Join(why, ": ")
	}
	if words := strings.TrimSpace(string(class) + " " + rule); words != "" {
		text += " (" + words + ")"
	}
	return text
}

func commandText(x *Command) string {
	text := fmt.Sprintf("ends with status %d", x.Exit)
	if x.Error != "" {
		text += ": " + x.Error
	}
	if n := len(x.Output); n > 0 {
		text += ": " + x.Output[n-1]
	}
	return text
}

// who names a group's program.
func (g *group) who() string {
	if g.program == "" {
		return g.object
	}
	return g.object + " " + g.program
}

// outcomes writes what is not fine: first what came out other than predicted, with both reasons, then what breaks otherwise, a
// line each unless Verbose.
func (p *printer) outcomes() {
	list := p.groups()
	for kind, title := range []string{"Not as predicted", "Breaks as predicted", "Breaks, which the prediction left open"} {
		var of []*group
		for _, g := range list {
			if g.agrees == kind {
				of = append(of, g)
			}
		}
		if len(of) == 0 {
			continue
		}
		if kind == disagrees || p.opt.Verbose || p.report.Loader == guest.Command {
			p.Title(title)
			p.details(of)
		} else {
			p.brief(title, of)
		}
		p.Line("")
	}
}

// brief writes a line for each program that breaks alike on some kernels.
func (p *printer) brief(title string, list []*group) {
	type key struct{ who, what string }
	var order []key
	by := make(map[key][]string)
	for _, g := range list {
		k := key{p.whoText(g), g.short()}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], g.kernels...)
	}
	var rows [][]string
	for _, k := range order {
		rows = append(rows, []string{"  " + page.Cut(k.who, 36), strings.Join(page.Wrap(p.ranges.Of(by[k]), 18), "\n"), strings.Join(page.Wrap(k.what, 38), "\n")})
	}
	p.Table([]string{p.Style(page.Bold, title), "on", ""}, rows)
}

// short is what was observed in a few words.
func (g *group) short() string {
	text := "no load"
	if g.load == LoadOK {
		text = "no attach"
	}
	if g.class == "" {
		return text + ": " + g.observed
	}
	if g.errno != 0 {
		text += ", " + ErrnoName(g.errno)
	}
	return strings.TrimSpace(text + ": " + string(g.class) + " " + g.rule)
}

// whoText names a group's program as far as that is needed where no section stands beside it.
func (p *printer) whoText(g *group) string {
	who := g.who()
	if g.program == "" && p.report.Loader == guest.Own {
		who += " as a whole"
	}
	if !g.autoload {
		who += " (optional)"
	}
	return who
}

// details writes groups with both reasons. What is equal but for the program is written once.
func (p *printer) details(list []*group) {
	type key struct{ on, predicted, observed string }
	var order []key
	by := make(map[key][]*group)
	for _, g := range list {
		k := key{on: p.ranges.Of(g.kernels), predicted: g.predicted, observed: g.observed}
		if g.expected != "" {
			k.predicted += ", " + g.expected
		}
		if by[k] == nil {
			order = append(order, k)
		}
		by[k] = append(by[k], g)
	}
	for _, k := range order {
		for _, g := range by[k] {
			who := p.whoText(g)
			if g.section != "" {
				who += "  " + g.section
			}
			p.Line("  %s", p.Style(page.Bold, page.Cut(who, page.Width-2)))
		}
		p.Para("    on ", "       ", k.on)
		p.Para("    predicted: ", "               ", k.predicted)
		p.Para("    observed:  ", "               ", k.observed)
		if p.opt.Verbose {
			for _, g := range by[k] {
				for _, l := range g.log {
					p.Line("      | %s", page.Cut(l, page.Width-8))
				}
			}
		}
	}
}

// notes writes what the loader decided for want of a user, and the modules that could not be inserted.
func (p *printer) notes() {
	var order []string
	by := make(map[string][]string) // objects by what is noted of them
	add := func(object string, notes []string) {
		for _, n := range notes {
			if by[n] == nil {
				order = append(order, n)
			}
			if !slices.Contains(by[n], object) {
				by[n] = append(by[n], object)
			}
		}
	}
	type note struct{ module, text string }
	modules := make(map[note][]string) // kernels
	var lacking []note
	for i := range p.report.Runs {
		run := &p.report.Runs[i]
		for j := range run.Objects {
			add(run.Objects[j].Object, run.Objects[j].Notes)
		}
		for j := range run.Programs {
			add(run.Programs[j].Object, run.Programs[j].Notes)
		}
		for _, m := range run.Modules {
			if m.Error != "" {
				n := note{m.Name, m.Error}
				if modules[n] == nil {
					lacking = append(lacking, n)
				}
				modules[n] = append(modules[n], run.Kernel)
			}
		}
	}
	for i, n := range order {
		if i == 0 {
			p.Title("Noted by the loader")
		}
		who := page.Cut(by[n][0], 30)
		if len(by[n]) > 1 {
			who = page.Count(len(by[n]), "object")
		}
		p.Para("  "+who+": ", "    ", n)
		if i == len(order)-1 {
			p.Line("")
		}
	}
	for i, n := range lacking {
		if i == 0 {
			p.Title("Modules that were not inserted")
		}
		p.Para("  "+page.Cut(n.module, 30)+": ", "    ", n.text+", on "+p.ranges.Of(modules[n]))
		if i == len(lacking)-1 {
			p.Line("")
		}
	}
}

// trouble writes what went wrong with kernels: those that did not boot, or not to the end, and faults of their own.
func (p *printer) trouble() {
	type failure struct{ error, hint string }
	var order []failure
	by := make(map[failure][]*KernelRun)
	for i := range p.report.Runs {
		run := &p.report.Runs[i]
		if run.Status == Booted {
			continue
		}
		f := failure{run.Error, run.Hint}
		if by[f] == nil {
			order = append(order, f)
		}
		by[f] = append(by[f], run)
	}
	for _, f := range order {
		var booted, not []string
		for _, run := range by[f] {
			if run.Status == Failed {
				not = append(not, run.Kernel)
			} else {
				booted = append(booted, run.Kernel)
			}
		}
		if len(not) > 0 {
			p.Para(p.Style(page.Red, "not booted: "), "            ", p.ranges.Of(not)+": "+f.error)
		}
		if len(booted) > 0 {
			p.Para(p.Style(page.Red, "cut short: "), "           ", p.ranges.Of(booted)+": "+f.error)
		}
		if f.hint != "" {
			p.Para("  hint: ", "        ", f.hint)
		}
		for _, run := range by[f] {
			p.console(run)
		}
		p.Line("")
	}
	for i := range p.report.Runs {
		run := &p.report.Runs[i]
		if len(run.Oops) > 0 {
			p.Para(p.Style(page.Red, "fault of the kernel: "), "    ", run.Kernel+": "+run.Oops[0])
			if run.Status == Booted {
				p.Para("  console: ", "           ", run.Console)
			}
		}
		for _, s := range run.Problems {
			p.Para("note: ", "      ", run.Kernel+": "+s)
		}
		if len(run.Oops)+len(run.Problems) > 0 {
			p.Line("")
		}
	}
}

// console shows the end of a kernel's console, and where all of it is.
func (p *printer) console(run *KernelRun) {
	tail := run.ConsoleTail
	if !p.opt.Verbose && len(tail) > maxTail {
		tail = tail[len(tail)-maxTail:]
	}
	if len(tail) > 0 {
		p.Line("  %s", p.Style(page.Dim, page.Cut("the last lines of the console of "+run.Kernel, page.Width-2)))
	}
	for _, l := range tail {
		p.Line("    | %s", page.Cut(l, page.Width-6))
	}
	if run.Console != "" && len(tail) > 0 { // a file of nothing is no help, and where QEMU was not started there is none
		p.Para("  all of it: ", "             ", run.Console)
	}
	if n := len(run.NotObserved); n > 0 {
		p.Para("  ", "  ", page.Count(n, "program")+" not observed")
	}
}

// summary counts.
func (p *printer) summary() {
	r := p.report
	var c Counts
	status := make(map[Status]int)
	var ways, why []string
	for i := range r.Runs {
		run := &r.Runs[i]
		c.Add(run.Count())
		status[run.Status]++
		if run.Status == Booted && !slices.Contains(ways, run.Accel) {
			ways = append(ways, run.Accel)
		}
		reason := run.AccelReason
		if !p.opt.Verbose {
			reason = clause(reason)
		}
		if reason != "" && !slices.Contains(why, reason) {
			why = append(why, reason)
		}
	}
	text := page.Count(status[Booted], "kernel") + " booted"
	if len(ways) > 0 {
		text += " with " + strings.Join(ways, " and ")
	}
	if n := status[CutShort]; n > 0 {
		text += fmt.Sprintf(", %d cut short", n)
	}
	if n := status[Failed]; n > 0 {
		text += fmt.Sprintf(", %d not booted", n)
	}
	p.Para("", "", fmt.Sprintf("%s; %s observed: %d as predicted, %d not, %d left open by the prediction, %d only with a target from user space",
		text, r.counted(), c.Agree, c.Wrong(), c.Unknown, c.NeedsTarget))
	for _, s := range why {
		p.Para("not with KVM: ", "              ", s)
	}
	for _, l := range r.LeftOut {
		p.Para("left out: ", "          ", l.Object+" on "+page.Count(len(l.Kernels), "kernel")+": "+l.Reason)
	}
	if n := len(r.Errors); n > 0 {
		p.Para("", "", page.Count(n, "input")+" could not be read (see the errors) and left no mark on these numbers")
	}
	for _, s := range r.Findings() {
		p.Para("", "  ", s)
	}
}

// counted names what Counts.Programs counts.
func (r *Report) counted() string {
	var commands, programs, objects int
	for i := range r.Runs {
		run := &r.Runs[i]
		own := len(run.Programs)
		programs += own
		if run.Command != nil {
			commands++
			own++
		}
		objects += run.Count().Programs - own
	}
	var parts []string
	for _, x := range []struct {
		n    int
		what string
	}{{commands, "command"}, {programs, "program"}, {objects, "whole object"}} {
		if x.n > 0 {
			parts = append(parts, page.Count(x.n, x.what))
		}
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, " and ")
	case r.Loader == guest.Command:
		return page.Count(0, "command")
	}
	return page.Count(0, "program")
}

// clause is the beginning of a reason: what QEMU says of itself stands behind a colon or a semicolon, and may be long.
func clause(reason string) string {
	reason = strings.Replace(reason, "signal: ", "signal ", 1) // as package os/exec has the end of a process
	for _, end := range []string{": ", "; "} {
		reason, _, _ = strings.Cut(reason, end)
	}
	return reason
}

// Findings are what makes the exit code of the report, a sentence each: kernels that were not booted, predictions that were
// wrong, programs that break.
func (r *Report) Findings() []string {
	p := &printer{report: r, ranges: compat.NewRanges(r.Kernels)}
	var out []string
	var undone []string
	var c Counts
	for i := range r.Runs {
		if r.Runs[i].Status != Booted {
			undone = append(undone, r.Runs[i].Kernel)
		}
		c.Add(r.Runs[i].Count())
	}
	switch {
	case len(r.Runs) == 0:
		out = append(out, "no kernel was booted")
	case len(undone) > 0:
		out = append(out, page.Count(len(undone), "kernel")+" could not be booted, or not to the end: "+p.ranges.Of(undone))
	}
	unrun := make(map[string][]string) // kernels by why the command was not run
	var reasons []string
	for i := range r.Runs {
		if x := r.Runs[i].Command; x != nil && x.Exit < 0 {
			if unrun[x.Error] == nil {
				reasons = append(reasons, x.Error)
			}
			unrun[x.Error] = append(unrun[x.Error], r.Runs[i].Kernel)
		}
	}
	for _, why := range reasons {
		out = append(out, "the command was not run to its end on "+p.ranges.Of(unrun[why])+": "+why)
	}
	list := p.groups()
	if n := c.Wrong(); n > 0 {
		verb := "predictions were wrong"
		if n == 1 {
			verb = "prediction was wrong"
		}
		out = append(out, fmt.Sprintf("%d %s: %s", n, verb, p.named(list, func(g *group) bool { return g.agrees == disagrees })))
	}
	if n := c.Broken(); n > 0 {
		breaks := func(g *group) bool { return g.autoload && (g.load == LoadFail || g.attach == AttachFail) }
		what := "program"
		if r.Loader == guest.Command {
			what = "command"
		}
		programs, ks := make(map[[3]string]bool), []string(nil)
		for _, g := range list {
			if breaks(g) {
				programs[[3]string{g.file, g.object, g.program}] = true
				ks = append(ks, g.kernels...)
			}
		}
		verb := " break on "
		if len(programs) == 1 {
			verb = " breaks on "
		}
		out = append(out, page.Count(len(programs), what)+verb+p.ranges.Of(ks)+": "+p.named(list, breaks))
	}
	return out
}

// named names the programs of groups, each with its kernels.
func (p *printer) named(list []*group, take func(*group) bool) string {
	var order []string
	by := make(map[string][]string)
	for _, g := range list {
		if take(g) {
			if by[g.who()] == nil {
				order = append(order, g.who())
			}
			by[g.who()] = append(by[g.who()], g.kernels...)
		}
	}
	var out []string
	for _, who := range order[:min(len(order), maxNamed)] {
		out = append(out, who+" on "+p.ranges.Of(by[who]))
	}
	if n := len(order) - maxNamed; n > 0 {
		out = append(out, fmt.Sprintf("%d more", n))
	}
	return strings.Join(out, "; ")
}
