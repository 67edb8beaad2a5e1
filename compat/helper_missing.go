package compat

import (
	"fmt"
	"strings"

	"github.com/corecheck/corecheck/relocate"
)

// lacks tells whether the kernel's own enum says that it does not have the enumerator; unsure where it has no such enum.
func (c *check) lacks(enum, name string) (lacks, unsure bool) {
	t := c.enum(enum)
	if t == nil {
		return false, true
	}
	_, ok := t.byName[name]
	return !ok, false
}

// noEnum is the finding that a kernel's BTF lacks the enum that would answer a need.
func noEnum(enum, name string, st stage) raw {
	return raw{stage: st, verdict: Unknown,
		message: "this kernel's BTF has no enum " + enum + ", which would tell whether it knows " + name,
		hint:    "check a kernel whose BTF was made with BPF compiled in, or try it there"}
}

// isLast tells the names that enums close with: __BPF_FUNC_MAX_ID, __MAX_BPF_MAP_TYPE.
func isLast(name string) bool { return len(name) > 2 && name[:2] == "__" }

var helperMissing = &Rule{
	Code:  "CC030",
	Name:  "helper_missing",
	Title: "helper does not exist",
	Doc: `The program calls a helper that the kernel's enum bpf_func_id does not have. The verifier refuses the call
("invalid func unknown#N") if it can be reached. The enum says what this build knows, backports included; it does not
say whether the program's type may call the helper, nor whether lockdown or the config forbids it.

Guard the call with bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_…), or use an older helper.
Source: check_helper_call in kernel/bpf/verifier.c; enum bpf_func_id in include/uapi/linux/bpf.h.`,
	needs: []relocate.NeedKind{relocate.NeedHelper},
	check: func(c *check, n *relocate.Need) {
		t := c.enum("bpf_func_id")
		if t == nil {
			c.report(n, noEnum("bpf_func_id", n.Name, stageLoad))
			return
		}
		// By number, as the verifier does; the name is for people.
		if name, ok := t.byValue[uint64(n.Value)]; ok && !isLast(name) {
			return
		}
		msg := fmt.Sprintf("the kernel has no helper %s (number %d)", n.Name, n.Value)
		hint := "guard the call with bpf_core_enum_value_exists(enum bpf_func_id, BPF_FUNC_" + trimBPF(n.Name) + "), or use an older helper"
		if !strings.HasPrefix(n.Name, "bpf_") { // newer than the table of names
			msg = fmt.Sprintf("the kernel has no helper of number %d", n.Value)
			hint = "guard the call with bpf_core_enum_value_exists() of its BPF_FUNC_ enumerator, or use an older helper"
		}
		c.reportGuarded(n, raw{verdict: Break, message: msg, hint: hint}, "bpf_func_id")
	},
}

func trimBPF(helper string) string {
	if len(helper) > 4 && helper[:4] == "bpf_" {
		return helper[4:]
	}
	return helper
}
