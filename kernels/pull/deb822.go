package pull

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// The format of Packages, Release and *.sources is that of deb822(5): paragraphs of "Field: value" lines, separated by
// blank lines; a line that begins with a blank continues the field above it.

const (
	// The longest paragraph that is read: Debian's Release, one paragraph, has 250 KB.
	maxParagraph = 32 << 20
	// The longest line; the Provides of Debian's librust packages have 25 KB.
	maxLine = 4 << 20
)

// paragraph holds fields by their names in lower case; deb822 does not tell cases apart. Continuation lines are joined
// with "\n", without the blanks at their starts.
type paragraph map[string]string

// paragraphs reads a file paragraph by paragraph.
type paragraphs struct {
	name string // of the file, for errors
	r    *bufio.Reader
	line int // of the line last read, from 1
	// first is the line that the last paragraph begins with.
	first int
	// keep says which fields are kept; nil keeps all. A repository's index is mostly fields that nobody asks for.
	keep func(field string) bool
	// sharp: a "#" at the start of a line makes it a comment, as in sources files.
	sharp bool
}

func newParagraphs(name string, r io.Reader) *paragraphs {
	return &paragraphs{name: name, r: bufio.NewReaderSize(r, 64<<10)}
}

func (p *paragraphs) errorf(format string, args ...any) error {
	return &btfinfo.Error{File: p.name, Off: -1, Msg: fmt.Sprintf("line %d: ", p.line) + fmt.Sprintf(format, args...)}
}

// next is the next paragraph, io.EOF behind the last one.
func (p *paragraphs) next() (paragraph, error) {
	var fields paragraph
	var more []string // lines that continue the last field
	last, kept, size := "", false, 0
	// Joined once: a field of many lines would be copied as often as it has lines.
	finish := func() {
		if len(more) > 0 {
			fields[last] += "\n" + strings.Join(more, "\n")
			more = more[:0]
		}
	}
	for {
		line, err := p.readLine()
		if errors.Is(err, io.EOF) {
			if fields == nil {
				return nil, io.EOF
			}
			finish()
			return fields, nil
		}
		if err != nil {
			return nil, err
		}
		if size += len(line); size > maxParagraph {
			return nil, p.errorf("a paragraph of more than %d bytes", maxParagraph)
		}
		if p.sharp && strings.HasPrefix(line, "#") {
			continue
		}
		if strings.TrimSpace(line) == "" {
			if fields == nil {
				continue // several blank lines
			}
			finish()
			return fields, nil
		}
		if line[0] == ' ' || line[0] == '\t' {
			if last == "" {
				return nil, p.errorf("it continues a field, and there is none above it")
			}
			if kept {
				more = append(more, strings.TrimSpace(line))
			}
			continue
		}
		field, value, ok := strings.Cut(line, ":")
		if !ok || field == "" || strings.ContainsAny(field, " \t") {
			return nil, p.errorf("%q is no \"Field: value\"", shorten(line))
		}
		if fields == nil {
			fields = paragraph{}
			p.first = p.line
		}
		finish()
		last = strings.ToLower(field)
		if kept = p.keep == nil || p.keep(last); kept {
			if _, twice := fields[last]; twice {
				return nil, p.errorf("field %q is there twice", field)
			}
			fields[last] = strings.TrimSpace(value)
		}
	}
}

// readLine reads a line without its end.
func (p *paragraphs) readLine() (string, error) {
	var long []byte
	for {
		b, err := p.r.ReadSlice('\n')
		if len(b) == 0 && len(long) == 0 && err != nil {
			return "", err
		}
		if len(long)+len(b) > maxLine {
			p.line++
			return "", p.errorf("more than %d bytes", maxLine)
		}
		switch {
		case err == nil && long == nil:
			p.line++
			return strings.TrimRight(string(b), "\r\n"), nil
		case err == nil, errors.Is(err, io.EOF):
			p.line++
			return strings.TrimRight(string(append(long, b...)), "\r\n"), nil
		case errors.Is(err, bufio.ErrBufferFull):
			long = append(long, b...)
		default:
			return "", err
		}
	}
}
