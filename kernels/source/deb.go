package source

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// packageInfo is what the metadata of a package say.
type packageInfo struct {
	kind         string // "deb", "rpm"
	name         string
	version      string // "6.1.176-1"
	arch         string // as the package has it: "amd64", "x86_64"
	vendor       string // Debian's Maintainer, RPM's Vendor
	distribution string // RPM's Distribution
	date         string // when it was built, as far as it tells
	listed       bool   // files is known
	files        []string
}

// readDeb reads a Debian package up to its data, and returns what is told of it and the data.
//
// Source: deb(5) of dpkg 1.22: debian-binary, control.tar, data.tar, in this order; members that begin with '_' are to be ignored.
func readDeb(in *counted) (*packageInfo, *arReader, arMember, error) {
	none := arMember{}
	ar, err := newAr(in)
	if err != nil {
		return nil, nil, none, err
	}
	m, err := ar.next()
	if err == io.EOF || err == nil && m.name != "debian-binary" {
		return nil, nil, none, &btfinfo.Error{Off: arHeader, Msg: fmt.Sprintf("no Debian package: the first member is %q, want \"debian-binary\"", m.name), Hint: checkNoPackage}
	}
	if err != nil {
		return nil, nil, none, err
	}
	var version [2]byte
	if _, err := io.ReadFull(ar, version[:]); err != nil {
		return nil, nil, none, inside(cutOff(in, err, "the version of the format"), m.name)
	}
	if string(version[:]) != "2." {
		return nil, nil, none, inside(errAt(m.off, nil, "the format of the package is %q, want 2.0", version), m.name)
	}
	p := &packageInfo{kind: "deb", date: isoDate(m.date)}
	for {
		m, err := ar.next()
		if err == io.EOF {
			e := errAt(in.n, nil, "the package ends without data")
			if p.name == "" {
				e.Msg = "the package ends without control data"
			}
			return nil, nil, none, e
		}
		if err != nil {
			return nil, nil, none, err
		}
		switch {
		case strings.HasPrefix(m.name, "control.tar") && p.name == "":
			if err := p.readControl(ar, in); err != nil {
				return nil, nil, none, inside(err, m.name)
			}
		case strings.HasPrefix(m.name, "data.tar") && p.name != "":
			return p, ar, m, nil
		case strings.HasPrefix(m.name, "_"):
		default:
			return nil, nil, none, errAt(m.off-arHeader, nil, "member %q is out of place: want control.tar, then data.tar", m.name)
		}
	}
}

// readControl reads control.tar: the control file, and the list of files.
func (p *packageInfo) readControl(r io.Reader, in *counted) error {
	x := expanders.Get().(*btfinfo.Expander)
	defer expanders.Put(x)
	if err := x.Reset(r); err != nil {
		return err
	}
	limited := &bounded{r: x, in: in}
	tr := tar.NewReader(limited)
	for n := 0; ; n++ {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err == nil && n >= maxMembers {
			err = errAt(-1, nil, "more than %d files", maxMembers)
		}
		if err != nil {
			return tarErr(err, n)
		}
		name := strings.TrimPrefix(h.Name, "./")
		if h.Typeflag != tar.TypeReg || name != "control" && name != "md5sums" {
			continue
		}
		if h.Size > maxMetadata {
			return inside(errAt(-1, nil, "%d bytes, the limit is %d", h.Size, maxMetadata), name)
		}
		text, err := readAll(tr, h.Size)
		if err != nil {
			return inside(tarErr(err, n), name)
		}
		if name == "md5sums" {
			p.listed, p.files = true, nil
			for line := range strings.Lines(string(text)) {
				// "HASH  PATH", md5sums of deb(5) as dh_md5sums writes it
				if _, path, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "  "); ok {
					p.files = append(p.files, path)
				}
			}
			continue
		}
		if err := p.parseControl(string(text)); err != nil {
			return inside(err, name)
		}
	}
	if p.name == "" {
		return errAt(-1, nil, "no control file")
	}
	return nil
}

// parseControl reads the fields of a control file. Source: deb-control(5): "Name: value" lines; lines that begin with a
// blank continue a value, and none of those that are read here has them.
func (p *packageInfo) parseControl(text string) error {
	fields := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok && !strings.HasPrefix(line, " ") && !strings.HasPrefix(line, "\t") {
			fields[strings.ToLower(key)] = strings.TrimSpace(value)
		}
	}
	p.name, p.version, p.arch, p.vendor = fields["package"], fields["version"], fields["architecture"], fields["maintainer"]
	if p.name == "" || p.version == "" || p.arch == "" {
		return errAt(-1, nil, "the fields Package, Version and Architecture are %q, %q and %q, want all three", p.name, p.version, p.arch)
	}
	return checkWords(p.name, p.version, p.arch)
}

// tarErr is what is wrong with a tar archive after n files, in our words; errors of the layers below pass.
func tarErr(err error, n int) error {
	var e *btfinfo.Error
	if errors.As(err, &e) {
		return err
	}
	if err == io.ErrUnexpectedEOF || err == io.EOF {
		err = errors.New("it ends too early")
	} else if !errors.Is(err, tar.ErrHeader) && !errors.Is(err, tar.ErrFieldTooLong) {
		return err // the caller gave up, or the disk failed
	}
	return errAt(-1, err, "the tar archive is damaged after %d files", n)
}
