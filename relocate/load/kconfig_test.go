package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

func TestKconfigKind(t *testing.T) {
	t.Parallel()
	b := btfbuild.New()
	char := b.Int("char", 1, 1)
	kinds := []struct {
		name   string
		id     btfbuild.ID
		want   kconfigType
		signed bool
	}{
		{"char", char, kconfigChar, true},
		{"unsigned char", b.Int("unsigned char", 1, 0), kconfigChar, false},
		{"_Bool", b.Int("_Bool", 1, 4), kconfigBool, false},
		{"wide bool", b.Int("wide bool", 4, 4), kconfigUnknown, false},
		{"int", b.Int("int", 4, 1), kconfigInt, true},
		{"typedef of const long", b.Typedef("u64", b.Const(b.Int("unsigned long", 8, 0))), kconfigInt, false},
		{"128 bits", b.Int("__int128", 16, 1), kconfigUnknown, false},
		{"tristate", b.Enum("libbpf_tristate", 4), kconfigTristate, false},
		{"another enum", b.Enum("tristate", 4), kconfigUnknown, false},
		{"small tristate", b.Enum("libbpf_tristate", 1), kconfigUnknown, false},
		{"enum64", b.Enum64("libbpf_tristate", 8, false), kconfigTristate, false},
		{"text", b.Array(char, char, 9), kconfigString, false},
		{"no text", b.Array(char, char, 0), kconfigUnknown, false},
		{"array of pointers", b.Array(b.Ptr(0), char, 2), kconfigUnknown, false},
		{"struct", b.Struct("s", 4), kconfigUnknown, false},
	}
	parsed, err := btfinfo.Parse(b.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		if got, signed := kconfigKind(parsed, btfinfo.ID(k.id)); got != k.want || signed != k.signed {
			t.Errorf("%s: kind %d, signed %v, want %d, %v", k.name, got, signed, k.want, k.signed)
		}
	}
}

func TestScanConfig(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		config string
		kind   kconfigType
		signed bool
		size   int
		want   string // the value's bytes in hex, or the error and its number
	}{
		{"CONFIG_X=y", kconfigBool, false, 1, "01"},
		{"CONFIG_X=n", kconfigBool, false, 1, "00"},
		{"CONFIG_X=m", kconfigBool, false, 1, "bool: invalid argument"},
		{"CONFIG_X=1", kconfigBool, false, 1, "no integer: invalid argument"},
		{"CONFIG_X=n", kconfigTristate, false, 4, "00000000"},
		{"CONFIG_X=y", kconfigTristate, false, 4, "01000000"},
		{"CONFIG_X=m", kconfigTristate, false, 4, "02000000"},
		{"CONFIG_X=m", kconfigTristate, false, 8, "0200000000000000"},
		{"CONFIG_X=3", kconfigTristate, false, 4, "no integer: invalid argument"},
		{"CONFIG_X=y", kconfigChar, true, 1, "79"},
		{"CONFIG_X=200", kconfigChar, false, 1, "c8"},
		{"CONFIG_X=200", kconfigChar, true, 1, "1 bytes: numerical result out of range"},
		{"CONFIG_X=y", kconfigInt, true, 4, "neither bool, tristate nor char: invalid argument"},
		{"CONFIG_X=250", kconfigInt, true, 4, "fa000000"},
		{"CONFIG_X=0x1000000", kconfigInt, false, 4, "00000001"},
		{"CONFIG_X=0x10000", kconfigInt, false, 2, "2 bytes: numerical result out of range"},
		{"CONFIG_X=32767", kconfigInt, true, 2, "ff7f"},
		{"CONFIG_X=32768", kconfigInt, true, 2, "2 bytes: numerical result out of range"},
		{"CONFIG_X=-2", kconfigInt, true, 2, "feff"},
		{"CONFIG_X=-2", kconfigInt, false, 8, "feffffffffffffff"},
		{"CONFIG_X=-32769", kconfigInt, true, 2, "2 bytes: numerical result out of range"},
		{"CONFIG_X=017", kconfigInt, false, 4, "0f000000"},
		{"CONFIG_X=08", kconfigInt, false, 4, "no integer of 64 bits: invalid argument"},
		{"CONFIG_X=0x", kconfigInt, false, 4, "no integer of 64 bits: invalid argument"},
		{"CONFIG_X=18446744073709551615", kconfigInt, false, 8, "ffffffffffffffff"},
		{"CONFIG_X=18446744073709551616", kconfigInt, false, 8, "no integer of 64 bits: invalid argument"},
		{"CONFIG_X=7x", kconfigInt, false, 4, "no integer of 64 bits: invalid argument"},
		{`CONFIG_X="abc"`, kconfigString, false, 8, "6162630000000000"},
		{`CONFIG_X="abcdef"`, kconfigString, false, 4, "61626300"},
		{`CONFIG_X=""`, kconfigString, false, 2, "0000"},
		{`CONFIG_X="`, kconfigString, false, 2, "lacks a quote: invalid argument"},
		{`CONFIG_X="abc"`, kconfigInt, false, 8, "no array of char: invalid argument"},
		{"CONFIG_X=5\nCONFIG_X=6", kconfigInt, false, 1, "05"},
		{"# CONFIG_X is not set", kconfigBool, false, 1, "not set"},
		{"CONFIG_XY=y\n\nnothing\n", kconfigBool, false, 1, "not set"},
		{"CONFIG_X=", kconfigBool, false, 1, "has no value: invalid argument"},
		{"CONFIG_Y", kconfigBool, false, 1, "has no value: invalid argument"},
	} {
		v := &kconfigValue{name: "CONFIG_X", kind: test.kind, signed: test.signed, value: make([]byte, test.size), order: binary.LittleEndian}
		err := scanConfig([]byte(test.config), map[string]*kconfigValue{"CONFIG_X": v})
		got := fmt.Sprintf("%x", v.value)
		if !v.set {
			got = "not set"
		}
		if err != nil {
			var p *problem
			if !errors.As(err, &p) {
				t.Fatalf("%q: %v is no problem", test.config, err)
			}
			got = fmt.Sprintf("%s: %v", p.msg, p.errno)
		}
		if got != test.want && (err == nil || !strings.HasSuffix(got, test.want)) {
			t.Errorf("%q, kind %d, %d bytes: %s, want %s", test.config, test.kind, test.size, got, test.want)
		}
	}
	if strings.TrimSpace(syscall.EINVAL.Error()) != "invalid argument" {
		t.Error("the texts above are those of another system")
	}
}

// FuzzScanConfig scans what is no configuration: no panic, and a value is set or left as it was.
func FuzzScanConfig(f *testing.F) {
	f.Add([]byte("CONFIG_X=y\nCONFIG_X=\"text\"\n# CONFIG_Y is not set\nCONFIG_Z=0x10"), uint8(kconfigInt), uint8(4))
	f.Add([]byte("CONFIG_X=-1"), uint8(kconfigInt), uint8(8))
	f.Add([]byte("CONFIG_X=\""), uint8(kconfigString), uint8(1))
	f.Add([]byte("CONFIG_X=m"), uint8(kconfigTristate), uint8(8))
	f.Fuzz(func(t *testing.T, config []byte, kind, size uint8) {
		k := kconfigType(kind % 6)
		n := map[kconfigType]int{kconfigChar: 1, kconfigBool: 1, kconfigInt: 1 << (size % 4), kconfigTristate: 4 << (size % 2)}[k]
		if k == kconfigString {
			n = max(1, int(size))
		}
		v := &kconfigValue{name: "CONFIG_X", kind: k, value: make([]byte, n), order: binary.LittleEndian}
		err := scanConfig(config, map[string]*kconfigValue{"CONFIG_X": v})
		if !v.set && strings.Trim(string(v.value), "\x00") != "" {
			t.Errorf("%q is not set and has the value %x, %v", config, v.value, err)
		}
		if k == kconfigString && v.value[n-1] != 0 {
			t.Errorf("%q: text without its end: %x", config, v.value)
		}
	})
}
