// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/tracepoint_missing.bpf.c -o testdata/rules/tracepoint_missing.bpf.o; llvm-strip-16 -g testdata/rules/tracepoint_missing.bpf.o
//
// block_io_start came with 6.5.

#include "rules.h"

SEC("tp_btf/block_io_start") int witness(__u64 *ctx) { return 0; } // want: CC022 break 5.10..6.1

SEC("raw_tp/block_io_start") int raw(__u64 *ctx) { return 0; } // want: CC022 break 5.10..6.1

SEC("tp/block/block_io_start") int event(__u64 *ctx) { return 0; } // want: CC022 break 5.10..6.1

SEC("tp_btf/block_rq_issue") int twin(__u64 *ctx) { return 0; }

SEC("tp/block/block_rq_issue") int twin_event(__u64 *ctx) { return 0; }

// Events of system calls have no typedef of their own.
SEC("tp/syscalls/sys_enter_openat") int system_call(__u64 *ctx) { return 0; }

SEC("tp/syscalls/sys_exit_corecheck") int no_system_call(__u64 *ctx) { return 0; } // want: CC022 unknown 5.10..7.2

SEC("tp/syscalls/openat") int no_event(__u64 *ctx) { return 0; } // want: CC022 unknown 5.10..7.2

// The kernels' modules have not been seen.
SEC("raw_tp/xfs_corecheck") int of_a_module(__u64 *ctx) { return 0; } // want: CC022 unknown 5.10..7.2

char LICENSE[] SEC("license") = "GPL";
