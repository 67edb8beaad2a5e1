package page

import (
	"slices"
	"testing"
)

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		width int
		want  []string
	}{
		{"", 10, nil},
		{"one", 10, []string{"one"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 6, []string{"one", "two", "three"}},
		{"a longerword b", 4, []string{"a", "long", "erwo", "rd b"}}, // broken where the line ends
		{"  spaces \n and lines ", 20, []string{"spaces and lines"}},
		{"fünf für", 8, []string{"fünf für"}}, // columns, not bytes
	} {
		if got := Wrap(tt.in, tt.width); !slices.Equal(got, tt.want) {
			t.Errorf("Wrap(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
		}
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in    string
		width int
		want  string
	}{
		{"", 5, ""}, {"short", 5, "short"}, {"longer", 5, "lo..."}, {"ümläut", 5, "üm..."}, {"a\tb", 5, "a b"}, {"\x1b[1m", 9, `\x1b[1m`},
	} {
		if got := Cut(tt.in, tt.width); got != tt.want {
			t.Errorf("Cut(%q, %d) = %q, want %q", tt.in, tt.width, got, tt.want)
		}
	}
}
