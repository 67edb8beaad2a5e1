// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; clang-16 -target bpfel -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/truth/relocation_ambiguous.bpf.c -o testdata/truth/relocation_ambiguous.bpf.o; llvm-strip-16 -g testdata/truth/relocation_ambiguous.bpf.o
//
// 5.10 has two structs of this name, of mm/khugepaged.c and mm/ksm.c, each with mm elsewhere; since 6.1 there is one,
// and what it has is called otherwise (Linux commit b26e27015ec9, "mm: thp: convert to use common struct mm_slot").

#include "../rules/rules.h"

struct mm_slot {
	void *mm;
} CORE;

SEC("raw_tp/sched_switch") int witness(__u64 *ctx)
{
	struct mm_slot *slot = bpf_get_current_task();

	return !!core_read(slot, mm);
}

// Of both the answer is the same.
SEC("raw_tp/sched_switch") int twin(__u64 *ctx) { return type_exists(struct mm_slot); }

char LICENSE[] SEC("license") = "GPL";
