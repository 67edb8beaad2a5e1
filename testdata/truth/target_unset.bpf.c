// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/target_unset.bpf.c -o testdata/truth/target_unset.bpf.o; llvm-strip-16 -g testdata/truth/target_unset.bpf.o
//
// The load of such a program needs the name of a function.

#include "../rules/rules.h"

SEC("fentry/") int witness(__u64 *ctx) { return 0; }

SEC("fentry/vfs_read") int twin(__u64 *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
