// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/type_size_zero.bpf.c -o testdata/rules/type_size_zero.bpf.o; llvm-strip-16 -g testdata/rules/type_size_zero.bpf.o
//
// struct hd_struct went in 5.11: its size and its id are then 0, and the program loads.

#include "rules.h"

struct hd_struct {
	int partno;
} CORE;

struct gendisk {
	int major;
} CORE;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	return type_size(struct hd_struct); // want: CC009 warn 6.1..7.2
}

SEC("raw_tp/sched_switch") int witness_id(__u64 *ctx)
{
	return type_id_target(struct hd_struct); // want: CC009 warn 6.1..7.2
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	return type_size(struct gendisk) + type_id_target(struct gendisk);
}

SEC("raw_tp/sched_switch") int guarded(__u64 *ctx)
{
	if (type_exists(struct hd_struct))
		return type_size(struct hd_struct);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
