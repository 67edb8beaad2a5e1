package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What was downloaded for a kernel is given up once the archive on the disk has it, not before: a kill in between would lose
// the download.
func TestDiscardAfterWriting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.ccar")
	c := &collector{target: &archiveTarget{}, path: path, out: io.Discard, stderr: io.Discard, window: time.Minute}
	builds := fakeBuilds("kernel debian/12/x86_64/6.1.0-1-amd64 6.1.1\nstruct a:x,y\nkernel debian/12/x86_64/6.1.0-2-amd64 6.1.2\nstruct a:x,y\n" +
		"kernel unknown/unknown/unknown/vmlinux 6.1.3\nstruct a:x\n")
	var discarded []string
	stuck := errors.New("stuck")
	err := c.run(t.Context(), func(_ context.Context, yield func(collected) error) error {
		for _, b := range builds {
			if err := yield(collected{b, func() error {
				if !slices.Contains(ids(t, path), b.ID) && !strings.HasPrefix(b.ID, "unknown/") {
					t.Errorf("%s: its download is given up before the archive has it", b.ID)
				}
				discarded = append(discarded, b.ID)
				if len(discarded) == 1 {
					return stuck
				}
				return nil
			}}); err != nil {
				return err
			}
			if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the archive is written before the window is over: %v", err)
			}
		}
		if len(discarded) > 0 {
			t.Errorf("given up before the archive is written: %q", discarded)
		}
		return nil
	})
	if err != nil || c.added != 2 || len(discarded) != 3 {
		t.Errorf("error %v, %d kernels added, discarded %q", err, c.added, discarded)
	}
	if len(c.problems) != 2 || !slices.ContainsFunc(c.problems, func(err error) bool { return errors.Is(err, stuck) }) {
		t.Errorf("problems %v, want the kernel that nobody could tell, and the download that stays", c.problems)
	}
}

// Where the archive can't be written, what was downloaded stays.
func TestKeepWithoutWriting(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "a.ccar")
	if err := os.WriteFile(path, []byte("no archive"), 0o666); err != nil {
		t.Fatal(err)
	}
	c := &collector{target: &archiveTarget{}, path: path, out: io.Discard, stderr: io.Discard, window: time.Minute}
	one := fakeBuilds("kernel debian/12/x86_64/6.1.0-1-amd64 6.1.1\nstruct a:x,y\n")[0]
	err := c.run(t.Context(), func(_ context.Context, yield func(collected) error) error {
		return yield(collected{one, func() error { t.Error("given up"); return nil }})
	})
	if err == nil {
		t.Error("no error")
	}
}
