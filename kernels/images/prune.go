package images

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"time"

	"github.com/corecheck/corecheck/kernels/flock"
)

// item is something in the cache that can be forgotten.
type item struct {
	path string
	size int64 // bytes
	used time.Time
	// entry: a folder of the store.
	entry bool
}

var (
	// Packages in the folder of downloads are called by their digest and their name.
	packageRE = regexp.MustCompile(`^[0-9a-f]{24}-.*\.(?:deb|rpm)$`)
	entryRE   = regexp.MustCompile(`^[0-9a-f]{32}$`)
)

// cached lists what is in the cache.
func (f *Finder) cached() []item {
	var items []item
	for _, e := range readDir(f.packages) {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && packageRE.MatchString(e.Name()) {
			items = append(items, item{path: filepath.Join(f.packages, e.Name()), size: info.Size(), used: info.ModTime()})
		}
	}
	for _, e := range readDir(f.store) {
		if !e.IsDir() || !entryRE.MatchString(e.Name()) {
			continue
		}
		i := item{path: filepath.Join(f.store, e.Name()), entry: true}
		for _, file := range readDir(i.path) {
			info, err := file.Info()
			if err != nil {
				continue
			}
			i.size += info.Size()
			if file.Name() == manifestName {
				i.used = info.ModTime()
			}
		}
		items = append(items, i)
	}
	return items
}

// readDir lists a folder; one that can't be read has nothing that could be forgotten.
func readDir(dir string) []fs.DirEntry {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	return entries
}

// prune forgets what was not used for longest, until the cache is within its bound. What is in use stays, and so may the cache
// stay too large for a while. What can't be removed is tried again the next time.
func (f *Finder) prune() {
	if f.opt.MaxCache < 0 {
		return
	}
	items := f.cached()
	var size int64
	for _, i := range items {
		size += i.size
	}
	slices.SortFunc(items, func(a, b item) int { return a.used.Compare(b.used) })
	for _, i := range items {
		if size <= f.opt.MaxCache {
			return
		}
		if i.remove() {
			size -= i.size
		}
	}
}

// remove tells whether it was removed.
func (i *item) remove() bool {
	if !i.entry {
		return removePackage(i.path)
	}
	use, err := flock.Open(context.Background(), i.path+".use", flock.Exclusive, false)
	if err != nil {
		return false
	}
	defer use.Close()
	lock, err := flock.Open(context.Background(), i.path+".lock", flock.Exclusive, false)
	if err != nil {
		return false
	}
	defer lock.Close()
	// The manifest first: without it the rest is nothing.
	if err := os.Remove(filepath.Join(i.path, manifestName)); err != nil && !os.IsNotExist(err) {
		return false
	}
	if err := os.RemoveAll(i.path); err != nil {
		return false
	}
	// Who waits for one of these sees that it has no name any more, and makes it anew.
	_ = os.Remove(i.path + ".lock")
	_ = os.Remove(i.path + ".use")
	return true
}

// removePackage removes a package, unless somebody unpacks it: Finder.open.
func removePackage(name string) bool {
	f, err := os.OpenFile(name, os.O_RDWR|flock.NoFollow, 0)
	if err != nil {
		return false
	}
	defer f.Close()
	return flock.Try(f, flock.Exclusive) == nil && os.Remove(name) == nil
}
