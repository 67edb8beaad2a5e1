package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var targetNeeds = []relocate.NeedKind{relocate.NeedAttachTarget}

// target returns the program of an attach need if its target is of this kind and makes sense.
func target(n *relocate.Need, hook relocate.Hook) (*relocate.Program, bool) {
	p := n.Programs[0]
	return p, p.Sec.Hook == hook && p.Sec.Err == ""
}

// missingTarget reports that a target which libbpf finds by BTF, or the kernel in a table of its own, is not in
// vmlinux nor in the modules at hand.
func (c *check) missingTarget(n *relocate.Need, name, btfName string, kind btfinfo.Kind, st stage, needBTF bool, what string) {
	sec := n.Programs[0].Sec
	hint := knownChange(relocate.NeedAttachTarget, name)
	if hint == "" {
		hint = "on such kernels leave the program out (SEC(\"?" + sec.Name + "/" + sec.Target + "\") or bpf_program__set_autoload) and attach to something that is there"
	}
	gone := raw{stage: st, verdict: Break, message: "the kernel has no " + what, hint: hint}
	if c.final(needBTF) || sec.Module == "vmlinux" || sec.Module != "" && c.v.HasModule(sec.Module) {
		c.report(n, gone)
		return
	}
	if sec.Module != "" && sec.Module != "vmlinux" {
		c.report(n, raw{stage: st, verdict: Unknown,
			message: what + " is asked of module " + sec.Module + ", and there is no module BTF of this kernel",
			hint:    "add the kernel with its modules (corecheck kernels add), or check a running system that has the module with --host"})
		return
	}
	c.report(n, raw{stage: st, verdict: Unknown,
		message: what + inNoVmlinux,
		hint:    "check the spelling; if a module has it, add the kernel with its modules (corecheck kernels add), or check a running system that has it loaded with --host",
		pending: builtName{kind, btfName},
		settled: &gone,
	})
}
