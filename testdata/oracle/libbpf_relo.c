// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// libbpf_relo: what libbpf makes of each CO-RE record of an object on given kernels, as JSON lines.
//
//	cc -O2 -Wall -Wextra -Werror libbpf_relo.c -lbpf -lelf -lz -o libbpf_relo
//	libbpf_relo [-p PROGRAM] OBJECT BTF...
//
// libbpf relocates an object on its way to the kernel, and tells in its debug log what it did. This program opens the
// object with btf_custom_path, lets libbpf go that way, and reads the log. No kernel is asked: the function syscall, which
// libbpf reaches bpf(2) through, is defined here, and says yes to everything. So it needs no privilege and no BPF, and
// works for objects of the other byte order, too. What comes behind the relocation fails, which nobody looks at.
//
// -p leaves only this program to be loaded. Without it all are, also those of sections with a '?'.
//
// The lines, each with the path of the kernel's BTF under "btf":
//
//	{"libbpf":"1.7"}
//	{"btf":…,"section":"raw_tp/x","relo":0,"prog":"x","outcome":"patched","value":8,"mem":4,"matching":1}
//		relo: number of the record in the section. outcome: patched, poisoned, failed, skipped. value: what the
//		instruction got. mem: the bytes that a load or store got, 0 where it kept its own. matching: candidates.
//	{"btf":…,"prog":"x","insns":"…"}
//		the instructions of a program behind the relocation, in hexadecimal, as they lie in memory.
//	{"btf":…,"end":"ok"}
//		or "relocation failed", or what failed before it: "open: …", "before relocation: …".

#define _GNU_SOURCE
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/btf.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HAVE_PREPARE (LIBBPF_MAJOR_VERSION > 1 || (LIBBPF_MAJOR_VERSION == 1 && LIBBPF_MINOR_VERSION >= 6))

// A program, map or BTF of the kernel is a file in memory: maps are mapped.
static int anything(void)
{
	int fd = memfd_create("libbpf_relo", MFD_CLOEXEC);

	if (fd >= 0 && ftruncate(fd, 1 << 24)) {
		close(fd);
		return -1;
	}
	return fd;
}

long syscall(long number, ...)
{
	va_list args;
	int cmd;

	if (number == SYS_memfd_create)
		return anything();
	if (number != SYS_bpf) {
		errno = ENOSYS;
		return -1;
	}
	va_start(args, number);
	cmd = va_arg(args, int);
	va_end(args);
	switch (cmd) {
	case BPF_PROG_LOAD:
	case BPF_BTF_LOAD:
	case BPF_MAP_CREATE:
		return anything();
	case BPF_MAP_UPDATE_ELEM:
	case BPF_MAP_FREEZE:
		return 0;
	}
	errno = EINVAL;
	return -1;
}

#ifdef SHIM_ISOC23
#include "isoc23.h"
#endif

static const char *btf_path;

// What the log has said of the record that it is at.
static struct {
	bool open;
	char section[256], prog[256];
	int relo;
	const char *outcome;
	unsigned long long value;
	unsigned int mem;
	int matching;
} rec;

static bool relocating, relocation_failed;

static void print_string(const char *name, const char *s)
{
	printf("\"%s\":\"", name);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			putchar('\\');
		if ((unsigned char)*s >= ' ')
			putchar(*s);
	}
	putchar('"');
}

static void end_record(void)
{
	if (!rec.open)
		return;
	rec.open = false;
	putchar('{');
	print_string("btf", btf_path);
	putchar(',');
	print_string("section", rec.section);
	printf(",\"relo\":%d,", rec.relo);
	print_string("prog", rec.prog);
	printf(",\"outcome\":\"%s\",\"value\":%llu,\"mem\":%u,\"matching\":%d}\n", rec.outcome, rec.value, rec.mem, rec.matching);
}

static void begin_record(const char *prog, int relo)
{
	if (rec.open && rec.relo == relo && !strcmp(rec.prog, prog))
		return;
	end_record();
	rec.open = true;
	snprintf(rec.prog, sizeof(rec.prog), "%s", prog);
	rec.relo = relo;
	rec.outcome = "failed"; // until the log says something else
	rec.value = rec.mem = rec.matching = 0;
}

// Reads one line of the log: the messages of relo_core.c and of bpf_object__relocate_core.
static int on_log(enum libbpf_print_level level, const char *format, va_list args)
{
	char line[4096], prog[256], *s, *arrow;
	int relo, n;

	(void)level;
	vsnprintf(line, sizeof(line), format, args);
	if (getenv("LIBBPF_RELO_LOG"))
		fputs(line, stderr);
	s = line;
	if (!strncmp(s, "libbpf: ", 8))
		s += 8;

	n = 0;
	if (sscanf(s, "sec '%255[^']': found %*d CO-RE relocations%n", prog, &n) == 1 && n) {
		end_record();
		relocating = true;
		snprintf(rec.section, sizeof(rec.section), "%s", prog);
		return 0;
	}
	if (sscanf(s, "sec '%255[^']': skipping CO-RE relocation #%d for insn%n", prog, &relo, &n) == 2 && n) {
		begin_record("", relo);
		rec.outcome = "skipped";
		end_record();
		return 0;
	}
	if (!strncmp(s, "failed to perform CO-RE relocations", 35)) {
		relocation_failed = true;
		return 0;
	}
	if (sscanf(s, "prog '%255[^']': relo #%d: %n", prog, &relo, &n) != 2 || !n || !relocating)
		return 0;
	s += n;
	begin_record(prog, relo);
	if (!strncmp(s, "matching candidate", 18)) {
		rec.matching++;
	} else if (!strncmp(s, "substituting insn", 17)) {
		rec.outcome = "poisoned";
	} else if (!strncmp(s, "patched insn", 12)) {
		rec.outcome = "patched";
		arrow = strstr(s, " -> ");
		if (arrow && strstr(s, ") mem_sz "))
			rec.mem = strtoul(arrow + 4, NULL, 10);
		else if (arrow)
			rec.value = strtoull(arrow + 4, NULL, 10);
	} else if (!strncmp(s, "failed to ", 10)) {
		rec.outcome = "failed";
		rec.value = rec.mem = 0; // the offset may have been patched before the size failed
		end_record();
	}
	return 0;
}

// Options for every CONFIG_ extern: otherwise libbpf looks for the configuration of this machine's kernel.
static char *kconfig_of(const char *object)
{
	static char text[65536];
	struct btf *btf = btf__parse_elf(object, NULL);
	const struct btf_type *sec, *var, *t;
	const char *name, *value;
	size_t len = 0;
	int id, i;

	text[0] = 0;
	if (!btf)
		return text;
	id = btf__find_by_name_kind(btf, ".kconfig", BTF_KIND_DATASEC);
	sec = id > 0 ? btf__type_by_id(btf, id) : NULL;
	for (i = 0; sec && i < btf_vlen(sec); i++) {
		var = btf__type_by_id(btf, btf_var_secinfos(sec)[i].type);
		name = btf__name_by_offset(btf, var->name_off);
		if (strncmp(name, "CONFIG_", 7) || len + strlen(name) + 8 > sizeof(text))
			continue;
		for (t = btf__type_by_id(btf, var->type); btf_is_mod(t) || btf_is_typedef(t);)
			t = btf__type_by_id(btf, t->type);
		value = "y";
		if (btf_is_int(t) && !(btf_int_encoding(t) & BTF_INT_BOOL))
			value = "1";
		else if (btf_is_array(t))
			value = "\"\"";
		len += sprintf(text + len, "%s=%s\n", name, value);
	}
	btf__free(btf);
	return text;
}

static void print_end(const char *what, int err)
{
	putchar('{');
	print_string("btf", btf_path);
	printf(",\"end\":\"%s%s%s\"}\n", what, err ? ": " : "", err ? strerror(err) : "");
}

static void relocate(const char *object, const char *only)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .btf_custom_path = btf_path, .kconfig = kconfig_of(object));
	struct bpf_object *obj;
	struct bpf_program *prog;
	struct bpf_map *map;
	int err;

	relocating = relocation_failed = false;
	memset(&rec, 0, sizeof(rec));
	obj = bpf_object__open_file(object, &opts);
	if (!obj) {
		print_end("open", errno);
		return;
	}
	bpf_object__for_each_program(prog, obj)
		bpf_program__set_autoload(prog, !only || !strcmp(only, bpf_program__name(prog)));
	bpf_object__for_each_map(map, obj)
		if (bpf_map__type(map) == BPF_MAP_TYPE_STRUCT_OPS)
			bpf_map__set_autocreate(map, false);
#if HAVE_PREPARE
	err = bpf_object__prepare(obj);
#else
	err = bpf_object__load(obj);
#endif
	end_record();
	if (!relocating && err) {
		print_end("before relocation", -err);
	} else if (relocation_failed) {
		print_end("relocation failed", 0);
	} else {
		bpf_object__for_each_program(prog, obj) {
			const unsigned char *insns = (const void *)bpf_program__insns(prog);
			size_t i, n = bpf_program__insn_cnt(prog) * sizeof(struct bpf_insn);

			if (!bpf_program__autoload(prog) || !insns)
				continue;
			putchar('{');
			print_string("btf", btf_path);
			putchar(',');
			print_string("prog", bpf_program__name(prog));
			printf(",\"insns\":\"");
			for (i = 0; i < n; i++)
				printf("%02x", insns[i]);
			printf("\"}\n");
		}
		print_end("ok", 0);
	}
	bpf_object__close(obj);
}

int main(int argc, char **argv)
{
	// Sections of which the programs attach to BTF make libbpf read the BTF of this machine's kernel: they become kprobes.
	static const char *const sections[] = {
		"fentry+", "fentry.s+", "fexit+", "fexit.s+", "fmod_ret+", "fmod_ret.s+", "fsession+", "fsession.s+",
		"freplace+", "tp_btf+", "tp_btf.s+", "lsm+", "lsm.s+", "lsm_cgroup+", "iter+", "iter.s+",
		"struct_ops+", "struct_ops.s+",
	};
	const char *only = NULL, *object;
	size_t i;

	if (argc > 2 && !strcmp(argv[1], "-p")) {
		only = argv[2];
		argc -= 2;
		argv += 2;
	}
	if (argc < 3) {
		fprintf(stderr, "usage: libbpf_relo [-p PROGRAM] OBJECT BTF...\n");
		return 2;
	}
	object = argv[1];
	printf("{\"libbpf\":\"%u.%u\"}\n", libbpf_major_version(), libbpf_minor_version());
	libbpf_set_print(on_log);
	for (i = 0; i < sizeof(sections) / sizeof(*sections); i++) {
		if (libbpf_register_prog_handler(sections[i], BPF_PROG_TYPE_KPROBE, 0, NULL) < 0) {
			fprintf(stderr, "libbpf_relo: libbpf takes no handler for %s\n", sections[i]);
			return 1;
		}
	}
	for (argv += 2; *argv; argv++) {
		btf_path = *argv;
		relocate(object, only);
	}
	return 0;
}
