// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-14 -target bpf$e -O2 -g -Wall -Werror -Wno-unused-variable -fdebug-compilation-dir=. -c testdata/objects/maps.bpf.c -o testdata/objects/maps.clang-14.$e.o; llvm-strip-14 -g testdata/objects/maps.clang-14.$e.o; done
//
// Maps of every sort that BTF can define.

#include "bpf.h"

struct key {
	__u32 a;
	__u16 b;
};

struct inner {
	__uint(type, 2);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} inner_one SEC(".maps"), inner_two SEC(".maps");

struct {
	__uint(type, 12);
	__uint(max_entries, 2);
	__type(key, __u32);
	__array(values, struct inner);
} outer SEC(".maps") = { .values = { &inner_one, &inner_two } };

struct {
	__uint(type, 9);
	__uint(max_entries, 64);
	__uint(key_size, sizeof(struct key));
	__uint(value_size, 12);
	__uint(numa_node, 1);
	__uint(map_flags, 4);
} sized SEC(".maps");

struct {
	__uint(type, 30);
	__uint(max_entries, 128);
	__uint(map_extra, 3);
	__type(value, __u64);
} bloom SEC(".maps");

struct {
	__uint(type, 29);
	__uint(map_flags, 1);
	__type(key, int);
	__type(value, struct key);
} storage SEC(".maps");

int tail(void *ctx);

struct {
	__uint(type, 3);
	__uint(max_entries, 2);
	__uint(key_size, 4);
	__array(values, int(void *));
} calls SEC(".maps") = { .values = { [1] = (void *)&tail } };

SEC("tc")
int tail(void *ctx)
{
	__u32 k = 0;
	__u32 *m = bpf_map_lookup_elem(&outer, &k);

	return m && bpf_map_lookup_elem(m, &k);
}

SEC("tcx/ingress")
int entry(void *ctx)
{
	struct key k = {};

	bpf_map_lookup_elem(&sized, &k);
	bpf_map_lookup_elem(&bloom, &k);
	bpf_map_lookup_elem(&storage, &k);
	bpf_tail_call(ctx, &calls, 1);
	return 0;
}

char _license[] SEC("license") = "GPL";
