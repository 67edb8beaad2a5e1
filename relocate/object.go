package relocate

import (
	"encoding/binary"
	"sort"
	"sync/atomic"

	"github.com/corecheck/corecheck/btfinfo"
)

// Object is one compiled BPF object: what libbpf's bpf_object__open makes of it, before any kernel is asked.
type Object struct {
	File   string // as the user named it
	Name   string // of the object: "biosnoop"; for an embedded one the name of its skeleton where that is known
	Offset int64  // bytes into File at which the object starts; 0 where the file is the object itself
	Size   int64  // bytes
	SHA256 string // hex digest of the object's bytes

	ByteOrder binary.ByteOrder
	License   string
	// Version is the section "version": the kernel that the object was made for, as LINUX_VERSION_CODE makes it. Kernels
	// before 5.0 want their own for kprobes. 0: the object has none.
	Version uint32
	BTF     *btfinfo.BTF // nil where the object has no .BTF section
	RawBTF  []byte       // .BTF as stored
	// Datasecs are the DATASECs of BTF, but those of externs, in the order of ids.
	Datasecs []Datasec
	// FuncInfoSize and LineInfoSize are the sizes of the records in .BTF.ext, in bytes; 0 where it has none.
	FuncInfoSize, LineInfoSize int

	Programs []*Program // in the order of sections and offsets, as libbpf lists them
	Funcs    []*Func    // every function: the programs' entries and subprograms, in the same order
	Maps     []*Map
	Externs  []*Extern
	Relos    []*Relo // CO-RE records in the order in which libbpf applies them

	// Refused tells why libbpf 1.x does not open the object at all, one sentence each, sorted: legacy maps, static
	// functions outside .text, externs without BTF … Other loaders may take it. Empty for nearly every object.
	Refused []string

	roots atomic.Int32 // the number of root types in Relos, 0 until asked: see rootSteps
}

// Program is one entry point with its section definition.
type Program struct {
	Name    string
	Section string // as in the file, with a leading '?'
	Sec     SecDef // what the section name says
	Entry   *Func
	Funcs   []*Func // Entry, then every subprogram that it reaches by calls or function pointers, each once
}

// Func is one BPF function: the entry of a program or a subprogram.
type Func struct {
	Name    string
	Section string
	Off     uint32 // bytes from the start of the section
	Static  bool   // a local symbol: the verifier follows calls of it, and looks at global functions on their own
	Insns   []Insn
	Calls   []Call   // bpf-to-bpf calls and function pointers, by instruction
	Helpers []Helper // calls of helpers by number, by instruction
	Kfuncs  []Ref    // calls of and references to externs, by instruction
	MapRefs []MapRef // references to maps, by instruction
	Relos   []*Relo  // CO-RE records on instructions of this function, in the order of the file
	Lines   []Line   // line info, ascending by instruction; may be empty
	// Hidden: the symbol is global but not visible outside the object. libbpf makes the FUNC of a subprogram a static one,
	// so that the verifier follows calls of it.
	Hidden bool
	// FuncInfo and LineInfo are the records of .BTF.ext from the first that is about this function to the last, as they are
	// stored: each begins with the byte in the section that it is about.
	FuncInfo, LineInfo []byte

	index int // in Object.Funcs
}

// Insn is one 8-byte instruction slot; an ldimm64 takes two.
type Insn struct {
	Code     uint8
	Dst, Src uint8
	Off      int16
	Imm      int32
}

// Call is a bpf-to-bpf call (or, with Ref, the address of a callback taken by ldimm64).
type Call struct {
	Insn int // index in Insns
	To   *Func
	Ref  bool
}

// Helper is a call of a helper by number.
type Helper struct {
	Insn int
	ID   int32 // value in enum bpf_func_id
}

// Ref is a use of an extern.
type Ref struct {
	Insn   int
	Extern *Extern
}

// MapRef is a use of a map: of the map itself, or with Value of a place in its value, as global variables are.
type MapRef struct {
	Insn  int
	Map   *Map
	Value bool
	Off   uint32 // with Value: bytes from the start of the value
}

// Line is one record of the line info in .BTF.ext.
type Line struct {
	Insn int // index of the first instruction that the line made
	File string
	Line int    // 1-based; 0 unknown
	Col  int    // 1-based; 0 unknown
	Text string // the source line, without surrounding white space
}

// Source returns the line that made the instruction at index insn: the last record at or before it. ok is false where
// there is no line info.
func (f *Func) Source(insn int) (l Line, ok bool) {
	i := sort.Search(len(f.Lines), func(i int) bool { return f.Lines[i].Insn > insn })
	if i == 0 {
		return Line{}, false
	}
	return f.Lines[i-1], true
}

// Map is a map definition, legacy or BTF-defined, or a data section that libbpf makes a map of.
type Map struct {
	Name       string // of a data section: the section's
	Section    string // "maps", ".maps", ".rodata.str" …
	Type       uint32 // value in enum bpf_map_type
	KeySize    uint32 // bytes
	ValueSize  uint32 // bytes
	MaxEntries uint32 // 0: set by the loader, or not needed
	Flags      uint32 // BPF_F_*, as the object asks for them
	Extra      uint64 // map_extra
	NumaNode   uint32
	KeyType    btfinfo.ID // of BTF-defined maps, where they name it
	ValueType  btfinfo.ID // likewise; of a struct_ops map the struct, of a data section its DATASEC
	Pinned     bool       // LIBBPF_PIN_BY_NAME
	Inner      *Map       // of map-in-map, where defined
	Data       bool       // a data section: .data, .rodata, .bss, .kconfig
	Content    []byte     // of .data and .rodata, and of a struct_ops map: the initial value
	Slots      []MapSlot  // elements that a map of maps or a prog array begins with, as "values" lists them
	StructOps  string     // name of the kernel struct of a struct_ops map: "tcp_congestion_ops", else ""
	Autoload   bool       // struct_ops: false for a leading '?' of the section
	Progs      []string   // struct_ops: the programs that fill members, in the order of members
	Members    []OpsMember
}

// OpsMember is a member of the struct of a struct_ops map, as the object defines it.
type OpsMember struct {
	Name    string
	Type    btfinfo.ID
	Program *Program // that fills it, nil where none does
	Zero    bool     // its initial value has no bit set, and no program fills it
}

// ExternKind tells what an extern stands for.
type ExternKind string

const (
	ExternKconfig ExternKind = "kconfig" // CONFIG_*, LINUX_KERNEL_VERSION, LINUX_HAS_*
	ExternKfunc   ExternKind = "kfunc"   // a FUNC in .ksyms
	ExternKsym    ExternKind = "ksym"    // a VAR in .ksyms: an address from kallsyms (void), or a typed per-CPU variable
)

// Extern is an undefined symbol that the loader resolves.
type Extern struct {
	Name  string
	Kind  ExternKind
	Weak  bool
	Type  btfinfo.ID // of the VAR's type or the FUNC's prototype in the object's BTF; 0 for an untyped ksym
	Typed bool       // ksym: has a type other than void
	Off   uint32     // kconfig: bytes from the start of the value of map .kconfig
}

// Relo is one CO-RE record of .BTF.ext with the instruction that it patches.
type Relo struct {
	Index   int // in Object.Relos
	Kind    ReloKind
	Type    btfinfo.ID // the root type in the object's BTF
	Access  string     // the access path as stored: "0:1:2"
	Section string     // ELF section of the instruction
	Off     uint32     // bytes of the instruction from the start of the section
	Func    *Func      // nil where the instruction belongs to no function (an overridden weak one): libbpf skips it
	Insn    int        // index in Func.Insns

	parsed atomic.Pointer[parsedSpec] // see (*Object).Spec
}

// ReloKind is enum bpf_core_relo_kind of include/uapi/linux/bpf.h.
type ReloKind uint32

const (
	FieldByteOffset ReloKind = iota // BPF_CORE_FIELD_BYTE_OFFSET
	FieldByteSize
	FieldExists
	FieldSigned
	FieldLShiftU64
	FieldRShiftU64
	TypeIDLocal
	TypeIDTarget
	TypeExists
	TypeSize
	EnumvalExists
	EnumvalValue
	TypeMatches
	numReloKinds
)

var reloKindNames = [...]string{
	"byte_off", "byte_sz", "field_exists", "signed", "lshift_u64", "rshift_u64", "local_type_id", "target_type_id",
	"type_exists", "type_size", "enumval_exists", "enumval_value", "type_matches",
}

// String is the name that libbpf's debug log uses (core_relo_kind_str).
func (k ReloKind) String() string {
	if k < numReloKinds {
		return reloKindNames[k]
	}
	return "unknown"
}

// IsField tells the kinds that walk an access path into a type.
func (k ReloKind) IsField() bool { return k <= FieldRShiftU64 }

// IsType tells the kinds that ask about a whole type.
func (k ReloKind) IsType() bool {
	return k >= TypeIDLocal && k <= TypeSize || k == TypeMatches
}

// IsEnumval tells the kinds that ask about an enumerator.
func (k ReloKind) IsEnumval() bool { return k == EnumvalExists || k == EnumvalValue }

// IsQuestion tells the kinds that have an answer, 0, where nothing matches.
func (k ReloKind) IsQuestion() bool {
	return k == FieldExists || k == TypeExists || k == EnumvalExists || k == TypeMatches
}
