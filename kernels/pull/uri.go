package pull

import (
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// base is where a repository begins: an http, https or file URI.
type base struct {
	url url.URL
}

// parseBase reads what the user or a configuration names as a repository: a URI, or a folder.
func parseBase(s string) (base, error) {
	if i := strings.IndexAny(s, ":/"); i < 0 || s[i] == '/' {
		abs, err := filepath.Abs(s)
		if err != nil {
			return base{}, err
		}
		return base{url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}}, nil
	}
	u, err := url.Parse(s)
	if err != nil {
		// The error of url.Parse repeats its input, and with it a password.
		return base{}, fmt.Errorf("not a URI that can be read: %q", withoutUserinfo(s))
	}
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return base{}, fmt.Errorf("URI without a host: %q", public(u))
		}
	case "file", "copy":
		// apt's copy method is file with a copy made of it.
		if u.Host != "" && u.Host != "localhost" {
			return base{}, fmt.Errorf("file URI of another host: %q", public(u))
		}
		return base{url.URL{Scheme: "file", Path: u.Path}}, nil
	default:
		return base{}, fmt.Errorf("%q: scheme %q can't be read; http, https, file and folders can", public(u), u.Scheme)
	}
	u.Fragment, u.RawFragment = "", ""
	return base{*u}, nil
}

// join is the URI of a file in the repository. name is a relative path from an index, which is not to be believed: it
// may not lead out of the repository.
func (b base) join(name string) (*url.URL, error) {
	clean, err := insidePath(name)
	if err != nil {
		return nil, err
	}
	u := b.url
	u.Path = strings.TrimSuffix(u.Path, "/") + "/" + clean
	u.RawPath = ""
	return &u, nil
}

// maxPath is the longest path in a repository that is followed, as Linux's PATH_MAX.
const maxPath = 4096

// insidePath is a slash-separated path without a step out of where it is taken from. "./" at its start is allowed: flat
// apt repositories write it.
func insidePath(name string) (string, error) {
	if len(name) > maxPath {
		return "", fmt.Errorf("path of %d bytes, at most %d are followed", len(name), maxPath)
	}
	for _, c := range []byte(name) {
		if c < 0x20 || c == 0x7f || c == '\\' {
			return "", fmt.Errorf("path %q has a character that no path in a repository needs", name)
		}
	}
	if name == "" || strings.HasPrefix(name, "/") {
		return "", fmt.Errorf("path %q is not one inside of the repository", name)
	}
	for _, step := range strings.Split(name, "/") {
		if step == ".." {
			return "", fmt.Errorf("path %q leads out of the repository", name)
		}
	}
	clean := path.Clean(name)
	if clean == "." {
		return "", fmt.Errorf("path %q names no file", name)
	}
	return clean, nil
}

// public is a URI as it may be shown and stored: without user, password, query and fragment, any of which may be a secret.
func public(u *url.URL) string {
	v := *u
	v.User, v.RawQuery, v.ForceQuery, v.Fragment, v.RawFragment = nil, "", false, "", ""
	return v.String()
}

// withoutUserinfo takes user and password out of something that could not be parsed as a URI.
func withoutUserinfo(s string) string {
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	if i := strings.LastIndex(rest, "@"); i >= 0 {
		rest = rest[i+1:]
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	return scheme + "://" + rest
}

// maxSmallFile is the most bytes of a list that a person or a tool wrote.
const maxSmallFile = 16 << 20

// readSmallFile reads a file of this machine.
func readSmallFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(&limitReader{r: f, left: maxSmallFile, limit: maxSmallFile})
	if err != nil {
		return nil, &btfinfo.Error{File: name, Off: -1, Msg: "can't be read", Err: err}
	}
	return data, nil
}
