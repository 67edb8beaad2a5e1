// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/load_size.bpf.c -o testdata/rules/load_size.bpf.o; llvm-strip-16 -g testdata/rules/load_size.bpf.o
//
// inode.i_state has 4 bytes since 6.10. A load of an unsigned integer is fitted to it, of a signed one it can't be: sign
// extension is not libbpf's to add.

#include "rules.h"

struct inode {
	unsigned long i_state;
} CORE;

struct inode___signed {
	long i_state;
} CORE;

SEC("fentry/inode_init_once") int witness(__u64 *ctx)
{
	struct inode___signed *inode = (void *)ctx[0];

	use(inode->i_state); // want: CC007 break 6.12..6.17; CC004 break 6.18..7.2
	return 0;
}

SEC("fentry/inode_init_once") int twin(__u64 *ctx)
{
	struct inode *inode = (void *)ctx[0];

	use(inode->i_state); // want: CC004 break 6.18..7.2
	return 0;
}

SEC("fentry/inode_init_once") int guarded(__u64 *ctx)
{
	struct inode___signed *inode = (void *)ctx[0];

	if (field_exists(inode->i_state))
		use(inode->i_state); // want: CC007 unknown 6.12..6.17; CC004 unknown 6.18..7.2
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
