package images

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/kernels/pull"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// tool is a package with a program.
func tool(name, version, depends string, files ...string) *pulltest.Deb {
	d := &pulltest.Deb{Name: name, Version: version, Depends: depends, Files: map[string][]byte{"usr/share/doc/" + name + "/copyright": []byte("free")}}
	for _, f := range files {
		d.Files[f] = []byte(f + " of " + name + " " + version)
	}
	return d
}

// A tree has a package and all that it depends on, in the newest stable release, without what nobody needs in a guest.
func TestTree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	libc := tool("libc6", "2.41-1", "libgcc-s1", "usr/lib64/ld-linux-x86-64.so.2", "usr/lib/x86_64-linux-gnu/libc.so.6", "usr/lib/x86_64-linux-gnu/gconv/X.so")
	libc.Links = map[string]string{"usr/lib/x86_64-linux-gnu/libc.so": "libc.so.6", "usr/share/man/link": "x"}
	w.suite(t, "bookworm", "12.15",
		tool("bpftool", "7.1.0", "libc6 (>= 2.3), libelf1 | libelf-old, zlib1g:any (>= 1), libgone | libcap2", "usr/sbin/bpftool", "usr/share/man/man8/bpftool.8.gz", "usr/share/locale/de/x"),
		libc, tool("libgcc-s1", "12", "libc6", "usr/lib/x86_64-linux-gnu/libgcc_s.so.1"), tool("libelf1", "0.188", "", "usr/lib/x86_64-linux-gnu/libelf.so.1"),
		tool("zlib1g", "1.2", "", "usr/lib/x86_64-linux-gnu/libz.so.1"), tool("libcap2", "2.66", "", "usr/lib/x86_64-linux-gnu/libcap.so.2"),
		tool("unneeded", "1", "", "usr/bin/unneeded"))
	w.suite(t, "bookworm-security", "12", tool("libcap2", "2.66+deb12u1", "", "usr/lib/x86_64-linux-gnu/libcap.so.2"), tool("libelf1", "0.187", "", "usr/lib/x86_64-linux-gnu/old"))
	w.suite(t, "sid", "", tool("bpftool", "9", "", "usr/sbin/bpftool"))
	want := []string{
		"/lib64/ld-linux-x86-64.so.2 -> /usr/lib64/ld-linux-x86-64.so.2",
		"/usr/lib/x86_64-linux-gnu/libc.so -> libc.so.6",
		"/usr/lib/x86_64-linux-gnu/libc.so.6 of libc6 2.41-1",
		"/usr/lib/x86_64-linux-gnu/libcap.so.2 of libcap2 2.66+deb12u1",
		"/usr/lib/x86_64-linux-gnu/libelf.so.1 of libelf1 0.188",
		"/usr/lib/x86_64-linux-gnu/libgcc_s.so.1 of libgcc-s1 12",
		"/usr/lib/x86_64-linux-gnu/libz.so.1 of zlib1g 1.2",
		"/usr/lib64/ld-linux-x86-64.so.2 of libc6 2.41-1",
		"/usr/sbin/bpftool of bpftool 7.1.0",
	}
	show := func(files []File) (lines []string) {
		for _, f := range files {
			if f.Link != "" {
				lines = append(lines, f.Path+" -> "+f.Link)
				continue
			}
			content, err := os.ReadFile(f.Source)
			if err != nil || f.Mode != 0o644 {
				t.Errorf("%s: mode %o, %v", f.Path, f.Mode, err)
			}
			lines = append(lines, "/"+string(content))
		}
		return lines
	}
	for round, edit := range []func(*Options){nil, nil, func(o *Options) { o.Offline = true }} {
		f := w.finder(t, edit)
		files, err := f.Tree(t.Context(), "x86_64", []string{"bpftool"})
		if err != nil {
			t.Fatal(err)
		}
		if got := show(files); !slices.Equal(got, want) {
			t.Errorf("round %d:\n%s\nwant\n%s", round, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if got := w.requests(""); round > 0 && len(got) > 0 {
			t.Errorf("round %d: the server was asked for %q", round, got)
		}
		if round == 1 { // files that are in use stay, and go once the Finder is closed
			f.opt.MaxCache = 1
			f.prune()
			show(files)
		}
		for range 2 {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		}
		if round == 2 {
			f.opt.MaxCache = 1
			if f.prune(); len(f.cached()) > 0 {
				t.Errorf("held by a Finder that is closed: %v", f.cached())
			}
		}
	}
	// An old answer is asked for again, and taken as it is where nobody answers.
	lists, err := filepath.Glob(filepath.Join(w.cache, "images", "*.listed"))
	if err != nil || len(lists) != 1 {
		t.Fatalf("answers %q, %v", lists, err)
	}
	old := time.Now().Add(-2 * treeAge)
	if err := os.Chtimes(lists[0], old, old); err != nil {
		t.Fatal(err)
	}
	w.suite(t, "bookworm-security", "12", tool("bpftool", "7.1.1", "", "usr/sbin/bpftool"))
	f := w.finder(t, nil)
	files, err := f.Tree(t.Context(), "x86_64", []string{"bpftool"})
	if err != nil || !slices.Equal(show(files), []string{"/usr/sbin/bpftool of bpftool 7.1.1"}) {
		t.Errorf("%q, %v", show(files), err)
	}
	if err := os.Chtimes(lists[0], old, old); err != nil {
		t.Fatal(err)
	}
	f.Close()
	w.Close()
	f = w.finder(t, nil)
	if files, err = f.Tree(t.Context(), "x86_64", []string{"bpftool"}); err != nil || len(files) != 1 {
		t.Errorf("%d files, %v", len(files), err)
	}
	f.opt.MaxCache = 1
	f.prune()
	if _, err := os.Stat(files[0].Source); err != nil {
		t.Errorf("it is gone while the finder is open: %v", err)
	}
	f.Close()
	f.prune()
	if _, err := os.Stat(files[0].Source); err == nil {
		t.Error("it is not forgotten")
	}
}

func TestNoTree(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.suite(t, "bookworm", "12.15", tool("bpftool", "7.1.0", "libc6, libnothing | libnone", "usr/sbin/bpftool"), tool("libc6", "2", "", "lib/ld-linux.so.2"))
	_, err := w.finder(t, nil).Tree(t.Context(), "x86_64", []string{"bpftool"})
	wantErr(t, err, "package libnothing or libnone for amd64 is not in bookworm, and bpftool needs it")
	_, err = w.finder(t, nil).Tree(t.Context(), "x86_64", []string{"nosuch"})
	wantErr(t, err, "package nosuch for amd64 is not in bookworm")
	_, err = w.finder(t, func(o *Options) { o.Offline = true }).Tree(t.Context(), "x86_64", []string{"bpftool"})
	wantErr(t, err, "Debian's bpftool for amd64 is not in the cache")
	_, err = w.finder(t, nil).Tree(t.Context(), "s390x", []string{"bpftool"})
	wantErr(t, err, `suite "bookworm" for s390x`)
	_, err = w.finder(t, nil).Tree(t.Context(), "vax", []string{"bpftool"})
	wantErr(t, err, "Debian has no packages for vax")
	_, err = w.finder(t, func(o *Options) { o.Apt.Config = &pull.AptConfig{} }).Tree(t.Context(), "x86_64", []string{"bpftool"})
	wantErr(t, err, "no stable release of Debian")
}

func TestStable(t *testing.T) {
	t.Parallel()
	for configured, want := range map[string]string{
		"bookworm bookworm-updates bookworm-security sid": "bookworm bookworm-security bookworm-updates",
		"bullseye trixie bookworm":                        "trixie",
		"sid forky":                                       "",
		"forky forky-updates":                             "forky forky-updates",
		"noble noble-updates":                             "",
	} {
		if got := strings.Join(stableOf(strings.Fields(configured)), " "); got != want {
			t.Errorf("%s: %q, want %q", configured, got, want)
		}
	}
}

func TestDependencies(t *testing.T) {
	t.Parallel()
	for field, want := range map[string][][]string{
		"": nil, " , ": nil,
		"libc6 (>= 2.34), a|b (= 1) | c:any, python3:native": {{"libc6"}, {"a", "b", "c"}, {"python3"}},
		"x(<< 2)": {{"x"}},
	} {
		if got := dependencies(field); !slices.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Errorf("%q: %q, want %q", field, got, want)
		}
	}
}
