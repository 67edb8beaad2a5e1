package source

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/corecheck/corecheck/kernels/archive"
)

// paxRecords is the header of tar that says more of the file after it. archive/tar writes none for sparse files.
func paxRecords(records ...string) []byte {
	var body []byte
	for _, r := range records {
		n := len(r) + 2 // a blank and the end of the line
		for len(fmt.Sprint(n))+len(r)+2 != n {
			n = len(fmt.Sprint(n)) + len(r) + 2
		}
		body = fmt.Appendf(body, "%d %s\n", n, r)
	}
	b := tarFile(packed{path: "pax", data: body})[512:] // without the folder
	b[156] = tar.TypeXHeader
	copy(b[148:156], "        ")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b[:512+(len(body)+511)/512*512]
}

// TestSparse: tar knows files with holes, whose content is as long as a header says, whatever there is of it.
func TestSparse(t *testing.T) {
	t.Parallel()
	f := newFake("6.1.0-50-amd64", "6.1.176-1")
	for name, records := range map[string][]string{
		"0.1": {"GNU.sparse.map=0,1", "GNU.sparse.size=1125899906842624", "GNU.sparse.numblocks=1"},
		"1.0": {"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.realsize=1125899906842624", "GNU.sparse.name=boot/vmlinuz-" + f.uname},
	} {
		data := tarFile(packed{path: "boot/vmlinuz-" + f.uname, data: append([]byte("1\n0\n1\n"), make([]byte, 507)...)})
		data = append(append(data[:512:512], paxRecords(records...)...), data[512:]...)
		control := tarFile(packed{path: "control", data: []byte("Package: linux-image-" + f.uname + "\nVersion: 6.1.176-1\nArchitecture: amd64\n")})
		deb := arFile("debian-binary", []byte("2.0\n"), "control.tar", control, "data.tar", data)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		done := make(chan error, 1)
		var part *Part
		go func() {
			var err error
			part, err = ReadPackage(ctx, archive.Source{URI: "a.deb"}, bytes.NewReader(deb), nil)
			done <- err
		}()
		select {
		case err := <-done:
			if err != nil || len(part.pieces) > 0 {
				t.Errorf("%s: %v, want no kernel and no error", name, err)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%s: still reading a petabyte that is not there", name)
		}
	}
}

// TestLongPaths: each file of an RPM names its folder by a number, and folders have long names: a header of megabytes could name
// paths of gigabytes.
func TestLongPaths(t *testing.T) {
	f := newFake("6.1.0-50.x86_64", "")
	r := wholeRPM(f)
	const n = 200_000
	r.edit = func(tags map[uint32]rpmValue) {
		bases, zeros, modes := make([]string, n), make([]uint32, n), make([]uint32, n)
		for i := range bases {
			bases[i], modes[i] = "a", modeRegular
		}
		tags[rpmDirNames], tags[rpmBaseNames], tags[rpmDirIndexes] = []string{strings.Repeat("d", maxPath-10)}, bases, zeros
		tags[rpmFileModes], tags[rpmFileFlags], tags[rpmFileInodes], tags[rpmFileSizes] = modes, zeros, zeros, zeros
	}
	data := r.build()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := ReadPackage(t.Context(), archive.Source{URI: "a.rpm"}, bytes.NewReader(data), nil)
	runtime.ReadMemStats(&after)
	if err == nil || !strings.Contains(err.Error(), "the paths of the files up to") {
		t.Errorf("%v, want that the paths are too long", err)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 300<<20 {
		t.Errorf("reading %d bytes took %d", len(data), n)
	}
}
