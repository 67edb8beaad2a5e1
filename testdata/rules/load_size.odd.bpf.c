// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v2 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/load_size.odd.bpf.c -o testdata/rules/load_size.odd.bpf.o; llvm-strip-16 -g testdata/rules/load_size.odd.bpf.o
//
// A field of 3 bytes: no load has that size, and libbpf fails.
// kernels: three-bytes

#include "rules.h"

struct odd {
	unsigned int v;
	unsigned int w;
} CORE;

SEC("raw_tp/x") int witness(__u64 *ctx)
{
	struct odd *p = bpf_get_current_task(); // want: CC022 unknown 4.3

	return p->v; // want: CC007 break 4.3
}

SEC("raw_tp/x") int twin(__u64 *ctx)
{
	struct odd *p = bpf_get_current_task(); // want: CC022 unknown 4.3

	return p->w;
}

// libbpf fails before the verifier would see the guard.
SEC("raw_tp/x") int guarded(__u64 *ctx)
{
	struct odd *p = bpf_get_current_task(); // want: CC022 unknown 4.3

	if (field_exists(p->v))
		return p->v; // want: CC007 break 4.3
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
