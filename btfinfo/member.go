package btfinfo

// MemberIs tells whether the i-th member, 0 <= i < Vlen, of a STRUCT or UNION has this name, which must not be empty, and
// whether it has none. It does not look for the end of the member's name, which is most of what Member does in searches.
func (t Type) MemberIs(i int, name string) (is, anonymous bool) {
	off, b := t.w[3+3*i], t.b
	for off < b.start {
		b = b.base
	}
	s := b.strs[off-b.start:]
	return len(s) > len(name) && s[len(name)] == 0 && s[:len(name)] == name, s[0] == 0
}
