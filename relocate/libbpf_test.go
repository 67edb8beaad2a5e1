package relocate

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/kernelstest"
)

// testKernel is a kernel that a differential test asks: its BTF, parsed, and as a file for libbpf.
type testKernel struct {
	name string
	raw  []byte
	btf  *btfinfo.BTF
	path string
}

func newTestKernel(t testing.TB, dir, name string, raw []byte) testKernel {
	t.Helper()
	b, err := btfinfo.Parse(raw)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	k := testKernel{name, raw, b, filepath.Join(dir, name+".btf")}
	if err := os.WriteFile(k.path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return k
}

// embeddedKernels are embedded kernels, oldest first, with the raw BTF that libbpf and cilium/ebpf read.
func embeddedKernels(t testing.TB) []testKernel {
	t.Helper()
	dir := t.TempDir()
	var all []testKernel
	for _, id := range kernelstest.IDs {
		all = append(all, newTestKernel(t, dir, path.Base(id), kernelstest.Raw(t, id)))
	}
	return all
}

// toolObjects are the objects in Debian's libbpf-tools, with their bytes.
func toolObjects(t testing.TB) (objs []*Object, data [][]byte) {
	t.Helper()
	dir := os.Getenv("CORECHECK_TOOLS_DIR")
	if dir == "" {
		t.Skip("CORECHECK_TOOLS_DIR is not set: no libbpf-tools to read; make test fetches them")
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if f.Type()&os.ModeSymlink != 0 {
			continue // another name of a tool
		}
		path := filepath.Join(dir, f.Name())
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		found, err := Open(path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		for _, o := range found {
			objs = append(objs, o)
			data = append(data, content[o.Offset:o.Offset+o.Size])
		}
	}
	if len(objs) == 0 {
		t.Fatalf("no objects in %s", dir)
	}
	return objs, data
}

func libbpfRelo(t testing.TB) string {
	t.Helper()
	return libbpfOracle(t, "libbpf_relo")
}

// libbpfOracle builds a program of testdata/oracle, with the libbpf in CORECHECK_LIBBPF_DIR or the installed one.
func libbpfOracle(t testing.TB, name string) string {
	t.Helper()
	if binary.NativeEndian.Uint16([]byte{1, 0}) != 1 {
		t.Skip("this machine is big endian: the instructions that libbpf_relo prints are not read here")
	}
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler on this machine: libbpf is not asked")
	}
	bin := filepath.Join(t.TempDir(), name)
	args := []string{"-O2", "-Wall", "-Wextra", "-Werror", "-o", bin, "../testdata/oracle/" + name + ".c"}
	if dir := os.Getenv("CORECHECK_LIBBPF_DIR"); dir != "" {
		libs, _ := filepath.Glob(filepath.Join(dir, "usr/lib/*/libbpf.a"))
		if len(libs) != 1 {
			t.Fatalf("%d files usr/lib/*/libbpf.a in %s, want 1", len(libs), dir)
		}
		args = append(args, "-DSHIM_ISOC23", "-I"+filepath.Join(dir, "usr/include"), libs[0])
	} else if exec.Command("pkg-config", "--exists", "libbpf").Run() != nil {
		t.Skip("no libbpf on this machine (package libbpf-dev), and CORECHECK_LIBBPF_DIR is not set")
	} else {
		args = append(args, "-lbpf")
	}
	args = append(args, "-lelf", "-lz")
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return bin
}

// libbpfLine is a line of libbpf_relo: see there.
type libbpfLine struct {
	Libbpf   string
	BTF      string
	Section  string
	Relo     int
	Prog     string
	Outcome  string
	Value    uint64
	Mem      uint8
	Matching int
	Insns    string
	End      string
}

// libbpfDifference is a known difference between this package and a version of libbpf.
type libbpfDifference struct {
	name   string
	reason string
	// applies to a record; version is libbpf's, 107 for 1.7.
	applies func(version int, o *Object, r *Relo) bool
}

var libbpfDifferences = []libbpfDifference{
	{
		name:   "shift of the other byte order",
		reason: "libbpf calculates the shift for the byte order that it was built for, and would not load such an object",
		applies: func(_ int, o *Object, r *Relo) bool {
			return r.Kind == FieldLShiftU64 && o.bigEndian()
		},
	},
	{
		name:   "size of array elements",
		reason: "before libbpf commit d7a4ab15, in 1.6, the size of a whole array was compared, and loads of elements failed",
		applies: func(version int, o *Object, r *Relo) bool {
			if version >= 106 || r.Kind != FieldByteOffset {
				return false
			}
			s, err := o.Spec(r)
			return err == nil && o.BTF.Skip(s.FieldType()).Kind() == btfinfo.KindArray
		},
	},
}

// libbpfComparison compares this package with libbpf, and counts.
type libbpfComparison struct {
	bin         string
	version     atomic.Int64
	compared    atomic.Int64 // records × kernels
	insns       atomic.Int64 // instructions compared
	differences atomic.Int64
	known       [2]atomic.Int64 // by index in libbpfDifferences
	without     atomic.Int64    // objects without records
	refused     sync.Map        // what libbpf did not relocate, and why
	mutated     bool            // kernels may be such that libbpf crashes, or does not read them
	crashed     atomic.Int64
}

// run asks libbpf about one object on all kernels, and returns the lines by kernel.
func (c *libbpfComparison) run(t *testing.T, path, only string, kernels []testKernel) map[string][]libbpfLine {
	var args []string
	if only != "" {
		args = []string{"-p", only}
	}
	args = append(args, path)
	for _, k := range kernels {
		args = append(args, k.path)
	}
	cmd := exec.Command(c.bin, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil && c.mutated {
		if len(kernels) == 1 {
			c.crashed.Add(1)
			return map[string][]libbpfLine{}
		}
		lines := c.run(t, path, only, kernels[:len(kernels)/2])
		maps.Copy(lines, c.run(t, path, only, kernels[len(kernels)/2:]))
		return lines
	}
	if err != nil {
		t.Fatalf("libbpf_relo %s: %v\n%s", strings.Join(args, " "), err, stderr.Bytes())
	}
	lines := make(map[string][]libbpfLine)
	scan := bufio.NewScanner(bytes.NewReader(out))
	scan.Buffer(nil, 1<<26)
	for scan.Scan() {
		var l libbpfLine
		if err := json.Unmarshal(scan.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", scan.Bytes(), err)
		}
		if l.Libbpf != "" {
			var major, minor int64
			if _, err := fmt.Sscanf(l.Libbpf, "%d.%d", &major, &minor); err != nil {
				t.Fatalf("libbpf's version %q: %v", l.Libbpf, err)
			}
			c.version.Store(100*major + minor)
			continue
		}
		lines[l.BTF] = append(lines[l.BTF], l)
	}
	if err := scan.Err(); err != nil {
		t.Fatal(err)
	}
	return lines
}

// object compares all records of an object on all kernels: loaded whole, and where libbpf fails that, each program alone.
func (c *libbpfComparison) object(t *testing.T, o *Object, data []byte, kernels []testKernel) {
	if len(o.Relos) == 0 {
		c.without.Add(1)
		return
	}
	path := filepath.Join(t.TempDir(), "object.o")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	lines := c.run(t, path, "", kernels)
	var again []testKernel
	for _, k := range kernels {
		if !c.compare(t, o, nil, k, lines[k.path]) {
			again = append(again, k)
		}
	}
	if len(again) == 0 {
		return
	}
	for _, p := range o.Programs {
		lines := c.run(t, path, p.Name, again)
		for _, k := range again {
			c.compare(t, o, p, k, lines[k.path])
		}
	}
}

// compare holds the results for one kernel against libbpf's. only is the program that is loaded, nil for all. It is
// false where libbpf gave up before the end.
func (c *libbpfComparison) compare(t *testing.T, o *Object, only *Program, k testKernel, lines []libbpfLine) (whole bool) {
	entries := make(map[*Func]*Program)
	for _, p := range o.Programs {
		entries[p.Entry] = p
	}
	skip := func(r *Relo) bool {
		p := entries[r.Func]
		return p != nil && only != nil && p != only
	}
	type key struct {
		section string
		relo    int
	}
	r := NewResolver(o, &Target{Vmlinux: k.btf})
	ours := make(map[key]*Result)
	count := make(map[string]int)
	patched := make(map[*Func][]Insn)
	for _, relo := range o.Relos {
		at := key{relo.Section, count[relo.Section]}
		count[relo.Section]++
		ours[at] = nil // skipped
		if relo.Func == nil || skip(relo) {
			continue
		}
		res := r.Resolve(relo).Explain()
		ours[at] = res
		if patched[relo.Func] == nil {
			patched[relo.Func] = slices.Clone(relo.Func.Insns)
		}
		res.Patch(patched[relo.Func])
	}

	name := func(l libbpfLine) string {
		return fmt.Sprintf("%s on %s: record %d of %s", o.Name, k.name, l.Relo, l.Section)
	}
	differ := func(relo *Relo, format string, args ...any) {
		if relo != nil {
			for i, d := range libbpfDifferences {
				if d.applies(int(c.version.Load()), o, relo) {
					c.known[i].Add(1)
					return
				}
			}
		}
		c.differences.Add(1)
		t.Errorf(format, args...)
	}
	seen, failed := 0, false
	for _, l := range lines {
		switch {
		case l.End != "":
			whole = l.End == "ok"
			if !whole && l.End != "relocation failed" {
				if c.mutated {
					c.refused.Store("kernels that libbpf does not read", true)
					return true
				}
				if c.version.Load() >= 106 || !o.bigEndian() {
					differ(nil, "%s on %s: libbpf did not come to the relocation: %s", o.Name, k.name, l.End)
				}
				c.refused.Store(o.Name+", big endian: libbpf before 1.6 takes the byte order of its machine only", true)
				return true
			}
		case l.Insns != "":
			i := slices.IndexFunc(o.Programs, func(p *Program) bool { return p.Name == l.Prog })
			raw, err := hex.DecodeString(l.Insns)
			if i < 0 || err != nil {
				t.Fatalf("%s: program %s of libbpf: %v", o.Name, l.Prog, err)
			}
			f := o.Programs[i].Entry
			for _, relo := range f.Relos {
				// The first instructions are the program's own, with those of its subprograms behind.
				n := 1
				if f.Insns[relo.Insn].Code == codeLdImm {
					n = 2
				}
				for i := relo.Insn; i < relo.Insn+n; i++ {
					b := raw[8*i:]
					in := Insn{b[0], b[1] & 0xf, b[1] >> 4, int16(binary.LittleEndian.Uint16(b[2:])), int32(binary.LittleEndian.Uint32(b[4:]))}
					c.insns.Add(1)
					if in != patched[f][i] {
						differ(relo, "%s on %s: instruction %d of %s is %+v, libbpf's is %+v", o.Name, k.name, i, l.Prog, patched[f][i], in)
					}
				}
			}
		default:
			seen++
			res, ok := ours[key{l.Section, l.Relo}]
			if !ok {
				t.Errorf("%s: not known here", name(l))
				continue
			}
			c.compared.Add(1)
			if res == nil {
				if l.Outcome != "skipped" {
					differ(nil, "%s is skipped here, libbpf: %+v", name(l), l)
				}
				continue
			}
			matching := 0
			for _, cand := range res.Candidates {
				if cand.Reason == ReasonNone {
					matching++
				}
			}
			got := libbpfLine{Outcome: "failed", Matching: matching}
			switch res.Outcome {
			case Resolved, Answered:
				got.Outcome, got.Value, got.Mem = "patched", res.Value, res.MemSize
			case Poisoned:
				got.Outcome = "poisoned"
			}
			want := libbpfLine{Outcome: l.Outcome, Value: l.Value, Mem: l.Mem, Matching: l.Matching}
			if failed = l.Outcome == "failed"; failed {
				got.Matching, want.Matching = 0, 0 // libbpf stops at the first candidate that it fails on
			}
			if got != want {
				spec, _ := o.Spec(res.Relo)
				differ(res.Relo, "%s: %s %s is %+v here, %+v in libbpf (%s, %+v)", name(l), res.Relo.Kind, spec.Path(), got, want, res.Detail, res.Candidates)
			}
		}
	}
	if c.mutated && seen == 0 {
		return true // libbpf crashed, or did not read the kernel
	}
	if !whole && !failed {
		differ(nil, "%s on %s: libbpf failed the relocation, but no record", o.Name, k.name)
	}
	if whole {
		missing := -seen
		for _, res := range ours {
			if res != nil || only == nil {
				missing++
			}
		}
		if missing != 0 {
			differ(nil, "%s on %s: libbpf told of %d records, %d more are known here", o.Name, k.name, seen, missing)
		}
	}
	return whole
}

func (c *libbpfComparison) report(t *testing.T, kernels int) {
	v := c.version.Load()
	t.Logf("libbpf %d.%d: compared %d relocations (records × %d kernels) and %d patched instructions, %d differences",
		v/100, v%100, c.compared.Load(), kernels, c.insns.Load(), c.differences.Load())
	for i, d := range libbpfDifferences {
		if n := c.known[i].Load(); n != 0 {
			t.Logf("%d known differences %q: %s", n, d.name, d.reason)
		}
	}
	if n := c.crashed.Load(); n != 0 {
		t.Logf("libbpf crashed %d times", n)
	}
	if n := c.without.Load(); n != 0 {
		t.Logf("%d objects have no CO-RE records", n)
	}
	var refused []string
	c.refused.Range(func(k, _ any) bool {
		refused = append(refused, k.(string))
		return true
	})
	slices.Sort(refused)
	for _, r := range refused {
		t.Logf("not compared: %s", r)
	}
	if c.compared.Load() == 0 {
		t.Error("nothing was compared")
	}
}

// TestLibbpf compares with libbpf itself: every record of every fixture on the fixtures' kernels and the embedded ones,
// and every record of Debian's libbpf-tools on the embedded ones.
func TestLibbpf(t *testing.T) {
	c := &libbpfComparison{bin: libbpfRelo(t)}
	kernels := embeddedKernels(t)
	t.Run("fixtures", func(t *testing.T) {
		for _, order := range coreOrders {
			dir := t.TempDir()
			var own []testKernel
			for _, name := range []string{"k1", "k2"} {
				_, raw := coreBTF(t, name, order)
				own = append(own, newTestKernel(t, dir, name+"."+order, raw))
			}
			for _, name := range coreFixtures {
				o := coreObject(t, name, order)
				data, err := os.ReadFile(o.File)
				if err != nil {
					t.Fatal(err)
				}
				t.Run(name+"."+order, func(t *testing.T) { c.object(t, o, data, own) })
			}
		}
	})
	c.report(t, 2)

	c = &libbpfComparison{bin: c.bin}
	t.Run("tools", func(t *testing.T) {
		objs, data := toolObjects(t)
		t.Cleanup(func() { c.report(t, len(kernels)) })
		for i, o := range objs {
			t.Run(o.Name, func(t *testing.T) {
				t.Parallel()
				c.object(t, o, data[i], kernels)
			})
		}
	})
}

// TestLibbpfMutated compares on kernels that no compiler makes: the types of the fixtures' kernels with some words changed.
// The changes are the same in every run.
func TestLibbpfMutated(t *testing.T) {
	c := &libbpfComparison{bin: libbpfOracle(t, "libbpf_relo"), mutated: true}
	const kernels = 1000
	rnd := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	var all []testKernel
	for len(all) < kernels {
		_, raw := coreBTF(t, []string{"k1", "k2"}[len(all)%2], "el")
		mutateBTF(rnd, raw)
		if _, err := btfinfo.Parse(raw); err == nil {
			all = append(all, newTestKernel(t, dir, fmt.Sprintf("mutated-%d", len(all)), raw))
		}
	}
	for _, name := range coreFixtures {
		o := coreObject(t, name, "el")
		data, err := os.ReadFile(o.File)
		if err != nil {
			t.Fatal(err)
		}
		c.object(t, o, data, all)
	}
	c.report(t, kernels)
}

// mutateBTF changes a few words of the types in little-endian BTF, so that most of the results still parse.
func mutateBTF(rnd *rand.Rand, raw []byte) {
	le := binary.LittleEndian
	types := raw[le.Uint32(raw[4:])+le.Uint32(raw[8:]):][:le.Uint32(raw[12:])]
	word := func(i int) []byte { return types[4*i : 4*i+4] }
	n := len(types) / 4
	for range 1 + rnd.IntN(40) {
		at := word(rnd.IntN(n))
		v := le.Uint32(at)
		switch rnd.IntN(8) {
		case 0, 1, 2: // what stands elsewhere: a name, an id, an offset, the shape of a type
			v = le.Uint32(word(rnd.IntN(n)))
		case 3:
			v ^= 1 << 31 // kind_flag
		case 4:
			v ^= (1 + rnd.Uint32N(15)) << 24 // kind; encoding of an INT; size of a bitfield
		case 5:
			v += rnd.Uint32N(16)
		case 6:
			v -= rnd.Uint32N(16)
		case 7:
			v = rnd.Uint32N(256)
		}
		le.PutUint32(at, v)
	}
}
