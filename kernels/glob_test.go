package kernels

import (
	"strings"
	"testing"
)

func TestGlobPatterns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, pattern string
		want          bool
	}{
		{"vfs_read", "vfs_read", true}, {"vfs_read", "vfs_*", true}, {"vfs_read", "*", true}, {"vfs_read", "vfs_rea?", true},
		{"vfs_read", "vfs_read?", false}, {"vfs_read", "vfs", false}, {"vfs_read", "", false}, {"", "", true}, {"", "*", true}, {"", "?", false},
		{"vfs_read", "*read", true}, {"vfs_read", "*_*", true}, {"vfs_read", "*write", false}, {"vfs_read", "**r**d**", true},
		{"aab", "*ab", true}, {"aaab", "a*ab?", false}, {"abcabd", "*ab?", true}, {"abcabd", "a*c", false},
	} {
		if got := Glob(c.pattern, c.name); got != c.want {
			t.Errorf("Glob(%q, %q) = %t", c.pattern, c.name, got)
		}
	}
}

// libbpfGlob is glob_match of libbpf v1.7 as it reads, which takes exponential time.
func libbpfGlob(s, p string) bool {
	switch {
	case p == "":
		return s == ""
	case p[0] == '*':
		return libbpfGlob(s, p[1:]) || s != "" && libbpfGlob(s[1:], p)
	case s == "":
		return false
	}
	return (p[0] == '?' || p[0] == s[0]) && libbpfGlob(s[1:], p[1:])
}

func FuzzGlob(f *testing.F) {
	f.Add("vfs_read", "vfs_*")
	f.Add("aaaaaaab", "a*a*?b")
	f.Fuzz(func(t *testing.T, name, pattern string) {
		// The reference takes long for long ones.
		name, pattern = name[:min(len(name), 12)], pattern[:min(len(pattern), 12)]
		if got, want := Glob(pattern, name), libbpfGlob(name, pattern); got != want {
			t.Errorf("Glob(%q, %q) = %t, want %t", pattern, name, got, want)
		}
	})
}

// A pattern of the object's must not cost more than its length allows.
func TestGlobTime(t *testing.T) {
	t.Parallel()
	if Glob(strings.Repeat("a*", 200)+"b", strings.Repeat("a", 500)) {
		t.Error("no b, yet it fits")
	}
}
