package pull

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// get fetches one file of a mirror through a cache.
func get(t *testing.T, ctx context.Context, dir, uri string, size int64, digest Digest) (*cached, error) {
	t.Helper()
	u, err := url.Parse(uri)
	if err != nil {
		t.Fatal(err)
	}
	client := newClient(quick())
	defer client.close()
	return (&cache{dir}).fetch(ctx, client, &file{uri: u, size: size, limit: 1 << 20, digest: digest}, func(int64) {})
}

// Every fault that passes ends in the right file, by as many requests as are needed; one that stays ends in an error that
// says what it was, and in no file.
func TestFaults(t *testing.T) {
	t.Parallel()
	content := pulltest.Noise(300_000)
	for _, tc := range []struct {
		name     string
		faults   []fault
		size     int64  // 0: the right one
		digest   Digest // zero: the right one
		anyFile  bool   // neither size nor digest is known
		requests []string
		err      string // "": it ends well
	}{
		{name: "no fault", requests: []string{"/f"}},
		{name: "size not known", size: -1, requests: []string{"/f"}},
		{name: "503, then there", faults: []fault{status(503)}, requests: []string{"/f", "/f"}},
		{name: "500 and 502 and 504, then there", faults: []fault{status(500), status(502), status(504)}, requests: []string{"/f", "/f", "/f", "/f"}},
		{name: "429, then there", faults: []fault{status(429)}, requests: []string{"/f", "/f"}},
		{name: "503 for good", faults: []fault{status(503), status(503), status(503), status(503)}, requests: []string{"/f", "/f", "/f", "/f"},
			err: "the server answers 503 Service Unavailable (tried 4 times)"},
		{name: "404", faults: []fault{status(404)}, requests: []string{"/f"}, err: "the server answers 404 Not Found"},
		{name: "401", faults: []fault{status(401)}, requests: []string{"/f"}, err: "the server answers 401 Unauthorized"},
		{name: "204", faults: []fault{status(204)}, requests: []string{"/f"}, err: "the server answers 204"},
		{name: "cut in the middle", faults: []fault{cut(100_000)}, requests: []string{"/f", "/f bytes=100000-"}},
		{name: "cut before the first byte", faults: []fault{cut(0)}, requests: []string{"/f", "/f"}},
		{name: "cut twice", faults: []fault{cut(100_000), cut(50_000)}, requests: []string{"/f", "/f bytes=100000-", "/f bytes=150000-"}},
		{name: "cut, then ranges are ignored", faults: []fault{cut(100_000), deaf}, requests: []string{"/f", "/f bytes=100000-"}},
		{name: "cut, then another range comes", faults: []fault{cut(100_000), shifted(10)}, requests: []string{"/f", "/f bytes=100000-", "/f"}},
		{name: "cut, then 416", faults: []fault{cut(100_000), status(416)}, requests: []string{"/f", "/f bytes=100000-", "/f"}},
		{name: "reset in the middle", faults: []fault{reset(100_000)}, requests: []string{"/f", "/f bytes=100000-"}},
		{name: "ends early without a length", faults: []fault{ends(1000)}, requests: []string{"/f", "/f bytes=1000-"}},
		{name: "stalls in the middle", faults: []fault{stall(100_000)}, requests: []string{"/f", "/f bytes=100000-"}},
		{name: "stalls at once, for good", faults: []fault{stall(0), stall(0), stall(0), stall(0)}, requests: []string{"/f", "/f", "/f", "/f"},
			err: "less than 4096 bytes came within 750ms (tried 4 times)"},
		{name: "drips", faults: []fault{drip(20 * time.Millisecond)}},
		{name: "bit flipped once", faults: []fault{flip(1234)}, requests: []string{"/f", "/f"}},
		{name: "bit flipped twice", faults: []fault{flip(1234), flip(1234)}, requests: []string{"/f", "/f"}, err: "refused: sha256 of the file is "},
		{name: "bit flipped after a cut", faults: []fault{cut(100_000), flip(250_000)}, requests: []string{"/f", "/f bytes=100000-", "/f"}},
		{name: "wrong digest in the index", digest: Digest{"sha256", strings.Repeat("0", 64)}, requests: []string{"/f", "/f"},
			err: "refused: sha256 of the file is " + pulltest.SumHex(content) + ", the index says " + strings.Repeat("0", 64)},
		{name: "wrong size in the index", size: 299_999, requests: []string{"/f"}, err: "the server announces 300000 bytes, expected 299999"},
		{name: "more than announced by the index", faults: []fault{more(1, false)}, requests: []string{"/f"},
			err: "the transfer brings more than 300000 bytes, expected 300000"},
		{name: "announces more than the index", faults: []fault{more(1, true)}, requests: []string{"/f"}, err: "the server announces 300001 bytes, expected 300000"},
		{name: "too large without an index", faults: []fault{more(1<<20, true)}, anyFile: true, requests: []string{"/f"}, err: "more than 1048576 bytes, the limit"},
		{name: "endless without an index", faults: []fault{more(1<<20, false)}, anyFile: true, requests: []string{"/f"}, err: "more than 1048576 bytes, the limit"},
		{name: "redirected", faults: []fault{redirect("/g")}, requests: []string{"/f", "/g"}},
		{name: "redirected in a circle", faults: []fault{func(m *mirror, w http.ResponseWriter, r *http.Request, c []byte) {
			m.fault("/f", redirect("/f?again"), redirect("/f"), redirect("/f"), redirect("/f"), redirect("/f"), redirect("/f"), redirect("/f"),
				redirect("/f"), redirect("/f"), redirect("/f"), redirect("/f"), redirect("/f"))
			redirect("/f")(m, w, r, c)
		}}, err: "redirected more than 10 times"},
		{name: "redirected to a file", faults: []fault{redirect("file:///etc/passwd")}, requests: []string{"/f"}, err: `redirected to scheme "file"`},
		{name: "vanishes", faults: []fault{vanish(1000)}, err: "connection refused"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			m.Put("/f", content)
			m.Put("/g", content)
			m.fault("/f", tc.faults...)
			size, digest := int64(len(content)), digestOf(content)
			if tc.size != 0 {
				size = tc.size
			}
			if tc.digest.Hex != "" {
				digest = tc.digest
			}
			if tc.anyFile {
				size, digest = -1, Digest{}
			}
			dir := t.TempDir()
			got, err := get(t, t.Context(), dir, m.URL+"/f", size, digest)
			if asked := m.asked(); tc.requests != nil && strings.Join(asked, ", ") != strings.Join(tc.requests, ", ") {
				t.Errorf("requests %q, want %q", asked, tc.requests)
			}
			if tc.err == "" {
				if err != nil {
					t.Fatal(err)
				}
				data, err := os.ReadFile(got.path)
				if err != nil || !bytes.Equal(data, content) {
					t.Fatalf("%d bytes of another file, %v", len(data), err)
				}
				if got.sha256 != pulltest.SumHex(content) || got.size != int64(len(content)) || got.reused != 0 {
					t.Errorf("got %+v", got)
				}
				if left := listing(t, dir); len(left) != 1 {
					t.Errorf("the cache has %q, want the file alone", left)
				}
				return
			}
			var e *btfinfo.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("error %v, want *btfinfo.Error with %q", err, tc.err)
			}
			for _, name := range listing(t, dir) {
				if !strings.Contains(name, ".part") {
					t.Errorf("the cache has %q after an error", name)
				}
			}
		})
	}
}

func listing(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// What a run leaves behind the next one goes on with: a killed one leaves its part, a finished one its file.
func TestResume(t *testing.T) {
	t.Parallel()
	content := pulltest.Noise(300_000)
	m := newMirror(t)
	m.Put("/f", content)
	dir := t.TempDir()
	size, digest := int64(len(content)), digestOf(content)

	m.fault("/f", cut(100_000), status(404))
	if _, err := get(t, t.Context(), dir, m.URL+"/f", size, digest); err == nil {
		t.Fatal("no error")
	}
	m.asked()
	got, err := get(t, t.Context(), dir, m.URL+"/f", size, digest)
	if err != nil || got.reused != 100_000 {
		t.Fatalf("got %+v, %v; want 100000 bytes reused", got, err)
	}
	if asked := m.asked(); len(asked) != 1 || asked[0] != "/f bytes=100000-" {
		t.Errorf("requests %q", asked)
	}
	if got, err = get(t, t.Context(), dir, m.URL+"/f", size, digest); err != nil || got.reused != size {
		t.Fatalf("got %+v, %v; want all reused", got, err)
	}
	if asked := m.asked(); len(asked) != 0 {
		t.Errorf("requests %q for a file that is in the cache", asked)
	}

	// A file that was changed in the cache is not taken.
	data, err := os.ReadFile(got.path)
	if err != nil {
		t.Fatal(err)
	}
	data[0] ^= 1
	if err := os.WriteFile(got.path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	if got, err = get(t, t.Context(), dir, m.URL+"/f", size, digest); err != nil || got.reused != 0 {
		t.Fatalf("got %+v, %v; want none reused", got, err)
	}
	if asked := m.asked(); len(asked) != 1 {
		t.Errorf("requests %q", asked)
	}
}

// A part that is not of the server's file is thrown away: by If-Range where the server has validators, by the digest in any case.
func TestResumeOfAnotherFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		noETag   bool
		of       string // the validator that the part was left with
		left     []byte
		requests int
	}{
		{"the server has another file now", false, `"old"`, pulltest.Noise(5000), 1},
		{"no validators", true, "", pulltest.Noise(5000), 2},
		{"a part that is longer than the file", false, "", pulltest.Noise(400_000), 1},
		{"a part of the right size that is another file", true, "", make([]byte, 300_000), 1},
		{"a validator that is none", false, "nonsense", pulltest.Noise(5000), 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			content := append([]byte("another "), pulltest.Noise(299_992)...)
			m := newMirror(t)
			m.noETag = tc.noETag
			m.Put("/f", content)
			u, _ := url.Parse(m.URL + "/f")
			f := &file{uri: u, size: int64(len(content)), digest: digestOf(content)}
			dir := t.TempDir()
			part := filepath.Join(dir, f.name()+".part")
			if err := os.WriteFile(part, tc.left, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(part+".of", []byte(tc.of), 0o644); err != nil {
				t.Fatal(err)
			}
			got, err := get(t, t.Context(), dir, u.String(), f.size, f.digest)
			if err != nil {
				t.Fatal(err)
			}
			if data, err := os.ReadFile(got.path); err != nil || !bytes.Equal(data, content) {
				t.Fatalf("%d bytes of another file, %v", len(data), err)
			}
			if asked := m.asked(); len(asked) != tc.requests {
				t.Errorf("requests %q, want %d", asked, tc.requests)
			}
			if left := listing(t, dir); len(left) != 1 {
				t.Errorf("the cache has %q", left)
			}
		})
	}
}

// Two that want one file at the same time: one downloads, the other waits and takes it.
func TestOneDownload(t *testing.T) {
	t.Parallel()
	content := pulltest.Noise(300_000)
	m := newMirror(t)
	m.Put("/f", content)
	started := make(chan struct{})
	m.fault("/f", func(_ *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		close(started)
		time.Sleep(100 * time.Millisecond)
		deaf(nil, w, r, content)
	})
	dir := t.TempDir()
	errs := make(chan error, 2)
	fetch := func() {
		_, err := get(t, t.Context(), dir, m.URL+"/f", int64(len(content)), digestOf(content))
		errs <- err
	}
	go fetch()
	<-started
	go fetch()
	for range 2 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if asked := m.asked(); len(asked) != 1 {
		t.Errorf("requests %q, want one", asked)
	}
}

// A context that ends breaks off at once what runs, and what waits.
func TestCancel(t *testing.T) {
	t.Parallel()
	cause := errors.New("the user gave up")
	for name, f := range map[string]fault{"stalled": stall(1000), "before a retry": status(503)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			m.Put("/f", pulltest.Noise(300_000))
			m.always["/f"] = f
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(50*time.Millisecond, func() { cancel(cause) })
			u, _ := url.Parse(m.URL + "/f")
			client := newClient(Transport{Stall: time.Hour, Backoff: time.Hour})
			start := time.Now()
			_, err := client.read(ctx, u, -1, 1<<20)
			if !errors.Is(err, cause) {
				t.Errorf("error %v, want %v", err, cause)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
}

// No password gets into an error, nor to another server.
func TestCredentials(t *testing.T) {
	t.Parallel()
	const user, password = "sesame", "open-sesame"
	got := make(chan string, 10)
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got <- "other:" + r.Header.Get("Authorization")
		w.WriteHeader(http.StatusForbidden)
	}))
	defer other.Close()
	first := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name, word, _ := r.BasicAuth()
		got <- "first:" + name + ":" + word
		// By name and by number they are two hosts.
		http.Redirect(w, r, strings.Replace(other.URL, "127.0.0.1", "localhost", 1)+"/x?token="+password, http.StatusFound)
	}))
	defer first.Close()
	u, _ := url.Parse(first.URL + "/f?key=" + password)
	u.User = url.UserPassword(user, password)
	_, err := newClient(quick()).read(t.Context(), u, -1, 100)
	if err == nil || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), user) {
		t.Errorf("error %v: want one without credentials", err)
	}
	if s := <-got; s != "first:"+user+":"+password {
		t.Errorf("the server was told %q", s)
	}
	if s := <-got; s != "other:" {
		t.Errorf("another server was told %q", s)
	}
	first.Close()
	_, err = newClient(quick()).read(t.Context(), u, -1, 100)
	if err == nil || strings.Contains(err.Error(), password) || strings.Contains(err.Error(), user) {
		t.Errorf("error %v: want one without credentials", err)
	}
	if s := public(u); strings.Contains(s, password) || strings.Contains(s, user) || s != first.URL+"/f" {
		t.Errorf("public(…) = %q", s)
	}
}

// https stays https.
func TestNoDowngrade(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("plain")) }))
	defer plain.Close()
	secure := httptest.NewUnstartedServer(http.RedirectHandler(plain.URL, http.StatusFound))
	secure.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshake that fails below
	secure.StartTLS()
	defer secure.Close()
	transport := quick()
	transport.TLS = secure.Client().Transport.(*http.Transport).TLSClientConfig
	u, _ := url.Parse(secure.URL + "/f")
	if _, err := newClient(transport).read(t.Context(), u, -1, 100); err == nil || !strings.Contains(err.Error(), "from https to http") {
		t.Errorf("error %v", err)
	}
	// A certificate that nobody vouches for is not tried again.
	_, err := newClient(quick()).read(t.Context(), u, -1, 100)
	if err == nil || strings.Contains(err.Error(), "tried") || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("error %v", err)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "86400": time.Minute, "99999999999999999999": 0, "x": 0,
		"Fri, 20 Nov 2026 12:00:09 GMT": 9 * time.Second, "Fri, 20 Nov 2026 11:00:00 GMT": 0, "Fri, 20 Nov 2026 13:00:00 GMT": time.Minute,
	} {
		if got := retryAfter(s, now); got != want {
			t.Errorf("retryAfter(%q) = %s, want %s", s, got, want)
		}
	}
}

func TestContentRange(t *testing.T) {
	t.Parallel()
	type result struct {
		start, total int64
		ok           bool
	}
	for s, want := range map[string]result{
		"bytes 100-199/1000": {100, 1000, true}, "bytes 0-0/*": {0, -1, true},
		"": {}, "bytes */1000": {}, "bytes 5-4/10": {}, "bytes 5-9/5": {5, 5, false}, "octets 1-2/3": {}, "bytes -5-9/10": {}, "bytes 1-2": {},
	} {
		start, total, ok := contentRange(s)
		if ok != want.ok || (ok && (start != want.start || total != want.total)) {
			t.Errorf("contentRange(%q) = %d, %d, %v, want %v", s, start, total, ok, want)
		}
	}
}

func TestInsidePath(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"pool/main/l/linux/a_1.deb": "pool/main/l/linux/a_1.deb", "./a.deb": "a.deb", "a//b": "a/b", "a..b/c": "a..b/c",
		"": "", ".": "", "./": "", "/etc/passwd": "", "../x": "", "pool/../../x": "", "a/..": "", "a\\b": "", "a\x00b": "", "a\nb": "",
		strings.Repeat("a", maxPath+1): "",
	} {
		got, err := insidePath(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("insidePath(%q) = %q, %v, want %q", shorten(name), got, err, want)
		}
	}
}

func TestBase(t *testing.T) {
	t.Parallel()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for in, want := range map[string]string{
		"http://host/debian":                "http://host/debian/dists/x%20+y%25",
		"http://host/debian/":               "http://host/debian/dists/x%20+y%25",
		"https://me:secret@host:8080/d?k=v": "https://host:8080/d/dists/x%20+y%25",
		"http://host":                       "http://host/dists/x%20+y%25",
		"file:///srv/debian":                "file:///srv/debian/dists/x%20+y%25",
		"file:/srv/debian":                  "file:///srv/debian/dists/x%20+y%25",
		"copy:///srv/debian":                "file:///srv/debian/dists/x%20+y%25",
		"/srv/debian":                       "file:///srv/debian/dists/x%20+y%25",
		"sub/debian":                        "file://" + here + "/sub/debian/dists/x%20+y%25",
	} {
		b, err := parseBase(in)
		if err != nil {
			t.Errorf("parseBase(%q): %v", in, err)
			continue
		}
		u, err := b.join("dists/x +y%")
		if err != nil || public(u) != want {
			t.Errorf("parseBase(%q).join gives %q, %v, want %q", in, public(u), err, want)
		}
	}
	for _, in := range []string{"ftp://host/x", "http:///x", "tor+http://host/x", "file://other/x", "http://me:se cret@ho st/x", "cdrom:[Debian]/"} {
		if b, err := parseBase(in); err == nil {
			t.Errorf("parseBase(%q) = %v, want an error", in, b)
		} else if strings.Contains(err.Error(), "cret") {
			t.Errorf("parseBase(%q): %v", in, err)
		}
	}
}

// A file of this machine goes the same way, with the same checks.
func TestFileScheme(t *testing.T) {
	t.Parallel()
	content := pulltest.Noise(100_000)
	dir := t.TempDir()
	name := filepath.Join(dir, "f")
	if err := os.WriteFile(name, content, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := get(t, t.Context(), t.TempDir(), "file://"+name, int64(len(content)), digestOf(content)); err != nil {
		t.Error(err)
	}
	for _, tc := range []struct {
		path   string
		size   int64
		digest Digest
		err    string
	}{
		{name, 99_999, digestOf(content), "it has 100000 bytes, expected 99999"},
		{name, 100_000, Digest{"sha256", strings.Repeat("0", 64)}, "refused: sha256"},
		{name + "-not", 100_000, digestOf(content), "no such file"},
		{dir, 100_000, digestOf(content), "not a regular file"},
	} {
		if _, err := get(t, t.Context(), t.TempDir(), "file://"+tc.path, tc.size, tc.digest); err == nil || !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%s: error %v, want %q", tc.path, err, tc.err)
		}
	}
}
