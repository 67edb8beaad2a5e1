package load

import (
	"bytes"
	"compress/gzip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestKernelVersion(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, signature, build, release string
		want                            uint32
	}{
		{"mainline", "", "#1 SMP PREEMPT_DYNAMIC Thu Nov 20 21:00:00 UTC 2026", "6.18.44", 0x06122c},
		{"Debian", "", "#1 SMP PREEMPT_DYNAMIC Debian 6.1.176-1 (2026-07-02)", "6.1.0-50-cloud-amd64", 0x0601b0},
		{"Debian, third number too large for KERNEL_VERSION", "", "#1 SMP Debian 5.10.260-1 (2026-07-31)", "5.10.0-46-amd64", 0x050aff},
		{"Debian, a release candidate", "", "#1 SMP Debian 7.3~rc7-1~exp1 (2026-11-16)", "7.3-cloud-amd64", 0},
		{"Debian, two numbers, but the release has three", "", "#1 SMP Debian 7.3-1", "7.3.0-1-amd64", 0x070300},
		{"Ubuntu", "Ubuntu 5.4.0-150.167-generic 5.4.233\n", "#167-Ubuntu SMP", "5.4.0-150-generic", 0x0504e9},
		{"Ubuntu goes before Debian", "Ubuntu 5.4.0-150.167-generic 5.4.233\n", "Debian 6.1.2", "5.4.0", 0x0504e9},
		{"a signature that is none", "what", "", "5.4.0", 0x050400},
		{"two numbers", "", "", "6.8-rc1", 0},
		{"none", "", "", "linux", 0},
	} {
		if got := kernelVersion(test.signature, test.build, test.release); got != test.want {
			t.Errorf("%s: %#08x, want %#08x", test.name, got, test.want)
		}
	}
}

// put writes files under a root.
func put(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// fakeKernel is a kernel of files under a root, with all features.
func fakeKernel(t *testing.T, files map[string]string) *Kernel {
	t.Helper()
	return newKernel(put(t, files), "6.1.0-test", "#1 SMP Debian 6.1.176-1", "x86_64", nil, nil, func(feature) bool { return true })
}

func TestSymbols(t *testing.T) {
	t.Parallel()
	k := fakeKernel(t, map[string]string{"proc/kallsyms": "" +
		"ffffffff81000000 T _stext\n" +
		"ffffffff81000010 t dup\n" +
		"ffffffff81000020 t dup\n" +
		"ffffffff81000030 d table.llvm.1234\n" +
		"ffffffff81000040 t table\n" +
		"ffffffff81000050 t tables\n" +
		"ffffffffc0000000 t in_module\t[table]\n"})
	for name, want := range map[string][]uint64{
		"_stext": {0xffffffff81000000}, "dup": {0xffffffff81000010, 0xffffffff81000020}, "table": {0xffffffff81000040},
		"in_module": {0xffffffffc0000000}, "stext": nil, "tabl": nil, "": nil,
	} {
		got, err := k.Symbols(name)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %#x, %v, want %#x", name, got, err, want)
		}
	}
	if _, err := fakeKernel(t, nil).Symbols("dup"); err == nil {
		t.Error("there is no kallsyms, and no error")
	}
}

func TestConfigFile(t *testing.T) {
	t.Parallel()
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write([]byte("CONFIG_ZIPPED=y\n")); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name  string
		files map[string]string
		want  string
		err   string
	}{
		{"boot", map[string]string{"boot/config-6.1.0-test": "CONFIG_PLAIN=y\n", "proc/config.gz": zipped.String()}, "CONFIG_PLAIN=y\n", ""},
		{"boot, zipped", map[string]string{"boot/config-6.1.0-test": zipped.String()}, "CONFIG_ZIPPED=y\n", ""},
		{"proc", map[string]string{"boot/config-6.1.0-other": "CONFIG_PLAIN=y\n", "proc/config.gz": zipped.String()}, "CONFIG_ZIPPED=y\n", ""},
		{"none", nil, "", "no /boot/config-6.1.0-test and no /proc/config.gz"},
		{"damaged", map[string]string{"proc/config.gz": zipped.String()[:20]}, "", "proc/config.gz: unexpected EOF"},
	} {
		got, err := fakeKernel(t, test.files).config()
		if string(got) != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, %v, want %q and an error with %q", test.name, got, err, test.want, test.err)
		}
	}
}

func TestCPUs(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]uint32{"0\n": 1, "0-3\n": 4, "0-3,8,10-11\n": 7, "": 0, "x": 0, "3-1": 0} {
		k := fakeKernel(t, map[string]string{"sys/devices/system/cpu/possible": text})
		if got := k.cpus(); got != want {
			t.Errorf("%q: %d CPUs, want %d", text, got, want)
		}
	}
}
