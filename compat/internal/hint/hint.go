// Package hint has errors that tell what can be done about them.
package hint

import "fmt"

// Error is an error with what to do about it. Whoever shows errors asks for the method Hint.
type Error struct {
	err  error
	hint string
}

// Errorf is fmt.Errorf with a hint, a clause without a full stop.
func Errorf(hint, format string, args ...any) error {
	return &Error{fmt.Errorf(format, args...), hint}
}

func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the error without the hint.
func (e *Error) Unwrap() error { return e.err }

// Hint says what can be done.
func (e *Error) Hint() string { return e.hint }
