package source

import (
	"errors"
	"io"
	"strconv"
)

// cpioReader reads the archive in an RPM package as a stream: the "new ASCII" format of cpio, with or without a checksum, and RPM's
// own short form, in which a file is named by its index in the package's header.
//
// Sources: cpio(5) of libarchive ("New ASCII Format", "New CRC Format"), and lib/cpio.cc and lib/rpmfi.cc of rpm 4.20
// (rpmcpioHeaderRead, CPIO_STRIPPED_MAGIC).
type cpioReader struct {
	in    io.Reader
	files []rpmFile // of the header, for the short form
	n     int64     // bytes read
	left  int64     // of the member
}

const (
	cpioNew      = "070701"
	cpioCRC      = "070702"
	cpioStripped = "07070X"
	cpioTrailer  = "TRAILER!!!"
	cpioHeader   = 110 // bytes: the mark and 13 numbers of 8 digits
	maxPath      = 4096
	modeType     = 0o170000 // the kind of a file in its mode: S_IFMT of stat(2)
	modeRegular  = 0o100000
	modeLink     = 0o120000

	modePermissions = 0o7777 // what of a mode are permissions
)

// cpioMember is the header of a member.
type cpioMember struct {
	path  string
	size  int64
	mode  uint32
	inode uint64
	links uint32
}

func (c *cpioReader) fill(p []byte, what string) error {
	n, err := io.ReadFull(c.in, p)
	c.n += int64(n)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errAt(c.n, errors.New("the archive ends too early"), "%s is not complete", what)
	}
	return err
}

// skip passes n bytes.
func (c *cpioReader) skip(n int64) error {
	m, err := io.CopyN(io.Discard, c.in, n)
	c.n += m
	if err == io.EOF {
		return errAt(c.n, errors.New("the archive ends too early"), "%d more bytes are said to be in it", n-m)
	}
	return err
}

// align passes the padding to a multiple of 4.
func (c *cpioReader) align() error { return c.skip(-c.n & 3) }

// next skips what is left of the member and returns the next one; io.EOF at the trailer.
func (c *cpioReader) next() (cpioMember, error) {
	if err := c.skip(c.left); err != nil {
		return cpioMember{}, err
	}
	c.left = 0
	if err := c.align(); err != nil {
		return cpioMember{}, err
	}
	at := c.n
	var h [cpioHeader]byte
	if err := c.fill(h[:6], "the header of a file"); err != nil {
		return cpioMember{}, err
	}
	var m cpioMember
	switch magic := string(h[:6]); magic {
	case cpioStripped:
		if err := c.fill(h[6:14], "the header of a file"); err != nil {
			return m, err
		}
		i, err := strconv.ParseUint(string(h[6:14]), 16, 32)
		if err != nil {
			return m, errAt(at+6, nil, "the index of a file is %q, want 8 hexadecimal digits", h[6:14])
		}
		if i >= uint64(len(c.files)) {
			return m, errAt(at+6, nil, "file %d of the package is in its archive, the header has %d", i, len(c.files))
		}
		f := c.files[i]
		m = cpioMember{path: f.path, size: f.size, mode: f.mode, inode: uint64(f.inode), links: uint32(f.links)}
		if m.mode&modeType != modeRegular && m.mode&modeType != modeLink {
			m.size = 0
		}
	case cpioNew, cpioCRC:
		if err := c.fill(h[6:], "the header of a file"); err != nil {
			return m, err
		}
		var v [13]uint32
		for i := range v {
			field := h[6+8*i : 14+8*i]
			n, err := strconv.ParseUint(string(field), 16, 32)
			if err != nil {
				return m, errAt(at+6+8*int64(i), nil, "a number in the header of a file is %q, want 8 hexadecimal digits", field)
			}
			v[i] = uint32(n)
		}
		m = cpioMember{inode: uint64(v[0]) | uint64(v[7])<<32 ^ uint64(v[8])<<48, mode: v[1], links: v[4], size: int64(v[6])}
		nameLen := v[11]
		if nameLen == 0 || nameLen > maxPath {
			return m, errAt(at+94, nil, "the name of a file has %d bytes, the limit is %d", nameLen, maxPath)
		}
		name := make([]byte, nameLen)
		if err := c.fill(name, "the name of a file"); err != nil {
			return m, err
		}
		if name[nameLen-1] != 0 {
			return m, errAt(at+cpioHeader, nil, "the name of a file ends in %#02x, want 0", name[nameLen-1])
		}
		m.path = string(name[:nameLen-1])
	default:
		return m, errAt(at, nil, "the header of a file starts with %q, want %q", magic, cpioNew)
	}
	if err := c.align(); err != nil {
		return m, err
	}
	if m.path == cpioTrailer {
		return m, io.EOF
	}
	c.left = m.size
	return m, nil
}

// Read reads the content of the member.
func (c *cpioReader) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n, err := c.in.Read(p[:min(int64(len(p)), c.left)])
	c.n += int64(n)
	c.left -= int64(n)
	if err == io.EOF && c.left > 0 {
		err = errAt(c.n, errors.New("the archive ends too early"), "%d more bytes are said to be in the file", c.left)
	}
	return n, err
}
