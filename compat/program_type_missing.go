package compat

import "github.com/corecheck/corecheck/relocate"

var programTypeMissing = &Rule{
	Code:  "CC032",
	Name:  "program_type_missing",
	Title: "program type does not exist",
	Doc: `The program's type is not in the kernel's enum bpf_prog_type, or is there but not compiled in: the load fails
(EINVAL). Which types are compiled in is read from struct bpf_ctx_convert, which has a member for each of them.

Leave the program out on such kernels, or build the kernel with what the type needs (CONFIG_BPF_LIRC_MODE2,
CONFIG_BPF_LSM …).
Source: find_prog_type in kernel/bpf/syscall.c; struct bpf_ctx_convert in kernel/bpf/btf.c; enum bpf_prog_type in
include/uapi/linux/bpf.h.`,
	needs: []relocate.NeedKind{relocate.NeedProgType},
	check: func(c *check, n *relocate.Need) {
		if n.Name == relocate.SetByLoader {
			return // target_unset
		}
		switch lacks, unsure := c.lacks("bpf_prog_type", n.Name); {
		case unsure:
			c.report(n, noEnum("bpf_prog_type", n.Name, stageLoad))
		case lacks:
			c.report(n, raw{verdict: Break,
				message: "the kernel has no " + n.Name,
				hint:    "leave the program out on such kernels (bpf_program__set_autoload)"})
		case c.structHas("bpf_ctx_convert", "") && !c.structHas("bpf_ctx_convert", n.Name+"_prog"):
			c.report(n, raw{verdict: Break,
				message: "the kernel knows " + n.Name + ", but was built without it",
				hint:    "leave the program out on such kernels (bpf_program__set_autoload), or have the option of the type switched on"})
		}
	},
}
