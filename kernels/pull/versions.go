package pull

import (
	"cmp"
	"strings"
)

// CompareDebian orders versions of Debian packages: -1 where a is older. Source: deb-version(7), and verrevcmp in
// lib/dpkg/version.c of dpkg 1.22.
func CompareDebian(a, b string) int {
	epochA, a := cutEpoch(a)
	epochB, b := cutEpoch(b)
	if c := compareNumbers(epochA, epochB); c != 0 {
		return c
	}
	upstreamA, revisionA := cutRevision(a)
	upstreamB, revisionB := cutRevision(b)
	if c := compareDebianPart(upstreamA, upstreamB); c != 0 {
		return c
	}
	return compareDebianPart(revisionA, revisionB)
}

func cutEpoch(s string) (epoch, rest string) {
	if epoch, rest, ok := strings.Cut(s, ":"); ok {
		return epoch, rest
	}
	return "0", s
}

func cutRevision(s string) (upstream, revision string) {
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		return s[:i], s[i+1:]
	}
	return s, ""
}

// compareDebianPart goes through runs of other characters and of digits by turns.
func compareDebianPart(a, b string) int {
	for a != "" || b != "" {
		for (a != "" && !isDigit(a[0])) || (b != "" && !isDigit(b[0])) {
			if c := cmp.Compare(debianOrder(a), debianOrder(b)); c != 0 {
				return c
			}
			a, b = a[min(1, len(a)):], b[min(1, len(b)):]
		}
		var numberA, numberB string
		numberA, a = cutDigits(a)
		numberB, b = cutDigits(b)
		if c := compareNumbers(numberA, numberB); c != 0 {
			return c
		}
	}
	return 0
}

// debianOrder: "~" stands before the end, the end and digits before letters, letters before all else.
func debianOrder(s string) int {
	if s == "" || isDigit(s[0]) {
		return 0
	}
	switch c := s[0]; {
	case c == '~':
		return -1
	case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z':
		return int(c)
	default:
		return int(c) + 256
	}
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

func cutDigits(s string) (digits, rest string) {
	i := 0
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

// compareNumbers compares digits of any length as numbers.
func compareNumbers(a, b string) int {
	a, b = strings.TrimLeft(a, "0"), strings.TrimLeft(b, "0")
	if c := cmp.Compare(len(a), len(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// rpmVersion is epoch, version and release of an rpm package.
type rpmVersion struct{ epoch, version, release string }

// String is as rpm writes it, without an epoch of 0.
func (v rpmVersion) String() string {
	s := v.version + "-" + v.release
	if v.epoch != "" && v.epoch != "0" {
		s = v.epoch + ":" + s
	}
	return s
}

func compareRPM(a, b rpmVersion) int {
	if c := compareNumbers(a.epoch, b.epoch); c != 0 {
		return c
	}
	if c := compareRPMPart(a.version, b.version); c != 0 {
		return c
	}
	return compareRPMPart(a.release, b.release)
}

// compareRPMPart orders versions, or releases, of rpm packages. Source: rpmvercmp in rpmio/rpmvercmp.cc of rpm 4.19: runs of
// letters and of digits, separated by anything else; "~" stands before the end, "^" behind it but before anything more.
func compareRPMPart(a, b string) int {
	for {
		separator := func(s string) bool {
			return s != "" && !isDigit(s[0]) && !isLetter(s[0]) && s[0] != '~' && s[0] != '^'
		}
		for separator(a) {
			a = a[1:]
		}
		for separator(b) {
			b = b[1:]
		}
		if tildeA, tildeB := strings.HasPrefix(a, "~"), strings.HasPrefix(b, "~"); tildeA || tildeB {
			if tildeA != tildeB {
				return boolOrder(tildeB, tildeA)
			}
			a, b = a[1:], b[1:]
			continue
		}
		if caretA, caretB := strings.HasPrefix(a, "^"), strings.HasPrefix(b, "^"); caretA || caretB {
			switch {
			case a == "":
				return -1
			case b == "":
				return 1
			case caretA != caretB:
				return boolOrder(caretB, caretA)
			}
			a, b = a[1:], b[1:]
			continue
		}
		if a == "" || b == "" {
			return cmp.Compare(len(a), len(b))
		}
		cut, compare := cutLetters, strings.Compare
		if isDigit(a[0]) {
			cut, compare = cutDigits, compareNumbers
		}
		var runA, runB string
		runA, a = cut(a)
		runB, b = cut(b)
		if runB == "" { // of another kind: digits are newer than letters
			return boolOrder(isDigit(runA[0]), !isDigit(runA[0]))
		}
		if c := compare(runA, runB); c != 0 {
			return c
		}
	}
}

// boolOrder is 1 where a is true, -1 where b is.
func boolOrder(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

func cutLetters(s string) (letters, rest string) {
	i := 0
	for i < len(s) && isLetter(s[i]) {
		i++
	}
	return s[:i], s[i:]
}
