package btfinfo

import (
	"fmt"
	"sort"
	"strings"
)

// selectWords are the words that may stand before a name in Select, with the kinds that each means.
var selectWords = map[string][]Kind{
	"struct":  {KindStruct, KindFwd},
	"union":   {KindUnion, KindFwd},
	"enum":    {KindEnum, KindEnum64},
	"typedef": {KindTypedef},
	"func":    {KindFunc},
	"var":     {KindVar},
}

// Select finds types by name: "task_struct" means all types of that name, of whatever kind, "struct net" the structs
// only (union, enum, typedef, func and var likewise). A FWD counts where nothing else has the name. The ids ascend and
// are unique.
//
// A name that isn't there is an *Error; its hint has the nearest names that are.
func (b *BTF) Select(names []string) ([]ID, error) {
	var ids []ID
	for _, name := range names {
		word, rest, ok := strings.Cut(name, " ")
		kinds := selectWords[word]
		if rest = strings.TrimSpace(rest); !ok || kinds == nil {
			kinds, rest = nil, name
		}
		var found, fwds []ID
		if rest != "" {
			for _, id := range b.Named(rest, kinds...) {
				if t := b.Type(id); t.Kind() == KindFwd {
					if ok && kinds != nil && t.KindFlag() != (word == "union") {
						continue
					}
					fwds = append(fwds, id)
				} else {
					found = append(found, id)
				}
			}
		}
		if len(found) == 0 {
			found = fwds
		}
		if len(found) == 0 {
			return nil, b.noSuchName(name, rest, kinds)
		}
		ids = append(ids, found...)
	}
	sort.Slice(ids, func(i, j int) bool { return ids[i] < ids[j] })
	out := ids[:0]
	for i, id := range ids {
		if i == 0 || id != ids[i-1] {
			out = append(out, id)
		}
	}
	return out, nil
}

// maxNear is how many similar names an error offers.
const maxNear = 5

func (b *BTF) noSuchName(asked, name string, kinds []Kind) *Error {
	type near struct {
		name string
		dist int
	}
	limit := len(name)/4 + 1
	best := map[string]int{}
	for id := ID(1); int(id) < b.NumTypes(); id++ {
		t := b.Type(id)
		if !oneOf(t.Kind(), kinds) || t.Kind() == KindDeclTag || t.Kind() == KindTypeTag {
			continue
		}
		n := t.Name()
		if n == "" {
			continue
		}
		if _, ok := best[n]; ok {
			continue
		}
		if d := editDistance(name, n, limit); d <= limit {
			best[n] = d
		}
	}
	var list []near
	for n, d := range best {
		list = append(list, near{n, d})
	}
	sort.Slice(list, func(i, j int) bool {
		if list[i].dist != list[j].dist {
			return list[i].dist < list[j].dist
		}
		return list[i].name < list[j].name
	})
	e := formatErr(-1, "no type named %q", asked)
	e.Hint = "names are those of the source, such as task_struct or 'struct net'; dump all to see which there are"
	if len(list) > 0 {
		var s []string
		for _, n := range list[:min(len(list), maxNear)] {
			if n.dist <= list[0].dist+1 {
				s = append(s, n.name)
			}
		}
		e.Hint = fmt.Sprintf("did you mean %s?", strings.Join(s, ", "))
	}
	return e
}

// editDistance is the Levenshtein distance of two strings in bytes, or any number above limit where it is larger.
// Two neighbours that changed places count once.
func editDistance(a, b string, limit int) int {
	if len(a)-len(b) > limit || len(b)-len(a) > limit {
		return limit + 1
	}
	var rows [3][]int
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		row, prev, prev2 := rows[i%3], rows[(i+2)%3], rows[(i+1)%3]
		row[0] = i
		least := i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			d := min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, prev2[j-2]+1)
			}
			row[j] = d
			least = min(least, d)
		}
		if least > limit {
			return limit + 1
		}
	}
	return rows[len(a)%3][len(b)]
}
