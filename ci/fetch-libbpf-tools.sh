#!/bin/bash
# Prints the folder that holds Debian's libbpf-tools, the corpus of real BPF objects that the tests read; fetches and
# unpacks it the first time. Prints nothing and says why on stderr where that can't be done: the tests skip then.
#
# The package is never installed, and nothing of it is committed. Its version is pinned, so that the corpus, and the
# numbers that the tests print, are the same everywhere.
set -euo pipefail
cd "$(dirname "$0")"

suite=bookworm
version=0.26.0+ds-1
sum=a699f420be4f47662622d9505538e1c9f4499d23bca8961460001df288778519
cache=${XDG_CACHE_HOME:-$HOME/.cache}/corecheck
dir=$cache/libbpf-tools_$version

if [ ! -d "$dir" ]; then
	. ./apt-private.sh
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/fetch.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	if ! private_apt "$work/apt" "$suite" amd64; then
		echo "libbpf-tools: not fetched; tests that read them skip" >&2
		exit 0
	fi
	(cd "$work" && private_download "libbpf-tools=$version" "$sum")
	dpkg-deb -x "$work"/*.deb "$work/root"
	mv -T "$work/root" "$dir" # last, and in one step: a folder that is there is whole
fi
echo "$dir/usr/sbin"
