package vm

import (
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// overheadMB is what QEMU takes beside a guest's memory: its code, and the instructions that TCG has translated.
const overheadMB = 256

// slots is Slots for a machine with these files and processors.
func slots(root fs.FS, processors, memoryMB int) int {
	if memoryMB <= 0 {
		memoryMB = defaultMemoryMB
	}
	free := min(available(root), cgroupRoom(root))
	byMemory := free / (int64(memoryMB+overheadMB) << 20)
	return int(max(1, min(int64(processors), byMemory)))
}

// available is MemAvailable of /proc/meminfo, in bytes; everything where there is none.
func available(root fs.FS) int64 {
	if kb, ok := field(root, "proc/meminfo", "MemAvailable:"); ok && kb < math.MaxInt64>>10 {
		return kb << 10
	}
	return math.MaxInt64
}

// cgroupRoom is what the process's cgroup and those above it let it take, in bytes: the limit less what is taken,
// without files that can be dropped. Source: Documentation/admin-guide/cgroup-v2.rst of Linux v6.12, "Memory Interface
// Files"; version 1 is memory.rst in cgroup-v1.
func cgroupRoom(root fs.FS) int64 {
	room := int64(math.MaxInt64)
	b, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return room
	}
	for line := range strings.Lines(string(b)) {
		part := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(part) != 3 {
			continue
		}
		base, limit, used, files := "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"
		switch {
		case part[0] == "0" && part[1] == "":
		case strings.Contains(","+part[1]+",", ",memory,"):
			base, limit, used, files = "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
		default:
			continue
		}
		// In a container the path may be that of the host, where it leads nowhere; the topmost folder is ours then.
		for dir := path.Join("/", part[2]); ; dir = path.Dir(dir) {
			at := path.Join(base, dir)
			most, ok := number(root, path.Join(at, limit))
			taken, ok2 := number(root, path.Join(at, used))
			if ok && ok2 {
				cached, _ := field(root, path.Join(at, "memory.stat"), files)
				room = min(room, max(0, most-taken+min(cached, taken)))
			}
			if dir == "/" {
				break
			}
		}
	}
	return room
}

// number reads a file that holds one; "max" is none.
func number(root fs.FS, name string) (int64, bool) {
	b, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	return n, err == nil && n >= 0
}

// field reads the number behind a name that begins a line.
func field(root fs.FS, file, name string) (int64, bool) {
	b, err := fs.ReadFile(root, file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) >= 2 && f[0] == name {
			n, err := strconv.ParseInt(f[1], 10, 64)
			return n, err == nil && n >= 0
		}
	}
	return 0, false
}
