package kernels

import (
	"strings"
	"sync"

	"github.com/corecheck/corecheck/btfinfo"
)

// Evaluation by sets. Kernels repeat themselves, so nothing is computed for each of them: a View answers for one kernel,
// the representative, and records for every read which kernels of the pool would have given the same answer to it. Those
// in all of the recorded sets are the class of the representative: they would have taken the same way and come to the
// same result. What is left is asked again, until nothing is.
//
// So a question is answered by the same code as for a single kernel, and it is answered right for all of them if every
// read of a kernel goes through the View: its BTF, its modules, and what is known beside them (By).

// Pool is a list of kernels that are asked together. Its sets are over their indexes.
type Pool struct {
	kernels []*Kernel
	parts   []part
	partOf  []int32 // by kernel

	mu     sync.Mutex
	joined []answers // by part, nil until asked
	meta   map[string]*metaSets
}

// part is the kernels of a pool that come out of one source.
type part struct {
	set    Set
	source source
}

// source is where kernels come from that are asked together. It is compared as a key.
type source interface {
	// join prepares to answer for the kernels of p in set, all of which are of this source.
	join(p *Pool, set Set) answers
}

// answers are a source's to the kernels of one pool. They are safe for concurrent use.
type answers interface {
	// asker returns what one View asks. Each of its reads hands narrow the set of the kernels (of the pool) that would
	// have answered the same as the entered one; the sets are not changed by narrow, and not kept.
	asker(narrow func(Set)) asker
	// having returns the kernels of which vmlinux has a type of this kind and name; nil where no index tells it without
	// reading the kernels.
	having(kind btfinfo.Kind, name string) Set
	// modulesHaving names the modules of any of the kernels that have such a type of their own, as far as an index tells.
	modulesHaving(kind btfinfo.Kind, name string) []string
	// havingModule returns the kernels of which the BTF of this module is there, as far as an index tells; nil for none.
	havingModule(name string) Set
}

// asker answers for one kernel after the other, in one goroutine. Methods other than enter may panic with a *readError
// where what they read turns out to be damaged.
type asker interface {
	enter(k int) error // kernel k of the pool: all that follows is about it
	btf() *btfinfo.BTF
	moduleTypes(name string, yield func(module string, t btfinfo.Type) bool)
	hasModules() bool
	hasModule(name string) bool
	moduleNames() []string
	hasLike(kind btfinfo.Kind, pattern string, modules bool) bool
	tagged(t btfinfo.Type, tag string) bool
	anyTagged(tag string) bool
	names(kind btfinfo.Kind, yield func(name string))
	enumsWith(enumerator string, yield func(btfinfo.Type))
}

// readError is the panic of an asker in the midst of a read; Classes turns it into the error of a kernel.
type readError struct{ err error }

// metaSets are the kernels of a pool by a property.
type metaSets struct {
	group []int32 // by kernel: index in keys and sets
	keys  []string
	sets  []Set
}

// NewPool makes a pool of these kernels, in this order.
func NewPool(ks []*Kernel) *Pool {
	p := &Pool{kernels: ks, partOf: make([]int32, len(ks)), meta: make(map[string]*metaSets)}
	index := make(map[source]int32)
	seen := make(map[*Kernel]bool, len(ks))
	for i, k := range ks {
		src := k.source
		if src == nil || seen[k] {
			src = loose{} // a source answers for each of its kernels once
		}
		seen[k] = true
		n, ok := index[src]
		if !ok {
			n = int32(len(p.parts))
			index[src] = n
			p.parts = append(p.parts, part{set: NewSet(len(ks)), source: src})
		}
		p.partOf[i] = n
		p.parts[n].set.Add(i)
	}
	p.joined = make([]answers, len(p.parts))
	return p
}

// Kernels lists the kernels of the pool; their indexes are those of sets.
func (p *Pool) Kernels() []*Kernel { return p.kernels }

// Parts splits the pool into the sets that are best asked together, one after the other: the kernels of each archive, and
// every other kernel by itself, since it is read anew whenever a View comes back to it. They are in the order of each
// set's first kernel.
func (p *Pool) Parts() []Set {
	var out []Set
	seen := make([]bool, len(p.parts))
	for i := range p.kernels {
		n := p.partOf[i]
		switch _, single := p.parts[n].source.(loose); {
		case single:
			s := NewSet(len(p.kernels))
			s.Add(i)
			out = append(out, s)
		case !seen[n]:
			seen[n] = true
			out = append(out, p.parts[n].set)
		}
	}
	return out
}

// Having returns the kernels of which vmlinux has a type of this kind and name, as far as indexes tell: known has the
// kernels of which they do.
func (p *Pool) Having(kind btfinfo.Kind, name string) (having, known Set) {
	having, known = NewSet(len(p.kernels)), NewSet(len(p.kernels))
	for i := range p.parts {
		if s := p.answers(i).having(kind, name); s != nil {
			having.Or(s)
			known.Or(p.parts[i].set)
		}
	}
	return having, known
}

// ModulesHaving names the modules of which any kernel's has a type of this kind and name of its own, as far as indexes
// tell: kernels of archives only.
func (p *Pool) ModulesHaving(kind btfinfo.Kind, name string) (modules []string) {
	for i := range p.parts {
		modules = append(modules, p.answers(i).modulesHaving(kind, name)...)
	}
	return modules
}

// HavingModule returns the kernels of which the BTF of this module is there, as far as indexes tell.
func (p *Pool) HavingModule(name string) Set {
	having := NewSet(len(p.kernels))
	for i := range p.parts {
		if s := p.answers(i).havingModule(name); s != nil {
			having.Or(s)
		}
	}
	return having
}

// by returns the kernels grouped by key, which is asked once for each.
func (p *Pool) by(name string, key func(*Kernel) string) *metaSets {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m := p.meta[name]; m != nil {
		return m
	}
	m := &metaSets{group: make([]int32, len(p.kernels))}
	index := make(map[string]int32)
	for i, k := range p.kernels {
		x := key(k)
		g, ok := index[x]
		if !ok {
			g = int32(len(m.keys))
			index[x] = g
			m.keys = append(m.keys, x)
			m.sets = append(m.sets, NewSet(len(p.kernels)))
		}
		m.group[i] = g
		m.sets[g].Add(i)
	}
	p.meta[name] = m
	return m
}

// View asks the kernels of a pool. It is one goroutine's.
type View struct {
	pool   *Pool
	askers []asker // by part, nil until asked
	cur    int     // the representative, -1 outside of Classes
	frame  *frame
	errs   map[int]error
}

// frame is one computation: set has the kernels that answered all of its reads the same. Its caller's is below it.
type frame struct {
	set   Set
	below *frame
}

// NewView returns a view of the pool. It keeps what it has read of the kernel that it was at last.
func (p *Pool) NewView() *View {
	return &View{pool: p, askers: make([]asker, len(p.parts)), cur: -1, errs: make(map[int]error)}
}

// Pool is the pool that is viewed.
func (v *View) Pool() *Pool { return v.pool }

// Classes splits set into classes of kernels that answer alike. For each class ask is called once, and puts its question
// to the view; done is then called with the class, which is the callee's to keep. The representative is the kernel of the
// lowest index that is left, so that classes come in the order of their first kernels.
//
// Kernels that can't be read are left out; Err has their errors, and further calls leave them out from the start. An ask
// that met such a kernel may have been cut short.
//
// Within ask, Classes may be called for another question; what it reads does not count for the outer one.
func (v *View) Classes(set Set, ask func(), done func(class Set)) {
	left := set.Clone()
	for k := range v.errs {
		left.Remove(k)
	}
	outer := v.cur
	for k := left.First(); k >= 0; k = left.First() {
		class, err := v.class(k, left, ask)
		if err != nil {
			v.errs[k] = err
			left.Remove(k)
			continue
		}
		left.AndNot(class)
		v.cur = outer
		done(class)
	}
	if v.cur = outer; outer >= 0 {
		// It was entered before, and answers as it did then.
		if err := v.asker().enter(outer); err != nil {
			panic(&readError{err})
		}
	}
}

// class finds the class of kernel k among those left.
func (v *View) class(k int, left Set, ask func()) (class Set, err error) {
	v.cur = k
	bottom := v.frame
	v.frame = &frame{set: left.Clone(), below: bottom}
	defer func() {
		v.frame = bottom
		if r := recover(); r != nil {
			e, ok := r.(*readError)
			if !ok {
				panic(r)
			}
			class, err = nil, e.err
		}
	}()
	if err := v.asker().enter(k); err != nil {
		return nil, err
	}
	ask()
	class = v.frame.set
	if !class.Has(k) {
		panic("kernels: a read of " + v.pool.kernels[k].ID + " was recorded for other kernels only")
	}
	return class, nil
}

// Err is why a kernel could not be read, nil where it could or was not asked yet.
func (v *View) Err(k int) error { return v.errs[k] }

// Index is the index of the representative in the pool; what is answered must not depend on it.
func (v *View) Index() int { return v.cur }

// Kernel is the representative. Reading it is not recorded: an answer that depends on more than that there is a kernel
// must come from By.
func (v *View) Kernel() *Kernel { return v.pool.kernels[v.cur] }

func (v *View) asker() asker {
	n := v.pool.partOf[v.cur]
	if v.askers[n] == nil {
		v.askers[n] = v.pool.answers(int(n)).asker(v.Depend)
	}
	return v.askers[n]
}

// answers returns what part n of the pool answers with.
func (p *Pool) answers(n int) answers {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.joined[n] == nil {
		p.joined[n] = p.parts[n].source.join(p, p.parts[n].set)
	}
	return p.joined[n]
}

// Depend records that the answer holds for the kernels in set only.
func (v *View) Depend(set Set) { v.frame.set.And(set) }

// BTF is vmlinux's. Reads through it are recorded. It is this representative's: nothing of it may be kept beyond ask.
func (v *View) BTF() *btfinfo.BTF { return v.asker().btf() }

// EnumsWith calls yield with vmlinux's enums that have an enumerator of this name, and perhaps with others. Those without a name
// are among them.
func (v *View) EnumsWith(enumerator string, yield func(t btfinfo.Type)) {
	v.asker().enumsWith(enumerator, yield)
}

// Names calls yield with the names that types of this kind may have in vmlinux, and perhaps with others: those of all kernels
// of the archive. They are to be looked up in BTF before they are believed, and copied if they are kept.
func (v *View) Names(kind btfinfo.Kind, yield func(name string)) { v.asker().names(kind, yield) }

// ModuleTypes calls yield for each type in the modules' own BTF whose essential name is name, module by module, until
// yield returns false.
func (v *View) ModuleTypes(name string, yield func(module string, t btfinfo.Type) bool) {
	v.asker().moduleTypes(name, yield)
}

// HasModules tells whether the BTF of the kernel's modules was looked through, so that what they don't have is not there.
func (v *View) HasModules() bool { return v.asker().hasModules() }

// HasModule tells whether the BTF of this module is there.
func (v *View) HasModule(name string) bool { return v.asker().hasModule(name) }

// Modules names the modules of which the BTF is there. It is read for this kernel alone.
func (v *View) Modules() []string {
	self := NewSet(len(v.pool.kernels))
	self.Add(v.cur)
	v.Depend(self)
	return v.asker().moduleNames()
}

// HasPrefix tells whether vmlinux has a type of this kind whose name starts with prefix, which has no '*' or '?'.
func (v *View) HasPrefix(kind btfinfo.Kind, prefix string) bool {
	return v.asker().hasLike(kind, prefix+"*", false)
}

// HasLike tells whether vmlinux or a module has a type of this kind whose name fits pattern: see Glob.
func (v *View) HasLike(kind btfinfo.Kind, pattern string) bool {
	return v.asker().hasLike(kind, pattern, true)
}

// Tagged tells whether a type of the representative has a DECL_TAG of this name on itself, in the BTF that it is of.
func (v *View) Tagged(t btfinfo.Type, tag string) bool { return v.asker().tagged(t, tag) }

// AnyTagged tells whether vmlinux has any DECL_TAG of this name.
func (v *View) AnyTagged(tag string) bool { return v.asker().anyTagged(tag) }

// By returns key of the representative, which may read what is in Kernel but not load it. The answer holds for the
// kernels of the same key. name stands for the function: it is asked once for each kernel of the pool.
func (v *View) By(name string, key func(*Kernel) string) string {
	m := v.pool.by(name, key)
	g := m.group[v.cur]
	v.Depend(m.sets[g])
	return m.keys[g]
}

// Glob tells whether name fits a pattern in which '*' stands for any letters or none and '?' for one: glob_match of
// libbpf v1.7's libbpf.c.
func Glob(pattern, name string) bool {
	star, mark := -1, 0
	p, s := 0, 0
	for s < len(name) {
		switch {
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == name[s]) && pattern[p] != '*':
			p++
			s++
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, s
			p++
		case star >= 0:
			mark++
			p, s = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}

// GlobPrefix is what all names begin with that fit a pattern.
func GlobPrefix(pattern string) string {
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		return pattern[:i]
	}
	return pattern
}
