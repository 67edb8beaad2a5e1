package compat

import "github.com/corecheck/corecheck/relocate"

var objectRefused = &Rule{
	Code:  "CC010",
	Name:  "object_refused",
	Title: "libbpf 1.x does not open the object",
	Doc: `The object is of a kind that libbpf 1.0 gave up, or that it never took: maps defined in a "maps" section, static
functions beside a program, externs without BTF. libbpf 1.x fails to open it, on every kernel. libbpf 0.x and other
loaders may take it, so this is a warning, and the verdicts hold for a loader that does.

Define maps in SEC(".maps"), and compile with -g.
Source: bpf_object__elf_collect and bpf_object__init_maps in libbpf v1.7's libbpf.c; its migration guide to v1.0.`,
	needs: []relocate.NeedKind{relocate.NeedLoader},
	check: func(c *check, n *relocate.Need) {
		c.reportObject(n, raw{verdict: Warn,
			message: "libbpf 1.x does not open the object: " + n.Detail,
			hint:    "bring it to what libbpf 1.x takes (BTF-defined maps in SEC(\".maps\"), -g), or load it with libbpf 0.x or cilium/ebpf"})
	},
}
