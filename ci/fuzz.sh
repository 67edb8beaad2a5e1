#!/bin/bash
# Runs every native fuzz target of the module for FUZZTIME (60s), one after the other. Arguments: packages, or none
# for all. What a target finds stays in its testdata/fuzz, to be committed with the repair.
set -euo pipefail
cd "$(dirname "$0")/.."

time=${FUZZTIME:-60s}
found=0
for package in $(go list "${@:-./...}"); do
	for target in $(go test -list '^Fuzz' "$package" | grep '^Fuzz' || true); do
		echo "== $package $target $time"
		go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 10x "$package"
		found=$((found + 1))
	done
done
if [ "$found" = 0 ]; then
	echo "no fuzz target found" >&2
	exit 1
fi
echo "$found fuzz targets, $time each: nothing found"
