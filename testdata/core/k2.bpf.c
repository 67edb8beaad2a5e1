// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-16 -target bpf$e -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/core/k2.bpf.c -o testdata/core/k2.clang-16.$e.o; llvm-strip-16 -g testdata/core/k2.clang-16.$e.o; done
//
// k2: the kernel in which everything changed. See k1.bpf.c.

#include "core.h"

HAVE(long, long);

// fields.bpf.c

struct plain { long c; unsigned int b; int __a; };
HAVE(struct plain, plain);

struct anon {
	union { struct { int pad; int z; }; int q; };
	long w;
	struct { struct { int x; int y; }; };
	int t[2];
};
HAVE(struct anon, anon);

struct wrap { struct { int v; } in; };
HAVE(struct wrap, wrap);

struct flex { long pad; int n; int data[0]; int after; };
HAVE(struct flex, flex);
struct notflex { int n; struct { int mid; int data[8]; } in; };
HAVE(struct notflex, notflex);

struct other { int pad; long o; };
enum color { RED, GREEN };
enum shape { ROUND };
struct retype {
	enum color to_enum;
	struct { int v; } to_struct;
	long to_int;
	void *to_ptr;
	union { struct other o; int i; } st;
	enum color en;
	enum shape en_other;
	enum { BLUE } en_anon;
	int arr[2];
	unsigned long arr_to_int;
	struct plain *ptr;
	unsigned int sign;
};
HAVE(struct retype, retype);

struct width {
	unsigned long u_wide;
	unsigned short u_narrow;
	long s_wide;
	struct plain *ptr;
	unsigned short byte;
	enum color64 { C64 = 0x100000000ULL } en_pad;
	enum color en;
	unsigned long arr[4];
	unsigned short mat[2][2];
	unsigned int flag;
	struct { char c[3]; } to_odd;
	unsigned long store;
	unsigned short bytes[6];
};
HAVE(struct width, width);

struct bits {
	unsigned long pad : 60;
	unsigned int a : 3;
	unsigned long c_pad : 33;
	int b : 9;
	unsigned long long d : 31;
	short c : 5;
	unsigned int plain : 21;
	unsigned char to_plain;
	enum color e : 2;
};
HAVE(struct bits, bits);

struct a { int v; };
HAVE(struct a, a);
struct twice { int v; int p; };
HAVE(struct twice, twice);

struct cnt_t { int pad; int counter; };
HAVE(struct cnt_t, cnt);
struct un { int i; long l; };
HAVE(struct un, un);
HAVE(struct gone *, gone);
struct inner { int first; int pad; int v[3]; };
struct outer { struct inner in[2]; };
HAVE(struct outer, outer);

// types.bpf.c

typedef long number_t;
typedef int (*fn_t)(int, long, int);
typedef int row_t[8];
typedef int other_ptr_t;
HAVE(number_t, number);
HAVE(fn_t, fn);
HAVE(row_t, row);
HAVE(other_ptr_t, other_ptr);

struct match_moved { int b; struct { int a; }; };
HAVE(struct match_moved, match_moved);
struct match_grown { long more; int a; };
HAVE(struct match_grown, match_grown);
struct match_typed { int a; struct other o; struct plain *p; int row[5]; };
HAVE(struct match_typed, match_typed);
struct later { int v; };
struct match_fwd { struct later *l; };
HAVE(struct match_fwd, match_fwd);
HAVE(struct later, later);
struct match_fn { int (*f)(struct plain *, unsigned int); };
HAVE(struct match_fn, match_fn);
struct match_named { struct named { int a; } sub; };
HAVE(struct match_named, match_named);
struct match_union { int a; long b; };
HAVE(struct match_union, match_union);
enum match_enum { ME_NEW, ME_B, ME_A };
HAVE(enum match_enum, match_enum);
enum match_short { MS_A = 1, MS_B = 2 } __attribute__((packed));
HAVE(enum match_short, match_short);

// enums.bpf.c

enum mode { MODE_A = 11, MODE_B = 12, MODE_NEG = -15 };
HAVE(enum mode, mode);
enum big { BIG_A = 5, BIG_B = 0x300000003ULL };
HAVE(enum big, big);
enum widened { W_A = 0x1400000004ULL, W_B = 4 };
HAVE(enum widened, widened);
enum from { FROM_STAYS = 10 };
HAVE(enum from, from);
enum to { FROM_MOVED = 9 };
HAVE(enum to, to);
enum td_enum_t { TD_A = 3 };
HAVE(enum td_enum_t, td_enum);
enum flav { FLAV_A = 8, FLAV_A___y = 9 };
HAVE(enum flav, flav);

// order.bpf.c and fatal.bpf.c

struct pr { int a; int b; };
struct pr___2 { int a; int c; };
HAVE(struct pr, pr);
HAVE(struct pr___2, pr_2);
struct far { char pad[32768]; int v; };
HAVE(struct far, far);
struct odd { unsigned int pad; unsigned __int128 v; unsigned __int128 arr[2]; };
HAVE(struct odd, odd);
