package compat

import (
	"slices"
	"strconv"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// facts is what the rules ask of a kernel. All of it is read through a view, so that the answers hold for all kernels
// that would give them: see package kernels. What many rules ask is kept with the kernels that it holds for.
// A facts is used by one goroutine at a time.
type facts struct {
	v       *kernels.View
	enums   map[string]*kernels.Memo[*enumTable]
	members map[string]*kernels.Memo[bool]
	likes   map[string]*kernels.Memo[bool]
	names   map[nameKey]*kernels.Memo[bool]
	ptrSize kernels.Memo[uint32]
}

// nameKey is a look for a name: see facts.has.
type nameKey struct {
	module, name string
	kind         btfinfo.Kind
}

func newFacts(v *kernels.View) *facts {
	return &facts{v: v, enums: make(map[string]*kernels.Memo[*enumTable]), members: make(map[string]*kernels.Memo[bool]),
		likes: make(map[string]*kernels.Memo[bool]), names: make(map[nameKey]*kernels.Memo[bool])}
}

// memo returns the memo of a key, a new one where it has none.
func memo[K comparable, T any](m map[K]*kernels.Memo[T], key K) *kernels.Memo[T] {
	x := m[key]
	if x == nil {
		x = new(kernels.Memo[T])
		m[key] = x
	}
	return x
}

// target is what relocations are resolved against.
func (f *facts) target() *relocate.Target {
	return &relocate.Target{
		Vmlinux:     f.v.BTF(),
		ModuleTypes: f.v.ModuleTypes,
		PointerSize: f.ptrSize.Get(f.v, func() uint32 { return relocate.PointerSize(f.v.BTF()) }),
	}
}

// arch is the kernel's architecture in BTFHub's names.
func (f *facts) arch() string {
	return f.v.By("arch", func(k *kernels.Kernel) string { return k.Arch })
}

// versionKnown tells whether anything is known of the kernel's version.
func (f *facts) versionKnown() bool {
	return f.v.By("version is known", func(k *kernels.Kernel) string { return yesIf(!k.Version.IsZero()) }) != ""
}

// mayPredate tells whether the kernel is of a release before this one, as far as its version tells. For what BTF is
// silent about only: distros backport.
func (f *facts) mayPredate(major, minor int) bool {
	return f.v.By("before "+strconv.Itoa(major)+"."+strconv.Itoa(minor), func(k *kernels.Kernel) string {
		v := k.Version
		return yesIf(v.IsZero() || v.Compare(kernels.Version{Major: major, Minor: minor}) < 0)
	}) != ""
}

func yesIf(b bool) string {
	if b {
		return "yes"
	}
	return ""
}

// kernelVersion is the kernel's version as the macro KERNEL_VERSION makes it.
func kernelVersion(v kernels.Version) relocate.KernelVersion {
	return relocate.KernelVersion(v.Major<<16 | v.Minor<<8 | min(max(v.Patch, 0), 255))
}

// verifier is the version of the verifier, as far as the walk through a program tells versions apart.
func (f *facts) verifier() relocate.KernelVersion {
	return versionOf(f.v.By("verifier", func(k *kernels.Kernel) string {
		return strconv.FormatUint(uint64(kernelVersion(k.Version).Verifier()), 10)
	}))
}

// versionCode is what libbpf says is the version, with its patch; ok is false where that is not known.
func (f *facts) versionCode() (code relocate.KernelVersion, ok bool) {
	s := f.v.By("version", func(k *kernels.Kernel) string {
		if k.Version.IsZero() || k.Version.Patch < 0 {
			return ""
		}
		return strconv.FormatUint(uint64(kernelVersion(k.Version)), 10)
	})
	return versionOf(s), s != ""
}

// versionOf reads a number that strconv wrote, "" as 0.
func versionOf(s string) relocate.KernelVersion {
	n, _ := strconv.ParseUint("0"+s, 10, 32)
	return relocate.KernelVersion(n)
}

// enumTable is one enum of the kernel, by name and by value.
type enumTable struct {
	byName  map[string]uint64
	byValue map[uint64]string // the first enumerator of that value
}

// enum returns the kernel's enum of that name, nil where its BTF has none: then it says nothing about its enumerators.
func (f *facts) enum(name string) *enumTable {
	return memo(f.enums, name).Get(f.v, func() *enumTable {
		var t *enumTable
		b := f.v.BTF()
		for _, id := range b.Named(name, btfinfo.KindEnum, btfinfo.KindEnum64) {
			typ := b.Type(id)
			if t == nil {
				t = &enumTable{make(map[string]uint64, typ.Vlen()), make(map[uint64]string, typ.Vlen())}
			}
			for i := range typ.Vlen() {
				e := typ.Enumerator(i)
				t.byName[e.Name] = e.Value
				if _, ok := t.byValue[e.Value]; !ok {
					t.byValue[e.Value] = e.Name
				}
			}
		}
		return t
	})
}

// place says where a name was found. It is the representative's, and not to be kept.
type place struct {
	btf    *btfinfo.BTF
	typ    btfinfo.Type
	module string // "" for vmlinux
}

// find looks a name up as libbpf's find_kernel_btf_id does: vmlinux first, then every module's own types. With a module
// named, only there.
func (f *facts) find(module, name string, kind btfinfo.Kind) (p place, ok bool) {
	if module == "" || module == "vmlinux" {
		if p, ok := findOwn(f.v.BTF(), name, kind); ok {
			return p, true
		}
		if module == "vmlinux" {
			return place{}, false
		}
	}
	f.v.ModuleTypes(btfinfo.EssentialName(name), func(m string, t btfinfo.Type) bool {
		if (module == "" || module == m) && t.Kind() == kind && t.Name() == name {
			p, ok = place{btf: t.BTF(), typ: t, module: m}, true
		}
		return !ok
	})
	return p, ok
}

// has tells whether find finds the name.
func (f *facts) has(module, name string, kind btfinfo.Kind) bool {
	return memo(f.names, nameKey{module, name, kind}).Get(f.v, func() bool {
		_, ok := f.find(module, name, kind)
		return ok
	})
}

func findOwn(b *btfinfo.BTF, name string, kind btfinfo.Kind) (p place, ok bool) {
	b.OwnEssential(btfinfo.EssentialName(name), func(t btfinfo.Type) bool {
		if t.Name() == name {
			p, ok = place{btf: b, typ: t}, true
			return false
		}
		return true
	}, kind)
	return p, ok
}

// hasPrefix tells whether vmlinux has any type of this kind whose name starts with prefix: whether a whole class of
// facts (tracepoint typedefs, LSM hooks) is in this BTF at all.
func (f *facts) hasPrefix(kind btfinfo.Kind, prefix string) bool {
	return memo(f.likes, kind.String()+" "+prefix).Get(f.v, func() bool { return f.v.HasPrefix(kind, prefix) })
}

// structHas tells whether the kernel has a struct of this name with this member (or, with member "", the struct).
func (f *facts) structHas(name, member string) bool {
	return memo(f.members, name+"."+member).Get(f.v, func() bool {
		b := f.v.BTF()
		found := false
		for _, id := range b.Named(name, btfinfo.KindStruct) {
			t := b.Type(id)
			found = found || member == ""
			for i := 0; i < t.Vlen() && !found; i++ {
				found = t.Member(i).Name == member
			}
		}
		return found
	})
}

// isKfunc tells whether the FUNC is tagged as a kfunc; known is false where this BTF has no such tags at all (pahole
// before 1.27, or a kernel without kfuncs).
func (f *facts) isKfunc(p place) (tagged, known bool) {
	if f.v.Tagged(p.typ, "bpf_kfunc") {
		return true, true
	}
	return false, f.v.AnyTagged("bpf_kfunc")
}

// final tells that a name which is not in vmlinux's BTF, nor in that of the modules at hand, is not in the kernel at all:
// its modules were looked through, or it has none (struct module is defined under CONFIG_MODULES only), or its modules
// have no BTF and needBTF says that they would be asked by BTF (struct module.btf_data, since Linux commit 36e68442d1af
// ("bpf: Load and verify kernel module BTFs") in v5.11).
func (f *facts) final(needBTF bool) bool {
	return f.v.HasModules() || !f.structHas("module", "") || needBTF && !f.structHas("module", "btf_data")
}

// inNoVmlinux ends the messages of findings that wait for what other kernels have: see reference.settle.
const inNoVmlinux = " is in no vmlinux that corecheck knows; a module may have it, and not all modules of this kernel are known"

// builtName is a name that vmlinux may have.
type builtName struct {
	kind btfinfo.Kind
	name string
}

// in tells whether one of b's own types has the name. To CO-RE an enum is one whether its values have 32 bits or 64.
func (n builtName) in(b *btfinfo.BTF) bool {
	for _, kind := range n.kinds() {
		if _, ok := findOwn(b, n.name, kind); ok {
			return true
		}
	}
	return false
}

func (n builtName) kinds() []btfinfo.Kind {
	if n.kind.IsEnum() {
		return []btfinfo.Kind{btfinfo.KindEnum, btfinfo.KindEnum64}
	}
	return []btfinfo.Kind{n.kind}
}

// reference knows which names are built into any kernel at hand, asked or not, and which are in modules. It settles what the
// absence of a name from vmlinux means where modules have not been seen: what is in a module elsewhere may be in that
// module here; code that is built in elsewhere is gone here; and of a name that none has a module may still be the owner.
//
// Kernels of archives have an index that tells. Of others it is noted while they are at hand.
type reference struct {
	asked *kernels.Pool
	extra *kernels.Pool      // that were not asked
	names map[builtName]bool // that may be asked for

	mu        sync.Mutex
	seen      map[builtName]map[string]bool // in a vmlinux of these lines of kernels
	inModules map[builtName]map[string]bool // in these modules
	owners    map[string]kernels.Set        // by module: those that were asked and have its BTF
	read      kernels.Set                   // of extra

	answers map[builtName]map[string]bool // that builtIn has given
	modules map[builtName][]string        // that modulesWith has given
}

func newReference(asked, extra *kernels.Pool) *reference {
	return &reference{asked: asked, extra: extra, names: make(map[builtName]bool), seen: make(map[builtName]map[string]bool), inModules: make(map[builtName]map[string]bool),
		owners: make(map[string]kernels.Set), read: kernels.NewSet(len(extra.Kernels())), answers: make(map[builtName]map[string]bool), modules: make(map[builtName][]string)}
}

// expect says which names may be asked for.
func (r *reference) expect(names []builtName) {
	for _, n := range names {
		r.names[n] = true
	}
}

// note records what the kernel has that v is at.
func (r *reference) note(v *kernels.View) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.names {
		if line := lineOf(v.Kernel()); !r.seen[n][line] && n.in(v.BTF()) {
			r.noteBuiltIn(n, line)
		}
		v.ModuleTypes(btfinfo.EssentialName(n.name), func(module string, t btfinfo.Type) bool {
			if t.Name() == n.name && slices.Contains(n.kinds(), t.Kind()) {
				r.noteModule(n, module)
			}
			return true
		})
	}
	for _, module := range v.Modules() {
		if r.owners[module] == nil {
			r.owners[module] = kernels.NewSet(len(r.asked.Kernels()))
		}
		r.owners[module].Add(v.Index())
	}
}

// lineOf names the kernels that are configured alike: those of one distro and architecture.
func lineOf(k *kernels.Kernel) string { return k.Distro + "/" + k.Arch }

func (r *reference) noteBuiltIn(n builtName, line string) {
	if r.seen[n] == nil {
		r.seen[n] = make(map[string]bool)
	}
	r.seen[n][line] = true
}

func (r *reference) noteModule(n builtName, module string) {
	if r.inModules[n] == nil {
		r.inModules[n] = make(map[string]bool)
	}
	r.inModules[n][module] = true
}

// noteExtra records what those of these kernels have that were not asked and not read yet. One that can't be read knows
// nothing.
func (r *reference) noteExtra(set kernels.Set) {
	set.AndNot(r.read)
	r.read.Or(set)
	set.Each(func(k int) {
		b, mods, err := r.extra.Kernels()[k].Load()
		if err != nil {
			return
		}
		for n := range r.names {
			if line := lineOf(r.extra.Kernels()[k]); !r.seen[n][line] && n.in(b) {
				r.noteBuiltIn(n, line)
			}
			for _, m := range mods {
				if n.in(m.BTF) {
					r.noteModule(n, m.Name)
				}
			}
		}
	})
}

// builtIn tells in which lines of kernels any has the name in vmlinux, once all kernels that are asked were looked at.
func (r *reference) builtIn(n builtName) map[string]bool {
	if lines, ok := r.answers[n]; ok {
		return lines
	}
	lines := make(map[string]bool)
	rest := kernels.Full(len(r.extra.Kernels()))
	for _, kind := range n.kinds() {
		having, _ := r.asked.Having(kind, n.name)
		having.Each(func(k int) { lines[lineOf(r.asked.Kernels()[k])] = true })
		having, known := r.extra.Having(kind, n.name)
		having.Each(func(k int) { lines[lineOf(r.extra.Kernels()[k])] = true })
		rest.AndNot(known)
	}
	r.noteExtra(rest)
	for line := range r.seen[n] {
		lines[line] = true
	}
	r.answers[n] = lines
	return lines
}

// builtInOf returns the kernels asked that are of these lines.
func (r *reference) builtInOf(lines map[string]bool) kernels.Set {
	set := kernels.NewSet(len(r.asked.Kernels()))
	for i, k := range r.asked.Kernels() {
		if lines[lineOf(k)] {
			set.Add(i)
		}
	}
	return set
}

// modulesWith lists the modules of any kernel at hand that have the name.
func (r *reference) modulesWith(n builtName) []string {
	list, ok := r.modules[n]
	if ok {
		return list
	}
	rest := kernels.Full(len(r.extra.Kernels()))
	for _, kind := range n.kinds() {
		list = append(append(list, r.asked.ModulesHaving(kind, n.name)...), r.extra.ModulesHaving(kind, n.name)...)
		_, known := r.extra.Having(kind, n.name)
		rest.AndNot(known)
	}
	rest.Each(func(k int) {
		if !slices.Contains(r.extra.Kernels()[k].Facts(), "modules") {
			rest.Remove(k) // it is read where it matters what is built in
		}
	})
	r.noteExtra(rest)
	for module := range r.inModules[n] {
		list = append(list, module)
	}
	slices.Sort(list)
	list = slices.Compact(list)
	r.modules[n] = list
	return list
}

// havingModule returns the kernels that were asked and of which the BTF of this module is at hand.
func (r *reference) havingModule(name string) kernels.Set {
	set := r.asked.HavingModule(name)
	if s := r.owners[name]; s != nil {
		set.Or(s)
	}
	return set
}
