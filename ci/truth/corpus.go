package main

import (
	"bufio"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// corpus is what is loaded.
type corpus struct {
	files    []string // in the order in which they are given to corecheck
	leftOut  []leftOut
	tools    string // version of libbpf-tools
	toolsDir string
	counts   map[string]int // files by where they come from
	bundled  int            // objects of bundled tools
}

// leftOut is a fixture that is not loaded.
type leftOut struct{ name, reason string }

// leftOutMark begins the line of a fixture's source that says why it is not loaded.
const leftOutMark = "// left out of the truth test: "

// ownKernels begins the line of a fixture's source that names kernels which tests make; none of them can be booted.
const ownKernels = "// kernels: "

// findCorpus finds libbpf-tools in their folder, and fixtures and bundled tools below the root of the repository.
func findCorpus(root, tools string) (*corpus, error) {
	c := &corpus{toolsDir: tools, counts: make(map[string]int)}
	if tools == "" {
		return nil, fmt.Errorf("libbpf-tools: no folder is given; ci/fetch-libbpf-tools.sh fetches them")
	}
	entries, err := os.ReadDir(tools)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if e.Type().IsRegular() { // links are other names of the same
			c.add("libbpf-tools", filepath.Join(tools, e.Name()))
		}
	}
	// The folder is that of the package: libbpf-tools_VERSION/usr/sbin.
	_, c.tools, _ = strings.Cut(filepath.Base(filepath.Dir(filepath.Dir(tools))), "_")

	for _, pattern := range []string{"testdata/rules/*.bpf.o", "testdata/truth/*.bpf.o", "testdata/demo/*.bpf.o", "tools/*/*.o"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			return nil, err
		}
		if len(found) == 0 && !strings.HasPrefix(pattern, "tools/") {
			return nil, fmt.Errorf("%s: nothing there", filepath.Join(root, pattern))
		}
		for _, f := range found {
			reason := ""
			if strings.HasPrefix(pattern, "testdata/") {
				if reason, err = whyNot(strings.TrimSuffix(f, ".o") + ".c"); err != nil {
					return nil, err
				}
			}
			if reason != "" {
				c.leftOut = append(c.leftOut, leftOut{c.label(f, ""), reason})
				continue
			}
			c.add(filepath.Dir(pattern), f)
		}
	}
	c.bundled = c.counts["tools/*"]
	return c, nil
}

func (c *corpus) add(from, file string) {
	c.counts[from]++
	c.files = append(c.files, file)
}

// whyNot reads from a fixture's source why it is not loaded; "" where it is.
func whyNot(source string) (string, error) {
	f, err := os.Open(source)
	if err != nil {
		return "", err
	}
	defer f.Close()
	reason := ""
	lines := bufio.NewScanner(f)
	for lines.Scan() && strings.HasPrefix(lines.Text(), "//") {
		if why, ok := strings.CutPrefix(lines.Text(), leftOutMark); ok {
			reason = why
		}
		if names, ok := strings.CutPrefix(lines.Text(), ownKernels); ok {
			reason = cmp.Or(reason, "it is for kernels that tests make: "+names)
		}
	}
	return reason, lines.Err()
}

// label names an object for people and in the known file, the same on every machine: "libbpf-tools/biolatency",
// "rules/load_size.odd", "demo/blkstate". object is its name within the file, "" where that says nothing more.
func (c *corpus) label(file, object string) string {
	base := filepath.Base(file)
	dir := filepath.Base(filepath.Dir(file))
	if c.toolsDir != "" && filepath.Dir(file) == filepath.Clean(c.toolsDir) {
		dir = "libbpf-tools"
	}
	label := dir + "/" + strings.TrimSuffix(strings.TrimSuffix(base, ".o"), ".bpf")
	first, _, _ := strings.Cut(base, ".")
	if object != "" && object != first {
		label += ":" + object
	}
	return label
}

// fixtures are the files of a rule's fixtures: those of testdata/truth where there are any, else those of testdata/rules.
func (c *corpus) fixtures(rule string) []string {
	for _, dir := range []string{"truth", "rules"} {
		var out []string
		for _, f := range c.files {
			first, _, _ := strings.Cut(filepath.Base(f), ".")
			if first == rule && strings.HasSuffix(filepath.ToSlash(filepath.Dir(f)), "testdata/"+dir) {
				out = append(out, f)
			}
		}
		if len(out) > 0 {
			slices.Sort(out)
			return out
		}
	}
	return nil
}
