// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/iterator_missing.bpf.c -o testdata/rules/iterator_missing.bpf.o; llvm-strip-16 -g testdata/rules/iterator_missing.bpf.o
//
// The iterator over kernel symbols came with 6.0, the one over slab caches with 6.13.

#include "rules.h"

SEC("iter/ksym") int witness(__u64 *ctx) { return 0; } // want: CC024 break 5.10

SEC("iter.s/kmem_cache") int witness_sleepable(__u64 *ctx) { return 0; } // want: CC024 break 5.10..6.12

SEC("iter/task") int twin(__u64 *ctx) { return 0; }

// A module may have it; 5.10 has no BTF of modules.
SEC("iter/xfs_corecheck") int of_a_module(__u64 *ctx) { return 0; } // want: CC024 break 5.10; CC024 unknown 6.1..7.2

char LICENSE[] SEC("license") = "GPL";
