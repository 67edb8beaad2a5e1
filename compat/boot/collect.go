package boot

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/relocate"
	"github.com/corecheck/corecheck/relocate/load"
)

// Limits of what a guest is believed. Its kernel ran a stranger's program: what it says may be anything.
const (
	maxText     = 4 << 10  // bytes of a reason, a note, a line of a log
	maxNotes    = 128      // of an object or a program
	maxKept     = 64 << 20 // bytes of logs and notes of a guest
	maxProblems = 20       // results that make no sense, before the guest is ended
)

// errBabble ends a guest of which the results make no sense.
var errBabble = errors.New("too many results that make no sense: an object may have taken over its guest")

// kernelError ends a guest that runs another kernel than the one that was asked for.
type kernelError struct{ what, got, want string }

func (e *kernelError) Error() string {
	return fmt.Sprintf("the guest runs %s %q, not %q", e.what, e.got, e.want)
}

// collector turns the messages of one guest into a run.
type collector struct {
	run    *KernelRun
	plan   *guest.Plan
	kernel string
	objs   []*relocate.Object // of the plan
	index  []int              // of each in the predictions
	want   *predictions

	soft []bool // modules of the plan that others only like to have: one that can't be inserted is no failure

	uname, arch string // that the kernel's files say; "" where they don't
	noConfig    bool   // no configuration of the kernel is in the guest
	noModules   []bool // objects that look for something in modules, of which none could be had

	booted, done bool
	started      int            // objects that were begun: they come in order
	whole        map[int]bool   // objects of which this was told, or that they failed
	programs     []map[int]bool // programs, by object
	inserted     int            // modules that were told of
	last         string         // what was heard of last, for people
	logLines     int            // of logs that are kept; more may come, to be understood
	nonsense     int            // messages that were not taken
	kept         int            // bytes of logs and notes
	lines        int            // that were heard
	trying       bool           // the last that was heard is that a program was begun
	stop         error          // why the guest was ended
	lacking      []string       // why something of the plan has no answer
	untried      string         // why programs were not tried
	crashes      int            // of the process that loads objects
}

func newCollector(run *KernelRun, plan *guest.Plan, kernel string, objs []*relocate.Object, index []int, want *predictions) *collector {
	c := &collector{run: run, plan: plan, kernel: kernel, objs: objs, index: index, want: want, logLines: plan.LogLines, whole: make(map[int]bool)}
	for range objs {
		c.programs = append(c.programs, make(map[int]bool))
	}
	run.Objects, run.Programs = []Object{}, []Program{}
	return c
}

// line takes a line of results. Its error, errBabble or a *kernelError, ends the guest.
func (c *collector) line(b []byte) error {
	var m guest.Message
	err := json.Unmarshal(b, &m)
	if err == nil {
		err = c.take(&m)
	}
	if errors.As(err, new(*kernelError)) {
		c.stop = err
		return c.stop
	}
	if err != nil {
		c.run.Problems = append(c.run.Problems, bounded(err.Error()))
		c.nonsense++
	}
	if c.lines++; c.nonsense >= maxProblems || c.lines > c.most() {
		c.stop = errBabble
	}
	return c.stop
}

// most is how many lines a guest may say: one for each thing of its plan, and some that make no sense.
func (c *collector) most() int {
	n := 4 + len(c.plan.Modules) + maxProblems // booted, failed, the command, done
	for _, o := range c.objs {
		n += 3 + 2*len(o.Programs) // begun, whole, failed; of each program that it is begun, and what came out
	}
	return n
}

// take takes a message. An error says why it can't be one of this guest's.
func (c *collector) take(m *guest.Message) error {
	c.trying = false
	switch {
	case c.done:
		return fmt.Errorf("a result %q after the last", short(string(m.Kind)))
	case !c.booted && m.Kind != guest.Booted:
		return fmt.Errorf("a result %q before the guest has booted", short(string(m.Kind)))
	}
	switch m.Kind {
	case guest.Booted:
		return c.boot(m)
	case guest.Loaded:
		return c.module(m)
	case guest.Started, guest.Trying, guest.Whole, guest.Program:
		if m.Object < 0 || m.Object >= len(c.objs) {
			return fmt.Errorf("a result of object %d, and there are %d", m.Object, len(c.objs))
		}
	case guest.Ran:
		return c.command(m)
	case guest.Failed:
		return c.failed(m)
	case guest.Done:
		c.done = true
		return nil
	default:
		return fmt.Errorf("a result of an unknown kind %q", short(string(m.Kind)))
	}
	name := c.objs[m.Object].Name
	switch m.Kind {
	case guest.Trying:
		i := slices.IndexFunc(c.objs[m.Object].Programs, func(p *relocate.Program) bool { return p.Name == m.Name })
		if i < 0 || m.Object >= c.started || c.programs[m.Object][i] {
			return fmt.Errorf("a program %q of %s was begun out of turn", short(m.Name), name)
		}
		c.last, c.trying = "that it began with program "+m.Name+" of "+name, true
		return nil
	case guest.Started:
		if m.Object != c.started {
			return fmt.Errorf("object %d was begun out of turn", m.Object)
		}
		c.started++
		c.last = "begun " + name
		return nil
	case guest.Whole:
		if m.Object >= c.started || c.whole[m.Object] {
			return fmt.Errorf("a result of the whole object %d out of turn", m.Object)
		}
		if err := valid(m.Load, m.Attach); err != nil {
			return fmt.Errorf("object %s: %w", name, err)
		}
		c.whole[m.Object] = true
		if m.Load.Result == guest.NotTried {
			c.last = "that " + name + " was not tried"
			c.lacking = append(c.lacking, name+" was not tried: "+c.reason(m.Load))
			return nil
		}
		c.last = name + " as a whole"
		c.run.Objects = append(c.run.Objects, c.object(m))
		return nil
	}
	for i, p := range c.objs[m.Object].Programs {
		if p.Name != m.Name {
			continue
		}
		if m.Object >= c.started || c.programs[m.Object][i] {
			return fmt.Errorf("a result of program %s of %s out of turn", m.Name, name)
		}
		if err := valid(m.Load, m.Attach); err != nil {
			return fmt.Errorf("object %s, program %s: %w", name, m.Name, err)
		}
		if m.Load.Result == guest.NotTried {
			c.last = "that program " + m.Name + " of " + name + " was not tried"
			c.untried = c.reason(m.Load)
			return nil
		}
		c.programs[m.Object][i] = true
		c.last = "program " + m.Name + " of " + name
		c.run.Programs = append(c.run.Programs, c.program(m, i))
		return nil
	}
	return fmt.Errorf("a result of a program %q, which %s does not have", short(m.Name), name)
}

// valid checks outcomes.
func valid(loaded, attached *guest.Outcome) error {
	if loaded == nil {
		return errors.New("a result without a load")
	}
	for _, o := range []*guest.Outcome{loaded, attached} {
		if o == nil {
			continue
		}
		switch o.Result {
		case guest.OK, guest.Fail, guest.None, guest.NeedsTarget, guest.Hang, guest.Crash:
		case guest.NotTried:
			if o == attached {
				return errors.New("an attach that was not tried")
			}
		default:
			return fmt.Errorf("an unknown outcome %q", short(string(o.Result)))
		}
		if o.Errno < 0 || o.Errno > 4095 { // MAX_ERRNO of include/linux/err.h
			return fmt.Errorf("an errno %d, which is none", o.Errno)
		}
	}
	if loaded.Result == guest.None {
		return errors.New("a load that was not tried")
	}
	return nil
}

func (c *collector) boot(m *guest.Message) error {
	if c.booted || m.Boot == nil {
		return errors.New("a second word of having booted, or one that says nothing")
	}
	c.booted = true
	c.last = "that it has booted"
	c.run.Uname = bounded(m.Boot.Uname)
	for _, x := range []kernelError{{"the kernel", m.Boot.Uname, c.uname}, {"a kernel of the architecture", m.Boot.Arch, c.arch}} {
		if x.want != "" && x.got != x.want {
			x.got = short(x.got)
			return &x
		}
	}
	for _, n := range c.keep(m.Notes, maxProblems) {
		c.run.Problems = append(c.run.Problems, "the guest: "+n)
	}
	return nil
}

func (c *collector) module(m *guest.Message) error {
	if c.inserted >= len(c.plan.Modules) || m.Module != c.plan.Modules[c.inserted] {
		return fmt.Errorf("a result of a module %q out of turn", short(m.Module))
	}
	soft := c.inserted < len(c.soft) && c.soft[c.inserted]
	c.inserted++
	name := strings.TrimSuffix(path.Base(m.Module), ".ko")
	c.last = "module " + name
	if soft && m.Err != "" {
		return nil
	}
	c.run.Modules = append(c.run.Modules, Module{Name: name, Error: bounded(m.Err)})
	return nil
}

func (c *collector) command(m *guest.Message) error {
	if c.plan.Loader != guest.Command || c.run.Command != nil {
		return errors.New("a result of a command that was not asked for")
	}
	if m.Exit < -1 || m.Exit > 255 {
		return fmt.Errorf("a command that ends with status %d, which is none", m.Exit)
	}
	x := &Command{Args: c.plan.Command, Exit: m.Exit, Output: c.keep(m.Output, c.plan.LogLines), Error: bounded(m.Err),
		Predicted: compat.OK, Millis: millis(m.Millis)}
	if x.Exit == 0 && x.Error != "" {
		x.Exit = -1
	}
	if x.Exit < 0 && x.Error == "" {
		x.Error = "it has no status"
	}
	for _, i := range c.index {
		x.Predicted = worse(x.Predicted, c.want.object(i, c.kernel).verdict)
	}
	// A loader that chooses among programs may end well although the object as a whole would not load.
	// One that could not be started (126 and 127, as shells have it), was killed or had no time says nothing of the kernel.
	switch ok := x.Exit == 0; {
	case x.Exit < 0, x.Exit >= 126, x.Error != "":
	case x.Predicted == compat.Break && !ok, (x.Predicted == compat.OK || x.Predicted == compat.Warn) && ok:
		x.Agrees = new(bool)
		*x.Agrees = true
	case (x.Predicted == compat.OK || x.Predicted == compat.Warn) && !ok:
		x.Agrees = new(bool)
	}
	c.run.Command = x
	c.last = "the command"
	return nil
}

// worse is the worse of two verdicts: break, unknown, warn, ok.
func worse(a, b compat.Status) compat.Status {
	for _, s := range []compat.Status{compat.Break, compat.Unknown, compat.Warn} {
		if a == s || b == s {
			return s
		}
	}
	return compat.OK
}

func (c *collector) failed(m *guest.Message) error {
	text := bounded(m.Err)
	if m.Object < 0 {
		if c.run.Error != "" {
			return errors.New("a second word of having failed")
		}
		c.run.Error = "the guest: " + cmp.Or(text, "it failed")
		c.last = "that it failed"
		return nil
	}
	if m.Object >= c.started || c.whole[m.Object] {
		return fmt.Errorf("a failure of object %d out of turn", m.Object)
	}
	c.whole[m.Object] = true
	o := c.objs[m.Object]
	c.last = "that " + o.Name + " could not be worked on"
	c.lacking = append(c.lacking, o.Name+" could not be worked on: "+text)
	return nil
}

func (c *collector) object(m *guest.Message) Object {
	o := c.objs[m.Object]
	want := c.want.object(c.index[m.Object], c.kernel)
	x := Object{File: o.File, Object: o.Name, Load: LoadOK, PredictedLoad: want.load, Notes: c.keep(m.Notes, maxNotes), Millis: millis(m.Millis)}
	k := known{noConfig: c.noConfig}
	for i, p := range o.Programs {
		if p.Sec.Autoload {
			k.codes = append(k.codes, c.want.program(c.index[m.Object], i, c.kernel).codes...)
		}
	}
	attach := AttachNone
	switch r := m.Load.Result; {
	case r == guest.OK && m.Attach != nil:
		x.Attach, x.AttachErrno, x.AttachReason, x.Failure = c.failure(m.Attach, load.StageAttach, k, c.plan.ObjectTimeout/2)
		if x.Attach == AttachNeedsTarget {
			x.Attach = AttachNone
		}
	case r == guest.NeedsTarget:
		x.Load, x.Errno, x.Reason, x.NeedsTarget = LoadFail, eINVAL, c.reason(m.Load), true
		x.Failure = Failure{Stage: stageOf(m.Load.Stage, load.StageLoad)}
		attach = AttachNeedsTarget
	case r != guest.OK:
		x.Load = LoadFail
		_, x.Errno, x.Reason, x.Failure = c.failure(m.Load, load.StageLoad, k, c.plan.ObjectTimeout/2)
	}
	want.codes = k.codes
	x.Agrees = c.agree(m.Object, want, x.Load, attach, x.Class)
	return x
}

func (c *collector) program(m *guest.Message, index int) Program {
	o := c.objs[m.Object]
	p := o.Programs[index]
	want := c.want.program(c.index[m.Object], index, c.kernel)
	x := Program{File: o.File, Object: o.Name, Program: p.Name, Section: p.Section, Autoload: p.Sec.Autoload, Load: LoadOK, Attach: AttachNone,
		PredictedLoad: want.load, PredictedAttach: want.attach, PredictedVerdict: want.verdict, Codes: want.codes, ExpectedReason: want.reason,
		Notes: c.keep(m.Notes, maxNotes), Millis: millis(m.Millis)}
	k := known{hook: p.Sec.Hook, codes: want.codes, malformed: p.Sec.Err != "", noConfig: c.noConfig}
	switch r := m.Load.Result; {
	case r == guest.OK && m.Attach != nil:
		x.Attach, x.AttachErrno, x.AttachReason, x.Failure = c.failure(m.Attach, load.StageAttach, k, c.plan.ProgramTimeout)
	case r == guest.NeedsTarget:
		x.Load, x.LoadErrno, x.LoadReason, x.Attach = LoadFail, eINVAL, c.reason(m.Load), AttachNeedsTarget
		x.Failure = Failure{Stage: stageOf(m.Load.Stage, load.StageLoad)}
	case r != guest.OK:
		x.Load = LoadFail
		_, x.LoadErrno, x.LoadReason, x.Failure = c.failure(m.Load, load.StageLoad, k, c.plan.ProgramTimeout)
	}
	// A bpftool that does not attach leaves the load to compare, which is all that there is unless the attach decides.
	if c.plan.Loader == guest.LibBPF && m.Attach == nil && want.attach != compat.Break {
		want.attach = compat.None
	}
	x.Agrees = c.agree(m.Object, want, x.Load, x.Attach, x.Class)
	return x
}

// agree is the function agree for an object of the plan. What a guest without modules lacks may be in one of them.
func (c *collector) agree(object int, want prediction, gotLoad Load, gotAttach Attach, why Class) *bool {
	agrees := agree(want, gotLoad, gotAttach, why)
	if wrong(agrees) && (why == TargetMissing || why == ExternMissing) && object < len(c.noModules) && c.noModules[object] {
		return nil
	}
	return agrees
}

// reason is what an outcome says of itself.
func (c *collector) reason(o *guest.Outcome) string { return bounded(o.Reason) }

// failure is what an outcome comes to, as that of an attach; a load fails where it is not AttachOK.
func (c *collector) failure(o *guest.Outcome, asked load.Stage, k known, within time.Duration) (Attach, int, string, Failure) {
	switch o.Result {
	case guest.OK:
		return AttachOK, 0, "", Failure{}
	case guest.None:
		return AttachNone, 0, c.reason(o), Failure{}
	case guest.NeedsTarget:
		return AttachNeedsTarget, 0, c.reason(o), Failure{}
	case guest.Hang:
		return AttachFail, 0, fmt.Sprintf("hang: no answer within %v s", within.Seconds()), Failure{Stage: stageOf(o.Stage, asked), Class: Hang}
	case guest.Crash:
		c.crashes++
		return AttachFail, 0, c.reason(o), Failure{Stage: stageOf(o.Stage, asked), Class: LoaderCrash}
	}
	seen := observed{stage: stageOf(o.Stage, asked), errno: o.Errno, reason: c.reason(o), log: boundedAll(o.Log, c.plan.LogLines)}
	v := classify(seen, k)
	log := c.keep(seen.log, c.logLines)
	return AttachFail, o.Errno, reasonText(seen, v), Failure{Stage: seen.stage, Class: v.class, Rule: v.rule, Log: log,
		LogTruncated: o.Truncated || len(log) < len(o.Log)}
}

// notObserved notes the programs of the plan that nothing was heard of, where the loader tells of programs.
func (c *collector) notObserved() {
	if c.plan.Loader != guest.Own || !c.booted {
		return
	}
	for i, o := range c.objs {
		for j, p := range o.Programs {
			if !c.programs[i][j] {
				c.run.NotObserved = append(c.run.NotObserved, ProgramRef{File: o.File, Object: o.Name, Program: p.Name})
			}
		}
	}
}

// bounded cuts a text of the guest, and makes it UTF-8.
func bounded(s string) string {
	if len(s) > maxText {
		n := maxText
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n] + "…"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// short is a name that is none, for a message about it.
func short(s string) string { return bounded(s[:min(len(s), 64)]) }

// boundedAll keeps the last n lines of the guest.
func boundedAll(lines []string, n int) []string {
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	var out []string
	for _, l := range lines {
		out = append(out, bounded(l))
	}
	return out
}

// keep is boundedAll within what is kept of a guest at all.
func (c *collector) keep(lines []string, n int) []string {
	if c.kept > maxKept {
		return nil
	}
	out := boundedAll(lines, n)
	for _, l := range out {
		c.kept += len(l)
	}
	return out
}

// millis is a time that a guest measured, which is its own only: below a day.
func millis(n int64) int64 { return min(max(n, 0), (24 * time.Hour).Milliseconds()) }
