package btfinfo

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/adler32"
	"hash/crc32"
	"io"
)

// lzop reads files of lzop, which the kernel's build calls for CONFIG_KERNEL_LZO: a header, then blocks of LZO1X data,
// each with its two sizes and checksums, until a size of 0. Numbers are big endian. Of the checksums, those of the
// expanded data are verified.
//
// Source: parse_header and unlzo in lib/decompress_unlzo.c of Linux v6.12, and conf.h of lzop v1.04.
type lzop struct {
	r     io.Reader
	flags uint32
	left  []byte
	err   error
}

const (
	lzopAdler32D = 1 << 0
	lzopAdler32C = 1 << 1
	lzopExtra    = 1 << 6
	lzopCRC32D   = 1 << 8
	lzopCRC32C   = 1 << 9
	lzopFilter   = 1 << 11
	lzopMaxBlock = 8 << 20 // lzop writes blocks of 256 KiB; its format allows 64 MiB, which nothing makes
)

func newLzop(r io.Reader) (*lzop, error) {
	z := &lzop{r: r}
	var h [9 + 8]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return nil, err
	}
	version := binary.BigEndian.Uint16(h[9:])
	rest := 1 + 4 // method, flags
	if version >= 0x940 {
		rest += 1 // level
	}
	b := make([]byte, rest)
	b[0] = h[15]
	b[1] = h[16]
	if _, err := io.ReadFull(r, b[2:]); err != nil {
		return nil, err
	}
	z.flags = binary.BigEndian.Uint32(b[rest-4:])
	if m := b[0]; m < 1 || m > 3 {
		return nil, fmt.Errorf("lzop method %d is not known, known are 1 to 3 (LZO1X)", m)
	}
	if z.flags&(lzopFilter|lzopExtra) != 0 {
		return nil, fmt.Errorf("lzop flags %#x (a filter or an extra field) are not known", z.flags)
	}
	skip := 4 + 4 // mode, modification time
	if version >= 0x940 {
		skip += 4 // its high part
	}
	if _, err := io.CopyN(io.Discard, r, int64(skip)); err != nil {
		return nil, err
	}
	var n [1]byte
	if _, err := io.ReadFull(r, n[:]); err != nil {
		return nil, err
	}
	if _, err := io.CopyN(io.Discard, r, int64(n[0])+4); err != nil { // name, header checksum
		return nil, err
	}
	return z, nil
}

func (z *lzop) Read(p []byte) (int, error) {
	for len(z.left) == 0 {
		if z.err == nil {
			z.err = z.block()
		}
		if z.err != nil {
			return 0, z.err
		}
	}
	n := copy(p, z.left)
	z.left = z.left[n:]
	return n, nil
}

func (z *lzop) block() error {
	u32 := func() (uint32, error) {
		var b [4]byte
		_, err := io.ReadFull(z.r, b[:])
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return binary.BigEndian.Uint32(b[:]), err
	}
	dst, err := u32()
	if err != nil {
		return err
	}
	if dst == 0 {
		return io.EOF
	}
	src, err := u32()
	if err != nil {
		return err
	}
	if dst > lzopMaxBlock || src > dst {
		return fmt.Errorf("an lzop block of %d bytes in %d, the limits are %d and the same", dst, src, lzopMaxBlock)
	}
	sums := map[uint32]uint32{}
	for _, f := range []uint32{lzopAdler32D, lzopCRC32D, lzopAdler32C, lzopCRC32C} {
		// A block that does not shrink is stored, with one set of checksums.
		if z.flags&f == 0 || src == dst && (f == lzopAdler32C || f == lzopCRC32C) {
			continue
		}
		if sums[f], err = u32(); err != nil {
			return err
		}
	}
	data, err := readGrowing(z.r, int(src))
	if err != nil {
		return err
	}
	if src < dst {
		if data, err = lzo1x(data, int(dst)); err != nil {
			return err
		}
	}
	if len(data) != int(dst) {
		return fmt.Errorf("an lzop block of %d bytes expands to %d", dst, len(data))
	}
	if want, ok := sums[lzopAdler32D]; ok && adler32.Checksum(data) != want {
		return fmt.Errorf("an lzop block has the Adler-32 checksum %#08x, want %#08x", adler32.Checksum(data), want)
	}
	if want, ok := sums[lzopCRC32D]; ok && crc32.ChecksumIEEE(data) != want {
		return fmt.Errorf("an lzop block has the CRC-32 checksum %#08x, want %#08x", crc32.ChecksumIEEE(data), want)
	}
	z.left = data
	return nil
}

var errLZO = errors.New("LZO data is damaged")

// lzo1x expands one LZO1X block to at most limit bytes.
//
// Source: Documentation/staging/lzo.rst of Linux v6.12, of which the comments below quote the bit patterns. The stream's
// version 1 (RLE, used by zram only) is not read.
func lzo1x(src []byte, limit int) ([]byte, error) {
	dst := make([]byte, 0, min(limit, 64*len(src)))
	p := 0
	// length reads a length whose low bits were all zero: each zero byte adds 255, the first other byte itself.
	length := func(base int) (int, bool) {
		n := base
		for p < len(src) && src[p] == 0 {
			n += 255
			p++
		}
		if p >= len(src) || n > limit {
			return 0, false
		}
		n += int(src[p])
		p++
		return n, true
	}
	literals := func(n int) bool {
		if n > len(src)-p || n > limit-len(dst) {
			return false
		}
		dst = append(dst, src[p:p+n]...)
		p += n
		return true
	}
	match := func(dist, n int) bool {
		if dist > len(dst) || n > limit-len(dst) {
			return false
		}
		for ; n > 0; n-- { // may overlap itself
			dst = append(dst, dst[len(dst)-dist])
		}
		return true
	}

	// state is what the last instruction copied: 0 a match without literals, 1 to 3 that many literals, 4 a long run.
	state := 0
	if len(src) > 0 && src[0] > 17 { // the first byte alone may start with literals
		n := int(src[0]) - 17
		p = 1
		if !literals(n) {
			return nil, errLZO
		}
		state = min(n, 4)
	}
	for {
		if p >= len(src) {
			return nil, errLZO
		}
		t := int(src[p])
		p++
		var dist, n, lits int
		ok := true
		switch {
		case t >= 64:
			// 1 L L D D D S S and 0 1 L D D D S S, then H H H H H H H H: distance (H << 3) + D + 1, length 5 to 8 or 3 to 4.
			if p >= len(src) {
				return nil, errLZO
			}
			dist = int(src[p])<<3 + t>>2&7 + 1
			n = t>>5 + 1
			lits = t & 3
			p++
		case t >= 16:
			// 0 0 1 L L L L L: distance 1 to 16384, length (L or 31 + …) + 2.
			// 0 0 0 1 H L L L: distance 16384 to 49151 by H, length (L or 7 + …) + 2; 16384 ends the stream.
			mask := 31
			if t < 32 {
				mask = 7
			}
			if n = t & mask; n == 0 {
				n, ok = length(mask)
			}
			n += 2
			if !ok || p+2 > len(src) {
				return nil, errLZO
			}
			// D D D D D D D D D D D D D D S S, little endian
			le := int(binary.LittleEndian.Uint16(src[p:]))
			p += 2
			lits = le & 3
			dist = le>>2 + 1
			if t < 32 {
				if dist = le>>2 + t>>3&1<<14 + 16384; dist == 16384 {
					return dst, nil
				}
			}
		case state == 0:
			// 0 0 0 0 L L L L: a long run of literals, length (L or 15 + …) + 3.
			if n = t; n == 0 {
				if n, ok = length(15); !ok {
					return nil, errLZO
				}
			}
			if !literals(n + 3) {
				return nil, errLZO
			}
			state = 4
			continue
		default:
			// 0 0 0 0 D D S S, then H H H H H H H H: distance (H << 2) + D + 1 and length 2 after 1 to 3 literals, distance
			// (H << 2) + D + 2049 and length 3 after a long run.
			if p >= len(src) {
				return nil, errLZO
			}
			dist, n = int(src[p])<<2+t>>2+1, 2
			if state == 4 {
				dist, n = dist+2048, 3
			}
			lits = t & 3
			p++
		}
		if !match(dist, n) || !literals(lits) {
			return nil, errLZO
		}
		state = lits
	}
}
