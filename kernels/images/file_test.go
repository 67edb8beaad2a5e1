package images

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// unpack writes a package's files into a folder.
func unpack(t testing.TB, dir string, debs ...*pulltest.Deb) {
	t.Helper()
	for _, d := range debs {
		for path, content := range d.Files {
			write(t, filepath.Join(dir, path), content)
		}
	}
}

// An image that the user names, as a package or as a file, with modules in any of the places where they may be.
func TestFromFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one := whole()
	image, modules, base := split()
	debs := save(t, filepath.Join(dir, "debs"), one, image, modules, base)
	unpack(t, filepath.Join(dir, "root"), one)                    // boot/ and usr/lib/modules/ beside each other
	unpack(t, filepath.Join(dir, "new"), image, modules, base)    // image in lib/modules/UNAME
	unpack(t, filepath.Join(dir, "apart/modules"), modules, base) // modules elsewhere
	write(t, filepath.Join(dir, "apart/bzImage"), image.Files["usr/lib/modules/"+newUname+"/vmlinuz"])
	write(t, filepath.Join(dir, "apart/config"), []byte(pulltest.Config))
	// A folder that depmod has been over has the aliases in a list; without one what is only liked is not found.
	const unaliased = "jbd2 mbcache ext4!"
	write(t, filepath.Join(dir, "new/usr/lib/modules", newUname, "modules.alias"), []byte("# Aliases\nalias pci:v* x\nalias crc32c crc32c_intel\nalias crc32c crc32c-gen\n"))
	f, err := New(Options{CacheDir: filepath.Join(dir, "cache")})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, image, modules, uname, want string
	}{
		{"package", debs[0], "", oldUname, ext4Order},
		{"image package and modules package", debs[1], debs[2], newUname, ext4Order},
		{"image package and folder", debs[1], filepath.Join(dir, "new/usr/lib/modules", newUname), newUname, ext4Order},
		{"image in boot", filepath.Join(dir, "root/boot/vmlinuz-"+oldUname), "", oldUname, unaliased},
		{"image with its modules", filepath.Join(dir, "new/usr/lib/modules", newUname, "vmlinuz"), "", newUname, ext4Order},
		{"root of a system", filepath.Join(dir, "apart/bzImage"), filepath.Join(dir, "apart/modules"), newUname, unaliased},
		{"lib/modules", filepath.Join(dir, "apart/bzImage"), filepath.Join(dir, "apart/modules/usr/lib/modules"), newUname, unaliased},
	} {
		t.Run(tc.name, func(t *testing.T) {
			files, err := f.FromFile(t.Context(), tc.image, tc.modules, []string{"ext4", "nosuch"})
			if err != nil {
				t.Fatal(err)
			}
			if tc.image == debs[1] && files.Config == "" { // it is in linux-base, or with modules that are in a folder
				files.Config = write(t, filepath.Join(t.TempDir(), "config"), []byte(pulltest.Config))
			}
			look(t, files, tc.uname, tc.want)
			if !slices.Equal(files.Missing, []string{"nosuch"}) || files.NoModules != nil {
				t.Errorf("missing %q, %v", files.Missing, files.NoModules)
			}
			temp := files.temp
			if err := files.Close(); err != nil {
				t.Error(err)
			}
			if _, err := os.Stat(temp); temp != "" && err == nil {
				t.Errorf("%s is still there", temp)
			}
		})
	}
	for _, tc := range []struct {
		name, image, modules string
		words                []string // of NoModules where it is one
		no                   bool
	}{
		{"no such file", filepath.Join(dir, "nosuch"), "", []string{"nosuch: can't be read"}, false},
		{"a folder", dir, "", []string{"directory"}, false},
		{"text", write(t, filepath.Join(dir, "text"), []byte("text")), "", []string{"text"}, false},
		{"module", filepath.Join(dir, "root/usr/lib/modules", oldUname, "kernel/fs/ext4/ext4.ko"), "", []string{"is no image of a kernel"}, false},
		{"package without an image", debs[2], "", []string{"the package linux-modules-7.2.12+deb13-amd64 has no boot image"}, false},
		{"damaged package", write(t, filepath.Join(dir, "damaged.deb"), one.Build()[:9000]), "", []string{"damaged.deb", "too early"}, false},
		{"image package alone", debs[1], "", []string{"has no modules of " + newUname}, true},
		{"modules of another kernel", debs[1], debs[0], []string{"has no modules of " + newUname}, true},
		{"folder of another kernel", debs[1], filepath.Join(dir, "root/usr/lib/modules", oldUname), []string{"the module is for the kernel 6.1.0-50-amd64, the image is 7.2.12+deb13-amd64"}, false},
		{"empty folder", debs[1], t.TempDir(), []string{"has no modules of " + newUname}, true},
		{"no folder", debs[1], filepath.Join(dir, "nosuch"), []string{"neither a folder nor a package"}, false},
		{"nothing beside it", filepath.Join(dir, "apart/bzImage"), "", []string{"there is no folder lib/modules/" + newUname}, true},
		{"a damaged module in a folder", filepath.Join(dir, "new/usr/lib/modules", newUname, "vmlinuz"), "", []string{"broken.ko.xz: ", "starts with"}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			wanted := []string{"ext4"}
			if strings.Contains(tc.name, "damaged module") {
				wanted = []string{"broken"}
			}
			files, err := f.FromFile(t.Context(), tc.image, tc.modules, wanted)
			if !tc.no {
				wantErr(t, err, tc.words...)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer files.Close()
			wantErr(t, files.NoModules, tc.words...)
			if !slices.Equal(files.Missing, []string{"ext4"}) || len(files.Modules) > 0 {
				t.Errorf("missing %q, modules %q", files.Missing, names(files))
			}
		})
	}
}
