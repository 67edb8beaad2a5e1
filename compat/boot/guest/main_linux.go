package guest

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// workerArg is the only argument of the processes that load objects.
const workerArg = "guest-worker"

// Wanted tells whether this process is corecheck in a guest: its init, or one that init started. It looks at no file
// unless the process is one of the two.
func Wanted() bool {
	if os.Getpid() != 1 && !isWorker() {
		return false
	}
	_, err := os.Stat(PlanPath)
	return err == nil
}

func isWorker() bool {
	return len(os.Args) == 2 && os.Args[1] == workerArg && os.Getppid() == 1
}

// Main does the work of a guest, where Wanted. As init it does not return: it switches the machine off.
func Main() {
	if isWorker() {
		in, out := os.NewFile(3, "jobs"), os.NewFile(4, "answers")
		if err := works(in, out, new(loader).do); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	boot()
	powerOff()
}

// boot is all that init does before it switches the machine off. A panic of ours must not become one of the kernel, of
// which the host could only guess the cause.
func boot() {
	console := &emitter{w: os.Stderr} // until the port is there, and if it never is
	out := console
	defer func() {
		if p := recover(); p != nil {
			out.send(Message{Kind: Failed, Object: -1, Err: fmt.Sprintf("panic: %v: %s", p, debug.Stack())})
		}
		if out.err != nil {
			fmt.Fprintln(os.Stderr, "corecheck: sending results:", out.err)
		}
		if f, ok := out.w.(*os.File); ok {
			drain(f)
		}
	}()
	problems := prepare()
	plan, err := readPlan(PlanPath)
	if err != nil {
		problems = append(problems, err.Error())
		plan = &Plan{}
	}
	// A port whose driver is a module opens after the modules are in.
	port, err := openPort(plan.Ports, 2*time.Second)
	var modules []Message
	if err != nil {
		modules = insert(plan.Modules)
		if port, err = openPort(plan.Ports, 5*time.Second); err != nil {
			problems = append(problems, err.Error())
		}
	}
	if port != nil {
		out = &emitter{w: port}
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, "corecheck:", p)
	}
	out.send(Message{Kind: Booted, Boot: about(), Notes: problems})
	if port == nil {
		return
	}
	if modules == nil {
		modules = insert(plan.Modules)
	}
	for _, m := range modules {
		out.send(m)
	}
	f := newFamily(InitPath, workerArg)
	go f.reap()
	switch plan.Loader {
	case Own:
		s := &supervisor{plan: plan, start: f.worker, send: out.send, now: time.Now}
		s.run()
	case LibBPF:
		runBpftool(plan, f.command, out.send)
	case Command:
		runCommand(plan, f.command, out.send)
	default:
		out.send(Message{Kind: Failed, Object: -1, Err: fmt.Sprintf("the plan wants the loader %q, which is not known", plan.Loader)})
	}
	out.send(Message{Kind: Done})
}

func readPlan(path string) (*Plan, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	plan := new(Plan)
	if err := json.Unmarshal(data, plan); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return plan, nil
}

// mounts are the file systems that loaders and the kernel's own tools want, parents first. Not every kernel has all.
var mounts = []struct{ kind, dir string }{
	{"proc", "/proc"},
	{"sysfs", "/sys"},
	{"devtmpfs", "/dev"},
	{"devpts", "/dev/pts"},
	{"tmpfs", "/dev/shm"},
	{"securityfs", "/sys/kernel/security"},
	{"debugfs", "/sys/kernel/debug"},
	{"tracefs", "/sys/kernel/tracing"},
	{"bpf", "/sys/fs/bpf"},
	{"cgroup2", "/sys/fs/cgroup"},
}

// prepare makes a machine of the bare kernel: file systems, loopback, limits. What fails is for people to know; what
// needs it fails by itself.
func prepare() (problems []string) {
	// The root is in memory and can be written to. Nothing is mounted over folders in which files of the user may lie.
	for _, dir := range []string{"/tmp", "/run"} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			problems = append(problems, err.Error())
		}
	}
	for _, m := range mounts {
		// Directories of sysfs are the kernel's to make; where it did not, the mount says why.
		_ = os.MkdirAll(m.dir, 0o755)
		err := unix.Mount(m.kind, m.dir, m.kind, 0, "")
		if err != nil && err != unix.EBUSY && err != unix.ENODEV && err != unix.ENOENT {
			problems = append(problems, fmt.Sprintf("mounting %s on %s: %v", m.kind, m.dir, err))
		}
	}
	if err := linkUp("lo"); err != nil {
		problems = append(problems, fmt.Sprintf("bringing lo up: %v", err))
	}
	// Kernels before 5.11 charge maps and programs to RLIMIT_MEMLOCK.
	for _, r := range []struct {
		name     string
		which    int
		cur, max uint64
	}{
		{"memlock", unix.RLIMIT_MEMLOCK, unix.RLIM_INFINITY, unix.RLIM_INFINITY},
		{"nofile", unix.RLIMIT_NOFILE, 1 << 16, 1 << 16},
	} {
		if err := unix.Setrlimit(r.which, &unix.Rlimit{Cur: r.cur, Max: r.max}); err != nil {
			problems = append(problems, fmt.Sprintf("raising the limit of %s: %v", r.name, err))
		}
	}
	// Taking a probe off waits for grace periods, for which a guest without load waits longest; hurrying them halves the
	// time that detaching takes, and what is observed stays the same.
	_ = os.WriteFile("/sys/kernel/rcu_expedited", []byte("1"), 0)
	for k, v := range map[string]string{"PATH": searchPath, "HOME": "/", "TERM": "dumb"} {
		os.Setenv(k, v)
	}
	return problems
}

// linkUp brings a network device up.
func linkUp(name string) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	req, err := unix.NewIfreq(name)
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, req); err != nil {
		return err
	}
	req.SetUint16(req.Uint16() | unix.IFF_UP | unix.IFF_RUNNING)
	return unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, req)
}

// openPort opens the first of the ports that can be, and waits for one to appear.
func openPort(ports []string, wait time.Duration) (*os.File, error) {
	if len(ports) == 0 {
		return nil, errors.New("the plan names no port for results")
	}
	var errs []string
	for until := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		errs = errs[:0]
		for _, name := range ports {
			f, err := openRaw(name)
			if err == nil {
				return f, nil
			}
			errs = append(errs, err.Error())
		}
		if time.Now().After(until) {
			return nil, fmt.Errorf("no port for results opens: %s", strings.Join(errs, "; "))
		}
	}
}

// openRaw opens a port. A terminal is set to pass bytes as they are; one without hardware behind it, which opens all the
// same (TTY_IO_ERROR in drivers/tty/serial/serial_core.c), fails that with EIO.
func openRaw(name string) (*os.File, error) {
	// O_NONBLOCK: a serial line without a carrier would not open.
	fd, err := unix.Open(name, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	fail := func(err error) (*os.File, error) {
		unix.Close(fd)
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	switch {
	case err == nil:
		t.Iflag, t.Oflag, t.Lflag = 0, 0, 0
		t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB|unix.CRTSCTS) | unix.CS8 | unix.CLOCAL | unix.CREAD
		t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
			return fail(err)
		}
	case err == unix.EIO:
		return fail(err)
	}
	if err := unix.SetNonblock(fd, false); err != nil {
		return fail(err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// drain waits until what was written has left the machine.
func drain(f *os.File) {
	_ = unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1) // tcdrain; not a terminal: nothing to wait for
}

// about describes the kernel.
func about() *Boot {
	b := &Boot{}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		b.Uname, b.Arch = unix.ByteSliceToString(u.Release[:]), arch(unix.ByteSliceToString(u.Machine[:]))
	}
	return b
}

// arch is BTFHub's name of an architecture that uname names.
func arch(machine string) string {
	if machine == "aarch64" {
		return "arm64"
	}
	return machine
}

// insert inserts modules in the order given.
func insert(files []string) []Message {
	messages := []Message{}
	for _, name := range files {
		m := Message{Kind: Loaded, Object: -1, Module: name}
		if err := insertOne(name); err != nil {
			m.Err = err.Error()
		}
		messages = append(messages, m)
	}
	return messages
}

func insertOne(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.FinitModule(int(f.Fd()), "", 0)
	if err == unix.EEXIST { // it is there: built in, or named twice
		return nil
	}
	return err
}

// powerOff switches the machine off. Where that is not possible the kernel halts, and the host ends it.
func powerOff() {
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART) // a host that starts machines with -no-reboot ends them then
	select {}
}
