package compat

import "github.com/corecheck/corecheck/relocate"

var targetUnset = &Rule{
	Code:  "CC026",
	Name:  "target_unset",
	Title: "no target that a kernel could be asked for",
	Doc: `The section names no target, or one that is no kernel function, and the load needs it: fentry, fexit, fmod_ret,
tp_btf, LSM and iterator programs without one, and freplace programs, which replace a function of another BPF
program. Only the program that loads the object knows it (bpf_program__set_attach_target); without it the load
fails. A target that libbpf can't read fails the load on every kernel where the load needs it. Elsewhere
("kretprobe/f+4", "tp/name", "uprobe/function") libbpf can't attach by the section, and whether the loader attaches
otherwise is not in the object. A struct_ops program that no struct_ops map refers to fails to load as well, and so
does one whose section libbpf does not know, unless the loader sets its type.

If the target is fixed, name it in SEC().
Source: libbpf_prepare_prog_load in libbpf v1.7's libbpf.c.`,
	needs: []relocate.NeedKind{relocate.NeedAttachTarget, relocate.NeedProgType},
	check: func(c *check, n *relocate.Need) {
		p := n.Programs[0]
		if n.Kind == relocate.NeedProgType {
			if n.Name == "BPF_PROG_TYPE_STRUCT_OPS" && !inStructOps(c.obj, p) {
				c.report(n, raw{verdict: Break,
					message: "no struct_ops map of the object refers to the program, and libbpf refuses to load it then",
					hint:    "put the program into a member of a SEC(\".struct_ops\") variable, or drop it"})
			}
			if n.Name == relocate.SetByLoader {
				c.report(n, raw{verdict: Unknown,
					message: "libbpf knows no section " + p.Section + ", so the program's type is the loader's to set",
					hint:    "name the section as libbpf does, \"kprobe/…\", \"xdp\", or set the type with bpf_program__set_type()"})
			}
			return
		}
		switch {
		case p.Sec.Err != "":
			x := raw{stage: stageLoad, verdict: Break,
				message: "libbpf does not understand the section name " + p.Section + ": " + p.Sec.Err,
				hint:    "correct the section name"}
			if !p.Sec.NeedsBTFID {
				// Tools whose target is known at run time only attach by themselves: bashreadline has SEC("uretprobe/readline").
				x.stage, x.verdict = stageAttach, Unknown
				x.message += "; attaching by it fails, unless the loader names the target itself"
				x.hint = "correct the section name, or attach with the function for it (bpf_program__attach_kprobe, _uprobe, _tracepoint)"
			}
			c.report(n, x)
		case p.Sec.Name == "freplace":
			c.report(n, raw{stage: stageLoad, verdict: Unknown,
				message: "the program replaces a function of another BPF program, which the kernel's BTF says nothing about",
				hint:    "load it where that program is loaded"})
		case p.Sec.NeedsBTFID && p.Sec.Target == "":
			c.report(n, raw{stage: stageLoad, verdict: Unknown,
				message: "the section names no target, and the load needs one from the loader",
				hint:    "name the target in SEC(\"" + p.Sec.Name + "/…\") if it is fixed"})
		}
	},
}

// inStructOps tells whether a struct_ops map of the object has the program in a member.
func inStructOps(o *relocate.Object, p *relocate.Program) bool {
	for _, m := range o.Maps {
		for i := range m.Members {
			if m.Members[i].Program == p {
				return true
			}
		}
	}
	return false
}
