//go:build linux

package vm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/kernels"
)

func TestArguments(t *testing.T) {
	t.Parallel()
	m := &Machine{Kernel: "/k/vmlinuz", Initramfs: "/i,i", MemoryMB: 512, CPUs: 2, Append: []string{"a=b", "c"}}
	const (
		common   = "-nodefaults -no-user-config -display none -monitor none -nic none -no-reboot "
		confined = "-sandbox on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny "
		channel  = "-m 512M -smp 2 -add-fd fd=3,set=1 -chardev file,id=console,path=/dev/fdset/1,append=on " +
			"-add-fd fd=4,set=2 -chardev file,id=results0,path=/dev/fdset/2,append=on " +
			"-add-fd fd=5,set=3 -chardev file,id=results1,path=/dev/fdset/3,append=on "
		kernel = "-kernel /k/vmlinuz -initrd /i,i -append console="
		words  = " quiet loglevel=6 panic=-1 rcupdate.rcu_expedited=1 cryptomgr.notests printk.time=1 a=b c"
	)
	for _, c := range []struct {
		q    QEMU
		want string
	}{
		{QEMU{Arch: "x86_64", Accel: TCG, Version: "7.2.22"}, common + "-accel tcg -machine pc,usb=off,vmport=off -cpu max,-cx16 " + channel +
			"-device isa-serial,chardev=console -device virtio-serial-pci -device virtserialport,chardev=results0,nr=1 " +
			"-device isa-serial,chardev=results1 " + kernel + "ttyS0" + strings.Replace(words, " a=b", " no_timer_check a=b", 1)},
		{QEMU{Arch: "x86_64", Accel: KVM, Version: "8.0.0", Sandbox: true}, common + confined + "-accel kvm -machine pc,usb=off,vmport=off -cpu host " + channel +
			"-device isa-serial,chardev=console -device virtio-serial-pci -device virtserialport,chardev=results0,nr=1 " +
			"-device isa-serial,chardev=results1 " + kernel + "ttyS0" + strings.Replace(words, " a=b", " no_timer_check a=b", 1)},
		{QEMU{Arch: "arm64", Accel: TCG, Version: "7.2.22", Sandbox: true}, common + confined + "-accel tcg -machine virt -cpu max,pauth=off " + channel +
			"-serial chardev:console -device virtio-serial-pci -device virtserialport,chardev=results0,nr=1 " +
			"-device pci-serial,chardev=results1 " + kernel + "ttyAMA0" + words},
		{QEMU{Arch: "s390x", Accel: TCG, Version: "7.2.22"}, common + "-accel tcg -machine s390-ccw-virtio -cpu max " + channel +
			"-device sclpconsole,chardev=console -device virtio-serial-ccw -device virtserialport,chardev=results0,nr=1 " +
			kernel + "ttysclp0" + words},
	} {
		if got := strings.Join(c.q.args(m), " "); got != c.want {
			t.Errorf("%s, %s:\ngot  %s\nwant %s", c.q.Arch, c.q.Accel, got, c.want)
		}
	}
	q := QEMU{Arch: "x86_64", Version: "8.0.0"}
	if got := q.tcgCPU(); got != "max" {
		t.Errorf("QEMU 8.0 has processor %s", got)
	}
	for arch, want := range map[string][]string{
		"x86_64": {"/dev/vport0p1", "/dev/ttyS1"}, "arm64": {"/dev/vport0p1", "/dev/ttyS0"}, "s390x": {"/dev/vport0p1"},
	} {
		q := QEMU{Arch: arch}
		if got := q.Ports(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: ports %q, want %q", arch, got, want)
		}
	}
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{
		"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022 Fabrice Bellard": "7.2.22",
		"QEMU emulator version 8.2.0 (qemu-kvm-8.2.0-11.el9_4)\n":                                                 "8.2.0",
		"QEMU emulator version 10.0.2":                "10.0.2",
		"QEMU emulator version 9.1.50 (v9.1.0-1-g12)": "9.1.50",
		"QEMU emulator version 2.5":                   "2.5.0",
		"QEMU emulator version 7":                     "",
		"QEMU emulator version 7.2.1.4":               "",
		"QEMU emulator version 99999.1.1":             "",
		"qemu-img version 7.2.22":                     "",
		"\nQEMU emulator version 7.2.22":              "",
		"":                                            "",
	} {
		v, ok := parseVersion([]byte(said))
		if ok != (want != "") || ok && v.String() != want {
			t.Errorf("%q: %v, %v, want %q", said, v, ok, want)
		}
	}
}

func FuzzParseVersion(f *testing.F) {
	f.Add([]byte("QEMU emulator version 7.2.22 (Debian)"))
	f.Add([]byte("QEMU emulator version 2.5"))
	f.Fuzz(func(t *testing.T, said []byte) {
		v, ok := parseVersion(said)
		if !ok {
			if v != (version{}) {
				t.Errorf("no version, and %v", v)
			}
			return
		}
		again, ok := parseVersion([]byte("QEMU emulator version " + v.String()))
		if !ok || again != v || v.less(again) {
			t.Errorf("%q gives %v, which gives %v", said, v, again)
		}
	})
}

func TestVersionLess(t *testing.T) {
	t.Parallel()
	order := []version{{5, 2, 0}, {5, 10, 1}, {6, 0, 0}, {6, 0, 1}, {10, 0, 0}}
	for i, v := range order {
		for j, w := range order {
			if v.less(w) != (i < j) {
				t.Errorf("%v < %v is %v", v, w, v.less(w))
			}
		}
	}
}

// answers is a script that answers Find's questions. probe is what it does in the place of the guest of a probe.
func answers(version, probe string) string {
	return fmt.Sprintf(`
case "$*" in
*--version*) echo "QEMU emulator version %s" ;;
*help*) echo "Supported machines are:"; echo "pc  Standard PC"; echo "virt  ARM"; echo "s390-ccw-virtio  s390x" ;;
*-bios*) %s ;;
*) exit 7 ;;
esac`, version, probe)
}

func TestFind(t *testing.T) {
	t.Parallel()
	native, _ := kernels.Arch(runtime.GOARCH)
	foreign := "s390x"
	if native == foreign {
		foreign = "arm64"
	}
	device := filepath.Join(t.TempDir(), "kvm")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	good := "printf k; exit 0"
	if native == "x86_64" {
		good = "exit 85"
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	for _, c := range []struct {
		name, arch, script string
		opt                Options
		accel              Accel
		reason             string
		err, hint          string
	}{
		{name: "TCG asked for", arch: native, script: answers("7.2.1", good), opt: Options{Accel: TCG}, accel: TCG, reason: "TCG was asked for"},
		{name: "another architecture", arch: foreign, script: answers("7.2.1", good), accel: TCG, reason: "guests are " + foreign + ", this machine is " + native},
		{name: "KVM", arch: native, script: answers("7.2.1", good), opt: Options{kvm: device}, accel: KVM},
		{name: "KVM asked for", arch: native, script: answers("7.2.1", good), opt: Options{kvm: device, Accel: KVM}, accel: KVM},
		{name: "no device", arch: native, script: answers("7.2.1", good), opt: Options{kvm: nowhere}, accel: TCG, reason: "there is no " + nowhere},
		{name: "no device, KVM asked for", arch: native, script: answers("7.2.1", good), opt: Options{kvm: nowhere, Accel: KVM}, err: "no KVM: there is no ", hint: "TCG works everywhere"},
		{name: "hangs", arch: native, script: answers("7.2.1", "echo oh >&2; exec sleep 100"), opt: Options{kvm: device}, accel: TCG,
			reason: device + " opens, but a guest that counts to 50 million, some 20 ms of work, was not done in 3s: oh"},
		{name: "aborts", arch: native, script: answers("7.2.1", "echo failed to set MSR 0x10a >&2; kill -ABRT $$"), opt: Options{kvm: device}, accel: TCG,
			reason: device + " opens, but the probe's guest ended with signal: aborted: failed to set MSR 0x10a"},
		{name: "ends too early", arch: native, script: answers("7.2.1", "exit 0"), opt: Options{kvm: device}, accel: TCG, reason: "the probe's guest ended with "},
		{name: "another guest", arch: native, script: answers("7.2.1", good), opt: Options{Accel: "hvf"}, err: `no accelerator "hvf"`},
		{name: "unknown architecture", arch: "vax", err: `no guests of architecture "vax"`, hint: "x86_64, arm64 and s390x"},
		{name: "too old", arch: native, script: answers("5.2.0", good), err: "is QEMU 5.2.0, 6.0.0 or newer is needed", hint: "newer"},
		{name: "no QEMU", arch: native, script: "echo hello", err: `--version says "hello"`, hint: "is it a QEMU?"},
		{name: "fails", arch: native, script: "echo no library >&2; exit 127", err: "--version: exit status 127: no library"},
		{name: "missing", arch: native, opt: Options{Binary: nowhere}, err: "no such file or directory"},
		{name: "another board", arch: native, script: `case "$*" in *--version*) echo "QEMU emulator version 7.2.1";; *) echo "none  empty";; esac`, err: "has no machine", hint: "it is qemu-system-"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.opt.CacheDir = t.TempDir()
			if c.opt.Binary == "" && c.script != "" {
				c.opt.Binary = script(t, c.script)
			}
			q, err := Find(context.Background(), c.arch, c.opt)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want …%s…", err, c.err)
				}
				var h interface{ Hint() string }
				if c.hint != "" && (!errors.As(err, &h) || !strings.Contains(h.Hint(), c.hint)) {
					t.Errorf("%v: hint is not …%s…", err, c.hint)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if q.Accel != c.accel || !strings.HasPrefix(q.AccelReason, c.reason) && !strings.Contains(q.AccelReason, c.reason) || (q.AccelReason == "") != (c.reason == "") {
				t.Errorf("%s, %q, want %s, %q", q.Accel, q.AccelReason, c.accel, c.reason)
			}
			if q.Version != "7.2.1" || !q.Sandbox || q.Arch != c.arch {
				t.Errorf("%+v", q)
			}
		})
	}
}

// A QEMU without seccomp runs without its sandbox.
func TestNoSandbox(t *testing.T) {
	t.Parallel()
	q, err := Find(context.Background(), "s390x", Options{Accel: TCG, Binary: script(t, `
case "$*" in
*--version*) echo "QEMU emulator version 7.2.1" ;;
*-sandbox*) echo "-sandbox support is not enabled in this QEMU binary" >&2; exit 1 ;;
*help*) echo "s390-ccw-virtio  VirtIO-ccw based S390 machine" ;;
esac`)})
	if err != nil || q.Sandbox {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestFindInterrupted(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	if _, err := Find(ctx, "x86_64", Options{Binary: script(t, "exec sleep 100")}); err == nil {
		t.Error("no error")
	}
}

// What the probe said is remembered, for as long as it can be believed.
func TestProbeIsRemembered(t *testing.T) {
	t.Parallel()
	native, _ := kernels.Arch(runtime.GOARCH)
	if probes[native] == nil {
		t.Skip("there is no probe for this architecture")
	}
	device := filepath.Join(t.TempDir(), "kvm")
	if err := os.WriteFile(device, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	count := filepath.Join(t.TempDir(), "count")
	opt := Options{kvm: device, CacheDir: filepath.Join(t.TempDir(), "new", "folder"), Binary: script(t, answers("7.2.1", "echo >>"+count+"; exit 3"))}
	probed := func() int {
		if _, err := Find(context.Background(), native, opt); err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(count)
		return len(b)
	}
	if n := probed(); n != 1 {
		t.Fatalf("%d probes, want 1", n)
	}
	if n := probed(); n != 1 {
		t.Errorf("%d probes, want still 1", n)
	}
	files, err := filepath.Glob(filepath.Join(opt.CacheDir, "*"))
	if err != nil || len(files) != 1 {
		t.Fatalf("files %q, %v", files, err)
	}
	b, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	rewrite := func(f func(*remembered)) {
		var r remembered
		if err := json.Unmarshal(b, &r); err != nil {
			t.Fatal(err)
		}
		f(&r)
		changed, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(files[0], changed, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i, f := range []func(*remembered){
		func(r *remembered) { r.Time = r.Time.Add(-25 * time.Hour) },
		func(r *remembered) { r.Time = r.Time.Add(2 * time.Hour) },
		func(r *remembered) { r.Key += "x" },
		func(r *remembered) { r.Schema = "corecheck.kvm/v0" },
	} {
		rewrite(f)
		if n := probed(); n != i+2 {
			t.Errorf("change %d: %d probes, want %d", i, n, i+2)
		}
	}
	if err := os.WriteFile(files[0], []byte("{damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if n := probed(); n != 6 {
		t.Errorf("damaged: %d probes, want 6", n)
	}
	// A yes has no end while the host runs.
	rewrite(func(r *remembered) { r.Reason, r.Time = "", r.Time.Add(-1000*time.Hour) })
	q, err := Find(context.Background(), native, opt)
	if err != nil || q.Accel != KVM {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestOpenKVM(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "kvm")
	if err := os.WriteFile(file, nil, 0o400); err != nil {
		t.Fatal(err)
	}
	want := ""
	if os.Geteuid() != 0 {
		want = "is the user in the group kvm?"
	}
	if got := openKVM(file); !strings.Contains(got, want) || (got == "") != (want == "") {
		t.Errorf("%q, want …%s…", got, want)
	}
	if got := openKVM(file + "x"); !strings.Contains(got, "there is no ") {
		t.Errorf("%q", got)
	}
	if got := openKVM(dir); !strings.Contains(got, "is a directory") {
		t.Errorf("%q", got)
	}
}

// The probe's programs do under TCG what is expected of them, on any host.
func TestProbePrograms(t *testing.T) {
	t.Parallel()
	for arch, p := range probes {
		t.Run(arch, func(t *testing.T) {
			q, err := Find(context.Background(), arch, Options{Accel: TCG})
			if err != nil {
				t.Skip(err)
			}
			file := filepath.Join(t.TempDir(), "rom")
			if err := os.WriteFile(file, p.rom, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			defer cancel()
			out, said := &head{max: maxSaid}, &head{max: maxSaid}
			err = runAndWait(ctx, q.Binary, append(append(q.common(), "-bios", file), p.args...), out, said)
			status := 0
			var exit interface{ ExitCode() int }
			if errors.As(err, &exit) {
				status = exit.ExitCode()
			}
			if status != p.exit || out.String() != p.said {
				t.Errorf("%s: %v, %q, %s", arch, err, out, said)
			}
		})
	}
}

func TestInstall(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ goos, release, arch, want string }{
		{"linux", "NAME=x\nID=debian\n", "x86_64", "apt-get install qemu-system-x86"},
		{"linux", "ID=ubuntu\nID_LIKE=debian\n", "arm64", "apt-get install qemu-system-arm"},
		{"linux", "ID=debian\n", "s390x", "apt-get install qemu-system-s390x, or qemu-system-misc before Debian 13"},
		{"linux", "ID_LIKE=\"rhel centos fedora\"\nID=\"rocky\"\n", "x86_64", "dnf install qemu-kvm, which has guests of the host's architecture only"},
		{"linux", "ID=fedora\n", "arm64", "dnf install qemu-system-aarch64-core"},
		{"linux", "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n", "x86_64", "zypper install qemu-x86"},
		{"linux", "ID=arch\n", "s390x", "pacman -S qemu-system-s390x"},
		{"linux", "ID=alpine\n", "x86_64", "apk add qemu-system-x86_64"},
		{"linux", "", "x86_64", "install QEMU (package qemu-system-x86 in Debian), or name its file with --qemu"},
		{"darwin", "", "x86_64", "brew install qemu"},
	} {
		if got := install(c.goos, []byte(c.release), machines[c.arch]); got != c.want {
			t.Errorf("%s %q %s: %q, want %q", c.goos, c.release, c.arch, got, c.want)
		}
	}
}
