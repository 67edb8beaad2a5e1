package kernels

import (
	"slices"

	"github.com/corecheck/corecheck/btfinfo"
)

// loose is the source of kernels that come by themselves: a file, the running system, memory. Each is read whole, and
// whatever is asked of it is an answer for it alone.
type loose struct{}

func (loose) join(p *Pool, _ Set) answers { return looseAnswers{p} }

type looseAnswers struct{ pool *Pool }

func (a looseAnswers) asker(narrow func(Set)) asker {
	return &looseAsker{pool: a.pool, depend: narrow, cur: -1, self: NewSet(len(a.pool.kernels))}
}

func (looseAnswers) having(btfinfo.Kind, string) Set             { return nil }
func (looseAnswers) modulesHaving(btfinfo.Kind, string) []string { return nil }
func (looseAnswers) havingModule(string) Set                     { return nil }

// looseAsker has one kernel in memory at a time.
type looseAsker struct {
	pool    *Pool
	depend  func(Set)
	cur     int
	self    Set // {cur}
	vmlinux *btfinfo.BTF
	modules []Module
	tags    map[string]map[taggedType]bool // by tag: what bears it, found when first asked
}

type taggedType struct {
	btf *btfinfo.BTF // that the tag is in
	id  btfinfo.ID
}

func (a *looseAsker) enter(k int) error {
	if a.cur == k {
		return nil
	}
	if a.cur >= 0 {
		a.self.Remove(a.cur)
	}
	a.cur, a.vmlinux, a.modules, a.tags = -1, nil, nil, nil // let go of the old one before the new one is read
	b, mods, err := a.pool.kernels[k].Load()
	if err != nil {
		return err
	}
	a.cur, a.vmlinux, a.modules = k, b, mods
	a.self.Add(k)
	return nil
}

func (a *looseAsker) narrow() { a.depend(a.self) }

func (a *looseAsker) btf() *btfinfo.BTF {
	a.narrow()
	return a.vmlinux
}

func (a *looseAsker) moduleTypes(name string, yield func(module string, t btfinfo.Type) bool) {
	a.narrow()
	for _, m := range a.modules {
		more := true
		m.BTF.OwnEssential(name, func(t btfinfo.Type) bool {
			more = yield(m.Name, t)
			return more
		})
		if !more {
			return
		}
	}
}

func (a *looseAsker) hasModules() bool {
	a.narrow()
	return len(a.modules) > 0 && !a.pool.kernels[a.cur].ModulesPartial
}

func (a *looseAsker) hasModule(name string) bool {
	a.narrow()
	return slices.ContainsFunc(a.modules, func(m Module) bool { return m.Name == name })
}

func (a *looseAsker) moduleNames() (names []string) {
	for _, m := range a.modules {
		names = append(names, m.Name)
	}
	return names
}

func (a *looseAsker) hasLike(kind btfinfo.Kind, pattern string, modules bool) bool {
	a.narrow()
	if ownLike(a.vmlinux, kind, pattern) {
		return true
	}
	return modules && slices.ContainsFunc(a.modules, func(m Module) bool { return ownLike(m.BTF, kind, pattern) })
}

// ownLike tells whether one of b's own types fits.
func ownLike(b *btfinfo.BTF, kind btfinfo.Kind, pattern string) bool {
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		if t := b.Type(id); t.Kind() == kind && Glob(pattern, t.Name()) {
			return true
		}
	}
	return false
}

func (a *looseAsker) tagged(t btfinfo.Type, tag string) bool {
	a.narrow()
	return a.bearers(tag)[taggedType{t.BTF(), t.ID()}]
}

func (a *looseAsker) anyTagged(tag string) bool {
	a.narrow()
	for at := range a.bearers(tag) {
		if at.btf == a.vmlinux {
			return true
		}
	}
	return false
}

// bearers finds the types that have a tag, on themselves (true) or on parts only: in one walk through all types, since tags
// point to what they are on.
func (a *looseAsker) bearers(tag string) map[taggedType]bool {
	if m, ok := a.tags[tag]; ok {
		return m
	}
	m := make(map[taggedType]bool)
	collect := func(b *btfinfo.BTF) {
		for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
			if t := b.Type(id); t.Kind() == btfinfo.KindDeclTag && t.Name() == tag {
				at := taggedType{b, t.Ref()}
				m[at] = m[at] || t.Component() == -1
			}
		}
	}
	collect(a.vmlinux)
	for _, mod := range a.modules {
		collect(mod.BTF)
	}
	if a.tags == nil {
		a.tags = make(map[string]map[taggedType]bool)
	}
	a.tags[tag] = m
	return m
}

func (a *looseAsker) names(kind btfinfo.Kind, yield func(name string)) {
	a.narrow()
	b := a.vmlinux
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		if t := b.Type(id); t.Kind() == kind && t.Name() != "" {
			yield(t.Name())
		}
	}
}

func (a *looseAsker) enumsWith(_ string, yield func(btfinfo.Type)) {
	a.narrow()
	b := a.vmlinux
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		if t := b.Type(id); t.Kind().IsEnum() {
			yield(t)
		}
	}
}
