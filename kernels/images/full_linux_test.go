package images

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// A full disk is said as what it is, and leaves nothing that fills it further.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	one := whole()
	image := len(one.Files["boot/vmlinuz-"+oldUname])
	for name, bytes := range map[string]int{"package": 32 << 10, "image": len(one.Build()) + image, "spool": len(one.Build()) + image + 12<<10} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.suite(t, "bookworm", "12.15", one)
			k := archived(t, "12", one)
			if err := os.MkdirAll(w.cache, 0o755); err != nil {
				t.Fatal(err)
			}
			if err := unix.Mount("tmpfs", w.cache, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
				t.Skipf("no small file system can be mounted (%v): no full disk is tried", err)
			}
			t.Cleanup(func() {
				if err := unix.Unmount(w.cache, 0); err != nil {
					t.Error(err)
				}
			})
			f := w.finder(t, nil)
			files, err := f.Find(t.Context(), k, []string{"ext4", "later", "base", "x"})
			if err == nil {
				files.Close()
			}
			wantErr(t, err, "no space left on device")
			filepath.WalkDir(w.cache, func(path string, d os.DirEntry, err error) error {
				if base := filepath.Base(path); err != nil || strings.HasPrefix(base, unfinished) || strings.HasSuffix(base, ".part") {
					t.Errorf("%s is left (%v)", path, err)
				}
				return nil
			})
			if err := unix.Mount("", w.cache, "", unix.MS_REMOUNT, "size=4m"); err != nil {
				t.Fatal(err)
			}
			files, err = f.Find(t.Context(), k, []string{"ext4"})
			if err != nil {
				t.Fatalf("with room again: %v", err)
			}
			look(t, files, oldUname, ext4Order)
			files.Close()
			f.Close()
		})
	}
}

// A disk without room for a package that a kernel could do without is an error as well.
func TestFullDiskConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	image, _, base := split()
	noise := make([]byte, 1<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	base.Files["usr/share/doc/large"] = noise
	w.suite(t, "trixie-backports", "13", image, base)
	k := archived(t, "13", image)
	if err := os.MkdirAll(w.cache, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", w.cache, "tmpfs", 0, "size=512k"); err != nil {
		t.Skipf("no small file system can be mounted (%v): no full disk is tried", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(w.cache, 0); err != nil {
			t.Error(err)
		}
	})
	files, err := w.finder(t, nil).Find(t.Context(), k, nil)
	if err == nil {
		files.Close()
	}
	wantErr(t, err, "no space left on device")
}

// A cache that can't be written to is said by name.
func TestUnwritableCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := whole()
	w.suite(t, "bookworm", "12.15", one)
	k := archived(t, "12", one)
	write(t, w.cache, []byte("a file where the folder should be"))
	_, err := w.finder(t, nil).Find(t.Context(), k, nil)
	wantErr(t, err, w.cache, "XDG_CACHE_HOME", "not a directory")
}
