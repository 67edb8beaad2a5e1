package vm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/compat/boot/initramfs"
	"github.com/corecheck/corecheck/kernels"
)

// bootImage is the boot image that the environment names, and its architecture, x86_64 if none is said:
// CORECHECK_BOOT_IMAGE=[ARCH:]FILE.
func bootImage(t *testing.T) (arch, file string) {
	t.Helper()
	named := os.Getenv("CORECHECK_BOOT_IMAGE")
	if named == "" {
		t.Skip("CORECHECK_BOOT_IMAGE names no boot image")
	}
	if a, rest, ok := strings.Cut(named, ":"); ok {
		if arch, ok = kernels.Arch(a); ok {
			return arch, rest
		}
	}
	return "x86_64", named
}

// guestFile makes an initramfs whose init is testdata/init.
func guestFile(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	goarch := map[string]string{"x86_64": "amd64"}[arch]
	if goarch == "" {
		goarch = arch
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "init"), "./testdata/init")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+goarch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	f, err := os.Create(filepath.Join(dir, "initramfs"))
	if err != nil {
		t.Fatal(err)
	}
	w := initramfs.NewWriter(f)
	err = errors.Join(w.Char("/dev/console", 0o600, 5, 1), w.Copy("/init", 0o755, filepath.Join(dir, "init")), w.Close(), f.Close())
	if err != nil {
		t.Fatal(err)
	}
	return f.Name()
}

// A real kernel boots, and each way in which it can end is told from the others.
func TestBoot(t *testing.T) {
	arch, image := bootImage(t)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	q, err := Find(ctx, arch, Options{CacheDir: t.TempDir(), Accel: TCG})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s %s, sandbox %v", q.Binary, q.Version, q.Sandbox)
	initrd := guestFile(t, arch)
	all := q.Ports()
	reset := Reset
	if arch == "s390x" { // the kernel's last words do not reach its console
		reset = PowerOff
	}
	for _, c := range []struct {
		do      string
		ports   []string
		ended   Ended
		last    string
		detail  string
		silence time.Duration
	}{
		{do: "nothing", ended: PowerOff, last: "bye"},
		{do: "write:256", ports: all[len(all)-1:], ended: PowerOff, last: "bye"}, // the slower port
		{do: "write:4096", ended: PowerOff, last: "bye"},
		{do: "panic", ended: Panic, last: "hello", detail: "sysrq triggered crash"},
		{do: "exit", ended: Panic, last: "hello", detail: "Attempted to kill init! exitcode=0x00000300"},
		{do: "reboot", ended: reset, last: "hello"},
		{do: "sleep", ended: Silent, last: "hello", silence: time.Second, detail: "no word from the guest for 1s"},
	} {
		t.Run(c.do, func(t *testing.T) {
			ports := c.ports
			if ports == nil {
				ports = all
			}
			console := filepath.Join(t.TempDir(), "console.log")
			var lines []string
			var size int
			out, err := q.Run(ctx, Machine{
				Kernel: image, Initramfs: initrd, Console: console, Silence: func() time.Duration { return c.silence }, Timeout: 4 * time.Minute,
				Append: []string{"vm.do=" + c.do, "vm.ports=" + strings.Join(ports, ",")},
			}, func(line []byte) error {
				size += len(line) + 1
				if !bytes.HasPrefix(line, []byte("xxxx")) {
					lines = append(lines, string(line))
				} else if len(line) != 1023 {
					t.Errorf("a line of %d bytes, want 1023", len(line))
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			log, err := os.ReadFile(console)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("boot %v, ran %v, %d bytes of results, %d of console: %q", out.Boot.Round(time.Millisecond), out.Ran.Round(time.Millisecond),
				size, len(log), lines)
			if out.Ended != c.ended || !strings.Contains(out.Detail, c.detail) ||
				len(lines) == 0 || !strings.HasPrefix(lines[len(lines)-1], c.last) {
				t.Errorf("%+v, lines %q\n%s", out, lines, log)
			}
		})
	}
}
