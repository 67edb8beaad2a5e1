package images

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/pull"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
	"github.com/corecheck/corecheck/kernels/source"
)

// server serves files from memory.
type server struct {
	*httptest.Server
	mu    sync.Mutex
	files map[string][]byte
	asked []string
}

func newServer(t testing.TB) *server {
	t.Helper()
	s := &server{files: map[string][]byte{}}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.mu.Lock()
		content, ok := s.files[r.URL.Path]
		s.asked = append(s.asked, r.URL.Path)
		s.mu.Unlock()
		if !ok {
			http.NotFound(w, r)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) Put(path string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = content
}

// requests are those for packages since the last call.
func (s *server) requests(suffix string) (paths []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.asked {
		if strings.HasSuffix(p, suffix) {
			paths = append(paths, p)
		}
	}
	s.asked = nil
	return paths
}

// world is a repository, with a machine that has it in its apt's configuration.
type world struct {
	*server
	key    *openpgp.Entity
	config *pull.AptConfig
	cache  string
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{server: newServer(t), key: pulltest.NewKey(t, "key"), cache: filepath.Join(t.TempDir(), "cache")}
	ring := filepath.Join(t.TempDir(), "keys.gpg")
	write(t, ring, pulltest.PublicKey(t, false, w.key))
	w.config = &pull.AptConfig{Arch: "amd64", Sources: []pull.AptSource{
		{From: "list:1", URI: w.URL + "/debian", Suite: "bookworm", Components: []string{"main"}, SignedBy: []string{ring}},
		{From: "list:2", URI: w.URL + "/security", Suite: "bookworm-security", Components: []string{"main"}, SignedBy: []string{ring}},
	}}
	return w
}

// suite puts packages into a suite of the repository.
func (w *world) suite(t testing.TB, name, version string, debs ...*pulltest.Deb) {
	t.Helper()
	r := pulltest.NewRepo(w.key, debs...)
	r.Suite, r.Codename, r.Version = name, name, version
	root := "debian"
	if strings.HasSuffix(name, "-security") {
		root = "security"
	}
	r.Put(t, w, root)
}

func (w *world) options() Options {
	return Options{CacheDir: w.cache, Apt: pull.AptOptions{Config: w.config, Now: pulltest.Now,
		Transport: pull.Transport{Stall: 5 * time.Second, Retries: -1, Backoff: time.Millisecond}}}
}

func (w *world) finder(t testing.TB, edit func(*Options)) *Finder {
	t.Helper()
	opt := w.options()
	if edit != nil {
		edit(&opt)
	}
	f, err := New(opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func write(t testing.TB, name string, data []byte) string {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// fileName is what a repository calls a package's file.
func fileName(d *pulltest.Deb) string { return d.Name + "_" + d.Version + "_amd64.deb" }

// save writes packages into a folder.
func save(t testing.TB, dir string, debs ...*pulltest.Deb) (paths []string) {
	t.Helper()
	for _, d := range debs {
		paths = append(paths, write(t, filepath.Join(dir, fileName(d)), d.Build()))
	}
	return paths
}

// archived is the kernel of packages, as an archive has it.
func archived(t testing.TB, release string, debs ...*pulltest.Deb) *kernels.Kernel {
	t.Helper()
	return inArchive(t, release, func(*archive.Build) {}, debs...)
}

func inArchive(t testing.TB, release string, edit func(*archive.Build), debs ...*pulltest.Deb) *kernels.Kernel {
	t.Helper()
	none, err := source.ParseModules("none")
	if err != nil {
		t.Fatal(err)
	}
	w := archive.NewWriter()
	err = source.Read(t.Context(), save(t, t.TempDir(), debs...), &source.Options{Distro: "debian", Release: release, Modules: none}, func(b *archive.Build) error {
		edit(b)
		_, err := w.Add(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "k.ccar")
	if err := archive.Update(path, archive.UpdateOptions{}, func(u *archive.Writer) error {
		return source.Read(t.Context(), save(t, t.TempDir(), debs...), &source.Options{Distro: "debian", Release: release, Modules: none}, func(b *archive.Build) error {
			edit(b)
			_, err := u.Add(b)
			return err
		})
	}); err != nil {
		t.Fatal(err)
	}
	list, err := kernels.FromArchiveFile(path)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	return list[0]
}

const (
	oldUname = "6.1.0-50-amd64"
	newUname = "7.2.12+deb13-amd64"
)

// whole is a kernel in one package, with modules that need each other.
func whole() *pulltest.Deb {
	k := pulltest.NewKernel(oldUname, "6.1.176-1")
	d := k.Whole()
	withModules(k, d, d)
	return d
}

// withModules gives packages modules and lists of what is built in.
func withModules(k *pulltest.Kernel, modules, base *pulltest.Deb) {
	dir := "usr/lib/modules/" + k.Uname
	for path, content := range map[string][]byte{
		"kernel/fs/ext4/ext4.ko":        k.Module("ext4", "depends=jbd2,mbcache", "softdep=pre: crc32c post: later", "alias=fs-ext4"),
		"kernel/fs/jbd2/jbd2.ko.xz":     pulltest.Pack(".xz", k.Module("jbd2", "depends=")),
		"kernel/fs/mbcache.ko.zst":      pulltest.Pack(".zst", k.Module("mbcache", "depends=")),
		"kernel/crypto/crc32c-intel.ko": k.Module("crc32c_intel", "alias=crc32c", "alias=crypto-crc32c"),
		"kernel/crypto/crc32c_gen.ko":   k.Module("crc32c_gen", "depends=base", "alias=crc32c"),
		"kernel/lib/base.ko.gz":         pulltest.Pack(".gz", k.Module("base")),
		"kernel/lib/later.ko":           k.Module("later"),
		"kernel/drivers/x.ko":           k.Module("x", "depends=dummy", "alias=pci:v00008086d*"),
		"updates/later.ko":              k.Module("later", "depends=base"),
		"kernel/fs/broken.ko.xz":        []byte("no module"),
	} {
		modules.Files[dir+"/"+path] = content
	}
	base.Files[dir+"/modules.builtin"] = []byte("kernel/net/dummy.ko\nkernel/fs/proc-fs.ko\n")
	base.Files[dir+"/modules.builtin.modinfo"] = []byte("dummy.license=GPL\x00dummy.alias=rtnl-link-dummy\x00proc_fs.description=a\x00")
}

// split is a kernel as Debian has it since 6.19.
func split() (image, modules, base *pulltest.Deb) {
	k := pulltest.NewKernel(newUname, "7.2.12-1~bpo13+1")
	_, image, modules, base = k.Split()
	withModules(k, modules, base)
	return image, modules, base
}

// names are the modules in short: "!" is one that was asked for, "?" one that another likes to have.
func names(files *Files) string {
	var all []string
	for _, m := range files.Modules {
		n := m.Name
		if m.Wanted {
			n += "!"
		}
		if m.Soft {
			n += "?"
		}
		all = append(all, n)
	}
	return strings.Join(all, " ")
}

// look holds the files against what the packages have.
func look(t testing.TB, files *Files, uname string, modules string) {
	t.Helper()
	if files.Uname != uname || files.Arch != "x86_64" {
		t.Errorf("kernel %s for %s, want %s for x86_64", files.Uname, files.Arch, uname)
	}
	image, err := os.ReadFile(files.Image)
	if err != nil || !bytes.Contains(image, []byte("Linux version "+uname+" ")) {
		t.Errorf("image %s of %d bytes is not of %s: %v", files.Image, len(image), uname, err)
	}
	if config, err := os.ReadFile(files.Config); err != nil || string(config) != pulltest.Config {
		t.Errorf("config %q: %v", config, err)
	}
	if got := names(files); got != modules {
		t.Errorf("modules %q, want %q", got, modules)
	}
	for _, m := range files.Modules {
		elf, err := os.ReadFile(m.Path)
		if err != nil || !bytes.HasPrefix(elf, []byte("\x7fELF")) || !bytes.Contains(elf, []byte("\x00name="+m.Name+"\x00")) {
			t.Errorf("module %s: %d bytes that are not its ELF file: %v", m.Name, len(elf), err)
		}
	}
}

const ext4Order = "jbd2 mbcache crc32c_intel? base? crc32c_gen? ext4!"

// Both forms of packages give image, configuration and modules; the second time no server is asked.
func TestFind(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := whole()
	image, modules, base := split()
	w.suite(t, "bookworm", "12.15", one)
	w.suite(t, "trixie-backports", "13", image, modules, base)
	for _, tc := range []struct {
		name   string
		kernel *kernels.Kernel
		uname  string
		files  int // packages
	}{
		{"one package", archived(t, "12", one), oldUname, 1},
		{"three packages", archived(t, "13", image, modules, base), newUname, 3},
		{"modules that the archive does not know", archived(t, "13", image, base), newUname, 3},
		{"nothing but the image is known", archived(t, "13", image), newUname, 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cache := filepath.Join(t.TempDir(), "c")
			f := w.finder(t, func(o *Options) { o.CacheDir = cache })
			for round := range 2 {
				files, err := f.Find(t.Context(), tc.kernel, []string{"ext4", "x", "dummy", "proc-fs", "nosuch", "fs-ext4"})
				if err != nil {
					t.Fatal(err)
				}
				look(t, files, tc.uname, ext4Order+" x!")
				if fmt.Sprint(files.Builtin, files.Missing, files.NoModules, len(files.Packages)) != fmt.Sprint([]string{"dummy", "proc_fs"}, []string{"nosuch"}, error(nil), tc.files) {
					t.Errorf("built in %v, missing %v, %v, %d packages", files.Builtin, files.Missing, files.NoModules, len(files.Packages))
				}
				if err := files.Close(); err != nil {
					t.Error(err)
				}
				got := w.requests("")
				if round > 0 && len(got) > 0 {
					t.Errorf("the second time the server was asked for %q", got)
				}
			}
			// Another process, without a network; and other modules of a package that is in the cache.
			f = w.finder(t, func(o *Options) { o.CacheDir, o.Offline = cache, true })
			files, err := f.Find(t.Context(), tc.kernel, []string{"later"})
			if err != nil {
				t.Fatal(err)
			}
			look(t, files, tc.uname, "base later!")
			files.Close()
		})
	}
}

// Without modules the package with them is not downloaded, and one that has all is read as far as its image.
func TestFindImageOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	image, modules, base := split()
	w.suite(t, "trixie-backports", "13", image, modules, base)
	k := archived(t, "13", image, modules, base)
	files, err := w.finder(t, nil).Find(t.Context(), k, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	look(t, files, newUname, "")
	if got := w.requests(".deb"); len(got) != 2 || strings.Contains(strings.Join(got, " "), "linux-modules") {
		t.Errorf("downloaded %q", got)
	}
}

// What the user gives comes before the network, by the name of its file or by what it says of itself.
func TestFolders(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := whole()
	k := archived(t, "12", one)
	dir := t.TempDir()
	save(t, dir, one)
	odd := write(t, filepath.Join(t.TempDir(), "my kernel"), one.Build())
	short := filepath.Join(t.TempDir(), "pool")
	write(t, filepath.Join(short, one.Name+"_amd64.deb"), one.Build())
	write(t, filepath.Join(short, one.Name+"_x.deb"), []byte("damaged"))
	write(t, filepath.Join(short, "zsh_5_amd64.deb"), []byte("another"))
	for name, folder := range map[string]string{"folder": dir, "file of any name": odd, "without a version in the name": short} {
		f := w.finder(t, func(o *Options) {
			o.CacheDir, o.Folders = filepath.Join(t.TempDir(), "c"), []string{folder}
		})
		files, err := f.Find(t.Context(), k, []string{"ext4"})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		look(t, files, oldUname, ext4Order)
		files.Close()
	}
	if got := w.requests(""); len(got) > 0 {
		t.Errorf("the server was asked for %q", got)
	}
	rebuilt := whole()
	rebuilt.Files["usr/share/doc/changed"] = []byte("another build")
	other := t.TempDir()
	save(t, other, rebuilt)
	_, err := w.finder(t, func(o *Options) { o.Folders = []string{other} }).Find(t.Context(), k, nil)
	wantErr(t, err, "is not the package that the archive's kernel came in: its SHA-256 is "+pulltest.SumHex(rebuilt.Build()), "is "+pulltest.SumHex(one.Build()))
	// Beside the right one it does not matter.
	files, err := w.finder(t, func(o *Options) { o.Folders = []string{other, dir} }).Find(t.Context(), k, nil)
	if err != nil {
		t.Error(err)
	} else {
		files.Close()
	}
	_, err = New(Options{CacheDir: t.TempDir(), Folders: []string{filepath.Join(dir, "nosuch")}})
	wantErr(t, err, "can't be opened", "--packages")
}

func wantErr(t testing.TB, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Errorf("no error, want %q", words)
		return
	}
	text := err.Error()
	var e *btfinfo.Error
	if errors.As(err, &e) {
		text += "\n" + e.Hint
	}
	if strings.Contains(err.Error(), "\n") {
		t.Errorf("error of several lines: %q", err)
	}
	for _, word := range words {
		if !strings.Contains(text, word) {
			t.Errorf("error %q, want %q in it", text, word)
		}
	}
}

// What can't be had is said by name, with where it was looked for.
func TestNotThere(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	image, modules, base := split()
	one := whole()
	k := archived(t, "12", one)
	w.suite(t, "bookworm", "12.15", &pulltest.Deb{Name: "linux-image-other", Version: "1", Files: map[string][]byte{"a": nil}})
	w.suite(t, "bookworm-security", "12", &pulltest.Deb{Name: "zsh", Version: "1", Files: map[string][]byte{"a": nil}})
	_, err := w.finder(t, nil).Find(t.Context(), k, nil)
	wantErr(t, err, "package linux-image-6.1.0-50-amd64 version 6.1.176-1 for amd64 can't be had: not in bookworm-security, bookworm", "--packages FOLDER")
	_, err = w.finder(t, func(o *Options) { o.Offline = true }).Find(t.Context(), k, nil)
	wantErr(t, err, "linux-image-6.1.0-50-amd64 version 6.1.176-1 for amd64 can't be had: not in the cache", "offline")
	_, err = w.finder(t, nil).Find(t.Context(), archived(t, "13", image), nil)
	wantErr(t, err, "no repository of apt's configuration has trixie-backports")

	// A repository whose list is of a key that nobody trusts.
	bad := newWorld(t)
	bad.key = pulltest.NewKey(t, "stranger")
	bad.suite(t, "bookworm", "12.15", one)
	_, err = bad.finder(t, nil).Find(t.Context(), k, nil)
	wantErr(t, err, "/dists/bookworm/InRelease")

	// Modules that are gone don't keep the kernel from booting.
	w.suite(t, "trixie-backports", "13", image)
	files, err := w.finder(t, nil).Find(t.Context(), archived(t, "13", image), []string{"ext4", "base"})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	if files.Config != "" || !slices.Equal(files.Missing, []string{"base", "ext4"}) {
		t.Errorf("config %q, missing %q", files.Config, files.Missing)
	}
	wantErr(t, files.NoModules, "linux-modules-7.2.12+deb13-amd64 version 7.2.12-1~bpo13+1 for amd64 can't be had: not in trixie-backports")
	// Those that the archive knows do.
	_, err = w.finder(t, nil).Find(t.Context(), archived(t, "13", image, modules, base), []string{"ext4"})
	wantErr(t, err, "package linux-base-7.2.12+deb13-amd64", "not in trixie-backports")

	loose := kernels.New("debian/12/x86_64/6.1.0-1-amd64", kernels.Version{}, nil)
	_, err = w.finder(t, nil).Find(t.Context(), loose, nil)
	wantErr(t, err, "is in no archive", "--image")
	hub := inArchive(t, "12", func(b *archive.Build) {
		b.Sources = []archive.Source{{URI: "https://example.org/6.1.btf.tar.xz", SHA256: pulltest.SumHex(nil)}}
	}, one)
	_, err = w.finder(t, nil).Find(t.Context(), hub, nil)
	wantErr(t, err, "no package with its boot image: it was read from 6.1.btf.tar.xz")
}

// A configuration that can't be had is said, and keeps no kernel from booting, unless something is wrong with what is there.
func TestNoConfig(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	image, _, base := split()
	k := archived(t, "13", image)
	deb := "/debian/pool/main/l/linux/" + fileName(base)
	find := func(words ...string) {
		t.Helper()
		files, err := w.finder(t, func(o *Options) { o.CacheDir = filepath.Join(t.TempDir(), "c") }).Find(t.Context(), k, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		if len(words) == 0 {
			look(t, files, newUname, "")
			if files.NoConfig != nil {
				t.Errorf("there is a configuration, and %v", files.NoConfig)
			}
			return
		}
		if files.Config != "" || len(files.Packages) != 1 {
			t.Errorf("config %q, %d packages", files.Config, len(files.Packages))
		}
		wantErr(t, files.NoConfig, words...)
	}
	w.suite(t, "trixie-backports", "13", image)
	find("package linux-base-7.2.12+deb13-amd64 version 7.2.12-1~bpo13+1 for amd64 can't be had: not in trixie-backports")
	w.suite(t, "trixie-backports", "13", image, base)
	find()
	good := w.files[deb]
	w.Put(deb, bytes.Replace(slices.Clone(good), []byte("debian-binary"), []byte("debian-BINARY"), 1))
	find(fileName(base), "refused")
	w.mu.Lock()
	delete(w.files, deb)
	w.mu.Unlock()
	find(fileName(base), "can't be had")

	// One of the user's that is damaged.
	dir := t.TempDir()
	write(t, filepath.Join(dir, fileName(base)), good[:len(good)-200])
	_, err := w.finder(t, func(o *Options) { o.Folders = []string{dir} }).Find(t.Context(), k, nil)
	wantErr(t, err, fileName(base))
}

// A package of the right name that is another one is refused, whether its repository says so or not.
func TestOtherDigest(t *testing.T) {
	t.Parallel()
	one := whole()
	k := archived(t, "12", one)
	rebuilt := whole()
	rebuilt.Files["usr/share/doc/changed"] = []byte("another build")
	w := newWorld(t)
	w.suite(t, "bookworm", "12.15", rebuilt)
	_, err := w.finder(t, nil).Find(t.Context(), k, nil)
	wantErr(t, err, "its SHA-256 is "+pulltest.SumHex(rebuilt.Build()), "that of linux-image-6.1.0-50-amd64_6.1.176-1_amd64.deb is "+pulltest.SumHex(one.Build()))
	w.suite(t, "bookworm", "12.15", one)
	w.Put("/debian/pool/main/l/linux/"+fileName(one), rebuilt.Build())
	_, err = w.finder(t, nil).Find(t.Context(), k, nil)
	wantErr(t, err, fileName(one))
	if left, err := filepath.Glob(filepath.Join(w.cache, "pull", "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %q", left)
	}
}

// A source that an archive has by its URI is taken from there, and from a suite where it is gone.
func TestURI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := whole()
	path := "/elsewhere/" + fileName(one)
	k := inArchive(t, "12", func(b *archive.Build) { b.Sources[0].URI = w.URL + path }, one)
	w.Put(path, one.Build())
	files, err := w.finder(t, nil).Find(t.Context(), k, []string{"base"})
	if err != nil {
		t.Fatal(err)
	}
	look(t, files, oldUname, "base!")
	files.Close()
	if got := w.requests(""); !slices.Equal(got, []string{path}) {
		t.Errorf("asked for %q", got)
	}
	w.suite(t, "bookworm", "12.15", one)
	w.mu.Lock()
	delete(w.files, path)
	w.mu.Unlock()
	files, err = w.finder(t, func(o *Options) { o.CacheDir = filepath.Join(t.TempDir(), "c") }).Find(t.Context(), k, nil)
	if err != nil {
		t.Fatal(err)
	}
	files.Close()
}

// What somebody did to the cache is noticed, and made good.
func TestDamagedCache(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := whole()
	w.suite(t, "bookworm", "12.15", one)
	k := archived(t, "12", one)
	files, err := w.finder(t, nil).Find(t.Context(), k, []string{"ext4"})
	if err != nil {
		t.Fatal(err)
	}
	files.Close()
	entry := filepath.Dir(files.Image)
	deb := filepath.Join(w.cache, "pull", pulltest.SumHex(one.Build())[:24]+"-"+fileName(one))
	if _, err := os.Stat(deb); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func() error{
		"image":          func() error { return os.WriteFile(files.Image, []byte("another"), 0o644) },
		"module":         func() error { return os.Truncate(files.Modules[0].Path, 100) },
		"config is gone": func() error { return os.Remove(files.Config) },
		"manifest": func() error {
			return os.WriteFile(filepath.Join(entry, manifestName), []byte(`{"format":1,"files":`), 0o644)
		},
		"manifest is gone": func() error { return os.Remove(filepath.Join(entry, manifestName)) },
		"manifest without sums": func() error {
			return os.WriteFile(filepath.Join(entry, manifestName), []byte(`{"format":1,"sha256":"`+pulltest.SumHex(one.Build())+`","boot":true,"modules":true,"files":{"a":{"sha256":"../../x"}}}`), 0o644)
		},
		"leftovers":   func() error { return os.WriteFile(filepath.Join(entry, unfinished+"1"), nil, 0o644) },
		"all is gone": func() error { return os.RemoveAll(entry) },
		"package and image": func() error {
			return errors.Join(os.WriteFile(deb, []byte("another"), 0o644), os.Remove(files.Image))
		},
	} {
		if err := damage(); err != nil {
			t.Fatal(err)
		}
		again, err := w.finder(t, nil).Find(t.Context(), k, []string{"ext4"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		look(t, again, oldUname, ext4Order)
		again.Close()
		if _, err := os.Stat(filepath.Join(entry, unfinished+"1")); name == "leftovers" && err == nil {
			// It goes with the next pass; an entry that has all that is asked for is not changed.
			if err := os.Remove(filepath.Join(entry, unfinished+"1")); err != nil {
				t.Error(err)
			}
		}
	}
}

// Packages that nobody's tools build are refused before anything of them is on the disk under a name of theirs.
func TestHostile(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		edit func(*pulltest.Deb)
		want string
	}{
		"path":   {func(d *pulltest.Deb) { d.Files["../../lib/modules/"+oldUname+"/kernel/a.ko"] = []byte("x") }, "leads out of the package"},
		"module": {func(d *pulltest.Deb) { d.Files["boot/vmlinuz-"+oldUname] = []byte("no image") }, ""},
		"link": {func(d *pulltest.Deb) {
			delete(d.Files, "boot/vmlinuz-"+oldUname)
			d.Links = map[string]string{"boot/vmlinuz-" + oldUname: "/etc/passwd"}
		}, "no boot image"},
		"other kernel": {func(d *pulltest.Deb) {
			d.Files["boot/vmlinuz-5.0"] = d.Files["boot/vmlinuz-"+oldUname]
			delete(d.Files, "boot/vmlinuz-"+oldUname)
		}, "no boot image of 6.1.0-50-amd64, but of 5.0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			good, bad := whole(), whole()
			tc.edit(bad)
			k := inArchive(t, "12", func(b *archive.Build) { b.Sources[0].SHA256 = pulltest.SumHex(bad.Build()) }, good)
			w.suite(t, "bookworm", "12.15", bad)
			files, err := w.finder(t, nil).Find(t.Context(), k, []string{"ext4", "broken"})
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				if names(files) != ext4Order || !slices.Equal(files.Missing, []string{"broken"}) {
					t.Errorf("modules %q, missing %q", names(files), files.Missing)
				}
				files.Close()
				return
			}
			wantErr(t, err, tc.want)
			filepath.WalkDir(w.cache, func(path string, d os.DirEntry, err error) error {
				if base := filepath.Base(path); err != nil || strings.HasPrefix(base, unfinished) || strings.HasSuffix(base, ".ko") {
					t.Errorf("%s is there (%v)", path, err)
				}
				return nil
			})
		})
	}
}

// Several at once, in one process: each package is downloaded and read once.
func TestFindAtOnce(t *testing.T) {
	t.Parallel()
	type want struct {
		kernel  *kernels.Kernel
		modules []string
	}
	w := newWorld(t)
	one := whole()
	image, modules, base := split()
	w.suite(t, "bookworm", "12.15", one)
	w.suite(t, "trixie-backports", "13", image, modules, base)
	wants := []want{{archived(t, "12", one), []string{"ext4"}}, {archived(t, "13", image), []string{"ext4"}}, {archived(t, "12", one), []string{"later"}}}
	var mu sync.Mutex
	phases := map[Phase]int{}
	f := w.finder(t, func(o *Options) {
		o.Progress = func(e Event) {
			if !mu.TryLock() {
				t.Error("two calls of Progress at once")
				return
			}
			defer mu.Unlock()
			phases[e.Phase]++
		}
	})
	var group sync.WaitGroup
	for range 3 {
		for _, want := range wants {
			group.Go(func() {
				files, err := f.Find(t.Context(), want.kernel, want.modules)
				if err != nil {
					t.Error(err)
					return
				}
				files.Close()
			})
		}
	}
	group.Wait()
	asked := w.requests(".deb")
	if slices.Sort(asked); len(asked) != 4 || len(slices.Compact(asked)) != 4 {
		t.Errorf("downloaded %q", asked)
	}
	if phases[Indexing] == 0 || phases[Downloading] < 4 || phases[Extracting] < 4 {
		t.Errorf("events %v", phases)
	}
	for _, want := range wants {
		files, err := f.Find(t.Context(), want.kernel, want.modules)
		if err != nil {
			t.Fatal(err)
		}
		files.Close()
	}
	if more := w.requests(""); len(more) > 0 {
		t.Errorf("and then %q", more)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.finder(t, func(o *Options) { o.CacheDir = t.TempDir() }).Find(ctx, wants[0].kernel, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// processEnv has what a process that TestProcesses starts is to do.
const processEnv = "CORECHECK_TEST_IMAGES"

func TestMain(m *testing.M) {
	if image := os.Getenv(processEnv); image != "" {
		f, err := New(Options{CacheDir: os.Getenv(processEnv + "_CACHE"), MaxCache: 1})
		if err == nil {
			var files *Files
			if files, err = f.FromFile(context.Background(), image, "", []string{"ext4"}); err == nil {
				if _, err = os.ReadFile(files.Image); err == nil && names(files) != ext4Order {
					err = fmt.Errorf("modules %q", names(files))
				}
				files.Close()
			}
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// Processes share a cache, while each makes room in it by removing what the others don't use.
func TestProcesses(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := whole()
	other.Files["usr/share/doc/more"] = []byte("more")
	dir, cache := t.TempDir(), t.TempDir()
	images := append(save(t, filepath.Join(dir, "a"), whole()), save(t, filepath.Join(dir, "b"), other)...)
	f, err := New(Options{CacheDir: cache})
	if err != nil {
		t.Fatal(err)
	}
	held, err := f.FromFile(t.Context(), images[0], "", []string{"ext4"})
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for i := range 12 {
		group.Go(func() {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), processEnv+"="+images[i%2], processEnv+"_CACHE="+cache)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("process %d: %v: %s", i, err, out)
			}
		})
	}
	group.Wait()
	look(t, held, oldUname, ext4Order) // nobody removed what is in use
	held.Close()
	f.opt.MaxCache = 1
	f.prune()
	if left := f.cached(); len(left) > 0 {
		t.Errorf("left in the cache: %v", left)
	}
	if left, err := filepath.Glob(filepath.Join(cache, "images", "*")); err != nil || len(left) > 0 {
		t.Errorf("left in the store: %q, %v", left, err)
	}
}

// The cache forgets what was not used for longest.
func TestPrune(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := whole()
	image, _, base := split()
	w.suite(t, "bookworm", "12.15", one)
	w.suite(t, "trixie-backports", "13", image, base)
	first, second := archived(t, "12", one), archived(t, "13", image, base)
	f := w.finder(t, nil)
	find := func(k *kernels.Kernel) {
		files, err := f.Find(t.Context(), k, nil)
		if err != nil {
			t.Fatal(err)
		}
		files.Close()
	}
	find(first)
	find(second)
	old := time.Now().Add(-time.Hour)
	for _, i := range f.cached() {
		name := i.path
		if i.entry {
			name = filepath.Join(name, manifestName)
		}
		if err := os.Chtimes(name, old, old); err != nil {
			t.Fatal(err)
		}
	}
	// Used now: the second kernel. Its packages are not needed for that, and go with the first kernel.
	find(second)
	var used int64
	for _, i := range f.cached() {
		if i.used.After(old.Add(time.Minute)) {
			used += i.size
		}
	}
	keep := filepath.Join(w.cache, "pull", "notes.txt")
	write(t, keep, []byte("somebody's"))
	f.opt.MaxCache = used
	f.prune()
	var size int64
	for _, i := range f.cached() {
		size += i.size
	}
	if size != used || size == 0 {
		t.Errorf("%d bytes, want %d", size, used)
	}
	w.requests("")
	find(second)
	if got := w.requests(""); len(got) > 0 {
		t.Errorf("what was used last is gone: %q", got)
	}
	find(first)
	if got := w.requests(".deb"); len(got) != 1 {
		t.Errorf("what was not used is still there: %q", got)
	}
	if _, err := os.Stat(keep); err != nil {
		t.Errorf("a file that is no package: %v", err)
	}
}

// A package that is unpacked stays in the cache; one that went before it was opened is had once more.
func TestPackageInUse(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one := whole()
	w.suite(t, "bookworm", "12.15", one)
	f := w.finder(t, nil)
	k := archived(t, "12", one)
	refs, err := packagesOf(k, false)
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.opener(t.Context(), k, refs[0])
	if err != nil {
		t.Fatal(err)
	}
	path, calls := p.path, 0
	p.path = func(ctx context.Context) (string, error) {
		name, err := path(ctx)
		if calls++; calls == 1 {
			os.Remove(name)
		}
		return name, err
	}
	in, err := f.open(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if got := w.requests(".deb"); calls != 2 || len(got) != 2 {
		t.Errorf("looked for %d times, downloaded %q", calls, got)
	}
	f.opt.MaxCache = 1
	f.prune()
	if _, err := os.Stat(in.Name()); err != nil {
		t.Errorf("a package that is in use was removed: %v", err)
	}
	in.Close()
	f.prune()
	if _, err := os.Stat(in.Name()); err == nil {
		t.Error("a package that nobody uses is still there")
	}
	p.path = func(context.Context) (string, error) { return in.Name(), nil }
	_, err = f.open(t.Context(), p)
	wantErr(t, err, in.Name(), "no such file")
}

// A package that changes after its digest was looked at gives the cache nothing.
func TestChangedPackage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, other := whole(), whole()
	other.Files["boot/config-"+oldUname] = []byte("CONFIG_ANOTHER=y\n")
	good, bad := one.Build(), other.Build()
	file := save(t, t.TempDir(), one)[0]
	f := w.finder(t, nil)
	p, err := userPackage(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	all := &need{boot: true, modules: true, files: func(*manifest) []string {
		return []string{"usr/lib/modules/" + oldUname + "/kernel/fs/ext4/ext4.ko"}
	}}
	for name, content := range map[string][]byte{"another": bad, "more": append(slices.Clone(good), '\n')} {
		write(t, file, content)
		_, err = f.take(t.Context(), "", p, all)
		wantErr(t, err, file, "its SHA-256 is "+pulltest.SumHex(content)+", it was "+pulltest.SumHex(good))
		if left, err := filepath.Glob(filepath.Join(w.cache, "images", "*", manifestName)); err != nil || len(left) > 0 {
			t.Errorf("%s: in the cache are %q, %v", name, left, err)
		}
	}
	write(t, file, good)
	files, err := f.FromFile(t.Context(), file, "", []string{"ext4"})
	if err != nil {
		t.Fatal(err)
	}
	look(t, files, oldUname, ext4Order)
	files.Close()
}

// Ubuntu has the configuration in the package with modules, and modules that fewer need in another one.
func TestUbuntu(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	image, modules, _ := split()
	image.Name = "linux-image-" + newUname
	modules.Files["boot/config-"+newUname] = []byte(pulltest.Config)
	extra := &pulltest.Deb{Name: "linux-modules-extra-" + newUname, Version: modules.Version, Files: map[string][]byte{}}
	path := "usr/lib/modules/" + newUname + "/kernel/fs/ext4/ext4.ko"
	extra.Files[path] = modules.Files[path]
	delete(modules.Files, path)
	delete(modules.Files, "usr/lib/modules/"+newUname+"/kernel/crypto/crc32c_gen.ko")
	debs := []*pulltest.Deb{image, modules, extra}
	k := inArchive(t, "24.04", func(b *archive.Build) {
		b.Distro = "ubuntu"
		b.ID = "ubuntu/24.04/x86_64/" + newUname
		for i := range b.Sources {
			b.Sources[i].URI = w.URL + "/pool/" + b.Sources[i].URI
		}
	}, debs...)
	for _, d := range debs {
		w.Put("/pool/"+fileName(d), d.Build())
	}
	f := w.finder(t, nil)
	files, err := f.Find(t.Context(), k, nil)
	if err != nil {
		t.Fatal(err)
	}
	look(t, files, newUname, "")
	files.Close()
	if got := w.requests(".deb"); len(got) != 2 {
		t.Errorf("downloaded %q, want image and modules", got)
	}
	// A module of the second package needs some of the first, which are taken out once that is known.
	files, err = f.Find(t.Context(), k, []string{"ext4"})
	if err != nil {
		t.Fatal(err)
	}
	look(t, files, newUname, "jbd2 mbcache crc32c_intel? ext4!")
	files.Close()
	// Without it nobody else is asked.
	lone := inArchive(t, "24.04", func(b *archive.Build) { b.Distro, b.ID = "ubuntu", "ubuntu/24.04/x86_64/"+newUname }, image)
	dir := t.TempDir()
	save(t, dir, image)
	files, err = w.finder(t, func(o *Options) { o.Folders = []string{dir} }).Find(t.Context(), lone, []string{"ext4"})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	wantErr(t, files.NoModules, "package linux-modules-"+newUname, "can't be had")
}

func TestSuites(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ release, version, want string }{
		{"12", "6.1.176-1", "bookworm-security bookworm bookworm-updates bookworm-backports"},
		{"12", "6.12.43-1~bpo12+1", "bookworm-backports"},
		{"13", "7.2.12-1~bpo13+1", "trixie-backports"},
		{"11", "6.1.180-1~deb11u1", "bullseye-security bullseye bullseye-updates bullseye-backports"},
		{"14", "7.2.13-1", "sid forky forky-security experimental"},
		{"experimental", "7.3~rc7-1~exp1", "experimental sid"},
		{"kali-rolling", "1", "kali-rolling experimental sid"},
	} {
		if got := strings.Join(suitesOf(tc.release, tc.version), " "); got != tc.want {
			t.Errorf("%s %s: %s, want %s", tc.release, tc.version, got, tc.want)
		}
	}
}
