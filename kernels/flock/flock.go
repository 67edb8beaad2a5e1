// Package flock takes locks on files that end with the process that holds them, however it ends: flock(2). They are advisory,
// and hold between the files that one process has opened as they do between processes.
package flock

import (
	"context"
	"errors"
	"os"
	"time"
)

// Mode is how a file is locked.
type Mode uint8

// The modes: many may have a Shared lock, while nobody has an Exclusive one.
const (
	Exclusive Mode = iota
	Shared
)

// ErrBusy is a lock that somebody else has.
var ErrBusy = errors.New("somebody else has the lock")

// wait is how long to wait before looking again whether a lock is free.
const wait = 100 * time.Millisecond

// Open opens a file for reading and writing, makes it if need be, and locks it. With block it waits for the lock, else it
// returns ErrBusy where somebody has it. The file is the one that has the name then: one that was renamed or removed before the
// lock was there is let go of. Closing it gives up the lock.
func Open(ctx context.Context, name string, mode Mode, block bool) (*os.File, error) {
	for {
		// In a folder that others can write to a link could lead to any file of ours, which would be emptied and written over.
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|NoFollow, 0o644)
		if err != nil {
			return nil, err
		}
		if err = Try(f, mode); err == nil {
			held, herr := f.Stat()
			named, nerr := os.Stat(name)
			if herr == nil && nerr == nil && os.SameFile(held, named) {
				return f, nil
			}
		}
		f.Close()
		if err == nil { // the name has another file already
			continue
		}
		if !block || !errors.Is(err, ErrBusy) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-time.After(wait):
		}
	}
}
