// Package ci holds what runs in CI. Its tests are the rules of the house that no compiler checks.
package ci

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const (
	module = "github.com/corecheck/corecheck"
	root   = ".."
)

// layers are the packages from the top down: each imports only what stands after it (docs/design.md). Data runs one
// way, so that a part can be read, tested and replaced without those above it.
var layers = []string{"cmd", "tools", "compat", "relocate", "kernels", "btfinfo"}

// topLevel is what the root of the repository may hold; a new entry is a decision, not an accident.
var topLevel = []string{
	".ci", ".gitattributes", ".github", ".gitignore", "CHANGELOG.md", "LICENSE", "Makefile", "README.md",
	"btfinfo", "ci", "cmd", "compat", "docs", "go.mod", "go.sum", "kernels", "relocate", "testdata", "tools",
}

// modules are the dependencies that may be compiled in or tested with, and their licences. A dependency is for what
// is not the product itself: BTF definitions, matching, the archive and the verdict are our own code.
var modules = map[string]string{
	"github.com/ProtonMail/go-crypto":      "BSD-3-Clause", // OpenPGP: signatures of repositories
	"github.com/cespare/xxhash/v2":         "MIT",          // of tablewriter
	"github.com/cilium/ebpf":               "MIT",          // BTF of the benchmarks' counterpart, loading
	"github.com/clipperhouse/displaywidth": "MIT",          // of tablewriter
	"github.com/clipperhouse/uax29/v2":     "MIT",          // of tablewriter
	"github.com/cloudflare/circl":          "BSD-3-Clause", // of go-crypto
	"github.com/cpuguy83/go-md2man/v2":     "MIT",          // of cobra: man pages
	"github.com/fatih/color":               "MIT",          // of tablewriter
	"github.com/inconshreveable/mousetrap": "Apache-2.0",   // of cobra
	"github.com/klauspost/compress":        "BSD-3-Clause",
	"github.com/mattn/go-colorable":        "MIT", // of tablewriter
	"github.com/mattn/go-isatty":           "MIT", // of tablewriter
	"github.com/mattn/go-runewidth":        "MIT", // of tablewriter
	"github.com/mikelolasagasti/xz":        "0BSD",
	"github.com/olekukonko/cat":            "MIT", // of tablewriter
	"github.com/olekukonko/errors":         "MIT", // of tablewriter
	"github.com/olekukonko/ll":             "MIT", // of tablewriter
	"github.com/olekukonko/tablewriter":    "MIT",
	"github.com/pierrec/lz4/v4":            "BSD-3-Clause",
	"github.com/rogpeppe/go-internal":      "BSD-3-Clause", // tests of the commands
	"github.com/russross/blackfriday/v2":   "BSD-2-Clause", // of cobra: man pages
	"github.com/spf13/cobra":               "Apache-2.0",
	"github.com/spf13/pflag":               "BSD-3-Clause", // of cobra
	"github.com/ulikunitz/xz":              "BSD-3-Clause",
	"go.yaml.in/yaml/v3":                   "MIT",          // of cobra: man pages
	"golang.org/x/crypto":                  "BSD-3-Clause", // of go-crypto
	"golang.org/x/mod":                     "BSD-3-Clause",
	"golang.org/x/sys":                     "BSD-3-Clause",
	"golang.org/x/term":                    "BSD-3-Clause",
	"golang.org/x/tools":                   "BSD-3-Clause", // of go-internal
}

// licenceWords is how a licence's text is recognised: by a sentence that no other one here has.
var licenceWords = map[string]string{
	"0BSD":         "Permission to use, copy, modify, and/or distribute this",
	"Apache-2.0":   "Apache License Version 2.0",
	"BSD-2-Clause": "Simplified BSD License",
	"BSD-3-Clause": "used to endorse or promote products derived from this software without",
	"MIT":          "Permission is hereby granted, free of charge, to any person obtaining a copy",
}

// goPackage is what `go list -json` says of a package, as far as it is used here.
type goPackage struct {
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
	Module       *struct {
		Path string
		Dir  string
		Main bool
	}
}

func goList(t *testing.T, args ...string) []goPackage {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports,Module"}, args...)...)
	cmd.Dir = root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.String())
	}
	var list []goPackage
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p goPackage
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		list = append(list, p)
	}
	if len(list) == 0 {
		t.Fatal("go list found no package")
	}
	return list
}

// tracked lists the files that git knows, with slashes, from the root. An archive of the source has no git, and the
// rules on files are then not for it.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.Command("git", "ls-files", "-z")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		if _, statErr := os.Stat(filepath.Join(root, ".git")); statErr != nil {
			t.Skip("not a git checkout")
		}
		t.Fatalf("git ls-files: %v", err)
	}
	files := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	// A file that is deleted but not yet committed is still listed.
	return slices.DeleteFunc(files, func(f string) bool {
		_, err := os.Stat(filepath.Join(root, f))
		return err != nil
	})
}

// layer is the index in layers of a package of the module, -1 for any other.
func layer(importPath string) int {
	rest, ok := strings.CutPrefix(importPath, module+"/")
	if !ok {
		return -1
	}
	top, _, _ := strings.Cut(rest, "/")
	return slices.Index(layers, top)
}

func TestLayer(t *testing.T) {
	t.Parallel()
	for importPath, want := range map[string]int{
		module + "/cmd/corecheck":    0,
		module + "/btfinfo":          5,
		module + "/btfinfo/btfbuild": 5,
		module + "/ci":               -1,
		module:                       -1,
		"debug/elf":                  -1,
	} {
		if got := layer(importPath); got != want {
			t.Errorf("layer(%q) = %d, want %d", importPath, got, want)
		}
	}
}

// A package imports only packages below it, in its tests too.
func TestImportsGoDown(t *testing.T) {
	t.Parallel()
	checked := 0
	for _, p := range goList(t, "./...") {
		from := layer(p.ImportPath)
		if from < 0 {
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			to := layer(imported)
			if to < 0 {
				continue
			}
			checked++
			if to < from {
				t.Errorf("%s imports %s, which is above it: the order is %s", p.ImportPath, imported, strings.Join(layers, ", "))
			}
		}
	}
	if checked == 0 {
		t.Error("no import among the layers was seen: the test looks in the wrong place")
	}
}

// Every dependency is one that was agreed on, under a licence that was read.
func TestDependencies(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, p := range goList(t, "-deps", "-test", "./...") {
		if p.Module == nil || p.Module.Main || seen[p.Module.Path] {
			continue
		}
		seen[p.Module.Path] = true
		licence, ok := modules[p.Module.Path]
		if !ok {
			t.Errorf("module %s is not in the list of dependencies: is it needed, well kept, and under a free licence?", p.Module.Path)
			continue
		}
		files, err := filepath.Glob(filepath.Join(p.Module.Dir, "LICEN[CS]E*"))
		if err != nil || len(files) == 0 {
			t.Errorf("module %s has no licence file", p.Module.Path)
			continue
		}
		var text []byte
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			text = append(text, b...)
		}
		if !strings.Contains(strings.Join(strings.Fields(string(text)), " "), licenceWords[licence]) {
			t.Errorf("module %s: the text of its licence is not that of %s", p.Module.Path, licence)
		}
	}
}

func TestTopLevel(t *testing.T) {
	t.Parallel()
	for _, f := range tracked(t) {
		top, _, _ := strings.Cut(f, "/")
		if !slices.Contains(topLevel, top) {
			t.Errorf("%s: %q is not among the entries of the root", f, top)
		}
	}
}

// A clone must stay quick: data belongs into the embedded kernels, whose size has its own limit, or is made by a script.
func TestNoLargeFiles(t *testing.T) {
	t.Parallel()
	const limit = 2 << 20  // bytes, a file
	const budget = 8 << 20 // bytes, all embedded kernels
	embedded := int64(0)
	for _, f := range tracked(t) {
		info, err := os.Lstat(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(f, "kernels/embedded/") {
			embedded += info.Size()
			continue
		}
		if info.Size() > limit {
			t.Errorf("%s has %d bytes, the limit is %d", f, info.Size(), limit)
		}
	}
	if embedded >= budget {
		t.Errorf("kernels/embedded has %d bytes, the limit is %d", embedded, budget)
	}
}

// BPF C is under the licence that the kernel asks for and the one that lets others take it, its first comment says how
// it is built, and its object lies beside it; no object lies about without a source.
func TestBPFSources(t *testing.T) {
	t.Parallel()
	files := tracked(t)
	spdx := regexp.MustCompile(`^(//|/\*) SPDX-License-Identifier: \(?(GPL-2\.0(-only)? OR BSD-2-Clause|BSD-2-Clause OR GPL-2\.0(-only)?)\)?( \*/)?\n`)
	build := regexp.MustCompile(`(?m)^(//|/\*| \*) *build: \S`)
	machinePath := regexp.MustCompile(`\x00/[a-z]+/[\w./-]+\.[ch]\x00`)
	sources := 0
	for _, f := range files {
		if stem, ok := strings.CutSuffix(f, ".bpf.c"); ok {
			sources++
			text, err := os.ReadFile(filepath.Join(root, f))
			if err != nil {
				t.Fatal(err)
			}
			if !spdx.Match(text) {
				t.Errorf("%s: the first line is not \"// SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause\"", f)
			}
			head := text[:min(len(text), 2000)]
			if !build.Match(head) {
				t.Errorf("%s: no \"build: COMMAND\" in the first comment", f)
			}
			if !slices.ContainsFunc(files, func(o string) bool { return strings.HasPrefix(o, stem+".") && path.Ext(o) == ".o" }) {
				t.Errorf("%s: no object beside it", f)
			}
		}
		if path.Ext(f) == ".o" {
			name, _, _ := strings.Cut(path.Base(f), ".")
			source := regexp.MustCompile(`^` + regexp.QuoteMeta(path.Join(path.Dir(f), name)) + `(\.bpf)?\.[cS]$`)
			if !slices.ContainsFunc(files, source.MatchString) {
				t.Errorf("%s: no source beside it", f)
			}
			object, err := os.ReadFile(filepath.Join(root, f))
			if err != nil {
				t.Fatal(err)
			}
			if dir := machinePath.Find(object); dir != nil {
				t.Errorf("%s holds %q, a path of the machine that built it: build it with -fdebug-compilation-dir=.", f, dir)
			}
		}
	}
	if sources == 0 {
		t.Error("no .bpf.c was seen: the test looks in the wrong place")
	}
}

// A link in the documentation that leads to a file leads to one that is there.
func TestDocumentLinks(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	links := 0
	for _, f := range tracked(t) {
		if path.Ext(f) != ".md" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			links++
			if _, err := os.Stat(filepath.Join(root, path.Dir(f), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", f, target)
			}
		}
	}
	if links == 0 {
		t.Error("no link was seen: the test looks in the wrong place")
	}
}

// Shell scripts stop at the first failure, and those that are called can be.
func TestShellScripts(t *testing.T) {
	t.Parallel()
	for _, f := range tracked(t) {
		if path.Ext(f) != ".sh" && f != ".ci/run" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(text, []byte("#!")) {
			continue // sourced by others
		}
		strict := "set -euo pipefail"
		if bytes.HasPrefix(text, []byte("#!/bin/sh\n")) {
			strict = "set -eu" // POSIX sh has no pipefail
		}
		if !bytes.Contains(text, []byte("\n"+strict+"\n")) {
			t.Errorf("%s: no %q", f, strict)
		}
		info, err := os.Stat(filepath.Join(root, f))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o100 == 0 {
			t.Errorf("%s: can't be executed", f)
		}
		if out, err := exec.Command("bash", "-n", filepath.Join(root, f)).CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", f, err, out)
		}
	}
}
