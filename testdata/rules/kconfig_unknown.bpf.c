// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/kconfig_unknown.bpf.c -o testdata/rules/kconfig_unknown.bpf.o; llvm-strip-16 -g testdata/rules/kconfig_unknown.bpf.o
//
// Config options: the kernels' configs are not known, and a strong one must be set.

#include "rules.h"

extern int LINUX_KERNEL_VERSION __kconfig;
extern int CONFIG_HZ __kconfig;
extern int CONFIG_NR_CPUS __kconfig __weak;
extern int LINUX_CORECHECK __kconfig;
extern int LINUX_CORECHECK_WEAK __kconfig __weak;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	return CONFIG_HZ; // want: CC036 unknown 5.10..7.2
}

SEC("raw_tp/sched_switch") int not_of_libbpf(__u64 *ctx)
{
	return LINUX_CORECHECK; // want: CC036 break 5.10..7.2
}

SEC("raw_tp/sched_switch") int twin(__u64 *ctx)
{
	return LINUX_KERNEL_VERSION + CONFIG_NR_CPUS + LINUX_CORECHECK_WEAK;
}

char LICENSE[] SEC("license") = "GPL";
