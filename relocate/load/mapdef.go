package load

import (
	"fmt"
	"math"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// Map types and flags that are treated in a way of their own: include/uapi/linux/bpf.h of Linux v6.12.
const (
	mapHash             = 1
	mapProgArray        = 3
	mapPerfEventArray   = 4
	mapStackTrace       = 7
	mapCgroupArray      = 8
	mapArrayOfMaps      = 12
	mapHashOfMaps       = 13
	mapDevmap           = 14
	mapSockmap          = 15
	mapCpumap           = 16
	mapXskmap           = 17
	mapSockhash         = 18
	mapCgroupStorage    = 19
	mapPercpuCgroupStor = 21
	mapQueue            = 22
	mapStack            = 23
	mapSkStorage        = 24
	mapDevmapHash       = 25
	mapStructOps        = 26
	mapRingbuf          = 27
	mapInodeStorage     = 28
	mapTaskStorage      = 29
	mapUserRingbuf      = 31
	mapCgrpStorage      = 32
	mapArena            = 33

	flagNoPrealloc = 1 << 0  // BPF_F_NO_PREALLOC
	flagMmapable   = 1 << 10 // BPF_F_MMAPABLE
	flagVtypeFD    = 1 << 15 // BPF_F_VTYPE_BTF_OBJ_FD
)

// mapPlan is one map made ready.
type mapPlan struct {
	*relocate.Map
	index  int    // in Object.Maps
	kernel string // the name that the kernel gets, up to 15 characters
	create bool   // autocreate of libbpf

	valueSize, maxEntries, flags uint32
	keyType, valueType           btfinfo.ID
	inner                        *mapPlan
	content                      []byte // of a data section
	freeze                       bool

	vmlinuxValue btfinfo.ID // of a struct_ops map: the struct that the value is
	mod          *module    // that has vmlinuxValue, nil: the kernel itself
	ops          []byte     // the value of a struct_ops map, without programs
	opsSlots     []opsSlot
}

// planMaps says how maps are to be created: what libbpf v1.7 sets in bpf_object__init_maps, bpf_object__sanitize_maps and
// bpf_object__create_map before it asks the kernel.
func (p *plan) planMaps() {
	for i, m := range p.o.Maps {
		mp := p.planMap(m)
		mp.index = i
		p.maps = append(p.maps, mp)
		p.mapOf[m] = mp
	}
}

func (p *plan) planMap(m *relocate.Map) *mapPlan {
	mp := &mapPlan{
		Map: m, kernel: truncate(m.Name), create: m.Autoload, valueSize: m.ValueSize, maxEntries: m.MaxEntries, flags: m.Flags,
		keyType: m.KeyType, valueType: m.ValueType,
	}
	if m.Data {
		mp.kernel = internalName(p.o.Name, m.Name)
		mp.create = p.k.has(featGlobalData)
		mp.freeze = strings.HasPrefix(m.Section, ".rodata") || m.Section == ".kconfig"
		mp.content = m.Content
		if m.Section == ".kconfig" {
			mp.valueType = p.o.BTF.Named(m.Section, btfinfo.KindDatasec)[0] // where the externs were found
		}
		if mp.flags&flagMmapable != 0 && !p.k.has(featArrayMmap) {
			mp.flags &^= flagMmapable
		}
	}
	p.size(mp)
	if m.Pinned {
		p.note("map %s: not pinned, %q is left alone", m.Name, "/sys/fs/bpf/"+m.Name)
	}
	switch m.Type {
	case mapPerfEventArray, mapCgroupArray, mapStackTrace, mapArrayOfMaps, mapHashOfMaps, mapDevmap, mapDevmapHash, mapCpumap,
		mapXskmap, mapSockmap, mapSockhash, mapQueue, mapStack, mapArena, mapStructOps:
		mp.keyType, mp.valueType = 0, 0
	}
	if m.Inner != nil {
		mp.inner = p.planMap(m.Inner)
	}
	return mp
}

func (p *plan) note(format string, args ...any) {
	p.notes = append(p.notes, fmt.Sprintf(format, args...))
}

// Sizes that are taken where only the loading program knows them. They are small, for the programs are not run.
const (
	defaultEntries = 1024      // of a map, and fewer where they would take more than defaultBytes
	defaultBytes   = 4 << 20   // of all keys and values of a map
	defaultRing    = 256 << 10 // bytes of a ring buffer
	defaultPages   = 100       // of an arena
	defaultStack   = 127 * 8   // bytes of a stack trace: PERF_MAX_STACK_DEPTH addresses
	defaultValue   = 256       // bytes of another value
)

// size sets what only the loading program knows: sizes of values and numbers of elements.
func (p *plan) size(m *mapPlan) {
	if n, ok := p.opt.MapValueSizes[m.Name]; ok {
		m.valueSize = n
	} else if m.valueSize == 0 && needsValue(m.Type) {
		m.valueSize = defaultValue
		if m.Type == mapStackTrace {
			m.valueSize = defaultStack
		}
		p.note("map %s: value_size is set by the loader; %d bytes taken", m.Name, m.valueSize)
	}
	if n, ok := p.opt.MapEntries[m.Name]; ok {
		m.maxEntries = n
	} else if m.maxEntries == 0 {
		switch m.Type {
		case mapPerfEventArray: // map_set_def_max_entries: libbpf takes the number of CPUs by itself
			m.maxEntries = p.k.cpus()
			return
		case mapCgroupStorage, mapPercpuCgroupStor, mapSkStorage, mapInodeStorage, mapTaskStorage, mapCgrpStorage, mapStructOps:
			return // it has to be 0
		case mapRingbuf, mapUserRingbuf:
			m.maxEntries = defaultRing
			p.note("map %s: max_entries is set by the loader; %d bytes taken", m.Name, m.maxEntries)
			return
		case mapArena:
			m.maxEntries = defaultPages
		default:
			m.maxEntries = max(1, min(defaultEntries, defaultBytes/max(1, m.KeySize+min(m.valueSize, math.MaxInt32))))
		}
		p.note("map %s: max_entries is set by the loader; %d taken", m.Name, m.maxEntries)
	}
	if m.Type == mapRingbuf || m.Type == mapUserRingbuf {
		m.maxEntries = ringSize(m.maxEntries, p.k.pageSize())
	}
}

// needsValue tells map types whose values have a size that the object or the loader must tell.
func needsValue(t uint32) bool {
	switch t {
	case mapRingbuf, mapUserRingbuf, mapArena, mapStructOps, mapArrayOfMaps, mapHashOfMaps, mapSockmap, mapSockhash, mapPerfEventArray,
		mapProgArray, mapCgroupArray, mapDevmap, mapDevmapHash, mapCpumap, mapXskmap:
		return false
	}
	return true
}

// ringSize makes a ring buffer's size one that the kernel takes, a power of two of pages: adjust_ringbuf_sz of libbpf v1.7.
func ringSize(n, page uint32) uint32 {
	if n%page == 0 && n/page&(n/page-1) == 0 {
		return n
	}
	for size := uint64(page); size <= math.MaxUint32; size <<= 1 {
		if size > uint64(n) {
			return uint32(size)
		}
	}
	return n
}

// truncate cuts a name to what the kernel takes: BPF_OBJ_NAME_LEN with its final zero.
func truncate(name string) string { return name[:min(len(name), 15)] }

// internalName is the name of a data section's map in the kernel: internal_map_name of libbpf v1.7. It has as much of the
// object's name as fits; sections with two dots in their names have none of it.
func internalName(object, section string) string {
	suffix := min(max(7, len(section)), 15)
	prefix := 0
	if !strings.Contains(section[1:], ".") {
		prefix = min(16-suffix-1, len(object))
	}
	name := []byte(object[:prefix] + section[:min(suffix, len(section))])
	for i, c := range name {
		if !('0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z' || c == '_' || c == '.') {
			name[i] = '_'
		}
	}
	return string(name)
}
