package archive

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// pythonText writes a type as testdata/read_archive.py does.
func pythonText(s *strings.Builder, b *btfinfo.BTF, id btfinfo.ID, top bool) {
	t := b.Type(id)
	k := t.Kind()
	if !top && standsAlone(t) {
		fmt.Fprintf(s, "<%d %s>", k, t.Name())
		return
	}
	sep := func(i int, by string) {
		if i > 0 {
			s.WriteString(by)
		}
	}
	switch k {
	case btfinfo.KindInt:
		fmt.Fprintf(s, "1 %d %d", t.Size(), t.Int().Bits)
	case btfinfo.KindFloat:
		fmt.Fprintf(s, "16 %d", t.Size())
	case btfinfo.KindPtr, btfinfo.KindTypedef, btfinfo.KindConst, btfinfo.KindVolatile, btfinfo.KindRestrict:
		fmt.Fprintf(s, "%d ", k)
		pythonText(s, b, t.Ref(), false)
	case btfinfo.KindTypeTag:
		fmt.Fprintf(s, "18 %s ", t.Name())
		pythonText(s, b, t.Ref(), false)
	case btfinfo.KindArray:
		fmt.Fprintf(s, "3 %d ", t.Array().Nelems)
		pythonText(s, b, t.Array().Elem, false)
		s.WriteString(" ")
		pythonText(s, b, t.Array().Index, false)
	case btfinfo.KindStruct, btfinfo.KindUnion:
		fmt.Fprintf(s, "{%d %d", k, t.Size())
		for i := range t.Vlen() {
			m := t.Member(i)
			fmt.Fprintf(s, "; %s@%d:%d ", m.Name, m.Off, m.Size)
			pythonText(s, b, m.Type, false)
		}
		s.WriteString("}")
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		fmt.Fprintf(s, "{%d %d", k, t.Size())
		for i := range t.Vlen() {
			e := t.Enumerator(i)
			fmt.Fprintf(s, "; %s=%d", e.Name, e.Value)
		}
		s.WriteString("}")
	case btfinfo.KindFunc, btfinfo.KindVar:
		fmt.Fprintf(s, "%d %d ", k, t.Linkage())
		pythonText(s, b, t.Ref(), false)
	case btfinfo.KindFuncProto:
		s.WriteString("(")
		for i := range t.Vlen() {
			sep(i, ", ")
			fmt.Fprintf(s, "%s ", t.Param(i).Name)
			pythonText(s, b, t.Param(i).Type, false)
		}
		s.WriteString(") ")
		pythonText(s, b, t.Ref(), false)
	case btfinfo.KindDatasec:
		fmt.Fprintf(s, "{15 %d", t.Size())
		for i := range t.Vlen() {
			v := t.Var(i)
			s.WriteString("; ")
			pythonText(s, b, v.Type, false)
			fmt.Fprintf(s, "@%d:%d", v.Off, v.Size)
		}
		s.WriteString("}")
	default:
		fmt.Fprint(s, uint8(k))
	}
}

// TestDocumentedFormat reads an archive with a program that was written from docs/archive-format.md: what the page says is
// what the file is.
func TestDocumentedFormat(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"python3", "zstd"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s on this machine: the reader that was written from the documentation is not run", tool)
		}
	}
	list := append(embeddedKernels(t, 0, -1), smallKernels(t)...)
	small := list[len(list)-1]
	small.Version, small.Config = "5.10.1", []string{"CONFIG_B=n", "CONFIG_A=y"}
	path := filepath.Join(t.TempDir(), "a.ccar")
	data := encodeBytes(t, list...)
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	a, err := OpenBytes("a", data)
	if err != nil {
		t.Fatal(err)
	}
	python := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("python3", append([]string{"testdata/read_archive.py", path}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	lines := strings.Split(strings.TrimSuffix(python(), "\n"), "\n")
	if len(lines) != a.Len() {
		t.Fatalf("%d kernels, want %d", len(lines), a.Len())
	}
	for i, line := range lines {
		if want := fmt.Sprintf("1='%s'", a.Kernel(i).ID); !strings.HasPrefix(line, want) {
			t.Errorf("kernel %d is %s, want %s", i, line, want)
		}
		if want := "2='5.10.1' 6='a.deb\\x00\\x002026-01-01\\x00' 9='CONFIG_A=y' 9='CONFIG_B=n' 11='config\\x00gone\\x00' 12="; a.Kernel(i).ID == small.ID && !strings.Contains(line, want) {
			t.Errorf("kernel %d is %s, want %s", i, line, want)
		}
	}
	compare := func(b *btfinfo.BTF, kind btfinfo.Kind, name string, args ...string) {
		t.Helper()
		var want strings.Builder
		n := 0
		b.OwnEssential(btfinfo.EssentialName(name), func(x btfinfo.Type) bool {
			if x.Name() == name {
				pythonText(&want, b, x.ID(), true)
				want.WriteString("\n")
				n++
			}
			return true
		}, kind)
		if got := python(append(args, fmt.Sprint(uint8(kind)), name)...); got != want.String() || n == 0 {
			t.Errorf("%v %s %s:\n got %s\nwant %s", args, kind, name, got, want.String())
		}
	}
	for _, want := range list[:2] {
		if want.BTF == nil {
			t.Fatalf("%s has no BTF", want.ID)
		}
		for _, x := range []struct {
			kind btfinfo.Kind
			name string
		}{{btfinfo.KindStruct, "task_struct"}, {btfinfo.KindStruct, "sk_buff"}, {btfinfo.KindFunc, "vfs_read"}, {btfinfo.KindEnum, "bpf_map_type"}, {btfinfo.KindTypedef, "atomic_t"},
			{btfinfo.KindInt, "long unsigned int"}} {
			if len(want.BTF.Named(x.name, x.kind)) == 0 {
				continue
			}
			compare(want.BTF, x.kind, x.name, want.ID)
		}
	}
	compare(small.BTF, btfinfo.KindStruct, "task", small.ID)
	compare(small.BTF, btfinfo.KindDatasec, ".percpu", small.ID)
	compare(small.BTF, btfinfo.KindVar, "cpu", small.ID)
	compare(small.BTF, btfinfo.KindFunc, "do_it", small.ID)
	compare(small.Modules[0].BTF, btfinfo.KindStruct, "task", small.ID, "ext4")
	compare(small.Modules[0].BTF, btfinfo.KindTypedef, "mine_t", small.ID, "ext4")
}
