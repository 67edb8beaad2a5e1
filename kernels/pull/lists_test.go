package pull

import (
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// listsOf is a machine with a repository of bookworm, which has trixie as well, and one of security suites.
func listsOf(t *testing.T, want func(string) bool) (*mirror, *Lists) {
	t.Helper()
	key := pulltest.NewKey(t, "key")
	m := newMirror(t)
	small := map[string][]byte{"usr/share/doc/x": []byte("x")}
	pulltest.NewRepo(key, pulltest.NewKernel("6.1.0-1-amd64", "6.1.1-1").Whole(), &pulltest.Deb{Name: "zsh", Version: "5", Depends: "libc6", Files: small}).Put(t, m, "debian")
	for suite, root := range map[string]string{"trixie": "debian", "trixie-security": "security"} {
		r := pulltest.NewRepo(key, &pulltest.Deb{Name: "linux-image-6.12-" + suite, Version: "6.12.1-1", Files: small})
		r.Suite, r.Codename, r.Version = suite, suite, "13"
		r.Put(t, m, root)
	}
	ring := ringFile(t, true, key)
	config := &AptConfig{Arch: "amd64", Sources: []AptSource{
		{From: "list:1", URI: m.URL + "/debian", Suite: "bookworm", Components: []string{"main"}, SignedBy: []string{ring}},
		{From: "list:2", URI: m.URL + "/security", Suite: "bookworm-security", Components: []string{"main"}, SignedBy: []string{ring}},
		{From: "list:3", URI: m.URL + "/debian", Suite: "bookworm", Components: []string{"main"}, SignedBy: []string{ring}},
	}}
	l := NewLists(t.Context(), AptOptions{Config: config, Transport: quick(), Now: pulltest.Now}, want)
	t.Cleanup(l.Close)
	return m, l
}

// A suite is read once, whoever asks for it, and asked of the repositories that may have it.
func TestLists(t *testing.T) {
	t.Parallel()
	m, l := listsOf(t, OfKernel)
	read := map[string]int{}
	l.Reading = func(suite, arch string) { read[suite+" "+arch]++ }
	var group sync.WaitGroup
	for range 5 {
		group.Go(func() {
			packages, err := l.Suite(t.Context(), "bookworm", "amd64")
			if err != nil || len(packages) != 1 || packages[0].Name != "linux-image-6.1.0-1-amd64" || packages[0].Version != "6.1.1-1" || packages[0].Arch != "amd64" {
				t.Errorf("%v, %v", packages, err)
			}
		})
	}
	group.Wait()
	for _, suite := range []string{"trixie", "trixie-security"} {
		if packages, err := l.Suite(t.Context(), suite, "amd64"); err != nil || len(packages) != 1 || packages[0].Name != "linux-image-6.12-"+suite {
			t.Errorf("%s: %v, %v", suite, packages, err)
		}
	}
	for _, tc := range [][2]string{{"forky", "amd64"}, {"bookworm", "s390x"}} {
		if _, err := l.Suite(t.Context(), tc[0], tc[1]); !errors.Is(err, ErrNoSuite) {
			t.Errorf("%s for %s: %v, want %v", tc[0], tc[1], err, ErrNoSuite)
		}
	}
	if read["bookworm amd64"] != 1 || read["forky amd64"] != 1 {
		t.Errorf("read %v", read)
	}
	if suites, err := l.Suites(); err != nil || !slices.Equal(suites, []string{"bookworm", "bookworm-security"}) {
		t.Errorf("suites %q, %v", suites, err)
	}
	// What can't be read is no suite that is not there.
	m.fault("/debian/dists/sid/InRelease", status(http.StatusInternalServerError), status(http.StatusInternalServerError), status(http.StatusInternalServerError),
		status(http.StatusInternalServerError), status(http.StatusInternalServerError), status(http.StatusInternalServerError))
	if _, err := l.Suite(t.Context(), "sid", "amd64"); err == nil || errors.Is(err, ErrNoSuite) || !strings.Contains(err.Error(), "500") {
		t.Errorf("sid: %v", err)
	}
	// Who gave up does not decide for those who come after.
	_, l = listsOf(t, nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Suite(ctx, "bookworm", "amd64"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	packages, err := l.Suite(t.Context(), "bookworm", "amd64")
	if err != nil || len(packages) != 2 || packages[1].Name != "zsh" || packages[1].Depends != "libc6" {
		t.Errorf("all packages: %v, %v", packages, err)
	}
}

// A package comes by its list or by what is known of it, and is in the cache then.
func TestDownload(t *testing.T) {
	t.Parallel()
	_, l := listsOf(t, nil)
	packages, err := l.Suite(t.Context(), "bookworm", "amd64")
	if err != nil {
		t.Fatal(err)
	}
	p := &packages[0].Package
	dir := t.TempDir()
	if path, err := p.Cached(t.Context(), dir); path != "" || err != nil {
		t.Errorf("%q, %v: it is not there yet", path, err)
	}
	var done int64
	path, err := l.Download(t.Context(), p, dir, func(n int64) { done = n })
	if err != nil || done != p.Size {
		t.Fatalf("%v, %d of %d bytes", err, done, p.Size)
	}
	// The same one by its URI, and by its name.
	for _, uri := range []string{p.URI, filepath.Base(p.URI)} {
		known, err := NewPackage(uri, p.Digest.Hex)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := known.Cached(t.Context(), dir); got != path || err != nil {
			t.Errorf("%s: %q, %v, want %q", uri, got, err, path)
		}
	}
	known, err := NewPackage(p.URI, p.Digest.Hex)
	if err != nil {
		t.Fatal(err)
	}
	if path, err = l.Download(t.Context(), &known, t.TempDir(), nil); err != nil {
		t.Error(err)
	}
	if data, err := os.ReadFile(path); err != nil || pulltest.SumHex(data) != p.Digest.Hex {
		t.Errorf("%s is another file, %v", path, err)
	}
	wrong, err := NewPackage(p.URI, pulltest.SumHex([]byte("another")))
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	if _, err := l.Download(t.Context(), &wrong, empty, nil); err == nil || !strings.Contains(err.Error(), "refused") {
		t.Errorf("a wrong digest: %v", err)
	}
	if left := listing(t, empty); len(left) > 0 {
		t.Errorf("left %q", left)
	}
	for _, bad := range [][2]string{{"x.deb", "no digest"}, {"../x.deb", p.Digest.Hex}, {"", p.Digest.Hex}, {"http://", p.Digest.Hex}} {
		if _, err := NewPackage(bad[0], bad[1]); err == nil {
			t.Errorf("%q with digest %q is taken", bad[0], bad[1])
		}
	}
}

// A machine without apt can't be asked for lists, but for files.
func TestListsWithoutApt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	l := NewLists(t.Context(), AptOptions{Transport: quick()}, nil)
	defer l.Close()
	if _, err := l.Suite(t.Context(), "bookworm", "amd64"); err == nil || !strings.Contains(err.Error(), "no apt") {
		t.Errorf("lists: %v", err)
	}
	if _, err := l.Suites(); err == nil {
		t.Error("suites of no configuration")
	}
	m := newMirror(t)
	m.Put("/x.deb", []byte("content"))
	p, err := NewPackage(m.URL+"/x.deb", pulltest.SumHex([]byte("content")))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Download(t.Context(), &p, t.TempDir(), nil); err != nil {
		t.Error(err)
	}
}
