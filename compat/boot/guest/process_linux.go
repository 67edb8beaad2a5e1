package guest

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// searchPath is PATH in a guest.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/corecheck/bin"

// killWait is how long a process that was killed may take to end. One that sleeps in the kernel never does.
const killWait = 5 * time.Second

// family are the processes that init started. As init it is the parent of every orphan, too, and buries them.
type family struct {
	self []string   // the command of a worker
	mu   sync.Mutex // also held from a process's start to its place in own
	own  map[int]bool
}

func newFamily(self ...string) *family { return &family{self: self, own: map[int]bool{}} }

// start starts a command, and returns what is closed when it has ended.
func (f *family) start(cmd *exec.Cmd) (<-chan struct{}, error) {
	// Its own group, so that what it started ends with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = time.Second // for output, where something it started has that still open
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	pid, done := cmd.Process.Pid, make(chan struct{})
	f.own[pid] = true
	go func() {
		_ = cmd.Wait() // ProcessState has it
		f.mu.Lock()
		delete(f.own, pid)
		f.mu.Unlock()
		close(done)
	}()
	return done, nil
}

// end kills a command and all that it started. It returns false where it does not end.
func end(cmd *exec.Cmd, done <-chan struct{}) bool {
	_ = unix.Kill(-cmd.Process.Pid, unix.SIGKILL)
	select {
	case <-done:
		return true
	case <-time.After(killWait):
		return false
	}
}

// reap waits for orphans, without end. Children of ours are left to those who wait for them.
func (f *family) reap() {
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGCHLD)
	for range ended {
		for f.reapOne() {
		}
	}
}

// reapOne waits for one process that has ended, and tells whether there was one.
func (f *family) reapOne() bool {
	var info unix.Siginfo
	err := unix.Waitid(unix.P_ALL, 0, &info, unix.WEXITED|unix.WNOHANG|unix.WNOWAIT, nil)
	if err != nil {
		return false
	}
	// si_pid, to which x/sys gives no name, is the first field of siginfo_t's union: at 16 where pointers have 64 bits
	// (include/uapi/asm-generic/siginfo.h of Linux). 0: nobody has ended.
	pid := int(*(*int32)(unsafe.Add(unsafe.Pointer(&info), 16)))
	if pid == 0 {
		return false
	}
	f.mu.Lock()
	own := f.own[pid]
	f.mu.Unlock()
	if own {
		time.Sleep(time.Millisecond) // whoever started it is about to take it
		return true
	}
	_, err = unix.Wait4(pid, nil, unix.WNOHANG, nil)
	return err == nil
}

// process is a worker.
type process struct {
	cmd   *exec.Cmd
	done  <-chan struct{}
	in    *os.File // jobs
	out   *os.File // answers
	error *tail
}

// worker starts a process that does jobs.
func (f *family) worker() (worker, error) {
	jobsIn, jobsOut, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answersIn, answersOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, jobsIn.Close(), jobsOut.Close())
	}
	p := &process{cmd: exec.Command(f.self[0], f.self[1:]...), in: jobsOut, out: answersIn, error: &tail{}}
	p.cmd.ExtraFiles = []*os.File{jobsIn, answersOut}
	p.cmd.Stdout, p.cmd.Stderr = p.error, p.error
	p.done, err = f.start(p.cmd)
	// The other ends are the worker's: with ours open its end would not be seen.
	err = errors.Join(err, jobsIn.Close(), answersOut.Close())
	if err != nil {
		return nil, errors.Join(err, jobsOut.Close(), answersIn.Close())
	}
	return p, nil
}

func (p *process) jobs() io.Writer    { return p.in }
func (p *process) answers() io.Reader { return p.out }

// last is called after kill: the status of a process that ended by itself, or was ended by the kernel for want of
// memory, comes last.
func (p *process) last() []string {
	lines := p.error.lines()
	select {
	case <-p.done:
		lines = append(lines, p.cmd.ProcessState.String())
	default:
	}
	return lines
}

func (p *process) kill() bool {
	p.in.Close()
	defer p.out.Close()
	return end(p.cmd, p.done)
}

// command runs a program of the user's or bpftool, and keeps the end of what it prints.
func (f *family) command(ctx context.Context, argv []string) (ran, error) {
	out := &tail{}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.Dir = "/"
	done, err := f.start(cmd)
	if err != nil {
		return ran{}, err
	}
	r := ran{}
	select {
	case <-done:
	case <-ctx.Done():
		r.hang = true
		if !end(cmd, done) {
			r.lines = out.lines()
			return r, nil
		}
	}
	r.lines = out.lines()
	if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok {
		r.exit = ws.ExitStatus()
		if ws.Signaled() {
			r.exit = 128 + int(ws.Signal())
		}
	}
	return r, nil
}
