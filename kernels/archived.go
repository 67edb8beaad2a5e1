package kernels

import (
	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
)

// FromArchive returns the kernels of an archive, sorted. name says for people where they come from: "embedded", a path.
// They answer by sets; Load puts the BTF of one of them together.
func FromArchive(a *archive.Archive, name string) []*Kernel {
	src := archived{a}
	all := make([]*Kernel, a.Len())
	for i := range all {
		d := a.Kernel(i)
		k := &Kernel{ID: d.ID, Distro: d.Distro, Release: d.Release, Arch: d.Arch, Uname: d.Uname, Source: name, source: src, index: i, NoBTF: d.NoBTF,
			VersionFrom: VersionSource(d.VersionFrom)}
		if v, err := ParseVersion(d.Version); err == nil {
			k.Version = v
		} else {
			k.VersionFrom = "" // an archive says nothing else of a version that it does not know
		}
		if k.Package = d.Package; d.PackageVersion != "" {
			k.Package += " " + d.PackageVersion
		}
		k.load = func() (*btfinfo.BTF, []Module, error) {
			b, err := a.Build(i)
			if err != nil {
				return nil, nil, err
			}
			if b.BTF == nil {
				return nil, nil, &btfinfo.Error{File: d.ID, Off: -1, Msg: "has no BTF: " + d.NoBTF}
			}
			var mods []Module
			for _, m := range b.Modules {
				mods = append(mods, Module(m))
			}
			return b.BTF, mods, nil
		}
		if a.HasModules(i) {
			k.facts = []string{"modules"}
			all := a.AllModules(i)
			k.ModulesPartial = !all
		}
		all[i] = k
	}
	return Union(all)
}

// archived is the source of the kernels of one archive.
type archived struct{ a *archive.Archive }

func (s archived) join(p *Pool, set Set) answers {
	to := make([]int32, s.a.Len())
	for i := range to {
		to[i] = -1
	}
	set.Each(func(k int) { to[p.kernels[k].index] = int32(k) })
	return archivedAnswers{s.a.Join(to, len(p.kernels)), s.a}
}

type archivedAnswers struct {
	join *archive.Join
	a    *archive.Archive
}

func (x archivedAnswers) having(kind btfinfo.Kind, name string) Set {
	b, err := x.join.Having(kind, name)
	if err != nil {
		return nil // the kernels are read instead, and say what is wrong
	}
	return b
}

func (x archivedAnswers) modulesHaving(kind btfinfo.Kind, name string) []string {
	list, err := x.join.ModulesHaving(kind, name)
	if err != nil {
		return nil // as above
	}
	return list
}

func (x archivedAnswers) havingModule(name string) Set { return x.join.HavingModule(name) }

func (x archivedAnswers) asker(narrow func(Set)) asker {
	return archivedAsker{x.join.NewLens(func(b archive.Bitmap) { narrow(b) }, func(err error) { panic(&readError{err}) }), x.a}
}

// archivedAsker is a Lens as an asker.
type archivedAsker struct {
	lens *archive.Lens
	a    *archive.Archive
}

func (x archivedAsker) enter(k int) error {
	x.lens.Enter(k)
	return nil
}

func (x archivedAsker) btf() *btfinfo.BTF          { return x.lens.BTF() }
func (x archivedAsker) hasModules() bool           { return x.lens.AllModules() }
func (x archivedAsker) hasModule(name string) bool { return x.lens.HasModule(name) }
func (x archivedAsker) moduleNames() []string      { return x.lens.Modules() }
func (x archivedAsker) anyTagged(tag string) bool  { return x.lens.AnyTagged(tag) }

func (x archivedAsker) enumsWith(enumerator string, yield func(btfinfo.Type)) {
	x.lens.EnumsWith(enumerator, yield)
}

func (x archivedAsker) tagged(t btfinfo.Type, tag string) bool { return x.lens.Tagged(t, tag) }

func (x archivedAsker) moduleTypes(name string, yield func(module string, t btfinfo.Type) bool) {
	x.lens.ModuleTypes(name, yield)
}

func (x archivedAsker) hasLike(kind btfinfo.Kind, pattern string, modules bool) bool {
	return x.lens.HasLike(kind, pattern, GlobPrefix(pattern), modules, func(name string) bool { return Glob(pattern, name) })
}

func (x archivedAsker) names(kind btfinfo.Kind, yield func(name string)) {
	if err := x.a.Names(kind, yield); err != nil {
		panic(&readError{err})
	}
}
