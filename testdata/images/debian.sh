#!/bin/sh
# Makes a real Debian image of three layers, as an OCI layout packed by umoci:
# a minimal root filesystem, one with packages on top, one that deletes and replaces.
#
#   debian.sh OUT SET     SET: numpy, scipy or node
#
# It writes OUT/SET (layout, name "gzip"), and needs root, mmdebstrap, umoci.
# An image that is there already is left alone.
set -eu
out=$1 set=$2
case $set in
numpy) packages=python3-numpy ;;
scipy) packages="python3-scipy python3-pip" ;;
node) packages="nodejs npm" ;;
*) echo "debian.sh: no set named $set" >&2; exit 2 ;;
esac
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ -e "$out/$set/index.json" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
layout=$work/layout bundle=$work/bundle
umoci init --layout "$layout"
umoci new --image "$layout:gzip"
umoci unpack --image "$layout:gzip" "$bundle"
root=$bundle/rootfs

# The machine's own package sources, whatever they are.
suite=$(. /etc/os-release && echo "$VERSION_CODENAME")
cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/debian.sources 2>/dev/null >"$work/sources" || true
bootstrap() {
	rm -rf "$work/base"
	mmdebstrap --quiet --variant=minbase --mode=root --skip=cleanup/reproducible/machine-id "$suite" "$work/base" - <"$work/sources"
}
bootstrap || { sleep 10; bootstrap; } || { sleep 30; bootstrap; } # a package server may be busy
cp -a "$work/base/." "$root/"
repack() {
	umoci repack --image "$layout:gzip" --refresh-bundle "$bundle"
}
repack

cp /etc/resolv.conf "$work/resolv" 2>/dev/null || : >"$work/resolv"
chroot_apt() {
	# The package manager runs in the root filesystem with the machine's name service.
	cp "$work/resolv" "$root/etc/resolv.conf"
	cp /etc/apt/apt.conf.d/99* "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
	chroot "$root" sh -c "apt-get -o Acquire::Retries=5 update -qq && DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 install -y -qq --no-install-recommends $1" >"$work/apt.log" 2>&1 ||
		{ cat "$work/apt.log" >&2; exit 1; }
	rm -rf "$root"/var/lib/apt/lists/* "$root"/var/cache/apt/*.bin "$root"/var/cache/apt/archives/*.deb "$root"/etc/resolv.conf "$root"/etc/apt/apt.conf.d/99*
}
chroot_apt "$packages"
repack

# Deletions, replacements, a directory made anew, links, attributes.
rm -rf "$root/usr/share/doc" "$root/usr/share/man"
mkdir -p "$root/usr/share/doc"
echo "replaced by the third layer" >"$root/etc/issue"
rm -f "$root/etc/issue.net"
rm -rf "$root/var/lib/dpkg/info" && mkdir "$root/var/lib/dpkg/info" && echo new >"$root/var/lib/dpkg/info/only"
rm -f "$root/usr/bin/pldd" && mkdir "$root/usr/bin/pldd" && echo inside >"$root/usr/bin/pldd/file"
mkdir -p "$root/srv/data"
head -c 3000000 /dev/zero | tr '\0' 'x' >"$root/srv/data/big"
ln "$root/srv/data/big" "$root/srv/data/big-link"
ln -s ../../etc/issue "$root/srv/data/issue"
truncate -s 5M "$root/srv/data/sparse"
printf 'tail' >>"$root/srv/data/sparse"
chmod 4711 "$root/srv/data/issue" 2>/dev/null || true
install -m 2755 /dev/null "$root/srv/data/setgid"
mkfifo "$root/srv/data/fifo"
mknod "$root/srv/data/null" c 1 3
chown 70000:70001 "$root/srv/data/fifo"
repack
umoci gc --layout "$layout"
mv "$layout" "$out/$set.tmp"
mv "$out/$set.tmp" "$out/$set"
