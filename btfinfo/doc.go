// Package btfinfo reads BTF and kernel images as they are found: raw, compressed, in ELF files, boot images, modules
// and sysfs. [Open] takes a file, [Read] a reader, [OpenSystem] the running kernel; [Parse] takes bytes that are known to
// be BTF.
//
// The definitions that it yields are checked once, when they are parsed: every id, size and string offset is held
// against the input, and how long and how wide a walk through types can get is bounded, so that no accessor can fail and
// a stranger's file can't make the program panic or loop. What it does not check is whether the types make sense: a
// struct whose member lies beyond its size is read as it stands.
//
// Limits. BTF is read up to 32 MiB, strings up to 4096 bytes. What compressed input may expand to is bounded by its size
// (see [Open]), and it is never held whole: what is are the decompressor's window, at most 128 MiB and no more than came
// out of it, and 7 MiB of the stream. xz is read with the filters for x86, PowerPC, IA-64, ARM, ARM Thumb and SPARC, not
// with those for ARM64 and RISC-V. A kernel image's BTF is found by its section where the image has any, else (arm64,
// riscv and s390x images) by its look: complete, sound in every respect, and with a task_struct. A module with a distilled
// base (.BTF.base) is read against that base; it is not moved to the kernel's ids, as btf__relocate of libbpf would.
package btfinfo
