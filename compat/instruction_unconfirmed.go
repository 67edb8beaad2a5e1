package compat

import "github.com/corecheck/corecheck/relocate"

var instructionUnconfirmed = &Rule{
	Code:  "CC038",
	Name:  "instruction_unconfirmed",
	Title: "the kernel may not know the instructions",
	Doc: `The program has instructions that came to Linux after 4.18: 32-bit jumps (v5.1), atomic operations that return
a value or do other than add (v5.12), those of version 4 (v6.6), may_goto (v6.9), load-acquire and store-release
(v6.15). A kernel that does not know them refuses the program ("BPF_STX uses reserved fields", "unknown opcode"),
reached or not. BTF has no word of instructions, so this is judged by the upstream version alone: of an older kernel it
is unknown, since a distro may have them earlier. The JIT of an architecture may lack what the verifier takes; that is
not looked at.

Compile with an older -mcpu (v2 for kernels before 5.1, v3 for those before 6.6), and do without the results of atomic
operations (__sync_fetch_and_add and its kin) on kernels before 5.12.
Source: check_atomic, check_alu_op and check_cond_jmp_op in kernel/bpf/verifier.c; Linux commits 092ed0968bb6 ("bpf:
verifier support JMP32"), 5ffa25502b5a ("bpf: Add instructions for atomic_[cmp]xchg"), 1f9a1ea821ff ("bpf: Support new
sign-extension load insns"), 011832b97b31 ("bpf: Introduce may_goto instruction") and 880442305a39 ("bpf: Introduce
load-acquire and store-release instructions").`,
	needs: []relocate.NeedKind{relocate.NeedInstruction},
	check: func(c *check, n *relocate.Need) {
		if !c.mayPredate(n.Insns.Major, n.Insns.Minor) {
			return
		}
		c.report(n, raw{verdict: Unknown,
			message: n.Name + " came with " + n.Insns.Since + " (by the version number; BTF does not tell whether this kernel has them)",
			hint:    "compile with an older -mcpu, or without the results of atomic operations; or try it on such a kernel"})
	},
}
