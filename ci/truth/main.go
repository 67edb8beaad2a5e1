// Command truth boots Debian's kernels and holds what corecheck predicts against what they do: for every program of
// Debian's libbpf-tools, of the fixtures and of the bundled tools. `make truth` runs it from the root of the repository.
//
// It writes docs/truth.md, the table for people, ci/truth/known.json, what of it is held fast: the disagreements, which are
// defects, the kernels on which each rule's witness was seen to fail and its twin to work, and how many programs of each
// object came out as predicted; and testdata/demo/observed.txt, which tests of the demo are held against. With -check it
// writes nothing, boots some of the kernels only (-some), and fails where a kernel does not boot or a file is not told of, and
// where anything comes out other than the file has it: a new disagreement, or one that is gone.
package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/corecheck/corecheck/compat/boot"
	"github.com/corecheck/corecheck/kernels"
)

// Where things are, from the root of the repository.
const (
	documentFile = "docs/truth.md"
	demoFile     = "testdata/demo/observed.txt"
	knownFile    = "ci/truth/known.json"
)

func main() {
	var o options
	flag.StringVar(&o.corecheck, "corecheck", "./corecheck", "the program, built for this machine")
	flag.StringVar(&o.tools, "tools", os.Getenv("CORECHECK_TOOLS_DIR"), "folder of libbpf-tools (ci/fetch-libbpf-tools.sh)")
	flag.StringVar(&o.report, "report", "", "read what corecheck boot -o json wrote into this file, and boot nothing")
	flag.StringVar(&o.keep, "keep", "", "write what corecheck boot prints into this file, too")
	flag.BoolVar(&o.some, "some", false, "boot only the kernels that CI boots")
	flag.BoolVar(&o.check, "check", false, "write nothing; fail where it is not as the files have it")
	flag.BoolVar(&o.list, "list", false, "print the kernels and the files, and stop")
	flag.Parse()
	if err := o.run(); err != nil {
		fmt.Fprintln(os.Stderr, "truth:", err)
		os.Exit(1)
	}
}

type options struct {
	corecheck, tools, report, keep string
	some, check, list              bool
}

func (o *options) run() error {
	if o.some && !o.check {
		return fmt.Errorf("-some is for -check: %s is of all kernels", documentFile)
	}
	embedded, err := kernels.Embedded()
	if err != nil {
		return err
	}
	suites, err := suitesOf(".")
	if err != nil {
		return err
	}
	chosen, err := choose(embedded, suites, o.some)
	if err != nil {
		return err
	}
	objects, err := findCorpus(".", o.tools)
	if err != nil {
		return err
	}
	if o.list {
		for _, k := range chosen {
			fmt.Println(k.ID)
		}
		for _, f := range objects.files {
			fmt.Println(f)
		}
		return nil
	}

	start := time.Now()
	data, err := o.observe(chosen, objects.files)
	if err != nil {
		return err
	}
	rep := new(boot.Report)
	if err := json.Unmarshal(data, rep); err != nil {
		return fmt.Errorf("what corecheck boot prints is no JSON: %w", err)
	}
	if rep.Schema != boot.Schema {
		return fmt.Errorf("the report is of schema %q, want %q", rep.Schema, boot.Schema)
	}
	sources, err := sourcesOf(embedded)
	if err != nil {
		return err
	}
	t := newTable(rep, objects, sources)
	if o.check {
		t.summary(os.Stdout)
		return o.compare(t, chosen)
	}
	problems := t.unusable(chosen)
	if len(t.known().Kernels) == 0 {
		return fmt.Errorf("nothing is written: %s", strings.Join(problems, "\n"))
	}
	t.date, t.took = start, time.Since(start)
	t.recorded = o.report != ""
	var doc, demo bytes.Buffer
	t.write(&doc)
	t.demo(&demo)
	for _, f := range []struct {
		name string
		data []byte
	}{{knownFile, t.known().encode()}, {documentFile, doc.Bytes()}, {demoFile, demo.Bytes()}} {
		if err := os.WriteFile(f.name, f.data, 0o644); err != nil {
			return err
		}
	}
	t.summary(os.Stdout)
	if len(problems) > 0 {
		return errors.New(strings.Join(problems, "\n"))
	}
	return nil
}

// observe returns the JSON of corecheck boot. Its messages go to stderr.
func (o *options) observe(chosen []*kernels.Kernel, files []string) ([]byte, error) {
	if o.report != "" {
		return os.ReadFile(o.report)
	}
	var terms []string
	for _, k := range chosen {
		terms = append(terms, "id:"+k.ID)
	}
	args := append([]string{"boot", "-o", "json", "--no-archive", "--kernels", strings.Join(terms, ",")}, files...)
	cmd := exec.Command(o.corecheck, args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	err := cmd.Run()
	// 1: something breaks, which the fixtures are for. 3: a kernel did not boot, which the report says.
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && (exit.ExitCode() == 1 || exit.ExitCode() == 3) {
		err = nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s boot: %w", o.corecheck, err)
	}
	if o.keep != "" {
		if err := os.WriteFile(o.keep, out.Bytes(), 0o644); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// compare holds the table against the known file.
func (o *options) compare(t *table, chosen []*kernels.Kernel) error {
	data, err := os.ReadFile(knownFile)
	if err != nil {
		return err
	}
	known, err := decodeKnown(data)
	if err != nil {
		return fmt.Errorf("%s: %w", knownFile, err)
	}
	problems := append(t.unusable(chosen), known.differences(t.known())...)
	if len(problems) == 0 {
		fmt.Println("as", knownFile, "has it")
		return nil
	}
	return fmt.Errorf("%s\nsee %s; `make truth` makes it anew", strings.Join(problems, "\n"), documentFile)
}
