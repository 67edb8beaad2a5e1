// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/map_type_missing.twin.bpf.c -o testdata/truth/map_type_missing.twin.bpf.o; llvm-strip-16 -g testdata/truth/map_type_missing.twin.bpf.o
//
// BPF_MAP_TYPE_SK_STORAGE is there since 5.2; but for the type the map is that of the witness.

#include "../rules/rules.h"

struct {
	__uint(type, 24);
	__uint(map_flags, 1); // BPF_F_NO_PREALLOC
	__type(key, __s32);
	__type(value, __u64);
} storage SEC(".maps");

SEC("raw_tp/sched_switch") int twin(__u64 *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
