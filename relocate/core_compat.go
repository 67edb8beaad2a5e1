package relocate

import "github.com/corecheck/corecheck/btfinfo"

// TypesCompatible tells whether libbpf takes a type of the object for a type of the kernel where an extern is resolved:
// the prototype of a kfunc, the type of a kernel variable. Source: bpf_core_types_are_compat, called by
// bpf_object__resolve_ksym_func_btf_id and bpf_object__resolve_ksym_var_btf_id of libbpf v1.7.
func TypesCompatible(local *btfinfo.BTF, localID btfinfo.ID, target *btfinfo.BTF, targetID btfinfo.ID) bool {
	m := matcher{spec: &Spec{btf: local}, target: target, steps: maxSteps}
	return m.typesCompat(localID, targetID, maxTypeDepth) == yes
}
