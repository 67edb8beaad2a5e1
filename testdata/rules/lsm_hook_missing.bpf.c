// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/lsm_hook_missing.bpf.c -o testdata/rules/lsm_hook_missing.bpf.o; llvm-strip-16 -g testdata/rules/lsm_hook_missing.bpf.o
//
// The hook path_post_mknod came with 6.9.

#include "rules.h"

SEC("lsm/path_post_mknod") int witness(__u64 *ctx) { return 0; } // want: CC023 break 5.10..6.1

SEC("lsm/file_open") int twin(__u64 *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
