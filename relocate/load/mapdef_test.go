package load

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/relocate"
)

func TestRingSize(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ n, page, want uint32 }{
		{4096, 4096, 4096}, {8192, 4096, 8192}, {12288, 4096, 16384}, {1, 4096, 4096}, {5000, 4096, 8192},
		{262144, 65536, 262144}, {4096, 65536, 65536}, {1 << 31, 4096, 1 << 31}, {1<<31 + 1, 4096, 1<<31 + 1}, {0, 4096, 0},
	} {
		if got := ringSize(test.n, test.page); got != test.want {
			t.Errorf("%d bytes in pages of %d: %d, want %d", test.n, test.page, got, test.want)
		}
	}
}

func TestInternalName(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ object, section, want string }{
		{"my_object_name", ".rodata", "my_objec.rodata"}, // the examples of libbpf's own comment
		{"my_object_name", ".bss", "my_objec.bss"},
		{"my_object_name", ".kconfig", "my_obje.kconfig"},
		{"my_object_name", ".rodata.abracadabra", ".rodata.abracad"},
		{"x", ".data", "x.data"},
		{"", ".data", ".data"},
		{"a-b c", ".data", "a_b_c.data"},
		{"x", ".rodata.str1.1", ".rodata.str1.1"},
	} {
		if got := internalName(test.object, test.section); got != test.want {
			t.Errorf("%q, %q: %q, want %q", test.object, test.section, got, test.want)
		}
	}
}

// TestMapSizes: what the object leaves to its loader gets a size, and a note says so.
func TestMapSizes(t *testing.T) {
	t.Parallel()
	const page = 4096
	for _, test := range []struct {
		name  string
		m     relocate.Map
		opt   Options
		value uint32
		max   uint32
		notes string
	}{
		{"whole", relocate.Map{Type: mapHash, KeySize: 4, ValueSize: 8, MaxEntries: 10}, Options{}, 8, 10, ""},
		{"elements", relocate.Map{Type: mapHash, KeySize: 4, ValueSize: 8}, Options{}, 8, 1024, "map m: max_entries is set by the loader; 1024 taken"},
		{"large elements", relocate.Map{Type: mapHash, KeySize: 4, ValueSize: 1 << 20}, Options{}, 1 << 20, 3, "map m: max_entries is set by the loader; 3 taken"},
		{"huge elements", relocate.Map{Type: mapHash, KeySize: 4, ValueSize: 1<<32 - 1}, Options{}, 1<<32 - 1, 1, "map m: max_entries is set by the loader; 1 taken"},
		{"elements by options", relocate.Map{Type: mapHash, KeySize: 4, ValueSize: 8, MaxEntries: 1}, Options{MapEntries: map[string]uint32{"m": 7}}, 8, 7, ""},
		{"value by options", relocate.Map{Type: mapHash, KeySize: 4, MaxEntries: 1}, Options{MapValueSizes: map[string]uint32{"m": 7}}, 7, 1, ""},
		{"value", relocate.Map{Type: mapHash, KeySize: 4, MaxEntries: 1}, Options{}, 256, 1, "map m: value_size is set by the loader; 256 bytes taken"},
		{"stacks", relocate.Map{Type: mapStackTrace, KeySize: 4, MaxEntries: 1}, Options{}, 1016, 1, "map m: value_size is set by the loader; 1016 bytes taken"},
		{"events", relocate.Map{Type: mapPerfEventArray, KeySize: 4, ValueSize: 4}, Options{}, 4, 3, ""},
		{"task storage", relocate.Map{Type: mapTaskStorage, KeySize: 4, ValueSize: 4}, Options{}, 4, 0, ""},
		{"ring", relocate.Map{Type: mapRingbuf}, Options{}, 0, 256 << 10, "map m: max_entries is set by the loader; 262144 bytes taken"},
		{"odd ring", relocate.Map{Type: mapRingbuf, MaxEntries: 1}, Options{}, 0, page, ""},
		{"arena", relocate.Map{Type: mapArena}, Options{}, 0, 100, "map m: max_entries is set by the loader; 100 taken"},
		{"sockets", relocate.Map{Type: mapSockmap, KeySize: 4, ValueSize: 4}, Options{}, 4, 1024, "map m: max_entries is set by the loader; 1024 taken"},
		{"pinned", relocate.Map{Type: mapHash, KeySize: 4, ValueSize: 8, MaxEntries: 1, Pinned: true}, Options{}, 8, 1, `map m: not pinned, "/sys/fs/bpf/m" is left alone`},
	} {
		test.m.Name = "m"
		k := fakeKernel(t, map[string]string{"sys/devices/system/cpu/possible": "0-2"})
		if k.pageSize() != page {
			continue // a ring has other sizes
		}
		p := &plan{o: &relocate.Object{}, k: k, opt: test.opt}
		m := p.planMap(&test.m)
		if m.valueSize != test.value || m.maxEntries != test.max || strings.Join(p.notes, "; ") != test.notes {
			t.Errorf("%s: value %d, %d entries, notes %q, want %d, %d, %q", test.name, m.valueSize, m.maxEntries, p.notes, test.value, test.max, test.notes)
		}
	}
}

// TestMaps looks at the maps of the fixtures; TestLikeLibbpf compares them with libbpf.
func TestMaps(t *testing.T) {
	t.Parallel()
	k := worldKernel(t)
	show := func(p *plan) string {
		var all []string
		for _, m := range p.maps {
			s := fmt.Sprintf("%s %q flags %#x types %v %v content %d", m.Name, m.kernel, m.flags, m.keyType != 0, m.valueType != 0, len(m.content))
			for _, slot := range m.Slots {
				if slot.Map != nil {
					s += fmt.Sprintf(" [%d]=map %s", slot.Index, slot.Map.Name)
				} else {
					s += fmt.Sprintf(" [%d]=program %s", slot.Index, slot.Program.Name)
				}
			}
			if m.freeze {
				s += " frozen"
			}
			if m.inner != nil {
				s += fmt.Sprintf(" of %d entries", m.inner.maxEntries)
			}
			all = append(all, s)
		}
		slices.Sort(all)
		return strings.Join(all, "\n")
	}
	for _, test := range []struct {
		object string
		lack   feature
		want   string
	}{
		{"calls", featMemcg, `events "events" flags 0x0 types false false content 0
inner_a "inner_a" flags 0x0 types true true content 0
inner_b "inner_b" flags 0x0 types true true content 0
outer "outer" flags 0x0 types false false content 0 [0]=map inner_a [2]=map inner_b of 4 entries
programs "programs" flags 0x0 types false false content 0 [1]=program called
ring "ring" flags 0x0 types false false content 0
sized "sized" flags 0x0 types true true content 0
stacks "stacks" flags 0x0 types false false content 0`},
		{"types", featMemcg, `.bss "types.bss" flags 0x400 types false true content 0
.data "types.data" flags 0x400 types false true content 40
.data.own ".data.own" flags 0x400 types false true content 4
.rodata "types.rodata" flags 0x480 types false true content 4 frozen
.rodata.own ".rodata.own" flags 0x480 types false true content 4 frozen
tagged "tagged" flags 0x0 types true true content 0`},
		{"types", featArrayMmap, `.bss "types.bss" flags 0x0 types false true content 0
.data "types.data" flags 0x0 types false true content 40
.data.own ".data.own" flags 0x0 types false true content 4
.rodata "types.rodata" flags 0x80 types false true content 4 frozen
.rodata.own ".rodata.own" flags 0x80 types false true content 4 frozen
tagged "tagged" flags 0x0 types true true content 0`},
	} {
		k.features = map[feature]bool{test.lack: false}
		p, err := prepare(openFixture(t, test.object), k, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := show(p); got != test.want {
			t.Errorf("%s:\n%s\nwant\n%s", test.object, got, test.want)
		}
	}
}
