package source

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/kernels/archive"
)

func needTool(t *testing.T, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed", name)
	}
}

func run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// Packages that dpkg-deb builds, with every compression that it knows.
func TestDpkgDeb(t *testing.T) {
	t.Parallel()
	needTool(t, "dpkg-deb")
	f := newFake(uname61, "6.1.176-1")
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for _, p := range wholeDeb(f, "6.1.176-1").files {
		write(t, root, p.path, p.data)
	}
	if err := os.Symlink("vmlinuz-"+uname61, filepath.Join(root, "boot/vmlinuz")); err != nil {
		t.Fatal(err)
	}
	write(t, root, "DEBIAN/control", []byte("Package: linux-image-"+uname61+"\nVersion: 6.1.176-1\nArchitecture: amd64\nMaintainer: Debian Kernel Team <debian-kernel@lists.debian.org>\nDescription: Linux\n"))
	for _, compression := range []string{"none", "gzip", "xz", "zstd"} {
		deb := filepath.Join(dir, compression+".deb")
		run(t, "dpkg-deb", "--root-owner-group", "-Z"+compression, "-b", root, deb)
		builds, err := readPaths(t, nil, deb)
		if err != nil || len(builds) != 1 {
			t.Errorf("%s: %d builds, %v", compression, len(builds), err)
			continue
		}
		b := builds[0]
		if b.ID != "debian/12/x86_64/"+uname61 || !slices.Equal(moduleNames(b), []string{"ext4", "nf_tables"}) || len(b.Sources[0].SHA256) != 64 {
			t.Errorf("%s: got %+v with modules %v", compression, b.Kernel, moduleNames(b))
		}
	}
}

// Packages that rpmbuild builds, split as Fedora's, with every compression that its kernels had.
func TestRPMBuild(t *testing.T) {
	t.Parallel()
	needTool(t, "rpmbuild")
	const uname = "6.8.5-301.fc40.x86_64"
	f := newFake(uname, "")
	dir := t.TempDir()
	root := filepath.Join(dir, "root")
	for _, p := range wholeRPM(f).files {
		write(t, root, p.path, p.data)
	}
	spec := write(t, dir, "kernel.spec", fmt.Appendf(nil, `
Name: kernel
Version: 6.8.5
Release: 301.fc40
Summary: Linux
License: GPL-2.0-only
Vendor: Fedora Project
AutoReqProv: no
%%global debug_package %%{nil}
%%global __os_install_post %%{nil}
%%description
Linux
%%package core
Summary: image
%%description core
image
%%package modules-core
Summary: modules
%%description modules-core
modules
%%package modules
Summary: more modules
%%description modules
more modules
%%install
mkdir -p %%{buildroot}
cp -a %[1]s/. %%{buildroot}
ln %%{buildroot}/lib/modules/%[2]s/vmlinuz %%{buildroot}/lib/modules/%[2]s/zz-another-name
%%files core
/lib/modules/%[2]s/vmlinuz
/lib/modules/%[2]s/zz-another-name
/lib/modules/%[2]s/config
/lib/modules/%[2]s/System.map
%%ghost /boot/vmlinuz-%[2]s
%%files modules-core
/lib/modules/%[2]s/kernel/fs
%%files modules
/lib/modules/%[2]s/kernel/net
/lib/modules/%[2]s/kernel/lib
`, root, uname))
	for _, payload := range []string{"w9.gzdio", "w6.xzdio", "w19.zstdio", "w9.bzdio"} {
		top := filepath.Join(dir, payload)
		run(t, "rpmbuild", "-bb", "--quiet", "--target", "x86_64-linux", "--define", "_topdir "+top, "--define", "_binary_payload "+payload, "--define", "_dbpath "+dir+"/db", spec)
		rpms, err := filepath.Glob(top + "/RPMS/*/*.rpm")
		if err != nil || len(rpms) != 3 {
			t.Fatalf("%s: rpmbuild made %q, %v", payload, rpms, err)
		}
		builds, err := readPaths(t, nil, rpms...)
		if err != nil || len(builds) != 1 {
			t.Errorf("%s: %d builds, %v", payload, len(builds), err)
			continue
		}
		b := builds[0]
		if b.ID != "fedora/40/x86_64/"+uname || b.Package != "kernel-core" || b.PackageVersion != "6.8.5-301.fc40" || !b.ModulesRead ||
			!slices.Equal(moduleNames(b), []string{"ext4", "nf_tables"}) || len(b.Sources) != 3 {
			t.Errorf("%s: got %+v with modules %v", payload, b.Kernel, moduleNames(b))
		}
	}
}

// Every BTF of BTFHub's folders that lies beside the checkout is read, under the ID that its path gives.
func TestBTFHub(t *testing.T) {
	t.Parallel()
	const hub = "../../../shared/btfhub"
	files, err := filepath.Glob(hub + "/*/*")
	if err != nil || len(files) == 0 {
		t.Skip("no BTFHub folder beside the checkout")
	}
	want := 0
	filepath.WalkDir(hub, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".btf.tar.xz") {
			want++
		}
		return err
	})
	seen := map[string]bool{}
	err = Read(context.Background(), []string{hub}, nil, func(b *archive.Build) error {
		if b.BTF == nil || len(strings.Split(b.ID, "/")) != 4 || strings.Contains(b.ID, "unknown/unknown") {
			t.Errorf("got %s, BTF %v", b.ID, b.BTF != nil)
		}
		seen[b.ID] = true
		return nil
	})
	if err != nil || len(seen) != want {
		t.Errorf("%d of %d kernels, %v", len(seen), want, err)
	}
}
