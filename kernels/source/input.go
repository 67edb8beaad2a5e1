package source

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Limits of what is believed of a package. Kernel packages expand by 1 to 6; their lists of files have up to 30,000 lines.
const (
	freeExpansion  = 256 << 20 // bytes that any package may expand to
	maxRatio       = 64        // and beyond that, for each byte read
	maxExpansion   = 16 << 30  // and never more
	maxMetadata    = 64 << 20  // bytes of a control file, a list of files, or the header of an RPM package
	maxMembers     = 1 << 20   // files in a package
	maxConfig      = 4 << 20   // bytes of a configuration; Debian's have 270 kB
	maxHeldImage   = 64 << 20  // bytes of an image that is read beside what comes after it
	maxModule      = 256 << 20 // bytes of a module, expanded
	moduleRatio    = 64        // what a module expands by, beyond the first megabytes
	freeModule     = 16 << 20
	contextEvery   = 1 << 20 // bytes between looks whether the caller gave up
	progressEvery  = 4 << 20 // bytes between calls of Options.Progress
	checkDamaged   = "the file is damaged or cut off: fetch or build it anew"
	checkHostile   = "no tool that builds packages makes this: where does the file come from?"
	checkNoPackage = "want a .deb or .rpm package of a kernel"
)

// counted counts what is read of an input, tells how far that is, and ends when the caller gives up.
type counted struct {
	ctx      context.Context
	r        *bufio.Reader
	n        int64 // bytes read
	checked  int64
	reported int64
	progress func(read int64)
}

func newCounted(ctx context.Context, r io.Reader, progress func(int64)) *counted {
	return &counted{ctx: ctx, r: bufio.NewReaderSize(r, 128<<10), progress: progress}
}

func (c *counted) Read(p []byte) (int, error) {
	if c.n == 0 || c.n-c.checked >= contextEvery {
		c.checked = c.n
		if err := c.ctx.Err(); err != nil {
			return 0, err
		}
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	if c.progress != nil && c.n-c.reported >= progressEvery {
		c.reported = c.n
		c.progress(c.n)
	}
	return n, err
}

// bounded counts what comes out of a decompressor, and stops where that is out of proportion to what went in.
type bounded struct {
	r   io.Reader
	in  *counted
	out int64
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.r.Read(p)
	b.out += int64(n)
	if limit := min(freeExpansion+maxRatio*b.in.n, maxExpansion); b.out > limit {
		return n, &btfinfo.Error{
			Off: -1, Msg: fmt.Sprintf("%d bytes of the package expand to more than %d", b.in.n, limit),
			Hint: "a kernel's package expands to at most 6 times its size; " + checkHostile,
		}
	}
	return n, err
}

// errAt is an error about the bytes at off of a file.
func errAt(off int64, cause error, format string, args ...any) *btfinfo.Error {
	return &btfinfo.Error{Off: off, Msg: fmt.Sprintf(format, args...), Err: cause, Hint: checkDamaged}
}

// inside puts the way to err before it: the file as the caller named it, then the members.
func inside(err error, steps ...string) *btfinfo.Error {
	way := strings.Join(steps, ": ")
	var e *btfinfo.Error
	if !errors.As(err, &e) {
		return &btfinfo.Error{File: way, Off: -1, Msg: "can't be read", Err: err, Hint: checkDamaged}
	}
	c := *e
	if c.File != "" {
		way += ": " + c.File
	}
	c.File = way
	return &c
}
