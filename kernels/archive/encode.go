package archive

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/corecheck/corecheck/btfinfo"
)

// Encode returns the archive's bytes. old, which may be nil, is an archive of which parts are taken over as they are
// where they hold the same: compressing is what takes the time.
func (w *Writer) Encode(old *Archive) ([]byte, error) {
	e := encoder{w: w, old: old}
	if err := e.number(); err != nil {
		return nil, err
	}
	e.sort()
	raw := map[string][][]byte{
		sectKernels: {e.kernelsPart()},
	}
	var firsts [numClasses][]string
	var err error
	if raw[sectDefs], raw[sectPresence], firsts, err = e.blocks(); err != nil {
		return nil, err
	}
	raw[sectSets] = e.setParts()
	homes, err := e.homesPart()
	if err != nil {
		return nil, err
	}
	raw[sectHomes] = [][]byte{homes}
	raw[sectIndex] = [][]byte{indexPart(firsts)}

	var list []section
	var stored [][]byte
	for _, tag := range sections {
		packed, err := pack(raw[tag], old, tag)
		if err != nil {
			return nil, err
		}
		s := section{tag: tag, flags: sectRequired}
		for i, p := range packed {
			if len(raw[tag][i]) > maxPart {
				return nil, fmt.Errorf("a part of %d bytes, the archive format holds %d", len(raw[tag][i]), maxPart)
			}
			s.parts = append(s.parts, part{stored: len(p), raw: len(raw[tag][i]), sum: checksum(p)})
		}
		list = append(list, s)
		stored = append(stored, packed...)
	}
	rawDir := appendDirectory(nil, list)
	packed, err := pack([][]byte{rawDir}, nil, "")
	if err != nil {
		return nil, err
	}
	dir := packed[0]
	size := headerSize + len(dir)
	for _, p := range stored {
		size += len(p)
	}
	if int64(size) > maxFile {
		return nil, fmt.Errorf("an archive of %d bytes, the format holds %d", size, int64(maxFile))
	}
	out := make([]byte, 0, size)
	out = append(out, magic...)
	out = binary.LittleEndian.AppendUint32(out, version)
	out = binary.LittleEndian.AppendUint32(out, 0)
	out = binary.LittleEndian.AppendUint64(out, uint64(size))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(dir)))
	out = binary.LittleEndian.AppendUint32(out, uint32(len(rawDir)))
	out = binary.LittleEndian.AppendUint32(out, checksum(dir))
	out = binary.LittleEndian.AppendUint64(out, 0)
	out = binary.LittleEndian.AppendUint32(out, checksum(out))
	out = append(out, dir...)
	for _, p := range stored {
		out = append(out, p...)
	}
	return out, nil
}

type encoder struct {
	w   *Writer
	old *Archive

	kernels []int    // of the Writer, in the archive's order
	to      []int32  // the other way, -1: removed
	homes   []uint32 // of the Writer, in the archive's order, without vmlinux
	homeTo  []uint32 // the other way

	sets  []runs // by number in the Writer, as the archive has them; empty where no kernel is left
	order []int  // of entries

	setTo   []uint32          // numbers in the archive plus 1, by number in the Writer; 0: none yet
	setIDs  map[string]uint32 // numbers in the archive, by content
	setList []runs
	key     []byte
}

// number finds the order of kernels and homes, and what is left of each set.
func (e *encoder) number() error {
	w := e.w
	for i := range w.kernels {
		if !w.kernels[i].removed {
			e.kernels = append(e.kernels, i)
		}
	}
	if len(e.kernels) > maxKernels {
		return fmt.Errorf("%d kernels, an archive holds %d", len(e.kernels), maxKernels)
	}
	slices.SortFunc(e.kernels, func(a, b int) int { return CompareIDs(w.kernels[a].ID, w.kernels[b].ID) })
	e.to = make([]int32, len(w.kernels))
	for i := range e.to {
		e.to[i] = -1
	}
	used := make([]bool, len(w.homes))
	for i, k := range e.kernels {
		e.to[k] = int32(i)
		for _, h := range w.kernels[k].modules {
			used[h] = true
		}
	}
	for h := range w.homes {
		if used[h] {
			e.homes = append(e.homes, uint32(h))
		}
	}
	if len(e.homes) >= maxHomes {
		return fmt.Errorf("%d modules of different names, an archive holds %d", len(e.homes), maxHomes-1)
	}
	slices.SortFunc(e.homes, func(a, b uint32) int { return strings.Compare(w.homes[a], w.homes[b]) })
	e.homeTo = make([]uint32, len(w.homes))
	for i, h := range e.homes {
		e.homeTo[h] = uint32(i + 1)
	}
	e.sets = make([]runs, len(w.sets.list))
	m := newRemapper(e.to)
	for i, s := range w.sets.list {
		e.sets[i] = m.remap(s)
	}
	e.setTo = make([]uint32, len(e.sets))
	return nil
}

// sort orders entries, the variants of each and where each of them is.
func (e *encoder) sort() {
	w := e.w
	type key struct {
		class     class
		essential string
		name      string
		kind      btfinfo.Kind
		index     int
	}
	keys := make([]key, 0, len(w.entries))
	for i := range w.entries {
		name := w.in.list[w.entries[i].name]
		keys = append(keys, key{classOf(w.entries[i].kind), btfinfo.EssentialName(name), name, w.entries[i].kind, i})
	}
	slices.SortFunc(keys, func(a, b key) int {
		return cmp.Or(cmp.Compare(a.class, b.class), strings.Compare(a.essential, b.essential), strings.Compare(a.name, b.name), cmp.Compare(a.kind, b.kind))
	})
	e.order = make([]int, len(keys))
	for i, k := range keys {
		e.order[i] = k.index
	}
}

// live are the variants of an entry that are in any kernel, in the order of the first kernel that has them.
func (e *encoder) live(x *entry) []variant {
	type ordered struct {
		variant
		first [3]uint32 // kernel, home, ordinal
		text  string    // of types without a name, which share these
	}
	var list []ordered
	for i := range x.variants {
		v := &x.variants[i]
		o := ordered{variant: variant{content: v.content}}
		for _, p := range v.at {
			s := e.sets[p.set]
			if len(s) == 0 {
				continue
			}
			at := [3]uint32{s[0], e.homeTo[p.home], p.ord}
			if len(o.at) == 0 || slices.Compare(at[:], o.first[:]) < 0 {
				o.first = at
			}
			o.at = append(o.at, presence{at[1], p.ord, p.set})
		}
		if len(o.at) == 0 {
			continue
		}
		slices.SortFunc(o.at, func(a, b presence) int { return cmp.Or(cmp.Compare(a.home, b.home), cmp.Compare(a.ord, b.ord)) })
		if x.name == 0 {
			o.text = e.text(v.content)
		}
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b ordered) int {
		return cmp.Or(slices.Compare(a.first[:], b.first[:]), strings.Compare(a.text, b.text))
	})
	out := make([]variant, len(list))
	for i := range list {
		out[i] = list[i].variant
	}
	return out
}

// text is a content with its strings in it, which does not depend on how they are numbered.
func (e *encoder) text(content []byte) string {
	var names []string
	s := source{b: content}
	b := translate(nil, &s, func(n uint64) uint64 {
		names = append(names, e.w.in.list[n])
		return 0
	})
	return string(b) + "\x00" + strings.Join(names, "\x00")
}

// set numbers a set of the Writer's, in the order of first use.
func (e *encoder) set(n uint32) uint32 {
	if to := e.setTo[n]; to > 0 {
		return to - 1
	}
	r := e.sets[n]
	e.key = r.append(e.key[:0])
	id, ok := e.setIDs[string(e.key)]
	if !ok {
		if e.setIDs == nil {
			e.setIDs = make(map[string]uint32)
		}
		id = uint32(len(e.setList))
		e.setIDs[string(e.key)] = id
		e.setList = append(e.setList, r)
	}
	e.setTo[n] = id + 1
	return id
}

// blocks makes the parts of DEFS and PRES, and tells of each class the essential names that its parts start with.
func (e *encoder) blocks() (defs, pres [][]byte, firsts [numClasses][]string, err error) {
	var b blockWriter
	last := class(0)
	flush := func() {
		if b.entries == 0 {
			return
		}
		firsts[last] = append(firsts[last], b.first)
		d, p := b.finish()
		defs, pres = append(defs, d), append(pres, p)
		b = blockWriter{}
	}
	before := ""
	for _, i := range e.order {
		x := &e.w.entries[i]
		variants := e.live(x)
		if len(variants) == 0 {
			continue
		}
		name := e.w.in.list[x.name]
		essential := btfinfo.EssentialName(name)
		if c := classOf(x.kind); c != last {
			flush()
			last = c
		} else if b.entries > 0 && essential != before && (b.size() >= softPart || b.size() >= minPart && cutAfter(before)) {
			flush()
		}
		before = essential
		if b.add(e, name, essential, x.kind, variants); b.written > maxNames {
			return nil, nil, firsts, fmt.Errorf("the names from %q to %q take more than %d bytes, the archive format holds so many in a part", b.first, essential, maxNames)
		}
	}
	flush()
	return defs, pres, firsts, nil
}

// blockWriter makes one part of DEFS and its part of PRES.
type blockWriter struct {
	first    string
	entries  int
	previous string
	names    []byte // per entry: shared length, suffix, kind, number of variants
	written  int    // bytes of all names, each written out
	strings  []byte
	local    map[uint64]uint64
	steps    []byte
	stepAt   int
	content  []byte
	presence []byte
}

func (b *blockWriter) size() int { return len(b.names) + len(b.strings) + len(b.content) }

func (b *blockWriter) add(e *encoder, name, essential string, kind btfinfo.Kind, variants []variant) {
	if b.entries == 0 {
		b.first = essential
		b.local = map[uint64]uint64{0: 0}
	} else if b.entries%step == 0 {
		b.steps = appendNum(b.steps, uint64(len(b.content)-b.stepAt))
		b.stepAt = len(b.content)
	}
	b.entries++
	shared := 0
	for shared < min(len(name), len(b.previous)) && name[shared] == b.previous[shared] {
		shared++
	}
	b.previous = name
	b.written += len(name)
	b.names = appendNum(b.names, uint64(shared))
	b.names = append(b.names, name[shared:]...)
	b.names = append(b.names, 0, byte(kind))
	b.names = appendNum(b.names, uint64(len(variants)))
	for i := range variants {
		v := &variants[i]
		b.content = translate(b.content, &source{b: v.content}, func(id uint64) uint64 {
			l, ok := b.local[id]
			if !ok {
				l = uint64(len(b.local))
				b.local[id] = l
				b.strings = append(b.strings, e.w.in.list[id]...)
				b.strings = append(b.strings, 0)
			}
			return l
		})
		if len(v.at) == 1 && v.at[0].home == 0 && v.at[0].ord == 0 {
			b.presence = appendNum(b.presence, uint64(e.set(v.at[0].set))<<1)
			continue
		}
		b.presence = appendNum(b.presence, uint64(len(v.at))<<1|1)
		at := presence{}
		for _, p := range v.at {
			b.presence = appendNum(b.presence, uint64(p.home-at.home))
			if p.home != at.home {
				at.ord = 0
			}
			b.presence = appendNum(b.presence, uint64(p.ord-at.ord))
			b.presence = appendNum(b.presence, uint64(e.set(p.set)))
			at = p
		}
	}
}

// finish returns the part of DEFS and that of PRES.
func (b *blockWriter) finish() (defs, pres []byte) {
	defs = make([]byte, 0, b.size()+len(b.steps)+32)
	for _, n := range []int{b.entries, len(b.names), len(b.local) - 1, len(b.strings), len(b.steps)} {
		defs = appendNum(defs, uint64(n))
	}
	defs = append(defs, b.names...)
	defs = append(defs, b.strings...)
	defs = append(defs, b.steps...)
	return append(defs, b.content...), b.presence
}

func (e *encoder) kernelsPart() []byte {
	b := appendNum(nil, uint64(len(e.kernels)))
	for _, k := range e.kernels {
		b = appendRecord(b, &e.w.kernels[k])
	}
	return b
}

// homesPart is HOME: the modules with the kernels that have them, and the DECL_TAGs with the kernels that have such.
func (e *encoder) homesPart() ([]byte, error) {
	w := e.w
	having := func(list func(*kernelRecord) []uint32) map[uint32]runs {
		kernels := make(map[uint32][]uint32)
		for i, k := range e.kernels {
			for _, x := range list(&w.kernels[k]) {
				kernels[x] = append(kernels[x], uint32(i))
			}
		}
		sets := make(map[uint32]runs, len(kernels))
		for x, list := range kernels {
			sets[x] = runsOf(list)
		}
		return sets
	}
	modules := having(func(r *kernelRecord) []uint32 { return r.modules })
	b := appendNum(nil, uint64(len(e.homes)))
	for _, h := range e.homes {
		b = append(b, w.homes[h]...)
		b = append(b, 0)
		b = modules[h].append(b)
	}
	tagged := having(func(r *kernelRecord) []uint32 { return r.tags })
	tags := slices.Collect(maps.Keys(tagged))
	if len(tags) > maxTags {
		return nil, fmt.Errorf("%d DECL_TAGs of different names, an archive holds %d", len(tags), maxTags)
	}
	slices.SortFunc(tags, func(a, b uint32) int { return strings.Compare(w.in.list[a], w.in.list[b]) })
	b = appendNum(b, uint64(len(tags)))
	for _, t := range tags {
		b = append(b, w.in.list[t]...)
		b = append(b, 0)
		b = tagged[t].append(b)
	}
	return b, nil
}

func (e *encoder) setParts() [][]byte {
	var parts [][]byte
	for chunk := range slices.Chunk(e.setList, setsPerPart) {
		b := appendNum(nil, uint64(len(chunk)))
		for _, r := range chunk {
			b = r.append(b)
		}
		parts = append(parts, b)
	}
	return parts
}

func indexPart(firsts [numClasses][]string) []byte {
	var b []byte
	for _, list := range firsts {
		b = appendNum(b, uint64(len(list)))
		for _, name := range list {
			b = append(b, name...)
			b = append(b, 0)
		}
	}
	return b
}

// encoders are kept: their tables take 40 MB. One goroutine per encoder, no checksum: parts have their own. The result
// depends on neither.
var encoders = sync.Pool{New: func() any {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return err
	}
	return enc
}}

// pack compresses parts, in parallel. A part that the old archive has in the same section with the same content is taken from it.
func pack(raw [][]byte, old *Archive, tag string) ([][]byte, error) {
	out := make([][]byte, len(raw))
	errs := make([]error, len(raw))
	bySize := make(map[int][]part)
	if old != nil {
		for _, p := range old.parts[tag] {
			bySize[p.raw] = append(bySize[p.raw], p)
		}
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(raw)) {
		wg.Go(func() {
			for i := range next {
				for _, p := range bySize[len(raw[i])] {
					if b, err := old.read(p); err == nil && bytes.Equal(b, raw[i]) {
						out[i], errs[i] = old.stored(p)
						break
					}
				}
				if out[i] != nil || errs[i] != nil {
					continue
				}
				enc, ok := encoders.Get().(*zstd.Encoder)
				if !ok {
					errs[i] = errors.New("zstd can't be set up")
					continue
				}
				out[i] = enc.EncodeAll(raw[i], make([]byte, 0, len(raw[i])/4))
				encoders.Put(enc)
			}
		})
	}
	for i := range raw {
		next <- i
	}
	close(next)
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
