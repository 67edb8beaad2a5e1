package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/source"
)

// How long kernels are collected at least before the archive is written. A kill loses what came since, and the downloads for it
// take room in the cache until then.
const (
	addWindow  = 30 * time.Second
	pullWindow = 10 * time.Second
)

// Memory that a change of an archive may take before garbage is collected more often: what kernels need that are being read, and what
// an archive has expanded, by its size. Garbage is BTF that was taken apart; by itself it would double what is taken.
const (
	baseMemory   = 400 << 20 // bytes
	archiveRatio = 64        // bytes for each byte of the archive
)

// sparing bounds the memory for a change of archives, so far as that costs no more than time. GOMEMLIMIT in the environment has
// its way.
func sparing(archives ...string) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit := int64(baseMemory)
	for _, path := range archives {
		if st, err := os.Stat(path); err == nil {
			limit += archiveRatio * st.Size()
		}
	}
	debug.SetMemoryLimit(limit)
}

// collected is a kernel on its way into an archive.
type collected struct {
	build *archive.Build
	// discard, where not nil, is called once the kernel needs not be read again: the archive has it, or can't hold it.
	discard func() error
}

// collector puts kernels into an archive as they come, and writes the archive now and then, so that a kill loses little.
type collector struct {
	target  *archiveTarget
	path    string
	out     io.Writer // gets a line for each kernel once it is in the archive
	stderr  io.Writer
	modules source.ModuleFilter
	window  time.Duration // how long kernels are collected at least

	added, replaced, unchanged int
	problems                   []error // kernels that an archive can't hold
	total                      int     // kernels in the archive, as far as it was written here
}

// run takes the kernels that produce hands over. The error is produce's, or that of writing the archive, which ends it.
func (c *collector) run(ctx context.Context, produce func(ctx context.Context, yield func(collected) error) error) error {
	sparing(c.path)
	outer := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	builds := make(chan collected)
	done := make(chan error, 1)
	go func() {
		err := produce(ctx, func(one collected) error {
			select {
			case builds <- one:
				return nil
			case <-ctx.Done():
				return context.Cause(ctx)
			}
		})
		close(builds)
		done <- err
	}()
	for first := range builds {
		// The lock is held only while there is something to add: the next kernel may be a download away.
		if err := c.batch(outer, first, builds); err != nil {
			cancel(err)
			for range builds { // what was on its way
			}
			<-done
			return err
		}
	}
	return <-done
}

// batch puts kernels into the archive until no more come or the window is over.
func (c *collector) batch(ctx context.Context, first collected, builds <-chan collected) error {
	start := time.Now()
	var collecting time.Duration
	var lines []string
	var discards []func() error
	var added, replaced, unchanged, total int
	err := c.target.update(ctx, c.path, c.stderr, func(w *archive.Writer) error {
		opened := time.Now()
		defer func() { collecting = time.Since(opened) }()
		have := map[string]bool{}
		for _, k := range w.Kernels() {
			have[k.ID] = true
		}
		over := time.NewTimer(c.window)
		defer over.Stop()
		for one, more := first, true; more; {
			b := one.build
			if one.discard != nil {
				discards = append(discards, one.discard)
			}
			// What neither vmlinux nor the modules have is not in the kernel only if every module was looked at.
			b.AllModules = b.ModulesRead && c.modules.All()
			changed, err := add(w, b)
			switch {
			case err != nil:
				c.problems = append(c.problems, err)
			case !changed:
				unchanged++
				lines = append(lines, "unchanged "+b.ID)
			case have[b.ID]:
				replaced++
				lines = append(lines, "replaced "+b.ID)
			default:
				have[b.ID] = true
				added++
				lines = append(lines, "added "+b.ID+withoutBTF(b))
			}
			select {
			case one, more = <-builds:
			case <-over.C:
				more = false
			}
		}
		if total = len(have); added+replaced == 0 {
			return errNothingChanged
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.added, c.replaced, c.unchanged, c.total = c.added+added, c.replaced+replaced, c.unchanged+unchanged, total
	for _, line := range lines {
		if _, err := fmt.Fprintln(c.out, oneLine(line)); err != nil {
			return err
		}
	}
	for _, discard := range discards {
		if err := discard(); err != nil {
			c.problems = append(c.problems, err)
		}
	}
	// A large archive takes longer to read and write; at most a fifth of the time goes into that.
	c.window = max(c.window, 4*(time.Since(start)-collecting))
	return nil
}

// add puts a kernel into the archive, unless nobody could tell later on which one it is.
func add(w *archive.Writer, b *archive.Build) (changed bool, err error) {
	const unknown = "unknown"
	if b.Distro == unknown && b.Release == unknown && b.Arch == unknown {
		name := b.ID
		if len(b.Sources) > 0 {
			name = b.Sources[0].URI
		}
		return false, &btfinfo.Error{File: name, Off: -1, Msg: "does not tell which kernel it is of",
			Hint: "say so with --id distro/release/arch/uname, or put it into folders as BTFHub's"}
	}
	return w.Add(b)
}

func withoutBTF(b *archive.Build) string {
	if b.NoBTF == "" {
		return ""
	}
	return " (no BTF: " + b.NoBTF + ")"
}

// state says what became of the archive: "FILE has 3 kernels in 1.2 MB"; "" where it was not touched.
func (c *collector) state() string {
	st, err := os.Stat(c.path)
	if errors.Is(err, os.ErrNotExist) || c.total == 0 {
		return ""
	}
	text := fmt.Sprintf("%s has %s", c.path, count(c.total, "kernel"))
	if err == nil {
		text += " in " + byteText(st.Size())
	}
	return oneLine(text)
}

// kernelCounts is "1 kernel added, 2 replaced, 3 unchanged".
func (c *collector) kernelCounts() string {
	return fmt.Sprintf("%s added, %d replaced, %d unchanged", count(c.added, "kernel"), c.replaced, c.unchanged)
}
