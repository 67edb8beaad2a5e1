// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/instruction_unconfirmed.bpf.c -o testdata/rules/instruction_unconfirmed.bpf.o; llvm-strip-16 -g testdata/rules/instruction_unconfirmed.bpf.o
//
// Atomic operations that return a value came with 5.12.

#include "rules.h"

__u64 total;

SEC("raw_tp/sched_switch") int witness(void *ctx)
{
	return __sync_fetch_and_add(&total, 1); // want: CC038 unknown 5.10
}

SEC("raw_tp/sched_switch") int twin(void *ctx)
{
	__sync_fetch_and_add(&total, 1);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
