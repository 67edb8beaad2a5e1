// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/attach_type_missing.other_way.bpf.c -o testdata/rules/attach_type_missing.other_way.bpf.o; llvm-strip-16 -g testdata/rules/attach_type_missing.other_way.bpf.o
//
// Attach types of which the program can do without.

#include "rules.h"

// Attached by netlink, or as tcx where there is tcx.
SEC("tc/ingress") int witness(void *ctx) { return 0; } // want: CC033 unknown 5.10..6.1

// Attached by a socket option; without the type nobody asks it about migration.
SEC("sk_reuseport/migrate") int migrate(void *ctx) { return 1; } // want: CC033 warn 5.10

SEC("sk_reuseport") int twin(void *ctx) { return 1; }

char LICENSE[] SEC("license") = "GPL";
