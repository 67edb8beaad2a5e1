// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/enumerator_missing.bpf.c -o testdata/rules/enumerator_missing.bpf.o; llvm-strip-16 -g testdata/rules/enumerator_missing.bpf.o
//
// BPF_MAP_TYPE_CGRP_STORAGE came with 6.2.

#include "rules.h"

enum bpf_map_type {
	BPF_MAP_TYPE_HASH = 1,
	BPF_MAP_TYPE_CGRP_STORAGE = 32,
};

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	return enumval_value(enum bpf_map_type, BPF_MAP_TYPE_CGRP_STORAGE); // want: CC003 break 5.10..6.1
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	return enumval_value(enum bpf_map_type, BPF_MAP_TYPE_HASH);
}

SEC("raw_tp/sched_switch") int guarded(__u64 *ctx)
{
	if (enumval_exists(enum bpf_map_type, BPF_MAP_TYPE_CGRP_STORAGE))
		use(enumval_value(enum bpf_map_type, BPF_MAP_TYPE_CGRP_STORAGE)); // want: CC003 unknown 5.10..6.1
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
