// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/ksym_missing.bpf.c -o testdata/truth/ksym_missing.bpf.o; llvm-strip-16 -g testdata/truth/ksym_missing.bpf.o
//
// 5.10 has no per-CPU variables of this kind in its BTF, and from 6.2 to 6.14 current_task was a part of pcpu_hot. It is
// not weak: the object needs it.

#include "../rules/rules.h"

struct task_struct {
	int pid;
};

extern const struct task_struct *current_task __ksym;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx) { return (long)&current_task; }

char LICENSE[] SEC("license") = "GPL";
