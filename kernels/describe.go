package kernels

import "github.com/corecheck/corecheck/btfinfo"

// Describe says what the path of a file tells about the kernel in it: docs/kernels.md has the rules. root is the folder that
// the user named, or the file itself. Nothing is opened.
func Describe(path, root string) *Kernel {
	k := describe(path, root)
	k.setID()
	return k
}

// IsBTFName tells names of files that are taken from a folder: *.btf, *.btf.tar, and these compressed.
func IsBTFName(name string) bool { return btfNameRE.MatchString(name) }

// VersionFromBanner reads the upstream version from a kernel's banner; both are zero where it has none.
func VersionFromBanner(b btfinfo.Banner) (Version, VersionSource) { return versionFromBanner(b) }
