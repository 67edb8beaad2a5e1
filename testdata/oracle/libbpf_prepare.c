// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// libbpf_prepare: objects as libbpf makes them ready for the running kernel, as lines of fields separated by tabs.
//
//	cc -O2 -Wall -Wextra -Werror libbpf_prepare.c -lbpf -lelf -lz -o libbpf_prepare
//	libbpf_prepare OBJECT...
//
// The lines:
//
//	libbpf 1.7
//	object	PATH	0, or the number of the error with which libbpf does not prepare it
//	map	INDEX	TYPE	KEY-SIZE	VALUE-SIZE	MAX-ENTRIES	FLAGS	KEY-TYPE	VALUE-TYPE	INITIAL-VALUE
//	btf	BYTES
//	program	NAME	INSTRUCTIONS	FUNC-INFO	LINE-INFO
//
// All programs are prepared. Instructions that load a map have its index in place of its file descriptor, and maps without
// sizes get small ones. It needs root and libbpf 1.6; of an older one it only tells the version.

#define _GNU_SOURCE
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef SHIM_ISOC23
#include "isoc23.h"
#endif

#if LIBBPF_MAJOR_VERSION > 1 || LIBBPF_MINOR_VERSION >= 6

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static void hex(const void *data, size_t size)
{
	const unsigned char *p = data;

	putchar('\t');
	for (size_t i = 0; p && i < size; i++)
		printf("%02x", p[i]);
}

static void sizes(struct bpf_object *obj)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, obj) {
		if (bpf_map__type(map) == BPF_MAP_TYPE_STACK_TRACE && bpf_map__value_size(map) == 0)
			bpf_map__set_value_size(map, 1016);
		if (bpf_map__max_entries(map) == 0 && bpf_map__type(map) != BPF_MAP_TYPE_PERF_EVENT_ARRAY)
			bpf_map__set_max_entries(map, bpf_map__type(map) == BPF_MAP_TYPE_RINGBUF ? 262144 : 1024);
	}
}

static void show(struct bpf_object *obj)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	const void *data;
	size_t size;
	__u32 len;
	int n = 0;

	bpf_object__for_each_map(map, obj) {
		printf("map\t%d\t%d\t%u\t%u\t%u\t%u\t%u\t%u", n++, bpf_map__type(map), bpf_map__key_size(map), bpf_map__value_size(map),
		       bpf_map__max_entries(map), bpf_map__map_flags(map), bpf_map__btf_key_type_id(map), bpf_map__btf_value_type_id(map));
		data = bpf_map__is_internal(map) ? bpf_map__initial_value(map, &size) : NULL;
		hex(data, data ? size : 0);
		putchar('\n');
	}
	printf("btf");
	data = bpf_object__btf(obj) ? btf__raw_data(bpf_object__btf(obj), &len) : NULL;
	hex(data, data ? len : 0);
	putchar('\n');
	bpf_object__for_each_program(prog, obj) {
		const struct bpf_insn *insns = bpf_program__insns(prog);
		size_t cnt = bpf_program__insn_cnt(prog);
		struct bpf_insn *copy = calloc(cnt + 1, sizeof(*copy));

		if (!bpf_program__autoload(prog)) {
			free(copy);
			continue;
		}
		for (size_t i = 0; i < cnt; i++) {
			copy[i] = insns[i];
			if (insns[i].code != (BPF_LD | BPF_IMM | BPF_DW) || (insns[i].src_reg != 1 && insns[i].src_reg != 2))
				continue;
			n = 0;
			bpf_object__for_each_map(map, obj) {
				if (bpf_map__fd(map) == insns[i].imm)
					copy[i].imm = n;
				n++;
			}
		}
		printf("program\t%s", bpf_program__name(prog));
		hex(copy, cnt * sizeof(*copy));
		hex(bpf_program__func_info(prog), bpf_program__func_info_cnt(prog) * sizeof(struct bpf_func_info));
		hex(bpf_program__line_info(prog), bpf_program__line_info_cnt(prog) * sizeof(struct bpf_line_info));
		putchar('\n');
		free(copy);
	}
}

int main(int argc, char **argv)
{
	libbpf_set_print(quiet);
	printf("libbpf %u.%u\n", libbpf_major_version(), libbpf_minor_version());
	for (int i = 1; i < argc; i++) {
		struct bpf_object *obj = bpf_object__open_file(argv[i], NULL);
		struct bpf_program *prog;
		int err = obj ? 0 : errno;

		if (obj) {
			bpf_object__for_each_program(prog, obj)
				bpf_program__set_autoload(prog, true);
			sizes(obj);
			err = -bpf_object__prepare(obj);
		}
		printf("object\t%s\t%d\n", argv[i], err);
		if (obj && !err)
			show(obj);
		bpf_object__close(obj);
	}
	return 0;
}

#else

int main(void)
{
	printf("libbpf %u.%u\n", libbpf_major_version(), libbpf_minor_version());
	return 0;
}

#endif
