package load

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/relocate"
)

// inNetns runs a test in a network namespace of its own, so that nothing on the machine notices. It needs root.
func inNetns(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("attaching programs needs root")
	}
	// The thread is not given back: it ends with the test's goroutine.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Skipf("a network namespace can't be made: %v", err)
	}
	if _, err := trivial(t, "socket"); errors.Is(err, unix.EPERM) {
		t.Skipf("no BPF program can be loaded here: %v", err)
	}
}

// trivial loads a program that does nothing, and returns it as if it came from an object with this section.
func trivial(t *testing.T, section string) (*Loaded, error) {
	t.Helper()
	d := relocate.ParseSection(section)
	progType, ok := map[string]ebpf.ProgramType{
		"BPF_PROG_TYPE_SOCKET_FILTER": ebpf.SocketFilter, "BPF_PROG_TYPE_KPROBE": ebpf.Kprobe, "BPF_PROG_TYPE_SCHED_CLS": ebpf.SchedCLS,
		"BPF_PROG_TYPE_TRACEPOINT": ebpf.TracePoint, "BPF_PROG_TYPE_XDP": ebpf.XDP, "BPF_PROG_TYPE_PERF_EVENT": ebpf.PerfEvent,
		"BPF_PROG_TYPE_CGROUP_SKB": ebpf.CGroupSKB, "BPF_PROG_TYPE_CGROUP_SOCK": ebpf.CGroupSock, "BPF_PROG_TYPE_SOCK_OPS": ebpf.SockOps,
		"BPF_PROG_TYPE_SK_SKB": ebpf.SkSKB, "BPF_PROG_TYPE_CGROUP_DEVICE": ebpf.CGroupDevice, "BPF_PROG_TYPE_SK_MSG": ebpf.SkMsg,
		"BPF_PROG_TYPE_RAW_TRACEPOINT": ebpf.RawTracepoint, "BPF_PROG_TYPE_CGROUP_SOCK_ADDR": ebpf.CGroupSockAddr,
		"BPF_PROG_TYPE_FLOW_DISSECTOR": ebpf.FlowDissector, "BPF_PROG_TYPE_CGROUP_SYSCTL": ebpf.CGroupSysctl,
		"BPF_PROG_TYPE_CGROUP_SOCKOPT": ebpf.CGroupSockopt, "BPF_PROG_TYPE_SK_LOOKUP": ebpf.SkLookup,
		"BPF_PROG_TYPE_SK_REUSEPORT": ebpf.SkReuseport, "BPF_PROG_TYPE_NETFILTER": ebpf.Netfilter, "BPF_PROG_TYPE_SYSCALL": ebpf.Syscall,
	}[d.ProgType]
	if !ok {
		t.Fatalf("section %q is of the type %q", section, d.ProgType)
	}
	var at ebpf.AttachType
	for n, name := range attachNames {
		if name == d.AttachType && name != "" {
			at = ebpf.AttachType(n)
		}
	}
	ret := int32(1)
	if progType == ebpf.XDP {
		ret = 2 // XDP_PASS
	}
	spec := &ebpf.ProgramSpec{
		Name: "trivial", Type: progType, AttachType: at, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, ret), asm.Return()},
	}
	if d.Sleepable {
		spec.Flags |= unix.BPF_F_SLEEPABLE
	}
	if d.XDPFrags {
		spec.Flags |= unix.BPF_F_XDP_HAS_FRAGS
	}
	prog, err := ebpf.NewProgram(spec)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { prog.Close() })
	p := &relocate.Program{Name: "trivial", Section: section, Sec: d}
	return &Loaded{
		Object: &relocate.Object{}, progs: map[string]*Program{"trivial": {Program: p, Prog: prog, Target: d, AttachType: at}},
	}, nil
}

// attachNames are the enumerators of enum bpf_attach_type that the sections below have.
var attachNames = []string{
	"BPF_CGROUP_INET_INGRESS", "BPF_CGROUP_INET_EGRESS", "BPF_CGROUP_INET_SOCK_CREATE", "BPF_CGROUP_SOCK_OPS", "BPF_SK_SKB_STREAM_PARSER",
	"BPF_SK_SKB_STREAM_VERDICT", "BPF_CGROUP_DEVICE", "BPF_SK_MSG_VERDICT", "BPF_CGROUP_INET4_BIND", "BPF_CGROUP_INET6_BIND",
	"BPF_CGROUP_INET4_CONNECT", "BPF_CGROUP_INET6_CONNECT", "BPF_CGROUP_INET4_POST_BIND", "BPF_CGROUP_INET6_POST_BIND", "BPF_CGROUP_UDP4_SENDMSG",
	"BPF_CGROUP_UDP6_SENDMSG", "BPF_LIRC_MODE2", "BPF_FLOW_DISSECTOR", "BPF_CGROUP_SYSCTL", "BPF_CGROUP_UDP4_RECVMSG", "BPF_CGROUP_UDP6_RECVMSG",
	"BPF_CGROUP_GETSOCKOPT", "BPF_CGROUP_SETSOCKOPT", 33: "BPF_XDP_DEVMAP", 35: "BPF_XDP_CPUMAP", 36: "BPF_SK_LOOKUP", 37: "BPF_XDP",
	38: "BPF_SK_SKB_VERDICT", 39: "BPF_SK_REUSEPORT_SELECT", 40: "BPF_SK_REUSEPORT_SELECT_OR_MIGRATE", 45: "BPF_NETFILTER",
	46: "BPF_TCX_INGRESS", 47: "BPF_TCX_EGRESS", 54: "BPF_NETKIT_PRIMARY", 55: "BPF_NETKIT_PEER",
}

// attachTo attaches a trivial program of this section.
func attachTo(t *testing.T, section string) (io.Closer, []string, error) {
	t.Helper()
	l, err := trivial(t, section)
	if err != nil {
		t.Fatalf("%s: the running kernel does not load a program that does nothing: %v", section, err)
	}
	c, err := l.Attach("trivial")
	return c, l.notes, err
}

// What is attached to something of its own attaches, and leaves nothing behind: it can be done again.
func TestAttach(t *testing.T) {
	inNetns(t)
	attached := 0
	for _, section := range []string{
		"socket", "sk_reuseport", "sk_reuseport/migrate", "tc/ingress", "tcx/egress", "tc", "classifier", "raw_tp/sched_switch",
		"xdp.frags/devmap", "xdp/devmap", "xdp/cpumap", "xdp.frags", "xdp", "perf_event", "sockops", "sk_skb/stream_parser",
		"sk_skb/stream_verdict", "sk_skb/verdict", "sk_msg", "flow_dissector", "cgroup_skb/ingress", "cgroup_skb/egress", "cgroup/skb",
		"cgroup/sock", "cgroup/bind4", "cgroup/connect6", "cgroup/sysctl", "cgroup/getsockopt", "cgroup/dev", "sk_lookup", "netfilter",
	} {
		if _, err := trivial(t, section); err != nil {
			t.Logf("%s: the running kernel has no such programs: %v", section, err)
			continue
		}
		for range 2 {
			c, notes, err := attachTo(t, section)
			var e *Error
			if errors.As(err, &e) && (e.Cause == ErrNotAttachable || e.Errno == unix.EOPNOTSUPP || e.Errno == enotsupp) {
				t.Logf("%s: the running kernel was built without: %v", section, err)
				break
			}
			if err != nil {
				t.Errorf("%s: %v", section, err)
				break
			}
			attached++
			if err := c.Close(); err != nil {
				t.Errorf("%s: detaching: %v", section, err)
			}
			if section == "perf_event" && len(notes) == 0 {
				t.Error("nobody is told to what a perf_event program was attached")
			}
		}
	}
	if attached < 20 {
		t.Errorf("%d were attached, want 20 or more", attached)
	}
	root, err := cgroupRoot("/proc/self/mounts")
	if err != nil {
		t.Logf("no program was attached to a cgroup: %v", err)
		return
	}
	if left, _ := filepath.Glob(root + "/corecheck-*"); len(left) > 0 {
		t.Errorf("cgroups are left: %q", left)
	}
}

// A place that is taken is the kernel's to refuse.
func TestAttachRefused(t *testing.T) {
	inNetns(t)
	first, _, err := attachTo(t, "xdp")
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	_, _, err = attachTo(t, "xdp")
	var e *Error
	if !errors.As(err, &e) || e.Stage != StageAttach || e.Program != "trivial" || e.Errno != unix.EBUSY || e.Cause != nil {
		t.Errorf("got %#v, want EBUSY", err)
	}
}

// Filters of clsact are what kernels before 6.6 have; newer ones take them, too.
func TestAttachClsact(t *testing.T) {
	inNetns(t)
	for _, parent := range []uint32{tcIngress, tcEgress} {
		l, err := trivial(t, "tc")
		if err != nil {
			t.Fatal(err)
		}
		lo, err := net.InterfaceByName("lo")
		if err != nil {
			t.Fatal(err)
		}
		c, err := attachClsact(l.Program("trivial"), lo.Index, parent)
		if err != nil {
			if e := attachError("trivial", err); !errors.Is(e, ErrNotAttachable) {
				t.Errorf("parent %#x: %v", parent, err)
			}
			t.Logf("parent %#x: %v", parent, err)
			continue
		}
		if _, err := attachClsact(l.Program("trivial"), lo.Index, parent); attachError("", err).Errno != unix.EEXIST {
			t.Errorf("a second qdisc: %v, want EEXIST", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// What libbpf or the kernel says where it can't be done, with the number that libbpf has.
func TestAttachErrors(t *testing.T) {
	inNetns(t)
	_, noTracefs := os.Stat(tracefs() + "/available_filter_functions")
	for _, c := range []struct {
		section string
		errno   syscall.Errno
		cause   error
	}{
		{"raw_tp/corecheck_nope", unix.ENOENT, nil},
		{"tp/corecheck/nope", unix.ENOENT, nil},
		{"tp/nope", unix.EINVAL, nil}, // not category/name
		{"kprobe/corecheck_nope", unix.ENOENT, nil},
		{"kprobe.multi/corecheck_nope*", unix.ENOENT, nil},
		{"kretprobe/vfs_read+8", unix.EINVAL, nil},
		{"ksyscall/corecheck_nope", unix.ENOENT, nil},
		{"kprobe", 0, ErrNeedsTarget},
		{"kretprobe", 0, ErrNeedsTarget},
		{"ksyscall", 0, ErrNeedsTarget},
		{"kprobe.multi", 0, ErrNeedsTarget},
		{"uprobe", 0, ErrNeedsTarget},
		{"uprobe/libc.so.6:malloc", 0, ErrNeedsTarget},
		{"uprobe//no/such/program:main", 0, ErrNeedsTarget},
		{"uprobe.multi//proc/self/exe:main.*", 0, ErrNotAttachable},
		{"usdt/libc.so.6:libc:setjmp", 0, ErrNeedsTarget},
		{"tp", 0, ErrNeedsTarget},
		{"raw_tp", 0, ErrNeedsTarget},
		{"sk_skb", 0, ErrNeedsTarget},
		{"syscall", 0, ErrNotAttachable},
	} {
		if noTracefs != nil && strings.HasPrefix(c.section, "kprobe.multi/") {
			t.Logf("%s is not tried: %v", c.section, noTracefs)
			continue
		}
		_, _, err := attachTo(t, c.section)
		var e *Error
		if !errors.As(err, &e) || e.Stage != StageAttach || e.Errno != c.errno || !errors.Is(err, c.cause) && c.cause != nil || e.Msg == "" {
			t.Errorf("%s: got %v, want errno %d, cause %v", c.section, err, c.errno, c.cause)
		}
	}
	if _, err := (&Loaded{Object: &relocate.Object{}}).Attach("nope"); err == nil {
		t.Error("a program that is not there was attached")
	}
}

// A function of a library that is there can be probed wherever the kernel has uprobes.
func TestAttachUprobe(t *testing.T) {
	inNetns(t)
	var libc string
	for _, pattern := range []string{"/lib/*/libc.so.6", "/lib64/libc.so.6", "/usr/lib/libc.so.6"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			libc = found[0]
			break
		}
	}
	if libc == "" {
		t.Skip("there is no libc.so.6 where it is looked for")
	}
	_, noUprobes := os.Stat("/sys/bus/event_source/devices/uprobe")
	for _, c := range []struct {
		section string
		errno   syscall.Errno
		ok      bool
	}{
		{"uprobe/" + libc + ":malloc", 0, noUprobes == nil},
		{"uretprobe/" + libc + ":malloc", 0, noUprobes == nil},
		{"uprobe/" + libc + ":no_such_function", unix.ENOENT, false},
	} {
		attached, _, err := attachTo(t, c.section)
		if c.ok != (err == nil) {
			t.Errorf("%s: %v, want ok: %t", c.section, err, c.ok)
		}
		if err == nil {
			if err := attached.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		if e := err.(*Error); c.errno != 0 && e.Errno != c.errno {
			t.Errorf("%s: errno %d, want %d", c.section, e.Errno, c.errno)
		}
	}
}

func TestCgroupRoot(t *testing.T) {
	t.Parallel()
	name := t.TempDir() + "/mounts"
	for mounts, want := range map[string]string{
		"cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n": "/sys/fs/cgroup/unified",
		"cgroup2 /a cgroup2 rw 0 0\ncgroup2 /b cgroup2 rw 0 0\n":                                   "/a",
		"proc /proc proc rw 0 0\n": "",
		"":                         "",
	} {
		if err := os.WriteFile(name, []byte(mounts), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := cgroupRoot(name)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: got %q, %v, want %q", mounts, got, err, want)
		}
	}
}

func TestReadNumber(t *testing.T) {
	t.Parallel()
	name := t.TempDir() + "/number"
	for _, c := range []struct {
		text, prefix string
		want         int
		ok           bool
	}{
		{"8\n", "", 8, true}, {"config:0\n", "config:", 0, true}, {"config:0\n", "", 0, false}, {"", "", 0, false}, {"-3\n", "", 0, false}, {"x", "", 0, false},
	} {
		if err := os.WriteFile(name, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readNumber(name, c.prefix)
		if got != c.want || (err == nil) != c.ok || !c.ok && !errors.Is(err, unix.EIO) {
			t.Errorf("%q: got %d, %v", c.text, got, err)
		}
	}
	if _, err := readNumber(name+".nope", ""); !errors.Is(err, unix.ENOENT) {
		t.Errorf("got %v, want ENOENT", err)
	}
}

// Attributes of netlink are padded to four bytes, and their length is without the padding.
func TestNetlinkAttr(t *testing.T) {
	t.Parallel()
	got := attrString(1, "bpf")
	if len(got) != 8 || !bytes.Equal(got[4:], []byte("bpf\x00")) {
		t.Errorf("got %q", got)
	}
	if got := attrString(1, "clsact"); len(got) != 12 {
		t.Errorf("%d bytes, want 12", len(got))
	}
	if got := tcmsg(1, 2, 3, 4); len(got) != 20 {
		t.Errorf("%d bytes of struct tcmsg, want 20", len(got))
	}
}
