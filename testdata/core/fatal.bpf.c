// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-16 -target bpf$e -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/core/fatal.bpf.c -o testdata/core/fatal.clang-16.$e.o; llvm-strip-16 -g testdata/core/fatal.clang-16.$e.o; done
//
// Records with which libbpf fails the load. See fields.bpf.c for what the comments mean.

#include "core.h"

struct pr { int a; int b; } CORE;
struct pr___size { int a; int b; };

SEC("raw_tp/offsets_differ") int offsets_differ(struct pr *p)
{
	use(p->a); // want k1=ambiguous k2=0
	return 0;
}

SEC("raw_tp/values_differ") int values_differ(void *ctx)
{
	use(type_size(struct pr___size)); // want k1=ambiguous k2=8
	return 0;
}

SEC("raw_tp/ids_differ") int ids_differ(void *ctx)
{
	use(type_id_target(struct pr___size)); // want k1=ambiguous k2=ambiguous
	return 0;
}

typedef struct { int v; } CORE *anonymous_t;

SEC("raw_tp/anonymous") int anonymous(anonymous_t p)
{
	use(p->v); // want k1=fatal:anonymous k2=fatal:anonymous
	return 0;
}

struct far { int pad; int v; } CORE;

SEC("raw_tp/far_load") int far_load(struct far *p)
{
	use(p->v); // want k1=4 k2=fatal:range
	return 0;
}

SEC("raw_tp/far_address") int far_address(struct far *p)
{
	use(&p->v); // want k1=4 k2=32768
	return 0;
}

struct odd { unsigned int v; unsigned int arr[2]; } CORE;

SEC("raw_tp/odd_size") int odd_size(struct odd *p)
{
	use(p->v); // want k1=0 k2=fatal:size
	return 0;
}

SEC("raw_tp/odd_element") int odd_element(struct odd *p)
{
	use(p->arr[1]); // want k1=8 k2=fatal:size
	return 0;
}
