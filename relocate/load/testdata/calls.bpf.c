// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -Wno-unused-variable -fdebug-compilation-dir=. -c relocate/load/testdata/calls.bpf.c -o relocate/load/testdata/calls.bpf.o; llvm-strip-16 -g relocate/load/testdata/calls.bpf.o
//
// Subprograms, callbacks, tail calls, and maps with elements from the start. Loads on Linux 5.13 and later.

#include "../../../testdata/objects/bpf.h"

struct value {
	__u64 n;
};

struct inner {
	__uint(type, 2); /* ARRAY */
	__type(key, __u32);
	__type(value, struct value);
	__uint(max_entries, 4);
} inner_a SEC(".maps"), inner_b SEC(".maps");

struct {
	__uint(type, 12); /* ARRAY_OF_MAPS */
	__type(key, __u32);
	__uint(max_entries, 3);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { [0] = &inner_a, [2] = &inner_b } };

int called(void *ctx);

struct {
	__uint(type, 3); /* PROG_ARRAY */
	__uint(key_size, 4);
	__uint(max_entries, 4);
	__array(values, int(void *));
} programs SEC(".maps") = { .values = { [1] = &called } };

struct {
	__uint(type, 27); /* RINGBUF, of a size that the loader corrects */
	__uint(max_entries, 5000);
} ring SEC(".maps");

struct {
	__uint(type, 4); /* PERF_EVENT_ARRAY, with an element for each CPU */
	__uint(key_size, 4);
	__uint(value_size, 4);
} events SEC(".maps");

struct {
	__uint(type, 7); /* STACK_TRACE, sized by the loader */
	__uint(key_size, 4);
} stacks SEC(".maps");

struct {
	__uint(type, 1); /* HASH, sized by the loader */
	__type(key, __u32);
	__type(value, __u64);
} sized SEC(".maps");

static __noinline int last(int x)
{
	return x * 3;
}

__noinline int shared(int x)
{
	return last(x) + 1;
}

static long each(void *map, __u32 *key, struct value *v, void *ctx)
{
	v->n += shared(*key);
	return 0;
}

SEC("tc")
int called(void *ctx)
{
	return shared(2);
}

SEC("tc")
int calls(void *ctx)
{
	__u32 key = 2;
	void *map = bpf_map_lookup_elem(&outer, &key);
	if (map)
		bpf_map_lookup_elem(map, &key);
	bpf_for_each_map_elem(&inner_a, each, 0, 0);
	bpf_tail_call(ctx, &programs, 1);
	return last(1) + shared(1);
}

SEC("?tc")
int left_out(void *ctx)
{
	return 0;
}
