package compat

import (
	"strings"

	"github.com/corecheck/corecheck/relocate"
)

var kconfigUnknown = &Rule{
	Code:  "CC036",
	Name:  "kconfig_unknown",
	Title: "config option is not known",
	Doc: `The object reads a CONFIG_ option. libbpf takes it from /boot/config-RELEASE or /proc/config.gz of the running
system; a strong extern that is not set there fails the load of the whole object (ESRCH), a weak one is 0. The archive
has no configs yet, so a strong one is unknown. LINUX_KERNEL_VERSION, LINUX_HAS_BPF_COOKIE and LINUX_HAS_SYSCALL_WRAPPER
are libbpf's own and never fail.

Declare the option __weak.
Source: bpf_object__read_kconfig_file and bpf_object__resolve_externs in libbpf v1.7's libbpf.c.`,
	needs: []relocate.NeedKind{relocate.NeedKconfig},
	check: func(c *check, n *relocate.Need) {
		e := n.Extern
		switch e.Name {
		case versionExtern, "LINUX_HAS_BPF_COOKIE", "LINUX_HAS_SYSCALL_WRAPPER":
			return
		}
		if e.Weak {
			return
		}
		if !strings.HasPrefix(e.Name, "CONFIG_") {
			c.reportObject(n, raw{verdict: Break,
				message: "libbpf does not know the extern " + e.Name + ", and it is not weak",
				hint:    "declare it __weak, or use a name that libbpf knows"})
			return
		}
		c.reportObject(n, raw{verdict: Unknown,
			message: "whether " + e.Name + " is set is in the kernel's config only, which the archive does not have",
			hint:    "declare it __weak: a missing option is then 0"})
	},
}
