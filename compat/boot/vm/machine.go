package vm

import (
	"fmt"
	"strconv"
	"strings"
)

// machine is how guests of an architecture are built.
//
// Debian's kernels boot in the same time on pc and on q35; microvm has one serial port only. The processor "max" has
// all that QEMU can do: programs of users in the guest may be built for x86-64-v3, and on arm64 atomic instructions in
// BPF arenas need LSE. Pointer authentication of arm64 is off: emulating it took a fifth of the time, and neither
// loading nor attaching asks for it.
//
// Results go through virtio where the kernel has the drivers, at some 50 MB/s: Debian's have them built in from 6.12
// on, and as modules before. Through a serial port it is 200 to 500 KB/s under TCG, where each byte is a way through
// QEMU. Both are there and lead to the same place; the guest takes the first that it can open. s390x has nothing like a
// serial port: the lines of its second console (sclplmconsole) are broken after 320 characters, and the firmware writes
// to it as well.
type machine struct {
	binary string // of QEMU
	tcg    string // machine type
	kvm    string
	tcgCPU string
	virtio string // device that virtserialport is on
	// Device options of the console and of the serial port, up to the chardev's name; their names in the guest. "" for
	// none.
	console, serial         string
	consoleTTY, serialPort  string
	parameters              string            // of the kernel
	packages                map[string]string // with the binary, by ID of os-release(5)
	resetsWithoutKernelWord bool              // a fault can restart the machine without a word of the kernel
}

var machines = map[string]*machine{
	"x86_64": {
		binary: "qemu-system-x86_64", tcg: "pc,usb=off,vmport=off", kvm: "pc,usb=off,vmport=off", tcgCPU: "max",
		virtio: "virtio-serial-pci", console: "isa-serial,chardev=", serial: "isa-serial,chardev=",
		consoleTTY: "ttyS0", serialPort: "/dev/ttyS1",
		// The kernel waits for some ticks of a timer and panics where they don't come in time, as on a busy host
		// (timer_irq_works() in arch/x86/kernel/apic/io_apic.c of Linux v6.12): 1 of 40 boots did. Under KVM it trusts
		// it.
		parameters: "no_timer_check",
		packages: map[string]string{
			"debian": "qemu-system-x86", "fedora": "qemu-system-x86-core", "rhel": "qemu-kvm", "suse": "qemu-x86",
			"arch": "qemu-system-x86", "alpine": "qemu-system-x86_64",
		},
		resetsWithoutKernelWord: true,
	},
	"arm64": {
		// The interrupt controller of a guest under KVM is that of the host.
		binary: "qemu-system-aarch64", tcg: "virt", kvm: "virt,gic-version=host", tcgCPU: "max,pauth=off",
		virtio: "virtio-serial-pci", console: "", serial: "pci-serial,chardev=",
		consoleTTY: "ttyAMA0", serialPort: "/dev/ttyS0",
		packages: map[string]string{
			"debian": "qemu-system-arm", "fedora": "qemu-system-aarch64-core", "rhel": "qemu-kvm", "suse": "qemu-arm",
			"arch": "qemu-system-aarch64", "alpine": "qemu-system-aarch64",
		},
	},
	"s390x": {
		binary: "qemu-system-s390x", tcg: "s390-ccw-virtio", kvm: "s390-ccw-virtio", tcgCPU: "max",
		virtio: "virtio-serial-ccw", console: "sclpconsole,chardev=",
		consoleTTY: "ttysclp0",
		packages: map[string]string{
			"debian": "qemu-system-misc", // qemu-system-s390x from Debian 13 on, which misc then depends on or lacks
			"fedora": "qemu-system-s390x-core", "rhel": "qemu-kvm", "suse": "qemu-s390x",
			"arch": "qemu-system-s390x", "alpine": "qemu-system-s390x",
		},
	},
}

// virtioPort is the device file of the first port of a virtio console (drivers/char/virtio_console.c of Linux).
const virtioPort = "/dev/vport0p1"

// sandbox gives up system calls that QEMU does not need for such a guest: those that only old libraries use, gaining
// privileges, starting programs, and changing its own limits and priority. "-sandbox" in QEMU's manual.
const sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"

// parameters are what every kernel gets beside its console. None changes what the kernel says to a BPF program;
// mitigations=off, which saves nothing, would (bpf_bypass_spec_v1() in include/linux/bpf.h of Linux v6.12).
var parameters = []string{
	"quiet", "loglevel=6", // of what the boot tells, notices and worse: which kernel it is among them
	"panic=-1",                 // restart at once, which -no-reboot makes an exit of QEMU
	"rcupdate.rcu_expedited=1", // detaching waits for grace periods
	"cryptomgr.notests",        // saves a fifth of a boot
	"printk.time=1",            // where it is not the default, so that console logs look the same
}

// channels is the number of pipes out of a guest: its console, and the ports of results.
const (
	consoleChannel = iota
	virtioChannel
	serialChannel
	channels
)

// firstFD is the descriptor that a child's first extra file has: os/exec.
const firstFD = 3

// Ports lists the device files in the guest that lead to the line function of Run, the best first.
func (q *QEMU) Ports() []string {
	ports := []string{virtioPort}
	if port := machines[q.Arch].serialPort; port != "" {
		ports = append(ports, port)
	}
	return ports
}

// common are the options that every run of QEMU has here, the probe's too.
func (q *QEMU) common() []string {
	m := machines[q.Arch]
	args := []string{"-nodefaults", "-no-user-config", "-display", "none", "-monitor", "none", "-nic", "none", "-no-reboot"}
	if q.Sandbox {
		args = append(args, "-sandbox", sandbox)
	}
	if q.Accel == KVM {
		return append(args, "-accel", "kvm", "-machine", m.kvm, "-cpu", "host")
	}
	return append(args, "-accel", "tcg", "-machine", m.tcg, "-cpu", q.tcgCPU())
}

// tcgCPU is the processor of guests under TCG.
//
// The cmpxchg16b of QEMU 7.2 leaves nonsense in the flags at random, and the kernel's allocator of memory lives on that
// instruction: 4 of 40 boots of Debian's 6.12 ended in a double fault or a corrupt list, none of 40 without the
// instruction, and none of 40 with QEMU 10.0; 8.0 has it written anew. A program that was built for x86-64-v2 may
// refuse to start without it, which its user can see; a kernel that dies cannot be told from one that the object has
// killed.
func (q *QEMU) tcgCPU() string {
	cpu := machines[q.Arch].tcgCPU
	if v, ok := parseVersion([]byte("QEMU emulator version " + q.Version)); q.Arch == "x86_64" && ok && v.less(version{8, 0, 0}) {
		cpu += ",-cx16"
	}
	return cpu
}

// args are QEMU's arguments for a guest. Its channels are pipes that QEMU inherits from firstFD on, in their order: it
// opens them out of sets of descriptors ("-add-fd" in its manual), and for writing only.
func (q *QEMU) args(m *Machine) []string {
	arch := machines[q.Arch]
	args := append(q.common(), "-m", strconv.Itoa(m.MemoryMB)+"M", "-smp", strconv.Itoa(m.CPUs))
	for i, name := range []string{consoleChannel: "console", virtioChannel: "results0", serialChannel: "results1"} {
		args = append(args,
			"-add-fd", fmt.Sprintf("fd=%d,set=%d", firstFD+i, i+1),
			// Without append QEMU would truncate it, which a pipe can't be.
			"-chardev", fmt.Sprintf("file,id=%s,path=/dev/fdset/%d,append=on", name, i+1))
	}
	if arch.console != "" {
		args = append(args, "-device", arch.console+"console")
	} else { // the UART of arm64's virt is part of the board
		args = append(args, "-serial", "chardev:console")
	}
	args = append(args, "-device", arch.virtio, "-device", "virtserialport,chardev=results0,nr=1")
	if arch.serial != "" {
		args = append(args, "-device", arch.serial+"results1")
	}
	words := append([]string{"console=" + arch.consoleTTY}, parameters...)
	if arch.parameters != "" {
		words = append(words, arch.parameters)
	}
	words = append(words, m.Append...)
	return append(args, "-kernel", m.Kernel, "-initrd", m.Initramfs, "-append", strings.Join(words, " "))
}
