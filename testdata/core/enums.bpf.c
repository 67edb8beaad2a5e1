// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
// build: cd ../..; for e in el eb; do clang-16 -target bpf$e -mcpu=v3 -O2 -g -Wall -Werror -fdebug-compilation-dir=. -c testdata/core/enums.bpf.c -o testdata/core/enums.clang-16.$e.o; llvm-strip-16 -g testdata/core/enums.clang-16.$e.o; done
//
// Records about enumerators. See fields.bpf.c for what the comments mean.

#include "core.h"

enum mode { MODE_A = 1, MODE_B___mine = 2, MODE_NEG = -5, MODE_GONE = 7 };
enum big { BIG_A = 0x100000001ULL, BIG_B = 3 };
enum widened { W_A = 4, W_B = 5 };
enum from { FROM_MOVED = 9, FROM_STAYS = 10 };
typedef enum { TD_A = 3 } td_enum_t;
enum flav { FLAV_A = 6 };
enum never { NEVER_A = 1 };
enum mode___late { MODE_A___late = 100, MODE_NEW };

SEC("raw_tp/values") int values(void *ctx)
{
	use(enumval_value(enum mode, MODE_A)); // want k1=1 k2=11
	use(enumval_value(enum mode, MODE_B___mine)); // want k1=2 k2=12
	use(enumval_value(enum mode, MODE_NEG)); // want k1=-5 k2=-15
	use(enumval_value(enum mode, MODE_GONE)); // want k1=7 k2=poison
	use(enumval_value(enum big, BIG_A)); // want k1=4294967297 k2=5
	use(enumval_value(enum big, BIG_B)); // want k1=3 k2=12884901891
	use(enumval_value(enum widened, W_A)); // want k1=4 k2=85899345924
	use(enumval_value(enum from, FROM_MOVED)); // want k1=9 k2=poison
	use(enumval_value(enum from, FROM_STAYS)); // want k1=10 k2=10
	use(enumval_value(td_enum_t, TD_A)); // want k1=3 k2=poison
	use(enumval_value(enum flav, FLAV_A)); // want k1=6 k2=8
	use(enumval_value(enum never, NEVER_A)); // want k1=poison k2=poison
	use(enumval_value(enum mode___late, MODE_A___late)); // want k1=1 k2=11
	return 0;
}

SEC("raw_tp/enum_exists") int enum_exists(void *ctx)
{
	use(enumval_exists(enum mode, MODE_A)); // want k1=1 k2=1
	use(enumval_exists(enum mode, MODE_GONE)); // want k1=1 k2=no
	use(enumval_exists(enum big, BIG_A)); // want k1=1 k2=1
	use(enumval_exists(enum from, FROM_MOVED)); // want k1=1 k2=no
	use(enumval_exists(td_enum_t, TD_A)); // want k1=1 k2=no
	use(enumval_exists(enum never, NEVER_A)); // want k1=no k2=no
	use(enumval_exists(enum mode___late, MODE_NEW)); // want k1=no k2=no
	return 0;
}
