package load

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"

	"github.com/corecheck/corecheck/relocate"
)

// ErrNotAttachable is the cause of an *Error about a program that is not attached by what its section says: it is run by
// hand, or by another part of its object, or needs more than a place of its own to attach to.
var ErrNotAttachable = errors.New("not attachable by its section")

// Attach attaches a loaded program as its section says: bpf_program__attach of libbpf v1.7, and beyond it, where the
// kernel wants some object that anybody can make, to a fresh one: a cgroup, a socket, a map, the loopback device. What
// Close of the result does not undo, such a thing does not outlive.
//
// Errors are *Error values of StageAttach, with the kernel's number or the one that libbpf has of its own. Their cause is
// ErrNeedsTarget where only the loading program knows to what the program is attached, and ErrNotAttachable where there
// is nothing to attach.
func (l *Loaded) Attach(program string) (io.Closer, error) {
	p := l.Lookup(program)
	if p == nil {
		return nil, &Error{Stage: StageAttach, Program: program, Errno: syscall.EINVAL, Msg: "it is not loaded"}
	}
	c, err := l.attach(p)
	if err != nil {
		return nil, attachError(program, err)
	}
	return c, nil
}

// AttachMaps attaches the struct_ops maps that were created, as bpf_object__attach_skeleton of libbpf v1.7 does.
func (l *Loaded) AttachMaps() (io.Closer, error) {
	var all closers
	for _, m := range l.Object.Maps {
		if l.ops[m.Name] == nil {
			continue
		}
		c, err := l.attachStructOps(m)
		if err != nil {
			all.Close()
			e := attachError("", err)
			e.Map = m.Name
			return nil, e
		}
		all = append(all, c)
	}
	return all, nil
}

// refused is an error before it gets its program: what failed, with or without a number.
type refused struct {
	msg   string
	errno syscall.Errno
	cause error
}

func (r *refused) Error() string { return r.msg }

// refuse says that a step failed. The number is that of err's system call, if one failed.
func refuse(err error, format string, args ...any) error {
	r := &refused{msg: fmt.Sprintf(format, args...)}
	if !errors.As(err, &r.errno) && err != nil {
		r.msg += ": " + err.Error()
	}
	return r
}

// number says that libbpf refuses by itself, with this number.
func number(errno syscall.Errno, format string, args ...any) error {
	return &refused{msg: fmt.Sprintf(format, args...), errno: errno}
}

// needsTarget and notAttachable are for programs of which the kernel is not asked.
func needsTarget(format string, args ...any) error {
	return &refused{msg: fmt.Sprintf(format, args...), cause: ErrNeedsTarget}
}

func notAttachable(format string, args ...any) error {
	return &refused{msg: fmt.Sprintf(format, args...), cause: ErrNotAttachable}
}

func attachError(program string, err error) *Error {
	e := &Error{Stage: StageAttach, Program: program}
	var r *refused
	if errors.As(err, &r) {
		e.Errno, e.Msg, e.Cause = r.errno, r.msg, r.cause
		return e
	}
	if !errors.As(err, &e.Errno) {
		e.Cause = err
	}
	e.Msg = err.Error()
	return e
}

// closers are closed in reverse order.
type closers []io.Closer

func (c closers) Close() error {
	var errs []error
	for i := len(c) - 1; i >= 0; i-- {
		errs = append(errs, c[i].Close())
	}
	return errors.Join(errs...)
}

// closeFunc is a function that closes.
type closeFunc func() error

func (f closeFunc) Close() error { return f() }

// attachKind is how a program is attached.
type attachKind uint8

const (
	attachNothing attachKind = iota
	attachKprobe
	attachKsyscall
	attachKprobes
	attachUprobe
	attachUprobes
	attachTracepoint
	attachRawTracepoint
	attachTracing // fentry and its like, tp_btf, lsm
	attachIter
	attachPerfEvent
	attachCgroup
	attachNetns
	attachXDP
	attachXDPMap
	attachTC
	attachNetkit
	attachNetfilter
	attachSockmap
	attachReuseport
	attachSocketFilter
)

// attachSections tell how programs are attached, by the section's name in libbpf's table; what is not there is told by
// attachKindOf.
var attachSections = map[string]attachKind{
	"kprobe": attachKprobe, "kretprobe": attachKprobe,
	"ksyscall": attachKsyscall, "kretsyscall": attachKsyscall,
	"kprobe.multi": attachKprobes, "kretprobe.multi": attachKprobes, "kprobe.session": attachKprobes,
	"perf_event": attachPerfEvent,
	"lsm_cgroup": attachCgroup, "sockops": attachCgroup,
	"sk_lookup": attachNetns, "flow_dissector": attachNetns,
	"xdp": attachXDP, "xdp.frags": attachXDP,
	"xdp/devmap": attachXDPMap, "xdp.frags/devmap": attachXDPMap, "xdp/cpumap": attachXDPMap, "xdp.frags/cpumap": attachXDPMap,
	"tc": attachTC, "classifier": attachTC,
	"netfilter": attachNetfilter,
	"socket":    attachSocketFilter,
	"sk_msg":    attachSockmap,
}

// attachKindOf tells how a program is attached; attachNothing where it is not.
func attachKindOf(d *relocate.SecDef) attachKind {
	if k, ok := attachSections[d.Name]; ok {
		return k
	}
	switch d.Hook {
	case relocate.HookTracepoint:
		return attachTracepoint
	case relocate.HookRawTP:
		return attachRawTracepoint
	case relocate.HookBTFTP, relocate.HookBTFFunc, relocate.HookLSM:
		return attachTracing
	case relocate.HookIter:
		return attachIter
	}
	switch name, _, _ := strings.Cut(d.Name, "/"); name {
	case "cgroup", "cgroup_skb":
		return attachCgroup
	case "tc", "tcx":
		return attachTC
	case "netkit":
		return attachNetkit
	case "sk_skb":
		return attachSockmap
	case "sk_reuseport":
		return attachReuseport
	}
	switch base, rest, _ := strings.Cut(d.Name, "."); {
	case base != "uprobe" && base != "uretprobe":
		return attachNothing
	case strings.HasPrefix(rest, "multi") || strings.HasPrefix(rest, "session"):
		return attachUprobes
	default:
		return attachUprobe
	}
}

// whyNothing tells why a program is not attached, for people.
func whyNothing(d *relocate.SecDef) error {
	switch name, _, _ := strings.Cut(d.Name, "/"); name {
	case "":
		return notAttachable("its section says nothing that libbpf knows")
	case "syscall":
		return notAttachable("it is run by hand (BPF_PROG_RUN)")
	case "struct_ops", "struct_ops.s":
		return notAttachable("its struct_ops map attaches it")
	case "freplace":
		return needsTarget("it replaces a function of another program")
	case "usdt", "usdt.s":
		return needsTarget("the static probes of an executable are user space's")
	case "lirc_mode2":
		return notAttachable("it wants an infrared device")
	case "lwt_in", "lwt_out", "lwt_xmit", "lwt_seg6local":
		return notAttachable("it wants a route")
	case "action":
		return notAttachable("it wants an action of a traffic control filter")
	case "fentry.multi", "fexit.multi", "fsession.multi", "fentry.multi.s", "fexit.multi.s", "fsession.multi.s":
		return notAttachable("libbpf 1.7 has no such section")
	}
	return needsTarget("section %q names no target", d.Name)
}
