package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/pull"
	"github.com/corecheck/corecheck/kernels/source"
)

// part is what a package has of a kernel, as far as its name tells.
type part uint8

const (
	imagePart  part = iota // the image, and in most distributions modules as well
	modulePart             // modules alone
	basePart               // configuration and lists: Debian's linux-base
)

// ref is a package that a kernel came in, or that belongs to it.
type ref struct {
	uri     string // as the archive has it: a URI, or the name of a file
	sha256  string // "" where the archive does not know the package
	name    string // of a Debian package; "" where the file's name does not tell
	version string
	arch    string
	part    part
	// extra: the archive does not know it. Debian's linux-modules where a kernel was stored without its modules.
	extra bool
}

// file is the name of the package's file.
func (r *ref) file() string { return path.Base(r.uri) }

func (r *ref) remote() bool {
	return strings.HasPrefix(r.uri, "http://") || strings.HasPrefix(r.uri, "https://")
}

// newRef reads the name of a package's file: NAME_VERSION_ARCHITECTURE.deb of Debian, where an epoch's colon is %3a.
func newRef(uri, sha256 string) *ref {
	r := &ref{uri: uri, sha256: sha256}
	name := r.file()
	if deb, ok := strings.CutSuffix(name, ".deb"); ok {
		if words := strings.Split(deb, "_"); len(words) == 3 {
			r.name, r.version, r.arch = words[0], words[1], words[2]
			if v, err := url.PathUnescape(r.version); err == nil {
				r.version = v
			}
			name = r.name
		}
	}
	switch {
	case strings.HasPrefix(name, "linux-modules-"), strings.HasPrefix(name, "kernel-modules-"):
		r.part = modulePart
	case strings.HasPrefix(name, "linux-base-"):
		r.part = basePart
	}
	return r
}

// packagesOf lists the packages of a kernel: what may be needed first comes first. Those with modules alone are left out where no
// module is asked for.
func packagesOf(k *kernels.Kernel, modules bool) ([]*ref, error) {
	a, index, ok := k.Archived()
	if !ok {
		return nil, &btfinfo.Error{File: k.ID, Off: -1, Msg: fmt.Sprintf("is in no archive, which would say what package its boot image is in: it comes from %s", k.Source),
			Hint: "name an image with --image, or put the kernel's package into an archive: corecheck kernels add"}
	}
	d := a.Kernel(index)
	var refs []*ref
	var none []string
	has := map[part]bool{}
	for _, s := range d.Sources {
		if ext := path.Ext(s.URI); ext != ".deb" && ext != ".rpm" {
			none = append(none, path.Base(s.URI))
			continue
		}
		if s.SHA256 == "" {
			return nil, &btfinfo.Error{File: k.ID, Off: -1, Msg: fmt.Sprintf("the archive has no digest of %s", path.Base(s.URI)), Hint: "name an image with --image"}
		}
		r := newRef(s.URI, s.SHA256)
		has[r.part] = true
		refs = append(refs, r)
	}
	if !has[imagePart] {
		e := &btfinfo.Error{File: k.ID, Off: -1, Msg: "the archive knows no package with its boot image", Hint: "name an image with --image"}
		if len(none) > 0 {
			e.Msg += fmt.Sprintf(": it was read from %s, which is none", strings.Join(none, ", "))
		}
		return nil, e
	}
	for _, r := range refs {
		// Debian since 6.19: image, modules and configuration are in three packages of one version. Ubuntu: image and modules.
		uname, split := strings.CutPrefix(r.name, "linux-binary-")
		uname = strings.TrimPrefix(uname, "unsigned-")
		if !split && k.Distro == "ubuntu" {
			uname, split = strings.CutPrefix(strings.Replace(r.name, "-unsigned-", "-", 1), "linux-image-")
			has[basePart] = true // there is none
		}
		if !split || r.part != imagePart {
			continue
		}
		for _, more := range []struct {
			prefix string
			part   part
		}{{"linux-base-", basePart}, {"linux-modules-", modulePart}} {
			if !has[more.part] {
				file := more.prefix + uname + "_" + strings.ReplaceAll(r.version, ":", "%3a") + "_" + r.arch + ".deb"
				x := newRef(file, "")
				x.extra = true
				refs = append(refs, x)
			}
		}
		break
	}
	if !modules {
		// Ubuntu's linux-modules has the configuration.
		config := func(r *ref) bool { return k.Distro == "ubuntu" && !strings.HasPrefix(r.name, "linux-modules-extra-") }
		refs = slices.DeleteFunc(refs, func(r *ref) bool { return r.part == modulePart && !config(r) })
	}
	order := []part{basePart, imagePart, modulePart}
	slices.SortStableFunc(refs, func(a, b *ref) int { return slices.Index(order, a.part) - slices.Index(order, b.part) })
	return refs, nil
}

// opener says how to come by a package: by its digest, which is looked up first where the archive has none.
func (f *Finder) opener(ctx context.Context, k *kernels.Kernel, r *ref) (*opener, error) {
	if r.sha256 != "" {
		return &opener{r.file(), r.sha256, func(ctx context.Context) (string, error) { return f.path(ctx, k, r, nil) }}, nil
	}
	found, err := f.folders.find(ctx, r)
	if err != nil {
		return nil, err
	}
	if found != nil {
		return &opener{r.file(), found.sha256, func(context.Context) (string, error) { return found.path, nil }}, nil
	}
	if a, ok := f.answer(r); ok {
		return &opener{r.file(), a.SHA256, func(ctx context.Context) (string, error) {
			p, err := pull.NewPackage(a.File, a.SHA256)
			if err != nil {
				return "", err
			}
			if path, err := f.cachedPackage(ctx, &p); path != "" || err != nil {
				return path, err
			}
			return f.path(ctx, k, r, nil)
		}}, nil
	}
	listed, err := f.listed(ctx, k, r, nil)
	if err != nil {
		return nil, err
	}
	if listed.Digest.Algorithm != "sha256" {
		return nil, &absentError{&btfinfo.Error{File: r.file(), Off: -1,
			Msg: fmt.Sprintf("its repository has a %s of it and no SHA256, which the cache needs", listed.Digest.Algorithm)}}
	}
	writeAnswer(f.answerFile(r), answer{File: path.Base(listed.URI), SHA256: listed.Digest.Hex})
	return &opener{r.file(), listed.Digest.Hex, func(ctx context.Context) (string, error) { return f.download(ctx, k.ID, r, &listed.Package) }}, nil
}

// path finds or downloads a package.
func (f *Finder) path(ctx context.Context, k *kernels.Kernel, r *ref, tried []string) (string, error) {
	found, err := f.folders.find(ctx, r)
	if err != nil {
		return "", err
	}
	if found != nil {
		return found.path, nil
	}
	if len(f.opt.Folders) > 0 {
		tried = append(tried, "not in the folders of --packages")
	}
	var p pull.Package
	if r.sha256 != "" {
		if p, err = pull.NewPackage(r.uri, r.sha256); err != nil {
			return "", &btfinfo.Error{File: k.ID, Off: -1, Msg: "the archive's source " + r.file(), Err: err}
		}
		if path, err := f.cachedPackage(ctx, &p); path != "" || err != nil {
			return path, err
		}
		if r.remote() && !f.opt.Offline {
			path, err := f.download(ctx, k.ID, r, &p)
			if err == nil || ctx.Err() != nil || f.isLocal(err) || k.Distro != "debian" {
				return path, err
			}
			tried = append(tried, err.Error())
		}
	}
	listed, err := f.listed(ctx, k, r, tried)
	if err != nil {
		return "", err
	}
	if r.sha256 != "" && listed.Digest.Algorithm == "sha256" && listed.Digest.Hex != r.sha256 {
		return "", otherDigest(r, listed.URI, listed.Digest.Hex)
	}
	return f.download(ctx, k.ID, r, &listed.Package)
}

// cachedPackage finds a package among the downloads; "" where it is not there.
func (f *Finder) cachedPackage(ctx context.Context, p *pull.Package) (string, error) {
	path, err := p.Cached(ctx, f.packages)
	if err != nil {
		return "", f.storeErr(err)
	}
	if path != "" { // for who looks what was not used for longest
		now := time.Now()
		_ = os.Chtimes(path, now, now)
	}
	return path, nil
}

// isLocal tells a failure of this machine, for which another server is no remedy.
func (f *Finder) isLocal(err error) bool {
	var e *btfinfo.Error
	// What can't be written of a transfer is an error of its URI.
	return errors.As(err, new(*os.PathError)) || errors.As(err, &e) && strings.HasPrefix(e.File, f.opt.CacheDir)
}

// otherDigest is a package of the same name and version that is another one.
func otherDigest(r *ref, where, have string) error {
	return &btfinfo.Error{File: where, Off: -1, Msg: fmt.Sprintf("is not the package that the archive's kernel came in: its SHA-256 is %s, that of %s is %s", have, r.file(), r.sha256),
		Hint: "a package that was built again is another kernel: put it into an archive of its own with corecheck kernels add"}
}

// download brings a package into the cache.
func (f *Finder) download(ctx context.Context, kernel string, r *ref, p *pull.Package) (string, error) {
	if f.opt.Offline {
		return "", f.notFound(r, []string{"not in the cache"}, "and nothing is downloaded offline")
	}
	select {
	case f.loading <- struct{}{}:
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
	defer func() { <-f.loading }()
	l := f.lists(ctx, &f.kernels, pull.OfKernel)
	path, err := l.Download(ctx, p, f.packages, func(done int64) {
		f.tell(Event{Phase: Downloading, Kernel: kernel, Package: r.file(), Done: done, Total: p.Size})
	})
	f.grown.Store(true)
	if err = f.storeErr(err); errors.As(err, new(*btfinfo.Error)) && !f.isLocal(err) {
		err = &absentError{err}
	}
	return path, err
}

// absentError is a package that can't be had, while nothing is wrong with this machine: a kernel may boot without it.
type absentError struct{ err error }

func (e *absentError) Error() string { return e.err.Error() }
func (e *absentError) Unwrap() error { return e.err }

// listed looks a package up in the repositories.
func (f *Finder) listed(ctx context.Context, k *kernels.Kernel, r *ref, tried []string) (*pull.Listed, error) {
	if f.opt.Offline {
		return nil, f.notFound(r, append(tried, "not in the cache"), "and no repository is asked offline")
	}
	if k.Distro != "debian" || r.name == "" {
		return nil, f.notFound(r, tried, "and only Debian's packages are looked for in repositories")
	}
	suites := suitesOf(k.Release, r.version)
	l := f.lists(ctx, &f.kernels, pull.OfKernel)
	var asked, failed []string
	var first error
	for _, suite := range suites {
		packages, err := l.Suite(ctx, suite, r.arch)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if errors.Is(err, pull.ErrNoSuite) {
			continue
		}
		if err != nil {
			if first == nil {
				first = err
			}
			failed = append(failed, suite)
			continue
		}
		asked = append(asked, suite)
		for _, p := range packages {
			if p.Name == r.name && p.Version == r.version && p.Arch == r.arch {
				return p, nil
			}
		}
	}
	if len(asked) == 0 && first != nil {
		return nil, &absentError{first}
	}
	if len(asked) > 0 {
		tried = append(tried, "not in "+strings.Join(asked, ", "))
	}
	if len(failed) > 0 {
		tried = append(tried, fmt.Sprintf("can't read %s (%v)", strings.Join(failed, ", "), first))
	}
	if len(asked)+len(failed) == 0 {
		tried = append(tried, "no repository of apt's configuration has "+strings.Join(suites, ", "))
	}
	return nil, f.notFound(r, tried, "")
}

// notFound says where a package was looked for.
func (f *Finder) notFound(r *ref, tried []string, why string) error {
	what := r.file()
	if r.name != "" {
		what = fmt.Sprintf("package %s version %s for %s", r.name, r.version, r.arch)
	}
	e := &btfinfo.Error{Off: -1, Msg: what + " can't be had: " + strings.Join(tried, "; "), Hint: "give it with --packages FOLDER"}
	if why != "" {
		e.Msg = strings.TrimSuffix(e.Msg, ": ") + ", " + why
		if len(tried) == 0 {
			e.Msg = what + " can't be had: it is neither in the cache nor in a folder that was given, " + why
		}
	}
	return &absentError{e}
}

// debianCodes are the codenames of Debian's releases. Source: distro-info-data's debian.csv.
var debianCodes = map[string]string{
	"10": "buster", "11": "bullseye", "12": "bookworm", "13": "trixie", "14": "forky", "15": "duke",
}

// suitesOf lists the suites that may have a package of a Debian release, the likeliest and the smallest first. A backport's
// version tells that it is one.
func suitesOf(release, version string) []string {
	code, ok := debianCodes[release]
	switch {
	case !ok: // "experimental", or what a repository calls itself
		return slices.Compact([]string{release, "experimental", "sid"})
	case strings.Contains(version, "~bpo"):
		return []string{code + "-backports"}
	case release == "14" || release == "15": // not out when this was written: its kernels come to unstable first
		return []string{"sid", code, code + "-security", "experimental"}
	}
	return []string{code + "-security", code, code + "-updates", code + "-backports"}
}

// userFolders are the packages that the user has.
type userFolders struct {
	named []string // files, whatever they are called
	found []string // packages in folders
}

// local is a package of the user's.
type local struct{ path, sha256 string }

// newUserFolders looks what there is. Folders are not descended into.
func newUserFolders(paths []string) (userFolders, error) {
	var u userFolders
	for _, p := range paths {
		st, err := os.Stat(p)
		if err == nil && st.Mode().IsRegular() {
			u.named = append(u.named, p)
			continue
		}
		var entries []os.DirEntry
		if err == nil {
			entries, err = os.ReadDir(p)
		}
		if err != nil {
			var e *os.PathError
			if errors.As(err, &e) {
				err = e.Err
			}
			return u, &btfinfo.Error{File: p, Off: -1, Msg: "can't be opened", Err: err, Hint: "--packages takes packages, and folders that have some"}
		}
		for _, e := range entries {
			if ext := filepath.Ext(e.Name()); ext == ".deb" || ext == ".rpm" {
				u.found = append(u.found, filepath.Join(p, e.Name()))
			}
		}
	}
	return u, nil
}

// find looks for a package: among files that were named by what they say of themselves, in folders among those whose file
// is called like the package. nil where there is none; one of the same name, version and architecture with another digest is an error.
func (u *userFolders) find(ctx context.Context, r *ref) (*local, error) {
	var other error
	for _, p := range slices.Concat(u.named, u.found) {
		same := filepath.Base(p) == r.file()
		if !same {
			named := slices.Contains(u.named, p)
			if r.name == "" || !named && !strings.HasPrefix(filepath.Base(p), r.name+"_") {
				continue
			}
			is, err := describes(ctx, p, r)
			if err != nil && named {
				return nil, err
			}
			if err != nil || !is {
				continue
			}
		}
		sum, err := sumOf(ctx, p)
		if err != nil {
			return nil, err
		}
		if r.sha256 == "" || sum == r.sha256 {
			return &local{p, sum}, nil
		}
		other = otherDigest(r, p, sum)
	}
	return nil, other
}

// describes tells whether a package is the one that is looked for, by its metadata.
func describes(ctx context.Context, path string, r *ref) (bool, error) {
	in, err := os.Open(path)
	if err != nil {
		return false, fileErr(path, err)
	}
	defer in.Close()
	p, err := source.OpenPackage(ctx, path, in)
	if err != nil {
		return false, err
	}
	return p.Name == r.name && p.Version == r.version && p.Arch == r.arch, nil
}

func fileErr(path string, err error) error {
	var e *os.PathError
	if errors.As(err, &e) {
		err = e.Err
	}
	return &btfinfo.Error{File: path, Off: -1, Msg: "can't be read", Err: err, Hint: "is the name right, and may you read it?"}
}

// sumOf is the SHA-256 of a file, in hex.
func sumOf(ctx context.Context, path string) (string, error) {
	in, err := os.Open(path)
	if err != nil {
		return "", fileErr(path, err)
	}
	defer in.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, &untilDone{ctx, in}); err != nil {
		if ctx.Err() != nil {
			return "", context.Cause(ctx)
		}
		return "", fileErr(path, err)
	}
	return digest(sum), nil
}

// untilDone ends when the caller gives up.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

// answer is what a repository said of a package of one exact version, which stays as it is: the next run need not read lists
// for it.
type answer struct {
	File   string `json:"file"`
	SHA256 string `json:"sha256"`
}

// answerFile has the answer for a package.
func (f *Finder) answerFile(r *ref) string {
	sum := sha256.Sum256([]byte(r.name + "\x00" + r.version + "\x00" + r.arch))
	return filepath.Join(f.store, hex.EncodeToString(sum[:])[:keyLength]+".listed")
}

func (f *Finder) answer(r *ref) (a answer, ok bool) {
	data, err := os.ReadFile(f.answerFile(r))
	if err != nil || json.Unmarshal(data, &a) != nil {
		return a, false
	}
	sum, err := hex.DecodeString(a.SHA256)
	return a, err == nil && len(sum) == sha256.Size && a.File != ""
}

// writeAnswer keeps what a repository said; without it the lists are read again.
func writeAnswer(name string, v any) {
	data, err := json.Marshal(v)
	if err != nil || os.MkdirAll(filepath.Dir(name), 0o755) != nil {
		return
	}
	t, err := os.CreateTemp(filepath.Dir(name), unfinished+"*")
	if err != nil {
		return
	}
	defer os.Remove(t.Name())
	_, err = t.Write(data)
	if cerr := t.Close(); err == nil && cerr == nil {
		_ = os.Rename(t.Name(), name)
	}
}
