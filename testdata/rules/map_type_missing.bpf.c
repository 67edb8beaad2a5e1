// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/map_type_missing.bpf.c -o testdata/rules/map_type_missing.bpf.o; llvm-strip-16 -g testdata/rules/map_type_missing.bpf.o
//
// BPF_MAP_TYPE_CGRP_STORAGE, number 32, came with 6.2. libbpf creates every map, used or not.

#include "rules.h"

struct { // want object: CC031 break 5.10..6.1
	__uint(type, 32);
	__uint(map_flags, 1);
	__type(key, __s32);
	__type(value, __u64);
} storage SEC(".maps");

struct {
	__uint(type, 1);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	__u32 key = 0;

	return !!bpf_map_lookup_elem(&counts, &key);
}

char LICENSE[] SEC("license") = "GPL";
