package pull

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
)

// Transport says how files are read from servers. The zero value has the defaults.
type Transport struct {
	// Stall is how long a transfer may bring less than 4 KiB before it is broken off and tried again; 0 is 30 seconds. It
	// holds for the connection and for the server's answer as well.
	Stall time.Duration
	// Retries is how often a transfer is tried again without getting any further; 0 is 5, negative is never.
	Retries int
	// Backoff is the pause before the first retry, doubled for each next one up to 64 times, plus up to as much at
	// random, so that many clients of a server that was away don't come back at once; 0 is half a second.
	Backoff time.Duration
	// Proxy names the proxy for a request; nil takes the one of the environment (http_proxy, https_proxy, no_proxy).
	Proxy func(*http.Request) (*url.URL, error)
	// Auth gives user and password for a URI that has none of its own; nil has none.
	Auth func(*url.URL) (user, password string, ok bool)
	// UserAgent is what servers are told; "" is "corecheck".
	UserAgent string
	// TLS is the configuration for https; nil is Go's with the system's certificates.
	TLS *tls.Config
}

const (
	maxRedirects = 10      // as browsers and curl have it (curl: 50, Go: 10)
	progressUnit = 4 << 10 // bytes that must come within Stall
	// Bytes that a transfer must have got further by, to have all its retries again.
	retryCredit = 1 << 20
	// The longest that a server's Retry-After is waited for.
	maxRetryAfter = time.Minute
)

// client reads files from servers and folders.
type client struct {
	t    Transport
	http *http.Client
}

func newClient(t Transport) *client {
	if t.Stall <= 0 {
		t.Stall = 30 * time.Second
	}
	if t.Retries == 0 {
		t.Retries = 5
	}
	if t.Backoff <= 0 {
		t.Backoff = 500 * time.Millisecond
	}
	if t.Proxy == nil {
		t.Proxy = http.ProxyFromEnvironment
	}
	if t.UserAgent == "" {
		t.UserAgent = "corecheck"
	}
	return &client{t, &http.Client{
		Transport: &http.Transport{
			Proxy:               t.Proxy,
			DialContext:         (&net.Dialer{Timeout: t.Stall, KeepAlive: 30 * time.Second}).DialContext,
			TLSClientConfig:     t.TLS,
			TLSHandshakeTimeout: t.Stall,
			// Content-Length, ranges and digests are about the file, not about a compressed copy of it.
			DisableCompression:     true,
			MaxResponseHeaderBytes: 256 << 10,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        time.Minute,
			ForceAttemptHTTP2:      true,
		},
		CheckRedirect: checkRedirect,
	}}
}

// close gives up the connections that are kept for more requests.
func (c *client) close() { c.http.CloseIdleConnections() }

// errRedirect is a redirect that is not followed. Another try would be answered in the same way.
type errRedirect struct{ msg string }

func (e *errRedirect) Error() string { return e.msg }

func checkRedirect(req *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return &errRedirect{fmt.Sprintf("redirected more than %d times", maxRedirects)}
	}
	switch {
	case req.URL.Scheme != "http" && req.URL.Scheme != "https":
		return &errRedirect{fmt.Sprintf("redirected to scheme %q", req.URL.Scheme)}
	case req.URL.Scheme == "http" && via[0].URL.Scheme == "https":
		return &errRedirect{"redirected from https to http"}
	}
	return nil
}

// errStatus is an answer other than the file.
type errStatus struct {
	code  int
	after time.Duration // from Retry-After, 0 without
}

func (e *errStatus) Error() string {
	if text := http.StatusText(e.code); text != "" {
		return fmt.Sprintf("the server answers %d %s", e.code, text)
	}
	return fmt.Sprintf("the server answers %d", e.code)
}

// isNotThere: the server says that it has no such file. Stores of objects that don't let strangers list say 403 then.
func isNotThere(err error) bool {
	var status *errStatus
	if errors.As(err, &status) {
		return status.code == http.StatusNotFound || status.code == http.StatusGone || status.code == http.StatusForbidden
	}
	return errors.Is(err, fs.ErrNotExist)
}

// errStalled is the cause with which a transfer without progress is cancelled.
var errStalled = errors.New("stalled")

// errSize is a file that is not of the size that it must have.
type errSize struct {
	what       string // "the server announces", "the transfer ended after"
	have, want int64
	final      bool // another try would end in the same way
}

func (e *errSize) Error() string {
	return fmt.Sprintf("%s %d bytes, expected %d", e.what, e.have, e.want)
}

// errTooLarge is a file beyond what is read of its kind.
type errTooLarge struct{ limit int64 }

func (e *errTooLarge) Error() string { return fmt.Sprintf("more than %d bytes, the limit", e.limit) }

// errWrite is a failure of this machine, such as a full disk.
type errWrite struct{ err error }

func (e *errWrite) Error() string { return e.err.Error() }
func (e *errWrite) Unwrap() error { return e.err }

// again: whether another try may end otherwise.
func again(err error) bool {
	var status *errStatus
	if errors.As(err, &status) {
		switch status.code {
		case http.StatusRequestTimeout, http.StatusTooManyRequests, http.StatusInternalServerError,
			http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	var size *errSize
	if errors.As(err, &size) {
		return !size.final
	}
	var redirect *errRedirect
	var large *errTooLarge
	var write *errWrite
	if errors.As(err, &redirect) || errors.As(err, &large) || errors.As(err, &write) {
		return false
	}
	var dns *net.DNSError
	if errors.As(err, &dns) {
		return !dns.IsNotFound
	}
	var unknown x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	if errors.As(err, &unknown) || errors.As(err, &host) || errors.As(err, &invalid) {
		return false
	}
	return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission)
}

// A part is what a transfer has so far, and how to go on with it.
type part struct {
	have      int64  // bytes
	validator string // ETag or Last-Modified of the file that they are of, "" unknown
}

// sink takes the bytes of a transfer.
type sink interface {
	// restart forgets what was written: the server begins from the start. validator is the file's, "" without one.
	restart(validator string) error
	io.Writer
	part() part
}

// transfer is one file on its way.
type transfer struct {
	uri *url.URL
	// size is the exact size in bytes, -1 where it is not known; limit is the most that is read then.
	size, limit int64
	// fresh asks caches on the way for the server's own copy: what they had was wrong.
	fresh bool
	sink  sink
}

// get brings one file to the sink, as often trying again as it gets further. Errors name the file.
func (c *client) get(ctx context.Context, t *transfer) error {
	failed, at := 0, t.sink.part().have
	for {
		err := c.try(ctx, t)
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if have := t.sink.part().have; have >= at+retryCredit {
			failed, at = 0, have
		}
		if !again(err) {
			return fileError(t.uri, err)
		}
		if failed >= c.t.Retries {
			if failed > 0 {
				err = fmt.Errorf("%w (tried %d times)", err, failed+1)
			}
			return fileError(t.uri, err)
		}
		if err := c.pause(ctx, failed, err); err != nil {
			return err
		}
		failed++
	}
}

// pause waits before the next try: longer each time, and as long as the server asks for.
func (c *client) pause(ctx context.Context, failed int, cause error) error {
	wait := c.t.Backoff << min(failed, 6)
	wait += rand.N(wait)
	var status *errStatus
	if errors.As(cause, &status) {
		wait = max(wait, min(status.after, maxRetryAfter))
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// fileError is an error about a file of a repository, without the credentials that its URI may have.
func fileError(u *url.URL, err error) error {
	// The http client's own error repeats the URI, credentials and all.
	var inURL *url.Error
	if errors.As(err, &inURL) {
		err = inURL.Err
	}
	return &btfinfo.Error{File: public(u), Off: -1, Msg: "can't be had", Err: err, Hint: hintOf(err)}
}

// hintOf is what to do about a failed transfer.
func hintOf(err error) string {
	var status *errStatus
	var refused *net.OpError
	switch {
	case errors.As(err, &status) && (status.code == http.StatusUnauthorized || status.code == http.StatusForbidden):
		return "credentials are read from the URI and, for apt, from its auth.conf"
	case errors.As(err, &status) && status.code == http.StatusProxyAuthRequired:
		return "the proxy wants credentials: http://USER:PASSWORD@HOST:PORT in http_proxy or apt's Acquire::http::Proxy"
	case errors.As(err, &status) && status.code == http.StatusNotFound:
		return "is the address right? what the index named before may be gone since"
	case errors.As(err, &refused):
		return "is the address right, and does it take a proxy? what was fetched is kept, and the next run goes on from there"
	}
	return ""
}

// try is one request. What it brought stays in the sink, whatever comes after it.
func (c *client) try(ctx context.Context, t *transfer) error {
	if t.uri.Scheme == "file" {
		return c.copyFile(ctx, t)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(c.t.Stall, func() { cancel(errStalled) })
	defer stall.Stop()

	req, err := c.request(ctx, t)
	if err != nil {
		return err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return c.cause(ctx, err)
	}
	// A body that is not read to its end closes the connection, as wanted: the rest may be long.
	defer resp.Body.Close()
	if err := begin(t, resp); err != nil {
		return err
	}
	if t.size >= 0 && t.sink.part().have == t.size {
		return nil
	}
	body := &progressReader{r: resp.Body, stall: stall, wait: c.t.Stall}
	if err := copyBody(t, body); err != nil {
		var write *errWrite
		var large *errTooLarge
		var size *errSize
		if errors.As(err, &write) || errors.As(err, &large) || errors.As(err, &size) {
			return err
		}
		return c.cause(ctx, err)
	}
	if have := t.sink.part().have; t.size >= 0 && have != t.size {
		return &errSize{what: "the transfer ended after", have: have, want: t.size}
	}
	return nil
}

func (c *client) request(ctx context.Context, t *transfer) (*http.Request, error) {
	u := *t.uri
	user := u.User
	u.User = nil // so that it is in no error and no log, but in its header
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", c.t.UserAgent)
	if user != nil {
		password, _ := user.Password()
		req.SetBasicAuth(user.Username(), password)
	} else if c.t.Auth != nil {
		if name, password, ok := c.t.Auth(&u); ok {
			req.SetBasicAuth(name, password)
		}
	}
	if t.fresh {
		req.Header.Set("Cache-Control", "no-cache")
	}
	if p := t.sink.part(); p.have > 0 {
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", p.have))
		// RFC 9110, 13.1.5: with a validator the answer is the rest of the same file, or a new one from its start. Without
		// one the digest tells in the end.
		if p.validator != "" {
			req.Header.Set("If-Range", p.validator)
		}
	}
	return req, nil
}

// begin reads the head of an answer and brings the sink to where the body begins.
func begin(t *transfer, resp *http.Response) error {
	p := t.sink.part()
	switch resp.StatusCode {
	case http.StatusOK:
		if err := announced(t, serverSays, resp.ContentLength); err != nil {
			return err
		}
		if err := t.sink.restart(validatorOf(resp.Header)); err != nil {
			return &errWrite{err}
		}
		return nil
	case http.StatusPartialContent:
		start, total, ok := contentRange(resp.Header.Get("Content-Range"))
		if !ok || start != p.have || p.have == 0 {
			// An answer to another question: from the start, then.
			if err := t.sink.restart(""); err != nil {
				return &errWrite{err}
			}
			return fmt.Errorf("asked for bytes from %d, the server sends %q", p.have, resp.Header.Get("Content-Range"))
		}
		if total >= 0 {
			if err := announced(t, serverSays, total); err != nil {
				// The file there is not the one that the part is of, or never was of the right size.
				if err := t.sink.restart(""); err != nil {
					return &errWrite{err}
				}
				return err
			}
		}
		return nil
	case http.StatusRequestedRangeNotSatisfiable:
		if p.have > 0 {
			if err := t.sink.restart(""); err != nil {
				return &errWrite{err}
			}
			return fmt.Errorf("the server has no byte %d of the file", p.have)
		}
	}
	return &errStatus{resp.StatusCode, retryAfter(resp.Header.Get("Retry-After"), time.Now())}
}

// serverSays begins what is said of a wrong length.
const serverSays = "the server announces"

// announced holds the length that a server announces against what must come. A wrong one saves the transfer.
func announced(t *transfer, what string, length int64) error {
	switch {
	case length < 0: // not announced
		return nil
	case t.size >= 0 && length != t.size:
		return &errSize{what: what, have: length, want: t.size, final: true}
	case t.size < 0 && length > t.limit:
		return &errTooLarge{t.limit}
	}
	return nil
}

// validatorOf is what a later request may name the file by. Weak ETags don't tell bytes apart (RFC 9110, 8.8.1).
func validatorOf(h http.Header) string {
	if tag := h.Get("ETag"); strings.HasPrefix(tag, `"`) && len(tag) < 1024 {
		return tag
	}
	if date := h.Get("Last-Modified"); date != "" {
		if _, err := http.ParseTime(date); err == nil {
			return date
		}
	}
	return ""
}

// contentRange reads "bytes 100-199/1000"; total is -1 for "*".
func contentRange(s string) (start, total int64, ok bool) {
	s, ok = strings.CutPrefix(s, "bytes ")
	if !ok {
		return 0, 0, false
	}
	span, size, ok := strings.Cut(s, "/")
	if !ok {
		return 0, 0, false
	}
	first, last, ok := strings.Cut(span, "-")
	if !ok {
		return 0, 0, false
	}
	start, err := strconv.ParseInt(first, 10, 64)
	if err != nil || start < 0 {
		return 0, 0, false
	}
	if end, err := strconv.ParseInt(last, 10, 64); err != nil || end < start {
		return 0, 0, false
	}
	if size == "*" {
		return start, -1, true
	}
	total, err = strconv.ParseInt(size, 10, 64)
	return start, total, err == nil && total > start
}

// retryAfter reads the header: seconds, or a date.
func retryAfter(s string, now time.Time) time.Duration {
	if n, err := strconv.Atoi(s); err == nil && n > 0 {
		return time.Duration(min(n, int(maxRetryAfter/time.Second))) * time.Second
	}
	if t, err := http.ParseTime(s); err == nil && t.After(now) {
		return min(t.Sub(now), maxRetryAfter)
	}
	return 0
}

// copyBody writes a body to the sink, and stops at the first byte too much.
func copyBody(t *transfer, body io.Reader) error {
	most := t.limit
	if t.size >= 0 {
		most = t.size
	}
	buf := make([]byte, 64<<10)
	for {
		n, err := body.Read(buf)
		if have := t.sink.part().have; n > 0 && int64(n) > most-have {
			if t.size >= 0 {
				return &errSize{what: "the transfer brings more than", have: t.size, want: t.size, final: true}
			}
			return &errTooLarge{most}
		}
		if n > 0 {
			if _, err := t.sink.Write(buf[:n]); err != nil {
				return &errWrite{err}
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// progressReader puts off the moment of breaking off with every progressUnit that comes.
type progressReader struct {
	r     io.Reader
	stall *time.Timer
	wait  time.Duration
	since int
}

func (p *progressReader) Read(b []byte) (int, error) {
	n, err := p.r.Read(b)
	if p.since += n; p.since >= progressUnit {
		p.since = 0
		p.stall.Reset(p.wait)
	}
	return n, err
}

// cause says why a request ended, where its context knows better.
func (c *client) cause(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return fmt.Errorf("less than %d bytes came within %s", progressUnit, c.t.Stall)
	}
	var redirect *errRedirect
	if errors.As(err, &redirect) {
		return redirect
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		return errors.New("the connection was closed before the file was complete")
	}
	var inURL *url.Error
	if errors.As(err, &inURL) {
		return inURL.Err
	}
	return err
}

// copyFile is try for a file of this machine.
func (c *client) copyFile(ctx context.Context, t *transfer) error {
	f, err := os.Open(localPath(t.uri))
	if err != nil {
		return plainPathError(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return plainPathError(err)
	}
	if !info.Mode().IsRegular() {
		return &errRedirect{"not a regular file"}
	}
	if err := announced(t, "it has", info.Size()); err != nil {
		return err
	}
	if err := t.sink.restart(""); err != nil {
		return &errWrite{err}
	}
	if err := copyBody(t, &contextReader{ctx, f}); err != nil {
		return err
	}
	if have := t.sink.part().have; t.size >= 0 && have != t.size {
		return &errSize{what: "the file ends after", have: have, want: t.size, final: true}
	}
	return nil
}

// localPath is the file that a file URI names.
func localPath(u *url.URL) string { return u.Path }

// plainPathError is an error of the file system without the path, which the message has already.
func plainPathError(err error) error {
	var inPath *fs.PathError
	if errors.As(err, &inPath) {
		return inPath.Err
	}
	return err
}

// contextReader ends with its context.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r *contextReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(b)
}

// memory is a sink for small files.
type memory struct {
	buf bytes.Buffer
	p   part
}

func (m *memory) restart(validator string) error {
	m.buf.Reset()
	m.p = part{validator: validator}
	return nil
}

func (m *memory) Write(b []byte) (int, error) {
	m.p.have += int64(len(b))
	return m.buf.Write(b)
}

func (m *memory) part() part { return m.p }

// read gets a small file whole: size is its exact size in bytes or -1, limit the most that is read.
func (c *client) read(ctx context.Context, u *url.URL, size, limit int64) ([]byte, error) {
	if size > limit {
		return nil, fileError(u, fmt.Errorf("%d bytes, more than the limit of %d", size, limit))
	}
	m := &memory{}
	if err := c.get(ctx, &transfer{uri: u, size: size, limit: limit, sink: m}); err != nil {
		return nil, err
	}
	return m.buf.Bytes(), nil
}
