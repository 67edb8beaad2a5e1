// Package relocate reads compiled BPF objects and all that they need of a kernel, and resolves CO-RE relocations as
// libbpf does.
package relocate
