package btfinfo

import (
	"io"
	"strconv"
)

// DumpRaw writes one type per line, its members indented below it, as "bpftool btf dump" does:
//
//	[9] STRUCT 'list_head' size=16 vlen=2
//		'next' type_id=10 bits_offset=0
//
// Names are written as they are but for control characters, quotes and bytes beyond ASCII, which are escaped as in Go.
// The types of a base are not repeated for split BTF.
func DumpRaw(w io.Writer, b *BTF, opts DumpOptions) error {
	r := rawWriter{b: b, w: limitText(w, b)}
	err := eachSelected(b, opts.Names, func(t Type) error {
		r.typ(t)
		return r.err
	})
	if err != nil {
		return err
	}
	_, err = r.w.Write(r.out)
	return err
}

// eachSelected calls f for the named types, or for all own types where no name is given.
func eachSelected(b *BTF, names []string, f func(Type) error) error {
	if len(names) > 0 {
		ids, err := b.Select(names)
		if err != nil {
			return err
		}
		for _, id := range ids {
			if err := f(b.Type(id)); err != nil {
				return err
			}
		}
		return nil
	}
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		if err := f(b.Type(id)); err != nil {
			return err
		}
	}
	return nil
}

type rawWriter struct {
	b   *BTF
	w   io.Writer
	out []byte
	err error
}

func (r *rawWriter) str(s string) { r.out = append(r.out, s...) }

// field writes " key=value".
func (r *rawWriter) field(key string, v uint64) {
	r.out = append(r.out, ' ')
	r.out = append(r.out, key...)
	r.out = append(r.out, '=')
	r.out = strconv.AppendUint(r.out, v, 10)
}

// name writes a quoted name, "(anon)" for none.
func (r *rawWriter) name(s string) {
	if len(r.out) > 1<<16 {
		if r.err == nil {
			_, r.err = r.w.Write(r.out)
		}
		r.out = r.out[:0]
	}
	if s == "" {
		s = "(anon)"
	}
	r.str("'")
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c > '~' || c == '\'' || c == '\\' {
			q := strconv.AppendQuoteToASCII(nil, s)
			s = string(q[1 : len(q)-1])
			break
		}
	}
	r.str(s)
	r.str("'")
}

func (r *rawWriter) typ(t Type) {
	r.out = append(r.out, '[')
	r.out = strconv.AppendUint(r.out, uint64(t.ID()), 10)
	r.str("] ")
	r.str(t.Kind().String())
	r.str(" ")
	r.name(t.Name())
	ref := func(key string) { r.field(key, uint64(t.Ref())) }
	size := func() { r.field("size", uint64(t.Size())) }
	vlen := func() { r.field("vlen", uint64(t.Vlen())) }
	switch t.Kind() {
	case KindInt:
		i := t.Int()
		size()
		r.field("bits_offset", uint64(i.Off))
		r.field("nr_bits", uint64(i.Bits))
		r.str(" encoding=" + i.encoding())
	case KindPtr, KindTypedef, KindVolatile, KindConst, KindRestrict, KindTypeTag:
		ref("type_id")
	case KindArray:
		a := t.Array()
		ref("type_id")
		r.field("index_type_id", uint64(a.Index))
		r.field("nr_elems", uint64(a.Nelems))
	case KindStruct, KindUnion:
		size()
		vlen()
		for i, n := 0, t.Vlen(); i < n; i++ {
			m := t.Member(i)
			r.str("\n\t")
			r.name(m.Name)
			r.field("type_id", uint64(m.Type))
			r.field("bits_offset", uint64(m.Off))
			if m.Size != 0 {
				r.field("bitfield_size", uint64(m.Size))
			}
		}
	case KindEnum, KindEnum64:
		r.str(" encoding=" + enumEncoding(t))
		size()
		vlen()
		suffix := ""
		if t.Kind() == KindEnum64 {
			suffix = "ULL"
			if t.KindFlag() {
				suffix = "LL"
			}
		}
		for i, n := 0, t.Vlen(); i < n; i++ {
			e := t.Enumerator(i)
			r.str("\n\t")
			r.name(e.Name)
			r.str(" val=" + enumValue(t, e) + suffix)
		}
	case KindFwd:
		r.str(" fwd_kind=" + fwdKind(t))
	case KindFunc:
		ref("type_id")
		r.str(" linkage=" + linkageName(t))
	case KindFuncProto:
		ref("ret_type_id")
		vlen()
		for i, n := 0, t.Vlen(); i < n; i++ {
			p := t.Param(i)
			r.str("\n\t")
			r.name(p.Name)
			r.field("type_id", uint64(p.Type))
		}
	case KindVar:
		ref("type_id")
		r.str(", linkage=" + linkageName(t))
	case KindDatasec:
		size()
		vlen()
		for i, n := 0, t.Vlen(); i < n; i++ {
			v := t.Var(i)
			of := r.b.Type(v.Type)
			r.str("\n\ttype_id=" + strconv.FormatUint(uint64(v.Type), 10))
			r.field("offset", uint64(v.Off))
			r.field("size", uint64(v.Size))
			r.str(" (" + of.Kind().String() + " ")
			r.name(of.Name())
			r.str(")")
		}
	case KindFloat:
		size()
	case KindDeclTag:
		ref("type_id")
		r.str(" component_idx=" + strconv.Itoa(t.Component()))
	}
	r.str("\n")
}

// encoding is the name of the encoding of an INT, "(none)" where no bit is set.
func (i Int) encoding() string {
	s := ""
	for _, e := range []struct {
		on   bool
		name string
	}{{i.Signed, "SIGNED"}, {i.Char, "CHAR"}, {i.Bool, "BOOL"}} {
		if e.on {
			if s != "" {
				s += "|"
			}
			s += e.name
		}
	}
	if s == "" {
		return "(none)"
	}
	return s
}

func enumEncoding(t Type) string {
	if t.KindFlag() {
		return "SIGNED"
	}
	return "UNSIGNED"
}

// enumValue is the value as a decimal number with the sign that the enum has.
func enumValue(t Type, e Enumerator) string {
	if t.KindFlag() {
		return strconv.FormatInt(int64(e.Value), 10)
	}
	return strconv.FormatUint(e.Value, 10)
}

func fwdKind(t Type) string {
	if t.KindFlag() {
		return "union"
	}
	return "struct"
}

// linkageName is the linkage of a FUNC or VAR in words, or its number where there is no word.
func linkageName(t Type) string {
	switch l := t.Linkage(); l {
	case 0:
		return "static"
	case 1:
		return "global"
	case 2:
		return "extern"
	default:
		return strconv.FormatUint(uint64(l), 10)
	}
}
