package compat

import (
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// Rule is one way in which a kernel fails a need. It lives in a file of its own, named after Name, and has a fixture of
// that name in testdata/rules.
type Rule struct {
	Code  string // "CC001": never reused
	Name  string // "field_missing"
	Title string // a few words, for tables
	Doc   string // what it means, how it is known and what to do, in sentences, with sources

	// needs are the kinds of needs that the rule looks at.
	needs []relocate.NeedKind
	// check reports what is wrong with one need on one kernel. It sees each need of the kinds above. What it reads of the
	// kernel it reads through c, so that its report holds for all kernels that answer alike.
	check func(c *check, n *relocate.Need)
}

// Rules are all rules in the order of their codes.
func Rules() []*Rule { return rules }

var rules = []*Rule{
	fieldMissing,
	typeMissing,
	enumeratorMissing,
	fieldIncompatible,
	relocationAmbiguous,
	anonymousRoot,
	loadSize,
	relocationInvalid,
	typeSizeZero,
	objectRefused,
	kernelBTFMissing,
	byteOrder,
	functionMissing,
	functionUntraceable,
	tracepointMissing,
	lsmHookMissing,
	iteratorMissing,
	structOpsMissing,
	targetUnset,
	kprobeUnconfirmed,
	helperMissing,
	mapTypeMissing,
	programTypeMissing,
	attachTypeMissing,
	kfuncMissing,
	ksymMissing,
	kconfigUnknown,
	programFlagUnconfirmed,
	instructionUnconfirmed,
}

var rulesByNeed = func() map[relocate.NeedKind][]*Rule {
	m := make(map[relocate.NeedKind][]*Rule)
	for _, r := range rules {
		for _, k := range r.needs {
			m[k] = append(m[k], r)
		}
	}
	return m
}()

// stage is what a finding concerns.
type stage uint8

const (
	stageLoad stage = iota
	stageAttach
)

func (s stage) String() string {
	if s == stageAttach {
		return "attach"
	}
	return "load"
}

// raw is what a rule reports on one kernel, before equal ones of several kernels are put together.
type raw struct {
	rule       *Rule
	need       *relocate.Need
	program    int // index in Object.Programs; -1: the object as a whole
	stage      stage
	verdict    Status
	message    string
	hint       string
	candidates []string
	// suggest: no replacement is known; a look for something similar in the newest such kernel may improve the hint.
	suggest bool
	// pending: the finding holds only if this name is built into no kernel at hand; settled takes its place if it is.
	pending builtName
	settled *raw
}

// check is one rule looking at one object on one kernel.
type check struct {
	*facts
	obj     *relocate.Object
	answers []reloAnswers // by index of the relocation
	guards  *guards
	walks   [][2]kernels.Memo[*relocate.Reach] // by program, without and with .rodata
	results []relocate.Result                  // by index of the relocation: those of a program that is walked
	rule    *Rule
	out     []raw
}

// result returns what became of the need's relocation; nil where the need has none or the loader skips it. Of a resolved
// one it does not tell the value, which no rule asks for and most kernels differ in.
func (c *check) result(n *relocate.Need) *relocate.Result {
	if n.Relo == nil {
		return nil
	}
	return c.answers[n.Relo.Index].told.of(c.v)
}

// emit adds a finding on a need to a program (-1: the object as a whole).
func (c *check) emit(n *relocate.Need, program int, r raw) {
	r.rule, r.need, r.program = c.rule, n, program
	if r.settled != nil {
		s := *r.settled
		s.rule, s.need, s.program = c.rule, n, program
		r.settled = &s
	}
	c.out = append(c.out, r)
}

// reportObject adds a finding that concerns the object as a whole, whichever program has the need.
func (c *check) reportObject(n *relocate.Need, r raw) { c.emit(n, -1, r) }

// report adds a finding on a need to each of its programs or, where none reaches it, to the object.
func (c *check) report(n *relocate.Need, r raw) {
	if len(n.Programs) == 0 {
		c.reportObject(n, r)
	}
	for _, p := range n.Programs {
		c.emit(n, c.guards.index[p], r)
	}
}

// reportGuarded adds a finding on an instruction that the verifier refuses only if it is reached. Questions that the
// program asks the kernel may keep it from being reached, and then the answer is unknown: one about the type or enum
// named typeName always, another where the walk of the program, with this kernel's answers in it, does not reach the
// instruction. So may constants that the loader can set.
func (c *check) reportGuarded(n *relocate.Need, r raw, typeName string) {
	for _, p := range n.Programs { // what no program reaches is not verified
		program := c.guards.index[p]
		guard := ""
		if q := c.guards.about(program, typeName); q != "" {
			guard = "the program asks " + q
		} else {
			guard = c.ledPast(program, n)
		}
		c.emit(n, program, r.guardedBy(guard))
	}
}

// ledPast says what leads a program past the need's instruction on this kernel, as a sentence; "" where nothing does that
// is known. What the loader may change, the constants in .rodata, is only asked where the rest does not decide it.
func (c *check) ledPast(program int, n *relocate.Need) string {
	switch {
	case !c.walk(program, false).Reached(n.Func, n.Insn):
		return c.guards.ledPast(program)
	case !c.walk(program, true).Reached(n.Func, n.Insn):
		return "its constants in .rodata lead past it, unless the loader sets others"
	}
	return ""
}

// walk follows a program as the verifier of this kernel does, as far as constants decide it; with rodata, the constants
// in .rodata are what the object says.
func (c *check) walk(program int, rodata bool) *relocate.Reach {
	return c.walks[program][btoi(rodata)].Get(c.v, func() *relocate.Reach {
		p := c.obj.Programs[program]
		for _, f := range p.Funcs {
			for _, r := range f.Relos {
				if v := c.answers[r.Index].values.of(c.v); v != nil {
					c.results[r.Index] = *v
				} else {
					c.results[r.Index] = relocate.Result{}
				}
			}
		}
		opt := relocate.ReachOptions{
			Version: c.verifier(),
			Missing: c.missingExtern,
			Kconfig: func(e *relocate.Extern, size int) (uint64, bool) { // get_kernel_version of libbpf v1.7
				if e.Name != versionExtern || size != 4 {
					return 0, false
				}
				v, ok := c.versionCode()
				return uint64(v), ok
			},
		}
		if rodata {
			opt.Data = c.rodata
		}
		return p.Reach(c.results, opt)
	})
}

// rodata is a constant of size bytes in .rodata as the object has it.
func (c *check) rodata(m *relocate.Map, off uint32, size int) (v uint64, ok bool) {
	if !m.Data || !strings.HasPrefix(m.Name, ".rodata") || uint64(off)+uint64(size) > uint64(len(m.Content)) {
		return 0, false
	}
	b := m.Content[off:]
	switch order := c.obj.ByteOrder; size {
	case 1:
		return uint64(b[0]), true
	case 2:
		return uint64(order.Uint16(b)), true
	case 4:
		return uint64(order.Uint32(b)), true
	case 8:
		return order.Uint64(b), true
	}
	return 0, false
}

// versionExtern is the extern in which libbpf puts the version of the kernel.
const versionExtern = "LINUX_KERNEL_VERSION"

// missingExtern tells whether libbpf makes the address of a weak extern 0 on this kernel. Where a module that was not seen
// may have it, the answer is the one that leads past more code, and then no finding says more than unknown.
func (c *check) missingExtern(e *relocate.Extern) bool {
	switch {
	case e.Kind == relocate.ExternKfunc:
		at, ok := c.find("", btfinfo.EssentialName(e.Name), btfinfo.KindFunc)
		return !ok || e.Type != 0 && !relocate.TypesCompatible(c.obj.BTF, e.Type, at.btf, at.typ.Ref())
	case e.Kind == relocate.ExternKsym && e.Typed:
		return !c.has("", e.Name, btfinfo.KindVar)
	}
	return false // in a symbol table only
}

// guardedBy is the finding with what may keep its instruction from being reached, as a sentence; "" changes nothing.
func (r raw) guardedBy(guard string) raw {
	if guard == "" {
		return r
	}
	r.guard(guard)
	if r.settled != nil {
		s := *r.settled
		s.guard(guard)
		r.settled = &s
	}
	return r
}

// guard turns a finding that breaks into one that may be guarded.
func (r *raw) guard(guard string) {
	if r.verdict != Break {
		return
	}
	r.verdict, r.suggest = Unknown, false
	r.message += "; it may be guarded: " + guard
	r.hint = "where the guard keeps it from being reached, the program loads; corecheck does not decide that yet, so try it on such a kernel"
}
