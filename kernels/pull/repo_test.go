package pull

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

// testNow is the time of the tests' repositories.
var testNow = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// newKey makes a key that signs.
func newKey(t testing.TB, name string) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA,
		Time:      func() time.Time { return testNow.AddDate(-1, 0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// publicKey is the keyring of the keys, armored or not.
func publicKey(t testing.TB, armored bool, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, k := range keys {
		var b bytes.Buffer
		if err := k.Serialize(&b); err != nil {
			t.Fatal(err)
		}
		if !armored {
			out.Write(b.Bytes())
			continue
		}
		w, err := armor.Encode(&out, "PGP PUBLIC KEY BLOCK", nil)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(b.Bytes())
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('\n')
	}
	return out.Bytes()
}

// clearSign signs a text as apt-ftparchive and gpg --clearsign do.
func clearSign(t testing.TB, text []byte, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.PrivateKey)
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, &packet.Config{Time: func() time.Time { return testNow }})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// detached signs a file.
func detached(t testing.TB, data []byte, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, keys, bytes.NewReader(data), &openpgp.SignParams{Config: &packet.Config{Time: func() time.Time { return testNow }}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// pack compresses by a file's extension.
func pack(ext string, data []byte) []byte {
	var b bytes.Buffer
	var w io.WriteCloser
	var err error
	switch ext {
	case "":
		return data
	case ".gz":
		w = gzip.NewWriter(&b)
	case ".xz":
		w, err = xz.NewWriter(&b)
	case ".zst":
		w, err = zstd.NewWriter(&b)
	default:
		panic("no compression " + ext)
	}
	if err == nil {
		_, err = w.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		panic(err)
	}
	return b.Bytes()
}

// elfFile is an ELF file of x86_64 with sections of these names and contents, by turns.
func elfFile(sections ...any) []byte {
	order := binary.LittleEndian
	names := []byte{0}
	for i := 0; i < len(sections); i += 2 {
		names = append(append(names, sections[i].(string)...), 0)
	}
	sections = append(sections, ".shstrtab", append(names, ".shstrtab\x00"...))
	out, headers, name := make([]byte, 64), make([]byte, 64), 1
	for i := 0; i < len(sections); i += 2 {
		out = append(out, make([]byte, -len(out)&7)...)
		h := make([]byte, 64)
		order.PutUint32(h, uint32(name))
		order.PutUint32(h[4:], 1) // SHT_PROGBITS
		order.PutUint64(h[24:], uint64(len(out)))
		order.PutUint64(h[32:], uint64(len(sections[i+1].([]byte))))
		name += len(sections[i].(string)) + 1
		out, headers = append(out, sections[i+1].([]byte)...), append(headers, h...)
	}
	out = append(out, make([]byte, -len(out)&7)...)
	copy(out, "\x7fELF\x02\x01\x01")
	order.PutUint16(out[16:], 2)  // ET_EXEC
	order.PutUint16(out[18:], 62) // EM_X86_64
	order.PutUint64(out[40:], uint64(len(out)))
	order.PutUint16(out[52:], 64)
	order.PutUint16(out[58:], 64)
	order.PutUint16(out[60:], uint16(len(headers)/64))
	order.PutUint16(out[62:], uint16(len(headers)/64-1))
	return append(out, headers...)
}

// testKernel is what packages of a test's kernel have.
type testKernel struct {
	uname, version string
	base           *btfbuild.Builder
}

func newKernel(uname, version string) *testKernel {
	k := &testKernel{uname, version, btfbuild.New()}
	k.base.Kernelish(8)
	return k
}

func (k *testKernel) image() []byte {
	upstream, _, _ := strings.Cut(k.version, "-")
	banner := "Linux version " + k.uname + " (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1 SMP PREEMPT_DYNAMIC Debian " +
		upstream + "-1 (2026-07-02)\n\x00"
	return elfFile(".text", bytes.Repeat([]byte{0x90}, 5000), ".rodata", []byte(banner), ".BTF", k.base.Bytes(binary.LittleEndian))
}

func (k *testKernel) module(name string) []byte {
	b := btfbuild.NewSplit(k.base)
	b.Struct(name+"_private", 8, btfbuild.Member{Name: "task", Type: 1})
	return elfFile(".modinfo", []byte("license=GPL\x00name="+name+"\x00vermagic="+k.uname+" SMP preempt mod_unload \x00"), ".BTF", b.Bytes(binary.LittleEndian))
}

const testConfig = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.176 Kernel Configuration\n#\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_DEBUG_INFO_BTF_MODULES=y\nCONFIG_PAHOLE_VERSION=124\nCONFIG_MODULES=y\n"

// testDeb is a package to be built.
type testDeb struct {
	name, version, depends string
	files                  map[string][]byte

	// What the index is to say instead of the truth; "" is the truth.
	filename, sha256, size string
}

// whole is a kernel's package as Debian has it up to 6.18.
func (k *testKernel) whole() *testDeb {
	dir := "usr/lib/modules/" + k.uname
	return &testDeb{name: "linux-image-" + k.uname, version: k.version, files: map[string][]byte{
		"boot/config-" + k.uname:              []byte(testConfig),
		"boot/vmlinuz-" + k.uname:             k.image(),
		dir + "/kernel/fs/ext4/ext4.ko":       k.module("ext4"),
		dir + "/kernel/net/nf_tables.ko.xz":   pack(".xz", k.module("nf_tables")),
		dir + "/kernel/drivers/padding.ko.xz": pack(".xz", k.module("padding")),
		// Packages without an image are small; see maxMeta.
		"usr/share/doc/linux-image-" + k.uname + "/noise": noise(maxMeta),
	}}
}

// split are a kernel's packages as Debian has them since 6.19, and the one without content that asks for them.
func (k *testKernel) split() (meta, image, modules, base *testDeb) {
	exact := " (= " + k.version + ")"
	dir := "usr/lib/modules/" + k.uname
	meta = &testDeb{name: "linux-image-" + k.uname, version: k.version,
		depends: "initramfs-tools | linux-initramfs-tool, linux-base-" + k.uname + exact + ", linux-binary-" + k.uname + exact + ", linux-modules-" + k.uname + exact,
		files:   map[string][]byte{"usr/share/doc/x": []byte("x")}}
	image = &testDeb{name: "linux-binary-" + k.uname, version: k.version, depends: "linux-base-" + k.uname + exact,
		files: map[string][]byte{dir + "/vmlinuz": k.image(), "usr/share/doc/noise": noise(maxMeta)}}
	modules = &testDeb{name: "linux-modules-" + k.uname, version: k.version, depends: "linux-base-" + k.uname + exact,
		files: map[string][]byte{dir + "/kernel/fs/ext4/ext4.ko": k.module("ext4")}}
	base = &testDeb{name: "linux-base-" + k.uname, version: k.version,
		files: map[string][]byte{dir + "/config": []byte(testConfig), "boot/config-" + k.uname: []byte(testConfig)}}
	return meta, image, modules, base
}

func tarFile(files map[string][]byte) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: "./" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			panic(err)
		}
		w.Write(files[name])
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func (d *testDeb) build() []byte {
	control := fmt.Sprintf("Package: %s\nSource: linux\nVersion: %s\nArchitecture: amd64\nMaintainer: Debian Kernel Team <debian-kernel@lists.debian.org>\n", d.name, d.version)
	if d.depends != "" {
		control += "Depends: " + d.depends + "\n"
	}
	control += "Description: Linux\n more of it\n"
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.files)) {
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(d.files[name]), name)
	}
	b := bytes.NewBufferString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar.gz", pack(".gz", tarFile(map[string][]byte{"control": []byte(control), "md5sums": []byte(sums.String())}))},
		{"data.tar.zst", pack(".zst", tarFile(d.files))},
	} {
		fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 1782950400, 0, 0, "100644", len(m.data))
		b.Write(m.data)
		if len(m.data)%2 != 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// aptRepo is a Debian-style repository to be built.
type aptRepo struct {
	suite, codename, version, origin string
	date, validUntil                 time.Time // zero: an hour ago; none
	extensions                       []string  // of Packages; nil: ".xz" and ""
	byHash                           bool
	packages                         []*testDeb
	junk                             string // in Packages, before the rest
	keys                             []*openpgp.Entity

	editRelease  func([]byte) []byte                 // before it is signed
	editPackages func(ext string, b []byte) []byte   // after it got into Release
	signature    func(text []byte) map[string][]byte // the files that sign; nil: InRelease
}

// put builds the repository and puts it on a mirror, below root.
func (r *aptRepo) put(t testing.TB, m *mirror, root string) {
	t.Helper()
	var list strings.Builder
	list.WriteString(r.junk)
	for _, d := range r.packages {
		data := d.build()
		filename := "pool/main/l/linux/" + d.name + "_" + d.version + "_amd64.deb"
		m.put(path.Join("/", root, filename), data)
		or := func(lie, truth string) string {
			if lie != "" {
				return lie
			}
			return truth
		}
		fmt.Fprintf(&list, "Package: %s\nSource: linux\nVersion: %s\nInstalled-Size: 1\nMaintainer: X <x@example.org>\nArchitecture: amd64\n", d.name, d.version)
		if d.depends != "" {
			fmt.Fprintf(&list, "Depends: %s\n", d.depends)
		}
		fmt.Fprintf(&list, "Description: Linux\nSection: kernel\nFilename: %s\nSize: %s\nMD5sum: %x\nSHA256: %s\n\n", or(d.filename, filename),
			or(d.size, fmt.Sprint(len(data))), md5.Sum(data), or(d.sha256, sumHex(data)))
	}
	dists := path.Join("/", root, "dists", r.suite)
	extensions := r.extensions
	if extensions == nil {
		extensions = []string{".xz", ""}
	}
	var sums strings.Builder
	for _, ext := range extensions {
		data := pack(ext, []byte(list.String()))
		name := "main/binary-amd64/Packages" + ext
		fmt.Fprintf(&sums, " %s %8d %s\n", sumHex(data), len(data), name)
		served := data
		if r.editPackages != nil {
			served = r.editPackages(ext, bytes.Clone(data))
		}
		if ext == "" && len(extensions) > 1 {
			continue // as Debian: in Release, and not on the server
		}
		if r.byHash {
			m.put(path.Join(dists, "main/binary-amd64/by-hash/SHA256", sumHex(data)), served)
			continue
		}
		m.put(path.Join(dists, name), served)
	}
	date := r.date
	if date.IsZero() {
		date = testNow.Add(-time.Hour)
	}
	release := fmt.Sprintf("Origin: %s\nLabel: %s\nSuite: %s\nCodename: %s\n", r.origin, r.origin, "stable", r.codename)
	if r.version != "" {
		release += "Version: " + r.version + "\n"
	}
	release += "Date: " + date.Format(time.RFC1123) + "\n"
	if !r.validUntil.IsZero() {
		release += "Valid-Until: " + r.validUntil.Format(time.RFC1123) + "\n"
	}
	if r.byHash {
		release += "Acquire-By-Hash: yes\n"
	}
	release += "Architectures: amd64 arm64\nComponents: main\nDescription: test\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 x\nSHA256:\n" + sums.String()
	text := []byte(release)
	if r.editRelease != nil {
		text = r.editRelease(text)
	}
	files := map[string][]byte{}
	if r.signature != nil {
		files = r.signature(text)
	} else {
		files["InRelease"] = clearSign(t, text, r.keys...)
	}
	for name, data := range files {
		m.put(path.Join(dists, name), data)
	}
}

// newRepo is a sound repository of Debian 12's name.
func newRepo(key *openpgp.Entity, packages ...*testDeb) *aptRepo {
	return &aptRepo{suite: "bookworm", codename: "bookworm", version: "12.15", origin: "Debian", packages: packages, keys: []*openpgp.Entity{key}}
}
