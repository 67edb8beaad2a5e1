// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/ksym_missing.bpf.c -o testdata/rules/ksym_missing.bpf.o; llvm-strip-16 -g testdata/rules/ksym_missing.bpf.o
//
// Variables of the kernel: 5.10's BTF has none of this kind; current_task was part of pcpu_hot from 6.2 to 6.14.

#include "rules.h"

struct task_struct {
	int pid;
};

struct rq {
	int cpu;
};

extern const struct task_struct *current_task __ksym;
extern const int bpf_prog_active __ksym;
extern const long bpf_prog_active___weak __weak __ksym;
extern const struct rq runqueues __weak __ksym;
extern const void jiffies __ksym;
extern const void xfs_corecheck __weak __ksym;
extern const int xfs_corecheck_typed __ksym;

struct wrong {
	int v;
};

extern const struct wrong this_cpu_off __ksym; // an unsigned long in the kernel
extern const struct wrong cpu_number __weak __ksym; // an int in the kernels that have it

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	return (long)&current_task; // want: CC035 break 5.10, 6.12
}

SEC("raw_tp/sched_switch") int percpu(__u64 *ctx)
{
	return (long)&bpf_prog_active; // want: CC035 break 5.10
}

// In the symbol table only.
SEC("raw_tp/sched_switch") int untyped(__u64 *ctx)
{
	return (long)&jiffies; // want: CC035 unknown 5.10..7.2
}

// A module may have it; 5.10 has no BTF of modules.
SEC("raw_tp/sched_switch") int of_a_module(__u64 *ctx)
{
	return (long)&xfs_corecheck_typed; // want: CC035 break 5.10; CC035 unknown 6.1..7.2
}

SEC("raw_tp/sched_switch") int another_type(__u64 *ctx)
{
	return (long)&this_cpu_off; // want: CC035 break 5.10..7.2
}

// A weak one may be missing, and must fit where it is there.
SEC("raw_tp/sched_switch") int another_type_weak(__u64 *ctx)
{
	return (long)&cpu_number; // want: CC035 break 6.1, 6.16..7.2
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	return (long)&runqueues + (long)&xfs_corecheck + (long)&bpf_prog_active___weak;
}

char LICENSE[] SEC("license") = "GPL";
