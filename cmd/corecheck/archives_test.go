package main

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"github.com/spf13/cobra"
)

// A terminal that closes ends a run as an interrupt does, so that it can clean up; under nohup it goes on.
func TestInterruptibleHangup(t *testing.T) {
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	ignored := signal.Ignored(syscall.SIGHUP)
	ctx, stop := interruptible(cmd)
	defer stop()
	self, err := os.FindProcess(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if err := self.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	wait := 20 * time.Second
	if ignored {
		wait = 200 * time.Millisecond
	}
	select {
	case <-ctx.Done():
		if ignored {
			t.Error("a hangup that was to be ignored ended the run")
		}
	case <-time.After(wait):
		if !ignored {
			t.Error("a hangup did not end the run")
		}
	}
}
