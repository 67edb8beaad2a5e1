package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"
)

// screen is what a terminal shows of text with "\x1b[NA" (N lines up) and "\x1b[J" (nothing from here on).
func screen(t *testing.T, text string) []string {
	t.Helper()
	var lines []string
	at := 0
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\r\x1b["):
			var n int
			if _, err := fmt.Sscanf(text, "\r\x1b[%dA\x1b[J", &n); err != nil || n > at {
				t.Fatalf("at line %d: %q, %v", at, text[:min(20, len(text))], err)
			}
			at -= n
			lines = lines[:at]
			text = text[strings.Index(text, "\x1b[J")+3:]
		default:
			line, rest, ok := strings.Cut(text, "\n")
			if !ok || strings.Contains(line, "\x1b") {
				t.Fatalf("%q is no line", text)
			}
			lines = append(lines, line)
			at++
			text = rest
		}
	}
	return lines
}

func TestProgress(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	p := newProgress(&out)
	if p.draws() {
		t.Error("it draws on a buffer")
	}
	p.set("a", "", 1, 2)
	p.all("1 of 2", 1, 2)
	fmt.Fprintln(p.before(&out), "added a")
	p.stop()
	if got := out.String(); got != "added a\n" {
		t.Errorf("without a terminal it prints %q", got)
	}

	out.Reset()
	p = newProgress(&out)
	p.width = func() int { return 61 }
	now := func(f func()) { p.last = time.Time{}; f() }
	now(func() { p.set("linux-image-6.1.0-50-amd64_with_a_name_that_is_too_long", "", 5e6, 10e6) })
	now(func() { p.set("b\x1b[31m", "reading", 0, -1) })
	now(func() { p.set("c", "", 1500, -1) })
	now(func() { p.all("1 of 3 kernels", 25e6, 100e6) })
	want := []string{
		"linux-image-6.1.0-50-amd6…  [##########..........]    5.0 MB",
		`b\x1b[31m                                            reading`,
		"c                                                     1.5 kB",
		"1 of 3 kernels  25% of 100.0 MB",
	}
	if got := screen(t, out.String()); strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	fmt.Fprintln(p.before(&out), "added a")
	if got := screen(t, out.String()); got[0] != "added a" || got[4] != want[3] {
		t.Errorf("a line over the bars: got\n%s", strings.Join(got, "\n"))
	}
	now(func() { p.end("c") })
	if got := screen(t, out.String()); len(got) != 4 {
		t.Errorf("after the end of one: got\n%s", strings.Join(got, "\n"))
	}
	p.stop()
	if got := screen(t, out.String()); len(got) != 1 {
		t.Errorf("in the end there is more than what was printed:\n%s", strings.Join(got, "\n"))
	}
	p.set("d", "", 0, 1)
	if got := screen(t, out.String()); len(got) != 1 {
		t.Error("it draws after it was stopped")
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s    string
		n    int
		want string
	}{{"abc", 5, "abc  "}, {"abc", 3, "abc"}, {"abcd", 3, "ab…"}, {"abc", 1, "…"}, {"abc", 0, ""}, {"abc", -3, ""}} {
		if got := fit(tt.s, tt.n); got != tt.want {
			t.Errorf("fit(%q, %d) = %q, want %q", tt.s, tt.n, got, tt.want)
		}
	}
}

func TestByteText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1000: "1.0 kB", 1_234_567: "1.2 MB", 2_500_000_000: "2.5 GB"} {
		if got := byteText(n); got != want {
			t.Errorf("byteText(%d) = %q, want %q", n, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"kitten", "sitting", 3}, {"6.1.0-50", "6.1.0-51", 1}, {"abc", "abc", 0}, {"ab", "ba", 2}} {
		for _, p := range [][2]string{{tt.a, tt.b}, {tt.b, tt.a}} {
			if got := editDistance(p[0], p[1]); got != tt.want {
				t.Errorf("editDistance(%q, %q) = %d, want %d", p[0], p[1], got, tt.want)
			}
		}
	}
}
