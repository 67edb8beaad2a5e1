package images

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
)

// catalogOf reads "NAME: DEPENDS < SOFT = ALIASES" lines.
func catalogOf(lines ...string) *catalog {
	var list, builtin []info
	for _, line := range lines {
		line, aliases, _ := strings.Cut(line, "=")
		line, before, _ := strings.Cut(line, "<")
		name, depends, _ := strings.Cut(line, ":")
		name, isBuiltin := strings.CutPrefix(strings.TrimSpace(name), "*")
		i := info{Name: name, Path: "kernel/" + name + ".ko", Depends: strings.Fields(depends), Before: strings.Fields(before), Aliases: strings.Fields(aliases)}
		if isBuiltin {
			builtin = append(builtin, i)
		} else {
			list = append(list, i)
		}
	}
	return newCatalog("", [][]info{list}, [][]info{builtin})
}

func TestOrder(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		modules []string
		wanted  string
		want    string // modules / built in / missing
	}{
		{"none", []string{"a"}, "", "/ / "},
		{"chain", []string{"a: b", "b: c", "c:"}, "a", "c b a! / / "},
		{"diamond", []string{"a: b c", "b: d", "c: d", "d:"}, "a", "d b c a! / / "},
		{"wanted in the wrong order", []string{"a: b", "b:"}, "a b", "b! a! / / "},
		{"twice", []string{"a:"}, "a a", "a! / / "},
		{"with the other sign", []string{"nf_nat:"}, "nf-nat", "nf_nat! / / "},
		{"built in", []string{"*a:", "b: a"}, "b a", "b! / a / "},
		{"missing", []string{"a: gone"}, "a nosuch", "a! / / gone nosuch"},
		{"liked", []string{"a: b < c", "b:", "c: d", "d:"}, "a", "b d? c? a! / / "},
		{"liked and built in", []string{"a: < c", "*c:"}, "a", "a! / / "},
		{"liked and missing", []string{"a: < c"}, "a", "a! / / "},
		{"liked by alias", []string{"a: < crc", "x: = crc", "y: = crc"}, "a", "x? y? a! / / "},
		{"the name comes before the alias", []string{"a: < crc", "x: = crc", "crc:"}, "a", "crc? a! / / "},
		{"alias of what is built in", []string{"a: < crc", "x: = crc", "*z: = crc"}, "a", "a! / / "},
		{"wanted by alias", []string{"x: = fs_x"}, "fs-x", "x! / / "},
		{"liked by one, needed by another", []string{"a: < c", "c: d", "d:", "b: c"}, "a b", "d c a! b! / / "},
		{"liked by one, wanted", []string{"a: < c", "c: d", "d:"}, "a c", "d c! a! / / "},
		{"each likes the other", []string{"a: < b", "b: < a"}, "a", "b? a! / / "},
		{"itself", []string{"a: a < a"}, "a", "a! / / "},
		{"in a circle", []string{"a: b", "b: c", "c: a"}, "a", "c b a! / / "},
	} {
		list, builtin, missing := catalogOf(tc.modules...).order(strings.Fields(tc.wanted))
		var words []string
		for _, c := range list {
			word := c.Name
			if c.wanted {
				word += "!"
			}
			if c.soft {
				word += "?"
			}
			words = append(words, word)
		}
		words = append(words, "/")
		words = append(append(words, builtin...), "/")
		got := strings.TrimSpace(strings.Join(append(words, missing...), " "))
		if got != strings.TrimSpace(tc.want) {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

func TestInfo(t *testing.T) {
	t.Parallel()
	m := btfinfo.ParseModuleInfo([]byte("depends=a,b-c,,../x\x00softdep=pre: d e-f post: g\x00softdep=post: h pre: i\x00alias=fs-x\x00alias=pci:v00001234*\x00alias=fs-x\x00" +
		"vermagic=6.1.0-1 SMP mod_unload \x00\x00name\x00=\x00"))
	got := fmt.Sprintf("%+v", infoOf(m))
	if want := "{Name: Uname:6.1.0-1 Path: Depends:[a b_c] Before:[d e-f i] Aliases:[fs_x]}"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
	list := append(parseBuiltin("u", "modules.builtin", []byte("kernel/fs/a-b.ko\n\nkernel/x.ko.xz\nnothing\nkernel/../.ko\n")),
		parseBuiltin("u", "modules.builtin.modinfo", []byte("a_b.alias=fs-a\x00a_b.license=GPL\x00c.parm=x:y\x00.=\x00junk"))...)
	if got, want := fmt.Sprint(list), "[{a_b u  [] [] []} {x u  [] [] []} {a_b u  [] [] [fs_a]} {c u  [] [] []} {junk u  [] [] []}]"; got != want {
		t.Errorf("%s\nwant %s", got, want)
	}
}

// Whatever modules say of themselves, each comes once and after what it needs, unless they need each other.
func FuzzModules(f *testing.F) {
	f.Add([]byte("name=a\x00depends=b,c\x00softdep=pre: d\x00\x01name=b\x00depends=c\x00\x01name=c\x00alias=d\x00"), "a c nosuch")
	f.Add([]byte("name=a\x00depends=b\x00\x01name=b\x00depends=a\x00"), "b")
	f.Add([]byte("name=a\x00softdep=pre: b\x00\x01name=b\x00softdep=pre: a post: a\x00"), "a b")
	f.Fuzz(func(t *testing.T, data []byte, wanted string) {
		var list []info
		for i, one := range strings.Split(string(data), "\x01") {
			m := btfinfo.ParseModuleInfo([]byte(one))
			x := infoOf(m)
			if x.Name, x.Path, x.Uname = m.Value("name"), fmt.Sprint(i), ""; isWord(x.Name) {
				list = append(list, x)
			}
			for _, word := range slices.Concat(x.Depends, x.Before, x.Aliases) {
				if strings.ContainsAny(word, "/ \x00") {
					t.Fatalf("%q is no word", word)
				}
			}
		}
		builtin := slices.Concat(parseBuiltin("", "modules.builtin", data), parseBuiltin("", "modules.builtin.modinfo", data))
		c := newCatalog("", [][]info{list}, [][]info{builtin})
		order, _, missing := c.order(strings.Fields(wanted))
		at := map[string]int{}
		for i, m := range order {
			if _, twice := at[m.Name]; twice {
				t.Fatalf("%s twice", m.Name)
			}
			at[m.Name] = i
		}
		for i, m := range order {
			for _, dep := range m.Depends {
				j, ok := at[dep]
				if !ok && !c.builtin(dep) && !slices.Contains(missing, dep) {
					t.Fatalf("%s needs %s, which is nowhere", m.Name, dep)
				}
				if ok && j > i && !reaches(c, dep, m.Name) {
					t.Fatalf("%s comes before %s, which it needs", m.Name, dep)
				}
			}
		}
	})
}

// reaches tells whether a module leads to another one by what it needs or likes.
func reaches(c *catalog, from, to string) bool {
	seen := map[string]bool{}
	todo := []string{from}
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if name == to {
			return true
		}
		if seen[name] {
			continue
		}
		seen[name] = true
		m := c.module(name)
		if m == nil {
			continue
		}
		todo = append(todo, m.Depends...)
		for _, before := range m.Before {
			for _, dep := range c.named(strings.ReplaceAll(before, "-", "_")) {
				todo = append(todo, dep.Name)
			}
		}
	}
	return false
}
