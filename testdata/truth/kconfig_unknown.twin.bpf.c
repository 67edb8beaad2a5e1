// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/kconfig_unknown.twin.bpf.c -o testdata/truth/kconfig_unknown.twin.bpf.o; llvm-strip-16 -g testdata/truth/kconfig_unknown.twin.bpf.o
//
// Weak: an option that is not set is 0.

#include "../rules/rules.h"

extern int CONFIG_CORECHECK_OF_NO_KERNEL __kconfig __weak;

SEC("raw_tp/sched_switch") int twin(__u64 *ctx) { return CONFIG_CORECHECK_OF_NO_KERNEL; }

char LICENSE[] SEC("license") = "GPL";
