package pull

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

func TestSourcesList(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]AptSource{
		"": nil, "# deb http://host/debian bookworm main\n\n  \n": nil, "deb-src http://host/debian bookworm main\n": nil,
		"deb http://host/debian bookworm main contrib # both\n": {
			{From: "l:1", URI: "http://host/debian", Suite: "bookworm", Components: []string{"main", "contrib"}}},
		"\ndeb [arch=amd64,arm64 signed-by=/k.gpg,ABCD] http://host/debian sid main\r\n": {
			{From: "l:2", URI: "http://host/debian", Suite: "sid", Components: []string{"main"}, Archs: []string{"amd64", "arm64"}, SignedBy: []string{"/k.gpg", "ABCD"}}},
		"deb [ trusted=yes check-valid-until=no lang=none ] file:/srv/x ./\n": {
			{From: "l:1", URI: "file:/srv/x", Suite: "./", Components: []string{}, Trusted: true, IgnoreValidUntil: true}},
		"deb\thttp://host/a  b/c\tmain\n": {{From: "l:1", URI: "http://host/a", Suite: "b/c", Components: []string{"main"}}},
	} {
		got, err := parseSourcesList("l", []byte(text))
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q gives %+v, %v, want %+v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"rpm http://host/x y main":          `line 1: type "rpm"`,
		"\n\ndeb http://host/x":             "line 3: it has no URI and suite",
		"deb [arch=amd64 http://host/x y z": "the options have no end",
		"deb [arch] http://host/x y z":      `option "arch" without a value`,
		"deb http://host/x y":               `suite "y" has no component`,
		"deb http://host/x ./ main":         `suite "./" ends with a slash and has components`,
	} {
		if got, err := parseSourcesList("l", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %+v, %v, want %q", text, got, err, want)
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	text := `# a comment
Types: deb deb-src
URIs: http://host/debian
 http://other/debian
# another one
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/x.gpg

Types: deb-src
URIs: http://host/debian
Suites: sid
Components: main


Enabled: no
Types: deb
URIs: http://host/debian
Suites: sid
Components: main

Types: deb
URIs: https://host/flat
Suites: ./
Trusted: yes
Check-Valid-Until: no
Architectures: arm64 s390x
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc
 -----END PGP PUBLIC KEY BLOCK-----
`
	var want []AptSource
	for _, uri := range []string{"http://host/debian", "http://other/debian"} {
		for _, suite := range []string{"bookworm", "bookworm-updates"} {
			want = append(want, AptSource{From: "s:2", URI: uri, Suite: suite, Components: []string{"main", "contrib"}, SignedBy: []string{"/usr/share/keyrings/x.gpg"}})
		}
	}
	want = append(want, AptSource{From: "s:22", URI: "https://host/flat", Suite: "./", Components: []string{}, Trusted: true, IgnoreValidUntil: true,
		Archs: []string{"arm64", "s390x"}, SignedBy: []string{"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n"}})
	got, err := parseSources("s", []byte(text))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v, %v, want\n%+v", got, err, want)
	}
	for text, want := range map[string]string{
		"Types: deb\nURIs: x\nComponents: main\n": "a source without URIs or Suites",
		"Types: deb\nURIs: x\nSuites: sid\n":      `suite "sid" has no component`,
		"Types deb\n":                             `"Types deb" is no "Field: value"`,
		"Types: deb\ntypes: deb\n":                "is there twice",
		"Types: deb\nURIs:" + strings.Repeat(" x", 200) + "\nSuites:" + strings.Repeat(" y", 200) + "\nComponents: main\n": "200 URIs and 200 suites",
	} {
		if got, err := parseSources("s", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q gives %+v, %v, want %q", shorten(text), got, err, want)
		}
	}
}

// The whole configuration of a machine, in a folder.
func TestAptConfig(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, text := range map[string]string{
		"etc/apt/sources.list":                     "deb http://a/debian bookworm main\n",
		"etc/apt/sources.list.d/b.list":            "deb http://b/debian bookworm main\n",
		"etc/apt/sources.list.d/c.sources":         "Types: deb\nURIs: http://c/debian\nSuites: bookworm\nComponents: main\n",
		"etc/apt/sources.list.d/d.list.disabled":   "nonsense",
		"etc/apt/sources.list.d/e f.list":          "nonsense",
		"etc/apt/sources.list.d/.g.list":           "nonsense",
		"etc/apt/auth.conf":                        "machine b login bee password honey\n",
		"etc/apt/auth.conf.d/x.conf":               "# a comment\nmachine http://c:8080/debian\nlogin sea\n password salt machine d/x login dee password deep",
		"etc/apt/auth.conf.d/ignored":              "machine e login eee password e",
		"etc/apt/trusted.gpg.d/placeholder/readme": "",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	dump := `APT::Architecture=arm64
Dir=` + root + `
Dir::Etc=etc/apt
Dir::Etc::sourcelist=sources.list
Dir::Etc::sourceparts=sources.list.d
Dir::Etc::netrc=auth.conf
Dir::Etc::netrcparts=auth.conf.d
Dir::Etc::trusted=trusted.gpg
Dir::Etc::trustedparts=` + root + `/etc/apt/trusted.gpg.d
Acquire::Check-Valid-Until=false
Acquire::http::Proxy=http://me:secret@proxy:3128
Acquire::http::Proxy::b=DIRECT
Acquire::https::Proxy::d=socks5h://tor:9050
Acquire::https::Proxy-Auto-Detect=` + root + `/detect
`
	c, err := readAptConfig(parseAptDump([]byte(dump)))
	if err != nil {
		t.Fatal(err)
	}
	var uris []string
	for _, s := range c.Sources {
		uris = append(uris, s.URI)
	}
	if !slices.Equal(uris, []string{"http://a/debian", "http://b/debian", "http://c/debian"}) || c.Arch != "arm64" || !c.IgnoreValidUntil {
		t.Errorf("%+v", c)
	}
	if want := []string{root + "/etc/apt/trusted.gpg", root + "/etc/apt/trusted.gpg.d"}; !slices.Equal(c.Keyrings, want) {
		t.Errorf("keyrings %q, want %q", c.Keyrings, want)
	}
	for uri, want := range map[string]string{
		"https://b/debian/x": "bee honey", "http://b/debian/x": "", "http://c:8080/debian/x": "sea salt", "http://c:8080/other": "",
		"https://c:8080/debian": "", "http://c/debian": "", "https://d/x/y": "dee deep", "https://d/y": "", "https://e/": "", "https://sub.b/": "",
	} {
		u, _ := url.Parse(uri)
		user, password, _ := c.auth(u)
		if got := strings.TrimSpace(user + " " + password); got != want {
			t.Errorf("%s: login %q, want %q", uri, got, want)
		}
	}
	if err := os.WriteFile(root+"/detect", []byte("#!/bin/sh\n[ \"$1\" != https://found ] || echo http://detected:1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for uri, want := range map[string]string{
		"http://a/x": "http://me:secret@proxy:3128", "http://b/x": "<nil>", "https://d/x": "socks5h://tor:9050",
		"https://found/x": "http://detected:1", "https://a/x": "http://me:secret@proxy:3128",
	} {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, uri, nil)
		u, err := c.proxy(req)
		got := "<nil>"
		if u != nil {
			got = u.String()
		}
		if err != nil || got != want {
			t.Errorf("%s: proxy %s, %v, want %s", uri, got, err, want)
		}
	}
	if names, err := aptParts("/dev/null", ".list"); err != nil || names != nil {
		t.Errorf("/dev/null as a folder of parts: %q, %v", names, err)
	}
	if _, err := parseProxy("http://me:se cret@"); err == nil || strings.Contains(err.Error(), "cret") {
		t.Errorf("error %v", err)
	}
}

// apt's own proxy is taken for what is pulled.
func TestAptProxy(t *testing.T) {
	t.Parallel()
	key := pulltest.NewKey(t, "key")
	m := newMirror(t)
	pulltest.NewRepo(key, pulltest.NewKernel("6.1.0-1-amd64", "6.1.1-1").Whole()).Put(t, m, "debian")
	// The mirror as a proxy: requests name the host that is asked, which nobody could resolve.
	opt := aptOptions("http://mirror.invalid/debian", ringFile(t, false, key))
	opt.Config = &AptConfig{settings: map[string]string{"acquire::http::proxy": m.URL}}
	p, err := planApt(t, opt)
	if err != nil {
		t.Fatal(err)
	}
	builds, _ := fetchAll(t, p, FetchOptions{})
	b := builds["debian/12/x86_64/6.1.0-1-amd64"]
	if b == nil || b.Sources[0].URI != "http://mirror.invalid/debian/pool/main/l/linux/linux-image-6.1.0-1-amd64_6.1.1-1_amd64.deb" {
		t.Errorf("%v", builds)
	}
}

// What this machine's apt says can be read.
func TestSystemApt(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("apt-config"); err != nil {
		t.Skip("this machine has no apt")
	}
	c, err := SystemApt(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if c.Arch == "" || len(c.Keyrings) != 2 || !filepath.IsAbs(c.Keyrings[0]) {
		t.Errorf("%+v", c)
	}
}

// Keys by file, by fingerprint and in the source itself.
func TestSignedBy(t *testing.T) {
	t.Parallel()
	key, other := pulltest.NewKey(t, "key"), pulltest.NewKey(t, "other")
	both, onlyOther := ringFile(t, true, other, key), ringFile(t, false, other)
	fingerprint := func(e *openpgp.Entity) string { return fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) }
	broken := filepath.Join(t.TempDir(), "trusted.gpg")
	if err := os.WriteFile(broken, []byte("\x00\x00\x00\x20\x01\x01\x00\x02KBXf"), 0o644); err != nil {
		t.Fatal(err)
	}
	config := &AptConfig{Keyrings: []string{broken, both, "/nonexistent"}}
	text := pulltest.ClearSign(t, []byte("Origin: x\n"), key)
	for _, tc := range []struct {
		by  []string
		err string
	}{
		{nil, ""},
		{[]string{both}, ""},
		{[]string{onlyOther}, "which the keyring does not have"},
		{[]string{onlyOther, both}, ""},
		{[]string{fingerprint(key)}, ""},
		{[]string{strings.ToLower(fingerprint(key)) + "!"}, ""},
		{[]string{fmt.Sprintf("%X", key.Subkeys[0].PublicKey.Fingerprint)}, ""},
		{[]string{fingerprint(other)}, "which the keyring does not have"},
		{[]string{strings.Repeat("0", 40)}, "there is no keyring to check its signature by key " + fingerprint(key)},
		{[]string{string(pulltest.PublicKey(t, true, key))}, ""},
		{[]string{string(pulltest.PublicKey(t, true, other))}, "which the keyring does not have"},
		{[]string{"/nonexistent"}, "no such file"},
	} {
		rings, err := config.rings(&AptSource{SignedBy: tc.by})
		if err == nil {
			_, err = signed("InRelease", text, rings, pulltest.Now)
		}
		if (tc.err == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), tc.err)) {
			t.Errorf("Signed-By %q: error %v, want %q", tc.by, err, tc.err)
		}
	}
	config.Keyrings = []string{broken}
	rings, err := config.rings(&AptSource{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := signed("InRelease", text, rings, pulltest.Now); err == nil || !strings.Contains(err.Error(), "trusted.gpg, which can't be read") {
		t.Errorf("error %v", err)
	}
	// A key that is not valid yet, or not any more.
	if _, err := signed("InRelease", text, []keyring{{name: "k", keys: openpgp.EntityList{key}}}, pulltest.Now.AddDate(-2, 0, 0)); err == nil {
		t.Error("a signature from the future is taken")
	}
}
