// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/program_type_missing.bpf.c -o testdata/rules/program_type_missing.bpf.o; llvm-strip-16 -g testdata/rules/program_type_missing.bpf.o
//
// Programs of type syscall came with 5.14, netfilter with 6.4.

#include "rules.h"

SEC("syscall") int witness(void *ctx) { return 0; } // want: CC032 break 5.10

SEC("netfilter") int hook(void *ctx) { return 0; } // want: CC032 break 5.10..6.1; CC033 break 5.10..6.1

SEC("socket") int twin(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
