package pull

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// testRPM is a package in a list; there is no need for it to exist.
type testRPM struct {
	name, version, release, arch string
	installed                    int // bytes; 0: those of an image
}

// rpmRepo is an rpm repository to be built.
type rpmRepo struct {
	packages    []testRPM
	ext         string // of primary.xml
	primary     func(string) string
	editPrimary func([]byte) []byte // after repomd.xml
	repomd      func(string) string
	key         *openpgp.Entity
}

func (r *rpmRepo) put(t testing.TB, m *mirror, root string) {
	t.Helper()
	var list strings.Builder
	fmt.Fprintf(&list, `<?xml version="1.0" encoding="UTF-8"?>
<metadata xmlns="http://linux.duke.edu/metadata/common" xmlns:rpm="http://linux.duke.edu/metadata/rpm" packages="%d">
`, len(r.packages))
	for _, p := range r.packages {
		file := fmt.Sprintf("Packages/k/%s-%s-%s.%s.rpm", p.name, p.version, p.release, p.arch)
		installed := p.installed
		if installed == 0 {
			installed = 60_000_000
		}
		fmt.Fprintf(&list, `<package type="rpm">
  <name>%s</name>
  <arch>%s</arch>
  <version epoch="0" ver="%s" rel="%s"/>
  <checksum type="sha256" pkgid="YES">%s</checksum>
  <summary>The &lt;Linux&gt; kernel</summary>
  <time file="1700000000" build="1700000000"/>
  <size package="1000" installed="%d" archive="%d"/>
  <location href="%s"/>
  <format><rpm:provides><rpm:entry name="kernel"/></rpm:provides><file>/x</file></format>
</package>
`, p.name, p.arch, p.version, p.release, pulltest.SumHex([]byte(file)), installed, installed, file)
	}
	list.WriteString("</metadata>\n")
	text := list.String()
	if r.primary != nil {
		text = r.primary(text)
	}
	data := pulltest.Pack(r.ext, []byte(text))
	name := "repodata/" + pulltest.SumHex(data) + "-primary.xml" + r.ext
	md := fmt.Sprintf(`<?xml version="1.0" encoding="UTF-8"?>
<repomd xmlns="http://linux.duke.edu/metadata/repo" xmlns:rpm="http://linux.duke.edu/metadata/rpm">
  <revision>1700000000</revision>
  <data type="filelists"><checksum type="sha256">%s</checksum><location href="repodata/filelists.xml.gz"/></data>
  <data type="primary">
    <checksum type="sha256">%s</checksum>
    <open-checksum type="sha256">%s</open-checksum>
    <location href="%s"/>
    <timestamp>1700000000</timestamp>
    <size>%d</size>
    <open-size>%d</open-size>
  </data>
</repomd>
`, pulltest.SumHex(nil), pulltest.SumHex(data), pulltest.SumHex([]byte(text)), name, len(data), len(text))
	if r.editPrimary != nil {
		data = r.editPrimary(data)
	}
	m.Put(root+"/"+name, data)
	if r.repomd != nil {
		md = r.repomd(md)
	}
	m.Put(root+"/repodata/repomd.xml", []byte(md))
	if r.key != nil {
		m.Put(root+"/repodata/repomd.xml.asc", pulltest.Detached(t, []byte(md), r.key))
	}
}

func planRPM(t testing.TB, opt RPMOptions) (*Plan, error) {
	t.Helper()
	opt.Transport, opt.Now = quick(), pulltest.Now
	if opt.Arch == "" {
		opt.Arch = "x86_64"
	}
	src, err := NewRPM(opt)
	if err != nil {
		return nil, err
	}
	return src.Plan(t.Context())
}

var testRPMs = []testRPM{
	{"kernel", "5.14.0", "427.el9", "x86_64", 0}, // RHEL's metapackage, with a core beside it
	{"kernel-core", "5.14.0", "427.el9", "x86_64", 0},
	{"kernel-modules-core", "5.14.0", "427.el9", "x86_64", 0},
	{"kernel-modules", "5.14.0", "427.el9", "x86_64", 0},
	{"kernel-modules-extra", "5.14.0", "427.el9", "x86_64", 0},
	{"kernel-core", "5.14.0", "362.el9", "x86_64", 0},
	{"kernel-modules", "5.14.0", "70.el9", "x86_64", 0},
	{"kernel-core", "5.14.0", "70.el9", "x86_64", 0},
	{"kernel-core", "5.14.0", "427.el9", "aarch64", 0},
	{"kernel-rt-core", "5.14.0", "427.el9", "x86_64", 0},
	{"kernel-rt-modules-core", "5.14.0", "427.el9", "x86_64", 0},
	{"kernel-debug-core", "5.14.0", "427.el9", "x86_64", 0},
	{"kernel-headers", "5.14.0", "427.el9", "x86_64", 0},
	{"kernel", "3.10.0", "1160.el7", "x86_64", 0},  // all in one
	{"kernel", "6.8.5", "301.fc40", "x86_64", 100}, // without content
	{"kernel6.12", "6.12.20", "1.amzn2023", "x86_64", 0},
	{"zsh", "5.9", "1", "x86_64", 0},
}

func TestRPMPlan(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	ring := ringFile(t, true, key)
	all := []string{
		"kernel 3.10.0-1160.el7",
		"kernel-core 5.14.0-70.el9 +kernel-modules",
		"kernel-core 5.14.0-362.el9 -kernel-modules",
		"kernel-core 5.14.0-427.el9 +kernel-modules-core +kernel-modules +kernel-modules-extra",
		"kernel-rt-core 5.14.0-427.el9 +kernel-rt-modules-core",
		"kernel6.12 6.12.20-1.amzn2023",
	}
	for _, tc := range []struct {
		name string
		opt  RPMOptions
		ext  string
		want []string
	}{
		{"gz", RPMOptions{Keys: []string{ring}}, ".gz", all},
		{"zst", RPMOptions{Keys: []string{ring}}, ".zst", all},
		{"xz", RPMOptions{}, ".xz", all},
		{"plain", RPMOptions{}, "", all},
		{"latest per series", RPMOptions{LatestPerSeries: true}, ".gz", slices.Concat(all[:1], all[3:])},
		{"match", RPMOptions{Match: []string{"kernel-debug-core"}}, ".gz", []string{"kernel-debug-core 5.14.0-427.el9 -kernel-debug-modules"}},
		{"no modules", RPMOptions{NoModules: true, Match: []string{"kernel-core"}}, ".gz",
			[]string{"kernel-core 5.14.0-70.el9", "kernel-core 5.14.0-362.el9", "kernel-core 5.14.0-427.el9"}},
		{"arch", RPMOptions{Arch: "aarch64"}, ".gz", []string{"kernel-core 5.14.0-427.el9 -kernel-modules"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			(&rpmRepo{packages: testRPMs, ext: tc.ext, key: key}).put(t, m, "/r")
			tc.opt.Repos = []string{m.URL + "/r/"}
			p, err := planRPM(t, tc.opt)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, line := range describe(p) {
				got = append(got, strings.TrimPrefix(line, "/ "))
			}
			if !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
			for _, k := range p.Kernels {
				if f := k.Packages[0]; f.URI != m.URL+"/r/Packages/k/"+k.Name+"-"+f.Version+"."+k.Arch+".rpm" || f.Size != 1000 || f.Digest.Algorithm != "sha256" {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

func TestLyingRPMRepository(t *testing.T) {
	t.Parallel()
	key, stranger := pulltest.NewKey(t, "key"), pulltest.NewKey(t, "stranger")
	ring := ringFile(t, false, key)
	replace := func(old, new string) func(string) string {
		return func(s string) string {
			if !strings.Contains(s, old) {
				panic("no " + old)
			}
			return strings.ReplaceAll(s, old, new)
		}
	}
	for _, tc := range []struct {
		name string
		repo rpmRepo
		err  string
	}{
		{"signed by a stranger", rpmRepo{key: stranger}, "which the keyring does not have"},
		{"not signed", rpmRepo{}, "there is no repomd.xml.asc"},
		{"another primary.xml", rpmRepo{key: key, editPrimary: func(b []byte) []byte { b[len(b)/2] ^= 1; return b }}, "refused: sha256 of the file is"},
		{"a longer primary.xml", rpmRepo{key: key, editPrimary: func(b []byte) []byte { return append(b, 0) }}, "the server announces"},
		{"no XML", rpmRepo{key: key, repomd: func(string) string { return "hello" }}, "no repomd.xml that can be read"},
		{"another document", rpmRepo{key: key, repomd: func(string) string { return "<html/>" }}, "no repomd.xml that can be read"},
		{"no primary.xml", rpmRepo{key: key, repomd: replace(`type="primary"`, `type="other"`)}, "it lists 2 files, and no primary.xml"},
		{"a weak digest", rpmRepo{key: key, repomd: replace(`<checksum type="sha256">`, `<checksum type="sha">`)}, `digest of type "sha"; sha256, sha384 and sha512 are taken`},
		{"primary.xml elsewhere", rpmRepo{key: key, repomd: replace(`href="repodata/`, `href="../repodata/`)}, "leads out of the repository"},
		{"primary.xml on another server", rpmRepo{key: key, repomd: replace(`href="repodata/`, `href="https://evil/`)}, "can't be had"},
		{"a negative size", rpmRepo{key: key, repomd: replace("<size>", "<size>-")}, "size -"},
		{"a huge size", rpmRepo{key: key, repomd: replace("<size>", "<size>9000000")}, "more than the limit of 536870912"},
		{"expands beyond its size", rpmRepo{key: key, repomd: func(s string) string {
			i, j := strings.Index(s, "<open-size>"), strings.Index(s, "</open-size>")
			return s[:i] + "<open-size>10" + s[j:]
		}}, "more than 10 bytes, the limit"},
		{"primary.xml is cut", rpmRepo{key: key, primary: func(s string) string { return s[:len(s)/2] }}, "unexpected EOF"},
		{"primary.xml is empty", rpmRepo{key: key, primary: func(s string) string { return "" }}, "it has no content"},
		{"primary.xml is another document", rpmRepo{key: key, primary: replace("metadata", "otherdata")}, `the element "otherdata" where metadata should be`},
		{"a package elsewhere", rpmRepo{key: key, primary: replace(`<location href`, `<location xml:base="https://user:secret@evil/" href`)},
			`it lies elsewhere, at "https://evil/"`},
		{"a package out of the repository", rpmRepo{key: key, primary: replace(`href="Packages`, `href="../Packages`)}, "leads out of the repository"},
		{"a package with a weak digest", rpmRepo{key: key, primary: replace(`<checksum type="sha256" `, `<checksum type="md5" `)}, `digest of type "md5"`},
		{"a package with a short digest", rpmRepo{key: key, primary: replace(`pkgid="YES">`, `pkgid="YES">a`)}, "is no sha256 digest of 64 hex digits"},
		{"a package without a size", rpmRepo{key: key, primary: replace(`package="1000"`, `package="0"`)}, "size 0; 1 to 4294967296 bytes are taken"},
		{"a size that is no number", rpmRepo{key: key, primary: replace(`package="1000"`, `package="x"`)}, "no primary.xml that can be read"},
		{"a package without a version", rpmRepo{key: key, primary: replace(`ver="`, `verse="`)}, "no version"},
		{"an endless name", rpmRepo{key: key, ext: ".zst", primary: replace("<name>kernel<", "<name>"+strings.Repeat("kernel ", 10_000_000)+"<")}, "more than 67108864 bytes of one package"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			tc.repo.packages = testRPMs
			if tc.repo.ext == "" {
				tc.repo.ext = ".gz"
			}
			tc.repo.put(t, m, "/r")
			p, err := planRPM(t, RPMOptions{Repos: []string{m.URL + "/r"}, Keys: []string{ring}})
			if err == nil {
				t.Fatalf("no error, but a plan of %q", describe(p))
			}
			var e *btfinfo.Error
			if !errors.As(err, &e) || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "secret") {
				t.Errorf("error %v, want *btfinfo.Error with %q", err, tc.err)
			}
		})
	}
}

func TestRPMOptions(t *testing.T) {
	t.Parallel()
	for _, opt := range []RPMOptions{{}, {Repos: []string{"ftp://x/y"}}, {Repos: []string{"/x"}, Match: []string{"["}}} {
		if _, err := NewRPM(opt); err == nil {
			t.Errorf("no error for %+v", opt)
		}
	}
}
