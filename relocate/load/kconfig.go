package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"syscall"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// kconfigType is enum kcfg_type of libbpf v1.7: what sort of value an extern in .kconfig can hold.
type kconfigType uint8

const (
	kconfigUnknown kconfigType = iota
	kconfigChar
	kconfigBool
	kconfigInt
	kconfigTristate
	kconfigString
)

// kconfigKind tells the type of an extern: find_kcfg_type of libbpf v1.7.
func kconfigKind(b *btfinfo.BTF, id btfinfo.ID) (kind kconfigType, signed bool) {
	t := b.Skip(id)
	switch t.Kind() {
	case btfinfo.KindInt:
		if t.Int().Bool {
			if t.Size() == 1 {
				return kconfigBool, false
			}
			return kconfigUnknown, false
		}
		switch t.Size() {
		case 1:
			return kconfigChar, t.Int().Signed
		case 2, 4, 8:
			return kconfigInt, t.Int().Signed
		}
	case btfinfo.KindEnum, btfinfo.KindEnum64:
		if t.Name() == "libbpf_tristate" && (t.Kind() == btfinfo.KindEnum64 || t.Size() == 4) {
			return kconfigTristate, false
		}
	case btfinfo.KindArray:
		if t.Array().Nelems > 0 {
			if elem, _ := kconfigKind(b, t.Ref()); elem == kconfigChar {
				return kconfigString, false
			}
		}
	}
	return kconfigUnknown, false
}

// kconfigValue is one extern in the value of the map .kconfig.
type kconfigValue struct {
	name   string
	kind   kconfigType
	signed bool
	value  []byte // its bytes in the map
	order  binary.ByteOrder
	set    bool
}

// problem is why libbpf fails: its number and a clause.
type problem struct {
	errno syscall.Errno
	msg   string
}

func (p *problem) Error() string { return p.msg }

func problemf(errno syscall.Errno, format string, args ...any) error {
	return &problem{errno, fmt.Sprintf(format, args...)}
}

// setNumber is set_kcfg_value_num of libbpf v1.7.
func (v *kconfigValue) setNumber(n uint64) error {
	if v.kind != kconfigInt && v.kind != kconfigChar && v.kind != kconfigBool {
		return problemf(syscall.EINVAL, "%s is %d, the extern is no integer", v.name, n)
	}
	if v.kind == kconfigBool && n > 1 {
		return problemf(syscall.EINVAL, "%s is %d, the extern is a bool", v.name, n)
	}
	bits := 8 * uint(len(v.value))
	if bits < 64 && (v.signed && n+1<<(bits-1) >= 1<<bits || !v.signed && n>>bits != 0) {
		return problemf(syscall.ERANGE, "%s is %d, the extern has %d bytes", v.name, int64(n), len(v.value))
	}
	switch len(v.value) {
	case 1:
		v.value[0] = byte(n)
	case 2:
		v.order.PutUint16(v.value, uint16(n))
	case 4:
		v.order.PutUint32(v.value, uint32(n))
	case 8:
		v.order.PutUint64(v.value, n)
	}
	v.set = true
	return nil
}

// setTristate is set_kcfg_value_tri of libbpf v1.7: y, n or m.
func (v *kconfigValue) setTristate(c byte) error {
	switch v.kind {
	case kconfigBool:
		if c == 'm' {
			return problemf(syscall.EINVAL, "%s is m, the extern is a bool", v.name)
		}
		if c == 'y' {
			v.value[0] = 1
		}
	case kconfigTristate: // enum libbpf_tristate: TRI_NO, TRI_YES, TRI_MODULE
		n := uint32(strings.IndexByte("nym", c))
		if len(v.value) == 8 {
			v.order.PutUint64(v.value, uint64(n))
		} else {
			v.order.PutUint32(v.value, n)
		}
	case kconfigChar:
		v.value[0] = c
	default:
		return problemf(syscall.EINVAL, "%s is %c, the extern is neither bool, tristate nor char", v.name, c)
	}
	v.set = true
	return nil
}

// setString is set_kcfg_value_str of libbpf v1.7: text in quotes, cut to the extern's size.
func (v *kconfigValue) setString(s string) error {
	if v.kind != kconfigString {
		return problemf(syscall.EINVAL, "%s is %s, the extern is no array of char", v.name, s)
	}
	if len(s) < 2 || s[len(s)-1] != '"' {
		return problemf(syscall.EINVAL, "%s is %s, which lacks a quote", v.name, s)
	}
	clear(v.value)
	copy(v.value[:len(v.value)-1], s[1:len(s)-1])
	v.set = true
	return nil
}

// scanConfig gives externs the values that a kernel's configuration has: bpf_object__process_kconfig_line of libbpf v1.7, for
// all lines.
func scanConfig(config []byte, externs map[string]*kconfigValue) error {
	for len(config) > 0 {
		var line []byte
		line, config, _ = bytes.Cut(config, []byte{'\n'})
		if !bytes.HasPrefix(line, []byte("CONFIG_")) {
			continue
		}
		name, value, ok := bytes.Cut(line, []byte{'='})
		if !ok || len(value) == 0 {
			return problemf(syscall.EINVAL, "the line %q of the kernel's configuration has no value", line)
		}
		v := externs[string(name)]
		if v == nil || v.set {
			continue
		}
		var err error
		switch value[0] {
		case 'y', 'n', 'm':
			err = v.setTristate(value[0])
		case '"':
			err = v.setString(string(value))
		default:
			n, ok := strtoull(string(value))
			if !ok {
				return problemf(syscall.EINVAL, "%s is %s, which is no integer of 64 bits", name, value)
			}
			if v.kind == kconfigBool {
				return problemf(syscall.EINVAL, "%s is %d, the extern is no integer", name, n)
			}
			err = v.setNumber(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// strtoull reads a whole string as the C function of that name does: decimal, 0x… or 0…, where a minus wraps around.
func strtoull(s string) (n uint64, ok bool) {
	s = strings.TrimLeft(s, " \t\n\v\f\r")
	negative := strings.HasPrefix(s, "-")
	if negative || strings.HasPrefix(s, "+") {
		s = s[1:]
	}
	base := uint64(10)
	if len(s) > 2 && s[0] == '0' && (s[1] == 'x' || s[1] == 'X') {
		base, s = 16, s[2:]
	} else if len(s) > 1 && s[0] == '0' {
		base = 8
	}
	if s == "" {
		return 0, false
	}
	for i := range len(s) {
		var d uint64
		switch c := s[i]; {
		case '0' <= c && c <= '9':
			d = uint64(c - '0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			d = uint64(c|0x20-'a') + 10
		default:
			return 0, false
		}
		if d >= base || n > (1<<64-1-d)/base {
			return 0, false
		}
		n = n*base + d
	}
	if negative {
		n = -n
	}
	return n, true
}

// maxKconfig bounds the value of the map .kconfig, in bytes: an extern's size is the object's word.
const maxKconfig = 1 << 20

// kconfigValues returns the externs in .kconfig, and the value of the map that they are in.
func kconfigValues(o *relocate.Object) (all []*kconfigValue, value []byte, err error) {
	for _, m := range o.Maps {
		if m.Section == ".kconfig" {
			if m.ValueSize > maxKconfig {
				return nil, nil, problemf(syscall.E2BIG, "the externs in .kconfig have %d bytes, the limit is %d", m.ValueSize, maxKconfig)
			}
			value = make([]byte, m.ValueSize)
		}
	}
	for _, e := range o.Externs {
		if e.Kind != relocate.ExternKconfig {
			continue
		}
		size, _ := o.BTF.SizeOf(e.Type)
		if uint64(e.Off)+uint64(size) > uint64(len(value)) || size == 0 {
			return nil, nil, problemf(syscall.E2BIG, "extern %s has %d bytes", e.Name, size)
		}
		v := &kconfigValue{name: e.Name, value: value[e.Off : e.Off+size], order: o.ByteOrder}
		if v.kind, v.signed = kconfigKind(o.BTF, e.Type); v.kind == kconfigUnknown {
			return nil, nil, problemf(syscall.ENOTSUP, "extern %s is of a type that no value of a configuration has", e.Name)
		}
		all = append(all, v)
	}
	return all, value, nil
}
