package load

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// Parts of instructions, with the names of include/uapi/linux/bpf.h of Linux v6.12.
const (
	codeCall        = 0x85 // BPF_JMP | BPF_CALL
	codeLdImm64     = 0x18 // BPF_LD | BPF_IMM | BPF_DW
	pseudoMapFD     = 1    // BPF_PSEUDO_MAP_FD
	pseudoMapValue  = 2    // BPF_PSEUDO_MAP_VALUE
	pseudoBTFID     = 3    // BPF_PSEUDO_BTF_ID
	pseudoFunc      = 4    // BPF_PSEUDO_FUNC
	pseudoKfuncCall = 2    // BPF_PSEUDO_KFUNC_CALL

	helperProbeRead          = 4   // BPF_FUNC_probe_read
	helperProbeReadStr       = 45  // BPF_FUNC_probe_read_str
	helperProbeReadUser      = 112 // BPF_FUNC_probe_read_user
	helperProbeReadKernel    = 113 // BPF_FUNC_probe_read_kernel
	helperProbeReadUserStr   = 114 // BPF_FUNC_probe_read_user_str
	helperProbeReadKernelStr = 115 // BPF_FUNC_probe_read_kernel_str

	progSleepable = 1 << 4 // BPF_F_SLEEPABLE
	progXDPFrags  = 1 << 5 // BPF_F_XDP_HAS_FRAGS
)

// Numbers of helpers that calls have which stand where libbpf v1.7 has nothing to call or to point to. The verifier refuses
// them where they are reached: "invalid func unknown#2002000003". relocate.PoisonHelper is that of a CO-RE record.
const (
	// PoisonMap stands for a map that is not created, with its index in Object.Maps added: POISON_LDIMM64_MAP_BASE.
	PoisonMap = 2001000000
	// PoisonKfunc stands for a weak kfunc that the kernel lacks, with its index in Object.Externs added: POISON_CALL_KFUNC_BASE.
	PoisonKfunc = 2002000000
)

// plan is an object made ready for a kernel: everything but file descriptors.
type plan struct {
	o     *relocate.Object
	k     *Kernel
	opt   Options
	progs []*progPlan // those that are loaded, in the order of the object
	maps  []*mapPlan  // all, in the order of the object
	mapOf map[*relocate.Map]*mapPlan
	image *btfImage // nil where the object has no BTF
	notes []string

	selected map[*relocate.Program]bool
	externs  map[*relocate.Extern]*externValue
	kconfig  []byte
	kmods    []*module // whose functions are called, in the order of fd_array, from index 1 on
	patched  map[*relocate.Func][]relocate.Insn
	ops      map[*relocate.Program]*opsTarget
}

// externValue is what a ksym or kfunc stands for.
type externValue struct {
	set  bool
	addr uint64     // untyped ksym
	id   btfinfo.ID // typed ksym, kfunc
	mod  *module    // that has id, nil: the kernel itself
	fd   int        // kfunc: index in fd_array
}

// progPlan is one program made ready.
type progPlan struct {
	*relocate.Program
	sec    relocate.SecDef
	insns  []relocate.Insn
	fixups []fixup
	// funcInfo and lineInfo are records for the kernel: of .BTF.ext, placed where the functions came to be.
	funcInfo, lineInfo []byte

	progType, attachType, flags uint32
	btfID                       btfinfo.ID
	mod                         *module // that has btfID
}

// fixup is an instruction that gets a file descriptor: of a map, or in its second half of a module's BTF.
type fixup struct {
	insn int
	m    *mapPlan
	mod  *module
}

// prepare does what bpf_object_prepare of libbpf v1.7 does before it first asks the kernel for something, in its order.
// Errors are *Error values.
func prepare(o *relocate.Object, k *Kernel, opt Options) (*plan, error) {
	p := &plan{
		o: o, k: k, opt: opt, mapOf: map[*relocate.Map]*mapPlan{}, selected: map[*relocate.Program]bool{},
		externs: map[*relocate.Extern]*externValue{}, patched: map[*relocate.Func][]relocate.Insn{}, ops: map[*relocate.Program]*opsTarget{},
	}
	if err := p.open(); err != nil {
		return nil, err
	}
	if err := p.selectPrograms(); err != nil {
		return nil, err
	}
	p.planMaps()
	if err := p.needBTF(); err != nil {
		return nil, err
	}
	if o.BTF != nil {
		p.image = newImage(o)
		p.image.fill(o)
	}
	for _, step := range []func() error{p.resolveExterns, p.resolveStructOps, p.relocateCore, p.link} {
		if err := step(); err != nil {
			return nil, asError(err, StageReloc)
		}
	}
	return p, nil
}

// asError makes an *Error of a problem.
func asError(err error, stage Stage) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	e = &Error{Stage: stage, Msg: err.Error()}
	var p *problem
	if errors.As(err, &p) {
		e.Errno = p.errno
	}
	return e
}

// open says why libbpf would not have opened the object.
func (p *plan) open() error {
	if len(p.o.Refused) > 0 {
		return &Error{Stage: StageOpen, Errno: syscall.ENOTSUP, Msg: "libbpf refuses the object: " + strings.Join(p.o.Refused, "; ")}
	}
	if p.o.ByteOrder.String() != nativeOrder.String() {
		// LIBBPF_ERRNO__ENDIAN is none of the system's numbers.
		return &Error{Stage: StageOpen, Msg: fmt.Sprintf("the object is of the other byte order (%s)", p.o.ByteOrder)}
	}
	return nil
}

// selectPrograms tells which programs are loaded.
func (p *plan) selectPrograms() error {
	for _, prog := range p.o.Programs {
		p.selected[prog] = p.opt.Programs == nil && prog.Sec.Autoload
	}
	for _, name := range p.opt.Programs {
		i := slices.IndexFunc(p.o.Programs, func(prog *relocate.Program) bool { return prog.Name == name })
		if i < 0 {
			return &Error{Stage: StageOpen, Program: name, Errno: syscall.ENOENT, Msg: "the object has no such program"}
		}
		p.selected[p.o.Programs[i]] = true
	}
	return nil
}

// needBTF reads the kernel's BTF where libbpf does, and fails where it does: bpf_object__load_vmlinux_btf and
// obj_needs_vmlinux_btf of v1.7.
func (p *plan) needBTF() error {
	needs := len(p.o.Relos) > 0 ||
		slices.ContainsFunc(p.o.Externs, func(e *relocate.Extern) bool { return e.Kind != relocate.ExternKconfig && e.Type != 0 }) ||
		slices.ContainsFunc(p.o.Maps, func(m *relocate.Map) bool { return m.StructOps != "" }) ||
		slices.ContainsFunc(p.o.Programs, func(prog *relocate.Program) bool {
			t := prog.Sec.ProgType
			return p.selected[prog] && (t == "BPF_PROG_TYPE_STRUCT_OPS" || t == "BPF_PROG_TYPE_LSM" || t == "BPF_PROG_TYPE_TRACING")
		})
	if !needs {
		return nil
	}
	if _, err := p.k.btf(); err != nil {
		return &Error{Stage: StageBTF, Errno: syscall.ESRCH, Msg: fmt.Sprintf("the kernel's BTF can't be read: %v", err), Cause: err}
	}
	return nil
}

// resolveExterns is bpf_object__resolve_externs of libbpf v1.7.
func (p *plan) resolveExterns() error {
	config, value, err := kconfigValues(p.o)
	if err != nil {
		return asError(err, StageOpen)
	}
	p.kconfig = value
	byName := map[string]*kconfigValue{}
	needConfig := false
	for i, e := range p.o.Externs { // externs in .kconfig come first
		if e.Kind != relocate.ExternKconfig {
			break
		}
		v := config[i]
		byName[e.Name] = v
		var n uint64
		switch {
		case strings.HasPrefix(e.Name, "CONFIG_"):
			needConfig = true
			continue
		case e.Name == "LINUX_KERNEL_VERSION":
			if n = uint64(p.k.Version); n == 0 {
				return problemf(syscall.EINVAL, "extern LINUX_KERNEL_VERSION: release %q and version %q of the kernel don't tell it", p.k.Release, p.k.Build)
			}
		case e.Name == "LINUX_HAS_BPF_COOKIE":
			n = number01(p.k.has(featCookie))
		case e.Name == "LINUX_HAS_SYSCALL_WRAPPER":
			n = number01(p.k.has(featSyscallWrapper))
		case !strings.HasPrefix(e.Name, "LINUX_") || !e.Weak:
			return problemf(syscall.EINVAL, "extern %s: there is no such value", e.Name)
		}
		if err := v.setNumber(n); err != nil {
			return err
		}
	}
	if needConfig {
		text, err := p.k.config()
		if err != nil {
			return problemf(syscall.EINVAL, "the kernel's configuration can't be read: %v", err)
		}
		if err := scanConfig(text, byName); err != nil {
			return problemf(syscall.EINVAL, "%v", err)
		}
	}
	for _, resolve := range []func(*relocate.Extern) error{p.resolveKsym, p.resolveTyped} {
		for _, e := range p.o.Externs {
			if e.Kind == relocate.ExternKconfig {
				continue
			}
			if err := resolve(e); err != nil {
				return problemf(syscall.EINVAL, "%v", err)
			}
		}
	}
	for i, e := range p.o.Externs {
		set := i < len(config) && config[i].set || p.externs[e] != nil && p.externs[e].set
		if !set && !e.Weak {
			return problemf(syscall.ESRCH, "extern %s %s is not there, and is not weak", e.Kind, e.Name)
		}
	}
	return nil
}

func number01(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// resolveKsym looks an untyped ksym up in /proc/kallsyms: kallsyms_cb of libbpf v1.7.
func (p *plan) resolveKsym(e *relocate.Extern) error {
	if e.Type != 0 {
		return nil
	}
	v := &externValue{}
	p.externs[e] = v
	var ambiguous error
	err := p.k.symbol(e.Name, func(addr uint64, kind byte, whole string) bool {
		if whole != e.Name && kind != 'd' {
			return true
		}
		if v.set && v.addr != addr {
			ambiguous = fmt.Errorf("ksym %s is ambiguous: it is at %#x and at %#x", e.Name, v.addr, addr)
		}
		v.set, v.addr = true, addr
		return ambiguous == nil
	})
	if err != nil {
		return fmt.Errorf("/proc/kallsyms can't be read: %w", err)
	}
	return ambiguous
}

// resolveTyped looks typed ksyms and kfuncs up in BTF: bpf_object__resolve_ksym_var_btf_id and
// bpf_object__resolve_ksym_func_btf_id of libbpf v1.7.
func (p *plan) resolveTyped(e *relocate.Extern) error {
	if e.Type == 0 {
		return nil
	}
	v := &externValue{}
	p.externs[e] = v
	name, kind := e.Name, btfinfo.KindVar
	if e.Kind == relocate.ExternKfunc {
		name, kind = btfinfo.EssentialName(e.Name), btfinfo.KindFunc
	}
	id, in, mod, err := p.k.findKsym(name, kind)
	if err != nil {
		return err
	}
	if id == 0 {
		if e.Weak {
			return nil
		}
		return fmt.Errorf("%s %s is neither in the kernel's BTF nor in that of a module", e.Kind, e.Name)
	}
	target := in.Type(id).Ref()
	if e.Kind == relocate.ExternKsym {
		target = in.Skip(target).ID()
	}
	if !relocate.TypesCompatible(p.o.BTF, e.Type, in, target) {
		if e.Kind == relocate.ExternKfunc && e.Weak {
			return nil
		}
		return fmt.Errorf("%s %s has another type in the kernel", e.Kind, e.Name)
	}
	v.set, v.id, v.mod = true, id, mod
	if e.Kind == relocate.ExternKfunc && mod != nil {
		i := slices.Index(p.kmods, mod)
		if i < 0 {
			i = len(p.kmods)
			p.kmods = append(p.kmods, mod)
		}
		v.fd = i + 1 // an offset of 0 means the kernel itself
	}
	return nil
}

// relocateCore patches the instructions of all programs that are loaded, and of all subprograms:
// bpf_object__relocate_core of libbpf v1.7, with package relocate in place of relo_core.c.
func (p *plan) relocateCore() error {
	if len(p.o.Relos) == 0 {
		return nil
	}
	vmlinux, err := p.k.btf()
	if err != nil {
		return err
	}
	entry := map[*relocate.Func]*relocate.Program{}
	for _, prog := range p.o.Programs {
		entry[prog.Entry] = prog
	}
	var modErr error
	r := relocate.NewResolver(p.o, &relocate.Target{
		Vmlinux: vmlinux,
		ModuleTypes: func(name string, yield func(string, btfinfo.Type) bool) {
			mods, err := p.k.modules()
			if err != nil {
				modErr = err
			}
			for _, m := range mods {
				more := true
				m.btf.OwnEssential(name, func(t btfinfo.Type) bool {
					more = yield(m.name, t)
					return more
				})
				if !more {
					return
				}
			}
		},
	})
	for _, relo := range p.o.Relos {
		f := relo.Func
		if f == nil || entry[f] != nil && !p.selected[entry[f]] {
			continue
		}
		res := r.Resolve(relo)
		if modErr != nil {
			return problemf(syscall.EINVAL, "the BTF of modules can't be read: %v", modErr)
		}
		if res.Outcome == relocate.Ambiguous || res.Outcome == relocate.Fatal {
			e := &Error{Stage: StageReloc, Errno: reloErrno(res.Reason)}
			if entry[f] != nil {
				e.Program = f.Name
			}
			e.Msg = fmt.Sprintf("record %d, %s of type [%d] with path %s: %s", relo.Index, relo.Kind, relo.Type, relo.Access, res.Explain().Detail)
			return e
		}
		res.Patch(p.insnsOf(f))
	}
	return nil
}

// reloErrno is the number that libbpf v1.7 has for a record that it fails on: relo_core.c.
func reloErrno(r relocate.Reason) syscall.Errno {
	switch r {
	case relocate.ReasonRange:
		return syscall.ERANGE
	case relocate.ReasonBitfield:
		return syscall.E2BIG
	}
	return syscall.EINVAL
}

// insnsOf returns the instructions of a function that records are written to.
func (p *plan) insnsOf(f *relocate.Func) []relocate.Insn {
	insns, ok := p.patched[f]
	if !ok {
		insns = slices.Clone(f.Insns)
		p.patched[f] = insns
	}
	return insns
}

// link puts programs and the subprograms that they reach together, and tells what each is for: bpf_object__relocate_calls,
// bpf_object__relocate_data and libbpf_prepare_prog_load of libbpf v1.7.
func (p *plan) link() error {
	for _, prog := range p.o.Programs {
		if !p.selected[prog] {
			continue
		}
		pp := &progPlan{Program: prog, sec: prog.Sec}
		funcs, err := p.funcs(prog)
		if err != nil {
			return err
		}
		if err := p.join(pp, funcs); err != nil {
			return err
		}
		p.fixContextArgs(pp)
		p.progs = append(p.progs, pp)
	}
	return nil
}

// funcs are the functions of a program in the order in which libbpf appends them: what is reached by calls, and the
// callback that a tag "exception_callback:NAME" names (bpf_prog_assign_exc_cb of libbpf v1.7).
func (p *plan) funcs(prog *relocate.Program) ([]*relocate.Func, error) {
	const tag = "exception_callback:"
	funcs, b := prog.Funcs, p.o.BTF
	if b == nil || !bytes.Contains(p.o.RawBTF, []byte(tag)) || !p.k.has(featBTFDeclTag) {
		return funcs, nil
	}
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		t := b.Type(id)
		name, ok := strings.CutPrefix(t.Name(), tag)
		if !ok || t.Kind() != btfinfo.KindDeclTag || t.Component() != -1 || b.Type(t.Ref()).Name() != prog.Name {
			continue
		}
		i := slices.IndexFunc(p.o.Funcs, func(f *relocate.Func) bool { return f.Name == name && f.Section == ".text" })
		if i < 0 {
			return nil, &Error{Stage: StageReloc, Program: prog.Name, Errno: syscall.ENOENT, Msg: fmt.Sprintf("exception callback %q is not there", name)}
		}
		callback := p.o.Funcs[i]
		if callback.Static || callback.Hidden {
			return nil, &Error{Stage: StageReloc, Program: prog.Name, Errno: syscall.EINVAL, Msg: fmt.Sprintf("exception callback %s is no global function", name)}
		}
		funcs = slices.Clone(funcs)
		for todo := []*relocate.Func{callback}; len(todo) > 0; {
			f := todo[0]
			todo = todo[1:]
			if slices.Contains(funcs, f) {
				continue
			}
			funcs = append(funcs, f)
			var calls []*relocate.Func
			for _, c := range f.Calls {
				calls = append(calls, c.To)
			}
			todo = append(calls, todo...)
		}
		break
	}
	return funcs, nil
}

// join lays functions one behind the other and makes calls, maps and externs point to where they are.
func (p *plan) join(pp *progPlan, funcs []*relocate.Func) error {
	base, total := make(map[*relocate.Func]int, len(funcs)), 0
	for _, f := range funcs {
		base[f] = total
		total += len(f.Insns)
	}
	pp.insns = make([]relocate.Insn, 0, total)
	for _, f := range funcs {
		insns := f.Insns
		if patched, ok := p.patched[f]; ok {
			insns = patched
		}
		at := len(pp.insns)
		pp.insns = append(pp.insns, insns...)
		mine := pp.insns[at:]
		if err := whole(pp, f); err != nil {
			return err
		}
		for _, c := range f.Calls {
			in := &mine[c.Insn]
			if c.Ref {
				in.Src = pseudoFunc
			}
			in.Imm = int32(base[c.To] - (at + c.Insn) - 1)
		}
		for _, r := range f.MapRefs {
			p.pointToMap(pp, at+r.Insn, p.mapOf[r.Map], r.Value, r.Off)
		}
		for _, r := range f.Kfuncs {
			p.pointToExtern(pp, at+r.Insn, r.Extern)
		}
		p.replaceHelpers(mine)
		for _, info := range []struct {
			what string
			to   *[]byte
			from []byte
			size int
		}{
			{"function", &pp.funcInfo, f.FuncInfo, p.o.FuncInfoSize},
			{"line", &pp.lineInfo, f.LineInfo, p.o.LineInfoSize},
		} {
			// Where the program itself has none, libbpf leaves it away; where only a subprogram has none, it fails
			// (reloc_prog_func_and_line_info).
			switch {
			case at > 0 && len(*info.to) == 0:
			case at > 0 && len(info.from) == 0:
				return &Error{Stage: StageReloc, Program: pp.Name, Errno: syscall.ENOENT,
					Msg: fmt.Sprintf("subprogram %s has no %s info in .BTF.ext, the program has", f.Name, info.what)}
			default:
				*info.to = p.appendInfo(*info.to, f, info.from, info.size, at)
			}
		}
	}
	return nil
}

// whole tells what can't be linked: an ldimm64 of which the function has only the first half, and a call of a value. No
// compiler makes them.
func whole(pp *progPlan, f *relocate.Func) error {
	cut := func(i int) bool { return f.Insns[i].Code == codeLdImm64 && i+1 >= len(f.Insns) }
	bad := slices.ContainsFunc(f.Calls, func(c relocate.Call) bool { return cut(c.Insn) }) ||
		slices.ContainsFunc(f.MapRefs, func(r relocate.MapRef) bool { return cut(r.Insn) }) ||
		slices.ContainsFunc(f.Kfuncs, func(r relocate.Ref) bool {
			return cut(r.Insn) || r.Extern.Kind == relocate.ExternKconfig && f.Insns[r.Insn].Code == codeCall
		})
	if !bad {
		return nil
	}
	return &Error{Stage: StageReloc, Program: pp.Name, Errno: syscall.EINVAL,
		Msg: fmt.Sprintf("function %s has a relocation on an instruction that can't take it", f.Name)}
}

// appendInfo appends records of .BTF.ext of a function that was placed at an instruction: the kernel counts instructions
// of the program, .BTF.ext bytes of the section.
func (p *plan) appendInfo(to []byte, f *relocate.Func, info []byte, size, at int) []byte {
	start := len(to)
	to = append(to, info...)
	for rec := to[start:]; len(rec) > 0; rec = rec[size:] {
		p.o.ByteOrder.PutUint32(rec, (p.o.ByteOrder.Uint32(rec)-f.Off)/8+uint32(at))
	}
	return to
}

// pointToMap makes an ldimm64 point to a map, or with value to a place in its value: RELO_LD64 and RELO_DATA of
// bpf_object__relocate_data.
func (p *plan) pointToMap(pp *progPlan, i int, m *mapPlan, value bool, off uint32) {
	if !m.create { // poison_map_ldimm64
		poison := relocate.Insn{Code: codeCall, Imm: PoisonMap + int32(m.index)}
		pp.insns[i], pp.insns[i+1] = poison, poison
		return
	}
	pp.insns[i].Src = pseudoMapFD
	if value {
		pp.insns[i].Src = pseudoMapValue
		pp.insns[i+1].Imm = int32(off)
	}
	pp.fixups = append(pp.fixups, fixup{insn: i, m: m})
}

// pointToExtern makes an instruction use an extern: RELO_EXTERN_LD64 and RELO_EXTERN_CALL of bpf_object__relocate_data.
func (p *plan) pointToExtern(pp *progPlan, i int, e *relocate.Extern) {
	in := &pp.insns[i]
	if e.Kind == relocate.ExternKconfig {
		for _, m := range p.maps {
			if m.Section == ".kconfig" {
				p.pointToMap(pp, i, m, true, e.Off)
			}
		}
		return
	}
	v := p.externs[e]
	switch {
	case in.Code == codeCall && v.set:
		in.Src, in.Imm, in.Off = pseudoKfuncCall, int32(v.id), int16(v.fd)
	case in.Code == codeCall: // poison_kfunc_call
		*in = relocate.Insn{Code: codeCall, Imm: PoisonKfunc + int32(slices.Index(p.o.Externs, e))}
	case e.Type != 0 && v.set:
		in.Src, in.Imm = pseudoBTFID, int32(v.id)
		pp.insns[i+1].Imm = 0
		if v.mod != nil {
			pp.fixups = append(pp.fixups, fixup{insn: i, mod: v.mod})
		}
	default:
		in.Imm, pp.insns[i+1].Imm = int32(v.addr), int32(v.addr>>32)
	}
}

// replaceHelpers replaces helpers that kernels before 5.5 lack: bpf_object__sanitize_prog of libbpf v1.7.
func (p *plan) replaceHelpers(insns []relocate.Insn) {
	for i := 0; i < len(insns); i++ {
		in := &insns[i]
		if in.Code == codeLdImm64 {
			i++ // its second half is no instruction
			continue
		}
		if in.Code != codeCall || in.Src != 0 || in.Dst != 0 {
			continue
		}
		switch in.Imm {
		case helperProbeReadKernel, helperProbeReadUser:
			if !p.k.has(featProbeReadKernel) {
				in.Imm = helperProbeRead
			}
		case helperProbeReadKernelStr, helperProbeReadUserStr:
			if !p.k.has(featProbeReadKernel) {
				in.Imm = helperProbeReadStr
			}
		}
	}
}

// target tells what a program is for and finds what it is attached to in BTF: libbpf_prepare_prog_load of libbpf v1.7, and
// the tests at the start of bpf_object_load_prog. Unlike the steps before it fails for one program, when its turn comes.
func (p *plan) target(pp *progPlan) error {
	fail := func(stage Stage, errno syscall.Errno, cause error, format string, args ...any) error {
		return &Error{Stage: stage, Program: pp.Name, Errno: errno, Cause: cause, Msg: fmt.Sprintf(format, args...)}
	}
	sec := &pp.sec
	if sec.ProgType == "" {
		return fail(StageLoad, syscall.EINVAL, ErrNeedsTarget, "the section %q tells no type of program", pp.Section)
	}
	var ok bool
	if pp.progType, ok = relocate.ProgTypeNumber(sec.ProgType); !ok {
		return fail(StageLoad, syscall.EINVAL, nil, "%s has no number here", sec.ProgType)
	}
	if sec.AttachType != "" {
		if pp.attachType, ok = relocate.AttachTypeNumber(sec.AttachType); !ok {
			return fail(StageLoad, syscall.EINVAL, nil, "%s has no number here", sec.AttachType)
		}
	}
	if sec.ProgType == "BPF_PROG_TYPE_STRUCT_OPS" {
		t := p.ops[pp.Program]
		if t == nil {
			return fail(StageLoad, syscall.EINVAL, nil, "no struct_ops map that is created refers to it")
		}
		pp.btfID, pp.mod, pp.attachType = t.id, t.mod, t.member
	}
	if sec.AttachTypeOpt && pp.attachType != 0 && !p.k.has(featExpAttachType) {
		pp.attachType = 0
	}
	if sec.Sleepable {
		pp.flags |= progSleepable
	}
	if sec.XDPFrags {
		pp.flags |= progXDPFrags
	}
	if (sec.Name == "usdt" || sec.Name == "usdt.s") && p.k.has(featUprobeMulti) {
		pp.attachType, _ = relocate.AttachTypeNumber("BPF_TRACE_UPROBE_MULTI")
	}
	if name, ok := p.opt.Targets[pp.Name]; ok {
		set := relocate.ParseSection(sec.Name + "/" + name)
		if set.Name != sec.Name || set.Target == "" {
			return fail(StageReloc, syscall.EINVAL, nil, "the section %q takes no target, %q was given", pp.Section, name)
		}
		set.Autoload = sec.Autoload
		*sec = set
	}
	if !sec.NeedsBTFID {
		return nil
	}
	switch {
	case sec.ProgType == "BPF_PROG_TYPE_EXT":
		return fail(StageReloc, syscall.EINVAL, ErrNeedsTarget, "it replaces a function of another program, which only the loading program knows")
	case sec.Target == "" && strings.Contains(pp.Section, "/"):
		return fail(StageReloc, syscall.ESRCH, ErrNeedsTarget, "the section %q does not say to what it is attached", pp.Section)
	case sec.Target == "":
		return fail(StageReloc, syscall.EINVAL, ErrNeedsTarget, "the section %q does not say to what it is attached", pp.Section)
	}
	var err error
	if pp.btfID, pp.mod, err = p.k.attachTarget(sec.Target, sec.AttachType); err != nil {
		e := asError(err, StageReloc)
		e.Program = pp.Name
		return e
	}
	return nil
}
