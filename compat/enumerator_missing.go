package compat

import "github.com/corecheck/corecheck/relocate"

var enumeratorMissing = &Rule{
	Code:  "CC003",
	Name:  "enumerator_missing",
	Title: "enumerator does not exist",
	Doc: `The program takes the value of an enumerator that the kernel's enum does not have. libbpf turns the instruction
into an invalid call, which the verifier refuses if it can be reached. An enumerator that moved to an enum of another
name counts as missing.

Ask bpf_core_enum_value_exists() first.
Source: bpf_core_spec_match in libbpf v1.7's relo_core.c.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r, root := c.poisoned(n)
		if r == nil || !r.Relo.Kind.IsEnumval() || len(r.Candidates) == 0 {
			return
		}
		hint := knownChange(n.Kind, n.Name)
		known := hint != ""
		if !known {
			hint = "guard it with bpf_core_enum_value_exists(" + c.rootWord(r.Relo) + ", …)"
		}
		c.reportGuarded(n, raw{
			verdict:    Break,
			message:    "the kernel has no " + n.Name,
			hint:       hint,
			suggest:    !known,
			candidates: candidateLines(r),
		}, root)
	},
}
