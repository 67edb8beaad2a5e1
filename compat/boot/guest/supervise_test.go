package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/relocate/load"
)

// fakeWorker works in this process, through the same lines of JSON as a real one.
type fakeWorker struct {
	in, out  *io.PipeWriter
	answersR *io.PipeReader
	killable bool
}

func (w *fakeWorker) jobs() io.Writer    { return w.in }
func (w *fakeWorker) answers() io.Reader { return w.answersR }
func (w *fakeWorker) last() []string     { return []string{"goroutine 1", "panic: told to", "more"} }
func (w *fakeWorker) kill() bool {
	w.in.Close()
	w.out.Close()
	return w.killable
}

// misbehave does what the program's name says.
func misbehave(programs []string, died chan struct{}) func(job, func(answer)) answer {
	return func(j job, tell func(answer)) answer {
		switch {
		case j.Op == opOpen && j.Object.Path == "unreadable":
			return answer{Err: "is no object"}
		case j.Op == opOpen:
			return answer{Programs: programs}
		case j.Op == opWhole && j.Object.Path == "hangs":
			select {}
		case j.Op == opWhole:
			return answer{Load: &Outcome{Result: OK}, Attach: &Outcome{Result: None}, Notes: []string{"a note"}}
		}
		loaded := answer{Load: &Outcome{Result: OK}, Next: "attaching"}
		switch j.Program {
		case "hang":
			select {}
		case "hang at attach":
			tell(loaded)
			select {}
		case "crash":
			close(died)
			select {}
		case "panic":
			panic("told to")
		case "panic at attach":
			tell(loaded)
			panic("told to")
		}
		loaded.Attach, loaded.Next = &Outcome{Result: OK}, ""
		return loaded
	}
}

// supervised runs a plan with workers that misbehave, and returns what is told.
func supervised(t *testing.T, plan *Plan, programs []string, killable bool) (messages []Message, started int) {
	t.Helper()
	announced := ""
	s := &supervisor{plan: plan, now: time.Now, send: func(m Message) {
		if m.Kind == Trying {
			announced = m.Name
			return
		}
		if m.Kind == Program && m.Load.Result != NotTried && announced != m.Name {
			t.Errorf("program %s was tried, and %q was announced", m.Name, announced)
		}
		announced = ""
		m.Millis = 0
		messages = append(messages, m)
	}}
	s.start = func() (worker, error) {
		started++
		jobsR, jobsW := io.Pipe()
		answersR, answersW := io.Pipe()
		died := make(chan struct{})
		go func() {
			<-died
			answersW.Close()
		}()
		go func() {
			_ = works(jobsR, answersW, misbehave(programs, died))
			answersW.Close()
		}()
		return &fakeWorker{in: jobsW, out: answersW, answersR: answersR, killable: killable}, nil
	}
	s.run()
	return messages, started
}

// brief is a message in a line.
func brief(m Message) string {
	s := fmt.Sprintf("%s %d", m.Kind, m.Object)
	if m.Name != "" {
		s += " " + m.Name
	}
	for _, o := range []*Outcome{m.Load, m.Attach} {
		if o != nil {
			reason, _, _ := strings.Cut(o.Reason, ": goroutine")
			s += fmt.Sprintf(" [%s %s]", o.Result, reason)
		}
	}
	if m.Err != "" {
		s += " " + m.Err
	}
	return s
}

// briefs are messages in lines, but for those that announce a program.
func briefs(messages []Message) (all []string) {
	for _, m := range messages {
		if m.Kind != Trying {
			all = append(all, brief(m))
		}
	}
	return all
}

func TestSupervisor(t *testing.T) {
	t.Parallel()
	plan := &Plan{
		Objects: []Object{{Path: "unreadable"}, {Path: "fine"}, {Path: "hangs"}},
		// The whole object may take half of the time.
		ObjectTimeout: 2 * time.Second, ProgramTimeout: 200 * time.Millisecond, LogLines: 10,
	}
	programs := []string{"one", "hang", "two", "hang at attach", "crash", "three", "panic", "panic at attach", "four"}
	got, started := supervised(t, plan, programs, true)
	of := func(i int) []string {
		return []string{
			fmt.Sprintf("program %d one [ok ] [ok ]", i),
			fmt.Sprintf("program %d hang [hang no answer in time]", i),
			fmt.Sprintf("program %d two [ok ] [ok ]", i),
			fmt.Sprintf("program %d hang at attach [ok ] [hang attaching: no answer in time]", i),
			fmt.Sprintf("program %d crash [crash the process that loads objects ended: panic: told to]", i),
			fmt.Sprintf("program %d three [ok ] [ok ]", i),
			fmt.Sprintf("program %d panic [crash panic: told to]", i),
			fmt.Sprintf("program %d panic at attach [ok ] [crash attaching: panic: told to]", i),
			fmt.Sprintf("program %d four [ok ] [ok ]", i),
		}
	}
	want := []string{"started 0", "failed 0 reading the object: is no object", "started 1", "object 1 [ok ] [none ]"}
	want = append(want, of(1)...)
	want = append(want, "started 2", "object 2 [hang no answer in time]")
	want = append(want, of(2)...)
	if !reflect.DeepEqual(briefs(got), want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(briefs(got), "\n"), strings.Join(want, "\n"))
	}
	// The first, and one after each hang or crash: three in each object that has programs, and that of the whole.
	if started != 8 {
		t.Errorf("%d workers were started, want 8", started)
	}
}

// When the time for the object is over, its programs are not tried, and the next object has its own. One that was given what the
// others left over, and did not end in that, is not said to hang.
func TestSupervisorObjectTimeout(t *testing.T) {
	t.Parallel()
	plan := &Plan{
		Objects: []Object{{Path: "fine"}, {Path: "fine"}}, ObjectTimeout: 300 * time.Millisecond, ProgramTimeout: 250 * time.Millisecond,
	}
	got, _ := supervised(t, plan, []string{"hang", "hang at attach", "one"}, true)
	for i := range plan.Objects {
		var all []string
		for _, m := range got {
			if m.Object == i {
				all = append(all, brief(m))
			}
		}
		want := []string{
			fmt.Sprintf("program %d hang [hang no answer in time]", i),
			fmt.Sprintf("program %d hang at attach [not_tried %s]", i, hangForObject),
			fmt.Sprintf("program %d one [not_tried %s]", i, hangForObject),
		}
		if len(all) != 5 || !reflect.DeepEqual(all[2:], want) {
			t.Errorf("got %q, want %q at its end", all, want)
		}
	}
}

// Workers that can't be killed are left, but not for ever more.
func TestSupervisorStuck(t *testing.T) {
	t.Parallel()
	plan := &Plan{Objects: []Object{{Path: "fine"}}, ObjectTimeout: time.Minute, ProgramTimeout: 10 * time.Millisecond}
	programs := make([]string, maxStuck+2)
	for i := range programs {
		programs[i] = "hang"
	}
	got, started := supervised(t, plan, programs, false)
	if started != maxStuck {
		t.Errorf("%d workers were started, want %d", started, maxStuck)
	}
	last := got[len(got)-1]
	if last.Load == nil || last.Load.Result != NotTried || last.Load.Reason != errStuck.Error() {
		t.Errorf("got %q, want that too many processes hang", brief(last))
	}
}

func TestSupervisorCannotStart(t *testing.T) {
	t.Parallel()
	var got []Message
	s := &supervisor{
		plan: &Plan{Objects: []Object{{}}, ObjectTimeout: time.Second}, now: time.Now,
		send:  func(m Message) { got = append(got, m) },
		start: func() (worker, error) { return nil, errors.New("no memory") },
	}
	s.run()
	if len(got) != 2 || got[1].Kind != Failed || !strings.Contains(got[1].Err, "no memory") {
		t.Errorf("got %q, want a failure", briefs(got))
	}
}

// What a worker writes is not believed: lines that are no answers, or too long, end it.
func TestReadAnswers(t *testing.T) {
	t.Parallel()
	for name, in := range map[string]string{
		"no JSON":  "hello\n",
		"too long": `{"error":"` + strings.Repeat("x", maxAnswer) + `"}` + "\n",
		"cut off":  `{"error":"`,
		"nothing":  "",
	} {
		to := make(chan reply, 4)
		read(strings.NewReader(in), to)
		if r := <-to; r.err == nil {
			t.Errorf("%s: got an answer: %+v", name, r.answer)
		}
	}
}

func TestOutcome(t *testing.T) {
	t.Parallel()
	log := []string{"one", "two", strings.Repeat("x", 2*maxLine)}
	for _, c := range []struct {
		err  error
		want Outcome
	}{
		{nil, Outcome{Result: OK}},
		{errors.New("odd"), Outcome{Result: Fail, Reason: "odd"}},
		{&load.Error{Stage: load.StageLoad, Program: "p", Errno: 22, Msg: "refused", Log: log[:2]},
			Outcome{Result: Fail, Stage: load.StageLoad, Errno: 22, Reason: "refused", Log: log[:2]}},
		{&load.Error{Stage: load.StageLoad, Program: "q", Msg: "refused", Log: log, Truncated: true},
			Outcome{Result: Fail, Stage: load.StageLoad, Reason: "program q: refused", Log: []string{"two", clip(log[2], maxLine)}, Truncated: true}},
		{&load.Error{Stage: load.StageMap, Map: "m", Errno: 1, Msg: "refused"},
			Outcome{Result: Fail, Stage: load.StageMap, Errno: 1, Reason: "map m: refused"}},
		{&load.Error{Stage: load.StageAttach, Program: "p", Msg: "who knows", Cause: load.ErrNeedsTarget},
			Outcome{Result: NeedsTarget, Stage: load.StageAttach, Reason: "who knows"}},
		{&load.Error{Stage: load.StageAttach, Program: "p", Msg: "by hand", Cause: load.ErrNotAttachable},
			Outcome{Result: None, Stage: load.StageAttach, Reason: "by hand"}},
	} {
		if got := outcome(c.err, "p", 2); !reflect.DeepEqual(*got, c.want) {
			t.Errorf("outcome(%v) = %+v, want %+v", c.err, *got, c.want)
		}
	}
}

// An object that can't be read is told at once, and read once only.
func TestLoaderOpen(t *testing.T) {
	t.Parallel()
	l := &loader{}
	if err := l.open("no such file"); err == nil {
		t.Fatal("a file that is missing was read")
	}
	if err := l.open("no such file"); err == nil {
		t.Error("the second time it was there")
	}
}

// A message has its fields in the line that the host reads.
func TestMessageJSON(t *testing.T) {
	t.Parallel()
	line, err := json.Marshal(Message{Kind: Program, Object: 0, Name: "p", Load: &Outcome{Result: Hang}})
	want := `{"kind":"program","object":0,"name":"p","load":{"result":"hang"}}`
	if err != nil || string(line) != want {
		t.Errorf("got %s, %v, want %s", line, err, want)
	}
}
