package main

import (
	"io"
	"strings"

	"github.com/spf13/cobra"
)

const rootLong = `corecheck tells, before anything is loaded, on which kernels a compiled BPF object works, where it breaks, and why.

It reads BTF, the type information that kernels carry, and the CO-RE records of a BPF object, and puts the object's
needs to many kernels at once. Nothing is loaded, no privilege is needed, and a set of real kernels comes with it.

Exit codes, of every command and in every output format:
  0  nothing breaks
  1  something breaks
  2  wrong usage, or an input that can't be read
  3  undecided: no kernel to ask, or a fact that is not known

Environment:
  CORECHECK_ARCHIVE  archives of kernels that are asked instead of your own, with ':' between them
  XDG_DATA_HOME      the folder that has your own archive, corecheck/kernels.ccar; ~/.local/share where it is not set
  XDG_CACHE_HOME     the folder that has corecheck's downloads; ~/.cache where it is not set
  NO_COLOR           any value but the empty one turns colours off`

// newRootCommand makes the whole command tree. The streams are set first: cobra's completion keeps the one that it finds
// when it is made.
func newRootCommand(stdout, stderr io.Writer) *cobra.Command {
	root := &cobra.Command{
		Use:           "corecheck",
		Short:         "Tell on which kernels a BPF object works, where it breaks, and why",
		Long:          rootLong,
		SilenceErrors: true, // run prints them
		SilenceUsage:  true, // it is long; the hint says how to see it
	}
	root.SetOut(stdout)
	root.SetErr(stderr)
	root.AddCommand(
		newBootCommand(),
		newBTFCommand(),
		newExplainCommand(),
		newKernelsCommand(),
		newManCommand(),
		newObjectCommand(),
		newVersionCommand(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	finish(root)
	return root
}

// finish gives every command what all of them share.
func finish(cmd *cobra.Command) {
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError(c.CommandPath(), "%w", err)
	})
	if check := cmd.Args; check != nil {
		cmd.Args = func(c *cobra.Command, args []string) error {
			if err := check(c, args); err != nil {
				return usageError(c.CommandPath(), "%w", err)
			}
			return nil
		}
	}
	switch {
	case cmd.Name() == "help" && !cmd.HasSubCommands():
		cmd.RunE = runHelp
	case cmd.HasSubCommands() && !cmd.Runnable():
		// Cobra prints the help and returns 0 here. In a script, a forgotten or mistyped word must not pass.
		cmd.Args = cobra.ArbitraryArgs
		cmd.DisableFlagsInUseLine = true
		cmd.SuggestionsMinimumDistance = 2
		cmd.RunE = needsSubcommand
	}
	for _, c := range cmd.Commands() {
		finish(c)
	}
}

// needsSubcommand is what a command does that only has commands below it.
func needsSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usageError(cmd.CommandPath(), "%s needs a command: %s", cmd.CommandPath(), strings.Join(subcommands(cmd), ", "))
	}
	err := usageError(cmd.CommandPath(), "%s has no command %q, only %s", cmd.CommandPath(), args[0], strings.Join(subcommands(cmd), ", "))
	if s := cmd.SuggestionsFor(args[0]); len(s) > 0 {
		err = hinted(err, "did you mean '"+cmd.CommandPath()+" "+s[0]+"'?")
	}
	return err
}

func subcommands(cmd *cobra.Command) []string {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() && c.Name() != "help" {
			names = append(names, c.Name())
		}
	}
	return names
}

// runHelp prints the help of a command; a command that is not there is an error, as everywhere.
func runHelp(help *cobra.Command, args []string) error {
	cmd, rest, err := help.Root().Find(args)
	if err != nil || len(rest) > 0 {
		return usageError(help.Root().Name(), "there is no command %q", strings.Join(args, " "))
	}
	cmd.InitDefaultHelpFlag() // it is added when a command runs, which this one does not
	return cmd.Help()
}
