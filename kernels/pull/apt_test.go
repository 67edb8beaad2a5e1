package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
	"github.com/corecheck/corecheck/kernels/source"
)

// ringFile writes a keyring.
func ringFile(t testing.TB, armored bool, keys ...*openpgp.Entity) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "keys.gpg")
	if err := os.WriteFile(name, pulltest.PublicKey(t, armored, keys...), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// options for a repository that a test serves.
func aptOptions(uri, ring string) AptOptions {
	return AptOptions{
		Mirrors: []string{uri}, Suites: []string{"bookworm"}, Arch: "amd64", Keyrings: []string{ring}, Config: &AptConfig{},
		Transport: quick(), Now: pulltest.Now,
	}
}

func planApt(t testing.TB, opt AptOptions) (*Plan, error) {
	t.Helper()
	src, err := NewApt(t.Context(), opt)
	if err != nil {
		return nil, err
	}
	return src.Plan(t.Context())
}

// describe is a plan in few words.
func describe(p *Plan) []string {
	var lines []string
	for _, k := range p.Kernels {
		line := fmt.Sprintf("%s/%s %s %s", k.Distro, k.Release, k.Name, k.Version)
		for _, f := range k.Packages[1:] {
			line += " +" + f.Name
		}
		for _, g := range k.Gone {
			line += " -" + g
		}
		lines = append(lines, line)
	}
	return lines
}

func TestAptPlan(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	ring := ringFile(t, false, key)
	one := pulltest.NewKernel("6.1.0-50-amd64", "6.1.176-1")
	old := pulltest.NewKernel("6.1.0-9-amd64", "6.1.27-1")
	cloud := pulltest.NewKernel("6.1.0-50-cloud-amd64", "6.1.176-1")
	unsigned := one.Whole()
	unsigned.Name += "-unsigned"
	alone := pulltest.NewKernel("6.1.0-51-amd64", "6.1.180-1").Whole() // not signed yet
	alone.Name += "-unsigned"
	meta, image, modules, base := pulltest.NewKernel("7.2.12+deb13-amd64", "7.2.12-1~bpo13+1").Split()
	_, lonely, _, _ := pulltest.NewKernel("6.19.14+deb13-amd64", "6.19.14-1~bpo13+1").Split()
	_, other, otherModules, _ := pulltest.NewKernel("7.0.13+deb13-amd64", "7.0.13-1~bpo13+1").Split()
	otherModules.Version = "7.0.13-2~bpo13+1" // of another build
	small := map[string][]byte{"usr/share/doc/x": []byte("x")}
	repo := pulltest.NewRepo(key, one.Whole(), old.Whole(), cloud.Whole(), unsigned, alone, meta, image, modules, base, lonely, other, otherModules,
		&pulltest.Deb{Name: "linux-image-6.1.0-50-amd64-dbg", Version: "6.1.176-1", Files: small},
		&pulltest.Deb{Name: "linux-image-6.12-amd64", Version: "6.1.176-1", Depends: "linux-image-6.1.0-50-amd64 (= 6.1.176-1)", Files: small},
		&pulltest.Deb{Name: "linux-image-amd64", Version: "7.2.12-1~bpo13+1", Depends: "linux-image-7.2.12+deb13-amd64 (= 7.2.12-1~bpo13+1)", Files: small},
		&pulltest.Deb{Name: "linux-image-amd64-signed-template", Version: "6.1.176-1", Files: small},
		&pulltest.Deb{Name: "linux-base", Version: "4.12", Files: small},
		&pulltest.Deb{Name: "zsh", Version: "5", Files: small},
	)
	m := newMirror(t)
	repo.Put(t, m, "debian")

	all := []string{
		"debian/12 linux-image-6.1.0-9-amd64 6.1.27-1",
		"debian/12 linux-image-6.1.0-50-amd64 6.1.176-1",
		"debian/12 linux-image-6.1.0-50-cloud-amd64 6.1.176-1",
		"debian/12 linux-image-6.1.0-51-amd64-unsigned 6.1.180-1",
		"debian/13 linux-binary-6.19.14+deb13-amd64 6.19.14-1~bpo13+1 -linux-base-6.19.14+deb13-amd64 -linux-modules-6.19.14+deb13-amd64",
		"debian/13 linux-binary-7.0.13+deb13-amd64 7.0.13-1~bpo13+1 -linux-base-7.0.13+deb13-amd64 -linux-modules-7.0.13+deb13-amd64",
		"debian/13 linux-binary-7.2.12+deb13-amd64 7.2.12-1~bpo13+1 +linux-base-7.2.12+deb13-amd64 +linux-modules-7.2.12+deb13-amd64",
	}
	for _, tc := range []struct {
		name string
		edit func(*AptOptions)
		want []string
	}{
		{"all", func(*AptOptions) {}, all},
		{"latest per series", func(o *AptOptions) { o.LatestPerSeries = true }, slices.Concat(all[2:])},
		{"match", func(o *AptOptions) { o.Match = []string{"linux-image-*-cloud-amd64"} }, all[2:3]},
		{"match of unsigned", func(o *AptOptions) { o.Match = []string{"linux-image-6.1.0-50-*-unsigned"} },
			[]string{"debian/12 linux-image-6.1.0-50-amd64-unsigned 6.1.176-1"}},
		{"match through packages without content", func(o *AptOptions) { o.Match = []string{"linux-image-amd64"} }, all[6:]},
		{"match of several", func(o *AptOptions) {
			o.Match = []string{"linux-image-6.1.0-50-amd64", "linux-image-6.12-amd64", "linux-image-7.2*"}
		},
			[]string{all[1], all[6]}},
		{"no modules", func(o *AptOptions) { o.NoModules, o.Match = true, []string{"linux-binary-*"} }, []string{
			"debian/13 linux-binary-6.19.14+deb13-amd64 6.19.14-1~bpo13+1 -linux-base-6.19.14+deb13-amd64",
			"debian/13 linux-binary-7.0.13+deb13-amd64 7.0.13-1~bpo13+1 -linux-base-7.0.13+deb13-amd64",
			"debian/13 linux-binary-7.2.12+deb13-amd64 7.2.12-1~bpo13+1 +linux-base-7.2.12+deb13-amd64",
		}},
		{"nothing", func(o *AptOptions) { o.Match = []string{"bsd-*"} }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			opt := aptOptions(m.URL+"/debian", ring)
			tc.edit(&opt)
			p, err := planApt(t, opt)
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(p); !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

// Whatever way a repository is packed, signed and reached, the kernels are the same.
func TestAptPull(t *testing.T) {
	t.Parallel()
	key, stranger := pulltest.NewKey(t, "key"), pulltest.NewKey(t, "stranger")
	whole := pulltest.NewKernel("6.1.0-50-amd64", "6.1.176-1")
	splitKernel := pulltest.NewKernel("7.2.12+deb13-amd64", "7.2.12-1~bpo13+1")
	meta, image, modules, base := splitKernel.Split()
	_, lonely, _, _ := pulltest.NewKernel("6.19.14+deb13-amd64", "6.19.14-1~bpo13+1").Split()
	armoredRing, binaryRing := ringFile(t, true, stranger, key), ringFile(t, false, key)
	for _, tc := range []struct {
		name string
		edit func(*pulltest.AptRepo)
		opt  func(*AptOptions)
		file bool
	}{
		{name: "xz"},
		{name: "gz", edit: func(r *pulltest.AptRepo) { r.Extensions = []string{".gz"} }},
		{name: "zst", edit: func(r *pulltest.AptRepo) { r.Extensions = []string{".zst"} }},
		{name: "plain", edit: func(r *pulltest.AptRepo) { r.Extensions = []string{""} }},
		{name: "by hash", edit: func(r *pulltest.AptRepo) { r.ByHash = true }},
		{name: "Release.gpg", edit: func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"Release": text, "Release.gpg": pulltest.Detached(t, text, key)}
			}
		}},
		{name: "two signatures, one by a stranger first", edit: func(r *pulltest.AptRepo) { r.Keys = []*openpgp.Entity{stranger, key} }},
		{name: "two signatures, one by a stranger last", edit: func(r *pulltest.AptRepo) { r.Keys = []*openpgp.Entity{key, stranger} }},
		{name: "armored keyring", opt: func(o *AptOptions) { o.Keyrings = []string{armoredRing} }},
		{name: "valid until later", edit: func(r *pulltest.AptRepo) { r.ValidUntil = pulltest.Now.Add(time.Hour) }},
		{name: "expired, allowed", edit: func(r *pulltest.AptRepo) { r.ValidUntil = pulltest.Now.Add(-time.Hour) }, opt: func(o *AptOptions) { o.AllowExpired = true }},
		{name: "by suite's name", edit: func(r *pulltest.AptRepo) { r.Suite = "stable" }, opt: func(o *AptOptions) { o.Suites = []string{"stable"} }},
		{name: "a folder", file: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			repo := pulltest.NewRepo(key, whole.Whole(), meta, image, modules, base, lonely)
			if tc.edit != nil {
				tc.edit(repo)
			}
			m := newMirror(t)
			repo.Put(t, m, "debian")
			uri := m.URL + "/debian"
			if tc.file {
				dir := t.TempDir()
				m.writeTree(dir)
				uri = filepath.Join(dir, "debian")
			}
			opt := aptOptions(uri, binaryRing)
			if tc.opt != nil {
				tc.opt(&opt)
			}
			p, err := planApt(t, opt)
			if err != nil {
				t.Fatal(err)
			}
			builds, sum := fetchAll(t, p, FetchOptions{CacheDir: t.TempDir()})
			if len(sum.Failures) != 0 || sum.Kernels != 3 || sum.Files != 5 || sum.Downloaded != p.Bytes() || sum.Cached != 0 {
				t.Fatalf("%+v", sum)
			}
			b := builds["debian/12/x86_64/6.1.0-50-amd64"]
			if b == nil {
				t.Fatalf("no kernel of one package in %v", builds)
			}
			if b.Version != "6.1.176" || b.Package != "linux-image-6.1.0-50-amd64" || b.PackageVersion != "6.1.176-1" || b.BTF == nil || len(b.Missing) != 0 {
				t.Errorf("kernel of one package: %+v", b.Kernel)
			}
			if got := moduleNames(b); got != "ext4 nf_tables padding" {
				t.Errorf("modules %q", got)
			}
			wantURI := "/debian/pool/main/l/linux/linux-image-6.1.0-50-amd64_6.1.176-1_amd64.deb"
			if len(b.Sources) != 1 || !strings.HasSuffix(b.Sources[0].URI, wantURI) || b.Sources[0].SHA256 != pulltest.SumHex(whole.Whole().Build()) || b.Sources[0].Date == "" {
				t.Errorf("sources %+v", b.Sources)
			}
			b = builds["debian/13/x86_64/7.2.12+deb13-amd64"]
			if b == nil || moduleNames(b) != "ext4" || b.Pahole != "1.24" || len(b.Sources) != 3 || len(b.Missing) != 0 {
				t.Errorf("kernel of three packages: %+v", b)
			}
			b = builds["debian/13/x86_64/6.19.14+deb13-amd64"]
			if b == nil || b.ModulesRead || len(b.Missing) != 2 ||
				b.Missing[0].Fact != "config" || !strings.Contains(b.Missing[0].Reason, "linux-base-6.19.14+deb13-amd64 is not in the repository any more") ||
				b.Missing[1].Fact != "modules" || !strings.Contains(b.Missing[1].Reason, "linux-modules-6.19.14+deb13-amd64 is not in the repository any more") {
				t.Errorf("kernel of which two packages are gone: %+v", b)
			}
		})
	}
}

func moduleNames(b *archive.Build) string {
	var names []string
	for _, m := range b.Modules {
		names = append(names, m.Name)
	}
	return strings.Join(names, " ")
}

// fetchAll fetches a plan, and returns the kernels by ID.
func fetchAll(t testing.TB, p *Plan, opt FetchOptions) (map[string]*archive.Build, *Summary) {
	t.Helper()
	builds := map[string]*archive.Build{}
	sum, err := Fetch(t.Context(), p, opt, func(h *Handed) error {
		if builds[h.Build.ID] != nil {
			t.Errorf("%s is handed over twice", h.Build.ID)
		}
		builds[h.Build.ID] = h.Build
		return h.Discard()
	})
	if err != nil {
		t.Fatal(err)
	}
	return builds, sum
}

// What a mirror says is believed only where it was signed, is valid, and fits together.
func TestLyingMirror(t *testing.T) {
	t.Parallel()
	key, stranger := pulltest.NewKey(t, "key"), pulltest.NewKey(t, "stranger")
	ring := ringFile(t, false, key)
	kernel := pulltest.NewKernel("6.1.0-50-amd64", "6.1.176-1").Whole()
	lie := func(edit func(*pulltest.Deb)) *pulltest.Deb {
		d := *kernel
		edit(&d)
		return &d
	}
	for _, tc := range []struct {
		name string
		edit func(*pulltest.AptRepo)
		opt  func(*AptOptions)
		err  string
	}{
		{"not signed at all", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte { return map[string][]byte{"Release": text} }
		}, nil, "not signed: there is neither InRelease nor Release.gpg"},
		{"InRelease is not signed", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte { return map[string][]byte{"InRelease": text} }
		}, nil, `not signed: it begins with "Origin: Debian"`},
		{"signed by a stranger", func(r *pulltest.AptRepo) { r.Keys = []*openpgp.Entity{stranger} }, nil,
			fmt.Sprintf("signed by key %X, which the keyring does not have", stranger.PrimaryKey.Fingerprint)},
		{"Release.gpg by a stranger", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"Release": text, "Release.gpg": pulltest.Detached(t, text, stranger)}
			}
		}, nil, "which the keyring does not have"},
		{"Release.gpg of another text", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"Release": append(text, '\n'), "Release.gpg": pulltest.Detached(t, text, key)}
			}
		}, nil, "is not valid"},
		{"Release.gpg is a key", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"Release": text, "Release.gpg": pulltest.PublicKey(t, true, key)}
			}
		}, nil, `"PGP PUBLIC KEY BLOCK" where its signature should be`},
		{"Release.gpg is empty", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"Release": text, "Release.gpg": nil}
			}
		}, nil, "signed by an unnamed key"},
		{"text changed after signing", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"InRelease": bytes.Replace(pulltest.ClearSign(t, text, key), []byte("Origin: Debian"), []byte("Origin: Evilco"), 1)}
			}
		}, nil, "is not valid"},
		{"text before the signed one", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"InRelease": append([]byte("SHA256:\n"), pulltest.ClearSign(t, text, key)...)}
			}
		}, nil, `not signed: it begins with "SHA256:"`},
		{"text behind the signature", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"InRelease": append(pulltest.ClearSign(t, text, key), "\nOrigin: Evilco\n"...)}
			}
		}, nil, "bytes behind the signature"},
		{"two signed texts", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				return map[string][]byte{"InRelease": append(append(pulltest.ClearSign(t, text, key), '\n'), pulltest.ClearSign(t, text, stranger)...)}
			}
		}, nil, "bytes behind the signature"},
		{"cut in the signature", func(r *pulltest.AptRepo) {
			r.Signature = func(text []byte) map[string][]byte {
				b := pulltest.ClearSign(t, text, key)
				return map[string][]byte{"InRelease": b[:len(b)-60]}
			}
		}, nil, "malformed"},
		{"expired", func(r *pulltest.AptRepo) { r.ValidUntil = pulltest.Now.Add(-time.Hour) }, nil, "expired: valid until 2026-11-20 11:00:00, now it is 2026-11-20 12:00:00"},
		{"from the future", func(r *pulltest.AptRepo) { r.Date = pulltest.Now.Add(time.Hour) }, nil, "made in the future"},
		{"another suite", func(r *pulltest.AptRepo) { r.Codename = "buster" }, nil, `the signed file is of suite "stable", codename "buster", not of "bookworm"`},
		{"no such suite", nil, func(o *AptOptions) { o.Suites = []string{"sid"} }, `no suite "sid" there`},
		{"a suite that leads out", nil, func(o *AptOptions) { o.Suites = []string{"../../etc"} }, `path "dists/../../etc/InRelease" leads out of the repository`},
		{"no such component", nil, func(o *AptOptions) { o.Components = []string{"contrib"} }, "it lists no contrib/binary-amd64/Packages; the suite's components are main"},
		{"no such architecture", nil, func(o *AptOptions) { o.Arch = "s390x" }, `the suite has no architecture "s390x"; it has amd64, arm64`},
		{"only weak digests", func(r *pulltest.AptRepo) {
			r.EditRelease = func(b []byte) []byte { return bytes.Replace(b, []byte("SHA256:"), []byte("SHA1:"), 1) }
		}, nil, "no SHA256 and no SHA512 of its files"},
		{"a digest that is none", func(r *pulltest.AptRepo) {
			r.EditRelease = func(b []byte) []byte { return bytes.Replace(b, []byte("SHA256:\n "), []byte("SHA256:\n zz"), 1) }
		}, nil, "is no sha256 digest of 64 hex digits"},
		{"a negative size", func(r *pulltest.AptRepo) {
			r.EditRelease = func(b []byte) []byte {
				return bytes.Replace(b, []byte("SHA256:\n"), []byte("SHA256:\n "+strings.Repeat("0", 64)+" -1 x\n"), 1)
			}
		}, nil, `size "-1" of "x" is no number of bytes`},
		{"a file listed twice, differently", func(r *pulltest.AptRepo) {
			r.EditRelease = func(b []byte) []byte {
				return append(b, " "+strings.Repeat("0", 64)+" 1 main/binary-amd64/Packages\n"...)
			}
		}, nil, `"main/binary-amd64/Packages" is there twice`},
		{"empty Release", func(r *pulltest.AptRepo) { r.EditRelease = func([]byte) []byte { return []byte("\n") } }, nil, "the Release file is empty"},
		{"another Packages of the same size", func(r *pulltest.AptRepo) {
			r.EditPackages = func(_ string, b []byte) []byte { b[len(b)/2] ^= 1; return b }
		}, nil, "refused: sha256 of the file is"},
		{"a longer Packages", func(r *pulltest.AptRepo) {
			r.EditPackages = func(_ string, b []byte) []byte { return append(b, 0) }
		}, nil, "the server announces"},
		{"Packages that expands beyond its size", func(r *pulltest.AptRepo) {
			r.EditRelease = func(b []byte) []byte {
				lines := strings.SplitAfter(string(b), "\n")
				last := lines[len(lines)-2] // of the plain Packages
				words := strings.Fields(last)
				return []byte(strings.Join(lines[:len(lines)-2], "") + " " + words[0] + " 100 " + words[2] + "\n")
			}
		}, nil, "more than 100 bytes, the limit"},
		{"huge Packages", func(r *pulltest.AptRepo) {
			r.EditRelease = func(b []byte) []byte {
				return []byte(strings.ReplaceAll(string(b), " main/binary-amd64/Packages.xz", "00000000 main/binary-amd64/Packages.xz"))
			}
		}, nil, "more than the limit of 536870912"},
		{"Packages is not compressed", func(r *pulltest.AptRepo) {
			r.EditRelease = func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("Packages\n"), []byte("Packages.gz\n")) }
			r.Extensions = []string{""}
			r.EditPackages = nil
		}, nil, "can't be had"},
		{"a paragraph without a version", func(r *pulltest.AptRepo) { r.Junk = "Package: linux-image-6.1.0-1-amd64\n\n" }, nil, `package "linux-image-6.1.0-1-amd64": no Version`},
		{"nonsense in Packages", func(r *pulltest.AptRepo) { r.Junk = "what is this\n\n" }, nil, `line 1: "what is this" is no "Field: value"`},
		{"a field twice", func(r *pulltest.AptRepo) { r.Junk = "Package: a\nPackage: b\n\n" }, nil, `line 2: field "Package" is there twice`},
		{"a line that continues nothing", func(r *pulltest.AptRepo) { r.Junk = " x\n\n" }, nil, "line 1: it continues a field"},
		{"a path out of the repository", func(r *pulltest.AptRepo) {
			r.Packages = []*pulltest.Deb{lie(func(d *pulltest.Deb) { d.Filename = "../../etc/passwd" })}
		}, nil, `path "../../etc/passwd" leads out of the repository`},
		{"an absolute path", func(r *pulltest.AptRepo) {
			r.Packages = []*pulltest.Deb{lie(func(d *pulltest.Deb) { d.Filename = "/etc/passwd" })}
		}, nil, `path "/etc/passwd" is not one inside of the repository`},
		{"a size of nothing", func(r *pulltest.AptRepo) { r.Packages = []*pulltest.Deb{lie(func(d *pulltest.Deb) { d.Size = "0" })} }, nil, `Size "0" is no number of bytes`},
		{"a size beyond all", func(r *pulltest.AptRepo) {
			r.Packages = []*pulltest.Deb{lie(func(d *pulltest.Deb) { d.Size = "9000000000" })}
		}, nil, "Size 9000000000, more than the limit"},
		{"no keyring", nil, func(o *AptOptions) { o.Keyrings = []string{"/nonexistent/keys.gpg"} }, "no such file"},
		{"a keyring that is none", nil, func(o *AptOptions) { o.Keyrings = []string{"/dev/null"} }, "there is no key in it"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			repo := pulltest.NewRepo(key, kernel)
			if tc.edit != nil {
				tc.edit(repo)
			}
			m := newMirror(t)
			repo.Put(t, m, "debian")
			opt := aptOptions(m.URL+"/debian", ring)
			if tc.opt != nil {
				tc.opt(&opt)
			}
			p, err := planApt(t, opt)
			if err == nil {
				t.Fatalf("no error, but a plan of %q", describe(p))
			}
			var e *btfinfo.Error
			if !strings.Contains(err.Error(), tc.err) || (!errors.As(err, &e) && !errors.Is(err, os.ErrNotExist)) {
				t.Errorf("error %v, want *btfinfo.Error with %q", err, tc.err)
			}
		})
	}
}

// What is wrong with one package is said of it, and the others are there.
func TestFailuresAreNamed(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	kernel := func(n int) *pulltest.Kernel {
		return pulltest.NewKernel(fmt.Sprintf("6.1.0-%d-amd64", n), fmt.Sprintf("6.1.%d-1", n))
	}
	digest, size, gone, broken, empty, good := kernel(1).Whole(), kernel(2).Whole(), kernel(3).Whole(), kernel(4).Whole(), kernel(5).Whole(), kernel(6).Whole()
	digest.SHA256 = strings.Repeat("0", 64)
	size.Size = "12345"
	empty.Files = map[string][]byte{"usr/share/doc/x": pulltest.Noise(2 * maxMeta)}
	repo := pulltest.NewRepo(key, digest, size, gone, broken, empty, good)
	m := newMirror(t)
	repo.Put(t, m, "debian")
	pool := "/debian/pool/main/l/linux/"
	m.always[pool+gone.Name+"_"+gone.Version+"_amd64.deb"] = status(404)
	// What is damaged, but as the index says.
	data := bytes.Repeat([]byte("no package "), 10000)
	m.Put(pool+broken.Name+"_"+broken.Version+"_amd64.deb", data)
	broken.SHA256, broken.Size = pulltest.SumHex(data), fmt.Sprint(len(data))
	again := newMirror(t)
	repo.Put(t, again, "debian")
	m.mu.Lock()
	for _, name := range []string{"InRelease", "main/binary-amd64/Packages.xz"} {
		m.files["/debian/dists/bookworm/"+name] = again.files["/debian/dists/bookworm/"+name]
	}
	m.mu.Unlock()

	p, err := planApt(t, aptOptions(m.URL+"/debian", ringFile(t, false, key)))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var events []string
	builds, sum := fetchAll(t, p, FetchOptions{CacheDir: dir, Progress: func(e Event) {
		if e.Phase == Failed || e.Phase == Added {
			events = append(events, string(e.Phase)+" "+e.Kernel.Name)
		}
		if e.AllDone > e.AllTotal || e.AllDone < 0 {
			t.Errorf("%d of %d bytes done", e.AllDone, e.AllTotal)
		}
	}})
	if len(builds) != 1 || builds["debian/12/x86_64/6.1.0-6-amd64"] == nil || sum.Kernels != 1 {
		t.Errorf("kernels %v, %+v", builds, sum)
	}
	var got []string
	for _, f := range sum.Failures {
		got = append(got, f.Kernel.Name+": "+f.Err.Error())
	}
	for i, want := range []string{
		"linux-image-6.1.0-1-amd64: .*refused: sha256 of the file is",
		"linux-image-6.1.0-2-amd64: .*the server announces .*, expected 12345",
		"linux-image-6.1.0-3-amd64: .*the server answers 404 Not Found",
		"linux-image-6.1.0-4-amd64: .*no package",
		"linux-image-6.1.0-5-amd64: .*kernel",
	} {
		before, after, _ := strings.Cut(want, ".*")
		if i >= len(got) || !strings.HasPrefix(got[i], before) {
			t.Errorf("failure %d: %q, want %q", i, got, want)
			continue
		}
		for _, piece := range strings.Split(after, ".*") {
			if !strings.Contains(got[i], piece) {
				t.Errorf("failure %d: %q, want %q", i, got[i], want)
			}
		}
	}
	slices.Sort(events)
	if want := "added linux-image-6.1.0-6-amd64"; len(events) != 6 || events[0] != want {
		t.Errorf("events %q", events)
	}
}

// A pull that was killed goes on where it was: what the archive has is not asked for, what the cache has is not downloaded.
func TestPullAgain(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	var packages []*pulltest.Deb
	for n := range 4 {
		packages = append(packages, pulltest.NewKernel(fmt.Sprintf("6.1.0-%d-amd64", n), fmt.Sprintf("6.1.%d-1", n)).Whole())
	}
	m := newMirror(t)
	pulltest.NewRepo(key, packages...).Put(t, m, "debian")
	opt := aptOptions(m.URL+"/debian", ringFile(t, false, key))
	cacheDir := t.TempDir()

	p, err := planApt(t, opt)
	if err != nil {
		t.Fatal(err)
	}
	m.fault("/debian/pool/main/l/linux/linux-image-6.1.0-2-amd64_6.1.2-1_amd64.deb", cut(50_000), status(404))
	killed := errors.New("killed")
	added := map[string]bool{}
	_, err = Fetch(t.Context(), p, FetchOptions{CacheDir: cacheDir, Parallel: 1}, func(h *Handed) error {
		if len(added) == 2 {
			return killed
		}
		added[h.Kernel.Name] = true
		return nil
	})
	if !errors.Is(err, killed) {
		t.Fatalf("error %v, want %v", err, killed)
	}
	if p, err = planApt(t, opt); err != nil {
		t.Fatal(err)
	}
	m.asked()
	sum, err := Fetch(t.Context(), p, FetchOptions{CacheDir: cacheDir, Skip: func(k *Kernel) bool { return added[k.Name] }},
		func(h *Handed) error { added[h.Kernel.Name] = true; return h.Discard() })
	if err != nil || sum.Skipped != 2 || sum.Kernels != 2 || len(added) != 4 {
		t.Fatalf("%+v, %v, %v", sum, added, err)
	}
	if asked := m.asked(); len(asked) != 1 || !strings.HasSuffix(asked[0], "linux-image-6.1.0-2-amd64_6.1.2-1_amd64.deb bytes=50000-") {
		t.Errorf("requests %q", asked)
	}
	if sum.Cached < 50_000+int64(maxMeta) {
		t.Errorf("%d bytes came from the cache", sum.Cached)
	}
	// What was there before and was not used now stays.
	if left := listing(t, cacheDir); len(left) != 2 {
		t.Errorf("the cache has %q", left)
	}
}

// Without a cache nothing is left behind.
func TestNoCache(t *testing.T) {
	key := pulltest.NewKey(t, "key")
	m := newMirror(t)
	pulltest.NewRepo(key, pulltest.NewKernel("6.1.0-1-amd64", "6.1.1-1").Whole()).Put(t, m, "debian")
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	p, err := planApt(t, aptOptions(m.URL+"/debian", ringFile(t, false, key)))
	if err != nil {
		t.Fatal(err)
	}
	none, err := source.ParseModules("none")
	if err != nil {
		t.Fatal(err)
	}
	builds, _ := fetchAll(t, p, FetchOptions{Modules: none})
	b := builds["debian/12/x86_64/6.1.0-1-amd64"]
	if b == nil || len(b.Modules) != 0 {
		t.Errorf("%v", builds)
	}
	if left := listing(t, temp); len(left) != 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A full disk is the end of all, not of one kernel.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	m := newMirror(t)
	pulltest.NewRepo(key, pulltest.NewKernel("6.1.0-1-amd64", "6.1.1-1").Whole(), pulltest.NewKernel("6.1.0-2-amd64", "6.1.2-1").Whole()).Put(t, m, "debian")
	p, err := planApt(t, aptOptions(m.URL+"/debian", ringFile(t, false, key)))
	if err != nil {
		t.Fatal(err)
	}
	// Every write to /dev/full fails as on a full disk.
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("this system has no /dev/full")
	}
	full, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	f := p.Kernels[0].Packages[0]
	sink := &partFile{f: full, sum: newSum(f.Digest), want: f.Digest, done: func(int64) {}, of: filepath.Join(t.TempDir(), "of")}
	err = p.client.get(t.Context(), &transfer{uri: f.url, size: f.Size, sink: sink})
	var write *errWrite
	if !errors.As(err, &write) || !strings.Contains(err.Error(), "no space left on device") {
		t.Errorf("error %v", err)
	}
}

// What is under way ends when the caller gives up, and says so by the caller's own error.
func TestFetchCancelled(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	m := newMirror(t)
	var packages []*pulltest.Deb
	for n := range 6 {
		packages = append(packages, pulltest.NewKernel(fmt.Sprintf("6.1.0-%d-amd64", n), fmt.Sprintf("6.1.%d-1", n)).Whole())
	}
	pulltest.NewRepo(key, packages...).Put(t, m, "debian")
	p, err := planApt(t, aptOptions(m.URL+"/debian", ringFile(t, false, key)))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range p.Kernels[1:] {
		m.always[strings.TrimPrefix(k.Packages[0].URI, m.URL)] = stall(1000)
	}
	cause := errors.New("the user gave up")
	ctx, cancel := context.WithCancelCause(t.Context())
	added := 0
	sum, err := Fetch(ctx, p, FetchOptions{CacheDir: t.TempDir(), Parallel: 3}, func(*Handed) error {
		added++
		cancel(cause)
		return nil
	})
	if !errors.Is(err, cause) || added != 1 || sum.Time > 10*time.Second {
		t.Errorf("error %v, %d kernels, %+v", err, added, sum)
	}
}

// A repository that asks who is there: what it is told is nowhere else to be seen.
func TestAptCredentials(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	m := newMirror(t)
	m.login = "sesame:open%sesame"
	pulltest.NewRepo(key, pulltest.NewKernel("6.1.0-1-amd64", "6.1.1-1").Whole()).Put(t, m, "debian")
	ring := ringFile(t, false, key)
	withLogin := strings.Replace(m.URL, "http://", "http://sesame:open%25sesame@", 1)
	conf := &AptConfig{logins: parseLogins([]byte("machine " + m.URL + "/debian login sesame password open%sesame"))}
	for name, opt := range map[string]AptOptions{
		"in the mirror's URI": aptOptions(withLogin+"/debian", ring),
		"in auth.conf": {Mirrors: []string{m.URL + "/debian"}, Suites: []string{"bookworm"}, Arch: "amd64", Keyrings: []string{ring}, Config: conf,
			Transport: quick(), Now: pulltest.Now},
		"in the source's URI": {Config: &AptConfig{Arch: "amd64", Sources: []AptSource{
			{From: "list:1", URI: withLogin + "/debian", Suite: "bookworm", Components: []string{"main"}, SignedBy: []string{ring}}}},
			Transport: quick(), Now: pulltest.Now},
	} {
		p, err := planApt(t, opt)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var seen strings.Builder
		builds, _ := fetchAll(t, p, FetchOptions{CacheDir: t.TempDir(), Progress: func(e Event) { fmt.Fprintf(&seen, "%+v %+v", e, *e.Kernel) }})
		b := builds["debian/12/x86_64/6.1.0-1-amd64"]
		if b == nil || !strings.HasPrefix(b.Sources[0].URI, m.URL+"/debian/pool/") {
			t.Errorf("%s: %+v", name, b)
			continue
		}
		fmt.Fprintf(&seen, "%+v", b.Kernel)
		if s := strings.ReplaceAll(seen.String(), "0x", ""); strings.Contains(s, "sesame") {
			t.Errorf("%s: the login is to be seen in %s", name, s)
		}
	}
	_, err := planApt(t, aptOptions(strings.Replace(withLogin, "open", "shut", 1)+"/debian", ring))
	var e *btfinfo.Error
	if !errors.As(err, &e) || strings.Contains(err.Error()+e.Hint, "sesame") || !strings.Contains(err.Error(), "401 Unauthorized") || !strings.Contains(e.Hint, "auth.conf") {
		t.Errorf("error %v", err)
	}
}

// Ubuntu's kernels are two or three packages, of which the one with modules has the configuration.
func TestUbuntu(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	const uname, version = "5.15.0-91-generic", "5.15.0-91.101"
	big := map[string][]byte{"x": pulltest.Noise(2 * maxMeta)}
	image := &pulltest.Deb{Name: "linux-image-" + uname, Version: version, Depends: "kmod, linux-modules-" + uname, Files: big}
	repo := pulltest.NewRepo(key, image,
		&pulltest.Deb{Name: "linux-image-unsigned-" + uname, Version: version, Depends: image.Depends, Files: big},
		&pulltest.Deb{Name: "linux-modules-" + uname, Version: version, Files: big},
		&pulltest.Deb{Name: "linux-modules-extra-" + uname, Version: version, Files: big},
		&pulltest.Deb{Name: "linux-image-5.15.0-1034-aws", Version: "5.15.0-1034.38", Depends: "kmod, linux-modules-5.15.0-1034-aws", Files: big},
		&pulltest.Deb{Name: "linux-image-generic", Version: "5.15.0.91.88", Depends: "linux-image-" + uname + ", linux-modules-extra-" + uname, Files: map[string][]byte{"x": nil}},
	)
	repo.Origin, repo.Version, repo.Codename, repo.Suite = "Ubuntu", "22.04", "jammy", "jammy"
	m := newMirror(t)
	repo.Put(t, m, "ubuntu")
	opt := aptOptions(m.URL+"/ubuntu", ringFile(t, false, key))
	opt.Suites = []string{"jammy"}
	aws := "ubuntu/22.04 linux-image-5.15.0-1034-aws 5.15.0-1034.38 -linux-modules-5.15.0-1034-aws"
	generic := "ubuntu/22.04 linux-image-" + uname + " " + version + " +linux-modules-" + uname
	p, err := planApt(t, opt)
	if err != nil || !slices.Equal(describe(p), []string{generic + " +linux-modules-extra-" + uname, aws}) {
		t.Errorf("%q, %v", describe(p), err)
	}
	opt.NoModules, opt.LatestPerSeries = true, true
	if p, err = planApt(t, opt); err != nil || !slices.Equal(describe(p), []string{generic, aws}) {
		t.Errorf("without modules: %q, %v", describe(p), err)
	}
}

// Suites that can't be read keep others out only where they were asked for by name.
func TestConfiguredSuites(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	m := newMirror(t)
	pulltest.NewRepo(key, pulltest.NewKernel("6.1.0-1-amd64", "6.1.1-1").Whole()).Put(t, m, "debian")
	trixie := pulltest.NewRepo(key, pulltest.NewKernel("6.12.1+deb13-amd64", "6.12.1-1").Whole())
	trixie.Suite, trixie.Codename, trixie.Version = "trixie", "trixie", "13.1"
	trixie.Put(t, m, "debian")
	security := pulltest.NewRepo(key, pulltest.NewKernel("6.1.0-2-amd64", "6.1.2-1").Whole())
	security.Suite, security.Codename, security.Version = "trixie-security", "trixie-security", "13"
	security.Put(t, m, "security")
	ring := ringFile(t, true, key)
	config := &AptConfig{Arch: "amd64", Sources: []AptSource{
		{From: "list:1", URI: m.URL + "/debian", Suite: "bookworm", Components: []string{"main"}, SignedBy: []string{ring}},
		{From: "list:2", URI: m.URL + "/debian", Suite: "bookworm-updates", Components: []string{"main"}, SignedBy: []string{ring}},
		{From: "list:3", URI: m.URL + "/security", Suite: "bookworm-security", Components: []string{"main"}, SignedBy: []string{ring}},
		{From: "list:4", URI: m.URL + "/debian", Suite: "bookworm", Components: []string{"main"}, Archs: []string{"arm64"}},
	}}
	plan := func(suites ...string) (*Plan, error) {
		return planApt(t, AptOptions{Config: config, Suites: suites, Transport: quick(), Now: pulltest.Now})
	}
	p, err := plan()
	if err != nil || len(p.Problems) != 2 || !slices.Equal(describe(p), []string{"debian/12 linux-image-6.1.0-1-amd64 6.1.1-1"}) {
		t.Errorf("all: %v, %v", p, err)
	}
	// One without the architecture says nothing where others have it, as long as nobody asked for it by name.
	security.EditRelease = func(text []byte) []byte {
		return bytes.Replace(text, []byte("Architectures: amd64 "), []byte("Architectures: "), 1)
	}
	security.Suite, security.Codename, security.Version = "bookworm-security", "bookworm-security", "12"
	security.Put(t, m, "security")
	if p, err = plan(); err != nil || len(p.Problems) != 1 || len(p.Kernels) != 1 {
		t.Errorf("an architecture that one suite lacks: %v, %v", p, err)
	}
	if _, err = plan("bookworm", "bookworm-security"); err == nil || !strings.Contains(err.Error(), `the suite has no architecture "amd64"`) {
		t.Errorf("error %v", err)
	}
	// A suite that the configuration lacks is asked of the repository that would have it.
	if p, err = plan("trixie", "trixie-security"); err != nil || !slices.Equal(describe(p), []string{
		"debian/13 linux-image-6.1.0-2-amd64 6.1.2-1", "debian/13 linux-image-6.12.1+deb13-amd64 6.12.1-1"}) {
		t.Errorf("trixie: %v, %v", p, err)
	}
	if _, err = plan("bookworm", "bookworm-updates"); err == nil || !strings.Contains(err.Error(), `no suite "bookworm-updates" there`) {
		t.Errorf("error %v", err)
	}
	// A list of mirrors in a file, the first of which is taken; and sources for another architecture, where there are no others.
	mirrors := filepath.Join(t.TempDir(), "mirrors")
	if err := os.WriteFile(mirrors, []byte("# mirrors\n"+m.URL+"/debian\tpriority:1\nhttp://other.invalid/\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	config = &AptConfig{Arch: "amd64", Sources: []AptSource{
		{From: "list:1", URI: "mirror+file://" + mirrors, Suite: "bookworm", Components: []string{"main"}, SignedBy: []string{ring}, Archs: []string{"arm64"}},
	}}
	if p, err = plan(); err != nil || len(p.Kernels) != 1 {
		t.Errorf("mirrors: %v, %v", p, err)
	}
	if _, err = plan("sid"); err == nil {
		t.Error("no error for a suite that is not there")
	}
}
