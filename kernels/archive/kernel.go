package archive

import "github.com/corecheck/corecheck/btfinfo"

// Kernel is what an archive says of one kernel beside its types. Strings that are not known are "".
type Kernel struct {
	ID      string `json:"id"`      // "debian/12/x86_64/6.1.0-50-cloud-amd64"
	Distro  string `json:"distro"`  // the four parts of the ID
	Release string `json:"release"` //
	Arch    string `json:"arch"`    // in BTFHub's names: "x86_64", "arm64", "s390x"
	Uname   string `json:"uname"`   // what uname -r prints

	Version     string `json:"version,omitempty"`      // upstream's: "6.1.176"
	VersionFrom string `json:"version_from,omitempty"` // what it was read from: a kernels.VersionSource

	Package        string   `json:"package,omitempty"`         // that the image came in: "linux-image-6.1.0-50-cloud-amd64"
	PackageVersion string   `json:"package_version,omitempty"` // "6.1.176-1"
	Sources        []Source `json:"sources,omitempty"`         // every file that something was read from, sorted by URI

	// Pahole is the version that encoded the BTF as the kernel's configuration says, "1.24" (CONFIG_PAHOLE_VERSION=124).
	Pahole string `json:"pahole,omitempty"`
	// Compiler is CONFIG_CC_VERSION_TEXT.
	Compiler string `json:"compiler,omitempty"`
	// Config holds the lines of the kernel's configuration that BTF depends on, sorted, "CONFIG_DEBUG_INFO_BTF=y"; an
	// option that is not set as "CONFIG_X=n". Empty where the configuration is not known.
	Config []string `json:"config,omitempty"`

	// NoBTF says why the kernel has no BTF, as a clause: "its image has no .BTF section (CONFIG_DEBUG_INFO_BTF=n)". "" where it
	// has. That a kernel has none is an answer, too.
	NoBTF string `json:"no_btf,omitempty"`
	// Missing names facts that could not be had, with the reason, sorted by fact: {"modules", "package linux-modules-… is
	// not in the repository any more"}.
	Missing []Missing `json:"missing,omitempty"`
}

// Source is a file that something of a kernel was read from.
type Source struct {
	URI    string `json:"uri"`              // of a repository's file without credentials; a local file by its name without folders
	SHA256 string `json:"sha256,omitempty"` // of the file, in hex
	Date   string `json:"date,omitempty"`   // of the file: "2026-11-02", as the package or the file system says
}

// Missing is a fact that an archive does not have of a kernel.
type Missing struct {
	Fact   string `json:"fact"` // "btf", "modules", "config"
	Reason string `json:"reason"`
}

// Module is the split BTF of one module.
type Module struct {
	Name string // as in /sys/module: "nf_tables", with underscores
	BTF  *btfinfo.BTF
}

// Build is a kernel with its BTF, on its way into an archive or out of one.
type Build struct {
	Kernel
	BTF     *btfinfo.BTF // nil where NoBTF says why
	Modules []Module     // sorted by name; their BTF continues BTF
	// ModulesRead: the kernel's modules were looked at, so that Modules is all that there is of those that were wanted.
	// false where only vmlinux was at hand.
	ModulesRead bool
	// AllModules: Modules is all that there is. What neither vmlinux nor these have is then not in the kernel, unless Modules is
	// empty: modules without BTF may have it.
	AllModules bool
}
