//go:build unix

package pull

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/kernels/flock"
)

// TestLinkInCache: a link that somebody put where a part of a download will be is not written through.
func TestLinkInCache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	mine, part := filepath.Join(dir, "mine"), filepath.Join(dir, "x.part")
	if err := os.WriteFile(mine, []byte("precious"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(mine, part); err != nil {
		t.Fatal(err)
	}
	if f, err := flock.Open(t.Context(), part, flock.Exclusive, true); !errors.Is(err, unix.ELOOP) {
		if err == nil {
			f.Close()
		}
		t.Errorf("%v, want that links are not followed", err)
	}
	of := filepath.Join(dir, "x.part.of")
	if err := os.Symlink(mine, of); err != nil {
		t.Fatal(err)
	}
	f, err := flock.Open(t.Context(), filepath.Join(dir, "y.part"), flock.Exclusive, true)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := &partFile{f: f, of: of, done: func(int64) {}}
	if err := p.restart("etag"); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(mine); err != nil || string(got) != "precious" {
		t.Errorf("%q, %v: it was written through a link", got, err)
	}
}
