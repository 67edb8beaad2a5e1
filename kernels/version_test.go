package kernels

import (
	"cmp"
	"slices"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
)

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		in   string
		want Version
		str  string
	}{
		{"6.1.176", Version{Major: 6, Minor: 1, Patch: 176}, "6.1.176"},
		{"6.1", Version{Major: 6, Minor: 1, Patch: UnknownPatch}, "6.1"},
		{"5.10.0", Version{Major: 5, Minor: 10}, "5.10.0"},
		{"v4.14.336", Version{Major: 4, Minor: 14, Patch: 336}, "4.14.336"},
		{"7.3-rc7", Version{Major: 7, Minor: 3, RC: 7}, "7.3-rc7"},
		{"7.3~rc7", Version{Major: 7, Minor: 3, RC: 7}, "7.3-rc7"},
		{"7.3.0-rc7", Version{Major: 7, Minor: 3, RC: 7}, "7.3-rc7"},
	} {
		v, err := ParseVersion(tt.in)
		if err != nil || v != tt.want || v.String() != tt.str {
			t.Errorf("ParseVersion(%q) = %#v (%s), %v; want %#v (%s)", tt.in, v, v, err, tt.want, tt.str)
		}
	}
	for _, in := range []string{"", "6", "6.", "6.1.", "6.1.1.1", "6.1-50", "6.1-rc0", "6.1.3-rc2", "0.1", "6.99999", "6.1.99999999999999999999", " 6.1", "6.x", "-6.1"} {
		if v, err := ParseVersion(in); err == nil || !v.IsZero() {
			t.Errorf("ParseVersion(%q) = %v, %v; want an error alone", in, v, err)
		}
	}
	if s := (Version{}).String(); s != "unknown" {
		t.Errorf("the zero Version is %q", s)
	}
}

func TestVersionFromDebian(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"6.1.176-1":            "6.1.176",
		"6.12.107-1~deb12u1":   "6.12.107",
		"7.3~rc7-1~exp1":       "7.3-rc7",
		"6.0-1~exp1":           "6.0.0",
		"1:6.1.176-1":          "6.1.176",
		"5.10.262-1":           "5.10.262",
		"6.1.106+really105-1":  "6.1.106",
		"6.19.14-1~bpo13+1":    "6.19.14",
		"6.1.176":              "6.1.176",
		"12.2.0-14":            "12.2.0", // a compiler's: callers must not ask
		"2026.05-1":            "2026.5.0",
		"linux":                "",
		"6.1.176.1-1":          "",
		"":                     "",
		"6.1.0-0.deb11.50-foo": "", // a uname
	} {
		v, err := VersionFromDebian(in)
		if (err == nil) != (want != "") || err == nil && v.String() != want {
			t.Errorf("VersionFromDebian(%q) = %v, %v; want %q", in, v, err, want)
		}
	}
}

func TestVersionFromUname(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"6.1.0-50-cloud-amd64":                   "6.1",
		"5.15.0-91-generic":                      "5.15",
		"6.12.107+deb13-cloud-amd64":             "6.12.107",
		"4.19.90-24.4.v2101.ky10.aarch64":        "4.19.90",
		"a12-5.10-2021-09-arm64":                 "5.10",
		"rock5b-5.10-f9d1b1529-arm64":            "5.10",
		"4.18.0-147.5.1.el8_1.aarch64":           "4.18",
		"6.3.0-rc7":                              "6.3-rc7",
		"6.3.0-0.rc1.20230309git44889ba.fc39":    "6.3-rc1",
		"6.1.0":                                  "6.1.0",
		"6.1.0+":                                 "6.1",
		"6.6":                                    "6.6",
		"vmlinux-5.4.2":                          "5.4.2",
		"5.3.18-150300.59.60-default":            "5.3.18",
		"3.10.0-1160.el7.x86_64":                 "3.10",
		"ubuntu-20.04":                           "", // a distro's release, not Linux 20.4
		"2021.04":                                "",
		"vmlinux":                                "",
		"":                                       "",
		"5.99999":                                "",
		"4.19.90-2107.6.0.0248.35.oe1.bclinux":   "4.19.90",
		"6.1.0-0.deb11.50-cloud-amd64":           "6.1",
		"linux-image-6.18.15+deb13-cloud-amd64":  "6.18.15",
		"5.4.17-2136.307.3.1.el8uek.x86_64":      "5.4.17",
		"4.14.101-91.76.amzn2.x86_64":            "4.14.101",
		"5.10.0-0.bpo.3-amd64":                   "5.10",
		"7.3-cloud-amd64":                        "7.3",
		"5.15.131-0-lts":                         "5.15.131",
		"6.8.1-arch1-1":                          "6.8.1",
		"mylinux-0.1":                            "",
		"10.0.0":                                 "",
		"common-android13-5.15-2023-01-lts-arm6": "5.15",
	} {
		v, ok := VersionFromUname(in)
		if ok != (want != "") || ok && v.String() != want {
			t.Errorf("VersionFromUname(%q) = %v, %v; want %q", in, v, ok, want)
		}
	}
}

func TestVersionFromBanner(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		want string
		from VersionSource
	}{
		{"Linux version 6.1.0-50-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14+deb12u1) 12.2.0, GNU ld (GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)", "6.1.176", FromBanner},
		{"Linux version 7.3-cloud-amd64 (debian-kernel@lists.debian.org) (gcc (Debian 15.2.0-1)) #1 SMP Debian 7.3~rc7-1~exp1 (2026-11-10)", "7.3-rc7", FromBanner},
		{"Linux version 5.4.0-42-generic (buildd@lgw01) (gcc version 9.3.0) #46-Ubuntu SMP Fri Jul 10 00:24:02 UTC 2020 (Ubuntu 5.4.0-42.46-generic 5.4.44)", "5.4.44", FromBanner},
		{"Linux version 5.15.0-91-generic (buildd@lcy02) (gcc 11.4.0) #101-Ubuntu SMP Tue Nov 14 13:30:08 UTC 2023", "5.15", FromUname},
		{"Linux version 4.18.0-147.5.1.el8_1.x86_64 (mockbuild@kbuilder) (gcc version 8.3.1) #1 SMP Wed Feb 5 02:00:39 UTC 2020", "4.18", FromUname},
		{"Linux version 6.8.1-arch1-1 (linux@archlinux) (gcc (GCC) 13.2.1) #1 SMP PREEMPT_DYNAMIC Sat, 16 Mar 2024", "6.8.1", FromUname},
		{"Linux version 6.8.1 (me@debian) (gcc (Debian 12.2.0-14) 12.2.0) #1 SMP", "6.8.1", FromUname},
		{"", "unknown", ""},
		{"OpenBSD 7.8", "unknown", ""},
	} {
		v, from := versionFromBanner(btfinfo.ParseBanner(tt.text))
		if v.String() != tt.want || from != tt.from {
			t.Errorf("%.60q: %v from %q, want %s from %q", tt.text, v, from, tt.want, tt.from)
		}
	}
}

// TestVersionCompare holds each pair of an ordered list against the order, both ways round.
func TestVersionCompare(t *testing.T) {
	t.Parallel()
	order := []Version{
		{Major: 4, Minor: 20, Patch: 17},
		{Major: 5, Minor: 4, Patch: UnknownPatch},
		{Major: 5, Minor: 4},
		{Major: 5, Minor: 10, Patch: 9},
		{Major: 5, Minor: 10, Patch: 262},
		{Major: 6, Minor: 1, RC: 1},
		{Major: 6, Minor: 1, RC: 10},
		{Major: 6, Minor: 1, Patch: UnknownPatch},
		{Major: 6, Minor: 1},
		{Major: 6, Minor: 1, Patch: 1},
		{Major: 6, Minor: 10},
		{},
	}
	for i, a := range order {
		for j, b := range order {
			if got, want := a.Compare(b), cmp.Compare(i, j); got != want {
				t.Errorf("%v.Compare(%v) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func TestNatural(t *testing.T) {
	t.Parallel()
	order := []string{"", "5.10.0-46", "6.1.0-9", "6.1.0-50", "6.1.0-50-cloud-amd64", "6.1.00-50-cloud-amd64x", "6.1.1", "6.01.2", "6.1.10", "6.1.10a", "a", "a1", "a01b", "a2"}
	for i, a := range order {
		for j, b := range order {
			if got, want := archive.CompareIDs(a, b), cmp.Compare(i, j); got != want {
				t.Errorf("archive.CompareIDs(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
	if archive.CompareIDs("1", "01") == 0 {
		t.Error("1 and 01 are different names, but equal")
	}
}

func TestArch(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"amd64": "x86_64", "x86_64": "x86_64", "AMD64": "x86_64", "arm64": "arm64", "aarch64": "arm64", "s390x": "s390x",
		"ppc64el": "ppc64le", "ppc64le": "ppc64le", "powerpc64le": "ppc64le", "riscv64": "riscv64", "loong64": "loongarch64",
		"i686": "x86", "armhf": "arm", "": "", "vax": "",
	} {
		if got, ok := Arch(in); got != want || ok != (want != "") {
			t.Errorf("Arch(%q) = %q, %v; want %q", in, got, ok, want)
		}
	}
	for in, want := range map[string]string{
		"a12-5.10-2021-09-arm64": "arm64", "4.19.90-2107.bclinux.x86_64": "x86_64", "6.1.0-50-cloud-amd64": "x86_64",
		"5.4.0-386-generic": "", "vmlinux": "", "arm64-vs-s390x": "s390x",
	} {
		if got, _ := archInName(in); got != want {
			t.Errorf("archInName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestNextRelease(t *testing.T) {
	t.Parallel()
	var all []string
	for v := oldestRelease; v.Compare(newestRelease) <= 0; v = nextRelease(v) {
		all = append(all, v.String())
	}
	for _, pair := range [][2]string{{"2.6", "3.0"}, {"3.19", "4.0"}, {"4.20", "5.0"}, {"5.19", "6.0"}, {"6.19", "7.0"}} {
		if i := slices.Index(all, pair[0]); i < 0 || i+1 >= len(all) || all[i+1] != pair[1] {
			t.Errorf("after %s comes not %s in %v", pair[0], pair[1], all)
		}
	}
}
