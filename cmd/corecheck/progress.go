package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// redraw is how often the bars are drawn at most.
const redraw = 100 * time.Millisecond

// maxBars is how many things that are under way have a line of their own.
const maxBars = 8

// progress draws on a terminal how far a long command is: a line for each thing that is under way, and one for all of them. On
// anything else it draws nothing.
type progress struct {
	w     io.Writer
	width func() int // columns; nil where nothing is drawn

	mu     sync.Mutex
	drawn  int // lines
	last   time.Time
	start  time.Time
	done   int64 // bytes of all
	total  int64 // -1 where not known
	counts string
	bars   []bar
}

// bar is one thing that is under way.
type bar struct {
	name        string
	what        string // instead of a bar: "reading"
	done, total int64  // bytes; total -1 where not known
}

// newProgress draws on w if it is a terminal that moves its cursor.
func newProgress(w io.Writer) *progress {
	p := &progress{w: w, total: -1, start: time.Now()}
	if f, ok := w.(*os.File); ok && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(f.Fd())) {
		p.width = func() int {
			columns, _, err := term.GetSize(int(f.Fd()))
			if err != nil || columns <= 0 {
				return 80
			}
			return columns
		}
	}
	return p
}

// draws tells whether anything is drawn.
func (p *progress) draws() bool { return p.width != nil }

// set says how far one thing is; what replaces its bar where it is not "".
func (p *progress) set(name, what string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.bars {
		if p.bars[i].name == name {
			p.bars[i] = bar{name, what, done, total}
			p.draw(false)
			return
		}
	}
	p.bars = append(p.bars, bar{name, what, done, total})
	p.draw(false)
}

// end takes the line of a thing away.
func (p *progress) end(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.bars {
		if p.bars[i].name == name {
			p.bars = append(p.bars[:i], p.bars[i+1:]...)
			break
		}
	}
	p.draw(false)
}

// all says how far everything is; counts stands before it.
func (p *progress) all(counts string, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts, p.done, p.total = counts, done, total
	p.draw(false)
}

// stop takes all lines away.
func (p *progress) stop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.bars, p.counts, p.total = nil, "", -1
	p.clear()
	p.width = nil
}

// before keeps the bars out of the way of other output: it returns a writer to w that takes the lines away and puts them back.
func (p *progress) before(w io.Writer) io.Writer { return &aroundBars{p, w} }

type aroundBars struct {
	p *progress
	w io.Writer
}

func (a *aroundBars) Write(b []byte) (int, error) {
	a.p.mu.Lock()
	defer a.p.mu.Unlock()
	a.p.clear()
	n, err := a.w.Write(b)
	a.p.draw(true)
	return n, err
}

// clear takes the lines away that are drawn.
func (p *progress) clear() {
	if p.width == nil || p.drawn == 0 {
		return
	}
	fmt.Fprintf(p.w, "\r\x1b[%dA\x1b[J", p.drawn) // up, and nothing from there on
	p.drawn = 0
}

// draw draws all lines anew, but not too often.
func (p *progress) draw(now bool) {
	if p.width == nil || !now && time.Since(p.last) < redraw {
		return
	}
	p.clear()
	p.last = time.Now()
	columns := p.width() - 1 // the last one would wrap on some terminals
	var b strings.Builder
	for _, x := range p.bars[:min(len(p.bars), maxBars)] {
		b.WriteString(x.line(columns))
		b.WriteByte('\n')
		p.drawn++
	}
	if p.counts != "" || p.total >= 0 {
		b.WriteString(p.summary(columns))
		b.WriteByte('\n')
		p.drawn++
	}
	io.WriteString(p.w, b.String())
}

// barWidth is how wide a bar is, in columns.
const barWidth = 20

func (x bar) line(columns int) string {
	tail := x.what
	if tail == "" {
		tail = barText(x.done, x.total)
	}
	return fit(x.name, columns-len(tail)-2) + "  " + tail
}

// barText is a bar, or the bytes so far where there is no telling how many they will be.
func barText(done, total int64) string {
	if total <= 0 {
		return fmt.Sprintf("%*s %9s", barWidth+2, "", byteText(done))
	}
	full := int(min(done, total) * barWidth / total)
	return fmt.Sprintf("[%s%s] %9s", strings.Repeat("#", full), strings.Repeat(".", barWidth-full), byteText(done))
}

func (p *progress) summary(columns int) string {
	text := p.counts
	if p.total > 0 {
		text += fmt.Sprintf("  %d%% of %s", min(p.done, p.total)*100/p.total, byteText(p.total))
	}
	if s := time.Since(p.start).Seconds(); s >= 1 && p.done > 0 {
		text += fmt.Sprintf("  %s/s", byteText(int64(float64(p.done)/s)))
	}
	return strings.TrimRight(fit(text, columns), " ")
}

// fit makes s n columns wide. Names have one column a letter: they are those of packages and kernels.
func fit(s string, n int) string {
	s = oneLine(s)
	if n < 1 {
		return ""
	}
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return fmt.Sprintf("%-*s", n, s)
}
