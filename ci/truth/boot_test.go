package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/corecheck/corecheck/compat/boot"
)

const demoObject = root + "/testdata/demo/blkstate.bpf.o"

// corecheck builds the program as users have it, and picks a kernel that CI boots anyway.
func corecheck(t *testing.T) (program, kernel string) {
	t.Helper()
	if testing.Short() {
		t.Skip("boots a kernel, which takes a while: not with -short")
	}
	if runtime.GOOS != "linux" || runtime.GOARCH != "amd64" {
		t.Skip("the kernel that the test boots is for amd64, and this is " + runtime.GOOS + "/" + runtime.GOARCH)
	}
	if _, err := exec.LookPath("qemu-system-x86_64"); err != nil {
		t.Skip("qemu-system-x86_64 is not installed")
	}
	program = filepath.Join(t.TempDir(), "corecheck")
	build := exec.Command("go", "build", "-o", program, root+"/cmd/corecheck")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	some, err := choose(embedded(t), suites(t), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range some {
		if k.Arch == "x86_64" && strings.HasPrefix(k.Version.String(), "6.12.") {
			return program, k.ID
		}
	}
	t.Fatal("CI boots no 6.12")
	return "", ""
}

func bootCommand(program, kernel string, args ...string) *exec.Cmd {
	return exec.Command(program, append([]string{"boot", demoObject, "--no-archive", "--kernels", "id:" + kernel}, args...)...)
}

// The demo, as a user sees it: the table for people, and the JSON that says the same.
func TestBootDemo(t *testing.T) {
	program, kernel := corecheck(t)
	cmd := bootCommand(program, kernel, "-o", "json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	rep := new(boot.Report)
	if json.Unmarshal(stdout.Bytes(), rep) != nil || len(rep.Runs) != 1 {
		t.Fatalf("%v, no report of one kernel:\n%s%s", err, stdout.String(), stderr.String())
	}
	run := &rep.Runs[0]
	if run.Status == boot.Failed && notFetched(run.Error) {
		t.Skipf("apt can't download the kernel: %s", run.Error)
	}
	exit := new(exec.ExitError)
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v, want exit status 1: the demo is of programs that break\n%s", err, stderr.String())
	}
	if run.Status != boot.Booted || run.Kernel != kernel || run.BootMillis <= 0 || run.Accel != "tcg" && run.Accel != "kvm" || !strings.HasSuffix(kernel, "/"+run.Uname) {
		t.Fatalf("kernel %s, status %s, booted in %d ms with %q, uname %s: %s", run.Kernel, run.Status, run.BootMillis, run.Accel, run.Uname, run.Error)
	}
	if len(run.Programs) != 10 || len(run.Objects) != 1 {
		t.Errorf("%d programs, %d objects, want 10 and 1", len(run.Programs), len(run.Objects))
	}
	want := map[string]string{ // on every 6.12: what the comments in blkstate.bpf.c say
		"issue": "ok ok", "complete": "fail none", "wait_begin": "fail none", "wait_end": "ok ok", "dirtied": "ok fail",
		"submit": "fail none", "queue": "ok ok", "dequeue": "ok ok", "dump": "ok ok", "reset": "ok none",
	}
	for _, p := range run.Programs {
		if got := string(p.Load) + " " + string(p.Attach); got != want[p.Program] {
			t.Errorf("%s: %s, want %s: %s %s", p.Program, got, want[p.Program], p.LoadReason, p.AttachReason)
		}
		if p.Agrees != nil && !*p.Agrees {
			t.Errorf("%s: predicted %s %s, observed %s %s", p.Program, p.PredictedLoad, p.PredictedAttach, p.Load, p.Attach)
		}
	}
	if _, err := os.Stat(run.Console); err != nil {
		t.Errorf("the console's log: %v", err)
	}

	cmd = bootCommand(program, kernel)
	out, err := cmd.CombinedOutput()
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v, want exit status 1\n%s", err, out)
	}
	c := run.Count()
	line := regexp.MustCompile(fmt.Sprintf(`(?m)^%s +[0-9.]+ s %s +%d +%d +%d +%d +%d$`, regexp.QuoteMeta(kernel), run.Accel, c.Programs, c.Agree, c.Wrong(), c.Unknown, c.NeedsTarget))
	if !line.Match(out) {
		t.Errorf("the table has no line %s:\n%s", line, out)
	}
	for _, want := range []string{"Breaks as predicted", "blkstate complete", "relocation CC002", "blkstate dirtied", "CC027"} {
		if !bytes.Contains(out, []byte(want)) {
			t.Errorf("the table says nothing of %s:\n%s", want, out)
		}
	}
}

// parent reads the parent of a process and its name, as /proc/PID/stat has them.
func parent(pid int) (ppid int, name string) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, ""
	}
	// The name stands in brackets, and may hold some itself.
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if open < 0 || end < open {
		return 0, ""
	}
	rest := strings.Fields(string(text[end+1:]))
	if len(rest) < 2 {
		return 0, ""
	}
	ppid, _ = strconv.Atoi(rest[1])
	return ppid, string(text[open+1 : end])
}

// below lists the processes that descend from pid, with their names.
func below(t *testing.T, pid int) map[int]string {
	t.Helper()
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[int]string)
	for _, e := range entries {
		id, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		_, name := parent(id)
		for p := id; p > 1; {
			up, _ := parent(p)
			if up == pid {
				out[id] = name
				break
			}
			p = up
		}
	}
	return out
}

// Ctrl-C in the middle of a guest's work leaves no process and no file.
func TestBootInterrupted(t *testing.T) {
	program, kernel := corecheck(t)
	tmp := t.TempDir()
	cmd := bootCommand(program, kernel)
	cmd.Env = append(os.Environ(), "TMPDIR="+tmp)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // as a shell does
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	var children map[int]string
	guest := false
	for deadline := time.Now().Add(5 * time.Minute); !guest; time.Sleep(100 * time.Millisecond) {
		select {
		case err := <-ended:
			if notFetched(out.String()) {
				t.Skipf("apt can't download the kernel: %s", out.String())
			}
			t.Fatalf("ended before a guest was seen: %v\n%s", err, out.String())
		default:
		}
		if time.Now().After(deadline) {
			syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
			t.Fatalf("no guest was seen\n%s", out.String())
		}
		children = below(t, cmd.Process.Pid)
		for _, name := range children {
			guest = guest || strings.HasPrefix(name, "qemu-system")
		}
	}
	time.Sleep(time.Second) // it is in the middle of booting
	children = below(t, cmd.Process.Pid)
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("exit status 0")
		}
	case <-time.After(20 * time.Second):
		syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		t.Fatal("it goes on for 20 s")
	}
	for pid, name := range children {
		if _, now := parent(pid); now == name {
			t.Errorf("process %d, %s, is still there", pid, name)
			syscall.Kill(pid, syscall.SIGKILL)
		}
	}
	left, err := os.ReadDir(tmp)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range left {
		t.Errorf("%s is left behind", e.Name())
	}
}
