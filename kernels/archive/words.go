package archive

import "github.com/corecheck/corecheck/btfinfo"

// naming is where the names and types go that a definition mentions, in the BTF that it is written into. Each reads what
// stands in the content.
type naming interface {
	name() uint32 // offset of the string
	ref() uint32  // id of the type
}

// words reads a type whose operator, and tags if it has any, were read, and adds it to w as it stands in BTF.
func (s *source) words(w []uint32, kind btfinfo.Kind, flag bool, name uint32, x naming) []uint32 {
	info := uint32(kind) << 24
	if flag {
		info |= 1 << 31
	}
	w = append(w, name, info, 0)
	switch kind {
	case btfinfo.KindFwd:
	case btfinfo.KindInt:
		w[2] = s.num32()
		n := s.num32()
		w = append(w, n&7<<24|n>>3&0xff<<16|n>>11&0xff)
	case btfinfo.KindFloat:
		w[2] = s.num32()
	case btfinfo.KindPtr, btfinfo.KindConst, btfinfo.KindVolatile, btfinfo.KindRestrict, btfinfo.KindTypedef:
		w[2] = x.ref()
	case btfinfo.KindTypeTag:
		w[0] = x.name()
		w[2] = x.ref()
	case btfinfo.KindArray:
		n := s.num32()
		elem := x.ref()
		w = append(w, elem, x.ref(), n)
	case btfinfo.KindStruct, btfinfo.KindUnion:
		w[2] = s.num32()
		n := s.vlen()
		w[1] |= uint32(n)
		off := uint32(0)
		for range n {
			member := x.name()
			var ok bool
			if off, ok = offsetOf(s.num(), off); !ok {
				s.bad = true
			}
			at := off
			if flag {
				at |= s.num32() << 24
			}
			w = append(w, member, x.ref(), at)
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		w[2] = s.num32()
		n := s.vlen()
		w[1] |= uint32(n)
		value := uint64(0)
		for range n {
			w = append(w, x.name())
			value += uint64(unzigzag(s.num()))
			w = append(w, uint32(value))
			if kind == btfinfo.KindEnum64 {
				w = append(w, uint32(value>>32))
			}
		}
	case btfinfo.KindFunc:
		w[1] |= s.num32() & 0xffff
		w[2] = x.ref()
	case btfinfo.KindVar:
		linkage := s.num32()
		w[2] = x.ref()
		w = append(w, linkage)
	case btfinfo.KindFuncProto:
		n := s.vlen()
		w[1] |= uint32(n)
		w[2] = x.ref()
		for range n {
			param := x.name()
			w = append(w, param, x.ref())
		}
	case btfinfo.KindDatasec:
		w[2] = s.num32()
		n := s.vlen()
		w[1] |= uint32(n)
		off := int64(0)
		for range n {
			v := x.ref()
			off += unzigzag(s.num())
			w = append(w, v, uint32(off), s.num32())
		}
	default:
		s.bad = true
	}
	return w
}
