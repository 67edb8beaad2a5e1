package relocate

// This file tells which instructions of a program the verifier may get to on one kernel. An instruction that libbpf had
// to poison (Outcome Poisoned) breaks the load only if it is one of them.
//
// The verifier (kernel/bpf/verifier.c, do_check) walks a program path by path and knows, on each path, which registers
// and stack slots hold constants. A conditional jump between constants is followed one way only (is_branch_taken). Here
// all paths are walked at once: at every place a register holds the constant that it has on all paths to it, or is
// unknown, and a jump is followed both ways unless constants decide it. What is reached here includes all that the
// verifier reaches. It may be more, never less, for which two rules are kept:
//
//   - A value is only known where it is the same each time that the program gets there.
//   - A value is only known where the verifier of that kernel knows it, too. Older ones forget constants in places where
//     the processor would not: see the versions below, and the operations that alu leaves out.
//
// An instruction whose record has no value (poisoned, ambiguous, not applied) leaves its register unknown, and the walk
// goes on behind it, so that all that breaks can be told at once.

// KernelVersion is a version as the macro KERNEL_VERSION makes it: 6.8.0 is 0x060800.
type KernelVersion uint32

// Versions since which the verifier knows more. Backports are not seen: a kernel that has one is taken for what its
// version says, which is the safe side.
const (
	// Spilled constants, and jumps that compare two registers: Linux kernel commits f7cf25b2026d ("bpf: track spill/fill of
	// constants") and fb8d251ee2a6 ("bpf: extend is_branch_taken to registers") (in v5.3).
	reachSpills KernelVersion = 0x050300
	// Loads from read-only maps, as .kconfig and .rodata are: Linux kernel commit a23740ec43ba ("bpf: Track contents of
	// read-only maps as scalars") (in v5.5).
	reachReadOnly KernelVersion = 0x050500
	// Exclusive or, which compilers use to negate a bool: Linux kernel commit 2921c90d4718 ("bpf: Fix a verifier failure
	// with xor") (in v5.10).
	reachXor KernelVersion = 0x050a00
	// Spilled constants of less than 8 bytes: Linux kernel commit 354e8f1970f8 ("bpf: Support <8-byte scalar spill and
	// refill") (in v5.16).
	reachNarrowSpills KernelVersion = 0x051000
	// Immediates stored to the stack: Linux kernel commit ecdf985d7615 ("bpf: track immediate values written to stack by
	// BPF_ST instruction") (in v6.3).
	reachStoreImm KernelVersion = 0x060300
	// Global functions are only verified if they are called: Linux kernel commit 2afae08c9dcb ("bpf: Validate global
	// subprogs lazily") (in v6.8).
	reachLazyGlobals KernelVersion = 0x060800
)

// Verifier is the version up to which the verifier knows no less than that of v: versions with equal ones are the same to
// Reach.
func (v KernelVersion) Verifier() KernelVersion {
	last := KernelVersion(0)
	for _, since := range [...]KernelVersion{reachSpills, reachReadOnly, reachXor, reachNarrowSpills, reachStoreImm, reachLazyGlobals} {
		if v >= since {
			last = since
		}
	}
	return last
}

// ReachOptions are the facts about a kernel and its loader that the walk can use. The zero value knows nothing and holds
// for every kernel.
type ReachOptions struct {
	// Version of the kernel, or the lowest of a group of kernels; 0 is older than all.
	Version KernelVersion
	// Missing tells the weak kfuncs and ksyms that the kernel does not have: libbpf makes their address 0, which is what
	// bpf_ksym_exists looks at. Without it nothing is known about any.
	Missing func(*Extern) bool
	// Kconfig is the value that a load of size bytes reads at the start of an extern in .kconfig, ok where it is known.
	Kconfig func(e *Extern, size int) (v uint64, ok bool)
	// Data is the value that a load of size bytes reads at byte off of a data section. ok must be false for what the
	// program can write, and for what the loader may have set in .rodata.
	Data func(m *Map, off uint32, size int) (v uint64, ok bool)
}

// Reach tells which instructions of one program the verifier may get to on one kernel.
type Reach struct {
	index   map[*Func]int // nil where the walk gave up
	reached [][]bool      // by function of the program, by instruction
}

// Reached tells whether the verifier may get to the instruction at index insn of f. It is true for what is not in the
// program, and for everything in a program whose code makes no sense: jumps out of a function, instructions that are
// cut off or unknown, jumps to a place in a register; and where it is too large to be walked (maxReachValues).
func (r *Reach) Reached(f *Func, insn int) bool {
	i, ok := r.index[f]
	return !ok || insn < 0 || insn >= len(r.reached[i]) || r.reached[i][insn]
}

// Reach walks the program as the kernel's verifier would after libbpf has written the results into it. results holds
// the result of each record at its Relo.Index; a record without one (shorter slice, zero Result) counts as unknown.
// It only reads what it is given, so that several walks may run at the same time.
func (p *Program) Reach(results []Result, opt ReachOptions) *Reach {
	w := reachWalk{opt: opt, funcs: make([]reachFunc, len(p.Funcs)), index: make(map[*Func]int, len(p.Funcs))}
	for i, f := range p.Funcs {
		w.index[f] = i
		for _, c := range f.Calls {
			w.callbacks = w.callbacks || c.Ref
		}
	}
	left := maxReachValues
	for i, f := range p.Funcs {
		g := &w.funcs[i]
		g.fn = f
		g.prepare(results, w.index)
		if !g.findBlocks(&left) {
			return &Reach{}
		}
	}
	w.run()
	r := &Reach{index: w.index, reached: make([][]bool, len(w.funcs))}
	for i := range w.funcs {
		r.reached[i] = w.funcs[i].reached
	}
	return r
}

// maxReachValues bounds the memory of one walk: values that are kept for all blocks, 16 bytes each.
const maxReachValues = 2 << 20

// reachKind is what is known about a value.
type reachKind uint8

const (
	reachUnknown reachKind = iota
	reachConst             // v is it
	// reachScalar is a constant on each path, but not the same on all. It is not known, but known to be no pointer:
	// the verifier learns from a comparison with a constant what it is.
	reachScalar
	reachStack  // v is an address, in bytes from the frame pointer
	reachMap    // the address of fn.MapRefs[v]
	reachExtern // the address of fn.Kfuncs[v]
)

// reachValue is the content of a register or stack slot.
type reachValue struct {
	v    uint64
	kind reachKind
	part uint8 // of a slot: which bytes of it hold the value
}

// Parts of a slot. The verifier keeps one value in each 8 bytes.
const (
	partAll  = 0
	partLow  = 1 // the 4 bytes at the lower address
	partHigh = 2
)

const (
	reachRegs  = 10 // r0 to r9; r10 never changes
	stackSlots = 64 // of 8 bytes, which is MAX_BPF_STACK
	regFP      = 10
)

// reachFunc is one function during the walk.
type reachFunc struct {
	fn      *Func
	insns   []Insn // with the results in them
	special []reachSpecial
	reached []bool

	start   []int32 // first instruction of each block
	blockAt []int32 // by instruction: the block that starts there, or -1
	slots   [stackSlots]int8
	// The first width values belong to block 0, and so on: registers, then the slots that the function spills to. Other
	// parts of the stack are unknown.
	values []reachValue
	width  int
	blocks []reachBlock

	ret     reachValue // r0 at its exits
	returns bool
	callers []reachSite // whom to tell about a change of it
}

// reachBlock is the part of a block's state that is no value.
type reachBlock struct {
	seen    bool
	queued  bool
	escaped bool // a pointer to the stack is where the walk does not see it
}

type reachSite struct{ fn, block int32 }

// reachSpecial says what the code of an instruction doesn't.
type reachSpecial struct {
	kind specialKind
	arg  int32
}

type specialKind uint8

const (
	specialNone    specialKind = iota
	specialUnknown             // its record has no value
	specialPatched             // its record has one
	specialTail                // second half of an ldimm64
	specialCall                // calls function arg of the program
	specialRef                 // takes the address of function arg of the program
	specialMap                 // takes an address in fn.MapRefs[arg]
	specialExtern              // calls or takes the address of fn.Kfuncs[arg]
)

// Parts of instruction codes: include/uapi/linux/bpf.h of Linux v6.12.
const (
	classJMP   = 0x05
	classJMP32 = 0x06

	opMask = 0xf0

	aluAdd  = 0x00
	aluSub  = 0x10
	aluMul  = 0x20
	aluOr   = 0x40
	aluAnd  = 0x50
	aluLsh  = 0x60
	aluRsh  = 0x70
	aluXor  = 0xa0
	aluMov  = 0xb0
	aluArsh = 0xc0

	jmpA    = 0x00
	jmpEq   = 0x10
	jmpGt   = 0x20
	jmpGe   = 0x30
	jmpSet  = 0x40
	jmpNe   = 0x50
	jmpSGt  = 0x60
	jmpSGe  = 0x70
	jmpCall = 0x80
	jmpExit = 0x90
	jmpLt   = 0xa0
	jmpLe   = 0xb0
	jmpSLt  = 0xc0
	jmpSLe  = 0xd0
	jmpCond = 0xe0 // may_goto: depends on a counter that the verifier adds

	modeMask   = 0xe0
	modeMem    = 0x60
	modeAtomic = 0xc0

	atomicFetch   = 0x01
	atomicCmpXchg = 0xf1
	atomicLoad    = 0x100 // BPF_LOAD_ACQ
	atomicStore   = 0x110 // BPF_STORE_REL
)

// prepare copies the instructions, writes the results into them, and notes what their codes don't say.
func (g *reachFunc) prepare(results []Result, index map[*Func]int) {
	f := g.fn
	n := len(f.Insns)
	g.insns = append([]Insn(nil), f.Insns...)
	g.special = make([]reachSpecial, n)
	set := func(insn int, kind specialKind, arg int) {
		if insn >= 0 && insn < n {
			g.special[insn] = reachSpecial{kind, int32(arg)}
		}
	}
	for i, m := range f.MapRefs {
		set(m.Insn, specialMap, i)
	}
	for i, k := range f.Kfuncs {
		set(k.Insn, specialExtern, i)
	}
	for _, c := range f.Calls {
		to, ok := index[c.To]
		switch {
		case !ok: // the code is not there to be walked
			set(c.Insn, specialUnknown, 0)
		case c.Ref:
			set(c.Insn, specialRef, to)
		default:
			set(c.Insn, specialCall, to)
		}
	}
	valued := func(r *Relo) bool {
		// The id of a type that is there is a number of one build.
		if r.Kind == TypeIDTarget && r.Index >= 0 && r.Index < len(results) && results[r.Index].Outcome == Resolved {
			return false
		}
		return r.Index >= 0 && r.Index < len(results) && results[r.Index].Relo == r && results[r.Index].Outcome <= Answered
	}
	for _, r := range f.Relos {
		if valued(r) {
			results[r.Index].Patch(g.insns)
			set(r.Insn, specialPatched, 0)
		}
	}
	for _, r := range f.Relos { // of two records on one instruction the one without value wins
		if !valued(r) {
			set(r.Insn, specialUnknown, 0)
		}
	}
}

// findBlocks finds the blocks, which start where jumps lead to and behind what ends one, and the slots, and takes the
// memory for both. It is false where the code makes no sense, or where there is too much of it.
func (g *reachFunc) findBlocks(left *int) bool {
	n := len(g.insns)
	g.reached = make([]bool, n)
	g.blockAt = make([]int32, n)
	for i := range g.slots {
		g.slots[i] = -1
	}
	g.width = reachRegs
	leads := g.blockAt // first with 1 where a block starts
	for i := 0; i < n; i++ {
		in := g.insns[i]
		if in.Dst > regFP || in.Src > regFP && in.Code != codeLdImm {
			return false
		}
		ends := false // does not go on to the next instruction
		switch in.Code & classMask {
		case classLD:
			if in.Code != codeLdImm {
				break
			}
			if i+1 == n || in.Dst == regFP {
				return false
			}
			i++
			g.special[i] = reachSpecial{kind: specialTail}
		case classLDX, classALU, classALU6:
			if in.Dst == regFP {
				return false
			}
		case classST, classSTX:
			if slot, ok := slotOf(int64(in.Off)); ok && in.Dst == regFP && g.slots[slot] < 0 {
				g.slots[slot] = int8(g.width)
				g.width++
			}
		case classJMP, classJMP32:
			to, jumps, ok := jumpTarget(in, i)
			if !ok || jumps && (to < 0 || to >= n) {
				return false
			}
			if jumps {
				leads[to] = 1
			}
			op := in.Code & opMask
			ends = op == jmpA || op == jmpExit
			if (jumps || ends || g.special[i].kind == specialCall) && i+1 < n {
				leads[i+1] = 1
			}
		}
		if i+1 == n && !ends {
			return false
		}
	}
	if n == 0 {
		return false
	}
	leads[0] = 1
	for i, lead := range leads {
		leads[i] = -1
		if lead == 0 {
			continue
		}
		if g.special[i].kind == specialTail {
			return false
		}
		g.blockAt[i] = int32(len(g.start))
		g.start = append(g.start, int32(i))
	}
	if *left -= len(g.start) * g.width; *left < 0 {
		return false
	}
	g.blocks = make([]reachBlock, len(g.start))
	g.values = make([]reachValue, len(g.start)*g.width)
	return true
}

// jumpTarget is where the jump at index i may lead to other than the next instruction. ok is false where the kernel
// knows no such instruction, or where its target is in a register.
func jumpTarget(in Insn, i int) (to int, jumps, ok bool) {
	op := in.Code & opMask
	jmp32 := in.Code&classMask == classJMP32
	switch op {
	case jmpA:
		if in.Code&srcReg != 0 {
			return 0, false, false
		}
		if jmp32 { // gotol
			return i + 1 + int(in.Imm), true, true
		}
		return i + 1 + int(in.Off), true, true
	case jmpCall, jmpExit:
		return 0, false, !jmp32
	case jmpCond:
		return i + 1 + int(in.Off), true, !jmp32
	}
	return i + 1 + int(in.Off), true, op <= jmpSLe
}

// slotOf is the slot in which the byte at off from the frame pointer is: 0 at the top.
func slotOf(off int64) (slot int, ok bool) {
	if off >= 0 || off < -8*stackSlots {
		return 0, false
	}
	return int(-off-1) / 8, true
}

// reachWalk is one walk over a program.
type reachWalk struct {
	opt       ReachOptions
	funcs     []reachFunc
	index     map[*Func]int
	callbacks bool // some function takes the address of another
	queue     []reachSite
	cur       []reachValue // state while a block is walked
	escaped   bool
}

func (w *reachWalk) run() {
	widest := 0
	for i := range w.funcs {
		widest = max(widest, w.funcs[i].width)
	}
	w.cur = make([]reachValue, widest)
	for i := range w.funcs {
		// Before v6.8 every global function is verified, for arguments of which nothing but their type is known.
		if i == 0 || !w.funcs[i].fn.Static && w.opt.Version < reachLazyGlobals {
			w.enter(i, nil)
		}
	}
	for len(w.queue) > 0 {
		// The last one first: a block that is met while another of the loop waits is done before it.
		s := w.queue[len(w.queue)-1]
		w.queue = w.queue[:len(w.queue)-1]
		g := &w.funcs[s.fn]
		g.blocks[s.block].queued = false
		w.walk(int(s.fn), s.block)
	}
}

// enter joins the arguments of a call, nil where they are unknown, into the start of a function.
func (w *reachWalk) enter(fn int, args []reachValue) {
	g := &w.funcs[fn]
	var start [reachRegs + stackSlots]reachValue
	for i, a := range args {
		// Places are those of the caller.
		if a.kind == reachConst || a.kind == reachScalar {
			start[1+i] = a
		}
	}
	w.join(fn, 0, start[:g.width], false)
}

// join joins a state into that of a block and has the block walked (again) if that changes it.
func (w *reachWalk) join(fn int, block int32, from []reachValue, escaped bool) {
	g := &w.funcs[fn]
	b := &g.blocks[block]
	to := g.values[int(block)*g.width:][:g.width]
	changed := !b.seen
	if !b.seen {
		b.seen, b.escaped = true, escaped
		copy(to, from)
	} else {
		for i := range to {
			if to[i] == from[i] {
				continue
			}
			v := joinValues(to[i], from[i])
			if v.kind == reachUnknown && (to[i].kind == reachStack || from[i].kind == reachStack) {
				escaped = true
			}
			if v != to[i] {
				to[i], changed = v, true
			}
		}
		if escaped && !b.escaped {
			b.escaped, changed = true, true
		}
	}
	if changed && !b.queued {
		b.queued = true
		w.queue = append(w.queue, reachSite{int32(fn), block})
	}
}

func joinValues(a, b reachValue) reachValue {
	switch {
	case a == b:
		return a
	case a.number() && b.number() && a.part == b.part:
		return reachValue{kind: reachScalar, part: a.part}
	}
	return reachValue{}
}

// number tells whether the verifier knows the value as a constant on each path.
func (v reachValue) number() bool { return v.kind == reachConst || v.kind == reachScalar }

func (v reachValue) is(n uint64) bool { return v.kind == reachConst && v.v == n }

func constValue(v uint64) reachValue { return reachValue{v: v, kind: reachConst} }

// reg reads a register.
func (w *reachWalk) reg(r uint8) reachValue {
	if r == regFP {
		return reachValue{kind: reachStack}
	}
	return w.cur[r]
}

// lose is called for a value that goes where the walk does not see it.
func (w *reachWalk) lose(v reachValue) {
	if v.kind == reachStack {
		w.escaped = true
	}
}

// walk goes through a block and on to those behind it.
func (w *reachWalk) walk(fn int, block int32) {
	g := &w.funcs[fn]
	w.cur = w.cur[:g.width]
	copy(w.cur, g.values[int(block)*g.width:])
	w.escaped = g.blocks[block].escaped
	for i := int(g.start[block]); ; {
		in := g.insns[i]
		sp := g.special[i]
		g.reached[i] = true
		next := i + 1
		switch in.Code & classMask {
		case classALU, classALU6:
			if sp.kind == specialUnknown {
				w.lose(w.cur[in.Dst])
				w.cur[in.Dst] = reachValue{}
			} else {
				w.alu(in)
			}
		case classLD:
			if in.Code == codeLdImm {
				g.reached[next] = true
				next++
				w.loadImm(g, in, g.insns[i+1], sp)
			} else { // BPF_ABS, BPF_IND: they keep r6 to r9, as a helper does, and write no memory
				w.clobber()
			}
		case classLDX:
			v := reachValue{}
			if sp.kind != specialUnknown && in.Code&modeMask == modeMem {
				v = w.load(g, in)
			}
			w.cur[in.Dst] = v
		case classST:
			v := reachValue{}
			if w.opt.Version >= reachStoreImm && in.Imm >= 0 { // until v6.8 it forgot the sign: 811c363645b3
				v = constValue(uint64(in.Imm))
			}
			w.store(g, in, v, sp)
		case classSTX:
			if in.Code&modeMask == modeAtomic {
				w.atomic(g, in, sp)
			} else {
				w.store(g, in, w.reg(in.Src), sp)
			}
		case classJMP, classJMP32:
			op := in.Code & opMask
			switch {
			case op == jmpExit:
				w.exit(g)
				return
			case op == jmpCall && sp.kind == specialCall:
				w.call(fn, block, int(sp.arg), g.blockAt[next])
				return
			case op == jmpCall:
				w.helper(g, in, sp)
			default:
				w.jump(fn, in, i)
				return
			}
		}
		i = next
		if to := g.blockAt[i]; to >= 0 {
			w.join(fn, to, w.cur, w.escaped)
			return
		}
	}
}

// exit takes the return value. The verifier copies it to the caller: prepare_func_exit.
func (w *reachWalk) exit(g *reachFunc) {
	v := w.cur[0]
	if !v.number() {
		v = reachValue{}
	}
	if g.returns {
		v = joinValues(g.ret, v)
	}
	if g.returns && v == g.ret {
		return
	}
	g.ret, g.returns = v, true
	for _, s := range g.callers {
		if b := &w.funcs[s.fn].blocks[s.block]; !b.queued {
			b.queued = true
			w.queue = append(w.queue, s)
		}
	}
}

// call goes into a function of the program, and behind the call if the function returns.
func (w *reachWalk) call(fn int, block int32, callee int, behind int32) {
	g, to := &w.funcs[fn], &w.funcs[callee]
	site := reachSite{int32(fn), block}
	ret, returns := to.ret, to.returns
	if to.fn.Static {
		known := false
		for _, s := range to.callers {
			known = known || s == site
		}
		if !known {
			to.callers = append(to.callers, site)
		}
		w.enter(callee, w.cur[1:6])
	} else {
		// check_func_call: a global function is verified apart from its callers, and returns some number.
		w.enter(callee, nil)
		ret, returns = reachValue{}, true
	}
	if !returns {
		return
	}
	for _, a := range w.cur[1:6] {
		w.lose(a)
	}
	if w.escaped {
		w.forget(g, -8*stackSlots, 8*stackSlots)
	}
	w.clobber()
	w.cur[0] = ret
	w.join(fn, behind, w.cur, w.escaped)
}

// helper is a call of code in the kernel, or of something unknown. What it gets a pointer to it may write, from there
// upwards; with a callback, which can get the same pointer, anywhere.
func (w *reachWalk) helper(g *reachFunc, in Insn, sp reachSpecial) {
	lowest := int64(0)
	for _, a := range w.cur[1:6] {
		if a.kind == reachStack {
			lowest = min(lowest, int64(a.v))
			w.escaped = w.escaped || w.callbacks || in.Src == pseudoCall && sp.kind != specialExtern
		}
	}
	if w.escaped {
		lowest = -8 * stackSlots
	}
	w.forget(g, lowest, -lowest)
	w.clobber()
}

// clobber makes r0 to r5 unknown.
func (w *reachWalk) clobber() { clear(w.cur[:6]) }

// forget makes the slots unknown that have bytes of the size bytes at off from the frame pointer.
func (w *reachWalk) forget(g *reachFunc, off, size int64) {
	if size <= 0 {
		return
	}
	for slot, at := range g.slots {
		if at < 0 {
			continue
		}
		if low := int64(-8 * (slot + 1)); low+8 > off && low < off+size {
			// It may be still there, and read back.
			w.lose(w.cur[at])
			w.cur[at] = reachValue{}
		}
	}
}

// loadImm is an ldimm64, of which tail is the second half.
func (w *reachWalk) loadImm(g *reachFunc, in, tail Insn, sp reachSpecial) {
	v := reachValue{}
	switch sp.kind {
	case specialRef:
		// A callback. What the kernel gives it is unknown.
		w.enter(int(sp.arg), nil)
	case specialMap:
		v = reachValue{v: uint64(sp.arg), kind: reachMap}
	case specialExtern:
		v = reachValue{v: uint64(sp.arg), kind: reachExtern}
		if e := g.fn.Kfuncs[sp.arg].Extern; e.Kind != ExternKconfig && e.Weak && w.opt.Missing != nil && w.opt.Missing(e) {
			v = constValue(0)
		}
	case specialPatched:
		v = constValue(uint64(uint32(in.Imm)) | uint64(tail.Imm)<<32)
	case specialNone:
		// In the object an address is an ldimm64, too. What it is of was read with the object, but for what libbpf refuses;
		// there the constant is a small offset or 0, which compilers don't make with an ldimm64.
		if in.Src == 0 && (tail.Imm != 0 || in.Imm < 0) {
			v = constValue(uint64(uint32(in.Imm)) | uint64(tail.Imm)<<32)
		}
	}
	w.cur[in.Dst] = v
}

// load is a load of 1 to 8 bytes, without extension of the sign.
func (w *reachWalk) load(g *reachFunc, in Insn) reachValue {
	base := w.reg(in.Src)
	size := int64(memSize(in.Code))
	switch base.kind {
	case reachStack:
		off := int64(base.v) + int64(in.Off)
		slot, ok := slotOf(off)
		if !ok || g.slots[slot] < 0 {
			return reachValue{}
		}
		v := w.cur[g.slots[slot]]
		if part, ok := partOf(off, size); !ok || part != v.part {
			return reachValue{}
		}
		v.part = 0
		return v
	case reachMap:
		ref := g.fn.MapRefs[base.v]
		if off := int64(ref.Off) + int64(in.Off); ref.Value && w.opt.Data != nil && w.opt.Version >= reachReadOnly && off >= 0 {
			if v, ok := w.opt.Data(ref.Map, uint32(off), int(size)); ok {
				return constValue(v)
			}
		}
	case reachExtern:
		e := g.fn.Kfuncs[base.v].Extern
		if e.Kind == ExternKconfig && in.Off == 0 && w.opt.Kconfig != nil && w.opt.Version >= reachReadOnly {
			if v, ok := w.opt.Kconfig(e, int(size)); ok {
				return constValue(v)
			}
		}
	}
	return reachValue{}
}

// partOf is the part of a slot that size bytes at off are.
func partOf(off, size int64) (part uint8, ok bool) {
	switch {
	case size == 8 && off%8 == 0:
		return partAll, true
	case size == 4 && off%8 == 0:
		return partLow, true
	case size == 4 && off%8 == -4:
		return partHigh, true
	}
	return 0, false
}

// store is a store of v.
func (w *reachWalk) store(g *reachFunc, in Insn, v reachValue, sp reachSpecial) {
	base := w.reg(in.Dst)
	size := int64(memSize(in.Code))
	switch {
	case base.kind == reachStack && sp.kind != specialUnknown:
		off := int64(base.v) + int64(in.Off)
		w.forget(g, off, size)
		slot, ok := slotOf(off)
		if !ok || g.slots[slot] < 0 {
			break
		}
		if part, ok := partOf(off, size); ok && w.spills(v, part) {
			v.part = part
			if size == 4 {
				v.v = uint64(uint32(v.v))
			}
			w.cur[g.slots[slot]] = v
			return
		}
	case base.kind == reachStack, w.escaped:
		w.forget(g, -8*stackSlots, 8*stackSlots)
	}
	w.lose(v)
}

// spills tells whether the verifier keeps a value that is stored to the stack: check_stack_write_fixed_off. It keeps
// zeroes as such (STACK_ZERO), in either half of a slot.
func (w *reachWalk) spills(v reachValue, part uint8) bool {
	switch {
	case w.opt.Version < reachSpills && v.kind != reachStack:
		return false
	case v.kind == reachStack:
		return part == partAll
	case !v.number():
		return false
	case part == partAll || v.is(0):
		return true
	}
	// In the upper half only zeroes.
	return part == partLow && w.opt.Version >= reachNarrowSpills
}

// atomic is an atomic operation on memory.
func (w *reachWalk) atomic(g *reachFunc, in Insn, sp reachSpecial) {
	if in.Imm == atomicLoad {
		if in.Dst != regFP {
			w.lose(w.cur[in.Dst])
			w.cur[in.Dst] = reachValue{}
		}
		return
	}
	src := w.reg(in.Src)
	w.store(g, in, reachValue{}, sp)
	w.lose(src)
	if in.Imm == atomicStore {
		return
	}
	if in.Imm == atomicCmpXchg {
		w.lose(w.cur[0])
		w.cur[0] = reachValue{}
	} else if in.Imm&atomicFetch != 0 && in.Src != regFP {
		w.cur[in.Src] = reachValue{}
	}
}

// alu is an arithmetic instruction: adjust_reg_min_max_vals, and check_alu_op for those that move. What the verifier does
// not follow in every version is unknown here: division, remainder, negation, and changes of the byte order.
func (w *reachWalk) alu(in Insn) {
	wide := in.Code&classMask == classALU6
	op := in.Code & opMask
	src := constValue(uint64(int64(in.Imm)))
	if in.Code&srcReg != 0 {
		src = w.reg(in.Src)
	}
	dst := w.cur[in.Dst]
	if op == aluMov {
		v := src
		switch {
		case in.Code&srcReg != 0 && in.Off != 0: // movsx
			v = signExtend(src, in.Off)
			w.lose(src)
		case wide:
		case !src.number():
			w.lose(src)
			v = reachValue{}
		}
		if !wide && v.kind == reachConst {
			v.v = uint64(uint32(v.v))
		}
		w.cur[in.Dst] = v
		return
	}
	if dst.kind == reachStack || src.kind == reachStack {
		switch {
		case wide && op == aluAdd && (dst.kind == reachConst || src.kind == reachConst):
			w.cur[in.Dst] = reachValue{v: dst.v + src.v, kind: reachStack}
		case wide && op == aluSub && src.kind == reachConst:
			w.cur[in.Dst] = reachValue{v: dst.v - src.v, kind: reachStack}
		default:
			w.escaped = true
			w.cur[in.Dst] = reachValue{}
		}
		return
	}
	w.cur[in.Dst] = w.calc(op, wide, dst, src)
}

// signExtend is what a movsx of so many bits makes of a value.
func signExtend(v reachValue, bits int16) reachValue {
	if !v.number() {
		return reachValue{}
	}
	if v.kind == reachConst {
		switch bits {
		case 8:
			v.v = uint64(int64(int8(v.v)))
		case 16:
			v.v = uint64(int64(int16(v.v)))
		case 32:
			v.v = uint64(int64(int32(v.v)))
		}
	}
	if bits != 8 && bits != 16 && bits != 32 { // 1 is a cast between address spaces
		return reachValue{}
	}
	return v
}

// calc is dst op src for values that are no addresses on the stack.
func (w *reachWalk) calc(op uint8, wide bool, dst, src reachValue) reachValue {
	bits := uint64(64)
	a, b := dst.v, src.v
	if !wide {
		bits, a, b = 32, uint64(uint32(a)), uint64(uint32(b))
	}
	if op == aluAnd && (dst.kind == reachConst && a == 0 || src.kind == reachConst && b == 0) {
		return constValue(0)
	}
	if !dst.number() || !src.number() {
		return reachValue{}
	}
	var r uint64
	switch op {
	case aluAdd:
		r = a + b
	case aluSub:
		r = a - b
	case aluMul:
		r = a * b
	case aluOr:
		r = a | b
	case aluAnd:
		r = a & b
	case aluXor:
		if w.opt.Version < reachXor {
			return reachValue{}
		}
		r = a ^ b
	case aluLsh, aluRsh, aluArsh:
		if src.kind != reachConst || b >= bits {
			return reachValue{}
		}
		switch {
		case op == aluLsh:
			r = a << b
		case op == aluRsh:
			r = a >> b
		case wide:
			r = uint64(int64(a) >> b)
		default:
			r = uint64(int32(a) >> b)
		}
	default:
		return reachValue{}
	}
	if dst.kind != reachConst || src.kind != reachConst {
		return reachValue{kind: reachScalar}
	}
	if !wide {
		r = uint64(uint32(r))
	}
	return constValue(r)
}

// jump goes where a jump at index i may lead.
func (w *reachWalk) jump(fn int, in Insn, i int) {
	g := &w.funcs[fn]
	to, _, _ := jumpTarget(in, i)
	taken := g.blockAt[to]
	op := in.Code & opMask
	if op == jmpA {
		w.join(fn, taken, w.cur, w.escaped)
		return
	}
	behind := g.blockAt[i+1]
	if op == jmpCond {
		w.join(fn, taken, w.cur, w.escaped)
		w.join(fn, behind, w.cur, w.escaped)
		return
	}
	dst, src := w.reg(in.Dst), constValue(uint64(int64(in.Imm)))
	if in.Code&srcReg != 0 {
		src = w.reg(in.Src)
		if w.opt.Version < reachSpills {
			src = reachValue{}
		}
	}
	wide := in.Code&classMask == classJMP
	if dst.kind == reachConst && src.kind == reachConst {
		if compare(op, wide, dst.v, src.v) {
			w.join(fn, taken, w.cur, w.escaped)
		} else {
			w.join(fn, behind, w.cur, w.escaped)
		}
		return
	}
	// Where a number was found equal to a constant it is that constant: reg_set_min_max.
	equal := func(block int32) {
		oldDst, oldSrc := w.reg(in.Dst), w.reg(in.Src)
		switch {
		case wide && dst.kind == reachScalar && src.kind == reachConst:
			w.cur[in.Dst] = src
		case wide && src.kind == reachScalar && dst.kind == reachConst:
			w.cur[in.Src] = dst
		}
		w.join(fn, block, w.cur, w.escaped)
		if in.Dst != regFP {
			w.cur[in.Dst] = oldDst
		}
		if in.Src != regFP {
			w.cur[in.Src] = oldSrc
		}
	}
	switch op {
	case jmpEq:
		equal(taken)
		w.join(fn, behind, w.cur, w.escaped)
	case jmpNe:
		w.join(fn, taken, w.cur, w.escaped)
		equal(behind)
	default:
		w.join(fn, taken, w.cur, w.escaped)
		w.join(fn, behind, w.cur, w.escaped)
	}
}

// compare decides a conditional jump between constants: is_branch_taken.
func compare(op uint8, wide bool, a, b uint64) bool {
	sa, sb := int64(a), int64(b)
	if !wide {
		a, b = uint64(uint32(a)), uint64(uint32(b))
		sa, sb = int64(int32(a)), int64(int32(b))
	}
	switch op {
	case jmpEq:
		return a == b
	case jmpNe:
		return a != b
	case jmpGt:
		return a > b
	case jmpGe:
		return a >= b
	case jmpLt:
		return a < b
	case jmpLe:
		return a <= b
	case jmpSet:
		return a&b != 0
	case jmpSGt:
		return sa > sb
	case jmpSGe:
		return sa >= sb
	case jmpSLt:
		return sa < sb
	}
	return sa <= sb // jmpSLe
}
