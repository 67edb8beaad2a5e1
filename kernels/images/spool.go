package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/source"
)

// spool holds the modules of a package as they are stored in it, in one file that goes when the pass is over: which of them are
// needed is known only when all were seen, and to expand the package twice takes longer than to write it once.
type spool struct {
	name string // of the package, for errors
	f    *os.File
	end  int64
	at   map[string]section // by path

	// With a list that is made, each module's .modinfo is read beside what comes after it.
	jobs chan job
	wg   sync.WaitGroup
	mu   sync.Mutex
	list []info
	errs []error
}

type section struct{ off, size int64 }

type job struct {
	path  string
	place source.FilePlace
	section
}

// newSpool begins a spool; index has the list of modules made.
func newSpool(dir, name string, index bool) (*spool, error) {
	f, err := os.CreateTemp(dir, unfinished+"*")
	if err != nil {
		return nil, err
	}
	s := &spool{name: name, f: f, at: map[string]section{}}
	if index {
		jobs := make(chan job, 64)
		s.jobs = jobs
		for range runtime.GOMAXPROCS(0) {
			s.wg.Go(func() { s.work(jobs) })
		}
	}
	return s, nil
}

// close removes the file.
func (s *spool) close() {
	if s.jobs != nil {
		close(s.jobs)
		s.jobs = nil
		s.wg.Wait()
	}
	s.f.Close()
	os.Remove(s.f.Name())
}

// add takes a module.
func (s *spool) add(f *source.PackageFile, r io.Reader) error {
	if f.Size > maxModule {
		return s.errorf(f.Path, "%d bytes, the limit for a module is %d", f.Size, maxModule)
	}
	if len(s.at) >= maxModules {
		return s.errorf("", "more than %d modules are in it", maxModules)
	}
	n, err := io.Copy(s.f, io.LimitReader(r, f.Size))
	if err != nil {
		return err
	}
	if n != f.Size {
		return s.errorf(f.Path, "%d of %d bytes are there", n, f.Size)
	}
	at := section{s.end, n}
	s.at[f.Path] = at
	s.end += n
	if s.jobs != nil {
		s.jobs <- job{f.Path, f.FilePlace, at}
	}
	return nil
}

// finish waits for what is being read, and returns the list in the order of paths. A module that can't be read is in no list:
// nothing can depend on it, and the kernel would refuse it; where all are like that the package is damaged.
func (s *spool) finish() ([]info, error) {
	if s.jobs == nil {
		return nil, nil
	}
	close(s.jobs)
	s.jobs = nil
	s.wg.Wait()
	if len(s.list) == 0 && len(s.errs) > 0 {
		slices.SortFunc(s.errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
		return nil, s.errs[0]
	}
	slices.SortFunc(s.list, func(a, b info) int { return strings.Compare(a.Path, b.Path) })
	return s.list, nil
}

func (s *spool) work(jobs <-chan job) {
	var x btfinfo.Expander
	defer x.Close()
	var buf bytes.Buffer
	for j := range jobs {
		m, err := readInfo(io.NewSectionReader(s.f, j.off, j.size), j.size, &x, &buf)
		s.mu.Lock()
		if err != nil {
			s.errs = append(s.errs, inFile(err, s.name, j.path))
		} else {
			m.Path, m.Uname, m.Name = j.path, j.place.Uname, j.place.Module
			s.list = append(s.list, m)
		}
		s.mu.Unlock()
	}
}

func (s *spool) errorf(member, format string, args ...any) error {
	return (&pass{ctx: context.Background(), name: s.name}).errorf(member, format, args...)
}

// keptBuffer is the largest buffer, in bytes, that is kept for the next module.
const keptBuffer = 32 << 20

// readInfo reads what a module of size bytes says of itself, expanding it where it is compressed.
func readInfo(r *io.SectionReader, size int64, x *btfinfo.Expander, buf *bytes.Buffer) (info, error) {
	if err := x.Reset(r); err != nil {
		return info{}, err
	}
	var elf io.ReaderAt = r
	if x.Format() != "" {
		if buf.Reset(); buf.Cap() > keptBuffer {
			*buf = bytes.Buffer{}
		}
		limit := moduleLimit(size)
		if _, err := buf.ReadFrom(io.LimitReader(x, limit+1)); err != nil {
			return info{}, err
		}
		if int64(buf.Len()) > limit {
			return info{}, &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("%d bytes expand to more than %d", size, limit)}
		}
		elf, size = bytes.NewReader(buf.Bytes()), int64(buf.Len())
	}
	m, err := btfinfo.ReadModuleInfo(elf, size, "")
	if err != nil {
		var e *btfinfo.Error
		if errors.As(err, &e) {
			e.File = strings.TrimPrefix(e.File, ": ")
		}
		return info{}, err
	}
	return infoOf(m), nil
}
