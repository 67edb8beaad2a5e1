// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/field_missing.bpf.c -o testdata/rules/field_missing.bpf.o; llvm-strip-16 -g testdata/rules/field_missing.bpf.o
//
// task_struct.state became __state in 5.14. README.md says what the comments mean.

#include "rules.h"

struct task_struct {
	long state;
	unsigned int __state;
	int pid;
} CORE;

// In the kernel both are in a union without a name.
struct inode {
	unsigned int i_nlink;
} CORE;

SEC("tp_btf/sched_switch") int witness(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];

	return core_read(prev, state); // want: CC001 break 6.1..7.2
}

SEC("tp_btf/sched_switch") int twin(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];

	return core_read(prev, pid);
}

SEC("fentry/vfs_fsync_range") int anonymous(__u64 *ctx)
{
	struct inode *inode = (void *)ctx[0];

	use(core_read(inode, i_nlink));
	return 0;
}

SEC("tp_btf/sched_switch") int guarded(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];

	if (field_exists(prev->state))
		return core_read(prev, state); // want: CC001 unknown 6.1..7.2
	return core_read(prev, __state); // want: CC001 unknown 5.10
}

// Asks about another type: that is no guard.
SEC("tp_btf/sched_switch") int unrelated(__u64 *ctx)
{
	struct task_struct *prev = (void *)ctx[1];

	if (field_exists(((struct inode *)0)->i_nlink))
		return core_read(prev, state); // want: CC001 break 6.1..7.2
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
