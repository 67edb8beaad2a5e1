package guest

import (
	"context"
	"fmt"
	"time"
)

// runner runs a program to its end, or to that of ctx.
type runner func(ctx context.Context, argv []string) (ran, error)

// ran is what became of a program.
type ran struct {
	exit  int      // its status; 128 and the number of the signal that ended it, as shells have it
	lines []string // the last that it wrote
	hang  bool     // it had to be killed
}

// runCommand runs the user's own loader.
func runCommand(plan *Plan, run runner, send func(Message)) {
	if len(plan.Command) == 0 {
		send(Message{Kind: Failed, Object: -1, Err: "the plan has no command"})
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), plan.ObjectTimeout)
	defer cancel()
	t := time.Now()
	r, err := run(ctx, plan.Command)
	if err != nil {
		send(Message{Kind: Ran, Object: -1, Exit: -1, Err: "it can't be started: " + err.Error()})
		return
	}
	m := Message{Kind: Ran, Object: -1, Exit: r.exit, Millis: time.Since(t).Milliseconds()}
	m.Output, _ = lastLines(r.lines, maxLines)
	if r.hang {
		m.Err = fmt.Sprintf("it was ended after %v", plan.ObjectTimeout)
	}
	send(m)
}
