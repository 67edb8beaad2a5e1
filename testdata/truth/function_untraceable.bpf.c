// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/function_untraceable.bpf.c -o testdata/truth/function_untraceable.bpf.o; llvm-strip-16 -g testdata/truth/function_untraceable.bpf.o
//
// seq_printf takes any number of arguments, and trampolines don't. seq_write has three.

#include "../rules/rules.h"

SEC("fentry/seq_printf") int witness(__u64 *ctx) { return 0; }

SEC("fentry/seq_write") int twin(__u64 *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
