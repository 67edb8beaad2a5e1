package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// objectOptions are the flags of 'corecheck object'.
type objectOptions struct {
	kernels kernelOptions
	output  string
	verbose bool
	needs   bool
}

func newObjectCommand() *cobra.Command {
	var o objectOptions
	cmd := &cobra.Command{
		Use:   "object FILE|DIR|GLOB...",
		Short: "Check BPF objects against kernels",
		Long: `Check compiled BPF objects against kernels: which programs, fields, types, helpers and attach targets break on
which kernels, at which source line, why, and what to do about it.

A FILE is a BPF object, or any file that has objects embedded: a program with libbpf skeletons, a Go program with bpf2go
objects. Of a DIR every file below it is checked that has a BPF object in it.

With --kernels ` + kernels.Grammar + `

Without --kernels every kernel is asked: those that come with corecheck, those of your archive, or of --archive, and those
of --btf and --host. Out of archives an object is not asked on kernels of the other byte order, nor, where it reads registers of
one architecture, on those of others: name them, --kernels arch:arm64, and it is.`,
		Example: `  corecheck object tool.bpf.o --kernels 5.4..6.8
  corecheck object /usr/sbin/opensnoop -o json
  corecheck object build/ --kernels '>=5.10,!7.0' --require-coverage
  corecheck object --needs tool.bpf.o`,
		Args: needsSome("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := oneOf(cmd.CommandPath(), "--output", o.output, "table", "json"); err != nil {
				return err
			}
			if o.needs {
				return runNeeds(cmd, args, o)
			}
			return runObject(cmd, args, o)
		},
	}
	o.kernels.AddFlags(cmd.Flags())
	cmd.Flags().StringVarP(&o.output, "output", "o", "table", "`FORMAT` of the report: table or json")
	cmd.Flags().BoolVarP(&o.verbose, "verbose", "v", false, "show every place, and every candidate with the reason why it was rejected")
	cmd.Flags().BoolVar(&o.needs, "needs", false, "list what the objects need of a kernel, without asking one")
	return cmd
}

// oneOf refuses a value of a flag of command that is none of those allowed.
func oneOf(command, flag, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return usageError(command, "%s is %q, want %s", flag, value, strings.Join(allowed, " or "))
}

func runObject(cmd *cobra.Command, args []string, o objectOptions) error {
	sel, kernelErr := o.kernels.find(cmd.CommandPath(), cmd.ErrOrStderr(), nil)
	if kernelErr != nil && sel.Coverage.Missing == nil {
		return kernelErr // the selection itself could not be understood
	}
	objs, problems := openObjects(args)
	opt := compat.Options{
		Version:  readBuildInfo().Version,
		AnyArch:  sel.ByArch,
		Coverage: compat.Coverage{Requested: sel.Coverage.Requested, Missing: sel.Coverage.Missing, Text: sel.Coverage.Text()},
	}
	// The kernels that come with corecheck tell built-in code from that of modules, whether they are asked or not.
	if own, err := kernels.Embedded(); err == nil {
		opt.Reference = own
	}
	rep := compat.Check(objs, sel.Kernels, opt)
	unread := rep.Errors // kernels that were listed and could not be read after all
	problems = append(problems, flatten(sel.Problems, nil)...)
	for _, err := range problems {
		rep.AddError(err)
	}
	for _, e := range unread {
		problems = append(problems, hinted(errors.New(e.Message), e.Hint))
	}
	out := cmd.OutOrStdout()
	var err error
	switch {
	case o.output == "json":
		err = rep.WriteJSON(out)
	case len(objs) > 0 && len(rep.Kernels) > 0: // else the errors say it all
		err = rep.WriteTable(out, compat.TableOptions{Color: useColor(), Verbose: o.verbose})
	}
	if err != nil {
		return err
	}
	if kernelErr == nil {
		kernelErr = o.kernels.coverageError(sel.Coverage)
	}
	return errors.Join(append(problems, kernelErr, exitWith(rep.ExitCode()))...)
}

// useColor tells whether standard output is a terminal that may be coloured: NO_COLOR turns colours off (no-color.org),
// and so does TERM=dumb.
func useColor() bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && term.IsTerminal(int(os.Stdout.Fd()))
}

// openObjects reads every object that the arguments name. Files that can't be read come back as errors beside the
// objects that could.
func openObjects(args []string) (objs []*relocate.Object, problems []error) {
	for _, arg := range args {
		files, dir, errs := expand(arg)
		problems = append(problems, errs...)
		if len(errs) > 0 && len(files) == 0 {
			continue
		}
		found := 0
		for _, f := range files {
			list, err := relocate.Open(f)
			switch {
			case dir && errors.Is(err, relocate.ErrNoObject):
				continue // a folder holds other files too
			case err != nil:
				problems = append(problems, err)
			}
			found++
			objs = append(objs, list...)
		}
		if found == 0 {
			problems = append(problems, hinted(fmt.Errorf("%s: no BPF object in %s", arg, fileCount(len(files))),
				"name the folder that the objects are built into"))
		}
	}
	return objs, problems
}

func fileCount(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// expand turns an argument into files: a folder into all regular files below it, in the order of names, a pattern that
// no shell expanded into what fits it. What can't be looked at comes back as errors beside the files that can.
func expand(arg string) (files []string, dir bool, errs []error) {
	st, err := os.Stat(arg)
	if err != nil && strings.ContainsAny(arg, "*?[") {
		files, globErr := filepath.Glob(arg)
		if globErr != nil {
			return nil, false, []error{hinted(fmt.Errorf("%s: %w", arg, globErr), "a '[' in a pattern needs its ']'")}
		}
		if len(files) > 0 {
			return files, false, nil
		}
		return nil, false, []error{hinted(fmt.Errorf("%s: no such file, and nothing fits it as a pattern", arg), "check the path; in a pattern '*', '?' and '[…]' stand for parts of one name, not for folders")}
	}
	if err != nil || !st.IsDir() {
		return []string{arg}, false, nil // relocate.Open says what is wrong with it
	}
	// The walk itself has no errors: the function gets them, and goes on.
	_ = filepath.WalkDir(arg, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			errs = append(errs, hinted(err, "every folder below "+arg+" must be readable"))
			return nil
		}
		if d.Type().IsRegular() && !isMarker(path, d) {
			files = append(files, path)
		}
		return nil
	})
	return files, true, errs
}

// isMarker tells empty files that are no objects of a build that failed: .gitkeep, stamps of make.
func isMarker(path string, d fs.DirEntry) bool {
	info, err := d.Info()
	return err == nil && info.Size() == 0 && filepath.Ext(path) != ".o"
}

func runNeeds(cmd *cobra.Command, args []string, o objectOptions) error {
	objs, problems := openObjects(args)
	list := compat.ListNeeds(objs)
	var err error
	if o.output == "json" {
		err = list.WriteJSON(cmd.OutOrStdout())
	} else {
		err = list.WriteTable(cmd.OutOrStdout(), compat.TableOptions{Color: useColor(), Verbose: o.verbose})
	}
	return errors.Join(append(problems, err)...)
}
