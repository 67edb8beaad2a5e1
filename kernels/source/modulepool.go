package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
)

// modulePool takes the BTF out of modules, as many at once as there are CPUs. What waits is bounded by that, too: whoever
// adds a module waits until one of the workers is free.
type modulePool struct {
	jobs    chan moduleJob
	buffers sync.Pool
	wg      sync.WaitGroup
	mu      sync.Mutex // of what the jobs' modules get
}

// moduleJob is a module's file as it is stored: its bytes, or a file on disk.
type moduleJob struct {
	to         func(uname string) *modules // where it goes, by the uname that it was built for
	name, path string                      // path as errors name it
	data       *bytes.Buffer               // nil: in file
	file       string
}

func newModulePool() *modulePool {
	p := &modulePool{jobs: make(chan moduleJob), buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
	for range runtime.GOMAXPROCS(0) {
		p.wg.Add(1)
		go p.work()
	}
	return p
}

// keptBuffer is the largest buffer, in bytes, that is kept for the next module: that of the few larger ones is not.
const keptBuffer = 32 << 20

func (p *modulePool) buffer() *bytes.Buffer { return p.buffers.Get().(*bytes.Buffer) }

func (p *modulePool) release(b *bytes.Buffer) {
	if b.Cap() <= keptBuffer {
		p.buffers.Put(b)
	}
}

func (p *modulePool) add(j moduleJob) { p.jobs <- j }

func (p *modulePool) fail(j moduleJob, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	m := j.to("")
	m.errs = append(m.errs, inside(err, j.path))
}

// close waits until all that was added is done.
func (p *modulePool) close() {
	close(p.jobs)
	p.wg.Wait()
}

func (p *modulePool) work() {
	defer p.wg.Done()
	for j := range p.jobs {
		raw, err := p.read(j)
		if j.data != nil {
			p.release(j.data)
		}
		if err != nil {
			p.fail(j, err)
			continue
		}
		p.mu.Lock()
		if m := j.to(raw.uname); raw.btf == nil {
			m.none++
		} else {
			m.raw = append(m.raw, *raw)
		}
		p.mu.Unlock()
	}
}

// read takes the BTF out of one module.
func (p *modulePool) read(j moduleJob) (*rawModule, error) {
	var stored io.ReadSeeker
	var size int64
	if j.data != nil {
		stored, size = bytes.NewReader(j.data.Bytes()), int64(j.data.Len())
	} else {
		f, err := os.Open(j.file)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		st, err := f.Stat()
		if err != nil {
			return nil, err
		}
		stored, size = f, st.Size()
	}
	x := expanders.Get().(*btfinfo.Expander)
	defer expanders.Put(x)
	if err := x.Reset(stored); err != nil {
		return nil, err
	}
	if x.Format() == "" {
		return moduleBTF(stored.(io.ReaderAt), size, j.name, j.path)
	}
	elf := p.buffer()
	defer p.release(elf)
	elf.Reset()
	limit := min(freeModule+moduleRatio*size, maxModule)
	if _, err := elf.ReadFrom(io.LimitReader(x, limit+1)); err != nil {
		return nil, err
	}
	if int64(elf.Len()) > limit {
		e := errAt(-1, nil, "%d bytes expand to more than %d", size, limit)
		e.Hint = checkHostile
		return nil, e
	}
	return moduleBTF(bytes.NewReader(elf.Bytes()), int64(elf.Len()), j.name, j.path)
}

// moduleBTF takes the BTF out of a module's ELF file; that of the result is nil where it has none.
func moduleBTF(r io.ReaderAt, size int64, name, path string) (*rawModule, error) {
	f, err := btfinfo.Read(r, size, "", &btfinfo.Options{Unparsed: true})
	var e *btfinfo.Error
	if errors.As(err, &e) {
		if e.Found != nil && e.Found.Arch != "bpf" {
			return &rawModule{name: name, path: path, uname: e.Found.Banner.Uname}, nil
		}
		e.File = ""
		return nil, err
	}
	if f.Code || f.Arch == "bpf" {
		return nil, &btfinfo.Error{Off: -1, Msg: "is a BPF program, want a kernel module", Hint: checkHostile}
	}
	if f.Module != "" {
		if got := ModuleName(f.Module); got != name {
			return nil, &btfinfo.Error{
				Off: -1, Msg: fmt.Sprintf("the module in it calls itself %q, its file's name says %q", got, name),
				Hint: "modprobe would find it by its file's name, the kernel shows it by its own",
			}
		}
	}
	return &rawModule{name: name, path: path, btf: f.Raw, own: f.BTF != nil, uname: f.Banner.Uname}, nil
}
