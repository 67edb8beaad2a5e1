package relocate

import (
	"fmt"
	"strconv"
	"strings"
)

// SecDef is what a section name says about a program: the row of libbpf's section_defs that matches, with the target.
type SecDef struct {
	Name       string // the section's prefix as in libbpf's table, without "+": "kprobe", "tp_btf.s", "cgroup/connect4"; "" where no row matches
	ProgType   string // enumerator of enum bpf_prog_type: "BPF_PROG_TYPE_KPROBE"; "" where the loader must choose
	AttachType string // enumerator of enum bpf_attach_type: "BPF_TRACE_FENTRY"; "" where the section says none
	// AttachTypeOpt: libbpf leaves the attach type out where the kernel does not take it (SEC_EXP_ATTACH_OPT).
	AttachTypeOpt bool
	Hook          Hook   // what Target names
	Target        string // what follows the first '/': "vfs_read+0x10", "block/block_rq_issue", "libc.so.6:malloc"; "" where nothing does
	Func          string // the name in Target: "vfs_read", "block_rq_issue", "malloc"; a pattern for kprobe.multi; "provider:name" for usdt
	Module        string // of "module:function"
	Binary        string // of uprobes and usdt: the path or name of the executable or library
	Offset        int64  // of "function+offset", in bytes
	Return        bool   // the program runs when the function returns: kretprobe, uretprobe, kretsyscall
	Sleepable     bool   // .s (BPF_F_SLEEPABLE)
	XDPFrags      bool   // .frags (BPF_F_XDP_HAS_FRAGS)
	Autoload      bool   // false for a leading '?'
	NeedsBTFID    bool   // SEC_ATTACH_BTF: the load looks the target up in kernel BTF
	AutoAttach    bool   // bpf_program__attach knows what to do with the section
	// Err tells why the target makes no sense: libbpf opens the object, and fails when it attaches the program (or loads
	// it, with NeedsBTFID). "" where all is well.
	Err string
}

// Hook is what the target of a section names.
type Hook string

const (
	HookNone       Hook = ""              // the section has no target, or the loader chooses it
	HookFunction   Hook = "function"      // a kernel function, by symbol: kprobe, kretprobe
	HookFunctions  Hook = "functions"     // a pattern over traceable kernel functions: kprobe.multi, fentry.multi
	HookSyscall    Hook = "syscall"       // a system call: ksyscall
	HookUser       Hook = "user function" // uprobe
	HookUSDT       Hook = "usdt"          // a static probe of an executable
	HookTracepoint Hook = "tracepoint"    // "category/name" in tracefs
	HookRawTP      Hook = "raw tracepoint"
	HookBTFTP      Hook = "btf tracepoint" // TYPEDEF btf_trace_<name>
	HookBTFFunc    Hook = "btf function"   // FUNC <name>: fentry, fexit, fmod_ret, fsession
	HookLSM        Hook = "lsm hook"       // FUNC bpf_lsm_<name>
	HookIter       Hook = "iterator"       // FUNC bpf_iter_<name>
	HookProgram    Hook = "program"        // a function of another BPF program: freplace
	HookStructOps  Hook = "struct_ops"     // a member of a struct_ops map; informational, the map decides
)

// secFlags are enum sec_def_flags of libbpf v1.7, as far as they say something about the kernel.
type secFlags uint8

const (
	secOpt       secFlags = 1 << iota // SEC_EXP_ATTACH_OPT
	secBTF                            // SEC_ATTACH_BTF
	secSleepable                      // SEC_SLEEPABLE
	secFrags                          // SEC_XDP_FRAGS
	secAuto                           // the row has an attach function
	secReturn                         // ours: the name starts with kret or uret
)

// secRow is one row of section_defs: a name, where "x+" stands for "x" and "x/…"; the program type without its prefix;
// the attach type, "" for 0.
type secRow struct {
	name, prog, attach string
	hook               Hook
	flags              secFlags
}

// secRows is section_defs of libbpf v1.7.0 (src/libbpf.c), in its order, because the first match wins; then the rows
// that libbpf's development tree for v1.8 adds (commit f7081a6b): programs attached to many functions, and sleepable
// tracepoints. No name of the second part is matched by the first.
var secRows = []secRow{
	{"socket", "SOCKET_FILTER", "", HookNone, 0},
	{"sk_reuseport/migrate", "SK_REUSEPORT", "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE", HookNone, 0},
	{"sk_reuseport", "SK_REUSEPORT", "BPF_SK_REUSEPORT_SELECT", HookNone, 0},
	{"kprobe+", "KPROBE", "", HookFunction, secAuto},
	{"uprobe+", "KPROBE", "", HookUser, secAuto},
	{"uprobe.s+", "KPROBE", "", HookUser, secAuto | secSleepable},
	{"kretprobe+", "KPROBE", "", HookFunction, secAuto | secReturn},
	{"uretprobe+", "KPROBE", "", HookUser, secAuto | secReturn},
	{"uretprobe.s+", "KPROBE", "", HookUser, secAuto | secReturn | secSleepable},
	{"kprobe.multi+", "KPROBE", "BPF_TRACE_KPROBE_MULTI", HookFunctions, secAuto},
	{"kretprobe.multi+", "KPROBE", "BPF_TRACE_KPROBE_MULTI", HookFunctions, secAuto | secReturn},
	{"kprobe.session+", "KPROBE", "BPF_TRACE_KPROBE_SESSION", HookFunctions, secAuto},
	{"uprobe.multi+", "KPROBE", "BPF_TRACE_UPROBE_MULTI", HookUser, secAuto},
	{"uretprobe.multi+", "KPROBE", "BPF_TRACE_UPROBE_MULTI", HookUser, secAuto | secReturn},
	{"uprobe.session+", "KPROBE", "BPF_TRACE_UPROBE_SESSION", HookUser, secAuto},
	{"uprobe.multi.s+", "KPROBE", "BPF_TRACE_UPROBE_MULTI", HookUser, secAuto | secSleepable},
	{"uretprobe.multi.s+", "KPROBE", "BPF_TRACE_UPROBE_MULTI", HookUser, secAuto | secReturn | secSleepable},
	{"uprobe.session.s+", "KPROBE", "BPF_TRACE_UPROBE_SESSION", HookUser, secAuto | secSleepable},
	{"ksyscall+", "KPROBE", "", HookSyscall, secAuto},
	{"kretsyscall+", "KPROBE", "", HookSyscall, secAuto | secReturn},
	{"usdt+", "KPROBE", "", HookUSDT, secAuto},
	{"usdt.s+", "KPROBE", "", HookUSDT, secAuto | secSleepable},
	{"tc/ingress", "SCHED_CLS", "BPF_TCX_INGRESS", HookNone, 0},
	{"tc/egress", "SCHED_CLS", "BPF_TCX_EGRESS", HookNone, 0},
	{"tcx/ingress", "SCHED_CLS", "BPF_TCX_INGRESS", HookNone, 0},
	{"tcx/egress", "SCHED_CLS", "BPF_TCX_EGRESS", HookNone, 0},
	{"tc", "SCHED_CLS", "", HookNone, 0},
	{"classifier", "SCHED_CLS", "", HookNone, 0},
	{"action", "SCHED_ACT", "", HookNone, 0},
	{"netkit/primary", "SCHED_CLS", "BPF_NETKIT_PRIMARY", HookNone, 0},
	{"netkit/peer", "SCHED_CLS", "BPF_NETKIT_PEER", HookNone, 0},
	{"tracepoint+", "TRACEPOINT", "", HookTracepoint, secAuto},
	{"tp+", "TRACEPOINT", "", HookTracepoint, secAuto},
	{"raw_tracepoint+", "RAW_TRACEPOINT", "", HookRawTP, secAuto},
	{"raw_tp+", "RAW_TRACEPOINT", "", HookRawTP, secAuto},
	{"raw_tracepoint.w+", "RAW_TRACEPOINT_WRITABLE", "", HookRawTP, secAuto},
	{"raw_tp.w+", "RAW_TRACEPOINT_WRITABLE", "", HookRawTP, secAuto},
	{"tp_btf+", "TRACING", "BPF_TRACE_RAW_TP", HookBTFTP, secAuto | secBTF},
	{"fentry+", "TRACING", "BPF_TRACE_FENTRY", HookBTFFunc, secAuto | secBTF},
	{"fmod_ret+", "TRACING", "BPF_MODIFY_RETURN", HookBTFFunc, secAuto | secBTF},
	{"fexit+", "TRACING", "BPF_TRACE_FEXIT", HookBTFFunc, secAuto | secBTF},
	{"fentry.s+", "TRACING", "BPF_TRACE_FENTRY", HookBTFFunc, secAuto | secBTF | secSleepable},
	{"fmod_ret.s+", "TRACING", "BPF_MODIFY_RETURN", HookBTFFunc, secAuto | secBTF | secSleepable},
	{"fexit.s+", "TRACING", "BPF_TRACE_FEXIT", HookBTFFunc, secAuto | secBTF | secSleepable},
	{"fsession+", "TRACING", "BPF_TRACE_FSESSION", HookBTFFunc, secAuto | secBTF},
	{"fsession.s+", "TRACING", "BPF_TRACE_FSESSION", HookBTFFunc, secAuto | secBTF | secSleepable},
	{"freplace+", "EXT", "", HookProgram, secAuto | secBTF},
	{"lsm+", "LSM", "BPF_LSM_MAC", HookLSM, secAuto | secBTF},
	{"lsm.s+", "LSM", "BPF_LSM_MAC", HookLSM, secAuto | secBTF | secSleepable},
	{"lsm_cgroup+", "LSM", "BPF_LSM_CGROUP", HookLSM, secBTF},
	{"iter+", "TRACING", "BPF_TRACE_ITER", HookIter, secAuto | secBTF},
	{"iter.s+", "TRACING", "BPF_TRACE_ITER", HookIter, secAuto | secBTF | secSleepable},
	{"syscall", "SYSCALL", "", HookNone, secSleepable},
	{"xdp.frags/devmap", "XDP", "BPF_XDP_DEVMAP", HookNone, secFrags},
	{"xdp/devmap", "XDP", "BPF_XDP_DEVMAP", HookNone, 0},
	{"xdp.frags/cpumap", "XDP", "BPF_XDP_CPUMAP", HookNone, secFrags},
	{"xdp/cpumap", "XDP", "BPF_XDP_CPUMAP", HookNone, 0},
	{"xdp.frags", "XDP", "BPF_XDP", HookNone, secFrags},
	{"xdp", "XDP", "BPF_XDP", HookNone, secOpt},
	{"perf_event", "PERF_EVENT", "", HookNone, 0},
	{"lwt_in", "LWT_IN", "", HookNone, 0},
	{"lwt_out", "LWT_OUT", "", HookNone, 0},
	{"lwt_xmit", "LWT_XMIT", "", HookNone, 0},
	{"lwt_seg6local", "LWT_SEG6LOCAL", "", HookNone, 0},
	{"sockops", "SOCK_OPS", "BPF_CGROUP_SOCK_OPS", HookNone, secOpt},
	{"sk_skb/stream_parser", "SK_SKB", "BPF_SK_SKB_STREAM_PARSER", HookNone, secOpt},
	{"sk_skb/stream_verdict", "SK_SKB", "BPF_SK_SKB_STREAM_VERDICT", HookNone, secOpt},
	{"sk_skb/verdict", "SK_SKB", "BPF_SK_SKB_VERDICT", HookNone, secOpt},
	{"sk_skb", "SK_SKB", "", HookNone, 0},
	{"sk_msg", "SK_MSG", "BPF_SK_MSG_VERDICT", HookNone, secOpt},
	{"lirc_mode2", "LIRC_MODE2", "BPF_LIRC_MODE2", HookNone, secOpt},
	{"flow_dissector", "FLOW_DISSECTOR", "BPF_FLOW_DISSECTOR", HookNone, secOpt},
	{"cgroup_skb/ingress", "CGROUP_SKB", "BPF_CGROUP_INET_INGRESS", HookNone, secOpt},
	{"cgroup_skb/egress", "CGROUP_SKB", "BPF_CGROUP_INET_EGRESS", HookNone, secOpt},
	{"cgroup/skb", "CGROUP_SKB", "", HookNone, 0},
	{"cgroup/sock_create", "CGROUP_SOCK", "BPF_CGROUP_INET_SOCK_CREATE", HookNone, 0},
	{"cgroup/sock_release", "CGROUP_SOCK", "BPF_CGROUP_INET_SOCK_RELEASE", HookNone, 0},
	{"cgroup/sock", "CGROUP_SOCK", "BPF_CGROUP_INET_SOCK_CREATE", HookNone, secOpt},
	{"cgroup/post_bind4", "CGROUP_SOCK", "BPF_CGROUP_INET4_POST_BIND", HookNone, 0},
	{"cgroup/post_bind6", "CGROUP_SOCK", "BPF_CGROUP_INET6_POST_BIND", HookNone, 0},
	{"cgroup/bind4", "CGROUP_SOCK_ADDR", "BPF_CGROUP_INET4_BIND", HookNone, 0},
	{"cgroup/bind6", "CGROUP_SOCK_ADDR", "BPF_CGROUP_INET6_BIND", HookNone, 0},
	{"cgroup/connect4", "CGROUP_SOCK_ADDR", "BPF_CGROUP_INET4_CONNECT", HookNone, 0},
	{"cgroup/connect6", "CGROUP_SOCK_ADDR", "BPF_CGROUP_INET6_CONNECT", HookNone, 0},
	{"cgroup/connect_unix", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UNIX_CONNECT", HookNone, 0},
	{"cgroup/sendmsg4", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UDP4_SENDMSG", HookNone, 0},
	{"cgroup/sendmsg6", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UDP6_SENDMSG", HookNone, 0},
	{"cgroup/sendmsg_unix", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UNIX_SENDMSG", HookNone, 0},
	{"cgroup/recvmsg4", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UDP4_RECVMSG", HookNone, 0},
	{"cgroup/recvmsg6", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UDP6_RECVMSG", HookNone, 0},
	{"cgroup/recvmsg_unix", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UNIX_RECVMSG", HookNone, 0},
	{"cgroup/getpeername4", "CGROUP_SOCK_ADDR", "BPF_CGROUP_INET4_GETPEERNAME", HookNone, 0},
	{"cgroup/getpeername6", "CGROUP_SOCK_ADDR", "BPF_CGROUP_INET6_GETPEERNAME", HookNone, 0},
	{"cgroup/getpeername_unix", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UNIX_GETPEERNAME", HookNone, 0},
	{"cgroup/getsockname4", "CGROUP_SOCK_ADDR", "BPF_CGROUP_INET4_GETSOCKNAME", HookNone, 0},
	{"cgroup/getsockname6", "CGROUP_SOCK_ADDR", "BPF_CGROUP_INET6_GETSOCKNAME", HookNone, 0},
	{"cgroup/getsockname_unix", "CGROUP_SOCK_ADDR", "BPF_CGROUP_UNIX_GETSOCKNAME", HookNone, 0},
	{"cgroup/sysctl", "CGROUP_SYSCTL", "BPF_CGROUP_SYSCTL", HookNone, 0},
	{"cgroup/getsockopt", "CGROUP_SOCKOPT", "BPF_CGROUP_GETSOCKOPT", HookNone, 0},
	{"cgroup/setsockopt", "CGROUP_SOCKOPT", "BPF_CGROUP_SETSOCKOPT", HookNone, 0},
	{"cgroup/dev", "CGROUP_DEVICE", "BPF_CGROUP_DEVICE", HookNone, secOpt},
	{"struct_ops+", "STRUCT_OPS", "", HookStructOps, 0},
	{"struct_ops.s+", "STRUCT_OPS", "", HookStructOps, secSleepable},
	{"sk_lookup", "SK_LOOKUP", "BPF_SK_LOOKUP", HookNone, 0},
	{"netfilter", "NETFILTER", "BPF_NETFILTER", HookNone, 0},

	{"fentry.multi+", "TRACING", "BPF_TRACE_FENTRY_MULTI", HookFunctions, secAuto},
	{"fexit.multi+", "TRACING", "BPF_TRACE_FEXIT_MULTI", HookFunctions, secAuto},
	{"fsession.multi+", "TRACING", "BPF_TRACE_FSESSION_MULTI", HookFunctions, secAuto},
	{"fentry.multi.s+", "TRACING", "BPF_TRACE_FENTRY_MULTI", HookFunctions, secAuto | secSleepable},
	{"fexit.multi.s+", "TRACING", "BPF_TRACE_FEXIT_MULTI", HookFunctions, secAuto | secSleepable},
	{"fsession.multi.s+", "TRACING", "BPF_TRACE_FSESSION_MULTI", HookFunctions, secAuto | secSleepable},
	{"tracepoint.s+", "TRACEPOINT", "", HookTracepoint, secAuto | secSleepable},
	{"tp.s+", "TRACEPOINT", "", HookTracepoint, secAuto | secSleepable},
	{"raw_tracepoint.s+", "RAW_TRACEPOINT", "", HookRawTP, secAuto | secSleepable},
	{"raw_tp.s+", "RAW_TRACEPOINT", "", HookRawTP, secAuto | secSleepable},
	{"tp_btf.s+", "TRACING", "BPF_TRACE_RAW_TP", HookBTFTP, secAuto | secBTF | secSleepable},
}

// ParseSection reads a section name as libbpf does: find_sec_def and sec_def_matches of v1.7, then the target as the
// row's attach function or, with NeedsBTFID, libbpf_prepare_prog_load reads it.
func ParseSection(section string) SecDef {
	name, off := strings.CutPrefix(section, "?")
	d := SecDef{Autoload: !off}
	for i := range secRows {
		row := &secRows[i]
		prefix, plus := strings.CutSuffix(row.name, "+")
		rest, ok := strings.CutPrefix(name, prefix)
		if !ok || rest != "" && !(plus && rest[0] == '/') {
			continue
		}
		d.Name = prefix
		d.ProgType = "BPF_PROG_TYPE_" + row.prog
		d.AttachType = row.attach
		d.AttachTypeOpt = row.flags&secOpt != 0
		d.Sleepable = row.flags&secSleepable != 0
		d.XDPFrags = row.flags&secFrags != 0
		d.NeedsBTFID = row.flags&secBTF != 0
		d.Return = row.flags&secReturn != 0
		if plus && rest != "" {
			d.AutoAttach = row.flags&secAuto != 0
			d.Hook = row.hook
			d.Target = rest[1:]
			d.parseTarget(d.Target)
		}
		break
	}
	return d
}

const (
	kprobeChars  = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_."
	patternChars = kprobeChars + "*?"
)

// leading returns the longest prefix of s of these characters and the rest: "%m[…]" of sscanf.
func leading(s, chars string) (string, string) {
	i := strings.IndexFunc(s, func(r rune) bool { return !strings.ContainsRune(chars, r) })
	if i < 0 {
		return s, ""
	}
	return s[:i], s[i:]
}

// parseTarget reads what follows the '/' after the prefix.
func (d *SecDef) parseTarget(s string) {
	switch d.Hook {
	case HookFunction: // attach_kprobe: sscanf "%m[a-zA-Z0-9_.]+%li"; what follows is not looked at
		var rest string
		d.Func, rest = leading(s, kprobeChars)
		if d.Func == "" {
			d.Err = fmt.Sprintf("no function name in %q", s)
			return
		}
		if num, ok := strings.CutPrefix(rest, "+"); ok {
			d.Offset, _ = scanLong(num)
		}
		if d.Return && d.Offset != 0 {
			d.Err = "a kretprobe can't have an offset"
		}
	case HookFunctions: // attach_kprobe_multi, attach_kprobe_session: sscanf "%m[a-zA-Z0-9_.*?]"
		if strings.HasPrefix(d.Name, "f") {
			// Patterns of fentry.multi may name a module: "module:pattern".
			if m, f, ok := strings.Cut(s, ":"); ok {
				d.Module, s = m, f
			}
		}
		if d.Func, _ = leading(s, patternChars); d.Func == "" {
			d.Err = fmt.Sprintf("no function pattern in %q", s)
		}
	case HookSyscall: // attach_ksyscall
		if d.Func = s; s == "" {
			d.Err = "no system call after '/'"
		}
	case HookUser:
		d.parseUser(s)
	case HookUSDT:
		// attach_usdt: sscanf "usdt/%m[^:]:%m[^:]:%m[^:]". Differs from libbpf v1.7: its pattern does not fit usdt.s, so
		// that sleepable USDT programs can't be attached by their section; they are read here as they are meant.
		part := strings.SplitN(s, ":", 4)
		if len(part) < 3 || part[0] == "" || part[1] == "" || part[2] == "" {
			d.Err = fmt.Sprintf("%q is not path:provider:name", s)
			return
		}
		d.Binary, d.Func = part[0], part[1]+":"+part[2]
	case HookTracepoint: // attach_tp: category/name, cut at the first '/'
		var ok bool
		if _, d.Func, ok = strings.Cut(s, "/"); !ok {
			d.Err = fmt.Sprintf("%q is not category/name", s)
		}
	case HookRawTP: // attach_raw_tp
		if d.Func = s; s == "" {
			d.Err = "no tracepoint after '/'"
		}
	case HookBTFTP, HookBTFFunc, HookLSM, HookIter: // find_kernel_btf_id: "module:name"
		if m, f, ok := strings.Cut(s, ":"); ok {
			d.Module, s = m, f
		}
		if d.Func = s; s == "" {
			d.Err = "no name after '/'"
		}
	case HookProgram, HookStructOps:
		d.Func = s
	}
}

// parseUser reads "path:function[+offset]": attach_uprobe and attach_uprobe_multi, sscanf "%m[^/]/%m[^:]:%m[^\n]".
func (d *SecDef) parseUser(s string) {
	if s == "" { // "uprobe/" is as good as "uprobe": one conversion succeeds
		d.AutoAttach = false
		return
	}
	path, fn, _ := strings.Cut(s, ":")
	d.Binary = path
	fn, _, _ = strings.Cut(fn, "\n")
	if path == "" || fn == "" {
		d.Err = fmt.Sprintf("%q is not path:function", s)
		return
	}
	d.Func = fn
	if d.AttachType != "" { // uprobe.multi takes a pattern and no offset
		return
	}
	if i := strings.LastIndexByte(fn, '+'); i >= 0 {
		if off, rest := scanLong(fn[i+1:]); rest == "" && fn[i+1:] != "" {
			d.Func, d.Offset = fn[:i], off
		}
	}
	if d.Return && d.Offset != 0 {
		d.Err = "a uretprobe can't have an offset"
	}
}

// scanLong reads a number as "%li" of sscanf does: decimal, 0x… or 0…. Without a number it returns 0 and s.
func scanLong(s string) (int64, string) {
	end := 0
	if end < len(s) && (s[end] == '-' || s[end] == '+') {
		end++
	}
	digits := "0123456789"
	if strings.HasPrefix(s[end:], "0x") || strings.HasPrefix(s[end:], "0X") {
		end += 2
		digits = "0123456789abcdefABCDEF"
	} else if strings.HasPrefix(s[end:], "0") {
		digits = "01234567"
	}
	for end < len(s) && strings.IndexByte(digits, s[end]) >= 0 {
		end++
	}
	n, err := strconv.ParseInt(s[:end], 0, 64)
	if err != nil {
		return 0, s
	}
	return n, s[end:]
}
