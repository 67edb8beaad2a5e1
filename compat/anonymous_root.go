package compat

import "github.com/corecheck/corecheck/relocate"

var anonymousRoot = &Rule{
	Code:  "CC006",
	Name:  "anonymous_root",
	Title: "relocation against a type without a name",
	Doc: `The relocation starts from a type without a name, so that there is nothing to look for in a kernel. libbpf fails
the load of the whole object on every kernel (EINVAL). A pointer to an anonymous struct does it, "typedef struct {
… } *event"; a typedef that names the struct itself can be found.

Give the struct a name.
Source: bpf_core_add_cands and bpf_core_resolve_relo in libbpf v1.7's libbpf.c.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r := c.result(n)
		if r == nil || r.Outcome != relocate.Fatal || r.Reason != relocate.ReasonAnonymousRoot {
			return
		}
		c.report(n, raw{
			verdict: Break,
			message: "the type has no name that a kernel's type could be found by: libbpf fails on every kernel",
			hint:    "give the struct or enum a name and compile again",
		})
	},
}
