// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/function_untraceable.rcu.bpf.c -o testdata/rules/function_untraceable.rcu.bpf.o; llvm-strip-16 -g testdata/rules/function_untraceable.rcu.bpf.o
//
// Trampolines enter it themselves.
// left out of the truth test: 6.1 takes the program, and the machine hangs with it

#include "rules.h"

// 5.10 has no such function, and 6.1 does not refuse it by its version.
SEC("fentry/__rcu_read_lock") int witness(void *ctx) { return 0; } // want: CC020 break 5.10; CC021 unknown 6.1; CC021 break 6.12..7.2

SEC("fentry/vfs_read") int twin(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
