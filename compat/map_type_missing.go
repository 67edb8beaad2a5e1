package compat

import (
	"fmt"

	"github.com/corecheck/corecheck/relocate"
)

var mapTypeMissing = &Rule{
	Code:  "CC031",
	Name:  "map_type_missing",
	Title: "map type does not exist",
	Doc: `The object defines a map of a type that the kernel's enum bpf_map_type does not have. libbpf creates every map
before it loads a program, so the load of the whole object fails (EINVAL), whichever programs use the map. The enum
says what this build knows; a type may still be compiled out.

Switch the map off on such kernels with bpf_map__set_autocreate(), or choose another type with bpf_map__set_type().
Source: bpf_object__create_maps in libbpf v1.7's libbpf.c; enum bpf_map_type in include/uapi/linux/bpf.h.`,
	needs: []relocate.NeedKind{relocate.NeedMapType},
	check: func(c *check, n *relocate.Need) {
		if n.Map.StructOps != "" && !n.Map.Autoload {
			return // libbpf does not create it unless it is told to
		}
		t := c.enum("bpf_map_type")
		if t == nil {
			c.reportObject(n, noEnum("bpf_map_type", n.Name, stageLoad))
			return
		}
		if name, ok := t.byValue[uint64(n.Value)]; ok && !isLast(name) {
			return
		}
		c.reportObject(n, raw{verdict: Break,
			message: fmt.Sprintf("the kernel has no %s (number %d), which map %s needs", n.Name, n.Value, n.Map.Name),
			hint:    "on such kernels call bpf_map__set_autocreate(map, false) or bpf_map__set_type() before loading"})
	},
}
