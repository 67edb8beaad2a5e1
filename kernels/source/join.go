package source

import (
	"cmp"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

// Join makes builds of parts: what belongs to one kernel, by its uname, its architecture and the version of its packages, becomes
// one. Builds are sorted by ID, and so are what they hold.
//
// The error is kernels.FileErrors, and the builds that come with it are good: a module that can't be read is missing from its
// kernel, and a kernel is missing whose image was not given.
func Join(parts []*Part, opt *Options) ([]*archive.Build, error) {
	if opt == nil {
		opt = &Options{}
	}
	var problems kernels.FileErrors
	groups := groupsOf(parts)
	if opt.ID != "" && len(groups) > 1 {
		return nil, &btfinfo.Error{
			File: groups[1].name(), Off: -1, Msg: fmt.Sprintf("is of the kernel %s, and %s of %s: one ID can't be that of both", groups[1].uname, groups[0].name(), groups[0].uname),
			Hint: "add them one by one, or without an ID",
		}
	}
	var builds []*archive.Build
	for _, g := range groups {
		b, errs := g.build(opt)
		problems = append(problems, errs...)
		if b != nil {
			builds = append(builds, b)
		}
	}
	slices.SortStableFunc(builds, func(a, b *archive.Build) int { return cmp.Compare(a.ID, b.ID) })
	for i := 1; i < len(builds); i++ {
		if a, b := builds[i-1], builds[i]; a.ID == b.ID {
			problems = append(problems, &btfinfo.Error{
				File: b.ID, Off: -1, Msg: fmt.Sprintf("two builds have this ID: %s and %s; the first is taken", packageOrSource(a), packageOrSource(b)),
				Hint: "add them one by one with different IDs, where both are wanted",
			})
		}
	}
	builds = slices.CompactFunc(builds, func(a, b *archive.Build) bool { return a.ID == b.ID })
	if len(problems) == 0 {
		return builds, nil
	}
	return builds, problems
}

func packageOrSource(b *archive.Build) string {
	if b.Package != "" {
		return b.Package + " " + b.PackageVersion
	}
	return b.Sources[0].URI
}

// group is the pieces of one kernel.
type group struct {
	uname, arch, version string
	distro, release      string // of BTFHub's folders
	pieces               []*piece
	parts                []*Part // by piece
}

// takes tells that a piece may be of the group's kernel. Distributions of one uname there are many: 5.4.0-42-generic is in two
// of Ubuntu's releases.
func (g *group) takes(p *piece, part *Part) bool {
	return g.uname == p.uname && fits(g.arch, p.arch) && fits(g.version, part.Version) && fits(g.distro, p.distro) && fits(g.release, p.release)
}

// groupsOf puts pieces together. A piece that does not tell its kernel goes to the only one that there is.
func groupsOf(parts []*Part) []*group {
	var groups []*group
	var loose []*piece
	var looseParts []*Part
	for _, part := range parts {
		for _, p := range part.pieces {
			if p.uname == "" {
				loose, looseParts = append(loose, p), append(looseParts, part)
				continue
			}
			var g *group
			for _, have := range groups {
				if have.takes(p, part) {
					g = have
					break
				}
			}
			if g == nil {
				g = &group{uname: p.uname}
				groups = append(groups, g)
			}
			g.arch, g.version = cmp.Or(g.arch, p.arch), cmp.Or(g.version, part.Version)
			g.distro, g.release = cmp.Or(g.distro, p.distro), cmp.Or(g.release, p.release)
			g.pieces, g.parts = append(g.pieces, p), append(g.parts, part)
		}
	}
	for i, p := range loose {
		if len(groups) == 1 && p.image == nil {
			groups[0].pieces, groups[0].parts = append(groups[0].pieces, p), append(groups[0].parts, looseParts[i])
			continue
		}
		groups = append(groups, &group{pieces: []*piece{p}, parts: []*Part{looseParts[i]}})
	}
	return groups
}

// fits tells that two words are the same as far as they are known.
func fits(a, b string) bool { return a == "" || b == "" || a == b }

// name is how errors call the group: its first source.
func (g *group) name() string { return g.parts[0].Source.URI }

// packages lists the packages that the group's pieces came in.
func (g *group) packages() []string {
	var names []string
	for _, part := range g.parts {
		if part.Package != "" {
			names = append(names, part.Package)
		}
	}
	return names
}

// build makes the build of a group. It is nil where the kernel can't be told, or its BTF can't be had.
func (g *group) build(opt *Options) (*archive.Build, []error) {
	// The image decides; of several, one with BTF, and rather the one that is booted than the one with debug information.
	image := -1
	for i, p := range g.pieces {
		if p.image != nil && (image < 0 || p.better(g.pieces[image])) {
			image = i
		}
	}
	if image < 0 {
		return nil, []error{g.noImage(opt)}
	}
	p, part := g.pieces[image], g.parts[image]
	whole := *p // with what the others know
	for _, q := range g.pieces {
		if whole.config == nil {
			whole.config = q.config
		}
	}
	b := &archive.Build{BTF: p.image.BTF}
	k := &b.Kernel
	k.Uname, k.Arch = g.uname, g.arch
	if err := g.identify(k, &whole, opt); err != nil {
		return nil, []error{err}
	}
	k.Package, k.PackageVersion = part.Package, part.Version
	for _, part := range g.parts {
		k.Sources = append(k.Sources, part.Source)
	}
	slices.SortFunc(k.Sources, func(a, b archive.Source) int {
		return cmp.Or(cmp.Compare(a.URI, b.URI), cmp.Compare(a.SHA256, b.SHA256), cmp.Compare(a.Date, b.Date))
	})
	k.Sources = slices.Compact(k.Sources)
	if c := whole.config; c != nil {
		k.Pahole, k.Compiler, k.Config = c.pahole, c.compiler, c.lines
	} else {
		g.missing(k, "config", "linux-base-", opt, part)
	}
	if b.BTF == nil {
		k.NoBTF = "its image has no BTF"
		if c := whole.config; c != nil {
			k.NoBTF += " (" + c.line("CONFIG_DEBUG_INFO_BTF") + ")"
		}
	}
	errs := g.addModules(b, &whole, opt, part)
	slices.SortStableFunc(k.Missing, func(a, b archive.Missing) int { return cmp.Compare(a.Fact, b.Fact) })
	return b, errs
}

// better tells that the image of p is to be preferred to q's.
func (p *piece) better(q *piece) bool {
	if (p.image.BTF != nil) != (q.image.BTF != nil) {
		return p.image.BTF != nil
	}
	return !p.debug() && q.debug()
}

// debug tells an image that came with debug information.
func (p *piece) debug() bool { return strings.HasPrefix(p.path, debugFolder) }

// noImage is the error about a kernel whose BTF can't be had.
func (g *group) noImage(opt *Options) error {
	what := "a configuration"
	for _, p := range g.pieces {
		if p.modules != nil {
			what = "modules, whose BTF continues that of their kernel"
		}
	}
	e := &btfinfo.Error{File: g.name(), Off: -1, Msg: fmt.Sprintf("has %s, but no image of %s was given", what, cmp.Or(g.uname, "a kernel"))}
	for _, p := range g.pieces {
		if len(p.links) > 0 {
			e.Msg += "; " + p.links[0]
		}
	}
	e.Hint = "give the kernel's image or its package together with this"
	if g.parts[0].Kind == "deb" {
		e.Hint = fmt.Sprintf("give linux-binary-%s or linux-image-%s together with this", g.uname, g.uname)
	} else if g.parts[0].Kind == "rpm" {
		e.Hint = "give the package kernel-core of the same version together with this"
	}
	if opt.NotGiven != "" {
		e.Hint = ""
		e.Msg += ": its package " + opt.NotGiven
	}
	return e
}

// identify fills in the ID and its parts, and the version.
func (g *group) identify(k *archive.Kernel, p *piece, opt *Options) error {
	v, from := versionOf(p)
	if opt.Version != "" {
		var err error
		if v, err = kernels.ParseVersion(opt.Version); err != nil {
			return &btfinfo.Error{File: g.name(), Off: -1, Msg: "the version that was given can't be read", Err: err, Hint: "want upstream's, as 6.1.176"}
		}
		from = kernels.FromPackage
	}
	if !v.IsZero() {
		k.Version, k.VersionFrom = v.String(), string(from)
	}
	k.Distro, k.Release = p.distro, p.release
	if k.Distro == "" {
		k.Distro, k.Release = originOf(p, v)
	}
	if opt.Distro != "" {
		k.Distro, k.Release = opt.Distro, opt.Release
	}
	if arch, ok := kernels.Arch(p.image.Arch); ok {
		if k.Arch != "" && k.Arch != arch {
			return &btfinfo.Error{
				File: g.name(), Off: -1, Msg: fmt.Sprintf("the image is of %s, what comes with it says %s", arch, k.Arch),
				Hint: "is it the package, or the folder, of that kernel?",
			}
		}
		k.Arch = arch
	}
	if opt.ID != "" {
		parts := strings.Split(opt.ID, "/")
		if len(parts) != 4 {
			return &btfinfo.Error{File: g.name(), Off: -1, Msg: fmt.Sprintf("the ID %q has %d of 4 parts", opt.ID, len(parts)), Hint: "distro/release/arch/uname, as debian/12/x86_64/6.1.0-50-cloud-amd64"}
		}
		arch, known := kernels.Arch(parts[2])
		if !known && parts[2] != "unknown" {
			return &btfinfo.Error{File: g.name(), Off: -1, Msg: fmt.Sprintf("the ID %q has no architecture as its third part: %q", opt.ID, parts[2]), Hint: "some that are: x86_64, arm64, s390x, ppc64le, riscv64; or unknown"}
		}
		if known && k.Arch != "" && arch != k.Arch {
			return &btfinfo.Error{File: g.name(), Off: -1, Msg: fmt.Sprintf("the kernel is of %s, the ID says %s", k.Arch, parts[2]), Hint: "correct the third part of the ID"}
		}
		k.Distro, k.Release, k.Arch, k.Uname = parts[0], parts[1], cmp.Or(arch, parts[2]), parts[3]
		if k.Version == "" {
			if v, ok := kernels.VersionFromUname(k.Uname); ok {
				k.Version, k.VersionFrom = v.String(), string(kernels.FromUname)
			}
		}
	}
	for _, part := range []*string{&k.Distro, &k.Release, &k.Arch, &k.Uname} {
		*part = cmp.Or(*part, "unknown")
		if !isIDPart(*part) {
			return &btfinfo.Error{File: g.name(), Off: -1, Msg: fmt.Sprintf("%q can't be a part of an ID: want at most %d letters, digits or signs, without blanks and slashes", *part, maxIDPart), Hint: "give an ID"}
		}
	}
	k.ID = strings.Join([]string{k.Distro, k.Release, k.Arch, k.Uname}, "/")
	return nil
}

// maxIDPart is how long a part of an ID may be, in bytes: uname -r has at most 64 (__NEW_UTS_LEN in
// include/uapi/linux/utsname.h of Linux v6.12), names of files in BTFHub some more.
const maxIDPart = 128

func isIDPart(s string) bool {
	for _, c := range []byte(s) {
		if c <= ' ' || c >= 0x7f || c == '/' || c == '\\' {
			return false
		}
	}
	return len(s) <= maxIDPart && s != "." && s != ".."
}

// missing notes that a fact is not there; name is how Debian's package begins that would have it, where the kernel is split.
func (g *group) missing(k *archive.Kernel, fact, name string, opt *Options, image *Part) {
	notGiven := cmp.Or(opt.NotGiven, "was not given")
	reason := ""
	switch {
	case image.Kind == "btf":
		reason = "the source is the kernel's own BTF alone"
	case image.Kind == "rpm" && fact == "modules":
		name := strings.TrimSuffix(image.Package, "-core") + "-modules" // of kernel-core, kernel-rt-core, kernel-64k-core
		if g.hasCoreModules() {
			name += "-core"
		}
		reason = fmt.Sprintf("package %s %s %s", name, image.Version, notGiven)
	case image.Kind == "deb" && g.pieceOf(image).debug():
		reason = fmt.Sprintf("package %s %s", strings.TrimSuffix(image.Package, "-dbg"), notGiven)
	case image.Kind == "deb" && g.split(image):
		if vendorOf(g.pieceOf(image).info) == "ubuntu" {
			name = "linux-modules-" // which has the configuration, too
		}
		reason = fmt.Sprintf("package %s%s %s", name, g.uname, notGiven)
	case image.Kind == "deb" || image.Kind == "rpm":
		reason = fmt.Sprintf("package %s has none", image.Package)
	case fact == "modules":
		reason = "no folder of modules was given"
	default:
		reason = "no configuration was given"
	}
	k.Missing = append(k.Missing, archive.Missing{Fact: fact, Reason: reason})
}

// split tells that the package of an image is one of Debian's or Ubuntu's that have the modules in another one.
func (g *group) split(image *Part) bool {
	return strings.HasPrefix(image.Package, "linux-binary-") || // Debian since 6.19
		strings.HasPrefix(image.Package, "linux-image-unsigned-") || // Ubuntu since 18.04
		strings.HasPrefix(image.Package, "linux-image-") && !g.pieceOf(image).hasModules()
}

func (g *group) pieceOf(part *Part) *piece {
	for i := range g.parts {
		if g.parts[i] == part {
			return g.pieces[i]
		}
	}
	return nil
}

func (p *piece) hasModules() bool { return p != nil && p.modules != nil }

// addModules parses the modules against the kernel's BTF, and says what is missing of them.
func (g *group) addModules(b *archive.Build, whole *piece, opt *Options, image *Part) []error {
	k := &b.Kernel
	var raw []rawModule
	var errs []error
	seen, none, wanted := 0, 0, 0
	some := false
	for i, p := range g.pieces {
		if p.modules == nil {
			continue
		}
		some = true
		seen, none, wanted = seen+p.modules.seen, none+p.modules.none, wanted+p.modules.wanted
		raw = append(raw, p.modules.raw...)
		for _, err := range p.modules.errs {
			errs = append(errs, inside(err, g.parts[i].Source.URI))
		}
	}
	switch {
	case opt.Modules.None():
		k.Missing = append(k.Missing, archive.Missing{Fact: "modules", Reason: noneAsked})
		return nil
	case whole.config != nil && whole.config.line("CONFIG_MODULES") != "CONFIG_MODULES=y" && !some:
		b.ModulesRead = true // it can't have any
		return nil
	case !some:
		g.missing(k, "modules", "linux-modules-", opt, image)
		return nil
	case b.BTF == nil:
		b.ModulesRead = true // without the kernel's there is no BTF of modules
		return nil
	}
	var bad []error
	b.Modules, bad = parseModules(raw, b.BTF, g)
	errs = append(errs, bad...)
	b.ModulesRead = true
	note := func(format string, args ...any) {
		k.Missing = append(k.Missing, archive.Missing{Fact: "modules", Reason: fmt.Sprintf(format, args...)})
	}
	if !opt.Modules.All() {
		note(someAsked+": %d of %d", wanted, seen)
	}
	if len(errs) > 0 {
		b.ModulesRead = false
		note("%d of %d can't be read", len(errs), wanted)
	}
	if wanted > 0 && none == wanted {
		reason := "without the configuration it can't be told why"
		if whole.config != nil {
			reason = whole.config.line("CONFIG_DEBUG_INFO_BTF_MODULES")
		}
		note("none of the %d modules has BTF (%s)", wanted, reason)
	}
	if name := g.companion(image); name != "" {
		b.ModulesRead = false
		note("package %s %s", name, cmp.Or(opt.NotGiven, "was not given"))
	}
	return errs
}

// companion is the package that has the rest of a kernel's modules, where it is known that there is one and it was not given: Fedora
// and RHEL have some in kernel-modules-core and more in kernel-modules; Ubuntu's generic kernels more in linux-modules-extra.
func (g *group) companion(image *Part) string {
	names := g.packages()
	switch {
	case image.Kind == "rpm" && strings.HasSuffix(image.Package, "-core"):
		base := strings.TrimSuffix(image.Package, "-core") + "-modules"
		if !slices.Contains(names, base) {
			return base + " " + image.Version
		}
		if !slices.Contains(names, base+"-core") && g.hasCoreModules() {
			return base + "-core " + image.Version
		}
	case image.Kind == "deb" && strings.HasSuffix(g.uname, "-generic") && slices.Contains(names, "linux-modules-"+g.uname):
		if extra := "linux-modules-extra-" + g.uname; !slices.Contains(names, extra) {
			return extra
		}
	}
	return ""
}

// hasCoreModules tells kernels of which a part of the modules is in a package kernel-modules-core. Source: kernel.spec of Fedora
// since 6.2, and of RHEL 9 since 9.2.
func (g *group) hasCoreModules() bool {
	if strings.Contains(g.uname, ".el9") {
		return true
	}
	v, ok := kernels.VersionFromUname(g.uname)
	return ok && v.MinorRelease().Compare(kernels.Version{Major: 6, Minor: 2, Patch: kernels.UnknownPatch}) >= 0
}

// parseModules parses what was taken out of modules against the BTF of their kernel. Of several of one name the one that modprobe
// takes counts: depmod.d(5), "search updates built-in" of kmod.
func parseModules(raw []rawModule, base *btfinfo.BTF, g *group) ([]archive.Module, []error) {
	slices.SortFunc(raw, func(a, b rawModule) int {
		return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(rank(a.path), rank(b.path)), cmp.Compare(a.path, b.path))
	})
	raw = slices.CompactFunc(raw, func(a, b rawModule) bool { return a.name == b.name })
	list, errs := make([]archive.Module, len(raw)), make([]error, len(raw))
	var wg sync.WaitGroup
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	for i, m := range raw {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; wg.Done() }()
			list[i].Name = m.name
			list[i].BTF, errs[i] = m.parse(base, g.uname)
		}()
	}
	wg.Wait()
	var modules []archive.Module
	var bad []error
	for i, m := range list {
		if errs[i] != nil {
			bad = append(bad, inside(errs[i], g.name(), raw[i].path))
		} else {
			modules = append(modules, m)
		}
	}
	return modules, bad
}

// rank orders the folders of modules as modprobe searches them.
func rank(path string) int {
	if strings.Contains(path, "/updates/") {
		return 0
	}
	return 1
}

// parse parses the BTF of a module of the kernel with that uname.
func (m *rawModule) parse(base *btfinfo.BTF, uname string) (*btfinfo.BTF, error) {
	switch {
	case m.own:
		return nil, &btfinfo.Error{
			Section: ".BTF.base", Off: -1, Msg: "the module's BTF continues a base of its own, not the kernel's",
			Hint: "it was built outside of the kernel's tree; the kernel moves such BTF to its own when it loads the module",
		}
	case m.uname != "" && m.uname != uname:
		return nil, &btfinfo.Error{
			Section: ".modinfo", Off: -1, Msg: fmt.Sprintf("the module is of the kernel %s, its folder of %s", m.uname, uname),
			Hint: "was a module copied from another kernel?",
		}
	}
	btf, err := btfinfo.ParseSplit(m.btf, base)
	var e *btfinfo.Error
	if errors.As(err, &e) {
		e.Section = ".BTF"
		if e.Hint == "" {
			e.Hint = "is the image that of the very build that the modules belong to?"
		}
	}
	return btf, err
}
