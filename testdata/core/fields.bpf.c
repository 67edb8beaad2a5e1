// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-16 -target bpf$e -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/core/fields.bpf.c -o testdata/core/fields.clang-16.$e.o; llvm-strip-16 -g testdata/core/fields.clang-16.$e.o; done
//
// Records about fields. Each line that makes a record says what is to come of it on the kernels k1 and k2:
//
//	want k1=8 k2=poison
//
// A number is the value that the instruction gets; "8/4" is an offset with a load or store of 4 bytes instead of its own;
// "a|b" a little-endian and a big-endian value; "no" the value 0 because nothing matched; "poison", "mismatch" (poisoned
// because the size can't be changed), "ambiguous" and "fatal:REASON" what they say.

#include "core.h"

struct plain { int a; unsigned int b; long c; } CORE;

SEC("raw_tp/plain") int plain(struct plain *p)
{
	use(&p->a); // want k1=0 k2=poison
	use(p->a); // want k1=0 k2=poison
	use(&p->b); // want k1=4 k2=8
	use(p->b); // want k1=4 k2=8
	use(p->c); // want k1=8 k2=0
	use(field_exists(p->a)); // want k1=1 k2=no
	use(field_exists(p->c)); // want k1=1 k2=1
	use(byte_size(p->a)); // want k1=4 k2=poison
	use(byte_size(p->c)); // want k1=8 k2=8
	use(byte_offset(p->c)); // want k1=8 k2=0
	use(is_signed(p->b)); // want k1=0 k2=0
	use(is_signed(p->c)); // want k1=1 k2=1
	use(&p[3].b); // want k1=52 k2=56
	use(byte_size(p[1].c)); // want k1=8 k2=8
	p->b = 1; // want k1=4 k2=8
	return 0;
}

struct anon {
	int x;
	struct { int y; union { int z; long w; }; };
	int t[4];
} CORE;

SEC("raw_tp/anon") int anon(struct anon *p)
{
	use(p->x); // want k1=0 k2=16
	use(p->y); // want k1=8 k2=20
	use(p->z); // want k1=16 k2=4
	use(p->w); // want k1=16 k2=8
	use(p->t[1]); // want k1=28 k2=28
	use(p->t[3]); // want k1=36 k2=poison
	use(field_exists(p->t[1])); // want k1=1 k2=1
	use(field_exists(p->t[3])); // want k1=1 k2=no
	use(byte_size(p->t)); // want k1=16 k2=8
	use(byte_size(p->t[0])); // want k1=4 k2=4
	return 0;
}

struct wrap { int v; } CORE;
struct flex { int n; int data[]; } CORE;
struct notflex { int n; struct { int mid; int data[8]; } in; } CORE;
struct inner { int first; int v[3]; } CORE;
struct outer { int pad; struct inner in[2]; } CORE;
union un { int i; long l; } CORE;
typedef struct { int pad; int counter; } CORE cnt_t;
struct gone { int v; } CORE;
struct never { int v; } CORE;

SEC("raw_tp/shapes") int shapes(void *ctx)
{
	struct wrap *w = ctx;
	struct flex *f = ctx;
	struct notflex *n = ctx;
	struct outer *o = ctx;
	union un *u = ctx;
	cnt_t *c = ctx;
	struct gone *g = ctx;
	struct never *e = ctx;

	use(w->v); // want k1=0 k2=poison
	use(field_exists(w->v)); // want k1=1 k2=no
	use(f->data[5]); // want k1=24 k2=poison
	use(f->n); // want k1=0 k2=8
	use(n->in.data[0]); // want k1=8 k2=8
	use(n->in.data[7]); // want k1=36 k2=36
	use(o->in[1].v[2]); // want k1=32 k2=36
	use(&o->in[1]); // want k1=20 k2=20
	use(byte_size(o->in[1])); // want k1=16 k2=20
	use(byte_size(o->in)); // want k1=32 k2=40
	use(u->l); // want k1=0 k2=poison
	use(field_exists(u->l)); // want k1=1 k2=no
	use(c->counter); // want k1=4 k2=poison
	use(g->v); // want k1=0 k2=poison
	use(field_exists(g->v)); // want k1=1 k2=no
	use(e->v); // want k1=poison k2=poison
	use(field_exists(e->v)); // want k1=no k2=no
	return 0;
}

struct other { long o; } CORE;
enum color { RED, GREEN };
struct retype {
	int to_enum;
	int to_struct;
	void *to_int;
	long to_ptr;
	struct other st;
	enum color en;
	enum color en_other;
	enum color en_anon;
	unsigned long arr[2];
	unsigned long arr_to_int[2];
	struct other *ptr;
	int sign;
} CORE;

SEC("raw_tp/retype") int retype(struct retype *p)
{
	use(&p->to_enum); // want k1=0 k2=poison
	use(&p->to_struct); // want k1=4 k2=poison
	use(&p->to_int); // want k1=8 k2=poison
	use(&p->to_ptr); // want k1=16 k2=poison
	use(&p->st); // want k1=24 k2=24
	use(&p->st.o); // want k1=24 k2=poison
	use(&p->en); // want k1=32 k2=40
	use(&p->en_other); // want k1=36 k2=poison
	use(&p->en_anon); // want k1=40 k2=48
	use(&p->arr); // want k1=48 k2=52
	use(&p->arr[1]); // want k1=56 k2=56
	use(&p->arr_to_int); // want k1=64 k2=poison
	use(&p->arr_to_int[1]); // want k1=72 k2=poison
	use(&p->ptr); // want k1=80 k2=72
	use(&p->sign); // want k1=88 k2=80
	use(is_signed(p->sign)); // want k1=1 k2=0
	use(field_exists(p->to_enum)); // want k1=1 k2=no
	return 0;
}

struct width {
	unsigned int u_wide;
	unsigned long u_narrow;
	int s_wide;
	struct other *ptr;
	unsigned char byte;
	enum color en;
	unsigned int arr[4];
	unsigned int mat[2][2];
	_Bool flag;
	unsigned int to_odd;
	unsigned int store;
	unsigned char bytes[4];
} CORE;

SEC("raw_tp/width") int width(struct width *p)
{
	use(p->u_wide); // want k1=0 k2=0/8
	use(p->u_narrow); // want k1=8 k2=8/2
	use(p->s_wide); // want k1=16 k2=mismatch
	use(&p->s_wide); // want k1=16 k2=16
	use(p->ptr); // want k1=24 k2=24
	use(p->byte); // want k1=32 k2=32/2
	use(p->en); // want k1=36 k2=48
	use(p->arr[2]); // want k1=48 k2=72/8
	// The compiler records the first index only; the second is an offset that stays as it was.
	use(p->mat[1][1]); // want k1=64 k2=92
	use(p->flag); // want k1=72 k2=96/4
	// A load of an element through a path that ends at the array.
	use(*(const unsigned char *)__builtin_preserve_access_index(p->bytes)); // want k1=84 k2=mismatch
	use(byte_size(p->u_wide)); // want k1=4 k2=8
	use(p->to_odd); // want k1=76 k2=poison
	p->store = 1; // want k1=80 k2=104/8
	return 0;
}

SEC("raw_tp/row") int row(struct width *p)
{
	use(&p->mat[1]); // want k1=64 k2=92
	use(byte_size(p->mat[1])); // want k1=8 k2=4
	return 0;
}

struct bits {
	unsigned int a : 3;
	unsigned int b : 9;
	int c : 5;
	unsigned long d : 40;
	unsigned int plain;
	unsigned int to_plain : 7;
	enum color e : 4;
} CORE;

SEC("raw_tp/bits") int bits(struct bits *p)
{
	use(byte_offset(p->a)); // want k1=0 k2=4
	use(byte_size(p->a)); // want k1=4 k2=4
	use(is_signed(p->a)); // want k1=0 k2=0
	use(lshift(p->a)); // want k1=61|32 k2=33|60
	use(rshift(p->a)); // want k1=61 k2=61
	use(lshift(p->b)); // want k1=52|35 k2=54|33
	use(rshift(p->b)); // want k1=55 k2=55
	use(is_signed(p->b)); // want k1=0 k2=1
	use(byte_offset(p->c)); // want k1=0 k2=20
	use(lshift(p->c)); // want k1=47|44 k2=59|48
	use(byte_offset(p->d)); // want k1=0 k2=16
	use(byte_size(p->d)); // want k1=8 k2=8
	use(lshift(p->d)); // want k1=7|17 k2=33|0
	use(rshift(p->d)); // want k1=24 k2=33
	use(byte_offset(p->plain)); // want k1=8 k2=20
	use(lshift(p->plain)); // want k1=32 k2=38|37
	use(rshift(p->plain)); // want k1=32 k2=43
	use(byte_offset(p->to_plain)); // want k1=12 k2=24
	use(lshift(p->to_plain)); // want k1=57|32 k2=56
	use(rshift(p->to_plain)); // want k1=57 k2=56
	use(is_signed(p->e)); // want k1=0 k2=0
	use(rshift(p->e)); // want k1=60 k2=62
	use(field_exists(p->e)); // want k1=1 k2=1
	use(p->plain); // want k1=8 k2=mismatch
	return 0;
}

// The flavour of a kernel's type is cut off, too: its struct a___b is an a, and no kernel has an a___b.
struct a___b___mine { int v; } CORE;
struct a { int v; } CORE;
struct plain___old { unsigned int b; } CORE;
struct plain___a { int a; } CORE;
struct twice { int v; } CORE;
struct twice___p { int p; } CORE;

SEC("raw_tp/flavours") int flavours(void *ctx)
{
	struct a___b___mine *ab = ctx;
	struct a *just_a = ctx;
	struct plain___old *old = ctx;
	struct plain___a *a = ctx;
	struct twice *t = ctx;
	struct twice___p *tp = ctx;

	use(ab->v); // want k1=poison k2=poison
	use(just_a->v); // want k1=0 k2=0
	use(old->b); // want k1=4 k2=8
	use(field_exists(a->a)); // want k1=1 k2=no
	use(t->v); // want k1=4 k2=0
	use(tp->p); // want k1=0 k2=4
	return 0;
}
