// Package relocate reads compiled BPF objects and all that they need of a kernel, and resolves CO-RE relocations as
// libbpf does.
//
// [Open] and [Read] take an object file, or any file with objects embedded in it: a program with libbpf skeletons, a Go
// program with bpf2go objects. Both byte orders are read on every machine. What comes out is what libbpf 1.7 makes of the
// object when it opens it: programs with what their sections say, functions and who calls whom, maps, externs, CO-RE
// records. (*Object).Needs lists what all of that asks of a kernel, each with the source line.
//
// A [Resolver] answers the CO-RE records of one object on one kernel, with the value or with the reason why each candidate
// was rejected. Reach tells which instructions of a program the verifier may get to there.
//
// libbpf is the reference: each step names the function that it follows. Where an object is read that libbpf refuses,
// Object.Refused tells why. Tests compare what is read with libbpf and with cilium/ebpf.
//
// Limits: an object holds up to a million instructions, 65,536 functions, maps and externs, and 8 MB of .BTF.ext; the
// kernel takes less. Compressed objects inside other files are not found. What the loading program sets at run time (types
// and targets, sizes of maps, .rodata) is not known.
package relocate
