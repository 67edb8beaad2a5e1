// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/kernel_btf_missing.bpf.c -o testdata/rules/kernel_btf_missing.bpf.o; llvm-strip-16 -g testdata/rules/kernel_btf_missing.bpf.o
// kernels: no-btf, two-structs
//
// A kernel without BTF: nothing else can be said of it, and the object does not load.
// want object: CC011 break 4.0

#include "rules.h"

struct pair {
	int same;
} CORE;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx) // want: CC022 unknown 4.1
{
	struct pair *p = (void *)ctx[0];

	return core_read(p, same);
}

char LICENSE[] SEC("license") = "GPL";
