// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/helper_missing.bpf.c -o testdata/rules/helper_missing.bpf.o; llvm-strip-16 -g testdata/rules/helper_missing.bpf.o
//
// bpf_for_each_map_elem, number 164, came with 5.13.

#include "rules.h"

enum bpf_func_id {
	BPF_FUNC_for_each_map_elem = 164,
};

struct {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

static long count(void *map, const void *key, void *value, void *ctx)
{
	return 0;
}

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	return bpf_for_each_map_elem(&counts, count, 0, 0); // want: CC030 break 5.10
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	__u32 key = 0;

	return bpf_map_lookup_elem(&counts, &key) && bpf_ktime_get_ns();
}

SEC("raw_tp/sched_switch") int guarded(__u64 *ctx)
{
	if (enumval_exists(enum bpf_func_id, BPF_FUNC_for_each_map_elem))
		return bpf_for_each_map_elem(&counts, count, 0, 0); // want: CC030 unknown 5.10
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
