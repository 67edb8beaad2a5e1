package compat

import (
	"testing"

	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/relocate"
)

func TestGuards(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ fixture, program, about, question, all string }{
		{"field_missing", "witness", "task_struct", "", ""},
		{"field_missing", "guarded", "task_struct", "bpf_core_field_exists(struct task_struct.state)", "bpf_core_field_exists(struct task_struct.state)"},
		{"field_missing", "guarded", "inode", "", "bpf_core_field_exists(struct task_struct.state)"},
		{"field_missing", "unrelated", "task_struct", "", "bpf_core_field_exists(struct inode.i_nlink)"},
		{"field_missing", "unrelated", "inode", "bpf_core_field_exists(struct inode.i_nlink)", "bpf_core_field_exists(struct inode.i_nlink)"},
		{"type_missing", "guarded", "hd_struct", "bpf_core_type_exists(struct hd_struct)", "bpf_core_type_exists(struct hd_struct)"},
		{"enumerator_missing", "guarded", "bpf_map_type", "bpf_core_enum_value_exists(enum bpf_map_type.BPF_MAP_TYPE_CGRP_STORAGE)",
			"bpf_core_enum_value_exists(enum bpf_map_type.BPF_MAP_TYPE_CGRP_STORAGE)"},
		// A question is about a type in any flavour.
		{"field_incompatible", "guarded", "inode", "bpf_core_field_exists(struct inode.i_state)", "bpf_core_field_exists(struct inode.i_state)"},
	} {
		o := openFixture(t, tt.fixture)
		g := findGuards(o)
		found := false
		for i, p := range o.Programs {
			if p.Name != tt.program {
				continue
			}
			found = true
			if g.index[p] != i {
				t.Errorf("%s: program %s is at %d, want %d", tt.fixture, p.Name, g.index[p], i)
			}
			if got := g.about(i, tt.about); got != tt.question {
				t.Errorf("%s: %s asks about %s: %q, want %q", tt.fixture, p.Name, tt.about, got, tt.question)
			}
			if got := g.all[i]; got != tt.all {
				t.Errorf("%s: %s asks %q, want %q", tt.fixture, p.Name, got, tt.all)
			}
		}
		if !found {
			t.Errorf("%s has no program %s", tt.fixture, tt.program)
		}
	}
}

// A question never makes what fails before the verifier sees the program look guarded, nor a missing target.
func TestGuardsDoNotHelp(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"anonymous_root", "relocation_invalid"} {
		rep := Check([]*relocate.Object{openFixture(t, name)}, embeddedKernels(t), Options{})
		n := 0
		for _, f := range rep.Findings {
			if f.Program == "guarded" {
				n++
				if f.Verdict != Break {
					t.Errorf("%s: %s is %s: %s", name, f.Code, f.Verdict, f.Message)
				}
			}
		}
		if n == 0 {
			t.Errorf("%s: nothing found in the guarded program", name)
		}
	}
}

// The verdict follows the kernel's own answer, not its version: a kernel that has the field under the same version fits.
func TestVerdictNotByVersion(t *testing.T) {
	t.Parallel()
	obj := openFixture(t, "field_missing")
	all := embeddedKernels(t)
	old, _, err := all[0].Load()
	if err != nil {
		t.Fatal(err)
	}
	last := all[len(all)-1]
	backport := kernels.New("corecheck/test/x86_64/backport", last.Version, old) // the newest version, the oldest BTF
	rep := Check([]*relocate.Object{obj}, []*kernels.Kernel{last, backport}, Options{})
	checkReport(t, rep)
	if got := on(rep, "CC001", "witness", "backport"); got != "" {
		t.Errorf("on the backport: %q, want nothing", got)
	}
	if got := on(rep, "CC001", "witness", last.Uname); got != "break" {
		t.Errorf("on %s: %q, want break", last.ID, got)
	}
}
