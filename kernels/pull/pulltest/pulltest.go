// Package pulltest makes repositories for tests: kernels with BTF, Debian packages of them, and signed lists of these. It keeps what
// a test could want to be wrong in one place: a field of what is made says it.
package pulltest

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
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

// Files is where a repository is put: a server, or a folder.
type Files interface {
	// Put stores a file under a path that begins with a slash.
	Put(path string, content []byte)
}

// Now is the time of the tests' repositories.
var Now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// NewKey makes a key that signs.
func NewKey(t testing.TB, name string) *openpgp.Entity {
	t.Helper()
	e, err := openpgp.NewEntity(name, "", name+"@example.org", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA,
		Time:      func() time.Time { return Now.AddDate(-1, 0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// PublicKey is the keyring of the keys, armored or not.
func PublicKey(t testing.TB, armored bool, keys ...*openpgp.Entity) []byte {
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

// ClearSign signs a text as apt-ftparchive and gpg --clearsign do.
func ClearSign(t testing.TB, text []byte, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var private []*packet.PrivateKey
	for _, k := range keys {
		private = append(private, k.PrivateKey)
	}
	var b bytes.Buffer
	w, err := clearsign.EncodeMulti(&b, private, &packet.Config{Time: func() time.Time { return Now }})
	if err != nil {
		t.Fatal(err)
	}
	w.Write(text)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Detached signs a file.
func Detached(t testing.TB, data []byte, keys ...*openpgp.Entity) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := openpgp.ArmoredDetachSign(&b, keys, bytes.NewReader(data), &openpgp.SignParams{Config: &packet.Config{Time: func() time.Time { return Now }}}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// Pack compresses by a file's extension.
func Pack(ext string, data []byte) []byte {
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

// ELF is an ELF file of x86_64 with sections of these names and contents, by turns.
func ELF(sections ...any) []byte {
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

// Kernel is what packages of a test's kernel have.
type Kernel struct {
	Uname, Version string
	Base           *btfbuild.Builder
}

// NewKernel is a kernel with a small BTF, of a package of that version.
func NewKernel(uname, version string) *Kernel {
	k := &Kernel{Uname: uname, Version: version, Base: btfbuild.New()}
	k.Base.Kernelish(8)
	return k
}

// Image is a vmlinux.
func (k *Kernel) Image() []byte {
	upstream, _, _ := strings.Cut(k.Version, "-")
	banner := "Linux version " + k.Uname + " (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, GNU ld 2.40) #1 SMP PREEMPT_DYNAMIC Debian " +
		upstream + "-1 (2026-07-02)\n\x00"
	return ELF(".text", bytes.Repeat([]byte{0x90}, 5000), ".rodata", []byte(banner), ".BTF", k.Base.Bytes(binary.LittleEndian))
}

// Module is a module with BTF of its own; info are more strings of its .modinfo, such as "depends=jbd2,mbcache".
func (k *Kernel) Module(name string, info ...string) []byte {
	b := btfbuild.NewSplit(k.Base)
	b.Struct(name+"_private", 8, btfbuild.Member{Name: "task", Type: 1})
	var more string
	for _, line := range info {
		more += line + "\x00"
	}
	return ELF(".modinfo", []byte("license=GPL\x00"+more+"name="+name+"\x00vermagic="+k.Uname+" SMP preempt mod_unload \x00"), ".BTF", b.Bytes(binary.LittleEndian))
}

// Config is a kernel's configuration.
const Config = "#\n# Automatically generated file; DO NOT EDIT.\n# Linux/x86 6.1.176 Kernel Configuration\n#\nCONFIG_DEBUG_INFO_BTF=y\nCONFIG_DEBUG_INFO_BTF_MODULES=y\nCONFIG_PAHOLE_VERSION=124\nCONFIG_MODULES=y\n"

// Deb is a package to be built.
type Deb struct {
	Name, Version, Depends string
	Files                  map[string][]byte
	Links                  map[string]string // symbolic links and their targets

	// What the index is to say instead of the truth; "" is the truth.
	Filename, SHA256, Size string
}

// Whole is a kernel's package as Debian has it up to 6.18.
func (k *Kernel) Whole() *Deb {
	dir := "usr/lib/modules/" + k.Uname
	return &Deb{Name: "linux-image-" + k.Uname, Version: k.Version, Files: map[string][]byte{
		"boot/config-" + k.Uname:              []byte(Config),
		"boot/vmlinuz-" + k.Uname:             k.Image(),
		dir + "/kernel/fs/ext4/ext4.ko":       k.Module("ext4"),
		dir + "/kernel/net/nf_tables.ko.xz":   Pack(".xz", k.Module("nf_tables")),
		dir + "/kernel/drivers/padding.ko.xz": Pack(".xz", k.Module("padding")),
		// Packages without an image are small; see images of package pull.
		"usr/share/doc/linux-image-" + k.Uname + "/noise": Noise(64 << 10),
	}}
}

// Split are a kernel's packages as Debian has them since 6.19, and the one without content that asks for them.
func (k *Kernel) Split() (meta, image, modules, base *Deb) {
	exact := " (= " + k.Version + ")"
	dir := "usr/lib/modules/" + k.Uname
	meta = &Deb{Name: "linux-image-" + k.Uname, Version: k.Version,
		Depends: "initramfs-tools | linux-initramfs-tool, linux-base-" + k.Uname + exact + ", linux-binary-" + k.Uname + exact + ", linux-modules-" + k.Uname + exact,
		Files:   map[string][]byte{"usr/share/doc/x": []byte("x")}}
	image = &Deb{Name: "linux-binary-" + k.Uname, Version: k.Version, Depends: "linux-base-" + k.Uname + exact,
		Files: map[string][]byte{dir + "/vmlinuz": k.Image(), "usr/share/doc/noise": Noise(64 << 10)}}
	modules = &Deb{Name: "linux-modules-" + k.Uname, Version: k.Version, Depends: "linux-base-" + k.Uname + exact,
		Files: map[string][]byte{dir + "/kernel/fs/ext4/ext4.ko": k.Module("ext4")}}
	base = &Deb{Name: "linux-base-" + k.Uname, Version: k.Version,
		Files: map[string][]byte{dir + "/config": []byte(Config), "boot/config-" + k.Uname: []byte(Config)}}
	return meta, image, modules, base
}

func tarFile(files map[string][]byte, links map[string]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: "./" + name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			panic(err)
		}
		w.Write(files[name])
	}
	for _, name := range slices.Sorted(maps.Keys(links)) {
		if err := w.WriteHeader(&tar.Header{Name: "./" + name, Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: links[name]}); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// Build is the package's file.
func (d *Deb) Build() []byte {
	control := fmt.Sprintf("Package: %s\nSource: linux\nVersion: %s\nArchitecture: amd64\nMaintainer: Debian Kernel Team <debian-kernel@lists.debian.org>\n", d.Name, d.Version)
	if d.Depends != "" {
		control += "Depends: " + d.Depends + "\n"
	}
	control += "Description: Linux\n more of it\n"
	var sums strings.Builder
	for _, name := range slices.Sorted(maps.Keys(d.Files)) {
		fmt.Fprintf(&sums, "%x  %s\n", md5.Sum(d.Files[name]), name)
	}
	b := bytes.NewBufferString("!<arch>\n")
	for _, m := range []struct {
		name string
		data []byte
	}{
		{"debian-binary", []byte("2.0\n")},
		{"control.tar.gz", Pack(".gz", tarFile(map[string][]byte{"control": []byte(control), "md5sums": []byte(sums.String())}, nil))},
		{"data.tar.zst", Pack(".zst", tarFile(d.Files, d.Links))},
	} {
		fmt.Fprintf(b, "%-16s%-12d%-6d%-6d%-8s%-10d`\n", m.name, 1782950400, 0, 0, "100644", len(m.data))
		b.Write(m.data)
		if len(m.data)%2 != 0 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// AptRepo is a Debian-style repository to be built.
type AptRepo struct {
	Suite, Codename, Version, Origin string
	Date, ValidUntil                 time.Time // zero: an hour ago; none
	Extensions                       []string  // of Packages; nil: ".xz" and ""
	ByHash                           bool
	Packages                         []*Deb
	Junk                             string // in Packages, before the rest
	Keys                             []*openpgp.Entity

	EditRelease  func([]byte) []byte                 // before it is signed
	EditPackages func(ext string, b []byte) []byte   // after it got into Release
	Signature    func(text []byte) map[string][]byte // the files that sign; nil: InRelease
}

// Put builds the repository and puts it on a mirror, below root.
func (r *AptRepo) Put(t testing.TB, m Files, root string) {
	t.Helper()
	var list strings.Builder
	list.WriteString(r.Junk)
	for _, d := range r.Packages {
		data := d.Build()
		filename := "pool/main/l/linux/" + d.Name + "_" + d.Version + "_amd64.deb"
		m.Put(path.Join("/", root, filename), data)
		or := func(lie, truth string) string {
			if lie != "" {
				return lie
			}
			return truth
		}
		fmt.Fprintf(&list, "Package: %s\nSource: linux\nVersion: %s\nInstalled-Size: 1\nMaintainer: X <x@example.org>\nArchitecture: amd64\n", d.Name, d.Version)
		if d.Depends != "" {
			fmt.Fprintf(&list, "Depends: %s\n", d.Depends)
		}
		fmt.Fprintf(&list, "Description: Linux\nSection: kernel\nFilename: %s\nSize: %s\nMD5sum: %x\nSHA256: %s\n\n", or(d.Filename, filename),
			or(d.Size, fmt.Sprint(len(data))), md5.Sum(data), or(d.SHA256, SumHex(data)))
	}
	dists := path.Join("/", root, "dists", r.Suite)
	extensions := r.Extensions
	if extensions == nil {
		extensions = []string{".xz", ""}
	}
	var sums strings.Builder
	for _, ext := range extensions {
		data := Pack(ext, []byte(list.String()))
		name := "main/binary-amd64/Packages" + ext
		fmt.Fprintf(&sums, " %s %8d %s\n", SumHex(data), len(data), name)
		served := data
		if r.EditPackages != nil {
			served = r.EditPackages(ext, bytes.Clone(data))
		}
		if ext == "" && len(extensions) > 1 {
			continue // as Debian: in Release, and not on the server
		}
		if r.ByHash {
			m.Put(path.Join(dists, "main/binary-amd64/by-hash/SHA256", SumHex(data)), served)
			continue
		}
		m.Put(path.Join(dists, name), served)
	}
	date := r.Date
	if date.IsZero() {
		date = Now.Add(-time.Hour)
	}
	release := fmt.Sprintf("Origin: %s\nLabel: %s\nSuite: %s\nCodename: %s\n", r.Origin, r.Origin, "stable", r.Codename)
	if r.Version != "" {
		release += "Version: " + r.Version + "\n"
	}
	release += "Date: " + date.Format(time.RFC1123) + "\n"
	if !r.ValidUntil.IsZero() {
		release += "Valid-Until: " + r.ValidUntil.Format(time.RFC1123) + "\n"
	}
	if r.ByHash {
		release += "Acquire-By-Hash: yes\n"
	}
	release += "Architectures: amd64 arm64\nComponents: main\nDescription: test\nMD5Sum:\n d41d8cd98f00b204e9800998ecf8427e 0 x\nSHA256:\n" + sums.String()
	text := []byte(release)
	if r.EditRelease != nil {
		text = r.EditRelease(text)
	}
	files := map[string][]byte{}
	if r.Signature != nil {
		files = r.Signature(text)
	} else {
		files["InRelease"] = ClearSign(t, text, r.Keys...)
	}
	for name, data := range files {
		m.Put(path.Join(dists, name), data)
	}
}

// NewRepo is a sound repository of Debian 12's name.
func NewRepo(key *openpgp.Entity, packages ...*Deb) *AptRepo {
	return &AptRepo{Suite: "bookworm", Codename: "bookworm", Version: "12.15", Origin: "Debian", Packages: packages, Keys: []*openpgp.Entity{key}}
}

// Noise is content that doesn't repeat.
func Noise(n int) []byte {
	out := make([]byte, 0, n+32)
	sum := sha256.Sum256([]byte("noise"))
	for len(out) < n {
		sum = sha256.Sum256(sum[:])
		out = append(out, sum[:]...)
	}
	return out[:n]
}

// SumHex is the SHA-256 of a content, in hex.
func SumHex(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
