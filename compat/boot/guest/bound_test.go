package guest

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestClip(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		in   string
		n    int
		want string
	}{
		{"short", 5, "short"},
		{"longer", 5, "l …"},
		{"äöü", 6, "äöü"},
		{"äöüä", 7, "ä …"},
	} {
		if got := clip(c.in, c.n); got != c.want || len(got) > c.n {
			t.Errorf("clip(%q, %d) = %q, want %q", c.in, c.n, got, c.want)
		}
	}
}

func TestLastLines(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 2*maxLine)
	for _, c := range []struct {
		in   []string
		n    int
		want []string
		cut  bool
	}{
		{nil, 3, nil, false},
		{[]string{"a", "b"}, 3, []string{"a", "b"}, false},
		{[]string{"a", "b", "c"}, 2, []string{"b", "c"}, true},
		{[]string{"a"}, 0, nil, true},
		{[]string{"a", long}, 2, []string{"a", clip(long, maxLine)}, true},
		{[]string{long, "b"}, 1, []string{"b"}, true},
	} {
		got, cut := lastLines(c.in, c.n)
		if !reflect.DeepEqual(got, c.want) || cut != c.cut {
			t.Errorf("lastLines(%.20q, %d) = %.20q, %t, want %.20q, %t", c.in, c.n, got, cut, c.want, c.cut)
		}
	}
	many := make([]string, 10*maxLines)
	for i := range many {
		many[i] = long
	}
	got, cut := lastLines(many, len(many))
	if size := len(strings.Join(got, "\n")); size > maxLog || !cut {
		t.Errorf("%d bytes of lines, cut: %t, want at most %d", size, cut, maxLog)
	}
}

func TestTail(t *testing.T) {
	t.Parallel()
	small := &tail{}
	small.Write([]byte("one\r\ntwo"))
	small.Write([]byte("\nthree\n"))
	if got, want := small.lines(), []string{"one", "two", "three"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := (&tail{}).lines(); got != nil {
		t.Errorf("nothing written, but %q", got)
	}
	for _, at := range []int{1, 7, 1000, maxLog, 3 * maxLog} { // bytes of a write
		big := &tail{}
		text := []byte(strings.Repeat("0123456789\n", maxLog/5) + "last\n")
		for len(text) > 0 {
			n, err := big.Write(text[:min(at, len(text))])
			if err != nil {
				t.Fatal(err)
			}
			text = text[n:]
		}
		lines := big.lines()
		if lines[0] != "0123456789" || lines[len(lines)-1] != "last" || len(big.buf) > maxLog {
			t.Errorf("writes of %d bytes: from %q to %q, %d bytes", at, lines[0], lines[len(lines)-1], len(big.buf))
		}
	}
}

func TestEmitter(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	e := &emitter{w: &out}
	log := make([]string, 60)
	for i := range log {
		log[i] = strings.Repeat("x", 1000)
	}
	kinds := map[Kind]int{}
	logs := 0
	for range 1_000_000 { // an object may have thousands of programs; this is more than fits
		e.send(Message{Kind: Program, Name: strings.Repeat("n", 2*maxName), Load: &Outcome{Result: Fail, Log: log}})
		if e.mute {
			break
		}
	}
	e.send(Message{Kind: Program})
	e.send(Message{Kind: Done})
	for _, line := range bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n")) {
		var m Message
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatal(err)
		}
		kinds[m.Kind]++
		if m.Load == nil {
			continue
		}
		if m.Load.Log != nil {
			logs++
		} else if !m.Load.Truncated {
			t.Fatal("a log was left out without a word")
		}
		if len(m.Name) > maxName {
			t.Fatalf("a name has %d bytes", len(m.Name))
		}
	}
	if kinds[Failed] != 1 || kinds[Done] != 1 || logs == 0 || logs == kinds[Program] {
		t.Errorf("got %v, %d with logs: want one failure, one end, and some logs", kinds, logs)
	}
	if out.Len() > muteAfter+1<<20 {
		t.Errorf("%d bytes were sent, want about %d", out.Len(), muteAfter)
	}
}

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errors.New("gone") }

func TestEmitterBroken(t *testing.T) {
	t.Parallel()
	e := &emitter{w: brokenWriter{}}
	e.send(Message{Kind: Done})
	if e.err == nil {
		t.Error("the port is gone, and nobody knows")
	}
}

func TestBoundNotes(t *testing.T) {
	t.Parallel()
	got := boundNotes(make([]string, maxNotes+5))
	if len(got) != maxNotes+1 || got[maxNotes] != "5 more notes" {
		t.Errorf("got %d notes, the last %q", len(got), got[len(got)-1])
	}
	if boundNotes(nil) != nil {
		t.Error("no notes became some")
	}
}

// Bytes that are no text still give a line of JSON.
func TestEmitterBytes(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	e := &emitter{w: &out}
	e.send(Message{Kind: Failed, Err: "\xff\x00\n" + strings.Repeat("\xc3\xa4", maxText)})
	if !utf8.Valid(out.Bytes()) || bytes.Count(out.Bytes(), []byte("\n")) != 1 {
		t.Errorf("got %.60q", out.String())
	}
}
