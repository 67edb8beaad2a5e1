package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/corecheck/corecheck/btfinfo"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"corecheck": main, "measured": measured})
}

// TestScript runs the commands as a user does: testdata/script/*.txtar. $ROOT is the root of the repository, for the
// objects in its testdata.
func TestScript(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("ROOT", root)
			env.Setenv("NO_COLOR", "1")
			env.Setenv("TEN", tenKernels)
			env.Setenv("ONLY", filepath.SplitList(env.Getenv("PATH"))[0]) // the folder that has corecheck, and nothing else
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits":     exits,
			"json":      jsonValue,
			"head":      head,
			"mkbtf":     makeBTF,
			"mkarchive": makeArchive,
			"flip":      flip,
		},
	})
}

// tenKernels selects ten of the embedded kernels, one of each release, for scripts that count. $TEN has it.
const tenKernels = "uname:5.10.0-46-cloud-amd64,uname:6.1.0-50-cloud-amd64,uname:6.12.107+deb13-cloud-amd64,uname:6.16.12+deb13-cloud-amd64," +
	"uname:6.17.13+deb13-cloud-amd64,uname:6.18.15+deb13-cloud-amd64,uname:6.19.14+deb13-cloud-amd64,uname:7.0.13+deb13-cloud-amd64," +
	"uname:7.1.13+deb13-cloud-amd64,uname:7.2.12+deb13-cloud-amd64"

// exits is the command `exits CODE PROGRAM ARG…` of the scripts: PROGRAM must end with that code. `! exec` can't tell
// one code from another.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE PROGRAM ARG…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code is %d, want %d", got, want)
	}
}

// head is the command `head BYTES FROM TO` of the scripts: TO becomes the first BYTES bytes of FROM.
func head(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: head BYTES FROM TO")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(ts.ReadFile(args[1])[:n]), 0o666))
}

// jsonValue is the command `json FILE PATH=VALUE…` of the scripts: FILE, or stdout, is one JSON value, and the one at PATH
// is VALUE. A path has names and indexes with dots between them; 'len' is the length of a list, and a VALUE that is no
// word is JSON.
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: json FILE PATH=VALUE…")
	}
	var root any
	if err := json.Unmarshal([]byte(ts.ReadFile(args[0])), &root); err != nil {
		ts.Fatalf("%s is no JSON: %v", args[0], err)
	}
	for _, arg := range args[1:] {
		path, want, _ := strings.Cut(arg, "=")
		v := root
		for _, step := range strings.Split(path, ".") {
			switch x := v.(type) {
			case map[string]any:
				ok := false
				if v, ok = x[step]; !ok {
					ts.Fatalf("%s: no field %q", path, step)
				}
			case []any:
				if step == "len" {
					v = len(x)
					break
				}
				i, err := strconv.Atoi(step)
				if err != nil || i < 0 || i >= len(x) {
					ts.Fatalf("%s: no element %q among %d", path, step, len(x))
				}
				v = x[i]
			default:
				ts.Fatalf("%s: nothing below %v", path, v)
			}
		}
		got, ok := v.(string)
		if !ok {
			b, err := json.Marshal(v)
			ts.Check(err)
			got = string(b)
		}
		if got != want {
			ts.Fatalf("%s is %s, want %s", path, got, want)
		}
	}
}

func TestReportError(t *testing.T) {
	t.Parallel()
	plain := errors.New("open a.o: no such file")
	damaged := &btfinfo.Error{File: "a.o", Section: ".BTF", Off: 0x18, Msg: "need 16 bytes, have 4", Hint: "the file is cut off"}
	tests := []struct {
		name string
		err  error
		code int
		text string
	}{
		{"nothing", nil, exitOK, ""},
		{"plain", plain, exitUsage, "corecheck: error: open a.o: no such file\n"},
		{"findings print nothing more", exitWith(exitBreaks), exitBreaks, ""},
		{"no findings", exitWith(exitOK), exitOK, ""},
		{"undecided with a reason", withCode(exitUndecided, hinted(errors.New("no kernel"), "add one")), exitUndecided,
			"corecheck: error: no kernel\nhint: add one\n"},
		{"no error stays none", withCode(exitUndecided, nil), exitOK, ""},
		{"hint of btfinfo", damaged, exitUsage,
			"corecheck: error: a.o: .BTF: at 0x18: need 16 bytes, have 4\nhint: the file is cut off\n"},
		{"hint below a wrapper", fmt.Errorf("reading kernels: %w", damaged), exitUsage,
			"corecheck: error: reading kernels: a.o: .BTF: at 0x18: need 16 bytes, have 4\nhint: the file is cut off\n"},
		{"the outermost hint counts", hinted(damaged, "try another"), exitUsage,
			"corecheck: error: a.o: .BTF: at 0x18: need 16 bytes, have 4\nhint: try another\n"},
		{"several, each on its line", errors.Join(plain, errors.Join(damaged)), exitUsage,
			"corecheck: error: open a.o: no such file\ncorecheck: error: a.o: .BTF: at 0x18: need 16 bytes, have 4\nhint: the file is cut off\n"},
		{"unreadable beats breaks", errors.Join(exitWith(exitBreaks), plain), exitUsage, "corecheck: error: open a.o: no such file\n"},
		{"unreadable beats breaks, the other way round", errors.Join(plain, exitWith(exitBreaks)), exitUsage, "corecheck: error: open a.o: no such file\n"},
		{"undecided beats breaks", errors.Join(exitWith(exitBreaks), exitWith(exitUndecided)), exitUndecided, ""},
		{"undecided beats breaks, the other way round", errors.Join(exitWith(exitUndecided), exitWith(exitBreaks)), exitUndecided, ""},
		{"one line, no escapes", errors.New("bad name \"\x1b[31mred\"\nsecond\tline\xff"), exitUsage,
			"corecheck: error: bad name \"\\x1b[31mred\"; second line\ufffd\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var buf bytes.Buffer
			code := reportError(&buf, tt.err)
			if code != tt.code || buf.String() != tt.text {
				t.Errorf("got code %d and %q, want %d and %q", code, buf.String(), tt.code, tt.text)
			}
		})
	}
}

// fullWriter takes n bytes and then fails, as a full disk does.
type fullWriter struct{ n int }

func (w *fullWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		return w.n, errors.New("no space left on device")
	}
	w.n -= len(p)
	return len(p), nil
}

// An output that could not be written whole must not end with 0, whoever forgot to look at fmt.Fprint's result.
func TestOutputCutOff(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--help"}, {"version"}, {"help", "version"}, {"completion", "bash"}} {
		var stderr bytes.Buffer
		code := run(args, &fullWriter{n: 20}, &stderr)
		want := "corecheck: error: no space left on device\nhint: the output is not complete\n"
		if code != exitUsage || stderr.String() != want {
			t.Errorf("%q: code %d and %q, want %d and %q", args, code, stderr.String(), exitUsage, want)
		}
	}
}
