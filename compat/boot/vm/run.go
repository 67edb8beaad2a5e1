package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	defaultMemoryMB    = 1024
	defaultBootTimeout = 60 * time.Second
	// endTime is how long a guest may take from its last word ("Power down", or a panic) to the end of QEMU.
	endTime = 5 * time.Second

	tailLines   = 30
	maxOops     = 64
	maxKeptLine = 512 // bytes of a console's line that are looked at and kept
	cutMark     = "\n[corecheck: what came after this was dropped]\n"
)

// Words of the kernel on its console.
//
// Sources, all of Linux v6.12: panic() in kernel/panic.c, kernel_power_off() and kernel_restart() in kernel/reboot.c.
const (
	panicWords   = "Kernel panic - not syncing"
	offWords     = "reboot: Power down"
	restartWords = "reboot: Restarting system"
)

// oopsWords are how the kernel begins to report a fault of its own, and where in its code that was. Warnings of newer
// kernels begin with the place and not with the processor.
//
// Sources, all of Linux v6.12: arch/x86/mm/fault.c, arch/x86/kernel/traps.c, arch/arm64/mm/fault.c,
// arch/arm64/kernel/traps.c, arch/s390/mm/fault.c, include/asm-generic/bug.h, kernel/watchdog.c, kernel/hung_task.c,
// kernel/rcu/tree_stall.h.
var oopsWords = regexp.MustCompile(`BUG: |\bOops\b|general protection fault|[Uu]nable to handle kernel|Internal error: |` +
	`kernel BUG at|WARNING: (CPU|possible|suspicious|\S+:\d+ at )|INFO: task .* blocked|self-detected stall|detected stalls|` +
	`KASAN: |\b[RE]IP: 0010:|\bpc : |Krnl PSW`)

// Run boots a machine, and calls line with each line of results, without its end; the bytes are line's for the call
// only. It returns when the guest has ended. An error of line ends the guest, and is returned beside the outcome. Other
// errors are for runs that say nothing of the kernel: ctx ended, QEMU could not be started or refused the machine, the
// console's log could not be written; Outcome is nil then.
func (q *QEMU) Run(ctx context.Context, m Machine, line func([]byte) error) (*Outcome, error) {
	if machines[q.Arch] == nil {
		return nil, fmt.Errorf("no guests of architecture %q", q.Arch)
	}
	if m.MemoryMB == 0 {
		m.MemoryMB = defaultMemoryMB
	}
	if m.CPUs == 0 {
		m.CPUs = 1
	}
	if m.BootTimeout == 0 {
		m.BootTimeout = defaultBootTimeout
	}
	for _, file := range []string{m.Kernel, m.Initramfs} {
		if info, err := os.Stat(file); err != nil {
			return nil, err
		} else if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is no regular file", file)
		}
	}
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	r := &run{m: &m, arch: machines[q.Arch], line: line, wake: make(chan struct{}, 1)}
	r.consoleLog = io.Discard
	if m.Console != "" {
		f, err := os.OpenFile(m.Console, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
		if err != nil {
			return nil, fmt.Errorf("the console's log: %w", err)
		}
		defer f.Close()
		r.consoleLog = f
	}
	return r.do(ctx, exec.Command(q.Binary, q.args(&m)...))
}

// run is a guest that runs.
type run struct {
	m          *Machine
	arch       *machine
	consoleLog io.Writer
	wake       chan struct{} // something below has changed that the watch must know of

	calls sync.Mutex // held while line is called: there are two ports
	line  func([]byte) error

	mu           sync.Mutex // for all below
	started      time.Time
	last         time.Time // of the last line of results
	out          Outcome
	consoleBytes int64
	panicked     time.Time
	panicText    string
	off          time.Time // the kernel said that it switches off
	restarting   bool
	lineErr      error
	logErr       error
}

// do runs QEMU and watches it.
func (r *run) do(ctx context.Context, cmd *exec.Cmd) (*Outcome, error) {
	var readers [channels]*os.File
	defer func() {
		for _, f := range readers {
			if f != nil {
				f.Close()
			}
		}
	}()
	for i := range readers {
		read, write, err := os.Pipe()
		if err != nil {
			return nil, err
		}
		defer write.Close() // again, after it was closed below: without effect
		readers[i] = read
		cmd.ExtraFiles = append(cmd.ExtraFiles, write)
	}
	said := &head{max: maxSaid}
	cmd.Stdout, cmd.Stderr, cmd.Env, cmd.WaitDelay = said, said, environment(), pipeTime
	r.started = time.Now()
	p := start(cmd)
	for _, f := range cmd.ExtraFiles {
		f.Close() // QEMU has the only ones now, and their end is its end
	}
	var readAll sync.WaitGroup
	readAll.Go(func() { r.readConsole(readers[consoleChannel]) })
	readAll.Go(func() { r.readResults(readers[virtioChannel]) })
	readAll.Go(func() { r.readResults(readers[serialChannel]) })

	ended, err := r.watch(ctx, p)
	for _, f := range readers { // what is in the pipes is there already
		_ = f.SetReadDeadline(time.Now().Add(pipeTime))
	}
	readAll.Wait()
	return r.judge(ctx, ended, err, cmd, strings.TrimSpace(said.String()))
}

// watch waits for the end of QEMU, and brings it about when it is time. ended is what the watch has put an end to, ""
// if QEMU ended by itself.
func (r *run) watch(ctx context.Context, p *process) (ended Ended, err error) {
	for {
		at, why := r.deadline()
		wait := time.Until(at)
		if why == "" {
			wait = time.Hour
		} else if wait <= 0 {
			p.kill()
			return why, <-p.ended
		}
		timer := time.NewTimer(wait)
		select {
		case err := <-p.ended:
			timer.Stop()
			return "", err
		case <-ctx.Done():
			timer.Stop()
			p.kill()
			return Stopped, <-p.ended
		case <-r.wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// deadline is when the guest is to be ended if nothing happens until then, and why; "" for never.
func (r *run) deadline() (at time.Time, why Ended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	earlier := func(from time.Time, after time.Duration, reason Ended) {
		if t := from.Add(after); why == "" || t.Before(at) {
			at, why = t, reason
		}
	}
	if r.lineErr != nil || r.logErr != nil {
		return time.Now(), Stopped
	}
	if r.out.Lines == 0 {
		earlier(r.started, r.m.BootTimeout, BootTimeout)
	} else if limit := r.silence(); limit > 0 {
		earlier(r.last, limit, Silent)
	}
	if r.m.Timeout > 0 {
		earlier(r.started, r.m.Timeout, Timeout)
	}
	if !r.panicked.IsZero() {
		earlier(r.panicked, endTime, Panic)
	}
	if !r.off.IsZero() {
		earlier(r.off, endTime, PowerOff)
	}
	return at, why
}

// silence is how long the guest may say nothing now; 0 is no limit.
func (r *run) silence() time.Duration {
	if r.m.Silence == nil {
		return 0
	}
	return r.m.Silence()
}

func (r *run) wakeUp() {
	select {
	case r.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// judge makes an outcome of how the run ended.
func (r *run) judge(ctx context.Context, ended Ended, err error, cmd *exec.Cmd, said string) (*Outcome, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := &r.out
	out.Ran = time.Since(r.started)
	name := cmd.Path
	switch {
	case couldNotStart(err):
		return nil, fmt.Errorf("%s can't be started: %w", name, err)
	case r.logErr != nil:
		return nil, fmt.Errorf("the console's log: %w", r.logErr)
	case r.lineErr != nil:
		out.Ended = Stopped
		return out, r.lineErr
	case ended == Stopped:
		return nil, context.Cause(ctx)
	case ended == "" && err != nil && out.Lines == 0 && r.consoleBytes == 0 && signalOf(err) == 0:
		return nil, fmt.Errorf("%s does not run this machine: %s%s", name, exitText(err), because([]byte(said)))
	}
	out.Ended = ended
	switch {
	case !r.panicked.IsZero():
		out.Ended = Panic
	case ended != "":
	case err != nil:
		out.Ended = Crashed
	case r.restarting, r.off.IsZero() && r.arch.resetsWithoutKernelWord:
		out.Ended = Reset
	default:
		out.Ended = PowerOff
	}
	out.Detail = r.detail(err, said)
	return out, nil
}

// detail says what the end alone does not.
func (r *run) detail(err error, said string) string {
	var s string
	switch r.out.Ended {
	case PowerOff, Stopped:
		return ""
	case Panic:
		s = r.panicText
	case BootTimeout:
		s = fmt.Sprintf("no word from the guest within %v", r.m.BootTimeout)
		if r.consoleBytes == 0 {
			s += fmt.Sprintf(", nor on its console %s: the image may be of another architecture, or have no driver for it", r.arch.consoleTTY)
		}
	case Silent:
		s = fmt.Sprintf("no word from the guest for %v", r.silence())
	case Timeout:
		s = fmt.Sprintf("not done within %v", r.m.Timeout)
	case Reset:
		if !r.restarting {
			s = "the processor was reset without a word of the kernel"
		}
	case Crashed:
		s = "QEMU ended with " + exitText(err)
		if signalOf(err) == syscall.SIGKILL {
			s += ": out of memory?"
		}
	}
	if said != "" {
		s += "; QEMU says" + because([]byte(said))
	}
	return strings.TrimPrefix(s, "; ")
}

// signalOf is the signal that killed a process, 0 if none did.
func signalOf(err error) syscall.Signal {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return status.Signal()
		}
	}
	return 0
}

// readConsole keeps the console's log and looks for the kernel's words in it.
func (r *run) readConsole(f *os.File) {
	buf := make([]byte, 64<<10)
	var line []byte
	for {
		n, err := f.Read(buf)
		b := buf[:n]
		r.keepConsole(b)
		for len(b) > 0 {
			part, rest, complete := bytes.Cut(b, []byte("\n"))
			line = append(line, part[:min(len(part), maxKeptLine-len(line))]...)
			if b = rest; complete {
				r.consoleLine(string(bytes.TrimRight(line, "\r")))
				line = line[:0]
			}
		}
		if err != nil {
			if len(line) > 0 {
				r.consoleLine(string(bytes.TrimRight(line, "\r")))
			}
			return
		}
	}
}

// keepConsole writes to the log what there is room for. After an error nothing more is written: the run ends.
func (r *run) keepConsole(b []byte) {
	if len(b) == 0 {
		return
	}
	r.mu.Lock()
	had := r.consoleBytes
	r.consoleBytes += int64(len(b))
	stop := r.logErr != nil || r.out.ConsoleCut
	cut := had+int64(len(b)) > MaxConsole
	r.out.ConsoleCut = r.out.ConsoleCut || cut
	r.mu.Unlock()
	if stop {
		return
	}
	if cut {
		b = append(bytes.Clone(b[:MaxConsole-had]), cutMark...)
	}
	if _, err := r.consoleLog.Write(b); err != nil {
		r.mu.Lock()
		r.logErr = err
		r.mu.Unlock()
		r.wakeUp()
	}
}

func (r *run) consoleLine(line string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	tail := r.out.ConsoleTail
	if len(tail) == tailLines {
		copy(tail, tail[1:])
		tail = tail[:tailLines-1]
	}
	r.out.ConsoleTail = append(tail, line)
	if len(r.out.Oops) < maxOops && oopsWords.MatchString(line) {
		r.out.Oops = append(r.out.Oops, line)
	}
	switch {
	case strings.Contains(line, panicWords) && r.panicked.IsZero():
		_, words, _ := strings.Cut(line, panicWords)
		r.panicked, r.panicText = time.Now(), strings.TrimLeft(words, ": ")
	case strings.Contains(line, offWords) && r.off.IsZero():
		r.off = time.Now()
	case strings.Contains(line, restartWords):
		r.restarting = true
	default:
		return
	}
	r.wakeUp()
}

// readResults hands on the lines of a port. A last line without an end is handed on, too.
func (r *run) readResults(f *os.File) {
	buf := make([]byte, 64<<10)
	var line []byte
	long := false
	hand := func() {
		r.result(bytes.TrimRight(line, "\r"), long)
		line, long = line[:0], false
	}
	for {
		n, err := f.Read(buf)
		b := buf[:n]
		for len(b) > 0 {
			part, rest, complete := bytes.Cut(b, []byte("\n"))
			room := MaxLine - len(line)
			long = long || len(part) > room
			line = append(line, part[:min(len(part), room)]...)
			if b = rest; complete {
				hand()
			}
		}
		if err != nil {
			if len(line) > 0 {
				hand()
			}
			return
		}
	}
}

func (r *run) result(line []byte, long bool) {
	r.calls.Lock()
	defer r.calls.Unlock()
	r.mu.Lock()
	r.last = time.Now()
	if r.out.Lines == 0 {
		r.out.Boot = r.last.Sub(r.started)
	}
	r.out.Lines++
	if long {
		r.out.LongLines++
	}
	stop := r.lineErr != nil
	r.mu.Unlock()
	if stop {
		return
	}
	err := r.line(line)
	defer r.wakeUp() // a line may end the time to boot, and change how long silence may last
	if err != nil {
		r.mu.Lock()
		r.lineErr = err
		r.mu.Unlock()
	}
}

// Slots is how many guests of memoryMB megabytes can run at once: by processors and free memory, at least 1.
func Slots(memoryMB int) int {
	// GOMAXPROCS is the processors that this process may use, by affinity and by the limits of its cgroup (Go 1.25 and
	// newer).
	return slots(os.DirFS("/"), runtime.GOMAXPROCS(0), memoryMB)
}
