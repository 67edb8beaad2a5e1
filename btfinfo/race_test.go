//go:build race

package btfinfo

// The race detector keeps several bytes for each that the program has.
func init() { raceEnabled = true }
