package pull

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/flock"
)

// Digest is what an index says that a file's digest is. The zero Digest is none.
type Digest struct {
	Algorithm string // "sha256", "sha512"
	Hex       string // in lower case
}

// digests are the algorithms that are taken for proof. MD5 and SHA-1 are not: files of one digest can be made.
var digests = map[string]func() hash.Hash{
	"sha256": sha256.New,
	"sha384": sha512.New384,
	"sha512": sha512.New,
}

// newDigest reads a digest in hex.
func newDigest(algorithm, digits string) (Digest, error) {
	make, ok := digests[algorithm]
	if !ok {
		return Digest{}, fmt.Errorf("digest of type %q; sha256, sha384 and sha512 are taken", algorithm)
	}
	b, err := hex.DecodeString(digits)
	if want := make().Size(); err != nil || len(b) != want {
		return Digest{}, fmt.Errorf("%q is no %s digest of %d hex digits", shorten(digits), algorithm, 2*want)
	}
	return Digest{algorithm, hex.EncodeToString(b)}, nil
}

// shorten keeps what strangers wrote from filling the screen.
func shorten(s string) string {
	const most = 160
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}

func (d Digest) String() string {
	if d.Hex == "" {
		return "none"
	}
	return d.Algorithm + ":" + d.Hex
}

// errDigest is a file that is not the one of the index.
type errDigest struct{ have, want Digest }

func (e *errDigest) Error() string {
	return fmt.Sprintf("%s of the file is %s, the index says %s", e.want.Algorithm, e.have.Hex, e.want.Hex)
}

// sumOf hashes everything that it is given: with the index's algorithm, and with SHA-256, which the archive records.
type sumOf struct {
	want Digest
	main hash.Hash // nil without a digest to hold against
	rec  hash.Hash // SHA-256
}

func newSum(want Digest) *sumOf {
	s := &sumOf{want: want, rec: sha256.New()}
	switch want.Algorithm {
	case "":
	case "sha256":
		s.main = s.rec
	default:
		s.main = digests[want.Algorithm]()
	}
	return s
}

func (s *sumOf) Write(b []byte) (int, error) {
	s.rec.Write(b)
	if s.main != nil && s.main != s.rec {
		s.main.Write(b)
	}
	return len(b), nil
}

// check holds the digest against the one that is wanted; without one nothing is held against it.
func (s *sumOf) check() error {
	if s.main == nil {
		return nil
	}
	if have := hex.EncodeToString(s.main.Sum(nil)); have != s.want.Hex {
		return &errDigest{Digest{s.want.Algorithm, have}, s.want}
	}
	return nil
}

func (s *sumOf) sha256() string { return hex.EncodeToString(s.rec.Sum(nil)) }

// checkBytes holds what was read against a digest.
func checkBytes(b []byte, want Digest) error {
	s := newSum(want)
	s.Write(b)
	return s.check()
}

// cache is a folder of downloaded files. A file has its name there only once its digest was checked; until then it is
// NAME.part, which the next run goes on with.
type cache struct {
	dir string
}

// file is one file to be had.
type file struct {
	uri    *url.URL
	size   int64 // bytes, -1 unknown
	limit  int64 // bytes at most where the size is not known
	digest Digest
}

// name of the file in the cache: its own name behind its digest, so that two files of one name don't meet.
func (f *file) name() string {
	base := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("._+~-", r):
			return r
		}
		return '_'
	}, path.Base(f.uri.Path))
	key := f.digest.Hex
	if key == "" {
		// Nothing says what the file must be, but where it is.
		sum := sha256.Sum256([]byte(public(f.uri)))
		key = "uri-" + hex.EncodeToString(sum[:])
	}
	const most = 120 // together with the rest below the 255 bytes of a name in Linux's file systems
	if len(base) > most {
		base = base[len(base)-most:]
	}
	return key[:min(len(key), 24)] + "-" + base
}

// cached is a file whose digest was checked.
type cached struct {
	path   string
	size   int64
	sha256 string // hex
	// reused are the bytes that were in the cache before; the rest came from the server.
	reused int64
	// foreign: the file lies elsewhere, and is not to be removed.
	foreign bool
}

// path is where the file is, once it is there.
func (c *cache) path(f *file) string { return filepath.Join(c.dir, f.name()) }

// fetch gets the file into the cache, unless it is there. done is told how many bytes are there, as they come.
func (c *cache) fetch(ctx context.Context, cl *client, f *file, done func(int64)) (*cached, error) {
	if err := os.MkdirAll(c.dir, 0o755); err != nil {
		return nil, err
	}
	final := c.path(f)
	// Another process may be downloading the same file: it is waited for.
	lock, err := flock.Open(ctx, final+".part", flock.Exclusive, true)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	if got, err := c.present(ctx, final, f); err != nil {
		return nil, err
	} else if got != nil {
		done(got.size)
		// The lock's file is empty, or a leftover that nobody will go on with.
		_ = os.Remove(final + ".part")
		_ = os.Remove(final + ".part.of")
		return got, nil
	}
	p, err := openPart(ctx, lock, final+".part.of", f, done)
	if err != nil {
		return nil, err
	}
	reused := p.p.have
	t := &transfer{uri: f.uri, size: f.size, limit: f.limit, sink: p}
	for {
		err = nil
		if f.size < 0 || p.p.have != f.size {
			err = cl.get(ctx, t)
		}
		if err != nil {
			p.keep(err)
			return nil, err
		}
		if err = p.sum.check(); err == nil {
			break
		}
		// What was continued may be of two files, and what came through a cache may be old or broken: once more, whole and
		// from the server itself.
		if rerr := p.restart(""); rerr != nil {
			return nil, rerr
		}
		reused = 0
		if t.fresh {
			_ = os.Remove(final + ".part")
			_ = os.Remove(final + ".part.of")
			return nil, refused(f.uri, err)
		}
		t.fresh = true
	}
	if err := p.commit(final); err != nil {
		return nil, err
	}
	return &cached{path: final, size: p.p.have, sha256: p.sum.sha256(), reused: reused}, nil
}

// refused is the error of a file that came whole and is not the one of the index.
func refused(u *url.URL, err error) error {
	return &btfinfo.Error{File: public(u), Off: -1, Msg: "refused", Err: err,
		Hint: "the mirror's index and its file disagree: it may be in the middle of an update, or something on the way changed the file"}
}

// present looks at a file that is in the cache already. It is hashed again: disks and people change files.
func (c *cache) present(ctx context.Context, final string, f *file) (*cached, error) {
	if f.digest.Hex == "" {
		return nil, nil // nothing tells whether it is still the server's
	}
	in, err := os.Open(final)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer in.Close()
	sum := newSum(f.digest)
	n, err := io.Copy(sum, &contextReader{ctx, in})
	if err != nil {
		return nil, err
	}
	if (f.size >= 0 && n != f.size) || sum.check() != nil {
		return nil, os.Remove(final)
	}
	return &cached{path: final, size: n, sha256: sum.sha256(), reused: n}, nil
}

// partFile is a sink in the cache.
type partFile struct {
	f    *os.File
	of   string // the file that holds the validator
	p    part
	sum  *sumOf
	want Digest
	done func(int64)
}

// openPart goes on with what an earlier run left, which has to be hashed for it.
func openPart(ctx context.Context, f *os.File, of string, want *file, done func(int64)) (*partFile, error) {
	p := &partFile{f: f, of: of, sum: newSum(want.digest), want: want.digest, done: done}
	n, err := io.Copy(p.sum, &contextReader{ctx, f})
	if err != nil {
		return nil, err
	}
	validator, err := os.ReadFile(of)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	p.p = part{have: n, validator: string(validator)}
	tooLong := want.size >= 0 && n > want.size
	// Without a digest only the validator can tell that the rest is of the same file.
	if n > 0 && (tooLong || (want.digest.Hex == "" && len(validator) == 0)) {
		if err := p.restart(""); err != nil {
			return nil, err
		}
	}
	done(p.p.have)
	return p, nil
}

func (p *partFile) restart(validator string) error {
	if p.p.have > 0 {
		if err := p.f.Truncate(0); err != nil {
			return err
		}
	}
	if _, err := p.f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	p.sum = newSum(p.want)
	if p.p.validator != validator {
		if err := os.Remove(p.of); err != nil && !errors.Is(err, os.ErrNotExist) { // rather than to write through a link
			return err
		}
		if err := os.WriteFile(p.of, []byte(validator), 0o644); err != nil {
			return err
		}
	}
	p.p = part{validator: validator}
	p.done(0)
	return nil
}

func (p *partFile) Write(b []byte) (int, error) {
	n, err := p.f.Write(b)
	p.sum.Write(b[:n])
	p.p.have += int64(n)
	p.done(p.p.have)
	return n, err
}

func (p *partFile) part() part { return p.p }

// keep leaves the part for the next run, unless there is nothing in it, or the disk has no room for the rest.
func (p *partFile) keep(cause error) {
	if p.p.have == 0 || errors.As(cause, new(*errWrite)) {
		_ = os.Remove(p.f.Name())
		_ = os.Remove(p.of)
	}
}

// commit gives the file its name, now that it is what it should be.
func (p *partFile) commit(final string) error {
	if err := p.f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(p.f.Name(), final); err != nil {
		return err
	}
	if err := os.Remove(p.of); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
