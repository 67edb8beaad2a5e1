package compat

import (
	"cmp"
	"encoding/json"
	"io"

	"github.com/corecheck/corecheck/kernels"
)

// Schema names the JSON form of a Report. Fields are only ever added to it; docs/report.md describes them.
const Schema = "corecheck.report/v1"

// Status is the answer to whether something works on a kernel.
type Status string

const (
	OK      Status = "ok"
	Warn    Status = "warn"    // loads, but may read or trace something else than was meant
	Break   Status = "break"   // will not load or attach
	Unknown Status = "unknown" // the data does not say
	None    Status = "none"    // attach only: there is nothing to attach that a kernel decides
)

// rank orders statuses from harmless to bad: a whole is as bad as its worst part.
func (s Status) rank() int {
	switch s {
	case Break:
		return 4
	case Unknown:
		return 3
	case Warn:
		return 2
	case OK:
		return 1
	}
	return 0
}

// worse returns the worse of two statuses: break, unknown, warn, ok, none.
func worse(a, b Status) Status {
	if b.rank() > a.rank() {
		return b
	}
	return a
}

// Report is what a check found. Every renderer prints these values; none computes its own.
type Report struct {
	Schema   string         `json:"schema"`
	Version  string         `json:"version"` // of corecheck
	Kernels  []KernelInfo   `json:"kernels"` // that were asked, in the order of versions
	Objects  []ObjectReport `json:"objects"` // in the order of files given
	Findings []Finding      `json:"findings"`
	Coverage Coverage       `json:"coverage"`
	// Errors are the inputs that could not be read; the others were checked.
	Errors []InputError `json:"errors,omitempty"`
	// NotChecked says in sentences what this report does not prove.
	NotChecked []string `json:"not_checked,omitempty"`
}

// KernelInfo is one kernel that was asked.
type KernelInfo struct {
	ID      string   `json:"id"`
	Version string   `json:"version"` // upstream
	Uname   string   `json:"uname"`
	Arch    string   `json:"arch"`
	Distro  string   `json:"distro"`
	Release string   `json:"release"`
	Facts   []string `json:"facts"` // what the archive knows of it: "btf" …
}

// ObjectReport is one object on all kernels.
type ObjectReport struct {
	File     string          `json:"file"`
	Name     string          `json:"name"`
	SHA256   string          `json:"sha256"`
	Programs []ProgramReport `json:"programs"`
	// Results are the object loaded whole with its autoload programs, as libbpf does. Each kernel is in one entry, or left
	// out.
	Results []ObjectResult `json:"results"`
	// LeftOut are the kernels on which the object was not asked. The results of its programs leave them out, too.
	LeftOut []LeftOut `json:"left_out,omitempty"`
}

// ProgramReport is one program on all kernels.
type ProgramReport struct {
	Name     string `json:"name"`
	Section  string `json:"section"`
	Type     string `json:"type"`      // enumerator of enum bpf_prog_type, "" where the loader must choose
	AttachTo string `json:"attach_to"` // the target in the section name, "" where there is none
	Autoload bool   `json:"autoload"`
	// Results groups kernels with equal answers. Each kernel is in one entry.
	Results []ProgramResult `json:"results"`
}

// ProgramResult is the answer of a group of kernels to a program.
type ProgramResult struct {
	Kernels  []string `json:"kernels"`
	Load     Status   `json:"load"`   // ok, break, unknown
	Attach   Status   `json:"attach"` // ok, break, unknown, none
	Verdict  Status   `json:"verdict"`
	Findings []int    `json:"findings"` // indexes in Report.Findings

	set kernels.Set // as in Finding
}

// ObjectResult is the answer of a group of kernels to an object.
type ObjectResult struct {
	Kernels []string `json:"kernels"`
	Load    Status   `json:"load"`
	Verdict Status   `json:"verdict"`

	set kernels.Set // as in Finding
}

// Finding is one rule's message on one need over one set of kernels.
type Finding struct {
	Code    string     `json:"code"`
	Title   string     `json:"title"`
	Verdict Status     `json:"verdict"`
	Stage   string     `json:"stage"` // what it concerns: "load" or "attach"
	Object  string     `json:"object"`
	Program string     `json:"program"` // "" where it concerns the whole object
	Need    NeedRef    `json:"need"`
	Source  *SourceRef `json:"source,omitempty"` // absent where the object has no line info for it
	Kernels []string   `json:"kernels"`
	Message string     `json:"message"`
	Hint    string     `json:"hint"`
	// Candidates are the types of the newest of Kernels that were tried, and why each was rejected, one line each.
	Candidates []string `json:"candidates,omitempty"`

	set kernels.Set // Kernels, by their indexes in Report.Kernels; nil where it was not kept
}

// NeedRef names a need.
type NeedRef struct {
	Kind string `json:"kind"`
	Name string `json:"name"`
}

// SourceRef is a line of the object's source.
type SourceRef struct {
	File string `json:"file"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Coverage tells what was asked for and what of it there is.
type Coverage struct {
	Requested string   `json:"requested"` // the selector, "" for all
	Matched   int      `json:"matched"`   // kernels
	Missing   []string `json:"missing"`   // minor releases in the range of which there is no kernel
	// Text says Missing as a sentence, "" where nothing is missing.
	Text string `json:"text,omitempty"`
}

// InputError is an input that could not be read.
type InputError struct {
	File    string `json:"file"`
	Message string `json:"message"`
	Hint    string `json:"hint,omitempty"`
}

// Worst is the worst verdict of any object on any kernel.
func (r *Report) Worst() Status {
	w := OK
	for _, o := range r.Objects {
		for _, res := range o.Results {
			w = worse(w, res.Verdict)
		}
	}
	return w
}

// ExitCode of a check: 2 an input could not be read, 1 something breaks, 3 it could not be decided, 0 nothing breaks; of
// several the first in this order. An unreadable input stands first since nobody knows what it would have said.
func (r *Report) ExitCode() int {
	switch w := r.Worst(); {
	case len(r.Errors) > 0:
		return 2
	case w == Break:
		return 1
	case w == Unknown, len(r.Kernels) == 0:
		return 3
	}
	for i := range r.Objects {
		if len(r.Objects[i].Results) == 0 {
			return 3 // all kernels were left out
		}
	}
	return 0
}

// WriteJSON writes the report as docs/report.md describes.
func (r *Report) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// compare is the total order of findings: object and program as in the report, then source line, need, code, message.
// Object and program are compared by the caller, which knows their order.
func (f *Finding) compare(g *Finding) int {
	var a, b SourceRef
	if f.Source != nil {
		a = *f.Source
	}
	if g.Source != nil {
		b = *g.Source
	}
	return cmp.Or(
		cmp.Compare(a.File, b.File),
		cmp.Compare(a.Line, b.Line),
		cmp.Compare(f.Need.Kind, g.Need.Kind),
		cmp.Compare(f.Need.Name, g.Need.Name),
		cmp.Compare(f.Code, g.Code),
		cmp.Compare(f.Stage, g.Stage),
		cmp.Compare(g.Verdict.rank(), f.Verdict.rank()),
		cmp.Compare(f.Message, g.Message),
		cmp.Compare(f.Hint, g.Hint),
	)
}
