package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var iteratorMissing = &Rule{
	Code:  "CC024",
	Name:  "iterator_missing",
	Title: "BPF iterator does not exist",
	Doc: `Iterator programs are loaded with the BTF id of the function bpf_iter_NAME. Where it is missing, the load fails:
the iterator was added later, or what it iterates over is not compiled in.

Leave the program out where the iterator is missing.
Source: libbpf_find_attach_btf_id in libbpf v1.7's libbpf.c; DEFINE_BPF_ITER_FUNC in include/linux/bpf.h.`,
	needs: targetNeeds,
	check: func(c *check, n *relocate.Need) {
		p, ok := target(n, relocate.HookIter)
		if !ok {
			return
		}
		if c.has(p.Sec.Module, "bpf_iter_"+p.Sec.Func, btfinfo.KindFunc) {
			return
		}
		c.missingTarget(n, p.Sec.Func, "bpf_iter_"+p.Sec.Func, btfinfo.KindFunc, stageLoad, true, "iterator "+p.Sec.Func)
	},
}
