package load

// feature is something that a kernel has or lacks, and that libbpf decides on: enum kern_feature_id of libbpf v1.7's
// libbpf_internal.h. Each is tried the way that features.c tries it.
type feature uint8

const (
	featProgName        feature = iota // names of programs and maps
	featGlobalData                     // values of maps as addresses
	featBTF                            // BTF at all
	featBTFFunc                        // FUNC and FUNC_PROTO
	featBTFGlobalFunc                  // FUNC that is global
	featBTFDatasec                     // VAR and DATASEC
	featBTFQmarkDatasec                // DATASEC with a '?' in its name
	featBTFFloat
	featBTFDeclTag
	featBTFTypeTag
	featBTFEnum64
	featArrayMmap       // BPF_F_MMAPABLE
	featExpAttachType   // expected_attach_type
	featProbeReadKernel // bpf_probe_read_kernel
	featCookie          // bpf_get_attach_cookie
	featSyscallWrapper  // __x64_sys_…
	featUprobeMulti     // links of many uprobes
	featArgCtxTag       // the tag "arg:ctx" on arguments of global functions
	featMemcg           // memory is accounted to cgroups, not to RLIMIT_MEMLOCK
)
