package pull

import (
	"archive/tar"
	"bytes"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// hubFile is a file of BTFHub: raw BTF in a compressed tar archive.
func hubFile(t testing.TB, uname string, pointer uint32) []byte {
	t.Helper()
	b := btfbuild.New()
	b.Kernelish(pointer)
	raw := b.Bytes(btfbuild.Orders()["little"])
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	if err := w.WriteHeader(&tar.Header{Name: "./" + uname + ".btf", Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(raw))}); err != nil {
		t.Fatal(err)
	}
	w.Write(raw)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return pulltest.Pack(".xz", out.Bytes())
}

var hubPaths = []string{
	"android/common-android12-5.10/a12-5.10-2021-09-arm64.btf.tar.xz",
	"centos/8/arm64/4.18.0-147.5.1.el8_1.aarch64.btf.tar.xz",
	"centos/8/x86_64/4.18.0-147.el8.x86_64.btf.tar.xz",
	"ubuntu/20.04/x86_64/5.4.0-91-generic.btf.tar.xz",
}

var hubIDs = []string{
	"android/common-android12-5.10/arm64/a12-5.10-2021-09-arm64",
	"centos/8/arm64/4.18.0-147.5.1.el8_1.aarch64",
	"centos/8/x86_64/4.18.0-147.el8.x86_64",
	"ubuntu/20.04/x86_64/5.4.0-91-generic",
}

// newHub is a server of a folder in BTFHub's layout, which lists folders as Go's file server does.
func newHub(t *testing.T) (m *mirror, dir string) {
	t.Helper()
	dir = t.TempDir()
	m = newMirror(t)
	for _, name := range hubPaths {
		data := hubFile(t, strings.TrimSuffix(filepath.Base(name), ".btf.tar.xz"), 8)
		write(t, filepath.Join(dir, name), data)
		m.Put("/hub/"+name, data)
	}
	write(t, filepath.Join(dir, "README.md"), []byte("# hub"))
	write(t, filepath.Join(dir, ".git/x/x86_64/y.btf"), []byte("x"))
	files := http.StripPrefix("/hub", http.FileServer(http.Dir(dir)))
	for _, d := range []string{"/", "/android/", "/android/common-android12-5.10/", "/centos/", "/centos/8/", "/centos/8/arm64/", "/centos/8/x86_64/",
		"/ubuntu/", "/ubuntu/20.04/", "/ubuntu/20.04/x86_64/", "/.git/", "/.git/x/", "/.git/x/x86_64/"} {
		m.always["/hub"+d] = func(_ *mirror, w http.ResponseWriter, r *http.Request, _ []byte) { files.ServeHTTP(w, r) }
	}
	return m, dir
}

func TestBTFHub(t *testing.T) {
	t.Parallel()
	m, dir := newHub(t)
	list := "# paths\n\n./" + strings.Join(hubPaths, "\n./") + "\nREADME.md\n"
	m.Put("/list.txt", []byte(list))
	listFile := filepath.Join(t.TempDir(), "list.txt")
	write(t, listFile, []byte(list))
	for _, tc := range []struct {
		name string
		opt  BTFHubOptions
		want []string
	}{
		{"listings", BTFHubOptions{From: m.URL + "/hub"}, hubIDs},
		{"a folder", BTFHubOptions{From: dir}, hubIDs},
		{"a list on a server", BTFHubOptions{From: m.URL + "/hub/", List: m.URL + "/list.txt"}, hubIDs},
		{"a list in a file", BTFHubOptions{From: m.URL + "/hub", List: listFile}, hubIDs},
		{"arch", BTFHubOptions{From: m.URL + "/hub", Arch: "amd64"}, hubIDs[2:]},
		{"match", BTFHubOptions{From: dir, Match: []string{"centos/*", "*2021-09-arm64"}}, hubIDs[:3]},
		{"arch and match", BTFHubOptions{From: dir, Arch: "aarch64", Match: []string{"centos/*"}}, hubIDs[1:2]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.opt.Transport = quick()
			src, err := NewBTFHub(tc.opt)
			if err != nil {
				t.Fatal(err)
			}
			p, err := src.Plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, k := range p.Kernels {
				ids = append(ids, k.ID)
			}
			if !slices.Equal(ids, tc.want) || (p.Unsigned == "") != (tc.opt.From == dir) {
				t.Fatalf("kernels %q, want %q", ids, tc.want)
			}
			cacheDir := t.TempDir()
			builds, sum := fetchAll(t, p, FetchOptions{CacheDir: cacheDir, Progress: func(e Event) {
				if e.AllDone > e.AllTotal {
					t.Errorf("%d of %d bytes done", e.AllDone, e.AllTotal)
				}
			}})
			if len(sum.Failures) != 0 || sum.Kernels != len(tc.want) {
				t.Fatalf("%+v", sum)
			}
			for i, id := range tc.want {
				b := builds[id]
				if b == nil || b.BTF == nil || len(b.Sources) != 1 || len(b.Sources[0].SHA256) != 64 || !strings.Contains(b.Sources[0].URI, "/"+hubPaths[slices.Index(hubIDs, id)]) {
					t.Errorf("kernel %d, %s: %+v", i, id, b)
				}
			}
			if left := listing(t, cacheDir); len(left) != 0 {
				t.Errorf("the cache has %q", left)
			}
			for _, name := range hubPaths {
				if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
					t.Errorf("a file of the folder is gone: %v", err)
				}
			}
		})
	}
}

// The network and the folder give the same IDs.
func TestBTFHubIsAFolder(t *testing.T) {
	t.Parallel()
	_, dir := newHub(t)
	found, err := kernels.FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, k := range found {
		ids = append(ids, k.ID)
	}
	slices.Sort(ids)
	if !slices.Equal(ids, hubIDs) {
		t.Errorf("kernels %q, want %q", ids, hubIDs)
	}
}

// What servers of folders send.
func TestListings(t *testing.T) {
	t.Parallel()
	u, _ := url.Parse("http://host/hub/centos/")
	for name, tc := range map[string]struct {
		page string
		want []string
	}{
		"Apache": {`<tr><th><a href="?C=N;O=D">Name</a></th></tr><tr><td><a href="/hub/">Parent Directory</a></td></tr>
<tr><td><a href="7/">7/</a></td></tr><tr><td><a href="a%2bb.btf.tar.xz">a+b</a></td></tr>`, []string{"7/", "a+b.btf.tar.xz"}},
		"nginx":    {`<h1>Index of /hub/centos/</h1><hr><pre><a href="../">../</a>` + "\n" + `<a href="8/">8/</a>   01-Jan-2024  -`, []string{"8/"}},
		"Python":   {`<li><a href="8/">8/</a></li><li><a href=".git/">.git/</a></li>`, []string{"8/"}},
		"caddy":    {`<a href="./8/">x</a><A class="f" HREF='/hub/centos/9/'>y</A><a href=10/>`, []string{"8/", "9/", "10/"}},
		"twice":    {`<a href="8/"><img></a><a href="8/">8</a>`, []string{"8/"}},
		"entities": {`<a href="a&amp;b/">`, []string{"a&b/"}},
		"lies": {`<a href="../../etc/"><a href="//evil/hub/centos/x/"><a href="https://host/hub/centos/x/"><a href="javascript:x"><a href="8/../../x/">
<a href="%2e%2e/"><a href="%2Fetc/"><a href="x%00/"><a href="a/b/"><a href=""><a href="."><a href="#x"><a href="y?z"><a href="mailto:a@b"><a href="%zz">`, nil},
	} {
		if got := links(u, tc.page); !slices.Equal(got, tc.want) {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestLyingHub(t *testing.T) {
	t.Parallel()
	page := func(s string) fault {
		return func(_ *mirror, w http.ResponseWriter, _ *http.Request, _ []byte) { fmt.Fprint(w, s) }
	}
	for _, tc := range []struct {
		name string
		edit func(*mirror, *BTFHubOptions)
		err  string
	}{
		{"no listing", func(m *mirror, _ *BTFHubOptions) { m.always["/hub/"] = page("<html>welcome</html>") }, "the server lists no files there"},
		{"no folder", func(m *mirror, _ *BTFHubOptions) { m.always["/hub/"] = status(404) }, "the server answers 404"},
		{"a listing that never ends", func(m *mirror, o *BTFHubOptions) {
			var b strings.Builder
			for i := range maxHubFolders + 1 {
				fmt.Fprintf(&b, "<a href=\"%d/\">", i)
			}
			m.always["/hub/"] = page(b.String())
			for i := range maxHubFolders + 1 {
				m.always[fmt.Sprintf("/hub/%d/", i)] = page("")
			}
		}, "more than 5000 folders"},
		{"a list that leads out", func(m *mirror, o *BTFHubOptions) {
			o.List = m.URL + "/list"
			m.Put("/list", []byte("../../etc/x86_64/a.btf\n"))
		}, "leads out of the repository"},
		{"an architecture that is none", func(m *mirror, o *BTFHubOptions) { o.Arch = "vax" }, `there is no architecture "vax"`},
		{"an empty folder", func(m *mirror, o *BTFHubOptions) { o.From = t.TempDir() }, "there is no file in it"},
		{"no place", func(m *mirror, o *BTFHubOptions) { o.From = "" }, "no place was named"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := newMirror(t)
			opt := BTFHubOptions{From: m.URL + "/hub", Transport: quick()}
			tc.edit(m, &opt)
			src, err := NewBTFHub(opt)
			if err == nil {
				_, err = src.Plan(t.Context())
			}
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Errorf("error %v, want %q", err, tc.err)
			}
		})
	}
}

// A file that is none fails by itself.
func TestHubFailure(t *testing.T) {
	t.Parallel()
	m, _ := newHub(t)
	m.Put("/hub/"+hubPaths[0], []byte("no tar"))
	m.always["/hub/"+hubPaths[1]] = status(404)
	src, err := NewBTFHub(BTFHubOptions{From: m.URL + "/hub", Transport: quick()})
	if err != nil {
		t.Fatal(err)
	}
	p, err := src.Plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	builds, sum := fetchAll(t, p, FetchOptions{CacheDir: t.TempDir(), Parallel: 1})
	if len(builds) != 2 || len(sum.Failures) != 2 || sum.Failures[0].Kernel.ID != hubIDs[0] || sum.Failures[1].Kernel.ID != hubIDs[1] {
		t.Errorf("%v, %+v", builds, sum)
	}
	if err := sum.Failures[0].Err.Error(); !strings.HasPrefix(err, m.URL+"/hub/"+hubPaths[0]+": ") {
		t.Errorf("error %s: it does not begin with the file's place", err)
	}
}
