package relocate

import "testing"

// TestInsnSet holds codes against the groups that include/uapi/linux/bpf.h and Documentation/bpf/standardization give them.
func TestInsnSet(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		in   Insn
		want *InsnSet
	}{
		{"r0 = 1", Insn{Code: 0xb7, Imm: 1}, nil},
		{"r0 = r1", Insn{Code: 0xbf, Src: 1}, nil},
		{"r0 /= r1", Insn{Code: 0x3f, Src: 1}, nil},
		{"if r0 == 0 goto", Insn{Code: 0x15, Off: 1}, nil},
		{"goto", Insn{Code: 0x05, Off: 1}, nil},
		{"r0 = *(u32 *)(r1 + 0)", Insn{Code: 0x61, Src: 1}, nil},
		{"lock *(u64 *)(r1 + 0) += r2", Insn{Code: 0xdb, Dst: 1, Src: 2}, nil},
		{"r0 = be32 r0", Insn{Code: 0xdc, Imm: 32}, nil},
		{"if w0 == 0 goto", Insn{Code: 0x16, Off: 1}, setJump32},
		{"gotol", Insn{Code: 0x06, Imm: 1}, setV4},
		{"r0 = bswap32 r0", Insn{Code: 0xd7, Imm: 32}, setV4},
		{"r0 = (s8)r1", Insn{Code: 0xbf, Src: 1, Off: 8}, setV4},
		{"w0 = (s16)w1", Insn{Code: 0xbc, Src: 1, Off: 16}, setV4},
		{"r0 s/= r1", Insn{Code: 0x3f, Src: 1, Off: 1}, setV4},
		{"r0 s%= 3", Insn{Code: 0x97, Imm: 3, Off: 1}, setV4},
		{"r0 = *(s32 *)(r1 + 0)", Insn{Code: 0x81, Src: 1}, setV4},
		{"atomic fetch add", Insn{Code: 0xdb, Imm: 0x01}, setAtomics},
		{"atomic or", Insn{Code: 0xc3, Imm: 0x40}, setAtomics},
		{"xchg", Insn{Code: 0xdb, Imm: 0xe1}, setAtomics},
		{"cmpxchg", Insn{Code: 0xdb, Imm: 0xf1}, setAtomics},
		{"load_acquire", Insn{Code: 0xdb, Imm: 0x100}, setAcquire},
		{"store_release", Insn{Code: 0xc3, Imm: 0x110}, setAcquire},
		{"may_goto", Insn{Code: 0xe5, Off: 1}, setMayGoto},
	} {
		if got := insnSet(tt.in); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.name, got, tt.want)
		}
	}
}

// The second half of an ldimm64 is data, whatever its bytes say.
func TestInsnNeedsSkipData(t *testing.T) {
	t.Parallel()
	f := &Func{Insns: []Insn{{Code: insnLdImm64}, {Code: 0x16, Imm: 1}, {Code: 0x95}}}
	if needs := f.insnNeeds(nil); len(needs) != 0 {
		t.Errorf("%d needs, want none", len(needs))
	}
	f.Insns = append(f.Insns, Insn{Code: 0x16}, Insn{Code: 0x26})
	if needs := f.insnNeeds(nil); len(needs) != 1 || needs[0].Insn != 3 {
		t.Errorf("needs %+v, want one at instruction 3", needs)
	}
}
