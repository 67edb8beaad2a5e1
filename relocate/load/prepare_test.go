package load

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/kernelstest"
	"github.com/corecheck/corecheck/relocate"
)

var debian struct {
	sync.Mutex
	btf *btfinfo.BTF
}

// debianBTF is the BTF of Linux 6.1, which takes a while to get.
func debianBTF(t testing.TB) *btfinfo.BTF {
	t.Helper()
	debian.Lock()
	defer debian.Unlock()
	if debian.btf == nil {
		var err error
		if debian.btf, err = btfinfo.Parse(kernelstest.Raw(t, kernelstest.IDs[1])); err != nil {
			t.Fatal(err)
		}
	}
	return debian.btf
}

// debianKernel is an embedded kernel, Linux 6.1, with these files and without modules.
func debianKernel(t testing.TB, files map[string]string) *Kernel {
	t.Helper()
	k := newKernel(put(t, files), "6.1.0-test", "#1 SMP Debian 6.1.176-1", "x86_64", nil, nil, func(feature) bool { return true })
	parsed := debianBTF(t)
	k.btf = func() (*btfinfo.BTF, error) { return parsed, nil }
	k.modules = func() ([]*module, error) { return nil, nil }
	return k
}

// config has what the fixture "externs" needs.
const config = "CONFIG_BPF_SYSCALL=y\nCONFIG_NF_CONNTRACK=m\nCONFIG_HZ=250\nCONFIG_DEFAULT_HOSTNAME=\"(none)\"\nCONFIG_PHYSICAL_START=0x1000000\n"

func TestExterns(t *testing.T) {
	t.Parallel()
	const symbols = "ffffffff81000000 T vfs_read\n"
	files := func(config, symbols string) map[string]string {
		return map[string]string{"boot/config-6.1.0-test": config, "proc/kallsyms": symbols}
	}
	for _, test := range []struct {
		name, config, symbols string
		change                func(*relocate.Object, *Kernel)
		want                  string // the error, "" for none
		errno                 syscall.Errno
	}{
		{"all", config, symbols, nil, "", 0},
		{"no option", strings.Replace(config, "CONFIG_HZ=250", "", 1), symbols, nil, "extern kconfig CONFIG_HZ is not there, and is not weak", syscall.ESRCH},
		{"option of another kind", strings.Replace(config, "CONFIG_HZ=250", "CONFIG_HZ=y", 1), symbols, nil, "CONFIG_HZ is y", syscall.EINVAL},
		{"number too large", strings.Replace(config, "CONFIG_HZ=250", "CONFIG_HZ=40000", 1), symbols, nil, "CONFIG_HZ is 40000, the extern has 2 bytes", syscall.EINVAL},
		{"no symbol", config, "ffffffff81000000 T vfs_write\n", nil, "extern ksym vfs_read is not there", syscall.ESRCH},
		{"two symbols", config, symbols + "ffffffff82000000 t vfs_read\t[mod]\n", nil, "ksym vfs_read is ambiguous", syscall.EINVAL},
		{"one symbol twice", config, symbols + symbols, nil, "", 0},
		{"symbol of LTO", config, "ffffffff81000000 d vfs_read.llvm.123\n", nil, "", 0},
		{"function of LTO", config, "ffffffff81000000 t vfs_read.llvm.123\n", nil, "extern ksym vfs_read is not there", syscall.ESRCH},
		{"no version", config, symbols, func(_ *relocate.Object, k *Kernel) { k.Version = 0 }, "extern LINUX_KERNEL_VERSION: release", syscall.EINVAL},
		{"value that there is not", config, symbols, func(o *relocate.Object, _ *Kernel) {
			for _, e := range o.Externs {
				if e.Name == "LINUX_HAS_NOTHING" {
					e.Weak = false
				}
			}
		}, "extern LINUX_HAS_NOTHING: there is no such value", syscall.EINVAL},
		{"strong kfunc", config, symbols, func(o *relocate.Object, _ *Kernel) {
			for _, e := range o.Externs {
				e.Weak = e.Weak && e.Name != "corecheck_no_function"
			}
		}, "kfunc corecheck_no_function is neither", syscall.EINVAL},
	} {
		o := openFixture(t, "externs")
		k := debianKernel(t, files(test.config, test.symbols))
		if test.change != nil {
			test.change(o, k)
		}
		p, err := prepare(o, k, Options{})
		if test.want != "" {
			var e *Error
			if !errors.As(err, &e) || e.Stage != StageReloc || e.Errno != test.errno || !strings.Contains(e.Msg, test.want) {
				t.Errorf("%s: %v, want %q and %v", test.name, err, test.want, test.errno)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		// The offsets are those of TestFill.
		if got, want := fmt.Sprintf("%x", p.kconfig[:35]), "0000000100000000"+"00000000"+"02000000"+"00000000"+"b0010600"+"fa00"+"00"+"01"+"01"+"01"+"286e6f6e00"; got != want {
			t.Errorf("%s: the value of .kconfig is %s, want %s", test.name, got, want)
		}
	}
	if _, err := prepare(openFixture(t, "externs"), debianKernel(t, map[string]string{"proc/kallsyms": symbols}), Options{}); err == nil || !strings.Contains(err.Error(), "configuration can't be read") {
		t.Errorf("without a configuration: %v", err)
	}
}

// TestInstructions looks at what became of instructions that refer to something.
func TestInstructions(t *testing.T) {
	t.Parallel()
	o := openFixture(t, "externs")
	k := debianKernel(t, map[string]string{"boot/config-6.1.0-test": config, "proc/kallsyms": "ffffffff81234560 T vfs_read\n"})
	p, err := prepare(o, k, Options{Programs: []string{"config", "symbols", "reached"}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.progs) != 3 {
		t.Fatalf("%d programs, want 3", len(p.progs))
	}
	first := func(prog int, what string, is func(relocate.Insn) bool) relocate.Insn {
		i := slices.IndexFunc(p.progs[prog].insns, is)
		if i < 0 {
			t.Fatalf("program %s has no %s", p.progs[prog].Name, what)
		}
		return p.progs[prog].insns[i]
	}
	in := first(1, "address of vfs_read", func(in relocate.Insn) bool { return in.Code == codeLdImm64 })
	if in.Src != 0 || uint32(in.Imm) != 0x81234560 {
		t.Errorf("the address of vfs_read is %+v", in)
	}
	in = first(2, "call", func(in relocate.Insn) bool { return in.Code == codeCall })
	kfunc := slices.IndexFunc(o.Externs, func(e *relocate.Extern) bool { return e.Name == "corecheck_no_function" })
	if want := (relocate.Insn{Code: codeCall, Imm: PoisonKfunc + int32(kfunc)}); in != want {
		t.Errorf("the call of a kfunc that is not there is %+v, want %+v", in, want)
	}
	values := 0
	for _, f := range p.progs[0].fixups {
		if in := p.progs[0].insns[f.insn]; in.Code != codeLdImm64 || in.Src != pseudoMapValue || f.m == nil {
			t.Errorf("instruction %d, %+v, gets a file descriptor", f.insn, in)
		}
		if f.m.Section == ".kconfig" {
			values++
		}
	}
	if values < 8 {
		t.Errorf("%d uses of .kconfig, want 8 or more", values)
	}
	// Without addresses of values (before Linux 5.2) there are no data sections, and what uses them is poisoned.
	k.features[featGlobalData] = false
	if p, err = prepare(o, k, Options{Programs: []string{"config"}}); err != nil {
		t.Fatal(err)
	}
	in = first(0, "poison", func(in relocate.Insn) bool { return in.Code == codeCall && in.Imm >= PoisonMap })
	if in.Imm >= PoisonMap+int32(len(o.Maps)) || len(p.progs[0].fixups) != 0 {
		t.Errorf("the use of a map that is not created is %+v", in)
	}
}

// TestRelocation: what does not resolve is poisoned where the program is loaded, and fails where libbpf fails.
func TestRelocation(t *testing.T) {
	t.Parallel()
	rule := func(name string) *relocate.Object {
		objs, err := relocate.Open("../../testdata/rules/" + name + ".bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		return objs[0]
	}
	k := debianKernel(t, nil)
	for _, test := range []struct {
		object, program string
		poison          bool
		errno           syscall.Errno
	}{
		{"field_missing", "witness", true, 0},
		{"field_missing", "twin", false, 0},
		{"anonymous_root", "witness", false, syscall.EINVAL},
		{"anonymous_root", "twin", false, 0},
		{"relocation_invalid", "witness", false, syscall.ERANGE},
	} {
		p, err := prepare(rule(test.object), k, Options{Programs: []string{test.program}})
		var e *Error
		switch {
		case test.errno != 0:
			if !errors.As(err, &e) || e.Errno != test.errno || e.Stage != StageReloc || e.Program != test.program {
				t.Errorf("%s: %v, want %v", test.object, err, test.errno)
			}
		case err != nil:
			t.Errorf("%s, %s: %v", test.object, test.program, err)
		default:
			poison := slices.ContainsFunc(p.progs[0].insns, func(in relocate.Insn) bool { return in.Code == codeCall && in.Imm == relocate.PoisonHelper })
			if poison != test.poison {
				t.Errorf("%s, %s: poison %v, want %v", test.object, test.program, poison, test.poison)
			}
		}
	}
}

func TestSelect(t *testing.T) {
	t.Parallel()
	k := worldKernel(t)
	for _, test := range []struct {
		programs []string
		want     string
	}{
		{nil, "called calls"},
		{[]string{}, ""},
		{[]string{"left_out"}, "left_out"},
		{[]string{"calls", "called"}, "called calls"},
		{[]string{"nothing"}, "open: program nothing: the object has no such program: no such file or directory"},
	} {
		p, err := prepare(openFixture(t, "calls"), k, Options{Programs: test.programs})
		var got []string
		if err != nil {
			got = []string{err.Error()}
		} else {
			for _, pp := range p.progs {
				got = append(got, pp.Name)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%q: %q, want %q", test.programs, got, test.want)
		}
	}
}

// TestLink: subprograms come behind the program in the order of their first calls, each once, and calls count from the next
// instruction.
func TestLink(t *testing.T) {
	t.Parallel()
	o := openFixture(t, "calls")
	p, err := prepare(o, worldKernel(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	pp := p.progs[1]
	var names []string
	start := map[*relocate.Func]int{}
	at := 0
	for _, f := range pp.Funcs {
		names = append(names, f.Name)
		start[f] = at
		for _, c := range f.Calls {
			defer func() {
				in := pp.insns[start[f]+c.Insn]
				if to := start[f] + c.Insn + 1 + int(in.Imm); to != start[c.To] || c.Ref != (in.Src == pseudoFunc) {
					t.Errorf("%s: instruction %d, %+v, leads to %d, want %s at %d", f.Name, c.Insn, in, to, c.To.Name, start[c.To])
				}
			}()
		}
		at += len(f.Insns)
	}
	if got := strings.Join(names, " "); got != "calls each shared last" || at != len(pp.insns) {
		t.Errorf("%s, %d instructions, want %d", got, at, len(pp.insns))
	}
	for what, info := range map[string][]byte{"function": pp.funcInfo, "line": pp.lineInfo} {
		size := map[string]int{"function": o.FuncInfoSize, "line": o.LineInfoSize}[what]
		last := -1
		for rec := info; len(rec) > 0; rec = rec[size:] {
			i := int(nativeOrder.Uint32(rec))
			if i < last || i >= at {
				t.Errorf("%s info for instruction %d after that of %d", what, i, last)
			}
			last = i
		}
	}
	if n := len(pp.funcInfo) / o.FuncInfoSize; n != 4 {
		t.Errorf("%d records of function info, want 4", n)
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	k := worldKernel(t)
	for _, test := range []struct {
		section, target string
		want            string // what the program attaches to and its type in BTF, or the error
	}{
		{"fentry/in_kernel", "", "in_kernel [in_kernel]"},
		{"fentry/in_kernel", "in_beta", "in_beta [in_beta of beta]"},
		{"?fexit.s", "beta:in_both", "beta:in_both [in_both of beta]"},
		{"tp_btf", "sched_switch", "sched_switch [btf_trace_sched_switch]"},
		{"kprobe", "vfs_read+0x10", "vfs_read+0x10 []"},
		{"kprobe/vfs_write", "", "vfs_write []"},
		{"tp", "sched/sched_switch", "sched/sched_switch []"},
		{"xdp", "", " []"},
		{"fentry", "", "needs target: invalid argument"},
		{"fentry/", "", "needs target: no such process"},
		{"lsm", "", "needs target: invalid argument"},
		{"freplace/main", "", "needs target: invalid argument"},
		{"freplace", "main", "needs target: invalid argument"},
		{"whatever", "", "needs target: invalid argument"},
		{"whatever", "in_kernel", "needs target: invalid argument"},
		{"xdp", "eth0", "invalid argument"},
		{"fentry/nowhere", "", "no such process"},
		{"struct_ops/x", "", "invalid argument"},
	} {
		p := &plan{o: &relocate.Object{}, k: k, ops: map[*relocate.Program]*opsTarget{}}
		if test.target != "" {
			p.opt.Targets = map[string]string{"prog": test.target}
		}
		pp := &progPlan{Program: &relocate.Program{Name: "prog", Section: test.section}, sec: relocate.ParseSection(test.section)}
		err := p.target(pp)
		got := ""
		var e *Error
		switch {
		case errors.As(err, &e):
			got = e.Errno.Error()
			if errors.Is(err, ErrNeedsTarget) {
				got = "needs target: " + got
			}
			if e.Program != "prog" {
				t.Errorf("%s: the error is about program %q", test.section, e.Program)
			}
		case err != nil:
			t.Fatal(err)
		default:
			in, _ := k.btf()
			name := ""
			if pp.mod != nil {
				in, name = pp.mod.btf, " of "+pp.mod.name
			}
			got = fmt.Sprintf("%s [%s%s]", pp.sec.Target, in.Type(pp.btfID).Name(), name)
		}
		if got != test.want {
			t.Errorf("SEC(%q), target %q: %q, want %q", test.section, test.target, got, test.want)
		}
	}
}

func TestProgramFlags(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		section string
		lack    feature
		attach  string
		flags   uint32
	}{
		{"xdp", featMemcg, "BPF_XDP", 0},
		{"xdp", featExpAttachType, "", 0},
		{"xdp.frags", featExpAttachType, "BPF_XDP", progXDPFrags},
		{"cgroup/connect4", featExpAttachType, "BPF_CGROUP_INET4_CONNECT", 0},
		{"syscall", featMemcg, "", progSleepable},
		{"uprobe.s/x:y", featMemcg, "", progSleepable},
		{"usdt/x:y:z", featMemcg, "BPF_TRACE_UPROBE_MULTI", 0},
		{"usdt/x:y:z", featUprobeMulti, "", 0},
		{"usdt.s/x:y:z", featMemcg, "BPF_TRACE_UPROBE_MULTI", progSleepable},
		{"kprobe.multi/x*", featMemcg, "BPF_TRACE_KPROBE_MULTI", 0},
	} {
		k := worldKernel(t)
		k.features[test.lack] = false
		pp := &progPlan{Program: &relocate.Program{Section: test.section}, sec: relocate.ParseSection(test.section)}
		if err := (&plan{o: &relocate.Object{}, k: k}).target(pp); err != nil {
			t.Errorf("%s: %v", test.section, err)
			continue
		}
		var attach uint32
		if test.attach != "" {
			attach, _ = relocate.AttachTypeNumber(test.attach)
		}
		if pp.attachType != attach || pp.flags != test.flags {
			t.Errorf("%s: attach type %d, flags %#x, want %d, %#x", test.section, pp.attachType, pp.flags, attach, test.flags)
		}
	}
}
