package btfinfo

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// Expander expands a stream that is compressed in one of the ways that packages are: gzip, xz, zstd, bzip2, lz4. What is not
// compressed it passes on as it stands. The zero value is ready for Reset, and one Expander for many streams keeps its
// memory, of which the largest part is the decompressor's window, at most 128 MiB.
//
// It does not bound what comes out of it; that is for its user.
type Expander struct {
	in     *bufio.Reader
	format format
	r      io.Reader
	n      int64 // bytes that came out
	err    error // what ended it

	gzip *gzip.Reader
	xz   *xz.Reader
	zstd *zstd.Decoder
}

// expanderBuffer is enough to see what is compressed, and to read a disk or a socket in good pieces.
const expanderBuffer = 64 << 10

// Reset starts with another stream. Errors are *Error values.
func (x *Expander) Reset(r io.Reader) (err error) {
	defer x.guard(&err)
	if x.in == nil {
		x.in = bufio.NewReaderSize(r, expanderBuffer)
	} else {
		x.in.Reset(r)
	}
	x.r, x.n, x.err, x.format = nil, 0, nil, formatNone
	head, err := x.in.Peek(16)
	if err != nil && err != io.EOF {
		x.err = err
		return err
	}
	err = nil
	x.format = sniff(head)
	switch x.format {
	case formatGzip:
		if x.gzip == nil {
			x.gzip, err = gzip.NewReader(x.in)
		} else {
			err = x.gzip.Reset(x.in)
		}
		x.r = x.gzip
	case formatXz:
		if x.xz == nil {
			x.xz, err = xz.NewReader(x.in, maxWindow)
		} else {
			err = x.xz.Reset(x.in)
		}
		x.r = x.xz
	case formatZstd:
		if x.zstd == nil {
			x.zstd, err = zstd.NewReader(x.in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(1<<40))
		} else {
			err = x.zstd.Reset(x.in)
		}
		x.r = x.zstd
	case formatBzip2, formatLz4, formatLz4Legacy:
		x.r, err = newDecompressor(x.in, x.format, false, maxWindow, nil)
	default:
		x.format, x.r = formatNone, x.in
	}
	if err != nil {
		x.fail(err)
	}
	return x.err
}

// Format is "gzip", "xz", "zstd", "bzip2" or "lz4", and "" where the stream is not compressed.
func (x *Expander) Format() string {
	if x.format == formatNone {
		return ""
	}
	return x.format.String()
}

// Read gives what the stream expands to. Errors but io.EOF are *Error values, or those of the reader below where nothing is
// compressed.
func (x *Expander) Read(p []byte) (n int, err error) {
	defer x.guard(&err)
	if x.err != nil {
		return 0, x.err
	}
	if x.r == nil {
		return 0, io.EOF
	}
	n, err = x.r.Read(p)
	x.n += int64(n)
	if err == io.EOF {
		x.err = err
	} else if err != nil {
		x.fail(err)
	}
	return n, x.err
}

// Close gives back what a decompressor holds. The Expander may be used again.
func (x *Expander) Close() {
	if x.zstd != nil {
		x.zstd.Close()
	}
	*x = Expander{err: errors.New("closed")}
}

// fail keeps the error that ended the stream.
func (x *Expander) fail(err error) {
	if x.format == formatNone {
		x.err = err
		return
	}
	z := inflated{format: x.format, pos: x.n}
	x.err = z.damaged(err)
}

// guard makes an error of a panic: the decompressors are others' code and eat strangers' files.
func (x *Expander) guard(err *error) {
	if p := recover(); p != nil {
		x.gzip, x.xz, x.zstd = nil, nil, nil
		x.fail(fmt.Errorf("the decompressor failed: %v", p))
		*err = x.err
	}
}
