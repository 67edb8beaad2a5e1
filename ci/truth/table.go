package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot"
	"github.com/corecheck/corecheck/kernels"
)

// table is a report with what it comes to.
type table struct {
	rep      *boot.Report
	corpus   *corpus
	sources  map[string]string // packages, by kernel
	ranges   *compat.Ranges
	ids      []string // of kernels, in the order of the report
	wrong    []wrong
	classes  []class
	rules    []rule
	unknown  []open
	date     time.Time
	took     time.Duration
	recorded bool // the report was made earlier: took says nothing
}

// wrong is a prediction that came out otherwise, on all kernels on which it did for the same reason.
type wrong struct {
	object, program, section string
	stage                    string
	predicted, expected      string // the prediction, and its reason
	observed, reason         string // what happened, and its reason on the first of the kernels
	class                    boot.Class
	rule                     string
	kernels                  []string
}

// class counts failures of a kind.
type class struct {
	name                  boot.Class
	broken, fine, unknown int // programs on kernels, by the prediction: that they fail, that they don't, neither
	whole, wholeFine      int // objects as a whole on kernels; and those of which the contrary was predicted
}

// rule counts predictions by their reason, and tells where the rule's witness was seen to fail.
type rule struct {
	*compat.Rule
	broken, failed, same int // predicted to break; of these failed; and failed for the reason of this rule
	open, openFailed     int // left open; of these failed

	fixtures      bool
	witness       []string // kernels on which a witness failed for the reason of this rule
	otherwise     []string // and those on which one failed for another
	twin          []string // kernels on which all twins worked
	twinPredicted int      // and those on which all were predicted to
}

// open counts programs on kernels of which the prediction decided nothing, by the reason of the worst finding.
type open struct {
	code       string
	fine, fail int // as observed
}

// sourcesOf returns the package of each kernel: its name and version.
func sourcesOf(ks []*kernels.Kernel) (map[string]string, error) {
	out := make(map[string]string)
	for _, k := range ks {
		out[k.ID] = k.Package
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no kernels come with corecheck")
	}
	return out, nil
}

func newTable(rep *boot.Report, c *corpus, sources map[string]string) *table {
	t := &table{rep: rep, corpus: c, sources: sources, ranges: compat.NewRanges(rep.Kernels)}
	for _, k := range rep.Kernels {
		t.ids = append(t.ids, k.ID)
	}
	t.collect()
	t.countRules()
	return t
}

// outcome is one stage of a program, or of an object, on one kernel.
type outcome struct {
	stage               string
	predicted, observed string
	failed              bool
}

// decided returns the stage at which a program's or object's prediction is right or wrong: the first that is wrong, else
// the last that was observed.
func decided(load boot.Load, attach boot.Attach, predictedLoad, predictedAttach compat.Status) outcome {
	x := outcome{stage: "load", predicted: string(predictedLoad), observed: string(load), failed: load == boot.LoadFail}
	if x.failed || predictedLoad == compat.Break || (attach != boot.AttachOK && attach != boot.AttachFail) {
		return x
	}
	return outcome{stage: "attach", predicted: string(predictedAttach), observed: string(attach), failed: attach == boot.AttachFail}
}

// collect goes through all that was observed.
func (t *table) collect() {
	type key struct {
		object, program, stage, predicted, expected, observed string
		class                                                 boot.Class
		rule                                                  string
	}
	groups := make(map[key]int)
	add := func(kernel string, w wrong) {
		k := key{w.object, w.program, w.stage, w.predicted, w.expected, w.observed, w.class, w.rule}
		i, ok := groups[k]
		if !ok {
			i = len(t.wrong)
			groups[k] = i
			t.wrong = append(t.wrong, w)
		}
		t.wrong[i].kernels = append(t.wrong[i].kernels, kernel)
	}
	classes := make(map[boot.Class]*class)
	classOf := func(name boot.Class) *class {
		if classes[name] == nil {
			classes[name] = &class{name: name}
		}
		return classes[name]
	}
	unknown := make(map[string]*open)
	for i := range t.rep.Runs {
		r := &t.rep.Runs[i]
		for j := range r.Objects {
			o := &r.Objects[j]
			x := decided(o.Load, o.Attach, o.PredictedLoad, compat.OK)
			if x.failed && !o.NeedsTarget {
				c := classOf(o.Class)
				c.whole++
				if o.Agrees != nil && !*o.Agrees {
					c.wholeFine++
				}
			}
			if o.Agrees == nil || *o.Agrees {
				continue
			}
			reason := withErrno(o.Reason, o.Errno)
			if x.stage == "attach" {
				reason = withErrno(o.AttachReason, o.AttachErrno)
			}
			add(r.Kernel, wrong{object: t.corpus.label(o.File, o.Object), stage: x.stage, predicted: x.predicted,
				observed: x.observed, reason: reason, class: o.Class, rule: o.Rule})
		}
		for j := range r.Programs {
			p := &r.Programs[j]
			x := decided(p.Load, p.Attach, p.PredictedLoad, p.PredictedAttach)
			reason := withErrno(p.LoadReason, p.LoadErrno)
			if x.stage == "attach" {
				reason = withErrno(p.AttachReason, p.AttachErrno)
			}
			if p.Agrees != nil && !*p.Agrees {
				w := wrong{object: t.corpus.label(p.File, p.Object), program: p.Program, section: p.Section, stage: x.stage,
					predicted: x.predicted, observed: x.observed, reason: reason, class: p.Class, rule: p.Rule}
				if x.predicted == string(compat.Break) {
					w.expected = p.ExpectedReason
				}
				add(r.Kernel, w)
			}
			needsTarget := p.Attach == boot.AttachNeedsTarget
			if p.Agrees == nil && !needsTarget {
				code := codeOf(p.ExpectedReason)
				u := unknown[code]
				if u == nil {
					u = &open{code: code}
					unknown[code] = u
				}
				if x.failed {
					u.fail++
				} else {
					u.fine++
				}
			}
			if !x.failed || needsTarget {
				continue
			}
			c := classOf(p.Class)
			switch {
			case p.Agrees == nil:
				c.unknown++
			case *p.Agrees:
				c.broken++
			default:
				c.fine++
			}
		}
	}
	slices.SortStableFunc(t.wrong, func(a, b wrong) int {
		return cmp.Or(strings.Compare(a.object, b.object), strings.Compare(a.program, b.program), strings.Compare(a.stage, b.stage))
	})
	for _, c := range classes {
		t.classes = append(t.classes, *c)
	}
	slices.SortFunc(t.classes, func(a, b class) int {
		return cmp.Or(cmp.Compare(b.all(), a.all()), strings.Compare(string(a.name), string(b.name)))
	})
	for _, u := range unknown {
		t.unknown = append(t.unknown, *u)
	}
	slices.SortFunc(t.unknown, func(a, b open) int {
		return cmp.Or(cmp.Compare(b.fine+b.fail, a.fine+a.fail), strings.Compare(a.code, b.code))
	})
}

// withErrno puts an errno before a reason that does not say it.
func withErrno(reason string, errno int) string {
	if errno == 0 || strings.Contains(reason, boot.ErrnoName(errno)) {
		return reason
	}
	return strings.TrimSuffix(boot.ErrnoName(errno)+": "+reason, ": ")
}

func (c *class) all() int { return c.broken + c.fine + c.unknown }

// codeOf is the code at the head of an expected reason, "" where there is none.
func codeOf(reason string) string {
	code, _, ok := strings.Cut(reason, ": ")
	if !ok {
		return ""
	}
	return code
}

// countRules counts by rules, and follows witnesses and twins.
func (t *table) countRules() {
	for _, r := range compat.Rules() {
		x := rule{Rule: r}
		fixtures := t.corpus.fixtures(r.Name)
		x.fixtures = len(fixtures) > 0
		for i := range t.rep.Runs {
			run := &t.rep.Runs[i]
			shown, otherwise, twins, twinsFine := false, false, 0, 0
			for j := range run.Programs {
				p := &run.Programs[j]
				o := decided(p.Load, p.Attach, p.PredictedLoad, p.PredictedAttach)
				// That a section names no target is seen without asking a kernel.
				same := p.Rule == r.Code || r.Name == "target_unset" && p.Attach == boot.AttachNeedsTarget
				if p.Class == boot.NoConfig { // it is the guest's lack, not the kernel's
					same = false
				}
				if codeOf(p.ExpectedReason) == r.Code {
					broken := p.PredictedLoad == compat.Break || p.PredictedAttach == compat.Break
					switch {
					case broken:
						x.broken++
						if o.failed {
							x.failed++
							if same {
								x.same++
							}
						}
					case p.Agrees == nil && p.Attach != boot.AttachNeedsTarget:
						x.open++
						if o.failed {
							x.openFailed++
						}
					}
				}
				if !slices.Contains(fixtures, p.File) {
					continue
				}
				switch {
				case strings.HasPrefix(p.Program, "witness"):
					if o.failed && same {
						shown = true
					} else if o.failed {
						otherwise = true
					}
				case strings.HasPrefix(p.Program, "twin"):
					if p.PredictedLoad != compat.OK || p.PredictedAttach == compat.Break || p.PredictedAttach == compat.Unknown {
						continue
					}
					twins++
					if !o.failed {
						twinsFine++
					}
				}
			}
			if shown {
				x.witness = append(x.witness, run.Kernel)
			}
			if otherwise && !shown {
				x.otherwise = append(x.otherwise, run.Kernel)
			}
			if twins > 0 {
				x.twinPredicted++
				if twins == twinsFine {
					x.twin = append(x.twin, run.Kernel)
				}
			}
		}
		t.rules = append(t.rules, x)
	}
}

// known is what of the table is held fast.
func (t *table) known() *known {
	k := new(known)
	for i := range t.rep.Runs {
		if t.rep.Runs[i].Status == boot.Booted {
			k.Kernels = append(k.Kernels, t.rep.Runs[i].Kernel)
		}
	}
	whole := func(ids []string) []string { // of kernels that did all that was asked for
		return slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return !slices.Contains(k.Kernels, id) })
	}
	byKey := make(map[string]int)
	for _, w := range t.wrong {
		ids := whole(w.kernels)
		if len(ids) == 0 {
			continue
		}
		key := w.object + "\x00" + w.program + "\x00" + w.stage + "\x00" + w.predicted
		i, ok := byKey[key]
		if !ok {
			i = len(k.Disagreements)
			byKey[key] = i
			k.Disagreements = append(k.Disagreements, disagreement{Object: w.object, Program: w.program, Stage: w.stage, Predicted: w.predicted})
		}
		k.Disagreements[i].Kernels = append(k.Disagreements[i].Kernels, ids...)
	}
	for i := range k.Disagreements {
		t.order(k.Disagreements[i].Kernels)
	}
	for _, r := range t.rules {
		if ids := whole(r.witness); len(ids) > 0 {
			k.Witnesses = append(k.Witnesses, witnessed{r.Code, ids})
		}
		if ids := whole(r.twin); len(ids) > 0 {
			k.Twins = append(k.Twins, witnessed{r.Code, ids})
		}
	}
	k.Counts = t.counts(k.Kernels)
	sortKnown(k)
	return k
}

// counts counts the programs of each object, on kernels that did all that was asked for.
func (t *table) counts(on []string) []counted {
	var out []counted
	type object struct{ file, name string }
	index := make(map[string]int) // in out, by all but the kernels
	add := func(o object, c counted, kernel string) {
		c.Object = t.corpus.label(o.file, o.name)
		key := fmt.Sprintf("%+v", c)
		i, ok := index[key]
		if !ok {
			i = len(out)
			index[key] = i
			out = append(out, c)
		}
		out[i].Kernels = append(out[i].Kernels, kernel)
	}
	for i := range t.rep.Runs {
		r := &t.rep.Runs[i]
		if !slices.Contains(on, r.Kernel) {
			continue
		}
		by := make(map[object]counted)
		var order []object
		for j := range r.Objects { // one without programs counts, too
			o := object{r.Objects[j].File, r.Objects[j].Object}
			by[o] = counted{}
			order = append(order, o)
		}
		for j := range r.Programs {
			p := &r.Programs[j]
			o := object{p.File, p.Object}
			c, ok := by[o]
			if !ok {
				order = append(order, o)
			}
			c.Programs++
			switch {
			case p.Agrees != nil && *p.Agrees:
				c.Agree++
			case p.Agrees == nil && p.Attach == boot.AttachNeedsTarget:
				c.NeedsTarget++
			case p.Agrees == nil:
				c.Unknown++
			}
			by[o] = c
		}
		for _, o := range order {
			add(o, by[o], r.Kernel)
		}
		for _, l := range t.rep.LeftOut {
			if slices.Contains(l.Kernels, r.Kernel) {
				add(object{l.File, l.Object}, counted{LeftOut: true}, r.Kernel)
			}
		}
	}
	return out
}

// order sorts kernels as the report does.
func (t *table) order(ids []string) {
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(slices.Index(t.ids, a), slices.Index(t.ids, b)) })
}

// gone tells a kernel that can't be booted because the distribution has deleted its package: suites keep the newest
// version only. Nothing is said of it then, and the summary shows it.
func (t *table) gone(r *boot.KernelRun) bool {
	return r.Status == boot.Failed && r.QEMU != "" && r.BootMillis == 0 && notFetched(r.Error)
}

// notFetched tells that a kernel's package can't be had on this machine, from what corecheck says.
func notFetched(text string) bool {
	text = strings.Join(strings.Fields(text), " ")
	return strings.Contains(text, "can't be had") || strings.Contains(text, "apt's configuration has no source")
}

// unusable says why the report does not tell what it should: of the kernels that were to be booted, and all files.
func (t *table) unusable(chosen []*kernels.Kernel) []string {
	var out []string
	for _, k := range chosen {
		if !slices.Contains(t.ids, k.ID) {
			out = append(out, k.ID+": was to be booted, and the report has nothing of it")
		}
	}
	for _, id := range t.ids {
		if !slices.ContainsFunc(chosen, func(k *kernels.Kernel) bool { return k.ID == id }) {
			out = append(out, id+": was not to be booted")
		}
	}
	for _, e := range t.rep.Errors {
		out = append(out, e.Message)
	}
	booted := 0
	for i := range t.rep.Runs {
		r := &t.rep.Runs[i]
		if r.Status != boot.Booted {
			if !t.gone(r) {
				out = append(out, fmt.Sprintf("%s: %s: %s", r.Kernel, strings.ReplaceAll(string(r.Status), "_", " "), r.Error))
			}
			continue
		}
		booted++
		for _, f := range t.corpus.files {
			if !slices.ContainsFunc(r.Objects, func(o boot.Object) bool { return o.File == f }) &&
				!slices.ContainsFunc(t.rep.LeftOut, func(l boot.LeftOut) bool { return l.File == f && slices.Contains(l.Kernels, r.Kernel) }) {
				out = append(out, fmt.Sprintf("%s: nothing is said of %s", r.Kernel, t.corpus.label(f, "")))
			}
		}
	}
	if 2*booted <= len(chosen) {
		out = append(out, fmt.Sprintf("%d of %d kernels were booted: too few to say anything; newer ones come with `make kernels NEWEST=1`", booted, len(chosen)))
	}
	return out
}

// summary prints a line for each kernel.
func (t *table) summary(w io.Writer) {
	for i := range t.rep.Runs {
		r := &t.rep.Runs[i]
		c := r.Count()
		fmt.Fprintf(w, "%-45s %-9s booted in %4.1f s, took %5.1f s: %d programs, %d agree, %d disagree, %d unknown, %d need a target\n", r.Kernel, r.Status,
			float64(r.BootMillis)/1000, float64(r.Millis)/1000, c.Programs, c.Agree, c.Disagree, c.Unknown, c.NeedsTarget)
		if r.Status != boot.Booted {
			fmt.Fprintf(w, "    %s\n", r.Error)
		}
		for _, problem := range r.Problems {
			fmt.Fprintf(w, "    %s\n", problem)
		}
	}
}
