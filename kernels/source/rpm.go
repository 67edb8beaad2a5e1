package source

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"time"
)

// The parts of an RPM package, in their order: a lead, the signature header, the header, and the compressed archive. The
// headers are read here rather than with a library because of their bounds: what is believed of a stranger's header must
// be seen in one place.
//
// Source: "RPM V4 Package format" of rpm 4.20 (docs/manual/format_v4.md, format_header.md, format_lead.md), and hdrblobInit in
// its lib/header.cc.
const (
	rpmMagic       = "\xed\xab\xee\xdb"
	rpmLead        = 96
	rpmHeaderMagic = "\x8e\xad\xe8\x01" // with the version
	rpmMaxTags     = 0xffff             // HEADER_TAGS_MAX

	rpmName          = 1000
	rpmVersion       = 1001
	rpmRelease       = 1002
	rpmEpoch         = 1003
	rpmBuildTime     = 1006
	rpmDistribution  = 1010
	rpmVendor        = 1011
	rpmArch          = 1022
	rpmFileSizes     = 1028
	rpmFileModes     = 1030
	rpmFileFlags     = 1037
	rpmSourceRPM     = 1044
	rpmFileInodes    = 1096
	rpmDirIndexes    = 1116
	rpmBaseNames     = 1117
	rpmDirNames      = 1118
	rpmPayloadFormat = 1124
	rpmLongFileSizes = 5008

	rpmInt16, rpmInt32, rpmInt64, rpmString, rpmStrings, rpmI18N = 3, 4, 5, 6, 8, 9

	rpmGhost = 1 << 6 // RPMFILE_GHOST: not in the archive
)

// rpmFile is what the header says of a file.
type rpmFile struct {
	path  string
	size  int64 // 0 for all but the last of several that share their content
	mode  uint32
	inode uint32 // 0 for what shares nothing
	links int    // files that share the content
	ghost bool
}

// rpmTag is an entry of a header's index.
type rpmTag struct{ kind, off, count uint32 }

// rpmHeader is a header: an index, and the store that it points into.
type rpmHeader struct {
	tags  map[uint32]rpmTag
	store []byte
	at    int64 // of the store, in the file
}

// readRPMHeader reads one header. what names it in errors.
func readRPMHeader(in *counted, what string) (*rpmHeader, error) {
	at := in.n
	var b [16]byte
	if _, err := io.ReadFull(in, b[:]); err != nil {
		return nil, cutOff(in, err, what)
	}
	if string(b[:4]) != rpmHeaderMagic {
		return nil, errAt(at, nil, "%s starts with % x, want % x", what, b[:4], rpmHeaderMagic)
	}
	n, size := binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	if n > rpmMaxTags {
		return nil, errAt(at+8, nil, "%s has %d entries, the limit is %d", what, n, rpmMaxTags)
	}
	if size > maxMetadata {
		return nil, errAt(at+12, nil, "%s has %d bytes, the limit is %d", what, size, maxMetadata)
	}
	data, err := readAll(in, int64(n)*16+int64(size))
	if err != nil {
		return nil, cutOff(in, err, what)
	}
	h := &rpmHeader{tags: make(map[uint32]rpmTag, n), store: data[n*16:], at: at + 16 + int64(n)*16}
	for i := range n {
		e := data[i*16:]
		tag := binary.BigEndian.Uint32(e)
		t := rpmTag{binary.BigEndian.Uint32(e[4:]), binary.BigEndian.Uint32(e[8:]), binary.BigEndian.Uint32(e[12:])}
		if uint64(t.off) > uint64(size) {
			return nil, errAt(at+16+int64(i)*16+8, nil, "the value of tag %d in %s is at %d of %d bytes", tag, what, t.off, size)
		}
		if _, twice := h.tags[tag]; twice && tag >= rpmName {
			return nil, errAt(at+16+int64(i)*16, nil, "tag %d is in %s twice", tag, what)
		}
		h.tags[tag] = t
	}
	return h, nil
}

// readAll reads n bytes, with memory for what comes rather than for what n promises.
func readAll(r io.Reader, n int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(n, 1<<20)))
	m, err := io.CopyN(&b, r, n)
	if err == io.EOF || m < n && err == nil {
		err = io.ErrUnexpectedEOF
	}
	return b.Bytes(), err
}

func (h *rpmHeader) bad(tag uint32, format string, args ...any) error {
	return errAt(h.at+int64(h.tags[tag].off), nil, "tag %d of the header: %s", tag, fmt.Sprintf(format, args...))
}

// strings returns the strings of a tag, none where it is not there.
func (h *rpmHeader) strings(tag uint32) ([]string, error) {
	t, ok := h.tags[tag]
	if !ok {
		return nil, nil
	}
	if t.kind != rpmString && t.kind != rpmStrings && t.kind != rpmI18N {
		return nil, h.bad(tag, "it is of type %d, want a string (%d, %d or %d)", t.kind, rpmString, rpmStrings, rpmI18N)
	}
	n := t.count
	if t.kind == rpmString {
		n = 1
	}
	b := h.store[t.off:]
	if n > maxMembers || uint64(n) > uint64(len(b)) {
		return nil, h.bad(tag, "%d strings are said to be in %d bytes, the limit is %d", n, len(b), maxMembers)
	}
	list := make([]string, n)
	for i := range list {
		end := bytes.IndexByte(b, 0)
		if end < 0 {
			return nil, h.bad(tag, "string %d of %d has no end", i, n)
		}
		list[i], b = string(b[:end]), b[end+1:]
	}
	return list, nil
}

// string returns the first string of a tag, "" where it is not there.
func (h *rpmHeader) string(tag uint32) (string, error) {
	list, err := h.strings(tag)
	if err != nil || len(list) == 0 {
		return "", err
	}
	return list[0], nil
}

// numbers returns the numbers of a tag, none where it is not there.
func (h *rpmHeader) numbers(tag uint32) ([]uint64, error) {
	t, ok := h.tags[tag]
	if !ok {
		return nil, nil
	}
	width := map[uint32]int{rpmInt16: 2, rpmInt32: 4, rpmInt64: 8}[t.kind]
	if width == 0 {
		return nil, h.bad(tag, "it is of type %d, want a number (%d, %d or %d)", t.kind, rpmInt16, rpmInt32, rpmInt64)
	}
	b := h.store[t.off:]
	if t.count > maxMembers || int(t.count)*width > len(b) {
		return nil, h.bad(tag, "%d numbers of %d bytes are said to be in %d bytes, the limit is %d", t.count, width, len(b), maxMembers)
	}
	list := make([]uint64, t.count)
	for i := range list {
		switch b := b[i*width:]; width {
		case 2:
			list[i] = uint64(binary.BigEndian.Uint16(b))
		case 4:
			list[i] = uint64(binary.BigEndian.Uint32(b))
		default:
			list[i] = binary.BigEndian.Uint64(b)
		}
	}
	return list, nil
}

// files returns the list of files.
func (h *rpmHeader) files() ([]rpmFile, error) {
	names, err := h.strings(rpmBaseNames)
	if err != nil {
		return nil, err
	}
	dirs, err := h.strings(rpmDirNames)
	if err != nil {
		return nil, err
	}
	if len(names) > maxMembers {
		return nil, h.bad(rpmBaseNames, "%d files, the limit is %d", len(names), maxMembers)
	}
	var column [5][]uint64
	for i, tag := range []uint32{rpmDirIndexes, rpmFileModes, rpmFileFlags, rpmFileInodes, rpmFileSizes} {
		if _, long := h.tags[rpmLongFileSizes]; long && tag == rpmFileSizes {
			tag = rpmLongFileSizes
		}
		if column[i], err = h.numbers(tag); err != nil {
			return nil, err
		}
		// Without the inodes no files share content; the others have to be there for each file.
		if n := len(column[i]); n != len(names) && !(tag == rpmFileInodes && n == 0) {
			return nil, h.bad(tag, "%d values for %d files", n, len(names))
		}
	}
	files := make([]rpmFile, len(names))
	last, shared := map[uint32]int{}, map[uint32]int{}
	total := 0 // bytes of all paths
	for i, name := range names {
		d := column[0][i]
		if d >= uint64(len(dirs)) {
			return nil, h.bad(rpmDirIndexes, "file %d is in folder %d of %d", i, d, len(dirs))
		}
		if len(dirs[d])+len(name) > maxPath {
			return nil, h.bad(rpmBaseNames, "the path of file %d has %d bytes, the limit is %d", i, len(dirs[d])+len(name), maxPath)
		}
		if total += len(dirs[d]) + len(name); total > maxMetadata {
			return nil, h.bad(rpmBaseNames, "the paths of the files up to %d have more than %d bytes, the limit", i, maxMetadata)
		}
		f := &files[i]
		*f = rpmFile{path: dirs[d] + name, size: int64(column[4][i]), mode: uint32(column[1][i]), ghost: column[2][i]&rpmGhost != 0}
		if f.size < 0 {
			return nil, h.bad(rpmFileSizes, "file %d is said to have %d bytes", i, column[4][i])
		}
		if len(column[3]) == 0 || f.ghost || f.mode&modeType != modeRegular {
			continue
		}
		f.inode = uint32(column[3][i])
		if j, before := last[f.inode]; before {
			files[j].size = 0 // the content is with the last: rpmfiArchiveReadHeader in lib/rpmfi.cc
		}
		last[f.inode] = i
		shared[f.inode]++
	}
	for i := range files {
		files[i].links = shared[files[i].inode]
	}
	return files, nil
}

// readRPM reads a package up to its archive, and returns what is told of it.
func readRPM(in *counted) (p *packageInfo, files []rpmFile, err error) {
	var lead [rpmLead]byte
	if _, err := io.ReadFull(in, lead[:]); err != nil {
		return nil, nil, cutOff(in, err, "the lead")
	}
	if string(lead[:4]) != rpmMagic {
		return nil, nil, errAt(0, nil, "no RPM package: starts with % x", lead[:4])
	}
	if kind := binary.BigEndian.Uint16(lead[6:]); kind != 0 {
		e := errAt(6, nil, "the package is of type %d, want 0", kind)
		e.Hint = "this is a source package; " + checkNoPackage
		return nil, nil, e
	}
	sig, err := readRPMHeader(in, "the signature header")
	if err != nil {
		return nil, nil, err
	}
	if _, err := io.CopyN(io.Discard, in, -int64(len(sig.store))&7); err != nil {
		return nil, nil, cutOff(in, err, "the padding of the signature header")
	}
	h, err := readRPMHeader(in, "the header")
	if err != nil {
		return nil, nil, err
	}
	p = &packageInfo{kind: "rpm"}
	var version, release, format string
	for _, field := range []struct {
		tag uint32
		to  *string
	}{
		{rpmName, &p.name}, {rpmVersion, &version}, {rpmRelease, &release}, {rpmArch, &p.arch}, {rpmVendor, &p.vendor},
		{rpmDistribution, &p.distribution}, {rpmPayloadFormat, &format},
	} {
		if *field.to, err = h.string(field.tag); err != nil {
			return nil, nil, err
		}
	}
	if _, binary := h.tags[rpmSourceRPM]; !binary {
		e := errAt(6, nil, "the header of the package names no source package")
		e.Hint = "this is a source package; " + checkNoPackage
		return nil, nil, e
	}
	if p.name == "" || version == "" || release == "" {
		return nil, nil, errAt(h.at, nil, "name, version and release of the package are %q, %q and %q, want all three", p.name, version, release)
	}
	if format != "" && format != "cpio" {
		e := errAt(h.at, nil, "the archive of the package is in the format %q, want cpio", format)
		e.Hint = "unpack it, and name the folder"
		return nil, nil, e
	}
	if err := checkWords(p.name, version, release, p.arch); err != nil {
		return nil, nil, err
	}
	p.version = version + "-" + release
	epoch, err := h.numbers(rpmEpoch)
	if err != nil {
		return nil, nil, err
	}
	if len(epoch) > 0 && epoch[0] != 0 {
		p.version = fmt.Sprintf("%d:%s", epoch[0], p.version)
	}
	built, err := h.numbers(rpmBuildTime)
	if err != nil {
		return nil, nil, err
	}
	if len(built) > 0 {
		p.date = isoDate(int64(built[0]))
	}
	if files, err = h.files(); err != nil {
		return nil, nil, err
	}
	p.listed = true
	for _, f := range files {
		if !f.ghost && f.mode&modeType == modeRegular {
			p.files = append(p.files, f.path)
		}
	}
	return p, files, nil
}

// isoDate is the day of a time in seconds since 1970; "" for one that is no date of a kernel.
func isoDate(seconds int64) string {
	if seconds <= 0 || seconds > 1<<33 { // the year 2242
		return ""
	}
	return time.Unix(seconds, 0).UTC().Format(time.DateOnly)
}
