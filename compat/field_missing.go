package compat

import "github.com/corecheck/corecheck/relocate"

var fieldMissing = &Rule{
	Code:  "CC001",
	Name:  "field_missing",
	Title: "field does not exist",
	Doc: `The program reads a field that the kernel's type does not have under that name. libbpf turns the instruction into
an invalid call ("invalid func unknown#195896080"), which the verifier refuses if it can be reached: the program does
not load. A field that moved into or out of an anonymous struct or union is found; one that moved into a named member,
or got another name, is not.

Read the new field through a flavour of the type (struct request___new), chosen by bpf_core_field_exists().
Source: bpf_core_match_member and bpf_core_poison_insn in libbpf v1.7's relo_core.c.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r, root := c.poisoned(n)
		if r == nil || !r.Relo.Kind.IsField() || len(r.Candidates) == 0 || hasReason(r, relocate.ReasonIncompatible) {
			return
		}
		known := knownChange(n.Kind, n.Name)
		hint := known
		if known == "" {
			hint = "find what replaced it with 'corecheck btf show', and choose between the two with bpf_core_field_exists()"
		}
		c.reportGuarded(n, raw{
			verdict:    Break,
			message:    "the kernel has no " + n.Name,
			hint:       hint,
			suggest:    known == "",
			candidates: candidateLines(r),
		}, root)
	},
}
