package kernels

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// kernelsOf makes kernels from "ID VERSION" lines.
func kernelsOf(t testing.TB, lines ...string) []*Kernel {
	t.Helper()
	var all []*Kernel
	for _, l := range lines {
		id, version, _ := strings.Cut(l, " ")
		var v Version
		if version != "" {
			var err error
			if v, err = ParseVersion(version); err != nil {
				t.Fatal(err)
			}
		}
		all = append(all, New(id, v, nil))
	}
	return all
}

func testKernels(t testing.TB) []*Kernel {
	return kernelsOf(t,
		"debian/11/x86_64/a 5.10.262",
		"debian/12/x86_64/b 6.1.176",
		"debian/12/arm64/c 6.1.90",
		"debian/13/x86_64/d 6.8.12",
		"ubuntu/22.04/x86_64/e 5.15",
		"debian/sid/x86_64/f 7.3-rc7",
		"unknown/unknown/x86_64/g",
	)
}

func TestSelect(t *testing.T) {
	t.Parallel()
	all := testKernels(t)
	for _, tt := range []struct{ selector, want, canonical string }{
		// The kernel of unknown version, g, may be any: ranges take it.
		{"", "abcdefg", ""},
		{"  ", "abcdefg", ""},
		{"5.4..6.8", "abcdeg", "5.4..6.8"},
		{"5.4 .. 6.8", "abcdeg", "5.4..6.8"},
		{"5.10", "ag", "5.10"},
		{"id:*/AMD64/*,id:*/x64/none", "abdefg", "id:*/x86_64/*,id:*/x86_64/none"},
		{"v5.10", "ag", "5.10"},
		{"=5.10.262", "ag", "5.10.262"},
		{"5.10.261", "g", "5.10.261"},
		{"6.1.100..6.12", "bdg", "6.1.100..6.12"},
		{">=5.15", "bcdefg", "5.15.."},
		{">= 5.15.3", "bcdefg", "5.15.3.."}, // e is 5.15 of unknown patch, and may be
		{">5.15", "bcdfg", ">5.15"},
		{">6.1.90", "bdfg", ">6.1.90"},
		{"<6.1", "aeg", "<6.1"},
		{"<6.1.176", "aceg", "<6.1.176"},
		{"<=6.1", "abceg", "..6.1"},
		{"..6.1", "abceg", "..6.1"},
		{"5.15..", "bcdefg", "5.15.."},
		{"6", "bcdg", "6"},
		{"5..6", "abcdeg", "5..6"},
		{"7.3", "fg", "7.3"},
		{"7.3-rc1..7.3-rc7", "fg", "7.3-rc1..7.3-rc7"},
		{"7.3-rc8..", "g", "7.3-rc8.."},
		{"7.3~rc7", "fg", "7.3-rc7"},
		{"<7.3.0", "abcdefg", "<7.3.0"},
		{"5.10,6.8", "adg", "5.10,6.8"},
		{" 5.10 , 6.8 ", "adg", "5.10,6.8"},
		// What is taken out must be out for certain: e may be 5.15.3 or not, g anything.
		{"!7.3", "abcdeg", "!7.3"},
		{"!5.15.3", "abcdefg", "!5.15.3"},
		{"!5.15", "abcdfg", "!5.15"},
		{"5.4..6.8,!6.1.100..6.1.200", "acdeg", "5.4..6.8,!6.1.100..6.1.200"},
		{"! 6.1, 6.1..", "dfg", "!6.1,6.1.."},
		// Filters.
		{"arch:arm64", "c", "arch:arm64"},
		{"arch:aarch64", "c", "arch:arm64"},
		{"ARCH:AMD64", "abdefg", "arch:x86_64"},
		{"arch:arm*", "c", "arch:arm*"},
		{"arch:arm64,arch:amd64", "abcdefg", "arch:arm64,arch:x86_64"},
		{"distro:debian", "abcdf", "distro:debian"},
		{"distro:Debian,release:12", "bc", "distro:Debian,release:12"},
		{"distro:debian,distro:ubuntu,release:1?", "abcd", "distro:debian,distro:ubuntu,release:1?"},
		{"distro:debian,5.4..6.8,arch:amd64", "abd", "distro:debian,5.4..6.8,arch:x86_64"},
		{"!distro:debian", "eg", "!distro:debian"},
		{"id:debian/12/*", "bc", "id:debian/12/*"},
		{"id:*/x86_64/*,!id:*/a", "bdefg", "id:*/x86_64/*,!id:*/a"},
		{"uname:b", "b", "uname:b"},
		{"distro:unknown", "g", "distro:unknown"},
		{"arch:unknown", "", "arch:unknown"},
	} {
		s, err := ParseSelector(tt.selector)
		if err != nil {
			t.Errorf("%q: %v", tt.selector, err)
			continue
		}
		got := ""
		for _, k := range s.Select(all) {
			got += k.Uname
		}
		if got != tt.want || s.String() != tt.canonical {
			t.Errorf("%q takes %q as %q, want %q as %q", tt.selector, got, s, tt.want, tt.canonical)
		}
	}
	if got := (*Selector)(nil).Select(all); len(got) != len(all) {
		t.Errorf("no selector takes %d kernels, want all %d", len(got), len(all))
	}
}

func TestSelectorErrors(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		selector, msg, caret string
	}{
		{"5.4...6.8", `expected a version after .., found ".6.8"`, "5.4...6.8\n     ^"},
		{"6.8..5.4", "the range ends before it starts: 5.4 is older than 6.8", "6.8..5.4\n^"},
		{"5.4,6.8..5.4", "the range ends before it starts: 5.4 is older than 6.8", "5.4,6.8..5.4\n    ^"},
		{"..", "expected a version after .., found the end", "..\n  ^"},
		{"5.4 6.1", `expected a comma or the end, found "6.1"`, "5.4 6.1\n    ^"},
		{"5.4..6.1 arch:arm64", `expected a comma or the end, found "arch:arm64"`, "5.4..6.1 arch:arm64\n         ^"},
		{"99999..6", `"99999" is no kernel version: a major version is 1 to 32767`, "99999..6\n^"},
		{"6,0", `"0" is no kernel version: a major version is 1 to 32767`, "6,0\n  ^"},
		{"foo", `expected a version, a range or a filter, found "foo"`, "foo\n^"},
		{"latest,6.1", `expected a version, a range or a filter, found "latest"`, "latest,6.1\n^"},
		{",", `expected a version, a range or a filter, found ","`, ",\n^"},
		{"5.4,", "expected a version, a range or a filter, found the end", "5.4,\n    ^"},
		{"!", "expected a version, a range or a filter, found the end", "!\n ^"},
		{"!!5.4", `expected a version, a range or a filter, found "!5.4"`, "!!5.4\n ^"},
		{"os:debian", `there is no filter "os", there are distro, release, arch, uname, id`, "os:debian\n^"},
		{"6.1,arch:vax", `there is no architecture "vax"; some that are: x86_64, arm64, s390x, ppc64le, riscv64`, "6.1,arch:vax\n         ^"},
		{"distro:", "expected a value after distro:, found the end", "distro:\n       ^"},
		{"distro: debian", `expected a value after distro:, found " "`, "distro: debian\n       ^"},
		{">=", "expected a version after >=, found the end", ">=\n  ^"},
		{">=5.4..6.1", `expected a comma or the end, found "..6.1"`, ">=5.4..6.1\n     ^"},
		{"5.4..x", `expected a version after .., found "x"`, "5.4..x\n     ^"},
		{"6.1.x", `"6.1.x" is no kernel version; want MAJOR.MINOR, MAJOR.MINOR.PATCH or MAJOR.MINOR-rcN`, "6.1.x\n^"},
		{"6.1.0-50", `"6.1.0-50" is no kernel version; want MAJOR.MINOR, MAJOR.MINOR.PATCH or MAJOR.MINOR-rcN`, "6.1.0-50\n^"},
		{"\tä5.4", `expected a version, a range or a filter, found "ä5.4"`, " ä5.4\n ^"},
		{"id:ä,x", `expected a version, a range or a filter, found "x"`, "id:ä,x\n     ^"},
	} {
		s, err := ParseSelector(tt.selector)
		var e *SelectorError
		if !errors.As(err, &e) || s != nil {
			t.Errorf("%q: %v, %v; want a SelectorError", tt.selector, s, err)
			continue
		}
		if e.Msg != tt.msg || e.Caret() != tt.caret || e.Hint != Grammar {
			t.Errorf("%q:\n%s\n%s\nwant:\n%s\n%s", tt.selector, e.Msg, e.Caret(), tt.msg, tt.caret)
		}
		if strings.Contains(e.Error(), "\n") {
			t.Errorf("%q: the error has several lines: %q", tt.selector, e.Error())
		}
	}
	_, err := ParseSelector("5.4,foo")
	if want := `kernel selector, at character 5: expected a version, a range or a filter, found "foo"`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestGlob(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		glob, s string
		want    bool
	}{
		{"a", "a", true}, {"a", "A", true}, {"a", "b", false}, {"a", "", false}, {"*", "", true}, {"*", "a/b", true},
		{"?", "", false}, {"?", "/", true}, {"a*c", "abbc", true}, {"a*c", "abcd", false}, {"*a*b*", "xxaxxbxx", true},
		{"*ab", "aab", true}, {"**", "x", true}, {"a?c*", "abc", true}, {"[a]", "a", false}, {"", "", true}, {"", "a", false},
	} {
		if got := globMatch(tt.glob, tt.s); got != tt.want {
			t.Errorf("globMatch(%q, %q) = %v", tt.glob, tt.s, got)
		}
	}
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	embedded := kernelsOf(t,
		"debian/11/x86_64/a 5.10.262", "debian/12/x86_64/b 6.1.176", "debian/13/x86_64/c 6.12.107",
		"debian/13/x86_64/d 6.16.12", "debian/13/x86_64/e 6.17.13", "debian/13/x86_64/f 6.18.15",
		"debian/13/x86_64/g 6.19.14", "debian/13/x86_64/h 7.0.13", "debian/13/x86_64/i 7.1.13", "debian/13/x86_64/j 7.2.12")
	rc := append(slices.Clone(embedded), kernelsOf(t, "debian/sid/x86_64/k 7.3-rc7", "x/x/x86_64/l", "ubuntu/22.04/x86_64/m 5.15")...)
	for _, tt := range []struct {
		all      []*Kernel
		selector string
		matched  int
		text     string // after "no kernel here is of "
	}{
		{embedded, "", 10, ""},
		{embedded, "!7.0", 9, ""},
		{embedded, "distro:debian", 10, ""},
		{embedded, "distro:ubuntu", 0, ""},
		{embedded, "5.4..6.1", 2, "5.4 to 5.9, 5.11 to 6.0"},
		{embedded, "5.4..6.8", 2, "5.4 to 5.9, 5.11 to 6.0, 6.2 to 6.8"},
		{embedded, "5.10", 1, ""},
		{embedded, "5.9..5.10", 1, "5.9"},
		{embedded, "5.10,6.1,6.12,6.16..6.19", 7, ""},
		{embedded, "6.16..", 7, ""},
		{embedded, "6.18..7.2", 5, ""},
		{embedded, ">=6.12", 8, "6.13 to 6.15"},
		{embedded, "..5.10", 1, "3.18 to 5.9"},
		{embedded, "3.16..3.19", 0, "3.16 to 3.19"},
		{embedded, "4.19..5.1", 0, "4.19 to 5.1"},
		{embedded, "2.6.32..3.1", 0, "2.6.32..2.6, 3.0 to 3.1"},
		{embedded, "6", 6, "6.0, 6.2 to 6.11, 6.13 to 6.15"},
		{embedded, "5.8..5.12,!5.9", 1, "5.8, 5.11 to 5.12"},
		{embedded, "5.8..5.12,!5.10", 0, "5.8 to 5.9, 5.11 to 5.12"},
		{embedded, "5.8..5.12,!5.8..5.9,!5.11,!5.12", 1, ""},
		// A part of a release is named as a part.
		{embedded, "6.1.150", 0, "6.1.150"},
		{embedded, "6.1.200..6.1.300", 0, "6.1.200..6.1.300"},
		{embedded, "6.1.180..6.12", 1, "6.1.180..6.1, 6.2 to 6.11"},
		{embedded, "6.0..6.1.100", 0, "6.0, 6.1..6.1.100"},
		{embedded, "6.1,!6.1.176", 0, "6.1..6.1.175, 6.1.177..6.1"},
		{embedded, "6.1..6.2,!6.1.176", 0, "6.1..6.1.175, 6.1.177..6.1, 6.2"},
		{embedded, "<6.2.0,>=6.1", 10, "3.18 to 5.9, 5.11 to 6.0, 6.2 to 6.11, 6.13 to 6.15"},
		{embedded, "<6.2.0,!..6.0", 1, ""}, // 6.2's candidates are nobody's wish
		// Beyond the newest release known.
		{embedded, "8.0", 0, "8.0"},
		{embedded, "7.1..8.0", 2, "7.3..8.0"},
		{embedded, "7.1..8", 2, "7.3..8"},
		{embedded, "7.1..7.3", 2, "7.3"},
		{embedded, "7.3..", 0, "7.3.."},
		{embedded, ">7.2", 0, "7.3.."},
		{embedded, "9.5..", 0, "9.5.."},
		{embedded, "7.5.3..8.0.1", 0, "7.5.3..8.0.1"},
		{embedded, "7.3-rc2", 0, "7.3-rc2"},
		{embedded, "7.1..7.3-rc2", 2, "7.3..7.3-rc2"},
		{embedded, "7.1..,<7.3-rc1", 10, "3.18 to 5.9, 5.11 to 6.0, 6.2 to 6.11, 6.13 to 6.15"},
		{embedded, "<7.3.0,!..7.1", 1, ""},
		{embedded, "<7.3-rc1,!..7.1", 1, ""},
		{embedded, "6.1..6.2-rc3", 1, "6.2..6.2-rc3"},
		{rc, "7.2..", 3, ""},
		{rc, "7.2..7.4", 3, "7.4"},
		{rc, "7.3", 2, ""},
		// A kernel of unknown version is asked, but fills no gap; one of unknown patch fills any in its release.
		{rc, "6.2", 1, "6.2"},
		{rc, "5.15.100", 2, ""},
		// Filters narrow what counts.
		{embedded, "6.1..6.2,arch:arm64", 0, "6.1 to 6.2 with arch:arm64"},
		{embedded, "6.1..6.2,!id:*/b", 0, "6.1 to 6.2 with !id:*/b"},
		{append(kernelsOf(t, "x/x/x86_64/n 30000.1"), embedded...), "7.2..", 2, ""},
		{nil, "6.1..6.2", 0, "6.1 to 6.2"},
		{nil, "", 0, ""},
	} {
		s, err := ParseSelector(tt.selector)
		if err != nil {
			t.Error(err)
			continue
		}
		c := s.Coverage(tt.all)
		want := tt.text
		if want != "" {
			want = "no kernel here is of " + want
		}
		if c.Text() != want || c.Matched != tt.matched || c.Requested != s.String() || (len(c.Missing) == 0) != (want == "") {
			t.Errorf("%q: matched %d, missing %q, %q;\nwant %d, %q", tt.selector, c.Matched, c.Missing, c.Text(), tt.matched, want)
		}
		// What is missing can be asked for in turn.
		for _, m := range c.Missing {
			if _, err := ParseSelector(m); err != nil {
				t.Errorf("%q: missing %q is no selector: %v", tt.selector, m, err)
			}
		}
	}
	s, err := ParseSelector("5.4..5.6")
	if err != nil {
		t.Fatal(err)
	}
	if got := s.Coverage(embedded).Missing; !slices.Equal(got, []string{"5.4", "5.5", "5.6"}) {
		t.Errorf("Missing is %q", got)
	}
	if c := (*Selector)(nil).Coverage(embedded); c.Requested != "" || c.Matched != 10 || c.Missing == nil || len(c.Missing) != 0 {
		t.Errorf("no selector: %+v", c)
	}
}

// FuzzSelector: what parses prints, and what it prints means the same; the rest is a SelectorError with a place in the
// text. Select and Coverage stand every selector.
func FuzzSelector(f *testing.F) {
	for _, s := range []string{
		"5.4..6.8", "5.10", "6.1.100..6.12", ">=5.15", "..6.1", "5.15..", "!7.0", "distro:debian,release:12", "arch:arm64",
		"id:debian/12/*", ">6.1,<7,!6.5", "=7.3-rc7", "7.3~rc1..8", "v6", "6.8..5.4", "5.4...6", "arch:vax", " , ", "!!", "id:ä?*",
		"32767.32767.32767", ">32767", "<1", "..1.0", "6.1,!6.1.0,!6.1-rc1",
	} {
		f.Add(s)
	}
	all := append(testKernels(f), kernelsOf(f, "d/1/x86_64/k 9.19.1")...)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSelector(text)
		if err != nil {
			var e *SelectorError
			if s != nil || !errors.As(err, &e) || e.Pos < 0 || e.Pos > len(text) || e.Msg == "" {
				t.Fatalf("%q: %v, %#v", text, s, err)
			}
			if lines := strings.Split(e.Caret(), "\n"); len(lines) != 2 || strings.Contains(e.Error(), "\n") {
				t.Fatalf("%q: %q, %q", text, e.Error(), e.Caret())
			}
			return
		}
		again, err := ParseSelector(s.String())
		if err != nil || !reflect.DeepEqual(s, again) {
			t.Fatalf("%q prints as %q, which gives %v, %v", text, s, again, err)
		}
		taken := s.Select(all)
		if c := s.Coverage(all); c.Matched != len(taken) || (c.Text() == "") != (len(c.Missing) == 0) {
			t.Fatalf("%q takes %d, its coverage is %+v", text, len(taken), c)
		}
	})
}
