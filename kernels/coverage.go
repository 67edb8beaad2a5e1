package kernels

import (
	"slices"
	"strings"
)

// The upstream releases that are known to exist. A major version ends where Linus Torvalds runs out of fingers and
// toes: 3.19, 4.20, 5.19, 6.19. Source: the tags of torvalds/linux.
var (
	oldestRelease = Version{Major: 2, Minor: 6, Patch: UnknownPatch}
	newestRelease = Version{Major: 7, Minor: 2, Patch: UnknownPatch}

	// believedMajor is the last major version that a name or a banner is believed to have: what is beyond it is a date,
	// a distro's release, or a file made to look so.
	believedMajor = newestRelease.Major + 2

	// bpfRelease is the first with the bpf system call (Linux kernel commit 99c55f7d47c0 ("bpf: introduce BPF syscall
	// and maps") (in v3.18)): where a range without a lower end begins, for nobody can mean older ones.
	bpfRelease = Version{Major: 3, Minor: 18, Patch: UnknownPatch}
)

// nextRelease is the minor release after v.
func nextRelease(v Version) Version {
	last := 19
	switch v.Major {
	case 2:
		last = 6
	case 4:
		last = 20
	}
	if v.Minor >= last {
		return Version{Major: v.Major + 1, Patch: UnknownPatch}
	}
	v.Minor++
	return v
}

// Coverage says how far the kernels there are answer what was asked for.
type Coverage struct {
	Requested string   `json:"requested"` // the selector in its canonical spelling; "" asks for every kernel there is
	Matched   int      `json:"matched"`   // kernels that the selector took
	Missing   []string `json:"missing"`   // what was asked for by version and has no kernel, as selector terms, oldest first

	filters []string // the selector's filters: the archive may have these versions for another arch or distro
	missing []gap
}

// gap is one missing stretch: a whole minor release, or a part of one, or all that is newer than any known release.
type gap struct {
	whole bool
	minor Version
	text  string
}

// Coverage compares what s asks for with the kernels there are; all is every kernel, not only those that s takes.
//
// Only versions are held against the kernels: a selector that names none can't lack any. A range asks for each minor
// release that exists in it, with what ! takes out. Without an upper end it reaches to the newest release known, by
// this program or by a kernel in all; without a lower end it begins at 3.18, the first release with BPF. What a range
// names beyond the newest release known is one entry: whether such kernels exist can't be known here.
//
// A release counts as there when a kernel that s takes is of it. A kernel of unknown version counts for none, one of
// unknown patch for any patch.
func (s *Selector) Coverage(all []*Kernel) Coverage {
	taken := s.Select(all)
	c := Coverage{Requested: s.String(), Matched: len(taken), Missing: []string{}}
	if s == nil {
		return c
	}
	var asked, without []term
	for _, t := range s.terms {
		switch {
		case t.key != "":
			c.filters = append(c.filters, t.String())
		case t.not:
			without = append(without, t)
		default:
			asked = append(asked, t)
		}
	}
	if len(asked) == 0 {
		return c
	}
	newest := newestRelease
	var have []span
	for _, k := range all {
		if !k.Version.IsZero() && k.Version.Major <= believedMajor && k.Version.MinorRelease().Compare(newest) > 0 {
			newest = k.Version.MinorRelease()
		}
	}
	for _, k := range taken {
		if !k.Version.IsZero() {
			have = append(have, k.Version.span())
		}
	}

	parts := make([]span, 0, len(asked))
	for _, t := range asked {
		p := t.span()
		if p.lo == everything.lo {
			p.lo = minorSpan(bpfRelease.Major, bpfRelease.Minor).lo
		}
		parts = append(parts, p)
	}
	for _, t := range without {
		parts = subtract(parts, t.span())
	}
	parts = join(parts)

	for v := oldestRelease; v.Compare(newest) <= 0; v = nextRelease(v) {
		m := minorSpan(v.Major, v.Minor)
		in := clip(parts, m)
		if slices.ContainsFunc(in, func(p span) bool {
			return slices.ContainsFunc(have, p.overlaps)
		}) {
			continue
		}
		for _, p := range in {
			if p.candidates() {
				continue
			}
			c.missing = append(c.missing, gap{whole: p == m, minor: v, text: p.within(m)})
		}
	}
	end := minorSpan(newest.Major, newest.Minor).hi
	for _, p := range parts {
		if p.hi == everything.hi && p.lo <= end {
			continue // open-ended: asks for no more than there is
		}
		if p.hi > end {
			p.lo = max(p.lo, minorSpan(nextRelease(newest).Major, nextRelease(newest).Minor).lo)
			if p.lo <= p.hi && !p.candidates() {
				c.missing = append(c.missing, gap{text: p.beyond()})
			}
		}
	}
	for _, g := range c.missing {
		c.Missing = append(c.Missing, g.text)
	}
	return c
}

// Text is what a person should know of what is missing, on one line; "" where nothing is:
// "no kernel here is of 5.4 to 5.9, 5.11 to 6.0".
func (c Coverage) Text() string {
	if len(c.missing) == 0 {
		return ""
	}
	var parts []string
	for i := 0; i < len(c.missing); {
		first, last := c.missing[i], c.missing[i]
		for i++; i < len(c.missing) && first.whole && c.missing[i].whole && c.missing[i].minor == nextRelease(last.minor); i++ {
			last = c.missing[i]
		}
		if first == last {
			parts = append(parts, first.text)
		} else {
			parts = append(parts, first.text+" to "+last.text)
		}
	}
	text := "no kernel here is of " + strings.Join(parts, ", ")
	if len(c.filters) > 0 {
		text += " with " + strings.Join(c.filters, ", ")
	}
	return text
}

// subtract takes t out of each of parts.
func subtract(parts []span, t span) []span {
	var r []span
	for _, p := range parts {
		if !p.overlaps(t) {
			r = append(r, p)
			continue
		}
		if p.lo < t.lo {
			r = append(r, span{p.lo, t.lo - 1})
		}
		if p.hi > t.hi {
			r = append(r, span{t.hi + 1, p.hi})
		}
	}
	return r
}

// join sorts parts and makes one of those that touch.
func join(parts []span) []span {
	parts = slices.Clone(parts)
	slices.SortFunc(parts, func(a, b span) int {
		if a.lo < b.lo {
			return -1
		}
		return 1
	})
	var r []span
	for _, p := range parts {
		if n := len(r); n > 0 && (r[n-1].hi == everything.hi || p.lo <= r[n-1].hi+1) {
			r[n-1].hi = max(r[n-1].hi, p.hi)
		} else {
			r = append(r, p)
		}
	}
	return r
}

// clip is what of parts lies in m.
func clip(parts []span, m span) []span {
	var r []span
	for _, p := range parts {
		if p.overlaps(m) {
			r = append(r, span{max(p.lo, m.lo), min(p.hi, m.hi)})
		}
	}
	return r
}

// versionAt is the version of a point that came from a Version, or the last one before an end that did.
func versionAt(p uint64) Version {
	v := minorOf(p)
	switch low := p & (1<<24 - 1); {
	case low >= 1<<20:
		v.Patch = int(low - 1<<20)
	case low > 0:
		v.Patch, v.RC = 0, int(low)
	}
	return v
}

// candidates tells that p is what an edge before a first release or a first candidate leaves: "<6.1.0" does not ask for
// 6.1-rc1.
func (p span) candidates() bool {
	const low = 1<<24 - 1
	return p.lo>>24 == p.hi>>24 && (p.hi&low == 0 || p.hi&low == 1<<20-1)
}

// within writes p, a part of the minor release m, as a selector term: "6.1" all of it, "6.1.150", "6.1.150..6.1".
func (p span) within(m span) string {
	release := minorOf(m.lo).String()
	switch {
	case p == m:
		return release
	case p.lo == p.hi:
		return versionAt(p.lo).String()
	}
	lo, hi := release, release
	if p.lo != m.lo {
		lo = versionAt(p.lo).String()
	}
	if p.hi != m.hi {
		hi = versionAt(p.hi).String()
	}
	return lo + ".." + hi
}

// beyond writes p, which is newer than any known release, as a selector term: "7.4..8.0", "8.0", "9.0..".
func (p span) beyond() string {
	lo, hi := minorOf(p.lo), minorOf(p.hi)
	if lo == hi {
		return p.within(minorSpan(lo.Major, lo.Minor))
	}
	first := lo.String()
	if m := minorSpan(lo.Major, lo.Minor); p.lo != m.lo {
		first = versionAt(p.lo).String()
	}
	if p.hi == everything.hi {
		return first + ".."
	}
	if p.hi == majorSpan(hi.Major).hi {
		return first + ".." + bound{Version: hi, majorOnly: true}.String()
	}
	last := hi.String()
	if m := minorSpan(hi.Major, hi.Minor); p.hi != m.hi {
		last = versionAt(p.hi).String()
	}
	return first + ".." + last
}
