package vm

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
	"time"
)

// pipeTime is how long what a program wrote may take to arrive after its end. Only a child that it left behind, and
// that holds its pipes, could keep them open longer.
const pipeTime = 5 * time.Second

// process is a program that was started.
type process struct {
	cmd   *exec.Cmd
	ended chan error // gets the result, once

	mu   sync.Mutex
	done bool
}

// errStart is a program that could not be started.
type errStart struct{ error }

func (e errStart) Unwrap() error { return e.error }

// start starts a program, in a process group of its own, that the operating system ends with this one where it can. An
// error of starting comes out of ended.
//
// Linux sends a child its PR_SET_PDEATHSIG when the thread ends that made it, not the process (prctl(2)). So one
// goroutine keeps the thread from the start to the end of the child.
func start(cmd *exec.Cmd) *process {
	p := &process{cmd: cmd, ended: make(chan error, 1)}
	started := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		isolate(cmd)
		err := cmd.Start()
		close(started)
		if err != nil {
			p.ended <- errStart{err}
			return
		}
		err = cmd.Wait()
		p.mu.Lock()
		p.done = true // the number may be another process's from now on
		p.mu.Unlock()
		p.ended <- err
	}()
	<-started
	return p
}

// kill ends the program and what it has started, if it runs.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd.Process != nil && !p.done {
		killGroup(p.cmd.Process)
	}
}

// couldNotStart tells whether a result of a process is that it never ran.
func couldNotStart(err error) bool {
	var e errStart
	return errors.As(err, &e)
}
