// Package kernels holds the kernels that are asked: the embedded ones, BTF files and folders given by the user, the
// running kernel; the ranges that select among them, and what a range asks for that is not there.
package kernels

import (
	"github.com/corecheck/corecheck/btfinfo"
)

// Kernel is one build: distro, release, arch and uname -r.
type Kernel struct {
	ID      string  // "debian/12/x86_64/6.1.0-50-cloud-amd64"
	Distro  string  // "debian"
	Release string  // "12"
	Arch    string  // in BTFHub's names: "x86_64", "arm64", "s390x"
	Uname   string  // "6.1.0-50-cloud-amd64"
	Version Version // upstream: 6.1.176
	Package string  // name and version of the package it came from, "" where unknown
	Source  string  // where its BTF is read from, for people: "embedded", a path, "/sys/kernel/btf/vmlinux"

	load func() (*btfinfo.BTF, []Module, error)
}

// Module is the split BTF of one module of a kernel.
type Module struct {
	Name string
	BTF  *btfinfo.BTF
}

// Facts lists what is known of the kernel: "btf", later "symbols", "tracepoints", "config".
func (k *Kernel) Facts() []string { return []string{"btf"} }

// Load reads the kernel's BTF. It is read anew at each call; keep the result where it is asked more than once.
func (k *Kernel) Load() (*btfinfo.BTF, []Module, error) { return k.load() }
