package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var lsmHookMissing = &Rule{
	Code:  "CC023",
	Name:  "lsm_hook_missing",
	Title: "LSM hook does not exist",
	Doc: `LSM programs are loaded with the BTF id of the function bpf_lsm_HOOK. Where it is missing, the load fails: the
hook was added later, renamed or removed, or the kernel was built without CONFIG_BPF_LSM, in which case it has no such
function at all. Whether "bpf" is in the list of active LSMs is the running system's to say; without it the program
loads and never runs.

Leave the program out where the hook is missing.
Source: libbpf_find_attach_btf_id in libbpf v1.7's libbpf.c; kernel/bpf/bpf_lsm.c.`,
	needs: targetNeeds,
	check: func(c *check, n *relocate.Need) {
		p, ok := target(n, relocate.HookLSM)
		if !ok {
			return
		}
		if _, ok := c.find(p.Sec.Module, "bpf_lsm_"+p.Sec.Func, btfinfo.KindFunc); ok {
			return
		}
		msg, hint := "the kernel has no LSM hook "+p.Sec.Func, "leave the program out on such kernels (bpf_program__set_autoload)"
		if !c.hasPrefix(btfinfo.KindFunc, "bpf_lsm_") {
			msg = "the kernel was built without LSM programs: its BTF has no bpf_lsm_ functions"
			hint = "such a kernel needs CONFIG_BPF_LSM=y; leave the program out there"
		}
		c.report(n, raw{stage: stageLoad, verdict: Break, message: msg, hint: hint})
	},
}
