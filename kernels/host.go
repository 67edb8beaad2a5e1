package kernels

import (
	"os"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Host returns the running kernel, with the BTF of its loaded modules. Unlike others it is read here, and kept.
//
// Distro and release are those of /etc/os-release, which in a container are the container's, not the kernel's.
// Where BTF of modules can't be read the error is FileErrors, and the kernel is returned with it.
func Host() (*Kernel, error) {
	f, err := btfinfo.OpenSystem()
	if err != nil {
		return nil, err
	}
	files, errs := btfinfo.OpenSystemModules(f.BTF)
	release := osRelease(readFirst("/etc/os-release", "/usr/lib/os-release"))
	k := &Kernel{Distro: release["ID"], Release: release["VERSION_ID"], Arch: f.Arch, Uname: f.Banner.Uname, Source: f.Path}
	if arch, ok := Arch(f.Arch); ok {
		k.Arch = arch
	}
	k.Version, k.VersionFrom = versionFromBanner(f.Banner)
	k.setID()
	modules := make([]Module, len(files))
	for i, m := range files {
		modules[i] = Module{m.Module, m.BTF}
	}
	if len(modules) > 0 {
		k.facts = []string{"modules"}
	}
	k.load = func() (*btfinfo.BTF, []Module, error) { return f.BTF, modules, nil }
	return k, FileErrors(errs).asError()
}

// readFirst is the content of the first of these files that can be read.
func readFirst(paths ...string) string {
	for _, p := range paths {
		if b, err := os.ReadFile(p); err == nil {
			return string(b)
		}
	}
	return ""
}

// osRelease reads the assignments of os-release(5): KEY=value, where the value may be quoted as in the shell.
func osRelease(text string) map[string]string {
	m := map[string]string{}
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "=")
		if !ok || strings.HasPrefix(key, "#") {
			continue
		}
		if n := len(value); n >= 2 && value[0] == value[n-1] && (value[0] == '"' || value[0] == '\'') {
			value = value[1 : n-1]
		}
		m[key] = value
	}
	return m
}
