// Command corecheck tells, before anything is loaded, on which kernels a compiled BPF object works, where it breaks,
// and why.
//
// The commands in this package read flags and files, call the packages below and print what comes back; the logic is
// theirs. A command returns an error; main alone prints it and turns it into an exit code.
package main

import (
	"errors"
	"io"
	"os"

	"github.com/corecheck/corecheck/compat/boot/guest"
)

func main() {
	if guest.Wanted() { // /init of a virtual machine, made by 'corecheck boot'
		guest.Main()
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its streams as parameters, so that tests call it without a process. It returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	out := &outWriter{w: stdout}
	root := newRootCommand(out, stderr)
	root.SetArgs(args)
	err := root.Execute()
	if out.err != nil && (err == nil || errors.Is(err, out.err)) {
		// A report that was cut off by a full disk must not pass for a good one.
		err = hinted(out.err, "the output is not complete")
	}
	return reportError(stderr, err)
}

// outWriter keeps the first error of the writer below it: fmt.Fprint's result is rarely looked at.
type outWriter struct {
	w   io.Writer
	err error
}

func (o *outWriter) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil && o.err == nil {
		o.err = err
	}
	return n, err
}
