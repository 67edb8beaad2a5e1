// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-14 -target bpf$e -O2  -Wall -Werror -Wno-unused-variable -fdebug-compilation-dir=. -c testdata/objects/legacy.bpf.c -o testdata/objects/legacy.clang-14.$e.o; true; done
//
// An object of old: no BTF, maps of the legacy kind in a larger struct, which libbpf 1.0 and later refuses.

#include "bpf.h"

struct map_def {
	__u32 type, key_size, value_size, max_entries, flags;
	__u32 inner, numa;
};

struct map_def SEC("maps") old_hash = { .type = 1, .key_size = 4, .value_size = 8, .max_entries = 100, .flags = 1 };
struct map_def SEC("maps") old_events = { .type = 4, .key_size = 4, .value_size = 4 };

/* Static and outside .text: libbpf refuses it, cilium/ebpf takes it. */
static __attribute__((noinline, section("xdp"))) int helper(__u32 *key)
{
	return bpf_map_lookup_elem(&old_hash, key) != (void *)0;
}

SEC("xdp")
int drop(void *ctx)
{
	__u32 key = 1;

	return helper(&key) + (bpf_map_lookup_elem(&old_events, &key) != (void *)0);
}

char _license[] SEC("license") = "GPL";
