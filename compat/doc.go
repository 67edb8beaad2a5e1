// Package compat gives the verdict: what an object needs is held against each kernel by rules, one file each, and what
// they find becomes a report.
//
// The verdict depends on the object, the kernels and the options, never on the machine that runs corecheck. What the
// data can't support is unknown, with the reason; it is never shown as fine and never as broken.
package compat
