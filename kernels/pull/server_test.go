package pull

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// mirror is a server on loopback that answers rightly, but for the faults that a test asks for.
type mirror struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	files    map[string][]byte // by path, with the slash before it
	faults   map[string][]fault
	always   map[string]fault
	requests []string // "PATH RANGE", in order
	login    string   // "user:password" that is asked for, "" none
	noETag   bool
}

// fault answers a request in place of the server.
type fault func(m *mirror, w http.ResponseWriter, r *http.Request, content []byte)

func newMirror(t *testing.T) *mirror {
	t.Helper()
	m := &mirror{t: t, files: map[string][]byte{}, faults: map[string][]fault{}, always: map[string]fault{}}
	m.Server = httptest.NewServer(http.HandlerFunc(m.serve))
	t.Cleanup(func() {
		m.CloseClientConnections()
		m.Close()
	})
	return m
}

func (m *mirror) serve(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	m.requests = append(m.requests, strings.TrimSpace(r.URL.Path+" "+r.Header.Get("Range")))
	content, ok := m.files[r.URL.Path]
	f := m.always[r.URL.Path]
	if queue := m.faults[r.URL.Path]; len(queue) > 0 {
		f, m.faults[r.URL.Path] = queue[0], queue[1:]
	}
	etag, login := !m.noETag, m.login
	m.mu.Unlock()
	user, password, _ := r.BasicAuth()
	switch {
	case login != "" && login != user+":"+password:
		w.WriteHeader(http.StatusUnauthorized)
	case f != nil:
		f(m, w, r, content)
	case ok:
		if etag {
			w.Header().Set("ETag", etagOf(content))
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	default:
		http.NotFound(w, r)
	}
}

func (m *mirror) Put(path string, content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path] = content
}

func (m *mirror) fault(path string, faults ...fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults[path] = append(m.faults[path], faults...)
}

// asked returns the requests so far, and forgets them.
func (m *mirror) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	all := m.requests
	m.requests = nil
	return all
}

func etagOf(content []byte) string { return `"` + pulltest.SumHex(content)[:16] + `"` }

func digestOf(content []byte) Digest { return Digest{"sha256", pulltest.SumHex(content)} }

// bytesFrom is where a request's range begins.
func bytesFrom(r *http.Request) (from int) {
	if s := r.Header.Get("Range"); s != "" {
		if _, err := fmt.Sscanf(s, "bytes=%d-", &from); err != nil {
			panic(err)
		}
	}
	return from
}

// head writes the head of an answer with the rest of the content from where it was asked.
func head(w http.ResponseWriter, r *http.Request, content []byte) []byte {
	from := min(bytesFrom(r), len(content))
	w.Header().Set("ETag", etagOf(content))
	w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
	if from > 0 {
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
	}
	return content[from:]
}

// status answers with a code.
func status(code int) fault {
	return func(_ *mirror, w http.ResponseWriter, _ *http.Request, _ []byte) { w.WriteHeader(code) }
}

// cut closes the connection after n bytes.
func cut(n int) fault {
	return func(_ *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		rest := head(w, r, content)
		w.Write(rest[:min(n, len(rest))])
		panic(http.ErrAbortHandler)
	}
}

// reset resets the connection after n bytes.
func reset(n int) fault {
	return func(m *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		conn, buf, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		fmt.Fprintf(buf, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\nETag: %s\r\n\r\n", len(content), etagOf(content))
		buf.Write(content[:n])
		buf.Flush()
		time.Sleep(20 * time.Millisecond) // a reset overtakes what was sent
		conn.(*net.TCPConn).SetLinger(0)
		conn.Close()
	}
}

// ends ends the body after n bytes as if that were all of it: no length is announced.
func ends(n int) fault {
	return func(_ *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		w.Header().Set("ETag", etagOf(content))
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		w.Write(content[:n])
	}
}

// stall sends n bytes and then nothing.
func stall(n int) fault {
	return func(_ *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		rest := head(w, r, content)
		w.Write(rest[:min(n, len(rest))])
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}
}

// drip sends a byte at a time, forever below what counts as progress.
func drip(every time.Duration) fault {
	return func(_ *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		for _, b := range head(w, r, content) {
			w.Write([]byte{b})
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
				return
			case <-time.After(every):
			}
		}
	}
}

// deaf sends the whole file, whatever was asked for.
func deaf(_ *mirror, w http.ResponseWriter, _ *http.Request, content []byte) {
	w.Header().Set("ETag", etagOf(content))
	w.Write(content)
}

// flip flips a bit of byte n.
func flip(n int) fault {
	return func(_ *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		bad := bytes.Clone(content)
		bad[n] ^= 0x10
		rest := head(w, r, content)
		w.Write(bad[len(bad)-len(rest):])
	}
}

// more sends bytes behind the file.
func more(extra int, announce bool) fault {
	return func(_ *mirror, w http.ResponseWriter, _ *http.Request, content []byte) {
		long := append(bytes.Clone(content), make([]byte, extra)...)
		if announce {
			w.Header().Set("Content-Length", fmt.Sprint(len(long)))
		} else {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		w.Write(long)
	}
}

// shifted answers a range with another one.
func shifted(by int) fault {
	return func(_ *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		from := bytesFrom(r) + by
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		w.WriteHeader(http.StatusPartialContent)
		w.Write(content[from:])
	}
}

// redirect sends on to a place.
func redirect(to string) fault {
	return func(_ *mirror, w http.ResponseWriter, r *http.Request, _ []byte) {
		http.Redirect(w, r, to, http.StatusFound)
	}
}

// vanish closes the server for good.
func vanish(n int) fault {
	return func(m *mirror, w http.ResponseWriter, r *http.Request, content []byte) {
		rest := head(w, r, content)
		w.Write(rest[:n])
		w.(http.Flusher).Flush()
		m.Listener.Close()
		panic(http.ErrAbortHandler)
	}
}

// quick is a transport for tests: everything that takes time takes little.
func quick() Transport {
	return Transport{Stall: 750 * time.Millisecond, Retries: 3, Backoff: time.Millisecond}
}

// writeTree writes the files of a mirror to a folder.
func (m *mirror) writeTree(dir string) {
	m.t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, content := range m.files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if err := os.WriteFile(file, content, 0o644); err != nil {
			m.t.Fatal(err)
		}
	}
}
