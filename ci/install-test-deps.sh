#!/bin/bash
# Installs what the tests need beyond Go, where that is missing and can be installed: Debian or Ubuntu, as root.
# Elsewhere it says what is missing, and the tests that need it skip.
set -euo pipefail

# What to look for (a command, or a file), and the package that has it.
wanted=(
	clang clang
	clang-14 clang-14 # the committed fixtures are built with 14 and 16; others make other bytes
	clang-16 clang-16
	llvm-strip llvm
	llvm-strip-14 llvm-14
	llvm-strip-16 llvm-16
	bpftool bpftool
	pahole pahole
	cc gcc
	/usr/include/bpf/libbpf.h libbpf-dev
	/usr/include/gelf.h libelf-dev
	/usr/include/zlib.h zlib1g-dev
	xz xz-utils
	python3 python3
	apt-ftparchive apt-utils dpkg-scanpackages dpkg-dev rpmbuild rpm createrepo_c createrepo-c gpg gpg gpg-agent gpg-agent # repositories made by the tests of kernels/pull
	zstd zstd
	lz4 lz4
	lzop lzop
	bzip2 bzip2
	pkg-config pkg-config
	cpio cpio
	qemu-system-x86_64 qemu-system-x86 qemu-system-aarch64 qemu-system-arm # guests of corecheck boot
	/usr/share/keyrings/debian-archive-keyring.gpg debian-archive-keyring
)

have() {
	case $1 in
	/*) [ -e "$1" ] ;;
	*) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || [ -x "/sbin/$1" ] ;;
	esac
}

missing() {
	local i
	for ((i = 0; i < ${#wanted[@]}; i += 2)); do
		have "${wanted[i]}" || echo "${wanted[i + 1]}"
	done
}

packages=$(missing)
[ -n "$packages" ] || exit 0
if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
	echo "installing for the tests:" $packages
	export DEBIAN_FRONTEND=noninteractive
	options=(-q -q -y --no-install-recommends -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300)
	apt-get "${options[@]}" update
	# One by one where they don't go together: a package that this release lacks must not keep the others out.
	apt-get "${options[@]}" install $packages >/dev/null || for p in $packages; do
		apt-get "${options[@]}" install "$p" >/dev/null || true
	done
	packages=$(missing)
	[ -n "$packages" ] || exit 0
fi
echo "not installed, tests that need them skip:" $packages
