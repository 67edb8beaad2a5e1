// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/rules/attach_type_missing.xdp.bpf.c -o testdata/rules/attach_type_missing.xdp.bpf.o; llvm-strip-16 -g testdata/rules/attach_type_missing.xdp.bpf.o
// kernels: no-xdp-links
//
// Kernels without XDP links attach XDP programs by netlink.

#include "rules.h"

SEC("xdp") int twin(void *ctx) { return 2; }

char LICENSE[] SEC("license") = "GPL";
