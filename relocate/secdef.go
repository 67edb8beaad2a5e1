package relocate

// SecDef is what a section name says about a program: the row of libbpf's section_defs that matches, with the target.
type SecDef struct {
	Name       string // the section's prefix as in libbpf's table, without "+": "kprobe", "tp_btf.s", "cgroup/connect4"; "" where no row matches
	ProgType   string // enumerator of enum bpf_prog_type: "BPF_PROG_TYPE_KPROBE"; "" where the loader must choose
	AttachType string // enumerator of enum bpf_attach_type: "BPF_TRACE_FENTRY"; "" where the section says none
	// AttachTypeOpt: libbpf leaves the attach type out where the kernel does not take it (SEC_EXP_ATTACH_OPT).
	AttachTypeOpt bool
	Target        string // what follows the first '/': "vfs_read", "block/block_rq_issue" (tracepoints), "" where none
	Module        string // of "module:function"
	Offset        int64  // of "function+offset", in bytes
	Sleepable     bool   // .s
	Autoload      bool   // false for a leading '?'
	NeedsBTFID    bool   // SEC_ATTACH_BTF: the load looks the target up in kernel BTF
	AutoAttach    bool   // bpf_program__attach knows what to do with the section
}
