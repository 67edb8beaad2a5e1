// Package initramfs writes the archive that a Linux kernel unpacks as its first root file system: cpio, in the form "newc".
package initramfs

import (
	"errors"
	"io"
	"io/fs"
)

var errNotYet = errors.New("not there yet")

// Writer writes an archive. Folders above an entry are made as needed (mode 0755). Names are slash-separated, with or without
// a slash at the beginning. The same calls give the same bytes: owner is root, times are zero.
type Writer struct{ w io.Writer }

// NewWriter begins an archive.
func NewWriter(w io.Writer) *Writer { return &Writer{w} }

// Dir adds a folder.
func (w *Writer) Dir(name string, perm fs.FileMode) error { return errNotYet }

// File adds a file.
func (w *Writer) File(name string, perm fs.FileMode, content []byte) error { return errNotYet }

// Copy adds a file with the content of the file at path, which is read in pieces.
func (w *Writer) Copy(name string, perm fs.FileMode, path string) error { return errNotYet }

// Symlink adds a symbolic link to target.
func (w *Writer) Symlink(name, target string) error { return errNotYet }

// Char adds a character device.
func (w *Writer) Char(name string, perm fs.FileMode, major, minor uint32) error { return errNotYet }

// Close ends the archive. It does not close the file below.
func (w *Writer) Close() error { return errNotYet }
