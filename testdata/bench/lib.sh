# Functions of bench.sh. It sets: here top work keep shalefs.
# shellcheck shell=sh disable=SC2154

bin=$work/bin
made=$keep/images       # layouts that mkimage made
indexes=$keep/indexes   # a cache that has every index
traces=$keep/trace
proxy_pid='' slow='' fast=''
mounts='' loops='' count=0

need() { # commands that a benchmark cannot do without
	for c_ in "$@"; do
		command -v "$c_" >/dev/null || { echo "bench: $name: left out: $c_ is not installed" >&2; return 1; }
	done
}

is_root() {
	[ "$(id -u)" = 0 ] || { echo "bench: $name: left out: needs root" >&2; return 1; }
}

cleanup() {
	for d_ in $mounts; do "$shalefs" umount "$d_" 2>/dev/null || "$shalefs" umount --lazy "$d_" 2>/dev/null || true; done
	for d_ in $loops; do umount "$d_" 2>/dev/null || true; done
	[ -z "$proxy_pid" ] || kill "$proxy_pid" 2>/dev/null || true
	rm -rf --one-file-system "$work"
}

build() {
	mkdir -p "$bin" "$made" "$indexes" "$traces" "$work/uploads"
	for p_ in slowproxy mkimage randread measure decode; do
		(cd "$top" && CGO_ENABLED=0 go build -o "$bin/$p_" ./testdata/bench/"$p_")
	done
}

# proxy ARGUMENT...: a new slow registry in place of the one before: $slow and $fast are its ports.
proxy() {
	if [ -n "$proxy_pid" ]; then
		kill "$proxy_pid"
		wait "$proxy_pid" 2>/dev/null || true
	fi
	rm -rf "$work/uploads" "$work/address"
	mkdir "$work/uploads"
	"$bin/slowproxy" -images "$BENCH_IMAGES" -images "$made" -uploads "$work/uploads" -address "$work/address" \
		-latency "$BENCH_LATENCY" -rate "$BENCH_RATE" "$@" &
	proxy_pid=$!
	until [ -e "$work/address" ]; do
		kill -0 "$proxy_pid" || { echo "bench: slowproxy does not start" >&2; exit 1; }
		sleep 0.1
	done
	slow=$(sed -n 1p "$work/address") fast=$(sed -n 2p "$work/address")
}

reset() { curl -fsS -X POST "http://$slow/_reset"; }

# stats: sets requests and bytes from what the proxy counted; keeps the list of requests.
stats() { # name of the trace
	curl -fsS "http://$slow/_trace" >"$traces/$1.txt"
	counts_=$(curl -fsS "http://$slow/_stats")
	requests=$(echo "$counts_" | jq .requests) bytes=$(echo "$counts_" | jq .bytes)
}

# timed COMMAND...: runs it; sets seconds, cpu, rss (KiB).
timed() {
	"$bin/measure" "$work/measured" "$@" || { echo "bench: $name: failed: $*" >&2; exit 1; }
	read -r seconds cpu rss <"$work/measured"
}

manifest() { # image name, tag
	m_=$BENCH_IMAGES/$1
	[ -e "$m_/index.json" ] || m_=$made/$1
	d_=$(jq -r --arg t "$2" '.manifests[] | select(.annotations["org.opencontainers.image.ref.name"] == $t) | .digest' "$m_/index.json")
	cat "$m_/blobs/sha256/${d_#sha256:}"
}

layers() { manifest "$1" "$2" | jq -r '.layers[].digest'; }
layer_bytes() { manifest "$1" "$2" | jq '[.layers[].size] | add'; }

# baseline IMAGE TAG: sets plain to the seconds that curl takes for all layers, once a run.
baseline() {
	file_=$work/curl-$1
	if [ ! -e "$file_" ]; then
		set -- "$1" "$2" curl -fsS
		for l_ in $(layers "$1" "$2"); do set -- "$@" -o /dev/null "http://$slow/v2/$1/blobs/$l_"; done
		reset
		image_=$1 tag_=$2
		shift 2
		timed "$@"
		stats "curl-$image_"
		echo "$seconds" >"$file_"
		row "curl" "$image_" "$requests" "$bytes" "$seconds" 1.00 "all layers, the measure of the column \"x curl\""
		set -- "$image_" "$tag_"
	fi
	plain=$(cat "$file_")
}

div() { awk -v a="$1" -v b="$2" 'BEGIN { if (b > 0) printf "%.2f", a / b; else print "-" }'; }
mib() { awk -v a="$1" 'BEGIN { printf "%.1f MiB", a / 1024 }'; } # of KiB

head_row() {
	printf '| %-26s | %-12s | %8s | %9s | %8s | %7s | %s\n' benchmark image requests MB seconds "x curl" "limit, notes"
	printf '|%s|%s|%s|%s|%s|%s|%s\n' ---------------------------- -------------- ---------: ----------: ---------: --------: ---
}

row() { # benchmark, image, requests, bytes, seconds, ratio, note
	mb_=-
	[ "$4" = - ] || mb_=$(awk -v b="$4" 'BEGIN { printf "%.2f", b / 1e6 }')
	printf '| %-26s | %-12s | %8s | %9s | %8s | %7s | %s\n' "$1" "$2" "$3" "$mb_" "$5" "$6" "$7"
}

new_dir() { # kind: sets dir to a new empty directory
	count=$((count + 1))
	dir=$work/$1$count
	mkdir "$dir"
}

new_cache() { new_dir cache && cache=$dir; }

# cold_cache: a cache with all indexes of $indexes, and no content.
cold_cache() {
	new_cache
	tar -C "$indexes" --exclude='./v*/file' --exclude='./v*/tar' -c . | tar -C "$cache" -x
}

new_mount() { # sets dir to a mount point that is taken care of at the end
	new_dir mnt
	mounts="$mounts $dir"
}

unmount() { "$shalefs" umount "$1"; }

daemon() { "$shalefs" status --json "$1" | jq '.[0].pid'; }

memory_of() { # pid, field of /proc/PID/status: KiB
	awk -v f="$2:" '$1 == f { print $2 }' "/proc/$1/status"
}

cpu_of() { # pid: seconds of CPU time
	awk -v hz="$(getconf CLK_TCK)" '{ sub(/.*\) /, ""); printf "%.1f", ($12 + $13) / hz }' "/proc/$1/stat"
}

# push IMAGE TAG ARGUMENT...: its indexes, made if need be, go into the registry.
push() {
	i_=$1:$2
	shift 2
	"$shalefs" index push --cache-dir "$indexes" "$@" "$fast/$i_" >/dev/null
}

# forms: the images of the set: name and tag, a line each.
forms() {
	for s_ in "$BENCH_SET gzip" "$BENCH_SET-zstd zstd"; do
		if [ -e "$BENCH_IMAGES/${s_% *}/index.json" ]; then echo "$s_"; else
			echo "bench: no image ${s_% *} in $BENCH_IMAGES" >&2
		fi
	done
}

# each FUNCTION: calls it with name and tag of each form.
each() {
	forms >"$work/forms"
	while read -r f_image f_tag <&9; do "$1" "$f_image" "$f_tag"; done 9<"$work/forms"
}
