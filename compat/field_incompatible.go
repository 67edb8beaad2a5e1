package compat

import (
	"strings"

	"github.com/corecheck/corecheck/relocate"
)

var fieldIncompatible = &Rule{
	Code:  "CC004",
	Name:  "field_incompatible",
	Title: "field has an incompatible type",
	Doc: `The kernel's type has a field of that name, but of a kind that CO-RE does not take for the same: an integer became
a struct (atomic_t, kuid_t), a pointer became an integer, an array became a plain member. libbpf treats it as missing
and turns the instruction into an invalid call, which the verifier refuses if it can be reached. Integers of any size
and sign, any two pointers, and struct and union are compatible.

Read it through a flavour with the new type, chosen by bpf_core_field_exists(): a flavour of the wrong type does not
exist.
Source: bpf_core_fields_are_compat in libbpf v1.7's relo_core.c.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r, root := c.poisoned(n)
		if r == nil || !r.Relo.Kind.IsField() || !hasReason(r, relocate.ReasonIncompatible) {
			return
		}
		var why []string
		for i := range r.Candidates {
			if r.Candidates[i].Reason == relocate.ReasonIncompatible {
				why = append(why, r.Candidates[i].Detail)
			}
		}
		hint := knownChange(n.Kind, n.Name)
		if hint == "" {
			hint = "read it through a flavour of " + c.rootWord(r.Relo) + " that declares the field with the kernel's type"
		}
		c.reportGuarded(n, raw{
			verdict:    Break,
			message:    n.Name + " has another type in the kernel: " + strings.Join(why, "; "),
			hint:       hint,
			candidates: candidateLines(r),
		}, root)
	},
}
