// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/reach/loads.bpf.c -o testdata/reach/loads.clang-16.el.o; llvm-strip-16 -g testdata/reach/loads.clang-16.el.o
//
// Programs that can be loaded, to see what the verifier of a real kernel gets to: POISON is what no kernel resolves. All
// were loaded on Debian's 5.10.0-46, 6.1.0-50, 6.12.107 and 7.2.12 with libbpf 1.7. The names say what happened: "ok_"
// loads on all, "bad_" on none, "before_6_8_" fails before that version only; "since_" loads from somewhere on, but the
// walk says everywhere that POISON is reached.

#include "reach.h"

char _license[] SEC("license") = "Dual BSD/GPL";

enum no_kernel_has_this { VALUE = 5 };
#define POISON enum_value(enum no_kernel_has_this, VALUE)

struct task_struct {
	int pid;
	int no_kernel_has_this;
} core;

#define NO field_exists(((struct task_struct *)0)->no_kernel_has_this)
#define YES field_exists(((struct task_struct *)0)->pid)

#define PROGRAM(name) SEC("raw_tp/sys_enter") int name(void *ctx)

PROGRAM(bad_plain)
{
	return POISON;
}

PROGRAM(ok_guarded)
{
	if (NO)
		return POISON;
	return 0;
}

static __noinline int has(void)
{
	asm volatile("");
	return NO;
}

PROGRAM(ok_returned)
{
	if (has())
		return POISON;
	return 0;
}

static __noinline int use(int has)
{
	asm volatile("");
	if (has)
		return POISON;
	return 0;
}

PROGRAM(ok_argument)
{
	int has = NO;

	hide(has);
	return use(has) + use(has);
}

PROGRAM(ok_spilled)
{
	__u64 has = NO, id;

	hide(has);
	id = get_current_pid_tgid();
	crowd();
	if (has)
		return POISON;
	return id;
}

PROGRAM(ok_spilled_1)
{
	__u64 has = YES, id;

	hide(has);
	id = get_current_pid_tgid();
	crowd();
	if (!has)
		return POISON;
	return id;
}

PROGRAM(ok_spilled_beside_buffer)
{
	__u64 has = NO;
	char comm[16];

	hide(has);
	get_current_comm(comm, sizeof(comm));
	crowd();
	if (has)
		return POISON;
	return comm[0];
}

PROGRAM(ok_spilled_beside_stores)
{
	__u64 has = NO, buf[2], *p = buf;

	hide(has);
	hide(p);
	p[0] = get_prandom_u32();
	p[1] = 2;
	crowd();
	if (has)
		return POISON;
	return buf[0];
}

PROGRAM(ok_narrow_0)
{
	volatile int has __attribute__((aligned(8))) = NO;

	if (has)
		return POISON;
	return 0;
}

/* The 5.10.0-46 loads it: its stable branch took commit 354e8f1970f8, too. */
PROGRAM(before_5_16_narrow)
{
	volatile int has __attribute__((aligned(8))) = YES;

	if (!has)
		return POISON;
	return 0;
}

PROGRAM(ok_upper_half_0)
{
	volatile int has[2] __attribute__((aligned(8)));

	has[1] = NO;
	if (has[1])
		return POISON;
	return 0;
}

PROGRAM(bad_upper_half)
{
	volatile int has[2] __attribute__((aligned(8)));

	has[1] = YES;
	if (!has[1])
		return POISON;
	return 0;
}

PROGRAM(bad_written)
{
	__u64 has = NO;

	get_current_comm(&has, sizeof(has));
	if (has)
		return POISON;
	return 0;
}

PROGRAM(ok_xor)
{
	__u64 has = YES;

	asm volatile("%0 ^= 1" : "+r"(has));
	if (has)
		return POISON;
	return 0;
}

PROGRAM(ok_and)
{
	__u64 has = NO, random = get_prandom_u32();

	asm volatile("%0 &= %1" : "+r"(has) : "r"(random));
	if (has)
		return POISON;
	return 0;
}

PROGRAM(ok_registers)
{
	__u64 a = NO, b = YES;

	hide(a);
	hide(b);
	if (a == b)
		return POISON;
	return 0;
}

/* 7.2 loads these two, the others don't. */
PROGRAM(since_divided)
{
	__u64 has = YES;

	asm volatile("%0 /= 2" : "+r"(has));
	if (has)
		return POISON;
	return 0;
}

PROGRAM(since_negative)
{
	__u64 has = NO;

	asm volatile("%0 = -%0" : "+r"(has));
	if (has)
		return POISON;
	return 0;
}

/* All load it: the verifier takes one path at a time. */
PROGRAM(since_one_of_two)
{
	__u64 kind = get_prandom_u32() & 1 ? 3 : 4;

	hide(kind);
	if (kind != 3 && kind != 4)
		return POISON;
	return kind;
}

__noinline int global(int x)
{
	asm volatile("");
	return POISON + x;
}

PROGRAM(before_6_8_global)
{
	if (NO)
		return global(1);
	return 0;
}
