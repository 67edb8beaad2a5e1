package relocate

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// corpus returns files with objects: the fixtures, cilium/ebpf's own test objects as the module cache has them, and
// the tools under CORECHECK_TOOLS_DIR.
func corpus(t testing.TB) []string {
	t.Helper()
	var files []string
	glob := func(pattern string) {
		f, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f...)
	}
	glob("../testdata/*/*.o")
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/ebpf").Output()
	if err != nil {
		t.Fatalf("where is the module github.com/cilium/ebpf? %v", err)
	}
	glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", "*.elf"))
	glob(filepath.Join(strings.TrimSpace(string(out)), "btf", "testdata", "*.elf"))
	if dir := os.Getenv("CORECHECK_TOOLS_DIR"); dir != "" {
		glob(filepath.Join(dir, "*"))
	}
	return files
}

// ciliumRefuses are messages with which cilium/ebpf v0.22 refuses objects that libbpf opens, and why.
var ciliumRefuses = map[string]string{
	"unrecognized field numa_node":             "it does not know all members of map definitions",
	"got '.struct_ops' section: not supported": "it knows .struct_ops.link only",
	"initializing BTF map definitions":         "a map definition with an initial value, which libbpf does not look at",
	"possible erroneous static qualifier":      "a static map, which libbpf refuses as well (a legacy one)",
	"unsupported binding: STB_WEAK":            "weak maps",
	"to be *Void, not":                         "it takes ksyms of type void only, not const void, nor typed ones",
}

// ciliumReads tells why cilium/ebpf v0.22 reads a program or map otherwise, "" where there is no known reason.
func ciliumReads(ours, theirs *part) string {
	switch {
	case ours == nil && theirs.section != "" && theirs.static:
		return "static functions outside .text are programs to it"
	case ours == nil || theirs == nil:
		return ""
	}
	o, c := *ours, *theirs
	base, _, _ := strings.Cut(o.section, "/")
	newer := slices.IndexFunc(secRows, func(r secRow) bool { return r.name == "fentry.multi+" })
	switch {
	case o.typ == 0 && c.typ != 0 && strings.Contains(o.section, "/") && ParseSection(base).ProgType != "":
		return "it takes anything after a '/', as libbpf before 1.0 did"
	case c.typ == 0 && slices.ContainsFunc(secRows[newer:], func(r secRow) bool { return r.name == base+"+" }):
		return "it does not know sections that are newer than libbpf 1.7"
	case o.typ == 27 && o.section != "" && o.to != c.to:
		return "the target of struct_ops programs is the map's member"
	case o.section == "" && o.typ == 4:
		return "key and value size of perf event arrays are as the kernel will have them"
	}
	return ""
}

// part is a program or a map as both readers see it.
type part struct {
	section, to, license       string // programs
	attach, insns              uint32
	static                     bool   // a function that is no program to libbpf
	key, value, entries, flags uint32 // maps
	typ                        uint32
}

// cilium/ebpf reads objects independently of libbpf. Both must see the same programs, maps and amount of code, but for
// the differences above.
func TestObjectsCilium(t *testing.T) {
	t.Parallel()
	files, programs, nmaps := 0, 0, 0
	known := map[string]int{}
	for _, path := range corpus(t) {
		objs, err := Open(path)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objs {
			spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(data[o.Offset : o.Offset+o.Size]))
			if err != nil {
				reason := ""
				for msg, r := range ciliumRefuses {
					if strings.Contains(err.Error(), msg) {
						reason = "refused: " + r
					}
				}
				if reason == "" {
					t.Errorf("%s: cilium/ebpf: %v", path, err)
					continue
				}
				known[reason]++
				continue
			}
			files++
			programs += len(o.Programs)
			nmaps += len(o.Maps)
			ours, theirs := ourParts(o), ciliumParts(o, spec)
			names := maps.Clone(ours)
			maps.Copy(names, theirs)
			for _, k := range slices.Sorted(maps.Keys(names)) {
				a, b := ours[k], theirs[k]
				if a != nil && b != nil && *a == *b {
					continue
				}
				reason := ciliumReads(a, b)
				if reason == "" {
					t.Errorf("%s: %s:\nours:   %+v\ncilium: %+v", path, k, a, b)
					continue
				}
				known[reason]++
			}
		}
	}
	t.Logf("compared %d objects with %d programs and %d maps", files, programs, nmaps)
	for _, reason := range slices.Sorted(maps.Keys(known)) {
		t.Logf("known difference, %d times: %s", known[reason], reason)
	}
}

func ourParts(o *Object) map[string]*part {
	parts := map[string]*part{}
	for _, p := range o.Programs {
		x := &part{section: p.Section, to: p.Sec.Target, license: o.License}
		x.typ, _ = ProgTypeNumber(p.Sec.ProgType)
		x.attach, _ = AttachTypeNumber(p.Sec.AttachType)
		for _, f := range p.Funcs {
			x.insns += uint32(len(f.Insns))
		}
		parts["program "+p.Name] = x
	}
	for _, m := range o.Maps {
		if m.Section == ".kconfig" {
			continue // it keeps kconfig elsewhere
		}
		parts["map "+m.Name] = &part{typ: m.Type, key: m.KeySize, value: m.ValueSize, entries: m.MaxEntries, flags: m.Flags &^ mapMmapable}
	}
	return parts
}

func ciliumParts(o *Object, spec *ebpf.CollectionSpec) map[string]*part {
	parts := map[string]*part{}
	for _, p := range spec.Programs {
		parts["program "+p.Name] = &part{
			section: p.SectionName, to: p.AttachTo, license: p.License, typ: uint32(p.Type), attach: uint32(p.AttachType),
			insns:  uint32(p.Instructions.Size() / 8),
			static: !slices.ContainsFunc(o.Programs, func(q *Program) bool { return q.Name == p.Name }),
		}
	}
	for name, m := range spec.Maps {
		parts["map "+name] = &part{typ: uint32(m.Type), key: m.KeySize, value: m.ValueSize, entries: m.MaxEntries, flags: uint32(m.Flags) &^ mapMmapable}
	}
	return parts
}
