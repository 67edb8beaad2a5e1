// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/field_missing.rodata.bpf.c -o testdata/rules/field_missing.rodata.bpf.o; llvm-strip-16 -g testdata/rules/field_missing.rodata.bpf.o
//
// A constant in .rodata guards as far as the loader leaves it as it is.

#include "rules.h"

const volatile int with_state = 0;
const volatile int without_state = 1;

struct task_struct {
	long state;
} CORE;

SEC("raw_tp/sched_switch") int guarded(void *ctx)
{
	struct task_struct *task = bpf_get_current_task();

	if (with_state)
		return core_read(task, state); // want: CC001 unknown 6.1..7.2
	return 0;
}

SEC("raw_tp/sched_switch") int witness(void *ctx)
{
	struct task_struct *task = bpf_get_current_task();

	if (without_state)
		return core_read(task, state); // want: CC001 break 6.1..7.2
	return 0;
}

SEC("raw_tp/sched_switch") int twin(void *ctx) { return with_state; }

char LICENSE[] SEC("license") = "GPL";
