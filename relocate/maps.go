package relocate

import (
	"slices"
	"sort"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Values of include/uapi/linux/bpf.h that libbpf gives to the maps that it makes itself.
const (
	mapTypeArray     = 2       // BPF_MAP_TYPE_ARRAY
	mapTypeStructOps = 26      // BPF_MAP_TYPE_STRUCT_OPS
	mapRdonlyProg    = 1 << 7  // BPF_F_RDONLY_PROG
	mapMmapable      = 1 << 10 // BPF_F_MMAPABLE
	mapLink          = 1 << 13 // BPF_F_LINK
)

// readMaps collects maps in libbpf's order: bpf_object__init_maps of v1.7. Legacy ones, which libbpf 1.x refuses, come
// first, as they did in libbpf 0.x.
func (d *objReader) readMaps() error {
	for _, step := range []func() error{d.readLegacyMaps, d.readBTFMaps, d.readDataMaps} {
		if err := step(); err != nil {
			return err
		}
	}
	for _, e := range d.o.Externs {
		if e.Kind == ExternKconfig { // bpf_object__init_kconfig_map: the externs come first, sorted, one after the other
			m := &Map{Name: ".kconfig", Section: ".kconfig", Type: mapTypeArray, KeySize: 4, MaxEntries: 1, Flags: mapRdonlyProg | mapMmapable, Data: true, Autoload: true}
			var end uint32
			for _, e := range d.o.Externs {
				if e.Kind != ExternKconfig {
					break
				}
				size, _ := d.o.BTF.SizeOf(e.Type)
				if align := kconfigAlign(d.o.BTF, e.Type); align > 1 {
					end += (align - end%align) % align
				}
				e.Off = end
				end += size
			}
			m.ValueSize = end
			d.o.Maps = append(d.o.Maps, m)
			break
		}
	}
	return d.readOpsMaps()
}

// placeVars returns the offset in its section of each variable of a DATASEC. clang leaves offsets and the size of the
// DATASEC zero and means the symbols of the same names; a linked object has them filled in. btf_fixup_datasec and
// find_elf_var_sym of libbpf v1.7.
func (d *objReader) placeVars(t btfinfo.Type) ([]uint64, error) {
	offs := make([]uint64, t.Vlen())
	byName := map[string]int{}
	for i := range offs {
		v := t.Var(i)
		offs[i] = uint64(v.Off)
		if vt := d.o.BTF.Type(v.Type); t.Size() == 0 && vt.Kind() == btfinfo.KindVar && vt.Linkage() != 0 {
			byName[vt.Name()] = i
		}
	}
	if len(byName) == 0 {
		return offs, nil
	}
	for i := range d.numSyms() {
		s := d.sym(i)
		if s.kind() != sttObject || s.bind() != stbGlobal && s.bind() != stbWeak {
			continue
		}
		name, err := d.symName(i, s)
		if err != nil {
			return nil, err
		}
		if k, ok := byName[name]; ok {
			offs[k] = s.value
			delete(byName, name)
		}
	}
	return offs, nil
}

// add places a map of section sec.
func (d *objReader) add(sec int, off, size uint64, m *Map) error {
	if len(d.o.Maps) == maxNamed {
		return d.errorf(d.secs[sec].name, -1, "more than %d maps", maxNamed)
	}
	m.Section = d.secs[sec].name
	d.o.Maps = append(d.o.Maps, m)
	d.maps[sec] = append(d.maps[sec], &placedMap{Map: m, off: off, size: size})
	return nil
}

// count adds the members of a map's struct to those that were read. Many maps may share one struct, so that little input
// could ask for much work.
func (d *objReader) count(t btfinfo.Type, section string) error {
	if d.members += t.Vlen(); d.members > maxNamed {
		return d.errorf(section, -1, "the maps have more than %d members", maxNamed)
	}
	return nil
}

// mapAt returns the map at byte off of section sec, and off from its start. Maps proper are found by their start, as
// libbpf does (bpf_program__record_reloc); a data section is one map.
func (d *objReader) mapAt(sec int, off uint64) (*Map, uint64) {
	maps := d.maps[sec]
	i := sort.Search(len(maps), func(i int) bool { return maps[i].off > off }) - 1
	if i < 0 || maps[i].off != off && !maps[i].Data {
		return nil, 0
	}
	return maps[i].Map, off - maps[i].off
}

func (d *objReader) sortMaps(sec int) {
	m := d.maps[sec]
	sort.SliceStable(m, func(i, j int) bool { return m[i].off < m[j].off })
}

// readLegacyMaps reads the section "maps": structs that begin with struct bpf_map_def, each named by a symbol. Objects
// may use a larger struct. Source: bpf_object__init_user_maps of libbpf v0.8, which also wants all of one size.
func (d *objReader) readLegacyMaps() error {
	if d.legacy == 0 {
		return nil
	}
	const defLen = 20 // sizeof(struct bpf_map_def): type, key_size, value_size, max_entries, map_flags
	sec := d.legacy
	name := d.secs[sec].name
	b, err := d.data(sec)
	if err != nil {
		return err
	}
	first := len(d.o.Maps)
	for i := range d.numSyms() {
		s := d.sym(i)
		if int(s.shndx) != sec || s.kind() == sttSection {
			continue
		}
		n, err := d.symName(i, s)
		if err != nil {
			return err
		}
		if s.value > uint64(len(b)) || uint64(len(b))-s.value < max(defLen, s.size) {
			return d.errorf(name, -1, "map %s needs %d bytes at %#x, the section has %d", n, max(defLen, s.size), s.value, len(b))
		}
		p := b[s.value:]
		err = d.add(sec, s.value, s.size, &Map{
			Name: n, Autoload: true,
			Type: d.order.Uint32(p), KeySize: d.order.Uint32(p[4:]), ValueSize: d.order.Uint32(p[8:]),
			MaxEntries: d.order.Uint32(p[12:]), Flags: d.order.Uint32(p[16:]),
		})
		if err != nil {
			return err
		}
	}
	d.sortMaps(sec)
	for i, m := range d.maps[sec] { // the order of symbols is no order
		d.o.Maps[first+i] = m.Map
	}
	return nil
}

// readBTFMaps reads .maps, which BTF alone describes: bpf_object__init_user_btf_maps of libbpf v1.7.
func (d *objReader) readBTFMaps() error {
	if d.btfMaps == 0 {
		return nil
	}
	ts := d.datasecs(".maps")
	if len(ts) == 0 {
		e := d.errorf(".maps", -1, "there is no BTF that describes the maps")
		e.Hint = "compile with clang -g, and keep the section .BTF"
		return e
	}
	secSize := d.secs[d.btfMaps].size
	b := d.o.BTF
	offs, err := d.placeVars(ts[0])
	if err != nil {
		return err
	}
	for i := range ts[0].Vlen() {
		v := ts[0].Var(i)
		t := b.Type(v.Type)
		name := t.Name()
		if t.Kind() != btfinfo.KindVar || name == "" {
			return d.errorf(".maps", int64(v.Off), "type [%d] %s %q describes a map, want a VAR with a name", v.Type, t.Kind(), name)
		}
		off := int64(offs[i])
		if offs[i] > secSize || uint64(v.Size) > secSize-offs[i] {
			return d.errorf(".maps", -1, "map %s is %d bytes at %#x, the section has %d", name, v.Size, offs[i], secSize)
		}
		def := b.Skip(t.Ref())
		if def.Kind() != btfinfo.KindStruct {
			return d.errorf(".maps", off, "map %s is a %s, want a STRUCT", name, def.Kind())
		}
		if def.Size() > v.Size {
			return d.errorf(".maps", off, "map %s has %d bytes, its struct has %d", name, v.Size, def.Size())
		}
		if l := t.Linkage(); l != 1 { // BTF_VAR_GLOBAL_ALLOCATED
			d.refuse(d.errorf(".maps", off, "map %s is not a global variable", name))
		}
		m := &Map{Name: name, Section: ".maps", Autoload: true}
		if err := d.mapDef(m, def, off, false); err != nil {
			return err
		}
		if err := d.add(d.btfMaps, offs[i], uint64(v.Size), m); err != nil {
			return err
		}
		if n := def.Vlen(); n > 0 && def.Member(n-1).Name == "values" {
			d.maps[d.btfMaps][len(d.maps[d.btfMaps])-1].valuesOff = uint64(def.Member(n - 1).Off.Bytes())
		}
	}
	d.sortMaps(d.btfMaps)
	return nil
}

// mapDef reads the members of a BTF-defined map: parse_btf_map_def of libbpf v1.7. Members that it does not know are
// noted, since libbpf refuses them.
func (d *objReader) mapDef(m *Map, def btfinfo.Type, off int64, inner bool) error {
	if err := d.count(def, m.Section); err != nil {
		return err
	}
	b := d.o.BTF
	for i := range def.Vlen() {
		f := def.Member(i)
		bad := func(format string, args ...any) error {
			args = append([]any{m.Name, f.Name}, args...)
			return d.errorf(".maps", off, "map %s: member %q "+format, args...)
		}
		number := func(to *uint32) error {
			n, ok := mapInt(b, f.Type)
			if !ok {
				return bad("is a %s, want a pointer to an array (__uint)", b.Skip(f.Type).Kind())
			}
			*to = n
			return nil
		}
		size := func(to *uint32, n uint32) error {
			if *to != 0 && *to != n {
				return bad("says %d bytes, an earlier one %d", n, *to)
			}
			*to = n
			return nil
		}
		typed := func(to *uint32, id *btfinfo.ID) error {
			t := b.Type(f.Type)
			if t.Kind() != btfinfo.KindPtr {
				return bad("is a %s, want a PTR (__type)", t.Kind())
			}
			n, ok := b.SizeOf(t.Ref())
			if !ok {
				return bad("points to type [%d], which has no size", t.Ref())
			}
			*id = t.Ref()
			return size(to, n)
		}
		var err error
		var n uint32
		switch f.Name {
		case "type":
			err = number(&m.Type)
		case "max_entries":
			err = number(&m.MaxEntries)
		case "map_flags":
			err = number(&m.Flags)
		case "numa_node":
			err = number(&m.NumaNode)
		case "key_size":
			if err = number(&n); err == nil {
				err = size(&m.KeySize, n)
			}
		case "value_size":
			if err = number(&n); err == nil {
				err = size(&m.ValueSize, n)
			}
		case "key":
			err = typed(&m.KeySize, &m.KeyType)
		case "value":
			err = typed(&m.ValueSize, &m.ValueType)
		case "pinning":
			if err = number(&n); err == nil && n > 1 || inner {
				return bad("has value %d, want 0 or 1, and on an outer map", n)
			}
			m.Pinned = n == 1
		case "map_extra":
			if t := b.Skip(f.Type); t.Kind().IsEnum() && t.Vlen() == 1 { // __ulong
				m.Extra = t.Enumerator(0).Value
			} else if err = number(&n); err == nil {
				m.Extra = uint64(n)
			}
		case "values":
			if inner {
				return bad("on an inner map")
			}
			if err = size(&m.ValueSize, 4); err == nil {
				err = d.mapValues(m, f, off, bad)
			}
		default:
			d.refuse(d.errorf(".maps", off, "map %s has a member %q, which is not known", m.Name, f.Name))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// mapValues reads "values" of a map-in-map (its inner map) or of a prog array.
func (d *objReader) mapValues(m *Map, f btfinfo.Member, off int64, bad func(string, ...any) error) error {
	b := d.o.BTF
	t := b.Type(f.Type)
	if t.Kind() != btfinfo.KindArray || t.Array().Nelems != 0 {
		return bad("is a %s, want an array without elements (__array)", t.Kind())
	}
	if t = b.Skip(t.Ref()); t.Kind() != btfinfo.KindPtr {
		return bad("is an array of %s, want PTR", t.Kind())
	}
	switch t = b.Skip(t.Ref()); t.Kind() {
	case btfinfo.KindFuncProto:
		return nil
	case btfinfo.KindStruct:
		m.Inner = &Map{Name: m.Name + ".inner", Section: m.Section, Autoload: true}
		return d.mapDef(m.Inner, t, off, true)
	}
	return bad("points to a %s, want a STRUCT (a map) or a FUNC_PROTO (a program)", t.Kind())
}

// mapInt decodes __uint: a pointer to an array, whose length is the number. get_map_field_int of libbpf v1.7.
func mapInt(b *btfinfo.BTF, id btfinfo.ID) (uint32, bool) {
	t := b.Skip(id)
	if t.Kind() != btfinfo.KindPtr {
		return 0, false
	}
	if t = b.Type(t.Ref()); t.Kind() != btfinfo.KindArray {
		return 0, false
	}
	return t.Array().Nelems, true
}

// readDataMaps makes maps of data sections: bpf_object__init_global_data_maps of libbpf v1.7.
func (d *objReader) readDataMaps() error {
	is := func(name, section string) bool { return name == section || strings.HasPrefix(name, section+".") }
	for i := 1; i < len(d.secs); i++ {
		s := &d.secs[i]
		if s.size == 0 || s.flags&shfExecinstr != 0 {
			continue
		}
		m := &Map{Name: s.name, Type: mapTypeArray, KeySize: 4, MaxEntries: 1, Data: true, Autoload: true}
		var err error
		switch {
		case s.typ == shtProgbits && is(s.name, ".data"):
			m.Content, err = d.data(i)
		case s.typ == shtProgbits && is(s.name, ".rodata"):
			m.Flags = mapRdonlyProg
			m.Content, err = d.data(i)
		case s.typ == shtNobits && is(s.name, ".bss"):
		default:
			continue
		}
		if err != nil {
			return err
		}
		if s.size > 1<<32-1 {
			return d.errorf(s.name, -1, "%d bytes of data, a map value holds %d", s.size, uint32(1<<32-1))
		}
		m.ValueSize = uint32(s.size)
		for _, t := range d.datasecs(s.name) {
			m.ValueType = t.ID()
			if d.mmapable(t) {
				m.Flags |= mapMmapable
			}
			break
		}
		if err := d.add(i, 0, s.size, m); err != nil {
			return err
		}
	}
	return nil
}

// mmapable tells whether user space gets at the variables of a data section: one of them is not static.
// map_is_mmapable of libbpf v1.7.
func (d *objReader) mmapable(t btfinfo.Type) bool {
	for i := range d.o.Datasecs {
		if s := &d.o.Datasecs[i]; s.ID == t.ID() {
			return slices.ContainsFunc(s.Vars, func(v DatasecVar) bool {
				vt := d.o.BTF.Type(t.Var(v.Index).Type)
				return vt.Kind() == btfinfo.KindVar && vt.Linkage() != 0 && !v.Hidden
			})
		}
	}
	return false
}

// isOps tells the sections of struct_ops maps.
func isOps(name string) bool {
	name = strings.TrimPrefix(name, "?")
	return name == ".struct_ops" || name == ".struct_ops.link"
}

// readOpsMaps reads struct_ops maps: init_struct_ops_maps of libbpf v1.7.
func (d *objReader) readOpsMaps() error {
	for i := 1; i < len(d.secs); i++ {
		s := &d.secs[i]
		if s.typ != shtProgbits || s.size == 0 || s.flags&shfExecinstr != 0 || !isOps(s.name) {
			continue
		}
		ts := d.datasecs(s.name)
		if len(ts) == 0 {
			e := d.errorf(s.name, -1, "there is no BTF that describes the struct_ops")
			e.Hint = "compile with clang -g, and keep the section .BTF"
			return e
		}
		content, err := d.data(i)
		if err != nil {
			return err
		}
		offs, err := d.placeVars(ts[0])
		if err != nil {
			return err
		}
		for j, off := range offs {
			v := ts[0].Var(j)
			name := d.o.BTF.Type(v.Type).Name()
			t := d.o.BTF.Skip(d.o.BTF.Type(v.Type).Ref())
			if t.Kind() != btfinfo.KindStruct || t.Name() == "" {
				return d.errorf(s.name, -1, "%s is a %s %q, want a STRUCT with a name", name, t.Kind(), t.Name())
			}
			if err := d.count(t, s.name); err != nil {
				return err
			}
			if t.Size() > maxOps {
				return d.errorf(s.name, -1, "%s has %d bytes, the limit is %d", name, t.Size(), maxOps)
			}
			if off > s.size || uint64(t.Size()) > s.size-off {
				return d.errorf(s.name, -1, "%s is %d bytes at %#x, the section has %d", name, t.Size(), off, s.size)
			}
			m := &Map{
				Name: name, Type: mapTypeStructOps, KeySize: 4, ValueSize: t.Size(), MaxEntries: 1, ValueType: t.ID(),
				StructOps: btfinfo.EssentialName(t.Name()), Autoload: !strings.HasPrefix(s.name, "?"),
			}
			if strings.HasSuffix(s.name, ".link") {
				m.Flags = mapLink
			}
			m.Content = content[off : off+uint64(t.Size()) : off+uint64(t.Size())]
			m.Members = d.opsMembers(t, m.Content)
			if err := d.add(i, off, uint64(t.Size()), m); err != nil {
				return err
			}
		}
		d.sortMaps(i)
	}
	return nil
}

func (d *objReader) opsMembers(t btfinfo.Type, value []byte) []OpsMember {
	set := make([]uint32, len(value)+1) // set[i]: how many bytes of value[:i] are not zero
	for i, c := range value {
		set[i+1] = set[i]
		if c != 0 {
			set[i+1]++
		}
	}
	ms := make([]OpsMember, t.Vlen())
	for i := range ms {
		f := t.Member(i)
		size, _ := d.o.BTF.SizeOf(f.Type)
		start := uint64(f.Off.Bytes())
		end := start + uint64(size)
		if f.Size != 0 { // a bitfield, which libbpf refuses in struct_ops: its bytes
			end = (uint64(f.Off) + uint64(f.Size) + 7) / 8
		}
		start, end = min(start, uint64(len(value))), min(end, uint64(len(value)))
		ms[i] = OpsMember{Name: f.Name, Type: f.Type, Zero: set[start] == set[max(start, end)]}
	}
	return ms
}

// readStructOps connects programs with the members that they fill: bpf_object__collect_st_ops_relos of libbpf v1.7.
func (d *objReader) readStructOps() error {
	programs, byOff := map[*Func]*Program{}, map[*Map]map[uint64]int{}
	for _, p := range d.o.Programs {
		programs[p.Entry] = p
	}
	for i := 1; i < len(d.secs); i++ {
		s := &d.secs[i]
		if s.typ != shtRel || int64(s.info) >= int64(len(d.secs)) || !isOps(d.secs[s.info].name) || len(d.maps[int(s.info)]) == 0 {
			continue
		}
		rels, err := d.rels(i)
		if err != nil {
			return err
		}
		maps := d.maps[int(s.info)]
		for j, r := range rels {
			k := sort.Search(len(maps), func(k int) bool { return maps[k].off > r.off }) - 1
			if k < 0 || r.off-maps[k].off >= maps[k].size {
				return d.errorf(s.name, int64(j)*elfRelLen, "record %d is for byte %d of %s, where no map is", j, r.off, d.secs[s.info].name)
			}
			m := maps[k].Map
			member := -1
			if i, ok := d.memberOffs(byOff, m)[r.off-maps[k].off]; ok {
				member = i
			}
			sym := d.sym(r.sym)
			var p *Program
			if f := d.funcAt(int(sym.shndx), int(min(sym.value/8, 1<<30))); f != nil && sym.value%8 == 0 {
				p = programs[f]
			}
			if member < 0 || p == nil {
				d.refuse(d.errorf(s.name, int64(j)*elfRelLen, "record %d fills byte %d of %s, which is no member for a program", j, r.off-maps[k].off, m.Name))
				continue
			}
			m.Members[member].Program, m.Members[member].Zero = p, false
		}
	}
	for _, m := range d.o.Maps {
		for _, f := range m.Members {
			if f.Program != nil {
				m.Progs = append(m.Progs, f.Program.Name)
			}
		}
	}
	return nil
}

// memberOffs maps the byte offset of each member of a struct_ops map that starts at a byte to its index; byOff keeps
// what was asked for.
func (d *objReader) memberOffs(byOff map[*Map]map[uint64]int, m *Map) map[uint64]int {
	if offs, ok := byOff[m]; ok {
		return offs
	}
	offs := map[uint64]int{}
	t := d.o.BTF.Type(m.ValueType)
	for i := range t.Vlen() {
		f := t.Member(i)
		if _, ok := offs[uint64(f.Off/8)]; !ok && f.Off%8 == 0 {
			offs[uint64(f.Off/8)] = i
		}
	}
	byOff[m] = offs
	return offs
}
