package compat

import (
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

var tracepointMissing = &Rule{
	Code:  "CC022",
	Name:  "tracepoint_missing",
	Title: "tracepoint does not exist",
	Doc: `Each tracepoint leaves a typedef btf_trace_NAME in the kernel's BTF. Where it is missing, a tp_btf program fails to
load (libbpf finds no BTF id), a raw_tp program fails to attach (ENOENT), and a tracepoint program fails to attach
since tracefs has no such event. BTF does not know an event's category, so a right name in a wrong category is not
noticed. syscalls/sys_enter_NAME and sys_exit_NAME have no typedef of their own: they exist where the kernel traces
system calls and has one of that name.

Events of system calls are looked up by the function of the call. Architectures with the generic table of system calls
(arm64, riscv64, loongarch64) have no open, stat, poll … and no events of them.

Leave the program out where the tracepoint is missing, and use what the kernel had before.
Source: find_kernel_btf_id in libbpf v1.7's libbpf.c; bpf_get_raw_tracepoint in kernel/trace/bpf_trace.c;
__DEFINE_EVENT in include/trace/bpf_probe.h; typedefs since Linux commits e8c423fb31fa ("bpf: Add typecast to
raw_tracepoints to help BTF generation") in v5.5 and 441420a1f0b3 ("bpf: Reliably preserve btf_trace_xxx types") in
v5.6.`,
	needs: targetNeeds,
	check: func(c *check, n *relocate.Need) {
		p := n.Programs[0]
		if p.Sec.Err != "" {
			return
		}
		name, st, needBTF := p.Sec.Func, stageAttach, false
		switch p.Sec.Hook {
		case relocate.HookBTFTP:
			st, needBTF = stageLoad, true
		case relocate.HookRawTP:
		case relocate.HookTracepoint:
			if strings.HasPrefix(p.Sec.Target, "syscalls/") {
				c.syscallEvent(n, name)
				return
			}
		default:
			return
		}
		if c.has(p.Sec.Module, "btf_trace_"+name, btfinfo.KindTypedef) {
			return
		}
		if st == stageAttach && !c.hasPrefix(btfinfo.KindTypedef, "btf_trace_") {
			c.report(n, raw{stage: st, verdict: Unknown,
				message: "this kernel's BTF has no typedefs of tracepoints, so it does not tell which exist",
				hint:    "look for the tracepoint in /sys/kernel/tracing/available_events of such a system"})
			return
		}
		c.missingTarget(n, name, "btf_trace_"+name, btfinfo.KindTypedef, st, needBTF, "tracepoint "+name)
	},
}

// syscallPrefixes are what arch wrappers put before the name of a system call: SYSCALL_DEFINEx of each arch.
var syscallPrefixes = map[string][]string{
	"x86_64":  {"__x64_sys_", "__se_sys_", "sys_"},
	"arm64":   {"__arm64_sys_", "__se_sys_", "sys_"},
	"s390x":   {"__s390x_sys_", "__se_sys_", "sys_"},
	"riscv64": {"__riscv_sys_", "__se_sys_", "sys_"},
	"ppc64le": {"__powerpc_sys_", "__se_sys_", "sys_"},
}

// findSyscall looks for the function that implements a system call.
func (c *check) findSyscall(name string) bool {
	prefixes := syscallPrefixes[c.arch()]
	if prefixes == nil {
		prefixes = []string{"__se_sys_", "sys_"}
	}
	for _, p := range prefixes {
		if c.has("", p+name, btfinfo.KindFunc) {
			return true
		}
	}
	return false
}

// notGeneric are system calls that are compiled everywhere, and are not in the table of architectures that use
// include/uapi/asm-generic/unistd.h (there are newer ones in their place: openat, newfstatat …). init_syscall_trace in
// kernel/trace/trace_syscalls.c makes no events of those. Source: Linux v6.12.
var notGeneric = map[string]bool{
	"open": true, "creat": true, "chmod": true, "chown": true, "lchown": true, "access": true, "mkdir": true, "rmdir": true, "unlink": true,
	"link": true, "symlink": true, "rename": true, "mknod": true, "newstat": true, "newlstat": true, "readlink": true, "utimes": true,
	"utime": true, "futimesat": true, "select": true, "poll": true, "epoll_create": true, "epoll_wait": true, "eventfd": true,
	"signalfd": true, "inotify_init": true, "dup2": true, "pipe": true, "getdents": true, "ustat": true, "sysfs": true,
}

// generic are the architectures with that table.
var generic = map[string]bool{"arm64": true, "riscv64": true, "loongarch64": true}

// syscallEvent judges syscalls/sys_enter_NAME and sys_exit_NAME.
func (c *check) syscallEvent(n *relocate.Need, name string) {
	call, ok := strings.CutPrefix(name, "sys_enter_")
	if !ok {
		call, ok = strings.CutPrefix(name, "sys_exit_")
	}
	const hint = "look for the event in /sys/kernel/tracing/available_events of such a system"
	switch {
	case !ok:
		c.report(n, raw{stage: stageAttach, verdict: Unknown,
			message: "events of category syscalls are named sys_enter_NAME or sys_exit_NAME, " + name + " is not", hint: hint})
	case !c.structHas("syscall_trace_enter", ""):
		c.report(n, raw{stage: stageAttach, verdict: Unknown,
			message: "this kernel's BTF shows no tracing of system calls (CONFIG_FTRACE_SYSCALLS)", hint: hint})
	case notGeneric[call] && generic[c.arch()]:
		c.report(n, raw{stage: stageAttach, verdict: Break,
			message: c.arch() + " has no system call " + call + ", so the event does not exist",
			hint:    "leave the program out there (bpf_program__set_autoload), and trace the call that took its place: openat, newfstatat, ppoll …"})
	case !c.findSyscall(call):
		c.report(n, raw{stage: stageAttach, verdict: Unknown,
			message: "this kernel's BTF has no function of a system call " + call + ", which may not be there or be left out of BTF", hint: hint})
	}
}
