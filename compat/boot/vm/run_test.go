//go:build linux

package vm

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	t.Parallel()
	stop := errors.New("enough")
	for _, c := range []struct {
		name    string
		do      string
		machine Machine
		stopAt  string // line at which the line function returns stop
		want    Outcome
		lines   string
		err     string
	}{
		{name: "power off", do: "boot hello virtio wait half off", want: Outcome{Ended: PowerOff, Lines: 3}, lines: "half"},
		{name: "does not end after power off", do: "hello off hang", want: Outcome{Ended: PowerOff, Lines: 1}, lines: "hello"},
		{name: "panic", do: "hello panic", want: Outcome{Ended: Panic, Lines: 1, Detail: "out of ideas"}, lines: "hello"},
		{name: "does not end after a panic", do: "panic hang", want: Outcome{Ended: Panic, Detail: "out of ideas"}},
		{name: "oops", do: "hello oops off", want: Outcome{Ended: PowerOff, Lines: 1, Oops: []string{
			"[    1.000000] BUG: kernel NULL pointer dereference, address: 0", "[    1.0] RIP: 0010:bad+0x1/0x2"}}, lines: "hello"},
		{name: "restart", do: "hello restart", want: Outcome{Ended: Reset, Lines: 1}, lines: "hello"},
		{name: "triple fault", do: "boot hello", want: Outcome{Ended: Reset, Lines: 1,
			Detail: "the processor was reset without a word of the kernel"}, lines: "hello"},
		{name: "no word at all", do: "hang", machine: Machine{BootTimeout: time.Second}, want: Outcome{Ended: BootTimeout,
			Detail: "no word from the guest within 1s, nor on its console ttyS0: the image may be of another architecture, or have no driver for it"}},
		{name: "no results", do: "boot stderr hang", machine: Machine{BootTimeout: time.Second}, want: Outcome{Ended: BootTimeout,
			Detail: "no word from the guest within 1s; QEMU says: qemu: something is wrong"}},
		{name: "silent", do: "hello wait hello hang", machine: Machine{Silence: func() time.Duration { return time.Second }}, want: Outcome{Ended: Silent, Lines: 2,
			Detail: "no word from the guest for 1s"}, lines: "hello"},
		{name: "too long", do: "hello hang", machine: Machine{Timeout: time.Second}, want: Outcome{Ended: Timeout, Lines: 1,
			Detail: "not done within 1s"}, lines: "hello"},
		{name: "killed", do: "hello segv", want: Outcome{Ended: Crashed, Lines: 1,
			Detail: "QEMU ended with signal: killed: out of memory?"}, lines: "hello"},
		{name: "gives up", do: "hello stderr fail", want: Outcome{Ended: Crashed, Lines: 1,
			Detail: "QEMU ended with exit status 1; QEMU says: qemu: something is wrong"}, lines: "hello"},
		{name: "refuses", do: "stderr fail", err: "does not run this machine: exit status 1: qemu: something is wrong"},
		{name: "stopped", do: "hello hang", stopAt: "hello", want: Outcome{Ended: Stopped, Lines: 1}, lines: "hello", err: "enough"},
		{name: "long line", do: "longline hello off", want: Outcome{Ended: PowerOff, Lines: 2, LongLines: 1}, lines: "hello"},
		{name: "many lines", do: "lines off", want: Outcome{Ended: PowerOff, Lines: 100000}, lines: "99999"},
		{name: "flooded console", do: "hello flood panic", want: Outcome{Ended: Panic, Lines: 1, ConsoleCut: true, Detail: "out of ideas"}, lines: "hello"},
		{name: "no disk space", do: "hello boot hang", machine: Machine{Console: "/dev/full"}, err: "the console's log: write /dev/full: no space left on device"},
		{name: "no folder", do: "off", machine: Machine{Console: "/nowhere/at/all"}, err: "the console's log: open /nowhere/at/all"},
		{name: "no kernel", do: "off", machine: Machine{Kernel: "/nowhere/at/all"}, err: "stat /nowhere/at/all"},
		{name: "no file", do: "off", machine: Machine{Initramfs: "/"}, err: "/ is no regular file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			q, m := fake(t, c.do), c.machine
			if m.Kernel == "" {
				m.Kernel = q.Binary
			}
			if m.Initramfs == "" {
				m.Initramfs = q.Binary
			}
			console := filepath.Join(t.TempDir(), "console")
			if m.Console == "" {
				m.Console = console
			}
			last := ""
			out, err := q.Run(context.Background(), m, func(line []byte) error {
				if last = string(line); c.stopAt != "" && last == c.stopAt {
					return stop
				}
				if len(line) > MaxLine {
					t.Errorf("a line of %d bytes", len(line))
				}
				return nil
			})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want …%s…", err, c.err)
				}
				if (out != nil) != (c.want.Ended != "") {
					t.Fatalf("outcome %+v", out)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			if out == nil {
				return
			}
			if out.Ended != c.want.Ended || out.Lines != c.want.Lines || out.LongLines != c.want.LongLines ||
				out.ConsoleCut != c.want.ConsoleCut || out.Detail != c.want.Detail || strings.Join(out.Oops, "\n") != strings.Join(c.want.Oops, "\n") {
				t.Errorf("got %+v\nwant %+v", *out, c.want)
			}
			if last != c.lines {
				t.Errorf("last line %.50q, want %q", last, c.lines)
			}
			if (out.Boot > 0) != (out.Lines > 0) || out.Ran < out.Boot {
				t.Errorf("boot %v, ran %v", out.Boot, out.Ran)
			}
			info, err := os.Stat(console)
			if err != nil {
				t.Fatal(err)
			}
			if info.Size() > MaxConsole+int64(len(cutMark)) || out.ConsoleCut && info.Size() < MaxConsole {
				t.Errorf("console of %d bytes", info.Size())
			}
			if len(out.ConsoleTail) > tailLines {
				t.Errorf("%d lines of console", len(out.ConsoleTail))
			}
		})
	}
}

// A context that ends takes QEMU and all that it has started with it.
func TestCancel(t *testing.T) {
	t.Parallel()
	q := fake(t, "pid child hang")
	why := errors.New("interrupted")
	ctx, cancel := context.WithCancelCause(context.Background())
	var pids []string
	out, err := q.Run(ctx, Machine{Kernel: q.Binary, Initramfs: q.Binary}, func(line []byte) error {
		if pids = append(pids, string(line)); len(pids) == 2 {
			cancel(why)
		}
		return nil
	})
	if !errors.Is(err, why) || out != nil {
		t.Errorf("outcome %+v, error %v", out, err)
	}
	if len(pids) != 2 {
		t.Fatalf("lines %q", pids)
	}
	for _, pid := range pids {
		gone(t, pid)
	}
	if _, err := q.Run(ctx, Machine{Kernel: q.Binary, Initramfs: q.Binary}, nil); !errors.Is(err, why) {
		t.Errorf("in a context that has ended: %v", err)
	}
}

// A child that QEMU leaves behind with its pipes open does not keep a run from ending.
func TestChildLeftBehind(t *testing.T) {
	t.Parallel()
	q := fake(t, "child off")
	pid := ""
	out, err := q.Run(context.Background(), Machine{Kernel: q.Binary, Initramfs: q.Binary}, func(line []byte) error {
		pid = string(line)
		return nil
	})
	if err != nil || out.Ended != PowerOff || out.Ran > time.Minute {
		t.Errorf("%+v, %v", out, err)
	}
	if n, err := strconv.Atoi(pid); err == nil {
		if p, err := os.FindProcess(n); err == nil {
			_ = p.Kill()
		}
	}
}

// A corecheck that is killed takes its QEMU with it.
func TestKilled(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), parentEnv+"="+fake(t, "pid hang").Binary)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	pid, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if _, err := strconv.Atoi(strings.TrimSpace(pid)); err != nil {
		t.Fatalf("%q is no process", pid)
	}
	gone(t, strings.TrimSpace(pid))
}

func TestCannotStart(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "qemu")
	if err := os.WriteFile(file, []byte("no program"), 0o600); err != nil {
		t.Fatal(err)
	}
	q := &QEMU{Binary: file, Arch: "x86_64"}
	if _, err := q.Run(context.Background(), Machine{Kernel: file, Initramfs: file}, nil); err == nil || !strings.Contains(err.Error(), "can't be started") {
		t.Errorf("error %v", err)
	}
	q.Arch = "vax"
	if _, err := q.Run(context.Background(), Machine{}, nil); err == nil {
		t.Error("a vax was run")
	}
}

func TestOopsWords(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"[    2.1] BUG: kernel NULL pointer dereference, address: 0000000000000008":               true,
		"[    2.1] Oops: double fault: 0000 [#1] PREEMPT SMP NOPTI":                               true,
		"[    2.1] Oops: general protection fault, probably for non-canonical address 0xdead":     true,
		"[    2.1] general protection fault, maybe for address 0xdead: 0000 [#1] SMP":             true,
		"[    2.1] kernel BUG at lib/list_debug.c:32!":                                            true,
		"[    2.1] RIP: 0010:__kmalloc_noprof+0x130/0x400":                                        true,
		"[    2.1] RIP: 0033:0x408a8e":                                                            false, // of a program
		"[    2.1] WARNING: CPU: 0 PID: 1 at kernel/bpf/verifier.c:1 check+0x1/0x2":               true,
		"[    2.1] WARNING: kernel/bpf/verifier.c:123 at check+0x1/0x2, CPU#0: init/1":            true,
		"[    2.1] Unable to handle kernel paging request at virtual address 0000000000001000":    true,
		"[    2.1] Unable to handle kernel pointer dereference in virtual kernel address space":   true,
		"[    2.1] Internal error: Oops: 0000000096000004 [#1] SMP":                               true,
		"[    2.1] watchdog: BUG: soft lockup - CPU#0 stuck for 26s! [init:1]":                    true,
		"[    2.1] rcu: INFO: rcu_sched self-detected stall on CPU":                               true,
		"[    2.1] INFO: task init:1 blocked for more than 120 seconds.":                          true,
		"[    0.0] ..MP-BIOS bug: 8254 timer not connected to IO-APIC":                            false,
		"[    0.8] acpi PNP0A03:00: fail to add MMCONFIG information, can't access extended conf": false,
		"[    1.6] reboot: Power down":                                                            false,
	} {
		if got := oopsWords.MatchString(line); got != want {
			t.Errorf("%q: %v", line, got)
		}
	}
}
