/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* What the rules' fixtures declare of BPF, and clang's builtins under short names. */
typedef unsigned char __u8;
typedef unsigned short __u16;
typedef unsigned int __u32;
typedef int __s32;
typedef unsigned long long __u64;

#define SEC(name) __attribute__((section(name), used))
#define CORE __attribute__((preserve_access_index))
#define __ksym __attribute__((section(".ksyms")))
#define __kconfig __attribute__((section(".kconfig")))
#define __weak __attribute__((weak))
#define __maybe_unused __attribute__((unused))

#define __uint(name, value) int (*name)[value]
#define __type(name, value) typeof(value) *name

/* Helpers by their number in enum bpf_func_id. */
static void *(*bpf_map_lookup_elem)(void *map, const void *key) __maybe_unused = (void *)1;
static __u64 (*bpf_ktime_get_ns)(void) __maybe_unused = (void *)5;
/* Where the address comes from a call, the compiler gives the access that follows its own line. */
static void *(*bpf_get_current_task)(void) __maybe_unused = (void *)35;
static long (*bpf_probe_read_kernel)(void *dst, __u32 size, const void *src) __maybe_unused = (void *)113;
static long (*bpf_for_each_map_elem)(void *map, void *callback, void *ctx, __u64 flags) __maybe_unused = (void *)164;

/* Reads a field that the loader finds, however large it is there. */
#define core_read(ptr, field)                                                  \
	({                                                                     \
		typeof((ptr)->field) value__;                                  \
		bpf_probe_read_kernel(&value__, sizeof(value__), &(ptr)->field); \
		value__;                                                       \
	})

/* Keeps a value, with the instruction that makes it, at its line. */
#define use(value)                                                             \
	({                                                                     \
		unsigned long value__ = (unsigned long)(value);                \
		asm volatile("r0 = %0" : : "r"(value__) : "r0");               \
	})

#define field_exists(field) __builtin_preserve_field_info(field, 2)
#define type_exists(type) __builtin_preserve_type_info(*(type *)0, 0)
#define type_size(type) __builtin_preserve_type_info(*(type *)0, 1)
#define type_matches(type) __builtin_preserve_type_info(*(type *)0, 2)
#define type_id_target(type) __builtin_btf_type_id(*(type *)0, 1)
#define enumval_exists(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 0)
#define enumval_value(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 1)

/* Tells whether an extern was found, by its address, as libbpf's macro of that name does. */
#define bpf_ksym_exists(sym) (!!&sym)
