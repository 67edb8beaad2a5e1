// Gen makes the embedded kernels of package kernels: update.sh runs it, with one line for each kernel on its input:
//
//	RELEASE PACKAGE VERSION IMAGE
//
// It writes manifest.json and one .btf.zst file a kernel into the folder that is its argument, and removes the .btf.zst
// files that are there. The same images give the same bytes: the compressor is the one that go.mod pins, and runs in
// one thread.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels"
)

// sizeLimit is what all files together may have, in bytes: they are in every binary and in every clone.
const sizeLimit = 16_000_000

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: gen FOLDER < LIST")
		os.Exit(2)
	}
	if err := run(os.Stdin, os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

// entry is one kernel of manifest.json: see manifestEntry in package kernels.
type entry struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Package string `json:"package"`
	File    string `json:"file"`
	Size    int    `json:"size"`
	SHA256  string `json:"sha256"`
}

func run(list io.Reader, folder string) error {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1),
		zstd.WithWindowSize(8<<20))
	if err != nil {
		return err
	}
	var entries []entry
	packed := map[string][]byte{}
	total := 0
	for lines := bufio.NewScanner(list); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) != 4 {
			return fmt.Errorf("%q: want RELEASE PACKAGE VERSION IMAGE", lines.Text())
		}
		e, raw, err := describe(f[0], f[1], f[2], f[3])
		if err != nil {
			return err
		}
		if packed[e.File] != nil {
			return fmt.Errorf("%s is there twice", e.ID)
		}
		packed[e.File] = enc.EncodeAll(raw, nil)
		total += len(packed[e.File])
		entries = append(entries, e)
	}
	if len(entries) == 0 {
		return fmt.Errorf("the list is empty")
	}
	if total > sizeLimit {
		return fmt.Errorf("the kernels take %d bytes, the limit is %d", total, sizeLimit)
	}
	sort.Slice(entries, func(i, j int) bool { return entries[i].ID < entries[j].ID })
	manifest, err := json.MarshalIndent(entries, "", "  ")
	if err != nil {
		return err
	}

	old, err := filepath.Glob(filepath.Join(folder, "*.btf.zst"))
	if err != nil {
		return err
	}
	for _, name := range old {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	for name, data := range packed {
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "manifest.json"), append(manifest, '\n'), 0o644); err != nil {
		return err
	}
	fmt.Printf("%d kernels, %d bytes\n", len(entries), total)
	return nil
}

// describe reads the BTF of one package's kernel image and says whose it is.
func describe(release, pkg, version, image string) (entry, []byte, error) {
	_, uname, ok := strings.Cut(pkg, "-") // linux-image-UNAME, linux-binary-UNAME
	if ok {
		_, uname, ok = strings.Cut(uname, "-")
	}
	if !ok {
		return entry{}, nil, fmt.Errorf("%s is no name of a kernel package", pkg)
	}
	v, err := kernels.VersionFromDebian(version)
	if err != nil {
		return entry{}, nil, fmt.Errorf("%s: %w", pkg, err)
	}
	f, err := btfinfo.Open(image, nil)
	if err != nil {
		return entry{}, nil, err
	}
	if f.Banner.Uname != uname {
		return entry{}, nil, fmt.Errorf("%s: the kernel in it calls itself %q", pkg, f.Banner.Uname)
	}
	sum := sha256.Sum256(f.Raw)
	return entry{
		ID:      "debian/" + release + "/x86_64/" + uname,
		Version: v.String(),
		Package: pkg + " " + version,
		File:    uname + ".btf.zst",
		Size:    len(f.Raw),
		SHA256:  hex.EncodeToString(sum[:]),
	}, f.Raw, nil
}
