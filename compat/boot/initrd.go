package boot

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/corecheck/corecheck/compat/boot/guest"
	"github.com/corecheck/corecheck/compat/boot/initramfs"
	"github.com/corecheck/corecheck/kernels/images"
	"github.com/corecheck/corecheck/relocate"
)

// maxObject is the largest object that is put into a guest, in bytes.
const maxObject = 256 << 20

// root is what a guest gets to see: nothing else of the host.
type root struct {
	init    string // file of corecheck for the guest
	plan    *guest.Plan
	objects [][]byte // by Plan.Objects
	modules []images.Module
	uname   string
	config  string        // file of the kernel's configuration, "" for none
	files   []images.File // of the loader
}

// write writes the archive to w.
func (r *root) write(w io.Writer) error {
	plan, err := json.Marshal(r.plan)
	if err != nil {
		return err
	}
	buf := bufio.NewWriterSize(w, 1<<20)
	a := initramfs.NewWriter(buf)
	steps := []func() error{
		func() error { return a.Dir("/dev", 0o755) },
		func() error { return a.Char("/dev/console", 0o600, 5, 1) }, // what the kernel opens for /init
		func() error { return a.Copy(guest.InitPath, 0o755, r.init) },
		func() error { return a.File(guest.PlanPath, 0o444, plan) },
	}
	for i, o := range r.plan.Objects {
		steps = append(steps, func() error { return a.File(o.Path, 0o444, r.objects[i]) })
	}
	for i, m := range r.modules {
		steps = append(steps, func() error { return a.Copy(r.plan.Modules[i], 0o444, m.Path) })
	}
	if r.config != "" {
		steps = append(steps, func() error { return a.Copy("/boot/config-"+r.uname, 0o444, r.config) })
	}
	for _, f := range r.files {
		if f.Link != "" {
			steps = append(steps, func() error { return a.Symlink(f.Path, f.Link) })
		} else {
			steps = append(steps, func() error { return a.Copy(f.Path, fs.FileMode(f.Mode).Perm(), f.Source) })
		}
	}
	steps = append(steps, a.Close, buf.Flush)
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// size is about how large the archive is that write writes, in bytes: what its files have. One that is gone is told by write.
func (r *root) size() int64 {
	var n int64
	add := func(path string) {
		if st, err := os.Stat(path); path != "" && err == nil {
			n += st.Size()
		}
	}
	add(r.init)
	add(r.config)
	for _, o := range r.objects {
		n += int64(len(o))
	}
	for _, m := range r.modules {
		add(m.Path)
	}
	for _, f := range r.files {
		add(f.Source)
	}
	return n
}

// objectPath is where object i is in a guest.
func objectPath(i int, o *relocate.Object) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '_', r == '-', r == '.':
			return r
		}
		return '_'
	}, o.Name)
	// libbpf names data maps after the file, up to its first dot.
	return fmt.Sprintf("/corecheck/objects/%d/%s.bpf.o", i, name[:min(len(name), 64)])
}

// modulePath is where a module is in a guest.
func modulePath(m images.Module) string { return "/corecheck/modules/" + m.Name + ".ko" }

// bytesOf reads an object again out of the file that it was read from.
func bytesOf(o *relocate.Object) ([]byte, error) {
	f, err := os.Open(o.File)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if o.Size > maxObject {
		return nil, fmt.Errorf("%s: object %s has %d bytes, the limit of a guest is %d", o.File, o.Name, o.Size, maxObject)
	}
	b := make([]byte, o.Size)
	if _, err := f.ReadAt(b, o.Offset); err != nil {
		return nil, fmt.Errorf("%s: reading object %s: %w", o.File, o.Name, err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != o.SHA256 {
		return nil, fmt.Errorf("%s: object %s has changed while it was looked at", o.File, o.Name)
	}
	return b, nil
}
