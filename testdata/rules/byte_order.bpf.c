// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/byte_order.bpf.c -o testdata/rules/byte_order.bpf.o; llvm-strip-16 -g testdata/rules/byte_order.bpf.o
// kernels: two-structs, big-endian
//
// An object for little endian machines.
// want object: CC012 break 4.4

#include "rules.h"

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	return 0; // want: CC022 unknown 4.1..4.4
}

char LICENSE[] SEC("license") = "GPL";
