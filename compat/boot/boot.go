// Package boot settles predictions: it boots kernels in QEMU, has BPF objects loaded and attached there, and puts what was
// observed beside what package compat predicts.
//
// For each kernel an initramfs is made of corecheck itself as /init, the objects, the modules that they need and the
// kernel's configuration (packages initramfs and images); QEMU boots it (package vm); corecheck in the guest does what the
// plan says (package guest), and sends its results as lines, which are compared and classified here.
//
// Objects are untrusted, and so is all that a guest says: whatever its results are, they cost that kernel only.
package boot

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/corecheck/corecheck/compat"
	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/compat/boot/vm"
	"github.com/corecheck/corecheck/compat/internal/hint"
	"github.com/corecheck/corecheck/compat/internal/page"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/images"
	"github.com/corecheck/corecheck/relocate"
)

// Kernel is a kernel to boot.
type Kernel struct {
	*kernels.Kernel
	Image string // file that the user named; "" for the one in its packages
}

// Options of a run.
type Options struct {
	// Check are the options of the prediction.
	Check compat.Options
	// Finder gets kernels' files.
	Finder Finder
	// Machines boots them.
	Machines Machines

	Loader      guest.Loader // "" for Own
	Command     []string     // of Loader Command
	Bins        []string     // files that the command needs: whole paths of this machine, and of the guest
	Modules     []string     // that are inserted whether objects need them or not
	ModulesFrom string       // where modules of kernels with an Image are: a folder or a package, "" beside the image
	// Targets are what programs are attached to, as if their sections named it: by "PROGRAM" or "OBJECT:PROGRAM". The
	// prediction is for them, too.
	Targets map[string]string
	Guest   string // file of corecheck for the guests, "" to look for it

	MemoryMB int // of a guest; 0: as needed, at least DefaultMemoryMB
	Jobs     int // guests at once; 0: by processors and free memory

	BootTimeout    time.Duration // 0: DefaultBootTimeout
	ObjectTimeout  time.Duration // for all that is done with one object; 0: DefaultObjectTimeout
	ProgramTimeout time.Duration // for one program's load and attach; 0: DefaultProgramTimeout
	LogLines       int           // of the verifier's logs that are kept, from their ends; 0: DefaultLogLines

	// LogDir is where consoles' logs are kept, in a folder for each kernel.
	LogDir string
	// Progress, where not nil, is told how far kernels are. Calls come from several goroutines, but never at once.
	Progress func(Event)

	program func(named, arch string) (string, error) // guestProgram, where tests have none
}

// What Options are where they say nothing.
const (
	DefaultMemoryMB       = 1024
	DefaultBootTimeout    = 2 * time.Minute
	DefaultObjectTimeout  = 3 * time.Minute
	DefaultProgramTimeout = 20 * time.Second
	DefaultLogLines       = 64
)

// margin is what a guest gets beside its own timeouts before the host ends it.
const margin = 30 * time.Second

// maxBoots is how often a kernel is booted that ends before corecheck runs in it. Nothing of an object was tried then: it was
// lost by QEMU, as old versions did with one boot in ten before package vm kept cmpxchg16b from guests, or it always ends so.
const maxBoots = 2

// maxObjects is how much the objects of a run may have together, in bytes: each guest has all of them in memory.
const maxObjects = 1 << 30

// fetchers is how many kernels' files are got at once.
const fetchers = 4

// Phase says what is done with a kernel.
type Phase string

// The phases.
const (
	Waiting Phase = "waiting" // its files are there, and others are booted
	Booting Phase = "booting"
	Testing Phase = "testing" // Event.Done of Event.Total programs
	Ended   Phase = "ended"   // Event.Run
)

// Event is a step of one kernel. What is done to get its files is told by the Finder.
type Event struct {
	Kernel      string // its ID
	Phase       Phase
	Done, Total int
	Run         *KernelRun // Ended
}

// Finder gets what kernels need to boot: images.Finder.
type Finder interface {
	Find(ctx context.Context, k *kernels.Kernel, modules []string) (*images.Files, error)
	FromFile(ctx context.Context, image, modulesFrom string, modules []string) (*images.Files, error)
	Tree(ctx context.Context, arch string, packages []string) ([]images.File, error)
}

// Machines finds what runs guests: QEMU.
type Machines interface {
	Find(ctx context.Context, arch string) (Machine, error)
	Slots(memoryMB int) int
}

// Machine runs guests of one architecture.
type Machine interface {
	Info() vm.QEMU
	Ports() []string
	Run(ctx context.Context, m vm.Machine, line func([]byte) error) (*vm.Outcome, error)
}

// QEMU is Machines of package vm.
type QEMU struct{ Options vm.Options }

type machine struct{ *vm.QEMU }

func (m machine) Info() vm.QEMU { return *m.QEMU }

// Find is vm.Find.
func (q QEMU) Find(ctx context.Context, arch string) (Machine, error) {
	m, err := vm.Find(ctx, arch, q.Options)
	if err != nil {
		return nil, err
	}
	return machine{m}, nil
}

// Slots is vm.Slots.
func (q QEMU) Slots(memoryMB int) int { return vm.Slots(memoryMB) }

// once is something that is found out once for several kernels.
type once[T any] struct {
	sync.Once
	value T
	err   error
}

// booter is one Run.
type booter struct {
	opt    Options
	objs   []*relocate.Object
	bytes  [][]byte
	names  [][]name   // by object
	asked  [][]string // modules that objects name, by object
	want   *predictions
	temp   string
	memory int

	mu       sync.Mutex
	machines map[string]*once[Machine]
	programs map[string]*once[string]
	trees    map[string]*once[[]images.File]
}

// Run boots kernels, which must be in the order of versions, and has objects loaded there. An error is for a run that says
// nothing of any kernel: the context's, or one of the objects; all else is in the report. Until it returns, the sections of
// programs with a target say that target; the objects must not be used by others meanwhile.
func Run(ctx context.Context, objs []*relocate.Object, ks []Kernel, opt Options) (*Report, error) {
	opt.Loader = cmp.Or(opt.Loader, guest.Own)
	opt.BootTimeout = cmp.Or(opt.BootTimeout, DefaultBootTimeout)
	opt.ObjectTimeout = cmp.Or(opt.ObjectTimeout, DefaultObjectTimeout)
	opt.ProgramTimeout = cmp.Or(opt.ProgramTimeout, DefaultProgramTimeout)
	opt.LogLines = cmp.Or(opt.LogLines, DefaultLogLines)
	if opt.program == nil {
		opt.program = guestProgram
	}
	b := &booter{opt: opt, objs: objs, memory: cmp.Or(opt.MemoryMB, DefaultMemoryMB), machines: make(map[string]*once[Machine]),
		programs: make(map[string]*once[string]), trees: make(map[string]*once[[]images.File])}
	restore, err := b.setTargets()
	defer restore()
	if err != nil {
		return nil, err
	}
	var total int64
	for _, o := range objs {
		if total += o.Size; total > maxObjects {
			return nil, hint.Errorf("boot with fewer of them at once", "the %d objects have more than %d MB together, the limit of a guest", len(objs), maxObjects>>20)
		}
		data, err := bytesOf(o)
		if err != nil {
			return nil, err
		}
		names, modules := namesOf(o)
		b.bytes, b.names, b.asked = append(b.bytes, data), append(b.names, names), append(b.asked, modules)
	}
	var asked []*kernels.Kernel
	for _, k := range ks {
		asked = append(asked, k.Kernel)
	}
	check := compat.Check(objs, asked, opt.Check)
	b.want = newPredictions(check)
	rep := b.report(check, asked)

	if b.temp, err = os.MkdirTemp("", "corecheck-boot-"); err != nil {
		return nil, err
	}
	defer os.RemoveAll(b.temp)
	boot := newSlots(opt.Jobs)
	if opt.Jobs <= 0 {
		boot = newSlots(opt.Machines.Slots(b.memory))
		boot.each = b.memory
	}
	var (
		wait    sync.WaitGroup
		fetch   = make(chan struct{}, fetchers)
		started = make(chan struct{}, fetchers+cap(boot.free)) // so that files are not got far ahead of what is booted
	)
	for i, k := range ks {
		started <- struct{}{}
		wait.Go(func() {
			defer func() { <-started }()
			b.kernel(ctx, k, &rep.Runs[i], fetch, boot)
			if ctx.Err() == nil {
				b.tell(Event{Kernel: k.ID, Phase: Ended, Run: &rep.Runs[i]})
			}
		})
	}
	wait.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return rep, nil
}

// report is the report before anything was booted.
func (b *booter) report(check *compat.Report, ks []*kernels.Kernel) *Report {
	rep := &Report{Schema: Schema, Version: b.opt.Check.Version, Loader: b.opt.Loader, Kernels: []compat.KernelInfo{}, Runs: make([]KernelRun, len(ks))}
	for i, k := range ks {
		rep.Kernels = append(rep.Kernels, compat.KernelInfo{ID: k.ID, Version: k.Version.String(), Uname: k.Uname, Arch: k.Arch,
			Distro: k.Distro, Release: k.Release, Facts: k.Facts()})
		rep.Runs[i] = KernelRun{Kernel: k.ID, Status: Failed, Objects: []Object{}, Programs: []Program{}}
	}
	for i := range check.Objects {
		o := &check.Objects[i]
		for _, l := range o.LeftOut {
			rep.LeftOut = append(rep.LeftOut, LeftOut{File: o.File, Object: o.Name, Kernels: l.Kernels, Reason: l.Reason})
		}
	}
	rep.Errors = check.Errors
	return rep
}

func (b *booter) tell(e Event) {
	if b.opt.Progress == nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.opt.Progress(e)
}

// targets are those of an object's programs.
func (b *booter) targets(o *relocate.Object) map[string]string {
	out := make(map[string]string)
	for _, p := range o.Programs {
		if t := cmp.Or(b.opt.Targets[o.Name+":"+p.Name], b.opt.Targets[p.Name]); t != "" {
			out[p.Name] = t
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// Targeted is what a section says of a program that is given a target, as package load has it in the guest; its autoload stays.
// A target that the section has is replaced. A section that takes none is an error.
func Targeted(sec relocate.SecDef, target string) (relocate.SecDef, error) {
	set := relocate.ParseSection(sec.Name + "/" + target)
	switch {
	case sec.Name == "":
		return sec, errors.New("its section tells no type of program, and so takes no target")
	case set.Name != sec.Name, set.Target == "", set.Hook == relocate.HookStructOps, set.Hook == relocate.HookProgram:
		return sec, fmt.Errorf("the section %q takes no target that a kernel has", sec.Name)
	}
	set.Autoload = sec.Autoload
	return set, nil
}

// setTargets has the sections of programs that are given targets name them: predictions and modules are for what is loaded.
// restore undoes it.
func (b *booter) setTargets() (restore func(), err error) {
	was := make(map[*relocate.Program]relocate.SecDef)
	restore = func() {
		for p, sec := range was {
			p.Sec = sec
		}
	}
	for _, o := range b.objs {
		targets := b.targets(o)
		for _, p := range o.Programs {
			target, given := targets[p.Name]
			if !given {
				continue
			}
			sec, err := Targeted(p.Sec, target)
			if err != nil {
				return restore, fmt.Errorf("program %s of %s: %w", p.Name, o.Name, err)
			}
			was[p], p.Sec = p.Sec, sec
		}
	}
	return restore, nil
}

// kernel does all that is done with one kernel.
func (b *booter) kernel(ctx context.Context, k Kernel, run *KernelRun, fetch chan struct{}, boot *slots) {
	run.Image = k.Image
	var objs []*relocate.Object
	var index []int
	for i, o := range b.objs {
		if !b.want.objects[i].leftOut[k.ID] {
			objs, index = append(objs, o), append(index, i)
		}
	}
	if len(objs) == 0 {
		run.fail(Failed, hint.Errorf("name it by its ID or architecture, --kernels arch:"+k.Arch+", to try it all the same", "no object is for this kernel"))
		return
	}
	arch := kernelArch(k.Kernel)
	m, err := b.machine(ctx, arch)
	if err != nil {
		run.fail(Failed, err)
		return
	}
	info := m.Info()
	run.Accel, run.AccelReason, run.QEMU, run.Sandbox = string(info.Accel), info.AccelReason, info.Version, info.Sandbox
	r := &root{}
	if r.init, err = b.program(arch); err != nil {
		run.fail(Failed, err)
		return
	}
	if !take(ctx, fetch) {
		return
	}
	named := b.named(index)
	files, err := b.files(ctx, k, index, named)
	if err == nil {
		defer files.Close()
		r.files, err = b.tree(ctx, arch)
	}
	<-fetch
	if err != nil {
		run.fail(Failed, err)
		return
	}
	for _, name := range files.Missing {
		if !slices.Contains(named, name) {
			continue // another kernel has something in it that objects look for
		}
		why := "the kernel has no such module"
		if files.NoModules != nil {
			why = "can't be had: " + files.NoModules.Error()
		}
		run.Modules = append(run.Modules, Module{Name: name, Error: bounded(why)})
	}
	if files.Config == "" && slices.ContainsFunc(objs, readsConfig) {
		run.Problems = append(run.Problems, "no package has the kernel's configuration: objects that read it can't be tried")
	}
	b.tell(Event{Kernel: k.ID, Phase: Waiting})
	r.plan = b.plan(m, objs, files)
	r.modules, r.uname, r.config = files.Modules, files.Uname, files.Config
	for _, i := range index {
		r.objects = append(r.objects, b.bytes[i])
	}
	c := newCollector(run, r.plan, k.ID, objs, index, b.want)
	c.logLines, c.uname, c.noConfig = b.opt.LogLines, files.Uname, files.Config == ""
	c.arch, _ = kernels.Arch(files.Arch) // as the guest names it
	for _, f := range files.Modules {
		c.soft = append(c.soft, f.Soft)
	}
	if files.NoModules != nil {
		run.Problems = append(run.Problems, "no module could be looked for: "+files.NoModules.Error())
		for _, i := range index {
			wants := len(b.asked[i]) > 0 || len(modulesFor(k.Kernel, b.names[i], b.opt.Check.Reference)) > 0
			c.noModules = append(c.noModules, wants)
		}
	}
	memory := b.memory
	if b.opt.MemoryMB == 0 { // the kernel has the archive in memory, and what it unpacks from it
		memory = max(memory, 512+3*int(r.size()>>20))
	}
	weight := boot.weight(memory)
	if !boot.take(ctx, weight) {
		return
	}
	defer boot.give(weight)
	b.boot(ctx, k, run, m, files.Image, memory, r, c)
}

// take puts something into a channel that counts, and tells whether that came before the end of ctx.
func take(ctx context.Context, c chan struct{}) bool {
	select {
	case c <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// slots are the places of guests that run at once.
type slots struct {
	free chan struct{} // has as many as are taken
	turn chan struct{} // one at a time takes: two that each have a part of what they need would wait for each other
	each int           // megabytes of memory that a place is for, 0 where it is for a guest of any
}

func newSlots(n int) *slots {
	return &slots{free: make(chan struct{}, max(n, 1)), turn: make(chan struct{}, 1)}
}

// weight is how many places a guest takes: all of them if it is larger than they are together.
func (s *slots) weight(memoryMB int) int {
	if s.each == 0 {
		return 1
	}
	return min((memoryMB+s.each-1)/s.each, cap(s.free))
}

func (s *slots) take(ctx context.Context, weight int) bool {
	if !take(ctx, s.turn) {
		return false
	}
	defer func() { <-s.turn }()
	for i := range weight {
		if !take(ctx, s.free) {
			s.give(i)
			return false
		}
	}
	return true
}

func (s *slots) give(weight int) {
	for range weight {
		<-s.free
	}
}

// readsConfig tells objects that have values of the kernel's configuration filled in.
func readsConfig(o *relocate.Object) bool {
	return slices.ContainsFunc(o.Externs, func(e *relocate.Extern) bool {
		return e.Kind == relocate.ExternKconfig && strings.HasPrefix(e.Name, "CONFIG_")
	})
}

// machine finds QEMU for an architecture.
func (b *booter) machine(ctx context.Context, arch string) (Machine, error) {
	return find(b, b.machines, arch, func() (Machine, error) { return b.opt.Machines.Find(ctx, arch) })
}

// program finds corecheck for guests of an architecture.
func (b *booter) program(arch string) (string, error) {
	return find(b, b.programs, arch, func() (string, error) { return b.opt.program(b.opt.Guest, arch) })
}

// tree gets the files that the loader needs.
func (b *booter) tree(ctx context.Context, arch string) ([]images.File, error) {
	switch b.opt.Loader {
	case guest.LibBPF:
		return find(b, b.trees, arch, func() ([]images.File, error) { return b.opt.Finder.Tree(ctx, arch, []string{"bpftool"}) })
	case guest.Command:
		return find(b, b.trees, arch, func() ([]images.File, error) { return b.commandFiles(arch) })
	}
	return nil, nil
}

// commandFiles are the files of the user's own loader: those named, with the libraries that they need, and a link in /bin
// to each; and the objects' files. All are where they are on this machine.
func (b *booter) commandFiles(arch string) ([]images.File, error) {
	var out []images.File
	seen := make(map[string]bool)
	add := func(f images.File) {
		if !seen[f.Path] {
			seen[f.Path] = true
			out = append(out, f)
		}
	}
	for _, path := range b.opt.Bins {
		st, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		elf, err := isELF(path)
		if err != nil {
			return nil, err
		}
		add(images.File{Path: path, Mode: uint32(st.Mode().Perm()), Source: path})
		if !elf {
			continue
		}
		needed, err := images.Closure(path, arch)
		if err != nil {
			return nil, err
		}
		for _, f := range needed {
			add(f)
		}
	}
	for _, o := range b.objs {
		path, err := filepath.Abs(o.File)
		if err != nil {
			return nil, err
		}
		add(images.File{Path: filepath.ToSlash(path), Mode: 0o755, Source: o.File})
	}
	for _, path := range b.opt.Bins {
		add(images.File{Path: "/bin/" + filepath.Base(path), Link: path})
	}
	return out, nil
}

// find finds something out once for an architecture.
func find[T any](b *booter, all map[string]*once[T], arch string, ask func() (T, error)) (T, error) {
	b.mu.Lock()
	x := all[arch]
	if x == nil {
		x = new(once[T])
		all[arch] = x
	}
	b.mu.Unlock()
	x.Do(func() { x.value, x.err = ask() })
	return x.value, x.err
}

// named are the modules that the user names, or that objects do.
func (b *booter) named(index []int) []string {
	modules := slices.Clone(b.opt.Modules)
	for _, i := range index {
		modules = append(modules, b.asked[i]...)
	}
	for i := range modules {
		modules[i] = moduleName(modules[i])
	}
	slices.Sort(modules)
	return slices.Compact(modules)
}

// moduleName is a module's name as in /sys/module.
func moduleName(s string) string { return strings.ReplaceAll(s, "-", "_") }

// notInserted tells of each module that the user named, and that the guest did not have.
func (b *booter) notInserted(run *KernelRun) (lacking []string) {
	for _, m := range run.Modules {
		if m.Error != "" && slices.ContainsFunc(b.opt.Modules, func(s string) bool { return moduleName(s) == m.Name }) {
			lacking = append(lacking, "module "+m.Name+" of --modules was not inserted: "+m.Error)
		}
	}
	return lacking
}

// files gets a kernel's files, with the modules that are named and those that objects need.
func (b *booter) files(ctx context.Context, k Kernel, index []int, named []string) (*images.Files, error) {
	var names []name
	for _, i := range index {
		names = append(names, b.names[i]...)
	}
	modules := slices.Concat(named, modulesFor(k.Kernel, names, b.opt.Check.Reference))
	if kernelArch(k.Kernel) == "s390x" { // the results' port is of it, and Debian's kernels before 6.12 have it as a module
		modules = append(modules, "virtio_console")
	}
	slices.Sort(modules)
	modules = slices.Compact(modules)
	if k.Image != "" {
		return b.opt.Finder.FromFile(ctx, k.Image, b.opt.ModulesFrom, modules)
	}
	return b.opt.Finder.Find(ctx, k.Kernel, modules)
}

// bpftool is where Debian's package has it.
const bpftool = "/usr/sbin/bpftool"

// plan is what a guest is asked to do.
func (b *booter) plan(m Machine, objs []*relocate.Object, files *images.Files) *guest.Plan {
	p := &guest.Plan{Ports: m.Ports(), Loader: b.opt.Loader, Command: b.opt.Command, ObjectTimeout: b.opt.ObjectTimeout,
		ProgramTimeout: b.opt.ProgramTimeout, LogLines: max(b.opt.LogLines, DefaultLogLines)}
	if b.opt.Loader == guest.LibBPF {
		p.Command = []string{bpftool}
	}
	for i, o := range objs {
		p.Objects = append(p.Objects, guest.Object{Path: objectPath(i, o), Targets: b.targets(o)})
	}
	for _, f := range files.Modules {
		p.Modules = append(p.Modules, modulePath(f))
	}
	return p
}

// boot boots a kernel and collects what its guest says.
func (b *booter) boot(ctx context.Context, k Kernel, run *KernelRun, m Machine, image string, memory int, r *root, c *collector) {
	dir, err := os.MkdirTemp(b.temp, "")
	if err != nil {
		run.fail(Failed, err)
		return
	}
	defer os.RemoveAll(dir)
	initrd := filepath.Join(dir, "initramfs")
	if err := writeRoot(initrd, r); err != nil {
		run.fail(Failed, hint.Errorf("$TMPDIR needs room for it", "its initramfs can't be made: %w", err))
		return
	}
	folder := filepath.Join(b.opt.LogDir, logFolder(k.ID))
	noLog := func(err error) {
		run.fail(Failed, hint.Errorf("name a folder with --logs", "the console's log can't be kept: %w", err))
	}
	if err := os.MkdirAll(folder, 0o777); err != nil {
		noLog(err)
		return
	}
	total, done, told := 0, 0, false
	for _, o := range c.objs {
		total += len(o.Programs)
	}
	var out *vm.Outcome
	// A program has its own time, an object its; the guest keeps both, and where the kernel hangs the host does.
	var silence atomic.Int64
	listen := func() {
		limit := max(b.opt.ObjectTimeout, b.opt.ProgramTimeout)
		if c.trying {
			limit = b.opt.ProgramTimeout
		}
		silence.Store(int64(limit + margin))
	}
	listen()
	for try := range maxBoots {
		b.tell(Event{Kernel: k.ID, Phase: Booting})
		var console string
		if console, err = newLog(folder); err != nil {
			noLog(err)
			return
		}
		out, err = m.Run(ctx, vm.Machine{
			Kernel: image, Initramfs: initrd, MemoryMB: memory, Console: console,
			BootTimeout: b.opt.BootTimeout,
			Silence:     func() time.Duration { return time.Duration(silence.Load()) },
			Timeout:     b.opt.BootTimeout + time.Duration(max(len(c.objs), 1))*(b.opt.ObjectTimeout+margin),
		}, func(line []byte) error {
			err := c.line(line)
			listen()
			if n := len(run.Programs); n != done || c.booted && !told {
				done, told = n, true
				b.tell(Event{Kernel: k.ID, Phase: Testing, Done: done, Total: total})
			}
			return err
		})
		again := err == nil && !c.booted && try+1 < maxBoots && (out.Ended == vm.Panic || out.Ended == vm.Reset || out.Ended == vm.Crashed)
		first, kept := filepath.Join(folder, "console.1.log"), filepath.Join(folder, "console.log")
		if again {
			kept = first
		} else if try == 0 {
			_ = os.Remove(first) // of an earlier run
		}
		if e := os.Rename(console, kept); e != nil {
			_ = os.Remove(console)
			noLog(e)
			return
		}
		run.Console = kept
		if !again {
			break
		}
		run.Problems = append(run.Problems, "booted again: "+endText(out, c)+"; the console of that: "+kept)
	}
	if err != nil && !errors.Is(err, c.stop) {
		run.fail(Failed, err)
		return
	}
	c.lacking = append(c.lacking, b.notInserted(run)...)
	c.end(out, err)
}

// newLog makes a file for a console's log, of its own: others may log the same kernel at the same time, and what has the log's
// name may lead elsewhere. It gets its name by a rename when it is whole.
func newLog(folder string) (string, error) {
	f, err := os.CreateTemp(folder, ".console-*")
	if err != nil {
		return "", err
	}
	err = errors.Join(f.Chmod(0o644), f.Close())
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return f.Name(), err
}

func writeRoot(path string, r *root) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	err = r.write(f)
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}

// maxLacking is how many reasons are named for a run of which something is lacking.
const maxLacking = 4

// end settles how the run ended. It is booted only if all of the plan was heard of.
func (c *collector) end(out *vm.Outcome, babble error) {
	run := c.run
	if out != nil {
		run.BootMillis, run.Millis = out.Boot.Milliseconds(), out.Ran.Milliseconds()
		run.Oops = boundedAll(out.Oops, maxNotes)
	}
	c.notObserved()
	c.lackModules()
	if n := len(run.NotObserved); n > 0 {
		text := page.Count(n, "program") + " not tried"
		if c.untried != "" {
			text += ": " + c.untried
		}
		c.lacking = append(c.lacking, text)
	}
	if c.crashes > 0 {
		c.lacking = append(c.lacking, "the process that loads objects failed "+page.Count(c.crashes, "time"))
	}
	for i, o := range c.objs {
		if c.plan.Loader != guest.Command && !c.whole[i] {
			c.lacking = append(c.lacking, "nothing was heard of "+o.Name+" as a whole")
		}
	}
	if c.plan.Loader == guest.Command && run.Command == nil {
		c.lacking = append(c.lacking, "nothing was heard of the command")
	}
	switch {
	case errors.As(babble, new(*kernelError)):
		run.fail(Failed, babble)
	case babble != nil:
		run.fail(CutShort, babble)
	case !c.booted || !c.done:
		status := CutShort
		if !c.booted {
			status = Failed
		}
		run.fail(status, errors.New(endText(out, c)))
	case run.Error != "" && len(run.Programs) == 0 && len(run.Objects) == 0:
		run.Status = Failed
	case run.Error != "":
		run.Status = CutShort
	case len(c.lacking) > 0:
		text := strings.Join(c.lacking[:min(len(c.lacking), maxLacking)], "; ")
		if n := len(c.lacking) - maxLacking; n > 0 {
			text += fmt.Sprintf("; and %d more", n)
		}
		run.fail(CutShort, errors.New(text))
	default:
		run.Status = Booted
	}
	if run.Status != Booted && out != nil {
		run.ConsoleTail = boundedAll(out.ConsoleTail, maxNotes)
	}
}

// lackModules has failures that a module may have kept from happening, which the guest could not have, say so. Those that were
// predicted stay what they are.
func (c *collector) lackModules() {
	lacks := func(file, object string, agrees *bool, why Class) bool {
		i := slices.IndexFunc(c.objs, func(o *relocate.Object) bool { return o.File == file && o.Name == object })
		return i >= 0 && i < len(c.noModules) && c.noModules[i] && agrees == nil && (why == TargetMissing || why == ExternMissing)
	}
	for i := range c.run.Programs {
		if p := &c.run.Programs[i]; lacks(p.File, p.Object, p.Agrees, p.Class) {
			p.Class = NoModule
		}
	}
	for i := range c.run.Objects {
		if o := &c.run.Objects[i]; lacks(o.File, o.Object, o.Agrees, o.Class) {
			o.Class = NoModule
		}
	}
}

// endText says how a guest ended that had more to do.
func endText(out *vm.Outcome, c *collector) string {
	if out == nil {
		return "the guest was ended"
	}
	text := map[vm.Ended]string{
		vm.PowerOff:    "the guest switched itself off",
		vm.Panic:       "the kernel panicked",
		vm.Reset:       "the guest restarted without a word",
		vm.BootTimeout: "the guest did not get as far as to say a word in time",
		vm.Silent:      "the guest fell silent",
		vm.Timeout:     "the guest took too long",
		vm.Crashed:     "QEMU gave up",
	}[out.Ended]
	text = cmp.Or(text, string(out.Ended))
	if out.Detail != "" {
		text += ": " + bounded(out.Detail)
	}
	if c.booted {
		text += "; the last that was heard of it: " + c.last
	}
	return text
}

// logFolder is a path below the folder of logs that a kernel's ID, which may be a stranger's, can't lead out of. What can't be
// a name as it is gets a digest, so that no two IDs have one folder.
func logFolder(id string) string {
	var parts []string
	for _, p := range strings.Split(id, "/") {
		p = strings.Map(func(r rune) rune {
			if r < ' ' || strings.ContainsRune(`\:*?"<>|`, r) || r == 0x7f {
				return '_'
			}
			return r
		}, p)
		if strings.Trim(p, ".") == "" {
			p = "_"
		}
		parts = append(parts, p[:min(len(p), 200)])
	}
	if strings.Join(parts, "/") != id {
		sum := sha256.Sum256([]byte(id))
		parts[len(parts)-1] += "~" + hex.EncodeToString(sum[:6])
	}
	return filepath.Join(parts...)
}
