// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -Wno-unused-variable -fdebug-compilation-dir=. -c relocate/load/testdata/context.bpf.c -o relocate/load/testdata/context.bpf.o; llvm-strip-16 -g relocate/load/testdata/context.bpf.o
//
// A global function that needs its argument to be the context, for programs of several types. Kernels before 6.8 do not
// know the tag that says so.

#include "../../../testdata/objects/bpf.h"

#define __arg_ctx __attribute__((btf_decl_tag("arg:ctx")))

static long (*bpf_get_stack)(void *ctx, void *buf, __u32 size, __u64 flags) = (void *)67;

struct pt_regs {
	long first;
};

__u64 buffer[4];

__noinline int any(int n, void *ctx __arg_ctx)
{
	return bpf_get_stack(ctx, buffer, sizeof(buffer), n & 0xff);
}

__noinline int both(void *ctx __arg_ctx, int n)
{
	return any(n, ctx) + n;
}

__noinline int regs(struct pt_regs *ctx __arg_ctx)
{
	return bpf_get_stack(ctx, buffer, sizeof(buffer), 0);
}

SEC("kprobe")
int of_kprobe(struct pt_regs *ctx)
{
	return any(1, ctx) + regs(ctx);
}

SEC("raw_tp/sys_enter")
int of_raw(void *ctx)
{
	return both(ctx, 2);
}

SEC("tp/sched/sched_switch")
int of_tracepoint(void *ctx)
{
	return any(3, ctx);
}

SEC("perf_event")
int of_event(void *ctx)
{
	return both(ctx, 4);
}

char _license[] SEC("license") = "GPL";
