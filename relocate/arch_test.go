package relocate

import (
	"encoding/binary"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// An object is for one architecture only where all that tells one tells the same.
func TestArch(t *testing.T) {
	t.Parallel()
	b := btfbuild.New()
	long := b.Int("long", 8, btfbuild.Signed)
	regs := func(name string, members ...string) btfinfo.ID {
		var ms []btfbuild.Member
		for i, m := range members {
			ms = append(ms, btfbuild.Member{Name: m, Type: long, Off: uint32(64 * i)})
		}
		return btfinfo.ID(b.Struct(name, uint32(8*len(members)), ms...))
	}
	x86, arm, flavour := regs("pt_regs", "di", "orig_ax"), regs("user_pt_regs", "regs", "pstate"), regs("pt_regs___arm64", "orig_x0", "pstate")
	plain, other := regs("pt_regs___any", "ip"), regs("regs", "orig_ax")
	b.Func("takes_x86", b.FuncProto(long, btfbuild.Param{Name: "ctx", Type: b.Ptr(uint32(x86))}), 1)
	parsed, err := btfinfo.Parse(b.Bytes(binary.LittleEndian))
	if err != nil {
		t.Fatal(err)
	}
	kprobe := func(name, target string, autoload bool) *Program {
		return &Program{Name: name, Sec: SecDef{Hook: HookFunction, ProgType: "BPF_PROG_TYPE_KPROBE", Func: target, Autoload: autoload}}
	}
	reads := func(id btfinfo.ID) *Relo { return &Relo{Kind: FieldByteOffset, Type: id} }
	asks := func(id btfinfo.ID) *Relo { return &Relo{Kind: FieldExists, Type: id} }
	for what, tt := range map[string]struct {
		programs []*Program
		relos    []*Relo
		want     string
	}{
		"nothing":                       {},
		"registers":                     {relos: []*Relo{reads(x86)}, want: "x86_64"},
		"a flavour of them":             {relos: []*Relo{reads(flavour)}, want: "arm64"},
		"registers that any has":        {relos: []*Relo{reads(plain), reads(other)}},
		"registers of two":              {relos: []*Relo{reads(x86), reads(arm)}},
		"a question":                    {relos: []*Relo{asks(flavour)}},
		"a question about another":      {relos: []*Relo{reads(x86), asks(flavour)}, want: "x86_64"},
		"a context":                     {programs: []*Program{kprobe("takes_x86", "vfs_read", true)}, want: "x86_64"},
		"a system call":                 {programs: []*Program{kprobe("p", "__arm64_sys_openat", true)}, want: "arm64"},
		"system calls of two":           {programs: []*Program{kprobe("p", "__arm64_sys_openat", true), kprobe("q", "__x64_sys_openat", true)}},
		"a system call of the loader's": {programs: []*Program{kprobe("p", "__arm64_sys_openat", false), kprobe("q", "vfs_read", true)}},
		"a system call and registers":   {programs: []*Program{kprobe("takes_x86", "__x64_sys_openat", true)}, relos: []*Relo{reads(x86)}, want: "x86_64"},
		"another's registers":           {programs: []*Program{kprobe("p", "__x64_sys_openat", true)}, relos: []*Relo{reads(arm)}},
	} {
		o := &Object{BTF: parsed, Programs: tt.programs, Relos: tt.relos}
		if arch, because := o.Arch(); arch != tt.want || (because == "") != (arch == "") {
			t.Errorf("%s: %q because %q, want %q", what, arch, because, tt.want)
		}
	}
}
