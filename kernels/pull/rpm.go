package pull

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
)

// RPMOptions choose kernels of rpm repositories.
type RPMOptions struct {
	// Repos are the repositories: URIs or folders that have repodata/repomd.xml.
	Repos []string
	// Keys are files with the keys of who signs the repositories. Empty: nothing is asked of signatures.
	Keys []string
	// Arch in rpm's names, such as "x86_64" or "aarch64"; "" is the machine's.
	Arch string
	// Match are globs on the names of packages with kernels' images; empty: what distros call them.
	Match []string
	// Distro and Release are the first two parts of IDs where the packages don't tell.
	Distro, Release string
	// NoModules leaves out packages that have nothing but modules.
	NoModules bool
	// LatestPerSeries keeps the newest of each minor release and flavour.
	LatestPerSeries bool
	Transport       Transport
	// Now is the time that signatures are held against; zero is now.
	Now time.Time
}

// rpmImages are the names of packages with kernels: of Fedora and RHEL since 8 (kernel-core), RHEL 7, Amazon and openEuler (kernel),
// SUSE (kernel-default), Oracle (kernel-uek), and builds for real time, large pages and ELRepo's.
var rpmImages = []string{
	"kernel", "kernel-core", "kernel-default", "kernel-azure", "kernel-64kb",
	"kernel-uek", "kernel-uek-core", "kernel-uek64k", "kernel-uek64k-core",
	"kernel-rt", "kernel-rt-core", "kernel-rt-64k-core", "kernel-64k-core", "kernel-16k-core",
	"kernel-lt", "kernel-lt-core", "kernel-ml", "kernel-ml-core", "kernel[0-9]*.[0-9]*",
}

const (
	maxRepomd        = 4 << 20   // bytes; Fedora's has 10 KB
	maxPrimary       = 512 << 20 // bytes compressed; Fedora's has 20 MB
	maxOpenPrimary   = 8 << 30   // bytes expanded; Fedora's has 200 MB
	maxPackageXML    = 64 << 20  // bytes of what primary.xml says of one package
	maxRPMsOfKernels = 200_000
)

// rpm is a Source.
type rpm struct {
	opt    RPMOptions
	match  matchers
	bases  []base
	client *client
}

// NewRPM checks the options.
func NewRPM(opt RPMOptions) (Source, error) {
	r := &rpm{opt: opt}
	if len(opt.Repos) == 0 {
		return nil, &btfinfo.Error{Off: -1, Msg: "no repository was named", Hint: "--repo URL names the folder that has repodata"}
	}
	globs := opt.Match
	if len(globs) == 0 {
		globs = rpmImages
	}
	var err error
	if r.match, err = newMatchers(globs); err != nil {
		return nil, err
	}
	for _, s := range opt.Repos {
		b, err := parseBase(s)
		if err != nil {
			return nil, &btfinfo.Error{Off: -1, Msg: "repository", Err: err}
		}
		r.bases = append(r.bases, b)
	}
	if r.opt.Arch == "" {
		r.opt.Arch = rpmArch(runtime.GOARCH)
	}
	if r.opt.Now.IsZero() {
		r.opt.Now = time.Now()
	}
	r.client = newClient(opt.Transport)
	return r, nil
}

// rpmArch is rpm's name for an architecture of Go, or of Debian.
func rpmArch(arch string) string {
	switch arch {
	case "amd64":
		return "x86_64"
	case "arm64":
		return "aarch64"
	case "386", "i386":
		return "i686"
	case "arm", "armhf":
		return "armv7hl"
	case "ppc64el":
		return "ppc64le"
	case "loong64":
		return "loongarch64"
	}
	return arch
}

// repomd is what is read of repomd.xml. Its format, and that of primary.xml, is what createrepo_c writes
// (src/xml_dump_repomd.c, src/xml_dump_primary.c) and libsolv reads.
type repomd struct {
	XMLName xml.Name     `xml:"repomd"`
	Data    []repomdData `xml:"data"`
}

type repomdData struct {
	Type     string `xml:"type,attr"`
	Checksum xmlSum `xml:"checksum"`
	Location struct {
		Href string `xml:"href,attr"`
	} `xml:"location"`
	Size     *int64 `xml:"size"`
	OpenSize *int64 `xml:"open-size"`
}

type xmlSum struct {
	Type  string `xml:"type,attr"`
	Value string `xml:",chardata"`
}

// digest reads the checksum; createrepo_c's "sha" is SHA-1, which is no proof.
func (s xmlSum) digest() (Digest, error) { return newDigest(s.Type, strings.TrimSpace(s.Value)) }

// rpmPackage is what is read of a package in primary.xml.
type rpmPackage struct {
	Name    string `xml:"name"`
	Arch    string `xml:"arch"`
	Version struct {
		Epoch string `xml:"epoch,attr"`
		Ver   string `xml:"ver,attr"`
		Rel   string `xml:"rel,attr"`
	} `xml:"version"`
	Checksum xmlSum `xml:"checksum"`
	Size     struct {
		Package   int64 `xml:"package,attr"`
		Installed int64 `xml:"installed,attr"`
	} `xml:"size"`
	Location struct {
		Href string `xml:"href,attr"`
		Base string `xml:"base,attr"`
	} `xml:"location"`

	file Package
}

func (p *rpmPackage) version() rpmVersion {
	return rpmVersion{p.Version.Epoch, p.Version.Ver, p.Version.Rel}
}

// parseRepomd returns where primary.xml is.
func parseRepomd(name string, data []byte) (*repomdData, error) {
	var md repomd
	if err := xml.Unmarshal(data, &md); err != nil {
		return nil, &btfinfo.Error{File: name, Off: -1, Msg: "no repomd.xml that can be read", Err: err}
	}
	i := slices.IndexFunc(md.Data, func(d repomdData) bool { return d.Type == "primary" })
	if i < 0 {
		return nil, &btfinfo.Error{File: name, Off: -1, Msg: fmt.Sprintf("it lists %d files, and no primary.xml", len(md.Data))}
	}
	return &md.Data[i], nil
}

// Plan reads the repositories' indexes.
func (r *rpm) Plan(ctx context.Context) (*Plan, error) {
	plan := &Plan{client: r.client}
	if len(r.opt.Keys) == 0 {
		plan.Unsigned = "no key was given (--key): only the transport vouches for the repository's lists"
	}
	var packages []*rpmPackage
	for _, b := range r.bases {
		found, n, err := r.readRepo(ctx, b)
		plan.IndexBytes += n
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			return nil, err
		}
		packages = append(packages, found...)
	}
	plan.Kernels = r.kernels(packages)
	return plan, nil
}

// readRepo reads one repository's lists, and returns the packages that may belong to kernels.
func (r *rpm) readRepo(ctx context.Context, b base) (packages []*rpmPackage, read int64, err error) {
	u, err := b.join("repodata/repomd.xml")
	if err != nil {
		return nil, 0, err
	}
	name := public(u)
	text, err := r.client.read(ctx, u, -1, maxRepomd)
	if err != nil {
		return nil, 0, err
	}
	read = int64(len(text))
	if len(r.opt.Keys) > 0 {
		rings, err := readKeyrings(r.opt.Keys, false)
		if err != nil {
			return nil, read, err
		}
		su, err := b.join("repodata/repomd.xml.asc")
		if err != nil {
			return nil, read, err
		}
		signature, err := r.client.read(ctx, su, -1, maxRepomd)
		if isNotThere(err) {
			return nil, read, &btfinfo.Error{File: name, Off: -1, Msg: "not signed: there is no repomd.xml.asc",
				Hint: "without --key no signature is asked for"}
		}
		if err != nil {
			return nil, read, err
		}
		read += int64(len(signature))
		if err := signedBy(name, text, signature, rings, r.opt.Now); err != nil {
			return nil, read, err
		}
	}
	data, err := parseRepomd(name, text)
	if err != nil {
		return nil, read, err
	}
	found, n, err := r.readPrimary(ctx, b, name, data)
	return found, read + n, err
}

// readPrimary gets primary.xml by the digest that repomd.xml has of it.
func (r *rpm) readPrimary(ctx context.Context, b base, repomd string, d *repomdData) ([]*rpmPackage, int64, error) {
	fail := func(err error) ([]*rpmPackage, int64, error) {
		return nil, 0, &btfinfo.Error{File: repomd, Off: -1, Msg: "primary.xml", Err: err}
	}
	digest, err := d.Checksum.digest()
	if err != nil {
		return fail(err)
	}
	u, err := b.join(d.Location.Href)
	if err != nil {
		return fail(err)
	}
	size, limit := int64(-1), int64(maxOpenPrimary)
	if d.Size != nil {
		if size = *d.Size; size < 0 {
			return fail(fmt.Errorf("size %d", size))
		}
	}
	if d.OpenSize != nil && *d.OpenSize >= 0 {
		limit = min(limit, *d.OpenSize)
	}
	data, err := r.client.read(ctx, u, size, maxPrimary)
	if err != nil {
		return nil, 0, err
	}
	read := int64(len(data))
	if err := checkBytes(data, digest); err != nil {
		return nil, read, refused(u, err)
	}
	ext := path.Ext(d.Location.Href)
	if ext == ".xml" {
		ext = ""
	}
	in, err := expand(ext, data, limit)
	if err != nil {
		return nil, read, &btfinfo.Error{File: public(u), Off: -1, Msg: "can't be expanded", Err: err}
	}
	defer in.Close()
	packages, err := readPrimary(public(u), &contextReader{ctx, in}, r.wanted)
	if err != nil {
		return nil, read, err
	}
	for _, p := range packages {
		if err := p.locate(b); err != nil {
			return nil, read, &btfinfo.Error{File: public(u), Off: -1, Msg: fmt.Sprintf("package %q", shorten(p.Name)), Err: err}
		}
	}
	return packages, read, nil
}

// budget bounds what is read between two packages: the decoder holds an element's names and texts whole.
type budget struct {
	r    io.Reader
	left int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("more than %d bytes of one package", maxPackageXML)
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}

// readPrimary reads primary.xml package by package.
func readPrimary(name string, in io.Reader, wanted func(*rpmPackage) bool) ([]*rpmPackage, error) {
	source := &budget{in, maxPackageXML}
	dec := xml.NewDecoder(source)
	fail := func(err error) ([]*rpmPackage, error) {
		return nil, &btfinfo.Error{File: name, Off: dec.InputOffset(), Msg: "no primary.xml that can be read", Err: err}
	}
	var packages []*rpmPackage
	depth := 0
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			if depth == 0 && dec.InputOffset() > 0 {
				return packages, nil
			}
			return fail(errors.New("it has no content"))
		}
		if err != nil {
			return fail(err)
		}
		switch t := token.(type) {
		case xml.StartElement:
			switch {
			case depth == 0 && t.Name.Local != "metadata":
				return fail(fmt.Errorf("the element %q where metadata should be", shorten(t.Name.Local)))
			case depth == 1 && t.Name.Local == "package":
				source.left = maxPackageXML
				var p rpmPackage
				if err := dec.DecodeElement(&p, &t); err != nil {
					return fail(err)
				}
				if wanted(&p) {
					if len(packages) == maxRPMsOfKernels {
						return fail(fmt.Errorf("more than %d packages of kernels", maxRPMsOfKernels))
					}
					packages = append(packages, &p)
				}
			default:
				depth++
			}
		case xml.EndElement:
			depth--
		}
	}
}

// wanted: a package with an image, or one that may belong to one.
func (r *rpm) wanted(p *rpmPackage) bool {
	return p.Arch == r.opt.Arch && (r.match.match(p.Name) || strings.Contains(p.Name, "kernel"))
}

// locate checks what is needed to fetch the package.
func (p *rpmPackage) locate(b base) error {
	if p.Location.Base != "" {
		return fmt.Errorf("it lies elsewhere, at %q; packages are taken from their own repository only", shorten(withoutUserinfo(p.Location.Base)))
	}
	u, err := b.join(p.Location.Href)
	if err != nil {
		return fmt.Errorf("location: %w", err)
	}
	digest, err := p.Checksum.digest()
	if err != nil {
		return err
	}
	if p.Size.Package <= 0 || p.Size.Package > maxPackage {
		return fmt.Errorf("size %d; 1 to %d bytes are taken", p.Size.Package, int64(maxPackage))
	}
	if p.Version.Ver == "" || p.Version.Rel == "" {
		return errors.New("no version")
	}
	p.file = Package{Name: p.Name, Version: p.version().String(), URI: public(u), Size: p.Size.Package, Digest: digest, url: u}
	return nil
}

// kernels puts together what belongs to one kernel.
func (r *rpm) kernels(packages []*rpmPackage) []*Kernel {
	type key struct{ name, version string }
	by := map[key]*rpmPackage{}
	for _, p := range packages {
		if k := (key{p.Name, p.version().String()}); by[k] == nil {
			by[k] = p // a package in several repositories is one
		}
	}
	versions := map[*Kernel]rpmVersion{}
	var kernels []*Kernel
	for _, p := range packages {
		v := p.version()
		if by[key{p.Name, v.String()}] != p || !r.match.match(p.Name) {
			continue
		}
		// Fedora's kernel asks for kernel-core, which has the image; so do flavours'.
		if by[key{p.Name + "-core", v.String()}] != nil || (p.Size.Installed < maxMeta && p.Size.Package < maxImageless) {
			continue
		}
		k := &Kernel{
			Name: p.Name, Version: v.String(), Arch: p.Arch, Uname: v.version + "-" + v.release + "." + p.Arch,
			Distro: r.opt.Distro, Release: r.opt.Release, Packages: []Package{p.file},
		}
		versions[k] = v
		if stem, ok := strings.CutSuffix(p.Name, "-core"); ok && !r.opt.NoModules {
			// Fedora since 38 and RHEL since 9.2 have modules-core, those before only modules.
			any := false
			for _, part := range []string{"-modules-core", "-modules", "-modules-extra"} {
				if m := by[key{stem + part, v.String()}]; m != nil {
					k.Packages = append(k.Packages, m.file)
					any = true
				}
			}
			if !any {
				k.Gone = append(k.Gone, stem+"-modules")
			}
		}
		kernels = append(kernels, k)
	}
	compare := func(a, b *Kernel) int { return compareRPM(versions[a], versions[b]) }
	sortKernels(kernels, func(a, b string) int { return strings.Compare(a, b) })
	slices.SortStableFunc(kernels, compare)
	if r.opt.LatestPerSeries {
		kernels = latest(kernels, compare, func(k *Kernel) string { return k.Name })
	}
	return kernels
}

// maxImageless is how large a package may be that has no image, in bytes: of RHEL's kernel nearly all is a changelog.
const maxImageless = 16 << 20
