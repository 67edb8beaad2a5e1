package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"

	"github.com/corecheck/corecheck/relocate"
	"github.com/corecheck/corecheck/relocate/load"
)

// Objects are worked on in a process of their own, the worker, so that one that crashes it or never comes back from the
// kernel costs that object or program only. Jobs go to it and answers come back as JSON, one value a line.

// op is what a job asks for.
type op string

const (
	opOpen    op = "open"    // read the object: answer.Programs
	opWhole   op = "whole"   // load it with its autoload programs: answer.Load; Attach of its struct_ops maps
	opProgram op = "program" // load one program alone, attach and detach it: answer.Load, answer.Attach
)

// job is one piece of work.
type job struct {
	Op       op     `json:"op"`
	Object   Object `json:"object"`
	Program  string `json:"program,omitempty"`
	LogLines int    `json:"log_lines"`
}

// answer is what became of a job. A job gives several: what is known is sent before each step that may not come back.
type answer struct {
	Programs []string `json:"programs,omitempty"`
	Load     *Outcome `json:"load,omitempty"`
	Attach   *Outcome `json:"attach,omitempty"`
	Notes    []string `json:"notes,omitempty"`
	Err      string   `json:"error,omitempty"`
	Next     string   `json:"next,omitempty"` // what is done now; "" when the job is done
}

// works answers jobs from r on w until r ends. do does one, and calls tell with answers before its last.
func works(r io.Reader, w io.Writer, do func(j job, tell func(answer)) answer) error {
	in, out := json.NewDecoder(bufio.NewReader(r)), json.NewEncoder(w)
	for {
		var j job
		if err := in.Decode(&j); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var failed error
		last := safely(func() answer {
			return do(j, func(a answer) {
				if err := out.Encode(a); err != nil && failed == nil {
					failed = err
				}
			})
		})
		if err := out.Encode(last); err != nil && failed == nil {
			failed = err
		}
		if failed != nil {
			return failed
		}
	}
}

// safely turns a panic into an answer.
func safely(f func() answer) (a answer) {
	defer func() {
		if p := recover(); p != nil {
			a = answer{Err: fmt.Sprintf("panic: %v: %s", p, clip(string(debug.Stack()), maxText))}
		}
	}()
	return f()
}

// loader does jobs with package load. It keeps the object that it read last with its maps, and what it learns of the kernel.
type loader struct {
	kernel  *load.Kernel
	path    string
	object  *relocate.Object
	session *load.Session // of object
	err     error         // why object is nil
}

func (l *loader) do(j job, tell func(answer)) answer {
	if l.kernel == nil {
		k, err := load.Host()
		if err != nil {
			return answer{Err: "the running kernel: " + err.Error()}
		}
		l.kernel = k
	}
	if err := l.open(j.Object.Path); err != nil {
		return answer{Err: err.Error()}
	}
	switch j.Op {
	case opOpen:
		a := answer{}
		for _, p := range l.object.Programs {
			a.Programs = append(a.Programs, p.Name)
		}
		return a
	case opWhole:
		return l.whole(j, tell)
	case opProgram:
		return l.program(j, tell)
	}
	return answer{Err: fmt.Sprintf("unknown job %q", j.Op)}
}

func (l *loader) open(path string) error {
	if path == l.path {
		return l.err
	}
	if l.session != nil {
		_ = l.session.Close() // maps of an object that is done with
	}
	l.path, l.object, l.session, l.err = path, nil, nil, nil
	objs, err := relocate.Open(path)
	switch {
	case err != nil:
		l.err = err
	case len(objs) != 1:
		l.err = fmt.Errorf("%s holds %d objects, want 1", path, len(objs))
	default:
		l.object = objs[0]
		l.session = load.NewSession(l.object, l.kernel)
	}
	return l.err
}

func (l *loader) whole(j job, tell func(answer)) answer {
	loaded, err := l.session.Load(load.Options{Targets: j.Object.Targets})
	a := answer{Load: outcome(err, "", j.LogLines)}
	if err != nil {
		return a
	}
	defer loaded.Close()
	a.Notes = boundNotes(loaded.Notes())
	if !hasStructOps(l.object) {
		return a
	}
	a.Next = "attaching its struct_ops maps"
	tell(a)
	c, err := loaded.AttachMaps()
	a.Attach = outcome(err, "", j.LogLines)
	if err == nil {
		a.Next = "detaching its struct_ops maps"
		tell(a)
		err = c.Close()
		if err != nil {
			a.Notes = append(a.Notes, "detaching failed: "+err.Error())
		}
	}
	a.Next = ""
	return a
}

func hasStructOps(obj *relocate.Object) bool {
	for _, m := range obj.Maps {
		if m.StructOps != "" && m.Autoload {
			return true
		}
	}
	return false
}

func (l *loader) program(j job, tell func(answer)) answer {
	loaded, err := l.session.Load(load.Options{Programs: []string{j.Program}, Targets: j.Object.Targets})
	a := answer{Load: outcome(err, j.Program, j.LogLines)}
	if err != nil {
		return a
	}
	defer loaded.Close()
	a.Notes = boundNotes(loaded.Notes())
	a.Next = "attaching"
	tell(a)
	c, err := loaded.Attach(j.Program)
	a.Attach = outcome(err, j.Program, j.LogLines)
	if err == nil {
		a.Next = "detaching"
		tell(a)
		if err := c.Close(); err != nil {
			a.Notes = append(a.Notes, "detaching failed: "+err.Error())
		}
	}
	a.Next = ""
	return a
}

// outcome says what became of a load or an attach of a program; "" stands for the whole object.
func outcome(err error, program string, logLines int) *Outcome {
	if err == nil {
		return &Outcome{Result: OK}
	}
	o := &Outcome{Result: Fail, Reason: err.Error()}
	var e *load.Error
	if errors.As(err, &e) {
		o.Stage, o.Errno, o.Reason = e.Stage, int(e.Errno), e.Msg
		if e.Map != "" {
			o.Reason = "map " + e.Map + ": " + o.Reason
		}
		if e.Program != "" && e.Program != program {
			o.Reason = "program " + e.Program + ": " + o.Reason
		}
		o.Log, o.Truncated = lastLines(e.Log, logLines)
		o.Truncated = o.Truncated || e.Truncated
	}
	switch {
	case errors.Is(err, load.ErrNeedsTarget):
		o.Result = NeedsTarget
	case errors.Is(err, load.ErrNotAttachable):
		o.Result = None
	}
	o.Reason = clip(o.Reason, maxText)
	return o
}
