//go:build linux

// Init is what the tests of package vm boot: it says hello, does what the kernel's command line asks for (vm.do=WORDS), and
// switches the machine off.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"
)

func main() {
	defer syscall.Reboot(syscall.LINUX_REBOOT_CMD_POWER_OFF)
	for _, fs := range []string{"devtmpfs:/dev", "proc:/proc", "sysfs:/sys"} {
		kind, dir, _ := strings.Cut(fs, ":")
		_ = os.MkdirAll(dir, 0o755)
		if err := syscall.Mount(kind, dir, kind, 0, ""); err != nil {
			fmt.Println(fs, err)
		}
	}
	cmdline, _ := os.ReadFile("/proc/cmdline")
	do, ports := "", []string(nil)
	for _, word := range strings.Fields(string(cmdline)) {
		if v, ok := strings.CutPrefix(word, "vm.do="); ok {
			do = v
		}
		if v, ok := strings.CutPrefix(word, "vm.ports="); ok {
			ports = strings.Split(v, ",")
		}
	}
	port := open(ports)
	if port == nil {
		fmt.Println("no port among", ports)
		return
	}
	version, _ := os.ReadFile("/proc/version")
	fmt.Fprintf(port, "hello %s %s\n", port.Name(), bytes.TrimSpace(version))
	word, arg, _ := strings.Cut(do, ":")
	n, _ := strconv.Atoi(arg)
	switch word {
	case "write": // n KB
		line := append(bytes.Repeat([]byte("x"), 1023), '\n')
		begin := time.Now()
		for range n {
			if _, err := port.Write(line); err != nil {
				fmt.Println(err)
			}
		}
		fmt.Fprintf(port, "wrote %.0f KB/s\n", float64(n)/time.Since(begin).Seconds())
	case "panic":
		_ = os.WriteFile("/proc/sysrq-trigger", []byte("c"), 0)
		time.Sleep(time.Minute)
	case "reboot":
		_ = syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
	case "sleep":
		time.Sleep(time.Hour)
	case "exit": // of init: the kernel panics
		os.Exit(3)
	}
	fmt.Fprintln(port, "bye")
	_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, port.Fd(), 0x5409, 1) // TCSBRK: wait until it is written
}

// open opens the first port that there is, and has it pass bytes as they are.
func open(ports []string) *os.File {
	for range 100 {
		for _, name := range ports {
			f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOCTTY, 0)
			if err != nil {
				continue
			}
			var t syscall.Termios
			if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), 0x5401, uintptr(unsafe.Pointer(&t))); e == 0 { // TCGETS
				t.Oflag, t.Lflag, t.Iflag = 0, 0, 0
				_, _, _ = syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), 0x5402, uintptr(unsafe.Pointer(&t))) // TCSETS
			}
			return f
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}
