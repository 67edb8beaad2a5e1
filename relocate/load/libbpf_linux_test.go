package load

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/relocate"
)

// needRoot skips a test that loads programs.
func needRoot(t testing.TB) *Kernel {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("not root: the kernel takes no BPF programs")
	}
	k, err := Host()
	if err != nil {
		t.Fatal(err)
	}
	if errno := k.loads(); errno != 0 {
		t.Skipf("the kernel takes no BPF programs: %v", errno)
	}
	if _, err := k.BTF(); err != nil {
		t.Skip("the running kernel has no BTF")
	}
	return k
}

// testObjects are the little endian objects that are committed, and Debian's libbpf-tools where they are at hand; each
// as a file of its own.
func testObjects(t testing.TB) map[string]*relocate.Object {
	t.Helper()
	var files []string
	for _, pattern := range []string{"testdata/*.o", "../../testdata/rules/*.o", "../../testdata/objects/*.el.o", "../../testdata/demo/*.o"} {
		more, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	if dir := os.Getenv("CORECHECK_TOOLS_DIR"); dir != "" {
		more, err := filepath.Glob(filepath.Join(dir, "*"))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, more...)
	}
	dir, objs := t.TempDir(), map[string]*relocate.Object{}
	seen := map[string]bool{}
	for _, file := range files {
		found, err := relocate.Open(file)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range found {
			if seen[o.SHA256] || o.ByteOrder.String() != nativeOrder.String() {
				continue
			}
			seen[o.SHA256] = true
			path := filepath.Join(dir, fmt.Sprintf("%d-%s", len(objs), filepath.Base(file)))
			if err := os.WriteFile(path, whole[o.Offset:o.Offset+o.Size], 0o644); err != nil {
				t.Fatal(err)
			}
			objs[path] = o
		}
	}
	if len(objs) == 0 {
		t.Fatal("no objects")
	}
	return objs
}

// libbpfPrepare builds the program of that name in testdata/oracle.
func libbpfPrepare(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("cc"); err != nil {
		t.Skip("no C compiler on this machine: libbpf is not asked")
	}
	bin := filepath.Join(t.TempDir(), "libbpf_prepare")
	args := []string{"-O2", "-Wall", "-Wextra", "-Werror", "-o", bin, "../../testdata/oracle/libbpf_prepare.c"}
	dir := os.Getenv("CORECHECK_LIBBPF_DIR")
	if dir == "" {
		t.Skip("CORECHECK_LIBBPF_DIR is not set: no libbpf that is new enough; make test fetches one")
	}
	libs, _ := filepath.Glob(filepath.Join(dir, "usr/lib/*/libbpf.a"))
	if len(libs) != 1 {
		t.Fatalf("%d files usr/lib/*/libbpf.a in %s, want 1", len(libs), dir)
	}
	args = append(args, "-DSHIM_ISOC23", "-I"+filepath.Join(dir, "usr/include"), libs[0], "-lelf", "-lz")
	if out, err := exec.Command("cc", args...).CombinedOutput(); err != nil {
		t.Fatalf("cc %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return bin
}

// TestLikeLibbpf holds what is prepared for the running kernel against what libbpf prepares: maps, BTF, instructions,
// function and line info, to the byte.
func TestLikeLibbpf(t *testing.T) {
	k := needRoot(t)
	objs := testObjects(t)
	var args []string
	for path := range objs {
		args = append(args, path)
	}
	out, err := exec.Command(libbpfPrepare(t), args...).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{} // lines about an object
	var path string
	sc := bufio.NewScanner(bytes.NewReader(out))
	sc.Buffer(nil, 64<<20)
	for sc.Scan() {
		f := strings.Split(sc.Text(), "\t")
		if f[0] == "object" {
			path = f[1]
		}
		if path != "" {
			want[path] = append(want[path], sc.Text())
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	programs, refused := 0, 0
	for path, o := range objs {
		name := filepath.Base(path)
		lines := want[path]
		if len(lines) == 0 {
			t.Errorf("%s: libbpf says nothing", name)
			continue
		}
		errno, _ := strconv.Atoi(strings.Split(lines[0], "\t")[2])
		var all []string
		for _, p := range o.Programs {
			all = append(all, p.Name)
		}
		p, err := prepare(o, k, Options{Programs: all})
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Errno == 0 || int(e.Errno) != errno {
				t.Errorf("%s: %v, libbpf: %d", name, err, errno)
			}
			refused++
			continue
		}
		if errno != 0 { // a map, which only the kernel refuses
			refused++
			continue
		}
		programs += compareLines(t, name, p, lines[1:])
	}
	t.Logf("%d objects, of which %d are refused; %d programs are the same", len(objs), refused, programs)
	if programs < 20 {
		t.Errorf("only %d programs were compared", programs)
	}
}

// compareLines holds a plan against the lines of libbpf_prepare; it returns the number of programs.
func compareLines(t *testing.T, name string, p *plan, lines []string) (programs int) {
	t.Helper()
	var got []string
	for i, m := range p.maps {
		content := m.content
		switch {
		case m.Section == ".kconfig":
			content = p.kconfig
		case m.Data && content == nil:
			content = make([]byte, m.valueSize)
		}
		got = append(got, fmt.Sprintf("map\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%x", i, m.Type, m.KeySize, m.valueSize, m.maxEntries, m.flags,
			m.keyType, m.valueType, content))
	}
	raw := ""
	if p.image != nil {
		raw = hex.EncodeToString(p.image.bytes())
	}
	got = append(got, "btf\t"+raw)
	for _, pp := range p.progs {
		for _, f := range pp.fixups {
			if f.m != nil {
				pp.insns[f.insn].Imm = int32(f.m.index)
			}
		}
		got = append(got, fmt.Sprintf("program\t%s\t%x\t%x\t%x", pp.Name, encode(pp.insns), pp.funcInfo, pp.lineInfo))
		programs++
	}
	if len(got) != len(lines) {
		t.Errorf("%s: %d maps and programs, libbpf has %d", name, len(got), len(lines))
		return 0
	}
	for i := range got {
		if strings.HasPrefix(lines[i], "map\t") && strings.HasSuffix(lines[i], "\t") { // libbpf keeps no content that it can't map
			got[i] = got[i][:strings.LastIndex(got[i], "\t")+1]
		}
		if got[i] == lines[i] {
			continue
		}
		a, b := strings.Split(got[i], "\t"), strings.Split(lines[i], "\t")
		for j := range min(len(a), len(b)) {
			if a[j] != b[j] {
				at := 0
				for at < len(a[j]) && at < len(b[j]) && a[j][at] == b[j][at] {
					at++
				}
				from := max(0, at-32)
				t.Errorf("%s: %s %s: field %d differs at %d of %d and %d: …%.64s, libbpf …%.64s", name, a[0], a[1][:min(len(a[1]), 40)], j, at, len(a[j]), len(b[j]), a[j][min(from, len(a[j])):], b[j][min(from, len(b[j])):])
				break
			}
		}
	}
	return programs
}
