package load

import (
	"bytes"
	"runtime"

	"github.com/corecheck/corecheck/btfinfo"
)

// contextTypes are the structs that the verifier knows the contexts of programs by: global_ctx_map of libbpf v1.7.
var contextTypes = map[string]string{
	"BPF_PROG_TYPE_CGROUP_DEVICE":           "bpf_cgroup_dev_ctx",
	"BPF_PROG_TYPE_CGROUP_SKB":              "__sk_buff",
	"BPF_PROG_TYPE_CGROUP_SOCK":             "bpf_sock",
	"BPF_PROG_TYPE_CGROUP_SOCK_ADDR":        "bpf_sock_addr",
	"BPF_PROG_TYPE_CGROUP_SOCKOPT":          "bpf_sockopt",
	"BPF_PROG_TYPE_CGROUP_SYSCTL":           "bpf_sysctl",
	"BPF_PROG_TYPE_FLOW_DISSECTOR":          "__sk_buff",
	"BPF_PROG_TYPE_KPROBE":                  "bpf_user_pt_regs_t",
	"BPF_PROG_TYPE_LWT_IN":                  "__sk_buff",
	"BPF_PROG_TYPE_LWT_OUT":                 "__sk_buff",
	"BPF_PROG_TYPE_LWT_SEG6LOCAL":           "__sk_buff",
	"BPF_PROG_TYPE_LWT_XMIT":                "__sk_buff",
	"BPF_PROG_TYPE_NETFILTER":               "bpf_nf_ctx",
	"BPF_PROG_TYPE_PERF_EVENT":              "bpf_perf_event_data",
	"BPF_PROG_TYPE_RAW_TRACEPOINT":          "bpf_raw_tracepoint_args",
	"BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE": "bpf_raw_tracepoint_args",
	"BPF_PROG_TYPE_SCHED_ACT":               "__sk_buff",
	"BPF_PROG_TYPE_SCHED_CLS":               "__sk_buff",
	"BPF_PROG_TYPE_SK_LOOKUP":               "bpf_sk_lookup",
	"BPF_PROG_TYPE_SK_MSG":                  "sk_msg_md",
	"BPF_PROG_TYPE_SK_REUSEPORT":            "sk_reuseport_md",
	"BPF_PROG_TYPE_SK_SKB":                  "__sk_buff",
	"BPF_PROG_TYPE_SOCK_OPS":                "bpf_sock_ops",
	"BPF_PROG_TYPE_SOCKET_FILTER":           "__sk_buff",
	"BPF_PROG_TYPE_XDP":                     "xdp_md",
}

// userRegs is the struct that bpf_user_pt_regs_t stands for on this machine: asm/bpf_perf_event.h of its architecture.
func userRegs() string {
	switch runtime.GOARCH {
	case "arm64", "s390x":
		return "user_pt_regs"
	case "riscv64":
		return "user_regs_struct"
	}
	return "pt_regs"
}

const contextTag = "arg:ctx"

// fixContextArgs gives global functions whose arguments are tagged as contexts a type that says so, where the kernel does
// not know the tag (it came with Linux 6.8): bpf_program_fixup_func_info of libbpf v1.7. The functions are cloned in BTF,
// because programs of other types may call them too.
func (p *plan) fixContextArgs(pp *progPlan) {
	context := contextTypes[pp.sec.ProgType]
	if p.image == nil || len(pp.funcInfo) == 0 || context == "" || !bytes.Contains(p.o.RawBTF, []byte(contextTag)) || p.k.has(featArgCtxTag) {
		return
	}
	m, b, order := p.image, p.o.BTF, p.o.ByteOrder
	records := map[btfinfo.ID][]byte{} // the type ids in function info, by what they are in the object
	for rec := pp.funcInfo; len(rec) > 0; rec = rec[p.o.FuncInfoSize:] {
		if id := btfinfo.ID(order.Uint32(rec[4:])); records[id] == nil {
			records[id] = rec[4:8]
		}
	}
	clones := map[btfinfo.ID]btfinfo.ID{}
	var pointer btfinfo.ID
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		tag := b.Type(id)
		if tag.Kind() != btfinfo.KindDeclTag || tag.Name() != contextTag {
			continue
		}
		fn := b.Type(tag.Ref())
		rec, arg := records[fn.ID()], tag.Component()
		if fn.Kind() != btfinfo.KindFunc || fn.Linkage() != btfFuncGlobal || rec == nil {
			continue
		}
		proto := b.Type(fn.Ref())
		if proto.Kind() != btfinfo.KindFuncProto || arg < 0 || arg >= proto.Vlen() || !needsContext(b, proto.Param(arg).Type, pp.sec.ProgType, context) {
			continue
		}
		clone, ok := clones[fn.ID()]
		if !ok {
			clone = m.cloneFunc(fn)
			clones[fn.ID()] = clone
			order.PutUint32(rec, uint32(clone))
		}
		if pointer == 0 {
			pointer = m.add("", btfinfo.KindPtr, 0, uint32(m.add(context, btfinfo.KindStruct, 0, 0)))
		}
		m.add(contextTag, btfinfo.KindDeclTag, 0, uint32(clone), uint32(arg))
		m.setWord(m.at[m.word(m.at[clone]+8)]+12+8*arg+4, uint32(pointer))
	}
}

// cloneFunc adds a FUNC and its FUNC_PROTO once more.
func (m *btfImage) cloneFunc(fn btfinfo.Type) btfinfo.ID {
	again := func(id btfinfo.ID) btfinfo.ID {
		at := m.at[id]
		m.at = append(m.at, len(m.types))
		m.types = append(m.types, m.types[at:at+m.len(at)]...)
		return btfinfo.ID(len(m.at) - 1)
	}
	proto := again(fn.Ref())
	clone := again(fn.ID())
	m.setWord(m.at[clone]+8, uint32(proto))
	return clone
}

// needsContext tells whether an argument of this type has to become a pointer to the context: need_func_arg_type_fixup of
// libbpf v1.7.
func needsContext(b *btfinfo.BTF, arg btfinfo.ID, progType, context string) bool {
	t := b.Skip(arg)
	if t.Kind() != btfinfo.KindPtr {
		return false
	}
	t = b.Skip(t.Ref())
	if t.Kind() == btfinfo.KindVoid {
		return true
	}
	isStruct := func(name string) bool { return t.Kind() == btfinfo.KindStruct && t.Name() == name }
	if isStruct(context) {
		return false
	}
	switch progType {
	case "BPF_PROG_TYPE_KPROBE":
		return isStruct("pt_regs")
	case "BPF_PROG_TYPE_PERF_EVENT":
		return isStruct(userRegs())
	case "BPF_PROG_TYPE_RAW_TRACEPOINT", "BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE":
		return t.Kind() == btfinfo.KindInt && t.Size() == 8
	}
	return false
}
