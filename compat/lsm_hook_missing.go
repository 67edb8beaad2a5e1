package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var lsmHookMissing = &Rule{
	Code:  "CC023",
	Name:  "lsm_hook_missing",
	Title: "LSM hook is not there for BPF",
	Doc: `LSM programs are loaded with the BTF id of the function bpf_lsm_HOOK. Where it is missing, the load fails: the
hook was added later, renamed or removed, or the kernel was built without CONFIG_BPF_LSM, in which case it has no such
function at all. Since v6.12 the kernel also refuses some hooks, of which a BPF program could return what their
callers can't take; BTF does not list them, so that is judged by the version number. Whether "bpf" is in the list of
active LSMs is the running system's to say; without it the program loads and never runs.

Leave the program out where the hook is missing.
Source: libbpf_find_attach_btf_id in libbpf v1.7's libbpf.c; kernel/bpf/bpf_lsm.c
(bpf_lsm_disabled_hooks).`,
	needs: targetNeeds,
	check: func(c *check, n *relocate.Need) {
		p, ok := target(n, relocate.HookLSM)
		if !ok {
			return
		}
		if c.has(p.Sec.Module, "bpf_lsm_"+p.Sec.Func, btfinfo.KindFunc) {
			c.lsmOff(n, p.Sec.Func)
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

// lsmOff reports hooks that are switched off for BPF. Updates of the releases before may have the list too; those of 6.1
// do not.
func (c *check) lsmOff(n *relocate.Need, hook string) {
	const hint = "leave the program out on such kernels (bpf_program__set_autoload), and use a hook that is called nearby"
	since, off := lsmOff[hook]
	switch {
	case !off:
	case !c.mayPredate(since.Major, since.Minor):
		c.report(n, raw{stage: stageLoad, verdict: Break, hint: hint,
			message: "the kernel refuses BPF programs at the LSM hook " + hook + " (since v" + since.String() + ", by the version number)"})
	case !c.versionKnown() || !c.mayPredate(6, 2):
		c.report(n, raw{stage: stageLoad, verdict: Unknown, hint: hint,
			message: "kernels since v" + since.String() + " refuse BPF programs at the LSM hook " + hook + ", and BTF does not tell whether this one does"})
	}
}
