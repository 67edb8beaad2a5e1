package relocate

import "testing"

// TestParseSection states what every sort of section name says. Expectations were read from libbpf v1.7's section_defs
// and attach functions, and those of types and attach types compared with its libbpf_prog_type_by_name.
func TestParseSection(t *testing.T) {
	t.Parallel()
	const (
		kprobe  = `type=BPF_PROG_TYPE_KPROBE`
		tracing = `type=BPF_PROG_TYPE_TRACING`
	)
	for _, c := range []struct{ section, want string }{
		// Exact names, "x+" names, and what looks like them.
		{"xdp", `name="xdp" type=BPF_PROG_TYPE_XDP attach="BPF_XDP" attach-opt`},
		{"xdp/devmap", `name="xdp/devmap" type=BPF_PROG_TYPE_XDP attach="BPF_XDP_DEVMAP"`},
		{"xdp.frags/cpumap", `name="xdp.frags/cpumap" type=BPF_PROG_TYPE_XDP attach="BPF_XDP_CPUMAP" frags`},
		{"xdp/other", `name="" type=`},
		{"xdpx", `name="" type=`},
		{"tc", `name="tc" type=BPF_PROG_TYPE_SCHED_CLS`},
		{"tc/ingress", `name="tc/ingress" type=BPF_PROG_TYPE_SCHED_CLS attach="BPF_TCX_INGRESS"`},
		{"tc/main", `name="" type=`},
		{"netkit/peer", `name="netkit/peer" type=BPF_PROG_TYPE_SCHED_CLS attach="BPF_NETKIT_PEER"`},
		{"cgroup/connect4", `name="cgroup/connect4" type=BPF_PROG_TYPE_CGROUP_SOCK_ADDR attach="BPF_CGROUP_INET4_CONNECT"`},
		{"cgroup_skb/ingress", `name="cgroup_skb/ingress" type=BPF_PROG_TYPE_CGROUP_SKB attach="BPF_CGROUP_INET_INGRESS" attach-opt`},
		{"cgroup/skb", `name="cgroup/skb" type=BPF_PROG_TYPE_CGROUP_SKB`},
		{"sk_reuseport/migrate", `name="sk_reuseport/migrate" type=BPF_PROG_TYPE_SK_REUSEPORT attach="BPF_SK_REUSEPORT_SELECT_OR_MIGRATE"`},
		{"sk_lookup/", `name="" type=`},
		{"syscall", `name="syscall" type=BPF_PROG_TYPE_SYSCALL sleepable`},
		{"", `name="" type=`},
		{"?", `name="" type= off`},
		{"?xdp", `name="xdp" type=BPF_PROG_TYPE_XDP attach="BPF_XDP" attach-opt off`},
		{"??xdp", `name="" type= off`},

		// kprobe: sscanf "%m[a-zA-Z0-9_.]+%li".
		{"kprobe", `name="kprobe" ` + kprobe},
		{"kprobe/", `name="kprobe" ` + kprobe + ` hook="function" err="no function name in \"\"" auto-attach`},
		{"kprobe/vfs_read", `name="kprobe" ` + kprobe + ` hook="function" target="vfs_read" func="vfs_read" auto-attach`},
		{"kprobe/foo.isra.0", `name="kprobe" ` + kprobe + ` hook="function" target="foo.isra.0" func="foo.isra.0" auto-attach`},
		{"kprobe/foo+0x10", `name="kprobe" ` + kprobe + ` hook="function" target="foo+0x10" func="foo" offset=16 auto-attach`},
		{"kprobe/foo+010", `name="kprobe" ` + kprobe + ` hook="function" target="foo+010" func="foo" offset=8 auto-attach`},
		{"kprobe/foo+bar", `name="kprobe" ` + kprobe + ` hook="function" target="foo+bar" func="foo" auto-attach`},
		{"kprobe/foo:bar", `name="kprobe" ` + kprobe + ` hook="function" target="foo:bar" func="foo" auto-attach`},
		{"kretprobe/foo", `name="kretprobe" ` + kprobe + ` hook="function" target="foo" func="foo" return auto-attach`},
		{"kretprobe/foo+4", `name="kretprobe" ` + kprobe + ` hook="function" target="foo+4" func="foo" err="a kretprobe can't have an offset" offset=4 return auto-attach`},
		{"kprobes/foo", `name="" type=`},

		// kprobe.multi and its kin: sscanf "%m[a-zA-Z0-9_.*?]".
		{"kprobe.multi/tcp_*", `name="kprobe.multi" ` + kprobe + ` attach="BPF_TRACE_KPROBE_MULTI" hook="functions" target="tcp_*" func="tcp_*" auto-attach`},
		{"kretprobe.multi/a?b", `name="kretprobe.multi" ` + kprobe + ` attach="BPF_TRACE_KPROBE_MULTI" hook="functions" target="a?b" func="a?b" return auto-attach`},
		{"kprobe.session/-", `name="kprobe.session" ` + kprobe + ` attach="BPF_TRACE_KPROBE_SESSION" hook="functions" target="-" err="no function pattern in \"-\"" auto-attach`},
		{"fentry.multi/mod:nf_*", `name="fentry.multi" ` + tracing + ` attach="BPF_TRACE_FENTRY_MULTI" hook="functions" target="mod:nf_*" func="nf_*" module="mod" auto-attach`},
		{"fsession.multi.s/x", `name="fsession.multi.s" ` + tracing + ` attach="BPF_TRACE_FSESSION_MULTI" hook="functions" target="x" func="x" sleepable auto-attach`},

		{"ksyscall/openat", `name="ksyscall" ` + kprobe + ` hook="syscall" target="openat" func="openat" auto-attach`},
		{"kretsyscall/", `name="kretsyscall" ` + kprobe + ` hook="syscall" err="no system call after '/'" return auto-attach`},

		// uprobe: sscanf "%m[^/]/%m[^:]:%m[^\n]", then "+offset" at the end.
		{"uprobe", `name="uprobe" ` + kprobe},
		{"uprobe/", `name="uprobe" ` + kprobe + ` hook="user function"`},
		{"uprobe//bin/sh:main", `name="uprobe" ` + kprobe + ` hook="user function" target="/bin/sh:main" func="main" binary="/bin/sh" auto-attach`},
		{"uprobe.s/libc.so.6:malloc+0x8", `name="uprobe.s" ` + kprobe + ` hook="user function" target="libc.so.6:malloc+0x8" func="malloc" binary="libc.so.6" offset=8 sleepable auto-attach`},
		{"uprobe/x:operator+", `name="uprobe" ` + kprobe + ` hook="user function" target="x:operator+" func="operator+" binary="x" auto-attach`},
		{"uprobe/x:a+1+b", `name="uprobe" ` + kprobe + ` hook="user function" target="x:a+1+b" func="a+1+b" binary="x" auto-attach`},
		{"uprobe/x", `name="uprobe" ` + kprobe + ` hook="user function" target="x" binary="x" err="\"x\" is not path:function" auto-attach`},
		{"uretprobe/x:f+1", `name="uretprobe" ` + kprobe + ` hook="user function" target="x:f+1" func="f" binary="x" err="a uretprobe can't have an offset" offset=1 return auto-attach`},
		{"uprobe.multi/x:f*+1", `name="uprobe.multi" ` + kprobe + ` attach="BPF_TRACE_UPROBE_MULTI" hook="user function" target="x:f*+1" func="f*+1" binary="x" auto-attach`},
		{"usdt/libc.so.6:libc:setjmp", `name="usdt" ` + kprobe + ` hook="usdt" target="libc.so.6:libc:setjmp" func="libc:setjmp" binary="libc.so.6" auto-attach`},
		{"usdt/libc:setjmp", `name="usdt" ` + kprobe + ` hook="usdt" target="libc:setjmp" err="\"libc:setjmp\" is not path:provider:name" auto-attach`},

		{"tp/block/block_rq_issue", `name="tp" type=BPF_PROG_TYPE_TRACEPOINT hook="tracepoint" target="block/block_rq_issue" func="block_rq_issue" auto-attach`},
		{"tracepoint/block", `name="tracepoint" type=BPF_PROG_TYPE_TRACEPOINT hook="tracepoint" target="block" err="\"block\" is not category/name" auto-attach`},
		{"tp.s/syscalls/sys_enter_openat", `name="tp.s" type=BPF_PROG_TYPE_TRACEPOINT hook="tracepoint" target="syscalls/sys_enter_openat" func="sys_enter_openat" sleepable auto-attach`},
		{"raw_tp/sched_switch", `name="raw_tp" type=BPF_PROG_TYPE_RAW_TRACEPOINT hook="raw tracepoint" target="sched_switch" func="sched_switch" auto-attach`},
		{"raw_tracepoint.w/nbd_send_request", `name="raw_tracepoint.w" type=BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE hook="raw tracepoint" target="nbd_send_request" func="nbd_send_request" auto-attach`},
		{"raw_tp/", `name="raw_tp" type=BPF_PROG_TYPE_RAW_TRACEPOINT hook="raw tracepoint" err="no tracepoint after '/'" auto-attach`},
		{"raw_tp.x/sched_switch", `name="" type=`},

		// Targets that are looked up in BTF: "module:name".
		{"fentry", `name="fentry" ` + tracing + ` attach="BPF_TRACE_FENTRY" btf-id`},
		{"fentry/vfs_read", `name="fentry" ` + tracing + ` attach="BPF_TRACE_FENTRY" hook="btf function" target="vfs_read" func="vfs_read" btf-id auto-attach`},
		{"fexit.s/nf_tables:nft_do", `name="fexit.s" ` + tracing + ` attach="BPF_TRACE_FEXIT" hook="btf function" target="nf_tables:nft_do" func="nft_do" module="nf_tables" sleepable btf-id auto-attach`},
		{"fmod_ret/", `name="fmod_ret" ` + tracing + ` attach="BPF_MODIFY_RETURN" hook="btf function" err="no name after '/'" btf-id auto-attach`},
		{"fsession/vfs_read", `name="fsession" ` + tracing + ` attach="BPF_TRACE_FSESSION" hook="btf function" target="vfs_read" func="vfs_read" btf-id auto-attach`},
		{"tp_btf/sched_switch", `name="tp_btf" ` + tracing + ` attach="BPF_TRACE_RAW_TP" hook="btf tracepoint" target="sched_switch" func="sched_switch" btf-id auto-attach`},
		{"tp_btf.s/sys_enter", `name="tp_btf.s" ` + tracing + ` attach="BPF_TRACE_RAW_TP" hook="btf tracepoint" target="sys_enter" func="sys_enter" sleepable btf-id auto-attach`},
		{"lsm/file_open", `name="lsm" type=BPF_PROG_TYPE_LSM attach="BPF_LSM_MAC" hook="lsm hook" target="file_open" func="file_open" btf-id auto-attach`},
		{"lsm_cgroup/socket_bind", `name="lsm_cgroup" type=BPF_PROG_TYPE_LSM attach="BPF_LSM_CGROUP" hook="lsm hook" target="socket_bind" func="socket_bind" btf-id`},
		{"iter.s/task", `name="iter.s" ` + tracing + ` attach="BPF_TRACE_ITER" hook="iterator" target="task" func="task" sleepable btf-id auto-attach`},
		{"freplace/handler", `name="freplace" type=BPF_PROG_TYPE_EXT hook="program" target="handler" func="handler" btf-id auto-attach`},
		{"struct_ops.s/init", `name="struct_ops.s" type=BPF_PROG_TYPE_STRUCT_OPS hook="struct_ops" target="init" func="init" sleepable`},
	} {
		if got := secString(ParseSection(c.section)); got != c.want {
			t.Errorf("%q:\ngot  %s\nwant %s", c.section, got, c.want)
		}
	}
}

// Every row is found by its own name, alone and with a target, so that no row hides another; and its types are those
// of the newest kernel at hand.
func TestSectionRows(t *testing.T) {
	t.Parallel()
	for _, r := range secRows {
		prefix, plus := r.name, false
		if n := len(r.name) - 1; r.name[n] == '+' {
			prefix, plus = r.name[:n], true
		}
		names := []string{prefix}
		if plus {
			names = append(names, prefix+"/a:b:c/d")
		} else if d := ParseSection(prefix + "/x"); d.Name == prefix {
			t.Errorf("%q takes a target", prefix)
		}
		for _, name := range names {
			d := ParseSection(name)
			if d.Name != prefix || d.ProgType != "BPF_PROG_TYPE_"+r.prog || d.AttachType != r.attach {
				t.Errorf("%q is read as %s, want row %q", name, secString(d), r.name)
			}
			if !d.Autoload || ParseSection("?"+name).Autoload {
				t.Errorf("%q: a leading '?' and nothing else switches a program off", name)
			}
		}
		if _, ok := ProgTypeNumber("BPF_PROG_TYPE_" + r.prog); !ok {
			t.Errorf("%q: no program type %q", r.name, r.prog)
		}
		if _, ok := AttachTypeNumber(r.attach); !ok && r.attach != "" {
			t.Errorf("%q: no attach type %q", r.name, r.attach)
		}
	}
}
