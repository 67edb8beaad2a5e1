// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -Wno-unused-variable -fdebug-compilation-dir=. -c relocate/load/testdata/types.bpf.c -o relocate/load/testdata/types.bpf.o; llvm-strip-16 -g relocate/load/testdata/types.bpf.o
//
// Kinds of BTF that came after Linux 5.10, which a loader replaces where the kernel does not know them, and sections of
// data of every sort. Loads on Linux 5.10 and later.

#include "../../../testdata/objects/bpf.h"

#define __decl_tag(x) __attribute__((btf_decl_tag(x)))
#define __type_tag(x) __attribute__((btf_type_tag(x)))

enum wide { WIDE = 0x123456789abcULL }; /* ENUM64 */
enum minus { MINUS = -1 };              /* ENUM with kind_flag */

struct tagged {
	enum wide wide;
	enum minus minus;
	int __type_tag("user") *user; /* TYPE_TAG */
	float real;                   /* FLOAT */
	int number __decl_tag("number"); /* DECL_TAG */
};

struct {
	__uint(type, 1); /* HASH */
	__type(key, int);
	__type(value, struct tagged);
	__uint(max_entries, 8);
} tagged SEC(".maps");

enum wide global_wide = WIDE;
struct tagged __hidden hidden_data = { .number = 7 };
const volatile int constant = 42;
const volatile int own_constant SEC(".rodata.own") = 43;
int own SEC(".data.own") = 44;
int zero;
static volatile int local;

__hidden __noinline int visible_inside(int x)
{
	return x + hidden_data.number + constant;
}

__noinline int visible(int x)
{
	return x + own + own_constant + local + zero;
}

SEC("socket")
int uses_all(void *ctx)
{
	int key = 0;
	struct tagged *t = bpf_map_lookup_elem(&tagged, &key);
	if (t)
		return t->minus + visible_inside(t->number);
	return visible(global_wide > constant);
}
