package compat

import (
	"encoding/binary"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// LeftOut are kernels on which an object was not asked, because it is for others.
type LeftOut struct {
	Kernels []string `json:"kernels"`
	Reason  string   `json:"reason"` // "the object is for x86_64, since its struct pt_regs has 'orig_ax'"

	set kernels.Set
}

// leftOut splits off the kernels that an object can't be meant for: those of the other byte order, which libbpf refuses, and
// where the object tells its architecture (relocate.Object.Arch) those of others. What is not known of a kernel leaves
// nothing out, and neither are kernels that were given one by one.
func leftOut(o *relocate.Object, ks []*kernels.Kernel) []LeftOut {
	var out []LeftOut
	put := func(k int, reason string) {
		for i := range out {
			if out[i].Reason == reason {
				out[i].set.Add(k)
				return
			}
		}
		set := kernels.NewSet(len(ks))
		set.Add(k)
		out = append(out, LeftOut{Reason: reason, set: set})
	}
	arch, because := o.Arch()
	for i, k := range ks {
		if _, _, ok := k.Archived(); !ok {
			continue
		}
		_, known := kernels.Arch(k.Arch)
		switch order := kernels.ByteOrder(k.Arch); {
		case order != nil && order != o.ByteOrder:
			put(i, "the object is "+orderName(o.ByteOrder)+", they are "+orderName(order))
		case arch != "" && known && arch != k.Arch:
			put(i, "the object is for "+arch+", since "+because)
		}
	}
	return out
}

func orderName(o binary.ByteOrder) string {
	if o == binary.BigEndian {
		return "big endian"
	}
	return "little endian"
}

// notLeftOut is what is left of all.
func notLeftOut(all kernels.Set, out []LeftOut) kernels.Set {
	left := all.Clone()
	for i := range out {
		left.AndNot(out[i].set)
	}
	return left
}
