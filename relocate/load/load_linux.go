package load

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"
	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// Host returns the running kernel.
func Host() (*Kernel, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, fmt.Errorf("the running kernel does not tell its release: %w", err)
	}
	text := func(b []byte) string { return unix.ByteSliceToString(b) }
	openBTF := func() (*btfinfo.BTF, error) {
		f, err := btfinfo.OpenSystem()
		if err != nil {
			return nil, err
		}
		return f.BTF, nil
	}
	k := newKernel("/", text(u.Release[:]), text(u.Version[:]), text(u.Machine[:]), openBTF, loadedModules, probe)
	k.loads = sync.OnceValue(func() unix.Errno { return bareLoad(k) })
	return k, nil
}

// loadedModules reads the BTF of the modules that are loaded, in the order of the ids of their BTF objects: load_module_btfs
// of libbpf v1.7.
func loadedModules(base *btfinfo.BTF) ([]*module, error) {
	files, errs := btfinfo.OpenSystemModules(base)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	if len(files) == 0 { // spares the system calls, of which kernels before 5.11 lack some
		return nil, nil
	}
	byName := map[string]*btfinfo.BTF{}
	for _, f := range files {
		byName[f.Module] = f.BTF
	}
	var mods []*module
	it := new(btf.HandleIterator)
	for it.Next() {
		info, err := it.Handle.Info()
		if err != nil {
			_ = it.Handle.Close()
			return nil, err
		}
		if b := byName[info.Name]; info.IsModule() && b != nil {
			mods = append(mods, &module{name: info.Name, id: uint32(info.ID), btf: b})
		}
	}
	if err := it.Err(); err != nil && !errors.Is(err, unix.EPERM) { // without the privilege libbpf does without modules
		return nil, err
	}
	return mods, nil
}

// bareLoad gives the process memory for maps and programs, and loads a program that does nothing: bump_rlimit_memlock and
// bpf_object__probe_loading of libbpf v1.7.
func bareLoad(k *Kernel) unix.Errno {
	if !k.has(featMemcg) {
		_ = unix.Setrlimit(unix.RLIMIT_MEMLOCK, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY})
	}
	for _, t := range []uint32{progSocketFilter, progTracepoint} {
		fd, errno := openProgram(&progLoadAttr{progType: t}, insnZero, insnExit)
		if try(fd, errno) || t == progTracepoint {
			return errno
		}
	}
	return 0
}

// loader is a load that is going on.
type loader struct {
	*plan
	session *Session
	l       *Loaded
	btf     *btf.Handle // of the object, nil where the kernel got none; the session's
	modules map[*module]*btf.Handle
	fds     []int32 // fd_array, nil where no function of a module is called
	// fresh are maps that were made now, and that the session gets once they have what they begin with.
	fresh map[*mapPlan]mapCreateAttr
}

// Session loads one object several times, as for each of its programs alone. Maps that are the same each time, and the
// object's BTF, are made once: what is asked of a kernel stays the same, and maps of 100,000 elements take longer than the
// programs. A map that programs were attached to in between may have elements from then.
type Session struct {
	obj  *relocate.Object
	k    *Kernel
	btf  *btf.Handle
	raw  []byte // what btf was made of
	maps map[*relocate.Map]sessionMap
}

// sessionMap is a map of a session, and what it was made of.
type sessionMap struct {
	attr    mapCreateAttr // without file descriptors
	content []byte
	made    *ebpf.Map
}

// NewSession returns a session that has loaded nothing yet.
func NewSession(obj *relocate.Object, k *Kernel) *Session {
	return &Session{obj: obj, k: k, maps: map[*relocate.Map]sessionMap{}}
}

// Close gives back what the session holds. What it loaded is closed by itself, before or after.
func (s *Session) Close() error {
	errs := []error{s.btf.Close()}
	s.btf = nil
	for _, m := range s.maps {
		errs = append(errs, m.made.Close())
	}
	clear(s.maps)
	return errors.Join(errs...)
}

// Load prepares an object for a kernel, which must be the running one, and loads it: bpf_object__load of libbpf v1.7.
//
// Errors are *Error values. Nothing of the object is left in the kernel then.
func Load(obj *relocate.Object, k *Kernel, opt Options) (*Loaded, error) {
	s := NewSession(obj, k)
	defer s.Close()
	return s.Load(opt)
}

// Load is the function of that name, for the session's object.
func (s *Session) Load(opt Options) (*Loaded, error) {
	obj, k := s.obj, s.k
	if k.loads == nil {
		return nil, &Error{Stage: StageOpen, Errno: unix.EINVAL, Msg: "only the running kernel can be loaded into"}
	}
	if errno := k.loads(); errno != 0 {
		return nil, &Error{Stage: StageOpen, Errno: errno, Msg: "the kernel does not even take a program that does nothing: root, or CAP_BPF, is needed"}
	}
	p, err := prepare(obj, k, opt)
	if err != nil {
		return nil, err
	}
	x := &loader{
		plan: p, session: s, modules: map[*module]*btf.Handle{}, fresh: map[*mapPlan]mapCreateAttr{},
		l: &Loaded{Object: obj, Kernel: k, progs: map[string]*Program{}, maps: map[string]*ebpf.Map{}, ops: map[string][]byte{}},
	}
	defer x.close()
	for _, step := range []func() error{x.loadBTF, x.openModules, x.createMaps, x.loadPrograms, x.fillProgArrays, x.fillOps} {
		if err := step(); err != nil {
			_ = x.l.Close()
			return nil, err
		}
	}
	x.l.notes = p.notes
	return x.l, nil
}

// close gives back what is only needed while an object is loaded.
func (x *loader) close() {
	for _, h := range x.modules {
		_ = h.Close()
	}
}

// loadBTF is bpf_object__sanitize_and_load_btf: objects load without their BTF where the kernel does not take it, unless they
// have struct_ops maps.
func (x *loader) loadBTF() error {
	if x.image == nil {
		return nil
	}
	mandatory := false
	for _, m := range x.o.Maps {
		mandatory = mandatory || m.StructOps != ""
	}
	if !x.k.has(featBTF) {
		if mandatory {
			return &Error{Stage: StageBTF, Errno: unix.EOPNOTSUPP, Msg: "the kernel takes no BTF"}
		}
		return nil
	}
	x.image.sanitize(x.k.has)
	raw := x.image.bytes()
	if x.session.btf != nil && bytes.Equal(raw, x.session.raw) {
		x.btf = x.session.btf
		return nil
	}
	h, err := btf.NewHandleFromRawBTF(raw)
	if err == nil {
		_ = x.session.Close() // maps go with the BTF that they were made with
		x.btf, x.session.btf, x.session.raw = h, h, raw
		return nil
	}
	if mandatory {
		e := &Error{Stage: StageBTF, Msg: "the kernel does not take the object's BTF", Cause: err}
		errors.As(err, &e.Errno)
		var v *ebpf.VerifierError
		if errors.As(err, &v) {
			e.Log = v.Log
		}
		return e
	}
	x.note("the kernel does not take the object's BTF, which is loaded without: %v", err)
	return nil
}

// openModules opens the BTF of modules whose functions are called.
func (x *loader) openModules() error {
	for i, m := range x.kmods {
		h, err := x.module(m)
		if err != nil {
			return err
		}
		if i == 0 {
			x.fds = append(x.fds, 0) // an index of 0 means the kernel itself
		}
		x.fds = append(x.fds, int32(h.FD()))
	}
	return nil
}

// module opens the BTF of a module.
func (x *loader) module(m *module) (*btf.Handle, error) {
	if h := x.modules[m]; h != nil {
		return h, nil
	}
	h, err := btf.NewHandleFromID(btf.ID(m.id))
	if err != nil {
		e := &Error{Stage: StageReloc, Msg: fmt.Sprintf("the BTF of module %s can't be opened", m.name), Cause: err}
		errors.As(err, &e.Errno)
		return nil, e
	}
	x.modules[m] = h
	return h, nil
}

// createMaps is bpf_object__create_maps.
func (x *loader) createMaps() error {
	for _, m := range x.maps {
		if !m.create {
			continue
		}
		if m.Section == ".kconfig" {
			m.content = x.kconfig
		}
		created, err := x.createMap(m)
		if err != nil {
			return mapError(m, "the kernel does not create it", err)
		}
		x.l.maps[m.Name] = created
		if err := x.fillMap(m, created); err != nil {
			return mapError(m, "it can't be given its first contents", err)
		}
		if err := x.share(m, created); err != nil {
			return mapError(m, "its file descriptor can't be copied", err)
		}
	}
	return nil
}

// share gives the session a map that was made now. One that is not filled must not get there: the next load would take it for
// one that is.
func (x *loader) share(m *mapPlan, created *ebpf.Map) error {
	attr, ok := x.fresh[m]
	if !ok {
		return nil
	}
	made, err := created.Clone()
	if err != nil {
		return err
	}
	if old, ok := x.session.maps[m.Map]; ok {
		_ = old.made.Close()
	}
	x.session.maps[m.Map] = sessionMap{attr, m.content, made}
	return nil
}

func mapError(m *mapPlan, msg string, err error) error {
	e := &Error{Stage: StageMap, Map: m.Name, Msg: msg}
	if !errors.As(err, &e.Errno) {
		e.Msg, e.Cause = msg+": "+err.Error(), err
		return e
	}
	e.Msg = fmt.Sprintf("%s (%s, key %d, value %d, %d entries, flags %#x)", msg, relocate.MapTypeName(m.Type), m.KeySize, m.valueSize, m.maxEntries, m.flags)
	return e
}

// createMap is bpf_object__create_map, but for maps that the session has.
func (x *loader) createMap(m *mapPlan) (*ebpf.Map, error) {
	attr := mapCreateAttr{
		mapType: m.Type, keySize: m.KeySize, valueSize: m.valueSize, maxEntries: m.maxEntries, mapFlags: m.flags,
		numaNode: m.NumaNode, mapExtra: m.Extra, btfVmlinuxValueTypeID: uint32(m.vmlinuxValue),
	}
	if x.k.has(featProgName) {
		attr.mapName = name16(m.kernel)
	}
	if x.btf != nil {
		attr.btfKeyTypeID, attr.btfValueTypeID = uint32(m.keyType), uint32(m.valueType)
	}
	asked := attr // without file descriptors
	if old, ok := x.session.maps[m.Map]; ok && old.attr == asked && bytes.Equal(old.content, m.content) {
		return old.made.Clone()
	}
	if m.mod != nil {
		h, err := x.module(m.mod)
		if err != nil {
			return nil, err
		}
		attr.valueTypeBTFObjFD, attr.mapFlags = int32(h.FD()), attr.mapFlags|flagVtypeFD
	}
	if x.btf != nil && (m.keyType != 0 || m.valueType != 0 || m.Type == mapStructOps) {
		attr.btfFD = uint32(x.btf.FD())
	}
	if m.inner != nil {
		inner, err := x.createMap(m.inner)
		if err != nil {
			return nil, fmt.Errorf("inner map: %w", err)
		}
		defer inner.Close()
		if err := x.share(m.inner, inner); err != nil {
			return nil, fmt.Errorf("inner map: %w", err)
		}
		attr.innerMapFD = uint32(inner.FD())
	}
	fd, errno := bpf(unix.BPF_MAP_CREATE, &attr)
	if errno != 0 && (attr.btfKeyTypeID != 0 || attr.btfValueTypeID != 0) {
		attr.btfFD, attr.btfKeyTypeID, attr.btfValueTypeID = 0, 0, 0
		fd, errno = bpf(unix.BPF_MAP_CREATE, &attr)
	}
	if errno != 0 {
		return nil, errno
	}
	created, err := ebpf.NewMapFromFD(fd)
	if err != nil || m.Type == mapStructOps || m.Type == mapArena || len(m.Slots) > 0 {
		return created, err // attached once, mapped once, and elements that are programs would stay
	}
	x.fresh[m] = asked
	return created, nil
}

// fillMap gives a map what it begins with: bpf_object__populate_internal_map and init_map_in_map_slots.
func (x *loader) fillMap(m *mapPlan, to *ebpf.Map) error {
	_, fresh := x.fresh[m]
	if m.freeze && !fresh {
		return nil // it is the session's, with the same contents
	}
	if m.Data {
		content := m.content
		if content == nil { // .bss, which the kernel has zeroed, but programs may have written to
			if fresh {
				return nil
			}
			content = make([]byte, m.valueSize)
		}
		if err := to.Update(uint32(0), content, ebpf.UpdateAny); err != nil {
			return err
		}
	}
	if m.freeze {
		if err := to.Freeze(); err != nil {
			return err
		}
	}
	if m.Type == mapArena && m.Extra == 0 { // the kernel has to know where the arena is in user space
		if _, err := to.Memory(); err != nil {
			return err
		}
	}
	for _, s := range m.Slots {
		if s.Map == nil {
			continue
		}
		inner := x.l.maps[s.Map.Name]
		if inner == nil {
			return fmt.Errorf("map %s, which goes into element %d, comes behind it", s.Map.Name, s.Index)
		}
		if err := to.Update(s.Index, inner, ebpf.UpdateAny); err != nil {
			return err
		}
	}
	return nil
}

// loadPrograms is bpf_object__load_progs.
func (x *loader) loadPrograms() error {
	for _, pp := range x.progs {
		if err := x.loadProgram(pp); err != nil {
			return err
		}
	}
	return nil
}

// loadProgram is bpf_object_load_prog.
func (x *loader) loadProgram(pp *progPlan) error {
	if err := x.target(pp); err != nil {
		return err
	}
	for _, f := range pp.fixups {
		if f.m != nil {
			pp.insns[f.insn].Imm = int32(x.l.maps[f.m.Name].FD())
			continue
		}
		h, err := x.module(f.mod)
		if err != nil {
			return err
		}
		pp.insns[f.insn+1].Imm = int32(h.FD())
	}
	var pin runtime.Pinner
	defer pin.Unpin()
	attr := progLoadAttr{
		progType: pp.progType, insns: address(&pin, encode(pp.insns)), insnCnt: uint32(len(pp.insns)),
		license: address(&pin, cString(x.o.License)), kernVersion: x.k.Version, progFlags: pp.flags,
		expectedAttachType: pp.attachType, attachBTFID: uint32(pp.btfID), fdArray: address(&pin, x.fds),
	}
	if x.o.Version != 0 {
		attr.kernVersion = x.o.Version
	}
	if x.k.has(featProgName) {
		attr.progName = name16(pp.Name)
	}
	if pp.mod != nil {
		h, err := x.module(pp.mod)
		if err != nil {
			return err
		}
		attr.attachBTFObjFD = uint32(h.FD())
	}
	if x.btf != nil && x.k.has(featBTFFunc) {
		attr.progBTFFD = uint32(x.btf.FD())
		if len(pp.funcInfo) > 0 {
			attr.funcInfo, attr.funcInfoRecSize = address(&pin, pp.funcInfo), uint32(x.o.FuncInfoSize)
			attr.funcInfoCnt = uint32(len(pp.funcInfo) / x.o.FuncInfoSize)
		}
		if len(pp.lineInfo) > 0 {
			attr.lineInfo, attr.lineInfoRecSize = address(&pin, pp.lineInfo), uint32(x.o.LineInfoSize)
			attr.lineInfoCnt = uint32(len(pp.lineInfo) / x.o.LineInfoSize)
		}
	}
	fd, log, truncated, errno := loadProgram(&attr)
	if errno != 0 {
		return &Error{
			Stage: StageLoad, Program: pp.Name, Errno: errno, Msg: "the kernel does not load it", Log: log, Truncated: truncated,
		}
	}
	prog, err := ebpf.NewProgramFromFD(fd)
	if err != nil {
		e := &Error{Stage: StageLoad, Program: pp.Name, Msg: "the kernel does not tell what it loaded", Cause: err}
		errors.As(err, &e.Errno)
		return e
	}
	loaded := &Program{Program: pp.Program, Prog: prog, Target: pp.sec, AttachType: ebpf.AttachType(pp.attachType), BTFID: pp.btfID}
	if pp.mod != nil {
		loaded.Module = pp.mod.name
	}
	x.l.progs[pp.Name] = loaded
	return nil
}

// fillProgArrays is bpf_object_init_prog_arrays.
func (x *loader) fillProgArrays() error {
	for _, m := range x.maps {
		for _, s := range m.Slots {
			if s.Program == nil || !m.create {
				continue
			}
			prog := x.l.Program(s.Program.Name)
			if prog == nil {
				return &Error{Stage: StageMap, Map: m.Name, Errno: unix.EBADF,
					Msg: fmt.Sprintf("program %s, which goes into element %d, was not loaded", s.Program.Name, s.Index)}
			}
			if err := x.l.maps[m.Name].Update(s.Index, prog, ebpf.UpdateAny); err != nil {
				return mapError(m, "it can't be given its programs", err)
			}
		}
	}
	return nil
}

// fillOps is bpf_object_prepare_struct_ops: the value of a struct_ops map has file descriptors of programs.
func (x *loader) fillOps() error {
	for _, m := range x.maps {
		if m.ops == nil {
			continue
		}
		for _, s := range m.opsSlots {
			if prog := x.l.Program(s.prog.Name); prog != nil && int(s.off)+8 <= len(m.ops) {
				nativeOrder.PutUint64(m.ops[s.off:], uint64(prog.FD()))
			}
		}
		x.l.ops[m.Name] = m.ops
	}
	return nil
}

// Close takes the object out of the kernel, but for what attachments still hold.
func (l *Loaded) Close() error {
	var errs []error
	for _, p := range l.progs {
		errs = append(errs, p.Prog.Close())
	}
	for _, m := range l.maps {
		errs = append(errs, m.Close())
	}
	clear(l.progs)
	clear(l.maps)
	return errors.Join(errs...)
}
