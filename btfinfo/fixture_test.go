package btfinfo

import (
	"bytes"
	"encoding/binary"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/btfinfo/btfbuild"
)

var updatePayloads = flag.Bool("update-payloads", false, "write testdata/payload.* with the tools xz, lzop, lz4, bzip2, zstd and gzip")

const testBannerText = "Linux version 6.1.0-50-cloud-amd64 (debian-kernel@lists.debian.org) (gcc-12 (Debian 12.2.0-14) 12.2.0, " +
	"GNU ld (GNU Binutils for Debian) 2.40) #1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)"

// kernelBuilder builds the BTF of a small kernel.
func kernelBuilder() *btfbuild.Builder {
	b := btfbuild.New()
	ids := b.Kernelish(8)
	list := b.NextID()
	b.Struct("list_head", 16, btfbuild.Member{Name: "next", Type: list + 1}, btfbuild.Member{Name: "prev", Type: list + 1, Off: 64})
	b.Ptr(list)
	task := b.Struct("task_struct", 32,
		btfbuild.Member{Name: "__state", Type: ids["unsigned int"]},
		btfbuild.Member{Name: "tasks", Type: list, Off: 64},
		btfbuild.Member{Name: "pid", Type: ids["int"], Off: 192})
	proto := b.FuncProto(ids["int"], btfbuild.Param{Name: "p", Type: b.Ptr(task)})
	b.Func("wake_up_process", proto, btfbuild.Static)
	return b
}

// moduleBuilder builds the BTF of a module of that kernel.
func moduleBuilder(kernel *btfbuild.Builder) *btfbuild.Builder {
	b := btfbuild.NewSplit(kernel)
	b.Struct("module_struct", 16, btfbuild.Member{Name: "list", Type: 10})
	return b
}

// kernelText is a .rodata with the banner behind the template that real kernels have before it.
func kernelText() []byte {
	template := strings.Replace(testBannerText, "#1 SMP", "# SMP", 1)
	return []byte("\x01\x02%s version %s\n\x00" + template + "\n\x00Linux version %s\x00" + testBannerText + "\n\x00done\x00")
}

var le = binary.LittleEndian

// kernelELF is a vmlinux for x86_64: code for the BCJ filter of xz to work on, the banner, BTF.
func kernelELF() []byte {
	code := make([]byte, 0, 32<<10)
	for i := uint32(0); len(code) < 32<<10; i++ {
		// call rel32; mov eax, imm32; ret: calls of one function from everywhere are what the filter makes alike
		code = append(code, 0xe8)
		code = le.AppendUint32(code, 0x1000-uint32(len(code)))
		code = append(code, 0xb8)
		code = le.AppendUint32(code, i*2654435761>>20)
		code = append(code, 0xc3)
	}
	return testELF{class: elfClass64, order: le, machine: 62, sections: []testSection{
		{name: ".text", data: code},
		{name: ".rodata", data: kernelText()},
		{name: ".BTF", data: kernelBuilder().Bytes(le)},
	}}.build()
}

// payload is one of the compressed kernels in testdata and the command that made it. testdata/README.md says more.
type payload struct {
	file  string
	cmd   string // reads the kernel, writes the file
	step  string // how Open calls the format
	sized bool   // in boot images the expanded size follows
}

var payloads = []payload{
	{"payload.gz", "gzip -n -9", "gzip", false},
	{"payload.xz", "xz -9 --check=crc64", "xz", true},
	{"payload.sha256.xz", "xz -6 --check=sha256", "xz", true},
	{"payload.x86.xz", "xz --check=crc32 --x86 --lzma2=dict=128MiB", "xz", true},
	{"payload.lzma", "xz --format=lzma -9", "lzma", true},
	{"payload.bz2", "bzip2 -9", "bzip2", true},
	{"payload.zst", "zstd -q -22 --ultra", "zstd", true},
	{"payload.nosize.zst", "zstd -q -1 --no-check --single-thread", "zstd", true},
	{"payload.lz4", "lz4 -q -9 -", "lz4", true},
	{"payload.legacy.lz4", "lz4 -q -l -9 -", "lz4", true},
	{"payload.lzo", "lzop -9", "lzop", true},
	{"payload.fast.lzo", "lzop -1 --crc32", "lzop", true},
}

func (p payload) read(t testing.TB) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", p.file))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// inImage is the payload as it stands in a boot image.
func (p payload) inImage(data []byte, expanded int) []byte {
	if !p.sized {
		return data
	}
	return le.AppendUint32(bytes.Clone(data), uint32(expanded))
}

// TestPayloads checks that each payload still is the kernel that the other tests take it for.
func TestPayloads(t *testing.T) {
	kernel := kernelELF()
	for _, p := range payloads {
		t.Run(p.file, func(t *testing.T) {
			if *updatePayloads {
				args := strings.Fields(p.cmd)
				cmd := exec.Command(args[0], args[1:]...)
				cmd.Stdin = bytes.NewReader(kernel)
				out, err := cmd.Output()
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join("testdata", p.file), out, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			data := p.read(t)
			z := newInflated(&input{r: bytes.NewReader(data), size: int64(len(data))}, sniff(data), 1<<20, new(int64(maxWindow)))
			defer z.close()
			got, err := (&input{r: z, size: -1}).readUpTo(0, 1<<20)
			if err != nil || !bytes.Equal(got, kernel) {
				t.Fatalf("%d bytes, want the %d of the kernel; error %v", len(got), len(kernel), err)
			}
		})
	}
}
