// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v2 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/relocation_ambiguous.bpf.c -o testdata/rules/relocation_ambiguous.bpf.o; llvm-strip-16 -g testdata/rules/relocation_ambiguous.bpf.o
//
// Two structs of one name: libbpf takes neither where they disagree.
// kernels: two-structs, one-struct

#include "rules.h"

struct pair {
	int a;
	int same;
	int only;
} CORE;

struct pair___narrowed {
	int a;
	int only;
} CORE;

SEC("raw_tp/x") int witness(__u64 *ctx)
{
	struct pair *p = bpf_get_current_task(); // want: CC022 unknown 4.1..4.2

	return core_read(p, a); // want: CC005 break 4.1
}

SEC("raw_tp/x") int twin(__u64 *ctx)
{
	struct pair *p = bpf_get_current_task(); // want: CC022 unknown 4.1..4.2

	return core_read(p, same);
}

// libbpf fails before the verifier would see the guard.
SEC("raw_tp/x") int guarded(__u64 *ctx)
{
	struct pair *p = bpf_get_current_task(); // want: CC022 unknown 4.1..4.2

	if (field_exists(p->same))
		return core_read(p, a); // want: CC005 break 4.1
	return 0;
}

// What only one of the two has drops the other for all that follows.
SEC("raw_tp/x") int narrowed(__u64 *ctx)
{
	struct pair___narrowed *p = bpf_get_current_task(); // want: CC022 unknown 4.1..4.2

	return core_read(p, only) + core_read(p, a);
}

char LICENSE[] SEC("license") = "GPL";
