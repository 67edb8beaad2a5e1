// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/function_untraceable.bpf.c -o testdata/rules/function_untraceable.bpf.o; llvm-strip-16 -g testdata/rules/function_untraceable.bpf.o
//
// Functions that are there, with prototypes that trampolines don't take.

#include "rules.h"

SEC("fentry/seq_printf") int variadic(__u64 *ctx) { return 0; } // want: CC021 break 5.10..7.2

SEC("fexit/make_kuid") int returns_struct(__u64 *ctx) { return 0; } // want: CC021 break 5.10..7.2

// Since 6.1 a struct of up to 16 bytes may be an argument.
SEC("fentry/from_kuid") int struct_by_value(__u64 *ctx) { return 0; } // want: CC021 break 5.10

SEC("fentry/tcp_v6_send_response") int many_arguments(__u64 *ctx) { return 0; } // want: CC021 break 5.10..7.2

// 7 to 12 arguments: x86-64 passes them since 6.6.
SEC("fentry/__skb_flow_dissect") int nine_arguments(__u64 *ctx) { return 0; } // want: CC021 unknown 5.10..6.1

// BTF does not list what is open to error injection.
SEC("fmod_ret/vfs_read") int injection(__u64 *ctx) { return 0; } // want: CC021 unknown 5.10..7.2

SEC("fmod_ret/security_file_open") int security(__u64 *ctx) { return 0; }

SEC("fmod_ret/__x64_sys_nanosleep") int system_call(__u64 *ctx) { return 0; } // want: CC021 break 5.10..7.0

SEC("fentry/vfs_read") int twin(__u64 *ctx) { return 0; }

char LICENSE[] SEC("license") = "GPL";
