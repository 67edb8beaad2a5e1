package guest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/relocate"
	"github.com/corecheck/corecheck/relocate/load"
)

// Loader LibBPF is bpftool: "prog loadall OBJECT DIRECTORY autoattach" loads all programs of an object that libbpf would
// load by itself, attaches each of them that has a section to go by, and pins links and programs in the directory.
// What failed is in what libbpf prints (src/bpf/bpftool/prog.c of Linux 6.12: load_with_options, auto_attach_program).

const (
	bpffs    = "/sys/fs/bpf"
	loadOnly = "bpftool loads objects whole: it can't select a program"
)

// runBpftool has bpftool load all objects of a plan.
func runBpftool(plan *Plan, run runner, send func(Message)) {
	if len(plan.Command) == 0 {
		send(Message{Kind: Failed, Object: -1, Err: "the plan does not say where bpftool is"})
		return
	}
	b := &bpftool{plan: plan, run: run}
	for i := range plan.Objects {
		send(Message{Kind: Started, Object: i})
		for _, m := range b.object(i) {
			send(m)
		}
	}
}

type bpftool struct {
	plan *Plan
	run  runner
}

func (b *bpftool) object(i int) []Message {
	ctx, cancel := context.WithTimeout(context.Background(), b.plan.ObjectTimeout)
	defer cancel()
	pins := filepath.Join(bpffs, fmt.Sprintf("corecheck%d", i))
	defer os.RemoveAll(pins)
	argv := slices.Concat(b.plan.Command, []string{"prog", "loadall", b.plan.Objects[i].Path, pins})
	begin := time.Now()
	whole := Message{Kind: Whole, Object: i, Notes: []string{loadOnly}}
	r, err := b.run(ctx, append(argv, "autoattach"))
	attached := true
	switch {
	case err != nil || r.hang:
	case noAutoattach(r):
		attached = false
		whole.Notes = append(whole.Notes, "this bpftool does not attach")
		r, err = b.run(ctx, argv)
	case pinFailed(r):
		// Kernels before 5.15 attach to perf events without links, of which nothing can be pinned, and bpftool takes all
		// pins back then.
		attached = false
		whole.Notes = append(whole.Notes, "bpftool could not pin what it attached; the object was loaded once more without")
		r, err = b.run(ctx, argv)
	}
	if err != nil {
		return []Message{{Kind: Failed, Object: i, Err: err.Error()}}
	}
	out := readBpftool(r.lines, b.plan.LogLines)
	whole.Millis = time.Since(begin).Milliseconds()
	messages := func(programs ...Message) []Message { return append([]Message{whole}, programs...) }
	switch {
	case r.hang:
		whole.Load = &Outcome{Result: Hang, Reason: fmt.Sprintf("bpftool did not end within %v", b.plan.ObjectTimeout)}
		return messages()
	case r.exit != 0:
		whole.Load = out.failure(r)
		if out.mapName != "" && unsized(b.plan.Objects[i].Path, out.mapName) {
			whole.Load.Result = NeedsTarget
			whole.Notes = append(whole.Notes, "bpftool gives no sizes to maps whose size the loading program sets")
		}
		if out.program == "" {
			return messages()
		}
		one := *whole.Load
		whole.Load.Reason = "program " + out.program + ": " + one.Reason
		return messages(Message{Kind: Program, Object: i, Name: clip(out.program, maxName), Load: &one})
	}
	whole.Load = &Outcome{Result: OK}
	entries, err := os.ReadDir(pins)
	if err != nil {
		whole.Notes = append(whole.Notes, err.Error())
	}
	var programs []Message
	for _, e := range entries {
		m := Message{Kind: Program, Object: i, Name: e.Name(), Load: &Outcome{Result: OK}}
		if attached {
			m.Attach = out.attach[e.Name()]
			if m.Attach == nil {
				m.Attach = &Outcome{Result: OK}
			}
		}
		programs = append(programs, m)
	}
	return messages(programs...)
}

// unsized tells whether an object leaves the size of a map to the loading program.
func unsized(object, name string) bool {
	objs, err := relocate.Open(object)
	if err != nil || len(objs) != 1 {
		return false
	}
	return slices.ContainsFunc(objs[0].Maps, func(m *relocate.Map) bool {
		return m.Name == name && (m.MaxEntries == 0 || m.ValueSize == 0)
	})
}

// noAutoattach tells a bpftool that does not know the word: those of Linux before 6.2.
func noAutoattach(r ran) bool {
	return r.exit != 0 && slices.ContainsFunc(r.lines, func(s string) bool {
		return strings.HasPrefix(s, "Error: ") && strings.Contains(s, "autoattach")
	})
}

func pinFailed(r ran) bool {
	return r.exit != 0 && slices.Contains(r.lines, "Error: failed to pin all programs")
}

// libbpfSaid is what libbpf and bpftool said of an object.
type libbpfSaid struct {
	program string // that failed to load, "" where it was something else, or none
	mapName string // of the map that failed
	reason  string
	errno   int
	log     []string
	cut     bool
	stage   load.Stage
	attach  map[string]*Outcome // of programs that were not attached, by pin
}

var (
	aboutProgram  = regexp.MustCompile(`^libbpf: prog '([^']*)': (.*)$`)
	notAttached   = regexp.MustCompile(`^Program (.*) does not support autoattach, falling back to pinning$`)
	numberAtEnd   = regexp.MustCompile(`(?:^|[ :=(])-(\d{1,4}|E[A-Z0-9]+)\)?$`)
	textAtEnd     = regexp.MustCompile(`: ([A-Z][^:]*)$`)
	beginLog      = "-- BEGIN PROG LOAD LOG --"
	endLog        = "-- END PROG LOAD LOG --"
	failedToLoad  = regexp.MustCompile(`^failed to load: `)
	relocateStage = regexp.MustCompile(`relo #\d|relocat|extern|BTF type ID|attach target|candidate`)
	mapLine       = regexp.MustCompile(`^libbpf: map '([^']*)': (.*)$`)
	btfLine       = regexp.MustCompile(`^libbpf: (?:Error loading \.BTF|BTF loading error|kernel BTF|failed to find valid kernel BTF|.*vmlinux BTF)`)
)

// readBpftool reads what bpftool printed. None of it is believed to be whole or in order: it is what a program said of an
// object that nobody trusts.
func readBpftool(lines []string, logLines int) libbpfSaid {
	s := libbpfSaid{attach: map[string]*Outcome{}}
	said := map[string]string{} // the last word on each program
	last := ""                  // the program that was spoken of last
	inLog := false
	for _, line := range lines {
		if about := aboutProgram.FindStringSubmatch(line); about != nil {
			name, text := about[1], about[2]
			switch {
			case text == beginLog:
				s.program, s.log, inLog = name, nil, true
				continue
			case failedToLoad.MatchString(text):
				s.program = name
				if n := errnoAtEnd(text); s.errno == 0 {
					s.errno = n
				}
				if r := said[name]; r != "" {
					s.reason = r
				}
			default:
				if n := errnoAtEnd(text); n != 0 && strings.Contains(text, "BPF program load failed") {
					s.errno, s.stage = n, load.StageLoad
				}
				// That attributes could not be prepared, or a record not relocated, says less than what came before.
				if said[name] == "" || !strings.Contains(text, "failed to prepare load attributes") && !strings.HasSuffix(text, ": failed to relocate: "+lastWord(text)) {
					said[name] = text
				}
				last = name
			}
			inLog = false
			continue
		}
		if inLog {
			if inLog = line != endLog; inLog {
				s.log = append(s.log, line)
			}
			continue
		}
		if m := notAttached.FindStringSubmatch(line); m != nil {
			if len(s.attach) < maxLines {
				s.attach[pinName(m[1])] = attachRefused(said[m[1]])
			}
			continue
		}
		if m := mapLine.FindStringSubmatch(line); m != nil && strings.Contains(m[2], "failed") {
			s.stage, s.mapName, s.reason, s.errno = load.StageMap, m[1], line[len("libbpf: "):], errnoAtEnd(line)
			continue
		}
		if btfLine.MatchString(line) && s.stage == "" && strings.Contains(line, "rror") {
			s.stage, s.reason, s.errno = load.StageBTF, line[len("libbpf: "):], errnoAtEnd(line)
			continue
		}
		if strings.HasPrefix(line, "libbpf: failed to perform CO-RE relocations: ") && last != "" {
			s.program, s.reason, s.errno, s.stage = last, said[last], errnoAtEnd(line), load.StageReloc
			continue
		}
		if text, ok := strings.CutPrefix(line, "libbpf: "); ok && s.program == "" && !strings.HasPrefix(text, "failed to load object") {
			if s.reason == "" || s.errno == 0 {
				s.reason, s.errno = text, errnoAtEnd(text)
			}
		}
	}
	if s.stage == "" {
		s.stage = load.StageLoad
		if relocateStage.MatchString(s.reason) && len(s.log) == 0 {
			s.stage = load.StageReloc
		}
	}
	s.log, s.cut = lastLines(s.log, logLines)
	return s
}

// lastWord is what follows the last blank.
func lastWord(s string) string { return s[strings.LastIndexByte(s, ' ')+1:] }

// attachRefused says why a program was not attached. Without a word from libbpf it was that the section does not say to
// what (bpf_program__attach: EOPNOTSUPP).
func attachRefused(said string) *Outcome {
	if said == "" {
		return &Outcome{Result: None, Stage: load.StageAttach, Reason: "libbpf does not attach it by its section"}
	}
	return &Outcome{Result: Fail, Stage: load.StageAttach, Errno: errnoAtEnd(said), Reason: clip(said, maxText)}
}

// pinName is the file that a program is pinned to: bpf_object__pin_programs and bpftool take its name, with dots as "_",
// because the file system of BPF takes none.
func pinName(program string) string { return strings.ReplaceAll(program, ".", "_") }

// failure says why bpftool did not load an object.
func (s *libbpfSaid) failure(r ran) *Outcome {
	o := &Outcome{Result: Fail, Stage: s.stage, Errno: s.errno, Reason: s.reason, Log: s.log, Truncated: s.cut}
	for _, line := range r.lines {
		if text, ok := strings.CutPrefix(line, "Error: "); ok {
			if text == "failed to open object file" {
				o.Stage = load.StageOpen
			}
			if o.Reason == "" {
				o.Reason = text
			}
		}
	}
	if o.Reason == "" {
		o.Reason = fmt.Sprintf("bpftool ended with %d", r.exit)
	}
	o.Reason = clip(o.Reason, maxText)
	return o
}

// errnos are the numbers of errors by what the C library calls them, in lower case.
var errnos = func() map[string]int {
	m := map[string]int{}
	for n := 1; n < 134; n++ { // EHWPOISON is the last
		m[strings.ToLower(syscall.Errno(n).Error())] = n
	}
	// Where Go has another word.
	m["operation not supported"] = int(unix.EOPNOTSUPP)
	return m
}()

// errnoAtEnd reads the number of an error at the end of a message: "-22", "-EINVAL", ": Invalid argument", and
// "ERROR: strerror_r(-524)=22" of libbpf before 1.5 for what the C library does not know. 0 where there is none.
func errnoAtEnd(s string) int {
	if _, rest, ok := strings.Cut(s, "strerror_r("); ok {
		text, _, _ := strings.Cut(rest, ")")
		if n, err := strconv.Atoi(strings.TrimPrefix(text, "-")); err == nil && n > 0 && n < 4096 {
			return n
		}
	}
	if m := numberAtEnd.FindStringSubmatch(s); m != nil {
		if n, err := strconv.Atoi(m[1]); err == nil {
			return n
		}
		return errnoNames[m[1]]
	}
	if m := textAtEnd.FindStringSubmatch(s); m != nil {
		return errnos[strings.ToLower(m[1])]
	}
	return 0
}

// errnoNames are the numbers of errors by name.
var errnoNames = func() map[string]int {
	m := map[string]int{"ENOTSUPP": 524, "ENOTSUP": int(unix.ENOTSUP), "EWOULDBLOCK": int(unix.EWOULDBLOCK)}
	for n := 1; n < 134; n++ {
		if name := unix.ErrnoName(syscall.Errno(n)); name != "" {
			m[name] = n
		}
	}
	return m
}()
