package pull

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/corecheck/corecheck/btfinfo"
)

// release is what a Release file says of a suite of a Debian-style repository. Format: Debian's wiki page
// DebianRepository/Format, and apt's debReleaseIndex::Load in apt-pkg/deb/debmetaindex.cc.
type release struct {
	name             string // of the file, for errors
	origin, label    string
	suite, codename  string
	version          string // "12.15", "" in testing and unstable
	date, validUntil time.Time
	byHash           bool
	components       []string
	archs            []string
	files            map[string]entry // by their paths below the Release file
}

// entry is a file that a Release file lists.
type entry struct {
	digest Digest
	size   int64
}

// maxRelease is the most bytes that a Release file may have; Debian's largest has 250 KB.
const maxRelease = 16 << 20

// parseRelease reads the text of a Release file, the signed part of it.
func parseRelease(name string, text []byte) (*release, error) {
	p, err := newParagraphs(name, bytes.NewReader(text)).next()
	if errors.Is(err, io.EOF) {
		return nil, &btfinfo.Error{File: name, Off: -1, Msg: "the Release file is empty"}
	}
	if err != nil {
		return nil, err
	}
	r := &release{
		name: name, origin: p["origin"], label: p["label"], suite: p["suite"], codename: p["codename"], version: p["version"],
		byHash:     aptBool(p["acquire-by-hash"], false),
		components: strings.Fields(p["components"]), archs: strings.Fields(p["architectures"]),
	}
	for field, to := range map[string]*time.Time{"date": &r.date, "valid-until": &r.validUntil} {
		if p[field] == "" {
			continue
		}
		t, err := releaseTime(p[field])
		if err != nil {
			return nil, &btfinfo.Error{File: name, Off: -1, Msg: fmt.Sprintf("%s %q is no date", field, shorten(p[field]))}
		}
		*to = t
	}
	// The strongest list counts alone: all of them name the same files.
	for _, algorithm := range []string{"sha512", "sha256"} {
		if list, ok := p[algorithm]; ok {
			if r.files, err = releaseFiles(name, algorithm, list); err != nil {
				return nil, err
			}
			return r, nil
		}
	}
	return nil, &btfinfo.Error{File: name, Off: -1, Msg: "no SHA256 and no SHA512 of its files, and weaker digests are no proof"}
}

// releaseTime reads "Sat, 11 Jul 2026 10:16:37 UTC"; other writers than Debian's end with +0000, and write one digit of the day.
func releaseTime(s string) (time.Time, error) {
	for _, layout := range []string{"Mon, _2 Jan 2006 15:04:05 -0700", "Mon, _2 Jan 2006 15:04:05 MST"} {
		t, err := time.Parse(layout, s)
		if err != nil {
			continue
		}
		// Of other zones than these time.Parse knows the name alone, and takes it for UTC.
		if zone, _ := t.Zone(); strings.HasSuffix(layout, "MST") && zone != "UTC" && zone != "GMT" && zone != "Z" {
			continue
		}
		return t.UTC(), nil
	}
	return time.Time{}, errors.New("not a date")
}

// releaseFiles reads lines of digest, size and path.
func releaseFiles(name, algorithm, list string) (map[string]entry, error) {
	files := map[string]entry{}
	for line := range strings.SplitSeq(list, "\n") {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		fail := func(format string, args ...any) error {
			return &btfinfo.Error{File: name, Section: strings.ToUpper(algorithm), Off: -1, Msg: fmt.Sprintf(format, args...)}
		}
		if len(words) != 3 {
			return nil, fail("%q is no digest, size and path", shorten(line))
		}
		digest, err := newDigest(algorithm, words[0])
		if err != nil {
			return nil, fail("%v", err)
		}
		size, err := strconv.ParseInt(words[1], 10, 64)
		if err != nil || size < 0 {
			return nil, fail("size %q of %q is no number of bytes", shorten(words[1]), shorten(words[2]))
		}
		if before, twice := files[words[2]]; twice && before != (entry{digest, size}) {
			return nil, fail("%q is there twice: with %d bytes and %s, with %d and %s", shorten(words[2]), before.size, before.digest, size, digest)
		}
		files[words[2]] = entry{digest, size}
	}
	return files, nil
}

// clockSkew is how far a Release file may be from the future, as apt has it by default (Acquire::Max-FutureTime).
const clockSkew = 10 * time.Second

// check holds the file against what was asked for: a mirror may show an old one, or another suite's, both of which are
// properly signed.
func (r *release) check(suite string, now time.Time, allowExpired bool) error {
	if !allowExpired {
		if !r.validUntil.IsZero() && now.After(r.validUntil) {
			return &btfinfo.Error{File: r.name, Off: -1,
				Msg:  fmt.Sprintf("expired: valid until %s, now it is %s", r.validUntil.Format(time.DateTime), now.UTC().Format(time.DateTime)),
				Hint: "the mirror is behind, or hides what came after; --allow-expired takes it nevertheless"}
		}
		if r.date.After(now.Add(clockSkew)) {
			return &btfinfo.Error{File: r.name, Off: -1,
				Msg:  fmt.Sprintf("made in the future: %s, now it is %s", r.date.Format(time.DateTime), now.UTC().Format(time.DateTime)),
				Hint: "is the clock of this machine right? --allow-expired leaves dates out of it"}
		}
	}
	if strings.HasSuffix(suite, "/") || (r.suite == "" && r.codename == "") {
		return nil // a flat repository, or one that does not say what it is
	}
	// metaIndex::CheckDist of apt: the folder's name may have more steps, of old security suites "stretch/updates".
	short, _, _ := strings.Cut(suite, "/")
	if !slices.Contains([]string{r.suite, r.codename}, suite) && !slices.Contains([]string{r.suite, r.codename}, short) {
		return &btfinfo.Error{File: r.name, Off: -1, Msg: fmt.Sprintf("the signed file is of suite %q, codename %q, not of %q", r.suite, r.codename, suite)}
	}
	return nil
}

// distro is the first part of kernels' IDs, as in BTFHub: "debian" for origins "Debian" and "Debian Backports".
func (r *release) distro() string {
	word, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(r.origin)), " ")
	return idPart(word)
}

// idPart keeps what a part of an ID may have.
func idPart(s string) string {
	return strings.Trim(strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_' {
			return c
		}
		return -1
	}, s), ".-_")
}

// debianReleases are the numbers of Debian's codenames. Source: distro-info-data's debian.csv. Testing has no Version in its
// Release file, backports never have.
var debianReleases = map[string]string{
	"buster": "10", "bullseye": "11", "bookworm": "12", "trixie": "13", "forky": "14", "duke": "15",
}

var (
	versionStart = regexp.MustCompile(`^\d+(\.\d+)*`)
	// Debian's markers in versions and unames: 6.12.117-1~deb12u1, 7.2.12-1~bpo13+1, 6.12.107+deb13-amd64.
	debianMarker = regexp.MustCompile(`(?:~deb|~bpo|\+deb)(\d+)`)
)

// releaseOf is the second part of a kernel's ID. A kernel goes through several of Debian's suites unchanged, so its own
// word comes before that of the suite: its ID does not depend on where it was found.
func (r *release) releaseOf(version, uname string) string {
	if r.distro() == "debian" {
		if m := debianMarker.FindStringSubmatch(version); m != nil {
			return m[1]
		}
		if m := debianMarker.FindStringSubmatch(uname); m != nil {
			return m[1]
		}
		if v := versionStart.FindString(r.version); v != "" {
			major, _, _ := strings.Cut(v, ".")
			return major
		}
	} else if v := versionStart.FindString(r.version); v != "" {
		return v
	}
	name := r.codename
	if name == "" || name == "rc-buggy" { // the codename of Debian's experimental, which nobody calls so
		name = r.suite
	}
	name, _, _ = strings.Cut(name, "/")
	first, _, _ := strings.Cut(name, "-")
	if number, ok := debianReleases[first]; ok && r.distro() == "debian" {
		return number
	}
	return idPart(name)
}
