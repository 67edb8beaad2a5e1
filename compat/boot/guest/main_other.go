//go:build !linux

package guest

import "os"

// Wanted tells whether this process is corecheck's own in a guest. Guests run Linux.
func Wanted() bool { return false }

// Main ends the process: there is nothing for it to do where Wanted is false.
func Main() { os.Exit(1) }
