// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/object_refused.twin.bpf.c -o testdata/truth/object_refused.twin.bpf.o; llvm-strip-16 -g testdata/truth/object_refused.twin.bpf.o
//
// The same map as it is written now.

#include "../rules/rules.h"

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
