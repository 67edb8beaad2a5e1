package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels/archive"
)

// deb makes a Debian package, deb(5), of files by their paths.
func deb(t *testing.T, name, version, arch string, files map[string]string) []byte {
	t.Helper()
	tarball := func(files map[string]string) string {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		for path, content := range files {
			if err := w.WriteHeader(&tar.Header{Name: "./" + path, Size: int64(len(content)), Mode: 0o644}); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write([]byte(content)); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	var b bytes.Buffer
	b.WriteString("!<arch>\n")
	for _, m := range [][2]string{
		{"debian-binary", "2.0\n"},
		{"control.tar", tarball(map[string]string{"control": fmt.Sprintf(
			"Package: %s\nVersion: %s\nArchitecture: %s\nMaintainer: Debian Kernel Team <debian-kernel@lists.debian.org>\n", name, version, arch)})},
		{"data.tar", tarball(files)},
	} {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n%s", m[0], 1700000000, 0, 0, 0o644, len(m[1]), m[1])
		if len(m[1])%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// image is BTF with one struct of its own.
func image(name string) string {
	b := btfbuild.New()
	ints := b.Kernelish(8)
	b.Struct(name, 4, btfbuild.Member{Name: "a", Type: ints["int"]})
	return string(b.Bytes(binary.LittleEndian))
}

// shop is a fetcher that has packages by name.
type shop struct {
	packages map[string][]byte
	closed   map[place]bool // places that can't be had at all
}

func (s *shop) list(place) (string, error) { return "", nil }

func (s *shop) open(at place, folder string) (session, error) { return &visit{s, at, folder}, nil }

type visit struct {
	*shop
	at     place
	folder string
}

func (v *visit) fetch(p pkg) (path, gone string, err error) {
	data := v.packages[p.name]
	if data == nil || v.closed[v.at] {
		return "", "404", nil
	}
	path = filepath.Join(v.folder, p.file())
	return path, "", os.WriteFile(path, data, 0o644)
}

func (v *visit) close() error { return nil }

// TestRun makes an archive and then, with packages that come and go, others over it.
func TestRun(t *testing.T) {
	t.Parallel()
	s := &shop{packages: map[string][]byte{}, closed: map[place]bool{}}
	lines := map[string]string{} // of packages.list, by package
	stock := func(release, suite, name, version, arch string, files map[string]string) {
		data := deb(t, name, version, arch, files)
		s.packages[name] = data
		digest := sha256.Sum256(data)
		lines[name] = strings.Join([]string{release, suite, arch, name, version, hex.EncodeToString(digest[:])}, " ") + "\n"
	}
	old, binary, base, arm := "linux-image-6.1.0-5-amd64", "linux-binary-7.2.1-amd64", "linux-base-7.2.1-amd64", "linux-image-6.1.0-5-arm64"
	stock("12", "bookworm", old, "6.1.9-1", "amd64", map[string]string{"boot/vmlinuz-6.1.0-5-amd64": image("old")})
	stock("12", "bookworm", arm, "6.1.9-1", "arm64", map[string]string{"boot/vmlinuz-6.1.0-5-arm64": image("arm")})
	stock("14", "sid", binary, "7.2.1-1", "amd64", map[string]string{"usr/lib/modules/7.2.1-amd64/vmlinuz": image("new")})
	stock("14", "sid", base, "7.2.1-1", "amd64", map[string]string{
		"boot/config-7.2.1-amd64": "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 7.2.1 Kernel Configuration\n#\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_PAHOLE_VERSION=132\n",
	})

	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("modules.list", "ext4\n")
	out := filepath.Join(dir, "kernels.ccar")
	run := func(names ...string) (string, error) {
		t.Helper()
		text := ""
		for _, n := range names {
			text += lines[n]
		}
		write("packages.list", text)
		var log strings.Builder
		b := builder{fetcher: s, folder: dir, out: out, log: &log}
		err := b.run(context.Background())
		return log.String(), err
	}
	bytesOf := func() string {
		t.Helper()
		data, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}

	// Nothing is there, and a package can't be had.
	s.closed[place{"sid", "amd64"}] = true
	if _, err := run(old, binary); err == nil || !strings.Contains(err.Error(), "1 kernels can't be had") ||
		!strings.Contains(err.Error(), "debian/14/x86_64/7.2.1-amd64: linux-binary-7.2.1-amd64 7.2.1-1: 404") {
		t.Errorf("without the package: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("an archive was written all the same")
	}

	// All is there.
	delete(s.closed, place{"sid", "amd64"})
	log, err := run(old, binary, base, arm)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "3 kernels, ") || strings.Contains(log, "kept") {
		t.Errorf("the log is %s", log)
	}
	whole := bytesOf()
	a, err := archive.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	ids := ""
	for _, k := range a.Kernels() {
		ids += k.ID + " " + k.Version + " " + k.Pahole + "\n"
	}
	if want := "debian/12/arm64/6.1.0-5-arm64 6.1.9 \ndebian/12/x86_64/6.1.0-5-amd64 6.1.9 \ndebian/14/x86_64/7.2.1-amd64 7.2.1 1.32\n"; ids != want {
		t.Errorf("the archive has\n%swant\n%s", ids, want)
	}
	if err := a.Close(); err != nil {
		t.Fatal(err)
	}

	// Once more, and in another order: the same bytes.
	if _, err := run(arm, base, binary, old); err != nil || bytesOf() != whole {
		t.Errorf("a second run: %v, the same bytes: %v", err, bytesOf() == whole)
	}

	// A part of a kernel goes, and all of another: both stay.
	delete(s.packages, base)
	delete(s.packages, old)
	log, err = run(old, binary, base, arm)
	if err != nil || bytesOf() != whole || !strings.Contains(log, "2 of them are kept") ||
		!strings.Contains(log, "debian/14/x86_64/7.2.1-amd64: linux-base-7.2.1-amd64 7.2.1-1: 404") {
		t.Errorf("packages gone: %v, the same bytes: %v\n%s", err, bytesOf() == whole, log)
	}

	// A file with another digest, and one that holds another kernel.
	s.packages[old] = s.packages[arm]
	if _, err := run(old, arm); err == nil || !strings.Contains(err.Error(), "SHA-256") || bytesOf() != whole {
		t.Errorf("another file: %v, the archive stays: %v", err, bytesOf() == whole)
	}
	stock("12", "bookworm", old, "6.1.9-1", "amd64", map[string]string{"boot/vmlinuz-6.1.0-6-amd64": image("old")})
	if _, err := run(old, arm); err == nil || !strings.Contains(err.Error(), "hold [\"debian/12/x86_64/6.1.0-6-amd64\"]") || bytesOf() != whole {
		t.Errorf("another kernel: %v, the archive stays: %v", err, bytesOf() == whole)
	}

	// What the list does not have any more goes, and without an old archive a part of a kernel is better than none.
	if _, err := run(arm); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(out); err != nil {
		t.Fatal(err)
	}
	if _, err := run(arm, binary, base); err != nil {
		t.Fatal(err)
	}
	if a, err = archive.Open(out); err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if i, ok := a.Index("debian/14/x86_64/7.2.1-amd64"); !ok || a.Len() != 2 {
		t.Errorf("%d kernels, 7.2.1 among them: %v", a.Len(), ok)
	} else if k := a.Kernel(i); k.Pahole != "" || len(k.Missing) == 0 || !strings.Contains(k.Missing[0].Reason, "not in Debian's archive any more") {
		t.Errorf("7.2.1 is %+v", k)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 3 {
		t.Errorf("files that are left: %v, %v", left, err)
	}
}
