package boot

import (
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// maxOwners is in how many modules a name may be for all of them to be inserted; of more, these are the first.
const maxOwners = 4

// name is something that objects look for in a kernel's BTF.
type name struct {
	kind btfinfo.Kind
	name string
}

func (n name) kinds() []btfinfo.Kind {
	if n.kind.IsEnum() {
		return []btfinfo.Kind{btfinfo.KindEnum, btfinfo.KindEnum64}
	}
	return []btfinfo.Kind{n.kind}
}

// namesOf lists the names that an object looks for in a kernel's BTF, and the modules that it names itself.
func namesOf(o *relocate.Object) (names []name, modules []string) {
	add := func(kind btfinfo.Kind, s string) {
		if s != "" {
			names = append(names, name{kind, s})
		}
	}
	for _, p := range o.Programs {
		if m := p.Sec.Module; m != "" && m != "vmlinux" {
			modules = append(modules, m)
			continue
		}
		target := p.Sec.Func
		switch p.Sec.Hook {
		case relocate.HookFunction, relocate.HookBTFFunc:
			add(btfinfo.KindFunc, target)
		case relocate.HookTracepoint, relocate.HookRawTP, relocate.HookBTFTP:
			if target != "" {
				add(btfinfo.KindTypedef, "btf_trace_"+target)
			}
		case relocate.HookIter:
			if target != "" {
				add(btfinfo.KindFunc, "bpf_iter_"+target)
			}
		}
	}
	for _, e := range o.Externs {
		switch {
		case e.Kind == relocate.ExternKfunc:
			add(btfinfo.KindFunc, btfinfo.EssentialName(e.Name))
		case e.Kind == relocate.ExternKsym && e.Typed:
			add(btfinfo.KindVar, e.Name)
		}
	}
	for _, m := range o.Maps {
		add(btfinfo.KindStruct, m.StructOps)
	}
	for _, r := range o.Relos { // libbpf looks for a root type in modules where vmlinux has none of its name: bpf_core_find_cands
		if r.Kind == relocate.TypeIDLocal || o.BTF == nil || int64(r.Type) >= int64(o.BTF.NumTypes()) {
			continue
		}
		t := o.BTF.Type(r.Type)
		add(t.Kind(), btfinfo.EssentialName(t.Name()))
	}
	slices.SortFunc(names, func(a, b name) int {
		if a.kind != b.kind {
			return int(a.kind) - int(b.kind)
		}
		return strings.Compare(a.name, b.name)
	})
	return slices.Compact(names), modules
}

// modulesFor lists the modules that a kernel needs for names that its vmlinux does not have, sorted: those that have them, or,
// where the BTF of its modules is not known, those that have them in kernels of reference with the same architecture. A
// kernel that can't be read needs none: its run says so.
func modulesFor(k *kernels.Kernel, names []name, reference []*kernels.Kernel) []string {
	var out []string
	var elsewhere []name
	pool := kernels.NewPool([]*kernels.Kernel{k})
	v := pool.NewView()
	v.Classes(kernels.Full(1), func() {
		out, elsewhere = nil, nil
		for _, n := range names {
			if len(v.BTF().Named(n.name, n.kinds()...)) > 0 {
				continue
			}
			var owners []string
			v.ModuleTypes(btfinfo.EssentialName(n.name), func(module string, t btfinfo.Type) bool {
				if t.Name() == n.name && slices.Contains(n.kinds(), t.Kind()) && !slices.Contains(owners, module) {
					owners = append(owners, module)
				}
				return true
			})
			if len(owners) == 0 && !v.HasModules() {
				elsewhere = append(elsewhere, n)
			}
			out = append(out, few(owners)...)
		}
	}, func(kernels.Set) {})
	if v.Err(0) != nil {
		return nil
	}
	if len(elsewhere) > 0 {
		var like []*kernels.Kernel
		for _, r := range reference {
			if r.Arch == k.Arch {
				like = append(like, r)
			}
		}
		pool := kernels.NewPool(like)
		for _, n := range elsewhere {
			var owners []string
			for _, kind := range n.kinds() {
				owners = append(owners, pool.ModulesHaving(kind, n.name)...)
			}
			out = append(out, few(owners)...)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// few are the first of the modules that have a name, in the order of names.
func few(owners []string) []string {
	slices.Sort(owners)
	owners = slices.Compact(owners)
	return owners[:min(len(owners), maxOwners)]
}
