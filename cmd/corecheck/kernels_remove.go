package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

func newKernelsRemoveCommand() *cobra.Command {
	var o archiveTarget
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "remove ID|SELECTOR...",
		Short: "Take kernels out of an archive",
		Long: `Take kernels out of an archive. An argument is a kernel's ID, a selector, or the end of an ID from a slash on where that is
only one kernel's; an argument that takes no kernel is an error, and nothing is removed then.

A ` + kernels.Grammar,
		Example: `  corecheck kernels remove debian/12/x86_64/6.1.0-50-cloud-amd64
  corecheck kernels remove '<5.4' 'distro:fedora,arch:arm64'
  corecheck kernels remove --dry-run 'id:ubuntu/18.04/*'`,
		Args: needsSome("kernel ID or selector"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runKernelsRemove(cmd, o, dryRun, args)
		},
	}
	o.AddFlags(cmd.Flags())
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "say what would be removed, and remove nothing")
	cmd.ValidArgsFunction = completeIDs(func() ([]*kernels.Kernel, error) {
		path, err := o.path("")
		if err != nil {
			return nil, err
		}
		return kernels.FromArchiveFile(path)
	}, false)
	return cmd
}

func runKernelsRemove(cmd *cobra.Command, o archiveTarget, dryRun bool, args []string) error {
	path, err := o.path(cmd.CommandPath())
	if err != nil {
		return err
	}
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return withCode(exitUndecided, hinted(fmt.Errorf("there is no archive %s", path), "'corecheck kernels add' makes one"))
	}
	all, err := kernels.FromArchiveFile(path)
	if err != nil {
		return err
	}
	var ids []string
	seen := map[string]bool{}
	for _, arg := range args {
		found, err := namedKernels(cmd, all, arg)
		if err != nil {
			return err
		}
		for _, k := range found {
			if !seen[k.ID] {
				seen[k.ID] = true
				ids = append(ids, k.ID)
			}
		}
	}
	verb := "removed"
	left := len(all) - len(ids)
	if dryRun {
		verb = "would remove"
	} else {
		ctx, stop := interruptible(cmd)
		defer stop()
		err := o.update(ctx, path, cmd.ErrOrStderr(), func(w *archive.Writer) error {
			for _, id := range ids {
				w.Remove(id) // what another writer has removed in the meantime is gone all the same
			}
			left = len(w.Kernels())
			return nil
		})
		if err != nil {
			return interrupted(ctx, err)
		}
	}
	for _, id := range ids {
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), oneLine(verb+" "+id)); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s %s, %d left in %s\n", verb, count(len(ids), "kernel"), left, oneLine(path))
	return err
}

// namedKernels are the kernels that an argument takes: an ID, a selector, or the end of an ID. A uname that is a version as
// well, as 6.1.0, is a selector.
func namedKernels(cmd *cobra.Command, all []*kernels.Kernel, arg string) ([]*kernels.Kernel, error) {
	if arg == "" { // as a selector it would take every kernel, and it comes from a variable that is not set
		return nil, usageError(cmd.CommandPath(), "an argument is empty, want the ID of a kernel or a selector")
	}
	for _, k := range all {
		if k.ID == arg {
			return []*kernels.Kernel{k}, nil
		}
	}
	sel, err := kernels.ParseSelector(arg)
	if err == nil {
		if found := sel.Select(all); len(found) > 0 {
			return found, nil
		}
		return nil, withCode(exitUndecided, hinted(fmt.Errorf("no kernel in the archive fits %q", arg), "'corecheck kernels list' shows those that there are"))
	}
	k, findErr := findKernel(all, arg)
	if findErr == nil {
		return []*kernels.Kernel{k}, nil
	}
	if strings.ContainsAny(arg, ":,!<>=*") || strings.Contains(arg, "..") { // no ID has these, and a selector may
		return nil, printSelectorError(cmd.ErrOrStderr(), err)
	}
	return nil, findErr
}
