package archive

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/corecheck/corecheck/btfinfo"
)

// Archive is an archive that is read. Opening one reads its directory and the list of kernels; definitions are
// decompressed part by part, as they are asked for, and kept. An Archive is safe for concurrent use, and is not touched by
// a writer that replaces its file meanwhile.
type Archive struct {
	name string
	r    io.ReaderAt
	mem  []byte // the file where it is in memory, else nil
	size int64
	file *os.File

	sections []section
	parts    map[string][]part
	kernels  []kernelRecord
	homes    []homeRecord // homes[0] is vmlinux
	tags     []tagRecord
	firsts   [numClasses][]string // essential names that parts start with
	start    [numClasses]int      // index of the class's first part
	newer    string               // what is in it that this version does not know, "" for nothing

	blocks []*lazyBlock
	setMu  sync.Mutex
	sets   [][]runs
}

type homeRecord struct {
	name string
	set  runs
}

type tagRecord struct {
	name string
	set  runs
}

// Open opens an archive file.
func Open(path string) (*Archive, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &btfinfo.Error{File: path, Off: -1, Msg: "is no file"}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	a := &Archive{name: path, r: f, size: st.Size(), file: f}
	if err := a.open(); err != nil {
		f.Close()
		return nil, err
	}
	return a, nil
}

// OpenBytes opens an archive in memory. name is for messages; data must not change.
func OpenBytes(name string, data []byte) (*Archive, error) {
	a := &Archive{name: name, r: bytes.NewReader(data), mem: data, size: int64(len(data))}
	if err := a.open(); err != nil {
		return nil, err
	}
	return a, nil
}

// Close closes the file. What was read from the Archive stays valid; reading more fails.
func (a *Archive) Close() error {
	if a.file == nil {
		return nil
	}
	return a.file.Close()
}

// Name is the path, or what OpenBytes was told.
func (a *Archive) Name() string { return a.name }

// Size of the archive in bytes.
func (a *Archive) Size() int64 { return a.size }

// Kernels are the kernels in the archive, in the order of CompareIDs: the order of indices everywhere else.
func (a *Archive) Kernels() []Kernel {
	out := make([]Kernel, len(a.kernels))
	for i := range a.kernels {
		out[i] = a.kernels[i].Kernel
	}
	return out
}

// Kernel is the kernel with index i.
func (a *Archive) Kernel(i int) *Kernel { return &a.kernels[i].Kernel }

// Len is the number of kernels.
func (a *Archive) Len() int { return len(a.kernels) }

// Index finds a kernel by its ID.
func (a *Archive) Index(id string) (int, bool) {
	return slices.BinarySearchFunc(a.kernels, id, func(r kernelRecord, id string) int { return CompareIDs(r.ID, id) })
}

// Modules are the names of the modules of which the archive has the BTF for kernel i, sorted. read is false where the
// kernel's modules were not looked at, all is true where every one that has BTF is there.
func (a *Archive) Modules(i int) (names []string, read, all bool) {
	for _, h := range a.homes[1:] {
		if h.set.has(uint32(i)) {
			names = append(names, h.name)
		}
	}
	return names, a.kernels[i].modulesRead, a.kernels[i].allModules
}

// AllModules tells whether the archive has the BTF of every module of kernel i that has any.
func (a *Archive) AllModules(i int) bool { return a.kernels[i].allModules }

// HasModules tells whether the archive has the BTF of any module of kernel i.
func (a *Archive) HasModules(i int) bool {
	return slices.ContainsFunc(a.homes[1:], func(h homeRecord) bool { return h.set.has(uint32(i)) })
}

func (a *Archive) errorf(section string, off int64, format string, args ...any) error {
	return &btfinfo.Error{File: a.name, Section: section, Off: off, Msg: fmt.Sprintf(format, args...),
		Hint: "the archive is damaged: take a copy of it, or make it anew with corecheck kernels add"}
}

func (a *Archive) open() error {
	var head [headerSize]byte
	if a.size < headerSize {
		return a.errorf("header", -1, "%d bytes, an archive has %d at least", a.size, headerSize)
	}
	if _, err := a.r.ReadAt(head[:], 0); err != nil {
		return err
	}
	if string(head[:8]) != magic {
		return &btfinfo.Error{File: a.name, Section: "header", Off: 0, Msg: fmt.Sprintf("is no archive of kernels: it starts with %q, want %q", head[:8], magic),
			Hint: "archives are made by 'corecheck kernels add', 'pull' and 'merge'; --btf asks a file of BTF"}
	}
	le := binary.LittleEndian
	if v := le.Uint32(head[8:]); v != version {
		return &btfinfo.Error{File: a.name, Section: "header", Off: 8, Msg: fmt.Sprintf("the archive has format version %d, this corecheck knows %d", v, version),
			Hint: "use the corecheck that wrote it, or a newer one"}
	}
	if sum, want := checksum(head[:headerSize-4]), le.Uint32(head[headerSize-4:]); sum != want {
		return a.errorf("header", headerSize-4, "its checksum is %#08x, the bytes have %#08x", want, sum)
	}
	if flags := le.Uint32(head[12:]); flags != 0 {
		return a.errorf("header", 12, "flags are %#x, this corecheck knows none", flags)
	}
	if size := le.Uint64(head[16:]); size != uint64(a.size) {
		return a.errorf("header", 16, "the archive has %d bytes, the file %d: it is cut off or something was appended", size, a.size)
	}
	dir := part{off: headerSize, stored: int(le.Uint32(head[24:])), raw: int(le.Uint32(head[28:])), sum: le.Uint32(head[32:])}
	if uint(dir.stored) > maxPart || uint(dir.raw) > maxPart || int64(dir.stored) > a.size-headerSize { // below 0 where an int has 32 bits
		return a.errorf("directory", headerSize, "%d bytes, %d when decompressed; the file has %d, the limit is %d", dir.stored, dir.raw, a.size-headerSize, maxPart)
	}
	b, err := a.readIn("directory", dir)
	if err != nil {
		return err
	}
	list, end, err := readDirectory(b, headerSize+int64(dir.stored), a.size)
	if err != nil {
		return a.errorf("directory", headerSize, "%v", err)
	}
	if end != a.size {
		return a.errorf("directory", headerSize, "the parts end at %d, the file at %d", end, a.size)
	}
	a.sections = list
	a.parts = make(map[string][]part)
	for i, s := range list {
		a.parts[s.tag] = s.parts
		switch {
		case slices.Contains(sections, s.tag):
			if sections[min(i, len(sections)-1)] != s.tag {
				return a.errorf("directory", headerSize, "section %q is the %d. one", s.tag, i+1)
			}
		case s.flags&sectRequired != 0:
			return &btfinfo.Error{File: a.name, Section: "directory", Off: headerSize, Msg: fmt.Sprintf("section %q has to be understood, and this corecheck does not know it", s.tag),
				Hint: "use the corecheck that wrote it, or a newer one"}
		default:
			a.newer = fmt.Sprintf("section %q", s.tag)
		}
	}
	for _, tag := range sections {
		if _, ok := a.parts[tag]; !ok {
			return a.errorf("directory", headerSize, "there is no section %q", tag)
		}
	}
	for _, tag := range []string{sectKernels, sectHomes, sectIndex} {
		if n := len(a.parts[tag]); n != 1 {
			return a.errorf(tag, -1, "has %d parts, want 1", n)
		}
	}
	if err := a.openKernels(); err != nil {
		return err
	}
	if err := a.openHomes(); err != nil {
		return err
	}
	return a.openIndex()
}

func (a *Archive) openKernels() error {
	b, err := a.read(a.parts[sectKernels][0])
	if err != nil {
		return err
	}
	text := string(b) // all strings of all kernels share it
	next := func() (uint64, bool) {
		n, size := uvarint(text)
		if size <= 0 {
			return 0, false
		}
		text = text[size:]
		return n, true
	}
	n, ok := next()
	if !ok || n > maxKernels || n > uint64(len(text)/minRecord) {
		return a.errorf(sectKernels, -1, "%d kernels in %d bytes, the limit is %d", n, len(b), min(maxKernels, len(text)/minRecord))
	}
	a.kernels = make([]kernelRecord, 0, n)
	for range n {
		length, ok := next()
		if !ok || length > uint64(len(text)) || length > maxRecord+64 {
			return a.errorf(sectKernels, int64(len(b)-len(text)), "a record of %d bytes, there are %d", length, len(text))
		}
		r, newer, err := readRecord(text[:length])
		if err != nil {
			return a.errorf(sectKernels, int64(len(b)-len(text)), "%v", err)
		}
		if newer {
			a.newer = "facts of kernels"
		}
		text = text[length:]
		if k := len(a.kernels); k > 0 && CompareIDs(a.kernels[k-1].ID, r.ID) >= 0 {
			return a.errorf(sectKernels, -1, "kernel %s stands after %s", r.ID, a.kernels[k-1].ID)
		}
		a.kernels = append(a.kernels, r)
	}
	if text != "" {
		return a.errorf(sectKernels, -1, "%d bytes are left after %d kernels", len(text), n)
	}
	return nil
}

func (a *Archive) openHomes() error {
	b, err := a.read(a.parts[sectHomes][0])
	if err != nil {
		return err
	}
	s := source{b: b}
	list := func(limit int) (out []homeRecord) {
		n := s.vlen()
		if n > limit {
			s.bad = true
		}
		for range n {
			name := s.cstring()
			set := s.runs(len(a.kernels))
			if s.bad || len(out) > 0 && out[len(out)-1].name >= name || name == "" {
				s.bad = true
				return nil
			}
			out = append(out, homeRecord{name, set})
		}
		return out
	}
	a.homes = append([]homeRecord{{name: "vmlinux"}}, list(maxHomes-1)...)
	for _, t := range list(maxTags) {
		a.tags = append(a.tags, tagRecord(t))
	}
	if s.bad || len(s.b) > 0 {
		return a.errorf(sectHomes, int64(len(b)-len(s.b)), "the list of modules or of tags is damaged")
	}
	return nil
}

// cstring reads up to and with a 0 byte.
func (s *source) cstring() string {
	i := bytes.IndexByte(s.b, 0)
	if i < 0 {
		s.bad, s.b = true, nil
		return ""
	}
	t := string(s.b[:i])
	s.b = s.b[i+1:]
	return t
}

func (a *Archive) openIndex() error {
	b, err := a.read(a.parts[sectIndex][0])
	if err != nil {
		return err
	}
	s := source{b: b}
	total := 0
	for c := range a.firsts {
		n := s.num()
		if n > maxParts || n > uint64(len(s.b)) {
			s.bad = true
			break
		}
		a.start[c] = total
		total += int(n)
		for i := range int(n) {
			name := s.cstring()
			if s.bad || i > 0 && a.firsts[c][i-1] >= name {
				s.bad = true
				break
			}
			a.firsts[c] = append(a.firsts[c], name)
		}
	}
	if s.bad || len(s.b) > 0 {
		return a.errorf(sectIndex, int64(len(b)-len(s.b)), "the names that parts start with are damaged or out of order")
	}
	if n, m := len(a.parts[sectDefs]), len(a.parts[sectPresence]); n != total || m != total {
		return a.errorf(sectIndex, -1, "the index names %d parts, there are %d of definitions and %d of where they are", total, n, m)
	}
	a.blocks = make([]*lazyBlock, total)
	for i := range a.blocks {
		a.blocks[i] = &lazyBlock{}
	}
	a.sets = make([][]runs, len(a.parts[sectSets]))
	return nil
}

// stored returns a part's bytes as they are in the file, checked.
func (a *Archive) stored(p part) ([]byte, error) { return a.storedIn(nil, "", p) }

// storedIn is stored into buf, where that is large enough and the archive is a file.
func (a *Archive) storedIn(buf []byte, what string, p part) ([]byte, error) {
	if p.off < 0 || p.off+int64(p.stored) > a.size {
		return nil, a.errorf(what, p.off, "a part ends at %d, the file at %d", p.off+int64(p.stored), a.size)
	}
	var b []byte
	if a.mem != nil {
		b = a.mem[p.off : p.off+int64(p.stored)]
	} else {
		if b = buf; cap(b) < p.stored {
			b = make([]byte, p.stored)
		}
		b = b[:p.stored]
		if _, err := a.r.ReadAt(b, p.off); err != nil {
			return nil, &btfinfo.Error{File: a.name, Section: what, Off: p.off, Msg: fmt.Sprintf("%d bytes can't be read", p.stored), Err: err}
		}
	}
	if sum := checksum(b); sum != p.sum {
		return nil, a.errorf(what, p.off, "the checksum of the part is %#08x, its bytes have %#08x", p.sum, sum)
	}
	return b, nil
}

// packed are buffers for parts as they are in a file, between reading and decompressing.
var packed = sync.Pool{New: func() any { return new([]byte) }}

// decoders are kept: their tables cost more to make than a small part to read.
var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPart), zstd.WithDecoderMaxWindow(maxPart))
	if err != nil {
		return err
	}
	return d
}}

// read returns a part, checked and decompressed.
func (a *Archive) read(p part) ([]byte, error) { return a.readIn("", p) }

func (a *Archive) readIn(what string, p part) ([]byte, error) {
	return a.readTo(make([]byte, 0, p.raw), what, p)
}

// readTo decompresses a part behind what is in dst.
func (a *Archive) readTo(dst []byte, what string, p part) ([]byte, error) {
	buf := packed.Get().(*[]byte)
	defer packed.Put(buf)
	b, err := a.storedIn(*buf, what, p)
	if err != nil {
		return nil, err
	}
	if a.mem == nil {
		*buf = b
	}
	d, ok := decoders.Get().(*zstd.Decoder)
	if !ok {
		return nil, errors.New("zstd can't be set up")
	}
	defer decoders.Put(d)
	raw, err := d.DecodeAll(b, dst)
	if err != nil {
		return nil, &btfinfo.Error{File: a.name, Section: what, Off: p.off, Msg: "a part can't be decompressed", Err: err}
	}
	if n := len(raw) - len(dst); n != p.raw {
		return nil, a.errorf(what, p.off, "a part has %d bytes when decompressed, the directory says %d", n, p.raw)
	}
	return raw, nil
}

// set returns a set of kernels by its number.
func (a *Archive) set(n uint32) (runs, error) {
	a.setMu.Lock()
	defer a.setMu.Unlock()
	i := int(n / setsPerPart)
	if i >= len(a.sets) {
		return nil, a.errorf(sectSets, -1, "set %d, there are %d parts of %d", n, len(a.sets), setsPerPart)
	}
	if a.sets[i] == nil {
		b, err := a.readIn(sectSets, a.parts[sectSets][i])
		if err != nil {
			return nil, err
		}
		s := source{b: b}
		list := make([]runs, 0, setsPerPart)
		count := s.vlen()
		if count > setsPerPart || count < setsPerPart && i != len(a.sets)-1 {
			s.bad = true
		}
		for range count {
			r := s.runs(len(a.kernels))
			if s.bad || len(r) == 0 {
				s.bad = true
				break
			}
			list = append(list, r)
		}
		if s.bad || len(s.b) > 0 {
			return nil, a.errorf(sectSets, a.parts[sectSets][i].off, "the sets of kernels are damaged")
		}
		a.sets[i] = list
	}
	if j := int(n % setsPerPart); j < len(a.sets[i]) {
		return a.sets[i][j], nil
	}
	return nil, a.errorf(sectSets, -1, "set %d, the last part has %d", n, len(a.sets[i]))
}

// find returns the part in which the definitions of an essential name are, if there are any of the class.
func (a *Archive) find(c class, essential string) (int, bool) {
	i, found := slices.BinarySearch(a.firsts[c], essential)
	if !found {
		i--
	}
	return a.start[c] + i, i >= 0
}

// lazyBlock is a part of DEFS with its part of PRES, read once.
type lazyBlock struct {
	once sync.Once
	b    *block
	err  error
}

func (a *Archive) block(i int) (*block, error) {
	l := a.blocks[i]
	l.once.Do(func() { l.b, l.err = a.readBlock(i) })
	return l.b, l.err
}

// eachBlock reads all blocks one after the other, without keeping those that were not read before.
func (a *Archive) eachBlock(f func(*block) error) error {
	for i := range a.blocks {
		b, err := a.readBlock(i)
		if err != nil {
			return err
		}
		if err := f(b); err != nil {
			return err
		}
	}
	return nil
}

// block is a part of DEFS with its part of PRES.
type block struct {
	a       *Archive
	index   int
	entries []blockEntry
	strs    []string // numbered as the contents do; 0 is ""
	content []byte
	steps   []int // where the contents of entry step*i start
	nvar    int   // variants in all
}

// blockEntry is all definitions of one kind and name.
type blockEntry struct {
	name     string
	kind     btfinfo.Kind
	n        int // index in the block
	variants int // number of them
	presence []byte
}

// blockVariant is one definition in one exact shape.
type blockVariant struct {
	content []byte // and what follows it in the part
	at      []presence
}

func (b *block) errorf(format string, args ...any) error {
	return b.a.errorf(sectDefs, b.a.parts[sectDefs][b.index].off, format, args...)
}

func (a *Archive) readBlock(i int) (*block, error) {
	raw, err := a.readIn(sectDefs, a.parts[sectDefs][i])
	if err != nil {
		return nil, err
	}
	pres, err := a.readIn(sectPresence, a.parts[sectPresence][i])
	if err != nil {
		return nil, err
	}
	b := &block{a: a, index: i}
	s := source{b: raw}
	var head [5]int // entries, bytes of names, strings, bytes of strings, bytes of steps
	for j := range head {
		n := s.num()
		if n > uint64(len(raw)) {
			return nil, b.errorf("the part has %d bytes, its head speaks of %d", len(raw), n)
		}
		head[j] = int(n)
	}
	if head[1]+head[3]+head[4] > len(s.b) {
		return nil, b.errorf("names, strings and steps take %d bytes, the part has %d", head[1]+head[3]+head[4], len(s.b))
	}
	names := source{b: s.b[:head[1]]}
	strs := string(s.b[head[1] : head[1]+head[3]])
	steps := source{b: s.b[head[1]+head[3] : head[1]+head[3]+head[4]]}
	b.content = s.b[head[1]+head[3]+head[4]:]
	if head[0] > head[1]/minEntry || head[2] > head[3] {
		return nil, b.errorf("%d entries and %d strings in %d and %d bytes", head[0], head[2], head[1], head[3])
	}
	b.strs = make([]string, 1, head[2]+1)
	for range head[2] {
		j := strings.IndexByte(strs, 0)
		if j < 0 {
			return nil, b.errorf("there are fewer strings than the %d it says", head[2])
		}
		b.strs = append(b.strs, strs[:j])
		strs = strs[j+1:]
	}
	at := 0
	b.steps = append(make([]int, 0, head[0]/step+1), 0)
	for len(steps.b) > 0 {
		n := steps.num()
		if steps.bad || n > uint64(len(b.content)-at) {
			return nil, b.errorf("a step of %d bytes, there are %d", n, len(b.content)-at)
		}
		at += int(n)
		b.steps = append(b.steps, at)
	}
	if want := max(0, head[0]-1)/step + 1; len(b.steps) != want || strs != "" || head[0] == 0 {
		return nil, b.errorf("%d entries have %d steps, want %d", head[0], len(b.steps), want)
	}
	b.entries = make([]blockEntry, 0, head[0])
	p := source{b: pres}
	var name []byte
	total := 0 // bytes of all names
	for n := range head[0] {
		shared := names.num()
		end := bytes.IndexByte(names.b, 0)
		if shared > uint64(len(name)) || end < 0 {
			return nil, b.errorf("the name of entry %d is damaged", n)
		}
		name = append(name[:shared], names.b[:end]...)
		names.b = names.b[end+1:]
		if total += len(name); total > maxNames {
			return nil, b.errorf("the names up to entry %d take more than %d bytes, the limit", n, maxNames)
		}
		e := blockEntry{name: string(name), kind: btfinfo.Kind(names.op()), n: n, variants: int(names.num32())}
		if names.bad || e.variants == 0 || e.variants > len(raw) || classOf(e.kind) != b.class() || !hasOwnName(e.kind) {
			return nil, b.errorf("entry %q is damaged", e.name)
		}
		if n > 0 {
			prev := &b.entries[n-1]
			if c := compareNames(prev.name, e.name); c > 0 || c == 0 && prev.kind >= e.kind {
				return nil, b.errorf("entry %s %q stands after %s %q", e.kind, e.name, prev.kind, prev.name)
			}
		} else if c := b.class(); btfinfo.EssentialName(e.name) != a.firsts[c][i-a.start[c]] {
			return nil, b.errorf("the first entry is %q, the index says %q", e.name, a.firsts[c][i-a.start[c]])
		}
		start := p.b
		for i := 0; i < e.variants && !p.bad; i++ {
			p.skipPresence()
		}
		if p.bad {
			return nil, b.errorf("where %s %q is found is damaged", e.kind, e.name)
		}
		e.presence = start[:len(start)-len(p.b)]
		b.nvar += e.variants
		b.entries = append(b.entries, e)
	}
	if len(names.b) > 0 || len(p.b) > 0 {
		return nil, b.errorf("%d bytes of names and %d of where they are found are left over", len(names.b), len(p.b))
	}
	if b.nvar > len(b.content) {
		return nil, b.errorf("%d definitions in %d bytes", b.nvar, len(b.content))
	}
	// What stands behind the first name of the next part would never be found.
	c := b.class()
	if next := i - a.start[c] + 1; next < len(a.firsts[c]) {
		if last := b.entries[len(b.entries)-1].name; btfinfo.EssentialName(last) >= a.firsts[c][next] {
			return nil, b.errorf("the last entry is %q, the next part starts with %q", last, a.firsts[c][next])
		}
	}
	return b, nil
}

// hasOwnName tells the kinds that entries have.
func hasOwnName(k btfinfo.Kind) bool {
	switch k {
	case btfinfo.KindInt, btfinfo.KindStruct, btfinfo.KindUnion, btfinfo.KindEnum, btfinfo.KindEnum64, btfinfo.KindFwd, btfinfo.KindTypedef,
		btfinfo.KindFunc, btfinfo.KindVar, btfinfo.KindDatasec, btfinfo.KindFloat:
		return true
	}
	return false
}

// class of the block's definitions.
func (b *block) class() class {
	for c := numClasses - 1; c > 0; c-- {
		if b.index >= b.a.start[c] {
			return c
		}
	}
	return 0
}

// presence reads where one variant is found, and adds it to list.
func (s *source) presence(list []presence) []presence {
	n := s.num()
	if n&1 == 0 {
		if n>>1 > 1<<31 {
			s.bad = true
			return nil
		}
		return append(list, presence{set: uint32(n >> 1)})
	}
	n >>= 1
	if n == 0 || n > uint64(len(s.b)) {
		s.bad = true
		return nil
	}
	at := presence{}
	for i := range n {
		home, ord := s.num32(), s.num32()
		if home == 0 {
			ord += at.ord
		}
		if i > 0 && home == 0 && ord <= at.ord || home >= maxHomes || home+at.home >= maxHomes || s.bad {
			s.bad = true
			return nil
		}
		at = presence{at.home + home, ord, s.num32()}
		list = append(list, at)
	}
	return list
}

// skipPresence passes over where one variant is found.
func (s *source) skipPresence() {
	n := s.num()
	if n&1 == 0 {
		return
	}
	if n >>= 1; n == 0 || n > uint64(len(s.b)) {
		s.bad = true
		return
	}
	for i := uint64(0); i < 3*n && !s.bad; i++ {
		s.num()
	}
}

// seek returns the contents from those of entry n on.
func (b *block) seek(n int) (*source, error) {
	s := &source{b: b.content[b.steps[n/step]:]}
	for i := n / step * step; i < n; i++ {
		for range b.entries[i].variants {
			skip(s)
		}
	}
	if s.bad {
		return nil, b.errorf("the definitions before %q are damaged", b.entries[n].name)
	}
	return s, nil
}

// variants returns the variants of an entry.
func (b *block) variants(n int) ([]blockVariant, error) {
	s, err := b.seek(n)
	if err != nil {
		return nil, err
	}
	e := &b.entries[n]
	p := source{b: e.presence}
	out := make([]blockVariant, e.variants)
	for i := range out {
		out[i].content = s.b
		skip(s)
		out[i].content = out[i].content[:len(out[i].content)-len(s.b)]
		s.bad = s.bad || !isBody(out[i].content, e.kind)
		out[i].at = p.presence(nil)
		for _, x := range out[i].at {
			if int(x.home) >= len(b.a.homes) {
				return nil, b.errorf("%s %q is in module %d, there are %d", e.kind, e.name, x.home, len(b.a.homes)-1)
			}
		}
	}
	if s.bad || p.bad {
		return nil, b.errorf("the definitions of %s %q are damaged", e.kind, e.name)
	}
	return out, nil
}

// isBody tells whether a content is a type of this kind, and not a reference to one.
func isBody(content []byte, k btfinfo.Kind) bool {
	if len(content) == 0 || content[0]&opKind != byte(k) {
		return false
	}
	c := content[0] & opClass
	return c == opBody || c == opFlagged || c == opTagged
}

// each calls f for all variants of all entries, which must not keep where they are.
func (b *block) each(f func(*blockEntry, *blockVariant) error) error {
	var at []presence
	s := &source{b: b.content}
	for n := range b.entries {
		if n%step == 0 && len(b.content)-len(s.b) != b.steps[n/step] {
			return b.errorf("the contents of entry %q start at %d, the step says %d", b.entries[n].name, len(b.content)-len(s.b), b.steps[n/step])
		}
		p := source{b: b.entries[n].presence}
		for range b.entries[n].variants {
			v := blockVariant{content: s.b}
			skip(s)
			v.content = v.content[:len(v.content)-len(s.b)]
			s.bad = s.bad || !isBody(v.content, b.entries[n].kind)
			at = p.presence(at[:0])
			v.at = at
			if s.bad || p.bad {
				return b.errorf("the definitions of %s %q are damaged", b.entries[n].kind, b.entries[n].name)
			}
			for _, x := range v.at {
				if int(x.home) >= len(b.a.homes) {
					return b.errorf("%q is in module %d, there are %d", b.entries[n].name, x.home, len(b.a.homes)-1)
				}
			}
			if err := f(&b.entries[n], &v); err != nil {
				return err
			}
		}
	}
	if len(s.b) > 0 {
		return b.errorf("%d bytes are left after the last definition", len(s.b))
	}
	return nil
}
