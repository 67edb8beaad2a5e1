package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A device file that opens says little. On hosts that are guests themselves KVM may be there without the processor's
// help, and run real mode, but then stop or crawl where a kernel begins to work. So a program of a few instructions
// decides: it goes the way that a kernel goes, up to paging, counts to 50 million, and ends QEMU in a way that nothing
// else would. A processor needs 20 ms for it, TCG 100 ms.

// probeTime is how long the probe may take, QEMU's own start included.
const probeTime = 3 * time.Second

// probeValid is how long a "no" of the probe is believed: the machine may have been too busy.
const probeValid = 24 * time.Hour

// A probe is a program in the place of a machine's firmware.
type probe struct {
	rom  []byte
	args []string // beside common and "-bios"
	exit int      // status with which QEMU ends if the program got to its end
	said string   // what is on stdout then
}

// probes by architecture. s390x has no firmware to put a program in the place of.
var probes = map[string]*probe{
	"x86_64": {
		rom:  biosROM(x86Code),
		args: []string{"-m", "16M", "-device", "isa-debug-exit,iobase=0xf4,iosize=1"},
		exit: 42<<1 | 1, // debug_exit_write() in QEMU's hw/misc/debugexit.c
	},
	"arm64": {rom: armCode, args: []string{"-m", "16M", "-serial", "stdio"}, said: "k"},
}

// x86Code is at F000:0000. It makes three page tables that map the first 2 MB to themselves, enters long mode (Intel
// SDM volume 3, 11.8.5 "Initializing IA-32e Mode"), counts, and writes 42 to the port of isa-debug-exit.
var x86Code = []byte{
	0xfa,       // cli
	0x31, 0xc0, // xor ax, ax
	0x8e, 0xd8, // mov ds, ax
	0x8e, 0xc0, // mov es, ax
	0xbf, 0x00, 0x10, // mov di, 0x1000
	0xb9, 0x00, 0x18, // mov cx, 3*4096/2
	0xfc,       // cld
	0xf3, 0xab, // rep stosw
	0xc7, 0x06, 0x00, 0x10, 0x03, 0x20, // mov word [0x1000], 0x2003: PML4, present, writable
	0xc7, 0x06, 0x00, 0x20, 0x03, 0x30, // mov word [0x2000], 0x3003: directory pointers
	0xc7, 0x06, 0x00, 0x30, 0x83, 0x00, // mov word [0x3000], 0x0083: directory, a page of 2 MB
	0x66, 0xb8, 0x00, 0x10, 0x00, 0x00, // mov eax, 0x1000
	0x0f, 0x22, 0xd8, // mov cr3, eax
	0x66, 0xb8, 0x20, 0x00, 0x00, 0x00, // mov eax, CR4.PAE
	0x0f, 0x22, 0xe0, // mov cr4, eax
	0x66, 0xb9, 0x80, 0x00, 0x00, 0xc0, // mov ecx, IA32_EFER
	0x0f, 0x32, // rdmsr
	0x66, 0x0d, 0x00, 0x01, 0x00, 0x00, // or eax, EFER.LME
	0x0f, 0x30, // wrmsr
	0x2e, 0x66, 0x0f, 0x01, 0x16, 0x80, 0x00, // lgdt cs:[0x80]
	0x0f, 0x20, 0xc0, // mov eax, cr0
	0x66, 0x0d, 0x01, 0x00, 0x00, 0x80, // or eax, CR0.PE|CR0.PG
	0x0f, 0x22, 0xc0, // mov cr0, eax
	0x66, 0xea, 0x5f, 0x00, 0x0f, 0x00, 0x08, 0x00, // jmp 8:0xf005f, the next instruction
	// 0x5f, 64 bits
	0xb9, 0x80, 0xf0, 0xfa, 0x02, // mov ecx, 50000000
	0xff, 0xc9, // dec ecx
	0x75, 0xfc, // jnz -4
	0xb0, 42, // mov al, 42
	0xe6, 0xf4, // out 0xf4, al
	0xf4,       // hlt
	0xeb, 0xfd, // jmp -3
	0x90,
	// 0x70, descriptors: none, code of 64 bits
	0, 0, 0, 0, 0, 0, 0, 0,
	0, 0, 0, 0, 0, 0x9a, 0x20, 0,
	// 0x80, their table
	0x0f, 0x00, 0x70, 0x00, 0x0f, 0x00,
}

// biosROM puts code into the 64 KB below 1 MB. A processor starts at their last 16 bytes.
func biosROM(code []byte) []byte {
	rom := bytes.Repeat([]byte{0xf4}, 64<<10) // hlt
	copy(rom, code)
	copy(rom[0xfff0:], []byte{0xea, 0x00, 0x00, 0x00, 0xf0}) // jmp 0xf000:0
	return rom
}

// armCode is at 0, where QEMU's "virt" starts. It counts, writes "k" to the UART (hw/arm/virt.c: VIRT_UART at
// 0x09000000) and asks PSCI for SYSTEM_OFF (Arm DEN0022, function 0x84000008).
var armCode = []byte{
	0x01, 0x10, 0x9e, 0xd2, // mov x1, #0xf080
	0x41, 0x5f, 0xa0, 0xf2, // movk x1, #0x2fa, lsl #16
	0x21, 0x04, 0x00, 0xf1, // subs x1, x1, #1
	0xe1, 0xff, 0xff, 0x54, // b.ne -4
	0x02, 0x20, 0xa1, 0xd2, // mov x2, #0x9000000
	0x63, 0x0d, 0x80, 0x52, // mov w3, #'k'
	0x43, 0x00, 0x00, 0xb9, // str w3, [x2]
	0x00, 0x01, 0x80, 0xd2, // mov x0, #8
	0x00, 0x80, 0xb0, 0xf2, // movk x0, #0x8400, lsl #16
	0x02, 0x00, 0x00, 0xd4, // hvc #0
	0x00, 0x00, 0x00, 0x14, // b 0
}

// kvmDevice is what QEMU opens for KVM.
const kvmDevice = "/dev/kvm"

// whyNotKVM says why KVM is not for guests of q, "" if it is. Errors are for probes that could not be made.
func (q *QEMU) whyNotKVM(ctx context.Context, host, cacheDir, device string) (string, error) {
	switch {
	case q.Arch != host:
		return fmt.Sprintf("guests are %s, this machine is %s", q.Arch, host), nil
	case runtime.GOOS != "linux":
		return "KVM is a part of Linux", nil
	case probes[q.Arch] == nil:
		return "there is no way yet to probe KVM on " + q.Arch, nil
	}
	if reason := openKVM(device); reason != "" {
		return reason, nil
	}
	memory := openMemory(cacheDir, q)
	if answer, ok := memory.recall(); ok {
		return answer, nil
	}
	reason, err := q.tryKVM(ctx, device)
	if err != nil {
		return "", err
	}
	memory.keep(reason)
	return reason, nil
}

// openKVM says why KVM's device can't be opened.
func openKVM(device string) string {
	f, err := os.OpenFile(device, os.O_RDWR, 0)
	switch {
	case err == nil:
		f.Close()
		return ""
	case errors.Is(err, fs.ErrNotExist):
		return "there is no " + device + ": the processor's virtualisation is off, or this machine is a guest without it"
	case errors.Is(err, fs.ErrPermission):
		return "no permission to open " + device + ": is the user in the group kvm?"
	}
	return err.Error()
}

// tryKVM runs the probe.
func (q *QEMU) tryKVM(ctx context.Context, device string) (reason string, err error) {
	p := probes[q.Arch]
	dir, err := os.MkdirTemp("", "corecheck-probe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	rom := filepath.Join(dir, "rom")
	if err := os.WriteFile(rom, p.rom, 0o600); err != nil {
		return "", err
	}
	guest := *q
	guest.Accel = KVM
	out, said := &head{max: maxSaid}, &head{max: maxSaid}
	timed, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	err = runAndWait(timed, q.Binary, append(append(guest.common(), "-bios", rom), p.args...), out, said)
	var exit interface{ ExitCode() int }
	status := 0
	if errors.As(err, &exit) {
		status = exit.ExitCode()
	}
	tail := because(said.Bytes())
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case couldNotStart(err):
		return "", fmt.Errorf("%s: %w", q.Binary, err)
	case timed.Err() != nil:
		return fmt.Sprintf("%s opens, but a guest that counts to 50 million, some 20 ms of work, was not done in %v%s",
			device, probeTime, tail), nil
	case status == p.exit && strings.HasPrefix(out.String(), p.said):
		return "", nil
	}
	return fmt.Sprintf("%s opens, but the probe's guest ended with %s%s", device, exitText(err), tail), nil
}

// memory keeps the probe's answer, in a file. What is wrong with the file costs a probe and nothing else, so no error
// of it is reported.
type memory struct {
	file, key string
	now       func() time.Time
}

// remembered is the file's content.
type remembered struct {
	Schema string    `json:"schema"` // memorySchema
	Key    string    `json:"key"`    // QEMU, boot and device that it is for
	Reason string    `json:"reason"` // why not KVM, "" for KVM
	Time   time.Time `json:"time"`
}

const memorySchema = "corecheck.kvm/v1"

// openMemory returns where the answer for q is kept. It holds for this boot of the host, which stands for its kernel
// too, and for one QEMU; nothing is kept where the boot has no name or there is no folder.
func openMemory(cacheDir string, q *QEMU) *memory {
	m := &memory{now: time.Now}
	if cacheDir == "" {
		base, err := os.UserCacheDir()
		if err != nil {
			return m
		}
		cacheDir = filepath.Join(base, "corecheck")
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return m
	}
	m.file = filepath.Join(cacheDir, "kvm-"+q.Arch+".json")
	m.key = strings.Join([]string{strings.TrimSpace(string(boot)), q.Binary, q.Version, fmt.Sprint(q.Sandbox)}, " ")
	return m
}

func (m *memory) recall() (reason string, ok bool) {
	if m.file == "" {
		return "", false
	}
	f, err := os.Open(m.file)
	if err != nil {
		return "", false
	}
	defer f.Close()
	var r remembered
	b := make([]byte, maxSaid)
	n, _ := f.Read(b)
	if json.Unmarshal(b[:n], &r) != nil || r.Schema != memorySchema || r.Key != m.key {
		return "", false
	}
	age := m.now().Sub(r.Time)
	if r.Reason != "" && (age < 0 || age > probeValid) {
		return "", false
	}
	return r.Reason, true
}

func (m *memory) keep(reason string) {
	if m.file == "" || os.MkdirAll(filepath.Dir(m.file), 0o755) != nil {
		return
	}
	b, err := json.Marshal(remembered{memorySchema, m.key, reason, m.now().UTC()})
	if err != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(m.file), ".kvm-")
	if err != nil {
		return
	}
	_, err = f.Write(append(b, '\n'))
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), m.file)
	}
	if err != nil {
		os.Remove(f.Name())
	}
}
