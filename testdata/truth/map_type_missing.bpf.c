// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/map_type_missing.bpf.c -o testdata/truth/map_type_missing.bpf.o; llvm-strip-16 -g testdata/truth/map_type_missing.bpf.o
//
// BPF_MAP_TYPE_CGRP_STORAGE came with 6.2. libbpf creates every map, used or not.

#include "../rules/rules.h"

struct {
	__uint(type, 32);
	__uint(map_flags, 1); // BPF_F_NO_PREALLOC
	__type(key, __s32);
	__type(value, __u64);
} storage SEC(".maps");

SEC("raw_tp/sched_switch") int witness(__u64 *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
