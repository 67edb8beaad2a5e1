#!/bin/bash
# The main job on the demo object: what breaks on the embedded kernels, where, and why.
set -euo pipefail
cd "$(dirname "$0")/.."

# Only the kernels that come with corecheck, whatever else there is on this machine.
unset CORECHECK_ARCHIVE
export XDG_DATA_HOME=/nonexistent

command=(./corecheck object testdata/demo/blkstate.bpf.o --kernels 5.4..7.2)
echo "\$ ${command[*]}"
code=0
"${command[@]}" || code=$?
case $code in
0 | 1) ;; # 1: something breaks, which is what the demo is for
*) exit "$code" ;;
esac
echo "(exit code $code: $([ "$code" = 1 ] && echo "something breaks" || echo "nothing breaks"))"
