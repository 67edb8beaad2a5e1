// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/field_missing.version.bpf.c -o testdata/rules/field_missing.version.bpf.o; llvm-strip-16 -g testdata/rules/field_missing.version.bpf.o
//
// The version of the kernel, which libbpf fills in, guards as well.

#include "rules.h"

extern int LINUX_KERNEL_VERSION __kconfig;

struct task_struct {
	long state;
} CORE;

SEC("raw_tp/sched_switch") int guarded(void *ctx)
{
	struct task_struct *task = bpf_get_current_task();

	if (LINUX_KERNEL_VERSION < (5 << 16 | 14 << 8))
		return core_read(task, state); // want: CC001 unknown 6.1..7.2
	return 0;
}

SEC("raw_tp/sched_switch") int witness(void *ctx)
{
	struct task_struct *task = bpf_get_current_task();

	if (LINUX_KERNEL_VERSION >= (5 << 16 | 14 << 8))
		return core_read(task, state); // want: CC001 break 6.1..7.2
	return 0;
}

SEC("raw_tp/sched_switch") int twin(void *ctx) { return LINUX_KERNEL_VERSION; }

char LICENSE[] SEC("license") = "GPL";
