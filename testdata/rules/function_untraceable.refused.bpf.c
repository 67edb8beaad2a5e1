// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/function_untraceable.refused.bpf.c -o testdata/rules/function_untraceable.refused.bpf.o; llvm-strip-16 -g testdata/rules/function_untraceable.refused.bpf.o
//
// What kernels refuse by lists of their own, as they did when these programs were loaded on them.

#include "rules.h"

// Trampolines call it themselves. 5.10 has no such function.
SEC("fentry/migrate_disable") int of_trampolines(void *ctx) { return 0; } // want: CC020 break 5.10; CC021 break 6.1..7.2

// It never returns. Updates of 6.12 refuse it as well.
SEC("fexit/do_exit") int witness(void *ctx) { return 0; } // want: CC021 unknown 5.10..6.12; CC021 break 6.16..7.2

SEC("fentry/do_exit") int twin(void *ctx) { return 0; }

// No kernel of Debian's for clouds has error injection.
SEC("fmod_ret/__x64_sys_openat") int syscall(void *ctx) { return 0; } // want: CC021 break 5.10..7.0

SEC("fmod_ret/security_file_open") int security(void *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
