# The benchmarks of bench.sh, a function each.
# shellcheck shell=sh disable=SC2154,SC2034

bench_first() {
	proxy
	each first_of
}

first_of() {
	baseline "$1" "$2"
	push "$1" "$2"
	for run_ in 1 2 3; do
		new_cache
		reset
		timed sh -c '"$0" cat --cache-dir "$1" "$2" "$3" >/dev/null' "$shalefs" "$cache" "$slow/$1:$2" "$BENCH_FILE"
		stats "first-$1"
		row "first file, run $run_" "$1" "$requests" "$bytes" "$seconds" "$(div "$seconds" "$plain")" "8 requests, 1.5 MB, 0.3 s; $cpu s of CPU"
	done
}

# import_numpy IMAGE TAG TITLE MOUNT-ARGUMENT...: an empty cache, a mount, the import. It stays mounted on $dir.
import_numpy() {
	i_image=$1 i_tag=$2 i_title=$3
	shift 3
	new_cache
	new_mount
	reset
	timed sh -eu -c 'dir=$1; shift; "$@" "$dir"; chroot "$dir" python3 -c "import numpy, scipy"' sh "$dir" \
		"$shalefs" mount --cache-dir "$cache" "$@" "$slow/$i_image:$i_tag"
	stats "$(echo "python-$i_image-$i_title" | tr ' ' -)"
	pid_=$(daemon "$dir")
	sleep 2 # a mount that is left alone gives back what it needed for the work
	memory_="$(mib "$(memory_of "$pid_" VmRSS)") resident ($(mib "$(memory_of "$pid_" RssAnon)") its own), $(cpu_of "$pid_") s of CPU"
	row "$i_title" "$i_image" "$requests" "$bytes" "$seconds" "$(div "$seconds" "$plain")" "$limit; $memory_"
}

bench_python() {
	is_root && need chroot || return 0
	proxy
	each python_of
}

python_of() {
	baseline "$1" "$2"
	push "$1" "$2"
	limit="40 requests, 30 MB, 2 s; 40 MiB"
	import_numpy "$1" "$2" "import" --trust registry
	unmount "$dir"
	import_numpy "$1" "$2" "import, checking" --trust background
	unmount "$dir"
	import_numpy "$1" "$2" "import, recording" --trust registry --record "$work/profile"
	unmount "$dir"
	push "$1" "$2" --profile "$work/profile"
	limit="1.3 s; 40 MiB"
	import_numpy "$1" "$2" "import, profile" --trust registry
	unmount "$dir"
}

bench_pass() {
	proxy
	each pass_of
}

pass_of() {
	baseline "$1" "$2"
	new_cache
	new_mount
	reset
	timed "$shalefs" mount --cache-dir "$cache" "$slow/$1:$2" "$dir"
	stats "pass-$1"
	again_=$((bytes - $(layer_bytes "$1" "$2")))
	row "mount without index" "$1" "$requests" "$bytes" "$seconds" "$(div "$seconds" "$plain")" "1.1 x curl; $again_ bytes beside the layers; $(cpu_of "$(daemon "$dir")") s of CPU"
	# All is here now: a second look costs nothing.
	reset
	timed sh -c 'tar -c -C "$0" . | cat >/dev/null' "$dir"
	stats "pass-after-$1"
	row "its tree, read after" "$1" "$requests" "$bytes" "$seconds" "$(div "$seconds" "$plain")" "0 requests"
	unmount "$dir"
}

make_big() {
	[ -e "$made/big-$1-$BENCH_BIG/index.json" ] || "$bin/mkimage" big -size "$BENCH_BIG" -format "$1" -o "$made/big-$1-$BENCH_BIG"
}

bench_sequential() {
	for format_ in gzip zstd; do make_big "$format_"; done
	proxy
	for format in gzip zstd; do
		image=big-$format-$BENCH_BIG
		baseline "$image" "$format"
		push "$image" "$format"
		new_cache
		new_mount
		"$shalefs" mount --cache-dir "$cache" --trust registry "$slow/$image:$format" "$dir"
		reset
		timed sh -c 'cat "$0" >/dev/null' "$dir/model.bin"
		stats "sequential-$format"
		pid_=$(daemon "$dir")
		top_=$(memory_of "$pid_" VmHWM)
		row "sequential, one file" "$image" "$requests" "$bytes" "$seconds" "$(div "$seconds" "$plain")" "0.9 of the link: 1.11; here $(div "$plain" "$seconds"); at most $(mib "$top_") resident, $(cpu_of "$pid_") s of CPU"
		unmount "$dir"
	done
}

bench_tree() {
	proxy
	each tree_of
}

tree_of() {
	baseline "$1" "$2"
	push "$1" "$2"
	new_cache
	new_mount
	"$shalefs" mount --cache-dir "$cache" --trust registry "$slow/$1:$2" "$dir"
	reset
	timed sh -c 'tar -c -C "$0" . | cat >/dev/null' "$dir"
	stats "tree-$1"
	row "whole tree, tar" "$1" "$requests" "$bytes" "$seconds" "$(div "$seconds" "$plain")" "0.9 of the link: 1.11; here $(div "$plain" "$seconds"); $(cpu_of "$(daemon "$dir")") s of CPU"
	unmount "$dir"
}

bench_random() {
	each random_of
}

random_of() {
	source_=oci:$BENCH_IMAGES/$1:$2
	"$shalefs" index build --cache-dir "$indexes" "$source_" >/dev/null
	cold_cache
	new_mount
	"$shalefs" mount --cache-dir "$cache" --prefetch none "$source_" "$dir"
	"$bin/randread" -n "$BENCH_READS" "$dir" >"$work/random"
	read -r mean_ median_ p99_ <"$work/random"
	row "random 4 KiB, local" "$1" - - - - "mean 1.5 ms gzip, 4 ms zstd; here mean $mean_, median $median_, p99 $p99_ ms"
	unmount "$dir"
}

# best COMMAND...: the least time of three runs.
best() {
	least=
	for run_ in 1 2 3; do
		timed "$@"
		least=$(awk -v a="${least:-1e9}" -v b="$seconds" 'BEGIN { print (a < b ? a : b) }')
	done
}

walk='find "$0" -printf "%p %s %T@ %m\n" >/dev/null'
read='tar -c -C "$0" . | cat >/dev/null'

bench_warm() {
	is_root || return 0
	image=$BENCH_SET tag=gzip
	source_=oci:$BENCH_IMAGES/$image:$tag
	"$shalefs" index build --cache-dir "$indexes" "$source_" >/dev/null
	new_mount
	ours=$dir
	"$shalefs" mount --cache-dir "$indexes" "$source_" "$ours"
	sh -c "$read" "$ours" # all of it is in the cache now
	warm_erofs || true
	warm_squashfuse || true
	unmount "$ours"
}

warm_erofs() {
	need mkfs.erofs || return 0
	# Without extended attributes: nothing here reads any.
	mkfs.erofs --quiet -x-1 "$work/erofs" "$ours" >/dev/null || { echo "bench: warm: mkfs.erofs failed" >&2; return 0; }
	new_dir loop
	theirs=$dir
	mount -t erofs -o loop,ro "$work/erofs" "$theirs" || { echo "bench: warm: no erofs in this kernel" >&2; return 0; }
	loops="$loops $theirs"
	for what in walk read; do
		eval "script=\$$what"
		sh -c "$script" "$theirs"
		best sh -c "$script" "$theirs"
		base=$least
		sh -c "$script" "$ours"
		best sh -c "$script" "$ours"
		row "warm $what" "$image" - - "$least" - "1.5 x kernel erofs ($base s); here $(div "$least" "$base")"
	done
	umount "$theirs"
}

# Both have their data on this machine; the kernel has nothing of either.
warm_squashfuse() {
	need mksquashfs squashfuse || return 0
	mksquashfs "$ours" "$work/squash" -quiet -no-progress >/dev/null || { echo "bench: warm: mksquashfs failed" >&2; return 0; }
	for what in walk read; do
		eval "script=\$$what"
		new_dir squash
		theirs=$dir
		squashfuse "$work/squash" "$theirs"
		loops="$loops $theirs"
		timed sh -c "$script" "$theirs"
		base=$seconds
		umount "$theirs"
		unmount "$ours"
		"$shalefs" mount --cache-dir "$indexes" "$source_" "$ours"
		timed sh -c "$script" "$ours"
		row "cold $what, all cached" "$image" - - "$seconds" - "0.5 x squashfuse ($base s); here $(div "$seconds" "$base")"
	done
}

bench_memory() {
	image=many-$BENCH_FILES
	[ -e "$made/$image/index.json" ] || "$bin/mkimage" many -files "$BENCH_FILES" -o "$made/$image"
	source_=oci:$made/$image:gzip
	timed "$shalefs" index build --cache-dir "$indexes" "$source_" >/dev/null
	row "index of many files" "$image" - - "$seconds" - "$cpu s of CPU, $(mib "$rss") at most"
	new_mount
	timed "$shalefs" mount --cache-dir "$indexes" "$source_" "$dir"
	row "mount of many files" "$image" - - "$seconds" - "a second to merge a million"
	timed sh -c "$walk" "$dir"
	pid_=$(daemon "$dir")
	row "walk of many files" "$image" - - "$seconds" - "200 MiB; here $(mib "$(memory_of "$pid_" VmRSS)") resident ($(mib "$(memory_of "$pid_" RssAnon)") its own)"
	unmount "$dir"
}

bench_index() {
	each index_of
}

index_of() {
	source_=oci:$BENCH_IMAGES/$1:$2
	base=0
	for l_ in $(layers "$1" "$2"); do
		GOMAXPROCS=1 timed "$bin/decode" "$BENCH_IMAGES/$1/blobs/sha256/${l_#sha256:}"
		base=$(awk -v a="$base" -v b="$cpu" 'BEGIN { print a + b }')
	done
	GOMAXPROCS=1 timed sh -c '"$0" index build --no-cache --json "$1" >"$2"' "$shalefs" "$source_" "$work/info"
	row "index build, one core" "$1" - - "$seconds" - "klauspost decode / build, CPU time: $(div "$base" "$cpu") ($base s, $cpu s); 1.2 gzip, 0.5 zstd for the decoder alone; $(mib "$rss") at most"
	sizes_=$(jq -r 'def p(a; b): (a * 10000 / b | round) / 100 | tostring + " %";
		"checkpoints " + p([.[].checkpoint_bytes] | add; [.[].layer_bytes] | add)
		+ ", index " + p([.[].index_bytes] | add; [.[].layer_bytes] | add)
		+ ", spans of " + ([.[] | .median_span_bytes / 1048576 | . * 10 | round / 10 | tostring] | join("/")) + " MiB (median)"
		+ ", " + ((map(.index_bytes - .checkpoint_bytes) | add) / ([.[].entries] | add) | round | tostring) + " B an entry without checkpoints"' "$work/info")
	row "index size" "$1" - "$(jq '[.[].index_bytes] | add' "$work/info")" - - "checkpoints 0.7 % gzip, 3 % zstd; here $sizes_"
}

bench_peers() {
	is_root || return 0
	proxy
	image=$BENCH_SET tag=gzip
	baseline "$image" "$tag"
	echo '{"default":[{"type":"insecureAcceptAnything"}]}' >"$work/policy.json"
	if need skopeo umoci; then
		new_dir umoci
		peer "skopeo, umoci" 'skopeo --policy "$1/policy.json" --tmpdir "$1" copy -q --src-tls-verify=false "docker://$2" "oci:$3/layout:x"
			umoci unpack --image "$3/layout:x" "$3/bundle" >/dev/null 2>&1
			chroot "$3/bundle/rootfs" python3 -c "import numpy, scipy"'
	fi
	for tool in buildah podman; do
		need "$tool" || continue
		new_dir "$tool"
		peer "$tool" 'flags="--root $3/store --runroot $3/run --storage-driver overlay"
			'"$tool"' $flags pull -q --tls-verify=false --signature-policy "$1/policy.json" "docker://$2" >"$3/id"
			if [ '"$tool"' = buildah ]; then from=$(buildah $flags from --signature-policy "$1/policy.json" "$(cat "$3/id")"); root=$(buildah $flags mount "$from")
			else root=$(podman $flags image mount "$(cat "$3/id")"); fi
			chroot "$root" python3 -c "import numpy, scipy"'
		# What it mounted is below its own directory.
		for d_ in $(awk -v d="$dir/" 'index($2, d) == 1 { print $2 }' /proc/mounts | sort -r); do umount "$d_" || true; done
	done
}

# peer TITLE SCRIPT: runs a script with the work directory, a reference and a directory of its own.
peer() {
	reset
	if "$bin/measure" "$work/measured" sh -eu -c "$2" sh "$work" "$slow/$image:$tag" "$dir"; then
		read -r seconds cpu rss <"$work/measured"
		stats "$(echo "peer-$1" | tr -d ' ' | tr , -)"
		row "import after $1" "$image" "$requests" "$bytes" "$seconds" "$(div "$seconds" "$plain")" "pull, unpack, import; $cpu s of CPU"
	else
		echo "bench: peers: $1 failed" >&2
	fi
}
