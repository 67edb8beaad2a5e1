package relocate

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// libbpfReads tells why libbpf sees a line otherwise than we do, "" where there is no known reason. Lines are those of
// libbpf_open; theirs or ours is "" where only one has the program or map.
func libbpfReads(version string, older bool, ours, theirs string) string {
	o, l := strings.Split(ours, "\t"), strings.Split(theirs, "\t")
	switch {
	case ours == "" || theirs == "":
		if older && strings.HasPrefix(ours, "map\t") && o[2] == "26" {
			return "libbpf " + version + " does not know all sections of struct_ops"
		}
		if older && ours == "" && strings.Contains(theirs, "\t.text\t") {
			return "libbpf " + version + " takes a lone function in .text for a program"
		}
	case o[0] == "program" && l[3] == "0" && slices.Equal(o[5:], l[5:]):
		return "libbpf " + version + " does not know the section, which is newer"
	case o[0] == "program" && older && strings.HasPrefix(o[2], "tc/"):
		return "libbpf " + version + " takes tc/… for something older"
	case o[0] == "program" && older && strings.HasPrefix(o[2], "struct_ops") && o[3] == l[3] && slices.Equal(o[5:], l[5:]):
		return "libbpf " + version + " numbers the members of struct_ops when it opens the object, newer ones when they load it"
	}
	return ""
}

// libbpf is the reference: it must see the same programs, in the same order, and the same maps, and refuse the same
// objects.
func TestObjectsLibbpf(t *testing.T) {
	t.Parallel()
	bin := libbpfOracle(t, "libbpf_open")
	version, files, programs, nmaps, refused := "", 0, 0, 0, 0
	known := map[string]int{}
	dir := t.TempDir()
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
			file := filepath.Join(dir, "object.o")
			if err := os.WriteFile(file, data[o.Offset:o.Offset+o.Size], 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(bin, file).Output()
			if err != nil {
				t.Fatalf("%s: libbpf_open: %v", path, err)
			}
			lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
			version = strings.TrimPrefix(lines[0], "libbpf ")
			var major, minor int
			if _, err := fmt.Sscanf(version, "%d.%d", &major, &minor); err != nil {
				t.Fatalf("libbpf_open: %q: %v", lines[0], err)
			}
			older := major == 1 && minor < 7 // than what is followed here
			files++
			if !strings.HasSuffix(lines[1], "\t0") {
				refused++
				switch {
				case len(o.Refused) > 0:
				case older: // objects of the other byte order before 1.6, arenas before 1.4
					known["libbpf "+version+" refuses what newer ones open"]++
				default:
					t.Errorf("%s: libbpf refuses it: %s", path, lines[1])
				}
				continue
			}
			if len(o.Refused) > 0 {
				t.Errorf("%s: libbpf opens it, but we say: %s", path, strings.Join(o.Refused, "; "))
			}
			programs += len(o.Programs)
			nmaps += len(o.Maps)
			theirs := lines[2:]
			for i, l := range theirs {
				// Data sections have the object's name in front: "object.rodata".
				if f := strings.Split(l, "\t"); f[0] == "map" && f[10] == "1" {
					if dot := strings.IndexByte(f[1], '.'); dot > 0 {
						f[1] = f[1][dot:]
						theirs[i] = strings.Join(f, "\t")
					}
				}
			}
			ours := libbpfLines(o)
			byName := func(lines []string) map[string]string {
				m := map[string]string{}
				for _, l := range lines {
					f := strings.Split(l, "\t")
					m[f[0]+" "+f[1]] = l
				}
				return m
			}
			a, b := byName(ours), byName(theirs)
			names := maps.Clone(a)
			maps.Copy(names, b)
			different := false
			for _, k := range slices.Sorted(maps.Keys(names)) {
				if a[k] == b[k] {
					continue
				}
				different = true
				reason := libbpfReads(version, older, a[k], b[k])
				if reason == "" {
					t.Errorf("%s: %s:\nours:   %s\nlibbpf: %s", path, k, a[k], b[k])
					continue
				}
				known[reason]++
			}
			if !different && !slices.Equal(ours, theirs) {
				t.Errorf("%s: the order differs:\nours:\n%s\nlibbpf:\n%s", path, strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
			}
		}
	}
	t.Logf("compared with libbpf %s: %d objects, %d of them refused, %d programs, %d maps", version, files, refused, programs, nmaps)
	for _, reason := range slices.Sorted(maps.Keys(known)) {
		t.Logf("known difference, %d times: %s", known[reason], reason)
	}
}

// libbpfLines is an object as libbpf_open prints it.
func libbpfLines(o *Object) []string {
	var b bytes.Buffer
	bit := func(b bool) int {
		if b {
			return 1
		}
		return 0
	}
	for _, p := range o.Programs {
		typ, _ := ProgTypeNumber(p.Sec.ProgType)
		attach, _ := AttachTypeNumber(p.Sec.AttachType)
		fmt.Fprintf(&b, "program\t%s\t%s\t%d\t%d\t%d\t%d\n", p.Name, strings.TrimPrefix(p.Section, "?"), typ, attach, bit(p.Sec.Autoload), len(p.Entry.Insns))
	}
	for _, m := range o.Maps {
		fmt.Fprintf(&b, "map\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags, m.Extra, m.NumaNode, bit(m.Pinned), bit(m.Data))
	}
	if b.Len() == 0 {
		return nil
	}
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}
