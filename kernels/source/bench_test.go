package source

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
)

// benchDeb is a package to measure with: the one that CORECHECK_BENCH_DEB names, or one that is made of an embedded kernel: its
// BTF in an image of a usual size, and modules with as much code as BTF in them, compressed as Debian's.
func benchDeb(b *testing.B) []byte {
	b.Helper()
	if path := os.Getenv("CORECHECK_BENCH_DEB"); path != "" {
		data, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		return data
	}
	vmlinux := embeddedBTF(b, 1)[0]
	f := newFake(uname61, "6.1.176-1")
	// What code compresses to is about half: random bytes, each twice.
	code := func(n int) []byte {
		text := make([]byte, n)
		r := rand.NewChaCha8([32]byte{byte(n)})
		r.Read(text[:n/2])
		copy(text[n/2:], text[:n/2])
		return text
	}
	image := elfFile(f.order, f.machine, section{".text", code(20 << 20)}, section{".rodata", []byte(f.banner)}, section{".BTF", vmlinux.raw}, section{".data", code(10 << 20)})
	d := wholeDeb(f, "6.1.176-1")
	d.files = d.files[:3]
	d.files[2].data = compress("zst", image)
	module := elfFile(f.order, f.machine, section{".text", code(60 << 10)}, section{".modinfo", []byte("name=ext4\x00")})
	for i := range 100 {
		name := string(rune('a'+i/26)) + string(rune('a'+i%26))
		d.files = append(d.files, packed{path: "lib/modules/" + uname61 + "/kernel/" + name + ".ko.xz", data: compress("xz", bytes.Replace(module, []byte("name=ext4"), []byte("name="+name+"\x00\x00"), 1))})
	}
	return d.build()
}

// BenchmarkDeb adds one kernel from its package, and beside it does no more than expand what has to be read for that: data.tar as
// far as the last file that is wanted, and in it ("naive") the image up to the end of its BTF and the modules, one after the
// other. The bar is 1.5 times the time of that.
func BenchmarkDeb(b *testing.B) {
	data := benchDeb(b)
	for _, modules := range []string{"none", "all"} {
		filter, err := ParseModules(modules)
		if err != nil {
			b.Fatal(err)
		}
		opt := &Options{Modules: filter}
		part, err := ReadPackage(context.Background(), archive.Source{URI: "bench.deb"}, bytes.NewReader(data), opt)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(modules+"/corecheck", func(b *testing.B) {
			b.SetBytes(part.Read)
			b.ReportAllocs()
			for b.Loop() {
				part, err := ReadPackage(context.Background(), archive.Source{URI: "bench.deb"}, bytes.NewReader(data), opt)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := Join([]*Part{part}, opt); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(modules+"/naive", func(b *testing.B) {
			b.SetBytes(part.Read)
			for b.Loop() {
				expandOnly(b, data, part, filter)
			}
		})
		b.Run(modules+"/naive-data.tar", func(b *testing.B) {
			b.SetBytes(part.Read)
			for b.Loop() {
				x, ar := dataTar(b, data)
				_ = ar
				if _, err := io.CopyN(io.Discard, x, part.Expanded); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// dataTar is the start of a package's data.tar.
func dataTar(b *testing.B, data []byte) (*btfinfo.Expander, *arReader) {
	_, ar, _, err := readDeb(newCounted(context.Background(), bytes.NewReader(data), nil))
	if err != nil {
		b.Fatal(err)
	}
	x := new(btfinfo.Expander)
	if err := x.Reset(ar); err != nil {
		b.Fatal(err)
	}
	return x, ar
}

// expandOnly expands what was read for a part, and looks at nothing.
func expandOnly(b *testing.B, data []byte, part *Part, filter ModuleFilter) {
	outer, _ := dataTar(b, data)
	var inner btfinfo.Expander
	tr := tar.NewReader(io.LimitReader(outer, part.Expanded))
	for {
		h, err := tr.Next()
		if err != nil {
			return
		}
		p, _ := placeOf(h.Name)
		switch {
		case p.role == roleImage && h.Typeflag == tar.TypeReg:
			image, err := io.ReadAll(tr)
			if err != nil {
				b.Fatal(err)
			}
			expandImage(b, image)
		case p.role == roleModule && filter.Wants(p.module):
			if err := inner.Reset(tr); err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, &inner); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// expandImage expands the kernel in an image, as far as to the end of its BTF.
func expandImage(b *testing.B, image []byte) {
	f, ok := imageEnds[string(image[:1024])]
	if !ok {
		var err error
		if f, err = imageEnd(image); err != nil {
			b.Fatal(err)
		}
		imageEnds[string(image[:1024])] = f
	}
	x := new(btfinfo.Expander)
	if err := x.Reset(bytes.NewReader(image[f.at:])); err != nil {
		b.Fatal(err)
	}
	if _, err := io.CopyN(io.Discard, x, f.end); err != nil {
		b.Fatal(err)
	}
}

type imagePart struct {
	at  int   // where the compressed kernel starts
	end int64 // where its BTF ends, in the kernel
}

// imageEnds keeps where the BTF of an image ends: looking for it is not what is measured.
var imageEnds = map[string]imagePart{}

func imageEnd(image []byte) (imagePart, error) {
	f, err := btfinfo.Read(bytes.NewReader(image), int64(len(image)), "image", nil)
	if err != nil {
		return imagePart{}, err
	}
	for _, magic := range []string{"\x28\xb5\x2f\xfd", "\xfd7zXZ\x00", "\x1f\x8b\x08", "\x02\x21\x4c\x18"} {
		for at := 0; ; at++ {
			i := strings.Index(string(image[at:min(len(image), 1<<20)]), magic)
			if i < 0 {
				break
			}
			at += i
			x := new(btfinfo.Expander)
			if err := x.Reset(bytes.NewReader(image[at:])); err != nil {
				continue
			}
			kernel, _ := io.ReadAll(x) // ends in an error where something follows
			if i := bytes.Index(kernel, f.Raw); i >= 0 {
				return imagePart{at, int64(i + len(f.Raw))}, nil
			}
		}
	}
	return imagePart{}, io.ErrUnexpectedEOF
}
