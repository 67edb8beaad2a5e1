package compat

import (
	_ "embed"
	"slices"
	"strings"
	"sync"
)

// moduleWords are the words that names in modules begin with: "xfs", "nft", "kvm", one a line, sorted. They are read from
// all 4,229 modules of Debian's linux-image-6.12.107+deb13-amd64, by compat/internal/modulewords.
//
//go:embed module_words.txt
var moduleWords string

var moduleWordList = sync.OnceValue(func() []string { return strings.Fields(moduleWords) })

// FirstWord is the word that the name of a function, struct or tracepoint begins with: "xfs" of "__xfs_buf_ioapply" and of
// "btf_trace_xfs_file_read", "" where there is no '_' behind one.
func FirstWord(name string) string {
	for _, prefix := range []string{"btf_trace_", "bpf_iter_", "bpf_struct_ops_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	word, _, ok := strings.Cut(strings.TrimLeft(name, "_"), "_")
	if !ok {
		return ""
	}
	return word
}

// likeModules tells whether a name begins as names in modules do. Until the archive has modules, it is what tells a
// function that some module may well have from a misspelled one.
func likeModules(name string) bool {
	_, found := slices.BinarySearch(moduleWordList(), FirstWord(name))
	return found
}
