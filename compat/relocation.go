package compat

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// relocationNeeds are the needs that come from CO-RE records.
var relocationNeeds = []relocate.NeedKind{relocate.NeedField, relocate.NeedType, relocate.NeedEnumValue}

// poisoned returns the result of a need's relocation where nothing in the kernel matched and the verifier will refuse
// the instruction if it is reached (bpf_core_poison_insn), together with the essential name of the root type.
func (c *check) poisoned(n *relocate.Need) (*relocate.Result, string) {
	r := c.result(n)
	if r == nil || r.Outcome != relocate.Poisoned || r.Mismatch {
		return nil, ""
	}
	return r, c.rootName(r.Relo)
}

// rootName is the essential name of the relocation's root type.
func (c *check) rootName(r *relocate.Relo) string {
	return btfinfo.EssentialName(c.obj.BTF.Type(r.Type).Name())
}

// rootWord is the root type as C names it, without flavour: "struct request".
func (c *check) rootWord(r *relocate.Relo) string {
	t := c.obj.BTF.Type(r.Type)
	return t.Kind().Tag() + btfinfo.EssentialName(t.Name())
}

// hasReason tells whether any candidate was rejected for this reason.
func hasReason(r *relocate.Result, reason relocate.Reason) bool {
	for i := range r.Candidates {
		if r.Candidates[i].Reason == reason {
			return true
		}
	}
	return false
}

// candidateLines says what became of each candidate, without type ids, which differ from kernel to kernel.
func candidateLines(r *relocate.Result) []string {
	var out []string
	for i := range r.Candidates {
		c := &r.Candidates[i]
		line := c.BTF + ": " + c.Kind.Tag() + c.Name + ": "
		if c.Reason == relocate.ReasonNone {
			line += "matches"
		} else {
			line += c.Detail
		}
		out = append(out, line)
	}
	return out
}
