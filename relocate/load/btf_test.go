package load

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/relocate"
)

// openFixture reads an object of testdata.
func openFixture(t testing.TB, name string) *relocate.Object {
	t.Helper()
	objs, err := relocate.Open("testdata/" + name + ".bpf.o")
	if err != nil {
		t.Fatal(err)
	}
	return objs[0]
}

// parseImage parses what is sent to the kernel, which checks it.
func parseImage(t testing.TB, m *btfImage) *btfinfo.BTF {
	t.Helper()
	b, err := btfinfo.Parse(m.bytes())
	if err != nil {
		t.Fatalf("what is sent to the kernel: %v", err)
	}
	return b
}

// TestFill compares sections and externs with what libbpf makes of them. The values are those of bpftool btf dump, and
// TestLikeLibbpf compares every byte where libbpf is at hand.
func TestFill(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"types": `.bss 8: local 0 0, zero 4 1
.data 40: global_wide 0 1, hidden_data 8 0
.data.own 4: own 0 1
.maps 32: tagged 0 1
.rodata 4: constant 0 1
.rodata.own 4: own_constant 0 1
visible_inside 0, visible 1`,
		"externs": `.bss 17: version 0 1, hz 4 1, tristate 8 1, hostname 12 1
.kconfig 67: CONFIG_PHYSICAL_START 0 1, CONFIG_CORECHECK_NONE 8 1, CONFIG_NF_CONNTRACK 12 1, LINUX_HAS_NOTHING 16 1, LINUX_KERNEL_VERSION 20 1, CONFIG_HZ 24 1, CONFIG_BPF_JIT 26 1, CONFIG_BPF_SYSCALL 27 1, LINUX_HAS_BPF_COOKIE 28 1, LINUX_HAS_SYSCALL_WRAPPER 29 1, CONFIG_DEFAULT_HOSTNAME 30 1, CONFIG_CC_VERSION_TEXT 35 1
.ksyms 16: dummy_ksym 0 1, vfs_read 4 1, corecheck_no_symbol 8 1, corecheck_no_variable 12 1
corecheck_no_function 1`,
	} {
		o := openFixture(t, name)
		m := newImage(o)
		m.fill(o)
		b := parseImage(t, m)
		var sections []string
		funcs := []string{}
		for id := btfinfo.ID(1); int(id) < b.NumTypes(); id++ {
			switch typ := b.Type(id); typ.Kind() {
			case btfinfo.KindDatasec:
				var vars []string
				for i := range typ.Vlen() {
					v := typ.Var(i)
					vars = append(vars, fmt.Sprintf("%s %d %d", b.Type(v.Type).Name(), v.Off, b.Type(v.Type).Linkage()))
				}
				if typ.Name() != "license" {
					sections = append(sections, fmt.Sprintf("%s %d: %s", typ.Name(), typ.Size(), strings.Join(vars, ", ")))
				}
			case btfinfo.KindFunc:
				if n := typ.Name(); strings.HasPrefix(n, "visible") || strings.HasPrefix(n, "corecheck") {
					funcs = append(funcs, fmt.Sprintf("%s %d", n, typ.Linkage()))
				}
			}
			if int(id) < o.BTF.NumTypes() && b.Type(id).Kind() != o.BTF.Type(id).Kind() {
				t.Errorf("%s: type [%d] is %s, was %s", name, id, b.Type(id).Kind(), o.BTF.Type(id).Kind())
			}
		}
		slices.Sort(sections)
		if got := strings.Join(append(sections, strings.Join(funcs, ", ")), "\n"); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, got, want)
		}
	}
}

// TestSanitize takes features away one by one, as older kernels lack them: what is left is sound BTF without what the
// kernel does not know, and ids are what they were.
func TestSanitize(t *testing.T) {
	t.Parallel()
	o := openFixture(t, "types")
	all := func(feature) bool { return true }
	for _, test := range []struct {
		name string
		lack feature
		from btfinfo.Kind
		to   btfinfo.Kind
	}{
		{"datasec", featBTFDatasec, btfinfo.KindDatasec, btfinfo.KindStruct},
		{"var", featBTFDatasec, btfinfo.KindVar, btfinfo.KindInt},
		{"func", featBTFFunc, btfinfo.KindFunc, btfinfo.KindTypedef},
		{"func_proto", featBTFFunc, btfinfo.KindFuncProto, btfinfo.KindEnum},
		{"float", featBTFFloat, btfinfo.KindFloat, btfinfo.KindStruct},
		{"decl_tag", featBTFDeclTag, btfinfo.KindDeclTag, btfinfo.KindInt},
		{"type_tag", featBTFTypeTag, btfinfo.KindTypeTag, btfinfo.KindConst},
		{"enum64", featBTFEnum64, btfinfo.KindEnum64, btfinfo.KindUnion},
	} {
		m := newImage(o)
		m.fill(o)
		m.sanitize(func(f feature) bool { return f != test.lack })
		b, changed := parseImage(t, m), 0
		for id := btfinfo.ID(1); int(id) < o.BTF.NumTypes(); id++ {
			was, is := o.BTF.Type(id), b.Type(id)
			switch {
			case was.Kind() != test.from:
			case is.Kind() != test.to:
				t.Errorf("%s: [%d] %s became %s, want %s", test.name, id, was.Kind(), is.Kind(), test.to)
			default:
				changed++
			}
		}
		if changed == 0 {
			t.Errorf("%s: the fixture has no %s", test.name, test.from)
		}
		for id := btfinfo.ID(1); int(id) < b.NumTypes(); id++ {
			if b.Type(id).Kind() == test.from {
				t.Errorf("%s: [%d] is left", test.name, id)
			}
		}
	}
	m := newImage(o)
	m.fill(o)
	before := m.bytes()
	m.sanitize(all)
	if !slices.Equal(before, m.bytes()) {
		t.Error("a kernel that knows everything gets something else")
	}
	m.sanitize(func(f feature) bool { return f != featBTFGlobalFunc && f != featBTFEnum64 })
	b := parseImage(t, m)
	for id := btfinfo.ID(1); int(id) < b.NumTypes(); id++ {
		if typ := b.Type(id); typ.Kind() == btfinfo.KindFunc && typ.Linkage() != 0 || typ.Kind() == btfinfo.KindEnum && typ.KindFlag() {
			t.Errorf("[%d] %s %s keeps its linkage or flag", id, typ.Kind(), typ.Name())
		}
	}
}

// TestSanitizeNames: libbpf replaces a leading '?', and where there are no DATASECs at all also the dots.
func TestSanitizeNames(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		lack       feature
		name, want string
	}{
		{featBTFQmarkDatasec, "?.struct_ops", "_.struct_ops"},
		{featBTFQmarkDatasec, ".data?", ".data?"},
		{featBTFDatasec, "?.data.x", "__data_x"},
		{featBTFFloat, "?.struct_ops", "?.struct_ops"},
	} {
		b := btfbuild.New()
		v := b.Var("x", b.Int("int", 4, 1), 0)
		sec := b.Datasec(test.name, 4, btfbuild.Sec{Type: v, Size: 4})
		raw := b.Bytes(nativeOrder)
		parsed, err := btfinfo.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		m := newImage(&relocate.Object{RawBTF: raw, BTF: parsed, ByteOrder: nativeOrder})
		m.sanitize(func(f feature) bool { return f != test.lack })
		if got := parseImage(t, m).Type(btfinfo.ID(sec)).Name(); got != test.want {
			t.Errorf("%q became %q, want %q", test.name, got, test.want)
		}
	}
}

// worldKernel is a kernel with two modules.
func worldKernel(t *testing.T) *Kernel {
	t.Helper()
	fn := func(b *btfbuild.Builder, names ...string) {
		proto := b.FuncProto(0)
		for _, n := range names {
			b.Func(n, proto, 0)
		}
	}
	base := btfbuild.New()
	base.Kernelish(8)
	fn(base, "in_kernel", "bpf_lsm_file_open", "bpf_iter_task", "everywhere")
	base.Typedef("btf_trace_sched_switch", base.Ptr(base.FuncProto(0)))
	alpha := btfbuild.NewSplit(base)
	fn(alpha, "in_alpha", "in_both", "everywhere")
	alpha.Typedef("btf_trace_alpha", alpha.Ptr(alpha.FuncProto(0)))
	beta := btfbuild.NewSplit(base)
	fn(beta, "in_both", "in_beta")
	vmlinux, err := btfinfo.Parse(base.Bytes(nativeOrder))
	if err != nil {
		t.Fatal(err)
	}
	k := fakeKernel(t, nil)
	k.btf = func() (*btfinfo.BTF, error) { return vmlinux, nil }
	k.modules = func() ([]*module, error) {
		var mods []*module
		for name, b := range map[string]*btfbuild.Builder{"alpha": alpha, "beta": beta} {
			parsed, err := btfinfo.ParseSplit(b.Bytes(nativeOrder), vmlinux)
			if err != nil {
				t.Fatal(err)
			}
			mods = append(mods, &module{name: name, btf: parsed})
		}
		slices.SortFunc(mods, func(a, b *module) int { return strings.Compare(a.name, b.name) })
		return mods, nil
	}
	return k
}

func TestAttachTarget(t *testing.T) {
	t.Parallel()
	k := worldKernel(t)
	for _, test := range []struct {
		name, attach, want string // the type found and its module, or the error
	}{
		{"in_kernel", "BPF_TRACE_FENTRY", "FUNC in_kernel"},
		{"vmlinux:in_kernel", "BPF_TRACE_FENTRY", "FUNC in_kernel"},
		{"vm:in_kernel", "BPF_TRACE_FENTRY", "FUNC in_kernel"}, // strncmp with the length of what is given
		{"in_alpha", "BPF_TRACE_FEXIT", "FUNC in_alpha of alpha"},
		{"in_both", "BPF_MODIFY_RETURN", "FUNC in_both of alpha"},
		{"beta:in_both", "BPF_TRACE_FENTRY", "FUNC in_both of beta"},
		{"al:in_alpha", "BPF_TRACE_FENTRY", "FUNC in_alpha of alpha"},
		{"alpha:in_kernel", "BPF_TRACE_FENTRY", "FUNC in_kernel of alpha"}, // the BTF of a module continues the kernel's
		{"everywhere", "BPF_TRACE_FENTRY", "FUNC everywhere"},
		{"sched_switch", "BPF_TRACE_RAW_TP", "TYPEDEF btf_trace_sched_switch"},
		{"alpha", "BPF_TRACE_RAW_TP", "TYPEDEF btf_trace_alpha of alpha"},
		{"file_open", "BPF_LSM_MAC", "FUNC bpf_lsm_file_open"},
		{"file_open", "BPF_LSM_CGROUP", "FUNC bpf_lsm_file_open"},
		{"task", "BPF_TRACE_ITER", "FUNC bpf_iter_task"},
		{"beta:in_alpha", "BPF_TRACE_FENTRY", "no such process"},
		{"gamma:in_alpha", "BPF_TRACE_FENTRY", "no such process"},
		{"file_open", "BPF_TRACE_FENTRY", "no such process"},
		{"", "BPF_TRACE_FENTRY", "no such process"},
		{strings.Repeat("x", 127), "BPF_TRACE_FENTRY", "no such process"},
		{strings.Repeat("x", 128), "BPF_TRACE_FENTRY", "file name too long"},
		{strings.Repeat("x", 120), "BPF_LSM_MAC", "file name too long"},
	} {
		id, mod, err := k.attachTarget(test.name, test.attach)
		got := ""
		var p *problem
		switch {
		case errors.As(err, &p):
			got = p.errno.Error()
		case err != nil:
			t.Fatal(err)
		case mod != nil:
			got = fmt.Sprintf("%s %s of %s", mod.btf.Type(id).Kind(), mod.btf.Type(id).Name(), mod.name)
		default:
			b, _ := k.btf()
			got = fmt.Sprintf("%s %s", b.Type(id).Kind(), b.Type(id).Name())
		}
		if got != test.want {
			t.Errorf("%s %q: %s, want %s", test.attach, test.name, got, test.want)
		}
	}
}

func TestFindKsym(t *testing.T) {
	t.Parallel()
	k := worldKernel(t)
	for name, want := range map[string]string{"in_kernel": "vmlinux", "in_both": "alpha", "in_beta": "beta", "nowhere": "", "everywhere": "vmlinux"} {
		id, in, mod, err := k.findKsym(name, btfinfo.KindFunc)
		got := ""
		switch {
		case err != nil:
			t.Fatal(err)
		case id == 0:
		case mod != nil:
			got = mod.name
		default:
			got = "vmlinux"
		}
		if got != want || id != 0 && in.Type(id).Name() != name {
			t.Errorf("%s is in %q, want %q", name, got, want)
		}
	}
	k.btf = func() (*btfinfo.BTF, error) { return nil, errors.New("no BTF") }
	if _, _, _, err := k.findKsym("in_kernel", btfinfo.KindFunc); err == nil || asError(err, StageReloc).Errno != syscall.ESRCH {
		t.Errorf("without the kernel's BTF: %v", err)
	}
}
