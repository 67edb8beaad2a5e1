package vm

import (
	"fmt"
	"testing"
	"testing/fstest"
)

func TestSlots(t *testing.T) {
	t.Parallel()
	const gb = 1 << 30
	file := func(format string, args ...any) *fstest.MapFile {
		return &fstest.MapFile{Data: fmt.Appendf(nil, format, args...)}
	}
	meminfo := func(mb int) *fstest.MapFile { return file("MemTotal: 99 kB\nMemAvailable:   %d kB\n", mb<<10) }
	for _, c := range []struct {
		name             string
		root             fstest.MapFS
		processors, want int
	}{
		{"by processors", fstest.MapFS{"proc/meminfo": meminfo(64 << 10)}, 4, 4},
		{"by memory", fstest.MapFS{"proc/meminfo": meminfo(3 * (1024 + overheadMB))}, 8, 3},
		{"at least one", fstest.MapFS{"proc/meminfo": meminfo(100)}, 8, 1},
		{"nothing known", fstest.MapFS{}, 8, 8},
		{"damaged", fstest.MapFS{"proc/meminfo": file("MemAvailable: lots\n"), "proc/self/cgroup": file("0:\n0::\n")}, 8, 8},
		{"cgroup", fstest.MapFS{
			"proc/meminfo": meminfo(64 << 10), "proc/self/cgroup": file("0::/a/b\n"),
			"sys/fs/cgroup/a/memory.max": file("%d\n", 4*gb), "sys/fs/cgroup/a/memory.current": file("%d\n", 2*gb),
			"sys/fs/cgroup/a/memory.stat":  file("anon 5\ninactive_file %d\n", gb/2),
			"sys/fs/cgroup/a/b/memory.max": file("max\n"), "sys/fs/cgroup/a/b/memory.current": file("5\n"),
		}, 8, 2}, // 2.5 GB, a guest takes 1.25
		{"cgroup that is full", fstest.MapFS{
			"proc/self/cgroup": file("0::/\n"), "sys/fs/cgroup/memory.max": file("5\n"), "sys/fs/cgroup/memory.current": file("6\n"),
		}, 8, 1},
		{"cgroup of a container", fstest.MapFS{
			"proc/self/cgroup": file("0::/host/path\n"), "sys/fs/cgroup/memory.max": file("%d\n", 4*gb), "sys/fs/cgroup/memory.current": file("%d\n", gb),
		}, 8, 2},
		{"cgroup of version 1", fstest.MapFS{
			"proc/self/cgroup": file("5:cpu,cpuacct:/x\n4:memory:/x\n"),
			"sys/fs/cgroup/memory/x/memory.limit_in_bytes": file("%d\n", 4*gb),
			"sys/fs/cgroup/memory/x/memory.usage_in_bytes": file("%d\n", gb),
			"sys/fs/cgroup/memory/memory.limit_in_bytes":   file("9223372036854771712\n"),
			"sys/fs/cgroup/memory/memory.usage_in_bytes":   file("%d\n", gb),
		}, 8, 2},
	} {
		if got := slots(c.root, c.processors, 1024); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
		if got := slots(c.root, c.processors, 0); got != c.want {
			t.Errorf("%s: %d with the default, want %d", c.name, got, c.want)
		}
	}
	if n := Slots(1); n < 1 {
		t.Errorf("%d on this machine", n)
	}
}
