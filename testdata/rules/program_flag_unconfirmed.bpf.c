// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/program_flag_unconfirmed.bpf.c -o testdata/rules/program_flag_unconfirmed.bpf.o; llvm-strip-16 -g testdata/rules/program_flag_unconfirmed.bpf.o
//
// Sleepable programs and multi-buffer XDP: what a program may be is not all in BTF.

#include "rules.h"

// struct bpf_prog_aux has xdp_has_frags since 5.18.
SEC("xdp.frags") int witness(void *ctx) { return 2; } // want: CC037 break 5.10

SEC("xdp") int twin(void *ctx) { return 2; }

SEC("fentry.s/vfs_read") int function(__u64 *ctx) { return 0; } // want: CC037 unknown 5.10..7.2

SEC("fentry.s/__x64_sys_nanosleep") int twin_system_call(__u64 *ctx) { return 0; } // want: CC037 break 5.10..7.0

SEC("lsm.s/file_open") int hook(__u64 *ctx) { return 0; } // want: CC037 unknown 5.10..7.2

SEC("uprobe.s") int user(void *ctx) { return 0; } // want: CC037 unknown 5.10

SEC("iter.s/task") int twin_iterator(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
