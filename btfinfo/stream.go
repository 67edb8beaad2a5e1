package btfinfo

import (
	"fmt"
	"io"
)

// ReadStream is Read for an input of size bytes that comes once and in order, as a file in a package does; -1 is a size that is
// not known. What passes of it is held, up to 192 MiB: a vmlinux with its debug information is larger, but has its BTF
// before that. r is read no further than is needed.
func ReadStream(r io.Reader, size int64, name string, opt *Options) (*File, error) {
	limit := size
	if size < 0 || size > streamHeld {
		limit = streamHeld
	}
	if opt == nil {
		opt = &Options{}
	}
	o := &opener{opt: *opt, limit: expandLimit(limit), windows: windowLimit(limit)}
	file, err := o.open(&input{r: &stream{r: r}, size: -1}, 0)
	return o.done(name, file, err)
}

// streamHeld is how many bytes of a stream are held at most.
const streamHeld = 192 << 20

// stream gives random access to what has passed of a reader, and reads on where more is asked for.
type stream struct {
	r    io.Reader
	held []byte
	err  error // what ended r
}

func (s *stream) ReadAt(p []byte, off int64) (int, error) {
	end := off + int64(len(p))
	for s.err == nil && int64(len(s.held)) < end {
		if len(s.held) >= streamHeld {
			s.err = &Error{
				Off: -1, Msg: fmt.Sprintf("what is looked for is not in the first %d bytes, which is what is held of a stream", streamHeld),
				Hint: "unpack the file, and name it",
			}
			break
		}
		if len(s.held) == cap(s.held) {
			s.held = append(make([]byte, 0, min(max(1<<20, 2*cap(s.held)), streamHeld)), s.held...)
		}
		n, err := s.r.Read(s.held[len(s.held):min(int64(cap(s.held)), end)])
		s.held = s.held[:len(s.held)+n]
		s.err = err
	}
	if off >= int64(len(s.held)) {
		return 0, s.err
	}
	n := copy(p, s.held[off:])
	if n < len(p) {
		return n, s.err
	}
	return n, nil
}
