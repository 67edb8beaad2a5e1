package compat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// Limits of the kernel's trampolines: MAX_BPF_FUNC_ARGS in include/linux/bpf.h, and what an x86-64 trampoline of before
// Linux commit 473e3150e30a ("bpf, x86: allow function arguments up to 12 for TRACING") in v6.6 passes on.
const (
	maxTraceArgs    = 12
	maxTraceArgsX86 = 6
)

var functionUntraceable = &Rule{
	Code:  "CC021",
	Name:  "function_untraceable",
	Title: "function can't be traced by a trampoline",
	Doc: `The function exists, but the kernel can't build a trampoline for it: more than 12 arguments, a variable number of
them, a struct or union as result, an argument of more than 16 bytes or, on kernels before 6.1, any struct passed by
value. The load fails. On x86-64 before 6.6 more than 6 arguments fail at attach; that limit is not in BTF and is judged
by the upstream version, so a distro may have lifted it earlier. The kernel also refuses functions that its trampolines
call, and, for programs that run at the return, functions that never return; these lists are judged by the version as
well. fmod_ret needs a function that is open to error injection or a security_ hook. System calls are, where the kernel
was built with CONFIG_FUNCTION_ERROR_INJECTION or is of v7.1 or later; of other functions BTF has no list.

Use a kprobe, or trace a function with a plainer prototype.
Source: btf_distill_func_proto in kernel/bpf/btf.c, check_attach_modify_return, btf_id_deny and noreturn_deny in
kernel/bpf/verifier.c.`,
	needs: targetNeeds,
	check: func(c *check, n *relocate.Need) {
		p, ok := target(n, relocate.HookBTFFunc)
		if !ok {
			return
		}
		name := p.Sec.Func
		at, ok := c.find(p.Sec.Module, name, btfinfo.KindFunc)
		if !ok {
			return
		}
		const hint = "use a kprobe, or trace another function with a plainer prototype"
		if why := c.untraceable(at); why != "" {
			c.report(n, raw{stage: stageLoad, verdict: Break, message: name + " can't be traced: " + why, hint: hint})
			return
		}
		if why, unsure := c.refusedTarget(name, p.Sec.AttachType); why != "" {
			r := raw{stage: stageLoad, verdict: Break, message: "the kernel refuses " + p.Sec.Name + " programs for " + name + ": " + why,
				hint: "trace a function that calls it"}
			if slices.Contains(noReturn, name) {
				r.hint = "trace the start of the function, with fentry"
			}
			if unsure {
				r.verdict = Unknown
				r.message = "newer kernels refuse " + p.Sec.Name + " programs for " + name + ", since " + why + "; BTF does not tell whether this one does"
			}
			c.report(n, r)
		}
		proto := at.btf.Type(at.typ.Ref())
		if proto.Vlen() > maxTraceArgsX86 && c.arch() == "x86_64" && c.mayPredate(6, 6) {
			c.report(n, raw{stage: stageAttach, verdict: Unknown,
				message: fmt.Sprintf("%s has %d arguments; x86-64 trampolines take %d before v6.6 (by the version number; BTF does not tell whether this kernel has the change)", name, proto.Vlen(), maxTraceArgsX86),
				hint:    hint})
		}
		if p.Sec.AttachType == "BPF_MODIFY_RETURN" && systemCall(name) {
			if open, unsure := c.openSyscall(name); !open {
				c.report(n, c.closedSyscall(unsure))
			}
		} else if p.Sec.AttachType == "BPF_MODIFY_RETURN" && !strings.HasPrefix(name, "security_") {
			c.report(n, raw{stage: stageLoad, verdict: Unknown,
				message: name + " exists, but fmod_ret is only for functions open to error injection, and BTF does not say which are",
				hint:    "security_ hooks always are; for others try it on the kernel"})
		}
	},
}

// closedSyscall is the finding that a system call is not open to a program that changes its result or sleeps.
func (c *check) closedSyscall(unsure bool) raw {
	r := raw{stage: stageLoad, verdict: Break, message: "the kernel " + noErrorInjection,
		hint: "use fentry or fexit without .s there, or a kernel with that option"}
	if unsure {
		r.verdict = Unknown
		r.message += " before v7.1; the kernel's version is not known"
	}
	return r
}

// systemCall tells the functions that implement system calls.
func systemCall(name string) bool {
	for _, prefix := range []string{"__x64_sys_", "__ia32_sys_", "__arm64_sys_", "__s390x_sys_", "__riscv_sys_"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

// untraceable tells why the kernel would refuse the prototype of a function, "" where it takes it.
func (c *check) untraceable(at place) string {
	b := at.btf
	proto := b.Type(at.typ.Ref())
	if proto.Kind() != btfinfo.KindFuncProto {
		return "its BTF has no prototype"
	}
	if n := proto.Vlen(); n > maxTraceArgs {
		return fmt.Sprintf("it has %d arguments, the limit is %d", n, maxTraceArgs)
	}
	switch r := b.Skip(proto.Ref()); r.Kind() {
	case btfinfo.KindStruct, btfinfo.KindUnion:
		return "it returns a " + r.Kind().Tag() + "by value"
	}
	for i := range proto.Vlen() {
		arg := proto.Param(i)
		if arg.Type == 0 {
			if i == proto.Vlen()-1 {
				return "it takes a variable number of arguments"
			}
			return fmt.Sprintf("argument %d is void", i+1)
		}
		t := b.Skip(arg.Type)
		if !t.Kind().IsComposite() {
			if size, ok := b.SizeOf(arg.Type); ok && size > 16 {
				return fmt.Sprintf("argument %d has %d bytes, the limit is 16", i+1, size)
			}
			continue
		}
		if t.Kind() == btfinfo.KindUnion {
			return fmt.Sprintf("argument %d is a union by value", i+1)
		}
		// Structs by value came with the member that describes them: Linux commit 720e6a435194 ("bpf: Allow struct
		// argument in trampoline based programs") in v6.1.
		if !c.structHas("btf_func_model", "arg_flags") {
			return fmt.Sprintf("argument %d is a struct by value, which this kernel's trampolines don't take", i+1)
		}
		if t.Size() > 16 {
			return fmt.Sprintf("argument %d is a struct of %d bytes by value, the limit is 16", i+1, t.Size())
		}
	}
	return ""
}
