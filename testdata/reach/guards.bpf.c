// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do for v in v2 v3; do clang-16 -target bpf$e -mcpu=$v -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/reach/guards.bpf.c -o testdata/reach/guards.clang-16.$v.$e.o; llvm-strip-16 -g testdata/reach/guards.clang-16.$v.$e.o; done; done
//
// Guarded and unguarded reads of what the kernel does not have. See reach.h for what the names of members mean.

#include "reach.h"

char _license[] SEC("license") = "Dual BSD/GPL";

SEC("kprobe/a")
int plain(struct item *i)
{
	return i->here + i->live;
}

SEC("kprobe/a")
int same_type(struct item *i)
{
	if (field_exists(i->guard))
		return i->dead;
	return i->here;
}

struct other {
	int here;
	int guard;
} core;

SEC("kprobe/a")
int other_field(struct item *i)
{
	struct other *o = 0;

	if (field_exists(o->guard))
		return i->dead;
	if (field_exists(o->here))
		return i->live;
	return i->dead;
}

struct gone___v2 {
	int x;
} core;

SEC("kprobe/a")
int other_type(struct item *i)
{
	if (type_exists(struct gone___v2))
		return ((struct never *)i)->dead;
	return i->live;
}

SEC("kprobe/a")
int size_of_type(struct item *i)
{
	__u64 size = type_size(struct gone___v2);

	hide(size);
	if (size > 0)
		return i->dead;
	return i->here;
}

SEC("kprobe/a")
int nested(struct item *i)
{
	if (field_exists(i->here)) {
		if (type_exists(struct never))
			return i->dead;
		if (get_prandom_u32() & 1) {
			if (enum_value_exists(enum state, GONE))
				return i->dead;
			return i->live;
		}
	} else {
		return i->dead;
	}
	return i->here;
}

SEC("kprobe/a")
int value_of_enum(struct item *i)
{
	__u64 v = enum_value(enum state, HERE);

	hide(v);
	if (v == HERE)
		return i->dead; /* it is 7 there */
	if (v == 7)
		return i->live;
	return i->dead;
}

SEC("kprobe/a")
int exists_enum(struct item *i)
{
	if (enum_value_exists(enum state, GONE))
		return i->dead + enum_value(enum state, GONE);
	return i->here;
}

static __noinline int has_guard(struct item *i)
{
	if (field_exists(i->guard))
		return 1;
	return 0;
}

SEC("kprobe/a")
int returned(struct item *i)
{
	if (has_guard(i))
		return i->dead;
	return i->live;
}

static __noinline int read_if(struct item *i, int has)
{
	asm volatile("");
	if (has)
		return i->dead;
	return i->here;
}

SEC("kprobe/a")
int argument(struct item *i)
{
	int has = field_exists(i->guard);
	int r;

	hide(has);
	r = read_if(i, has);
	return r + read_if(i + 1, has);
}

static __noinline int read_some(struct item *i, int has)
{
	asm volatile("");
	if (has)
		return i->live; /* one of the callers wants it */
	return i->here;
}

SEC("kprobe/a")
int arguments(struct item *i)
{
	return read_some(i, 0) + read_some(i + 1, 1);
}

SEC("kprobe/a")
int spilled(struct item *i)
{
	__u64 has = field_exists(i->guard);

	hide(has);
	*(volatile __u64 *)&i->here = get_current_pid_tgid();
	crowd();
	if (has)
		return i->dead;
	return i->live;
}

/* A variable of 4 bytes, which the verifier knows since 5.16. 0 would be known before. */
SEC("kprobe/a")
int spilled_narrow(struct item *i)
{
	volatile int has __attribute__((aligned(8))) = field_exists(i->here);

	if (!has)
		return i->before_5_16;
	return i->live;
}

/* A helper writes to the stack while the answer is there. */
SEC("kprobe/a")
int spilled_buffer(struct item *i)
{
	__u64 has = field_exists(i->guard);
	char comm[16];

	hide(has);
	get_current_comm(comm, sizeof(comm));
	*(volatile int *)&i->here = comm[0];
	crowd();
	if (has)
		return i->dead;
	return i->live + comm[1];
}

/* A variable whose address is given away is not a known one. */
SEC("kprobe/a")
int written(struct item *i)
{
	__u64 has = field_exists(i->guard);

	get_current_comm(&has, sizeof(has));
	if (has)
		return i->live;
	return i->here;
}

SEC("kprobe/a")
int negated(struct item *i)
{
	if (!field_exists(i->guard))
		return i->here;
	return i->dead;
}

SEC("kprobe/a")
int negated_value(struct item *i)
{
	__u64 lacks = field_exists(i->here);

	asm volatile("%0 ^= 1" : "+r"(lacks));
	if (lacks)
		return i->before_5_10;
	return i->live;
}

SEC("kprobe/a")
int both(struct item *i)
{
	if (field_exists(i->here) && field_exists(i->guard))
		return i->dead;
	if (get_prandom_u32() && type_exists(struct never))
		return i->dead;
	if (get_prandom_u32() && field_exists(i->here))
		return i->live;
	return 0;
}

SEC("kprobe/a")
int either(struct item *i)
{
	if (type_exists(struct never) || field_exists(i->guard))
		return i->dead;
	if (type_exists(struct never) || get_prandom_u32())
		return i->live;
	return 0;
}

SEC("kprobe/a")
int beside(struct item *i)
{
	int sum = i->live;

	if (field_exists(i->guard))
		sum += i->dead;
	sum += i->live;
	return sum;
}

SEC("kprobe/a")
int in_loop(struct item *i)
{
	int sum = 0;

	for (int n = 0; n < 100; n++) {
		if (field_exists(i->guard))
			sum += i->dead;
		sum += get_prandom_u32();
		if (sum == 77)
			sum += i->live;
	}
	return sum;
}

static int each(__u32 n, struct item **i)
{
	if (field_exists((*i)->guard))
		return (*i)->dead;
	return (*i)->live;
}

static int never_each(__u32 n, struct item **i)
{
	return (*i)->dead;
}

SEC("kprobe/a")
int callback(struct item *i)
{
	loop(10, each, &i, 0);
	if (field_exists(i->guard))
		loop(10, never_each, &i, 0);
	return 0;
}

__noinline int global(struct item *i)
{
	if (!i)
		return 0;
	return i->before_6_8;
}

SEC("kprobe/a")
int lazy(struct item *i)
{
	if (field_exists(i->guard))
		return global(i);
	return 0;
}

/* What a global function returns is unknown, whatever it returns. */
__noinline int global_zero(void)
{
	asm volatile("");
	return 0;
}

SEC("kprobe/a")
int unknown_return(struct item *i)
{
	if (global_zero())
		return i->live;
	return 0;
}

/* The loader may set it. */
const volatile int want SEC(".rodata") = 0;

SEC("kprobe/a")
int setting(struct item *i)
{
	if (want)
		return i->live;
	return 0;
}
