package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/btf"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/archive/simulate"
	"github.com/corecheck/corecheck/relocate"
)

// What a user waits for: the benchmarks here start the program and wait for its end, each time anew. Beside ns/op, the mean, they
// report the least time of a run (ms-least), which others on the machine disturb less, the processor time (ms-cpu) and
// the most memory that the process had at once (MB-peak). docs/performance.md has the figures and what they have to reach.

const (
	benchObject = "../../testdata/demo/blkstate.bpf.o"
	btfhubDir   = "../../../shared/btfhub"
)

// buildProgram builds the program as `make build` does.
func buildProgram(b *testing.B) string {
	b.Helper()
	bin := filepath.Join(b.TempDir(), "corecheck")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", bin, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("go build: %v\n%s", err, out)
	}
	return bin
}

// coldRun is what measured writes of a run.
type coldRun struct {
	Wall, CPU time.Duration
	Peak      int64 // KiB: getrusage(2)
	Code      int
	Stderr    string
}

// measured is the command "measured PROGRAM ARG…": it runs a program and writes a coldRun. The system counts the memory of the
// process that starts another one as that of the other, and this one has little where the benchmarks have much.
func measured() {
	cmd := exec.Command(os.Args[1], os.Args[2:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	start := time.Now()
	err := cmd.Run()
	r := coldRun{Wall: time.Since(start), Stderr: stderr.String()}
	if cmd.ProcessState == nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	r.Code = cmd.ProcessState.ExitCode()
	r.CPU = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	r.Peak = cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		os.Exit(1)
	}
}

// cold runs the program for as long as the benchmark goes on, and returns the least time that it took. The program may say
// that objects break, exit code 1.
func cold(b *testing.B, bin string, args ...string) time.Duration {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	env := append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, kernels.EnvArchive+"=") }),
		"XDG_DATA_HOME="+b.TempDir(), "NO_COLOR=1")
	least := time.Duration(1<<63 - 1)
	var cpu time.Duration
	var peak int64
	runs := 0
	once := func() {
		cmd := exec.Cmd{Path: self, Args: append([]string{"measured", bin}, args...), Env: env, Stderr: os.Stderr}
		out, err := cmd.Output()
		if err != nil {
			b.Fatal(err)
		}
		var r coldRun
		if err := json.Unmarshal(out, &r); err != nil {
			b.Fatal(err)
		}
		if r.Code != 0 && r.Code != 1 {
			b.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), r.Code, r.Stderr)
		}
		least, peak, cpu = min(least, r.Wall), max(peak, r.Peak), cpu+r.CPU
		runs++
	}
	for b.Loop() {
		once()
	}
	for runs < 7 && least < 5*time.Second { // the least of few is no measure
		once()
	}
	b.ReportMetric(milliseconds(least), "ms-least")
	b.ReportMetric(milliseconds(cpu)/float64(runs), "ms-cpu")
	b.ReportMetric(float64(peak)/1024, "MB-peak")
	return least
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// BenchmarkCold is the program as it comes, with the kernels that it carries.
func BenchmarkCold(b *testing.B) {
	bin := buildProgram(b)
	if st, err := os.Stat(bin); err == nil {
		b.Logf("the program has %d bytes", st.Size())
	}
	all, err := kernels.Embedded()
	if err != nil {
		b.Fatal(err)
	}
	b.Run("version", func(b *testing.B) { cold(b, bin, "version") })
	var own time.Duration
	b.Run("object", func(b *testing.B) {
		own = cold(b, bin, "object", benchObject)
		b.ReportMetric(float64(len(all)), "kernels")
	})
	b.Run("object-cilium-ebpf", func(b *testing.B) { naive(b, benchObject, writerOf(b, false), len(all), own) })
}

// writerOf holds real kernels: the embedded ones, and with others those of ../shared/btfhub where they are.
func writerOf(b *testing.B, others bool) *archive.Writer {
	b.Helper()
	w := archive.NewWriter()
	files, err := filepath.Glob("../../kernels/embedded/*.ccar")
	if err != nil {
		b.Fatal(err)
	}
	for _, f := range files {
		a, err := archive.Open(f)
		if err != nil {
			b.Fatal(err)
		}
		if err := w.Merge(a); err != nil {
			b.Fatal(err)
		}
	}
	if len(files) == 0 {
		all, err := kernels.Embedded()
		if err != nil {
			b.Fatal(err)
		}
		for _, k := range all {
			btf, _, err := k.Load()
			if err != nil {
				b.Fatal(err)
			}
			x := archive.Build{Kernel: archive.Kernel{ID: k.ID, Distro: k.Distro, Release: k.Release, Arch: k.Arch, Uname: k.Uname, Version: k.Version.String(), VersionFrom: string(k.VersionFrom)}, BTF: btf}
			if _, err := w.Add(&x); err != nil {
				b.Fatal(err)
			}
		}
	}
	if !others {
		return w
	}
	if _, err := os.Stat(btfhubDir); err != nil {
		b.Log("no ../shared/btfhub beside the checkout: kernels are derived from the embedded ones alone")
		return w
	}
	path := filepath.Join(b.TempDir(), "btfhub.ccar")
	if out, err := exec.Command(buildProgram(b), "kernels", "add", "--archive", path, btfhubDir).CombinedOutput(); err != nil {
		b.Fatalf("%v\n%s", err, out)
	}
	a, err := archive.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	if err := w.Merge(a); err != nil {
		b.Fatal(err)
	}
	return w
}

// naive is one object against kernels one by one: cilium/ebpf reads each BTF, not compressed, from memory, and resolves the
// relocations; it answers no other need. It is measured on at most twelve real kernels and reported for all.
func naive(b *testing.B, object string, w *archive.Writer, all int, own time.Duration) {
	b.Helper()
	data, err := w.Encode(nil)
	if err != nil {
		b.Fatal(err)
	}
	a, err := archive.OpenBytes("real kernels", data)
	if err != nil {
		b.Fatal(err)
	}
	var raw [][]byte
	for i := 0; i < a.Len(); i += (a.Len() + 11) / 12 {
		v, _, err := a.Raw(i)
		if err != nil {
			b.Fatal(err)
		}
		if len(v) > 0 && v[0] == 0x9f { // the magic of a little-endian one, as the object is
			raw = append(raw, v)
		}
	}
	spec, err := ebpf.LoadCollectionSpec(object)
	if err != nil {
		b.Fatal(err)
	}
	least := time.Duration(1<<63 - 1)
	for b.Loop() {
		start := time.Now()
		for _, r := range raw {
			target, err := btf.LoadSpecFromReader(bytes.NewReader(r))
			if err != nil {
				b.Fatal(err)
			}
			for _, p := range spec.Programs {
				var relos []*btf.CORERelocation
				for i := range p.Instructions {
					if r := btf.CORERelocationMetadata(&p.Instructions[i]); r != nil {
						relos = append(relos, r)
					}
				}
				builder, err := btf.NewBuilder(nil, nil)
				if err != nil {
					b.Fatal(err)
				}
				// What does not resolve is an error of one relocation, which is part of the job.
				_, _ = btf.CORERelocate(relos, []*btf.Spec{target}, spec.ByteOrder, builder.Add)
			}
		}
		least = min(least, time.Since(start))
	}
	scaled := least * time.Duration(all) / time.Duration(len(raw))
	b.ReportMetric(float64(len(raw)), "kernels-measured")
	b.ReportMetric(milliseconds(scaled), "ms-scaled")
	if own > 0 {
		b.ReportMetric(float64(scaled)/float64(own), "x-slower")
	}
}

// BenchmarkSimulated asks archives of thousands of kernels: docs/simulation.md.
func BenchmarkSimulated(b *testing.B) {
	bin := buildProgram(b)
	dir := b.TempDir()
	simulated := func(n int) string {
		start := time.Now()
		data, err := simulate.Archive(writerOf(b, true), n, simulate.Seed)
		if err != nil {
			b.Fatal(err)
		}
		path := filepath.Join(dir, "simulated.ccar")
		if n != 4300 {
			path = filepath.Join(dir, "fewer.ccar")
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			b.Fatal(err)
		}
		b.Logf("%d simulated kernels, seed %d: %d bytes, made in %v", n, simulate.Seed, len(data), time.Since(start).Round(100*time.Millisecond))
		return path
	}
	fewer, more := simulated(430), simulated(4300)
	runtime.GC()
	var few, many time.Duration
	b.Run("object-430", func(b *testing.B) {
		few = cold(b, bin, "object", "--no-embedded", "--archive", fewer, benchObject)
	})
	b.Run("object-4300", func(b *testing.B) {
		many = cold(b, bin, "object", "--no-embedded", "--archive", more, benchObject)
		if few > 0 {
			b.ReportMetric(float64(many)/float64(few), "x-430")
		}
	})
	b.Run("object-4300-cilium-ebpf", func(b *testing.B) { naive(b, benchObject, writerOf(b, false), 4300, many) })

	tools := os.Getenv("CORECHECK_TOOLS_DIR")
	if tools == "" {
		b.Log("CORECHECK_TOOLS_DIR is not set: libbpf-tools are not asked")
		return
	}
	files, err := filepath.Glob(filepath.Join(tools, "*"))
	if err != nil {
		b.Fatal(err)
	}
	objects := 0
	files = slices.DeleteFunc(files, func(f string) bool {
		objs, err := relocate.Open(f)
		objects += len(objs)
		return err != nil || len(objs) == 0
	})
	for _, x := range []struct{ name, path string }{{"tools-430", fewer}, {"tools-4300", more}} {
		b.Run(x.name, func(b *testing.B) {
			cold(b, bin, append([]string{"object", "--no-embedded", "--archive", x.path}, files...)...)
			b.ReportMetric(float64(objects), "objects")
		})
	}
}

// BenchmarkBTFHub makes one archive of the kernels of ../shared/btfhub. Beside it stands what has to be done with them in any
// case: their decompression.
func BenchmarkBTFHub(b *testing.B) {
	var files []string
	size := int64(0)
	err := filepath.WalkDir(btfhubDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".btf.tar.xz") {
			return err
		}
		info, err := d.Info()
		if err == nil {
			files, size = append(files, path), size+info.Size()
		}
		return err
	})
	if err != nil {
		b.Skip("no ../shared/btfhub beside the checkout: kernels of BTFHub are not tried")
	}
	bin := buildProgram(b)
	path := filepath.Join(b.TempDir(), "btfhub.ccar")
	var own time.Duration
	b.Run("add", func(b *testing.B) {
		for _, suffix := range []string{"", ".lock"} {
			if err := os.Remove(path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
				b.Fatal(err)
			}
		}
		own = cold(b, bin, "kernels", "add", "--archive", path, btfhubDir)
		st, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(len(files)), "kernels")
		b.ReportMetric(float64(st.Size()), "B-archive")
		b.ReportMetric(float64(size)/float64(st.Size()), "x-smaller")
	})
	b.Run("decompress", func(b *testing.B) {
		for b.Loop() {
			for _, f := range files {
				if out, err := exec.Command("tar", "-xJOf", f).Output(); err != nil || len(out) == 0 {
					b.Fatalf("%s: %v", f, err)
				}
			}
		}
		least := b.Elapsed() / time.Duration(b.N)
		if own > 0 {
			b.ReportMetric(float64(own)/float64(least), "x-add")
		}
	})
}
