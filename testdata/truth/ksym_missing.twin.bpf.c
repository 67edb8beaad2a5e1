// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/ksym_missing.twin.bpf.c -o testdata/truth/ksym_missing.twin.bpf.o; llvm-strip-16 -g testdata/truth/ksym_missing.twin.bpf.o
//
// Weak: where there is no such variable its address is 0.

#include "../rules/rules.h"

struct task_struct {
	int pid;
};

extern const struct task_struct *current_task __ksym __weak;

SEC("raw_tp/sched_switch") int twin(__u64 *ctx) { return (long)&current_task; }

char LICENSE[] SEC("license") = "GPL";
