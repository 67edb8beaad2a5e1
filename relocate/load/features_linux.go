package load

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/relocate"
)

// Instructions that the tries are made of.
var (
	insnExit = relocate.Insn{Code: 0x95} // exit
	insnZero = relocate.Insn{Code: 0xb7} // r0 = 0
)

func insnHelper(n int32) relocate.Insn { return relocate.Insn{Code: codeCall, Imm: n} }

// Types and helpers of the tries: include/uapi/linux/bpf.h.
const (
	progSocketFilter  = 1
	progKprobe        = 2
	progTracepoint    = 5
	progCgroupSock    = 9
	attachSockCreate  = 2   // BPF_CGROUP_INET_SOCK_CREATE
	attachUprobeMulti = 48  // BPF_TRACE_UPROBE_MULTI
	helperCoarse      = 160 // BPF_FUNC_ktime_get_coarse_ns
	helperFuncIP      = 173 // BPF_FUNC_get_func_ip
	helperCookie      = 174 // BPF_FUNC_get_attach_cookie
)

// probe tries whether the running kernel has a feature: the function of libbpf v1.7's features.c.
func probe(f feature) bool {
	switch f {
	case featProgName: // probe_kern_prog_name
		return tryProgram(&progLoadAttr{progType: progSocketFilter, progName: name16("corecheck_name")}, insnZero, insnExit)
	case featGlobalData: // probe_kern_global_data
		return tryMapValue()
	case featBTF: // probe_kern_btf
		return tryBTF("\x00int\x00", intType(1, true)...)
	case featBTFFunc, featBTFGlobalFunc: // probe_kern_btf_func, probe_kern_btf_func_global
		linkage := 0
		if f == featBTFGlobalFunc {
			linkage = btfFuncGlobal
		}
		types := append(intType(1, true), btfType(0, btfinfo.KindFuncProto, 1, 0, 7, 1)...)
		return tryBTF("\x00int\x00x\x00a\x00", append(types, btfType(5, btfinfo.KindFunc, linkage, 2)...)...)
	case featBTFDatasec: // probe_kern_btf_datasec
		return tryDatasec("\x00x\x00.data\x00")
	case featBTFQmarkDatasec: // probe_kern_btf_qmark_datasec
		return tryDatasec("\x00x\x00?.data\x00")
	case featBTFFloat: // probe_kern_btf_float
		return tryBTF("\x00float\x00", btfType(1, btfinfo.KindFloat, 0, 4)...)
	case featBTFDeclTag: // probe_kern_btf_decl_tag
		types := append(intType(0, true), btfType(1, btfinfo.KindVar, 0, 1, btfVarStatic)...)
		return tryBTF("\x00tag\x00", append(types, btfType(1, btfinfo.KindDeclTag, 0, 2, 0xffffffff)...)...)
	case featBTFTypeTag: // probe_kern_btf_type_tag
		types := append(intType(0, true), btfType(1, btfinfo.KindTypeTag, 0, 1)...)
		return tryBTF("\x00tag\x00", append(types, btfType(0, btfinfo.KindPtr, 0, 2)...)...)
	case featBTFEnum64: // probe_kern_btf_enum64
		return tryBTF("\x00enum64\x00", btfType(1, btfinfo.KindEnum64, 0, 8)...)
	case featArrayMmap: // probe_kern_array_mmap
		return tryMap(&mapCreateAttr{mapType: 2, keySize: 4, valueSize: 4, maxEntries: 1, mapFlags: flagMmapable})
	case featExpAttachType: // probe_kern_exp_attach_type
		return tryProgram(&progLoadAttr{progType: progCgroupSock, expectedAttachType: attachSockCreate}, insnZero, insnExit)
	case featProbeReadKernel: // probe_kern_probe_read_kernel
		return tryProgram(&progLoadAttr{progType: progTracepoint},
			relocate.Insn{Code: 0xbf, Dst: 1, Src: 10}, // r1 = r10
			relocate.Insn{Code: 0x07, Dst: 1, Imm: -8}, // r1 += -8
			relocate.Insn{Code: 0xb7, Dst: 2, Imm: 8},  // r2 = 8
			relocate.Insn{Code: 0xb7, Dst: 3},          // r3 = 0
			insnHelper(helperProbeReadKernel), insnExit)
	case featCookie: // probe_kern_bpf_cookie
		return tryProgram(&progLoadAttr{progType: progTracepoint}, insnHelper(helperCookie), insnExit)
	case featSyscallWrapper: // probe_kern_syscall_wrapper
		return syscallWrapper()
	case featUprobeMulti: // probe_uprobe_multi_link
		return tryUprobeMulti()
	case featArgCtxTag: // probe_kern_arg_ctx_tag
		return tryArgCtx()
	case featMemcg: // probe_memcg_account
		return tryProgram(&progLoadAttr{progType: progSocketFilter}, insnHelper(helperCoarse), insnExit)
	}
	return false
}

func name16(s string) (name [16]byte) {
	copy(name[:15], s)
	return name
}

// try closes a file descriptor that a system call may have given, and tells whether it did.
func try(fd int, errno unix.Errno) bool {
	if errno == 0 {
		_ = unix.Close(fd)
	}
	return errno == 0
}

func openProgram(attr *progLoadAttr, insns ...relocate.Insn) (int, unix.Errno) {
	var pin runtime.Pinner
	defer pin.Unpin()
	attr.insns, attr.insnCnt = address(&pin, encode(insns)), uint32(len(insns))
	attr.license = address(&pin, cString("GPL"))
	return bpf(unix.BPF_PROG_LOAD, attr)
}

func tryProgram(attr *progLoadAttr, insns ...relocate.Insn) bool {
	return try(openProgram(attr, insns...))
}

func tryMap(attr *mapCreateAttr) bool { return try(bpf(unix.BPF_MAP_CREATE, attr)) }

// tryMapValue uses the address of a place in a map's value.
func tryMapValue() bool {
	fd, errno := bpf(unix.BPF_MAP_CREATE, &mapCreateAttr{mapType: 2, keySize: 4, valueSize: 32, maxEntries: 1})
	if errno != 0 {
		return false
	}
	defer unix.Close(fd)
	return tryProgram(&progLoadAttr{progType: progSocketFilter},
		relocate.Insn{Code: codeLdImm64, Dst: 1, Src: pseudoMapValue, Imm: int32(fd)}, relocate.Insn{Imm: 16},
		relocate.Insn{Code: 0x7a, Dst: 1, Imm: 42}, // *(u64 *)r1 = 42
		insnZero, insnExit)
}

// btfType makes the words of a type.
func btfType(name uint32, kind btfinfo.Kind, vlen int, sizeOrType uint32, more ...uint32) []uint32 {
	return append([]uint32{name, uint32(kind)<<24 | uint32(vlen), sizeOrType}, more...)
}

// intType is an INT of 32 bits.
func intType(name uint32, signed bool) []uint32 {
	enc := uint32(32)
	if signed {
		enc |= 1 << 24
	}
	return btfType(name, btfinfo.KindInt, 0, 4, enc)
}

// rawBTF puts a BTF together.
func rawBTF(strs string, types ...uint32) []byte {
	m := &btfImage{order: nativeOrder, strings: []byte(strs)}
	m.types = make([]byte, 4*len(types))
	for i, w := range types {
		m.setWord(4*i, w)
	}
	return m.bytes()
}

func openBTF(raw []byte) (int, unix.Errno) {
	var pin runtime.Pinner
	defer pin.Unpin()
	return bpf(unix.BPF_BTF_LOAD, &btfLoadAttr{btf: address(&pin, raw), btfSize: uint32(len(raw))})
}

func tryBTF(strs string, types ...uint32) bool { return try(openBTF(rawBTF(strs, types...))) }

func tryDatasec(strs string) bool {
	types := append(intType(0, true), btfType(1, btfinfo.KindVar, 0, 1, btfVarStatic)...)
	return tryBTF(strs, append(types, btfType(3, btfinfo.KindDatasec, 1, 4, 2, 0, 4)...)...)
}

// tryUprobeMulti makes links that can't be: on a directory, which is EBADF where there are such links, and for process -1,
// which is EINVAL where they tell processes from threads.
func tryUprobeMulti() bool {
	prog, errno := openProgram(&progLoadAttr{progType: progKprobe, expectedAttachType: attachUprobeMulti}, insnZero, insnExit)
	if errno != 0 {
		return false
	}
	defer unix.Close(prog)
	var pin runtime.Pinner
	defer pin.Unpin()
	attr := linkCreateAttr{
		progFD: uint32(prog), targetFD: ^uint32(0), attachType: attachUprobeMulti,
		path: address(&pin, cString("/")), offsets: address(&pin, make([]uint64, 1)), cnt: 1,
	}
	link, errno := bpf(unix.BPF_LINK_CREATE, &attr)
	if try(link, errno) || errno != unix.EBADF {
		return false
	}
	attr.pid = ^uint32(0)
	link, errno = bpf(unix.BPF_LINK_CREATE, &attr)
	return !try(link, errno) && errno == unix.EINVAL
}

// tryArgCtx loads a program whose global function needs its argument to be the context, which only the tag says.
func tryArgCtx() bool {
	types := intType(1, true)                                                // [1] int
	types = append(types, btfType(0, btfinfo.KindPtr, 0, 0)...)              // [2] void *
	types = append(types, btfType(0, btfinfo.KindFuncProto, 1, 1, 1, 2)...)  // [3] int (void *a)
	types = append(types, btfType(1, btfinfo.KindFunc, btfFuncGlobal, 3)...) // [4] a
	types = append(types, btfType(0, btfinfo.KindFuncProto, 1, 1, 3, 2)...)  // [5] int (void *b)
	types = append(types, btfType(3, btfinfo.KindFunc, btfFuncGlobal, 5)...) // [6] b
	types = append(types, btfType(5, btfinfo.KindDeclTag, 0, 6, 0)...)       // arg:ctx on argument 0 of b
	btf, errno := openBTF(rawBTF("\x00a\x00b\x00arg:ctx\x00", types...))
	if errno != 0 {
		return false
	}
	defer unix.Close(btf)
	var pin runtime.Pinner
	defer pin.Unpin()
	infos := []uint32{0, 4, 2, 6} // instruction and FUNC
	return tryProgram(&progLoadAttr{
		progType: progKprobe, progBTFFD: uint32(btf), funcInfo: address(&pin, infos), funcInfoCnt: 2,
		funcInfoRecSize: 2 * uint32(unsafe.Sizeof(infos[0])),
	}, relocate.Insn{Code: codeCall, Src: 1, Imm: 1}, insnExit, insnHelper(helperFuncIP), insnExit)
}
