// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-14 -target bpf$e -O2 -g -Wall -Werror -Wno-unused-variable -fdebug-compilation-dir=. -c testdata/objects/ops.bpf.c -o testdata/objects/ops.clang-14.$e.o; llvm-strip-14 -g testdata/objects/ops.clang-14.$e.o; done
//
// struct_ops maps: with and without a link, switched off, with members that are zero, plain and programs.

#include "bpf.h"

struct sock;

struct tcp_congestion_ops {
	void (*init)(struct sock *sk);
	__u32 (*ssthresh)(struct sock *sk);
	__u32 (*undo_cwnd)(struct sock *sk);
	__u32 flags;
	char name[16];
};

struct hid_bpf_ops___new {
	int hid_id;
	int (*hid_device_event)(void *ctx);
};

SEC("struct_ops")
void ops_init(__u64 *ctx)
{
}

SEC("struct_ops.s/ssthresh")
__u32 ops_ssthresh(__u64 *ctx)
{
	return bpf_ktime_get_ns();
}

SEC("?struct_ops")
int ops_event(__u64 *ctx)
{
	return 0;
}

SEC(".struct_ops")
struct tcp_congestion_ops plain = {
	.init = (void *)ops_init,
	.name = "plain",
};

SEC(".struct_ops.link")
struct tcp_congestion_ops linked = {
	.init = (void *)ops_init,
	.ssthresh = (void *)ops_ssthresh,
	.flags = 2,
};

SEC(".struct_ops.link")
struct tcp_congestion_ops linked_too = {
	.undo_cwnd = (void *)ops_ssthresh,
};

SEC("?.struct_ops.link")
struct hid_bpf_ops___new off = {
	.hid_device_event = (void *)ops_event,
};

char _license[] SEC("license") = "GPL";
