// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause
//
// Loads and attaches each program of an object on its own, on the kernel that it is booted with as /init, and prints one
// line each: what observed.txt holds.
//
//   cc -O2 -Wall -static observe.c -lbpf -lelf -lz -o init     (libbpf 1.7: older ones know less of weak kfuncs)
//   cp blkstate.bpf.o object && printf '%s\n' init object | cpio -o -H newc >initrd
//   qemu-system-x86_64 -M q35 -cpu max -m 768 -nographic -no-reboot -kernel vmlinuz -initrd initrd
//     -append 'console=ttyS0 quiet panic=-1' | grep '^blkstate '
//
// Attaching a program that has no attachment of its own (SEC("syscall")) fails with EOPNOTSUPP: that is "none".

#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

static struct bpf_object *open_with(const char *name, struct bpf_program **chosen)
{
	struct bpf_object *object = bpf_object__open("/object");
	struct bpf_program *p;

	if (!object)
		return NULL;
	bpf_object__for_each_program(p, object) {
		int is = strcmp(bpf_program__name(p), name) == 0;

		bpf_program__set_autoload(p, is);
		if (is)
			*chosen = p;
	}
	return object;
}

static void observe(const char *release, const char *name)
{
	const char *load = "ok", *attach = "-";
	struct bpf_program *p = NULL;
	struct bpf_object *object = open_with(name, &p);

	if (!object || bpf_object__load(object)) {
		load = "break";
	} else {
		struct bpf_link *link = bpf_program__attach(p);

		attach = link ? "ok" : errno == EOPNOTSUPP ? "none" : "break";
		bpf_link__destroy(link);
	}
	printf("blkstate %s %s %s %s\n", release, name, load, attach);
	bpf_object__close(object);
}

static int silent(enum libbpf_print_level level, const char *format, va_list args)
{
	return 0;
}

int main(void)
{
	struct rlimit unlimited = { RLIM_INFINITY, RLIM_INFINITY };
	struct bpf_object *object;
	struct bpf_program *p;
	struct utsname u;
	int fd;

	mkdir("/dev", 0755);
	mkdir("/proc", 0755);
	mkdir("/sys", 0755);
	mount("dev", "/dev", "devtmpfs", 0, NULL);
	mount("proc", "/proc", "proc", 0, NULL);
	mount("sys", "/sys", "sysfs", 0, NULL);
	mount("tracing", "/sys/kernel/tracing", "tracefs", 0, NULL);
	setrlimit(RLIMIT_MEMLOCK, &unlimited);
	fd = open("/dev/console", O_WRONLY);
	dup2(fd, STDOUT_FILENO);
	puts(""); // the firmware leaves the cursor in a line of its own
	uname(&u);
	libbpf_set_print(silent);
	object = bpf_object__open("/object");
	if (object) {
		bpf_object__for_each_program(p, object)
			observe(u.release, bpf_program__name(p));
		bpf_object__close(object);
	}
	fflush(stdout);
	sleep(1); // for the serial line
	return reboot(RB_POWER_OFF);
}
