package btfinfo

import (
	"bytes"
	"compress/bzip2"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/mikelolasagasti/xz"
	"github.com/pierrec/lz4/v4"
	"github.com/ulikunitz/xz/lzma"
)

// format is what the first bytes of an input say that it is.
type format uint8

const (
	formatNone format = iota
	formatBTF
	formatELF
	formatTar
	formatBzImage
	formatZboot
	formatImage
	formatS390
	formatGzip
	formatXz
	formatZstd
	formatBzip2
	formatLz4
	formatLz4Legacy
	formatLzma
	formatLzop
)

var formatNames = [...]string{
	"none", "BTF", "ELF", "tar", "bzImage", "zboot", "Image", "s390x image",
	"gzip", "xz", "zstd", "bzip2", "lz4", "lz4", "lzma", "lzop",
}

func (f format) String() string { return formatNames[f] }

// Marks at the start of compressed data.
//
// Sources: RFC 1952 (gzip), RFC 8878 (zstd), the .xz file format 1.2.1, lz4_Frame_format.md of lz4 v1.10 (frame and
// legacy frame), the bzip2 and LZMA-alone headers as lib/decompress.c of Linux v6.12 tells them apart, and lzop v1.04.
const (
	gzipMagic      = "\x1f\x8b\x08"
	xzMagic        = "\xfd7zXZ\x00"
	zstdMagic      = "\x28\xb5\x2f\xfd"
	bzip2Magic     = "BZh"
	lz4Magic       = "\x04\x22\x4d\x18"
	lz4LegacyMagic = "\x02\x21\x4c\x18"
	lzmaMagic      = "\x5d\x00\x00" // lc=3 lp=0 pb=2, and a dictionary of a multiple of 64 KiB
	lzopMagic      = "\x89LZO\x00\r\n\x1a\n"
	elfMagic       = "\x7fELF"
)

// sniff tells what starts with head.
func sniff(head []byte) format {
	has := func(off int, magic string) bool {
		return len(head) >= off+len(magic) && string(head[off:off+len(magic)]) == magic
	}
	switch {
	case len(head) >= 2 && (binary.LittleEndian.Uint16(head) == btfMagic || binary.BigEndian.Uint16(head) == btfMagic):
		return formatBTF
	case has(0, elfMagic):
		return formatELF
	case has(0, gzipMagic):
		return formatGzip
	case has(0, xzMagic):
		return formatXz
	case has(0, zstdMagic):
		return formatZstd
	case has(0, bzip2Magic) && len(head) > 3 && head[3] >= '1' && head[3] <= '9':
		return formatBzip2
	case has(0, lz4Magic):
		return formatLz4
	case has(0, lz4LegacyMagic):
		return formatLz4Legacy
	case has(0, lzopMagic):
		return formatLzop
	case has(0x202, bzImageMagic) && has(0x1fe, "\x55\xaa"):
		return formatBzImage
	case has(0, "MZ") && has(4, zbootMagic):
		return formatZboot
	case has(0x38, arm64Magic) || has(0x38, riscvMagic):
		return formatImage
	case has(s390Magic, "S390EP"):
		return formatS390
	case has(257, "ustar"), isOldTar(head):
		return formatTar
	case has(0, lzmaMagic) && len(head) >= lzma.HeaderLen:
		return formatLzma
	}
	return formatNone
}

// isOldTar tells the header of a tar archive from before POSIX, which has no mark: its checksum is right. That is the sum of
// the header's bytes, with blanks for its own, as octal digits. Source: "Standard Archive Format" of GNU tar's manual.
func isOldTar(head []byte) bool {
	const size, at, end = 512, 148, 156
	if len(head) < size || head[0] == 0 {
		return false
	}
	sum := int64(0)
	for i, c := range head[:size] {
		if i >= at && i < end {
			c = ' '
		}
		sum += int64(c)
	}
	want, err := strconv.ParseInt(strings.Trim(string(head[at:end]), " \x00"), 8, 32)
	return err == nil && want == sum
}

// maxWindow is the largest dictionary or window of a decompressor, in bytes. The kernel's build uses 128 MiB for xz and
// zstd (scripts/xz_wrap.sh and cmd_zstd22 in scripts/Makefile.lib of Linux v6.12). A window costs memory only as far as
// it is filled, which windowLimit bounds.
const maxWindow = 128 << 20

// smallWindow is enough for data that was compressed at the usual levels: xz -6 and zstd -19 have this, gzip, bzip2 and
// lz4 less.
const smallWindow = 8 << 20

// windowLimit is how much of the windows of all decompressors of an input of size bytes may be filled. A vmlinux of 62 MB
// in 13 MB has its BTF in the first 35 MB, and is not expanded further.
func windowLimit(size int64) int64 { return size + 36<<20 }

// newDecompressor returns a reader of the data that r holds in the given format, with a window of at most so many bytes.
// used, where not nil, is one that was made for the same data before with the same window: it is taken over, so that a
// second pass does not take the memory twice.
func newDecompressor(r io.Reader, f format, once bool, window int, used io.Reader) (io.Reader, error) {
	switch used := used.(type) {
	case *xz.Reader:
		err := used.Reset(r)
		if err == nil && once {
			used.Multistream(false)
		}
		return used, err
	case *zstd.Decoder:
		return used, used.Reset(r)
	}
	switch f {
	case formatGzip:
		z, err := gzip.NewReader(r)
		if err == nil && once {
			z.Multistream(false)
		}
		return z, err
	case formatXz:
		z, err := xz.NewReader(r, uint32(window))
		if err == nil && once {
			z.Multistream(false)
		}
		return z, err
	case formatZstd:
		return zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(uint64(window)), zstd.WithDecoderMaxMemory(1<<40))
	case formatBzip2:
		return bzip2.NewReader(r), nil
	case formatLz4:
		z := lz4.NewReader(r)
		return z, z.Apply(lz4.ConcurrencyOption(1))
	case formatLz4Legacy:
		return &lz4Legacy{r: r}, nil
	case formatLzma:
		return lzma.ReaderConfig{DictCap: window}.NewReader(r)
	case formatLzop:
		return newLzop(r)
	}
	panic("no compression format: " + f.String())
}

// inflated gives random access to compressed data without holding it: it keeps the first bytes and the last ones that
// passed, and starts again from the beginning where neither has what is asked for. Readers that mostly go forward,
// as ours do, pay for one pass.
type inflated struct {
	in     *input
	format format
	limit  int64 // bytes that it may expand to

	windows *int64 // bytes that may yet be filled of the windows of all layers
	window  int64  // what of it is taken here
	wide    bool   // the data needs more than smallWindow: all that passes is taken for filled
	most    int64  // where wide: all that may pass

	r    io.Reader // nil: at the start
	used io.Reader // what r was before, nil at first
	pos  int64     // of r
	pass int       // how often r was started again
	end  int64     // -1: not known yet
	err  error     // what ended r, io.EOF included
	head []byte    // the first bytes, up to inflatedHead
	tail []byte    // ring of the last inflatedTail bytes: byte i of the data is at i % inflatedTail
}

const (
	inflatedHead = 6 << 20 // most modules and most BTF fit, and are then expanded once whatever the order of reads
	inflatedTail = 1 << 20 // the section names of an ELF file lie just before its section headers
	// inflatedPasses bounds the time that data costs which is made to be read back and forth: a kernel takes one pass, an
	// ELF file with its parts in the worst order five.
	inflatedPasses = 8
)

func newInflated(in *input, f format, limit int64, windows *int64) *inflated {
	return &inflated{in: in, format: f, limit: limit, windows: windows, end: -1}
}

func (z *inflated) close() {
	for _, r := range []io.Reader{z.r, z.used} {
		if c, ok := r.(*zstd.Decoder); ok {
			c.Close()
		}
	}
	z.r, z.used = nil, nil
	*z.windows += z.window
	z.window = 0
}

// inherit takes over the decompressor of an inflated of the same format that has done its work, so that trying many places
// of a file does not make as many windows.
func (z *inflated) inherit(from *inflated) {
	z.used, z.wide, z.most = from.r, from.wide, from.most
	if z.used == nil {
		z.used = from.used
	}
	from.r, from.used = nil, nil
	from.close()
}

// take sees to it that n bytes of window may be filled here.
func (z *inflated) take(n int64) error {
	if n > z.window {
		*z.windows -= n - z.window
		z.window = n
	}
	if *z.windows < 0 {
		return &Error{
			Off: -1, Msg: fmt.Sprintf("%s data with a window of more than %d bytes takes too much memory for an input of this size after %d expanded bytes", z.format, smallWindow, z.pos),
			Hint: "expand the file yourself, and open what comes out; in a kernel the BTF comes earlier, so that this one may have none",
		}
	}
	return nil
}

// start makes the decompressor for the next pass.
func (z *inflated) start() error {
	size := z.in.size
	if size < 0 {
		size = 1<<63 - 1
	}
	data := io.Reader(io.NewSectionReader(z.in.r, 0, size))
	window := smallWindow
	if z.wide {
		window = maxWindow
		if z.format == formatZstd {
			head, err := z.in.readUpTo(0, zstd.HeaderMaxSize)
			if err != nil {
				return err
			}
			if frame, n, w := narrowed(head, z.most); n > 0 {
				data, window = io.MultiReader(bytes.NewReader(frame), io.NewSectionReader(z.in.r, int64(n), size-int64(n))), w
			}
		}
	}
	if z.format == formatXz || z.format == formatZstd || z.format == formatLzma {
		if err := z.take(smallWindow); err != nil {
			return err
		}
	}
	r, err := newDecompressor(data, z.format, z.in.once, window, z.used)
	z.r = r
	return err
}

// narrowed returns another header for the zstd frame that starts with head, with a window that is enough for its first most
// bytes, and the length of its own. n is 0 where that does not help. The decoder makes the whole window at once, and where
// its memory was used before, clears it all, however little of it will be filled.
func narrowed(head []byte, most int64) (frame []byte, n, window int) {
	const overlap = 2 * 128 << 10 // blocks that are expanded ahead of what is read
	var h zstd.Header
	if err := h.Decode(head); err != nil || h.Skippable || h.DictionaryID != 0 {
		return nil, 0, 0
	}
	have := h.WindowSize
	if h.SingleSegment {
		have = h.FrameContentSize
	}
	// RFC 8878, 3.1.1.1.2, Window_Descriptor: 5 bits of exponent, 3 of mantissa.
	for d := range 256 {
		base := int64(1) << (10 + d>>3)
		w := base + base/8*int64(d&7)
		if w < most+overlap {
			continue
		}
		if uint64(w) >= have {
			break
		}
		descriptor := byte(0) // no content size, no single segment, no dictionary
		if h.HasCheckSum {
			descriptor |= 1 << 2
		}
		return append([]byte(zstdMagic), descriptor, byte(d)), h.HeaderSize, int(w)
	}
	return nil, 0, 0
}

// widen starts again with the largest window where that is what err is about.
func (z *inflated) widen(err error) bool {
	switch {
	case z.wide:
		return false
	case z.format == formatLzma, errors.Is(err, xz.ErrMemlimit),
		errors.Is(err, zstd.ErrWindowSizeExceeded), errors.Is(err, zstd.ErrDecoderSizeExceeded):
	default:
		return false
	}
	z.close()
	z.wide, z.pos, z.most = true, 0, *z.windows
	if len(z.head) < inflatedHead {
		z.head = z.head[:0]
	}
	return true
}

func (z *inflated) ReadAt(p []byte, off int64) (int, error) {
	n := 0
	for n < len(p) {
		at := off + int64(n)
		switch {
		case z.end >= 0 && at >= z.end:
			return n, io.EOF
		case at < int64(len(z.head)):
			n += copy(p[n:], z.head[at:])
		case at < z.pos && at >= z.pos-inflatedTail:
			i := int(at % inflatedTail)
			n += copy(p[n:], z.tail[i:min(inflatedTail, i+int(min(z.pos-at, inflatedTail)))])
		case at < z.pos:
			if z.pass++; z.pass > inflatedPasses {
				return n, &Error{Off: -1, Msg: fmt.Sprintf("%s data would have to be expanded more than %d times", z.format, inflatedPasses), Hint: "expand the file yourself, and open what comes out"}
			}
			z.r, z.used = nil, z.r
			z.pos, z.err = 0, nil
		case z.err != nil:
			return n, z.err
		default:
			z.fill(at)
		}
	}
	return n, nil
}

// fill decompresses the next bytes, up to the one at offset at and as many as fit without a gap.
func (z *inflated) fill(at int64) {
	defer func() {
		// The decompressors are others' code and eat strangers' files: should one panic, this file is bad.
		if p := recover(); p != nil {
			z.err = z.damaged(fmt.Errorf("the decompressor failed: %v", p))
		}
	}()
	for z.pos <= at {
		if z.r == nil {
			if err := z.start(); err != nil {
				z.r = nil
				if z.widen(err) {
					continue
				}
				z.err = z.damaged(err)
				return
			}
		}
		buf := z.room()
		m, err := z.r.Read(buf)
		if len(z.head) < inflatedHead {
			z.head = z.head[:len(z.head)+m]
		}
		z.pos += int64(m)
		if z.pos > z.limit {
			z.err = &Error{
				Off: -1, Msg: fmt.Sprintf("%s expands to more than %d bytes, the limit for an input of this size", z.format, z.limit),
				Hint: "a kernel expands to about 5 times its size; expand this file yourself if it is meant to be so dense",
			}
			return
		}
		if z.wide {
			if z.err = z.take(min(z.pos, maxWindow)); z.err != nil {
				return
			}
		}
		if err == io.EOF {
			z.err, z.end = err, z.pos
			return
		}
		if err != nil {
			if z.widen(err) {
				continue
			}
			z.err = z.damaged(err)
			return
		}
	}
}

// room is where the bytes that come next are put: behind the head while that is not full, else in the ring.
func (z *inflated) room() []byte {
	const piece = 64 << 10
	if n := len(z.head); n < inflatedHead { // then pos is n: what starts again has a full head
		if n == cap(z.head) {
			z.head = append(make([]byte, 0, min(max(2*n, piece), inflatedHead)), z.head...)
		}
		return z.head[n:min(cap(z.head), n+piece)]
	}
	if z.tail == nil {
		z.tail = make([]byte, inflatedTail)
	}
	i := int(z.pos % inflatedTail)
	return z.tail[i:min(inflatedTail, i+piece)]
}

// damaged says that the compressed data is bad after so many expanded bytes; an error that is one of ours already (of a
// layer further out) stays.
func (z *inflated) damaged(err error) error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
		err = errors.New("the data ends too early")
	}
	if errors.Is(err, xz.ErrOptions) || errors.Is(err, xz.ErrMemlimit) {
		return &Error{
			Off: -1, Msg: "xz data that needs a filter or a dictionary that is not supported", Err: err,
			Hint: "expand the file with xz -d, and open what comes out",
		}
	}
	return &Error{
		Off: -1, Msg: fmt.Sprintf("%s data is damaged after %d expanded bytes", z.format, z.pos), Err: err,
		Hint: "is the file complete?",
	}
}

// lz4Legacy reads the legacy frame format of lz4, which the kernel's build uses: a magic number, then blocks of up to
// 8 MiB, each with its compressed size before it, without an end mark. Source: lz4_Frame_format.md of lz4 v1.10,
// "Legacy frame", and unlz4 in lib/decompress_unlz4.c of Linux v6.12.
type lz4Legacy struct {
	r    io.Reader
	buf  []byte
	left []byte // of the current block
}

const (
	lz4LegacyBlock    = 8 << 20
	lz4LegacyMaxBlock = lz4LegacyBlock + lz4LegacyBlock/255 + 16 // LZ4_COMPRESSBOUND
)

func (z *lz4Legacy) Read(p []byte) (int, error) {
	for len(z.left) == 0 {
		if err := z.block(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.left)
	z.left = z.left[n:]
	return n, nil
}

func (z *lz4Legacy) block() error {
	var b [4]byte
	if _, err := io.ReadFull(z.r, b[:]); err != nil {
		return err // io.EOF between blocks is the end
	}
	if string(b[:]) == lz4LegacyMagic { // the start, or another frame
		return nil
	}
	size := binary.LittleEndian.Uint32(b[:])
	if size > lz4LegacyMaxBlock {
		return fmt.Errorf("a block of %d bytes, the limit is %d", size, lz4LegacyMaxBlock)
	}
	src, err := readGrowing(z.r, int(size))
	if err != nil {
		return err
	}
	if z.buf == nil {
		z.buf = make([]byte, lz4LegacyBlock)
	}
	n, err := lz4.UncompressBlock(src, z.buf)
	z.left = z.buf[:max(n, 0)]
	return err
}

// readGrowing reads n bytes from r, with memory for what comes rather than for what n promises.
func readGrowing(r io.Reader, n int) ([]byte, error) {
	var b bytes.Buffer
	if m, err := io.CopyN(&b, r, int64(n)); err != nil {
		return nil, fmt.Errorf("a block of %d bytes ends after %d", n, m)
	}
	return b.Bytes(), nil
}
