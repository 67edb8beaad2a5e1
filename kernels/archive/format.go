// Package archive stores many kernels' BTF in one file: each distinct definition once, with the set of kernels that
// have it. docs/archive-format.md describes the file; this package writes it, reads it, asks it one name at a time, and
// gives back each kernel's BTF.
package archive

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

const (
	magic      = "CCARCH\x1a\n"
	version    = 1
	headerSize = 48 // bytes
)

// Limits of what is written and read. They bound what a damaged or hostile file can make a reader allocate.
const (
	maxKernels = 1 << 20
	maxRecord  = 1 << 16 // a kernel's description in bytes
	maxPart    = 64 << 20
	maxFile    = 4 << 30
	maxParts   = 1 << 20
	maxHomes   = 1 << 16
	maxTags    = 1<<16 - 1
	// maxRatio is how many times the size of the file all parts together may have when they are decompressed, beside maxPart.
	// Archives of kernels have 5 times as much; without the limit a file of a few kilobytes could fill any memory.
	maxRatio = 1000
	// minRecord is the least that a kernel's record takes: its length, an ID of seven characters, and its flags.
	minRecord = 13
	// maxNames is what the names of a part's entries take when each is written out, in bytes: a name says how much of the one before
	// it begins it, so that a short part could have names without end. Those of real parts take up to 140,000.
	maxNames = 16 << 20
	// maxRebuilt is how many bytes the types of a kernel and its modules may take: one definition may stand in very many places. A
	// kernel with 1,138 modules takes 14 million.
	maxRebuilt = 128 << 20
	// minEntry is the least that the name of an entry takes: how much is shared, the end, kind and number of variants.
	minEntry = 4
)

// Sections, in the order in which they stand in the file. A section that a reader does not know is passed over, unless it is
// flagged as required.
const (
	sectKernels  = "KERN"
	sectHomes    = "HOME"
	sectIndex    = "INDX"
	sectSets     = "SETS"
	sectDefs     = "DEFS"
	sectPresence = "PRES"

	sectRequired = 1 // flag: a reader that does not know the section must refuse the file
)

var sections = []string{sectKernels, sectHomes, sectIndex, sectSets, sectDefs, sectPresence}

const (
	setsPerPart = 512 // sets in a part of SETS
	// A part of DEFS ends after a name of which the hash says so, so that a new definition changes the parts near it only; but
	// not before it has minPart bytes, and at once where it has more than softPart.
	minPart  = 128 << 10
	softPart = 512 << 10
	// step is after how many entries of a part of DEFS the length of their contents is written down, to jump there.
	step = 16
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// class puts definitions of one use together: a question touches parts of its class only.
type class uint8

const (
	classType class = iota // types that fields and relocations lead to
	classFunc
	classVar // variables, and the sections that they are in
	numClasses
)

func classOf(k btfinfo.Kind) class {
	switch k {
	case btfinfo.KindFunc:
		return classFunc
	case btfinfo.KindVar, btfinfo.KindDatasec:
		return classVar
	}
	return classType
}

// compareNames is the order of definitions in a class: by essential name, so that a type and its flavours stand together,
// then by name.
func compareNames(a, b string) int {
	if c := strings.Compare(btfinfo.EssentialName(a), btfinfo.EssentialName(b)); c != 0 {
		return c
	}
	return strings.Compare(a, b)
}

// cutAfter tells whether a part may end after an essential name: for one in 32, decided by FNV-1a of its bytes.
func cutAfter(essential string) bool {
	h := uint32(2166136261)
	for i := range len(essential) {
		h = (h ^ uint32(essential[i])) * 16777619
	}
	return h>>8%32 == 0
}

// Fields of a kernel's record. A reader passes over those that it does not know.
const (
	fieldID = iota + 1
	fieldVersion
	fieldVersionFrom
	fieldPackage
	fieldPackageVersion
	fieldSource // URI, digest and date, ended by 0 bytes
	fieldPahole
	fieldCompiler
	fieldConfig // one line
	fieldNoBTF
	fieldMissing // fact and reason, ended by 0 bytes
	fieldFlags   // one byte: see below
)

const (
	flagBTF        = 1 << iota // has BTF
	flagBigEndian              // of its BTF
	flagModules                // its modules were looked at
	flagAllModules             // all that have BTF are in the archive
)

func appendField(b []byte, tag int, parts ...string) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n == 0 {
		return b
	}
	if len(parts) > 1 {
		n += len(parts)
	}
	b = appendNum(b, uint64(tag))
	b = appendNum(b, uint64(n))
	for _, p := range parts {
		b = append(b, p...)
		if len(parts) > 1 {
			b = append(b, 0)
		}
	}
	return b
}

// appendKernel writes the fields of a kernel, without its flags.
func appendKernel(b []byte, k *Kernel) []byte {
	b = appendField(b, fieldID, k.ID)
	b = appendField(b, fieldVersion, k.Version)
	b = appendField(b, fieldVersionFrom, k.VersionFrom)
	b = appendField(b, fieldPackage, k.Package)
	b = appendField(b, fieldPackageVersion, k.PackageVersion)
	for _, s := range k.Sources {
		b = appendField(b, fieldSource, s.URI, s.SHA256, s.Date)
	}
	b = appendField(b, fieldPahole, k.Pahole)
	b = appendField(b, fieldCompiler, k.Compiler)
	for _, c := range k.Config {
		b = appendField(b, fieldConfig, c)
	}
	b = appendField(b, fieldNoBTF, k.NoBTF)
	for _, m := range k.Missing {
		b = appendField(b, fieldMissing, m.Fact, m.Reason)
	}
	return b
}

func appendRecord(b []byte, r *kernelRecord) []byte {
	body := appendKernel(nil, &r.Kernel)
	flags := byte(0)
	if r.hasBTF {
		flags |= flagBTF
	}
	if r.big {
		flags |= flagBigEndian
	}
	if r.modulesRead {
		flags |= flagModules
	}
	if r.allModules {
		flags |= flagAllModules
	}
	body = appendField(body, fieldFlags, string([]byte{flags}))
	b = appendNum(b, uint64(len(body)))
	return append(b, body...)
}

// readRecord reads one kernel. newer is true where it has fields that this reader does not know.
func readRecord(body string) (r kernelRecord, newer bool, err error) {
	last := 0
	for body != "" {
		tag, n1 := uvarint(body)
		length, n2 := uvarint(body[max(n1, 0):])
		if n1 <= 0 || n2 <= 0 || length > uint64(len(body)-n1-n2) {
			return r, false, fmt.Errorf("field %d of a kernel's record is longer than the record", tag)
		}
		v := body[n1+n2 : n1+n2+int(length)]
		body = body[n1+n2+int(length):]
		if int(tag) < last {
			return r, false, fmt.Errorf("field %d of a kernel's record stands after field %d", tag, last)
		}
		last = int(tag)
		switch tag {
		case fieldID:
			r.ID = v
		case fieldVersion:
			r.Version = v
		case fieldVersionFrom:
			r.VersionFrom = v
		case fieldPackage:
			r.Package = v
		case fieldPackageVersion:
			r.PackageVersion = v
		case fieldSource:
			p := strings.Split(v, "\x00")
			if len(p) != 4 {
				return r, false, fmt.Errorf("a source of kernel %q has %d parts, want 3", r.ID, len(p)-1)
			}
			r.Sources = append(r.Sources, Source{p[0], p[1], p[2]})
		case fieldPahole:
			r.Pahole = v
		case fieldCompiler:
			r.Compiler = v
		case fieldConfig:
			r.Config = append(r.Config, v)
		case fieldNoBTF:
			r.NoBTF = v
		case fieldMissing:
			p := strings.Split(v, "\x00")
			if len(p) != 3 {
				return r, false, fmt.Errorf("a missing fact of kernel %q has %d parts, want 2", r.ID, len(p)-1)
			}
			r.Missing = append(r.Missing, Missing{p[0], p[1]})
		case fieldFlags:
			if len(v) != 1 {
				return r, false, fmt.Errorf("the flags of kernel %q are %d bytes, want 1", r.ID, len(v))
			}
			r.hasBTF, r.big, r.modulesRead = v[0]&flagBTF != 0, v[0]&flagBigEndian != 0, v[0]&flagModules != 0
			r.allModules = v[0]&flagAllModules != 0
			newer = newer || v[0]&^(flagBTF|flagBigEndian|flagModules|flagAllModules) != 0
		default:
			newer = true
		}
	}
	p := strings.Split(r.ID, "/")
	if len(p) != 4 {
		return r, false, fmt.Errorf("kernel ID %q: want distro/release/arch/uname", r.ID)
	}
	r.Distro, r.Release, r.Arch, r.Uname = p[0], p[1], p[2], p[3]
	if err := checkKernel(&r.Kernel); err != nil {
		return r, false, err
	}
	if r.hasBTF == (r.NoBTF != "") {
		return r, false, fmt.Errorf("kernel %s: says both that it has BTF and that it has none, or neither", r.ID)
	}
	return r, newer, nil
}

// uvarint is binary.Uvarint on a string.
func uvarint(s string) (uint64, int) {
	var b [binary.MaxVarintLen64]byte
	return binary.Uvarint(b[:copy(b[:], s)])
}

// section is an entry of the directory: parts follow each other in the file without gaps, in the directory's order, after the
// directory itself.
type section struct {
	tag   string // four bytes
	flags uint64
	parts []part
}

// part is one zstd frame.
type part struct {
	off         int64 // in the file
	stored, raw int   // bytes
	sum         uint32
}

func appendDirectory(b []byte, list []section) []byte {
	b = appendNum(b, uint64(len(list)))
	for _, s := range list {
		b = append(b, s.tag...)
		b = appendNum(b, s.flags)
		b = appendNum(b, uint64(len(s.parts)))
		for _, p := range s.parts {
			b = appendNum(b, uint64(p.stored))
			b = appendNum(b, uint64(p.raw))
			b = binary.LittleEndian.AppendUint32(b, p.sum)
		}
	}
	return b
}

// readDirectory reads the directory; off is where the first part starts, size is that of the file. It returns where the last
// part ends.
func readDirectory(b []byte, off, size int64) ([]section, int64, error) {
	s := source{b: b}
	total := int64(0)
	n := s.num()
	if n > 256 {
		return nil, 0, fmt.Errorf("%d sections, the limit is 256", n)
	}
	var list []section
	for range n {
		if len(s.b) < 4 {
			s.bad = true
			break
		}
		x := section{tag: string(s.b[:4])}
		s.b = s.b[4:]
		if slices.ContainsFunc(list, func(o section) bool { return o.tag == x.tag }) {
			return nil, 0, fmt.Errorf("section %q stands there twice", x.tag)
		}
		x.flags = s.num()
		parts := s.num()
		if parts > maxParts || parts > uint64(len(s.b)) {
			return nil, 0, fmt.Errorf("section %q has %d parts, the limit is %d", x.tag, parts, min(maxParts, len(s.b)))
		}
		for range parts {
			p := part{off: off}
			stored, raw := s.num(), s.num()
			if stored > maxPart || raw > maxPart || stored == 0 || raw == 0 {
				return nil, 0, fmt.Errorf("a part of section %q has %d bytes, %d when decompressed; want 1 to %d", x.tag, stored, raw, maxPart)
			}
			p.stored, p.raw = int(stored), int(raw)
			if len(s.b) < 4 {
				s.bad = true
				break
			}
			p.sum = binary.LittleEndian.Uint32(s.b)
			s.b = s.b[4:]
			off += int64(p.stored)
			if off > size {
				return nil, 0, fmt.Errorf("a part of section %q ends at %d, the file at %d", x.tag, off, size)
			}
			if total += int64(p.raw); total > maxPart+maxRatio*size {
				return nil, 0, fmt.Errorf("the parts up to section %q have %d bytes when decompressed, the limit for a file of %d is %d", x.tag, total, size, maxPart+maxRatio*size)
			}
			x.parts = append(x.parts, p)
		}
		list = append(list, x)
	}
	if s.bad || len(s.b) > 0 {
		return nil, 0, fmt.Errorf("the directory does not end where it says")
	}
	return list, off, nil
}
