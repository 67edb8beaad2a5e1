package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/pull"
	"github.com/corecheck/corecheck/kernels/source"
)

// pullOptions are the flags that all 'corecheck kernels pull' commands have.
type pullOptions struct {
	target  archiveTarget
	modules string
	arch    string
	match   []string
	cache   string
	keep    bool
	again   bool
	dryRun  bool
	jobs    int
}

// AddFlags adds the flags to f.
func (o *pullOptions) AddFlags(f *pflag.FlagSet) {
	o.target.AddFlags(f)
	addModulesFlag(f, &o.modules)
	f.StringVar(&o.cache, "cache", "", "the folder for downloads: `DIR` (default corecheck in your cache folder)")
	f.BoolVar(&o.keep, "keep", false, "leave downloads in the cache once their kernels are added")
	f.BoolVar(&o.again, "again", false, "fetch kernels that the archive has from the same packages, too")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be fetched, and fetch nothing but the repository's lists")
	f.IntVarP(&o.jobs, "jobs", "j", 4, "fetch so many kernels at once: `N`")
}

// addMatch adds the flags that choose among a repository's kernels.
func (o *pullOptions) addMatch(f *pflag.FlagSet, match, arch string) {
	f.StringArrayVar(&o.match, "match", nil, match+": `GLOB` (repeatable)")
	f.StringVar(&o.arch, "arch", "", arch+": `ARCH`")
}

const pullLong = `Kernels that the archive has from the same version of a package are not fetched again, so that a pull that was broken
off goes on where it was, and one that is repeated brings what is new; --again fetches them all the same. Kernels go into
the archive every ten seconds or so while others are on their way. A transfer that was broken off is resumed from the
cache.

A kernel that can't be had is named at the end, and the others are added; the exit code is 2 then.`

func newKernelsPullCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pull",
		Short: "Fetch kernels from a distribution's repository into an archive",
		Long:  "Fetch kernels from a repository into an archive.\n\n" + pullLong,
	}
	cmd.AddCommand(newPullAptCommand(), newPullRPMCommand(), newPullBTFHubCommand())
	return cmd
}

func newPullAptCommand() *cobra.Command {
	var o pullOptions
	var apt pull.AptOptions
	cmd := &cobra.Command{
		Use:   "apt",
		Short: "Fetch kernels from a Debian-style repository",
		Long: `Fetch kernels from a Debian-style repository: Debian's, Ubuntu's, or any with a Release file.

Without --mirror the repositories, their keyrings, proxies and logins are those of the system's apt configuration, and
without --suite so are the suites; with --suite the repositories are asked for these suites, whether the configuration
has them or not.

Release files must be signed by a key of the keyring, and everything else must have the digest that they say; what does
not agree is refused.

` + pullLong,
		Example: `  corecheck kernels pull apt --latest-per-series
  corecheck kernels pull apt --suite bookworm --suite bookworm-security --match 'linux-image-*-cloud-amd64'
  corecheck kernels pull apt --arch arm64 --modules none --dry-run
  corecheck kernels pull apt --mirror http://deb.example/ubuntu --suite noble --keyring ubuntu-archive-keyring.gpg`,
		Args: needsNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			apt.Arch, apt.Match = o.arch, o.match
			return runPull(cmd, o, func(ctx context.Context, modules source.ModuleFilter) (pull.Source, error) {
				apt.NoModules = modules.None()
				return pull.NewApt(ctx, apt)
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&apt.Mirrors, "mirror", nil, "the repository, which has dists and pool: `URL|DIR` (repeatable; default those of apt)")
	f.StringArrayVar(&apt.Suites, "suite", nil, "the suite, as bookworm: `NAME` (repeatable)")
	f.StringArrayVar(&apt.Components, "component", nil, "the component, as main: `NAME` (repeatable)")
	o.addMatch(f, "the packages that have the images, as 'linux-image-*-amd64'", "the architecture in Debian's words, as amd64")
	f.BoolVar(&apt.LatestPerSeries, "latest-per-series", false, "only the newest of each minor release and flavour")
	f.StringArrayVar(&apt.Keyrings, "keyring", nil, "the keys that may sign, instead of the system's: `FILE` (repeatable)")
	f.BoolVar(&apt.AllowExpired, "allow-expired", false, "take lists that say that they are out of date, as those of an archive of old releases")
	o.AddFlags(f)
	return cmd
}

func newPullRPMCommand() *cobra.Command {
	var o pullOptions
	var rpm pull.RPMOptions
	cmd := &cobra.Command{
		Use:   "rpm --repo URL|DIR",
		Short: "Fetch kernels from an rpm repository",
		Long: `Fetch kernels from an rpm repository: Fedora's, RHEL's and those made from it, SUSE's, Amazon's.

With --key repodata/repomd.xml must be signed by that key; without it only the transport vouches for the lists, which is
said. Everything else must have the digest that they say.

` + pullLong,
		Example: `  corecheck kernels pull rpm --repo https://repo.example/fedora/42/x86_64/os --key fedora.gpg --distro fedora --release 42
  corecheck kernels pull rpm --repo /srv/repo --match 'kernel-rt-core' --modules none`,
		Args: needsNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			rpm.Arch, rpm.Match = o.arch, o.match
			if rpm.Release != "" && rpm.Distro == "" {
				return usageError(cmd.CommandPath(), "--release needs --distro")
			}
			return runPull(cmd, o, func(_ context.Context, modules source.ModuleFilter) (pull.Source, error) {
				rpm.NoModules = modules.None()
				return pull.NewRPM(rpm)
			})
		},
	}
	f := cmd.Flags()
	f.StringArrayVar(&rpm.Repos, "repo", nil, "the repository, which has repodata: `URL|DIR` (repeatable)")
	f.StringArrayVar(&rpm.Keys, "key", nil, "the keys that may sign the lists: `FILE` (repeatable)")
	o.addMatch(f, "the packages that have the images, as 'kernel-core'", "the architecture in rpm's words, as x86_64")
	f.BoolVar(&rpm.LatestPerSeries, "latest-per-series", false, "only the newest of each minor release and flavour")
	f.StringVar(&rpm.Distro, "distro", "", "the first part of the IDs, where the packages don't tell: `NAME`")
	f.StringVar(&rpm.Release, "release", "", "the second part of the IDs, with --distro: `NAME`")
	o.AddFlags(f)
	return cmd
}

func newPullBTFHubCommand() *cobra.Command {
	var o pullOptions
	var hub pull.BTFHubOptions
	cmd := &cobra.Command{
		Use:   "btfhub --from URL|DIR",
		Short: "Fetch kernels from a folder in BTFHub's layout",
		Long: `Fetch kernels from a folder in BTFHub's layout, distro/release/arch/UNAME.btf.tar.xz, on a server or on this machine.

Over HTTP the listings that servers make of folders are followed, or --list names a file with the paths. BTFHub has no
signatures and no digests: only the transport vouches for what comes.

` + pullLong,
		Example: `  corecheck kernels pull btfhub --from btfhub-archive --match 'ubuntu/20.04/*'
  corecheck kernels pull btfhub --from https://mirror.example/btfhub --arch arm64 --dry-run`,
		Args: needsNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			hub.Arch, hub.Match = o.arch, o.match
			return runPull(cmd, o, func(context.Context, source.ModuleFilter) (pull.Source, error) { return pull.NewBTFHub(hub) })
		},
	}
	f := cmd.Flags()
	f.StringVar(&hub.From, "from", "", "the folder that has the distributions' folders: `URL|DIR`")
	f.StringVar(&hub.List, "list", "", "a text with the paths below --from, one a line, instead of listings: `URL|FILE`")
	o.addMatch(f, "the kernels by ID, as 'ubuntu/20.04/*'", "the architecture, as x86_64")
	o.AddFlags(f)
	return cmd
}

// runPull fetches what a source has into an archive.
func runPull(cmd *cobra.Command, o pullOptions, open func(context.Context, source.ModuleFilter) (pull.Source, error)) error {
	path, err := o.target.path(cmd.CommandPath())
	if err != nil {
		return err
	}
	modules, err := source.ParseModules(o.modules)
	if err != nil {
		return usageError(cmd.CommandPath(), "--modules: %w", err)
	}
	if o.jobs < 1 || o.jobs > 64 {
		return usageError(cmd.CommandPath(), "--jobs is %d, want 1 to 64", o.jobs)
	}
	if o.cache == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return hinted(fmt.Errorf("there is no folder for downloads: %w", err), "name one with --cache")
		}
		o.cache = filepath.Join(dir, "corecheck", "pull")
	}
	start := time.Now()
	ctx, stop := interruptible(cmd)
	defer stop()
	src, err := open(ctx, modules)
	if err != nil {
		return err
	}
	have, err := readHave(path)
	if err != nil {
		return err
	}
	plan, err := src.Plan(ctx)
	if err != nil {
		return interrupted(ctx, err)
	}
	defer plan.Close()
	if plan.Unsigned != "" {
		fmt.Fprintln(cmd.ErrOrStderr(), "note: "+plan.Unsigned)
	}
	if len(plan.Kernels) == 0 {
		return errors.Join(append(slices.Clone(plan.Problems), withCode(exitUndecided,
			hinted(errors.New("the repository has no such kernel"), "--match takes globs, --arch the repository's word for an architecture; without them all kernels are taken")))...)
	}
	skip := func(k *pull.Kernel) bool { return !o.again && have.has(k, modules) }
	if o.dryRun {
		return errors.Join(append(slices.Clone(plan.Problems), printPlan(cmd.OutOrStdout(), plan, skip))...)
	}
	return fetchPlan(ctx, cmd, o, path, plan, modules, skip, start)
}

// fetchPlan fetches a plan's kernels into the archive at path. start is when the command began.
func fetchPlan(ctx context.Context, cmd *cobra.Command, o pullOptions, path string, plan *pull.Plan, modules source.ModuleFilter, skip func(*pull.Kernel) bool, start time.Time) error {
	bars := newProgress(cmd.ErrOrStderr())
	defer bars.stop()
	stderr := bars.before(cmd.ErrOrStderr())
	c := &collector{target: &o.target, path: path, out: bars.before(cmd.OutOrStdout()), stderr: stderr, modules: modules, window: pullWindow}
	finished := 0
	started := map[*pull.Kernel]bool{}
	opt := pull.FetchOptions{
		CacheDir: o.cache, Parallel: o.jobs, Modules: modules, Skip: skip,
		Progress: func(e pull.Event) {
			name := cmp.Or(e.Kernel.ID, strings.TrimSpace(e.Kernel.Name+" "+e.Kernel.Version))
			switch e.Phase {
			case pull.Downloading:
				if !bars.draws() && !started[e.Kernel] {
					started[e.Kernel] = true
					fmt.Fprintln(stderr, oneLine("fetching "+name+sizeText(e.Kernel.Bytes())))
				}
				bars.set(name, "", e.Done, e.Total)
			case pull.Reading:
				bars.set(name, "reading", 0, -1)
			default:
				finished++
				bars.end(name)
			}
			bars.all(fmt.Sprintf("%d of %s", finished, count(len(plan.Kernels), "kernel")), e.AllDone, e.AllTotal)
		},
	}
	var sum *pull.Summary
	err := c.run(ctx, func(ctx context.Context, yield func(collected) error) error {
		var err error
		sum, err = pull.Fetch(ctx, plan, opt, func(h *pull.Handed) error {
			if o.keep {
				return yield(collected{build: h.Build})
			}
			return yield(collected{h.Build, h.Discard})
		})
		return err
	})
	err = interrupted(ctx, err)
	bars.stop()
	summary := fmt.Sprintf("%s, %d there already, %d failed; %s fetched in %s", c.kernelCounts(), sum.Skipped, failed(sum),
		byteText(sum.Downloaded+plan.IndexBytes), seconds(time.Since(start)))
	if sum.Cached > 0 {
		summary += ", " + byteText(sum.Cached) + " from the cache"
	}
	if state := c.state(); state != "" {
		summary += "; " + state
	}
	if _, err := fmt.Fprintln(cmd.OutOrStdout(), summary); err != nil {
		return err
	}
	problems := append(slices.Clone(plan.Problems), c.problems...)
	for _, f := range sum.Failures {
		problems = append(problems, failure(f))
	}
	return errors.Join(append(problems, err)...)
}

// failed counts the kernels that could not be had at all.
func failed(sum *pull.Summary) int {
	n := 0
	for _, f := range sum.Failures {
		if !f.Partial {
			n++
		}
	}
	return n
}

// failure is the error about a kernel that could not be had, or not whole.
func failure(f pull.Failure) error {
	name := cmp.Or(f.Kernel.ID, strings.TrimSpace(f.Kernel.Name+" "+f.Kernel.Version))
	if f.Partial {
		return fmt.Errorf("%s was added, but not whole: %w", name, f.Err)
	}
	return fmt.Errorf("%s was not added: %w", name, f.Err)
}

// sizeText is " (98.2 MB)", "" where the size is not known.
func sizeText(n int64) string {
	if n == 0 {
		return ""
	}
	return " (" + byteText(n) + ")"
}

// printPlan says what would be fetched.
func printPlan(w io.Writer, plan *pull.Plan, skip func(*pull.Kernel) bool) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KERNEL\tVERSION\tARCH\tPACKAGES\tSIZE\tNOTE")
	var bytes int64
	fetch, unknown := 0, false
	files := map[string]bool{}
	for _, k := range plan.Kernels {
		var notes []string
		if skip(k) {
			notes = append(notes, "there already")
		} else {
			fetch++
			for _, p := range k.Packages {
				if !files[p.URI] {
					files[p.URI] = true
					bytes += max(p.Size, 0)
					unknown = unknown || p.Size < 0
				}
			}
		}
		if len(k.Gone) > 0 {
			notes = append(notes, "not in the repository: "+strings.Join(k.Gone, ", "))
		}
		size := "-"
		if k.Bytes() > 0 {
			size = byteText(k.Bytes())
		}
		row := []string{cmp.Or(k.ID, k.Name), cmp.Or(k.Version, "-"), cmp.Or(k.Arch, "-"), fmt.Sprint(len(k.Packages)), size, strings.Join(notes, "; ")}
		for i := range row {
			row[i] = oneLine(row[i])
		}
		fmt.Fprintln(t, strings.TrimRight(strings.Join(row, "\t"), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	size := byteText(bytes)
	if unknown {
		size = "an unknown size"
	}
	_, err := fmt.Fprintf(w, "%s, %d there already; %s of %s to fetch\n", count(len(plan.Kernels), "kernel"), len(plan.Kernels)-fetch, count(len(files), "file"), size)
	return err
}

// haveKernels are the kernels of the archive, by what a repository tells of them beforehand.
type haveKernels struct {
	byID      map[string]*archive.Kernel
	byPackage map[string][]*archive.Kernel // name and version
}

// readHave reads what the archive has. One that is not there has nothing.
func readHave(path string) (*haveKernels, error) {
	h := &haveKernels{map[string]*archive.Kernel{}, map[string][]*archive.Kernel{}}
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return h, nil
	}
	a, err := kernels.OpenArchive(path)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	for i := range a.Len() {
		k := a.Kernel(i)
		h.byID[k.ID] = k
		name := k.Package + " " + k.PackageVersion
		h.byPackage[name] = append(h.byPackage[name], k)
	}
	return h, nil
}

// has tells that the archive has a kernel from the same version of its package, with the modules that are wanted.
func (h *haveKernels) has(k *pull.Kernel, modules source.ModuleFilter) bool {
	if k.ID != "" {
		return h.byID[k.ID] != nil // of BTFHub, where a file does not change and has no modules
	}
	arch, known := kernels.Arch(k.Arch)
	return slices.ContainsFunc(h.byPackage[k.Name+" "+k.Version], func(a *archive.Kernel) bool {
		switch {
		case known && a.Arch != arch, k.Distro != "" && (a.Distro != k.Distro || a.Release != k.Release):
			return false
		case modules.None():
			return true
		}
		// A package of modules that was missing may be there by now.
		return len(a.Sources) >= len(k.Packages) && !slices.ContainsFunc(a.Missing, func(m archive.Missing) bool {
			return source.LeftOut(m, modules)
		})
	})
}
