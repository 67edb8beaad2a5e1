#!/bin/bash
# Prints a boot image of Debian's smallest kernels for amd64, which tests boot in QEMU; fetches and unpacks it the first time.
# Prints nothing and says why on stderr where that can't be done: the tests skip then.
#
# It is one of the embedded kernels (kernels/embedded/packages.list), checked against the digest there. A suite drops a
# version when it has a newer one, so the next is tried where one is gone.
set -euo pipefail
cd "$(dirname "$0")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/corecheck
mkdir -p "$cache"

while read -r _ suite _ package version sum; do
	image=$cache/boot-image_$sum
	if [ -f "$image" ]; then
		echo "$image"
		exit 0
	fi
	work=$(mktemp -d "$cache/fetch.XXXXXX")
	if (
		. ./apt-private.sh
		private_apt "$work/apt" "$suite" amd64 && cd "$work" && private_download "$package=$version" "$sum" &&
			dpkg-deb --fsys-tarfile "$package"_*.deb >"$work/files" && tar -x -f "$work/files" --wildcards './boot/vmlinuz-*'
	) >&2; then
		mv "$work"/boot/vmlinuz-* "$image" # last, and in one step: a file that is there is whole
		rm -rf "$work"
		echo "$image"
		exit 0
	fi
	rm -rf "$work"
done < <(grep -E ' bookworm amd64 linux-image-[^ ]*-cloud-amd64 ' ../kernels/embedded/packages.list | sort -r -V -k 5)
echo "boot image: not fetched; tests that boot it skip" >&2
