package kernels

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
)

// EnvArchive is the environment variable that lists archives, with ':' between them as in PATH (';' on Windows).
const EnvArchive = "CORECHECK_ARCHIVE"

// UserArchive is where a user's kernels are kept unless something else is said: corecheck/kernels.ccar in the data folder of
// the XDG Base Directory Specification 0.8. Nothing has to be there.
func UserArchive() (string, error) {
	dir := os.Getenv("XDG_DATA_HOME")
	// "All paths set in these environment variables must be absolute. If an implementation encounters a relative path …
	// it should consider the path invalid and ignore it."
	if !filepath.IsAbs(dir) {
		home, err := os.UserHomeDir()
		if err != nil || !filepath.IsAbs(home) {
			return "", &btfinfo.Error{Off: -1, Msg: "there is no folder for your kernels: neither XDG_DATA_HOME nor HOME is an absolute path",
				Hint: "name an archive with --archive FILE"}
		}
		dir = filepath.Join(home, ".local", "share")
	}
	return filepath.Join(dir, "corecheck", "kernels.ccar"), nil
}

// EnvArchives are the archives that EnvArchive lists, none where it is empty or not set.
func EnvArchives() []string {
	var list []string
	for _, path := range filepath.SplitList(os.Getenv(EnvArchive)) {
		if path != "" {
			list = append(list, path)
		}
	}
	return list
}

// Archives are the archives that are asked: those that were named; where none were, those of EnvArchive; where there are none
// either, UserArchive if it is there. Only the last may be missing without an error later on.
func Archives(named []string) []string {
	if len(named) > 0 {
		return named
	}
	if env := EnvArchives(); len(env) > 0 {
		return env
	}
	path, err := UserArchive()
	if err != nil {
		return nil // a machine without a home has no archive there
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return []string{path}
}

// ArchiveToWrite is the archive that is changed: the one that was named, or the one of EnvArchive, or UserArchive.
func ArchiveToWrite(named string) (string, error) {
	if named != "" {
		return named, nil
	}
	switch env := EnvArchives(); len(env) {
	case 0:
		return UserArchive()
	case 1:
		return env[0], nil
	default:
		return "", &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("%s lists %d archives, and one can be changed at a time", EnvArchive, len(env)),
			Hint: "say which with --archive FILE"}
	}
}

// OpenArchive opens an archive; its error says what can be done about a file that is not there.
func OpenArchive(path string) (*archive.Archive, error) {
	a, err := archive.Open(path)
	var e *btfinfo.Error
	if err == nil || errors.As(err, &e) {
		return a, err
	}
	return nil, fileErr(path, "can't be opened", err, "is the name right, and may you read it? 'corecheck kernels add' makes an archive")
}

// FromArchiveFile opens an archive and returns its kernels. It stays open as long as the program runs: kernels read what they are
// asked only then.
func FromArchiveFile(path string) ([]*Kernel, error) {
	a, err := OpenArchive(path)
	if err != nil {
		return nil, err
	}
	return FromArchive(a, path), nil
}

// Archived returns the archive that the kernel is in, and its index there; ok is false for a kernel that is in none.
func (k *Kernel) Archived() (a *archive.Archive, index int, ok bool) {
	src, ok := k.source.(archived)
	if !ok {
		return nil, -1, false
	}
	return src.a, k.index, true
}
