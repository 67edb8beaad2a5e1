package boot

import (
	"strings"
	"testing"

	"github.com/corecheck/corecheck/relocate"
	"github.com/corecheck/corecheck/relocate/load"
)

const stats = "processed 0 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0"

// failures are what kernels said, shortened, with the Debian kernel that said it.
var failures = []struct {
	name   string
	stage  load.Stage
	errno  int
	reason string
	log    string
	hook   relocate.Hook
	codes  string
	class  Class
	rule   string
	line   string // "" where the log has none
}{
	{name: "relocation that nothing matches, 6.18", stage: load.StageLoad, errno: 22, codes: "CC038 CC001",
		log: "0: R1=ctx() R10=fp0\n; task = (void*)bpf_get_current_task(); @ runqlen.bpf.c:20\n0: (85) call bpf_get_current_task#35          ; R0=scalar()\n" +
			"10: <invalid CO-RE relocation>\nfailed to resolve CO-RE relocation <byte_off> [13] struct cfs_rq___x.nr_running (0:0 @ offset 0)\n" + stats,
		class: Relocation, rule: "CC001", line: "failed to resolve CO-RE relocation <byte_off> [13] struct cfs_rq___x.nr_running (0:0 @ offset 0)"},
	{name: "the same as the kernel says it, 7.2", stage: load.StageLoad, errno: 22, codes: "CC001",
		log:   "12: R1=304\n12: (85) call unknown#195896080\ninvalid func unknown#195896080\n" + stats,
		class: Relocation, rule: "CC001", line: "invalid func unknown#195896080"},
	{name: "the same without a finding", stage: load.StageLoad, errno: 22, log: "invalid func unknown#195896080", class: Relocation, line: "invalid func unknown#195896080"},
	{name: "weak kfunc that is not there", stage: load.StageLoad, errno: 22, log: "invalid func unknown#2002000003", class: ExternMissing, rule: "CC034",
		line: "invalid func unknown#2002000003"},
	{name: "map that is not created", stage: load.StageLoad, errno: 22, log: "invalid func unknown#2001000001", class: MapRefused, line: "invalid func unknown#2001000001"},
	{name: "weak kfunc as libbpf says it", stage: load.StageLoad, errno: 22, log: "3: <invalid kfunc call>\nkfunc 'f' is referenced but wasn't resolved", class: ExternMissing,
		rule: "CC034", line: "kfunc 'f' is referenced but wasn't resolved"},
	{name: "map as libbpf says it", stage: load.StageLoad, errno: 22, log: "3: <invalid BPF map reference>\nBPF map 'm' is referenced but wasn't created",
		class: MapRefused, line: "BPF map 'm' is referenced but wasn't created"},
	{name: "helper that is not there, 5.10", stage: load.StageLoad, errno: 22, log: "0: (85) call unknown#174\ninvalid func unknown#174\n" + stats, codes: "CC030",
		class: HelperMissing, rule: "CC030", line: "invalid func unknown#174"},
	{name: "helper of another program type, 6.1", stage: load.StageLoad, errno: 22, log: "3: (85) call bpf_get_socket_cookie#46\nunknown func bpf_get_socket_cookie#46\n" + stats,
		class: HelperRefused, line: "unknown func bpf_get_socket_cookie#46"},
	{name: "helper of another program type, 6.12", stage: load.StageLoad, errno: 22, log: "program of this type cannot use helper bpf_get_socket_cookie#46\n" + stats,
		class: HelperRefused, line: "program of this type cannot use helper bpf_get_socket_cookie#46"},
	{name: "license", stage: load.StageLoad, errno: 22, log: "cannot call GPL-restricted function from non-GPL compatible program\n" + stats, class: License,
		line: "cannot call GPL-restricted function from non-GPL compatible program"},
	{name: "atomic operation with a result, 5.10", stage: load.StageLoad, errno: 22, log: "BPF_STX uses reserved fields\n" + stats, codes: "CC038", class: Instruction,
		rule: "CC038", line: "BPF_STX uses reserved fields"},
	{name: "unknown opcode", stage: load.StageLoad, errno: 22, log: "unknown opcode e5\n" + stats, class: Instruction, rule: "CC038", line: "unknown opcode e5"},
	{name: "argument that the tracepoint has not, 5.10", stage: load.StageLoad, errno: 13, hook: relocate.HookBTFTP,
		log: "arg#0 type is not a struct\nUnrecognized arg#0 type PTR\n; int BPF_PROG(block_rq_issue)\n0: (bf) r6 = r1\n4: (79) r1 = *(u64 *)(r6 +8)\n" +
			"func 'block_rq_issue' doesn't have 2-th argument\ninvalid bpf_context access off=8 size=8\n" + stats,
		class: ContextAccess, line: "invalid bpf_context access off=8 size=8"},
	{name: "argument of another type, 6.1", stage: load.StageLoad, errno: 13, hook: relocate.HookBTFTP,
		log:   "reg type unsupported for arg#0 function block_rq_complete#142\n0: R1=ctx(off=0,imm=0) R10=fp0\n9: (61) r2 = *(u32 *)(r1 +0)\nR1 invalid mem access 'scalar'\n" + stats,
		class: MemoryAccess, line: "R1 invalid mem access 'scalar'"},
	{name: "argument of a helper, 7.2", stage: load.StageLoad, errno: 13, log: "R1=scalar()\nR1 type=scalar expected=ptr_, trusted_ptr_, rcu_ptr_\n" + stats, class: TypeMismatch,
		line: "R1 type=scalar expected=ptr_, trusted_ptr_, rcu_ptr_"},
	{name: "sleepable, 5.10", stage: load.StageLoad, errno: 22, log: "Only fentry/fexit/fmod_ret and lsm programs can be sleepable\n" + stats, codes: "CC037", class: NotSleepable,
		rule: "CC037", line: "Only fentry/fexit/fmod_ret and lsm programs can be sleepable"},
	{name: "sleepable, 7.2", stage: load.StageLoad, errno: 22, log: "vfs_read is not sleepable\n" + stats, class: NotSleepable, rule: "CC037", line: "vfs_read is not sleepable"},
	{name: "fmod_ret, 6.12", stage: load.StageLoad, errno: 22, log: "vfs_read() is not modifiable\n" + stats, class: NotTraceable, rule: "CC021", line: "vfs_read() is not modifiable"},
	{name: "function without an address, 7.2", stage: load.StageLoad, errno: 2, hook: relocate.HookBTFFunc,
		log: "The address of function blk_account_io_done cannot be found\n" + stats, class: TargetMissing, rule: "CC020",
		line: "The address of function blk_account_io_done cannot be found"},
	{name: "too many arguments", stage: load.StageLoad, errno: 22, log: "The function f has 13 arguments. Too many.\n" + stats, class: NotTraceable, rule: "CC021",
		line: "The function f has 13 arguments. Too many."},
	{name: "result, 5.10", stage: load.StageLoad, errno: 22, log: "0: (b7) r0 = 0\n1: (95) exit\nAt program exit the register R0 has value (0x0; 0x0) should have been in (0x1; 0x0)\n" + stats,
		class: ReturnValue, line: "At program exit the register R0 has value (0x0; 0x0) should have been in (0x1; 0x0)"},
	{name: "too large", stage: load.StageLoad, errno: 7, log: "BPF program is too large. Processed 1000001 insn\n" + stats, class: TooComplex,
		line: "BPF program is too large. Processed 1000001 insn"},
	{name: "too many instructions", stage: load.StageLoad, errno: 7, class: TooComplex},
	{name: "program type, 5.10", stage: load.StageLoad, errno: 22, codes: "CC032", class: ProgramType, rule: "CC032"},
	{name: "attach type, 5.10", stage: load.StageLoad, errno: 22, log: stats, codes: "CC033", class: ProgramType, rule: "CC033"},
	{name: "not allowed", stage: load.StageLoad, errno: 1, class: Permission},
	{name: "out of memory", stage: load.StageLoad, errno: 12, class: OutOfMemory},
	{name: "no trampoline", stage: load.StageAttach, errno: 524, hook: relocate.HookBTFFunc, class: NotSupported, rule: "CC021"},
	{name: "advice behind the message, 7.3", stage: load.StageLoad, errno: 22, class: HelperRefused, line: "program of this type cannot use helper bpf_get_socket_cookie#46",
		log: `4: (85) call bpf_get_socket_cookie#46
program of this type cannot use helper bpf_get_socket_cookie#46

Verification failed: Policy: Operation is not allowed

Reason:
  The helper bpf_get_socket_cookie#46 is not allowed: this program type does not allow the helper.

At:
  tcp_destroy_sock @ core_fixes.bpf.h:247:10
  Source context:
  >>> 247 |                 return bpf_get_socket_cookie(sk);
          |                 ^-- error: policy check failed for helper bpf_get_socket_cookie#46
  Instruction context:
       3 | (05) goto pc+0
  >>>  5 | (85) call bpf_get_socket_cookie#46

Suggestion:
  Use a helper allowed for this program type, or move the logic to a compatible program type.

` + stats},
	{name: "hook that is switched off, 7.3", stage: load.StageLoad, errno: 22, hook: relocate.HookLSM, log: "attach_btf_id 67158 points to disabled hook bpf_lsm_vm_enough_memory\n" + stats,
		class: TargetMissing, rule: "CC023", line: "attach_btf_id 67158 points to disabled hook bpf_lsm_vm_enough_memory"},
	{name: "words that are not known", stage: load.StageLoad, errno: 22, log: "0: (95) exit\nsomething quite new\n" + stats, class: Other, line: "something quite new"},
	{name: "registers are not words", stage: load.StageLoad, errno: 22, log: "R1=ctx() R2_w=scalar(umin=0,umax=4)\nfrom 3 to 5: R0=0", codes: "CC033", class: ProgramType, rule: "CC033"},

	{name: "target, all versions", stage: load.StageReloc, errno: 3, hook: relocate.HookBTFFunc, codes: "CC020", class: TargetMissing, rule: "CC020"},
	{name: "tracepoint", stage: load.StageLoad, errno: 3, hook: relocate.HookBTFTP, codes: "CC022", class: TargetMissing, rule: "CC022"},
	{name: "kfunc", stage: load.StageReloc, errno: 3, codes: "CC034", class: ExternMissing, rule: "CC034"},
	{name: "kfunc without a finding", stage: load.StageReloc, errno: 3, reason: "extern kfunc bpf_x is not there, and is not weak", class: ExternMissing, rule: "CC034"},
	{name: "version that can't be told, 7.3", stage: load.StageReloc, errno: 22, class: ExternMissing, rule: "CC036",
		reason: `extern LINUX_KERNEL_VERSION: release "7.3-cloud-amd64" and version "#1 SMP PREEMPT_DYNAMIC Debian 7.3~rc7-1~exp1 (2026-10-16)" of the kernel don't tell it`},
	{name: "option of another type", stage: load.StageReloc, errno: 22, reason: "CONFIG_X is m, the extern is a bool", class: ExternMissing, rule: "CC036"},
	{name: "configuration that did not come with the kernel", stage: load.StageReloc, errno: 22, class: NoConfig, rule: "CC036",
		reason: "the kernel's configuration can't be read: no /boot/config-6.19.14+deb13-cloud-amd64 and no /proc/config.gz can be read"},
	{name: "kernel's BTF that is not there", stage: load.StageBTF, errno: 3, reason: "the kernel's BTF can't be read: no such file", class: NoKernelBTF, rule: "CC011"},
	{name: "section that makes no sense", stage: load.StageAttach, errno: 22, reason: `"readline" is not path:function`, hook: relocate.HookUser, class: TargetInvalid},
	{name: "ambiguous", stage: load.StageReloc, errno: 22, codes: "CC005", class: Relocation, rule: "CC005"},
	{name: "no BTF", stage: load.StageBTF, errno: 3, codes: "CC011", class: NoKernelBTF, rule: "CC011"},
	{name: "BTF", stage: load.StageBTF, errno: 22, class: BTFRefused},
	{name: "map", stage: load.StageMap, errno: 22, reason: "map events: map create: invalid argument", codes: "CC031", class: MapRefused, rule: "CC031"},
	{name: "map with a name like a phrase", stage: load.StageMap, errno: 22, reason: "map struct_ops_stats: invalid argument", class: MapRefused},
	{name: "map and program with such names", stage: load.StageMap, errno: 12, reason: "program GPL_x: map GPL_counts: cannot allocate memory", class: OutOfMemory},
	{name: "extern with such a name", stage: load.StageReloc, errno: 3, reason: "extern kfunc struct_ops_x is not there, and is not weak", class: ExternMissing, rule: "CC034"},
	{name: "object", stage: load.StageOpen, errno: 95, reason: "legacy maps", codes: "CC010", class: Refused, rule: "CC010"},

	{name: "kprobe of a symbol that is gone", stage: load.StageAttach, errno: 2, hook: relocate.HookFunction, class: TargetMissing, rule: "CC027"},
	{name: "kprobe that is not allowed", stage: load.StageAttach, errno: 22, hook: relocate.HookFunction, class: NotTraceable, rule: "CC027"},
	{name: "kprobe of several symbols, 6.12", stage: load.StageAttach, errno: 99, hook: relocate.HookFunction, class: DuplicateSymbol, rule: "CC027"},
	{name: "kprobe.multi, 5.10", stage: load.StageAttach, errno: 22, hook: relocate.HookFunctions, codes: "CC033", class: ProgramType, rule: "CC033"},
	{name: "kprobe.session, 6.1", stage: load.StageAttach, errno: 22, hook: relocate.HookFunctions, codes: "CC027 CC033", class: ProgramType, rule: "CC033"},
	{name: "kprobe.multi that no function matches", stage: load.StageAttach, errno: 22, hook: relocate.HookFunctions, codes: "CC027", class: NotTraceable, rule: "CC027"},
	{name: "struct_ops program without a map", stage: load.StageLoad, errno: 22, hook: relocate.HookStructOps, codes: "CC026", class: TargetInvalid, rule: "CC026",
		reason: "program p: no struct_ops map that is created refers to it"},
	{name: "struct_ops program of a map that is not created", stage: load.StageLoad, errno: 22, hook: relocate.HookStructOps, codes: "CC025", class: TargetInvalid,
		rule: "CC025", reason: "no struct_ops map that is created refers to it"},
	{name: "struct_ops program without a map, as libbpf says it", stage: load.StageLoad, errno: 22, hook: relocate.HookStructOps, codes: "CC026", class: TargetInvalid,
		rule: "CC026", reason: `SEC("struct_ops") program isn't referenced anywhere, did you forget to use it?`},
	{name: "kprobe.multi, 6.1 cloud", stage: load.StageAttach, errno: 95, hook: relocate.HookFunctions, class: NotSupported, rule: "CC027"},
	{name: "fentry of a function that is notrace", stage: load.StageAttach, errno: 16, hook: relocate.HookBTFFunc, class: NotTraceable, rule: "CC021"},
	{name: "raw_tp that reads more arguments, 5.10", stage: load.StageAttach, errno: 22, hook: relocate.HookRawTP, class: ContextAccess},
	{name: "raw_tp that is gone", stage: load.StageAttach, errno: 2, hook: relocate.HookRawTP, class: TargetMissing, rule: "CC022"},
	{name: "record that shrank", stage: load.StageAttach, errno: 13, hook: relocate.HookTracepoint, class: ContextAccess},
	{name: "attach that is not known", stage: load.StageAttach, errno: 95, class: NotSupported},
	{name: "attach type of an attach, 5.10", stage: load.StageAttach, errno: 22, codes: "CC033", class: ProgramType, rule: "CC033"},
	{name: "attach that fails for another reason", stage: load.StageAttach, errno: 28, class: Other},
}

func TestClassify(t *testing.T) {
	t.Parallel()
	for _, tt := range failures {
		o := observed{stage: tt.stage, errno: tt.errno, reason: tt.reason}
		if tt.log != "" {
			o.log = strings.Split(tt.log, "\n")
		}
		v := classify(o, known{hook: tt.hook, codes: strings.Fields(tt.codes), malformed: tt.name == "section that makes no sense", noConfig: true})
		if v.class != tt.class || v.rule != tt.rule || v.line != tt.line {
			t.Errorf("%s: class %s, rule %q, line %q; want %s, %q, %q", tt.name, v.class, v.rule, v.line, tt.class, tt.rule, tt.line)
		}
	}
}

func TestReasonText(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ reason, line, want string }{
		{"", "", "prog_load failed without a word"},
		{"loading", "", "loading"},
		{"", "unknown opcode e5", "unknown opcode e5"},
		{"loading", "unknown opcode e5", "unknown opcode e5"},
		{"the verifier says: unknown opcode e5", "unknown opcode e5", "the verifier says: unknown opcode e5"},
	} {
		if got := reasonText(observed{stage: load.StageLoad, reason: tt.reason}, verdict{line: tt.line}); got != tt.want {
			t.Errorf("reason %q, line %q: %q, want %q", tt.reason, tt.line, got, tt.want)
		}
	}
}
