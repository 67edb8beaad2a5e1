// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/object_refused.bpf.c -o testdata/truth/object_refused.bpf.o; llvm-strip-16 -g testdata/truth/object_refused.bpf.o
//
// A map as libbpf before 1.0 took them. It is the loader that refuses the object, on every kernel.

#include "../rules/rules.h"

struct bpf_map_def {
	__u32 type, key_size, value_size, max_entries, map_flags;
};

struct bpf_map_def SEC("maps") counts = {
	.type = 1,
	.key_size = 4,
	.value_size = 8,
	.max_entries = 1,
};

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	__u32 key = 0;

	return !!bpf_map_lookup_elem(&counts, &key);
}

char LICENSE[] SEC("license") = "GPL";
