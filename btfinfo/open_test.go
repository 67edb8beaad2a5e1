package btfinfo

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// openBytes opens data as Open does a file named "in".
func openBytes(data []byte, opt *Options) (*File, error) {
	return Read(bytes.NewReader(data), int64(len(data)), "in", opt)
}

func gzipped(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func zstdOf(data []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(data, nil)
}

type tarFile struct {
	name string
	data []byte
}

func tarred(files ...tarFile) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		w.WriteHeader(&tar.Header{Name: f.name, Mode: 0o644, Size: int64(len(f.data)), Typeflag: tar.TypeReg})
		w.Write(f.data)
	}
	w.Close()
	return b.Bytes()
}

// checkKernel checks that f is the kernel of kernelBuilder.
func checkKernel(t *testing.T, f *File) {
	t.Helper()
	if f.BTF == nil || f.Split() {
		t.Fatalf("BTF %v, split %v, want BTF that stands alone", f.BTF, f.Split())
	}
	ids := f.BTF.Named("task_struct", KindStruct)
	if len(ids) != 1 {
		t.Fatalf("%d types task_struct, want 1", len(ids))
	}
	if m := f.BTF.Type(ids[0]).Member(2); m.Name != "pid" || m.Off != 192 {
		t.Fatalf("member 2 of task_struct is %q at %d, want pid at 192", m.Name, m.Off)
	}
	if want := kernelBuilder().Bytes(f.BTF.ByteOrder()); !bytes.Equal(f.Raw, want) {
		t.Fatalf("Raw has %d bytes, want the %d that were put in", len(f.Raw), len(want))
	}
}

func TestOpenKernel(t *testing.T) {
	raw := kernelBuilder().Bytes(le)
	rawBig := kernelBuilder().Bytes(binary.BigEndian)
	kernel := kernelELF()
	elf := func(class byte, order binary.ByteOrder, machine uint16) []byte {
		return testELF{class: class, order: order, machine: machine, sections: []testSection{
			{name: ".bss", kind: shtNobits, data: make([]byte, 4096)},
			{name: ".rodata", data: kernelText()},
			{name: ".BTF", data: kernelBuilder().Bytes(order)},
		}}.build()
	}
	compressed := func(class byte, order binary.ByteOrder, kind uint32, data []byte) []byte {
		chdr := make([]byte, 24)
		order.PutUint32(chdr, kind)
		if class == elfClass32 {
			chdr = chdr[:12]
			order.PutUint32(chdr[4:], uint32(len(kernelBuilder().Bytes(order))))
		} else {
			order.PutUint64(chdr[8:], uint64(len(kernelBuilder().Bytes(order))))
		}
		return testELF{class: class, order: order, machine: 62, sections: []testSection{
			{name: ".BTF", flags: shfCompressed, data: append(chdr, data...)},
		}}.build()
	}
	zlibbed := func(data []byte) []byte {
		var b bytes.Buffer
		w := zlib.NewWriter(&b)
		w.Write(data)
		w.Close()
		return b.Bytes()
	}
	// Bigger than what a decompressor keeps, so that the way to the section headers is surveyed.
	large := testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{
		{name: ".rodata", data: kernelText()},
		{name: ".data", data: append([]byte("\x9f\xeb\x01\x00\x18\x00\x00\x00 not BTF"), make([]byte, inflatedHead+inflatedTail)...)},
		{name: ".BTF", data: raw},
		{name: ".tail", data: make([]byte, 2*inflatedTail)},
	}}.build()

	noNames := testELF{class: elfClass64, order: le, machine: 183, sections: []testSection{
		{name: ".rodata", data: kernelText()}, {name: ".BTF", data: raw},
	}, edit: func(h []byte) { copy(h[0x28:], make([]byte, 8)) }}.build()

	tests := []struct {
		name   string
		data   []byte
		steps  string
		arch   string
		banner bool
	}{
		{"raw", raw, "", "", false},
		{"raw big endian", rawBig, "", "", false},
		{"raw with more behind it", append(bytes.Clone(raw), "more"...), "", "", false},
		{"gzip", gzipped(raw), "gzip", "", false},
		{"gzip of gzip", gzipped(gzipped(rawBig)), "gzip, gzip", "", false},
		{"zstd", zstdOf(raw), "zstd", "", false},
		{"tar", tarred(tarFile{"README", []byte("text")}, tarFile{"a/6.1.btf", raw}), "tar: a/6.1.btf", "", false},
		{"tar of before POSIX", func() []byte {
			data := tarred(tarFile{"6.1.btf", raw})
			copy(data[257:265], make([]byte, 8))
			return checksummed(data)
		}(), "tar: 6.1.btf", "", false},
		{"gzip of tar", gzipped(tarred(tarFile{"6.1.btf", raw})), "gzip, tar: 6.1.btf", "", false},
		{"tar of zstd", tarred(tarFile{"6.1.btf.zst", zstdOf(raw)}), "tar: 6.1.btf.zst, zstd", "", false},
		{"tar of BTF and an image", tarred(tarFile{"vmlinux", kernel}, tarFile{"6.1.btf", raw}), "tar: 6.1.btf", "", false},
		{"tar of vmlinux", tarred(tarFile{"vmlinux", kernel}), "tar: vmlinux, ELF, .BTF", "x86_64", true},
		{"vmlinux", kernel, "ELF, .BTF", "x86_64", true},
		{"vmlinux 64 bits big endian", elf(elfClass64, binary.BigEndian, 22), "ELF, .BTF", "s390x", true},
		{"vmlinux 32 bits", elf(elfClass32, le, 40), "ELF, .BTF", "arm", true},
		{"vmlinux 32 bits big endian", elf(elfClass32, binary.BigEndian, 8), "ELF, .BTF", "mips", true},
		{"vmlinux of an unknown machine", elf(elfClass64, le, 9999), "ELF, .BTF", "", true},
		{"vmlinux, zlib section", compressed(elfClass64, le, elfcompressZ, zlibbed(raw)), "ELF, .BTF", "x86_64", false},
		{"vmlinux, zstd section", compressed(elfClass64, le, elfcompressZst, zstdOf(raw)), "ELF, .BTF", "x86_64", false},
		{"vmlinux 32 bits, zlib section", compressed(elfClass32, binary.BigEndian, elfcompressZ, zlibbed(rawBig)), "ELF, .BTF", "x86_64", false},
		{"large vmlinux in zstd", zstdOf(large), "zstd, ELF, .BTF", "x86_64", true},
		{"large vmlinux", large, "ELF, .BTF", "x86_64", true},
		{"vmlinux without section headers", noNames, "ELF, BTF", "arm64", true},
		{"Image arm64", testImage(arm64Magic, kernelText(), raw), "Image, BTF", "arm64", true},
		{"Image riscv", testImage(riscvMagic, kernelText(), raw), "Image, BTF", "riscv64", true},
		{"Image.gz", gzipped(testImage(arm64Magic, kernelText(), raw)), "gzip, Image, BTF", "arm64", true},
		{"Image with a window's edge in banner and BTF", testImage(arm64Magic,
			append(make([]byte, surveyWindow-4096-250), append(kernelText(), make([]byte, surveyWindow-surveyOverlap-780)...)...), raw), "Image, BTF", "arm64", true},
		{"Image with what looks like BTF before it", testImage(arm64Magic,
			append(append(kernelText(), "\x9f\xeb\x01\x00\x18\x00\x00\x00\x00\x00\x00\x00\x08\x00\x00\x00\x08\x00\x00\x00\x01\x00\x00\x00........"...), moduleBuilder(kernelBuilder()).Bytes(le)...), raw),
			"Image, BTF", "arm64", true},
		{"zboot of Image", testZboot(gzipped(testImage(arm64Magic, kernelText(), raw)), "gzip"), "zboot, gzip, Image, BTF", "arm64", true},
		{"zboot of zstd", testZboot(zstdOf(testImage(arm64Magic, kernelText(), raw)), "zstd22"), "zboot, zstd, Image, BTF", "arm64", true},
		{"s390x", testS390(zstdOf(append(kernelText(), rawBig...))), "s390x image, zstd, BTF", "s390x", true},
		{"s390x not compressed", testS390(append(kernelText(), rawBig...)), "s390x image, BTF", "s390x", true},
	}
	for _, p := range payloads {
		data := p.read(t)
		tests = append(tests, []struct {
			name   string
			data   []byte
			steps  string
			arch   string
			banner bool
		}{
			{p.file, data, p.step + ", ELF, .BTF", "x86_64", true},
			{"bzImage of " + p.file, testBzImage(p.inImage(data, len(kernel))), "bzImage, " + p.step + ", ELF, .BTF", "x86_64", true},
		}...)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			f, err := openBytes(test.data, nil)
			if err != nil {
				t.Fatal(err)
			}
			checkKernel(t, f)
			steps := strings.Join(f.Steps, ", ")
			if i := strings.Index(steps, " at 0x"); i >= 0 {
				steps = steps[:i] // where the BTF of a flat image lies depends on the test
			}
			if steps != test.steps || f.Arch != test.arch {
				t.Errorf("steps %q, arch %q, want %q, %q", steps, f.Arch, test.steps, test.arch)
			}
			want := Banner{}
			if test.banner {
				want = Banner{testBannerText, "6.1.0-50-cloud-amd64", "6.1.176"}
			}
			if f.Banner != want {
				t.Errorf("banner %+v, want %+v", f.Banner, want)
			}
		})
	}
}

func TestOpenModule(t *testing.T) {
	t.Parallel()
	kb := kernelBuilder()
	mb := moduleBuilder(kb)
	kernel, err := Parse(kb.Bytes(le))
	if err != nil {
		t.Fatal(err)
	}
	info := []byte("license=GPL\x00name=af_key\x00vermagic=6.1.0-50-cloud-amd64 SMP preempt mod_unload modversions \x00")
	module := func(more ...testSection) []byte {
		return testELF{class: elfClass64, order: le, machine: 62, sections: append([]testSection{
			{name: ".modinfo", data: info}, {name: ".BTF", data: mb.Bytes(le)},
		}, more...)}.build()
	}
	base := testSection{name: ".BTF.base", data: kb.Bytes(le)}
	for _, test := range []struct {
		name   string
		data   []byte
		opt    *Options
		steps  string
		module string
	}{
		{"sysfs", mb.Bytes(le), &Options{Base: kernel}, "", ""},
		{"ko", module(), &Options{Base: kernel}, "ELF, .BTF", "af_key"},
		{"ko.gz", gzipped(module()), &Options{Base: kernel}, "gzip, ELF, .BTF", "af_key"},
		{"ko.zst", zstdOf(module()), &Options{Base: kernel}, "zstd, ELF, .BTF", "af_key"},
		{"without strings of its own", testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{
			{name: ".modinfo", data: info}, {name: ".BTF", data: onlyShared(kb)}}}.build(), &Options{Base: kernel}, "ELF, .BTF", "af_key"},
		{"distilled base", module(base), nil, "ELF, .BTF", "af_key"},
		{"distilled base comes first", module(base), &Options{Base: kernel}, "ELF, .BTF", "af_key"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f, err := openBytes(test.data, test.opt)
			if err != nil {
				t.Fatal(err)
			}
			if !f.Split() || f.BTF.Base() != f.Base || f.BTF.FirstID() != ID(kernel.NumTypes()) {
				t.Fatalf("split %v, first id %d, want %d", f.Split(), f.BTF.FirstID(), kernel.NumTypes())
			}
			if own := f.Base != kernel; own != strings.Contains(test.name, "distilled") {
				t.Errorf("its own base was taken: %v", own)
			}
			s := f.BTF.Type(f.BTF.FirstID())
			if strings.HasPrefix(test.name, "without") {
				if s.Name() != "pid" {
					t.Errorf("first type is %q, want pid", s.Name())
				}
				return
			}
			if m := s.Member(0); s.Name() != "module_struct" || f.BTF.Type(m.Type).Name() != "list_head" {
				t.Errorf("first type is %q with a member of type %q", s.Name(), f.BTF.Type(m.Type).Name())
			}
			if got := strings.Join(f.Steps, ", "); got != test.steps || f.Module != test.module {
				t.Errorf("steps %q, module %q, want %q, %q", got, f.Module, test.steps, test.module)
			}
			if want := map[bool]string{true: "6.1.0-50-cloud-amd64"}[test.module != ""]; f.Banner.Uname != want {
				t.Errorf("uname %q, want %q", f.Banner.Uname, want)
			}
		})
	}
}

// onlyShared is split BTF whose names are all in the base, as cast_common.ko of Debian's kernels has it.
func onlyShared(kernel *btfbuild.Builder) []byte {
	b := btfbuild.NewSplit(kernel)
	b.Typedef("pid", 2)
	return b.Bytes(le)
}

// BTF that stands alone does not need the base that the command line gives for modules.
func TestOpenIgnoresBase(t *testing.T) {
	t.Parallel()
	kernel, err := Parse(kernelBuilder().Bytes(le))
	if err != nil {
		t.Fatal(err)
	}
	f, err := openBytes(kernelELF(), &Options{Base: kernel})
	if err != nil {
		t.Fatal(err)
	}
	checkKernel(t, f)
}

func TestOpenMember(t *testing.T) {
	t.Parallel()
	other := btfbuild.New()
	other.Kernelish(8)
	data := tarred(tarFile{"x/5.10.btf", other.Bytes(le)}, tarFile{"x/6.1.btf", kernelBuilder().Bytes(le)})
	for _, member := range []string{"6.1.btf", "x/6.1.btf"} {
		f, err := openBytes(data, &Options{Member: member})
		if err != nil {
			t.Fatal(err)
		}
		checkKernel(t, f)
		if want := []string{"tar: x/6.1.btf"}; !slices.Equal(f.Steps, want) {
			t.Errorf("steps %q, want %q", f.Steps, want)
		}
	}
}

func TestOpenFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "vmlinux.txt") // the name says nothing
	if err := os.WriteFile(path, kernelELF(), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Open(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	checkKernel(t, f)
	if f.Path != path {
		t.Errorf("path %q, want %q", f.Path, path)
	}
}

// TestInflatedRandomAccess reads compressed data in every order that makes the decompressor start again.
func TestInflatedRandomAccess(t *testing.T) {
	t.Parallel()
	const size = inflatedHead + 3*inflatedTail
	content := make([]byte, size)
	for i := range content {
		content[i] = byte(i * 31 >> 7)
	}
	data := zstdOf(content)
	z := newInflated(&input{r: bytes.NewReader(data), size: int64(len(data))}, formatZstd, size, new(int64(maxWindow)))
	defer z.close()
	for _, at := range []struct{ off, n int }{
		{0, 100}, {size - 10, 10}, {size - inflatedTail - 5, 20}, {inflatedHead - 7, 20}, {inflatedHead, inflatedTail + 9},
		{5, inflatedHead}, {size - 3, 100}, {size, 1}, {size + 5, 1}, {inflatedHead + 1, 2 * inflatedTail}, {0, size},
	} {
		buf := make([]byte, at.n)
		n, err := z.ReadAt(buf, int64(at.off))
		exp := content[min(at.off, size):min(at.off+at.n, size)]
		if !bytes.Equal(buf[:n], exp) {
			t.Fatalf("ReadAt(%d bytes, %d): %d bytes that differ from the %d expected", at.n, at.off, n, len(exp))
		}
		if (err != nil) != (len(exp) < at.n) {
			t.Fatalf("ReadAt(%d bytes, %d): error %v", at.n, at.off, err)
		}
	}
	const want = "zstd data would have to be expanded more than 8 times"
	for range 2 * inflatedPasses {
		if _, err := z.ReadAt(make([]byte, 1), size-1); err != nil {
			t.Fatal(err)
		}
		if _, err := z.ReadAt(make([]byte, 1), inflatedHead); err != nil {
			if err.Error() != want {
				t.Errorf("error %q, want %q", err, want)
			}
			return
		}
	}
	t.Error("read back and forth without end")
}

// TestOpenWindow opens a kernel whose decompressor declares far more memory than the kernel takes.
func TestOpenWindow(t *testing.T) {
	t.Parallel()
	for _, kernel := range [][]byte{kernelELF(), testImage(arm64Magic, kernelText(), kernelBuilder().Bytes(le))} {
		noise := make([]byte, 1<<20)
		rand.NewChaCha8([32]byte{1}).Read(noise)
		data := zstdWindow(append(kernel, bytes.Repeat(noise, 3*inflatedHead>>20)...), maxWindow)
		f, err := Read(bytes.NewReader(data), int64(len(data)), "in", nil)
		if err != nil || f.BTF.NumTypes() < 2 {
			t.Errorf("file %v, error %v", f, err)
		}
	}
}

// TestNarrowed reads the start of data through a header with a smaller window than its own.
func TestNarrowed(t *testing.T) {
	t.Parallel()
	content := make([]byte, 40<<20)
	rand.NewChaCha8([32]byte{2}).Read(content[:1<<20])
	copy(content[9<<20:], content[:1<<20])
	one, err := zstd.NewWriter(nil, zstd.WithSingleSegment(true))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"window":         zstdWindow(content, maxWindow),
		"single segment": one.EncodeAll(content, nil),
	} {
		const most = 10 << 20
		frame, n, window := narrowed(data[:zstd.HeaderMaxSize], most)
		if n == 0 || window < most || window > most+most/4 {
			t.Fatalf("%s: header of %d bytes, a window of %d", name, n, window)
		}
		z, err := newDecompressor(io.MultiReader(bytes.NewReader(frame), bytes.NewReader(data[n:])), formatZstd, false, window, nil)
		if err != nil {
			t.Fatal(err)
		}
		got := make([]byte, most)
		if _, err := io.ReadFull(z, got); err != nil || !bytes.Equal(got, content[:most]) {
			t.Errorf("%s: other content, or error %v", name, err)
		}
		z.(*zstd.Decoder).Close()
		if _, n, _ := narrowed(data[:zstd.HeaderMaxSize], maxWindow); n != 0 {
			t.Errorf("%s: a smaller header for a larger window", name)
		}
	}
	if _, n, _ := narrowed([]byte("no zstd"), 1); n != 0 {
		t.Errorf("a header for what is none")
	}
}

// zstdWindow compresses data in one go of unknown size and with a window of so many bytes, as the kernel's build does.
func zstdWindow(data []byte, window int) []byte {
	var b bytes.Buffer
	w, err := zstd.NewWriter(&b, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(window), zstd.WithEncoderConcurrency(1))
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}
