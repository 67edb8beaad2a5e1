// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/helper_missing.bpf.c -o testdata/rules/helper_missing.bpf.o; llvm-strip-16 -g testdata/rules/helper_missing.bpf.o
//
// bpf_get_current_task_btf, number 158, came with 5.11.

#include "rules.h"

enum bpf_func_id {
	BPF_FUNC_get_current_task_btf = 158,
};

static void *(*bpf_get_current_task_btf)(void) = (void *)158;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	bpf_get_current_task_btf(); // want: CC030 break 5.10
	return 0;
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	bpf_get_current_task();
	return 0;
}

SEC("raw_tp/sched_switch") int guarded(__u64 *ctx)
{
	if (enumval_exists(enum bpf_func_id, BPF_FUNC_get_current_task_btf))
		bpf_get_current_task_btf(); // want: CC030 unknown 5.10
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
