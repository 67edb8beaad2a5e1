#!/bin/sh
# Makes the embedded kernels from Debian's packages.
#
#   update.sh [FOLDER]    from the packages that kernels.list names; the same packages give the same bytes
#   update.sh --newest    writes kernels.list anew first: of each series in it the newest that Debian has
#
# FOLDER, by default the one that this file is in, gets manifest.json and the .btf.zst files. The mirror, its keys and
# the settings for reaching it are those of this machine's apt, of which any Debian will do; apt works in a folder of
# its own, so that nothing of the machine is changed. Needs apt, dpkg, tar and Go, 1 GB in $TMPDIR, and no privilege.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
newest=
if [ "${1:-}" = --newest ]; then
	newest=1
	shift
fi
out=$(cd "${1:-$here}" && pwd)
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

die() {
	echo "update.sh: $*" >&2
	exit 1
}

# Stable releases come from their main suites: the packages of a point release stay for months, those of the security
# suites go with the next update. Bullseye gets no more point releases; its last kernels are in the security suite.
main=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 'Label: Debian' | head -n 1)
security=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Label: Debian-Security' | head -n 1)
[ -n "$main" ] && [ -n "$security" ] ||
	die "apt on this machine has no Debian archive, or not its security archive; is 'apt-get update' due?"
cat > "$tmp/sources.list" <<SOURCES
deb $security bullseye-security main
deb $main bookworm main
deb $main trixie main
deb $main trixie-backports main
SOURCES

mkdir -p "$tmp/state/lists/partial" "$tmp/cache/archives/partial" "$tmp/keys"
: > "$tmp/state/status"
for key in /etc/apt/trusted.gpg.d/* /usr/share/keyrings/debian-archive-keyring.*; do
	[ ! -f "$key" ] || cp "$key" "$tmp/keys/"
done
# Read after the machine's own configuration. The lists of releases that are no longer updated are past their date.
cat > "$tmp/apt.conf" <<CONF
Dir::State "$tmp/state";
Dir::State::status "$tmp/state/status";
Dir::Cache "$tmp/cache";
Dir::Etc::SourceList "$tmp/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Dir::Etc::TrustedParts "$tmp/keys";
APT::Architecture "amd64";
#clear APT::Architectures;
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Check-Valid-Until "false";
#clear APT::Update;
#clear DPkg::Post-Invoke;
CONF
apt-get -qq -c "$tmp/apt.conf" update

if [ -n "$newest" ]; then
	# Up to 6.18 the image is in linux-image-*; from 6.19 on in linux-binary-*, and linux-image-* only depends on it.
	apt-cache -c "$tmp/apt.conf" dumpavail | awk '
		$1 == "Package:" { pkg = $2 }
		$1 == "Version:" && pkg ~ /^linux-(image|binary)-[0-9].*-cloud-amd64$/ { print pkg, $2 }
	' | sort -u > "$tmp/available"
	while read -r release _ version; do
		series=$(echo "$version" | sed -E 's/^([0-9]+\.[0-9]+).*/\1/')
		best='' best_version=''
		while read -r pkg ver; do
			case $ver in # 6.1 is there for Debian 11 too, as 6.1.180-1~deb11u1
			"$series".*~deb"$release"u* | "$series".*~bpo"$release"+*) ;;
			*~deb[0-9]* | *~bpo[0-9]*) continue ;;
			"$series".*) ;;
			*) continue ;;
			esac
			if [ -z "$best" ] || dpkg --compare-versions "$ver" gt "$best_version" ||
				{ [ "$ver" = "$best_version" ] && [ "${pkg#linux-binary-}" != "$pkg" ]; }; then
				best=$pkg best_version=$ver
			fi
		done < "$tmp/available"
		[ -n "$best" ] || die "Debian has no cloud kernel of $series any more; take it out of kernels.list"
		echo "$release $best $best_version"
	done < "$here/kernels.list" > "$tmp/kernels.list"
	cp "$tmp/kernels.list" "$here/kernels.list"
fi

while read -r release pkg version; do
	dir="$tmp/debs/$pkg"
	mkdir -p "$dir"
	(cd "$dir" && apt-get -qq -c "$tmp/apt.conf" download "$pkg=$version") ||
		die "Debian has no $pkg $version any more; 'update.sh --newest' takes the newest of its series"
	dpkg-deb --fsys-tarfile "$dir"/*.deb | tar -x -C "$dir" --wildcards --no-anchored 'vmlinuz*'
	rm "$dir"/*.deb
	echo "$release $pkg $version $(find "$dir" -type f -name 'vmlinuz*')"
done < "$here/kernels.list" > "$tmp/images"

cd "$here/../.."
go run ./kernels/embedded/gen "$out" < "$tmp/images"
