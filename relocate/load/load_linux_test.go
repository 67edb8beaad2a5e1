package load

import (
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// fds counts the open file descriptors.
func fds(t *testing.T) int {
	t.Helper()
	runtime.GC() // what was not closed must not be closed by accident in between
	all, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

// TestLoad loads objects into the running kernel.
func TestLoad(t *testing.T) {
	k := needRoot(t)
	before := fds(t)

	l, err := Load(openFixture(t, "types"), k, Options{})
	if err != nil {
		t.Fatal(err)
	}
	p := l.Lookup("uses_all")
	if p == nil || p.Prog.Type() != ebpf.SocketFilter || l.Program("uses_all") != p.Prog || l.Program("other") != nil || l.Map("other") != nil {
		t.Errorf("the program is %+v", p)
	}
	var value [40]byte
	if err := l.Map(".data").Lookup(uint32(0), &value); err != nil {
		t.Error(err)
	} else if got := binary.NativeEndian.Uint64(value[:]); got != 0x123456789abc {
		t.Errorf("global_wide is %#x", got)
	}
	if err := l.Map(".rodata").Update(uint32(0), uint32(1), ebpf.UpdateAny); !errors.Is(err, syscall.EPERM) {
		t.Errorf(".rodata can be written: %v", err)
	}
	if ret, _, err := p.Prog.Test(make([]byte, 64)); err != nil || ret != 1+44+43 { // visible(1)
		t.Errorf("the program returns %d, %v, want %d", ret, err, 1+44+43)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}

	l, err = Load(openFixture(t, "calls"), k, Options{MapEntries: map[string]uint32{"sized": 3}})
	if err != nil {
		t.Fatal(err)
	}
	if n := l.Map("sized").MaxEntries(); n != 3 {
		t.Errorf("map sized has %d entries, want 3", n)
	}
	if n := len(l.Notes()); n != 2 { // of stacks: its entries and its values
		t.Errorf("%d notes, want 2: %q", n, l.Notes())
	}
	if ret, _, err := l.Program("calls").Test(make([]byte, 64)); err != nil || ret != 7 { // the tail call: shared(2)
		t.Errorf("the program returns %d, %v, want 7", ret, err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if after := fds(t); after != before {
		t.Errorf("%d file descriptors are open, %d were before", after, before)
	}
}

// TestLoadFails looks at errors, and at what they leave behind.
func TestLoadFails(t *testing.T) {
	k := needRoot(t)
	// cilium/ebpf keeps what it tried of the kernel, and the runtime keeps an epoll.
	if l, err := Load(openFixture(t, "types"), k, Options{}); err == nil {
		l.Close()
	}
	before := fds(t)
	code := func(o *relocate.Object, program string) []relocate.Insn {
		i := slices.IndexFunc(o.Programs, func(p *relocate.Program) bool { return p.Name == program })
		return o.Programs[i].Entry.Insns
	}
	for _, test := range []struct {
		name   string
		change func(*relocate.Object)
		opt    Options
		stage  Stage
		prog   string
		mapped string
		errno  syscall.Errno
		log    string // a line of it
	}{
		{"prog array without its program", func(*relocate.Object) {}, Options{Programs: []string{"calls"}}, StageMap, "", "programs", syscall.EBADF, ""},
		{"unknown helper", func(o *relocate.Object) { o.Programs[0].Entry.Helpers = nil; code(o, "called")[0] = insnHelper(99999) }, Options{}, StageLoad, "called", "", syscall.EINVAL, "invalid func unknown#99999"},
		{"map type", func(o *relocate.Object) { o.Maps[0].Type = 9999 }, Options{}, StageMap, "", o0, syscall.EINVAL, ""},
		{"legacy", func(o *relocate.Object) { o.Refused = []string{"something"} }, Options{}, StageOpen, "", "", syscall.ENOTSUP, ""},
		{"byte order", func(o *relocate.Object) { o.ByteOrder = binary.BigEndian }, Options{}, StageOpen, "", "", 0, ""},
	} {
		o := openFixture(t, "calls")
		test.change(o)
		if test.mapped == o0 {
			test.mapped = o.Maps[0].Name
		}
		l, err := Load(o, k, test.opt)
		var e *Error
		if !errors.As(err, &e) || l != nil {
			t.Errorf("%s: %v, %v", test.name, l, err)
			continue
		}
		if e.Stage != test.stage || e.Program != test.prog || e.Map != test.mapped || e.Errno != test.errno {
			t.Errorf("%s: stage %s, program %q, map %q, %v: %v", test.name, e.Stage, e.Program, e.Map, e.Errno, e)
		}
		if test.log != "" && !slices.Contains(e.Log, test.log) {
			t.Errorf("%s: the log is %q, want a line %q", test.name, e.Log, test.log)
		}
	}
	if after := fds(t); after != before {
		t.Errorf("%d file descriptors are open, %d were before", after, before)
	}
}

// o0 stands for the first map of the object.
const o0 = "the first map"

// TestSession: maps of a session are made once, and are as new.
func TestSession(t *testing.T) {
	k := needRoot(t)
	before := fds(t)
	s := NewSession(openFixture(t, "types"), k)
	ids := map[string]ebpf.MapID{}
	for i, opt := range []Options{{}, {Programs: []string{"uses_all"}}, {MapEntries: map[string]uint32{"tagged": 9}}} {
		l, err := s.Load(opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"tagged", ".data", ".bss", ".rodata"} {
			info, err := l.Map(name).Info()
			if err != nil {
				t.Fatal(err)
			}
			id, _ := info.ID()
			if changed := i == 2 && name == "tagged"; i > 0 && (ids[name] == id) == changed {
				t.Errorf("load %d: map %s has id %d, had %d", i, name, id, ids[name])
			}
			ids[name] = id
		}
		var bss uint64
		if err := l.Map(".bss").Lookup(uint32(0), &bss); err != nil || bss != 0 {
			t.Errorf("load %d: .bss is %d, %v", i, bss, err)
		}
		if err := l.Map(".bss").Update(uint32(0), uint64(7), ebpf.UpdateAny); err != nil {
			t.Error(err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if after := fds(t); after != before {
		t.Errorf("%d file descriptors are open, %d were before", after, before)
	}
}

// TestSessionUnfilled: a map that could not be filled is none that the next load takes.
func TestSessionUnfilled(t *testing.T) {
	k := needRoot(t)
	before := fds(t)
	obj := openFixture(t, "types")
	i := slices.IndexFunc(obj.Maps, func(m *relocate.Map) bool { return m.Name == ".rodata" })
	content := obj.Maps[i].Content
	obj.Maps[i].Content = content[1:] // which is not of the value's size
	s := NewSession(obj, k)
	for range 2 {
		l, err := s.Load(Options{})
		var e *Error
		if !errors.As(err, &e) || e.Stage != StageMap || e.Map != ".rodata" {
			t.Fatalf("%v, want that .rodata can't be given its first contents", err)
		}
		if l != nil {
			l.Close()
		}
	}
	obj.Maps[i].Content = content
	l, err := s.Load(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Map(".rodata").Update(uint32(0), make([]byte, len(content)), ebpf.UpdateAny); !errors.Is(err, syscall.EPERM) {
		t.Errorf(".rodata can be written: %v", err)
	}
	if err := errors.Join(l.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	if after := fds(t); after != before {
		t.Errorf("%d file descriptors are open, %d were before", after, before)
	}
}

// TestLongLog: of a log that is longer than what is kept the end is kept, in whole lines.
func TestLongLog(t *testing.T) {
	needRoot(t)
	var insns []relocate.Insn
	for range 20000 {
		insns = append(insns, relocate.Insn{Code: 0xb7, Dst: 1, Imm: 1})
	}
	insns = append(insns, insnHelper(99999), insnExit)
	var pin runtime.Pinner
	defer pin.Unpin()
	fd, log, truncated, errno := loadProgram(&progLoadAttr{
		progType: progSocketFilter, insns: address(&pin, encode(insns)), insnCnt: uint32(len(insns)), license: address(&pin, cString("GPL")),
	})
	if errno != syscall.EINVAL || fd >= 0 || !truncated {
		t.Fatalf("%d, truncated %v, %v", fd, truncated, errno)
	}
	if n := len(strings.Join(log, "\n")); n > logKept || n < logKept/2 {
		t.Errorf("%d bytes of log are kept", n)
	}
	if !slices.Contains(log, "invalid func unknown#99999") || !strings.Contains(log[0], ": (b7) r1 = 1") {
		t.Errorf("the log begins with %q and ends with %q", log[0], log[len(log)-1])
	}
}

// TestHost: what is told of this machine agrees with the machine.
func TestHost(t *testing.T) {
	k := needRoot(t)
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		t.Fatal(err)
	}
	if k.Release != strings.TrimSpace(string(release)) || k.Machine == "" || k.Build == "" {
		t.Errorf("release %q, build %q, machine %q", k.Release, k.Build, k.Machine)
	}
	if k.cpus() == 0 {
		t.Error("no CPUs")
	}
	b, err := k.BTF()
	if err != nil {
		t.Fatal(err)
	}
	// Whoever has these functions takes these kinds of BTF.
	for f, name := range map[feature]string{featBTFFloat: "btf_float_check_meta", featBTFDeclTag: "btf_decl_tag_resolve", featBTFEnum64: "btf_enum64_check_meta"} {
		if got, want := k.has(f), len(b.Named(name, btfinfo.KindFunc)) > 0; want && !got {
			t.Errorf("feature %d is missing, the kernel has %s", f, name)
		}
	}
	for f := featProgName; f <= featMemcg; f++ {
		k.has(f)
	}
}
