package compat

import (
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

var kernelBTFMissing = &Rule{
	Code:  "CC011",
	Name:  "kernel_btf_missing",
	Title: "kernel has no BTF",
	Doc: `The kernel was built without BTF (CONFIG_DEBUG_INFO_BTF). libbpf reads it before anything is loaded if the
object has CO-RE relocations, typed kernel symbols, struct_ops maps, or programs that attach by BTF (fentry, fexit,
tp_btf, iter, lsm, struct_ops), and the load of the whole object fails where there is none. Other objects load; what
the kernel has of program types, helpers and functions is in its BTF, too, so that nothing more can be said of them:
unknown.

CO-RE relocations can be given the BTF of that kernel from elsewhere (btf_custom_path of struct bpf_object_open_opts;
BTFHub has the BTF of many kernels without their own); programs that attach by BTF can't, and have kprobe or raw_tp
counterparts.
Source: obj_needs_vmlinux_btf and bpf_object__load_vmlinux_btf in libbpf v1.7's libbpf.c.`,
	needs: []relocate.NeedKind{relocate.NeedBTF},
	check: func(c *check, n *relocate.Need) {
		why, has := c.btf()
		if has {
			return
		}
		if n.Weak {
			c.reportObject(n, raw{verdict: Unknown,
				message: "this kernel has no BTF (" + why + "); the object does without, but what else the kernel has is not known here",
				hint:    "try it on such a kernel"})
			return
		}
		hint := "build the kernel with CONFIG_DEBUG_INFO_BTF=y, or leave out such kernels"
		if n.Detail == "CO-RE relocations" {
			hint = "give the loader the BTF of that kernel from elsewhere (btf_custom_path; BTFHub), or " + hint
		}
		c.reportObject(n, raw{verdict: Break,
			message: "this kernel has no BTF (" + why + "), which the object needs for " + n.Detail,
			hint:    hint})
	},
}

// btf tells whether the kernel has BTF, and why not.
func (f *facts) btf() (why string, has bool) {
	why = f.v.By("no BTF", func(k *kernels.Kernel) string { return k.NoBTF })
	return why, why == ""
}
