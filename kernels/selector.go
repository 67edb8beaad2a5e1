package kernels

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"
)

// Grammar is the grammar of a selector, for help texts and errors.
const Grammar = `a selector is a list of terms with commas between them:
  VERSION             5.10 (all of 5.10.x), 6.1.176, 7.3-rc7, 6 (all of 6.x)
  VERSION..VERSION    both ends included: 5.4..6.8 takes all of 6.8.x; ..6.1 and 5.15.. are open
  >V  >=V  <V  <=V  =V
  distro:GLOB  release:GLOB  arch:NAME  uname:GLOB  id:GLOB    * any characters, ? one
  !TERM               without these
versions are or-ed, filters of one key are or-ed, versions and different keys are and-ed`

// SelectorError says what is wrong with a selector and where.
type SelectorError struct {
	Selector string // as given
	Pos      int    // bytes from its start to what is wrong
	Msg      string
	Hint     string // the grammar, in several lines
}

// Error is what is wrong, on one line.
func (e *SelectorError) Error() string {
	return fmt.Sprintf("kernel selector, at character %d: %s", e.column()+1, e.Msg)
}

func (e *SelectorError) column() int { return utf8.RuneCountInString(e.Selector[:e.Pos]) }

// Caret is the selector on one line and a caret under the position on the next.
func (e *SelectorError) Caret() string {
	// Tabs and the like would move the caret away from its place.
	line := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, e.Selector)
	return line + "\n" + strings.Repeat(" ", e.column()) + "^"
}

// Selector says which kernels are asked. A nil Selector, like an empty one, takes every kernel.
type Selector struct {
	terms []term
}

// term is one term of a selector: a span of versions or a filter.
type term struct {
	not  bool
	key  string // "" for versions
	glob string // of a filter; the canonical name where key is "arch"
	op   op     // how a version term is written
	a, b bound  // its versions; b only for ranges
}

type op uint8

const (
	opExact op = iota // V, =V
	opRange           // A..B
	opFrom            // A.., >=A
	opUpto            // ..A, <=A
	opAbove           // >A
	opBelow           // <A
)

// bound is a version in a selector; unlike a Version it may be a major version alone.
type bound struct {
	Version
	majorOnly bool
}

func (b bound) String() string {
	if b.majorOnly {
		return fmt.Sprint(b.Major)
	}
	return b.Version.String()
}

func (b bound) span() span {
	if b.majorOnly {
		return majorSpan(b.Major)
	}
	return b.Version.span()
}

// span is the versions that a version term names.
func (t term) span() span {
	a := t.a.span()
	switch t.op {
	case opRange:
		return span{a.lo, t.b.span().hi}
	case opFrom:
		return span{a.lo, everything.hi}
	case opUpto:
		return span{everything.lo, a.hi}
	case opAbove:
		return span{a.hi + 1, everything.hi}
	case opBelow:
		return span{everything.lo, a.lo - 1} // a.lo is never 0: there is no version 0
	}
	return a
}

// String writes the term as ParseSelector reads it.
func (t term) String() string {
	s := ""
	if t.not {
		s = "!"
	}
	if t.key != "" {
		return s + t.key + ":" + t.glob
	}
	switch t.op {
	case opRange:
		return s + t.a.String() + ".." + t.b.String()
	case opFrom:
		return s + t.a.String() + ".."
	case opUpto:
		return s + ".." + t.a.String()
	case opAbove:
		return s + ">" + t.a.String()
	case opBelow:
		return s + "<" + t.a.String()
	}
	return s + t.a.String()
}

// String writes the selector in one spelling, terms in the order given: ">=5.15, arch:amd64" as "5.15..,arch:x86_64".
func (s *Selector) String() string {
	if s == nil {
		return ""
	}
	parts := make([]string, len(s.terms))
	for i, t := range s.terms {
		parts[i] = t.String()
	}
	return strings.Join(parts, ",")
}

// ParseSelector reads a selector: see Grammar, and docs/kernels.md. The empty text takes every kernel.
//
// Errors are *SelectorError values.
func ParseSelector(text string) (*Selector, error) {
	p := selectorParser{text: text}
	s := &Selector{}
	if p.space(); p.pos == len(text) {
		return s, nil
	}
	for {
		t, err := p.term()
		if err != nil {
			return nil, err
		}
		s.terms = append(s.terms, t)
		p.space()
		if p.pos == len(text) {
			return s, nil
		}
		if !p.take(",") {
			return nil, p.fail(p.pos, "expected a comma or the end, found %s", p.found())
		}
	}
}

type selectorParser struct {
	text string
	pos  int
}

func (p *selectorParser) fail(pos int, format string, args ...any) error {
	return &SelectorError{Selector: p.text, Pos: pos, Msg: fmt.Sprintf(format, args...), Hint: Grammar}
}

func (p *selectorParser) rest() string { return p.text[p.pos:] }

func (p *selectorParser) space() {
	p.pos = len(p.text) - len(strings.TrimLeft(p.rest(), " \t\n"))
}

func (p *selectorParser) take(s string) bool {
	ok := strings.HasPrefix(p.rest(), s)
	if ok {
		p.pos += len(s)
	}
	return ok
}

// word is what stands here up to a comma or a blank.
func (p *selectorParser) word() string {
	if i := strings.IndexAny(p.rest(), ", \t\n"); i >= 0 {
		return p.rest()[:i]
	}
	return p.rest()
}

// found names what stands here, for messages.
func (p *selectorParser) found() string {
	if p.pos == len(p.text) {
		return "the end"
	}
	if w := p.word(); w != "" {
		return fmt.Sprintf("%q", w)
	}
	return fmt.Sprintf("%q", p.rest()[:1])
}

var filterKeys = []string{"distro", "release", "arch", "uname", "id"}

func (p *selectorParser) term() (term, error) {
	p.space()
	var t term
	if t.not = p.take("!"); t.not {
		p.space()
	}
	if i := strings.IndexByte(p.word(), ':'); i >= 0 {
		return p.filter(t, i)
	}
	return p.versions(t)
}

// filter reads "key:glob"; the key is n bytes long.
func (p *selectorParser) filter(t term, n int) (term, error) {
	start := p.pos
	t.key = strings.ToLower(p.rest()[:n])
	known := false
	for _, k := range filterKeys {
		known = known || k == t.key
	}
	if !known {
		return t, p.fail(start, "there is no filter %q, there are %s", t.key, strings.Join(filterKeys, ", "))
	}
	p.pos += n + 1
	at := p.pos
	t.glob = p.word()
	p.pos += len(t.glob)
	if t.glob == "" {
		return t, p.fail(at, "expected a value after %s:, found %s", t.key, p.found())
	}
	if t.key == "arch" && !strings.ContainsAny(t.glob, "*?") && t.glob != unknownPart {
		arch, ok := Arch(t.glob)
		if !ok {
			return t, p.fail(at, "there is no architecture %q; some that are: x86_64, arm64, s390x, ppc64le, riscv64", t.glob)
		}
		t.glob = arch
	}
	if t.key == "id" { // an ID too may have the arch under another name
		parts := strings.Split(t.glob, "/")
		for i, part := range parts {
			if arch, ok := Arch(part); ok {
				parts[i] = arch
			}
		}
		t.glob = strings.Join(parts, "/")
	}
	return t, nil
}

// versions reads a version, a range or a comparison.
func (p *selectorParser) versions(t term) (term, error) {
	var err error
	for _, c := range []struct {
		text string
		op   op
	}{{">=", opFrom}, {"<=", opUpto}, {">", opAbove}, {"<", opBelow}, {"=", opExact}} {
		if p.take(c.text) {
			t.op = c.op
			t.a, err = p.bound("expected a version after " + c.text)
			return t, err
		}
	}
	if p.take("..") {
		t.op = opUpto
		t.a, err = p.bound("expected a version after ..")
		return t, err
	}
	start := p.pos
	if t.a, err = p.bound("expected a version, a range or a filter"); err != nil {
		return t, err
	}
	end := p.pos
	if p.space(); !p.take("..") {
		p.pos = end
		return t, nil
	}
	p.space()
	if p.pos == len(p.text) || p.text[p.pos] == ',' {
		t.op = opFrom
		return t, nil
	}
	t.op = opRange
	if t.b, err = p.bound("expected a version after .."); err != nil {
		return t, err
	}
	if s := t.span(); s.lo > s.hi {
		return t, p.fail(start, "the range ends before it starts: %s is older than %s", t.b, t.a)
	}
	return t, nil
}

// bound reads a version; want says what was expected where there is none.
func (p *selectorParser) bound(want string) (bound, error) {
	p.space()
	w := p.word()
	if i := strings.Index(w, ".."); i >= 0 {
		w = w[:i]
	}
	if w == "" || !strings.ContainsAny(w[:1], "v0123456789") {
		return bound{}, p.fail(p.pos, "%s, found %s", want, p.found())
	}
	b := bound{}
	v, err := ParseVersion(w)
	if err != nil {
		// A major version alone: 6 is every 6.x.
		major := strings.TrimPrefix(w, "v")
		if v, ok := versionOf(major, "0", "", ""); ok {
			b = bound{Version: v, majorOnly: true}
		} else if strings.Trim(major, "0123456789") == "" {
			return bound{}, p.fail(p.pos, "%q is no kernel version: a major version is 1 to %d", w, maxNumber)
		} else {
			return bound{}, p.fail(p.pos, "%v", err)
		}
	} else {
		b.Version = v
	}
	p.pos += len(w)
	return b, nil
}

// Match tells whether the kernel is asked.
//
// A kernel whose version is known in part is taken where any version that it may be is taken, and left out only where
// all of them are: it is better checked once too often than not at all.
func (s *Selector) Match(k *Kernel) bool {
	if s == nil {
		return true
	}
	v := k.Version.span()
	asked := map[string]bool{} // key of a positive term: whether one of its terms took k
	for _, t := range s.terms {
		fits := false
		switch {
		case t.key != "":
			fits = globMatch(t.glob, k.field(t.key))
		case t.not:
			fits = t.span().contains(v)
		default:
			fits = t.span().overlaps(v)
		}
		if t.not {
			if fits {
				return false
			}
			continue
		}
		asked[t.key] = asked[t.key] || fits
	}
	for _, took := range asked {
		if !took {
			return false
		}
	}
	return true
}

// Asks tells whether the selector has a term that takes kernels by this key: "arch", "id" …
func (s *Selector) Asks(key string) bool {
	return s != nil && slices.ContainsFunc(s.terms, func(t term) bool { return t.key == key && !t.not })
}

func (k *Kernel) field(key string) string {
	switch key {
	case "distro":
		return k.Distro
	case "release":
		return k.Release
	case "arch":
		return k.Arch
	case "uname":
		return k.Uname
	}
	return k.ID
}

// Select returns the kernels that are asked, in the order given.
func (s *Selector) Select(all []*Kernel) []*Kernel {
	var r []*Kernel
	for _, k := range all {
		if s.Match(k) {
			r = append(r, k)
		}
	}
	return r
}

// globMatch matches the whole of s, in any case: * is any number of bytes, slashes too, ? is one byte.
func globMatch(glob, s string) bool {
	glob, s = strings.ToLower(glob), strings.ToLower(s)
	g, i := 0, 0
	star, mark := -1, 0 // the last star, and where in s it has been extended to
	for i < len(s) {
		switch {
		case g < len(glob) && glob[g] == '*':
			star, mark = g, i
			g++
		case g < len(glob) && (glob[g] == '?' || glob[g] == s[i]):
			g++
			i++
		case star >= 0:
			mark++
			g, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(glob[g:], "*") == ""
}
