package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/source"
)

// FetchOptions say how a plan is fetched.
type FetchOptions struct {
	// CacheDir is where packages are kept, and where transfers that were broken off go on. "" keeps nothing.
	CacheDir string
	// Parallel is how many kernels are worked on at once; 0 is 4.
	Parallel int
	// Modules are those that are read.
	Modules source.ModuleFilter
	// Skip, where not nil, tells that a kernel is not wanted, as one that the archive has.
	Skip func(*Kernel) bool
	// Progress, where not nil, is told what happens. Calls come from several goroutines, but never at once.
	Progress func(Event)
}

// Phase is what happens to a kernel.
type Phase string

const (
	Skipped     Phase = "skipped"     // not wanted
	Downloading Phase = "downloading" // Package, Done and Total
	Reading     Phase = "reading"     // the packages are there and are being read
	Added       Phase = "added"       // handed over
	Failed      Phase = "failed"      // Err says why
)

// Event is a step on the way of a kernel.
type Event struct {
	Phase   Phase
	Kernel  *Kernel
	Package string // that is being downloaded
	// Done and Total are the package's bytes; Total is -1 where it is not known.
	Done, Total int64
	// AllDone and AllTotal are those of the whole plan: what kernels that were skipped or failed would have needed counts as
	// done.
	AllDone, AllTotal int64
	Err               error
}

// Summary is what came of a plan.
type Summary struct {
	Kernels int // that were handed over
	Skipped int
	// Downloaded are the bytes that came from servers, Cached those that were in the cache.
	Downloaded, Cached int64
	Files              int
	Time               time.Duration
	Failures           []Failure // in the plan's order
}

// Failure is a kernel that could not be had, or not whole.
type Failure struct {
	Kernel *Kernel
	// Partial: the kernel was handed over, without what Err says.
	Partial bool
	Err     error
}

// maxReaders is how many kernels are read at once: reading one already uses several processors, and its modules may need some
// hundred megabytes.
const maxReaders = 2

// progressInterval is how often a download reports.
const progressInterval = 100 * time.Millisecond

// Handed is a kernel that was fetched and read.
type Handed struct {
	Kernel *Kernel
	Build  *archive.Build
	files  []*cached
}

// Discard takes the kernel's packages out of the cache. It is for whoever has the kernel stored: while it is in memory only,
// its packages are what a kill leaves of the download.
func (h *Handed) Discard() error {
	for _, file := range h.files {
		if file.foreign {
			continue
		}
		if err := os.Remove(file.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Fetch downloads the packages of a plan, and hands over every kernel as soon as it is read: to yield, one at a time, in no
// particular order. Packages stay in the cache until [Handed.Discard]. A kernel that fails is in the summary, and the others
// go on; where yield fails, or the disk is full, all ends with that error. The summary is there in any case.
func Fetch(ctx context.Context, plan *Plan, opt FetchOptions, yield func(*Handed) error) (*Summary, error) {
	start := time.Now()
	if opt.Parallel <= 0 {
		opt.Parallel = 4
	}
	dir := opt.CacheDir
	if dir == "" {
		temp, err := os.MkdirTemp("", "corecheck-pull-")
		if err != nil {
			return &Summary{}, err
		}
		defer os.RemoveAll(temp)
		dir = temp
	}
	defer plan.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	f := &fetcher{
		plan: plan, opt: opt, cache: &cache{dir}, yield: yield, cancel: cancel,
		readers: make(chan struct{}, min(maxReaders, runtime.GOMAXPROCS(0))),
		failed:  map[*Kernel]*Failure{}, files: map[string]int64{},
	}
	for _, k := range plan.Kernels {
		f.total += k.Bytes()
	}
	queue := make(chan *Kernel)
	var workers sync.WaitGroup
	for range min(opt.Parallel, len(plan.Kernels)) {
		workers.Go(func() {
			for k := range queue {
				f.kernel(ctx, k)
			}
		})
	}
	for _, k := range plan.Kernels {
		select {
		case queue <- k:
		case <-ctx.Done():
		}
	}
	close(queue)
	workers.Wait()

	for _, k := range plan.Kernels {
		if failure := f.failed[k]; failure != nil {
			f.sum.Failures = append(f.sum.Failures, *failure)
		}
	}
	f.sum.Time = time.Since(start)
	if ctx.Err() != nil {
		return &f.sum, context.Cause(ctx)
	}
	return &f.sum, nil
}

// fetcher is a Fetch under way.
type fetcher struct {
	plan    *Plan
	opt     FetchOptions
	cache   *cache
	yield   func(*Handed) error
	cancel  context.CancelCauseFunc
	readers chan struct{} // holds one for each kernel that is being read

	handing sync.Mutex // held while yield runs

	mu     sync.Mutex
	sum    Summary
	failed map[*Kernel]*Failure
	files  map[string]int64 // bytes that are there, by URI
	done   int64            // of files, together
	total  int64
	last   time.Time // of an event of Downloading
}

// kernel does all that one kernel needs.
func (f *fetcher) kernel(ctx context.Context, k *Kernel) {
	if ctx.Err() != nil {
		return
	}
	if f.opt.Skip != nil && f.opt.Skip(k) {
		f.finish(Event{Phase: Skipped, Kernel: k}, func() { f.sum.Skipped++ })
		return
	}
	added, err := f.get(ctx, k)
	if ctx.Err() != nil {
		return // what broke it off is the error of all
	}
	var write *errWrite
	if errors.As(err, &write) {
		f.cancel(fmt.Errorf("%s: %w", k.Name, err))
		return
	}
	if err != nil {
		f.finish(Event{Phase: Failed, Kernel: k, Err: err}, func() { f.failed[k] = &Failure{Kernel: k, Partial: added, Err: err} })
		if !added {
			return
		}
	}
	f.finish(Event{Phase: Added, Kernel: k}, func() { f.sum.Kernels++ })
}

// get downloads, reads and hands over. added tells that the kernel was handed over, in spite of an error.
func (f *fetcher) get(ctx context.Context, k *Kernel) (added bool, err error) {
	files := make([]*cached, len(k.Packages))
	for i := range k.Packages {
		if files[i], err = f.download(ctx, k, &k.Packages[i]); err != nil {
			return false, err
		}
	}
	select {
	case f.readers <- struct{}{}:
	case <-ctx.Done():
		return false, context.Cause(ctx)
	}
	f.report(Event{Phase: Reading, Kernel: k})
	build, err := f.read(ctx, k, files)
	<-f.readers
	if build == nil {
		return false, err
	}
	if ctx.Err() != nil {
		return false, context.Cause(ctx)
	}
	f.handing.Lock()
	defer f.handing.Unlock()
	if yieldErr := f.yield(&Handed{k, build, files}); yieldErr != nil {
		f.cancel(yieldErr)
		return false, yieldErr
	}
	return true, err
}

// download brings a package into the cache. A file of this machine of which no digest is known gains nothing by a copy.
func (f *fetcher) download(ctx context.Context, k *Kernel, p *Package) (*cached, error) {
	if p.url.Scheme == "file" && p.Digest.Hex == "" {
		return inPlace(ctx, p)
	}
	got, err := f.cache.fetch(ctx, f.plan.client, p.file(), func(n int64) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.done += n - f.files[p.URI]
		if p.Size < 0 { // not known beforehand
			f.total += n - f.files[p.URI]
		}
		f.files[p.URI] = n
		if now := time.Now(); now.Sub(f.last) >= progressInterval || n == p.Size {
			f.last = now
			f.tell(Event{Phase: Downloading, Kernel: k, Package: p.Name, Done: n, Total: p.Size})
		}
	})
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sum.Files++
	f.sum.Cached += got.reused
	f.sum.Downloaded += got.size - got.reused
	return got, nil
}

// read makes a kernel of its packages. With an error there may still be a kernel, which then lacks what the error says.
func (f *fetcher) read(ctx context.Context, k *Kernel, files []*cached) (*archive.Build, error) {
	opt := &source.Options{Modules: f.opt.Modules, ID: k.ID, Distro: k.Distro, Release: k.Release, NotGiven: "is not in the repository any more"}
	var parts []*source.Part
	if k.ID != "" {
		return readBTF(ctx, k, files[0], opt)
	}
	for i, p := range k.Packages {
		part, err := readFile(ctx, files[i], archive.Source{URI: p.URI, SHA256: files[i].sha256}, opt)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	builds, err := source.Join(parts, opt)
	if len(builds) == 0 {
		if err != nil {
			return nil, err
		}
		return nil, &btfinfo.Error{File: k.Packages[0].URI, Off: -1, Msg: "there is no kernel in it", Hint: "--match takes globs on the names of packages with kernels' images"}
	}
	if len(builds) > 1 {
		var ids []string
		for _, b := range builds {
			ids = append(ids, b.ID)
		}
		slices.Sort(ids)
		return nil, &btfinfo.Error{File: k.Packages[0].URI, Off: -1, Msg: fmt.Sprintf("it has %d kernels where one should be: %s", len(builds), strings.Join(ids, ", "))}
	}
	return builds[0], err
}

// readBTF reads a kernel of BTFHub, of one file.
func readBTF(ctx context.Context, k *Kernel, file *cached, opt *source.Options) (*archive.Build, error) {
	var build *archive.Build
	err := source.Read(ctx, []string{file.path}, opt, func(b *archive.Build) error {
		b.Sources = []archive.Source{{URI: k.Packages[0].URI, SHA256: file.sha256}}
		build = b
		return nil
	})
	if build == nil && err == nil {
		err = &btfinfo.Error{File: k.Packages[0].URI, Off: -1, Msg: "there is no kernel in it"}
	}
	rename(err, file.path, k.Packages[0].URI)
	return build, err
}

// rename has errors name a file by where it came from, and not by its place in the cache.
func rename(err error, path, uri string) {
	switch e := err.(type) {
	case *btfinfo.Error:
		if rest, ok := strings.CutPrefix(e.File, path); ok {
			e.File = uri + rest
		}
	case interface{ Unwrap() []error }:
		for _, one := range e.Unwrap() {
			rename(one, path, uri)
		}
	}
}

// inPlace is a file that is read where it lies.
func inPlace(ctx context.Context, p *Package) (*cached, error) {
	in, err := os.Open(localPath(p.url))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	sum := newSum(Digest{})
	n, err := io.Copy(sum, &contextReader{ctx, in})
	if err != nil {
		return nil, err
	}
	return &cached{path: in.Name(), size: n, sha256: sum.sha256(), reused: n, foreign: true}, nil
}

func readFile(ctx context.Context, file *cached, src archive.Source, opt *source.Options) (*source.Part, error) {
	in, err := os.Open(file.path)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	return source.ReadPackage(ctx, src, in, opt)
}

// finish counts a kernel's end and reports it.
func (f *fetcher) finish(e Event, count func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	count()
	for _, p := range e.Kernel.Packages {
		if p.Size >= 0 {
			f.done += p.Size - f.files[p.URI]
			f.files[p.URI] = p.Size
		}
	}
	f.tell(e)
}

func (f *fetcher) report(e Event) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tell(e)
}

// tell reports an event; f.mu is held.
func (f *fetcher) tell(e Event) {
	if f.opt.Progress != nil {
		e.AllDone, e.AllTotal = f.done, f.total
		f.opt.Progress(e)
	}
}
