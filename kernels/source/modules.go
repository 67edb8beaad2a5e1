package source

import (
	"fmt"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/kernels/archive"
)

// Why modules are missing that a package has.
const (
	noneAsked = "they were not asked for"
	someAsked = "only some were asked for"
)

// LeftOut tells that modules are missing because they were not asked for, and that the filter now asks for more: for any
// where there were none, for all where there were some. Which ones a kernel was asked for is not kept.
func LeftOut(m archive.Missing, now ModuleFilter) bool {
	if m.Fact != "modules" || now.None() {
		return false
	}
	return m.Reason == noneAsked || now.All() && strings.HasPrefix(m.Reason, someAsked)
}

// ModuleFilter tells which modules are read. The zero value takes all.
type ModuleFilter struct {
	limited bool
	names   []string // sorted, with underscores
}

// ParseModules reads "all", "none", or names with commas between them: "ext4,nf_tables". Names may have '-' for '_', as
// modprobe takes them (underscores in libkmod's libkmod-util.c).
func ParseModules(s string) (ModuleFilter, error) {
	switch strings.TrimSpace(s) {
	case "", "all":
		return ModuleFilter{}, nil
	case "none":
		return ModuleFilter{limited: true}, nil
	}
	f := ModuleFilter{limited: true}
	for name := range strings.SplitSeq(s, ",") {
		name = ModuleName(strings.TrimSpace(name))
		if !isModuleName(name) {
			return ModuleFilter{}, fmt.Errorf("%q is no name of a kernel module; want all, none, or names like ext4,nf_tables", name)
		}
		if name == "all" || name == "none" {
			return ModuleFilter{}, fmt.Errorf("%q stands among names of modules; want it alone", name)
		}
		f.names = append(f.names, name)
	}
	slices.Sort(f.names)
	f.names = slices.Compact(f.names)
	return f, nil
}

// isModuleName tells a name that the kernel could give a module: the characters of an identifier, and some that file names
// of the kernel's tree have. MODULE_NAME_LEN in include/linux/module.h of Linux v6.12 is 64 - sizeof(long), its zero included.
func isModuleName(s string) bool {
	if s == "" || len(s) > 56 {
		return false
	}
	for _, c := range []byte(s) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '+' || c == '.') {
			return false
		}
	}
	return true
}

// ModuleName is a module's name as in /sys/module: with '_' for '-'. Source: KBUILD_MODNAME in scripts/Makefile.lib of
// Linux v6.12 (name-fix).
func ModuleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// Wants tells whether the module of that name is read.
func (f ModuleFilter) Wants(name string) bool {
	if !f.limited {
		return true
	}
	_, ok := slices.BinarySearch(f.names, ModuleName(name))
	return ok
}

// None tells that no module is read at all.
func (f ModuleFilter) None() bool { return f.limited && len(f.names) == 0 }

// All tells that every module is read.
func (f ModuleFilter) All() bool { return !f.limited }

// String is what ParseModules reads.
func (f ModuleFilter) String() string {
	switch {
	case !f.limited:
		return "all"
	case len(f.names) == 0:
		return "none"
	}
	return strings.Join(f.names, ",")
}
