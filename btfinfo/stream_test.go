package btfinfo

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"io"
	"testing"
	"testing/iotest"

	"github.com/klauspost/compress/zstd"
	ulikunitz "github.com/ulikunitz/xz"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

const streamBanner = "Linux version 6.1.0-50-amd64 (x@y) (gcc) #1 SMP Debian 6.1.176-1 (2026-07-02)\n\x00"

// streamKernel is the BTF of a kernel, and a builder to continue it with.
func streamKernel() (*btfbuild.Builder, []byte) {
	b := btfbuild.New()
	ids := b.Kernelish(8)
	b.Struct("task_struct", 4, btfbuild.Member{Name: "pid", Type: ids["int"]})
	return b, b.Bytes(binary.LittleEndian)
}

// A vmlinux with debug information passes once, and is not read beyond its BTF.
func TestReadStream(t *testing.T) {
	t.Parallel()
	_, raw := streamKernel()
	elf := testELF{elfClass64, binary.LittleEndian, 62, []testSection{
		{name: ".text", data: bytes.Repeat([]byte{0x90}, 1<<20)}, {name: ".rodata", data: []byte(streamBanner)}, {name: ".BTF", data: raw},
		{name: ".debug_info", data: bytes.Repeat([]byte("debug "), 2<<20)},
	}, nil}.build()
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(elf), "in small pieces": iotest.HalfReader(bytes.NewReader(elf))} {
		read := &counter{r: r}
		f, err := ReadStream(read, int64(len(elf)), "vmlinux", nil)
		if err != nil {
			t.Fatal(name, err)
		}
		if f.Banner.Uname != "6.1.0-50-amd64" || f.Arch != "x86_64" || !bytes.Equal(f.Raw, raw) {
			t.Errorf("%s: uname %q, arch %q, %d bytes of BTF", name, f.Banner.Uname, f.Arch, len(f.Raw))
		}
		if read.n > 2<<20 {
			t.Errorf("%s: %d of %d bytes were read", name, read.n, len(elf))
		}
	}
	broken := errors.New("connection reset")
	if _, err := ReadStream(io.MultiReader(bytes.NewReader(elf[:1<<19]), iotest.ErrReader(broken)), int64(len(elf)), "vmlinux", nil); !errors.Is(err, broken) {
		t.Errorf("a stream that fails: %v", err)
	}
}

// An input without BTF says so, and what it is; damage is another error.
func TestFound(t *testing.T) {
	t.Parallel()
	base, raw := streamKernel()
	kernel := testELF{elfClass64, binary.LittleEndian, 62, []testSection{{name: ".rodata", data: []byte(streamBanner)}}, nil}.build()
	module := testELF{elfClass64, binary.LittleEndian, 62, []testSection{{name: ".modinfo", data: []byte("name=ext4\x00vermagic=6.1.0-50-amd64 SMP\x00")}}, nil}.build()
	for name, tt := range map[string]struct {
		data                []byte
		uname, arch, module string
	}{
		"vmlinux": {kernel, "6.1.0-50-amd64", "x86_64", ""},
		"Image":   {testImage(arm64Magic, []byte(streamBanner), nil), "6.1.0-50-amd64", "arm64", ""},
		"module":  {module, "6.1.0-50-amd64", "x86_64", "ext4"},
	} {
		_, err := Read(bytes.NewReader(tt.data), int64(len(tt.data)), name, nil)
		var e *Error
		if !errors.As(err, &e) || e.Found == nil {
			t.Errorf("%s: got %v", name, err)
			continue
		}
		if f := e.Found; f.Banner.Uname != tt.uname || f.Arch != tt.arch || f.Module != tt.module || f.BTF != nil {
			t.Errorf("%s: found %+v", name, f)
		}
	}
	damaged := testELF{elfClass64, binary.LittleEndian, 62, []testSection{{name: ".BTF", data: raw[:30]}}, nil}.build()
	_, err := Read(bytes.NewReader(damaged), int64(len(damaged)), "damaged", nil)
	var e *Error
	if !errors.As(err, &e) || e.Found != nil {
		t.Errorf("damaged BTF: %v, found %+v", err, e)
	}

	// Unparsed: a module before its kernel.
	split := btfbuild.NewSplit(base)
	split.Struct("own", 4)
	own := split.Bytes(binary.LittleEndian)
	module = testELF{elfClass64, binary.LittleEndian, 62, []testSection{{name: ".modinfo", data: []byte("name=ext4\x00")}, {name: ".BTF", data: own}}, nil}.build()
	f, err := Read(bytes.NewReader(module), int64(len(module)), "ext4.ko", &Options{Unparsed: true})
	if err != nil || f.BTF != nil || !bytes.Equal(f.Raw, own) {
		t.Errorf("unparsed: %v, %+v", err, f)
	}
	if _, err := Read(bytes.NewReader(module), int64(len(module)), "ext4.ko", nil); !errors.Is(err, ErrNoBase) {
		t.Errorf("without its kernel: %v", err)
	}
}

// One Expander reads stream after stream of whatever kind, also after one that is damaged.
func TestExpander(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("all work and no play "), 20_000)
	pack := func(how string) []byte {
		var b bytes.Buffer
		var w io.WriteCloser
		var err error
		switch how {
		case "gzip":
			w = gzip.NewWriter(&b)
		case "xz":
			w, err = ulikunitz.NewWriter(&b)
		case "zstd":
			w, err = zstd.NewWriter(&b)
		default:
			return text
		}
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	var x Expander
	for _, how := range []string{"xz", "zstd", "gzip", "", "xz", "gzip", "zstd"} {
		data := pack(how)
		if err := x.Reset(bytes.NewReader(data)); err != nil {
			t.Fatal(how, err)
		}
		if x.Format() != how {
			t.Errorf("format is %q, want %q", x.Format(), how)
		}
		if got, err := io.ReadAll(&x); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes, %v", how, len(got), err)
		}
		if how == "" {
			continue
		}
		var e *Error
		err := x.Reset(bytes.NewReader(data[:len(data)/2]))
		if err == nil {
			_, err = io.ReadAll(&x)
		}
		if !errors.As(err, &e) || e.Hint == "" {
			t.Errorf("half of %s: %v", how, err)
		}
		if _, again := x.Read(make([]byte, 1)); again == nil {
			t.Errorf("half of %s: no error when read on", how)
		}
	}
	if err := x.Reset(bytes.NewReader(nil)); err != nil {
		t.Error(err)
	}
	if n, err := x.Read(make([]byte, 1)); n != 0 || err != io.EOF {
		t.Errorf("nothing expands to %d bytes, %v", n, err)
	}
	x.Close()
	if _, err := x.Read(make([]byte, 1)); err == nil || err == io.EOF {
		t.Errorf("closed, and read: %v", err)
	}
}
