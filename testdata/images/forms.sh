#!/bin/sh
# Makes the other forms of an image of debian.sh, next to it:
#
#   forms.sh OUT SET
#
# OUT/SET-zstd (layout, layers in zstd, by skopeo), OUT/SET-buildah (by buildah),
# OUT/SET.tar, .tar.gz, .tar.zst (oci-archive), OUT/SET-docker.tar (docker-archive).
set -eu
out=$(cd "$1" && pwd) set=$2
src=oci:$out/$set:gzip
policy='{"default":[{"type":"insecureAcceptAnything"}]}'
# buildah makes an image name of a path, so this one has only letters that names may have.
work=/tmp/shalefs-images-$$
mkdir "$work"
trap 'rm -rf "$work"' EXIT
echo "$policy" >"$work/policy.json"
copy() { # source, destination, more arguments
	src_=$1 dst_=$2
	shift 2
	skopeo --policy "$work/policy.json" --tmpdir "$work" copy -q "$@" "$src_" "$dst_"
}
once() { # a path that is made under a temporary name by the function that follows
	path=$1
	shift
	[ -e "$path" ] && return
	rm -rf "$path.tmp"
	"$@" "$path.tmp"
	mv "$path.tmp" "$path"
}
zstd_form() { copy "$src" "oci:$1:zstd" --dest-compress-format zstd --dest-force-compress-format 2>/dev/null || repack_zstd "$1"; }
repack_zstd() {
	# Older skopeo keeps the compression of a layout: go through a plain directory.
	rm -rf "$1" "$work/dir"
	copy "$src" "dir:$work/dir" --dest-decompress
	copy "dir:$work/dir" "oci:$1:zstd" --dest-compress --dest-compress-format zstd
}
buildah_form() {
	export STORAGE_DRIVER=vfs
	buildah="buildah --root $work/store --runroot $work/run --signature-policy $work/policy.json"
	cp -r "$out/$set" "$work/layout"
	$buildah push -q "$($buildah pull -q "oci:$work/layout:gzip")" "oci:$1:buildah"
	rm -rf "$work/layout"
}
archive() { copy "$src" "oci-archive:$1:gzip"; }
docker_archive() { copy "$src" "docker-archive:$1:shalefs/test:latest"; }
gz() { gzip -1 -c "$out/$set.tar" >"$1"; }
zst() { zstd -q -c "$out/$set.tar" >"$1"; }
once "$out/$set-zstd" zstd_form
once "$out/$set-buildah" buildah_form
once "$out/$set.tar" archive
once "$out/$set.tar.gz" gz
once "$out/$set.tar.zst" zst
once "$out/$set-docker.tar" docker_archive
