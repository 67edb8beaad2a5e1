package btfinfo

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"strings"
)

// tarMember is a file in a tar archive that may hold BTF.
type tarMember struct {
	name      string
	off, size int64
}

// openTar opens the one member that is BTF. Where none is, the one that may hold it (ELF, a boot image, compressed data)
// is taken; Options.Member decides between several.
func (o *opener) openTar(in *input, depth int) (*File, error) {
	o.step("tar")
	size := in.size
	if size < 0 {
		size = 1<<63 - 1
	}
	r := &counter{r: io.NewSectionReader(in.r, 0, size)}
	var btf, other []tarMember
	files, sparse := 0, 0
	for tr := tar.NewReader(r); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			var e *Error
			if errors.As(err, &e) {
				return nil, e
			}
			if err == io.ErrUnexpectedEOF {
				err = errors.New("it ends too early")
			}
			return nil, &Error{Off: r.n, Msg: fmt.Sprintf("the tar archive is damaged after %d files", files), Err: err}
		}
		if h.Typeflag == tar.TypeGNUSparse || h.PAXRecords["GNU.sparse.major"] != "" {
			sparse++ // stored in pieces; nothing that makes BTF makes holes in it
			continue
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		files++
		m := tarMember{h.Name, r.n, h.Size}
		if o.opt.Member != "" && m.name != o.opt.Member && !strings.HasSuffix(m.name, "/"+o.opt.Member) {
			continue
		}
		head, err := in.section(m.off, m.size).readUpTo(0, headLen)
		if err != nil {
			return nil, err
		}
		switch f := sniff(head); f {
		case formatNone, formatTar:
		case formatBTF:
			btf = append(btf, m)
		default:
			other = append(other, m)
		}
	}
	if len(btf) == 0 {
		btf = other
	}
	hint := "want a file with raw BTF, an ELF file with a .BTF section, a kernel image or a module in it"
	if sparse > 0 {
		hint = fmt.Sprintf("sparse files are not read (%d in this archive): unpack it, and name the file", sparse)
	}
	switch {
	case len(btf) == 0 && o.opt.Member != "":
		return nil, &Error{Off: -1, Msg: fmt.Sprintf("none of the %d files in the archive is %q and holds BTF", files, o.opt.Member), Hint: hint}
	case len(btf) == 0:
		return nil, &Error{Off: -1, Msg: fmt.Sprintf("none of the %d files in the archive holds BTF", files), Hint: hint}
	case len(btf) > 1:
		return nil, &Error{
			Off: -1, Msg: fmt.Sprintf("%d files in the archive hold BTF: %s", len(btf), listMembers(btf)),
			Hint: "unpack the archive, or name one of them",
		}
	}
	o.steps[len(o.steps)-1] += ": " + btf[0].name
	// Once over the archive is enough where what follows is read from the part that a decompressor keeps.
	return o.open(in.section(btf[0].off, btf[0].size), depth+1)
}

func listMembers(ms []tarMember) string {
	const most = 5
	var names []string
	for _, m := range ms[:min(len(ms), most)] {
		names = append(names, fmt.Sprintf("%q", m.name))
	}
	if len(ms) > most {
		names = append(names, fmt.Sprintf("%d more", len(ms)-most))
	}
	return strings.Join(names, ", ")
}

// counter counts what is read through it, and so tells where a tar member's content starts.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}
