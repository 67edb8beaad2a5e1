#!/bin/bash
# Prints the folder that holds Debian's newest libbpf-dev, the reference of CO-RE resolution; fetches and unpacks it the
# first time. Prints nothing and says why on stderr where that can't be done: the tests then ask the libbpf that is
# installed, or skip.
#
# The package is never installed. It is not pinned, because a mirror only keeps the current version of sid: the tests
# print which one they asked. apt checks the signature.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/corecheck
dir=$cache/libbpf-dev_sid

if [ ! -d "$dir" ]; then
	. ./apt-private.sh
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/fetch.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	if ! private_apt "$work/apt" sid "$(dpkg --print-architecture)"; then
		echo "libbpf-dev: not fetched; the tests ask the installed one" >&2
		exit 0
	fi
	(cd "$work" && apt-get "${apt_options[@]}" download libbpf-dev)
	dpkg-deb -x "$work"/*.deb "$work/root"
	mv -T "$work/root" "$dir" # last, and in one step: a folder that is there is whole
fi
echo "$dir"
