package compat

import (
	"sort"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// guards are the questions that each program asks the kernel: exists and matches relocations, by the type or enum that
// they are about. They may keep an instruction from being reached; whether they do takes a walk of the program.
type guards struct {
	index  map[*relocate.Program]int
	byType []map[string]string // by program: essential name of the root type → the question, for people
	any    []string            // by program: some question of any kind, or a use of a kconfig extern; "" where none
}

func findGuards(o *relocate.Object) *guards {
	g := &guards{index: make(map[*relocate.Program]int, len(o.Programs))}
	for i, p := range o.Programs {
		g.index[p] = i
		asked := make(map[string]string)
		var all []string
		for _, f := range p.Funcs {
			for _, r := range f.Relos {
				if !r.Kind.IsQuestion() {
					continue
				}
				q := questionText(o, r)
				name := btfinfo.EssentialName(o.BTF.Type(r.Type).Name())
				if old, ok := asked[name]; !ok || q < old {
					asked[name] = q
				}
				all = append(all, q)
			}
			for _, k := range f.Kfuncs {
				if k.Extern.Kind == relocate.ExternKconfig {
					all = append(all, k.Extern.Name)
				}
			}
		}
		sort.Strings(all)
		first := ""
		if len(all) > 0 {
			first = all[0]
		}
		g.byType = append(g.byType, asked)
		g.any = append(g.any, first)
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

// asks returns a question of the program about the type or enum, "" where it asks none.
func (g *guards) asks(program int, typeName string) string { return g.byType[program][typeName] }

// asksAnything returns some question of the program that may decide a branch, "" where there is none.
func (g *guards) asksAnything(program int) string { return g.any[program] }
