#!/bin/bash
# Puts the real output of the demo into README.md, between the two markers. With --check: fails where it isn't there.
# Needs ./corecheck (make build).
set -euo pipefail
cd "$(dirname "$0")/.."

begin='<!-- demo: made by ci/readme-demo.sh -->'
end='<!-- end of demo -->'
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for marker in "$begin" "$end"; do
	if [ "$(grep -cFx -- "$marker" README.md)" != 1 ]; then
		echo "README.md: want one line '$marker'" >&2
		exit 1
	fi
done
# The table stands on the first screen; the findings, one by one, fold away.
{
	echo '```'
	echo '$ make demo'
	ci/demo.sh | awk '
		/^(break|warn|unknown) +CC[0-9]/ && !folded {
			folded = 1
			print "```\n\n<details><summary>and each finding, with what to do about it</summary>\n\n```"
		}
		{ print }
		END { print "```"; if (folded) print "\n</details>" }'
} >"$work/demo"
awk -v begin="$begin" -v end="$end" -v demo="$work/demo" '
	$0 == end { inside = 0 }
	!inside { print }
	$0 == begin { inside = 1; while ((getline line < demo) > 0) print line }
' README.md >"$work/README.md"

if [ "${1:-}" = --check ]; then
	diff -u README.md "$work/README.md" || {
		echo "README.md does not show what make demo prints: run ci/readme-demo.sh" >&2
		exit 1
	}
	exit 0
fi
cmp -s README.md "$work/README.md" || cat "$work/README.md" >README.md
