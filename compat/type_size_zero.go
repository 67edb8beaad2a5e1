package compat

import "github.com/corecheck/corecheck/relocate"

var typeSizeZero = &Rule{
	Code:  "CC009",
	Name:  "type_size_zero",
	Title: "size or id of a missing type is 0",
	Doc: `The program asks for the size or the id of a type that the kernel does not have. libbpf answers 0 and the program
loads: it goes on with a size of 0 unless it compares.

Ask bpf_core_type_exists() first.
Source: bpf_core_calc_type_relo in libbpf v1.7's relo_core.c. cilium/ebpf refuses the instruction instead.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r := c.result(n)
		if r == nil || r.Outcome != relocate.Answered || r.Relo.Kind.IsQuestion() {
			return
		}
		word := c.rootWord(r.Relo)
		what := "size"
		if r.Relo.Kind == relocate.TypeIDTarget {
			what = "id"
		}
		for _, p := range n.Programs {
			if c.guards.about(c.guards.index[p], c.rootName(r.Relo)) != "" {
				return // a program that asks whether the type is there knows what 0 means
			}
		}
		c.report(n, raw{
			verdict:    Warn,
			message:    "the kernel has no " + word + ": its " + what + " is 0 to the program, which loads",
			hint:       "ask bpf_core_type_exists(" + word + ") before using the " + what,
			candidates: candidateLines(r),
		})
	},
}
