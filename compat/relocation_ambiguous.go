package compat

import "github.com/corecheck/corecheck/relocate"

var relocationAmbiguous = &Rule{
	Code:  "CC005",
	Name:  "relocation_ambiguous",
	Title: "several kernel types disagree",
	Doc: `The kernel has several types of that name, more than one fits, and they give different answers: libbpf does not
choose, and the load of the whole object fails (EINVAL). No guard helps, since libbpf fails before the verifier sees the
program; only leaving the program out does (autoload off).

Declare more members in the local type's flavour, so that only the type that is meant fits the fields that are read.
Source: bpf_core_calc_relo_insn in libbpf v1.7's relo_core.c.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r := c.result(n)
		if r == nil || r.Outcome != relocate.Ambiguous {
			return
		}
		c.report(n, raw{
			verdict:    Break,
			message:    n.Name + " is ambiguous: " + r.Detail,
			hint:       "read another field of " + c.rootWord(r.Relo) + " first that only the type you mean has: libbpf then drops the others",
			candidates: candidateLines(r),
		})
	},
}
