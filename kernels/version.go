package kernels

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// UnknownPatch stands in Version.Patch where only the minor release is known: "6.1" of a kernel that calls itself
// 6.1.0-50. It is not the same as patch 0: Debian's 6.1.0-50 is 6.1.176.
const UnknownPatch = -1

// Version is an upstream kernel version: 6.1.176, 7.3-rc7. The zero Version means that it is not known at all.
type Version struct {
	Major, Minor int
	Patch        int // UnknownPatch where only the minor release is known; 0 for a release candidate
	RC           int // of a release candidate its number, from 1; 0 for a release
}

// VersionSource says what a version was read from, best first.
type VersionSource string

const (
	FromPackage VersionSource = "package" // the version of the package: Debian's linux-image … 6.1.176-1
	FromBanner  VersionSource = "banner"  // the kernel's own banner: "… SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (…)"
	FromUname   VersionSource = "uname"   // uname -r or a file's name: the last resort, since distros keep 6.1.0 for years
)

// maxNumber is the largest number that a part of a version may be; KERNEL_VERSION in the kernel has 8 bits for two of
// the three, but stable releases have passed 255 (4.14.336) and nothing will pass this.
const maxNumber = 1<<15 - 1

// A version in full: optional "v", major.minor, optional patch, optional rc in the spelling of git or of Debian.
var versionRE = regexp.MustCompile(`^v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-~]rc(\d+))?$`)

// ParseVersion reads "6.1.176", "6.1" (patch not known), "7.3-rc7", and Debian's "7.3~rc7".
func ParseVersion(s string) (Version, error) {
	m := versionRE.FindStringSubmatch(s)
	if m == nil {
		return Version{}, fmt.Errorf("%q is no kernel version; want MAJOR.MINOR, MAJOR.MINOR.PATCH or MAJOR.MINOR-rcN", s)
	}
	v, ok := versionOf(m[1], m[2], m[3], m[4])
	if !ok {
		return Version{}, fmt.Errorf("%q is no kernel version: a number is out of range (0 to %d), or it is version 0 or rc0, or a release candidate with a patch", s, maxNumber)
	}
	return v, nil
}

// versionOf builds a version from digits; patch and rc may be "". A candidate's patch may be written if it is 0:
// uname -r of 7.3-rc7 is 7.3.0-rc7.
func versionOf(major, minor, patch, rc string) (v Version, ok bool) {
	ok = true
	number := func(s string) int {
		n, err := strconv.Atoi(s)
		if err != nil || n > maxNumber {
			ok = false
		}
		return n
	}
	v.Major, v.Minor, v.Patch = number(major), number(minor), UnknownPatch
	if v.Major == 0 {
		return Version{}, false
	}
	if patch != "" {
		v.Patch = number(patch)
	}
	if rc != "" {
		v.RC = number(rc)
		if v.RC == 0 || v.Patch > 0 {
			return Version{}, false
		}
		v.Patch = 0
	}
	if !ok {
		return Version{}, false
	}
	return v, true
}

// IsZero tells that the version is not known at all.
func (v Version) IsZero() bool { return v == Version{} }

// MinorRelease is the release that v is an update or a candidate of, patch not known: 6.1.
func (v Version) MinorRelease() Version {
	if v.IsZero() {
		return v
	}
	return Version{Major: v.Major, Minor: v.Minor, Patch: UnknownPatch}
}

// String returns "6.1.176", "6.1" where the patch is not known, "7.3-rc7"; "unknown" for the zero Version.
func (v Version) String() string {
	switch {
	case v.IsZero():
		return "unknown"
	case v.RC != 0:
		return fmt.Sprintf("%d.%d-rc%d", v.Major, v.Minor, v.RC)
	case v.Patch < 0:
		return fmt.Sprintf("%d.%d", v.Major, v.Minor)
	}
	return fmt.Sprintf("%d.%d.%d", v.Major, v.Minor, v.Patch)
}

// Compare orders versions for lists: -1 where v comes first, 0 where they are equal, 1. Candidates come before their
// release, and 6.1 of unknown patch comes between the candidates and 6.1.0, so that equal means identical. A version
// that is not known at all comes last.
func (v Version) Compare(w Version) int {
	rank := func(v Version) int {
		if v.RC != 0 {
			return v.RC - maxNumber - 2
		}
		return v.Patch
	}
	if v.IsZero() || w.IsZero() {
		return cmp.Compare(btoi(v.IsZero()), btoi(w.IsZero()))
	}
	return cmp.Or(cmp.Compare(v.Major, w.Major), cmp.Compare(v.Minor, w.Minor), cmp.Compare(rank(v), rank(w)))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// span is an inclusive interval of versions, as points. Where a version is known in part, it is a span too: 6.1 is
// every candidate and every patch of 6.1.
type span struct{ lo, hi uint64 }

var everything = span{0, math.MaxUint64}

// point places a full version on a line: candidates first, then .0, .1 and so on.
func point(v Version) uint64 {
	p := uint64(v.Major)<<48 | uint64(v.Minor)<<24
	if v.RC != 0 {
		return p | uint64(v.RC)
	}
	return p | 1<<20 | uint64(v.Patch)
}

// minorSpan is all of major.minor.
func minorSpan(major, minor int) span {
	p := uint64(major)<<48 | uint64(minor)<<24
	return span{p, p + 1<<24 - 1}
}

// majorSpan is all of a major version.
func majorSpan(major int) span {
	p := uint64(major) << 48
	return span{p, p + 1<<48 - 1}
}

// span is the versions that v may be: one, or all of a minor release, or any.
func (v Version) span() span {
	switch {
	case v.IsZero():
		return everything
	case v.Patch < 0:
		return minorSpan(v.Major, v.Minor)
	}
	p := point(v)
	return span{p, p}
}

func (s span) overlaps(t span) bool { return s.lo <= t.hi && t.lo <= s.hi }

// contains tells that all of t is in s.
func (s span) contains(t span) bool { return s.lo <= t.lo && t.hi <= s.hi }

// minorOf is the release in which a point lies.
func minorOf(p uint64) Version {
	return Version{Major: int(p >> 48), Minor: int(p >> 24 & (1<<24 - 1)), Patch: UnknownPatch}
}

// VersionFromDebian takes the upstream version out of the version of a Debian kernel package: 6.1.176 of "6.1.176-1",
// 6.12.107 of "6.12.107-1~deb12u1", 7.3-rc7 of "7.3~rc7-1~exp1", 6.0.0 of "6.0-1~exp1" (Debian leaves out a first
// release's ".0", so it is known).
//
// Source: Debian Policy 5.6.12: [epoch:]upstream_version[-debian_revision], where the last hyphen divides.
func VersionFromDebian(s string) (Version, error) {
	up := s
	if _, rest, ok := strings.Cut(up, ":"); ok {
		up = rest
	}
	if i := strings.LastIndexByte(up, '-'); i >= 0 {
		up = up[:i]
	}
	up, _, _ = strings.Cut(up, "+") // 6.1.106+b1, 4.9.320+really…: what follows is the packager's
	v, err := ParseVersion(up)
	if err != nil {
		return Version{}, fmt.Errorf("the package version %q names no kernel version: %w", s, err)
	}
	if v.Patch == UnknownPatch {
		v.Patch = 0
	}
	return v, nil
}

// debianBuildRE finds the package version in the version part of a Debian kernel's banner (utsname.version):
// "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-11)". libbpf's get_debian_kernel_version looks for the same word.
var debianBuildRE = regexp.MustCompile(`\bDebian (\S+)`)

// versionFromBuild reads the version part of a banner, utsname.version. Debian's names the package there; others' don't.
func versionFromBuild(s string) (Version, bool) {
	m := debianBuildRE.FindStringSubmatch(s)
	if m == nil {
		return Version{}, false
	}
	v, err := VersionFromDebian(m[1])
	return v, err == nil
}

// unameRE finds the first thing in a name that looks like a kernel version, and the candidate number behind it:
// "5.15.0-91-generic", "a12-5.10-2021-09-arm64", "7.3.0-rc7", Fedora's "6.3.0-0.rc1.20230309git".
var unameRE = regexp.MustCompile(`(?:^|[^0-9.])(\d+)\.(\d+)(?:\.(\d+))?(?:[-~.](?:0\.)?rc(\d+))?`)

// VersionFromUname guesses the upstream version from uname -r or from a file's name, for want of anything better.
//
// A patch of 0 with something behind it is not believed: distros put their own numbers there, 6.1.0-50 of Debian and
// 5.15.0-91-generic of Ubuntu and 4.18.0-147.5.1.el8_1 of RHEL are 6.1.176, 5.15.131 and a 4.18 full of backports.
// The patch is unknown then. Any other patch is believed, and so is a plain "6.1.0". Nor is a major version believed
// that is far beyond the newest known: it is a date or a distro's release.
func VersionFromUname(s string) (Version, bool) {
	m := unameRE.FindStringSubmatchIndex(s)
	if m == nil {
		return Version{}, false
	}
	group := func(i int) string {
		if m[2*i] < 0 {
			return ""
		}
		return s[m[2*i]:m[2*i+1]]
	}
	v, ok := versionOf(group(1), group(2), group(3), group(4))
	if ok && v.RC == 0 && v.Patch == 0 && m[1] != len(s) {
		v.Patch = UnknownPatch
	}
	if v.Major > believedMajor {
		return Version{}, false
	}
	return v, ok
}
