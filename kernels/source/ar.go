package source

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// arReader reads an archive of ar(1) as a stream, as far as Debian packages use it: names of up to 16 bytes in the header itself.
// There is so little to it that its bounds are easier to see here than in a library's.
//
// Source: deb(5) and ar(5); dpkg's lib/dpkg/ar.c writes the same.
type arReader struct {
	in   *counted
	left int64 // bytes of the member that were not read yet, without the padding
	pad  int64
}

const (
	arMagic  = "!<arch>\n"
	arHeader = 60 // bytes: name 16, date 12, uid 6, gid 6, mode 8, size 10, end 2
)

// arMember is the header of a member.
type arMember struct {
	name string
	size int64
	date int64 // seconds since 1970, -1 where the header does not tell
	off  int64 // of the content, in the file
}

func newAr(in *counted) (*arReader, error) {
	var magic [len(arMagic)]byte
	if _, err := io.ReadFull(in, magic[:]); err != nil {
		return nil, cutOff(in, err, "the mark of an ar archive")
	}
	if string(magic[:]) != arMagic {
		return nil, errAt(0, nil, "no ar archive: starts with % x", magic)
	}
	return &arReader{in: in}, nil
}

// next skips what is left of the member and returns the next one; io.EOF after the last.
func (a *arReader) next() (arMember, error) {
	if _, err := io.CopyN(io.Discard, a.in, a.left+a.pad); err != nil && !(err == io.EOF && a.left == 0) {
		return arMember{}, cutOff(a.in, err, "a member")
	}
	a.left, a.pad = 0, 0
	at := a.in.n
	var h [arHeader]byte
	if _, err := io.ReadFull(a.in, h[:]); err == io.EOF {
		return arMember{}, io.EOF
	} else if err != nil {
		return arMember{}, cutOff(a.in, err, "the header of a member")
	}
	if string(h[58:]) != "`\n" {
		return arMember{}, errAt(at+58, nil, "the header of a member ends in % x, want 60 0a", h[58:])
	}
	size, err := strconv.ParseUint(strings.TrimRight(string(h[48:58]), " "), 10, 63)
	if err != nil {
		return arMember{}, errAt(at+48, nil, "the size of a member is %q, want a number", h[48:58])
	}
	m := arMember{name: strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/"), size: int64(size), date: -1, off: a.in.n}
	if date, err := strconv.ParseInt(strings.TrimRight(string(h[16:28]), " "), 10, 64); err == nil {
		m.date = date
	}
	a.left, a.pad = m.size, m.size&1
	return m, nil
}

// Read reads the content of the member.
func (a *arReader) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	n, err := a.in.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	if err == io.EOF && a.left > 0 {
		err = errAt(a.in.n, errors.New("the file ends too early"), "%d more bytes are said to be in the member", a.left)
	}
	return n, err
}

// cutOff says what was to be read when the input ended; any other error it passes on.
func cutOff(in *counted, err error, what string) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errAt(in.n, errors.New("the file ends too early"), "%s is not complete", what)
	}
	return fmt.Errorf("reading %s: %w", what, err)
}
