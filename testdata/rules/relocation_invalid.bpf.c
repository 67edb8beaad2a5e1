// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/relocation_invalid.bpf.c -o testdata/rules/relocation_invalid.bpf.o; llvm-strip-16 -g testdata/rules/relocation_invalid.bpf.o
//
// An offset that no load can hold: pglist_data.node_id lies more than 32767 bytes behind the start.

#include "rules.h"

struct pglist_data {
	int node_id;
} CORE;

SEC("fentry/next_online_pgdat") int witness(__u64 *ctx)
{
	struct pglist_data *node = (void *)ctx[0];

	use(node->node_id); // want: CC008 break 5.10..7.2
	return 0;
}

SEC("fentry/next_online_pgdat") int twin(__u64 *ctx)
{
	struct pglist_data *node = (void *)ctx[0];

	use(core_read(node, node_id));
	return 0;
}

// libbpf fails before the verifier would see the guard.
SEC("fentry/next_online_pgdat") int guarded(__u64 *ctx)
{
	struct pglist_data *node = (void *)ctx[0];

	if (field_exists(node->node_id))
		use(node->node_id); // want: CC008 break 5.10..7.2
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
