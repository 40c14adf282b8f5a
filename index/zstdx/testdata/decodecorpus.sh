#!/bin/sh
# Makes COUNT random zstd frames, with their content, in directory OUT: by decodecorpus,
# the generator that zstd's authors test their decoder with. It is built from Debian's
# source package in a temporary directory; nothing is installed. A directory that was made
# with the same COUNT and SEED is left alone.
#
#   testdata/decodecorpus.sh OUT [COUNT] [SEED]
#   SHALEFS_DECODECORPUS=OUT go test -run TestDecodecorpus ./index/zstdx
#
# Needs: apt-get, dpkg-dev, a C compiler, make, xz.
set -eu
out=${1:?usage: decodecorpus.sh OUT [COUNT] [SEED]}
count=${2:-3000}
seed=${3:-1}
[ "$(cat "$out/made" 2>/dev/null)" = "$count $seed" ] && exit 0
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/parts" "$work/src" "$work/z" "$work/o"

# The machine's own sources, as sources of source packages, in a list of our own.
for f in /etc/apt/sources.list /etc/apt/sources.list.d/*; do
	[ -f "$f" ] || continue
	to=$work/parts/$(basename "$f")
	case $f in
	*.sources) sed 's/^Types:.*/Types: deb-src/' "$f" >"$to" ;;
	*.list) sed -n 's/^deb\(-src\)\{0,1\}[[:space:]]/deb-src /p' "$f" >"$to" ;;
	esac
done
set -- -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$work/parts" -o Acquire::Retries=5 \
	-o Dir::State::lists="$work/lists" -o Dir::Cache="$work/cache" -o APT::Sandbox::User=root
apt-get "$@" update -qq >&2 || echo "decodecorpus: a source without source packages?" >&2
(cd "$work/src" && apt-get "$@" source -qq --download-only libzstd >&2 && tar xf libzstd_*.orig.tar.?z)
make -s -j2 CFLAGS=-O1 -C "$work"/src/*/tests decodecorpus >&2
"$work"/src/*/tests/decodecorpus -n"$count" -s"$seed" -p"$work/z" -o"$work/o" >"$work/log" 2>&1 || { cat "$work/log" >&2; exit 1; }
rm -f "$out"/z* "$out/made"
mv "$work"/z/* "$work"/o/* "$out"
echo "$count $seed" >"$out/made"
