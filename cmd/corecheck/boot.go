package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot"
	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/compat/boot/vm"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/images"
	"github.com/corecheck/corecheck/kernels/pull"
	"github.com/corecheck/corecheck/relocate"
)

// bootOptions are the flags of 'corecheck boot'.
type bootOptions struct {
	kernels     kernelOptions
	images      []string
	modules     []string
	modulesFrom string
	packages    []string
	cache       string
	offline     bool
	loader      string
	command     string
	bins        []string
	targets     []string
	accel       string
	qemu        string
	guest       string
	memory      int
	jobs        int
	bootTime    time.Duration
	objectTime  time.Duration
	programTime time.Duration
	logs        string
	logLines    int
	output      string
	verbose     bool
}

func newBootCommand() *cobra.Command {
	var o bootOptions
	cmd := &cobra.Command{
		Use:   "boot FILE|DIR|GLOB... --kernels SELECTOR",
		Short: "Boot kernels, load and attach BPF objects there, and compare with what is predicted",
		Long: `Boot kernels in QEMU, load and attach BPF objects on each of them, and show what was observed beside what
'corecheck object' predicts.

Each object is loaded whole, as libbpf does, and each of its programs alone; a program is then attached by what its
section says, and detached again. No root, no network and no disk image is needed: a guest has a root file system in
memory with corecheck as its init, the objects, and the kernel's modules that they need. Kernels boot with KVM where it
works, else by translation (TCG), in a few seconds.

Images and modules of kernels come from the packages that the archive says they are from: from folders and files of
--packages, the cache, or the repositories that apt is configured for, with the digests that these say. --image boots a
file instead.

With --kernels ` + kernels.Grammar + `

Without arch: or id: terms only kernels of this machine's architecture are booted, where there are any.

Objects under test are trusted with nothing but their guest: docs/boot.md has what they could do.

Exit codes:
  0  all is as predicted, and nothing breaks
  1  a prediction was wrong, or something breaks
  2  wrong usage, or an input that can't be read
  3  a kernel could not be booted, or not to the end
Of several 2 comes first, then 1, then 3.`,
		Example: `  corecheck boot tool.bpf.o --kernels 'distro:debian,5.10..6.12'
  corecheck boot /usr/sbin/opensnoop --kernels 6.1 -o json
  corecheck boot probe.o --image /boot/vmlinuz-6.1.0-50-amd64 --target on_event=vfs_read
  corecheck boot tool.o --kernels '>=6.1' --command './loader tool.o' --bin ./loader --bin tool.o`,
		Args: needsSome("FILE or DIR"),
		RunE: func(cmd *cobra.Command, args []string) error { return runBoot(cmd, args, o) },
	}
	f := cmd.Flags()
	f.StringArrayVarP(&o.kernels.Selectors, "kernels", "k", nil, "boot these kernels: `SELECTOR` such as 5.4..6.8 or '>=5.15,arch:arm64,!7.0'")
	o.kernels.archiveOptions.AddFlags(f)
	f.StringArrayVar(&o.images, "image", nil, "boot this image, or that in this package, too: `FILE` (repeatable)")
	f.StringSliceVar(&o.modules, "modules", nil, "insert these modules, with those that they need, beside those that the objects need: `NAME,…`")
	f.StringVar(&o.modulesFrom, "modules-from", "", "where modules for --image are: `DIR|PACKAGE` (default lib/modules beside it)")
	f.StringArrayVar(&o.packages, "packages", nil, "look for packages of kernels here first: `FILE|DIR` (repeatable)")
	f.StringVar(&o.cache, "cache", "", "the folder for packages and what is taken out of them: `DIR` (default corecheck in your cache folder)")
	f.BoolVar(&o.offline, "offline", false, "ask no server: what is neither in --packages nor in the cache can't be booted")
	f.StringVar(&o.loader, "loader", "corecheck", "`WHO` loads the objects: corecheck, or libbpf (Debian's bpftool), which loads them whole only")
	f.StringVar(&o.command, "command", "", "run your own loader in the guests instead, and take its exit status: `'CMD ARG…'`")
	f.StringArrayVar(&o.bins, "bin", nil, "put this file and the libraries that it needs into the guests, at its path and in /bin: `FILE` (repeatable)")
	f.StringArrayVar(&o.targets, "target", nil, "load and attach a program for this target, as if its section named it, and predict for it: `[OBJECT:]PROGRAM=FUNCTION` (repeatable)")
	f.StringVar(&o.accel, "accel", "auto", "run guests this `WAY`: kvm, tcg, or auto, which is KVM where a probe proves that it works")
	f.StringVar(&o.qemu, "qemu", "", "the QEMU to use: `FILE` (default qemu-system-ARCH in PATH)")
	f.StringVar(&o.guest, "guest", "", "corecheck for the guests' architecture, static: `FILE` (default this one, or corecheck-linux-ARCH beside it)")
	f.IntVar(&o.memory, "memory", 0, "memory of a guest: `MB` (default as needed, 1024 or more)")
	f.IntVarP(&o.jobs, "jobs", "j", 0, "boot so many kernels at once: `N` (default by processors and free memory)")
	f.DurationVar(&o.bootTime, "timeout-boot", boot.DefaultBootTimeout, "end a guest that says nothing for so long")
	f.DurationVar(&o.objectTime, "timeout-object", boot.DefaultObjectTimeout, "go on to the next object after so long; of --command, end it")
	f.DurationVar(&o.programTime, "timeout-program", boot.DefaultProgramTimeout, "take a program for one that hangs after so long")
	f.StringVar(&o.logs, "logs", "", "keep the consoles' logs here: `DIR` (default corecheck/boot in your cache folder)")
	f.IntVar(&o.logLines, "log-lines", boot.DefaultLogLines, "keep so many lines of each verifier's log: `N`")
	f.StringVarP(&o.output, "output", "o", "table", "`FORMAT` of the report: table or json")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the logs of what failed")
	for _, name := range []string{"image", "qemu", "guest", "bin"} {
		_ = cobra.MarkFlagFilename(f, name) // the flag is there
	}
	for _, name := range []string{"logs", "cache"} {
		_ = cobra.MarkFlagDirname(f, name)
	}
	return cmd
}

// check refuses flags that make no sense.
func (o *bootOptions) check(command string, given func(flag string) bool) error {
	if err := oneOf(command, "--output", o.output, "table", "json"); err != nil {
		return err
	}
	if err := oneOf(command, "--loader", o.loader, "corecheck", "libbpf"); err != nil {
		return err
	}
	if err := oneOf(command, "--accel", o.accel, "auto", "kvm", "tcg"); err != nil {
		return err
	}
	selected := slices.ContainsFunc(o.kernels.Selectors, func(s string) bool { return strings.TrimSpace(s) != "" })
	switch {
	case !selected && len(o.images) == 0:
		return hinted(errors.New("no kernel is named"), "name those to boot with --kernels, as --kernels 6.1 or --kernels 'distro:debian,>=5.10', or an image with --image")
	case o.command == "" && given("command"): // a variable of a script that is not set, more often than not
		return usageError(command, "--command is empty")
	case o.command != "" && o.loader != "corecheck":
		return usageError(command, "--command and --loader contradict each other")
	case o.command == "" && len(o.bins) > 0:
		return usageError(command, "--bin is for --command, which is not given")
	case len(o.targets) > 0 && o.loader == "libbpf":
		return usageError(command, "--target and --loader libbpf contradict each other: bpftool takes no targets")
	case o.modulesFrom != "" && len(o.images) == 0:
		return usageError(command, "--modules-from is for --image, which is not given")
	case o.memory != 0 && (o.memory < 128 || o.memory > 1<<20):
		return usageError(command, "--memory is %d MB, want 128 to %d", o.memory, 1<<20)
	case o.jobs < 0 || o.jobs > 256:
		return usageError(command, "--jobs is %d, want 0 to 256", o.jobs)
	case o.logLines < 1 || o.logLines > 1000:
		return usageError(command, "--log-lines is %d, want 1 to 1000", o.logLines)
	}
	for _, t := range []struct {
		flag string
		d    time.Duration
	}{{"--timeout-boot", o.bootTime}, {"--timeout-object", o.objectTime}, {"--timeout-program", o.programTime}} {
		if t.d < time.Second || t.d > 24*time.Hour {
			return usageError(command, "%s is %v, want 1s to 24h", t.flag, t.d)
		}
	}
	return nil
}

func runBoot(cmd *cobra.Command, args []string, o bootOptions) error {
	if err := o.check(cmd.CommandPath(), cmd.Flags().Changed); err != nil {
		return err
	}
	objs, problems := openObjects(args)
	if len(objs) == 0 {
		return errors.Join(problems...)
	}
	opt := boot.Options{
		Check:   compat.Options{Version: readBuildInfo().Version},
		Loader:  guest.Loader(o.loader),
		Modules: o.modules, ModulesFrom: o.modulesFrom, Guest: o.guest, MemoryMB: o.memory, Jobs: o.jobs,
		BootTimeout: o.bootTime, ObjectTimeout: o.objectTime, ProgramTimeout: o.programTime, LogLines: o.logLines, LogDir: o.logs,
	}
	var err error
	if opt.Targets, err = o.programTargets(cmd.CommandPath(), objs); err != nil {
		return err
	}
	if err := o.ownLoader(cmd.CommandPath(), &opt); err != nil {
		return err
	}
	if opt.LogDir, err = o.logDir(); err != nil {
		return err
	}
	ctx, stop := interruptible(cmd)
	defer stop()
	bars := newProgress(cmd.ErrOrStderr())
	defer bars.stop()
	show := &bootProgress{bars: bars, stderr: bars.before(cmd.ErrOrStderr()), started: map[string]bool{}}
	finder, err := images.New(images.Options{CacheDir: o.cache, Folders: o.packages, Offline: o.offline, Progress: show.files, Apt: pull.AptOptions{}})
	if err != nil {
		return err
	}
	defer finder.Close()
	opt.Finder, opt.Progress = finder, show.kernel
	v := vm.Options{Binary: o.qemu, CacheDir: o.cache}
	if o.accel != "auto" {
		v.Accel = vm.Accel(o.accel)
	}
	opt.Machines = boot.QEMU{Options: v}
	list, sel, err := o.find(ctx, cmd, finder)
	if err != nil {
		return interrupted(ctx, err)
	}
	opt.Check.AnyArch = sel.ByArch
	opt.Check.Coverage = compat.Coverage{Requested: sel.Coverage.Requested, Missing: sel.Coverage.Missing, Text: sel.Coverage.Text()}
	// The kernels that come with corecheck tell built-in code from that of modules, and which module has what.
	if own, err := kernels.Embedded(); err == nil {
		opt.Check.Reference = own
	}
	show.total = len(list)
	rep, err := boot.Run(ctx, objs, list, opt)
	bars.stop()
	if err != nil {
		return interrupted(ctx, err)
	}
	unread := rep.Errors // kernels that were listed, and of which nothing could be predicted
	problems = append(problems, flatten(sel.Problems, nil)...)
	for _, err := range problems {
		rep.AddError(err)
	}
	for _, e := range unread {
		problems = append(problems, hinted(errors.New(e.Message), e.Hint))
	}
	if o.output == "json" {
		err = rep.WriteJSON(cmd.OutOrStdout())
		for _, s := range rep.Findings() {
			fmt.Fprintln(cmd.ErrOrStderr(), "corecheck: "+oneLine(s))
		}
	} else {
		err = rep.WriteTable(cmd.OutOrStdout(), compat.TableOptions{Color: useColor(), Verbose: o.verbose})
	}
	return errors.Join(append(problems, err, exitWith(rep.ExitCode()))...)
}

// find lists the kernels to boot: the images first, where an ID is there twice.
func (o *bootOptions) find(ctx context.Context, cmd *cobra.Command, finder *images.Finder) ([]boot.Kernel, selection, error) {
	var sel selection
	if slices.ContainsFunc(o.kernels.Selectors, func(s string) bool { return strings.TrimSpace(s) != "" }) {
		var err error
		if sel, err = o.kernels.find(cmd.CommandPath(), cmd.ErrOrStderr(), nil); err != nil {
			return nil, sel, err
		}
		if own := ownArch(sel.Kernels); !sel.ByArch && len(own) > 0 && len(own) < len(sel.Kernels) {
			fmt.Fprintf(cmd.ErrOrStderr(), "note: %s of other architectures than this machine's are left out; --kernels arch:NAME takes them\n",
				count(len(sel.Kernels)-len(own), "kernel"))
			sel.Kernels = own
		}
	}
	image := map[string]string{}
	var named []*kernels.Kernel
	var bad []error // images that are none: the others are booted all the same
	for _, path := range o.images {
		found, err := o.fromImage(ctx, finder, path)
		if ctx.Err() != nil {
			return nil, sel, ctx.Err()
		}
		if err != nil {
			bad = append(bad, err)
			continue
		}
		for _, k := range found {
			if other := image[k.ID]; other != "" {
				return nil, sel, fmt.Errorf("%s and %s are both %s, and one kernel is booted once", other, path, k.ID)
			}
			image[k.ID] = path
			named = append(named, k)
		}
	}
	var list []boot.Kernel
	for _, k := range kernels.Union(named, sel.Kernels) {
		list = append(list, boot.Kernel{Kernel: k, Image: image[k.ID]})
	}
	if len(list) == 0 && len(bad) > 0 {
		return nil, sel, errors.Join(bad...)
	}
	sel.Problems = errors.Join(append(bad, sel.Problems)...)
	return list, sel, nil
}

// fromImage reads the kernels of a file of --image.
func (o *bootOptions) fromImage(ctx context.Context, finder *images.Finder, path string) ([]*kernels.Kernel, error) {
	files, err := finder.FromFile(ctx, path, o.modulesFrom, nil)
	if err != nil {
		return nil, err
	}
	found, err := kernels.FromPath(files.Image)
	if e := files.Close(); err == nil {
		err = e
	}
	return found, err
}

// ownArch are the kernels of this machine's architecture.
func ownArch(all []*kernels.Kernel) (own []*kernels.Kernel) {
	arch, _ := kernels.Arch(runtime.GOARCH)
	for _, k := range all {
		if k.Arch == arch {
			own = append(own, k)
		}
	}
	return own
}

// programTargets reads --target.
func (o *bootOptions) programTargets(command string, objs []*relocate.Object) (map[string]string, error) {
	targets := map[string]string{}
	for _, t := range o.targets {
		who, function, ok := strings.Cut(t, "=")
		if !ok || who == "" || function == "" {
			return nil, usageError(command, "--target is %q, want PROGRAM=FUNCTION or OBJECT:PROGRAM=FUNCTION", t)
		}
		if targets[who] != "" {
			return nil, usageError(command, "--target gives program %s two functions, %s and %s", who, targets[who], function)
		}
		there := false
		for _, x := range objs {
			for _, p := range x.Programs {
				if p.Name != who && x.Name+":"+p.Name != who {
					continue
				}
				there = true
				if _, err := boot.Targeted(p.Sec, function); err != nil {
					return nil, usageError(command, "--target is for program %s of %s: %w", p.Name, x.Name, err)
				}
			}
		}
		if !there {
			return nil, usageError(command, "--target is for a program %q, and no object has it", who)
		}
		targets[who] = function
	}
	return targets, nil
}

// ownLoader reads --command and --bin.
func (o *bootOptions) ownLoader(command string, opt *boot.Options) error {
	if o.command == "" {
		return nil
	}
	words, err := splitWords(o.command)
	if err != nil {
		return usageError(command, "--command: %w", err)
	}
	if len(words) == 0 {
		return usageError(command, "--command is empty")
	}
	opt.Loader, opt.Command = guest.Command, words
	for _, name := range o.bins {
		path, err := filepath.Abs(name)
		if err != nil {
			return err
		}
		st, err := os.Stat(path)
		switch {
		case err != nil:
			return err
		case !st.Mode().IsRegular():
			return fmt.Errorf("%s is no file", name)
		}
		path = filepath.ToSlash(path)
		opt.Bins = append(opt.Bins, path)
		// What the command line names as the user has it is there under its whole path.
		for i, w := range opt.Command {
			if w == name {
				opt.Command[i] = path
			}
		}
	}
	return nil
}

// splitWords splits a command line at spaces as a shell does: '…' and "…" keep words together, and a backslash outside
// of '…' takes what follows as it is. There is no shell in a guest, and so no variable, pattern or redirection.
func splitWords(s string) ([]string, error) {
	var words []string
	var word strings.Builder
	in, quote, escaped := false, rune(0), false
	for _, r := range s {
		switch {
		case escaped:
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			in, escaped = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			in, quote = true, r
		case r == ' ' || r == '\t' || r == '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		default:
			in = true
			word.WriteRune(r)
		}
	}
	switch {
	case quote != 0:
		return nil, fmt.Errorf("a %c has no second one", quote)
	case escaped:
		return nil, errors.New("a backslash has nothing behind it")
	case in:
		words = append(words, word.String())
	}
	return words, nil
}

// logDir is where consoles' logs are kept.
func (o *bootOptions) logDir() (string, error) {
	if o.logs != "" {
		return o.logs, nil
	}
	if o.cache != "" {
		return filepath.Join(o.cache, "boot"), nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", hinted(fmt.Errorf("there is no folder for the consoles' logs: %w", err), "name one with --logs")
	}
	return filepath.Join(dir, "corecheck", "boot"), nil
}

// bootProgress shows how far the kernels are.
type bootProgress struct {
	bars    *progress
	stderr  io.Writer
	total   int // kernels
	ended   int
	started map[string]bool // packages that come
}

// files tells of the way to kernels' files.
func (p *bootProgress) files(e images.Event) {
	name := e.Kernel
	if name == "" {
		name = e.Package
	}
	switch e.Phase {
	case images.Downloading:
		if !p.bars.draws() && !p.started[e.Package] {
			p.started[e.Package] = true
			fmt.Fprintln(p.stderr, oneLine("fetching "+e.Package+sizeText(max(e.Total, 0))))
		}
		p.bars.set(name, "", e.Done, e.Total)
	default:
		p.bars.set(name, string(e.Phase)+" "+e.Package, 0, -1)
	}
}

// kernel tells of guests.
func (p *bootProgress) kernel(e boot.Event) {
	switch e.Phase {
	case boot.Ended:
		p.ended++
		p.bars.end(e.Kernel)
		if !p.bars.draws() {
			fmt.Fprintf(p.stderr, "[%d/%d] %s: %s\n", p.ended, p.total, oneLine(e.Kernel), runText(e.Run))
		}
	case boot.Testing:
		p.bars.set(e.Kernel, fmt.Sprintf("%d of %s", e.Done, count(e.Total, "program")), 0, -1)
	default:
		p.bars.set(e.Kernel, string(e.Phase), 0, -1)
	}
	p.bars.all(fmt.Sprintf("%d of %s", p.ended, count(p.total, "kernel")), 0, -1)
}

// runText is what became of a kernel, in a few words.
func runText(run *boot.KernelRun) string {
	if run.Status == boot.Failed {
		return "not booted"
	}
	c := run.Count()
	text := fmt.Sprintf("booted in %.1f s with %s, %s, %d not as predicted", float64(run.BootMillis)/1000, run.Accel, count(c.Programs, "program"), c.Wrong())
	if run.Status == boot.CutShort {
		text += ", cut short"
	}
	return text
}
