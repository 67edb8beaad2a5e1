package relocate

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

const coreDir = "../testdata/core"

// coreFixtures are the objects, without those that stand for kernels.
var coreFixtures = []string{"fields", "types", "enums", "order", "fatal"}

// coreOrders are the ends of the names of fixtures, by byte order.
var coreOrders = []string{"el", "eb"}

func coreObject(t testing.TB, name, order string) *Object {
	t.Helper()
	path := filepath.Join(coreDir, name+".clang-16."+order+".o")
	objs, err := Open(path)
	if err != nil || len(objs) != 1 {
		t.Fatalf("%s: %d objects, %v", path, len(objs), err)
	}
	return objs[0]
}

// coreBTF reads the raw BTF of a fixture that stands for a kernel.
func coreBTF(t testing.TB, name, order string) (*btfinfo.BTF, []byte) {
	t.Helper()
	f, err := elf.Open(filepath.Join(coreDir, name+".clang-16."+order+".o"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := f.Section(".BTF").Data()
	if err != nil {
		t.Fatal(err)
	}
	b, err := btfinfo.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	return b, raw
}

var reasonNames = map[Reason]string{
	ReasonAnonymousRoot: "anonymous", ReasonRange: "range", ReasonLoadSize: "size", ReasonBitfield: "bitfield",
	ReasonInstruction: "insn", ReasonMalformed: "malformed",
}

// coreWord is a result as the fixtures' comments write it.
func coreWord(r *Result) string {
	switch r.Outcome {
	case Resolved:
		if r.MemSize != 0 {
			return fmt.Sprintf("%d/%d", int64(r.Value), r.MemSize)
		}
		return strconv.FormatInt(int64(r.Value), 10)
	case Answered:
		return "no"
	case Poisoned:
		if r.Mismatch {
			return "mismatch"
		}
		return "poison"
	case Ambiguous:
		return "ambiguous"
	}
	return "fatal:" + reasonNames[r.Reason]
}

var wantRE = regexp.MustCompile(`// want k1=(\S+) k2=(\S+)`)

// TestCoreFixtures holds every record of the fixtures against the comment at its line.
func TestCoreFixtures(t *testing.T) {
	for _, name := range coreFixtures {
		for _, order := range coreOrders {
			t.Run(name+"/"+order, func(t *testing.T) {
				t.Parallel()
				obj := coreObject(t, name, order)
				source, err := os.ReadFile(filepath.Join(coreDir, name+".bpf.c"))
				if err != nil {
					t.Fatal(err)
				}
				for k, kernel := range []string{"k1", "k2"} {
					b, _ := coreBTF(t, kernel, order)
					target := &Target{Vmlinux: b}
					whole := NewResolver(obj, target)
					alone := make(map[*Func]*Resolver)
					seen := make(map[int]int)
					for _, relo := range obj.Relos {
						// Failed loads leave nothing for the records behind them: there each program is for itself.
						r := whole
						if name == "fatal" {
							if alone[relo.Func] == nil {
								alone[relo.Func] = NewResolver(obj, target)
							}
							r = alone[relo.Func]
						}
						res := r.Resolve(relo)
						fast := *res
						res.Explain()
						if res.Outcome != fast.Outcome || res.Value != fast.Value || res.MemSize != fast.MemSize || res.Reason != fast.Reason {
							t.Errorf("record %d on %s: %+v, explained %+v", relo.Index, kernel, fast, *res)
						}
						line, m := coreWant(relo)
						if m == nil {
							t.Errorf("record %d: no 'want' at %q", relo.Index, line.Text)
							continue
						}
						if seen[line.Line]++; seen[line.Line] > 1 {
							t.Errorf("%s:%d: more than one record", line.File, line.Line)
						}
						want := m[1+k]
						if el, eb, ok := strings.Cut(want, "|"); ok {
							want = el
							if order == "eb" {
								want = eb
							}
						}
						if want == "id" {
							want = coreID(t, obj, relo, b)
						}
						if got := coreWord(res); got != want {
							spec, _ := obj.Spec(relo)
							t.Errorf("%s:%d: %s on %s: %s %s is %s, want %s (%s) %+v", line.File, line.Line, line.Text, kernel, relo.Kind, spec.Path(), got, want, res.Detail, res.Candidates)
						}
					}
					if n := strings.Count(string(source), "// want "); len(seen) != n {
						t.Errorf("%s: %d lines with records, %d say what is wanted", kernel, len(seen), n)
					}
				}
			})
		}
	}
}

// coreWant finds the comment of a record: at the line of the "r0 = value" that the macro use makes, which is found by
// following the value through registers, since the instruction with the record often has no line of its own. A store
// has one.
func coreWant(relo *Relo) (l Line, m []string) {
	const (
		movReg = 0xbf
		addReg = 0x0f
	)
	insns := relo.Func.Insns
	at := relo.Insn
	if c := insns[at].Code & classMask; c != classST && c != classSTX {
		holds := map[uint8]bool{insns[at].Dst: true}
		for at++; at < len(insns); at++ {
			in := insns[at]
			if in.Code == movReg && in.Dst == 0 && holds[in.Src] {
				break
			}
			switch in.Code {
			case movReg:
				holds[in.Dst] = holds[in.Src]
			case addReg:
				holds[in.Dst] = holds[in.Dst] || holds[in.Src]
			}
		}
	}
	l, _ = relo.Func.Source(at)
	return l, wantRE.FindStringSubmatch(l.Text)
}

// coreID is the id that a record about a type id gets: there is one type of the name, or it is local and anonymous.
func coreID(t *testing.T, obj *Object, relo *Relo, kernel *btfinfo.BTF) string {
	if relo.Kind == TypeIDLocal {
		return fmt.Sprint(relo.Type)
	}
	spec, err := obj.Spec(relo)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprint(kernel.Named(spec.EssentialName(), spec.RootKind())[0])
}
