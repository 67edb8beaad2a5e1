package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var functionMissing = &Rule{
	Code:  "CC020",
	Name:  "function_missing",
	Title: "traced function does not exist",
	Doc: `fentry, fexit, fmod_ret and fsession programs are loaded with the BTF id of the function that they trace. Where the
kernel's BTF has no FUNC of exactly that name, libbpf fails the load (ESRCH). The function was removed or renamed, is
inlined everywhere, got a suffix from the compiler (.isra, .constprop), was left out by pahole (several functions of one
name with different prototypes; static functions before pahole 1.19), or belongs to a module that is not loaded.

Leave the program out where the function is missing and attach to something stable, a tracepoint first.
Source: find_kernel_btf_id in libbpf v1.7's libbpf.c; pahole's changes-v1.19 and btf_encoder.c.`,
	needs: targetNeeds,
	check: func(c *check, n *relocate.Need) {
		p, ok := target(n, relocate.HookBTFFunc)
		if !ok {
			return
		}
		name := p.Sec.Func
		if c.has(p.Sec.Module, name, btfinfo.KindFunc) {
			return
		}
		c.missingTarget(n, name, name, btfinfo.KindFunc, stageLoad, true, "function "+name+" in its BTF")
	},
}
