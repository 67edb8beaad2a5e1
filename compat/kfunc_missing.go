package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var kfuncMissing = &Rule{
	Code:  "CC034",
	Name:  "kfunc_missing",
	Title: "kfunc does not exist or can't be called",
	Doc: `The object calls a kernel function (kfunc). Where the kernel's BTF has no FUNC of that name, or one with another
prototype, a strong extern fails the load of the whole object, and a weak one leaves a call that the verifier refuses if
it can be reached. Where the kernel tags its kfuncs in BTF (pahole 1.27 and later), a FUNC without the tag is an
ordinary function and the verifier refuses the call. Where it does not tag them, BTF does not tell whether the function
may be called. No BTF tells for which program types it may.

Declare the kfunc __weak and guard the call with bpf_ksym_exists().
Source: bpf_object__resolve_ksym_func_btf_id in libbpf v1.7's libbpf.c; check_kfunc_call in kernel/bpf/verifier.c;
pahole's changes-v1.27 (decl_tag_kfuncs).`,
	needs: []relocate.NeedKind{relocate.NeedKfunc},
	check: func(c *check, n *relocate.Need) {
		name := btfinfo.EssentialName(n.Extern.Name)
		hint := "declare it __weak and guard the call with bpf_ksym_exists(" + n.Extern.Name + ")"
		at, ok := c.find("", name, btfinfo.KindFunc)
		if !ok {
			gone := raw{verdict: Break, message: "the kernel has no function " + name, hint: hint}
			if c.final(true) {
				c.unresolved(n, gone)
				return
			}
			c.unresolved(n, raw{verdict: Unknown,
				message: name + inNoVmlinux,
				hint:    hint, pending: builtName{btfinfo.KindFunc, name}, settled: &gone})
			return
		}
		if n.Extern.Type != 0 && !relocate.TypesCompatible(c.obj.BTF, n.Extern.Type, at.btf, at.typ.Ref()) {
			c.unresolved(n, raw{verdict: Break,
				message: "the kernel's " + name + " has another prototype than the object declares",
				hint:    "declare it as the kernel does ('corecheck btf show'), under a flavour name (" + name + "___new) where both are in use"})
			return
		}
		switch tagged, known := c.isKfunc(at); {
		case !known:
			c.report(n, raw{verdict: Unknown,
				message: "the kernel has a function " + name + ", but its BTF does not tag kfuncs (pahole before 1.27), so it does not tell whether BPF may call it",
				hint:    "guard the call with bpf_ksym_exists(), and try it on such a kernel"})
		case !tagged:
			c.report(n, raw{verdict: Break,
				message: "the kernel has a function " + name + ", but it is no kfunc there: BPF may not call it",
				hint:    hint})
		}
	},
}

// unresolved reports an extern that libbpf can't resolve: a strong one fails the whole object; a weak one becomes 0, or
// a call that the verifier refuses if it is reached.
func (c *check) unresolved(n *relocate.Need, r raw) {
	if !n.Extern.Weak {
		c.reportObject(n, r)
		return
	}
	for _, p := range n.Programs { // what no program reaches is not verified
		guard := ""
		if guardsExtern(p, n.Extern) {
			guard = "the program asks bpf_ksym_exists(" + n.Extern.Name + ")"
		} else {
			guard = c.ledPast(c.guards.index[p], n)
		}
		c.emit(n, c.guards.index[p], r.guardedBy(guard))
	}
}

// guardsExtern tells whether the program takes the address of the extern otherwise than to call it, as bpf_ksym_exists does.
func guardsExtern(p *relocate.Program, e *relocate.Extern) bool {
	for _, f := range p.Funcs {
		for _, k := range f.Kfuncs {
			if k.Extern == e && f.Insns[k.Insn].Code == ldimm64 {
				return true
			}
		}
	}
	return false
}

const ldimm64 = 0x18 // BPF_LD | BPF_IMM | BPF_DW
