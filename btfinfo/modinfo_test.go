package btfinfo

import (
	"bytes"
	"encoding/binary"
	"errors"
	"slices"
	"strings"
	"testing"
)

// moduleWith is a module whose .modinfo has this content.
func moduleWith(class byte, order binary.ByteOrder, info []byte) []byte {
	return testELF{class: class, order: order, machine: 62, sections: []testSection{
		{name: ".text", data: []byte{0x90}}, {name: ".modinfo", data: info}, {name: ".BTF", data: kernelBuilder().Bytes(order)}}}.build()
}

func TestModuleInfo(t *testing.T) {
	t.Parallel()
	text := []byte("license=GPL\x00alias=a\x00depends=jbd2,mbcache\x00alias=b=c\x00\x00=x\x00novalue\x00name=ext4\x00parm=é\x00")
	for _, class := range []byte{elfClass32, elfClass64} {
		for _, order := range []binary.ByteOrder{le, binary.BigEndian} {
			data := moduleWith(class, order, text)
			m, err := ReadModuleInfo(bytes.NewReader(data), int64(len(data)), "x.ko")
			if err != nil {
				t.Fatal(err)
			}
			if m.Arch != "x86_64" || m.Value("name") != "ext4" || m.Value("depends") != "jbd2,mbcache" || m.Value("nosuch") != "" ||
				!slices.Equal(m.Values("alias"), []string{"a", "b=c"}) || m.Values("novalue") != nil || m.Values("") != nil {
				t.Errorf("class %d: %+v", class, m)
			}
		}
	}
	ok := moduleWith(elfClass64, le, text)
	for name, tc := range map[string]struct {
		data []byte
		want string
	}{
		"empty":      {nil, "no ELF file: starts with"},
		"text":       {[]byte("text"), "no ELF file: starts with 74 65 78 74"},
		"cut":        {ok[:len(ok)-64], "section"},
		"header cut": {ok[:40], "the ELF header needs 64 bytes, have 40"},
		"no section": {testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{{name: ".text", data: []byte{0x90}}}}.build(), "no .modinfo among"},
		"too long":   {moduleWith(elfClass64, le, make([]byte, maxModinfo+1)), "the limit is 1048576"},
	} {
		m, err := ReadModuleInfo(bytes.NewReader(tc.data), int64(len(tc.data)), "x.ko")
		var e *Error
		if m != nil || !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "x.ko") || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %+v, %v, want an *Error with %q", name, m, err, tc.want)
		}
	}
}

func FuzzModuleInfo(f *testing.F) {
	f.Add(moduleWith(elfClass64, le, []byte("name=ext4\x00depends=a,b\x00")))
	f.Add(moduleWith(elfClass32, binary.BigEndian, []byte("name=x\x00alias=a\x00alias=b\x00")))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := ReadModuleInfo(bytes.NewReader(data), int64(len(data)), "in")
		if (m == nil) == (err == nil) {
			t.Fatalf("%v, %v", m, err)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || !strings.HasPrefix(e.File, "in") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%T %q, want one line of an *Error with the file's name", err, err)
			}
			return
		}
		for _, s := range m.values {
			if key, value, ok := strings.Cut(s, "="); !ok || key == "" || !slices.Contains(m.Values(key), value) {
				t.Fatalf("%q is no value of a key", s)
			}
		}
	})
}
