package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// walkOf lists what a walk hands over.
func walkOf(t *testing.T, data []byte) (lines []string, p *Package, err error) {
	t.Helper()
	p, err = OpenPackage(t.Context(), "p", bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	err = p.Walk(func(f *PackageFile, r io.Reader) error {
		n, err := io.Copy(io.Discard, r)
		if f.Link != "" {
			n = int64(len(f.Link))
		}
		lines = append(lines, fmt.Sprintf("%s %s %s %s %d/%d %o", f.Path, f.Kind, f.Uname, f.Module, n, f.Size, f.Mode))
		return err
	})
	return lines, p, err
}

func TestWalk(t *testing.T) {
	t.Parallel()
	k := newFake(uname61, "6.1.176-1")
	for name, data := range map[string][]byte{"deb": wholeDeb(k, "6.1.176-1").build(), "rpm": wholeRPM(newFake(uname61, "")).build()} {
		lines, p, err := walkOf(t, data)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Kind != name || !p.Listed || len(p.Files) == 0 || p.Name == "" || p.Version == "" || p.Arch == "" {
			t.Errorf("%s: %+v", name, p)
		}
		all := strings.Join(lines, "\n")
		for _, want := range []string{" image " + uname61 + "  ", " config " + uname61 + "  ", " module " + uname61 + " ext4 "} {
			if !strings.Contains(all, want) {
				t.Errorf("%s: no %q in\n%s", name, want, all)
			}
		}
		// It ends where the caller has enough, and with the caller's own error.
		own := errors.New("the disk is full")
		for _, end := range []error{fs.SkipAll, own} {
			p, err := OpenPackage(t.Context(), "p", bytes.NewReader(data))
			if err != nil {
				t.Fatal(err)
			}
			n := 0
			err = p.Walk(func(*PackageFile, io.Reader) error { n++; return end })
			if n != 1 || end == own && err != own || end == fs.SkipAll && err != nil {
				t.Errorf("%s: %d files, %v, want %v after one", name, n, err, end)
			}
		}
	}
}

// What is wrong with a package is its error, whoever was reading it; what is wrong with the reader is not.
func TestWalkErrors(t *testing.T) {
	t.Parallel()
	k := newFake(uname61, "6.1.176-1")
	d := wholeDeb(k, "6.1.176-1")
	d.compression = ""
	data := d.build()
	_, _, err := walkOf(t, data[:len(data)-2000])
	var e *btfinfo.Error
	if !errors.As(err, &e) || !strings.HasPrefix(e.File, "p: data.tar") || !strings.Contains(err.Error(), "too early") {
		t.Errorf("cut off: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := OpenPackage(ctx, "p", bytes.NewReader(data)); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := OpenPackage(t.Context(), "p", strings.NewReader("text")); err == nil || !strings.Contains(err.Error(), "no package: starts with") {
		t.Errorf("text: %v", err)
	}
	for what, file := range map[string]packed{"leads out of the package": {path: "../x", data: []byte("x")}, "is in the package twice": d.files[0]} {
		bad := d
		bad.files = append(append([]packed{}, d.files...), file)
		if _, _, err := walkOf(t, bad.build()); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPlaceOfPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]FilePlace{
		"boot/vmlinuz-6.1":                    {ImageFile, "6.1", ""},
		"./usr/lib/modules/6.1/config":        {ConfigFile, "6.1", ""},
		"/lib/modules/6.1/kernel/a-b.ko.zst":  {ModuleFile, "6.1", "a_b"},
		"lib/modules/6.1/../../../etc/passwd": {},
		"etc/passwd":                          {},
	} {
		if got := PlaceOf(path); got != want {
			t.Errorf("%s: %+v, want %+v", path, got, want)
		}
	}
	if !IsPackage([]byte(arMagic)) || !IsPackage([]byte(rpmMagic+"....")) || IsPackage([]byte("text")) || IsPackage(nil) {
		t.Error("what a package is")
	}
}
