package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/corecheck/corecheck/btfinfo"
)

// Exit codes. They are the same in every output format, and stand in the help of the root command.
const (
	exitOK        = 0 // nothing breaks
	exitBreaks    = 1 // something breaks
	exitUsage     = 2 // wrong usage, or an input that can't be read
	exitUndecided = 3 // something could not be decided: no kernel to ask, or a fact that is not there
)

// rank tells which of two codes counts.
var rank = [...]int{exitOK: 0, exitBreaks: 1, exitUndecided: 2, exitUsage: 3}

// codeError carries an exit code. Without a cause it prints nothing: the report on stdout has said it all.
type codeError struct {
	code int
	err  error
}

func (e *codeError) Error() string {
	if e.err == nil {
		return "exit code " + strconv.Itoa(e.code)
	}
	return e.err.Error()
}

func (e *codeError) Unwrap() error { return e.err }

// exitWith ends the program with code once the report is written. exitWith(exitOK) is nil.
func exitWith(code int) error {
	if code == exitOK {
		return nil
	}
	return &codeError{code: code}
}

// withCode gives err an exit code other than exitUsage.
func withCode(code int, err error) error {
	if err == nil {
		return nil
	}
	return &codeError{code: code, err: err}
}

// hintError carries what to do about an error.
type hintError struct {
	err  error
	hint string
}

func (e *hintError) Error() string { return e.err.Error() }
func (e *hintError) Unwrap() error { return e.err }
func (e *hintError) Hint() string  { return e.hint }

// hinted adds a hint to err.
func hinted(err error, hint string) error { return &hintError{err: err, hint: hint} }

// usageError is a command line that can't be understood; command is the path of the command whose help tells more.
func usageError(command, format string, args ...any) error {
	return hinted(fmt.Errorf(format, args...), "see '"+command+" --help'")
}

// needsOne has a command take exactly one argument, which is what.
func needsOne(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) > 1 {
			return usageError(cmd.CommandPath(), "%s takes one %s, not %d", cmd.CommandPath(), what, len(args))
		}
		return needsSome(what)(cmd, args)
	}
}

// needsSome has a command take one argument or more, of which each is what.
func needsSome(what string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError(cmd.CommandPath(), "%s needs a %s", cmd.CommandPath(), what)
		}
		return nil
	}
}

// needsNone has a command take no arguments.
func needsNone(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError(cmd.CommandPath(), "%s takes no arguments, as %q", cmd.CommandPath(), args[0])
	}
	return nil
}

// reportError prints err on w, each error of a joined one on its own line, and returns the exit code. Of several codes
// the order is usage, undecided, breaks: a file that can't be read among good ones is never taken for a finding, and
// --require-coverage has its 3 whatever the kernels that are there say.
func reportError(w io.Writer, err error) int {
	code := exitOK
	for _, e := range flatten(err, nil) {
		c := exitUsage
		var ce *codeError
		if errors.As(e, &ce) {
			c = ce.code
		}
		if rank[c] > rank[code] {
			code = c
		}
		if ce != nil && ce.err == nil {
			continue
		}
		fmt.Fprintf(w, "corecheck: error: %s\n", oneLine(e.Error()))
		if h := hintOf(e); h != "" {
			fmt.Fprintf(w, "hint: %s\n", oneLine(h))
		}
	}
	return code
}

// flatten takes joined errors apart. One that is wrapped further down stays whole: its wrapper's words are about all.
func flatten(err error, list []error) []error {
	if err == nil {
		return list
	}
	if j, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range j.Unwrap() {
			list = flatten(e, list)
		}
		return list
	}
	return append(list, err)
}

// hintOf finds the outermost hint: who wraps an error knows more about what was meant.
func hintOf(err error) string {
	for ; err != nil; err = errors.Unwrap(err) {
		switch e := err.(type) {
		case interface{ Hint() string }:
			if h := e.Hint(); h != "" {
				return h
			}
		case *btfinfo.Error:
			if e.Hint != "" {
				return e.Hint
			}
		}
	}
	return ""
}

// oneLine keeps a message on one line and free of control characters: names in it come from strangers' files, and a
// terminal would obey an escape sequence among them.
func oneLine(s string) string {
	var b strings.Builder
	for _, r := range strings.TrimSpace(s) {
		switch {
		case r == '\n':
			b.WriteString("; ")
		case r == '\t':
			b.WriteByte(' ')
		case !unicode.IsGraphic(r):
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
