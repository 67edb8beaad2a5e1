// Command modulewords prints the words that names of kernel modules' functions, structs and tracepoints begin with, one a
// line, sorted: those of at least eight names in the modules of one kernel, and of more than twice as many as in its
// vmlinux. compat/module_words.txt is what it makes of an unpacked kernel package:
//
//	go run ./compat/internal/modulewords boot/vmlinuz-6.12.107+deb13-amd64 usr/lib/modules > compat/module_words.txt
package main

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/compat"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: modulewords VMLINUX MODULES")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "modulewords:", err)
		os.Exit(1)
	}
}

func run(vmlinux, modules string) error {
	base, err := btfinfo.Open(vmlinux, nil)
	if err != nil {
		return err
	}
	builtIn := make(map[string]int)
	names(base.BTF, func(word, _ string) { builtIn[word]++ })
	inModules := make(map[string]map[string]bool)
	err = filepath.WalkDir(modules, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(d.Name(), ".ko") {
			return err
		}
		f, err := btfinfo.Open(path, &btfinfo.Options{Base: base.BTF})
		if err != nil {
			return err
		}
		names(f.BTF, func(word, name string) {
			if inModules[word] == nil {
				inModules[word] = make(map[string]bool)
			}
			inModules[word][name] = true
		})
		return nil
	})
	if err != nil {
		return err
	}
	var words []string
	for word, list := range inModules {
		if word != "" && len(list) >= 8 && len(list) > 2*builtIn[word] {
			words = append(words, word)
		}
	}
	slices.Sort(words)
	out := bufio.NewWriter(os.Stdout)
	for _, w := range words {
		fmt.Fprintln(out, w)
	}
	return out.Flush()
}

// names calls f with each own function, struct and tracepoint of a BTF, and the word that it begins with.
func names(b *btfinfo.BTF, f func(word, name string)) {
	for id := b.FirstID(); int(id) < b.NumTypes(); id++ {
		t := b.Type(id)
		switch k := t.Kind(); {
		case k == btfinfo.KindFunc, k == btfinfo.KindStruct, k == btfinfo.KindTypedef && strings.HasPrefix(t.Name(), "btf_trace_"):
			f(compat.FirstWord(t.Name()), t.Name())
		}
	}
}
