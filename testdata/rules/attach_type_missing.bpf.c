// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/attach_type_missing.bpf.c -o testdata/rules/attach_type_missing.bpf.o; llvm-strip-16 -g testdata/rules/attach_type_missing.bpf.o
//
// tcx came with 6.6, and so did the attach type that libbpf now takes for "tc/ingress".

#include "rules.h"

SEC("tcx/ingress") int witness(void *ctx) { return 0; } // want: CC033 break 5.10..6.1

// The kernel compares the attach type of these when it loads them.
SEC("cgroup/connect_unix") int at_load(void *ctx) { return 1; } // want: CC033 break 5.10..6.1

SEC("cgroup/connect4") int twin(void *ctx) { return 1; }

// No attach type.
SEC("tc") int twin_tc(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
