package compat

import (
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

// facts is one kernel as the rules ask it. What takes a walk through all types is found out once, when first asked.
// A facts is used by one goroutine at a time.
type facts struct {
	kernel  *kernels.Kernel
	btf     *btfinfo.BTF
	modules []kernels.Module
	target  relocate.Target
	ref     *reference

	enums     map[string]*enumTable
	prefixes  map[string]bool
	memberOf  map[string]bool
	kfuncTags map[btfinfo.ID]bool // FUNC ids with DECL_TAG "bpf_kfunc"; nil until asked
}

func newFacts(k *kernels.Kernel, ref *reference) (*facts, error) {
	b, mods, err := k.Load()
	if err != nil {
		return nil, err
	}
	f := &facts{kernel: k, btf: b, modules: mods, ref: ref, enums: make(map[string]*enumTable), prefixes: make(map[string]bool), memberOf: make(map[string]bool)}
	f.target.Vmlinux = b
	for _, m := range mods {
		f.target.Modules = append(f.target.Modules, relocate.Module{Name: m.Name, BTF: m.BTF})
	}
	return f, nil
}

// enumTable is one enum of the kernel, by name and by value.
type enumTable struct {
	byName  map[string]uint64
	byValue map[uint64]string // the first enumerator of that value
}

// enum returns the kernel's enum of that name, nil where its BTF has none: then it says nothing about its enumerators.
func (f *facts) enum(name string) *enumTable {
	if t, ok := f.enums[name]; ok {
		return t
	}
	var t *enumTable
	for _, id := range f.btf.Named(name, btfinfo.KindEnum, btfinfo.KindEnum64) {
		typ := f.btf.Type(id)
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
	f.enums[name] = t
	return t
}

// place says where a name was found.
type place struct {
	btf    *btfinfo.BTF
	typ    btfinfo.Type
	module string // "" for vmlinux
}

// find looks a name up as libbpf's find_kernel_btf_id does: vmlinux first, then every module's own types. With a module
// named, only there.
func (f *facts) find(module, name string, kind btfinfo.Kind) (place, bool) {
	if module == "" || module == "vmlinux" {
		if p, ok := findOwn(f.btf, name, kind); ok {
			f.ref.note(name, kind)
			return p, true
		}
		if module == "vmlinux" {
			return place{}, false
		}
	}
	for _, m := range f.modules {
		if module != "" && module != m.Name {
			continue
		}
		if p, ok := findOwn(m.BTF, name, kind); ok {
			p.module = m.Name
			return p, true
		}
	}
	return place{}, false
}

// noteType records for the reference that vmlinux has the type, as far as it does.
func (f *facts) noteType(name string, kind btfinfo.Kind) {
	if _, ok := findOwn(f.btf, name, kind); ok {
		f.ref.note(name, kind)
	}
}

func findOwn(b *btfinfo.BTF, name string, kind btfinfo.Kind) (p place, ok bool) {
	b.OwnEssential(btfinfo.EssentialName(name), func(t btfinfo.Type) bool {
		if t.Kind() == kind && t.Name() == name {
			p, ok = place{btf: b, typ: t}, true
			return false
		}
		return true
	})
	return p, ok
}

// hasPrefix tells whether vmlinux has any type of this kind whose name starts with prefix: whether a whole class of
// facts (tracepoint typedefs, LSM hooks) is in this BTF at all.
func (f *facts) hasPrefix(kind btfinfo.Kind, prefix string) bool {
	key := kind.String() + prefix
	if v, ok := f.prefixes[key]; ok {
		return v
	}
	found := false
	for id := f.btf.FirstID(); int(id) < f.btf.NumTypes() && !found; id++ {
		t := f.btf.Type(id)
		found = t.Kind() == kind && strings.HasPrefix(t.Name(), prefix)
	}
	f.prefixes[key] = found
	return found
}

// mayPredate tells whether the kernel is of a release before this one, as far as its version tells. For what BTF is
// silent about only: distros backport.
func (f *facts) mayPredate(major, minor int) bool {
	v := f.kernel.Version
	return v.IsZero() || v.Compare(kernels.Version{Major: major, Minor: minor}) < 0
}

// structHas tells whether the kernel has a struct of this name with this member (or, with member "", the struct).
func (f *facts) structHas(name, member string) bool {
	key := name + "." + member
	if v, ok := f.memberOf[key]; ok {
		return v
	}
	found := false
	for _, id := range f.btf.Named(name, btfinfo.KindStruct) {
		t := f.btf.Type(id)
		found = found || member == ""
		for i := 0; i < t.Vlen() && !found; i++ {
			found = t.Member(i).Name == member
		}
	}
	f.memberOf[key] = found
	return found
}

// isKfunc tells whether the FUNC is tagged as a kfunc; known is false where this BTF has no such tags at all (pahole
// before 1.27, or a kernel without kfuncs).
func (f *facts) isKfunc(p place) (tagged, known bool) {
	if f.kfuncTags == nil {
		f.kfuncTags = make(map[btfinfo.ID]bool)
		collect := func(b *btfinfo.BTF) {
			for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
				if t := b.Type(id); t.Kind() == btfinfo.KindDeclTag && t.Name() == "bpf_kfunc" {
					f.kfuncTags[t.Ref()] = true
				}
			}
		}
		collect(f.btf)
	}
	if p.module != "" {
		// Ids of two modules overlap, so a module is asked by itself.
		for id := p.btf.FirstID(); int(id) < p.btf.NumTypes(); id++ {
			if t := p.btf.Type(id); t.Kind() == btfinfo.KindDeclTag && t.Name() == "bpf_kfunc" && t.Ref() == p.typ.ID() {
				return true, true
			}
		}
		return false, len(f.kfuncTags) > 0
	}
	return f.kfuncTags[p.typ.ID()], len(f.kfuncTags) > 0
}

// final tells that a name which is not in vmlinux's BTF, nor in that of the modules at hand, is not in the kernel at all:
// its modules were looked through, or it has none (struct module is defined under CONFIG_MODULES only), or its modules
// have no BTF and needBTF says that they would be asked by BTF (struct module.btf_data, since Linux commit 36e68442d1af
// ("bpf: Load and verify kernel module BTFs") in v5.11).
func (f *facts) final(needBTF bool) bool {
	return len(f.modules) > 0 || !f.structHas("module", "") || needBTF && !f.structHas("module", "btf_data")
}

// reference knows which names are built into any kernel at hand, asked or not. It settles what the absence of a name
// from vmlinux means where modules have not been seen: code that is built in elsewhere is gone here, and of a name that
// no vmlinux has a module may still be the owner.
type reference struct {
	mu    sync.Mutex
	seen  map[string]bool
	extra []*kernels.Kernel // that were not asked
	btfs  []*btfinfo.BTF    // of extra, read when first needed
	read  bool
}

func refKey(name string, kind btfinfo.Kind) string { return kind.String() + " " + name }

// note records that a kernel has the name in vmlinux.
func (r *reference) note(name string, kind btfinfo.Kind) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[refKey(name, kind)] = true
}

// builtIn tells whether any kernel has the name in vmlinux, once all kernels that are asked were looked at.
// key is what refKey makes of name and kind.
func (r *reference) builtIn(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if v, ok := r.seen[key]; ok {
		return v
	}
	if !r.read {
		r.read = true
		for _, k := range r.extra {
			if b, _, err := k.Load(); err == nil { // one that can't be read knows nothing
				r.btfs = append(r.btfs, b)
			}
		}
	}
	found := false
	kind, name, _ := strings.Cut(key, " ")
	for _, b := range r.btfs {
		b.OwnEssential(btfinfo.EssentialName(name), func(t btfinfo.Type) bool {
			found = t.Kind().String() == kind && t.Name() == name
			return !found
		})
		if found {
			break
		}
	}
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[key] = found
	return found
}
