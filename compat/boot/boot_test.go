package boot

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/compat/boot/vm"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/images"
	"github.com/corecheck/corecheck/relocate"
	"github.com/corecheck/corecheck/relocate/load"
)

// fakeFinder has the same files for all kernels.
type fakeFinder struct {
	files images.Files
	err   map[string]error // by kernel

	mu      sync.Mutex
	modules map[string][]string // that were asked for, by kernel
}

func (f *fakeFinder) Find(_ context.Context, k *kernels.Kernel, modules []string) (*images.Files, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.modules == nil {
		f.modules = make(map[string][]string)
	}
	f.modules[k.ID] = modules
	files := f.files
	files.Uname, files.Arch = k.Uname, k.Arch
	return &files, f.err[k.ID]
}

func (f *fakeFinder) FromFile(_ context.Context, image, _ string, _ []string) (*images.Files, error) {
	files := f.files
	files.Image = image
	return &files, nil
}

func (f *fakeFinder) Tree(context.Context, string, []string) ([]images.File, error) {
	return []images.File{{Path: "/usr/sbin/bpftool", Mode: 0o755, Source: f.files.Image}, {Path: "/bin", Link: "usr/bin"}}, nil
}

// fakeMachines run a function for each guest.
type fakeMachines struct {
	err error
	run func(ctx context.Context, m vm.Machine, plan *guest.Plan, line func([]byte) error) (*vm.Outcome, error)
}

func (f fakeMachines) Find(context.Context, string) (Machine, error) { return f, f.err }
func (f fakeMachines) Slots(int) int                                 { return 2 }
func (f fakeMachines) Info() vm.QEMU {
	return vm.QEMU{Version: "7.2", Accel: vm.TCG, AccelReason: "no /dev/kvm"}
}
func (f fakeMachines) Ports() []string { return []string{"/dev/hvc1"} }
func (f fakeMachines) Run(ctx context.Context, m vm.Machine, line func([]byte) error) (*vm.Outcome, error) {
	files, err := readArchive(m.Initramfs)
	if err != nil {
		return nil, err
	}
	plan := new(guest.Plan)
	if err := json.Unmarshal(files["corecheck/plan.json"], plan); err != nil {
		return nil, err
	}
	for _, o := range plan.Objects {
		if len(files[strings.TrimPrefix(o.Path, "/")]) == 0 {
			return nil, fmt.Errorf("no %s in the archive, which has %d files", o.Path, len(files))
		}
	}
	return f.run(ctx, m, plan, line)
}

// readArchive reads the files of a cpio archive of the form newc: Documentation/driver-api/early-userspace/buffer-format.rst
// of Linux.
func readArchive(path string) (map[string][]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for off := 0; off+110 <= len(b); {
		field := func(i int) int {
			n, _ := strconv.ParseInt(string(b[off+6+8*i:off+14+8*i]), 16, 64)
			return int(n)
		}
		if string(b[off:off+6]) != "070701" {
			return nil, fmt.Errorf("no header at %#x", off)
		}
		size, length := field(6), field(11)
		name := string(b[off+110 : off+110+length-1])
		data := (off + 110 + length + 3) &^ 3
		if name == "TRAILER!!!" {
			return files, nil
		}
		files[strings.TrimPrefix(name, "/")] = b[data : data+size]
		off = (data + size + 3) &^ 3
	}
	return nil, errors.New("the archive has no end")
}

// say sends messages as a guest does.
func say(line func([]byte) error, messages ...guest.Message) error {
	for _, m := range messages {
		b, err := json.Marshal(m)
		if err != nil {
			return err
		}
		if err := line(b); err != nil {
			return err
		}
	}
	return nil
}

// answerAll is a guest on which all programs load and attach.
func answerAll(objs []*relocate.Object, uname string, plan *guest.Plan, line func([]byte) error) error {
	err := say(line, guest.Message{Kind: guest.Booted, Boot: &guest.Boot{Uname: uname, Arch: "x86_64"}})
	for _, m := range plan.Modules {
		err = errors.Join(err, say(line, guest.Message{Kind: guest.Loaded, Object: -1, Module: m}))
	}
	fine := &guest.Outcome{Result: guest.OK}
	for i := range plan.Objects {
		err = errors.Join(err, say(line, guest.Message{Kind: guest.Started, Object: i}, guest.Message{Kind: guest.Whole, Object: i, Load: fine}))
		for _, p := range objs[i].Programs {
			err = errors.Join(err, say(line, guest.Message{Kind: guest.Program, Object: i, Name: p.Name, Load: fine, Attach: fine}))
		}
	}
	return errors.Join(err, say(line, guest.Message{Kind: guest.Done}))
}

// world is a run with nothing real in it but objects and what is known of kernels.
type world struct {
	objs    []*relocate.Object
	kernels []Kernel
	finder  *fakeFinder
	opt     Options
	temp    string
}

func newWorld(t *testing.T, unames ...string) *world {
	t.Helper()
	w := &world{temp: t.TempDir()}
	t.Setenv("TMPDIR", w.temp)
	for _, name := range []string{"helper_missing", "function_missing"} {
		list, err := relocate.Open("../../testdata/rules/" + name + ".bpf.o")
		if err != nil {
			t.Fatal(err)
		}
		w.objs = append(w.objs, list...)
	}
	all, err := kernels.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range all {
		if slices.Contains(unames, k.Uname) {
			w.kernels = append(w.kernels, Kernel{Kernel: k})
		}
	}
	if len(w.kernels) != len(unames) {
		t.Fatalf("%d kernels, want %d", len(w.kernels), len(unames))
	}
	image := filepath.Join(t.TempDir(), "vmlinuz")
	if err := os.WriteFile(image, []byte("image"), 0o666); err != nil {
		t.Fatal(err)
	}
	w.finder = &fakeFinder{files: images.Files{Image: image, Uname: "6.1", Config: image, Modules: []images.Module{{Name: "dm_mod", Path: image}}, Missing: []string{"nosuch", "of_another_kernel"}}}
	w.opt = Options{Modules: []string{"dm-mod", "nosuch"}, Finder: w.finder, LogDir: t.TempDir(), program: func(string, string) (string, error) { return image, nil }}
	return w
}

// done checks that nothing is left in the folder for temporary files.
func (w *world) done(t *testing.T) {
	t.Helper()
	left, err := os.ReadDir(w.temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left in the folder for temporary files: %v, %v", left, err)
	}
}

var twoKernels = []string{"5.10.0-46-cloud-amd64", "6.1.0-50-cloud-amd64"}

func TestRun(t *testing.T) {
	w := newWorld(t, twoKernels...)
	w.opt.Machines = fakeMachines{run: func(_ context.Context, m vm.Machine, plan *guest.Plan, line func([]byte) error) (*vm.Outcome, error) {
		if m.MemoryMB < DefaultMemoryMB || m.BootTimeout != DefaultBootTimeout || m.Timeout <= m.Silence() {
			return nil, fmt.Errorf("machine %+v", m)
		}
		if want := []string{"/corecheck/modules/dm_mod.ko"}; !slices.Equal(plan.Modules, want) || plan.Ports[0] != "/dev/hvc1" {
			return nil, fmt.Errorf("plan %+v", plan)
		}
		if strings.Contains(m.Console, "5.10.0") {
			return &vm.Outcome{Ended: vm.PowerOff, Boot: 2 * time.Second}, answerAll(w.objs, twoKernels[0], plan, line)
		}
		err := say(line, guest.Message{Kind: guest.Booted, Boot: &guest.Boot{Uname: twoKernels[1], Arch: "x86_64"}}, guest.Message{Kind: guest.Loaded, Object: -1, Module: plan.Modules[0], Err: "no"})
		return &vm.Outcome{Ended: vm.Panic, ConsoleTail: []string{"Kernel panic - not syncing"}}, err
	}}
	var phases []string
	w.opt.Progress = func(e Event) {
		if e.Kernel == w.kernels[0].ID {
			phases = append(phases, string(e.Phase))
		}
	}
	rep, err := Run(context.Background(), w.objs, w.kernels, w.opt)
	if err != nil {
		t.Fatal(err)
	}
	w.done(t)
	first, second := rep.Runs[0], rep.Runs[1]
	if first.Status != CutShort || first.Error != "module nosuch of --modules was not inserted: the kernel has no such module" || second.Status != CutShort {
		t.Fatalf("statuses %s (%s), %s (%s)", first.Status, first.Error, second.Status, second.Error)
	}
	if n := len(w.objs[0].Programs) + len(w.objs[1].Programs); len(first.Programs) != n || len(second.NotObserved) != n {
		t.Errorf("%d programs and %d not observed, want %d", len(first.Programs), len(second.NotObserved), n)
	}
	if c := first.Count(); c.Disagree == 0 || c.Agree == 0 {
		t.Errorf("witnesses that load on 5.10 are no disagreement: %+v", c)
	}
	want := []Module{{Name: "nosuch", Error: "the kernel has no such module"}, {Name: "dm_mod", Error: "no"}}
	if !reflect.DeepEqual(second.Modules, want) {
		t.Errorf("modules %+v, want %+v", second.Modules, want)
	}
	if got := w.finder.modules[w.kernels[1].ID]; !slices.Equal(got, []string{"dm_mod", "nf_tables", "nosuch"}) { // function_missing names nf_tables
		t.Errorf("modules %q were asked for", got)
	}
	if first.Accel != "tcg" || first.BootMillis != 2000 || first.QEMU != "7.2" {
		t.Errorf("run %+v", first)
	}
	if !slices.Contains(phases, "booting") || phases[len(phases)-1] != "ended" {
		t.Errorf("phases %q", phases)
	}
	if rep.ExitCode() != 1 {
		t.Errorf("exit code %d", rep.ExitCode())
	}
	text := tableOf(t, rep)
	for _, want := range []string{"Not as predicted", "cut short: ", "Kernel panic - not syncing", "predictions were wrong: ", "not inserted"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in:\n%s", want, text)
		}
	}
	checkSchema(t, rep)
}

// checkSchema tests that the JSON has the fields that the schema has from the beginning, of their types.
func checkSchema(t *testing.T, rep *Report) {
	t.Helper()
	var buf bytes.Buffer
	if err := rep.WriteJSON(&buf); err != nil {
		t.Fatal(err)
	}
	var x struct {
		Schema string `json:"schema"`
		Runs   []struct {
			Kernel   string           `json:"kernel"`
			Accel    string           `json:"accel"`
			BootMS   *int             `json:"boot_ms"`
			Programs []map[string]any `json:"programs"`
		} `json:"runs"`
	}
	if err := json.Unmarshal(buf.Bytes(), &x); err != nil {
		t.Fatal(err)
	}
	if x.Schema != "corecheck.boot/v1" || len(x.Runs) == 0 || x.Runs[0].BootMS == nil || x.Runs[0].Kernel == "" {
		t.Errorf("%+v", x)
	}
	for _, p := range x.Runs[0].Programs {
		for _, f := range []string{"object", "program", "load", "load_reason", "attach", "attach_reason", "predicted_load", "predicted_attach"} {
			if _, ok := p[f].(string); !ok {
				t.Errorf("%s is %v", f, p[f])
			}
		}
		for _, f := range []string{"load_errno", "attach_errno"} {
			if _, ok := p[f].(float64); !ok {
				t.Errorf("%s is %v", f, p[f])
			}
		}
		if _, ok := p["agrees"]; !ok {
			t.Error("no agrees")
		}
	}
}

func tableOf(t *testing.T, rep *Report) string {
	t.Helper()
	var buf bytes.Buffer
	if err := rep.WriteTable(&buf, compat.TableOptions{}); err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(buf.String()) {
		if len([]rune(strings.TrimRight(l, "\n"))) > 100 {
			t.Errorf("too wide: %s", l)
		}
	}
	return buf.String()
}

// What fails for a kernel, or for all, is in the report, and never counts as agreement.
func TestRunFails(t *testing.T) {
	boots := fakeMachines{run: func(context.Context, vm.Machine, *guest.Plan, func([]byte) error) (*vm.Outcome, error) {
		return nil, errors.New("QEMU does not start")
	}}
	for _, tt := range []struct {
		name string
		make func(w *world)
		want string
	}{
		{"no QEMU", func(w *world) { w.opt.Machines = fakeMachines{err: errors.New("no qemu-system-x86_64")} }, "no qemu-system-x86_64"},
		{"QEMU fails", func(w *world) {}, "QEMU does not start"},
		{"no image", func(w *world) {
			w.finder.err = map[string]error{w.kernels[0].ID: errors.New("no package"), w.kernels[1].ID: errors.New("no package")}
		}, "no package"},
		{"no program", func(w *world) {
			w.opt.program = func(string, string) (string, error) { return "", errors.New("no corecheck") }
		}, "no corecheck"},
		{"program that is gone", func(w *world) {
			w.opt.program = func(string, string) (string, error) { return "/nonexistent/corecheck", nil }
		}, "its initramfs can't be made"},
		{"no folder for logs", func(w *world) { w.opt.LogDir = "/dev/null/logs" }, "the console's log can't be kept"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t, twoKernels...)
			w.opt.Machines = boots
			tt.make(w)
			rep, err := Run(context.Background(), w.objs, w.kernels, w.opt)
			if err != nil {
				t.Fatal(err)
			}
			w.done(t)
			for _, run := range rep.Runs {
				if run.Status != Failed || !strings.Contains(run.Error, tt.want) || len(run.Programs) > 0 {
					t.Errorf("%s: status %s, error %q, %d programs", run.Kernel, run.Status, run.Error, len(run.Programs))
				}
			}
			if rep.ExitCode() != 3 {
				t.Errorf("exit code %d", rep.ExitCode())
			}
			if text := tableOf(t, rep); !strings.Contains(text, "2 kernels could not be booted") || strings.Count(text, "hint:") > 1 {
				t.Errorf("table:\n%s", text)
			}
		})
	}
}

// A kernel that ends before anything was tried is booted once more, and one that ends later is not.
func TestRunBootsAgain(t *testing.T) {
	for _, tt := range []struct {
		name   string
		ends   vm.Ended
		booted bool // before it ends
		boots  int
		status Status
	}{
		{"panic", vm.Panic, false, 2, Booted},
		{"reset", vm.Reset, false, 2, Booted},
		{"timeout", vm.BootTimeout, false, 1, Failed},
		{"panic later", vm.Panic, true, 1, CutShort},
	} {
		w := newWorld(t, twoKernels[1:]...)
		w.opt.Modules = nil
		boots := 0
		w.opt.Machines = fakeMachines{run: func(_ context.Context, m vm.Machine, plan *guest.Plan, line func([]byte) error) (*vm.Outcome, error) {
			boots++
			if err := os.WriteFile(m.Console, fmt.Appendf(nil, "boot %d", boots), 0o666); err != nil {
				return nil, err
			}
			if boots == 2 {
				return &vm.Outcome{Ended: vm.PowerOff}, answerAll(w.objs, twoKernels[1], plan, line)
			}
			if tt.booted {
				return &vm.Outcome{Ended: tt.ends}, say(line, guest.Message{Kind: guest.Booted, Boot: &guest.Boot{Uname: twoKernels[1], Arch: "x86_64"}})
			}
			return &vm.Outcome{Ended: tt.ends}, nil
		}}
		// A log of before is replaced, not written through, and one of a boot that is no more is gone.
		folder, elsewhere := filepath.Join(w.opt.LogDir, w.kernels[0].ID), filepath.Join(w.temp, "elsewhere")
		if err := errors.Join(os.MkdirAll(folder, 0o777), os.Symlink(elsewhere, filepath.Join(folder, "console.log")),
			os.WriteFile(filepath.Join(folder, "console.1.log"), []byte("old"), 0o666)); err != nil {
			t.Fatal(err)
		}
		rep, err := Run(context.Background(), w.objs, w.kernels, w.opt)
		if err != nil {
			t.Fatal(err)
		}
		w.done(t)
		left, err := os.ReadDir(folder)
		var logs []string
		for _, e := range left {
			b, _ := os.ReadFile(filepath.Join(folder, e.Name()))
			logs = append(logs, e.Name()+": "+string(b))
		}
		wantLogs := []string{"console.log: boot 1"}
		if tt.boots == 2 {
			wantLogs = []string{"console.1.log: boot 1", "console.log: boot 2"}
		}
		if err != nil || !slices.Equal(logs, wantLogs) || rep.Runs[0].Console != filepath.Join(folder, "console.log") {
			t.Errorf("%s: logs %q, want %q; the report names %s: %v", tt.name, logs, wantLogs, rep.Runs[0].Console, err)
		}
		if run := rep.Runs[0]; boots != tt.boots || run.Status != tt.status || len(run.Problems) != tt.boots-1 {
			t.Errorf("%s: %d boots, status %s, problems %q", tt.name, boots, run.Status, run.Problems)
		}
	}
}

func TestRunInterrupted(t *testing.T) {
	w := newWorld(t, twoKernels...)
	ctx, cancel := context.WithCancelCause(context.Background())
	stop := errors.New("stop")
	w.opt.Machines = fakeMachines{run: func(ctx context.Context, _ vm.Machine, _ *guest.Plan, _ func([]byte) error) (*vm.Outcome, error) {
		cancel(stop)
		<-ctx.Done()
		return nil, ctx.Err()
	}}
	if _, err := Run(ctx, w.objs, w.kernels, w.opt); !errors.Is(err, stop) {
		t.Errorf("error %v", err)
	}
	w.done(t)
}

// An object that changes between the prediction and the boot would be compared with another one's prediction.
func TestRunChangedObject(t *testing.T) {
	w := newWorld(t, twoKernels...)
	w.objs[0].SHA256 = strings.Repeat("0", 64)
	if _, err := Run(context.Background(), w.objs, w.kernels, w.opt); err == nil || !strings.Contains(err.Error(), "has changed") {
		t.Errorf("error %v", err)
	}
}

func TestRunOtherLoaders(t *testing.T) {
	w := newWorld(t, twoKernels[1:]...)
	w.opt.Machines = fakeMachines{run: func(_ context.Context, _ vm.Machine, plan *guest.Plan, line func([]byte) error) (*vm.Outcome, error) {
		err := say(line, guest.Message{Kind: guest.Booted, Boot: &guest.Boot{Uname: twoKernels[1], Arch: "x86_64"}})
		if plan.Loader == guest.Command {
			return &vm.Outcome{Ended: vm.PowerOff}, errors.Join(err, say(line, guest.Message{Kind: guest.Ran, Object: -1, Exit: 7, Output: []string{"no"}}, guest.Message{Kind: guest.Done}))
		}
		if plan.Command[0] != "/usr/sbin/bpftool" {
			err = errors.Join(err, fmt.Errorf("command %q", plan.Command))
		}
		for i := range plan.Objects {
			err = errors.Join(err, say(line, guest.Message{Kind: guest.Started, Object: i}, guest.Message{Kind: guest.Whole, Object: i, Load: &guest.Outcome{Result: guest.OK}}))
		}
		return &vm.Outcome{Ended: vm.PowerOff}, errors.Join(err, say(line, guest.Message{Kind: guest.Done}))
	}}
	w.opt.Modules = nil
	w.opt.Loader = guest.LibBPF
	rep, err := Run(context.Background(), w.objs, w.kernels, w.opt)
	if err != nil {
		t.Fatal(err)
	}
	if run := rep.Runs[0]; run.Status != Booted || len(run.Objects) != 2 || len(run.Programs) != 0 || run.Count().Programs != 2 {
		t.Errorf("libbpf: %+v", run)
	}
	w.opt.Loader, w.opt.Command, w.opt.Bins = guest.Command, []string{"/bin/tool"}, []string{w.finder.files.Image}
	if rep, err = Run(context.Background(), w.objs, w.kernels, w.opt); err != nil {
		t.Fatal(err)
	}
	if run := rep.Runs[0]; run.Status != Booted || run.Command == nil || run.Command.Exit != 7 {
		t.Errorf("command: %+v", run)
	}
	if text := tableOf(t, rep); !strings.Contains(text, "1 command breaks on 6.1: /bin/tool on 6.1") {
		t.Errorf("table:\n%s", text)
	}
}

// Modules that objects need are found by what vmlinux has not.
func TestModulesFor(t *testing.T) {
	t.Parallel()
	all, err := kernels.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	kernel := func(uname string) *kernels.Kernel {
		i := slices.IndexFunc(all, func(k *kernels.Kernel) bool { return k.Uname == uname })
		if i < 0 {
			t.Fatalf("no kernel %s", uname)
		}
		return all[i]
	}
	o := testObject("tool", "fentry/md_flush_request", "fentry/vfs_read", "kprobe/nosuch_function", "tp/xfs/xfs_iget_miss", "iter/bpf_map", "fentry/nf_tables:nft_do_chain",
		"fentry", "uprobe", "lsm/file_open")
	sec, err := Targeted(o.Programs[6].Sec, "dm_table_create")
	if err != nil {
		t.Fatal(err)
	}
	o.Programs[6].Sec = sec
	names, modules := namesOf(o)
	if !slices.Equal(modules, []string{"nf_tables"}) {
		t.Errorf("modules %q are named", modules)
	}
	for _, tt := range []struct {
		uname string
		want  []string
	}{
		{"6.1.0-50-cloud-amd64", []string{"dm_mod", "md_mod", "xfs"}},  // the BTF of its modules tells
		{"5.10.0-46-cloud-amd64", []string{"dm_mod", "md_mod", "xfs"}}, // it has none, and those of other kernels do
	} {
		got := modulesFor(kernel(tt.uname), names, all)
		if !slices.Equal(got, tt.want) {
			t.Errorf("%s: %q, want %q", tt.uname, got, tt.want)
		}
	}
}

func TestGuestProgram(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o777); err != nil {
			t.Fatal(err)
		}
		return path
	}
	// elf is an ELF program of 64 bits with one program header.
	elf := func(machine, kind byte) []byte {
		b := make([]byte, 64+56)
		copy(b, "\x7fELF\x02\x01\x01")
		b[18], b[32], b[54], b[56], b[64] = machine, 64, 56, 1, kind
		return b
	}
	for _, tt := range []struct{ name, file, arch, want string }{
		{"no file", filepath.Join(dir, "nosuch"), "x86_64", "no such file"},
		{"no program", write("text", []byte("#!/bin/sh")), "x86_64", "no 64-bit ELF program"},
		{"empty", write("empty", nil), "x86_64", "no 64-bit ELF program"},
		{"of another machine", write("arm64", elf(183, 1)), "x86_64", "is not for guests of x86_64"},
		{"dynamic", write("dynamic", elf(62, 3)), "x86_64", "needs shared libraries"},
		{"not corecheck", write("static", elf(62, 1)), "x86_64", "can't run in a guest"},
		{"cut off", write("cut", elf(62, 1)[:70]), "x86_64", "program header 0 of 1"},
		{"odd headers", write("odd", append(elf(62, 1)[:54], make([]byte, 66)...)), "x86_64", "want 56"},
		{"architecture", "", "riscv64", "can't be booted"},
		{"none beside", "", map[bool]string{true: "arm64", false: "x86_64"}[runtime.GOARCH == "amd64"], "need a corecheck for Linux"},
	} {
		_, err := guestProgram(tt.file, tt.arch)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", tt.name, err, tt.want)
		} else if hintOf(err) == "" && tt.name != "no file" {
			t.Errorf("%s: no hint", tt.name)
		}
	}
}

func TestLogFolder(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]string{
		"debian/12/x86_64/6.1.0": "debian/12/x86_64/6.1.0",
		"../../etc/passwd":       "_/_/etc/passwd~",
		"/a//b":                  "_/a/_/b~",
		"a\\b:c\x00":             "a_b_c_~",
		"a_b_c_":                 "a_b_c_",
		"":                       "_~",
	} {
		got := filepath.ToSlash(logFolder(id))
		plain, _, changed := strings.Cut(got, "~")
		if changed {
			plain += "~"
		}
		if plain != want {
			t.Errorf("%q: %s, want %s", id, got, want)
		}
	}
	if logFolder("a:b") == logFolder("a*b") {
		t.Error("two kernels have one folder")
	}
}

// A guest takes places by its memory, and one that is too large for all of them takes all.
func TestSlots(t *testing.T) {
	t.Parallel()
	s := newSlots(4)
	if got := s.weight(1 << 20); got != 1 {
		t.Errorf("a number of guests that the user gave: %d places", got)
	}
	s.each = 1024
	for memory, want := range map[int]int{512: 1, 1024: 1, 1025: 2, 3000: 3, 99999: 4} {
		if got := s.weight(memory); got != want {
			t.Errorf("%d MB: %d places, want %d", memory, got, want)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	if !s.take(ctx, 3) {
		t.Fatal("three of four are not to be had")
	}
	got := make(chan bool)
	go func() { got <- s.take(ctx, 2) }()
	cancel()
	if <-got {
		t.Error("five of four were given")
	}
	s.give(3)
	if !s.take(context.Background(), 4) {
		t.Error("what was given back is not there")
	}
}

// What is too much for a guest is told before anything is read.
func TestRunTooLarge(t *testing.T) {
	_, err := Run(context.Background(), []*relocate.Object{{Name: "a", Size: maxObjects + 1}}, nil, Options{})
	if err == nil || !strings.Contains(err.Error(), "together") || hintOf(err) == "" {
		t.Errorf("error %v", err)
	}
}

// Where no module could be had it is said, and what may be in one decides nothing for the objects that want one.
func TestRunNoModules(t *testing.T) {
	w := newWorld(t, twoKernels[1:]...)
	w.finder.files.Modules, w.finder.files.NoModules = nil, errors.New("there is no folder of them")
	w.opt.Modules = nil
	w.opt.Machines = fakeMachines{run: func(_ context.Context, _ vm.Machine, plan *guest.Plan, line func([]byte) error) (*vm.Outcome, error) {
		err := say(line, guest.Message{Kind: guest.Booted, Boot: &guest.Boot{Uname: twoKernels[1], Arch: "x86_64"}})
		missing := &guest.Outcome{Result: guest.Fail, Stage: load.StageReloc, Errno: eSRCH, Reason: "no such function"}
		for i := range plan.Objects {
			err = errors.Join(err, say(line, guest.Message{Kind: guest.Started, Object: i}, guest.Message{Kind: guest.Whole, Object: i, Load: missing}))
			for _, p := range w.objs[i].Programs {
				err = errors.Join(err, say(line, guest.Message{Kind: guest.Program, Object: i, Name: p.Name, Load: missing}))
			}
		}
		return &vm.Outcome{Ended: vm.PowerOff}, errors.Join(err, say(line, guest.Message{Kind: guest.Done}))
	}}
	rep, err := Run(context.Background(), w.objs, w.kernels, w.opt)
	if err != nil {
		t.Fatal(err)
	}
	run := &rep.Runs[0]
	if len(run.Problems) != 1 || !strings.Contains(run.Problems[0], "no module could be looked for: there is no folder of them") {
		t.Errorf("problems %q", run.Problems)
	}
	wrongOf := make(map[string]int)
	for _, p := range run.Programs {
		if wrong(p.Agrees) {
			wrongOf[p.Object]++
		}
		if p.Object == "function_missing" && p.Agrees == nil && (p.Class != NoModule || p.Breaks()) {
			t.Errorf("%s is of class %s, and breaks: %v", p.Program, p.Class, p.Breaks())
		}
	}
	if wrongOf["function_missing"] != 0 || wrongOf["helper_missing"] == 0 { // the first names nf_tables, the second no module
		t.Errorf("wrong predictions by object: %v", wrongOf)
	}
}

// A module that the user names and that can't be had leaves the run cut short, whatever was observed; the results' port of
// s390x may be of a module, which nobody names.
func TestRunModules(t *testing.T) {
	w := newWorld(t, twoKernels[1:]...)
	w.finder.files.Modules, w.finder.files.NoModules, w.finder.files.Missing = nil, errors.New("there is no folder of them"), []string{"nosuch", "virtio_console"}
	w.opt.Modules = []string{"nosuch"}
	k := *w.kernels[0].Kernel
	w.opt.Machines = fakeMachines{run: func(_ context.Context, _ vm.Machine, plan *guest.Plan, line func([]byte) error) (*vm.Outcome, error) {
		return &vm.Outcome{Ended: vm.PowerOff}, answerAll(w.objs, twoKernels[1], plan, line)
	}}
	rep, err := Run(context.Background(), w.objs, w.kernels, w.opt)
	if err != nil {
		t.Fatal(err)
	}
	run := rep.Runs[0]
	want := []Module{{Name: "nosuch", Error: "can't be had: there is no folder of them"}}
	if run.Status != CutShort || !reflect.DeepEqual(run.Modules, want) || len(run.Programs) == 0 || !strings.Contains(run.Error, "--modules was not inserted: can't be had") {
		t.Errorf("status %s, error %q, modules %+v, %d programs", run.Status, run.Error, run.Modules, len(run.Programs))
	}
	for _, arch := range []string{"x86_64", "s390x"} {
		k.Arch = arch
		b := &booter{opt: w.opt}
		if _, err := b.files(context.Background(), Kernel{Kernel: &k}, nil, nil); err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(w.finder.modules[k.ID], "virtio_console"); got != (arch == "s390x") {
			t.Errorf("%s: virtio_console is asked for: %v", arch, got)
		}
	}
}

// Nonsense is no progress.
func TestRunProgress(t *testing.T) {
	w := newWorld(t, twoKernels[1:]...)
	w.opt.Machines = fakeMachines{run: func(_ context.Context, _ vm.Machine, _ *guest.Plan, line func([]byte) error) (*vm.Outcome, error) {
		err := say(line, guest.Message{Kind: guest.Booted, Boot: &guest.Boot{Uname: twoKernels[1], Arch: "x86_64"}})
		for range maxProblems - 1 {
			err = errors.Join(err, line([]byte("{")))
		}
		return &vm.Outcome{Ended: vm.PowerOff}, err
	}}
	events := make(map[Phase]int)
	w.opt.Progress = func(e Event) { events[e.Phase]++ }
	if _, err := Run(context.Background(), w.objs, w.kernels, w.opt); err != nil {
		t.Fatal(err)
	}
	if want := map[Phase]int{Waiting: 1, Booting: 1, Testing: 1, Ended: 1}; !reflect.DeepEqual(events, want) {
		t.Errorf("events %v, want %v", events, want)
	}
}

// The prediction is for the target that a program is given, and the object is left as it was.
func TestRunTargets(t *testing.T) {
	w := newWorld(t, twoKernels[1:]...)
	w.opt.Modules = nil
	w.opt.Machines = fakeMachines{run: func(_ context.Context, _ vm.Machine, plan *guest.Plan, line func([]byte) error) (*vm.Outcome, error) {
		return &vm.Outcome{Ended: vm.PowerOff}, answerAll(w.objs, twoKernels[1], plan, line)
	}}
	p := w.objs[1].Programs[slices.IndexFunc(w.objs[1].Programs, func(p *relocate.Program) bool { return p.Sec.Hook == relocate.HookBTFFunc })]
	before := p.Sec
	for target, want := range map[string]compat.Status{"vfs_read": compat.OK, "no_such_function": compat.Break} {
		w.opt.Targets = map[string]string{w.objs[1].Name + ":" + p.Name: target}
		rep, err := Run(context.Background(), w.objs, w.kernels, w.opt)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range rep.Runs[0].Programs {
			if x.Object == w.objs[1].Name && x.Program == p.Name && x.PredictedLoad != want {
				t.Errorf("target %s of %s: predicted %s, want %s", target, p.Name, x.PredictedLoad, want)
			}
		}
		if p.Sec != before {
			t.Errorf("the section says %+v when all is done", p.Sec)
		}
	}
	w.opt.Targets = map[string]string{p.Name: "x"}
	p.Sec = relocate.ParseSection("xdp")
	if _, err := Run(context.Background(), w.objs, w.kernels, w.opt); err == nil || !strings.Contains(err.Error(), `the section "xdp" takes no target`) {
		t.Errorf("a target for xdp: %v", err)
	}
}

func TestTargeted(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ section, target, want string }{
		{"fentry", "vfs_read", "vfs_read"},
		{"fentry/dummy", "nf_tables:nft_do_chain", "nft_do_chain"},
		{"?kprobe/dummy", "vfs_read+4", "vfs_read"},
		{"tp/dummy", "sched/sched_switch", "sched_switch"},
		{"xdp", "x", ""}, {"xdp", "devmap", ""}, {"syscall", "x", ""}, {"tc", "ingress", ""}, {"struct_ops", "init", ""},
		{"freplace", "f", ""}, {"of_the_loader", "f", ""}, {"fentry", "", ""},
	} {
		sec := relocate.ParseSection(tt.section)
		got, err := Targeted(sec, tt.target)
		if (err == nil) != (tt.want != "") || err == nil && (got.Func != tt.want || got.Autoload != sec.Autoload || got.Name != sec.Name) {
			t.Errorf("%s for %s: %+v, %v; want %s", tt.section, tt.target, got, err, tt.want)
		}
	}
}
