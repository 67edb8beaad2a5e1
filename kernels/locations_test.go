package kernels

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels/archive"
)

func TestUserArchive(t *testing.T) {
	for _, tt := range []struct{ xdg, home, want string }{
		{"/data", "/home/me", "/data/corecheck/kernels.ccar"},
		{"", "/home/me", "/home/me/.local/share/corecheck/kernels.ccar"},
		{"data", "/home/me", "/home/me/.local/share/corecheck/kernels.ccar"}, // a relative one does not count
		{"", "", ""},
		{"", "here", ""},
	} {
		t.Setenv("XDG_DATA_HOME", tt.xdg)
		t.Setenv("HOME", tt.home)
		got, err := UserArchive()
		if got != tt.want || (err != nil) != (tt.want == "") {
			t.Errorf("XDG_DATA_HOME=%q HOME=%q: got %q, %v, want %q", tt.xdg, tt.home, got, err, tt.want)
		}
	}
}

func TestArchives(t *testing.T) {
	home := t.TempDir()
	user := filepath.Join(home, "corecheck", "kernels.ccar")
	if err := os.Mkdir(filepath.Dir(user), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		named []string
		env   string
		user  bool // there is a file
		want  []string
		write string // "" for an error
	}{
		{"nothing", nil, "", false, nil, user},
		{"the user's", nil, "", true, []string{user}, user},
		{"the environment's", nil, "/a:/b", true, []string{"/a", "/b"}, ""},
		{"one in the environment", nil, ":/a:", true, []string{"/a"}, "/a"},
		{"named", []string{"c"}, "/a:/b", true, []string{"c"}, "c"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("XDG_DATA_HOME", home)
			t.Setenv(EnvArchive, tt.env)
			os.Remove(user)
			if tt.user {
				if err := os.WriteFile(user, nil, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if got := Archives(tt.named); !slices.Equal(got, tt.want) {
				t.Errorf("asked: got %q, want %q", got, tt.want)
			}
			got, err := ArchiveToWrite(strings.Join(tt.named, ""))
			if got != tt.write || (err != nil) != (tt.write == "") {
				t.Errorf("to write: got %q, %v, want %q", got, err, tt.write)
			}
		})
	}
}

// A kernel that several archives have is that of the first, and tells which that is.
func TestSourcesArchives(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, unames ...string) string {
		path := filepath.Join(dir, name)
		err := archive.Update(path, archive.UpdateOptions{}, func(w *archive.Writer) error {
			for _, uname := range unames {
				b := btfbuild.New()
				b.Kernelish(8)
				b.Struct(strings.TrimSuffix(name, ".ccar"), 0)
				btf, err := btfinfo.Parse(b.Bytes(btfbuild.Orders()["little"]))
				if err != nil {
					return err
				}
				k := archive.Kernel{ID: "a/b/x86_64/" + uname, Distro: "a", Release: "b", Arch: "x86_64", Uname: uname, Version: uname, VersionFrom: "uname"}
				if _, err := w.Add(&archive.Build{Kernel: k, BTF: btf}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := file("one.ccar", "6.1.0", "6.2.0"), file("two.ccar", "6.2.0", "6.3.0")
	all, err := Sources{Archives: []string{one, two}}.Kernels()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, k := range all {
		a, i, ok := k.Archived()
		if !ok || a.Kernel(i).ID != k.ID || a.Name() != k.Source {
			t.Errorf("%s: it is not said to be in %s", k.ID, k.Source)
		}
		btf, _, err := k.Load()
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"one", "two"} {
			if len(btf.Named(name)) > 0 {
				got = append(got, k.Uname+" "+name)
			}
		}
	}
	if want := []string{"6.1.0 one", "6.2.0 one", "6.3.0 two"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// One that isn't there hides no other.
	all, err = Sources{Archives: []string{filepath.Join(dir, "none"), two}}.Kernels()
	if len(all) != 2 || err == nil || !strings.Contains(err.Error(), "can't be opened") {
		t.Errorf("got %d kernels and %v, want 2 and an error about a missing file", len(all), err)
	}
	if _, _, ok := New("a/b/c/d", Version{}, nil).Archived(); ok {
		t.Error("a kernel in memory is said to be in an archive")
	}
}
