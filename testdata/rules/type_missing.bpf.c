// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/type_missing.bpf.c -o testdata/rules/type_missing.bpf.o; llvm-strip-16 -g testdata/rules/type_missing.bpf.o
//
// struct hd_struct went in 5.11.

#include "rules.h"

struct hd_struct {
	int partno;
} CORE;

struct gendisk {
	int major;
} CORE;

// A type that no vmlinux has may be a module's; 5.10 has no BTF of modules.
struct xfs_corecheck {
	int v;
} CORE;

// The kernel has a typedef of this name, of a struct without one.
struct atomic_t {
	int counter;
} CORE;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	struct hd_struct *part = bpf_get_current_task();

	return core_read(part, partno); // want: CC002 break 6.1..7.2
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	struct gendisk *disk = bpf_get_current_task();

	return core_read(disk, major);
}

SEC("raw_tp/sched_switch") int guarded(__u64 *ctx)
{
	struct hd_struct *part = bpf_get_current_task();

	if (type_exists(struct hd_struct))
		return core_read(part, partno); // want: CC002 unknown 6.1..7.2
	return 0;
}

SEC("raw_tp/sched_switch") int of_a_module(__u64 *ctx)
{
	struct xfs_corecheck *x = bpf_get_current_task();

	return core_read(x, v); // want: CC002 break 5.10; CC002 unknown 6.1..7.2
}

SEC("raw_tp/sched_switch") int typedefed(__u64 *ctx)
{
	struct atomic_t *x = bpf_get_current_task();

	return core_read(x, counter); // want: CC002 break 5.10..7.2
}

char LICENSE[] SEC("license") = "GPL";
