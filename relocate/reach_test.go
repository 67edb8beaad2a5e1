package relocate

import (
	"encoding/binary"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const reachDir = "../testdata/reach"

// reachVersions are those at which the verifier learned something, and the ends.
var reachVersions = []KernelVersion{
	0, reachSpills, reachReadOnly, reachXor, reachNarrowSpills, reachStoreImm, reachLazyGlobals, 0x070200,
}

// reachResults are the results of an object by index, on a kernel with this BTF.
func reachResults(obj *Object, target *Target) []Result {
	out := make([]Result, len(obj.Relos))
	for _, r := range NewResolver(obj, target).ResolveAll(nil) {
		out[r.Relo.Index] = r
	}
	return out
}

// TestReachFixtures holds every poisoned record of the fixtures against the name of what it reads: see reach.h.
func TestReachFixtures(t *testing.T) {
	t.Parallel()
	for _, order := range coreOrders {
		kernel := openOne(t, filepath.Join(reachDir, "kernel.clang-16."+order+".o")).BTF
		for _, cpu := range []string{"v2", "v3"} {
			obj := openOne(t, filepath.Join(reachDir, fmt.Sprintf("guards.clang-16.%s.%s.o", cpu, order)))
			results := reachResults(obj, &Target{Vmlinux: kernel})
			poisoned := 0
			for _, p := range obj.Programs {
				for _, v := range reachVersions {
					if v < reachSpills && strings.HasPrefix(p.Name, "spilled") {
						continue
					}
					r := p.Reach(results, ReachOptions{Version: v})
					for _, f := range p.Funcs {
						for _, relo := range f.Relos {
							if results[relo.Index].Outcome != Poisoned {
								continue
							}
							poisoned++
							spec, err := obj.Spec(relo)
							if err != nil {
								t.Fatal(err)
							}
							path := spec.Path()
							name := path[strings.LastIndexAny(path, ".: ")+1:]
							want := name == "live"
							if before, ok := strings.CutPrefix(name, "before_"); ok {
								want = v < reachVersion(t, before)
							} else if !want && name != "dead" && name != "GONE" {
								t.Fatalf("%s: a record of %s, which the kernel lacks and which says nothing", p.Name, path)
							}
							if got := r.Reached(f, relo.Insn); got != want {
								t.Errorf("%s.%s: %s on version %#x: instruction %d of %s reads %s: reached %t, want %t", cpu, order, p.Name, v, relo.Insn, f.Name, path, got, want)
							}
						}
					}
				}
			}
			t.Logf("%s.%s: %d poisoned records of %d programs × %d versions", cpu, order, poisoned, len(obj.Programs), len(reachVersions))
		}
	}
}

// reachVersion reads "5_10".
func reachVersion(t *testing.T, s string) KernelVersion {
	t.Helper()
	major, minor, _ := strings.Cut(s, "_")
	a, err1 := strconv.Atoi(major)
	b, err2 := strconv.Atoi(minor)
	if err1 != nil || err2 != nil {
		t.Fatalf("%q is no version", s)
	}
	return KernelVersion(a<<16 | b<<8)
}

// Instructions, named as in the kernel's include/linux/filter.h.
func movImm(r uint8, v int32) Insn       { return Insn{Code: 0xb7, Dst: r, Imm: v} }
func mov32Imm(r uint8, v int32) Insn     { return Insn{Code: 0xb4, Dst: r, Imm: v} }
func movReg(r, s uint8) Insn             { return Insn{Code: 0xbf, Dst: r, Src: s} }
func mov32Reg(r, s uint8) Insn           { return Insn{Code: 0xbc, Dst: r, Src: s} }
func alu64Imm(op, r uint8, v int32) Insn { return Insn{Code: classALU6 | op, Dst: r, Imm: v} }
func alu32Imm(op, r uint8, v int32) Insn { return Insn{Code: classALU | op, Dst: r, Imm: v} }
func alu64Reg(op, r, s uint8) Insn       { return Insn{Code: classALU6 | op | srcReg, Dst: r, Src: s} }
func alu32Reg(op, r, s uint8) Insn       { return Insn{Code: classALU | op | srcReg, Dst: r, Src: s} }
func jmpImm(op, r uint8, v int32, o int16) Insn {
	return Insn{Code: classJMP | op, Dst: r, Imm: v, Off: o}
}
func jmpReg(op, r, s uint8, o int16) Insn {
	return Insn{Code: classJMP | op | srcReg, Dst: r, Src: s, Off: o}
}
func jmp32Imm(op, r uint8, v int32, o int16) Insn {
	return Insn{Code: classJMP32 | op, Dst: r, Imm: v, Off: o}
}
func ja(o int16) Insn        { return Insn{Code: 0x05, Off: o} }
func call(helper int32) Insn { return Insn{Code: codeCall, Imm: helper} }
func callFunc() Insn         { return Insn{Code: codeCall, Src: pseudoCall} }
func exit() Insn             { return Insn{Code: 0x95} }
func load(size, r, s uint8, o int16) Insn {
	c, _ := memCode(uint32(size))
	return Insn{Code: 0x61 | c, Dst: r, Src: s, Off: o}
}
func store(size, d, s uint8, o int16) Insn {
	c, _ := memCode(uint32(size))
	return Insn{Code: 0x63 | c, Dst: d, Src: s, Off: o}
}
func storeImm(size, d uint8, o int16, v int32) Insn {
	c, _ := memCode(uint32(size))
	return Insn{Code: 0x62 | c, Dst: d, Off: o, Imm: v}
}
func atomicOp(size, d, s uint8, o int16, op int32) Insn {
	c, _ := memCode(uint32(size))
	return Insn{Code: 0xc3 | c, Dst: d, Src: s, Off: o, Imm: op}
}
func loadImm64(r uint8, v uint64) []Insn {
	return []Insn{{Code: codeLdImm, Dst: r, Imm: int32(v)}, {Imm: int32(v >> 32)}}
}

// program is a program of one function, which the test walks on its own.
func program(insns ...Insn) *Program {
	f := &Func{Name: "main", Insns: insns}
	return &Program{Name: "main", Entry: f, Funcs: []*Func{f}}
}

const newestVersion KernelVersion = 0x070200

// TestReachValues looks at what a register is known to hold at the end of some code.
func TestReachValues(t *testing.T) {
	t.Parallel()
	const no = "unknown"
	minus := func(n uint64) uint64 { return -n }
	fp := func(r uint8, off int32) []Insn { return []Insn{movReg(r, regFP), alu64Imm(aluAdd, r, off)} }
	code := func(parts ...any) (out []Insn) {
		for _, p := range parts {
			switch p := p.(type) {
			case Insn:
				out = append(out, p)
			case []Insn:
				out = append(out, p...)
			}
		}
		return out
	}
	tests := []struct {
		name    string
		code    []Insn
		version KernelVersion // 0: the newest
		want    any           // of r3; no: nothing
	}{
		{"nothing", nil, 0, no},
		{"mov", code(movImm(3, -2)), 0, minus(2)},
		{"mov32 extends with zeroes", code(mov32Imm(3, -2)), 0, uint64(0xfffffffe)},
		{"mov of a register", code(movImm(1, 5), movReg(3, 1)), 0, uint64(5)},
		{"mov32 of a register", code(movImm(1, -1), mov32Reg(3, 1)), 0, uint64(0xffffffff)},
		{"mov of an unknown", code(movImm(3, 5), movReg(3, 1)), 0, no},
		{"mov32 of an unknown", code(movImm(3, 5), mov32Reg(3, 1)), 0, no},
		{"mov32 of a pointer", code(movImm(3, 0), mov32Reg(3, regFP)), 0, no},
		{"movsx8", code(movImm(1, 0x180), Insn{Code: 0xbf, Dst: 3, Src: 1, Off: 8}), 0, minus(128)},
		{"movsx16", code(movImm(1, 0x18000), Insn{Code: 0xbf, Dst: 3, Src: 1, Off: 16}), 0, minus(32768)},
		{"movsx32", code(mov32Imm(1, -7), Insn{Code: 0xbf, Dst: 3, Src: 1, Off: 32}), 0, minus(7)},
		{"movsx8 of 32 bits", code(movImm(1, 0x80), Insn{Code: 0xbc, Dst: 3, Src: 1, Off: 8}), 0, uint64(0xffffff80)},
		{"movsx of an unknown", code(movImm(3, 1), Insn{Code: 0xbf, Dst: 3, Src: 1, Off: 8}), 0, no},
		{"cast of an address space", code(movImm(1, 1), Insn{Code: 0xbf, Dst: 3, Src: 1, Off: 1}), 0, no},
		{"ldimm64", loadImm64(3, 0x123456789abcdef0), 0, uint64(0x123456789abcdef0)},
		{"ldimm64 of 0xffffffff", loadImm64(3, 0xffffffff), 0, uint64(0xffffffff)},
		{"ldimm64 of what may be an address", loadImm64(3, 0), 0, no},
		{"ldimm64 of a map", []Insn{{Code: codeLdImm, Dst: 3, Src: 1, Imm: -1}, {}}, 0, no},

		{"add", code(movImm(3, 7), alu64Imm(aluAdd, 3, -8)), 0, minus(1)},
		{"add32", code(movImm(3, 7), alu32Imm(aluAdd, 3, -8)), 0, uint64(0xffffffff)},
		{"sub", code(movImm(3, 7), movImm(1, 9), alu64Reg(aluSub, 3, 1)), 0, minus(2)},
		{"sub32", code(movImm(3, 7), movImm(1, 9), alu32Reg(aluSub, 3, 1)), 0, uint64(0xfffffffe)},
		{"mul", code(movImm(3, -3), alu64Imm(aluMul, 3, 5)), 0, minus(15)},
		{"mul32", code(movImm(3, -3), alu32Imm(aluMul, 3, 5)), 0, uint64(0xfffffff1)},
		{"or", code(movImm(3, 5), alu64Imm(aluOr, 3, 0x12)), 0, uint64(0x17)},
		{"and", code(movImm(3, 5), alu64Imm(aluAnd, 3, 0x14)), 0, uint64(4)},
		{"and extends the sign", append(loadImm64(3, 0x123456789abcdef0), alu64Imm(aluAnd, 3, -16)), 0, uint64(0x123456789abcdef0)},
		{"and with 0", code(alu64Imm(aluAnd, 3, 0)), 0, uint64(0)},
		{"and of 0", code(movImm(3, 0), alu64Reg(aluAnd, 3, 1)), 0, uint64(0)},
		{"and of 32 zero bits", append(loadImm64(3, 1<<32), alu32Reg(aluAnd, 3, 1)), 0, uint64(0)},
		{"and of 64 bits, not all zero", append(loadImm64(3, 1<<32), alu64Reg(aluAnd, 3, 1)), 0, no},
		{"xor", code(movImm(3, 5), alu64Imm(aluXor, 3, 1)), 0, uint64(4)},
		{"xor before 5.10", code(movImm(3, 5), alu64Imm(aluXor, 3, 1)), reachXor - 1, no},
		{"xor of 5.10", code(movImm(3, 5), alu64Imm(aluXor, 3, 1)), reachXor, uint64(4)},
		{"lsh", code(movImm(3, 5), alu64Imm(aluLsh, 3, 60)), 0, uint64(5 << 60 & (1<<64 - 1))},
		{"lsh32", code(movImm(3, -1), alu32Imm(aluLsh, 3, 4)), 0, uint64(0xfffffff0)},
		{"rsh", code(movImm(3, -1), alu64Imm(aluRsh, 3, 60)), 0, uint64(15)},
		{"rsh32", code(movImm(3, -1), alu32Imm(aluRsh, 3, 28)), 0, uint64(15)},
		{"arsh", code(movImm(3, -16), alu64Imm(aluArsh, 3, 2)), 0, minus(4)},
		{"arsh32", code(movImm(3, -16), alu32Imm(aluArsh, 3, 2)), 0, uint64(0xfffffffc)},
		{"shift of as many bits as there are", code(movImm(3, 1), movImm(1, 64), alu64Reg(aluLsh, 3, 1)), 0, no},
		{"shift32 of as many bits as there are", code(movImm(3, 1), movImm(1, 32), alu32Reg(aluRsh, 3, 1)), 0, no},
		{"the verifier forgets a quotient", code(movImm(3, 8), alu64Imm(0x30, 3, 2)), 0, no},
		{"a remainder", code(movImm(3, 8), alu64Imm(0x90, 3, 3)), 0, no},
		{"a negative", code(movImm(3, 8), alu64Imm(0x80, 3, 0)), 0, no},
		{"a swap of bytes", code(movImm(3, 8), alu32Imm(0xd0, 3, 16)), 0, no},
		{"an operation that is none", code(movImm(3, 8), alu64Imm(0xe0, 3, 1)), 0, no},
		{"a constant with an unknown", code(movImm(3, 8), alu64Reg(aluAdd, 3, 1)), 0, no},

		{"a helper keeps r6", code(movImm(6, 3), call(5), movReg(3, 6)), 0, uint64(3)},
		{"a helper takes r3", code(movImm(3, 3), call(5)), 0, no},
		{"a helper's result", code(movImm(0, 3), call(5), movReg(3, 0)), 0, no},
		{"ld_abs takes r3", code(movImm(3, 3), Insn{Code: 0x20, Imm: 4}), 0, no},
		{"ld_ind keeps r6", code(movImm(6, 3), Insn{Code: 0x40, Src: 7}, movReg(3, 6)), 0, uint64(3)},

		{"spill", code(movImm(1, 3), store(8, regFP, 1, -8), load(8, 3, regFP, -8)), 0, uint64(3)},
		{"spill before 5.3", code(movImm(1, 3), store(8, regFP, 1, -8), load(8, 3, regFP, -8)), reachSpills - 1, no},
		{"spill of an unknown", code(movImm(1, 3), store(8, regFP, 1, -8), store(8, regFP, 2, -8), load(8, 3, regFP, -8)), 0, no},
		{"another slot", code(movImm(1, 3), store(8, regFP, 1, -8), store(8, regFP, 2, -16), load(8, 3, regFP, -8)), 0, uint64(3)},
		{"half of it overwritten", code(movImm(1, 3), store(8, regFP, 1, -8), store(4, regFP, 2, -4), load(8, 3, regFP, -8)), 0, no},
		{"a byte of it overwritten", code(movImm(1, 3), store(8, regFP, 1, -8), store(1, regFP, 2, -1), load(8, 3, regFP, -8)), 0, no},
		{"a store into two slots", code(movImm(1, 3), store(8, regFP, 1, -16), store(8, regFP, 2, -12), load(8, 3, regFP, -16)), 0, no},
		{"another size", code(movImm(1, 3), store(8, regFP, 1, -8), load(4, 3, regFP, -8)), 0, no},
		{"loads with sign", code(movImm(1, 3), store(8, regFP, 1, -8), Insn{Code: 0x81 | 0x18, Dst: 3, Src: regFP, Off: -8}), 0, no},
		{"half a slot", code(movImm(1, 3), store(4, regFP, 1, -8), load(4, 3, regFP, -8)), 0, uint64(3)},
		{"half a slot loses upper bits", code(movImm(1, -3), store(4, regFP, 1, -8), load(4, 3, regFP, -8)), 0, uint64(0xfffffffd)},
		{"half a slot before 5.16", code(movImm(1, 3), store(4, regFP, 1, -8), load(4, 3, regFP, -8)), reachNarrowSpills - 1, no},
		{"zero in half a slot before 5.16", code(movImm(1, 0), store(4, regFP, 1, -8), load(4, 3, regFP, -8)), reachNarrowSpills - 1, uint64(0)},
		{"the upper half", code(movImm(1, 3), store(4, regFP, 1, -4), load(4, 3, regFP, -4)), 0, no},
		{"zero in the upper half", code(movImm(1, 0), store(4, regFP, 1, -4), load(4, 3, regFP, -4)), 0, uint64(0)},
		{"the other half", code(movImm(1, 0), store(4, regFP, 1, -4), load(4, 3, regFP, -8)), 0, no},
		{"a store of an immediate", code(storeImm(8, regFP, -8, 3), load(8, 3, regFP, -8)), 0, uint64(3)},
		{"a store of an immediate before 6.3", code(storeImm(8, regFP, -8, 3), load(8, 3, regFP, -8)), reachStoreImm - 1, no},
		{"a store of a negative immediate", code(storeImm(8, regFP, -8, -3), load(8, 3, regFP, -8)), 0, no},
		{"below the stack", code(movImm(1, 3), store(8, regFP, 1, -520), load(8, 3, regFP, -520)), 0, no},
		{"above the stack", code(movImm(1, 3), store(8, regFP, 1, 0), load(8, 3, regFP, 0)), 0, no},
		{"the lowest slot", code(movImm(1, 3), store(8, regFP, 1, -512), load(8, 3, regFP, -512)), 0, uint64(3)},

		{"read through another register", code(movImm(1, 3), store(8, regFP, 1, -8), fp(2, -16), load(8, 3, 2, 8)), 0, uint64(3)},
		{"through a difference", code(movImm(1, 3), store(8, regFP, 1, -8), movReg(2, regFP), alu64Imm(aluSub, 2, 8), load(8, 3, 2, 0)), 0, uint64(3)},
		{"through a sum the other way round", code(movImm(1, 3), store(8, regFP, 1, -8), movImm(2, -8), alu64Reg(aluAdd, 2, regFP), load(8, 3, 2, 0)), 0, uint64(3)},
		{"written through another register", code(movImm(1, 3), store(8, regFP, 1, -8), fp(2, -16), store(8, 2, 4, 8), load(8, 3, regFP, -8)), 0, no},
		{"beside it through another register", code(movImm(1, 3), store(8, regFP, 1, -8), fp(2, -16), store(8, 2, 4, 0), load(8, 3, regFP, -8)), 0, uint64(3)},
		{"written through a spilled pointer", code(movImm(1, 3), store(8, regFP, 1, -8), fp(2, -8), store(8, regFP, 2, -16), load(8, 5, regFP, -16), store(8, 5, 4, 0), load(8, 3, regFP, -8)), 0, no},
		{"written through a pointer from memory", code(movImm(1, 3), store(8, regFP, 1, -8), fp(2, -8), store(8, 6, 2, 0), load(8, 5, 6, 0), store(8, 5, 4, 0), load(8, 3, regFP, -8)), 0, no},
		{"written through a pointer with an index", code(movImm(1, 3), store(8, regFP, 1, -8), fp(2, -8), alu64Reg(aluAdd, 2, 4), store(8, 2, 4, 0), load(8, 3, regFP, -8)), 0, no},
		{"written through a pointer that no stack has", code(movImm(1, 3), store(8, regFP, 1, -8), store(8, 6, 4, 0), load(8, 3, regFP, -8)), 0, uint64(3)},
		{"a helper that gets no pointer", code(movImm(1, 3), store(8, regFP, 1, -8), movImm(1, 0), call(5), load(8, 3, regFP, -8)), 0, uint64(3)},
		{"a helper that gets a pointer to it", code(movImm(1, 3), store(8, regFP, 1, -8), fp(2, -8), call(5), load(8, 3, regFP, -8)), 0, no},
		{"a helper that gets a pointer below it", code(movImm(1, 3), store(8, regFP, 1, -8), fp(2, -64), call(5), load(8, 3, regFP, -8)), 0, no},
		{"a helper that gets a pointer above it", code(movImm(1, 3), store(8, regFP, 1, -16), fp(2, -8), call(5), load(8, 3, regFP, -16)), 0, uint64(3)},
		{"a helper after a pointer went to memory", code(movImm(1, 3), store(8, regFP, 1, -16), fp(2, -8), store(8, 6, 2, 0), call(5), load(8, 3, regFP, -16)), 0, no},
		{"a helper may have left a spilled pointer", code(
			movImm(1, 3), store(8, regFP, 1, -24), fp(2, -24), store(8, regFP, 2, -8), fp(2, -16), call(5),
			load(8, 5, regFP, -8), store(8, 5, 6, 0), load(8, 3, regFP, -24)), 0, no},

		{"written through one of two pointers", code(
			movImm(1, 3), store(8, regFP, 1, -16), fp(2, -8), jmpImm(jmpEq, 6, 0, 1), alu64Imm(aluAdd, 2, -8),
			store(8, 2, 6, 0), load(8, 3, regFP, -16)), 0, no},
		{"a pointer that went to memory on one way", code(
			movImm(1, 3), store(8, regFP, 1, -16), fp(2, -8), jmpImm(jmpEq, 6, 0, 1), store(8, 7, 2, 0),
			load(8, 5, 7, 0), movImm(2, 0), store(8, 5, 6, 0), load(8, 3, regFP, -16)), 0, no},

		{"atomic without result", code(movImm(3, 1), atomicOp(8, 6, 3, 0, aluAdd)), 0, uint64(1)},
		{"atomic with the old value", code(movImm(3, 1), atomicOp(8, 6, 3, 0, aluAdd|atomicFetch)), 0, no},
		{"xchg", code(movImm(3, 1), atomicOp(8, 6, 3, 0, 0xe0|atomicFetch)), 0, no},
		{"cmpxchg keeps its source", code(movImm(3, 1), atomicOp(8, 6, 3, 0, atomicCmpXchg)), 0, uint64(1)},
		{"cmpxchg changes r0", code(movImm(0, 1), atomicOp(8, 6, 3, 0, atomicCmpXchg), movReg(3, 0)), 0, no},
		{"load_acquire", code(movImm(3, 1), atomicOp(8, 3, 6, 0, atomicLoad)), 0, no},
		{"store_release", code(movImm(3, 1), atomicOp(8, 6, 3, 0, atomicStore)), 0, uint64(1)},
		{"atomic on a slot", code(movImm(1, 1), store(8, regFP, 1, -8), atomicOp(8, regFP, 1, -8, aluAdd), load(8, 3, regFP, -8)), 0, no},

		{"the same on both ways", code(movImm(3, 1), jmpImm(jmpEq, 1, 0, 2), movImm(3, 1), ja(0)), 0, uint64(1)},
		{"not the same on both ways", code(movImm(3, 1), jmpImm(jmpEq, 1, 0, 1), movImm(3, 2)), 0, no},
		{"not the same in a slot", code(movImm(2, 1), jmpImm(jmpEq, 1, 0, 1), movImm(2, 2), store(8, regFP, 2, -8), load(8, 3, regFP, -8)), 0, no},
		{"a number that is one of two", code(movImm(3, 1), jmpImm(jmpEq, 1, 0, 1), movImm(3, 2), jmpImm(jmpEq, 3, 1, 1), movImm(3, 1)), 0, uint64(1)},
		{"found not to be unequal", code(movImm(3, 1), jmpImm(jmpEq, 1, 0, 1), movImm(3, 2), jmpImm(jmpNe, 3, 1, 1), ja(1), movImm(3, 1)), 0, uint64(1)},
		{"found equal to a register", code(movImm(4, 1), movImm(3, 1), jmpImm(jmpEq, 1, 0, 1), movImm(3, 2), jmpReg(jmpEq, 4, 3, 1), movImm(3, 1)), 0, uint64(1)},
		// What is in r3 may be a pointer, of which the verifier would not believe that it is 0.
		{"an unknown that is 0", code(jmpImm(jmpEq, 3, 0, 1), movImm(3, 0)), 0, no},
		{"equal in 32 bits", code(movImm(3, 1), jmpImm(jmpEq, 1, 0, 1), movImm(3, 2), jmp32Imm(jmpEq, 3, 1, 1), movImm(3, 1)), 0, no},
		{"in a loop", code(movImm(3, 0), movImm(6, 0), alu64Imm(aluAdd, 6, 1), jmpImm(jmpNe, 1, 0, -2)), 0, uint64(0)},
		{"counted in a loop", code(movImm(3, 0), alu64Imm(aluAdd, 3, 1), jmpImm(jmpNe, 1, 0, -2)), 0, no},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			value := uint64(0x5a5a5a5a5a5a) // where nothing is known this will do as well as any
			if v, ok := tt.want.(uint64); ok {
				value = v
			}
			version := tt.version
			if version == 0 {
				version = newestVersion
			}
			insns := append([]Insn(nil), tt.code...)
			insns = append(insns, movImm(9, int32(value>>32)), alu64Imm(aluLsh, 9, 32), mov32Imm(8, int32(value)), alu64Reg(aluOr, 9, 8))
			n := len(insns)
			compare := jmpReg(jmpEq, 3, 9, 1)
			if version < reachSpills { // which does not decide it
				compare = jmpImm(jmpEq, 3, int32(value), 1)
			}
			p := program(append(insns, compare, exit(), exit())...)
			r := p.Reach(nil, ReachOptions{Version: version})
			unequal, equal := r.Reached(p.Entry, n+1), r.Reached(p.Entry, n+2)
			if tt.want == no && !(unequal && equal) {
				t.Errorf("r3 is known: unequal %t, equal %t; want both", unequal, equal)
			} else if tt.want != no && (unequal || !equal) {
				t.Errorf("r3 is not known to be %#x: unequal %t, equal %t", value, unequal, equal)
			}
		})
	}
}

// TestReachJumps holds every comparison, in 64 and 32 bits, against constants.
func TestReachJumps(t *testing.T) {
	t.Parallel()
	const big = 1<<32 + 1
	tests := []struct {
		name         string
		op           uint8
		a            uint64
		b            int32
		wide, narrow bool // is the jump taken
	}{
		{"jeq", jmpEq, 5, 5, true, true},
		{"jeq", jmpEq, big, 1, false, true},
		{"jne", jmpNe, 5, 5, false, false},
		{"jne", jmpNe, big, 1, true, false},
		{"jgt", jmpGt, 5, -1, false, false},
		{"jgt", jmpGt, big, 1, true, false},
		{"jge", jmpGe, 5, 5, true, true},
		{"jge", jmpGe, 4, 5, false, false},
		{"jlt", jmpLt, 5, -1, true, true},
		{"jlt", jmpLt, 5, 5, false, false},
		{"jle", jmpLe, 5, 5, true, true},
		{"jle", jmpLe, big, 1, false, true},
		{"jset", jmpSet, 6, 4, true, true},
		{"jset", jmpSet, 6, 1, false, false},
		{"jset", jmpSet, 1 << 32, -1, true, false},
		{"jsgt", jmpSGt, 5, -1, true, true},
		{"jsgt", jmpSGt, 0xffffffff, 0, true, false},
		{"jsge", jmpSGe, 5, 5, true, true},
		{"jsge", jmpSGe, 5, 6, false, false},
		{"jslt", jmpSLt, 5, -1, false, false},
		{"jslt", jmpSLt, 0xffffffff, 0, false, true},
		{"jsle", jmpSLe, 5, 5, true, true},
		{"jsle", jmpSLe, 5, -6, false, false},
	}
	for _, tt := range tests {
		for _, wide := range []bool{true, false} {
			want, class := tt.narrow, uint8(classJMP32)
			if wide {
				want, class = tt.wide, classJMP
			}
			start := []Insn{movImm(1, int32(tt.a>>32)), alu64Imm(aluLsh, 1, 32), mov32Imm(3, int32(tt.a)), alu64Reg(aluOr, 1, 3)}
			imm := program(append(start[:4:4], Insn{Code: class | tt.op, Dst: 1, Imm: tt.b, Off: 1}, exit(), exit())...)
			reg := program(append(start[:4:4], movImm(2, tt.b), Insn{Code: class | tt.op | srcReg, Dst: 1, Src: 2, Off: 1}, exit(), exit())...)
			open := program(append(start[:4:4], Insn{Code: class | tt.op | srcReg, Dst: 1, Src: 2, Off: 1}, exit(), exit())...)
			for _, c := range []struct {
				how           string
				p             *Program
				at            int
				version       KernelVersion
				taken, behind bool
			}{
				{"immediate", imm, 4, 0, want, !want},
				{"register", reg, 5, reachSpills, want, !want},
				{"register before 5.3", reg, 5, reachSpills - 1, true, true},
				{"unknown register", open, 4, newestVersion, true, true},
			} {
				r := c.p.Reach(nil, ReachOptions{Version: c.version})
				behind, taken := r.Reached(c.p.Entry, c.at+1), r.Reached(c.p.Entry, c.at+2)
				if taken != c.taken || behind != c.behind {
					t.Errorf("%s %#x, %d, 64 bits %t, %s: taken %t, not taken %t; want %t, %t", tt.name, tt.a, tt.b, wide, c.how, taken, behind, c.taken, c.behind)
				}
			}
		}
	}
}

// TestReachFlow looks at which instructions are reached: one letter each, 'r' or '-'.
func TestReachFlow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		code []Insn
		want string
	}{
		{"straight", []Insn{movImm(0, 0), exit()}, "rr"},
		{"behind exit", []Insn{exit(), movImm(0, 0), exit()}, "r--"},
		{"ja", []Insn{ja(1), movImm(0, 0), exit()}, "r-r"},
		{"gotol", []Insn{{Code: 0x06, Imm: 1, Off: 77}, movImm(0, 0), exit()}, "r-r"},
		{"may_goto", []Insn{{Code: 0xe5, Off: 1}, movImm(0, 0), exit()}, "rrr"},
		{"may_goto of constants", []Insn{movImm(0, 0), {Code: 0xe5, Off: 1}, movImm(0, 0), exit()}, "rrrr"},
		{"both halves of an ldimm64", append(loadImm64(1, 1<<40), exit(), exit()), "rrr-"},
		{"endless loop", []Insn{ja(-1), exit()}, "r-"},
		{"a call of nothing that is there", []Insn{{Code: codeCall, Src: pseudoCall, Imm: -1}, exit()}, "rr"},

		{"no code", nil, ""},
		{"falls off the end", []Insn{exit(), movImm(0, 0)}, "rr"},
		{"ends with a call", []Insn{exit(), call(5)}, "rr"},
		{"ends with a jump", []Insn{exit(), jmpImm(jmpEq, 1, 0, -2)}, "rr"},
		{"jumps out at the end", []Insn{ja(1), exit()}, "rr"},
		{"jumps out at the start", []Insn{jmpImm(jmpEq, 1, 0, -2), exit(), exit()}, "rrr"},
		{"gotol out", []Insn{{Code: 0x06, Imm: -1 << 31}, exit(), exit()}, "rrr"},
		{"ldimm64 cut off", []Insn{exit(), {Code: codeLdImm}}, "rr"},
		{"ldimm64 at the end", append([]Insn{exit()}, loadImm64(1, 1)...), "rrr"},
		{"into an ldimm64", append([]Insn{ja(1)}, append(loadImm64(1, 1), exit(), exit())...), "rrrrr"},
		{"gotox", []Insn{{Code: 0x0d, Dst: 1}, exit(), exit()}, "rrr"},
		{"no such jump", []Insn{{Code: 0xf5}, exit(), exit()}, "rrr"},
		{"no such 32-bit jump", []Insn{{Code: 0xe6}, exit(), exit()}, "rrr"},
		{"32-bit exit", []Insn{{Code: 0x96}, exit(), exit()}, "rrr"},
		{"no such register", []Insn{exit(), movReg(1, 11), exit()}, "rrr"},
		{"no such target register", []Insn{exit(), movImm(15, 1), exit()}, "rrr"},
		{"writes the frame pointer", []Insn{exit(), movImm(regFP, 1), exit()}, "rrr"},
		{"loads the frame pointer", []Insn{exit(), load(8, regFP, 1, 0), exit()}, "rrr"},
	}
	for _, tt := range tests {
		p := program(tt.code...)
		r := p.Reach(nil, ReachOptions{Version: newestVersion})
		var got strings.Builder
		for i := range tt.code {
			if r.Reached(p.Entry, i) {
				got.WriteByte('r')
			} else {
				got.WriteByte('-')
			}
		}
		if got.String() != tt.want {
			t.Errorf("%s: reached %s, want %s", tt.name, got.String(), tt.want)
		}
		if !r.Reached(p.Entry, -1) || !r.Reached(p.Entry, len(tt.code)) || !r.Reached(new(Func), 0) {
			t.Errorf("%s: what is not in the program is not reached", tt.name)
		}
	}
}

// TestReachCalls walks programs of several functions.
func TestReachCalls(t *testing.T) {
	t.Parallel()
	// fns makes a program; calls are given by instruction: "main:1→sub", "main:1&sub" for an address.
	fns := func(code map[string][]Insn, order []string, static map[string]bool, calls ...string) *Program {
		p := &Program{Name: order[0]}
		byName := make(map[string]*Func)
		for _, name := range order {
			f := &Func{Name: name, Insns: code[name], Static: static[name]}
			byName[name] = f
			p.Funcs = append(p.Funcs, f)
		}
		p.Entry = p.Funcs[0]
		for _, c := range calls {
			c, ref := strings.CutSuffix(c, "&")
			from, rest, _ := strings.Cut(c, ":")
			at, to, _ := strings.Cut(rest, " ")
			insn, err := strconv.Atoi(at)
			if err != nil || byName[from] == nil || byName[to] == nil {
				t.Fatalf("bad call %q", c)
			}
			byName[from].Calls = append(byName[from].Calls, Call{Insn: insn, To: byName[to], Ref: ref})
		}
		return p
	}
	static := map[string]bool{"sub": true, "sub2": true}
	order := []string{"main", "sub"}
	// r0 is 0 or not: the last two instructions tell.
	zero := []Insn{jmpImm(jmpNe, 0, 0, 1), exit(), exit()}
	withZero := func(insns ...Insn) []Insn { return append(insns, zero...) }
	funcRef := []Insn{{Code: codeLdImm, Dst: 2, Src: pseudoFunc}, {}}
	tests := []struct {
		name    string
		p       *Program
		version KernelVersion // 0: the newest
		want    string
	}{
		{"a constant returned", fns(map[string][]Insn{
			"main": withZero(callFunc()),
			"sub":  {movImm(0, 0), exit()},
		}, order, static, "main:0 sub"), 0, "rrr- rr"},
		{"two constants returned", fns(map[string][]Insn{
			"main": withZero(callFunc()),
			"sub":  {movImm(0, 0), jmpImm(jmpEq, 1, 0, 1), movImm(0, 1), exit()},
		}, order, static, "main:0 sub"), 0, "rrrr rrrr"},
		{"an unknown returned", fns(map[string][]Insn{
			"main": withZero(callFunc()),
			"sub":  {movReg(0, 1), exit()},
		}, order, static, "main:0 sub"), 0, "rrrr rr"},
		{"an argument handed back", fns(map[string][]Insn{
			"main": withZero(movImm(3, 0), callFunc()),
			"sub":  {movReg(0, 3), exit()},
		}, order, static, "main:1 sub"), 0, "rrrr- rr"},
		{"arguments of two calls", fns(map[string][]Insn{
			"main": withZero(movImm(1, 0), callFunc(), movImm(1, 1), callFunc()),
			"sub":  {jmpImm(jmpEq, 1, 0, 1), exit(), movImm(0, 7), exit()},
		}, order, static, "main:1 sub", "main:3 sub"), 0, "rrrrrrr rrrr"},
		{"no pointers to places of the caller", fns(map[string][]Insn{
			"main": {movImm(6, 3), store(8, regFP, 6, -8), movReg(1, regFP), callFunc(), exit()},
			"sub":  {movImm(6, 0), store(8, regFP, 6, -8), store(8, 1, 2, -8), load(8, 0, regFP, -8), jmpImm(jmpEq, 0, 0, 1), exit(), exit()},
		}, order, static, "main:3 sub"), 0, "rrrrr rrrrr-r"},
		{"r6 stays, r1 does not", fns(map[string][]Insn{
			"main": {movImm(6, 0), movImm(1, 0), callFunc(), jmpImm(jmpNe, 6, 0, 2), jmpImm(jmpNe, 1, 0, 2), exit(), exit(), exit()},
			"sub":  {movImm(6, 5), movImm(0, 0), exit()},
		}, order, static, "main:2 sub"), 0, "rrrrrr-r rrr"},
		{"a slot stays", fns(map[string][]Insn{
			"main": withZero(movImm(1, 0), store(8, regFP, 1, -8), callFunc(), load(8, 0, regFP, -8)),
			"sub":  {movImm(0, 5), store(8, regFP, 0, -8), exit()},
		}, order, static, "main:2 sub"), 0, "rrrrrr- rrr"},
		{"a slot that the callee may write", fns(map[string][]Insn{
			"main": withZero(movImm(1, 0), store(8, regFP, 1, -16), movReg(1, regFP), callFunc(), load(8, 0, regFP, -16)),
			"sub":  {store(8, 1, 2, -16), movImm(0, 0), exit()},
		}, order, static, "main:3 sub"), 0, "rrrrrrrr rrr"},
		{"a callee that does not return", fns(map[string][]Insn{
			"main": withZero(callFunc()),
			"sub":  {ja(-1), exit()},
		}, order, static, "main:0 sub"), 0, "r--- r-"},
		{"a callee of a callee", fns(map[string][]Insn{
			"main": withZero(callFunc()),
			"sub":  {callFunc(), exit()},
			"sub2": {movImm(0, 0), exit()},
		}, []string{"main", "sub", "sub2"}, static, "main:0 sub", "sub:0 sub2"), 0, "rrr- rr rr"},
		{"a callee that calls itself", fns(map[string][]Insn{
			"main": withZero(movImm(1, 1), callFunc()),
			"sub":  {movImm(0, 0), jmpImm(jmpEq, 1, 0, 2), movImm(1, 0), callFunc(), exit()},
		}, order, static, "main:1 sub", "sub:3 sub"), 0, "rrrr- rrrrr"},
		{"a call that is not reached", fns(map[string][]Insn{
			"main": {exit(), callFunc(), exit()},
			"sub":  {exit()},
		}, order, static, "main:1 sub"), 0, "r-- -"},
		{"a global function knows no arguments", fns(map[string][]Insn{
			"main": {movImm(1, 0), callFunc(), exit()},
			"sub":  {jmpImm(jmpEq, 1, 0, 1), exit(), exit()},
		}, order, nil, "main:1 sub"), 0, "rrr rrr"},
		{"a global function returns something", fns(map[string][]Insn{
			"main": withZero(callFunc()),
			"sub":  {movImm(0, 0), exit()},
		}, order, nil, "main:0 sub"), 0, "rrrr rr"},
		{"a global function that is not called", fns(map[string][]Insn{
			"main": {exit(), callFunc(), exit()},
			"sub":  {exit()},
		}, order, nil, "main:1 sub"), 0, "r-- -"},
		{"a global function that is not called, before 6.8", fns(map[string][]Insn{
			"main": {exit(), callFunc(), exit()},
			"sub":  {exit()},
		}, order, nil, "main:1 sub"), reachLazyGlobals - 1, "r-- r"},
		{"a callback", fns(map[string][]Insn{
			"main": append(append([]Insn{movImm(1, 0)}, funcRef...), call(181), exit()),
			"sub":  {jmpImm(jmpEq, 1, 0, 1), exit(), exit()},
		}, order, static, "main:1 sub&"), 0, "rrrrr rrr"},
		{"a callback that is not reached", fns(map[string][]Insn{
			"main": append(append([]Insn{exit()}, funcRef...), call(181), exit()),
			"sub":  {exit()},
		}, order, static, "main:1 sub&"), 0, "r---- -"},
		{"a callback may write below the pointer that it gets", fns(map[string][]Insn{
			"main": append(append([]Insn{movImm(1, 0), store(8, regFP, 1, -16), movReg(3, regFP)}, funcRef...), withZero(call(181), load(8, 0, regFP, -16))...),
			"sub":  {exit()},
		}, order, static, "main:3 sub&"), 0, "rrrrrrrrrr r"},
		{"a function whose code makes no sense", fns(map[string][]Insn{
			"main": {exit(), callFunc(), exit()},
			"sub":  {ja(7)},
		}, order, static, "main:1 sub"), 0, "rrr r"},
	}
	for _, tt := range tests {
		version := tt.version
		if version == 0 {
			version = newestVersion
		}
		if got := reachString(tt.p, tt.p.Reach(nil, ReachOptions{Version: version})); got != tt.want {
			t.Errorf("%s: reached %s, want %s", tt.name, got, tt.want)
		}
	}
	gone := fns(map[string][]Insn{"main": withZero(movImm(1, 3), store(8, regFP, 1, -16), movReg(1, regFP), callFunc(), load(8, 0, regFP, -16)), "sub": {exit()}}, order, static, "main:3 sub")
	gone.Funcs = gone.Funcs[:1]
	if got := reachString(gone, gone.Reach(nil, ReachOptions{Version: newestVersion})); got != "rrrrrrrr" {
		t.Errorf("a callee that is not in the program: reached %s, want all", got)
	}
}

// reachString has a word for each function and a letter for each instruction: 'r' or '-'.
func reachString(p *Program, r *Reach) string {
	var b strings.Builder
	for i, f := range p.Funcs {
		if i > 0 {
			b.WriteByte(' ')
		}
		for i := range f.Insns {
			if r.Reached(f, i) {
				b.WriteByte('r')
			} else {
				b.WriteByte('-')
			}
		}
	}
	return b.String()
}

// TestReachOptions looks at what is known of externs and data.
func TestReachOptions(t *testing.T) {
	t.Parallel()
	weak := &Extern{Name: "weak", Kind: ExternKfunc, Weak: true}
	strong := &Extern{Name: "strong", Kind: ExternKsym}
	option := &Extern{Name: "CONFIG_X", Kind: ExternKconfig, Weak: true}
	data := &Map{Name: ".rodata", Data: true, Content: []byte{1, 0}}
	addr := []Insn{{Code: codeLdImm, Dst: 1}, {}}
	ptr := append(append([]Insn(nil), addr...), jmpImm(jmpNe, 1, 0, 1), exit(), exit())
	read := func(off int16) []Insn {
		return append(append([]Insn(nil), addr...), load(1, 1, 1, off), jmpImm(jmpNe, 1, 0, 1), exit(), exit())
	}
	all := ReachOptions{
		Version: newestVersion,
		Missing: func(*Extern) bool { return true },
		Kconfig: func(e *Extern, size int) (uint64, bool) { return 0, e == option && size == 1 },
		Data: func(m *Map, off uint32, size int) (uint64, bool) {
			if m != data || int(off)+size > len(m.Content) || size != 1 {
				return 0, false
			}
			return uint64(m.Content[off]), true
		},
	}
	old := all
	old.Version = reachReadOnly - 1
	tests := []struct {
		name   string
		code   []Insn
		extern *Extern
		value  bool // of data, else the map itself
		off    uint32
		opt    ReachOptions
		want   string
	}{
		{"a weak kfunc that is missing", ptr, weak, false, 0, all, "rrrr-"},
		{"a weak kfunc of which nothing is known", ptr, weak, false, 0, ReachOptions{Version: newestVersion}, "rrrrr"},
		{"a strong ksym", ptr, strong, false, 0, all, "rrrrr"},
		{"the address of an option", ptr, option, false, 0, all, "rrrrr"},
		{"an option", read(0), option, false, 0, all, "rrrrr-"},
		{"an option before 5.5", read(0), option, false, 0, old, "rrrrrr"},
		{"behind an option", read(1), option, false, 0, all, "rrrrrr"},
		{"an option of which nothing is known", read(0), option, false, 0, ReachOptions{Version: newestVersion}, "rrrrrr"},
		{"data that is 1", read(0), nil, true, 0, all, "rrrr-r"},
		{"data that is 0", read(1), nil, true, 0, all, "rrrrr-"},
		{"data that the address points to", read(0), nil, true, 1, all, "rrrrr-"},
		{"data before 5.5", read(0), nil, true, 0, old, "rrrrrr"},
		{"behind the data", read(2), nil, true, 0, all, "rrrrrr"},
		{"before the data", read(-1), nil, true, 0, all, "rrrrrr"},
		{"a map", read(0), nil, false, 0, all, "rrrrrr"},
		{"data of which nothing is known", read(0), nil, true, 0, ReachOptions{Version: newestVersion}, "rrrrrr"},
	}
	for _, tt := range tests {
		p := program(tt.code...)
		if tt.extern != nil {
			p.Entry.Kfuncs = []Ref{{Insn: 0, Extern: tt.extern}}
		} else {
			p.Entry.MapRefs = []MapRef{{Insn: 0, Map: data, Value: tt.value, Off: tt.off}}
		}
		if got := reachString(p, p.Reach(nil, tt.opt)); got != tt.want {
			t.Errorf("%s: reached %s, want %s", tt.name, got, tt.want)
		}
	}
}

// TestReachResults looks at what each outcome leaves behind.
func TestReachResults(t *testing.T) {
	t.Parallel()
	check := []Insn{jmpImm(jmpNe, 1, 0, 1), exit(), exit()}
	mov := append([]Insn{movImm(1, 0)}, check...)
	wide := append(loadImm64(1, 0), check...)
	slot := append([]Insn{movImm(1, 0), store(8, regFP, 1, -8), store(8, regFP, 6, -16), load(8, 1, regFP, -8)}, check...)
	tests := []struct {
		name  string
		code  []Insn
		insn  int
		res   func(*Relo) []Result
		want  string
		twice bool // a second record on the instruction, without result
	}{
		{"resolved", mov, 0, func(r *Relo) []Result { return []Result{{Relo: r, Value: 1}} }, "rr-r", false},
		{"answered", mov, 0, func(r *Relo) []Result { return []Result{{Relo: r, Outcome: Answered}} }, "rrr-", false},
		{"poisoned", mov, 0, func(r *Relo) []Result { return []Result{{Relo: r, Outcome: Poisoned}} }, "rrrr", false},
		{"ambiguous", mov, 0, func(r *Relo) []Result { return []Result{{Relo: r, Outcome: Ambiguous}} }, "rrrr", false},
		{"fatal", mov, 0, func(r *Relo) []Result { return []Result{{Relo: r, Outcome: Fatal}} }, "rrrr", false},
		{"not applied", mov, 0, func(*Relo) []Result { return []Result{{}} }, "rrrr", false},
		{"no results", mov, 0, func(*Relo) []Result { return nil }, "rrrr", false},
		{"the result of another record", mov, 0, func(*Relo) []Result { return []Result{{Relo: &Relo{}}} }, "rrrr", false},
		{"one result for two records", mov, 0, func(r *Relo) []Result { return []Result{{Relo: r, Value: 1}} }, "rrrr", true},
		{"ldimm64", wide, 0, func(r *Relo) []Result { return []Result{{Relo: r, Value: 1 << 40}} }, "rrr-r", false},
		{"ldimm64 of 0", wide, 0, func(r *Relo) []Result { return []Result{{Relo: r, Outcome: Answered}} }, "rrrr-", false},
		{"ldimm64 poisoned", wide, 0, func(r *Relo) []Result { return []Result{{Relo: r, Outcome: Poisoned}} }, "rrrrr", false},
		{"a store that moves away", slot, 2, func(r *Relo) []Result { return []Result{{Relo: r, Value: 16, MemSize: 4}} }, "rrrrrr-", false},
		{"a store poisoned", slot, 2, func(r *Relo) []Result { return []Result{{Relo: r, Outcome: Poisoned}} }, "rrrrrrr", false},
		{"a load poisoned", slot, 3, func(r *Relo) []Result { return []Result{{Relo: r, Outcome: Poisoned}} }, "rrrrrrr", false},
	}
	for _, tt := range tests {
		p := program(tt.code...)
		relo := &Relo{Func: p.Entry, Insn: tt.insn}
		p.Entry.Relos = []*Relo{relo}
		if tt.twice {
			p.Entry.Relos = append(p.Entry.Relos, &Relo{Index: 1, Func: p.Entry, Insn: tt.insn})
		}
		before := fmt.Sprint(p.Entry.Insns)
		if got := reachString(p, p.Reach(tt.res(relo), ReachOptions{Version: newestVersion})); got != tt.want {
			t.Errorf("%s: reached %s, want %s", tt.name, got, tt.want)
		}
		if fmt.Sprint(p.Entry.Insns) != before {
			t.Errorf("%s: the function's instructions have changed", tt.name)
		}
	}
}

// A function that would take too much memory is reached everywhere, and one of the largest that fit takes a bounded time.
func TestReachLarge(t *testing.T) {
	t.Parallel()
	// Each two instructions are a block, each of which adds to the others' knowledge.
	large := func(blocks int) *Program {
		insns := make([]Insn, 0, 2*blocks+2)
		for i := range blocks {
			insns = append(insns, movImm(uint8(i%10), int32(i)), jmpImm(jmpEq, uint8((i+5)%10), int32(i), int16(-2*min(i, 1000))-2+2*int16(min(1, i))))
			if i == 0 {
				insns[1].Off = 0
			}
		}
		return program(append(insns, exit(), exit())...)
	}
	p := large(maxReachValues / reachRegs / 2)
	r := p.Reach(nil, ReachOptions{Version: newestVersion})
	if r.Reached(p.Entry, len(p.Entry.Insns)-1) {
		t.Error("large: the instruction behind the end is reached")
	}
	if p = large(maxReachValues / reachRegs); !p.Reach(nil, ReachOptions{}).Reached(p.Entry, len(p.Entry.Insns)-1) {
		t.Error("too large: the walk did not give up")
	}
}

// FuzzReach takes instructions and records as bytes. Nothing panics, and less knowledge never means less that is reached.
func FuzzReach(f *testing.F) {
	seed := func(funcs ...[]Insn) {
		var b []byte
		for _, insns := range funcs {
			b = append(b, byte(len(insns)))
			for _, in := range insns {
				b = append(b, in.Code, in.Dst<<4|in.Src, byte(in.Off), byte(in.Imm))
			}
		}
		f.Add(b, uint16(0x55), uint32(newestVersion))
	}
	seed([]Insn{movImm(1, 1), jmpImm(jmpEq, 1, 0, 1), exit(), exit()})
	seed([]Insn{movImm(1, 1), store(8, regFP, 1, -8), movReg(2, regFP), alu64Imm(aluAdd, 2, -16), call(5), load(8, 3, regFP, -8), jmpImm(jmpEq, 3, 1, 1), exit(), exit()})
	seed([]Insn{callFunc(), jmpImm(jmpNe, 0, 0, 1), exit(), exit()}, []Insn{movImm(0, 0), jmpImm(jmpEq, 1, 0, 1), movImm(0, 1), exit()})
	seed([]Insn{movImm(3, 0), alu64Imm(aluAdd, 3, 1), jmpImm(jmpNe, 1, 0, -2), atomicOp(8, 6, 3, 0, atomicFetch), exit()})
	f.Fuzz(func(t *testing.T, b []byte, known uint16, version uint32) {
		p := &Program{}
		var results []Result
		for len(b) > 0 && len(p.Funcs) < 4 {
			n := min(int(b[0]), (len(b)-1)/4)
			b = b[1:]
			fn := &Func{Static: len(p.Funcs)%3 != 2}
			for i := range n {
				c := b[4*i:]
				fn.Insns = append(fn.Insns, Insn{Code: c[0], Dst: c[1] >> 4, Src: c[1] & 15, Off: int16(int8(c[2])), Imm: int32(int8(c[3]))})
			}
			b = b[4*n:]
			p.Funcs = append(p.Funcs, fn)
		}
		if len(p.Funcs) == 0 {
			return
		}
		p.Entry = p.Funcs[0]
		for _, fn := range p.Funcs {
			for i, in := range fn.Insns {
				to := p.Funcs[int(uint32(in.Imm))%len(p.Funcs)]
				switch {
				case in.Code == codeCall && in.Src == pseudoCall:
					fn.Calls = append(fn.Calls, Call{Insn: i, To: to})
				case in.Code == codeLdImm && in.Src == pseudoFunc:
					fn.Calls = append(fn.Calls, Call{Insn: i, To: to, Ref: true})
				case i > 0 && fn.Insns[i-1].Code == codeLdImm || in.Imm&3 != 0:
				case in.Code == codeLdImm && in.Src == 0 && i+1 < len(fn.Insns), in.Code&classMask == classLDX, in.Code&classMask == classSTX,
					(in.Code&classMask == classALU || in.Code&classMask == classALU6) && in.Code&srcReg == 0:
					r := &Relo{Index: len(results), Func: fn, Insn: i}
					fn.Relos = append(fn.Relos, r)
					results = append(results, Result{Relo: r, Value: uint64(in.Imm) >> 2})
				}
			}
		}
		more := p.Reach(results, ReachOptions{Version: KernelVersion(version)})
		fewer := append([]Result(nil), results...)
		for i := range fewer {
			if known>>(i%16)&1 == 0 {
				fewer[i].Outcome = Poisoned
			}
		}
		less := p.Reach(fewer, ReachOptions{Version: KernelVersion(version)})
		older := p.Reach(results, ReachOptions{Version: KernelVersion(version) / 2})
		for n, fn := range p.Funcs {
			for i := range fn.Insns {
				if more.Reached(fn, i) && (!less.Reached(fn, i) || !older.Reached(fn, i)) {
					t.Fatalf("function %d, instruction %d: reached, but not with fewer results (%t) or an older kernel (%t)", n, i, less.Reached(fn, i), older.Reached(fn, i))
				}
			}
		}
		if !more.Reached(p.Entry, 0) {
			t.Fatal("the first instruction is not reached")
		}
	})
}

// BenchmarkReach walks a program of 1,000 instructions with a branch every five, a loop and calls.
func BenchmarkReach(b *testing.B) {
	var insns []Insn
	for len(insns) < 990 {
		insns = append(insns, movImm(6, int32(len(insns))), store(8, regFP, 6, int16(-8*(len(insns)%30+1))), call(5), alu64Reg(aluAdd, 7, 0), jmpImm(jmpEq, 7, 3, 2))
	}
	insns = append(insns, movImm(0, 0), movImm(0, 0), jmpImm(jmpNe, 7, 0, -500), exit())
	p := program(insns...)
	b.ReportAllocs()
	for b.Loop() {
		p.Reach(nil, ReachOptions{Version: newestVersion})
	}
}

// FuzzReachRun runs random code as a processor would, with random memory and helpers that write to what they get: each
// instruction that is run must be reached.
func FuzzReachRun(f *testing.F) {
	bytes := func(insns ...Insn) (b []byte) {
		for _, in := range insns {
			b = append(b, in.Code, in.Dst<<4|in.Src, byte(in.Off), byte(in.Imm))
		}
		return b
	}
	f.Add(bytes(movImm(1, 1), store(8, regFP, 1, -8), movReg(2, regFP), alu64Imm(aluAdd, 2, -16), call(5), load(8, 3, regFP, -8), jmpImm(jmpEq, 3, 1, 1), exit(), exit()), uint64(1))
	f.Add(bytes(movImm(3, 0), alu64Imm(aluAdd, 3, 1), jmpImm(jmpNe, 1, 0, -2), atomicOp(8, 6, 3, 0, atomicFetch), exit()), uint64(2))
	f.Add(bytes(movImm(1, 7), store(4, regFP, 1, -8), load(4, 3, regFP, -8), jmp32Imm(jmpSLe, 3, 7, 1), exit(), exit()), uint64(3))
	f.Add(bytes(movImm(1, 0), store(8, regFP, 1, -16), movReg(2, regFP), store(8, regFP, 2, -8), load(8, 5, regFP, -8), store(8, 5, 6, -16), load(8, 3, regFP, -16), jmpImm(jmpEq, 3, 0, 1), exit(), exit()), uint64(4))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var insns []Insn
		for ; len(b) >= 4 && len(insns) < 200; b = b[4:] {
			insns = append(insns, Insn{Code: b[0], Dst: b[1] >> 4, Src: b[1] & 15, Off: int16(int8(b[2])), Imm: int32(int8(b[3]))})
		}
		p := program(insns...)
		r := p.Reach(nil, ReachOptions{Version: newestVersion})
		for run := range uint64(4) {
			m := reachMachine{insns: insns, rand: seed*4 + run + 1}
			for step := 0; step < 500; step++ {
				if m.pc < 0 || m.pc >= len(insns) {
					break
				}
				if !r.Reached(p.Entry, m.pc) {
					t.Fatalf("instruction %d was run, and is not reached: %+v", m.pc, insns)
				}
				if !m.step() {
					break
				}
			}
		}
	})
}

// reachMachine runs instructions. Memory outside of the stack is random.
type reachMachine struct {
	insns []Insn
	pc    int
	regs  [reachRegs + 1]uint64
	stack [8 * stackSlots]byte
	rand  uint64
	begun bool
}

// stackTop is far from what random registers hold.
const stackTop = 0x7f00_0000_0000_1000

func (m *reachMachine) random() uint64 {
	m.rand ^= m.rand << 13
	m.rand ^= m.rand >> 7
	m.rand ^= m.rand << 17
	return m.rand >> (m.rand % 3 * 21) & 0x00ff_ffff_ffff_ffff
}

// at is the index of an address in the stack.
func (m *reachMachine) at(addr uint64, size int) (int, bool) {
	i := addr - (stackTop - uint64(len(m.stack)))
	return int(i), i <= uint64(len(m.stack)-size)
}

func (m *reachMachine) read(addr uint64, size int) uint64 {
	i, ok := m.at(addr, size)
	if !ok {
		return m.random()
	}
	var b [8]byte
	copy(b[:], m.stack[i:i+size])
	return binary.LittleEndian.Uint64(b[:])
}

func (m *reachMachine) write(addr uint64, size int, v uint64) {
	if i, ok := m.at(addr, size); ok {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], v)
		copy(m.stack[i:], b[:size])
	}
}

// step is false where the program ends, or does something that this machine can't.
func (m *reachMachine) step() bool {
	if !m.begun {
		m.begun = true
		for i := range m.regs {
			m.regs[i] = m.random()
		}
		m.regs[regFP] = stackTop
		for i := range m.stack {
			m.stack[i] = byte(m.random())
		}
	}
	in := m.insns[m.pc]
	m.pc++
	if in.Dst > regFP || in.Src > regFP {
		return false
	}
	src := uint64(int64(in.Imm))
	if in.Code&srcReg != 0 {
		src = m.regs[in.Src]
	}
	op := in.Code & opMask
	switch class := in.Code & classMask; class {
	case classALU, classALU6:
		return m.alu(in, op, src, class == classALU6)
	case classLD:
		if in.Code != codeLdImm || m.pc == len(m.insns) {
			return false
		}
		m.regs[in.Dst] = uint64(uint32(in.Imm)) | uint64(m.insns[m.pc].Imm)<<32
		m.pc++
	case classLDX:
		if in.Code&modeMask != modeMem {
			return false
		}
		m.regs[in.Dst] = m.read(m.regs[in.Src]+uint64(int64(in.Off)), int(memSize(in.Code)))
	case classST:
		m.write(m.regs[in.Dst]+uint64(int64(in.Off)), int(memSize(in.Code)), uint64(int64(in.Imm)))
	case classSTX:
		addr, size := m.regs[in.Dst]+uint64(int64(in.Off)), int(memSize(in.Code))
		switch {
		case in.Code&modeMask == modeMem:
			m.write(addr, size, m.regs[in.Src])
		case in.Code&modeMask == modeAtomic && in.Imm&^atomicFetch == 0 && size >= 4 && in.Src != regFP:
			old := m.read(addr, size)
			m.write(addr, size, old+m.regs[in.Src])
			if in.Imm == atomicFetch {
				m.regs[in.Src] = old
			}
		default:
			return false
		}
	case classJMP, classJMP32:
		switch op {
		case jmpExit:
			return false
		case jmpCall:
			// What it gets pointers to it writes, from there upwards.
			for _, a := range m.regs[1:6] {
				if i, ok := m.at(a, 1); ok {
					for n := m.random() % 80; n > 0 && i < len(m.stack); n-- {
						m.stack[i] = byte(m.random())
						i++
					}
				}
			}
			for i := range 6 {
				m.regs[i] = m.random()
			}
			return in.Src != pseudoCall
		case jmpA:
			if class == classJMP32 {
				m.pc += int(in.Imm)
				return true
			}
			m.pc += int(in.Off)
		case jmpCond:
			if m.random()&1 == 0 {
				m.pc += int(in.Off)
			}
		default:
			if compare(op, class == classJMP, m.regs[in.Dst], src) {
				m.pc += int(in.Off)
			}
		}
	}
	return true
}

func (m *reachMachine) alu(in Insn, op uint8, src uint64, wide bool) bool {
	if in.Dst == regFP {
		return false
	}
	a, bits := m.regs[in.Dst], uint64(64)
	if !wide {
		a, src, bits = uint64(uint32(a)), uint64(uint32(src)), 32
	}
	switch op {
	case aluAdd:
		a += src
	case aluSub:
		a -= src
	case aluMul:
		a *= src
	case aluOr:
		a |= src
	case aluAnd:
		a &= src
	case aluXor:
		a ^= src
	case aluMov:
		a = src
		switch {
		case in.Code&srcReg == 0 || in.Off == 0:
		case in.Off == 8:
			a = uint64(int64(int8(a)))
		case in.Off == 16:
			a = uint64(int64(int16(a)))
		case in.Off == 32 && wide:
			a = uint64(int64(int32(a)))
		default:
			return false
		}
	case 0x80:
		a = -a
	case aluLsh:
		a <<= src % bits
	case aluRsh:
		a >>= src % bits
	case aluArsh:
		if wide {
			a = uint64(int64(a) >> (src % bits))
		} else {
			a = uint64(int32(a) >> (src % bits))
		}
	default:
		return false
	}
	if !wide {
		a = uint64(uint32(a))
	}
	m.regs[in.Dst] = a
	return true
}
