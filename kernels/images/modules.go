package images

import (
	"bytes"
	"path"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/source"
)

// info is what is known of a module: by its .modinfo, or by kbuild's lists of what is built in.
type info struct {
	Name    string   `json:"name"`            // with underscores
	Uname   string   `json:"uname"`           // of its kernel
	Path    string   `json:"path,omitempty"`  // "" for what is built in
	Depends []string `json:"deps,omitempty"`  // modules whose symbols it uses
	Before  []string `json:"pre,omitempty"`   // names or aliases of modules that it wants before it, but loads without
	Aliases []string `json:"alias,omitempty"` // names that others may call it by; those of devices are left out
}

// infoOf reads .modinfo.
//
// Sources: "depends" is written by add_depends in scripts/mod/modpost.c of Linux v6.12; the form of "softdep" is that of
// MODULE_SOFTDEP in include/linux/module.h, and of output_softdeps in tools/depmod.c of kmod 33.
func infoOf(m *btfinfo.ModuleInfo) info {
	var i info
	for _, v := range m.Values("depends") {
		for name := range strings.SplitSeq(v, ",") {
			if name = source.ModuleName(name); isWord(name) {
				i.Depends = append(i.Depends, name)
			}
		}
	}
	for _, v := range m.Values("softdep") {
		before := false
		for word := range strings.FieldsSeq(v) {
			switch {
			case strings.HasSuffix(word, ":"):
				before = word == "pre:"
			case before && isWord(word):
				i.Before = append(i.Before, word)
			}
		}
	}
	i.Aliases = aliasesOf(m.Values("alias"))
	i.Uname, _, _ = strings.Cut(m.Value("vermagic"), " ")
	return i
}

// aliasesOf keeps what a softdep could name: words, and no patterns of devices.
func aliasesOf(all []string) []string {
	var words []string
	for _, a := range all {
		if a = source.ModuleName(a); isWord(a) && !slices.Contains(words, a) {
			words = append(words, a)
		}
	}
	return words
}

// maxWord is the longest name or alias that is believed, in bytes: MODULE_NAME_LEN in include/linux/module.h of Linux v6.12 is
// 56, and aliases are a little longer ("crypto-…").
const maxWord = 96

// isWord tells the name of a module, or an alias that is like one: no path, and nothing that a file system or a terminal minds.
func isWord(s string) bool {
	if s == "" || len(s) > maxWord || s[0] == '.' {
		return false
	}
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-' || c == '+' || c == '.') {
			return false
		}
	}
	return true
}

// parseBuiltin reads modules.builtin, a path a line, or modules.builtin.modinfo, zero-terminated "MODULE.key=value" strings.
// Source: Documentation/kbuild/kbuild.rst of Linux v6.12.
func parseBuiltin(uname, base string, text []byte) []info {
	var list []info
	if base == "modules.builtin" {
		for line := range strings.Lines(string(text)) {
			if name, ok := moduleOfPath(strings.TrimSpace(line)); ok {
				list = append(list, info{Name: name, Uname: uname})
			}
		}
		return list
	}
	aliases := map[string][]string{}
	var names []string
	for s := range bytes.SplitSeq(text, []byte{0}) {
		name, rest, _ := strings.Cut(string(s), ".")
		name = source.ModuleName(name)
		if !isWord(name) {
			continue
		}
		if _, seen := aliases[name]; !seen {
			names = append(names, name)
			aliases[name] = nil
		}
		if a, ok := strings.CutPrefix(rest, "alias="); ok {
			aliases[name] = append(aliases[name], a)
		}
	}
	for _, name := range names {
		list = append(list, info{Name: name, Uname: uname, Aliases: aliasesOf(aliases[name])})
	}
	return list
}

// moduleOfPath is the name of the module that a path ends with.
func moduleOfPath(p string) (name string, ok bool) {
	base := path.Base(p)
	for _, ext := range []string{".gz", ".xz", ".zst"} {
		base = strings.TrimSuffix(base, ext)
	}
	name, ok = strings.CutSuffix(base, ".ko")
	name = source.ModuleName(name)
	return name, ok && isWord(name)
}

// catalog is all that is known of a kernel's modules.
type catalog struct {
	module  func(name string) *info // nil where there is none
	alias   func(name string) []string
	builtin func(name string) bool // by name or by alias
}

// newCatalog puts lists together. Of modules of one name that in a folder "updates" is taken, as depmod does it (the default
// of "search" in depmod.d(5)), else the first.
func newCatalog(uname string, lists [][]info, builtins [][]info) *catalog {
	modules, aliases, builtin := map[string]*info{}, map[string][]string{}, map[string]bool{}
	for _, list := range lists {
		for i := range list {
			m := &list[i]
			if m.Uname != uname {
				continue
			}
			if before := modules[m.Name]; before == nil || isUpdate(m.Path) && !isUpdate(before.Path) {
				modules[m.Name] = m
			}
			for _, a := range m.Aliases {
				if !slices.Contains(aliases[a], m.Name) {
					aliases[a] = append(aliases[a], m.Name)
				}
			}
		}
	}
	for _, list := range builtins {
		for _, b := range list {
			if b.Uname == uname {
				builtin[b.Name] = true
				for _, a := range b.Aliases {
					builtin[a] = true
				}
			}
		}
	}
	return &catalog{
		module:  func(name string) *info { return modules[name] },
		alias:   func(name string) []string { return aliases[name] },
		builtin: func(name string) bool { return builtin[name] },
	}
}

func isUpdate(p string) bool { return strings.Contains(p, "/updates/") }

// chosen is a module that is to be inserted.
type chosen struct {
	*info
	wanted, soft bool
}

// order lists the modules that are asked for with all that they need, each after what it needs, as modprobe inserts them
// (kmod_module_get_probe_list in libkmod-module.c of kmod 33). What is wanted and neither a module nor built in is missing, and
// so is what a module needs.
func (c *catalog) order(wanted []string) (list []chosen, builtin, missing []string) {
	index := map[string]int{} // in list, by name; -1 while it is being added
	var add func(m *info, wanted, soft bool)
	add = func(m *info, wanted, soft bool) {
		if i, seen := index[m.Name]; seen {
			if i < 0 {
				return
			}
			list[i].wanted = list[i].wanted || wanted
			if list[i].soft && !soft { // what one needs is needed, even if another could do without
				list[i].soft = false
				for _, name := range m.Depends {
					if dep := c.module(name); dep != nil {
						add(dep, false, false)
					}
				}
			}
			return
		}
		index[m.Name] = -1 // modules that want each other before them: the one that was met first is last
		for _, name := range m.Depends {
			switch dep := c.module(name); {
			case dep != nil:
				add(dep, false, soft)
			case !c.builtin(name):
				missing = append(missing, name)
			}
		}
		for _, name := range m.Before {
			for _, dep := range c.named(source.ModuleName(name)) {
				add(dep, false, true)
			}
		}
		index[m.Name] = len(list)
		list = append(list, chosen{m, wanted, soft})
	}
	for _, name := range wanted {
		name = source.ModuleName(name)
		found := c.named(name)
		for _, m := range found {
			add(m, true, false)
		}
		switch {
		case len(found) > 0:
		case c.builtin(name):
			builtin = append(builtin, name)
		default:
			missing = append(missing, name)
		}
	}
	return list, sorted(builtin), sorted(missing)
}

// named are the modules of a name, or those of an alias that nothing built in has.
func (c *catalog) named(name string) []*info {
	if m := c.module(name); m != nil {
		return []*info{m}
	}
	if c.builtin(name) {
		return nil
	}
	var all []*info
	for _, a := range c.alias(name) {
		if m := c.module(a); m != nil {
			all = append(all, m)
		}
	}
	return all
}

func sorted(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
