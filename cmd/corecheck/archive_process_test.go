package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/kernels/archive"
)

// command is the program itself, run as a process of its own.
func command(ctx context.Context, dir string, args ...string) (cmd *exec.Cmd, stdout, stderr *bytes.Buffer) {
	stdout, stderr = &bytes.Buffer{}, &bytes.Buffer{}
	cmd = exec.CommandContext(ctx, "corecheck", args...)
	cmd.Dir = dir
	cmd.Stdout, cmd.Stderr = stdout, stderr
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_DATA_HOME=", "XDG_CACHE_HOME="+filepath.Join(dir, "cache"), "CORECHECK_ARCHIVE=")
	return cmd, stdout, stderr
}

func mustRun(t *testing.T, dir string, args ...string) string {
	t.Helper()
	cmd, stdout, stderr := command(t.Context(), dir, args...)
	if err := cmd.Run(); err != nil {
		t.Fatalf("corecheck %s: %v\n%s", strings.Join(args, " "), err, stderr)
	}
	return stdout.String()
}

// fakeHub makes a folder of BTFHub's with n kernels, each of which has structs of its own beside those that all have.
func fakeHub(t *testing.T, dir string, from, n int) {
	t.Helper()
	sub := filepath.Join(dir, "debian", "12", "x86_64")
	if err := os.MkdirAll(sub, 0o777); err != nil {
		t.Fatal(err)
	}
	var common []string
	for i := range 400 {
		common = append(common, fmt.Sprintf("shared%d:a,b,c,d", i))
	}
	for i := from; i < from+n; i++ {
		own := append(slices.Clone(common), fmt.Sprintf("own%d:x,y", i), fmt.Sprintf("task:pid,field%d", i))
		path := filepath.Join(sub, fmt.Sprintf("6.1.0-%d-amd64.btf", i))
		if err := os.WriteFile(path, fakeBTF(own...), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// ids opens an archive, checks all of it, and lists its kernels.
func ids(t *testing.T, path string) []string {
	t.Helper()
	a, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Verify(); err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, k := range a.Kernels() {
		list = append(list, k.ID)
	}
	return list
}

// A process that is killed at any moment leaves the archive as it was, or as it was to become.
func TestKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a process a hundred times")
	}
	dir := t.TempDir()
	fakeHub(t, filepath.Join(dir, "old"), 0, 3)
	fakeHub(t, filepath.Join(dir, "hub"), 10, 12)
	mustRun(t, dir, "kernels", "add", "--archive", "old.ccar", "old")
	mustRun(t, dir, "kernels", "add", "--archive", "more.ccar", "hub")
	mustRun(t, dir, "kernels", "merge", "old.ccar", "more.ccar", "-o", "all.ccar")
	before, after := ids(t, filepath.Join(dir, "old.ccar")), ids(t, filepath.Join(dir, "all.ccar"))
	whole, err := os.ReadFile(filepath.Join(dir, "all.ccar"))
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, "old.ccar"))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "a.ccar")
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))

	for _, tt := range []struct {
		name  string
		kills int
		args  []string
	}{
		{"add", 40, []string{"kernels", "add", "--archive", "a.ccar", "hub"}},
		{"merge", 30, []string{"kernels", "merge", "--archive", "a.ccar", "more.ccar"}},
		{"pull", 30, []string{"kernels", "pull", "btfhub", "--from", "hub", "--archive", "a.ccar"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			reset := func() {
				if err := os.WriteFile(path, old, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			reset()
			start := time.Now()
			mustRun(t, dir, tt.args...)
			took := time.Since(start)
			killed, changed := 0, 0
			for range tt.kills {
				reset()
				cmd, _, _ := command(t.Context(), dir, tt.args...)
				if err := cmd.Start(); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Duration(random.Int64N(int64(took))))
				_ = cmd.Process.Kill() // it may be done already
				var exit *exec.ExitError
				if err := cmd.Wait(); errors.As(err, &exit) && !exit.Exited() {
					killed++
				}
				switch got := ids(t, path); {
				case slices.Equal(got, before):
				case slices.Equal(got, after):
					changed++
				default:
					t.Fatalf("after a kill the archive has neither the old nor the new kernels: %q", got)
				}
			}
			t.Logf("killed %d of %d, of which %d had the new archive in place", killed, tt.kills, changed)
			if killed == 0 {
				t.Error("no process was killed: the test proves nothing")
			}
			// Nothing that a killed one left behind is in the way of the next, and what it makes is the same.
			mustRun(t, dir, tt.args...)
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if tt.name != "pull" && !bytes.Equal(data, whole) { // a pulled kernel has another source
				t.Error("after kills the archive that is made is another one")
			}
			left, err := filepath.Glob(path + "*")
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range left {
				if l != path && l != path+".lock" {
					t.Errorf("%s was left behind", l)
				}
			}
		})
	}
}

// holdLock takes the lock of an archive as a writer does, and returns what lets it go.
func holdLock(t *testing.T, path string) (release func()) {
	t.Helper()
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	release = sync.OnceFunc(func() { f.Close() })
	t.Cleanup(release)
	return release
}

// The second of two writers waits and says so, or ends with --no-wait; an interrupt ends the wait.
func TestTwoWriters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fakeHub(t, filepath.Join(dir, "hub"), 0, 1)
	path := filepath.Join(dir, "a.ccar")
	release := holdLock(t, path)

	cmd, stdout, stderr := command(t.Context(), dir, "kernels", "add", "--archive", "a.ccar", "--no-wait", "hub")
	var exit *exec.ExitError
	if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
		t.Errorf("with --no-wait: %v, want exit code %d", err, exitUsage)
	}
	if !strings.Contains(stderr.String(), "another corecheck is writing the archive") || stdout.Len() > 0 {
		t.Errorf("with --no-wait: printed %q and %q", stdout, stderr)
	}

	const waiting = "waiting for another corecheck that changes a.ccar\n"
	wait := func() (*exec.Cmd, *bytes.Buffer, *lockedBuffer) {
		cmd, stdout, _ := command(t.Context(), dir, "kernels", "add", "--archive", "a.ccar", "hub")
		stderr := &lockedBuffer{}
		cmd.Stderr = stderr
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		for start := time.Now(); stderr.String() != waiting; time.Sleep(5 * time.Millisecond) {
			if time.Since(start) > 20*time.Second {
				t.Fatalf("after 20 s it printed %q, want %q", stderr, waiting)
			}
		}
		return cmd, stdout, stderr
	}
	cmd, _, text := wait()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
		t.Errorf("interrupted: %v, want exit code %d", err, exitUsage)
	}
	if want := waiting + "corecheck: error: interrupted\n"; text.String() != want {
		t.Errorf("interrupted: printed %q, want %q", text, want)
	}

	cmd, stdout, text = wait()
	release()
	if err := cmd.Wait(); err != nil || !strings.HasPrefix(stdout.String(), "added debian/12/x86_64/6.1.0-0-amd64\n") {
		t.Errorf("once the lock is free: %v, printed %q and %q", err, stdout, text)
	}
}

// lockedBuffer is a buffer that is read while a process writes to it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// Writers at the same time lose nothing of each other's, and readers see whole archives only.
func TestWritersAndReaders(t *testing.T) {
	t.Parallel()
	const writers = 4
	dir := t.TempDir()
	path := filepath.Join(dir, "a.ccar")
	for i := range writers {
		fakeHub(t, filepath.Join(dir, fmt.Sprintf("hub%d", i)), 10*i, 3)
	}
	fakeHub(t, filepath.Join(dir, "first"), 100, 1)
	mustRun(t, dir, "kernels", "add", "--archive", "a.ccar", "first")
	// A reader that has the archive open goes on with what it opened.
	open, err := archive.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()

	done := make(chan struct{})
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			cmd, _, stderr := command(t.Context(), dir, "kernels", "add", "--archive", "a.ccar", fmt.Sprintf("hub%d", i))
			if err := cmd.Run(); err != nil {
				t.Errorf("writer %d: %v: %s", i, err, stderr)
			}
		})
	}
	go func() { group.Wait(); close(done) }()
	reads := 0
	for running := true; running; reads++ {
		select {
		case <-done:
			running = false
		default:
		}
		a, err := archive.Open(path)
		if err == nil {
			err = errors.Join(a.Verify(), a.Close())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if n := len(ids(t, path)); n != 3*writers+1 {
		t.Errorf("the archive has %d kernels, want %d", n, 3*writers+1)
	}
	if b, err := open.Build(0); err != nil || open.Len() != 1 || len(b.BTF.Named("own100")) != 1 {
		t.Errorf("the archive that was open before has %d kernels and says %v", open.Len(), err)
	}
	t.Logf("%d reads", reads)
}

// A full disk is an error that says so, and the archive stays.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	if err := os.Mkdir(disk, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("corecheck", disk, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no small file system can be mounted: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(disk, 0); err != nil {
			t.Errorf("%s: %v", disk, err)
		}
	})
	fakeHub(t, filepath.Join(dir, "hub"), 0, 2)
	mustRun(t, dir, "kernels", "add", "--archive", "disk/a.ccar", "hub")
	before := ids(t, filepath.Join(disk, "a.ccar"))
	if err := os.WriteFile(filepath.Join(disk, "filler"), make([]byte, 64<<10), 0o666); !errors.Is(err, unix.ENOSPC) {
		t.Fatalf("filling the disk: %v, want %v", err, unix.ENOSPC)
	}
	fakeHub(t, filepath.Join(dir, "more"), 10, 40)
	for _, args := range [][]string{
		{"kernels", "add", "--archive", "disk/a.ccar", "more"},
		{"kernels", "pull", "btfhub", "--from", "more", "--archive", "disk/a.ccar"},
		{"kernels", "export", "--archive", "disk/a.ccar", "6.1.0-0-amd64", "-o", "disk/v.btf"},
	} {
		cmd, stdout, stderr := command(t.Context(), dir, args...)
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
			t.Errorf("%q: %v, want exit code %d", args, err, exitUsage)
		}
		if !strings.Contains(stderr.String(), "no space left on device") || strings.Contains(stdout.String(), "added debian") {
			t.Errorf("%q: printed %q and %q", args, stdout, stderr)
		}
		if got := ids(t, filepath.Join(disk, "a.ccar")); !slices.Equal(got, before) {
			t.Errorf("%q: the archive has %q, want %q", args, got, before)
		}
		if left, _ := filepath.Glob(filepath.Join(disk, "*")); len(left) != 3 { // the archive, its lock, and the filler
			t.Errorf("%q: left behind: %q", args, left)
		}
	}
}

// An archive that can't be written or read for want of permission is an error that says so.
func TestNoPermission(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fakeHub(t, filepath.Join(dir, "hub"), 0, 1)
	mustRun(t, dir, "kernels", "add", "--archive", "a.ccar", "hub")
	mustRun(t, dir, "kernels", "add", "--archive", "c.ccar", "hub")
	if err := os.Chmod(filepath.Join(dir, "a.ccar"), 0o400); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o555); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o777) })
	program, err := exec.LookPath("corecheck")
	if err != nil {
		t.Fatal(err)
	}
	attr := &syscall.SysProcAttr{}
	if os.Getuid() == 0 {
		// Root may do anything: another user gets a copy of the program where it can be run, and a way to the folder.
		program = copyForAll(t, program)
		attr.Credential = &syscall.Credential{Uid: 65534, Gid: 65534}
		if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"kernels", "add", "--archive", "b.ccar", "hub"}, "corecheck: error: b.ccar: can't be changed: open b.ccar.lock: permission denied\nhint: the archive and its folder have to be writable"},
		{[]string{"kernels", "add", "--archive", "sub/b.ccar", "hub"}, "corecheck: error: sub/b.ccar: can't be changed: mkdir sub: permission denied\n"},
		{[]string{"kernels", "export", "--archive", "c.ccar", "6.1.0-0-amd64", "-o", "v.btf"}, "corecheck: error: v.btf: can't be written: permission denied\n"},
	} {
		cmd, _, stderr := command(t.Context(), dir, tt.args...)
		cmd.Path, cmd.SysProcAttr = program, attr
		var exit *exec.ExitError
		if err := cmd.Run(); !errors.As(err, &exit) || exit.ExitCode() == 0 {
			t.Errorf("%q: %v, want an exit code", tt.args, err)
		}
		if !strings.HasPrefix(stderr.String(), tt.want) {
			t.Errorf("%q: printed %q, want %q", tt.args, stderr, tt.want)
		}
	}
	if os.Getuid() == 0 { // the owner may read a.ccar, nobody may not
		cmd, _, stderr := command(t.Context(), dir, "kernels", "list", "--archive", "a.ccar", "--no-embedded")
		cmd.Path, cmd.SysProcAttr = program, attr
		if err := cmd.Run(); err == nil || !strings.HasPrefix(stderr.String(), "corecheck: error: a.ccar: can't be opened: permission denied\n") {
			t.Errorf("reading: %v, printed %q", err, stderr)
		}
	}
}

// copyForAll copies a program to where every user can run it.
func copyForAll(t *testing.T, program string) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Another process writes it: a file that this one has open for writing is handed on to what other tests start just then,
	// and can't be run until those have let go of it (ETXTBSY, go.dev/issue/22315).
	to := filepath.Join(dir, "corecheck")
	for _, args := range [][]string{{"cp", "-L", program, to}, {"chmod", "755", to}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Fatalf("%q: %v: %s", args, err, out)
		}
	}
	return to
}

// What was fetched before an interrupt is in the archive, and is not fetched again.
func TestPullInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hub := filepath.Join(dir, "hub")
	fakeHub(t, hub, 0, 2)
	const first, second = "debian/12/x86_64/6.1.0-0-amd64.btf", "debian/12/x86_64/6.1.0-1-amd64.btf"
	if err := os.WriteFile(filepath.Join(dir, "list"), []byte(first+"\n"+second+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	asked := map[string]int{}
	stalled := make(chan struct{})
	stall := true
	files := http.FileServer(http.Dir(hub))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[strings.TrimPrefix(r.URL.Path, "/")]++
		wait := stall && strings.HasSuffix(r.URL.Path, second)
		if wait {
			stall = false
		}
		mu.Unlock()
		if wait {
			close(stalled)
			<-r.Context().Done()
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	// One at a time: when the second is asked for, the first was read.
	args := []string{"kernels", "pull", "btfhub", "--from", server.URL, "--list", "list", "--archive", "a.ccar", "--jobs", "1"}
	cmd, stdout, stderr := command(t.Context(), dir, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-stalled:
	case <-time.After(20 * time.Second):
		t.Fatal("the second kernel was not asked for within 20 s")
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &exit) || exit.ExitCode() != exitUsage {
		t.Errorf("interrupted: %v, want exit code %d", err, exitUsage)
	}
	if !strings.HasPrefix(stdout.String(), "added debian/12/x86_64/6.1.0-0-amd64\n1 kernel added, ") || !strings.HasSuffix(stderr.String(), "corecheck: error: interrupted\n") {
		t.Errorf("interrupted: printed %q and %q", stdout, stderr)
	}
	if got := ids(t, filepath.Join(dir, "a.ccar")); len(got) != 1 {
		t.Errorf("interrupted: the archive has %q, want one kernel", got)
	}
	out := mustRun(t, dir, args...)
	if !strings.HasPrefix(out, "added debian/12/x86_64/6.1.0-1-amd64\n1 kernel added, 0 replaced, 0 unchanged, 1 there already, 0 failed;") {
		t.Errorf("again: printed %q", out)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked[first] != 1 {
		t.Errorf("the first kernel was fetched %d times, want once", asked[first])
	}
}
