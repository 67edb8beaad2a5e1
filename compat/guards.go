package compat

import (
	"fmt"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// guards are the questions that each program asks the kernel: exists and matches relocations, by the type or enum that
// they are about. They may keep an instruction from being reached; whether they do takes a walk of the program.
type guards struct {
	index  map[*relocate.Program]int
	byType []map[string]string // by program: essential name of the root type → the question, for people
	all    []string            // by program: its questions of any kind, for people
}

// maxQuestions is how many of a program's questions a message names.
const maxQuestions = 2

func findGuards(o *relocate.Object) *guards {
	g := &guards{index: make(map[*relocate.Program]int, len(o.Programs))}
	for i, p := range o.Programs {
		g.index[p] = i
		byType := make(map[string]string)
		var all []string
		for _, f := range p.Funcs {
			for _, r := range f.Relos {
				if !r.Kind.IsQuestion() {
					continue
				}
				q := questionText(o, r)
				name := btfinfo.EssentialName(o.BTF.Type(r.Type).Name())
				if old, ok := byType[name]; !ok || q < old {
					byType[name] = q
				}
				all = append(all, q)
			}
		}
		for _, f := range p.Funcs {
			for _, k := range f.Kfuncs {
				if k.Extern.Kind == relocate.ExternKconfig && k.Extern.Name == versionExtern {
					all = append(all, "for "+versionExtern)
				}
				if k.Extern.Kind == relocate.ExternKfunc && k.Extern.Weak && f.Insns[k.Insn].Code == ldimm64 {
					all = append(all, "bpf_ksym_exists("+k.Extern.Name+")")
				}
			}
		}
		slices.Sort(all)
		all = slices.Compact(all)
		text := strings.Join(all[:min(len(all), maxQuestions)], " and ")
		if n := len(all) - maxQuestions; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		g.byType = append(g.byType, byType)
		g.all = append(g.all, text)
	}
	return g
}

// questionText is the question as the C source asks it.
func questionText(o *relocate.Object, r *relocate.Relo) string {
	name := "?"
	if s, err := o.Spec(r); err == nil {
		name = s.Path()
	}
	switch r.Kind {
	case relocate.FieldExists:
		return "bpf_core_field_exists(" + name + ")"
	case relocate.TypeExists:
		return "bpf_core_type_exists(" + name + ")"
	case relocate.TypeMatches:
		return "bpf_core_type_matches(" + name + ")"
	}
	return "bpf_core_enum_value_exists(" + name + ")"
}

// about returns a question of the program about the type or enum, "" where it asks none.
func (g *guards) about(program int, typeName string) string { return g.byType[program][typeName] }

// ledPast says why an instruction of a program is not reached.
func (g *guards) ledPast(program int) string {
	if g.all[program] == "" {
		return "its constants lead past it"
	}
	return "the program asks " + g.all[program] + ", and this kernel's answers lead past it"
}
