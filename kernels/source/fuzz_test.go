package source

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

// fuzzPackage reads a package and makes builds of it: an error of btfinfo with a hint, or a part; never both, and soon.
func fuzzPackage(t *testing.T, data []byte) {
	start := time.Now()
	part, err := ReadPackage(context.Background(), archive.Source{URI: "p"}, bytes.NewReader(data), nil)
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("%d bytes took %v", len(data), took)
	}
	var e *btfinfo.Error
	if (part == nil) == (err == nil) || err != nil && (!errors.As(err, &e) || e.Hint == "" || e.File == "") {
		t.Fatalf("part %v with error %v", part, err)
	}
	walkAll(t, data)
	if err != nil {
		return
	}
	builds, err := Join([]*Part{part}, nil)
	var list kernels.FileErrors
	if err != nil && !errors.As(err, &list) {
		t.Fatalf("Join: %v", err)
	}
	for _, b := range builds {
		if b.ID == "" || (b.BTF == nil) == (b.NoBTF == "") {
			t.Fatalf("build %+v", b.Kernel)
		}
	}
}

// walkAll goes through a package to its end, and looks at the paths.
func walkAll(t *testing.T, data []byte) {
	p, err := OpenPackage(context.Background(), "p", bytes.NewReader(data))
	if err != nil {
		return // ReadPackage said it, too
	}
	seen := map[string]bool{}
	err = p.Walk(func(f *PackageFile, r io.Reader) error {
		if seen[f.Path] || strings.HasPrefix(f.Path, "/") || slices.Contains(strings.Split(f.Path, "/"), "..") {
			t.Fatalf("the path %q", f.Path)
		}
		seen[f.Path] = true
		return nil
	})
	var e *btfinfo.Error
	if err != nil && (!errors.As(err, &e) || e.Hint == "" || e.File == "") {
		t.Fatalf("error %v", err)
	}
}

// FuzzDeb reads .deb packages: the ar archive, and in it control.tar and data.tar.
func FuzzDeb(f *testing.F) {
	k := newFake(uname61, "6.1.176-1")
	for _, compression := range []string{"", "gz", "xz", "zst"} {
		d := wholeDeb(k, "6.1.176-1")
		d.compression = compression
		f.Add(d.build())
	}
	d := wholeDeb(k, "6.1.176-1")
	d.unlisted, d.compression = true, ""
	f.Add(d.build())
	f.Fuzz(fuzzPackage)
}

// FuzzRPM reads .rpm packages: the headers, and the cpio archive in both forms.
func FuzzRPM(f *testing.F) {
	k := newFake("6.8.5-301.fc40.x86_64", "")
	for _, compression := range []string{"", "zst"} {
		for _, short := range []bool{false, true} {
			r := wholeRPM(k)
			r.compression, r.short = compression, short
			f.Add(r.build())
		}
	}
	f.Fuzz(fuzzPackage)
}

// FuzzCpio reads cpio archives by themselves: what is read is never more than there is.
func FuzzCpio(f *testing.F) {
	r := wholeRPM(newFake("6.8.5-301.fc40.x86_64", ""))
	r.compression = ""
	data := r.build()
	f.Add(data[bytes.Index(data, []byte(cpioNew)):])
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &cpioReader{in: bytes.NewReader(data), files: []rpmFile{{path: "/a", size: 3, mode: modeRegular}}}
		total := int64(0)
		for {
			m, err := c.next()
			if err != nil {
				break
			}
			if len(m.path) > maxPath {
				t.Fatalf("a path of %d bytes", len(m.path))
			}
			n, _ := io.Copy(io.Discard, c)
			if total += n; n > m.size || total > int64(len(data)) {
				t.Fatalf("%d bytes of %d, %d of %d in all", n, m.size, total, len(data))
			}
		}
	})
}

// FuzzConfig reads configurations.
func FuzzConfig(f *testing.F) {
	f.Add(newFake(uname61, "6.1.176-1").conf())
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parseConfig(data)
		if (c == nil) == (err == nil) {
			t.Fatal(c, err)
		}
	})
}
