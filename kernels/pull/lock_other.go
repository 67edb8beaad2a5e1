//go:build !linux && !darwin && !freebsd && !netbsd && !openbsd && !dragonfly

package pull

import "os"

// noFollow is nothing that is known here.
const noFollow = 0

// lockFile does nothing where there are no advisory locks: two processes that download one file into one cache at the
// same time spoil it for each other there, which the digest notices.
func lockFile(*os.File) error { return nil }
