package pull

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
)

// AptConfig is what is taken of a machine's apt configuration.
//
// Where things lie, proxies and checks are asked of apt-config, apt's own interface for programs (apt-config(8)), which
// knows apt.conf, its parts and APT_CONFIG. The sources are read from their files (sources.list(5)): `apt-get indextargets` would
// list what it makes of them, but leaves the keys of a source out in most versions, and knows only suites that are configured.
type AptConfig struct {
	Sources []AptSource
	// Arch is the machine's architecture in Debian's names.
	Arch string
	// Keyrings are the files and folders that apt trusts where a source names none.
	Keyrings []string
	// IgnoreValidUntil: Acquire::Check-Valid-Until or Check-Date is false, as on machines whose mirror stands still on purpose.
	IgnoreValidUntil bool

	settings map[string]string // of apt-config, keys in lower case
	logins   []login
}

// AptSource is one repository of the configuration: one URI and one suite.
type AptSource struct {
	From       string   // file and line or paragraph, for messages
	URI        string   // with credentials where the file has them: not for showing
	Suite      string   // "bookworm", or a path that ends with "/" in flat repositories
	Components []string // empty in flat repositories
	Archs      []string // where the source names some
	SignedBy   []string // files, fingerprints, or one armored key; empty: apt's own keyrings
	// IgnoreValidUntil: the source says check-valid-until=no.
	IgnoreValidUntil bool
	// Trusted: the source says trusted=yes, with which apt asks for no signature. Here one is needed.
	Trusted bool
}

// SystemApt reads the configuration of this machine's apt.
func SystemApt(ctx context.Context) (*AptConfig, error) {
	tool, err := exec.LookPath("apt-config")
	if err != nil {
		return nil, &btfinfo.Error{Off: -1, Msg: "this machine has no apt, whose configuration could say where packages are",
			Hint: "name a repository with --mirror and its suites with --suite"}
	}
	cmd := exec.CommandContext(ctx, tool, "dump", "--format", "%f=%v%n")
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("apt-config: %w: %s", err, firstLine(stderr.Bytes()))
	}
	return readAptConfig(parseAptDump(out.Bytes()))
}

// parseAptDump reads the lines KEY=VALUE that apt-config writes.
func parseAptDump(dump []byte) map[string]string {
	settings := map[string]string{}
	for line := range strings.Lines(string(dump)) {
		if key, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), "="); ok {
			settings[strings.ToLower(key)] = value
		}
	}
	return settings
}

// readAptConfig reads the files that the settings name.
func readAptConfig(settings map[string]string) (*AptConfig, error) {
	c := &AptConfig{settings: settings, Arch: settings["apt::architecture"]}
	c.IgnoreValidUntil = !aptBool(settings["acquire::check-valid-until"], true) || !aptBool(settings["acquire::check-date"], true)
	c.Keyrings = []string{c.find("dir::etc::trusted"), c.find("dir::etc::trustedparts")}

	lists := []string{c.find("dir::etc::sourcelist")}
	parts, err := aptParts(c.find("dir::etc::sourceparts"), ".list", ".sources")
	if err != nil {
		return nil, err
	}
	for _, name := range append(lists, parts...) {
		data, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var sources []AptSource
		if filepath.Ext(name) == ".sources" {
			sources, err = parseSources(name, data)
		} else {
			sources, err = parseSourcesList(name, data)
		}
		if err != nil {
			return nil, err
		}
		c.Sources = append(c.Sources, sources...)
	}

	parts, err = aptParts(c.find("dir::etc::netrcparts"), ".conf")
	if err != nil {
		return nil, err
	}
	for _, name := range append([]string{c.find("dir::etc::netrc")}, parts...) {
		data, err := os.ReadFile(name)
		// Parts are often for root alone; without them a source may answer 401, which says what is missing.
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
			continue
		}
		if err != nil {
			return nil, err
		}
		c.logins = append(c.logins, parseLogins(data)...)
	}
	return c, nil
}

// find is the path that a setting names, relative to that of the setting above it (apt's Configuration::FindFile).
func (c *AptConfig) find(key string) string {
	value := c.settings[key]
	if value == "" && key != "dir" {
		return ""
	}
	if !filepath.IsAbs(value) {
		if i := strings.LastIndex(key, "::"); i >= 0 {
			value = filepath.Join(c.find(key[:i]), value)
		} else {
			value = filepath.Join("/", value)
		}
	}
	if root := c.settings["rootdir"]; root != "" && !strings.Contains(key, "::") {
		value = filepath.Join(root, value)
	}
	return value
}

// aptBool reads a setting as apt does (StringToBool).
func aptBool(s string, def bool) bool {
	switch strings.ToLower(strings.TrimSpace(s)) {
	case "no", "false", "without", "off", "disable", "0":
		return false
	case "yes", "true", "with", "on", "enable", "1":
		return true
	}
	return def
}

// aptParts lists the files of a folder of parts that apt would read: of one of the extensions, by name, with no other
// characters than these in their names (GetListOfFilesInDir of apt).
func aptParts(dir string, extensions ...string) ([]string, error) {
	if dir == "" {
		return nil, nil
	}
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return nil, nil // "/dev/null" stands for none
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, os.ErrPermission) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := e.Name()
		odd := strings.ContainsFunc(name, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' || r == '-' || r == '.')
		})
		if !odd && name[0] != '.' && !e.IsDir() && slices.Contains(extensions, filepath.Ext(name)) {
			names = append(names, filepath.Join(dir, name))
		}
	}
	return names, nil
}

// parseSourcesList reads the one-line format: deb [ option=value … ] uri suite component …
func parseSourcesList(name string, data []byte) ([]AptSource, error) {
	var sources []AptSource
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, maxLine)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fail := func(format string, args ...any) error {
			return &btfinfo.Error{File: name, Off: -1, Msg: fmt.Sprintf("line %d: ", n) + fmt.Sprintf(format, args...)}
		}
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if words[0] == "deb-src" {
			continue
		}
		if words[0] != "deb" {
			return nil, fail("type %q; apt knows deb and deb-src", shorten(words[0]))
		}
		s := AptSource{From: fmt.Sprintf("%s:%d", name, n)}
		rest := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "deb"))
		if options, after, ok := strings.Cut(rest, "]"); ok && strings.HasPrefix(rest, "[") {
			for _, option := range strings.Fields(options[1:]) {
				key, value, ok := strings.Cut(option, "=")
				if !ok {
					return nil, fail("option %q without a value", shorten(option))
				}
				s.option(strings.ToLower(strings.TrimRight(key, "+-")), strings.Split(value, ","))
			}
			rest = after
		} else if strings.HasPrefix(rest, "[") {
			return nil, fail("the options have no end")
		}
		words = strings.Fields(rest)
		if len(words) < 2 {
			return nil, fail("it has no URI and suite")
		}
		s.URI, s.Suite, s.Components = words[0], words[1], words[2:]
		if err := s.check(); err != nil {
			return nil, fail("%v", err)
		}
		sources = append(sources, s)
	}
	if err := lines.Err(); err != nil {
		return nil, &btfinfo.Error{File: name, Off: -1, Msg: "can't be read", Err: err}
	}
	return sources, nil
}

// parseSources reads the deb822 format: paragraphs that each stand for all combinations of their URIs and suites.
func parseSources(name string, data []byte) ([]AptSource, error) {
	var sources []AptSource
	paragraphs := newParagraphs(name, bytes.NewReader(data))
	paragraphs.sharp = true
	for {
		p, err := paragraphs.next()
		if errors.Is(err, io.EOF) {
			return sources, nil
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(strings.Fields(p["types"]), "deb") || !aptBool(p["enabled"], true) {
			continue
		}
		model := AptSource{From: fmt.Sprintf("%s:%d", name, paragraphs.first)}
		for _, option := range []string{"architectures", "check-valid-until", "trusted"} {
			if value, ok := p[option]; ok {
				model.option(option, strings.Fields(value))
			}
		}
		if key := p["signed-by"]; strings.Contains(key, "-----BEGIN PGP PUBLIC KEY BLOCK-----") {
			model.SignedBy = []string{unfold(key)}
		} else if key != "" {
			model.option("signed-by", strings.Fields(strings.ReplaceAll(key, ",", " ")))
		}
		uris, suites := strings.Fields(p["uris"]), strings.Fields(p["suites"])
		if len(uris) == 0 || len(suites) == 0 {
			return nil, paragraphs.errorf("a source without URIs or Suites")
		}
		if len(uris)*len(suites) > maxSources {
			return nil, paragraphs.errorf("%d URIs and %d suites, at most %d together are read", len(uris), len(suites), maxSources)
		}
		for _, uri := range uris {
			for _, suite := range suites {
				s := model
				s.URI, s.Suite, s.Components = uri, suite, strings.Fields(p["components"])
				if err := s.check(); err != nil {
					return nil, paragraphs.errorf("%v", err)
				}
				sources = append(sources, s)
			}
		}
	}
}

// maxSources is how many sources one paragraph may stand for.
const maxSources = 10000

// unfold brings a multi-line value back to what it was: a line of one "." stands for an empty one (deb822(5)).
func unfold(s string) string {
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if line == "." {
			lines[i] = ""
		}
	}
	return strings.TrimLeft(strings.Join(lines, "\n"), "\n") + "\n"
}

// option takes what an option says; both formats have the same ones, by other names.
func (s *AptSource) option(key string, values []string) {
	switch key {
	case "arch", "architectures":
		s.Archs = values
	case "signed-by":
		s.SignedBy = values
	case "check-valid-until":
		s.IgnoreValidUntil = len(values) == 1 && !aptBool(values[0], true)
	case "trusted":
		s.Trusted = len(values) == 1 && aptBool(values[0], false)
	}
}

func (s *AptSource) check() error {
	flat := strings.HasSuffix(s.Suite, "/")
	if flat != (len(s.Components) == 0) {
		if flat {
			return fmt.Errorf("suite %q ends with a slash and has components", shorten(s.Suite))
		}
		return fmt.Errorf("suite %q has no component", shorten(s.Suite))
	}
	return nil
}

// A login is an entry of auth.conf (apt_auth.conf(5)).
type login struct {
	scheme, host, port, path string // "" where it names none
	user, password           string
}

// parseLogins reads "machine [scheme://]host[:port][/path] login NAME password WORD", entries over one or more lines.
func parseLogins(data []byte) []login {
	var words []string
	for line := range strings.Lines(string(data)) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "#") {
			words = append(words, strings.Fields(line)...)
		}
	}
	var all []login
	for i := 0; i+1 < len(words); i += 2 {
		value := words[i+1]
		switch words[i] {
		case "machine":
			var l login
			if scheme, rest, ok := strings.Cut(value, "://"); ok {
				l.scheme, value = scheme, rest
			}
			if at := strings.Index(value, "/"); at >= 0 {
				value, l.path = value[:at], value[at:]
			}
			l.host, l.port, _ = strings.Cut(value, ":")
			all = append(all, l)
		case "login":
			if len(all) > 0 {
				all[len(all)-1].user = value
			}
		case "password":
			if len(all) > 0 {
				all[len(all)-1].password = value
			}
		default:
			i-- // a word that is none of ours: the next may be
		}
	}
	return all
}

// auth finds user and password for a URI. An entry without a scheme is for https only, since a password over http is
// everybody's (apt_auth.conf(5)).
func (c *AptConfig) auth(u *url.URL) (user, password string, ok bool) {
	for _, l := range c.logins {
		scheme := l.scheme
		if scheme == "" {
			scheme = "https"
		}
		if scheme == u.Scheme && l.host == u.Hostname() && l.port == u.Port() && strings.HasPrefix(u.Path, l.path) && l.user != "" {
			return l.user, l.password, true
		}
	}
	return "", "", false
}

// proxy is the proxy that apt would take for a request (methods/http.cc and apt-transport-http(1)): the one for the host,
// what a program says that the configuration names, the general one, the environment's.
func (c *AptConfig) proxy(req *http.Request) (*url.URL, error) {
	host := strings.ToLower(req.URL.Hostname())
	methods := []string{strings.ToLower(req.URL.Scheme)}
	if methods[0] == "https" {
		methods = append(methods, "http") // https takes http's where it has none of its own
	}
	for _, m := range methods {
		if s := c.settings["acquire::"+m+"::proxy::"+host]; s != "" {
			return parseProxy(s)
		}
	}
	for _, m := range methods {
		program := c.settings["acquire::"+m+"::proxy-auto-detect"]
		if program == "" {
			program = c.settings["acquire::"+m+"::proxyautodetect"]
		}
		if program == "" {
			continue
		}
		ctx, cancel := context.WithTimeout(req.Context(), proxyDetection)
		out, err := exec.CommandContext(ctx, program, public(&url.URL{Scheme: req.URL.Scheme, Host: req.URL.Host})).Output()
		cancel()
		if err == nil && len(bytes.TrimSpace(out)) > 0 {
			return parseProxy(string(bytes.TrimSpace(out)))
		}
	}
	for _, m := range methods {
		if s := c.settings["acquire::"+m+"::proxy"]; s != "" {
			return parseProxy(s)
		}
	}
	return http.ProxyFromEnvironment(req)
}

// proxyDetection is how long the program that finds a proxy may take.
const proxyDetection = 20 * time.Second

// parseProxy reads a proxy's URI; DIRECT is none.
func parseProxy(s string) (*url.URL, error) {
	if strings.EqualFold(s, "DIRECT") {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("apt's proxy %q is no URI", withoutUserinfo(s))
	}
	return u, nil
}

// keyringFiles are the files that keyrings of distros are installed as, for repositories that are no source of apt.
func keyringFiles() []string {
	var names []string
	for _, ext := range []string{"gpg", "pgp", "asc"} {
		found, err := filepath.Glob("/usr/share/keyrings/*archive-keyring." + ext)
		if err == nil {
			names = append(names, found...)
		}
	}
	return names
}

// rings are the keyrings that a source is to be checked with.
func (c *AptConfig) rings(s *AptSource) ([]keyring, error) {
	if len(s.SignedBy) == 1 && strings.HasPrefix(s.SignedBy[0], "-----BEGIN") {
		k, err := parseKeyring(s.From+": Signed-By", []byte(s.SignedBy[0]))
		return []keyring{k}, err
	}
	var files, fingerprints []string
	for _, by := range s.SignedBy {
		if path.IsAbs(by) {
			files = append(files, by)
		} else {
			fingerprints = append(fingerprints, by)
		}
	}
	if len(files) > 0 {
		return readKeyrings(files, false)
	}
	rings, err := readKeyrings(c.Keyrings, true)
	if err != nil {
		return nil, err
	}
	if len(fingerprints) > 0 {
		rings = only(rings, fingerprints)
	}
	return rings, nil
}
