package compat

import (
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var programFlagUnconfirmed = &Rule{
	Code:  "CC037",
	Name:  "program_flag_unconfirmed",
	Title: "the kernel may not take the program's flag",
	Doc: `The section asks for a sleepable program (.s) or one for multi-buffer packets (.frags), and the kernel refuses the
load where it does not take the flag (EINVAL). Multi-buffer XDP is there where struct bpf_prog_aux has xdp_has_frags.
Sleepable fentry, fexit, fmod_ret and fsession programs are for functions open to error injection, and sleepable LSM
programs for hooks that may sleep; BTF lists neither. Only of system calls it is known: they are open where the kernel
was built with CONFIG_FUNCTION_ERROR_INJECTION, or is of v7.1 or later.
Sleepable kprobes (uprobe.s, usdt.s) came with v6.0; for older kernels that is judged by the version number, and a
distro may have them earlier. Sleepable tracepoints are newer than all that is known here.

Where it is in doubt, try it on the kernel ("is not sleepable" in the log), or do without sleeping.
Source: check_attach_btf_id and bpf_check_attach_target in kernel/bpf/verifier.c; Linux commits 8c7dcb84e3b7 ("bpf:
implement sleepable uprobes by chaining gps") in v6.0 and c2f2cdbeffda ("bpf: introduce BPF_F_XDP_HAS_FRAGS flag in
prog_flags loading the ebpf program") in v5.18.`,
	needs: []relocate.NeedKind{relocate.NeedProgType},
	check: func(c *check, n *relocate.Need) {
		sec := n.Programs[0].Sec
		if sec.XDPFrags && c.structHas("bpf_prog_aux", "") && !c.structHas("bpf_prog_aux", "xdp_has_frags") {
			c.report(n, raw{verdict: Break,
				message: "the kernel has no multi-buffer XDP (BPF_F_XDP_HAS_FRAGS)",
				hint:    "load the program as SEC(\"xdp\") on such kernels (bpf_program__set_flags)"})
		}
		if !sec.Sleepable {
			return
		}
		unsure := func(why string) {
			c.report(n, raw{verdict: Unknown, message: "whether the program may be sleepable is not known: " + why,
				hint: "try it on such a kernel, or attach without .s and don't sleep"})
		}
		switch sec.ProgType {
		case "BPF_PROG_TYPE_TRACING":
			switch {
			case sec.Hook == relocate.HookBTFFunc && systemCall(sec.Func):
				open, unsure := c.openSyscall(sec.Func)
				there := c.has(sec.Module, sec.Func, btfinfo.KindFunc)       // else function_missing says so
				if !open && there && sec.AttachType != "BPF_MODIFY_RETURN" { // of which function_untraceable tells
					c.report(n, c.closedSyscall(unsure))
				}
			case sec.Hook == relocate.HookBTFFunc:
				unsure(sec.Func + " must be open to error injection, and BTF does not say which functions are")
			case sec.Hook == relocate.HookBTFTP, strings.Contains(sec.Name, ".multi"):
				unsure("tracepoints and many functions at once are newer than what BTF tells of")
			}
		case "BPF_PROG_TYPE_LSM":
			if sec.Target != "" {
				unsure("hook " + sec.Target + " must be one that may sleep, and BTF does not say which may")
			}
		case "BPF_PROG_TYPE_KPROBE":
			if c.mayPredate(6, 0) {
				unsure("sleepable kprobes came with v6.0 (by the version number; BTF does not tell whether this kernel has them)")
			}
		case "BPF_PROG_TYPE_TRACEPOINT", "BPF_PROG_TYPE_RAW_TRACEPOINT":
			unsure("sleepable tracepoints are newer than what BTF tells of")
		}
	},
}
