package relocate

// InsnSet is a group of instructions that came to Linux together.
type InsnSet struct {
	Name  string // "atomic operations that return a value"
	Since string // the first mainline release whose verifier takes them: "v5.12"
	Major int
	Minor int
}

// Instructions beyond those of Linux 4.18, with the commits that brought them. BTF says nothing about them.
var (
	setJump32  = &InsnSet{"32-bit jumps", "v5.1", 5, 1}                     // 092ed0968bb6 ("bpf: verifier support JMP32")
	setAtomics = &InsnSet{"newer atomic operations", "v5.12", 5, 12}        // 5ffa25502b5a ("bpf: Add instructions for atomic_[cmp]xchg") and its neighbours
	setV4      = &InsnSet{"instructions of version 4", "v6.6", 6, 6}        // 1f9a1ea821ff ("bpf: Support new sign-extension load insns") and its neighbours
	setMayGoto = &InsnSet{"may_goto", "v6.9", 6, 9}                         // 011832b97b31 ("bpf: Introduce may_goto instruction")
	setAcquire = &InsnSet{"load-acquire and store-release", "v6.15", 6, 15} // 880442305a39 ("bpf: Introduce load-acquire and store-release instructions")
)

// Parts of instruction codes that only these groups have; the others stand in core_calc.go and reach.go.
const (
	aluDiv    = 0x30
	aluMod    = 0x90
	aluEnd    = 0xd0
	modeMemSX = 0x80
)

// insnSet returns the group of an instruction, nil for those that Linux 4.18 has.
func insnSet(in Insn) *InsnSet {
	op := in.Code & opMask
	switch class := in.Code & classMask; class {
	case classLDX:
		if in.Code&modeMask == modeMemSX {
			return setV4
		}
	case classSTX:
		switch {
		case in.Code&modeMask != modeAtomic || in.Imm == 0:
		case in.Imm == atomicLoad || in.Imm == atomicStore:
			return setAcquire
		default:
			return setAtomics
		}
	case classALU, classALU6:
		switch {
		case (op == aluDiv || op == aluMod) && in.Off != 0, op == aluEnd && class == classALU6:
			return setV4
		case op == aluMov && in.Code&srcReg != 0 && in.Off != 0 && in.Imm == 0:
			return setV4
		}
	case classJMP:
		if op == jmpCond {
			return setMayGoto
		}
	case classJMP32:
		if op == jmpA {
			return setV4 // gotol
		}
		return setJump32
	}
	return nil
}

// insnNeeds returns a need for each group of newer instructions in a function: its first instruction.
func (f *Func) insnNeeds(programs []*Program) []*Need {
	var needs []*Need
	seen := map[*InsnSet]bool{}
	for i := 0; i < len(f.Insns); i++ {
		in := f.Insns[i]
		if in.Code == insnLdImm64 {
			i++ // the second slot is data
			continue
		}
		if s := insnSet(in); s != nil && !seen[s] {
			seen[s] = true
			needs = append(needs, &Need{Kind: NeedInstruction, Name: s.Name, Programs: programs, Func: f, Insn: i, Insns: s})
		}
	}
	return needs
}
