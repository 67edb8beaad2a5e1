// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-16 -target bpf$e -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/core/order.bpf.c -o testdata/core/order.clang-16.$e.o; llvm-strip-16 -g testdata/core/order.clang-16.$e.o; done
//
// Candidates that an earlier record has ruled out. Both kernels have struct pr and struct pr___2, in which a is at another
// offset; only the first has b, only the second c. Each line has a root type of its own or shares one on purpose. See
// fields.bpf.c for what the comments mean.

#include "core.h"

struct pr { int a; int b; } CORE;

// b leaves struct pr only, so that a is not ambiguous any more.
SEC("raw_tp/b_first") int b_first(struct pr *p)
{
	use(p->b); // want k1=4 k2=4
	use(p->a); // want k1=0 k2=0
	return 0;
}

struct pr___c { int a; int c; int none; } CORE;

// What matches nothing rules nothing out; c then leaves the other one.
SEC("raw_tp/c_first") int c_first(struct pr___c *p)
{
	use(p->none); // want k1=poison k2=poison
	use(p->c); // want k1=8 k2=4
	use(p->a); // want k1=4 k2=0
	use(field_exists(p->none)); // want k1=no k2=no
	return 0;
}

// The same root type as in b_first: what that program ruled out stays so.
SEC("raw_tp/after") int after(struct pr *p)
{
	use(p->a); // want k1=0 k2=0
	return 0;
}
