#!/bin/sh
# Makes COUNT random zstd frames, with their content, in directory OUT: by decodecorpus,
# the generator that zstd's authors test their decoder with. It is built from Debian's
# source package in a temporary directory; nothing is installed.
#
#   testdata/decodecorpus.sh OUT [COUNT] [SEED]
#   SHALEFS_DECODECORPUS=OUT go test -run TestDecodecorpus ./index/zstdx
#
# Needs: apt-get, a C compiler, make, xz.
set -eu
out=${1:?usage: decodecorpus.sh OUT [COUNT] [SEED]}
count=${2:-3000}
seed=${3:-1}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/src" "$work/z" "$work/o"

# A source list of our own, so that the machine's is left alone.
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
echo "deb-src http://deb.debian.org/debian $suite main" >"$work/sources.list"
set -- -o Dir::Etc::sourcelist="$work/sources.list" -o Dir::Etc::sourceparts=/dev/null \
	-o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root
apt-get "$@" update >&2
(cd "$work/src" && apt-get "$@" source --download-only libzstd >&2 && tar xf libzstd_*.orig.tar.xz)
make -C "$work"/src/*/tests decodecorpus >&2
"$work"/src/*/tests/decodecorpus -n"$count" -s"$seed" -p"$work/z" -o"$work/o" >&2
mv "$work"/z/* "$work"/o/* "$out"
