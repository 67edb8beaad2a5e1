// Package vm boots kernels in QEMU and hands back what their guests say.
//
// A guest has a kernel, an initramfs, memory, processors, a console and a port for results; no disk, no network, no
// file of the host, and no way in: console and results lead out only. What runs in it is untrusted. QEMU runs as the
// user who runs corecheck, needs no privileges, and where it was built with seccomp it gives up what it does not need
// of the host's kernel, starting programs above all ("-sandbox" in its manual). What a guest writes is bounded: a
// console's log by MaxConsole, a line of results by MaxLine, all of it by the time that a run may take.
//
// No process outlives corecheck: a run that is ended kills QEMU's process group, and if corecheck itself is killed,
// Linux kills QEMU (PR_SET_PDEATHSIG of prctl(2)); elsewhere QEMU then lasts until its guest is done. Results and
// console come through pipes, which are no files that could be left behind.
package vm

import "time"

// Options say which QEMU is used, and how.
type Options struct {
	Binary   string // of QEMU, "" for the one in PATH that the guest's architecture needs
	CacheDir string // where the result of the probe of KVM is kept, "" for corecheck's folder in the user's cache
	Accel    Accel  // "" for KVM where a probe proves it, else TCG

	kvm string // for tests: in the place of /dev/kvm
}

// Accel is how QEMU runs a guest's instructions.
type Accel string

// The accelerators.
const (
	KVM Accel = "kvm" // on the processor itself
	TCG Accel = "tcg" // translated: works everywhere
)

// QEMU is a QEMU that was found for one architecture of guests.
type QEMU struct {
	Binary      string
	Version     string // as it says: "7.2.22"
	Arch        string // of its guests, in BTFHub's names
	Accel       Accel
	AccelReason string // why TCG is used and not KVM, for people; "" with KVM
	Sandbox     bool   // it was built with seccomp, and confines itself
}

// Machine is a guest to boot.
type Machine struct {
	Kernel    string   // boot image, as the distribution ships it
	Initramfs string   // cpio archive
	Append    []string // kernel parameters beside those that the machine needs
	MemoryMB  int      // 0: 1024
	CPUs      int      // 0: 1
	Console   string   // file for the console's log, "" for none; replaced, and at most a line longer than MaxConsole

	BootTimeout time.Duration // from start to the first line of results; 0: 60 s
	// Silence is the longest time without a line after the first: nil or 0 is no limit. It is asked after each line, and from
	// another goroutine than that of line.
	Silence func() time.Duration
	Timeout time.Duration // of the whole run; 0: no limit
}

// MaxConsole is how much of a console's log is kept, in bytes. What comes after it is read, looked through and dropped.
const MaxConsole = 16 << 20

// MaxLine is the longest line of results, in bytes. What a line has beyond it is dropped, and Outcome.LongLines counts
// it.
const MaxLine = 1 << 20

// Ended says how a guest's run ended.
type Ended string

// The ends.
const (
	PowerOff    Ended = "poweroff"     // the guest switched itself off
	Panic       Ended = "panic"        // the kernel panicked
	Reset       Ended = "reset"        // the guest restarted: a program asked for it, or x86 had a triple fault
	BootTimeout Ended = "boot timeout" // no line within Machine.BootTimeout
	Silent      Ended = "silent"       // no line for Machine.Silence
	Timeout     Ended = "timeout"      // longer than Machine.Timeout
	Crashed     Ended = "crashed"      // QEMU was killed by a signal, or gave up on the guest
	Stopped     Ended = "stopped"      // the line function wanted no more
)

// Outcome is what became of a guest.
type Outcome struct {
	Ended       Ended
	Boot        time.Duration // from start to the first line; 0 if none came
	Ran         time.Duration // from start to end
	Lines       int           // of results
	LongLines   int           // that were longer than MaxLine, and cut
	ConsoleTail []string      // the last lines of the console, each at most 512 bytes, as the guest wrote them
	ConsoleCut  bool          // the console had more than MaxConsole bytes
	Oops        []string      // lines of the console at which the kernel reported a fault of its own, the first 64
	Detail      string        // for people: what Ended does not say
}
