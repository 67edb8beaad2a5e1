#!/bin/bash
# go vet and every test, with the output made short. Arguments go to go test.
set -euo pipefail
cd "$(dirname "$0")/.."

PATH=$PATH:/usr/sbin:/sbin # bpftool is there, and not every user's PATH has it
go vet ./...
set -- -v -timeout 30m "$@" ./...
# In CI a skip must be listed: ci/allowed-skips.txt.
if [ -n "${CORECHECK_CI:-}" ]; then
	go test "$@" 2>&1 | awk -v skips=ci/allowed-skips.txt -f ci/test-output.awk
else
	go test "$@" 2>&1 | awk -f ci/test-output.awk
fi
