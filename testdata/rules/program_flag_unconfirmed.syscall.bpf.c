// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/program_flag_unconfirmed.syscall.bpf.c -o testdata/rules/program_flag_unconfirmed.syscall.bpf.o; llvm-strip-16 -g testdata/rules/program_flag_unconfirmed.syscall.bpf.o
//
// System calls may sleep where they are open to error injection, and everywhere from 7.1 on.

#include "rules.h"

SEC("fentry.s/__x64_sys_openat") int witness(void *ctx) { return 0; } // want: CC037 break 5.10..7.0

SEC("fentry/__x64_sys_openat") int twin(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
