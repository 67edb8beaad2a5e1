package pull

import (
	"bytes"
	"compress/bzip2"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
)

// maxWindow is the most memory, in bytes, that a compressed index may ask for; xz -9 and zstd -19 need 64 and 8 MiB.
const maxWindow = 128 << 20

// expand reads a compressed index, of at most limit bytes. Which compression it is, the ending of its name says, since that is what
// the signed index above it lists.
func expand(extension string, data []byte, limit int64) (io.ReadCloser, error) {
	in := bytes.NewReader(data)
	var r io.Reader
	closeIt := func() {}
	switch extension {
	case "":
		r = in
	case ".gz":
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		r = z
	case ".xz":
		z, err := xz.NewReader(in, maxWindow)
		if err != nil {
			return nil, err
		}
		r = z
	case ".zst":
		z, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return nil, err
		}
		r, closeIt = z, z.Close
	case ".bz2":
		r = bzip2.NewReader(in)
	default:
		return nil, fmt.Errorf("compression %q can't be read", extension)
	}
	return &expander{&limitReader{r: r, left: limit, limit: limit}, closeIt}, nil
}

// expander is a reader that is closed.
type expander struct {
	io.Reader
	closeIt func()
}

func (e *expander) Close() error {
	e.closeIt()
	return nil
}

// limitReader fails, other than io.LimitReader, where there is more.
type limitReader struct {
	r           io.Reader
	left, limit int64
}

func (l *limitReader) Read(b []byte) (int, error) {
	if int64(len(b)) > l.left+1 {
		b = b[:l.left+1]
	}
	n, err := l.r.Read(b)
	if int64(n) > l.left {
		return 0, &errTooLarge{l.limit}
	}
	l.left -= int64(n)
	return n, err
}
