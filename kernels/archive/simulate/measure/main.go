// Command measure compares each BTF file with the one before it and prints how many definitions differ, and how: the
// figures that the parameters of kernels/archive/simulate come from (docs/simulation.md).
//
//	go run ./kernels/archive/simulate/measure [-names] A.btf B.btf …
//
// With -names it prints instead the definitions that changed, with the number of steps in which they did.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"slices"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
)

func main() {
	names := flag.Bool("names", false, "print which definitions changed, and in how many steps")
	flag.Parse()
	if err := run(flag.Args(), *names); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

func run(files []string, names bool) error {
	if len(files) < 2 {
		return fmt.Errorf("%d files, want at least 2", len(files))
	}
	steps := make(map[string]int)
	var before *btfinfo.BTF
	if !names {
		fmt.Println("types\t+\t-\t~\tfuncs\t+\t-\t~\tvars\t+\t-\t~\tmembers\t+\t-\tmoved\tretyped\tparams\t+\t-\t~\treturns~\tvalues\t+\t-\t~\tto")
	}
	for _, name := range files {
		f, err := btfinfo.Open(name, nil)
		if err != nil {
			return err
		}
		if before != nil {
			c, err := archive.Compare(before, f.BTF)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			if !names {
				fmt.Printf("%s\t%s\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\n", line(c.Types), line(c.Funcs), line(c.Vars), c.Members.Before, c.Members.Added,
					c.Members.Removed, c.Moved, c.Retyped, line(c.Params), c.Returns.Changed, line(c.Values), name)
			}
			for _, n := range c.Names {
				steps[n]++
			}
		}
		before = f.BTF
	}
	if names {
		list := make([]string, 0, len(steps))
		for n := range steps {
			list = append(list, n)
		}
		slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(steps[b], steps[a]), cmp.Compare(a, b)) })
		for _, n := range list {
			fmt.Printf("%d\t%s\n", steps[n], n)
		}
	}
	return nil
}

func line(c archive.Counts) string {
	return fmt.Sprintf("%d\t%d\t%d\t%d", c.Before, c.Added, c.Removed, c.Changed)
}
