package load

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"github.com/corecheck/corecheck/btfinfo"
)

// Kernel is what is known of the running kernel. Each part is read when it is asked for first, and kept: modules that are
// inserted later are not seen. It is safe for concurrent use.
type Kernel struct {
	Release string // uname -r
	Build   string // uname -v
	Machine string // uname -m
	// Version is LINUX_KERNEL_VERSION as libbpf tells it: see kernelVersion. 0 where it can't.
	Version uint32

	root    string
	btf     func() (*btfinfo.BTF, error)
	modules func() ([]*module, error)
	config  func() ([]byte, error)
	symbols func() ([]byte, error)

	// loads is the error of loading a program that does nothing, tried once; nil where this is not the running kernel.
	loads func() syscall.Errno

	mu       sync.Mutex
	features map[feature]bool
	probe    func(feature) bool
}

// module is the BTF of a loaded module.
type module struct {
	name string
	id   uint32 // of the BTF object
	btf  *btfinfo.BTF
}

// Limits on what is read of a system.
const (
	maxConfig  = 16 << 20 // bytes of kernel config; Debian's has 280 KB
	maxSymbols = 256 << 20
)

// newKernel returns the kernel whose files lie under root. modules lists the modules with BTF, given the kernel's own.
func newKernel(root, release, build, machine string, openBTF func() (*btfinfo.BTF, error), modules func(*btfinfo.BTF) ([]*module, error), probe func(feature) bool) *Kernel {
	signature, _ := readSome(filepath.Join(root, "proc/version_signature"), 4096)
	k := &Kernel{
		root: root, Release: release, Build: build, Machine: machine, Version: kernelVersion(string(signature), build, release),
		btf: sync.OnceValues(openBTF), features: map[feature]bool{}, probe: probe,
	}
	k.modules = sync.OnceValues(func() ([]*module, error) {
		base, err := k.btf()
		if err != nil {
			return nil, err
		}
		return modules(base)
	})
	k.config = sync.OnceValues(func() ([]byte, error) { return readConfig(root, release) })
	k.symbols = sync.OnceValues(func() ([]byte, error) { return readSome(filepath.Join(root, "proc/kallsyms"), maxSymbols) })
	return k
}

// BTF is the kernel's own, from where libbpf looks for it.
func (k *Kernel) BTF() (*btfinfo.BTF, error) { return k.btf() }

// Symbols returns the addresses of the symbols in /proc/kallsyms that have this name, in the file's order. They are 0
// where the reader may not see them.
func (k *Kernel) Symbols(name string) ([]uint64, error) {
	var addrs []uint64
	err := k.symbol(name, func(addr uint64, kind byte, whole string) bool {
		if whole == name {
			addrs = append(addrs, addr)
		}
		return true
	})
	return addrs, err
}

// has tells whether the kernel has a feature, which is tried once.
func (k *Kernel) has(f feature) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	ok, known := k.features[f]
	if !known {
		ok = k.probe(f)
		k.features[f] = ok
	}
	return ok
}

// symbol calls yield for each symbol of this name, and for those that have it before ".llvm.", until it returns false. The
// text is searched rather than taken apart: it has 200,000 lines, of which few are ever asked for.
func (k *Kernel) symbol(name string, yield func(addr uint64, kind byte, whole string) bool) error {
	text, err := k.symbols()
	if err != nil {
		return err
	}
	want := []byte(" " + name)
	for off := 0; ; {
		i := bytes.Index(text[off:], want)
		if i < 0 {
			return nil
		}
		at := off + i
		off = at + len(want)
		end := off
		for end < len(text) && text[end] > ' ' {
			end++
		}
		if rest := text[off:end]; len(rest) > 0 && !bytes.HasPrefix(rest, []byte(".llvm.")) {
			continue
		}
		start := bytes.LastIndexByte(text[:at], '\n') + 1
		var addr uint64
		var kind byte
		if n, _ := fmt.Sscanf(string(text[start:at]), "%x %c", &addr, &kind); n != 2 {
			continue // the name is that of a module
		}
		if !yield(addr, kind, string(text[at+1:end])) {
			return nil
		}
	}
}

// readConfig reads the kernel's configuration: bpf_object__read_kconfig_file of libbpf v1.7.
func readConfig(root, release string) ([]byte, error) {
	var first error
	for _, p := range []string{"boot/config-" + release, "proc/config.gz"} {
		b, err := readSome(filepath.Join(root, p), maxConfig)
		if err != nil {
			if first == nil {
				first = err
			}
			continue
		}
		if !bytes.HasPrefix(b, []byte{0x1f, 0x8b}) {
			return b, nil
		}
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if b, err = io.ReadAll(io.LimitReader(z, maxConfig+1)); err != nil {
			return nil, fmt.Errorf("%s: %w", p, err)
		}
		if len(b) > maxConfig {
			return nil, fmt.Errorf("%s expands to more than %d bytes", p, maxConfig)
		}
		return b, nil
	}
	return nil, fmt.Errorf("no /boot/config-%s and no /proc/config.gz can be read: %w", release, first)
}

// readSome reads a file of up to limit bytes.
func readSome(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = &fs.PathError{Op: "read", Path: path, Err: errors.New("the file is too large")}
	}
	return b, err
}

// kernelVersion is get_kernel_version of libbpf v1.7: Ubuntu tells it in /proc/version_signature, Debian in what uname calls
// the version, others in the release. 0: none of them has three numbers.
func kernelVersion(signature, build, release string) uint32 {
	if f := strings.Fields(signature); len(f) > 2 {
		if v := threeNumbers(f[2]); v != 0 {
			return v
		}
	}
	if i := strings.Index(build, "Debian "); i >= 0 {
		if v := threeNumbers(build[i+len("Debian "):]); v != 0 {
			return v
		}
	}
	return threeNumbers(release)
}

// threeNumbers reads "%u.%u.%u" of sscanf and puts them together as KERNEL_VERSION does, where the third is at most 255.
func threeNumbers(s string) uint32 {
	var n [3]uint32
	for i := range n {
		if i > 0 {
			if !strings.HasPrefix(s, ".") {
				return 0
			}
			s = s[1:]
		}
		digits := 0
		for digits < len(s) && digits < 9 && '0' <= s[digits] && s[digits] <= '9' {
			n[i] = 10*n[i] + uint32(s[digits]-'0')
			digits++
		}
		if digits == 0 {
			return 0
		}
		s = s[digits:]
	}
	return n[0]<<16 + n[1]<<8 + min(n[2], 255)
}

// pageSize is the size of a page in bytes.
func (k *Kernel) pageSize() uint32 { return uint32(os.Getpagesize()) }

// cpus is the number of CPUs that there can be: libbpf_num_possible_cpus of libbpf v1.7, which reads a list such as
// "0-3,8". 0: it is not told.
func (k *Kernel) cpus() uint32 {
	text, err := readSome(filepath.Join(k.root, "sys/devices/system/cpu/possible"), 1<<16)
	if err != nil {
		return 0
	}
	var n uint32
	for part := range strings.SplitSeq(strings.TrimSpace(string(text)), ",") {
		var from, to uint32
		switch got, _ := fmt.Sscanf(part, "%d-%d", &from, &to); {
		case got == 1:
			n++
		case got == 2 && from <= to:
			n += to - from + 1
		default:
			return 0
		}
	}
	return n
}

// nativeOrder is the byte order of this machine.
var nativeOrder = func() binary.ByteOrder {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return binary.LittleEndian
	}
	return binary.BigEndian
}()
