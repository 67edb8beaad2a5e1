// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-16 -target bpf$e -mcpu=v2 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/reach/kernel.bpf.c -o testdata/reach/kernel.clang-16.$e.o; llvm-strip-16 -g testdata/reach/kernel.clang-16.$e.o; done
//
// Stands for a kernel: only its BTF is used.

enum state { HERE = 7 };

struct other {
	int here;
};

struct item {
	long pad;
	int here;
};

int use(struct item *i, struct other *o, enum state s) { return i->here + o->here + s; }
