package relocate

import (
	"fmt"
	"slices"
	"strings"
)

//go:generate go run ./internal/enumgen -kernel debian/13/x86_64/7.2.12+deb13-cloud-amd64 -o enums_gen.go

// HelperName is the name of a helper as programs call it: "bpf_probe_read_kernel" for 113. Helpers newer than the
// kernel that the table was made of are "helper 999".
func HelperName(id int32) string {
	if id >= 0 && int(id) < len(helpers) {
		return "bpf_" + strings.TrimPrefix(helpers[id], "BPF_FUNC_")
	}
	return fmt.Sprintf("helper %d", id)
}

// MapTypeName is the enumerator of a map type in enum bpf_map_type: "BPF_MAP_TYPE_HASH" for 1; "map type 999" for one
// that is newer than the table.
func MapTypeName(t uint32) string {
	if uint64(t) < uint64(len(mapTypes)) {
		return mapTypes[t]
	}
	return fmt.Sprintf("map type %d", t)
}

// ProgTypeNumber is the value of an enumerator of enum bpf_prog_type; ok is false where the table has none of that name.
func ProgTypeNumber(name string) (n uint32, ok bool) { return number(progTypes[:], name) }

// AttachTypeNumber is the value of an enumerator of enum bpf_attach_type; ok is false where the table has none of that
// name.
func AttachTypeNumber(name string) (n uint32, ok bool) { return number(attachTypes[:], name) }

func number(names []string, name string) (uint32, bool) {
	i := slices.Index(names, name)
	return uint32(max(i, 0)), i >= 0
}
