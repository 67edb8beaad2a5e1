//go:build unix

package flock

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func open(t *testing.T, name string, mode Mode, want error) *os.File {
	t.Helper()
	f, err := Open(t.Context(), name, mode, false)
	if !errors.Is(err, want) {
		t.Fatalf("%v, want %v", err, want)
	}
	if f != nil {
		t.Cleanup(func() { f.Close() })
	}
	return f
}

func TestLocks(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "lock")
	one := open(t, name, Shared, nil)
	two := open(t, name, Shared, nil)
	open(t, name, Exclusive, ErrBusy)
	one.Close()
	open(t, name, Exclusive, ErrBusy)
	two.Close()
	own := open(t, name, Exclusive, nil)
	open(t, name, Exclusive, ErrBusy)
	open(t, name, Shared, ErrBusy)

	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Open(ctx, name, Shared, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want that waiting ends", err)
	}
	go func() {
		time.Sleep(50 * time.Millisecond)
		own.Close()
	}()
	f, err := Open(t.Context(), name, Exclusive, true)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// Who waits for a file that is removed meanwhile gets the one that has the name then.
func TestRemoved(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "lock")
	own := open(t, name, Exclusive, nil)
	go func() {
		time.Sleep(150 * time.Millisecond)
		os.Remove(name)
		own.Close()
	}()
	f, err := Open(t.Context(), name, Exclusive, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	held, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	named, err := os.Stat(name)
	if err != nil || !os.SameFile(held, named) {
		t.Errorf("the lock is on a file that has no name: %v", err)
	}
}

func TestLink(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "mine"), filepath.Join(dir, "lock")); err != nil {
		t.Fatal(err)
	}
	if f, err := Open(t.Context(), filepath.Join(dir, "lock"), Exclusive, true); err == nil {
		f.Close()
		t.Error("a link was followed")
	}
	if _, err := os.Stat(filepath.Join(dir, "mine")); err == nil {
		t.Error("and a file made")
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "nosuch", "lock"), Exclusive, true); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v, want %v", err, os.ErrNotExist)
	}
}
