#!/bin/bash
# Fetches kernel packages of one Debian suite; kernels/embedded/build runs it.
#
#   fetch.sh SUITE ARCHITECTURE FOLDER    reads "PACKAGE VERSION" lines, and answers each with the name of the file in
#                                         FOLDER, or with "-" and why it can't be had
#   fetch.sh --list SUITE ARCHITECTURE    prints the suite's kernel packages: PACKAGE VERSION SHA256
#
# The mirror, and the settings for reaching it, are those of this machine's apt (ci/apt-private.sh). apt has checked the
# digest that the suite's signed index has for a package; whoever reads the file checks it against packages.list.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
. "$here/../../ci/apt-private.sh"

list=
if [ "${1:-}" = --list ]; then
	list=1
	shift
fi
suite=$1 arch=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
private_apt "$work/apt" "$suite" "$arch"

if [ -n "$list" ]; then
	# Twins that are not signed are the same kernel, and packages with debug information are no kernels. An image that has
	# less than 1 MB is none: metapackages, and linux-image-* where the image is in linux-binary-*, only depend on others.
	apt-cache "${apt_options[@]}" dumpavail | awk -v arch="$arch" '
		/^Package: / { package = $2; of = version = sum = ""; size = 0 }
		/^Architecture: / { of = $2 }
		/^Version: / { version = $2 }
		/^Size: / { size = $2 }
		/^SHA256: / { sum = $2 }
		/^$/ && of == arch && package ~ /^linux-(image|binary|modules|base)-[0-9]/ && package !~ /-(unsigned|dbg)$/ &&
			(package !~ /^linux-image-/ || size >= 1e6) { print package, version, sum }
	'
	exit
fi

cd "$3"
while read -r package version; do
	if apt-get "${apt_options[@]}" download "$package=$version" </dev/null 2>"$work/log"; then
		ls -- "$package"_*.deb
	else
		echo "- $(sed -n 's/^E: *//p' "$work/log" | head -n 1 | sed -E 's|https?://[^ ]*/||g')"
	fi
done
