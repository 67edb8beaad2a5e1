package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/btfinfo"
)

// UpdateOptions of Update.
type UpdateOptions struct {
	// Wait waits for another writer of the same archive to end; without it, Update returns ErrBusy.
	Wait bool
}

// ErrBusy means that another process is writing the archive.
var ErrBusy = errors.New("another corecheck is writing the archive")

// Update changes an archive file, or makes it: change gets a Writer with the kernels that are in it. Where change returns
// nil the new archive takes the old one's place at once and whole; on any error, and if the process dies, the old one
// stays. Readers that have it open go on with the old one.
//
// The new archive is written to a file beside it (path + ".new"), synced and read back before it is renamed. Writers
// exclude each other by a lock on path + ".lock", which the system drops when they end in any way.
func Update(path string, opt UpdateOptions, change func(*Writer) error) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	// A symbolic link stays one: what it points to is replaced.
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return err
	}
	defer lock.Close()
	how := unix.LOCK_EX
	if !opt.Wait {
		how |= unix.LOCK_NB
	}
	for {
		if err = unix.Flock(int(lock.Fd()), how); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return &btfinfo.Error{File: path, Off: -1, Msg: "can't be changed now", Err: ErrBusy, Hint: "wait until it is done"}
	}
	if err != nil {
		return fmt.Errorf("%s.lock: %w", path, err)
	}

	w := NewWriter()
	old, err := Open(path)
	mode := fs.FileMode(0o666)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return err
	default:
		defer old.Close()
		if old.newer != "" {
			return &btfinfo.Error{File: path, Off: -1, Msg: fmt.Sprintf("has %s that this corecheck does not know and would lose", old.newer),
				Hint: "use the corecheck that wrote it, or a newer one"}
		}
		if err := w.Merge(old); err != nil {
			return err
		}
		if st, err := os.Stat(path); err == nil {
			mode = st.Mode().Perm()
		}
	}
	if err := change(w); err != nil {
		return err
	}
	return w.replace(path, old, mode)
}

// WriteFile writes the archive to a new file, or in the place of an old one, as Update does.
func (w *Writer) WriteFile(path string) error { return w.replace(path, nil, 0o666) }

func (w *Writer) replace(path string, old *Archive, mode fs.FileMode) error {
	data, err := w.Encode(old)
	if err != nil {
		return err
	}
	temp := path + ".new"
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one that was killed
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = w.readBack(temp)
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// readBack holds what is on the disk against what was written: all checksums, and the list of kernels.
func (w *Writer) readBack(path string) error {
	a, err := Open(path)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.checkSums(); err != nil {
		return err
	}
	want := w.Kernels()
	if len(want) != a.Len() {
		return fmt.Errorf("%s: wrote %d kernels, read back %d", path, len(want), a.Len())
	}
	for i := range want {
		if want[i].ID != a.kernels[i].ID {
			return fmt.Errorf("%s: wrote kernel %s, read back %s", path, want[i].ID, a.kernels[i].ID)
		}
	}
	return nil
}

// checkSums reads every part once.
func (a *Archive) checkSums() error {
	for _, s := range a.sections {
		for _, p := range s.parts {
			if _, err := a.storedIn(s.tag, p); err != nil {
				return err
			}
		}
	}
	return nil
}
