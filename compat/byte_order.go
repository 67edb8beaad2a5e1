package compat

import (
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

var byteOrder = &Rule{
	Code:  "CC012",
	Name:  "byte_order",
	Title: "object has the other byte order",
	Doc: `The object was compiled for little endian machines (clang -target bpfel) and the kernel is big endian, or the
other way round. libbpf refuses to load it (LIBBPF_ERRNO__ENDIAN).

Such kernels are left out of a check, unless they were asked for by architecture or ID. Compile the object for both
(-target bpfel, -target bpfeb).
Source: is_native_endianness and bpf_object_load in libbpf v1.7's libbpf.c.`,
	needs: []relocate.NeedKind{relocate.NeedBTF},
	check: func(c *check, n *relocate.Need) {
		order := c.v.By("byte order", func(k *kernels.Kernel) string {
			if o := kernels.ByteOrder(k.Arch); o != nil {
				return orderName(o)
			}
			return ""
		})
		own := orderName(c.obj.ByteOrder)
		if order == "" || order == own {
			return
		}
		c.reportObject(n, raw{verdict: Break,
			message: "the object is " + own + ", the kernel " + order + ": libbpf refuses it",
			hint:    "compile it for that byte order, too (clang -target bpfel or bpfeb), and load the one that fits"})
	},
}
