// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/function_missing.bpf.c -o testdata/rules/function_missing.bpf.o; llvm-strip-16 -g testdata/rules/function_missing.bpf.o
//
// submit_bio_checks was merged into its caller in 5.18.

#include "rules.h"

SEC("fentry/submit_bio_checks") int witness(__u64 *ctx) { return 0; } // want: CC020 break 6.1..7.2

SEC("fexit/vfs_read") int twin(__u64 *ctx) { return 0; }

// The kernels' modules have not been seen; 5.10 has no BTF of modules.
SEC("fentry/nf_tables:nft_do_chain") int of_a_module(__u64 *ctx) { return 0; } // want: CC020 break 5.10; CC020 unknown 6.1..7.2

// No kernel has it, and it is not named like something of a module.
SEC("fentry/corecheck_of_no_kernel") int of_nothing(__u64 *ctx) { return 0; } // want: CC020 break 5.10..7.2

SEC("fentry/xfs_corecheck") int of_any_module(__u64 *ctx) { return 0; } // want: CC020 break 5.10; CC020 unknown 6.1..7.2

SEC("fentry/vmlinux:xfs_corecheck") int of_no_module(__u64 *ctx) { return 0; } // want: CC020 break 5.10..7.2

char LICENSE[] SEC("license") = "GPL";
