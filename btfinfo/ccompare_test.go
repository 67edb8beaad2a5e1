package btfinfo

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sort"
	"strings"
	"testing"
)

// clang compiles C for BPF and returns the BTF that comes out.
func clang(t testing.TB, c string, order binary.ByteOrder) *BTF {
	t.Helper()
	needTool(t, "clang")
	dir := t.TempDir()
	src, obj := filepath.Join(dir, "x.c"), filepath.Join(dir, "x.o")
	if err := os.WriteFile(src, []byte(c), 0o666); err != nil {
		t.Fatal(err)
	}
	target := "bpfel"
	if order == binary.BigEndian {
		target = "bpfeb"
	}
	cmd := exec.Command("clang", "-g", "-O2", "-target", target, "-Werror", "-Wno-visibility", "-Wno-missing-declarations",
		"-Wno-bitfield-width", "-Wno-pragma-clang-attribute", "-c", src, "-o", obj)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("clang: %v\n%s", err, firstLines(string(out), 30))
	}
	f, err := elf.Open(obj)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	data, err := f.Section(".BTF").Data()
	if err != nil {
		t.Fatal(err)
	}
	b, err := Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// needTool skips a test where a program isn't installed.
func needTool(t testing.TB, name string) {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("needs %s", name)
	}
}

func firstLines(s string, n int) string {
	lines := strings.SplitAfterN(s, "\n", n+1)
	return strings.Join(lines[:min(n, len(lines))], "")
}

var (
	reBody    = regexp.MustCompile(`(?m)^(struct|union|enum) (\w+) \{`)
	reTypedef = regexp.MustCompile(`(?m)^typedef ((?:[^\n{]|\{\})*|[^\n]*\{\n(?s:(?:.*?\n)??)\}[^\n]*);$`)
	reFnPtr   = regexp.MustCompile(`\(\* ?(?:const )?(\w+)(?:\[\d+\])*\)`)
	reLast    = regexp.MustCompile(`(\w+)(?:\[\d+\])*$`)
	reFn      = regexp.MustCompile(`^[^(]*?(\w+)\(`)
	reAttr    = regexp.MustCompile(`__attribute__\(\((?:[^()]|\([^()]*(?:\([^()]*\))?[^()]*\))*\)\)|__btf_\w+\("(?:[^"\\]|\\.)*"\)`)
)

// useAll appends a use of every definition in the C text, without which clang leaves it out of the BTF.
func useAll(c string) string { return c + strings.Join(uses(c), "") }

func uses(c string) (lines []string) {
	for i, m := range reBody.FindAllStringSubmatch(c, -1) {
		lines = append(lines, fmt.Sprintf("%s %s __use_tag_%d;\n", m[1], m[2], i))
	}
	for i, m := range reTypedef.FindAllStringSubmatch(c, -1) {
		def := reAttr.ReplaceAllString(m[1], "")
		def = strings.TrimRight(def, " ")
		if at := strings.LastIndex(def, "\n}"); at >= 0 {
			def = "x" + def[at+2:]
		}
		name := reLast.FindStringSubmatch(def)
		if strings.HasSuffix(def, ")") || strings.Contains(def, "(*") {
			if name = reFnPtr.FindStringSubmatch(def); name == nil {
				name = reFn.FindStringSubmatch(def)
			}
		}
		if name != nil {
			lines = append(lines, fmt.Sprintf("%s *__use_typedef_%d;\n", name[1], i))
		}
	}
	return lines
}

// compileParts compiles the C in parts and returns the BTF of each. The time that clang takes grows with the square of
// what it writes, and a whole kernel in one go takes a minute.
func compileParts(t testing.TB, c string, order binary.ByteOrder) (parts []*BTF) {
	t.Helper()
	const part = 1000
	for lines := uses(c); len(lines) > 0; {
		n := min(part, len(lines))
		parts = append(parts, clang(t, c+strings.Join(lines[:n], ""), order))
		lines = lines[n:]
	}
	return parts
}

// shapesOf describes all types of compiled parts.
func shapesOf(parts []*BTF, name func(Type) string) map[string][]string {
	all := map[string][]string{}
	for _, b := range parts {
		for key, shapes := range (cShapes{b: b, name: name}).all() {
			all[key] = append(all[key], shapes...)
		}
	}
	for _, shapes := range all {
		slices.Sort(shapes)
	}
	return all
}

// cShapes describes all named types of a BTF so that they can be compared with another's.
type cShapes struct {
	b    *BTF
	name func(Type) string
}

func (s cShapes) all() map[string][]string {
	m := map[string][]string{}
	tags := declTags(s.b)
	for id := ID(1); int(id) < s.b.NumTypes(); id++ {
		t := s.b.Type(id)
		name := s.name(t)
		if name == "" || name == "__builtin_va_list" {
			continue
		}
		var key, shape string
		switch t.Kind() {
		case KindStruct, KindUnion:
			key, shape = tagWord(t)+name, s.body(t, 0)
		case KindEnum, KindEnum64:
			if t.Vlen() == 0 {
				continue
			}
			key, shape = "enum "+name, s.body(t, 0)
		case KindTypedef:
			key, shape = "typedef "+name, s.typ(t.Ref(), 0)
		default:
			continue
		}
		for _, tag := range tags[id] {
			shape += fmt.Sprintf(" tag %q on %d", tag.Name(), tag.Component())
		}
		m[key] = append(m[key], shape)
	}
	for _, v := range m {
		sort.Strings(v)
	}
	return m
}

// essential is the name without the flavour that tells types of one name apart.
func essential(t Type) string { return EssentialName(t.Name()) }

func (s cShapes) body(t Type, depth int) string {
	if depth > 20 {
		return "…"
	}
	var out strings.Builder
	if t.Kind().IsEnum() {
		fmt.Fprintf(&out, "enum:%d{", t.Size())
		for i := 0; i < t.Vlen(); i++ {
			e := t.Enumerator(i)
			// clang 14 knows neither signed enums in BTF nor ENUM64: the low 32 bits are what it keeps.
			fmt.Fprintf(&out, "%s=%d,", EssentialName(cIdent(e.Name)), int32(e.Value))
		}
		return out.String() + "}"
	}
	fmt.Fprintf(&out, "%s:%d{", tagWord(t), t.Size())
	var lines []string
	for i := 0; i < t.Vlen(); i++ {
		m := t.Member(i)
		off, bits := s.b.MemberBits(m)
		typ := s.typ(m.Type, depth+1)
		if inner := s.b.Skip(m.Type); m.Name == "" && inner.Kind().IsComposite() {
			if inner.Vlen() == 0 {
				continue // the filling of a union
			}
			typ = s.body(inner, depth+1)
		}
		lines = append(lines, fmt.Sprintf("%08d %s %d:%d %s;", off, cIdent(m.Name), off, bits, typ))
	}
	sort.Strings(lines)
	for _, l := range lines {
		out.WriteString(l[9:])
	}
	return out.String() + "}"
}

// typ describes a type by its name where it has one. Modifiers of arrays and prototypes don't count: gcc adds some that
// C has no place for.
func (s cShapes) typ(id ID, depth int) string {
	if depth > 20 {
		return "…"
	}
	var mods []string
	for {
		t := s.b.Type(id)
		mod := func() string {
			sort.Strings(mods)
			m := ""
			for i, x := range mods {
				if i == 0 || x != mods[i-1] {
					m += x + " "
				}
			}
			return m
		}
		switch t.Kind() {
		case KindVoid:
			return mod() + "void"
		case KindInt:
			i := t.Int()
			if t.Name() == "char" || t.Name() == "signed char" {
				return mod() + t.Name() // whose sign is the target's, or was not yet written
			}
			return mod() + fmt.Sprintf("int:%d:%v:%v", t.Size(), i.Signed, i.Bool)
		case KindFloat:
			return mod() + fmt.Sprintf("float:%d", t.Size())
		case KindPtr:
			return mod() + "*" + s.typ(t.Ref(), depth+1)
		case KindArray:
			return fmt.Sprintf("[%d]%s", t.Array().Nelems, s.typ(t.Ref(), depth+1))
		case KindConst, KindVolatile, KindRestrict, KindTypeTag:
			mods = append(mods, t.Kind().String()+t.Name())
			id = t.Ref()
			continue
		case KindFuncProto:
			out := "fn("
			for i := 0; i < t.Vlen(); i++ {
				if p := t.Param(i); t.Vlen() > 1 || p.Type != 0 {
					out += s.typ(p.Type, depth+1) + ","
				}
			}
			return out + ")" + s.typ(t.Ref(), depth+1)
		case KindStruct, KindUnion, KindEnum, KindEnum64:
			if t.Name() == "" {
				return mod() + s.body(t, depth+1)
			}
			return mod() + tagWord(t) + s.name(t)
		case KindFwd:
			return mod() + tagWord(t) + s.name(t)
		case KindTypedef:
			return mod() + s.name(t)
		default:
			return t.Kind().String()
		}
	}
}

// original describes b with the names that DumpC gives its types.
func original(b *BTF) cShapes {
	n, err := newCNames(b)
	if err != nil {
		panic(err)
	}
	return cShapes{b: b, name: func(t Type) string {
		if t.Name() == "__builtin_va_list" {
			return t.Name()
		}
		return n.of(n.target(t))
	}}
}

// diffShapes compares what is in want with what is in got, and returns the differences by name.
func diffShapes(want, got map[string][]string) map[string]string {
	d := map[string]string{}
	for name, w := range want {
		w, g := slices.Compact(slices.Clone(w)), slices.Compact(slices.Clone(got[name]))
		if len(g) == 0 {
			d[name] = fmt.Sprintf("missing, want %s", w)
			continue
		}
		if strings.Join(w, "\n") != strings.Join(g, "\n") {
			d[name] = fmt.Sprintf("\n  want %s\n  have %s", strings.Join(w, "\n       "), strings.Join(g, "\n       "))
		}
	}
	return d
}

func dumpC(t testing.TB, b *BTF, names ...string) string {
	t.Helper()
	var out bytes.Buffer
	if err := DumpC(&out, b, DumpOptions{Names: names}); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
