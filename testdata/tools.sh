#!/bin/sh
# Installs Debian packages that are missing, as root. A user gets the list.
set -eu
missing=
for p in "$@"; do
	[ "$(dpkg-query -W -f '${db:Status-Status}' "$p" 2>/dev/null)" = installed ] || missing="$missing $p"
done
[ -z "$missing" ] && exit 0
if [ "$(id -u)" != 0 ]; then
	echo "tools: not root and not installed:$missing" >&2
	exit 0
fi
echo "tools: installing$missing"
apt-get -o Acquire::Retries=5 update -qq
# shellcheck disable=SC2086
DEBIAN_FRONTEND=noninteractive apt-get -o Acquire::Retries=5 install -y -qq --no-install-recommends $missing >/dev/null
