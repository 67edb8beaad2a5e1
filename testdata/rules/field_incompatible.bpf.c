// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/field_incompatible.bpf.c -o testdata/rules/field_incompatible.bpf.o; llvm-strip-16 -g testdata/rules/field_incompatible.bpf.o
//
// inode.i_state was an unsigned long, a u32 since 6.10, an enum since 6.18 and a struct since 6.19.

#include "rules.h"

struct inode {
	unsigned long i_state;
	unsigned long i_ino;
} CORE;

enum inode_state_flags_enum {
	I_NEW = 1,
};

struct inode_state_flags {
	enum inode_state_flags_enum __state;
} CORE;

struct inode___struct {
	struct inode_state_flags i_state;
} CORE;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	struct inode *inode = bpf_get_current_task();

	return core_read(inode, i_state); // want: CC004 break 6.18..7.2
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	struct inode *inode = bpf_get_current_task();

	return core_read(inode, i_ino);
}

SEC("raw_tp/sched_switch") int guarded(__u64 *ctx)
{
	struct inode *inode = bpf_get_current_task();
	struct inode___struct *new = bpf_get_current_task();

	if (field_exists(inode->i_state))
		return core_read(inode, i_state); // want: CC004 unknown 6.18..7.2
	return core_read(new, i_state.__state); // want: CC004 unknown 5.10..6.18
}

char LICENSE[] SEC("license") = "GPL";
