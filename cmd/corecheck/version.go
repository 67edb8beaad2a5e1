package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"text/tabwriter"

	"github.com/spf13/cobra"
)

// Set by the Makefile with -ldflags -X. A binary of `go install` has the same facts in its build information.
var (
	linkedVersion string // "v0.1.0", or a pseudo-version
	linkedCommit  string // full hash
	linkedDate    string // of the commit, RFC 3339 in UTC: the time of the build would make every binary differ
)

// buildInfo says what this binary was made from. A field that is not known is "unknown".
type buildInfo struct {
	Version string
	Commit  string
	Date    string // of the commit, RFC 3339
	Go      string // "go1.26.8"
}

// readBuildInfo takes what the linker was told, and the Go toolchain's own record where it was told nothing.
func readBuildInfo() buildInfo {
	b := buildInfo{Version: linkedVersion, Commit: linkedCommit, Date: linkedDate, Go: runtime.Version()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if b.Version == "" {
			b.Version = info.Main.Version // "(devel)" where the toolchain was kept from asking git
		}
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision" && b.Commit == "":
				b.Commit = s.Value
			case s.Key == "vcs.time" && b.Date == "":
				b.Date = s.Value
			}
		}
	}
	for _, s := range []*string{&b.Version, &b.Commit, &b.Date} {
		if *s == "" {
			*s = "unknown"
		}
	}
	return b
}

func newVersionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit, date and Go version",
		Example: "  corecheck version",
		Args:    needsNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			b := readBuildInfo()
			w := tabwriter.NewWriter(cmd.OutOrStdout(), 0, 0, 2, ' ', 0)
			fmt.Fprintf(w, "corecheck\t%s\n", b.Version)
			fmt.Fprintf(w, "commit\t%s\n", b.Commit)
			fmt.Fprintf(w, "date\t%s\n", b.Date)
			fmt.Fprintf(w, "go\t%s %s/%s\n", b.Go, runtime.GOOS, runtime.GOARCH)
			return w.Flush()
		},
	}
}
