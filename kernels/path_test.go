package kernels

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// tinyBTF is the smallest BTF that stands alone: no types, and the empty string.
const tinyBTF = "\x9f\xeb\x01\x00\x18\x00\x00\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00\x00\x00\x00\x01\x00\x00\x00" + "\x00"

// folder makes files below a new folder, each with the same BTF in it, and returns the folder.
func folder(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	for _, n := range names {
		p := filepath.Join(dir, n)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(tinyBTF), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func ids(all []*Kernel) []string {
	var r []string
	for _, k := range all {
		r = append(r, k.ID)
	}
	return r
}

func TestFromPathFolder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		files []string
		root  string // below the folder
		want  []string
	}{
		{"whole layout", []string{"debian/12/x86_64/6.1.0-9-amd64.btf", "debian/12/x86_64/6.1.0-50-amd64.btf.tar.xz", "centos/8/aarch64/4.18.0-147.5.1.el8_1.aarch64.btf.tar.xz"}, "",
			[]string{"centos/8/arm64/4.18.0-147.5.1.el8_1.aarch64", "debian/12/x86_64/6.1.0-9-amd64", "debian/12/x86_64/6.1.0-50-amd64"}},
		{"no arch folder", []string{"android/common-android12-5.10/a12-5.10-2021-09-arm64.btf.tar.xz"}, "", []string{"android/common-android12-5.10/arm64/a12-5.10-2021-09-arm64"}},
		{"distro alone", []string{"android/rock5b-5.10-f9d1b1529-arm64.btf"}, "", []string{"android/unknown/arm64/rock5b-5.10-f9d1b1529-arm64"}},
		{"own distro alone", []string{"mine/5.10.3-x86_64.btf"}, "", []string{"mine/unknown/x86_64/5.10.3-x86_64"}},
		{"arch alone", []string{"arm64/5.10.3.btf"}, "", []string{"unknown/unknown/arm64/5.10.3"}},
		{"own layout", []string{"mine/7/amd64/5.10.3.btf"}, "", []string{"mine/7/x86_64/5.10.3"}},
		{"flat", []string{"5.10.3.btf", "6.1.2.btf.zst"}, "", []string{"unknown/unknown/unknown/5.10.3", "unknown/unknown/unknown/6.1.2"}},
		{"deeper", []string{"a/b/ubuntu/22.04/x86_64/5.15.0-91-generic.btf"}, "", []string{"ubuntu/22.04/x86_64/5.15.0-91-generic"}},
		{"deeper without arch", []string{"stuff/android/a12-5.10-arm64.btf"}, "", []string{"android/unknown/arm64/a12-5.10-arm64"}},
		// Inside the layout: the folders above count, if they make a distro that is known.
		{"at the distro", []string{"centos/8/aarch64/4.18.0.btf"}, "centos", []string{"centos/8/arm64/4.18.0"}},
		{"at the release", []string{"centos/8/aarch64/4.18.0.btf"}, "centos/8", []string{"centos/8/arm64/4.18.0"}},
		{"at the arch", []string{"centos/8/aarch64/4.18.0.btf"}, "centos/8/aarch64", []string{"centos/8/arm64/4.18.0"}},
		{"at an arch that is nobody's", []string{"home/me/aarch64/4.18.0.btf"}, "home/me/aarch64", []string{"unknown/unknown/arm64/4.18.0"}},
		{"at a distro without arch", []string{"android/rock5b/5.10-arm64.btf"}, "android", []string{"android/rock5b/arm64/5.10-arm64"}},
		// Names that clash, and files that are none of ours.
		{"plain and compressed", []string{"mine/1/x86_64/5.10.btf.tar.xz", "mine/1/x86_64/5.10.btf", "mine/1/x86_64/5.10.btf.gz"}, "", []string{"mine/1/x86_64/5.10"}},
		{"same ID", []string{"mine/1/x86_64/5.10.btf", "mine/1/amd64/5.10.btf"}, "", []string{"mine/1/x86_64/5.10", "mine/1/x86_64/5.10~2"}},
		{"others", []string{"mine/1/x86_64/5.10.btf", "README.md", "mine/1/x86_64/5.10.vmlinux", ".git/x.btf", "mine/.5.11.btf", "mine/5.12.btf.sig"}, "", []string{"mine/1/x86_64/5.10"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(folder(t, tt.files...), tt.root)
			all, err := FromPath(dir)
			if err != nil || !slices.Equal(ids(all), tt.want) {
				t.Fatalf("got %q, %v; want %q", ids(all), err, tt.want)
			}
			for _, k := range all {
				if btf, modules, err := k.Load(); err != nil || btf.NumTypes() != 1 || modules != nil {
					t.Errorf("%s: %v, %v, %v", k.ID, btf, modules, err)
				}
				if !strings.HasPrefix(k.Source, dir) || k.VersionFrom != FromUname || !slices.Equal(k.Facts(), []string{"btf"}) {
					t.Errorf("%s: source %q, version from %q, facts %q", k.ID, k.Source, k.VersionFrom, k.Facts())
				}
			}
		})
	}
}

func TestFromPathPlainWins(t *testing.T) {
	t.Parallel()
	dir := folder(t, "5.10.btf.gz", "5.10.btf")
	all, err := FromPath(dir)
	if err != nil || len(all) != 1 || all[0].Source != filepath.Join(dir, "5.10.btf") {
		t.Fatalf("got %v, %v", ids(all), err)
	}
}

func TestFromPathLinks(t *testing.T) {
	t.Parallel()
	dir := folder(t, "real/mine/1/x86_64/5.10.btf")
	for link, to := range map[string]string{
		"linked":                      "real",                                             // the folder itself
		"real/mine/1/x86_64/6.1.btf":  filepath.Join(dir, "real/mine/1/x86_64/5.10.btf"),  // a file
		"real/loop":                   ".",                                                // a folder inside: not followed
		"real/mine/1/x86_64/gone.btf": filepath.Join(dir, "real/mine/1/x86_64/nowhere"),   // leads nowhere
		"real/mine/1/x86_64/dir.btf":  filepath.Join(dir, "real/mine/1/x86_64/../x86_64"), // no file
	} {
		if err := os.Symlink(to, filepath.Join(dir, link)); err != nil {
			t.Skip("no symbolic links here: ", err)
		}
	}
	all, err := FromPath(filepath.Join(dir, "linked"))
	var problems FileErrors
	if !errors.As(err, &problems) || len(problems) != 2 {
		t.Errorf("got %v, want errors for gone.btf and dir.btf", err)
	}
	if want := []string{"mine/1/x86_64/5.10", "mine/1/x86_64/6.1"}; !slices.Equal(ids(all), want) {
		t.Errorf("got %q, want %q", ids(all), want)
	}
}

// TestFromPathProblems: files that can't be read are named, and do not hide the others.
func TestFromPathProblems(t *testing.T) {
	t.Parallel()
	dir := folder(t, "mine/1/x86_64/5.10.btf")
	at := func(n string) string { return filepath.Join(dir, "mine/1/x86_64", n) }
	if err := os.WriteFile(at("empty.btf"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(at("folder.btf"), 0o755); err != nil { // a folder may be called what it likes
		t.Fatal(err)
	}
	if err := os.WriteFile(at("6.1.damaged.btf"), []byte("not BTF"), 0o644); err != nil {
		t.Fatal(err)
	}
	all, err := FromPath(dir)
	if want := at("empty.btf") + ": is empty"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if len(all) != 2 {
		t.Fatalf("got %q", ids(all))
	}
	if _, _, err := all[0].Load(); err != nil {
		t.Error(err)
	}
	// Whether it holds BTF turns out when it is loaded.
	var e *btfinfo.Error
	if _, _, err := all[1].Load(); !errors.As(err, &e) || e.File != at("6.1.damaged.btf") {
		t.Errorf("got %v", err)
	}

	for name, want := range map[string]string{
		filepath.Join(dir, "nowhere"):           ": can't be opened: ",
		filepath.Join(dir, "mine/1/x86_64/6.1"): ": can't be opened: ",
		at("folder.btf"):                        ": holds no file named *.btf",
		at("6.1.damaged.btf"):                   ": at 0x0: neither BTF nor",
		at("empty.btf"):                         ": is empty",
	} {
		all, err := FromPath(name)
		if all != nil || !errors.As(err, &e) || !strings.HasPrefix(err.Error(), name+want) || e.Hint == "" {
			t.Errorf("%s: %v, %v; want %q and a hint", name, ids(all), err, want)
		}
	}
}

// TestFromPathNoKernel names what has BTF and is no kernel, by itself and in a folder.
func TestFromPathNoKernel(t *testing.T) {
	t.Parallel()
	object, err := os.ReadFile(filepath.Join("..", "testdata", "rules", "map_type_missing.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	base := btfbuild.New()
	base.Int("int", 4, 0)
	module := btfbuild.NewSplit(base)
	module.Int("mine", 4, 0)
	for name, tt := range map[string]struct {
		data []byte
		want string
	}{
		"object.btf": {object, "is a BPF program, want a kernel"},
		"module.btf": {module.Bytes(binary.LittleEndian), "can't be read alone: "},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, tt.data, 0o644); err != nil {
			t.Fatal(err)
		}
		_, err := FromPath(path)
		check := func(err error) {
			t.Helper()
			var e *btfinfo.Error
			if !errors.As(err, &e) || !strings.HasPrefix(e.Error(), path+": "+tt.want) || e.Hint == "" || strings.Contains(e.Hint, "--base") {
				t.Errorf("%s: got %v, want %s", name, err, tt.want)
			}
		}
		check(err)
		all, err := FromPath(dir)
		if err != nil || len(all) != 1 {
			t.Fatalf("got %q, %v", ids(all), err)
		}
		_, _, err = all[0].Load()
		check(err)
	}
}

func TestFromPathFile(t *testing.T) {
	t.Parallel()
	dir := folder(t, "vmlinux", "centos/8/aarch64/4.18.0-147.el8.aarch64.btf", "x86_64/6.1.2.btf")
	for name, want := range map[string]string{
		"vmlinux": "unknown/unknown/unknown/vmlinux unknown",
		"centos/8/aarch64/4.18.0-147.el8.aarch64.btf": "centos/8/arm64/4.18.0-147.el8.aarch64 4.18",
		"x86_64/6.1.2.btf":                            "unknown/unknown/x86_64/6.1.2 6.1.2",
	} {
		all, err := FromPath(filepath.Join(dir, name))
		if err != nil || len(all) != 1 {
			t.Errorf("%s: %v, %v", name, ids(all), err)
			continue
		}
		if got := all[0].ID + " " + all[0].Version.String(); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		for range 2 { // what was opened, then anew
			if btf, _, err := all[0].Load(); err != nil || btf == nil {
				t.Errorf("%s: %v, %v", name, btf, err)
			}
		}
	}
}

func TestSources(t *testing.T) {
	t.Parallel()
	dir := folder(t, "debian/12/x86_64/6.1.0-50-cloud-amd64.btf", "a/vmlinux", "b/vmlinux")
	all, err := Sources{Paths: []string{dir + "/debian", dir + "/a/vmlinux", dir + "/b/vmlinux", dir + "/a/../a/vmlinux", dir + "/gone", dir + "/debian/12"}, Embedded: true}.Kernels()
	var problems FileErrors
	if !errors.As(err, &problems) || len(problems) != 1 || !strings.Contains(err.Error(), "gone") {
		t.Errorf("got %v, want one error, for gone", err)
	}
	own, err := Embedded()
	if err != nil {
		t.Fatal(err)
	}
	if want := len(own) + 2; len(all) != want { // one of debian replaces an embedded one; two vmlinux
		t.Errorf("got %d kernels %q, want %d", len(all), ids(all), want)
	}
	for i, k := range all {
		if k.ID == "debian/12/x86_64/6.1.0-50-cloud-amd64" && k.Source == "embedded" {
			t.Error("the embedded kernel hides the user's file")
		}
		if i > 0 && Compare(all[i-1], k) >= 0 {
			t.Errorf("%s comes before %s", all[i-1].ID, k.ID)
		}
	}
	if got := ids(all)[len(all)-2:]; !slices.Equal(got, []string{"unknown/unknown/unknown/vmlinux", "unknown/unknown/unknown/vmlinux~2"}) {
		t.Errorf("the last are %q", got)
	}
	if all, err := (Sources{}).Kernels(); len(all) != 0 || err != nil {
		t.Errorf("no sources give %v, %v", all, err)
	}
}

// TestBTFHub reads a piece of a real archive: three layouts, 43 kernels.
func TestBTFHub(t *testing.T) {
	t.Parallel()
	const dir = "../../shared/btfhub"
	if _, err := os.Stat(dir); err != nil {
		t.Skip("no piece of BTFHub beside the repository")
	}
	all, err := FromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 43 {
		t.Errorf("got %d kernels, want 43", len(all))
	}
	byID := map[string]*Kernel{}
	arm := 0
	for _, k := range all {
		byID[k.ID] = k
		if k.Arch == "arm64" {
			arm++
		}
	}
	if len(byID) != len(all) || arm != 42 {
		t.Errorf("%d IDs of %d kernels, %d for arm64; want all different, 42", len(byID), len(all), arm)
	}
	for id, version := range map[string]string{
		"android/common-android12-5.10/arm64/a12-5.10-2021-09-arm64":         "5.10",
		"android/common-android13-5.10/arm64/a13-5.10-lts-arm64":             "5.10",
		"android/rock5b/arm64/rock5b-5.10-f9d1b1529-arm64":                   "5.10",
		"bclinux/21.10U3/x86_64/4.19.90-2107.6.0.0248.35.oe1.bclinux.x86_64": "4.19.90",
		"centos/8/arm64/4.18.0-147.5.1.el8_1.aarch64":                        "4.18",
		"kylin/V10/arm64/4.19.90-24.4.v2101.ky10.aarch64":                    "4.19.90",
		"kylin/V10/arm64/4.19.90-52.22.v2207.ky10.aarch64":                   "4.19.90",
	} {
		k := byID[id]
		if k == nil {
			t.Errorf("there is no %s", id)
			continue
		}
		if k.Version.String() != version {
			t.Errorf("%s is %s, want %s", id, k.Version, version)
		}
	}
	// The same kernels get the same IDs from inside.
	for _, sub := range []string{"android", "android/rock5b", "centos", "centos/8", "centos/8/aarch64", "kylin/V10"} {
		some, err := FromPath(filepath.Join(dir, sub))
		if err != nil {
			t.Error(err)
		}
		for _, k := range some {
			if byID[k.ID] == nil {
				t.Errorf("--btf %s gives %s, which the whole folder has not", sub, k.ID)
			}
		}
	}
	for _, id := range []string{"android/rock5b/arm64/rock5b-5.10-f9d1b1529-arm64", "centos/8/arm64/4.18.0-147.5.1.el8_1.aarch64"} {
		if k := byID[id]; k != nil {
			if btf, _, err := k.Load(); err != nil || btf.NumTypes() < 10000 {
				t.Errorf("%s: %v", id, err)
			}
		}
	}
}

func TestHost(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/sys/kernel/btf/vmlinux"); err != nil {
		t.Skip("the running kernel has no BTF")
	}
	k, err := Host()
	if k == nil {
		t.Fatal(err)
	}
	release, readErr := os.ReadFile("/proc/sys/kernel/osrelease")
	if readErr != nil {
		t.Fatal(readErr)
	}
	if k.Uname != strings.TrimSpace(string(release)) || k.Version.IsZero() || k.VersionFrom == "" || k.Arch == unknownPart || k.Source == "" {
		t.Errorf("got %+v", k)
	}
	btf, modules, loadErr := k.Load()
	if loadErr != nil || btf.NumTypes() < 1000 || (len(modules) > 0) != slices.Contains(k.Facts(), "modules") {
		t.Errorf("%v, %d modules, %v; facts %q", btf, len(modules), loadErr, k.Facts())
	}
}

func TestOSRelease(t *testing.T) {
	t.Parallel()
	m := osRelease("# a comment\nID=debian\nVERSION_ID=\"12\"\nNAME='Debian GNU/Linux'\n\nBAD\nEMPTY=\nHALF=\"x\n#ID=other\n")
	for k, want := range map[string]string{"ID": "debian", "VERSION_ID": "12", "NAME": "Debian GNU/Linux", "EMPTY": "", "HALF": `"x`, "BAD": ""} {
		if m[k] != want {
			t.Errorf("%s is %q, want %q", k, m[k], want)
		}
	}
	if len(m) != 5 {
		t.Errorf("got %q", m)
	}
}
