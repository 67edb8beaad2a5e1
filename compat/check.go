package compat

import (
	"errors"
	"fmt"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// Options of a check.
type Options struct {
	Version  string // of corecheck, for the report
	Coverage Coverage
	// Reference are further kernels at hand that are not asked. They serve to tell code that is built in from code
	// that may be in a module.
	Reference []*kernels.Kernel
	// AnyArch asks an object on kernels of other architectures than its own, too. What it finds there is true, and of no use
	// but to who asked for it: an object that reads x86's registers does not load on arm64.
	AnyArch bool
	// Workers is the number of kernels looked at at once; 0: one per CPU.
	Workers int
}

// Check holds objects against kernels. The kernels must be in the order of versions. A kernel whose BTF can't be read is
// reported in Report.Errors and left out; the others are asked all the same.
func Check(objs []*relocate.Object, ks []*kernels.Kernel, opt Options) *Report {
	e := newEvaluation(objs, ks, opt)
	e.run(opt.Workers)
	rep := &Report{
		Schema:   Schema,
		Version:  opt.Version,
		Kernels:  []KernelInfo{},
		Objects:  []ObjectReport{},
		Findings: []Finding{},
		Coverage: opt.Coverage,
	}
	if rep.Coverage.Missing == nil {
		rep.Coverage.Missing = []string{}
	}
	// A kernel that could not be read has no answers.
	r := &reporter{Report: rep, pool: e.pool, ref: e.ref, all: kernels.Full(len(ks)), index: make([]int, len(ks)), ids: make(map[string][]string)}
	said := make(map[string]bool)
	for i, k := range ks {
		if err := e.errs[i]; err != nil {
			if x := inputError(err); !said[x.Message] { // damage in an archive may hit all of its kernels
				said[x.Message] = true
				rep.Errors = append(rep.Errors, x)
			}
			r.all.Remove(i)
			continue
		}
		r.index[i] = len(rep.Kernels)
		rep.Kernels = append(rep.Kernels, KernelInfo{ID: k.ID, Version: k.Version.String(), Uname: k.Uname, Arch: k.Arch,
			Distro: k.Distro, Release: k.Release, Facts: k.Facts()})
	}
	rep.Coverage.Matched = len(rep.Kernels)
	readable := r.all
	for i, o := range objs {
		out := e.plans[i].leftOut
		r.all = notLeftOut(readable, out)
		r.addObject(o, e.hits[i])
		e.hits[i] = nil
		x := &r.Objects[len(r.Objects)-1]
		for _, l := range out {
			if l.set.And(readable); !l.set.Empty() {
				l.Kernels = r.idsOf(l.set)
				x.LeftOut = append(x.LeftOut, l)
			}
		}
	}
	r.all = readable
	r.suggest()
	rep.NotChecked = notChecked(objs)
	return rep
}

// inputError turns an error into what reports show.
func inputError(err error) InputError {
	e := InputError{Message: err.Error()}
	var b *btfinfo.Error
	if errors.As(err, &b) {
		e.File, e.Hint = b.File, b.Hint
	}
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		e.Hint = h.Hint()
	}
	return e
}

// AddError records an input that could not be read.
func (r *Report) AddError(err error) {
	r.Errors = append(r.Errors, inputError(err))
}

// attachTo is the target as the section names it: "vfs_read+4", "block/block_rq_issue", "nf_tables:nft_do_chain".
func attachTo(p *relocate.Program) string { return p.Sec.Target }

// attachable tells whether a program has an attach that the kernel decides: ok until a rule says otherwise, or none.
// Targets in user space, and programs that are attached to devices, sockets and cgroups of the loader's choice, have none.
func attachable(p *relocate.Program) Status {
	if !p.Sec.AutoAttach && p.Sec.Err == "" {
		return None // lsm_cgroup: the loader gives the cgroup
	}
	if p.Sec.Hook == relocate.HookIter && ofOneThing[p.Sec.Func] {
		return None
	}
	switch p.Sec.Hook {
	case relocate.HookFunction, relocate.HookFunctions, relocate.HookSyscall, relocate.HookTracepoint, relocate.HookRawTP,
		relocate.HookBTFTP, relocate.HookBTFFunc, relocate.HookLSM, relocate.HookIter:
		return OK
	}
	return None
}

// ofOneThing are iterators over one map or cgroup, which the loader gives when it attaches the program: union
// bpf_iter_link_info in include/uapi/linux/bpf.h. That of tasks may be given one and needs none.
var ofOneThing = map[string]bool{"bpf_map_elem": true, "bpf_sk_storage_map": true, "sockmap": true, "cgroup": true}

// objectResult is the object loaded whole: with its autoload programs, as libbpf does. Where it has none, the loader
// chooses: the object fails where all its programs do, and where only some do it depends on the choice.
func objectResult(o *relocate.Object, object answer, programs []answer) ObjectResult {
	load, verdict := object.load, object.verdictOf()
	loaded := 0
	for p := range o.Programs {
		if !o.Programs[p].Sec.Autoload {
			continue
		}
		loaded++
		load = worse(load, programs[p].load)
		verdict = worse(verdict, programs[p].verdictOf())
	}
	if loaded == 0 && len(programs) > 0 {
		best := Break
		for p := range programs {
			if v := programs[p].verdictOf(); v.rank() < best.rank() {
				best = v
			}
		}
		if best == Break {
			load, verdict = Break, Break
		} else {
			for p := range programs {
				if v := programs[p].verdictOf(); v.rank() > OK.rank() {
					verdict = worse(verdict, Unknown)
				}
			}
		}
	}
	if verdict == None {
		verdict = OK
	}
	return ObjectResult{Load: load, Verdict: verdict}
}

// gplCompatible is license_is_gpl_compatible of include/linux/license.h. Which helpers ask for it is not in BTF.
var gplCompatible = map[string]bool{"GPL": true, "GPL v2": true, "GPL and additional rights": true, "Dual BSD/GPL": true,
	"Dual MIT/GPL": true, "Dual MPL/GPL": true}

// notChecked says what a clean report on these objects does not prove.
func notChecked(objs []*relocate.Object) []string {
	var functions, events, guarded, userspace, unlicensed int
	for _, o := range objs {
		if !gplCompatible[o.License] {
			unlicensed++
		}
		for _, p := range o.Programs {
			switch p.Sec.Hook {
			case relocate.HookFunction, relocate.HookFunctions, relocate.HookSyscall, relocate.HookBTFFunc:
				functions++
			case relocate.HookTracepoint:
				events++
			case relocate.HookUser, relocate.HookUSDT:
				userspace++
			}
		}
		for _, r := range o.Relos {
			if r.Kind.IsQuestion() {
				guarded++
			}
		}
	}
	var out []string
	add := func(n int, one, many string) {
		if n == 1 {
			out = append(out, one)
		} else if n > 1 {
			out = append(out, fmt.Sprintf(many, n))
		}
	}
	add(functions, "1 target of kprobe or fentry programs was looked up in BTF only: no symbol tables, no list of what can't be traced",
		"%d targets of kprobe and fentry programs were looked up in BTF only: no symbol tables, no list of what can't be traced")
	add(events, "1 tracepoint was looked up by name only: not its category, nor the layout of its record",
		"%d tracepoints were looked up by name only: not their category, nor the layout of their records")
	add(userspace, "1 program is attached in user space, which no kernel's BTF tells about",
		"%d programs are attached in user space, which no kernel's BTF tells about")
	add(guarded, "1 question to the kernel (exists, matches) was not followed through the program",
		"%d questions to the kernel (exists, matches) were not followed through the programs")
	add(unlicensed, "1 object has no license that the kernel takes for compatible with the GPL: LSM programs, kfuncs and many helpers are refused to it",
		"%d objects have no license that the kernel takes for compatible with the GPL: LSM programs, kfuncs and many helpers are refused to them")
	return append(out, "the verifier was not run: complexity, program size, helpers that a program type may not call",
		"fields that changed type or size under a raw read, and arguments that moved")
}
