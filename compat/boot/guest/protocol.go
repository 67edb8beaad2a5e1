// Package guest is corecheck inside a virtual machine: as /init it reads a Plan, loads and attaches what the plan lists
// on the kernel that was booted, and writes what it saw as Messages, one JSON object a line, to the results port.
package guest

import (
	"time"

	"github.com/corecheck/corecheck/relocate/load"
)

// Places in the guest's initramfs.
const (
	InitPath = "/init"                // corecheck itself
	PlanPath = "/corecheck/plan.json" // a Plan
)

// Loader says who loads the objects in the guest.
type Loader string

// The loaders.
const (
	Own     Loader = "corecheck" // package load
	LibBPF  Loader = "libbpf"    // bpftool
	Command Loader = "command"   // the user's own program
)

// Plan is what a guest is asked to do.
type Plan struct {
	// Ports are the device files that results may go to; the first that can be opened is taken.
	Ports   []string `json:"ports"`
	Modules []string `json:"modules,omitempty"` // files of modules in the initramfs, in the order in which they are inserted
	Objects []Object `json:"objects"`
	Loader  Loader   `json:"loader"`
	// Command is what Loader Command runs, and the bpftool of LibBPF: the program and its arguments.
	Command []string `json:"command,omitempty"`

	ObjectTimeout  time.Duration `json:"object_timeout"`  // for all that is done with one object, or with the command
	ProgramTimeout time.Duration `json:"program_timeout"` // for one program's load and attach
	LogLines       int           `json:"log_lines"`       // of the verifier's log that are sent, from its end
}

// Object is one BPF object of a plan.
type Object struct {
	Path    string            `json:"path"`              // in the initramfs
	Targets map[string]string `json:"targets,omitempty"` // program → function that it is attached to
}

// Kind tells what a Message is about.
type Kind string

// The kinds, in the order in which they come. Each object gives Started, then Whole, then a Program for each of its
// programs; a command gives Ran. Done is last: a guest whose messages end without it was cut short.
const (
	Booted  Kind = "booted"  // the guest runs: Boot
	Loaded  Kind = "module"  // a module was inserted, or not: Module, and Err
	Started Kind = "started" // work on an object begins: Object
	Trying  Kind = "trying"  // a program is begun, so that a guest that hangs tells with what: Object, Name
	Whole   Kind = "object"  // the object with all its autoload programs: Object, Load, Notes
	Program Kind = "program" // one program alone: Object, Name, Load, Attach, Notes
	Ran     Kind = "command" // the command ended: Exit, Output; or could not be started: Exit -1, Err
	Failed  Kind = "failed"  // the guest could not do its work, or not that of an object: Object (-1 for all), Err
	Done    Kind = "done"
)

// Message is one line of what a guest reports. Fields that are not of its kind are zero.
type Message struct {
	Kind   Kind     `json:"kind"`
	Boot   *Boot    `json:"boot,omitempty"`
	Module string   `json:"module,omitempty"`
	Object int      `json:"object"`         // index in Plan.Objects
	Name   string   `json:"name,omitempty"` // of the program
	Load   *Outcome `json:"load,omitempty"`
	Attach *Outcome `json:"attach,omitempty"` // nil where it was not tried, because the load failed
	Notes  []string `json:"notes,omitempty"`  // what the loader decided for want of a user: sizes of maps
	Exit   int      `json:"exit,omitempty"`
	Output []string `json:"output,omitempty"` // the last lines
	Millis int64    `json:"ms,omitempty"`     // that it took
	Err    string   `json:"error,omitempty"`
}

// Boot describes the kernel that a guest runs.
type Boot struct {
	Uname string `json:"uname"` // uname -r
	Arch  string `json:"arch"`  // in BTFHub's names
}

// Result is what became of a load or an attach.
type Result string

// The results.
const (
	OK          Result = "ok"
	Fail        Result = "fail"
	None        Result = "none"         // attach: the section does not say to what, and the kernel is not asked
	NeedsTarget Result = "needs_target" // only user space knows the target
	Hang        Result = "hang"         // it was not done within the time it was given
	Crash       Result = "crash"        // the process that loads objects ended, or could not do its work: no answer of the kernel
	NotTried    Result = "not_tried"    // load: nothing was asked of the kernel, for want of time or of a process
)

// Outcome is what became of a load or an attach, and why.
type Outcome struct {
	Result    Result     `json:"result"`
	Stage     load.Stage `json:"stage,omitempty"` // that failed
	Errno     int        `json:"errno,omitempty"` // 0 where no system call failed
	Reason    string     `json:"reason,omitempty"`
	Log       []string   `json:"log,omitempty"`       // the last lines of the verifier's log
	Truncated bool       `json:"truncated,omitempty"` // Log has not all of it
}
