// Package load prepares a BPF object for the running kernel as libbpf does, with the relocations of package relocate,
// and hands it to the kernel through cilium/ebpf: maps, programs, attachments.
//
// Everything is done as bpf_object__load of libbpf v1.7 does it, in its order, so that what a check of the object predicts
// can be held against a kernel: programs with autoload, externs, struct_ops maps, CO-RE records, subprograms, the object's
// BTF without what the kernel does not know, maps, programs. What a loading program would set at run time (Options), and
// sizes of maps in particular, is chosen where it must be, and noted.
//
// Two system calls are made here, not by cilium/ebpf, which then takes over their file descriptors: the creation of maps
// and the load of programs. NewMap and NewProgram send the kernel a BTF that they put together anew, of the types that are
// referred to, with other ids. The verifier compares ids in instructions (bpf_core_type_id_local, bpf_obj_new), and the
// BTF of maps with that of programs (lists, trees and local kptrs in maps), so that all have to be those of the object.
// NewProgram finds the target of fentry and its like by itself, with other rules than libbpf, finds functions of modules
// only with CO-RE records still in place, and reports a poisoned instruction without the kernel's number.
package load

import (
	"errors"
	"fmt"
	"syscall"

	"github.com/cilium/ebpf"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// ErrNeedsTarget is the cause of an *Error about a program whose section leaves to the loading program what it is for or
// what it is attached to. Options.Targets can name the latter.
var ErrNeedsTarget = errors.New("only the loading program knows the target")

// Options say what the loading program would have set.
type Options struct {
	// Programs are the names of those to load; nil: those with autoload, as libbpf has it.
	Programs []string
	// Targets are functions that programs attach to, by program, where their sections name none: "tcp_v4_connect",
	// "module:function". They go before what the section says.
	Targets map[string]string
	// MapEntries are the max_entries of maps, by map.
	MapEntries map[string]uint32
	// MapValueSizes are the value sizes of maps in bytes, by map.
	MapValueSizes map[string]uint32
}

// Loaded is an object in the kernel. Close gives all of it back.
type Loaded struct {
	Object *relocate.Object
	Kernel *Kernel

	progs map[string]*Program
	maps  map[string]*ebpf.Map
	ops   map[string][]byte // values of struct_ops maps, by map, with the file descriptors of programs
	notes []string
}

// Program is one program in the kernel.
type Program struct {
	*relocate.Program
	Prog *ebpf.Program
	// Target is the SecDef that holds: of the section, or of Options.Targets in its place.
	Target relocate.SecDef
	// AttachType is what the kernel was given as expected_attach_type.
	AttachType ebpf.AttachType
	// BTFID is the type that the program was loaded for, where Target.NeedsBTFID: of the kernel, or with Module of that
	// module. 0 elsewhere.
	BTFID  btfinfo.ID
	Module string
}

// Lookup returns a loaded program with what it was loaded for; nil where it was not loaded.
func (l *Loaded) Lookup(name string) *Program { return l.progs[name] }

// Program returns a loaded program; nil where it was not loaded.
func (l *Loaded) Program(name string) *ebpf.Program {
	if p := l.progs[name]; p != nil {
		return p.Prog
	}
	return nil
}

// Map returns a map; nil where there is none of that name, or it was not created.
func (l *Loaded) Map(name string) *ebpf.Map { return l.maps[name] }

// Notes are what was decided for want of a loading program, one sentence each: sizes of maps, pins left out.
func (l *Loaded) Notes() []string { return l.notes }

// Stage is the step of loading that failed.
type Stage string

// The stages, in their order.
const (
	StageOpen   Stage = "open"       // libbpf refuses the object
	StageBTF    Stage = "btf_load"   // the kernel refuses the object's BTF, or has none itself
	StageMap    Stage = "map_create" // a map, or its initial contents
	StageReloc  Stage = "relocation" // CO-RE records, externs, attach targets in BTF
	StageLoad   Stage = "prog_load"  // the verifier, or the kernel before it
	StageAttach Stage = "attach"
)

// Error says what a kernel or the loader refused.
type Error struct {
	Stage   Stage
	Program string        // "" where it concerns the whole object
	Map     string        // of StageMap
	Errno   syscall.Errno // 0 where no system call failed and libbpf has no number for it
	Msg     string        // a clause for people, without the number
	Cause   error         // ErrNeedsTarget and the like; nil where Errno says all
	Log     []string      // the verifier's log, without line ends; empty where there is none
	// Truncated: the kernel had more to say than the buffer held.
	Truncated bool
}

func (e *Error) Error() string {
	s := string(e.Stage) + ": "
	if e.Program != "" {
		s += "program " + e.Program + ": "
	}
	if e.Map != "" {
		s += "map " + e.Map + ": "
	}
	s += e.Msg
	if e.Errno != 0 {
		s += fmt.Sprintf(": %v", e.Errno)
	}
	return s
}

// Unwrap returns the cause and the system call's error.
func (e *Error) Unwrap() []error {
	var errs []error
	if e.Cause != nil {
		errs = append(errs, e.Cause)
	}
	if e.Errno != 0 {
		errs = append(errs, e.Errno)
	}
	return errs
}
