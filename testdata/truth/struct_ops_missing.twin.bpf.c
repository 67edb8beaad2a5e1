// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/struct_ops_missing.twin.bpf.c -o testdata/truth/struct_ops_missing.twin.bpf.o; llvm-strip-16 -g testdata/truth/struct_ops_missing.twin.bpf.o
//
// tcp_congestion_ops is there since 5.6. The kernel takes none without these three.

#include "../rules/rules.h"

struct sock;

struct tcp_congestion_ops {
	__u32 (*ssthresh)(struct sock *sk);
	void (*cong_avoid)(struct sock *sk, __u32 ack, __u32 acked);
	__u32 (*undo_cwnd)(struct sock *sk);
	char name[16];
};

SEC("struct_ops") __u32 twin(__u64 *ctx) { return 2; }

SEC("struct_ops") void twin_cong_avoid(__u64 *ctx) {}

SEC("struct_ops") __u32 twin_undo_cwnd(__u64 *ctx) { return 2; }

SEC(".struct_ops") struct tcp_congestion_ops congestion = {
	.ssthresh = (void *)twin,
	.cong_avoid = (void *)twin_cong_avoid,
	.undo_cwnd = (void *)twin_undo_cwnd,
	.name = "corecheck",
};

char LICENSE[] SEC("license") = "GPL";
