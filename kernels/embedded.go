package kernels

import (
	"embed"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/corecheck/corecheck/btfinfo"
)

// The embedded kernels: manifest.json, and per kernel its BTF as one zstd frame. kernels/embedded/update.sh makes them.
//
//go:embed embedded/manifest.json embedded/*.btf.zst
var embedded embed.FS

// manifestEntry is one kernel in embedded/manifest.json; its fields are those of Kernel.
type manifestEntry struct {
	ID      string `json:"id"`
	Version string `json:"version"`
	Package string `json:"package"` // name and version
	File    string `json:"file"`    // in embedded/
	Size    int    `json:"size"`    // of the BTF in bytes
	SHA256  string `json:"sha256"`  // of the BTF, in hex
}

func readManifest() ([]manifestEntry, error) {
	data, err := embedded.ReadFile("embedded/manifest.json")
	if err != nil {
		return nil, err
	}
	var m []manifestEntry
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("embedded/manifest.json: %w", err)
	}
	return m, nil
}

// One decoder serves all loads: its tables cost more to make than a small frame costs to read.
var embeddedDecoder = sync.OnceValues(func() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderMaxMemory(64<<20))
})

// Embedded returns the kernels that are built into the program, oldest first. Only their descriptions are read here.
func Embedded() ([]*Kernel, error) {
	m, err := readManifest()
	if err != nil {
		return nil, err
	}
	all := make([]*Kernel, 0, len(m))
	for _, e := range m {
		v, err := ParseVersion(e.Version)
		if err != nil {
			return nil, fmt.Errorf("embedded/manifest.json: %s: %w", e.ID, err)
		}
		k := New(e.ID, v, nil)
		k.Package, k.Source, k.VersionFrom = e.Package, "embedded", FromPackage
		k.load = func() (*btfinfo.BTF, []Module, error) {
			raw, err := e.read()
			if err != nil {
				return nil, nil, err
			}
			btf, err := btfinfo.Parse(raw)
			return btf, nil, err
		}
		all = append(all, k)
	}
	return Union(all), nil
}

// read decompresses the kernel's BTF. The frame's own checksum is compared on the way.
func (e manifestEntry) read() ([]byte, error) {
	dec, err := embeddedDecoder()
	if err != nil {
		return nil, err
	}
	packed, err := embedded.ReadFile("embedded/" + e.File)
	if err != nil {
		return nil, err
	}
	raw, err := dec.DecodeAll(packed, make([]byte, 0, e.Size))
	if err != nil {
		return nil, fmt.Errorf("embedded/%s: %w", e.File, err)
	}
	return raw, nil
}
