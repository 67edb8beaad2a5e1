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
	path, unlock, err := lockFor(path, opt.Wait)
	if err != nil {
		return err
	}
	defer unlock()

	w := NewWriter()
	old, err := Open(path)
	mode := fs.FileMode(0) // that of a new file
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return err
	default:
		defer old.Close()
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
	return w.replace(path, path+".new", old, mode)
}

// lockFor takes the writers' lock of an archive. It returns the path of the file itself, where path is a symbolic link: the
// link stays one, and what it points to is replaced.
func lockFor(path string, wait bool) (target string, unlock func(), err error) {
	if t, err := filepath.EvalSymlinks(path); err == nil {
		path = t
	}
	lock, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR|unix.O_CLOEXEC, 0o666)
	if err != nil {
		return "", nil, err
	}
	how := unix.LOCK_EX
	if !wait {
		how |= unix.LOCK_NB
	}
	for {
		if err = unix.Flock(int(lock.Fd()), how); !errors.Is(err, unix.EINTR) {
			break
		}
	}
	switch {
	case errors.Is(err, unix.EWOULDBLOCK):
		err = &btfinfo.Error{File: path, Off: -1, Msg: "can't be changed now", Err: ErrBusy, Hint: "wait until it is done"}
	case err != nil:
		err = fmt.Errorf("%s.lock: %w", path, err)
	default:
		return path, func() {
			// Closing alone would leave the lock to a child process that was forked, and did not exec yet.
			unix.Flock(int(lock.Fd()), unix.LOCK_UN)
			lock.Close()
		}, nil
	}
	lock.Close()
	return "", nil, err
}

// WriteFile writes the archive to a new file, or in the place of an old one, at once and whole as Update does. It neither
// reads the old one nor keeps other writers out: of several, the archive of the last one stays.
func (w *Writer) WriteFile(path string) error {
	return w.replace(path, fmt.Sprintf("%s.%d.new", path, os.Getpid()), nil, 0)
}

// replace puts the archive in the place of a file, by way of temp, a name that nobody else uses. A mode of 0 is that of a
// new file.
func (w *Writer) replace(path, temp string, old *Archive, mode fs.FileMode) error {
	data, err := w.Encode(old)
	if err != nil {
		return err
	}
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one that was killed
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	if mode != 0 {
		err = f.Chmod(mode) // a umask would take from what the old one had
	}
	if err == nil {
		_, err = f.Write(data)
	}
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
	// Some file systems can't sync a folder (EINVAL, ENOTSUP); the archive is in its place all the same.
	if err := dir.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
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
			if _, err := a.storedIn(nil, s.tag, p); err != nil {
				return err
			}
		}
	}
	return nil
}
