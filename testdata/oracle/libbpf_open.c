// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// libbpf_open: the programs and maps that libbpf sees in objects, as lines of fields separated by tabs.
//
//	cc -O2 -Wall -Wextra -Werror libbpf_open.c -lbpf -lelf -lz -o libbpf_open
//	libbpf_open OBJECT...
//
// The lines:
//
//	libbpf 1.7
//	object	PATH	0, or the number of the error with which libbpf refuses it
//	program	NAME	SECTION	TYPE	ATTACH-TYPE	AUTOLOAD	INSTRUCTIONS
//	map	NAME	TYPE	KEY-SIZE	VALUE-SIZE	MAX-ENTRIES	FLAGS	EXTRA	NUMA-NODE	PINNED	INTERNAL
//
// Objects are opened only; no kernel is asked.

#define _GNU_SOURCE
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#ifdef SHIM_ISOC23
#include "isoc23.h"
#endif

static int quiet(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

int main(int argc, char **argv)
{
	libbpf_set_print(quiet);
	printf("libbpf %u.%u\n", libbpf_major_version(), libbpf_minor_version());
	for (int i = 1; i < argc; i++) {
		struct bpf_object *obj = bpf_object__open_file(argv[i], NULL);
		struct bpf_program *prog;
		struct bpf_map *map;

		printf("object\t%s\t%d\n", argv[i], obj ? 0 : errno);
		if (!obj)
			continue;
		bpf_object__for_each_program(prog, obj)
			printf("program\t%s\t%s\t%d\t%d\t%d\t%zu\n", bpf_program__name(prog), bpf_program__section_name(prog),
			       bpf_program__type(prog), bpf_program__expected_attach_type(prog), bpf_program__autoload(prog),
			       bpf_program__insn_cnt(prog));
		bpf_object__for_each_map(map, obj)
			printf("map\t%s\t%d\t%u\t%u\t%u\t%u\t%llu\t%u\t%d\t%d\n", bpf_map__name(map), bpf_map__type(map),
			       bpf_map__key_size(map), bpf_map__value_size(map), bpf_map__max_entries(map), bpf_map__map_flags(map),
			       (unsigned long long)bpf_map__map_extra(map), bpf_map__numa_node(map), bpf_map__pin_path(map) != NULL,
			       bpf_map__is_internal(map));
		bpf_object__close(obj);
	}
	return 0;
}
