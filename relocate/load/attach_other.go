//go:build !linux

package load

import (
	"io"

	"github.com/corecheck/corecheck/relocate"
)

func (l *Loaded) attach(*Program) (io.Closer, error) {
	return nil, notAttachable("programs are attached on Linux only")
}

func (l *Loaded) attachStructOps(*relocate.Map) (io.Closer, error) {
	return nil, notAttachable("struct_ops maps are attached on Linux only")
}
