package relocate

import (
	"cmp"
	"maps"
	"slices"
	"sort"
	"strconv"
)

// Parts of instructions, with the names of include/uapi/linux/bpf.h and bpf_common.h of Linux v6.12.
const (
	insnCall    = 0x85 // BPF_JMP | BPF_CALL
	insnLdImm64 = 0x18 // BPF_LD | BPF_IMM | BPF_DW

	pseudoCall      = 1 // BPF_PSEUDO_CALL
	pseudoKfuncCall = 2 // BPF_PSEUDO_KFUNC_CALL
	pseudoFunc      = 4 // BPF_PSEUDO_FUNC
)

// readFuncs collects functions and programs: bpf_object__add_programs of libbpf v1.7, for every code section.
func (d *objReader) readFuncs() error {
	type found struct {
		*Func
		sec   int
		entry bool
	}
	var all []found
	total := map[int]uint64{}
	for i := range d.numSyms() {
		s := d.sym(i)
		sec := int(s.shndx)
		insns, ok := d.code[sec]
		if !ok || s.kind() != sttFunc {
			continue
		}
		name, err := d.symName(i, s)
		if err != nil {
			return err
		}
		size := uint64(8 * len(insns))
		secName := d.secs[sec].name
		switch {
		case s.value > size || s.size > size-s.value:
			return d.errorf(secName, -1, "function %s is %d bytes at %#x, the section has %d", name, s.size, s.value, size)
		case s.size == 0 || s.size%8 != 0 || s.value%8 != 0:
			return d.errorf(secName, int64(s.value), "function %s has %d bytes at offset %d, want multiples of 8, and at least one instruction", name, s.size, s.value)
		case len(all) == maxNamed:
			return d.errorf(secName, -1, "more than %d functions", maxNamed)
		}
		// Two names for one function happen; functions that overlap in more ways than that make reading them take
		// forever.
		if total[sec] += s.size; total[sec] > 2*size {
			return d.errorf(secName, int64(s.value), "functions overlap: they add up to %d bytes, the section has %d", total[sec], size)
		}
		f := &Func{Name: name, Section: secName, Off: uint32(s.value), Static: s.bind() == stbLocal, Hidden: s.bind() != stbLocal && s.hidden(), Insns: insns[s.value/8 : (s.value+s.size)/8 : (s.value+s.size)/8]}
		if sec != d.text && s.bind() == stbLocal {
			// Differs from libbpf, which refuses the object (ENOTSUP): cilium/ebpf takes it.
			d.refuse(d.errorf(secName, int64(s.value), "static function %s outside .text", name))
		}
		all = append(all, found{f, sec, sec != d.text && s.bind() != stbLocal})
	}
	// cmp_progs: by section index and offset.
	slices.SortStableFunc(all, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.sec, b.sec), cmp.Compare(a.Off, b.Off))
	})
	for i, f := range all {
		f.index = i
		d.o.Funcs = append(d.o.Funcs, f.Func)
		d.funcs[f.sec] = append(d.funcs[f.sec], f.Func)
		if f.entry {
			d.o.Programs = append(d.o.Programs, &Program{Name: f.Name, Section: f.Section, Sec: ParseSection(f.Section), Entry: f.Func})
		}
	}
	return nil
}

// funcAt returns the function of section sec that has instruction insn of the section: find_prog_by_sec_insn of libbpf
// v1.7. It is nil for code that belongs to no function: an overridden weak one whose symbol the linker dropped.
func (d *objReader) funcAt(sec, insn int) *Func {
	fs := d.funcs[sec]
	i := sort.Search(len(fs), func(i int) bool { return int(fs[i].Off/8) > insn }) - 1
	if i < 0 || insn-int(fs[i].Off/8) >= len(fs[i].Insns) {
		return nil
	}
	return fs[i]
}

// readRelocs reads the SHT_REL sections of code: bpf_object__collect_prog_relos of libbpf v1.7.
func (d *objReader) readRelocs() error {
	for i := 1; i < len(d.secs); i++ {
		s := &d.secs[i]
		if s.typ != shtRel {
			continue
		}
		target := int(s.info)
		insns, ok := d.code[target]
		if int64(s.info) >= int64(len(d.secs)) || !ok {
			continue
		}
		rels, err := d.rels(i)
		if err != nil {
			return err
		}
		for j, r := range rels {
			if r.off%8 != 0 || r.off/8 >= uint64(len(insns)) {
				return d.errorf(s.name, int64(j)*elfRelLen, "record %d is for byte %d, section %s has %d", j, r.off, d.secs[target].name, 8*len(insns))
			}
			d.relocs[target] = append(d.relocs[target], elfReloc{insn: int(r.off / 8), sym: r.sym})
		}
	}
	for _, r := range d.relocs {
		slices.SortStableFunc(r, func(a, b elfReloc) int { return cmp.Compare(a.insn, b.insn) })
	}
	return nil
}

// elfRel is one record of a SHT_REL section: Elf64_Rel.
type elfRel struct {
	off uint64
	sym int
}

// rels reads section i of type SHT_REL. Symbols are checked.
func (d *objReader) rels(i int) ([]elfRel, error) {
	s := &d.secs[i]
	if s.entsize != elfRelLen || s.size%elfRelLen != 0 {
		return nil, d.errorf(s.name, -1, "%d bytes of relocations, %d each: want a whole number of them with %d each", s.size, s.entsize, elfRelLen)
	}
	b, err := d.data(i)
	if err != nil {
		return nil, err
	}
	rels := make([]elfRel, len(b)/elfRelLen)
	for j := range rels {
		p := b[j*elfRelLen:]
		sym := d.order.Uint64(p[8:]) >> 32
		if sym >= uint64(d.numSyms()) {
			return nil, d.errorf(s.name, int64(j)*elfRelLen+8, "record %d has symbol %d, there are %d", j, sym, d.numSyms())
		}
		rels[j] = elfRel{off: d.order.Uint64(p), sym: int(sym)}
		if sh := d.sym(int(sym)).shndx; sh < shnLoreserve && int(sh) >= len(d.secs) {
			return nil, d.errorf(s.name, int64(j)*elfRelLen+8, "record %d has symbol %d in section %d, there are %d", j, sym, sh, len(d.secs))
		}
	}
	return rels, nil
}

// useRelocs goes through the instructions of every function and records what they call and refer to.
func (d *objReader) useRelocs() error {
	for _, sec := range slices.Sorted(maps.Keys(d.funcs)) {
		for _, f := range d.funcs[sec] {
			if err := d.useFunc(sec, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func (d *objReader) useFunc(sec int, f *Func) error {
	first := int(f.Off / 8)
	relocs := d.relocs[sec]
	relocs = relocs[sort.Search(len(relocs), func(i int) bool { return relocs[i].insn >= first }):]
	helpers, calls := 0, 0
	for _, in := range f.Insns {
		if in.Code == insnCall && in.Src == 0 {
			helpers++
		} else if in.Code == insnCall {
			calls++
		}
	}
	if helpers > 0 {
		f.Helpers = make([]Helper, 0, helpers)
	}
	if calls > 0 {
		f.Calls = make([]Call, 0, calls)
	}
	for i := 0; i < len(f.Insns); i++ {
		in := f.Insns[i]
		var rel *elfReloc
		for len(relocs) > 0 && relocs[0].insn <= first+i {
			if relocs[0].insn == first+i && rel == nil {
				rel = &relocs[0]
			}
			relocs = relocs[1:]
		}
		switch {
		case rel != nil && in.Code != insnCall && in.Code != insnLdImm64:
			d.refuse(d.errorf(f.Section, int64(8*(first+i)), "relocation on an instruction of code %#x, which takes none", in.Code))
		case rel != nil:
			if err := d.useReloc(f, first, i, in, rel); err != nil {
				return err
			}
		case in.Code == insnCall && in.Src == 0:
			f.Helpers = append(f.Helpers, Helper{Insn: i, ID: in.Imm})
		case in.Code == insnCall && in.Src == pseudoCall:
			// A call within the section: imm counts from the next instruction.
			d.call(f, sec, int64(first+i)+int64(in.Imm)+1, i, false)
		}
		if in.Code == insnLdImm64 { // its second half is no instruction
			i++
			for len(relocs) > 0 && relocs[0].insn <= first+i {
				relocs = relocs[1:]
			}
		}
	}
	return nil
}

// call records a call, or with ref a function pointer, from instruction i of f to instruction insn of section sec.
func (d *objReader) call(f *Func, sec int, insn int64, i int, ref bool) {
	var to *Func
	if insn >= 0 && insn < int64(len(d.code[sec])) {
		to = d.funcAt(sec, int(insn))
	}
	if to == nil {
		d.refuse(d.errorf(f.Section, int64(f.Off)+8*int64(i), "call of instruction %d of section %s, where no function is", insn, d.secs[sec].name))
		return
	}
	if sec != d.text {
		// Differs from libbpf, which looks for subprograms in .text only (bpf_object__reloc_code).
		d.refuse(d.errorf(f.Section, int64(f.Off)+8*int64(i), "call of %s outside .text", to.Name))
	}
	f.Calls = append(f.Calls, Call{Insn: i, To: to, Ref: ref})
}

// useReloc records what one relocated instruction refers to: bpf_program__record_reloc of libbpf v1.7.
func (d *objReader) useReloc(f *Func, first, i int, in Insn, rel *elfReloc) error {
	s := d.sym(rel.sym)
	name, err := d.symName(rel.sym, s)
	if err != nil {
		return err
	}
	sec := int(s.shndx)
	refuse := func(format string, args ...any) {
		d.refuse(d.errorf(f.Section, int64(8*(first+i)), format, args...))
	}
	if isExtern(s) {
		if e := d.externAt[rel.sym]; e != nil {
			f.Kfuncs = append(f.Kfuncs, Ref{Insn: i, Extern: e})
		}
		return nil // an extern without BTF was noted by readExterns
	}
	if s.shndx == shnUndef || s.shndx >= shnLoreserve {
		refuse("relocation against %s in the special section %#x", quoteOr(name, "a symbol"), s.shndx)
		return nil
	}
	if name == "" {
		name = d.secs[sec].name
	}
	_, code := d.code[sec]
	switch {
	case in.Code == insnCall && in.Src != pseudoCall:
		refuse("relocation against %s on a call that is not one of a BPF function", name)
	case in.Code == insnCall && (!code || s.value%8 != 0):
		refuse("call of %s at byte %d of section %s, where no function is", name, s.value, d.secs[sec].name)
	case in.Code == insnCall:
		// Global functions: the symbol's value is the place, imm is -1. Static ones: the symbol is the section's, imm
		// the place less one.
		d.call(f, sec, int64(s.value/8)+int64(in.Imm)+1, i, false)
	case code && (s.kind() == sttSection || s.kind() == sttFunc):
		at := int64(s.value) + int64(in.Imm)
		if at < 0 || at%8 != 0 {
			refuse("address of byte %d of section %s, where no function is", at, d.secs[sec].name)
			return nil
		}
		d.call(f, sec, at/8, i, true)
	default:
		m, off := d.mapAt(sec, s.value)
		if m == nil {
			refuse("relocation against %s in section %s, which has no map", name, d.secs[sec].name)
			return nil
		}
		ref := MapRef{Insn: i, Map: m}
		if m.Data {
			ref.Value = true
			ref.Off = uint32(off) + uint32(in.Imm)
		}
		f.MapRefs = append(f.MapRefs, ref)
	}
	return nil
}

func quoteOr(s, other string) string {
	if s == "" {
		return other
	}
	return strconv.Quote(s)
}

// reach fills Program.Funcs in the order in which libbpf appends subprograms: bpf_object__reloc_code of v1.7 visits a
// callee the first time that it is met, before what comes after the call.
func (d *objReader) reach() error {
	steps := 0
	type frame struct {
		f    *Func
		next int
	}
	seen := make([]*Program, len(d.o.Funcs)) // the last program that reached the function
	for _, p := range d.o.Programs {
		p.Funcs = append(p.Funcs, p.Entry)
		seen[p.Entry.index] = p
		stack := []frame{{f: p.Entry}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if top.next == len(top.f.Calls) {
				stack = stack[:len(stack)-1]
				continue
			}
			to := top.f.Calls[top.next].To
			top.next++
			if steps++; steps > maxReached {
				return d.errorf("", -1, "programs reach more than %d calls, maps and externs", maxReached)
			}
			if seen[to.index] == p {
				continue
			}
			seen[to.index] = p
			steps += len(to.MapRefs) + len(to.Kfuncs)
			p.Funcs = append(p.Funcs, to)
			stack = append(stack, frame{f: to})
		}
	}
	return nil
}
