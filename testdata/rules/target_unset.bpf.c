// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/target_unset.bpf.c -o testdata/rules/target_unset.bpf.o; llvm-strip-16 -g testdata/rules/target_unset.bpf.o
//
// Sections that name no target, or one that libbpf can't read.

#include "rules.h"

SEC("fentry") int witness(__u64 *ctx) { return 0; } // want: CC026 unknown 5.10..7.2

SEC("tp_btf") int tracepoint(__u64 *ctx) { return 0; } // want: CC026 unknown 5.10..7.2

SEC("freplace/handle") int replacement(__u64 *ctx) { return 0; } // want: CC026 unknown 5.10..7.2

// A return probe is at the start; it has no offset.
SEC("kretprobe/vfs_read+4") int offset(__u64 *ctx) { return 0; } // want: CC026 unknown 5.10..7.2

SEC("tp/sched_switch") int no_category(__u64 *ctx) { return 0; } // want: CC026 unknown 5.10..7.2

// A tool may attach it by itself, to a program that it finds at run time.
SEC("uretprobe/readline") int user(__u64 *ctx) { return 0; } // want: CC026 unknown 5.10..7.2

// Here the load needs the name.
SEC("fentry/") int nothing(__u64 *ctx) { return 0; } // want: CC026 break 5.10..7.2

SEC("fentry/vfs_read") int twin(__u64 *ctx) { return 0; }

// Nothing to load with: libbpf attaches it to nothing by itself, and that is no mistake.
SEC("kprobe") int twin_kprobe(__u64 *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
