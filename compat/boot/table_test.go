package boot

import (
	"strings"
	"testing"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/relocate/load"
)

// tableReport is a report with one of everything.
func tableReport() *Report {
	yes, no := true, false
	info := func(id, version string) compat.KernelInfo {
		return compat.KernelInfo{ID: id, Version: version, Uname: id[strings.LastIndex(id, "/")+1:], Arch: "x86_64", Distro: "debian", Release: "12"}
	}
	program := func(name string, load Load, errno int, reason string, attach Attach, agrees *bool, f Failure) Program {
		p := Program{File: "tool.bpf.o", Object: "tool", Program: name, Section: "fentry/" + name, Autoload: true, Load: load, Attach: attach,
			PredictedLoad: compat.OK, PredictedAttach: compat.OK, Codes: []string{}, Agrees: agrees, Failure: f}
		if load == LoadFail {
			p.LoadErrno, p.LoadReason = errno, reason
		} else {
			p.AttachErrno, p.AttachReason = errno, reason
		}
		return p
	}
	gone := Failure{Stage: load.StageReloc, Class: TargetMissing, Rule: "CC020"}
	breaks := program("old", LoadFail, 3, "no FUNC old in the BTF of the kernel", AttachNone, &yes, gone)
	breaks.PredictedLoad = compat.Break
	open := program("some", LoadFail, 22, "invalid func unknown#195896080", AttachNone, nil, Failure{Stage: load.StageLoad, Class: Relocation, Rule: "CC001"})
	open.PredictedLoad, open.ExpectedReason, open.Autoload = compat.Unknown, "CC001: no field", false
	busy := program("busy", LoadOK, 16, "attaching to busy", AttachFail, &no, Failure{Stage: load.StageAttach, Class: NotTraceable, Rule: "CC021", Log: []string{"\x1b[2Jlog"}})
	fine := program("fine", LoadOK, 0, "", AttachOK, &yes, Failure{})
	user := program("user", LoadFail, 22, "", AttachNeedsTarget, nil, Failure{})
	run := func(id string, ps ...Program) KernelRun {
		return KernelRun{Kernel: id, Status: Booted, Accel: "tcg", AccelReason: "no /dev/kvm", BootMillis: 2900, Programs: ps}
	}
	r := &Report{Schema: Schema, Loader: guest.Own,
		Kernels: []compat.KernelInfo{info("debian/12/x86_64/5.10.0", "5.10.223"), info("debian/12/x86_64/6.1.0", "6.1.176"), info("debian/12/x86_64/6.12.0", "6.12.107"),
			info("debian/12/x86_64/7.2.0", "7.2.12")},
		LeftOut: []LeftOut{{Object: "other", Kernels: []string{"debian/12/x86_64/6.1.0"}, Reason: "it has the other byte order"}}}
	first := run("debian/12/x86_64/5.10.0", breaks, open, fine, user)
	first.Objects = []Object{{File: "tool.bpf.o", Object: "tool", Load: LoadFail, Errno: 3, PredictedLoad: compat.Break, Agrees: &yes,
		Notes: []string{"map events: max_entries is set by the loader; 1024 taken"}}}
	first.Modules = []Module{{Name: "xfs"}, {Name: "nosuch", Error: "the kernel has no such module"}}
	second := run("debian/12/x86_64/6.1.0", breaks, busy, fine, user)
	second.Oops = []string{"BUG: unable to handle page fault"}
	second.Console = "/var/log/console.log"
	third := KernelRun{Kernel: "debian/12/x86_64/6.12.0", Status: Failed, Error: "no package has it", Hint: "name a folder with --packages"}
	fourth := run("debian/12/x86_64/7.2.0", fine)
	fourth.Status, fourth.Error, fourth.Console = CutShort, "the kernel panicked", "/var/log/console2.log"
	fourth.ConsoleTail = []string{"Kernel panic - not syncing: \x1b]0;title\x07", "---[ end Kernel panic"}
	fourth.NotObserved = []ProgramRef{{Program: "busy"}}
	r.Runs = []KernelRun{first, second, third, fourth}
	return r
}

const wantTable = `kernel                   booted in   programs  agree  disagree  unknown  target
debian/12/x86_64/5.10.0  2.9 s tcg   4         2      0         1        1
debian/12/x86_64/6.1.0   2.9 s tcg   4         2      1         0        1
debian/12/x86_64/6.12.0  not booted  -         -      -         -        -
debian/12/x86_64/7.2.0   cut short   1         1      0         0        0

Not as predicted
  tool busy  fentry/busy
    on 6.1
    predicted: loads and attaches
    observed:  loads, does not attach, EBUSY: attaching to busy (not_traceable CC021)

Breaks as predicted  on
  tool old           5.10..6.1  no load, ESRCH: target_missing CC020

Breaks, which the prediction left open  on
  tool some (optional)                  5.10  no load, EINVAL: relocation CC001

Noted by the loader
  tool: map events: max_entries is set by the loader; 1024 taken

Modules that were not inserted
  nosuch: the kernel has no such module, on 5.10

not booted: 6.12: no package has it
  hint: name a folder with --packages

cut short: 7.2: the kernel panicked
  the last lines of the console of debian/12/x86_64/7.2.0
    | Kernel panic - not syncing: \x1b]0;title\a
    | ---[ end Kernel panic
  all of it: /var/log/console2.log
  1 program not observed

fault of the kernel: debian/12/x86_64/6.1.0: BUG: unable to handle page fault
  console: /var/log/console.log

2 kernels booted with tcg, 1 cut short, 1 not booted; 9 programs observed: 5 as predicted, 1 not, 1
left open by the prediction, 2 only with a target from user space
not with KVM: no /dev/kvm
left out: other on 1 kernel: it has the other byte order
2 kernels could not be booted, or not to the end: 6.12..7.2
1 prediction was wrong: tool busy on 6.1
2 programs break on 5.10..6.1: tool old on 5.10..6.1; tool busy on 6.1
`

func TestTable(t *testing.T) {
	t.Parallel()
	r := tableReport()
	got := tableOf(t, r)
	if got != wantTable {
		t.Errorf("got\n%s\nwant\n%s", got, wantTable)
	}
	if r.ExitCode() != 1 {
		t.Errorf("exit code %d", r.ExitCode())
	}
	var b strings.Builder
	if err := r.WriteTable(&b, compat.TableOptions{Verbose: true}); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`      | \x1b[2Jlog`, "predicted: not known whether it loads, CC001: no field", "observed:  does not load, ESRCH: no FUNC old in the BTF of the kernel"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("with details: %q is not in\n%s", want, b.String())
		}
	}
}

// Nothing was asked: that is said, and is not fine.
func TestTableEmpty(t *testing.T) {
	t.Parallel()
	r := &Report{Loader: guest.Own}
	got := tableOf(t, r)
	if !strings.Contains(got, "no kernel was booted") || r.ExitCode() != 3 {
		t.Errorf("exit code %d:\n%s", r.ExitCode(), got)
	}
}

func TestClause(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		"":                  "",
		"TCG was asked for": "TCG was asked for",
		"there is no /dev/kvm: the processor's virtualisation is off":                                       "there is no /dev/kvm",
		"/dev/kvm opens, but the probe's guest ended with signal: aborted: qemu-system-x86_64: error; more": "/dev/kvm opens, but the probe's guest ended with signal aborted",
	} {
		if got := clause(reason); got != want {
			t.Errorf("%q: %q, want %q", reason, got, want)
		}
	}
}

// The last lines name what was counted, and what is there.
func TestTableCounted(t *testing.T) {
	t.Parallel()
	info := []compat.KernelInfo{{ID: "debian/12/x86_64/6.1.0", Version: "6.1.176", Uname: "6.1.0", Arch: "x86_64"}}
	for _, tt := range []struct {
		name   string
		loader guest.Loader
		run    KernelRun
		want   string
	}{
		{"a command", guest.Command, KernelRun{Status: Booted, Accel: "tcg", Command: &Command{Args: []string{"x"}}}, "1 kernel booted with tcg; 1 command observed"},
		{"an object", guest.LibBPF, KernelRun{Status: Booted, Accel: "tcg", Objects: []Object{{Object: "tool", Load: LoadOK}}}, "1 kernel booted with tcg; 1 whole object observed"},
		{"programs and an object", guest.LibBPF, KernelRun{Status: Booted, Accel: "kvm", Objects: []Object{{Object: "tool", Load: LoadOK}},
			Programs: []Program{{Object: "other", Load: LoadOK}, {Object: "other", Load: LoadOK}}}, "1 kernel booted with kvm; 2 programs and 1 whole object observed"},
		{"no command", guest.Command, KernelRun{Status: Failed}, "0 kernels booted, 1 not booted; 0 commands observed"},
		{"cut short", guest.Own, KernelRun{Status: CutShort, Accel: "tcg", Error: "no word", Console: "/log/console.log"}, "0 kernels booted, 1 cut short; 0 programs observed"},
	} {
		tt.run.Kernel = info[0].ID
		got := tableOf(t, &Report{Loader: tt.loader, Kernels: info, Runs: []KernelRun{tt.run}})
		if !strings.Contains(got, tt.want) || strings.Contains(got, "all of it") {
			t.Errorf("%s: %q is not in, or \"all of it\" is:\n%s", tt.name, tt.want, got)
		}
	}
}
