// Package btfinfo reads BTF and kernel images as they are found: raw, compressed, in ELF files, boot images, modules
// and sysfs.
//
// The definitions that it yields are checked once, when they are parsed: every id, size and string offset is held
// against the input, so that no accessor can fail and a stranger's file can't make the program panic or loop. What it
// does not check is whether the types make sense: a struct whose member lies beyond its size is read as it stands.
package btfinfo
