// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-16 -target bpf$e -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/core/k1.bpf.c -o testdata/core/k1.clang-16.$e.o; llvm-strip-16 -g testdata/core/k1.clang-16.$e.o; done
//
// k1: the kernel that the fixtures were written for. Its types are laid out as in the fixtures, but for what the fixtures
// say. It is compiled for BPF because that gives BTF of either byte order; there is no code in it.

#include "core.h"

HAVE(long, long);

// fields.bpf.c

struct plain { int a; unsigned int b; long c; };
HAVE(struct plain, plain);

struct anon {
	int x;
	struct { int y; union { int z; long w; }; };
	int t[4];
};
HAVE(struct anon, anon);

struct wrap { int v; };
HAVE(struct wrap, wrap);

struct flex { int n; int data[]; };
HAVE(struct flex *, flex_ptr);
HAVE(struct flex, flex);
struct notflex { int n; struct { int mid; int data[0]; } in; int after; };
HAVE(struct notflex, notflex);

struct other { long o; };
enum color { RED, GREEN };
enum shape { ROUND };
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
};
HAVE(struct retype, retype);
HAVE(enum shape, shape);

struct two { int a, b; };
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
	unsigned char bytes[6];
};
HAVE(struct width, width);

struct bits {
	unsigned int a : 3;
	unsigned int b : 9;
	int c : 5;
	unsigned long d : 40;
	unsigned int plain;
	unsigned int to_plain : 7;
	enum color e : 4;
};
HAVE(struct bits, bits);

struct a___b { int v; };
HAVE(struct a___b, a_b);
struct twice { int p; int v; };
struct twice___2 { int q; int v; };
HAVE(struct twice, twice);
HAVE(struct twice___2, twice_2);

typedef struct { int pad; int counter; } cnt_t;
HAVE(cnt_t, cnt);
union un { int i; long l; };
HAVE(union un, un);
struct gone { int v; };
HAVE(struct gone, gone);
struct inner { int first; int v[3]; };
struct outer { int pad; struct inner in[2]; };
HAVE(struct outer, outer);

// types.bpf.c

typedef int number_t;
typedef int (*fn_t)(int, long);
typedef int row_t[4];
typedef struct other *other_ptr_t;
HAVE(number_t, number);
HAVE(fn_t, fn);
HAVE(row_t, row);
HAVE(other_ptr_t, other_ptr);

struct match_moved { int a; int b; };
HAVE(struct match_moved, match_moved);
struct match_grown { int a; };
HAVE(struct match_grown, match_grown);
struct match_typed { int a; struct other o; struct plain *p; int row[4]; };
HAVE(struct match_typed, match_typed);
struct match_fwd { struct later *l; };
HAVE(struct match_fwd, match_fwd);
struct match_fn { int (*f)(struct plain *, int); };
HAVE(struct match_fn, match_fn);
struct match_named { struct { int a; } sub; };
HAVE(struct match_named, match_named);
union match_union { int a; long b; };
HAVE(union match_union, match_union);
enum match_enum { ME_A, ME_B };
HAVE(enum match_enum, match_enum);
enum match_short { MS_A = 1, MS_B };
HAVE(enum match_short, match_short);

// enums.bpf.c

enum mode { MODE_A = 1, MODE_B = 2, MODE_NEG = -5, MODE_GONE = 7 };
HAVE(enum mode, mode);
enum big { BIG_A = 0x100000001ULL, BIG_B = 3 };
HAVE(enum big, big);
enum widened { W_A = 4, W_B = 0x7fffffff };
HAVE(enum widened, widened);
enum from { FROM_MOVED = 9, FROM_STAYS = 10 };
HAVE(enum from, from);
typedef enum { TD_A = 3 } td_enum_t;
HAVE(td_enum_t, td_enum);
enum flav___kernel { FLAV_A___x = 6 };
HAVE(enum flav___kernel, flav);

// order.bpf.c and fatal.bpf.c

struct pr { int a; int b; };
struct pr___2 { int pad; int a; int c; };
HAVE(struct pr, pr);
HAVE(struct pr___2, pr_2);
struct far { int pad; int v; };
HAVE(struct far, far);
struct odd { unsigned int v; unsigned int arr[2]; };
HAVE(struct odd, odd);
