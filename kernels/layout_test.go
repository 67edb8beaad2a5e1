package kernels

import (
	"os"
	"path/filepath"
	"testing"
)

// A path and a folder that holds it give one ID.
func TestInLayout(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{
		"debian/11/x86_64/5.10.0-8-amd64.btf.tar.xz":                      "debian/11/x86_64/5.10.0-8-amd64",
		"android/common-android12-5.10/a12-5.10-2021-09-arm64.btf.tar.xz": "android/common-android12-5.10/arm64/a12-5.10-2021-09-arm64",
		"centos/8/amd64/4.18.0-147.el8.x86_64.btf":                        "centos/8/x86_64/4.18.0-147.el8.x86_64",
		"5.10.0-8-amd64.btf":                                              "unknown/unknown/x86_64/5.10.0-8-amd64",
		"ubuntu/5.4.0-91-generic.btf.xz":                                  "ubuntu/unknown/unknown/5.4.0-91-generic",
	} {
		k, ok := InLayout(path)
		if !ok || k.ID != want {
			t.Errorf("InLayout(%q) = %v, %v, want %q", path, k, ok, want)
			continue
		}
		dir := t.TempDir()
		file := filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("x"), 0o644); err != nil {
			t.Fatal(err)
		}
		found, err := FromPath(dir)
		if err != nil || len(found) != 1 || found[0].ID != k.ID {
			t.Errorf("FromPath gives %v, %v for %q, want %q", found, err, path, k.ID)
		}
	}
	for _, path := range []string{"", "debian/11/x86_64/README.md", "debian/11/x86_64/"} {
		if k, ok := InLayout(path); ok {
			t.Errorf("InLayout(%q) = %v, want none", path, k)
		}
	}
}
