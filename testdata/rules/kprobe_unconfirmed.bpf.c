// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/kprobe_unconfirmed.bpf.c -o testdata/rules/kprobe_unconfirmed.bpf.o; llvm-strip-16 -g testdata/rules/kprobe_unconfirmed.bpf.o
//
// account_page_dirtied went in 5.16. BTF has functions, and a kprobe wants a symbol.

#include "rules.h"

SEC("kprobe/account_page_dirtied") int witness(__u64 *ctx) { return 0; } // want: CC027 unknown 6.1..7.2

SEC("kretprobe/vfs_read") int twin(__u64 *ctx) { return 0; }

SEC("kprobe/vfs_read+4") int offset(__u64 *ctx) { return 0; } // want: CC027 unknown 5.10..7.2

SEC("ksyscall/openat") int system_call(__u64 *ctx) { return 0; }

SEC("ksyscall/corecheck") int no_system_call(__u64 *ctx) { return 0; } // want: CC027 unknown 5.10..7.2

// Debian's cloud kernel 6.1 has no fprobe.
SEC("kprobe.multi/vfs_r*d") int pattern(__u64 *ctx) { return 0; } // want: CC033 break 5.10; CC027 unknown 6.1

SEC("kprobe.multi/corecheck_*") int no_match(__u64 *ctx) { return 0; } // want: CC033 break 5.10; CC027 unknown 5.10..7.2

char LICENSE[] SEC("license") = "GPL";
