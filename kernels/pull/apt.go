package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
)

// AptOptions choose kernels of Debian-style repositories.
type AptOptions struct {
	// Mirrors are the repositories: URIs or folders that have dists and pool. Empty: those of the system's configuration.
	Mirrors []string
	// Suites, such as "bookworm" or "trixie-backports"; a name that ends with "/" is a flat repository's. Empty: all of the
	// configuration, and with Mirrors one has to be given.
	Suites []string
	// Components of Mirrors; empty: main. For the configuration's repositories, empty are those that it has.
	Components []string
	// Arch in Debian's names; "" is the machine's.
	Arch string
	// Match are globs on the names of packages with kernels' images; empty: what Debian and Ubuntu call them.
	Match []string
	// NoModules leaves out packages that have nothing but modules.
	NoModules bool
	// LatestPerSeries keeps the newest of each minor release and flavour.
	LatestPerSeries bool
	// Keyrings replace those of the system.
	Keyrings []string
	// AllowExpired takes indexes whose validity has ended.
	AllowExpired bool
	// Config replaces the system's apt configuration.
	Config *AptConfig
	// Transport says how to read from servers. Where it has no proxy and no logins, apt's are taken.
	Transport Transport
	// Now is the time that validity is held against; zero is now.
	Now time.Time
}

// imageGlobs are the names of packages with kernels of Debian and Ubuntu: linux-image-VERSION, and linux-binary-VERSION since
// Debian's 6.19.
var imageGlobs = []string{"linux-image-[0-9]*", "linux-binary-[0-9]*", "linux-image-unsigned-[0-9]*", "linux-binary-unsigned-[0-9]*"}

// imagePrefixes stand before the uname in names of packages, longest first.
var imagePrefixes = []string{"linux-binary-unsigned-", "linux-image-unsigned-", "linux-binary-", "linux-image-"}

// partPrefixes stand before the uname in names of packages that belong to a kernel's image: modules and configuration.
// Debian: linux-modules and linux-base since 6.19; Ubuntu: linux-modules, linux-modules-extra.
var partPrefixes = []string{"linux-base-", "linux-modules-", "linux-modules-extra-"}

const (
	maxIndex         = 512 << 20 // bytes of a compressed Packages; Debian's main has 10 MB
	maxExpandedIndex = 2 << 30   // bytes of one expanded
	maxIndexes       = 4         // that are read at once
	maxPackage       = 4 << 30   // bytes of a package; Debian's largest kernel has 110 MB, one with debug info 1 GB
)

// apt is a Source.
type apt struct {
	opt     AptOptions
	want    func(name string) bool // packages that are read of lists; nil: those that may belong to kernels
	match   matchers
	targets []aptTarget
	config  *AptConfig
	client  *client
}

// aptTarget is one suite of one repository.
type aptTarget struct {
	source AptSource
	base   base
	rings  func() ([]keyring, error)
	// ignoreValidUntil: the configuration that the repository comes from says so.
	ignoreValidUntil bool
	required         bool // what can't be read is an error, and not a problem of the plan
}

// NewApt checks the options, and reads the system's configuration as far as they need it.
func NewApt(ctx context.Context, opt AptOptions) (Source, error) {
	a, err := newApt(ctx, opt)
	if err != nil {
		return nil, err
	}
	if len(opt.Mirrors) > 0 {
		err = a.mirrorTargets()
	} else {
		err = a.configTargets()
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// newApt has no targets yet.
func newApt(ctx context.Context, opt AptOptions) (*apt, error) {
	a := &apt{opt: opt}
	if a.opt.Now.IsZero() {
		a.opt.Now = time.Now()
	}
	globs := opt.Match
	if len(globs) == 0 {
		globs = imageGlobs
	}
	var err error
	if a.match, err = newMatchers(globs); err != nil {
		return nil, err
	}
	if a.config = opt.Config; a.config == nil {
		config, err := SystemApt(ctx)
		if err != nil && len(opt.Mirrors) == 0 {
			return nil, err
		}
		if err != nil {
			config = &AptConfig{}
		}
		a.config = config
	}
	if a.opt.Arch == "" {
		a.opt.Arch = a.config.Arch
	}
	if a.opt.Arch == "" {
		a.opt.Arch = debianArch(runtime.GOARCH)
	}
	a.client = newClient(a.config.transport(opt.Transport))
	return a, nil
}

// transport fills in what apt is told of the way to servers.
func (c *AptConfig) transport(t Transport) Transport {
	if t.Proxy == nil {
		t.Proxy = c.proxy
	}
	if t.Auth == nil {
		t.Auth = c.auth
	}
	return t
}

// debianArch is Debian's name for an architecture of Go.
func debianArch(goarch string) string {
	switch goarch {
	case "386":
		return "i386"
	case "arm":
		return "armhf"
	case "ppc64le":
		return "ppc64el"
	case "mips64le":
		return "mips64el"
	}
	return goarch
}

// mirrorTargets are those of repositories that the user named.
func (a *apt) mirrorTargets() error {
	if len(a.opt.Suites) == 0 {
		return &btfinfo.Error{Off: -1, Msg: "a mirror was named, but no suite of it", Hint: "name one with --suite, such as --suite bookworm"}
	}
	rings := func() ([]keyring, error) {
		if len(a.opt.Keyrings) > 0 {
			return readKeyrings(a.opt.Keyrings, false)
		}
		return readKeyrings(append(slices.Clone(a.config.Keyrings), keyringFiles()...), true)
	}
	for _, m := range a.opt.Mirrors {
		b, err := parseBase(m)
		if err != nil {
			return &btfinfo.Error{Off: -1, Msg: "mirror", Err: err}
		}
		for _, suite := range a.opt.Suites {
			s := AptSource{From: "the command line", URI: m, Suite: suite, Components: a.opt.Components}
			if strings.HasSuffix(suite, "/") {
				s.Components = nil
			} else if len(s.Components) == 0 {
				s.Components = []string{"main"}
			}
			a.targets = append(a.targets, aptTarget{source: s, base: b, rings: rings, required: true})
		}
	}
	return nil
}

// configTargets are those of the configuration. A suite that it does not have is asked of the repositories that it has: a machine
// with bookworm can pull the kernels of trixie.
func (a *apt) configTargets() error {
	sources := a.sources()
	if len(sources) == 0 {
		return &btfinfo.Error{Off: -1, Msg: "apt's configuration has no source of packages",
			Hint: "name a repository with --mirror and its suites with --suite"}
	}
	chosen := sources
	if len(a.opt.Suites) > 0 {
		chosen = nil
		for _, suite := range a.opt.Suites {
			named := sourcesOf(sources, suite)
			if len(named) == 0 {
				return &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("no repository of apt's configuration is like one that would have suite %q", suite),
					Hint: "name a repository with --mirror"}
			}
			chosen = append(chosen, named...)
		}
	}
	return a.addTargets(chosen, len(a.opt.Suites) > 0)
}

// addTargets makes targets of sources of the configuration, each once.
func (a *apt) addTargets(sources []AptSource, required bool) error {
	seen := map[string]bool{}
	for _, s := range sources {
		uris := []string{s.URI}
		if list, ok := strings.CutPrefix(s.URI, "mirror+file:"); ok {
			var err error
			if uris, err = readMirrors(list); err != nil {
				return err
			}
		}
		b, err := parseBase(uris[0])
		if err != nil {
			return &btfinfo.Error{File: s.From, Off: -1, Msg: "source", Err: err}
		}
		key := strings.Join(append([]string{b.url.String(), s.Suite}, s.Components...), "\x00")
		if seen[key] {
			continue
		}
		seen[key] = true
		rings := func() ([]keyring, error) { return a.config.rings(&s) }
		if len(a.opt.Keyrings) > 0 {
			rings = func() ([]keyring, error) { return readKeyrings(a.opt.Keyrings, false) }
		}
		a.targets = append(a.targets, aptTarget{source: s, base: b, rings: rings,
			ignoreValidUntil: a.config.IgnoreValidUntil || s.IgnoreValidUntil, required: required})
	}
	return nil
}

// sources are those of the configuration that may have packages for the architecture.
func (a *apt) sources() []AptSource {
	// What a source is limited to is what the machine can install. Where none is for the architecture that is asked for, all
	// are asked: packages of others are read here, not installed.
	other := func(s AptSource) bool { return len(s.Archs) > 0 && !slices.Contains(s.Archs, a.opt.Arch) }
	all := slices.DeleteFunc(slices.Clone(a.config.Sources), other)
	if len(all) == 0 {
		all = a.config.Sources
	}
	var sources []AptSource
	for _, s := range all {
		if len(a.opt.Components) > 0 && len(s.Components) > 0 {
			s.Components = a.opt.Components
		}
		sources = append(sources, s)
	}
	return sources
}

// sourcesOf are the sources with a suite: those that have it, or those that would if any did. A distro's security suites are in
// a repository of their own, in Debian.
func sourcesOf(sources []AptSource, suite string) []AptSource {
	var named, like []AptSource
	security := strings.Contains(suite, "-security")
	apart := map[string]bool{} // repositories of security suites alone
	for _, s := range sources {
		isSecurity := strings.Contains(s.Suite, "-security") || strings.HasSuffix(s.Suite, "/updates")
		if before, seen := apart[s.URI]; !seen || before {
			apart[s.URI] = isSecurity
		}
	}
	seen := map[string]bool{}
	for _, s := range sources {
		if s.Suite == suite {
			named = append(named, s)
		}
		if apart[s.URI] == security && len(s.Components) > 0 && !seen[s.URI] {
			seen[s.URI] = true
			s.Suite = suite
			like = append(like, s)
		}
	}
	if len(named) > 0 {
		return named
	}
	return like
}

// readMirrors reads the list that a mirror+file URI names: a URI a line, the preferred ones first (apt-transport-mirror(1)).
func readMirrors(list string) ([]string, error) {
	u, err := url.Parse("file:" + list)
	if err != nil {
		return nil, err
	}
	data, err := readSmallFile(u.Path)
	if err != nil {
		return nil, err
	}
	var uris []string
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 0 {
			uris = append(uris, words[0])
		}
	}
	if len(uris) == 0 {
		return nil, &btfinfo.Error{File: u.Path, Off: -1, Msg: "it lists no mirror"}
	}
	return uris, nil
}

// debPackage is what a Packages file says of a package.
type debPackage struct {
	name, version, arch, source   string
	depends, preDepends, provides string
	filename                      string
	size                          int64
	digest                        Digest
	release                       *release
	url                           *url.URL
}

// Plan reads the suites' indexes.
func (a *apt) Plan(ctx context.Context) (*Plan, error) {
	plan := &Plan{client: a.client}
	type result struct {
		packages []*debPackage
		read     int64
		err      error
	}
	results := make([]result, len(a.targets))
	slots := make(chan struct{}, maxIndexes)
	var wg sync.WaitGroup
	for i := range a.targets {
		slots <- struct{}{}
		wg.Go(func() {
			r := &results[i]
			r.packages, r.read, r.err = a.readSuite(ctx, &a.targets[i])
			<-slots
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	// In the order of the configuration, whichever came first.
	var packages []*debPackage
	var first error
	lacking := 0 // suites without the architecture
	for i, r := range results {
		plan.IndexBytes += r.read
		switch {
		case r.err == nil:
			packages = append(packages, r.packages...)
		case a.targets[i].required:
			return nil, r.err
		case errors.As(r.err, new(*errNoArch)):
			lacking++ // as apt does: Debian's security suites have fewer architectures than the others
			first = cmp.Or(first, r.err)
		default:
			plan.Problems = append(plan.Problems, r.err)
			first = cmp.Or(first, r.err)
		}
	}
	if len(plan.Problems)+lacking == len(a.targets) {
		return nil, first
	}
	plan.Kernels = a.kernels(packages)
	return plan, nil
}

// errNoArch is a suite that lacks the architecture that is wanted.
type errNoArch struct{ err *btfinfo.Error }

func (e *errNoArch) Error() string { return e.err.Error() }
func (e *errNoArch) Unwrap() error { return e.err }

// readSuite reads a suite's Release file and its lists of packages, and returns those that may belong to kernels.
func (a *apt) readSuite(ctx context.Context, t *aptTarget) (packages []*debPackage, read int64, err error) {
	dir := "dists/" + t.source.Suite
	if strings.HasSuffix(t.source.Suite, "/") {
		dir = strings.TrimSuffix(t.source.Suite, "/")
		if dir == "" || dir == "." {
			dir = "."
		}
	}
	r, n, err := a.readRelease(ctx, t, dir)
	read += n
	if err != nil {
		return nil, read, err
	}
	if err := r.check(t.source.Suite, a.opt.Now, a.opt.AllowExpired || t.ignoreValidUntil); err != nil {
		return nil, read, err
	}
	if len(r.archs) > 0 && !slices.Contains(r.archs, a.opt.Arch) {
		return nil, read, &errNoArch{&btfinfo.Error{File: r.name, Off: -1,
			Msg:  fmt.Sprintf("the suite has no architecture %q; it has %s", a.opt.Arch, strings.Join(r.archs, ", ")),
			Hint: "--arch takes Debian's words for architectures, such as amd64; some suites lack some"}}
	}
	indexes := []string{"Packages"}
	if len(t.source.Components) > 0 {
		indexes = nil
		for _, c := range t.source.Components {
			indexes = append(indexes, c+"/binary-"+a.opt.Arch+"/Packages")
		}
	}
	for _, index := range indexes {
		found, n, err := a.readIndex(ctx, t, r, dir, index)
		read += n
		if err != nil {
			return nil, read, err
		}
		packages = append(packages, found...)
	}
	return packages, read, nil
}

// readRelease gets InRelease, or Release with Release.gpg where there is none, and believes what is signed of it.
func (a *apt) readRelease(ctx context.Context, t *aptTarget, dir string) (*release, int64, error) {
	rings, err := t.rings()
	if err != nil {
		return nil, 0, err
	}
	if !a.opt.AllowExpired {
		rings = current(rings, a.opt.Now)
	}
	get := func(name string) (string, []byte, error) {
		u, err := t.base.join(dir + "/" + name)
		if err != nil {
			return "", nil, &btfinfo.Error{File: t.source.From, Off: -1, Msg: fmt.Sprintf("suite %q", t.source.Suite), Err: err}
		}
		data, err := a.client.read(ctx, u, -1, maxRelease)
		return public(u), data, err
	}
	name, data, err := get("InRelease")
	if err == nil {
		text, err := signed(name, data, rings, a.opt.Now)
		if err != nil {
			return nil, int64(len(data)), trustHint(err, t)
		}
		r, err := parseRelease(name, text)
		return r, int64(len(data)), err
	}
	if !isNotThere(err) {
		return nil, 0, err
	}
	missing := err
	name, data, err = get("Release")
	if isNotThere(err) {
		return nil, 0, &btfinfo.Error{File: public(&t.base.url), Off: -1, Msg: fmt.Sprintf("no suite %q there", t.source.Suite), Err: missing,
			Hint: "a suite is a folder below dists, such as bookworm or bookworm-security"}
	}
	if err != nil {
		return nil, 0, err
	}
	read := int64(len(data))
	_, signature, err := get("Release.gpg")
	if isNotThere(err) {
		return nil, read, trustHint(&btfinfo.Error{File: name, Off: -1, Msg: "not signed: there is neither InRelease nor Release.gpg",
			Hint: "corecheck reads signed repositories only"}, t)
	}
	if err != nil {
		return nil, read, err
	}
	read += int64(len(signature))
	if err := signedBy(name, data, signature, rings, a.opt.Now); err != nil {
		return nil, read, trustHint(err, t)
	}
	r, err := parseRelease(name, data)
	return r, read, err
}

// trustHint says that trusted=yes is no signature.
func trustHint(err error, t *aptTarget) error {
	var e *btfinfo.Error
	if t.source.Trusted && errors.As(err, &e) {
		e.Hint = strings.TrimLeft(e.Hint+"; "+t.source.From+" says trusted=yes, which apt takes instead of a signature and corecheck does not", "; ")
	}
	return err
}

// indexExtensions are the compressions of indexes, the ones that are worth the most first.
var indexExtensions = []string{".xz", ".zst", ".gz", ".bz2", ""}

// readIndex gets one Packages file by the digest that Release has of it.
func (a *apt) readIndex(ctx context.Context, t *aptTarget, r *release, dir, index string) ([]*debPackage, int64, error) {
	limit := int64(maxExpandedIndex)
	if plain, ok := r.files[index]; ok {
		limit = min(limit, plain.size)
	}
	var failed error
	for _, ext := range indexExtensions {
		e, ok := r.files[index+ext]
		if !ok {
			continue
		}
		u, data, err := a.getIndex(ctx, t, r, dir, index+ext, e)
		if isNotThere(err) {
			// Debian lists the plain file, too, and has only compressed ones.
			if failed == nil {
				failed = err
			}
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		if err := checkBytes(data, e.digest); err != nil {
			return nil, int64(len(data)), refused(u, err)
		}
		name := public(u)
		in, err := expand(ext, data, limit)
		if err != nil {
			return nil, int64(len(data)), &btfinfo.Error{File: name, Off: -1, Msg: "can't be expanded", Err: err}
		}
		defer in.Close()
		packages, err := a.readPackages(ctx, name, in)
		for _, p := range packages {
			p.release = r
			if p.url, err = t.base.join(p.filename); err != nil {
				return nil, int64(len(data)), &btfinfo.Error{File: name, Off: -1, Msg: fmt.Sprintf("package %q: Filename", p.name), Err: err}
			}
		}
		return packages, int64(len(data)), err
	}
	if failed != nil {
		return nil, 0, failed
	}
	if len(r.components) == 0 {
		return nil, 0, &btfinfo.Error{File: r.name, Off: -1, Msg: fmt.Sprintf("it lists no %s", index)}
	}
	return nil, 0, &btfinfo.Error{File: r.name, Off: -1,
		Msg: fmt.Sprintf("it lists no %s; the suite's components are %s", index, strings.Join(r.components, ", "))}
}

// getIndex prefers the name by digest, under which an index stays while the mirror is being updated.
func (a *apt) getIndex(ctx context.Context, t *aptTarget, r *release, dir, name string, e entry) (*url.URL, []byte, error) {
	names := []string{name}
	if r.byHash {
		field := map[string]string{"sha256": "SHA256", "sha512": "SHA512"}[e.digest.Algorithm]
		names = []string{path.Join(path.Dir(name), "by-hash", field, e.digest.Hex), name}
	}
	var failed error
	for _, n := range names {
		u, err := t.base.join(dir + "/" + n)
		if err != nil {
			return nil, nil, &btfinfo.Error{File: r.name, Off: -1, Msg: "listed", Err: err}
		}
		data, err := a.client.read(ctx, u, e.size, maxIndex)
		if err == nil {
			return u, data, nil
		}
		failed = err
		if !isNotThere(err) {
			break
		}
	}
	return nil, nil, failed
}

// packageFields are what is read of a Packages file.
var packageFields = []string{"package", "version", "architecture", "source", "depends", "pre-depends", "provides", "filename", "size", "sha256", "sha512"}

// maxPackages is the most packages that are taken of one list; Debian's have 70,000, about 200 of them of kernels.
const maxPackages = 200_000

// readPackages reads a list of packages, and keeps those that are wanted.
func (a *apt) readPackages(ctx context.Context, name string, in io.Reader) ([]*debPackage, error) {
	r := newParagraphs(name, &contextReader{ctx, in})
	r.keep = func(field string) bool { return slices.Contains(packageFields, field) }
	wanted := a.want
	if wanted == nil {
		wanted = a.ofKernel
	}
	var packages []*debPackage
	for {
		p, err := r.next()
		if errors.Is(err, io.EOF) {
			return packages, nil
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		var known *btfinfo.Error
		if errors.As(err, &known) {
			return nil, err
		}
		if err != nil {
			return nil, &btfinfo.Error{File: name, Off: -1, Msg: "can't be expanded", Err: err}
		}
		if !wanted(p["package"]) {
			continue
		}
		d, err := debPackageOf(p)
		if err != nil {
			return nil, r.errorf("package %q: %v", shorten(p["package"]), err)
		}
		if len(packages) == maxPackages {
			return nil, r.errorf("more than %d packages that are wanted", maxPackages)
		}
		packages = append(packages, d)
	}
}

// ofKernel: a package with an image, or one that may belong to one.
func (a *apt) ofKernel(name string) bool { return a.match.match(name) || OfKernel(name) }

// OfKernel tells a name of a Debian-style package that has a kernel's image, its modules or its configuration.
func OfKernel(name string) bool {
	for _, prefixes := range [][]string{imagePrefixes, partPrefixes} {
		for _, p := range prefixes {
			if rest, ok := strings.CutPrefix(name, p); ok && rest != "" && isDigit(rest[0]) {
				return true
			}
		}
	}
	return false
}

func debPackageOf(p paragraph) (*debPackage, error) {
	d := &debPackage{
		name: p["package"], version: p["version"], arch: p["architecture"], source: p["source"],
		depends: p["depends"], preDepends: p["pre-depends"], provides: p["provides"],
		filename: p["filename"],
	}
	if d.version == "" {
		return nil, errors.New("no Version")
	}
	if _, err := insidePath(d.filename); err != nil {
		return nil, fmt.Errorf("its Filename: %w", err)
	}
	size, err := strconv.ParseInt(p["size"], 10, 64)
	if err != nil || size <= 0 {
		return nil, fmt.Errorf("its Size %q is no number of bytes", shorten(p["size"]))
	}
	if size > maxPackage {
		return nil, fmt.Errorf("its Size %d, more than the limit of %d", size, int64(maxPackage))
	}
	d.size = size
	for _, algorithm := range []string{"sha512", "sha256"} {
		if digits := p[algorithm]; digits != "" {
			d.digest, err = newDigest(algorithm, digits)
			return d, err
		}
	}
	return nil, errors.New("no SHA256 and no SHA512, and weaker digests are no proof")
}

// unameOf takes the uname out of the name of an image's package.
func unameOf(name string) string {
	for _, prefix := range imagePrefixes {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			return strings.TrimSuffix(rest, "-unsigned")
		}
	}
	return ""
}

// isUnsigned: the same image without the signature for Secure Boot, under another name.
func isUnsigned(name string) bool {
	return strings.HasPrefix(name, "linux-binary-unsigned-") || strings.HasPrefix(name, "linux-image-unsigned-") || strings.HasSuffix(name, "-unsigned")
}

// notImages are the endings of packages that are named like images and have none: debug information, and what signed
// packages are made from.
var notImages = []string{"-dbg", "-dbgsym", "-signed-template"}

// maxMeta is below the size of any image, and above that of a package without content, in bytes. Debian's metapackages have
// 1 to 2 KB, its images 8 MB and more.
const maxMeta = 64 << 10

// images lists the packages that a package without content depends on for its image: Debian's linux-image-amd64 and, since
// 6.19, linux-image-VERSION, which asks for linux-binary-VERSION. For a package that has its image itself there are none.
func (d *debPackage) images() []string {
	if d.size > maxMeta {
		return nil
	}
	return slices.DeleteFunc(dependsOn(d.depends), func(name string) bool {
		return name == d.name || !slices.ContainsFunc(imagePrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
	})
}

// dependsOn lists the names in a Depends field, of alternatives the first.
func dependsOn(depends string) []string {
	var names []string
	for part := range strings.SplitSeq(depends, ",") {
		part, _, _ = strings.Cut(part, "|")
		if words := strings.Fields(part); len(words) > 0 {
			name, _, _ := strings.Cut(words[0], ":") // an architecture behind it
			name, _, _ = strings.Cut(name, "(")
			names = append(names, name)
		}
	}
	return names
}

// kernels puts together what belongs to one kernel.
func (a *apt) kernels(packages []*debPackage) []*Kernel {
	byName := map[string][]*debPackage{}
	for _, p := range packages {
		byName[p.name] = append(byName[p.name], p)
	}
	// A package in several suites is one.
	type key struct{ name, version, arch string }
	seen := map[key]bool{}
	var kernels []*Kernel
	var add func(p *debPackage)
	add = func(p *debPackage) {
		k := key{p.name, p.version, p.arch}
		if seen[k] || slices.ContainsFunc(notImages, func(end string) bool { return strings.HasSuffix(p.name, end) }) {
			return
		}
		seen[k] = true
		if images := p.images(); len(images) > 0 {
			for _, name := range images {
				for _, image := range byName[name] {
					if image.version == p.version {
						add(image)
					}
				}
			}
			return
		}
		if !a.signedTwin(p, byName) {
			kernels = append(kernels, a.kernel(p, byName))
		}
	}
	for _, p := range packages {
		if a.match.match(p.name) {
			add(p)
		}
	}
	compare := func(x, y *Kernel) int {
		return cmp.Or(CompareDebian(x.Version, y.Version), strings.Compare(x.Name, y.Name))
	}
	sortKernels(kernels, CompareDebian)
	kernels = newestOfUname(kernels, compare)
	if a.opt.LatestPerSeries {
		kernels = latest(kernels, compare, func(k *Kernel) string { return flavour(k.Uname) })
	}
	return kernels
}

// newestOfUname keeps one kernel of an ID, the newest: archives know them by ID.
func newestOfUname(kernels []*Kernel, compare func(a, b *Kernel) int) []*Kernel {
	best := map[string]*Kernel{}
	id := func(k *Kernel) string { return strings.Join([]string{k.Distro, k.Release, k.Arch, k.Uname}, "\x00") }
	for _, k := range kernels {
		if b := best[id(k)]; k.Uname != "" && (b == nil || compare(k, b) > 0) {
			best[id(k)] = k
		}
	}
	return slices.DeleteFunc(kernels, func(k *Kernel) bool { return k.Uname != "" && best[id(k)] != k })
}

// signedTwin: the package is unsigned, and the same image is there signed and matches as well.
func (a *apt) signedTwin(p *debPackage, byName map[string][]*debPackage) bool {
	if !isUnsigned(p.name) {
		return false
	}
	uname := unameOf(p.name)
	for _, prefix := range []string{"linux-image-", "linux-binary-"} {
		for _, twin := range byName[prefix+uname] {
			if twin.version == p.version && a.match.match(twin.name) && len(twin.images()) == 0 {
				return true
			}
		}
	}
	return false
}

// kernel finds the packages that belong to an image: of the same uname and the same version.
func (a *apt) kernel(image *debPackage, byName map[string][]*debPackage) *Kernel {
	uname := unameOf(image.name)
	k := &Kernel{
		Name: image.name, Version: image.version, Arch: a.opt.Arch, Uname: uname,
		Distro: image.release.distro(), Release: image.release.releaseOf(image.version, uname),
		Packages: []Package{image.file()},
	}
	if uname == "" {
		return k
	}
	// Debian's linux-binary is the image alone, and asks for linux-base only, which has the configuration; its modules are
	// linux-modules. Ubuntu's linux-image is the image alone, too, and asks for linux-modules, which has the configuration.
	prefixes := []string{"linux-modules-", "linux-modules-extra-"}
	needed := dependsOn(image.depends)
	split := strings.HasPrefix(image.name, "linux-binary-")
	if split {
		prefixes = []string{"linux-base-", "linux-modules-"}
	}
	if a.opt.NoModules {
		prefixes = prefixes[:1]
	}
	for _, prefix := range prefixes {
		name := prefix + uname
		i := slices.IndexFunc(byName[name], func(p *debPackage) bool { return p.version == image.version })
		if i >= 0 {
			k.Packages = append(k.Packages, byName[name][i].file())
		} else if split || slices.Contains(needed, name) {
			k.Gone = append(k.Gone, name)
		}
	}
	return k
}

// file is the package as a file to fetch.
func (d *debPackage) file() Package {
	return Package{Name: d.name, Version: d.version, URI: public(d.url), Size: d.size, Digest: d.digest, url: d.url}
}
