package compat

import "github.com/corecheck/corecheck/relocate"

var loadSize = &Rule{
	Code:  "CC007",
	Name:  "load_size",
	Title: "the access can't be fitted to the field's size",
	Doc: `The program loads or stores the field directly, and the field has another size in the kernel. libbpf changes the
size of the instruction where both are pointers or unsigned integers of 1, 2, 4 or 8 bytes. For signed integers, enums
and structs it can't, and turns the instruction into an invalid call, which the verifier refuses if it can be reached;
for other sizes the load of the whole object fails (EINVAL).

Read the field with BPF_CORE_READ_BITFIELD_PROBED() or bpf_probe_read_kernel() into a variable of the field's size,
which bpf_core_field_size() tells.
Source: bpf_core_calc_relo and bpf_core_patch_insn in libbpf v1.7's relo_core.c.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r := c.result(n)
		if r == nil || !r.Mismatch && r.Reason != relocate.ReasonLoadSize {
			return
		}
		x := raw{
			verdict:    Break,
			message:    n.Name + " can't be accessed in the kernel's size: " + r.Detail,
			hint:       "read it with bpf_probe_read_kernel() into a variable of bpf_core_field_size() bytes",
			candidates: candidateLines(r),
		}
		switch {
		case r.Outcome == relocate.Poisoned && r.Mismatch:
			c.reportGuarded(n, x, c.rootName(r.Relo))
		case r.Outcome == relocate.Fatal && r.Reason == relocate.ReasonLoadSize:
			c.report(n, x)
		}
	},
}
