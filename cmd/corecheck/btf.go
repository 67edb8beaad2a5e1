package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

const btfLong = `FILE is whatever holds BTF: raw BTF of either byte order, a vmlinux, a module, a BPF object, a boot image, or any of
these compressed or in a tar archive; the content decides, not the name. Where there is no file of that name it is the ID
of a kernel that corecheck or your archive has, or the end of one, as in 'kernels show'; id:ID is one even where there is
such a file. With --host there is no FILE: the BTF of the running kernel is read.

NAME is the name of a type, function or variable, optionally with its kind before it: task_struct, 'struct net',
'union nf_inet_addr', 'enum rw_hint', 'typedef atomic_t', 'func vfs_read', 'var runqueues'.`

func newBTFCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "btf",
		Short: "Print the BTF of a kernel, module or object",
		Long:  "Print the BTF of a kernel, module or object.\n\n" + btfLong,
	}
	cmd.AddCommand(newBTFDumpCommand(), newBTFShowCommand(), newBTFStatCommand())
	return cmd
}

// btfInput says where the BTF is: the flags that all btf commands have.
type btfInput struct {
	archives archiveOptions
	Base     string
	Member   string
	Module   string
	Host     bool
}

// AddFlags adds the flags to f.
func (o *btfInput) AddFlags(f *pflag.FlagSet) {
	f.StringVar(&o.Base, "base", "", "the BTF of the kernel that the module in FILE belongs to: `FILE`")
	f.StringVar(&o.Member, "member", "", "the file to take from an archive that holds several: `PATH` in it, or the end of it")
	f.StringVar(&o.Module, "module", "", "the BTF of this module of the kernel whose ID stands for FILE: `NAME`")
	f.BoolVar(&o.Host, "host", false, "read the running kernel's BTF instead of a FILE")
	o.archives.AddFlags(f)
}

// open opens the BTF that args and flags name, and returns the arguments behind it.
func (o *btfInput) open(command string, args []string) (*btfinfo.BTF, []string, error) {
	if o.Host {
		if o.Base != "" || o.Member != "" || o.Module != "" {
			return nil, nil, usageError(command, "--base and --member belong to a FILE and --module to an ID, --host reads none")
		}
		f, err := btfinfo.OpenSystem()
		if err != nil {
			return nil, nil, err
		}
		return f.BTF, args, nil
	}
	if len(args) == 0 {
		return nil, nil, usageError(command, "needs a FILE, or --host")
	}
	if b, ok, err := o.known(command, args[0]); ok || err != nil {
		return b, args[1:], err
	}
	opt := &btfinfo.Options{Member: o.Member}
	if o.Base != "" {
		base, err := btfinfo.Open(o.Base, nil)
		if err != nil {
			return nil, nil, err
		}
		opt.Base = base.BTF
	}
	f, err := btfinfo.Open(args[0], opt)
	if err != nil {
		return nil, nil, err
	}
	return f.BTF, args[1:], nil
}

// known is the BTF of the kernel with that ID; ok is false where name is meant as a file.
func (o *btfInput) known(command, name string) (b *btfinfo.BTF, ok bool, err error) {
	id, isID := strings.CutPrefix(name, "id:")
	if !isID {
		if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
			if err == nil && o.Module != "" {
				return nil, false, usageError(command, "--module belongs to the ID of a kernel, and %s is a file", name)
			}
			return nil, false, nil
		}
	}
	all, err := o.archives.kernels(command)
	k, findErr := findKernel(all, id)
	switch {
	case findErr == nil && err == nil:
	case isID || findErr == nil: // what can't be read may have been meant to have that kernel
		return nil, false, errors.Join(err, findErr)
	case len(nearIDs(all, id)) == 0:
		return nil, false, nil // the error about the file says all
	default:
		return nil, false, hinted(fmt.Errorf("%s: there is no such file; taken for the ID of a kernel: %v", name, findErr), hintOf(findErr))
	}
	if o.Base != "" || o.Member != "" {
		return nil, false, usageError(command, "--base and --member belong to a file, and %s is a kernel's ID", name)
	}
	b, modules, err := k.Load()
	if err != nil || o.Module == "" {
		return b, err == nil, err
	}
	module := strings.ReplaceAll(o.Module, "-", "_")
	raw := make([]archive.RawModule, len(modules))
	for i, m := range modules {
		if m.Name == module {
			return m.BTF, true, nil
		}
		raw[i].Name = m.Name
	}
	return nil, false, withCode(exitUndecided, noModule(k, module, raw))
}

// inFile adds to an error about what was asked of a BTF which file that was.
func (o *btfInput) inFile(args []string, err error) error {
	var e *btfinfo.Error
	if errors.As(err, &e) && e.File == "" {
		if e.File = "the running kernel"; !o.Host {
			e.File = args[0]
		}
		if e.Hint == "" {
			e.Hint = "--format raw prints the types as they stand"
		}
	}
	return err
}

// btfDumpOptions are the flags of "btf dump".
type btfDumpOptions struct {
	btfInput
	Format string
}

// AddFlags adds the flags to f.
func (o *btfDumpOptions) AddFlags(f *pflag.FlagSet) {
	o.btfInput.AddFlags(f)
	f.StringVarP(&o.Format, "format", "f", "c", "what to print: c, raw or json")
}

// btfDumpers are the formats of "btf dump".
var btfDumpers = map[string]func(io.Writer, *btfinfo.BTF, btfinfo.DumpOptions) error{
	"c":    btfinfo.DumpC,
	"raw":  btfinfo.DumpRaw,
	"json": btfinfo.DumpJSON,
}

func newBTFDumpCommand() *cobra.Command {
	var opts btfDumpOptions
	cmd := &cobra.Command{
		Use:   "dump {FILE | --host} [NAME...]",
		Short: "Print types as C that compiles, as a list, or as JSON",
		Long: `Print all types, or those that are named.

As C they come with all that they need, in the order in which C wants them, and keep their layout: the output is a
vmlinux.h for programs built with clang for BPF. Types that share a name become NAME, NAME___2 and so on, which CO-RE
takes for flavours of NAME. Functions and variables are printed only where they are named.

As a list (raw) and as JSON (schema corecheck.btf/v1) the types stand one by one with their ids.

` + btfLong,
		Example: "  corecheck btf dump --host > vmlinux.h\n  corecheck btf dump 5.10.btf.tar.xz task_struct\n  corecheck btf dump --format json --base vmlinux nf_tables.ko.xz",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBTFDump(cmd.OutOrStdout(), cmd.CommandPath(), opts, args)
		},
	}
	opts.AddFlags(cmd.Flags())
	cmd.ValidArgsFunction = completeIDs(func() ([]*kernels.Kernel, error) { return opts.archives.kernels("") }, true)
	return cmd
}

func runBTFDump(w io.Writer, command string, opts btfDumpOptions, args []string) error {
	dump := btfDumpers[opts.Format]
	if dump == nil {
		return usageError(command, "--format is %q, want c, raw or json", opts.Format)
	}
	b, names, err := opts.open(command, args)
	if err != nil {
		return err
	}
	return opts.inFile(args, buffered(w, func(w io.Writer) error { return dump(w, b, btfinfo.DumpOptions{Names: names}) }))
}

// buffered calls f with a buffer before w, and writes what is left in it.
func buffered(w io.Writer, f func(io.Writer) error) error {
	out := bufio.NewWriterSize(w, 1<<16)
	if err := f(out); err != nil {
		return err
	}
	return out.Flush()
}

func newBTFShowCommand() *cobra.Command {
	var opts btfInput
	cmd := &cobra.Command{
		Use:   "show {FILE | --host} NAME...",
		Short: "Print a type with the offsets and sizes of its members, and the holes",
		Long: `Print types as pahole does: every member with its offset and size in bytes, a bitfield as "byte:bit size", holes,
where cache lines of 64 bytes begin, and a summary. Functions are printed as prototypes, enums with their values; where
several types have the name, all are printed.

` + btfLong,
		Example: "  corecheck btf show --host request\n  corecheck btf show 6.1.0-50-cloud-amd64 task_struct\n  corecheck btf show vmlinuz 'func vfs_read' 'enum rw_hint'",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBTFShow(cmd.OutOrStdout(), cmd.CommandPath(), opts, args)
		},
	}
	opts.AddFlags(cmd.Flags())
	cmd.ValidArgsFunction = completeIDs(func() ([]*kernels.Kernel, error) { return opts.archives.kernels("") }, true)
	return cmd
}

func runBTFShow(w io.Writer, command string, opts btfInput, args []string) error {
	b, names, err := opts.open(command, args)
	if err != nil {
		return err
	}
	if len(names) == 0 {
		return usageError(command, "needs the NAME of a type")
	}
	return opts.inFile(args, buffered(w, func(w io.Writer) error { return btfinfo.Show(w, b, names) }))
}

// btfStatOptions are the flags of "btf stat".
type btfStatOptions struct {
	btfInput
	Format string
}

// AddFlags adds the flags to f.
func (o *btfStatOptions) AddFlags(f *pflag.FlagSet) {
	o.btfInput.AddFlags(f)
	f.StringVarP(&o.Format, "format", "f", "text", "what to print: text or json")
}

func newBTFStatCommand() *cobra.Command {
	var opts btfStatOptions
	cmd := &cobra.Command{
		Use:   "stat {FILE | --host}",
		Short: "Count what a BTF holds",
		Long: `Count types and bytes by kind, names that several types share, functions, kfuncs, tracepoints, per-CPU variables.
Of a module's BTF its own types are counted, not those of the kernel.

` + strings.SplitN(btfLong, "\n\n", 2)[0],
		Example: "  corecheck btf stat /boot/vmlinuz\n  corecheck btf stat --base /sys/kernel/btf/vmlinux /sys/kernel/btf/kvm",
		RunE: func(cmd *cobra.Command, args []string) error {
			return runBTFStat(cmd.OutOrStdout(), cmd.CommandPath(), opts, args)
		},
	}
	opts.AddFlags(cmd.Flags())
	cmd.ValidArgsFunction = completeIDs(func() ([]*kernels.Kernel, error) { return opts.archives.kernels("") }, true)
	return cmd
}

func runBTFStat(w io.Writer, command string, opts btfStatOptions, args []string) error {
	if opts.Format != "text" && opts.Format != "json" {
		return usageError(command, "--format is %q, want text or json", opts.Format)
	}
	b, rest, err := opts.open(command, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usageError(command, "takes one FILE, have %q too", rest[0])
	}
	s := btfinfo.NewStat(b)
	return buffered(w, func(w io.Writer) error {
		if opts.Format == "text" {
			return s.Write(w)
		}
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(struct {
			Schema string `json:"schema"`
			btfinfo.Stat
		}{"corecheck.btfstat/v1", s})
	})
}
