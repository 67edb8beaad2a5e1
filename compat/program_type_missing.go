package compat

import "github.com/corecheck/corecheck/relocate"

var programTypeMissing = &Rule{
	Code:  "CC032",
	Name:  "program_type_missing",
	Title: "program type does not exist",
	Doc: `The program's type is not in the kernel's enum bpf_prog_type: the load fails (EINVAL). The enum says what this
build knows; a type may still be compiled out.

Leave the program out on such kernels.
Source: bpf_prog_load in kernel/bpf/syscall.c; enum bpf_prog_type in include/uapi/linux/bpf.h.`,
	needs: []relocate.NeedKind{relocate.NeedProgType},
	check: func(c *check, n *relocate.Need) {
		switch lacks, unsure := c.lacks("bpf_prog_type", n.Name); {
		case unsure:
			c.report(n, noEnum("bpf_prog_type", n.Name, stageLoad))
		case lacks:
			c.report(n, raw{verdict: Break,
				message: "the kernel has no " + n.Name,
				hint:    "leave the program out on such kernels (bpf_program__set_autoload)"})
		}
	},
}
