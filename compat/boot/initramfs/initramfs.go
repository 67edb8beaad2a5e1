// Package initramfs writes the archive that a Linux kernel unpacks as its first root file system: cpio in the form
// "newc", uncompressed.
//
// Sources, all of Linux v6.12: Documentation/driver-api/early-userspace/buffer-format.rst (the format),
// init/initramfs.c (what the kernel makes of it: names and link targets of up to PATH_MAX bytes, entries of one inode
// that are links of each other when they say so). Archives may stand one after the other ("initramfs := ("\0" |
// cpio_archive | cpio_gzip_archive)*" there), each at a multiple of 4 bytes, which is where this package ends one.
// corecheck writes one archive a guest all the same: the 20 MB take some 20 ms, beside the seconds of a boot.
package initramfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"
)

const (
	magic   = "070701"
	trailer = "TRAILER!!!"
	align   = 4
	// maxName is PATH_MAX of Linux, in which the final NUL counts: do_header() in init/initramfs.c drops what is
	// longer, without a word.
	maxName = 4096
	maxFile = math.MaxUint32 // eight hexadecimal digits
	maxDev  = 1<<20 - 1      // MINORBITS in include/linux/kdev_t.h; a major number has 12 bits, which is for the kernel to check
)

// File types in a mode: include/uapi/linux/stat.h.
const (
	modeChar    = 0o020000
	modeDir     = 0o040000
	modeRegular = 0o100000
	modeLink    = 0o120000
)

// Writer writes an archive. Folders above an entry are made as needed (mode 0755). Names are slash-separated, with or
// without a slash at the beginning. The same calls give the same bytes: owner is root, times are zero. After an error
// of the writer below, every call returns it.
type Writer struct {
	w    io.Writer
	off  int64
	ino  uint32
	seen map[string]bool // by name: whether it is a folder
	err  error
}

// NewWriter begins an archive.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w, seen: map[string]bool{}} }

// Dir adds a folder. One that is there already, for the sake of what is below it, is left as it is.
func (w *Writer) Dir(name string, perm fs.FileMode) error {
	clean, err := w.begin(name)
	if err != nil || w.seen[clean] {
		return err
	}
	return w.entry(clean, modeDir|uint32(perm.Perm()), 0, 0, 0)
}

// File adds a file.
func (w *Writer) File(name string, perm fs.FileMode, content []byte) error {
	return w.file(name, perm, bytes.NewReader(content), int64(len(content)))
}

// Copy adds a file with the content of the file at path, which is read in pieces.
func (w *Writer) Copy(name string, perm fs.FileMode, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	if err := w.file(name, perm, f, info.Size()); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// Symlink adds a symbolic link to target.
func (w *Writer) Symlink(name, target string) error {
	if target == "" || len(target) >= maxName || strings.Contains(target, "\x00") {
		return fmt.Errorf("%s: a link's target has 1 to %d bytes and no NUL, this has %d", name, maxName-1, len(target))
	}
	clean, err := w.begin(name)
	if err != nil {
		return err
	}
	if err := w.entry(clean, modeLink|0o777, int64(len(target)), 0, 0); err != nil {
		return err
	}
	w.write([]byte(target))
	return w.pad()
}

// Char adds a character device.
func (w *Writer) Char(name string, perm fs.FileMode, major, minor uint32) error {
	if max(major, minor) > maxDev {
		return fmt.Errorf("%s: device %d:%d is out of range", name, major, minor)
	}
	clean, err := w.begin(name)
	if err != nil {
		return err
	}
	return w.entry(clean, modeChar|uint32(perm.Perm()), 0, major, minor)
}

// Close ends the archive. It does not close the file below.
func (w *Writer) Close() error {
	w.ino = math.MaxUint32 // entry makes 0 of it
	if err := w.entry(trailer, 0, 0, 0, 0); err != nil {
		return err
	}
	w.err = errors.New("the archive is at its end")
	return nil
}

func (w *Writer) file(name string, perm fs.FileMode, r io.Reader, size int64) error {
	if size > maxFile {
		return fmt.Errorf("%s: %d bytes, a file in an initramfs has at most %d", name, size, int64(maxFile))
	}
	clean, err := w.begin(name)
	if err != nil {
		return err
	}
	if err := w.entry(clean, modeRegular|uint32(perm.Perm()), size, 0, 0); err != nil {
		return err
	}
	n, err := io.Copy(w.w, io.LimitReader(r, size))
	w.off += n
	if err == nil && n < size {
		err = fmt.Errorf("%s: %d bytes could be read, there were to be %d", name, n, size)
	}
	if err != nil {
		w.err = err // the header said otherwise: the archive is lost
		return err
	}
	return w.pad()
}

// begin checks a name and makes the folders above it.
func (w *Writer) begin(name string) (clean string, err error) {
	if w.err != nil {
		return "", w.err
	}
	clean = strings.TrimPrefix(path.Clean("/"+name), "/")
	switch {
	case clean == "" || strings.Contains(name, "\x00"):
		return "", fmt.Errorf("%q names no file", name)
	case len(clean) >= maxName:
		return "", fmt.Errorf("%.40q…: a name of %d bytes, the kernel takes %d", name, len(clean), maxName-1)
	case clean == trailer:
		return "", fmt.Errorf("%q is the mark at the end of an archive", name)
	}
	// path.Clean resolves "..": a name that has it is somebody's attempt, or mistake.
	for _, part := range strings.Split(name, "/") {
		if part == ".." {
			return "", fmt.Errorf("%q leads out of its folder", name)
		}
	}
	if _, ok := w.seen[clean]; ok && !w.seen[clean] {
		return "", fmt.Errorf("%s is in the archive twice", clean)
	}
	for i, c := range clean {
		if c != '/' {
			continue
		}
		isDir, ok := w.seen[clean[:i]]
		if ok && !isDir {
			return "", fmt.Errorf("%s: %s is no folder", clean, clean[:i])
		}
		if !ok {
			if err := w.entry(clean[:i], modeDir|0o755, 0, 0, 0); err != nil {
				return "", err
			}
		}
	}
	return clean, nil
}

// entry writes a header and a name.
func (w *Writer) entry(name string, mode uint32, size int64, major, minor uint32) error {
	if w.err != nil {
		return w.err
	}
	if _, ok := w.seen[name]; ok {
		return fmt.Errorf("%s is in the archive twice", name)
	}
	isDir := mode&modeDir != 0 // no other type here has the bit
	w.seen[name] = isDir
	links := 1
	if isDir {
		links = 2
	}
	w.ino++ // each entry its own: equal numbers would be hard links
	w.write(fmt.Appendf(nil, "%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", magic,
		w.ino, mode, 0, 0, links, 0, size, 0, 0, major, minor, len(name)+1, 0, name))
	return w.pad()
}

func (w *Writer) write(b []byte) {
	if w.err == nil {
		n, err := w.w.Write(b)
		w.off += int64(n)
		w.err = err
	}
}

func (w *Writer) pad() error {
	if n := w.off % align; n != 0 {
		w.write(make([]byte, align-n))
	}
	return w.err
}
