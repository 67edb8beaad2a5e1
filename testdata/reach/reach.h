/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the programs of this folder share. They are walked, never run. */

typedef unsigned char __u8;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define __noinline __attribute__((noinline))
#define __weak __attribute__((weak))
#define __kconfig __attribute__((section(".kconfig")))
#define __ksym __attribute__((section(".ksyms")))
#define core __attribute__((preserve_access_index))

/* The numbers are those of enum bpf_field_info_kind, bpf_type_info_kind and bpf_enum_value_kind of libbpf. */
#define field_exists(field) __builtin_preserve_field_info(field, 2)
#define type_exists(type) __builtin_preserve_type_info(*(type *)0, 0)
#define type_size(type) __builtin_preserve_type_info(*(type *)0, 1)
#define enum_value_exists(type, value) __builtin_preserve_enum_value(*(type *)value, 0)
#define enum_value(type, value) __builtin_preserve_enum_value(*(type *)value, 1)

/* The compiler is not to know what it holds. */
#define hide(value) asm volatile("" : "+r"(value))
/* All registers that a call leaves alone are taken: what lives across it goes to the stack. */
#define crowd() asm volatile("" ::: "r6", "r7", "r8", "r9")

static __u64 (*const get_current_pid_tgid)(void) = (void *)14;
static __u64 (*const get_prandom_u32)(void) = (void *)7;
static long (*const get_current_comm)(void *buf, __u32 size) = (void *)16;
static long (*const loop)(__u32 nr, void *callback, void *ctx, __u64 flags) = (void *)181;

/* A type of which the kernel has 'here' and no other member. The names of the others say whether the verifier gets to
 * what reads them: never ("dead"), on every kernel ("live"), only before version 5.10 ("before_5_10"). */
struct item {
	int here;
	int dead;
	int live;
	int before_5_10;
	int before_5_16;
	int before_6_8;
	int guard;
} core;

/* The kernel has no such type. */
struct never {
	int dead;
	int live;
} core;

enum state { HERE = 1, GONE = 2 };
