package source

import (
	"fmt"
	"path"
	"regexp"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// role is what the path of a file in a package says that the file may be. Whether it is, its content decides.
type role uint8

const (
	roleNone role = iota
	roleImage
	roleConfig
	roleModule
)

// place is what a path tells.
type place struct {
	role   role
	uname  string
	module string // its name, with underscores
	path   string // without what begins every path: "boot/vmlinuz-6.1.0-50-cloud-amd64"
}

var (
	// Names of images, before "-UNAME" in boot and alone in lib/modules/UNAME. Debian's linux-binary-unsigned-* have vmlinuz.unsigned.
	imageRE = regexp.MustCompile(`^(?:vmlinuz|vmlinux|Image|zImage|bzImage|image|kernel)(?:-(.+?))?(?:\.unsigned)?(?:\.(?:gz|xz|zst|bz2|lz4|lzma|lzo))?$`)
	// Files of modules, as CONFIG_MODULE_COMPRESS of kernel/module/Kconfig of Linux v6.12 names them.
	moduleRE = regexp.MustCompile(`^(.+)\.ko(?:\.(?:gz|xz|zst))?$`)
)

// debugFolder is where packages with debug information have their files.
const debugFolder = "usr/lib/debug/"

// placeOf reads a path in a package: boot/… and lib/modules/UNAME/…, with or without usr before it, and the images of packages with debug
// information below usr/lib/debug. ok is false where the path leads out of the package.
func placeOf(name string) (p place, ok bool) {
	clean := path.Clean("/" + name)
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return place{}, false
		}
	}
	p.path = clean[1:]
	if !printable(p.path) {
		return p, true // no kernel has such names, and none of it gets into reports
	}
	rest, debug := strings.CutPrefix(p.path, debugFolder)
	rest = strings.TrimPrefix(rest, "usr/")
	dir, base := path.Split(rest)
	if dir == "boot/" {
		if m := imageRE.FindStringSubmatch(base); m != nil && m[1] != "" {
			p.role, p.uname = roleImage, m[1]
		} else if uname, is := strings.CutPrefix(base, "config-"); is && !debug {
			p.role, p.uname = roleConfig, uname
		}
		return p, true
	}
	rest, is := strings.CutPrefix(rest, "lib/modules/")
	if !is {
		return p, true
	}
	uname, rest, is := strings.Cut(rest, "/")
	if !is || uname == "" {
		return p, true
	}
	switch m := moduleRE.FindStringSubmatch(base); {
	case rest == "config" && !debug:
		p.role = roleConfig
	case rest == base && imageRE.MatchString(base):
		p.role = roleImage
	case m != nil && !debug: // those below usr/lib/debug have debug information, and no BTF
		p.role, p.module = roleModule, ModuleName(m[1])
	default:
		return p, true
	}
	p.uname = uname
	return p, true
}

// printable tells text that a terminal shows as it stands.
func printable(s string) bool {
	for _, c := range []byte(s) {
		if c < ' ' || c == 0x7f {
			return false
		}
	}
	return true
}

// checkWords refuses metadata that no package has: words with blanks or signs for a terminal in them.
func checkWords(words ...string) error {
	for _, s := range words {
		if len(s) > maxWord || !printable(s) || strings.ContainsAny(s, " /") {
			return &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("%q in the package's metadata is no name, version or architecture", s[:min(len(s), maxWord)]), Hint: checkHostile}
		}
	}
	return nil
}

// maxWord is the longest name or version of a package that is believed, in bytes.
const maxWord = 256
