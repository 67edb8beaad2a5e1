package relocate

import "github.com/corecheck/corecheck/btfinfo"

// Target is the BTF of one kernel that relocations are resolved against.
type Target struct {
	Vmlinux *btfinfo.BTF
	Modules []Module // in the order of the kernel's BTF object ids; empty with a custom BTF, as in libbpf
	// ModuleTypes, where it is set, is asked in place of Modules: it calls yield for each type in the modules' own BTF whose
	// essential name is name, module by module, until yield returns false.
	ModuleTypes func(name string, yield func(module string, t btfinfo.Type) bool)
	// PointerSize is what the function of that name says of Vmlinux; 0: it is called.
	PointerSize uint32
	// EnumsWith and Near, where they are set, help (*Resolver).Suggest with a Vmlinux that only has the types that were looked
	// up. EnumsWith calls yield with Vmlinux's enums, those without a name included, that have an enumerator of this name, and
	// perhaps with others. Near returns names that are near want (see the function of that name) and that types of the kind
	// may have; each is looked up before it is believed.
	EnumsWith func(enumerator string, yield func(btfinfo.Type))
	Near      func(kind btfinfo.Kind, want string) []string
}

// enumsWith yields Vmlinux's enums, at least those that have an enumerator of this name.
func (t *Target) enumsWith(enumerator string, yield func(btfinfo.Type)) {
	if t.EnumsWith != nil {
		t.EnumsWith(enumerator, yield)
		return
	}
	b := t.Vmlinux
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		if t := b.Type(id); t.Kind().IsEnum() {
			yield(t)
		}
	}
}

// moduleTypes yields the modules' own types of an essential name.
func (t *Target) moduleTypes(name string, yield func(module string, t btfinfo.Type) bool) {
	if t.ModuleTypes != nil {
		t.ModuleTypes(name, yield)
		return
	}
	for i := range t.Modules {
		more := true
		t.Modules[i].BTF.OwnEssential(name, func(typ btfinfo.Type) bool {
			more = yield(t.Modules[i].Name, typ)
			return more
		})
		if !more {
			return
		}
	}
}

// Module is the split BTF of one kernel module.
type Module struct {
	Name string
	BTF  *btfinfo.BTF
}

// Outcome is what became of one relocation on one kernel.
type Outcome uint8

const (
	Resolved  Outcome = iota // a candidate matched; Value holds
	Answered                 // nothing matched, and the kind has a value for that (0): exists, matches, size, target id
	Poisoned                 // nothing matched: the instruction becomes a call that the verifier refuses if it is reached
	Ambiguous                // candidates matched and disagree: libbpf fails the load
	Fatal                    // libbpf fails the load for another reason, which Reason tells (anonymous root, bad size, …)
)

// Result is the answer of one kernel to one relocation.
type Result struct {
	Relo    *Relo
	Outcome Outcome
	Value   uint64 // what the instruction gets, where Outcome is Resolved or Answered
	Orig    uint64 // the value in the object's own BTF, 0 where it has none
	// MemSize is the size in bytes that a load or store gets in place of its own; 0 where it keeps its own.
	MemSize uint8
	// Mismatch: a load or store whose size can't be changed to fit the field (signed integer, enum, struct …). libbpf
	// poisons the instruction; Outcome is Poisoned and Value the offset that it would have had.
	Mismatch bool
	Reason   Reason // why Ambiguous, Fatal, or a Poisoned one that had a match; ReasonNone elsewhere
	// NoCandidates: the kernel has no type of the root's kind and name at all.
	NoCandidates bool

	// What follows is for people, and filled in by Explain only.

	Detail string // Reason in numbers and names; where there are no candidates, what is missing
	// Candidates that were considered, in libbpf's order, each with what became of it; then the pruned ones.
	Candidates []Candidate

	trail trail
}

// Candidate is a type of the kernel that might stand for the root type.
type Candidate struct {
	BTF    string // "vmlinux" or the module's name
	ID     btfinfo.ID
	Kind   btfinfo.Kind
	Name   string // with its flavour
	Reason Reason // ReasonNone: it matched
	Detail string // for people: "no member 'rq_disk' in struct request"; "'state' is struct atomic_t, was int"
	Value  uint64 // where it matched
}

// Reason tells why a candidate was rejected or a relocation failed.
type Reason uint8

const (
	ReasonNone          Reason = iota
	ReasonNoMember             // no member of that name
	ReasonIncompatible         // the member is there, with a type that is not compatible
	ReasonArrayIndex           // the array in the kernel is too short for the index
	ReasonNotComposite         // a step leads into something that is no struct, union or array
	ReasonNoEnumerator         // no enumerator of that name
	ReasonTypeMismatch         // TYPE_EXISTS, TYPE_SIZE, TYPE_ID: types are not compatible; TYPE_MATCHES: they don't match
	ReasonPruned               // an earlier relocation of the same root type matched other candidates only
	ReasonAnonymousRoot        // the root type has no name: libbpf fails (EINVAL) on every kernel
	ReasonAmbiguous            // candidates disagree
	ReasonLoadSize             // the access can't be resized
	ReasonBitfield             // a bitfield can't be covered by an aligned load of up to 8 bytes (E2BIG)
	ReasonRange                // the value does not fit the instruction (ERANGE)
	ReasonInstruction          // an instruction of a class that relocations can't patch, or not holding the value of the object's BTF
	ReasonMalformed            // the record itself makes no sense in the object's BTF
)

// Resolver resolves relocations of one object against one kernel, with libbpf's candidate cache and pruning between
// records: the order of calls matters. Not safe for concurrent use.
type Resolver struct {
	obj    *Object
	target *Target
	resolverState
}
