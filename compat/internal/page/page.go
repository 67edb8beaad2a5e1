// Package page writes text for people: lines of a width that terminals have, tables without borders, and nothing that a
// terminal would obey.
package page

import (
	"bufio"
	"fmt"
	"io"
	"sort"
	"strconv"
	"strings"
	"unicode"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/pkg/twwidth"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
)

// Width is the width in columns of a terminal that tables and texts keep to.
const Width = 100

// Page is what is written. Errors of writing stay until Flush.
type Page struct {
	w     *bufio.Writer
	color bool
}

// New makes a page that is written to w; color tells whether styles are ANSI's, or none.
func New(w io.Writer, color bool) *Page { return &Page{w: bufio.NewWriter(w), color: color} }

// Flush writes what is left, and returns the first error of all writes.
func (p *Page) Flush() error { return p.w.Flush() }

// Line writes one line. Names and source lines in it come from strangers' files, and a terminal would obey an escape
// sequence among them. Write errors stay in the bufio.Writer and come back from Flush.
func (p *Page) Line(format string, args ...any) {
	s := fmt.Sprintf(format, args...)
	p.w.WriteString(strings.TrimRight(Printable(s, p.color), " "))
	p.w.WriteByte('\n')
}

// Printable writes out what is no character to look at, but for our own styles.
func Printable(s string, styles bool) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case unicode.IsGraphic(r), styles && r == '\x1b' && isStyle(s[i:]):
			b.WriteRune(r)
		case r == '\t':
			b.WriteByte(' ')
		default:
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
		}
	}
	return b.String()
}

// isStyle tells whether s starts with one of our styles, or with the end of one.
func isStyle(s string) bool {
	for _, code := range []string{"0", Bold, Dim, Red, Green, Yellow} {
		if strings.HasPrefix(s, "\x1b["+code+"m") {
			return true
		}
	}
	return false
}

// Para writes text wrapped to the page, every line behind indent, the first behind lead.
func (p *Page) Para(lead, indent, text string) {
	for i, l := range Wrap(Printable(text, false), Width-max(twwidth.Width(lead), twwidth.Width(indent))) {
		if i == 0 {
			p.Line("%s%s", lead, l)
		} else {
			p.Line("%s%s", indent, l)
		}
	}
}

// ANSI styles.
const (
	Bold   = "1"
	Dim    = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
)

// Style gives text a style, where the page has colours.
func (p *Page) Style(code, s string) string {
	if !p.color || s == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Title writes the line above what is said of an object.
func (p *Page) Title(text string) {
	for _, l := range Wrap(Printable(text, false), Width) {
		p.Line("%s", p.Style(Bold, l))
	}
}

// Table writes cells in columns without borders; a cell may have several lines.
func (p *Page) Table(header []string, rows [][]string) {
	var b strings.Builder
	off := tw.State(tw.Off)
	t := tablewriter.NewTable(&b,
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders: tw.BorderNone,
			Symbols: tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{
				Separators: tw.Separators{BetweenColumns: off, BetweenRows: off, ShowHeader: off, ShowFooter: off},
				Lines:      tw.Lines{ShowTop: off, ShowBottom: off, ShowHeaderLine: off, ShowFooterLine: off},
			},
		})),
		tablewriter.WithHeaderAutoFormat(tw.Off),
		tablewriter.WithHeaderAutoWrap(tw.WrapNone),
		tablewriter.WithRowAutoWrap(tw.WrapNone),
		tablewriter.WithHeaderAlignment(tw.AlignLeft),
		tablewriter.WithRowAlignment(tw.AlignLeft),
		tablewriter.WithTrimSpace(tw.Off),
		tablewriter.WithPadding(tw.Padding{Right: "  ", Overwrite: true}),
	)
	t.Header(header)
	for _, r := range rows {
		for len(r) < len(header) {
			r = append(r, "")
		}
		if err := t.Append(r); err != nil {
			panic(err) // rows of strings can't fail to be written to memory
		}
	}
	if err := t.Render(); err != nil {
		panic(err)
	}
	for l := range strings.Lines(b.String()) {
		l = strings.TrimRight(l, " \n")
		for strings.HasSuffix(l, " \x1b[0m") { // tablewriter closes styles once more, behind the last cell
			l = strings.TrimRight(strings.TrimSuffix(l, "\x1b[0m"), " ")
		}
		p.Line("%s", l)
	}
}

// Plural is a noun for n things.
func Plural(n int, what string) string {
	if n == 1 {
		return what
	}
	return what + "s"
}

// Count is a number with its noun: "1 kernel", "2 kernels".
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Wrap breaks text into lines of at most width columns at spaces; a longer word is broken where the line ends.
func Wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, w := range strings.Fields(text) {
		for twwidth.Width(w) > width {
			if line != "" {
				lines = append(lines, line)
				line = ""
			}
			runes := []rune(w)
			head := string(runes[:max(fitting(runes, width), 1)])
			lines = append(lines, head)
			w = w[len(head):]
		}
		switch {
		case line == "":
			line = w
		case twwidth.Width(line)+1+twwidth.Width(w) <= width:
			line += " " + w
		default:
			lines = append(lines, line)
			line = w
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}

// Cut shortens text to width columns.
func Cut(text string, width int) string {
	text = Printable(text, false)
	if twwidth.Width(text) <= width {
		return text
	}
	r := []rune(text)
	return string(r[:fitting(r, width-3)]) + "..."
}

// fitting is how many of the runes take at most width columns.
func fitting(r []rune, width int) int {
	// A longer beginning is never narrower.
	return sort.Search(len(r), func(n int) bool { return twwidth.Width(string(r[:n+1])) > width })
}
