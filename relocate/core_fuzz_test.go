package relocate

import (
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// FuzzResolve resolves two records with one root type of any BTF in any other: it must end, without a panic, and tell the
// same when it is asked for the texts.
func FuzzResolve(f *testing.F) {
	for _, order := range coreOrders {
		_, raw := coreBTF(f, "k2", order)
		for _, name := range coreFixtures {
			o := coreObject(f, name, order)
			_, local := coreBTF(f, name, order)
			for i := 0; i+1 < len(o.Relos); i += 7 {
				r, next := o.Relos[i], o.Relos[i+1]
				in := r.Func.Insns[r.Insn]
				f.Add(local, raw, uint32(r.Kind), uint32(r.Type), r.Access, uint32(next.Kind), next.Access, in.Code, in.Off, in.Imm)
			}
		}
	}
	f.Fuzz(func(t *testing.T, local, target []byte, kind, root uint32, access string, kind2 uint32, access2 string, code uint8, off int16, imm int32) {
		lb, err := btfinfo.Parse(local)
		if err != nil {
			return
		}
		tb, err := btfinfo.Parse(target)
		if err != nil {
			return
		}
		fn := &Func{Name: "f", Insns: []Insn{{Code: code, Off: off, Imm: imm}, {Imm: imm >> 31}}}
		o := &Object{Name: "fuzz", ByteOrder: lb.ByteOrder(), BTF: lb, Relos: []*Relo{
			{Kind: ReloKind(kind), Type: btfinfo.ID(root), Access: access, Func: fn},
			{Index: 1, Kind: ReloKind(kind2), Type: btfinfo.ID(root), Access: access2, Func: fn},
		}}
		r := NewResolver(o, &Target{Vmlinux: tb})
		for _, relo := range o.Relos {
			res := r.Resolve(relo)
			before := *res
			res.Explain()
			if res.Outcome != before.Outcome || res.Value != before.Value || res.MemSize != before.MemSize || res.Reason != before.Reason {
				t.Errorf("%+v, explained %+v", before, *res)
			}
			spec, err := o.Spec(relo)
			if (spec == nil) == (err == nil) {
				t.Errorf("Spec: %v and %v", spec, err)
			}
			if spec != nil && (spec.Path() == "" || spec.FieldType() >= btfinfo.ID(lb.NumTypes())) {
				t.Errorf("path %q, field type %d", spec.Path(), spec.FieldType())
			}
			if res.Outcome == Fatal && res.Detail == "" || res.Outcome == Resolved && res.Reason != ReasonNone {
				t.Errorf("%+v", res)
			}
			for _, c := range res.Candidates {
				if (c.Reason == ReasonNone) != (c.Detail == "") {
					t.Errorf("candidate %+v", c)
				}
			}
			r.Suggest(relo)
			insns := []Insn{fn.Insns[0], fn.Insns[1]}
			res.Patch(insns)
		}
	})
}
