package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

// archiveOptions says which archives are asked: the flags of every command that looks for kernels.
type archiveOptions struct {
	Archives   []string
	NoArchive  bool
	NoEmbedded bool
}

// AddFlags adds the flags to f.
func (o *archiveOptions) AddFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.Archives, "archive", nil, "ask the kernels of this archive, instead of those in $"+kernels.EnvArchive+" or your own: `FILE` (repeatable)")
	_ = cobra.MarkFlagFilename(f, "archive", "ccar") // the flag is there
	f.BoolVar(&o.NoArchive, "no-archive", false, "leave out your own archive and those in $"+kernels.EnvArchive)
	f.BoolVar(&o.NoEmbedded, "no-embedded", false, "leave out the kernels that come with corecheck")
}

// files are the archives that are asked.
func (o *archiveOptions) files(command string) ([]string, error) {
	if slices.Contains(o.Archives, "") {
		return nil, usageError(command, "--archive is empty, want a file")
	}
	if !o.NoArchive {
		return kernels.Archives(o.Archives), nil
	}
	if len(o.Archives) > 0 {
		return nil, usageError(command, "--archive and --no-archive contradict each other")
	}
	return nil, nil
}

// kernels lists the kernels of these archives. What can't be read comes back as an error beside those that can.
func (o *archiveOptions) kernels(command string) ([]*kernels.Kernel, error) {
	files, err := o.files(command)
	if err != nil {
		return nil, err
	}
	return kernels.Sources{Archives: files, Embedded: !o.NoEmbedded}.Kernels()
}

// archiveTarget says which archive is changed.
type archiveTarget struct {
	Archive []string
	NoWait  bool
}

// AddFlags adds the flags to f.
func (o *archiveTarget) AddFlags(f *pflag.FlagSet) {
	f.StringArrayVar(&o.Archive, "archive", nil, "the archive to change: `FILE` (default $"+kernels.EnvArchive+", or kernels.ccar in your data folder)")
	_ = cobra.MarkFlagFilename(f, "archive", "ccar")
	f.BoolVar(&o.NoWait, "no-wait", false, "end with an error where another corecheck is changing the archive")
}

// path is the archive.
func (o *archiveTarget) path(command string) (string, error) {
	named := slices.Compact(slices.Clone(o.Archive)) // cobra reads the flags twice for the shell's completion
	switch {
	case len(named) > 1:
		return "", usageError(command, "--archive is given %d times, and one archive is changed at a time", len(named))
	case len(named) == 1 && named[0] == "":
		return "", usageError(command, "--archive is empty, want a file")
	case len(named) == 1:
		return named[0], nil
	}
	return kernels.ArchiveToWrite("")
}

// errNothingChanged is what a change of an archive returns to leave the file as it is.
var errNothingChanged = errors.New("nothing changed")

// waitInterval is how often it is looked whether another writer has ended.
const waitInterval = 100 * time.Millisecond

// update changes the archive; where another process is doing so it says that it waits, or is an error with --no-wait.
// The lock is asked for again and again, because a wait inside of the system call would not end with an interrupt.
func (o *archiveTarget) update(ctx context.Context, path string, stderr io.Writer, change func(*archive.Writer) error) error {
	for said := false; ; said = true {
		err := archive.Update(path, archive.UpdateOptions{}, change)
		switch {
		case errors.Is(err, errNothingChanged):
			return nil
		case !errors.Is(err, archive.ErrBusy) || o.NoWait:
			return explainWrite(path, err)
		case !said:
			fmt.Fprintf(stderr, "waiting for another corecheck that changes %s\n", oneLine(path))
		}
		select {
		case <-time.After(waitInterval):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// explainWrite says what can be done about an archive that can't be written.
func explainWrite(path string, err error) error {
	var p *fs.PathError
	if !errors.As(err, &p) {
		return err
	}
	e := &btfinfo.Error{File: path, Off: -1, Msg: "can't be changed: " + p.Op + " " + p.Path, Err: p.Err, Hint: "the archive is as it was"}
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Hint = "the archive is as it was; the new one needs room beside it until it takes its place"
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Hint = "the archive and its folder have to be writable; --archive FILE names another one"
	}
	return e
}

// interruptible is a context that ends with the first interrupt; the second one ends the program as usual.
func interruptible(cmd *cobra.Command) (context.Context, func()) {
	ends := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup ignores it; else a terminal that closes would leave temporary files
		ends = append(ends, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), ends...)
	context.AfterFunc(ctx, stop)
	return ctx, stop
}

// interrupted makes an error of a context that ended: "context canceled" tells nobody anything.
func interrupted(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil || !errors.Is(err, context.Canceled) && !errors.Is(err, context.Cause(ctx)) {
		return err
	}
	return errors.New("interrupted")
}

// findKernel finds the kernel that a person means: by its whole ID, or by the end of one, from a slash on, as its uname.
func findKernel(all []*kernels.Kernel, name string) (*kernels.Kernel, error) {
	var found []*kernels.Kernel
	for _, k := range all {
		if k.ID == name {
			return k, nil
		}
		if strings.HasSuffix(k.ID, "/"+name) {
			found = append(found, k)
		}
	}
	if len(found) == 1 {
		return found[0], nil
	}
	if len(found) > 1 {
		return nil, hinted(fmt.Errorf("%q is the end of %d kernels' IDs", name, len(found)), "say more of the ID: "+someIDs(found))
	}
	err := fmt.Errorf("there is no kernel %q", name)
	if near := nearIDs(all, name); len(near) > 0 {
		return nil, withCode(exitUndecided, hinted(err, "did you mean "+someIDs(near)+"?"))
	}
	return nil, withCode(exitUndecided, hinted(err, "'corecheck kernels list' shows those that there are"))
}

// maxNear is how many IDs an error names.
const maxNear = 5

func someIDs(list []*kernels.Kernel) string {
	var ids []string
	for _, k := range list[:min(len(list), maxNear)] {
		ids = append(ids, k.ID)
	}
	text := strings.Join(ids, ", ")
	if more := len(list) - len(ids); more > 0 {
		text += fmt.Sprintf(" or one of %d others", more)
	}
	return text
}

// nearIDs are kernels whose IDs are like name: those that have it somewhere inside; else those whose uname, or whole ID, is
// nearest, with at most a third of its letters different.
func nearIDs(all []*kernels.Kernel, name string) []*kernels.Kernel {
	low := strings.ToLower(name)
	var inside []*kernels.Kernel
	for _, k := range all {
		if low != "" && strings.Contains(strings.ToLower(k.ID), low) {
			inside = append(inside, k)
		}
	}
	if len(inside) > 0 {
		return inside
	}
	if len(low) > 256 { // no ID is that long, and the distance takes the product of both lengths
		return nil
	}
	type near struct {
		k        *kernels.Kernel
		distance int
	}
	var list []near
	for _, k := range all {
		d := min(editDistance(low, strings.ToLower(k.ID)), editDistance(low, strings.ToLower(k.Uname)))
		if 3*d <= len(low) {
			list = append(list, near{k, d})
		}
	}
	slices.SortStableFunc(list, func(a, b near) int { return cmp.Compare(a.distance, b.distance) })
	var out []*kernels.Kernel
	for _, n := range list[:min(len(list), maxNear)] {
		out = append(out, n.k)
	}
	return out
}

// editDistance is Levenshtein's, in bytes.
func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0] // of the row above, one to the left
		row[0] = i + 1
		for j := range len(b) {
			d := last
			if a[i] != b[j] {
				d = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

// completeIDs lets the shell complete IDs of kernels; files tells that the argument may be a file, too.
func completeIDs(list func() ([]*kernels.Kernel, error), files bool) cobra.CompletionFunc {
	directive := cobra.ShellCompDirectiveNoFileComp
	if files {
		directive = cobra.ShellCompDirectiveDefault
	}
	return func(_ *cobra.Command, args []string, start string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		all, _ := list() // what can't be read can't be completed
		var out []cobra.Completion
		for _, k := range all {
			if strings.HasPrefix(k.ID, start) && oneLine(k.ID) == k.ID { // a shell prints them as they are
				out = append(out, k.ID)
			}
		}
		return out, directive
	}
}

// fileAtomically writes a file that is there whole or not at all. "-" is stdout, and what is no regular file, as /dev/null
// or a pipe, is written to as it is.
func fileAtomically(path string, stdout io.Writer, data []byte) error {
	if path == "-" {
		_, err := stdout.Write(data)
		return err
	}
	err := replaceFile(path, data)
	var p *fs.PathError
	if errors.As(err, &p) { // it may be about the temporary file, which nobody knows
		return &btfinfo.Error{File: path, Off: -1, Msg: "can't be written", Err: p.Err, Hint: "its folder has to be there, writable, and with room for it"}
	}
	return err
}

func replaceFile(path string, data []byte) error {
	if st, err := os.Stat(path); err == nil && !st.Mode().IsRegular() {
		return os.WriteFile(path, data, 0o666)
	}
	if target, err := filepath.EvalSymlinks(path); err == nil {
		path = target // a link stays one
	}
	temp := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s.%d", filepath.Base(path), os.Getpid()))
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) { // of one that was killed
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// byteText is a number of bytes for people.
func byteText(n int64) string {
	switch {
	case n < 1000:
		return fmt.Sprintf("%d B", n)
	case n < 1_000_000:
		return fmt.Sprintf("%.1f kB", float64(n)/1e3)
	case n < 1_000_000_000:
		return fmt.Sprintf("%.1f MB", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f GB", float64(n)/1e9)
}

// count is a number with its noun: "1 kernel", "2 kernels".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
