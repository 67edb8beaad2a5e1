#!/bin/bash
# Runs the benchmarks, those of whole processes last and one package at a time, so that nothing else of this repository runs beside
# them. Then prints the table of docs/performance.md from what they reported; with -w it writes it there.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(mktemp)
trap 'rm -f "$out"' EXIT
go test -p 1 -timeout 60m -run '^$' -bench . -benchmem $(go list ./... | grep -v /cmd/) | tee "$out"
go test -timeout 60m -run '^$' -bench . ./cmd/... | tee -a "$out"
echo
machine="$(awk -F ': ' '/^model name/ {print $2; exit}' /proc/cpuinfo), $(nproc) CPUs, $(go version | cut -d ' ' -f 3)"
table=$(awk -v machine="$machine" -v date="$(date -u +%Y-%m-%d)" -f ci/bench.awk "$out")
echo "$table"
if [ "${1-}" = -w ]; then
	doc=docs/performance.md
	{ sed '/^<!-- begin/q' $doc; echo "$table"; sed -n '/^<!-- end/,$p' $doc; } > "$doc.new"
	mv "$doc.new" "$doc"
fi
