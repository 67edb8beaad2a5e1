package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var ksymMissing = &Rule{
	Code:  "CC035",
	Name:  "ksym_missing",
	Title: "kernel symbol is not there",
	Doc: `The object takes the address of a kernel variable. A typed one (per-CPU variables, mostly) is found as VAR in the
kernel's BTF. Where it is missing, a strong extern fails the load of the whole object and a weak one is 0; where it
is of another type, both fail it. An untyped one ("const void") is looked up in kallsyms, which the archive does
not have yet: a strong one is unknown, a weak one can't fail.

Declare it __weak and compare it with 0 (bpf_ksym_exists).
Source: bpf_object__resolve_ksym_var_btf_id and bpf_object__resolve_externs in libbpf v1.7's libbpf.c.`,
	needs: []relocate.NeedKind{relocate.NeedKsym},
	check: func(c *check, n *relocate.Need) {
		e := n.Extern
		if e.Weak && !e.Typed {
			return
		}
		hint := "declare it __weak and use it only where bpf_ksym_exists(" + e.Name + ")"
		if !e.Typed {
			c.reportObject(n, raw{verdict: Unknown,
				message: "whether the kernel has a symbol " + e.Name + " is in its symbol table only, which the archive does not have",
				hint:    hint})
			return
		}
		at, ok := c.find("", e.Name, btfinfo.KindVar)
		switch {
		case ok && !relocate.TypesCompatible(c.obj.BTF, e.Type, at.btf, at.typ.Ref()):
			c.reportObject(n, raw{verdict: Break,
				message: "the kernel's variable " + e.Name + " has another type than the object declares",
				hint:    "declare it with the kernel's type ('corecheck btf show'), whole: a forward declaration does not do"})
		case ok, e.Weak:
		case c.final(true):
			c.reportObject(n, raw{verdict: Break, message: "the kernel's BTF has no variable " + e.Name, hint: hint})
		default:
			c.reportObject(n, raw{verdict: Unknown,
				message: "variable " + e.Name + inNoVmlinux,
				hint:    hint,
				pending: builtName{btfinfo.KindVar, e.Name},
				settled: &raw{verdict: Break, message: "the kernel's BTF has no variable " + e.Name, hint: hint}})
		}
	},
}
