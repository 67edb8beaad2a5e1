package compat

import (
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
)

// What the kernel refuses by lists of its own, of which BTF tells nothing: which kernels have a list is judged by the
// version number. Each was held against loads on Debian's kernels of 5.10 to 7.2.

// denied are functions that trampolines themselves use, and that no tracing program may be loaded for: btf_id_deny in
// kernel/bpf/verifier.c, the first three since v5.14 and v5.16, the others since v6.4 and v6.5.
var denied = []string{"migrate_disable", "migrate_enable", "rcu_read_unlock_strict", "preempt_count_add", "preempt_count_sub",
	"__rcu_read_lock", "__rcu_read_unlock"}

// noReturn are functions that never return, for which programs that run at the return are not loaded: noreturn_deny in
// kernel/bpf/verifier.c since v6.16 ("bpf: Reject attaching fexit/fmod_ret to __noreturn functions"), and in updates of
// older releases.
var noReturn = []string{"__ia32_sys_exit", "__ia32_sys_exit_group", "__module_put_and_kthread_exit", "__x64_sys_exit",
	"__x64_sys_exit_group", "do_exit", "do_group_exit", "kthread_complete_and_exit", "kthread_exit", "make_task_dead"}

// lsmOff are LSM hooks that BPF programs may not be loaded for, with the first release whose kernels refuse them all:
// bpf_lsm_disabled_hooks in kernel/bpf/bpf_lsm.c ("bpf, lsm: Add disabled BPF LSM hook list").
var lsmOff = func() map[string]kernels.Version {
	m := map[string]kernels.Version{"file_alloc_security": {Major: 6, Minor: 19}}
	for _, hook := range []string{"vm_enough_memory", "inode_need_killpriv", "inode_getsecurity", "inode_listsecurity",
		"inode_copy_up_xattr", "getselfattr", "getprocattr", "setprocattr", "key_getsecurity", "audit_rule_match",
		"xfrm_decode_session", "ismaclabel"} {
		m[hook] = kernels.Version{Major: 6, Minor: 12}
	}
	return m
}()

// refusedTarget tells why the kernel does not load a tracing program for a function, although its prototype would do;
// "" where it does. unsure: a kernel of this version may have the list or not.
func (c *check) refusedTarget(name, attachType string) (why string, unsure bool) {
	switch i := slices.Index(denied, name); {
	case i >= 0 && i < 3:
		return "trampolines themselves call it", c.mayPredate(5, 16)
	case i >= 0:
		return "trampolines themselves call it", c.mayPredate(6, 5)
	}
	if slices.Contains(noReturn, name) && slices.Contains([]string{"BPF_TRACE_FEXIT", "BPF_TRACE_FSESSION", "BPF_MODIFY_RETURN"}, attachType) {
		return "it never returns", c.mayPredate(6, 16)
	}
	return "", false
}

// errorInjection tells whether the kernel was built with CONFIG_FUNCTION_ERROR_INJECTION: lib/error-inject.c is compiled
// then, whose functions and struct ei_entry are in BTF.
func (c *check) errorInjection() bool {
	return c.has("", "within_error_injection_list", btfinfo.KindFunc) || c.structHas("ei_entry", "")
}

// openSyscall tells whether the function of a system call is open to fmod_ret and to sleepable programs. All are marked
// for error injection (SYSCALL_DEFINEx in include/linux/syscalls.h and the wrappers of each arch); a kernel without error
// injection takes none of them before v7.1, and from then on those of the arch's own prefix (has_arch_syscall_prefix in
// kernel/bpf/verifier.c). unsure: the version does not tell.
func (c *check) openSyscall(name string) (open, unsure bool) {
	switch {
	case c.errorInjection():
		return true, false
	case c.arch() == "x86_64" && !strings.HasPrefix(name, "__x64_"):
		return false, false
	case !c.versionKnown():
		return false, true
	}
	return !c.mayPredate(7, 1), false
}

const noErrorInjection = "was built without CONFIG_FUNCTION_ERROR_INJECTION, and its system calls are not open to such programs"
