package relocate

import (
	"cmp"
	"slices"
	"sort"

	"github.com/corecheck/corecheck/btfinfo"
)

// What a loader needs of an object beyond what a check does: the BTF as it is to be sent to the kernel, and what maps
// begin with.

// Datasec is where the variables of a DATASEC are. Clang leaves sizes and offsets in BTF zero and means the symbols.
type Datasec struct {
	ID   btfinfo.ID
	Size uint32 // bytes of the section
	Vars []DatasecVar
}

// DatasecVar is one variable of a DATASEC.
type DatasecVar struct {
	Index int    // in the DATASEC as it stands in the object's BTF
	Off   uint32 // bytes from the start of the section
	// Hidden: the symbol is not visible outside the object, so that libbpf makes the VAR a static one.
	Hidden bool
}

// MapSlot is an element that a map begins with: an inner map of a map of maps, or a program of a prog array.
type MapSlot struct {
	Index   uint32
	Map     *Map
	Program *Program
}

// readDatasecs fills Object.Datasecs: btf_fixup_datasec of libbpf v1.7, for all sections but those of externs. The
// variables come out sorted by offset, as libbpf sorts them for the kernel.
func (d *objReader) readDatasecs() error {
	b := d.o.BTF
	if b == nil {
		return nil
	}
	var globals map[string]elfSym
	total := 0
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		t := b.Type(id)
		if t.Kind() != btfinfo.KindDatasec || t.Name() == ".kconfig" || t.Name() == ".ksyms" {
			continue
		}
		if globals == nil {
			var err error
			if globals, err = d.globals(); err != nil {
				return err
			}
		}
		if total += t.Vlen(); total > maxNamed {
			return d.errorf(".BTF", -1, "the sections have more than %d variables", maxNamed)
		}
		s := Datasec{ID: id, Size: t.Size(), Vars: make([]DatasecVar, t.Vlen())}
		if s.Size == 0 {
			s.Size = uint32(min(d.secs[d.names[t.Name()]].size, 1<<32-1))
		}
		for i := range s.Vars {
			v := t.Var(i)
			s.Vars[i] = DatasecVar{Index: i, Off: v.Off}
			vt := b.Type(v.Type)
			if l := vt.Linkage(); vt.Kind() != btfinfo.KindVar || l == 0 || l == linkExtern {
				continue
			}
			sym, ok := globals[vt.Name()]
			if !ok {
				continue // libbpf refuses the object; the map or variable is not usable, and nothing refers to it
			}
			s.Vars[i].Hidden = sym.hidden()
			if t.Size() == 0 {
				s.Vars[i].Off = uint32(sym.value)
			}
		}
		slices.SortStableFunc(s.Vars, func(a, b DatasecVar) int { return cmp.Compare(a.Off, b.Off) })
		d.o.Datasecs = append(d.o.Datasecs, s)
	}
	return nil
}

// globals are the global and weak symbols of data, the first of each name: find_elf_var_sym of libbpf v1.7.
func (d *objReader) globals() (map[string]elfSym, error) {
	all := map[string]elfSym{}
	for i := range d.numSyms() {
		s := d.sym(i)
		if s.kind() != sttObject || s.bind() != stbGlobal && s.bind() != stbWeak {
			continue
		}
		name, err := d.symName(i, s)
		if err != nil {
			return nil, err
		}
		if _, ok := all[name]; !ok {
			all[name] = s
		}
	}
	return all, nil
}

// readSlots reads the relocations of .maps, which fill "values": bpf_object__collect_map_relos of libbpf v1.7.
func (d *objReader) readSlots() error {
	maps := d.maps[d.btfMaps]
	for i := 1; i < len(d.secs); i++ {
		s := &d.secs[i]
		if s.typ != shtRel || d.btfMaps == 0 || int64(s.info) != int64(d.btfMaps) {
			continue
		}
		rels, err := d.rels(i)
		if err != nil {
			return err
		}
		for j, r := range rels {
			refuse := func(format string, args ...any) {
				d.refuse(d.errorf(s.name, int64(j)*elfRelLen, format, args...))
			}
			k := sort.Search(len(maps), func(k int) bool { return maps[k].off > r.off }) - 1
			if k < 0 || r.off-maps[k].off > maps[k].size || maps[k].size-(r.off-maps[k].off) < 8 {
				refuse("record %d is for byte %d of .maps, where no map is", j, r.off)
				continue
			}
			m := maps[k]
			in := r.off - m.off
			if m.valuesOff == 0 || in < m.valuesOff || (in-m.valuesOff)%8 != 0 {
				refuse("record %d fills byte %d of map %s, which is none of its values", j, in, m.Name)
				continue
			}
			slot := MapSlot{Index: uint32((in - m.valuesOff) / 8)}
			sym := d.sym(r.sym)
			if m.Inner != nil {
				if inner, _ := d.mapAt(int(sym.shndx), sym.value); inner != nil && int(sym.shndx) == d.btfMaps {
					slot.Map = inner
				}
			} else if f := d.funcAt(int(sym.shndx), int(min(sym.value/8, 1<<30))); f != nil {
				p := slices.IndexFunc(d.o.Programs, func(p *Program) bool { return p.Entry == f })
				if p >= 0 && sym.value == uint64(f.Off) {
					slot.Program = d.o.Programs[p]
				}
			}
			if slot.Map == nil && slot.Program == nil {
				refuse("record %d fills a value of map %s with something that is neither a map nor a program", j, m.Name)
				continue
			}
			m.Slots = append(m.Slots, slot)
		}
	}
	return nil
}
