package compat

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/olekukonko/tablewriter/pkg/twwidth"

	"github.com/corecheck/corecheck/compat/internal/page"
	"github.com/corecheck/corecheck/relocate"
)

// NeedsSchema names the JSON form of a NeedsReport.
const NeedsSchema = "corecheck.needs/v1"

// NeedsReport lists what objects need of a kernel, without any kernel being asked.
type NeedsReport struct {
	Schema  string        `json:"schema"`
	Objects []ObjectNeeds `json:"objects"`
}

// ObjectNeeds are the needs of one object.
type ObjectNeeds struct {
	File     string        `json:"file"`
	Name     string        `json:"name"`
	SHA256   string        `json:"sha256"`
	License  string        `json:"license"`
	Programs []ProgramInfo `json:"programs"`
	Maps     []MapInfo     `json:"maps"`
	Needs    []NeedInfo    `json:"needs"`
}

// ProgramInfo is one program of an object.
type ProgramInfo struct {
	Name       string   `json:"name"`
	Section    string   `json:"section"`
	Type       string   `json:"type"`
	AttachType string   `json:"attach_type"`
	AttachTo   string   `json:"attach_to"`
	Autoload   bool     `json:"autoload"`
	Sleepable  bool     `json:"sleepable"`
	Insns      int      `json:"insns"` // instruction slots of 8 bytes, subprograms included
	Calls      []string `json:"calls"` // subprograms that it reaches
}

// MapInfo is one map of an object.
type MapInfo struct {
	Name       string `json:"name"`
	Type       string `json:"type"`
	KeySize    uint32 `json:"key_size"`   // bytes
	ValueSize  uint32 `json:"value_size"` // bytes
	MaxEntries uint32 `json:"max_entries"`
	Flags      uint32 `json:"flags"`
}

// NeedInfo is one need at one place.
type NeedInfo struct {
	Kind     string     `json:"kind"`
	Name     string     `json:"name"`
	Detail   string     `json:"detail,omitempty"`
	Access   string     `json:"access,omitempty"` // of a CO-RE record: the access path as stored, "0:1:2"
	Weak     bool       `json:"weak"`             // the object loads without it, as far as it says so itself
	Programs []string   `json:"programs"`
	Function string     `json:"function,omitempty"`
	Insn     *int       `json:"insn,omitempty"` // index of the instruction in the function
	Source   *SourceRef `json:"source,omitempty"`
}

// ListNeeds lists the needs of objects.
func ListNeeds(objs []*relocate.Object) *NeedsReport {
	r := &NeedsReport{Schema: NeedsSchema, Objects: []ObjectNeeds{}}
	for _, o := range objs {
		x := ObjectNeeds{File: o.File, Name: o.Name, SHA256: o.SHA256, License: o.License,
			Programs: []ProgramInfo{}, Maps: []MapInfo{}, Needs: []NeedInfo{}}
		for _, p := range o.Programs {
			info := ProgramInfo{Name: p.Name, Section: p.Section, Type: p.Sec.ProgType, AttachType: p.Sec.AttachType,
				AttachTo: attachTo(p), Autoload: p.Sec.Autoload, Sleepable: p.Sec.Sleepable, Calls: []string{}}
			for _, f := range p.Funcs {
				info.Insns += len(f.Insns)
				if f != p.Entry {
					info.Calls = append(info.Calls, f.Name)
				}
			}
			x.Programs = append(x.Programs, info)
		}
		for _, m := range o.Maps {
			x.Maps = append(x.Maps, MapInfo{Name: m.Name, Type: relocate.MapTypeName(m.Type), KeySize: m.KeySize,
				ValueSize: m.ValueSize, MaxEntries: m.MaxEntries, Flags: m.Flags})
		}
		for _, n := range o.Needs() {
			info := NeedInfo{Kind: string(n.Kind), Name: n.Name, Detail: n.Detail, Weak: n.Weak, Programs: []string{}}
			if n.Relo != nil {
				info.Access = n.Relo.Access
			}
			for _, p := range n.Programs {
				info.Programs = append(info.Programs, p.Name)
			}
			if n.Func != nil {
				insn := n.Insn
				info.Function, info.Insn = n.Func.Name, &insn
			}
			if l, ok := n.Source(); ok {
				info.Source = &SourceRef{File: l.File, Line: l.Line, Text: l.Text}
			}
			x.Needs = append(x.Needs, info)
		}
		r.Objects = append(r.Objects, x)
	}
	return r
}

// WriteJSON writes the list as docs/report.md describes.
func (r *NeedsReport) WriteJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// WriteTable writes the list for people: per object its programs, and each need once per program and source line.
func (r *NeedsReport) WriteTable(w io.Writer, opt TableOptions) error {
	p := &printer{Page: page.New(w, opt.Color), opt: opt}
	for i := range r.Objects {
		o := &r.Objects[i]
		p.Title(fmt.Sprintf("%s: %s, %s, %s", titleOf(o.Name, o.File), page.Count(len(o.Programs), "program"),
			page.Count(len(o.Maps), "map"), page.Count(len(o.Needs), "need")))
		p.Line("")
		groups := o.byProgram()
		var width [3]int
		for _, g := range groups {
			for _, n := range g.needs {
				for i, cell := range n.cells() {
					width[i] = min(max(width[i], twwidth.Width(cell)), needColumns[i])
				}
			}
		}
		for _, g := range groups {
			p.Line("%s", p.Style(page.Bold, page.Cut(g.title, page.Width)))
			for _, n := range g.needs {
				line := " "
				for i, cell := range n.cells() {
					cell = page.Cut(cell, needColumns[i])
					line += " " + cell + strings.Repeat(" ", width[i]-twwidth.Width(cell)+1)
				}
				if n.Source != nil {
					line += " " + fmt.Sprintf("%s:%d", baseName(n.Source.File), n.Source.Line)
				}
				p.Line("%s", page.Cut(strings.TrimRight(line, " "), page.Width))
			}
		}
		p.Line("")
	}
	return p.Flush()
}

// needColumns are the most columns that kind, name and detail take.
var needColumns = [3]int{13, 40, 22}

// cells are kind, name and detail for people.
func (n *NeedInfo) cells() [3]string {
	detail := n.Detail
	switch {
	case n.Weak && detail != "":
		detail += ", optional"
	case n.Weak:
		detail = "optional"
	}
	return [3]string{strings.ReplaceAll(n.Kind, "_", " "), page.Printable(n.Name, false), page.Printable(detail, false)}
}

// needGroup is what one program, or the object as a whole, needs.
type needGroup struct {
	title string
	needs []NeedInfo
}

// byProgram groups needs by program; what several instructions of one line need alike is one row.
func (o *ObjectNeeds) byProgram() []needGroup {
	var groups []needGroup
	type key struct {
		kind, name, detail string
		source             SourceRef
	}
	add := func(title string, belongs func(n *NeedInfo) bool) {
		g := needGroup{title: title}
		seen := make(map[key]bool)
		for _, n := range o.Needs {
			if !belongs(&n) {
				continue
			}
			k := key{kind: n.Kind, name: n.Name, detail: n.Detail}
			if n.Source != nil {
				k.source = *n.Source
			}
			if !seen[k] {
				seen[k] = true
				g.needs = append(g.needs, n)
			}
		}
		if len(g.needs) > 0 {
			groups = append(groups, g)
		}
	}
	add("the object as a whole", func(n *NeedInfo) bool { return len(n.Programs) == 0 || n.Function == "" })
	for i := range o.Programs {
		p := &o.Programs[i]
		add(p.Name+"  "+p.Section, func(n *NeedInfo) bool { return n.Function != "" && slices.Contains(n.Programs, p.Name) })
		if len(groups) > 0 { // what the program itself needs first, then its subprograms
			slices.SortStableFunc(groups[len(groups)-1].needs, func(a, b NeedInfo) int {
				return btoi(a.Function != p.Name) - btoi(b.Function != p.Name)
			})
		}
	}
	return groups
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
