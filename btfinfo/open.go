package btfinfo

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// Limits of what Open believes. They bound what a bad input can cost, and are far above what kernels need.
const (
	// maxBTF is the largest BTF, in bytes, that is read: six times a distribution kernel's, twice what the kernel takes
	// from user space (BTF_MAX_SIZE in kernel/bpf/btf.c of Linux v6.12).
	maxBTF = 32 << 20
	// maxNesting is how many containers may lie in one another: "gzip of tar of xz of bzImage of zstd of ELF" are 6.
	maxNesting = 8
	// headLen is how much of an input decides what it is. The mark that lies deepest is that of s390x images.
	headLen = s390Magic + 8
)

// File is an opened input: the BTF that was found in it, and what the input tells about the kernel that it belongs to.
type File struct {
	Path   string   // as named by the caller
	Steps  []string // the way to the BTF, outermost first: "xz", "tar: 5.10.btf", "bzImage", "zstd", "ELF", ".BTF"
	BTF    *BTF     // nil only with Options.Unparsed
	Base   *BTF     // what BTF continues: Options.Base or the parsed .BTF.base; nil where BTF stands alone
	Module string   // name of the kernel module, from its .modinfo; "" for anything else
	Banner Banner   // from the image's text; zero where it has none, as in raw BTF
	Arch   string   // BTFHub's name: "x86_64", "arm64", "s390x" …; "bpf" for a BPF object; "" where nothing tells
	Code   bool     // a compiled BPF program: the ELF file has .BTF.ext, too
	Raw    []byte   // the .BTF as stored, without the base; BTF shares it, so it must not be changed
}

// Split tells BTF that continues a base, as a module's does.
func (f *File) Split() bool { return f.Base != nil }

// Options say how to read what can't be read in one way only.
type Options struct {
	// Base is the BTF of the kernel that a module belongs to. BTF that stands alone is read without it, and so is a
	// module that brings its own distilled base (.BTF.base).
	Base *BTF
	// Member names the file to take from an archive that holds several with BTF: its path there, or the end of it.
	Member string
	// Unparsed leaves BTF that continues a base which is not given (File.BTF is nil then): File.Raw is for ParseSplit, once
	// the base is known. For modules that come before their kernel.
	Unparsed bool
}

// Open reads the BTF of the file at path, whatever it is wrapped in. The content decides what it is, never the name:
//
//   - raw BTF of either byte order;
//   - ELF with a .BTF section, also compressed: vmlinux, modules, BPF objects;
//   - boot images: x86 bzImage, arm64 and riscv Image, EFI zboot, s390x;
//   - any of these in gzip, xz, zstd, bzip2, lz4, lzma or lzop, in tar, and in combinations of them.
//
// Errors are *Error values with the file's name and the way inside it.
//
// The input is read as a stream and never expanded as a whole: what is held are the decompressor's window and the BTF.
// An input of N bytes may expand to 48 MiB or 10*N, whichever is larger, but to no more than 16 MiB + 32*N; BTF itself
// may be 32 MiB. A kernel is read as far as its BTF; the decompressors' windows may hold 36 MiB + N of it.
func Open(path string, opt *Options) (*File, error) {
	// A pipe would block in open(2), so look before.
	st, err := os.Stat(path)
	if err != nil {
		return nil, pathErr(path, err)
	}
	if m := st.Mode(); !m.IsRegular() {
		e := &Error{File: path, Off: -1, Msg: "is " + modeName(m) + ", want a regular file", Hint: "copy what it gives into a file, and name that"}
		if m.IsDir() {
			e.Hint = "name the file in it that holds the BTF"
		}
		return nil, e
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, pathErr(path, err)
	}
	defer f.Close()
	return Read(f, st.Size(), path, opt)
}

// Read is Open for an input of size bytes that is no file; name stands for it in errors.
func Read(r io.ReaderAt, size int64, name string, opt *Options) (*File, error) {
	if opt == nil {
		opt = &Options{}
	}
	o := &opener{opt: *opt, limit: expandLimit(size), windows: windowLimit(size)}
	file, err := o.open(&input{r: r, size: size}, 0)
	return o.done(name, file, err)
}

// done names the file and the way inside it, in the result or the error.
func (o *opener) done(name string, file *File, err error) (*File, error) {
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Off: -1, Msg: "can't be read", Err: err}
		}
		if e.Hint == "" {
			e.Hint = "the file is damaged, cut off, or not what its first bytes say: copy or build it anew"
		}
		e.File = strings.Join(append([]string{name}, o.steps...), ": ")
		return nil, e
	}
	file.Path = name
	file.Steps = o.steps
	return file, nil
}

// expandLimit is how many bytes an input of size bytes may expand to. Kernels expand by 4 to 6, BTF by 6 to 8; the first
// megabytes are free because they cost little and small inputs vary more.
func expandLimit(size int64) int64 {
	const mib = 1 << 20
	return max(min(16*mib+32*size, 48*mib), 10*size)
}

func pathErr(path string, err error) *Error {
	e := &Error{File: path, Off: -1, Msg: "can't be opened", Err: err, Hint: "is the name right, and may you read the file?"}
	if path == "" { // the line begins with it
		e.File = `""`
	}
	var p *fs.PathError
	if errors.As(err, &p) {
		e.Err = p.Err // without the operation and the path, which the line has
	}
	return e
}

func modeName(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a directory"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "no regular file"
}

// input is a stretch of bytes that can be read at any offset: a file, a part of one, or what a decompressor yields.
type input struct {
	r    io.ReaderAt
	size int64 // -1: not known before the end was read
	// once tells that only the first stream of compressed data counts: what follows is the rest of a boot image.
	once bool
}

// section is the part of in at off with n bytes.
func (in *input) section(off, n int64) *input {
	return &input{r: io.NewSectionReader(in.r, off, n), size: n}
}

// readUpTo reads n bytes at off, or what there is of them. n is within the limits of what it is read for, the largest of
// which is maxBTF; memory of that size comes straight from the system and costs nothing before it is filled.
func (in *input) readUpTo(off int64, n int) ([]byte, error) {
	if in.size >= 0 {
		n = int(max(0, min(int64(n), in.size-off)))
	}
	buf := make([]byte, n)
	m, err := in.r.ReadAt(buf, off)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return buf[:m], nil
}

// read reads n bytes at off; what says what they are in the error that comes when they are not there.
func (in *input) read(off int64, n int, what string) ([]byte, error) {
	buf, err := in.readUpTo(off, n)
	if err != nil {
		return nil, err
	}
	if len(buf) < n {
		return nil, formatErr(off, "%s needs %d bytes, have %d", what, n, len(buf))
	}
	return buf, nil
}

// opener carries what belongs to one Open: the way so far, and the limits.
type opener struct {
	opt   Options
	limit int64 // bytes that any one layer may expand to
	// windows is how many bytes may yet be filled of the decompressors' windows.
	windows int64
	steps   []string
	arch    string // of the boot image passed on the way
}

func (o *opener) step(format string, args ...any) {
	o.steps = append(o.steps, fmt.Sprintf(format, args...))
}

func (o *opener) open(in *input, depth int) (*File, error) {
	if depth > maxNesting {
		return nil, &Error{Off: -1, Msg: fmt.Sprintf("more than %d containers in one another", maxNesting)}
	}
	head, err := in.readUpTo(0, headLen)
	if err != nil {
		return nil, err
	}
	if len(head) == 0 {
		return nil, &Error{Off: -1, Msg: "is empty", Hint: "want raw BTF, an ELF file, a kernel image or a module"}
	}
	format := sniff(head)
	switch format {
	case formatBTF:
		return o.openRaw(in, head)
	case formatELF:
		return o.openELF(in, head)
	case formatTar:
		return o.openTar(in, depth)
	case formatBzImage:
		return o.openBzImage(in, head, depth)
	case formatZboot:
		return o.openZboot(in, head, depth)
	case formatImage:
		return o.openImage(in, head)
	case formatS390:
		return o.openS390(in, depth)
	case formatNone:
		return nil, unknownErr(head)
	}
	z := newInflated(in, format, o.limit, &o.windows)
	defer z.close()
	o.step("%s", format)
	return o.open(&input{r: z, size: -1}, depth+1)
}

// openRaw reads raw BTF: a file of BTFHub, /sys/kernel/btf/*, or the output of pahole or bpftool.
func (o *opener) openRaw(in *input, head []byte) (*File, error) {
	raw, err := in.rawBTF(0, head)
	if err != nil {
		return nil, err
	}
	f := &File{Arch: o.arch, Raw: raw}
	if err := o.parse(f, "", nil); err != nil {
		return nil, err
	}
	return f, nil
}

// rawBTF reads the BTF that starts at off, as long as its header says; head is what of it was read already.
func (in *input) rawBTF(off int64, head []byte) ([]byte, error) {
	size := int64(maxBTF)
	if in.size >= 0 {
		size = in.size - off
	}
	h, err := parseHeader(head, uint64(size))
	if err != nil {
		if in.size < 0 && len(head) >= btfHeaderLen {
			if _, err2 := parseHeader(head, 1<<62); err2 == nil {
				return nil, tooBigErr(h.end())
			}
		}
		return nil, err
	}
	if h.end() > maxBTF {
		return nil, tooBigErr(h.end())
	}
	raw, err := in.readUpTo(off, int(h.end()))
	if err != nil {
		return nil, err
	}
	if uint64(len(raw)) < h.end() { // then this says what is missing
		_, err = parseHeader(raw, uint64(len(raw)))
	}
	return raw, err
}

func tooBigErr(size uint64) *Error {
	return formatErr(0, "the BTF is %d bytes, the limit is %d", size, maxBTF)
}

// parse parses f.Raw into f.BTF. ownBase is the parsed .BTF.base of the same file, nil where there is none.
func (o *opener) parse(f *File, section string, ownBase *BTF) error {
	base := ownBase
	if base == nil && isSplit(f.Raw) {
		if base = o.opt.Base; base == nil {
			if o.opt.Unparsed {
				return nil
			}
			return &Error{
				Section: section, Off: -1, Err: ErrNoBase,
				Msg:  "can't be read alone",
				Hint: "name the kernel's BTF: --base vmlinux, or --base /sys/kernel/btf/vmlinux",
			}
		}
	}
	b, err := parseOwned(f.Raw, base)
	if err != nil {
		return atSection(err, section, base != nil && ownBase == nil)
	}
	f.BTF, f.Base = b, base
	return nil
}

// ErrNoBase is the cause of the error about a module's BTF that is opened without Options.Base.
var ErrNoBase = errors.New("this BTF continues that of the kernel it was built for, which is not given")

// atSection adds to an error of parseOwned where the BTF lies.
func atSection(err error, section string, foreignBase bool) error {
	var e *Error
	if errors.As(err, &e) {
		e.Section = section
		if foreignBase && e.Hint == "" {
			e.Hint = "is the base of the very build that the module belongs to?"
		}
	}
	return err
}

// isSplit tells the BTF of a module: its strings continue the base's, so that they lack the empty string with which BTF
// that stands alone begins; there may be none at all. Source: btf_new_empty and btf_parse_str_sec in libbpf v1.7's btf.c.
func isSplit(raw []byte) bool {
	h, err := parseHeader(raw, uint64(len(raw)))
	if err != nil {
		return false
	}
	return h.strLen == 0 || raw[h.hdrLen+h.strOff] != 0
}

func unknownErr(head []byte) *Error {
	e := &Error{
		Off: 0, Msg: fmt.Sprintf("neither BTF nor anything known to hold it: starts with % x", head[:min(len(head), 8)]),
		Hint: "want raw BTF, an ELF file with a .BTF section, a kernel image or a module, compressed or not",
	}
	switch {
	case strings.HasPrefix(string(head), "!<arch>\n"):
		e.Hint = "this is an ar archive; of a Debian package, unpack it (dpkg-deb -x) and name the kernel image or module"
	case strings.HasPrefix(string(head), "\xed\xab\xee\xdb"):
		e.Hint = "this is an RPM package; unpack it (rpm2cpio) and name the kernel image or module"
	}
	return e
}
