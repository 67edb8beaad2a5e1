package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

func newKernelsShowCommand() *cobra.Command {
	var o archiveOptions
	var output string
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show all that is known of a kernel",
		Long: `Show all that is known of a kernel: where it comes from, what made its BTF, its configuration as far as BTF depends on
it, its modules, and what is missing and why.

ID is the kernel's ID, or the end of it from a slash on, such as the uname, where that is only one kernel's.`,
		Example: `  corecheck kernels show debian/12/x86_64/6.1.0-50-cloud-amd64
  corecheck kernels show 6.1.0-50-cloud-amd64 -o json`,
		Args: needsOne("kernel ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return runKernelsShow(cmd, o, output, args[0])
		},
	}
	o.AddFlags(cmd.Flags())
	cmd.Flags().StringVarP(&output, "output", "o", "table", "output `FORMAT`: table or json")
	cmd.ValidArgsFunction = completeIDs(func() ([]*kernels.Kernel, error) { return o.kernels("") }, false)
	return cmd
}

// kernelDetail is all that is known of a kernel.
type kernelDetail struct {
	kernelJSON
	Record archive.Kernel

	Modules     []string
	ModulesRead bool // the kernel's modules were looked at
	AllModules  bool // Modules are all that have BTF
}

func runKernelsShow(cmd *cobra.Command, o archiveOptions, output, id string) error {
	if err := oneOf(cmd.CommandPath(), "--output", output, "table", "json"); err != nil {
		return err
	}
	all, err := o.kernels(cmd.CommandPath())
	var problems kernels.FileErrors
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	k, findErr := findKernel(all, id)
	if findErr != nil {
		return errors.Join(err, findErr)
	}
	d, loadErr := detail(k)
	if loadErr != nil {
		return errors.Join(err, loadErr)
	}
	if output == "json" {
		return errors.Join(err, d.writeJSON(cmd.OutOrStdout()))
	}
	return errors.Join(err, d.write(cmd.OutOrStdout()))
}

// detail collects what is known of a kernel. Only the modules of one that is in no archive are read for it.
func detail(k *kernels.Kernel) (*kernelDetail, error) {
	d := &kernelDetail{kernelJSON: newKernelJSON(k)}
	if a, i, ok := k.Archived(); ok {
		d.Record = *a.Kernel(i)
		d.Modules, d.ModulesRead, d.AllModules = a.Modules(i)
		return d, nil
	}
	_, modules, err := k.Load()
	if err != nil {
		return nil, err
	}
	for _, m := range modules {
		d.Modules = append(d.Modules, m.Name)
	}
	slices.Sort(d.Modules)
	d.Record.Package = k.Package
	return d, nil
}

// write prints the kernel as lines of a name and a value.
func (d *kernelDetail) write(w io.Writer) error {
	var lines []string
	line := func(name, value string) {
		if value != "" {
			lines = append(lines, fmt.Sprintf("%-9s %s", name, oneLine(value)))
		}
	}
	r := &d.Record
	line("id", d.ID)
	version := d.Version
	if d.VersionFrom != "" {
		version += " (from its " + d.VersionFrom + ")"
	}
	line("version", version)
	line("uname", d.Uname)
	line("arch", d.Arch)
	line("distro", d.Distro)
	line("release", d.Release)
	line("package", d.Package)
	for _, s := range r.Sources {
		text := s.URI
		if s.Date != "" {
			text += ", of " + s.Date
		}
		line("source", text)
		if s.SHA256 != "" {
			line("", "sha256 "+s.SHA256)
		}
	}
	line("in", d.Source)
	if d.NoBTF != "" {
		line("btf", "none: "+d.NoBTF)
	}
	line("compiler", r.Compiler)
	line("pahole", r.Pahole)
	for i, c := range r.Config {
		name := ""
		if i == 0 {
			name = "config"
		}
		line(name, c)
	}
	if d.NoBTF == "" {
		line("modules", d.modulesText())
		for _, part := range wrap(d.Modules, 100) {
			line("", part)
		}
	}
	for _, m := range r.Missing {
		line("missing", m.Fact+": "+m.Reason)
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// modulesText says how many modules' BTF is there, and whether that is all.
func (d *kernelDetail) modulesText() string {
	switch {
	case d.AllModules:
		return fmt.Sprintf("BTF of %d, which is all", len(d.Modules))
	case len(d.Modules) == 0 && !d.ModulesRead:
		return "not known"
	case len(d.Modules) == 0:
		return "BTF of none"
	}
	return fmt.Sprintf("BTF of %d, not of all", len(d.Modules))
}

// wrap puts words on lines of at most n bytes.
func wrap(words []string, n int) []string {
	var lines []string
	for _, word := range words {
		if last := len(lines) - 1; last >= 0 && len(lines[last])+1+len(word) <= n {
			lines[last] += " " + word
		} else {
			lines = append(lines, word)
		}
	}
	return lines
}

// kernelSchema names the form of the JSON of one kernel. It only grows; what would break a reader gets a new number.
const kernelSchema = "corecheck.kernel/v1"

// writeJSON prints the kernel as JSON: the fields that "kernels list" has, and what only an archive knows.
func (d *kernelDetail) writeJSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(struct {
		Schema string `json:"schema"`
		kernelJSON
		Sources     []archive.Source  `json:"sources"`      // the files that it was read from
		Pahole      string            `json:"pahole"`       // version, "" where unknown
		Compiler    string            `json:"compiler"`     // "" where unknown
		Config      []string          `json:"config"`       // lines, empty where unknown
		Modules     []string          `json:"modules"`      // that BTF is there of
		ModulesRead bool              `json:"modules_read"` // false: nothing is known of other modules
		AllModules  bool              `json:"all_modules"`  // modules are all that have BTF
		Missing     []archive.Missing `json:"missing"`      // facts that could not be had
	}{kernelSchema, d.kernelJSON, list(d.Record.Sources), d.Record.Pahole, d.Record.Compiler, list(d.Record.Config),
		list(d.Modules), d.ModulesRead, d.AllModules, list(d.Record.Missing)})
}

// list is s, empty where it is nil: JSON has [] then and not null.
func list[T any](s []T) []T { return append(make([]T, 0, len(s)), s...) }

func newKernelJSON(k *kernels.Kernel) kernelJSON {
	return kernelJSON{k.ID, k.Version.String(), k.Uname, k.Arch, k.Distro, k.Release, k.Facts(), string(k.VersionFrom), k.Package, k.Source, k.NoBTF}
}

// factText is a fact for people.
func factText(f string) string {
	return cmp.Or(map[string]string{"no_btf": "no BTF"}[f], f)
}
