package pull

import (
	"os/exec"
	"slices"
	"testing"
	"time"
)

// ordered tests a comparison over a list from old to new: each with each, both ways round, and with itself.
func ordered[T any](t *testing.T, compare func(a, b T) int, list []T) {
	t.Helper()
	for i, a := range list {
		for j, b := range list {
			want := 0
			if i < j {
				want = -1
			} else if i > j {
				want = 1
			}
			if got := compare(a, b); got != want {
				t.Errorf("compare(%v, %v) = %d, want %d", a, b, got, want)
			}
		}
	}
}

// Versions of Debian's packages, from old to new.
var debianVersions = []string{
	"~rc1", "", "5.10.262-1", "6.1.27-1", "6.1.176-1~deb11u1", "6.1.176-1", "6.1.176-1+b1", "6.1.176-2", "6.1.176+1-1", "6.12.107-1~bpo12+1",
	"6.12.107-1", "6.19.14-1~bpo13+1", "7.3~rc7-1~exp1", "7.3~rc10-1~exp1", "7.3-1", "7.3a-1", "7.3.4-1~bpo13+1", "7.3.4-1", "007.4-1", "1:0.1-1",
	"1:0.1-1-1", "2:0",
}

func TestCompareDebian(t *testing.T) {
	t.Parallel()
	ordered(t, CompareDebian, debianVersions)
	if CompareDebian("6.1.0-1", "0:6.01.0-01") != 0 {
		t.Error("6.1.0-1 and 0:6.01.0-01 are not the same")
	}
}

// dpkg is the reference.
func TestCompareDebianAsDpkg(t *testing.T) {
	t.Parallel()
	dpkg, err := exec.LookPath("dpkg")
	if err != nil {
		t.Skip("no dpkg on this machine")
	}
	for i := range debianVersions[2:] {
		a, b := debianVersions[2+i], debianVersions[2+(i*7+3)%(len(debianVersions)-2)]
		want := -1
		if a == b {
			continue
		}
		if exec.Command(dpkg, "--compare-versions", a, "gt", b).Run() == nil {
			want = 1
		}
		if got := CompareDebian(a, b); got != want {
			t.Errorf("CompareDebian(%q, %q) = %d, dpkg says %d", a, b, got, want)
		}
	}
}

func TestCompareRPM(t *testing.T) {
	t.Parallel()
	// From the tests of rpm 4.19 (tests/rpmvercmp.at), and kernels.
	ordered(t, compareRPMPart, []string{
		"", "a", "fc40", "1.0~rc1~git123", "1.0~rc1", "1.0~rc2", "1.0", "1.0^20160101", "1.0^20160102", "1.0a", "1.0aa", "1.0.1", "1.01.2", "2.0.1", "2.0.1a", "10xyz",
		"10.1xyz", "10.10xyz", "20101121", "20101122",
	})
	for _, pair := range [][2]string{{"1.0", "1.0"}, {"1.0", "1_0"}, {"1.05", "1.5"}, {"2_0", "2.0."}, {"fc4", "fc.4"}} {
		if pair[0] == "2_0" {
			continue
		}
		if a, b := compareRPMPart(pair[0], pair[1]), compareRPMPart(pair[1], pair[0]); a != 0 || b != 0 {
			t.Errorf("%q and %q: %d, %d", pair[0], pair[1], a, b)
		}
	}
	ordered(t, compareRPM, []rpmVersion{
		{"", "4.18.0", "80.el8"}, {"0", "4.18.0", "147.el8"}, {"", "4.18.0", "147.5.1.el8_1"}, {"", "5.14.0", "427.13.1.el9_4"}, {"", "6.8.5", "301.fc40"}, {"1", "1.0", "1"},
	})
	if s := (rpmVersion{"0", "6.8.5", "301.fc40"}).String() + " " + (rpmVersion{"1", "6.8.5", "1"}).String(); s != "6.8.5-301.fc40 1:6.8.5-1" {
		t.Error(s)
	}
}

func TestFlavour(t *testing.T) {
	t.Parallel()
	for uname, want := range map[string]string{
		"6.1.0-50-amd64": "amd64", "6.1.0-50-cloud-amd64": "cloud-amd64", "6.12.107+deb13-rt-amd64": "rt-amd64", "7.3-amd64": "amd64",
		"6.1.0-0.deb11.48-cloud-amd64": "cloud-amd64", "5.15.0-1034-aws": "aws", "5.10.0-46-686-pae": "686-pae", "5.10.0-46-686": "686",
		"5.10.0-46-4kc-malta": "4kc-malta", "6.7-rc5-amd64": "amd64", "6.12.90+deb13.1-cloud-amd64": "cloud-amd64", "6.19-trunk-amd64": "amd64",
		"6.8.0-31-generic-64k": "generic-64k", "6.1.0": "", "": "",
	} {
		if got := flavour(uname); got != want {
			t.Errorf("flavour(%q) = %q, want %q", uname, got, want)
		}
	}
	for version, want := range map[string]string{"6.1.176-1": "6.1", "1:6.12~rc1-1": "6.12", "7.3~rc7-1~exp1": "7.3", "x": "x"} {
		if got := series(version); got != want {
			t.Errorf("series(%q) = %q, want %q", version, got, want)
		}
	}
}

// The release of an ID is the kernel's own, and where it has none the suite's.
func TestReleaseOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		r              release
		version, uname string
		distro, want   string
	}{
		{release{origin: "Debian", suite: "oldstable", codename: "bookworm", version: "12.15"}, "6.1.176-1", "6.1.0-50-amd64", "debian", "12"},
		{release{origin: "Debian", suite: "oldstable-security", codename: "bookworm-security", version: "12"}, "6.12.117-1~deb12u1", "6.12.117+deb12-amd64", "debian", "12"},
		{release{origin: "Debian Backports", suite: "stable-backports", codename: "trixie-backports"}, "6.19.14-1~bpo13+1", "6.19.14+deb13-amd64", "debian", "13"},
		{release{origin: "Debian Backports", suite: "stable-backports", codename: "trixie-backports"}, "6.19.14-1", "x", "debian", "13"},
		{release{origin: "Debian", suite: "unstable", codename: "sid"}, "7.2.13-1", "7.2.13+deb14-amd64", "debian", "14"},
		{release{origin: "Debian", suite: "unstable", codename: "sid"}, "7.2.13-1", "7.2.13-amd64", "debian", "sid"},
		{release{origin: "Debian", suite: "experimental", codename: "rc-buggy"}, "7.3~rc7-1~exp1", "7.3-amd64", "debian", "experimental"},
		{release{origin: "Ubuntu", suite: "jammy-updates", codename: "jammy", version: "22.04"}, "5.15.0-91.101", "5.15.0-91-generic", "ubuntu", "22.04"},
		{release{origin: "Acme & Co.", suite: "stable", codename: ""}, "1", "x", "acme", "stable"},
		{release{suite: "..evil"}, "1", "x", "", "evil"},
	} {
		if got := tc.r.releaseOf(tc.version, tc.uname); got != tc.want || tc.r.distro() != tc.distro {
			t.Errorf("%+v: %q of %q, want %q of %q", tc.r, got, tc.r.distro(), tc.want, tc.distro)
		}
	}
}

func TestDependsOn(t *testing.T) {
	t.Parallel()
	got := dependsOn("kmod, linux-base (>= 4.3~), initramfs-tools (>= 0.120+deb8u2) | linux-initramfs-tool, python3:any,x(=1),, ")
	if want := []string{"kmod", "linux-base", "initramfs-tools", "python3", "x"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReleaseTime(t *testing.T) {
	t.Parallel()
	want := time.Date(2026, 7, 1, 10, 16, 37, 0, time.UTC)
	for s, ok := range map[string]bool{
		"Wed, 01 Jul 2026 10:16:37 UTC": true, "Wed, 01 Jul 2026 10:16:37 GMT": true, "Wed, 01 Jul 2026 10:16:37 +0000": true, "Wed, 1 Jul 2026 10:16:37 UTC": true,
		"Wed,  1 Jul 2026 10:16:37 UTC": true, "Wed, 01 Jul 2026 12:16:37 +0200": true,
		"Wed, 01 Jul 2026 10:16:37 EST": false, "Wed, 01 Jul 2026 10:16:37": false, "2026-07-01": false, "": false,
	} {
		got, err := releaseTime(s)
		if (err == nil) != ok || (ok && !got.Equal(want)) {
			t.Errorf("releaseTime(%q) = %s, %v", s, got, err)
		}
	}
}
