package source

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"fmt"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
	"github.com/corecheck/corecheck/kernels"
	"github.com/corecheck/corecheck/kernels/archive"
	"github.com/corecheck/corecheck/kernels/pull/pulltest"
)

// section is a section of an ELF file that a test builds.
type section struct {
	name string
	data []byte
}

// elfFile is a 64-bit ELF file of a machine (62 is x86_64, 22 s390x) with these sections, as btfinfo reads it.
func elfFile(order binary.ByteOrder, machine uint16, sections ...section) []byte {
	out := make([]byte, 64)
	names := []byte{0}
	headers := make([]byte, 64)
	add := func(s section) {
		for len(out)%8 != 0 {
			out = append(out, 0)
		}
		h := make([]byte, 64)
		order.PutUint32(h, uint32(len(names)))
		order.PutUint32(h[4:], 1)
		names = append(append(names, s.name...), 0)
		if s.name == ".shstrtab" {
			s.data = names
		}
		order.PutUint64(h[24:], uint64(len(out)))
		order.PutUint64(h[32:], uint64(len(s.data)))
		out, headers = append(out, s.data...), append(headers, h...)
	}
	for _, s := range append(sections, section{".shstrtab", nil}) {
		add(s)
	}
	for len(out)%8 != 0 {
		out = append(out, 0)
	}
	copy(out, "\x7fELF\x02\x01\x01")
	if order == binary.BigEndian {
		out[5] = 2
	}
	order.PutUint16(out[16:], 2)
	order.PutUint16(out[18:], machine)
	order.PutUint64(out[40:], uint64(len(out)))
	order.PutUint16(out[52:], 64)
	order.PutUint16(out[58:], 64)
	order.PutUint16(out[60:], uint16(len(sections)+2))
	order.PutUint16(out[62:], uint16(len(sections)+1))
	return append(out, headers...)
}

// fake is a kernel that a test makes: an image, modules whose BTF continues its own, and a configuration.
type fake struct {
	uname  string
	banner string
	noBTF  bool
	base   *btfbuild.Builder
	order  binary.ByteOrder
	// arch is Debian's name of the architecture, machine the ELF number.
	arch    string
	machine uint16
}

func newFake(uname, debian string) *fake {
	f := &fake{uname: uname, base: btfbuild.New(), order: binary.LittleEndian, arch: "amd64", machine: 62}
	ids := f.base.Kernelish(8)
	f.base.Struct("task_struct", 4, btfbuild.Member{Name: "pid", Type: ids["int"]})
	f.banner = "Linux version " + uname + " (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1 SMP PREEMPT_DYNAMIC Debian " + debian + " (2026-07-02)\n\x00"
	return f
}

func (f *fake) btf() []byte { return f.base.Bytes(f.order) }

// vmlinux is the kernel itself, in ELF.
func (f *fake) vmlinux() []byte {
	s := []section{{".text", bytes.Repeat([]byte{0x90}, 5000)}, {".rodata", []byte(f.banner)}}
	if !f.noBTF {
		s = append(s, section{".BTF", f.btf()})
	}
	return elfFile(f.order, f.machine, s...)
}

// vmlinuz is an x86 boot image with the kernel in it.
func (f *fake) vmlinuz() []byte {
	payload := append(compress("zst", f.vmlinux()), 0, 0, 0, 0)
	const sectors, before = 3, 700
	out := make([]byte, (sectors+1)*512+before)
	copy(out, "MZ")
	out[0x1f1] = sectors
	copy(out[0x1fe:], "\x55\xaa")
	copy(out[0x202:], "HdrS")
	binary.LittleEndian.PutUint16(out[0x206:], 0x20f)
	binary.LittleEndian.PutUint32(out[0x248:], before)
	binary.LittleEndian.PutUint32(out[0x24c:], uint32(len(payload)))
	return append(append(out, payload...), make([]byte, 512)...)
}

// module is a module with one struct of its own, named like it. With name in capitals it has no BTF.
func (f *fake) module(name string) []byte {
	s := []section{{".modinfo", []byte("license=GPL\x00name=" + strings.ToLower(name) + "\x00vermagic=" + f.uname + " SMP preempt mod_unload \x00")}}
	if name == strings.ToLower(name) {
		b := btfbuild.NewSplit(f.base)
		b.Struct(name+"_private", 8, btfbuild.Member{Name: "task", Type: 1})
		s = append(s, section{".BTF", b.Bytes(f.order)})
	}
	return elfFile(f.order, f.machine, s...)
}

// conf is the kernel's configuration with these lines beside the usual ones.
func (f *fake) conf(lines ...string) []byte {
	text := "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.176 Kernel Configuration\n#\n" +
		"CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0-14) 12.2.0\"\nCONFIG_PAHOLE_VERSION=124\nCONFIG_MODULES=y\nCONFIG_EXT4_FS=m\n"
	if f.noBTF {
		text += "# CONFIG_DEBUG_INFO_BTF is not set\n"
	} else {
		text += "CONFIG_DEBUG_INFO_BTF=y\nCONFIG_DEBUG_INFO_BTF_MODULES=y\n"
	}
	return []byte(text + strings.Join(lines, "\n") + "\n")
}

// compress packs data: "gz", "xz", "zst", or "" for not at all.
func compress(how string, data []byte) []byte {
	if how != "" {
		how = "." + how
	}
	return pulltest.Pack(how, data)
}

// packed is a file in a package that a test builds.
type packed struct {
	path string
	data []byte
	kind byte   // tar.TypeReg where 0
	link string // of links
}

func tarFile(files ...packed) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	dirs := map[string]bool{}
	for _, f := range files {
		if dir := path.Dir(f.path); !dirs[dir] && !strings.Contains(dir, "..") {
			dirs[dir] = true
			if err := w.WriteHeader(&tar.Header{Name: "./" + dir + "/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
				panic(err)
			}
		}
		h := &tar.Header{Name: "./" + f.path, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f.data)), Linkname: f.link}
		if f.kind != 0 {
			h.Typeflag = f.kind
		}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := w.Write(f.data); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// arFile is an archive of ar(1): names, then contents by turns.
func arFile(members ...any) []byte {
	b := bytes.NewBufferString(arMagic)
	for i := 0; i < len(members); i += 2 {
		data := members[i+1].([]byte)
		fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", members[i], 1782950400, 0, 0, "100644", len(data))
		b.Write(data)
		if len(data)%2 != 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// debSpec describes a .deb.
type debSpec struct {
	name, version, arch string
	maintainer          string // Debian's kernel team where ""
	compression         string // of control.tar and data.tar
	unlisted            bool   // without md5sums
	files               []packed
}

func (d debSpec) build() []byte {
	if d.maintainer == "" {
		d.maintainer = "Debian Kernel Team <debian-kernel@lists.debian.org>"
	}
	control := fmt.Sprintf("Package: %s\nSource: linux-signed-amd64 (1)\nVersion: %s\nArchitecture: %s\nMaintainer: %s\nDescription: Linux\n more\n", d.name, d.version, d.arch, d.maintainer)
	meta := []packed{{path: "control", data: []byte(control)}}
	if !d.unlisted {
		var sums strings.Builder
		for _, f := range d.files {
			if f.kind == 0 {
				fmt.Fprintf(&sums, "%032x  %s\n", 1, f.path)
			}
		}
		meta = append(meta, packed{path: "md5sums", data: []byte(sums.String())})
	}
	ext := ""
	if d.compression != "" {
		ext = "." + d.compression
	}
	return arFile("debian-binary", []byte("2.0\n"), "control.tar"+ext, compress(d.compression, tarFile(meta...)),
		"data.tar"+ext, compress(d.compression, tarFile(d.files...)))
}

// wholeDeb is a package like Debian's up to 6.18: image, configuration and modules in one.
func wholeDeb(f *fake, version string) debSpec {
	return debSpec{name: "linux-image-" + f.uname, version: version, arch: f.arch, compression: "xz", files: []packed{
		{path: "boot/System.map-" + f.uname, data: []byte("ffffffff B The real System.map is in the package -dbg\n")},
		{path: "boot/config-" + f.uname, data: f.conf()},
		{path: "boot/vmlinuz-" + f.uname, data: f.vmlinuz()},
		{path: "usr/lib/modules/" + f.uname + "/kernel/fs/ext4/ext4.ko.xz", data: compress("xz", f.module("ext4"))},
		{path: "usr/lib/modules/" + f.uname + "/kernel/net/netfilter/nf-tables.ko", data: f.module("nf_tables")},
		{path: "usr/lib/modules/" + f.uname + "/kernel/lib/crc7.ko", data: f.module("CRC7")},
		{path: "usr/lib/modules/" + f.uname + "/modules.builtin", data: []byte("kernel/x.ko\n")},
	}}
}

// rpmSpec describes a .rpm.
type rpmSpec struct {
	name, version, release string
	vendor                 string
	compression            string
	short                  bool // the short form of cpio, in which files are named by their index
	files                  []packed
	ghosts                 []string // files of the header that are not in the archive
	edit                   func(tags map[uint32]rpmValue)
}

// rpmValue is the value of a tag: a string, []string or []uint32.
type rpmValue any

func (r rpmSpec) build() []byte {
	tags := map[uint32]rpmValue{
		rpmName: r.name, rpmVersion: r.version, rpmRelease: r.release, rpmArch: "x86_64", rpmVendor: r.vendor, rpmBuildTime: []uint32{1782950400},
		rpmSourceRPM: "kernel.src.rpm", rpmPayloadFormat: "cpio",
	}
	var dirs, bases []string
	var dirIndex, modes, flags, inodes, sizes []uint32
	var cpio bytes.Buffer
	add := func(i int, f packed, ghost bool) {
		dir, base := path.Split("/" + f.path)
		d := slices.Index(dirs, dir)
		if d < 0 {
			d, dirs = len(dirs), append(dirs, dir)
		}
		bases, dirIndex = append(bases, base), append(dirIndex, uint32(d))
		mode, flag, inode, nlink := uint32(modeRegular|0o644), uint32(0), uint32(i+1), 1
		if f.kind == tar.TypeSymlink {
			mode, f.data = modeLink|0o777, []byte(f.link)
		}
		if f.kind == tar.TypeLink { // shares its content with the file that comes last
			inode = 1000
			nlink = 2
		}
		if ghost {
			flag = rpmGhost
		}
		modes, flags, inodes, sizes = append(modes, mode), append(flags, flag), append(inodes, inode), append(sizes, uint32(len(f.data)))
		if ghost {
			return
		}
		if r.short {
			fmt.Fprintf(&cpio, "07070X%08x", i)
		} else {
			name := "." + "/" + f.path
			fmt.Fprintf(&cpio, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
				inode, mode, 0, 0, nlink, 1782950400, len(f.data), 0, 0, 0, 0, len(name)+1, 0, name)
		}
		cpio.Write(make([]byte, -cpio.Len()&3))
		cpio.Write(f.data)
		cpio.Write(make([]byte, -cpio.Len()&3))
	}
	for i, f := range r.files {
		add(i, f, false)
	}
	for i, name := range r.ghosts {
		add(len(r.files)+i, packed{path: name, data: []byte("not there")}, true)
	}
	fmt.Fprintf(&cpio, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00", 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 11, 0, cpioTrailer)
	cpio.Write(make([]byte, -cpio.Len()&3))
	tags[rpmDirNames], tags[rpmBaseNames], tags[rpmDirIndexes] = dirs, bases, dirIndex
	tags[rpmFileModes], tags[rpmFileFlags], tags[rpmFileInodes], tags[rpmFileSizes] = modes, flags, inodes, sizes
	if r.edit != nil {
		r.edit(tags)
	}
	out := make([]byte, rpmLead)
	copy(out, rpmMagic+"\x03\x00\x00\x00")
	out = append(out, rpmHead(map[uint32]rpmValue{1000: []uint32{7}, 269: "abcde"})...)
	for (len(out)-rpmLead)%8 != 0 {
		out = append(out, 0)
	}
	out = append(out, rpmHead(tags)...)
	return append(out, compress(r.compression, cpio.Bytes())...)
}

// rpmHead is one header.
func rpmHead(tags map[uint32]rpmValue) []byte {
	var order []uint32
	for tag := range tags {
		order = append(order, tag)
	}
	slices.Sort(order)
	var index, store bytes.Buffer
	for _, tag := range order {
		kind, count := uint32(rpmString), 1
		for store.Len()%4 != 0 {
			store.WriteByte(0)
		}
		off := store.Len()
		switch v := tags[tag].(type) {
		case string:
			store.WriteString(v + "\x00")
		case []string:
			kind, count = rpmStrings, len(v)
			for _, s := range v {
				store.WriteString(s + "\x00")
			}
		case []uint32:
			kind, count = rpmInt32, len(v)
			binary.Write(&store, binary.BigEndian, v)
		}
		binary.Write(&index, binary.BigEndian, []uint32{tag, kind, uint32(off), uint32(count)})
	}
	out := []byte(rpmHeaderMagic + "\x00\x00\x00\x00")
	out = binary.BigEndian.AppendUint32(out, uint32(len(order)))
	out = binary.BigEndian.AppendUint32(out, uint32(store.Len()))
	return append(append(out, index.Bytes()...), store.Bytes()...)
}

// wholeRPM is a package like Fedora's kernel-core, with modules in it as old ones had.
func wholeRPM(f *fake) rpmSpec {
	dir := "lib/modules/" + f.uname + "/"
	return rpmSpec{
		name: "kernel-core", version: "6.8.5", release: "301.fc40", vendor: "Fedora Project", compression: "zst",
		ghosts: []string{"boot/vmlinuz-" + f.uname, "boot/config-" + f.uname},
		files: []packed{
			{path: dir + "System.map", data: []byte("x")},
			{path: dir + "config", data: f.conf()},
			{path: dir + "vmlinuz", data: f.vmlinuz()},
			{path: dir + "kernel/fs/ext4/ext4.ko.xz", data: compress("xz", f.module("ext4"))},
			{path: dir + "kernel/net/nf-tables.ko", data: f.module("nf_tables")},
			{path: dir + "kernel/lib/crc7.ko", data: f.module("CRC7")},
		},
	}
}

func mustModules(t testing.TB, s string) ModuleFilter {
	t.Helper()
	f, err := ParseModules(s)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// bomb is a .deb in which a file of n zeros comes before the image.
func bomb(f *fake, n int64) []byte {
	var data bytes.Buffer
	z, err := zstd.NewWriter(&data)
	if err != nil {
		panic(err)
	}
	w := tar.NewWriter(z)
	err = w.WriteHeader(&tar.Header{Name: "usr/a", Typeflag: tar.TypeReg, Size: n})
	for left := n; err == nil && left > 0; {
		zeros := make([]byte, min(left, 1<<20))
		left -= int64(len(zeros))
		_, err = w.Write(zeros)
	}
	if err == nil {
		err = w.Flush()
	}
	if err == nil {
		_, err = z.Write(tarFile(packed{path: "boot/vmlinuz-" + f.uname, data: f.vmlinuz()}))
	}
	if err == nil {
		err = z.Close()
	}
	if err != nil {
		panic(err)
	}
	return arFile("debian-binary", []byte("2.0\n"), "control.tar", tarFile(packed{path: "control", data: []byte("Package: a\nVersion: 1\nArchitecture: amd64\n")}), "data.tar.zst", data.Bytes())
}

// realKernel is an embedded kernel and its BTF as bytes.
type realKernel struct {
	*kernels.Kernel
	raw []byte
}

// embeddedBTF returns n of the embedded x86_64 kernels that have BTF, the newest first, the rest spread over the others.
func embeddedBTF(t testing.TB, n int) []realKernel {
	t.Helper()
	all, err := kernels.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	all = slices.DeleteFunc(all, func(k *kernels.Kernel) bool { return k.Arch != "x86_64" })
	slices.Reverse(all)
	if len(all) < n {
		t.Fatalf("%d embedded kernels of x86_64, want %d", len(all), n)
	}
	var list []realKernel
	for i := range n {
		k := all[i*len(all)/n]
		btf, _, err := k.Load()
		if err != nil || btf == nil {
			t.Fatalf("%s: BTF %v, %v", k.ID, btf != nil, err)
		}
		w := archive.NewWriter()
		if _, err := w.Add(&archive.Build{Kernel: archive.Kernel{ID: k.ID, Distro: k.Distro, Release: k.Release, Arch: k.Arch, Uname: k.Uname}, BTF: btf}); err != nil {
			t.Fatal(err)
		}
		data, err := w.Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		a, err := archive.OpenBytes("memory", data)
		if err != nil {
			t.Fatal(err)
		}
		raw, _, err := a.Raw(0)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, realKernel{k, raw})
	}
	return list
}
