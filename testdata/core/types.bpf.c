// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-16 -target bpf$e -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/core/types.bpf.c -o testdata/core/types.clang-16.$e.o; llvm-strip-16 -g testdata/core/types.clang-16.$e.o; done
//
// Records about types. See fields.bpf.c for what the comments mean. "id" is the id of the type: it depends on the
// compiler, and the test looks it up by name.

#include "core.h"

struct plain { int a; unsigned int b; long c; };
struct other { long o; };
struct gone { int v; };
struct never { int v; };
typedef struct { int pad; int counter; } cnt_t;
union un { int i; long l; };
typedef int number_t;
typedef int (*fn_t)(int, long);
typedef int row_t[4];
typedef struct other *other_ptr_t;
enum color { RED, GREEN };
enum shape { ROUND };
struct shape___s { int v; };

SEC("raw_tp/exists") int exists(void *ctx)
{
	use(type_exists(struct plain)); // want k1=1 k2=1
	use(type_exists(struct gone)); // want k1=1 k2=no
	use(type_exists(struct never)); // want k1=no k2=no
	use(type_exists(cnt_t)); // want k1=1 k2=no
	use(type_exists(union un)); // want k1=1 k2=no
	use(type_exists(number_t)); // want k1=1 k2=1
	use(type_exists(fn_t)); // want k1=1 k2=no
	use(type_exists(row_t)); // want k1=1 k2=1
	use(type_exists(other_ptr_t)); // want k1=1 k2=no
	use(type_exists(enum color)); // want k1=1 k2=1
	use(type_exists(struct shape___s)); // want k1=no k2=no
	return 0;
}

SEC("raw_tp/size") int size(void *ctx)
{
	use(type_size(struct plain)); // want k1=16 k2=16
	use(type_size(struct other)); // want k1=8 k2=16
	use(type_size(struct gone)); // want k1=4 k2=no
	use(type_size(number_t)); // want k1=4 k2=8
	use(type_size(row_t)); // want k1=16 k2=32
	use(type_size(other_ptr_t)); // want k1=8 k2=no
	use(type_size(enum color)); // want k1=4 k2=4
	return 0;
}

SEC("raw_tp/ids") int ids(void *ctx)
{
	use(type_id_local(struct plain)); // want k1=id k2=id
	use(type_id_local(struct { int v; })); // want k1=id k2=id
	use(type_id_target(struct plain)); // want k1=id k2=id
	use(type_id_target(struct gone)); // want k1=id k2=no
	use(type_id_target(enum color)); // want k1=id k2=id
	return 0;
}

struct match_moved { int a; int b; };
struct match_grown { int a; };
struct match_grown___more { int a; int b; };
struct match_grown___unsigned { unsigned int a; };
struct match_typed { int a; struct other o; struct plain *p; int row[4]; };
struct match_typed___row { int a; struct plain *p; };
struct match_typed___ptr { struct other *p; };
struct match_fwd { struct later *l; };
struct match_fn { int (*f)(struct plain *, int); };
struct match_named { struct { int a; } sub; };
union match_union { int a; long b; };
enum match_enum { ME_A, ME_B };
enum match_enum___gone { ME_A___g, ME_C };
enum match_short { MS_A = 1, MS_B };

SEC("raw_tp/matches") int matches(void *ctx)
{
	use(type_matches(struct match_moved)); // want k1=1 k2=no
	use(type_matches(struct match_grown)); // want k1=1 k2=1
	use(type_matches(struct match_grown___more)); // want k1=no k2=no
	use(type_matches(struct match_grown___unsigned)); // want k1=no k2=no
	use(type_matches(struct match_typed)); // want k1=1 k2=no
	use(type_matches(struct match_typed___row)); // want k1=1 k2=1
	use(type_matches(struct match_typed___ptr)); // want k1=no k2=no
	use(type_matches(struct match_fwd)); // want k1=1 k2=1
	use(type_matches(struct match_fn)); // want k1=1 k2=no
	use(type_matches(struct match_named)); // want k1=1 k2=no
	use(type_matches(union match_union)); // want k1=1 k2=no
	use(type_matches(enum match_enum)); // want k1=1 k2=1
	use(type_matches(enum match_enum___gone)); // want k1=no k2=no
	use(type_matches(enum match_short)); // want k1=1 k2=no
	use(type_matches(struct never)); // want k1=no k2=no
	use(type_matches(number_t)); // want k1=1 k2=no
	use(type_matches(fn_t)); // want k1=1 k2=no
	use(type_matches(row_t)); // want k1=1 k2=no
	return 0;
}
