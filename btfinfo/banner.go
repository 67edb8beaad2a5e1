package btfinfo

import (
	"regexp"
	"strings"
)

// Banner is the line that a kernel prints first when it boots, and /proc/version shows.
type Banner struct {
	Text     string // the whole line: "Linux version 6.1.0-50-cloud-amd64 (debian-kernel@…) (gcc-12 …) #1 SMP …"
	Uname    string // `uname -r`: "6.1.0-50-cloud-amd64"
	Upstream string // the release of kernel.org that it is built from: "6.1.176"; "" where the line does not tell
}

// bannerPrefix starts linux_banner. Source: init/version-timestamp.c of Linux v6.12.
const bannerPrefix = "Linux version "

var (
	// "#1 SMP Debian 6.1.176-1 (2026-07-02)"; libbpf's get_debian_kernel_version reads the same.
	debianVersion = regexp.MustCompile(` Debian ([0-9]+\.[0-9]+(?:\.[0-9]+)?)([-+~][^ ]*)`)
	// "(Ubuntu 5.4.0-42.46-generic 5.4.44)": the last word is what /proc/version_signature ends in.
	ubuntuVersion = regexp.MustCompile(`\(Ubuntu [0-9][^ )]* ([0-9]+\.[0-9]+(?:\.[0-9]+)?)\)`)
	// The release itself, where it is that of kernel.org: "6.8.1", "6.8.1-arch1-1", "6.8.0-rc3".
	unameVersion = regexp.MustCompile(`^([0-9]+\.[0-9]+(?:\.[0-9]+)?)(.*)$`)
)

// ParseBanner reads a banner. Text that is none gives a Banner with only its Text set.
//
// Where the third number of `uname -r` stays 0, as with Debian and Ubuntu, the upstream version is read from where they
// tell it, as get_kernel_version in libbpf v1.7's libbpf_probes.c does for LINUX_KERNEL_VERSION. libbpf wants three
// numbers; here "7.2" is a version too, but a pre-release ("6.8.0-rc3", "Debian 7.3~rc7-1~exp1") has none yet.
func ParseBanner(text string) Banner {
	b := Banner{Text: text}
	rest, ok := strings.CutPrefix(text, bannerPrefix)
	if !ok {
		return b
	}
	b.Uname, rest, _ = strings.Cut(rest, " ")
	_, build, _ := strings.Cut(rest, " #") // after the compiler, which may be "gcc (Debian 14.2.0-19)"
	if m := debianVersion.FindStringSubmatch(build); m != nil {
		if !strings.HasPrefix(m[2], "~rc") {
			b.Upstream = m[1]
		}
		return b
	}
	if m := ubuntuVersion.FindStringSubmatch(rest); m != nil {
		b.Upstream = m[1]
		return b
	}
	if strings.Contains(build, "Ubuntu") && strings.Contains(b.Uname, ".0-") {
		return b // "#42~22.04.1-Ubuntu SMP": the third number is not in the line
	}
	if m := unameVersion.FindStringSubmatch(b.Uname); m != nil && !strings.HasPrefix(m[2], "-rc") {
		b.Upstream = m[1]
	}
	return b
}
