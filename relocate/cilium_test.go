package relocate

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/btf"

	"github.com/corecheck/corecheck/btfinfo"
)

// ciliumDifference is a known difference between this package, which follows libbpf, and cilium/ebpf.
// docs/core-resolution.md explains them to users.
type ciliumDifference struct {
	name    string
	applies func(r *Result, spec *Spec, kernel *btfinfo.BTF, theirs string) bool
}

var ciliumDifferences = []ciliumDifference{
	{"size or id of a missing type: 0 in libbpf, poison in cilium/ebpf", func(r *Result, _ *Spec, _ *btfinfo.BTF, theirs string) bool {
		return (r.Relo.Kind == TypeSize || r.Relo.Kind == TypeIDTarget) && r.Outcome == Answered && theirs == "poison"
	}},
	{"load size: libbpf resizes loads, poisons or fails, cilium/ebpf only changes the offset", func(r *Result, _ *Spec, _ *btfinfo.BTF, theirs string) bool {
		return r.Reason == ReasonLoadSize && theirs == strconv.FormatUint(r.Value, 10)
	}},
	{"range: libbpf fails when it resolves, cilium/ebpf when it patches", func(r *Result, _ *Spec, _ *btfinfo.BTF, theirs string) bool {
		return r.Reason == ReasonRange && theirs == strconv.FormatUint(r.Value, 10)
	}},
	{"root typedef: cilium/ebpf looks for the type behind it", func(_ *Result, spec *Spec, _ *btfinfo.BTF, _ string) bool {
		return spec.RootKind() == btfinfo.KindTypedef
	}},
	{"candidates: libbpf takes those of the root's kind and prunes them record by record, cilium/ebpf takes all of the name and weighs the records of a type together", func(_ *Result, spec *Spec, kernel *btfinfo.BTF, _ string) bool {
		n, other := 0, false
		kernel.OwnEssential(spec.EssentialName(), func(t btfinfo.Type) bool {
			n++
			other = other || !coreKinds(t.Kind(), spec.RootKind())
			return true
		})
		return n > 1 || other
	}},
	{"array: cilium/ebpf fails all records of a type where one takes an element of an array of no size that is not the last member", func(_ *Result, _ *Spec, _ *btfinfo.BTF, theirs string) bool {
		return strings.HasSuffix(theirs, "target type has invalid flexible array")
	}},
	{"type_matches: cilium/ebpf follows pointers into structs, and lets an anonymous type match one with a name", func(_ *Result, spec *Spec, _ *btfinfo.BTF, _ string) bool {
		return spec.Kind == TypeMatches && spec.RootKind().IsComposite()
	}},
}

// ciliumRelos are cilium/ebpf's records of an object, by function and instruction. It is nil for an object that
// cilium/ebpf does not read: one with weak maps, as the USDT headers of libbpf make them.
func ciliumRelos(t testing.TB, o *Object, data []byte) map[string]map[int]*btf.CORERelocation {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(data))
	if err != nil && strings.HasSuffix(err.Error(), "unsupported binding: STB_WEAK") {
		return nil
	}
	if err != nil {
		t.Fatalf("%s: %v", o.Name, err)
	}
	relos := make(map[string]map[int]*btf.CORERelocation)
	for _, p := range spec.Programs {
		name, raw := "", 0
		for i := range p.Instructions {
			ins := &p.Instructions[i]
			if s := ins.Symbol(); s != "" {
				name, raw = s, 0
				if relos[name] == nil {
					relos[name] = make(map[int]*btf.CORERelocation)
				}
			}
			if r := btf.CORERelocationMetadata(ins); r != nil {
				relos[name][raw] = r
			}
			raw += int(ins.Size()) / asm.InstructionSize
		}
	}
	return relos
}

// noLocalIDs stands for the ids of an object's own types, which cilium/ebpf assigns anew when it loads: nobody asks here.
func noLocalIDs(btf.Type) (btf.TypeID, error) { return 0, fmt.Errorf("no local ids are asked for") }

// ciliumAnswers are cilium/ebpf's answers to the records of an object, by record: "poison", a number, or "error: …".
// Records of one root type are asked together, as they would be in a collection.
func ciliumAnswers(t testing.TB, o *Object, relos map[string]map[int]*btf.CORERelocation, kernel *btf.Spec) map[*Relo]string {
	t.Helper()
	type group struct {
		ours   []*Relo
		theirs []*btf.CORERelocation
	}
	groups := make(map[btfinfo.ID]*group)
	for _, r := range o.Relos {
		if r.Func == nil || r.Kind == TypeIDLocal {
			continue
		}
		c := relos[r.Func.Name][r.Insn]
		if c == nil {
			t.Fatalf("%s: cilium/ebpf has no record at instruction %d of %s", o.Name, r.Insn, r.Func.Name)
		}
		root := o.BTF.Skip(r.Type).ID() // cilium/ebpf keys records by the type behind modifiers and typedefs
		g := groups[root]
		if g == nil {
			g = new(group)
			groups[root] = g
		}
		g.ours, g.theirs = append(g.ours, r), append(g.theirs, c)
	}
	answers := make(map[*Relo]string)
	for _, g := range groups {
		fixups, err := btf.CORERelocate(g.theirs, []*btf.Spec{kernel}, o.ByteOrder, noLocalIDs)
		for i, r := range g.ours {
			if err != nil {
				answers[r] = "error: " + err.Error()
				continue
			}
			_, value, _ := strings.Cut(fixups[i].String(), "=")
			if _, target, ok := strings.Cut(value, "->"); ok {
				value = target
			}
			answers[r] = value
		}
	}
	return answers
}

// TestCilium compares with cilium/ebpf, which resolves by rules of its own: where the two differ, the difference must be
// one that is listed above.
func TestCilium(t *testing.T) {
	var (
		compared    int
		known       = make([]int, len(ciliumDifferences))
		differences int
		unread      = make(map[string]bool)
	)
	compare := func(t *testing.T, o *Object, data []byte, kernel *btfinfo.BTF, name string, theirKernel *btf.Spec) {
		relos := ciliumRelos(t, o, data)
		if relos == nil {
			unread[o.Name] = true
			return
		}
		answers := ciliumAnswers(t, o, relos, theirKernel)
		r := NewResolver(o, &Target{Vmlinux: kernel})
		for _, relo := range o.Relos {
			theirs, ok := answers[relo]
			if !ok {
				continue
			}
			res := r.Resolve(relo).Explain()
			compared++
			ours := "error"
			switch res.Outcome {
			case Resolved, Answered:
				ours = strconv.FormatUint(res.Value, 10)
			case Poisoned:
				ours = "poison"
			}
			if ours == theirs || ours == "error" && strings.HasPrefix(theirs, "error") {
				continue
			}
			spec, err := o.Spec(relo)
			if err != nil {
				t.Fatal(err)
			}
			listed := false
			for i, d := range ciliumDifferences {
				if listed = d.applies(res, spec, kernel, theirs); listed {
					known[i]++
					break
				}
			}
			if !listed {
				differences++
				t.Errorf("%s on %s: %s %s is %s here, %s in cilium/ebpf (%s, %+v)", o.Name, name, relo.Kind, spec.Path(), ours, theirs, res.Detail, res.Candidates)
			}
		}
	}
	report := func(what string, kernels int) {
		t.Logf("cilium/ebpf, %s: compared %d relocations (records × %d kernels), %d differences", what, compared, kernels, differences)
		for i, d := range ciliumDifferences {
			if known[i] != 0 {
				t.Logf("%d known differences: %s", known[i], d.name)
			}
		}
		for _, name := range slices.Sorted(maps.Keys(unread)) {
			t.Logf("not compared: %s: cilium/ebpf does not take its weak map", name)
		}
		compared, differences = 0, 0
		clear(known)
	}

	for _, order := range coreOrders {
		for _, kernel := range []string{"k1", "k2"} {
			b, raw := coreBTF(t, kernel, order)
			theirs, err := btf.LoadSpecFromReader(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range coreFixtures {
				o := coreObject(t, name, order)
				data, err := os.ReadFile(o.File)
				if err != nil {
					t.Fatal(err)
				}
				compare(t, o, data, b, kernel+"."+order, theirs)
			}
		}
	}
	report("fixtures", 2)

	t.Run("tools", func(t *testing.T) {
		objs, data := toolObjects(t)
		kernels := embeddedKernels(t)
		for _, k := range kernels {
			theirs, err := btf.LoadSpecFromReader(bytes.NewReader(k.raw))
			if err != nil {
				t.Fatal(err)
			}
			for i, o := range objs {
				compare(t, o, data[i], k.btf, k.name, theirs)
			}
		}
		report("libbpf-tools", len(kernels))
	})
}
