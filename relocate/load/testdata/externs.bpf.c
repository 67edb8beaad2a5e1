// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -Wno-unused-variable -fdebug-compilation-dir=. -c relocate/load/testdata/externs.bpf.c -o relocate/load/testdata/externs.bpf.o; llvm-strip-16 -g relocate/load/testdata/externs.bpf.o
//
// Externs of every sort.

#include "../../../testdata/objects/bpf.h"

enum libbpf_tristate { TRI_NO, TRI_YES, TRI_MODULE };

extern unsigned int LINUX_KERNEL_VERSION __kconfig;
extern _Bool LINUX_HAS_SYSCALL_WRAPPER __kconfig;
extern _Bool LINUX_HAS_BPF_COOKIE __kconfig __weak;
extern int LINUX_HAS_NOTHING __kconfig __weak;
extern _Bool CONFIG_BPF_SYSCALL __kconfig;
extern enum libbpf_tristate CONFIG_NF_CONNTRACK __kconfig __weak;
extern char CONFIG_BPF_JIT __kconfig __weak;
extern unsigned long long CONFIG_PHYSICAL_START __kconfig __weak;
extern short CONFIG_HZ __kconfig;
extern char CONFIG_DEFAULT_HOSTNAME[5] __kconfig __weak;
extern char CONFIG_CC_VERSION_TEXT[32] __kconfig __weak;
extern int CONFIG_CORECHECK_NONE __kconfig __weak;

extern const void vfs_read __ksym;
extern const void corecheck_no_symbol __ksym __weak;
extern const int corecheck_no_variable __ksym __weak;
extern void corecheck_no_function(void *p) __ksym __weak;

int version;
int hz;
int tristate;
char hostname[5];

SEC("socket")
int config(void *ctx)
{
	version = LINUX_KERNEL_VERSION;
	hz = CONFIG_HZ;
	tristate = CONFIG_NF_CONNTRACK;
	for (int i = 0; i < 5; i++)
		hostname[i] = CONFIG_DEFAULT_HOSTNAME[i];
	if (!CONFIG_BPF_SYSCALL)
		return 1;
	return LINUX_HAS_SYSCALL_WRAPPER + LINUX_HAS_BPF_COOKIE + LINUX_HAS_NOTHING + CONFIG_BPF_JIT + CONFIG_CORECHECK_NONE +
	       (int)CONFIG_PHYSICAL_START + CONFIG_CC_VERSION_TEXT[0];
}

SEC("socket")
int symbols(void *ctx)
{
	int n = (long)&vfs_read & 1;
	if (&corecheck_no_symbol)
		n += 2;
	if (&corecheck_no_variable)
		n += 4;
	return n;
}

SEC("raw_tp/sys_enter")
int guarded(void *ctx)
{
	if (corecheck_no_function)
		corecheck_no_function(ctx);
	return 0;
}

SEC("raw_tp/sys_enter")
int reached(void *ctx)
{
	corecheck_no_function(ctx);
	return 0;
}
