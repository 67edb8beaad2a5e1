#!/bin/bash
# Prints the version of the checkout: the tag and what lies behind it, or a pseudo-version as Go makes them.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! git rev-parse --quiet --verify HEAD >/dev/null 2>&1; then
	echo v0.0.0-unknown # an unpacked archive of the source
	exit
fi
version=$(git describe --tags --match 'v[0-9]*' 2>/dev/null) ||
	version=v0.0.0-$(TZ=UTC git show -s --format=%cd --date=format-local:%Y%m%d%H%M%S)-$(git rev-parse --short=12 HEAD)
git diff --quiet HEAD || version+=+dirty
echo "$version"
