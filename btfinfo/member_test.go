package btfinfo_test

import (
	"encoding/binary"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

func TestMemberIs(t *testing.T) {
	base := btfbuild.New()
	id := base.Int("state", 4, 0) // a string of the base that members of the split BTF share
	split := btfbuild.NewSplit(base)
	s := split.Struct("s", 64, btfbuild.Member{Name: "state", Type: id}, btfbuild.Member{Type: id}, btfbuild.Member{Name: "__state", Type: id},
		btfbuild.Member{Name: "z", Type: id})
	parsedBase, err := btfinfo.Parse(base.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	b, err := btfinfo.ParseSplit(split.Bytes(binary.LittleEndian), parsedBase)
	if err != nil {
		t.Fatal(err)
	}
	typ := b.Type(btfinfo.ID(s))
	for i := range typ.Vlen() {
		name := typ.Member(i).Name
		for _, ask := range []string{"state", "stat", "states", "__state", "_", "z", "zz", "a long name that no member has"} {
			is, anonymous := typ.MemberIs(i, ask)
			if is != (name == ask) || anonymous != (name == "") {
				t.Errorf("member %d %q: MemberIs(%q) is %t, %t", i, name, ask, is, anonymous)
			}
		}
	}
}
