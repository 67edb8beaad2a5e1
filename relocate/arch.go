package relocate

import (
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// registerNames are members of struct pt_regs (struct user_pt_regs on arm64, which PT_REGS_PARM1 and its like read there)
// that only one architecture has. Source: arch/*/include/asm/ptrace.h and arch/arm64/include/uapi/asm/ptrace.h of Linux v6.12.
var registerNames = map[string]string{
	"orig_ax": "x86_64", "orig_rax": "x86_64",
	"pstate": "arm64",
	"psw":    "s390x", "orig_gpr2": "s390x",
	"ccr":          "ppc64le",
	"badaddr":      "riscv64",
	"csr_badvaddr": "loongarch64",
}

// wrapperArch are the prefixes of system calls' entry functions, by architecture.
// Source: __SYSCALL_DEFINEx in arch/*/include/asm/syscall_wrapper.h of Linux v6.12.
var wrapperArch = []struct{ prefix, arch string }{
	{"__x64_", "x86_64"}, {"__ia32_", "x86_64"}, {"__arm64_", "arm64"}, {"__s390x_", "s390x"}, {"__s390_", "s390x"}, {"__riscv_", "riscv64"},
}

// Arch is the architecture that the object was compiled for, as BTFHub names it, and what tells it; "" where nothing does, or
// different things tell different architectures: then the object is for any. BPF itself is the same everywhere, but programs
// that read registers of the traced function have the layout of one architecture's struct pt_regs in them, and names of
// system calls' functions have it, too. What an object asks the kernel for (bpf_core_field_exists), and programs that are
// only loaded where the loader says so, are a choice and tell nothing.
func (o *Object) Arch() (arch, because string) {
	one := true
	tell := func(of, why string) {
		if of == "" {
			return
		}
		if arch == "" {
			arch, because = of, why
		}
		one = one && arch == of
	}
	for _, p := range o.Programs {
		if p.Sec.Hook != HookFunction || !p.Sec.Autoload {
			continue
		}
		for _, w := range wrapperArch {
			if strings.HasPrefix(p.Sec.Func, w.prefix) {
				tell(w.arch, "it attaches to "+p.Sec.Func)
			}
		}
	}
	if o.BTF != nil {
		for _, r := range o.Relos {
			if !r.Kind.IsQuestion() {
				tell(o.registers(r.Type))
			}
		}
		// What a program takes: struct pt_regs *ctx, with all its members only where the program has use for them.
		for _, p := range o.Programs {
			if p.Sec.ProgType != "BPF_PROG_TYPE_KPROBE" {
				continue
			}
			for _, f := range o.BTF.Named(p.Name, btfinfo.KindFunc) {
				proto := o.BTF.Type(o.BTF.Type(f).Ref())
				if proto.Vlen() == 0 {
					continue
				}
				if ptr := o.BTF.Skip(proto.Param(0).Type); ptr.Kind() == btfinfo.KindPtr {
					tell(o.registers(ptr.Ref()))
				}
			}
		}
	}
	if !one {
		return "", ""
	}
	return arch, because
}

// registers tells the architecture of a struct pt_regs, "" where the type is none or nothing in it tells.
func (o *Object) registers(id btfinfo.ID) (arch, because string) {
	t := o.BTF.Skip(id)
	name := btfinfo.EssentialName(t.Name())
	if !t.Kind().IsComposite() || name != "pt_regs" && name != "user_pt_regs" {
		return "", ""
	}
	for i := range t.Vlen() {
		if m := t.Member(i).Name; registerNames[m] != "" {
			return registerNames[m], "its struct " + name + " has '" + m + "'"
		}
	}
	return "", ""
}
