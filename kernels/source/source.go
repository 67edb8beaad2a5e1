package source

import "github.com/corecheck/corecheck/kernels/archive"

// Options say what to read of kernels, and what the caller knows better than the files.
type Options struct {
	// Modules are those that are read. The zero filter takes all.
	Modules ModuleFilter
	// ID is the kernel's ID, distro/release/arch/uname. It counts for everything that is read with these options, so that only one
	// kernel may come out; raw BTF that lies in no BTFHub folder needs one.
	ID string
	// Distro and Release are the first two parts of IDs where the caller knows them, as from a repository's index.
	Distro, Release string
	// Version is the upstream version where the caller knows it; it counts as a package's.
	Version string
	// NotGiven is what has become of the packages that are missed, as the end of the sentence "package linux-modules-… …".
	// "" is "was not given".
	NotGiven string
	// Progress, where not nil, is told how far reading came. Read calls it from several goroutines, but never at once.
	Progress func(Event)
}

// Event tells how far one input was read.
type Event struct {
	Name string // of the input, as in errors
	Read int64  // bytes of it so far
	Size int64  // bytes in all, -1 where that is not known
	Done bool   // no more of it will be read; Read may be less than Size then
	Err  error  // why it could not be read, with Done
}

// Part is what one input says of kernels; [Join] makes builds of parts. It holds the BTF of images and of modules, and
// nothing else of size.
type Part struct {
	Source archive.Source
	// Kind is "deb", "rpm", "image", "modules", "config" or "btf".
	Kind string
	// Package and Version are the package's: "linux-modules-6.19.14+deb13-amd64", "6.19.14-1". "" for what is none.
	Package, Version string
	// Read is how many bytes were read of the input, and Expanded how many came out of the outermost compression.
	Read, Expanded int64

	pieces []*piece
}
