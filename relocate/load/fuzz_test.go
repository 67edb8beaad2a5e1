package load

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// FuzzPrepare makes damaged objects ready for a kernel: no panic, and what comes out holds together.
func FuzzPrepare(f *testing.F) {
	files, err := filepath.Glob("testdata/*.o")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range append(files, "../../testdata/rules/struct_ops_missing.bpf.o", "../../testdata/rules/kfunc_missing.bpf.o", "../../testdata/rules/field_missing.bpf.o") {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, true)
		f.Add(b, false)
	}
	k := debianKernel(f, map[string]string{"boot/config-6.1.0-test": config, "proc/kallsyms": "ffffffff81000000 T vfs_read\n"})
	old := debianKernel(f, map[string]string{"boot/config-6.1.0-test": config, "proc/kallsyms": "ffffffff81000000 T vfs_read\n"})
	old.probe = func(f feature) bool { return f <= featBTFDatasec }
	f.Fuzz(func(t *testing.T, data []byte, isOld bool) {
		objs, err := relocate.Read(bytes.NewReader(data), int64(len(data)), "fuzz")
		if err != nil {
			return
		}
		k := k
		if isOld {
			k = old
		}
		for _, o := range objs {
			names := []string{}
			for _, p := range o.Programs {
				names = append(names, p.Name)
			}
			p, err := prepare(o, k, Options{Programs: names})
			if err != nil {
				if e := asError(err, ""); e.Stage == "" || e.Msg == "" {
					t.Errorf("an error that says nothing: %#v", err)
				}
				continue
			}
			if p.image != nil {
				p.image.sanitize(k.has)
				if b, err := btfinfo.Parse(p.image.bytes()); err != nil {
					t.Errorf("the BTF for the kernel: %v", err)
				} else if b.NumTypes() < o.BTF.NumTypes() {
					t.Errorf("%d types of %d are left", b.NumTypes(), o.BTF.NumTypes())
				}
			}
			for _, pp := range p.progs {
				total := 0
				for _, f := range pp.Funcs {
					total += len(f.Insns)
				}
				if len(pp.insns) < total {
					t.Errorf("program %s has %d instructions, its functions %d", pp.Name, len(pp.insns), total)
				}
				for _, f := range pp.fixups {
					if f.insn+1 >= len(pp.insns) || (f.m == nil) == (f.mod == nil) {
						t.Errorf("program %s: fixup %+v of %d instructions", pp.Name, f, len(pp.insns))
					}
				}
				_ = p.target(pp) // fails or not
			}
		}
	})
}
