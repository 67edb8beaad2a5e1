package kernels

import "errors"

// Sources says where kernels are taken from.
type Sources struct {
	Paths    []string // files and folders: see FromPath
	Archives []string // archive files: see Archives
	Embedded bool     // the embedded ones
	Host     bool     // the running one: see Host
}

// Kernels returns the kernels of all sources, sorted, each ID once: a kernel of a path stands before the running one of
// the same ID, that before those of archives, in the order in which these are named, and those before an embedded one.
//
// What could not be read is returned as FileErrors beside the kernels that could. Any other error comes without
// kernels.
func (s Sources) Kernels() ([]*Kernel, error) {
	var problems FileErrors
	note := func(err error) {
		var several FileErrors
		if errors.As(err, &several) {
			problems = append(problems, several...)
		} else if err != nil {
			problems = append(problems, err)
		}
	}
	var paths, host, own []*Kernel
	var lists [][]*Kernel
	for _, p := range s.Paths {
		found, err := FromPath(p)
		note(err)
		paths = append(paths, found...)
	}
	if s.Host {
		k, err := Host()
		note(err)
		if k != nil {
			host = append(host, k)
		}
	}
	for _, path := range s.Archives {
		found, err := FromArchiveFile(path)
		note(err)
		lists = append(lists, found)
	}
	if s.Embedded {
		var err error
		if own, err = Embedded(); err != nil {
			return nil, err
		}
	}
	lists = append([][]*Kernel{distinct(paths), host}, append(lists, own)...)
	return Union(lists...), problems.asError()
}
