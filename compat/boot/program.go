package boot

import (
	"debug/buildinfo"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"github.com/corecheck/corecheck/compat/internal/hint"
	"github.com/corecheck/corecheck/kernels"
)

// mainPackage is the one that a guest's program must be built from.
const mainPackage = "github.com/corecheck/corecheck/cmd/corecheck"

// guestArchs are the architectures that guests can be of: BTFHub's name, Go's, and e_machine of ELF.
var guestArchs = []struct {
	arch, goarch string
	machine      uint16
}{
	{"x86_64", "amd64", 62},
	{"arm64", "arm64", 183},
	{"s390x", "s390x", 22},
}

// guestProgram finds the file of corecheck that is /init of guests of an architecture: the one that the user named, this
// one, or corecheck-linux-ARCH beside it.
func guestProgram(named, arch string) (string, error) {
	for _, g := range guestArchs {
		if g.arch != arch {
			continue
		}
		build := fmt.Sprintf("build one with: CGO_ENABLED=0 GOOS=linux GOARCH=%s go build -o corecheck-linux-%s ./cmd/corecheck; put it beside corecheck, or name it with --guest", g.goarch, g.goarch)
		if named != "" {
			return named, checkProgram(named, arch, g.machine, build)
		}
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		if runtime.GOOS == "linux" && runtime.GOARCH == g.goarch {
			return self, checkProgram(self, arch, g.machine, build)
		}
		beside := filepath.Join(filepath.Dir(self), "corecheck-linux-"+g.goarch)
		if _, err := os.Stat(beside); err != nil {
			return "", hint.Errorf(build, "guests of %s need a corecheck for Linux on %s, and there is no %s", arch, g.goarch, beside)
		}
		return beside, checkProgram(beside, arch, g.machine, build)
	}
	return "", hint.Errorf("x86_64, arm64 and s390x can be booted", "kernels of %s can't be booted", arch)
}

// checkProgram tells whether a file can be the /init of a guest: corecheck, for its machine, and needing no library.
func checkProgram(path, arch string, machine uint16, advice string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	got, static, err := elfProgram(f)
	switch {
	case err != nil:
		return hint.Errorf(advice, "%s can't run in a guest: %w", path, err)
	case got != machine:
		return hint.Errorf(advice, "%s is not for guests of %s: it is for ELF machine %d, want %d", path, arch, got, machine)
	case !static:
		return hint.Errorf(advice, "%s can't run in a guest: it needs shared libraries", path)
	}
	info, err := buildinfo.Read(f)
	if err != nil {
		return hint.Errorf(advice, "%s can't run in a guest: %w", path, err)
	}
	if info.Path != mainPackage && info.Path != mainPackage+".test" {
		return hint.Errorf(advice, "%s can't run in a guest: it is built from %s, not corecheck", path, info.Path)
	}
	return nil
}

// elfProgram reads what a 64-bit ELF program is for, and whether it runs without an interpreter, which loads shared libraries:
// the ELF header and the program headers of the System V ABI.
func elfProgram(r io.ReaderAt) (machine uint16, static bool, err error) {
	const (
		ehsize, phsize = 64, 56
		ptInterp       = 3
	)
	var h [ehsize]byte
	if _, err := r.ReadAt(h[:], 0); err != nil && !errors.Is(err, io.EOF) {
		return 0, false, err
	}
	if string(h[:4]) != "\x7fELF" || h[4] != 2 {
		return 0, false, errors.New("it is no 64-bit ELF program")
	}
	var order binary.ByteOrder = binary.LittleEndian
	if h[5] == 2 {
		order = binary.BigEndian
	}
	machine = order.Uint16(h[18:])
	off, size, n := order.Uint64(h[32:]), order.Uint16(h[54:]), order.Uint16(h[56:])
	if size != phsize || off > 1<<40 {
		return 0, false, fmt.Errorf("its program headers have %d bytes each at %#x, want %d", size, off, phsize)
	}
	static = true
	for i := range int64(n) {
		var p [phsize]byte
		if _, err := r.ReadAt(p[:], int64(off)+i*phsize); err != nil {
			return 0, false, fmt.Errorf("program header %d of %d: %w", i, n, err)
		}
		if order.Uint32(p[:]) == ptInterp {
			static = false
		}
	}
	return machine, static, nil
}

// isELF tells whether a file begins as ELF files do.
func isELF(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	var magic [4]byte
	n, err := f.ReadAt(magic[:], 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return false, err
	}
	return string(magic[:n]) == "\x7fELF", nil
}

// kernelArch is the architecture of a kernel in BTFHub's names.
func kernelArch(k *kernels.Kernel) string {
	if arch, ok := kernels.Arch(k.Arch); ok {
		return arch
	}
	return k.Arch
}
