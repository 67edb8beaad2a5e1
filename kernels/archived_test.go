package kernels

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels/archive"
)

// A kernel says the same out of an archive as by itself, also where it is asked twice at once.
func TestArchivedAsLoose(t *testing.T) {
	t.Parallel()
	b := btfbuild.New()
	n := b.Int("int", 4, btfbuild.Signed)
	s := b.Struct("s", 4, btfbuild.Member{Name: "m", Type: n})
	b.Add(btfbuild.KindDeclTag, false, "on_a_member", 0, s, 0)
	b.Add(btfbuild.KindDeclTag, false, "on_itself", 0, s, ^uint32(0))
	b.Enum("", 4, btfbuild.Value{Name: "ALONE", Value: 1})
	inner := b.Enum("", 4, btfbuild.Value{Name: "INSIDE", Value: 1})
	b.Typedef("inside", b.Const(inner))
	vmlinux, err := btfinfo.Parse(b.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	split := btfbuild.NewSplit(b)
	split.Struct("own", 4)
	module, err := btfinfo.ParseSplit(split.Bytes(binary.LittleEndian), vmlinux)
	if err != nil {
		t.Fatal(err)
	}
	const id = "corecheck/test/x86_64/k"
	w := archive.NewWriter()
	if _, err := w.Add(&archive.Build{Kernel: archive.Kernel{ID: id, Distro: "corecheck", Release: "test", Arch: "x86_64", Uname: "k"}, BTF: vmlinux,
		Modules: []archive.Module{{Name: "mod", BTF: module}}, ModulesRead: true, AllModules: true}); err != nil {
		t.Fatal(err)
	}
	data, err := w.Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := archive.OpenBytes("test", data)
	if err != nil {
		t.Fatal(err)
	}
	packed := FromArchive(a, "test")[0]
	v := NewPool([]*Kernel{packed, New(id, Version{}, vmlinux, Module{"mod", module}), packed}).NewView()
	var answers []string
	for _, part := range v.Pool().Parts() {
		v.Classes(part, func() {
			var list []string
			for _, tag := range []string{"on_a_member", "on_itself", "none"} {
				list = append(list, fmt.Sprint(tag, " ", v.AnyTagged(tag)))
				v.BTF().OwnEssential("s", func(s btfinfo.Type) bool {
					list = append(list, fmt.Sprint(tag, " on s ", v.Tagged(s, tag)))
					return true
				})
			}
			for _, name := range []string{"ALONE", "INSIDE", "none"} {
				found := false
				v.EnumsWith(name, func(t btfinfo.Type) {
					for i := range t.Vlen() {
						found = found || t.Enumerator(i).Name == name
					}
				})
				list = append(list, fmt.Sprint("an enum with ", name, " ", found))
			}
			list = append(list, fmt.Sprint("modules ", v.Modules(), v.HasModules(), v.HasModule("mod"), v.HasModule("other")))
			answers = append(answers, fmt.Sprint(list))
		}, func(Set) {})
	}
	const want = "[on_a_member true on_a_member on s false on_itself true on_itself on s true none false none on s false " +
		"an enum with ALONE true an enum with INSIDE true an enum with none false modules [mod] true true false]"
	if !slices.Equal(answers, []string{want, want, want}) {
		t.Errorf("%q, want three times %q", answers, want)
	}
}
