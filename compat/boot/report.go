package boot

import (
	"cmp"
	"encoding/json"
	"errors"
	"io"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/relocate/load"
)

// Schema names the JSON form of a Report. Fields are only ever added to it; docs/boot.md describes them.
const Schema = "corecheck.boot/v1"

// Report is what objects did on kernels that were booted, beside what was predicted of them. Every renderer prints these
// values; none computes its own.
type Report struct {
	Schema  string              `json:"schema"`
	Version string              `json:"version"` // of corecheck
	Loader  guest.Loader        `json:"loader"`  // of the objects in the guests
	Kernels []compat.KernelInfo `json:"kernels"` // that were to be booted, in the order of versions
	Runs    []KernelRun         `json:"runs"`    // one for each of Kernels, in the same order
	// LeftOut are kernels on which an object was not tried, and of which it counts for nothing.
	LeftOut []LeftOut `json:"left_out,omitempty"`
	// Errors are the inputs that could not be read; with the others all was done.
	Errors []compat.InputError `json:"errors,omitempty"`
}

// Status says how far a kernel came.
type Status string

const (
	Booted   Status = "booted"    // all that was asked for was done
	CutShort Status = "cut_short" // it booted, and ended before all was done; what came before counts
	Failed   Status = "failed"    // it did not boot, or its guest could not work: nothing is known
)

// KernelRun is one kernel that was booted.
type KernelRun struct {
	Kernel      string `json:"kernel"` // its ID
	Status      Status `json:"status"`
	Error       string `json:"error,omitempty"` // why it is not booted
	Hint        string `json:"hint,omitempty"`
	Accel       string `json:"accel"`                  // kvm or tcg, "" where QEMU was not started
	AccelReason string `json:"accel_reason,omitempty"` // why not KVM
	QEMU        string `json:"qemu,omitempty"`         // its version
	Sandbox     bool   `json:"sandbox"`                // QEMU confines itself
	BootMillis  int64  `json:"boot_ms"`                // from QEMU's start to the guest's first word
	Millis      int64  `json:"ms"`                     // from QEMU's start to its end
	Uname       string `json:"uname,omitempty"`        // as the guest says
	Image       string `json:"image,omitempty"`        // the file that was booted, where the user named one
	// Modules are those that were inserted, or should have been.
	Modules []Module `json:"modules,omitempty"`
	Console string   `json:"console,omitempty"` // file with all that the kernel printed
	// ConsoleTail are the last lines of that, of a run that is not booted.
	ConsoleTail []string `json:"console_tail,omitempty"`
	Oops        []string `json:"oops,omitempty"`     // lines at which the kernel reported a fault of its own
	Problems    []string `json:"problems,omitempty"` // results of the guest that could not be used, and why

	Objects  []Object  `json:"objects"`  // each loaded whole, in the order of files given
	Programs []Program `json:"programs"` // each loaded alone, by objects
	Command  *Command  `json:"command,omitempty"`
	// NotObserved are programs of which a run that was cut short says nothing.
	NotObserved []ProgramRef `json:"not_observed,omitempty"`
}

// ProgramRef names a program.
type ProgramRef struct {
	File    string `json:"file"`
	Object  string `json:"object"`
	Program string `json:"program"`
}

// Module is a module that a guest was given.
type Module struct {
	Name  string `json:"name"`
	Error string `json:"error,omitempty"` // why it is not inserted
}

// Load says what became of a load.
type Load string

// Attach says what became of an attach.
type Attach string

const (
	LoadOK   Load = "ok"
	LoadFail Load = "fail"

	AttachOK          Attach = "ok"
	AttachFail        Attach = "fail"
	AttachNone        Attach = "none"         // it was not tried: the load failed, or the section does not say to what
	AttachNeedsTarget Attach = "needs_target" // it was not tried: only user space knows to what
)

// Failure is why a load or an attach failed. It is zero where nothing did.
type Failure struct {
	Stage load.Stage `json:"stage,omitempty"`
	Class Class      `json:"class,omitempty"`
	Rule  string     `json:"rule,omitempty"` // code of the static rule for such failures, "" where there is none
	// Log are the last lines of the verifier's log.
	Log          []string `json:"log,omitempty"`
	LogTruncated bool     `json:"log_truncated,omitempty"` // there was more of it
}

// Object is an object loaded whole with its autoload programs, as libbpf does.
type Object struct {
	File          string        `json:"file"`
	Object        string        `json:"object"`
	Load          Load          `json:"load"`
	Errno         int           `json:"errno"`
	Reason        string        `json:"reason"`
	PredictedLoad compat.Status `json:"predicted_load"`
	// Attach is that of its struct_ops maps, "" where it has none or was not loaded.
	Attach       Attach `json:"attach,omitempty"`
	AttachErrno  int    `json:"attach_errno,omitempty"`
	AttachReason string `json:"attach_reason,omitempty"`
	// NeedsTarget: a program of it is for a target that only user space knows.
	NeedsTarget bool  `json:"needs_target,omitempty"`
	Agrees      *bool `json:"agrees"` // nil: there is nothing to compare
	Failure
	Notes  []string `json:"notes,omitempty"` // what the loader decided for want of a user: sizes of maps
	Millis int64    `json:"ms,omitempty"`
}

// Program is a program loaded alone, and attached.
type Program struct {
	File             string        `json:"file"`
	Object           string        `json:"object"`
	Program          string        `json:"program"`
	Section          string        `json:"section"`
	Autoload         bool          `json:"autoload"`
	Load             Load          `json:"load"`
	LoadErrno        int           `json:"load_errno"`
	LoadReason       string        `json:"load_reason"`
	Attach           Attach        `json:"attach"`
	AttachErrno      int           `json:"attach_errno"`
	AttachReason     string        `json:"attach_reason"`
	PredictedLoad    compat.Status `json:"predicted_load"`
	PredictedAttach  compat.Status `json:"predicted_attach"`
	PredictedVerdict compat.Status `json:"predicted_verdict"`
	// Codes and ExpectedReason are the static findings on it, and the message of the worst of them.
	Codes          []string `json:"codes"`
	ExpectedReason string   `json:"expected_reason,omitempty"`
	Agrees         *bool    `json:"agrees"` // nil: the prediction left it open, or there is nothing to compare
	Failure
	Notes  []string `json:"notes,omitempty"`
	Millis int64    `json:"ms,omitempty"`
}

// Command is the user's own loader.
type Command struct {
	Args      []string      `json:"args"`
	Exit      int           `json:"exit"` // status; 128 and the signal's number where one ended it; -1 where it could not be started, or has none
	Output    []string      `json:"output,omitempty"`
	Error     string        `json:"error,omitempty"`
	Predicted compat.Status `json:"predicted"` // the worst verdict of the objects
	Agrees    *bool         `json:"agrees"`
	Millis    int64         `json:"ms,omitempty"`
}

// LeftOut are kernels that an object was not tried on.
type LeftOut struct {
	File    string   `json:"file"`
	Object  string   `json:"object"`
	Kernels []string `json:"kernels"`
	Reason  string   `json:"reason"`
}

// Breaks tells whether the program failed, where user space was not asked for a target, nor the guest for what it lacks, and
// where it was the kernel that said so.
func (p *Program) Breaks() bool {
	return (p.Load == LoadFail && p.Attach != AttachNeedsTarget || p.Attach == AttachFail) && !p.Class.ofGuest()
}

// ofGuest tells failures that are for what the guest lacked or did: the kernel had no say.
func (c Class) ofGuest() bool { return c == NoConfig || c == NoModule || c == LoaderCrash }

// breaks is Breaks for an object.
func (o *Object) breaks() bool {
	return (o.Load == LoadFail && !o.NeedsTarget || o.Attach == AttachFail) && !o.Class.ofGuest()
}

// Counts are the programs of a run, or of several, by what came out: each is in one of Agree, Disagree, Unknown and
// NeedsTarget. An object of which the loader shows no program is counted instead of them, and of a command it is the command.
type Counts struct {
	Programs    int // that were observed
	Agree       int // as predicted
	Disagree    int
	Unknown     int // the prediction left it open
	NeedsTarget int // only user space knows the target, and without it there is nothing to compare
	Breaks      int // of all these: that fail, whatever was predicted, and are loaded unless the loader says otherwise
	// Objects of which the whole came out other than predicted, or breaks, and no single program does.
	ObjectsDisagree, ObjectsBreak int
}

// Wrong is how many predictions were wrong, and Broken how much breaks.
func (c Counts) Wrong() int  { return c.Disagree + c.ObjectsDisagree }
func (c Counts) Broken() int { return c.Breaks + c.ObjectsBreak }

func (c *Counts) agreement(agrees *bool, needsTarget bool) {
	switch {
	case agrees != nil && *agrees:
		c.Agree++
	case agrees != nil:
		c.Disagree++
	case needsTarget:
		c.NeedsTarget++
	default:
		c.Unknown++
	}
}

// Add adds the counts of another run.
func (c *Counts) Add(d Counts) {
	c.Programs += d.Programs
	c.Agree += d.Agree
	c.Disagree += d.Disagree
	c.Unknown += d.Unknown
	c.NeedsTarget += d.NeedsTarget
	c.Breaks += d.Breaks
	c.ObjectsDisagree += d.ObjectsDisagree
	c.ObjectsBreak += d.ObjectsBreak
}

// Count counts the run.
func (r *KernelRun) Count() Counts {
	var c Counts
	if x := r.Command; x != nil {
		c.Programs++
		c.agreement(x.Agrees, false)
		if x.Exit > 0 {
			c.Breaks++
		}
	}
	for i := range r.Programs {
		p := &r.Programs[i]
		c.Programs++
		c.agreement(p.Agrees, p.Attach == AttachNeedsTarget)
		if p.Breaks() && p.Autoload {
			c.Breaks++
		}
	}
	by := r.told()
	for i := range r.Objects {
		o := &r.Objects[i]
		x, shown := by[objectRef{o.File, o.Object}]
		if !shown {
			c.Programs++
			c.agreement(o.Agrees, o.NeedsTarget)
			if o.breaks() {
				c.Breaks++
			}
			continue
		}
		if wrong(o.Agrees) && !x.disagrees {
			c.ObjectsDisagree++
		}
		if o.breaks() && !x.breaks {
			c.ObjectsBreak++
		}
	}
	return c
}

// objectRef names an object.
type objectRef struct{ file, object string }

// told is what the programs of an object tell: that one is other than predicted, or breaks.
type told struct{ disagrees, breaks bool }

// told are the objects of which there are programs.
func (r *KernelRun) told() map[objectRef]told {
	by := make(map[objectRef]told)
	for i := range r.Programs {
		p := &r.Programs[i]
		x := by[objectRef{p.File, p.Object}]
		x.disagrees = x.disagrees || wrong(p.Agrees)
		x.breaks = x.breaks || p.Breaks() && p.Autoload
		by[objectRef{p.File, p.Object}] = x
	}
	return by
}

// byItself tells whether an object as a whole counts beside its programs, or instead of them.
func (o *Object) byItself(x told) bool {
	return wrong(o.Agrees) && !x.disagrees || o.breaks() && !x.breaks
}

// wrong tells a prediction that came out otherwise.
func wrong(agrees *bool) bool { return agrees != nil && !*agrees }

// ExitCode of a run of boots: 2 an input could not be read, 1 a prediction was wrong or something breaks, 3 a kernel was
// not booted or was cut short, or there was none, or the command could not be run, 0 all is as predicted and nothing breaks; of several the first in this
// order, which is that of compat.Report.ExitCode.
func (r *Report) ExitCode() int {
	var c Counts
	undone := len(r.Runs) == 0
	for i := range r.Runs {
		c.Add(r.Runs[i].Count())
		undone = undone || r.Runs[i].Status != Booted || r.Runs[i].Command != nil && r.Runs[i].Command.Exit < 0
	}
	switch {
	case len(r.Errors) > 0:
		return 2
	case c.Wrong() > 0, c.Broken() > 0:
		return 1
	case undone:
		return 3
	}
	return 0
}

// AddError records an input that could not be read.
func (r *Report) AddError(err error) {
	e := compat.InputError{Message: err.Error(), Hint: hintOf(err)}
	var b *btfinfo.Error
	if errors.As(err, &b) {
		e.File = b.File
	}
	r.Errors = append(r.Errors, e)
}

// hintOf is what an error says can be done about it.
func hintOf(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) && h.Hint() != "" {
		return h.Hint()
	}
	var b *btfinfo.Error
	if errors.As(err, &b) {
		return b.Hint
	}
	return ""
}

// WriteJSON writes the report as docs/boot.md describes.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// fail marks a run as failed. What the guest said first about it stays.
func (r *KernelRun) fail(status Status, err error) {
	r.Status = status
	r.Error = cmp.Or(r.Error, err.Error())
	r.Hint = cmp.Or(r.Hint, hintOf(err))
}
