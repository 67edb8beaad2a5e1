package pull

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
)

// Lists are what Debian-style repositories list, for those who know which package they want: by its name, its version and the
// suites that may have it. A suite's list is read when it is first asked for, and kept. Its methods may be called from several
// goroutines.
type Lists struct {
	// Reading, where not nil, is told which list begins to be read. It is set before the first one is.
	Reading func(suite, arch string)

	apt *apt // without targets
	err error

	mu    sync.Mutex
	lists map[listKey]*list
}

type listKey struct{ suite, arch string }

// list is a suite's, for one architecture.
type list struct {
	mu       sync.Mutex // held while it is read
	read     bool
	packages []*Listed
	err      error
}

// Listed is a package that a repository lists. Its dependencies are as the list has them: deb-control(5).
type Listed struct {
	Package
	Arch                          string // in Debian's names; "all" for what is for all of them
	Depends, PreDepends, Provides string
}

// NewLists prepares the reading. Of opt, what chooses kernels, suites and the architecture count for nothing. want says which
// packages are kept of a list, by their names; nil keeps all. A machine without apt is an error of Suite only.
func NewLists(ctx context.Context, opt AptOptions, want func(name string) bool) *Lists {
	if want == nil {
		want = func(string) bool { return true }
	}
	opt.Match, opt.Suites = nil, nil
	l := &Lists{lists: map[listKey]*list{}}
	if l.apt, l.err = newApt(ctx, opt); l.err != nil {
		l.apt = &apt{opt: opt, config: &AptConfig{}, client: newClient(opt.Transport)}
	}
	l.apt.want = want
	return l
}

// Close gives up the connections that are kept for more requests.
func (l *Lists) Close() { l.apt.client.close() }

// Suites are those of the machine's configuration, in its order.
func (l *Lists) Suites() ([]string, error) {
	if l.err != nil {
		return nil, l.err
	}
	var suites []string
	for _, s := range l.apt.config.Sources {
		if !slices.Contains(suites, s.Suite) {
			suites = append(suites, s.Suite)
		}
	}
	return suites, nil
}

// ErrNoSuite is a suite that no repository has, or none for the architecture.
var ErrNoSuite = errors.New("no repository has the suite")

// Suite reads what the repositories list of a suite for an architecture, in Debian's names. A suite that the configuration
// lacks is asked of the repositories that it has. The error wraps ErrNoSuite where none of them has it.
func (l *Lists) Suite(ctx context.Context, suite, arch string) ([]*Listed, error) {
	if l.err != nil {
		return nil, l.err
	}
	key := listKey{suite, arch}
	l.mu.Lock()
	r := l.lists[key]
	if r == nil {
		r = &list{}
		l.lists[key] = r
	}
	l.mu.Unlock()
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.read {
		if l.Reading != nil {
			l.Reading(suite, arch)
		}
		packages, err := l.readSuite(ctx, suite, arch)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx) // and the next one tries again
		}
		r.read, r.packages, r.err = true, packages, err
	}
	return r.packages, r.err
}

// readSuite asks all repositories that may have the suite.
func (l *Lists) readSuite(ctx context.Context, suite, arch string) ([]*Listed, error) {
	a := *l.apt
	a.opt.Suites, a.opt.Arch = []string{suite}, arch
	if err := a.suiteTargets(suite); err != nil {
		return nil, err
	}
	var packages []*Listed
	var first error
	there := false
	for i := range a.targets {
		found, _, err := a.readSuite(ctx, &a.targets[i])
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		switch {
		case err == nil:
			there = true
		case !isNotThere(err) && !errors.As(err, new(*errNoArch)) && first == nil:
			first = err
		}
		for _, p := range found {
			packages = append(packages, &Listed{Package: p.file(), Arch: p.arch, Depends: p.depends, PreDepends: p.preDepends, Provides: p.provides})
		}
	}
	switch {
	case there:
		return packages, nil
	case first != nil:
		return nil, first
	}
	return nil, &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("suite %q for %s", suite, arch), Err: ErrNoSuite}
}

// suiteTargets are the repositories that may have a suite: the named mirrors, or those of the configuration that have it or are
// like ones that would. Where security suites have no repository of their own they are looked for in all.
func (a *apt) suiteTargets(suite string) error {
	if len(a.opt.Mirrors) > 0 {
		return a.mirrorTargets()
	}
	sources := a.sources()
	chosen := sourcesOf(sources, suite)
	if len(chosen) == 0 {
		for _, s := range sources {
			if len(s.Components) > 0 {
				s.Suite = suite
				chosen = append(chosen, s)
			}
		}
	}
	if len(chosen) == 0 {
		return &btfinfo.Error{Off: -1, Msg: "apt's configuration has no source of packages with suites"}
	}
	return a.addTargets(chosen, false)
}

// NewPackage is a package of which its place or its name is known, and its digest: uri is an http or https URI, or the name of
// a file, which can then only be found in a cache.
func NewPackage(uri, sha256 string) (Package, error) {
	digest, err := newDigest("sha256", sha256)
	if err != nil {
		return Package{}, err
	}
	p := Package{URI: uri, Size: -1, Digest: digest}
	if strings.HasPrefix(uri, "http://") || strings.HasPrefix(uri, "https://") {
		b, err := parseBase(uri)
		if err != nil {
			return Package{}, err
		}
		p.url = &b.url
		return p, nil
	}
	name, err := insidePath(uri)
	if err != nil {
		return Package{}, err
	}
	p.url = &url.URL{Path: name}
	return p, nil
}

// file is what the cache knows a package by.
func (p *Package) file() *file {
	return &file{uri: p.url, size: p.Size, limit: maxPackage, digest: p.Digest}
}

// Cached finds a package in a folder of downloads, and checks its digest; "" where it is not there.
func (p *Package) Cached(ctx context.Context, dir string) (path string, err error) {
	c := &cache{dir}
	got, err := c.present(ctx, c.path(p.file()), p.file())
	if err != nil || got == nil {
		return "", err
	}
	return got.path, nil
}

// Download brings a package into a folder of downloads, unless it is there, and returns its path. progress, where not nil, is
// told how many of its bytes are there.
func (l *Lists) Download(ctx context.Context, p *Package, dir string, progress func(done int64)) (path string, err error) {
	if progress == nil {
		progress = func(int64) {}
	}
	got, err := (&cache{dir}).fetch(ctx, l.apt.client, p.file(), progress)
	if err != nil {
		return "", err
	}
	return got.path, nil
}
