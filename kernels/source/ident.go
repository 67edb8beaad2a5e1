package source

import (
	"regexp"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/kernels"
)

// rule tells the distro, and where it can the release, by a pattern; the release is the pattern's first group.
type rule struct {
	re     *regexp.Regexp
	distro string
}

// vendors are who signs for a package, as far as it decides: Debian's Maintainer, RPM's Vendor and Distribution. The names are
// those of BTFHub's folders.
var vendors = []rule{
	{re: regexp.MustCompile(`(?i)@lists\.ubuntu\.com|\bubuntu\b`), distro: "ubuntu"},
	{re: regexp.MustCompile(`(?i)@lists\.debian\.org|@debian\.org`), distro: "debian"},
	{re: regexp.MustCompile(`(?i)\bfedora\b`), distro: "fedora"},
	{re: regexp.MustCompile(`(?i)\bcentos\b`), distro: "centos"},
	{re: regexp.MustCompile(`(?i)\balmalinux\b`), distro: "almalinux"},
	{re: regexp.MustCompile(`(?i)\brocky\b`), distro: "rocky"},
	{re: regexp.MustCompile(`(?i)\boracle\b`), distro: "ol"},
	{re: regexp.MustCompile(`(?i)\bred hat\b`), distro: "rhel"},
	{re: regexp.MustCompile(`(?i)\bamazon\b`), distro: "amzn"},
	{re: regexp.MustCompile(`(?i)\bopeneuler\b`), distro: "openeuler"},
	{re: regexp.MustCompile(`(?i)\bopensuse tumbleweed\b`), distro: "opensuse-tumbleweed"},
	{re: regexp.MustCompile(`(?i)\bopensuse\b`), distro: "opensuse-leap"},
	{re: regexp.MustCompile(`(?i)\bsuse\b`), distro: "sles"},
	{re: regexp.MustCompile(`(?i)\balibaba\b|\balinux\b`), distro: "alinux"},
	{re: regexp.MustCompile(`(?i)\bkylin`), distro: "kylin"},
}

// marks are what builders write into versions and into uname -r. Those that name a distro do so for packages whose vendor is
// not known; ".el8" is a family's, and tells no more than the release.
var marks = []rule{
	{re: regexp.MustCompile(`~(?:deb|bpo)(\d+)[u+]`), distro: "debian"},
	{re: regexp.MustCompile(`\+deb(\d+)`), distro: "debian"},
	{re: regexp.MustCompile(`\.deb(\d+)\.`), distro: "debian"},
	{re: regexp.MustCompile(`~(\d\d\.\d\d)(?:\.|~|$)`), distro: "ubuntu"},
	{re: regexp.MustCompile(`\.fc(\d+)\b`), distro: "fedora"},
	{re: regexp.MustCompile(`\.amzn(\d+)\b`), distro: "amzn"},
	{re: regexp.MustCompile(`\.oe(\d+)`), distro: "openeuler"},
	{re: regexp.MustCompile(`\.ky(\d+)\b`), distro: "kylin"},
	{re: regexp.MustCompile(`\.al(\d+)\b`), distro: "alinux"},
	{re: regexp.MustCompile(`\.el(\d+)uek\b`), distro: "ol"},
	{re: regexp.MustCompile(`\.el(\d+)`)},
}

// series are the releases by the kernel that they came with, for versions without a mark: 6.1.176-1 is Debian 12's.
//
// Sources: the release notes of Debian 8 to 13; Ubuntu's "Kernel lifecycle" page, the kernels of first installation.
var series = map[string]map[string]string{
	"debian": {"3.16": "8", "4.9": "9", "4.19": "10", "5.10": "11", "6.1": "12", "6.12": "13"},
	"ubuntu": {"4.4": "16.04", "4.15": "18.04", "5.4": "20.04", "5.15": "22.04", "6.8": "24.04"},
}

// vendorOf tells the distro by who made a package; "" where that is not known.
func vendorOf(info *packageInfo) string {
	for _, r := range vendors {
		if r.re.MatchString(info.vendor) || r.re.MatchString(info.distribution) {
			return r.distro
		}
	}
	return ""
}

// originOf tells the distro and the release of a kernel by its package or, without one, its banner, and by its uname and version;
// "" what is not known.
func originOf(p *piece, v kernels.Version) (distro, release string) {
	info, uname := p.info, p.uname
	var texts []string // with the surest first
	if info != nil {
		distro = vendorOf(info)
		texts = append(texts, info.version)
	} else if p.image != nil {
		// "… #1 SMP Debian 6.1.176-1 (2026-07-02)", "… #101-Ubuntu SMP …"; what is before the '#' is the compiler's, too.
		_, build, _ := strings.Cut(p.image.Banner.Text, " #")
		if m := bannerRE.FindStringSubmatch(build); m != nil {
			distro = strings.ToLower(m[1])
			texts = append(texts, m[2])
		}
	}
	for _, text := range append(texts, uname) {
		for _, r := range marks {
			m := r.re.FindStringSubmatch(text)
			if m == nil || r.distro != "" && distro != "" && r.distro != distro {
				continue
			}
			if distro == "" {
				distro = r.distro
			}
			if release == "" && distro != "" {
				release = m[1]
			}
		}
	}
	if release == "" && distro == "debian" && slices.ContainsFunc(texts, experimentalRE.MatchString) {
		release = "experimental"
	}
	if release == "" {
		release = series[distro][v.MinorRelease().String()]
	}
	if distro == "sles" || distro == "opensuse-leap" {
		release = suseRelease(info)
	}
	if distro == "openeuler" && len(release) == 4 { // "2203" of ".oe2203sp1"
		release = release[:2] + "." + release[2:]
	}
	if distro == "kylin" && release != "" {
		release = "V" + release
	}
	return distro, release
}

// experimentalRE finds versions of Debian's experimental, such as 7.3~rc7-1~exp1, as Debian's kernel team has them.
var experimentalRE = regexp.MustCompile(`~exp\d+$`)

// bannerRE finds the distro in utsname.version, and Debian's version.
var bannerRE = regexp.MustCompile(`\b(Debian|Ubuntu)\b(?: (\d\S*))?`)

// suseRE finds the product in SUSE's releases: 150500.55.19.1 is of SLE 15 SP5 and Leap 15.5.
var suseRE = regexp.MustCompile(`-(\d\d)0(\d)00\.`)

func suseRelease(info *packageInfo) string {
	if info == nil {
		return ""
	}
	if m := suseRE.FindStringSubmatch(info.version); m != nil {
		return strings.TrimSuffix(m[1]+"."+m[2], ".0")
	}
	return ""
}

// versionOf tells the upstream version of a kernel, from the best that there is.
func versionOf(p *piece) (kernels.Version, kernels.VersionSource) {
	if info := p.info; info != nil && info.kind == "deb" && vendorOf(info) == "debian" {
		if v, err := kernels.VersionFromDebian(info.version); err == nil {
			return v, kernels.FromPackage
		}
	}
	var v kernels.Version
	var from kernels.VersionSource
	if p.image != nil {
		v, from = kernels.VersionFromBanner(p.image.Banner)
		if from == kernels.FromBanner {
			return v, from
		}
	}
	// An RPM's version is the uname with other words behind it, and as little to be believed where its third number is 0. So are
	// those of other builders' .deb packages.
	if info := p.info; info != nil {
		if w, ok := kernels.VersionFromUname(info.version); ok && w.Patch != kernels.UnknownPatch {
			return w, kernels.FromPackage
		}
	}
	if v.IsZero() {
		if w, ok := kernels.VersionFromUname(p.uname); ok {
			v, from = w, kernels.FromUname
		}
	}
	return v, from
}
