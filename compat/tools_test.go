package compat

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"github.com/corecheck/corecheck/relocate"
)

// tools opens Debian's libbpf-tools, which `make test` fetches.
func tools(t *testing.T) map[string][]*relocate.Object {
	t.Helper()
	dir := os.Getenv("CORECHECK_TOOLS_DIR")
	if dir == "" {
		t.Skip("CORECHECK_TOOLS_DIR is not set: no libbpf-tools")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tools in %s (%v)", dir, err)
	}
	out := make(map[string][]*relocate.Object)
	for _, f := range files {
		objs, err := relocate.Open(f)
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		out[filepath.Base(f)] = objs
	}
	return out
}

// openFiles opens the objects that these patterns match.
func openFiles(t testing.TB, patterns ...string) (objs []*relocate.Object) {
	t.Helper()
	for _, p := range patterns {
		files, err := filepath.Glob(p)
		if err != nil || len(files) == 0 {
			t.Fatalf("%s matches nothing (%v)", p, err)
		}
		for _, f := range files {
			list, err := relocate.Open(f)
			if err != nil {
				t.Fatal(err)
			}
			objs = append(objs, list...)
		}
	}
	return objs
}

// openTools opens Debian's libbpf-tools where they are there, in the order of their names.
func openTools(t testing.TB) []*relocate.Object {
	t.Helper()
	if dir := os.Getenv("CORECHECK_TOOLS_DIR"); dir != "" {
		return openFiles(t, filepath.Join(dir, "*"))
	}
	return nil
}

// Tools that broke on real kernels, checked whole. The lines are those of libbpf-tools 0.26 (bcc's repository), where the
// tools do what the findings say: the functions and tracepoints that they trace, and how they ask for what they read.
var toolFindings = map[string][]string{
	// get_disk of core_fixes.bpf.h reads rq_disk where the kernel has it, and q->disk elsewhere. blk_account_io_start
	// was __blk_account_io_start for a while.
	"biosnoop": {
		"biosnoop.bpf.c:70 CC020 break 6.1: blk_account_io_start needs attach_target blk_account_io_start",
		"core_fixes.bpf.h:107 CC001 unknown 6.1..7.2: block_rq_insert needs field struct request.rq_disk",
		"core_fixes.bpf.h:107 CC001 unknown 6.1..7.2: block_rq_issue needs field struct request.rq_disk",
		"core_fixes.bpf.h:109 CC001 unknown 5.10: block_rq_insert needs field struct request_queue.disk",
		"core_fixes.bpf.h:109 CC001 unknown 5.10: block_rq_issue needs field struct request_queue.disk",
	},
	// Its fentry programs trace functions by name.
	"cachestat": {
		"cachestat.bpf.c:26 CC020 break 6.1..7.2: account_page_dirtied needs attach_target account_page_dirtied",
	},
	// get_task_state of core_fixes.bpf.h reads __state where the kernel has it, and state elsewhere.
	"runqlat": {
		"core_fixes.bpf.h:29 CC001 unknown 5.10: handle_sched_switch needs field struct task_struct.__state",
		"core_fixes.bpf.h:29 CC001 unknown 5.10: sched_switch needs field struct task_struct.__state",
		"core_fixes.bpf.h:30 CC001 unknown 6.1..7.2: handle_sched_switch needs field struct task_struct.state",
		"core_fixes.bpf.h:30 CC001 unknown 6.1..7.2: sched_switch needs field struct task_struct.state",
	},
	"execsnoop": nil,
}

// toolExit are the exit codes: something breaks, something is unknown, or all is fine.
var toolExit = map[string]int{"biosnoop": 1, "cachestat": 1, "runqlat": 3, "execsnoop": 0}

func TestTools(t *testing.T) {
	t.Parallel()
	all, ks := tools(t), embeddedKernels(t)
	for name, want := range toolFindings {
		objs := all[name]
		if len(objs) != 1 {
			t.Errorf("%s has %d objects, want 1", name, len(objs))
			continue
		}
		rep := Check(objs, ks, Options{})
		ranges := NewRanges(rep.Kernels)
		var got []string
		for _, f := range rep.Findings {
			at := "?"
			if f.Source != nil {
				at = fmt.Sprintf("%s:%d", path.Base(f.Source.File), f.Source.Line)
				if f.Source.Text == "" {
					t.Errorf("%s: %s has no text", name, at)
				}
			}
			got = append(got, fmt.Sprintf("%s %s %s %s: %s needs %s %s", at, f.Code, f.Verdict, ranges.Of(f.Kernels), f.Program, f.Need.Kind, f.Need.Name))
		}
		slices.Sort(got)
		for _, g := range got {
			if !slices.Contains(want, g) {
				t.Errorf("%s: found, not wanted: %s", name, g)
			}
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: wanted, not found: %s", name, w)
			}
		}
		if got := rep.ExitCode(); got != toolExit[name] {
			t.Errorf("%s: exit code %d, want %d", name, got, toolExit[name])
		}
	}
}

// All tools together: the invariants of reports and pages hold on real objects too.
func TestAllTools(t *testing.T) {
	t.Parallel()
	all, ks := tools(t), embeddedKernels(t)
	var objs []*relocate.Object
	for _, name := range slices.Sorted(maps.Keys(all)) {
		objs = append(objs, all[name]...)
	}
	rep := Check(objs, ks, Options{})
	checkReport(t, rep)
	checkTables(t, "libbpf-tools", objs, rep)
	n := make(map[Status]int)
	lines := 0
	for _, f := range rep.Findings {
		n[f.Verdict]++
		if f.Source != nil && f.Source.Line > 0 && f.Source.Text != "" {
			lines++
		}
	}
	if len(rep.Findings) == 0 || len(rep.Findings) != lines {
		t.Errorf("%d of %d findings have a source line with its text", lines, len(rep.Findings))
	}
	t.Logf("%d objects on %d kernels: %d findings: %d break, %d unknown, %d warn", len(objs), len(ks), len(rep.Findings), n[Break], n[Unknown], n[Warn])
}
