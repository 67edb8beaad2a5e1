# Makes the table of docs/performance.md from the output of `go test -bench`: each line has a name, the number of rounds, and pairs
# of a figure and its unit.
/^Benchmark/ {
	name = $1
	sub(/^Benchmark/, "", name)
	sub(/-[0-9]+$/, "", name)
	for (i = 3; i < NF; i += 2) figure[name, $(i + 1)] = $i
}
function has(name, unit) { return (name SUBSEP unit) in figure }
# least: the figure must not be under the limit; else not over it. scale divides it.
function row(what, name, unit, scale, format, limit, least,    v, verdict) {
	if (!has(name, unit)) {
		printf "| %s | %s | not measured | |\n", what, (least ? "at least " : "at most ") sprintf(format, limit)
		return
	}
	v = figure[name, unit] / scale
	verdict = (least ? v >= limit : v <= limit) ? "yes" : "**no**"
	printf "| %s | %s | %s | %s |\n", what, (least ? "at least " : "at most ") sprintf(format, limit), sprintf(format, v), verdict
}
END {
	printf "Measured on %s, %s.\n\n", date, machine
	print "| what | to reach | measured | reached |"
	print "| --- | --- | --- | --- |"
	row("the kernels of `../shared/btfhub` as one archive: how much smaller than their .tar.xz", "BTFHub/add", "x-smaller", 1, "%.1f times", 14, 1)
	row("adding them: time", "BTFHub/add", "ms-least", 1000, "%.1f s", 30)
	row("adding them: memory", "BTFHub/add", "MB-peak", 1, "%.0f MB", 600)
	row("`corecheck version`", "Cold/version", "ms-least", 1, "%.1f ms", 15)
	row("`corecheck object`, the demo, all embedded kernels", "Cold/object", "ms-least", 1, "%.0f ms", 100)
	row("the same object, 4,300 simulated kernels: time", "Simulated/object-4300", "ms-least", 1, "%.0f ms", 300)
	row("the same: memory", "Simulated/object-4300", "MB-peak", 1, "%.0f MB", 150)
	row("the same: how much longer cilium/ebpf takes to load and resolve each BTF", "Simulated/object-4300-cilium-ebpf", "x-slower", 1, "%.0f times", 200, 1)
	row("growth: 4,300 kernels to 430", "Simulated/object-4300", "x-430", 1, "%.1f times", 3)
	row("all objects of libbpf-tools, 4,300 simulated kernels", "Simulated/tools-4300", "ms-least", 1000, "%.1f s", 2)
	split("none all", modules, " ")
	for (i = 1; i <= 2; i++) {
		name = "Deb/" modules[i]
		if (has(name "/corecheck", "ns/op")) figure[name, "x"] = figure[name "/corecheck", "ns/op"] / figure[name "/naive", "ns/op"]
		row("adding a kernel from its .deb, " (i == 1 ? "without modules" : "with 100 modules") ", to expanding what has to be read of it", name, "x", 1, "%.2f times", 1.5)
	}
}
