package relocate

import (
	"cmp"
	"fmt"
	"slices"
	"sort"
	"strings"
)

// NeedKind tells what sort of thing an object requires of a kernel.
type NeedKind string

const (
	NeedProgType     NeedKind = "prog_type"     // an enumerator of enum bpf_prog_type
	NeedAttachType   NeedKind = "attach_type"   // an enumerator of enum bpf_attach_type
	NeedAttachTarget NeedKind = "attach_target" // what the section names: a function, a tracepoint, a hook
	NeedField        NeedKind = "field"         // a CO-RE record on a member of a type
	NeedType         NeedKind = "type"          // a CO-RE record on a type
	NeedEnumValue    NeedKind = "enum_value"    // a CO-RE record on an enumerator
	NeedHelper       NeedKind = "helper"        // a call of a helper
	NeedKfunc        NeedKind = "kfunc"         // a call of a kernel function, or its address
	NeedKsym         NeedKind = "ksym"          // the address of a kernel symbol
	NeedKconfig      NeedKind = "kconfig"       // a config option, or LINUX_KERNEL_VERSION and the like
	NeedMapType      NeedKind = "map_type"      // an enumerator of enum bpf_map_type
	NeedStructOps    NeedKind = "struct_ops"    // the kernel struct of a struct_ops map
	NeedInstruction  NeedKind = "instruction"   // a group of instructions that came after Linux 4.18
	NeedLoader       NeedKind = "loader"        // another loader than libbpf 1.x: see Object.Refused
	NeedBTF          NeedKind = "kernel_btf"    // that the kernel has BTF at all; weak where the object loads without
)

// rank orders needs of one instruction.
var needRank = map[NeedKind]int{
	NeedProgType: 0, NeedAttachType: 1, NeedAttachTarget: 2, NeedField: 3, NeedType: 4, NeedEnumValue: 5, NeedHelper: 6,
	NeedKfunc: 7, NeedKsym: 8, NeedKconfig: 9, NeedMapType: 10, NeedStructOps: 11, NeedInstruction: 12, NeedLoader: 13, NeedBTF: 14,
}

// Need is one thing that an object requires of a kernel, where it is required.
type Need struct {
	Kind NeedKind
	// Name as kernel developers write it: "struct request.rq_disk", "vfs_read", "block/block_rq_issue",
	// "bpf_get_current_task_btf", "BPF_MAP_TYPE_RINGBUF".
	Name string
	// Detail is what the need is about beyond its name: the kind of CO-RE record ("byte_off"), what the target is
	// ("function"), the map ("map events"), "" where there is no more to say.
	Detail string
	// Value is the number that the object has: of the helper or of the map type; 0 for other kinds.
	Value int64
	// Weak: the object loads without it, as far as the object itself says: weak externs, CO-RE records that have an
	// answer where nothing matches.
	Weak bool

	Programs []*Program // that have the need, in the order of the object; none: no program reaches it
	Func     *Func      // the function with the instruction; nil for needs of the object as a whole
	Insn     int        // index in Func.Insns
	Relo     *Relo      // of field, type and enum_value
	Extern   *Extern    // of kfunc, ksym and kconfig
	Map      *Map       // of map_type and struct_ops
	Insns    *InsnSet   // of instruction
}

// Source is the line of the program that has the need; ok is false where there is no line info or no instruction.
func (n *Need) Source() (l Line, ok bool) {
	if n.Func == nil {
		return Line{}, false
	}
	if n.Relo != nil {
		if l, ok := n.Func.useLine(n.Insn); ok {
			return l, true
		}
	}
	return n.Func.Source(n.Insn)
}

// useLine is the line that uses the value of a CO-RE record where the instruction at index insn only puts it into a
// register. Clang gives such an instruction no line of its own and places it before the use, so that the last line record
// is of the statement before, or of the function as a whole. The line is that of the first record at or behind the
// first use; ok is false where the instruction has its own, or where control may leave before there is one.
func (f *Func) useLine(insn int) (l Line, ok bool) {
	const (
		mov32, mov64, ldimm64 = 0xb4, 0xb7, 0x18 // BPF_ALU | BPF_MOV | BPF_K, its 64-bit form, BPF_LD | BPF_IMM | BPF_DW
		class, jmp, jmp32     = 0x07, 0x05, 0x06
		call                  = 0x85
	)
	x := f.Insns[insn]
	if x.Code != mov32 && x.Code != mov64 && x.Code != ldimm64 {
		return Line{}, false
	}
	i := sort.Search(len(f.Lines), func(i int) bool { return f.Lines[i].Insn >= insn })
	if insn > 0 && i < len(f.Lines) && f.Lines[i].Insn == insn && f.Lines[i].Line > 0 {
		return Line{}, false // the record at 0 is the function's
	}
	used := false
	for j := insn + 1; j < len(f.Insns); j++ {
		y := f.Insns[j]
		used = used || y.Dst == x.Dst || y.Src == x.Dst || y.Code == call && 1 <= x.Dst && x.Dst <= 5
		for i < len(f.Lines) && f.Lines[i].Insn < j {
			i++
		}
		if used && i < len(f.Lines) && f.Lines[i].Insn == j && f.Lines[i].Line > 0 {
			return f.Lines[i], true
		}
		if c := y.Code & class; c == jmp || c == jmp32 {
			break
		}
	}
	return Line{}, false
}

// String is the need in a few words: "field struct request.rq_disk".
func (n *Need) String() string { return string(n.Kind) + " " + n.Name }

// Needs returns all that the object requires of a kernel, in a total order: by function (as in Object.Funcs), then
// instruction, then kind and name; what belongs to no function comes last, in the order of maps and externs.
//
// There is one need per CO-RE record, and one per function for a helper, an extern or a map that several of its
// instructions use: the first. Records of kind local_type_id ask the kernel nothing and give no need, and neither do
// records and instructions of functions that the linker dropped.
func (o *Object) Needs() []*Need {
	var needs []*Need
	reach := make([][]*Program, len(o.Funcs))
	for _, p := range o.Programs {
		for _, f := range p.Funcs {
			reach[f.index] = append(reach[f.index], p)
		}
	}
	for _, p := range o.Programs {
		needs = append(needs, p.needs()...)
	}
	usedExtern := map[*Extern]bool{}
	for _, f := range o.Funcs {
		programs := reach[f.index]
		for _, r := range f.Relos {
			if n := o.reloNeed(r); n != nil {
				n.Programs = programs
				needs = append(needs, n)
			}
		}
		needs = append(needs, f.insnNeeds(programs)...)
		helpers := map[int32]bool{}
		for _, h := range f.Helpers {
			if helpers[h.ID] {
				continue
			}
			helpers[h.ID] = true
			needs = append(needs, &Need{
				Kind: NeedHelper, Name: HelperName(h.ID), Value: int64(h.ID), Programs: programs, Func: f, Insn: h.Insn,
			})
		}
		externs := map[*Extern]bool{}
		for _, r := range f.Kfuncs {
			usedExtern[r.Extern] = true
			if externs[r.Extern] {
				continue
			}
			externs[r.Extern] = true
			n := r.Extern.need()
			n.Programs, n.Func, n.Insn = programs, f, r.Insn
			needs = append(needs, n)
		}
	}
	slices.SortStableFunc(needs, func(a, b *Need) int {
		return cmp.Or(cmp.Compare(a.Func.index, b.Func.index), cmp.Compare(a.Insn, b.Insn), cmp.Compare(needRank[a.Kind], needRank[b.Kind]),
			cmp.Compare(a.Name, b.Name))
	})
	users := map[*Map][]*Program{}
	use := func(p *Program, m *Map) {
		if u := users[m]; len(u) == 0 || u[len(u)-1] != p {
			users[m] = append(u, p)
		}
	}
	kconfig := slices.IndexFunc(o.Maps, func(m *Map) bool { return m.Section == ".kconfig" })
	for _, p := range o.Programs {
		for _, f := range p.Funcs {
			for _, r := range f.MapRefs {
				use(p, r.Map)
			}
			for _, r := range f.Kfuncs {
				if r.Extern.Kind == ExternKconfig {
					use(p, o.Maps[kconfig])
				}
			}
		}
	}
	for _, m := range o.Maps {
		needs = append(needs, m.needs(users[m])...)
	}
	for _, e := range o.Externs {
		if !usedExtern[e] {
			needs = append(needs, e.need())
		}
	}
	if len(o.Refused) > 0 {
		needs = append(needs, &Need{Kind: NeedLoader, Name: "other than libbpf 1.x", Detail: strings.Join(o.Refused, "; ")})
	}
	why := o.needsBTF()
	return append(needs, &Need{Kind: NeedBTF, Name: "BTF of the kernel", Detail: strings.Join(why, ", "), Weak: len(why) == 0})
}

// needsBTF says for what libbpf reads the kernel's BTF before it loads anything: obj_needs_vmlinux_btf of libbpf v1.7. Where
// that fails the object does not load.
func (o *Object) needsBTF() (why []string) {
	if len(o.Relos) > 0 {
		why = append(why, "CO-RE relocations")
	}
	if slices.ContainsFunc(o.Externs, func(e *Extern) bool { return e.Kind == ExternKfunc || e.Kind == ExternKsym && e.Typed }) {
		why = append(why, "typed kernel symbols")
	}
	if slices.ContainsFunc(o.Programs, func(p *Program) bool {
		return p.Sec.Autoload && (p.Sec.ProgType == "BPF_PROG_TYPE_STRUCT_OPS" || p.Sec.ProgType == "BPF_PROG_TYPE_LSM" || p.Sec.ProgType == "BPF_PROG_TYPE_TRACING")
	}) {
		why = append(why, "programs that attach by BTF")
	}
	if slices.ContainsFunc(o.Maps, func(m *Map) bool { return m.StructOps != "" }) {
		why = append(why, "struct_ops maps")
	}
	return why
}

// SetByLoader is the name of a program's type or target that its section does not tell.
const SetByLoader = "(set by the loader)"

// needs of the section: what bpf_program__load and bpf_program__attach of libbpf ask for.
func (p *Program) needs() []*Need {
	var needs []*Need
	add := func(kind NeedKind, name, detail string) {
		needs = append(needs, &Need{Kind: kind, Name: name, Detail: detail, Programs: []*Program{p}, Func: p.Entry})
	}
	if p.Sec.ProgType != "" {
		add(NeedProgType, p.Sec.ProgType, "")
	} else {
		add(NeedProgType, SetByLoader, "")
	}
	if p.Sec.AttachType != "" {
		add(NeedAttachType, p.Sec.AttachType, "")
	}
	switch {
	case p.Sec.Hook == HookStructOps: // the map decides
	case p.Sec.Target != "":
		add(NeedAttachTarget, p.Sec.Target, string(p.Sec.Hook))
	case p.Sec.NeedsBTFID:
		add(NeedAttachTarget, SetByLoader, string(p.Sec.Hook))
	}
	return needs
}

func (o *Object) reloNeed(r *Relo) *Need {
	n := &Need{Detail: r.Kind.String(), Weak: r.Kind.IsQuestion(), Func: r.Func, Insn: r.Insn, Relo: r}
	switch {
	case r.Kind.IsField():
		n.Kind = NeedField
	case r.Kind.IsType():
		n.Kind = NeedType
	default:
		n.Kind = NeedEnumValue
	}
	spec, err := o.Spec(r)
	switch {
	case err != nil: // libbpf refuses the object; the resolver tells why
		n.Name = fmt.Sprintf("type [%d] %s", r.Type, r.Access)
	case r.Kind == TypeIDLocal:
		return nil
	default:
		n.Name = spec.Path()
	}
	return n
}

func (e *Extern) need() *Need {
	n := &Need{Name: e.Name, Weak: e.Weak, Extern: e}
	switch e.Kind {
	case ExternKfunc:
		n.Kind = NeedKfunc
	case ExternKconfig:
		n.Kind = NeedKconfig
	default:
		n.Kind = NeedKsym
	}
	return n
}

func (m *Map) needs(programs []*Program) []*Need {
	needs := []*Need{{
		Kind: NeedMapType, Name: MapTypeName(m.Type), Detail: "map " + m.Name, Value: int64(m.Type), Programs: programs, Map: m,
	}}
	if m.Inner != nil {
		needs = append(needs, m.Inner.needs(programs)...)
	}
	if m.StructOps != "" {
		var fill []*Program
		for _, f := range m.Members {
			if f.Program != nil && !slices.Contains(fill, f.Program) {
				fill = append(fill, f.Program)
			}
		}
		needs = append(needs, &Need{Kind: NeedStructOps, Name: m.StructOps, Detail: "map " + m.Name, Programs: fill, Map: m})
	}
	return needs
}
