package relocate

import (
	"cmp"
	"slices"

	"github.com/corecheck/corecheck/btfinfo"
)

// isExtern tells an undefined symbol that the loader resolves: sym_is_extern of libbpf v1.7.
func isExtern(s elfSym) bool {
	return s.shndx == shnUndef && (s.bind() == stbGlobal || s.bind() == stbWeak) && s.kind() == sttNotype
}

// linkExtern is BTF_VAR_GLOBAL_EXTERN and BTF_FUNC_EXTERN of include/uapi/linux/btf.h.
const linkExtern = 2

// readExterns collects externs: bpf_object__collect_externs of libbpf v1.7.
func (d *objReader) readExterns() error {
	section := d.externSections()
	type found struct {
		*Extern
		align, size uint32 // kconfig
	}
	var all []found
	for i := range d.numSyms() {
		s := d.sym(i)
		if !isExtern(s) {
			continue
		}
		name, err := d.symName(i, s)
		if err != nil {
			return err
		}
		if name == "" {
			continue
		}
		if len(all) == maxNamed {
			return d.errorf("", -1, "more than %d externs", maxNamed)
		}
		id, ok := d.externBTF(name)
		if !ok {
			d.refuse(d.errorf("", -1, "extern %s has no BTF", name))
			continue
		}
		t := d.o.BTF.Type(id)
		e := &Extern{Name: name, Weak: s.bind() == stbWeak, Type: d.o.BTF.Skip(t.Ref()).ID()}
		f := found{Extern: e}
		switch section[id] {
		case ".kconfig":
			size, ok := d.o.BTF.SizeOf(t.Ref())
			if t.Kind() != btfinfo.KindVar || !ok {
				d.refuse(d.errorf("", -1, "extern %s in .kconfig is of a kind that has no size", name))
				continue
			}
			e.Kind, e.Type, e.Typed = ExternKconfig, t.Ref(), true
			f.align, f.size = kconfigAlign(d.o.BTF, t.Ref()), size
		case ".ksyms":
			e.Kind, e.Typed = ExternKsym, e.Type != 0
			if t.Kind() == btfinfo.KindFunc {
				e.Kind = ExternKfunc
			}
		default:
			d.refuse(d.errorf("", -1, "extern %s is neither in .kconfig nor in .ksyms", name))
			continue
		}
		d.externAt[i] = e
		all = append(all, f)
	}
	// cmp_externs: kconfig before ksyms; among kconfig the largest alignment first, then the smallest size; then names.
	slices.SortStableFunc(all, func(a, b found) int {
		ka, kb := 1, 1
		if a.Kind == ExternKconfig {
			ka = 0
		}
		if b.Kind == ExternKconfig {
			kb = 0
		}
		return cmp.Or(cmp.Compare(ka, kb), cmp.Compare(b.align, a.align), cmp.Compare(a.size, b.size), cmp.Compare(a.Name, b.Name))
	})
	for _, f := range all {
		d.o.Externs = append(d.o.Externs, f.Extern)
	}
	return nil
}

// externBTF returns the VAR or FUNC of an extern: find_extern_btf_id of libbpf v1.7, which looks at the first of that
// name only.
func (d *objReader) externBTF(name string) (btfinfo.ID, bool) {
	if d.o.BTF == nil {
		return 0, false
	}
	ids := d.o.BTF.Named(name, btfinfo.KindVar, btfinfo.KindFunc)
	if len(ids) == 0 || d.o.BTF.Type(ids[0]).Linkage() != linkExtern {
		return 0, false
	}
	return ids[0], true
}

// externSections maps each VAR and FUNC to the name of the first DATASEC that has it: find_extern_sec_btf_id.
func (d *objReader) externSections() map[btfinfo.ID]string {
	in := map[btfinfo.ID]string{}
	for _, name := range []string{".kconfig", ".ksyms"} {
		for _, t := range d.datasecs(name) {
			for i := range t.Vlen() {
				if id := t.Var(i).Type; in[id] == "" {
					in[id] = name
				}
			}
		}
	}
	return in
}

// datasecs returns the DATASECs of this name.
func (d *objReader) datasecs(name string) []btfinfo.Type {
	if d.o.BTF == nil {
		return nil
	}
	var ts []btfinfo.Type
	for _, id := range d.o.BTF.Named(name, btfinfo.KindDatasec) {
		ts = append(ts, d.o.BTF.Type(id))
	}
	return ts
}

// kconfigAlign is btf__align_of of libbpf v1.7 for what a kconfig extern can be: an integer, an enum, an array of char.
func kconfigAlign(b *btfinfo.BTF, id btfinfo.ID) uint32 {
	t := b.Skip(id)
	if t.Kind() == btfinfo.KindArray {
		t = b.Skip(t.Ref())
	}
	return min(t.Size(), 8)
}
