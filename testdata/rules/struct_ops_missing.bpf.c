// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/struct_ops_missing.bpf.c -o testdata/rules/struct_ops_missing.bpf.o; llvm-strip-16 -g testdata/rules/struct_ops_missing.bpf.o
//
// sched_ext_ops came with 6.12, where Debian did not have it on; cwnd_event_tx_start of tcp_congestion_ops with 7.1.

#include "rules.h"

struct sock;

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	void (*cwnd_event_tx_start)(struct sock *sk);
	char name[16];
};

struct tcp_congestion_ops___other {
	__u32 (*ssthresh)(struct sock *sk);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[8]; // 16 in the kernel
	__u32 release; // a pointer in the kernel
	int of_no_kernel;
	int of_no_kernel_zero;
};

struct sched_ext_ops {
	void (*exit)(void *info);
	char name[128];
};

struct xfs_corecheck {
	void (*init)(void);
};

SEC("struct_ops") __u32 ssthresh(__u64 *ctx)
{
	return 2;
}

SEC("struct_ops") void cong_avoid(__u64 *ctx)
{
}

SEC("struct_ops") __u32 undo_cwnd(__u64 *ctx)
{
	return 2;
}

SEC("struct_ops") void tx_start(__u64 *ctx) // want object: CC025 warn 5.10..7.0
{
}

SEC("struct_ops") void scx_exit(__u64 *ctx)
{
}

SEC(".struct_ops") struct tcp_congestion_ops congestion = {
	.ssthresh = (void *)ssthresh,
	.cong_avoid = (void *)cong_avoid,
	.undo_cwnd = (void *)undo_cwnd,
	.cwnd_event_tx_start = (void *)tx_start,
	.name = "corecheck",
};

// Three members that don't fit, each a finding of its own.
SEC(".struct_ops") struct tcp_congestion_ops___other other = { // want object: CC025 break 5.10..7.2
	.ssthresh = (void *)ssthresh,
	.name = "other",
	.release = 1,
	.of_no_kernel = 1,
};

SEC(".struct_ops") struct sched_ext_ops scheduler = { // want object: CC025 break 5.10..6.12
	.exit = (void *)scx_exit,
	.name = "corecheck",
};

SEC(".struct_ops") struct xfs_corecheck of_a_module = {}; // want object: CC025 break 5.10; CC025 unknown 6.1..7.2

// Switched off.
SEC("?.struct_ops") struct xfs_corecheck off = {};

char LICENSE[] SEC("license") = "GPL";
