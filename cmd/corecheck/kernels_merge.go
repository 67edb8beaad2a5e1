package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

func newKernelsMergeCommand() *cobra.Command {
	var o archiveTarget
	var output string
	cmd := &cobra.Command{
		Use:   "merge FILE...",
		Short: "Put the kernels of several archives into one",
		Long: `Put the kernels of archives into one: into a new one with -o, in the place of a file of that name, or else into the
archive that add changes.

Of kernels with one ID that of the first FILE is taken; without -o those that the archive has already stay. The same
kernels give the same bytes, in whatever order they come.`,
		Example: `  corecheck kernels merge amd64.ccar arm64.ccar -o fleet.ccar
  corecheck kernels merge colleague.ccar`,
		Args: needsSome("FILE"),
		RunE: func(cmd *cobra.Command, args []string) error { return runKernelsMerge(cmd, o, output, args) },
	}
	o.AddFlags(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "", "make this archive: `FILE`")
	return cmd
}

func runKernelsMerge(cmd *cobra.Command, o archiveTarget, output string, args []string) error {
	path := output
	switch {
	case output == "" && cmd.Flags().Changed("output"):
		return usageError(cmd.CommandPath(), "--output is empty, want a file")
	case output != "" && len(o.Archive) > 0:
		return usageError(cmd.CommandPath(), "--output makes an archive and --archive changes one: want one of them")
	case output == "":
		var err error
		if path, err = o.path(cmd.CommandPath()); err != nil {
			return err
		}
	}
	// All are opened first: an archive that can't be read is an error before anything is done, and an input that is the output
	// as well is read as it was.
	var from []*archive.Archive
	var problems []error
	for _, arg := range args {
		a, err := kernels.OpenArchive(arg)
		if err != nil {
			problems = append(problems, err)
			continue
		}
		defer a.Close()
		from = append(from, a)
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	sparing(append(args, path)...)
	ctx, stop := interruptible(cmd)
	defer stop()
	before, after := 0, 0
	err := o.update(ctx, path, cmd.ErrOrStderr(), func(w *archive.Writer) error {
		if output != "" {
			for _, k := range w.Kernels() {
				w.Remove(k.ID)
			}
		}
		before = len(w.Kernels())
		for _, a := range from {
			if err := w.Merge(a); err != nil {
				return err
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
		}
		if after = len(w.Kernels()); after == before && output == "" {
			return errNothingChanged
		}
		return nil
	})
	if err != nil {
		return interrupted(ctx, err)
	}
	text := fmt.Sprintf("%s added; %s has %d", count(after-before, "kernel"), path, after)
	if st, err := os.Stat(path); err == nil {
		text += " in " + byteText(st.Size())
	}
	_, err = fmt.Fprintln(cmd.OutOrStdout(), oneLine(text))
	return err
}
