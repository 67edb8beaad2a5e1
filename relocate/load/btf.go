package load

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// Parts of struct btf_header and struct btf_type of include/uapi/linux/btf.h of Linux v6.12.
const (
	btfHeaderLen   = 24
	btfVarStatic   = 0 // BTF_VAR_STATIC
	btfVarGlobal   = 1 // BTF_VAR_GLOBAL_ALLOCATED
	btfFuncStatic  = 0 // BTF_FUNC_STATIC
	btfFuncGlobal  = 1 // BTF_FUNC_GLOBAL
	btfIntBits8    = 8 // an INT of 8 bits, without sign, from bit 0
	btfVlen        = 0xffff
	btfMaxNameSize = 128 // BTF_MAX_NAME_SIZE of libbpf
)

// btfImage is the BTF of an object while it is made ready for the kernel. Ids stay those of the object: instructions,
// maps and records hold them.
type btfImage struct {
	parsed  *btfinfo.BTF // as in the object
	order   binary.ByteOrder
	types   []byte
	strings []byte
	at      []int // where each type is in types; at[0] is not used
}

// newImage takes the BTF of an object apart.
func newImage(o *relocate.Object) *btfImage {
	raw, order := o.RawBTF, o.ByteOrder
	hdr := int(order.Uint32(raw[4:]))
	section := func(off int) []byte {
		start := hdr + int(order.Uint32(raw[off:]))
		return slices.Clone(raw[start : start+int(order.Uint32(raw[off+4:]))])
	}
	m := &btfImage{parsed: o.BTF, order: order, types: section(8), strings: section(16), at: make([]int, 1, o.BTF.NumTypes())}
	for off := 0; off < len(m.types); {
		m.at = append(m.at, off)
		off += m.len(off)
	}
	return m
}

// len is the size of the type at off in bytes: struct btf_type and what follows it.
func (m *btfImage) len(off int) int {
	info := m.word(off + 4)
	n := int(info & btfVlen)
	switch btfinfo.Kind(info >> 24 & 0x1f) {
	case btfinfo.KindInt, btfinfo.KindVar, btfinfo.KindDeclTag:
		return 12 + 4
	case btfinfo.KindArray:
		return 12 + 12
	case btfinfo.KindStruct, btfinfo.KindUnion, btfinfo.KindDatasec, btfinfo.KindEnum64:
		return 12 + 12*n
	case btfinfo.KindEnum, btfinfo.KindFuncProto:
		return 12 + 8*n
	}
	return 12
}

func (m *btfImage) word(off int) uint32       { return m.order.Uint32(m.types[off:]) }
func (m *btfImage) setWord(off int, w uint32) { m.order.PutUint32(m.types[off:], w) }

func (m *btfImage) kind(id btfinfo.ID) btfinfo.Kind {
	return btfinfo.Kind(m.word(m.at[id]+4) >> 24 & 0x1f)
}

// setInfo makes type id one of another kind; what follows the three words of struct btf_type stays.
func (m *btfImage) setInfo(id btfinfo.ID, kind btfinfo.Kind, vlen int, flag bool) {
	info := uint32(kind)<<24 | uint32(vlen)&btfVlen
	if flag {
		info |= 1 << 31
	}
	m.setWord(m.at[id]+4, info)
}

// add adds a type: the three words of struct btf_type and what follows them.
func (m *btfImage) add(name string, kind btfinfo.Kind, vlen int, sizeOrType uint32, more ...uint32) btfinfo.ID {
	id := btfinfo.ID(len(m.at))
	m.at = append(m.at, len(m.types))
	for _, w := range append([]uint32{m.addString(name), uint32(kind)<<24 | uint32(vlen)&btfVlen, sizeOrType}, more...) {
		m.types = m.order.(binary.AppendByteOrder).AppendUint32(m.types, w)
	}
	return id
}

func (m *btfImage) addString(s string) uint32 {
	if s == "" {
		return 0
	}
	off := uint32(len(m.strings))
	m.strings = append(append(m.strings, s...), 0)
	return off
}

// bytes puts the image together as it is sent to the kernel.
func (m *btfImage) bytes() []byte {
	b := make([]byte, btfHeaderLen, btfHeaderLen+len(m.types)+len(m.strings))
	m.order.PutUint16(b, 0xeb9f)
	b[2] = 1 // version
	m.order.PutUint32(b[4:], btfHeaderLen)
	m.order.PutUint32(b[12:], uint32(len(m.types)))
	m.order.PutUint32(b[16:], uint32(len(m.types)))
	m.order.PutUint32(b[20:], uint32(len(m.strings)))
	return append(append(b, m.types...), m.strings...)
}

// fill does what libbpf does to the BTF of an object when it opens it: sections get their sizes and variables their
// offsets (btf_fixup_datasec), externs become variables of the object (bpf_object__collect_externs); and when it loads it:
// subprograms that are hidden become static (bpf_object__sanitize_and_load_btf). All of v1.7.
func (m *btfImage) fill(o *relocate.Object) {
	for i := range o.Datasecs {
		s := &o.Datasecs[i]
		at := m.at[s.ID]
		m.setWord(at+8, s.Size)
		old := slices.Clone(m.types[at+12 : at+12+12*len(s.Vars)])
		for j, v := range s.Vars {
			to := at + 12 + 12*j
			copy(m.types[to:to+12], old[12*v.Index:])
			m.setWord(to+4, v.Off)
			if id := btfinfo.ID(m.word(to)); v.Hidden && m.kind(id) == btfinfo.KindVar {
				m.setWord(m.at[id]+12, btfVarStatic)
			}
		}
	}
	m.fillKsyms()
	m.fillKconfig(o)
	for _, f := range o.Funcs {
		if !f.Hidden || f.Section != ".text" {
			continue
		}
		for _, id := range m.parsed.Named(f.Name, btfinfo.KindFunc) {
			if m.parsed.Type(id).Linkage() == btfFuncGlobal {
				m.setInfo(id, btfinfo.KindFunc, btfFuncStatic, false)
				break
			}
		}
	}
}

// fillKsyms pretends that each extern in .ksyms is an int of the object; what a FUNC is replaced by in the section is the
// variable dummy_ksym.
func (m *btfImage) fillKsyms() {
	b := m.parsed
	ids := b.Named(".ksyms", btfinfo.KindDatasec)
	if len(ids) == 0 {
		return
	}
	sec := ids[0]
	t := b.Type(sec)
	intID, dummy := m.findInt(), btfinfo.ID(0)
	for i := range t.Vlen() {
		if b.Type(t.Var(i).Type).Kind() == btfinfo.KindFunc && dummy == 0 {
			dummy = m.add("dummy_ksym", btfinfo.KindVar, 0, uint32(intID), btfVarGlobal)
		}
	}
	for i := range t.Vlen() {
		to := m.at[sec] + 12 + 12*i
		id := t.Var(i).Type
		if v := b.Type(id); v.Kind() == btfinfo.KindFunc {
			proto := m.at[v.Ref()]
			for j := range b.Type(v.Ref()).Vlen() { // the kernel wants names of arguments
				if p := proto + 12 + 8*j; m.word(p) == 0 && m.word(p+4) != 0 {
					m.setWord(p, m.word(m.at[dummy]))
				}
			}
			m.setInfo(id, btfinfo.KindFunc, btfFuncGlobal, false)
			m.setWord(to, uint32(dummy))
		} else if v.Kind() == btfinfo.KindVar {
			m.setWord(m.at[id]+8, uint32(intID))
			m.setWord(m.at[id]+12, btfVarGlobal)
		}
		m.setWord(to+4, uint32(4*i))
		m.setWord(to+8, 4)
	}
	m.setWord(m.at[sec]+8, uint32(4*t.Vlen()))
}

// findInt is find_int_btf_id of libbpf v1.7: the first INT of 32 bits, 0 where there is none.
func (m *btfImage) findInt() btfinfo.ID {
	for id := m.parsed.FirstID(); int(id) < m.parsed.NumTypes(); id++ {
		if t := m.parsed.Type(id); t.Kind() == btfinfo.KindInt && t.Int().Bits == 32 {
			return id
		}
	}
	return 0
}

// fillKconfig places the externs in .kconfig where the map has them. They are sorted by offset, as btf_fixup_datasec sorts
// all sections.
func (m *btfImage) fillKconfig(o *relocate.Object) {
	offs := map[string]uint32{}
	for _, e := range o.Externs {
		if e.Kind == relocate.ExternKconfig {
			offs[e.Name] = e.Off
		}
	}
	ids := m.parsed.Named(".kconfig", btfinfo.KindDatasec)
	if len(ids) == 0 {
		return
	}
	sec := ids[0]
	t, at := m.parsed.Type(sec), m.at[sec]
	order := make([]int, t.Vlen())
	off := func(i int) uint32 { return offs[m.parsed.Type(t.Var(i).Type).Name()] }
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return int(off(a)) - int(off(b)) })
	for i, from := range order {
		v := t.Var(from)
		to := at + 12 + 12*i
		m.setWord(to, uint32(v.Type))
		m.setWord(to+4, off(from))
		m.setWord(to+8, v.Size)
		if m.kind(v.Type) == btfinfo.KindVar {
			m.setWord(m.at[v.Type]+12, btfVarGlobal)
		}
	}
	for _, mp := range o.Maps {
		if mp.Section == ".kconfig" {
			m.setWord(at+8, mp.ValueSize)
		}
	}
}

// sanitize replaces what the kernel does not know: bpf_object__sanitize_btf of libbpf v1.7.
func (m *btfImage) sanitize(has func(feature) bool) {
	var (
		hasFunc, hasGlobal, hasDatasec, hasQmark = has(featBTFFunc), has(featBTFGlobalFunc), has(featBTFDatasec), has(featBTFQmarkDatasec)
		hasFloat, hasDeclTag, hasTypeTag, hasE64 = has(featBTFFloat), has(featBTFDeclTag), has(featBTFTypeTag), has(featBTFEnum64)
		placeholder                              btfinfo.ID
	)
	for id, n := btfinfo.ID(1), btfinfo.ID(len(m.at)); id < n; id++ {
		at := m.at[id]
		kind, vlen := m.kind(id), int(m.word(at+4)&btfVlen)
		switch {
		case !hasDatasec && kind == btfinfo.KindVar, !hasDeclTag && kind == btfinfo.KindDeclTag:
			// Size 1 fits wherever the variable is.
			m.setInfo(id, btfinfo.KindInt, 0, false)
			m.setWord(at+8, 1)
			m.setWord(at+12, btfIntBits8)
		case !hasDatasec && kind == btfinfo.KindDatasec:
			m.rename(at, ".?", -1)
			m.setInfo(id, btfinfo.KindStruct, vlen, false)
			for i := range vlen {
				p := at + 12 + 12*i // a btf_var_secinfo, which becomes a btf_member
				typ, off := m.word(p), m.word(p+4)
				m.setWord(p, m.word(m.at[typ])) // named as the variable is
				m.setWord(p+4, typ)
				m.setWord(p+8, 8*off)
			}
		case !hasQmark && kind == btfinfo.KindDatasec:
			m.rename(at, "?", 1)
		case !hasFunc && kind == btfinfo.KindFuncProto:
			m.setInfo(id, btfinfo.KindEnum, vlen, false)
			m.setWord(at+8, 4)
		case !hasFunc && kind == btfinfo.KindFunc:
			m.setInfo(id, btfinfo.KindTypedef, 0, false)
		case !hasGlobal && kind == btfinfo.KindFunc:
			m.setInfo(id, btfinfo.KindFunc, btfFuncStatic, false)
		case !hasFloat && kind == btfinfo.KindFloat:
			m.setWord(at, 0)
			m.setInfo(id, btfinfo.KindStruct, 0, false)
		case !hasTypeTag && kind == btfinfo.KindTypeTag:
			m.setWord(at, 0)
			m.setInfo(id, btfinfo.KindConst, 0, false)
		case !hasE64 && kind == btfinfo.KindEnum:
			m.setInfo(id, kind, vlen, false)
		case !hasE64 && kind == btfinfo.KindEnum64:
			if placeholder == 0 {
				placeholder = m.add("enum64_placeholder", btfinfo.KindInt, 0, 1, btfIntBits8)
			}
			m.setInfo(id, btfinfo.KindUnion, vlen, false)
			for i := range vlen {
				p := at + 12 + 12*i // a btf_enum64, which becomes a btf_member
				m.setWord(p+4, uint32(placeholder))
				m.setWord(p+8, 0)
			}
		}
	}
}

// rename replaces these characters in the name of the type at off by '_', in the first n characters (-1: in all).
func (m *btfImage) rename(at int, chars string, n int) {
	for i := int(m.word(at)); i < len(m.strings) && m.strings[i] != 0 && n != 0; i, n = i+1, n-1 {
		if strings.IndexByte(chars, m.strings[i]) >= 0 {
			m.strings[i] = '_'
		}
	}
}

// btfPrefix says what a program of this attach type is attached to in BTF: btf_get_kernel_prefix_kind of libbpf v1.7.
func btfPrefix(attachType string) (prefix string, kind btfinfo.Kind) {
	switch attachType {
	case "BPF_TRACE_RAW_TP":
		return "btf_trace_", btfinfo.KindTypedef
	case "BPF_LSM_MAC", "BPF_LSM_CGROUP":
		return "bpf_lsm_", btfinfo.KindFunc
	case "BPF_TRACE_ITER":
		return "bpf_iter_", btfinfo.KindFunc
	}
	return "", btfinfo.KindFunc
}

// attachTarget finds what a program is attached to, in the kernel's own BTF (mod is nil then) or in that of a module:
// find_kernel_btf_id of libbpf v1.7. Its way with a named module is followed to the letter: the beginning of the name will
// do, and what is in the kernel itself is found as well.
func (k *Kernel) attachTarget(name, attachType string) (id btfinfo.ID, mod *module, err error) {
	prefix, kind := btfPrefix(attachType)
	moduleName, fn, named := strings.Cut(name, ":")
	if !named {
		moduleName, fn = "", name
	}
	if len(prefix)+len(fn) >= btfMaxNameSize {
		return 0, nil, problemf(syscall.ENAMETOOLONG, "%s%s has more than %d characters", prefix, fn, btfMaxNameSize-1)
	}
	if strings.HasPrefix("vmlinux", moduleName) {
		b, err := k.btf()
		if err != nil {
			return 0, nil, problemf(syscall.ESRCH, "the kernel's BTF is needed to find %s: %v", name, err)
		}
		if ids := b.Named(prefix+fn, kind); len(ids) > 0 {
			return ids[0], nil, nil
		}
	}
	mods, err := k.modules()
	if err != nil {
		return 0, nil, problemf(syscall.EINVAL, "the BTF of modules can't be read: %v", err)
	}
	for _, m := range mods {
		if !strings.HasPrefix(m.name, moduleName) {
			continue
		}
		if ids := m.btf.Named(prefix+fn, kind); len(ids) > 0 {
			return ids[0], m, nil
		}
	}
	where := "the kernel and its modules"
	if named {
		where = "module " + moduleName
	}
	return 0, nil, problemf(syscall.ESRCH, "%s", fmt.Sprintf("no %s %s%s in the BTF of %s", kind, prefix, fn, where))
}

// findKsym finds a type by name in the kernel's BTF, else in what modules have of their own: find_ksym_btf_id of libbpf
// v1.7. id is 0 where there is none.
func (k *Kernel) findKsym(name string, kind btfinfo.Kind) (id btfinfo.ID, in *btfinfo.BTF, mod *module, err error) {
	b, err := k.btf()
	if err != nil {
		return 0, nil, nil, problemf(syscall.ESRCH, "the kernel's BTF is needed to find %s: %v", name, err)
	}
	if ids := b.Named(name, kind); len(ids) > 0 {
		return ids[0], b, nil, nil
	}
	mods, err := k.modules()
	if err != nil {
		return 0, nil, nil, problemf(syscall.EINVAL, "the BTF of modules can't be read: %v", err)
	}
	for _, m := range mods {
		for _, id := range m.btf.Named(name, kind) {
			if id >= m.btf.FirstID() {
				return id, m.btf, m, nil
			}
		}
	}
	return 0, nil, nil, nil
}
