#!/bin/sh
# Mounts the demo image, looks around, unmounts: demo.sh PATH-OF-SHALEFS
set -eu
shalefs=$1
ref=oci:$(dirname "$0")/image:demo

if [ ! -e /dev/fuse ]; then
	echo "make demo: there is no /dev/fuse: load the kernel module \"fuse\", or give the container the device" >&2
	exit 1
fi
if [ "$(id -u)" != 0 ]; then
	command -v fusermount3 >/dev/null || { echo "make demo: fusermount3 is missing: install the package \"fuse3\", or run as root" >&2; exit 1; }
	[ -r /dev/fuse ] && [ -w /dev/fuse ] || { echo "make demo: /dev/fuse is not open to users: \"chmod 0666 /dev/fuse\" as root, or run as root" >&2; exit 1; }
fi

dir=$(mktemp -d)
SHALEFS_CACHE_DIR=$(mktemp -d)
export SHALEFS_CACHE_DIR
mounted=
finish() {
	[ -z "$mounted" ] || "$shalefs" umount "$dir" || true
	rm -rf "$SHALEFS_CACHE_DIR"
	rmdir "$dir" 2>/dev/null || true
}
trap finish EXIT INT TERM

run() {
	printf '\n$ %s\n' "$(echo "$*" | sed "s#$dir#DIR#g; s#$shalefs#shalefs#")"
	"$@"
}

run "$shalefs" mount "$ref" "$dir"
mounted=1
run ls -l "$dir"
run cat "$dir/etc/motd"
run ls -l "$dir/opt/app" "$dir/var/cache"
run "$shalefs" layers "$ref"
run "$shalefs" status "$dir"
run "$shalefs" umount "$dir"
mounted=
printf '\nmake demo: done\n'
