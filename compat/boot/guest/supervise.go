package guest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// worker is a process that does jobs.
type worker interface {
	jobs() io.Writer
	answers() io.Reader
	// kill ends the process and waits for that. It returns false where the process can't be ended: it sleeps in the kernel.
	kill() bool
	// last returns the last lines that the process wrote to its standard error.
	last() []string
}

const (
	maxStuck      = 4       // workers that could not be killed, before the guest gives up
	maxAnswer     = 1 << 20 // bytes
	hangForObject = "the time for the object was over"
)

// supervisor has the objects of a plan worked on, and tells what became of them.
type supervisor struct {
	plan  *Plan
	start func() (worker, error)
	send  func(Message)
	now   func() time.Time

	w       worker
	replies chan reply
	stuck   int
}

// reply is an answer, or why there will be none.
type reply struct {
	answer
	err error
}

// How a job can end without an answer.
var (
	errHang  = errors.New("no answer in time")
	errStuck = errors.New("too many processes hang in the kernel and can't be killed")
)

// crash is a worker's end that nobody asked for.
type crash struct{ last []string }

func (c *crash) Error() string {
	s := "the process that loads objects ended"
	for _, line := range c.last {
		// The first line of a Go program's crash says why; what follows are stacks.
		if strings.HasPrefix(line, "panic:") || strings.HasPrefix(line, "fatal error:") || strings.HasPrefix(line, "runtime:") {
			return s + ": " + line
		}
	}
	if n := len(c.last); n > 0 {
		s += ": " + c.last[n-1]
	}
	return s
}

// ask has a job done. What came before an error is returned with it.
func (s *supervisor) ask(j job, within time.Duration) (answer, error) {
	if s.w == nil {
		if s.stuck >= maxStuck {
			return answer{}, errStuck
		}
		w, err := s.start()
		if err != nil {
			return answer{}, fmt.Errorf("the process that loads objects can't be started: %w", err)
		}
		s.w, s.replies = w, make(chan reply, 8)
		go read(w.answers(), s.replies)
	}
	timer := time.NewTimer(max(within, time.Millisecond))
	defer timer.Stop()
	line, err := json.Marshal(j)
	if err != nil {
		return answer{}, err
	}
	// A worker that does not read is one that died, and the pipe tells; a job is smaller than a pipe's buffer.
	if _, err := s.w.jobs().Write(append(line, '\n')); err != nil {
		return answer{}, s.crashed()
	}
	var a answer
	for {
		select {
		case r := <-s.replies:
			if r.err != nil {
				return a, s.crashed()
			}
			if r.Err != "" && r.Next == "" {
				a.Err = r.Err // a panic: what was known before it stays
				return a, nil
			}
			if a = r.answer; a.Next == "" {
				return a, nil
			}
		case <-timer.C:
			s.stop()
			return a, errHang
		}
	}
}

// read hands answers over until there are no more.
func read(r io.Reader, to chan<- reply) {
	in := bufio.NewScanner(r)
	in.Buffer(nil, maxAnswer)
	for in.Scan() {
		var r reply
		r.err = json.Unmarshal(in.Bytes(), &r.answer)
		to <- r
		if r.err != nil {
			return
		}
	}
	err := in.Err()
	if err == nil {
		err = io.EOF
	}
	to <- reply{err: err}
}

func (s *supervisor) crashed() error {
	w := s.w
	s.stop()
	return &crash{w.last()}
}

// stop ends the worker; the next job gets a new one.
func (s *supervisor) stop() {
	if s.w == nil {
		return
	}
	if !s.w.kill() {
		s.stuck++
	}
	// Its reader ends with the pipe, or stays with a worker that can't be killed; nobody waits for it.
	go func(c chan reply) {
		for r := range c {
			if r.err != nil {
				return
			}
		}
	}(s.replies)
	s.w, s.replies = nil, nil
}

// run works on all objects.
func (s *supervisor) run() {
	for i := range s.plan.Objects {
		s.send(Message{Kind: Started, Object: i})
		if err := s.object(i); err != nil {
			s.send(Message{Kind: Failed, Object: i, Err: err.Error()})
		}
	}
	s.stop()
}

// object works on one object. Errors are for one of which nothing can be said.
func (s *supervisor) object(i int) error {
	begin := s.now()
	left := func() time.Duration { return s.plan.ObjectTimeout - s.now().Sub(begin) }
	ms := func(t time.Time) int64 { return s.now().Sub(t).Milliseconds() }
	j := job{Op: opOpen, Object: s.plan.Objects[i], LogLines: s.plan.LogLines}
	a, err := s.ask(j, left())
	if err == nil && a.Err != "" {
		err = errors.New(a.Err)
	}
	if err != nil {
		return fmt.Errorf("reading the object: %w", err)
	}
	programs := a.Programs

	// The whole object gets half of the time, so that a program in it that never comes back leaves some for the others.
	t := s.now()
	j.Op = opWhole
	a, err = s.ask(j, left()/2)
	a = settle(a, err)
	s.send(Message{Kind: Whole, Object: i, Load: a.Load, Attach: a.Attach, Notes: a.Notes, Millis: ms(t)})

	j.Op = opProgram
	for _, name := range programs {
		m := Message{Kind: Program, Object: i, Name: name}
		t := s.now()
		over := left() <= 0
		if !over {
			s.send(Message{Kind: Trying, Object: i, Name: name})
			j.Program = name
			given := min(left(), s.plan.ProgramTimeout)
			a, err := s.ask(j, given)
			// A program that only got what the others left over does not hang for want of more.
			over = errors.Is(err, errHang) && given < s.plan.ProgramTimeout
			a = settle(a, err)
			m.Load, m.Attach, m.Notes = a.Load, a.Attach, a.Notes
		}
		if over {
			m.Load, m.Attach, m.Notes = &Outcome{Result: NotTried, Reason: hangForObject}, nil, nil
		}
		m.Millis = ms(t)
		s.send(m)
	}
	return nil
}

// settle puts an answer that is not complete, and the reason, into outcomes. A crash or a hang belongs to the step that
// was under way; where no process is left to ask nothing was tried.
func settle(a answer, err error) answer {
	if err == nil && a.Err == "" {
		return a
	}
	o := &Outcome{Result: Crash, Reason: a.Err}
	switch {
	case errors.Is(err, errStuck):
		return answer{Load: &Outcome{Result: NotTried, Reason: err.Error()}}
	case errors.Is(err, errHang):
		o = &Outcome{Result: Hang, Reason: err.Error()}
	case err != nil:
		o.Reason = err.Error()
	}
	if a.Next != "" {
		o.Reason = a.Next + ": " + o.Reason
	}
	if a.Load == nil {
		a.Load = o
	} else {
		a.Attach = o
	}
	return a
}
