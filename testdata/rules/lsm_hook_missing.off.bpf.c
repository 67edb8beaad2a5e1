// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/lsm_hook_missing.off.bpf.c -o testdata/rules/lsm_hook_missing.off.bpf.o; llvm-strip-16 -g testdata/rules/lsm_hook_missing.off.bpf.o
//
// Hooks that are there, and switched off for BPF.

#include "rules.h"

SEC("lsm/vm_enough_memory") int witness(void *ctx) { return 0; } // want: CC023 break 6.12..7.2

SEC("lsm/file_alloc_security") int later(void *ctx) { return 0; } // want: CC023 unknown 6.12..6.18; CC023 break 6.19..7.2

SEC("lsm/file_open") int twin(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
