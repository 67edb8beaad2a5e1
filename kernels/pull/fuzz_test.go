package pull

import (
	"bytes"
	"errors"
	"net/url"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// known holds an error of a parser against the rule: it is a *btfinfo.Error, and no value comes with it.
func known(t *testing.T, err error, value bool) {
	t.Helper()
	var e *btfinfo.Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("error %v of type %T", err, err)
	}
	if (err == nil) != value {
		t.Errorf("error %v, and a value: %v", err, value)
	}
}

func FuzzRelease(f *testing.F) {
	f.Add([]byte("Origin: Debian\nSuite: oldstable\nCodename: bookworm\nVersion: 12.15\nDate: Sat, 11 Jul 2026 10:16:37 UTC\nAcquire-By-Hash: yes\n" +
		"Components: main contrib\nArchitectures: amd64\nMD5Sum:\n 0 0 x\nSHA256:\n " + strings.Repeat("a", 64) + " 12 main/binary-amd64/Packages.xz\n"))
	f.Add([]byte("SHA512:\n " + strings.Repeat("0", 128) + " 9223372036854775807 ../x\nValid-Until: Sat, 11 Jul 2026 10:16:37 +0200\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := parseRelease("Release", data)
		known(t, err, r != nil)
		if r == nil {
			return
		}
		for name, e := range r.files {
			if e.size < 0 || name == "" || (len(e.digest.Hex) != 64 && len(e.digest.Hex) != 128) {
				t.Errorf("%q: %+v", name, e)
			}
		}
		for _, part := range []string{r.distro(), r.releaseOf("6.1.176-1", "6.1.0-50-amd64")} {
			if strings.ContainsAny(part, "/ \n\x00") || part == ".." {
				t.Errorf("%q as a part of an ID", part)
			}
		}
		err = r.check("bookworm", pulltest.Now, false)
		known(t, err, err == nil)
	})
}

func FuzzPackages(f *testing.F) {
	sum := strings.Repeat("a", 64)
	f.Add([]byte("Package: linux-image-6.1.0-50-amd64\nVersion: 6.1.176-1\nArchitecture: amd64\nDepends: kmod, x (= 1) | y\nDescription: x\n y\n .\n z\n" +
		"Filename: pool/main/l/linux/x.deb\nSize: 100000\nSHA256: " + sum + "\n\nPackage: linux-modules-6.1.0-50-amd64\nVersion: 6.1.176-1\nFilename: ./x\nSize: 1\nSHA256: " + sum + "\n"))
	f.Add([]byte("Package: linux-image-amd64\nVersion: 1\nDepends: linux-image-amd64, linux-image-6.1.0-50-amd64\nFilename: ../x\nSize: 10\nSHA256: " + sum + "\n"))
	a := &apt{match: imageGlobs, opt: AptOptions{Arch: "amd64"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		packages, err := a.readPackages(t.Context(), "Packages", bytes.NewReader(data))
		known(t, err, err == nil)
		b, _ := parseBase("http://host/debian")
		for _, p := range packages {
			if p.url, err = b.join(p.filename); err != nil || !strings.HasPrefix(public(p.url), "http://host/debian/") {
				t.Errorf("%q: %v, %v", p.filename, p.url, err)
			}
			if p.size <= 0 || p.digest.Hex == "" || p.version == "" {
				t.Errorf("%+v", p)
			}
			p.release = &release{origin: "Debian", version: "12"}
		}
		for _, k := range a.kernels(packages) {
			if len(k.Packages) == 0 || !a.match.match(k.Name) && !strings.HasPrefix(k.Name, "linux-") {
				t.Errorf("%+v", k)
			}
		}
	})
}

func FuzzSourcesList(f *testing.F) {
	f.Add([]byte("deb [arch=amd64 signed-by=/x] http://host/debian bookworm main # x\ndeb-src x y z\ndeb file:/x ./\n"))
	f.Add([]byte("Types: deb\nURIs: http://a http://b\nSuites: x y\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n x\n\n# x\nTypes: deb\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		for name, parse := range map[string]func(string, []byte) ([]AptSource, error){"list": parseSourcesList, "sources": parseSources} {
			sources, err := parse("x", data)
			known(t, err, err == nil)
			if err != nil && sources != nil {
				t.Errorf("%s: sources and error %v", name, err)
			}
			for _, s := range sources {
				if s.URI == "" || s.Suite == "" || (len(s.Components) == 0) != strings.HasSuffix(s.Suite, "/") {
					t.Errorf("%s: %+v", name, s)
				}
				// An error about a URI must not tell a password.
				if b, err := parseBase(s.URI); err == nil && strings.Contains(public(&b.url), "@") && !strings.Contains(b.url.Path, "@") && !strings.Contains(b.url.Host, "@") {
					t.Errorf("%s: %q is shown as %q", name, s.URI, public(&b.url))
				}
			}
		}
		for _, l := range parseLogins(data) {
			if strings.ContainsAny(l.user+l.password, " \n") {
				t.Errorf("login %+v", l)
			}
		}
	})
}

func FuzzRepomd(f *testing.F) {
	f.Add([]byte(`<repomd xmlns="http://linux.duke.edu/metadata/repo"><data type="primary"><checksum type="sha256">` + strings.Repeat("a", 64) +
		`</checksum><location href="repodata/primary.xml.gz"/><size>1</size><open-size>2</open-size></data></repomd>`))
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := parseRepomd("repomd.xml", data)
		known(t, err, d != nil)
		if d != nil && d.Type != "primary" {
			t.Errorf("%+v", d)
		}
	})
}

func FuzzPrimary(f *testing.F) {
	f.Add([]byte(`<metadata packages="1"><package type="rpm"><name>kernel-core</name><arch>x86_64</arch><version epoch="0" ver="6.8.5" rel="301.fc40"/><checksum type="sha256">` +
		strings.Repeat("a", 64) + `</checksum><size package="10" installed="99999999"/><location href="x.rpm"/></package></metadata>`))
	f.Add([]byte(`<metadata><package><name>kernel</name><arch>x86_64</arch><version ver="~^1" rel="^~"/><location xml:base="x" href="../y"/></package></metadata>`))
	r := &rpm{match: rpmImages, opt: RPMOptions{Arch: "x86_64"}}
	f.Fuzz(func(t *testing.T, data []byte) {
		packages, err := readPrimary("primary.xml", bytes.NewReader(data), r.wanted)
		known(t, err, err == nil)
		b, _ := parseBase("http://host/repo")
		var good []*rpmPackage
		for _, p := range packages {
			if err := p.locate(b); err == nil {
				good = append(good, p)
				if !strings.HasPrefix(p.file.URI, "http://host/repo/") || p.file.Digest.Hex == "" || p.file.Size <= 0 {
					t.Errorf("%+v", p.file)
				}
			}
		}
		for _, k := range r.kernels(good) {
			if len(k.Packages) == 0 {
				t.Errorf("%+v", k)
			}
		}
	})
}

// FuzzVersions holds the comparisons against what an order is: the same both ways round.
func FuzzVersions(f *testing.F) {
	f.Add("1:6.1.176-1~deb11u1", "6.1.176-1+b1")
	f.Add("1.0^20160101", "1.0~rc1")
	f.Fuzz(func(t *testing.T, a, b string) {
		for name, compare := range map[string]func(a, b string) int{"Debian": CompareDebian, "rpm": compareRPMPart} {
			if compare(a, a) != 0 || compare(b, b) != 0 {
				t.Errorf("%s: %q or %q is not the same as itself", name, a, b)
			}
			if x, y := compare(a, b), compare(b, a); x != -y {
				t.Errorf("%s: compare(%q, %q) = %d, the other way round %d", name, a, b, x, y)
			}
		}
	})
}

func FuzzListing(f *testing.F) {
	f.Add(`<a href="8/">8/</a><a href='x.btf.tar.xz'><a href=../ ><A HREF="/hub/y/">`)
	u, _ := url.Parse("http://host/hub/")
	f.Fuzz(func(t *testing.T, page string) {
		for _, name := range links(u, page) {
			if clean, err := insidePath(name); err != nil || clean != strings.TrimSuffix(name, "/") || strings.Contains(clean, "/") {
				t.Errorf("a link to %q: %q, %v", name, clean, err)
			}
		}
	})
}

func FuzzSigned(f *testing.F) {
	key := pulltest.NewKey(f, "key")
	rings := []keyring{{name: "keys", keys: nil}}
	var err error
	if rings[0], err = parseKeyring("keys", pulltest.PublicKey(f, false, key)); err != nil {
		f.Fatal(err)
	}
	text := []byte("Origin: Debian\n- dashes\n")
	good := pulltest.ClearSign(f, text, key)
	f.Add(good)
	f.Add(pulltest.PublicKey(f, true, key))
	f.Add(pulltest.PublicKey(f, false, key))
	f.Add(pulltest.Detached(f, text, key))
	f.Fuzz(func(t *testing.T, data []byte) {
		plain, err := signed("InRelease", data, rings, pulltest.Now)
		known(t, err, plain != nil)
		// Line ends and blanks at the ends of lines are not part of what is signed (RFC 9580, 7.2).
		if err == nil && strings.TrimRight(string(plain), "\r\n \t") != strings.TrimRight(string(text), "\n") {
			t.Errorf("a signature on %q", plain)
		}
		known(t, signedBy("x", data, data, rings, pulltest.Now), false)
		k, err := parseKeyring("x", data)
		known(t, err, len(k.keys) > 0)
	})
}
