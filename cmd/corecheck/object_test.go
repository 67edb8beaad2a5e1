package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A folder that can't be read does not hide the files beside it, and empty marker files are no broken objects.
func TestExpandFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	closed := filepath.Join(dir, "closed")
	if err := os.Mkdir(closed, 0); err != nil {
		t.Fatal(err)
	}
	var want []string
	for name, content := range map[string]string{"a.o": "x", "deep/b": "x", "empty.o": "", "deep/.gitkeep": ""} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			t.Fatal(err)
		}
		if name != "deep/.gitkeep" {
			want = append(want, path)
		}
	}
	slices.Sort(want)
	files, isDir, errs := expand(dir)
	if !slices.Equal(files, want) || !isDir {
		t.Errorf("files %q, want %q; a folder: %v", files, want, isDir)
	}
	if closedToUs := os.Geteuid() != 0; (len(errs) == 1) != closedToUs { // root reads what it likes
		t.Errorf("errors %v", errs)
	}
}
