// Build makes the embedded kernels, the archive kernels.ccar, of the Debian packages that packages.list names:
//
//	go run ./kernels/embedded/build [-newest] [-o FILE]
//
// Packages are fetched with the machine's own apt (kernels/embedded/fetch.sh), three suites at once, held against the
// list's digests, read and deleted; 600 MB in $TMPDIR are enough. The same packages give the same bytes.
//
// Debian keeps the packages of its security suites and backports only for some weeks. A kernel of which a package can't
// be had any more stays as it is in the archive that is there, and is named; one that is not in it either is an error,
// and then nothing is written. Kernels of the archive that the list has no longer are left out.
//
// With -newest, packages.list first gets what Debian has become newer since: of every suite, architecture and flavour
// in the list the newest kernel of each series, new series included. What is to go, the reader of the diff decides:
// the archive has a limit.
package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/source"
)

// sizeLimit is what the archive may have, in bytes: it is in every binary and in every clone.
const sizeLimit = 8_000_000

// folder has the lists and fetch.sh; the program runs in the folder of go.mod.
const folder = "kernels/embedded"

func main() {
	addNewest := flag.Bool("newest", false, "first add what Debian has newer to packages.list")
	out := flag.String("o", filepath.Join(folder, "kernels.ccar"), "the archive")
	flag.Parse()
	if flag.NArg() != 0 {
		flag.Usage()
		os.Exit(2)
	}
	b := builder{fetcher: aptFetcher{}, folder: folder, out: *out, log: os.Stdout}
	err := error(nil)
	if *addNewest {
		err = b.addNewest()
	}
	if err == nil {
		err = b.run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "build:", err)
		os.Exit(1)
	}
}

// fetcher gets packages; tests have one of their own.
type fetcher interface {
	// open prepares for packages of one place, which go into the folder.
	open(at place, folder string) (session, error)
	// list is what a place has, as lines of PACKAGE VERSION SHA256.
	list(at place) (string, error)
}

type session interface {
	// fetch returns the file's path, or why the package can't be had.
	fetch(p pkg) (path, gone string, err error)
	close() error
}

type builder struct {
	fetcher fetcher
	folder  string
	out     string
	log     io.Writer
}

func (b *builder) packages() ([]pkg, error) {
	name := filepath.Join(b.folder, "packages.list")
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readList(f, name)
}

// addNewest writes packages.list anew.
func (b *builder) addNewest() error {
	list, err := b.packages()
	if err != nil {
		return err
	}
	places, _, err := group(list)
	if err != nil {
		return err
	}
	for _, at := range places {
		have, err := b.fetcher.list(at)
		if err != nil {
			return err
		}
		more, err := newest(list, at, have, dpkgOlder)
		if err != nil {
			return err
		}
		for _, p := range more {
			fmt.Fprintln(b.log, "new:", p.id(), p.name, p.version)
		}
		list = append(list, more...)
	}
	return os.WriteFile(filepath.Join(b.folder, "packages.list"), []byte(writeList(list)), 0o644)
}

// dpkgOlder tells whether version a is older than b; dpkg is the authority on that.
func dpkgOlder(a, b string) (bool, error) {
	err := exec.Command("dpkg", "--compare-versions", a, "lt", b).Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && exit.ExitCode() == 1 {
		return false, nil
	}
	return err == nil, err
}

// run makes the archive beside the old one and puts it in its place once it was read back.
func (b *builder) run(ctx context.Context) error {
	list, err := b.packages()
	if err != nil {
		return err
	}
	places, kernelsOf, err := group(list)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(b.folder, "modules.list"))
	if err != nil {
		return err
	}
	modules, err := readModules(string(text), filepath.Join(b.folder, "modules.list"))
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "corecheck-kernels-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	old, err := archive.Open(b.out)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		old = nil
	case err != nil:
		return err
	default:
		defer old.Close()
	}
	w := archive.NewWriter()
	kept, err := b.fill(ctx, w, old, places, kernelsOf, modules, tmp)
	if err != nil {
		return err
	}
	// In the folder of the old archive, so that it can take its place in one step.
	next := b.out + ".next"
	defer os.Remove(next)
	if err := w.WriteFile(next); err != nil {
		return err
	}
	return b.finish(next, kept)
}

// fill puts every kernel of the list into the archive: read from its packages, or else as the old archive has it.
func (b *builder) fill(ctx context.Context, w *archive.Writer, old *archive.Archive, places []place,
	kernelsOf map[place][]*kernel, modules source.ModuleFilter, tmp string) (kept []string, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	keep := map[string]bool{} // by ID
	var mu sync.Mutex         // of w, keep and what follows
	var lost []string
	done := func(k *kernel, build *archive.Build, gone string) error {
		mu.Lock()
		defer mu.Unlock()
		there := false
		if gone != "" && old != nil {
			_, there = old.Index(k.id)
		}
		switch {
		case there:
			keep[k.id] = true
			kept = append(kept, k.id+": "+gone)
		case build == nil:
			lost = append(lost, k.id+": "+gone)
		default:
			if _, err := w.Add(build); err != nil {
				return fmt.Errorf("%s: %w", k.id, err)
			}
			fmt.Fprintln(b.log, summary(build))
		}
		return nil
	}

	var wg sync.WaitGroup
	slots := make(chan struct{}, 3)
	for i, at := range places {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			if err := b.place(ctx, at, kernelsOf[at], modules, filepath.Join(tmp, fmt.Sprint(i)), done); err != nil {
				cancel(err)
			}
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	if len(lost) > 0 {
		slices.SortFunc(lost, archive.CompareIDs)
		return nil, fmt.Errorf("%d kernels can't be had and are not in %s; take them out of packages.list:\n%s",
			len(lost), b.out, strings.Join(lost, "\n"))
	}
	if len(keep) > 0 {
		if err := w.MergeOnly(old, func(k *archive.Kernel) bool { return keep[k.ID] }); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(kept, archive.CompareIDs)
	return kept, nil
}

// place reads the kernels of one suite and architecture, one after the other.
func (b *builder) place(ctx context.Context, at place, ks []*kernel, modules source.ModuleFilter, dir string,
	done func(k *kernel, build *archive.Build, gone string) error) error {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	s, err := b.fetcher.open(at, dir)
	if err != nil {
		return fmt.Errorf("%s %s: %w", at.suite, at.arch, err)
	}
	defer s.close()
	for _, k := range ks {
		if ctx.Err() != nil {
			return nil // another place has the cause
		}
		build, gone, err := readKernel(ctx, s, k, modules)
		if err == nil {
			err = done(k, build, gone)
		}
		if err != nil {
			return err
		}
	}
	return s.close()
}

// readKernel fetches and reads the packages of one kernel. gone says which of them can't be had; build is nil where the
// image is among these.
func readKernel(ctx context.Context, s session, k *kernel, modules source.ModuleFilter) (*archive.Build, string, error) {
	if !k.packages[0].generic() {
		modules, _ = source.ParseModules("none")
	}
	// What the list does not have of a kernel, Debian did not have any more when it was written.
	opt := &source.Options{
		Modules: modules, Distro: "debian", Release: k.packages[0].release, NotGiven: "is not in Debian's archive any more",
	}
	var parts []*source.Part
	var reasons []string
	image := false
	for _, p := range k.packages {
		path, gone, err := s.fetch(p)
		if err != nil {
			return nil, "", fmt.Errorf("%s %s: %w", p.name, p.version, err)
		}
		if gone != "" {
			reasons = append(reasons, p.name+" "+p.version+": "+gone)
			continue
		}
		part, err := readPackage(ctx, p, path, opt)
		if err != nil {
			return nil, "", err
		}
		image = image || p.image()
		parts = append(parts, part)
	}
	gone := strings.Join(reasons, "; ")
	if !image {
		return nil, gone, nil
	}
	builds, err := source.Join(parts, opt)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", k.id, err)
	}
	if len(builds) != 1 || builds[0].ID != k.id {
		var ids []string
		for _, b := range builds {
			ids = append(ids, b.ID)
		}
		return nil, "", fmt.Errorf("the packages of %s hold %q", k.id, ids)
	}
	return builds[0], gone, nil
}

// readPackage reads one package and deletes it.
func readPackage(ctx context.Context, p pkg, path string, opt *source.Options) (*source.Part, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer os.Remove(path)
	defer f.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return nil, err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.sum {
		return nil, fmt.Errorf("%s %s: the file's SHA-256 is %s, packages.list has %s", p.name, p.version, got, p.sum)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return source.ReadPackage(ctx, archive.Source{URI: p.file(), SHA256: p.sum}, f, opt)
}

// file is the name of the package's file in Debian's archive.
func (p pkg) file() string { return p.name + "_" + p.version + "_" + p.arch + ".deb" }

// summary is one line about a kernel that was read.
func summary(b *archive.Build) string {
	var s strings.Builder
	s.WriteString(b.ID)
	if b.BTF == nil {
		s.WriteString(": no BTF")
	} else {
		fmt.Fprintf(&s, ": %d types", b.BTF.NumTypes()-1)
	}
	if b.ModulesRead {
		fmt.Fprintf(&s, ", %d modules", len(b.Modules))
	}
	for _, m := range b.Missing {
		// Of modules it is known that they are not all there.
		if m.Fact != "modules" {
			fmt.Fprintf(&s, ", no %s: %s", m.Fact, m.Reason)
		}
	}
	return s.String()
}

// finish puts the new archive in the place of the old, once all that is in it could be read back.
func (b *builder) finish(next string, kept []string) error {
	a, err := archive.Open(next)
	if err != nil {
		return err
	}
	defer a.Close()
	if err := a.Verify(); err != nil {
		return err
	}
	for i, k := range a.Kernels() {
		if _, err := a.Build(i); err != nil {
			return fmt.Errorf("%s: %w", k.ID, err)
		}
	}
	if a.Size() > sizeLimit {
		return fmt.Errorf("%d kernels take %d bytes, the limit is %d", a.Len(), a.Size(), sizeLimit)
	}
	if err := os.Rename(next, b.out); err != nil {
		return err
	}
	fmt.Fprintf(b.log, "%d kernels, %d bytes\n", a.Len(), a.Size())
	if len(kept) > 0 {
		fmt.Fprintf(b.log, "%d of them are kept from the archive, because packages can't be had any more:\n", len(kept))
		for _, k := range kept {
			fmt.Fprintln(b.log, k)
		}
	}
	return nil
}

// aptFetcher fetches with fetch.sh.
type aptFetcher struct{}

func (aptFetcher) list(at place) (string, error) {
	cmd := exec.Command(filepath.Join(folder, "fetch.sh"), "--list", at.suite, at.arch)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("fetch.sh --list %s %s: %w", at.suite, at.arch, err)
	}
	return string(out), nil
}

func (aptFetcher) open(at place, dir string) (session, error) {
	cmd := exec.Command(filepath.Join(folder, "fetch.sh"), at.suite, at.arch, dir)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return &aptSession{cmd: cmd, dir: dir, in: in, out: bufio.NewReader(out)}, nil
}

type aptSession struct {
	cmd  *exec.Cmd
	dir  string
	in   io.WriteCloser
	out  *bufio.Reader
	gone string // why nothing of the place can be had
}

func (s *aptSession) fetch(p pkg) (path, gone string, err error) {
	if s.gone != "" {
		return "", s.gone, nil
	}
	// Where the suite can't be had, fetch.sh has ended after saying why.
	_, err = fmt.Fprintln(s.in, p.name, p.version)
	line := ""
	if err == nil {
		line, err = s.out.ReadString('\n')
	}
	if err != nil {
		s.gone = "the suite " + p.suite + " can't be had for " + p.arch
		return "", s.gone, nil
	}
	line = strings.TrimSuffix(line, "\n")
	if reason, is := strings.CutPrefix(line, "-"); is {
		return "", "apt can't fetch it: " + strings.TrimSpace(reason), nil
	}
	return filepath.Join(s.dir, filepath.Base(line)), "", nil
}

// close ends fetch.sh; a second call does nothing.
func (s *aptSession) close() error {
	if s.cmd == nil {
		return nil
	}
	s.in.Close()
	err := s.cmd.Wait()
	s.cmd = nil
	if s.gone != "" {
		return nil // fetch.sh has said why it failed, and the kernels are accounted for
	}
	return err
}
