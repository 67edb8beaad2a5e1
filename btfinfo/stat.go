package btfinfo

import (
	"fmt"
	"io"
	"sort"
	"strings"
)

// Stat counts what a BTF holds: its own types, not those of its base. The JSON names are stable.
type Stat struct {
	ByteOrder   string `json:"byte_order"`   // "little" or "big"
	PointerSize uint32 `json:"pointer_size"` // bytes
	Split       bool   `json:"split"`
	FirstID     ID     `json:"first_id"`
	Types       int    `json:"types"`
	TypeBytes   int    `json:"type_bytes"`   // of the type section
	StringBytes int    `json:"string_bytes"` // of the string section
	BaseTypes   int    `json:"base_types"`   // of the base, void not counted
	BaseStrings int    `json:"base_strings"` // bytes

	Kinds []KindStat `json:"kinds"` // by kind, those that occur

	Functions   int      `json:"functions"`   // FUNCs
	Tracepoints int      `json:"tracepoints"` // typedefs btf_trace_*, each of one tracepoint
	Iterators   int      `json:"iterators"`   // FUNCs bpf_iter_*
	LSMHooks    int      `json:"lsm_hooks"`   // FUNCs bpf_lsm_*
	StructOps   int      `json:"struct_ops"`  // structs bpf_struct_ops_*
	Kfuncs      int      `json:"kfuncs"`      // FUNCs with the DECL_TAG bpf_kfunc; 0 before pahole 1.27 wrote it
	PercpuVars  int      `json:"percpu_vars"` // variables of the section .data..percpu
	Sections    []string `json:"sections"`    // DATASECs, sorted; at most 100

	Duplicates    int         `json:"duplicates"`     // names that several structs, unions or enums have
	TopDuplicates []Duplicate `json:"top_duplicates"` // at most 10, the most frequent first
}

// KindStat counts the types of one kind.
type KindStat struct {
	Kind  string `json:"kind"`
	Count int    `json:"count"`
	Bytes int    `json:"bytes"` // in the type section
	Anon  int    `json:"anonymous"`
}

// Duplicate is a name that several types share.
type Duplicate struct {
	Name  string `json:"name"` // "struct net"
	Count int    `json:"count"`
}

// statName is the tag of a type without a copy of its name.
type statName struct{ word, name string }

// maxStatSections is how many names of sections Stat holds. A kernel has one, an object a dozen.
const maxStatSections = 100

// maxDuplicates is how many names TopDuplicates holds.
const maxDuplicates = 10

// NewStat counts the own types of b.
func NewStat(b *BTF) Stat {
	s := Stat{
		ByteOrder: strings.TrimSuffix(orderName(b.order), " endian"), PointerSize: b.PointerSize(),
		Split: b.base != nil, FirstID: b.first, Types: len(b.pos), TypeBytes: 4 * len(b.words), StringBytes: len(b.strs),
	}
	if b.base != nil {
		s.BaseTypes, s.BaseStrings = b.base.NumTypes()-1, int(b.base.strEnd())
	}
	var kinds [len(kindNames)]KindStat
	names := map[statName]int{}
	kfuncs := map[ID]bool{}
	for id := b.first; int(id) < b.NumTypes(); id++ {
		t := b.Type(id)
		k, name := t.Kind(), t.Name()
		ks := &kinds[k]
		ks.Count++
		x := extraWords[k]
		ks.Bytes += btfTypeLen + 4*int(x.fixed)
		if x.each != 0 {
			ks.Bytes += 4 * int(x.each) * t.Vlen()
		}
		if name == "" {
			ks.Anon++
		}
		switch k {
		case KindStruct, KindUnion, KindEnum, KindEnum64:
			if name != "" && t.Vlen() > 0 {
				names[statName{tagWord(t), name}]++
			}
			if k == KindStruct && strings.HasPrefix(name, "bpf_struct_ops_") && name != "bpf_struct_ops_common_value" {
				s.StructOps++
			}
		case KindTypedef:
			if strings.HasPrefix(name, "btf_trace_") {
				s.Tracepoints++
			}
		case KindFunc:
			s.Functions++
			switch {
			case strings.HasPrefix(name, "bpf_iter_"):
				s.Iterators++
			case strings.HasPrefix(name, "bpf_lsm_"):
				s.LSMHooks++
			}
		case KindDatasec:
			if len(s.Sections) < maxStatSections {
				s.Sections = append(s.Sections, name)
			}
			if name == ".data..percpu" {
				s.PercpuVars += t.Vlen()
			}
		case KindDeclTag:
			if name == "bpf_kfunc" && t.Component() < 0 && b.Type(t.Ref()).Kind() == KindFunc {
				kfuncs[t.Ref()] = true
			}
		}
	}
	s.Kfuncs = len(kfuncs)
	sort.Strings(s.Sections)
	for k, ks := range kinds {
		if ks.Count > 0 {
			ks.Kind = Kind(k).String()
			s.Kinds = append(s.Kinds, ks)
		}
	}
	type dup struct {
		statName
		n int
	}
	var dups []dup
	for name, n := range names {
		if n > 1 {
			s.Duplicates++
			dups = append(dups, dup{name, n})
		}
	}
	sort.Slice(dups, func(i, j int) bool {
		a, b := dups[i], dups[j]
		if a.n != b.n {
			return a.n > b.n
		}
		if a.name != b.name {
			return a.name < b.name
		}
		return a.word < b.word
	})
	for _, d := range dups[:min(len(dups), maxDuplicates)] {
		s.TopDuplicates = append(s.TopDuplicates, Duplicate{d.word + d.name, d.n})
	}
	return s
}

// Write writes s as lines for people.
func (s Stat) Write(w io.Writer) error {
	var out strings.Builder
	kind := "stands alone"
	if s.Split {
		kind = fmt.Sprintf("split, continues a base of %d types and %d bytes of strings", s.BaseTypes, s.BaseStrings)
	}
	fmt.Fprintf(&out, "BTF            %s; %s endian, %d-byte pointers\n", kind, s.ByteOrder, s.PointerSize)
	fmt.Fprintf(&out, "types          %d in %d bytes, ids from %d\n", s.Types, s.TypeBytes, s.FirstID)
	fmt.Fprintf(&out, "strings        %d bytes\n\n", s.StringBytes)
	fmt.Fprintf(&out, "%-12s %9s %10s %10s\n", "kind", "count", "bytes", "anonymous")
	for _, k := range s.Kinds {
		fmt.Fprintf(&out, "%-12s %9d %10d %10d\n", k.Kind, k.Count, k.Bytes, k.Anon)
	}
	out.WriteString("\n")
	for _, l := range []struct {
		name string
		n    int
	}{
		{"functions", s.Functions}, {"kfuncs (tagged)", s.Kfuncs}, {"tracepoints", s.Tracepoints}, {"iterators", s.Iterators},
		{"LSM hooks", s.LSMHooks}, {"struct_ops", s.StructOps}, {"per-CPU variables", s.PercpuVars},
	} {
		fmt.Fprintf(&out, "%-18s %6d\n", l.name, l.n)
	}
	if len(s.Sections) > 0 {
		quoted := make([]string, len(s.Sections))
		for i, name := range s.Sections {
			quoted[i] = printable(name)
		}
		fmt.Fprintf(&out, "%-18s %s\n", "sections", strings.Join(quoted, " "))
	}
	fmt.Fprintf(&out, "%-18s %6d\n", "duplicated names", s.Duplicates)
	for _, d := range s.TopDuplicates {
		fmt.Fprintf(&out, "  %4d  %s\n", d.Count, printable(d.Name))
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// printable escapes a stranger's string where it could disturb a terminal.
func printable(s string) string {
	q := cQuote(s)
	return q[1 : len(q)-1]
}
