package load

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// Probes and tracepoints are attached through perf events, as bpf_program__attach_kprobe_opts and its like of libbpf
// v1.7 do. The functions of package link for them do something else: they try a function's name with the prefix of
// system calls where the kernel refuses it without, and through tracefs where it refuses a name with a dot, so that an
// answer may be about another function than the one that was asked for; and they lose the number of an error.

// tracefs is where libbpf looks for the tracing file system: tracefs_path.
func tracefs() string {
	const debugfs = "/sys/kernel/debug/tracing"
	if unix.Access(debugfs, unix.F_OK) == nil {
		return debugfs
	}
	return "/sys/kernel/tracing"
}

// readNumber reads a file with a number behind a prefix: parse_uint_from_file.
func readNumber(file, prefix string) (int, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	s, ok := strings.CutPrefix(string(data), prefix)
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if !ok || err != nil || n < 0 {
		return 0, fmt.Errorf("%s has %q: %w", file, clipped(string(data)), unix.EIO)
	}
	return n, nil
}

func clipped(s string) string { return s[:min(len(s), 100)] }

// openPerf opens a perf event on CPU 0 for all processes, or on all CPUs for one process.
func openPerf(attr *unix.PerfEventAttr, pid int) (int, error) {
	attr.Size = uint32(unsafe.Sizeof(*attr))
	cpu := 0
	if pid >= 0 {
		cpu = -1
	}
	return unix.PerfEventOpen(attr, pid, cpu, -1, unix.PERF_FLAG_FD_CLOEXEC)
}

// kprobeType is the type of perf events that are kprobes. Kernels before 4.17 have none: determine_kprobe_perf_type.
func kprobeType() (int, error) {
	return readNumber("/sys/bus/event_source/devices/kprobe/type", "")
}

// openKprobe opens a perf event that is a kprobe: perf_event_open_probe.
func openKprobe(function string, offset uint64, ret bool, pid int) (int, error) {
	kind, err := kprobeType()
	if err != nil {
		return 0, err
	}
	name, err := unix.BytePtrFromString(function)
	if err != nil {
		return 0, err
	}
	attr := &unix.PerfEventAttr{Type: uint32(kind), Ext1: uint64(uintptr(unsafe.Pointer(name))), Ext2: offset}
	if ret {
		bit, err := readNumber("/sys/bus/event_source/devices/kprobe/format/retprobe", "config:")
		if err != nil {
			return 0, err
		}
		attr.Config |= 1 << bit
	}
	fd, err := openPerf(attr, pid)
	runtime.KeepAlive(name)
	return fd, err
}

// events counts the events that were made in tracefs, so that each has a name of its own.
var events atomic.Int64

// legacyProbe is an event in tracefs.
type legacyProbe struct{ group, name string }

// addLegacyProbe makes a kprobe through tracefs, on kernels that know no other way: perf_event_kprobe_open_legacy.
func addLegacyProbe(function string, offset uint64, ret bool) (*legacyProbe, error) {
	p, letter := &legacyProbe{group: "kprobes"}, "p"
	if ret {
		p.group, letter = "kretprobes", "r"
	}
	p.name = strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z') {
			return r
		}
		return '_'
	}, fmt.Sprintf("corecheck_%d_%d_%s_%#x", os.Getpid(), events.Add(1), function, offset))
	return p, appendTo(tracefs()+"/kprobe_events", fmt.Sprintf("%s:%s/%s %s+%#x", letter, p.group, p.name, function, offset))
}

func (p *legacyProbe) Close() error {
	return appendTo(tracefs()+"/kprobe_events", fmt.Sprintf("-:%s/%s", p.group, p.name))
}

func appendTo(file, line string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteString(line)
	return errors.Join(err, f.Close())
}

// openTracepoint opens a perf event that is a tracepoint, or an event made in tracefs: perf_event_open_tracepoint.
func openTracepoint(category, name string) (int, error) {
	id, err := readNumber(fmt.Sprintf("%s/events/%s/%s/id", tracefs(), category, name), "")
	if err != nil {
		return 0, err
	}
	return openPerf(&unix.PerfEventAttr{Type: unix.PERF_TYPE_TRACEPOINT, Config: uint64(id)}, -1)
}

// attachKernelProbe attaches to a function of the kernel: bpf_program__attach_kprobe_opts.
func attachKernelProbe(prog *ebpf.Program, function string, offset uint64, ret bool) (io.Closer, error) {
	what := function
	if offset != 0 {
		what += fmt.Sprintf("+%#x", offset)
	}
	if _, err := kprobeType(); err == nil {
		fd, err := openKprobe(function, offset, ret, -1)
		if err != nil {
			return nil, refuse(err, "creating a kprobe on %s", what)
		}
		return attachPerf(prog, fd, what)
	}
	probe, err := addLegacyProbe(function, offset, ret)
	if err != nil {
		return nil, refuse(err, "creating a kprobe on %s through tracefs", what)
	}
	fd, err := openTracepoint(probe.group, probe.name)
	if err != nil {
		return nil, errors.Join(refuse(err, "opening a kprobe on %s", what), probe.Close())
	}
	c, err := attachPerf(prog, fd, what)
	if err != nil {
		return nil, errors.Join(err, probe.Close())
	}
	return closers{probe, c}, nil
}

// syscallPrefixes are the names of architectures in those of system calls' functions: arch_specific_syscall_pfx, for
// what corecheck runs on.
var syscallPrefixes = map[string]string{"amd64": "x64", "arm64": "arm64", "s390x": "s390x", "riscv64": "riscv", "ppc64le": "powerpc"}

// syscallWrapper tells whether this kernel's system calls have the architecture in their names: probe_kern_syscall_wrapper.
var syscallWrapper = sync.OnceValue(func() bool {
	prefix, ok := syscallPrefixes[runtime.GOARCH]
	if !ok {
		return false
	}
	name := "__" + prefix + "_sys_bpf"
	if _, err := kprobeType(); err == nil {
		fd, err := openKprobe(name, 0, false, os.Getpid())
		if err == nil {
			unix.Close(fd)
		}
		return err == nil
	}
	probe, err := addLegacyProbe(name, 0, false)
	if err == nil {
		_ = probe.Close() // as libbpf does, which asks only whether it could be made
	}
	return err == nil
})

// syscallFunction is the function that ksyscall stands for: bpf_program__attach_ksyscall.
func syscallFunction(name string) string {
	if syscallWrapper() {
		return "__" + syscallPrefixes[runtime.GOARCH] + "_sys_" + name
	}
	return "__se_sys_" + name
}

// attachTracepointEvent attaches to a tracepoint: bpf_program__attach_tracepoint_opts.
func attachTracepointEvent(prog *ebpf.Program, d *relocate.SecDef) (io.Closer, error) {
	category, name, _ := strings.Cut(d.Target, "/")
	fd, err := openTracepoint(category, name)
	if err != nil {
		return nil, refuse(err, "opening the tracepoint %s", d.Target)
	}
	return attachPerf(prog, fd, "the tracepoint "+d.Target)
}

// attachCPUClock attaches to what profilers sample by: libbpf leaves it to the loading program to open the event.
func (l *Loaded) attachCPUClock(p *Program) (io.Closer, error) {
	fd, err := openPerf(&unix.PerfEventAttr{
		Type: unix.PERF_TYPE_SOFTWARE, Config: unix.PERF_COUNT_SW_CPU_CLOCK, Sample: 49, Bits: unix.PerfBitFreq,
	}, -1)
	if err != nil {
		return nil, refuse(err, "opening the CPU clock")
	}
	c, err := attachPerf(p.Prog, fd, "the CPU clock")
	if err == nil {
		l.notes = append(l.notes, fmt.Sprintf("program %s was attached to the clock of CPU 0, 49 times a second", p.Name))
	}
	return c, err
}

// perfLink tells whether the kernel attaches to perf events by links: probe_perf_link. A file that is no perf event is
// EBADF to a kernel that does, and the attach type is EINVAL to one that does not (Linux 5.15).
var perfLink = sync.OnceValue(func() bool {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.TracePoint, License: "GPL", Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return false
	}
	defer prog.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		return false
	}
	defer null.Close()
	_, err = link.AttachRawLink(link.RawLinkOptions{Program: prog, Target: int(null.Fd()), Attach: ebpf.AttachPerfEvent})
	return errors.Is(err, unix.EBADF)
})

// attachPerf attaches to a perf event and owns it from then on: bpf_program__attach_perf_event_opts.
func attachPerf(prog *ebpf.Program, fd int, what string) (io.Closer, error) {
	event := closeFunc(func() error { return unix.Close(fd) })
	all := closers{event}
	if perfLink() {
		c, err := linked(link.AttachRawLink(link.RawLinkOptions{Program: prog, Target: fd, Attach: ebpf.AttachPerfEvent}))(what)
		if err != nil {
			return nil, errors.Join(err, event())
		}
		all = append(all, c)
	} else if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_SET_BPF, prog.FD()); err != nil {
		return nil, errors.Join(refuse(err, "attaching to %s", what), event())
	}
	runtime.KeepAlive(prog)
	if err := unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_ENABLE, 0); err != nil {
		return nil, errors.Join(refuse(err, "enabling the event of %s", what), all.Close())
	}
	return append(all, closeFunc(func() error { return unix.IoctlSetInt(fd, unix.PERF_EVENT_IOC_DISABLE, 0) })), nil
}

// attachKprobes attaches to many functions at once: bpf_program__attach_kprobe_multi_opts.
func (l *Loaded) attachKprobes(p *Program) (io.Closer, error) {
	d := &p.Target
	opts := link.KprobeMultiOptions{Session: p.AttachType == ebpf.AttachTraceKprobeSession}
	if strings.ContainsAny(d.Func, "*?") {
		addrs, err := traceable(d.Func)
		if err != nil {
			return nil, err
		}
		opts.Addresses = addrs
	} else {
		opts.Symbols = []string{d.Func}
	}
	attach := link.KprobeMulti
	if d.Return {
		attach = link.KretprobeMulti
	}
	c, err := attach(p.Prog, opts)
	if errors.Is(err, link.ErrNotSupported) {
		// Package link found by a probe that the kernel can't do this, and does not say in which way: EINVAL where it knows no
		// such link, EOPNOTSUPP where it was built without (CONFIG_FPROBE). The same request without functions tells them
		// apart.
		return linked(link.AttachRawLink(link.RawLinkOptions{Program: p.Prog, Attach: p.AttachType}))(d.Func)
	}
	return linked(c, err)(d.Func)
}

// traceable returns the addresses of all functions that fit a pattern and can be traced: libbpf_available_kprobes_parse,
// and on kernels before 6.5, which list no addresses, libbpf_available_kallsyms_parse.
func traceable(pattern string) ([]uintptr, error) {
	const list = "/available_filter_functions"
	var addrs []uintptr
	if name := tracefs() + list + "_addrs"; unix.Access(name, unix.R_OK) == nil {
		err := eachLine(name, func(f []string) error {
			if len(f) < 2 {
				return number(unix.EINVAL, "%s has the line %q", name, strings.Join(f, " "))
			}
			if !kernels.Glob(pattern, f[1]) {
				return nil
			}
			addr, err := strconv.ParseUint(f[0], 16, 64)
			addrs = append(addrs, uintptr(addr))
			return err
		})
		if err != nil {
			return nil, err
		}
	} else {
		names := map[string]bool{}
		err := eachLine(tracefs()+list, func(f []string) error {
			if len(f) > 0 && kernels.Glob(pattern, f[0]) {
				names[f[0]] = true
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		err = eachLine("/proc/kallsyms", func(f []string) error {
			if len(f) < 3 || !kernels.Glob(pattern, f[2]) {
				return nil
			}
			// Some kernels list functions without the suffix that link-time optimisation gave them (avail_kallsyms_cb).
			bare, _, _ := strings.Cut(f[2], ".llvm.")
			if !names[f[2]] && !names[bare] {
				return nil
			}
			addr, err := strconv.ParseUint(f[0], 16, 64)
			addrs = append(addrs, uintptr(addr))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	if len(addrs) == 0 {
		return nil, number(unix.ENOENT, "no function that can be traced fits %q", pattern)
	}
	return addrs, nil
}

// eachLine hands over the fields of each line of a file.
func eachLine(name string, f func(fields []string) error) error {
	file, err := os.Open(name)
	if err != nil {
		return refuse(err, "opening %s", name)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		if err := f(strings.Fields(lines.Text())); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return refuse(err, "reading %s", name)
	}
	return nil
}
