package btfinfo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// JSONSchema is the first value of what DumpJSON writes. Fields are only ever added under one version.
const JSONSchema = "corecheck.btf/v1"

// JSONHeader is what a JSON dump says of the whole BTF. The types follow it as "types", one JSONType a line.
type JSONHeader struct {
	Schema      string `json:"schema"`
	ByteOrder   string `json:"byte_order"`   // "little" or "big"
	PointerSize uint32 `json:"pointer_size"` // bytes
	FirstID     ID     `json:"first_id"`     // ids below it are those of the base, which is not repeated
	NumTypes    int    `json:"num_types"`    // one more than the largest id
	Split       bool   `json:"split"`
}

// JSONType is one type of a JSON dump. Fields that the kind doesn't have are absent; those that it has are there even
// where they are 0, "" or empty. Id 0 is void.
type JSONType struct {
	ID   ID      `json:"id"`
	Kind string  `json:"kind"` // "STRUCT", as bpftool writes it
	Name *string `json:"name,omitempty"`

	Size *uint32 `json:"size,omitempty"` // bytes: INT, STRUCT, UNION, ENUM, ENUM64, FLOAT, DATASEC

	Bits       *Bits   `json:"bits,omitempty"`        // INT: width in bits
	BitsOffset *Bits   `json:"bits_offset,omitempty"` // INT: from the start of the storage
	Encoding   *string `json:"encoding,omitempty"`    // INT: "SIGNED", "CHAR", "BOOL" or "(none)"; ENUM, ENUM64: "SIGNED", "UNSIGNED"

	Type      *ID     `json:"type,omitempty"`       // what the type refers to; FUNC_PROTO: its result; ARRAY: its elements
	IndexType *ID     `json:"index_type,omitempty"` // ARRAY
	Elements  *uint32 `json:"elements,omitempty"`   // ARRAY

	Members     *[]JSONMember     `json:"members,omitempty"`     // STRUCT, UNION
	Enumerators *[]JSONEnumerator `json:"enumerators,omitempty"` // ENUM, ENUM64
	Params      *[]JSONParam      `json:"params,omitempty"`      // FUNC_PROTO
	Variables   *[]JSONVariable   `json:"variables,omitempty"`   // DATASEC

	FwdKind   *string `json:"fwd_kind,omitempty"`  // FWD: "struct", "union"
	Linkage   *string `json:"linkage,omitempty"`   // FUNC, VAR: "static", "global", "extern" or a number
	Component *int    `json:"component,omitempty"` // DECL_TAG: index of the member or parameter; -1: the type itself
	Attribute *bool   `json:"attribute,omitempty"` // DECL_TAG, TYPE_TAG: an attribute rather than a tag
}

// JSONMember is a member of a struct or union.
type JSONMember struct {
	Name         string `json:"name"`
	Type         ID     `json:"type"`
	BitsOffset   Bits   `json:"bits_offset"`             // from the start of the struct, of bitfields of either encoding
	BitfieldSize Bits   `json:"bitfield_size,omitempty"` // bits; absent: no bitfield
}

// JSONEnumerator is a value of an enum. Values are strings, for JSON readers lose 64-bit numbers.
type JSONEnumerator struct {
	Name  string `json:"name"`
	Value string `json:"value"` // decimal
}

// JSONParam is a parameter. A last one without name and type is "...".
type JSONParam struct {
	Name string `json:"name"`
	Type ID     `json:"type"`
}

// JSONVariable is a variable of a section, in bytes.
type JSONVariable struct {
	Type   ID     `json:"type"`
	Offset uint32 `json:"offset"`
	Size   uint32 `json:"size"`
}

// DumpJSON writes a JSON object: the fields of JSONHeader, then "types" with one JSONType on each line.
// Bytes of names that are no UTF-8 become U+FFFD.
func DumpJSON(w io.Writer, b *BTF, opts DumpOptions) error {
	h := JSONHeader{Schema: JSONSchema, ByteOrder: strings.TrimSuffix(orderName(b.order), " endian"),
		PointerSize: b.PointerSize(), FirstID: b.FirstID(), NumTypes: b.NumTypes(), Split: b.Base() != nil}
	head, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encoding the header: %w", err)
	}
	lw := limitText(w, b)
	var out bytes.Buffer
	out.Write(head[:len(head)-1])
	out.WriteString(`,"types":[`)
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	sep := "\n"
	err = eachSelected(b, opts.Names, func(t Type) error {
		out.WriteString(sep)
		sep = ","
		if nameBytes(t) > maxShown {
			return textErr()
		}
		if err := enc.Encode(jsonType(b, t)); err != nil {
			return fmt.Errorf("encoding type [%d]: %w", t.ID(), err)
		}
		if out.Len() < 1<<16 {
			return nil
		}
		_, err := out.WriteTo(lw)
		return err
	})
	if err != nil {
		return err
	}
	out.WriteString("]}\n")
	_, err = out.WriteTo(lw)
	return err
}

// nameBytes is the length of all names in a type's record.
func nameBytes(t Type) int {
	n := len(t.Name())
	for i, vlen := 0, t.Vlen(); i < vlen && n <= maxShown; i++ {
		switch t.Kind() {
		case KindStruct, KindUnion:
			n += len(t.Member(i).Name)
		case KindEnum, KindEnum64:
			n += len(t.Enumerator(i).Name)
		case KindFuncProto:
			n += len(t.Param(i).Name)
		}
	}
	return n
}

func jsonType(b *BTF, t Type) JSONType {
	j := JSONType{ID: t.ID(), Kind: t.Kind().String()}
	name := t.Name()
	size, ref, attr := t.Size(), t.Ref(), t.KindFlag()
	switch t.Kind() {
	case KindPtr, KindArray, KindVolatile, KindConst, KindRestrict, KindFuncProto:
	default:
		j.Name = &name
	}
	switch t.Kind() {
	case KindInt, KindStruct, KindUnion, KindEnum, KindEnum64, KindFloat, KindDatasec:
		j.Size = &size
	case KindFwd:
		s := fwdKind(t)
		j.FwdKind = &s
	default:
		j.Type = &ref
	}
	switch t.Kind() {
	case KindInt:
		i := t.Int()
		s := i.encoding()
		j.Bits, j.BitsOffset, j.Encoding = &i.Bits, &i.Off, &s
	case KindArray:
		a := t.Array()
		j.IndexType, j.Elements = &a.Index, &a.Nelems
	case KindStruct, KindUnion:
		list := make([]JSONMember, t.Vlen())
		for i := range list {
			m := t.Member(i)
			off, bits := b.MemberBits(m)
			list[i] = JSONMember{m.Name, m.Type, off, bits}
		}
		j.Members = &list
	case KindEnum, KindEnum64:
		list := make([]JSONEnumerator, t.Vlen())
		for i := range list {
			e := t.Enumerator(i)
			list[i] = JSONEnumerator{e.Name, enumValue(t, e)}
		}
		s := enumEncoding(t)
		j.Enumerators, j.Encoding = &list, &s
	case KindFuncProto:
		list := make([]JSONParam, t.Vlen())
		for i := range list {
			list[i] = JSONParam(t.Param(i))
		}
		j.Params = &list
	case KindDatasec:
		list := make([]JSONVariable, t.Vlen())
		for i := range list {
			v := t.Var(i)
			list[i] = JSONVariable{v.Type, v.Off, v.Size}
		}
		j.Variables = &list
	case KindFunc, KindVar:
		s := linkageName(t)
		j.Linkage = &s
	case KindDeclTag:
		c := t.Component()
		j.Component, j.Attribute = &c, &attr
	case KindTypeTag:
		j.Attribute = &attr
	}
	return j
}
