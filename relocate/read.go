package relocate

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
)

// Limits on what one object may hold. They are far above what kernels load and bound the memory that a lying file can
// make us take.
const (
	maxCode    = 8 << 20 // bytes of instructions: a million, the kernel's BPF_COMPLEXITY_LIMIT_INSNS
	maxExt     = 8 << 20 // bytes of .BTF.ext
	maxNamed   = 1 << 16 // functions, maps, members of maps, externs, each
	maxRefused = 100     // entries of Object.Refused; one tells as much as a thousand
	maxOps     = 1 << 20 // bytes of a struct_ops map; the largest of a kernel has less than 1000
	maxReached = 1 << 22 // calls and uses of maps and externs that all programs reach, added up
)

// Open reads the BPF objects in a file: the file itself where it is an object, else every object embedded in it. The
// kind of file is recognised by its contents.
//
// Errors are *btfinfo.Error values.
func Open(path string) ([]*Object, error) {
	fail := func(msg string, err error, hint string) ([]*Object, error) {
		var pe *os.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, &btfinfo.Error{File: path, Off: -1, Msg: msg, Err: err, Hint: hint}
	}
	// A pipe would block in open(2), so look before.
	st, err := os.Stat(path)
	switch {
	case err != nil:
		return fail("can't be opened", err, "check the path")
	case st.IsDir():
		return fail("is a directory, want a BPF object or a file that has one embedded", nil, "name a file in it")
	case !st.Mode().IsRegular():
		return fail("is no regular file, want a BPF object or a file that has one embedded", nil, "copy it to a file first")
	}
	f, err := os.Open(path)
	if err != nil {
		return fail("can't be opened", err, "check who may read it")
	}
	defer f.Close()
	return Read(f, st.Size(), path)
}

// Read reads the BPF objects in the first size bytes of r: see Open. name is what messages and Object.File call the
// input.
func Read(r io.ReaderAt, size int64, name string) ([]*Object, error) {
	objs, err := read(r, size, name)
	var e *btfinfo.Error
	if errors.As(err, &e) && e.Hint == "" {
		e.Hint = "the file is damaged or cut off: compile it again, or copy it anew"
	}
	return objs, err
}

func read(r io.ReaderAt, size int64, name string) ([]*Object, error) {
	if size <= 0 {
		return nil, &btfinfo.Error{File: name, Off: -1, Msg: "the file is empty",
			Hint: "compile the object again: a build that failed may leave an empty file"}
	}
	head := make([]byte, min(size, elfEhdrLen))
	if n, err := r.ReadAt(head, 0); n < len(head) {
		if err == io.EOF {
			return nil, &btfinfo.Error{File: name, Off: int64(n), Msg: "the file ends before its size"}
		}
		return nil, &btfinfo.Error{File: name, Off: 0, Msg: "reading failed", Err: err}
	}
	if !isBPFObject(head) {
		return carve(r, size, name)
	}
	o, err := readObject(r, 0, size, name)
	if err != nil {
		return nil, err
	}
	o.Name = objectName(name)
	return []*Object{o}, nil
}

// objectName makes the name of an object from its file's: "tools/biosnoop.bpf.o" is "biosnoop". libbpf cuts at the first
// '.' of the base name as well (bpf_object__new).
func objectName(file string) string {
	base, _, _ := strings.Cut(filepath.Base(file), ".")
	if base == "" {
		return filepath.Base(file)
	}
	return base
}

// objReader is an object while it is read.
type objReader struct {
	*elfFile
	o        *Object
	text     int                  // index of .text, 0 where there is none
	btfMaps  int                  // index of .maps
	legacy   int                  // index of maps
	code     map[int][]Insn       // decoded sections, by index
	funcs    map[int][]*Func      // of each section, by offset
	relocs   map[int][]elfReloc   // of each code section, by instruction
	maps     map[int][]*placedMap // of each section, by offset
	members  int                  // of map definitions
	externAt map[int]*Extern      // by symbol
	names    map[string]int       // first section of each name
}

// elfReloc is one record of a SHT_REL section over code.
type elfReloc struct {
	insn int // index in the section
	sym  int
}

// placedMap is a map with the place of its definition.
type placedMap struct {
	*Map
	off  uint64 // bytes into the section
	size uint64
	// valuesOff is where the member "values" of a BTF-defined map lies, in bytes from off; 0 where it has none.
	valuesOff uint64
}

// readObject reads the object of size bytes at off of r. It follows bpf_object_open of libbpf v1.7: collect sections and
// programs, BTF, externs, maps, relocations.
//
// What libbpf refuses to open although it can be read (legacy maps, static functions outside .text, relocations that
// it has no use for) goes to Object.Refused: other loaders take such objects.
func readObject(r io.ReaderAt, off, size int64, file string) (*Object, error) {
	sr := io.NewSectionReader(r, off, size)
	f, err := openELF(sr, size, file)
	if err != nil {
		return nil, err
	}
	if f.typ != etRel || f.machine != emBPF && f.machine != emNone {
		return nil, f.errorf("", 16, "ELF type %d for machine %d, want type %d for machine %d (BPF)", f.typ, f.machine, etRel, emBPF)
	}
	sum := sha256.New()
	if _, err := io.Copy(sum, io.NewSectionReader(sr, 0, size)); err != nil {
		return nil, &btfinfo.Error{File: file, Off: 0, Msg: "reading failed", Err: err}
	}
	d := &objReader{
		elfFile: f,
		o: &Object{
			File: file, Offset: off, Size: size, SHA256: hex.EncodeToString(sum.Sum(nil)), ByteOrder: f.order,
		},
		code:     map[int][]Insn{},
		funcs:    map[int][]*Func{},
		relocs:   map[int][]elfReloc{},
		maps:     map[int][]*placedMap{},
		externAt: map[int]*Extern{},
		names:    map[string]int{},
	}
	if err := f.loadSymbols(); err != nil {
		return nil, err
	}
	if f.symtab == 0 {
		e := f.errorf("", -1, "there is no symbol table")
		e.Hint = "the object was stripped: use llvm-strip -g, which keeps symbols, or the object as the compiler made it"
		return nil, e
	}
	steps := []func() error{
		d.readSections, d.readBTF, d.readDatasecs, d.readFuncs, d.readExterns, d.readMaps, d.readRelocs, d.useRelocs, d.reach,
		d.readStructOps, d.readSlots, d.readExt,
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return nil, err
		}
	}
	slices.Sort(d.o.Refused)
	d.o.Refused = slices.Compact(d.o.Refused)
	return d.o, nil
}

// refuse notes why libbpf does not open the object.
func (d *objReader) refuse(e *btfinfo.Error) {
	if len(d.o.Refused) == maxRefused {
		return
	}
	e.File = ""
	d.o.Refused = append(d.o.Refused, e.Error())
}

// isCode tells a section with instructions: bpf_object__elf_collect.
func (d *objReader) isCode(i int) bool {
	s := &d.secs[i]
	return s.typ == shtProgbits && s.flags&shfExecinstr != 0 && s.size > 0 && !isDWARF(s.name)
}

func (d *objReader) readSections() error {
	var code uint64
	for i := 1; i < len(d.secs); i++ {
		s := &d.secs[i]
		if _, ok := d.names[s.name]; !ok {
			d.names[s.name] = i
		}
		switch {
		case s.name == "license":
			b, err := d.data(i)
			if err != nil {
				return err
			}
			d.o.License, _, _ = strings.Cut(string(b), "\x00")
		case s.name == "version":
			b, err := d.data(i)
			if err != nil {
				return err
			}
			if len(b) == 4 {
				d.o.Version = d.order.Uint32(b)
			} else {
				d.refuse(d.errorf(s.name, -1, "%d bytes of kernel version, want 4", len(b)))
			}
		case s.name == "maps" && s.size > 0:
			d.legacy = i
			e := d.errorf(s.name, -1, "map definitions of the legacy kind: libbpf 1.0 and later refuses them")
			d.refuse(e)
		case s.name == ".maps":
			d.btfMaps = i
		case d.isCode(i):
			if s.name == ".text" {
				d.text = i
			}
			if s.size%8 != 0 {
				return d.errorf(s.name, int64(s.size), "%d bytes of instructions, want a multiple of 8", s.size)
			}
			if code += s.size; code > maxCode {
				return d.errorf(s.name, -1, "%d bytes of instructions, the limit is %d", code, maxCode)
			}
			b, err := d.data(i)
			if err != nil {
				return err
			}
			d.code[i] = d.decode(b)
		}
	}
	return nil
}

// decode reads instructions in the object's byte order: struct bpf_insn of include/uapi/linux/bpf.h. The two register
// nibbles are a bitfield, which compilers fill from the low bits up on little endian, from the high bits down on big
// endian.
func (d *objReader) decode(b []byte) []Insn {
	insns := make([]Insn, len(b)/8)
	big := d.order.String() == "BigEndian"
	for i := range insns {
		p := b[8*i : 8*i+8]
		dst, src := p[1]&0xf, p[1]>>4
		if big {
			dst, src = src, dst
		}
		insns[i] = Insn{Code: p[0], Dst: dst, Src: src, Off: int16(d.order.Uint16(p[2:])), Imm: int32(d.order.Uint32(p[4:]))}
	}
	return insns
}

func (d *objReader) readBTF() error {
	i := d.names[".BTF"]
	if i == 0 {
		return nil
	}
	if d.secs[i].typ != shtProgbits {
		return d.errorf(".BTF", -1, "the section has type %d, want %d (PROGBITS)", d.secs[i].typ, shtProgbits)
	}
	b, err := d.data(i)
	if err != nil {
		return err
	}
	d.o.RawBTF = b
	if d.o.BTF, err = btfinfo.Parse(b); err != nil {
		if e, ok := err.(*btfinfo.Error); ok {
			e.File, e.Section = d.file, ".BTF"
		}
		return err
	}
	if d.o.BTF.ByteOrder() != d.order {
		return d.errorf(".BTF", 0, "the BTF is %s, the object is %s", orderName(d.o.BTF.ByteOrder().String()), orderName(d.order.String()))
	}
	return nil
}

func orderName(s string) string {
	if s == "BigEndian" {
		return "big endian"
	}
	return "little endian"
}
