package main

import (
	"encoding/binary"
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels/archive"
)

// fakeStruct adds the struct that "NAME:MEMBER,…" says to b, with members of the type of the id given.
func fakeStruct(b *btfbuild.Builder, text string, member btfbuild.ID) {
	name, list, _ := strings.Cut(text, ":")
	var members []btfbuild.Member
	for i, m := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' }) {
		members = append(members, btfbuild.Member{Name: m, Type: member, Off: uint32(64 * i)})
	}
	b.Struct(name, uint32(8*len(members)), members...)
}

// fakeBTF is the BTF of a kernel that has these structs and little else.
func fakeBTF(structs ...string) []byte {
	b := btfbuild.New()
	long := b.Kernelish(8)["long int"]
	for _, s := range structs {
		fakeStruct(b, s, long)
	}
	return b.Bytes(binary.LittleEndian)
}

// makeBTF is the command `mkbtf FILE STRUCT…` of the scripts: FILE becomes the BTF of a kernel with these structs, each of
// which is NAME:MEMBER,….
func makeBTF(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: mkbtf FILE STRUCT…")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), fakeBTF(args[1:]...), 0o666))
}

// makeArchive is the command `mkarchive FILE SPEC` of the scripts: FILE becomes an archive with the kernels that the file SPEC
// lists, line by line: "kernel ID VERSION", and below it what that kernel has, "struct NAME:MEMBER,…", "module NAME" with
// its structs, "package NAME VERSION", "nobtf REASON", "missing FACT REASON", "config LINE", "pahole VERSION", "source URI
// DIGEST DATE", "modules all".
func makeArchive(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: mkarchive FILE SPEC")
	}
	w := archive.NewWriter()
	for _, b := range fakeBuilds(ts.ReadFile(args[1])) {
		_, err := w.Add(b)
		ts.Check(err)
	}
	ts.Check(w.WriteFile(ts.MkAbs(args[0])))
}

// fakeKernel is a kernel of a spec while it is read.
type fakeKernel struct {
	build   *archive.Build
	vmlinux *btfbuild.Builder
	long    btfbuild.ID
	modules []*btfbuild.Builder
}

func (f *fakeKernel) finish() *archive.Build {
	if f.build.NoBTF != "" {
		return f.build
	}
	must := func(b *btfinfo.BTF, err error) *btfinfo.BTF {
		if err != nil {
			panic(err)
		}
		return b
	}
	f.build.BTF = must(btfinfo.Parse(f.vmlinux.Bytes(binary.LittleEndian)))
	for i, m := range f.modules {
		f.build.Modules[i].BTF = must(btfinfo.ParseSplit(m.Bytes(binary.LittleEndian), f.build.BTF))
	}
	return f.build
}

// fakeBuilds reads a spec of makeArchive.
func fakeBuilds(spec string) (builds []*archive.Build) {
	var all []*fakeKernel
	for line := range strings.Lines(spec) {
		word := strings.Fields(line)
		if len(word) == 0 {
			continue
		}
		rest := strings.Join(word[2:], " ")
		if word[0] == "kernel" {
			k := archive.Kernel{ID: word[1], Version: word[2], VersionFrom: "package"}
			for i, p := range strings.Split(word[1], "/") {
				*[]*string{&k.Distro, &k.Release, &k.Arch, &k.Uname}[i] = p
			}
			f := &fakeKernel{build: &archive.Build{Kernel: k}, vmlinux: btfbuild.New()}
			f.long = f.vmlinux.Kernelish(8)["long int"]
			all = append(all, f)
			continue
		}
		f := all[len(all)-1]
		k := &f.build.Kernel
		switch word[0] {
		case "struct":
			b := f.vmlinux
			if len(f.modules) > 0 {
				b = f.modules[len(f.modules)-1]
			}
			fakeStruct(b, word[1], f.long)
		case "module":
			f.build.Modules = append(f.build.Modules, archive.Module{Name: word[1]})
			f.modules = append(f.modules, btfbuild.NewSplit(f.vmlinux))
			f.build.ModulesRead = true
		case "modules":
			f.build.AllModules = true
		case "package":
			k.Package, k.PackageVersion = word[1], rest
		case "nobtf":
			k.NoBTF = strings.Join(word[1:], " ")
		case "missing":
			k.Missing = append(k.Missing, archive.Missing{Fact: word[1], Reason: rest})
		case "config":
			k.Config = append(k.Config, word[1])
		case "pahole":
			k.Pahole = word[1]
		case "source":
			k.Sources = append(k.Sources, archive.Source{URI: word[1], SHA256: word[2], Date: word[3]})
		default:
			panic(fmt.Sprintf("spec of an archive: %q", line))
		}
	}
	for _, f := range all {
		builds = append(builds, f.finish())
	}
	return builds
}

// flip is the command `flip OFFSET FROM TO` of the scripts: TO is FROM with the byte at OFFSET changed.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: flip OFFSET FROM TO")
	}
	var off int
	_, err := fmt.Sscan(args[0], &off)
	ts.Check(err)
	data := []byte(ts.ReadFile(args[1]))
	if off < 0 {
		off += len(data)
	}
	data[off] ^= 0x10
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), data, 0o666))
}
