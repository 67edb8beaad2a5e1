package source

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
)

const uname61 = "6.1.0-50-cloud-amd64"

// readOne reads packages from memory and joins them to one build.
func readOne(t testing.TB, opt *Options, packages ...[]byte) *archive.Build {
	t.Helper()
	builds, err := readPackages(opt, packages...)
	if err != nil {
		t.Fatal(err)
	}
	if len(builds) != 1 {
		t.Fatalf("%d builds, want 1", len(builds))
	}
	return builds[0]
}

func readPackages(opt *Options, packages ...[]byte) ([]*archive.Build, error) {
	var parts []*Part
	for i, data := range packages {
		part, err := ReadPackage(context.Background(), archive.Source{URI: fmt.Sprintf("package%d", i)}, bytes.NewReader(data), opt)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return Join(parts, opt)
}

func moduleNames(b *archive.Build) []string {
	var names []string
	for _, m := range b.Modules {
		names = append(names, m.Name)
	}
	return names
}

// facts lists what is missing: "modules: package … was not given".
func facts(b *archive.Build) []string {
	var list []string
	for _, m := range b.Missing {
		list = append(list, m.Fact+": "+m.Reason)
	}
	return list
}

func checkStrings(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestDeb(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	for _, compression := range []string{"", "gz", "xz", "zst"} {
		for _, unlisted := range []bool{false, true} {
			for _, order := range []string{"as Debian", "modules first"} {
				t.Run(fmt.Sprintf("%s/%v/%s", compression, unlisted, order), func(t *testing.T) {
					t.Parallel()
					d := wholeDeb(f, "6.1.176-1")
					d.compression, d.unlisted = compression, unlisted
					if order != "as Debian" {
						slices.Reverse(d.files)
					}
					b := readOne(t, nil, d.build())
					want := archive.Kernel{
						ID: "debian/12/x86_64/" + uname61, Distro: "debian", Release: "12", Arch: "x86_64", Uname: uname61,
						Version: "6.1.176", VersionFrom: "package", Package: "linux-image-" + uname61, PackageVersion: "6.1.176-1",
						Sources: []archive.Source{{URI: "package0", Date: "2026-07-02"}},
						Pahole:  "1.24", Compiler: "gcc-12 (Debian 12.2.0-14) 12.2.0",
						Config: []string{
							`CONFIG_CC_VERSION_TEXT="gcc-12 (Debian 12.2.0-14) 12.2.0"`, "CONFIG_DEBUG_INFO_BTF=y",
							"CONFIG_DEBUG_INFO_BTF_MODULES=y", "CONFIG_MODULES=y", "CONFIG_PAHOLE_VERSION=124",
						},
					}
					if !reflect.DeepEqual(b.Kernel, want) {
						t.Errorf("got  %+v\nwant %+v", b.Kernel, want)
					}
					if len(b.BTF.Named("task_struct", btfinfo.KindStruct)) != 1 {
						t.Error("no task_struct in the kernel's BTF")
					}
					checkStrings(t, "modules", moduleNames(b), "ext4", "nf_tables")
					if !b.ModulesRead {
						t.Error("ModulesRead is false")
					}
					if m := b.Modules[0].BTF; len(m.Named("ext4_private", btfinfo.KindStruct)) != 1 || len(m.Named("task_struct", btfinfo.KindStruct)) != 1 {
						t.Error("ext4 lacks a struct of its own or of the kernel")
					}
				})
			}
		}
	}
}

// Once everything that is wanted is out the package is not read further, be it damaged there.
func TestStops(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	noise := make([]byte, 3<<20)
	rand.NewChaCha8([32]byte{}).Read(noise)
	for _, tt := range []struct {
		modules  string
		unlisted bool
		stops    bool
	}{
		{"none", false, true}, {"none", true, true},
		{"ext4", false, true}, {"ext4,no_such_module", false, true}, {"ext4", true, false},
		{"all", false, true}, {"all", true, false},
	} {
		t.Run(fmt.Sprintf("%s/%v", tt.modules, tt.unlisted), func(t *testing.T) {
			t.Parallel()
			for kind, build := range map[string]func() []byte{
				"deb": func() []byte {
					d := wholeDeb(f, "6.1.176-1")
					d.unlisted = tt.unlisted
					d.files = append(d.files, packed{path: "usr/share/doc/x", data: noise})
					return d.build()
				},
				"rpm": func() []byte {
					r := wholeRPM(f)
					r.files = append(r.files, packed{path: "usr/share/doc/x", data: noise})
					return r.build()
				},
			} {
				if kind == "rpm" && tt.unlisted {
					continue // the list is in the header, which no package lacks
				}
				data := build()
				cut := data[:len(data)-1<<19]
				part, err := ReadPackage(context.Background(), archive.Source{URI: "p"}, bytes.NewReader(cut), &Options{Modules: mustModules(t, tt.modules)})
				if (err == nil) != tt.stops {
					t.Errorf("%s: a package without its end gave %v", kind, err)
				}
				if err == nil && part.Read > int64(len(data)/2) {
					t.Errorf("%s: %d of %d bytes were read", kind, part.Read, len(data))
				}
			}
		})
	}
}

// Real BTF, in an image and in a module that continues it, comes out as it went in.
func TestEmbeddedKernels(t *testing.T) {
	t.Parallel()
	for _, k := range embeddedBTF(t, 3) {
		want, err := btfinfo.Parse(k.raw)
		if err != nil {
			t.Fatal(err)
		}
		f := newFake(k.Uname, "6.1.176-1")
		strLen := binary.LittleEndian.Uint32(k.raw[20:])
		split := btfbuild.NewSplitAt(btfbuild.ID(want.NumTypes()), strLen)
		split.Struct("ext4_private", 8, btfbuild.Member{Name: "task", Type: 1})
		d := wholeDeb(f, "6.1.176-1")
		d.files[2].data = compress("xz", elfFile(f.order, f.machine, section{".rodata", []byte(f.banner)}, section{".BTF", k.raw}))
		d.files[3].data = compress("xz", elfFile(f.order, f.machine, section{".modinfo", []byte("name=ext4\x00vermagic=" + k.Uname + " SMP\x00")}, section{".BTF", split.Bytes(f.order)}))
		d.files = d.files[:4]
		b := readOne(t, nil, d.build())
		if b.BTF.NumTypes() != want.NumTypes() {
			t.Errorf("%s: %d types, want %d", k.ID, b.BTF.NumTypes(), want.NumTypes())
		}
		if b.Uname != k.Uname || len(b.Modules) != 1 || b.Modules[0].BTF.NumTypes() != want.NumTypes()+1 {
			t.Errorf("%s: got %s with modules %v", k.ID, b.ID, moduleNames(b))
		}
	}
}

func TestModulesWanted(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	deb := wholeDeb(f, "6.1.176-1").build()
	for _, tt := range []struct {
		modules string
		want    []string
		read    bool
		missing []string
	}{
		{"all", []string{"ext4", "nf_tables"}, true, nil},
		{"nf-tables", []string{"nf_tables"}, true, []string{"modules: only some were asked for: 1 of 3"}},
		{"nosuch", nil, true, []string{"modules: only some were asked for: 0 of 3"}},
		{"none", nil, false, []string{"modules: they were not asked for"}},
	} {
		b := readOne(t, &Options{Modules: mustModules(t, tt.modules)}, deb)
		checkStrings(t, tt.modules+": modules", moduleNames(b), tt.want...)
		checkStrings(t, tt.modules+": missing", facts(b), tt.missing...)
		if b.ModulesRead != tt.read {
			t.Errorf("%s: ModulesRead is %v", tt.modules, b.ModulesRead)
		}
	}
}

func TestParseModules(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ in, out string }{
		{"", "all"}, {"all", "all"}, {"none", "none"}, {" xfs , nf-tables,xfs", "nf_tables,xfs"}, {"3c59x", "3c59x"},
		{",", ""}, {"ext4,", ""}, {"all,ext4", ""}, {"ext4,none", ""}, {"a/b", ""}, {"../x", ""}, {"*", ""}, {strings.Repeat("x", 57), ""},
	} {
		f, err := ParseModules(tt.in)
		if (err != nil) != (tt.out == "") || err == nil && f.String() != tt.out {
			t.Errorf("ParseModules(%q) = %q, %v; want %q", tt.in, f, err, tt.out)
		}
		if err != nil {
			continue
		}
		if again := mustModules(t, f.String()); !reflect.DeepEqual(again, f) {
			t.Errorf("%q is read as %v, then as %v", tt.in, f, again)
		}
	}
	if f := mustModules(t, "nf-tables"); !f.Wants("nf_tables") || !f.Wants("nf-tables") || f.Wants("nf") {
		t.Error("nf-tables does not take nf_tables, or takes nf")
	}
}

// splitDebs are the packages that Debian makes of a kernel since 6.19.
func splitDebs(f *fake, version string) (image, modules, base debSpec) {
	dir := "usr/lib/modules/" + f.uname + "/"
	image = debSpec{name: "linux-binary-" + f.uname, version: version, arch: f.arch, compression: "xz", files: []packed{{path: dir + "vmlinuz", data: f.vmlinuz()}}}
	modules = debSpec{name: "linux-modules-" + f.uname, version: version, arch: f.arch, compression: "xz", files: []packed{
		{path: dir + "kernel/fs/ext4/ext4.ko.xz", data: compress("xz", f.module("ext4"))},
		{path: dir + "kernel/lib/crc7.ko.xz", data: compress("xz", f.module("CRC7"))},
	}}
	base = debSpec{name: "linux-base-" + f.uname, version: version, arch: f.arch, compression: "xz", files: []packed{{path: dir + "config", data: f.conf()}}}
	return image, modules, base
}

func TestSplitPackages(t *testing.T) {
	t.Parallel()
	const uname, version = "7.2.12+deb13-cloud-amd64", "7.2.12-1~bpo13+1"
	f := newFake(uname, version)
	image, modules, base := splitDebs(f, version)
	meta := debSpec{name: "linux-image-" + uname, version: version, arch: "amd64", compression: "xz", files: []packed{{path: "usr/share/doc/x", data: []byte("x")}}}
	older := modules
	older.version = "7.2.12-1~bpo13+0"
	for _, tt := range []struct {
		name    string
		debs    []debSpec
		opt     Options
		missing []string
		modules []string
		err     string
	}{
		{name: "all", debs: []debSpec{image, modules, base}, modules: []string{"ext4"}},
		{name: "other order", debs: []debSpec{modules, base, meta, image}, modules: []string{"ext4"}},
		{name: "no modules", debs: []debSpec{image, base}, missing: []string{"modules: package linux-modules-" + uname + " was not given"}},
		{name: "no configuration", debs: []debSpec{image, modules}, modules: []string{"ext4"}, missing: []string{"config: package linux-base-" + uname + " was not given"}},
		{name: "image alone, in a repository", debs: []debSpec{image}, opt: Options{NotGiven: "is not in the repository any more"}, missing: []string{
			"config: package linux-base-" + uname + " is not in the repository any more", "modules: package linux-modules-" + uname + " is not in the repository any more"}},
		{name: "no image", debs: []debSpec{modules, base}, err: "package0: has modules, whose BTF continues that of their kernel, but no image of " + uname + " was given"},
		{name: "configuration alone", debs: []debSpec{base}, err: "package0: has a configuration, but no image of " + uname + " was given"},
		{name: "modules of another version", debs: []debSpec{image, base, older}, err: "package2: has modules, whose BTF continues that of their kernel, but no image of " + uname + " was given"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var data [][]byte
			for _, d := range tt.debs {
				data = append(data, d.build())
			}
			builds, err := readPackages(&tt.opt, data...)
			if tt.err != "" {
				if err == nil || err.Error() != tt.err {
					t.Errorf("got error %v\nwant %s", err, tt.err)
				}
				return
			}
			if err != nil || len(builds) != 1 {
				t.Fatal(len(builds), err)
			}
			b := builds[0]
			if b.ID != "debian/13/x86_64/"+uname || b.Version != "7.2.12" || b.Package != "linux-binary-"+uname {
				t.Errorf("got %s, version %s, package %s", b.ID, b.Version, b.Package)
			}
			checkStrings(t, "missing", facts(b), tt.missing...)
			checkStrings(t, "modules", moduleNames(b), tt.modules...)
			if b.ModulesRead != (tt.modules != nil) {
				t.Errorf("ModulesRead is %v", b.ModulesRead)
			}
		})
	}
}

// A package with debug information has a vmlinux, and is second to the package that is installed.
func TestDebugPackage(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	debug := debSpec{name: "linux-image-" + uname61 + "-dbg", version: "6.1.176-1", arch: "amd64", compression: "xz", files: []packed{
		{path: "usr/lib/debug/boot/vmlinux-" + uname61, data: f.vmlinux()},
		{path: "usr/lib/debug/lib/modules/" + uname61 + "/kernel/fs/ext4/ext4.ko", data: []byte("debug information")},
	}}
	b := readOne(t, nil, debug.build())
	checkStrings(t, "missing", facts(b), "config: package linux-image-"+uname61+" was not given", "modules: package linux-image-"+uname61+" was not given")
	b = readOne(t, nil, debug.build(), wholeDeb(f, "6.1.176-1").build())
	if b.Package != "linux-image-"+uname61 || len(b.Missing) != 0 || len(b.Sources) != 2 {
		t.Errorf("got %+v", b.Kernel)
	}
}

// Ubuntu's packages: the modules and the configuration in one, more modules in another.
func TestUbuntu(t *testing.T) {
	t.Parallel()
	const uname = "5.15.0-91-generic"
	f := newFake(uname, "")
	f.banner = "Linux version " + uname + " (buildd@lcy02) (gcc (Ubuntu 11.4.0) 11.4.0, GNU ld 2.38) #101-Ubuntu SMP Tue Nov 14 2023 (Ubuntu 5.15.0-91.101-generic 5.15.131)\n\x00"
	whole := wholeDeb(f, "5.15.0-91.101")
	part := func(name string, files ...packed) []byte {
		return debSpec{name: name + uname, version: "5.15.0-91.101", arch: "amd64", maintainer: "Ubuntu Kernel Team <kernel-team@lists.ubuntu.com>", compression: "zst", files: files}.build()
	}
	image := part("linux-image-unsigned-", whole.files[2])
	modules := part("linux-modules-", whole.files[1], whole.files[3])
	extra := part("linux-modules-extra-", whole.files[4:]...)
	for _, tt := range []struct {
		packages [][]byte
		modules  []string
		missing  []string
	}{
		{[][]byte{image, modules, extra}, []string{"ext4", "nf_tables"}, nil},
		{[][]byte{image, modules}, []string{"ext4"}, []string{"modules: package linux-modules-extra-" + uname + " was not given"}},
		{[][]byte{image}, nil, []string{"config: package linux-modules-" + uname + " was not given", "modules: package linux-modules-" + uname + " was not given"}},
	} {
		b := readOne(t, nil, tt.packages...)
		if b.ID != "ubuntu/22.04/x86_64/"+uname || b.Version != "5.15.131" || b.VersionFrom != "banner" || b.ModulesRead != (tt.missing == nil) {
			t.Errorf("got %+v", b.Kernel)
		}
		checkStrings(t, "modules", moduleNames(b), tt.modules...)
		checkStrings(t, "missing", facts(b), tt.missing...)
	}
}

func TestNoBTF(t *testing.T) {
	t.Parallel()
	f := newFake("6.1.0-50-s390x", "6.1.176-1")
	f.noBTF = true
	d := wholeDeb(f, "6.1.176-1")
	b := readOne(t, nil, d.build())
	if b.BTF != nil || b.NoBTF != "its image has no BTF (CONFIG_DEBUG_INFO_BTF=n)" {
		t.Errorf("BTF is %v, NoBTF %q", b.BTF, b.NoBTF)
	}
	if b.ID != "debian/12/x86_64/6.1.0-50-s390x" || len(b.Modules) != 0 || len(b.Missing) != 0 {
		t.Errorf("got %s with modules %v, missing %v", b.ID, b.Modules, b.Missing)
	}
	d.files = slices.DeleteFunc(d.files, func(p packed) bool { return strings.HasPrefix(p.path, "boot/config") })
	if b = readOne(t, nil, d.build()); b.NoBTF != "its image has no BTF" {
		t.Errorf("without configuration NoBTF is %q", b.NoBTF)
	}
}

// Modules may have no BTF though their kernel has: Debian's 5.10 is so.
func TestModulesWithoutBTF(t *testing.T) {
	t.Parallel()
	f := newFake("5.10.0-46-amd64", "5.10.262-1")
	d := wholeDeb(f, "5.10.262-1")
	d.files = slices.DeleteFunc(d.files, func(p packed) bool { return strings.Contains(p.path, ".ko") && !strings.Contains(p.path, "crc7") })
	b := readOne(t, nil, d.build())
	checkStrings(t, "missing", facts(b), "modules: none of the 1 modules has BTF (CONFIG_DEBUG_INFO_BTF_MODULES=y)")
	if !b.ModulesRead || b.ID != "debian/11/x86_64/5.10.0-46-amd64" {
		t.Errorf("ModulesRead is %v, ID %s", b.ModulesRead, b.ID)
	}
}

func TestBigEndian(t *testing.T) {
	t.Parallel()
	f := newFake("6.12.107+deb13-s390x", "6.12.107-1")
	f.order, f.arch, f.machine = binary.BigEndian, "s390x", 22
	d := wholeDeb(f, "6.12.107-1")
	d.files[2].data = f.vmlinux()
	b := readOne(t, nil, d.build())
	if b.ID != "debian/13/s390x/6.12.107+deb13-s390x" {
		t.Error(b.ID)
	}
	checkStrings(t, "modules", moduleNames(b), "ext4", "nf_tables")
}

func TestRPM(t *testing.T) {
	t.Parallel()
	const uname = "6.8.5-301.fc40.x86_64"
	f := newFake(uname, "")
	f.banner = "Linux version " + uname + " (mockbuild@example.org) (gcc 14, ld 2.41) #1 SMP PREEMPT_DYNAMIC Thu Apr 11 2024\n\x00"
	for _, compression := range []string{"", "gz", "xz", "zst"} {
		for _, short := range []bool{false, true} {
			r := wholeRPM(f)
			r.compression, r.short = compression, short
			b := readOne(t, nil, r.build())
			if b.ID != "fedora/40/x86_64/"+uname || b.Version != "6.8.5" || b.Package != "kernel-core" || b.PackageVersion != "6.8.5-301.fc40" {
				t.Errorf("%s %v: got %+v", compression, short, b.Kernel)
			}
			checkStrings(t, "modules", moduleNames(b), "ext4", "nf_tables")
			checkStrings(t, "missing", facts(b), "modules: package kernel-modules 6.8.5-301.fc40 was not given")
			if b.Pahole != "1.24" || b.Sources[0].Date != "2026-07-02" {
				t.Errorf("pahole %q, date %q", b.Pahole, b.Sources[0].Date)
			}
		}
	}
	// An image that shares its content with a file behind it: cpio has the content with the last.
	for _, short := range []bool{false, true} {
		r := wholeRPM(f)
		r.short = short
		image := r.files[2]
		r.files[2] = packed{path: image.path, kind: tar.TypeLink}
		r.files = append(r.files, packed{path: "usr/share/vmlinuz", kind: tar.TypeLink, data: image.data})
		if b := readOne(t, nil, r.build()); b.BTF == nil {
			t.Errorf("short %v: no BTF of an image with two names", short)
		}
	}
}

func TestRPMSplit(t *testing.T) {
	t.Parallel()
	const uname = "6.8.5-301.fc40.x86_64"
	f := newFake(uname, "")
	whole := wholeRPM(f)
	core, modules, rest := whole, whole, whole
	core.files, modules.files, rest.files = whole.files[:3], whole.files[3:4], whole.files[4:]
	modules.name, rest.name = "kernel-modules-core", "kernel-modules"
	modules.ghosts, rest.ghosts = nil, nil
	b := readOne(t, nil, rest.build(), core.build(), modules.build())
	checkStrings(t, "modules", moduleNames(b), "ext4", "nf_tables")
	checkStrings(t, "missing", facts(b))
	if !b.ModulesRead {
		t.Error("ModulesRead is false")
	}
	b = readOne(t, nil, core.build())
	checkStrings(t, "missing", facts(b), "modules: package kernel-modules-core 6.8.5-301.fc40 was not given")
}

func TestOrigin(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ kind, vendor, version, uname, want string }{
		{"deb", "Debian Kernel Team <debian-kernel@lists.debian.org>", "6.1.176-1", "6.1.0-50-amd64", "debian/12"},
		{"deb", "Debian Kernel Team <debian-kernel@lists.debian.org>", "6.1.180-1~deb11u1", "6.1.0-0.deb11.51-amd64", "debian/11"},
		{"deb", "Debian Kernel Team <debian-kernel@lists.debian.org>", "7.2.12-1~bpo13+1", "7.2.12+deb13-amd64", "debian/13"},
		{"deb", "Debian Kernel Team <debian-kernel@lists.debian.org>", "7.3~rc7-1~exp1", "7.3-amd64", "debian/experimental"},
		{"deb", "Debian Kernel Team <debian-kernel@lists.debian.org>", "7.3.4-1", "7.3.4+deb14-amd64", "debian/14"},
		{"deb", "Debian Kernel Team <debian-kernel@lists.debian.org>", "6.5.1-1", "6.5.0-1-amd64", "debian/"},
		{"deb", "Ubuntu Kernel Team <kernel-team@lists.ubuntu.com>", "5.15.0-91.101", "5.15.0-91-generic", "ubuntu/22.04"},
		{"deb", "Ubuntu Kernel Team <kernel-team@lists.ubuntu.com>", "6.8.0-40.40~22.04.3", "6.8.0-40-generic", "ubuntu/22.04"},
		{"deb", "somebody <me@example.org>", "6.8.1-2", "6.8.1-mine", "/"},
		{"rpm", "Fedora Project", "6.8.5-301.fc40", "6.8.5-301.fc40.x86_64", "fedora/40"},
		{"rpm", "Red Hat, Inc.", "5.14.0-427.13.1.el9_4", "5.14.0-427.13.1.el9_4.x86_64", "rhel/9"},
		{"rpm", "AlmaLinux", "4.18.0-553.el8_10", "4.18.0-553.el8_10.x86_64", "almalinux/8"},
		{"rpm", "Rocky Enterprise Software Foundation", "5.14.0-427.el9", "5.14.0-427.el9.x86_64", "rocky/9"},
		{"rpm", "Oracle America", "5.15.0-200.131.27.el9uek", "5.15.0-200.131.27.el9uek.x86_64", "ol/9"},
		{"rpm", "CentOS", "4.18.0-147.5.1.el8_1", "4.18.0-147.5.1.el8_1.x86_64", "centos/8"},
		{"rpm", "Amazon Linux", "6.1.79-99.164.amzn2023", "6.1.79-99.164.amzn2023.x86_64", "amzn/2023"},
		{"rpm", "http://openeuler.org", "5.10.0-60.18.0.50.oe2203", "5.10.0-60.18.0.50.oe2203.x86_64", "openeuler/22.03"},
		{"rpm", "SUSE LLC <https://www.suse.com/>", "5.14.21-150500.55.19.1", "5.14.21-150500.55.19-default", "sles/15.5"},
		{"rpm", "openSUSE", "5.14.21-150500.55.19.1", "5.14.21-150500.55.19-default", "opensuse-leap/15.5"},
		{"rpm", "", "4.18.0-1.el8", "4.18.0-1.el8.x86_64", "/"},
	} {
		p := &piece{uname: tt.uname, info: &packageInfo{kind: tt.kind, vendor: tt.vendor, version: tt.version}}
		v, _ := versionOf(p)
		distro, release := originOf(p, v)
		if got := distro + "/" + release; got != tt.want {
			t.Errorf("%s %s %s: got %s, want %s", tt.vendor, tt.version, tt.uname, got, tt.want)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ kind, vendor, version, banner, uname, want string }{
		{"deb", "x@lists.debian.org", "7.3~rc7-1~exp1", "", "7.3-rc7+deb14-amd64", "7.3-rc7 package"},
		{"deb", "kernel-team@lists.ubuntu.com", "5.15.0-91.101", "Linux version 5.15.0-91-generic (b@h) (gcc) #101-Ubuntu SMP (Ubuntu 5.15.0-91.101-generic 5.15.131)", "5.15.0-91-generic", "5.15.131 banner"},
		{"deb", "kernel-team@lists.ubuntu.com", "5.15.0-91.101", "Linux version 5.15.0-91-generic (b@h) (gcc) #101-Ubuntu SMP", "5.15.0-91-generic", "5.15 uname"},
		{"rpm", "Fedora Project", "6.8.5-301.fc40", "", "6.8.5-301.fc40.x86_64", "6.8.5 package"},
		{"rpm", "Red Hat, Inc.", "5.14.0-427.el9", "Linux version 5.14.0-427.el9.x86_64 (b@h) (gcc) #1 SMP", "5.14.0-427.el9.x86_64", "5.14 uname"},
		{"", "", "", "", "6.8.1-mine", "6.8.1 uname"},
	} {
		p := &piece{uname: tt.uname}
		if tt.kind != "" {
			p.info = &packageInfo{kind: tt.kind, vendor: tt.vendor, version: tt.version}
		}
		if tt.banner != "" {
			p.image = &btfinfo.File{Banner: btfinfo.ParseBanner(tt.banner)}
		}
		v, from := versionOf(p)
		if got := v.String() + " " + string(from); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.version, got, tt.want)
		}
	}
}

func TestPlaces(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path   string
		role   role
		uname  string
		module string
	}{
		{"./boot/vmlinuz-6.1.0-50-amd64", roleImage, "6.1.0-50-amd64", ""},
		{"./usr/lib/modules/7.3.4+deb13-cloud-amd64/vmlinuz.unsigned", roleImage, "7.3.4+deb13-cloud-amd64", ""},
		{"./boot/vmlinuz-6.1.0-50-amd64.unsigned", roleImage, "6.1.0-50-amd64", ""},
		{"boot/vmlinux-6.1.0-50-powerpc64le", roleImage, "6.1.0-50-powerpc64le", ""},
		{"/boot/vmlinux-5.14.21-default.xz", roleImage, "5.14.21-default", ""},
		{"boot/Image-5.14.21-default", roleImage, "5.14.21-default", ""},
		{"boot/config-6.1.0-50-amd64", roleConfig, "6.1.0-50-amd64", ""},
		{"boot/System.map-6.1.0-50-amd64", roleNone, "", ""},
		{"boot/vmlinuz", roleNone, "", ""},
		{"boot/dtb/vmlinuz-6.1", roleNone, "", ""},
		{"usr/lib/modules/6.8.5/vmlinuz", roleImage, "6.8.5", ""},
		{"lib/modules/6.8.5/config", roleConfig, "6.8.5", ""},
		{"lib/modules/6.8.5/.vmlinuz.hmac", roleNone, "", ""},
		{"lib/modules/6.8.5/build/vmlinux", roleNone, "", ""},
		{"lib/modules/6.8.5/kernel/net/nf-tables.ko.xz", roleModule, "6.8.5", "nf_tables"},
		{"lib/modules/6.8.5/kernel/net/x.ko.debug", roleNone, "", ""},
		{"usr/lib/debug/boot/vmlinux-6.1.0-50-amd64", roleImage, "6.1.0-50-amd64", ""},
		{"usr/lib/debug/lib/modules/6.8.5/vmlinux", roleImage, "6.8.5", ""},
		{"usr/lib/debug/lib/modules/6.8.5/kernel/x.ko", roleNone, "", ""},
		{"lib/modules/6.8.5", roleNone, "", ""},
		{"lib/modules", roleNone, "", ""},
		{"", roleNone, "", ""},
	} {
		p, ok := placeOf(tt.path)
		if !ok || p.role != tt.role || p.uname != tt.uname || p.module != tt.module {
			t.Errorf("%s: got %+v, %v", tt.path, p, ok)
		}
	}
	if p, ok := placeOf("boot/vmlinuz-6.1\x1b[31m"); !ok || p.role != roleNone {
		t.Errorf("a name with signs for a terminal is %+v, %v", p, ok)
	}
	for _, path := range []string{"../x", "boot/../../x", "lib/modules/.."} {
		if _, ok := placeOf(path); ok {
			t.Errorf("%s is said to stay in the package", path)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	c, err := parseConfig([]byte("#\n# Automatically generated file; DO NOT EDIT.\n# Linux/s390 6.12.107 Kernel Configuration\n#\nCONFIG_DEBUG_INFO_BTF=y\n# CONFIG_DEBUG_INFO_SPLIT is not set\nCONFIG_PAHOLE_VERSION=0\nCONFIG_EXT4_FS=m\nCONFIG_CC_VERSION_TEXT=\"clang\"\n"))
	if err != nil {
		t.Fatal(err)
	}
	checkStrings(t, "lines", c.lines, `CONFIG_CC_VERSION_TEXT="clang"`, "CONFIG_DEBUG_INFO_BTF=y", "CONFIG_DEBUG_INFO_SPLIT=n", "CONFIG_PAHOLE_VERSION=0")
	if c.pahole != "" || c.compiler != "clang" || c.version != "6.12.107" {
		t.Errorf("pahole %q, compiler %q, version %q", c.pahole, c.compiler, c.version)
	}
	for _, bad := range []string{"", "CONFIG_X=y\n", "# a comment\nCONFIG_X=y\n", strings.Repeat("#\n", 100)} {
		if _, err := parseConfig([]byte(bad)); err == nil {
			t.Errorf("%q is taken for a configuration", bad)
		}
	}
}

// The caller gives up: what comes is its own error, and soon.
func TestCancel(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	data := wholeDeb(f, "6.1.176-1").build()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := ReadPackage(ctx, archive.Source{URI: "p"}, bytes.NewReader(data), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	path := filepath.Join(t.TempDir(), "x.deb")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	err := Read(ctx, []string{path}, nil, func(*archive.Build) error { t.Error("a build after the caller gave up"); return nil })
	if err == nil {
		t.Error("no error")
	}
}

// A stream that fails gives its error.
func TestBrokenStream(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	data := wholeDeb(f, "6.1.176-1").build()
	broken := errors.New("connection reset")
	for _, n := range []int{0, 4, 100, len(data) / 2} {
		r := io.MultiReader(bytes.NewReader(data[:n]), failing{broken})
		if _, err := ReadPackage(context.Background(), archive.Source{URI: "p"}, r, nil); !errors.Is(err, broken) {
			t.Errorf("after %d bytes: got %v", n, err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func readPaths(t *testing.T, opt *Options, paths ...string) (builds []*archive.Build, err error) {
	t.Helper()
	err = Read(context.Background(), paths, opt, func(b *archive.Build) error {
		builds = append(builds, b)
		return nil
	})
	return builds, err
}

func write(t testing.TB, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadFiles(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	g := newFake("7.2.12+deb13-amd64", "7.2.12-1")
	image, modules, base := splitDebs(g, "7.2.12-1")
	dir := t.TempDir()
	lib := "lib/modules/" + uname61 + "/"
	write(t, dir, "root/boot/vmlinuz-"+uname61, f.vmlinuz())
	write(t, dir, "root/boot/config-"+uname61, f.conf())
	write(t, dir, "root/boot/System.map-"+uname61, []byte("text"))
	write(t, dir, "root/"+lib+"kernel/fs/ext4.ko.xz", compress("xz", f.module("ext4")))
	write(t, dir, "root/"+lib+"kernel/fs/crc7.ko", f.module("CRC7"))
	write(t, dir, "root/"+lib+"modules.dep", []byte("text"))
	write(t, dir, "debs/a.deb", image.build())
	write(t, dir, "debs/b", modules.build()) // known by its content
	write(t, dir, "debs/c.deb", base.build())
	write(t, dir, "hub/centos/8/aarch64/4.18.0-147.el8.aarch64.btf.tar.xz", compress("xz", tarFile(packed{path: "4.18.0-147.el8.aarch64.btf", data: f.btf()})))
	write(t, dir, "hub/android/common-android12-5.10/a12-5.10-2021-09-arm64.btf", f.btf())
	write(t, dir, "hub/android/common-android12-5.10/a12-5.10-2021-09-arm64.btf.xz", []byte("compressed, and not read"))
	write(t, dir, "many/ubuntu/18.04/x86_64/5.4.0-42-generic.btf", f.btf())
	write(t, dir, "many/ubuntu/20.04/arm64/5.4.0-42-generic.btf", f.btf())
	write(t, dir, "many/ubuntu/20.04/x86_64/5.4.0-42-generic.btf", f.btf())
	write(t, dir, "mine.btf", f.btf())
	write(t, dir, "loose/vmlinuz", f.vmlinuz())
	write(t, dir, "loose/.config", f.conf())
	write(t, dir, "loose/drivers/ext4.ko", f.module("ext4"))
	if err := os.Symlink("vmlinuz", filepath.Join(dir, "loose/bzImage")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		paths   []string
		opt     Options
		ids     []string
		modules []string // of the first
		missing []string // of the first
	}{
		{"an unpacked package", []string{"root"}, Options{}, []string{"debian/12/x86_64/" + uname61}, []string{"ext4"}, nil},
		{"image and modules", []string{"root/boot/vmlinuz-" + uname61, "root/lib/modules/" + uname61}, Options{}, []string{"debian/12/x86_64/" + uname61}, []string{"ext4"}, []string{"config: no configuration was given"}},
		{"boot alone", []string{"root/boot"}, Options{}, []string{"debian/12/x86_64/" + uname61}, nil, []string{"modules: no folder of modules was given"}},
		{"image and one module", []string{"root/boot/vmlinuz-" + uname61, "root/" + lib + "kernel/fs/ext4.ko.xz"}, Options{}, []string{"debian/12/x86_64/" + uname61}, []string{"ext4"}, []string{"config: no configuration was given"}},
		{"a folder of packages", []string{"debs"}, Options{}, []string{"debian/13/x86_64/7.2.12+deb13-amd64"}, []string{"ext4"}, nil},
		{"a file named twice", []string{"debs/a.deb", "debs"}, Options{}, []string{"debian/13/x86_64/7.2.12+deb13-amd64"}, []string{"ext4"}, nil},
		{"BTFHub", []string{"hub"}, Options{}, []string{"android/common-android12-5.10/arm64/a12-5.10-2021-09-arm64", "centos/8/arm64/4.18.0-147.el8.aarch64"}, nil, []string{
			"config: the source is the kernel's own BTF alone", "modules: the source is the kernel's own BTF alone"}},
		{"one uname in several releases", []string{"many"}, Options{}, []string{"ubuntu/18.04/x86_64/5.4.0-42-generic", "ubuntu/20.04/arm64/5.4.0-42-generic", "ubuntu/20.04/x86_64/5.4.0-42-generic"}, nil, []string{
			"config: the source is the kernel's own BTF alone", "modules: the source is the kernel's own BTF alone"}},
		{"a tarball", []string{"hub/centos/8/aarch64/4.18.0-147.el8.aarch64.btf.tar.xz"}, Options{}, []string{"centos/8/arm64/4.18.0-147.el8.aarch64"}, nil, []string{
			"config: the source is the kernel's own BTF alone", "modules: the source is the kernel's own BTF alone"}},
		{"raw BTF with an ID", []string{"mine.btf"}, Options{ID: "mine/1/amd64/6.9.3-mine"}, []string{"mine/1/x86_64/6.9.3-mine"}, nil, []string{
			"config: the source is the kernel's own BTF alone", "modules: the source is the kernel's own BTF alone"}},
		{"a build tree", []string{"loose"}, Options{}, []string{"debian/12/x86_64/" + uname61}, []string{"ext4"}, nil},
		{"several at once", []string{"root", "debs", "hub"}, Options{}, []string{"debian/12/x86_64/" + uname61, "debian/13/x86_64/7.2.12+deb13-amd64",
			"android/common-android12-5.10/arm64/a12-5.10-2021-09-arm64", "centos/8/arm64/4.18.0-147.el8.aarch64"}, []string{"ext4"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var paths []string
			for _, p := range tt.paths {
				paths = append(paths, filepath.Join(dir, p))
			}
			builds, err := readPaths(t, &tt.opt, paths...)
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, b := range builds {
				ids = append(ids, b.ID)
				for _, s := range b.Sources {
					if strings.Contains(s.URI, "/") {
						t.Errorf("source %q has folders", s.URI)
					}
				}
			}
			checkStrings(t, "IDs", ids, tt.ids...)
			checkStrings(t, "modules", moduleNames(builds[0]), tt.modules...)
			checkStrings(t, "missing", facts(builds[0]), tt.missing...)
		})
	}
}

func TestReadErrors(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	dir := t.TempDir()
	good := write(t, dir, "good.deb", wholeDeb(f, "6.1.176-1").build())
	other := newFake("6.1.0-51-amd64", "6.1.177-1")
	twice := write(t, dir, "twice.btf", f.btf())
	files := map[string]string{
		"missing":    filepath.Join(dir, "nothing"),
		"empty":      write(t, dir, "empty", nil),
		"text":       write(t, dir, "text", []byte("hello")),
		"broken":     write(t, dir, "broken.deb", wholeDeb(f, "6.1.176-1").build()[:1500]),
		"docs":       write(t, dir, "docs.deb", debSpec{name: "doc", version: "1", arch: "all", files: []packed{{path: "usr/share/doc/x", data: []byte("x")}}}.build()),
		"folder":     filepath.Dir(write(t, dir, "f/readme", []byte("text"))),
		"modules":    filepath.Dir(write(t, dir, "m/ext4.ko", other.module("ext4"))),
		"module btf": write(t, dir, "ext4.raw", func() []byte { b := btfbuild.NewSplit(f.base); b.Fwd("x", false); return b.Bytes(f.order) }()),
		"static":     write(t, dir, "lib.a", arFile("x.o", []byte("object"))),
	}
	for name, path := range files {
		builds, err := readPaths(t, nil, path, good)
		var list kernels.FileErrors
		if !errors.As(err, &list) || len(list) != 1 {
			t.Errorf("%s: got %v, want one error", name, err)
			continue
		}
		var e *btfinfo.Error
		if !errors.As(err, &e) || e.Hint == "" || !strings.HasPrefix(e.File, dir) && name != "docs" && name != "modules" {
			t.Errorf("%s: %v has no file or no hint: %+v", name, err, e)
		}
		if len(builds) != 1 {
			t.Errorf("%s: the good kernel did not go on", name)
		}
	}
	if _, err := readPaths(t, &Options{ID: "a/b/x86_64/c"}, good, write(t, dir, "o.btf", other.btf())); err == nil {
		t.Error("one ID was given to two kernels")
	}
	if _, err := readPaths(t, &Options{ID: "a/b"}, twice); err == nil {
		t.Error("an ID of two parts was taken")
	}
	if _, err := readPaths(t, &Options{ID: "a/b/arm64/c"}, good); err == nil {
		t.Error("an ID of another architecture was taken")
	}
	stop := errors.New("disk full")
	err := Read(context.Background(), []string{good, twice}, nil, func(*archive.Build) error { return stop })
	if err != stop {
		t.Errorf("the error of yield came back as %v", err)
	}
}

// Everything in a package that is not what it should be is an error with its place, and no more than that.
func TestBadPackages(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	lib := "usr/lib/modules/" + uname61 + "/kernel/"
	image := packed{path: "boot/vmlinuz-" + uname61, data: f.vmlinuz()}
	deb := func(files ...packed) []byte {
		return debSpec{name: "linux-image-x", version: "6.1.176-1", arch: "amd64", compression: "gz", files: files}.build()
	}
	rpm := func(edit func(map[uint32]rpmValue)) []byte {
		r := wholeRPM(f)
		r.compression, r.edit = "", edit
		return r.build()
	}
	control := func(text string) []byte {
		return arFile("debian-binary", []byte("2.0\n"), "control.tar", tarFile(packed{path: "control", data: []byte(text)}), "data.tar", tarFile(image))
	}
	unlisted := func(files ...packed) []byte {
		return debSpec{name: "linux-image-x", version: "6.1.176-1", arch: "amd64", compression: "zst", unlisted: true, files: files}.build()
	}
	huge := tarFile(packed{path: "usr/a", data: []byte("x")})
	copy(huge[512+124:], "77777777777\x00") // the size of usr/a: 8 GiB, with the old checksum
	for name, tt := range map[string]struct {
		data []byte
		want string // part of the error
	}{
		"empty":                     {nil, "is empty"},
		"text":                      {[]byte("hello world, this is text"), "no package: starts with"},
		"ar without debian-binary":  {arFile("x.o", []byte("x")), "the first member is \"x.o\""},
		"ar with nothing":           {[]byte(arMagic), "no Debian package"},
		"format 3":                  {arFile("debian-binary", []byte("3.0\n")), "the format of the package is"},
		"no control":                {arFile("debian-binary", []byte("2.0\n")), "ends without control data"},
		"no data":                   {arFile("debian-binary", []byte("2.0\n"), "control.tar", tarFile(packed{path: "control", data: []byte("Package: a\nVersion: 1\nArchitecture: all\n")})), "ends without data"},
		"data before control":       {arFile("debian-binary", []byte("2.0\n"), "data.tar", tarFile()), "out of place"},
		"control without fields":    {control("Description: x\n"), "Package, Version and Architecture"},
		"ar size":                   {bytes.Replace(deb(image), []byte("4         `"), []byte("4x        `"), 1), "the size of a member"},
		"ar end":                    {bytes.Replace(deb(image), []byte("`\n"), []byte("'\n"), 1), "the header of a member ends in"},
		"cut in data":               {deb(image)[:1000], "too early"},
		"traversal":                 {deb(packed{path: "../../boot/vmlinuz-x", data: []byte("x")}, image), "leads out of the package"},
		"traversal to a link":       {deb(packed{path: "boot/../../etc/passwd", kind: tar.TypeSymlink, link: "/etc/shadow"}, image), "leads out of the package"},
		"twice":                     {unlisted(image, packed{path: "usr/x"}, packed{path: "boot/config-x", data: f.conf()}, packed{path: "boot/config-x", data: f.conf()}), "twice"},
		"image of another kernel":   {deb(packed{path: "boot/vmlinuz-6.2", data: f.vmlinuz()}), "calls itself"},
		"image that is none":        {deb(packed{path: "boot/vmlinuz-6.2", data: []byte("text, no image")}), "boot/vmlinuz-6.2"},
		"image that is a module":    {deb(packed{path: "boot/vmlinuz-6.2", data: f.module("ext4")}), "boot/vmlinuz-6.2"},
		"configuration that is not": {deb(image, packed{path: "boot/config-" + uname61, data: []byte("text")}), "no configuration of a kernel"},
		"huge configuration":        {deb(image, packed{path: "boot/config-" + uname61, data: make([]byte, maxConfig+1)}), "the limit is"},
		"bomb":                      {bomb(f, freeExpansion+8<<20), "bytes of the package expand to more than"},
		"not what is said":          {arFile("debian-binary", []byte("2.0\n"), "control.tar.xz", []byte("no xz")), "control.tar.xz"},
		"damaged xz":                {bytes.Replace(deb(image), gzipStart, []byte("\xfd7zXZ\x00aaaa"), 1), ""},
		"tar size":                  {arFile("debian-binary", []byte("2.0\n"), "control.tar", huge), "the tar archive is damaged"},
		"a name for a terminal":     {control("Package: \x1b[31m\nVersion: 1\nArchitecture: amd64\n"), "is no name, version or architecture"},
		"many kernels":              {unlisted(manyKernels()...), "more than 64 kernels"},
		"many kernels, listed":      {deb(manyKernels()...), "more than 64 kernels"},
		"rpm lead alone":            {[]byte(rpmMagic + "xxxx"), "the lead is not complete"},
		"rpm source package":        {func() []byte { d := rpm(nil); d[7] = 1; return d }(), "of type 1"},
		"rpm no source":             {rpm(func(t map[uint32]rpmValue) { delete(t, rpmSourceRPM) }), "names no source package"},
		"rpm no name":               {rpm(func(t map[uint32]rpmValue) { delete(t, rpmName) }), "name, version and release"},
		"rpm format":                {rpm(func(t map[uint32]rpmValue) { t[rpmPayloadFormat] = "drpm" }), "want cpio"},
		"rpm name is number":        {rpm(func(t map[uint32]rpmValue) { t[rpmName] = []uint32{1} }), "want a string"},
		"rpm modes missing":         {rpm(func(t map[uint32]rpmValue) { t[rpmFileModes] = []uint32{1} }), "values for"},
		"rpm folder":                {rpm(func(t map[uint32]rpmValue) { t[rpmDirNames] = []string{"/"} }), "is in folder"},
		"rpm long path":             {rpm(func(t map[uint32]rpmValue) { d := t[rpmDirNames].([]string); d[0] = strings.Repeat("a", maxPath) }), "the limit is"},
		"rpm header magic":          {func() []byte { d := rpm(nil); d[rpmLead] = 0; return d }(), "the signature header starts with"},
		"rpm header entries":        {func() []byte { d := rpm(nil); d[rpmLead+8] = 1; return d }(), "entries, the limit is"},
		"rpm header size":           {func() []byte { d := rpm(nil); d[rpmLead+12] = 0xff; return d }(), "bytes, the limit is"},
		"rpm cut in header":         {rpm(nil)[:300], "not complete"},
		"rpm cut in archive":        {func() []byte { d := rpm(nil); return d[:len(d)-1000] }(), "too early"},
		"rpm cpio magic":            {bytes.Replace(rpm(nil), []byte(cpioNew), []byte("070707"), 1), "starts with \"070707\""},
		"rpm cpio number":           {bytes.Replace(rpm(nil), []byte(cpioNew+"00"), []byte(cpioNew+"0x"), 1), "want 8 hexadecimal digits"},
		"rpm cpio name":             {bytes.Replace(rpm(nil), []byte("System.map\x00"), []byte("System.mapx"), 2), "ends in"},
	} {
		part, err := ReadPackage(context.Background(), archive.Source{URI: "the.package"}, bytes.NewReader(tt.data), nil)
		var e *btfinfo.Error
		if part != nil || !errors.As(err, &e) {
			t.Errorf("%s: got %v, %v; want an error of btfinfo", name, part, err)
			continue
		}
		if !strings.HasPrefix(e.File, "the.package") || e.Hint == "" || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %q, hint %q; want %q in it", name, err, e.Hint, tt.want)
		}
	}

	// Modules that can't be read are missing, and the kernel is there.
	for name, tt := range map[string]struct {
		module packed
		want   string
	}{
		"no ELF":            {packed{path: lib + "bad.ko", data: []byte("text")}, "neither BTF nor anything known"},
		"damaged":           {packed{path: lib + "bad.ko.xz", data: compress("xz", f.module("bad"))[:200]}, "xz data is damaged"},
		"another's name":    {packed{path: lib + "bad.ko", data: f.module("good")}, `calls itself "good"`},
		"of another kernel": {packed{path: lib + "bad.ko", data: newFake("6.2", "6.2-1").module("bad")}, "is of the kernel 6.2"},
		"own base": {packed{path: lib + "bad.ko", data: elfFile(f.order, 62, section{".modinfo", []byte("name=bad\x00")}, section{".BTF.base", f.btf()},
			section{".BTF", func() []byte { b := btfbuild.NewSplit(f.base); b.Fwd("x", false); return b.Bytes(f.order) }()})}, "a base of its own"},
		"ids beyond":   {packed{path: lib + "bad.ko", data: elfFile(f.order, 62, section{".modinfo", []byte("name=bad\x00")}, section{".BTF", func() []byte { b := btfbuild.NewSplit(f.base); b.Ptr(9999); return b.Bytes(f.order) }()})}, ".BTF"},
		"bomb":         {packed{path: lib + "bad.ko.zst", data: compress("zst", make([]byte, 20<<20))}, "expand to more than"},
		"a BPF object": {packed{path: lib + "bad.ko", data: elfFile(f.order, 247, section{".BTF", f.btf()})}, "BPF"},
	} {
		part, err := ReadPackage(context.Background(), archive.Source{URI: "the.package"}, bytes.NewReader(deb(image, packed{path: lib + "ext4.ko", data: f.module("ext4")}, tt.module)), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		builds, err := Join([]*Part{part}, nil)
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "bad.ko") {
			t.Errorf("%s: got %v, want %q", name, err, tt.want)
		}
		if len(builds) != 1 || builds[0].ModulesRead || !slices.Equal(moduleNames(builds[0]), []string{"ext4"}) ||
			!slices.Contains(facts(builds[0]), "modules: 1 of 2 can't be read") {
			t.Errorf("%s: got %d builds", name, len(builds))
		}
	}
}

// manyKernels are modules of more kernels than a package holds.
func manyKernels() []packed {
	var files []packed
	for i := range maxKernels + 1 {
		files = append(files, packed{path: fmt.Sprintf("lib/modules/6.1.%d/a.ko", i), data: []byte("x")})
	}
	return files
}

// gzipStart is how the data.tar.gz that compress makes begins; the first in a package is that of control.tar.gz.
var gzipStart = compress("gz", nil)[:10]

// A package that ends anywhere is an error, or all that is wanted was before; it is never something else.
func TestTruncated(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	for kind, data := range map[string][]byte{"deb": wholeDeb(f, "6.1.176-1").build(), "rpm": wholeRPM(f).build()} {
		whole := readOne(t, nil, data)
		step := max(1, len(data)/300)
		for n := 0; n < len(data); n += step {
			builds, err := readPackages(nil, data[:n])
			var e *btfinfo.Error
			switch {
			case err != nil && !errors.As(err, &e):
				t.Errorf("%s cut after %d: %v is no error of btfinfo", kind, n, err)
			case err == nil && (len(builds) != 1 || !reflect.DeepEqual(builds[0].Kernel, whole.Kernel) || len(builds[0].Modules) != len(whole.Modules)):
				t.Errorf("%s cut after %d gave another kernel", kind, n)
			}
		}
	}
}

// A link never leads to a file: neither of this system nor to one that is not in the package.
func TestLinks(t *testing.T) {
	t.Parallel()
	f := newFake(uname61, "6.1.176-1")
	outside := write(t, t.TempDir(), "vmlinuz", f.vmlinuz())
	for _, kind := range []byte{tar.TypeSymlink, tar.TypeLink} {
		d := debSpec{name: "linux-image-x", version: "6.1.176-1", arch: "amd64", files: []packed{
			{path: "boot/vmlinuz-" + uname61, kind: kind, link: outside}, {path: "boot/config-" + uname61, data: f.conf()},
		}}
		_, err := readPackages(nil, d.build())
		if want := fmt.Sprintf("boot/vmlinuz-%s is a link to %q", uname61, outside); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	// One whose target is there too is nothing more than a second name.
	d := debSpec{name: "linux-image-x", version: "6.1.176-1", arch: "amd64", files: []packed{
		{path: "boot/vmlinuz-" + uname61, kind: tar.TypeSymlink, link: "../lib/modules/" + uname61 + "/vmlinuz"},
		{path: "lib/modules/" + uname61 + "/vmlinuz", data: f.vmlinuz()},
	}}
	if b := readOne(t, nil, d.build()); b.BTF == nil {
		t.Error("no BTF")
	}
}
