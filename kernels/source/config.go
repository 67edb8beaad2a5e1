package source

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// configOptions are the options that the BTF of a kernel and of its modules depends on, without CONFIG_.
//
// Sources, all of Linux v6.12: "config DEBUG_INFO_BTF", "config DEBUG_INFO_BTF_MODULES", "config MODULE_ALLOW_BTF_MISMATCH"
// and PAHOLE_HAS_* with all that they depend on in lib/Kconfig.debug; "config PAHOLE_VERSION", CC_IS_*, GCC_VERSION,
// CLANG_VERSION and RUST in init/Kconfig; BPF_SYSCALL in kernel/bpf/Kconfig, without which none is made; RANDSTRUCT in
// security/Kconfig.hardening, with which struct layouts differ from build to build.
var configOptions = []string{
	"BPF", "BPF_SYSCALL", "BPF_JIT", "MODULES",
	"DEBUG_INFO", "DEBUG_INFO_NONE", "DEBUG_INFO_DWARF_TOOLCHAIN_DEFAULT", "DEBUG_INFO_DWARF4", "DEBUG_INFO_DWARF5",
	"DEBUG_INFO_REDUCED", "DEBUG_INFO_SPLIT", "DEBUG_INFO_BTF", "DEBUG_INFO_BTF_MODULES", "MODULE_ALLOW_BTF_MISMATCH",
	"PAHOLE_VERSION", "PAHOLE_HAS_SPLIT_BTF", "PAHOLE_HAS_BTF_TAG", "PAHOLE_HAS_LANG_EXCLUDE",
	"CC_VERSION_TEXT", "CC_IS_GCC", "CC_IS_CLANG", "GCC_VERSION", "CLANG_VERSION", "RUST",
	"RANDSTRUCT", "RANDSTRUCT_NONE", "GCC_PLUGIN_RANDSTRUCT",
}

// configHead is the line that names the kernel: "# Linux/x86 6.1.176 Kernel Configuration", after the fourth line of every
// configuration since 2.6.38 (conf_write in scripts/kconfig/confdata.c, and mainmenu in Kconfig, of Linux v6.12).
var configHead = regexp.MustCompile(`^# Linux/\S+ (\S+) Kernel Configuration`)

// isConfig tells the start of a kernel's configuration: a comment, and the line that names the kernel.
func isConfig(head []byte) bool {
	n := 0
	for line := range strings.Lines(string(head)) {
		if configHead.MatchString(line) {
			return true
		}
		if n++; n > 8 || !strings.HasPrefix(line, "#") {
			break
		}
	}
	return false
}

// parseConfig takes from a configuration what BTF depends on.
func parseConfig(text []byte) (*config, error) {
	c := &config{}
	if !isConfig(text[:min(len(text), 1024)]) {
		return nil, &btfinfo.Error{
			Off: 0, Msg: fmt.Sprintf("no configuration of a kernel: starts with %q", text[:min(len(text), 16)]),
			Hint: "want \"# Linux/… Kernel Configuration\" among the first lines",
		}
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		if m := configHead.FindStringSubmatch(line); m != nil && c.version == "" {
			c.version = m[1]
			continue
		}
		option, value, ok := strings.Cut(line, "=")
		if !ok {
			if option, ok = strings.CutSuffix(line, " is not set"); !ok {
				continue
			}
			option, value = strings.TrimPrefix(option, "# "), "n"
		}
		name, ok := strings.CutPrefix(option, "CONFIG_")
		if !ok || !slices.Contains(configOptions, name) || len(value) > maxPath || !printable(value) {
			continue
		}
		c.lines = append(c.lines, option+"="+value)
		switch name {
		case "PAHOLE_VERSION":
			c.pahole = paholeVersion(value)
		case "CC_VERSION_TEXT":
			c.compiler = strings.Trim(value, `"`)
		}
	}
	slices.Sort(c.lines)
	c.lines = slices.Compact(c.lines)
	return c, nil
}

// paholeVersion is "1.24" of CONFIG_PAHOLE_VERSION=124; "" of 0, which is a build without pahole. Source:
// scripts/pahole-version.sh of Linux v6.12, which writes version 1.24 so.
func paholeVersion(value string) string {
	n, err := strconv.Atoi(value)
	if err != nil || n < 100 {
		return ""
	}
	return fmt.Sprintf("%d.%02d", n/100, n%100)
}

// value is what an option is set to: "" where the configuration does not have it.
func (c *config) value(option string) string {
	for _, line := range c.lines {
		if name, value, _ := strings.Cut(line, "="); name == option {
			return value
		}
	}
	return ""
}

// line tells how an option is set: "CONFIG_DEBUG_INFO_BTF=n", or that the configuration does not have it.
func (c *config) line(option string) string {
	if c == nil {
		return ""
	}
	if value := c.value(option); value != "" {
		return option + "=" + value
	}
	return option + " is not in its configuration"
}
