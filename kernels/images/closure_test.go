package images

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/corecheck/corecheck/kernels"
)

// compile makes a program or a library of nothing.
func compile(t *testing.T, dir, out string, args ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		t.Skip("no cc on this machine")
	}
	out = filepath.Join(dir, out)
	if err := os.MkdirAll(filepath.Dir(out), 0o755); err != nil {
		t.Fatal(err)
	}
	src := write(t, filepath.Join(t.TempDir(), "x.c"), []byte("int main(void) { return 0; }\nint f(void) { return 0; }\n"))
	cmd := exec.Command(cc, slices.Concat([]string{"-o", out, src, "-Wl,--no-as-needed"}, args)...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("cc: %v\n%s", err, text)
	}
	return out
}

func hostArch(t *testing.T) string {
	t.Helper()
	arch, ok := kernels.Arch(runtime.GOARCH)
	if !ok || runtime.GOOS != "linux" {
		t.Skip("this machine has no ELF programs of an architecture that is known")
	}
	return arch
}

// A program's libraries are found as its interpreter finds them; what the list has is enough to run it without anything else.
func TestClosure(t *testing.T) {
	t.Parallel()
	arch := hostArch(t)
	dir := t.TempDir()
	compile(t, dir, "lib/libdeep.so.1", "-shared", "-Wl,-soname,libdeep.so.1")
	compile(t, dir, "lib/libtop.so.1", "-shared", "-Wl,-soname,libtop.so.1", filepath.Join(dir, "lib/libdeep.so.1"), "-Wl,--enable-new-dtags,-rpath,$ORIGIN")
	program := compile(t, dir, "bin/program", filepath.Join(dir, "lib/libtop.so.1"), "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib", "-Wl,--allow-shlib-undefined")
	files, err := Closure(program, arch)
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]string{}
	for _, f := range files {
		have[f.Path] = f.Source
		if st, err := os.Stat(f.Source); err != nil || !st.Mode().IsRegular() || f.Link != "" || f.Mode == 0 {
			t.Errorf("%+v: %v", f, err)
		}
	}
	for _, want := range []string{filepath.Join(dir, "lib/libtop.so.1"), filepath.Join(dir, "lib/libdeep.so.1")} {
		if have[want] == "" {
			t.Errorf("%s is not in the list: %v", want, files)
		}
	}
	// The interpreter itself is the oracle: it names what it takes.
	out, err := exec.Command("ldd", program).Output()
	if err != nil {
		t.Skipf("ldd: %v", err)
	}
	for line := range strings.Lines(string(out)) {
		words := strings.Fields(line)
		if len(words) < 3 || words[1] != "=>" {
			continue
		}
		if have[filepath.Clean(words[2])] == "" {
			t.Errorf("the interpreter takes %s, which is not in the list: %v", words[2], files)
		}
	}
	if static := compile(t, dir, "bin/static", "-static", "-nostdlib", "-Wl,-e,main"); static != "" {
		if files, err := Closure(static, arch); err != nil || len(files) > 0 {
			t.Errorf("a static program needs %v, %v", files, err)
		}
	}
}

// DT_RPATH holds for libraries' libraries; DT_RUNPATH does not, and what is nowhere is said.
func TestLibraryFolders(t *testing.T) {
	t.Parallel()
	arch := hostArch(t)
	dir := t.TempDir()
	compile(t, dir, "lib/libdeep.so.1", "-shared", "-nostdlib", "-Wl,-soname,libdeep.so.1")
	compile(t, dir, "lib/libtop.so.1", "-shared", "-nostdlib", "-Wl,-soname,libtop.so.1", filepath.Join(dir, "lib/libdeep.so.1"))
	old := compile(t, dir, "bin/rpath", filepath.Join(dir, "lib/libtop.so.1"), "-Wl,--disable-new-dtags,-rpath,"+dir+"/lib", "-Wl,--allow-shlib-undefined")
	if files, err := Closure(old, arch); err != nil || !slices.ContainsFunc(files, func(f File) bool { return f.Path == dir+"/lib/libdeep.so.1" }) {
		t.Errorf("%v, %v", files, err)
	}
	new := compile(t, dir, "bin/runpath", filepath.Join(dir, "lib/libtop.so.1"), "-Wl,--enable-new-dtags,-rpath,"+dir+"/lib", "-Wl,--allow-shlib-undefined")
	_, err := Closure(new, arch)
	wantErr(t, err, "the library libdeep.so.1 that "+dir+"/lib/libtop.so.1 needs is not on this machine")

	// The folders of ldconfig's configuration, with the cache that the interpreter needs to find what is in them.
	root := t.TempDir()
	write(t, filepath.Join(root, "etc/ld.so.conf"), []byte("# folders\ninclude ld.so.conf.d/*.conf\nhwcap 1 nosegneg\n/opt/a\n"))
	write(t, filepath.Join(root, "etc/ld.so.conf.d/b.conf"), []byte("/opt/b=libc6\ninclude /etc/ld.so.conf\n"))
	write(t, filepath.Join(root, "etc/ld.so.cache"), []byte("glibc-ld.so.cache1.1"))
	for _, lib := range []string{"libdeep.so.1", "libtop.so.1"} {
		content, err := os.ReadFile(filepath.Join(dir, "lib", lib))
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(root, "opt/b", lib), content)
	}
	plain := compile(t, dir, "bin/plain", "-nostdlib", "-Wl,-e,main", filepath.Join(dir, "lib/libtop.so.1"), "-Wl,--allow-shlib-undefined")
	c := &closure{root: root, arch: arch, seen: map[string]bool{}}
	if err := c.read(); err != nil {
		t.Fatal(err)
	}
	// The interpreter is at its own place in this root as well.
	if o, err := readObject(plain, plain); err != nil {
		t.Fatal(err)
	} else {
		write(t, filepath.Join(root, o.interpreter), []byte("interpreter"))
	}
	if err := c.program(plain, plain); err != nil {
		t.Fatal(err)
	}
	var paths []string
	for _, f := range c.files {
		paths = append(paths, f.Path)
	}
	for _, want := range []string{"/opt/b/libtop.so.1", "/opt/b/libdeep.so.1", "/etc/ld.so.cache"} {
		if !slices.Contains(paths, want) {
			t.Errorf("%s is not in %v", want, paths)
		}
	}
}

func TestNoClosure(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	short := write(t, filepath.Join(dir, "short"), []byte("\x7fELF"))
	script := write(t, filepath.Join(dir, "script"), []byte("#!/bin/sh\nexit 0\n"))
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	other := "arm64"
	if runtime.GOARCH == "arm64" {
		other = "x86_64"
	}
	for _, tc := range []struct{ program, arch, want string }{
		{filepath.Join(dir, "nosuch"), "x86_64", "nosuch: can't be read: no such file"},
		{dir, "x86_64", "no regular file"},
		{short, "x86_64", "is no ELF program"},
		{script, "x86_64", "is no ELF program"},
		{write(t, filepath.Join(dir, "empty"), nil), "x86_64", "is no ELF program"},
		{self, other, "the guest is " + other},
	} {
		if tc.program == self && runtime.GOOS != "linux" {
			continue // no ELF file
		}
		_, err := Closure(tc.program, tc.arch)
		wantErr(t, err, tc.want)
	}
}
