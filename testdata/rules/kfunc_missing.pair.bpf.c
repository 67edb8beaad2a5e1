// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/kfunc_missing.pair.bpf.c -o testdata/rules/kfunc_missing.pair.bpf.o; llvm-strip-16 -g testdata/rules/kfunc_missing.pair.bpf.o
//
// One kfunc is asked for, and the other comes and goes with it.

#include "rules.h"

extern void bpf_rcu_read_lock(void) __ksym __weak;
extern void bpf_rcu_read_unlock(void) __ksym __weak;

SEC("tp_btf/sched_switch") int guarded(void *ctx)
{
	if (bpf_ksym_exists(bpf_rcu_read_lock)) { // want: CC034 unknown 5.10..6.1
		bpf_rcu_read_lock();
		bpf_rcu_read_unlock(); // want: CC034 unknown 5.10..6.1
	}
	return 0;
}

SEC("tp_btf/sched_switch") int witness(void *ctx)
{
	if (bpf_ksym_exists(bpf_rcu_read_lock)) // want: CC034 unknown 5.10..6.1
		bpf_rcu_read_lock();
	bpf_rcu_read_unlock(); // want: CC034 break 5.10..6.1
	return 0;
}

SEC("tp_btf/sched_switch") int twin(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
