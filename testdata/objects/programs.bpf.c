// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-14 -target bpf$e -O2 -g -Wall -Werror -Wno-unused-variable -fdebug-compilation-dir=. -c testdata/objects/programs.bpf.c -o testdata/objects/programs.clang-14.$e.o; llvm-strip-14 -g testdata/objects/programs.clang-14.$e.o; done
//
// Programs of many sections, subprograms of every linkage, callbacks, externs, data. What is to be read of them is in
// programs.golden.

#include "bpf.h"

struct gendisk {
	int major;
} CORE;

struct request {
	struct gendisk *rq_disk;
	unsigned int tags[4];
} CORE;

enum req_op {
	REQ_OP_READ,
	REQ_OP_WRITE,
};

struct trace_entry {
	int pid;
} CORE;

struct {
	__uint(type, 1);
	__uint(max_entries, 1024);
	__uint(map_flags, 1);
	__uint(pinning, 1);
	__type(key, __u32);
	__type(value, __u64);
} counts SEC(".maps");

struct {
	__uint(type, 27);
	__uint(max_entries, 4096);
} events SEC(".maps");

extern __u32 LINUX_KERNEL_VERSION __kconfig;
extern _Bool CONFIG_PREEMPT __kconfig __weak;
extern char CONFIG_LOCALVERSION[8] __kconfig __weak;

extern const int runqueues __ksym;
extern const void jiffies __ksym;
extern const void gone_symbol __ksym __weak;
extern void *bpf_task_acquire(void *task) __ksym;
extern void bpf_cpumask_release___v2(void *mask) __ksym __weak;

const volatile __u32 limit = 7;
const volatile char name[8] SEC(".rodata.name") = "object";
__u64 total;
__u64 start = 1;
static __u64 hidden_start SEC(".data.hidden") = 3;

/* A static subprogram, called twice: calls are relocations against the section. */
static __noinline int count(__u32 key)
{
	__u64 one = 1;

	return bpf_map_update_elem(&counts, &key, &one, 0);
}

/* A global one, which calls the static one. */
__noinline int weigh(__u32 a, __u32 b)
{
	return a > b ? count(a) : count(b);
}

/* Called by nothing: no program reaches it. */
__noinline int unused(struct request *rq)
{
	return __builtin_preserve_field_info(rq->tags[2], 1);
}

/* A callback: only its address is taken. */
static int each(__u32 i, void *ctx)
{
	total += i;
	return i > limit;
}

/* A weak one: the only definition, so that it stays. */
__weak __noinline int weak_one(__u64 x)
{
	return x + start + hidden_start;
}

SEC("kprobe/blk_account_io_start+0x4")
int start_io(void *ctx)
{
	struct request *rq = *(struct request **)ctx;

	if (!__builtin_preserve_field_info(rq->rq_disk, 2))
		return 0;
	return rq->rq_disk->major + rq->tags[1];
}

SEC("?kretprobe/blk_account_io_done")
int done_io(void *ctx)
{
	return count(bpf_get_current_pid_tgid());
}

SEC("tp/block/block_rq_issue")
int issue(struct trace_entry *ctx)
{
	return weigh(ctx->pid, 2) + weak_one(CONFIG_PREEMPT);
}

SEC("tp_btf/block_rq_complete")
int complete(__u64 *ctx)
{
	bpf_loop(10, each, (void *)0, 0);
	return __builtin_preserve_enum_value(*(enum req_op *)REQ_OP_WRITE, 0);
}

/* Two programs in one section. */
SEC("fentry/vfs_read")
int first(__u64 *ctx)
{
	void *task = bpf_task_acquire((void *)ctx[0]);

	if (&bpf_cpumask_release___v2)
		bpf_cpumask_release___v2(task);
	return 0;
}

SEC("fentry/vfs_read")
int second(__u64 *ctx)
{
	__u64 sum = LINUX_KERNEL_VERSION + name[ctx[0] & 7] + CONFIG_LOCALVERSION[ctx[1] & 7];

	if (&gone_symbol)
		sum += (__u64)&jiffies;
	return sum + *(int *)&runqueues;
}

SEC("lsm.s/file_open")
int open_file(__u64 *ctx)
{
	return __builtin_preserve_type_info(*(struct gendisk *)0, 0) - __builtin_preserve_type_info(*(struct request *)0, 1);
}

SEC("xdp.frags")
int packet(void *ctx)
{
	return bpf_for_each_map_elem(&counts, each, (void *)0, 0) + (bpf_map_lookup_elem(&events, ctx) != (void *)0);
}

SEC("iter/task")
int tasks(void *ctx)
{
	return 0;
}

SEC("uprobe//usr/lib/libc.so.6:malloc+16")
int allocate(void *ctx)
{
	return __builtin_btf_type_id(*(struct request *)0, 0) + __builtin_btf_type_id(*(struct request *)0, 1);
}

SEC("uprobe/no_function")
int no_function(void *ctx)
{
	return 0;
}

SEC("mine/to/choose")
int unknown_section(void *ctx)
{
	return 0;
}

char _license[] SEC("license") = "Dual BSD/GPL";
__u32 _version SEC("version") = 0x50000;
