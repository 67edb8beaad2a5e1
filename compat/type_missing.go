package compat

import "github.com/corecheck/corecheck/relocate"

var typeMissing = &Rule{
	Code:  "CC002",
	Name:  "type_missing",
	Title: "type does not exist",
	Doc: `The kernel has no type of that kind and name (flavours aside), so nothing in it can be read. libbpf turns each
such instruction into an invalid call, which the verifier refuses if it can be reached. A struct that the kernel only
has as a typedef of an anonymous struct counts as missing, and so does one that only a module has, where the module is
not loaded.

Ask bpf_core_type_exists() first, or define the type in a flavour that fits.
Source: bpf_core_find_cands in libbpf v1.7's libbpf.c.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r, root := c.poisoned(n)
		if r == nil || len(r.Candidates) > 0 {
			return
		}
		word := c.rootWord(r.Relo)
		kind := c.obj.BTF.Type(r.Relo.Type).Kind()
		hint := knownChange(relocate.NeedType, word)
		known := hint != ""
		if !known {
			hint = "guard the access with bpf_core_type_exists(" + word + ")"
		}
		gone := raw{
			verdict: Break,
			message: "the kernel has no " + word,
			hint:    hint,
			suggest: !known,
		}
		if c.final(true) {
			c.reportGuarded(n, gone, root)
			return
		}
		c.reportGuarded(n, raw{
			verdict: Unknown,
			message: word + inNoVmlinux,
			hint:    "if a module defines it, the program works where that module is loaded; guard the access with bpf_core_type_exists(" + word + ")",
			pending: builtName{kind, root},
			settled: &gone,
		}, root)
	},
}
