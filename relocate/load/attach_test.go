package load

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"

	"github.com/corecheck/corecheck/relocate"
)

// Every section that libbpf knows is attached in some way, or it is said why not.
func TestAttachKinds(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		section string
		want    attachKind
		why     error // for attachNothing
	}{
		{"kprobe/x", attachKprobe, nil}, {"kretprobe/x", attachKprobe, nil}, {"kprobe.multi/x", attachKprobes, nil},
		{"kprobe.session/x", attachKprobes, nil}, {"ksyscall/x", attachKsyscall, nil}, {"uprobe/a:b", attachUprobe, nil},
		{"uprobe.s/a:b", attachUprobe, nil}, {"uretprobe.s/a:b", attachUprobe, nil}, {"uprobe.multi/a:b", attachUprobes, nil},
		{"uretprobe.multi.s/a:b", attachUprobes, nil}, {"uprobe.session.s/a:b", attachUprobes, nil}, {"tp/a/b", attachTracepoint, nil},
		{"tracepoint.s/a/b", attachTracepoint, nil}, {"raw_tp/a", attachRawTracepoint, nil}, {"raw_tracepoint.w/a", attachRawTracepoint, nil},
		{"tp_btf/a", attachTracing, nil}, {"fentry/a", attachTracing, nil}, {"fexit.s/a", attachTracing, nil}, {"fmod_ret/a", attachTracing, nil},
		{"fsession/a", attachTracing, nil}, {"lsm/a", attachTracing, nil}, {"lsm.s/a", attachTracing, nil}, {"lsm_cgroup/a", attachCgroup, nil},
		{"iter/task", attachIter, nil}, {"iter.s/task", attachIter, nil}, {"cgroup/skb", attachCgroup, nil}, {"cgroup_skb/egress", attachCgroup, nil},
		{"cgroup/connect4", attachCgroup, nil}, {"sockops", attachCgroup, nil}, {"xdp", attachXDP, nil}, {"xdp.frags/cpumap", attachXDPMap, nil},
		{"tc", attachTC, nil}, {"tcx/egress", attachTC, nil}, {"classifier", attachTC, nil}, {"netkit/peer", attachNetkit, nil},
		{"netfilter", attachNetfilter, nil}, {"sk_msg", attachSockmap, nil}, {"sk_skb/verdict", attachSockmap, nil}, {"sk_skb", attachSockmap, nil},
		{"sk_reuseport/migrate", attachReuseport, nil}, {"socket", attachSocketFilter, nil}, {"perf_event", attachPerfEvent, nil},
		{"sk_lookup", attachNetns, nil}, {"flow_dissector", attachNetns, nil},
		{"syscall", attachNothing, ErrNotAttachable}, {"struct_ops/x", attachNothing, ErrNotAttachable}, {"struct_ops.s", attachNothing, ErrNotAttachable},
		{"freplace/x", attachNothing, ErrNeedsTarget}, {"usdt/a:b:c", attachNothing, ErrNeedsTarget}, {"usdt.s", attachNothing, ErrNeedsTarget},
		{"lwt_in", attachNothing, ErrNotAttachable}, {"lwt_seg6local", attachNothing, ErrNotAttachable}, {"action", attachNothing, ErrNotAttachable},
		{"lirc_mode2", attachNothing, ErrNotAttachable}, {"custom", attachNothing, ErrNotAttachable}, {"tp", attachNothing, ErrNeedsTarget},
		{"raw_tp.w", attachNothing, ErrNeedsTarget}, {"fentry.multi/x", attachNothing, ErrNotAttachable},
	} {
		d := relocate.ParseSection(c.section)
		got := attachKindOf(&d)
		if got != c.want {
			t.Errorf("%s: kind %d, want %d", c.section, got, c.want)
		}
		if got != attachNothing {
			continue
		}
		if e := attachError("p", whyNothing(&d)); !errors.Is(e, c.why) || e.Msg == "" {
			t.Errorf("%s: %v, want %v", c.section, e, c.why)
		}
	}
}

func TestAttachError(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		err   error
		msg   string
		errno syscall.Errno
		cause error
	}{
		{refuse(fmt.Errorf("deep: %w", syscall.EPERM), "doing %s", "it"), "doing it", syscall.EPERM, nil},
		{refuse(io.EOF, "doing it"), "doing it: EOF", 0, nil},
		{number(syscall.ENOENT, "gone"), "gone", syscall.ENOENT, nil},
		{errors.Join(needsTarget("who knows"), io.EOF), "who knows", 0, ErrNeedsTarget},
		{notAttachable("by hand"), "by hand", 0, ErrNotAttachable},
		{io.EOF, "EOF", 0, io.EOF},
		{syscall.EPERM, "operation not permitted", syscall.EPERM, nil},
	} {
		e := attachError("p", c.err)
		if e.Stage != StageAttach || e.Program != "p" || e.Msg != c.msg || e.Errno != c.errno || e.Cause != c.cause {
			t.Errorf("%v: got %+v", c.err, e)
		}
	}
}

func TestClosers(t *testing.T) {
	t.Parallel()
	var order []int
	var all closers
	for i := range 3 {
		all = append(all, closeFunc(func() error {
			order = append(order, i)
			return fmt.Errorf("close %d", i)
		}))
	}
	err := all.Close()
	if fmt.Sprint(order) != "[2 1 0]" || err == nil || !strings.Contains(err.Error(), "close 1") {
		t.Errorf("order %v, error %v", order, err)
	}
}
