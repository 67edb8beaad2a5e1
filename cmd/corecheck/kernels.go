package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/corecheck/corecheck/kernels"
)

// kernelOptions says which kernels are asked: the flags that every command with a question to kernels has.
type kernelOptions struct {
	archiveOptions
	Selectors       []string // --kernels, joined by commas
	BTF             []string // --btf
	Host            bool
	RequireCoverage bool
}

// AddFlags adds the flags to f.
func (o *kernelOptions) AddFlags(f *pflag.FlagSet) {
	f.StringArrayVarP(&o.Selectors, "kernels", "k", nil, "ask only these kernels: `SELECTOR` such as 5.4..6.8 or '>=5.15,arch:arm64,!7.0'")
	f.StringArrayVar(&o.BTF, "btf", nil, "ask the kernel of this BTF file, vmlinux or boot image too, or all in this folder: `FILE|DIR` (repeatable)")
	o.archiveOptions.AddFlags(f)
	f.BoolVar(&o.Host, "host", false, "ask the running kernel too")
	f.BoolVar(&o.RequireCoverage, "require-coverage", false, "exit 3 where a range asks for releases that no kernel here is of")
}

// selection is what kernelOptions come to.
type selection struct {
	Kernels  []*kernels.Kernel // in order
	Coverage kernels.Coverage
	Problems error // files that can't be read, beside those that can: report it at the end
	ByArch   bool  // the selector names architectures or IDs: who does that means every kernel that it takes
}

// find reads the kernels' descriptions, not their BTF. keep, where not nil, tells which are there at all. An error with the
// exit code says why there is nothing to ask.
func (o *kernelOptions) find(command string, stderr io.Writer, keep func(*kernels.Kernel) bool) (selection, error) {
	// An empty one, from a script's variable, takes every kernel, and says nothing beside others.
	selectors := slices.DeleteFunc(slices.Clone(o.Selectors), func(s string) bool { return strings.TrimSpace(s) == "" })
	sel, err := kernels.ParseSelector(strings.Join(selectors, ","))
	if err != nil {
		return selection{}, printSelectorError(stderr, err)
	}
	files, err := o.files(command)
	if err != nil {
		return selection{}, err
	}
	all, err := kernels.Sources{Paths: o.BTF, Archives: files, Embedded: !o.NoEmbedded, Host: o.Host}.Kernels()
	var problems kernels.FileErrors
	if err != nil && !errors.As(err, &problems) {
		return selection{}, err
	}
	there := len(all)
	if keep != nil {
		all = slices.DeleteFunc(all, func(k *kernels.Kernel) bool { return !keep(k) })
	}
	s := selection{Kernels: sel.Select(all), Coverage: sel.Coverage(all), Problems: err, ByArch: sel.Asks("arch") || sel.Asks("id")}
	if len(s.Kernels) == 0 {
		return s, noKernel(s.Coverage, there)
	}
	return s, nil
}

func noKernel(c kernels.Coverage, all int) error {
	if all == 0 {
		return withCode(exitUndecided, hinted(errors.New("no kernel to ask"), "leave out --no-embedded, or add kernels with --archive, --btf or --host"))
	}
	text := c.Text()
	if text == "" {
		if text = "no kernel here is like that"; c.Requested != "" {
			text = fmt.Sprintf("no kernel here fits %q", c.Requested)
		}
	}
	return withCode(exitUndecided, hinted(errors.New(text),
		fmt.Sprintf("'corecheck kernels list' shows the %d there are; 'corecheck kernels add' and 'pull' bring others, --btf asks others", all)))
}

// coverageError is what --require-coverage makes of a range with gaps.
func (o *kernelOptions) coverageError(c kernels.Coverage) error {
	if !o.RequireCoverage || len(c.Missing) == 0 {
		return nil
	}
	return withCode(exitUndecided, hinted(errors.New(c.Text()), "narrow the range, add kernels with --btf, or leave out --require-coverage"))
}

// printSelectorError prints a selector's error with a caret under the place and the grammar: more than the one line that
// reportError has for others.
func printSelectorError(w io.Writer, err error) error {
	var e *kernels.SelectorError
	if !errors.As(err, &e) {
		return err
	}
	fmt.Fprintf(w, "corecheck: error: %s\n", oneLine(e.Error()))
	for line := range strings.Lines(e.Caret()) {
		fmt.Fprintf(w, "  %s\n", strings.TrimRight(line, "\n"))
	}
	fmt.Fprintf(w, "hint: %s\n", e.Hint)
	return exitWith(exitUsage)
}

func newKernelsCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "kernels",
		Short: "Show and collect the kernels that can be asked",
		Long: `Show and collect the kernels that can be asked.

Kernels come with corecheck, and others are collected in archives: one file each, in which kernels share what they have in
common. Commands that change an archive take --archive FILE, or the one that $` + kernels.EnvArchive + ` names, or your own,
corecheck/kernels.ccar in $XDG_DATA_HOME or ~/.local/share. Commands that ask kernels take --archive several times; it
stands in place of those in $` + kernels.EnvArchive + `, which are separated by ':', and these in place of your own.`,
	}
	cmd.AddCommand(
		newKernelsAddCommand(),
		newKernelsExportCommand(),
		newKernelsListCommand(),
		newKernelsMergeCommand(),
		newKernelsPullCommand(),
		newKernelsRemoveCommand(),
		newKernelsShowCommand(),
		newKernelsVerifyCommand(),
	)
	return cmd
}

// kernelsListOptions are the flags of 'corecheck kernels list'.
type kernelsListOptions struct {
	kernels  kernelOptions
	distros  []string
	releases []string
	archs    []string
	facts    []string
	noBTF    bool
	output   string
}

// listFacts are the facts that --facts takes: those that kernels have.
var listFacts = []string{"btf", "modules", "no_btf"}

func newKernelsListCommand() *cobra.Command {
	var o kernelsListOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the kernels that a selection takes",
		Long: `List the kernels that a selection takes, in the order of their upstream versions, and what the selection asks for
that no kernel here is of.

With --kernels ` + kernels.Grammar + `

Without --kernels every kernel is taken.`,
		Example: `  corecheck kernels list
  corecheck kernels list --kernels 5.4..6.8
  corecheck kernels list --distro debian --arch arm64 --facts modules
  corecheck kernels list --archive fleet.ccar --no-embedded --no-btf
  corecheck kernels list --btf btfhub --no-embedded --kernels 'arch:arm64,!distro:android' -o json`,
		Args: needsNone,
		RunE: func(cmd *cobra.Command, _ []string) error { return runKernelsList(cmd, o) },
	}
	f := cmd.Flags()
	o.kernels.AddFlags(f)
	f.StringArrayVar(&o.distros, "distro", nil, "only kernels of this distro: `GLOB` (repeatable; also distro:GLOB in a selector)")
	f.StringArrayVar(&o.releases, "release", nil, "only kernels of this release of a distro: `GLOB` (repeatable; release:GLOB)")
	f.StringArrayVar(&o.archs, "arch", nil, "only kernels of this architecture: `NAME` (repeatable; arch:NAME)")
	f.StringSliceVar(&o.facts, "facts", nil, "only kernels of which this is known: `FACT`, "+strings.Join(listFacts, ", "))
	f.BoolVar(&o.noBTF, "no-btf", false, "only kernels that have no BTF: --facts no_btf")
	f.StringVarP(&o.output, "output", "o", "table", "output `FORMAT`: table or json")
	return cmd
}

func runKernelsList(cmd *cobra.Command, o kernelsListOptions) error {
	print := printKernelTable
	switch o.output {
	case "table":
	case "json":
		print = printKernelJSON
	default:
		return usageError(cmd.CommandPath(), "there is no output format %q, there are table and json", o.output)
	}
	if o.noBTF {
		o.facts = append(o.facts, "no_btf")
	}
	for _, f := range o.facts {
		if !slices.Contains(listFacts, f) {
			return usageError(cmd.CommandPath(), "there is no fact %q, there are %s", f, strings.Join(listFacts, ", "))
		}
	}
	for _, filter := range []struct {
		key    string
		values []string
	}{{"distro", o.distros}, {"release", o.releases}, {"arch", o.archs}} {
		for _, v := range filter.values {
			if v == "" || strings.ContainsAny(v, ", !") {
				return usageError(cmd.CommandPath(), "--%s is %q, want one name or pattern", filter.key, v)
			}
			o.kernels.Selectors = append(o.kernels.Selectors, filter.key+":"+v)
		}
	}
	s, err := o.kernels.find(cmd.CommandPath(), cmd.ErrOrStderr(), func(k *kernels.Kernel) bool {
		have := k.Facts()
		return !slices.ContainsFunc(o.facts, func(f string) bool { return !slices.Contains(have, f) })
	})
	if err != nil && s.Coverage.Missing == nil {
		return err // the selection could not be understood
	}
	if err != nil && len(o.facts) > 0 {
		text := "no kernel with the facts " + strings.Join(o.facts, ", ")
		if s.Coverage.Requested != "" {
			text += fmt.Sprintf(" fits %q", s.Coverage.Requested)
		}
		err = withCode(exitUndecided, hinted(errors.New(text), "'corecheck kernels list' without --facts shows what is known of others"))
	}
	if err == nil || o.output == "json" {
		if err := print(cmd.OutOrStdout(), s); err != nil {
			return err
		}
	}
	if err == nil {
		err = o.kernels.coverageError(s.Coverage)
	}
	return errors.Join(s.Problems, err)
}

func printKernelTable(w io.Writer, s selection) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "VERSION\tFROM\tID\tFACTS\tSOURCE")
	for _, k := range s.Kernels {
		from := string(k.VersionFrom)
		if from == "" {
			from = "-"
		}
		facts := k.Facts()
		for i := range facts {
			facts[i] = factText(facts[i])
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", k.Version, from, oneLine(k.ID), strings.Join(facts, ","), oneLine(k.Source))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if _, err := fmt.Fprintln(w, count(len(s.Kernels), "kernel")); err != nil {
		return err
	}
	if text := s.Coverage.Text(); text != "" {
		if _, err := fmt.Fprintln(w, text); err != nil {
			return err
		}
	}
	return nil
}

// kernelsSchema names the form of the JSON. It only grows; what would break a reader gets a new number.
const kernelsSchema = "corecheck.kernels/v1"

// kernelJSON is one kernel; the first fields are those that corecheck.report has.
type kernelJSON struct {
	ID          string   `json:"id"`
	Version     string   `json:"version"` // upstream; "unknown", or "6.1" where the patch is not known
	Uname       string   `json:"uname"`
	Arch        string   `json:"arch"`
	Distro      string   `json:"distro"`
	Release     string   `json:"release"`
	Facts       []string `json:"facts"`
	VersionFrom string   `json:"version_from"` // "package", "banner", "uname", "" where version is "unknown"
	Package     string   `json:"package"`      // name and version, "" where unknown
	Source      string   `json:"source"`       // "embedded", or a path
	NoBTF       string   `json:"no_btf"`       // why it has no BTF, "" where it has
}

func printKernelJSON(w io.Writer, s selection) error {
	list := make([]kernelJSON, len(s.Kernels))
	for i, k := range s.Kernels {
		list[i] = newKernelJSON(k)
	}
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Schema   string           `json:"schema"`
		Kernels  []kernelJSON     `json:"kernels"`
		Coverage kernels.Coverage `json:"coverage"`
	}{kernelsSchema, list, s.Coverage})
}
