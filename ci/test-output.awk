# Reads `go test -v` and prints what a person wants to see: what tests log, under the name of the test; all of a test
# that fails; the line of each package. Tests that pass in silence are counted.
#
# With -v skips=FILE, the reasons of skips are held against FILE (one regular expression a line, '#' comments): a skip
# that is not listed fails, so that a missing tool can't turn a test off unnoticed.
function filtered(text,    lines, n, i, keep, out) {
	# The steps of a script that passed are of no interest, and they are many.
	n = split(text, lines, "\n")
	keep = 1
	out = ""
	for (i = 1; i < n; i++) {
		if (lines[i] ~ /^ +[A-Za-z0-9_.-]+\.go:[0-9]+: /) keep = lines[i] !~ /^ +testscript\.go:/
		if (keep) out = out lines[i] "\n"
	}
	return out
}
function show(name, text) {
	if (text != "") printf "%s\n%s", name, text
	delete log_of[name]
}
BEGIN {
	if (skips != "") {
		while ((r = getline line < skips) > 0)
			if (line != "" && line !~ /^#/) allowed[++nallowed] = line
		if (r < 0) { print "can't read " skips; exit 2 }
	}
}
/^=== / { test = $3; next }
/^ *--- PASS: / { passed++; show($3, filtered(log_of[$3])); next }
/^ *--- SKIP: / {
	skipped++
	ok = skips == ""
	for (i = 1; i <= nallowed; i++) if (log_of[$3] ~ allowed[i]) ok = 1
	if (!ok) unearned[++nunearned] = $3
	show($3, log_of[$3])
	print
	next
}
/^ *--- FAIL: / { failed++; show($3, log_of[$3]); print; next }
/^\?|\[no test files\]/ { next }
/^(ok|FAIL)[ \t]/ {
	# What is left belongs to tests that never ended: a panic, a time-out.
	for (name in log_of) show(name, log_of[name])
	test = ""
	print
	next
}
/^(PASS|FAIL)$/ { next }
test != "" { log_of[test] = log_of[test] $0 "\n"; next }
{ print }
END {
	for (name in log_of) show(name, log_of[name])
	printf "%d passed, %d failed, %d skipped\n", passed, failed, skipped
	for (i = 1; i <= nunearned; i++) print "skipped without a listed reason: " unearned[i]
	if (nunearned) exit 1
}
