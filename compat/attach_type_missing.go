package compat

import "github.com/corecheck/corecheck/relocate"

// checkedAtLoad are the program types whose expected attach type the kernel holds against a list when the program is
// loaded; of the others an unknown one is noticed at attach. Source: bpf_prog_load_check_attach in
// kernel/bpf/syscall.c and bpf_check_attach_target in kernel/bpf/verifier.c.
var checkedAtLoad = map[string]bool{
	"BPF_PROG_TYPE_CGROUP_SOCK":      true,
	"BPF_PROG_TYPE_CGROUP_SOCK_ADDR": true,
	"BPF_PROG_TYPE_CGROUP_SKB":       true,
	"BPF_PROG_TYPE_CGROUP_SOCKOPT":   true,
	"BPF_PROG_TYPE_SK_LOOKUP":        true,
	"BPF_PROG_TYPE_NETFILTER":        true,
	"BPF_PROG_TYPE_TRACING":          true,
	"BPF_PROG_TYPE_LSM":              true,
}

var attachTypeMissing = &Rule{
	Code:  "CC033",
	Name:  "attach_type_missing",
	Title: "attach type does not exist",
	Doc: `The program's section asks for an attach type that the kernel's enum bpf_attach_type does not have. Tracing, LSM,
netfilter, socket lookup and the typed cgroup programs then fail to load (EINVAL); others load and fail to attach.
Some have another way in that does not ask for the type: XDP programs are attached by netlink on kernels without
BPF_XDP (before v5.9), SEC("tc/ingress") by bpf_tc_attach() where there is no tcx, and sk_reuseport programs by a socket
option; of these only what is lost is reported.

Leave the program out on such kernels, or attach it the older way.
Source: bpf_prog_load_check_attach in kernel/bpf/syscall.c; enum bpf_attach_type in include/uapi/linux/bpf.h.`,
	needs: []relocate.NeedKind{relocate.NeedAttachType},
	check: func(c *check, n *relocate.Need) {
		p := n.Programs[0]
		st := stageAttach
		if checkedAtLoad[p.Sec.ProgType] && !p.Sec.AttachTypeOpt {
			st = stageLoad
		}
		switch lacks, unsure := c.lacks("bpf_attach_type", n.Name); {
		case unsure:
			c.report(n, noEnum("bpf_attach_type", n.Name, st))
		case lacks && (n.Name == "BPF_XDP" || n.Name == "BPF_SK_REUSEPORT_SELECT"):
			// Kernels without the type attach without it: bpf_xdp_attach, SO_ATTACH_REUSEPORT_EBPF.
		case lacks && n.Name == "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE":
			c.report(n, raw{stage: stageAttach, verdict: Warn,
				message: "the kernel has no " + n.Name + ": the program selects sockets, and is not asked when connections migrate",
				hint:    "check that the service works without migration on such kernels"})
		case lacks && (p.Sec.Name == "tc/ingress" || p.Sec.Name == "tc/egress"):
			c.report(n, raw{stage: stageAttach, verdict: Unknown,
				message: "the kernel has no " + n.Name + ": it depends on the loader, since bpf_tc_attach() attaches the program and bpf_program__attach_tcx() does not",
				hint:    "attach with bpf_tc_attach() on such kernels"})
		case lacks:
			c.report(n, raw{stage: st, verdict: Break,
				message: "the kernel has no " + n.Name,
				hint:    "leave the program out on such kernels (bpf_program__set_autoload), or attach it the older way"})
		}
	},
}
