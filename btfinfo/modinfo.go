package btfinfo

import (
	"bytes"
	"io"
	"strings"
)

// ModuleInfo is what a kernel module says of itself: the "key=value" strings of its .modinfo, of which keys may be there
// several times.
type ModuleInfo struct {
	Arch   string // BTFHub's name, from its ELF header; "" where nothing tells
	values []string
}

// maxModinfo is the longest .modinfo that is read, in bytes. Its longest in Debian, of amdgpu, has 20 kB, of which most are the
// names of firmware.
const maxModinfo = 1 << 20

// ReadModuleInfo reads the .modinfo of a module's ELF file, which has size bytes and is not compressed. name stands for it in
// errors, which are *Error values. The section is as MODULE_INFO in include/linux/moduleparam.h of Linux v6.12 makes it.
func ReadModuleInfo(r io.ReaderAt, size int64, name string) (*ModuleInfo, error) {
	o := &opener{}
	m, err := o.moduleInfo(&input{r: r, size: size})
	if err != nil {
		_, err = o.done(name, nil, err)
		return nil, err
	}
	return m, nil
}

func (o *opener) moduleInfo(in *input) (*ModuleInfo, error) {
	head, err := in.readUpTo(0, 64)
	if err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head, []byte(elfMagic)) {
		return nil, formatErr(0, "no ELF file: starts with % x", head[:min(len(head), 4)])
	}
	o.step("ELF")
	f, err := elfHeader(in, head)
	if err != nil {
		return nil, err
	}
	if f.shoff == 0 {
		return nil, formatErr(0x28, "the file has no section headers")
	}
	if err := f.readSections(); err != nil {
		return nil, err
	}
	s, ok := f.find(".modinfo")
	if !ok {
		e := formatErr(-1, "no .modinfo among %d sections", f.shnum)
		e.Hint = "every module has one: is the file a kernel module?"
		return nil, e
	}
	b, err := f.data(s, maxModinfo)
	if err != nil {
		return nil, err
	}
	m := ParseModuleInfo(b)
	m.Arch = elfArch(f.machine, f.class, f.order)
	return m, nil
}

// ParseModuleInfo splits the content of a .modinfo.
func ParseModuleInfo(b []byte) *ModuleInfo {
	m := &ModuleInfo{}
	for s := range bytes.SplitSeq(b, []byte{0}) {
		if bytes.IndexByte(s, '=') > 0 {
			m.values = append(m.values, string(s))
		}
	}
	return m
}

// Values are those of a key, in their order.
func (m *ModuleInfo) Values(key string) []string {
	var all []string
	for _, s := range m.values {
		if k, v, _ := strings.Cut(s, "="); k == key {
			all = append(all, v)
		}
	}
	return all
}

// Value is the first value of a key, "" where there is none.
func (m *ModuleInfo) Value(key string) string {
	if all := m.Values(key); len(all) > 0 {
		return all[0]
	}
	return ""
}
