# Reads `go test -v` and prints what a person wants to see: what tests log, failures, skips and the line of each
# package. The rest is counted. A log line comes after the name of its test.
#
# With -v skips=FILE, the reasons of skips are held against FILE (one regular expression a line, '#' comments): a skip
# that is not listed fails, so that a missing tool can't turn a test off unnoticed.
BEGIN {
	if (skips != "") {
		while ((r = getline line < skips) > 0)
			if (line != "" && line !~ /^#/) allowed[++nallowed] = line
		if (r < 0) { print "can't read " skips; exit 2 }
	}
}
/^=== / { test = $3; next }
/^ *--- PASS/ { passed++; next }
/^ *--- SKIP/ {
	skipped++
	print
	ok = skips == "" || nested[$3] # a test whose subtests all skip shows their reasons
	for (i = 1; i <= nallowed; i++) if (reason[$3] ~ allowed[i]) ok = 1
	if (!ok) unearned[++nunearned] = $3 ": " reason[$3]
	next
}
/^ *--- FAIL/ { failed++ }
/^PASS$/ { next }
/^\?|\[no test files\]/ { next }
/^ +[A-Za-z0-9_.-]+\.go:[0-9]+: / {
	if (test != shown) { print test; shown = test }
	reason[test] = $0
	parent = test
	while (sub(/\/[^\/]*$/, "", parent)) nested[parent] = 1
}
{ print }
END {
	printf "%d passed, %d skipped, %d failed\n", passed, skipped, failed
	for (i = 1; i <= nunearned; i++) print "skipped without a listed reason: " unearned[i]
	if (nunearned) exit 1
}
