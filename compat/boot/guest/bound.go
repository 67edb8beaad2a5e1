package guest

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf8"
)

// Objects under test are untrusted, and so is what the kernel or another loader says of them: every line that leaves the
// guest is bounded, and so is all of it together.
const (
	maxName    = 4 << 10  // bytes of a name
	maxText    = 2 << 10  // bytes of a reason or an error
	maxLine    = 1 << 10  // bytes of a line of a log or a program's output
	maxLines   = 1000     // of a log or a program's output
	maxLog     = 64 << 10 // bytes of a log or a program's output
	maxNotes   = 100      // of an object or a program
	quietAfter = 8 << 20  // bytes of messages after which logs are left out
	muteAfter  = 32 << 20 // bytes of messages after which no more are sent
)

// clip cuts a string to n bytes, at the start of a character, and says so.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	const mark = " …"
	n -= len(mark)
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + mark
}

// lastLines returns the last n of lines, each and all together bounded, and whether anything is missing.
func lastLines(lines []string, n int) (tail []string, cut bool) {
	n = min(n, maxLines)
	size, from := 0, len(lines)
	for from > 0 && len(lines)-from < n {
		line := lines[from-1]
		size += min(len(line), maxLine) + 1
		if size > maxLog {
			break
		}
		cut = cut || len(line) > maxLine
		from--
	}
	for _, line := range lines[from:] {
		tail = append(tail, clip(line, maxLine))
	}
	return tail, cut || from > 0
}

// tail keeps the last maxLog bytes that are written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
	cut bool // bytes before buf are gone
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if len(p) > maxLog {
		p, t.cut = p[len(p)-maxLog:], true
	}
	if over := len(t.buf) + len(p) - maxLog; over > 0 {
		t.buf, t.cut = append(t.buf[:0], t.buf[over:]...), true
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// lines returns what is kept, by line. The first is left out where its start is gone.
func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := splitLines(string(t.buf))
	if t.cut && len(lines) > 1 {
		lines = lines[1:]
	}
	return lines
}

// splitLines cuts a text into lines, without their ends.
func splitLines(s string) []string {
	s = strings.TrimRight(s, "\n")
	if s == "" {
		return nil
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, "\r")
	}
	return lines
}

// emitter writes messages, one a line.
type emitter struct {
	mu   sync.Mutex
	w    io.Writer
	sent int64 // bytes
	mute bool
	err  error // the first one of w
}

// send writes a message. What is too much is left out: logs first, then everything but the word that it is so.
func (e *emitter) send(m Message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mute && m.Kind != Done {
		return
	}
	m.bound(e.sent > quietAfter)
	if e.sent > muteAfter && m.Kind != Done {
		e.mute = true
		m = Message{Kind: Failed, Object: m.Object, Err: fmt.Sprintf("more than %d MB of results: the rest is not sent", muteAfter>>20)}
	}
	line, err := json.Marshal(m)
	if err != nil { // no field of Message can be one that JSON lacks
		line = []byte(`{"kind":"failed","object":-1,"error":"a message could not be encoded"}`)
	}
	n, err := e.w.Write(append(line, '\n'))
	e.sent += int64(n)
	if err != nil && e.err == nil {
		e.err = err
	}
}

// bound cuts what is too long. Lines of logs and outputs are bounded where they come from.
func (m *Message) bound(quiet bool) {
	m.Name, m.Module, m.Err = clip(m.Name, maxName), clip(m.Module, maxName), clip(m.Err, maxText)
	for _, o := range []*Outcome{m.Load, m.Attach} {
		if o == nil {
			continue
		}
		o.Reason = clip(o.Reason, maxText)
		if quiet && len(o.Log) > 0 {
			o.Log, o.Truncated = nil, true
		}
	}
	m.Notes = boundNotes(m.Notes)
	if quiet {
		m.Notes = nil
	}
}

func boundNotes(notes []string) []string {
	if len(notes) > maxNotes {
		notes = append(notes[:maxNotes:maxNotes], fmt.Sprintf("%d more notes", len(notes)-maxNotes))
	}
	out := make([]string, 0, len(notes))
	for _, n := range notes {
		out = append(out, clip(n, maxLine))
	}
	if len(out) == 0 {
		return nil
	}
	return out
}
