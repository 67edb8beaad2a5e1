package guest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// testRole names what the test binary does when a test starts it again.
const testRole = "CORECHECK_GUEST_TEST"

func TestMain(m *testing.M) {
	switch os.Getenv(testRole) {
	case "worker":
		died := make(chan struct{})
		go func() {
			<-died
			panic("told to")
		}()
		err := works(os.NewFile(3, "jobs"), os.NewFile(4, "answers"), misbehave([]string{"one", "hang", "crash", "two"}, died))
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	case "reaper":
		os.Exit(reaper())
	}
	os.Exit(m.Run())
}

// again is a command that starts the test binary in a role.
func again(role string) []string { return []string{"/usr/bin/env", testRole + "=" + role, os.Args[0]} }

// A real process that hangs or crashes is killed, or buried, and followed by another.
func TestWorkerProcess(t *testing.T) {
	t.Parallel()
	f := newFamily(again("worker")...)
	var got []Message
	s := &supervisor{
		plan:  &Plan{Objects: []Object{{Path: "fine"}}, ObjectTimeout: time.Minute, ProgramTimeout: 3 * time.Second},
		start: f.worker, send: func(m Message) { got = append(got, m) }, now: time.Now,
	}
	s.run()
	want := []string{
		"started 0", "object 0 [ok ] [none ]", "program 0 one [ok ] [ok ]", "program 0 hang [hang no answer in time]",
		"program 0 crash [crash the process that loads objects ended: panic: told to]", "program 0 two [ok ] [ok ]",
	}
	if !reflect.DeepEqual(briefs(got), want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(briefs(got), "\n"), strings.Join(want, "\n"))
	}
	if len(f.own) != 0 || s.stuck != 0 {
		t.Errorf("%d processes are left, %d could not be killed", len(f.own), s.stuck)
	}
}

func TestCommand(t *testing.T) {
	t.Parallel()
	f := newFamily()
	for _, c := range []struct {
		script string
		want   ran
	}{
		{"echo one; echo two >&2; exit 3", ran{exit: 3, lines: []string{"one", "two"}}},
		{"kill -9 $$", ran{exit: 137}},
		{"true", ran{}},
		// What it leaves behind has its output open, and goes with it.
		{"echo here; sleep 1000 & sleep 1000", ran{exit: 137, lines: []string{"here"}, hang: true}},
	} {
		within := time.Minute
		if c.want.hang {
			within = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(context.Background(), within)
		got, err := f.command(ctx, []string{"/bin/sh", "-c", c.script})
		cancel()
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %+v, %v, want %+v", c.script, got, err, c.want)
		}
	}
	if _, err := f.command(context.Background(), []string{"/no/such/program"}); err == nil {
		t.Error("a program that is not there was run")
	}
}

func TestRunCommand(t *testing.T) {
	t.Parallel()
	f := newFamily()
	for _, c := range []struct {
		command []string
		want    Message
	}{
		{nil, Message{Kind: Failed, Object: -1, Err: "the plan has no command"}},
		{[]string{"/bin/sh", "-c", "echo yes; exit 2"}, Message{Kind: Ran, Object: -1, Exit: 2, Output: []string{"yes"}}},
		{[]string{"/bin/sleep", "100"}, Message{Kind: Ran, Object: -1, Exit: 137, Err: "it was ended after 2s"}},
	} {
		var got []Message
		runCommand(&Plan{Command: c.command, ObjectTimeout: 2 * time.Second}, f.command, func(m Message) {
			m.Millis = 0
			got = append(got, m)
		})
		if len(got) != 1 || !reflect.DeepEqual(got[0], c.want) {
			t.Errorf("%q: got %+v, want %+v", c.command, got, c.want)
		}
	}
}

// reaper becomes the parent of orphans, as init is, has one made, and tells by its exit status whether it was buried,
// while a child of its own kept its status.
func reaper() int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fail(err)
	}
	f := newFamily()
	go f.reap()
	for range 20 {
		r, err := f.command(context.Background(), []string{"/bin/sh", "-c", "sleep 0.01 & exit 5"})
		if err != nil {
			return fail(err)
		}
		if r.exit != 5 {
			return fail(fmt.Errorf("a child's status is %d, want 5", r.exit))
		}
	}
	for range 500 {
		time.Sleep(10 * time.Millisecond)
		if _, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err == unix.ECHILD {
			return 0
		}
	}
	return fail(fmt.Errorf("orphans are left"))
}

func TestReap(t *testing.T) {
	t.Parallel()
	argv := again("reaper")
	if out, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}

func TestWanted(t *testing.T) {
	t.Parallel()
	if Wanted() {
		t.Error("this is no guest")
	}
}

func TestOpenPort(t *testing.T) {
	t.Parallel()
	if _, err := openPort(nil, 0); err == nil {
		t.Error("no port, no error")
	}
	_, err := openPort([]string{"/no/such/port", "/no/other"}, 50*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "/no/such/port") || !strings.Contains(err.Error(), "/no/other") {
		t.Errorf("got %v, want that neither opens", err)
	}
	// One that appears while it is waited for.
	name := t.TempDir() + "/port"
	go func() {
		time.Sleep(100 * time.Millisecond)
		_ = os.WriteFile(name, nil, 0o600)
	}()
	f, err := openPort([]string{name}, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
}

// A terminal passes bytes as they are.
func TestOpenRaw(t *testing.T) {
	t.Parallel()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer master.Close()
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	port, err := openRaw(fmt.Sprintf("/dev/pts/%d", n))
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	const line = "{\"kind\":\"done\"}\n\x04\x11\x13"
	if _, err := port.WriteString(line); err != nil {
		t.Fatal(err)
	}
	drain(port)
	buf := make([]byte, 100)
	got, err := master.Read(buf)
	if err != nil || string(buf[:got]) != line {
		t.Errorf("got %q, %v, want %q", buf[:got], err, line)
	}
}

func TestReadPlan(t *testing.T) {
	t.Parallel()
	name := t.TempDir() + "/plan.json"
	if _, err := readPlan(name); err == nil {
		t.Error("no plan, no error")
	}
	for text, ok := range map[string]bool{`{"loader":"libbpf","ports":["/dev/x"]}`: true, `{`: false, ``: false} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p, err := readPlan(name)
		if (err == nil) != ok || ok && (p.Loader != LibBPF || len(p.Ports) != 1) {
			t.Errorf("%q: got %+v, %v", text, p, err)
		}
	}
}

func TestInsert(t *testing.T) {
	t.Parallel()
	got := insert([]string{"/no/such/module.ko"})
	if len(got) != 1 || got[0].Kind != Loaded || got[0].Module != "/no/such/module.ko" || got[0].Err == "" {
		t.Errorf("got %+v, want a module that can't be read", got)
	}
}

func TestAbout(t *testing.T) {
	t.Parallel()
	b := about()
	if b.Uname == "" || b.Arch == "" {
		t.Errorf("got %+v, want all of it", b)
	}
	if arch("aarch64") != "arm64" || arch("s390x") != "s390x" {
		t.Error("names of architectures are not BTFHub's")
	}
}
