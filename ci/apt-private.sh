# Sourced, not run: apt-get with a state of its own, so that a Debian package can be fetched by anyone, without root
# and without a change to the machine. The mirror is the machine's own: from its apt configuration, with whatever
# proxy and credentials stand there.

# private_apt DIR SUITE ARCH makes the state under DIR. It fails, with one line, where no mirror in the machine's
# configuration has that suite; the suite's signature is checked, so a mirror of something else can't pass for it.
private_apt() {
	local dir=$1 suite=$2 arch=$3 keyring=/usr/share/keyrings/debian-archive-keyring.gpg uri
	if ! command -v apt-get >/dev/null; then
		echo "no apt-get on this machine" >&2
		return 1
	fi
	if [ ! -e "$keyring" ]; then
		echo "no Debian archive keyring on this machine (package debian-archive-keyring)" >&2
		return 1
	fi
	mkdir -p "$dir/state/lists/partial" "$dir/cache/archives/partial" "$dir/sources"
	: >"$dir/state/status"
	apt_options=(
		-q -q
		-o "Dir::State=$dir/state" -o "Dir::State::status=$dir/state/status"
		-o "Dir::Cache=$dir/cache" -o "Dir::Etc::SourceList=$dir/sources.list" -o "Dir::Etc::SourceParts=$dir/sources"
		-o "APT::Architecture=$arch" -o "APT::Architectures=$arch" -o "APT::Sandbox::User=$(id -un)"
		-o "Acquire::Languages=none" -o "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false"
		-o "APT::Get::List-Cleanup=false" -o "Acquire::Retries=3"
		# A mirror that stands still for some weeks lets a suite's Release file expire; its signature is checked all the same.
		-o "Acquire::Check-Valid-Until=false"
	)
	for uri in $(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort -u); do
		echo "deb [signed-by=$keyring] $uri $suite main" >"$dir/sources.list"
		if apt-get "${apt_options[@]}" -o APT::Update::Error-Mode=any update 2>"$dir/log"; then
			return 0
		fi
	done
	echo "no mirror in this machine's apt configuration has Debian $suite" >&2
	grep -h '^[EW]:' "$dir/log" | head -3 >&2 || true
	return 1
}

# private_download PACKAGE=VERSION SHA256 fetches into the current folder and checks the digest.
private_download() {
	local package=$1 sum=$2 file
	rm -f ./*.deb
	apt-get "${apt_options[@]}" download "$package"
	file=$(echo ./*.deb)
	echo "$sum  $file" | sha256sum --quiet --check -
}
