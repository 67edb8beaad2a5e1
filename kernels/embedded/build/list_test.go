package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/kernels/source"
)

// TestLists reads the lists that are committed, and holds the selection against what docs/kernels.md says is in it.
func TestLists(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../packages.list")
	if err != nil {
		t.Fatal(err)
	}
	list, err := readList(strings.NewReader(string(text)), "packages.list")
	if err != nil {
		t.Fatal(err)
	}
	if writeList(list) != string(text) {
		t.Error("packages.list is not as writeList writes it")
	}
	_, kernelsOf, err := group(list)
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	have := map[string]int{} // "5.10 cloud-amd64", "5.10"
	for _, ks := range kernelsOf {
		for _, k := range ks {
			total++
			p := k.packages[0]
			have[p.series()+" "+p.flavour()]++
			have[p.series()]++
		}
	}
	if total < 60 {
		t.Errorf("%d kernels, want 60 at least", total)
	}
	for _, series := range []string{"5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2", "7.3"} {
		for _, flavour := range []string{"amd64", "cloud-amd64", "rt-amd64", "arm64"} {
			if have[series+" "+flavour] == 0 {
				t.Errorf("no %s kernel of %s", flavour, series)
			}
		}
	}
	for _, c := range []struct {
		what string
		want int
	}{
		{"5.10 cloud-amd64", 3}, {"6.1 cloud-amd64", 3}, {"6.12 cloud-amd64", 3}, // stable updates
		{"6.1 s390x", 1}, {"6.12 s390x", 1}, {"7.2 s390x", 1}, {"7.3 s390x", 1},
	} {
		if have[c.what] < c.want {
			t.Errorf("%d kernels of %s, want %d at least", have[c.what], c.what, c.want)
		}
	}

	names, err := os.ReadFile("../modules.list")
	if err != nil {
		t.Fatal(err)
	}
	modules, err := readModules(string(names), "modules.list")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range strings.Fields("ext4 xfs btrfs f2fs nfs nfsd cifs fuse overlay kvm nf_conntrack nf_tables nvme virtio_net scsi_mod " +
		"bridge tun wireguard tls dm_mod md_mod") {
		if !modules.Wants(m) {
			t.Errorf("modules.list lacks %s", m)
		}
	}
}

const sum = "26ab0db90d72e28ad0ba1e22ee510510b3c2e2a1a9e2d9d7b1f4a6d2d0d3c4e5"

func TestReadList(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, want string }{
		{"none", "# nothing\n\n", ""},
		{"five words", "12 bookworm amd64 linux-image-6.1.0-50-amd64 6.1.176-1\n", "l:1: 5 words, want "},
		{"no kernel", "12 bookworm amd64 linux-headers-6.1.0-50-amd64 6.1.176-1 " + sum, "l:1: linux-headers-6.1.0-50-amd64 is no name"},
		{"metapackage", "12 bookworm amd64 linux-image-amd64 6.1.176-1 " + sum, "linux-image-amd64 is no name"},
		{"path", "12 bookworm amd64 linux-image-6.1/../amd64 6.1.176-1 " + sum, "is no name"},
		{"architecture", "\n12 bookworm vax linux-image-6.1.0-50-vax 6.1.176-1 " + sum, `l:2: there is no architecture "vax"`},
		{"another architecture", "12 bookworm arm64 linux-image-6.1.0-50-amd64 6.1.176-1 " + sum, "does not name the architecture arm64"},
		{"version", "12 bookworm amd64 linux-image-6.1.0-50-amd64 new " + sum, "l:1: linux-image-6.1.0-50-amd64: "},
		{"sum", "12 bookworm amd64 linux-image-6.1.0-50-amd64 6.1.176-1 " + sum[2:], "is no SHA-256"},
		{"twice", "12 bookworm amd64 linux-image-6.1.0-50-amd64 6.1.176-1 " + sum +
			"\n12 bookworm-security amd64 linux-image-6.1.0-50-amd64 6.1.176-1 " + sum,
			"l:2: the image of debian/12/x86_64/6.1.0-50-amd64 is in line 1, too"},
	} {
		list, err := readList(strings.NewReader(c.text), "l")
		if c.want == "" {
			if err != nil || len(list) != 0 {
				t.Errorf("%s: %d packages, %v", c.name, len(list), err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestFlavour(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, arch, flavour, series, id string }{
		{"linux-image-6.1.0-50-amd64 6.1.176-1", "amd64", "amd64", "6.1", "debian/9/x86_64/6.1.0-50-amd64"},
		{"linux-image-6.1.0-50-cloud-amd64 6.1.176-1", "amd64", "cloud-amd64", "6.1", "debian/9/x86_64/6.1.0-50-cloud-amd64"},
		{"linux-modules-7.2.12+deb13-rt-arm64 7.2.12-1~bpo13+1", "arm64", "rt-arm64", "7.2", "debian/9/arm64/7.2.12+deb13-rt-arm64"},
		{"linux-base-7.2.12+deb13-arm64-16k 7.2.12-1", "arm64", "arm64-16k", "7.2", "debian/9/arm64/7.2.12+deb13-arm64-16k"},
		{"linux-binary-7.3-s390x 7.3~rc7-1~exp1", "s390x", "s390x", "7.3", "debian/9/s390x/7.3-s390x"},
	} {
		name, version, _ := strings.Cut(c.name, " ")
		p := pkg{"9", "suite", c.arch, name, version, sum}
		if err := p.check(); err != nil {
			t.Error(err)
		}
		if p.flavour() != c.flavour || p.series() != c.series || p.id() != c.id || p.generic() != (c.flavour == c.arch) {
			t.Errorf("%s: flavour %s, series %s, id %s, generic %v", c.name, p.flavour(), p.series(), p.id(), p.generic())
		}
	}
}

func TestReadModules(t *testing.T) {
	t.Parallel()
	m, err := readModules("# file systems\next4 xfs # two\n\nnf_tables\n", "m")
	if err != nil {
		t.Fatal(err)
	}
	if !m.Wants("ext4") || !m.Wants("xfs") || !m.Wants("nf-tables") || m.Wants("two") || m.Wants("file") || m.All() {
		t.Errorf("modules are %s", m)
	}
	for text, want := range map[string]string{
		"":               "m is empty",
		"# ext4\n":       "m is empty",
		"ext4 xfs\next4": "m: ext4 is there twice",
		"ext4 a/b":       `"a/b" is no name`,
		"ext4 all":       `"all" stands among`,
	} {
		if _, err := readModules(text, "m"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
	var none source.ModuleFilter
	if m, err := readModules("all", "m"); err != nil || m.String() != none.String() {
		t.Errorf("all: %v, %v", m, err)
	}
}

// older compares versions that are numbers.
func older(a, b string) (bool, error) { return len(a) < len(b) || len(a) == len(b) && a < b, nil }

func TestGroup(t *testing.T) {
	t.Parallel()
	read := func(lines ...string) []pkg {
		list, err := readList(strings.NewReader(strings.Join(lines, " "+sum+"\n")+" "+sum), "l")
		if err != nil {
			t.Fatal(err)
		}
		return list
	}
	places, of, err := group(read(
		"13 trixie amd64 linux-binary-7.2.1-amd64 7.2.1-1", "12 bookworm amd64 linux-image-6.1.0-5-amd64 6.1.1-1",
		"13 trixie amd64 linux-modules-7.2.1-amd64 7.2.1-1", "13 trixie arm64 linux-binary-7.2.1-arm64 7.2.1-1"))
	if err != nil {
		t.Fatal(err)
	}
	if want := []place{{"trixie", "amd64"}, {"bookworm", "amd64"}, {"trixie", "arm64"}}; !slices.Equal(places, want) {
		t.Errorf("places are %v, want %v", places, want)
	}
	if ks := of[place{"trixie", "amd64"}]; len(ks) != 1 || len(ks[0].packages) != 2 || ks[0].id != "debian/13/x86_64/7.2.1-amd64" {
		t.Errorf("trixie amd64: %+v", ks)
	}
	for want, lines := range map[string][]string{
		"is of trixie, linux-modules-7.2.1-amd64 of sid": {
			"13 trixie amd64 linux-binary-7.2.1-amd64 7.2.1-1", "13 sid amd64 linux-modules-7.2.1-amd64 7.2.1-1"},
		"has version 7.2.1-1, linux-modules-7.2.1-amd64 has 7.2.1-2": {
			"13 sid amd64 linux-binary-7.2.1-amd64 7.2.1-1", "13 sid amd64 linux-modules-7.2.1-amd64 7.2.1-2"},
		"there is no linux-image or linux-binary package of it": {"13 sid amd64 linux-modules-7.2.1-amd64 7.2.1-2"},
	} {
		if _, _, err := group(read(lines...)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestNewest(t *testing.T) {
	t.Parallel()
	lines := func(text ...string) string { return strings.Join(text, " "+sum+"\n") + " " + sum + "\n" }
	list, err := readList(strings.NewReader(lines(
		"13 trixie amd64 linux-image-6.12.5+deb13-amd64 6.12.5-1",
		"13 trixie amd64 linux-image-6.12.5+deb13-cloud-amd64 6.12.5-1",
		"13 trixie-security amd64 linux-image-6.12.7+deb13-amd64 6.12.7-1",
		"13 trixie arm64 linux-image-6.12.9+deb13-arm64 6.12.9-1",
	)), "l")
	if err != nil {
		t.Fatal(err)
	}
	got, err := newest(list, place{"trixie", "amd64"}, lines(
		"linux-image-6.12.5+deb13-amd64 6.12.5-1",         // in the list
		"linux-image-6.12.6+deb13-amd64 6.12.6-1",         // older than that of trixie-security
		"linux-image-6.12.6+deb13-cloud-amd64 6.12.6-1",   // newer, but not the newest
		"linux-image-6.12.8+deb13-cloud-amd64 6.12.8-1",   // the newest
		"linux-image-6.12.8+deb13-rt-amd64 6.12.8-1",      // a flavour that is not asked for
		"linux-binary-7.2.1+deb13-amd64 7.2.1-1",          // a new series
		"linux-modules-7.2.1+deb13-amd64 7.2.1-1",         //
		"linux-base-7.2.1+deb13-amd64 7.2.1-1",            //
		"linux-binary-7.2.1+deb13-cloud-amd64 7.2.1-1",    //
		"linux-modules-7.2.1+deb13-cloud-amd64 7.2.1-1",   // not read of this flavour
		"linux-modules-7.3.4+deb13-amd64 7.3.4-1~bpo13",   // without image
		"linux-image-6.12-amd64-signed-template 6.12.8-1", // no kernel
	), older)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range got {
		if p.release != "13" || p.suite != "trixie" || p.arch != "amd64" || p.sum != sum {
			t.Errorf("%v", p)
		}
		names = append(names, p.name)
	}
	slices.Sort(names)
	want := []string{
		"linux-base-7.2.1+deb13-amd64", "linux-binary-7.2.1+deb13-amd64", "linux-binary-7.2.1+deb13-cloud-amd64",
		"linux-image-6.12.8+deb13-cloud-amd64", "linux-modules-7.2.1+deb13-amd64",
	}
	if !slices.Equal(names, want) {
		t.Errorf("new are\n%s\nwant\n%s", strings.Join(names, "\n"), strings.Join(want, "\n"))
	}
	more := append(slices.Clone(list), got...)
	if again, err := newest(more, place{"trixie", "amd64"}, lines("linux-image-6.12.8+deb13-cloud-amd64 6.12.8-1"), older); err != nil || len(again) != 0 {
		t.Errorf("a second time: %v, %v", again, err)
	}
	if _, err := newest(list, place{"trixie", "amd64"}, "linux-image-6.12.8+deb13-amd64 6.12.8-1\n", older); err == nil {
		t.Error("a line without a digest is taken")
	}
}
