#!/bin/bash
# Rebuilds everything that is committed and made by a program: generated Go, fixtures, documentation. CI runs it and
# fails where a committed file changes.
#
# A fixture's build command is the first comment of its source: a line "// build: COMMAND" or " * build: COMMAND",
# run in the folder of the source. The compiler in it carries its version, because it is part of the input.
set -euo pipefail
cd "$(dirname "$0")/.."

go generate ./...

git ls-files '*.bpf.c' | while read -r source; do
	commands=$(sed -n '1,12s/^\(\/\/\|\/\*\| \*\) *build: *\(.*[^ ]\)\( *\*\/\)\{0,1\}$/\2/p' "$source")
	if [ -z "$commands" ]; then
		echo "$source: no build command in the first comment" >&2
		exit 1
	fi
	echo "$source"
	echo "$commands" | while read -r command; do
		(cd "$(dirname "$source")" && sh -ec "$command")
	done
done

make build # with what was generated
ci/readme-demo.sh
