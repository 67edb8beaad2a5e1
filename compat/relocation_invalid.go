package compat

import "github.com/corecheck/corecheck/relocate"

var relocationInvalid = &Rule{
	Code:  "CC008",
	Name:  "relocation_invalid",
	Title: "relocation can't be applied",
	Doc: `libbpf fails the load of the whole object, since the record makes no sense or its result does not fit the
instruction: an access path that the object's own BTF does not have, an instruction of a class that can't be patched or
that does not hold the value which the object's BTF gives (a stripped or post-processed object), an offset above 32767
in a load or store, a bitfield that no aligned load of up to 8 bytes covers.

Compile the object again from source. For an offset that is too large, take the field's address and read through it.
Source: bpf_core_parse_spec, bpf_core_calc_field_relo and bpf_core_patch_insn in libbpf v1.7's relo_core.c.`,
	needs: relocationNeeds,
	check: func(c *check, n *relocate.Need) {
		r := c.result(n)
		if r == nil || r.Outcome != relocate.Fatal {
			return
		}
		hint := "compile the object again; if it was linked or stripped by a tool, do without"
		switch r.Reason {
		case relocate.ReasonAnonymousRoot, relocate.ReasonLoadSize:
			return // rules of their own
		case relocate.ReasonRange:
			hint = "take the field's address with bpf_core_field_offset() or &p->field and read through that"
		case relocate.ReasonBitfield:
			hint = "no load covers this bitfield on that kernel; read the bytes around it with bpf_probe_read_kernel()"
		}
		c.report(n, raw{
			verdict:    Break,
			message:    "the relocation of " + n.Name + " can't be applied: " + r.Detail,
			hint:       hint,
			candidates: candidateLines(r),
		})
	},
}
