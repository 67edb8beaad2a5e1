// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/kernel_btf_missing.without.bpf.c -o testdata/rules/kernel_btf_missing.without.bpf.o; llvm-strip-16 -g testdata/rules/kernel_btf_missing.without.bpf.o
// kernels: no-btf, two-structs
//
// An object that asks for no BTF loads where there is none, as far as is known.
// want object: CC011 unknown 4.0

#include "rules.h"

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	return 0; // want: CC022 unknown 4.1
}

char LICENSE[] SEC("license") = "GPL";
