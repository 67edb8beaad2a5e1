package archive

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain is the child that TestKilled kills, where it is told to be.
func TestMain(m *testing.M) {
	if path := os.Getenv("ARCHIVE_TEST_WRITER"); path != "" {
		if err := endlessWriter(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// writerKernels are what TestKilled writes: kernels that are large enough for a write to take its time.
func writerKernels() []*Build { return randomKernels(rand.New(rand.NewPCG(1, 2)), 8) }

// endlessWriter adds and removes the last of the kernels for ever. It says on its output when it starts.
func endlessWriter(path string) error {
	list := writerKernels()
	last := list[len(list)-1]
	fmt.Println("ready")
	for {
		err := Update(path, UpdateOptions{Wait: true}, func(w *Writer) error {
			if !w.Remove(last.ID) {
				_, err := w.Add(last)
				return err
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
}

// TestKilled kills a writer at 100 random moments: the archive always opens, and is the one from before or the one after.
func TestKilled(t *testing.T) {
	t.Parallel()
	seed := testSeed(t)
	rng := rand.New(rand.NewPCG(seed, 0))
	path := filepath.Join(t.TempDir(), "a.ccar")
	list := writerKernels()
	more, fewer := encodeBytes(t, list...), encodeBytes(t, list[:len(list)-1]...)
	if err := os.WriteFile(path, fewer, 0o644); err != nil {
		t.Fatal(err)
	}
	seen, left := make(map[int]int), 0
	for i := range 100 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "ARCHIVE_TEST_WRITER="+path)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil {
			t.Fatalf("the writer says %q, %v, %s", line, err, stderr.String())
		}
		time.Sleep(time.Duration(rng.IntN(60_000)) * time.Microsecond)
		cmd.Process.Kill()
		if cmd.Wait(); stderr.Len() > 0 {
			t.Fatalf("seed %d, kill %d: the writer says %s", seed, i, stderr.String())
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, more) && !bytes.Equal(data, fewer) {
			t.Fatalf("seed %d, kill %d: an archive of %d bytes, which is neither the old nor the new one", seed, i, len(data))
		}
		seen[len(data)]++
		if _, err := os.Stat(path + ".new"); err == nil {
			left++
		}
	}
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if err := a.Verify(); err != nil {
		t.Fatal(err)
	}
	// The next writer goes over what the last one left.
	if err := Update(path, UpdateOptions{}, func(w *Writer) error { w.Remove(list[0].ID); return nil }); err != nil {
		t.Fatal(err)
	}
	noLeftovers(t, path)
	t.Logf("100 kills: old %d, new %d times, %d of them left a part of a file", seen[len(fewer)], seen[len(more)], left)
	if len(seen) != 2 {
		t.Errorf("the archive was always the same: no kill came late enough")
	}
}

// noLeftovers holds that beside an archive there is nothing but its lock.
func noLeftovers(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasPrefix(name, filepath.Base(path)) && name != filepath.Base(path) && name != filepath.Base(path)+".lock" {
			t.Errorf("%s was left", name)
		}
	}
}

// TestReadersWhileWriting: those that have an archive open go on with what they opened, those that open it get a whole one.
func TestReadersWhileWriting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.ccar")
	list := smallKernels(t)
	if err := Update(path, UpdateOptions{}, func(w *Writer) error { _, err := w.Add(list[0]); return err }); err != nil {
		t.Fatal(err)
	}
	var stop atomic.Bool
	var reads atomic.Int64
	var wg sync.WaitGroup
	kept, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer kept.Close()
	for r := range 4 {
		wg.Go(func() {
			for !stop.Load() {
				a := kept
				if r > 0 {
					var err error
					if a, err = Open(path); err != nil {
						t.Error(err)
						return
					}
				}
				if err := readAll(a); err != nil {
					t.Error(err)
					return
				}
				if r > 0 {
					a.Close()
				}
				reads.Add(1)
			}
		})
	}
	for i := range 40 {
		err := Update(path, UpdateOptions{}, func(w *Writer) error {
			if k := list[i%3]; !w.Remove(k.ID) {
				_, err := w.Add(k)
				return err
			}
			return nil
		})
		if err != nil {
			t.Error(err)
			break
		}
	}
	stop.Store(true)
	wg.Wait()
	if kept.Len() != 1 || kept.Kernel(0).ID != list[0].ID {
		t.Errorf("what was open has %d kernels, had 1", kept.Len())
	}
	noLeftovers(t, path)
	t.Logf("%d archives read whole during 40 updates", reads.Load())
}

// TestWriters: a second writer waits, or says that there is another one; nothing that either added is lost.
func TestWriters(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "folder", "a.ccar") // Update makes the folders
	list := smallKernels(t)
	inside, goOn, done := make(chan bool), make(chan bool), make(chan error)
	go func() {
		done <- Update(path, UpdateOptions{}, func(w *Writer) error {
			close(inside)
			<-goOn
			_, err := w.Add(list[0])
			return err
		})
	}()
	<-inside
	err := Update(path, UpdateOptions{}, func(*Writer) error { return errors.New("was let in") })
	if !errors.Is(err, ErrBusy) {
		t.Errorf("the second writer gets %v, want %v", err, ErrBusy)
	}
	wantError(t, "second writer", err, "a.ccar: can't be changed now: another corecheck is writing the archive")
	var wg sync.WaitGroup
	for _, k := range list[1:] {
		wg.Go(func() {
			if err := Update(path, UpdateOptions{Wait: true}, func(w *Writer) error { _, err := w.Add(k); return err }); err != nil {
				t.Error(err)
			}
		})
	}
	close(goOn)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil || !bytes.Equal(got, encodeBytes(t, list...)) {
		t.Errorf("three writers made %d bytes (%v), which are not the three kernels", len(got), err)
	}
}

// TestFailedUpdate: after an error the old archive stands as it was, and nothing beside it.
func TestFailedUpdate(t *testing.T) {
	t.Parallel()
	list := smallKernels(t)
	write := func(t *testing.T, dir string) (string, []byte) {
		path := filepath.Join(dir, "a.ccar")
		if err := Update(path, UpdateOptions{}, func(w *Writer) error { _, err := w.Add(list[0]); return err }); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return path, data
	}
	same := func(t *testing.T, path string, want []byte) {
		t.Helper()
		if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("the archive has %d bytes (%v), want the %d of before", len(got), err, len(want))
		}
		noLeftovers(t, path)
	}
	t.Run("change", func(t *testing.T) {
		path, old := write(t, t.TempDir())
		no := errors.New("no")
		if err := Update(path, UpdateOptions{}, func(w *Writer) error {
			w.Remove(list[0].ID)
			return no
		}); !errors.Is(err, no) {
			t.Errorf("%v, want %v", err, no)
		}
		same(t, path, old)
	})
	t.Run("damaged", func(t *testing.T) {
		path, old := write(t, t.TempDir())
		old[len(old)-1] ^= 1
		if err := os.WriteFile(path, old, 0o644); err != nil {
			t.Fatal(err)
		}
		wantError(t, "update", Update(path, UpdateOptions{}, func(*Writer) error { return nil }), "the checksum of the part is")
		same(t, path, old)
	})
	t.Run("what can't be written", func(t *testing.T) {
		path, old := write(t, t.TempDir())
		// A folder that is not empty stands where the new file is to be written.
		if err := os.MkdirAll(path+".new/x", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := Update(path, UpdateOptions{}, func(w *Writer) error { return nil }); err == nil {
			t.Error("no error")
		}
		if err := os.RemoveAll(path + ".new"); err != nil {
			t.Fatal(err)
		}
		same(t, path, old)
	})
	t.Run("read-only folder", func(t *testing.T) {
		dir := t.TempDir()
		path, old := write(t, dir)
		if os.Getuid() == 0 {
			// Root may write anywhere but where the file system can't.
			mount(t, dir, "1m")
			path, old = write(t, dir)
			if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
				t.Fatal(err)
			}
		} else if err := os.Chmod(dir, 0o555); err != nil {
			t.Fatal(err)
		}
		err := Update(path, UpdateOptions{}, func(w *Writer) error { w.Remove(list[0].ID); return nil })
		if !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EROFS) {
			t.Errorf("%v, want an error about permissions", err)
		}
		if err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%v does not name %s", err, path)
		}
		os.Chmod(dir, 0o755)
		same(t, path, old)
	})
	t.Run("full disk", func(t *testing.T) {
		dir := t.TempDir()
		mount(t, dir, "1m")
		path, old := write(t, dir)
		fill := make([]byte, 1<<20)
		err := os.WriteFile(filepath.Join(dir, "fill"), fill, 0o644)
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatalf("a file system of 1 MB holds 1 MB more: %v", err)
		}
		err = Update(path, UpdateOptions{}, func(w *Writer) error { _, err := w.Add(list[1]); return err })
		if !errors.Is(err, unix.ENOSPC) {
			t.Errorf("%v, want %v", err, unix.ENOSPC)
		}
		same(t, path, old)
		if err := os.Remove(filepath.Join(dir, "fill")); err != nil {
			t.Fatal(err)
		}
		if err := Update(path, UpdateOptions{}, func(w *Writer) error { _, err := w.Add(list[1]); return err }); err != nil {
			t.Errorf("with room again: %v", err)
		}
	})
}

// mount puts a file system of this size in memory over a folder, until the test ends.
func mount(t *testing.T, dir, size string) {
	t.Helper()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("no small file system can be mounted (%v): no full disk is tried", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
}

func TestSymlink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	list := smallKernels(t)
	path, link := filepath.Join(dir, "real.ccar"), filepath.Join(dir, "link.ccar")
	if err := os.WriteFile(path, encodeBytes(t, list[0]), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o666); err != nil { // more than a umask leaves
		t.Fatal(err)
	}
	if err := os.Symlink("real.ccar", link); err != nil {
		t.Fatal(err)
	}
	if err := Update(link, UpdateOptions{}, func(w *Writer) error { _, err := w.Add(list[1]); return err }); err != nil {
		t.Fatal(err)
	}
	if to, err := os.Readlink(link); err != nil || to != "real.ccar" {
		t.Errorf("the link points to %q, %v", to, err)
	}
	a, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if a.Len() != 2 {
		t.Errorf("%d kernels, want 2", a.Len())
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o666 {
		t.Errorf("mode %v, %v, want that of before", st.Mode(), err)
	}
	noLeftovers(t, path)
	noLeftovers(t, link)
}

// TestLeftover: what a killed writer left is not taken for anything.
func TestLeftover(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.ccar")
	list := smallKernels(t)
	if err := os.WriteFile(path+".new", bytes.Repeat([]byte("half"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want that there is none", err)
	}
	if err := Update(path, UpdateOptions{}, func(w *Writer) error {
		if n := len(w.Kernels()); n != 0 {
			t.Errorf("%d kernels in an archive that was not there", n)
		}
		_, err := w.Add(list[0])
		return err
	}); err != nil {
		t.Fatal(err)
	}
	noLeftovers(t, path)
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, encodeBytes(t, list[0])) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
}

// TestVanishing: a file that is removed stays what it is to those who have it open; one that is cut or written over by
// something else gives errors, and no wrong answers.
func TestVanishing(t *testing.T) {
	t.Parallel()
	list := smallKernels(t)
	data := encodeBytes(t, list...)
	for name, do := range map[string]struct {
		f    func(path string) error
		want string
	}{
		"removed":      {os.Remove, ""},
		"cut":          {func(path string) error { return os.Truncate(path, 100) }, "bytes can't be read"},
		"emptied":      {func(path string) error { return os.Truncate(path, 0) }, "bytes can't be read"},
		"written over": {func(path string) error { return os.WriteFile(path, bytes.Repeat([]byte("x"), len(data)), 0o644) }, "the checksum of the part is"},
	} {
		path := filepath.Join(t.TempDir(), "a.ccar")
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		a, err := Open(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := do.f(path); err != nil {
			t.Fatal(err)
		}
		err = readAll(a)
		if do.want != "" {
			wantError(t, name, err, do.want)
		} else if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		a.Close()
	}
	if _, err := Open(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v, want that there is none", err)
	}
	_, err := Open(t.TempDir())
	wantError(t, "folder", err, "is no file")
}

// TestWriteFile: of several at once the archive of one is there in the end, whole.
func TestWriteFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.ccar")
	list := smallKernels(t)
	var all [][]byte
	for i := range 4 {
		w := NewWriter()
		for _, k := range list[:i%3+1] {
			if _, err := w.Add(k); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WriteFile(path); err != nil {
			t.Fatalf("write %s: %v", strconv.Itoa(i), err)
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, got)
		noLeftovers(t, path)
	}
	if !bytes.Equal(all[0], all[3]) || slices.Equal(all[0], all[1]) {
		t.Error("what was written depends on what was there")
	}
}
