// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// What the fixtures of CO-RE resolution share: attributes, and clang's builtins under short names.

#define SEC(name) __attribute__((section(name), used))
#define CORE __attribute__((preserve_access_index))

// Keeps a value, and so the instruction that makes it; the one that follows has this line in the line info, which the
// compiler does not give to every instruction with a record.
#define use(value)                                                                                                    \
	({                                                                                                            \
		unsigned long value__ = (unsigned long)(value);                                                       \
		asm volatile("r0 = %0" : : "r"(value__) : "r0");                                                                   \
	})

// Kinds of enum bpf_core_relo_kind that __builtin_preserve_field_info takes.
#define byte_offset(field) __builtin_preserve_field_info(field, 0)
#define byte_size(field) __builtin_preserve_field_info(field, 1)
#define field_exists(field) __builtin_preserve_field_info(field, 2)
#define is_signed(field) __builtin_preserve_field_info(field, 3)
#define lshift(field) __builtin_preserve_field_info(field, 4)
#define rshift(field) __builtin_preserve_field_info(field, 5)

#define type_exists(type) __builtin_preserve_type_info(*(type *)0, 0)
#define type_size(type) __builtin_preserve_type_info(*(type *)0, 1)
#define type_matches(type) __builtin_preserve_type_info(*(type *)0, 2)
#define type_id_local(type) __builtin_btf_type_id(*(type *)0, 0)
#define type_id_target(type) __builtin_btf_type_id(*(type *)0, 1)

#define enumval_exists(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 0)
#define enumval_value(type, value) __builtin_preserve_enum_value(*(typeof(type) *)value, 1)

// A definition of a kernel: a variable brings its type into the BTF.
#define HAVE(type, name) type have_##name
