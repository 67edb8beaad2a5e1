package guest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/relocate/load"
)

// What bpftool 7.1 (libbpf 1.1), 7.5 (1.5) and 7.8 (1.8) of Debian printed.
var bpftoolOutputs = map[string]struct {
	exit int
	text string
	want Outcome
	prog string
}{
	"verifier": {255, `libbpf: prog 'witness': BPF program load failed: Invalid argument
libbpf: prog 'witness': -- BEGIN PROG LOAD LOG --
0: R1=ctx() R10=fp0
0: <invalid CO-RE relocation>
failed to resolve CO-RE relocation <byte_off> [7] struct task_struct.state (0:0 @ offset 0)
processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0
-- END PROG LOAD LOG --
libbpf: prog 'witness': failed to load: -22
libbpf: failed to load object '/corecheck/objects/0.o'
Error: failed to load object file
Warning: bpftool is now running in libbpf strict mode and has more stringent requirements about BPF programs.
If it used to work for this object file but now doesn't, see --legacy option for more details.`,
		Outcome{Result: Fail, Stage: load.StageLoad, Errno: 22, Reason: "BPF program load failed: Invalid argument", Truncated: true, Log: []string{
			"failed to resolve CO-RE relocation <byte_off> [7] struct task_struct.state (0:0 @ offset 0)",
			"processed 1 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0",
		}}, "witness"},
	"names of numbers": {255, `libbpf: prog 'p': BPF program load failed: -EINVAL
libbpf: prog 'p': -- BEGIN PROG LOAD LOG --
unknown func bpf_x#400
-- END PROG LOAD LOG --
libbpf: prog 'p': failed to load: -EINVAL
libbpf: failed to load object 'x.o'
Error: failed to load object file`,
		Outcome{Result: Fail, Stage: load.StageLoad, Errno: 22, Reason: "BPF program load failed: -EINVAL", Log: []string{"unknown func bpf_x#400"}}, "p"},
	"no verifier": {255, `libbpf: prog 'variadic': BPF program load failed: Operation not permitted
libbpf: permission error while running as root; try raising 'ulimit -l'? current value: 8.0 MiB
libbpf: prog 'variadic': failed to load: -1
libbpf: failed to load object 'x.o'
Error: failed to load object file`,
		Outcome{Result: Fail, Stage: load.StageLoad, Errno: 1, Reason: "BPF program load failed: Operation not permitted"}, "variadic"},
	"target": {255, `libbpf: prog 'witness': failed to find kernel BTF type ID of 'submit_bio_checks': -3
libbpf: prog 'witness': failed to prepare load attributes: -3
libbpf: prog 'witness': failed to load: -3
libbpf: failed to load object 'x.o'
Error: failed to load object file`,
		Outcome{Result: Fail, Stage: load.StageReloc, Errno: 3, Reason: "failed to find kernel BTF type ID of 'submit_bio_checks': -3"}, "witness"},
	"relocation": {255, `libbpf: prog 'witness': relo #0: target candidate search failed for [7] struct : -22
libbpf: prog 'witness': relo #0: failed to relocate: -22
libbpf: failed to perform CO-RE relocations: -22
libbpf: failed to load object 'x.o'
Error: failed to load object file`,
		Outcome{Result: Fail, Stage: load.StageReloc, Errno: 22, Reason: "relo #0: target candidate search failed for [7] struct : -22"}, "witness"},
	"extern": {255, `libbpf: extern (var ksym) 'cpu_number': incompatible types, expected [29] struct wrong, but kernel has [21] int int
libbpf: failed to load object 'x.o'
Error: failed to load object file`,
		Outcome{Result: Fail, Stage: load.StageReloc,
			Reason: "extern (var ksym) 'cpu_number': incompatible types, expected [29] struct wrong, but kernel has [21] int int"}, ""},
	"refused": {255, `libbpf: elf: legacy map definitions in 'maps' section are not supported by libbpf v1.0+
Error: failed to open object file`,
		Outcome{Result: Fail, Stage: load.StageOpen, Reason: "elf: legacy map definitions in 'maps' section are not supported by libbpf v1.0+"}, ""},
	"map": {255, `libbpf: map 'm': failed to create: Invalid argument(-22)
libbpf: failed to load object 'x.o'
Error: failed to load object file`,
		Outcome{Result: Fail, Stage: load.StageMap, Errno: 22, Reason: "map 'm': failed to create: Invalid argument(-22)"}, ""},
	"silence": {139, ``, Outcome{Result: Fail, Stage: load.StageLoad, Reason: "bpftool ended with 139"}, ""},
	"usage":   {255, `Error: can't find subcommand`, Outcome{Result: Fail, Stage: load.StageLoad, Reason: "can't find subcommand"}, ""},
}

func TestReadBpftool(t *testing.T) {
	t.Parallel()
	for name, c := range bpftoolOutputs {
		r := ran{exit: c.exit, lines: splitLines(c.text)}
		said := readBpftool(r.lines, 2)
		if got := said.failure(r); !reflect.DeepEqual(*got, c.want) || said.program != c.prog {
			t.Errorf("%s: got %+v of %q, want %+v of %q", name, *got, said.program, c.want, c.prog)
		}
	}
}

const autoattachOutput = `libbpf: failed to determine tracepoint 'block/block_io_start' perf event ID: No such file or directory
libbpf: prog 'event': failed to create tracepoint 'block/block_io_start' perf event: No such file or directory
Program event does not support autoattach, falling back to pinning
libbpf: prog 'of.module': failed to attach to raw tracepoint 'xfs_x': No such file or directory
Program of.module does not support autoattach, falling back to pinning
Program xdp does not support autoattach, falling back to pinning
libbpf: prog 'fentry': failed to attach: ERROR: strerror_r(-524)=22
Program fentry does not support autoattach, falling back to pinning`

func TestReadBpftoolAttach(t *testing.T) {
	t.Parallel()
	got := readBpftool(splitLines(autoattachOutput), 10).attach
	want := map[string]*Outcome{
		"event": {Result: Fail, Stage: load.StageAttach, Errno: 2,
			Reason: "failed to create tracepoint 'block/block_io_start' perf event: No such file or directory"},
		"of_module": {Result: Fail, Stage: load.StageAttach, Errno: 2, Reason: "failed to attach to raw tracepoint 'xfs_x': No such file or directory"},
		"xdp":       {Result: None, Stage: load.StageAttach, Reason: "libbpf does not attach it by its section"},
		"fentry":    {Result: Fail, Stage: load.StageAttach, Errno: 524, Reason: "failed to attach: ERROR: strerror_r(-524)=22"},
	}
	if !reflect.DeepEqual(got, want) {
		for k := range got {
			t.Errorf("%s: %+v, want %+v", k, got[k], want[k])
		}
	}
}

// bpftool is run once more where the first way is not possible.
func TestRunBpftool(t *testing.T) {
	t.Parallel()
	plan := &Plan{Command: []string{"/bpftool", "-L"}, Objects: []Object{{Path: "/o"}}, ObjectTimeout: time.Minute, LogLines: 5}
	run := func(answers ...ran) (messages []Message, commands []string) {
		runBpftool(plan, func(_ context.Context, argv []string) (ran, error) {
			commands = append(commands, strings.Join(argv, " "))
			if len(answers) == 0 {
				return ran{}, errors.New("no bpftool")
			}
			r := answers[0]
			answers = answers[1:]
			return r, nil
		}, func(m Message) { messages = append(messages, m) })
		return messages, commands
	}
	const command = "/bpftool -L prog loadall /o /sys/fs/bpf/corecheck0"
	for name, c := range map[string]struct {
		answers  []ran
		commands []string
		want     []string
	}{
		"old": {
			[]ran{{exit: 255, lines: []string{"Error: expected no more arguments, 'type', 'map' or 'dev', got: 'autoattach'?"}}, {}},
			[]string{command + " autoattach", command}, []string{"started 0", "object 0 [ok ]"},
		},
		"no pins": {
			[]ran{{exit: 255, lines: []string{"Error: failed to pin all programs"}}, {}},
			[]string{command + " autoattach", command}, []string{"started 0", "object 0 [ok ]"},
		},
		"failure": {
			[]ran{{exit: 255, lines: splitLines(bpftoolOutputs["target"].text)}}, []string{command + " autoattach"},
			[]string{
				"started 0", "object 0 [fail program witness: failed to find kernel BTF type ID of 'submit_bio_checks': -3]",
				"program 0 witness [fail failed to find kernel BTF type ID of 'submit_bio_checks': -3]",
			},
		},
		"hang": {
			[]ran{{hang: true, exit: 137}}, []string{command + " autoattach"},
			[]string{"started 0", "object 0 [hang bpftool did not end within 1m0s]"},
		},
		"missing": {nil, []string{command + " autoattach"}, []string{"started 0", "failed 0 no bpftool"}},
	} {
		messages, commands := run(c.answers...)
		if !slices.Equal(commands, c.commands) || !slices.Equal(briefs(messages), c.want) {
			t.Errorf("%s: ran %q, want %q; told %q, want %q", name, commands, c.commands, briefs(messages), c.want)
		}
	}
	plan.Command = nil
	if messages, _ := run(); len(messages) != 1 || messages[0].Kind != Failed {
		t.Errorf("without a command: %q", briefs(messages))
	}
}

func TestErrnoAtEnd(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"failed to load: -22": 22, "failed to load: -EINVAL": 22, "failed: Permission denied": 13, "failed: Operation not supported": 95,
		"failed to create: Invalid argument(-22)": 22, "strerror_r(-524)=22": 524, "failed: -ENOTSUPP": 524, "failed: -524": 524,
		"[7] struct wrong": 0, "": 0, "failed: -EWHAT": 0, "failed: Some text": 0, "-99999999": 0, "x-22": 0, "strerror_r(x": 0,
		"failed: No such file or directory": 2, "failed: No such process": 3, "failed: Device or resource busy": 16,
	} {
		if got := errnoAtEnd(text); got != want {
			t.Errorf("errnoAtEnd(%q) = %d, want %d", text, got, want)
		}
	}
}

func FuzzReadBpftool(f *testing.F) {
	for _, o := range bpftoolOutputs {
		f.Add(o.text, o.exit)
	}
	f.Add(autoattachOutput, 0)
	f.Fuzz(func(t *testing.T, text string, exit int) {
		r := ran{exit: exit, lines: splitLines(text)}
		said := readBpftool(r.lines, 5)
		o := said.failure(r)
		if o.Reason == "" || len(o.Reason) > maxText || o.Stage == "" || len(o.Log) > 5 || o.Errno < 0 || o.Errno > 9999 {
			t.Errorf("%+v", o)
		}
		if len(said.attach) > maxLines {
			t.Errorf("%d programs", len(said.attach))
		}
		for name, a := range said.attach {
			if strings.Contains(name, ".") || a == nil || a.Result == OK || len(a.Reason) > maxText {
				t.Errorf("%q: %+v", name, a)
			}
		}
	})
}
