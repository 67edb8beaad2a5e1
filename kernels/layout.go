package kernels

import "path/filepath"

// InLayout tells what a path below a folder in BTFHub's layout says of a kernel: "debian/11/x86_64/5.10.0-8-amd64.btf.tar.xz".
// The path is slash-separated, and nothing has to be there; the kernel has its ID, distro, release, arch, uname and version,
// and nothing that could be loaded. ok is false for a file whose name is not one that is taken from a folder.
//
// It is the rule of FromPath for a folder, so that a kernel has one ID whether it comes from a folder or over the network.
func InLayout(path string) (k *Kernel, ok bool) {
	if !btfNameRE.MatchString(path) {
		return nil, false
	}
	k = describe(filepath.Join(string(filepath.Separator), filepath.FromSlash(path)), string(filepath.Separator))
	k.Source = path
	k.setID()
	return k, true
}
