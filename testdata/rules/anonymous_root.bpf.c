// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/anonymous_root.bpf.c -o testdata/rules/anonymous_root.bpf.o; llvm-strip-16 -g testdata/rules/anonymous_root.bpf.o
//
// A pointer to a struct without a name: there is nothing to look for.

#include "rules.h"

typedef struct {
	int counter;
} CORE *pointer_t;

// Here the typedef is what is looked for.
typedef struct {
	int counter;
} CORE atomic_t;

struct refcount_struct {
	atomic_t refs;
} CORE;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	pointer_t x = bpf_get_current_task();

	return core_read(x, counter); // want: CC006 break 5.10..7.2
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	atomic_t *x = bpf_get_current_task();

	return core_read(x, counter);
}

// As a part of something that has a name it is found.
SEC("raw_tp/sched_switch") int part(__u64 *ctx)
{
	struct refcount_struct *x = bpf_get_current_task();

	return core_read(x, refs.counter);
}

// libbpf fails before the verifier would see the guard.
SEC("raw_tp/sched_switch") int guarded(__u64 *ctx)
{
	pointer_t x = bpf_get_current_task();

	if (type_exists(struct refcount_struct))
		return core_read(x, counter); // want: CC006 break 5.10..7.2
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
