package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "man DIR",
		Short:   "Write manual pages",
		Long:    "Write a manual page of section 1 for every command into DIR, which is made if it is not there.",
		Example: "  corecheck man /usr/local/share/man/man1",
		Args:    needsOne("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return writeMan(cmd.Root(), args[0])
		},
	}
}

// writeMan makes all pages before it writes the first, so that a failure leaves no half set behind.
func writeMan(root *cobra.Command, dir string) error {
	header := doc.GenManHeader{Section: "1", Source: "corecheck " + readBuildInfo().Version, Manual: "corecheck manual"}
	date, err := time.Parse(time.RFC3339, readBuildInfo().Date)
	if err != nil {
		// A page without a date of its own gets today's from cobra, and two builds would differ.
		date = time.Unix(0, 0).UTC()
	}
	header.Date = &date

	type page struct {
		name string
		text []byte
	}
	var pages []page
	var walk func(*cobra.Command) error
	walk = func(cmd *cobra.Command) error {
		cmd.DisableAutoGenTag = true
		h := header
		h.Title = strings.ToUpper(strings.ReplaceAll(cmd.CommandPath(), " ", "-"))
		var buf bytes.Buffer
		if err := doc.GenMan(cmd, &h, &buf); err != nil {
			return err
		}
		pages = append(pages, page{strings.ReplaceAll(cmd.CommandPath(), " ", "-") + ".1", buf.Bytes()})
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() && !c.IsAdditionalHelpTopicCommand() {
				if err := walk(c); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk(root); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, p := range pages {
		if err := os.WriteFile(filepath.Join(dir, p.name), p.text, 0o644); err != nil {
			return err
		}
	}
	return nil
}
