// Package vm boots kernels in QEMU and hands back what their guests say.
package vm

import (
	"context"
	"errors"
	"time"
)

// Options say which QEMU is used, and how.
type Options struct {
	Binary   string // of QEMU, "" for the one in PATH that the guest's architecture needs
	CacheDir string // where the result of the probe of KVM is kept, "" for corecheck's folder in the user's cache
	Accel    Accel  // "" for KVM where a probe proves it, else TCG
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
}

// Find looks for the QEMU that runs guests of an architecture (x86_64, arm64, s390x), and decides how it runs them.
func Find(ctx context.Context, arch string, opt Options) (*QEMU, error) {
	return nil, errors.New("not there yet")
}

// Machine is a guest to boot.
type Machine struct {
	Kernel    string   // boot image, as the distribution ships it
	Initramfs string   // cpio archive
	Append    []string // kernel parameters beside those that the machine needs
	MemoryMB  int      // 0: 1024
	CPUs      int      // 0: 1
	Console   string   // file for the console's log, "" for none; written from its start, at most MaxConsole bytes

	BootTimeout time.Duration // from start to the first line of results; 0: 60 s
	Silence     time.Duration // longest time without a line after the first; 0: no limit
	Timeout     time.Duration // of the whole run; 0: no limit
}

// MaxConsole is how much of a console's log is kept, in bytes. What comes after it is read and dropped.
const MaxConsole = 16 << 20

// MaxLine is the longest line of results, in bytes. What a line has beyond it is dropped, and Outcome.LongLines counts it.
const MaxLine = 1 << 20

// Ended says how a guest's run ended.
type Ended string

// The ends.
const (
	PowerOff    Ended = "poweroff"     // the guest switched itself off
	Panic       Ended = "panic"        // the kernel panicked
	Reset       Ended = "reset"        // the guest restarted without a word: a triple fault, or a program that asked for it
	BootTimeout Ended = "boot timeout" // no line within Machine.BootTimeout
	Silent      Ended = "silent"       // no line for Machine.Silence
	Timeout     Ended = "timeout"      // longer than Machine.Timeout
	Crashed     Ended = "crashed"      // QEMU was killed by a signal, or gave up on the guest
)

// Outcome is what became of a guest.
type Outcome struct {
	Ended       Ended
	Boot        time.Duration // from start to the first line; 0 if none came
	Ran         time.Duration // from start to end
	Lines       int           // of results
	LongLines   int           // that were longer than MaxLine, and cut
	ConsoleTail []string      // the last lines of the console
	ConsoleCut  bool          // the console had more than MaxConsole bytes
	Oops        []string      // lines of the console at which the kernel reported a fault of its own
	Detail      string        // for people: what Ended does not say
}

// Err is nil for a guest that switched itself off, else a sentence with the last lines of the console.
func (o *Outcome) Err() error { return nil }

// Ports lists the device files in the guest that lead to the line function of Run, the best first.
func (q *QEMU) Ports() []string { return nil }

// Run boots a machine, and calls line with each line of results, without its end; the bytes are line's for the call only. It
// returns when the guest has ended. An error of line ends the guest and is returned. Errors are for runs that say
// nothing of the kernel: ctx ended, QEMU could not be started or refused the machine, the console's file could not be written.
// Outcome is nil then.
func (q *QEMU) Run(ctx context.Context, m Machine, line func([]byte) error) (*Outcome, error) {
	return nil, errors.New("not there yet")
}

// Slots is how many guests of memoryMB megabytes can run at once: by processors and free memory, at least 1.
func Slots(memoryMB int) int { return 1 }
