package btfinfo

// Str returns the string at offset off of the string section, counted from the start of the base's strings for split
// BTF. ok is false where off lies beyond the strings. It serves records outside the types, as .BTF.ext has them.
func (b *BTF) Str(off uint32) (s string, ok bool) {
	if off >= b.strEnd() {
		return "", false
	}
	return b.str(off), true
}
