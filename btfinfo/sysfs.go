package btfinfo

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// systemBTF is where the BTF of the running kernel may be, in the order in which it is looked for; %s is `uname -r`.
// Source: btf__load_vmlinux_btf in libbpf v1.7's btf.c.
var systemBTF = []string{
	"/sys/kernel/btf/vmlinux",
	"/boot/vmlinux-%s",
	"/lib/modules/%s/vmlinux-%s",
	"/lib/modules/%s/build/vmlinux",
	"/usr/lib/modules/%s/kernel/vmlinux",
	"/usr/lib/debug/boot/vmlinux-%s",
	"/usr/lib/debug/boot/vmlinux-%s.debug",
	"/usr/lib/debug/lib/modules/%s/vmlinux",
}

// OpenSystem reads the BTF of the running kernel where libbpf would find it. As with libbpf, a /sys/kernel/btf/vmlinux
// that can't be read is an error, not a reason to look further; of the files, the first that holds BTF is taken.
func OpenSystem() (*File, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return nil, &Error{
			Off: -1, Msg: "the running kernel does not tell its release", Err: err, Hint: "name a file with its BTF instead",
		}
	}
	cstr := func(b []byte) string {
		b, _, _ = bytes.Cut(b, []byte{0})
		return string(b)
	}
	f, err := openSystem("/", cstr(u.Release[:]))
	if err != nil {
		return nil, err
	}
	if f.Arch == "" {
		f.Arch = hostArch(cstr(u.Machine[:]))
	}
	return f, nil
}

// hostArch is BTFHub's name of what `uname -m` prints.
func hostArch(machine string) string {
	if machine == "aarch64" {
		return "arm64"
	}
	return machine
}

// openSystem is OpenSystem for a system whose files lie under root.
func openSystem(root, release string) (*File, error) {
	var first error
	for i, p := range systemBTF {
		path := filepath.Join(root, strings.ReplaceAll(p, "%s", release))
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		f, err := Open(path, nil)
		if err == nil {
			f.Banner = systemBanner(root, f.Banner, release)
			return f, nil
		}
		if i == 0 {
			return nil, err
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return nil, first
	}
	return nil, &Error{
		File: filepath.Join(root, systemBTF[0]), Off: -1,
		Msg:  "the running kernel " + release + " has no BTF, nor is there a vmlinux of it in /boot, /lib/modules or /usr/lib/debug",
		Hint: "it needs CONFIG_DEBUG_INFO_BTF and Linux 5.4 or newer; in a container, mount /sys/kernel/btf",
	}
}

// systemBanner completes what the BTF's file told about the running kernel from /proc.
func systemBanner(root string, b Banner, release string) Banner {
	if text, err := os.ReadFile(filepath.Join(root, "/proc/version")); err == nil {
		b = ParseBanner(strings.TrimSuffix(string(text), "\n"))
	}
	if b.Uname == "" {
		b.Uname = release
	}
	// "Ubuntu 5.4.0-42.46-generic 5.4.44": get_ubuntu_kernel_version in libbpf v1.7's libbpf_probes.c.
	if sig, err := os.ReadFile(filepath.Join(root, "/proc/version_signature")); err == nil {
		if w := strings.Fields(string(sig)); len(w) >= 3 && unameVersion.MatchString(w[2]) {
			b.Upstream = unameVersion.FindStringSubmatch(w[2])[1]
		}
	}
	return b
}

// OpenSystemModules reads the BTF of the running kernel's modules, sorted by name; base is the kernel's own. A module
// whose BTF can't be read doesn't hide the others: it is among the errors. Both are empty where no module is loaded or
// the kernel keeps no BTF of modules (CONFIG_DEBUG_INFO_BTF_MODULES, Linux 5.11).
func OpenSystemModules(base *BTF) ([]*File, []error) { return openSystemModules("/", base) }

func openSystemModules(root string, base *BTF) (files []*File, errs []error) {
	dir := filepath.Join(root, "/sys/kernel/btf")
	entries, err := os.ReadDir(dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, []error{pathErr(dir, err)}
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	for _, e := range entries {
		if e.Name() == "vmlinux" {
			continue
		}
		f, err := Open(filepath.Join(dir, e.Name()), &Options{Base: base})
		if err != nil {
			errs = append(errs, err)
			continue
		}
		f.Module = e.Name()
		files = append(files, f)
	}
	return files, errs
}
