#!/bin/bash
# Fails where `make generate` changes a committed file. Needs the pinned compilers: the bytes depend on them.
set -euo pipefail
cd "$(dirname "$0")/.."

for want in clang-14=14.0.6 clang-16=16.0.6; do
	if ! "${want%=*}" --version 2>/dev/null | grep -qF "version ${want#*=}"; then
		echo "${want%=*} of version ${want#*=} is not on this machine: generated files are not checked"
		exit 0
	fi
done
if ! git diff --quiet HEAD; then
	echo "files are changed already: commit them first" >&2
	exit 1
fi
make generate
if ! git diff --exit-code --stat HEAD || [ -n "$(git ls-files --others --exclude-standard)" ]; then
	git status --short
	echo "make generate changes what is committed: run it and commit the result" >&2
	exit 1
fi
