package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

// kernelsExportOptions are the flags of 'corecheck kernels export'.
type kernelsExportOptions struct {
	archives   archiveOptions
	output     string
	module     string
	modulesDir string
}

func newKernelsExportCommand() *cobra.Command {
	var o kernelsExportOptions
	cmd := &cobra.Command{
		Use:   "export ID {-o FILE [--module NAME] | --modules-dir DIR}",
		Short: "Write the BTF of a kernel into a file",
		Long: `Write the BTF of a kernel, as bpftool, libbpf and cilium/ebpf read it. Its types have other numbers than in the BTF that was
added, and say the same.

With --module the BTF of that module is written instead, which continues that of the kernel; with --modules-dir that of
every module that there is, as DIR/NAME.btf. A file is there whole or not at all.

ID is the kernel's ID, or the end of it from a slash on where that is only one kernel's.`,
		Example: `  corecheck kernels export 6.1.0-50-cloud-amd64 -o vmlinux.btf
  corecheck kernels export 6.1.0-50-amd64 -o vmlinux.btf --modules-dir modules
  corecheck kernels export 6.1.0-50-amd64 --module nf_tables -o nf_tables.btf
  corecheck kernels export 6.1.0-50-cloud-amd64 -o - | zstd > vmlinux.btf.zst`,
		Args: needsOne("kernel ID"),
		RunE: func(cmd *cobra.Command, args []string) error { return runKernelsExport(cmd, o, args[0]) },
	}
	f := cmd.Flags()
	f.StringVarP(&o.output, "output", "o", "", "write here: `FILE`, or - for standard output")
	f.StringVar(&o.module, "module", "", "write the BTF of this module instead of the kernel's: `NAME`")
	f.StringVar(&o.modulesDir, "modules-dir", "", "write the BTF of every module into this folder, which is made if it is not there: `DIR`")
	o.archives.AddFlags(f)
	cmd.ValidArgsFunction = completeIDs(func() ([]*kernels.Kernel, error) { return o.archives.kernels("") }, false)
	return cmd
}

func runKernelsExport(cmd *cobra.Command, o kernelsExportOptions, id string) error {
	switch {
	case o.output == "" && o.modulesDir == "":
		return usageError(cmd.CommandPath(), "needs -o FILE or --modules-dir DIR")
	case o.module != "" && o.output == "":
		return usageError(cmd.CommandPath(), "--module needs -o FILE")
	}
	if f, ok := cmd.OutOrStdout().(*outWriter).w.(*os.File); o.output == "-" && ok && term.IsTerminal(int(f.Fd())) {
		return usageError(cmd.CommandPath(), "BTF is no text for a terminal: name a file, or send it through a pipe")
	}
	all, err := o.archives.kernels(cmd.CommandPath())
	var problems kernels.FileErrors
	if err != nil && !errors.As(err, &problems) {
		return err
	}
	return errors.Join(err, export(cmd.OutOrStdout(), o, all, id))
}

func export(stdout io.Writer, o kernelsExportOptions, all []*kernels.Kernel, id string) error {
	k, err := findKernel(all, id)
	if err != nil {
		return err
	}
	if k.NoBTF != "" {
		return withCode(exitUndecided, hinted(fmt.Errorf("%s has no BTF: %s", k.ID, k.NoBTF), "there is nothing to export; 'corecheck kernels show' says what is known of it"))
	}
	vmlinux, modules, err := rawBTF(k)
	if err != nil {
		return err
	}
	data := vmlinux
	if o.module != "" {
		name := strings.ReplaceAll(o.module, "-", "_")
		i := slices.IndexFunc(modules, func(m archive.RawModule) bool { return m.Name == name })
		if i < 0 {
			return withCode(exitUndecided, noModule(k, name, modules))
		}
		data = modules[i].BTF
	}
	for _, m := range modules {
		if m.Name != filepath.Base(m.Name) || strings.HasPrefix(m.Name, ".") {
			return hinted(fmt.Errorf("%s has a module named %q, which can't be the name of a file", k.ID, m.Name), "export the others one by one with --module")
		}
	}
	if o.modulesDir != "" {
		if err := os.MkdirAll(o.modulesDir, 0o777); err != nil {
			return err
		}
		for _, m := range modules {
			if err := fileAtomically(filepath.Join(o.modulesDir, m.Name+".btf"), stdout, m.BTF); err != nil {
				return err
			}
		}
	}
	if o.output == "" {
		return nil
	}
	return fileAtomically(o.output, stdout, data)
}

func noModule(k *kernels.Kernel, name string, modules []archive.RawModule) error {
	err := fmt.Errorf("there is no BTF of a module %q of %s", name, k.ID)
	if len(modules) == 0 {
		return hinted(err, "there is none of any module of it; 'corecheck kernels show' says why")
	}
	return hinted(err, fmt.Sprintf("there is that of %s: 'corecheck kernels show %s' lists them", count(len(modules), "module"), k.ID))
}

// rawBTF is a kernel's BTF as bytes. One that is in no archive goes through one in memory, so that what comes out is the same.
func rawBTF(k *kernels.Kernel) (vmlinux []byte, modules []archive.RawModule, err error) {
	if a, i, ok := k.Archived(); ok {
		return a.Raw(i)
	}
	btf, mods, err := k.Load()
	if err != nil {
		return nil, nil, err
	}
	b := &archive.Build{Kernel: archive.Kernel{ID: k.ID, Distro: k.Distro, Release: k.Release, Arch: k.Arch, Uname: k.Uname}, BTF: btf}
	for _, m := range mods {
		b.Modules = append(b.Modules, archive.Module(m))
	}
	w := archive.NewWriter()
	if _, err := w.Add(b); err != nil {
		return nil, nil, err
	}
	data, err := w.Encode(nil)
	if err != nil {
		return nil, nil, err
	}
	a, err := archive.OpenBytes(k.Source, data)
	if err != nil {
		return nil, nil, err
	}
	return a.Raw(0)
}
