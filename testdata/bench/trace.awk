# Sums up traces of bench.sh, by blob: requests, megabytes, and megabytes that were
# fetched more than once:
#
#	awk -f trace.awk TRACE
{
	n = split($4, part, "/")
	what = part[n]
	sub(/\?.*/, "", what)
	sub(/^sha256:/, "", what)
	what = part[n - 1] " " substr(what, 1, 12)
	requests[what]++
	bytes[what] += $7
	if ($5 ~ /^bytes=/) {
		split(substr($5, 7), range, "-")
		k = ++ranges[what]
		from[what, k] = range[1] + 0
		to[what, k] = range[2] + 1
	}
}

# once is the length of the union of the ranges of a blob.
function once(what,    i, j, a, b, total, end) {
	for (i = 2; i <= ranges[what]; i++) {
		a = from[what, i]
		b = to[what, i]
		for (j = i - 1; j >= 1 && from[what, j] > a; j--) {
			from[what, j + 1] = from[what, j]
			to[what, j + 1] = to[what, j]
		}
		from[what, j + 1] = a
		to[what, j + 1] = b
	}
	for (i = 1; i <= ranges[what]; i++) {
		if (to[what, i] > end) {
			total += to[what, i] - (from[what, i] > end ? from[what, i] : end)
			end = to[what, i]
		}
	}
	return total
}

END {
	for (what in requests) {
		asked = 0
		for (i = 1; i <= ranges[what]; i++) asked += to[what, i] - from[what, i]
		twice = asked - once(what)
		printf "%-24s %5d requests %9.2f MB, of that %.2f MB again\n", what, requests[what], bytes[what] / 1e6, twice / 1e6
	}
}
