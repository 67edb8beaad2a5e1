package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/source"
)

// kernelsAddOptions are the flags of 'corecheck kernels add'.
type kernelsAddOptions struct {
	target  archiveTarget
	modules string
	id      string
	version string
	distro  string
	release string
}

// AddFlags adds the flags to f.
func (o *kernelsAddOptions) AddFlags(f *pflag.FlagSet) {
	o.target.AddFlags(f)
	addModulesFlag(f, &o.modules)
	f.StringVar(&o.id, "id", "", "the kernel's ID, where only one kernel is added: `distro/release/arch/uname`")
	f.StringVar(&o.version, "version", "", "the kernel's upstream version, as 6.1.176: `VERSION`")
	f.StringVar(&o.distro, "distro", "", "the first part of the IDs: `NAME`")
	f.StringVar(&o.release, "release", "", "the second part of the IDs, with --distro: `NAME`")
}

func addModulesFlag(f *pflag.FlagSet, modules *string) {
	f.StringVar(modules, "modules", "all", "the modules to read, all, none, or names as ext4,nf_tables: `LIST`")
}

func newKernelsAddCommand() *cobra.Command {
	var o kernelsAddOptions
	cmd := &cobra.Command{
		Use:   "add FILE|DIR...",
		Short: "Add kernels to an archive: packages, images, BTF",
		Long: `Add kernels to an archive, which is made if it is not there. A kernel whose ID is there already is replaced.

A FILE is a .deb or .rpm package, a boot image (vmlinuz, Image, vmlinux), a kernel module, a configuration, BTFHub's
tarball, or raw BTF; its content decides, not its name. Of a DIR, whatever depth, all of these are taken: a folder of
packages, /boot, /lib/modules, a clone of btfhub-archive. What belongs to one kernel is put together, whether it comes in
one package or, as Debian's since 6.19, in several: name them together.

Raw BTF does not tell what kernel it is of: --id says so, unless a folder in BTFHub's layout does. With --id all that is
named has to be of one kernel, and readable, or nothing is added.

A file that can't be read is named, and the others are added; the exit code is 2 then. Another corecheck that changes
the archive is waited for. An archive is replaced at once and whole: a kill leaves the old one or the new one. What takes
long is written every half minute or so, so that adding again after a kill finds most of it there.`,
		Example: `  corecheck kernels add linux-image-6.1.0-50-amd64_6.1.176-1_amd64.deb
  corecheck kernels add linux-binary-7.2.12+deb13-amd64_*.deb linux-modules-7.2.12+deb13-amd64_*.deb
  corecheck kernels add --modules none /boot
  corecheck kernels add --id acme/3/arm64/5.10.120-acme vmlinux.btf
  corecheck kernels add --archive fleet.ccar btfhub-archive/ubuntu`,
		Args: needsSome("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return runKernelsAdd(cmd, o, args) },
	}
	o.AddFlags(cmd.Flags())
	return cmd
}

func runKernelsAdd(cmd *cobra.Command, o kernelsAddOptions, args []string) error {
	path, err := o.target.path(cmd.CommandPath())
	if err != nil {
		return err
	}
	if o.release != "" && o.distro == "" {
		return usageError(cmd.CommandPath(), "--release needs --distro")
	}
	modules, err := source.ParseModules(o.modules)
	if err != nil {
		return usageError(cmd.CommandPath(), "--modules: %w", err)
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	start := time.Now()
	bars := newProgress(cmd.ErrOrStderr())
	defer bars.stop()
	c := &collector{target: &o.target, path: path, out: bars.before(cmd.OutOrStdout()), stderr: bars.before(cmd.ErrOrStderr()), modules: modules, window: addWindow}

	var read int64
	files := 0
	opt := &source.Options{
		Modules: modules, ID: o.id, Version: o.version, Distro: o.distro, Release: o.release,
		Progress: func(e source.Event) {
			name := filepath.Base(e.Name)
			if !e.Done {
				bars.set(name, "", e.Read, e.Size)
				return
			}
			read += e.Read
			files++
			bars.end(name)
			bars.all(count(files, "file")+" read, "+byteText(read), 0, -1)
		},
	}
	err = c.run(ctx, func(ctx context.Context, yield func(collected) error) error {
		if o.id == "" {
			return source.Read(ctx, args, opt, func(b *archive.Build) error { return yield(collected{build: b}) })
		}
		// What is wrong may be that there is a second kernel; none of them gets the ID then.
		var one *archive.Build
		if err := source.Read(ctx, args, opt, func(b *archive.Build) error { one = b; return nil }); err != nil || one == nil {
			return err
		}
		return yield(collected{build: one})
	})
	err = interrupted(ctx, err)
	bars.stop()
	if err == nil && len(c.problems) == 0 || c.added+c.replaced+c.unchanged > 0 {
		summary := fmt.Sprintf("%s; %s read in %s", c.kernelCounts(), byteText(read), seconds(time.Since(start)))
		if state := c.state(); state != "" {
			summary += "; " + state
		}
		if _, err := fmt.Fprintln(cmd.OutOrStdout(), summary); err != nil {
			return err
		}
	}
	return errors.Join(append(c.problems, err)...)
}

// seconds is a duration for people.
func seconds(d time.Duration) string {
	return cmp.Or(d.Round(100*time.Millisecond), d.Round(time.Millisecond)).String()
}
