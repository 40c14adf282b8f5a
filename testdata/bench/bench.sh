#!/bin/sh
# Measures shalefs through a slow registry, and prints a table.
#
#   bench.sh [-k DIR] [NAME...]     all of: first python pass sequential tree random warm memory index peers
#
# README.md says what is measured, which settings there are, and which limits belong to it.
set -eu
# shellcheck disable=SC1007
here=$(CDPATH= cd -- "$(dirname -- "$0")" && pwd)
top=$(cd "$here/../.." && pwd)
work=$(mktemp -d)
keep=$work
while getopts k: option; do
	case $option in
	k) keep=$OPTARG ;;
	*) sed -n '4p' "$0" >&2; rmdir "$work"; exit 2 ;;
	esac
done
shift $((OPTIND - 1))
mkdir -p "$keep"
keep=$(cd "$keep" && pwd)

: "${BENCH_IMAGES:=$top/.cache/images}" "${BENCH_SET:=scipy}" "${BENCH_BIG:=2147483648}" "${BENCH_FILES:=1000000}"
: "${BENCH_LATENCY:=20ms}" "${BENCH_RATE:=50000000}" "${BENCH_READS:=400}"
: "${BENCH_FILE:=/usr/lib/python3/dist-packages/numpy/version.py}"
[ -d "$BENCH_IMAGES" ] || { echo "bench: no images in $BENCH_IMAGES: testdata/images/debian.sh \"$BENCH_IMAGES\" $BENCH_SET makes them" >&2; rmdir "$work"; exit 1; }
BENCH_IMAGES=$(cd "$BENCH_IMAGES" && pwd)
shalefs=${SHALEFS:-$top/shalefs}
# What is not said on a command line must not land in the user's directories.
export SHALEFS_CACHE_DIR="$work/cache"

. "$here/lib.sh"
. "$here/cases.sh"
trap cleanup EXIT
trap 'exit 130' INT TERM

[ -e "$shalefs" ] || { echo "bench: $shalefs is missing: make build" >&2; exit 1; }
name=bench
need curl jq awk tar go || exit 1
build

[ $# -gt 0 ] || set -- first python pass sequential tree random warm memory index peers
for name in "$@"; do
	case $name in
	first | python | pass | sequential | tree | random | warm | memory | index | peers) ;;
	*) echo "bench: no benchmark named $name" >&2; exit 2 ;;
	esac
done
head_row
for name in "$@"; do
	"bench_$name"
done
