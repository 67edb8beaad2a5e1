package load

// matches tells whether a name fits a pattern in which '*' stands for anything and '?' for one byte: glob_match of
// libbpf v1.7. Differs from libbpf in the time it takes only: a pattern is the object's, and stars in libbpf's way cost
// exponentially much.
func matches(name, pattern string) bool {
	star, mark := -1, 0 // the last star, and where in name what it stands for ends
	i, j := 0, 0
	for i < len(name) {
		switch {
		case j < len(pattern) && pattern[j] == '*':
			star, mark = j, i
			j++
		case j < len(pattern) && (pattern[j] == '?' || pattern[j] == name[i]):
			i++
			j++
		case star >= 0:
			mark++
			i, j = mark, star+1
		default:
			return false
		}
	}
	for j < len(pattern) && pattern[j] == '*' {
		j++
	}
	return j == len(pattern)
}
