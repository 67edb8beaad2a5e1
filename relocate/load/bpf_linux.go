package load

import (
	"bytes"
	"runtime"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/relocate"
)

// Parts of union bpf_attr of include/uapi/linux/bpf.h of Linux v6.12, as far as they are used. A kernel that knows fewer
// fields wants the others to be zero (bpf_check_uarg_tail_zero).

// progLoadAttr is the part for BPF_PROG_LOAD.
type progLoadAttr struct {
	progType           uint32
	insnCnt            uint32
	insns              uint64
	license            uint64
	logLevel           uint32
	logSize            uint32
	logBuf             uint64
	kernVersion        uint32
	progFlags          uint32
	progName           [16]byte
	_                  uint32 // progIfindex
	expectedAttachType uint32
	progBTFFD          uint32
	funcInfoRecSize    uint32
	funcInfo           uint64
	funcInfoCnt        uint32
	lineInfoRecSize    uint32
	lineInfo           uint64
	lineInfoCnt        uint32
	attachBTFID        uint32
	attachBTFObjFD     uint32
	_                  uint32 // coreReloCnt
	fdArray            uint64
	_                  uint64 // coreRelos
	_                  uint32 // coreReloRecSize
	logTrueSize        uint32
}

// mapCreateAttr is the part for BPF_MAP_CREATE.
type mapCreateAttr struct {
	mapType               uint32
	keySize               uint32
	valueSize             uint32
	maxEntries            uint32
	mapFlags              uint32
	innerMapFD            uint32
	numaNode              uint32
	mapName               [16]byte
	_                     uint32 // mapIfindex
	btfFD                 uint32
	btfKeyTypeID          uint32
	btfValueTypeID        uint32
	btfVmlinuxValueTypeID uint32
	mapExtra              uint64
	valueTypeBTFObjFD     int32
	_                     int32 // mapTokenFD
}

// btfLoadAttr is the part for BPF_BTF_LOAD.
type btfLoadAttr struct {
	btf     uint64
	_       uint64 // logBuf
	btfSize uint32
	_       [3]uint32 // logSize, logLevel, logTrueSize
}

// linkCreateAttr is the part for BPF_LINK_CREATE of a link of many uprobes.
type linkCreateAttr struct {
	progFD     uint32
	targetFD   uint32
	attachType uint32
	_          uint32 // flags
	path       uint64
	offsets    uint64
	_          uint64 // refCtrs
	_          uint64 // cookies
	cnt        uint32
	_          uint32 // multiFlags
	pid        uint32
	_          uint32
}

// bpf is bpf(2). BPF_PROG_LOAD gives EAGAIN where a signal came in between: sys_bpf_prog_load of libbpf v1.7.
func bpf[T progLoadAttr | mapCreateAttr | btfLoadAttr | linkCreateAttr](cmd int, attr *T) (fd int, errno unix.Errno) {
	for range 5 {
		r, _, e := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(unsafe.Pointer(attr)), unsafe.Sizeof(*attr))
		runtime.KeepAlive(attr)
		if fd, errno = int(r), e; errno != unix.EAGAIN && errno != unix.EINTR {
			break
		}
	}
	return fd, errno
}

// address pins a slice and returns where it is; 0 for an empty one.
func address[T any](pin *runtime.Pinner, s []T) uint64 {
	if len(s) == 0 {
		return 0
	}
	pin.Pin(&s[0])
	return uint64(uintptr(unsafe.Pointer(&s[0])))
}

// cString is text as C has it.
func cString(s string) []byte { return append([]byte(strings.ReplaceAll(s, "\x00", "")), 0) }

// encode writes instructions as struct bpf_insn of this machine.
func encode(insns []relocate.Insn) []byte {
	b := make([]byte, 8*len(insns))
	for i, in := range insns {
		p := b[8*i:]
		p[0] = in.Code
		p[1] = in.Dst | in.Src<<4
		if nativeOrder.Uint16([]byte{0, 1}) == 1 { // big endian: the registers are a bitfield from the high bits down
			p[1] = in.Dst<<4 | in.Src
		}
		nativeOrder.PutUint16(p[2:], uint16(in.Off))
		nativeOrder.PutUint32(p[4:], uint32(in.Imm))
	}
	return b
}

// Sizes of the buffer for the verifier's log, in bytes. Kernels from 6.4 on keep the log's end where it does not fit,
// older ones its start, so that these are given all that they want, within reason.
const (
	logSize    = 1 << 20
	logSizeMax = 16 << 20
	logKept    = 64 << 10 // of a log that is reported
)

// logBuffer is used again and again: programs are loaded one after the other, and clean memory is dear.
var logBuffer = make(chan []byte, 1)

// loadProgram hands a program to the kernel. Where that fails it is loaded again with a log, as libbpf does, and the number
// is that of the first attempt, for a log that does not fit makes it ENOSPC.
func loadProgram(attr *progLoadAttr) (fd int, log []string, truncated bool, errno unix.Errno) {
	fd, errno = bpf(unix.BPF_PROG_LOAD, attr)
	if errno == 0 {
		return fd, nil, false, 0
	}
	var buf []byte
	select {
	case buf = <-logBuffer:
	default:
		buf = make([]byte, logSize)
	}
	for {
		var pin runtime.Pinner
		buf[0] = 0
		attr.logLevel, attr.logSize, attr.logBuf, attr.logTrueSize = 1, uint32(len(buf)), address(&pin, buf), 0
		fd, again := bpf(unix.BPF_PROG_LOAD, attr)
		pin.Unpin()
		if again == 0 { // what was in the way is gone
			return fd, nil, false, 0
		}
		if again == unix.ENOSPC && attr.logTrueSize == 0 && len(buf) < logSizeMax {
			buf = make([]byte, logSizeMax)
			continue
		}
		truncated = again == unix.ENOSPC
		break
	}
	text, _, _ := bytes.Cut(buf, []byte{0})
	if len(text) > logKept {
		text, truncated = text[len(text)-logKept:], true
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			text = text[i+1:]
		}
	}
	for line := range strings.Lines(string(text)) {
		log = append(log, strings.TrimRight(line, "\n"))
	}
	select {
	case logBuffer <- buf:
	default:
	}
	return -1, log, truncated, errno
}
