// Package simulate makes archives of thousands of kernels out of a few real ones, to measure what a question to such an
// archive costs. docs/simulation.md says what is modelled, what is not, and how the figures here were measured.
package simulate

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"

	"github.com/corecheck/corecheck/btfinfo"
	"github.com/corecheck/corecheck/kernels/archive"
)

// Seed of the simulations that are reported.
const Seed = 4300

// step is how many definitions differ from one kernel to another.
type step struct{ typesAdded, typesRemoved, typesChanged, funcsAdded, funcsRemoved, funcsChanged int }

// updates are the stable updates that were measured, one a line: the months of Android's 5.10 for Android 12 (2021-09 to 2023-04,
// then the newest LTS) and 13 (2022-04 on), and the mean update of five spans of Debian's: 5.10.0-32 to 43 to 46, 6.1.0-47 to 50 to
// 53 to 56. A simulated update takes one of them by chance.
var updates = []step{
	{4, 0, 8, 24, 4, 3}, {43, 30, 52, 2904, 1005, 188}, {1, 0, 1, 34, 32, 2}, {2, 0, 5, 18, 6, 0}, {7, 3, 25, 96, 82, 11}, {0, 0, 1, 19, 1, 3},
	{5, 0, 26, 99, 41, 21}, {18, 1, 6, 54, 1, 2}, {2, 0, 4, 368, 355, 11}, {9, 1, 10, 98, 11, 2}, {29, 11, 52, 549, 2209, 51}, {0, 0, 2, 34, 9, 6},
	{27, 56, 33, 122, 121, 47}, {2, 0, 1, 8, 1, 0}, {9, 24, 26, 255, 312, 39}, {19, 6, 17, 58, 16, 19}, {1, 0, 24, 74, 21, 14}, {0, 0, 0, 9, 1, 2},
	{2, 0, 23, 240, 213, 25}, {0, 3, 3, 37, 39, 4},
	{23, 1, 5, 135, 32, 97}, {1, 0, 2, 41, 32, 2}, {1, 0, 2, 35, 26, 4}, {30, 11, 43, 171, 108, 40}, {44, 3, 8, 54, 57, 8}, {1, 0, 2, 21, 20, 1},
	{1, 0, 2, 344, 327, 1}, {44, 52, 47, 1412, 1309, 115}, {5, 2, 15, 85, 57, 3}, {2, 0, 19, 103, 89, 7}, {0, 0, 1, 22, 17, 2}, {2, 0, 24, 684, 654, 26},
	{0, 3, 5, 214, 211, 5},
	{3, 0, 7, 10, 3, 4}, {2, 0, 29, 12, 7, 5}, {1, 0, 33, 52, 24, 105}, {2, 0, 14, 29, 41, 118}, {4, 1, 35, 65, 30, 158},
}

var (
	// release is a minor release: the mean of Debian's steps to 6.17, 6.18, 6.19, 7.0, 7.1, 7.2 and 7.3, cloud-amd64.
	release = step{201, 39, 444, 917, 437, 332}
	// rebuild is the same source with another distribution's compiler: Debian 12's and 13's 6.12.117.
	rebuild = step{0, 0, 0, 867, 255, 132}
	// flavour is another configuration: the mean of the steps from Debian's cloud to its generic kernels of 5.10, 6.1 and 6.12.
	flavour = step{1154, 632, 108, 4253, 1747, 134}
	// realtime is the configuration of an rt kernel: Debian's generic and rt kernels of 6.12.117.
	realtime = step{32, 53, 610, 199, 338, 2}
	// port is another architecture: Debian's amd64 and arm64 kernels of 6.12.117.
	port = step{2930, 1504, 299, 13674, 8292, 133}
)

// How much likelier a definition changes that did so before. c is in how many of Debian's steps from 5.10 to 7.2 it did, of 9;
// in the stable updates its share was then near c² and this for those that never did.
const (
	quietType = 0.2
	quietFunc = 0.07
)

// In half of the cases a function that an update adds is one that an earlier one took away: the compiler inlines it no longer.
const restoredPercent = 50

// Configurations differ by drivers and subsystems, and so by names that stand together: how many at once.
const cluster = 20

// line is kernels of one source, configuration and architecture, one update after the other.
type line struct {
	distro, release, series, arch, flavour string
	share                                  int // of BTFHub's kernels
	suffix                                 string
}

// lines are the kernels of BTFHub's archive (github.com/aquasecurity/btfhub-archive): 1,856 of Ubuntu's, 1,101 of Oracle's, 389 of
// Amazon's, 304 of SUSE's, 153 of Debian's, 141 of Red Hat's, 120 of CentOS's and 24 of Fedora's, as its folders were counted. How a
// distribution's divide into series, architectures and flavours follows the names there roughly.
var lines = func() []line {
	var all []line
	add := func(share int, distro, releases, series, arches, flavours, suffix string) {
		var list []line
		for _, r := range strings.Fields(releases) {
			for _, s := range strings.Fields(series) {
				for _, a := range strings.Fields(arches) {
					for _, f := range strings.Fields(flavours) {
						list = append(list, line{distro: distro, release: r, series: s, arch: a, flavour: f, suffix: suffix})
					}
				}
			}
		}
		for i := range list {
			list[i].share = share * (i + 1) / len(list)
			if i > 0 {
				list[i].share -= share * i / len(list)
			}
		}
		all = append(all, list...)
	}
	const x, both = "x86_64", "x86_64 arm64"
	add(300, "ubuntu", "16.04", "4.15", both, "generic aws", "-")
	add(170, "ubuntu", "16.04", "4.15", x, "azure gcp oracle", "-")
	add(120, "ubuntu", "16.04", "4.13", both, "generic", "-")
	add(300, "ubuntu", "18.04", "4.15", both, "generic aws", "-")
	add(210, "ubuntu", "18.04", "4.15 5.4", x, "azure gcp oracle", "-")
	add(256, "ubuntu", "18.04", "5.3 5.4", both, "generic aws", "-")
	add(320, "ubuntu", "20.04", "5.4", both, "generic aws", "-")
	add(180, "ubuntu", "20.04", "5.4 5.8", x, "azure gcp gke", "-")
	add(350, "ol", "7", "4.14", both, "uek", ".el7")
	add(220, "ol", "7", "3.10 4.1", x, "uek", ".el7")
	add(180, "ol", "7 8", "5.4", both, "uek", ".el")
	add(351, "ol", "8", "4.18 5.4", both, "el8", ".")
	add(16, "amzn", "1", "4.14", x, "amzn1", ".")
	add(373, "amzn", "2", "4.14 5.4 5.10", both, "amzn2", ".")
	add(70, "sles", "12.3", "4.4", x, "default azure", "-")
	add(120, "sles", "12.5", "4.12", x, "default azure", "-")
	add(114, "sles", "15.1 15.2", "4.12 5.3", x, "default", "-")
	add(153, "debian", "10", "4.19 5.10", both, "generic cloud rt", "-")
	add(60, "rhel", "7", "3.10", x, "el7", ".")
	add(30, "rhel", "7", "4.14", "arm64", "el7a", ".")
	add(51, "rhel", "8", "4.18", both, "el8", ".")
	add(30, "centos", "7", "3.10", x, "el7", ".")
	add(60, "centos", "7", "4.14 4.18", "arm64", "el7", ".")
	add(30, "centos", "8", "4.18", both, "el8", ".")
	add(24, "fedora", "28 29 30 31", "5.0 5.3 5.6", both, "fc", ".")
	return all
}()

// config is what the configuration of a line is known by: distributions that rebuild another's kernels share it.
func (l *line) config() string {
	if strings.HasPrefix(l.flavour, "el") {
		return "el"
	}
	return l.flavour
}

// stream is what the source of a line is known by: its updates are the same for all that have it.
func (l *line) stream() string {
	switch {
	case strings.HasPrefix(l.flavour, "el"):
		return "rhel " + l.series
	case l.flavour == "uek":
		return "uek " + l.series
	}
	return l.distro + " " + l.series
}

// Plan makes n kernels that derive from those in the Writer, and leaves those out of the count. Equal Writers, numbers and
// seeds give equal plans.
func Plan(w *archive.Writer, n int, seed uint64) ([]archive.Derived, error) {
	p := planner{seed: seed, memo: make(map[string][]archive.Edit), gone: make(map[string][]target)}
	if err := p.origins(w); err != nil {
		return nil, err
	}
	total := 0
	for i := range lines {
		total += lines[i].share
	}
	var out []archive.Derived
	done := 0
	for i := range lines {
		done += lines[i].share
		for first, k := true, 0; len(out) < n*done/total; first, k = false, k+1 {
			out = append(out, p.next(&lines[i], first, k, out))
		}
	}
	return out, nil
}

// target is a definition that edits can be drawn for.
type target struct {
	kind btfinfo.Kind
	name string
}

type planner struct {
	seed    uint64
	series  [][]archive.Kernel // the real kernels, by series, ascending
	types   picker             // that change
	funcs   picker
	free    [2][]target // types and functions that can be taken away, by name
	all     [2][]target // that can be copied
	ordered []string    // the series of lines, ascending
	memo    map[string][]archive.Edit
	gone    map[string][]target // functions that a stream's updates took away
}

// origins sorts the kernels that there are, and finds out how often each definition changed among them.
func (p *planner) origins(w *archive.Writer) error {
	bySeries := make(map[string][]archive.Kernel)
	for _, k := range w.Kernels() {
		if k.NoBTF == "" {
			bySeries[seriesOf(k)] = append(bySeries[seriesOf(k)], k)
		}
	}
	if len(bySeries) == 0 {
		return fmt.Errorf("no kernel with BTF to derive others from")
	}
	var names []string
	for s := range bySeries {
		names = append(names, s)
	}
	slices.SortFunc(names, archive.CompareIDs)
	var ids []string
	for _, s := range names {
		p.series = append(p.series, bySeries[s])
		ids = append(ids, pick(bySeries[s], "x86_64", "cloud").ID)
	}
	for i := range lines {
		p.ordered = append(p.ordered, lines[i].series)
	}
	slices.SortFunc(p.ordered, archive.CompareIDs)
	p.ordered = slices.Compact(p.ordered)

	defs, err := w.Definitions(ids)
	if err != nil {
		return err
	}
	for _, d := range defs {
		t := target{d.Kind, d.Name}
		c := float64(d.Variants - 1)
		class := 0
		switch d.Kind {
		case btfinfo.KindFunc:
			class = 1
			if d.Listed {
				p.funcs.add(t, c*c+quietFunc)
			}
		case btfinfo.KindStruct, btfinfo.KindUnion, btfinfo.KindEnum, btfinfo.KindEnum64:
			if d.Listed {
				p.types.add(t, c*c+quietType)
			}
		default:
			continue
		}
		if d.Listed {
			p.all[class] = append(p.all[class], t)
		}
		if d.Free {
			p.free[class] = append(p.free[class], t)
		}
	}
	if len(p.types.list) == 0 || len(p.funcs.list) == 0 {
		return fmt.Errorf("the kernels have %d types and %d functions that could change", len(p.types.list), len(p.funcs.list))
	}
	return nil
}

// seriesOf is the upstream series of a kernel: "5.10".
func seriesOf(k archive.Kernel) string {
	v := cmp.Or(k.Version, k.Uname)
	parts := strings.FieldsFunc(v, func(r rune) bool { return r < '0' || r > '9' })
	if len(parts) < 2 {
		return v
	}
	return parts[0] + "." + parts[1]
}

// pick finds the kernel of a series that is nearest to what is asked for.
func pick(list []archive.Kernel, arch, flavour string) archive.Kernel {
	best, points := list[0], -1
	for _, k := range list {
		n := 0
		if k.Arch == arch {
			n += 2
		}
		if has := strings.Contains(k.Uname, "-"+flavour); has {
			n++
		}
		if n > points {
			best, points = k, n
		}
	}
	return best
}

// next is the k-th kernel of a line.
func (p *planner) next(l *line, first bool, k int, before []archive.Derived) archive.Derived {
	version := fmt.Sprintf("%s.%d", l.series, k+1)
	d := archive.Derived{}
	d.Distro, d.Release, d.Arch = l.distro, l.release, l.arch
	d.Uname = fmt.Sprintf("%s.0-%d%s%s", l.series, k+1, l.suffix, l.flavour)
	d.ID = strings.Join([]string{d.Distro, d.Release, d.Arch, d.Uname}, "/")
	d.Version, d.VersionFrom = version, "uname"
	if !first {
		d.From = before[len(before)-1].ID
		d.Edits = p.update(l.stream(), k)
		return d
	}
	// The series of the lines are spread over those that there are, to the next one that has the architecture.
	i, _ := slices.BinarySearchFunc(p.ordered, l.series, archive.CompareIDs)
	near := p.series[i*len(p.series)/len(p.ordered):]
	if j := slices.IndexFunc(near, func(list []archive.Kernel) bool { return pick(list, l.arch, "").Arch == l.arch }); j > 0 {
		near = near[j:]
	}
	origin := pick(near[0], l.arch, like(l.flavour))
	d.From = origin.ID
	d.Edits = p.once("source "+l.stream(), func(r *rand.Rand) []archive.Edit { return p.develop(r, release, "") })
	if origin.Arch != l.arch {
		d.Edits = slices.Concat(d.Edits, p.once("port "+l.arch, func(r *rand.Rand) []archive.Edit { return p.configure(r, port) }))
	}
	d.Edits = slices.Concat(d.Edits,
		p.once("build "+l.distro+" "+l.release, func(r *rand.Rand) []archive.Edit { return p.configure(r, rebuild) }),
		p.once("config "+l.config(), func(r *rand.Rand) []archive.Edit {
			if l.flavour == "rt" {
				return p.configure(r, realtime)
			}
			return p.configure(r, flavour)
		}),
		p.update(l.stream(), 0))
	return d
}

// like is Debian's flavour that resembles another distribution's.
func like(flavour string) string {
	switch flavour {
	case "aws", "azure", "gcp", "gke", "oracle", "cloud", "amzn1", "amzn2":
		return "cloud"
	case "rt":
		return "rt"
	}
	return "amd64"
}

// once draws edits the first time that a name is asked for.
func (p *planner) once(name string, draw func(*rand.Rand) []archive.Edit) []archive.Edit {
	e, ok := p.memo[name]
	if !ok {
		h := fnv.New64a()
		h.Write([]byte(name))
		e = draw(rand.New(rand.NewPCG(p.seed, h.Sum64())))
		p.memo[name] = e
	}
	return e
}

// update is the k-th update of a stream. Those before it have been asked for.
func (p *planner) update(stream string, k int) []archive.Edit {
	return p.once(fmt.Sprintf("update %s %d", stream, k), func(r *rand.Rand) []archive.Edit {
		return p.develop(r, updates[r.IntN(len(updates))], stream)
	})
}

// develop is a change of the source: definitions come, go and change.
func (p *planner) develop(r *rand.Rand, s step, stream string) []archive.Edit {
	var out []archive.Edit
	edit := func(t target, op archive.EditOp) {
		out = append(out, archive.Edit{Kind: t.kind, Name: t.name, Op: op, Seed: r.Uint32()})
	}
	for range s.typesAdded {
		edit(any(r, p.all[0]), archive.EditCopy)
	}
	for range s.typesRemoved {
		edit(any(r, p.free[0]), archive.EditRemove)
	}
	for range s.typesChanged {
		edit(p.types.draw(r), archive.EditChange)
	}
	for range s.funcsAdded {
		if gone := p.gone[stream]; len(gone) > 0 && r.IntN(100) < restoredPercent {
			i := r.IntN(len(gone))
			edit(gone[i], archive.EditRestore)
			p.gone[stream] = slices.Delete(gone, i, i+1)
			continue
		}
		edit(any(r, p.all[1]), archive.EditCopy)
	}
	for range s.funcsRemoved {
		t := any(r, p.free[1])
		edit(t, archive.EditRemove)
		p.gone[stream] = append(p.gone[stream], t)
	}
	for range s.funcsChanged {
		edit(p.funcs.draw(r), archive.EditChange)
	}
	return out
}

// configure is another configuration or compiler. What either side has beyond the other is shared out: each of two that
// derive from one kernel lacks half of it.
func (p *planner) configure(r *rand.Rand, s step) []archive.Edit {
	var out []archive.Edit
	lack := func(list []target, n int) {
		for n > 0 && len(list) > 0 {
			i := r.IntN(len(list))
			for ; n > 0 && i < len(list) && i%cluster != cluster-1; i, n = i+1, n-1 {
				out = append(out, archive.Edit{Kind: list[i].kind, Name: list[i].name, Op: archive.EditRemove})
			}
			n--
		}
	}
	lack(p.free[0], (s.typesAdded+s.typesRemoved)/2)
	lack(p.free[1], (s.funcsAdded+s.funcsRemoved)/2)
	for range s.typesChanged {
		t := p.types.draw(r)
		out = append(out, archive.Edit{Kind: t.kind, Name: t.name, Seed: r.Uint32()})
	}
	for range s.funcsChanged {
		t := p.funcs.draw(r)
		out = append(out, archive.Edit{Kind: t.kind, Name: t.name, Seed: r.Uint32()})
	}
	return out
}

func any(r *rand.Rand, list []target) target {
	if len(list) == 0 {
		return target{} // which no kernel has
	}
	return list[r.IntN(len(list))]
}

// picker draws by weight.
type picker struct {
	list []target
	upTo []float64 // sums of weights
}

func (p *picker) add(t target, weight float64) {
	sum := weight
	if n := len(p.upTo); n > 0 {
		sum += p.upTo[n-1]
	}
	p.list, p.upTo = append(p.list, t), append(p.upTo, sum)
}

func (p *picker) draw(r *rand.Rand) target {
	x := r.Float64() * p.upTo[len(p.upTo)-1]
	return p.list[min(sort.SearchFloat64s(p.upTo, x), len(p.list)-1)]
}
