package boot

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/compat/boot/vm"
	"github.com/corecheck/corecheck/relocate"
	"github.com/corecheck/corecheck/relocate/load"
)

const testKernel = "debian/12/x86_64/6.1.0-50-cloud-amd64"

// testObject is an object with programs of these sections, named p0, p1, ….
func testObject(name string, sections ...string) *relocate.Object {
	o := &relocate.Object{File: name + ".bpf.o", Name: name}
	for i, s := range sections {
		o.Programs = append(o.Programs, &relocate.Program{Name: fmt.Sprintf("p%d", i), Section: s, Sec: relocate.ParseSection(s)})
	}
	return o
}

// testPredictions predicts the same of every program: load and attach, and a finding where one is not ok.
func testPredictions(load, attach compat.Status, objs ...*relocate.Object) *predictions {
	rep := &compat.Report{}
	for _, o := range objs {
		x := compat.ObjectReport{File: o.File, Name: o.Name, Results: []compat.ObjectResult{{Kernels: []string{testKernel}, Load: load, Verdict: load}}}
		for _, p := range o.Programs {
			r := compat.ProgramResult{Kernels: []string{testKernel}, Load: load, Attach: attach, Verdict: load}
			if load == compat.Break || load == compat.Unknown {
				r.Findings = []int{len(rep.Findings)}
				rep.Findings = append(rep.Findings, compat.Finding{Code: "CC020", Verdict: load, Message: "the kernel has no function " + p.Name})
			}
			x.Programs = append(x.Programs, compat.ProgramReport{Name: p.Name, Results: []compat.ProgramResult{r}})
		}
		rep.Objects = append(rep.Objects, x)
	}
	return newPredictions(rep)
}

// collected is what a collector makes of lines of results.
func collected(t *testing.T, plan *guest.Plan, want *predictions, objs []*relocate.Object, out *vm.Outcome, lines ...string) *KernelRun {
	t.Helper()
	if plan == nil {
		plan = &guest.Plan{Loader: guest.Own, LogLines: 8, ObjectTimeout: time.Minute, ProgramTimeout: 10 * time.Second}
	}
	var index []int
	for i := range objs {
		index = append(index, i)
		plan.Objects = append(plan.Objects, guest.Object{})
	}
	run := &KernelRun{Kernel: testKernel, Status: Failed}
	return collectedBy(newCollector(run, plan, testKernel, objs, index, want), out, lines...)
}

func collectedBy(c *collector, out *vm.Outcome, lines ...string) *KernelRun {
	var err error
	for _, l := range lines {
		if err = c.line([]byte(l)); err != nil {
			break
		}
	}
	c.end(out, err)
	return c.run
}

const bootedLine = `{"kind":"booted","object":0,"boot":{"uname":"6.1.0-50-cloud-amd64","arch":"x86_64","btf":true,"uptime_ms":900}}`

var poweredOff = &vm.Outcome{Ended: vm.PowerOff, Boot: 2900 * time.Millisecond, Ran: 5 * time.Second}

func TestCollect(t *testing.T) {
	t.Parallel()
	o := testObject("tool", "fentry/vfs_read", "kprobe/vfs_write", "fentry", "uprobe")
	run := collected(t, nil, testPredictions(compat.OK, compat.OK, o), []*relocate.Object{o}, poweredOff,
		bootedLine,
		`{"kind":"started","object":0}`,
		`{"kind":"object","object":0,"load":{"result":"needs_target","stage":"prog_load","reason":"no target"},"notes":["map m: 64 entries"]}`,
		`{"kind":"program","object":0,"name":"p0","load":{"result":"ok"},"attach":{"result":"fail","stage":"attach","errno":16,"reason":"attaching"}}`,
		`{"kind":"trying","object":0,"name":"p1"}`,
		`{"kind":"program","object":0,"name":"p1","load":{"result":"ok"},"attach":{"result":"ok"},"ms":12}`,
		`{"kind":"program","object":0,"name":"p2","load":{"result":"needs_target","stage":"prog_load","reason":"no target"}}`,
		`{"kind":"program","object":0,"name":"p3","load":{"result":"ok"},"attach":{"result":"needs_target","reason":"which process?"}}`,
		`{"kind":"done"}`)
	if run.Status != Booted || run.Error != "" || len(run.Problems) > 0 {
		t.Fatalf("status %s, error %q, problems %q", run.Status, run.Error, run.Problems)
	}
	if run.BootMillis != 2900 || run.Uname != "6.1.0-50-cloud-amd64" {
		t.Errorf("booted in %d ms as %q", run.BootMillis, run.Uname)
	}
	type row struct {
		load          Load
		loadErrno     int
		attach        Attach
		attachErrno   int
		agrees, class string
	}
	var got []row
	for _, p := range run.Programs {
		got = append(got, row{p.Load, p.LoadErrno, p.Attach, p.AttachErrno, word(p.Agrees), string(p.Class) + " " + p.Rule})
	}
	want := []row{
		{LoadOK, 0, AttachFail, 16, "false", "not_traceable CC021"},
		{LoadOK, 0, AttachOK, 0, "true", " "},
		{LoadFail, 22, AttachNeedsTarget, 0, "null", " "},
		{LoadOK, 0, AttachNeedsTarget, 0, "null", " "},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("programs:\n got %+v\nwant %+v", got, want)
	}
	if len(run.Objects) != 1 || run.Objects[0].Agrees != nil || run.Objects[0].Errno != 22 || len(run.Objects[0].Notes) != 1 {
		t.Errorf("objects: %+v", run.Objects)
	}
	if c := run.Count(); c != (Counts{Programs: 4, Agree: 1, Disagree: 1, NeedsTarget: 2, Breaks: 1}) {
		t.Errorf("counts: %+v", c)
	}
	rep := &Report{Runs: []KernelRun{*run}}
	if got := rep.ExitCode(); got != 1 {
		t.Errorf("exit code %d, want 1", got)
	}
}

func word(agrees *bool) string {
	b, _ := json.Marshal(agrees)
	return string(b)
}

func TestAgree(t *testing.T) {
	t.Parallel()
	const ok, brk, unknown, none = compat.OK, compat.Break, compat.Unknown, compat.None
	for _, tt := range []struct {
		load, attach compat.Status
		gotLoad      Load
		gotAttach    Attach
		want         string
	}{
		{ok, ok, LoadOK, AttachOK, "true"},
		{ok, ok, LoadOK, AttachFail, "false"},
		{ok, ok, LoadFail, AttachNone, "false"},
		{ok, ok, LoadOK, AttachNone, "null"}, // what was predicted was not looked at
		{ok, ok, LoadOK, AttachNeedsTarget, "null"},
		{ok, brk, LoadOK, AttachNone, "null"},
		{brk, ok, LoadOK, AttachNone, "false"},
		{brk, brk, LoadOK, AttachNeedsTarget, "false"},
		{brk, unknown, LoadFail, AttachNone, "true"},
		{ok, none, LoadOK, AttachNone, "true"},
		{ok, none, LoadOK, AttachNeedsTarget, "true"},
		{ok, ok, LoadFail, AttachNeedsTarget, "null"},
		{brk, ok, LoadFail, AttachNone, "true"},
		{brk, ok, LoadOK, AttachOK, "false"},
		{brk, ok, LoadFail, AttachNeedsTarget, "null"},
		{ok, brk, LoadOK, AttachFail, "true"},
		{ok, brk, LoadOK, AttachOK, "false"},
		{ok, brk, LoadFail, AttachNone, "false"},
		{unknown, ok, LoadOK, AttachOK, "null"},
		{unknown, ok, LoadFail, AttachNone, "null"},
		{unknown, ok, LoadOK, AttachFail, "false"},
		{ok, unknown, LoadOK, AttachOK, "null"},
		{ok, unknown, LoadOK, AttachFail, "null"},
		{ok, unknown, LoadOK, AttachNone, "null"},
		{ok, unknown, LoadFail, AttachNone, "false"},
		{ok, none, LoadOK, AttachOK, "true"},
		{ok, none, LoadOK, AttachFail, "true"},
		{unknown, none, LoadOK, AttachOK, "null"},
		{unknown, unknown, LoadOK, AttachOK, "null"},
	} {
		got := word(agree(prediction{load: tt.load, attach: tt.attach}, tt.gotLoad, tt.gotAttach, ""))
		if got != tt.want {
			t.Errorf("predicted %s, %s; observed %s, %s: %s, want %s", tt.load, tt.attach, tt.gotLoad, tt.gotAttach, got, tt.want)
		}
	}
}

// A guest that runs another kernel says nothing of the one that was asked for.
func TestCollectOtherKernel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ uname, arch, want string }{
		{"6.1.0-50-cloud-amd64", "x86_64", ""},
		{"", "", ""},
		{"6.1.0-51-cloud-amd64", "x86_64", `the guest runs the kernel "6.1.0-50-cloud-amd64", not "6.1.0-51-cloud-amd64"`},
		{"6.1.0-50-cloud-amd64", "arm64", `the guest runs a kernel of the architecture "x86_64", not "arm64"`},
	} {
		o := testObject("tool")
		c := newCollector(&KernelRun{}, &guest.Plan{Loader: guest.Own}, testKernel, []*relocate.Object{o}, []int{0}, testPredictions(compat.OK, compat.OK, o))
		c.uname, c.arch = tt.uname, tt.arch
		run := collectedBy(c, poweredOff, bootedLine, `{"kind":"started","object":0}`, `{"kind":"object","object":0,"load":{"result":"ok"}}`, `{"kind":"done"}`)
		if run.Error != tt.want || (run.Status == Failed) != (tt.want != "") {
			t.Errorf("%s, %s: status %s, error %q", tt.uname, tt.arch, run.Status, run.Error)
		}
	}
}

// What a guest lacks, and what a warning told before, is no wrong prediction.
func TestAgreeWhy(t *testing.T) {
	t.Parallel()
	want := prediction{load: compat.OK, attach: compat.OK}
	warned := prediction{load: compat.OK, attach: compat.OK, codes: []string{"CC010"}}
	for _, tt := range []struct {
		want prediction
		why  Class
		got  string
	}{
		{want, NoConfig, "null"},
		{want, Hang, "null"},
		{want, LoaderCrash, "null"},
		{want, OutOfMemory, "null"},
		{want, Permission, "null"},
		{prediction{load: compat.Break}, Hang, "null"},
		{want, Refused, "false"},
		{want, ExternMissing, "false"},
		{warned, Refused, "true"},
		{warned, Relocation, "false"},
	} {
		if got := word(agree(tt.want, LoadFail, AttachNone, tt.why)); got != tt.got {
			t.Errorf("a load that fails of %s, findings %q: %s, want %s", tt.why, tt.want.codes, got, tt.got)
		}
	}
	if got := word(agree(warned, LoadOK, AttachOK, "")); got != "true" {
		t.Errorf("a load that works, with a warning: %s", got)
	}
	if got := word(agree(want, LoadOK, AttachFail, Hang)); got != "null" {
		t.Errorf("an attach that hangs: %s", got)
	}
	if got := word(agree(prediction{load: compat.Break, attach: compat.OK}, LoadOK, AttachFail, Hang)); got != "false" {
		t.Errorf("an attach that hangs behind a load that was predicted to fail: %s", got)
	}
}

// A guest may be taken over by what it runs: nothing that it says stops the host, or counts for what it can't know.
func TestCollectHostile(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 3*maxText)
	for _, tt := range []struct {
		name     string
		lines    []string
		out      *vm.Outcome
		status   Status
		programs int
		problem  string // in one of the problems, or in the error
	}{
		{"nothing", nil, &vm.Outcome{Ended: vm.BootTimeout, ConsoleTail: []string{"Kernel panic"}}, Failed, 0, "did not get as far"},
		{"no outcome", nil, nil, Failed, 0, "the guest was ended"},
		{"no JSON", []string{bootedLine, `{"kind":`, `{"kind":"done"}`}, poweredOff, CutShort, 0, "unexpected end of JSON"},
		{"before booted", []string{`{"kind":"started","object":0}`}, poweredOff, Failed, 0, "before the guest has booted"},
		{"booted twice", []string{bootedLine, bootedLine}, poweredOff, CutShort, 0, "a second word of having booted"},
		{"after done", []string{bootedLine, `{"kind":"done"}`, `{"kind":"started","object":0}`}, poweredOff, CutShort, 0, "after the last"},
		{"program begun that is not there", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"trying","object":0,"name":"other"}`}, poweredOff, CutShort, 0,
			`a program "other" of tool was begun out of turn`},
		{"program begun before its object", []string{bootedLine, `{"kind":"trying","object":0,"name":"one"}`}, poweredOff, CutShort, 0, "out of turn"},
		{"unknown kind", []string{bootedLine, `{"kind":"\u001b[2J"}`}, poweredOff, CutShort, 0, "unknown kind"},
		{"object that is not there", []string{bootedLine, `{"kind":"started","object":7}`, `{"kind":"object","object":-1}`}, poweredOff, CutShort, 0, "object 7, and there are 1"},
		{"object out of turn", []string{bootedLine, `{"kind":"object","object":0,"load":{"result":"ok"}}`}, poweredOff, CutShort, 0, "out of turn"},
		{"program that is not there", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"program","object":0,"name":"` + long + `","load":{"result":"ok"}}`},
			poweredOff, CutShort, 0, "does not have"},
		{"program twice", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"program","object":0,"name":"p0","load":{"result":"ok"}}`,
			`{"kind":"program","object":0,"name":"p0","load":{"result":"fail"}}`}, poweredOff, CutShort, 1, "out of turn"},
		{"no load", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"program","object":0,"name":"p0"}`}, poweredOff, CutShort, 0, "without a load"},
		{"unknown outcome", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"program","object":0,"name":"p0","load":{"result":"fine"}}`},
			poweredOff, CutShort, 0, "unknown outcome"},
		{"no errno", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"program","object":0,"name":"p0","load":{"result":"fail","errno":-1}}`},
			poweredOff, CutShort, 0, "which is none"},
		{"huge", []string{bootedLine, `{"kind":"started","object":0}`,
			`{"kind":"program","object":0,"name":"p0","load":{"result":"fail","reason":"` + long + `","log":["` + strings.Repeat(long+`","`, 100) + `"]},"notes":["` + long + `"]}`},
			poweredOff, CutShort, 1, "last that was heard"},
		{"a command that was not asked for", []string{bootedLine, `{"kind":"command","exit":0}`}, poweredOff, CutShort, 0, "not asked for"},
		{"a module that was not asked for", []string{bootedLine, `{"kind":"module","module":"/x.ko"}`}, poweredOff, CutShort, 0, "out of turn"},
		{"panic", []string{bootedLine, `{"kind":"started","object":0}`}, &vm.Outcome{Ended: vm.Panic, Detail: "Oops", Oops: []string{"BUG: \x1b[2J"}}, CutShort, 0,
			"the kernel panicked: Oops; the last that was heard of it: begun tool"},
		{"babble", slicesOf(`{"kind":"x"}`, 100), &vm.Outcome{}, CutShort, 0, "make no sense"},
		{"no time", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"program","object":0,"name":"p0","load":{"result":"not_tried","reason":"late"}}`, `{"kind":"done"}`},
			poweredOff, CutShort, 0, "1 program not tried: late"},
		{"an attach that was not tried", []string{bootedLine, `{"kind":"started","object":0}`,
			`{"kind":"program","object":0,"name":"p0","load":{"result":"ok"},"attach":{"result":"not_tried"}}`}, poweredOff, CutShort, 0, "attach that was not tried"},
		{"no whole", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"program","object":0,"name":"p0","load":{"result":"ok"},"attach":{"result":"ok"}}`, `{"kind":"done"}`},
			poweredOff, CutShort, 1, "nothing was heard of tool as a whole"},
		{"a whole that was not tried", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"object","object":0,"load":{"result":"not_tried","reason":"late"}}`,
			`{"kind":"program","object":0,"name":"p0","load":{"result":"ok"},"attach":{"result":"ok"}}`, `{"kind":"done"}`}, poweredOff, CutShort, 1, "tool was not tried: late"},
		{"a crash", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"object","object":0,"load":{"result":"ok"}}`,
			`{"kind":"program","object":0,"name":"p0","load":{"result":"crash","reason":"panic"}}`, `{"kind":"done"}`}, poweredOff, CutShort, 1, "the process that loads objects failed 1 time"},
		{"nothing but done", []string{bootedLine, `{"kind":"done"}`}, poweredOff, CutShort, 0, "1 program not tried; nothing was heard of tool as a whole"},
		{"failed twice", []string{bootedLine, `{"kind":"failed","object":-1,"error":"x"}`, `{"kind":"failed","object":-1,"error":"x"}`, `{"kind":"done"}`},
			poweredOff, Failed, 0, "a second word of having failed"},
		{"endless", append([]string{bootedLine, `{"kind":"started","object":0}`}, slicesOf(`{"kind":"program","object":0,"name":"p0","load":{"result":"not_tried"}}`, 100)[1:]...),
			poweredOff, CutShort, 0, "make no sense"},
		{"the guest failed", []string{bootedLine, `{"kind":"failed","object":-1,"error":"no port"}`, `{"kind":"done"}`}, poweredOff, Failed, 0, "the guest: no port"},
		{"an object failed", []string{bootedLine, `{"kind":"started","object":0}`, `{"kind":"failed","object":0,"error":"damaged"}`, `{"kind":"done"}`},
			poweredOff, CutShort, 0, "tool could not be worked on: damaged"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := testObject("tool", "kprobe/vfs_read")
			run := collected(t, nil, testPredictions(compat.OK, compat.OK, o), []*relocate.Object{o}, tt.out, tt.lines...)
			if run.Status != tt.status || len(run.Programs) != tt.programs {
				t.Errorf("status %s with %d programs, want %s with %d", run.Status, len(run.Programs), tt.status, tt.programs)
			}
			all := strings.Join(append([]string{run.Error}, run.Problems...), "\n")
			if !strings.Contains(all, tt.problem) {
				t.Errorf("%q is not in %q", tt.problem, all)
			}
			if n := len(all); n > 64<<10 {
				t.Errorf("problems have %d bytes", n)
			}
			for _, p := range run.Programs {
				if len(p.LoadReason) > 2*maxText || len(p.Log) > 8 || len(p.Notes) > maxNotes {
					t.Errorf("program has %d bytes of reason, %d lines of log, %d notes", len(p.LoadReason), len(p.Log), len(p.Notes))
				}
			}
			rep := &Report{Runs: []KernelRun{*run}}
			if code := rep.ExitCode(); code == 0 {
				t.Errorf("exit code 0")
			}
			var buf bytes.Buffer
			if err := errors.Join(rep.WriteJSON(&buf), rep.WriteTable(&buf, compat.TableOptions{Verbose: true})); err != nil {
				t.Error(err)
			}
			if strings.Contains(buf.String(), "\x1b") {
				t.Errorf("an escape sequence came through:\n%s", buf.String())
			}
		})
	}
}

func slicesOf(line string, n int) []string {
	lines := []string{bootedLine}
	for range n {
		lines = append(lines, line)
	}
	return lines
}

// A kernel that did not boot counts for nothing, and is never fine.
func TestExitCode(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	agree := Program{Object: "o", Autoload: true, Load: LoadOK, Attach: AttachOK, Agrees: &yes}
	broken := Program{Object: "o", Autoload: true, Load: LoadFail, Attach: AttachNone, Agrees: &yes}
	optional := broken
	optional.Autoload = false
	wrong := Program{Object: "o", Load: LoadOK, Attach: AttachOK, Agrees: &no}
	open := Program{Object: "o", Load: LoadOK, Attach: AttachOK}
	booted := func(ps ...Program) KernelRun { return KernelRun{Status: Booted, Programs: ps} }
	failed := KernelRun{Status: Failed}
	for _, tt := range []struct {
		name string
		rep  Report
		want int
	}{
		{"no kernel", Report{}, 3},
		{"as predicted", Report{Runs: []KernelRun{booted(agree)}}, 0},
		{"left open", Report{Runs: []KernelRun{booted(agree, open)}}, 0},
		{"breaks as predicted", Report{Runs: []KernelRun{booted(agree, broken)}}, 1},
		{"breaks, and is not loaded by default", Report{Runs: []KernelRun{booted(agree, optional)}}, 0},
		{"wrong", Report{Runs: []KernelRun{booted(wrong)}}, 1},
		{"not booted", Report{Runs: []KernelRun{booted(agree), failed}}, 3},
		{"cut short", Report{Runs: []KernelRun{{Status: CutShort, Programs: []Program{agree}}}}, 3},
		{"not booted, and breaks elsewhere", Report{Runs: []KernelRun{booted(broken), failed}}, 1},
		{"unreadable", Report{Runs: []KernelRun{booted(wrong), failed}, Errors: []compat.InputError{{}}}, 2},
		{"the whole fails", Report{Runs: []KernelRun{{Status: Booted, Programs: []Program{agree}, Objects: []Object{{Object: "o", Load: LoadFail, Agrees: &yes}}}}}, 1},
		{"the whole needs a target", Report{Runs: []KernelRun{{Status: Booted, Programs: []Program{agree}, Objects: []Object{{Object: "o", Load: LoadFail, NeedsTarget: true}}}}}, 0},
		{"the whole is other than predicted", Report{Runs: []KernelRun{{Status: Booted, Programs: []Program{agree}, Objects: []Object{{Object: "o", Load: LoadOK, Agrees: &no}}}}}, 1},
		{"command", Report{Runs: []KernelRun{{Status: Booted, Command: &Command{Agrees: &yes}}}}, 0},
		{"command that was not run", Report{Runs: []KernelRun{{Status: Booted, Command: &Command{Exit: -1}}}}, 3},
		{"crash", Report{Runs: []KernelRun{{Status: CutShort, Programs: []Program{{Load: LoadFail, Autoload: true, Failure: Failure{Class: LoaderCrash}}}}}}, 3},
		{"command fails", Report{Runs: []KernelRun{{Status: Booted, Command: &Command{Exit: 3, Agrees: &yes}}}}, 1},
	} {
		if got := tt.rep.ExitCode(); got != tt.want {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.want)
		}
	}
}

// What the guest lacks says nothing of the kernel, and that libbpf does not open an object is what CC010 warns of.
func TestCollectNotTheKernel(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, load string
		codes      []string
		want       Counts

		noConfig, noModules bool
	}{
		{"no configuration", `"stage":"relocation","errno":22,"reason":"the kernel's configuration can't be read: no file"`, nil, Counts{Programs: 1, Unknown: 1}, true, false},
		{"a configuration that is there", `"stage":"relocation","errno":22,"reason":"the kernel's configuration can't be read: no file"`, nil,
			Counts{Programs: 1, Disagree: 1, Breaks: 1}, false, false},
		{"target that may be in a module", `"stage":"relocation","errno":3,"reason":"no such function"`, nil, Counts{Programs: 1, Unknown: 1}, false, true},
		{"target", `"stage":"relocation","errno":3,"reason":"no such function"`, nil, Counts{Programs: 1, Disagree: 1, Breaks: 1}, false, false},
		{"another option", `"stage":"relocation","errno":22,"reason":"extern CONFIG_X: there is no such value"`, nil, Counts{Programs: 1, Disagree: 1, Breaks: 1}, true, false},
		{"not opened, with a warning", `"stage":"open","errno":95,"reason":"legacy maps"`, []string{"CC010"}, Counts{Programs: 1, Agree: 1, Breaks: 1}, false, false},
		{"not opened", `"stage":"open","errno":95,"reason":"legacy maps"`, nil, Counts{Programs: 1, Disagree: 1, Breaks: 1}, false, false},
	} {
		o := testObject("tool", "kprobe/vfs_read")
		want := testPredictions(compat.OK, compat.OK, o)
		p := want.objects[0].programs[0][testKernel]
		p.codes = tt.codes
		want.objects[0].programs[0][testKernel] = p
		failed := `"load":{"result":"fail",` + tt.load + `}}`
		plan := &guest.Plan{Loader: guest.Own, Objects: []guest.Object{{}}}
		c := newCollector(&KernelRun{Kernel: testKernel}, plan, testKernel, []*relocate.Object{o}, []int{0}, want)
		c.noConfig, c.noModules = tt.noConfig, []bool{tt.noModules}
		run := collectedBy(c, poweredOff, bootedLine, `{"kind":"started","object":0}`,
			`{"kind":"object","object":0,`+failed, `{"kind":"program","object":0,"name":"p0",`+failed, `{"kind":"done"}`)
		if got := run.Count(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

func TestCollectCommand(t *testing.T) {
	t.Parallel()
	o := testObject("tool", "kprobe/vfs_read")
	for _, tt := range []struct {
		predicted compat.Status
		line      string
		exit      int
		agrees    string
	}{
		{compat.OK, `{"kind":"command","object":-1,"exit":0,"output":["fine"]}`, 0, "true"},
		{compat.Warn, `{"kind":"command","object":-1,"exit":0}`, 0, "true"},
		{compat.OK, `{"kind":"command","object":-1,"exit":1}`, 1, "false"},
		{compat.OK, `{"kind":"command","object":-1,"exit":0,"error":"it was ended"}`, -1, "null"},
		{compat.OK, `{"kind":"command","object":-1,"exit":-1,"error":"it can't be started"}`, -1, "null"},
		{compat.OK, `{"kind":"command","object":-1,"exit":127}`, 127, "null"},
		{compat.Break, `{"kind":"command","object":-1,"exit":139}`, 139, "null"},
		{compat.Break, `{"kind":"command","object":-1,"exit":1}`, 1, "true"},
		{compat.Break, `{"kind":"command","object":-1,"exit":0}`, 0, "null"}, // it may have left the program out
		{compat.Unknown, `{"kind":"command","object":-1,"exit":1}`, 1, "null"},
	} {
		plan := &guest.Plan{Loader: guest.Command, Command: []string{"/bin/tool", "-v"}, LogLines: 10}
		run := collected(t, plan, testPredictions(tt.predicted, compat.None, o), []*relocate.Object{o}, poweredOff, bootedLine, tt.line, `{"kind":"done"}`)
		if run.Status != Booted || run.Command == nil {
			t.Fatalf("%s: %s %q %q", tt.line, run.Status, run.Error, run.Problems)
		}
		if run.Command.Exit != tt.exit || word(run.Command.Agrees) != tt.agrees {
			t.Errorf("predicted %s, %s: exit %d, agrees %s; want %d, %s", tt.predicted, tt.line, run.Command.Exit, word(run.Command.Agrees), tt.exit, tt.agrees)
		}
	}
}

// Whatever a guest says, the collector ends with a run that can be shown and stays within its bounds.
func FuzzCollect(f *testing.F) {
	f.Add([]byte(bootedLine + "\n" + `{"kind":"started","object":0}` + "\n" + `{"kind":"object","object":0,"load":{"result":"ok"},"attach":{"result":"fail","errno":22}}` +
		"\n" + `{"kind":"program","object":0,"name":"p0","load":{"result":"hang"}}` + "\n" + `{"kind":"done"}`))
	f.Add([]byte(bootedLine + "\n" + `{"kind":"failed","object":-1,"error":"x"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		o := testObject("tool", "kprobe/vfs_read", "fentry")
		want := testPredictions(compat.Break, compat.OK, o)
		var lines []string
		for _, l := range bytes.Split(data, []byte("\n")) {
			lines = append(lines, string(l))
		}
		run := collected(t, nil, want, []*relocate.Object{o}, poweredOff, lines...)
		if len(run.Programs) > 2 || len(run.Objects) > 1 || len(run.Problems) > 2*maxProblems {
			t.Fatalf("%d programs, %d objects, %d problems", len(run.Programs), len(run.Objects), len(run.Problems))
		}
		for _, p := range run.Programs {
			if p.Breaks() != (p.Class != "" && p.Class != NoConfig && p.Class != LoaderCrash) {
				t.Fatalf("program %s breaks %v, class %q", p.Program, p.Breaks(), p.Class)
			}
		}
		rep := &Report{Kernels: []compat.KernelInfo{{ID: testKernel, Version: "6.1.176"}}, Runs: []KernelRun{*run}}
		var buf bytes.Buffer
		if err := errors.Join(rep.WriteJSON(&buf), rep.WriteTable(&buf, compat.TableOptions{Verbose: true})); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(buf.String(), "\x1b") {
			t.Fatal("an escape sequence came through")
		}
	})
}

// FuzzClassify: any log has a class, and the line that it names is one of its own.
func FuzzClassify(f *testing.F) {
	for _, tt := range failures {
		f.Add(string(tt.stage), tt.errno, tt.reason, tt.log)
	}
	f.Fuzz(func(t *testing.T, stage string, errno int, reason, log string) {
		o := observed{stage: stageOf(load.Stage(stage), load.StageLoad), errno: errno, reason: reason, log: strings.Split(log, "\n")}
		for _, hook := range []relocate.Hook{relocate.HookNone, relocate.HookBTFFunc, relocate.HookTracepoint} {
			v := classify(o, known{hook: hook})
			if v.class == "" || !strings.Contains(log, v.line) {
				t.Fatalf("class %q, line %q", v.class, v.line)
			}
			if reasonText(o, v) == "" {
				t.Fatal("no reason")
			}
		}
	})
}

// A bpftool that does not attach is compared by what it loads, unless the attach is what was predicted to break.
func TestCollectNotAttached(t *testing.T) {
	t.Parallel()
	const loads, attaches = `{"result":"ok"}`, `{"result":"ok"},"attach":{"result":"ok"}`
	const fails = `{"result":"fail","stage":"prog_load","errno":22}`
	for _, tt := range []struct {
		loader       guest.Loader
		load, attach compat.Status
		got, want    string
	}{
		{guest.LibBPF, compat.OK, compat.OK, loads, "true"},
		{guest.LibBPF, compat.OK, compat.Unknown, loads, "true"},
		{guest.LibBPF, compat.OK, compat.Break, loads, "null"},
		{guest.LibBPF, compat.Unknown, compat.OK, loads, "null"},
		{guest.LibBPF, compat.Break, compat.None, loads, "false"},
		{guest.LibBPF, compat.OK, compat.OK, fails, "false"},
		{guest.LibBPF, compat.OK, compat.OK, attaches, "true"},
		{guest.LibBPF, compat.OK, compat.Unknown, attaches, "null"},
		{guest.LibBPF, compat.OK, compat.Break, attaches, "false"},
		{guest.Own, compat.OK, compat.OK, loads, "null"},
	} {
		o := testObject("tool", "kprobe/vfs_read")
		plan := &guest.Plan{Loader: tt.loader, LogLines: 8, ObjectTimeout: time.Minute, ProgramTimeout: 10 * time.Second}
		run := collected(t, plan, testPredictions(tt.load, tt.attach, o), []*relocate.Object{o}, poweredOff,
			bootedLine, `{"kind":"started","object":0}`, `{"kind":"program","object":0,"name":"p0","load":`+tt.got+`}`, `{"kind":"done"}`)
		if len(run.Programs) != 1 || word(run.Programs[0].Agrees) != tt.want {
			t.Errorf("%s, predicted %s and %s, observed %s: %+v, want agrees %s", tt.loader, tt.load, tt.attach, tt.got, run.Programs, tt.want)
		}
	}
}
