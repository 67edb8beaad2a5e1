package kernels

import (
	"encoding/binary"
	"strings"
)

// archNames gives every spelling of an architecture that Go, Debian, uname -m and BTFHub use the name that IDs use.
//
// Sources: GOARCH of Go 1.26, Debian's cputable, BTFHub's folders.
var archNames = map[string]string{
	"x86_64": "x86_64", "amd64": "x86_64", "x86-64": "x86_64", "x64": "x86_64",
	"arm64": "arm64", "aarch64": "arm64",
	"x86": "x86", "i386": "x86", "i486": "x86", "i586": "x86", "i686": "x86", "386": "x86",
	"arm": "arm", "armhf": "arm", "armel": "arm", "armv7l": "arm", "armv6l": "arm", "armv7hl": "arm",
	"s390x":   "s390x",
	"ppc64le": "ppc64le", "ppc64el": "ppc64le", "powerpc64le": "ppc64le",
	"ppc64": "ppc64", "powerpc64": "ppc64",
	"riscv64": "riscv64",
	"loong64": "loongarch64", "loongarch64": "loongarch64",
	"mips64le": "mips64le", "mips64el": "mips64le",
}

// unknownPart stands in an ID for what is not known of a kernel.
const unknownPart = "unknown"

// Arch returns the name that IDs use for an architecture, given any of its usual names in any case: "x86_64" for
// "amd64", "arm64" for "aarch64". ok is false for a name that it does not know.
func Arch(name string) (arch string, ok bool) {
	arch, ok = archNames[strings.ToLower(name)]
	return arch, ok
}

// ByteOrder is the byte order of an architecture, by the name that IDs use; nil where it is not known.
func ByteOrder(arch string) binary.ByteOrder {
	switch arch {
	case "s390x", "ppc64":
		return binary.BigEndian
	case "x86_64", "arm64", "x86", "arm", "ppc64le", "riscv64", "loongarch64", "mips64le":
		return binary.LittleEndian
	}
	return nil
}

// archInName finds the last word of a file's name or of uname -r that names an architecture: "arm64" of
// "a12-5.10-2021-09-arm64", "x86_64" of "4.19.90-2107.bclinux.x86_64".
func archInName(name string) (arch string, ok bool) {
	words := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '.' || r == '+' || r == '~' })
	for i := len(words) - 1; i >= 0; i-- {
		// "386", "arm" and the like are too short to be told from a build's own words.
		if arch, ok = Arch(words[i]); ok && len(words[i]) >= 5 {
			return arch, true
		}
	}
	return "", false
}
