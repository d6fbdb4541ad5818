#!/bin/sh
# What cleat costs beside tini and dumb-init, measured with tools that are none
# of cleat's: hyperfine for times, ps and /proc for memory and wake-ups.
#
#     internal/footprint/compare.sh [CLEAT]
#
# CLEAT is a binary; without it, one is built as it is shipped, which needs Go.
# The times are those of a start and an end together, of a program that does
# nothing, and want a machine that does nothing else. Wrappers that are not
# installed are left out. apt-get install hyperfine tini dumb-init procps
set -eu

runs=${RUNS:-100}  # how often each command is timed
span=${SPAN:-10}   # seconds in which context switches are counted
settle=5           # seconds that a wrapper has before it is looked at

for tool in hyperfine ps; do
	command -v $tool >/dev/null || { echo "compare.sh: $tool is not installed" >&2; exit 1; }
done
work=$(mktemp -d)
wrapper=
trap 'test -z "$wrapper" || kill "$wrapper" 2>/dev/null || true; rm -rf "$work"' EXIT
cleat=${1:-}
if [ -z "$cleat" ]; then
	cleat=$work/cleat
	cd "$(dirname "$0")/../.."
	CGO_ENABLED=0 go build -trimpath -tags=nethttpomithttp2 -ldflags='-s -w' -o "$cleat" ./cmd/cleat
fi

# wrappers prints the commands that wrap another, one a line.
wrappers() {
	echo "$cleat run --"
	if command -v tini >/dev/null; then echo "tini -s --"; fi
	if command -v dumb-init >/dev/null; then echo "dumb-init --"; fi
}

# starts PREFIX: a start and an end of true, bare and wrapped, after a prefix.
starts() {
	set -- "$1" "$1 true"
	list=$work/list
	wrappers >"$list"
	while read -r command; do
		set -- "$@" "$1 $command true"
	done <"$list"
	shift
	hyperfine -N --warmup 5 --runs "$runs" "$@"
}

# switches PID...: voluntary context switches of all their threads so far.
switches() {
	for pid; do cat /proc/"$pid"/task/*/status; done |
		awk '/^voluntary_ctxt_switches/ { n += $2 } END { print n }'
}

# proportional PID...: resident memory in kB, what is shared divided.
proportional() {
	for pid; do cat /proc/"$pid"/smaps_rollup; done | awk '/^Pss:/ { n += $2 } END { print n }'
}

# resident PID...: resident memory in kB, as ps says.
resident() {
	for pid; do ps -o rss= -p "$pid"; done | awk '{ n += $1 } END { print n }'
}

# below PID: a process and all below it, but those that are sleep, the child.
below() {
	if [ "$(cat /proc/"$1"/comm)" = sleep ]; then return; fi
	echo "$1"
	for below in $(ps -o pid= --ppid "$1"); do (below "$below"); done
}

idle() {
	printf '%-12s %10s %10s %22s\n' '' 'RSS, kB' 'PSS, kB' 'context switches/s'
	wrappers >"$work/list"
	while read -r command; do
		$command sleep 1000 </dev/null >/dev/null 2>&1 &
		wrapper=$!
		sleep $settle
		# Word splitting is what makes several pids of them.
		# shellcheck disable=SC2046
		set -- $(below "$wrapper")
		before=$(switches "$@")
		sleep "$span"
		after=$(switches "$@")
		printf '%-12s %10d %10d %22s\n' "$(basename "${command%% *}")" "$(resident "$@")" "$(proportional "$@")" \
			"$(echo "$before $after $span" | awk '{ printf "%.1f", ($2 - $1) / $3 }')"
		kill "$wrapper"
		wait "$wrapper" || true
		wrapper=
	done <"$work/list"
}

echo "binaries, bytes:"
wrappers | while read -r command rest; do
	path=$(command -v "$command")
	printf '%-12s %10d\n' "$(basename "$path")" "$(stat -Lc %s "$path")"
done
echo
echo "at idle, without a server, the child aside:"
idle
echo
starts ''
if unshare --pid --fork --mount-proc --kill-child true 2>/dev/null; then
	echo "as PID 1:"
	starts 'unshare --pid --fork --mount-proc --kill-child'
fi
