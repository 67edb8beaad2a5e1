package load

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"syscall"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/relocate"
)

// enotsupp is ENOTSUPP, which the kernel has for itself and gives out all the same (include/linux/errno.h).
const enotsupp = syscall.Errno(524)

// attach does the work of Attach.
func (l *Loaded) attach(p *Program) (io.Closer, error) {
	d := &p.Target
	kind := attachKindOf(d)
	if d.Err != "" {
		return nil, number(unix.EINVAL, "%s", d.Err)
	}
	switch kind {
	case attachNothing:
		return nil, whyNothing(d)
	case attachKprobe:
		if d.Func == "" {
			return nil, needsTarget("section %q names no function", p.Section)
		}
		return attachKernelProbe(p.Prog, kernelFunction(d), uint64(d.Offset), d.Return)
	case attachKsyscall:
		if d.Func == "" {
			return nil, needsTarget("section %q names no system call", p.Section)
		}
		return attachKernelProbe(p.Prog, syscallFunction(d.Func), 0, d.Return)
	case attachKprobes:
		if d.Func == "" {
			return nil, needsTarget("section %q names no function", p.Section)
		}
		return l.attachKprobes(p)
	case attachUprobe, attachUprobes:
		return attachUserProbe(p, kind == attachUprobes)
	case attachTracepoint:
		return attachTracepointEvent(p.Prog, d)
	case attachRawTracepoint:
		return linked(link.AttachRawTracepoint(link.RawTracepointOptions{Name: d.Func, Program: p.Prog}))("raw tracepoint " + d.Func)
	case attachTracing:
		return attachTrampoline(p)
	case attachIter:
		return attachIterator(p)
	case attachPerfEvent:
		return l.attachCPUClock(p)
	case attachCgroup:
		return attachFreshCgroup(p)
	case attachNetns:
		return attachOwnNetns(p)
	case attachXDP:
		return attachLoopback(func(ifindex int) (link.Link, error) {
			return link.AttachXDP(link.XDPOptions{Program: p.Prog, Interface: ifindex})
		})
	case attachXDPMap:
		return attachDeviceMap(p)
	case attachTC:
		return l.attachTC(p)
	case attachNetkit:
		return attachNetkitDevice(p)
	case attachNetfilter:
		return attachNetfilterHook(p)
	case attachSockmap:
		return attachFreshSockmap(p)
	case attachReuseport, attachSocketFilter:
		return attachSocket(p, kind == attachReuseport)
	}
	return nil, notAttachable("section %q", p.Section)
}

// linked turns what package link returns into what Attach does; it is called with what the program is attached to. Its
// functions are used where they do what libbpf does, and where they say what the kernel said: the rest, and why, is in
// attach_perf_linux.go.
func linked[L io.Closer](c L, err error) func(what string) (io.Closer, error) {
	return func(what string) (io.Closer, error) {
		switch {
		case err == nil:
			return c, nil
		case errors.Is(err, os.ErrNotExist):
			// KprobeMulti has this in place of ESRCH, and libbpf ENOENT (bpf_program__attach_kprobe_multi_opts).
			return nil, number(unix.ENOENT, "attaching to %s", what)
		case errors.Is(err, link.ErrNotSupported) && !hasErrno(err):
			// A probe after the refusal showed that the kernel lacks this kind of link. What the kernel said of a command
			// or an attach type that it does not know is EINVAL (CHECK_ATTR, link_create in kernel/bpf/syscall.c).
			return nil, number(unix.EINVAL, "attaching to %s, of which the kernel knows nothing", what)
		}
		return nil, refuse(err, "attaching to %s", what)
	}
}

func hasErrno(err error) bool {
	var errno syscall.Errno
	return errors.As(err, &errno)
}

// kernelFunction is the name of a function as kprobes take it.
func kernelFunction(d *relocate.SecDef) string {
	if d.Module != "" {
		return d.Module + ":" + d.Func
	}
	return d.Func
}

// attachTrampoline attaches programs that were loaded for a function or a tracepoint in BTF: bpf_program__attach_btf_id
// and the fallback in bpf_link_create, which package link has, too.
func attachTrampoline(p *Program) (io.Closer, error) {
	what := p.Target.Target
	var c link.Link
	var err error
	switch p.AttachType {
	case ebpf.AttachLSMMac:
		c, err = link.AttachLSM(link.LSMOptions{Program: p.Prog})
	case ebpf.AttachTraceRawTp, ebpf.AttachTraceFEntry, ebpf.AttachTraceFExit, ebpf.AttachModifyReturn:
		c, err = link.AttachTracing(link.TracingOptions{Program: p.Prog, AttachType: p.AttachType})
	default: // sessions
		c, err = link.AttachRawLink(link.RawLinkOptions{Program: p.Prog, Attach: p.AttachType})
	}
	if errors.Is(err, link.ErrNotSupported) {
		return nil, number(enotsupp, "attaching to %s", what)
	}
	return linked(c, err)(what)
}

// needParameters are the iterators that run over something that the link names (struct bpf_iter_reg with a function
// attach_target that wants more than zeros: kernel/bpf/map_iter.c, cgroup_iter.c, net/core/bpf_sk_storage.c, sock_map.c).
// libbpf attaches them without, and the kernel refuses that with EBADF or EINVAL; a loading program passes the parameter.
var needParameters = map[string]string{
	"bpf_map_elem": "a map", "bpf_sk_storage_map": "a map", "sockmap": "a map", "cgroup": "a cgroup and an order",
}

func attachIterator(p *Program) (io.Closer, error) {
	if what, ok := needParameters[p.Target.Func]; ok {
		return nil, needsTarget("iterator %s wants %s", p.Target.Func, what)
	}
	return linked(link.AttachIter(link.IterOptions{Program: p.Prog}))("iterator " + p.Target.Func)
}

// attachFreshCgroup attaches to a cgroup that nothing else is in.
func attachFreshCgroup(p *Program) (io.Closer, error) {
	root, err := cgroupRoot("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(root, "corecheck-")
	if err != nil {
		return nil, refuse(err, "making a cgroup")
	}
	c, err := linked(link.AttachCgroup(link.CgroupOptions{Path: dir, Attach: p.AttachType, Program: p.Prog}))("a cgroup")
	remove := closeFunc(func() error { return unix.Rmdir(dir) })
	if err != nil {
		return nil, errors.Join(err, remove())
	}
	return closers{remove, c}, nil
}

// cgroupRoot is where the file system of cgroup v2 is mounted.
func cgroupRoot(mounts string) (string, error) {
	data, err := os.ReadFile(mounts)
	if err != nil {
		return "", refuse(err, "looking for cgroups")
	}
	for _, line := range strings.Split(string(data), "\n") {
		// "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid 0 0"; blanks in a path are octal (proc_pid_mounts(5)), and unusual here.
		if f := strings.Fields(line); len(f) > 2 && f[2] == "cgroup2" {
			return f[1], nil
		}
	}
	return "", notAttachable("no file system of cgroup v2 is mounted")
}

// attachOwnNetns attaches to the network namespace of this process.
func attachOwnNetns(p *Program) (io.Closer, error) {
	ns, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return nil, refuse(err, "opening the network namespace")
	}
	defer ns.Close()
	return linked(link.AttachNetNs(int(ns.Fd()), p.Prog))("the network namespace")
}

// attachLoopback attaches to lo.
func attachLoopback(attach func(ifindex int) (link.Link, error)) (io.Closer, error) {
	lo, err := net.InterfaceByName("lo")
	if err != nil {
		return nil, refuse(err, "looking for lo")
	}
	return linked(attach(lo.Index))("lo")
}

// attachDeviceMap puts a program for redirected packets where it belongs: into an entry of a map of devices or processors,
// whose values are struct bpf_devmap_val and bpf_cpumap_val (include/uapi/linux/bpf.h).
func attachDeviceMap(p *Program) (io.Closer, error) {
	spec := &ebpf.MapSpec{Type: ebpf.DevMap, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	value := [2]uint32{0, uint32(p.Prog.FD())}
	if p.AttachType == ebpf.AttachXDPCPUMap {
		spec.Type = ebpf.CPUMap
		value[0] = 1 // length of the queue
	} else {
		lo, err := net.InterfaceByName("lo")
		if err != nil {
			return nil, refuse(err, "looking for lo")
		}
		value[0] = uint32(lo.Index)
	}
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, refuse(err, "creating a %s", spec.Type)
	}
	if err := m.Put(uint32(0), &value); err != nil {
		return nil, errors.Join(refuse(err, "putting it into a %s", spec.Type), m.Close())
	}
	runtime.KeepAlive(p.Prog)
	return m, nil
}

// attachFreshSockmap attaches to a map of sockets that has none.
func attachFreshSockmap(p *Program) (io.Closer, error) {
	if p.Target.AttachType == "" {
		return nil, needsTarget("section %q does not say whether it parses or decides", p.Section)
	}
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.SockMap, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		return nil, refuse(err, "creating a map of sockets")
	}
	at := attachTypes[p.Target.AttachType]
	if err := link.RawAttachProgram(link.RawAttachProgramOptions{Target: m.FD(), Program: p.Prog, Attach: at}); err != nil {
		_, err = linked(m, err)("a map of sockets")
		return nil, errors.Join(err, m.Close())
	}
	return closers{m, closeFunc(func() error {
		return link.RawDetachProgram(link.RawDetachProgramOptions{Target: m.FD(), Program: p.Prog, Attach: at})
	})}, nil
}

// attachTypes are those that SEC_EXP_ATTACH_OPT rows may have been loaded without.
var attachTypes = map[string]ebpf.AttachType{
	"BPF_SK_SKB_STREAM_PARSER":  ebpf.AttachSkSKBStreamParser,
	"BPF_SK_SKB_STREAM_VERDICT": ebpf.AttachSkSKBStreamVerdict,
	"BPF_SK_SKB_VERDICT":        ebpf.AttachSkSKBVerdict,
	"BPF_SK_MSG_VERDICT":        ebpf.AttachSkMsgVerdict,
}

// attachSocket attaches to a socket that nobody uses.
func attachSocket(p *Program, reuseport bool) (io.Closer, error) {
	domain, option := unix.AF_UNIX, unix.SO_ATTACH_BPF
	if reuseport {
		domain, option = unix.AF_INET, unix.SO_ATTACH_REUSEPORT_EBPF
	}
	fd, err := unix.Socket(domain, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, refuse(err, "making a socket")
	}
	c := closeFunc(func() error { return unix.Close(fd) })
	if reuseport {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			return nil, errors.Join(refuse(err, "sharing a port"), c())
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, p.Prog.FD()); err != nil {
		return nil, errors.Join(refuse(err, "attaching to a socket"), c())
	}
	runtime.KeepAlive(p.Prog)
	return c, nil
}

// attachNetfilterHook attaches to packets for this machine, at a priority that nothing in the kernel has.
func attachNetfilterHook(p *Program) (io.Closer, error) {
	return linked(link.AttachNetfilter(link.NetfilterOptions{
		Program: p.Prog, ProtocolFamily: link.NetfilterProtoIPv4, Hook: link.NetfilterInetLocalIn, Priority: -128,
	}))("netfilter")
}

// attachUserProbe attaches to a function of an executable, where the section has the path of one that is there.
func attachUserProbe(p *Program, multi bool) (io.Closer, error) {
	d := &p.Target
	if d.Func == "" {
		return nil, needsTarget("section %q names no executable and function", p.Section)
	}
	// libbpf searches the usual directories for a name without a slash (resolve_full_path). Which executables there are is
	// the user's machine's to say, so a file that is missing here tells nothing about the kernel.
	if st, err := os.Stat(d.Binary); !strings.HasPrefix(d.Binary, "/") || err != nil || !st.Mode().IsRegular() {
		return nil, needsTarget("there is no executable %s here", d.Binary)
	}
	if strings.ContainsAny(d.Func, "*?") || d.AttachType == "BPF_TRACE_UPROBE_SESSION" {
		return nil, notAttachable("patterns and sessions in executables are not supported")
	}
	ex, err := link.OpenExecutable(d.Binary)
	if err != nil {
		return nil, refuse(err, "reading %s", d.Binary)
	}
	what := fmt.Sprintf("%s of %s", d.Func, d.Binary)
	var c link.Link
	switch opt := (&link.UprobeOptions{Offset: uint64(d.Offset)}); {
	case multi && d.Return:
		c, err = ex.UretprobeMulti([]string{d.Func}, p.Prog, nil)
	case multi:
		c, err = ex.UprobeMulti([]string{d.Func}, p.Prog, nil)
	case d.Return:
		c, err = ex.Uretprobe(d.Func, p.Prog, opt)
	default:
		c, err = ex.Uprobe(d.Func, p.Prog, opt)
	}
	if errors.Is(err, link.ErrNoSymbol) {
		return nil, number(unix.ENOENT, "%s has no function %s", d.Binary, d.Func) // elf_find_func_offset
	}
	return linked(c, err)(what)
}

// attachStructOps registers a struct_ops map: bpf_map__attach_struct_ops.
func (l *Loaded) attachStructOps(m *relocate.Map) (io.Closer, error) {
	ops := l.Map(m.Name)
	if ops == nil {
		return nil, number(unix.EINVAL, "it was not created")
	}
	what := "struct " + m.StructOps
	byLink := ops.Flags()&unix.BPF_F_LINK != 0
	// A map that has a value and is attached by a link says EBUSY, and libbpf goes on.
	if err := ops.Put(uint32(0), l.ops[m.Name]); err != nil && !(byLink && errors.Is(err, unix.EBUSY)) {
		return nil, refuse(err, "giving the kernel a %s", what)
	}
	if byLink {
		return linked(link.AttachStructOps(link.StructOpsOptions{Map: ops}))(what)
	}
	return closeFunc(func() error { return ops.Delete(uint32(0)) }), nil
}
