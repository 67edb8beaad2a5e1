package btfinfo

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// systemTree writes files under a new root.
func systemTree(t *testing.T, files map[string][]byte) string {
	t.Helper()
	root := t.TempDir()
	for path, data := range files {
		path = filepath.Join(root, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestOpenSystemFiles(t *testing.T) {
	t.Parallel()
	const release = "6.1.0-50-cloud-amd64"
	raw, elf := kernelBuilder().Bytes(le), kernelELF()
	damaged := raw[:100]
	for _, test := range []struct {
		name  string
		files map[string][]byte
		path  string // of the BTF, or
		err   string // what is wrong
	}{
		{"sysfs", map[string][]byte{"/sys/kernel/btf/vmlinux": raw, "/boot/vmlinux-" + release: damaged}, "/sys/kernel/btf/vmlinux", ""},
		{"no fallback for damaged sysfs", map[string][]byte{"/sys/kernel/btf/vmlinux": damaged, "/boot/vmlinux-" + release: elf}, "", "/sys/kernel/btf/vmlinux: at 0x10: BTF strings end"},
		{"boot", map[string][]byte{"/boot/vmlinux-" + release: elf}, "/boot/vmlinux-" + release, ""},
		{"boot of another kernel", map[string][]byte{"/boot/vmlinux-6.1.0-49-cloud-amd64": elf}, "", "has no BTF"},
		{"damaged boot, then build", map[string][]byte{"/boot/vmlinux-" + release: damaged, "/lib/modules/" + release + "/build/vmlinux": elf}, "/lib/modules/" + release + "/build/vmlinux", ""},
		{"lib", map[string][]byte{"/lib/modules/" + release + "/vmlinux-" + release: elf}, "/lib/modules/" + release + "/vmlinux-" + release, ""},
		{"debug", map[string][]byte{"/usr/lib/debug/boot/vmlinux-" + release + ".debug": elf}, "/usr/lib/debug/boot/vmlinux-" + release + ".debug", ""},
		{"only damaged", map[string][]byte{"/usr/lib/debug/boot/vmlinux-" + release: damaged}, "", "/usr/lib/debug/boot/vmlinux-" + release + ": at 0x10: BTF strings end"},
		{"nothing", nil, "", "/sys/kernel/btf/vmlinux: the running kernel 6.1.0-50-cloud-amd64 has no BTF, nor is there a vmlinux of it in /boot, /lib/modules or /usr/lib/debug"},
	} {
		t.Run(test.name, func(t *testing.T) {
			root := systemTree(t, test.files)
			f, err := openSystem(root, release)
			if test.err != "" {
				var e *Error
				if f != nil || !errors.As(err, &e) || !strings.Contains(err.Error(), test.err) {
					t.Fatalf("file %v, error %v, want %s", f, err, test.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			checkKernel(t, f)
			if want := filepath.Join(root, test.path); f.Path != want || f.Banner.Uname != release {
				t.Errorf("path %s, uname %s, want %s, %s", f.Path, f.Banner.Uname, want, release)
			}
		})
	}
}

func TestOpenSystemBanner(t *testing.T) {
	t.Parallel()
	raw := kernelBuilder().Bytes(le)
	for _, test := range []struct {
		name, version, signature string
		want                     Banner
	}{
		{"nothing", "", "", Banner{Uname: "5.4.0-42-generic"}},
		{"Debian", testBannerText + "\n", "", Banner{testBannerText, "6.1.0-50-cloud-amd64", "6.1.176"}},
		{"Ubuntu", "Linux version 5.4.0-42-generic (x) #46-Ubuntu SMP\n", "Ubuntu 5.4.0-42.46-generic 5.4.44\n",
			Banner{"Linux version 5.4.0-42-generic (x) #46-Ubuntu SMP", "5.4.0-42-generic", "5.4.44"}},
		{"strange signature", "", "Ubuntu x", Banner{Uname: "5.4.0-42-generic"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			files := map[string][]byte{"/sys/kernel/btf/vmlinux": raw}
			if test.version != "" {
				files["/proc/version"] = []byte(test.version)
			}
			if test.signature != "" {
				files["/proc/version_signature"] = []byte(test.signature)
			}
			f, err := openSystem(systemTree(t, files), "5.4.0-42-generic")
			if err != nil {
				t.Fatal(err)
			}
			if f.Banner != test.want {
				t.Errorf("banner %+v, want %+v", f.Banner, test.want)
			}
		})
	}
}

func TestOpenSystemModuleFiles(t *testing.T) {
	t.Parallel()
	kb := kernelBuilder()
	kernel, err := Parse(kb.Bytes(le))
	if err != nil {
		t.Fatal(err)
	}
	mod := moduleBuilder(kb).Bytes(le)
	root := systemTree(t, map[string][]byte{
		"/sys/kernel/btf/vmlinux": kb.Bytes(le), "/sys/kernel/btf/xfs": mod, "/sys/kernel/btf/ext4": mod, "/sys/kernel/btf/bad": mod[:40],
	})
	files, errs := openSystemModules(root, kernel)
	var names []string
	for _, f := range files {
		names = append(names, f.Module)
		if !f.Split() || f.Base != kernel {
			t.Errorf("%s does not continue the kernel", f.Module)
		}
	}
	if got := strings.Join(names, " "); got != "ext4 xfs" {
		t.Errorf("modules %q, want ext4 and xfs", got)
	}
	if len(errs) != 1 || !strings.Contains(errs[0].Error(), "/sys/kernel/btf/bad: at 0x10: BTF strings end") {
		t.Errorf("errors %v, want one about the module bad", errs)
	}
	files, errs = openSystemModules(t.TempDir(), kernel)
	if len(files) != 0 || len(errs) != 0 {
		t.Errorf("without sysfs: %v, %v, want neither", files, errs)
	}
}

// TestOpenSystem opens the running kernel's BTF where it has one; elsewhere it checks that the error says so.
func TestOpenSystem(t *testing.T) {
	t.Parallel()
	f, err := OpenSystem()
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Hint == "" {
			t.Fatalf("%v, want an *Error with a hint", err)
		}
		return
	}
	if f.Banner.Uname == "" || f.Arch == "" || len(f.BTF.Named("task_struct", KindStruct)) == 0 {
		t.Errorf("uname %q, arch %q, or no task_struct", f.Banner.Uname, f.Arch)
	}
	modules, errs := OpenSystemModules(f.BTF)
	for _, err := range errs {
		t.Error(err)
	}
	for _, m := range modules {
		walk(m.BTF)
	}
}
