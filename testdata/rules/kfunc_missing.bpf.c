// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/kfunc_missing.bpf.c -o testdata/rules/kfunc_missing.bpf.o; llvm-strip-16 -g testdata/rules/kfunc_missing.bpf.o
//
// bpf_task_from_pid came with 6.2.

#include "rules.h"

struct task_struct {
	int pid;
};

extern struct task_struct *bpf_task_from_pid(int pid) __weak __ksym;
extern void bpf_task_release(struct task_struct *task) __weak __ksym;
// In the kernel it takes a pid only.
extern struct task_struct *bpf_task_from_pid___wrong(int pid, int flags) __weak __ksym;
// A function of the kernel, and no kfunc.
extern long schedule_timeout(long timeout) __weak __ksym;
extern void xfs_corecheck(void) __weak __ksym;
extern void bpf_rcu_read_lock(void) __ksym; // not weak
extern void bpf_rcu_read_unlock(void) __ksym;

SEC("tp_btf/task_newtask") int witness(__u64 *ctx)
{
	struct task_struct *task = bpf_task_from_pid(1); // want: CC034 break 5.10..6.1

	if (task)
		bpf_task_release(task); // want: CC034 break 5.10..6.1
	return 0;
}

SEC("tp_btf/task_newtask") int guarded(__u64 *ctx)
{
	struct task_struct *task;

	if (!bpf_ksym_exists(bpf_task_from_pid)) // want: CC034 unknown 5.10..6.1
		return 0;
	task = bpf_task_from_pid(1);
	if (task && bpf_ksym_exists(bpf_task_release)) // want: CC034 unknown 5.10..6.1
		bpf_task_release(task);
	return 0;
}

SEC("tp_btf/task_newtask") int prototype(__u64 *ctx)
{
	return !!bpf_task_from_pid___wrong(1, 0); // want: CC034 break 5.10..7.2
}

SEC("tp_btf/task_newtask") int no_kfunc(__u64 *ctx)
{
	return schedule_timeout(1); // want: CC034 unknown 5.10..6.1; CC034 break 6.12..7.2
}

SEC("tp_btf/task_newtask") int of_a_module(__u64 *ctx)
{
	xfs_corecheck(); // want: CC034 break 5.10; CC034 unknown 6.1..7.2
	return 0;
}

// Not weak: the whole object fails.
SEC("tp_btf/task_newtask") int strong(__u64 *ctx)
{
	bpf_rcu_read_lock(); // want: CC034 break 5.10..6.1
	bpf_rcu_read_unlock(); // want: CC034 break 5.10..6.1
	return 0;
}

SEC("tp_btf/task_newtask") int twin(__u64 *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
