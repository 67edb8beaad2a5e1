// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../.. && clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/demo/blkstate.bpf.c -o testdata/demo/blkstate.bpf.o
// build: llvm-strip-16 -g blkstate.bpf.o
//
// blkstate: latency of block I/O, and the state in which tasks wait for it. A small tool as many are: begun on Linux
// 5.10, carried on with what later kernels brought, and never tried on all of them. Each program stands for one way in
// which a tool meets a kernel; its comment says what is to be expected. The programs were loaded and attached one by one
// on the embedded kernels, and did what the comments say: observed.txt.

typedef unsigned char __u8;
typedef unsigned int __u32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define __ksym __attribute__((section(".ksyms")))
#define __weak __attribute__((weak))
#define __always_inline inline __attribute__((always_inline))
#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

// Helpers, by their number in enum bpf_func_id.
static void *(*bpf_map_lookup_elem)(void *map, const void *key) = (void *)1;
static long (*bpf_map_update_elem)(void *map, const void *key, const void *value, __u64 flags) = (void *)2;
static long (*bpf_map_delete_elem)(void *map, const void *key) = (void *)3;
static __u64 (*bpf_ktime_get_ns)(void) = (void *)5;
static __u64 (*bpf_get_current_pid_tgid)(void) = (void *)14;
static void *(*bpf_get_current_task)(void) = (void *)35;
static long (*bpf_probe_read_kernel)(void *dst, __u32 size, const void *src) = (void *)113;
static long (*bpf_seq_write)(void *seq, const void *data, __u32 len) = (void *)127;
static long (*bpf_for_each_map_elem)(void *map, void *callback, void *ctx, __u64 flags) = (void *)164;

// Reads a field whose offset the loader fills in, and asks whether the kernel has it.
#define core_read(ptr, field)                                                   \
	({                                                                      \
		typeof((ptr)->field) value_;                                    \
		bpf_probe_read_kernel(&value_, sizeof(value_), &(ptr)->field);  \
		value_;                                                         \
	})
#define field_exists(field) __builtin_preserve_field_info(field, 2)
#define enum_value(type, enumerator) __builtin_preserve_enum_value(*(type *)enumerator, 1)

// The kernel's types, with the members that are read.
#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct task_struct {
	long state; // until 5.13
	int pid;
	int tgid;
	struct task_struct *real_parent;
};

struct task_struct___new {
	unsigned int __state; // since 5.14
};

struct gendisk {
	int major;
	int first_minor;
};

struct request {
	unsigned int cmd_flags;
	struct gendisk *rq_disk; // until 5.16
};

struct seq_file;

struct bpf_iter_meta {
	struct seq_file *seq;
};

struct bpf_iter__task {
	struct bpf_iter_meta *meta;
	struct task_struct *task;
};

#pragma clang attribute pop

enum req_opf { // enum req_op since 6.0
	REQ_OP_DISCARD = 3,
};

#define REQ_OP_MASK 0xff

// A kfunc that is not weak would keep the whole object from loading where it is missing.
extern struct task_struct *bpf_task_from_pid(int pid) __weak __ksym;
extern void bpf_task_release(struct task_struct *task) __weak __ksym;
extern void bpf_rcu_read_lock(void) __weak __ksym;
extern void bpf_rcu_read_unlock(void) __weak __ksym;

enum {
	BPF_MAP_TYPE_HASH = 1,
};

// What is known of a request, or of a task that waits.
struct event {
	__u64 start_ns;
	__u64 delta_ns;
	long state;
	int major;
	int minor;
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, __u64);
	__type(value, struct event);
} events SEC(".maps");

static __always_inline void begin(__u64 key, long state)
{
	struct event event = { .start_ns = bpf_ktime_get_ns(), .state = state };

	bpf_map_update_elem(&events, &key, &event, 0);
}

static __always_inline void end(__u64 key)
{
	struct event *event = bpf_map_lookup_elem(&events, &key);

	if (event)
		event->delta_ns = bpf_ktime_get_ns() - event->start_ns;
}

// Fine on all of these kernels. Linux before 5.11 (5.10.137 in the stable series) passes the queue first: the argument is not
// a request there, and nothing says so.
SEC("tp_btf/block_rq_issue")
int issue(__u64 *ctx)
{
	struct request *rq = (void *)ctx[0];

	begin((__u64)rq, 0);
	return 0;
}

// Breaks since 5.17: no request.rq_disk; and since 6.0: no enum req_opf. Nothing guards either.
SEC("tp_btf/block_rq_complete")
int complete(__u64 *ctx)
{
	struct request *rq = (void *)ctx[0];
	__u64 key = (__u64)rq;
	struct event *event;

	end(key);
	event = bpf_map_lookup_elem(&events, &key);
	if (!event)
		return 0;
	if ((rq->cmd_flags & REQ_OP_MASK) == enum_value(enum req_opf, REQ_OP_DISCARD))
		return bpf_map_delete_elem(&events, &key);
	event->major = rq->rq_disk->major;
	event->minor = rq->rq_disk->first_minor;
	return 0;
}

// Breaks since 5.14: task_struct.state was renamed, and nothing guards the read.
SEC("kprobe/io_schedule")
int wait_begin(void *ctx)
{
	struct task_struct *task = bpf_get_current_task();

	begin(bpf_get_current_pid_tgid(), core_read(task, state));
	return 0;
}

// The same, done well: one of the two reads is missing on every kernel, and it is not reached there.
SEC("kretprobe/io_schedule")
int wait_end(void *ctx)
{
	struct task_struct *task = bpf_get_current_task();
	struct task_struct___new *new = (void *)task;
	__u64 key = bpf_get_current_pid_tgid();
	struct event *event = bpf_map_lookup_elem(&events, &key);

	end(key);
	if (!event)
		return 0;
	if (field_exists(new->__state))
		event->state = core_read(new, __state);
	else
		event->state = core_read(task, state);
	return 0;
}

// A kprobe's target is a symbol, and BTF has functions: where it is not in BTF, only the symbol table can tell. This one
// is gone since 5.16, where folio_account_dirtied took its place.
SEC("kprobe/account_page_dirtied")
int dirtied(void *ctx)
{
	begin(bpf_get_current_pid_tgid(), 0);
	return 0;
}

// An fentry target is looked up in BTF when the program is loaded; this function was merged into its caller.
SEC("fentry/submit_bio_checks")
int submit(__u64 *ctx)
{
	begin(ctx[0], 0);
	return 0;
}

// A tracepoint of Linux 6.5, and kfuncs of 6.2 that nothing guards. Not loaded unless the tool asks for it.
SEC("?tp_btf/block_io_start")
int queue(__u64 *ctx)
{
	struct task_struct *task = bpf_task_from_pid(bpf_get_current_pid_tgid() >> 32);

	if (!task)
		return 0;
	begin(ctx[0], task->tgid);
	bpf_task_release(task);
	return 0;
}

// A raw tracepoint is looked up when it is attached: this loads everywhere, and can't be attached before 6.5.
SEC("raw_tp/block_io_done")
int dequeue(__u64 *ctx)
{
	end(ctx[0]);
	return 0;
}

// Weak kfuncs: where they are missing, the tool does without.
SEC("iter/task")
int dump(struct bpf_iter__task *ctx)
{
	struct task_struct *task = ctx->task;
	int parent = 0;

	if (!task)
		return 0;
	if (bpf_rcu_read_lock && bpf_rcu_read_unlock) {
		bpf_rcu_read_lock();
		parent = core_read(task, real_parent) != 0;
		bpf_rcu_read_unlock();
	}
	bpf_seq_write(ctx->meta->seq, &parent, sizeof(parent));
	return 0;
}

static long forget(void *map, const __u64 *key, struct event *event, void *ctx)
{
	bpf_map_delete_elem(map, key);
	return 0;
}

// A program type of Linux 5.14 and a helper of 5.13: user space runs it to begin anew.
SEC("syscall")
int reset(void *ctx)
{
	bpf_for_each_map_elem(&events, forget, 0, 0);
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
