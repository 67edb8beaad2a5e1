package load

import (
	"fmt"
	"syscall"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// opsTarget is the member of a kernel struct that a struct_ops program fills.
type opsTarget struct {
	id     btfinfo.ID // of the struct
	mod    *module    // that has it, nil: the kernel itself
	member uint32     // index: the program's expected_attach_type
}

// opsSlot is where a program goes in the value of a struct_ops map.
type opsSlot struct {
	off  uint32 // bytes
	prog *relocate.Program
}

// resolveStructOps makes struct_ops maps and the programs in them fit the kernel's structs:
// bpf_object__init_kern_struct_ops_maps and bpf_object_adjust_struct_ops_autoload of libbpf v1.7.
func (p *plan) resolveStructOps() error {
	used := map[*relocate.Program]bool{} // whether a map that is created has it
	for _, m := range p.maps {
		if m.StructOps == "" {
			continue
		}
		if m.create {
			if err := p.resolveOps(m); err != nil {
				e := asError(err, StageReloc)
				e.Map = m.Name
				return e
			}
		}
		for _, f := range m.Members {
			if f.Program != nil {
				used[f.Program] = used[f.Program] || m.create
			}
		}
	}
	for _, prog := range p.o.Programs {
		if create, ok := used[prog]; ok && prog.Sec.ProgType == "BPF_PROG_TYPE_STRUCT_OPS" {
			p.selected[prog] = create
		}
	}
	return nil
}

// resolveOps is find_struct_ops_kern_types and bpf_map__init_kern_struct_ops of libbpf v1.7.
func (p *plan) resolveOps(m *mapPlan) error {
	outer := "bpf_struct_ops_" + m.StructOps
	outerID, b, mod, err := p.k.findKsym(outer, btfinfo.KindStruct)
	if err != nil {
		return err
	}
	if outerID == 0 {
		return problemf(syscall.ESRCH, "the kernel has no struct %s", outer)
	}
	ids := b.Named(m.StructOps, btfinfo.KindStruct)
	if len(ids) == 0 {
		return problemf(syscall.ENOENT, "the kernel has no struct %s", m.StructOps)
	}
	kern, kernOuter, data := b.Type(ids[0]), b.Type(outerID), -1
	for i := range kernOuter.Vlen() {
		if kernOuter.Member(i).Type == kern.ID() {
			data = int(kernOuter.Member(i).Off.Bytes())
			break
		}
	}
	if data < 0 {
		return problemf(syscall.EINVAL, "struct %s of the kernel does not hold a struct %s", outer, m.StructOps)
	}
	m.valueSize, m.vmlinuxValue, m.mod = kernOuter.Size(), outerID, mod
	m.ops = make([]byte, kernOuter.Size())
	local := p.o.BTF.Type(m.ValueType)
	for i, f := range m.Members {
		if err := p.resolveOpsMember(m, f, local.Member(i), b, kern, data); err != nil {
			return err
		}
	}
	return nil
}

// resolveOpsMember fits one member into the kernel's struct, which lies at byte data of the map's value.
func (p *plan) resolveOpsMember(m *mapPlan, f relocate.OpsMember, local btfinfo.Member, b *btfinfo.BTF, kern btfinfo.Type, data int) error {
	fail := func(errno syscall.Errno, format string, args ...any) error {
		return problemf(errno, "member %s: %s", f.Name, fmt.Sprintf(format, args...))
	}
	size, ok := p.o.BTF.SizeOf(f.Type)
	if !ok {
		return fail(syscall.EINVAL, "its type has no size")
	}
	index := 0
	for index < kern.Vlen() && kern.Member(index).Name != f.Name {
		index++
	}
	if index == kern.Vlen() {
		if f.Zero {
			return nil
		}
		return fail(syscall.ENOTSUP, "struct %s of the kernel has none of that name, and it is not zero", m.StructOps)
	}
	member := kern.Member(index)
	if local.Size != 0 || member.Size != 0 {
		return fail(syscall.ENOTSUP, "it is a bitfield")
	}
	mine, theirs := p.o.BTF.Skip(f.Type), b.Skip(member.Type)
	if mine.Kind() != theirs.Kind() {
		return fail(syscall.ENOTSUP, "it is %s, in the kernel %s", mine.Kind(), theirs.Kind())
	}
	at := data + int(member.Off.Bytes())
	if mine.Kind() == btfinfo.KindPtr {
		if f.Program == nil {
			return nil
		}
		if f.Program.Sec.ProgType != "BPF_PROG_TYPE_STRUCT_OPS" {
			return fail(syscall.ENOTSUP, "program %s is no struct_ops program", f.Program.Name)
		}
		if b.Skip(theirs.Ref()).Kind() != btfinfo.KindFuncProto {
			return fail(syscall.ENOTSUP, "it is no pointer to a function in the kernel")
		}
		if t := p.ops[f.Program]; t == nil {
			p.ops[f.Program] = &opsTarget{id: kern.ID(), mod: m.mod, member: uint32(index)}
		} else if t.id != kern.ID() || t.member != uint32(index) {
			return fail(syscall.EINVAL, "program %s fills another member as well", f.Program.Name)
		}
		m.opsSlots = append(m.opsSlots, opsSlot{uint32(at), f.Program})
		return nil
	}
	if kernSize, ok := b.SizeOf(theirs.ID()); !ok || kernSize != size {
		return fail(syscall.ENOTSUP, "it has %d bytes, in the kernel %d", size, kernSize)
	}
	from := int(local.Off.Bytes())
	if from+int(size) <= len(m.Content) && at+int(size) <= len(m.ops) {
		copy(m.ops[at:], m.Content[from:from+int(size)])
	}
	return nil
}
