package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"html"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
)

// BTFHubOptions choose kernels of a folder in BTFHub's layout: distro/release/arch/UNAME.btf.tar.xz.
//
// Over http what is there is read from the listings that servers make of folders (Apache, nginx, caddy, Python's
// http.server: any page whose links lead to what is in the folder), or from a list: a text file with one path a line, such as
// `find . -name '*.btf.tar.xz'` writes. GitHub makes no listings; a clone of btfhub-archive, or a list of it, is needed there.
type BTFHubOptions struct {
	// From is a URI or a folder.
	From string
	// List is a URI or a file with the paths; "" reads listings. A path may begin with "./".
	List string
	// Arch is BTFHub's name of an architecture; "" takes all.
	Arch string
	// Match are globs on IDs, such as "ubuntu/20.04/*"; empty takes all.
	Match     []string
	Transport Transport
}

const (
	// Levels of folders: distro, release, arch.
	hubDepth = 3
	// Folders and files in all; BTFHub has 120 and 4,300.
	maxHubFolders = 5_000
	maxHubFiles   = 1_000_000
	// Bytes of one listing or list.
	maxListing = 64 << 20
)

// btfhub is a Source.
type btfhub struct {
	opt    BTFHubOptions
	base   base
	match  matchers
	client *client
	read   int64
}

// NewBTFHub checks the options.
func NewBTFHub(opt BTFHubOptions) (Source, error) {
	h := &btfhub{opt: opt}
	if opt.From == "" {
		return nil, &btfinfo.Error{Off: -1, Msg: "no place was named", Hint: "--from takes a URI, or a folder"}
	}
	var err error
	if h.base, err = parseBase(opt.From); err != nil {
		return nil, &btfinfo.Error{Off: -1, Msg: "BTFHub", Err: err}
	}
	globs := opt.Match
	if len(globs) == 0 {
		globs = []string{"*"}
	}
	if h.match, err = newMatchers(globs); err != nil {
		return nil, err
	}
	if opt.Arch != "" {
		arch, ok := kernels.Arch(opt.Arch)
		if !ok {
			return nil, &btfinfo.Error{Off: -1, Msg: fmt.Sprintf("there is no architecture %q", opt.Arch)}
		}
		h.opt.Arch = arch
	}
	h.client = newClient(opt.Transport)
	return h, nil
}

// Plan finds the files. Their sizes are known of folders only.
func (h *btfhub) Plan(ctx context.Context) (*Plan, error) {
	plan := &Plan{client: h.client}
	if h.base.url.Scheme != "file" {
		plan.Unsigned = "BTFHub has no signatures and no digests: only the transport vouches for what comes"
	}
	h.read = 0
	var files []string
	var err error
	switch {
	case h.opt.List != "":
		files, err = h.readList(ctx)
	case h.base.url.Scheme == "file":
		files, err = h.walk(ctx)
	default:
		files, err = h.crawl(ctx)
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	plan.IndexBytes = h.read
	// Of one kernel that is there plain and compressed the plain file is taken, whose name is the shorter one.
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) })
	seen := map[string]bool{}
	for _, name := range files {
		k, err := h.kernel(name)
		if err != nil {
			return nil, err
		}
		if k != nil && !seen[k.ID] {
			seen[k.ID] = true
			plan.Kernels = append(plan.Kernels, k)
		}
	}
	sortKernels(plan.Kernels, strings.Compare)
	return plan, nil
}

// kernel makes a kernel of a path; nil where it is none, or not asked for.
func (h *btfhub) kernel(name string) (*Kernel, error) {
	clean, err := insidePath(name)
	if err != nil {
		return nil, &btfinfo.Error{File: public(&h.base.url), Off: -1, Msg: "listed", Err: err}
	}
	hub, ok := kernels.InLayout(clean)
	if !ok || strings.Count(clean, "/") > hubDepth || (h.opt.Arch != "" && hub.Arch != h.opt.Arch) || !h.match.match(hub.ID) {
		return nil, nil
	}
	u, err := h.base.join(clean)
	if err != nil {
		return nil, &btfinfo.Error{File: public(&h.base.url), Off: -1, Msg: "listed", Err: err}
	}
	size := int64(-1)
	if u.Scheme == "file" {
		if info, err := os.Stat(localPath(u)); err == nil {
			size = info.Size()
		}
	}
	return &Kernel{
		Name: hub.ID, Arch: hub.Arch, Uname: hub.Uname, Distro: hub.Distro, Release: hub.Release, ID: hub.ID,
		Packages: []Package{{Name: path.Base(clean), URI: public(u), Size: size, url: u}},
	}, nil
}

// readList reads paths, one a line.
func (h *btfhub) readList(ctx context.Context) ([]string, error) {
	b, err := parseBase(h.opt.List)
	if err != nil {
		return nil, &btfinfo.Error{Off: -1, Msg: "list", Err: err}
	}
	data, err := h.client.read(ctx, &b.url, -1, maxListing)
	if err != nil {
		return nil, err
	}
	h.read += int64(len(data))
	var files []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			if files = append(files, line); len(files) > maxHubFiles {
				return nil, &btfinfo.Error{File: public(&b.url), Off: -1, Msg: fmt.Sprintf("more than %d paths", maxHubFiles)}
			}
		}
	}
	return files, nil
}

// walk lists a folder of this machine.
func (h *btfhub) walk(ctx context.Context) ([]string, error) {
	root := localPath(&h.base.url)
	var files []string
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		var e *fs.PathError
		if errors.As(err, &e) {
			return &btfinfo.Error{File: e.Path, Off: -1, Msg: "can't be read", Err: e.Err, Hint: "is the name right, and may you read it?"}
		}
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		rel, err := filepath.Rel(root, name)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if rel != "." && strings.HasPrefix(path.Base(rel), ".") || strings.Count(rel, "/") > hubDepth {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.IsDir() {
			files = append(files, rel)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		return nil, &btfinfo.Error{File: root, Off: -1, Msg: "there is no file in it", Hint: "BTFHub's layout is distro/release/arch/UNAME.btf.tar.xz"}
	}
	return files, err
}

// crawl follows the listings of folders that a server makes, no deeper than BTFHub's layout goes.
func (h *btfhub) crawl(ctx context.Context) ([]string, error) {
	var files []string
	level := []string{""}
	folders := 0
	for depth := 0; depth <= hubDepth; depth++ {
		var next []string
		for _, dir := range level {
			if folders++; folders > maxHubFolders {
				return nil, &btfinfo.Error{File: public(&h.base.url), Off: -1, Msg: fmt.Sprintf("more than %d folders", maxHubFolders)}
			}
			names, err := h.list(ctx, dir)
			if err != nil {
				return nil, err
			}
			for _, name := range names {
				full := dir + name
				switch {
				case !strings.HasSuffix(name, "/"):
					files = append(files, full)
				case depth < hubDepth && h.mayHold(full):
					next = append(next, full)
				}
			}
			if len(files) > maxHubFiles {
				return nil, &btfinfo.Error{File: public(&h.base.url), Off: -1, Msg: fmt.Sprintf("more than %d files", maxHubFiles)}
			}
		}
		level = next
	}
	if len(files) == 0 {
		return nil, &btfinfo.Error{File: public(&h.base.url), Off: -1, Msg: "the server lists no files there",
			Hint: "where a server makes no listings of folders, a list of the paths is needed"}
	}
	return files, nil
}

// mayHold: a folder of another architecture than the one asked for need not be listed.
func (h *btfhub) mayHold(dir string) bool {
	steps := strings.Split(strings.TrimSuffix(dir, "/"), "/")
	if len(steps) < hubDepth || h.opt.Arch == "" {
		return true
	}
	arch, ok := kernels.Arch(steps[2])
	return ok && arch == h.opt.Arch
}

// The links of a page.
var hrefRE = regexp.MustCompile(`(?i)<a\s[^>]*?href\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))`)

// list reads the listing of a folder, "" or "a/b/", and returns what is in it, folders with a slash behind them.
func (h *btfhub) list(ctx context.Context, dir string) ([]string, error) {
	u := h.base.url
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + dir
	u.RawPath = ""
	page, err := h.client.read(ctx, &u, -1, maxListing)
	if err != nil {
		return nil, err
	}
	h.read += int64(len(page))
	return links(&u, string(page)), nil
}

// links are the names that a page at u links to and that are right below it.
func links(u *url.URL, page string) []string {
	seen := map[string]bool{}
	var names []string
	for _, m := range hrefRE.FindAllStringSubmatch(page, -1) {
		target, err := url.Parse(html.UnescapeString(m[1] + m[2] + m[3]))
		if err != nil {
			continue
		}
		to := u.ResolveReference(target)
		below, ok := strings.CutPrefix(to.Path, u.Path)
		if !ok || to.Host != u.Host || to.Scheme != u.Scheme || to.RawQuery != "" {
			continue // sorting, parent folders, other places
		}
		name := strings.TrimSuffix(below, "/")
		if _, err := insidePath(name); err != nil || strings.Contains(name, "/") || name[0] == '.' || seen[below] {
			continue // hidden ones are no part of the layout, as in folders
		}
		seen[below] = true
		names = append(names, below)
	}
	return names
}
