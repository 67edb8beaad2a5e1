package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var structOpsMissing = &Rule{
	Code:  "CC025",
	Name:  "struct_ops_missing",
	Title: "struct_ops type does not fit",
	Doc: `A struct_ops map fills a struct of the kernel's with programs. The kernel must have struct NAME and struct
bpf_struct_ops_NAME with a member of that type, or the load of the whole object fails. A member that the object sets
and the kernel's struct lacks fails it too, unless its value is zero; where a program fills it, libbpf leaves that
program out and the rest works without it. Members of one name must be of one kind and, unless they are pointers, of one
size.

Switch the map off on such kernels (a "?" before the section name, or bpf_map__set_autocreate), or keep a second map
for them.
Source: find_struct_ops_kern_types and bpf_map__init_kern_struct_ops in libbpf v1.7's libbpf.c.`,
	needs: []relocate.NeedKind{relocate.NeedStructOps},
	check: func(c *check, n *relocate.Need) {
		m := n.Map
		if !m.Autoload {
			return // libbpf does not create it unless it is told to
		}
		hint := "switch map " + m.Name + " off on such kernels: SEC(\"?.struct_ops\") or bpf_map__set_autocreate(map, false)"
		// The struct may have a flavour in the object.
		name := btfinfo.EssentialName(m.StructOps)
		at, ok := c.find("", name, btfinfo.KindStruct)
		if ok {
			ok = c.has("", "bpf_struct_ops_"+name, btfinfo.KindStruct)
		}
		if !ok {
			gone := raw{verdict: Break, message: "the kernel has no struct_ops type " + name, hint: hint}
			if c.final(true) {
				c.reportObject(n, gone)
				return
			}
			c.reportObject(n, raw{verdict: Unknown,
				message: "struct_ops type " + name + inNoVmlinux,
				hint:    hint, pending: builtName{btfinfo.KindStruct, "bpf_struct_ops_" + name}, settled: &gone})
			return
		}
		for i := range m.Members {
			c.structOpsMember(n, at, &m.Members[i], hint)
		}
	},
}

// structOpsMember judges one member of a struct_ops map.
func (c *check) structOpsMember(n *relocate.Need, at place, m *relocate.OpsMember, hint string) {
	name := btfinfo.EssentialName(n.Map.StructOps)
	for i := range at.typ.Vlen() {
		k := at.typ.Member(i)
		if k.Name != m.Name {
			continue
		}
		ours, theirs := c.obj.BTF.Skip(m.Type), at.btf.Skip(k.Type)
		if ours.Kind() != theirs.Kind() {
			c.reportObject(n, raw{verdict: Break, hint: hint,
				message: "struct " + name + "." + m.Name + " is " + ours.Kind().String() + " in the object and " + theirs.Kind().String() + " in the kernel"})
			return
		}
		if ours.Kind() == btfinfo.KindPtr {
			return
		}
		a, okA := c.obj.BTF.SizeOf(m.Type)
		b, okB := at.btf.SizeOf(k.Type)
		if okA && okB && a != b {
			c.reportObject(n, raw{verdict: Break, hint: hint,
				message: "struct " + name + "." + m.Name + " has another size in the kernel than in the object"})
		}
		return
	}
	switch {
	case m.Program != nil:
		c.emit(n, c.guards.index[m.Program], raw{stage: stageAttach, verdict: Warn,
			message: "the kernel's struct " + name + " has no member " + m.Name + ": libbpf leaves the program out, and the rest works without it",
			hint:    "check that the feature works without this callback on such kernels"})
	case !m.Zero:
		c.reportObject(n, raw{verdict: Break, hint: "leave the member zero on such kernels",
			message: "the kernel's struct " + name + " has no member " + m.Name + ", and the object sets it"})
	}
}
