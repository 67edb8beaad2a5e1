//go:build linux

package vm

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The test binary is its own QEMU: started by a script that sets fakeEnv, it does what that names, with the descriptors
// that QEMU inherits. With parentEnv it is a corecheck that runs such a QEMU.
const (
	fakeEnv   = "CORECHECK_FAKE_QEMU"
	parentEnv = "CORECHECK_FAKE_PARENT"
)

func TestMain(m *testing.M) {
	if do := os.Getenv(fakeEnv); do != "" {
		fakeQEMU(do)
		os.Exit(0)
	}
	if script := os.Getenv(parentEnv); script != "" {
		q := &QEMU{Binary: script, Arch: "x86_64"}
		_, err := q.Run(context.Background(), Machine{Kernel: script, Initramfs: script, BootTimeout: time.Hour}, func(line []byte) error {
			fmt.Printf("%s\n", line)
			return nil
		})
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// fakeQEMU does the words of do, one after the other.
func fakeQEMU(do string) {
	console := os.NewFile(firstFD+consoleChannel, "console")
	results := os.NewFile(firstFD+serialChannel, "results")
	virtio := os.NewFile(firstFD+virtioChannel, "virtio")
	for word := range strings.FieldsSeq(do) {
		switch word {
		case "hello":
			fmt.Fprint(results, "hello\r\n")
		case "virtio":
			fmt.Fprint(virtio, "from virtio\n")
		case "half": // a line without an end
			fmt.Fprint(results, "half")
		case "pid":
			fmt.Fprintln(results, os.Getpid())
		case "child": // that holds the pipes, and does not end
			cmd := exec.Command("sleep", "1000")
			cmd.ExtraFiles = []*os.File{console, virtio, results}
			if err := cmd.Start(); err != nil {
				panic(err)
			}
			fmt.Fprintln(results, cmd.Process.Pid)
		case "off":
			fmt.Fprint(console, "[    1.000000] reboot: Power down\r\n")
		case "restart":
			fmt.Fprint(console, "[    1.000000] reboot: Restarting system\r\n")
		case "panic":
			fmt.Fprint(console, "[    1.000000] Kernel panic - not syncing: out of ideas\r\n")
		case "oops":
			fmt.Fprint(console, "[    1.000000] BUG: kernel NULL pointer dereference, address: 0\r\n[    1.0] RIP: 0010:bad+0x1/0x2\r\n")
		case "boot":
			fmt.Fprint(console, "[    0.000000] Linux version 6.1\r\n")
		case "flood":
			line := []byte(strings.Repeat("c", 99) + "\n")
			for range (MaxConsole + 1<<20) / 100 {
				console.Write(line)
			}
		case "longline":
			results.Write(bytes.Repeat([]byte("r"), MaxLine+1000))
			results.Write([]byte("\n"))
		case "lines":
			for i := range 100000 {
				fmt.Fprintln(results, i)
			}
		case "stderr":
			fmt.Fprintln(os.Stderr, "qemu: something is wrong")
		case "fail":
			os.Exit(1)
		case "segv":
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		case "hang":
			time.Sleep(time.Hour)
		case "wait":
			time.Sleep(300 * time.Millisecond)
		default:
			panic(word)
		}
	}
}

// script writes a program of sh.
func script(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "qemu")
	// Written by a program of its own: a child that another test forks meanwhile would hold the file open, which then
	// can't be run.
	cmd := exec.Command("sh", "-c", `cat >"$0" && chmod +x "$0"`, file)
	cmd.Stdin = strings.NewReader("#!/bin/sh\n" + text + "\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return file
}

// fake is a QEMU that does words.
func fake(t *testing.T, do string) *QEMU {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &QEMU{Binary: script(t, fmt.Sprintf("%s='%s' exec '%s'", fakeEnv, do, self)), Arch: "x86_64", Version: "9.0.0", Accel: TCG}
}

// gone waits for a process to end.
func gone(t *testing.T, pid string) {
	t.Helper()
	for range 200 {
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		// What nobody has waited for is still listed, as a zombie.
		if _, rest, _ := bytes.Cut(stat, []byte(") ")); err != nil || bytes.HasPrefix(rest, []byte("Z")) || bytes.HasPrefix(rest, []byte("X")) {
			return
		}
		time.Sleep(50 * time.Millisecond)
	}
	t.Errorf("process %s is still there", pid)
}
