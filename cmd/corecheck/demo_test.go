package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

const (
	demoObject   = "../../testdata/demo/blkstate.bpf.o"
	demoObserved = "../../testdata/demo/observed.txt"
)

// outcome is what becomes of a program on a kernel: "ok", "break", "unknown", of attaching also "none" and, where it was
// not tried, "-".
type outcome struct{ load, attach string }

// readObserved returns what real kernels did: by uname -r, then by program.
func readObserved(t *testing.T) map[string]map[string]outcome {
	t.Helper()
	f, err := os.Open(demoObserved)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	observed := map[string]map[string]outcome{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		w := strings.Fields(lines.Text())
		if len(w) != 4 {
			t.Fatalf("%s: %q has %d words, want 4", demoObserved, lines.Text(), len(w))
		}
		if observed[w[0]] == nil {
			observed[w[0]] = map[string]outcome{}
		}
		observed[w[0]][w[1]] = outcome{w[2], w[3]}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return observed
}

// The verdict on each program of the demo object is what those embedded kernels that were booted really did, or "unknown":
// never the opposite.
func TestDemoAgainstRealKernels(t *testing.T) {
	t.Parallel()
	observed := readObserved(t)
	var booted []string
	for uname := range observed {
		booted = append(booted, "uname:"+uname)
	}

	var stdout, stderr bytes.Buffer
	if code := run([]string{"object", demoObject, "-o", "json", "--no-archive", "--kernels", strings.Join(booted, ",")}, &stdout, &stderr); code != exitBreaks || stderr.Len() > 0 {
		t.Fatalf("exit code %d, want %d\n%s", code, exitBreaks, stderr.String())
	}
	var report struct {
		Kernels []struct{ ID, Uname string }
		Objects []struct {
			Programs []struct {
				Name    string
				Results []struct {
					Kernels               []string
					Load, Attach, Verdict string
				}
			}
		}
	}
	if err := json.Unmarshal(stdout.Bytes(), &report); err != nil {
		t.Fatal(err)
	}
	unames := map[string]string{}
	for _, k := range report.Kernels {
		unames[k.ID] = k.Uname
	}
	if len(unames) != len(observed) {
		t.Errorf("%d of the kernels in %s are embedded, want all %d", len(unames), demoObserved, len(observed))
	}

	decided, unknown := 0, 0
	agree := func(uname, program, what, predicted, real string) {
		switch predicted {
		case "unknown":
			unknown++
		case real:
			decided++
		default:
			t.Errorf("%s on %s: %s is said to be %q, the kernel says %q", program, uname, what, predicted, real)
		}
	}
	for _, p := range report.Objects[0].Programs {
		for _, r := range p.Results {
			for _, id := range r.Kernels {
				uname := unames[id]
				real, ok := observed[uname][p.Name]
				if !ok {
					t.Errorf("program %s was not observed on %s", p.Name, uname)
					continue
				}
				agree(uname, p.Name, "load", r.Load, real.load)
				if real.attach != "-" {
					agree(uname, p.Name, "attach", r.Attach, real.attach)
				}
				delete(observed[uname], p.Name)
			}
		}
	}
	for uname, left := range observed {
		for program := range left {
			t.Errorf("the report has no result for %s on %s", program, uname)
		}
	}
	t.Logf("%d verdicts as real kernels have it, %d unknown", decided, unknown)
}
