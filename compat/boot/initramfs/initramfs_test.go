package initramfs

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// entry is one of an archive, as it is read back.
type entry struct {
	Name, Content string
	Mode          uint32
	Major, Minor  uint32
}

// read reads archives that stand one after the other, and checks what buffer-format.rst says of each.
func read(t *testing.T, b []byte) (list []entry) {
	t.Helper()
	inodes := map[uint32]bool{}
	for at := 0; at < len(b); {
		if at%4 != 0 {
			t.Fatalf("entry at %d, no multiple of 4", at)
		}
		if len(b)-at < 110 || string(b[at:at+6]) != "070701" {
			t.Fatalf("no header at %d", at)
		}
		var f [13]uint32
		for i := range f {
			n, err := strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32)
			if err != nil {
				t.Fatal(err)
			}
			f[i] = uint32(n)
		}
		size, nameSize := int(f[6]), int(f[11])
		name := string(b[at+110 : at+110+nameSize-1])
		if b[at+110+nameSize-1] != 0 {
			t.Fatalf("%s: no NUL", name)
		}
		start := (at + 110 + nameSize + 3) &^ 3
		for _, i := range []int{2, 3, 5, 7, 8, 12} {
			if f[i] != 0 {
				t.Errorf("%s: field %d is %d, want 0", name, i, f[i])
			}
		}
		if name == trailer {
			inodes = map[uint32]bool{}
		} else {
			if inodes[f[0]] {
				t.Errorf("%s: inode %d again", name, f[0])
			}
			inodes[f[0]] = true
			list = append(list, entry{name, string(b[start : start+size]), f[1], f[9], f[10]})
		}
		at = (start + size + 3) &^ 3
	}
	return list
}

// sample writes one of everything.
func sample(t *testing.T, w *Writer) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "init")
	if err := os.WriteFile(file, []byte("#!\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, err := range []error{
		w.Dir("/dev", 0o755),
		w.Char("/dev/console", 0o600, 5, 1),
		w.Char("dev/null", 0o666, 1, 3),
		w.Copy("/init", 0o755, file),
		w.File("/a/b/c", 0o444, []byte("hello")),
		w.File("/a/empty", 0o444, nil),
		w.Dir("/a/b", 0o700), // is there
		w.Symlink("/lib64", "usr/lib"),
		w.Close(),
	} {
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
	}
}

func TestWriter(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	sample(t, NewWriter(&b))
	want := []entry{
		{"dev", "", 0o040755, 0, 0},
		{"dev/console", "", 0o020600, 5, 1},
		{"dev/null", "", 0o020666, 1, 3},
		{"init", "#!\n", 0o100755, 0, 0},
		{"a", "", 0o040755, 0, 0},
		{"a/b", "", 0o040755, 0, 0},
		{"a/b/c", "hello", 0o100444, 0, 0},
		{"a/empty", "", 0o100444, 0, 0},
		{"lib64", "usr/lib", 0o120777, 0, 0},
	}
	if got := read(t, b.Bytes()); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
	if b.Len()%4 != 0 {
		t.Errorf("%d bytes: another archive can't follow", b.Len())
	}
	first := bytes.Clone(b.Bytes())
	sample(t, NewWriter(&b)) // behind it
	if got := read(t, b.Bytes()); !reflect.DeepEqual(got, append(want, want...)) {
		t.Errorf("two archives: got %+v", got)
	}
	if !bytes.Equal(b.Bytes()[len(first):], first) {
		t.Error("the same calls gave other bytes")
	}
}

// The header to the byte: an example by hand from buffer-format.rst.
func TestHeader(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := NewWriter(&b).File("x", 0o644, []byte("A")); err != nil {
		t.Fatal(err)
	}
	want := "070701" + "00000001" + "000081a4" + "00000000" + "00000000" + "00000001" + "00000000" + "00000001" +
		"00000000" + "00000000" + "00000000" + "00000000" + "00000002" + "00000000" + "x\x00" + "A\x00\x00\x00"
	if got := b.String(); got != want {
		t.Errorf("got\n%swant\n%s", hex.Dump([]byte(got)), hex.Dump([]byte(want)))
	}
}

func TestCpioReadsIt(t *testing.T) {
	t.Parallel()
	cpio, err := exec.LookPath("cpio")
	if err != nil {
		t.Skip("cpio is not installed")
	}
	var b bytes.Buffer
	sample(t, NewWriter(&b))
	cmd := exec.Command(cpio, "-tv", "--quiet", "--numeric-uid-gid")
	cmd.Stdin = &b
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"drwxr-xr-x   2 0        0", "crw-------   1 0        0          5,   1", "lib64 -> usr/lib", "-r--r--r--   1 0        0               5 Jan  1  1970 a/b/c"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

func TestRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(large, 1<<32); err != nil { // sparse: takes no room
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		do   func(w *Writer) error
		want string
	}{
		{"no name", func(w *Writer) error { return w.File("/", 0, nil) }, "names no file"},
		{"NUL", func(w *Writer) error { return w.File("a\x00b", 0, nil) }, "names no file"},
		{"out of its folder", func(w *Writer) error { return w.File("../a", 0, nil) }, "leads out"},
		{"long name", func(w *Writer) error { return w.File(strings.Repeat("n", 4096), 0, nil) }, "a name of 4096 bytes, the kernel takes 4095"},
		{"trailer", func(w *Writer) error { return w.File(trailer, 0, nil) }, "the mark at the end"},
		{"twice", func(w *Writer) error { return errors.Join(w.File("a", 0, nil), w.File("/a", 0, nil)) }, "a is in the archive twice"},
		{"folder over file", func(w *Writer) error { return errors.Join(w.File("a", 0, nil), w.Dir("a", 0)) }, "twice"},
		{"file over folder", func(w *Writer) error { return errors.Join(w.Dir("a", 0), w.File("a", 0, nil)) }, "twice"},
		{"file as folder", func(w *Writer) error { return errors.Join(w.File("a", 0, nil), w.File("a/b", 0, nil)) }, "a is no folder"},
		{"link to nothing", func(w *Writer) error { return w.Symlink("a", "") }, "1 to 4095 bytes"},
		{"long link", func(w *Writer) error { return w.Symlink("a", strings.Repeat("n", 4096)) }, "this has 4096"},
		{"device", func(w *Writer) error { return w.Char("a", 0, 1<<20, 0) }, "out of range"},
		{"4 GiB", func(w *Writer) error { return w.Copy("a", 0, large) }, "4294967296 bytes, a file in an initramfs has at most 4294967295"},
		{"a folder's content", func(w *Writer) error { return w.Copy("a", 0, dir) }, "no regular file"},
		{"after the end", func(w *Writer) error { return errors.Join(w.Close(), w.File("a", 0, nil)) }, "at its end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.do(NewWriter(new(bytes.Buffer)))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want …%s…", err, c.want)
			}
		})
	}
}

// A full disk is reported by every call after it.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	full := errors.New("no space left")
	for limit := range 600 {
		w := NewWriter(&limited{left: limit, err: full})
		var err error
		for i := 0; err == nil && i < 10; i++ {
			err = w.File(fmt.Sprintf("d/%d", i), 0o444, []byte("content"))
		}
		if !errors.Is(err, full) {
			t.Fatalf("after %d bytes: error %v", limit, err)
		}
		if err := w.Close(); !errors.Is(err, full) {
			t.Fatalf("after %d bytes: Close gave %v", limit, err)
		}
	}
}

type limited struct {
	left int
	err  error
}

func (l *limited) Write(b []byte) (int, error) {
	n := min(len(b), l.left)
	l.left -= n
	if n < len(b) {
		return n, l.err
	}
	return n, nil
}
