// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/struct_ops_missing.bpf.c -o testdata/truth/struct_ops_missing.bpf.o; llvm-strip-16 -g testdata/truth/struct_ops_missing.bpf.o
//
// sched_ext_ops came with 6.12, where Debian did not have it on. A scheduler without a callback takes tasks in turn.

#include "../rules/rules.h"

struct scx_exit_info;

struct sched_ext_ops {
	void (*exit)(struct scx_exit_info *info);
	char name[128];
};

SEC("struct_ops") void witness(__u64 *ctx) {}

SEC(".struct_ops") struct sched_ext_ops scheduler = {
	.exit = (void *)witness,
	.name = "corecheck",
};

char LICENSE[] SEC("license") = "GPL";
