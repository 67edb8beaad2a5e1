package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

func newKernelsVerifyCommand() *cobra.Command {
	var o archiveOptions
	cmd := &cobra.Command{
		Use:   "verify [FILE...]",
		Short: "Check that archives are whole",
		Long: `Read archives from end to end: every checksum, every definition and all that it refers to. Without a FILE those are read that
would be asked.`,
		Example: `  corecheck kernels verify
  corecheck kernels verify fleet.ccar`,
		RunE: func(cmd *cobra.Command, args []string) error { return runKernelsVerify(cmd, o, args) },
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runKernelsVerify(cmd *cobra.Command, o archiveOptions, args []string) error {
	var own []*kernels.Kernel
	if len(args) == 0 {
		var err error
		if args, err = o.files(cmd.CommandPath()); err != nil {
			return err
		}
		if !o.NoEmbedded {
			if own, err = kernels.Embedded(); err != nil {
				return err
			}
		}
	} else if len(o.Archives) > 0 || o.NoArchive || o.NoEmbedded {
		return usageError(cmd.CommandPath(), "--archive, --no-archive and --no-embedded say what is read without a FILE")
	}
	var problems []error
	checked := 0
	check := func(a *archive.Archive, err error) {
		checked++
		if err == nil {
			err = a.Verify()
		}
		if err == nil {
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: %s in %s, whole\n", oneLine(a.Name()), count(a.Len(), "kernel"), byteText(a.Size()))
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	for _, path := range args {
		a, err := kernels.OpenArchive(path)
		check(a, err)
		if a != nil {
			a.Close()
		}
	}
	for _, k := range own {
		if a, _, ok := k.Archived(); ok {
			check(a, nil)
			break
		}
	}
	if checked == 0 {
		return withCode(exitUndecided, hinted(errors.New("there is no archive to check"), "name a FILE"))
	}
	return errors.Join(problems...)
}
