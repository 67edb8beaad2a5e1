package boot

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/corecheck/corecheck/relocate"
	"github.com/corecheck/corecheck/relocate/load"
)

// Class says in a word why a load or an attach failed. docs/boot.md describes each; more may come.
type Class string

const (
	Refused          Class = "object_refused"   // libbpf does not open the object
	NoKernelBTF      Class = "no_kernel_btf"    // the kernel has no BTF
	NoConfig         Class = "no_config"        // the guest has not the kernel's configuration, which the object reads
	NoModule         Class = "no_module"        // the guest could have no modules, and what is missing may be in one
	BTFRefused       Class = "btf_refused"      // the kernel does not take the object's BTF, or func_info and line_info made of it
	MapRefused       Class = "map_refused"      // a map can't be created
	Relocation       Class = "relocation"       // a CO-RE record that nothing matches was reached, or can't be applied
	TargetMissing    Class = "target_missing"   // what the section names is not there
	TargetInvalid    Class = "target_invalid"   // what the section names makes no sense
	ExternMissing    Class = "extern_missing"   // a kernel symbol, kfunc or config option is not there
	KfuncRefused     Class = "kfunc_refused"    // a kfunc that is there can't be called
	StructOpsRefused Class = "struct_ops"       // the struct of a struct_ops map does not fit
	ProgramType      Class = "program_type"     // the kernel knows not the type of program, the attach type or a flag
	HelperMissing    Class = "helper_missing"   // the kernel has no such helper
	HelperRefused    Class = "helper_refused"   // the helper is not for programs of this type
	Instruction      Class = "instruction"      // the kernel does not know an instruction
	ContextAccess    Class = "context_access"   // reads what the context has not: an argument, a byte of a record
	NotSleepable     Class = "not_sleepable"    // a sleepable program where none may be
	License          Class = "license"          // only for programs under the GPL
	NotTraceable     Class = "not_traceable"    // the function is there, and no trampoline or probe may be put on it
	DuplicateSymbol  Class = "duplicate_symbol" // the kernel has several symbols of the name
	TooComplex       Class = "too_complex"      // larger than the verifier takes, or a loop that it can't follow
	TypeMismatch     Class = "type_mismatch"    // an argument of a helper is of a type that it does not take
	MemoryAccess     Class = "memory_access"    // the verifier can't prove that a read or write is safe
	ReturnValue      Class = "return_value"     // the program returns what its type may not
	Permission       Class = "permission"       // not allowed
	NotSupported     Class = "not_supported"    // the kernel was built without it, or the architecture lacks it
	OutOfMemory      Class = "out_of_memory"    //
	Hang             Class = "hang"             // no answer in time
	LoaderCrash      Class = "loader_crash"     // the process that loads objects ended: no answer of the kernel
	Other            Class = "other"            // none of these
)

// unpredictable tells failures that no prediction is about: they say what the guest lacked, had or did, and not what the kernel
// takes.
func (c Class) unpredictable() bool {
	switch c {
	case NoConfig, Hang, LoaderCrash, OutOfMemory, Permission:
		return true
	}
	return false
}

// Errno values of Linux on all its architectures that are asked here; 524 is ENOTSUPP, which user space has no name for.
const (
	ePERM, eNOENT, eSRCH, e2BIG, eNOMEM, eACCES, eBUSY, eEXIST, eINVAL     = 1, 2, 3, 7, 12, 13, 16, 17, 22
	eNOSPC, eRANGE, eNOSYS, eILSEQ, eOPNOTSUPP, eADDRNOTAVAIL, eNOTSUPPORT = 28, 34, 38, 84, 95, 99, 524
)

var errnoNames = map[int]string{ePERM: "EPERM", eNOENT: "ENOENT", eSRCH: "ESRCH", 4: "EINTR", 5: "EIO", 6: "ENXIO", e2BIG: "E2BIG",
	9: "EBADF", 11: "EAGAIN", eNOMEM: "ENOMEM", eACCES: "EACCES", 14: "EFAULT", eBUSY: "EBUSY", eEXIST: "EEXIST", 19: "ENODEV", eINVAL: "EINVAL",
	24: "EMFILE", eNOSPC: "ENOSPC", eRANGE: "ERANGE", eNOSYS: "ENOSYS", 40: "ELOOP", eILSEQ: "EILSEQ", eOPNOTSUPP: "EOPNOTSUPP", 98: "EADDRINUSE",
	eADDRNOTAVAIL: "EADDRNOTAVAIL", 110: "ETIMEDOUT", eNOTSUPPORT: "ENOTSUPP"}

// ErrnoName is the name of an errno of Linux, "errno N" for one without.
func ErrnoName(errno int) string {
	if name := errnoNames[errno]; name != "" {
		return name
	}
	return "errno " + strconv.Itoa(errno)
}

// observed is a failure as a guest reports it.
type observed struct {
	stage  load.Stage
	errno  int
	reason string
	log    []string
}

// known is what is known of a program beside its failure.
type known struct {
	hook  relocate.Hook // what its section names
	codes []string      // of the static findings
	// malformed: its section names something that makes no sense.
	malformed bool
	// noConfig: no configuration of the kernel was put into the guest.
	noConfig bool
}

// verdict is what a failure comes to.
type verdict struct {
	class Class
	rule  string // "" where no static rule is for it
	line  string // of the log that says why; "" where there is none
}

// classify finds out why a load or an attach failed. What the verifier says decides, then stage and errno.
func classify(o observed, k known) verdict {
	text := messages(o.log)
	for _, line := range slices.Backward(text) {
		if class, rule, ok := classifyLine(line, k); ok {
			return verdict{class, rule, line}
		}
	}
	if reason := said(o); reason != "" {
		if class, rule, ok := classifyLine(reason, k); ok {
			return verdict{class: class, rule: rule}
		}
	}
	class, rule := classifyErrno(o, k, len(text) > 0)
	v := verdict{class: class, rule: rule}
	if len(text) > 0 {
		v.line = text[len(text)-1]
	}
	return v
}

// said is a reason without the names before it, which are the object's: a map of the name GPL_counts is no matter of licenses.
// What is said of an extern holds its name, too, and tells by its beginning.
func said(o observed) string {
	s := o.reason
	for strings.HasPrefix(s, "map ") || strings.HasPrefix(s, "program ") {
		_, rest, found := strings.Cut(s, ": ")
		if !found {
			break
		}
		s = rest
	}
	if o.stage == load.StageReloc && strings.HasPrefix(s, "extern ") {
		return ""
	}
	return s
}

// pick returns the first static finding that is one of codes, else otherwise.
func (k *known) pick(otherwise string, codes ...string) string {
	for _, c := range k.codes {
		if slices.Contains(codes, c) {
			return c
		}
	}
	return otherwise
}

// poisonRange is how many numbers there are behind load.PoisonMap and load.PoisonKfunc.
const poisonRange = 1000000

// phrases are what kernels say, from kernel/bpf/verifier.c and btf.c of Linux 5.10 to 7.2, by what they have in common.
// The first that a line contains counts.
var phrases = []struct {
	text  string
	class Class
	rule  string
	pick  []string // static findings that say it closer
}{
	// Calls.
	{"program of this type cannot use helper ", HelperRefused, "", nil}, // since 6.12
	{"unknown func ", HelperRefused, "", nil},                           // before: of a helper that the kernel has
	{"GPL", License, "", nil},                                           // "cannot call GPL-restricted function from non-GPL compatible program"
	{"calling kernel function", KfuncRefused, "CC034", nil},             // "… is not allowed", "… is not supported"
	{"kernel function btf_id", KfuncRefused, "CC034", nil},
	{"must be called from sleepable", NotSleepable, "", nil},
	{"might sleep in a non-sleepable", NotSleepable, "", nil},
	{"in a non-sleepable prog", NotSleepable, "", nil},
	// Flags and types of the program.
	{" is not sleepable", NotSleepable, "CC037", nil},
	{"programs can be sleepable", NotSleepable, "CC037", nil},
	{" is not modifiable", NotTraceable, "CC021", nil},                                          // fmod_ret
	{"is rejected", NotTraceable, "CC021", nil},                                                 // "Attaching tracing programs to function '…' is rejected.": btf_id_deny, noreturn_deny
	{" cannot be found", TargetMissing, "CC020", []string{"CC021"}},                             // "The address of function … cannot be found"
	{". Too many.", NotTraceable, "CC021", nil},                                                 // "The function … has 13 arguments. Too many."
	{"with variable args is unsupported", NotTraceable, "CC021", nil},                           //
	{" is unsupported", NotTraceable, "CC021", nil},                                             // "The function … return type … is unsupported"
	{"malformed void argument", NotTraceable, "CC021", nil},                                     //
	{"unsupported arg", NotTraceable, "CC021", nil},                                             //
	{"attach_btf_id", TargetMissing, "", []string{"CC020", "CC022", "CC023", "CC024", "CC025"}}, // "… points to disabled hook …"
	{"no struct_ops map that is created", TargetInvalid, "CC026", []string{"CC025", "CC026"}},   // of package load
	{"program isn't referenced anywhere", TargetInvalid, "CC026", []string{"CC025", "CC026"}},   // bpf_object_load_prog of libbpf v1.7
	{"struct_ops", StructOpsRefused, "CC025", nil},
	// BTF of the object.
	{"func_info", BTFRefused, "", nil},
	{"line_info", BTFRefused, "", nil},
	// Instructions.
	{"uses reserved fields", Instruction, "CC038", nil},
	{"unknown opcode", Instruction, "CC038", nil},
	{"unknown insn", Instruction, "CC038", nil},
	{"unrecognized bpf_ld_imm64 insn", Instruction, "CC038", nil},
	{"invalid atomic opcode", Instruction, "CC038", nil},
	{"invalid atomic operand size", Instruction, "CC038", nil},
	{"BPF_ATOMIC ", Instruction, "CC038", nil},
	{"jump/call to", Instruction, "CC038", nil},
	// Size and loops.
	{"is too large", TooComplex, "", nil}, // "BPF program is too large. Processed … insn"
	{"too complex", TooComplex, "", nil},
	{"back-edge", TooComplex, "", nil},
	{"infinite loop", TooComplex, "", nil},
	{"combined stack size", TooComplex, "", nil},
	{"too many subprograms", TooComplex, "", nil},
	// Memory.
	{"invalid bpf_context access", ContextAccess, "", nil},
	{"dereference of modified ctx ptr", ContextAccess, "", nil},
	{" expected=", TypeMismatch, "", nil}, // "R1 type=scalar expected=ptr_"
	{"invalid mem access", MemoryAccess, "", nil},
	{"invalid access to", MemoryAccess, "", nil},
	{"access beyond", MemoryAccess, "", nil},
	{"cannot access ptr member", MemoryAccess, "", nil},
	{"invalid read from stack", MemoryAccess, "", nil},
	{"invalid write to stack", MemoryAccess, "", nil},
	{"invalid indirect", MemoryAccess, "", nil},
	{"invalid stack", MemoryAccess, "", nil},
	{"invalid zero-size", MemoryAccess, "", nil},
	{"unbounded memory access", MemoryAccess, "", nil},
	{"min value is", MemoryAccess, "", nil},
	{"max value is", MemoryAccess, "", nil},
	{"is outside of the allowed memory range", MemoryAccess, "", nil},
	{"dereference of modified", MemoryAccess, "", nil},
	{"pointer arithmetic", MemoryAccess, "", nil},
	{"pointer operation", MemoryAccess, "", nil},
	{"math between", MemoryAccess, "", nil},
	{"misaligned", MemoryAccess, "", nil},
	{"!read_ok", MemoryAccess, "", nil},
	{"leaks addr", MemoryAccess, "", nil},
	{"leak pointer", MemoryAccess, "", nil},
	{"write into", MemoryAccess, "", nil},
	{"only read is supported", MemoryAccess, "", nil},
	{"Unreleased reference", MemoryAccess, "", nil},
	{"Possibly NULL pointer", MemoryAccess, "", nil},
	// Results.
	{"should have been ", ReturnValue, "", nil}, // "At program exit the register R0 has … should have been in …"
}

// classifyLine classifies one line of a log, or a reason.
func classifyLine(line string, k known) (class Class, rule string, ok bool) {
	if _, number, found := strings.Cut(line, "invalid func unknown#"); found {
		n, _ := strconv.ParseInt(number[:digits(number)], 10, 64)
		switch {
		case n == relocate.PoisonHelper:
			return Relocation, k.pick("", relocationCodes...), true
		case n >= load.PoisonKfunc && n < load.PoisonKfunc+poisonRange:
			return ExternMissing, "CC034", true
		case n >= load.PoisonMap && n < load.PoisonMap+poisonRange:
			return MapRefused, k.pick("", "CC031"), true
		}
		return HelperMissing, "CC030", true
	}
	switch { // what libbpf v1.7 puts in place of such a line: fixup_verifier_log
	case strings.Contains(line, "failed to resolve CO-RE relocation"): // fixup_log_failed_core_relo
		return Relocation, k.pick("", relocationCodes...), true
	case strings.Contains(line, "is referenced but wasn't resolved"): // fixup_log_missing_kfunc_call
		return ExternMissing, "CC034", true
	case strings.Contains(line, "is referenced but wasn't created"): // fixup_log_missing_map_load
		return MapRefused, k.pick("", "CC031"), true
	}
	for i := range phrases {
		if p := &phrases[i]; strings.Contains(line, p.text) {
			otherwise := p.rule
			if p.class == TargetMissing {
				otherwise = cmp.Or(p.rule, targetRules[k.hook])
			}
			return p.class, k.pick(otherwise, p.pick...), true
		}
	}
	return "", "", false
}

// digits is how many digits s begins with.
func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}

// classifyErrno classifies what no line tells.
func classifyErrno(o observed, k known, logged bool) (Class, string) {
	switch o.stage {
	case load.StageOpen:
		return Refused, k.pick("CC010", "CC006", "CC012")
	case load.StageBTF:
		if slices.Contains(k.codes, "CC011") || strings.Contains(o.reason, "the kernel's BTF") {
			return NoKernelBTF, "CC011"
		}
		return BTFRefused, ""
	case load.StageMap:
		if o.errno == eNOMEM {
			return OutOfMemory, ""
		}
		return MapRefused, k.pick("", "CC031", "CC025")
	case load.StageReloc:
		for _, x := range noConfigs {
			switch {
			case !strings.Contains(o.reason, x):
			case k.noConfig:
				return NoConfig, "CC036"
			default:
				return ExternMissing, "CC036"
			}
		}
		for _, x := range externs {
			if strings.Contains(o.reason, x.text) {
				return ExternMissing, x.rule
			}
		}
		if rule := k.pick("", "CC034", "CC035", "CC036"); rule != "" {
			return ExternMissing, rule
		}
		if o.errno == eSRCH || o.errno == eNOENT {
			return TargetMissing, k.pick(targetRules[k.hook], "CC020", "CC022", "CC023", "CC024", "CC025", "CC026")
		}
		return Relocation, k.pick("", append([]string{"CC006"}, relocationCodes...)...)
	case load.StageAttach:
		if k.malformed {
			return TargetInvalid, k.pick("", "CC026")
		}
		return classifyAttach(o.errno, k)
	}
	switch o.errno {
	case ePERM:
		return Permission, ""
	case eSRCH, eNOENT:
		return TargetMissing, targetRules[k.hook]
	case e2BIG:
		return TooComplex, ""
	case eNOMEM:
		return OutOfMemory, ""
	case eOPNOTSUPP, eNOTSUPPORT:
		return NotSupported, k.pick("", "CC032", "CC033", "CC037", "CC034", "CC038")
	case eINVAL:
		if !logged { // bpf_prog_load of kernel/bpf/syscall.c: before the verifier has a word
			return ProgramType, k.pick("CC032", "CC033", "CC037", "CC012")
		}
	}
	return Other, ""
}

// noConfigs is what package load says, and libbpf in bpf_object__read_kconfig_file, of a system without configuration.
var noConfigs = []string{"the kernel's configuration can't be read", "failed to open system Kconfig"}

// externs is how package load begins what it says of externs.
var externs = []struct{ text, rule string }{{"extern kfunc ", "CC034"}, {"extern ksym ", "CC035"}, {"extern ", "CC036"}, {"the extern is ", "CC036"}, {"the extern has ", "CC036"}}

// targetRules are the rules on what sections name.
var targetRules = map[relocate.Hook]string{relocate.HookBTFFunc: "CC020", relocate.HookFunction: "CC027", relocate.HookFunctions: "CC027",
	relocate.HookSyscall: "CC027", relocate.HookTracepoint: "CC022", relocate.HookRawTP: "CC022", relocate.HookBTFTP: "CC022",
	relocate.HookLSM: "CC023", relocate.HookIter: "CC024", relocate.HookStructOps: "CC025"}

// classifyAttach classifies an attach that failed: by what the section names and the errno, seen on Linux 5.10 to 7.3.
func classifyAttach(errno int, k known) (Class, string) {
	rule := targetRules[k.hook]
	switch errno {
	case ePERM:
		return Permission, ""
	case eNOMEM:
		return OutOfMemory, ""
	case eNOENT, eSRCH:
		return TargetMissing, rule
	}
	switch k.hook {
	case relocate.HookFunction, relocate.HookFunctions, relocate.HookSyscall:
		switch errno {
		case eADDRNOTAVAIL: // several symbols: __trace_kprobe_create of kernel/trace/trace_kprobe.c, since v6.7
			return DuplicateSymbol, rule
		case eINVAL, eILSEQ: // link_create of kernel/bpf/syscall.c does not know the attach type
			if errno == eINVAL && slices.Contains(k.codes, "CC033") {
				return ProgramType, "CC033"
			}
			// not in available_filter_functions, or no start of an instruction
			return NotTraceable, rule
		case eOPNOTSUPP: // no CONFIG_FPROBE
			return NotSupported, rule
		}
	case relocate.HookBTFFunc, relocate.HookLSM:
		switch errno {
		case eBUSY: // bpf_trampoline_link_prog: notrace, inlined, or live-patched
			return NotTraceable, "CC021"
		case eNOTSUPPORT, eOPNOTSUPP: // an architecture without trampolines, or more arguments than they take
			return NotSupported, "CC021"
		}
	case relocate.HookRawTP, relocate.HookBTFTP:
		if errno == eINVAL { // bpf_probe_register: the program reads more arguments than the tracepoint has
			return ContextAccess, ""
		}
	case relocate.HookTracepoint:
		if errno == eACCES { // perf_event_set_bpf_prog: it reads beyond the record
			return ContextAccess, ""
		}
	}
	switch {
	case errno == eOPNOTSUPP, errno == eNOTSUPPORT:
		return NotSupported, k.pick("", "CC032", "CC033")
	case errno == eINVAL && k.pick("", "CC032", "CC033") != "":
		return ProgramType, k.pick("", "CC032", "CC033")
	}
	return Other, ""
}

// messages are those lines of a verifier's log that say something in words: no instructions, no states of registers, no
// source lines, and not what Linux 7.3 puts behind the message as advice.
func messages(log []string) []string {
	for i, line := range log {
		if i > 0 && isAdvice(line) {
			log = log[:i]
			break
		}
	}
	var out []string
	for _, line := range log {
		line = strings.TrimSpace(line)
		if line != "" && !isState(line) {
			out = append(out, line)
		}
	}
	return out
}

// isAdvice tells the beginning of what the verifier of Linux 7.3 writes behind its message.
func isAdvice(line string) bool {
	line = strings.TrimLeft(line, " =-*#")
	return strings.HasPrefix(line, "Verification failed") || strings.HasPrefix(line, "Suggestion")
}

// isState tells lines in which the verifier follows the program, and its statistics: print_verifier_state,
// verbose_linfo, print_verification_stats, mark_chain_precision and others of kernel/bpf/verifier.c.
func isState(line string) bool {
	if n := digits(line); n > 0 && strings.HasPrefix(line[n:], ":") {
		return true // an instruction, or the state behind one
	}
	if line[0] == 'R' && len(line) > 1 && line[1] >= '0' && line[1] <= '9' {
		// "R1=ctx() R10=fp0" is a state, "R1 type=scalar expected=fp" is not.
		word, _, _ := strings.Cut(line, " ")
		return strings.Contains(word, "=")
	}
	for _, prefix := range states {
		if strings.HasPrefix(line, prefix) {
			return true
		}
	}
	return false
}

var states = []string{"; ", "--", "processed ", "verification time ", "stack depth ", "insns processed ", "from ", "caller:", "callee:",
	"frame", "last_idx ", "parent ", "regs=", "mark_precise: ", "propagating ", "returning from ", "to caller at ", "Validating ",
	"Func#", "Live regs ", "subprog#", "arg#", "reg type unsupported for arg#", "Unrecognized arg#", "func '", "fp-", "safe", "Global function "}

// reasonText is why something failed, for people: the line of the verifier's log, or what else the guest says.
func reasonText(o observed, v verdict) string {
	reason := o.reason
	switch {
	case v.line == "":
	case o.reason == "" || strings.Contains(v.line, o.reason):
		reason = v.line
	case !strings.Contains(o.reason, v.line):
		reason = v.line
	}
	return cmp.Or(reason, fmt.Sprintf("%s failed without a word", o.stage))
}
