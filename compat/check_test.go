package compat

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// function adds a FUNC without parameters.
func function(b *btfbuild.Builder, name string) {
	b.Func(name, b.FuncProto(b.Int("int", 4, btfbuild.Signed)), btfbuild.Static)
}

// bare makes a kernel of what fill builds and nothing else.
func bare(t testing.TB, name, version string, fill func(b *btfbuild.Builder)) *kernels.Kernel {
	t.Helper()
	b := btfbuild.New()
	b.Int("int", 4, btfbuild.Signed)
	if fill != nil {
		fill(b)
	}
	return kernels.New("corecheck/test/x86_64/"+name, parseVersion(t, version), parseBTF(t, b))
}

// withModule makes a kernel as synthetic does, and the BTF of one loaded module.
func withModule(t testing.TB, name, version, module string, fill func(b *btfbuild.Builder)) *kernels.Kernel {
	t.Helper()
	b := btfbuild.New()
	b.Struct("module", 8, btfbuild.Member{Name: "btf_data", Type: b.Ptr(0)})
	base := parseBTF(t, b)
	split := btfbuild.NewSplit(b)
	fill(split)
	own, err := btfinfo.ParseSplit(split.Bytes(base.ByteOrder()), base)
	if err != nil {
		t.Fatal(err)
	}
	return kernels.New("corecheck/test/x86_64/"+name, parseVersion(t, version), base, kernels.Module{Name: module, BTF: own})
}

// on lists what the rule says of a program on one kernel: verdicts, "" for none.
func on(rep *Report, code, program, kernel string) string {
	var out []string
	for _, f := range rep.Findings {
		if f.Code == code && f.Program == program && slices.ContainsFunc(f.Kernels, func(id string) bool { return strings.HasSuffix(id, "/"+kernel) }) {
			out = append(out, string(f.Verdict))
		}
	}
	return strings.Join(out, " ")
}

// What the absence of a name from vmlinux means depends on the kernel's modules and on the other kernels at hand.
func TestAbsent(t *testing.T) {
	t.Parallel()
	obj := openFixture(t, "function_missing")
	has := func(b *btfbuild.Builder) { function(b, "xfs_corecheck") }
	ks := []*kernels.Kernel{
		bare(t, "no-modules", "5.1", nil),
		bare(t, "no-module-btf", "5.2", func(b *btfbuild.Builder) { b.Struct("module", 4) }),
		synthetic(t, "modules", "5.3", nil),
		withModule(t, "seen", "5.4", "other", has),
		withModule(t, "seen-without", "5.5", "other", func(b *btfbuild.Builder) { function(b, "unrelated") }),
	}
	want := map[string]string{
		"no-modules":    "break",   // no struct module: nothing can be in a module
		"no-module-btf": "break",   // modules, but fentry asks BTF, which they don't have
		"modules":       "unknown", // a module may have it
		"seen":          "",        // a module has it
		"seen-without":  "break",   // the modules have been looked through
	}
	test := func(t *testing.T, rep *Report, want map[string]string) {
		t.Helper()
		checkReport(t, rep)
		for kernel, verdict := range want {
			if got := on(rep, "CC020", "of_any_module", kernel); got != verdict {
				t.Errorf("%s: %q, want %q", kernel, got, verdict)
			}
		}
	}
	test(t, Check([]*relocate.Object{obj}, ks, Options{}), want)

	// A kernel that has it built in, asked or only at hand, shows that it is no module's; unless another has it in one.
	builtIn := synthetic(t, "built-in", "5.6", has)
	test(t, Check([]*relocate.Object{obj}, ks, Options{Reference: []*kernels.Kernel{builtIn}}), want)
	seen := ks[3]
	ks = slices.Delete(ks, 3, 4)
	delete(want, "seen")
	test(t, Check([]*relocate.Object{obj}, ks, Options{Reference: []*kernels.Kernel{builtIn, seen}}), want)
	want["modules"] = "break"
	test(t, Check([]*relocate.Object{obj}, ks, Options{Reference: []*kernels.Kernel{builtIn}}), want)
	want["built-in"] = ""
	test(t, Check([]*relocate.Object{obj}, append(ks, builtIn), Options{}), want)

	// A target in a named module is only looked for there.
	named := []*kernels.Kernel{
		withModule(t, "right", "5.1", "nf_tables", func(b *btfbuild.Builder) { function(b, "nft_do_chain") }),
		withModule(t, "wrong", "5.2", "other", func(b *btfbuild.Builder) { function(b, "nft_do_chain") }),
		synthetic(t, "built-in", "5.3", func(b *btfbuild.Builder) { function(b, "nft_do_chain") }),
	}
	rep := Check([]*relocate.Object{obj}, named, Options{})
	for kernel, verdict := range map[string]string{"right": "", "wrong": "break", "built-in": "unknown"} {
		if got := on(rep, "CC020", "of_a_module", kernel); got != verdict {
			t.Errorf("%s: %q, want %q", kernel, got, verdict)
		}
	}
}

// What a kernel has in a module may be in that module of another kernel, wherever either was read from.
func TestInModuleElsewhere(t *testing.T) {
	t.Parallel()
	obj := openFixture(t, "function_missing")
	has := func(b *btfbuild.Builder) { function(b, "corecheck_of_no_kernel") } // which is not like the names in modules
	hasNot := func(b *btfbuild.Builder) { function(b, "unrelated") }
	partial := func(name, version, module string) *kernels.Kernel {
		k := withModule(t, name, version, module, hasNot)
		k.ModulesPartial = true
		return k
	}
	seen := withModule(t, "seen", "5.1", "other", has)
	ks := []*kernels.Kernel{synthetic(t, "modules", "5.2", nil), partial("with", "5.3", "other"), partial("without", "5.4", "another")}
	for what, rep := range map[string]*Report{
		"asked":       Check([]*relocate.Object{obj}, slices.Insert(slices.Clone(ks), 0, seen), Options{}),
		"at hand":     Check([]*relocate.Object{obj}, ks, Options{Reference: []*kernels.Kernel{seen}}),
		"one by one":  Check([]*relocate.Object{obj}, ks, Options{Reference: []*kernels.Kernel{seen}, Workers: 1}),
		"by no other": Check([]*relocate.Object{obj}, ks, Options{}),
	} {
		checkReport(t, rep)
		for kernel, want := range map[string]string{"modules": "unknown", "with": "break", "without": "unknown"} {
			if what == "by no other" {
				want = "break"
			}
			if got := on(rep, "CC020", "of_nothing", kernel); got != want {
				t.Errorf("%s: %s: %q, want %q", what, kernel, got, want)
			}
		}
	}
}

// The same for types, which libbpf looks for in modules too.
func TestAbsentType(t *testing.T) {
	t.Parallel()
	obj := openFixture(t, "type_missing")
	has := func(b *btfbuild.Builder) {
		b.Struct("xfs_corecheck", 4, btfbuild.Member{Name: "v", Type: b.Int("int", 4, btfbuild.Signed)})
	}
	ks := []*kernels.Kernel{
		bare(t, "no-modules", "5.1", nil),
		synthetic(t, "modules", "5.2", nil),
		withModule(t, "seen", "5.3", "other", has),
	}
	rep := Check([]*relocate.Object{obj}, ks, Options{})
	for kernel, want := range map[string]string{"no-modules": "break", "modules": "unknown", "seen": ""} {
		if got := on(rep, "CC002", "of_a_module", kernel); got != want {
			t.Errorf("%s: %q, want %q", kernel, got, want)
		}
	}
	// Where a kernel has it built in it is no module's, unless another has it in one.
	builtIn := synthetic(t, "built-in", "5.4", has)
	for want, list := range map[string][]*kernels.Kernel{"break": {ks[1], builtIn}, "unknown": {ks[1], ks[2], builtIn}} {
		rep = Check([]*relocate.Object{obj}, list, Options{})
		if got := on(rep, "CC002", "of_a_module", "modules"); got != want {
			t.Errorf("with a kernel that has it built in: %q, want %s", got, want)
		}
	}
}

// What is built into kernels of another line may be in modules of this one's.
func TestBuiltInElsewhere(t *testing.T) {
	t.Parallel()
	obj := openFixture(t, "type_missing")
	elsewhere := synthetic(t, "built-in", "5.4", func(b *btfbuild.Builder) {
		b.Struct("xfs_corecheck", 4, btfbuild.Member{Name: "v", Type: b.Int("int", 4, btfbuild.Signed)})
	})
	for arch, want := range map[string]string{"arm64": "unknown", "x86_64": "break"} {
		elsewhere.Arch = arch
		rep := Check([]*relocate.Object{obj}, []*kernels.Kernel{synthetic(t, "modules", "5.2", nil), elsewhere}, Options{})
		if got := on(rep, "CC002", "of_a_module", "modules"); got != want {
			t.Errorf("built in on %s: %q, want %s", arch, got, want)
		}
	}
}

// A kernel without the enums and typedefs that would answer says nothing: that is unknown, not fine and not broken.
func TestSilentKernel(t *testing.T) {
	t.Parallel()
	silent := synthetic(t, "silent", "5.1", nil)
	for _, tt := range []struct{ fixture, code, program, want string }{
		{"helper_missing", "CC030", "witness", "unknown"},
		{"map_type_missing", "CC031", "", "unknown unknown"}, // of both maps
		{"program_type_missing", "CC032", "witness", "unknown"},
		{"attach_type_missing", "CC033", "witness", "unknown"},
		{"tracepoint_missing", "CC022", "raw", "unknown"},
		{"tracepoint_missing", "CC022", "system_call", "unknown"},
		{"tracepoint_missing", "CC022", "witness", "break"}, // the load itself needs the typedef
		{"lsm_hook_missing", "CC023", "witness", "break"},   // no LSM hooks at all: built without
	} {
		rep := Check([]*relocate.Object{openFixture(t, tt.fixture)}, []*kernels.Kernel{silent}, Options{})
		checkReport(t, rep)
		if got := on(rep, tt.code, tt.program, "silent"); got != tt.want {
			t.Errorf("%s: %s in %q: %q, want %q", tt.fixture, tt.code, tt.program, got, tt.want)
		}
	}
}

// A struct_ops member of another kind or size fails the load, a missing one that is zero does not.
func TestStructOpsMembers(t *testing.T) {
	t.Parallel()
	obj := openFixture(t, "struct_ops_missing")
	ops := func(size uint32) func(b *btfbuild.Builder) {
		return func(b *btfbuild.Builder) {
			i := b.Int("int", 4, btfbuild.Signed)
			ptr, name := b.Ptr(b.FuncProto(i)), b.Array(b.Int("char", 1, btfbuild.Signed), i, size)
			id := b.Struct("tcp_congestion_ops", 40+size, btfbuild.Member{Name: "ssthresh", Type: ptr},
				btfbuild.Member{Name: "cong_avoid", Type: ptr, Off: 64}, btfbuild.Member{Name: "undo_cwnd", Type: ptr, Off: 128},
				btfbuild.Member{Name: "cwnd_event_tx_start", Type: ptr, Off: 192}, btfbuild.Member{Name: "release", Type: ptr, Off: 256},
				btfbuild.Member{Name: "name", Type: name, Off: 320})
			b.Struct("bpf_struct_ops_tcp_congestion_ops", 40+size, btfbuild.Member{Name: "data", Type: id})
		}
	}
	ks := []*kernels.Kernel{synthetic(t, "sixteen", "5.1", ops(16)), synthetic(t, "eight", "5.2", ops(8))}
	rep := Check([]*relocate.Object{obj}, ks, Options{})
	about := func(kernel, text string) bool {
		return slices.ContainsFunc(rep.Findings, func(f Finding) bool {
			return f.Need.Kind == "struct_ops" && strings.Contains(f.Message, text) && slices.Contains(f.Kernels, "corecheck/test/x86_64/"+kernel)
		})
	}
	for _, tt := range []struct {
		kernel, text string
		want         bool
	}{
		{"sixteen", ".name has another size", true}, // of the map other
		{"eight", ".name has another size", true},   // of the map congestion
		{"sixteen", ".release is INT in the object and PTR", true},
		{"sixteen", "no member of_no_kernel,", true},
		{"sixteen", "of_no_kernel_zero", false},
		{"sixteen", "no member cwnd_event_tx_start", false},
		{"sixteen", "struct_ops type sched_ext_ops", true},
	} {
		if got := about(tt.kernel, tt.text); got != tt.want {
			t.Errorf("%s: a finding with %q: %v, want %v", tt.kernel, tt.text, got, tt.want)
		}
	}
}

func TestExitCode(t *testing.T) {
	t.Parallel()
	object := func(verdicts ...Status) ObjectReport {
		var o ObjectReport
		for _, v := range verdicts {
			o.Results = append(o.Results, ObjectResult{Verdict: v})
		}
		return o
	}
	some := []KernelInfo{{ID: "k"}}
	for _, tt := range []struct {
		name  string
		rep   Report
		worst Status
		code  int
	}{
		{"nothing", Report{}, OK, 3},
		{"no kernel", Report{Objects: []ObjectReport{object()}}, OK, 3},
		{"fine", Report{Kernels: some, Objects: []ObjectReport{object(OK)}}, OK, 0},
		{"a warning is no break", Report{Kernels: some, Objects: []ObjectReport{object(OK, Warn)}}, Warn, 0},
		{"unknown", Report{Kernels: some, Objects: []ObjectReport{object(Warn, Unknown, OK)}}, Unknown, 3},
		{"break", Report{Kernels: some, Objects: []ObjectReport{object(OK), object(Unknown, Break)}}, Break, 1},
		{"unreadable beats break", Report{Kernels: some, Objects: []ObjectReport{object(Break)}, Errors: []InputError{{}}}, Break, 2},
		{"unreadable alone", Report{Errors: []InputError{{}}}, OK, 2},
	} {
		if got := tt.rep.Worst(); got != tt.worst {
			t.Errorf("%s: worst is %s, want %s", tt.name, got, tt.worst)
		}
		if got := tt.rep.ExitCode(); got != tt.code {
			t.Errorf("%s: exit code %d, want %d", tt.name, got, tt.code)
		}
	}
}

// An object is what its autoload programs are; where it has none, the loader chooses.
func TestObjectResult(t *testing.T) {
	t.Parallel()
	fine, bad := answer{load: OK, attach: OK}, answer{load: Break, attach: OK}
	attach, unsure := answer{load: OK, attach: Break}, answer{load: Unknown, attach: None}
	warned := answer{load: OK, attach: None, verdict: Warn}
	for _, tt := range []struct {
		name     string
		autoload []bool
		object   answer
		programs []answer
		load     Status
		verdict  Status
	}{
		{"nothing to load", nil, fine, nil, OK, OK},
		{"all fine", []bool{true, true}, fine, []answer{fine, fine}, OK, OK},
		{"one breaks", []bool{true, true}, fine, []answer{fine, bad}, Break, Break},
		{"one that is off breaks", []bool{true, false}, fine, []answer{fine, bad}, OK, OK},
		{"one does not attach", []bool{true, true}, fine, []answer{attach, fine}, OK, Break},
		{"one is unknown", []bool{true, true}, fine, []answer{unsure, fine}, Unknown, Unknown},
		{"break beats unknown", []bool{true, true}, fine, []answer{unsure, bad}, Break, Break},
		{"a warning", []bool{true}, fine, []answer{warned}, OK, Warn},
		{"the object breaks", []bool{true}, bad, []answer{fine}, Break, Break},
		{"the object breaks, all off", []bool{false}, bad, []answer{bad}, Break, Break},
		{"all off and fine", []bool{false, false}, fine, []answer{fine, fine}, OK, OK},
		{"all off and broken", []bool{false, false}, fine, []answer{bad, bad}, Break, Break},
		{"all off, one breaks", []bool{false, false}, fine, []answer{fine, bad}, OK, Unknown},
		{"nothing to attach", []bool{true}, answer{load: OK, attach: None}, []answer{{load: OK, attach: None}}, OK, OK},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := &relocate.Object{}
			for _, a := range tt.autoload {
				o.Programs = append(o.Programs, &relocate.Program{Sec: relocate.SecDef{Autoload: a}})
			}
			got := objectResult(o, tt.object, tt.programs)
			if got.Load != tt.load || got.Verdict != tt.verdict {
				t.Errorf("load %s, verdict %s, want %s and %s", got.Load, got.Verdict, tt.load, tt.verdict)
			}
		})
	}
}

func TestWorse(t *testing.T) {
	t.Parallel()
	order := []Status{None, OK, Warn, Unknown, Break}
	for i, a := range order {
		for j, b := range order {
			want := order[max(i, j)]
			if got := worse(a, b); got != want {
				t.Errorf("worse(%s, %s) = %s, want %s", a, b, got, want)
			}
		}
	}
}

// allFixtures are the objects of testdata/rules that are for real kernels.
func allFixtures(t testing.TB) []*relocate.Object {
	t.Helper()
	var out []*relocate.Object
	for _, r := range Rules() {
		if r.Name != "relocation_ambiguous" {
			out = append(out, openFixture(t, r.Name))
		}
	}
	return out
}

// The same input gives the same bytes, however many kernels are looked at at once.
func TestDeterministic(t *testing.T) {
	t.Parallel()
	objs, ks := allFixtures(t), embeddedKernels(t)
	var want []byte
	for _, workers := range []int{1, 2, 3, 7, 0} {
		rep := Check(objs, ks, Options{Workers: workers})
		checkReport(t, rep)
		var got bytes.Buffer
		if err := rep.WriteJSON(&got); err != nil {
			t.Fatal(err)
		}
		if err := rep.WriteTable(&got, TableOptions{Verbose: true}); err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = got.Bytes()
		} else if !bytes.Equal(got.Bytes(), want) {
			t.Errorf("%d workers give another report than 1", workers)
		}
	}
}

// What one object finds does not depend on what is checked beside it, but for the kernels' other objects' names.
func TestObjectsApart(t *testing.T) {
	t.Parallel()
	objs, ks := allFixtures(t), embeddedKernels(t)
	all := Check(objs, ks, Options{Reference: ks})
	first := 0
	for i, o := range objs {
		alone := Check([]*relocate.Object{o}, ks, Options{Reference: ks})
		n := len(alone.Findings)
		if first+n > len(all.Findings) {
			t.Fatalf("%s: %d findings alone, %d left among the others", o.Name, n, len(all.Findings)-first)
		}
		if a, b := toJSON(t, alone.Findings), toJSON(t, all.Findings[first:first+n]); a != b {
			t.Errorf("%s: findings alone\n%s\nand among others\n%s", o.Name, a, b)
		}
		if a, b := toJSON(t, alone.Objects[0].Results), toJSON(t, all.Objects[i].Results); a != b {
			t.Errorf("%s: results alone %s, among others %s", o.Name, a, b)
		}
		first += n
	}
	if first != len(all.Findings) {
		t.Errorf("%d findings alone, %d together", first, len(all.Findings))
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Lists are [] in JSON where they are empty, never null: consumers iterate over them.
func TestEmptyReport(t *testing.T) {
	t.Parallel()
	for _, rep := range []*Report{
		Check(nil, nil, Options{}),
		Check([]*relocate.Object{openFixture(t, "field_missing")}, nil, Options{Coverage: Coverage{Requested: "4.4", Missing: []string{"4.4"}}}),
		Check(nil, embeddedKernels(t)[:1], Options{}),
	} {
		checkReport(t, rep)
		if s := toJSON(t, rep); strings.Contains(s, "null") {
			t.Errorf("null in %s", s)
		}
		var buf bytes.Buffer
		if err := rep.WriteTable(&buf, TableOptions{}); err != nil {
			t.Error(err)
		}
		if len(rep.Kernels) == 0 && !strings.Contains(buf.String(), "no kernel was asked: nothing is known") {
			t.Errorf("a report without kernels does not say so:\n%s", &buf)
		}
		if len(rep.Kernels) == 0 && rep.ExitCode() != 3 {
			t.Errorf("exit code %d without kernels", rep.ExitCode())
		}
	}
	if s := toJSON(t, ListNeeds(nil)); strings.Contains(s, "null") {
		t.Errorf("null in %s", s)
	}
}

// Errors keep their file and their hint, and a kernel that can't be read does not hide the others.
func TestErrors(t *testing.T) {
	t.Parallel()
	rep := &Report{}
	rep.AddError(&btfinfo.Error{File: "a.o", Section: ".BTF", Off: 0x18, Msg: "need 16 bytes, have 4", Hint: "the file is cut off"})
	rep.AddError(fmt.Errorf("reading: %w", &btfinfo.Error{File: "b.o", Off: -1, Msg: "is empty"}))
	rep.AddError(errors.New("plain"))
	want := []InputError{
		{File: "a.o", Message: "a.o: .BTF: at 0x18: need 16 bytes, have 4", Hint: "the file is cut off"},
		{File: "b.o", Message: "reading: b.o: is empty"},
		{Message: "plain"},
	}
	if !slices.Equal(rep.Errors, want) {
		t.Errorf("got  %+v\nwant %+v", rep.Errors, want)
	}
}

// An object without a license loads nothing that asks for the GPL; that is said, since no rule can tell what does.
func TestNotCheckedLicense(t *testing.T) {
	t.Parallel()
	for license, want := range map[string]bool{"": true, "Apache-2.0": true, "GPL": false, "Dual BSD/GPL": false} {
		said := slices.ContainsFunc(notChecked([]*relocate.Object{{License: license}}), func(s string) bool {
			return strings.HasPrefix(s, "1 object has no license")
		})
		if said != want {
			t.Errorf("license %q: said %v, want %v", license, said, want)
		}
	}
}

// A traced function may have no place for a trampoline, which BTF does not tell either.
func TestNotCheckedFunctions(t *testing.T) {
	t.Parallel()
	o := &relocate.Object{License: "GPL"}
	for _, section := range []string{"kprobe/f", "fentry/f", "ksyscall/f", "tp_btf/f"} {
		o.Programs = append(o.Programs, &relocate.Program{Sec: relocate.ParseSection(section)})
	}
	if got := notChecked([]*relocate.Object{o})[0]; !strings.HasPrefix(got, "3 targets of kprobe and fentry programs") {
		t.Errorf("said first: %q", got)
	}
}

// The function of a system call is compiled where its table does not have the call, too.
func TestGenericSyscalls(t *testing.T) {
	t.Parallel()
	kernel := func(arch, prefix string) *kernels.Kernel {
		k := synthetic(t, arch, "6.12", func(b *btfbuild.Builder) {
			enums(b)
			b.Struct("syscall_trace_enter", 8)
			proto := b.FuncProto(0)
			b.Func(prefix+"open", proto, 1)
			b.Func(prefix+"openat", proto, 1)
		})
		k.ID, k.Arch = "corecheck/test/"+arch+"/k", arch
		return k
	}
	arm64, x86 := kernel("arm64", "__arm64_sys_"), kernel("x86_64", "__x64_sys_")
	obj := openFixture(t, "tracepoint_missing")
	p := *obj.Programs[0]
	for name, want := range map[string][2]Status{"sys_enter_open": {Break, OK}, "sys_exit_open": {Break, OK}, "sys_enter_openat": {OK, OK}} {
		p.Sec.Hook, p.Sec.Func, p.Sec.Target = relocate.HookTracepoint, name, "syscalls/"+name
		obj.Programs = []*relocate.Program{&p}
		for i, k := range []*kernels.Kernel{arm64, x86} {
			got := OK
			for _, f := range Check([]*relocate.Object{obj}, []*kernels.Kernel{k}, Options{}).Findings {
				if f.Code == "CC022" {
					got = worse(got, f.Verdict)
				}
			}
			if got != want[i] {
				t.Errorf("%s on %s: %s, want %s", name, k.Arch, got, want[i])
			}
		}
	}
}
