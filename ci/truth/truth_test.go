package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
	"github.com/corecheck/corecheck/relocate/load"
)

var update = flag.Bool("update", false, "write testdata/*.golden anew")

const root = "../.."

func embedded(t *testing.T) []*kernels.Kernel {
	t.Helper()
	all, err := kernels.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func suites(t *testing.T) map[string]string {
	t.Helper()
	out, err := suitesOf(root)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// The kernels follow from the archive: a newer one needs no change here.
func TestChoose(t *testing.T) {
	t.Parallel()
	all := embedded(t)
	full, err := choose(all, suites(t), false)
	if err != nil {
		t.Fatal(err)
	}
	series, arm, generic := make(map[string]bool), 0, 0
	for i, k := range full {
		switch {
		case k.Arch == "arm64":
			arm++
		case !strings.Contains(k.Uname, "cloud"):
			generic++
		default:
			s := k.Version.MinorRelease().String()
			if series[s] {
				t.Errorf("two kernels of %s", s)
			}
			series[s] = true
		}
		if i > 0 && full[i-1].Version.Compare(k.Version) > 0 {
			t.Errorf("%s stands behind %s", k.ID, full[i-1].ID)
		}
		for _, other := range all {
			if !strings.Contains(k.Uname, "cloud") || k.Arch != "x86_64" || other.Arch != k.Arch || !strings.Contains(other.Uname, "cloud") {
				continue
			}
			if other.Version.MinorRelease() == k.Version.MinorRelease() && other.Version.Compare(k.Version) > 0 &&
				!strings.HasSuffix(suites(t)[other.Package+" amd64"], "-security") {
				t.Errorf("%s is chosen, and %s is newer", k.ID, other.ID)
			}
		}
	}
	for _, s := range []string{"5.10", "6.1", "6.12", "6.16", "6.17", "6.18", "6.19", "7.0", "7.1", "7.2"} {
		if !series[s] {
			t.Errorf("no kernel of %s is chosen", s)
		}
	}
	if len(series) < 11 || arm != 2 || generic != 1 {
		t.Errorf("%d series for amd64, want 11 or more; %d kernels for arm64, want 2; %d generic, want 1", len(series), arm, generic)
	}

	some, err := choose(all, suites(t), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range some {
		if !slices.Contains(full, k) {
			t.Errorf("CI boots %s, of which make truth says nothing", k.ID)
		}
	}
	if len(some) != len(someSeries)+1 {
		t.Errorf("CI boots %d kernels, want %d", len(some), len(someSeries)+1)
	}
	if _, err := choose(all[:3], suites(t), true); err == nil {
		t.Error("an archive that lacks what CI boots: no error")
	}
}

// toolsFolder is a folder like that of libbpf-tools.
func toolsFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "libbpf-tools_1.2+ds-3", "usr", "sbin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "biolatency"), nil, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("biolatency", filepath.Join(dir, "other")); err != nil {
		t.Fatal(err)
	}
	return dir
}

func testCorpus(t *testing.T) *corpus {
	t.Helper()
	c, err := findCorpus(root, toolsFolder(t))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestCorpus(t *testing.T) {
	t.Parallel()
	c := testCorpus(t)
	if c.tools != "1.2+ds-3" || c.counts["libbpf-tools"] != 1 {
		t.Errorf("libbpf-tools %q with %d files, want 1.2+ds-3 with 1", c.tools, c.counts["libbpf-tools"])
	}
	labels := make(map[string]string)
	for _, f := range c.files {
		l := c.label(f, "")
		if other, ok := labels[l]; ok {
			t.Errorf("%s and %s are both called %s", f, other, l)
		}
		labels[l] = f
	}
	for _, want := range []string{"libbpf-tools/biolatency", "rules/load_size", "truth/ksym_missing.twin", "demo/blkstate"} {
		if labels[want] == "" {
			t.Errorf("%s is not loaded", want)
		}
	}
	for _, want := range []leftOut{
		{"rules/load_size.odd", "it is for kernels that tests make: three-bytes"},
		{"rules/function_untraceable.rcu", "6.1 takes the program, and the machine hangs with it"},
	} {
		if !slices.Contains(c.leftOut, want) || labels[want.name] != "" {
			t.Errorf("want %s left out, since %s; these are: %v", want.name, want.reason, c.leftOut)
		}
	}
	if _, err := findCorpus(root, ""); err == nil {
		t.Error("without libbpf-tools: no error")
	}
	if _, err := findCorpus(t.TempDir(), toolsFolder(t)); err == nil {
		t.Error("without fixtures: no error")
	}
	if got := c.label("testdata/rules/x.bpf.o", "y"); got != "rules/x:y" {
		t.Errorf("an object of another name is called %q", got)
	}
}

// withoutWitness are the rules that testdata/truth/README.md says no kernel can show.
func withoutWitness(t *testing.T) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "testdata/truth/README.md"))
	if err != nil {
		t.Fatal(err)
	}
	out := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^\| (CC[0-9]{3}) `).FindAllSubmatch(text, -1) {
		out[string(m[1])] = true
	}
	if len(out) == 0 {
		t.Fatal("testdata/truth/README.md lists no rules")
	}
	return out
}

// Each rule has a witness and a twin, or a reason why not.
func TestFixtures(t *testing.T) {
	t.Parallel()
	c := testCorpus(t)
	without := withoutWitness(t)
	for _, r := range compat.Rules() {
		witness, twin := false, false
		for _, f := range c.fixtures(r.Name) {
			objs, err := relocate.Open(f)
			if err != nil {
				t.Errorf("%s: %v", f, err)
				continue
			}
			for _, p := range objs[0].Programs {
				witness = witness || strings.HasPrefix(p.Name, "witness")
				twin = twin || strings.HasPrefix(p.Name, "twin")
			}
		}
		if !without[r.Code] && (!witness || !twin) {
			t.Errorf("%s %s: witness %v, twin %v, want both, or a reason in testdata/truth/README.md", r.Code, r.Name, witness, twin)
		}
	}
}

var no, yes = false, true

// testReport is of three kernels, with something of everything.
func testReport() *boot.Report {
	const a, b, c = "debian/11/x86_64/5.10.0-46-cloud-amd64", "debian/12/x86_64/6.1.0-50-cloud-amd64", "debian/13/arm64/6.12.107+deb13-cloud-arm64"
	rep := &boot.Report{Schema: boot.Schema, Version: "v0.4.0", Loader: "corecheck", Kernels: []compat.KernelInfo{
		{ID: a, Version: "5.10.262", Arch: "x86_64", Distro: "debian", Release: "11", Uname: "5.10.0-46-cloud-amd64"},
		{ID: b, Version: "6.1.176", Arch: "x86_64", Distro: "debian", Release: "12", Uname: "6.1.0-50-cloud-amd64"},
		{ID: c, Version: "6.12.107", Arch: "arm64", Distro: "debian", Release: "13", Uname: "6.12.107+deb13-cloud-arm64"},
	}}
	witness := boot.Program{File: "testdata/rules/helper_missing.bpf.o", Object: "helper_missing", Program: "witness", Section: "raw_tp/sched_switch",
		Load: boot.LoadOK, Attach: boot.AttachOK, PredictedLoad: compat.OK, PredictedAttach: compat.OK, Agrees: &yes}
	broken := witness
	broken.Load, broken.LoadErrno, broken.LoadReason, broken.Attach = boot.LoadFail, 22, "invalid func unknown#158", boot.AttachNone
	broken.PredictedLoad, broken.Codes, broken.ExpectedReason = compat.Break, []string{"CC030"}, "CC030: the kernel has no helper"
	broken.Failure = boot.Failure{Stage: load.StageLoad, Class: boot.HelperMissing, Rule: "CC030"}
	twin := witness
	twin.Program = "twin"
	brokenTwin := twin
	brokenTwin.Load, brokenTwin.LoadReason, brokenTwin.Attach, brokenTwin.Agrees = boot.LoadFail, "R0 | is_not `a` number\n<0>", boot.AttachNone, &no
	brokenTwin.Failure = boot.Failure{Stage: load.StageLoad, Class: boot.ReturnValue}
	surprise := boot.Program{File: "/cache/libbpf-tools_0.26/usr/sbin/cachestat", Object: "cachestat", Program: "kprobe_account_page_dirtied",
		Section: "kprobe/account_page_dirtied", Load: boot.LoadOK, Attach: boot.AttachOK, PredictedLoad: compat.OK, PredictedAttach: compat.Break,
		Codes: []string{"CC027"}, ExpectedReason: "CC027: there is no such symbol", Agrees: &no}
	open := surprise
	open.Attach, open.AttachErrno, open.AttachReason, open.PredictedAttach, open.Agrees = boot.AttachFail, 2, "no such file", compat.Unknown, nil
	open.Failure = boot.Failure{Stage: load.StageAttach, Class: boot.TargetMissing, Rule: "CC027"}
	target := surprise
	target.Program, target.Attach, target.ExpectedReason, target.Agrees = "uprobe", boot.AttachNeedsTarget, "", nil
	demo := witness
	demo.File, demo.Object, demo.Program = "testdata/demo/blkstate.bpf.o", "blkstate", "issue"
	demoBroken, demoNone := broken, demo
	demoBroken.File, demoBroken.Object, demoBroken.Program = demo.File, demo.Object, "complete"
	demoNone.Program, demoNone.Attach = "reset", boot.AttachNone
	demoNone.PredictedAttach = compat.None
	whole := boot.Object{File: twin.File, Object: twin.Object, Load: boot.LoadFail, Reason: brokenTwin.LoadReason, PredictedLoad: compat.OK, Agrees: &no,
		Failure: brokenTwin.Failure}

	run := boot.KernelRun{Kernel: a, Uname: "5.10.0-46-cloud-amd64", Status: boot.Booted, Accel: "tcg", QEMU: "7.2.22", BootMillis: 2345, Millis: 34567,
		Objects: []boot.Object{whole}, Programs: []boot.Program{broken, brokenTwin, surprise, target, demo, demoBroken, demoNone}}
	rep.Runs = append(rep.Runs, run)
	run.Kernel, run.Status, run.Error = b, boot.CutShort, "the kernel panicked"
	run.Problems = []string{"no package has the kernel's configuration"}
	run.Oops = []string{"BUG: unable to handle page fault"}
	run.Programs = []boot.Program{witness, twin, open, surprise}
	run.Objects = nil
	rep.Runs = append(rep.Runs, run, boot.KernelRun{Kernel: c, Status: boot.Failed, Error: "no qemu-system-aarch64 is installed"})
	rep.LeftOut = []boot.LeftOut{{File: twin.File, Object: twin.Object, Kernels: []string{c}, Reason: "the other byte order"}}
	return rep
}

func testTable() *table {
	c := &corpus{files: []string{"testdata/rules/helper_missing.bpf.o"}, tools: "0.26", toolsDir: "/cache/libbpf-tools_0.26/usr/sbin",
		counts: map[string]int{"libbpf-tools": 50, "testdata/rules": 40, "testdata/truth": 13, "testdata/demo": 1}, leftOut: []leftOut{{"rules/x", "it hangs"}}}
	t := newTable(testReport(), c, map[string]string{"debian/11/x86_64/5.10.0-46-cloud-amd64": "linux-image-5.10.0-46-cloud-amd64 5.10.262-1"})
	t.date, t.took = time.Date(2026, 11, 20, 22, 30, 0, 0, time.UTC), 90*time.Second
	return t
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: run 'go test ./ci/truth -update' and read the difference; now it is\n%s", file, got)
	}
}

func TestDocument(t *testing.T) {
	t.Parallel()
	var doc, summary, demo bytes.Buffer
	x := testTable()
	x.write(&doc)
	x.summary(&summary)
	golden(t, "truth.golden", doc.Bytes())
	golden(t, "summary.golden", summary.Bytes())
	x.demo(&demo)
	golden(t, "demo.golden", demo.Bytes())
	golden(t, "known.golden", x.known().encode())
	var chosen []*kernels.Kernel
	for _, k := range x.rep.Kernels {
		chosen = append(chosen, &kernels.Kernel{ID: k.ID})
	}
	if got := x.unusable(chosen); len(got) != 3 {
		t.Errorf("%q, want two kernels that did not do all, and that one of three is too few", got)
	}
	last := &x.rep.Runs[2]
	last.QEMU, last.Error = "7.2.22", "package linux-image-6.12.107+deb13-cloud-arm64 6.12.107-1 can't be had: it is in no suite"
	if got := x.unusable(chosen); len(got) != 2 {
		t.Errorf("%q, want nothing of a kernel that Debian has no more", got)
	}
	x.corpus.files = append(x.corpus.files, "testdata/rules/vanished.bpf.o")
	chosen = append(chosen[1:], &kernels.Kernel{ID: "debian/13/x86_64/6.18.15+deb13-cloud-amd64"})
	want := []string{
		"debian/13/x86_64/6.18.15+deb13-cloud-amd64: was to be booted, and the report has nothing of it",
		"debian/11/x86_64/5.10.0-46-cloud-amd64: was not to be booted",
		"debian/11/x86_64/5.10.0-46-cloud-amd64: nothing is said of rules/vanished",
	}
	got := x.unusable(chosen)
	for _, text := range want {
		if !slices.Contains(got, text) {
			t.Errorf("no word of %q: %q", text, got)
		}
	}
}

func TestKnown(t *testing.T) {
	t.Parallel()
	k := testTable().known()
	back, err := decodeKnown(k.encode())
	if err != nil {
		t.Fatal(err)
	}
	if got := back.differences(k); len(got) != 0 {
		t.Errorf("differs from itself: %q", got)
	}
	if !bytes.Equal(back.encode(), k.encode()) {
		t.Error("is written otherwise when it was read")
	}
	if empty, err := decodeKnown(new(known).encode()); err != nil || len(empty.Kernels) != 0 {
		t.Errorf("of nothing: %v, %v", empty, err)
	}
	for _, bad := range []string{"", "{}{}", `{"kernel":[]}`, "[]"} {
		if _, err := decodeKnown([]byte(bad)); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}

	// A texts' change is none; new, gone, and other kernels are.
	old := &known{Kernels: []string{"a", "b"}, Disagreements: []disagreement{{"tools/x", "p", "load", "ok", []string{"a", "b"}}, {"tools/x", "", "load", "ok", []string{"b"}}},
		Witnesses: []witnessed{{"CC001", []string{"a"}}}, Twins: []witnessed{{"CC001", []string{"a", "b"}}},
		Counts: []counted{{Object: "tools/x", Programs: 3, Agree: 2, Kernels: []string{"a", "b"}}, {Object: "tools/y", LeftOut: true, Kernels: []string{"a"}}}}
	now := &known{Kernels: []string{"a", "c"}, Disagreements: []disagreement{{"tools/x", "p", "load", "break", []string{"a"}}, {"tools/x", "p", "load", "ok", []string{"c"}}},
		Counts: []counted{{Object: "tools/x", Programs: 3, Agree: 1, Unknown: 1, Kernels: []string{"a", "c"}}}}
	want := []string{
		"c is not in ci/truth/known.json",
		"new count: tools/x with 3 programs, 1 as predicted, 1 unknown, 0 in need of a target on a",
		"new disagreement: p of tools/x, load predicted as break on a",
		"gone: count: tools/x with 3 programs, 2 as predicted, 0 unknown, 0 in need of a target on a",
		"gone: count: tools/y left out on a",
		"gone: disagreement: p of tools/x, load predicted as ok on a",
		"gone: twin of CC001 that works on a",
		"gone: witness of CC001 on a",
	}
	if got := old.differences(now); !slices.Equal(got, want) {
		t.Errorf("differences are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What is committed fits together: the two files are of one run, over the kernels that CI boots, and every rule was seen at
// work.
func TestCommitted(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile(filepath.Join(root, knownFile))
	if err != nil {
		t.Fatal(err)
	}
	k, err := decodeKnown(data)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(k.encode(), data) {
		t.Errorf("%s is not as make truth writes it", knownFile)
	}
	doc, err := os.ReadFile(filepath.Join(root, documentFile))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range k.Disagreements {
		row := "\n| " + cell(d.Object) + " | "
		if d.Program != "" {
			row = "\n| " + cell(d.Object) + ": " + cell(d.Program) + ", "
		}
		if !bytes.Contains(doc, []byte(row)) {
			t.Errorf("%s does not list %s of %s", documentFile, d.Program, d.Object)
		}
	}
	for _, id := range k.Kernels {
		var c counted
		wrong := 0
		for _, x := range k.Counts {
			if slices.Contains(x.Kernels, id) {
				c.Programs, c.Agree, c.Unknown, c.NeedsTarget = c.Programs+x.Programs, c.Agree+x.Agree, c.Unknown+x.Unknown, c.NeedsTarget+x.NeedsTarget
			}
		}
		for _, d := range k.Disagreements {
			if d.Program != "" && slices.Contains(d.Kernels, id) {
				wrong++
			}
		}
		if n := c.Programs - c.Agree - c.Unknown - c.NeedsTarget; n != wrong {
			t.Errorf("%s: %s counts %d disagreements and lists %d", knownFile, id, n, wrong)
		}
		row := regexp.MustCompile(`(?m)^\| ` + regexp.QuoteMeta(cell(id)) + ` \|.*` +
			regexp.QuoteMeta(fmt.Sprintf("| %d | %d | %s | %d | %d |", c.Programs, c.Agree, bold(wrong), c.Unknown, c.NeedsTarget)))
		if !row.Match(doc) {
			t.Errorf("%s has other counts of %s than %s: they are not of one run", documentFile, id, knownFile)
		}
	}
	some, err := choose(embedded(t), suites(t), true)
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range some {
		if !slices.Contains(k.Kernels, x.ID) || !bytes.Contains(doc, []byte(cell(x.ID))) {
			t.Errorf("%s, which CI boots, is not in %s and %s: run make truth", x.ID, knownFile, documentFile)
		}
	}
	without := withoutWitness(t)
	for _, r := range compat.Rules() {
		seen := slices.ContainsFunc(k.Witnesses, func(w witnessed) bool { return w.Rule == r.Code })
		if seen == without[r.Code] {
			t.Errorf("%s: a witness was seen to fail: %v; testdata/truth/README.md says that none can: %v", r.Code, seen, without[r.Code])
		}
	}
}
