//go:build !linux

package load

import (
	"errors"
	"fmt"
	"runtime"

	"github.com/corecheck/corecheck/relocate"
)

// Host returns the running kernel. It needs Linux.
func Host() (*Kernel, error) {
	return nil, fmt.Errorf("%s has no BPF objects to load: %w", runtime.GOOS, errors.ErrUnsupported)
}

// Load loads an object. It needs Linux.
func Load(obj *relocate.Object, k *Kernel, opt Options) (*Loaded, error) {
	return nil, &Error{Stage: StageOpen, Msg: runtime.GOOS + " has no BPF", Cause: errors.ErrUnsupported}
}

// Session loads one object several times. It needs Linux.
type Session struct {
	obj *relocate.Object
	k   *Kernel
}

// NewSession returns a session that has loaded nothing yet.
func NewSession(obj *relocate.Object, k *Kernel) *Session { return &Session{obj: obj, k: k} }

// Load fails.
func (s *Session) Load(opt Options) (*Loaded, error) { return Load(s.obj, s.k, opt) }

// Close does nothing.
func (s *Session) Close() error { return nil }

// Close does nothing: nothing is ever loaded.
func (l *Loaded) Close() error { return nil }
